"""Activations as layers; the functions are in `rules.activations`."""

from typing import Any

import numpy as np

from ..rules.activations import gelu, leaky_relu, relu, sigmoid, silu, softmax, softplus
from .inputs import operand, real_operand
from .module import Module
from .options import call_of

__all__ = ["GELU", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh"]


class ReLU(Module):
    """`max(x, 0)`, element by element.

    >>> ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def forward(self, x: Any) -> Any:
        """`max(x, 0)`."""
        return relu(_given(self, x))


class Tanh(Module):
    """The hyperbolic tangent, element by element.

    >>> Tanh()(np.zeros(2))
    array([0., 0.])
    """

    def forward(self, x: Any) -> Any:
        """`tanh(x)`."""
        return np.tanh(operand(self, x))


class Sigmoid(Module):
    """`1 / (1 + exp(-x))`, element by element, without overflow.

    >>> Sigmoid()(np.zeros(2))
    array([0.5, 0.5])
    """

    def forward(self, x: Any) -> Any:
        """`1 / (1 + exp(-x))`."""
        return sigmoid(_given(self, x))


class GELU(Module):
    """`x * Phi(x)`, element by element; `approximate="tanh"` is the faster formula.

    >>> GELU()(np.zeros(2))
    array([0., 0.])

    Raises ValueError for another approximation.
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f'GELU: approximate is {approximate!r}; it has to be "none" or "tanh"')
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        """`x * Phi(x)`."""
        return gelu(_given(self, x), self.approximate)

    def __repr__(self) -> str:
        return call_of(self, approximate=(self.approximate, "none"))


class SiLU(Module):
    """`x * sigmoid(x)`, element by element, also known as swish.

    >>> SiLU()(np.zeros(2))
    array([0., 0.])
    """

    def forward(self, x: Any) -> Any:
        """`x * sigmoid(x)`."""
        return silu(_given(self, x))


class LeakyReLU(Module):
    """`x` where positive, else `negative_slope * x`, element by element.

    >>> LeakyReLU(0.1)(np.array([-1.0, 2.0]))
    array([-0.1,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = float(negative_slope)

    def forward(self, x: Any) -> Any:
        """`x` or `negative_slope * x`."""
        return leaky_relu(_given(self, x), self.negative_slope)

    def __repr__(self) -> str:
        return call_of(self, negative_slope=(self.negative_slope, 0.01))


class Softplus(Module):
    """`log(1 + exp(x))`, element by element, without overflow.

    >>> Softplus()(np.array([1000.0]))
    array([1000.])
    """

    def forward(self, x: Any) -> Any:
        """`log(1 + exp(x))`."""
        return softplus(_given(self, x))


class Softmax(Module):
    """`exp(x) / sum(exp(x))` along an axis, without overflow.

    >>> Softmax()(np.zeros(2))
    array([0.5, 0.5])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        """Probabilities along the axis."""
        return softmax(_given(self, x), self.axis)

    def __repr__(self) -> str:
        return call_of(self, axis=(self.axis, -1))


def _given(layer: Module, x: Any) -> Any:
    x = real_operand(layer, x)
    return x.astype(float) if x.dtype == bool else x
