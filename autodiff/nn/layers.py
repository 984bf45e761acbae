"""The basic layers: Linear, Embedding, Dropout, Flatten, and Sequential, which calls modules one after the other."""

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any, overload

import numpy as np

from ..modes import stop_gradient
from ..value import Value
from .init import Initialiser, Seed, he_uniform, normal
from .inputs import are_within, operand
from .module import Module
from .options import call_of, probability, sizes

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
        self.in_features, self.out_features = sizes("Linear", in_features=in_features, out_features=out_features)
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
        return call_of(self, self.in_features, self.out_features, bias=(self.bias is not None, True))


def dropout(x: Any, p: float, rng: np.random.Generator) -> Any:
    """`x` with each element put to 0 with probability p, and divided by 1 - p otherwise. Integers become floats.

    >>> dropout(np.ones(3), 0.0, np.random.default_rng(0))
    array([1., 1., 1.])

    Raises ValueError unless 0 <= p <= 1, TypeError for what is no Generator: a seed would draw the same each time.
    """
    p = probability("dropout", p)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"dropout: rng is a {type(rng).__name__}; pass a Generator: np.random.default_rng({rng!r})")
    x = operand("dropout", x)
    x = x.astype(float) if x.dtype.kind in "biu" else x
    kept = rng.random(x.shape, np.float32) >= p
    return x * (kept * (1 / (1 - p) if p < 1 else 0.0)).astype(x.dtype)


class Dropout(Module):
    """In training, puts elements to 0 with probability p and divides the others by 1 - p (Srivastava et al., 2014).

    `rng` is a Generator, or a seed for one. Under `vmap` all examples have the same elements left out.

    >>> layer = Dropout(0.5, rng=0)
    >>> sorted({float(x) for x in layer(np.ones(20))}), layer.eval()(np.ones(2))
    ([0.0, 2.0], array([1., 1.]))

    Raises ValueError unless 0 <= p <= 1.
    """

    def __init__(self, p: float = 0.5, *, rng: Seed = None) -> None:
        self.p, self.rng = probability("Dropout", p), np.random.default_rng(rng)

    def forward(self, x: Any) -> Any:
        """What is left of `x`."""
        return dropout(x, self.p, self.rng) if self.training and self.p else x

    def __repr__(self) -> str:
        return f"Dropout({self.p})"


class Embedding(Module):
    """A table of vectors, looked up by numbers: integers of any shape to (*shape, embedding_dim).

    `weight` has shape (num_embeddings, embedding_dim) and starts as `init` makes it: normal with standard deviation 1.
    The row `padding_idx`, for numbers that only fill up, starts as zeros and gets no gradient.

    >>> Embedding(10, 4, rng=0)(np.array([[1, 2, 9]])).shape
    (1, 3, 4)

    Raises ValueError for sizes below 1 and numbers out of range, TypeError for what is no integer.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        init: Initialiser = normal,
        dtype: Any = np.float64,
        rng: Seed = None,
    ) -> None:
        self.num_embeddings, self.embedding_dim = n, _ = sizes(
            "Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim
        )
        self.padding_idx = None if padding_idx is None else operator.index(padding_idx)
        table = init((n, self.embedding_dim), rng, dtype)
        if self.padding_idx is not None:
            if not -n <= self.padding_idx < n:
                raise ValueError(f"Embedding: padding_idx is {padding_idx}; 0..{n - 1} fit")
            self.padding_idx %= n  # from the end, if negative, as in PyTorch
            table[self.padding_idx] = 0
        self.weight = Value(table)

    def forward(self, numbers: Any) -> Any:
        """The vectors of these numbers."""
        numbers = operand(self, numbers)
        if numbers.dtype.kind not in "iu":
            raise TypeError(f"{self!r}: numbers have dtype {numbers.dtype}; integers are needed: .astype(int)")
        if not are_within(numbers, self.num_embeddings):
            raise ValueError(f"{self!r}: a number is out of range; 0..{self.num_embeddings - 1} fit")
        numbers = numbers.data if isinstance(numbers, Value) else numbers
        vectors = self.weight[numbers]
        if self.padding_idx is None:
            return vectors
        return np.where((numbers != self.padding_idx)[..., None], vectors, stop_gradient(vectors))

    def __repr__(self) -> str:
        return call_of(self, self.num_embeddings, self.embedding_dim, padding_idx=(self.padding_idx, None))


class Flatten(Module):
    """The axes from `start_dim` on as one: (N, C, H, W) to (N, C * H * W).

    >>> Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)

    Raises ValueError for an input without that axis.
    """

    def __init__(self, start_dim: int = 1) -> None:
        self.start_dim = operator.index(start_dim)

    def forward(self, x: Any) -> Any:
        """The flat input."""
        x = operand(self, x)
        shape = x.shape
        if not -len(shape) <= self.start_dim < len(shape):
            raise ValueError(f"Flatten: input of shape {shape} has no axis {self.start_dim}")
        kept = shape[: self.start_dim]
        return np.reshape(x, (*kept, math.prod(shape[len(kept) :])))

    def __repr__(self) -> str:
        return call_of(self, start_dim=(self.start_dim, 1))


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
