"""Functions that are made of others: what the recorder notes in their place, so that it can be fused.

As in primitives, each takes the recorder and the function's own arguments, and returns NotImplemented for what it does
not cover. They compute what NumPy computes, up to rounding.
"""

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..rules.special import erfc
from .primitives import FLOATS, primitive

__all__: list[str] = []  # they are in the registry


def _is_real(*arrays: Any) -> bool:
    return all(hasattr(x, "dtype") and x.dtype.char in FLOATS for x in arrays)


@primitive(np.outer)
def _outer(recorder: Any, a: Any, b: Any, out: Any = None) -> Any:
    if out is not None or not _is_real(a, b):
        return NotImplemented
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


@primitive(np.inner)
def _inner(recorder: Any, a: Any, b: Any) -> Any:
    if not _is_real(a, b) or np.ndim(a) != 1 or np.ndim(b) != 1:
        return NotImplemented
    return recorder.record(np.dot, (a, b), {})


@primitive(np.vdot)
def _vdot(recorder: Any, a: Any, b: Any) -> Any:
    if not _is_real(a, b):
        return NotImplemented
    return recorder.record(np.dot, (np.reshape(a, -1), np.reshape(b, -1)), {})


@primitive(np.linalg.norm)
def _norm(recorder: Any, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord is not None or not _is_real(x):
        return NotImplemented
    return np.sqrt(recorder.record(np.sum, (x * x,), {"axis": axis, "keepdims": keepdims}))


@primitive(np.roll)
def _roll(recorder: Any, a: Any, shift: Any, axis: Any = None) -> Any:
    if type(shift) is not int or (axis is not None and type(axis) is not int) or not a.size:
        return NotImplemented
    x = a if axis is not None else np.reshape(a, -1)
    (at,) = normalize_axis_tuple(0 if axis is None else axis, x.ndim)
    n = x.shape[at]
    lead, k = (slice(None),) * at, n - shift % n
    made = np.concatenate([x[(*lead, slice(k, None))], x[(*lead, slice(None, k))]], at) if k < n else x.copy()
    return made if axis is not None else np.reshape(made, a.shape)


@primitive(np.diff)
def _diff(recorder: Any, a: Any, n: int = 1, axis: int = -1, *ends: Any, **named: Any) -> Any:
    if (
        any(x is not np._NoValue for x in (*ends, *named.values()))
        or type(n) is not int
        or n < 1
        or a.dtype.kind == "b"
    ):
        return NotImplemented
    (at,) = normalize_axis_tuple(axis, a.ndim)
    lead = (slice(None),) * at
    for _ in range(n):
        a = a[(*lead, slice(1, None))] - a[(*lead, slice(None, -1))]
    return a


def _triangle(function: Any) -> None:
    def body(recorder: Any, m: Any, k: Any = 0) -> Any:
        if m.ndim < 2 or type(k) is not int:
            return NotImplemented
        kept = recorder.constant(function(np.ones(m.shape[-2:], bool), k))
        return recorder.record(np.where, (kept, m, np.zeros((), m.dtype)), {})

    primitive(function)(body)


_triangle(np.tril)
_triangle(np.triu)


@primitive(np.trace)
def _trace(recorder: Any, a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, *more: Any, **named: Any) -> Any:
    if any(x is not None for x in (*more, *named.values())) or not _is_real(a):
        return NotImplemented
    return recorder.record(np.sum, (np.diagonal(a, offset, axis1, axis2),), {"axis": -1})


@primitive(np.std)
def _std(recorder: Any, a: Any, *args: Any, **kwargs: Any) -> Any:
    variance = recorder.record(np.var, (a, *args), kwargs) if _is_real(a) and a.size else NotImplemented
    return NotImplemented if variance is NotImplemented else np.sqrt(variance)


@primitive(np.count_nonzero)
def _count_nonzero(recorder: Any, a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    if a.dtype.kind not in "bif":
        return NotImplemented
    return recorder.record(np.sum, (a != 0,), {"axis": axis, "keepdims": keepdims, "dtype": int})


@primitive(erfc)
def _erfc(recorder: Any, x: Any) -> Any:
    if not _is_real(x) or not hasattr(x, "buffer"):
        return NotImplemented
    return recorder.add("erfc", [recorder.node(x, x.dtype)], (), erfc(x.data))
