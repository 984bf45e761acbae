"""The states of a Value that was written to, as classes: see views.py, which decides, and mutation.py.

Both behave as a Value does, and become one again when their array is read.
"""

from typing import Any

from .value import Value
from .views import array_of, derive, node_of, publish, set_array, set_node

__all__ = ["Owner", "Stale"]


class Owner(Value):
    """A Value whose array nobody else knows."""

    __slots__ = ()

    @property
    def _array(self) -> Any:
        return publish(self, Value)

    @_array.setter
    def _array(self, array: Any) -> None:
        self.__class__ = Value  # type: ignore[assignment]
        set_array(self, array)


class Stale(Value):
    """A view that has yet to be derived from what it shows."""

    __slots__ = ()

    @property
    def _array(self) -> Any:
        derive(self, Value)
        return array_of(self)

    @_array.setter
    def _array(self, array: Any) -> None:
        self.__class__ = Value  # type: ignore[assignment]
        set_array(self, array)

    @property
    def _node(self) -> Any:
        derive(self, Value)
        return node_of(self)

    @_node.setter
    def _node(self, node: Any) -> None:
        derive(self, Value)
        set_node(self, node)


Value._plain, Value._owner, Value._stale = Value, Owner, Stale
