"""jit: functions that branch on numbers. Each path is recorded once, and found again whatever the numbers do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import autodiff as ad
from autodiff import JitWarning
from autodiff.compiler import entries, paths
from autodiff.compiler.interpret import Mismatch
from autodiff.compiler.program import Program

Array = np.ndarray[Any, Any]


@pytest.fixture(params=["native", "numpy"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How programs are run."""
    if request.param == "native":
        pytest.importorskip("llvmlite")
    else:
        monkeypatch.setenv("AUTODIFF_JIT", "numpy")
    return str(request.param)


def grown(s: Any, x: Any) -> Any:
    while s.max() < 100:
        s = s * 1.5 + x
    return s


def start(rounds: int) -> tuple[Array, Array]:
    """With which `grown` makes that many rounds."""
    return np.full(5, 100.0 / 1.5**rounds * 1.0001), np.zeros(5)


def entry(jitted: Any) -> Any:
    (found,) = jitted._call.entries.values()
    return found


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Program, bool]]:
    """The programs that have been run, and whether each one held."""
    noted: list[tuple[Program, bool]] = []
    run, quickly = Program.run, Program.quickly

    def noting_run(self: Program, leaves: list[Any]) -> Any:
        try:
            result = run(self, leaves)
        except Mismatch:
            noted.append((self, False))
            raise
        noted.append((self, True))
        return result

    def noting_quickly(self: Program, arrays: tuple[Any, ...]) -> Any:
        outputs = quickly(self, arrays)
        if outputs is not None:
            noted.append((self, type(outputs) is list))
        return outputs

    monkeypatch.setattr(Program, "run", noting_run)
    monkeypatch.setattr(Program, "quickly", noting_quickly)
    return noted


# -- which program runs


def test_loops_of_many_lengths_are_recorded_once_each() -> None:
    jitted = ad.jit(grown, strict=True)
    order = np.random.default_rng(0).permutation([*range(1, 31)] * 3)
    for rounds in order:
        np.testing.assert_allclose(jitted(*start(rounds)), grown(*start(rounds)))
    info = jitted.cache_info()
    assert (info.recordings, info.programs, info.hits) == (30, 30, 60)


def test_a_run_that_ends_at_a_guard_says_which_program_is_right(runs: list[tuple[Program, bool]]) -> None:
    jitted = ad.jit(grown, strict=True)
    for rounds in (*range(1, 13), *range(1, 13)):
        jitted(*start(rounds))
    jitted(*start(12))
    for rounds in range(1, 12):  # the last one used makes twelve rounds: it ends where another one goes on
        jitted(*start(12))
        runs.clear()
        jitted(*start(rounds))
        assert [held for _, held in runs] == [False, True]


def test_a_path_that_is_not_known_is_recorded_at_once(runs: list[tuple[Program, bool]]) -> None:
    jitted = ad.jit(grown, strict=True)
    for rounds in (2, 2, 4, 4, 6, 6, 8, 8):
        jitted(*start(rounds))
    runs.clear()
    jitted(*start(3))  # one run finds out that none holds
    assert [held for _, held in runs] == [False]
    assert jitted.cache_info().recordings == 5


def test_what_a_run_ends_with_is_remembered(runs: list[tuple[Program, bool]]) -> None:
    jitted = ad.jit(grown, strict=True)
    for rounds in (2, 2, 4, 4, 6, 6, 8, 8) * 2:
        jitted(*start(rounds))
    for _ in range(3):  # which of the longer ones it is, is not known, but the one that followed before is tried
        jitted(*start(2))
        runs.clear()
        jitted(*start(6))
    assert [held for _, held in runs] == [False, True]


# -- as many as there may be


def branching(x: Any, bits: int = 7) -> Any:
    """One of 2 ** bits paths."""
    for i in range(bits):
        x = x * 2 if x[i] > 0 else x + 1
    return x


def bits_of(number: int, count: int = 7) -> Array:
    return np.array([1.0 if number >> i & 1 else -5000.0 for i in range(count)])


def test_further_paths_run_as_they_are(recwarn: pytest.WarningsRecorder) -> None:
    jitted = ad.jit(branching)
    for _ in range(2):
        for number in range(70):
            np.testing.assert_allclose(jitted(bits_of(number)), branching(bits_of(number)))
    (warning,) = [w for w in recwarn if issubclass(w.category, JitWarning)]
    assert str(warning.message) == "jit: branching took 64 paths; further ones run without the compiler"
    info = jitted.cache_info()
    assert (info.recordings, info.programs, info.hits) == (64, 64, 64)  # those that are known still have theirs
    assert jitted.explain().startswith("further paths run without a program: it took 64 paths\nprogram 1: ")


