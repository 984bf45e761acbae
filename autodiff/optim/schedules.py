"""Schedules: learning rates as functions of how many steps there have been, to pass as `lr=`.

They are NumPy formulas without branches, so that a compiled training step has them inside.

>>> lr = cosine(0.1, steps=100, warmup=10)
>>> [round(float(lr(step)), 4) for step in (0, 9, 10, 55, 100, 500)]
[0.01, 0.1, 0.1, 0.05, 0.0, 0.0]
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["constant", "cosine", "exponential", "linear", "one_cycle", "piecewise"]

Schedule = Callable[[Any], Any]


def _warm(step: Any, warmup: int) -> Any:
    return np.minimum((step + 1) / warmup, 1.0) if warmup else 1.0


def _part(step: Any, first: int, last: int) -> Any:
    """How much of the way from `first` to `last` lies behind."""
    return np.minimum(np.maximum((step - first) / max(last - first, 1), 0.0), 1.0)


def _positive(function: str, **counts: int) -> None:
    for name, n in counts.items():
        if n < (0 if name == "warmup" else 1):
            raise ValueError(f"{function}: {name} is {n}; it has to be at least {0 if name == 'warmup' else 1}")
    if counts.get("warmup", 0) >= counts.get("steps", math.inf):
        raise ValueError(f"{function}: warmup is {counts['warmup']}; it has to be less than steps, {counts['steps']}")


def constant(lr: float, warmup: int = 0) -> Schedule:
    """Always `lr`, after `warmup` steps in which it grows from `lr / warmup` in equal parts.

    >>> [float(constant(0.1, warmup=2)(step)) for step in range(3)]
    [0.05, 0.1, 0.1]
    """
    _positive("constant", warmup=warmup)
    return lambda step: lr * _warm(step, warmup)


def linear(lr: float, steps: int, warmup: int = 0, end: float = 0.0) -> Schedule:
    """From `lr` to `end` on a line that ends at step `steps`, after a warm-up.

    >>> [float(linear(0.4, steps=4)(step)) for step in range(5)]
    [0.4, 0.3, 0.2, 0.1, 0.0]

    Raises ValueError for steps below 1, or a warmup of as many steps or more.
    """
    _positive("linear", steps=steps, warmup=warmup)
    return lambda step: (lr + (end - lr) * _part(step, warmup, steps)) * _warm(step, warmup)


def cosine(lr: float, steps: int, warmup: int = 0, end: float = 0.0) -> Schedule:
    """From `lr` to `end` along half a cosine that ends at step `steps` (Loshchilov and Hutter, arXiv:1608.03983).

    >>> [round(float(cosine(0.4, steps=4)(step)), 3) for step in (0, 2, 4)]
    [0.4, 0.2, 0.0]

    Raises ValueError for steps below 1, or a warmup of as many steps or more.
    """
    _positive("cosine", steps=steps, warmup=warmup)

    def schedule(step: Any) -> Any:
        weight = 0.5 + 0.5 * np.cos(np.pi * _part(step, warmup, steps))
        return (end + (lr - end) * weight) * _warm(step, warmup)

    return schedule


def exponential(lr: float, decay: float, warmup: int = 0) -> Schedule:
    """`lr * decay ** step`, after a warm-up.

    >>> [float(exponential(0.4, 0.5)(step)) for step in range(3)]
    [0.4, 0.2, 0.1]
    """
    _positive("exponential", warmup=warmup)
    return lambda step: lr * decay ** np.maximum(step - warmup, 0) * _warm(step, warmup)


def piecewise(lr: float, boundaries: Sequence[int], factor: float = 0.1) -> Schedule:
    """`lr`, multiplied by `factor` from each of the boundaries on.

    >>> [float(piecewise(0.4, [2, 4], 0.5)(step)) for step in (0, 2, 4)]
    [0.4, 0.2, 0.1]
    """
    at = np.asarray(boundaries)
    return lambda step: lr * factor ** (step >= at).sum()


def one_cycle(lr: float, steps: int, warmup: float = 0.3, start: float = 1 / 25, end: float = 1e-4) -> Schedule:
    """Up to `lr` and down again, both along half a cosine (Smith and Topin, arXiv:1708.07120).

    It begins at `lr * start`, is highest after a part `warmup` of the steps, and ends at `lr * start * end`.

    >>> [round(float(one_cycle(1.0, steps=10, warmup=0.5)(step)), 3) for step in (0, 5, 10)]
    [0.04, 1.0, 0.0]

    Raises ValueError for steps below 1, or a warmup outside (0, 1).
    """
    _positive("one_cycle", steps=steps)
    if not 0 < warmup < 1:
        raise ValueError(f"one_cycle: warmup is {warmup}; it is a part of the steps, between 0 and 1")
    top = warmup * steps

    def schedule(step: Any) -> Any:
        up = 0.5 - 0.5 * np.cos(np.pi * np.minimum(step / top, 1.0))
        down = 0.5 + 0.5 * np.cos(np.pi * np.minimum(np.maximum((step - top) / (steps - top), 0.0), 1.0))
        rising, falling = start + (1 - start) * up, start * end + (1 - start * end) * down
        return lr * np.where(step < top, rising, falling)

    return schedule
