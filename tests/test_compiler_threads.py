"""Kernels in parts and the threads that take them: the same bits with any number of threads, and no way to hang."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import programs
import pytest
from test_compiler_native import Builder
from test_jit_programs import moved
from test_programs import Program as Random
from test_programs import many
from test_programs import programs as random_programs

pytest.importorskip("llvmlite")

import autodiff as ad
from autodiff.compiler import llvm_math, parallel, splits, state
from autodiff.compiler.lower import lower
from autodiff.compiler.native import Program
from autodiff.compiler.plan import Kernel, Launch

ROOT = Path(ad.__file__).parent.parent
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
threaded = pytest.mark.skipif(sys.platform != "linux" or CORES < 2, reason="needs two cores, and Linux")


@pytest.fixture(autouse=True, scope="module")
def every_nest_in_parts() -> Iterator[None]:
    """Everything that may be computed in parts is, by two threads, which wake for each."""
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setenv("AUTODIFF_JIT_THREADS", "2")
        patch.setattr(splits, "PART", 1e-6)
        patch.setattr(splits, "SHARE", np.inf)
        patch.setattr(state, "WORTH", 1)
        yield


def parts(jitted: Any) -> list[int]:
    """Of the kernels of a function's programs."""
    recorded = [p for entry in jitted._call.entries.values() for p in entry.programs]
    plans = [lower(p.graph, llvm_math) for p in recorded]
    return [step.kernel.parts for plan in plans for step in plan.steps if type(step) is Launch]


def loss(w: Any, x: Any, b: Any) -> Any:
    """With sums over rows, along rows and of everything. (No product: BLAS has its own threads, and roundings.)"""
    y = np.tanh(x * w + b)
    z = y - y.max(axis=1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return -np.log(p[:, 0]).mean() + (y * y).sum() * 1e-3


def arguments(n: int, m: int, dtype: Any = "f4") -> list[Any]:
    rng = np.random.default_rng(n)
    return [rng.normal(size=shape).astype(dtype) for shape in ((m,), (n, m), (n, 1))]


def bits(results: Any) -> list[bytes]:
    return [np.asarray(a).tobytes() for a in (results if isinstance(results, tuple | list) else [results])]


# -- the same bits


def gradients() -> Any:
    return ad.jit(lambda *args: (loss(*args), *ad.grad(loss, (0, 1, 2))(*args)))


@pytest.mark.parametrize("shape", [(1, 7), (2, 1), (31, 5), (33, 40), (257, 31), (1000, 3)])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_that_do_not_divide(shape: tuple[int, int], dtype: str) -> None:
    args, f = arguments(*shape, dtype), gradients()
    expected = f(*args)
    found = f(*args), f(*args)
    tolerance = 2e-4 if dtype == "f4" else 1e-9
    for a, b in zip(found[1], expected, strict=True):
        np.testing.assert_allclose(a, b, tolerance, tolerance * np.abs(b).max())
    assert bits(found[0]) == bits(found[1])
    assert max(parts(f)) > 1 or shape[0] < 2


@threaded
def test_the_number_of_threads_changes_no_bit(monkeypatch: Any) -> None:
    args = arguments(997, 301)
    results = []
    for count in ("1", "2"):
        monkeypatch.setenv("AUTODIFF_JIT_THREADS", count)
        f = gradients()
        f(*args)
        results += [bits(f(*args)) for _ in range(50)]
    assert all(found == results[0] for found in results)
    assert max(parts(f)) == splits.MOST


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 4095, 4097, 70001])
def test_tails_of_one_row(n: int) -> None:
    x = np.random.default_rng(n).normal(size=n).astype("f4")
    f = ad.jit(lambda x: (np.exp(x) * x, (x * x).sum(), x.max(), (x > 0).any()))
    f(x)
    y, total, largest, positive = f(x)
    np.testing.assert_allclose(y, np.exp(x) * x, 1e-5, 1e-6)
    np.testing.assert_allclose(total, np.sum(x.astype("f8") ** 2), 1e-6)
    assert largest == x.max() and positive == (x > 0).any()
    assert (max(parts(f)) > 1) == (n > 1)


def test_sums_over_rows_and_extremes_with_nan() -> None:
    x = np.random.default_rng(0).normal(size=(1003, 17)).astype("f4")
    x[777, 3] = np.nan
    f = ad.jit(lambda x: ((x * x).sum(0), x.max(0), x.min(), np.sqrt((x * x).sum())))
    f(x)
    for a, b in zip(f(x), ((x * x).sum(0), x.max(0), x.min(), np.sqrt((x * x).sum())), strict=True):
        np.testing.assert_allclose(a, b, 1e-5)
    assert max(parts(f)) > 1


