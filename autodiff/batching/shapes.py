"""Functions that move elements: the axes are counted behind the hidden ones."""

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.lib.stride_tricks import sliding_window_view

from ..arrays import cast, embed_diagonal, expand
from ..batched import Batched, axes_of, batch, hide, levels_of, union, widened
from ..nested import collect
from ..rules.pad import extended, folded, framed
from .loop import call_each

__all__: list[str] = []  # its entries are in BATCHING


def _hidden(x: Batched) -> tuple[int, ...]:
    return tuple(level.size for level in x.levels)


@batch(np.reshape)
def _reshape(a: Batched, /, shape: Any = None, order: Any = "C", *, copy: Any = None) -> Any:
    shape = (shape,) if np.ndim(shape) == 0 else tuple(shape)
    if -1 in shape:  # the hidden axes may be empty, and then NumPy could not tell
        known = -math.prod(shape)
        if known <= 0 or a.size % known:
            raise ValueError(f"cannot reshape array of size {a.size} into shape {shape}")
        shape = tuple(a.size // known if n == -1 else n for n in shape)
    if math.prod(shape) != a.size:
        raise ValueError(f"cannot reshape array of size {a.size} into shape {shape}")
    if order != "F":
        return hide(a.whole.reshape(_hidden(a) + shape), a.levels)
    return a.transpose().reshape(shape[::-1]).transpose()


@batch(np.ravel)
def _ravel(a: Batched, order: Any = "C") -> Any:
    flags = a.flags
    if not (flags.f_contiguous if order == "F" else flags.c_contiguous):
        a = a.copy()  # as NumPy does, even where no copy is needed
    return _reshape(a, (a.size,), "F" if order == "F" else "C")


@batch(np.transpose)
def _transpose(a: Batched, axes: Any = None) -> Any:
    return a.transpose(axes)


@batch(np.swapaxes)
def _swapaxes(a: Batched, axis1: int, axis2: int) -> Any:
    return a.swapaxes(axis1, axis2)


@batch(np.moveaxis)
def _moveaxis(a: Batched, source: Any, destination: Any) -> Any:
    return hide(np.moveaxis(a.whole, axes_of(a, source), axes_of(a, destination)), a.levels)


@batch(np.squeeze)
def _squeeze(a: Batched, axis: Any = None) -> Any:
    axes = tuple(i for i, n in enumerate(a.shape) if n == 1) if axis is None else axis
    return hide(a.whole.squeeze(axes_of(a, axes)), a.levels) if axes != () else a


@batch(np.expand_dims)
def _expand_dims(a: Batched, axis: Any) -> Any:
    new = normalize_axis_tuple(axis, a.ndim + (len(axis) if np.ndim(axis) else 1))
    return hide(np.expand_dims(a.whole, tuple(len(a.levels) + i for i in new)), a.levels)


@batch(cast)
def _cast(x: Batched, dtype: Any) -> Any:
    return hide(cast(x.whole, dtype), x.levels)


@batch(np.copy)
def _copy(a: Batched, order: Any = "K", subok: bool = False) -> Any:
    return a.copy()


@batch(np.real)
def _real(x: Batched) -> Any:
    return x.real


@batch(np.imag)
def _imag(x: Batched) -> Any:
    return x.imag


@batch(np.broadcast_to, expand)
def _broadcast_to(x: Batched, shape: Any, subok: bool = False) -> Any:
    shape = (shape,) if np.ndim(shape) == 0 else tuple(shape)
    h = len(x.levels)
    whole = x.whole.reshape(x.whole.shape[:h] + (1,) * (len(shape) - x.ndim) + x.whole.shape[h:])
    return hide(np.broadcast_to(whole, x.whole.shape[:h] + shape), x.levels)


@batch(np.flip)
def _flip(m: Batched, axis: Any = None) -> Any:
    return hide(np.flip(m.whole, axes_of(m, axis)), m.levels)


@batch(np.roll)
def _roll(a: Batched, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        return _roll(a.reshape(-1), shift, 0).reshape(a.shape)
    return hide(np.roll(a.whole, shift, axes_of(a, axis)), a.levels)


@batch(np.repeat)
def _repeat(a: Batched, repeats: Any, axis: Any = None) -> Any:
    a, axis = (a.reshape(-1), 0) if axis is None else (a, axis)
    return hide(np.repeat(a.whole, repeats, axes_of(a, axis)), a.levels)


@batch(np.tile)
def _tile(A: Batched, reps: Any) -> Any:
    reps = tuple(reps) if np.ndim(reps) else (reps,)
    n = max(A.ndim, len(reps))
    A = _reshape(A, (1,) * (n - A.ndim) + A.shape)
    return hide(np.tile(A.whole, (1,) * len(A.levels) + (1,) * (n - len(reps)) + reps), A.levels)


@batch(np.diagonal)
def _diagonal(a: Batched, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return hide(np.diagonal(a.whole, offset, *axes_of(a, (axis1, axis2))), a.levels)


@batch(embed_diagonal)
def _embed_diagonal(g: Batched, shape: Any, offset: int, axis1: int, axis2: int) -> Any:
    h, n = len(g.levels), len(shape)
    return hide(
        embed_diagonal(g.whole, _hidden(g) + tuple(shape), offset, h + axis1 % n, h + axis2 % n),
        g.levels,
    )


@batch(np.diag)
def _diag(v: Batched, k: int = 0) -> Any:
    if v.ndim == 2:
        return _diagonal(v, k)
    n = v.size + abs(k)
    return _embed_diagonal(v, (n, n), k, 0, 1)


@batch(np.trace)
def _trace(a: Batched, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    axis1, axis2 = axes_of(a, (axis1, axis2))
    return hide(np.trace(a.whole, offset, axis1, axis2, dtype), a.levels)


def _triangle(function: Any) -> Any:
    def body(m: Batched, k: int = 0) -> Any:
        if m.ndim == 1:  # NumPy makes a square of it
            m = _broadcast_to(m, (m.size, m.size))
        return hide(function(m.whole, k), m.levels)

    return body


batch(np.tril)(_triangle(np.tril))
batch(np.triu)(_triangle(np.triu))


@batch(sliding_window_view)
def _windows(x: Batched, window_shape: Any, axis: Any = None, **kwargs: Any) -> Any:
    return hide(sliding_window_view(x.whole, window_shape, axes_of(x, axis), **kwargs), x.levels)


# -- lists of arrays


def _listed(arrays: Any) -> tuple[list[Any], Any]:
    """The arrays with all their levels."""
    levels = union(map(levels_of, arrays))
    return [widened(a if hasattr(a, "shape") else np.asarray(a), levels).whole for a in arrays], levels


@batch(np.concatenate)
def _concatenate(arrays: Any, axis: Any = 0, out: Any = None, **kwargs: Any) -> Any:
    if axis is None:
        arrays, axis = [np.reshape(a, -1) for a in arrays], 0
    wholes, levels = _listed(arrays)
    h = len(levels)
    ndim = wholes[0].ndim - h
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return hide(np.concatenate(wholes, axis=h + axis % ndim, **kwargs), levels)


@batch(np.stack)
def _stack(arrays: Any, axis: int = 0, out: Any = None, **kwargs: Any) -> Any:
    wholes, levels = _listed([*arrays])
    ndim = wholes[0].ndim - len(levels) + 1
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return hide(np.stack(wholes, axis=len(levels) + axis % ndim, **kwargs), levels)


@batch(collect)
def _collect(xs: Any, shape: tuple[int, ...]) -> Any:
    arrays, levels = _listed(xs)
    h = len(levels)
    whole = np.stack(arrays, axis=h)
    return hide(whole.reshape(whole.shape[:h] + shape + whole.shape[h + 1 :]), levels)


# -- padding


@batch(framed)
def _framed(x: Batched, widths: Any, constant_values: Any = None) -> Any:
    if type(x) is not Batched or type(constant_values) is Batched or np.ndim(constant_values):
        return call_each(framed, x, widths, constant_values)
    return hide(framed(x.whole, (((0, 0),) * len(x.levels)) + tuple(map(tuple, widths)), constant_values), x.levels)


@batch(extended)
def _extended(x: Batched, widths: Any, mode: str) -> Any:
    return hide(extended(x.whole, ((0, 0),) * len(x.levels) + tuple(map(tuple, widths)), mode), x.levels)


@batch(folded)
def _folded(g: Batched, widths: Any, mode: str) -> Any:
    return hide(folded(g.whole, ((0, 0),) * len(g.levels) + tuple(map(tuple, widths)), mode), g.levels)