@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
def test_there_is_room_again_when_what_is_captured_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "PATHS", 8)
    mode = {"branches": True}

    def f(x: Any) -> Any:
        return branching(x) if mode["branches"] else x * 2

    for strict in (False, True):
        mode["branches"] = True
        jitted = ad.jit(f, strict=strict)
        for number in range(8 if strict else 9):
            jitted(bits_of(number))
        mode["branches"] = False
        for _ in range(3):
            np.testing.assert_array_equal(jitted(bits_of(8)), f(bits_of(8)))
        info = jitted.cache_info()
        assert (info.recordings, info.hits) == (9, 2)
        mode["branches"] = True
        if strict:
            with pytest.raises(ad.OperandError, match="took 8 paths"):
                jitted(bits_of(8))
        else:
            np.testing.assert_array_equal(jitted(bits_of(8)), f(bits_of(8)))
        assert jitted.cache_info().recordings == 9  # it is as full as it was


def test_strict_raises_at_a_further_path() -> None:
    jitted = ad.jit(branching, strict=True)
    for number in range(64):
        jitted(bits_of(number))
    for _ in range(2):
        with pytest.raises(ad.OperandError, match="branching took 64 paths, which cannot be compiled"):
            jitted(bits_of(64))
        np.testing.assert_allclose(jitted(bits_of(9)), branching(bits_of(9)))


def test_long_paths_are_fewer(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    monkeypatch.setattr(entries, "OPERATIONS", 300)
    jitted = ad.jit(grown)
    for rounds in (*range(20), *range(20)):  # the first 10 or so come to 300 operations
        np.testing.assert_allclose(jitted(*start(rounds)), grown(*start(rounds)))
    (warning,) = [w for w in recwarn if issubclass(w.category, JitWarning)]
    assert (
        str(warning.message)
        == f"jit: grown took {jitted.cache_info().programs} paths; further ones run without the compiler"
    )
    assert 8 < jitted.cache_info().programs < 15


# -- how it reads


def test_explain_says_what_was_asked_and_where() -> None:
    jitted = ad.jit(grown)
    jitted(*start(3))
    line = grown.__code__.co_firstlineno + 1
    text = jitted.explain()
    assert "for float64[5], float64[5]; guards: True 3 times, False\n" in text
    assert text.count(f"guard   3 x True  asked in test_jit_paths.py, line {line}\n") == 1
    assert text.count(f"guard   False  asked in test_jit_paths.py, line {line}\n") == 1


# -- threads and exceptions


def test_threads_on_different_paths() -> None:
    jitted = ad.jit(grown, strict=True)
    jitted(*start(1))
    wrong: list[Any] = []

    def calls(seed: int) -> None:
        try:
            for rounds in np.random.default_rng(seed).integers(1, 20, 150):
                found = jitted(*start(rounds))
                if not np.allclose(found, grown(*start(rounds)), 1e-12):
                    wrong.append((rounds, found))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=calls, args=(seed,)) for seed in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert jitted.cache_info().recordings <= 19  # a path that two have found to be new is recorded by one


def test_an_exception_on_a_path_is_raised_at_each_call() -> None:
    def f(x: Any) -> Any:
        if x.sum() > 10:
            raise LookupError(f"too large: {x.size}")
        return x * 2 if x.sum() > 0 else -x

    jitted = ad.jit(f, strict=True)
    for x in (np.ones(3), -np.ones(3), np.ones(3) * 9) * 4:
        if x.sum() > 10:
            with pytest.raises(LookupError, match="too large: 3"):
                jitted(x)
        else:
            np.testing.assert_array_equal(jitted(x), f(x))
    assert jitted.cache_info().programs == 2
    assert jitted.cache_info().hits == 6


def test_what_is_captured_decides_too() -> None:
    """Programs for another mode ask other questions; they are not in each other's way."""
    mode = {"name": "a"}

    def f(x: Any) -> Any:
        if mode["name"] == "a":
            return x + 1 if x.sum() > 0 else x - 1
        if x[0] > 0:
            return x * 2 if x.sum() > 0 else x * 3
        return x * 4

    jitted = ad.jit(f, strict=True)
    for _ in range(3):
        for name in "ab":
            mode["name"] = name
            for x in ([1.0, 2.0], [1.0, -3.0], [-1.0, 2.0], [-1.0, -2.0]):
                np.testing.assert_array_equal(jitted(np.array(x)), f(np.array(x)))
    assert jitted.cache_info().recordings == 5


def test_numbers_drawn_before_a_wrong_guess_are_drawn_again() -> None:
    rng, same = np.random.default_rng(0), np.random.default_rng(0)

    def f(rng: Any, x: Any) -> Any:
        x = x + rng.normal(size=3)
        return x + rng.normal(size=3) if x.sum() > 0 else x

    jitted = ad.jit(lambda x: f(rng, x), strict=True)
    for i in range(12):
        x = np.full(3, (-1.0) ** i * 5)
        np.testing.assert_allclose(jitted(x), f(same, x), 1e-12)
    assert jitted.cache_info().recordings == 2


