"""Recorded: an array that notes in a graph what is done with it, while it computes.

It is only ever the data of a Value, or raw in a walk. It holds a real array, so results, shapes and views are known at
once; what the graph is to know is read off. Arrays that share memory share a `Buffer`: the newest node of that memory.
So a view is an offset and strides, and a write makes a new node for the whole buffer, which all views see.
"""

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..box import Box, Inner
from .asked import Asked

if TYPE_CHECKING:
    from .graph import Node
    from .recorder import Recorder

__all__ = ["ASKED", "REORDERED", "RESHAPED", "Buffer", "Recorded"]

REORDERED, RESHAPED, ASKED = 1, 2, 3


class Buffer:
    """Memory: a C-contiguous array, and the node of what is in it now.

    `order`: how NumPy's may be another; `shown`: whether it would matter for writes if it were; `first`: the node of
    what was in it before any write.
    """

    __slots__ = ("_root", "data", "first", "node", "order", "recorder", "shown")

    def __init__(self, recorder: "Recorder", node: "Node", data: Any) -> None:
        self.recorder, self.first, self.node, self.data = recorder, node, node, data
        self._root: Any = None
        self.order, self.shown = 0, False  # as it is

    @property
    def root(self) -> "Recorded":
        """The whole of it: one object, as long as somebody has it. It holds the buffer, and is not held by it."""
        root: Recorded | None = None if self._root is None else self._root()
        if root is None:
            root = Recorded(self, self.data)
            self._root = weakref.ref(root)
        return root


