"""debug_nans with the transforms that compute many examples, or many directions, at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import NanError

x = np.array([1.0, 2.0])
total = lambda v: (v**3).sum()

TRANSFORMS: dict[str, Callable[..., Any]] = {
    "jacfwd": lambda: ad.jacfwd(np.sin)(x),
    "jacrev": lambda: ad.jacrev(np.sin)(x),
    "hessian": lambda: ad.hessian(total)(x),
    "hessian of a maximum": lambda: ad.hessian(lambda v: np.maximum(v, 0.0).sum() ** 2)(x),
    "vmap of grad": lambda: ad.vmap(ad.grad(np.exp))(x),
    "grad of vmap": lambda: ad.grad(lambda v: ad.vmap(np.exp)(v).sum())(x),
    "vmap of hessian": lambda: ad.vmap(ad.hessian(total))(np.stack([x, x])),
    "hvp of vmap": lambda: ad.hvp(lambda v: ad.vmap(np.exp)(v).sum())(x, x),
}


@pytest.mark.parametrize("compute", TRANSFORMS.values(), ids=TRANSFORMS)
def test_no_nan_no_difference(compute: Callable[..., Any]) -> None:
    expected = compute()
    with ad.debug_nans():
        np.testing.assert_array_equal(compute(), expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "compute",
    [
        lambda z: ad.vmap(ad.grad(np.log))(z),
        lambda z: ad.grad(lambda v: ad.vmap(np.log)(v).sum())(z),
        lambda z: ad.jacrev(np.log)(z),
        lambda z: ad.hessian(lambda v: np.log(v).sum())(z),
    ],
)
def test_a_nan_in_one_example(compute: Callable[..., Any]) -> None:
    with (
        ad.debug_nans(),
        pytest.raises(NanError, match=r"log: the result has 1 nan among 2 elements, at .*test_nans"),
    ):
        compute(np.array([1.0, -1.0]))


@pytest.mark.parametrize("transform", [ad.jacfwd, ad.jacrev, lambda f: ad.vmap(ad.grad(f))])
def test_a_nan_in_a_derivative(transform: Callable[..., Any]) -> None:
    f = ad.custom_rule(lambda v: v * 1.0, vjp=lambda g, v: g * np.sqrt(v - 2), jvp=lambda t, v: t * np.sqrt(v - 2))
    with np.errstate(all="ignore"), ad.debug_nans(), pytest.raises(NanError, match="the derivative has"):
        transform(lambda v: f(v) * 1.0)(np.array([3.0, 1.0]))
