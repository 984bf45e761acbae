"""One function, differentiated in every way: all of them have to agree with finite differences.

The function runs on plain arrays as on Values. It may write to its arguments, so plain runs get copies; then
pass `writes=True`, which leaves out the runs on variables, as these refuse to be written to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from checks import Array, assert_close, directional, inner, random_like, raw

import autodiff as ad
from autodiff import Value

Function = Callable[..., Any]

STEP = 3e-4  # of the finite differences
RTOL = 1e-8
ROUNDING = 1e-13  # NumPy's power differs in the last bit between a 0-d array, a scalar and longer arrays
FLOOR = 1e-2  # derivatives are of order 1; one far below that is compared as if it were so large


def plain(f: Function, like: Sequence[Any]) -> Function:
    """`f` on arrays of its own, which it may write to; on scalars where `like` has them."""
    return lambda *xs: f(
        *(np.array(x) if isinstance(k, np.ndarray) else np.asarray(x)[()] for k, x in zip(like, xs, strict=True))
    )


def directions(f: Function, xs: Sequence[Any], seed: int = 0) -> tuple[Any, list[Array]]:
    """A cotangent for the result, and a direction of length 1 for the arguments."""
    rng = np.random.default_rng(seed + 1)
    u = random_like(rng, np.asarray(plain(f, xs)(*xs)))[()]
    vs = [random_like(rng, np.asarray(x)) for x in xs]
    length = np.sqrt(sum(inner(v, v) for v in vs)) or 1.0
    return u, [np.asarray(v / length) for v in vs]


def total(us: Sequence[Any], vs: Sequence[Any]) -> float:
    return sum(inner(raw(u), raw(v)) for u, v in zip(us, vs, strict=True))


def gradients_of(values: Sequence[Value]) -> list[Any]:
    return [np.zeros(v.shape) if v.grad is None else v.grad for v in values]


def check_value(f: Function, xs: Sequence[Any], *, writes: bool = False) -> None:
    """Values compute what arrays compute, and leave their arguments as they were."""
    expected = plain(f, xs)(*xs)
    given = [x.copy() if isinstance(x, np.ndarray) else x for x in xs]
    result = ad.vjp(f, *given)[0]
    assert type(result) is type(expected) and result.dtype == expected.dtype
    assert_close(result, expected, ROUNDING, 1.0, "value")
    for x, g in zip(xs, given, strict=True):
        np.testing.assert_array_equal(g, x)
    if not writes:
        values = [Value(x) for x in xs]
        result = f(*values)
        assert isinstance(result, Value) and result.shape == np.shape(expected) and result.dtype == expected.dtype
        assert_close(result, expected, ROUNDING, 1.0, "value")
        for v, x in zip(values, xs, strict=True):
            np.testing.assert_array_equal(v.data, x)
        with ad.no_grad():
            result = f(*values)
            assert_close(result, expected, ROUNDING, 1.0, "under no_grad")
            assert not (isinstance(result, Value) and result.requires_grad)


def check_first_order(f: Function, xs: Sequence[Any], *, seed: int = 0, writes: bool = False) -> None:
    """backward(), vjp and jvp against finite differences, and against each other."""
    u, vs = directions(f, xs, seed)
    expected = directional(plain(f, xs), xs, vs, STEP)
    y, tangent = ad.jvp(f, tuple(xs), tuple(vs))
    assert_close(y, plain(f, xs)(*xs), ROUNDING, 1.0, "value")
    assert_close(tangent, expected, RTOL, FLOOR, "jvp")

    y, pull = ad.vjp(f, *xs)
    assert_close(y, plain(f, xs)(*xs), ROUNDING, 1.0, "value")
    cotangents = pull(u)
    for x, c, again in zip(xs, cotangents, pull(u), strict=True):
        assert c.shape == np.shape(x) and c.dtype == np.asarray(x).dtype
        assert_close(again, c, 0.0, FLOOR, "vjp, a second time")
    if not writes:
        values = [Value(x) for x in xs]
        f(*values).backward(gradient=u)
        for c, g in zip(cotangents, gradients_of(values), strict=True):
            assert_close(g, c, 1e-13, FLOOR, "backward and vjp")
    scale = max(FLOOR, float(np.sum(np.abs(u * expected))))
    assert_close(total(cotangents, vs), total([u], [expected]), RTOL, scale, "vjp")
    assert_close(total(cotangents, vs), total([u], [tangent]), 1e-12, scale, "vjp and jvp")


def check_second_order(f: Function, xs: Sequence[Any], *, seed: int = 0, writes: bool = False) -> None:
    """The Hessian of sum(u y^2) times a direction, against finite differences of the gradient."""
    u, vs = directions(f, xs, seed)
    where = tuple(range(len(xs)))

    def phi(*xs: Any) -> Any:
        y = f(*xs)
        y = u * y * y
        return (y.real if y.dtype.kind == "c" else y).sum()

    gradient = ad.grad(phi, where)
    assert_close(total(gradient(*xs), vs), directional(plain(phi, xs), xs, vs, STEP), RTOL, 1.0, "gradient")
    expected = directional(plain(gradient, xs), xs, vs, STEP)

    def slope(*xs: Any) -> Any:
        return sum(_real_product(g, v) for g, v in zip(gradient(*xs), vs, strict=True))

    results = {
        "reverse over reverse, grad": ad.grad(slope, where)(*xs),
        "forward over reverse": ad.jvp(gradient, tuple(xs), tuple(vs))[1],
        "reverse over forward": ad.grad(lambda *xs: ad.jvp(phi, tuple(xs), tuple(vs))[1], where)(*xs),
    }
    if not writes:
        values = [Value(x) for x in xs]
        phi(*values).backward(create_graph=True)
        first = gradients_of(values)
        for v in values:
            v.zero_grad()
        s = sum(_real_product(g, v) for g, v in zip(first, vs, strict=True))
        if isinstance(s, Value) and s.requires_grad:  # else the gradient is a constant
            s.backward()
        results["reverse over reverse, backward"] = gradients_of(values)
    scale = max(FLOOR, *(float(np.max(np.abs(e), initial=0.0)) for e in (*expected, *gradient(*xs))))
    for name, result in results.items():
        for k, (r, e) in enumerate(zip(result, expected, strict=True)):
            assert_close(r, e, RTOL, scale, f"{name}, x{k}")


def _real_product(g: Any, v: Any) -> Any:
    product = g * np.conj(v)
    return (product.real if product.dtype.kind == "c" else product).sum()


def check_all(f: Function, *xs: Any, writes: bool = False) -> None:
    """Value, first and second order."""
    check_value(f, xs, writes=writes)
    check_first_order(f, xs, writes=writes)
    check_second_order(f, xs, writes=writes)
