"""Regions of an array: an index, or a chain of views. All linear; each is another's transpose."""

import numpy as np

from ..arrays import closed_levels, getitem, inner_of, repeat_levels, scatter_add
from ..box import Box
from ..regions import ReadCase, embed, follow, punch
from ..rule import linear

__all__: list[str] = []  # its rules are in the registry


def part(t, key):
    """`getitem`, sooner. Of a constant tangent it is a view that nobody is told of: rules write to no operand."""
    if inner_of(key) is not None:
        return getitem(t, key)
    if isinstance(t, Box) and t._node is None and type(t._array) is np.ndarray:
        return t._wrap(t._array[key])
    return t[key]


def spread(g, x, key):
    return scatter_add(g, key, x.shape, closed_levels(x.levels, g, key))


linear(getitem,     spread, push=part, case=ReadCase)
linear(scatter_add, lambda g, x, key, shape, summed=(): repeat_levels(getitem(g, key), summed) if summed else getitem(g, key))
linear(follow,      lambda g, x, path: embed(g, path, x.shape, x.dtype), case=ReadCase)
linear(embed,       lambda g, x, path, shape, dtype: follow(g, path))
linear(punch,       lambda g, x, path: punch(g, path))
