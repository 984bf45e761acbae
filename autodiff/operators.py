"""Python's protocols for Value, less its binary operators: those are in binary.py."""

import operator
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np

from .box import Box
from .dispatch import apply
from .errors import DetachError, OperandError
from .mutation import store
from .views import has_place, peek

__all__ = ["Operators"]


class Operators(Box):
    """Unary operators, conversions and the container protocol of Value.

    Comparisons, `bool`, `int` and text formatting are always allowed: their derivative is zero almost
    everywhere. `float` and `np.asarray` would lose a gradient silently; they raise DetachError while
    the Value is tracked.
    """

    __slots__ = ()
    __pandas_priority__ = 5000  # pandas leaves mixed operations to us, and we refuse them by name

    def __neg__(self) -> Self:
        return apply(np.negative, (self,), {})

    def __pos__(self) -> Self:
        return apply(np.positive, (self,), {})

    def __abs__(self) -> Self:
        return apply(np.absolute, (self,), {})

    def __invert__(self) -> Self:
        return apply(np.invert, (self,), {})

    def __len__(self) -> int:
        array = peek(self)[0]
        if not array.ndim:
            raise TypeError("len() of unsized object: the Value is 0-d")
        return len(array)

    def __iter__(self) -> Iterator[Self]:
        array = peek(self)[0]
        if not array.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(array)))  # type: ignore[index]

    def __contains__(self, item: Any) -> bool:
        found = self == item
        return isinstance(found, Box) and bool(found._array.any())

    def __bool__(self) -> bool:
        return bool(self._array)

    def __int__(self) -> int:
        return int(self._array)

    def __float__(self) -> float:
        self._refuse(
            "float()",
            "use np functions for math functions, np.stack for filling a buffer, or v.item() if no gradient is wanted; "
            "inside an installed package, ad.watch(package) lets its buffers take Values",
        )
        return float(self._array)

    def __complex__(self) -> complex:
        self._refuse("complex()", "use .item()")
        return complex(self._array)

    def __index__(self) -> int:
        self._refuse("an index", "use int(v) or v.item()")
        if self._array.dtype.kind == "b":
            raise TypeError("a truth value is no index; use v.data, which selects as a mask")
        return operator.index(self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        self._refuse(
            "a plain array",
            "use np.stack([v, w]) for np.array([v, w]) and np.broadcast_to(v, n) for np.full(n, v), "
            "or v.data, v.detach() if no gradient is wanted; inside an installed package, ad.watch(package) lets its "
            "np.array and np.empty take Values",
        )
        if copy:
            return np.array(self._array, dtype=dtype)
        plain = np.array(self._array, dtype=dtype, copy=copy)[...].view()
        plain.flags.writeable = False  # what was written there would be lost
        return plain

    @property
    def _data(self) -> Any:  # where np.ma looks for the array before it asks __array__
        raise OperandError("a Value cannot be combined with a masked array; pass the array's .filled(value)")

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self._node is not None:
            raise BufferError("a tracked Value cannot be exported by DLPack; export v.data or v.detach()")
        return np.asarray(self._array).__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return np.asarray(self._array).__dlpack_device__()

    def __format__(self, spec: str) -> str:
        return format(self._array if spec else str(self), spec)

    def _refuse(self, target: str, way_out: str) -> None:
        """Raise DetachError unless converting loses nothing: untracked, or already walked and freed."""
        node = self._node
        if node is not None and not (node.case and node.case.is_spent):
            raise DetachError(f"a tracked Value cannot become {target}, its gradient would be lost; {way_out}")


def _augmented(name: str, op: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        result = op(self, other)
        shape = peek(self)[0].shape
        if isinstance(result, Box) and (shape or has_place(self)):
            return store(self, result, name, exact=True)
        return result  # a scalar is replaced, not changed

    return method


_NAMES = "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift"
for _op in map(operator.__dict__.__getitem__, _NAMES.split()):
    _name = f"__i{_op.__name__.rstrip('_')}__"
    setattr(Operators, _name, _augmented(_name, _op))
