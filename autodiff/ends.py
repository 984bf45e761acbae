"""The two ends of a reverse walk: the cotangent that goes in, the gradients that come out.

Inside a walk every map is complex-linear. Both ends take the conjugate, so that the gradient of a real
loss with respect to a complex array is its direction of steepest ascent.
"""

import weakref
from contextvars import ContextVar
from typing import Any

import numpy as np

from .case import StandIn
from .convert import to_data
from .dispatch import Box
from .errors import DetachError, GraphError, OperandError
from .tape import Node

__all__ = ["IN_BACKWARD", "Retained", "own", "seed"]

IN_BACKWARD: ContextVar[bool] = ContextVar("autodiff_in_backward", default=False)


class Retained(StandIn):
    """The case of a node whose Value asked for `.grad` with retain_grad()."""

    __slots__ = ("node",)

    def __init__(self, node: Node, case: Any) -> None:
        super().__init__(case)
        self.node = weakref.ref(node)

    def pull(self, saved: Any, g: Any) -> Any:
        result = self.case.pull(saved, g)
        node = self.node()
        if node is not None and IN_BACKWARD.get():
            total = own(g, False)
            node.grad = total if node.grad is None else node.grad + total
        return result


def own(g: Any, owned: bool) -> Any:
    """A cotangent as a gradient for the user: writeable, shared with nobody, conjugated if complex."""
    if g.dtype.kind == "c":
        return np.conj(g)
    if isinstance(g, Box):
        return g._wrap(own(g._data, False), g._node)
    return g if owned or isinstance(g, np.generic) else g.copy()


def seed(v: Box, gradient: Any, create_graph: bool) -> Any:
    """The cotangent to start from: checked, cast, and conjugated if complex."""
    if gradient is None:
        if v._data.size != 1:
            raise GraphError(
                f"backward: this Value has shape {v._data.shape}; a gradient can start from a scalar only: "
                "reduce it first, as in v.sum().backward(), or pass gradient= of the same shape"
            )
        if v._data.dtype.kind == "c":
            raise GraphError("backward: this Value is complex; take .real or abs() of it, or pass gradient=")
        gradient = np.ones_like(v._data)
    g: Any = gradient
    if isinstance(gradient, Box):
        if gradient._node is not None and not create_graph:
            raise DetachError("backward: gradient is tracked; pass create_graph=True, or gradient.detach()")
        g = gradient if create_graph else gradient._data
    else:
        g = to_data(gradient, None, False, copy=False, argument="backward: gradient")
    if g.shape != v._data.shape:
        raise ValueError(f"backward: gradient has shape {g.shape}, the Value has shape {v._data.shape}")
    if g.dtype.kind == "c" and v._data.dtype.kind != "c":
        raise OperandError("backward: gradient is complex, the Value is real; pass gradient.real")
    if g.dtype != v._data.dtype:
        g = g.astype(v._data.dtype)
    g = np.conj(g) if v._data.dtype.kind == "c" else g[()] if not g.ndim else g
    return v._wrap(g) if create_graph and not isinstance(g, Box) else g
