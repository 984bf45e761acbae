"""Rows of quantiles, covariances, counts, and of the functions that leave nan out. The rest is in test_sort.py and test_reduce.py."""

from __future__ import annotations

import numpy as np
from domains import Domain, axes, call, few_zeros, first, integers, labels, one_axis, real, row, unit

from autodiff.rules import statistics
from autodiff.rules.statistics import METHODS, TAKES_ONE

chances = np.array([0.24, 0.26, 0.345, 0.435, 0.48, 0.515, 0.56, 0.65, 0.74, 0.76])  # off the steps and knots of every method
fraction = Domain(lambda rng, shape: rng.choice(chances, shape))
percent = Domain(lambda rng, shape: 100 * rng.choice(chances, shape))
shapes = [((2, 3, 2),), ((5,),), ((),)]
kept = [call(), call(axis=0), call(axis=(0, -1)), call(axis=1, keepdims=True), call(keepdims=True)]
full = [((2, 3, 2),), ((4, 3, 2),)]
every_method = [call(method=m) for m in METHODS if m not in TAKES_ONE]
along = [call(1), call((0, 2), keepdims=True), call(axis=0)]
observations = [((3, 5),), ((5,),), ((2, 4),)]
covariances = [call(), call(rowvar=False), call(bias=True), call(ddof=0)]

row(np.median,        first,                      tries=kept, shapes=shapes)
row(np.quantile,      first, fraction,            tries=[*every_method, *along], shapes=[((2, 3, 2), (2,)), ((2, 3, 2), (2, 2))])
row(np.percentile,    first, percent,     tries=[*every_method, *along], shapes=[((2, 3, 2), (2,)), ((2, 3, 2), (1,))])

row(np.cov,           real,                       complex=True, widens=True, tries=covariances, shapes=observations)
row(np.corrcoef,      real,                       complex=True, widens=True, tries=[call(), call(rowvar=False)], shapes=[((3, 5),), ((5, 4),)])
row(statistics.within_one, unit)
row(np.bincount,      integers, real,             widens=True, tries=[call(), call(12), call(minlength=3)], shapes=[((6,), (6,)), ((0,), (0,))])
row(statistics.weighted_counts, real, labels,     widens=True, tries=[call(), call(9)], shapes=[((4,), (4,)), ((0,), (0,))])
row(statistics.one,   real)
row(np.histogram,     real,                       outputs=2, widens=True, tries=[call(), call(bins=3, density=True)], shapes=[((3, 4),), ((7,),)])
row(np.histogram2d,   real, real,                 outputs=3, widens=True, tries=[call(), call(4), call(bins=(3, 2), density=True)], shapes=[((7,), (7,))])
row(np.histogramdd,   real,                       outputs=1, widens=True, tries=[call(3), call((2, 3, 1)), call((2, 3, 2), density=True)], shapes=[((9, 3),)])
row(np.histogram_bin_edges, real,                 tries=[call(), call(4), call("auto")], shapes=[((3, 4),), ((7,),)])

row(np.nansum,        real,                       complex=True, tries=[*axes, call(dtype=np.float64)])
row(np.nanprod,       few_zeros,                  complex=True, tries=[*axes, call(dtype=np.float64)])
row(np.nancumsum,     real,                       complex=True, tries=one_axis)
row(np.nancumprod,    few_zeros,                  complex=True, tries=one_axis)
row(np.nanmax,        first,                      tries=axes)
row(np.nanmin,        first,                      tries=axes)
row(np.nanmean,       real,                       complex=True, tries=axes, shapes=full)
row(np.nanvar,        first,                      complex=True, tries=[*axes[:6], call(axis=1, ddof=1), call(correction=1, axis=0)], shapes=full)
row(np.nanstd,        first,                      complex=True, tries=[*axes[:6], call(axis=1, ddof=1), call(correction=1, axis=0)], shapes=full)
row(np.nanmedian,     first,                      tries=kept, shapes=shapes)
row(np.nanquantile,   first, fraction,            tries=[*every_method, *along], shapes=[((2, 3, 2), (2,)), ((2, 3, 2), (1,))])
row(np.nanpercentile, first, percent,     tries=[call(), *along], shapes=[((2, 3, 2), (2,)), ((2, 3, 2), (1,))])
row(np.nanargmax,     first,                      tries=[*one_axis, call(axis=0, keepdims=True)])
row(np.nanargmin,     first,                      tries=[*one_axis, call(axis=0, keepdims=True)])
