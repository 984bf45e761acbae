"""Orders: where NumPy's results have another order in memory than C's, which all recorded ones have.

It decides whether `reshape` and `ravel` show the memory of their operand or copy it, and so where later writes are
seen. Such arrays are noted; once one has been reshaped, a write to it, or to what came of it, is refused. So it is once
somebody has asked for the order, as `np.asarray(x, order="F")` does, which then copies or does not. A program in which
all are in C order, and that has such writes, is for C order in those inputs from which the arrays that are written to
may have theirs.
"""

from typing import Any

import numpy as np

from .graph import Graph, Node
from .recorded import ASKED, REORDERED, RESHAPED, Recorded

__all__ = [
    "RESHAPING",
    "are_in_order",
    "check_write",
    "deciding",
    "keep_order",
    "note_copy",
    "note_order",
    "note_reshape",
]

RESHAPING = frozenset((np.reshape, np.ravel))


def note_order(x: Recorded, data: Any) -> None:
    """Note that NumPy has made `x` in the order of `data`."""
    if data.ndim > 1 and x.ndim > 1 and not data.flags.c_contiguous:
        x.buffer.recorder.reordered, x.buffer.order = True, REORDERED


def keep_order(operands: Any, result: Any) -> None:
    """Note that NumPy would make the result of arrays in another order, so that it may be in another one itself."""
    if not any(x.buffer.order for x in _recorded(operands)):
        return
    for y in _recorded((result,) if type(result) is not list else result):
        if y.ndim > 1 and not y.buffer.order:
            y.buffer.order = REORDERED


def note_reshape(x: Any, result: Any) -> None:
    """Note that NumPy may have copied where there is a view now, or the other way round."""
    if type(x) is not Recorded or x.ndim < 2:  # arrays of one axis are never copied
        return
    x.buffer.shown = True
    if type(result) is Recorded:
        result.buffer.shown = True
    if x.buffer.order:
        x.buffer.order = max(x.buffer.order, RESHAPED)
        if type(result) is Recorded:
            result.buffer.order = RESHAPED
    elif type(result) is Recorded and result.buffer is not x.buffer:  # of a transpose, as for np.sort
        x.buffer.recorder.reordered, result.buffer.order = True, REORDERED


def note_copy(x: Recorded, copy: Recorded, order: Any) -> None:
    """Note the order of a copy; it is not even one with NumPy, maybe, if somebody has asked for that of `x`."""
    copy.buffer.shown = copy.buffer.shown or x.buffer.shown
    if x.buffer.order == ASKED or order != "C":
        copy.buffer.order = max(copy.buffer.order, x.buffer.order)


def check_write(x: Recorded) -> None:
    """Raises Unrecordable if it cannot be told where a write is seen, and notes if that is told by C order only."""
    if x.buffer.shown:
        x.buffer.recorder.ordered.add(x.buffer.first)
    if x.buffer.order >= RESHAPED:
        raise x.buffer.recorder.escape("writes to a reshaped array whose order in memory is not that of C")


def deciding(graph: Graph, written: set[Node]) -> tuple[int, ...]:
    """Which inputs may decide the order of the arrays that begin with the nodes `written`: those that they are computed
    from. An array that is like another one, as np.zeros_like makes it, does not say which: then any may."""
    found: set[int] = set()
    waiting = [*written]
    while waiting:
        node = waiting.pop()
        if node.number in found:
            continue
        found.add(node.number)
        if node.op == "constant" and len(node.shape) > 1:
            return tuple([i for i, x in enumerate(graph.inputs) if len(x.shape) > 1])
        waiting += node.inputs
    return tuple([i for i, x in enumerate(graph.inputs) if len(x.shape) > 1 and x.number in found])


def are_in_order(arrays: Any) -> bool:
    """Whether NumPy's arrays are in C order."""
    return all(a.ndim < 2 or a.flags.c_contiguous for a in arrays)


def _recorded(xs: Any) -> list[Recorded]:
    """The recorded arrays among arguments, and in lists among them."""
    found = [x for x in xs if type(x) is Recorded]
    for x in xs:
        if type(x) in (list, tuple):
            found += [y for y in x if type(y) is Recorded]
    return found
