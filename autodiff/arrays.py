"""The array functions that NumPy lacks and rules need.

Each runs on anything that follows NumPy's protocols. The ones marked `dispatchable` have derivative
rules of their own: called on a Value they are recorded as one node, like a NumPy function.

The subtle one is `restore`: a map such as `lambda g, y: g * y` yields a cotangent of the *result's*
shape and dtype; `restore` sums it down to the operand's shape and casts it to the operand's dtype. It
is the only place where broadcasting and promotion are undone.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from .batched import Batched, Level, hide, levels_of, union, widened
from .box import Box, Inner
from .context import LEVELS
from .errors import OperandError
from .spec import Spec

__all__ = [
    "add_at",
    "along_axis",
    "arange_like",
    "as_index",
    "cast",
    "closed_levels",
    "dispatchable",
    "embed_diagonal",
    "expand",
    "eye_like",
    "getitem",
    "inner_of",
    "is_dispatchable",
    "is_unique",
    "keepaxes",
    "overlap_add",
    "repeat_levels",
    "restore",
    "safe_divide",
    "scatter_add",
    "sum_levels",
    "undispatched",
    "zeros",
]

F = TypeVar("F", bound=Callable[..., Any])

HOOK = "__autodiff_apply__"
EAGER_BROADCAST = 4096  # elements; below it a filled array costs less than NumPy's broadcast_to
MANY = 1024  # elements, from which on it pays to sort out how to add them
NARROW = 16  # elements of a row, up to which a loop over columns is the fastest way to add rows
BLOCK = 16384  # elements that are added at a time, so that their indices stay in the cache
BOOL = np.dtype(bool)
PLAIN = frozenset((np.ndarray, np.float64, np.float32))
HOOKLESS = PLAIN | {slice, int, float, bool, str, tuple, type(None)}  # for sure: asking takes longer
PAIRS = {np.dtype("f4"): np.dtype("c8"), np.dtype("f8"): np.dtype("c16")}


def dispatchable(function: F) -> F:
    """Let classes that define `__autodiff_apply__` take over calls with one of them as an argument.

    This is `__array_function__` for functions that are not NumPy's own; CuPy, say, would refuse them.

    >>> double = dispatchable(lambda x: x + x)
    >>> double([1.0, 2.0])  # a list becomes an array
    array([2., 4.])
    """
    if not callable(function):
        raise OperandError(f"dispatchable: the argument is a {type(function).__name__}; pass a function")

    @functools.wraps(function)
    def door(*args: Any, **kwargs: Any) -> Any:
        for a in (*args, *kwargs.values()) if kwargs else args:
            kind = type(a)
            if kind not in HOOKLESS and hasattr(kind, HOOK):
                return getattr(kind, HOOK)(a, door, args, kwargs)
        if args and type(args[0]) in (list, tuple):
            args = (np.asarray(args[0]), *args[1:])
        return function(*args, **kwargs)

    return door  # type: ignore[return-value]


DOOR = dispatchable(len).__code__


def is_dispatchable(function: Any) -> bool:
    """Whether classes are asked when `function` is called: it is NumPy's, or decorated as `dispatchable`."""
    return isinstance(function, (np.ufunc, type(np.sum))) or getattr(function, "__code__", None) is DOOR


def undispatched(function: Callable[..., Any]) -> Callable[..., Any]:
    """The body of a dispatchable function, for a composite rule that runs it on Values as it is.

    >>> undispatched(dispatchable(len)) is len
    True
    """
    return inspect.unwrap(function)


def restore(g: Any, spec: Spec) -> Any:
    """Sum `g` over the axes that broadcasting added to `spec.shape`, and cast it to `spec.dtype`.

    Under vmap there are hidden axes too: summed are those that the operand lacks, of levels that are not active. While
    a level is active each example is to have a cotangent of its own.

    >>> restore(np.ones((3, 2)), Spec((2,), np.dtype(np.float32)))
    array([3., 3.], dtype=float32)
    """
    shape, dtype, levels = spec
    if type(g) not in PLAIN:
        data = g._array if isinstance(g, Box) else g
        if type(data) is Batched:
            closed = closed_levels(levels, data)
            g = sum_levels(g, closed) if closed else g
    if g.shape != shape:
        lead = g.ndim - len(shape)
        if lead:
            g = g.sum(axis=tuple(range(lead)))
        stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
        if stretched:
            g = g.sum(axis=stretched, keepdims=True)
    if g.dtype != dtype:
        g = cast(g, dtype)
    return g


def closed_levels(kept: tuple[Level, ...], *xs: Any) -> tuple[Level, ...]:
    """The levels of several arrays over which `restore` sums: those that are neither kept nor active."""
    levels = union(levels_of(getattr(x, "_array", x)) for x in xs)
    if not levels:
        return ()
    active = LEVELS.get()
    return tuple([level for level in levels if level not in kept and level not in active])


@dispatchable
def sum_levels(x: Any, levels: tuple[Level, ...]) -> Any:
    """The sum over hidden axes."""
    whole = x.whole.sum(axis=tuple([i for i, level in enumerate(x.levels) if level in levels]))
    return hide(whole, tuple([level for level in x.levels if level not in levels]))


