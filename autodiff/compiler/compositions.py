"""Functions that are made of others: what the recorder notes in their place, so that it can be fused.

As in primitives, each takes the recorder and the function's own arguments, and returns NotImplemented for what it does
not cover. They compute what NumPy computes, up to rounding.
"""

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..rules.special import erfc
from .primitives import is_real, primitive

__all__: list[str] = []  # they are in the registry


@primitive(np.outer)
def _outer(recorder: Any, a: Any, b: Any, out: Any = None) -> Any:
    if out is not None or not is_real(a, b):
        return NotImplemented
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


@primitive(np.inner)
def _inner(recorder: Any, a: Any, b: Any) -> Any:
    if not is_real(a, b) or np.ndim(a) != 1 or np.ndim(b) != 1:
        return NotImplemented
    return recorder.record(np.dot, (a, b), {})


@primitive(np.vdot)
def _vdot(recorder: Any, a: Any, b: Any) -> Any:
    if not is_real(a, b):
        return NotImplemented
    return recorder.record(np.dot, (np.reshape(a, -1), np.reshape(b, -1)), {})


@primitive(np.linalg.norm)
def _norm(recorder: Any, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if not is_real(x) or not x.size:
        return NotImplemented
    options = {"axis": axis, "keepdims": keepdims}
    if ord is None or (ord == "fro" and (x.ndim if axis is None else np.size(axis)) == 2):
        return np.sqrt(recorder.record(np.sum, (x * x,), options))
    if (x.ndim if axis is None else np.size(axis)) != 1 or type(ord) not in (int, float):
        return NotImplemented
    if ord in (np.inf, -np.inf):
        return recorder.record(np.max if ord > 0 else np.min, (np.abs(x),), options)
    if ord == 0:
        return recorder.record(np.sum, ((x != 0).astype(x.dtype),), options)
    if ord == 1:
        return recorder.record(np.sum, (np.abs(x),), options)
    if ord == 2:
        return np.sqrt(recorder.record(np.sum, (x * x,), options))
    return recorder.record(np.sum, (np.abs(x) ** ord,), options) ** (1 / ord)


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
    if any(x is not None for x in (*more, *named.values())) or not is_real(a):
        return NotImplemented
    return recorder.record(np.sum, (np.diagonal(a, offset, axis1, axis2),), {"axis": -1})


@primitive(np.std)
def _std(recorder: Any, a: Any, *args: Any, **kwargs: Any) -> Any:
    variance = recorder.record(np.var, (a, *args), kwargs) if is_real(a) and a.size else NotImplemented
    return NotImplemented if variance is NotImplemented else np.sqrt(variance)


@primitive(np.count_nonzero)
def _count_nonzero(recorder: Any, a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    if a.dtype.kind not in "bif":
        return NotImplemented
    return recorder.record(np.sum, (a != 0,), {"axis": axis, "keepdims": keepdims, "dtype": int})


@primitive(np.round)
def _round(recorder: Any, a: Any, decimals: Any = 0, out: Any = None) -> Any:
    if out is not None or type(decimals) is not int or abs(decimals) > 22 or not is_real(a):
        return NotImplemented
    scale = 10.0 ** abs(decimals)
    if not decimals:
        return np.rint(a)
    return np.rint(a * scale) / scale if decimals > 0 else np.rint(a / scale) * scale


@primitive(np.sinc)
def _sinc(recorder: Any, x: Any) -> Any:
    if not is_real(x):
        return NotImplemented
    y = np.pi * recorder.record(np.where, (x == 0, np.asarray(1e-20, x.dtype), x), {})
    return np.sin(y) / y


@primitive(np.float_power)
def _float_power(recorder: Any, x: Any, y: Any) -> Any:
    if any(np.iscomplexobj(v) for v in (x, y)) or not hasattr(x, "buffer"):
        return NotImplemented
    return np.power(x.astype(float), y.astype(float) if hasattr(y, "dtype") else float(y))


@primitive(np.modf)
def _modf(recorder: Any, x: Any) -> Any:
    if not is_real(x):
        return NotImplemented
    finite = recorder.record(np.where, (np.isinf(x), np.zeros((), x.dtype), x), {})
    return np.copysign(finite - np.trunc(finite), x), np.trunc(x)


@primitive(np.divmod)
def _divmod(recorder: Any, x: Any, y: Any) -> Any:
    return np.floor_divide(x, y), np.remainder(x, y)


def _logaddexp(function: Any, exp: Any, log: Any, of_two: float) -> None:
    """As NumPy computes it: where the two are equal, also where both are infinite, the larger and the log of two."""

    def body(recorder: Any, x: Any, y: Any) -> Any:
        kinds = {v.dtype.char if hasattr(v, "dtype") else type(v) for v in (x, y)} - {int, float}
        if kinds not in ({"f"}, {"d"}):
            return NotImplemented
        more = log(exp(-np.abs(x - y)))
        return recorder.record(np.where, (x == y, x + of_two, np.maximum(x, y) + more), {})

    primitive(function)(body)


_logaddexp(np.logaddexp, np.exp, np.log1p, np.log(2.0).item())
_logaddexp(np.logaddexp2, np.exp2, lambda x: np.log1p(x) * np.log2(np.e).item(), 1.0)


@primitive(np.nan_to_num)
def _nan_to_num(recorder: Any, x: Any, copy: Any = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    if copy is not True or not is_real(x) or any(np.ndim(v) for v in (nan, posinf, neginf)):
        return NotImplemented
    info = np.finfo(x.dtype)
    top, bottom = info.max if posinf is None else posinf, info.min if neginf is None else neginf
    y = x
    for test, value in ((np.isnan(x), nan), (x == np.inf, top), (x == -np.inf, bottom)):
        y = recorder.record(np.where, (test, np.asarray(value, x.dtype), y), {})
    return y


@primitive(np.isclose)
def _isclose(recorder: Any, a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> Any:
    if not all(type(v) in (int, float) or is_real(v) for v in (a, b, rtol, atol)):
        return NotImplemented
    near = ((abs(a - b) <= atol + rtol * abs(b)) & np.isfinite(b)) | (a == b)
    return near | (np.isnan(a) & np.isnan(b)) if equal_nan else near


@primitive(np.allclose)
def _allclose(recorder: Any, a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> Any:
    near = _isclose(recorder, a, b, rtol, atol, equal_nan)
    return NotImplemented if near is NotImplemented else bool(recorder.record(np.all, (near,), {}))


def _extremum_of_numbers(function: Any, fold: Any, larger: Any, least: float) -> None:
    def body(recorder: Any, a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **more: Any) -> Any:
        if out is not None or any(v is not np._NoValue for v in more.values()) or not is_real(a) or not a.size:
            return NotImplemented
        options = {"axis": axis, "keepdims": keepdims is not np._NoValue and bool(keepdims)}
        found = recorder.record(fold, (larger(a, least),), options)
        nothing = recorder.record(np.all, (np.isnan(a),), options)
        return recorder.record(np.where, (nothing, np.asarray(np.nan, a.dtype), found), {})

    primitive(function)(body)


_extremum_of_numbers(np.nanmax, np.max, np.fmax, -np.inf)
_extremum_of_numbers(np.nanmin, np.min, np.fmin, np.inf)


@primitive(erfc)
def _erfc(recorder: Any, x: Any) -> Any:
    if not is_real(x) or not hasattr(x, "buffer"):
        return NotImplemented
    return recorder.add("erfc", [recorder.node(x, x.dtype)], (), erfc(x.data))
