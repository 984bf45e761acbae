"""NumPy's functions that write to their first argument: `np.copyto`, `np.put`, `np.fill_diagonal`, `np.add.at`, ...

Each is an item assignment in disguise; mutation.py makes the graph. On a plain array they are NumPy's own, which
refuses a tracked Value.
"""

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from .arguments import option
from .arrays import is_unique
from .batched import Batched
from .box import Box
from .convert import as_operand
from .errors import DetachError
from .mutation import CASE, write
from .rule import composite

__all__ = ["at", "copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"]


def _cycled(values: Any, count: int) -> Any:
    """`count` elements of `values`, from the beginning again where they run out."""
    flat = np.ravel(as_operand(values, "values"))
    n = np.size(flat)
    return flat if n == count else flat[:count] if n > count else flat[np.arange(count) % max(n, 1)]


def _places(a: Any, flat: Any) -> Any:
    """The index of the elements at the positions `flat` in C order."""
    return np.unravel_index(flat, np.shape(a)) if np.ndim(a) else (...,)


def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    src = as_operand(src, "np.copyto: src")
    if hasattr(src, "dtype") and not np.can_cast(src.dtype, dst.dtype, casting):
        raise TypeError(f"np.copyto: cannot cast from {src.dtype} to {dst.dtype} with casting={casting!r}")
    if where is True:
        dst[...] = src
    else:
        mask: Any = np.broadcast_to(_plain(where), np.shape(dst))
        if type(mask) is Batched:  # it selects another number of elements in each example
            dst[...] = np.where(mask, src, dst)
            return
        dst[mask] = np.broadcast_to(src, np.shape(dst))[mask]


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    flat, size = np.ravel(_plain(ind)).astype(int), np.size(a)
    if flat.size and (not size or (mode == "raise" and np.any((flat < -size) | (flat >= size)))):
        raise IndexError(f"np.put: an index is out of bounds for an array of {size} elements")
    flat = np.clip(flat, 0, size - 1) if mode == "clip" else flat % max(size, 1)
    values = _cycled(v, flat.size)
    if np.ndim(a):
        a[_places(a, flat)] = values
    elif flat.size:
        a[...] = values[-1]


def place(arr: Any, mask: Any, vals: Any) -> None:
    mask = np.reshape(_plain(mask), np.shape(arr)).astype(bool)
    vals, count = as_operand(vals, "np.place: vals"), np.count_nonzero(mask)
    if count and not np.size(vals):
        raise ValueError("np.place: vals is empty")
    arr[mask] = _cycled(vals, int(count))


def putmask(a: Any, mask: Any, values: Any) -> None:
    mask = np.reshape(_plain(mask), np.shape(a))
    values = np.ravel(as_operand(values, "np.putmask: values"))
    if type(mask) is Batched and np.size(values):
        a[...] = np.where(mask, np.reshape(_cycled(values, np.size(a)), np.shape(a)), a)
        return
    flat = np.flatnonzero(mask)
    if np.size(flat) and np.size(values):
        a[_places(a, flat)] = values[flat % np.size(values)]


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    shape = np.shape(a)
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ValueError(f"np.fill_diagonal: shape {shape}; two axes are needed, or more of equal length")
    if len(shape) == 2:
        step, end = shape[1] + 1, None if wrap else shape[1] * shape[1]
    else:
        step, end = 1 + int(np.cumprod(shape[:-1]).sum()), None
    flat = np.arange(np.size(a))[:end:step]
    a[_places(a, flat)] = _cycled(val, np.size(flat))


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None = -1) -> None:
    indices = _plain(indices)
    indices = indices if hasattr(indices, "dtype") else np.asarray(indices)
    shape, size = np.shape(arr), np.size(arr)
    if axis is None:
        if np.any((indices < -size) | (indices >= size)):
            raise IndexError(f"np.put_along_axis: an index is out of bounds for an array of {size} elements")
        arr[_places(arr, indices % max(size, 1))] = values
        return
    axis = normalize_axis_index(axis, len(shape))
    if np.ndim(indices) != len(shape):
        raise ValueError("np.put_along_axis: indices and arr must have the same number of dimensions")
    grid = [np.arange(n).reshape((-1,) + (1,) * (len(shape) - i - 1)) for i, n in enumerate(shape)]
    grid[axis] = indices
    arr[tuple(grid)] = values


_BODIES: dict[Any, Any] = {
    np.copyto: copyto,
    np.put: put,
    np.place: place,
    np.putmask: putmask,
    np.fill_diagonal: fill_diagonal,
    np.put_along_axis: put_along_axis,
}
for _function, _body in _BODIES.items():
    composite(_function, _body)


def at(ufunc: np.ufunc, a: Any, indices: Any, b: Any = None) -> None:
    """`ufunc.at(a, indices, b)`: unbuffered, so that repeated indices count as often as they occur."""
    if not isinstance(a, Box):
        if isinstance(b, Box) and b._node is not None:
            raise DetachError(
                f"np.{ufunc.__name__}.at: a is a plain ndarray and b is tracked, so its gradient would be lost; make "
                "the array inside the differentiated function, or with autodiff.numpy"
            )
        ufunc.at(a, option(CASE.rule, indices), *([] if b is None else [_plain(b)]))
        return
    target: Any = a
    key: Any = option(CASE.rule, _sequence(indices))
    operands: tuple[Any, ...] = () if b is None else (as_operand(b, f"np.{ufunc.__name__}.at"),)
    if ufunc is np.add or ufunc is np.subtract:
        write(a, key, operands[0] if ufunc is np.add else np.negative(operands[0]), adds=True)
    elif is_unique(key):
        target[key] = ufunc(target[key], *operands)
    else:
        places = np.arange(target.size).reshape(target.shape)[key]
        operands = tuple(np.copy(np.ravel(np.broadcast_to(x, places.shape))) for x in operands)  # maybe of the target
        flat = places.ravel()
        order = np.argsort(flat, kind="stable")
        first = np.flatnonzero(np.r_[True, np.diff(flat[order]) != 0]) if flat.size else flat
        rank = np.empty_like(flat)  # how often the place has occurred before
        rank[order] = np.arange(flat.size) - np.repeat(first, np.diff(np.r_[first, flat.size]))
        for r in range(int(rank.max(initial=-1)) + 1):
            chosen = rank == r
            key = _places(target, flat[chosen])
            target[key] = ufunc(target[key], *(x[chosen] for x in operands))


def _sequence(key: Any) -> Any:
    if isinstance(key, list):
        return np.asarray(key, dtype=None if key else int)
    return tuple(map(_sequence, key)) if isinstance(key, tuple) else key


def _plain(x: Any) -> Any:
    """What is no operand: without its Value."""
    return option(CASE.rule, x)
