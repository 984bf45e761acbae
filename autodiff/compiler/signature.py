"""What a program is recorded for: the structure of the arguments, shapes and dtypes, and plain objects among them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..box import Box, Inner
from ..tree import tree_map

__all__ = ["STATIC", "Signature", "is_leaf", "signature"]

STATIC = (bool, int, str, bytes, type(None), type, np.dtype, slice, range)


class Signature:
    """The key of a call, and its leaves: the numbers that may differ from call to call."""

    __slots__ = ("inline", "key", "leaves", "originals", "plain", "tracked")

    def __init__(self, key: Any, leaves: list[Any], plain: bool) -> None:
        self.key, self.leaves, self.plain = key, leaves, plain
        self.originals: list[Any] = leaves if plain else []  # the same, Values as they are
        self.inline = self.tracked = False

    def rebuilt(self, args: Any, kwargs: Any, new: Callable[[Any], Any]) -> tuple[Any, Any]:
        """The arguments with others in the places of the leaves."""
        if self.plain:
            return tuple(map(new, args)), kwargs
        return tree_map(lambda x: new(x) if is_leaf(x) else x, (args, kwargs))


def signature(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Signature | None:
    """The signature of a call; None if something in it cannot be part of a key."""
    if not kwargs and all(type(a) is np.ndarray for a in args):
        key = tuple([(a.shape, a.dtype) for a in args])
        if all(dtype.kind in "biufc" for _, dtype in key):
            return Signature(key, [*args], True)
        return None
    found = Signature(None, [], False)
    try:
        found.key = _key((args, kwargs), found)
        hash(found.key)
    except TypeError:
        return None
    return found


def is_leaf(x: Any) -> bool:
    """Whether it is a number that may differ from call to call."""
    return isinstance(x, (np.ndarray, np.generic, float, complex, Box))


def _key(x: Any, found: Signature) -> Any:
    kind = type(x)
    if kind is np.ndarray:
        if x.dtype.kind not in "biufc":
            raise TypeError
        found.leaves.append(x)
        found.originals.append(x)
        return (x.shape, x.dtype)
    if kind is float or kind is complex:
        found.leaves.append(x)
        found.originals.append(x)
        return kind
    if kind is tuple or kind is list:
        return (kind, *[_key(item, found) for item in x])
    if kind is dict:
        return (dict, *[(key, _key(item, found)) for key, item in x.items()])
    if isinstance(x, Box):
        data = x._array
        if isinstance(data, Inner):
            found.inline = True
            return None
        found.tracked = found.tracked or x._node is not None
        if not isinstance(data, (np.ndarray, np.generic)):
            found.inline = True
            return None
        found.leaves.append(data)
        found.originals.append(x)
        return (data.shape, data.dtype)
    if isinstance(x, np.generic):
        found.leaves.append(x)
        found.originals.append(x)
        return ((), x.dtype)
    if isinstance(x, STATIC):
        return (kind, x)
    return _container_key(x, kind, found)


def _container_key(x: Any, kind: Any, found: Signature) -> Any:
    """Of a named tuple, a dataclass, a Module; anything else stands for itself."""
    parts: list[Any] = []
    entered = tree_map(parts.append, x)
    del entered
    if parts == [x] or (len(parts) == 1 and parts[0] is x):
        if callable(x) or (hasattr(x, "__hash__") and x.__hash__ is not None):
            return (kind, x)
        raise TypeError
    statics = _statics(x)
    return (kind, statics, *[_key(part, found) for part in parts])


def _statics(x: Any) -> Any:
    """The plain attributes of an object, and of those in it."""
    names = getattr(x, "__dict__", None)
    if names is None:
        return ()
    kept = []
    for name, value in names.items():
        if isinstance(value, (bool, int, float, str, type(None))):
            kept.append((name, value))
        elif callable(value) and not hasattr(value, "__dict__"):
            kept.append((name, id(value)))
        elif hasattr(value, "__dict__") and not isinstance(value, Box):
            kept.append((name, _statics(value)))
    return tuple(kept)
