"""vmap: which axes are refused, with and without loop=True, and the memory order of what is mapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import OperandError

X = np.arange(12.0).reshape(4, 3)
w = np.array([1.0, 2.0, 3.0])

either = pytest.mark.parametrize("loop", [False, True])


@either
def test_out_axes_none_is_for_what_is_the_same_for_all(loop: bool) -> None:
    vmap = lambda f: ad.vmap(f, (0, None), None, loop=loop)
    np.testing.assert_array_equal(vmap(lambda x, w: w * 2)(X, w), 2 * w)
    np.testing.assert_array_equal(vmap(lambda x, w: w * np.nan)(X, w), np.full(3, np.nan))
    assert vmap(lambda x, w: 3)(X, w) == 3
    np.testing.assert_array_equal(ad.grad(lambda w: vmap(lambda x, w: w**2)(X, w).sum())(w), 2 * w)
    np.testing.assert_array_equal(ad.vmap(lambda w: vmap(lambda x, w: w * 2)(X, w))(w), 2 * w)
    for f in (lambda x, w: x, lambda x, w: x * w, lambda x, w: x[0]):
        with pytest.raises(ValueError, match="out_axes is None for a result of <lambda> that differs"):
            vmap(f)(X, w)
        with pytest.raises(ValueError, match="out_axes is None for a result of <lambda> that differs"):
            ad.grad(lambda X, f=f: vmap(f)(X, w).sum())(X)
        with pytest.raises(ValueError, match="out_axes is None for a result of <lambda> that differs"):
            ad.vmap(lambda X, f=f: vmap(f)(X, w))(X[None])


@either
def test_no_such_axis(loop: bool) -> None:
    for axis in (4, -3):
        with pytest.raises(ValueError, match=f"vmap: out_axes has axis {axis} for a result of <lambda> with 1 axes"):
            ad.vmap(lambda x: x, out_axes=axis, loop=loop)(X)
    for axis in (True, np.False_, np.array([0, 1]), (True,)):
        with pytest.raises(OperandError, match=r"vmap: in_axes of argument 0: .* is no axis; pass an int, None"):
            ad.vmap(lambda x: x, axis, loop=loop)(X)
    with pytest.raises(OperandError, match="vmap: out_axes: True is no axis; pass an int, None"):
        ad.vmap(lambda x: x, out_axes=True, loop=loop)(X)
    np.testing.assert_array_equal(ad.vmap(lambda x: x, np.int64(1), loop=loop)(X), X.T)


def test_examples_of_different_shapes() -> None:
    x = np.array([[1.0, -1.0], [1.0, 1.0]])
    for f in (ad.vmap(lambda x: x[x > 0], loop=True), ad.grad(ad.vmap(lambda x: x[x > 0], loop=True))):
        with pytest.raises(
            ValueError, match=r"vmap: <lambda> returned shape \(1,\) for example 0 and \(2,\).* pad them"
        ):
            f(x)


@pytest.mark.parametrize("argnums", [True, np.False_, (0, True)])
@pytest.mark.parametrize("transform", [ad.grad, ad.jacobian, ad.hvp])
def test_a_truth_value_is_no_argument(transform: Any, argnums: Any) -> None:
    with pytest.raises(OperandError, match=r"argnums=.*; it is a position, a name, or a tuple of these"):
        transform(lambda x, y: y, argnums)


BLOCK = np.arange(24.0).reshape(4, 2, 3)


@pytest.mark.parametrize("order", ["C", "F", "A", "K"])
@pytest.mark.parametrize("x", [BLOCK, BLOCK.transpose(0, 2, 1), np.asfortranarray(BLOCK), BLOCK[:, ::-1]])
def test_the_memory_order_is_that_of_the_examples(x: Any, order: Any) -> None:
    f: Callable[[Any], Any] = lambda x: x.ravel(order) * np.arange(6)
    if order == "K" and x.flags.f_contiguous:  # the examples are side by side in memory
        with pytest.raises(OperandError, match='ravel: order="K" of an array that is not contiguous'):
            ad.vmap(f)(x)
        return
    expected = np.stack([f(part) for part in x])
    np.testing.assert_array_equal(ad.vmap(f)(x), expected)
    np.testing.assert_array_equal(
        ad.value_and_grad(lambda x: (ad.vmap(f)(x) * expected).sum())(x)[0], (expected**2).sum()
    )
