"""NumPy's creation functions, where the numbers may be Values.

    array([[cos(t), -sin(t)], [sin(t), cos(t)]])     # t a Value: so is the matrix, and its gradient reaches t

NumPy would ask each Value for a plain number, which tracked ones refuse. The functions in `CREATORS` are
NumPy's own while no Value is among their arguments, and give what NumPy gives; with Values, they give one.
Nested lists become one node of the graph, however many Values are in them.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import cast
from .box import Box, Inner
from .convert import is_array
from .dispatch import apply
from .errors import OperandError
from .nested import holds_values, untangled
from .rule import composite
from .value import Value
from .views import has_place, is_laid_out, make_place, peek

__all__ = ["CREATORS", "UNTANGLING", "Vectorize", "as_values", "untangling"]


def as_values(x: Any, kinds: str = "biufc") -> Any:
    """Arrays and NumPy scalars of these kinds as untracked Values, also in lists and tuples; others as they are."""
    if type(x) is np.ndarray and x.ndim:
        return Value._wrap(x) if x.dtype.kind in kinds else x
    if isinstance(x, (list, tuple)):
        items = [as_values(item, kinds) for item in x]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    if isinstance(x, Box) or not is_array(x) or x.dtype.kind not in kinds:
        return x
    if not isinstance(x, np.ndarray) or x.ndim:
        return Value._wrap(x)
    v = Value._wrap(x[()])
    make_place(v)
    return v


# -- one function each, for arguments some of which are Values


def _array(
    object: Any,
    dtype: Any = None,
    *,
    copy: bool | None = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    like: Any = None,
    name: str = "array",
) -> Any:
    new = _boxed(untangled(object, name))
    if not isinstance(new, Box):
        return np.array(new, dtype, copy=copy, order=order, subok=subok, ndmin=ndmin)
    if dtype is not None and np.dtype(dtype).kind not in "biufc":
        raise OperandError(f"{name}: dtype {np.dtype(dtype)} cannot hold a Value; use a list, or a dtype of numbers")
    if dtype is not None and new._array.dtype != dtype:
        new = apply(cast, (new, np.dtype(dtype)), {})
    scalar = new is object and not (peek(new)[0].ndim or has_place(new))  # it becomes an array
    if scalar or not is_laid_out(new._array, order) or (copy and new is object):
        new = apply(np.copy, (new,), {"order": order})
    if copy is False and new is not object:
        raise ValueError(f"{name}: copy=False, but what was given cannot be used without copying; use copy=None")
    shape = new._array.shape
    return apply(np.reshape, (new, (1,) * (ndmin - len(shape)) + shape), {}) if ndmin > len(shape) else new


def _asarray(
    a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: bool | None = None, like: Any = None
) -> Any:
    return _array(a, dtype, copy=copy, order=order, name="asarray")


def _ascontiguousarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    return _array(a, dtype, copy=None, order="C", ndmin=1)


def _asfortranarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    return _array(a, dtype, copy=None, order="F")


def _asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Any:
    new = _asarray(a, dtype, order)
    if not np.isfinite(new._array).all():
        raise ValueError("asarray_chkfinite: the array has infs or NaNs")
    return new


def _copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    return _array(a, order=order)


def _full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", **kwargs: Any) -> Any:
    if not holds_values(fill_value):
        return np.full(shape, fill_value, dtype, order, **kwargs)
    fill = _array(fill_value, dtype, copy=None, name="full")
    return apply(np.copy, (apply(np.broadcast_to, (fill, shape), {}),), {"order": order})


def _full_like(a: Any, fill_value: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
    if isinstance(a, Box):
        return np.full_like(a, untangled(fill_value), dtype, *args, **kwargs)
    like = np.empty_like(a, dtype, *args, **kwargs)
    return _full(like.shape, fill_value, like.dtype)


def _arange(
    start: Any = 0, stop: Any = None, step: Any = 1, dtype: Any = None, *, device: Any = None, like: Any = None
) -> Any:
    """As many numbers as NumPy gives, each `start + i * step`, so that start and step get gradients."""
    if stop is None:
        start, stop = 0, start
    ends = start, stop, step
    plain = np.arange(*map(_data, ends), dtype=dtype)
    if plain.dtype.kind not in "fc" or not (isinstance(start, Box) or isinstance(step, Box)):
        return next(e for e in ends if isinstance(e, Box))._wrap(plain)
    y = np.arange(len(plain), dtype=plain.dtype) * step + start
    return y if y.dtype == plain.dtype else y.astype(plain.dtype)


def _boxed(x: Any) -> Any:
    """A number that jit records, or an array of such, as a Value; anything else as it is."""
    return Value._wrap(x) if isinstance(x, Inner) else x


def _data(x: Any) -> Any:
    return x._array if isinstance(x, Box) else x


def _fromiter(iter: Any, dtype: Any, count: int = -1, *, like: Any = None) -> Any:
    items = [*(iter if count < 0 else itertools.islice(iter, count))]
    return _array(items, dtype, name="fromiter") if holds_values(items) else np.fromiter(items, dtype, count)


class Vectorize(np.vectorize):
    """np.vectorize, whose function may be given Values, one number each, and may return some."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = tuple(map(untangled, args))
        if not any(map(holds_values, (*args, *kwargs.values()))):
            return super().__call__(*args, **kwargs)
        if kwargs or self.excluded or self.signature:
            raise OperandError("np.vectorize: Values work by position only, without excluded= or signature=")
        arrays = np.broadcast_arrays(*args)
        shape = arrays[0].shape
        rows = [self.pyfunc(*numbers) for numbers in zip(*(a.reshape(-1) for a in arrays), strict=True)]
        if not rows:
            raise ValueError("np.vectorize: no numbers to call the function with, so nothing tells what it returns")
        many = type(rows[0]) is tuple
        columns = [*zip(*rows, strict=True)] if many else [rows]
        dtypes = self.otypes or [None] * len(columns)
        found = tuple(_array([*c], dtype=t).reshape(shape) for c, t in zip(columns, dtypes, strict=True))
        return found if many else found[0]


