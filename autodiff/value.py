"""class Value: one array that remembers how it was computed.

>>> x = Value(3.0)
>>> y = x * x + x
>>> y.backward()
>>> print(y.data, x.grad)
12.0 7.0

A Value wraps one array and is *tracked* (a variable, or computed from one) or *untracked* (a constant,
a comparison, an integer result). Every operation on a Value gives a Value. Untracked ones convert to
NumPy freely; tracked ones never do so silently.
"""

import threading
import weakref
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from .dispatch import apply, apply_ufunc, describe, is_array
from .errors import DetachError, GraphError, OperandError
from .methods import Methods
from .operators import install_binary
from .tape import LEAF, Node, leaf, walk_back

__all__ = ["Value"]

class Value(Methods):
    """A variable: `data` as its own array, tracked unless `requires_grad=False`.

    Numbers, nested lists and arrays of numbers; integers and bools become float64, unless
    `requires_grad=False`, which keeps NumPy's dtype. `copy=False` shares the array if its dtype fits.

    >>> Value([1, 2])
    Value([1., 2.], dtype=float64)

    Raises OperandError for what is not numeric, and DetachError for a tracked Value.
    """

    __slots__ = ("__weakref__", "_name")

    _name: str | None

    def __new__(
        cls,
        data: Any,
        *,
        dtype: Any = None,
        requires_grad: bool = True,
        copy: bool = True,
        name: str | None = None,
    ) -> Self:
        self = _new(cls)
        self._data = _to_data(data, dtype, requires_grad, copy)
        self._node = leaf() if requires_grad else None
        self._name = name
        return self

    @staticmethod
    def _wrap(data: Any, node: Node | None = None) -> "Value":
        v: Value = _new(Value)
        v._data = data
        v._node = node
        return v

    # -- the array

    @property
    def data(self) -> Any:
        """The array itself, shared; assigning keeps shape and dtype."""
        return self._data

    @data.setter
    def data(self, new: Any) -> None:
        array = _to_data(new, self._data.dtype, False, copy=False)
        if array.shape != self._data.shape:
            raise ValueError(f"Value.data: cannot assign shape {array.shape} to a Value of shape {self._data.shape}")
        self._data = array

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        shape: tuple[int, ...] = self._data.shape
        return shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._data.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(self._data.size)

    @property
    def nbytes(self) -> int:
        """The bytes that the elements take."""
        return int(self._data.nbytes)

    @property
    def itemsize(self) -> int:
        """The bytes that one element takes."""
        return int(self._data.dtype.itemsize)

    @property
    def dtype(self) -> Any:
        """The dtype of the elements."""
        return self._data.dtype

    @property
    def device(self) -> Any:
        """Where the elements are: "cpu", or what the array library says."""
        return getattr(self._data, "device", "cpu")

    @property
    def T(self) -> "Value":
        """The axes reversed."""
        return apply(np.transpose, (self,), {})  # type: ignore[no-any-return]

    @property
    def mT(self) -> "Value":
        """The last two axes interchanged."""
        if self.ndim < 2:
            raise ValueError(f"Value.mT needs at least 2 axes, this one has {self.ndim}")
        return self.swapaxes(-1, -2)

    @property
    def real(self) -> "Value":
        """The real part."""
        return apply(np.real, (self,), {})  # type: ignore[no-any-return]

    @property
    def imag(self) -> "Value":
        """The imaginary part."""
        return apply(np.imag, (self,), {})  # type: ignore[no-any-return]

    def item(self) -> Any:
        """The one element as a Python number. The gradient ends here."""
        return self._data.item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers. The gradient ends here."""
        return self._data.tolist()

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy as a NumPy array. The gradient ends here."""
        return np.array(self._data.get() if hasattr(self._data, "get") else self._data)

    def detach(self) -> "Value":
        """The same array as an untracked Value. The gradient ends here."""
        return self._wrap(self._data)

    # -- the graph

    @property
    def requires_grad(self) -> bool:
        """Whether the Value is tracked. Settable on leaves."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        if not self.is_leaf:
            raise GraphError("requires_grad can be set on leaves only; v.detach() gives an untracked Value")
        if on and self._data.dtype.kind not in "fc":
            raise OperandError(f"requires_grad: dtype {self.dtype} has no gradient; use v.astype(float) first")
        self._node = (self._node or leaf()) if on else None

    @property
    def is_leaf(self) -> bool:
        """Whether the Value was not computed from tracked ones."""
        return self._node is None or self._node.number == LEAF

    @property
    def name(self) -> str | None:
        """A name, for graphs and messages."""
        return getattr(self, "_name", None)

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name

    @property
    def grad(self) -> Any:
        """What backward() has accumulated: an ndarray of its own, of this shape and dtype, or None.

        A Value after `backward(create_graph=True)`. Kept by leaves, and by others after retain_grad().
        """
        node = self._node
        grad = getattr(node, "grad", None)
        if isinstance(grad, np.generic):  # a scalar's: make it the writeable array that it is promised to be
            node.grad = grad = np.asarray(grad)  # type: ignore[union-attr]
        return grad

    @grad.setter
    def grad(self, new: Any) -> None:
        if new is not None:
            if self._node is None:
                raise GraphError("Value.grad: an untracked Value has no gradient")
            if not isinstance(new, Value):
                new = _to_data(new, self._data.dtype, False, copy=False)
            if new.shape != self.shape:
                raise ValueError(f"Value.grad: shape {new.shape} for a Value of shape {self.shape}")
        if self._node is not None:
            self._node.grad = new

    def zero_grad(self) -> None:
        """Forget the gradient: `.grad` is None again."""
        self.grad = None

    def retain_grad(self) -> None:
        """Let a Value that is not a leaf keep `.grad` too, from the next backward() on."""
        if self._node is None:
            raise GraphError("retain_grad: this Value is untracked and gets no gradient")
        if not hasattr(self._node, "grad"):
            self._node.grad = None
            self._node.case = Retained(self._node, self._node.case)

    def backward(self, gradient: Any = None, *, create_graph: bool = False, retain_graph: bool = False) -> None:
        """Add the gradient of this Value to the `.grad` of every leaf that it was computed from.

        `gradient` is the cotangent to start from, of this Value's shape; 1 for a Value of one element.
        `create_graph=True` makes the gradients Values that can be differentiated again. Residuals are
        freed on the way unless `retain_graph=True`, which is the default under `create_graph=True`.

        >>> x = Value([1.0, 2.0])
        >>> (x * x).sum().backward()
        >>> x.grad
        array([2., 4.])

        Raises GraphError if this Value is untracked, or its graph was freed by an earlier call.
        """
        if self._node is None:
            raise GraphError("backward: this Value is untracked, nothing it was computed from requires a gradient")
        g = _seed(self, gradient, create_graph)
        free = not (create_graph or retain_graph)
        token = _IN_BACKWARD.set(True)
        try:
            ends = walk_back([(self._node, g)], free=free, wrap=self._wrap if create_graph else None)
        finally:
            _IN_BACKWARD.reset(token)
        with _ADD_GRADS:
            for node, total in ends.items():
                total = own(total, node in ends.owned)
                node.grad = total if node.grad is None else node.grad + total

    # -- NumPy's protocols and ours

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return apply(function, args, kwargs)

    def __autodiff_apply__(self, function: Any, args: Any, kwargs: Any) -> Any:
        return apply(function, args, kwargs)

    # -- copies and text

    def __copy__(self) -> "Value":
        """A leaf or an untracked Value becomes an independent one; any other keeps its place in the graph."""
        if self.is_leaf:
            return type(self)(self._data, requires_grad=self.requires_grad, name=self.name)
        return self._wrap(self._data.copy(), self._node)

    def __deepcopy__(self, memo: Any) -> "Value":
        return self.__copy__()

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise DetachError("a Value inside a graph cannot be pickled; pickle v.detach() or v.data")
        return _unpickle, (type(self), self._data, self.requires_grad, self.name)

    def __repr__(self) -> str:
        data = self._data
        text = repr(data.item()) if not data.ndim else np.array2string(np.asarray(data), separator=", ", prefix="Value(")
        facts = [f"dtype={data.dtype}"]
        if self.name is not None:
            facts.append(f"name={self.name!r}")
        if self._node is None:
            facts.append("untracked")
        elif not self.is_leaf:
            facts.append(f"from={self._node.case.rule.name}")
        return f"Value({text}, {', '.join(facts)})"


class Retained:
    """The case of a node whose Value asked for `.grad` with retain_grad()."""

    def __init__(self, node: Node, case: Any) -> None:
        self._node, self._case = weakref.ref(node), case

    def __getattr__(self, name: str) -> Any:
        return getattr(self._case, name)

    @property
    def spent(self) -> Any:
        return Retained(self._node(), self._case.spent)  # type: ignore[arg-type]

    def pull(self, saved: Any, g: Any) -> Any:
        result = self._case.pull(saved, g)
        node = self._node()
        if node is not None and _IN_BACKWARD.get():
            total = own(g, False)
            node.grad = total if node.grad is None else node.grad + total
        return result


_new = object.__new__
_ADD_GRADS = threading.Lock()
_IN_BACKWARD: ContextVar[bool] = ContextVar("autodiff_in_backward", default=False)


def own(g: Any, owned: bool) -> Any:
    """A cotangent as a gradient for the user: writeable, shared with nobody, conjugated if complex."""
    if isinstance(g, Value):
        return Value._wrap(own(g._data, False), g._node) if g.dtype.kind != "c" else np.conj(g)
    if g.dtype.kind == "c":
        return np.conj(g)
    return g if owned or isinstance(g, np.generic) else g.copy()


def _seed(v: Value, gradient: Any, create_graph: bool) -> Any:
    """The cotangent to start from: checked, cast, and conjugated if complex."""
    if gradient is None:
        if v.size != 1:
            raise GraphError(
                f"backward: this Value has shape {v.shape}; a gradient can start from a scalar only: "
                "reduce it first, as in v.sum().backward(), or pass gradient= of the same shape"
            )
        if v.dtype.kind == "c":
            raise GraphError("backward: this Value is complex; take .real or abs() of it, or pass gradient=")
        gradient = np.ones_like(v._data)
    if isinstance(gradient, Value):
        if gradient._node is not None and not create_graph:
            raise DetachError("backward: gradient is tracked; pass create_graph=True, or gradient.detach()")
        g = gradient if create_graph else gradient._data
    else:
        g = _to_data(gradient, None, False, copy=False, argument="backward: gradient")
    if g.shape != v.shape:
        raise ValueError(f"backward: gradient has shape {g.shape}, the Value has shape {v.shape}")
    if g.dtype.kind == "c" and v.dtype.kind != "c":
        raise OperandError("backward: gradient is complex, the Value is real; pass gradient.real")
    if g.dtype != v.dtype:
        g = g.astype(v.dtype)
    g = np.conj(g) if v.dtype.kind == "c" else g[()] if not g.ndim else g
    return Value._wrap(g) if create_graph and not isinstance(g, Value) else g


def _to_data(data: Any, dtype: Any, variable: bool, copy: bool, argument: str = "Value") -> Any:
    """`data` as an array to compute with; a NumPy scalar if it is 0-d and NumPy's."""
    if isinstance(data, Value):
        if data._node is not None:
            raise DetachError(f"{argument}: a tracked Value would be detached; pass v.detach() or v.data")
        data = data._data
    if hasattr(data, "to_numpy") and not is_array(data):
        data = data.to_numpy()
    if isinstance(data, (np.matrix, np.ma.MaskedArray)):
        raise OperandError(f"{argument}: got {describe(data)}")
    if not is_array(data):
        try:
            data = np.asarray(data)
        except ValueError as error:
            raise OperandError(f"{argument}: the nested lists are ragged; make all rows equally long") from error
        copy = False
    if not is_array(data) or (dtype is not None and np.dtype(dtype).kind not in "biufc"):
        raise OperandError(f"{argument}: got {describe(data)}" if dtype is None else f"{argument}: dtype {dtype}")
    if dtype is None and variable and data.dtype.kind in "biu":
        dtype = np.dtype(float)
    if dtype is not None and data.dtype != dtype:
        if data.dtype.kind == "c" and np.dtype(dtype).kind != "c":
            raise OperandError(f"{argument}: complex data does not fit dtype {dtype}; take .real")
        data, copy = data.astype(dtype), False
    if variable and data.dtype.kind not in "fc":
        raise OperandError(f"{argument}: dtype {data.dtype} has no gradient; use a float dtype or requires_grad=False")
    if copy and not isinstance(data, np.generic):
        data = data.copy()
    return data[()] if isinstance(data, np.ndarray) and not data.ndim else data


def _unpickle(cls: type[Value], data: Any, requires_grad: bool, name: str | None) -> Value:
    return cls(data, requires_grad=requires_grad, name=name)


install_binary(Value)
