"""jit: functions that branch on numbers. Each path is recorded once, and found again whatever the numbers do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autodiff as ad
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
    for _ in range(
        3
    ):  # longer ones than the last: which of them is not known, but the one that followed before is tried
        jitted(*start(2))
        runs.clear()
        jitted(*start(6))
    assert [held for _, held in runs] == [False, True]
