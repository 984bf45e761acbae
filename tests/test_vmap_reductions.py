"""vmap: reductions whose `where` or `initial` differs between the examples, of a batch or of what all share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
import autodiff.numpy as anp
from autodiff import vmap

A = np.array([[1.0, 2.0], [3.0, 4.0]])
I = np.arange(4).reshape(2, 2)
Y = np.array([[1.0, 3.0], [5.0, 2.5], [2.0, 1.0]])
K = np.array([[1, 2], [5, 0], [-7, 3]])

PLAIN: dict[str, Callable[..., Any]] = {
    "sum": lambda y: np.sum(A, axis=0, where=y > 2),
    "sum of all": lambda y: np.sum(A, where=y > 2, initial=1.0),
    "sum, dtype": lambda y: np.sum(A, axis=0, dtype=np.float32, where=y > 2),
    "method": lambda y: A.sum(axis=-1, where=y > 2, keepdims=True),
    "nansum": lambda y: np.nansum(A, axis=0, where=y > 2),
    "mean": lambda y: np.mean(A, axis=0, where=y >= 1),
    "var": lambda y: np.var(A, axis=0, where=y >= 1),
    "std": lambda y: np.std(A, where=y > 0, ddof=1),
    "prod": lambda y: np.prod(A, axis=0, where=y > 2),
    "max": lambda y: np.max(A, axis=0, where=y > 2, initial=0.0),
    "any": lambda y: np.any(A > 2, axis=0, where=y > 2),
    "all": lambda y: np.all(A > 2, axis=0, where=y > 2),
    "reduce": lambda y: np.add.reduce(A, 1, where=y > 2),
    "reduce without a function": lambda k: np.bitwise_or.reduce(I, where=k > 1),
    "reduce of a batch": lambda k: np.bitwise_xor.reduce(k),
    "reduce over all axes": lambda y: np.maximum.reduce(A * y, axis=None),
    "initial": lambda y: np.sum(y, initial=y[0]),
    "initial of a maximum": lambda y: np.max(y * A, axis=0, initial=y[0]),
    "initial and where": lambda y: np.min(y, axis=0, where=y > 2, initial=y[0]),
    "initial, integers": lambda k: np.max(k, initial=k[0]),
    "initial, integers, minimum": lambda k: np.min(k, axis=0, initial=k[0], keepdims=True),
    "initial, truth values": lambda k: np.min(k > 1, initial=k[0] > 1),
    "initial of reduce": lambda y: np.maximum.reduce(y, initial=y[1]),
    "initial of nanmax": lambda y: np.nanmax(y, initial=y[0]),
}
# The same of a constant that is a Value, where NumPy by itself would not look at `where` and `initial`.
VALUES: dict[str, Callable[..., Any]] = {
    "sum": lambda a, y: np.sum(a, axis=0, where=y > 2),
    "mean": lambda a, y: np.mean(a, axis=0, where=y >= 1),
    "initial": lambda a, y: np.sum(a, axis=1, initial=y[0], keepdims=True),
    "max": lambda a, y: np.max(a, axis=0, initial=y[0]),
    "max, where": lambda a, y: np.max(a, axis=0, where=y > 2, initial=y[1]),
    "var": lambda a, y: np.var(a, axis=0, where=y >= 1),
    "var, ddof": lambda a, y: np.var(a, where=y > 0, ddof=1),
    "std": lambda a, y: np.std(a, where=y > 0, keepdims=True),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", PLAIN)
def test_of_arrays(name: str) -> None:
    for batch in (Y, K) if "integers" not in name and "reduce" not in name else (K,):
        each = np.stack([PLAIN[name](y) for y in batch])
        found = vmap(PLAIN[name])(batch)
        assert found.dtype == each.dtype
        np.testing.assert_allclose(found, each)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", VALUES)
def test_of_values(name: str) -> None:
    f = VALUES[name]
    each = np.stack([f(A, y) for y in Y])
    np.testing.assert_allclose(vmap(lambda y: f(anp.asarray(A), y))(Y), each)
    np.testing.assert_allclose(vmap(f, (None, 0))(ad.Value(A, requires_grad=False), Y), each)
    total = lambda a: sum((f(a, y) ** 2).sum() for y in Y)
    of_batch = lambda a: (vmap(f, (None, 0))(a, Y) ** 2).sum()
    np.testing.assert_allclose(ad.grad(of_batch)(A), ad.grad(total)(A))
    np.testing.assert_allclose(ad.hvp(of_batch)(A, A + 1), ad.hvp(total)(A, A + 1), atol=1e-12)
    np.testing.assert_allclose(
        vmap(ad.grad(lambda a, y: f(a, y).sum()), (None, 0))(A, Y),
        np.stack([ad.grad(lambda a, y: f(a, y).sum())(A, y) for y in Y]),
    )