# -- what is indexed instead of called


class _Grid:
    """np.mgrid and np.ogrid: one axis of numbers for each slice."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain

    def __getitem__(self, key: Any) -> Any:
        slices = key if isinstance(key, tuple) else (key,)
        if not any(map(_has_value_ends, slices)):
            return self.plain[key]
        axes = [_numbers(s) for s in slices]
        if not isinstance(key, tuple):
            return axes[0]
        ends = [
            abs(e) if isinstance(e, complex) else e for s in slices for e in (s.start, s.stop, s.step) if e is not None
        ]
        dtype = np.result_type(0, *map(_data, ends))
        shapes = [(1,) * i + np.shape(a) + (1,) * (len(axes) - 1 - i) for i, a in enumerate(axes)]
        sparse = tuple(_array(a, dtype, copy=None).reshape(shape) for a, shape in zip(axes, shapes, strict=True))
        if self.plain.sparse:
            return sparse
        full = np.broadcast_shapes(*shapes)
        return untangled([np.broadcast_to(a, full) for a in sparse])


class _Joined:
    """np.r_ and np.c_: slices, numbers and arrays joined along an axis."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain

    def __getitem__(self, key: Any) -> Any:
        items = [untangled(i, "np.r_") for i in (key if isinstance(key, tuple) else (key,))]
        if not any(isinstance(i, Box) or _has_value_ends(i) for i in items):
            return self.plain[key]
        layout = [self.plain.axis, self.plain.ndmin, self.plain.trans1d]
        if isinstance(items[0], str):
            directive = items.pop(0)
            if directive in ("r", "c"):
                raise OperandError(f"np.r_[{directive!r}, ...]: Values make no np.matrix; leave the letter out")
            given = [int(n) for n in directive.split(",")]
            layout[: len(given)] = given
        axis, ndmin, place = layout
        items = [_numbers(i) if isinstance(i, slice) else i for i in items]
        weak = [i if type(i) in (bool, int, float, complex) else _entry_dtype(i) for i in items]
        dtype = np.result_type(*weak)
        parts = []
        for i in items:
            part = _array(i, dtype, copy=None)
            new = max(ndmin - np.ndim(part), 0)
            before = place if place >= 0 else place + new + 1
            parts.append(np.reshape(part, (1,) * before + np.shape(part) + (1,) * (new - before)))
        return np.concatenate(parts, axis)


def _entry_dtype(item: Any) -> Any:
    return item.dtype if hasattr(item, "dtype") else np.asarray(item).dtype


def _has_value_ends(s: Any) -> bool:
    return isinstance(s, slice) and holds_values((s.start, s.stop, s.step))


def _numbers(s: slice) -> Any:
    """The numbers that a slice stands for; an imaginary step counts them, both ends included."""
    start = 0 if s.start is None else s.start
    if isinstance(s.step, complex):
        return np.linspace(start, s.stop, int(abs(s.step)))
    return CREATORS["arange"](start, s.stop, 1 if s.step is None else s.step)


