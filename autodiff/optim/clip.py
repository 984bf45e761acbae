"""Gradient clipping, between `backward()` and `step()`."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..value import Value

__all__ = ["clip_grad_norm", "clip_grad_value"]


def clip_grad_norm(params: Iterable[Value], max_norm: float) -> Any:
    """Scale all gradients by one factor, so that their norm, as one vector, is at most `max_norm`; the norm before.

    Parameters without a gradient are left out (Pascanu et al., arXiv:1211.5063).

    >>> w = Value([3.0, 4.0])
    >>> (w * w).sum().backward()
    >>> float(clip_grad_norm([w], 1.0)), w.grad
    (10.0, array([0.6, 0.8]))

    Raises ValueError if max_norm is not positive.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm is {max_norm}; it has to be positive")
    given = [p for p in params if p.grad is not None]
    total = 0.0
    for p in given:
        g = _array(p.grad)
        total = total + (g.real * g.real + g.imag * g.imag if g.dtype.kind == "c" else g * g).sum()
    norm = np.sqrt(total)
    factor = np.minimum(max_norm / np.maximum(norm, max_norm), 1.0)
    for p in given:
        g = _array(p.grad)
        p.grad = g * factor.astype(g.real.dtype)
    return norm


def clip_grad_value(params: Iterable[Value], max_value: float) -> None:
    """Bring every element of the gradients into [-max_value, max_value].

    >>> w = Value([3.0, 4.0])
    >>> (w * w).sum().backward()
    >>> clip_grad_value([w], 7.0)
    >>> w.grad
    array([6., 7.])

    Raises ValueError if max_value is not positive.
    """
    if not max_value > 0:
        raise ValueError(f"clip_grad_value: max_value is {max_value}; it has to be positive")
    for p in params:
        if p.grad is not None:
            p.grad = np.clip(_array(p.grad), -max_value, max_value)


def _array(g: Any) -> Any:
    return g.data if isinstance(g, Value) else g
