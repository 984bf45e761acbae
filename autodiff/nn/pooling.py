"""Pooling: the greatest element, or the mean, of each window of an image. Functions, and layers.

>>> MaxPool2d(2)(np.zeros((5, 3, 28, 28))).shape
(5, 3, 14, 14)
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..rules import pooling
from ..rules.convolution import Geometry
from .inputs import operand, real_operand
from .module import Module
from .options import call_of
from .windows import Padding, Sizes, geometry_of, numbers_of, padding_of

__all__ = ["AvgPool", "AvgPool1d", "AvgPool2d", "MaxPool", "MaxPool1d", "MaxPool2d", "avg_pool", "max_pool"]


# -- functions


def max_pool(
    x: Any,
    kernel_size: Sequence[int] | np.ndarray[Any, Any],
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    *,
    ceil_mode: bool = False,
) -> Any:
    """The greatest element of each window of the last axes, as many as `kernel_size` has numbers.

    `stride` is that of the kernel if it is None. The padding counts as -inf. With `ceil_mode` there is a last window
    also where it sticks out behind. Of equal elements the first has the gradient.

    >>> max_pool(np.array([[[1.0, 3.0, 2.0, 0.0, 5.0]]]), (2,))
    array([[[3., 2.]]])
    >>> max_pool(np.array([[[1.0, 3.0, 2.0, 0.0, 5.0]]]), (2,), ceil_mode=True)
    array([[[3., 2., 5.]]])

    Raises ValueError for a kernel_size that does not say of how many axes, for windows larger than the padded images,
    and for padding of more than half a window.
    """
    x = real_operand("max_pool", x, "images")
    asked = _window("max_pool", x, kernel_size, stride, padding, dilation)
    return pooling.max_pool(x, _ceiled(asked) if ceil_mode else asked)


def avg_pool(
    x: Any,
    kernel_size: Sequence[int] | np.ndarray[Any, Any],
    stride: Sizes | None = None,
    padding: Padding = 0,
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window of the last axes, as many as `kernel_size` has numbers.

    `stride` is that of the kernel if it is None. The padding counts, as zeros, unless `count_include_pad` is False.
    With `ceil_mode` there is a last window also where it sticks out behind; what is not there never counts.

    >>> avg_pool(np.array([[[1.0, 3.0, 2.0, 0.0]]]), (2,))
    array([[[2., 1.]]])
    >>> avg_pool(np.array([[[1.0, 3.0, 2.0, 0.0]]]), (2,), padding=1, count_include_pad=False)
    array([[[1. , 2.5, 0. ]]])

    Raises ValueError for a kernel_size that does not say of how many axes, for windows larger than the padded images,
    and for padding of more than half a window.
    """
    x = operand("avg_pool", x, "images")
    asked = _window("avg_pool", x, kernel_size, stride, padding, 1)
    geometry = _ceiled(asked) if ceil_mode else asked
    total = pooling.sum_pool(x.astype(np.float32) if x.dtype == np.float16 else x, geometry)  # whose sums overflow
    if count_include_pad and geometry == asked:
        mean = total * (1 / math.prod(geometry.kernel))
    else:
        mean = total * (1 / _counts(geometry, asked if count_include_pad else None)).astype(total.dtype)
    return mean.astype(x.dtype) if x.dtype == np.float16 else mean


def _window(function: str, x: Any, kernel: Any, stride: Sizes | None, padding: Padding, dilation: Sizes) -> Geometry:
    kernel = kernel.tolist() if isinstance(kernel, np.ndarray) else kernel
    if not isinstance(kernel, Sequence):
        raise ValueError(
            f"{function}: kernel_size={kernel!r} does not say of how many axes; ({kernel},) is for one, "
            f"({kernel}, {kernel}) for images"
        )
    axes = len(kernel)
    if x.ndim < axes or x.dtype.kind not in "fc":
        raise ValueError(f"{function}: images of shape {x.shape} and {x.dtype}; floats with {axes} axes are needed")
    kernels = numbers_of(function, "kernel_size", kernel, axes)
    stride = kernels if stride is None else stride
    geometry = geometry_of(function, x.shape[x.ndim - axes :], kernels, stride, padding, dilation, 1)
    _check_padding(function, padding, geometry)
    return geometry


def _check_padding(function: str, padding: Padding, geometry: Geometry) -> None:
    if any(max(p) * 2 > r for p, r in zip(geometry.padding, geometry.reach, strict=True)):
        raise ValueError(f"{function}: padding={padding!r} is more than half of the kernel {geometry.kernel}")


