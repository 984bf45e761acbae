"""jit: several threads, and forks while they are at work."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff as ad

ROOT = Path(ad.__file__).parent.parent
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


def script(text: str) -> None:
    """Runs it in a process of its own, which may hang if something is wrong."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    start = "import os, threading, time\nimport numpy as np\nimport autodiff as ad\n"
    done = subprocess.run(
        [sys.executable, "-c", start + text], env=environment, timeout=120, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


CHILD = """
pid = os.fork()
if not pid:
    import signal
    signal.alarm(20)
    {child}
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""


def test_no_draw_is_given_out_twice() -> None:
    """Each call tries the program of the other path first, whose guard fails, so it puts the generator back."""
    rng = np.random.default_rng(0)

    @ad.jit
    def f(x: Any) -> Any:
        u, y = rng.normal(), x
        for _ in range(30):
            y = np.sin(y) + 0.1
        return u + 0 * x[0] if y[0] * 0 + x[0] > 0 else u - 0 * x[0]

    xs, drawn = (np.full(20000, -3.0), np.ones(20000)), []
    for k in range(6):
        f(xs[k % 2])

    def work(first: int) -> None:
        drawn.extend([float(f(xs[(k + first) % 2])) for k in range(200)])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(drawn) == 400
    assert len({*drawn}) == 400


@forks
def test_a_fork_while_another_thread_compiles() -> None:
    pytest.importorskip("llvmlite")
    script(
        """
from autodiff.compiler import native, program
@ad.jit
def f(x):
    return np.tanh(x * 1.01) + x[::-1] * 0.1
x, inside = np.ones(20), threading.Event()
f(x)
lower = program.lower
def slow(*args, **kwargs):
    inside.set()
    time.sleep(0.3)
    return lower(*args, **kwargs)
program.lower = slow
t = threading.Thread(target=f, args=(x,))
t.start()
inside.wait()
"""
        + CHILD.format(child="f(x)")
        + "t.join()"
    )


@forks
def test_a_fork_while_another_thread_records() -> None:
    script(
        """
state, w, inside = {"w": np.ones(3)}, ad.Value(np.ones(3)), threading.Event()
def f(x):
    inside.set()
    time.sleep(0.3)
    return x + state["w"] * w.data
t = threading.Thread(target=ad.jit(f), args=(np.ones(3),))
t.start()
inside.wait()
"""
        + CHILD.format(child='assert type(state["w"]) is type(w.data) is np.ndarray; ad.jit(f)(np.ones(3))')
        + "t.join()"
    )


@forks
def test_a_fork_does_not_wait_for_a_thread_that_waits_for_it() -> None:
    script(
        """
from autodiff.compiler.entries import RECORDINGS
RECORDINGS.patience = 0.1
inside, forked = threading.Event(), threading.Event()
def f(x):
    inside.set()
    forked.wait()
    return x + 1
t = threading.Thread(target=ad.jit(f), args=(np.ones(3),))
t.start()
inside.wait()
"""
        + CHILD.format(child="ad.jit(lambda x: x + 1)(np.ones(3))")
        + "forked.set(); t.join(); ad.jit(lambda x: x + 1)(np.ones(3))"
    )


@pytest.mark.parametrize("way", ["native", "numpy"])
def test_second_derivatives_that_are_not_compiled_do_not_disturb_other_threads(way: str) -> None:
    """They put back what the function captured, for a while; others must not see that."""
    script(
        f"os.environ['AUTODIFF_JIT'] = '{way if way == 'numpy' else ''}'"
        + """
import sys
sys.setswitchinterval(1e-5)
w, x, wrong, done = ad.Value(np.array([1.0, -2.0, 3.0])), np.array([1.0, 2.0, 0.5]), [], threading.Event()
def f(x):
    y = x * w
    return (y[y > 0] ** 3).sum()
j = ad.jit(f)
expected = ad.grad(f)(x).data
for _ in range(3):
    j(x), ad.grad(j)(x), ad.hessian(j)(x)
def user():
    try:
        while not done.is_set():
            found = ad.grad(j)(x)
            assert np.allclose(found.data, expected)
    except Exception as error:
        wrong.append(error)
t = threading.Thread(target=user)
t.start()
try:
    for _ in range(200):
        ad.hessian(j)(x)
finally:
    done.set()
    t.join()
assert not wrong, wrong
"""
    )
