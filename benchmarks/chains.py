"""Chains of elementwise operations: the cost of one recorded operation, forward and backward.

`x*c+c` has one tracked operand an operation; in `y*x+x` every operation has two, and x's gradient is
accumulated from all of them. The graph is built anew in every call; the leaf and the constants are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autodiff import Value

from .harness import OURS, Goal, Row, Settings, check_equal, interleave, make_row, peer, scaled

GROUP = "chains"
COLUMNS = ("torch", "torch 1 thread", "autograd", "mygrad", "micrograd", "jax")
SIZES = (None, 1, 100, 10_000, 1_000_000)
JAX_LIMIT = 100  # elements; eager JAX is dispatch-bound there and slow to run beyond

Chain = Callable[[Any, Any], Any]
Run = Callable[[], object]


def multiply_add_constant(ops: int) -> Chain:
    """x*c+c, `ops` operations long."""

    def chain(x: Any, c: Any) -> Any:
        for _ in range(ops // 2):
            x = x * c + c
        return x

    return chain


def multiply_add_variable(ops: int) -> Chain:
    """y*x+x, `ops` operations long."""

    def chain(x: Any, c: Any) -> Any:
        y = x
        for _ in range(ops // 2):
            y = y * x + x
        return y

    return chain


CHAINS = {"x*c+c": multiply_add_constant, "y*x+x": multiply_add_variable}


def run_ours(chain: Chain, x: Any, c: Any, seed: Any) -> Run:
    """autodiff: a leaf whose gradient is cleared before each call."""
    leaf = Value(x)

    def run() -> object:
        leaf.zero_grad()
        chain(leaf, c).backward(seed)
        return leaf.grad

    return run


def run_torch(chain: Chain, x: Any, c: Any, seed: Any) -> Run | None:
    """PyTorch, eager."""
    if (torch := peer("torch")) is None:
        return None
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    constant = c if seed is None else torch.tensor(c)
    seed = None if seed is None else torch.tensor(seed)

    def run() -> object:
        leaf.grad = None
        chain(leaf, constant).backward(seed)
        return leaf.grad

    return run


def run_torch_one_thread(chain: Chain, x: Any, c: Any, seed: Any, threads: int) -> Run | None:
    """PyTorch, eager, with one thread."""
    if (torch := peer("torch")) is None or (inner := run_torch(chain, x, c, seed)) is None:
        return None

    def run() -> object:
        torch.set_num_threads(1)
        result = inner()
        torch.set_num_threads(threads)
        return result

    return run


def run_autograd(chain: Chain, x: Any, c: Any, seed: Any) -> Run | None:
    """HIPS autograd."""
    if (autograd := peer("autograd")) is None:
        return None
    seed = 1.0 if seed is None else seed

    def run() -> object:
        pullback, _ = autograd.make_vjp(lambda value: chain(value, c))(x)
        return pullback(seed)

    return run


def run_mygrad(chain: Chain, x: Any, c: Any, seed: Any) -> Run | None:
    """MyGrad, with its default memory guards."""
    if (mygrad := peer("mygrad")) is None:
        return None
    leaf = mygrad.tensor(x)

    def run() -> object:
        leaf.null_grad()
        chain(leaf, c).backward(seed)
        return leaf.grad

    return run


def run_micrograd(chain: Chain, x: Any, c: Any, seed: Any) -> Run | None:
    """micrograd, which knows scalars only."""
    if seed is not None or (engine := peer("micrograd.engine")) is None:
        return None
    leaf = engine.Value(x)

    def run() -> object:
        leaf.grad = 0.0
        chain(leaf, c).backward()
        return leaf.grad

    return run


def run_jax(chain: Chain, x: Any, c: Any, seed: Any) -> Run | None:
    """JAX without jit."""
    if np.size(x) > JAX_LIMIT or (jax := peer("jax")) is None:
        return None
    jax.config.update("jax_enable_x64", True)
    value = jax.numpy.asarray(x, dtype="float64")
    constant = c if seed is None else jax.numpy.asarray(c)
    cotangent = jax.numpy.ones_like(value)

    def run() -> object:
        _, pullback = jax.vjp(lambda value: chain(value, constant), value)
        return pullback(cotangent)[0].block_until_ready()

    return run


def goals(name: str, size: int | None) -> dict[str, Goal]:
    """What is asked of a chain of this kind and size."""
    if size is not None and size > 100:
        return {"torch": Goal(0.8, 0.5) if size <= 10_000 else Goal(1.1, 0.8)}
    small = Goal(0.45, 0.25 if name == "x*c+c" else 0.35)
    return {
        "torch": Goal(0.25, 0.12) if size is None else small,
        "autograd": Goal(0.2, 0.1),
        "mygrad": Goal(0.25, 0.12),
    }


def contenders(chain: Chain, size: int | None, settings: Settings) -> dict[str, Run]:
    """Everybody's version of one chain, those that are missing left out."""
    x: Any = 0.5
    c: Any = 0.9
    seed = None
    if size is not None:
        x = np.random.default_rng(0).uniform(0.4, 0.6, size)
        c = np.full(size, 0.9)
        seed = np.ones(size)
    work: dict[str, Run | None] = {
        OURS: run_ours(chain, x, c, seed),
        "torch": run_torch(chain, x, c, seed),
        "autograd": run_autograd(chain, x, c, seed),
        "mygrad": run_mygrad(chain, x, c, seed),
        "micrograd": run_micrograd(chain, x, c, seed),
        "jax": None if settings.quick else run_jax(chain, x, c, seed),
    }
    if settings.threads > 1 and size is not None and size > 32768:  # below it torch uses one thread anyway
        work["torch 1 thread"] = run_torch_one_thread(chain, x, c, seed, settings.threads)
    return {name: run for name, run in work.items() if run is not None}


def rows(settings: Settings) -> Iterator[Row]:
    """Every chain at every size."""
    if (torch := peer("torch")) is not None:
        torch.set_num_threads(settings.threads)
    for size in SIZES:
        ops = 20 if size == 1_000_000 else 200
        for name, make in CHAINS.items():
            label = f"{name}, {'0-d' if size is None else f'n = {size:,}'}"
            work = contenders(make(ops), size, settings)
            check_equal(label, {who: [np.asarray(run())] for who, run in work.items()})
            samples = scaled(interleave(work, settings), 1e6 / ops)
            yield make_row(GROUP, label, "µs/op", samples, goals(name, size))
