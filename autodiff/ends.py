"""The two ends of a reverse walk: the cotangent that goes in, the gradients that come out.

Inside a walk every map is complex-linear. Both ends take the conjugate, so that the gradient of a real
loss with respect to a complex array is its direction of steepest ascent.

What backward() brings to a leaf goes through the leaf's hooks first. All hooks have run before any `.grad` changes.
"""

import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from .arrays import sum_levels
from .batched import Batched, check_running, levels_of
from .box import Box
from .case import StandIn
from .context import LEVELS
from .convert import to_data
from .errors import DetachError, GraphError, OperandError
from .tape import LEAF, Node, walk_back

__all__ = ["GRADS", "KEPT", "Hook", "Retained", "add_gradients", "own", "retain", "seed", "untracked"]

GRADS = threading.Lock()  # held while gradients are added, and while hooks come and go

KEPT: ContextVar[list[tuple[Node, Any]] | None] = ContextVar("autodiff_kept", default=None)  # by retain_grad()


class Retained(StandIn):
    """The case of a node whose Value asked for `.grad` with retain_grad()."""

    __slots__ = ("node",)

    def __init__(self, node: Node, case: Any) -> None:
        super().__init__(case)
        self.node = weakref.ref(node)

    def pull(self, saved: Any, g: Any) -> Any:
        result = self.case.pull(saved, g)
        node = self.node()
        kept = KEPT.get()
        if node is not None and kept is not None:
            kept.append((node, own(g, False)))
        return result


class Hook:
    """A function that changes the gradients of a leaf, until `remove()` or the end of a `with` block."""

    __slots__ = ("_node", "function")

    def __init__(self, v: Box, function: Callable[[Any], Any]) -> None:
        node = v._node
        if node is None or node.number != LEAF:
            what = "computed from other Values" if node is not None else "untracked"
            raise GraphError(
                f"register_hook: this Value is {what}; hooks are for variables, of others retain_grad() keeps .grad"
            )
        if not callable(function):
            raise OperandError(f"register_hook: a {type(function).__name__} cannot be called; pass a function")
        self._node, self.function = weakref.ref(node), function
        with GRADS:
            node.hooks = (*getattr(node, "hooks", ()), self)

    def remove(self) -> None:
        """Call the function no more. Doing so twice is no error."""
        node = self._node()
        if node is not None:
            with GRADS:
                node.hooks = tuple([hook for hook in node.hooks if hook is not self])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __call__(self, g: Any) -> Any:
        """What the function makes of a gradient: as it returns None or a replacement."""
        g = g if isinstance(g, Box) else np.asarray(g)
        new = self.function(g)
        return g if new is None or new is g else _as_gradient(new, g, "register_hook: the returned gradient")


def _as_gradient(new: Any, like: Any, what: str) -> Any:
    """What a user gives for a gradient: of the shape and dtype of `like`, and shared with nobody.

    It may be tracked only if `like` is a Value. Raises ValueError and OperandError if it does not fit.
    """
    is_box = isinstance(like, Box)
    if is_box and isinstance(new, Box) and new._node is not None:
        array, node = new._array.copy(), new._node
        if array.dtype != like._array.dtype:
            raise OperandError(f"{what} is tracked and of dtype {array.dtype}, expected {like._array.dtype}; cast it")
    else:
        array, node = to_data(untracked(new, what), like.dtype, False, copy=True, argument=what), None
    if array.shape != like.shape:
        raise ValueError(f"{what} has shape {array.shape}, expected {like.shape}")
    return like._wrap(array, node) if is_box else array


def retain(v: Box) -> None:
    """Let the node of `v`, which is no leaf, keep `.grad`."""
    node = v._node
    if node is None:
        raise GraphError("retain_grad: this Value is untracked and gets no gradient")
    if node.case and node.case.is_spent:
        raise GraphError("retain_grad: the graph behind this Value was freed by an earlier backward()")
    if not hasattr(node, "grad"):
        node.grad = None
        node.case = Retained(node, node.case)


