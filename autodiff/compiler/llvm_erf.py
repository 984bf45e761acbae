"""The error function and its complement, as formulas over `llvm_values`.

The coefficients are fits of our own with mpmath, at 40 digits and more.
"""

from __future__ import annotations

from .llvm_exp import EXP, exp, reduced, scaled
from .llvm_values import Value, at_most, copysign, exact_product, fma, magnitude, polynomial, quick_sum, where

__all__ = ["erf", "erfc"]

# erf(x) / x - 1 in x**2 below the border, log(erfc(x)) / x above
ERF_SMALL = {
    "float": (8.349441e-05, -0.000813821, 0.0052006785, -0.026859276, 0.112836935, -0.37612635, 0.12837917),
    "double": (
        *(-7.801188874097751e-10, 1.3722976265924504e-08, -1.6209175911748696e-07, 1.6447517677871873e-06),
        *(-1.4924744663335489e-05, 0.00012055295320494294, -0.0008548325989696758, 0.005223977607423468),
        *(-0.02686617064327622, 0.11283791670945253, -0.3761263890318355, 0.12837916709551256),
    ),
}
ERF_LARGE = {
    "float": (
        *(1.0200147e-06, -3.3971235e-05, 0.0004960769, -0.0042942027, 0.025120566, -0.10783451, -0.6341603),
        -1.1289,
    ),
    "double": (
        *(1.5070685620091456e-12, -6.6981098451549e-11, 1.3938542651660217e-09, -1.803380837158418e-08),
        *(1.6226727055932172e-07, -1.0738039210189821e-06, 5.366509344700007e-06, -2.0288537124319153e-05),
        *(5.5873432321456946e-05, -9.514469680112174e-05, 4.1706223525311373e-07, 0.0005753718071401839),
        *(-0.0016933136326238538, 0.0002125657951740369, 0.01912467395624201, -0.10277071691431765),
        *(-0.6366202784016228, -1.1283791080711376),
    ),
}
ERF_BORDER = {"float": 0.927734375, "double": 1.0}
ERF_ONE = {"float": 3.95, "double": 5.95}
# erfc(z) exp(z**2) / t in 2 t - 1, where t = k / (k + z), for z up to where erfc is 0
ERFC = {
    "float": (
        *(0.0001078736, -0.00016028444, -0.0010260725, -0.00040991572, 0.008946385, 0.039843485, 0.1034887, 0.1967427),
        *(0.29446483, 0.3580023),
    ),
    "double": (
        *(2.5707779063064894e-10, -8.708682551777439e-10, 3.9486427547406883e-10, 2.5644022966710032e-09),
        *(-5.799143539758609e-09, -3.551573247848161e-09, 3.442576649507491e-08, 2.127349710400828e-08),
        *(-2.145563480301062e-07, -3.570884742068081e-07, 1.1752273384722792e-06, 4.715499643428284e-06),
        *(-9.093595593519666e-07, -4.4203248224465976e-05, -0.0001137630414753492, 7.023971975253767e-05),
        *(0.0015280138948678696, 0.006592513335056853, 0.019095378729048595, 0.0435027343099708),
        *(0.08271289696941597, 0.13521345782830937, 0.19330217556631132, 0.2441371822702205),
        0.27399891525012277,
    ),
}
ERFC_K = {"float": 3.0, "double": 4.0}
ERFC_SLOPE = {"float": 4, "double": 9}
ERFC_ZERO = {"float": 10.2, "double": 27.3}


def erf(x: Value) -> Value:
    a = magnitude(x)
    z = x * x
    small = fma(polynomial(ERF_SMALL[x.type], z), x, x)
    t = at_most(a, ERF_ONE[x.type])
    large = copysign(1.0 - exp(polynomial(ERF_LARGE[x.type], t) * t), x)
    return where(a < ERF_BORDER[x.type], small, large)


def erfc(x: Value) -> Value:
    """t p(2 t - 1) exp(-z**2) for z = |x|, where each factor has a second word."""
    k = ERFC_K[x.type]
    z = at_most(magnitude(x), ERFC_ZERO[x.type])
    below = k + z
    lost = z - (below - k)
    t = k / below
    rest = fma(-t, lost, fma(-t, below, k)) * (t * (1.0 / k))
    u = fma(2.0, t, -1.0)  # exactly
    first, second, *more = ERFC[x.type][:-2]
    linear, constant = ERFC[x.type][-2:]
    curved = fma(u, first, second)
    for coefficient in more:  # Horner's rule to the end: the terms are of one sign and about as large as the sum
        curved = fma(curved, u, coefficient)
    curved = curved * (u * u)
    lowest = ERFC[x.type][-ERFC_SLOPE[x.type] : -1]  # enough for a rounding error
    slope = polynomial([c * power for c, power in zip(lowest, range(len(lowest), 0, -1))], u)
    line = fma(u, linear, constant)
    p, p_low = quick_sum(line, fma(u, linear, constant - line) + curved)
    p_low = fma(2.0 * rest, slope, p_low)
    high, low = exact_product(t, p)
    low = fma(t, p_low, fma(rest, p, low))
    square, error = exact_product(z, z)
    n, r, after = reduced(-square)
    grown = fma(polynomial(EXP[x.type], r), r * r, r)  # exp(r) - 1
    grown = fma(after - error, grown, after - error) + grown
    tail = scaled(high + fma(high, grown, fma(low, grown, low)), n)
    return where(x < 0.0, 2.0 - tail, tail)
