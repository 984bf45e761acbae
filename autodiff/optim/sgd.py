"""SGD: stochastic gradient descent, with momentum."""

from collections.abc import Mapping
from typing import Any, ClassVar

from .checks import Check, flag, nonnegative
from .groups import Params
from .optimizer import Optimizer, Rate

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent: `p -= lr * g`, or with momentum `v = momentum * v + g; p -= lr * v`.

    The momentum is the one of Sutskever et al. (ICML 2013) in PyTorch's form: v is not scaled by lr.
    With `nesterov` the step is along `g + momentum * v` (Nesterov, 1983). `weight_decay` adds `weight_decay * p` to the
    gradient.

    >>> from autodiff import Value
    >>> w = Value([1.0, 2.0])
    >>> (w * w).sum().backward()
    >>> SGD([w], lr=0.25).step()
    >>> w.data
    array([0.5, 1. ])

    Raises ValueError for no parameters, a negative number, or nesterov without momentum, OperandError for what is no
    tracked leaf.
    """

    checks: ClassVar[Mapping[str, Check]] = {
        "momentum": nonnegative,
        "weight_decay": nonnegative,
        "nesterov": flag,
    }
    momentum: float
    weight_decay: float
    nesterov: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        momentum: float = 0.0,
        *,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)
        for options in [{}, *[group.options for group in self.groups]]:
            if options.get("nesterov", self.nesterov) and not options.get("momentum", self.momentum):
                raise ValueError("SGD: nesterov=True needs a momentum")

    @property
    def averages(self) -> int:  # type: ignore[override]
        """One with momentum."""
        return 1 if self.momentum else 0

    def _update(self, t: int, p: Any, g: Any, *averages: Any) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * p
        for v in averages:
            v *= self.momentum
            v += g
            g = g + self.momentum * v if self.nesterov else v
        p -= self.lr * g
