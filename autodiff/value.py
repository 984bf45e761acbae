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
from typing import Any, Self

import numpy as np

from .convert import to_data
from .copies import Copies
from .dispatch import apply
from .ends import KEPT, Retained, own, seed, untracked
from .errors import GraphError, OperandError
from .tape import Node, leaf, walk_back
from .ufuncs import apply_ufunc
from .views import make_place, stale, unlink

__all__ = ["Value"]

_new = object.__new__
_ADD_GRADS = threading.Lock()


class Value(Copies):
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
        cls, data: Any, *, dtype: Any = None, requires_grad: bool = True, copy: bool = True, name: str | None = None
    ) -> Self:
        self = _new(cls)
        self._array = to_data(untracked(data), dtype, requires_grad, copy)
        self._node = leaf() if requires_grad else None
        self._name = name
        if isinstance(data, np.ndarray) and not data.ndim:
            make_place(self)
        return self

    @staticmethod
    def _wrap(data: Any, node: Node | None = None) -> "Value":
        v: Value = _new(Value)
        v._array = data
        v._node = node
        return v

    # -- the array

    @property
    def data(self) -> Any:
        """The array itself, shared; assigning keeps shape and dtype."""
        return self._array

    @data.setter
    def data(self, new: Any) -> None:
        array = to_data(untracked(new), self._array.dtype, False, copy=False)
        if array.shape != self._array.shape:
            raise ValueError(f"Value.data: cannot assign shape {array.shape} to a Value of shape {self._array.shape}")
        unlink(self)
        self._array = array
        stale(self)

    def detach(self) -> "Value":
        """The same array as an untracked Value. The gradient ends here."""
        return self._wrap(self._array)

    # -- the graph

    @property
    def requires_grad(self) -> bool:
        """Whether the Value is tracked. Settable on leaves."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        if not self.is_leaf:
            raise GraphError("requires_grad can be set on leaves only; v.detach() gives an untracked Value")
        if on and self._array.dtype.kind not in "fc":
            raise OperandError(f"requires_grad: dtype {self.dtype} has no gradient; use v.astype(float) first")
        unlink(self)
        self._node = (self._node or leaf()) if on else None

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
        node: Any = self._node
        grad = getattr(node, "grad", None)
        if isinstance(grad, np.generic):  # a scalar's: make it the writeable array that it is promised to be
            with _ADD_GRADS:
                node.grad = grad = np.asarray(node.grad)
        return grad

    @grad.setter
    def grad(self, new: Any) -> None:
        if new is not None:
            if self._node is None:
                raise GraphError("Value.grad: an untracked Value has no gradient")
            if not (isinstance(new, Value) and new._node is not None):
                new = to_data(untracked(new), self._array.dtype, False, copy=True)
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
        if self._node.case and self._node.case.is_spent:
            raise GraphError("retain_grad: the graph behind this Value was freed by an earlier backward()")
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
        g = seed(self, gradient, create_graph)
        free = not (create_graph or retain_graph)
        kept: list[tuple[Node, Any]] = []
        token = KEPT.set(kept)
        try:
            ends = walk_back([(self._node, g)], free=free, wrap=self._wrap if create_graph else None)
        finally:
            KEPT.reset(token)
        kept += [(node, own(total, node in ends.owned)) for node, total in ends.cotangents.items()]
        with _ADD_GRADS:
            for node, total in kept:
                node.grad = total if node.grad is None else node.grad + total

    # -- NumPy's protocols and ours

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return apply(function, args, kwargs, self)

    def __autodiff_apply__(self, function: Any, args: Any, kwargs: Any) -> Any:
        return apply(function, args, kwargs)
