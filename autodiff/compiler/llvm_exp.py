"""Exponentials, logarithms and what is made of them, as formulas over `llvm_values`.

The coefficients are minimax fits of our own: Remez exchange in mpmath at 60 digits, of the function less its leading
terms, which stay exact in the formula. (`EXP`, and `LOG` in float, are mpmath's Chebyshev fits.)

The reductions are the classical ones (Muller, Elementary Functions, ch. 11): exp takes out the nearest power of two,
log the exponent, so that a polynomial on |r| <= ln(2)/2, or on [sqrt(1/2) - 1, sqrt(2) - 1], is left.
"""

from __future__ import annotations

import math

from .llvm_values import (
    DOUBLE,
    Operand,
    Value,
    at_least,
    at_most,
    bits,
    copysign,
    exact_product,
    exact_sum,
    fma,
    from_bits,
    ldexp,
    magnitude,
    nearest,
    polynomial,
    quick_sum,
    quotient,
    rint,
    where,
)

__all__ = [  # noqa: RUF022 - by plain string order: log10 before log2
    "EXP",
    "INF",
    "LN_2",
    "LOG2_E",
    "add_exponent",
    "bounded",
    "cosh",
    "exp",
    "exp2",
    "exp_words",
    "expm1",
    "hyperbolic",
    "invalid_below",
    "log",
    "log10",
    "log1p",
    "log1p_words",
    "log2",
    "log_limits",
    "log_words",
    "logaddexp",
    "power_of_two",
    "reduced",
    "scaled",
    "sigmoid",
    "sinh",
    "split",
    "split_any",
    "tanh",
]

INF = math.inf
LOG2_E = 1.4426950408889634
# Two words of a constant: multiples of the high ones by an exponent are exact, for their last bits are zero.
LN_2 = {"float": (0.693145751953125, 1.428606765330187e-06), "double": (0.6931471803691238, 1.9082149292705877e-10)}
FULL_LN_2 = {
    "float": (0.6931471824645996, -1.9046542121259336e-09),
    "double": (0.6931471805599453, 2.3190468138462996e-17),
}
FULL_LOG2_E = {"float": (1.4426950216293335, 1.925963033500011e-08), "double": (LOG2_E, 2.0355273740931033e-17)}
FULL_LOG10_E = {
    "float": (0.4342944920063019, -1.0103049952192578e-08),
    "double": (0.4342944819032518, 1.098319650216765e-17),
}
LOG10_2 = {"float": (0.301025390625, 4.605039066518657e-06), "double": (0.3010299956640665, -8.532344317057107e-14)}

# (exp(r) - 1 - r) / r**2, (sinh(r) - r) / r**3 in r**2, (cosh(r) - 1 - r**2 / 2) / r**4 in r**2
EXP = {
    "float": (0.0013926176, 0.008363173, 0.041666556, 0.16666576, 0.5),
    "double": (
        *(2.0914679376583935e-09, 2.510520637395701e-08, 2.7557273661348637e-07, 2.7557255425746435e-06),
        *(2.4801587325533363e-05, 0.00019841269874800493, 0.0013888888888883752, 0.008333333333326141),
        *(0.04166666666666667, 0.1666666666666667, 0.5),
    ),
}
SINH = {
    "float": (0.00019890985, 0.0083333105, 0.16666667),
    "double": (
        *(2.5100377213783225e-08, 2.755726847699201e-06, 0.00019841269863043036, 0.008333333333330063),
        0.16666666666666669,
    ),
}
COSH = {
    "float": (0.0013918718, 0.041666623),
    "double": (
        *(2.091123059287409e-09, 2.755728298198247e-07, 2.480158731713672e-05, 0.0013888888888886554),
        0.041666666666666664,
    ),
}
# (log(1 + f) - f + f**2 / 2) / f**3
LOG = {
    "float": (
        *(0.06971612, -0.11479734, 0.1168542, -0.12425687, 0.14249058, -0.16667803, 0.20000716, -0.24999997),
        0.3333333,
    ),
    "double": (
        *(-0.02646854005893978, 0.058305375234108295, -0.0613670269606438, 0.05316209407188907, -0.05354042102803147),
        *(0.05844524313743242, -0.06267834334074347, 0.06671481988741224, -0.07141975115977786, 0.07692004836207268),
        *(-0.08333358009828228, 0.09090919681533847, -0.0999999962899959, 0.11111110907327228, -0.12500000002646366),
        *(0.14285714287665927, -0.16666666666659546, 0.19999999999992807, -0.25000000000000006, 0.33333333333333337),
    ),
}


# Exponentials


