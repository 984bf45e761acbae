"""Nested lists and tuples with Values in them: what np.array makes of such lists, as one node of the graph."""

import functools
from typing import Any

import numpy as np

from .box import Box, Inner
from .convert import is_array
from .rule import linear

__all__ = ["collect", "holds_values", "untangled"]

SEQUENCES = frozenset((list, tuple))
NUMBERS = (int, float, complex, np.generic, np.ndarray)
ENTRIES = (Box, *NUMBERS)
HOLDERS = (Box, Inner)


def holds_values(x: Any) -> bool:
    """Whether `x` is a Value, or a number that is recorded, or has one in its nested lists and tuples."""
    if type(x) not in SEQUENCES:
        return isinstance(x, HOLDERS)
    kinds = set(map(type, x))  # most lists are long and of one type
    return any(issubclass(kind, HOLDERS) for kind in kinds) or (
        not kinds.isdisjoint(SEQUENCES) and any(map(holds_values, x))
    )


def collect(xs: Any, shape: tuple[int, ...]) -> Any:
    """Arrays of one shape as one array, whose first axes are `shape`: what np.array makes of nested lists."""
    for x in {type(x): x for x in xs}.values():
        if hasattr(x, "__autodiff_apply__"):
            return x.__autodiff_apply__(collect, (xs, shape), {})
    other = next((x for x in xs if not isinstance(x, NUMBERS)), None)
    if other is None:
        whole = np.array(xs)
    else:  # an array of another library, which cannot be mixed with numbers
        like = functools.partial(np.full_like, other, shape=())
        whole = np.stack([x if is_array(x) else like(x, dtype=np.result_type(x)) for x in xs])
    return whole.reshape(shape + whole.shape[1:])


linear(collect, lambda g, xs, shape: [*g.reshape(len(xs), *xs[0].shape)], sequence=True, name="array")


def untangled(x: Any, name: str = "array") -> Any:
    """Nested lists and tuples with Values in them as one Value; anything else as it is."""
    if type(x) not in SEQUENCES or not holds_values(x):
        return x
    shape: tuple[int, ...] = (len(x),)
    items = x
    while all(type(i) in SEQUENCES for i in items):
        lengths = set(map(len, items))
        if len(lengths) > 1:
            raise _ragged(name, f"lengths {sorted(lengths)}")
        shape += (lengths.pop(),)
        items = [j for i in items for j in i]
    items = [i if isinstance(i, ENTRIES) else _entry(i, name) for i in items]
    shapes = {(i._array if isinstance(i, Box) else i).shape if hasattr(i, "dtype") else () for i in items}
    if len(shapes) > 1:
        raise _ragged(name, f"entries of shapes {sorted(shapes)}")
    return collect(items, shape)


def _entry(item: Any, name: str) -> Any:
    item = untangled(item, name)
    return item if is_array(item) else np.asarray(item)


def _ragged(name: str, what: str) -> ValueError:
    return ValueError(f"{name}: the nested lists are ragged, with {what} side by side; make them equally long")
