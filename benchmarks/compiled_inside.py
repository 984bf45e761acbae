"""Derivatives of a compiled function: next to the derivative compiled as a whole, to eager, and to JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import autodiff
from autodiff import nn, optim

from .harness import OURS, Goal, Row, Settings, check_equal, interleave, make_row, peer, scaled

JAX, WHOLE = "jax jit", "compiled as a whole"
EXAMPLES, INPUTS = 100, 10


def regression(xp: Any) -> Callable[..., Any]:
    """A small loss, written with the functions of `xp`."""
    return lambda w, x, y: ((xp.tanh(x @ w) - y) ** 2).mean()


def gradient_of(lib: Any) -> Callable[..., Any]:
    """As it is."""
    made: Callable[..., Any] = lib.grad
    return made


def example_gradients_of(lib: Any) -> Callable[..., Any]:
    """For each example."""
    return lambda loss: lib.vmap(lib.grad(loss), in_axes=(None, 0, 0))


def gradients(settings: Settings) -> Iterator[Row]:
    """grad(jit(f)), and vmap of it."""
    rng = np.random.default_rng(0)
    args = [rng.random(n, "f4") for n in (INPUTS, (EXAMPLES, INPUTS), EXAMPLES)]
    jax, loss = peer("jax"), regression(np)
    for name, make in (
        ("gradient of a compiled loss, 100 x 10", gradient_of),
        ("gradients for each of 100 examples of a compiled loss", example_gradients_of),
    ):
        made = {
            OURS: make(autodiff)(autodiff.jit(loss, strict=True)),
            WHOLE: autodiff.jit(make(autodiff)(loss), strict=True),
            "eager": make(autodiff)(loss),
        }
        runs: dict[str, Callable[[], Any]] = {who: functools.partial(f, *args) for who, f in made.items()}
        if jax is not None:
            compiled = make(jax)(jax.jit(regression(jax.numpy)))
            runs[JAX] = functools.partial(ready, compiled, [jax.numpy.asarray(a) for a in args])
        for _ in range(3):
            check_equal(name, {who: [np.asarray(run())] for who, run in runs.items()})
        yield make_row("compiled", name, "µs", scaled(interleave(runs, settings), 1e6), {JAX: Goal(0.1, 0.05)})


def ready(f: Callable[..., Any], args: list[Any]) -> Any:
    """What JAX computes, once it has."""
    return f(*args).block_until_ready()


def training(settings: Settings) -> Iterator[Row]:
    """A step whose loop is not compiled, but the model in it is."""

    def stepping(compile_model: bool, compile_step: bool) -> Callable[[], Any]:
        rng = np.random.default_rng(0)
        x, y = rng.random((EXAMPLES, 2), "f4"), rng.integers(2, size=EXAMPLES)
        widths = [nn.Linear(i, o, rng=rng) for i, o in ((2, 16), (16, 16), (16, 2))]
        model = nn.Sequential(widths[0], nn.ReLU(), widths[1], nn.ReLU(), widths[2])
        optimizer = optim.SGD(model.parameters(), lr=0.01)
        forward = autodiff.jit(lambda x: nn.cross_entropy(model(x), y)) if compile_model else None

        def step() -> Any:
            optimizer.zero_grad()
            error = forward(x) if forward else nn.cross_entropy(model(x), y)
            error.backward()
            optimizer.step()
            return error

        return autodiff.jit(step) if compile_step else step

    steps = {OURS: stepping(True, False), WHOLE: stepping(False, True), "eager": stepping(False, False)}
    name = "SGD step, compiled model: MLP 2-16-16-2, batch 100"
    for _ in range(3):
        check_equal(name, {who: [np.asarray(step().data)] for who, step in steps.items()})
    yield make_row("compiled", name, "µs", scaled(interleave(steps, settings), 1e6), {"eager": Goal(0.5, 0.35)})


def rows(settings: Settings) -> Iterator[Row]:
    """Every line."""
    yield from gradients(settings)
    yield from training(settings)
