"""Pooling over the last axes: the greatest element, or the sum, of each place of a window.

Windows are few and small, images large. So these are loops over the elements of a window, each one operation on whole
arrays. Of equal elements the first is the greatest, as in PyTorch, and a nan is greater than any number.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arrays import dispatchable, zeros
from ..rule import general, linear
from .convolution import Geometry

__all__ = ["max_pool", "padded", "pick", "places", "spread", "sum_pool", "unpick"]


def places(geometry: Geometry) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The elements of a window, by numbers, and where they lie in all windows."""
    for number, at in enumerate(itertools.product(*map(range, geometry.kernel))):
        parts = zip(at, geometry.dilation, geometry.stride, geometry.out, strict=True)
        yield number, (..., *[slice(i * d, i * d + (n - 1) * s + 1, s) for i, d, s, n in parts])


def padded(x: Any, geometry: Geometry, fill: float = 0.0) -> Any:
    if geometry.padded == geometry.size:
        return x
    image = zeros(x, (*x.shape[: x.ndim - len(geometry.size)], *geometry.padded))
    if fill:
        image[...] = fill
    image[geometry.middle] = x
    return image


def blank(x: Any, geometry: Geometry) -> Any:
    """Zeros for a padded image, of what has the shape of a result."""
    return zeros(x, (*x.shape[: x.ndim - len(geometry.size)], *geometry.padded))


@dispatchable
def max_pool(x: Any, geometry: Geometry) -> Any:
    """The greatest element of each place of the window; padding counts as -inf."""
    return max_pool_forward(x, geometry)[0]


def max_pool_forward(x, geometry):
    image = padded(x, geometry, -math.inf)
    ans = which = None
    for number, place in places(geometry):
        part = image[place]
        if which is None:
            ans, which = part, np.zeros_like(part, dtype=np.int32)
            continue
        is_greater = (part > ans) | ((part != part) & (ans == ans))
        which = np.where(is_greater, number, which)
        ans = np.where(is_greater, part, ans)
    return ans, which


@dispatchable
def unpick(x: Any, which: Any, geometry: Geometry) -> Any:
    """The transpose of `pick`: an image of zeros, where what was picked is added."""
    image = blank(x, geometry)
    for number, place in places(geometry):
        image[place] += np.where(which == number, x, 0.0)
    return image[geometry.middle]


@dispatchable
def pick(x: Any, which: Any, geometry: Geometry) -> Any:
    """Of each place the element of that number."""
    image, ans = padded(x, geometry), None
    for number, place in places(geometry):
        part = image[place]
        ans = part if ans is None else np.where(which == number, part, ans)
    return ans


@dispatchable
def sum_pool(x: Any, geometry: Geometry) -> Any:
    """The sum over each place of the window."""
    image, ans = padded(x, geometry), None
    for _, place in places(geometry):
        ans = image[place] if ans is None else ans + image[place]
    return ans


@dispatchable
def spread(x: Any, geometry: Geometry) -> Any:
    """The transpose of `sum_pool`."""
    image = blank(x, geometry)
    for _, place in places(geometry):
        image[place] += x
    return image[geometry.middle]


general(max_pool, max_pool_forward, lambda g, aux, geometry: unpick(g, aux, geometry))
linear(pick,      lambda g, x, which, geometry: unpick(g, which, geometry))
linear(unpick,    lambda g, x, which, geometry: pick(g, which, geometry))
linear(sum_pool,  lambda g, x, geometry: spread(g, geometry))
linear(spread,    lambda g, x, geometry: sum_pool(g, geometry))
