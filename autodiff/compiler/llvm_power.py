"""Powers, the cube root and the inverse hyperbolic functions, as formulas over `llvm_values` and `llvm_exp`.

The one hard case is a power in double: y log(x) may be 745, so the logarithm needs ten bits more than a double has. It
is computed in two words: log(x) = e ln(2) + 2 atanh((m - 1) / (m + 1)), where the quotient, its square and the leading
terms of the series are words and the rest, below 2**-12 of the sum, is a polynomial.
"""

from __future__ import annotations

import math

from .llvm_exp import (
    INF,
    LN_2,
    LOG2_E,
    exp_words,
    invalid_below,
    log1p_words,
    reduced,
    scaled,
    split,
    split_any,
)
from .llvm_values import (
    DOUBLE,
    Value,
    at_least,
    at_most,
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
    rint,
    sqrt,
    trunc,
    where,
    widen,
)

__all__ = ["arccosh", "arcsinh", "arctanh", "cbrt", "power"]

# log and exp to 2**-36 and 2**-30, in double: what a power in float needs
SHORT_LOG = (
    *(-0.05274346140343707, 0.09219707425048866, -0.09074273039743212, 0.08990032266788732, -0.09922889267840959),
    *(0.11112758937158564, -0.1250336081025428, 0.14285751066497943, -0.16666606854169022, 0.19999999168016203),
    *(-0.2500000030188382, 0.3333333333488192),
)
SHORT_EXP = (
    *(0.00019907571575019447, 0.0013933646012989184, 0.00833328602626355, 0.04166646494621501, 0.16666666756401172),
    0.5000000013466708,
)
# (atanh(s) / s - 1 - z / 3) / z**2 in z = s**2
ATANH = (
    *(0.05862081825503403, 0.058530670995472975, 0.06667404427063241, 0.07692297439253065, 0.09090909168131758),
    *(0.11111111110825794, 0.14285714285714687, 0.2),
)
# x**(-1/3) on [1, 2], a first guess
CBRT = {
    "float": (0.093390495, -0.4833237, 1.3881786),
    "double": (0.02858742194595232, -0.22122575275523554, 0.6954782172452784, -1.1728982373518144, 1.670021026790868),
}
THIRD = (0.3333333333333333, 1.850371707708594e-17)


def power(x: Value, y: Value) -> Value:
    result = _power_double(magnitude(x), y) if x.form is DOUBLE else _power_single(magnitude(x), y)
    return _power_limits(x, y, result)


def _power_limits(x: Value, y: Value, result: Value) -> Value:
    """`result` = |x|**y with its sign, and C's pow at zeros, infinities and nan."""
    half = 0.5 * y
    whole, odd = trunc(y).equals(y), trunc(y).equals(y) & trunc(half).differs(half)
    a = magnitude(x)
    zero = a.equals(0.0)
    outside = (x < 0.0) & whole.flipped
    result = where(outside, sqrt(copysign(a, where(outside, -1.0, 1.0))), result)  # an invalid operation there
    result = where(zero | a.equals(INF), where(zero ^ (y < 0.0), 0.0, INF), result)
    result = where(odd, copysign(result, x), result)
    result = where(x.unordered(y), x + y, result)
    return where(y.equals(0.0) | x.equals(1.0), 1.0, result)


def _power_single(a: Value, y: Value) -> Value:
    """In double, where 2**-33 of the logarithm is enough and a result below float's range is rounded once."""
    e, m = split(widen(a))
    f = m - 1.0
    log = fma(e, sum(LN_2["double"]), fma(polynomial(SHORT_LOG, f) * f, f * f, fma(-0.5 * f, f, f)))
    y = at_least(at_most(widen(y), 2.0**40), -(2.0**40))  # 1**inf
    exponent = at_least(at_most(y * log, 200.0), -200.0)
    n = rint(exponent * LOG2_E)
    r = fma(n, -sum(LN_2["double"]), exponent)
    power = fma(polynomial(SHORT_EXP, r), r * r, r) + 1.0
    return narrow(power * from_bits((bits(n + DOUBLE.magic) << 52) + (1023 << 52)))


