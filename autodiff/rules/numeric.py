"""Signals and samples: convolve, interp, gradient, diff, trapezoid, unwrap, and the Bessel function i0."""

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..arrays import cast, dispatchable, getitem, scatter_add
from ..convert import as_operand
from ..rule import bilinear, composite, elementwise, general

__all__ = ["bessel_ratio", "piecewise_linear"]


# -- products of sequences

def convolve_map(g, x, y, mode="full"):
    """`x` is a Spec. What `mode` cut off the whole product, at both ends alike, received no cotangent."""
    y = np.reshape(y, -1)
    n = x.size + y.size - 1
    start = (n - g.size) // 2
    return np.convolve(scatter_add(g, slice(start, start + g.size), (n,)), y[::-1], "valid").reshape(x.shape)


def correlate(a, v, mode="valid"):
    """NumPy cuts the longer one, so that for mode="same" the order matters."""
    a, v = (np.atleast_1d(as_operand(x, "correlate")) for x in (a, v))
    if a.shape[0] < v.shape[0]:
        return np.conjugate(correlate(v, a, mode)[::-1])
    return np.convolve(a, np.conjugate(v[::-1]), mode)


bilinear(np.convolve, convolve_map, lambda g, x, y, mode="full": convolve_map(g, y, x))
composite(np.correlate, correlate)


# -- differences and sums along an axis

def neighbours(x, axis):
    """`x` from its second element on, and up to the last but one."""
    lead = (slice(None),) * normalize_axis_index(axis, np.ndim(x))
    return x[(*lead, slice(1, None))], x[(*lead, slice(None, -1))]


def filled(value, like, shape):
    """A number as an array of `shape`, on the device of `like`; an array as it is, broadcast if it is 0-d."""
    if isinstance(value, (int, float, complex, np.generic)):
        return np.full_like(like, value, dtype=np.result_type(value), shape=shape)
    value = as_operand(value, "diff")
    return value if np.ndim(value) else np.broadcast_to(value, shape)


def diff(a, n=1, axis=-1, prepend=None, append=None):
    if n < 0:
        raise ValueError(f"diff: n={n}; it counts how often differences are taken, 0 or more")
    if n == 0:
        return a
    a = as_operand(a, "diff")
    axis = normalize_axis_index(axis, np.ndim(a))
    one = (*a.shape[:axis], 1, *a.shape[axis + 1 :])
    parts = [a if p is a else filled(p, a, one) for p in (prepend, a, append) if p is not None]
    a = np.concatenate(parts, axis) if len(parts) > 1 else a
    subtract = np.not_equal if a.dtype == bool else np.subtract
    for _ in range(n):
        a = subtract(*neighbours(a, axis))
    return a


def ediff1d(ary, to_end=None, to_begin=None):
    ary = np.ravel(as_operand(ary, "ediff1d"))
    parts = [ary[1:] - ary[:-1]]
    for name, extra in (("to_begin", to_begin), ("to_end", to_end)):
        if extra is not None:
            extra = np.ravel(filled(extra, ary, (1,)))
            if not np.can_cast(extra.dtype, ary.dtype, "same_kind"):
                raise TypeError(f"ediff1d: {name} is {extra.dtype} and ary is {ary.dtype}; convert one with .astype")
            extra = cast(extra, ary.dtype)
            parts = [extra, *parts] if name == "to_begin" else [*parts, extra]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def trapezoid(y, x=None, dx=1.0, axis=-1):
    y = as_operand(y, "trapezoid")
    axis = normalize_axis_index(axis, np.ndim(y))
    if x is not None:
        x = as_operand(x, "trapezoid")
        dx = np.diff(x, axis=axis) if np.ndim(x) != 1 else np.diff(x).reshape((-1,) + (1,) * (np.ndim(y) - axis - 1))
    right, left = neighbours(y, axis)
    return (dx * (right + left) / 2.0).sum(axis)


def gradient(f, *varargs, axis=None, edge_order=1):
    f = as_operand(f, "gradient")
    axes = range(np.ndim(f)) if axis is None else normalize_axis_tuple(axis, np.ndim(f))
    spacings = [as_operand(h, "gradient") for h in varargs]
    if len(spacings) < 2 and not any(map(np.ndim, spacings)):
        spacings = (spacings or [1.0]) * len(axes)
    if len(spacings) != len(axes):
        raise TypeError(f"gradient: {len(spacings)} spacings for {len(axes)} axes; give one for all, or one for each")
    slopes = [slope(f, h, a, edge_order) for h, a in zip(spacings, axes)]
    return slopes[0] if len(axes) == 1 else tuple(slopes)


