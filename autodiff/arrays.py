"""The array functions that NumPy lacks and rules need.

Each runs on anything that follows NumPy's protocols. The ones marked `dispatchable` have derivative
rules of their own: called on a Value they are recorded as one node, like a NumPy function.

The subtle one is `restore`: a map such as `lambda g, y: g * y` yields a cotangent of the *result's*
shape and dtype; `restore` sums it down to the operand's shape and casts it to the operand's dtype. It
is the only place where broadcasting and promotion are undone.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .spec import Spec

__all__ = [
    "arange_like",
    "cast",
    "dispatchable",
    "expand",
    "eye_like",
    "getitem",
    "is_unique",
    "keepaxes",
    "restore",
    "safe_divide",
    "scatter_add",
    "undispatched",
]

F = TypeVar("F", bound=Callable[..., Any])

HOOK = "__autodiff_apply__"
EAGER_BROADCAST = 4096  # elements; below it a filled array costs less than NumPy's broadcast_to


def dispatchable(function: F) -> F:
    """Let classes that define `__autodiff_apply__` take over calls with one of them as an argument.

    This is `__array_function__` for functions that are not NumPy's own; CuPy, say, would refuse them.
    """

    @functools.wraps(function)
    def door(*args: Any, **kwargs: Any) -> Any:
        for a in (*args, *kwargs.values()) if kwargs else args:
            handler = getattr(type(a), HOOK, None)
            if handler is not None:
                return handler(a, door, args, kwargs)
        if args and type(args[0]) in (list, tuple):
            args = (np.asarray(args[0]), *args[1:])
        return function(*args, **kwargs)

    return door  # type: ignore[return-value]


def undispatched(function: Callable[..., Any]) -> Callable[..., Any]:
    """The body of a dispatchable function, for a composite rule that runs it on Values as it is."""
    return inspect.unwrap(function)


def restore(g: Any, spec: Spec) -> Any:
    """Sum `g` over the axes that broadcasting added to `spec.shape`, and cast it to `spec.dtype`."""
    shape, dtype = spec
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


@dispatchable
def cast(x: Any, dtype: Any) -> Any:
    """`x` as `dtype`; from complex to real it is the real part, without NumPy's warning."""
    if x.dtype.kind == "c" and np.dtype(dtype).kind == "f":
        x = x.real
    return x.astype(dtype)


@dispatchable
def expand(x: Any, shape: tuple[int, ...]) -> Any:
    """`np.broadcast_to`, several times faster for small arrays."""
    if x.shape == shape:
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        out = np.ndarray(shape, x.dtype)
        if out.size <= EAGER_BROADCAST:
            out[...] = x
            return out
    return np.broadcast_to(x, shape)


def keepaxes(g: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """Give `g`, of the shape of `x` reduced over `axis`, its reduced axes back with length 1."""
    if keepdims or not x.ndim:
        return g
    if axis is None:
        return g.reshape((1,) * x.ndim)
    axes = {a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))}
    return g.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


@dispatchable
def getitem(x: Any, key: Any) -> Any:
    """`x[key]`: basic slices, integer arrays, boolean masks."""
    return x[key]


@dispatchable
def scatter_add(g: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """The transpose of `getitem`: zeros of `shape` with `g` added at `key`, repeated indices included."""
    out = np.zeros_like(g, shape=shape)
    if is_unique(key):
        out[key] = g
    else:
        np.add.at(out, key, g)
    return out


def arange_like(x: Any, n: int) -> Any:
    """The integers 0, ..., n - 1, on the device of `x`."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np.arange(n)
    return np.cumsum(np.ones_like(x, shape=(n,), dtype=int)) - 1


def eye_like(x: Any, n: int) -> Any:
    """The identity matrix of `n` rows, with the dtype and on the device of `x`."""
    i = arange_like(x, n)
    return (i[:, None] == i).astype(x.dtype)


def is_unique(key: Any) -> bool:
    """Whether `key` names each element at most once: no integer arrays in it."""
    keys = key if isinstance(key, tuple) else (key,)
    return all(k is None or k is Ellipsis or isinstance(k, (int, np.integer, slice)) or k.dtype == bool for k in keys)


def safe_divide(x: Any, y: Any) -> Any:
    """`x / y`, and 0 where both are 0: the subgradient that rules dividing by their own result choose."""
    hole = (x == 0) & (y == 0)
    return np.where(hole, 0.0, x / (y + hole))
