"""What a Value says of itself: ndarray's attributes, and its elements as plain numbers."""

import importlib
import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from .batched import Batched
from .binary import Binary
from .box import Inner
from .dispatch import apply
from .flat import Flat
from .mutation import write
from .tape import LEAF
from .views import has_place, origin, peek

__all__ = ["Attributes"]

API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")


class Attributes(Binary):
    """Attributes, conversions, repr."""

    __slots__ = ()

    @property
    def is_leaf(self) -> bool:
        """Whether the Value was not computed from tracked ones."""
        return self._node is None or self._node.number == LEAF

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        shape: tuple[int, ...] = peek(self)[0].shape
        return shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        raise AttributeError("shape: a Value keeps its shape; write x = x.reshape(shape)")

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(peek(self)[0].shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(peek(self)[0].size)

    @property
    def nbytes(self) -> int:
        """The bytes that the elements take."""
        return int(peek(self)[0].nbytes)

    @property
    def itemsize(self) -> int:
        """The bytes that one element takes."""
        return int(peek(self)[0].dtype.itemsize)

    @property
    def dtype(self) -> Any:
        """The dtype of the elements."""
        return peek(self)[0].dtype

    @property
    def device(self) -> Any:
        """Where the elements are: "cpu", or what the array library says."""
        return getattr(peek(self)[0], "device", "cpu")

    @property
    def T(self) -> Self:
        """The axes reversed."""
        return apply(np.transpose, (self,), {})

    @property
    def mT(self) -> Self:
        """The last two axes interchanged."""
        if self.ndim < 2:
            raise ValueError(f"mT needs at least 2 axes, this one has {self.ndim}")
        return apply(np.swapaxes, (self, -1, -2), {})

    @property
    def real(self) -> Self:
        """The real part, a view. Assigning writes to it."""
        return apply(np.real, (self,), {})

    @real.setter
    def real(self, value: Any) -> None:
        write(self.real, ..., value)

    @property
    def imag(self) -> Self:
        """The imaginary part, a view of a complex Value. Assigning writes to it."""
        return apply(np.imag, (self,), {})

    @imag.setter
    def imag(self, value: Any) -> None:
        if self.dtype.kind != "c":
            raise TypeError("a real Value has no imaginary part to set")
        write(self.imag, ..., value)

    @property
    def flat(self) -> Flat:
        """The elements in C order, to read, to write and to loop over."""
        return Flat(self)

    @flat.setter
    def flat(self, values: Any) -> None:
        Flat(self)[:] = values

    @property
    def strides(self) -> tuple[int, ...]:
        """The bytes between neighbours along each axis."""
        strides: tuple[int, ...] = peek(self)[0].strides
        return strides

    @property
    def flags(self) -> Any:
        """The memory layout, as of the array."""
        return np.asarray(peek(self)[0]).flags

    @property
    def base(self) -> Any:
        """The Value that this one is a view of, or None."""
        root, path = origin(self)
        return root if path else None

    def item(self, *index: Any) -> Any:
        """The one element, or the one at `index`, as a Python number. The gradient ends here."""
        return peek(self)[0].item(*index)

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers. Raises DetachError for what was computed and is tracked."""
        if self._node is not None and self._node.number != LEAF:
            self._refuse("a list of numbers", "list(v) keeps the gradient; use v.data.tolist() if none is wanted")
        return peek(self)[0].tolist()

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy as a NumPy array. The gradient ends here."""
        return np.array(self._array.get() if hasattr(self._array, "get") else self._array)

    def tobytes(self, order: Any = "C") -> bytes:
        """The elements as bytes. Raises DetachError while the Value is tracked."""
        self._refuse("bytes", "use v.data.tobytes() if no gradient is wanted")
        return self.numpy().tobytes(order)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Self:
        """The Value itself if it is on `device`. Raises ValueError if not: move the array, and start from there."""
        if device != self.device:
            raise ValueError(f"to_device: this Value is on {self.device!r}; move its array to {device!r} and wrap that")
        return self

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        """autodiff.numpy, which follows the Python array API standard."""
        if api_version is not None and api_version not in API_VERSIONS:
            raise ValueError(f"__array_namespace__: version {api_version!r}; autodiff.numpy follows {API_VERSIONS[-1]}")
        return importlib.import_module("autodiff.numpy")

    def __repr__(self) -> str:
        data, node, name = self._array, self._node, getattr(self, "_name", None)
        if type(data) is Batched:
            text = repr(data)
        else:
            text = np.array2string(self.numpy(), separator=", ", prefix="Value(") if data.ndim else repr(data.item())
        facts = [f"dtype={data.dtype}"]
        if name is not None:
            facts.append(f"name={name!r}")
        if node is None:
            facts.append("untracked")
        elif node.number != LEAF:
            facts.append(f"from={node.case.rule.name}")
        return f"Value({text}, {', '.join(facts)})"

    def __round__(self, ndigits: int | None = None) -> Self:
        whole = _integer(self, np.rint, round) if ndigits is None else NotImplemented
        return apply(np.round, (self, ndigits or 0), {}) if whole is NotImplemented else whole

    def __floor__(self) -> Self:
        whole = _integer(self, np.floor, math.floor)
        return apply(np.floor, (self,), {}) if whole is NotImplemented else whole

    def __ceil__(self) -> Self:
        whole = _integer(self, np.ceil, math.ceil)
        return apply(np.ceil, (self,), {}) if whole is NotImplemented else whole

    def __trunc__(self) -> Self:
        whole = _integer(self, np.trunc, math.trunc)
        return apply(np.trunc, (self,), {}) if whole is NotImplemented else whole


def _integer(v: Any, ufunc: Any, function: Callable[[Any], Any]) -> Any:
    """The integer of Python's that an element of an array would give, in a function that jit records."""
    is_one = v._node is None and isinstance(v._array, Inner) and not has_place(v)
    return v._array.integer(ufunc, function) if is_one else NotImplemented
