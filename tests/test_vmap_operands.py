"""vmap: numbers and lists beside a batch, in functions that search, count and interpolate; and arrays from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import BatchError, vmap

A = np.array([[1.0, 2.0], [3.0, 4.0]])
I = np.array([[0, 1], [1, 0]])

OF_FLOATS: dict[str, Callable[..., Any]] = {
    "searchsorted, a number": lambda s: np.searchsorted(s, 1.5),
    "searchsorted, a list": lambda s: np.searchsorted(s, [1.5, 2], side="right"),
    "searchsorted, an array": lambda s: np.searchsorted(s, np.array([[1.5, 2]])),
    "searchsorted, out of order": lambda s: np.searchsorted(-s, -1.5, sorter=np.argsort(-s)),
    "searchsorted in a list": lambda s: np.searchsorted([1, 2, 3], s),
    "digitize": lambda s: np.digitize(1.5, s),
    "interp": lambda s: np.interp(1.5, s, [0.0, 1.0]),
    "interp at a list": lambda s: np.interp([1.5, 2.0], s, s),
    "interp of numbers": lambda s: np.interp(s, [0.0, 1.0], [1, 2]),
    "interp outside": lambda s: np.interp(9.0, s, s, left=-1.0, right=-2.0),
    "interp with a period": lambda s: np.interp(9.0, s, s, period=3),
    "bincount of a list": lambda s: np.bincount([0, 1], weights=s, minlength=3),
    "bincount of nothing": lambda s: np.bincount([], weights=s[:0], minlength=2),
}
OF_INTEGERS: dict[str, Callable[..., Any]] = {
    "sorter": lambda i: np.searchsorted(np.ones(2), 1.5, sorter=i),
    "sorter of a list": lambda i: np.searchsorted([1.0, 1.0], [0.5, 1.5], sorter=i),
    "bincount": lambda i: np.bincount(i, weights=[1.0, 2.0], minlength=3),
}


@pytest.mark.parametrize("name", [*OF_FLOATS, *OF_INTEGERS])
def test_beside_a_batch(name: str) -> None:
    f, batch = (OF_FLOATS[name], A) if name in OF_FLOATS else (OF_INTEGERS[name], I)
    np.testing.assert_allclose(vmap(f)(batch), np.stack([f(b) for b in batch]))


@pytest.mark.parametrize("name", ["interp", "interp at a list", "interp of numbers", "bincount of a list"])
def test_derivatives(name: str) -> None:
    f = OF_FLOATS[name]
    each = np.stack([ad.jacrev(f)(a) for a in A])
    np.testing.assert_allclose(ad.jacfwd(f)(A[1]), each[1])
    np.testing.assert_allclose(vmap(ad.jacrev(f))(A), each)
    np.testing.assert_allclose(vmap(ad.jacfwd(f))(A), each)


def test_an_array_from_outside() -> None:
    total = np.zeros(2)

    def add(q: Any) -> Any:
        np.add.at(total, [0], q[0])
        return q

    with pytest.raises(BatchError, match="make the array inside the mapped function"):
        vmap(add)(A)


def test_a_mask_of_each_example() -> None:
    def chosen(y: Any) -> Any:
        out = np.zeros((2, 2))
        np.copyto(out, y, where=y > 2)
        np.copyto(out[0], 7.0, where=y > 3)
        np.putmask(out, out == 7.0, [1.0, 2.0, 3.0])
        return out

    np.testing.assert_array_equal(vmap(chosen)(A), np.stack([chosen(a) for a in A]))
    total = lambda a: (chosen(a) ** 2).sum()
    expected = np.stack([ad.grad(total)(a) for a in A])
    np.testing.assert_array_equal(vmap(ad.grad(total))(A), expected)
    np.testing.assert_array_equal(ad.grad(lambda a: (vmap(chosen)(a) ** 2).sum())(A), expected)


# NumPy asks some functions' first argument only whether it has something to say, and here it is a plain array.
M = np.array([[0.0, 3.0, 1.0], [4.0, 2.0, 5.0]])
HOLES = np.where(M == 3.0, np.nan, M)
OVERLOOKED: dict[str, Callable[[Any], Any]] = {
    "sum, initial": lambda x: np.sum(M, initial=x),
    "sum, initial and axis": lambda x: np.sum(M, axis=1, initial=x),
    "max, initial": lambda x: np.max(M, initial=3 * x),
    "prod, initial": lambda x: np.prod(M[1], initial=x),
    "prod, where and initial": lambda x: np.prod(M[1], where=x < M[1], initial=x),
    "any, where": lambda x: np.any(M > 4, where=x > M),
    "nansum, initial": lambda x: np.nansum(HOLES, initial=x),
    "nanmean, where": lambda x: np.nanmean(HOLES, where=x < HOLES),
    "nanmean, where, axis": lambda x: np.nanmean(HOLES, axis=1, where=x - 1 <= HOLES),
    "nanvar, where": lambda x: np.nanvar(HOLES, where=x < HOLES),
    "nanstd, where": lambda x: np.nanstd(HOLES, where=x < HOLES),
    "nanmax, where": lambda x: np.nanmax(HOLES, where=x < HOLES, initial=-1),
    "take": lambda x: np.take(M, x.astype(int), axis=1),
    "take, mode": lambda x: np.take(M, x.astype(int) + 5, mode="wrap"),
    "pad": lambda x: np.pad(M, 1, constant_values=x),
    "nan_to_num": lambda x: np.nan_to_num(HOLES, nan=x),
    "nan_to_num of a batch": lambda x: np.nan_to_num(HOLES * x, nan=x),
    "isclose, atol": lambda x: np.isclose(M, 1.0, atol=x),
    "isclose, by position": lambda x: np.isclose(M, x, 0.0, x),
}


@pytest.mark.parametrize("name", OVERLOOKED)
def test_options_that_numpy_overlooks(name: str) -> None:
    f, batch = OVERLOOKED[name], np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(vmap(f)(batch), np.stack([f(b) for b in batch]))


def test_a_tracked_option_is_refused_by_name() -> None:
    with pytest.raises(ad.DetachError, match="sum: no derivative for a tracked Value here"):
        ad.grad(lambda x: np.sum(M, initial=x))(1.0)