def _power_double(a: Value, y: Value) -> Value:
    e, m = split_any(a)
    # s = (m - 1) / (m + 1) and z = s**2
    f = m - 1.0
    bottom = m + 1.0
    bottom_low = m - (bottom - 1.0)
    inverse = 1.0 / bottom
    s = f * inverse
    s_low = inverse * fma(-s, bottom_low, fma(-s, bottom, f))
    z, z_low = exact_product(s, s)
    z_low = fma(2.0 * s, s_low, z_low)
    # t = atanh(s) / s - 1
    t, t_low = exact_product(z, THIRD[0])
    t_low = fma(z, THIRD[1], fma(z_low, THIRD[0], t_low))
    t, error = quick_sum(t, polynomial(ATANH, z) * (z * z))
    t_low = t_low + error
    # s + s t, and the exponent
    product, product_low = exact_product(s, t)
    product_low = fma(s, t_low, fma(s_low, t, product_low))
    high, low = quick_sum(s, product)
    low = low + (s_low + product_low)
    ln_2, rest = LN_2["double"]
    log, error = quick_sum(e * ln_2, 2.0 * high)
    log, log_low = quick_sum(log, error + fma(2.0, low, e * rest))
    # beyond these exponents the result is 0, 1 or inf whatever the logarithm
    y = at_least(at_most(y, 2.0**80), -(2.0**80))
    exponent, error = exact_product(log, y)
    low = fma(log_low, y, error)
    inside = magnitude(exponent) < 800.0
    low = where(inside, low, 0.0)
    n, r, r_low = reduced(at_least(at_most(exponent, 800.0), -800.0))
    n = at_least(at_most(n, 1030.0), -1080.0)
    r, r_low = quick_sum(r, r_low + low)  # 2**-44 beside an r that is 2**-44 changes nothing
    one, tail = exp_words(r, r_low)
    return scaled(one + tail, n)


def cbrt(x: Value) -> Value:
    """Newton's iteration for the inverse root from a polynomial, then a step for the root with an exact residue."""
    form = x.form
    a = magnitude(x)
    shift = 54.0 if form is DOUBLE else 24.0
    tiny = a < form.tiny
    number = bits(where(tiny, a * 2.0**shift, a))
    whole = 2.0**form.mantissa
    e = from_bits((number >> form.mantissa) | ((form.bias + form.mantissa) << form.mantissa)) - (whole + form.bias)
    m = from_bits((number & ((1 << form.mantissa) - 1)) | (form.bias << form.mantissa))
    third = rint((e - 1.0) * THIRD[0])
    left = fma(-3.0, third, e)
    one, two = left > 0.5, left > 1.5
    guess = polynomial(CBRT[x.type], m) * where(two, 2 ** (-2 / 3), where(one, 2 ** (-1 / 3), 1.0))
    m = m * where(two, 4.0, where(one, 2.0, 1.0))
    for _ in range(2 if form is DOUBLE else 1):
        guess = fma(guess * THIRD[0], fma(-(m * guess), guess * guess, 1.0), guess)
    square = guess * guess
    root = m * square
    root_square, error = exact_product(root, root)
    residue = fma(-root_square, root, m) - error * root
    root = fma(residue * THIRD[0], square, root)
    power = from_bits(
        (bits(third - where(tiny, shift / 3, 0.0) + form.magic) << form.mantissa) + (form.bias << form.mantissa)
    )
    ordinary = (a > 0.0) & (a < INF)
    return where(ordinary, copysign(root * power, x), x)


# Inverse hyperbolic functions: log1p of two words. Beyond `far`, 1 is nothing beside x**2, and the result is log(2 x).


def arcsinh(x: Value) -> Value:
    """log(1 + a + a**2 / (1 + sqrt(1 + a**2))), a = |x|."""
    a = magnitude(x)
    far = a > (2.0**60 if x.form is DOUBLE else 2.0**30)
    near = where(far, 0.0, a)
    square = near * near
    f, rest = quick_sum(near, square / (1.0 + sqrt(fma(near, near, 1.0))))
    result = log1p_words(where(far, a, f), rest, where(far, 1.0, 0.0))
    return copysign(where(a.equals(INF), a, result), x)


def arccosh(x: Value) -> Value:
    """log(1 + t + sqrt(t (t + 2))), t = x - 1."""
    far = x > (2.0**60 if x.form is DOUBLE else 2.0**30)
    t, lost = exact_sum(where(far, 1.0, x), -1.0)
    f, rest = quick_sum(sqrt(fma(t, t, 2.0 * t)), t)
    result = log1p_words(where(far, x, f), rest + lost, where(far, 1.0, 0.0))
    result = where(x.equals(INF), x, result)
    return where(x >= 1.0, result, math.nan)


def arctanh(x: Value) -> Value:
    """log(1 + 2 a / (1 - a)) / 2, a = |x|."""
    a = magnitude(x)
    bottom, bottom_low = quick_sum(1.0, -a)
    inverse = 1.0 / bottom
    top = 2.0 * a
    f = top * inverse
    rest = inverse * fma(-f, bottom_low, fma(-f, bottom, top))
    result = 0.5 * log1p_words(f, rest)
    result = where(a < 1.0, result, where(a.equals(1.0), INF, invalid_below(1.0 - a)))
    return copysign(result, x)
