"""Convolution: a function of images, and layers. Images have their channels first: (N, C, *size).

>>> layer = Conv2d(3, 8, 5, padding="same", rng=0)
>>> layer(np.zeros((2, 3, 28, 28))).shape
(2, 8, 28, 28)
"""

import operator
from typing import Any

import numpy as np

from ..rules import convolution
from ..rules.convolution import Geometry
from ..value import Value
from .init import Initialiser, Seed, he_uniform
from .inputs import operand
from .module import Module
from .options import call_of, sizes
from .windows import Padding, Sizes, geometry_of, numbers_of, padding_of

__all__ = ["Conv1d", "Conv2d", "conv"]


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
    geometry = geometry_of("conv", x.shape[2:], weight.shape[2:], stride, padding, dilation, groups)
    y = convolution.conv(x, weight, geometry)
    if bias is None:
        return y
    if np.shape(bias) != weight.shape[:1]:
        raise ValueError(f"conv: bias has shape {np.shape(bias)}; it has to be {weight.shape[:1]}")
    return y + np.reshape(bias, (-1,) + (1,) * axes)


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
        self.in_channels, self.out_channels, self.groups = sizes(
            name, in_channels=in_channels, out_channels=out_channels, groups=groups
        )
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(f"{name}: groups={groups} does not divide {in_channels} and {out_channels} channels")
        self.kernel_size = numbers_of(name, "kernel_size", kernel_size, axes)
        self.stride = numbers_of(name, "stride", stride, axes)
        self.dilation = numbers_of(name, "dilation", dilation, axes)
        self.padding = padding
        once, none = (1,) * axes, ((0, 0),) * axes
        padding_of(name, padding, Geometry(self.kernel_size, self.kernel_size, once, none, once))  # raises here already
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
        once = (1,) * self.axes
        return call_of(
            self,
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            stride=(self.stride, once),
            padding=(self.padding, 0),
            dilation=(self.dilation, once),
            groups=(self.groups, 1),
            bias=(self.bias is not None, True),
        )


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
