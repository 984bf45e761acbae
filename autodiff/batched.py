"""Batched: an array with hidden axes, so that code for one example computes all of them at once.

`vmap` gives a function arrays that look like one example. Their further axes are in front, out of sight, one for each
`Level`, as two vmaps may be nested:

    x = Batched(np.ones((5, 3)), (level,))     # five examples, each of shape (3,)
    x.shape                                    # (3,)
    (x * x).sum().whole.shape                  # (5,)

Axes are aligned by their levels, never by position: what two arrays have in common is paired, what only one has is
broadcast. `BATCHING` says how each function does that, see the package batching; a function without an entry is
called for one example after the other. A Batched is only ever the data of a Value, or raw in a walk: Values know how it
was computed, it knows nothing of them.
"""

import importlib
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .box import Box, Inner
from .context import LEVELS
from .errors import BatchError

__all__ = [
    "BATCHING",
    "Batched",
    "Level",
    "Levels",
    "aligned",
    "axes_of",
    "batch",
    "check_running",
    "hide",
    "levels_of",
    "run",
    "union",
    "widened",
]

Function = Callable[..., Any]

BATCHING: dict[Function, Function] = {}  # what to call in a function's place, filled when batching is imported

ndarray, generic = np.ndarray, np.generic
new = object.__new__


class Level(NamedTuple):
    """One vmap that is running, or was: its number, and how many examples it has. Outer ones have smaller numbers."""

    number: int
    size: int


Levels = tuple[Level, ...]


