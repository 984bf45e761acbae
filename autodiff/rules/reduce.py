"""Sums, products, extrema, moments, and their cumulative versions.

Ties share the cotangent of an extremum evenly; `initial` shares too, as one more element. The extremum of numbers
that include a nan is nan, and so is its gradient; a running extremum belongs to the first element that reached it.
`where` selects before anything else is done: what it leaves out has gradient 0, whatever it is.
"""

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..arrays import arange_like, cast, dispatchable, expand, keepaxes, safe_divide, scatter_add
from ..batched import Batched, run
from ..convert import as_operand
from ..errors import OperandError
from ..rule import composite, general, linear, nondiff
from .elementwise import is_complex

__all__ = ["absolute_square", "detached", "deviations", "freedom", "in_dtype", "magnitude", "others_product", "reciprocal", "running_extremum", "segment_sum", "shares", "spread", "variance", "weighted"]


def count(x, axis):
    """How many elements of `x` (a Spec or an array) one result of a reduction over `axis` sees."""
    n = 1
    for a in range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,):
        n *= x.shape[a]
    return n


def number(g, x, axis, where):
    """The same, but of those elements that `where` selects: an array."""
    return (np.zeros_like(g, shape=x.shape, dtype=bool) | where).sum(axis=axis, keepdims=True)


def only(where, g):
    """`g` where selected, else 0."""
    return g if where is True else np.where(where, g, 0.0)


def in_dtype(x, dtype):
    """What a function that computes in `dtype` makes of `x` first."""
    return x if dtype is None or x.dtype == dtype else cast(x, dtype)


@dispatchable
def detached(x, function, *args, **kwargs):
    """`function(x, *args, **kwargs)` on the data: for what has no derivative, such as places and counts."""
    return function(x, *args, **kwargs)


nondiff(detached)


# -- linear: sum, mean, cumsum

def sum_map(g, x, axis=None, dtype=None, out=None, keepdims=False, initial=0, where=True):
    g = expand(keepaxes(g, x, axis, keepdims), x.shape)
    return g if where is True else only(where, g)


def sum_push(t, *args, initial=0, **kwargs):
    """Without `initial`, which is a constant."""
    return t.sum(*args, **kwargs)


def mean_map(g, x, axis=None, dtype=None, out=None, keepdims=False, where=True):
    if where is True:
        return expand(keepaxes(g, x, axis, keepdims) * (1 / max(count(x, axis), 1)), x.shape)
    share = (1 / np.maximum(number(g, x, axis, where), 1)).astype(g.dtype)
    return only(where, expand(keepaxes(g, x, axis, keepdims) * share, x.shape))


def cumsum_map(g, x, axis=None, dtype=None, out=None):
    if axis is None or not x.ndim:
        return np.cumsum(g[::-1])[::-1].reshape(x.shape)
    backward = (slice(None),) * (axis % x.ndim) + (slice(None, None, -1),)
    return np.cumsum(g[backward], axis=axis)[backward]


linear(np.sum, sum_map, method="sum", push=sum_push)
linear(np.mean, mean_map, method="mean", push=np.mean)  # the method does not ask `where` whether it is a batch
linear(np.cumsum, cumsum_map, method="cumsum")


# -- products

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


def regular(ans):
    """True if `ans`, products of elements, can be divided by each of them: no zero, underflow, overflow or nan.

    Decided on the host, where a glance at the result is cheap; elsewhere, and if not, it is None.
    """
    if not isinstance(ans, (np.ndarray, np.generic)) or ans.dtype.kind not in "fc":
        return None
    size = np.abs(ans)
    return True if bool(((size >= np.finfo(ans.dtype).tiny) & (size < math.inf)).all()) else None


def prod(x, *args, where=True, **kwargs):
    options = kwargs if where is True else {"where": where, **kwargs}
    if Batched in map(type, options.values()):  # which the method of an array would not look at
        return run(np.prod, (x, *args), options), None
    ans = x.prod(*args, **options)
    return ans, regular(ans) if where is True else None


