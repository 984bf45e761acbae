"""Rows of the rules in autodiff/rules/numeric.py and polynomial.py."""

import numpy as np
from domains import Domain, call, cube, first, line, nonzero, of_either_sign, one_axis, real, row

from autodiff.rules import numeric, polynomial

knots = Domain(lambda rng, shape: np.arange(shape[0]) + rng.uniform(0.0, 0.1, shape))
between_knots = Domain(lambda rng, shape: rng.integers(-1, 4, shape) + rng.uniform(0.3, 0.9, shape))
increasing = Domain(lambda rng, shape: np.cumsum(rng.uniform(0.5, 1.5, shape), axis=-1))
with_roots_apart = Domain(lambda rng, shape: rng.uniform(0.5, 2.0) * np.poly(2.0 * rng.permutation(shape[0] - 1) - 2.3) * np.ones(shape), spread=True)
led_by_two = Domain(lambda rng, shape: np.r_[2.0, nonzero.draw(rng, shape)][: shape[0]])  # what it leaves in front is exactly 0, in float32 too
wide = of_either_sign(2.0, 20.0)

modes = [call(), call("full"), call("same"), call(mode="valid")]
sequences = [((5,), (3,)), ((3,), (5,)), ((4,), (4,)), ((6,), (2,)), ((2,), (6,)), ((5,), (2,)), ((4,), (1,)), ((1,), (1,)), ((), (3,)), ((0,), (2,))]
coefficients = [((4,), (4,)), ((4,), (2,)), ((1,), (3,)), ((), (3,)), ((2,), ()), ((), ())]

# -- products of sequences

row(np.convolve,      real, real, complex=True, tries=modes, shapes=sequences)
row(np.correlate,     real, real, complex=True, tries=modes, shapes=sequences[:8])

# -- differences and sums along an axis

row(np.diff,          real, complex=True, tries=[*one_axis, call(2), call(n=3, axis=0), call(n=0)], shapes=[*cube, ((2, 1, 2),), ((4, 3, 0),)])
row(np.ediff1d,       real, complex=True, tries=[call(), call(2.0), call(to_end=0.5, to_begin=1)])
row(np.trapezoid,     real, complex=True, tries=[*one_axis, call(None, 0.5), call(dx=0.5, axis=1)], shapes=[((2, 3, 2),), ((0, 3, 2),), ((2, 3, 0),)])
row(np.gradient,      real, complex=True, tries=[call(axis=0), call(0.5, axis=-1), call(0.5, axis=1, edge_order=2), call(2.0, axis=(1,))], shapes=[((3, 4),), ((2, 4),), ((3, 4, 2),), ((3, 4, 0),)])
row(np.unwrap,        first, tries=[*one_axis, call(4.0), call(None, 1), call(discont=4.0, period=4.0)], shapes=[*cube, ((2, 2, 0),)])

# -- interpolation

row(numeric.piecewise_linear, between_knots, knots, real, widens=True, shapes=[((7,), (4,), (4,)), ((2, 3), (3,), (3,)), ((), (4,), (4,)), ((3,), (1,), (1,)), ((0,), (2,), (2,))])
row(np.interp,        between_knots, knots, real, widens=True, tries=[call(), call(2.0), call(left=-1.0, right=1), call(None, 3.0), call(period=7.0), call(left=1.0, period=-6.0)], shapes=[((7,), (4,), (4,)), ((), (4,), (4,)), ((3,), (1,), (1,)), ((0,), (2,), (2,))])

# -- the Bessel function i0

row(np.i0,            nonzero)
row(numeric.bessel_ratio, wide, tries=[call(1), call(n=2)])

# -- polynomials

row(np.polyadd,       real, real, complex=True, shapes=coefficients)
row(np.polysub,       real, real, complex=True, shapes=coefficients)
row(np.polymul,       nonzero, nonzero, complex=True, shapes=coefficients)
row(np.polydiv,       real, led_by_two, outputs=2, shapes=[((4,), (2,)), ((5,), (3,)), ((3,), (3,)), ((2,), (3,))])  # of one coefficient the remainder is rounding
row(np.polyval,       real, real, complex=True, shapes=[((4,), (2, 3)), ((4,), ()), ((1,), (3,)), ((3,), (0,)), ((2, 3), (3,))])
row(polynomial.horner, real, real, complex=True, shapes=[((4,), (2, 3)), ((4,), ()), ((1,), (3,)), ((3,), (0,))])
row(np.polyder,       real, complex=True, widens=True, tries=[call(), call(2), call(m=0)], shapes=[((5,),), ((2,),), ((1,),), ((0,),)])
row(np.polyint,       real, complex=True, widens=True, tries=[call(), call(2), call(m=0)], shapes=[((4,),), ((1,),), ((0,),)])
row(np.poly,          real, shapes=[((4,),), ((1,),), ((3, 3),), ((1, 1),), ((),)])
row(polynomial.characteristic, real, complex=True, shapes=[((3, 3),), ((2, 2),), ((1, 1),)])
row(np.roots,         with_roots_apart, complex=True, shapes=[((4,),), ((3,),), ((2,),)])
row(np.vander,        real, complex=True, widens=True, tries=[call(), call(2), call(N=5, increasing=True), call(1), call(0)], shapes=line)
row(np.polyfit,       increasing, real, widens=True, tries=[call(1), call(deg=2), call(0, rcond=1e-9)], shapes=[((5,), (5,)), ((4,), (4, 2))])
row(np.trim_zeros,    nonzero, complex=True, tries=[call(), call("f"), call(trim="B")], shapes=[((5,),), ((1,),), ((0,),)])
