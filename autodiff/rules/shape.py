"""Functions that move elements: reshape, transpose, flip, roll, repeat, tile, split, diagonals, windows, conversions.

Nearly all are linear: the transpose moves the cotangent back, and nothing of the data is kept.
"""

import functools
import itertools
import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.lib.stride_tricks import sliding_window_view

from ..arrays import cast, embed_diagonal, expand, getitem, overlap_add, restore, scatter_add
from ..box import Box
from ..case import Case
from ..convert import as_operand
from ..errors import OperandError
from ..rule import composite, linear, nondiff

__all__ = ["OrderCase"]

whole = slice(None)


# -- the order and the lengths of axes

def transpose_map(g, x, axes=None):
    if axes is None:
        return g.transpose()
    order = [a % x.ndim for a in axes]
    return g.transpose(tuple(order.index(a) for a in range(x.ndim)))


class OrderCase(Case):
    """The case of a function whose result may depend on the memory of its operand: a tangent has to follow that."""

    __slots__ = ()

    def push(self, saved, tangents, masked=False):
        shape, order = self.residuals(saved)["aux"]
        return tangents[0].reshape(shape, order=order)


def reshape(x, shape, order="C", copy=None):
    order = order if order == "K" else settled(order, x)  # which NumPy refuses
    ans = x.reshape(shape, order=order) if copy is None else np.reshape(x, shape, order=order, copy=copy)
    return ans, (ans.shape, order)


def ravel(x, order="C"):
    order = settled(order, x)
    ans = x.ravel(order=order)
    return ans, (ans.shape, order)


def settled(order, x):
    """What the orders "A" and "K" mean for the memory of `x`: "C" or "F"."""
    if order not in ("A", "K"):
        return order
    flags = getattr(x, "layout", None) or getattr(x, "flags", None)
    if flags is None or flags.c_contiguous or (order == "A" and not flags.f_contiguous):
        return "C"
    if flags.f_contiguous:
        return "F"
    raise OperandError('ravel: order="K" of an array that is not contiguous; use order="C" or order="F"')


def rollaxis(a, axis, start=0):
    n = a.ndim
    if not -n <= start <= n:
        raise np.exceptions.AxisError(f"rollaxis: start={start} for {n} axes; it is from {-n} to {n}")
    start += n if start < 0 else 0
    return np.moveaxis(a, axis, start - (axis % n < start))


linear(np.reshape,      lambda g, x, aux, shape=None, order="C", copy=None: g.reshape(x.shape, order=aux[1]), forward=reshape, case=OrderCase)
linear(np.ravel,        lambda g, x, aux, order="C": g.reshape(x.shape, order=aux[1]), forward=ravel, case=OrderCase)
linear(np.squeeze,      lambda g, x, axis=None: g.reshape(x.shape), method="squeeze")
linear(np.expand_dims,  lambda g, x, axis=None: g.reshape(x.shape))
linear(np.transpose,    transpose_map)
linear(np.swapaxes,     lambda g, x, axis1, axis2: g.swapaxes(axis1, axis2))
linear(np.moveaxis,     lambda g, x, source, destination: np.moveaxis(g, destination, source))
composite(np.rollaxis,  rollaxis)
composite(np.matrix_transpose, lambda x: x.mT)


def at_least(function, keys, arrays):
    """The `arrays` of n axes, where n is too few for `function`, indexed by `keys[n]`."""
    new = tuple(reach(as_operand(a, function.__name__), function, keys) for a in arrays)
    return new[0] if len(new) == 1 else new


def reach(a, function, keys):
    n = np.ndim(a)
    if not isinstance(a, Box):
        return function(a)
    return a if n >= len(keys) else getitem(a, keys[n])


composite(np.atleast_1d, lambda *arys: at_least(np.atleast_1d, [None], arys))
composite(np.atleast_2d, lambda *arys: at_least(np.atleast_2d, [(None, None), None], arys))
composite(np.atleast_3d, lambda *arys: at_least(np.atleast_3d, [(None, None, None), (None, whole, None), (whole, whole, None)], arys))


# -- copies and repetitions

FEW = 8  # repetitions, up to which adding slices is faster than a sum over a short axis


def broadcast_arrays(*args, subok=False):
    arrays = tuple(as_operand(a, "broadcast_arrays") for a in args)
    shape = np.broadcast_shapes(*map(np.shape, arrays))
    return tuple(a if np.shape(a) == shape and isinstance(a, Box) else np.broadcast_to(a, shape) for a in arrays)


