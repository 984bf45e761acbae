"""Functions that join arrays: concatenate, stack, block, append, and those that join what a function gives for parts."""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..convert import as_operand
from ..rule import composite, linear

__all__: list[str] = []  # its rules are in the registry


def concatenate_map(g, xs, axis=0, out=None, dtype=None, casting="same_kind"):
    if axis is None:
        g, axis = g.reshape(-1), 0
        sizes = [x.size for x in xs]
    else:
        axis %= g.ndim
        sizes = [x.shape[axis] for x in xs]
    parts, stop = [], 0
    for x, size in zip(xs, sizes):
        start, stop = stop, stop + size
        parts.append(g[(slice(None),) * axis + (slice(start, stop),)].reshape(x.shape))
    return parts


def stack_map(g, xs, axis=0, out=None, dtype=None, casting="same_kind"):
    lead = (slice(None),) * (axis % g.ndim)
    return [g[(*lead, i)] for i in range(len(xs))]


linear(np.concatenate,      concatenate_map, sequence=True)
linear(np.stack,            stack_map, sequence=True)


def raised(tup, ndim, function):
    return [a if getattr(a, "ndim", 0) >= ndim else function(as_operand(a, function.__name__)) for a in tup]


def hstack(tup, *, dtype=None, casting="same_kind"):
    arrays = raised(tup, 1, np.atleast_1d)
    return np.concatenate(arrays, axis=0 if arrays[0].ndim == 1 else 1, dtype=dtype, casting=casting)


def vstack(tup, *, dtype=None, casting="same_kind"):
    return np.concatenate(raised(tup, 2, np.atleast_2d), axis=0, dtype=dtype, casting=casting)


def column(a):
    a = as_operand(a, "column_stack")
    return a if np.ndim(a) > 1 else np.reshape(a, (-1, 1))


def append(arr, values, axis=None):
    return np.concatenate([as_operand(arr, "append"), as_operand(values, "append")], axis=axis)


def block(arrays):
    """Lists in lists: the innermost are joined along the last axis, those around them along the one before, ..."""
    depth, ndim = nesting(arrays)
    if not depth:
        return arrays.copy()
    return join(arrays, depth, max(depth, ndim))


def nesting(arrays, where=""):
    """How deep the lists are, and the largest number of axes in them."""
    if isinstance(arrays, tuple):
        raise TypeError(f"block: arrays{where} is a tuple; only lists can be used to arrange blocks")
    if not isinstance(arrays, list):
        return 0, np.ndim(arrays)
    if not arrays:
        raise ValueError(f"block: the list arrays{where} is empty")
    found = [nesting(a, f"{where}[{i}]") for i, a in enumerate(arrays)]
    depths = {depth for depth, _ in found}
    if len(depths) > 1:
        raise ValueError(f"block: in arrays{where} some entries are nested deeper than others; nest all equally deep")
    return 1 + depths.pop(), max(ndim for _, ndim in found)


def join(arrays, depth, ndim):
    if not depth:
        return np.reshape(arrays, (1,) * (ndim - np.ndim(arrays)) + np.shape(arrays))
    return np.concatenate([join(a, depth - 1, ndim) for a in arrays], axis=-depth)


composite(np.hstack,        hstack)
composite(np.vstack,        vstack)
composite(np.dstack,        lambda tup: np.concatenate(raised(tup, 3, np.atleast_3d), axis=2))
composite(np.column_stack,  lambda tup: np.concatenate([column(a) for a in tup], axis=1))
composite(np.block,         block)
composite(np.append,        append)


# -- a function of the user, part by part

def apply_along_axis(func1d, axis, arr, *args, **kwargs):
    rows = np.moveaxis(as_operand(arr, "apply_along_axis"), axis, -1)
    kept = rows.shape[:-1]
    results = [as_operand(func1d(rows[i], *args, **kwargs), "apply_along_axis") for i in np.ndindex(kept)]
    if not results:
        raise ValueError(f"apply_along_axis: the shape {np.shape(arr)} has no slices along axis {axis} to apply a function to")
    whole = np.stack(results)
    whole = whole.reshape(kept + whole.shape[1:])
    inner = range(len(kept), whole.ndim)
    return np.moveaxis(whole, [*inner], [i - len(kept) + axis % rows.ndim for i in inner])


def apply_over_axes(func, a, axes):
    a = as_operand(a, "apply_over_axes")
    for axis in axes if np.ndim(axes) else (axes,):
        axis = normalize_axis_index(axis, a.ndim)
        new = func(a, axis)
        if not a.ndim - 1 <= new.ndim <= a.ndim:
            raise ValueError(f"apply_over_axes: the function gave {new.ndim} axes for {a.ndim}; as many are needed, or one less")
        a = new if new.ndim == a.ndim else np.expand_dims(new, axis)
    return a


composite(np.apply_along_axis, apply_along_axis)
composite(np.apply_over_axes,  apply_over_axes)
