"""From the graph of a function and its derivative, recorded as one, to two: forward, with residuals, and backward.

What depends on the cotangents is the backward program; what it reads of the rest are its residuals, further outputs of
the forward program. Nothing is computed twice but what is cheaper to compute again than to keep: constants,
views, and elementwise operations that read what is kept anyway. Inputs of the forward program are not copied.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from .graph import Graph, Node

__all__ = ["parted", "readers"]

CHEAP = frozenset(
    ("add", "subtract", "multiply", "divide", "negative", "positive", "absolute", "square", "reciprocal", "sign")
    + ("maximum", "minimum", "where", "cast", "copy", "less", "less_equal", "greater", "greater_equal", "equal")
    + ("not_equal", "logical_and", "logical_or", "logical_not", "logical_xor", "isnan")
)
CHAIN = 16  # operations, as many of which are computed again for one value
DERIVED = frozenset(("input", "constant", "view", "item"))  # no arrays of their own


class _Parted(NamedTuple):
    """The two programs. The backward one takes inputs of the forward one, residuals and cotangents, in this order."""

    forward: Graph
    backward: Graph
    inputs: list[int]  # which inputs of the forward program
    residuals: list[int]  # which outputs of the forward program
    asked: list[int]  # which guards are in the forward program; the others are in the backward one


def parted(graph: Graph, cotangents: Sequence[Node], count: int, private: Iterable[int]) -> _Parted:
    """Part a graph whose first `count` outputs do not depend on the `cotangents`, some of its inputs, from the others.

    Who has the outputs `private` may write to them, so these cannot be residuals.
    """
    last = {n.number for n in cotangents}
    late = set(last)  # what depends on them
    for node in graph.nodes:
        if any(p.number in late for p in node.inputs):
            late.add(node.number)
    live = _needed(graph, graph.outputs[count:], [n for n, _ in graph.guards], late)
    again, kept = _chosen(live, late)

    forward, new = Graph(), {}
    for node in graph.inputs:
        if node.number not in last:
            new[node.number] = forward.input(node.shape, node.dtype)
    early = [n for n in graph.nodes if n.number not in late]
    _copied(forward, early, new)
    forward.outputs = [new[n.number] for n in graph.outputs[:count]]
    forward.guards = [(new[n.number], value) for n, value in graph.guards if n.number not in late]
    places = {n.number: i for i, n in reversed([*enumerate(forward.outputs)]) if i not in {*private}}
    residuals = []
    for node in kept:
        own = new[node.number]
        if own.number not in places:
            if own.op in DERIVED or any(own is y for y in forward.outputs):
                own = forward.fresh("copy", (own,), (), own.shape, own.dtype)
            places[own.number] = len(forward.outputs)
            forward.outputs.append(own)
        residuals.append(places[own.number])

    backward, new = Graph(), {}
    used = {m.number for n in (*again, *live) for m in (n, *n.inputs)}
    positions = [i for i, n in enumerate(n for n in graph.inputs if n.number not in last) if n.number in used]
    for node in graph.inputs:
        if node.number in used and node.number not in last:
            new[node.number] = backward.input(node.shape, node.dtype)
    for node in kept:
        new[node.number] = backward.input(node.shape, node.dtype)
    for node in cotangents:
        new[node.number] = backward.input(node.shape, node.dtype)
    _copied(backward, sorted([*again, *live], key=lambda n: n.number), new)
    backward.outputs = [new[n.number] for n in graph.outputs[count:]]
    backward.guards = [(new[n.number], value) for n, value in graph.guards if n.number in late]
    asked = [i for i, (n, _) in enumerate(graph.guards) if n.number not in late]
    return _Parted(forward, backward, positions, residuals, asked)


def readers(graph: Graph, inputs: Sequence[Node], outputs: Sequence[Node]) -> list[set[int]]:
    """For each of the outputs which of the inputs, by position, it depends on."""
    found: dict[int, int] = {node.number: 1 << k for k, node in enumerate(inputs)}
    for node in graph.nodes:
        for p in node.inputs:
            found[node.number] = found.get(node.number, 0) | found.get(p.number, 0)
    return [{k for k in range(len(inputs)) if found.get(node.number, 0) >> k & 1} for node in outputs]


def _needed(graph: Graph, outputs: list[Node], guarded: list[Node], late: set[int]) -> list[Node]:
    """The nodes of the backward program, in order: those that its outputs and guards need, and that are late.

    An output that is not is among them too, so that it is looked for.
    """
    needed = {n.number for n in outputs} | {n.number for n in guarded if n.number in late}
    for node in reversed(graph.nodes):
        if node.number in needed and node.number in late:
            needed.update([p.number for p in node.inputs if p.number in late])
    return [n for n in graph.nodes if n.number in needed]


def _chosen(live: list[Node], late: set[int]) -> tuple[list[Node], list[Node]]:
    """Which early nodes are computed again, and which are kept, the newest looked at first."""
    wanted = {p.number: p for n in live if n.number in late for p in n.inputs if p.number not in late}
    wanted |= {n.number: n for n in live if n.number not in late}
    again: list[Node] = []
    kept: list[Node] = []
    pending = [-number for number in wanted]
    heapify(pending)
    while pending:
        node = wanted[-heappop(pending)]
        if node.op == "input":
            continue
        if node.op != "constant" and not _is_cheaper(node, wanted):
            kept.append(node)
            continue
        again.append(node)
        for p in node.inputs:
            if p.number not in wanted:
                wanted[p.number] = p
                heappush(pending, -p.number)
    return again, kept


def _is_cheaper(node: Node, wanted: dict[int, Node]) -> bool:
    """Whether to compute a node again keeps less memory than to keep it, with what is wanted in any case.

    That is, whether its operands are smaller, or what these were computed from is, by cheap operations only.
    """
    if node.op != "view" and node.op not in CHEAP:
        return False
    limit = _bytes(node)
    operands = {p.number: p for p in node.inputs if p.number not in wanted and p.op not in ("input", "constant")}
    if sum(map(_bytes, operands.values())) < limit:
        return True
    seen: set[int] = set()
    pending, more = [node], 0
    while pending:
        n = pending.pop()
        if n is not node and (n.number in seen or n.number in wanted or n.op in ("input", "constant")):
            continue
        seen.add(n.number)
        if n.op == "view" or n.op in CHEAP:
            pending += n.inputs
        else:
            more += _bytes(n)
        if more > limit or (more == limit and node.op != "view") or len(seen) > CHAIN:
            return False
    return True


def _bytes(node: Node) -> int:
    return int(node.size * node.dtype.itemsize)


def _copied(graph: Graph, nodes: Iterable[Node], new: dict[int, Node]) -> None:
    """Put copies of the nodes into another graph; `new` are those that are there, by number."""
    for n in nodes:
        if n.number not in new:
            inputs = tuple([new[p.number] for p in n.inputs])
            new[n.number] = graph.fresh(n.op, inputs, n.params, n.shape, n.dtype)
