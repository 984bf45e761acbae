"""Functions that pick elements by index or by condition: take, delete, insert, choose, select, piecewise."""

import functools
import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..arrays import along_axis, arange_like, as_index, cast, closed_levels, dispatchable, getitem, scatter_add
from ..box import Inner
from ..convert import as_operand
from ..rule import composite, linear, nondiff

__all__ = ["choice", "insertion"]

whole = slice(None)


# -- by index

def take(x, indices, axis=None, mode="raise"):
    flat = axis is None or not x.ndim
    at = 0 if flat else normalize_axis_index(axis, x.ndim)
    n = x.size if flat else x.shape[at]
    index = as_index(indices)
    if mode == "wrap":
        index = index % max(n, 1)
    elif mode == "clip":
        index = np.clip(index, 0, max(n - 1, 0))
    elif mode != "raise":
        raise ValueError(f'take: mode={mode!r}; it is "raise", "wrap" or "clip"')
    key = (whole,) * at + (index,)
    if isinstance(index, Inner):
        return getitem(x.reshape(-1) if flat else x, key), key
    if flat or not isinstance(x, np.ndarray) or x.flags.c_contiguous:
        return x.take(index, axis), key
    return x[key], key  # x.take would copy all of x first


def take_along_axis(x, indices, axis=-1):
    if axis is None:
        x, axis = x.reshape(-1), 0
    key = along_axis(as_index(indices), x.shape, axis)
    return getitem(x, key), key


def take_map(g, x, aux, indices, axis=None, mode="raise"):
    return picked_map(g, x, aux, None if not x.ndim else axis)


def picked_map(g, x, aux, axis):
    closed = closed_levels(x.levels, g, aux)
    return scatter_add(g, aux, (x.size,), closed).reshape(x.shape) if axis is None else scatter_add(g, aux, x.shape, closed)


def delete(x, obj, axis=None):
    x, axis = (x.reshape(-1), 0) if axis is None else (x, normalize_axis_index(axis, x.ndim))
    kept = np.delete(arange_like(obj, x.shape[axis]), obj)
    mask = np.zeros_like(kept, shape=x.shape[axis], dtype=bool)
    mask[kept] = True  # unlike an index, a mask names nothing twice
    key = (whole,) * axis + (mask,)
    return x[key], key


@dispatchable
def insertion(obj, n, count):
    """Where the elements come from when `count` new ones, numbered from `n` on, are inserted before `obj` of n."""
    return np.insert(arange_like(obj, n), obj, n + arange_like(obj, count))


MASKS = np.lib.NumpyVersion(np.__version__) >= "2.1.2"  # whether truth values are a mask, or 0 and 1


def insert(arr, obj, values, axis=None):
    arr, values = as_operand(arr, "insert"), as_operand(values, "insert")
    if axis is None:
        arr, axis = np.ravel(arr), 0
    axis = normalize_axis_index(axis, arr.ndim)
    if MASKS and np.ndim(obj) and getattr(obj, "dtype", None) == np.dtype(bool):
        obj = np.flatnonzero(obj)
    n, obj = arr.shape[axis], obj if isinstance(obj, slice) else as_index(obj)
    count = len(range(*obj.indices(n))) if isinstance(obj, slice) else np.size(obj)
    values = np.reshape(values, (1,) * (arr.ndim - np.ndim(values)) + np.shape(values))
    if not isinstance(obj, slice) and not np.ndim(obj):
        values = np.moveaxis(values, 0, axis)  # as in arr[:, obj] = values
    count = values.shape[axis] if count == 1 else count
    values = np.broadcast_to(values, (*arr.shape[:axis], count, *arr.shape[axis + 1 :]))
    both = np.concatenate([arr, values if values.dtype == arr.dtype else cast(values, arr.dtype)], axis)
    return getitem(both, (whole,) * axis + (insertion(obj, n, count),))


linear(np.take,            take_map, forward=take, push=lambda t, *rest, **options: take(t, *rest, **options)[0], taints=True)
linear(np.take_along_axis, lambda g, x, aux, indices, axis=-1: picked_map(g, x, aux, axis), forward=take_along_axis, taints=True)
linear(np.delete,          lambda g, x, aux, obj, axis=None: picked_map(g, x, aux, axis), forward=delete, taints=True)
composite(np.insert,       insert)
nondiff(insertion, np.ix_, np.nonzero)


# -- by condition

def compress(condition, a, axis=None):
    if np.ndim(condition) != 1:
        raise ValueError(f"compress: a condition of {np.ndim(condition)} axes; it has to be 1-d")
    return np.take(a, np.flatnonzero(condition), axis)


def piecewise(x, condlist, funclist, *args, **kw):
    x = as_operand(x, "piecewise")
    alone = not isinstance(condlist, (list, tuple)) and not np.ndim(condlist)
    if alone or (x.ndim and not np.ndim(condlist[0])):
        condlist = [condlist]
    conditions = [as_operand(c, "piecewise") != 0 for c in condlist]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~functools.reduce(operator.or_, conditions))
    if len(funclist) != len(conditions):
        n = len(conditions)
        raise ValueError(f"piecewise: {n} conditions and {len(funclist)} functions; either {n} or {n + 1} are expected")
    y = np.zeros_like(x)
    for condition, f in zip(conditions, funclist):
        if callable(f):
            part = getitem(x, condition)
            part = np.broadcast_to(f(part, *args, **kw), part.shape) if part.size else part
            f = scatter_add(part, condition, x.shape)
        y = np.where(condition, f, y)
    return y if y.dtype == x.dtype else cast(y, x.dtype)


def select(condlist, choicelist, default=0):
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(f"select: {len(condlist)} conditions and {len(choicelist)} choices; as many are needed, and at least one")
    condlist = [as_operand(c, "select") for c in condlist]
    for i, condition in enumerate(condlist):
        if condition.dtype != bool:
            raise TypeError(f"select: condition {i} has dtype {condition.dtype}; make it boolean, as in c != 0")
    return first_of([*condlist], [as_operand(c, "select") for c in choicelist], as_operand(default, "select"))


def first_of(conditions, choices, default):
    """Where several conditions hold the first decides, where none does the default."""
    y = default
    for condition, c in zip(reversed(conditions), reversed(choices)):
        y = np.where(condition, c, y)
    dtype = np.result_type(*choices, default)
    return y if y.dtype == dtype else cast(y, dtype)


@dispatchable
def choice(a, n, mode):
    """`a` as an index of n choices, checked or brought into range as `mode` says."""
    return np.choose(a, arange_like(a, n), mode=mode)


def choose(a, choices, mode="raise"):
    choices = [as_operand(c, "choose") for c in choices]
    index = choice(as_operand(a, "choose"), len(choices), mode)
    return first_of([index == i for i in range(len(choices))], choices, choices[0])


composite(np.compress,  compress)
composite(np.extract,   lambda condition, arr: np.compress(np.ravel(condition), arr))
composite(np.piecewise, piecewise)
composite(np.select,    select)
composite(np.choose,    choose)
nondiff(choice)
