"""Adam and AdamW: steps scaled by running averages of the gradient and of its square."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .checks import Check, fractions, nonnegative
from .groups import Params
from .optimizer import Optimizer, Rate

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam (Kingma and Ba, arXiv:1412.6980): `p -= lr * mean / (sqrt(square) + eps)`, bias-corrected.

    `mean` and `square` average the gradient and its square, forgetting as `betas` say. `weight_decay`
    adds `weight_decay * p` to the gradient; see AdamW for the other way.

    >>> from autodiff import Value
    >>> w = Value([1.0, -2.0])
    >>> (w * w).sum().backward()
    >>> Adam([w], lr=0.5).step()
    >>> w.data
    array([ 0.5, -1.5])

    Raises ValueError for no parameters, a negative number, or betas outside [0, 1), OperandError for
    what is no tracked leaf.
    """

    averages = 2
    decoupled = False  # whether the decay is beside the gradient
    checks: ClassVar[Mapping[str, Check]] = {"betas": fractions, "eps": nonnegative, "weight_decay": nonnegative}
    betas: tuple[float, float]
    eps: float
    weight_decay: float

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _update(self, t: int, p: Any, g: Any, *averages: Any) -> None:
        if self.weight_decay and self.decoupled:
            p *= 1 - self.lr * self.weight_decay
        elif self.weight_decay:
            g = g + self.weight_decay * p
        mean, square = averages
        beta1, beta2 = self.betas
        mean += (1 - beta1) * (g - mean)
        square += (1 - beta2) * (g * g - square)
        scale = (1 - beta2**t) ** 0.5
        p -= (self.lr * scale / (1 - beta1**t)) * mean / (np.sqrt(square) + self.eps * scale)


class AdamW(Adam):
    """Adam with the weight decay beside the gradient (Loshchilov and Hutter, arXiv:1711.05101).

    Each step first shrinks the parameters, `p *= 1 - lr * weight_decay`, and then is Adam's.

    >>> from autodiff import Value
    >>> w = Value([1.0, -2.0])
    >>> (w * w).sum().backward()
    >>> AdamW([w], lr=0.5, weight_decay=0.1).step()
    >>> w.data
    array([ 0.45, -1.4 ])

    Raises what Adam raises.
    """

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
