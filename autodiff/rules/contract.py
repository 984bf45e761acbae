"""Products that sum: matmul and its relatives, dot, tensordot, cross, trace.

Bilinear, so each side's transpose needs the other only. (einsum has a file of its own.)
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..arrays import dispatchable, expand
from ..convert import as_operand
from ..rule import bilinear, composite, linear
from .einsum import LETTERS, as_array, contract, contract_levels, diagonal_mask, shared_by
from .elementwise import is_complex

__all__ = ["cross_product"]


def terms(left, right, result):
    """The subscripts of a matrix product of these shapes; None if it broadcasts stacks, which letters cannot say."""
    n = max(len(left), len(right), 2) - 2
    stack = LETTERS[3 : 3 + n]
    if [shape for shape in (left, right) if len(shape) > 2 and shape[:-2] != result[n + 2 - len(shape) : n]]:
        return None
    a, b = [stack[n + 2 - len(shape) :] if len(shape) > 2 else "" for shape in (left, right)]
    rows, columns = "A" * (len(left) > 1), "C" * (len(right) > 1)
    return f"{a}{rows}B", f"{b}B{columns}", f"{stack}{rows}{columns}"


def matmul_lhs(g, x, y):
    """`x` is a Spec: what of g = x @ y belongs to x, before broadcasting is undone."""
    summed = shared_by(x, g, y)
    named = terms(x.shape, y.shape, g.shape) if summed else None
    if named:
        return contract_levels(g, y, f"{named[2]},{named[1]}->{named[0]}", summed)
    if y.ndim == 1:
        return np.outer(g, y) if g.ndim == 1 else g[..., None] * y
    if x.ndim == 1:
        return y @ g if y.ndim == 2 else (y @ g[..., None])[..., 0]
    # swapaxes takes part in __array_function__; np.matrix_transpose and .mT would only read one attribute of g
    return g @ y.swapaxes(-1, -2)


def matmul_rhs(g, x, y):
    """`y` is a Spec."""
    summed = shared_by(y, g, x)
    named = terms(x.shape, y.shape, g.shape) if summed else None
    if named:
        return contract_levels(g, x, f"{named[2]},{named[0]}->{named[1]}", summed)
    if x.ndim == 1:
        return np.outer(x, g) if g.ndim == 1 else x[:, None] * g[..., None, :] if g.ndim else x * g
    if y.ndim == 1:
        return (x.swapaxes(-1, -2) @ g[..., None])[..., 0]
    return x.swapaxes(-1, -2) @ g


bilinear(np.matmul, matmul_lhs, matmul_rhs)


def dot_lhs(g, x, y):
    """`x` is a Spec. A number of axes other than 1 and 2 is rare: it is brought down to 2."""
    if not np.ndim(x) or not np.ndim(y):
        return g * y
    if y.ndim <= 2:
        summed = shared_by(x, g, y)
        if summed:
            return matmul_lhs(g, x, y)
        return g[..., None] * y if y.ndim == 1 else g @ y.swapaxes(0, 1)
    further = math.prod(y.shape[:-2]) * y.shape[-1]
    rows = y.swapaxes(-1, -2).reshape((further, y.shape[-2]))
    return (g.reshape((math.prod(x.shape[:-1]), further)) @ rows).reshape(x.shape)


def dot_rhs(g, x, y):
    """`y` is a Spec."""
    if not np.ndim(x) or not np.ndim(y):
        return g * x
    summed = shared_by(y, g, x)
    if y.ndim <= 2 and summed:
        return matmul_rhs(g, x, y)
    rows = x.reshape((math.prod(x.shape[:-1]), x.shape[-1])).swapaxes(0, 1)
    columns = rows @ g.reshape((rows.shape[1], math.prod(y.shape[:-2]) * (y.shape[-1] if y.ndim > 1 else 1)))
    if y.ndim <= 2:
        return columns.reshape(y.shape)
    return np.moveaxis(columns.reshape((y.shape[-2], *y.shape[:-2], y.shape[-1])), 0, -2)


bilinear(np.dot, dot_lhs, dot_rhs)


def inner(a, b):
    a, b = as_operand(a, "inner"), as_operand(b, "inner")
    return np.dot(a, np.swapaxes(b, -1, -2)) if np.ndim(a) and np.ndim(b) > 1 else np.dot(a, b)


def outer(a, b):
    a, b = as_operand(a, "outer"), as_operand(b, "outer")
    return np.multiply(np.reshape(a, (-1, 1)), np.reshape(b, (1, -1)))


composite(np.inner, inner)
composite(np.outer, outer)


# -- NumPy's other products of vectors and matrices; the first operand is conjugated where NumPy does so

def gufunc(function, ranks, body):
    """A composite rule for a ufunc with so many core axes: `axes`, `axis` and `keepdims` are NumPy's."""
    name = function.__name__

    def moved(x1, x2, axes=None, axis=None, keepdims=False, **kwargs):
        x1, x2 = as_array(x1, name), as_array(x2, name)
        if x1.ndim < ranks[0] or x2.ndim < ranks[1]:
            raise ValueError(f"{name}: operands of shape {x1.shape} and {x2.shape}; {ranks[0]} and {ranks[1]} axes are needed")
        if (axis is not None or keepdims) and ranks != (1, 1, 0):
            raise TypeError(f"{name}: axis= and keepdims= are for np.vecdot only; pass axes=")
        axes = [axis, axis, axis] if axis is not None else axes
        places = [a if isinstance(a, tuple) else (a,) for a in axes or ()]
        if places:
            x1, x2 = [np.moveaxis(x, p, range(-n, 0)) for x, p, n in zip((x1, x2), places, ranks, strict=False)]
        ans = body(x1, x2, **kwargs)
        if keepdims:
            return np.expand_dims(ans, (*places, (-1,), (-1,), (-1,))[2])
        return np.moveaxis(ans, -1, places[2]) if ranks[2] and places else ans

    composite(function, moved)


