"""jit: random numbers are drawn anew by each run of a program, the same ones as without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.random as npr
import pytest
from numpy.random import normal

import autodiff as ad
from autodiff import JitWarning

X = np.arange(12.0).reshape(4, 3)

GLOBAL: dict[str, Callable[[Any], Any]] = {
    "rand": lambda x: x + np.random.rand(4, 3),
    "randn": lambda x: x * np.random.randn(3),
    "a number": lambda x: x * np.random.rand(),
    "normal": lambda x: x + np.random.normal(1.0, 2.0, size=x.shape),
    "an imported function": lambda x: x + normal(size=x.shape),
    "an imported module": lambda x: x + npr.standard_normal(3),
    "uniform": lambda x: x + np.random.uniform(-1, [1.0, 2.0, 3.0]),
    "randint": lambda x: x[np.random.randint(0, 4, size=2)],
    "an element": lambda x: x[np.random.randint(4)],
    "permutation": lambda x: x[np.random.permutation(4)],
    "permutation of rows": lambda x: np.random.permutation(x),
    "permutation of numbers": lambda x: np.random.permutation(x[:, 0]),
    "choice": lambda x: x[np.random.choice(4, 2, replace=False)],
    "choice of numbers": lambda x: np.random.choice(x[:, 0], 3, p=[0.1, 0.2, 0.3, 0.4]),
    "choice of one": lambda x: np.random.choice(x[1]),
    "sample": lambda x: x + np.random.sample(3) - np.random.ranf(),
    "arrays that are made": lambda x: x + np.random.normal(np.zeros(3), scale=np.full(3, 2.0)),
    "choice of what is made": lambda x: x + np.random.choice(np.arange(5.0), 3),
    "several": lambda x: (x + np.random.rand(3)) @ np.random.randn(3) + np.random.binomial(5, 0.5),
}


def shuffled(x: Any) -> Any:
    rows, numbers = x * 1.0, x[:, 0] * 1.0
    np.random.shuffle(rows)
    np.random.shuffle(numbers)
    return rows, numbers


GLOBAL["shuffle"] = shuffled


def check_stream(f: Callable[[Any], Any], seed: Callable[[], Any], after: Callable[[], Any]) -> None:
    """The same numbers as without jit, and the generator moves on as without it."""
    seed()
    expected, last = [f(X) for _ in range(4)], after()
    jitted = ad.jit(f, strict=True)
    seed()
    found = [jitted(X) for _ in range(4)]
    for a, b in zip(found, expected, strict=True):
        for part, other in zip(*((x if isinstance(x, tuple) else (x,)) for x in (a, b)), strict=True):
            np.testing.assert_allclose(part, other, rtol=1e-15)
    assert after() == last
    assert jitted.cache_info().hits >= 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", GLOBAL)
def test_the_global_generator(name: str) -> None:
    check_stream(GLOBAL[name], lambda: np.random.seed(3), np.random.rand)


def test_derivatives_of_draws() -> None:
    def loss(w: Any) -> Any:
        return ((w * (np.random.rand(3) < 0.5) + np.random.normal(size=3)) ** 2).sum()

    np.random.seed(1)
    expected = [ad.grad(loss)(X[1]) for _ in range(4)]
    np.random.seed(1)
    jitted = ad.jit(ad.grad(loss), strict=True)
    np.testing.assert_allclose([jitted(X[1]) for _ in range(4)], expected, rtol=1e-14)


def test_other_paths_draw_the_same() -> None:
    def f(x: Any) -> Any:
        if np.random.rand() < 0.5:
            return x + np.random.rand()
        return x * np.random.randint(100)

    np.random.seed(5)
    expected = [f(X[0]) for _ in range(20)]
    np.random.seed(5)
    jitted = ad.jit(f, strict=True)
    np.testing.assert_allclose([jitted(X[0]) for _ in range(20)], expected, rtol=1e-14)
    assert jitted.cache_info().recordings == 2


class Holder:
    def __init__(self, rng: Any) -> None:
        self.rng = rng


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, x: x + rng.normal(size=3),
        lambda rng, x: x + rng.standard_normal(),  # which leaves a second number behind
        lambda rng, x: rng.choice(x[:, 0], 2, replace=False),
        lambda rng, x: x[rng.permutation(4)],
    ],
)
def test_captured_generators(make: Any, draw: Any) -> None:
    holder = Holder(make(0))

    def reseed() -> None:
        holder.rng = make(7)

    def after() -> Any:
        return holder.rng.normal(), holder.rng.normal()

    f = lambda x: draw(holder.rng, x)
    reseed()
    expected, last = [f(X) for _ in range(4)], after()
    reseed()
    jitted = ad.jit(f, strict=True)
    np.testing.assert_allclose([jitted(X) for _ in range(4)], expected, rtol=1e-14)
    assert after() == last


def test_rows_that_a_generator_chooses() -> None:
    rng = [np.random.default_rng(2)]
    jitted = ad.jit(lambda x: rng[0].choice(x, 2), strict=True)
    expected = np.random.default_rng(2)
    for _ in range(4):
        np.testing.assert_array_equal(jitted(X), expected.choice(X, 2))


def seeds(x: Any) -> Any:
    np.random.seed(0)
    return x + np.random.rand()


def hidden(x: Any) -> Any:
    return x + HIDDEN(3)


HIDDEN = np.random.RandomState(0).rand  # a method of a generator that nothing stands for


def by_parameters(x: Any) -> Any:
    return np.random.normal(x)


def own_order(x: Any) -> Any:
    order = np.arange(4)
    np.random.shuffle(order)
    return x[order]


@pytest.mark.parametrize("f", [seeds, hidden, by_parameters, own_order])
def test_what_is_no_input_runs_as_it_is(f: Any) -> None:
    def seed() -> None:
        np.random.seed(0)
        HIDDEN.__self__.seed(0)

    seed()
    expected = [f(X) for _ in range(3)]
    jitted = ad.jit(f)
    seed()
    with pytest.warns(JitWarning):
        found = [jitted(X) for _ in range(3)]
    np.testing.assert_array_equal(found, expected)


def test_draws_that_are_not_seen() -> None:
    draw = np.random.mtrand._rand.rand  # type: ignore[attr-defined]
    f = lambda x: x + np.random.rand() + draw() + np.random.rand()
    np.random.seed(0)
    expected = [f(1.0) for _ in range(3)]
    jitted = ad.jit(f)
    np.random.seed(0)
    with pytest.warns(JitWarning, match="where that is not seen"):
        found = [jitted(1.0) for _ in range(3)]
    assert found == expected


def test_functions_are_as_ever_outside() -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append(np.random)
        return x + np.random.rand()

    assert ad.grad(lambda x: x * np.random.rand())(1.0) < 1
    ad.jit(f)(1.0)
    np.random.seed(0)
    a = seen[0].rand()
    np.random.seed(0)
    assert a == np.random.rand() and seen[0].RandomState is np.random.RandomState


# -- draws past the generator that is captured


def by_its_bits(rng: Any) -> Any:
    return lambda x: x * np.random.Generator(rng.bit_generator).random()


def by_bits_from_before(rng: Any) -> Any:
    bits = rng.bit_generator
    return lambda x: x * np.random.Generator(bits).random() + rng.random()


def at_the_end(rng: Any) -> Any:
    bits = rng.bit_generator
    return lambda x: x * rng.random() + np.random.Generator(bits).random()


def raw(rng: Any) -> Any:
    bits = rng.bit_generator
    return lambda x: x * rng.random() + float(bits.random_raw() % 1000)


def by_a_method(rng: Any) -> Any:
    draw = rng.random
    return lambda x: x * draw() + rng.random()


def in_a_tuple(rng: Any) -> Any:
    held = (rng,)
    return lambda x: x * held[0].random() + rng.random()


def children(rng: Any) -> Any:
    return lambda x: x * rng.spawn(1)[0].random()


def seeds_of_children(rng: Any) -> Any:
    seeds = rng.bit_generator.seed_seq
    return lambda x: x * np.random.default_rng(seeds.spawn(1)[0]).random()


@pytest.mark.parametrize(
    "make",
    [by_its_bits, by_bits_from_before, at_the_end, raw, by_a_method, in_a_tuple, children, seeds_of_children],
)
def test_draws_past_a_generator_are_never_repeated(make: Any) -> None:
    f, jitted = make(np.random.default_rng(1)), ad.jit(make(np.random.default_rng(1)))
    expected = [f(X) for _ in range(4)]
    with pytest.warns(JitWarning):
        np.testing.assert_array_equal([jitted(X) for _ in range(4)], expected)
