"""Derivatives of a few functions by the transforms: second ones, Jacobians, examples one by one, and what a call costs.

Each function is written once, with the namespace as an argument, and goes through everybody's own transform.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import autodiff

from .harness import OURS, Goal, Row, Settings, check_equal, interleave, make_row, peer, scaled

GROUP = "transforms"
COLUMNS = ("autograd", "torch", "jax jit")
SIZE, BATCH, LINKS = 100, 128, 2000

Function = Callable[..., Any]
Run = Callable[[], object]

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=SIZE)
W, B, V = DRAW.normal(size=(SIZE, SIZE)) / 10, DRAW.normal(size=SIZE), DRAW.normal(size=SIZE)
PARAMETERS = [DRAW.normal(0, 0.1, shape).astype("f4") for shape in ((64, 64), (64,), (64, 10), (10,))]
IMAGES = DRAW.normal(size=(BATCH, 64)).astype("f4")
LABELS = np.eye(10, dtype="f4")[DRAW.integers(0, 10, BATCH)]


@dataclass(frozen=True)
class Work:
    """A function, what is made of it by whom, and the arguments."""

    name: str
    f: Function
    ours: Function
    args: tuple[Any, ...]
    torch: Callable[[Any, Function], Function]
    jax: Callable[[Any, Function], Function]
    autograd: Callable[[Any, Function], Function] | None = None
    goals: dict[str, Goal] = field(default_factory=dict)
    unit: float = 1e6  # of which a second has so many


def rosenbrock(np: Any, x: Any) -> Any:
    """The test function of optimizers."""
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def layer(np: Any, x: Any, w: Any, b: Any) -> Any:
    """One of a network."""
    return np.tanh(w @ x + b)


def loss(np: Any, parameters: Any, image: Any, label: Any) -> Any:
    """The cross-entropy of a network with one hidden layer, for one image."""
    w1, b1, w2, b2 = parameters
    z = np.tanh(image @ w1 + b1) @ w2 + b2
    return np.log(np.sum(np.exp(z))) - np.sum(z * label)


def chain(np: Any, x: Any) -> Any:
    """Many operations on one number."""
    y = x
    for _ in range(LINKS // 2):
        y = y * x + x
    return y


def square(np: Any, x: Any) -> Any:
    """Next to nothing: what is left is the transform."""
    return x * x


def products(lib: Any, f: Function) -> Function:
    """Forward over reverse, for torch.func and JAX."""
    return lambda x, v: lib.jvp(lib.grad(f), (x,), (v,))[1]


def one_by_one(lib: Any, f: Function) -> Function:
    """A gradient for each example: torch.func calls an argument's axis in_dims, the others in_axes."""
    gradient = lib.grad(f)
    axes = (None, 0, 0)
    return lib.vmap(gradient, in_dims=axes) if lib.__name__ == "torch.func" else lib.vmap(gradient, in_axes=axes)


def of(f: Function, np: Any = np) -> Function:
    """`f` on one namespace."""
    return lambda *args: f(np, *args)


TABLE = [
    Work(
        f"Hessian of Rosenbrock, n = {SIZE}",
        rosenbrock,
        autodiff.hessian,
        (X,),
        lambda lib, f: lib.hessian(f),
        lambda lib, f: lib.hessian(f),
        lambda lib, f: lib.hessian(f),
        {OURS: Goal(1000, 500), "autograd": Goal(0.08, 0.04)},
    ),
    Work(
        f"Hessian of Rosenbrock times vector, n = {SIZE}",
        rosenbrock,
        autodiff.hvp,
        (X, V),
        products,
        products,
        lambda lib, f: lib.hessian_vector_product(f),
        {"autograd": Goal(0.3, 0.2)},
    ),
    Work(
        f"Jacobian of tanh(W x + b), {SIZE} to {SIZE}",
        layer,
        autodiff.jacobian,
        (X, W, B),
        lambda lib, f: lib.jacrev(f),
        lambda lib, f: lib.jacrev(f),
        lambda lib, f: lib.jacobian(f),
        {"autograd": Goal(0.1, 0.05), "torch": Goal(1.0, 0.6)},
    ),
    Work(
        f"gradients of {BATCH} examples, MLP 64-64-10",
        loss,
        lambda f: one_by_one(autodiff, f),
        (PARAMETERS, IMAGES, LABELS),
        one_by_one,
        one_by_one,
        goals={"torch": Goal(1.2, 0.8)},
    ),
    Work(
        f"grad of {LINKS:,} operations on a number: each",
        chain,
        autodiff.grad,
        (0.5,),
        lambda lib, f: lib.grad(f),
        lambda lib, f: lib.grad(f),
        lambda lib, f: lib.grad(f),
        {OURS: Goal(3, 2), "autograd": Goal(0.2, 0.1)},
        1e6 / LINKS,
    ),
    Work(
        "grad of x * x at 3.0: what a call costs",
        square,
        autodiff.grad,
        (3.0,),
        lambda lib, f: lib.grad(f),
        lambda lib, f: lib.grad(f),
        lambda lib, f: lib.grad(f),
        {OURS: Goal(15, 10)},
    ),
]


def run_ours(work: Work) -> Run:
    """autodiff, on NumPy."""
    made = work.ours(of(work.f))
    return lambda: made(*work.args)


def run_autograd(work: Work) -> Run | None:
    """HIPS autograd, with its own namespace."""
    if work.autograd is None or (autograd := peer("autograd")) is None:
        return None
    made = work.autograd(autograd, of(work.f, importlib.import_module("autograd.numpy")))
    return lambda: made(*work.args)


def run_torch(work: Work) -> Run | None:
    """torch.func, eager."""
    if (torch := peer("torch")) is None:
        return None
    made = work.torch(torch.func, of(work.f, torch))
    args = [[*map(torch.tensor, a)] if isinstance(a, list) else torch.tensor(np.asarray(a)) for a in work.args]
    return lambda: made(*args)


def run_jax(work: Work) -> Run | None:
    """JAX, compiled."""
    if (jax := peer("jax")) is None:
        return None
    jax.config.update("jax_enable_x64", True)
    if work.f is chain:
        return None  # the compiler takes minutes
    made = jax.jit(work.jax(jax, of(work.f, jax.numpy)))
    args = jax.tree.map(jax.numpy.asarray, work.args)
    return lambda: jax.block_until_ready(made(*args))


def rows(settings: Settings) -> Iterator[Row]:
    """Every line of the table."""
    if (torch := peer("torch")) is not None:
        torch.set_num_threads(1)  # it is faster so, with arrays this small
    for work in TABLE:
        found = {
            OURS: run_ours(work),
            "autograd": run_autograd(work),
            "torch": run_torch(work),
            "jax jit": None if settings.quick else run_jax(work),
        }
        runs = {name: run for name, run in found.items() if run is not None}
        results = {name: run() for name, run in runs.items()}
        check_equal(work.name, {who: r if isinstance(r, (list, tuple)) else [r] for who, r in results.items()})
        samples = interleave(runs, settings)
        yield make_row(GROUP, work.name, "µs", scaled(samples, work.unit), work.goals)
