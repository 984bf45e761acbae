"""Functions that move elements: reshape, transpose, join, index, convert.

All linear: the transpose moves the cotangent back, and nothing of the data is kept.
"""

import numpy as np

from ..arrays import cast, expand, restore
from ..convert import as_operand
from ..errors import OperandError
from ..rule import composite, linear, nondiff

__all__: list[str] = []  # its rules are in the registry


def transpose_map(g, x, axes=None):
    if axes is None:
        return g.transpose()
    order = [a % x.ndim for a in axes]
    return g.transpose(tuple(order.index(a) for a in range(x.ndim)))


def moveaxis_map(g, x, source, destination):
    return np.moveaxis(g, destination, source)


def concatenate_map(g, xs, axis=0, out=None, dtype=None):
    if axis is None:
        g, axis = g.reshape(-1), 0
        sizes = [x.size for x in xs]
    else:
        axis %= g.ndim
        sizes = [x.shape[axis] for x in xs]
    parts, stop = [], 0
    for x, size in zip(xs, sizes, strict=True):
        start, stop = stop, stop + size
        parts.append(g[(slice(None),) * axis + (slice(start, stop),)].reshape(x.shape))
    return parts


def stack_map(g, xs, axis=0, out=None, dtype=None):
    lead = (slice(None),) * (axis % g.ndim)
    return [g[(*lead, i)] for i in range(len(xs))]


def reshape(x, shape, order="C", copy=None):
    return x.reshape(shape, order=definite(order)), None


def ravel(x, order="C"):
    return x.ravel(order=definite(order)), None


def definite(order):
    """`order`, unless it depends on the memory layout, which the cotangent need not share."""
    if order not in ("C", "F"):
        raise OperandError(f'reshape, ravel: order={order!r} depends on the memory layout; use order="C" or order="F"')
    return order


linear(np.reshape,      lambda g, x, shape=None, order="C", copy=None: g.reshape(x.shape, order=order), forward=reshape)
linear(np.ravel,        lambda g, x, order="C": g.reshape(x.shape, order=order), forward=ravel)
linear(np.squeeze,      lambda g, x, axis=None: g.reshape(x.shape), method="squeeze")
linear(np.expand_dims,  lambda g, x, axis=None: g.reshape(x.shape))
linear(np.transpose,    transpose_map)
linear(np.swapaxes,     lambda g, x, axis1, axis2: g.swapaxes(axis1, axis2))
linear(np.moveaxis,     moveaxis_map)
linear(np.flip,         lambda g, x, axis=None: np.flip(g, axis))
linear(np.broadcast_to, lambda g, x, shape, subok=False: restore(g, x))
linear(expand,          lambda g, x, shape: restore(g, x))
linear(cast,            lambda g, x, dtype: cast(g, x.dtype), name="astype")
linear(np.copy,         lambda g, x, order="K", subok=False: g)
linear(np.real,         lambda g, x: g)
linear(np.imag,         lambda g, x: cast(g * -1j, x.dtype))
linear(np.concatenate,  concatenate_map, sequence=True)
linear(np.stack,        stack_map, sequence=True)


def at_least(ndim, xs, shape):
    """The arrays `xs`, those of fewer than `ndim` axes reshaped to `shape`."""
    xs = [as_operand(x, "stacking") for x in xs]
    return [x if np.ndim(x) >= ndim else np.reshape(x, shape) for x in xs]


def hstack(tup, **kwargs):
    xs = at_least(1, tup, (1,))
    return np.concatenate(xs, axis=0 if np.ndim(xs[0]) == 1 else 1, **kwargs)


def full_like(a, fill_value, dtype=None, order="K", subok=True, **kwargs):
    if order != "K":
        kwargs["order"] = order
    zeros = np.zeros_like(a, dtype=dtype, **kwargs)
    return cast(zeros + fill_value, zeros.dtype)


composite(np.hstack,       hstack)
composite(np.vstack,       lambda tup, **kwargs: np.concatenate(at_least(2, tup, (1, -1)), axis=0, **kwargs))
composite(np.column_stack, lambda tup: np.concatenate(at_least(2, tup, (-1, 1)), axis=1))
composite(np.full_like,    full_like)
composite(np.angle,        lambda z, deg=False: np.arctan2(np.imag(z), np.real(z)) * (180 / np.pi if deg else 1))

nondiff(
    np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.can_cast, np.nonzero,
    np.zeros_like, np.ones_like, np.empty_like, np.array_equal, np.allclose, np.isclose,
    np.argsort, np.searchsorted, np.shares_memory, np.may_share_memory, np.array_repr, np.array_str, np.array2string,
)

if hasattr(np, "astype"):  # NumPy 2.1
    composite(np.astype, lambda x, dtype, /, *, copy=True, device=None: cast(x, np.dtype(dtype)))
