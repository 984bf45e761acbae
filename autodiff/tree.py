"""Containers of arrays, taken apart and put together.

A container is a dict, a list, a tuple, a named tuple, a dataclass, or an object whose method `_tree_open` returns the
names of its leaves, the leaves, and a function that makes the same with others, as `nn.Module` does. What is in no
further container is a *leaf*; but texts, truth values, functions, types and the like, which are there to describe the
arrays, stay where they are:

    tree_map(abs, {"w": [-1.0, -2.0], "activation": "relu"})     # {"w": [1.0, 2.0], "activation": "relu"}

On its own, anything but None is a leaf. Of a dataclass the fields are looked at, without those that are declared with
`metadata={"static": True}`. It is copied, not made anew: `__post_init__` does not run again.
"""

import copy
import functools
import operator
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from .box import Box
from .errors import OperandError

__all__ = ["Place", "flatten", "leaves", "leaves_like", "places", "replica", "tree_map"]

# What a thing is. Objects are what follows the protocol.
LEAF, STATIC, DICT, SEQUENCE, NAMED, DATACLASS, OBJECT = range(7)

NUMBERS = frozenset((np.ndarray, float, int, complex, np.float64, np.float32))
KINDS: dict[type, int] = {dict: DICT, list: SEQUENCE, tuple: SEQUENCE}
DESCRIPTIONS = (str, bytes, bool, Enum, range, slice, np.dtype, type(...))  # and what is callable, and generators


def leaves(tree: Any, *, result: bool = False) -> Iterator[Any]:
    """What is in the containers, in order; None holds nothing.

    Of a Module these are the parameters; of one that is the `result` of a function, all that is tracked.

    >>> list(leaves({"w": 1.0, "b": [2.0, (3.0, None, "text")]}))
    [1.0, 2.0, 3.0]

    Raises OperandError if the containers nest too deeply, or one contains itself.
    """
    kind = _kind(tree)
    if kind == LEAF or (kind == STATIC and tree is not None):
        yield tree
    elif kind != STATIC:
        try:
            yield from _inside(tree, kind, result)
        except RecursionError:
            raise _endless(tree) from None


def tree_map(
    function: Callable[[Any], Any], tree: Any, *, inner: Callable[[Any], Any] | None = None, result: bool = False
) -> Any:
    """The same containers with `function` applied to the leaves; to those of Modules `inner`, if it is given.

    With `result=True` dataclasses and Modules in which nothing changes are not copied; see `leaves`.

    >>> tree_map(abs, {"w": -1.0, "b": [-2.0, None]})
    {'w': 1.0, 'b': [2.0, None]}

    Raises OperandError if the containers nest too deeply, or one contains itself.
    """
    kind = _kind(tree)
    if kind == LEAF:
        return function(tree)
    if kind == STATIC:
        return None if tree is None else function(tree)
    try:
        return _mapped(function, tree, kind, inner or function, result)
    except RecursionError:
        raise _endless(tree) from None


def leaves_like(tree: Any, other: Any, what: str, *, result: bool = False) -> Iterator[Any]:
    """The parts of `other` in the places of the leaves of `tree`.

    >>> list(leaves_like({"w": 1.0, "b": 2.0}, {"b": 20.0, "w": 10.0}, "example"))
    [10.0, 20.0]

    Raises OperandError where they differ, naming `what` and the place.
    """
    kind = _kind(tree)
    try:
        yield from _alike(tree, LEAF if kind == STATIC and tree is not None else kind, other, what, (), result)
    except RecursionError:
        raise _endless(tree) from None


class Place(NamedTuple):
    """Where a leaf is, for error messages."""

    path: str
    leaf: Any
    is_field: bool  # of a dataclass


