"""The windows of convolution and pooling: what their options mean on an image of a size."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..rules.convolution import Geometry

__all__ = ["Padding", "Sizes", "geometry_of", "numbers_of", "padding_of"]

Sizes = int | Sequence[int] | np.ndarray[Any, Any]
Padding = Sizes | str | Sequence[Sequence[int]]


def geometry_of(
    function: str,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
) -> Geometry:
    """All of it as numbers for each axis. Raises ValueError for what does not fit."""
    axes = len(size)
    strides, dilations = numbers_of(function, "stride", stride, axes), numbers_of(function, "dilation", dilation, axes)
    geometry = Geometry(size, kernel, strides, ((0, 0),) * axes, dilations, groups)
    geometry = geometry._replace(padding=padding_of(function, padding, geometry))
    if min(kernel) < 1 or min(geometry.out) < 1:
        raise ValueError(
            f"{function}: a kernel of {kernel}, which reaches over {geometry.reach}, does not fit into images of "
            f"{geometry.padded}, padding included"
        )
    return geometry


def padding_of(function: str, padding: Padding, geometry: Geometry) -> tuple[tuple[int, int], ...]:
    """Pairs (before, after); the padding of `geometry` does not matter."""
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
        whole = [numbers_of(function, "padding", pair, 2, 0) for pair in pairs]
        return tuple([(before, after) for before, after in whole])
    numbers = (0,) * axes if padding == "valid" else numbers_of(function, "padding", padding, axes, 0)  # type: ignore[arg-type]
    return tuple([(n, n) for n in numbers])


def numbers_of(function: str, argument: str, given: Sizes, axes: int, least: int = 1) -> tuple[int, ...]:
    """One number, or one for each axis, as one for each."""
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
