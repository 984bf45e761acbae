"""Layers that bring what they get to mean 0 and variance 1, then scale and shift it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..batched import Batched
from ..modes import stop_gradient
from ..rules.activations import floats
from ..value import Value
from .inputs import real_operand
from .module import Module
from .options import call_of, nonnegative, sizes
from .windows import Sizes

__all__ = ["BatchNorm", "GroupNorm", "LayerNorm", "RMSNorm"]


def _wide(x: Any) -> Any:
    """`x` in a dtype in which its squares are numbers: float16 in float32, integers and truth values in float64."""
    return x.astype(np.float32) if x.dtype == np.float16 else floats(x)


def _narrow(y: Any, x: Any, *parameters: Any) -> Any:
    """The result for `x` in the dtype that it has without `_wide`."""
    if x.dtype != np.float16:
        return y
    return y.astype(np.result_type(x.dtype, *[p.dtype for p in parameters if p is not None]))


def _normalised(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    centred = x - x.mean(axis=axes, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + eps)


def _affine(x: Any, weight: Any, bias: Any, shape: tuple[int, ...] | None = None) -> Any:
    if weight is not None:
        x = x * (weight if shape is None else weight.reshape(shape))
    if bias is not None:
        x = x + (bias if shape is None else bias.reshape(shape))
    return x


class BatchNorm(Module):
    """Each channel of a batch to mean 0 and variance 1 (Ioffe and Szegedy, arXiv:1502.03167).

    Takes (N, channels) or (N, channels, *size). In training, mean and variance are those of the batch, and running
    averages of them move by `momentum` (the variance without bias, as in PyTorch); after `eval()` these averages are
    used. Under `vmap` they move by the mean over its examples. A transform, also `jit`, that takes the model as an
    argument works on a copy: return it as auxiliary data to keep its averages, or call the model of a closure.

    >>> layer = BatchNorm(2)
    >>> layer(np.array([[1.0, 5.0], [3.0, 5.0]])).round(2).data
    array([[-1.,  0.],
           [ 1.,  0.]])
    >>> layer.running_mean.data
    array([0.2, 0.5])

    Raises ValueError for other channels, and in training for a batch with one number in each channel.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        *,
        dtype: Any = np.float64,
    ) -> None:
        (self.num_features,) = sizes("BatchNorm", num_features=num_features)
        self.eps, self.momentum = nonnegative("BatchNorm", eps), float(momentum)
        self.weight = Value(np.ones(num_features, dtype)) if affine else None
        self.bias = Value(np.zeros(num_features, dtype)) if affine else None
        self.running_mean = Value(np.zeros(num_features, dtype), requires_grad=False)
        self.running_var = Value(np.ones(num_features, dtype), requires_grad=False)

    def forward(self, x: Any) -> Any:
        """The normalised batch."""
        x = real_operand(self, x)
        shape = x.shape
        if len(shape) < 2 or shape[1] != self.num_features:
            raise ValueError(f"{self!r}: input has shape {shape}; it has to be (N, {self.num_features}, ...)")
        axes, wide = (0, *range(2, len(shape))), (-1,) + (1,) * (len(shape) - 2)
        if not self.training:
            scale = 1 / np.sqrt(_wide(self.running_var.data) + self.eps)
            y = (_wide(x) - self.running_mean.data.reshape(wide)) * scale.reshape(wide)
            return _narrow(_affine(y, self.weight, self.bias, wide), x, self.running_var, self.weight, self.bias)
        count = shape[0] * math.prod(shape[2:])
        if count < 2:
            raise ValueError(f"{self!r}: input has shape {shape}; training needs more than one number in each channel")
        wide_x = _wide(x)
        mean = wide_x.mean(axis=axes, keepdims=True)
        centred = wide_x - mean
        var = (centred * centred).mean(axis=axes, keepdims=True)
        self._move(self.running_mean, mean, 1.0)
        self._move(self.running_var, var, count / (count - 1))
        y = _affine(centred / np.sqrt(var + self.eps), self.weight, self.bias, wide)
        return _narrow(y, x, self.weight, self.bias)

    def _move(self, average: Value, new: Any, factor: float) -> None:
        new = stop_gradient(new)
        array = (new.data if isinstance(new, Value) else new).reshape(-1)
        while isinstance(array, Batched):  # the averages are those of all examples
            array = array.whole.mean(axis=tuple(range(len(array.levels))))
        moved = average.data + self.momentum * (factor * array - average.data)
        average.data = moved.astype(average.dtype)

    def __repr__(self) -> str:
        options = {"eps": (self.eps, 1e-5), "momentum": (self.momentum, 0.1), "affine": (self.weight is not None, True)}
        return call_of(self, self.num_features, **options)


