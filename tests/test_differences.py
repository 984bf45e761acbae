"""numeric: finite differences for black boxes."""

from __future__ import annotations

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
    with pytest.raises(OperandError, match="eps=0"):
        ad.numeric(np.sin, eps=0)
    f = ad.numeric(lambda z: z * 2)
    with pytest.raises(OperandError, match="complex"):
        ad.grad(lambda z: abs(f(z)))(1 + 1j)
    assert pickle.loads(pickle.dumps(black_box)) is black_box
    assert repr(black_box) == "numeric(black_box)"
