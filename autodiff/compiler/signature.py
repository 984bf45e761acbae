"""What a program is recorded for: the structure of the arguments, shapes and dtypes, and plain objects among them."""

import dataclasses
import weakref
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

import numpy as np

from ..batched import Batched, Levels, union
from ..box import Box, Inner
from ..context import LEVELS
from ..tape import LEAF
from ..tree import tree_map
from .code import is_known

__all__ = ["STATIC", "Signature", "is_leaf", "signature"]

LARGE = 2**63  # an integer that no array of integers holds
STATIC = (bool, int, str, bytes, type(None), type, np.dtype, slice, range)


class Signature:
    """The key of a call, and its leaves: the numbers that may differ from call to call."""

    __slots__ = (
        "batches", "inline", "integers", "key", "leaves", "levels", "objects", "originals", "plain", "seen", "shared",
        "tracked", "watched",
    )  # fmt: skip

    def __init__(self, key: Any, leaves: list[Any], plain: bool, integers: bool = False) -> None:
        self.key, self.leaves, self.plain = key, leaves, plain
        self.integers = integers  # whether they are leaves too
        self.originals: list[Any] = leaves if plain else []  # the same, Values as they are
        self.objects: list[Any] = []  # functions and other things that stand for themselves
        self.watched: list[Any] = []  # those of them that the key is for only as long as they live
        self.seen: set[int] = set()  # containers that may be changed, by id
        self.shared = False  # whether one of them is there twice
        self.inline = self.tracked = False
        self.batches: list[Levels] = []  # of the leaves that are batches, whose hidden axes are shown
        self.levels: Levels = ()  # all of them

    def note(self, container: Any) -> None:
        """Note a container that may be changed."""
        self.shared = self.shared or id(container) in self.seen
        self.seen.add(id(container))

    def kinds(self) -> tuple[int, ...]:
        """What each leaf is: 2 for a variable, 1 for another tracked Value, 0 for an untracked one, -1 for a number."""
        return tuple(map(_kind_of, self.originals))

    def nodes(self) -> tuple[Any, ...]:
        """Those of the tracked leaves."""
        return tuple([x._node for x in self.originals if isinstance(x, Box) and x._node is not None])

    def patterns(self) -> tuple[tuple[int, ...], ...]:
        """The levels of the leaves that are batches, as positions among all levels."""
        return tuple([tuple(map(self.levels.index, own)) for own in self.batches])

    def link(self) -> Any:
        """The key where its tracked leaves are linked to the result."""
        return True, self.key, self.kinds(), self.levels and self.outer([])

    def outer(self, captured: Iterable[Any]) -> tuple[int, ...]:
        """Which levels began when all that is tracked was there, the nodes `captured` too: it is from outside of them.

        So gradients will be asked for outside as well, and are sums over the examples.
        """
        nodes = (*captured, *self.nodes())
        newest = max((n.number if n.number != LEAF else n.saved for n in nodes), default=0)
        before = LEVELS.get().before
        return tuple([k for k, level in enumerate(self.levels) if level.number > max(newest, before - 1)])

    def rebuilt(self, args: Any, kwargs: Any, new: Callable[[Any], Any]) -> tuple[Any, Any]:
        """The arguments with others in the places of the leaves."""
        if self.plain:
            return tuple(map(new, args)), kwargs
        return tree_map(lambda x: new(x) if is_leaf(x, self.integers) else x, (args, kwargs))


def signature(args: tuple[Any, ...], kwargs: dict[str, Any], integers: bool = False) -> Signature | None:
    """The signature of a call; None if something in it cannot be part of a key. `integers`: they are leaves too."""
    if not kwargs and all(type(a) is np.ndarray for a in args):
        key = tuple([(a.shape, a.dtype) for a in args])
        if all(dtype.kind in "biufc" for _, dtype in key):
            return Signature(key, [*args], True)
        return None
    found = Signature(None, [], False, integers)
    try:
        found.key = _key((args, kwargs), found)
        if found.batches:
            _note_levels(found)
        hash(found.key)
    except TypeError:
        return None
    return found


def _note_levels(found: Signature) -> None:
    """Put into the key which leaves have which levels; their numbers are others at each call."""
    levels = found.levels = union(found.batches)
    active = LEVELS.get()
    if not all(level in active for level in levels):
        found.inline = True
    found.key = found.key, found.patterns()


def is_leaf(x: Any, integers: bool = False) -> bool:
    """Whether it is a number that may differ from call to call."""
    if type(x) is int:
        return integers and abs(x) < LARGE
    return isinstance(x, (np.ndarray, np.generic, float, complex, Box))


def _kind_of(x: Any) -> int:
    if not isinstance(x, Box):
        return -1
    return 0 if x._node is None else 2 if x._node.number == LEAF else 1