def _ceiled(geometry: Geometry) -> Geometry:
    """With more padding behind, so that nothing is left over. A window that would only see padding is not added."""
    padding = []
    for n, (before, after), reach, stride in zip(
        geometry.size, geometry.padding, geometry.reach, geometry.stride, strict=True
    ):
        last = -(-(before + n + after - reach) // stride) * stride  # where the last window begins
        last -= stride if last >= before + n else 0
        padding.append((before, max(after, last + reach - before - n)))
    return geometry._replace(padding=tuple(padding))


def _counts(geometry: Geometry, asked: Geometry | None) -> Any:
    """How many elements of the image each window has, or with the padding that was asked for."""
    sides = ((0, 0),) * len(geometry.size) if asked is None else asked.padding
    counts = []
    for n, (before, _), kernel, stride, out, (first, last) in zip(
        geometry.size, geometry.padding, geometry.kernel, geometry.stride, geometry.out, sides, strict=True
    ):
        start = np.arange(out) * stride - before
        counts.append(np.minimum(start + kernel, n + last) - np.maximum(start, -first))
    return functools.reduce(np.multiply.outer, counts)


# -- layers


class _Pool(Module):
    """What the layers share: of how many axes, and checks of the options."""

    axes = 0  # as many as kernel_size has numbers
    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any = 1

    def _check(self) -> None:
        name, kernel = type(self).__name__, self.kernel_size
        if not self.axes and not isinstance(kernel, (Sequence, np.ndarray)):
            raise ValueError(
                f"{name}: kernel_size={kernel!r} does not say of how many axes; {name}1d and {name}2d do, and so do "
                f"tuples, such as ({kernel}, {kernel})"
            )
        axes = self.axes or len(kernel)
        self.kernel_size = kernels = numbers_of(name, "kernel_size", kernel, axes)
        strides = kernels if self.stride is None else numbers_of(name, "stride", self.stride, axes)
        dilations = numbers_of(name, "dilation", self.dilation, axes)
        geometry = Geometry(kernels, kernels, strides, ((0, 0),) * axes, dilations)
        _check_padding(name, self.padding, geometry._replace(padding=padding_of(name, self.padding, geometry)))

    def _images(self, x: Any) -> Any:
        """The input, of one image or of a batch if it is known how many axes an image has."""
        x = operand(self, x)
        if self.axes and x.ndim not in (self.axes + 1, self.axes + 2):
            size = "length" if self.axes == 1 else "height, width"
            raise ValueError(f"{self!r}: images have shape {x.shape}; it has to be (N, C, {size}) or (C, {size})")
        return x

    def _shown(self) -> Any:
        return self.kernel_size[0] if self.axes and len({*self.kernel_size}) == 1 else self.kernel_size


class MaxPool(_Pool):
    """The greatest element of each window of the last axes, as many as `kernel_size` has numbers: see `max_pool`.

    >>> MaxPool((2, 4))(np.zeros((8, 8))).shape, MaxPool((2, 2, 2))(np.zeros((1, 3, 8, 8, 8))).shape
    ((4, 2), (1, 3, 4, 4, 4))

    Raises ValueError for a kernel_size that is one number, for sizes below 1, and for padding of more than half a
    window.
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.ceil_mode = bool(ceil_mode)
        self._check()

    def forward(self, x: Any) -> Any:
        """The maxima."""
        x, ceil_mode = self._images(x), self.ceil_mode
        return max_pool(x, self.kernel_size, self.stride, self.padding, self.dilation, ceil_mode=ceil_mode)

    def __repr__(self) -> str:
        return call_of(
            self,
            self._shown(),
            stride=(self.stride, None),
            padding=(self.padding, 0),
            dilation=(self.dilation, 1),
            ceil_mode=(self.ceil_mode, False),
        )


class MaxPool1d(MaxPool):
    """The greatest element of each window along the last axis of (N, C, length), or of (C, length): see `max_pool`.

    >>> MaxPool1d(2)(np.zeros((1, 3, 8))).shape
    (1, 3, 4)

    Raises what MaxPool raises, and ValueError for inputs of other shapes.
    """

    axes = 1


class MaxPool2d(MaxPool):
    """The greatest element of each window of images (N, C, height, width), or of one without N: see `max_pool`.

    >>> MaxPool2d(2)(np.zeros((1, 3, 8, 8))).shape, MaxPool2d((2, 4))(np.zeros((3, 8, 8))).shape
    ((1, 3, 4, 4), (3, 4, 2))

    Raises what MaxPool raises, and ValueError for inputs of other shapes.
    """

    axes = 2


class AvgPool(_Pool):
    """The mean of each window of the last axes, as many as `kernel_size` has numbers: see `avg_pool`.

    >>> AvgPool((2, 2))(np.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)

    Raises ValueError for a kernel_size that is one number, for sizes below 1, and for padding of more than half a
    window.
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), bool(count_include_pad)
        self._check()

    def forward(self, x: Any) -> Any:
        """The means."""
        options = {"ceil_mode": self.ceil_mode, "count_include_pad": self.count_include_pad}
        return avg_pool(self._images(x), self.kernel_size, self.stride, self.padding, **options)

    def __repr__(self) -> str:
        return call_of(
            self,
            self._shown(),
            stride=(self.stride, None),
            padding=(self.padding, 0),
            ceil_mode=(self.ceil_mode, False),
            count_include_pad=(self.count_include_pad, True),
        )


class AvgPool1d(AvgPool):
    """The mean of each window along the last axis of (N, C, length), or of (C, length): see `avg_pool`.

    >>> AvgPool1d(2)(np.ones((1, 3, 8))).shape
    (1, 3, 4)

    Raises what AvgPool raises, and ValueError for inputs of other shapes.
    """

    axes = 1


class AvgPool2d(AvgPool):
    """The mean of each window of images (N, C, height, width), or of one without N: see `avg_pool`.

    >>> AvgPool2d(2)(np.ones((1, 3, 8, 8))).shape, AvgPool2d(2)(np.ones((3, 8, 8))).shape
    ((1, 3, 4, 4), (3, 4, 4))

    Raises what AvgPool raises, and ValueError for inputs of other shapes.
    """

    axes = 2
