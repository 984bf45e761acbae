"""Functions that move elements: reshape, transpose, join, index, convert.

All linear: the transpose moves the cotangent back, and nothing of the data is kept.
"""

import numpy as np

from ..arrays import cast, expand, getitem, restore, scatter_add
from ..convert import as_operand
from ..rule import composite, linear, nondiff


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


def to_shape(g, x, *args, **kwargs):
    return g.reshape(x.shape)


linear(np.reshape,      lambda g, x, shape=None, order="C", copy=None: g.reshape(x.shape, order=order))
linear(np.ravel,        lambda g, x, order="C": g.reshape(x.shape, order=order), method="ravel")
linear(np.squeeze,      lambda g, x, axis=None: g.reshape(x.shape), method="squeeze")
linear(np.expand_dims,  lambda g, x, axis=None: g.reshape(x.shape))
linear(np.transpose,    transpose_map)
linear(np.swapaxes,     lambda g, x, axis1, axis2: g.swapaxes(axis1, axis2))
linear(np.moveaxis,     moveaxis_map)
linear(np.flip,         lambda g, x, axis=None: np.flip(g, axis))
linear(np.broadcast_to, lambda g, x, shape, subok=False: restore(g, x))
linear(expand,          lambda g, x, shape: restore(g, x))
linear(cast,            lambda g, x, dtype: cast(g, x.dtype))
linear(getitem,         lambda g, x, key: scatter_add(g, key, x.shape))
linear(scatter_add,     lambda g, x, key, shape: g[key])
linear(np.real,         lambda g, x: g)
linear(np.imag,         lambda g, x: cast(g * -1j, x.dtype))
linear(np.concatenate,  concatenate_map, sequence=True)
linear(np.stack,        stack_map, sequence=True)


def arrays_of(xs):
    return [as_operand(x, "stacking") for x in xs]


def at_least_2d_columns(xs):
    return [x if np.ndim(x) == 2 else np.reshape(x, (-1, 1)) for x in arrays_of(xs)]


def at_least_1d(xs):
    return [x if np.ndim(x) else np.reshape(x, (1,)) for x in arrays_of(xs)]


def at_least_2d_rows(xs):
    return [x if np.ndim(x) > 1 else np.reshape(x, (1, -1)) for x in arrays_of(xs)]


def hstack(tup, **kwargs):
    xs = at_least_1d(tup)
    return np.concatenate(xs, axis=0 if np.ndim(xs[0]) == 1 else 1, **kwargs)


def full_like(a, fill_value, dtype=None, order="K", subok=True, **kwargs):
    zeros = np.zeros_like(a, dtype, order, subok, **kwargs)
    return cast(zeros + fill_value, zeros.dtype)


composite(np.hstack,       hstack)
composite(np.vstack,       lambda tup, **kwargs: np.concatenate(at_least_2d_rows(tup), axis=0, **kwargs))
composite(np.column_stack, lambda tup: np.concatenate(at_least_2d_columns(tup), axis=1))
composite(np.full_like,    full_like)
composite(np.angle,        lambda z, deg=False: np.arctan2(np.imag(z), np.real(z)) * (180 / np.pi if deg else 1))

nondiff(
    np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.can_cast, np.nonzero,
    np.zeros_like, np.ones_like, np.empty_like, np.array_equal, np.allclose, np.isclose,
    np.argsort, np.searchsorted, np.shares_memory, np.may_share_memory, np.array_repr, np.array_str, np.array2string,
)

if hasattr(np, "astype"):  # NumPy 2.1
    composite(np.astype, lambda x, dtype, /, *, copy=True, device=None: cast(x, np.dtype(dtype)))
