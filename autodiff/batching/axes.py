"""Functions along axes, counted behind the hidden ones: sums, extrema, moments, cumulative ones, transforms."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import overlap_add, undispatched
from ..batched import Batched, aligned, axes_of, batch, hide
from ..convert import as_operand
from ..rule import RULES
from ..rules.reduce import detached, running_extremum, segment_sum
from .loop import call_each

__all__ = ["along"]

Function = Callable[..., Any]


# -- reductions


def _reduction(function: Function, ufunc: Any = None) -> Function:
    def body(a: Any, axis: Any = None, *args: Any, where: Any = True, out: Any = None, **kwargs: Any) -> Any:
        if kwargs.get("mean") is not None:
            return RULES[function].forward(a, axis, *args, where=where, **kwargs)  # type: ignore[misc]
        if type(where) is Batched or type(a) is not Batched:
            (whole, chosen), levels = aligned([a, where])
            x = hide(np.broadcast_to(whole, np.broadcast_shapes(whole.shape, np.shape(chosen))), levels)
            where = chosen
        else:
            x = a
        if where is not True:
            kwargs["where"] = where
        initial = kwargs.get("initial")
        if type(initial) is Batched:  # it has no axes of its own
            del kwargs["initial"]
            if ufunc.identity is None:
                kwargs["initial"] = _least(ufunc, x.dtype)
        if type(x) is Batched:
            ans = hide(function(x.whole, axes_of(x, axis), *args, **kwargs), x.levels)
        else:
            ans = function(x, axis, *args, **kwargs)
        if type(initial) is Batched:
            ans = ufunc(ans, initial.astype(ans.dtype))
        if out is not None:
            out[...] = ans
            return out
        return ans

    return body


def _least(ufunc: Any, dtype: Any) -> Any:
    """What does not change the extremum of other numbers."""
    highest = ufunc in (np.minimum, np.fmin)
    if dtype.kind in "iu":
        return np.iinfo(dtype).max if highest else np.iinfo(dtype).min
    return highest if dtype.kind == "b" else np.inf if highest else -np.inf


for _function in (np.mean, np.any, np.all, np.var, np.std, np.count_nonzero, np.ptp):
    batch(_function)(_reduction(_function))

INITIAL: dict[Function, np.ufunc] = {
    np.sum: np.add,
    np.prod: np.multiply,
    np.max: np.maximum,
    np.min: np.minimum,
    np.nanmax: np.fmax,
    np.nanmin: np.fmin,
}
for _function, _ufunc in INITIAL.items():
    batch(_function)(_reduction(_function, _ufunc))


def _position(function: Function) -> Function:
    """argmax and the like: one axis, or the flattened array."""

    def body(a: Batched, axis: Any = None, out: Any = None, keepdims: bool = False, **kwargs: Any) -> Any:
        if axis is None or not a.ndim:
            flat = function(a.reshape(-1).whole, -1, **kwargs)
            return hide(flat.reshape(flat.shape + (1,) * a.ndim) if keepdims else flat, a.levels)
        return hide(function(a.whole, axes_of(a, axis), keepdims=keepdims, **kwargs), a.levels)

    return body


batch(np.argmax)(_position(np.argmax))
batch(np.argmin)(_position(np.argmin))


# -- along one axis, which stays


def along(function: Function, default: Any, at: int) -> Function:
    """`function(x, ..., axis, ...)` with the axis at position `at`; None means the flattened array."""

    def body(x: Batched, *args: Any, **kwargs: Any) -> Any:
        if type(x) is not Batched or any(type(a) is Batched for a in (*args, *kwargs.values())):
            return call_each(function, x, *args, **kwargs)
        given = [*args]
        axis = given[at - 1] if len(given) >= at else kwargs.pop("axis", default)
        if axis is None:
            x, axis = x.reshape(-1), 0
        if not x.ndim:
            x = x.reshape(1)
        if len(given) >= at:
            given[at - 1] = axes_of(x, axis)
        else:
            kwargs["axis"] = axes_of(x, axis)
        return hide(function(x.whole, *given, **kwargs), x.levels)

    return body


batch(np.cumsum)(along(np.cumsum, None, 1))
batch(np.cumprod)(along(np.cumprod, None, 1))
batch(np.unwrap)(along(np.unwrap, -1, 2))
for _transform in (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft):
    batch(_transform)(along(_transform, -1, 2))
batch(segment_sum)(along(undispatched(segment_sum), 0, 2))
batch(running_extremum)(along(undispatched(running_extremum), 0, 1))


@batch(np.fft.fftshift)
def _fftshift(x: Batched, axes: Any = None) -> Any:
    return hide(np.fft.fftshift(x.whole, axes_of(x, axes)), x.levels)


@batch(np.fft.ifftshift)
def _ifftshift(x: Batched, axes: Any = None) -> Any:
    return hide(np.fft.ifftshift(x.whole, axes_of(x, axes)), x.levels)


@batch(overlap_add)
def _overlap_add(g: Batched, axes: tuple[int, ...]) -> Any:
    h = len(g.levels)
    return hide(overlap_add(g.whole, tuple([h + a for a in axes])), g.levels)


@batch(detached)
def _detached(x: Any, function: Function, *args: Any, **kwargs: Any) -> Any:
    return function(x, *args, **kwargs)


# -- methods of ufuncs


@batch(np.ufunc.reduce)
def _reduce(ufunc: np.ufunc, x: Any, axis: Any = 0, *args: Any, **kwargs: Any) -> Any:
    return _reduction(ufunc.reduce, ufunc)(x, axis, *args, **kwargs)


@batch(np.ufunc.accumulate)
def _accumulate(ufunc: np.ufunc, x: Batched, axis: Any = 0, *args: Any, **kwargs: Any) -> Any:
    return hide(ufunc.accumulate(x.whole, axes_of(x, axis), *args, **kwargs), x.levels)


@batch(np.ufunc.reduceat)
def _reduceat(ufunc: np.ufunc, x: Batched, indices: Any, axis: Any = 0, *args: Any, **kwargs: Any) -> Any:
    if type(indices) is Batched:
        return call_each(lambda x, indices: ufunc.reduceat(x, indices, axis, *args, **kwargs), x, indices)
    return hide(ufunc.reduceat(x.whole, indices, axes_of(x, axis), *args, **kwargs), x.levels)


@batch(np.ufunc.outer)
def _outer(ufunc: np.ufunc, x: Any, y: Any, **kwargs: Any) -> Any:
    x, y = as_operand(x, "outer"), as_operand(y, "outer")
    return ufunc(np.reshape(x, np.shape(x) + (1,) * np.ndim(y)), y, **kwargs)