class _Same:
    """An object as a key: equal to itself only, and not kept alive by it, if that can be."""

    __slots__ = ("hash", "ref")

    def __init__(self, x: Any, found: Signature) -> None:
        self.hash = id(x)
        if type(x).__weakrefoffset__:
            self.ref: Any = weakref.ref(x)
        else:
            self.ref = lambda: x
        found.objects.append(x)
        found.watched.append(x)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        x = self.ref()
        return type(other) is _Same and x is not None and other.ref() is x

    def __hash__(self) -> int:
        return self.hash


def _key(x: Any, found: Signature) -> Any:
    kind = type(x)
    if kind is np.ndarray:
        if x.dtype.kind not in "biufc":
            raise TypeError
        found.leaves.append(x)
        found.originals.append(x)
        return (x.shape, x.dtype)
    if kind is float or kind is complex or (kind is int and is_leaf(x, found.integers)):
        found.leaves.append(x)
        found.originals.append(x)
        return kind
    if kind is list or kind is dict:
        found.note(x)
    if kind is tuple or kind is list:
        return (kind, *[_key(item, found) for item in x])
    if kind is dict:
        return (dict, *[(type(key), key, _key(item, found)) for key, item in x.items()])
    if isinstance(x, Inner):
        found.inline = True
        return None
    if isinstance(x, Box):
        data = x._array
        found.tracked = found.tracked or x._node is not None
        if type(data) is Batched:
            found.batches.append(data.levels)
            data = data.whole
        if not isinstance(data, (np.ndarray, np.generic)):
            found.inline = True
            return None
        found.leaves.append(data)
        found.originals.append(x)
        return (data.shape, data.dtype) if data is x._array else (Batched, data.shape, data.dtype)
    if isinstance(x, np.generic):
        if x.dtype.kind not in "biufc":
            raise TypeError
        found.leaves.append(x)
        found.originals.append(x)
        return (np.generic, x.dtype)
    if isinstance(x, STATIC) and not isinstance(x, type):
        return (kind, x)
    return _container_key(x, kind, found)


def _container_key(x: Any, kind: Any, found: Signature) -> Any:
    """Of a named tuple, a dataclass, a Module; anything else stands for itself."""
    parts: list[Any] = []
    tree_map(parts.append, x)
    if len(parts) == 1 and parts[0] is x:
        return _itself(x, kind, found)
    found.objects.append(kind)
    found.note(x)
    if isinstance(x, dict):
        return (kind, *[(type(key), key, _key(item, found)) for key, item in x.items()], _described(vars(x), found, {}))
    if isinstance(x, tuple):
        return (kind, *[_key(item, found) for item in x])
    leaves = {id(part): part for part in parts}
    names = vars(x) if hasattr(x, "__dict__") else {}
    if dataclasses.is_dataclass(x):
        fields = [f.name for f in dataclasses.fields(x) if not f.metadata.get("static") and hasattr(x, f.name)]
        rest = {name: value for name, value in names.items() if name not in fields}
        inside = [(name, _key(getattr(x, name), found)) for name in fields]
        return (kind, _described(rest, found, {}), *inside)
    return (kind, _described(names, found, leaves), *[_key(part, found) for part in parts])


def _itself(x: Any, kind: Any, found: Signature) -> Any:
    """The key of an object that is no container: what can be reached from it is looked at as what f captures is."""
    if isinstance(x, np.ndarray) or (not callable(x) and kind.__hash__ is None):
        raise TypeError
    if not is_known(kind.__module__) or kind.__hash__ is None or kind is FunctionType:
        return _Same(x, found)
    found.objects.append(x)
    return (kind, x)


def _described(x: Any, found: Signature, leaves: dict[int, Any]) -> Any:
    """The key of what is in an object besides its `leaves`."""
    kind = type(x)
    if id(x) in leaves:
        return None
    if isinstance(x, (float, complex)):
        return (kind, repr(x))
    if isinstance(x, STATIC) and not isinstance(x, type):
        return (kind, x)
    if isinstance(x, (np.ndarray, np.generic)) or (isinstance(x, Box) and x._node is None):
        data = np.asarray(x._array if isinstance(x, Box) else x)
        if data.dtype.kind not in "biufc":
            raise TypeError
        return (kind, data.shape, data.dtype, data.tobytes())
    leaves[id(x)] = x  # it may be in itself
    if isinstance(x, dict):
        return (kind, *[(type(key), key, _described(item, found, leaves)) for key, item in x.items()])
    if isinstance(x, (list, tuple)):
        return (kind, *[_described(item, found, leaves) for item in x])
    if isinstance(x, (set, frozenset)):
        return (kind, frozenset(x))
    if callable(x) and not hasattr(kind, "_tree_open"):
        return _Same(x, found)
    names = getattr(x, "__dict__", None)
    if names is None or isinstance(x, type):
        return _Same(x, found)
    found.objects.append(kind)
    return (kind, _described(names, found, leaves))
