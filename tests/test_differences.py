"""numeric: finite differences for black boxes."""

from __future__ import annotations

import functools
import math
import pickle
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import GraphError, OperandError, Value


@ad.numeric
def black_box(x: Any, power: int = 2) -> Any:
    return np.array([math.pow(v, power) for v in np.ravel(x)])


x3 = np.array([0.5, -1.0, 2.0])


def test_both_modes() -> None:
    np.testing.assert_allclose(ad.grad(lambda x: black_box(x).sum())(x3), 2 * x3, rtol=1e-8)
    np.testing.assert_allclose(ad.grad(lambda x: black_box(x, 3).sum())(x3), 3 * x3**2, rtol=1e-8)
    np.testing.assert_allclose(ad.jvp(black_box, x3, x3)[1], 2 * x3**2, rtol=1e-8)
    np.testing.assert_allclose(ad.jacfwd(black_box)(x3), np.diag(2 * x3), atol=1e-8)
    np.testing.assert_allclose(ad.jacrev(black_box)(x3), np.diag(2 * x3), atol=1e-8)
    assert ad.jvp(black_box, x3, np.zeros(3))[1].tolist() == [0.0] * 3


def test_number_of_calls() -> None:
    calls = []

    @ad.numeric
    def f(x: Any) -> Any:
        calls.append(1)
        return np.sum(np.asarray(x) ** 2)

    ad.grad(f)(x3)
    assert len(calls) == 1 + 2 * 3
    calls.clear()
    ad.jvp(f, x3, x3)
    assert len(calls) <= 1 + 3


def test_containers_and_several_results() -> None:
    @ad.numeric
    def f(p: Any, x: Any, text: str = "") -> Any:
        return {"a": p["w"] * np.asarray(x), "b": (np.sum(x), len(text))}

    p = {"w": np.array([1.0, 2.0, 3.0]), "n": "name"}
    found = ad.grad(lambda p: f(p, x3, text="abc")["a"].sum())(p)
    np.testing.assert_allclose(found["w"], x3, atol=1e-9)
    assert found["n"] == "name"
    np.testing.assert_allclose(ad.grad(lambda x: f(p, x)["b"][0])(x3), 1.0, rtol=1e-9)
    np.testing.assert_allclose(ad.jvp(lambda x: f(p, x)["a"], x3, x3)[1], p["w"] * x3, rtol=1e-8)


def test_eps_and_dtypes() -> None:
    coarse = ad.numeric(lambda x: np.asarray(x) ** 3, eps=0.1)
    assert abs(float(ad.grad(coarse)(1.0)) - (3 + 0.1**2)) < 1e-10  # the error of a central difference
    single = ad.grad(lambda x: black_box(x).sum())(x3.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, 2 * x3, rtol=1e-2)


def test_small_and_large_elements_have_steps_of_their_own() -> None:
    f = ad.numeric(lambda x, y: x + np.sin(y))
    for tangents in ((0.0, 1.0), (1.0, 1.0)):
        np.testing.assert_allclose(ad.jvp(f, (1e6, 1.0), tangents)[1], tangents[0] + math.cos(1.0), rtol=1e-4)
    xs = np.array([1e6, 1.0, -30.0])
    for mode in (ad.jacfwd, ad.jacrev):
        np.testing.assert_allclose(np.diag(mode(ad.numeric(lambda x: np.sin(x)))(xs))[1:], np.cos(xs[1:]), rtol=1e-8)
    np.testing.assert_allclose(
        ad.jvp(ad.numeric(lambda x: np.sin(x)), xs, np.ones(3))[1][1:], np.cos(xs[1:]), rtol=1e-8
    )
    same = ad.numeric(lambda x: x * 1.0)
    assert abs(ad.jvp(same, np.array([np.inf, 2.0]), np.array([0.0, 1.0]))[1][1] - 1) < 1e-8


def square(x: Any) -> Any:
    return x * x


def test_a_step_that_is_lost_is_an_error() -> None:
    for mode in (ad.jacfwd, ad.jacrev):
        for eps, x in ((1e-20, 1.0), (1e-10, np.float32(1.0)), (1e-50, np.ones(2, np.float32))):
            with pytest.raises(OperandError, match=rf"numeric\(square\): eps={eps} is too small for float"):
                mode(ad.numeric(square, eps=eps))(x)


class Model:
    factor = 3.0

    @ad.numeric
    def scaled(self, x: Any) -> Any:
        return self.factor * x


