"""The functions that leave nan out: its place has gradient 0, and no nan comes from it.

Where nothing but nan is left the result is nan, and the gradient still 0.
"""

import numpy as np

from ..arrays import cast, keepaxes
from ..convert import as_operand
from ..rule import composite, general, nondiff
from .reduce import absolute_square, detached, deviations, freedom, in_dtype, magnitude, shares
from .sort import rows_of
from .statistics import median_of, quantile_of

__all__: list[str] = []  # its rules are in the registry


def filled(function, value):
    """The body of a function that takes nan for `value`."""

    def body(a, axis=None, dtype=None, **kwargs):
        a = np.where(np.isnan(a), value, a) if a.dtype.kind in "fc" else a
        return function(a, axis=axis, dtype=dtype, **kwargs)

    return body


composite(np.nansum,     filled(np.sum, 0.0))
composite(np.nanprod,    filled(np.prod, 1.0))
composite(np.nancumsum,  filled(np.cumsum, 0.0))
composite(np.nancumprod, filled(np.cumprod, 1.0))


# -- extrema

def extremum_map(g, x, ans, axis=None, out=None, keepdims=False, initial=None, where=True):
    ties, n = shares(x, keepaxes(ans, x, axis, keepdims), axis, initial, where)
    share = ties / np.maximum(n, 1)
    return keepaxes(g, x, axis, keepdims) * share.astype(x.dtype)


general(np.nanmax, None, extremum_map, taints=True)
general(np.nanmin, None, extremum_map, taints=True)
nondiff(np.nanargmax, np.nanargmin)


# -- moments

def numbers(a, where):
    """Which elements count."""
    return ~np.isnan(a) if where is True else ~np.isnan(a) & where


def nanmean(a, axis=None, dtype=None, keepdims=False, *, where=True):
    keep = numbers(a, where)
    total = np.sum(np.where(keep, a, 0.0), axis=axis, dtype=dtype, keepdims=keepdims)
    return cast(total / np.sum(keep, axis=axis, keepdims=keepdims), total.dtype)


def moment(function):
    def body(a, axis=None, dtype=None, ddof=0, keepdims=False, *, where=True, mean=None, correction=None):
        ddof = freedom(function, ddof, correction)
        keep = numbers(a, where)
        a = in_dtype(a, dtype)
        mean = nanmean(a, axis, keepdims=True, where=where) if mean is None else mean
        d, n = deviations(a, mean, axis, ddof, keepdims, keep)
        n = np.where(n > 0, n, np.nan)
        if function is np.nanstd:
            return magnitude(d, axis=axis, keepdims=keepdims) / np.sqrt(n)
        return np.sum(absolute_square(d), axis=axis, keepdims=keepdims) / n

    return body


composite(np.nanmean, nanmean)
composite(np.nanvar,  moment(np.nanvar))
composite(np.nanstd,  moment(np.nanstd))


# -- order statistics: nan is sorted to the end

def count(a, axis):
    """How many numbers there are in each row."""
    order, matrix, _ = rows_of(a.shape, axis, False)
    return (~np.isnan(a)).transpose(order).reshape(matrix).sum(axis=1)


def nanmedian(a, axis=None, overwrite_input=False, keepdims=False):
    if not np.size(a):
        return np.nanmean(a, axis=axis, keepdims=keepdims)
    return median_of(a, axis, keepdims, detached(a, count, axis), True)


def nanquantile(a, q, axis=None, overwrite_input=False, method="linear", keepdims=False, *, weights=None):
    a = as_operand(a, "quantile")
    if not np.size(a):
        return np.nanmean(a, axis=axis, keepdims=keepdims)
    if np.result_type(a).kind not in "fc":
        return np.quantile(a, q, axis, method=method, keepdims=keepdims, weights=weights)
    return quantile_of(a, q, axis, method, keepdims, weights, detached(a, count, axis), True)


def nanpercentile(a, q, axis=None, overwrite_input=False, method="linear", keepdims=False, *, weights=None):
    return np.nanquantile(a, as_operand(q, "percentile") / 100, axis, method=method, keepdims=keepdims, weights=weights)


composite(np.nanmedian,     nanmedian)
composite(np.nanquantile,   nanquantile)
composite(np.nanpercentile, nanpercentile)
