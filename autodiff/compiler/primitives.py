"""NumPy's functions in terms of a graph's operations: what the recorder does not leave to a call.

Each takes the recorder and the function's own arguments. It returns NotImplemented for what it does not cover.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from .operands import plain
from .orders import note_order

__all__ = ["CALLED", "FLOATS", "MOST_PRODUCTS", "PRIMITIVES", "STATIC", "is_real", "primitive"]

PRIMITIVES: dict[Any, Callable[..., Any]] = {}
FLOATS = frozenset("fd")

# answered by shapes and dtypes
STATIC = frozenset(
    (np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj, np.may_share_memory)
    + (np.shares_memory, np.min_scalar_type, np.common_type, np.einsum_path)
)

# functions of ours that are computed as they are
CALLED = frozenset(("insertion", "choice"))


def is_real(*arrays: Any) -> bool:
    """Whether these are arrays of the floats that kernels compute."""
    return all(hasattr(x, "dtype") and x.dtype.char in FLOATS for x in arrays)


def primitive(*functions: Any) -> Callable[[Any], Any]:
    """Declare what is recorded in the place of these functions."""

    def declare(body: Any) -> Any:
        for function in functions:
            PRIMITIVES[function] = body
        return body

    return declare


# -- reductions


def _reduction(op: str, function: Any) -> None:
    def body(
        recorder: Any,
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        if out is not None or not hasattr(a, "buffer"):
            return NotImplemented
        if initial not in (None, np._NoValue) or (where is not True and where is not np._NoValue):
            return _chosen(recorder, op, function, a, axis, dtype, keepdims, initial, where)
        keepdims = keepdims is not np._NoValue and bool(keepdims)
        axes = _axes(a, axis)
        options = {"dtype": dtype} if dtype is not None else {}
        data = np.asarray(function(a.data, axis=axes, **options))
        if data.dtype.char not in "?ilqfd" or a.dtype.char not in "?ilqfd":
            return NotImplemented
        made = recorder.add(op, [recorder.node(a, data.dtype)], (axes,), data)
        return _kept(recorder, a, made, axes) if keepdims else made

    def extremum(recorder: Any, a: Any, axis: Any = None, out: Any = None, *args: Any, **kwargs: Any) -> Any:
        return body(recorder, a, axis, None, out, *args, **kwargs)

    PRIMITIVES[function] = body if op in ("sum", "prod") else extremum


def _chosen(
    recorder: Any, op: str, function: Any, a: Any, axis: Any, dtype: Any, keepdims: Any, initial: Any, where: Any
) -> Any:
    """A reduction that starts with another number, or leaves elements out."""
    if a.dtype.char not in FLOATS or dtype is not None or not a.size or op not in COMBINED or np.ndim(initial):
        return NotImplemented
    begins = initial not in (None, np._NoValue)
    if begins and type(initial) not in (int, float):
        return NotImplemented
    if where is not True and where is not np._NoValue:
        neutral = {"sum": 0.0, "prod": 1.0}.get(op, initial if begins else None)
        if neutral is None:
            return NotImplemented
        whole = np.broadcast_shapes(a.shape, np.shape(where))
        if whole != a.shape:
            return NotImplemented
        a = recorder.record(np.where, (where, a, np.asarray(neutral, a.dtype)), {})
    found = recorder.record(function, (a,), {"axis": axis, "keepdims": keepdims})
    return COMBINED[op](found, initial) if begins else found


COMBINED = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}


def _axes(a: Any, axis: Any) -> tuple[int, ...]:
    """The axes that are reduced; NumPy lets an array without axes have one."""
    if axis is None or not a.ndim:
        return tuple(range(a.ndim))
    return tuple(sorted(normalize_axis_tuple(axis, a.ndim)))


def _kept(recorder: Any, a: Any, made: Any, axes: tuple[int, ...]) -> Any:
    shape = tuple([1 if i in axes else n for i, n in enumerate(a.shape)])
    return recorder.view(made, made.data.reshape(shape))


for _op, _function in {
    "sum": np.sum,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
    "any": np.any,
    "all": np.all,
}.items():
    _reduction(_op, _function)


@primitive(np.mean)
def _mean(
    recorder: Any, a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, **more: Any
) -> Any:
    if out is not None or dtype is not None or more.get("where", True) is not True or a.dtype.char not in FLOATS:
        return NotImplemented
    if not a.size or (not a.ndim and axis is not None):
        return NotImplemented
    total = recorder.record(np.sum, (a,), {"axis": axis, "keepdims": keepdims})
    return total / (a.size // total.size)


@primitive(np.var)
def _var(
    recorder: Any,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    **more: Any,
) -> Any:
    if out is not None or dtype is not None or more or a.dtype.char not in FLOATS:
        return NotImplemented
    if not a.size or (not a.ndim and axis is not None):
        return NotImplemented
    centred = a - _mean(recorder, a, axis, keepdims=True)
    total = recorder.record(np.sum, (centred * centred,), {"axis": axis, "keepdims": keepdims})
    return total / max(a.size // total.size - ddof, 0)


def _arg(op: str, function: Any) -> None:
    def body(recorder: Any, a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        if out is not None or not a.ndim:
            return NotImplemented
        x = a if axis is not None else recorder.record(np.reshape, (a, -1), {})
        at = 0 if axis is None else normalize_axis_index(axis, x.ndim)
        data = np.asarray(function(x.data, axis=at))
        made = recorder.add(op, [recorder.node(x)], (at,), data)
        if keepdims is True:
            return _kept(recorder, a, made, tuple(range(a.ndim)) if axis is None else (at,))
        return made

    PRIMITIVES[function] = body


_arg("argmax", np.argmax)
_arg("argmin", np.argmin)


def _scan(op: str, function: Any, accumulate: Any) -> None:
    def body(recorder: Any, a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        if out is not None or not hasattr(a, "buffer") or not a.ndim:
            return NotImplemented
        x = a if axis is not None else recorder.record(np.reshape, (a, -1), {})
        axis = normalize_axis_index(0 if axis is None else axis, x.ndim)
        data = accumulate(x.data, axis=axis, dtype=dtype)
        if data.dtype.char not in "ilqfd" or a.dtype.char not in "?ilqfd":
            return NotImplemented
        return recorder.add(op, [recorder.node(x, data.dtype)], (axis,), data)

    def accumulated(recorder: Any, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
        return body(recorder, array, axis, dtype, out) if axis is not None else NotImplemented

    if function is not None:
        PRIMITIVES[function] = body
    PRIMITIVES[accumulate] = accumulated


_scan("cumsum", np.cumsum, np.add.accumulate)
_scan("cumprod", np.cumprod, np.multiply.accumulate)
_scan("cummax", None, np.maximum.accumulate)
_scan("cummin", None, np.minimum.accumulate)


# -- products


MOST_PRODUCTS = 1 << 20  # that are summed as elements: recording has them all in memory


@primitive(np.matmul)
def _matmul(recorder: Any, a: Any, b: Any, **options: Any) -> Any:
    if options or not (hasattr(a, "shape") and hasattr(b, "shape")):
        return NotImplemented
    x, y = recorder.lifted(a), recorder.lifted(b)
    if not (hasattr(x, "buffer") and hasattr(y, "buffer")) or not x.ndim or not y.ndim:
        return NotImplemented
    dtype = x.dtype if x.dtype is y.dtype else np.result_type(x.dtype, y.dtype)
    if dtype.char in "?il":
        return _counted(recorder, x, y, np.matmul(x.data, y.data))
    if dtype.char not in FLOATS:
        return NotImplemented
    if x.ndim == y.ndim == 2 and x.data.shape[1]:
        return recorder.add("matmul", [recorder.node(x, dtype), recorder.node(y, dtype)], (), np.matmul(x.data, y.data))
    left = x if x.ndim > 1 else recorder.view(x, x.data[None])
    right = y if y.ndim > 1 else recorder.view(y, y.data[:, None])
    full = np.matmul(left.data, right.data)
    shape = full.shape[: full.ndim - 2] + full.shape[full.ndim - 2 : full.ndim - 1] * (x.ndim > 1)
    shape += full.shape[-1:] * (y.ndim > 1)
    if not left.shape[-1]:
        return recorder.filled(0, shape, dtype)
    made = recorder.add("matmul", [recorder.node(left, dtype), recorder.node(right, dtype)], (), full)
    return made if full.shape == shape else recorder.view(made, made.data.reshape(shape))


def _counted(recorder: Any, x: Any, y: Any, data: Any) -> Any:
    """A product of matrices of integers or truth values, which BLAS does not have."""
    if data.size * x.shape[-1] > MOST_PRODUCTS:
        return NotImplemented
    dtype = data.dtype
    left = x[..., :, None] if y.ndim > 1 else x
    right = y if x.ndim == 1 or y.ndim == 1 else y[..., None, :, :]
    if dtype.kind == "b":
        return recorder.record(np.any, (left & right,), {"axis": -2 if y.ndim > 1 else -1})
    terms = recorder.cast(left, dtype, False) * recorder.cast(right, dtype, False)
    return recorder.record(np.sum, (terms,), {"axis": -2 if y.ndim > 1 else -1, "dtype": dtype})


@primitive(np.dot)
def _dot(recorder: Any, a: Any, b: Any, **options: Any) -> Any:
    if np.ndim(a) > 2 or np.ndim(b) > 2 or options:
        return NotImplemented
    if not np.ndim(a) or not np.ndim(b):
        return a * b
    return _matmul(recorder, a, b)


# -- selections


@primitive(np.where)
def _where(recorder: Any, condition: Any, *cases: Any) -> Any:
    if len(cases) != 2:
        return NotImplemented
    data = np.asarray(np.where(plain(condition), *plain(tuple(cases))))
    if data.dtype.char not in "?ilqfd" or any(isinstance(c, (list, tuple)) for c in (condition, *cases)):
        return NotImplemented
    nodes = [recorder.node(condition, np.dtype(bool)), *[recorder.node(c, data.dtype) for c in cases]]
    return recorder.add("where", nodes, (), data)


@primitive(np.clip)
def _clip(recorder: Any, a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **more: Any) -> Any:
    a_min, a_max = more.pop("min", a_min), more.pop("max", a_max)
    if out is not None or more:
        return NotImplemented
    low = a if a_min is None or a_min is np._NoValue else np.maximum(a, a_min)
    return low if a_max is None or a_max is np._NoValue else np.minimum(low, a_max)


@primitive(np.take)
def _take(recorder: Any, a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
    indices = np.asarray(indices) if isinstance(indices, np.integer) else indices
    if out is not None or mode != "raise" or (type(indices) is not int and not hasattr(indices, "dtype")):
        return NotImplemented
    x = recorder.lifted(a)
    if not hasattr(x, "buffer") or (type(indices) is not int and indices.dtype.kind != "i"):
        return NotImplemented
    if axis is None:
        return recorder.record(np.reshape, (x, -1), {})[indices]
    return x[(slice(None),) * normalize_axis_index(axis, x.ndim) + (indices,)] if x.ndim else NotImplemented


@primitive(np.take_along_axis)
def _take_along_axis(recorder: Any, arr: Any, indices: Any, axis: Any = -1) -> Any:
    x = recorder.lifted(arr)
    if not hasattr(x, "buffer") or not hasattr(indices, "dtype") or indices.dtype.kind != "i" or axis is None:
        return NotImplemented
    if indices.ndim != x.ndim:
        return NotImplemented
    axis = normalize_axis_index(axis, x.ndim)
    key = [np.arange(n).reshape((-1,) + (1,) * (x.ndim - 1 - i)) for i, n in enumerate(x.shape)]
    return x[(*key[:axis], indices, *key[axis + 1 :])]


@primitive(np.copyto)
def _copyto(recorder: Any, dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> Any:
    if not hasattr(dst, "buffer"):
        return NotImplemented
    if hasattr(src, "dtype") and not np.can_cast(src.dtype, dst.dtype, casting):
        raise TypeError(f"Cannot cast array data from {src.dtype!r} to {dst.dtype!r} according to the rule {casting!r}")
    recorder.setitem(dst, ..., src if where is True else recorder.record(np.where, (where, src, dst), {}))
    return None


# -- arrays that are made


def _ordered(a: Any, order: Any, made: Any) -> Any:
    """A new array, in the order in memory of `a` if that is asked for: noted, as it is in C's."""
    if order != "C":
        note_order(made, plain(a) if order in ("A", "K") else made.data.T)
    return made