@pytest.mark.parametrize(
    ("f", "args", "kwargs", "expected"),
    [
        (lambda x, n=2.0: x**n, (3.0,), {}, 6.0),
        (lambda x, n=2.0: x**n, (3.0,), {"n": 3}, 27.0),
        (lambda *a: a[0] * a[1], (2.0, 3.0), {}, 3.0),
        (lambda x, **a: x * a["p"], (2.0,), {"p": 3.0}, 3.0),
        (lambda x, /, y, *c, k, **d: x * y * c[0] * k * d["z"], (2.0, 2.0, 3.0), {"k": 5.0, "z": 7.0}, 210.0),
        (lambda x, f=None: f(x), (2.0,), {"f": math.sin}, math.cos(2.0)),
        (lambda x, known, g, t, arguments: x * known * g * t * arguments, (2.0, 3.0, 1.0, 1.0, 1.0), {}, 3.0),
        (lambda p: p["a"] * p["b"][1][0], ({"a": 2.0, "b": [True, np.full(1, 3.0)], "s": "s"},), {}, 3.0),
        (math.sin, (2.0,), {}, math.cos(2.0)),
        (functools.partial(lambda x, b: x * b, b=3.0), (2.0,), {}, 3.0),
    ],
)
def test_any_signature(f: Any, args: Any, kwargs: Any, expected: float) -> None:
    black = ad.numeric(f)
    g = ad.grad(lambda x, *rest: black(x, *rest, **kwargs))(*args)
    np.testing.assert_allclose(g["a"] if isinstance(g, dict) else g, expected, rtol=1e-8)
    first = args[0]["a"] if isinstance(args[0], dict) else args[0]
    whole = lambda x: {**args[0], "a": x} if isinstance(args[0], dict) else x
    pushed = ad.jvp(lambda x: black(whole(x), *args[1:], **kwargs), first, 2.0)[1]
    np.testing.assert_allclose(pushed, 2 * expected, rtol=1e-8)


def test_a_container_with_an_integer() -> None:
    f = ad.numeric(lambda p: p["a"] * p["n"][0])
    assert abs(ad.jvp(lambda x: f({"n": [3, np.arange(2)], "a": x}), 3.0, 1.0)[1] - 3.0) < 1e-8
    assert abs(ad.grad(lambda x: f({"n": [3, None], "a": x}))(3.0) - 3.0) < 1e-8


def test_methods_and_batches() -> None:
    assert abs(ad.grad(Model().scaled)(2.0) - 3.0) < 1e-8 and abs(ad.jvp(Model().scaled, 2.0, 1.0)[1] - 3.0) < 1e-8
    np.testing.assert_allclose(ad.jvp(ad.vmap(ad.numeric(math.sin)), x3, x3)[1], x3 * np.cos(x3), rtol=1e-8)


def test_under_vmap() -> None:
    xs = np.stack([x3, 2 * x3])
    np.testing.assert_allclose(ad.vmap(black_box)(xs), xs**2)
    np.testing.assert_allclose(ad.vmap(ad.grad(lambda x: black_box(x).sum()))(xs), 2 * xs, rtol=1e-8)


def test_with_other_functions() -> None:
    v = Value(x3)
    (np.sin(black_box(v)) * v).sum().backward()
    np.testing.assert_allclose(v.grad, np.sin(x3**2) + 2 * x3**2 * np.cos(x3**2), rtol=1e-7)


def test_higher_orders_are_refused() -> None:
    f = lambda x: black_box(x).sum()
    for call in (
        lambda: ad.hessian(f)(x3),
        lambda: ad.hvp(f)(x3, x3),
        lambda: ad.grad(lambda x: ad.grad(f)(x).sum())(x3),
        lambda: ad.grad(lambda x: ad.jvp(f, x, x3)[1])(x3),
    ):
        with pytest.raises(GraphError, match="black_box: its derivative is one of finite differences"):
            call()


def test_misuse() -> None:
    for bad in (3.0, "text"):
        with pytest.raises(OperandError, match="pass a function"):
            ad.numeric(bad)  # type: ignore[arg-type]
    for eps in (0, -1.0, math.inf, math.nan, "a", 1j):
        with pytest.raises(OperandError, match=r"eps=.*; it is a positive number"):
            ad.numeric(np.sin, eps=eps)  # type: ignore[arg-type]
    f = ad.numeric(lambda z: z * 2)
    with pytest.raises(OperandError, match="complex"):
        ad.grad(lambda z: abs(f(z)))(1 + 1j)
    assert pickle.loads(pickle.dumps(black_box)) is black_box
    assert repr(black_box) == "numeric(black_box)"
