"""Spec: what a linear rule knows of an array without holding its data."""

from typing import Any, NamedTuple

import numpy as np

from .batched import levels_of
from .box import Box

__all__ = ["Spec"]


class Spec(NamedTuple):
    """Shape and dtype of an array, and the levels of its hidden axes if it is a batch (see batched.py).

    >>> Spec.of(np.ones((2, 3)))
    Spec(shape=(2, 3), dtype=dtype('float64'), levels=())
    """

    shape: tuple[int, ...]
    dtype: Any
    levels: tuple[Any, ...] = ()

    @classmethod
    def of(cls, x: Any) -> "Spec":
        """The spec of `x`, or of every array in `x` when it is a list or tuple of arrays."""
        if isinstance(x, (list, tuple)):
            return tuple(map(cls.of, x))  # type: ignore[return-value]
        if not hasattr(x, "dtype"):
            return cls(np.shape(x), np.result_type(x))
        return cls(x.shape, x.dtype, levels_of(x._array if isinstance(x, Box) else x))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size
