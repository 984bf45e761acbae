"""Box: what the engine knows of a Value."""

from typing import Any

__all__ = ["Box"]


class Box:
    """An array, and the node that made it (None: untracked)."""

    __slots__ = ("_array", "_node")

    _array: Any
    _node: Any

    @staticmethod
    def _wrap(data: Any, node: Any = None) -> Any:
        raise NotImplementedError