# -- all of them by name


def _for_values(name: str, ours: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's function of this name; `ours` where Values are among the arguments."""
    plain = getattr(np, name)

    @functools.wraps(plain)
    def creator(*args: Any, **kwargs: Any) -> Any:
        if any(map(holds_values, args)) or (kwargs and any(map(holds_values, kwargs.values()))):
            return ours(*map(_boxed, args), **{name: _boxed(x) for name, x in kwargs.items()})
        return plain(*args, **kwargs)

    return creator


# Functions of which NumPy asks the first argument only, or not all others, whether it has something to say.
OVERLOOKS = "all amax amin any max mean min nan_to_num nanmax nanmean nanmin nanprod nanstd nansum nanvar pad prod std"
OVERLOOKING = frozenset((*OVERLOOKS.split(), "sum", "take", "var"))

JOINS = "choose column_stack concatenate dstack hstack multi_dot piecewise select stack vstack"
JOINING = frozenset(JOINS.split())


def _is_index(x: Any) -> bool:
    data = peek(x)[0] if isinstance(x, Box) else x
    return type(x) in (int, type(None)) or (isinstance(x, (Box, Inner)) and data.dtype.kind in "iu")


def untangling(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays, or of lists of arrays, which may be given as nested lists with Values in them."""
    joins, overlooks = function.__name__ in JOINING, function.__name__ in OVERLOOKING

    def entry(x: Any) -> Any:
        if type(x) is tuple and all(map(_is_index, x)):
            return x  # axes, or a shape
        return [*map(untangled, x)] if joins and type(x) in (list, tuple) else untangled(x)

    @functools.wraps(function)
    def taking(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            kwargs = {name: entry(x) for name, x in kwargs.items()}
        if overlooks and args and type(args[0]) is np.ndarray:
            if any(isinstance(x, (Box, Inner)) for x in (*args[1:], *kwargs.values())):
                args = (as_values(args[0]), *args[1:])  # whom NumPy asks for all of them
        return function(*map(entry, args), **kwargs)

    return function if function.__name__ == "block" else taking


OF_NUMBERS: dict[str, Callable[..., Any]] = {
    "arange": _arange,
    "array": _array,
    "asanyarray": _asarray,
    "asarray": _asarray,
    "asarray_chkfinite": _asarray_chkfinite,
    "ascontiguousarray": _ascontiguousarray,
    "asfortranarray": _asfortranarray,
    "copy": _copy,
    "full": _full,
    "full_like": _full_like,
}
OF_SHAPES = "empty empty_like eye fromfunction identity meshgrid ones ones_like tri zeros zeros_like"
OF_ARRAYS = "diag diagflat geomspace linspace logspace vander"

CREATORS: dict[str, Any] = {name: _for_values(name, ours) for name, ours in OF_NUMBERS.items()}
CREATORS |= {name: getattr(np, name) for name in OF_SHAPES.split()}
CREATORS |= {name: untangling(getattr(np, name)) for name in OF_ARRAYS.split()}
CREATORS |= {name: _Grid(getattr(np, name)) for name in ("mgrid", "ogrid")}
CREATORS |= {name: _Joined(getattr(np, name)) for name in ("r_", "c_")}
CREATORS["fromiter"] = functools.wraps(np.fromiter)(_fromiter)  # an iterator cannot be looked into before it is used


def _isscalar(element: Any) -> bool:
    if isinstance(element, Box):
        return not (peek(element)[0].ndim or has_place(element))
    return np.isscalar(element)


def _ndenumerate(arr: Any) -> Any:
    arr = _boxed(untangled(arr, "np.ndenumerate"))
    return ((i, arr[i]) for i in np.ndindex(arr.shape)) if hasattr(arr, "_node") else np.ndenumerate(arr)


# Functions of arrays, which may be given lists; and two that NumPy lets nobody override.
UNTANGLING: dict[str, Any] = {
    name: untangling(function)
    for name, function in vars(np).items()
    if hasattr(function, "__wrapped__") and name not in CREATORS and not name.startswith("_")
}
UNTANGLING |= {
    "isscalar": functools.wraps(np.isscalar)(_isscalar),
    "ndenumerate": functools.wraps(np.ndenumerate, updated=())(_ndenumerate),
    "vectorize": Vectorize,
}

for _name in ("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"):  # with like=
    composite(getattr(np, _name), lambda *args, create=CREATORS[_name], **kwargs: as_values(create(*args, **kwargs)))
