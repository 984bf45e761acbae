"""Reading and writing elements: `x[key]`, `x[key] = v`, `np.add.at`, take.

NumPy puts the axes that integer arrays make in front if anything stands between them, and in their place otherwise.
With hidden axes before all others that has to be undone by hand. If an integer array is a batch itself, the hidden axes
are indexed too, each by its own numbers, so that every example finds its own elements.
"""

import operator
from typing import Any, NamedTuple

import numpy as np

from ..arrays import add_at, along_axis, as_index, getitem, inner_of, scatter_add, sum_levels
from ..batched import Batched, Level, aligned, batch, hide, levels_of, union, widened
from ..box import Inner
from ..errors import BatchError
from ..rule import RULES
from ..rules.sort import gather, scatter
from .loop import call_each

__all__ = ["Place", "indexed"]

whole = slice(None)


class Place(NamedTuple):
    """Where `x[key]` is in the whole: the key there, and how to order the axes of what it gives."""

    key: tuple[Any, ...]
    order: tuple[int, ...] | None
    levels: tuple[Level, ...]

    def read(self, x: Any) -> Any:
        found = _adopted(x, self.key)[self.key]
        return hide(found if self.order is None else found.transpose(self.order), self.levels)

    def arranged(self, values: Any, shape: tuple[int, ...]) -> Any:
        """`values`, one for each element of the result, as the whole's key wants them."""
        values = widened(values if hasattr(values, "shape") else np.asarray(values), self.levels)
        array = values.whole if type(values) is Batched else values
        h = len(self.levels)
        extra = array.ndim - h - (len(shape) - h)
        while extra > 0:  # axes of length 1 that NumPy lets one have in front
            array, extra = array.reshape(array.shape[:h] + array.shape[h + 1 :]), extra - 1
        array = array.reshape(array.shape[:h] + (1,) * -extra + array.shape[h:])
        array = np.broadcast_to(array, shape)
        return array if self.order is None else array.transpose(np.argsort(self.order))


def _entries(key: Any, ndim: int) -> list[Any]:
    """The key as a list with one entry for each axis that it names, the Ellipsis written out."""
    keys = [*key] if type(key) is tuple else [key]
    keys = [np.asarray(k) if isinstance(k, (list, range)) else k for k in keys]
    used = sum(np.ndim(k) if _is_mask(k) else k is not None and k is not Ellipsis for k in keys)
    if used > ndim:
        raise IndexError(f"too many indices for array: array is {ndim}-dimensional, but {used} were indexed")
    rest = [whole] * (ndim - used)
    for i, k in enumerate(keys):
        if k is Ellipsis:
            return keys[:i] + rest + keys[i + 1 :]
    return keys + rest


def _is_mask(k: Any) -> bool:
    return isinstance(k, (bool, np.bool_)) or getattr(k, "dtype", None) == np.dtype(bool)


def _is_array(k: Any) -> bool:
    return isinstance(k, (np.ndarray, np.generic, Batched)) or hasattr(k, "__array_function__")


def indexed(x: Any, key: Any) -> Place:
    """The place of `x[key]`. Raises BatchError for a mask that is a batch: each example would have another shape."""
    own = levels_of(x)
    h, ndim = len(own), np.ndim(x)
    entries = _entries(key, ndim)
    for k in entries:
        if type(k) is Batched and _is_mask(k):
            raise BatchError(
                "under vmap a boolean mask selects another number of elements in each example, so the result has no "
                "one shape; use np.where(mask, x, 0), or ad.vmap(f, loop=True) if f reduces it"
            )
    if not any(_is_array(k) or _is_mask(k) for k in entries):
        return Place(((whole,) * h + tuple(entries)), None, own)
    levels = union((own, *(k.levels for k in entries if type(k) is Batched)))
    if any(type(k) is Batched for k in entries):
        entries = _without_masks(entries, np.shape(x))
    chosen = [i for i, k in enumerate(entries) if isinstance(k, int) or _is_array(k)]
    joined = chosen == list(range(chosen[0], chosen[-1] + 1))
    first = sum(k is None or isinstance(k, slice) for k in entries[: chosen[0]]) if joined else 0
    batched = any(type(entries[i]) is Batched for i in chosen)
    if not batched:
        count = len(
            np.broadcast_shapes(*((1,) if _is_mask(k) else np.shape(k) for k in map(entries.__getitem__, chosen)))
        )
        total = sum(k is None or isinstance(k, slice) for k in entries) + count + h
        moved = None if joined else (*range(count, count + h), *range(count), *range(count + h, total))
        return Place((whole,) * h + tuple(entries), moved if h else None, own)
    if any(map(_is_mask, entries)):
        raise BatchError("under vmap a truth value beside a batch of indices is no index; use x[None]")
    raw, _ = aligned([entries[i] for i in chosen])
    count = max(np.ndim(entries[i]) for i in chosen)
    for i, a in zip(chosen, raw, strict=True):
        k = entries[i]
        entries[i] = a if type(k) is not Batched or k.levels == levels else _with_levels(k, levels, count)
    n = len(levels)
    numbers = [
        np.arange(level.size).reshape([-1 if other == level else 1 for other in levels] + [1] * count) for level in own
    ]
    rest = sum(k is None or isinstance(k, slice) for k in entries)
    full = (*numbers, *entries)
    if h or not joined:  # the axes of the arrays come first: the levels, then those of an example's index
        order = (
            *range(n),
            *range(n + count, n + count + first),
            *range(n, n + count),
            *range(n + count + first, n + count + rest),
        )
    else:
        order = (*range(first, first + n), *range(first), *range(first + n, n + count + rest))
    return Place(full, None if order == tuple(range(len(order))) else order, levels)


