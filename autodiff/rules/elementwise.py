"""NumPy's ufuncs with a derivative: one line each, the map `g -> D g` per operand.

Piecewise-constant functions have a zero derivative and stay tracked. At the kinks: the derivative of
abs and sign at 0 is 0, maximum and minimum share ties evenly.
"""

import math
from typing import Any

import numpy as np
from numpy._core import umath

from ..arrays import dispatchable, safe_divide
from ..box import Inner
from ..convert import as_operand
from ..rule import composite, elementwise, nondiff

__all__ = ["FLOAT", "binary_exponent", "bounded", "fraction", "is_complex", "power", "real_sign", "replace_nonfinite", "scalar_power", "select", "sigmoid"]

LN2, LN10 = math.log(2), math.log(10)
FLOAT = np.dtype(float)

zero = lambda g: np.zeros_like(g)
share = lambda g, won, tied: g * won + 0.5 * g * tied


def is_complex(x):
    return getattr(x, "dtype", FLOAT).kind == "c"


# -- arithmetic

elementwise(np.add,          lambda g: g,                     lambda g: g)
elementwise(np.subtract,     lambda g: g,                     lambda g: -g)
elementwise(np.multiply,     lambda g, y: g * y,              lambda g, x: g * x)
elementwise(np.divide,       lambda g, y: g / y,              lambda g, ans, y: -g / y * ans)
elementwise(np.floor_divide, zero,                            zero)
elementwise(np.remainder,    lambda g: g,                     lambda g, x, y: -g * (x // y))
elementwise(np.fmod,         lambda g: g,                     lambda g, ans, x, y: -g * np.rint((x - ans) / y))
elementwise(np.negative,     lambda g: -g)
elementwise(np.positive,     lambda g: g)
elementwise(np.conjugate,    lambda g: np.conjugate(g))
elementwise(np.reciprocal,   lambda g, ans: -g * ans * ans)
elementwise(np.square,       lambda g, x: 2 * g * x)
elementwise(np.sqrt,         lambda g, x: 0.5 * g / np.sqrt(x))
elementwise(np.cbrt,         lambda g, ans: g / (3 * ans * ans))
elementwise(np.fabs,         lambda g, x: g * np.sign(x))

composite(np.divmod, lambda x, y, **kwargs: (np.floor_divide(x, y, **kwargs), np.remainder(x, y, **kwargs)))


def modf(x, **kwargs):
    part, whole = fraction(x, **kwargs), np.trunc(x, **kwargs)
    return part, whole if whole.dtype == part.dtype else whole.astype(part.dtype)  # that of integers are integers


composite(np.modf, modf)


@dispatchable
def fraction(x, **kwargs):
    """The fractional part, as `np.modf` has it."""
    return np.modf(x, **kwargs)[0]


elementwise(fraction, lambda g: g)


def absolute_map(g, x, ans):
    return g * safe_divide(np.conjugate(x), ans) if is_complex(x) else g * np.sign(x)


elementwise(np.absolute, absolute_map)


@dispatchable
def real_sign(x, **kwargs):
    return np.sign(x, **kwargs)


def sign(x, **kwargs):
    if not is_complex(x):
        return real_sign(x, **kwargs)
    x = np.positive(x, **kwargs)  # dtype= and the like mean the same there
    return safe_divide(x, np.absolute(x))


elementwise(real_sign, zero, name="sign")
composite(np.sign,     sign)


# -- powers: at x = 0 = y the base's derivative is 0, and for x = 0 <= y so is the exponent's

@dispatchable
def power(x, y, **kwargs):
    """`np.power`; a function of its own, so that numbers as exponents can have a cheaper rule."""
    return np.power(x, y, **kwargs)


@dispatchable
def scalar_power(x, y):
    """`x ** y` for a Python number `y` other than 0."""
    return x**y


def power_base(g, x, y):
    slope = x ** (y - 1)
    return g * (y * np.where((y == 0) & ~np.isfinite(slope), 1.0, slope))  # x ** 0 is flat everywhere


def power_exponent(g, ans, x, y):
    log = np.log(np.where((x == 0) & (y >= 0), 1.0, x))
    return g * ans * log.astype(ans.dtype)


def choose_power(x, y, **kwargs):
    is_bool = getattr(x, "dtype", None) == np.bool_  # whose x ** 2 has another dtype
    if isinstance(y, (int, float)) and not isinstance(y, (np.generic, Inner)) and not (kwargs or is_bool):
        return scalar_power(x, y) if y else power(x, np.zeros_like(x, dtype=np.result_type(x, y)))
    return power(x, y.astype(getattr(x, "dtype", int)) if getattr(y, "dtype", None) == np.bool_ else y, **kwargs)


elementwise(power,          power_base, power_exponent)
elementwise(np.float_power, power_base, power_exponent)
elementwise(scalar_power,   lambda g, x, y: g * (y * x ** (y - 1)), None, name="power")
composite(np.power,         choose_power)


# -- exponentials and logarithms

elementwise(np.exp,        lambda g, ans: g * ans)
elementwise(np.exp2,       lambda g, ans: g * ans * LN2)
elementwise(np.expm1,      lambda g, ans: g * (ans + 1))
elementwise(np.log,        lambda g, x: g / x)
elementwise(np.log2,       lambda g, x: g / x / LN2)
elementwise(np.log10,      lambda g, x: g / x / LN10)
elementwise(np.log1p,      lambda g, x: g / (x + 1))
elementwise(np.logaddexp,  lambda g, x, y: g * sigmoid(gap(x, y)),       lambda g, x, y: g * sigmoid(gap(y, x)))
elementwise(np.logaddexp2, lambda g, x, y: g * sigmoid(LN2 * gap(x, y)), lambda g, x, y: g * sigmoid(LN2 * gap(y, x)))


def gap(x, y):
    """`x - y`, and 0 between equal infinities."""
    return np.where((x == y) & np.isinf(x), 0.0, x - y)


# -- trigonometric and hyperbolic functions

elementwise(np.sin,     lambda g, x: g * np.cos(x))
elementwise(np.cos,     lambda g, x: -g * np.sin(x))
elementwise(np.tan,     lambda g, x: g / np.cos(x) ** 2)
elementwise(np.arcsin,  lambda g, x: g / np.sqrt((1 - x) * (1 + x)))
elementwise(np.arccos,  lambda g, x: -g / np.sqrt((1 - x) * (1 + x)))
elementwise(np.arctan,  lambda g, x: g / (1 + x * x))
elementwise(np.sinh,    lambda g, x: g * np.cosh(x))
elementwise(np.cosh,    lambda g, x: g * np.sinh(x))
elementwise(np.tanh,    lambda g, ans: g * (1 - ans * ans))
elementwise(np.arcsinh, lambda g, x: g / np.sqrt(x * x + 1))
elementwise(np.arccosh, lambda g, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)), regular=2.0)
elementwise(np.arctanh, lambda g, x: g / ((1 - x) * (1 + x)))
elementwise(np.deg2rad, lambda g: g * (math.pi / 180))
elementwise(np.radians, lambda g: g * (math.pi / 180))
elementwise(np.rad2deg, lambda g: g * (180 / math.pi))
elementwise(np.degrees, lambda g: g * (180 / math.pi))
elementwise(np.sinc,    lambda g, x, ans: g * sinc_slope(x, ans))
elementwise(np.hypot,   lambda g, x, ans: g * safe_divide(x, ans), lambda g, y, ans: g * safe_divide(y, ans))
elementwise(np.arctan2, lambda g, x, y: g * turn(y, np.hypot(x, y)), lambda g, x, y: -g * turn(x, np.hypot(x, y)))


