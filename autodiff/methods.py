"""ndarray's methods, and the usual activations: each is one call to the door.

They have NumPy's names and arguments. What NumPy does not have is said in the docstring.
"""

from typing import Any, Self

import numpy as np

from . import arrays
from .arguments import index, option
from .attributes import Attributes
from .dispatch import apply
from .errors import OperandError
from .mutation import write
from .rule import RULES
from .rules import activations
from .views import has_place, is_laid_out, read

__all__ = ["Methods"]

Axis = int | tuple[int, ...] | None


def _given(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not at their defaults."""
    if not arguments.get("keepdims"):
        arguments.pop("keepdims", None)
    return {name: value for name, value in arguments.items() if value is not None}


class Methods(Attributes):
    """Methods that return a new Value, and those that write to this one."""

    __slots__ = ()

    # -- indexing and writing

    def __getitem__(self, key: Any) -> Self:
        """`v[key]`: slices, integers, integer arrays, boolean masks, and tuples of them."""
        if type(key) is not int and type(key) is not slice:
            key = option(RULES[arrays.getitem], index(key))
        return read(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        """`v[key] = value`, with NumPy's meaning."""
        write(self, index(key), value)

    def __delitem__(self, key: Any) -> None:
        """Refused, as by an array."""
        raise ValueError("cannot delete array elements; np.delete(v, index) gives a new Value")

    def fill(self, value: Any) -> None:
        """Write `value`, a scalar, to every element."""
        if np.size(value) != 1:
            raise ValueError("fill: value must be a scalar; write v[...] = value for an array")
        write(self, ..., np.reshape(value, ()) if np.ndim(value) else value)

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """`np.put(v, indices, values)`."""
        apply(np.put, (self, indices, values, mode), {})

    def sort(self, axis: int = -1, kind: Any = None, **more: Any) -> None:
        """Sort in place, along `axis`."""
        write(self, ..., apply(np.sort, (self,), {"axis": axis, **_given(kind=kind, **more)}))

    def partition(self, kth: Any, axis: int = -1, kind: str = "introselect", **more: Any) -> None:
        """Partition in place, along `axis`."""
        write(self, ..., apply(np.partition, (self, kth), {"axis": axis, "kind": kind, **_given(**more)}))

    def resize(self, *shape: Any, **more: Any) -> None:
        """Refused: a Value keeps its shape."""
        raise OperandError("resize: a Value keeps its shape; np.resize(v, shape) gives a new one")

    def byteswap(self, inplace: bool = False) -> Self:
        """Refused: swapped bytes have no derivative."""
        raise OperandError("byteswap: there is no derivative; use v.data.byteswap()")

    def setflags(self, write: Any = None, align: Any = None, uic: Any = None) -> None:
        """Refused: who may write to a Value is not decided by flags."""
        raise OperandError("setflags: a Value has no flags to set; v.detach() or v.copy() protects it from writes")

    def getfield(self, dtype: Any, offset: int = 0) -> Self:
        """Refused: the bytes of an element have no derivative."""
        raise OperandError("getfield: there is no derivative; use v.data.getfield(dtype), or v.real and v.imag")

    def setfield(self, value: Any, dtype: Any, offset: int = 0) -> None:
        """Refused: the bytes of an element have no derivative."""
        raise OperandError("setfield: there is no derivative; write to v[...], v.real or v.imag")

    def view(self, dtype: Any = None, type: Any = None) -> Self:
        """A view of the same elements. Another dtype would reinterpret bytes: use `astype`."""
        if type is not None or (dtype is not None and np.dtype(dtype) != self.dtype):
            raise OperandError("view: reinterpreted bytes have no derivative; use v.astype(dtype)")
        return self[...]

    # -- element by element

    def exp(self) -> Self:
        """e to the power of each element."""
        return apply(np.exp, (self,), {})

    def expm1(self) -> Self:
        """`exp(v) - 1`, exact for small v."""
        return apply(np.expm1, (self,), {})

    def log(self) -> Self:
        """The natural logarithm."""
        return apply(np.log, (self,), {})

    def log1p(self) -> Self:
        """`log(1 + v)`, exact for small v."""
        return apply(np.log1p, (self,), {})

    def sqrt(self) -> Self:
        """The square root. Its derivative at 0 is inf, and 0 where the cotangent is 0."""
        return apply(np.sqrt, (self,), {})

    def sin(self) -> Self:
        """The sine of each element, in radians."""
        return apply(np.sin, (self,), {})

    def cos(self) -> Self:
        """The cosine of each element, in radians."""
        return apply(np.cos, (self,), {})

    def tan(self) -> Self:
        """The tangent of each element, in radians."""
        return apply(np.tan, (self,), {})

    def tanh(self) -> Self:
        """The hyperbolic tangent."""
        return apply(np.tanh, (self,), {})

    def abs(self) -> Self:
        """The absolute value; its derivative at 0 is 0."""
        return apply(np.absolute, (self,), {})

    def conj(self) -> Self:
        """The complex conjugate; the Value itself if it is real."""
        return apply(np.conjugate, (self,), {}) if self.dtype.kind == "c" else self

    conjugate = conj

    def round(self, decimals: int = 0, out: Any = None) -> Self:
        """Each element rounded to `decimals`; the derivative is 0."""
        return apply(np.round, (self, decimals), _given(out=out))

    def clip(self, min: Any = None, max: Any = None, out: Any = None, **more: Any) -> Self:
        """Each element limited to [min, max]."""
        return apply(np.clip, (self, min, max), _given(out=out, **more))

    def relu(self) -> Self:
        """`max(v, 0)`; the derivative at 0 is 0."""
        return apply(activations.relu, (self,), {})

    def leaky_relu(self, slope: float = 0.01) -> Self:
        """`v` where positive, else `slope * v`."""
        return apply(activations.leaky_relu, (self, slope), {})

    def sigmoid(self) -> Self:
        """`1 / (1 + exp(-v))`, without overflow."""
        return apply(activations.sigmoid, (self,), {})

    def softplus(self) -> Self:
        """`log(1 + exp(v))`, without overflow."""
        return apply(activations.softplus, (self,), {})

    def gelu(self, approximate: str = "none") -> Self:
        """The Gaussian error linear unit, `v * Phi(v)`; `approximate="tanh"` is the faster formula."""
        return apply(activations.gelu, (self, approximate), {})

    def silu(self) -> Self:
        """`v * sigmoid(v)`."""
        return apply(activations.silu, (self,), {})

    # -- along axes

    def softmax(self, axis: int = -1) -> Self:
        """`exp(v) / sum(exp(v))` along `axis`, without overflow."""
        return apply(activations.softmax, (self,), {"axis": axis})

    def log_softmax(self, axis: int = -1) -> Self:
        """`log(softmax(v))` along `axis`, without overflow."""
        return apply(activations.log_softmax, (self,), {"axis": axis})

    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """`log(sum(exp(v)))` over `axis`, without overflow."""
        return apply(activations.logsumexp, (self,), {"axis": axis, "keepdims": keepdims})

    def sum(self, axis: Axis = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **more: Any) -> Self:
        """The sum over `axis`."""
        return apply(np.sum, (self,), _given(axis=axis, dtype=dtype, out=out, keepdims=keepdims, **more))

    def prod(self, axis: Axis = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **more: Any) -> Self:
        """The product over `axis`; zeros among the factors are no trouble."""
        return apply(np.prod, (self,), _given(axis=axis, dtype=dtype, out=out, keepdims=keepdims, **more))

    def mean(self, axis: Axis = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **more: Any) -> Self:
        """The mean over `axis`."""
        return apply(np.mean, (self,), _given(axis=axis, dtype=dtype, out=out, keepdims=keepdims, **more))

    def var(
        self,
        axis: Axis = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        **more: Any,
    ) -> Self:
        """The variance over `axis`."""
        return apply(np.var, (self,), _given(axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims, **more))

    def std(
        self,
        axis: Axis = None,
        dtype: Any = None,
        out: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        **more: Any,
    ) -> Self:
        """The standard deviation over `axis`; its derivative is 0 where it is 0."""
        return apply(np.std, (self,), _given(axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims, **more))

    def max(self, axis: Axis = None, out: Any = None, keepdims: bool = False, **more: Any) -> Self:
        """The maximum over `axis`; ties share the cotangent evenly."""
        return apply(np.max, (self,), _given(axis=axis, out=out, keepdims=keepdims, **more))

    def min(self, axis: Axis = None, out: Any = None, keepdims: bool = False, **more: Any) -> Self:
        """The minimum over `axis`; ties share the cotangent evenly."""
        return apply(np.min, (self,), _given(axis=axis, out=out, keepdims=keepdims, **more))

    def cumsum(self, axis: int | None = None, dtype: Any = None, out: Any = None) -> Self:
        """The cumulative sum along `axis` (of the flattened array if None)."""
        return apply(np.cumsum, (self,), _given(axis=axis, dtype=dtype, out=out))

    def cumprod(self, axis: int | None = None, dtype: Any = None, out: Any = None) -> Self:
        """The cumulative product along `axis` (of the flattened array if None)."""
        return apply(np.cumprod, (self,), _given(axis=axis, dtype=dtype, out=out))

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Self:
        """The sum along a diagonal."""
        return apply(np.trace, (self, offset, axis1, axis2), _given(dtype=dtype, out=out))

    def argmax(self, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Self:
        """Where the maximum is: an untracked integer Value."""
        return apply(np.argmax, (self,), _given(axis=axis, out=out, keepdims=keepdims))

    def argmin(self, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Self:
        """Where the minimum is: an untracked integer Value."""
        return apply(np.argmin, (self,), _given(axis=axis, out=out, keepdims=keepdims))

    def argsort(self, axis: int | None = -1, kind: Any = None, **more: Any) -> Self:
        """The order that sorts along `axis`: an untracked integer Value."""
        return apply(np.argsort, (self,), {"axis": axis, **_given(kind=kind, **more)})

    def argpartition(self, kth: Any, axis: int | None = -1, kind: str = "introselect", **more: Any) -> Self:
        """The order that partitions along `axis`: an untracked integer Value."""
        return apply(np.argpartition, (self, kth), {"axis": axis, "kind": kind, **_given(**more)})

    def searchsorted(self, v: Any, side: Any = "left", sorter: Any = None) -> Self:
        """Where the elements of `v` belong in this sorted Value: an untracked integer Value."""
        return apply(np.searchsorted, (self, v), {"side": side, **_given(sorter=sorter)})

    def nonzero(self) -> tuple[Self, ...]:
        """Where the elements are not 0: untracked integer Values, one per axis."""
        return apply(np.nonzero, (self,), {})

    def any(self, axis: Axis = None, out: Any = None, keepdims: bool = False, **more: Any) -> Self:
        """Whether any element is not 0: an untracked boolean Value."""
        return apply(np.any, (self,), _given(axis=axis, out=out, keepdims=keepdims, **more))

    def all(self, axis: Axis = None, out: Any = None, keepdims: bool = False, **more: Any) -> Self:
        """Whether all elements are not 0: an untracked boolean Value."""
        return apply(np.all, (self,), _given(axis=axis, out=out, keepdims=keepdims, **more))

    # -- shape and dtype

    def reshape(self, *shape: Any, order: Any = "C", copy: bool | None = None) -> Self:
        """The same elements in another shape, given as one tuple or as integers."""
        given = {"order": order} if copy is None else {"order": order, "copy": copy}
        return apply(np.reshape, (self, shape[0] if len(shape) == 1 else shape), given)

    def ravel(self, order: Any = "C") -> Self:
        """The elements as one axis."""
        return apply(np.ravel, (self,), {"order": order})

    def flatten(self, order: Any = "C") -> Self:
        """A copy of the elements as one axis."""
        return apply(np.copy, (self.ravel(order),), {})

    def copy(self, order: Any = "C") -> Self:
        """A copy that stays in the graph."""
        scalar = not (self.ndim or has_place(self))
        return apply(np.positive, (self,), {}) if scalar else apply(np.copy, (self,), {"order": order})

    def transpose(self, *axes: Any) -> Self:
        """The axes in another order, given as one tuple or as integers; reversed if none are given."""
        if not axes or axes[0] is None:
            return apply(np.transpose, (self,), {})
        return apply(np.transpose, (self, tuple(axes[0]) if np.ndim(axes[0]) else axes), {})

    def swapaxes(self, axis1: int, axis2: int) -> Self:
        """Two axes interchanged."""
        return apply(np.swapaxes, (self, axis1, axis2), {})

    def squeeze(self, axis: Axis = None) -> Self:
        """Without the axes of length 1."""
        return apply(np.squeeze, (self,), {"axis": axis})

    def expand_dims(self, axis: int | tuple[int, ...]) -> Self:
        """With axes of length 1 inserted, as `np.expand_dims`."""
        return apply(np.expand_dims, (self, axis), {})

    def broadcast_to(self, shape: int | tuple[int, ...]) -> Self:
        """Broadcast to `shape`, as `np.broadcast_to`."""
        return apply(np.broadcast_to, (self, shape), {})

    def astype(
        self, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
    ) -> Self:
        """Converted to `dtype`; integers and bools come out untracked. `copy=False`: the Value itself if it fits."""
        dtype = np.dtype(dtype)
        if not np.can_cast(self.dtype, dtype, casting):
            raise TypeError(f"astype: cannot cast from {self.dtype} to {dtype} with casting={casting!r}")
        is_fit = not copy and dtype == self.dtype
        new = self if is_fit else apply(arrays.cast, (self, dtype), {})
        return new if is_laid_out(new._array, order) else apply(np.copy, (new,), {"order": order})

    def repeat(self, repeats: Any, axis: int | None = None) -> Self:
        """`np.repeat(v, repeats, axis)`."""
        return apply(np.repeat, (self, repeats), _given(axis=axis))

    def take(self, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Self:
        """`np.take(v, indices, axis)`."""
        return apply(np.take, (self, indices), {"mode": mode, **_given(axis=axis, out=out)})

    def compress(self, condition: Any, axis: int | None = None, out: Any = None) -> Self:
        """`np.compress(condition, v, axis)`."""
        return apply(np.compress, (condition, self), _given(axis=axis, out=out))

    def choose(self, choices: Any, out: Any = None, mode: str = "raise") -> Self:
        """`np.choose(v, choices)`, for a Value of integers."""
        return apply(np.choose, (self, choices), {"mode": mode, **_given(out=out)})

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Self:
        """A diagonal, as a view that cannot be written to."""
        return apply(np.diagonal, (self, offset, axis1, axis2), {})

    def dot(self, b: Any, out: Any = None) -> Self:
        """`np.dot(v, b)`."""
        return apply(np.dot, (self, b), _given(out=out))