class Batched(Inner):
    """The array `whole`, whose first axes belong to `levels`, in ascending order, and are hidden.

    >>> Batched(np.ones((5, 3)), (Level(1, 5),))
    Batched(5 examples of shape (3,), float64)
    """

    __slots__ = ("__weakref__", "levels", "whole")
    __hash__ = None  # type: ignore[assignment]

    whole: Any
    levels: Levels

    def __init__(self, whole: Any, levels: Levels) -> None:
        self.whole, self.levels = whole, levels

    # -- what one example looks like

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.whole.shape[len(self.levels) :]
        return shape

    @property
    def ndim(self) -> int:
        return int(self.whole.ndim) - len(self.levels)

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def dtype(self) -> Any:
        return self.whole.dtype

    @property
    def itemsize(self) -> int:
        return int(self.whole.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        strides: tuple[int, ...] = self.whole.strides[len(self.levels) :]
        return strides

    @property
    def flags(self) -> Any:
        return self.example.flags

    def is_laid_out(self, order: str) -> bool:
        example = self.example
        return example.is_laid_out(order) if isinstance(example, Inner) else super().is_laid_out(order)

    @property
    def example(self) -> Any:
        """The first example: all of them have its memory layout. The whole if there is none."""
        filled = all(level.size for level in self.levels)
        return self.whole[(*(0,) * len(self.levels), ...)] if filled else self.whole

    @property
    def notes_invalid(self) -> bool:
        """Whether an invalid operation is reported, as NumPy does."""
        return isinstance(self.whole, (ndarray, generic)) or getattr(self.whole, "notes_invalid", False)

    @property
    def device(self) -> Any:
        return getattr(self.whole, "device", "cpu")

    @property
    def T(self) -> "Batched":
        return self.transpose()

    @property
    def mT(self) -> "Batched":
        return hide(self.whole.mT, self.levels)

    @property
    def real(self) -> "Batched":
        return hide(self.whole.real, self.levels)

    @property
    def imag(self) -> "Batched":
        return hide(self.whole.imag, self.levels)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of an unsized object: each example is 0-d")
        return self.shape[0]

    def __iter__(self) -> Iterator["Batched"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        sizes = " x ".join(str(level.size) for level in self.levels)
        return f"Batched({sizes} examples of shape {self.shape}, {self.dtype})"

    # -- NumPy's protocols and ours

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Box) for x in inputs):
            return NotImplemented
        if method != "__call__":
            return run(getattr(np.ufunc, method), (ufunc, *inputs), kwargs)
        if not kwargs and ufunc not in BATCHING:
            arrays, levels = aligned(inputs)
            ans = ufunc(*arrays)
            return tuple(hide(a, levels) for a in ans) if type(ans) is tuple else hide(ans, levels)
        return run(ufunc, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(t, Box) for t in types):
            return NotImplemented
        return run(function, args, kwargs)

    def __autodiff_apply__(self, function: Any, args: Any, kwargs: Any) -> Any:
        for a in (*args, *kwargs.values()):
            if isinstance(a, Box):
                return a.__autodiff_apply__(function, args, kwargs)  # type: ignore[attr-defined]
        return run(function, args, kwargs)

    def __autodiff_adopt__(self, array: Any) -> Any:
        """An array that is going to be written to with this one: of the kind that the whole is."""
        return self.whole.__autodiff_adopt__(array) if isinstance(self.whole, Inner) else array

    # -- what would need one answer for all examples

    def __bool__(self) -> bool:
        raise _refusal(self, "a truth value, as `if` and `while` need it", "select with np.where(condition, x, y)")

    def __int__(self) -> int:
        raise _refusal(self, "int()", "use np.floor or .astype(int), and index with the result")

    def __float__(self) -> float:
        raise _refusal(self, "float()", "use np functions in place of math functions")

    def __complex__(self) -> complex:
        raise _refusal(self, "complex()", "use .astype(complex)")

    def __index__(self) -> int:
        raise _refusal(self, "an index of a list or range", "index an array with it")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise _refusal(
            self,
            "a plain array",
            "use functions of numpy or autodiff, which take batches as they are, as np.take(T, i); in T[i], T.take(i) "
            "and T.dot(x) a plain array T has to be an argument of f, with in_axes=None, or to be made inside f",
        )

    def __format__(self, spec: str) -> str:
        if spec:
            raise _refusal(self, "text in a format", "leave out the format")
        return repr(self)

    def item(self, *index: Any) -> Any:
        raise _refusal(self, ".item()", "keep the array")

    def tolist(self) -> Any:
        raise _refusal(self, ".tolist()", "keep the array")

    def tobytes(self, order: Any = "C") -> Any:
        raise _refusal(self, ".tobytes()", "keep the array")

    # -- methods that rules use most; the others are the functions of the same name

    def copy(self, order: Any = "C") -> "Batched":
        return hide(self.whole.copy(order), self.levels)

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> "Batched":
        return hide(self.whole.astype(dtype, *args, **kwargs), self.levels)

    def conj(self) -> "Batched":
        return hide(self.whole.conj(), self.levels)

    conjugate = conj

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **more: Any) -> Any:
        if more or out is not None:
            return run(np.sum, (self,), {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims, **more})
        return hide(self.whole.sum(axis=axes_of(self, axis), dtype=dtype, keepdims=keepdims), self.levels)

    def reshape(self, *shape: Any, order: Any = "C") -> "Batched":
        shape = shape[0] if len(shape) == 1 else shape
        hidden = self.whole.shape[: len(self.levels)]
        if order == "F" or not self.whole.size:
            return run(np.reshape, (self, shape), {"order": order})
        return hide(self.whole.reshape((*hidden, *(shape if type(shape) in (tuple, list) else (shape,)))), self.levels)

    def transpose(self, *axes: Any) -> "Batched":
        h, n = len(self.levels), self.ndim
        axes = axes[0] if len(axes) == 1 and (axes[0] is None or np.ndim(axes[0])) else axes
        order = range(n)[::-1] if not axes else [operator.index(a) for a in axes]
        if len(order) != n:
            raise ValueError("axes don't match array")
        return hide(self.whole.transpose((*range(h), *(h + a % n for a in order))), self.levels)

    def swapaxes(self, axis1: int, axis2: int) -> "Batched":
        return hide(self.whole.swapaxes(*axes_of(self, (axis1, axis2))), self.levels)

    def __getitem__(self, key: Any) -> "Batched":
        if type(key) is slice:  # an integer would have to be checked, as it may be a mask of one
            return hide(self.whole[(*(slice(None),) * len(self.levels), key)], self.levels)
        return run(operator.getitem, (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        run(operator.setitem, (self, key, value), {})

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return lambda *args, **kwargs: run(METHODS[name], (self, *args), kwargs)
        raise AttributeError(f"'Batched' object has no attribute {name!r}")

    # -- operators

    def __neg__(self) -> "Batched":
        return hide(-self.whole, self.levels)

    def __pos__(self) -> "Batched":
        return hide(+self.whole, self.levels)

    def __abs__(self) -> "Batched":
        return hide(abs(self.whole), self.levels)

    def __invert__(self) -> "Batched":
        return hide(~self.whole, self.levels)

    def __matmul__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, Box) else run(np.matmul, (self, other), {})

    def __rmatmul__(self, other: Any) -> Any:
        return run(np.matmul, (other, self), {})


NAMES = (
    "all any argmax argmin argpartition argsort clip cumprod cumsum diagonal dot max mean min nonzero partition prod "
    "ptp ravel repeat round searchsorted sort squeeze std take trace var"
)
METHODS: dict[str, Function] = {name: getattr(np, name) for name in NAMES.split()}
METHODS["flatten"] = np.ravel


def _binary(op: Function, swapped: bool) -> Function:
    def method(self: Batched, other: Any) -> Any:
        kind = type(other)
        if kind is Batched:
            if self.levels == other.levels and self.whole.ndim == other.whole.ndim:
                whole = op(other.whole, self.whole) if swapped else op(self.whole, other.whole)
                return hide(whole, self.levels)
        elif kind in (float, int, bool, complex) or (
            isinstance(other, (generic, ndarray)) and other.ndim <= self.whole.ndim - len(self.levels)
        ):
            return hide(op(other, self.whole) if swapped else op(self.whole, other), self.levels)
        elif isinstance(other, Box):
            return NotImplemented
        if other is None:
            return NotImplemented
        arrays, levels = aligned((other, self) if swapped else (self, other))
        return hide(op(*arrays), levels)

    return method


OPERATORS = "add sub mul truediv floordiv mod pow and_ or_ xor lshift rshift"
COMPARISONS = "lt le gt ge eq ne"
for _name in f"{OPERATORS} {COMPARISONS}".split():
    _op, _plain = getattr(operator, _name), _name.rstrip("_")
    setattr(Batched, f"__{_plain}__", _binary(_op, False))
    if _plain not in COMPARISONS.split():
        setattr(Batched, f"__r{_plain}__", _binary(_op, True))


ENDED = "from inside a vmap that has ended"


def check_running(x: Any, what: str) -> None:
    """Raise BatchError if the array `x` has a level that is not active; `what` begins the message."""
    active = LEVELS.get()
    if any(level not in active for level in levels_of(x)):
        raise BatchError(
            f"{what} a Value {ENDED}, which stands for all of its examples; return it from the function that is "
            "mapped, instead of storing it elsewhere"
        )


def _refusal(x: Batched, target: str, way_out: str) -> BatchError:
    active = LEVELS.get()
    if any(level not in active for level in x.levels):
        return BatchError(
            f"this Value is {ENDED}, and cannot become {target}: it stands for all examples; "
            "return it from the function that is mapped, instead of storing it elsewhere"
        )
    return BatchError(
        f"under vmap this array stands for a batch of examples, and cannot become {target}: {way_out}; "
        "ad.vmap(f, loop=True) runs f for one example after the other, where everything is allowed"
    )


def hide(whole: Any, levels: Levels) -> Any:
    """`whole` with its first axes hidden; the array itself if there are no levels.

    >>> hide(np.ones((5, 3)), (Level(1, 5),)).shape
    (3,)
    """
    if not levels:
        return whole
    x = new(Batched)
    x.whole, x.levels = whole, levels
    return x


def batch(*functions: Function) -> Callable[[Function], Function]:
    """Declare how functions are computed on batches: the decorated one is called in their place.

    >>> twice = lambda x: x + x
    >>> double = batch(twice)(lambda x: hide(2 * x.whole, x.levels))
    >>> run(twice, (hide(np.ones((5, 3)), (Level(1, 5),)),), {})
    Batched(5 examples of shape (3,), float64)
    """

    def register(body: Function) -> Function:
        for function in functions:
            BATCHING[function] = body
        return body

    return register


def run(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `function` with arguments some of which are Batched."""
    body = BATCHING.get(function)
    if body is None:  # the tables are loaded with the first batch
        body = importlib.import_module("autodiff.batching").body_of(function)
    return body(*args, **kwargs)


def levels_of(x: Any) -> Levels:
    """The levels of an array, or of the arrays in lists and tuples, such as an index."""
    kind = type(x)
    if kind is Batched:
        levels: Levels = x.levels
        return levels
    if kind is tuple or kind is list:
        return union(map(levels_of, x))
    return ()


def union(several: Iterable[Levels]) -> Levels:
    """All levels, in order."""
    found: Levels = ()
    for levels in several:
        if levels and levels != found:
            found = tuple(sorted({*found, *levels})) if found else levels
    return found


def aligned(xs: Iterable[Any]) -> tuple[list[Any], Levels]:
    """The arrays with their hidden axes, such that they broadcast as the examples do, and the levels of these axes.

    >>> x = hide(np.ones((5, 3)), (Level(1, 5),))
    >>> [a.shape for a in aligned([x, np.ones((2, 3))])[0]]
    [(5, 1, 3), (2, 3)]
    """
    arrays = [*xs]
    given = [x for x in arrays if type(x) is Batched]
    levels = union(x.levels for x in given)
    ndim = max(x.ndim if hasattr(x, "ndim") else np.ndim(x) for x in arrays)
    for i, x in enumerate(arrays):
        if type(x) is Batched:
            missing = ndim - x.ndim
            if x.levels != levels:
                hidden = tuple([level.size if level in x.levels else 1 for level in levels])
                arrays[i] = x.whole.reshape(hidden + (1,) * missing + x.shape)
            elif missing and levels:
                h = len(levels)
                arrays[i] = x.whole.reshape(x.whole.shape[:h] + (1,) * missing + x.whole.shape[h:])
            else:
                arrays[i] = x.whole
    return arrays, levels


def widened(x: Any, levels: Levels) -> Any:
    """`x` with at least these levels, repeated along the new ones: a new array, or `x` if it has them."""
    own = levels_of(x)
    if all(level in own for level in levels):
        return x
    levels = union((own, levels))
    whole = x.whole if own else np.asarray(x) if isinstance(x, (generic, int, float, complex)) else x
    shape = whole.shape[len(own) :]
    whole = whole.reshape(tuple([level.size if level in own else 1 for level in levels]) + shape)
    return hide(np.broadcast_to(whole, tuple([level.size for level in levels]) + shape).copy(), levels)


def axes_of(x: Batched, axis: Any) -> Any:
    """The axes of the whole that the axes of an example are; all of them for None.

    >>> axes_of(hide(np.ones((5, 3)), (Level(1, 5),)), -1)
    1
    """
    h, n = len(x.levels), x.ndim
    if axis is None:
        return tuple(range(h, h + n))
    if isinstance(axis, (tuple, list, range)):
        return tuple([_axis(a, h, n) for a in axis])
    if not n and axis in (0, -1):  # which NumPy allows for a number
        return ()
    return _axis(axis, h, n)


def _axis(axis: Any, h: int, n: int) -> int:
    axis = operator.index(axis)
    if not -n <= axis < n:
        raise np.exceptions.AxisError(axis, n)
    return h + axis % n
