"""np.emath: the functions that turn complex where the real ones are nan.

Whether the result is complex, NumPy decides from the data. Most maps are in terms of the result, so that they
are on the branch that NumPy is on; a real operand gets the real part of its cotangent, as everywhere.
"""

import math

import numpy as np

from ..rule import composite, elementwise

__all__: list[str] = []  # its rules are in the registry


def power_base(g, x, y):
    slope = np.emath.power(x, y - 1)
    return g * (y * np.where((y == 0) & ~np.isfinite(slope), 1.0, slope))  # x ** 0 is flat everywhere


def power_exponent(g, ans, x, y):
    return g * ans * np.emath.log(np.where((x == 0) & (y >= 0), 1.0, x))


elementwise(np.emath.sqrt,    lambda g, ans: 0.5 * g / ans)
elementwise(np.emath.log,     lambda g, x: g / x)
elementwise(np.emath.log2,    lambda g, x: g / x / math.log(2))
elementwise(np.emath.log10,   lambda g, x: g / x / math.log(10))
elementwise(np.emath.arcsin,  lambda g, ans: g / np.cos(ans))
elementwise(np.emath.arccos,  lambda g, ans: -g / np.sin(ans))
elementwise(np.emath.arctanh, lambda g, x: g / ((1 - x) * (1 + x)))
elementwise(np.emath.power,   power_base, power_exponent)
composite(np.emath.logn,      lambda n, x: np.emath.log(x) / np.emath.log(n))
