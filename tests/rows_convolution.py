"""Rows of convolution and pooling. Groups of one, other numbers of axes and bad arguments are in test_convolution.py."""

from __future__ import annotations

import numpy as np
from domains import Domain, call, first, real, row

from autodiff.rules import convolution, pooling
from autodiff.rules.convolution import Geometry

image, kernel, out = (2, 4, 5, 4), (6, 2, 3, 2), (2, 6, 3, 3)
geometries = [
    call(Geometry((5, 4), (3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), 2)),
    call(Geometry((5, 4), (3, 2), (2, 2), ((1, 1), (1, 1)), (1, 1), 2)),
    call(Geometry((5, 4), (3, 2), (1, 1), ((0, 2), (1, 0)), (2, 2), 2)),
]

row(convolution.conv,        real, real, complex=True, tries=geometries, shapes=[(image, kernel), ((0, *image[1:]), kernel)])
row(convolution.conv_input,  real, real, complex=True, tries=geometries, shapes=[(out, kernel), ((0, *out[1:]), kernel)])
row(convolution.conv_kernel, real, real, complex=True, tries=geometries, shapes=[(image, out), ((0, *image[1:]), (0, *out[1:]))])

which = Domain(lambda rng, shape: rng.integers(0, 6, shape).astype(np.int32), "i")
pooled = (2, 3, 3)
pools = [call(geometry._replace(groups=1)) for (geometry,), _ in geometries]

row(pooling.max_pool, first,       tries=pools, shapes=[((2, 5, 4),), ((0, 5, 4),), ((5, 4),)])
row(pooling.sum_pool, real,        complex=True, tries=pools, shapes=[((2, 5, 4),), ((0, 5, 4),), ((5, 4),)])
row(pooling.spread,   real,        complex=True, tries=pools, shapes=[(pooled,), ((0, 3, 3),), ((3, 3),)])
row(pooling.pick,     real, which, complex=True, tries=pools[:2], shapes=[((2, 5, 4), pooled)])
row(pooling.unpick,   real, which, complex=True, tries=pools[:2], shapes=[(pooled, pooled)])
