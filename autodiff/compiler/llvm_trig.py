"""Sine, cosine, tangent and their inverses, as formulas over `llvm_values`.

The coefficients are minimax fits of our own: Remez exchange in mpmath at 60 digits, of the function less its leading
terms.

The reduction is that of Payne and Hanek (Radian reduction for trigonometric functions, SIGNUM 18, 1983), but without a
branch. With x = y 2**k and a whole y, the quarter turns are y (2**k 2/pi mod 4), and the factor, in a few words, is one
of a small table: chosen by selects in float, where doubles hold the products, and loaded in double. So every argument
costs the same, and all are right.
"""

from __future__ import annotations

import math

from .llvm_values import (
    DOUBLE,
    Operand,
    Value,
    bits,
    copysign,
    exact_product,
    exact_sum,
    fma,
    from_bits,
    magnitude,
    narrow,
    polynomial,
    quick_sum,
    quotient,
    rint,
    sqrt,
    where,
    widen,
)

__all__ = [
    "arccos",
    "arcsin",
    "arctan",
    "arctan2",
    "arctan_words",
    "cos",
    "factor",
    "sin",
    "sin_cos",
    "tan",
    "turns",
    "turns_double",
    "turns_single",
    "two_over_pi",
]

# Two words of pi/2.
QUARTER = {"float": (1.5707963705062866, -4.371138828673793e-08), "double": (1.5707963267948966, 6.123233995736766e-17)}
# (sin(r) - r) / r**3, (cos(r) - 1 + r**2 / 2) / r**4, (atan(t) - t) / t**3, (asin(s) - s) / s**3, all in the square
SIN = {
    "float": (-0.00019588004, 0.008332749, -0.16666664),
    "double": (
        *(1.5918139765066959e-10, -2.5051132010805483e-08, 2.7557316103470775e-06, -0.0001984126983676065),
        *(0.00833333333333095, -0.16666666666666666),
    ),
}
COS = {
    "float": (2.4548035e-05, -0.0013888304, 0.041666664),
    "double": (
        *(-1.1382638051081952e-11, 2.087614635786908e-09, -2.755731727222733e-07, 2.4801587298766817e-05),
        *(-0.0013888888888887398, 0.041666666666666664),
    ),
}
ATAN = {
    "float": (
        *(-0.002507065, 0.013992797, -0.03666881, 0.06318552, -0.08689462, 0.110422246, -0.14279653, 0.19999793),
        -0.3333333,
    ),
    "double": (
        *(-1.2497832908551834e-05, 0.00014353872698772059, -0.0007827423975365551, 0.0027108461476615425),
        *(-0.006747244449548848, 0.01299990764071874, -0.02049926657229537, 0.02778173905206247),
        *(-0.03388626134779277, 0.03879395873565442, -0.043107299299419984, 0.04752867158119853),
        *(-0.05261444166890083, 0.05882105599181925, -0.06666640285743596, 0.0769230569540482),
        *(-0.09090908989649998, 0.11111111107959555, -0.14285714285662252, 0.1999999999999966, -0.3333333333333333),
    ),
}
ASIN = {
    "float": (0.03832788, 0.026434012, 0.04502002, 0.074987635, 0.16666673),
    "double": (
        *(0.028998874125483222, -0.015212438127253425, 0.017636788516383315, 0.005368862248790659),
        *(0.010343929955748742, 0.011475856595829429, 0.013971561192651324, 0.017352368698808223),
        *(0.022372173991937087, 0.030381944111486255, 0.04464285714671502, 0.07499999999998246, 0.16666666666666669),
    ),
}
PRECISION = 1400  # bits of 2/pi after the point


def two_over_pi() -> int:
    """In units of 2**-PRECISION, by Machin's formula."""

    def arctan_of_inverse(n: int) -> int:
        total, term, k = 0, one // n, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term //= n * n
            k += 2
        return total

    one = 1 << (PRECISION + 64)
    return (2 * one << PRECISION) // (16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239))


TWO_OVER_PI = two_over_pi()


