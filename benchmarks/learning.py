"""Training steps of layers and optimizers, next to PyTorch's: forward, backward, and the update of the weights.

Both have the same weights and data, and their losses have to agree. Ours is `ad.jit` of the step; `eager` is the same
step without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import autodiff as ad
from autodiff import nn, optim

from .harness import OURS, Goal, Row, Settings, check_equal, interleave, make_row, peer, scaled
from .mlp import PAUSE

__all__ = ["COLUMNS", "rows"]

GROUP = "learning"
COLUMNS = ("torch", "torch nn", "eager")
RATE = 0.01
STEPS = 3  # whose losses are compared
EAGER = 1.3  # of the goal, without a compiler

F4: Any = {"dtype": np.float32}


@dataclass
class Task:
    """A model of ours, its data and loss; the same in PyTorch."""

    name: str
    model: Callable[[np.random.Generator], nn.Module]
    data: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    loss: Callable[[Any, Any], Any]
    theirs: Callable[[Any], dict[str, Any]]  # of torch: modules, by column
    their_loss: str
    goal: Goal


# -- the models


def lenet(rng: np.random.Generator) -> nn.Module:
    """LeNet-5 (LeCun et al., 1998) with ReLU and max-pooling, for images of 28 by 28."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2, **F4, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, **F4, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120, **F4, rng=rng),
        nn.ReLU(),
        nn.Linear(120, 84, **F4, rng=rng),
        nn.ReLU(),
        nn.Linear(84, 10, **F4, rng=rng),
    )


def lenet_of(torch: Any) -> dict[str, Any]:
    """The same in PyTorch."""
    t = torch.nn
    layers = [t.Conv2d(1, 6, 5, padding=2), t.ReLU(), t.MaxPool2d(2), t.Conv2d(6, 16, 5), t.ReLU(), t.MaxPool2d(2)]
    layers += [t.Flatten(), t.Linear(400, 120), t.ReLU(), t.Linear(120, 84), t.ReLU(), t.Linear(84, 10)]
    return {"torch": t.Sequential(*layers)}


