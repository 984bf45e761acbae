"""Medians and quantiles, covariances, histograms.

A quantile is a piecewise linear function of the elements and, for the methods that interpolate, of `q`; at a knot the
slope in `q` is that to its right. For the other methods the derivative with respect to `q` is 0, and so it is of
counts with respect to what is counted. The counts are linear in the weights, and a density depends on the edges of
the bins, which are functions of the extremes unless they are given.
"""

import math

import numpy as np

from ..arrays import arange_like, cast, dispatchable, getitem
from ..convert import as_operand
from ..rule import composite, elementwise, linear
from .elementwise import is_complex
from .reduce import detached, in_dtype, reciprocal, weighted
from .sort import order_statistics, rows_of

__all__ = ["median_of", "one", "quantile_of", "weighted_counts", "within_one"]


# -- medians and quantiles

def median(a, axis=None, overwrite_input=False, keepdims=False):
    n = rows_of(np.shape(a), axis, keepdims)[1][1]
    return median_of(a, axis, keepdims, n) if n else np.mean(a, axis=axis, keepdims=keepdims)


def median_of(a, axis, keepdims, n, numbers=False):
    """The median of the `n` least elements along `axis`; with `numbers` nan is not looked for among the others."""
    return np.mean(order_statistics(a, detached(n, middle_ranks), axis, keepdims, numbers), axis=0)


