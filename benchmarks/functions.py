"""All of NumPy: one function each, forward and backward, on about 1,000 numbers.

Each function is written once, with the namespace as an argument: `f(np, x, *constants)` runs on NumPy, on torch and
on autograd's namespace; where torch says it in another way, that stands next to it. What NumPy alone needs for the
forward pass is there to compare, without a goal.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import autodiff
from autodiff import Value

from .harness import OURS, Goal, Row, Settings, check_equal, interleave, make_row, peer, scaled

GROUP = "functions"
COLUMNS = ("torch", "autograd", "autograd on np", "numpy forward")
ON_NUMPY, FORWARD = COLUMNS[2:]
TO_TORCH, TO_AUTOGRAD = Goal(1.0, 0.6), Goal(0.3, 0.15)

Function = Callable[..., Any]
Run = Callable[[], object]

DRAW = np.random.default_rng(0)
X = DRAW.permutation(np.linspace(0.5, 1.5, 1001))  # an odd number: torch's median of an even one is another
C = DRAW.uniform(0.5, 1.5, X.size)
M = DRAW.normal(size=(32, 32))
B = DRAW.normal(size=(32, 32))
WIDE = X[:1000].reshape(20, 50)
INDEX = DRAW.integers(0, X.size, 500)
PLACES = DRAW.permutation(X.size)[:500]
MASK = C > 1
KERNEL = DRAW.normal(size=32)


@dataclass(frozen=True)
class Work:
    """A function, the array it is differentiated at, its constants, and who has it."""

    name: str
    f: Function
    x: Any = field(default_factory=lambda: X)
    constants: tuple[Any, ...] = ()
    torch: Function | None = None  # None: as NumPy says it
    lacking: tuple[str, ...] = ()


def eigh(np: Any, x: Any) -> Any:
    """A function of a symmetric matrix: the same whatever signs the eigenvectors have."""
    w, v = np.linalg.eigh(x + x.T)
    return (v * np.sin(w)) @ v.T


def svd(np: Any, x: Any) -> Any:
    """A function of the singular values: the same whatever signs the vectors have."""
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    return (u * np.sqrt(s)) @ vt


def write_slice(np: Any, x: Any) -> Any:
    """A write to a copy."""
    y = x * 1.0
    y[10:500] = 2.0
    return y


def write_slice_of_values(np: Any, x: Any) -> Any:
    """A write of what is differentiated as well."""
    y = x * 1.0
    y[10:500] = x[510:1000]
    return y


def write_places(np: Any, x: Any, places: Any, c: Any) -> Any:
    """A write to places of which none is named twice."""
    y = x * 1.0
    y[places] = c
    return y


def write_mask(np: Any, x: Any, mask: Any) -> Any:
    """A write where a condition holds."""
    y = x * 1.0
    y[mask] = 0.0
    return y


def write_view(np: Any, x: Any) -> Any:
    """A write through a view."""
    y = x * 1.0
    v = y[1:]
    v *= 3.0
    return y


def add_at(np: Any, x: Any, index: Any) -> Any:
    """A scatter."""
    y = np.zeros_like(x)
    np.add.at(y, index, x[: index.size])
    return y


def add_at_torch(torch: Any, x: Any, index: Any) -> Any:
    """The same."""
    return torch.zeros_like(x).index_add(0, index, x[: len(index)])


def convolve_torch(torch: Any, x: Any, kernel: Any) -> Any:
    """torch correlates."""
    return torch.nn.functional.conv1d(x[None, None], kernel.flip(0)[None, None])[0, 0]


NO_AUTOGRAD = ("autograd",)
NO_PEER = ("torch", "autograd")

TABLE = [
    Work("x * 1.0: what every graph costs", lambda np, x: x * 1.0),
    Work("exp", lambda np, x: np.exp(x)),
    Work("log", lambda np, x: np.log(x)),
    Work("sin", lambda np, x: np.sin(x)),
    Work("tanh", lambda np, x: np.tanh(x)),
    Work("sqrt", lambda np, x: np.sqrt(x)),
    Work("abs", lambda np, x: np.abs(x)),
    Work("power", lambda np, x: x**2.5),
    Work("arctan2", lambda np, x, c: np.arctan2(x, c), X, (C,)),
    Work("maximum", lambda np, x, c: np.maximum(x, c), X, (C,)),
    Work("where", lambda np, x, c: np.where(c > 1, x, 2.0), X, (C,)),
    Work("clip", lambda np, x: np.clip(x, 0.7003, 1.2003)),
    Work("sum", lambda np, x: np.sum(x)),
    Work("mean", lambda np, x: np.mean(x)),
    Work("max", lambda np, x: np.max(x)),
    Work("prod", lambda np, x: np.prod(x)),
    Work("var", lambda np, x: np.var(x), torch=lambda torch, x: torch.var(x, correction=0)),
    Work("std", lambda np, x: np.std(x), torch=lambda torch, x: torch.std(x, correction=0)),
    Work("logaddexp.reduce", lambda np, x: np.logaddexp.reduce(x), X, (), lambda t, x: t.logsumexp(x, 0), NO_AUTOGRAD),
    Work("cumsum", lambda np, x: np.cumsum(x, 0)),
    Work("cumprod", lambda np, x: np.cumprod(x, 0), lacking=NO_AUTOGRAD),
    Work("matmul, 32 x 32", lambda np, x, b: np.matmul(x, b), M, (B,)),
    Work("dot, 32 x 32", lambda np, x, b: np.dot(x, b), M, (B,), lambda torch, x, b: torch.mm(x, b)),
    Work("einsum ij,jk->ik", lambda np, x, b: np.einsum("ij,jk->ik", x, b), M, (B,)),
    Work("solve, 32 x 32", lambda np, x, b: np.linalg.solve(x, b), M, (B,)),
    Work("inv, 32 x 32", lambda np, x: np.linalg.inv(x), M),
    Work("det, 32 x 32", lambda np, x: np.linalg.det(x), M),
    Work("eigh, 32 x 32", eigh, M),
    Work("svd, 32 x 32", svd, M),
    Work("cholesky, 32 x 32", lambda np, x, b: np.linalg.cholesky(x @ x.T + b @ b.T), M, (B,)),
    Work("norm", lambda np, x: np.linalg.norm(x)),
    Work("reshape", lambda np, x: np.reshape(x, (50, 20)), WIDE),
    Work("transpose", lambda np, x: np.transpose(x), WIDE, (), lambda torch, x: torch.t(x)),
    Work("concatenate", lambda np, x: np.concatenate([x, x])),
    Work("stack", lambda np, x: np.stack([x, x])),
    Work("pad", lambda np, x: np.pad(x, 3, "constant"), X, (), lambda torch, x: torch.nn.functional.pad(x, (3, 3))),
    Work("roll", lambda np, x: np.roll(x, 7)),
    Work("flip", lambda np, x: np.flip(x, (0,)), lacking=NO_AUTOGRAD),
    Work("tile", lambda np, x: np.tile(x, (2,))),
    Work("repeat", lambda np, x: np.repeat(x, 3), X, (), lambda torch, x: torch.repeat_interleave(x, 3)),
    Work("x[10:500]", lambda np, x: x[10:500]),
    Work("x[integers]", lambda np, x, i: x[i], X, (INDEX,)),
    Work("x[mask]", lambda np, x, m: x[m], X, (MASK,)),
    Work("take", lambda np, x, i: np.take(x, i), X, (INDEX,), lacking=NO_AUTOGRAD),
    Work("y[10:500] = 2", write_slice, lacking=NO_AUTOGRAD),
    Work("y[10:500] = x[510:1000]", write_slice_of_values, lacking=NO_AUTOGRAD),
    Work("y[integers] = c", write_places, X, (PLACES, C[:500]), lacking=NO_AUTOGRAD),
    Work("y[mask] = 0", write_mask, X, (MASK,), lacking=NO_AUTOGRAD),
    Work("v = y[1:]; v *= 3", write_view, lacking=NO_AUTOGRAD),
    Work("add.at", add_at, X, (INDEX,), add_at_torch, NO_AUTOGRAD),
    Work("sort", lambda np, x: np.sort(x), X, (), lambda torch, x: torch.sort(x).values),
    Work("median", lambda np, x: np.median(x), lacking=NO_AUTOGRAD),
    Work("quantile", lambda np, x: np.quantile(x, 0.3), lacking=NO_AUTOGRAD),
    Work("fft: irfft(rfft(x))", lambda np, x: np.fft.irfft(np.fft.rfft(x[:1000]))),
    Work("convolve", lambda np, x, k: np.convolve(x, k, "valid"), X, (KERNEL,), convolve_torch, NO_AUTOGRAD),
    Work("interp", lambda np, x, c: np.interp(c, np.linspace(0, 2, c.size), x), X, (C,), lacking=NO_PEER),
]


def run_ours(work: Work, seed: Any) -> Run:
    """autodiff, on NumPy's own functions."""
    leaf = Value(work.x)

    def run() -> object:
        leaf.zero_grad()
        work.f(np, leaf, *work.constants).backward(seed)
        return leaf.grad

    return run