def slope(f, h, axis, edge_order):
    """The derivative of the samples `f` along `axis`: of the parabola through each point and its neighbours."""
    n = f.shape[axis]
    if edge_order > 2 or n < edge_order + 1:
        raise ValueError(f"gradient: edge_order={edge_order} with {n} samples; it is 1 or 2, with one sample more")
    if np.ndim(h) > 1 or (np.ndim(h) and h.shape[0] != n):
        raise ValueError(f"gradient: spacing of shape {h.shape} for {n} samples; give a number or {n} coordinates")
    dtype = f.dtype if f.dtype.kind in "fc" else np.dtype(float)
    f, uneven = np.moveaxis(f, axis, -1), np.ndim(h) > 0
    step = np.diff(h) if uneven else h
    weight: Any = step[:-1] / (step[:-1] + step[1:]) if uneven else 0.5
    secant = lambda i: (f[..., i + 1 : i + 2] - f[..., i : i + 1]) / (step[i] if uneven else step)
    first, last = secant(0), secant(n - 2)
    if edge_order == 2:
        first = first + (weight[0] if uneven else weight) * (first - secant(1))
        last = last + (1.0 - (weight[-1] if uneven else weight)) * (last - secant(n - 3))
    if uneven:
        secants = (f[..., 1:] - f[..., :-1]) / step
        inner = (1.0 - weight) * secants[..., :-1] + weight * secants[..., 1:]
    else:
        inner = (f[..., 2:] - f[..., :-2]) / (2.0 * step)
    return np.moveaxis(cast(np.concatenate([first, inner, last], axis=-1), dtype), -1, axis)


composite(np.diff,      diff)
composite(np.ediff1d,   ediff1d)
composite(np.trapezoid, trapezoid)
composite(np.gradient,  gradient)
elementwise(np.unwrap,  lambda g, discont=None, axis=-1, period=None: g)  # it adds multiples of the period


# -- interpolation: at a knot the derivative is that of the interval on its right, outside it is 0

@dispatchable
def piecewise_linear(x, y, z):
    """`np.interp(x, xp, fp)`: the value at `x` of the line through the knots `y` with the values `z`."""
    return np.interp(x, y, z)


def interp_forward(x, y, z):
    ans, last = np.interp(x, y, z), y.shape[0] - 1
    left = np.maximum(np.minimum(np.searchsorted(y, x, side="right"), last) - 1, 0)
    return ans, (left, np.minimum(left + 1, last))


def interp_slope(x, y, z, aux):
    i, j = aux
    width = getitem(y, j) - getitem(y, i)
    flat = width == 0
    return (getitem(z, j) - getitem(z, i)) / (width + flat) * ((x >= y[0]) & (x <= y[-1]) & ~flat)


def interp_spread(g, x, y, aux):
    """What of `g` belongs to the knots on either side of `x`."""
    i, j = aux
    left = getitem(y, i)
    width = getitem(y, j) - left
    flat = width == 0
    part = np.where(x < y[0], 0.0, np.where(x > y[-1], 1.0, (x - left + flat) / (width + flat)))
    return scatter_add(g * (1.0 - part), i, y.shape) + scatter_add(g * part, j, y.shape)


def interp(x, xp, fp, left=None, right=None, period=None):
    x, xp, fp = (as_operand(a, "interp") for a in (x, xp, fp))
    if period is not None:
        if period == 0:
            raise ValueError("interp: period=0; it is the distance after which the values repeat")
        x, xp = (cast(a, float) % abs(period) if hasattr(a, "dtype") else a % abs(period) for a in (x, xp))
        order, left, right = np.argsort(xp), None, None
        xp, fp = getitem(xp, order), getitem(fp, order)  # the order may be a Value, and they plain arrays
        xp = np.concatenate([xp[-1:] - abs(period), xp, xp[:1] + abs(period)])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
    ans = piecewise_linear(x, xp, fp)
    ans = ans if left is None else np.where(x < xp[0], left, ans)
    return ans if right is None else np.where(x > xp[-1], right, ans)


general(piecewise_linear, interp_forward,
        lambda g, x, y, z, aux: g * interp_slope(x, y, z, aux),
        lambda g, x, y, z, aux: interp_spread(-g * interp_slope(x, y, z, aux), x, y, aux),
        lambda g, x, y, aux: interp_spread(g, x, y, aux), name="interp")
composite(np.interp, interp)


# -- the Bessel function i0

POINTS = 128  # for rounding errors only, as far as i0 is finite: up to x = 709


@dispatchable
def bessel_ratio(x, n):
    """`I_n(x) / x**n` of the modified Bessel function: even, positive, never 0 / 0; the derivative is x times the next.

    It is the mean of exp(x cos t) sin(t)**2n over 0 < t < pi (DLMF 10.32.2), by the midpoint rule, which converges
    exponentially for a periodic function.
    """
    a, total = abs(x), 0.0
    for k in range(POINTS):
        t = math.pi * (k + 0.5) / POINTS
        total = total + math.sin(t) ** (2 * n) * np.exp(a * (-2 * math.sin(t / 2) ** 2))
    return total / (POINTS * math.prod(range(1, 2 * n, 2))) * np.exp(a)


elementwise(np.i0,        lambda g, x: g * x * bessel_ratio(x, 1))
elementwise(bessel_ratio, lambda g, x, n: g * x * bessel_ratio(x, n + 1))