class Recorded(Asked, Inner):
    """The array `data`, in the memory of `buffer`. `weak`: the type of the Python number that it stands for."""

    __slots__ = ("__weakref__", "buffer", "data", "weak")

    def __init__(self, buffer: Buffer, data: Any, weak: type | None = None) -> None:
        self.buffer, self.data, self.weak = buffer, data, weak

    # -- what it looks like

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """For isinstance(): a number is one of Python's there, as it would be without recording."""
        return self.weak or Recorded

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.data.shape
        return shape

    @property
    def ndim(self) -> int:
        return int(self.data.ndim)

    @property
    def size(self) -> int:
        return int(self.data.size)

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def itemsize(self) -> int:
        return int(self.data.itemsize)

    @property
    def nbytes(self) -> int:
        return int(self.data.nbytes)

    @property
    def strides(self) -> tuple[int, ...]:
        strides: tuple[int, ...] = self.data.strides
        return strides

    @property
    def flags(self) -> Any:
        return self.data.flags

    def is_laid_out(self, order: str) -> bool:
        if self.buffer.order:  # NumPy may say something else, and copy, or not
            self.buffer.order = ASKED
        self.buffer.shown = True
        return super().is_laid_out(order)

    @property
    def layout(self) -> Any:
        """The flags, where they matter: arguments are recorded in C order, whatever theirs is."""
        if self.ndim > 1:
            raise self.buffer.recorder.escape("asks for the order of an array in memory")
        return self.data.flags

    @property
    def base(self) -> "Recorded | None":
        root: Recorded = self.buffer.root
        return None if self is root else root

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def notes_invalid(self) -> bool:
        """Whether it reports an invalid operation, as NumPy's arrays do: then a walk masks only after one."""
        recorder = self.buffer.recorder
        recorder.flagged = not recorder.masked
        return recorder.flagged

    @property
    def T(self) -> Any:
        return self.transpose()

    @property
    def mT(self) -> Any:
        return self._view(self.data.mT)

    @property
    def real(self) -> Any:
        return self._view(self.data.real) if self.dtype.kind == "c" else self

    @property
    def imag(self) -> Any:
        return self._view(self.data.imag) if self.dtype.kind == "c" else self._do(np.imag)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self.data)))

    def __repr__(self) -> str:
        return f"Recorded({self.data!r})" if self.weak is None else repr(self._known())

    # -- NumPy's protocols and ours

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Box) or (isinstance(x, Inner) and type(x) is not Recorded) for x in inputs):
            return NotImplemented
        return self.buffer.recorder.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(t, (Box, Inner)) and t is not Recorded for t in types):
            return NotImplemented
        return self.buffer.recorder.record(function, args, kwargs)

    def __autodiff_apply__(self, function: Any, args: Any, kwargs: Any) -> Any:
        for a in (*args, *kwargs.values()):
            if isinstance(a, (Box, Inner)) and type(a) is not Recorded:
                return a.__autodiff_apply__(function, args, kwargs)  # type: ignore[union-attr]
        return self.buffer.recorder.own(function, args, kwargs)

    def __autodiff_adopt__(self, array: Any) -> "Recorded":
        """A plain array that is going to be written to with arrays like this one."""
        return self.buffer.recorder.constant(array) if isinstance(array, (np.ndarray, np.generic)) else array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self.buffer.recorder.closed:
            return np.array(self.data, dtype)
        if self.weak is not None:
            return np.array(self._known(), dtype)
        raise self.buffer.recorder.escape("needs a plain array of what depends on its arguments")

    # -- elements

    def __getitem__(self, key: Any) -> Any:
        return self.buffer.recorder.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.buffer.recorder.setitem(self, key, value)

    def fill(self, value: Any) -> None:
        self[...] = value

    def sort(self, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> None:
        self[...] = self._do(np.sort, axis, kind, order, stable=stable)

    # -- shapes and copies

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        return self._do(np.reshape, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        return self._view(self.data.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        return self._view(self.data.swapaxes(axis1, axis2))

    def squeeze(self, axis: Any = None) -> Any:
        return self._view(self.data.squeeze(axis))

    def astype(self, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: Any = True, copy: Any = True) -> Any:
        return self.buffer.recorder.cast(self, np.dtype(dtype), copy)

    def copy(self, order: Any = "C") -> Any:
        return self.buffer.recorder.copy(self, order)

    def flatten(self, order: Any = "C") -> Any:
        return self.buffer.recorder.copy(self.reshape(-1, order=order))

    def __copy__(self) -> Any:
        return self.copy() if self.weak is None else self

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.weak is not None:
            return self.weak, (self._known(),)
        if self.buffer.recorder.closed:
            return self.data.__reduce_ex__(protocol)
        raise self.buffer.recorder.escape("pickles what depends on its arguments")

    def conjugate(self) -> Any:
        if self.weak is None or self.weak is complex:
            return self.buffer.recorder.operate(np.conjugate, (self,))
        return self if self.weak is not bool else self._known().conjugate()

    def __getattr__(self, name: str) -> Any:
        """What only Python's numbers have: `is_integer` and the like."""
        if name.startswith("_") or name in Recorded.__slots__ or not hasattr(self.weak, name):
            raise AttributeError(f"an array that is recorded has no attribute {name!r}", name=name, obj=self)
        return getattr(self._known(), name)

    def _view(self, data: Any) -> "Recorded":
        return Recorded(self.buffer, data)

    def _do(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return self.buffer.recorder.record(function, (self, *args), kwargs)


def _operator(ufunc: Any, swapped: bool) -> Callable[..., Any]:
    def method(self: Recorded, other: Any) -> Any:
        if isinstance(other, Box) or not _is_operand(other):
            return NotImplemented
        return self.buffer.recorder.operate(ufunc, (other, self) if swapped else (self, other))

    return method


def _unary(ufunc: Any) -> Callable[..., Any]:
    return lambda self: self.buffer.recorder.ufunc(ufunc, "__call__", (self,), {})


def _is_operand(x: Any) -> bool:
    return isinstance(x, (Recorded, np.ndarray, np.generic, int, float, complex))


def _in_place(ufunc: Any) -> Callable[..., Any]:
    def method(self: Recorded, other: Any) -> Any:
        if self.weak is not None:  # a number of Python's is replaced
            return self.buffer.recorder.operate(ufunc, (self, other)) if _is_operand(other) else NotImplemented
        self[...] = ufunc(self, other)
        return self

    return method


BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}
METHODS = [
    "all", "any", "argmax", "argmin", "argsort", "argpartition", "clip", "conj", "cumprod", "cumsum",
    "diagonal", "dot", "max", "mean", "min", "nonzero", "prod", "ptp", "ravel", "repeat", "round", "searchsorted",
    "std", "sum", "take", "trace", "var", "choose", "compress",
]  # fmt: skip

for _name, _ufunc in BINARY.items():
    setattr(Recorded, f"__{_name}__", _operator(_ufunc, False))
    setattr(Recorded, f"__r{_name}__", _operator(_ufunc, True))
    setattr(Recorded, f"__i{_name}__", _in_place(_ufunc))


def _power(self: Recorded, other: Any) -> Any:
    if self.ndim and self.dtype.char == "?" and isinstance(other, int) and type(other) is not bool and other == 2:
        return self.buffer.recorder.ufunc(np.square, "__call__", (self,), {})  # which has another dtype with NumPy
    return _raised(self, other)


_raised = _operator(np.power, False)
Recorded.__pow__ = _power  # type: ignore[operator]
for _name, _ufunc in COMPARISONS.items():
    setattr(Recorded, f"__{_name}__", _operator(_ufunc, False))
for _name, _ufunc in UNARY.items():
    setattr(
        Recorded,
        f"__{_name}__",
        lambda self, _ufunc=_ufunc: self.buffer.recorder.operate(_ufunc, (self,)),
    )


def _method(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: Recorded, *args: Any, **kwargs: Any) -> Any:
        if isinstance(function, np.ufunc):
            return self.buffer.recorder.ufunc(function, "__call__", (self, *args), kwargs)
        return self.buffer.recorder.record(function, (self, *args), kwargs)

    return method


for _name in METHODS:
    setattr(Recorded, _name, _method(_name))