def images(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """64 images and their classes."""
    return rng.random((64, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, 64)


def block(rng: np.random.Generator) -> nn.Module:
    """A block of a GPT."""
    return nn.TransformerBlock(256, 4, causal=True, **F4, rng=rng)


def block_of(torch: Any) -> dict[str, Any]:
    """The same in PyTorch, whose attention is one kernel."""

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.TransformerEncoderLayer(
                256, 4, 1024, 0.0, torch.nn.functional.gelu, batch_first=True, norm_first=True
            )
            self.mask: Any = torch.nn.Transformer.generate_square_subsequent_mask(128)

        def forward(self, x: Any) -> Any:
            return self.layer(x, self.mask, is_causal=True)

    return {"torch": Block()}


def sequences(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of the block."""
    x, y = rng.standard_normal((2, 8, 128, 256), dtype=np.float32)
    return x, y


def lstm(rng: np.random.Generator) -> nn.Module:
    """One layer, and its outputs only."""

    class Outputs(nn.Module):
        def __init__(self) -> None:
            self.lstm = nn.LSTM(128, 128, **F4, rng=rng)

        def forward(self, x: Any) -> Any:
            return self.lstm(x)[0]

    return Outputs()


def lstm_of(torch: Any) -> dict[str, Any]:
    """A loop in Python, as ours is; and PyTorch's layer, which is a loop in C++."""

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(128, 128, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.lstm(x)[0]

    class Loop(Layer):
        def forward(self, x: Any) -> Any:
            p = self.lstm
            inputs = x @ p.weight_ih_l0.T + p.bias_ih_l0
            h = c = torch.zeros(len(x), 128)
            outputs = []
            for t in range(x.shape[1]):
                gates = inputs[:, t] + h @ p.weight_hh_l0.T + p.bias_hh_l0
                i, f, g, o = gates.chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                outputs.append(h)
            return torch.stack(outputs, 1)

    return {"torch": Loop(), "torch nn": Layer()}


def series(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of the LSTM."""
    x, y = rng.standard_normal((2, 32, 64, 128), dtype=np.float32)
    return x, y


TASKS = [
    Task("LeNet, batch 64", lenet, images, nn.cross_entropy, lenet_of, "cross_entropy", Goal(1.5, 1.0)),
    Task("GPT block, d 256, T 128, batch 8", block, sequences, nn.mse, block_of, "mse_loss", Goal(1.0, 0.7)),
    Task("LSTM 128, T 64, batch 32", lstm, series, nn.mse, lstm_of, "mse_loss", Goal(0.8, 0.5)),
]


# -- the steps


def our_step(task: Task, model: nn.Module, compiled: bool) -> Callable[[], float]:
    """A step of gradient descent; it returns the loss."""
    optimizer = optim.SGD(model.parameters(), RATE)
    x, y = task.data(np.random.default_rng(1))

    def step(x: Any, y: Any) -> Any:
        loss = task.loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    run = ad.jit(step, strict=True) if compiled else step
    return lambda: float(run(x, y))


def their_step(task: Task, torch: Any, model: Any) -> Callable[[], float]:
    """The same in PyTorch."""
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    x, y = map(torch.from_numpy, task.data(np.random.default_rng(1)))
    loss_of = getattr(torch.nn.functional, task.their_loss)

    def step() -> float:
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def take_weights(model: nn.Module, theirs: dict[str, Any]) -> None:
    """Put the weights of PyTorch's first model into ours and its others."""
    state = next(iter(theirs.values())).state_dict()
    for other in theirs.values():
        other.load_state_dict(state)
    model.load_state_dict({name.removeprefix("layer."): tensor for name, tensor in state.items()})


def training(task: Task, settings: Settings) -> Row:
    """One row."""
    models = {OURS: task.model(np.random.default_rng(0)), "eager": task.model(np.random.default_rng(0))}
    runs = {who: our_step(task, model, who == OURS) for who, model in models.items()}
    if (torch := peer("torch")) is not None:
        torch.set_num_threads(settings.threads)
        theirs = task.theirs(torch)
        for model in models.values():
            take_weights(model, theirs)
        runs |= {who: their_step(task, torch, model) for who, model in theirs.items()}
    losses = {who: [run() for _ in range(STEPS)] for who, run in runs.items()}
    check_equal(task.name, {who: [np.array(found, "f4")] for who, found in losses.items()})
    samples = interleave(runs, settings, pause=PAUSE)
    row = make_row(GROUP, task.name, "ms", scaled(samples, 1e3), {"torch": task.goal} if torch is not None else {})
    return with_eager(row, task.goal)


def with_eager(row: Row, goal: Goal) -> Row:
    """A note: how ours does without a compiler, which has a goal of its own."""
    if "torch" not in row.figures:
        return row
    ratio = row.figures["eager"].median / row.figures["torch"].median
    note = f"without `jit` {ratio:.2f} of torch (goal {EAGER * goal.must:.2f})"
    return replace(row, notes=(*row.notes, note))


# -- the optimizer


def adam(settings: Settings) -> Row:
    """A step of Adam on ten million parameters."""
    count, size = 10, 1_000_000
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, size), dtype=np.float32) for _ in range(count)]

    def ours(compiled: bool) -> tuple[list[Any], Callable[[], None]]:
        params = [ad.Value(a[0].copy()) for a in arrays]
        for p, a in zip(params, arrays, strict=True):
            p.grad = a[1].copy()
        optimizer = optim.Adam(params)
        return params, ad.jit(optimizer.step, strict=True) if compiled else optimizer.step

    params, runs = {}, {}
    for who in (OURS, "eager"):
        params[who], runs[who] = ours(who == OURS)
    if (torch := peer("torch")) is not None:
        torch.set_num_threads(settings.threads)
        params["torch"] = [torch.nn.Parameter(torch.from_numpy(a[0].copy())) for a in arrays]
        for p, a in zip(params["torch"], arrays, strict=True):
            p.grad = torch.from_numpy(a[1].copy())
        runs["torch"] = torch.optim.Adam(params["torch"]).step
    for run in runs.values():
        for _ in range(STEPS):
            run()
    found = {who: [np.array(p.detach() if who == "torch" else p.data) for p in ps] for who, ps in params.items()}
    check_equal("Adam", found)
    goal = Goal(1.0, 0.7)
    name = f"Adam, {count} x {size:,} parameters"
    samples = scaled(interleave(runs, settings, pause=PAUSE), 1e3)
    return with_eager(make_row(GROUP, name, "ms", samples, {"torch": goal} if torch is not None else {}), goal)


def rows(settings: Settings) -> Iterator[Row]:
    """Every line of the table."""
    for task in TASKS:
        yield training(task, settings)
    yield adam(settings)
