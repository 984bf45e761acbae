"""Functions that put elements elsewhere, in terms of views, writes, and gathers by constant indices.

As in primitives, each takes the recorder and the function's own arguments, and returns NotImplemented for what it does
not cover.
"""

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from .masks import nonzero
from .primitives import primitive

__all__: list[str] = []  # they are in the registry

BY_INDEX = frozenset(("edge", "reflect", "symmetric", "wrap"))  # what pad puts around is elements of the array


@primitive(np.roll)
def _roll(recorder: Any, a: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        if type(shift) is not int or not a.size:
            return NotImplemented
        return np.reshape(_rolled(np.reshape(a, -1), shift, 0), a.shape)
    axes = normalize_axis_tuple(axis, a.ndim, allow_duplicate=True)
    shifts = shift if isinstance(shift, (tuple, list)) else (shift,) * len(axes)
    if any(type(s) is not int for s in shifts) or not a.size:
        return NotImplemented
    if len(axes) == 1:
        axes *= len(shifts)
    if len(axes) != len(shifts):
        return NotImplemented
    for s, at in zip(shifts, axes, strict=True):
        a = _rolled(a, s, at)
    return a if axes else a.copy()


def _rolled(x: Any, shift: int, axis: int) -> Any:
    n, lead = x.shape[axis], (slice(None),) * axis
    k = n - shift % n
    return np.concatenate([x[(*lead, slice(k, None))], x[(*lead, slice(None, k))]], axis) if k < n else x.copy()


def _shift(function: Any, forward: bool) -> None:
    def body(recorder: Any, x: Any, axes: Any = None) -> Any:
        axes = range(x.ndim) if axes is None else axes
        axes = normalize_axis_tuple(axes if np.iterable(axes) else (axes,), x.ndim, allow_duplicate=True)
        shifts = tuple([x.shape[a] // 2 if forward else -(x.shape[a] // 2) for a in axes])
        return recorder.record(np.roll, (x, shifts, axes), {}) if axes else NotImplemented

    primitive(function)(body)


_shift(np.fft.fftshift, True)
_shift(np.fft.ifftshift, False)


@primitive(np.tile)
def _tile(recorder: Any, A: Any, reps: Any) -> Any:
    reps = tuple(reps) if isinstance(reps, (tuple, list)) else (reps,)
    if not hasattr(A, "buffer") or any(type(r) is not int or r < 0 for r in reps):
        return NotImplemented
    shape = (1,) * (len(reps) - A.ndim) + A.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    whole = [k for n, r in zip(shape, reps, strict=True) for k in (r, n)]
    x = A.reshape([k for n in shape for k in (1, n)])
    return _own(recorder, np.broadcast_to(x, whole).reshape([n * r for n, r in zip(shape, reps, strict=True)]), A)


@primitive(np.repeat)
def _repeat(recorder: Any, a: Any, repeats: Any, axis: Any = None) -> Any:
    if not hasattr(a, "buffer"):
        return NotImplemented
    x, at = (a.reshape(-1), 0) if axis is None else (a, normalize_axis_index(axis, a.ndim))
    if isinstance(repeats, (list, tuple)) and all(type(r) is int for r in repeats):
        return x[(slice(None),) * at + (np.repeat(np.arange(x.shape[at]), repeats),)]
    if type(repeats) is not int or repeats < 0:
        return NotImplemented
    whole = (*x.shape[: at + 1], repeats, *x.shape[at + 1 :])
    spread = np.broadcast_to(x.reshape((*x.shape[: at + 1], 1, *x.shape[at + 1 :])), whole)
    shape = (*x.shape[:at], x.shape[at] * repeats, *x.shape[at + 1 :])
    return _own(recorder, spread.reshape(shape), a)


def _own(recorder: Any, x: Any, source: Any) -> Any:
    """In memory of its own, as NumPy gives it."""
    return recorder.copy(x) if x.buffer is source.buffer else x


@primitive(np.pad)
def _pad(recorder: Any, array: Any, pad_width: Any, mode: Any = "constant", **more: Any) -> Any:
    if more or type(mode) is not str or mode not in BY_INDEX or not hasattr(array, "buffer") or 0 in array.shape:
        return NotImplemented
    try:
        widths = np.broadcast_to(np.asarray(pad_width), (array.ndim, 2))
    except (TypeError, ValueError):
        return NotImplemented
    if widths.dtype.kind != "i":
        return NotImplemented
    for axis, width in enumerate(widths.tolist()):
        if any(width):
            index = np.pad(np.arange(array.shape[axis]), width, mode=mode)  # type: ignore[call-overload]
            array = array[(slice(None),) * axis + (index,)]
    return array


@primitive(np.diag)
def _diag(recorder: Any, v: Any, k: Any = 0) -> Any:
    if not hasattr(v, "buffer") or v.ndim != 1 or type(k) is not int or not v.size:
        return NotImplemented
    n = v.size + abs(k)
    made = recorder.filled(0, (n * n,), v.dtype)
    start = k if k >= 0 else -k * n
    made[start : start + (v.size - 1) * (n + 1) + 1 : n + 1] = v
    return made.reshape(n, n)


@primitive(np.nonzero)
def _nonzero(recorder: Any, a: Any) -> Any:
    if a.dtype.char not in "?ilfd" or not a.ndim:
        return NotImplemented
    found = nonzero(recorder, a if a.dtype == bool else a != 0)
    return NotImplemented if found is None else tuple([index.astype(np.intp) for index in found])


@primitive(np.flatnonzero)
def _flatnonzero(recorder: Any, a: Any) -> Any:
    return recorder.record(np.nonzero, (a.reshape(-1),), {})[0]


@primitive(np.ravel)
def _ravel(recorder: Any, a: Any, order: Any = "C") -> Any:
    if order not in ("C", "F"):
        return NotImplemented
    return recorder.record(np.reshape, (a.transpose() if order == "F" else a, -1), {})


@primitive(np.reshape)
def _reshape(recorder: Any, a: Any, /, shape: Any, order: Any = "C", *, copy: Any = None) -> Any:
    if order != "F" or copy is not None or not hasattr(a, "buffer"):
        return NotImplemented
    shape = a.data.reshape(shape, order="F").shape
    return recorder.record(np.reshape, (a.transpose(), shape[::-1]), {}).transpose()
