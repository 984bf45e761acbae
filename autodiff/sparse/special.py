"""Functions with a structure of their own, in the manner of structure_kinds."""

import itertools
from typing import Any

import numpy as np

from ..rules.pad import framed
from .kinds import Use, elementwise, gathered, mixed, unknown
from .patterns import Pattern, joined, numbered, put, taken

__all__ = [
    "folded_in_half",
    "interpolation",
    "mirrored",
    "pad",
    "polynomial",
    "powers",
    "segments",
    "solution",
    "triangle",
]


def pad(p: Pattern, use: Use) -> Pattern:
    """In a frame of constants."""
    frame: Any = framed
    return taken(p, frame(numbered(p.shape), use.options["widths"], 0))


def triangle(p: Pattern, use: Use) -> Pattern:
    """A triangle of a matrix."""
    upper = use.options.get("upper", False)
    return taken(p, (np.triu if upper else np.tril)(numbered(p.shape)))


def mirrored(p: Pattern, use: Use) -> Pattern:
    """A triangle and its mirror image."""
    numbers, upper = numbered(p.shape), use.options.get("upper", False)
    inner = np.triu(numbers, 1) if upper else np.tril(numbers, -1)
    return taken(p, numbers * np.eye(p.shape[-1], dtype=int) + inner + inner.swapaxes(-1, -2))


def folded_in_half(p: Pattern, use: Use) -> Pattern:
    """A matrix and its mirror image, in one triangle."""
    turned = taken(p, numbered(p.shape).swapaxes(-1, -2))
    both = joined(p, turned)
    assert both is not None
    return triangle(both, use)


def segments(p: Pattern, use: Use) -> Pattern:
    """Sums of segments, if none overlap."""
    indices = use.options["indices"]
    return gathered(p, use) if all(i < j for i, j in itertools.pairwise(indices)) else mixed(p, use)


def powers(p: Pattern, use: Use) -> Pattern:
    """A row of powers of each element."""
    assert use.out is not None
    return taken(p, np.broadcast_to(numbered(p.shape)[:, None], use.out))


def polynomial(p: Pattern, use: Use) -> Pattern:
    """All coefficients, and one point."""
    return unknown(p, use) if use.index == 0 else elementwise(p, use)


def interpolation(p: Pattern, use: Use) -> Pattern:
    """One point, and the knots: of their values the two next to the point, if points and knots are constant."""
    assert use.out is not None
    if use.index == 0:
        return p
    if use.index == 1 or use.case.count > 1:
        return unknown(p, use)
    found = joined(*(taken(p, side + 1) for side in use.known["aux"]))
    assert found is not None
    return found


def solution(p: Pattern, use: Use) -> Pattern:
    """Of equations: the whole matrix, and the right-hand side, column by column."""
    assert use.out is not None
    vector = len(use.known["sy"].shape if "sy" in use.known else np.shape(use.known["y"])) == 1
    stacked = (*p.shape, 1) if vector and use.index else p.shape
    axes = (-2, -1) if use.index == 0 else (-2,)
    kept = tuple([1 if i - len(stacked) in axes else n for i, n in enumerate(stacked)])
    numbers = numbered(kept)
    out = (*use.out, 1) if vector else use.out
    whole = put(p, np.broadcast_to(numbers, stacked), kept)
    return taken(whole, np.broadcast_to(numbers, out).reshape(use.out))
