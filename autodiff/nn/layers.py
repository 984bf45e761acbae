"""The layers: Linear, activations, and Sequential, which calls modules one after the other."""

import operator
from collections.abc import Callable, Iterator
from typing import Any, overload

import numpy as np

from ..rules.activations import gelu, relu, sigmoid
from ..value import Value
from .module import Module

__all__ = ["GELU", "Linear", "ReLU", "Sequential", "Sigmoid", "Tanh"]


class Linear(Module):
    """`x @ weight + bias`, from `(..., in_features)` to `(..., out_features)`.

    `weight` has shape (in_features, out_features), so that neither direction of the product needs a
    transposed copy (PyTorch keeps the transpose). It starts uniform in ±sqrt(6 / in_features), which
    keeps the variance of activations from layer to layer under ReLU (He et al., arXiv:1502.01852);
    `bias`, of shape (out_features,), starts at 0. `rng` is a Generator, or a seed for one.

    >>> Linear(3, 2, rng=0)(np.ones((4, 3))).shape
    (4, 2)

    Raises ValueError for sizes below 1, and for an input whose last axis is not in_features long.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = np.float64,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.in_features = operator.index(in_features)
        self.out_features = operator.index(out_features)
        if self.in_features < 1 or self.out_features < 1:
            raise ValueError(f"Linear: sizes have to be at least 1, got {in_features} and {out_features}")
        bound = (6 / self.in_features) ** 0.5
        weight = np.random.default_rng(rng).uniform(-bound, bound, (self.in_features, self.out_features))
        self.weight = Value(weight, dtype=dtype)
        self.bias = Value(np.zeros(self.out_features), dtype=dtype) if bias else None

    def forward(self, x: Any) -> Any:
        """`x @ weight + bias`."""
        shape = x.shape if hasattr(x, "shape") else np.shape(x)
        if not shape or shape[-1] != self.in_features:
            raise ValueError(f"{self!r}: the input's last axis has to be {self.in_features} long, got shape {shape}")
        y: Any = x @ self.weight
        return y if self.bias is None else y + self.bias

    def __repr__(self) -> str:
        return f"Linear({self.in_features}, {self.out_features}{'' if self.bias is not None else ', bias=False'})"


class ReLU(Module):
    """`max(x, 0)`, element by element.

    >>> ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def forward(self, x: Any) -> Any:
        """`max(x, 0)`."""
        return relu(x)


class Tanh(Module):
    """The hyperbolic tangent, element by element.

    >>> Tanh()(np.zeros(2))
    array([0., 0.])
    """

    def forward(self, x: Any) -> Any:
        """`tanh(x)`."""
        return np.tanh(x)


class Sigmoid(Module):
    """`1 / (1 + exp(-x))`, element by element, without overflow.

    >>> Sigmoid()(np.zeros(2))
    array([0.5, 0.5])
    """

    def forward(self, x: Any) -> Any:
        """`1 / (1 + exp(-x))`."""
        return sigmoid(x)


class GELU(Module):
    """`x * Phi(x)`, element by element; `approximate="tanh"` is the faster formula.

    >>> GELU()(np.zeros(2))
    array([0., 0.])
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        """`x * Phi(x)`."""
        return gelu(x, self.approximate)


class Sequential(Module):
    """Modules, or any functions of one argument, called one after the other.

    >>> model = Sequential(Linear(3, 8, rng=0), np.tanh, Linear(8, 2, rng=1))
    >>> model(np.ones((4, 3))).shape, len(model), model[0]
    ((4, 2), 3, Linear(3, 8))

    Raises TypeError for what cannot be called.
    """

    def __init__(self, *layers: Callable[[Any], Any]) -> None:
        for i, layer in enumerate(layers):
            if not callable(layer):
                raise TypeError(f"Sequential: layer {i} is a {type(layer).__name__}; pass modules or functions")
        self.layers = list(layers)

    def _children(self) -> Iterator[tuple[str, Any]]:
        """The layers, named by their numbers, and whatever a subclass adds."""
        yield from ((str(i), layer) for i, layer in enumerate(self.layers))
        yield from ((name, part) for name, part in vars(self).items() if name != "layers")

    def forward(self, x: Any) -> Any:
        """The last layer's output."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Callable[[Any], Any]]:
        return iter(self.layers)

    @overload
    def __getitem__(self, index: int) -> Callable[[Any], Any]: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: int | slice) -> "Callable[[Any], Any] | Sequential":
        """A layer, or for a slice a Sequential that shares those layers."""
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]
