"""Box: what the engine knows of a Value."""

from typing import Any

__all__ = ["Box"]


class Box:
    """An array, and the node that made it (None: untracked). The rest is for views: see views.py."""

    __slots__ = ("_array", "_node", "_origin", "_views")

    _array: Any
    _node: Any
    _origin: Any  # of a view: what it shows, and how to get there
    _views: Any  # weak references to the views of this one
    _plain: type  # the classes of the three states
    _owner: type
    _stale: type

    @staticmethod
    def _wrap(data: Any, node: Any = None) -> Any:
        raise NotImplementedError