def prod_map(g, x, ans, aux, axis=None, dtype=None, out=None, keepdims=False, initial=1, where=True):
    if aux is not None:
        return keepaxes(g * ans, x, axis, keepdims) / in_dtype(x, dtype)
    if where is not True:
        return only(where, prod_map(g, np.where(where, x, 1.0), ans, None, axis, dtype, None, keepdims, initial))
    g, x = keepaxes(g, x, axis, keepdims) * initial, in_dtype(x, dtype)
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


def recurrence(a, b):
    """`s` with `s[i] = b[i] + a[i] * s[i + 1]` along the last axis, 0 beyond its end; by halving, as above."""
    n = b.shape[-1]
    if n <= 1:
        return b
    if n % 2:
        zero = np.zeros_like(b[..., :1])
        return recurrence(np.concatenate([a, zero], axis=-1), np.concatenate([b, zero], axis=-1))[..., :n]
    even = recurrence(a[..., :-1:2] * a[..., 1::2], b[..., ::2] + a[..., ::2] * b[..., 1::2])
    odd = np.concatenate([b[..., 1:-1:2] + a[..., 1::2] * even[..., 1:], b[..., -1:]], axis=-1)
    return np.stack([even, odd], axis=-1).reshape(b.shape)


def cumprod(x, *args, **kwargs):
    ans = x.cumprod(*args, **kwargs)
    return ans, regular(ans)


def cumprod_map(g, x, ans, aux, axis=None, dtype=None, out=None):
    """The product of those before, times what follows: zeros do no harm here either."""
    if axis is None or not x.ndim:
        return cumprod_map(g, x.reshape(-1), ans, aux, 0, dtype).reshape(x.shape)
    if aux is not None:
        return cumsum_map(g * ans, x, axis) / in_dtype(x, dtype)
    g, x, ans = g.swapaxes(axis, -1), in_dtype(x, dtype).swapaxes(axis, -1), ans.swapaxes(axis, -1)
    before = np.concatenate([np.ones_like(ans[..., :1]), ans[..., :-1]], axis=-1)
    return (before * recurrence(x[..., 1:], g)).swapaxes(axis, -1)


def cumulative(function, start):
    """`np.cumulative_sum` and `np.cumulative_prod` by the function they generalise."""

    def body(x, axis=None, dtype=None, include_initial=False):
        if axis is None and x.ndim != 1:
            raise ValueError(f"{function.__name__}: the array has {x.ndim} axes; say along which one with axis=")
        axis = 0 if axis is None else axis
        ans = function(x, axis=axis, dtype=dtype)
        if not include_initial:
            return ans
        shape = tuple(1 if i == axis % x.ndim else n for i, n in enumerate(ans.shape))
        return np.concatenate([np.zeros_like(ans, shape=shape) + start, ans], axis=axis)

    return body


general(np.prod, prod, prod_map)
general(np.cumprod, cumprod, cumprod_map)

if hasattr(np, "cumulative_sum"):  # NumPy 2.1
    composite(np.cumulative_sum, cumulative(np.cumsum, 0))
    composite(np.cumulative_prod, cumulative(np.cumprod, 1))


# -- extrema

def shares(x, best, axis, initial, where):
    """Where `x` ties with the extremum `best`, and how many do."""
    ties = x == best if where is True else (x == best) & where
    n = ties.sum(axis=axis, keepdims=True)
    return ties, n if initial is None else n + (best == initial)


def extremum_map(g, x, ans, axis=None, out=None, keepdims=False, initial=None, where=True):
    ties, n = shares(x, keepaxes(ans, x, axis, keepdims), axis, initial, where)
    share = ties / n  # in double precision: there may be more than float16 counts
    return keepaxes(g, x, axis, keepdims) * share.astype(x.dtype)


@dispatchable
def running_extremum(x: Any, axis: int, ufunc: Any) -> Any:
    """`ufunc.accumulate(x, axis)`, of np.maximum or np.minimum."""
    return first_reached(x, axis, ufunc)[0]