def meshgrid(*xi, copy=True, sparse=False, indexing="xy"):
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid: indexing={indexing!r}; it is "xy" or "ij"')
    n = len(xi)
    places = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else range(n)
    grids = tuple(np.reshape(as_operand(x, "meshgrid"), (1,) * i + (-1,) + (1,) * (n - 1 - i)) for x, i in zip(xi, places))
    grids = grids if sparse else np.broadcast_arrays(*grids)
    return tuple(g.copy() for g in grids) if copy else grids


def tile_map(g, x, reps):
    reps = tuple(reps) if np.ndim(reps) else (reps,)
    n = max(len(reps), x.ndim)
    lengths = zip((1,) * (n - len(reps)) + reps, (1,) * (n - x.ndim) + x.shape)
    return in_shape(g.reshape([*itertools.chain(*lengths)]).sum(axis=tuple(range(0, 2 * n, 2))), x.shape)


def repeat_map(g, x, repeats, axis=None):
    lead, n, rest = ((), x.size, ()) if axis is None or not x.ndim else around(x, axis)
    at = len(lead)
    if np.size(repeats) > 1:
        places = np.repeat(range(n), repeats)  # of the elements that the repetitions come from
        return in_shape(scatter_add(g, (whole,) * at + (places,), (*lead, n, *rest)), x.shape)
    count = g.shape[at] // max(n, 1)
    if 0 < count <= FEW:
        return in_shape(functools.reduce(operator.add, (g[(whole,) * at + (slice(i, None, count),)] for i in range(count))), x.shape)
    return in_shape(g.reshape((*lead, n, count, *rest)).sum(axis=at + 1), x.shape)


def in_shape(g, shape):
    """`g` itself if it has the shape: the walk may add to it in place, but not to a view."""
    return g if g.shape == shape else g.reshape(shape)


def around(x, axis):
    """The shape of `x` in three: what comes before `axis`, its length, and what comes after."""
    axis %= x.ndim
    return x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]


