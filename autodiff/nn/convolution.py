"""Convolution and pooling: functions of images, and layers. Images have their channels first: (N, C, *size).

>>> layer = Conv2d(3, 8, 5, padding="same", rng=0)
>>> layer(np.zeros((2, 3, 28, 28))).shape, MaxPool(2)(np.zeros((2, 3, 28, 28))).shape
((2, 8, 28, 28), (2, 3, 14, 14))
"""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..rules import convolution, pooling
from ..rules.convolution import Geometry
from ..value import Value
from .init import Initialiser, Seed, he_uniform
from .inputs import operand, real_operand
from .module import Module

__all__ = ["AvgPool", "Conv1d", "Conv2d", "MaxPool", "avg_pool", "conv", "max_pool"]

Sizes = int | Sequence[int] | np.ndarray[Any, Any]
Padding = Sizes | str | Sequence[Sequence[int]]


# -- functions


def conv(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Any:
    """Convolution of images `x` (N, C, *size) with kernels `weight` (O, C / groups, *kernel): (N, O, *out).

    Kernels are not mirrored, which makes it a cross-correlation, as everywhere in this field. `stride`, `padding` and
    `dilation` are one number, or one for each axis; padding also takes pairs (before, after), `"same"`, where the
    result is as large as the image divided by the stride, rounded up, and `"valid"`, which is 0. `bias` has shape (O,).
    With `groups` the channels are cut into as many groups, each with kernels of its own.

    >>> conv(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), padding=((0, 1), (0, 1)))[0, 0]
    array([[4., 4., 2.],
           [4., 4., 2.],
           [2., 2., 1.]])

    Raises ValueError for shapes that do not fit, and for kernels larger than the padded images.
    """
    x, weight = operand("conv", x, "images"), operand("conv", weight, "weight")
    axes = weight.ndim - 2
    if axes < 1 or x.ndim != weight.ndim:
        raise ValueError(
            f"conv: images of shape {x.shape} and weight of shape {weight.shape}; they have to be (N, C, *size) and "
            "(O, C / groups, *kernel), with as many axes"
        )
    groups = operator.index(groups)
    if groups < 1 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ValueError(
            f"conv: images of {x.shape[1]} channels, weight of shape {weight.shape} and groups={groups}; the weight's "
            "second axis has to be channels / groups, and groups divide its first one"
        )
    geometry = _geometry("conv", x.shape[2:], weight.shape[2:], stride, padding, dilation, groups)
    y = convolution.conv(x, weight, geometry)
    if bias is None:
        return y
    if np.shape(bias) != weight.shape[:1]:
        raise ValueError(f"conv: bias has shape {np.shape(bias)}; it has to be {weight.shape[:1]}")
    return y + np.reshape(bias, (-1,) + (1,) * axes)


def max_pool(x: Any, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0, dilation: Sizes = 1) -> Any:
    """The greatest element of each window of the last axes: as many as `kernel` has numbers, or all after (N, C).

    `stride` is that of the kernel if it is None. The padding counts as -inf. Of equal elements the first has the
    gradient.

    >>> max_pool(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[3., 2.]]])

    Raises ValueError for windows larger than the padded images, and for padding of half a window or more.
    """
    x = real_operand("max_pool", x, "images")
    geometry = _window("max_pool", x, kernel, stride, padding, dilation)
    if any(max(p) * 2 > r for p, r in zip(geometry.padding, geometry.reach, strict=True)):
        raise ValueError(f"max_pool: padding={padding!r} is more than half of the kernel {kernel!r}")
    return pooling.max_pool(x, geometry)


def avg_pool(x: Any, kernel: Sizes, stride: Sizes | None = None, padding: Padding = 0) -> Any:
    """The mean of each window of the last axes: as many as `kernel` has numbers, or all after (N, C).

    `stride` is that of the kernel if it is None. The padding counts, as zeros.

    >>> avg_pool(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    array([[[2., 1.]]])

    Raises ValueError for windows larger than the padded images.
    """
    x = operand("avg_pool", x, "images")
    geometry = _window("avg_pool", x, kernel, stride, padding, 1)
    count = 1
    for n in geometry.kernel:
        count *= n
    if x.dtype == np.float16:  # whose sums overflow
        return (pooling.sum_pool(x.astype(np.float32), geometry) * (1 / count)).astype(x.dtype)
    return pooling.sum_pool(x, geometry) * (1 / count)


# -- geometry


def _window(function: str, x: Any, kernel: Sizes, stride: Sizes | None, padding: Padding, dilation: Sizes) -> Geometry:
    kernel = kernel.tolist() if isinstance(kernel, np.ndarray) else kernel
    axes = len(kernel) if isinstance(kernel, Sequence) else max(x.ndim - 2, 1)
    if x.ndim < axes or x.dtype.kind not in "fc":
        raise ValueError(f"{function}: images of shape {x.shape} and {x.dtype}; floats with {axes} axes are needed")
    kernels = _sizes(function, "kernel", kernel, axes)
    return _geometry(
        function, x.shape[x.ndim - axes :], kernels, kernels if stride is None else stride, padding, dilation, 1
    )


def _geometry(
    function: str,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
) -> Geometry:
    axes = len(size)
    strides, dilations = _sizes(function, "stride", stride, axes), _sizes(function, "dilation", dilation, axes)
    geometry = Geometry(size, kernel, strides, ((0, 0),) * axes, dilations, groups)
    geometry = geometry._replace(padding=_padding(function, padding, geometry))
    if min(kernel) < 1 or min(geometry.out) < 1:
        raise ValueError(
            f"{function}: a kernel of {kernel}, which reaches over {geometry.reach}, does not fit into images of "
            f"{geometry.padded}, padding included"
        )
    return geometry


def _padding(function: str, padding: Padding, geometry: Geometry) -> tuple[tuple[int, int], ...]:
    axes = len(geometry.size)
    padding = padding.tolist() if isinstance(padding, np.ndarray) else padding
    if isinstance(padding, str) and padding == "same":
        wanted = [-(-n // s) for n, s in zip(geometry.size, geometry.stride, strict=True)]
        parts = zip(wanted, geometry.stride, geometry.reach, geometry.size, strict=True)
        missing = [max((w - 1) * s + r - n, 0) for w, s, r, n in parts]
        return tuple([(m // 2, m - m // 2) for m in missing])
    if isinstance(padding, str) and padding != "valid":
        raise ValueError(f'{function}: padding={padding!r}; it is a number, "same" or "valid"')
    if isinstance(padding, Sequence) and not isinstance(padding, str) and any(np.ndim(p) for p in padding):
        pairs = [(*pair,) if isinstance(pair, Sequence) else () for pair in padding]
        if len(pairs) != axes or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
            raise ValueError(f"{function}: padding={padding!r}; it has to be {axes} pairs (before, after)")
        whole = [_sizes(function, "padding", pair, 2, 0) for pair in pairs]
        return tuple([(before, after) for before, after in whole])
    numbers = (0,) * axes if padding == "valid" else _sizes(function, "padding", padding, axes, 0)  # type: ignore[arg-type]
    return tuple([(n, n) for n in numbers])


def _sizes(function: str, argument: str, given: Sizes, axes: int, least: int = 1) -> tuple[int, ...]:
    given = given.tolist() if isinstance(given, np.ndarray) else given
    numbers = given if isinstance(given, Sequence) else (given,) * axes
    error: type[Exception] = ValueError
    try:
        found = tuple([operator.index(n) for n in numbers])
    except TypeError:
        found, error = (), TypeError
    if len(found) != axes or min(found) < least:
        raise error(
            f"{function}: {argument}={given!r}; it has to be a whole number, or {axes} of them, and at least {least}"
        )
    return found


# -- layers


class _Conv(Module):
    """What layers of any number of axes share."""

    axes = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Padding = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        init: Initialiser = he_uniform,
        dtype: Any = np.float64,
        rng: Seed = None,
    ) -> None:
        name, axes = type(self).__name__, self.axes
        self.in_channels, self.out_channels = operator.index(in_channels), operator.index(out_channels)
        self.groups = operator.index(groups)
        if min(self.in_channels, self.out_channels, self.groups) < 1:
            raise ValueError(f"{name}: {in_channels} and {out_channels} channels, groups={groups}; all are at least 1")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(f"{name}: groups={groups} does not divide {in_channels} and {out_channels} channels")
        self.kernel_size = _sizes(name, "kernel_size", kernel_size, axes)
        self.stride = _sizes(name, "stride", stride, axes)
        self.dilation = _sizes(name, "dilation", dilation, axes)
        self.padding = padding
        once, none = (1,) * axes, ((0, 0),) * axes
        _padding(name, padding, Geometry(self.kernel_size, self.kernel_size, once, none, once))  # raises here already
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = Value(init(shape, rng, dtype))
        self.bias = Value(np.zeros(self.out_channels, dtype)) if bias else None

    def forward(self, x: Any) -> Any:
        """The convolution of images (N, in_channels, *size); one image without N is one."""
        x = operand(self, x)
        shape = x.shape
        if len(shape) not in (self.axes + 1, self.axes + 2) or shape[-self.axes - 1] != self.in_channels:
            raise ValueError(
                f"{self!r}: images have shape {shape}; it has to be (N, {self.in_channels}, "
                f"{', '.join(['length'] if self.axes == 1 else ['height', 'width'])})"
            )
        if len(shape) == self.axes + 1:
            return self.forward(x[None])[0]
        return conv(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def __repr__(self) -> str:
        defaults = {"stride": (1,) * self.axes, "padding": 0, "dilation": (1,) * self.axes, "groups": 1}
        given = {name: getattr(self, name) for name in defaults}
        options = [f"{name}={x!r}" for name, x in given.items() if x != defaults[name]]
        options += ["bias=False"] if self.bias is None else []
        sizes = [repr(n) for n in (self.in_channels, self.out_channels, self.kernel_size)]
        return f"{type(self).__name__}({', '.join(sizes + options)})"


class Conv1d(_Conv):
    """Convolution along one axis: (N, in_channels, length) to (N, out_channels, length). See `conv` for the options.

    `weight` has shape (out_channels, in_channels / groups, kernel_size) and starts as `init` makes it, He et al.'s
    uniform distribution; `bias`, of shape (out_channels,), starts at 0. `rng` is a Generator, or a seed for one.

    >>> Conv1d(2, 4, 3, rng=0)(np.zeros((5, 2, 10))).shape
    (5, 4, 8)

    Raises ValueError for sizes below 1, and for images of other channels or smaller than the kernel.
    """

    axes = 1


class Conv2d(_Conv):
    """Convolution of images: (N, in_channels, height, width) to (N, out_channels, ...). See `conv` for the options.

    `weight` has shape (out_channels, in_channels / groups, *kernel_size) and starts as `init` makes it, He et al.'s
    uniform distribution; `bias`, of shape (out_channels,), starts at 0. `rng` is a Generator, or a seed for one.

    >>> Conv2d(3, 6, 5, stride=2, padding=2, rng=0)(np.zeros((2, 3, 28, 28))).shape
    (2, 6, 14, 14)

    Raises ValueError for sizes below 1, and for images of other channels or smaller than the kernel.
    """

    axes = 2


class MaxPool(Module):
    """The greatest element of each window of the axes after (N, C), or of the last ones: see `max_pool`.

    >>> MaxPool(2)(np.zeros((1, 3, 8, 8))).shape, MaxPool((2, 4))(np.zeros((8, 8))).shape
    ((1, 3, 4, 4), (4, 2))
    """

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Padding = 0, dilation: Sizes = 1
    ) -> None:
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation

    def forward(self, x: Any) -> Any:
        """The maxima."""
        return max_pool(x, self.kernel_size, self.stride, self.padding, self.dilation)

    def __repr__(self) -> str:
        return _pool_repr(self, stride=None, padding=0, dilation=1)


class AvgPool(Module):
    """The mean of each window of the axes after (N, C), or of the last ones: see `avg_pool`.

    >>> AvgPool(2)(np.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Padding = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Any) -> Any:
        """The means."""
        return avg_pool(x, self.kernel_size, self.stride, self.padding)

    def __repr__(self) -> str:
        return _pool_repr(self, stride=None, padding=0)


def _pool_repr(layer: Any, **defaults: Any) -> str:
    options = [f", {name}={getattr(layer, name)!r}" for name, x in defaults.items() if getattr(layer, name) != x]
    return f"{type(layer).__name__}({layer.kernel_size!r}{''.join(options)})"
