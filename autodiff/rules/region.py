"""Regions of an array: an index, or a chain of views. All linear; each is another's transpose."""

from ..arrays import getitem, inner_of, scatter_add
from ..regions import ReadCase, embed, follow, punch
from ..rule import linear

__all__: list[str] = []  # its rules are in the registry


def part(t, key):
    """`getitem`, sooner."""
    return t[key] if inner_of(key) is None else getitem(t, key)


linear(getitem,     lambda g, x, key: scatter_add(g, key, x.shape), push=part, case=ReadCase)
linear(scatter_add, lambda g, x, key, shape: getitem(g, key))
linear(follow,      lambda g, x, path: embed(g, path, x.shape, x.dtype), case=ReadCase)
linear(embed,       lambda g, x, path, shape, dtype: follow(g, path))
linear(punch,       lambda g, x, path: punch(g, path))
