"""What the Python array API standard asks for and NumPy does not have, or not in every version from 2.0 on.

https://data-apis.org/array-api/2024.12
"""

import operator
from typing import Any

import numpy as np

from ..convert import is_array
from ..creation import CREATORS, as_values
from ..value import Value

__all__ = [
    "argsort",
    "asarray",
    "astype",
    "clip",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "expand_dims",
    "finfo",
    "from_dlpack",
    "iinfo",
    "sort",
    "take_along_axis",
    "unstack",
]

_asarray = CREATORS["asarray"]


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: bool | None = None, like: Any = None
) -> Any:
    """`np.asarray`, also of an array of another library, which stays on its device."""
    if not isinstance(a, (np.ndarray, np.generic)):
        a = as_values(a) if is_array(a) else a
    on = {} if isinstance(a, Value) else {"device": device}
    return as_values(_asarray(a, dtype, order, copy=copy, **on))


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """`x` converted to `dtype`; `x` itself if it has that dtype and `copy=False`."""
    x = asarray(x)
    return x if not copy and x.dtype == dtype else x.astype(dtype)


def sort(
    a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: bool = True, descending: bool = False
) -> Any:
    """`np.sort`, and from the greatest to the least with `descending=True`."""
    y = np.sort(asarray(a), axis=axis, kind=kind or ("stable" if stable else None))
    return np.flip(y, axis=-1 if axis is None else axis) if descending else y


def argsort(
    a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: bool = True, descending: bool = False
) -> Any:
    """`np.argsort`; with `descending=True` from the greatest to the least, equal ones in their order."""
    a, kind = asarray(a), kind or ("stable" if stable else None)
    if axis is None:
        a, axis = a.reshape(-1), -1
    if not descending:
        return np.argsort(a, axis=axis, kind=kind)
    places = np.flip(np.argsort(np.flip(a, axis=axis), axis=axis, kind=kind), axis=axis)
    return (a.shape[axis] if a.ndim else 1) - 1 - places


def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """`np.clip`; a bound that is None is none."""
    low, high = a_min if min is None else min, a_max if max is None else max
    return as_values(np.clip(asarray(a), low, high, **({} if out is None else {"out": out})))


def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """`np.count_nonzero`, as a Value also when it is one number."""
    return asarray(np.count_nonzero(asarray(a), axis=axis, keepdims=keepdims))


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """`np.diff`; `prepend` and `append` may be None."""
    ends = {k: asarray(v) for k, v in {"prepend": prepend, "append": append}.items() if v is not None}
    return np.diff(asarray(a), n, axis, **ends)


def expand_dims(a: Any, axis: Any = 0) -> Any:
    """`np.expand_dims`, in front by default."""
    return np.expand_dims(asarray(a), axis)


def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """`np.take_along_axis`, along the last axis by default."""
    return np.take_along_axis(asarray(arr), asarray(indices), axis)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The parts of `x` along an axis."""
    return tuple(np.moveaxis(asarray(x), axis, 0))


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    """`np.cumsum`, starting with 0 if `include_initial=True`."""
    return _cumulative(np.cumsum, 0, x, axis, dtype, include_initial, out)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    """`np.cumprod`, starting with 1 if `include_initial=True`."""
    return _cumulative(np.cumprod, 1, x, axis, dtype, include_initial, out)


def _cumulative(
    function: Any, initial: int, x: Any, axis: int | None, dtype: Any, include_initial: bool, out: Any
) -> Any:
    if out is not None:
        out[...] = _cumulative(function, initial, x, axis, dtype, include_initial, None)
        return out
    x = asarray(x)
    if axis is None:
        if x.ndim > 1:
            raise ValueError(f"{function.__name__}: an array of {x.ndim} axes needs axis=")
        axis = 0
    y = function(x, axis=operator.index(axis), **({} if dtype is None else {"dtype": dtype}))
    if not include_initial:
        return y
    shape = [*y.shape]
    shape[axis] = 1
    return np.concatenate([np.full_like(y, initial, shape=tuple(shape)), y], axis=axis)


def from_dlpack(x: Any, /, *, device: Any = None, copy: Any = None) -> Any:
    """An array of another library as a Value, without copying it."""
    given = {k: v for k, v in {"device": device, "copy": copy}.items() if v is not None}
    return as_values(np.from_dlpack(x, **given))


class _Info:
    """np.finfo or np.iinfo of a dtype or an array, with Python numbers for its limits."""

    def __init__(self, info: Any) -> None:
        self._info = info

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__dict__["_info"], name)
        is_number = isinstance(value, np.generic) and not isinstance(value, (np.longdouble, np.clongdouble))
        return value.item() if is_number else value

    def __repr__(self) -> str:
        return repr(self._info)


def finfo(dtype: Any) -> Any:
    """`np.finfo`, of a Value too."""
    return _Info(np.finfo(dtype.dtype if isinstance(dtype, Value) else dtype))


def iinfo(dtype: Any) -> Any:
    """`np.iinfo`, of a Value too."""
    return _Info(np.iinfo(dtype.dtype if isinstance(dtype, Value) else dtype))
