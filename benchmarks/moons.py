"""micrograd's demo: an MLP of scalars, 2-16-16-1, on two moons, with a hinge loss and L2 regularisation.

One piece of code, written with operators and `relu()` only, runs on whichever scalar class it is given.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from autodiff import Value

from .harness import OURS, Goal, Row, Settings, check_equal, interleave, make_row, peer, scaled

GROUP = "moons"
COLUMNS = ("micrograd", "torch")
SAMPLES = 20
WIDTHS = (2, 16, 16, 1)
PENALTY = 1e-4
RATE = 0.01

MakeScalar = Callable[[float], Any]


def two_moons(count: int, noise: random.Random) -> tuple[list[list[float]], list[int]]:
    """Points on two interleaved half circles, labelled -1 and 1."""
    points, labels = [], []
    for number in range(count):
        label = 1 if number % 2 else -1
        angle = math.pi * (number // 2) / (count // 2 - 1)
        x, y = math.cos(angle), math.sin(angle)
        if label > 0:
            x, y = 1 - x, 0.5 - y
        points.append([x + noise.gauss(0, 0.1), y + noise.gauss(0, 0.1)])
        labels.append(label)
    return points, labels


class MLP:
    """A multilayer perceptron of scalars; its weights are the same whatever the class of the scalars."""

    def __init__(self, widths: Sequence[int], scalar: MakeScalar) -> None:
        draw = random.Random(1337)
        self.layers = [
            [([scalar(draw.uniform(-1, 1)) for _ in range(fan_in)], scalar(0.0)) for _ in range(fan_out)]
            for fan_in, fan_out in pairwise(widths)
        ]

    def __call__(self, inputs: list[Any]) -> Any:
        """The score of one sample."""
        for number, layer in enumerate(self.layers, start=1):
            inputs = [sum((w * x for w, x in zip(ws, inputs, strict=True)), bias) for ws, bias in layer]
            if number < len(self.layers):
                inputs = [value.relu() for value in inputs]
        return inputs[0]

    def parameters(self) -> list[Any]:
        """Every weight and bias."""
        return [p for layer in self.layers for weights, bias in layer for p in (*weights, bias)]


def loss_of(model: MLP, scalar: MakeScalar, points: list[list[float]], labels: list[int]) -> Any:
    """Mean hinge loss plus the penalty, as the demo has it: inputs are scalars of the class too."""
    scores = [model([scalar(x) for x in point]) for point in points]
    losses = [(1 + -label * score).relu() for label, score in zip(labels, scores, strict=True)]
    return sum(losses) * (1.0 / len(losses)) + PENALTY * sum(p * p for p in model.parameters())


def clear_ours(p: Any) -> None:
    """Forget a Value's gradient."""
    p.zero_grad()


def clear_torch(p: Any) -> None:
    """Forget a tensor's gradient."""
    p.grad = None


def clear_micrograd(p: Any) -> None:
    """Forget a micrograd Value's gradient."""
    p.grad = 0.0


class Training:
    """The demo's training loop, in two halves: what is timed, and the update."""

    def __init__(self, scalar: MakeScalar, clear: Callable[[Any], None]) -> None:
        self.scalar, self.clear = scalar, clear
        self.model = MLP(WIDTHS, scalar)
        self.points, self.labels = two_moons(SAMPLES, random.Random(0))

    def forward_backward(self) -> None:
        """Clear the gradients, build the loss and differentiate it."""
        for p in self.model.parameters():
            self.clear(p)
        loss_of(self.model, self.scalar, self.points, self.labels).backward()

    def update(self) -> list[float]:
        """One step of gradient descent; hands out the gradients."""
        for p in self.model.parameters():
            p.data = p.data - RATE * p.grad
        return [float(p.grad) for p in self.model.parameters()]


def rows(settings: Settings) -> Iterator[Row]:
    """Cleared gradients, forward and backward over the batch: without and with garbage collection."""
    work = {OURS: Training(Value, clear_ours)}
    if (engine := peer("micrograd.engine")) is not None:
        work["micrograd"] = Training(engine.Value, clear_micrograd)
    if not settings.quick and (torch := peer("torch")) is not None:
        torch.set_num_threads(settings.threads)
        work["torch"] = Training(
            lambda value: torch.tensor(value, dtype=torch.float64, requires_grad=True), clear_torch
        )
    for step in range(3):
        for training in work.values():
            training.forward_backward()
        gradients = {name: [np.array(training.update())] for name, training in work.items()}
        check_equal(f"moons, step {step}", gradients)
    runs = {name: training.forward_backward for name, training in work.items()}
    label = f"MLP {'-'.join(map(str, WIDTHS))}, {SAMPLES} samples"
    goals = {"micrograd": Goal(1.0, 0.65)}
    yield make_row(GROUP, label, "ms", scaled(interleave(runs, settings), 1e3), goals)
    with_collector = scaled(interleave(runs, settings, collector=True), 1e3)
    yield make_row(GROUP, f"{label}, gc on", "ms", with_collector)
