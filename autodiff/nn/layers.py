"""The basic layers: Linear, Embedding, Dropout, Flatten, and Sequential, which calls modules one after the other."""

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any, overload

import numpy as np

from ..value import Value
from .init import Initialiser, Seed, he_uniform, normal
from .inputs import are_within, operand
from .module import Module

__all__ = ["Dropout", "Embedding", "Flatten", "Linear", "Sequential", "dropout"]


class Linear(Module):
    """`x @ weight + bias`, from `(..., in_features)` to `(..., out_features)`.

    `weight` has shape (in_features, out_features), so that neither direction of the product needs a
    transposed copy (PyTorch keeps the transpose). It starts as `init` makes it: uniform in ±sqrt(6 / in_features),
    which keeps the variance of activations from layer to layer under ReLU (He et al., arXiv:1502.01852);
    `bias`, of shape (out_features,), starts at 0. `rng` is a Generator, or a seed for one.

    >>> Linear(3, 2, rng=0)(np.ones((4, 3))).shape
    (4, 2)

    Raises ValueError for sizes below 1, and for an input whose last axis is not in_features long.
    """

    _transposed = ("weight",)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: Initialiser = he_uniform,
        dtype: Any = np.float64,
        rng: Seed = None,
    ) -> None:
        self.in_features = operator.index(in_features)
        self.out_features = operator.index(out_features)
        if self.in_features < 1 or self.out_features < 1:
            raise ValueError(f"Linear: sizes have to be at least 1, got {in_features} and {out_features}")
        self.weight = Value(init((self.in_features, self.out_features), rng, dtype))
        self.bias = Value(np.zeros(self.out_features), dtype=dtype) if bias else None

    def forward(self, x: Any) -> Any:
        """`x @ weight + bias`."""
        x = operand(self, x)
        if not x.ndim or x.shape[-1] != self.in_features:
            raise ValueError(f"{self!r}: the input's last axis has to be {self.in_features} long, got shape {x.shape}")
        y: Any = x @ self.weight
        return y if self.bias is None else y + self.bias

    def __repr__(self) -> str:
        return f"Linear({self.in_features}, {self.out_features}{'' if self.bias is not None else ', bias=False'})"


def dropout(x: Any, p: float, rng: np.random.Generator) -> Any:
    """`x` with each element put to 0 with probability p, and divided by 1 - p otherwise. Integers become floats.

    >>> dropout(np.ones(3), 0.0, np.random.default_rng(0))
    array([1., 1., 1.])

    Raises ValueError unless 0 <= p < 1.
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p is {p}; it has to be in [0, 1)")
    x = operand("dropout", x)
    x = x.astype(float) if x.dtype.kind in "biu" else x
    kept = rng.random(x.shape, np.float32) >= p
    return x * (kept * (1 / (1 - p))).astype(x.dtype)


class Dropout(Module):
    """In training, puts elements to 0 with probability p and divides the others by 1 - p (Srivastava et al., 2014).

    `rng` is a Generator, or a seed for one. Under `vmap` all examples have the same elements left out.

    >>> layer = Dropout(0.5, rng=0)
    >>> sorted({float(x) for x in layer(np.ones(20))}), layer.eval()(np.ones(2))
    ([0.0, 2.0], array([1., 1.]))

    Raises ValueError unless 0 <= p < 1.
    """

    def __init__(self, p: float = 0.5, *, rng: Seed = None) -> None:
        self.p, self.rng = float(p), np.random.default_rng(rng)
        if not 0 <= self.p < 1:
            raise ValueError(f"Dropout: p is {p}; it has to be in [0, 1)")

    def forward(self, x: Any) -> Any:
        """What is left of `x`."""
        return dropout(x, self.p, self.rng) if self.training and self.p else x

    def __repr__(self) -> str:
        return f"Dropout({self.p})"


class Embedding(Module):
    """A table of vectors, looked up by numbers: integers of any shape to (*shape, embedding_dim).

    `weight` has shape (num_embeddings, embedding_dim) and starts as `init` makes it: normal with standard deviation 1.

    >>> Embedding(10, 4, rng=0)(np.array([[1, 2, 9]])).shape
    (1, 3, 4)

    Raises ValueError for sizes below 1 and numbers out of range, TypeError for what is no integer.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        init: Initialiser = normal,
        dtype: Any = np.float64,
        rng: Seed = None,
    ) -> None:
        self.num_embeddings, self.embedding_dim = operator.index(num_embeddings), operator.index(embedding_dim)
        if min(self.num_embeddings, self.embedding_dim) < 1:
            raise ValueError(f"Embedding: sizes have to be at least 1, got {num_embeddings} and {embedding_dim}")
        self.weight = Value(init((self.num_embeddings, self.embedding_dim), rng, dtype))

    def forward(self, numbers: Any) -> Any:
        """The vectors of these numbers."""
        numbers = operand(self, numbers)
        if numbers.dtype.kind not in "iu":
            raise TypeError(f"{self!r}: numbers have dtype {numbers.dtype}; integers are needed: .astype(int)")
        if not are_within(numbers, self.num_embeddings):
            raise ValueError(f"{self!r}: a number is out of range; 0..{self.num_embeddings - 1} fit")
        return self.weight[numbers.data if isinstance(numbers, Value) else numbers]

    def __repr__(self) -> str:
        return f"Embedding({self.num_embeddings}, {self.embedding_dim})"


class Flatten(Module):
    """The axes from `start` on as one: (N, C, H, W) to (N, C * H * W).

    >>> Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)

    Raises ValueError for an input without that axis.
    """

    def __init__(self, start: int = 1) -> None:
        self.start = operator.index(start)

    def forward(self, x: Any) -> Any:
        """The flat input."""
        x = operand(self, x)
        shape = x.shape
        if not -len(shape) <= self.start < len(shape):
            raise ValueError(f"Flatten: input of shape {shape} has no axis {self.start}")
        kept = shape[: self.start]
        return np.reshape(x, (*kept, math.prod(shape[len(kept) :])))

    def __repr__(self) -> str:
        return "Flatten()" if self.start == 1 else f"Flatten({self.start})"


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
