"""Writing in place: a buffer filled in a loop, a large constant that somebody might write to, and nobody writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import autodiff
from autodiff import Value

from .chains import multiply_add_constant
from .harness import OURS, Goal, Row, Settings, check_equal, interleave, make_row, peer, scaled

GROUP = "writing"
COLUMNS = ("torch", "1,000 entries", "read-only", "after a write")
BATCH, HIDDEN = 60_000, 32
OPERATIONS = 200

Run = Callable[[], object]


def fill(x: Any) -> Any:
    """A plain buffer, entry by entry."""
    n = len(x)
    out = np.empty(n)
    for i in range(n):
        out[i] = x[i] ** 2
    return out.sum()


def fill_torch(torch: Any, x: Any) -> Run:
    """The same in torch: each write's backward step copies the whole cotangent."""
    leaf = torch.tensor(x, requires_grad=True)

    def run() -> object:
        leaf.grad = None
        out = torch.empty(len(x), dtype=torch.float64)
        for i in range(len(x)):
            out[i] = leaf[i] ** 2
        out.sum().backward()
        return leaf.grad

    return run


def fill_rows(settings: Settings) -> Iterator[Row]:
    """What an entry costs, and that it costs the same in a longer buffer."""
    gradient = autodiff.grad(fill)
    small, large = np.linspace(0.1, 1.0, 1_000), np.linspace(0.1, 1.0, 10_000)
    work: dict[str, Run] = {OURS: lambda: gradient(small)}
    if (torch := peer("torch")) is not None:
        work["torch"] = fill_torch(torch, small)
    check_equal("out[i] = x[i]**2", {who: [np.asarray(run())] for who, run in work.items()})
    label = "out[i] = x[i]**2, {} times: an entry".format
    goals = {OURS: Goal(12.0, 6.0), "torch": Goal(1.0, 0.3)}
    samples = scaled(interleave(work, settings), 1e6 / small.size)
    yield make_row(GROUP, label("1,000"), "µs", samples, goals)
    work = {OURS: lambda: gradient(large), COLUMNS[1]: lambda: [gradient(small) for _ in range(10)]}
    samples = scaled(interleave(work, settings), 1e6 / large.size)
    yield make_row(GROUP, label("10,000"), "µs", samples, {OURS: Goal(12.0, 6.0), COLUMNS[1]: Goal(1.25, 1.1)})


def mlp_gradient(batch: Any, labels: Any) -> Run:
    """The gradients of a small MLP's cross entropy over a batch that is a plain array."""
    draw = np.random.default_rng(0)
    w1 = draw.normal(size=(batch.shape[1], HIDDEN)).astype(np.float32) * 0.03
    w2 = draw.normal(size=(HIDDEN, 10)).astype(np.float32) * 0.3
    rows = np.arange(len(batch))

    def loss(w1: Any, w2: Any) -> Any:
        z = np.maximum(batch @ w1, 0) @ w2
        z = z - z.max(axis=1, keepdims=True)
        return np.mean(np.log(np.exp(z).sum(axis=1)) - z[rows, labels])

    gradient = autodiff.grad(loss, argnums=(0, 1))
    return lambda: gradient(w1, w2)


def batch_row(settings: Settings) -> Row:
    """What it costs to see whether somebody has written to a batch of 188 MB."""
    draw = np.random.default_rng(0)
    batch = draw.random((BATCH, 784), dtype=np.float32)
    labels = draw.integers(0, 10, BATCH)
    frozen = batch.copy()
    frozen.flags.writeable = False
    work = {OURS: mlp_gradient(batch, labels), COLUMNS[2]: mlp_gradient(frozen, labels)}
    check_equal("large batch", {who: list(run()) for who, run in work.items()})  # type: ignore[call-overload]
    samples = scaled(interleave(work, settings), 1e6 / BATCH)
    label = f"MLP 784-{HIDDEN}-10, batch ({BATCH}, 784): a sample"
    return make_row(GROUP, label, "µs", samples, {COLUMNS[2]: Goal(1.05, 1.02)})


def chain_run(written: bool) -> Run:
    """A chain x*c+c, in which nobody writes, on a Value that has or has not been written to before."""
    chain = multiply_add_constant(OPERATIONS)
    leaf, c, seed = Value(np.linspace(0.4, 0.6, 100)), np.full(100, 0.9), np.ones(100)

    def run() -> object:
        leaf.zero_grad()
        x = leaf * 1.0
        if written:
            x[:10] = 0.5
            x[10:20] *= 2.0
        chain(x, c).backward(seed)
        return leaf.grad

    return run


def hot_path_row(settings: Settings) -> Row:
    """Whoever does not write pays nothing: two writes cost what they cost, not something an operation."""
    work = {OURS: chain_run(False), COLUMNS[3]: chain_run(True)}
    samples = scaled(interleave(work, settings), 1e6 / OPERATIONS)
    goals = {OURS: Goal(2.0, 1.7), COLUMNS[3]: Goal(1.0, 0.97)}
    return make_row(GROUP, "chain x*c+c, n = 100: an operation", "µs", samples, goals)


def rows(settings: Settings) -> Iterator[Row]:
    """The loop at two lengths, the large batch, the chain."""
    brief = settings.capped(rounds=9, sample_seconds=0.02)
    yield from fill_rows(brief)
    yield hot_path_row(settings)
    yield batch_row(settings.capped(rounds=7, sample_seconds=0.02))
