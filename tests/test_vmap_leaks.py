"""Values that a function leaves behind when its vmap ends: they stand for all examples; nothing is made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import BatchError

X = np.arange(6.0).reshape(3, 2)
x = np.array([1.0, 2.0])


def leaked(X: Any) -> Any:
    kept: list[Any] = []
    ad.vmap(lambda x: kept.append(x.sum()) or x)(X)
    return kept[0]


def in_a_buffer(X: Any) -> Any:
    total = np.zeros(2)

    def f(x: Any) -> Any:
        total[:] = x
        return x.sum()

    ad.vmap(f)(X)
    return total.sum()


def add_to_gradients(X: Any) -> None:
    (ad.Value(2.0) * leaked(X)).backward()


USES: dict[str, Callable[[Any], Any]] = {
    "grad": lambda f: ad.grad(f)(X),
    "grad of a constant": lambda f: ad.grad(lambda y: y * f(X))(2.0),
    "value_and_grad": lambda f: ad.value_and_grad(f)(X),
    "value_and_grad, aux": lambda f: ad.value_and_grad(lambda X: (X.sum(), {"a": f(X)}), has_aux=True)(X),
    "aux, a constant": lambda f: ad.grad(lambda y: (y, f(X)), has_aux=True)(1.0),
    "elementwise_grad": lambda f: ad.elementwise_grad(lambda y: y * f(X))(1.0),
    "vjp": lambda f: ad.vjp(f, X),
    "jvp": lambda f: ad.jvp(f, (X,), (X,)),
    "linearize": lambda f: ad.linearize(f, X),
    "jacobian": lambda f: ad.jacobian(f)(X),
    "jacrev": lambda f: ad.jacrev(lambda X: [X, f(X)])(X),
    "hessian": lambda f: ad.hessian(f)(X),
    "hvp": lambda f: ad.hvp(f)(X, X),
    "vhp": lambda f: ad.vhp(f)(X, X),
    "vmap": lambda f: ad.vmap(f)(X[None]),
    "vmap, the same for all": lambda f: ad.vmap(lambda y: (y, f(X)), out_axes=(0, None))(x),
    "vmap, loop": lambda f: ad.vmap(lambda y: y * f(X), loop=True)(x),
    "vmap inside": lambda f: ad.grad(lambda y: ad.vmap(lambda x: x * f(X))(y).sum())(x),
}


@pytest.mark.parametrize("use", USES)
def test_what_has_leaked_is_no_result(use: str) -> None:
    with pytest.raises(BatchError, match=r"returned a Value from inside a vmap that has ended.*return it from the"):
        USES[use](leaked)


@pytest.mark.parametrize("transform", [ad.grad, ad.value_and_grad, ad.jacobian, ad.hessian])
def test_nor_what_it_was_written_to(transform: Any) -> None:
    name = transform.__name__
    with pytest.raises(BatchError, match=f"{name}: in_a_buffer returned a Value from inside a vmap that has ended"):
        transform(in_a_buffer)(X)


@pytest.mark.parametrize("name", ["sparse_jacobian", "sparse_hessian"])
def test_sparse(name: str) -> None:
    pytest.importorskip("scipy")
    with pytest.raises(BatchError, match=f"{name}: leaked returned a Value from inside a vmap that has ended"):
        getattr(ad, name)(leaked)(x)


def test_backward() -> None:
    with pytest.raises(BatchError, match="backward: this is a Value from inside a vmap that has ended"):
        add_to_gradients(X)


def test_what_is_inside_may_be_used_inside() -> None:
    """By transforms in the function that is mapped, and by an inner vmap."""
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept[:] = [x.sum()]
        inner = ad.vmap(lambda y: y * kept[0])(np.ones(4)).sum()
        return inner + ad.grad(lambda y: (y * y * kept[0]).sum())(x).sum()

    np.testing.assert_allclose(ad.vmap(f)(X), [(4 + 2 * r.sum()) * r.sum() for r in X])
