"""Arguments that share memory: what f writes to one of them shows in the others, so its program is for such arguments.

The same array in two places is one Value while f is recorded. Arrays that overlap otherwise have no program; nor have
Values that share an array, if some are tracked or are batches: each is one of its own; nor has the same list in two
places, if f changes what is in it.
"""

import dataclasses
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

__all__ = ["Aliases", "overlap"]


def overlap(x: Any, y: Any) -> bool:
    """Whether two arrays may share memory."""
    if type(x) is not np.ndarray or type(y) is not np.ndarray:
        return False
    return x is y if x.base is None and y.base is None else bool(np.may_share_memory(x, y))


def _same_as(leaves: Sequence[Any]) -> tuple[int, ...]:
    """For each argument, the position of the first one that is the same array."""
    first: dict[int, int] = {}
    return tuple([first.setdefault(id(x), i) if type(x) is np.ndarray else i for i, x in enumerate(leaves)])


def _containers(x: Any, seen: set[int]) -> Iterator[Any]:
    """The lists, dicts and attributes in arguments, which f may change, but for those whose ids have been `seen`."""
    if id(x) in seen:
        return
    seen.add(id(x))
    if isinstance(x, (tuple, list, dict)):
        if not isinstance(x, tuple):
            yield x
        for item in [*x.values()] if isinstance(x, dict) else x:
            yield from _containers(item, seen)
    elif (dataclasses.is_dataclass(x) or hasattr(type(x), "_tree_open")) and hasattr(x, "__dict__"):
        yield from _containers(vars(x), seen)


def _items(x: Any) -> list[Any]:
    return [*x, *x.values()] if isinstance(x, dict) else [*x]


class Aliases:
    """Which arguments f writes to, and which of all are the same."""

    def __init__(self, leaves: Sequence[Any], apart: bool) -> None:
        self.same = tuple(range(len(leaves))) if apart else _same_as(leaves)
        self.apart = apart  # whether the same array is not one Value
        self.written: list[int] = []
        self.opened = False  # whether f has changed what is in a container
        self._before: list[tuple[Any, list[Any]]] = []

    def watch(self, arguments: Any) -> None:
        """Look at the containers in the arguments, as f will get them."""
        self._before = [(x, _items(x)) for x in _containers(arguments, set())]

    def note(self, values: Sequence[Any], given: Sequence[Any], inputs: Sequence[Any]) -> None:
        """Note what has been written to: the Values that stood for arguments, what was in these at first, and the
        recorded arrays of that."""
        now = [(_items(x), items) for x, items in self._before]
        self.opened = any(len(a) != len(b) or not all(map(operator.is_, a, b)) for a, b in now)
        self._before = []
        self.written = [
            i
            for i, (value, data, x) in enumerate(zip(values, given, inputs, strict=True))
            if getattr(value, "_array", data) is not data or x.buffer.node.op != "input"
        ]

    @property
    def key(self) -> Any:
        """What programs that compute the same may differ in."""
        return self.same if self.written else None

    def is_apart(self, leaves: Sequence[Any], merged: bool) -> bool:
        """Whether no argument that is written to shares memory with another one; `merged`: the same array is one."""
        return not any(
            i != j and overlap(leaves[i], x) and not (merged and self.same[i] == self.same[j])
            for i in self.written
            for j, x in enumerate(leaves)
        )

    def fits(self, leaves: Sequence[Any]) -> bool:
        """Whether the program is right for these arguments."""
        if not self.written:
            return True
        return self.is_apart(leaves, True) and (self.apart or _same_as(leaves) == self.same)