def vecdot(x, y, **kwargs):
    return np.matmul(conjugate(x)[..., None, :], y[..., None], **kwargs)[..., 0, 0]


def conjugate(x):
    return np.conjugate(x) if is_complex(x) else x


def vdot(a, b):
    return np.matmul(conjugate(np.reshape(a, -1)), np.reshape(b, -1))


composite(np.vdot, vdot)
gufunc(np.vecdot,  (1, 1, 0), vecdot)

if hasattr(np, "matvec"):  # NumPy 2.2
    gufunc(np.matvec, (2, 1, 1), lambda x, y, **kwargs: np.matmul(x, y[..., None], **kwargs)[..., 0])
    gufunc(np.vecmat, (1, 2, 1), lambda x, y, **kwargs: np.matmul(conjugate(x)[..., None, :], y, **kwargs)[..., 0, :])


# -- over chosen axes

def tensordot(a, b, axes=2):
    a, b = as_array(a, "tensordot"), as_array(b, "tensordot")
    of_a, of_b = (range(-axes, 0), range(axes)) if np.ndim(axes) == 0 else axes
    of_a, of_b = normalize_axis_tuple(of_a, a.ndim), normalize_axis_tuple(of_b, b.ndim)
    lengths = [a.shape[i] for i in of_a], [b.shape[j] for j in of_b]
    if lengths[0] != lengths[1]:
        raise ValueError(f"tensordot: the axes to sum over have lengths {lengths[0]} and {lengths[1]}; give pairs of equal ones as axes=")
    names, others = LETTERS[: a.ndim], [*LETTERS[a.ndim : a.ndim + b.ndim]]
    for i, j in zip(of_a, of_b, strict=True):
        others[j] = names[i]
    left, right = [c for c in names if c not in others], [c for c in others if c not in names]
    return contract(a, b, f"{names},{''.join(others)}->{''.join(left + right)}")


def kron(a, b):
    """Every element of a times the whole of b: an outer product, with the axes of a and b in turn."""
    a, b = as_operand(a, "kron"), as_operand(b, "kron")
    n = max(np.ndim(a), np.ndim(b))
    rows, columns = [(1,) * (n - np.ndim(x)) + np.shape(x) for x in (a, b)]
    a = np.reshape(a, tuple(m for r in rows for m in (r, 1)))
    b = np.reshape(b, tuple(m for c in columns for m in (1, c)))
    return np.reshape(np.multiply(a, b), tuple(r * c for r, c in zip(rows, columns, strict=True)))


@dispatchable
def cross_product(x, y):
    """`np.cross` of vectors with three components, along the last axis."""
    return np.cross(x, y)


def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = as_array(a, "cross"), as_array(b, "cross")
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    sizes = {a.shape[-1], b.shape[-1]}
    if sizes == {2}:
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    if not sizes <= {2, 3}:
        raise ValueError(f"cross: vectors of length {a.shape[-1]} and {b.shape[-1]} along the chosen axes; 2 or 3 is possible")
    a, b = [np.concatenate([v, np.zeros_like(v[..., :1])], axis=-1) if v.shape[-1] == 2 else v for v in (a, b)]
    return np.moveaxis(cross_product(a, b), -1, axisc)


def trace_map(g, x, offset=0, axis1=0, axis2=1, dtype=None, out=None):
    axis1, axis2 = axis1 % x.ndim, axis2 % x.ndim
    g = g.reshape(tuple(1 if i in (axis1, axis2) else n for i, n in enumerate(x.shape)))
    g = expand(g, x.shape)
    return np.where(diagonal_mask(g, x.ndim, axis1, axis2, offset), g, 0.0)


composite(np.tensordot,  tensordot)
composite(np.kron,       kron)
composite(np.cross,      cross)
bilinear(cross_product,  lambda g, x, y: cross_product(y, g), lambda g, x, y: cross_product(g, x))
linear(np.trace,         trace_map)