def first_reached(x, axis, ufunc):
    """The running extremum, and for each of its elements the place in `x.reshape(-1)` that it is from; and the shape."""
    ans = ufunc.accumulate(x, axis=axis)
    lead = (slice(None),) * (axis % x.ndim)
    new = ans[(*lead, slice(1, None))] != ans[(*lead, slice(None, -1))]
    new = np.concatenate([np.ones_like(ans[(*lead, slice(1))], dtype=bool), new], axis=axis)
    places = arange_like(x, x.size).reshape(x.shape)  # they increase along every axis
    return ans, (np.maximum.accumulate(np.where(new, places, -1), axis=axis), x.shape)


def running_extremum_map(g, aux, axis, ufunc):
    places, shape = aux
    return scatter_add(g, places, (math.prod(shape),)).reshape(shape)


general(np.max, None, extremum_map, method="max")
general(np.min, None, extremum_map, method="min")
composite(np.amax, np.max)
composite(np.amin, np.min)
composite(np.ptp,  lambda a, axis=None, keepdims=False: np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims))
general(running_extremum, first_reached, running_extremum_map)


# -- moments

def reciprocal(n):
    """`1 / n` as a Python float, inf where NumPy's moments are nan for want of numbers."""
    return 1 / n if n > 0 else math.inf


def centred(g, x, axis, ddof, where):
    """`x` less its mean, and what to divide by in a variance, as a factor."""
    if where is True:
        return (x - x.mean(axis=axis, keepdims=True)).conj(), reciprocal(count(x, axis) - ddof)
    d = only(where, x - np.mean(x, axis=axis, keepdims=True, where=where))
    return d.conj(), (1 / np.maximum(number(g, x, axis, where) - ddof, 0)).astype(x.dtype)


def variance_map(g, x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, where=True):
    d, scale = centred(g, x, axis, ddof, where)
    return keepaxes(g, x, axis, keepdims) * (2 * scale) * d


def spread_map(g, x, ans, axis=None, dtype=None, out=None, ddof=0, keepdims=False, where=True):
    d, scale = centred(g, x, axis, ddof, where)
    return keepaxes(g, x, axis, keepdims) * scale * safe_divide(d, keepaxes(ans, x, axis, keepdims))


@dispatchable
def variance(x, **kwargs):
    """`np.var` around the mean of `x` itself."""
    return x.var(**kwargs)


@dispatchable
def spread(x, **kwargs):
    """`np.std` around the mean of `x` itself; its derivative is 0 where it is 0."""
    return x.std(**kwargs)


def absolute_square(x):
    return (x * x.conj()).real if is_complex(x) else x * x


@dispatchable
def magnitude(x, axis=None, keepdims=False):
    """The square root of the sum of `abs(x)**2` over `axis`; its derivative is 0 where it is 0."""
    return np.sqrt(absolute_square(x).sum(axis=axis, keepdims=keepdims))


def magnitude_map(g, x, ans, axis=None, keepdims=False):
    return keepaxes(g, x, axis, keepdims) * safe_divide(x.conj(), keepaxes(ans, x, axis, keepdims))


def deviations(a, mean, axis, ddof, keepdims, keep):
    """`a - mean`, 0 where not kept, and by how much to divide the sum of its squares."""
    d = only(keep, a - mean)
    n = np.maximum((np.zeros_like(a, dtype=bool) | keep).sum(axis=axis, keepdims=keepdims) - ddof, 0)
    return d, cast(n, np.dtype(d.dtype.char.lower())) if d.dtype.kind in "fc" else n  # of complex data the real dtype


def freedom(function, ddof, correction):
    """`ddof`, which the array API calls `correction`."""
    if correction is not None and ddof:
        raise ValueError(f"{function.__name__}: ddof and correction mean the same; give one of them")
    return ddof if correction is None else correction


