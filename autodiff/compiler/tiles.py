"""Nests that read along one axis what they write along another, as transposes do, tile by tile.

Going along what is written, each number that is read is on another line of the cache. That is well as long as the
lines are still there when their next numbers are asked for. They are not if they are a multiple of some power of two
apart, as in matrices of 512 columns: then few places of the cache are all that they have. So the two loops go over
tiles of as many numbers as there are in a line or two. What is left at the edges are nests of their own.
"""

from collections.abc import Sequence
from math import prod

from .graph import SCANS
from .loops import SIZES, Nest, Pointer

__all__ = ["tiles"]

TILE = 16
APART = 512  # bytes: lines a multiple of this apart share an eighth of the cache, or less
LEAST = 1 << 13  # elements that are worth it: fewer are in the cache anyway
ORDERED = frozenset(("scatter", "scatter_add", *SCANS))


def tiles(nest: Nest) -> list[tuple[Nest, tuple[int, ...]]]:
    """The nest, or those that it becomes; and how many elements further on each of their arrays begins."""
    sizes = (*nest.rows, *nest.columns)
    across = _across(nest, sizes)
    if across is None:
        return [(nest, (0,) * len(nest.pointers))]
    last = len(sizes) - 1
    down, right = sizes[across] // TILE * TILE, sizes[last] // TILE * TILE
    found = [(_tiled(nest, sizes, across, down, right), (0,) * len(nest.pointers))]
    if down < sizes[across]:
        found.append(_edge(nest, sizes, {across: (down, sizes[across])}))
    if right < sizes[last]:
        found.append(_edge(nest, sizes, {across: (0, down), last: (right, sizes[last])}))
    return found


def _across(nest: Nest, sizes: Sequence[int]) -> int | None:
    """The loop that an array is read along element by element, which is far apart in the innermost one."""
    if len(sizes) < 2 or len(nest.columns) != 1 or prod(sizes) < LEAST or sizes[-1] < 2 * TILE:
        return None
    (phase, *more), inner = nest.phases, len(sizes) - 1
    if more or phase.row or phase.folds or nest.tail or any(p.filled for p in nest.pointers):
        return None
    if any(op.name in ORDERED for op in phase.body):
        return None
    for pointer in nest.pointers:
        size = SIZES[pointer.dtype]
        if pointer.strides[inner] and pointer.strides[inner] * size % APART == 0:
            for d in range(inner):
                if abs(pointer.strides[d]) == 1 and sizes[d] >= TILE:
                    return d
    return None


def _reaching(nest: Nest, sizes: Sequence[int], p: int, new: Sequence[int], strides: tuple[int, ...]) -> Pointer:
    """An array in other loops. (Indices may move it further than the loops do.)"""
    pointer = nest.pointers[p]
    low, high = pointer.extent
    for side, (those, steps) in ((-1, (sizes, pointer.strides)), (1, (new, strides))):
        reach = [(n - 1) * s for n, s in zip(those, steps, strict=True)]
        low += side * sum([r for r in reach if r < 0])
        high += side * sum([r for r in reach if r > 0])
    return pointer._replace(strides=strides, extent=(low, high))


def _tiled(nest: Nest, sizes: Sequence[int], across: int, down: int, right: int) -> Nest:
    """All other loops, those over tiles, and those in a tile."""
    others = [d for d in range(len(sizes) - 1) if d != across]
    rows = (*[sizes[d] for d in others], down // TILE, right // TILE, TILE)
    pointers = []
    for p, pointer in enumerate(nest.pointers):
        step, along = pointer.strides[across], pointer.strides[-1]
        strides = (*[pointer.strides[d] for d in others], TILE * step, TILE * along, step, along)
        pointers.append(_reaching(nest, sizes, p, (*rows, TILE), strides))
    return nest._replace(rows=rows, columns=(TILE,), pointers=tuple(pointers))


def _edge(nest: Nest, sizes: Sequence[int], parts: dict[int, tuple[int, int]]) -> tuple[Nest, tuple[int, ...]]:
    """A part of the loops, from one index to another."""
    new = tuple([parts[d][1] - parts[d][0] if d in parts else n for d, n in enumerate(sizes)])
    pointers, begins = [], []
    for p, pointer in enumerate(nest.pointers):
        pointers.append(_reaching(nest, sizes, p, new, pointer.strides))
        begins.append(sum([begin * pointer.strides[d] for d, (begin, _) in parts.items()]))
    return nest._replace(rows=new[:-1], columns=new[-1:], pointers=tuple(pointers)), tuple(begins)
