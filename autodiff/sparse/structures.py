"""The structure of the rules: which elements of a result depend on which elements of the operands.

The tables say of what kind each function is, see structure_kinds and its kin. Elementwise rules need no entry. A
function that is in no table is unknown: each element of its result depends on each element of its operands. That is
safe: a pattern may say too much, and never too little.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..arrays import cast, embed_diagonal, expand, getitem, overlap_add, scatter_add
from ..case import Case, SequenceCase
from ..mutation import WriteCase
from ..regions import embed, follow, punch, walk, zero
from ..rules.activations import log_softmax, logsumexp, softmax
from ..rules.contract import cross_product
from ..rules.convolution import conv, conv_input, conv_kernel
from ..rules.einsum import contract, rearrange
from ..rules.linalg import cofactors, cofactors_along, inverse, norm_along
from ..rules.linalg_decompositions import fold, half, mirror, qr_factors, svd_factors
from ..rules.numeric import piecewise_linear
from ..rules.pad import extended, folded, framed
from ..rules.polynomial import horner
from ..rules.pooling import max_pool, pick, sum_pool, unpick
from ..rules.pooling import spread as spread_pool
from ..rules.reduce import magnitude, running_extremum, segment_sum, spread, variance
from ..rules.sort import gather, order_statistics, scatter
from ..rules.statistics import weighted_counts
from .kinds import (
    Use,
    cumulated,
    elementwise,
    gathered,
    matrices,
    mixed,
    moved,
    moved_parts,
    reduced,
    same,
    unknown,
)
from .patterns import Pattern, joined, numbered, put, stacked, taken
from .products import convolution, cross, dot, einsum, matmul
from .special import (
    folded_in_half,
    interpolation,
    mirrored,
    pad,
    polynomial,
    powers,
    segments,
    solution,
    triangle,
)
from .windows import convolved, pooled_windows, spread_windows

__all__ = ["applied", "is_of_shapes"]

Structure = Callable[[Pattern, Use], Pattern]


# -- the tables

STRUCTURES: dict[Any, Structure] = {
    **dict.fromkeys([cast, np.real, np.imag], same),
    **dict.fromkeys(
        [
            np.take, np.take_along_axis, np.delete, gather, scatter, extended, getitem,
            np.reshape, np.ravel, np.squeeze, np.expand_dims, np.transpose, np.swapaxes, np.moveaxis,
            np.copy, np.broadcast_to, expand, np.tile, np.repeat, np.flip, np.roll, np.fft.fftshift, np.fft.ifftshift,
            np.diagonal, embed_diagonal, np.diag, np.tril, np.triu, sliding_window_view,
        ],
        moved,
    ),
    **dict.fromkeys([follow, punch], moved_parts),
    **dict.fromkeys([rearrange, np.trace, weighted_counts, folded, scatter_add, embed, overlap_add], gathered),
    **dict.fromkeys(
        [
            np.sum, np.mean, np.prod, np.max, np.min, np.nanmax, np.nanmin, variance, spread, magnitude, norm_along,
            logsumexp, order_statistics,
        ],
        reduced,
    ),
    **dict.fromkeys(
        [softmax, log_softmax, np.sort, np.partition, np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft], mixed
    ),
    **dict.fromkeys([np.cumsum, np.cumprod, running_extremum], cumulated),
    **dict.fromkeys(
        [
            np.linalg.cholesky, qr_factors, svd_factors, np.linalg.eigh, np.linalg.eig, np.linalg.det, cofactors,
            cofactors_along, np.linalg.slogdet, np.linalg.inv, inverse, np.linalg.pinv,
        ],
        matrices,
    ),
    contract: einsum,
    np.matmul: matmul,
    np.dot: dot,
    np.convolve: convolution,
    cross_product: cross,
    framed: pad,
    half: triangle,
    mirror: mirrored,
    fold: folded_in_half,
    segment_sum: segments,
    np.vander: powers,
    horner: polynomial,
    piecewise_linear: interpolation,
    np.linalg.solve: solution,
    **dict.fromkeys([conv, conv_input, conv_kernel], convolved),
    **dict.fromkeys([max_pool, sum_pool], pooled_windows),
    spread_pool: spread_windows,
    pick: moved,
    unpick: gathered,
}  # fmt: skip


# -- what a node does


def applied(case: Any, saved: Any, parents: list[Any]) -> Any:
    """The pattern of a node's array, given those of its parents, None for those that depend on nothing.

    `saved` is what the node has saved, by field name if the case is of a rule; there are no hidden axes in it. Of a
    function of several results it is a tuple of patterns.
    """
    if isinstance(case, WriteCase):
        return _written(saved, parents)
    if isinstance(case, SequenceCase):
        return _assembled(case, saved, parents)
    structure = _structure(case)
    several = case.rule.outputs > 0
    specs = saved["sans"] if several else (saved.get("sans"),)
    found = []
    for spec in specs:
        out = None if spec is None else spec.shape
        used = zip(case.argnums, parents, strict=True)
        found.append(joined(*(structure(p, Use(case, i, saved, out)) for i, p in used if p is not None)))
    return tuple(found) if several else found[0]


def _structure(case: Case) -> Structure:
    return elementwise if case.rule.kind == "elementwise" else STRUCTURES.get(case.rule.function, unknown)


def is_of_shapes(case: Any, saved: Any) -> bool:
    """Whether the structure depends on shapes, and on no data that the node has saved."""
    if isinstance(case, (SequenceCase, WriteCase)):
        return False
    return _structure(case) in (elementwise, same)


def _assembled(case: Any, saved: Any, parents: list[Any]) -> Pattern:
    """Of concatenate and its kin: all elements of the tracked arrays in one pattern, and where they go."""
    specs, _, tracked, rest, kwargs = saved
    kwargs = {k: v for k, v in kwargs.items() if k not in ("dtype", "casting")}
    numbers = [np.zeros(spec.shape, dtype=np.intp) for spec in specs]
    given = [(i, p) for i, p in zip(tracked, parents, strict=True) if p is not None]
    count = 0
    for i, p in given:
        numbers[i] = numbered(p.shape) + count
        count += numbers[i].size
    rows = stacked([p.rows for _, p in given])
    return taken(Pattern((count,), rows), case.rule.function(numbers, *rest, **kwargs))


def _written(saved: Any, parents: list[Any]) -> Pattern | None:
    path, (shape, dtype, *_), value, adds, onto, source, last = saved
    old = parents[0] if onto else None
    new = parents[-1] if source else None
    if old is not None and not adds:
        numbers = numbered(shape, dtype)
        zero(numbers, path)
        old = taken(old, numbers)
    if new is not None:
        part = np.asarray(walk(numbered(shape, dtype), path))
        places = (np.maximum(part.real, part.imag) if part.dtype.kind == "c" else part).astype(np.intp)
        if last is not None:
            places = places * last
        sources = numbered(value[0])
        sources = sources.reshape(value[0][max(len(value[0]) - places.ndim, 0) :])
        new = put(taken(new, np.broadcast_to(sources, places.shape)), places, shape)
    return joined(old, new)
