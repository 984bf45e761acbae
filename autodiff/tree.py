"""Containers of arrays: nested lists, tuples, named tuples and dicts, taken apart and put together."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

from .errors import OperandError

__all__ = ["flatten", "leaves", "leaves_like", "tree_map"]


def leaves(tree: Any) -> Iterator[Any]:
    """What is in the containers, in order; None holds nothing.

    >>> list(leaves({"w": 1.0, "b": [2.0, (3.0, None)]}))
    [1.0, 2.0, 3.0]
    """
    if isinstance(tree, dict):
        for item in tree.values():
            yield from leaves(item)
    elif _is_sequence(tree):
        for item in tree:
            yield from leaves(item)
    elif tree is not None:
        yield tree


def leaves_like(tree: Any, other: Any, what: str) -> Iterator[Any]:
    """The parts of `other` in the places of the leaves of `tree`. Raises OperandError where they differ.

    >>> list(leaves_like({"w": 1.0, "b": 2.0}, {"b": 20.0, "w": 10.0}, "example"))
    [10.0, 20.0]
    """
    if isinstance(tree, dict):
        if not isinstance(other, dict) or tree.keys() != other.keys():
            raise OperandError(f"{what}: expected a dict with the keys {list(tree)}, got {_kind(other)}")
        for key, item in tree.items():
            yield from leaves_like(item, other[key], what)
    elif _is_sequence(tree):
        if not _is_sequence(other) or len(tree) != len(other):
            raise OperandError(f"{what}: expected a {type(tree).__name__} of {len(tree)}, got {_kind(other)}")
        for item, part in zip(tree, other, strict=True):
            yield from leaves_like(item, part, what)
    elif tree is not None:
        if isinstance(other, dict) or _is_sequence(other):
            raise OperandError(f"{what}: expected an array, got {_kind(other)}")
        yield other
    elif other is not None:
        raise OperandError(f"{what}: expected None, got {_kind(other)}")


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same containers with `function` applied to what is in them.

    >>> tree_map(abs, {"w": -1.0, "b": [-2.0, None]})
    {'w': 1.0, 'b': [2.0, None]}
    """
    if isinstance(tree, dict):
        new = copy.copy(tree)  # keeps what a subclass has besides its items, as defaultdict does
        for key, item in tree.items():
            new[key] = tree_map(function, item)
        return new
    if _is_sequence(tree):
        items = [tree_map(function, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return None if tree is None else function(tree)


def flatten(tree: Any) -> tuple[list[Any], Callable[[Any], Any]]:
    """The leaves, and a function that puts as many others in their places."""

    def rebuild(new: Any) -> Any:
        it = iter(new)
        return tree_map(lambda _: next(it), tree)

    return list(leaves(tree)), rebuild


def _is_sequence(tree: Any) -> bool:
    """Lists, tuples and named tuples; other subclasses may not be rebuilt from their items."""
    return type(tree) in (list, tuple) or (isinstance(tree, tuple) and hasattr(tree, "_fields"))


def _kind(x: Any) -> str:
    if isinstance(x, dict):
        return f"a dict with the keys {list(x)}"
    return f"a {type(x).__name__} of {len(x)}" if _is_sequence(x) else f"a {type(x).__name__}"