def power_of_two(n: Value, offset: Operand = 0.0) -> Value:
    """2**(n + offset) for a whole n in the range of exponents; anything for nan."""
    form = n.form
    return from_bits((bits(n + (offset + form.magic)) << form.mantissa) + (form.bias << form.mantissa))


def scaled(value: Value, n: Value) -> Value:
    """value * 2**n, if need be by two powers, the outer one fixed: neither overflows before the result does."""
    form = n.form
    if value.body.scales:
        return ldexp(value, n)
    step = 64.0 if form is DOUBLE else 32.0
    up = n > 0.0
    inner = power_of_two(n, where(up, -step, step, n.type))
    return value * inner * where(up, 2.0**step, 2.0**-step, n.type)


def reduced(x: Value) -> tuple[Value, Value, Value]:
    """A whole n and two words r with x = n ln(2) + r, |r| <= ln(2)/2."""
    high, low = LN_2[x.type]
    n = nearest(x, LOG2_E)
    exact = fma(n, -high, x)
    r = fma(n, -low, exact)
    return n, r, fma(n, -low, exact - r)


def exp_words(r: Value, rest: Value) -> tuple[Value, Value]:
    """exp(r + rest) in two words."""
    high, low = quick_sum(1.0, r)
    return high, low + fma(polynomial(EXP[r.type], r), r * r, rest)


def bounded(x: Value) -> Value:
    """x, or a bound beyond which exp is 0 or inf."""
    low, high = (-746.0, 710.0) if x.form is DOUBLE else (-104.0, 89.0)
    return at_least(at_most(x, high), low)


def exp(x: Value) -> Value:
    n, r, _ = reduced(bounded(x))
    return scaled(fma(polynomial(EXP[x.type], r), r * r, r) + 1.0, n)


def exp2(x: Value) -> Value:
    low, high = (-1080.0, 1025.0) if x.form is DOUBLE else (-152.0, 129.0)
    x = at_least(at_most(x, high), low)
    n = rint(x)
    ln_2, rest = FULL_LN_2[x.type]
    r, error = exact_product(x - n, ln_2)
    one, low_word = exp_words(r, fma(x - n, rest, error))
    return scaled(one + low_word, n)


def expm1(x: Value) -> Value:
    """2**n (exp(r) - 2**-n), whose leading terms r + (1 - 2**-n) are added in two words."""
    y = at_least(bounded(x), -50.0)
    n, r, rest = reduced(y)
    base = 1.0 - power_of_two(-at_most(n, 60.0))
    tail = fma(polynomial(EXP[x.type], r), r * r, rest)
    high, low = exact_sum(base, r)
    return copysign(scaled(high + (low + tail), n), x)


def hyperbolic(x: Value, largest: float) -> tuple[Value, tuple[Value, Value], tuple[Value, Value]]:
    """n, and |x|'s sinh and cosh times 2**-n in two words each.

    With s = sinh(r), c = cosh(r), A = 1/2, B = 2**(-2n) / 2: sinh = c (A - B) + s (A + B), cosh with A + B for A - B.
    """
    n, r, rest = reduced(at_most(magnitude(x), largest))
    z = r * r
    s = fma(polynomial(SINH[x.type], z), z * r, rest)  # less r
    c = fma(polynomial(COSH[x.type], z), z * z, fma(r, rest, 0.5 * z))  # less 1
    small = 0.5 * power_of_two(at_least(-2.0 * n, -120.0))
    (difference, difference_low), (total, total_low) = quick_sum(0.5, -small), quick_sum(0.5, small)
    sinh = fma(r, total, difference)
    sinh_low = fma(c, difference, fma(s, total, fma(r, total_low, difference_low)))
    cosh = fma(r, difference, total)
    cosh_low = fma(c, total, fma(s, difference, fma(r, difference_low, total_low)))
    sinh_low, cosh_low = fma(r, total, difference - sinh) + sinh_low, fma(r, difference, total - cosh) + cosh_low
    return n, (sinh, sinh_low), (cosh, cosh_low)


def sinh(x: Value) -> Value:
    n, (high, low), _ = hyperbolic(x, 711.0 if x.form is DOUBLE else 90.0)
    return copysign(scaled(high + low, n), x)


def cosh(x: Value) -> Value:
    n, _, (high, low) = hyperbolic(x, 711.0 if x.form is DOUBLE else 90.0)
    return scaled(high + low, n)


def tanh(x: Value) -> Value:
    """sinh / cosh; their second words correct the quotient."""
    _, (s, s_low), (c, c_low) = hyperbolic(x, 22.0 if x.form is DOUBLE else 12.0)
    return copysign(quotient(quick_sum(s, s_low), quick_sum(c, c_low)), x)