def _like(function: Any, value: Any) -> None:
    def body(
        recorder: Any, a: Any, dtype: Any = None, order: Any = "K", subok: Any = True, shape: Any = None, **more: Any
    ) -> Any:
        dtype = a.dtype if dtype is None else np.dtype(dtype)
        shape = a.shape if shape is None else shape
        made = recorder.filled(value, tuple(shape) if np.iterable(shape) else (shape,), dtype)
        return _ordered(a, order, made)

    PRIMITIVES[function] = body


_like(np.zeros_like, 0)
_like(np.ones_like, 1)
_like(np.empty_like, 0)


@primitive(np.full_like)
def _full_like(
    recorder: Any, a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: Any = True,
    shape: Any = None, **more: Any,
) -> Any:  # fmt: skip
    if hasattr(fill_value, "buffer") or np.ndim(fill_value):
        return NotImplemented
    dtype = a.dtype if dtype is None else np.dtype(dtype)
    return _ordered(a, order, recorder.filled(fill_value, a.shape if shape is None else shape, dtype))


@primitive(np.real)
def _real(recorder: Any, val: Any) -> Any:
    return val.real


@primitive(np.imag)
def _imag(recorder: Any, val: Any) -> Any:
    return val.imag if val.dtype.kind == "c" else NotImplemented


