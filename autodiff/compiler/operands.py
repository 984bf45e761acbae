"""What an operand is to NumPy, and what is in it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..box import Box
from .recorded import Recorded

__all__ = ["inside", "kind_of", "known_slice", "opened", "place_of", "plain"]


PYTHON = frozenset((int, float, complex))  # truth values are promoted as arrays of them are


def kind_of(x: Any) -> Any:
    """What NumPy promotes an operand by: its dtype, or the type of a Python number."""
    kind = type(x)
    if kind is Recorded:
        return x.weak if x.weak and x.weak is not bool else x.data.dtype
    if kind in PYTHON:
        return kind
    return x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype


def inside(f: Callable[[Any], Any], x: Any) -> Any:
    """`x` with `f` of what is in it, if it is a tuple, a list, a dict or a slice, as arguments are."""
    kind = type(x)
    if kind is tuple or kind is list:
        return kind([f(item) for item in x])
    if kind is dict:
        return {k: f(v) for k, v in x.items()}
    if kind is slice:
        return slice(f(x.start), f(x.stop), f(x.step))
    return x


def plain(x: Any) -> Any:
    """Arguments with the arrays themselves."""
    if isinstance(x, Recorded):
        return x.data if x.weak is None else x.data.item()
    return inside(plain, x)


def opened(key: Any) -> Any:
    """A key with the arrays of the untracked Values in it, which index a plain array as they do."""
    if type(key) is tuple:
        return tuple([opened(k) for k in key])
    return key._array if isinstance(key, Box) and key._node is None else key


def known_slice(k: slice) -> slice:
    """A slice of plain integers: bounds that are recorded numbers are guarded."""
    return slice(*[None if v is None else v.__index__() for v in (k.start, k.stop, k.step)])


def place_of(part: Any, whole: Any) -> tuple[int, tuple[int, ...]]:
    """The offset and strides of a view, in elements."""
    if not part.size:
        return 0, (0,) * part.ndim
    size, start = whole.itemsize, 0
    if part.nbytes != whole.nbytes or not part.flags.forc:  # else it is all of it: that is cheaper to see
        start = part.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    return start // size, tuple([s // size if n > 1 else 0 for s, n in zip(part.strides, part.shape, strict=True)])