def run_torch(work: Work, seed: Any) -> Run | None:
    """PyTorch, eager."""
    if "torch" in work.lacking or (torch := peer("torch")) is None:
        return None
    f = work.torch or work.f
    leaf = torch.tensor(work.x, requires_grad=True)
    constants = [torch.tensor(c) for c in work.constants]
    cotangent = None if seed is None else torch.tensor(seed)

    def run() -> object:
        leaf.grad = None
        f(torch, leaf, *constants).backward(cotangent)
        return leaf.grad

    return run


def run_autograd(work: Work, seed: Any) -> Run | None:
    """HIPS autograd, with its own namespace."""
    if "autograd" in work.lacking or (autograd := peer("autograd")) is None:
        return None
    namespace = importlib.import_module("autograd.numpy")
    cotangent = 1.0 if seed is None else seed

    def run() -> object:
        pullback, _ = autograd.make_vjp(lambda x: work.f(namespace, x, *work.constants))(work.x)
        return pullback(cotangent)

    return run


def contenders(work: Work) -> dict[str, Run]:
    """Everybody who has the function."""
    result = np.asarray(work.f(np, work.x, *work.constants))
    seed = DRAW.uniform(0.5, 1.5, result.shape) if result.ndim else None
    found = {
        OURS: run_ours(work, seed),
        "torch": run_torch(work, seed),
        "autograd": run_autograd(work, seed),
        FORWARD: lambda: work.f(np, work.x, *work.constants),
    }
    return {name: run for name, run in found.items() if run is not None}


