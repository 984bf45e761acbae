"""Products that sum: matmul, dot, inner, outer. Bilinear, so each side's transpose needs the other only."""

import math

import numpy as np

from ..convert import as_operand
from ..rule import bilinear, composite

__all__: list[str] = []  # its rules are in the registry


def matmul_lhs(g, x, y):
    """`x` is a Spec: what of g = x @ y belongs to x, before broadcasting is undone."""
    if y.ndim == 1:
        return g[..., None] * y
    if x.ndim == 1:
        g = g[..., None, :]
        return (g @ y.swapaxes(-1, -2))[..., 0, :]
    return g @ y.swapaxes(-1, -2)


def matmul_rhs(g, x, y):
    """`y` is a Spec."""
    if x.ndim == 1:
        return x[:, None] * g[..., None, :] if y.ndim > 1 else x * g
    if y.ndim == 1:
        return (x.swapaxes(-1, -2) @ g[..., None])[..., 0]
    return x.swapaxes(-1, -2) @ g


bilinear(np.matmul, matmul_lhs, matmul_rhs)


def dot(a, b):
    """`np.dot` by matmul: a sum over the last axis of a and the second to last of b."""
    a, b = as_operand(a, "dot"), as_operand(b, "dot")
    if not np.ndim(a) or not np.ndim(b):
        return np.multiply(a, b)
    if np.ndim(b) <= 2:
        return np.matmul(a, b)
    rows = np.moveaxis(b, -2, 0)
    flat = np.matmul(a, rows.reshape((rows.shape[0], math.prod(rows.shape[1:]))))
    return flat.reshape(flat.shape[:-1] + rows.shape[1:])


def inner(a, b):
    a, b = as_operand(a, "inner"), as_operand(b, "inner")
    return np.dot(a, np.swapaxes(b, -1, -2)) if np.ndim(a) and np.ndim(b) > 1 else np.dot(a, b)


def outer(a, b):
    a, b = as_operand(a, "outer"), as_operand(b, "outer")
    return np.multiply(np.reshape(a, (-1, 1)), np.reshape(b, (1, -1)))


composite(np.dot, dot)
composite(np.inner, inner)
composite(np.outer, outer)
