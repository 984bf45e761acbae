"""ndarray's attributes and methods, and the usual activations: each is one call to the door.

They have NumPy's names and arguments, less `dtype`, `out` and `where`. What NumPy does not have is said in the
docstring.
"""

import operator
from typing import Any, Self

import numpy as np

from . import arrays
from .arguments import option
from .binary import Binary
from .dispatch import apply
from .mutation import write
from .operators import Operators
from .rule import RULES
from .rules import activations
from .tape import LEAF
from .views import peek, read

__all__ = ["Methods"]

Axis = int | tuple[int, ...] | None


class Methods(Binary):
    """Attributes, and methods that return a new Value."""

    __slots__ = ()

    # -- attributes

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        shape: tuple[int, ...] = peek(self)[0].shape
        return shape

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
        return getattr(self._array, "device", "cpu")

    @property
    def T(self) -> Self:
        """The axes reversed."""
        return apply(np.transpose, (self,), {})

    @property
    def mT(self) -> Self:
        """The last two axes interchanged."""
        if self.ndim < 2:
            raise ValueError(f"mT needs at least 2 axes, this one has {self.ndim}")
        return self.swapaxes(-1, -2)

    @property
    def real(self) -> Self:
        """The real part."""
        return apply(np.real, (self,), {})

    @property
    def imag(self) -> Self:
        """The imaginary part."""
        return apply(np.imag, (self,), {})

    def item(self) -> Any:
        """The one element as a Python number. The gradient ends here."""
        return self._array.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers. The gradient ends here."""
        return self._array.tolist()

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy as a NumPy array. The gradient ends here."""
        return np.array(self._array.get() if hasattr(self._array, "get") else self._array)

    def __repr__(self) -> str:
        data, node, name = self._array, self._node, getattr(self, "_name", None)
        text = np.array2string(self.numpy(), separator=", ", prefix="Value(") if data.ndim else repr(data.item())
        facts = [f"dtype={data.dtype}"]
        if name is not None:
            facts.append(f"name={name!r}")
        if node is None:
            facts.append("untracked")
        elif node.number != LEAF:
            facts.append(f"from={node.case.rule.name}")
        return f"Value({text}, {', '.join(facts)})"

    # -- indexing

    def __getitem__(self, key: Any) -> Self:
        """`v[key]`: slices, integers, integer arrays, boolean masks, and tuples of them."""
        if type(key) is not int and type(key) is not slice:
            key = option(RULES[arrays.getitem], _index(key))
        return read(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        """`v[key] = value`, with NumPy's meaning; see mutation.py."""
        write(self, _index(key), value)

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
        """The complex conjugate."""
        return apply(np.conjugate, (self,), {})

    conjugate = conj

    def round(self, decimals: int = 0) -> Self:
        """Each element rounded to `decimals`; the derivative is 0."""
        return apply(np.round, (self, decimals), {})

    def clip(self, min: Any = None, max: Any = None) -> Self:
        """Each element limited to [min, max]."""
        return apply(np.clip, (self, min, max), {})

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

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The sum over `axis`."""
        return apply(np.sum, (self,), {"axis": axis, "keepdims": keepdims})

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The mean over `axis`."""
        return apply(np.mean, (self,), {"axis": axis, "keepdims": keepdims})

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The product over `axis`; zeros among the factors are no trouble."""
        return apply(np.prod, (self,), {"axis": axis, "keepdims": keepdims})

    def max(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The maximum over `axis`; ties share the cotangent evenly."""
        return apply(np.max, (self,), {"axis": axis, "keepdims": keepdims})

    def min(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The minimum over `axis`; ties share the cotangent evenly."""
        return apply(np.min, (self,), {"axis": axis, "keepdims": keepdims})

    def var(self, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Self:
        """The variance over `axis`."""
        return apply(np.var, (self,), {"axis": axis, "ddof": ddof, "keepdims": keepdims})

    def std(self, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Self:
        """The standard deviation over `axis`; its derivative is 0 where it is 0."""
        return apply(np.std, (self,), {"axis": axis, "ddof": ddof, "keepdims": keepdims})

    def cumsum(self, axis: int | None = None) -> Self:
        """The cumulative sum along `axis` (of the flattened array if None)."""
        return apply(np.cumsum, (self,), {"axis": axis})

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Self:
        """Where the maximum is: an untracked integer Value."""
        return apply(np.argmax, (self,), {"axis": axis, "keepdims": keepdims})

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Self:
        """Where the minimum is: an untracked integer Value."""
        return apply(np.argmin, (self,), {"axis": axis, "keepdims": keepdims})

    def any(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """Whether any element is not 0: an untracked boolean Value."""
        return apply(np.any, (self,), {"axis": axis, "keepdims": keepdims})

    def all(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """Whether all elements are not 0: an untracked boolean Value."""
        return apply(np.all, (self,), {"axis": axis, "keepdims": keepdims})

    # -- shape and dtype

    def reshape(self, *shape: Any, order: Any = "C") -> Self:
        """The same elements in another shape, given as one tuple or as integers."""
        return apply(np.reshape, (self, shape[0] if len(shape) == 1 else shape), {"order": order})

    def ravel(self, order: Any = "C") -> Self:
        """The elements as one axis."""
        return apply(np.ravel, (self,), {"order": order})

    def flatten(self, order: Any = "C") -> Self:
        """A copy of the elements as one axis."""
        return self.copy().ravel(order)

    def copy(self) -> Self:
        """A copy that stays in the graph."""
        return apply(np.copy, (self,), {})

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

    def astype(self, dtype: Any) -> Self:
        """Converted to `dtype`; integers and bools come out untracked."""
        return apply(arrays.cast, (self, np.dtype(dtype)), {})

    def dot(self, other: Any) -> Self:
        """`np.dot(v, other)`."""
        return apply(np.dot, (self, other), {})


def _index(key: Any) -> Any:
    """The key with sequences as arrays, which nobody else can change, and index-like objects as integers."""
    if isinstance(key, tuple):
        return tuple([_index(list(k) if isinstance(k, tuple) else k) for k in key])
    if isinstance(key, (list, range)):
        return np.array(key, dtype=None if len(key) else int)
    known = isinstance(key, (int, np.generic, np.ndarray, Operators))
    return operator.index(key) if hasattr(key, "__index__") and not known and not hasattr(key, "dtype") else key