def norm_of_sine(np: Any) -> Function:
    """What autograd, given NumPy's functions, computes element by element."""
    return lambda x: np.linalg.norm(np.sin(x))


def transforms() -> dict[str, Run]:
    """grad(norm(sin(x))), through everybody's function transform."""
    x = np.random.default_rng(0).uniform(0.5, 1.5, 3000)
    ours = autodiff.grad(norm_of_sine(np))
    found: dict[str, Run] = {OURS: lambda: ours(x)}
    if (autograd := peer("autograd")) is not None:
        own = autograd.grad(norm_of_sine(importlib.import_module("autograd.numpy")))
        plain = autograd.grad(norm_of_sine(np))
        found |= {"autograd": lambda: own(x), ON_NUMPY: lambda: plain(x)}
    return found


def rows(settings: Settings) -> Iterator[Row]:
    """The function transform first, then every function of the table."""
    if (torch := peer("torch")) is not None:
        torch.set_num_threads(1)  # some of its functions wake more for 1,000 elements, and wait for them
    brief = settings.capped(rounds=9, sample_seconds=0.01)
    work = transforms()
    check_equal("grad of norm(sin(x))", {who: [np.asarray(run(), float)] for who, run in work.items()})
    samples = scaled(interleave(work, brief), 1e6)
    yield make_row(GROUP, "grad of norm(sin(x)), n = 3,000", "µs", samples, {ON_NUMPY: Goal(0.1, 0.01)})
    for entry in TABLE:
        work = contenders(entry)
        check_equal(entry.name, {who: [np.asarray(run())] for who, run in work.items() if who != FORWARD})
        samples = scaled(interleave(work, brief), 1e6)
        row = make_row(GROUP, entry.name, "µs", samples, {"torch": TO_TORCH, "autograd": TO_AUTOGRAD})
        yield replace(row, ratios={who: ratio for who, ratio in row.ratios.items() if who != FORWARD})