def factor(exponent: int, modulus: int, sizes: tuple[int, ...]) -> list[float]:
    """2**exponent 2/pi less the nearest multiple of 2**modulus, in words: multiples of 2**-size, and what is left."""
    left = (TWO_OVER_PI << exponent) % (1 << PRECISION + modulus)
    if left >> (PRECISION + modulus - 1):
        left -= 1 << PRECISION + modulus
    words = []
    for size in sizes:
        count = ((left >> (PRECISION - size - 1)) + 1) >> 1
        words.append(math.ldexp(count, -size))
        left -= count << (PRECISION - size)
    return [*words, math.ldexp(left >> (PRECISION - 240), -240)]


def turns_single(x: Value) -> tuple[Value, Value, Value]:
    """The nearest whole number of quarter turns, as an integer mod 4 in the low bits, and two words of the angle left.

    y < 2**50 is whole in all rows but the first, so a factor of two words is enough.
    """
    step = 26
    wide = widen(x)
    a = magnitude(wide)
    rows = [[2.0 ** (-step * i), *factor(step * i, 2, (51,))] for i in range(4)]
    chosen: list[Operand] = list(rows[0])
    for i in range(1, 4):
        beyond = a >= 2.0 ** (24 + step * i)
        chosen = [where(beyond, new, old, "double") for new, old in zip(rows[i], chosen)]
    scale, high, low = chosen
    y = wide * scale
    product, error = exact_product(y, high)
    n = rint(product)
    f = (product - n) + error
    k = rint(fma(y, low, f))
    angle = fma(y, low, f - k) * QUARTER["double"][0]
    r = narrow(angle)
    return bits((n + k) + DOUBLE.magic).truncated, r, narrow(angle - widen(r))


def turns_double(x: Value) -> tuple[Value, Value, Value]:
    """The same in double, by a factor of four words per 32 exponents; the products are two words each.

    y < 2**33 is a multiple of 2**-51 in all rows but the first, so the factor's multiples of 2**53 make multiples of 4.
    """
    table = x.body.table("ad.turns", [factor(32 * i, 53, (-2, 51, 104)) for i in range(32)])
    number = bits(x)
    row = where(magnitude(x) >= 2.0, (number >> 57) & 31, 0)
    y = from_bits(number - (row << 57))
    fours, high, middle, low = (x.body.load(table, row, column) for column in range(4))
    zeroth, zeroth_low = exact_product(y, fours)
    first, first_low = exact_product(y, high)
    second, second_low = exact_product(y, middle)
    n, m = rint(zeroth_low), rint(first)
    f, error = exact_sum(fma(-4.0, rint(0.25 * zeroth), zeroth) + (zeroth_low - n), first - m)
    k = rint(f)
    f, error2 = exact_sum(f - k, first_low)
    f, error3 = exact_sum(f, second)
    f, error = exact_sum(f, error + error2 + error3)  # so far all is exact: multiples of 2**-102
    f, rest = quick_sum(f, error + fma(y, low, second_low))
    quarter, quarter_low = QUARTER["double"]
    r, error = exact_product(f, quarter)
    r = where(magnitude(x) < math.inf, r, x - x)  # an invalid operation, which the processor notes
    return bits(((n + m) + k) + DOUBLE.magic), r, fma(rest, quarter, fma(f, quarter_low, error))


def turns(x: Value) -> tuple[Value, Value, Value]:
    return turns_double(x) if x.form is DOUBLE else turns_single(x)


def sin_cos(r: Value, rest: Value) -> tuple[tuple[Value, Value], tuple[Value, Value]]:
    """Of r + rest, |r| <= pi/4: each as its leading term and what to add to it."""
    z = r * r
    one, lost = quick_sum(1.0, -0.5 * z)
    sin = fma(polynomial(SIN[r.type], z) * z, r, rest)
    return (r, sin), (one, fma(polynomial(COS[r.type], z), z * z, fma(-r, rest, lost)))


def _or_itself(x: Value, result: Value) -> Value:
    """x where sin(x) and tan(x) round to it: -0 keeps its sign, and a subnormal its bits."""
    return where(magnitude(x) < (2.0**-27 if x.form is DOUBLE else 2.0**-13), x, result)


