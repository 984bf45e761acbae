"""Parts of arrays: what a `put` writes and what reads that."""

from .graph import WRITES, Graph, Node, c_strides
from .loops import DTYPES
from .spaces import resolve

__all__ = ["Region", "disjoint", "owned", "span"]

Region = tuple[int, tuple[int, ...], tuple[int, ...]]  # offset, strides and shape


def _box(region: Region, whole: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """The first and the last index along each axis of the whole array; None for a part that is no box."""
    offset, strides, shape = region
    found = []
    left = [(s, n) for s, n in zip(strides, shape) if n != 1]
    for step, size in zip(c_strides(whole), whole):
        low = high = offset // step
        offset -= low * step
        for s, n in left:
            if s and not s % step and abs(s) * (n - 1) < step * size:
                left.remove((s, n))
                low, high = sorted((low, low + s // step * (n - 1)))
                break
        if low < 0 or high >= size:
            return None
        found.append((low, high))
    return None if left else found


def span(region: Region) -> tuple[int, int]:
    """The first and the last element of a part that is not empty.

    >>> span((4, (8, -1), (5, 4)))
    (1, 36)
    """
    offset, strides, shape = region
    low = high = offset
    for s, n in zip(strides, shape):
        if s > 0:
            high += s * (n - 1)
        else:
            low += s * (n - 1)
    return low, high


def disjoint(a: Region, b: Region, whole: tuple[int, ...]) -> bool:
    """Whether two parts are known to have no element in common.

    >>> disjoint((0, (8, 1), (5, 4)), (4, (8, 1), (5, 4)), (5, 8)), disjoint((0, (8,), (5,)), (0, (1,), (8,)), (5, 8))
    (True, False)
    """
    (first, last), (begin, end) = span(a), span(b)
    if last < begin or end < first:
        return True
    x, y = _box(a, whole), _box(b, whole)
    return bool(x and y and any(p[1] < q[0] or q[1] < p[0] for p, q in zip(x, y)))


def _apart(write: Node, b: Node) -> bool:
    """Whether a `put` reads its value from elements that it does not write to."""
    _, offset, strides = resolve(b)
    return write.op == "put" and disjoint((offset, strides, b.shape), write.params, write.inputs[0].shape)


def owned(graph: Graph) -> Graph:
    """The graph with each write in memory of its own: that of x, if nobody reads x any more, or else of a copy."""
    nodes = graph.live()
    last: dict[int, int] = {}
    for n in nodes:
        for x in n.inputs:
            last[x.number] = last[resolve(x)[0].number] = n.number
    fixed = {resolve(n)[0].number for n in (*graph.outputs, *[n for n, _ in graph.guards])}
    new = Graph()
    made: dict[int, Node] = {}
    for n in nodes:
        inputs = tuple([made[x.number] for x in n.inputs])
        if n.op in WRITES and n.dtype in DTYPES:
            x = n.inputs[0]
            own = any(resolve(b)[0] is x and not _apart(n, b) for b in n.inputs[1:])
            if own or x.op in ("input", "constant", "view") or x.number in fixed or last[x.number] > n.number:
                inputs = (new.fresh("copy", inputs[:1], (), n.shape, n.dtype), *inputs[1:])
        made[n.number] = new.fresh(n.op, inputs, n.params, n.shape, n.dtype)
    new.inputs = [made[n.number] for n in graph.inputs]
    new.outputs = [made[n.number] for n in graph.outputs]
    new.guards = [(made[n.number], value) for n, value in graph.guards]
    return new
