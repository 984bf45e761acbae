"""`v.flat`: the elements of a Value in C order."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .arguments import index
from .convert import as_operand
from .errors import DetachError
from .mutation import write
from .views import peek

__all__ = ["Flat"]


class Flat:
    """Reads give copies, as NumPy's do; assignments go to the Value.

    >>> from autodiff import Value
    >>> v = Value([[1.0, 2.0], [3.0, 4.0]], requires_grad=False)
    >>> v.flat[::3] = 0.0
    >>> print(v.data, *v.flat)
    [[0. 2.]
     [3. 0.]] Value(0.0, dtype=float64, untracked) ...
    """

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    @property
    def base(self) -> Any:
        """The Value."""
        return self._value

    def __len__(self) -> int:
        return int(peek(self._value)[0].size)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._value.reshape(-1))

    def _places(self, key: Any) -> Any:
        shape = peek(self._value)[0].shape
        if isinstance(key, (int, np.integer)):
            if not -len(self) <= key < len(self):
                raise IndexError(f"flat: index {key} is out of bounds for {len(self)} elements")
            chosen: Any = int(key) % len(self)
        else:
            chosen = np.arange(len(self))[index(key)]
        return tuple(int(i) if np.ndim(i) == 0 else i for i in np.unravel_index(chosen, shape)) if shape else ...

    def __getitem__(self, key: Any) -> Any:
        return self._value[self._places(key)]

    def __setitem__(self, key: Any, values: Any) -> None:
        shape = peek(self._value)[0].shape
        if not shape or not len(self):  # one element or none
            chosen = np.arange(len(self))[index(key)]
            if np.size(chosen):
                write(self._value, ..., np.ravel(as_operand(values, "flat"))[np.size(chosen) - 1 if shape else 0])
            return
        places = self._places(key)
        if type(places) is tuple and places and np.ndim(places[0]):
            values = np.ravel(as_operand(values, "flat"))
            count = places[0].size
            if np.size(values) != count and count:
                if not np.size(values):
                    raise ValueError("flat: no values to assign")
                values = values[np.arange(count) % np.size(values)]
        write(self._value, places, values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self._value.requires_grad:
            raise DetachError(
                "flat: a tracked Value cannot become a plain array; use v.ravel(), which stays in the graph"
            )
        return np.asarray(self._value, dtype).ravel()