@primitive(np.copy)
def _copy(recorder: Any, a: Any, order: Any = "K", subok: Any = False) -> Any:
    return recorder.copy(a, order)


@primitive(np.astype)
def _astype(recorder: Any, x: Any, dtype: Any, /, *, copy: Any = True, device: Any = None) -> Any:
    return recorder.cast(x, np.dtype(dtype), copy)


def _joined(function: Any, stacked: bool) -> None:
    def body(recorder: Any, arrays: Any, axis: Any = 0, out: Any = None, **more: Any) -> Any:
        if out is not None or more.get("dtype") is not None or more.get("casting", "same_kind") != "same_kind":
            return NotImplemented
        if axis is None and not stacked:
            arrays, axis = [recorder.record(np.reshape, (recorder.lifted(x), -1), {}) for x in arrays], 0
        data = function([getattr(x, "data", x) if hasattr(x, "buffer") else x for x in arrays], axis)
        if data.dtype.char not in "?ilqfd":
            return NotImplemented
        made = recorder.filled(0, data.shape, data.dtype)
        note_order(made, data)
        axis, at = normalize_axis_index(axis, data.ndim), 0
        for x in arrays:
            n = 1 if stacked else np.shape(x)[axis]
            made[(slice(None),) * axis + ((at,) if stacked else (slice(at, at + n),))] = x
            at += n
        return made

    PRIMITIVES[function] = body


_joined(np.concatenate, False)
_joined(np.stack, True)