def sigmoid(x: Value) -> Value:
    """1 / (1 + exp(-x)), by exp(-|x|), which cannot overflow; below 0 the quotient is scaled last, to round once."""
    n, r, rest = reduced(bounded(-magnitude(x)))
    small, low = quick_sum(*exp_words(r, rest))
    bottom, lost = quick_sum(1.0, scaled(small, n))
    left = x < 0.0
    ratio = quotient((where(left, small, 1.0), where(left, low, 0.0)), (bottom, lost))
    return scaled(ratio, where(left, n, 0.0))


# Logarithms


def split(x: Value) -> tuple[Value, Value]:
    """e and m of x = m 2**e, m in [sqrt(1/2), sqrt(2)); x is a normal number above 0."""
    form = x.form
    half = 0x3FE6A09E667F3BCD if form is DOUBLE else 0x3F3504F3  # sqrt(1/2)
    one = form.bias << form.mantissa
    shifted = bits(x) + (one - half)
    whole = 2.0**form.mantissa  # whose last bits hold an integer
    e = from_bits((shifted >> form.mantissa) | ((form.bias + form.mantissa) << form.mantissa)) - (whole + form.bias)
    return e, from_bits((shifted & ((1 << form.mantissa) - 1)) + half)


def split_any(x: Value) -> tuple[Value, Value]:
    """The same where x may be subnormal."""
    form = x.form
    tiny = x < form.tiny
    e, m = split(where(tiny, x * 2.0**form.mantissa, x))
    return e - where(tiny, form.mantissa, 0.0), m


def log_words(f: Value) -> tuple[Value, Value]:
    """log(1 + f) in two words, f in [sqrt(1/2) - 1, sqrt(2) - 1]."""
    half, error = exact_product(0.5 * f, f)
    high, low = quick_sum(f, -half)
    return high, low + fma(polynomial(LOG[f.type], f) * f, f * f, -error)


def add_exponent(e: Value, high: Value, low: Value) -> Value:
    """e ln(2) + (high + low)."""
    ln_2, rest = LN_2[e.type]
    total, error = quick_sum(e * ln_2, high)
    return total + (error + fma(e, rest, low))


def invalid_below(x: Value) -> Value:
    """nan where x < 0, by an operation that is invalid, which the processor notes, and where x is nan; inf above."""
    return x + (copysign(INF, x) + INF)


def log_limits(x: Value, result: Value) -> Value:
    """`result`, or log's values at inf, 0, below, and nan."""
    result = where(x.equals(INF), x, result)
    result = where(x.equals(0.0), -INF, result)
    return where(x >= 0.0, result, invalid_below(x))


def log(x: Value) -> Value:
    e, m = split_any(x)
    f = m - 1.0
    high, low = LN_2[x.type]
    rest = fma(polynomial(LOG[x.type], f) * f, f * f, e * low)
    return log_limits(x, fma(e, high, f + fma(-0.5 * f, f, rest)))


def _log_base(x: Value, per_e: tuple[float, float], per_2: tuple[float, float]) -> Value:
    e, m = split_any(x)
    high, low = log_words(m - 1.0)
    product, error = exact_product(high, per_e[0])
    low = fma(high, per_e[1], fma(low, per_e[0], error))
    total, error = quick_sum(e * per_2[0], product)
    return log_limits(x, total + (error + fma(e, per_2[1], low)))


def log2(x: Value) -> Value:
    return _log_base(x, FULL_LOG2_E[x.type], (1.0, 0.0))


def log10(x: Value) -> Value:
    return _log_base(x, FULL_LOG10_E[x.type], LOG10_2[x.type])


def log1p_words(x: Value, rest: Operand = 0.0, doublings: Operand = 0.0) -> Value:
    """log((1 + x + rest) 2**doublings), x > -1: the reduced argument keeps what 1 + x lost (Kahan, HP-15C handbook)."""
    form = x.form
    u, lost = exact_sum(x, 1.0)
    e, m = split(u)
    inverse = from_bits(bits(m) - bits(u) + ((form.bias + 1) << form.mantissa))  # 2**(1 - e): 2**-e may be subnormal
    f, tail = quick_sum(m - 1.0, (lost + rest) * inverse * 0.5)
    high, low = log_words(f)
    return add_exponent(e + doublings, high, fma(-tail, f, tail) + low)


def log1p(x: Value) -> Value:
    result = where(x.equals(INF), x, log1p_words(x))
    result = where(x.equals(-1.0), -INF, result)
    return copysign(where(x >= -1.0, result, invalid_below(x + 1.0)), x)


def logaddexp(x: Value, y: Value) -> Value:
    larger = where(x > y, x, y)
    difference = where(x.equals(y), 0.0, -magnitude(x - y))  # inf - inf
    return larger + log1p_words(exp(difference))
