"""Colours of columns: no two in a row, few, and fast."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff.sparse import colouring
from autodiff.sparse.colouring import colour_columns, colour_symmetric


def check(pattern: Any) -> int:
    """The number of colours, after a look at every row."""
    matrix = sparse.csr_array(pattern, dtype=bool)
    colours, count = colour_columns(matrix)
    assert colours.shape == (matrix.shape[1],)
    assert count == (int(colours.max()) + 1 if matrix.nnz else 0)
    dense = matrix.toarray()
    for row in dense:
        assert len(set(colours[row])) == row.sum()
    assert count >= dense.sum(axis=1).max(initial=0)
    return count


def banded(n: int, *offsets: int) -> Any:
    return sparse.diags_array([np.ones(n)] * len(offsets), offsets=offsets, shape=(n, n), format="csr", dtype=bool)


def grid(rows: int, columns: int, corners: bool = False) -> Any:
    """The pattern of a stencil of five points, or nine, on a grid without wrapping around."""
    line = lambda n: banded(n, -1, 0, 1)
    if corners:
        found = sparse.kron(line(rows), line(columns), format="csr")
    else:
        across = sparse.kron(sparse.eye_array(rows, dtype=bool), line(columns))
        found = (across + sparse.kron(line(rows), sparse.eye_array(columns, dtype=bool))).tocsr()
    found.eliminate_zeros()  # kron stores small dense blocks
    return found


@pytest.mark.parametrize("n", [5, 6, 7, 50])
def test_known_numbers(n: int) -> None:
    assert check(banded(n, 0)) == 1
    assert check(banded(n, -1, 0, 1)) == 3
    assert check(banded(n, -2, -1, 0, 1, 2)) == 5
    assert check(banded(n, 0, 2)) == 2
    assert check(np.ones((3, n))) == n
    assert check(np.ones((n, 3))) == 3
    arrow = np.eye(n)
    arrow[:, 0] = 1
    assert check(arrow) == 2
    assert check(arrow.T) == n
    assert check(arrow + arrow.T) == n
    assert check(np.roll(np.eye(n), 2, axis=0)) == 1


def test_nothing() -> None:
    assert check(np.zeros((3, 4))) == 0
    assert check(np.zeros((0, 4))) == 0
    assert check(np.zeros((4, 0))) == 0
    some = np.zeros((3, 5))
    some[1, 2] = 1
    assert check(some) == 1


@pytest.mark.parametrize("shape", [(6, 7), (10, 10), (12, 5), (3, 20), (20, 3), (7, 15), (2, 2)])
def test_grids_reach_the_bound(shape: tuple[int, int]) -> None:
    """Five points take five colours, nine take nine, whatever the shape: no cheaper than a row has entries."""
    if min(shape) < 3:
        assert check(grid(*shape)) <= 5
    else:
        assert check(grid(*shape)) == 5
        assert check(grid(*shape, corners=True)) == 9


def test_cyclic() -> None:
    """Around a ring whose length is no multiple of 3, three colours do not close."""
    for n, most in ((9, 3), (10, 4), (11, 5)):
        ring = sum(np.roll(np.eye(n), k, axis=0) for k in (-1, 0, 1))
        assert 3 <= check(ring) <= most


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.floats(0, 1), st.integers(0, 10**6))
def test_random_patterns(rows: int, columns: int, density: float, seed: int) -> None:
    check(np.random.default_rng(seed).random((rows, columns)) < density)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.sets(st.integers(-9, 9), min_size=1, max_size=5), st.integers(0, 10**6))
def test_random_bands(n: int, offsets: set[int], seed: int) -> None:
    """With rows in disorder, and some of them missing."""
    rng = np.random.default_rng(seed)
    matrix = sum(np.eye(n, k=k) for k in offsets)
    check(rng.permutation(matrix)[rng.random(n) < 0.8])


def test_no_more_than_the_fullest_columns_neighbours() -> None:
    """What one at a time is bound by: a column avoids the colours of the columns that it shares a row with."""
    matrix = sparse.random_array((300, 200), density=0.02, format="csr", random_state=np.random.default_rng(0))
    matrix = matrix.astype(bool)
    neighbours = (matrix.T.astype(int) @ matrix.astype(int)).tocsr()
    assert check(matrix) <= np.diff(neighbours.indptr).max()


def test_without_a_formula_it_is_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colouring, "_by_formula", lambda *_: None)
    assert check(banded(99, -1, 0, 1)) == 3
    assert check(banded(99, -2, -1, 0, 1, 2)) == 5
    assert check(grid(30, 30)) <= 8


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 14), st.floats(0, 1), st.integers(0, 3), st.integers(0, 10**6))
def test_symmetric_patterns(n: int, density: float, full: int, seed: int) -> None:
    """Every entry can be read in one of its two columns, where no other column of that colour has an entry."""
    dense = np.random.default_rng(seed).random((n, n)) < density
    dense[:full] = True
    dense |= dense.T
    matrix = sparse.csr_array(dense)
    colours, count, own = colour_symmetric(matrix)
    assert count == (int(colours.max()) + 1 if matrix.nnz else 0)
    assert count <= colour_columns(matrix)[1]
    for i, j in np.argwhere(dense):
        row, column = (j, i) if own[i] and not own[j] else (i, j)
        assert [k for k in np.flatnonzero(dense[row]) if colours[k] == colours[column]] == [column]


def test_full_columns_of_symmetric_patterns_cost_one_colour_each() -> None:
    n = 50
    matrix = banded(n, -1, 0, 1).toarray()
    assert colour_symmetric(sparse.csr_array(matrix))[1] == 3
    matrix[7] = matrix[:, 7] = matrix[30] = matrix[:, 30] = True
    _, count, full = colour_symmetric(sparse.csr_array(matrix))
    assert count == 5
    assert np.flatnonzero(full).tolist() == [7, 30]
    assert colour_symmetric(sparse.csr_array(np.ones((6, 6))))[1] == 6


@pytest.mark.slow
def test_large_ones_are_fast() -> None:
    for matrix, count in (
        (banded(100_000, -1, 0, 1), 3),
        (banded(100_000, -7, -1, 0, 1, 7), 9),
        (grid(300, 300), 5),
        (grid(300, 300, corners=True), 9),
    ):
        start = time.perf_counter()
        assert colour_columns(matrix)[1] <= count
        assert time.perf_counter() - start < 2.0
