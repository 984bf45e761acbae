"""SGD: stochastic gradient descent, with momentum."""

from collections.abc import Iterable
from typing import Any

from ..value import Value
from .optimizer import Optimizer, nonnegative, number

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent: `p -= lr * g`, or with momentum `v = momentum * v + g; p -= lr * v`.

    The momentum is the one of Sutskever et al. (ICML 2013) in PyTorch's form: v is not scaled by lr.
    `weight_decay` adds `weight_decay * p` to the gradient.

    >>> w = Value([1.0, 2.0])
    >>> (w * w).sum().backward()
    >>> SGD([w], lr=0.25).step()
    >>> w.data
    array([0.5, 1. ])

    Raises ValueError for no parameters or a negative number, OperandError for what is no tracked leaf.
    """

    def __init__(self, params: Iterable[Value], lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr)
        self.momentum = nonnegative("SGD", "momentum", momentum)
        self.weight_decay = nonnegative("SGD", "weight_decay", weight_decay)
        self.averages = 1 if self.momentum else 0

    def _update(self, t: int, p: Any, g: Any, *averages: Any) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * p
        for v in averages:
            v *= self.momentum
            v += g
            g = v
        p -= number(self.lr) * g
