"""Convolutions of batches. Examples that share their kernels are more images; others are more groups."""

import math
from typing import Any

from ..arrays import undispatched
from ..batched import Batched, Levels, batch, hide, levels_of, union, widened
from ..rules.convolution import Geometry, conv, conv_input, conv_kernel

__all__: list[str] = []  # its entries are in BATCHING


def _apart(x: Any, h: int) -> Any:
    """Channels of their own for each example: (B, N, C, ...) to (N, B * C, ...)."""
    count = math.prod(x.shape[:h])
    x = x.reshape(count, *x.shape[h:]).swapaxes(0, 1)
    return x.reshape(len(x), count * x.shape[2], *x.shape[3:])


def _together(ans: Any, levels: Levels, channels: int) -> Any:
    """The way back."""
    sizes, h = [level.size for level in levels], len(levels)
    ans = ans.reshape(len(ans), *sizes, channels, *ans.shape[2:])
    return hide(ans.transpose(*range(1, 1 + h), 0, *range(1 + h, ans.ndim)), levels)


def _pair(x: Any, y: Any, geometry: Geometry) -> tuple[Any, Any, Levels, Geometry]:
    """Both with all levels, and the geometry of all examples together."""
    levels = union([levels_of(x), levels_of(y)])
    wide = geometry._replace(groups=geometry.groups * math.prod([level.size for level in levels]))
    return widened(x, levels).whole, widened(y, levels).whole, levels, wide


def _over_images(function: Any) -> None:
    body = undispatched(function)

    @batch(function)
    def batched(x: Any, y: Any, geometry: Geometry) -> Any:
        if type(y) is not Batched:
            h = len(x.levels)
            hidden = x.whole.shape[: h + 1]
            ans = body(x.whole.reshape(math.prod(hidden), *x.shape[1:]), y, geometry)
            return hide(ans.reshape(*hidden, *ans.shape[1:]), x.levels)
        x, y, levels, wide = _pair(x, y, geometry)
        h = len(levels)
        kernels = y.reshape(math.prod(y.shape[: h + 1]), *y.shape[h + 1 :])
        channels = y.shape[h] if function is conv else y.shape[h + 1] * geometry.groups
        return _together(body(_apart(x, h), kernels, wide), levels, channels)


_over_images(conv)
_over_images(conv_input)


@batch(conv_kernel)
def _conv_kernel(x: Any, y: Any, geometry: Geometry) -> Any:
    x, y, levels, wide = _pair(x, y, geometry)
    h = len(levels)
    ans = undispatched(conv_kernel)(_apart(x, h), _apart(y, h), wide)
    return hide(ans.reshape(*[level.size for level in levels], y.shape[h + 1], *ans.shape[1:]), levels)