def test_writes_that_may_meet_are_not_in_parts() -> None:
    index = np.random.default_rng(0).integers(0, 5, 1000)

    def f(x: Any) -> Any:
        y = np.zeros(5) * x[0]
        np.add.at(y, index, x)
        return y

    jitted, x = ad.jit(f), np.random.default_rng(1).normal(size=1000)
    jitted(x)
    expected = np.zeros(5)
    np.add.at(expected, index, x)
    np.testing.assert_allclose(jitted(x), expected, 1e-12)
    jitted = ad.jit(ad.grad(lambda x: (x[index % 5] ** 2).sum()))
    jitted(x)
    np.testing.assert_allclose(jitted(x)[:5], 2 * x[:5] * np.bincount(index, minlength=5), 1e-12)


@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
@pytest.mark.parametrize("program", programs.load(), ids=str)
def test_plain_programs_in_parts(program: programs.Program) -> None:
    f = ad.grad(program.function)
    jitted = ad.jit(f)
    for k in (0, 0, 1):
        x = moved(program.point, k)
        expected, found = f(x.copy()), jitted(x)
        scale = float(np.max(np.abs(expected), initial=0))
        np.testing.assert_allclose(found, expected, 1e-9, 1e-9 * scale)


@many
@hypothesis.given(random_programs())
@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
def test_random_programs_in_parts(program: Random) -> None:
    def gradients(*xs: Any) -> Any:
        return ad.grad(lambda *xs: np.sum(program(*xs)), tuple(range(len(xs))))(*xs)

    for f in (program.function, gradients):
        jitted = ad.jit(f)
        for k in range(2):
            xs = [moved(x, k) for x in program.inputs]
            expected, found = f(*xs), jitted(*xs)
            both = [(found, expected)] if not isinstance(expected, tuple) else zip(found, expected, strict=True)
            for a, b in both:
                np.testing.assert_allclose(a, b, 1e-8, 1e-8 * max(1e-3, float(np.max(np.abs(b), initial=0))))


# -- which parts are worth it


def test_small_kernels_are_whole(monkeypatch: Any) -> None:
    monkeypatch.setattr(splits, "PART", 20_000.0)
    monkeypatch.setattr(splits, "SHARE", 0.25)
    small, large = ad.jit(lambda x: np.exp(x) + 1), ad.jit(lambda x: np.exp(x) + 1)
    small(np.ones(10_000))
    large(np.ones(1_000_000))
    assert parts(small) == [1]
    assert parts(large)[0] > 8


def test_a_wrong_number_of_threads(monkeypatch: Any) -> None:
    monkeypatch.setenv("AUTODIFF_JIT_THREADS", "many")
    with pytest.raises(ValueError, match=r"AUTODIFF_JIT_THREADS is 'many'; it is a number of threads"):
        parallel.threads()
    monkeypatch.setenv("AUTODIFF_JIT_THREADS", "100000")
    assert parallel.threads() == (CORES if hasattr(os, "sched_getaffinity") else os.cpu_count())


# -- helpers


MEETING = """
define void @t_meet.part(ptr %table, ptr %slots, i64 %part) nounwind {
  %out = load ptr, ptr %table
  %in.at = getelementptr ptr, ptr %table, i64 1
  %in = load ptr, ptr %in.at
  %x.at = getelementptr double, ptr %in, i64 %part
  %x = load double, ptr %x.at
  %y = fsub double %x, %x
  %came = atomicrmw add ptr %out, i64 1 seq_cst
  br label %wait
wait:
  %n = phi i64 [0, %0], [%m, %wait]
  %m = add i64 %n, 1
  %here = load atomic i64, ptr %out seq_cst, align 8
  %both = icmp sge i64 %here, 2
  %late = icmp ugt i64 %m, 2000000000
  %go = or i1 %both, %late
  br i1 %go, label %done, label %wait
done:
  %to = getelementptr i64, ptr %out, i64 1
  %mine = getelementptr i64, ptr %to, i64 %part
  %seen = zext i1 %both to i64
  store i64 %seen, ptr %mine
  %value = getelementptr double, ptr %out, i64 3
  %value.at = getelementptr double, ptr %value, i64 %part
  store double %y, ptr %value.at
  ret void
}
define void @t_meet.end(ptr %table, ptr %slots) nounwind {
  ret void
}
define void @t_meet(ptr %table, ptr %slots) nounwind {
  ret void
}
"""


