"""The operators of Value that need not be fast, and the rest of Python's protocols.

+ - * / // % ** are in binary.py, written out for speed.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .convert import is_array
from .dispatch import Box, apply
from .errors import DetachError, OperandError

__all__ = ["Operators", "otherwise"]


def otherwise(function: Callable[..., Any], other: Any, x: Any, y: Any) -> Any:
    """An operator with an operand of an unusual kind."""
    known = isinstance(other, (Box, float, int, complex, list, tuple, np.ndarray))
    if known or is_array(other) or hasattr(other, "to_numpy"):
        return apply(function, (x, y), {})
    return NotImplemented


def _compare(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        other = other._array if isinstance(other, Box) else other
        if isinstance(other, (list, tuple)):
            other = np.asarray(other)
        elif not isinstance(other, (float, int, complex)) and not is_array(other):
            return NotImplemented
        result = compare(self._array, other)
        return self._wrap(result) if is_array(result) else result

    return method


class Operators(Box):
    """Unary operators, comparisons, conversions and the container protocol of Value.

    Comparisons, `bool`, `int` and text formatting are always allowed: their derivative is zero almost
    everywhere. `float` and `np.asarray` would lose a gradient silently; they raise DetachError while
    the Value is tracked.
    """

    __slots__ = ()
    __hash__ = object.__hash__
    __pandas_priority__ = 5000  # pandas leaves mixed operations to us, and we refuse them by name

    __eq__ = _compare(operator.eq)
    __ne__ = _compare(operator.ne)
    __lt__ = _compare(operator.lt)
    __le__ = _compare(operator.le)
    __gt__ = _compare(operator.gt)
    __ge__ = _compare(operator.ge)

    def __neg__(self) -> Any:
        return apply(np.negative, (self,), {})

    def __pos__(self) -> Any:
        return apply(np.positive, (self,), {})

    def __abs__(self) -> Any:
        return apply(np.absolute, (self,), {})

    def __round__(self, ndigits: int | None = None) -> Any:
        return apply(np.round, (self, ndigits or 0), {})

    def __floor__(self) -> Any:
        return apply(np.floor, (self,), {})

    def __ceil__(self) -> Any:
        return apply(np.ceil, (self,), {})

    def __trunc__(self) -> Any:
        return apply(np.trunc, (self,), {})

    def __matmul__(self, other: Any) -> Any:
        return otherwise(np.matmul, other, self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return otherwise(np.matmul, other, other, self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __invert__(self) -> Any:
        return apply(np.invert, (self,), {})

    def __and__(self, other: Any) -> Any:
        return otherwise(np.bitwise_and, other, self, other)

    def __or__(self, other: Any) -> Any:
        return otherwise(np.bitwise_or, other, self, other)

    def __xor__(self, other: Any) -> Any:
        return otherwise(np.bitwise_xor, other, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __len__(self) -> int:
        if not self._array.ndim:
            raise TypeError("len() of unsized object: the Value is 0-d")
        return len(self._array)

    def __iter__(self) -> Any:
        if not self._array.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self._array)))  # type: ignore[index]

    def __contains__(self, item: Any) -> bool:
        return bool((self == item)._array.any())

    def __bool__(self) -> bool:
        return bool(self._array)

    def __int__(self) -> int:
        return int(self._array)

    def __float__(self) -> float:
        self._refuse("float()", "math functions and float() leave the graph: use np functions, or .item()")
        return float(self._array)

    def __complex__(self) -> complex:
        self._refuse("complex()", "use .item()")
        return complex(self._array)

    def __index__(self) -> int:
        self._refuse("an index", "use int(v) or v.item()")
        return operator.index(self._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        self._refuse(
            "a plain array",
            "np.stack([v, w]) instead of np.array([v, w]), np.full_like(v, ...) instead of np.full(n, v), "
            "or v.data, v.detach() if no gradient is wanted",
        )
        return np.array(self._array, dtype=dtype, copy=copy)

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

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("Values do not support item assignment yet; use np.where, np.stack or np.concatenate")

    def _refuse(self, target: str, way_out: str) -> None:
        """Raise DetachError unless converting loses nothing: untracked, or already walked and freed."""
        node = self._node
        if node is not None and not (node.case and node.case.is_spent):
            raise DetachError(f"a tracked Value cannot become {target}, its gradient would be lost; {way_out}")


def _augmented(op: Callable[[Any, Any], Any], sign: str) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if self._array.ndim:
            raise TypeError(f"in-place {sign}= on an array Value is not supported yet; write y = y {sign} x")
        return op(self, other)

    return method


_SIGNS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@"}
for _name, _sign in _SIGNS.items():
    setattr(Operators, f"__i{_name}__", _augmented(getattr(operator, _name), _sign))
