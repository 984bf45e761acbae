"""RMSprop, Adagrad and Lion."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .checks import Check, fraction, fractions, nonnegative
from .groups import Params
from .optimizer import Optimizer, Rate

__all__ = ["Adagrad", "Lion", "RMSprop"]


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012): `p -= lr * g / (sqrt(square) + eps)`.

    `square` averages the squared gradient, forgetting as `alpha` says. With `momentum` steps are averaged as in SGD.
    `weight_decay` adds `weight_decay * p` to the gradient.

    >>> from autodiff import Value
    >>> w = Value([1.0, -2.0])
    >>> (w * w).sum().backward()
    >>> RMSprop([w], lr=0.01).step()
    >>> w.data
    array([ 0.9, -1.9])

    Raises ValueError for no parameters, a negative number, or alpha outside [0, 1), OperandError for what is no tracked
    leaf.
    """

    checks: ClassVar[Mapping[str, Check]] = {
        "alpha": fraction,
        "eps": nonnegative,
        "weight_decay": nonnegative,
        "momentum": nonnegative,
    }
    alpha: float
    eps: float
    weight_decay: float
    momentum: float

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ) -> None:
        super().__init__(params, lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)

    @property
    def averages(self) -> int:  # type: ignore[override]
        """The squares, and with momentum the steps."""
        return 2 if self.momentum else 1

    def _update(self, t: int, p: Any, g: Any, *averages: Any) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * p
        square = averages[0]
        square += (1 - self.alpha) * (g * g - square)
        step = g / (np.sqrt(square) + self.eps)
        if self.momentum:
            v = averages[1]
            v *= self.momentum
            v += step
            step = v
        p -= self.lr * step


class Adagrad(Optimizer):
    """Adagrad (Duchi et al., JMLR 2011): `p -= lr * g / (sqrt(total) + eps)`, with the sum of all squared gradients.

    `weight_decay` adds `weight_decay * p` to the gradient.

    >>> from autodiff import Value
    >>> w = Value([1.0, -2.0])
    >>> (w * w).sum().backward()
    >>> Adagrad([w], lr=0.5).step()
    >>> w.data
    array([ 0.5, -1.5])

    Raises ValueError for no parameters or a negative number, OperandError for what is no tracked leaf.
    """

    averages = 1
    checks: ClassVar[Mapping[str, Check]] = {"weight_decay": nonnegative, "eps": nonnegative}
    weight_decay: float
    eps: float

    def __init__(self, params: Params, lr: Rate = 1e-2, *, weight_decay: float = 0.0, eps: float = 1e-10) -> None:
        super().__init__(params, lr, weight_decay=weight_decay, eps=eps)

    def _update(self, t: int, p: Any, g: Any, *averages: Any) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * p
        (total,) = averages
        total += g * g
        p -= self.lr * (g / (np.sqrt(total) + self.eps))


class Lion(Optimizer):
    """Lion (Chen et al., arXiv:2302.06675): steps of one size along the sign of an average of gradients.

    `weight_decay` shrinks the parameters beside the gradient, as in AdamW.

    >>> from autodiff import Value
    >>> w = Value([1.0, -2.0])
    >>> (w * w).sum().backward()
    >>> Lion([w], lr=0.5).step()
    >>> w.data
    array([ 0.5, -1.5])

    Raises ValueError for no parameters, a negative number, or betas outside [0, 1), OperandError for what is no tracked
    leaf.
    """

    averages = 1
    checks: ClassVar[Mapping[str, Check]] = {"betas": fractions, "weight_decay": nonnegative}
    betas: tuple[float, float]
    weight_decay: float

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas=betas, weight_decay=weight_decay)

    def _update(self, t: int, p: Any, g: Any, *averages: Any) -> None:
        (mean,), (beta1, beta2) = averages, self.betas
        if self.weight_decay:
            p *= 1 - self.lr * self.weight_decay
        p -= self.lr * np.sign(mean + (1 - beta1) * (g - mean))
        mean += (1 - beta2) * (g - mean)