@dispatchable
def repeat_levels(x: Any, levels: tuple[Level, ...]) -> Any:
    """The same for every example of further levels: the transpose of `sum_levels`."""
    return widened(x, levels)


@dispatchable
def cast(x: Any, dtype: Any) -> Any:
    """`x` as `dtype`; from complex to real it is the real part, without NumPy's warning.

    >>> cast(np.array([1 + 2j]), float)
    array([1.])
    """
    if x.dtype.kind == "c" and np.dtype(dtype).kind == "f":
        x = x.real
    return x.astype(dtype)


@dispatchable
def expand(x: Any, shape: tuple[int, ...]) -> Any:
    """`np.broadcast_to`, several times faster for small arrays.

    >>> expand(np.array([1.0, 2.0]), (2, 2))
    array([[1., 2.],
           [1., 2.]])
    """
    if x.shape == shape:
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        out = np.ndarray(shape, x.dtype)
        if out.size <= EAGER_BROADCAST:
            out[...] = x
            return out
    return np.broadcast_to(x, shape)


def keepaxes(g: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """Give `g`, of the shape of `x` reduced over `axis`, its reduced axes back with length 1, if it has others.

    >>> keepaxes(np.ones(2), np.ones((2, 3)), 1, False).shape
    (2, 1)
    """
    if keepdims or not x.ndim or axis is None:
        return g  # without axes it broadcasts as it is
    axes = {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    return g.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


@dispatchable
def getitem(x: Any, key: Any) -> Any:
    """`x[key]`: basic slices, integer arrays, boolean masks.

    >>> getitem(np.array([1.0, 2.0, 3.0]), slice(1, None))
    array([2., 3.])
    """
    inner = inner_of(key)
    if inner is not None and inner is not key:
        return inner.__autodiff_apply__(getitem, (x, key), {})
    if type(key) is np.ndarray and key.dtype.kind == "i" and type(x) is np.ndarray and x.flags.c_contiguous:
        return x.take(key, 0)  # the same, faster
    return x[key]


@dispatchable
def scatter_add(g: Any, key: Any, shape: tuple[int, ...], summed: tuple[Level, ...] = ()) -> Any:
    """The transpose of `getitem`: zeros of `shape` with `g` added at `key`, repeated indices included.

    Under vmap the examples of the levels `summed` are added in one array, which saves the memory of one for each.

    >>> scatter_add(np.ones(3), np.array([0, 0, 2]), (3,))
    array([2., 0., 1.])
    """
    inner = inner_of(key)
    if inner is not None and inner is not key:
        return inner.__autodiff_apply__(scatter_add, (g, key, shape, summed), {})
    out = zeros(g, shape)
    if is_unique(key):
        out[key] = g
    else:
        add_at(out, key, g)
    return out


def inner_of(key: Any) -> Any:
    """The batch, or else the array that is recorded, that an index is or has among its parts."""
    if type(key) is not tuple:
        return key if isinstance(key, Inner) else None
    inner = [k for k in key if isinstance(k, Inner)]
    return next((k for k in inner if type(k) is Batched), inner[0]) if inner else None


def add_at(out: Any, key: Any, g: Any) -> None:
    """`np.add.at(out, key, g)`, in place.

    >>> add_at(out := np.zeros(2), np.array([1, 1]), np.ones(2))
    >>> out
    array([0., 2.])
    """
    if is_unique(key):
        out[key] += g
    elif type(out) is not np.ndarray or g.size < MANY or g.dtype != out.dtype or not _add_rows(out, key, g):
        np.add.at(out, key, g)


def _add_rows(out: Any, key: Any, g: Any) -> bool:
    """`np.add.at(out, key, g)` several times faster, if `key` is integer arrays side by side, with whole axes around.

    The quick path of `np.add.at` is for 1-d arrays. So count rows: one for each choice of the indices up to the last
    array's, as wide as the axes after it.
    """
    if out.ndim == 1 or not out.flags.c_contiguous:
        return False
    keys = [*key] if isinstance(key, tuple) else [key]
    for at, k in enumerate(keys):
        if k is Ellipsis:
            keys[at : at + 1] = [slice(None)] * (out.ndim - len(keys) + 1)
            break
    while _is_whole(keys[-1]):
        keys.pop()
    lead = next(i for i, k in enumerate(keys) if not _is_whole(k))
    keys, lengths = keys[lead:], out.shape[lead : len(keys)]
    if not all(type(k) is int or getattr(k, "dtype", BOOL).kind in "iu" for k in keys):
        return False
    rows: Any = 0
    for k, n in zip(keys, lengths):
        k = np.asarray(k, np.intp)
        rows = rows * n + (np.where(k < 0, k + n, k) if k.size and k.min() < 0 else k)
    rows = rows.reshape(-1)
    if lead:
        count = math.prod(lengths)
        rows = (np.arange(0, math.prod(out.shape[:lead]) * count, count)[:, None] + rows).reshape(-1)
    width = math.prod(out.shape[lead + len(keys) :])
    if g.size != len(rows) * width:
        return False
    out, g = out.reshape(-1, width), np.ascontiguousarray(g.reshape(-1, width))
    if not width % 2 and g.dtype in PAIRS:  # a complex number is two real ones: half as many additions
        out, g, width = out.view(PAIRS[g.dtype]), g.view(PAIRS[g.dtype]), width // 2
    if width <= NARROW:
        for i in range(width):
            np.add.at(out[:, i], rows, g[:, i])
    elif _all_differ(rows, len(out)):
        out[rows] += g
    else:
        flat, columns, step = out.reshape(-1), np.arange(width), max(BLOCK // width, 1)
        for i in range(0, len(rows), step):
            np.add.at(flat, (rows[i : i + step, None] * width + columns).reshape(-1), g[i : i + step].reshape(-1))
    return True


def _is_whole(k: Any) -> bool:
    return k is Ellipsis or (isinstance(k, slice) and k == slice(None))


def _all_differ(rows: Any, count: int) -> bool:
    """Whether no row is named twice: each finds what it wrote."""
    written = np.empty(count, np.intp)
    order = np.arange(len(rows))
    written[rows] = order
    return bool((written[rows] == order).all())


@dispatchable
def overlap_add(g: Any, axes: tuple[int, ...]) -> Any:
    """The transpose of `sliding_window_view` over `axes`: what the windows share is added up."""
    for axis in reversed(axes):  # one axis at a time, by whole slices
        count, width = g.shape[axis], g.shape[-1]
        out = zeros(g, (*g.shape[:axis], count + width - 1, *g.shape[axis + 1 : -1]))
        lead = (slice(None),) * axis
        if width <= count:
            for i in range(width):
                out[(*lead, slice(i, i + count))] += g[..., i]
        else:
            windows = np.moveaxis(g, -1, axis + 1)
            for i in range(count):
                out[(*lead, slice(i, i + width))] += windows[(*lead, i)]
        g = out
    return g


@dispatchable
def embed_diagonal(g: Any, shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Any:
    """The transpose of `np.diagonal`: zeros of `shape` with `g` on a diagonal."""
    out = zeros(g, shape)
    i = arange_like(g, g.shape[-1])
    np.moveaxis(out, (axis1, axis2), (-2, -1))[..., i + max(-offset, 0), i + max(offset, 0)] = g
    return out


def as_index(x: Any) -> Any:
    """`x` as integers to index with: lists become arrays, and truth values 0 and 1."""
    if isinstance(x, (list, tuple, range)):
        x = np.array(x, dtype=None if len(x) else int)
    if isinstance(x, bool):
        return int(x)
    return x.astype(int) if getattr(x, "dtype", None) == BOOL else x


def along_axis(index: Any, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """The key for which `x[key]` is `np.take_along_axis(x, index, axis)`, where x has this shape."""
    if index.ndim != len(shape) or index.dtype.kind not in "iu":
        raise ValueError(
            f"take_along_axis: an index of dtype {index.dtype} with {index.ndim} axes; "
            f"it has to be an array of integers with {len(shape)} axes"
        )
    key = [arange_like(index, n).reshape((-1,) + (1,) * (len(shape) - 1 - i)) for i, n in enumerate(shape)]
    key[normalize_axis_index(axis, len(shape))] = index
    return tuple(key)


def zeros(x: Any, shape: tuple[int, ...]) -> Any:
    """Zeros with the dtype and on the device of `x`; `np.zeros_like` would write each of them.

    >>> zeros(np.float32(1), (2,))
    array([0., 0.], dtype=float32)
    """
    if isinstance(x, (np.ndarray, np.generic)):
        return np.zeros(shape, x.dtype)
    return np.zeros_like(x, shape=shape)


def arange_like(x: Any, n: int) -> Any:
    """The integers 0, ..., n - 1, on the device of `x`.

    >>> arange_like(np.ones(2), 3)
    array([0, 1, 2])
    """
    if isinstance(x, (np.ndarray, np.generic)) or not hasattr(x, "dtype"):
        return np.arange(n)
    return np.cumsum(np.ones_like(x, shape=(n,), dtype=int)) - 1


def eye_like(x: Any, n: int) -> Any:
    """The identity matrix of `n` rows, with the dtype and on the device of `x`.

    >>> eye_like(np.ones(2), 2)
    array([[1., 0.],
           [0., 1.]])
    """
    i = arange_like(x, n)
    return (i[:, None] == i).astype(x.dtype)


def is_unique(key: Any) -> bool:
    """Whether `key` names each element at most once: no integer arrays in it, but single integers."""
    keys = key if isinstance(key, tuple) else (key,)
    return all(k is None or k is Ellipsis or isinstance(k, (int, slice)) or k.dtype == bool or not k.ndim for k in keys)


def safe_divide(x: Any, y: Any) -> Any:
    """`x / y`, and 0 where both are 0: the subgradient that rules dividing by their own result choose.

    >>> safe_divide(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    array([0.5, 0. ])
    """
    hole = (x == 0) & (y == 0)
    return np.where(hole, 0.0, x / (y + hole))