def moment(function, own):
    """The body for `np.var` and `np.std`: by `own`, unless the mean is given, which then is an operand too."""

    def body(a, axis=None, dtype=None, ddof=0, keepdims=False, *, where=True, mean=None, correction=None):
        ddof = freedom(function, ddof, correction)
        if dtype is not None and is_complex(a) and np.dtype(dtype).kind != "c":
            raise OperandError(f"{function.__name__}: complex data do not fit dtype {np.dtype(dtype)}; take .real or abs() of them first")
        if mean is None:
            options = {} if where is True else {"where": where}
            return own(a, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims, **options)
        d, n = deviations(in_dtype(a, dtype), mean, axis, ddof, keepdims, where)
        if own is spread:
            return magnitude(d, axis=axis, keepdims=keepdims) / np.sqrt(n)
        return np.sum(absolute_square(d), axis=axis, keepdims=keepdims) / n

    return body


general(variance,  None, variance_map, method="var", name="var")
general(spread,    None, spread_map, method="std", name="std")
general(magnitude, None, magnitude_map)
composite(np.var, moment(np.var, variance))
composite(np.std, moment(np.std, spread))


# -- averages

def weighted(name, a, weights, axis):
    """`weights` with the axes of `a`, to which they may belong as a whole or along `axis` alone."""
    if np.shape(weights) == np.shape(a):
        return weights
    if axis is None:
        raise TypeError(f"{name}: the weights have another shape than the data; say along which axes with axis=")
    axes = normalize_axis_tuple(axis, np.ndim(a))
    if np.shape(weights) != tuple(np.shape(a)[i] for i in axes):
        raise ValueError(f"{name}: weights of shape {np.shape(weights)} fit neither data of shape {np.shape(a)} nor its axes {axes}")
    order = sorted(range(len(axes)), key=axes.__getitem__)
    return np.reshape(np.transpose(weights, order), tuple(n if i in axes else 1 for i, n in enumerate(np.shape(a))))


def has_zero(x):
    """Whether the weights sum to 0 somewhere; not asked of a device, which we would wait for."""
    return isinstance(x, (np.ndarray, np.generic)) and not x.all()


def average(a, axis=None, weights=None, returned=False, *, keepdims=False):
    if weights is None:
        ans = np.mean(a, axis=axis, keepdims=keepdims)
        return (ans, np.zeros_like(ans) + np.size(a) / max(np.size(ans), 1)) if returned else ans
    a = as_operand(a, "average")
    if isinstance(a, int) or (hasattr(a, "dtype") and a.dtype.kind in "biu"):
        a = a * 1.0  # so truth values are counted, and small integers do not overflow
    weights = np.broadcast_to(weighted("average", a, weights, axis), np.shape(a))
    products = np.multiply(a, weights)
    total = np.sum(weights, axis=axis, dtype=products.dtype, keepdims=keepdims)
    if detached(total, has_zero):
        raise ZeroDivisionError("average: the weights sum to 0; they cannot be normalised")
    ans = np.sum(products, axis=axis, keepdims=keepdims) / total
    return (ans, total) if returned else ans


composite(np.average, average)


# -- sums of segments

def pairs(x, indices, axis):
    """For `np.add.reduceat`: which element of `axis` goes into which result, as two arrays; elements may repeat."""
    stops = np.stack([*indices[1:], x.shape[axis]])
    indices = np.stack(indices)
    lengths = np.maximum(stops - indices, 1)
    result = np.repeat(arange_like(indices, len(indices)), lengths)
    firsts = np.cumsum(lengths) - lengths
    return indices[result] + (arange_like(indices, len(result)) - firsts[result]), result


@dispatchable
def segment_sum(x: Any, indices: tuple[int, ...], axis: int) -> Any:
    """`np.add.reduceat(x, indices, axis)`, with a tuple of indices."""
    return np.add.reduceat(x, indices, axis=axis)


def segment_sum_map(g, x, indices, axis):
    element, result = pairs(x, indices, axis)
    lead = (slice(None),) * (axis % x.ndim)
    return scatter_add(g[(*lead, result)], (*lead, element), x.shape)


linear(segment_sum, segment_sum_map, name="add.reduceat")

nondiff(np.argmax, np.argmin, np.any, np.all, np.count_nonzero)
