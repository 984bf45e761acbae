"""Gradient clipping, between `backward()` and `step()`."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import OperandError
from ..value import Value
from .groups import array_of

__all__ = ["clip_grad_norm", "clip_grad_value"]


def clip_grad_norm(params: Iterable[Value], max_norm: float) -> Any:
    """Scale all gradients by one factor, so that their norm, as one vector, is at most `max_norm`; the norm before.

    Parameters without a gradient are left out (Pascanu et al., arXiv:1211.5063). With `max_norm=inf` it only measures.

    >>> w = Value([3.0, 4.0])
    >>> (w * w).sum().backward()
    >>> float(clip_grad_norm([w], 1.0)), w.grad
    (10.0, array([0.6, 0.8]))

    Raises ValueError if max_norm is not positive, OperandError for what holds no Values.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm is {max_norm}; it has to be positive")
    given = _with_gradients("clip_grad_norm", params)
    total = 0.0
    for p in given:
        g = array_of(p.grad)
        total = total + (g.real * g.real + g.imag * g.imag if g.dtype.kind == "c" else g * g).sum()
    norm = np.sqrt(total)
    if max_norm == math.inf:  # inf / inf is no factor
        return norm
    factor = np.minimum(max_norm / np.maximum(norm, max_norm), 1.0)
    for p in given:
        g = array_of(p.grad)
        p.grad = g * factor.astype(g.real.dtype)
    return norm


def clip_grad_value(params: Iterable[Value], max_value: float) -> None:
    """Bring every element of the gradients into [-max_value, max_value].

    >>> w = Value([3.0, 4.0])
    >>> (w * w).sum().backward()
    >>> clip_grad_value([w], 7.0)
    >>> w.grad
    array([6., 7.])

    Raises ValueError if max_value is not positive, OperandError for what holds no Values.
    """
    if not max_value > 0:
        raise ValueError(f"clip_grad_value: max_value is {max_value}; it has to be positive")
    for p in _with_gradients("clip_grad_value", params):
        g = array_of(p.grad)
        if g.dtype.kind == "c":  # its parts; the order of complex numbers has no meaning here
            p.grad = np.clip(g.real, -max_value, max_value) + 1j * np.clip(g.imag, -max_value, max_value)
        else:
            p.grad = np.clip(g, -max_value, max_value)


def _with_gradients(function: str, params: Any) -> list[Value]:
    given: list[Any] = [*params] if isinstance(params, Iterable) and not isinstance(params, Value) else [None]
    if not all(isinstance(p, Value) for p in given):
        raise OperandError(f"{function}: params has to be a list of Values, such as model.parameters()")
    return [p for p in given if p.grad is not None]
