"""Gradient clipping, between `backward()` and `step()`."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import OperandError
from ..value import Value
from .groups import array_of

__all__ = ["clip_grad_norm", "clip_grad_value"]

SOUND = 1e-20  # a sum of squares beside which nothing that underflows in float32 counts


def clip_grad_norm(params: Iterable[Value], max_norm: float) -> Any:
    """Scale all gradients by one factor, so that their norm, as one vector, is at most `max_norm`; the norm before.

    Parameters without a gradient are left out (Pascanu et al., arXiv:1211.5063). With `max_norm=inf` it only measures.
    The norm, of float32 at least, is right also where squares overflow or underflow.

    >>> w = Value([3.0, 4.0])
    >>> (w * w).sum().backward()
    >>> float(clip_grad_norm([w], 1.0)), w.grad
    (10.0, array([0.6, 0.8]))

    Raises ValueError if max_norm is not positive, OperandError for what holds no Values.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm is {max_norm}; it has to be positive")
    given = _with_gradients("clip_grad_norm", params)
    gradients = [array_of(p.grad) for p in given]
    with np.errstate(over="ignore"):
        total = _squares(gradients)
    if isinstance(total, (float, np.floating)) and SOUND < total < math.inf:
        norm = np.sqrt(total)
    else:  # squares that overflow or underflow, or in a program, where it costs next to nothing
        scale = _scale(gradients)
        norm = np.sqrt(_squares(gradients, scale)) * scale
    dtype = np.result_type(np.float32, *[g.real.dtype for g in gradients]) if gradients else np.float64
    if max_norm == math.inf:  # inf / inf is no factor
        return norm.astype(dtype)
    factor = np.minimum(max_norm / np.maximum(norm, max_norm), 1.0)
    for p, g in zip(given, gradients, strict=True):
        precise = factor.astype(np.result_type(g.real.dtype, np.float32))  # a float16 may be too small for it
        p.grad = (g * precise).astype(g.dtype, copy=False)
    return norm.astype(dtype)


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


def _squares(gradients: list[Any], scale: Any = None) -> Any:
    """The sum of all squares, of what is divided by `scale`."""
    total: Any = 0.0
    for g in gradients:
        wide = g.astype(np.float32) if g.dtype == np.float16 else g
        for part in (wide.real, wide.imag) if wide.dtype.kind == "c" else (wide,):
            scaled = part if scale is None else part / scale
            total = total + (scaled * scaled).sum()
    return total


def _scale(gradients: list[Any]) -> Any:
    """The greatest absolute value, in float64, whose square overflows while it does not; 1 if it is 0 or no number."""
    peak = 0.0
    for g in gradients:
        if math.prod(g.shape):
            peak = np.maximum(peak, np.abs(g).max().astype(np.float64))
    return np.where((peak > 0.0) & (peak < math.inf), peak, 1.0)
