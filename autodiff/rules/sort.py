"""Sorting, and what is made by it: order statistics, unique elements, sets.

The results are elements of the operand in other places, so the derivative moves the cotangent back there. Equal
elements are interchangeable: what NumPy takes as the one of several has the gradient, and the others have none.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..arrays import arange_like, cast, dispatchable, getitem, scatter_add
from ..rule import composite, general, linear, nondiff
from .reduce import detached

__all__ = ["gather", "order_statistics", "rows_of", "scatter"]


# -- elements in other places

@dispatchable
def gather(x, places):
    """The elements of `x` at `places`, an array of positions in `x.reshape(-1)` that are all different."""
    return x.reshape(-1)[places]


@dispatchable
def scatter(g, places, shape):
    """The transpose of `gather`: zeros of `shape` with `g` at `places`."""
    out = np.zeros_like(g, shape=(math.prod(shape),))
    out[places] = g
    return out.reshape(shape)


linear(gather,  lambda g, x, places: scatter(g, places, x.shape))
linear(scatter, lambda g, x, places, shape: gather(g, places))


def positions(x, order, axis):
    """The places in `x.reshape(-1)` that the indices `order` along `axis` mean."""
    if x.ndim == 1:
        return order
    axis = normalize_axis_index(axis, x.ndim)
    starts = arange_like(x, x.size).reshape(x.shape)[(slice(None),) * axis + (slice(1),)]
    return starts + order * math.prod(x.shape[axis + 1 :])


# -- sort, partition: aux is what `scatter` needs

def sort(x, axis=-1, kind=None, order=None, stable=None):
    shape = x.shape
    if axis is None:
        x, axis = x.reshape(-1), 0
    if stable is not None:
        if kind is not None:
            raise ValueError("sort: kind and stable mean the same; give one of them")
        kind = "stable" if stable else None
    options = {k: v for k, v in {"kind": kind, "order": order}.items() if v is not None}
    places = positions(x, np.argsort(x, axis=axis, **options), axis)
    return x.reshape(-1)[places], (places, shape)


def partition(x, kth, axis=-1, kind="introselect", order=None):
    """NumPy's order of the elements, found by that of both sides: it says nothing of their order within a part."""
    shape = x.shape
    if axis is None:
        x, axis = x.reshape(-1), 0
    ans = np.partition(x, kth, axis=axis, kind=kind, order=order)
    ranks = np.argsort(np.argsort(ans, axis=axis), axis=axis)
    return ans, (gather(positions(x, np.argsort(x, axis=axis), axis), positions(x, ranks, axis)), shape)


def sort_complex(a):
    ans = np.sort(a)
    wide = {"b": "F", "h": "F", "B": "F", "H": "F", "g": "G"}.get(ans.dtype.char, "D")
    return ans if ans.dtype.kind == "c" else cast(ans, np.dtype(wide))


general(np.sort,      sort,      lambda g, aux, axis=-1, kind=None, order=None, stable=None: scatter(g, *aux))
general(np.partition, partition, lambda g, aux, kth, axis=-1, kind="introselect", order=None: scatter(g, *aux))
composite(np.sort_complex, sort_complex)


# -- order statistics, for the median and its kin

def rows_of(shape, axis, keepdims):
    """How to make a matrix with a row for each result of a reduction over `axis`: the order of the axes, the matrix's
    shape, and that of the results."""
    axes = tuple(range(len(shape))) if axis is None else normalize_axis_tuple(axis, len(shape))
    kept = tuple(i for i in range(len(shape)) if i not in axes)
    result = tuple(1 if i in axes else n for i, n in enumerate(shape)) if keepdims else tuple(shape[i] for i in kept)
    return (*kept, *axes), (math.prod(shape[i] for i in kept), math.prod(shape[i] for i in axes)), result


@dispatchable
def order_statistics(x, ranks, axis=None, keepdims=False, numbers=False):
    """The elements of certain ranks along `axis`, found without sorting it all where that is possible.

    `ranks` has the shape (..., 1), or (..., results) if they differ from result to result. What includes a nan is nan,
    unless the ranks are those among the `numbers` alone. The derivative is 0 where it is nan.
    """
    return chosen(x, ranks, axis, keepdims, numbers)[0]


def chosen(x, ranks, axis=None, keepdims=False, numbers=False):
    order, matrix, result = rows_of(x.shape, axis, keepdims)
    moved = x.transpose(order)
    rows = moved.reshape(matrix)
    if isinstance(ranks, np.ndarray) and ranks.shape[-1] == 1:
        indices = np.argpartition(rows, sorted({*ranks.ravel().tolist()}), axis=-1)
    else:
        indices = np.argsort(rows, axis=-1)
    numbered = arange_like(x, matrix[0])
    places = getitem(indices, (numbered, ranks)) + numbered * matrix[1]
    ans = getitem(rows.reshape(-1), places)
    if not numbers and x.dtype.kind in "fc":
        ans = np.where(np.isnan(rows).any(axis=-1), np.nan, ans)
    return ans.reshape(ranks.shape[:-1] + result), (places, moved.shape, tuple(map(order.index, range(x.ndim))))


def order_statistics_map(g, ans, aux, ranks, axis=None, keepdims=False, numbers=False):
    places, shape, back = aux
    g = np.where(np.isnan(ans), 0.0, g).reshape(places.shape)
    return scatter_add(g, places, (math.prod(shape),)).reshape(shape).transpose(back)


general(order_statistics, chosen, order_statistics_map, taints=True)


# -- unique elements and sets

def unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *, equal_nan=True, sorted=True):
    _, index, *others = detached(ar, np.unique, True, return_inverse, return_counts, axis, equal_nan=equal_nan)
    flat = np.reshape(ar, -1) if axis is None else ar
    values = getitem(flat, (slice(None),) * (0 if axis is None else axis % np.ndim(flat)) + (index,))
    results = (values, *([index] if return_index else []), *others)
    return results if len(results) > 1 else values


def with_values(function):
    """The body for one of the array API's versions of unique, which return named tuples."""

    def body(x):
        result = detached(x, function)
        named = hasattr(result, "_replace")
        found = result.values if named else result
        values = np.unique(x, equal_nan=False)[np.argsort(np.argsort(found))]  # unique_values need not be sorted
        return result._replace(values=values) if named else values

    return body


def intersect1d(ar1, ar2, assume_unique=False, return_indices=False):
    """The common elements are those of both, as equal operands of `np.maximum` are."""
    _, *indices = detached(ar1, np.intersect1d, ar2, assume_unique, True)
    values = np.maximum(*(getitem(np.reshape(a, -1), i) for a, i in zip((ar1, ar2), indices, strict=True)))
    return (values, *indices) if return_indices else values


def setdiff1d(ar1, ar2, assume_unique=False):
    values = np.reshape(ar1, -1) if assume_unique else np.unique(ar1)
    return getitem(values, np.isin(values, ar2, invert=True))


def setxor1d(ar1, ar2, assume_unique=False):
    both = [np.reshape(a, -1) if assume_unique else np.unique(a) for a in (ar1, ar2)]
    values, counts = np.unique(np.concatenate(both), return_counts=True, equal_nan=False)
    return values[counts == 1]


composite(np.unique,      unique)
composite(np.union1d,     lambda ar1, ar2: np.unique(np.concatenate([np.reshape(ar1, -1), np.reshape(ar2, -1)])))
composite(np.intersect1d, intersect1d)
composite(np.setdiff1d,   setdiff1d)
composite(np.setxor1d,    setxor1d)
for function in (np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values):
    composite(function, with_values(function))

nondiff(np.argpartition)
