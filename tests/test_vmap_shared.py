"""vmap: the gradient of an array that all examples share is one sum, and not an array for each example first."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import vmap

RANDOM = np.random.default_rng(3)
N, BATCH = 6, 5
W = RANDOM.normal(size=(N, N))
STACK = RANDOM.normal(size=(3, N, N))
VECTORS, MATRICES = RANDOM.normal(size=(BATCH, N)), RANDOM.normal(size=(BATCH, 2, N))
STACKS = RANDOM.normal(size=(BATCH, 3, 2, N))

# The shared array, the examples, and a function of both.
PRODUCTS: dict[str, tuple[Any, Any, Callable[[Any, Any], Any]]] = {
    "W @ x": (W, VECTORS, lambda w, x: w @ x),
    "x @ W": (W, VECTORS, lambda w, x: x @ w),
    "X @ W": (W, MATRICES, lambda w, x: x @ w),
    "W @ X": (W, MATRICES, lambda w, x: w @ x.T),
    "v @ X": (W[0], MATRICES, lambda v, x: v @ x.T),
    "X @ v": (W[0], MATRICES, lambda v, x: x @ v),
    "v @ x": (W[0], VECTORS, lambda v, x: v @ x),
    "stacks @ W": (W, STACKS, lambda w, x: x @ w),
    "W @ stacks": (W, STACKS, lambda w, x: w @ x.swapaxes(-1, -2)),
    "stack @ stacks": (STACK, STACKS, lambda w, x: x @ w),
    "stack @ X, broadcast": (STACK, MATRICES, lambda w, x: w @ x.T),
    "stack of one": (STACK[:1], STACKS, lambda w, x: x @ w),
    "stack @ x": (STACK, VECTORS, lambda w, x: w @ x),
    "x @ stack": (STACK, VECTORS, lambda w, x: x @ w),
    "np.dot": (W, VECTORS, lambda w, x: np.dot(w, x)),
    "np.dot, right": (W, MATRICES, lambda w, x: np.dot(x, w)),
    "np.dot of a stack": (STACK, MATRICES, lambda w, x: np.dot(x, w)),
    "np.dot of stacks": (W, STACKS, lambda w, x: np.dot(x, w)),
    "np.inner": (W, VECTORS, lambda w, x: np.inner(w, x)),
    "np.vecdot": (W, VECTORS, lambda w, x: np.vecdot(w, x)),
    "np.tensordot": (W, MATRICES, lambda w, x: np.tensordot(x, w, (1, 1))),
    "quadratic": (W, VECTORS, lambda w, x: x @ w @ x),
    "quadratic by einsum": (W, VECTORS, lambda w, x: np.einsum("i,ij,j", x, w, x)),
    "einsum": (W, MATRICES, lambda w, x: np.einsum("ki,ij->kj", x, w)),
    "einsum with a stack": (STACK, MATRICES, lambda w, x: np.einsum("bij,kj->kbi", w, x)),
    "of two shared": (W, VECTORS, lambda w, x: (w @ w) @ x),
    "of two shared, and a factor": (W, VECTORS, lambda w, x: (w @ np.ones(N)) * x),
    "complex": (W * (1 + 0.5j), VECTORS, lambda w, x: abs(w @ x) ** 2),
    "float32": (W.astype("f4"), VECTORS, lambda w, x: w @ x),
}


def loss(f: Any, w: Any, xs: Any) -> Any:
    return np.sum(np.sin(abs(vmap(f, in_axes=(None, 0))(w, xs))))


def total(f: Any, w: Any, xs: Any) -> Any:
    """The same without vmap."""
    parts = [np.sum(np.sin(abs(f(w, x)))) for x in xs]
    return sum(parts[1:], parts[0])


@pytest.mark.parametrize("name", PRODUCTS)
def test_gradient(name: str) -> None:
    w, xs, f = PRODUCTS[name]
    found, expected = ad.grad(lambda w: loss(f, w, xs))(w), ad.grad(lambda w: total(f, w, xs))(w)
    assert found.dtype == w.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5 if name == "float32" else 1e-10)


@pytest.mark.parametrize("name", PRODUCTS)
def test_inside_another_vmap(name: str) -> None:
    """The outer examples have a gradient each, whoever has what the inner ones share."""
    w, xs, f = PRODUCTS[name]
    rtol = 1e-4 if name == "float32" else 1e-10
    ws, many = np.stack([w, 2 * w, 1 - w]), np.stack([xs, xs + 1, 1 - xs])
    gradient = lambda w, xs: ad.grad(lambda w: loss(f, w, xs))(w)
    one = lambda w, xs: ad.grad(lambda w: total(f, w, xs))(w)
    both = vmap(gradient)(ws, many)
    np.testing.assert_allclose(both, np.stack([one(*pair) for pair in zip(ws, many, strict=True)]), rtol=rtol)
    shared = vmap(gradient, in_axes=(None, 0))(w, many)
    np.testing.assert_allclose(shared, np.stack([one(w, x) for x in many]), rtol=rtol)
    of_all = ad.grad(lambda w: vmap(lambda xs: loss(f, w, xs))(many).sum())(w)
    np.testing.assert_allclose(of_all, sum(one(w, x) for x in many), rtol=rtol, atol=rtol)


SOME = ["W @ x", "x @ W", "X @ v", "stack @ X, broadcast", "np.dot", "einsum", "of two shared"]


@pytest.mark.parametrize("name", SOME)
def test_second_order(name: str) -> None:
    w, xs, f = PRODUCTS[name]
    v = np.cos(np.arange(w.size)).reshape(w.shape)
    found, expected = ad.hvp(lambda w: loss(f, w, xs))(w, v), ad.hvp(lambda w: total(f, w, xs))(w, v)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(ad.vhp(lambda w: loss(f, w, xs))(w, v), expected, rtol=1e-9)
    again = ad.grad(lambda w: (ad.grad(lambda w: loss(f, w, xs))(w) * v).sum())(w)
    np.testing.assert_allclose(again, expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["W @ x", "x @ W", "X @ W", "W @ X", "np.dot", "np.tensordot", "quadratic", "einsum"])
def test_memory(name: str) -> None:
    _, xs, f = PRODUCTS[name]
    n, batch = 200, 64
    w, xs = np.ones((n, n)), np.ones((batch, *xs.shape[1:-1], n))
    gradient = ad.grad(lambda w: loss(f, w, xs))
    gradient(w)
    tracemalloc.start()
    gradient(w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * w.nbytes  # and not `batch` times as much