def places(tree: Any, *, result: bool = False) -> list[Place]:
    """Each leaf with the way to it.

    >>> [place.path for place in places({"w": [1.0, 2.0], "text": "no leaf"})]
    ['["w"][0]', '["w"][1]']
    """
    if _kind(tree) <= STATIC:
        return [] if tree is None else [Place("", tree, False)]
    found: list[Place] = []
    pending: list[tuple[Any, Any]] = [((), tree)]
    while pending:
        path, item = pending.pop()
        kind = _kind(item)
        if kind == LEAF or (path and path[1] == OBJECT):
            found.append(Place(_text(path), item, path[1] == DATACLASS))
        elif kind != STATIC:
            parts = [*zip(_keys(item, kind, result), _parts(item, kind, result), strict=True)]
            pending += [((path, kind, key), part) for key, part in reversed(parts)]
    return found


def flatten(tree: Any) -> tuple[list[Any], Callable[[Any], Any]]:
    """The leaves, and a function that puts as many others in their places."""

    def rebuild(new: Any) -> Any:
        it = iter(new)
        return tree_map(lambda _: next(it), tree)

    return list(leaves(tree)), rebuild


def replica(x: Any) -> Any:
    """A shallow copy of an object, made without its methods; what its cached properties hold is left out.

    They were computed from what may be replaced in the copy.
    """
    kind = type(x)
    try:
        new = object.__new__(kind)
    except TypeError:  # its layout is that of a built-in class
        return copy.copy(x)
    state = object.__getstate__(x)
    names, slots = state if isinstance(state, tuple) else (state, None)
    for name, value in (slots or {}).items():
        object.__setattr__(new, name, value)
    for name, value in (names or {}).items():
        if not isinstance(getattr(kind, name, None), functools.cached_property):
            new.__dict__[name] = value
    return new


# -- one thing: what it is, what is in it, and the same with other things in it


def _kind(x: Any) -> int:
    kind = type(x)
    if kind in NUMBERS or isinstance(x, Box):
        return LEAF
    if kind in KINDS:
        return KINDS[kind]
    if x is None:
        return STATIC
    if isinstance(x, dict):
        return DICT
    if hasattr(kind, "_tree_open"):
        return OBJECT
    if isinstance(x, tuple):
        return NAMED if hasattr(x, "_fields") else LEAF  # others may not be rebuilt from their items
    if hasattr(kind, "__array_function__"):
        return LEAF
    if isinstance(x, DESCRIPTIONS):
        return STATIC
    if hasattr(kind, "__dataclass_fields__"):
        return DATACLASS
    if callable(x) or isinstance(x, (np.random.Generator, np.random.RandomState)):
        return STATIC
    return LEAF


def _parts(x: Any, kind: int, result: bool) -> Any:
    if kind in (SEQUENCE, NAMED):
        return x
    if kind == DICT:
        return x.values()
    if kind == DATACLASS:
        return [getattr(x, name) for name in _fields(x)]
    return x._tree_open(result)[1]


def _keys(x: Any, kind: int, result: bool) -> Any:
    if kind == SEQUENCE:
        return range(len(x))
    if kind == DICT:
        return x
    if kind == NAMED:
        return x._fields
    return _fields(x) if kind == DATACLASS else x._tree_open(result)[0]


def _rebuilt(x: Any, kind: int, parts: list[Any], result: bool) -> Any:
    """`x`, which is no object with a protocol, with these parts."""
    if kind == SEQUENCE:
        return parts if type(x) is list else tuple(parts)
    if kind == DICT:
        if type(x) is dict:
            return dict(zip(x, parts))
        new = copy.copy(x)  # keeps what a subclass has besides its items, as defaultdict does
        for key, part in zip(x, parts, strict=True):
            new[key] = part
        return new
    if kind == NAMED:
        return tuple.__new__(type(x), parts)
    if result and all(map(operator.is_, parts, _parts(x, kind, result))):
        return x
    new = replica(x)
    for name, part in zip(_fields(x), parts, strict=True):
        object.__setattr__(new, name, part)  # it may be frozen
    return new


