"""Containers of arrays: nested lists, tuples, named tuples and dicts, taken apart and put together."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["flatten", "leaves", "tree_map"]


def leaves(tree: Any) -> Iterator[Any]:
    """What is in the containers, in order; None holds nothing.

    >>> list(leaves({"w": 1.0, "b": [2.0, (3.0, None)]}))
    [1.0, 2.0, 3.0]
    """
    if isinstance(tree, dict):
        for item in tree.values():
            yield from leaves(item)
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from leaves(item)
    elif tree is not None:
        yield tree


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same containers with `function` applied to what is in them.

    >>> tree_map(abs, {"w": -1.0, "b": [-2.0, None]})
    {'w': 1.0, 'b': [2.0, None]}
    """
    if isinstance(tree, dict):
        new = copy.copy(tree)  # keeps what a subclass has besides its items, as defaultdict does
        new.update({key: tree_map(function, item) for key, item in tree.items()})
        return new
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(tree_map(function, item) for item in tree))
    if isinstance(tree, (list, tuple)):
        return type(tree)(tree_map(function, item) for item in tree)
    return None if tree is None else function(tree)


def flatten(tree: Any) -> tuple[list[Any], Callable[[Any], Any]]:
    """The leaves, and a function that puts as many others in their places."""

    def rebuild(new: Any) -> Any:
        it = iter(new)
        return tree_map(lambda _: next(it), tree)

    return list(leaves(tree)), rebuild
