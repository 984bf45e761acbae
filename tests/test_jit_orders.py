"""jit: arrays that NumPy keeps in another order than C's. It decides what `reshape` shares, where writes are seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import JitWarning, nn, optim

X = np.arange(6.0).reshape(2, 3)

MAKERS: dict[str, Callable[[Any], Any]] = {
    "a transposed sum": lambda x: x.T + 1.0,
    "from its own": lambda x: np.exp(x.T) * 2.0 - x.T,
    "a ufunc of two": lambda x: np.multiply(x.T, x.T),
    "a copy": lambda x: np.copy(x.T),
    "a method's copy": lambda x: x.T.copy(),
    "a cast": lambda x: x.T.astype("f4"),
    "zeros like it": lambda x: np.zeros_like(x.T) + 0.0,
    "zeros": lambda x: np.zeros_like(x.T),
    "full": lambda x: np.full_like(x.T, 2.0),
    "where": lambda x: np.where(x.T > 1, x.T, 0.0),
    "clip": lambda x: np.clip(x.T, 1, 3),
    "concatenated": lambda x: np.concatenate([x.T, x.T]),
    "a sum of it": lambda x: (x[:, None] * np.ones(2)[:, None]).transpose(2, 1, 0).sum(axis=1) * 1.0,
    "by rows": lambda x: (x.T * 2.0)[np.array([2, 0])],
    "in C order": lambda x: x + 1.0,
    "as it is": lambda x: x * 1.0,
    "a product": lambda x: x.T @ x,
    "cumsum": lambda x: np.cumsum(x.T, axis=0),
    "sorted": lambda x: np.sort(x.T, axis=0),
    "partitioned": lambda x: np.partition(x.T, 1, axis=0),
    "without a row": lambda x: np.delete(x.T, 0, axis=0),
    "a cast to F": lambda x: x.astype("f4", order="F"),
}
RESHAPERS: dict[str, Callable[[Any], Any]] = {
    "reshape": lambda y: y.reshape(-1),
    "ravel": lambda y: np.ravel(y),
    "of its transpose": lambda y: y.T.reshape(-1),
    "F": lambda y: np.reshape(y, -1, order="F"),
    "of a part": lambda y: y[:, :1].reshape(-1),
    "to its own shape": lambda y: y.reshape(y.shape),
    "flatten": lambda y: y.flatten(),
    "an array in F": lambda y: np.array(y, copy=None, order="F"),
    "an array in C": lambda y: np.asarray(y, order="C"),
    "astype in F": lambda y: y.astype(y.dtype, order="F", copy=False),
    "astype in C": lambda y: y.astype(y.dtype, order="C", copy=False),
    "astype": lambda y: y.astype(y.dtype, copy=False),
    "a function's astype": lambda y: getattr(np, "astype", np.asarray)(y, y.dtype, copy=False),
}


def to_reshaped(y: Any, z: Any) -> None:
    z.reshape(-1)[1:] = 100.0


def to_original(y: Any, z: Any) -> None:
    y[0] += 100.0


def to_both(y: Any, z: Any) -> None:
    y[...] = y * 2
    z += 1


@pytest.mark.parametrize("write", [to_reshaped, to_original, to_both])
@pytest.mark.parametrize("reshaper", RESHAPERS)
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("order", "CF")
def test_writes_are_seen_where_numpy_shows_them(maker: str, reshaper: str, write: Any, order: str) -> None:
    def f(x: Any) -> Any:
        y = MAKERS[maker](x)
        z = RESHAPERS[reshaper](y)
        write(y, z)
        return y + 0.0, z + 0.0

    x = np.array(X, order=order)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JitWarning)
        jitted = ad.jit(f)
        for _ in range(3):
            for found, expected in zip(jitted(x), f(x), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_plain_captured_arrays() -> None:
    held = {"w": np.asfortranarray(X)}

    def f(g: Any) -> Any:
        z = (held["w"] * g).reshape(-1)
        z[0] = 9.0
        held["w"].reshape(-1)[1] = 5.0
        return z

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JitWarning)
        jitted, before = ad.jit(f), held["w"].copy()
        found = [jitted(2.0) for _ in range(3)]
    np.testing.assert_array_equal(held["w"], before)  # reshape made a copy
    np.testing.assert_array_equal(found, [f(2.0)] * 3)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x.T * 2.0).reshape(-1),  # nothing is written
        lambda x: np.exp(x.T).reshape(3, 2).sum(axis=0) + np.ravel(x.T * x.T)[:2],
    ],
)
@pytest.mark.parametrize("order", "CF")
def test_reading_them_is_a_program(f: Any, order: str) -> None:
    jitted, x = ad.jit(f, strict=True), np.array(X, order=order)
    for _ in range(3):
        np.testing.assert_allclose(jitted(x), f(x))
    assert jitted.cache_info().hits == 2  # type: ignore[attr-defined]


def test_writing_to_what_has_not_been_reshaped_is_a_program() -> None:
    def f(x: Any) -> Any:
        y = x.T * 2.0
        y[0] = 3.0
        z = np.zeros_like(y)
        z[:, 1] += y[:, 0]
        return y.reshape(-1) + z.reshape(-1)

    jitted = ad.jit(f, strict=True)
    for _ in range(3):
        np.testing.assert_allclose(jitted(X), f(X))
    gradient = ad.jit(ad.grad(lambda x: f(x).sum()), strict=True)
    for _ in range(3):
        np.testing.assert_allclose(gradient(X), ad.grad(lambda x: f(x).sum())(X))


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a * 2,
        lambda a: np.roll(a, 1, axis=0),
        lambda a: np.einsum("ij,kj->ik", a, a),
        lambda a: np.broadcast_to(a, (2, *a.shape)) * 1.0,
        lambda a: a,
    ],
)
@pytest.mark.parametrize("ask", [lambda y: y.reshape(-1), np.ravel, lambda y: np.asarray(y, order="F")])
@pytest.mark.parametrize("orders", ["CFCF", "FCFC", "CCFF"])
def test_programs_are_for_the_order_where_it_matters(make: Any, ask: Any, orders: str) -> None:
    def f(a: Any) -> Any:
        y = make(a)
        z = ask(y)
        z[0] = 99
        return y * 1.0, z * 1.0

    jitted: Any = ad.jit(f)
    for order in orders:
        a = np.array(np.arange(6.0).reshape(2, 3), order=order)  # type: ignore[call-overload]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JitWarning)
            found = jitted(a)
        for x, y in zip(found, f(a.copy("K")), strict=True):
            np.testing.assert_allclose(x, y)


def test_the_order_of_a_captured_array_where_it_matters() -> None:
    state = {"w": np.arange(6.0).reshape(2, 3)}

    def f(x: Any) -> Any:
        y = state["w"] + x
        y.reshape(-1)[0] = 99
        return y

    jitted: Any = ad.jit(f)
    for order in "CCFFC":
        state["w"] = np.array(state["w"], order=order)  # type: ignore[call-overload]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JitWarning)
            np.testing.assert_allclose(jitted(1.0), f(1.0))


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_only_arrays_that_decide_an_order_have_to_be_in_one(kind: Any, rng: Any) -> None:
    """An optimizer writes to its parameters by a view of one axis; that is nothing to the data, which may be views."""
    model = nn.Linear(3, 2, rng=0)
    twin = nn.Linear(3, 2, rng=0)
    data = rng.normal(size=(8, 5))
    x, y = data[:, :3], data[:, 3:]

    def stepping(model: Any) -> Any:
        optimizer = kind(model.parameters(), 0.1)

        def step(x: Any, y: Any) -> Any:
            loss = nn.mse(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step

    eager, jitted = stepping(twin), ad.jit(stepping(model), strict=True)
    for x_, y_ in [(x, y), (x.copy(), y), (np.asfortranarray(x), y)] * 3:
        np.testing.assert_allclose(jitted(x_, y_).data, eager(x_, y_).data, rtol=1e-12)
    assert jitted.cache_info().hits == 7


def test_the_order_of_what_is_made_like_another_array(rng: Any) -> None:
    def f(a: Any, b: Any) -> Any:
        y = np.zeros_like(a) + b
        y.reshape(-1)[0] = 9.0
        return y

    jitted = ad.jit(f)
    c = rng.normal(size=(3, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JitWarning)
        for a, b in [
            (c, c),
            (c, c),
            (np.asfortranarray(c), c),
            (c, np.asfortranarray(c)),
            (np.asfortranarray(c),) * 2,
        ] * 2:
            np.testing.assert_array_equal(jitted(a, b), f(a, b))
