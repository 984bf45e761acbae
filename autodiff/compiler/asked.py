"""What a recorded array answers where its numbers are asked for: guards, and numbers of Python's that are recorded."""

import math
import operator
from typing import Any

import numpy as np

from ..box import HASHED

__all__ = ["Asked"]


class Asked:
    """The part of a recorded array that has to do with Python's numbers."""

    __slots__ = ()

    buffer: Any
    data: Any
    weak: type | None
    ndim: Any
    size: Any
    _do: Any

    def __bool__(self) -> bool:
        return bool(self.buffer.recorder.truth(self))

    def __int__(self) -> int:
        return int(self.buffer.recorder.read(self, int))

    def __index__(self) -> int:
        return operator.index(
            self.buffer.recorder.guard(self, operator.index(self.data.item() if self.size == 1 else self.data))
        )

    def __float__(self) -> float:
        return float(self.buffer.recorder.read(self, float))

    def __complex__(self) -> complex:
        return complex(self.buffer.recorder.read(self, complex))

    def item(self: Any, *index: Any) -> Any:
        if index:
            return self[index[0] if len(index) == 1 and type(index[0]) is tuple else index].item()
        return self.buffer.recorder.number(self)

    def tolist(self: Any) -> Any:
        return self.item() if not self.ndim else [x.tolist() for x in self]

    def __format__(self, spec: str) -> str:
        return format(self._known(), spec) if spec or self.weak else repr(self)

    def __hash__(self) -> int:
        if self.weak is None:
            raise TypeError("unhashable type: an array that records")
        self.refuse(HASHED)  # it would stay in the dict or set
        return hash(self.data.item())

    def refuse(self, what: str) -> None:
        if not self.ndim and not self.buffer.recorder.closed:
            raise self.buffer.recorder.escape(what)

    def __round__(self, ndigits: Any = None) -> Any:
        if ndigits is None and self.weak is float:
            return self.integer(np.rint, round)
        if ndigits is None or self.weak is not float or self.buffer.recorder.closed:
            return round(self._known(), ndigits)
        rounded = self._do(_rounded, operator.index(ndigits))
        rounded.weak = float
        return rounded

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __floor__(self) -> Any:
        return self.integer(np.floor, math.floor)

    def __ceil__(self) -> Any:
        return self.integer(np.ceil, math.ceil)

    def __trunc__(self) -> Any:
        return self.integer(np.trunc, math.trunc)

    def integer(self, ufunc: Any, function: Any) -> Any:
        if self.weak is None and self.ndim:
            return NotImplemented
        return self.buffer.recorder.integer(self, ufunc, function)

    def _known(self) -> Any:
        """The number as Python's, which the program is for."""
        return self.buffer.recorder.guard(self, self.data.item())


def _rounded(x: Any, ndigits: int) -> Any:
    """As Python rounds, which is not as NumPy does."""
    return np.float64(round(float(x), ndigits))
