"""The two ends of a reverse walk: the cotangent that goes in, the gradients that come out.

Inside a walk every map is complex-linear. Both ends take the conjugate, so that the gradient of a real
loss with respect to a complex array is its direction of steepest ascent.
"""

import weakref
from contextvars import ContextVar
from typing import Any

import numpy as np

from .box import Box
from .case import StandIn
from .convert import to_data
from .errors import DetachError, GraphError, OperandError
from .tape import Node

__all__ = ["KEPT", "Retained", "own", "seed", "untracked"]

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


def own(g: Any, owned: bool) -> Any:
    """A cotangent as a gradient for the user: writeable, shared with nobody, conjugated if complex."""
    if g.dtype.kind == "c":
        return np.conj(g)
    if isinstance(g, Box):
        return g._wrap(own(g._array, False), g._node)
    g = g if owned or isinstance(g, np.generic) else g.copy(order="K")
    return g if g.ndim else g[()]


def seed(v: Box, gradient: Any, create_graph: bool) -> Any:
    """The cotangent to start from: checked, cast, and conjugated if complex."""
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


def untracked(data: Any) -> Any:
    """The array of an untracked Value, anything else as it is."""
    if not isinstance(data, Box):
        return data
    if data._node is not None:
        raise DetachError("a tracked Value would be detached; pass v.detach() or v.data")
    return data._array
