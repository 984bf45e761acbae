"""Sums, products, extrema, moments and cumulative sums."""

import math

import numpy as np

from ..arrays import expand, keepaxes, safe_divide
from ..rule import composite, general, linear, nondiff

__all__ = ["others_product"]


def count(x, axis):
    """How many elements of `x` (a Spec or an array) one result of a reduction over `axis` sees."""
    n = 1
    for a in range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,):
        n *= x.shape[a]
    return n


# -- linear: sum, mean, cumsum

def sum_map(g, x, axis=None, dtype=None, out=None, keepdims=False):
    return expand(keepaxes(g, x, axis, keepdims), x.shape)


def mean_map(g, x, axis=None, dtype=None, out=None, keepdims=False):
    return expand(keepaxes(g, x, axis, keepdims) * (1 / max(count(x, axis), 1)), x.shape)


def cumsum_map(g, x, axis=None, dtype=None, out=None):
    if axis is None or not x.ndim:
        return np.cumsum(g[::-1])[::-1].reshape(x.shape)
    backward = (slice(None),) * (axis % x.ndim) + (slice(None, None, -1),)
    return np.cumsum(g[backward], axis=axis)[backward]


linear(np.sum, sum_map, method="sum")
linear(np.mean, mean_map, method="mean")
linear(np.cumsum, cumsum_map, method="cumsum")


# -- products and extrema

def others_product(x):
    """For each element along the last axis the product of the others, by a tree: zeros do no harm."""
    n = x.shape[-1]
    if n <= 1:
        return np.ones_like(x)
    if n % 2:
        return others_product(np.concatenate([x, np.ones_like(x[..., :1])], axis=-1))[..., :n]
    even, odd = x[..., ::2], x[..., 1::2]
    outer = others_product(even * odd)
    return np.stack([outer * odd, outer * even], axis=-1).reshape(x.shape)


def prod_map(g, x, axis=None, dtype=None, out=None, keepdims=False):
    g = keepaxes(g, x, axis, keepdims)
    if not x.ndim:
        return g
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(a % x.ndim for a in axes)
    order = tuple(a for a in range(x.ndim) if a not in axes) + axes
    back = tuple(order.index(a) for a in range(x.ndim))
    last = x.transpose(order)
    kept = last.shape[: x.ndim - len(axes)]
    others = others_product(last.reshape((*kept, count(x, axes))))
    return g * others.reshape(last.shape).transpose(back)


def extremum_map(g, x, ans, axis=None, out=None, keepdims=False):
    ties = x == keepaxes(ans, x, axis, keepdims)
    share = ties / ties.sum(axis=axis, keepdims=True)  # in double precision: there may be more than float16 counts
    return keepaxes(g, x, axis, keepdims) * share.astype(x.dtype)


general(np.prod, None, prod_map, method="prod")
general(np.max, None, extremum_map, method="max")
general(np.min, None, extremum_map, method="min")
composite(np.amax, np.max)
composite(np.amin, np.min)


# -- moments

def reciprocal(n):
    """`1 / n` as a Python float, inf where NumPy's moments are nan for want of numbers."""
    return 1 / n if n > 0 else math.inf


def var_map(g, x, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
    centred = (x - x.mean(axis=axis, keepdims=True)).conj()
    return keepaxes(g, x, axis, keepdims) * centred * (2 * reciprocal(count(x, axis) - ddof))


def std_map(g, x, ans, axis=None, dtype=None, out=None, ddof=0, keepdims=False):
    centred = (x - x.mean(axis=axis, keepdims=True)).conj()
    slope = safe_divide(centred, keepaxes(ans, x, axis, keepdims)) * reciprocal(count(x, axis) - ddof)
    return keepaxes(g, x, axis, keepdims) * slope


general(np.var, None, var_map, method="var")
general(np.std, None, std_map, method="std")

nondiff(np.argmax, np.argmin, np.any, np.all, np.count_nonzero)
