"""What gathers and scatters are simpler than they look.

An index that is known to be 0, 1, 2, ... is a stride. An index along the rows of what is computed anyway, as the labels
of a cross entropy are, is a comparison with 0, 1, 2, ..., and fuses with what computes it and what comes after:

    x[arange(n), i]             (where 0, 1, 2, ... equals i: x, else 0), summed over each row
    zeros with y added there    (where 0, 1, 2, ... equals i: y, else 0)
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .graph import REDUCTIONS, SCANS, WRITES, Graph, Node, c_strides
from .interpret import strided
from .spaces import align, is_register, resolve

__all__ = ["affine", "extremum", "gathered", "hot", "scattered"]

Steps = tuple[tuple[int, int], ...]
IN_MEMORY = WRITES | REDUCTIONS | {*SCANS, "input", "constant", "view", "matmul", "call", "item", "gather", "argmax"}
BOOL = np.dtype(bool)


def affine(
    offset: int, strides: Sequence[int], steps: Steps, indices: Sequence[Node]
) -> tuple[int, tuple[int, ...], Steps, list[Node]]:
    """The same places, with constant indices in regular steps made part of the strides."""
    moves, left, kept = list(strides), [], []
    for index, (step, n) in zip(indices, steps):
        base, start, own = resolve(index)
        if base.op == "constant":
            found = strided(base.params[0], start, own, index.shape)
            found = np.where(found < 0, found + n, found)
            first = found[(0,) * found.ndim]
            along = [int(found[(0,) * axis + (1,) + (0,) * (found.ndim - axis - 1)] - first) if size > 1 else 0
                     for axis, size in enumerate(found.shape)]  # fmt: skip
            regular = first + sum(a * np.arange(m).reshape((-1,) + (1,) * (found.ndim - axis - 1))
                                  for axis, (a, m) in enumerate(zip(along, found.shape)))  # fmt: skip
            if (found == regular).all() and found.min() >= 0 and found.max() < n:
                offset += int(first) * step
                for axis, a in enumerate(reversed(along), 1):
                    moves[-axis] += a * step
                continue
        left.append((step, n))
        kept.append(index)
    return offset, tuple(moves), tuple(left), kept


def hot(graph: Graph, index: Node, n: int, iota: Node, space: Sequence[int], order: Sequence[int]) -> Node:
    """Where 0, 1, ..., n - 1 along one more axis equals the index; axes in this order."""

    def op(name: str, inputs: Sequence[Node], dtype: Any) -> Node:
        return graph.add(name, inputs, (), index.shape, dtype)

    def number(value: int) -> Node:
        return graph.constant(np.array(value, index.dtype))

    kind = index.dtype
    further = op("add", (index, number(n)), kind)
    wrapped = op("where", (op("less", (index, number(0)), BOOL), further, index), kind)
    if wrapped.dtype != iota.dtype:
        wrapped = op("cast", (wrapped,), iota.dtype)
    shape = tuple([(*space, n)[axis] for axis in order])
    steps = (*align(index.shape, c_strides(index.shape), space), 0)
    left = graph.view(wrapped, 0, tuple([steps[axis] for axis in order]), shape)
    right = graph.view(iota, 0, tuple([int(axis == len(space)) for axis in order]), shape)
    return graph.add("equal", (left, right), (), shape, BOOL)


def gathered(
    graph: Graph, x: Node, node: Node, offset: int, strides: Any, steps: Steps, indices: list[Node], iota: Any
) -> Node:
    """A gather, or a sum over the rows of what is computed anyway."""
    space = node.shape
    if len(indices) == 1 and not offset and x.op not in IN_MEMORY:
        ((step, n),) = steps
        if n > 1 and node.size * n == x.size and is_register((*space, n), (*strides, step)):
            whole = graph.view(x, 0, c_strides((*space, n)), (*space, n))
            chosen = hot(graph, indices[0], n, iota(n), space, range(len(space) + 1))
            zero = graph.view(graph.constant(np.zeros((), x.dtype)), 0, (0,) * len(whole.shape), whole.shape)
            picked = graph.add("where", (chosen, whole, zero), (), whole.shape, x.dtype)
            fold = "any" if x.dtype == BOOL else "sum"
            return graph.add(fold, (picked,), ((len(space),),), space, x.dtype)
    return graph.add("gather", (x, *indices), (offset, strides, steps), space, node.dtype)


def extremum(graph: Graph, node: Node, x: Node, iota: Node) -> Node:
    """An argmax or argmin: the first index at which x is its maximum or minimum, or is NaN if there is one."""
    (axis,), shape = node.params, x.shape
    if x.dtype == BOOL:
        x = graph.add("cast", (x,), (), shape, iota.dtype)
    n = shape[axis]
    best = graph.add(node.op.removeprefix("arg"), (x,), ((axis,),), node.shape, x.dtype)
    strides = list(c_strides(node.shape))
    spread = graph.view(best, 0, (*strides[:axis], 0, *strides[axis:]), shape)
    found = graph.add("equal", (x, spread), (), shape, BOOL)
    if x.dtype.kind == "f":
        found = graph.add("logical_or", (found, graph.add("isnan", (x,), (), shape, BOOL)), (), shape, BOOL)
    places = graph.view(iota, 0, tuple([int(a == axis) for a in range(len(shape))]), shape)
    last = graph.view(graph.constant(np.array(n - 1, iota.dtype)), 0, (0,) * len(shape), shape)
    first = graph.add("where", (found, places, last), (), shape, iota.dtype)
    first = graph.add("min", (first,), ((axis,),), node.shape, iota.dtype)
    return graph.add("cast", (first,), (), node.shape, node.dtype)


def scattered(
    graph: Graph, node: Node, value: Node, place: Any, steps: Steps, indices: list[Node], iota: Callable[[int], Node]
) -> Node | None:
    """What `value`, added to zeros, is there; None if it does not reach each element just once."""
    (offset, strides, space), ((step, n), *more) = place, steps
    axes = [(s, axis, m) for axis, (m, s) in enumerate(zip((*space, n), (*strides, step))) if m > 1]
    axes.sort(reverse=True)
    shape, order = tuple([m for _, _, m in axes]), [axis for _, axis, _ in axes]
    if more or offset or n == 1 or [s for s, _, _ in axes] != [*c_strides(shape)] or _size(shape) != node.size:
        return None
    base, start, own = resolve(value)
    moves = (*align(value.shape, own, space), 0)
    spread = graph.view(base, start, tuple([moves[axis] for axis in order]), shape)
    zero = graph.view(graph.constant(np.zeros((), node.dtype)), 0, (0,) * len(shape), shape)
    chosen = hot(graph, indices[0], n, iota(n), space, order)
    found = graph.add("where", (chosen, spread, zero), (), shape, node.dtype)
    return graph.view(found, 0, c_strides(node.shape), node.shape)


def _size(shape: Sequence[int]) -> int:
    return int(np.prod(shape))