def resize(a, new_shape):
    flat, size = np.ravel(a), int(np.prod(new_shape))
    if min(new_shape if np.ndim(new_shape) else (new_shape,), default=0) < 0:
        raise ValueError("resize: all elements of new_shape must be non-negative")
    if not flat.shape[0]:
        return np.broadcast_to(flat.sum(), new_shape).copy()  # zeros
    return np.tile(flat, -(-size // flat.shape[0]))[:size].reshape(new_shape)


linear(np.copy,         lambda g, x, order="K", subok=False: g)
linear(np.broadcast_to, lambda g, x, shape, subok=False: restore(g, x))
linear(expand,          lambda g, x, shape: restore(g, x))
linear(np.tile,         tile_map)
linear(np.repeat,       repeat_map)
composite(np.broadcast_arrays, broadcast_arrays)
composite(np.meshgrid,  meshgrid)
composite(np.resize,    resize)


# -- turns

def opposite(shift):
    return tuple(-s for s in shift) if np.ndim(shift) else -shift


def rot90(m, k=1, axes=(0, 1)):
    first, second = axes
    if not -m.ndim <= min(axes) <= max(axes) < m.ndim or first % m.ndim == second % m.ndim:
        raise ValueError(f"rot90: axes={axes} for an array of {m.ndim} axes; name two different ones")
    if k % 4 == 0:
        return m[...]
    if k % 4 == 2:
        return np.flip(m, axes)
    return np.flip(np.swapaxes(m, first, second), first if k % 4 == 1 else second)


def mirror(m, axis):
    if m.ndim <= axis:
        raise ValueError(f"{('flipud', 'fliplr')[axis]}: the array has {m.ndim} axes; at least {axis + 1} are needed")
    return m[(whole,) * axis + (slice(None, None, -1),)]


linear(np.flip,         lambda g, x, axis=None: np.flip(g, axis))
linear(np.roll,         lambda g, x, shift, axis=None: np.roll(g, opposite(shift), axis))
composite(np.flipud,    lambda m: mirror(m, 0))
composite(np.fliplr,    lambda m: mirror(m, 1))
composite(np.rot90,     rot90)


# -- parts

def array_split(ary, indices_or_sections, axis=0):
    ary, at = as_operand(ary, "array_split"), indices_or_sections
    axis = normalize_axis_index(axis, ary.ndim)
    n = ary.shape[axis]
    if np.ndim(at):
        cuts = [0, *map(operator.index, at), n]
    elif int(at) <= 0:
        raise ValueError("array_split: number sections must be larger than 0")
    else:
        size, longer = divmod(n, int(at))
        cuts = [*itertools.accumulate([size + 1] * longer + [size] * (int(at) - longer), initial=0)]
    return [ary[(whole,) * axis + (slice(*ends),)] for ends in itertools.pairwise(cuts)]


def split(ary, indices_or_sections, axis=0):
    parts = array_split(ary, indices_or_sections, axis)
    if not np.ndim(indices_or_sections) and parts[0].shape != parts[-1].shape:
        n = np.shape(ary)[axis]
        raise ValueError(f"split: {n} elements do not make {indices_or_sections} equal parts; use array_split")
    return parts


def split_along(name, axis, least, ary, at):
    if np.ndim(ary) < least:
        raise ValueError(f"{name}: the array has {np.ndim(ary)} axes; at least {least} are needed")
    return split(ary, at, axis if np.ndim(ary) > 1 else 0)


composite(np.array_split, array_split)
composite(np.split,     split)
composite(np.hsplit,    lambda ary, indices_or_sections: split_along("hsplit", 1, 1, ary, indices_or_sections))
composite(np.vsplit,    lambda ary, indices_or_sections: split_along("vsplit", 0, 2, ary, indices_or_sections))
composite(np.dsplit,    lambda ary, indices_or_sections: split_along("dsplit", 2, 3, ary, indices_or_sections))

if hasattr(np, "unstack"):  # NumPy 2.1
    composite(np.unstack, lambda x, /, *, axis=0: tuple(np.moveaxis(x, axis, 0)))


# -- diagonals and triangles

def diag_map(g, x, k=0):
    return np.diagonal(g, k) if x.ndim == 1 else embed_diagonal(g, x.shape, k, 0, 1)


def diagflat(v, k=0):
    n = np.size(v) + abs(k)
    return embed_diagonal(np.ravel(v), (n, n), k, 0, 1)


linear(np.diagonal,     lambda g, x, offset=0, axis1=0, axis2=1: embed_diagonal(g, x.shape, offset, axis1, axis2))
linear(embed_diagonal,  lambda g, x, shape, offset, axis1, axis2: np.diagonal(g, offset, axis1, axis2))
linear(np.diag,         diag_map)
linear(np.tril,         lambda g, x, k=0: restore(np.tril(g, k), x))
linear(np.triu,         lambda g, x, k=0: restore(np.triu(g, k), x))
composite(np.diagflat,  diagflat)


# -- windows

def windows_map(g, x, window_shape, axis=None, subok=False, writeable=False):
    axes = range(x.ndim) if axis is None else axis if np.ndim(axis) else (axis,)
    return overlap_add(g, tuple(a % x.ndim for a in axes))


linear(sliding_window_view, windows_map)
linear(overlap_add,     lambda g, x, axes: sliding_window_view(g, x.shape[-len(axes) :], axes) if axes else g)


# -- conversions

def real_if_close(a, tol=100):
    a = as_operand(a, "real_if_close")
    if a.dtype.kind != "c":
        return a
    tol *= np.finfo(a.dtype).eps if tol > 1 else 1
    return np.real(a) if np.all(abs(np.imag(a)) < tol) else a


def full_like(a, fill_value, dtype=None, order="K", subok=True, **kwargs):
    if order != "K":
        kwargs["order"] = order
    full = np.zeros_like(a, dtype=dtype, **kwargs)
    if isinstance(fill_value, np.generic):
        fill_value = fill_value.item()
    if hasattr(fill_value, "dtype"):
        return np.broadcast_to(cast(fill_value, full.dtype), full.shape).copy()
    full[...] = fill_value
    return full


def angle(z, deg=False):
    z = as_operand(z, "angle")
    a = np.arctan2(np.imag(z), np.real(z)) if np.result_type(z).kind == "c" else np.arctan2(0, z)
    return a * (180 / np.pi) if deg else a


linear(cast,            lambda g, x, dtype: cast(g, x.dtype), name="astype")
linear(np.real,         lambda g, x: g)
linear(np.imag,         lambda g, x: cast(g * -1j, x.dtype))
composite(np.real_if_close, real_if_close)
composite(np.full_like, full_like)
composite(np.angle,     angle)

if hasattr(np, "astype"):  # NumPy 2.1
    composite(np.astype, lambda x, dtype, /, *, copy=True, device=None: x.astype(dtype, copy=copy))

nondiff(
    np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.can_cast,
    np.zeros_like, np.ones_like, np.empty_like, np.array_equal, np.allclose, np.isclose,
    np.argsort, np.searchsorted, np.shares_memory, np.may_share_memory, np.array_repr, np.array_str, np.array2string,
)