def turn(x, r):
    """`x / r ** 2` for `|x| <= r`, also where the square would overflow; 0 at the origin."""
    r = r + (r == 0)
    return x / r / r


def sinc_slope(x, ans):
    """`(cos(pi x) - sinc(x)) / x`, near 0 by its Taylor series, where the difference would cancel."""
    u = math.pi * x
    near = abs(u) < 0.3
    v = u * u
    series = u * (v * (v * (v * (v * (v / 518918400 - 1 / 3991680) + 1 / 45360) - 1 / 840) + 1 / 30) - 1 / 3)
    return np.where(near, math.pi * series, (np.cos(u) - ans) / (x + near))


# -- choices and roundings

elementwise(np.maximum, lambda g, x, y: share(g, x > y, x == y), lambda g, x, y: share(g, y > x, x == y))
elementwise(np.minimum, lambda g, x, y: share(g, x < y, x == y), lambda g, x, y: share(g, y < x, x == y))
elementwise(np.fmax,    lambda g, x, y: share(g, (x > y) | (y != y), x == y), lambda g, x, y: share(g, (y > x) | (x != x), x == y), taints=True)
elementwise(np.fmin,    lambda g, x, y: share(g, (x < y) | (y != y), x == y), lambda g, x, y: share(g, (y < x) | (x != x), x == y), taints=True)
elementwise(np.copysign, lambda g, x, ans: g * np.sign(x) * np.sign(ans), zero)
elementwise(np.heaviside, zero, lambda g, x: g * (x == 0))
elementwise(np.floor,    zero)
elementwise(np.ceil,     zero)
elementwise(np.trunc,    zero)
elementwise(np.rint,     zero)
elementwise(np.round,    lambda g, decimals=0: np.zeros_like(g))
elementwise(np.spacing,  zero)
elementwise(np.ldexp,    lambda g, y: np.ldexp(g, y), None)
elementwise(np.nextafter, lambda g: g, zero)
composite(np.around,     np.round)
composite(np.fix,        np.trunc)
composite(np.frexp,      lambda x: (np.ldexp(x, -binary_exponent(x)), binary_exponent(x)))