class LayerNorm(Module):
    """The last axes, of shape `normalized_shape`, to mean 0 and variance 1 (Ba et al., arXiv:1607.06450).

    >>> LayerNorm(2)(np.array([[1.0, 3.0]])).round(2).data
    array([[-1.,  1.]])

    Raises ValueError for an input with other last axes.
    """

    def __init__(
        self,
        normalized_shape: Sizes,
        eps: float = 1e-5,
        *,
        bias: bool = True,
        dtype: Any = np.float64,
    ) -> None:
        self.normalized_shape, self.eps = _shape("LayerNorm", normalized_shape), nonnegative("LayerNorm", eps)
        self.weight = Value(np.ones(self.normalized_shape, dtype))
        self.bias = Value(np.zeros(self.normalized_shape, dtype)) if bias else None

    def forward(self, x: Any) -> Any:
        """The normalised input."""
        x = real_operand(self, x)
        axes = _last(self, x, self.normalized_shape)
        y = _affine(_normalised(_wide(x), axes, self.eps), self.weight, self.bias)
        return _narrow(y, x, self.weight, self.bias)

    def __repr__(self) -> str:
        return call_of(self, _shown(self.normalized_shape), eps=(self.eps, 1e-5), bias=(self.bias is not None, True))


class RMSNorm(Module):
    """The last axes divided by their root mean square (Zhang and Sennrich, arXiv:1910.07467).

    `eps` is the machine epsilon of the dtype if it is None, as in PyTorch.

    >>> RMSNorm(2)(np.array([[3.0, 4.0]])).round(4).data
    array([[0.8485, 1.1314]])

    Raises ValueError for an input with other last axes.
    """

    def __init__(self, normalized_shape: Sizes, eps: float | None = None, *, dtype: Any = np.float64) -> None:
        self.normalized_shape = _shape("RMSNorm", normalized_shape)
        self.eps = None if eps is None else nonnegative("RMSNorm", eps)
        self.weight = Value(np.ones(self.normalized_shape, dtype))

    def forward(self, x: Any) -> Any:
        """The normalised input."""
        x = real_operand(self, x)
        axes = _last(self, x, self.normalized_shape)
        eps = float(np.finfo(self.weight.dtype).eps) if self.eps is None else self.eps
        y = _wide(x)
        y = y / np.sqrt((y * y).mean(axis=axes, keepdims=True) + eps) * self.weight
        return _narrow(y, x, self.weight)

    def __repr__(self) -> str:
        return call_of(self, _shown(self.normalized_shape), eps=(self.eps, None))


class GroupNorm(Module):
    """Groups of channels of each example to mean 0 and variance 1 (Wu and He, arXiv:1803.08494): (N, channels, *size).

    >>> GroupNorm(1, 2)(np.array([[1.0, 3.0]])).round(2).data
    array([[-1.,  1.]])

    Raises ValueError if the groups do not divide the channels, and for an input of other channels.
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, dtype: Any = np.float64
    ) -> None:
        self.num_groups, self.num_channels = sizes("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(f"GroupNorm: {num_groups} groups do not divide {num_channels} channels")
        self.eps = nonnegative("GroupNorm", eps)
        self.weight = Value(np.ones(num_channels, dtype)) if affine else None
        self.bias = Value(np.zeros(num_channels, dtype)) if affine else None

    def forward(self, x: Any) -> Any:
        """The normalised input."""
        x = real_operand(self, x)
        shape = x.shape
        if len(shape) < 2 or shape[1] != self.num_channels:
            raise ValueError(f"{self!r}: input has shape {shape}; it has to be (N, {self.num_channels}, ...)")
        size = math.prod(shape[1:])
        y = _wide(x)
        if size:  # nothing has no mean
            y = y.reshape((shape[0], self.num_groups, size // self.num_groups))
            y = _normalised(y, (2,), self.eps).reshape(shape)
        y = _affine(y, self.weight, self.bias, (-1,) + (1,) * (len(shape) - 2))
        return _narrow(y, x, self.weight, self.bias)

    def __repr__(self) -> str:
        options = {"eps": (self.eps, 1e-5), "affine": (self.weight is not None, True)}
        return call_of(self, self.num_groups, self.num_channels, **options)


def _shape(layer: str, given: Sizes) -> tuple[int, ...]:
    given = given.tolist() if isinstance(given, np.ndarray) else given
    numbers = given if isinstance(given, Sequence) else (given,)
    if not numbers:
        raise ValueError(f"{layer}: normalized_shape is empty; it has to have at least one axis")
    return sizes(layer, **{f"normalized_shape[{i}]": n for i, n in enumerate(numbers)})


def _last(layer: Module, x: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The last axes, counted from the end."""
    if x.shape[-len(shape) :] != shape:
        raise ValueError(f"{layer!r}: input has shape {x.shape}; its last axes have to be {shape}")
    return tuple(range(-len(shape), 0))


def _shown(shape: tuple[int, ...]) -> int | tuple[int, ...]:
    return shape[0] if len(shape) == 1 else shape
