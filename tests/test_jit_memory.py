"""jit: what it keeps of what it has seen, to tell whether it has changed, and that it keeps no more than that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.compiler.program import LARGE, mark

pytestmark = pytest.mark.filterwarnings("ignore::autodiff.compiler.api.JitWarning")

x = np.arange(3.0)
BOARD = np.indices((128, 1024)).sum(0) % 2.0
FLIPPED = BOARD.copy()


def flip(x: Any) -> Any:
    FLIPPED[...] = 1 - FLIPPED
    return x * FLIPPED[0, 0]


# -- contents


def test_a_captured_board_is_flipped() -> None:
    """Sums of rows and of columns stay the same."""
    jitted = ad.jit(lambda x: x * (BOARD[0, :3] * 2))
    for _ in range(4):
        np.testing.assert_array_equal(jitted(x), x * (BOARD[0, :3] * 2))
        BOARD[...] = 1 - BOARD


def test_a_function_flips_a_board() -> None:
    jitted = ad.jit(flip)
    start = FLIPPED[0, 0]
    for i in range(5):
        np.testing.assert_array_equal(jitted(x), x * (1 - start if i % 2 == 0 else start))


@pytest.mark.parametrize("size", [1000, 65536, LARGE + 8192])
def test_marks_tell_arrays_apart(size: int) -> None:
    array = np.zeros(size // 8 + 3)
    marks = {mark(array)}
    for i in (0, 1, len(array) // 2, len(array) - 1):
        array[i] = 1.0
        marks.add(mark(array))
        array[i] = -0.0
        marks.add(mark(array))
    assert len(marks) == 9


def test_marks_of_all_kinds() -> None:
    for array in (np.zeros(20000, "M8[s]"), np.full(20000, None), np.zeros((300, 300)).T, np.zeros(20000, "f8,i4")):
        before = mark(array)
        assert before == mark(array.copy(order="K"))
        array[1] = 1
        assert before != mark(array)
