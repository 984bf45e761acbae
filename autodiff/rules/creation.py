"""Sequences of numbers between end points that may be Values: linspace, logspace, geomspace.

All three are written with ruled functions, so an end point gets its gradient without a rule of its own.
"""

import operator

import numpy as np

from ..arrays import arange_like
from ..convert import as_operand
from ..rule import composite

__all__: list[str] = []  # its rules are in the registry


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0, *, device=None):
    start, stop, num = as_operand(start, "linspace"), as_operand(stop, "linspace"), operator.index(num)
    if num < 0:
        raise ValueError(f"linspace: num={num}, but a number of samples cannot be negative")
    delta = stop - start
    steps = num - 1 if endpoint else num
    step = delta / steps if steps > 0 else np.nan
    places = arange_like(delta, num).astype(np.result_type(start, stop, 1.0)).reshape((-1,) + (1,) * np.ndim(delta))
    y = places * (step if steps > 0 else delta) + start
    if endpoint and num > 1:  # exactly there, whatever rounding does to the steps
        y = np.concatenate([y[:-1], np.zeros_like(y[-1:]) + stop])
    y = converted(np.moveaxis(y, 0, axis), dtype)
    return (y, step) if retstep else y


def logspace(start, stop, num=50, endpoint=True, base=10.0, dtype=None, axis=0):
    if np.ndim(base):
        ndim = max(np.ndim(start), np.ndim(stop), np.ndim(base))
        start, stop, base = (np.reshape(a, (1,) * (ndim - np.ndim(a)) + np.shape(a)) for a in (start, stop, base))
        base = np.expand_dims(base, axis)
    y = np.power(base, linspace(start, stop, num, endpoint, axis=axis))
    return y if dtype is None else y.astype(dtype)


def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    start, stop = as_operand(start, "geomspace"), as_operand(stop, "geomspace")
    wide = np.result_type(start, stop, np.dtype(dtype))  # NumPy's choice: float64, unless a dtype is given
    start, stop = (start + 0 * stop).astype(wide), (stop + 0 * start).astype(wide)
    sign = np.sign(start)
    y = sign * 10.0 ** linspace(np.log10(start / sign), np.log10(stop / sign), num, endpoint)
    ends = [start[None], y[1:-1], stop[None]] if endpoint and num > 1 else [start[None], y[1:]]
    y = np.concatenate(ends) if num > 0 else y
    y = np.moveaxis(y, 0, axis)
    return y if dtype is None else y.astype(dtype)


def converted(y, dtype):
    """`y` as `dtype`; rounded down to integers."""
    if dtype is None:
        return y
    return (np.floor(y) if np.dtype(dtype).kind in "iu" else y).astype(dtype)


composite(np.linspace, linspace)
composite(np.logspace, logspace)
composite(np.geomspace, geomspace)