def _quadrant(number: Value, r: Value, rest: Value) -> Value:
    """sin of `number` quarter turns and r."""
    sin, cos = sin_cos(r, rest)
    even = (number & 1).same_bits(0)
    magnitude = where(even, sin[0], cos[0]) + where(even, sin[1], cos[1])
    return from_bits(bits(magnitude) ^ ((number & 2) << (r.form.width - 2)))


def sin(x: Value) -> Value:
    return _or_itself(x, _quadrant(*turns(x)))


def cos(x: Value) -> Value:
    number, r, rest = turns(x)
    return _quadrant(number + 1, r, rest)


def tan(x: Value) -> Value:
    number, r, rest = turns(x)
    (s, s_low), (c, c_low) = (quick_sum(*words) for words in sin_cos(r, rest))
    even = (number & 1).same_bits(0)
    top = where(even, s, c), where(even, s_low, c_low)
    bottom = where(even, c, s), where(even, c_low, s_low)
    return _or_itself(x, from_bits(bits(quotient(top, bottom)) ^ (number << (x.form.width - 1))))


def arctan_words(t: Value) -> tuple[Value, Value]:
    """arctan(t) as t and a correction, 0 <= t <= 1."""
    z = t * t
    return t, polynomial(ATAN[t.type], z) * (z * t)


def arctan(x: Value) -> Value:
    """Above 1, pi/2 - arctan(1/x)."""
    high, low = QUARTER[x.type]
    a = magnitude(x)
    steep = a > 1.0
    t, rest = arctan_words(where(steep, 1.0, a) / where(steep, a, 1.0))
    steep_high, lost = quick_sum(high, -t)
    return copysign(where(steep, steep_high + ((lost + low) - rest), t + rest), x)


def arctan2(y: Value, x: Value) -> Value:
    """The arctangent of the smaller of |y|, |x| over the larger, turned into its octant."""
    high, low = QUARTER[x.type]
    a, b = magnitude(y), magnitude(x)
    steep, back = a > b, copysign(1.0, x) < 0.0
    top, bottom = where(steep, b, a), where(steep, a, b)
    ratio = where(top.equals(bottom), where(bottom > 0.0, 1.0, 0.0), top / bottom)  # 0/0 and inf/inf
    t, rest = arctan_words(ratio)
    down = steep ^ back
    base = where(steep, high, where(back, 2.0 * high, 0.0))
    base_low = where(steep, low, where(back, 2.0 * low, 0.0))
    total, lost = quick_sum(base, where(down, -t, t))
    return copysign(total + ((lost + base_low) + where(down, -rest, rest)), y)


def _arcsin_words(x: Value) -> tuple[Value, Value, Value]:
    """Whether |x| > 1/2, and arcsin(s) as s and a correction: s = |x|, or sqrt((1 - |x|) / 2) above."""
    a = magnitude(x)
    large = a > 0.5
    z = where(large, 0.5 - 0.5 * a, x * x)
    s = where(large, sqrt(z), a)
    return large, s, polynomial(ASIN[x.type], z) * (z * s)


def arcsin(x: Value) -> Value:
    """Above 1/2, pi/2 - 2 arcsin(s)."""
    high, low = QUARTER[x.type]
    large, s, rest = _arcsin_words(x)
    total, lost = quick_sum(high, -2.0 * s)
    return copysign(where(large, total + fma(-2.0, rest, lost + low), s + rest), x)


def arccos(x: Value) -> Value:
    """2 arcsin(s) above 1/2, pi - 2 arcsin(s) below -1/2, pi/2 - arcsin(x) between."""
    high, low = QUARTER[x.type]
    large, s, rest = _arcsin_words(x)
    left = x < 0.0
    base = where(large, where(left, 2.0 * high, 0.0), high)
    base_low = where(large, where(left, 2.0 * low, 0.0), low)
    s, rest = where(large, s + s, s), where(large, rest + rest, rest)
    plus = large ^ left
    total, lost = quick_sum(base, where(plus, s, -s))
    return total + ((lost + base_low) + where(plus, rest, -rest))
