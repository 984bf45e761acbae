"""Each transform inside each other, against closed forms: the tables are generated.

A row is one way to make of a function that works element by element its derivative, of order 0, 1 or 2. Whatever is put
into whatever, the orders add up.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import over
from test_transforms import taylor_of_exp_sin

import autodiff as ad

Function = Callable[..., Any]

x3 = np.array([0.3, -1.2, 2.0])


def total(f: Function) -> Function:
    return lambda x: f(x).sum()


def one(x: Any) -> Any:
    return np.ones(np.shape(x))


def diagonal(j: Any) -> Any:
    return np.diagonal(j, 0, -2, -1)


def custom(f: Function) -> Function:
    """f, with its derivative as a rule: the rule is what nests."""
    wrapped = ad.custom_rule(lambda x: f(x))
    wrapped.vjp(lambda g, x: g * ad.elementwise_grad(f)(x))
    return wrapped


def in_place(f: Function) -> Function:
    """f, written into a buffer element by element."""

    def filled(x: Any) -> Any:
        out = np.zeros(3)
        for i in range(3):
            out[i] = f(x[i : i + 1])[0]
        return out

    return filled


ORDER_0: dict[str, Function] = {
    "vmap": lambda f: lambda x: ad.vmap(f)(x.reshape(3, 1)).reshape(3),
    "vmap of rows": lambda f: lambda x: ad.vmap(f)(np.stack([x, x * 0.5]))[0],
    "vmap, out_axes": lambda f: lambda x: ad.vmap(f, in_axes=1, out_axes=1)(np.stack([x, x])).T[:, 0],
    "vmap(loop)": lambda f: lambda x: ad.vmap(f, loop=True)(x.reshape(3, 1)).reshape(3),
    "checkpoint": ad.checkpoint,
    "checkpoint_scan": lambda f: lambda x: ad.checkpoint_scan(lambda y, i: f(x) if i == 1 else y * 0.5, x, 2),
    "custom_rule": custom,
    "in place": in_place,
}
ORDER_1: dict[str, Function] = {
    "grad": lambda f: ad.grad(total(f)),
    "value_and_grad": lambda f: lambda x: ad.value_and_grad(total(f))(x)[1],
    "vjp": lambda f: lambda x: ad.vjp(f, x)[1](one(x))[0],
    "jvp": lambda f: lambda x: ad.jvp(f, (x,), (one(x),))[1],
    "linearize": lambda f: lambda x: ad.linearize(f, x)[1](one(x)),
    "jacfwd": lambda f: lambda x: diagonal(ad.jacfwd(f)(x)),
    "jacrev": lambda f: lambda x: diagonal(ad.jacrev(f)(x)),
    "jacobian": lambda f: lambda x: ad.jacobian(f)(x).sum(axis=0),
    "elementwise_grad": ad.elementwise_grad,
    "per example": lambda f: ad.vmap(ad.grad(lambda v: f(v.reshape(1)).sum())),
}
ORDER_2: dict[str, Function] = {
    "hessian": lambda f: lambda x: diagonal(ad.hessian(total(f))(x)),
    "hvp": lambda f: lambda x: ad.hvp(total(f))(x, one(x)),
    "vhp": lambda f: lambda x: ad.vhp(total(f))(x, one(x)),
}
TABLE: dict[str, tuple[int, Function]] = {
    name: (order, make) for order, rows in enumerate([ORDER_0, ORDER_1, ORDER_2]) for name, make in rows.items()
}
# f is called on other shapes than its own: only with three elements can it be filled, or cut into three examples.
SHAPED = {"in place", "vmap of rows", "vmap, out_axes", "vmap(loop)", "checkpoint_scan", "vmap", "per example"}


def fits(nest: tuple[str, ...]) -> bool:
    """Innermost first: what calls its function on parts of x can be around others, but no `SHAPED` one inside it."""
    return not any(name in SHAPED for name in nest[:-1]) or not any(name in SHAPED for name in nest[1:])


def nested(nest: tuple[str, ...], f: Function) -> tuple[int, Function]:
    order = 0
    for name in nest:
        order += TABLE[name][0]
        f = TABLE[name][1](f)
    return order, f


def check(nest: tuple[str, ...]) -> None:
    order, f = nested(nest, lambda x: np.exp(np.sin(x)))
    result = f(x3)
    assert type(result) is np.ndarray and result.shape == (3,)
    expected = [taylor_of_exp_sin(float(x), order)[order] for x in x3]
    np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("outer", TABLE)
def test_each_inside_each(outer: str) -> None:
    over([nest for inner in TABLE if fits(nest := (inner, outer))], check)


@pytest.mark.parametrize("block", range(6))
def test_three_deep(block: int) -> None:
    nests = [n for n in itertools.product(TABLE, repeat=3) if fits(n) and sum(TABLE[i][0] for i in n) <= 6]
    chosen = random.Random(0).sample(nests, 240)
    over(chosen[40 * block : 40 * block + 40], check)


@pytest.mark.slow
@pytest.mark.parametrize("outer", TABLE)
def test_every_nest_three_deep(outer: str) -> None:
    nests = [(*inner, outer) for inner in itertools.product(TABLE, repeat=2)]
    over([n for n in nests if fits(n) and sum(TABLE[i][0] for i in n) <= 6], check)


# -- perturbation confusion: the inner function closes over the outer variable


def derivative(form: tuple[Any, Any]) -> tuple[Any, Any]:
    """Of p sin(x^2) + q cos(x^2), with polynomials p and q."""
    p, q = form
    twice = np.polynomial.Polynomial([0, 2])
    return p.deriv() - twice * q, q.deriv() + twice * p


def closed_form(inner: int, outer: int) -> Any:
    """The derivative of order `outer` of what the one of order `inner` of y -> x sin(x y) is at y = x."""
    power = np.polynomial.Polynomial([0] * (inner + 1) + [1])  # x^(n+1)
    zero = np.polynomial.Polynomial([0])
    form = [(power, zero), (zero, power), (-power, zero)][inner]
    for _ in range(outer):
        form = derivative(form)
    return form[0](x3) * np.sin(x3**2) + form[1](x3) * np.cos(x3**2)


# The inner function has x of all three elements: nothing here calls it on a part of y, nor has a rule of its own.
WHOLE = [name for name in TABLE if name not in SHAPED | {"custom_rule"}]


@pytest.mark.parametrize("outer", [*WHOLE, "custom_rule", "checkpoint_scan"])
def test_perturbations_do_not_mix(outer: str) -> None:
    def check(inner: str) -> None:
        f = TABLE[outer][1](lambda x: TABLE[inner][1](lambda y: x * np.sin(x * y))(x))
        np.testing.assert_allclose(f(x3), closed_form(TABLE[inner][0], TABLE[outer][0]), rtol=1e-11, atol=1e-11)

    over(WHOLE, check)


@pytest.mark.parametrize("inner", [*ORDER_1])
def test_perturbations_of_examples_do_not_mix(inner: str) -> None:
    """Under vmap x is one example, closed over by a derivative with respect to y, and the other way round."""
    if inner == "per example":
        return
    rows = np.stack([x3, 2 * x3, -x3])
    f = lambda x, y: ORDER_1[inner](lambda v: x * np.sin(x * v))(y)
    expected = lambda x, y: x**2 * np.cos(x * y)
    np.testing.assert_allclose(ad.vmap(f)(rows, rows + 1), expected(rows, rows + 1), rtol=1e-12)
    np.testing.assert_allclose(ad.vmap(f, (0, None))(rows, x3), expected(rows, x3), rtol=1e-12)
    np.testing.assert_allclose(ad.vmap(f, (None, 0))(x3, rows), expected(x3, rows), rtol=1e-12)
    both = ad.vmap(ad.vmap(f, (None, 0)), (0, None))(rows, rows)
    np.testing.assert_allclose(both, expected(rows[:, None], rows), rtol=1e-12)
    slope = ad.grad(lambda y: (ad.vmap(lambda x: f(x, y))(rows)).sum())(x3)  # y is shared: the sum over examples
    np.testing.assert_allclose(slope, -(rows**3 * np.sin(rows * x3)).sum(axis=0), rtol=1e-11)


def test_sparse_transforms_do_not_nest_and_say_so() -> None:
    f = ad.sparse_jacobian(lambda x: np.sin(x) * x)
    for call in (lambda: ad.grad(lambda x: f(x).sum())(x3), lambda: ad.vmap(f)(np.stack([x3, x3]))):
        with pytest.raises((ad.GraphError, ad.OperandError, ad.BatchError), match="sparse_jacobian"):
            call()
    for name, (order, make) in TABLE.items():
        if name in SHAPED and name != "checkpoint_scan":
            continue
        dense = ad.sparse_jacobian(make(lambda x: np.exp(np.sin(x))))(x3).toarray()
        expected = [taylor_of_exp_sin(float(x), order + 1)[order + 1] for x in x3]
        np.testing.assert_allclose(np.diag(dense), expected, rtol=1e-10, err_msg=name)
        np.testing.assert_allclose(dense - np.diag(np.diag(dense)), 0.0, atol=1e-12)