@dispatchable
def binary_exponent(x):
    return np.frexp(x)[1]


nondiff(binary_exponent)


@dispatchable
def select(mask, y, z):
    """`np.where(mask, y, z)`, with the result's dtype also where y and z are numbers."""
    return np.where(mask, y, z)


elementwise(select, None, lambda g, x: np.where(x, g, 0.0), lambda g, x: np.where(x, 0.0, g), name="where", taints=True)


def where(condition, *xy):
    if len(xy) == 1:
        raise ValueError("where: either both or neither of x and y are given")
    return select(condition, *xy) if xy else np.nonzero(condition)


composite(np.where, where)


def clip(a, a_min=None, a_max=None, *, min=None, max=None, **kwargs):
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ValueError("clip: pass a_min and a_max, or min and max, not both")
    lo, hi = (min if a_min is None else a_min), (max if a_max is None else a_max)
    if lo is not None and hi is not None:
        return bounded(as_operand(a, "clip"), as_operand(lo, "clip"), as_operand(hi, "clip"), **kwargs)
    a = as_operand(a, "clip") if lo is None else np.maximum(a, lo, **kwargs)
    return np.positive(a, **kwargs) if lo is hi is None else a if hi is None else np.minimum(a, hi, **kwargs)


@dispatchable
def bounded(x, low, high, **kwargs):
    """`np.clip` with both bounds."""
    return np.clip(x, low, high, **kwargs)


def below(g, x, y, high):
    """`g` where max(x, y) is less than `high`, half where it is equal: what of it `np.clip` passes on."""
    top = np.maximum(x, y)
    return share(g, top < high, top == high)


elementwise(
    bounded,
    lambda g, x, y, z: share(g, (x > y) & (x < z), (x == y) | (x == z)),
    lambda g, x, y, z: below(share(g, y > x, x == y), x, y, z),
    lambda g, x, y, z: share(g, np.maximum(x, y) > z, np.maximum(x, y) == z),
    name="clip",
)
composite(np.clip, clip)
composite(vars(umath)["clip"], clip)  # the ufunc below it


@dispatchable
def replace_nonfinite(x, **values):
    """`np.nan_to_num` of real numbers."""
    return np.nan_to_num(x, **values)


def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    values = {"nan": nan, "posinf": posinf, "neginf": neginf}
    if is_complex(x):
        ans = replace_nonfinite(np.real(x), **values) + 1j * replace_nonfinite(np.imag(x), **values)
    else:
        ans = replace_nonfinite(x, **values)
    if not copy:
        np.copyto(x, ans)
    return ans if copy else x


elementwise(replace_nonfinite, lambda g, x, nan=0.0, posinf=None, neginf=None: np.where(np.isfinite(x), g, 0.0), name="nan_to_num", taints=True)
composite(np.nan_to_num, nan_to_num)


@dispatchable
def sigmoid(x: Any) -> Any:
    """`1 / (1 + exp(-x))`, without overflow.

    >>> sigmoid(np.array([-1e4, 0.0, 1e4]))
    array([0. , 0.5, 1. ])
    """
    kind = getattr(x, "dtype", FLOAT).kind
    if kind == "c":
        return 1 / (1 + np.exp(-x))
    if kind in "biu":  # -x is no number of theirs
        x = x.astype(float)
    e = np.exp(-np.abs(x))
    return np.maximum(e, x >= 0) / (1 + e)  # where() takes a multiple of the time


elementwise(sigmoid, lambda g, ans: g * ans * (1 - ans))

nondiff(
    np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal,
    np.logical_and, np.logical_or, np.logical_xor, np.logical_not,
    np.isfinite, np.isinf, np.isnan, np.signbit, np.isposinf, np.isneginf, np.isreal, np.iscomplex, np.bitwise_count,
    np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift, np.gcd, np.lcm,
)
