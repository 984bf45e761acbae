"""Convolution over any number of axes, as one matrix product, and its two transposes.

The three functions belong to one trilinear form, the sum over all of `ans * conv(x, y)`: each is the form without one
of the arrays x, y and ans. So each is bilinear, the other two are its transposes, and all orders are there at once.

    conv         (N, C, *size),  (O, C / groups, *kernel)  ->  (N, O, *out)
    conv_input   (N, O, *out),   (O, C / groups, *kernel)  ->  (N, C, *size)
    conv_kernel  (N, C, *size),  (N, O, *out)              ->  (O, C / groups, *kernel)

The product is that of the kernels with a matrix of patches (im2col: Chellapilla, Puri and Simard, 2006). The patches lie
along the rows of the image, so they are copied in runs, and the product is in the order of the result.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..arrays import dispatchable, zeros
from ..rule import bilinear

__all__ = ["Geometry", "conv", "conv_input", "conv_kernel", "patches"]


class Geometry(NamedTuple):
    """How a kernel moves over an image: one number an axis, and two for the padding, before and after."""

    size: tuple[int, ...]  # of the image, without padding
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def padded(self) -> tuple[int, ...]:
        """The size with padding."""
        return tuple([n + before + after for n, (before, after) in zip(self.size, self.padding, strict=True)])

    @property
    def reach(self) -> tuple[int, ...]:
        """How many pixels a kernel spans."""
        return tuple([(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)])

    @property
    def out(self) -> tuple[int, ...]:
        """How many places a kernel has; zero or less where it is larger than the image."""
        return tuple([(n - r) // s + 1 for n, r, s in zip(self.padded, self.reach, self.stride, strict=True)])

    @property
    def middle(self) -> tuple[Any, ...]:
        """The index of the image within its padding."""
        return (..., *[slice(p[0], p[0] + n) for p, n in zip(self.padding, self.size, strict=True)])


def patches(x: Any, geometry: Geometry) -> Any:
    """What each element of the kernels meets: (N, groups, C / groups * kernel, out), the last two flat."""
    (n, channels), d = x.shape[:2], len(geometry.size)
    if geometry.padded != geometry.size:
        image = zeros(x, (n, channels, *geometry.padded))
        image[geometry.middle] = x
        x = image
    if math.prod(geometry.reach) > 1:
        x = sliding_window_view(x, geometry.reach, tuple(range(2, 2 + d)))
    else:
        x = x.reshape(x.shape + (1,) * d)
    x = x[(..., *[slice(None, None, s) for s in (*geometry.stride, *geometry.dilation)])]
    x = x.transpose(0, 1, *range(2 + d, 2 + 2 * d), *range(2, 2 + d))
    groups = geometry.groups
    return x.reshape(n, groups, channels // groups * math.prod(geometry.kernel), math.prod(geometry.out))


def overlaid(g: Any, geometry: Geometry) -> Any:
    """The transpose of `patches`: each goes where it comes from, and what meets there is added, axis by axis."""
    n, d = len(g), len(geometry.size)
    channels = g.shape[1] * g.shape[2] // math.prod(geometry.kernel)
    g = g.reshape(n, channels, *geometry.kernel, *geometry.out)
    for axis in reversed(range(d)):
        kernels, places, length = g.shape[2 : 2 + axis], g.shape[3 + axis : 3 + 2 * axis], geometry.padded[axis]
        out = zeros(g, (n, channels, *kernels, *places, length, *geometry.padded[axis + 1 :]))
        before = (slice(None),) * (2 + 2 * axis)
        for i in range(geometry.kernel[axis]):
            first = i * geometry.dilation[axis]
            last = first + (geometry.out[axis] - 1) * geometry.stride[axis] + 1
            out[(*before, slice(first, last, geometry.stride[axis]))] += g[(*before[: 2 + axis], i)]
        g = out
    return g[geometry.middle]


def rows(y: Any, geometry: Geometry) -> Any:
    """Kernels as matrices, one a group."""
    return y.reshape(geometry.groups, len(y) // geometry.groups, y.shape[1] * math.prod(geometry.kernel))


@dispatchable
def conv(x: Any, y: Any, geometry: Geometry) -> Any:
    """The sum of `x * y` over each place of the kernels y in the images x; they are not mirrored."""
    return (rows(y, geometry) @ patches(x, geometry)).reshape(len(x), len(y), *geometry.out)


@dispatchable
def conv_input(x: Any, y: Any, geometry: Geometry) -> Any:
    """The transpose of `conv` to its images: x has the shape of its result, y are the kernels."""
    places = x.reshape(len(x), geometry.groups, len(y) // geometry.groups, math.prod(geometry.out))
    return overlaid(rows(y, geometry).swapaxes(-1, -2) @ places, geometry)


@dispatchable
def conv_kernel(x: Any, y: Any, geometry: Geometry) -> Any:
    """The transpose of `conv` to its kernels: x are the images, y has the shape of its result."""
    n, count, groups = len(x), y.shape[1], geometry.groups
    places = y.reshape(n, groups, count // groups, math.prod(geometry.out))
    columns = patches(x, geometry).swapaxes(-1, -2)
    if groups == 1 and count > math.prod(geometry.out):  # a product for each image would take more than the patches
        ans = np.tensordot(places[:, 0], columns[:, 0], ((0, 2), (0, 1)))
    else:
        ans = (places @ columns).sum(axis=0)
    return ans.reshape(count, x.shape[1] // groups, *geometry.kernel)


bilinear(
    conv,
    lambda g, x, y, geometry: conv_input(g, y, geometry),
    lambda g, x, y, geometry: conv_kernel(x, g, geometry),
)
bilinear(
    conv_input,
    lambda g, x, y, geometry: conv(g, y, geometry),
    lambda g, x, y, geometry: conv_kernel(g, x, geometry),
)
bilinear(
    conv_kernel,
    lambda g, x, y, geometry: conv_input(y, g, geometry),
    lambda g, x, y, geometry: conv(x, g, geometry),
)
