"""jit: functions with state, random draws and branches at once, call after call the same as without it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import JitWarning, nn, optim

X = np.array([0.5, -1.0, 2.0])
CALLS = [X, X + 1, -X, X * 3, X, -X - 1, X * 0, X, X + 1, -X, X - 5, X + 7, X, -X]

Maker = Callable[[], tuple[Callable[[Any], Any], Callable[[], Any]]]
MAKERS: dict[str, Maker] = {}


def case(make: Maker) -> Maker:
    MAKERS[make.__name__] = make
    return make


@case
def draws_in_branches() -> Any:
    rng, legacy = np.random.default_rng(1), np.random.RandomState(2)

    def f(x: Any) -> Any:
        if rng.random() < 0.5:
            return x * legacy.rand(3)
        if legacy.randint(2):
            return x + rng.integers(5)
        return x - rng.standard_normal() + np.random.rand(3)

    return f, lambda: (rng.random(), legacy.rand())


@case
def metropolis() -> Any:
    rng = np.random.default_rng(7)
    chain = SimpleNamespace(at=np.zeros(3), accepted=0, density=-np.inf)

    def f(x: Any) -> Any:
        proposal = chain.at + 0.5 * rng.normal(size=3)
        density = -((proposal - x) ** 2).sum() / 2
        if np.log(rng.uniform()) < density - chain.density:
            chain.at, chain.density = proposal, density.item()
            chain.accepted += 1
        return chain.at

    return f, lambda: (chain, rng.random())


@case
def drawn_numbers_are_summed() -> Any:
    rng, state = np.random.default_rng(3), {"sum": 0.0}

    def f(x: Any) -> Any:
        u = rng.random()
        state["sum"] += u
        return (x + u, state["sum"]) if u > 0.5 else (x * np.array([u, 1.0, u]), u)

    return f, lambda: state


@case
def writes_before_a_guard() -> Any:
    state = SimpleNamespace(w=np.zeros(3), n=0, best=np.inf)

    def f(x: Any) -> Any:
        state.n += 1
        state.w += x
        norm = (state.w**2).sum()
        if norm < state.best:
            state.best = norm
        else:
            state.w *= 0.5
        return norm

    return f, lambda: state


@case
def paths_with_captures_of_their_own() -> Any:
    a, b, c = np.arange(3.0), [np.ones(3)], {"k": 2.0}

    def f(x: Any) -> Any:
        if x[0] > 0:
            a[0] += 1
            return x * a
        if x[1] > 0:
            b[0] = b[0] * 2
            return x + b[0]
        c["k"] += 1.0
        return x * c["k"]

    return f, lambda: (a, b, c)


@case
def arrays_that_change_places() -> Any:
    state = {"a": np.zeros(3), "b": np.ones(3)}

    def f(x: Any) -> Any:
        if x.sum() > 0:
            state["a"], state["b"] = state["b"], state["a"]
        state["a"][1] += x[1]
        return state["a"] + state["b"] * 2

    return f, lambda: state


@case
def indices_of_captured_arrays() -> Any:
    state = {"count": np.zeros(3, int), "sorted": np.zeros(3)}

    def f(x: Any) -> Any:
        state["count"][x > 0] += 1
        state["sorted"][np.argsort(x)] = np.arange(3.0)
        return x[state["count"].argmax()], state["sorted"][np.argsort(-x)]

    return f, lambda: state


@case
def a_captured_array_that_is_sorted() -> Any:
    a, b = np.array([3.0, 1.0, 2.0]), np.arange(6.0).reshape(2, 3)

    def f(x: Any) -> Any:
        a[:] = a + x
        a.sort()
        b[1] = x
        b.sort(axis=0, stable=True)
        return a[0] if a[0] > 0 else b

    return f, lambda: (a, b)


@case
def line_search() -> Any:
    state = SimpleNamespace(w=np.ones(3), trials=0)

    def f(x: Any) -> Any:
        def loss(w: Any) -> Any:
            return ((w - x) ** 2).sum() + (w**4).sum()

        value, g = ad.value_and_grad(loss)(state.w)
        step = 1.0
        while loss(state.w - step * g) > value - 1e-4 * step * (g * g).sum():
            step *= 0.5
            state.trials += 1
        state.w = state.w - step * g
        return value

    return f, lambda: state


@case
def optimizer_with_a_schedule() -> Any:
    model, rng = nn.Linear(3, 2), np.random.default_rng(1)
    for p in model.parameters():
        p.data = rng.normal(size=p.shape)
    optimizer, state = optim.Adam(model.parameters(), lr=0.1), {"calls": 0, "best": np.inf}

    def f(x: Any) -> Any:
        state["calls"] += 1
        if state["calls"] % 5 == 0:
            optimizer.lr *= 0.5
        loss = (model(x.reshape(1, 3)) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state["best"] = min(state["best"], loss.item())
        return float(loss)

    return f, lambda: ([p.data for p in model.parameters()], optimizer.lr, state)


def like(a: Any, b: Any) -> None:
    """Equal to rounding, and of the same types."""
    if isinstance(a, SimpleNamespace):
        a, b = vars(a), vars(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        a, b = [*a.values()], [*b.values()]
    if isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            like(x, y)
    else:
        assert type(a) is type(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MAKERS)
def test_state(name: str) -> None:
    np.random.seed(0)
    f, state = MAKERS[name]()
    expected = [copy.deepcopy(f(x)) for x in CALLS]
    after = copy.deepcopy(state()), np.random.rand()
    np.random.seed(0)
    f, state = MAKERS[name]()
    jitted: Any = ad.jit(f)
    with warnings.catch_warnings():
        warnings.simplefilter("error", JitWarning)
        for x, y in zip(CALLS, expected, strict=True):
            like(copy.deepcopy(jitted(x)), y)
    like((copy.deepcopy(state()), np.random.rand()), after)
    assert jitted.cache_info().hits > 4


@dataclass
class Kept:
    a: Any


def replaces(l: Any, m: Any) -> Any:
    l[0] = l[0] + 1
    return m[0] * 2


def replaces_an_attribute(l: Any, m: Any) -> Any:
    l.a = l.a + 1
    return m.a * 2


def replaces_on_a_path(l: Any, m: Any) -> Any:
    if l[0].sum() > 1:
        l[0] = l[0] + 1
    return m[0] * 2


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("f", [replaces, replaces_an_attribute, replaces_on_a_path])
def test_a_container_that_is_two_arguments(f: Callable[..., Any], first: bool, tracked: bool) -> None:
    kind: Any = Kept if f is replaces_an_attribute else lambda x: [x]
    jitted: Any = ad.jit(f)

    def call(x: Any, g: Callable[..., Any], same: bool) -> Any:
        one = kind(x)
        return g(one, one if same else kind(x))

    run: Any = ad.grad(lambda x, g, same: (call(x, g, same) ** 2).sum()) if tracked else call
    for i, x in enumerate([X, X, -X, -X, X, X, -X, -X]):
        same = i % 2 == first
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JitWarning)
            found = run(x, jitted, same)
        np.testing.assert_allclose(found, run(x, f, same))


def test_a_container_that_is_two_arguments_and_only_read() -> None:
    jitted: Any = ad.jit(lambda l, m: l[0] + m[0], strict=True)
    for x in (X, X + 1, X - 1):
        pair = [x]
        np.testing.assert_allclose(jitted(pair, pair), 2 * x)
    assert jitted.cache_info().recordings == 1