def test_an_invalid_operation_is_met_once() -> None:
    """Programs that mask what may be invalid have nothing to fear of a further one."""

    def f(x: Any) -> Any:
        y = np.sqrt(x).sum()
        return ad.grad(lambda t: (np.abs(t) ** 1.5).sum())(x) + y if x[0] > 0 else y

    jitted = ad.jit(f, strict=True)
    with np.errstate(invalid="ignore"):
        for i in range(20):
            x = np.array([[1.0, 4.0], [1.0, -4.0], [-1.0, 4.0]][i % 3])
            np.testing.assert_allclose(jitted(x), f(x))
    assert jitted.cache_info().recordings <= 4


def test_programs_are_dropped_while_one_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another thread does that has met an invalid operation."""
    jitted = ad.jit(grown, strict=True)
    for rounds in (1, 2):
        jitted(*start(rounds))
    run = Program.run

    def dropping(self: Program, leaves: list[Any]) -> Any:
        result = run(self, leaves)
        entry(jitted).paths = paths.Paths()
        return result

    for rounds in (1, 2, 1):
        with monkeypatch.context() as m:
            m.setattr(Program, "run", dropping)
            np.testing.assert_allclose(jitted(*start(rounds)), grown(*start(rounds)))
        np.testing.assert_allclose(jitted(*start(rounds + 2)), grown(*start(rounds + 2)))


def test_ends_of_runs_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "REMEMBERED", 5)
    jitted = ad.jit(grown)
    jitted(*start(2))
    (program,) = entry(jitted).programs
    for i in range(20):
        search = paths.Search()
        search.failed(program, Mismatch(0, float(i)))
        entry(jitted).paths.used(program, search)
    assert len(entry(jitted).paths._after) <= 6


# -- random programs

Step = tuple[Any, ...]


def interpreted(program: tuple[Step, ...], x: Any, ask: Callable[[Any], Any] = bool) -> Any:
    """Run a program of steps that branch on numbers. `ask` hears each question."""
    for op, *given in program:
        if op == "map":
            x = np.tanh(x) * given[0] + given[1]
        elif op == "if":
            i, limit, then, otherwise = given
            x = interpreted(then if ask(x[i] > limit) else otherwise, x, ask)
        elif op == "while":
            limit, step = given
            rounds = 0
            while ask(x.max() < limit) and rounds < 6:
                x = x + step
                rounds += 1
        elif op == "return":
            if ask(x.sum() > given[0]):
                return x * 2
        elif op == "pick":
            x = x + x[int((x > given[0]).sum()) % 3]
        elif op == "item":
            total = x.sum().item()
            x = x * total if ask(total < given[0]) else x - max(total, given[0])
    return x


limits = st.floats(-2, 2).map(lambda v: round(v, 1))
simple = st.one_of(
    st.tuples(st.just("map"), limits, limits),
    st.tuples(st.just("while"), limits, st.sampled_from([0.3, 0.7, 2.0])),
    st.tuples(st.just("return"), limits),
    st.tuples(st.just("item"), limits),
)
bodies = st.lists(simple, max_size=2).map(tuple)
steps = st.one_of(simple, st.tuples(st.just("if"), st.integers(0, 2), limits, bodies, bodies))


@hypothesis.given(st.lists(steps, min_size=1, max_size=4).map(tuple), st.integers(0, 2**32))
@hypothesis.settings(max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_random_programs(program: tuple[Step, ...], seed: int) -> None:
    rng, taken = np.random.default_rng(seed), set()
    jitted = ad.jit(lambda x: interpreted(program, x))
    given = [rng.normal(size=3) * 2 for _ in range(12)]
    for x in [given[i] for i in rng.integers(0, 12, 30)]:
        answers: list[bool] = []

        def ask(answer: Any, answers: list[bool] = answers) -> bool:
            answers.append(bool(answer))
            return answers[-1]

        expected = interpreted(program, x, ask)
        taken.add(tuple(answers))
        np.testing.assert_allclose(jitted(x), expected, 1e-9, 1e-9)
    info = jitted.cache_info()
    assert info.recordings == info.programs == len(taken)
    assert info.hits == 30 - len(taken)


@hypothesis.given(st.integers(0, 2**32))
@hypothesis.settings(max_examples=10, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_random_indices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = (("map", 1.0, 0.0), ("pick", 0.1), ("if", 0, 0.2, (("pick", 0.0),), (("pick", 0.5), ("return", 0.0))))
    jitted = ad.jit(lambda x: interpreted(program, x), strict=True)
    for _ in range(40):
        x = rng.normal(size=3)
        np.testing.assert_allclose(jitted(x), interpreted(program, x), 1e-9, 1e-9)
    assert jitted.cache_info().hits + jitted.cache_info().recordings == 40
    assert jitted.cache_info().recordings == jitted.cache_info().programs