def add_gradients(v: Box, g: Any, free: bool, wrap: Callable[[Any, Node | None], Any] | None) -> None:
    """Walk back from `v` and add to `.grad` what arrives, all of it or, if something raises, nothing."""
    kept: list[tuple[Node, Any]] = []
    token = KEPT.set(kept)
    try:
        ends = walk_back([(v._node, g)], free=free, wrap=wrap)
    finally:
        KEPT.reset(token)
    for node, total in ends.cotangents.items():
        gradient = own(total, node in ends.owned)
        if LEVELS.get().levels or type(gradient) is Batched:
            gradient = _of_all_examples(v, node, gradient)
        for hook in getattr(node, "hooks", ()):
            gradient = hook(gradient)
        kept.append((node, gradient))
    with GRADS:
        for node, gradient in kept:
            node.grad = gradient if node.grad is None else node.grad + gradient


def _of_all_examples(v: Box, node: Node, g: Any) -> Any:
    """The gradient of a variable from a backward() under vmap: one that was there before is every example's."""
    data = getattr(g, "_array", g)
    for level in {*levels_of(data), *LEVELS.get().levels}:
        if node.number == LEAF and node.saved < level.number:
            g = sum_levels(g, (level,)) if level in levels_of(data) else g * level.size
            data = getattr(g, "_array", g)
    return v._wrap(g) if type(g) is Batched else g


def own(g: Any, owned: bool) -> Any:
    """A cotangent as a gradient for the user: writeable, shared with nobody, conjugated if complex."""
    if g.dtype.kind == "c":
        return np.conj(g)
    if isinstance(g, Box):
        return g._wrap(own(g._array, False), g._node)
    if type(g) is Batched:  # it goes into a Value, and what is in a Value is not written to
        return g
    g = g if owned or isinstance(g, np.generic) else g.copy(order="K")
    return g if g.ndim else g[()]


def seed(v: Box, gradient: Any, create_graph: bool) -> Any:
    """The cotangent to start from: checked, cast, and conjugated if complex."""
    check_running(v._array, "backward: this is")
    if gradient is None:
        if v._array.size != 1:
            raise GraphError(
                f"backward: this Value has shape {v._array.shape}; a gradient can start from a scalar only: "
                "reduce it first, as in v.sum().backward(), or pass gradient= of the same shape"
            )
        if v._array.dtype.kind == "c":
            raise GraphError("backward: this Value is complex; take .real or abs() of it, or pass gradient=")
        if type(v._array) is np.float64 and not create_graph:
            return np.float64(1.0)
        gradient = np.ones_like(v._array)
    g: Any = gradient
    if isinstance(gradient, Box):
        if gradient._node is not None and not create_graph:
            raise DetachError("backward: gradient is tracked; pass create_graph=True, or gradient.detach()")
        g = gradient if create_graph else gradient._array
    else:
        g = to_data(gradient, None, False, copy=create_graph, argument="backward: gradient")
    if g.shape != v._array.shape:
        raise ValueError(f"backward: gradient has shape {g.shape}, the Value has shape {v._array.shape}")
    if g.dtype.kind == "c" and v._array.dtype.kind != "c":
        raise OperandError("backward: gradient is complex, the Value is real; pass gradient.real")
    if g.dtype != v._array.dtype:
        g = g.astype(v._array.dtype)
    g = np.conj(g) if v._array.dtype.kind == "c" else g[()] if not g.ndim else g
    return v._wrap(g) if create_graph and not isinstance(g, Box) else g


def untracked(data: Any, what: str = "") -> Any:
    """The array of an untracked Value, anything else as it is. Raises DetachError, about `what`, for a tracked one."""
    if not isinstance(data, Box):
        return data
    if data._node is not None:
        raise DetachError(
            f"{what} is a tracked Value, which would be detached; return v.detach() or v.data"
            if what
            else "a tracked Value would be detached; pass v.detach() or v.data"
        )
    return data._array