def middle_ranks(n):
    n = np.reshape(n, -1)
    return np.stack([(n - 1) // 2, n // 2])


def quantile(a, q, axis=None, overwrite_input=False, method="linear", keepdims=False, *, weights=None):
    n = rows_of(np.shape(a), axis, keepdims)[1][1]
    if not n:
        raise IndexError(f"quantile: an array of shape {np.shape(a)} has no elements along axis={axis}")
    return quantile_of(a, q, axis, method, keepdims, weights, n)


def percentile(a, q, axis=None, overwrite_input=False, method="linear", keepdims=False, *, weights=None):
    return np.quantile(a, as_operand(q, "percentile") / 100, axis, method=method, keepdims=keepdims, weights=weights)


def quantile_of(a, q, axis, method, keepdims, weights, n, numbers=False):
    """The quantiles of the `n` least elements along `axis`, as for the median."""
    if method not in METHODS:
        raise ValueError(f"quantile: {method!r} is not a valid method; use one of {', '.join(METHODS)}")
    if weights is not None and method != "inverted_cdf":
        raise ValueError(f'quantile: weights= needs method="inverted_cdf", not {method!r}')
    a, weak, q = as_operand(a, "quantile"), type(q) in (int, float), as_operand(q, "quantile")
    if is_complex(a):
        raise TypeError("quantile: complex numbers have no order; take .real or abs() of them first")
    shape, q = np.shape(q), np.reshape(q, (*np.shape(q), 1))
    if weights is not None:
        ranks = detached(a, weighted_ranks, weighted("quantile", a, as_operand(weights, "weights"), axis), q, axis, numbers)
        return order_statistics(a, ranks, axis, keepdims, numbers)
    q = q if q.dtype.kind == "f" or method == "linear" else q * 1.0
    n = n if isinstance(n, int) else cast(n, q.dtype if q.dtype.kind == "f" else np.dtype(float))
    position = METHODS[method](n, q)
    ranks = detached(position, neighbours, n, q)
    part = position - ranks[0]  # of an element that is taken whole: 0
    if method in TAKES_ONE or (a.dtype.kind == "f" and (weak or q.dtype.kind != "f")):
        part = cast(part, a.dtype)
    elif q.dtype.kind == "f":
        part = cast(part, q.dtype)
    result = rows_of(np.shape(a), axis, keepdims)[2]
    part = np.reshape(part, shape + (result if part.size > math.prod(shape) else (1,) * len(result)))
    if method in TAKES_ONE:
        return order_statistics(a, ranks[0], axis, keepdims, numbers) + part
    near, low, high = order_statistics(a, ranks, axis, keepdims, numbers)
    return near + (high - low) * part


def neighbours(position, n, q):
    """The ranks nearest to, below and above each position between 0 and n - 1. Refuses quantiles that do not exist."""
    if isinstance(q, np.ndarray) and not ((q >= 0) & (q <= 1)).all():
        raise ValueError("quantile: q must be between 0 and 1, and the q of percentile between 0 and 100")
    low = np.maximum(np.minimum(np.floor(position), n - 2), 0)
    return np.stack([np.floor(position + 0.5), low, within(n, low + 1)]).astype(int)


def weighted_ranks(a, weights, q, axis, numbers):
    """The rank of the first element up to which the share of the weights is at least q."""
    order, matrix, _ = rows_of(a.shape, axis, False)
    rows = a.transpose(order).reshape(matrix)
    weights = np.broadcast_to(weights, a.shape).transpose(order).reshape(matrix)
    if isinstance(weights, np.ndarray) and (weights < 0).any():
        raise ValueError("quantile: weights must not be negative")
    if numbers:  # nan has no weight, unless there is nothing else
        missing = np.isnan(rows)
        weights = np.where(missing & ~missing.all(axis=-1, keepdims=True), 0, weights)
    sums = np.cumsum(np.take_along_axis(weights, np.argsort(rows, axis=-1), axis=-1), axis=-1, dtype=float)
    if isinstance(a, np.ndarray) and not (np.isfinite(sums[:, -1]) & (sums[:, -1] > 0)).all():
        raise ValueError("quantile: weights include nan or inf, or are all 0")
    shares = (sums / sums[:, -1:]).astype(q.dtype if q.dtype.kind == "f" else float)
    before = np.stack([((shares < limit) | (shares == 0)).sum(axis=-1) for limit in q.reshape(-1)])
    return np.minimum(before, matrix[1] - 1).reshape((*q.shape[:-1], -1))


def continuous(alpha, beta):
    """The position of a quantile among the ranks 0 to n - 1 (Hyndman and Fan, doi:10.1080/00031305.1996.10473566)."""
    return lambda n, q: within(n, n * q + (alpha + q * (1 - alpha - beta)) - 1)


def within(n, position):
    last = max(n - 1, 0) if isinstance(n, int) else np.maximum(n - 1, 0)
    return np.minimum(np.maximum(position, 0), last)


METHODS = {
    "linear":                    lambda n, q: (n - 1) * q,
    "interpolated_inverted_cdf": continuous(0, 1),
    "hazen":                     continuous(0.5, 0.5),
    "weibull":                   continuous(0, 0),
    "median_unbiased":           continuous(1 / 3, 1 / 3),
    "normal_unbiased":           continuous(3 / 8, 3 / 8),
    "inverted_cdf":              lambda n, q: within(n, np.ceil(n * q - 1)),
    "averaged_inverted_cdf":     lambda n, q: within(n, (np.ceil(n * q - 1) + np.floor(n * q)) / 2),
    "closest_observation":       lambda n, q: within(n, np.rint(n * q) - 1),
    "lower":                     lambda n, q: np.floor((n - 1) * q),
    "higher":                    lambda n, q: np.ceil((n - 1) * q),
    "midpoint":                  lambda n, q: (np.floor((n - 1) * q) + np.ceil((n - 1) * q)) / 2,
    "nearest":                   lambda n, q: np.rint((n - 1) * q),
}
TAKES_ONE = {"inverted_cdf", "closest_observation", "lower", "higher", "nearest"}

composite(np.median,     median)
composite(np.quantile,   quantile)
composite(np.percentile, percentile)


# -- covariances

def cov(m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None, *, dtype=None):
    if ddof is not None and ddof != int(ddof):
        raise ValueError(f"cov: ddof={ddof}; it must be an integer")
    m = as_operand(m, "cov")
    x = samples(m)
    x = x if rowvar or np.ndim(m) == 1 else x.T
    if not x.shape[0]:
        return np.zeros_like(x, shape=(0, 0), dtype=float)
    if y is not None:
        y = samples(as_operand(y, "cov"))
        x = np.concatenate([x, y if rowvar or y.shape[0] == 1 else y.T], axis=0)
    x = in_dtype(x, np.result_type(x.dtype, float) if dtype is None else np.dtype(dtype))
    ddof = (0 if bias else 1) if ddof is None else ddof
    given = [checked(w, name, x.shape[1]) for name, w in {"fweights": fweights, "aweights": aweights}.items() if w is not None]
    if not given:
        scale = reciprocal(x.shape[1] - ddof)
        centred = scaled = x - np.mean(x, axis=1, keepdims=True)
    else:
        weights = given[0] if len(given) == 1 else given[0] * given[1]
        total = np.sum(weights)
        scale = 1 / np.maximum(total - ddof * (1 if aweights is None else np.sum(weights * given[-1]) / total), 0.0)
        centred = x - np.sum(x * weights, axis=1, keepdims=True) / total
        scaled = centred * weights
    return np.squeeze(np.matmul(centred, np.conjugate(scaled).T) * scale)


def samples(m):
    """Samples as a matrix."""
    if np.ndim(m) > 2:
        raise ValueError(f"cov: the samples have {np.ndim(m)} axes; two are possible, variables and observations")
    return m if np.ndim(m) == 2 else np.reshape(m, (1, -1))


def checked(weights, name, n):
    """Weights of n observations."""
    weights = as_operand(weights, name)
    if np.shape(weights) != (n,):
        raise ValueError(f"cov: {name} has shape {np.shape(weights)}, and there are {n} observations")
    if isinstance(weights, np.ndarray) and (weights < 0).any():
        raise ValueError(f"cov: {name} must not be negative")
    if isinstance(weights, np.ndarray) and name == "fweights" and (weights != np.rint(weights)).any():
        raise TypeError("cov: fweights must be integers; use aweights for other weights")
    return weights * 1.0


def corrcoef(x, y=None, rowvar=True, *, dtype=None):
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    spread = np.sqrt(np.diagonal(c).real)
    return within_one(c / spread[:, None] / spread[None, :])


@dispatchable
def within_one(x):
    """`x`, with what rounding has brought beyond 1 set to 1. To the derivative that is nothing."""
    if is_complex(x):
        return np.clip(x.real, -1, 1) + 1j * np.clip(x.imag, -1, 1)
    return np.clip(x, -1, 1)


elementwise(within_one, lambda g: g)
composite(np.cov,       cov)
composite(np.corrcoef,  corrcoef)


# -- counts

@dispatchable
def weighted_counts(w, places, minlength=0):
    """`np.bincount(places, w, minlength)`."""
    return np.bincount(places, weights=w, minlength=minlength)


linear(weighted_counts, lambda g, x, places, minlength=0: getitem(g, places), name="bincount")


def bincount(x, weights=None, minlength=0):
    return detached(x, np.bincount, None, minlength) if weights is None else weighted_counts(weights, x, minlength)


def counted(weights, places, shape):
    """The sums of weights in cells of a grid, without those in its outermost ones."""
    n, inner = math.prod(shape), tuple(slice(1, -1) for _ in shape)
    if is_complex(weights):
        sums = weighted_counts(weights.real, places, n) + 1j * weighted_counts(weights.imag, places, n)
    else:
        sums = weighted_counts(weights, places, n)
    return np.reshape(sums, shape)[inner]


def bin_of(x, edges):
    """The bin of each number, from 1; the last one has its right edge. 0 and n + 1 are outside."""
    return np.searchsorted(edges, x, side="right") - (x == edges[-1])


def edges_of(x, edges, bins, range):
    """The `edges` of bins as functions of what they depend on: the edges, or the range, or the elements given."""
    if np.ndim(bins) == 1:
        return np.where(True, bins, edges)
    if range is None and not np.size(x):
        return edges
    low, high = (np.min(x), np.max(x)) if range is None else range
    part = arange_like(edges, len(edges)) / max(len(edges) - 1, 1)
    return edges + cast(derivative_of(low) * (1 - part) + derivative_of(high) * part, edges.dtype)


def derivative_of(x):
    """0, with the derivative of `x`."""
    return x - detached(x, np.positive)


def histogram_bin_edges(a, bins=10, range=None, weights=None):
    return edges_of(a, detached(a, np.histogram_bin_edges, bins, range, weights), bins, range)


def histogram(a, bins=10, range=None, density=None, weights=None):
    edges, x = detached(a, np.histogram_bin_edges, bins, range, weights), np.reshape(a, -1)
    weights = np.ones_like(x, dtype=int) if weights is None else np.reshape(as_operand(weights, "weights"), -1)
    ans = cast(counted(weights, detached(x, bin_of, edges), (len(edges) + 1,)), weights.dtype)
    edges = edges_of(x, edges, bins, range)
    return (ans / cast(np.diff(edges), np.dtype(float)) / np.sum(ans) if density else ans), edges


def cells(sample, bins, range, weights):
    """The cell that each point is in, with one more at either end of each axis, and the edges."""
    _, edges = np.histogramdd(sample, bins, range)
    if np.shape(weights) != (len(sample),):
        raise ValueError(f"histogramdd: weights of shape {np.shape(weights)} for {len(sample)} points; give one for each")
    places = tuple(bin_of(x, e) for x, e in zip(sample.T, edges, strict=True))
    return (np.ravel_multi_index(places, tuple(len(e) + 1 for e in edges)), *edges)


@dispatchable
def one(x):
    """1 for each element: what it counts, whatever it is."""
    return np.ones_like(x)


def histogramdd(sample, bins=10, range=None, density=None, weights=None):
    sample = np.stack(sample, axis=-1) if isinstance(sample, (list, tuple)) else sample
    sample = np.reshape(sample, (-1, 1)) if np.ndim(sample) == 1 else sample
    weights = one(sample[:, 0]) if weights is None else as_operand(weights, "weights")
    places, *edges = detached(sample, cells, bins, range, weights)
    ans = counted(weights, places, [len(e) + 1 for e in edges])
    bins, ranges = bins if np.iterable(bins) else [bins] * len(edges), range or [None] * len(edges)
    edges = [edges_of(sample[:, i], e, b, r) for i, (e, b, r) in enumerate(zip(edges, bins, ranges, strict=True))]
    if density:
        ans = ans / np.sum(ans)
        for i, e in enumerate(edges):
            ans = ans / np.reshape(np.diff(e), [-1 if i == k else 1 for k, _ in enumerate(edges)])
    return ans, tuple(edges)


def histogram2d(x, y, bins=10, range=None, density=None, weights=None):
    if np.size(x) != np.size(y):
        raise ValueError(f"histogram2d: x has {np.size(x)} elements and y {np.size(y)}; they must be equally many")
    bins = [bins, bins] if hasattr(bins, "__len__") and len(bins) > 2 else bins
    ans, edges = histogramdd([x, y], bins, range, density, weights)
    return ans, *edges


elementwise(one, lambda g: np.zeros_like(g))
composite(np.bincount,            bincount)
composite(np.histogram,           histogram)
composite(np.histogramdd,         histogramdd)
composite(np.histogram2d,         histogram2d)
composite(np.histogram_bin_edges, histogram_bin_edges)
