"""Writes inside of transforms inside of transforms: to arguments, to results, to buffers of an outer function.

The programs run on plain arrays too, inner transforms included, so that the outer derivative can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from all_orders import check_all

import autodiff as ad
from autodiff import Value

X = np.array([0.7, 1.2, -0.5, 0.9, 1.4])


def written_argument(x: Any) -> Any:
    """The inner function gets a copy of a view."""
    y = x * x
    row = y[1:]

    def inner(r: Any) -> Any:
        r *= 2.0
        r[0] = 1.0
        return (r * r).sum()

    g = ad.grad(inner)(row)
    y[1] = 0.5
    return np.concatenate([y, row, g])


def written_result(x: Any) -> Any:
    """What a transform returns is the caller's."""
    v, g = ad.value_and_grad(lambda t: (t**3).sum())(x * x)
    g[0] *= 2.0
    g[1:] += v
    h = g[::2]
    h *= h
    return g


def written_between_pullbacks(x: Any) -> Any:
    """A pullback stays at the point where it was made, whatever becomes of primals, results and cotangents."""
    y = x * x
    z, pull = ad.vjp(lambda r: r * r * r, y)
    y[0] = 0.1
    z[1] = 0.2
    (c,) = pull(x)
    y *= c
    c[0] = 5.0
    (d,) = pull(y)
    z *= d
    return np.concatenate([y, z, c, d])


def written_tangents(x: Any) -> Any:
    y = x * x
    v, u = y[::2], x[::2] * 1.0

    def inner(r: Any) -> Any:
        r = r * 1.0
        r[1:] = r[:-1] * r[1:]
        y[0] = 3.0
        return r

    z, t = ad.jvp(inner, (v,), (u,))
    t *= z
    z[0] = 0.5
    u[1:] = t[1:]
    return np.concatenate([y, v, z, t, u])


def written_outer_buffer(x: Any) -> Any:
    """The inner function writes to a buffer of the outer one, which goes on with it."""
    y = x * 1.0

    def inner(t: Any) -> Any:
        y[0] = t * t
        return (y * t).sum()

    t = x[1]
    if isinstance(x, Value):
        g = ad.grad(inner)(t)
    else:
        g = 3 * t * t + y[1:].sum()
        y[0] = t * t
    return np.concatenate([y, np.reshape(g, (1,))])


def accumulated(x: Any) -> Any:
    """Gradients collected in a buffer, while the inner function keeps a log."""
    log, total = np.zeros_like(x), np.zeros_like(x)

    def inner(t: Any, i: int) -> Any:
        log[i] = t * x[i]
        return t * t * log[i]

    for i in range(len(x)):
        if isinstance(x, Value):
            total[i:] += ad.grad(inner)(x[i], i)
        else:
            log[i] = x[i] * x[i]
            total[i:] += 3 * x[i] * x[i] * x[i]
    return np.concatenate([log, total])


def newton(x: Any) -> Any:
    """Second derivatives used inside, on a point that moves in place."""
    p = x * 1.0
    loss = lambda p: (p**4 + p * p[::-1]).sum()
    for _ in range(2):
        g = ad.grad(loss)(p)
        h = ad.jvp(ad.grad(loss), (p,), (np.ones_like(p),))[1]
        p -= 0.1 * g / (3.0 + h * h)
        p[0] *= 1.5
    return p


@pytest.mark.parametrize(
    "program",
    [
        written_argument,
        written_result,
        written_between_pullbacks,
        written_tangents,
        written_outer_buffer,
        accumulated,
        newton,
    ],
    ids=lambda f: f.__name__,
)
def test_nested(program: Callable[..., Any]) -> None:
    check_all(program, X)


def test_a_buffer_outside_of_the_transform() -> None:
    """It keeps what was written, with the gradient of what is known outside: none of the argument."""
    w = Value([1.0, 2.0])
    buffer = w * 1.0

    def f(x: Any) -> Any:
        buffer[0] = x[0] * w[1]
        return (buffer * x).sum()

    g = ad.grad(f)(np.array([3.0, 4.0]))
    assert g.data.tolist() == [2 * 3 * 2, 2]
    assert buffer.data.tolist() == [6, 2]
    buffer.sum().backward()
    assert w.grad.tolist() == [0, 4]


def test_results_of_transforms_are_the_callers() -> None:
    """Plain arrays, shared with no residual, argument, cotangent or other result."""
    x, u = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    for f in (np.exp, np.tanh, np.sqrt, lambda x: 1 / x, lambda x: x, lambda x: x[::-1], lambda x: x * x):
        y, pull = ad.vjp(f, x)
        (expected,) = pull(u)
        expected = expected.copy()
        y *= 0.0
        (c,) = pull(u)
        c *= 0.0
        np.testing.assert_array_equal(pull(u)[0], expected)
        y, t = ad.jvp(f, x, u)
        y *= 0.0
        t *= 0.0
        assert x.tolist() == [1, 2] and u.tolist() == [3, 4]
        np.testing.assert_array_equal(pull(u)[0], expected)


@pytest.mark.parametrize("make", [np.zeros_like, lambda w: w * 1.0, lambda w: w.detach() * 1.0])
@pytest.mark.parametrize("tracked", [True, False])
def test_a_buffer_that_a_transform_fills(make: Callable[..., Any], tracked: bool) -> None:
    """It leads to what is tracked outside, by an argument or by a closure."""
    w = Value([1.0, 2.0])
    buffer = make(w)
    t = w[0] * 3.0 if tracked else 3.0

    def f(t: Any) -> Any:
        buffer[:] = t * w[::-1]
        return t * buffer[0]

    g = ad.grad(f)(t)
    assert float(g.data) == 12 and buffer.data.tolist() == [6, 3]
    (buffer * [1.0, 10.0]).sum().backward()
    assert w.grad.tolist() == ([36 + 30, 3] if tracked else [30, 3])


def test_a_buffer_that_knows_nothing_else() -> None:
    """After the transform there is nothing that its argument could be differentiated by."""
    buffer = Value(np.zeros(2), requires_grad=False)
    ad.grad(lambda x: (buffer.__setitem__(slice(None), x * x), buffer.sum())[1])(np.ones(2))
    assert not buffer.requires_grad and buffer.data.tolist() == [1, 1]