def meeting() -> Program:
    """Two parts, each of which waits for the other one to begin. Part i computes x[i] - x[i]."""
    b = Builder()
    out, x = b.output(5, dtype="i8"), b.input(2, dtype="f8")
    assert (out.buffer, x.buffer) == (0, 1)
    b.call(np.zeros_like, [out], [out])
    b.launch(Kernel("t_meet", MEETING, frozenset(), parts=2), out, x)
    return Program(b.plan())


@threaded
def test_parts_run_at_the_same_time_and_flags_of_both_count() -> None:
    program = meeting()
    for x, expected in (([1.0, 2.0], False), ([np.inf, 2.0], True), ([1.0, np.inf], True), ([3.0, 4.0], False)) * 5:
        (out,), invalid = program.run([np.array(x)])
        assert out[:3].tolist() == [2, 1, 1]
        assert invalid is expected


def test_an_invalid_operation_in_any_part_is_seen() -> None:
    f, x = ad.jit(ad.grad(lambda x: (np.sqrt(x) * 2.0).sum())), np.ones(500)
    f(x)
    for i in range(0, 500, 37):
        x[:] = 1.0
        x[i] = -1.0
        assert np.isnan(f(x)[i])


def test_several_python_threads() -> None:
    """One gets the helpers, the others are alone; of the same program and of different ones."""
    sizes = [(300, 40), (41, 77), (300, 40), (5, 900)]
    shared, own = gradients(), [gradients() for _ in sizes]
    given = [arguments(*size) for size in sizes]
    expected = []
    for args, f in zip(given, own, strict=True):
        for g in (f, shared, f):
            g(*args)
        expected.append(bits(shared(*args)))
    failures: list[Any] = []

    def work(k: int) -> None:
        for _ in range(60):
            for f in (shared, own[k]):
                if bits(f(*given[k])) != expected[k]:
                    failures.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(len(sizes))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert not failures and not any(worker.is_alive() for worker in workers)


SCRIPT = """
import os, sys, threading
import numpy as np
import autodiff as ad
from autodiff.compiler import state
state.WORTH = 1
x = np.random.default_rng(0).normal(size=(1000, 301))
f = ad.jit(lambda x: (np.exp(x).sum(0), np.tanh(x)))
f(x)
expected = [a.tobytes() for a in f(x)]
def right():
    return [a.tobytes() for a in f(x)] == expected
assert right()
"""


def script(text: str) -> None:
    """Runs it in a process of its own."""
    environment = os.environ | {"AUTODIFF_JIT_THREADS": "2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + text], env=environment, timeout=120, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


@forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_processes_start_helpers_of_their_own() -> None:
    script("""
from multiprocessing import get_context
def child(_):
    return all(right() for _ in range(20))
with get_context("fork").Pool(3) as pool:
    assert all(pool.map(child, range(12)))
assert right()
""")


@forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_while_other_threads_run_programs() -> None:
    script("""
stop = []
def work():
    while not stop:
        assert right()
threads = [threading.Thread(target=work) for _ in range(2)]
for t in threads: t.start()
for _ in range(20):
    pid = os.fork()
    if not pid:
        os._exit(0 if right() else 1)
    assert os.waitpid(pid, 0)[1] == 0
stop.append(1)
for t in threads: t.join()
""")


@forks
@threaded
def test_no_helper_lives_through_a_fork(monkeypatch: Any) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    script("""
def count():
    return len(os.listdir("/proc/self/task"))
assert count() == 2
pid = os.fork()
assert count() == 1 and right()
if not pid:
    os._exit(0 if count() == 2 else 1)
assert count() == 2
assert os.waitpid(pid, 0)[1] == 0
from autodiff.compiler.parallel import POOLS
POOLS.made.stop()
assert count() == 1 and right() and count() == 1
POOLS.made.resume()
assert right() and count() == 2
""")


@forks
def test_a_fork_at_exit() -> None:
    script("""
import atexit
from autodiff.compiler.parallel import POOLS
def last():
    POOLS.made.end()
    pid = os.fork()
    if not pid:
        os._exit(0 if right() else 1)
    os._exit(0 if right() and os.waitpid(pid, 0)[1] == 0 else 1)
atexit.register(last)
""")


def test_exit_with_helpers_awake_parked_and_at_work() -> None:
    script("")
    script("import time; time.sleep(0.2)")
    script("""
import atexit
def work():
    while True:
        f(x)
for _ in range(2): threading.Thread(target=work, daemon=True).start()
import time; time.sleep(0.2)
atexit.register(lambda: right())
""")
