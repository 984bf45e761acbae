"""Where an array's elements are, seen from a loop nest: shapes, their cuts, and strides over finer loops.

Shapes of one size that can be cut into the same loops are the same space: (6, 4) and (2, 3, 4) are, both have the loops
2, 3, 4. A space is therefore its cuts: after how many elements, counted from the last, each loop begins anew.

>>> cuts((6, 4)), cuts((2, 3, 1, 4)), refine((1, 4, 24), (1, 4, 12, 24))
((1, 4, 24), (1, 4, 12, 24), (1, 4, 12, 24))
"""

from collections.abc import Sequence
from itertools import pairwise

from .graph import Node, c_strides

__all__ = ["align", "cuts", "is_register", "over", "refine", "resolve"]


def resolve(node: Node) -> tuple[Node, int, tuple[int, ...]]:
    """The node that has the memory of a value, and offset and strides there."""
    if node.op == "view":
        return node.inputs[0], node.params[0], node.params[1]
    return node, 0, c_strides(node.shape)


def align(shape: Sequence[int], strides: Sequence[int], space: Sequence[int]) -> tuple[int, ...]:
    """The strides of an array that is broadcast to `space`; 0 where there is nothing to step over.

    >>> align((3, 1), (5, 7), (2, 3, 4))
    (0, 5, 0)
    """
    missing = len(space) - len(shape)
    return (0,) * missing + tuple([0 if n == 1 else s for n, s in zip(shape, strides)])


def cuts(shape: Sequence[int]) -> tuple[int, ...]:
    found, size = [1], 1
    for n in reversed(shape):
        if n != 1:
            size *= n
            found.append(size)
    return tuple(found)


def refine(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The cuts of both, if loops can have them all."""
    if a == b:
        return a
    both = sorted({*a, *b})
    if any(high % low for low, high in pairwise(both)):
        return None
    return tuple(both)


def over(shape: Sequence[int], strides: Sequence[int], loops: Sequence[int], inner: int = 1) -> tuple[int, ...]:
    """Strides of an array of `shape` for each of the loops between the cuts, from the outermost on.

    The array has one element for every `inner` elements of the space.

    >>> over((6, 4), (4, 1), (1, 4, 12, 24)), over((6,), (1,), (1, 4, 12, 24), inner=4)
    ((12, 4, 1), (3, 1, 0))
    """
    found = []
    d, low, high = len(shape), inner, inner
    for cut in loops[:-1]:
        while cut >= high and d > 0:
            d -= 1
            low, high = high, high * shape[d]
        found.append(strides[d] * (cut // low) if low <= cut < high else 0)
    return tuple(reversed(found))


def is_register(shape: Sequence[int], strides: Sequence[int], inner: int = 1) -> bool:
    """Whether reading with these strides, in C order, reads element after element: each `inner` times over."""
    size = 1
    for n, s in zip(reversed(shape), reversed(strides)):
        if n == 1:
            continue
        if size < inner:
            if s or size * n > inner:
                return False
        elif s != size // inner:
            return False
        size *= n
    return True
