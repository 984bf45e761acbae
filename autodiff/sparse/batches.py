"""Patterns under vmap: a node does the same to each example, or one thing to each.

The pattern of a batch has the rows of all its examples, one example after the other. What a node does to a pattern is a
matrix: it is what becomes of the identity. So the node is asked about one example, and the matrix is applied to all;
where data of the examples decide, as an index of each does, it is asked once for each.
"""

import itertools
import math
from typing import Any

import numpy as np

from ..arrays import repeat_levels, sum_levels
from ..batched import Batched, Level, hide, levels_of, union
from ..batching import enter, leave
from ..case import Case, SequenceCase, StandIn
from ..many import Pick
from ..mutation import WriteCase
from ..tree import tree_map
from .patterns import Pattern, joined, numbered, pooled, put, stacked, taken, times
from .structures import applied, is_of_shapes

__all__ = ["pattern_of"]

Levels = tuple[Level, ...]
Shape = tuple[int, ...]

ACROSS: frozenset[Any] = frozenset((enter, leave, repeat_levels, sum_levels))  # what changes the levels


def pattern_of(node: Any, parents: list[Any]) -> Any:
    """The pattern of a node's array, given those of its parents, None for those that depend on nothing.

    Of a function of several results it is several patterns, by their numbers.
    """
    case = node.case
    while isinstance(case, StandIn):
        case = case.case
    if isinstance(case, Pick):
        return parents[0][case.index]
    if case.rule.function in ACROSS:
        return _across(case.rule.function, parents[0], case.residuals(node.saved))
    if not isinstance(case, (Case, WriteCase)):
        return _opaque(case, node.saved, parents)
    saved = node.saved if isinstance(case, (SequenceCase, WriteCase)) else case.residuals(node.saved)
    levels = union([*(p.levels for p in parents if p is not None), _levels(saved)])
    if not levels:
        return applied(case, saved, parents)
    found = [_in_batch(case, saved, parents, k, levels) for k, p in enumerate(parents) if p is not None]
    return found[0] if len(found) == 1 else _merged(found)


def _sizes(levels: Levels) -> Shape:
    return tuple([level.size for level in levels])


def _levels(saved: Any) -> Levels:
    """The levels of the arrays, and of the Specs, in what a node has saved."""
    if isinstance(saved, Level):
        return (saved,)
    if isinstance(saved, dict):
        return union(map(_levels, saved.values()))
    return union(map(_levels, saved)) if isinstance(saved, (list, tuple)) else levels_of(saved)


def _merged(found: list[Any]) -> Any:
    """What depends on all of these; each may be several patterns."""
    if type(found[0]) is tuple:
        return tuple([joined(*parts) for parts in zip(*found, strict=True)])
    return joined(*found)


# -- one example after the other


def _in_batch(case: Any, saved: Any, parents: list[Any], k: int, levels: Levels) -> Any:
    """The pattern, or the patterns, as far as they come from parent `k`."""
    p = parents[k]
    size = math.prod(p.shape)
    one = np.arange(size + 1)
    identity = Pattern(p.shape, type(p.rows)((np.ones(size, dtype=bool), one[:-1], one), shape=(size, size)))
    alone = [identity if i == k else None for i in range(len(parents))]
    if is_of_shapes(case, saved) or not _holds_batch(saved):
        matrices = [applied(case, saved, alone)]
    else:
        matrices = []
        for index in itertools.product(*map(range, _sizes(levels))):
            at = dict(zip(levels, index, strict=True))

            def example(x: Any, at: Any = at) -> Any:
                return x.whole[tuple([at[level] for level in x.levels])] if type(x) is Batched else x

            matrices.append(applied(case, tree_map(example, saved), alone))
    if type(matrices[0]) is tuple:
        return tuple([_applied_to_each(p, levels, list(parts)) for parts in zip(*matrices, strict=True)])
    return _applied_to_each(p, levels, matrices)


def _holds_batch(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_holds_batch, x))
    return any(map(_holds_batch, x.values())) if isinstance(x, dict) else type(x) is Batched


def _applied_to_each(p: Pattern, levels: Levels, matrices: list[Any]) -> Pattern | None:
    """`p` with one matrix for all examples, or one for each."""
    if matrices[0] is None:
        return None
    count, size = math.prod(_sizes(levels)), math.prod(p.shape)
    shape, rows = matrices[0].shape, math.prod(matrices[0].shape)
    examples = _aligned(np.arange(math.prod(_sizes(p.levels))), p.levels, levels).reshape(-1)
    if len(matrices) == 1:
        coo = matrices[0].rows.tocoo()
        targets = (np.arange(count)[:, None] * rows + coo.row).reshape(-1)
        sources = (examples[:, None] * size + coo.col).reshape(-1)
    else:
        coo = stacked([m.rows for m in matrices]).tocoo()
        targets, sources = coo.row, examples[coo.row // max(rows, 1)] * size + coo.col
    return Pattern(shape, times(targets, sources, count * rows, p.rows), levels)


def _aligned(numbers: Any, own: Levels, levels: Levels) -> Any:
    """Numbers of the examples of `own`, one for each example of `levels`."""
    hidden = numbers.reshape([level.size if level in own else 1 for level in levels])
    return np.broadcast_to(hidden, _sizes(levels))


# -- from level to level


def _across(function: Any, p: Pattern, known: dict[str, Any]) -> Pattern:
    whole = Pattern((p.rows.shape[0],), p.rows)
    if function is sum_levels:
        (summed,) = known["rest"] or known["kwargs"].values()
        kept = tuple([level for level in p.levels if level not in summed])
        numbers = hide(numbered(_sizes(kept) + p.shape), kept)
        targets = repeat_levels(numbers, p.levels).whole
        return Pattern(p.shape, put(whole, targets.reshape(-1), _sizes(kept) + p.shape).rows, kept)
    numbers = hide(numbered(_sizes(p.levels) + p.shape), p.levels)
    moved = function(numbers, *known["rest"], **known["kwargs"])
    return Pattern(moved.shape, taken(whole, getattr(moved, "whole", moved)).rows, levels_of(moved))


# -- functions of which nothing is known


def _opaque(case: Any, saved: Any, parents: list[Any]) -> Any:
    """Of a case of another kind only the shape of the result is known, from that of a tangent."""
    given = [p for p in parents if p is not None]
    zeros = [None if p is None else hide(np.zeros(_sizes(p.levels) + p.shape), p.levels) for p in parents]
    pushed = case.push(saved, tuple(zeros))

    def found(t: Any) -> Pattern | None:
        if t is None:
            return None
        levels = union([*(p.levels for p in given), levels_of(getattr(t, "_array", t))])
        return joined(*(_mixed(p, np.shape(t), levels) for p in given))

    if isinstance(pushed, (dict, tuple, list)):  # of several results, by their numbers
        return {i: found(t) for i, t in (pushed.items() if isinstance(pushed, dict) else enumerate(pushed))}
    return found(pushed)


def _mixed(p: Pattern, shape: Shape, levels: Levels) -> Pattern:
    """An array of `shape`, each element of which depends on all of `p` that is of its example."""
    kept = _sizes(p.levels)
    numbers = numbered(kept)
    inside = np.broadcast_to(numbers.reshape(kept + (1,) * len(p.shape)), kept + p.shape)
    examples = _aligned(numbers, p.levels, levels)
    back = np.broadcast_to(examples.reshape(_sizes(levels) + (1,) * len(shape)), _sizes(levels) + shape)
    return Pattern(shape, pooled(Pattern(inside.shape, p.rows), inside, kept, back).rows, levels)