def _fields(x: Any) -> list[str]:
    """The fields of a dataclass that may hold arrays; not those that have yet to be set."""
    import dataclasses  # who has made one has loaded it, anybody else need not

    return [f.name for f in dataclasses.fields(x) if not f.metadata.get("static") and hasattr(x, f.name)]


# -- the three walks; they recurse, and what is endless ends in a RecursionError


def _inside(tree: Any, kind: int, result: bool) -> Iterator[Any]:
    if kind == OBJECT:
        yield from _parts(tree, kind, result)
        return
    for part in _parts(tree, kind, result):
        k = LEAF if type(part) in NUMBERS else _kind(part)
        if k == LEAF:
            yield part
        elif k != STATIC:
            yield from _inside(part, k, result)


def _mapped(function: Any, tree: Any, kind: int, inner: Any, result: bool) -> Any:
    if kind == OBJECT:
        _, old, rebuild = tree._tree_open(result)
        new = [*map(inner, old)]
        return tree if result and all(map(operator.is_, new, old)) else rebuild(new)
    parts: list[Any] = []
    for part in _parts(tree, kind, result):
        k = LEAF if type(part) in NUMBERS else _kind(part)
        if k == LEAF:
            part = function(part)
        elif k != STATIC:
            part = _mapped(function, part, k, inner, result)
        parts.append(part)
    return _rebuilt(tree, kind, parts, result)


def _alike(tree: Any, kind: int, other: Any, what: str, path: Any, result: bool) -> Iterator[Any]:
    if kind == LEAF:
        if type(other) not in NUMBERS and _kind(other) > STATIC:
            raise OperandError(f"{what}{_text(path)}: expected an array, got {_named(other, result)}")
        yield other
    elif kind == STATIC:
        if tree is None and other is not None:
            raise OperandError(f"{what}{_text(path)}: expected None, got {_named(other, result)}")
    else:
        keys = _keys(tree, kind, result)
        if not _matches(tree, kind, keys, other, result):
            raise OperandError(f"{what}{_text(path)}: expected {_named(tree, result)}, got {_named(other, result)}")
        others = [other[key] for key in keys] if kind == DICT else _parts(other, kind, result)
        for key, part, o in zip(keys, _parts(tree, kind, result), others):
            if type(part) in NUMBERS and type(o) in NUMBERS:
                yield o
            else:
                yield from _alike(part, LEAF if kind == OBJECT else _kind(part), o, what, (path, kind, key), result)


def _matches(tree: Any, kind: int, keys: Any, other: Any, result: bool) -> bool:
    if kind == DICT:
        return isinstance(other, dict) and tree.keys() == other.keys()
    if kind in (SEQUENCE, NAMED):
        return _kind(other) in (SEQUENCE, NAMED) and len(tree) == len(other)
    return isinstance(other, type(tree)) and keys == _keys(other, kind, result)


# -- words for messages


def _text(path: Any) -> str:
    """`["w"][1].bias` from what leads there: (..., the container's kind, the key in it)."""
    steps: list[str] = []
    while path:
        path, kind, key = path
        if kind in (DICT, SEQUENCE):
            steps.append(f'["{key}"]' if isinstance(key, str) else f"[{key!r}]")
        else:
            steps.append(f".{key}")
    return "".join(reversed(steps))


def _named(x: Any, result: bool) -> str:
    kind, name = _kind(x), type(x).__name__
    if kind == DICT:
        return f"a dict with the keys {list(x)}"
    if kind in (SEQUENCE, NAMED):
        return f"a {name} of {len(x)}"
    if kind in (DATACLASS, OBJECT):
        return f"a {name} with {', '.join(_keys(x, kind, result)) or 'nothing in it'}"
    return "None" if x is None else f"a {name}"


def _endless(tree: Any) -> OperandError:
    return OperandError(
        f"a {type(tree).__name__} contains itself, or nests more containers than Python can follow; "
        "pass flatter containers, without a reference back"
    )