def _with_levels(k: Batched, levels: tuple[Level, ...], count: int) -> Any:
    hidden = tuple(level.size if level in k.levels else 1 for level in levels)
    return k.whole.reshape(hidden + (1,) * (count - k.ndim) + k.shape)


def _without_masks(entries: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Masks as integer arrays, one for each of their axes."""
    found: list[Any] = []
    axis = 0
    for k in entries:
        n = np.ndim(k) if _is_mask(k) else k is not None
        if _is_mask(k) and n:
            if np.shape(k) != shape[axis : axis + n]:
                raise IndexError(
                    f"a boolean index of shape {np.shape(k)} does not fit axes of {shape[axis : axis + n]}"
                )
            found += np.nonzero(k)
        else:
            found.append(k)
        axis += n
    return found


# -- reading


@batch(operator.getitem, getitem)
def _getitem(x: Any, key: Any) -> Any:
    return indexed(x, key).read(x.whole if type(x) is Batched else x)


@batch(gather)
def _gather(x: Any, places: Any) -> Any:
    return _getitem(x.reshape(-1), places)


@batch(np.take)
def _take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    a, axis = (a.reshape(-1), 0) if axis is None else (a, axis % a.ndim)
    n = a.shape[axis]
    index = as_index(indices)
    if mode != "raise":
        index = index % max(n, 1) if mode == "wrap" else np.clip(index, 0, max(n - 1, 0))
    return _getitem(a, (whole,) * axis + (index,))


@batch(np.take_along_axis)
def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None:
        arr, axis = arr.reshape(-1), 0
    return _getitem(arr, along_axis(as_index(indices), arr.shape, axis))


@batch(np.delete)
def _delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    if type(obj) is Batched:
        return call_each(np.delete, arr, obj, axis)
    return RULES[np.delete].forward(arr, obj, axis)[0]  # type: ignore[misc]


# -- writing


@batch(operator.setitem)
def _setitem(x: Batched, key: Any, value: Any) -> None:
    if type(key) is Batched and _is_mask(key):
        mask = key.reshape(key.shape + (1,) * (x.ndim - key.ndim))
        if np.ndim(value):
            indexed(x, key)  # raises
        x.whole[...] = widened(np.where(mask, value, x), x.levels).whole
        return
    place = indexed(x, key)
    if not set(place.levels) <= set(x.levels) or not set(levels_of(value)) <= set(x.levels):
        wide = widened(x, union((place.levels, levels_of(value))))
        x.whole, x.levels = wide.whole, wide.levels
        place = indexed(x, key)
    if isinstance(value, (int, float, complex)) or (isinstance(value, np.ndarray) and not value.ndim):
        x.whole[place.key] = value
    else:
        x.whole[place.key] = place.arranged(value, _shape_of(x.whole, place))


def _adopted(array: Any, key: Any) -> Any:
    """A plain array that is indexed by what is recorded: as a recorded one."""
    inner = inner_of(key)
    return array if inner is None else inner.__autodiff_adopt__(array)


def _zeros_like(numbers: Any) -> Any:
    return numbers if numbers.dtype == bool else np.broadcast_to(0, numbers.shape)


def _shape_of(array: Any, place: Place) -> tuple[int, ...]:
    """The shape of what is at the place in a whole, with the hidden axes in front."""
    key = tuple([_zeros_like(k) if isinstance(k, Inner) else k for k in place.key])  # recorded numbers are not known
    known = np.broadcast_to(0, array.shape) if inner_of(key) is None else _adopted(array, key)  # a mask is recorded
    shape = known[key].shape
    return shape if place.order is None else tuple([shape[i] for i in place.order])


@batch(np.ufunc.at, add_at)
def _at(ufunc: Any, x: Any, key: Any, *values: Any) -> None:
    if not isinstance(ufunc, np.ufunc):  # add_at
        ufunc, x, key, values = np.add, ufunc, x, (key,)
    place = indexed(x, key)
    if type(x) is not Batched or not {*place.levels, *levels_of(list(values))} <= set(x.levels):
        raise BatchError(
            f"np.{ufunc.__name__}.at: the array is the same for all examples, and what is added is not; make the array "
            "inside the mapped function"
        )
    shape = _shape_of(x.whole, place)
    ufunc.at(x.whole, place.key, *(place.arranged(v, shape) for v in values))


@batch(scatter_add)
def _scatter_add(g: Any, key: Any, shape: tuple[int, ...], summed: tuple[Level, ...] = ()) -> Any:
    of_key = levels_of(key)
    early = tuple([level for level in levels_of(g) if level in summed and level not in of_key])
    g = sum_levels(g, early) if early else g
    levels = tuple([level for level in union((levels_of(g), of_key)) if level not in summed])
    array = g.whole if type(g) is Batched else g
    array = np.zeros_like(array, shape=tuple(level.size for level in levels) + tuple(shape))
    place = indexed(hide(array, levels), key)
    array = _adopted(array, place.key)
    out = hide(array, levels)
    add_at(array, place.key, place.arranged(g, _shape_of(array, place)))
    return out


@batch(scatter)
def _scatter(g: Any, places: Any, shape: tuple[int, ...]) -> Any:
    size = 1
    for n in shape:
        size *= n
    return _scatter_add(g.reshape(-1), places.reshape(-1), (size,)).reshape(shape)
