"""Copies and pickles of Values.

A leaf or an untracked Value is copied as a whole. Any other keeps its place in the graph: a copy of the graph
itself, which Python's defaults would make, helps nobody.
"""

import copy
from typing import Any, Self

from .errors import DetachError
from .methods import Methods
from .tape import Node, leaf
from .views import has_place, make_place

__all__ = ["Copies", "rebuild"]


class Copies(Methods):
    """`copy`, `deepcopy`, `pickle`."""

    __slots__ = ()

    is_leaf: Any
    name: Any

    def __copy__(self) -> Self:
        """A leaf or an untracked Value becomes an independent one; any other keeps its place in the graph."""
        data = self._array.copy()  # from here on its class is its own, whatever state it was in (see views)
        new: Self = rebuild(type(self), data, self._node, self.name, getattr(self, "__dict__", {}))
        if has_place(self):
            make_place(new)
        if self.is_leaf and self._node is not None:
            new._node = leaf()
        return new

    def __deepcopy__(self, memo: Any) -> Self:
        new = self.__copy__()
        memo[id(self)] = new
        if hasattr(new, "__dict__"):
            new.__dict__.update(copy.deepcopy(new.__dict__, memo))
        return new

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise DetachError("a Value inside a graph cannot be pickled; pickle v.detach() or v.data")
        data, tracked = self._array, self._node is not None
        return _unpickle, (type(self), data, tracked, self.name, getattr(self, "__dict__", {}))


def rebuild(cls: type, data: Any, node: Node | None, name: str | None, attributes: dict[str, Any]) -> Any:
    """A Value of a class, which may be a subclass with a constructor of its own."""
    new: Any = object.__new__(cls)
    new._array, new._node, new._name = data, node, name
    if attributes:
        new.__dict__.update(attributes)
    return new


def _unpickle(cls: type, data: Any, tracked: bool, name: str | None, attributes: dict[str, Any]) -> Any:
    return rebuild(cls, data, leaf() if tracked else None, name, attributes)
