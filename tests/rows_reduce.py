"""Rows of the reductions and the cumulative functions. What a row cannot say is in test_reduce.py."""

from __future__ import annotations

import numpy as np
from domains import axes, call, cube, few_zeros, first, one_axis, real, row

from autodiff.rules import reduce

where = np.arange(12).reshape(2, 3, 2) % 5 != 1
column = np.array([[True], [False], [True]])
chosen = [call(where=where), call(axis=1, where=where), call(axis=(0, 2), where=column, keepdims=True), call(axis=0, where=where[:, :1])]
started = [call(initial=0.7), call(axis=1, initial=2.0), call(axis=1, initial=0.3, where=where)]
lowest, highest = call(axis=1, initial=-9.0, where=where), call(axis=1, initial=9.0, where=where)
spread = [*axes, call(ddof=1), call(axis=(0, 1), ddof=1, keepdims=True)]
some = [call(where=where), call(axis=1, ddof=1, where=where, keepdims=True), call(axis=(0, 1), where=column)]
around = [call(mean=0.3), call(axis=1, mean=-0.2, ddof=1, keepdims=True), call(axis=(0, 1), mean=0.4, where=column), call(0, correction=0.5)]
full = [((2, 3, 2),), ((4, 3, 2),)]  # where no variance is nan
indices = [call((0, 1), 0), call((0, 0, 2), 1), call((1, 0, 1), -2), call((1,), axis=-1)]

row(np.sum,           real,                       complex=True, tries=[*axes, call(dtype=np.float64), call(0), *chosen, *started])
row(np.mean,          real,                       complex=True, tries=[*axes, call(dtype=np.float64), call(0), *chosen])
row(np.prod,          few_zeros,                  complex=True, tries=[*axes, call(dtype=np.float64), *chosen, *started])
row(np.max,           first,                      complex=True, tries=[*axes, call(initial=0.1), lowest, call(axis=1, initial=0.2, where=where)])
row(np.min,           first,                      complex=True, tries=[*axes, call(initial=0.1), highest, call(axis=1, initial=0.2, where=where)])
row(np.amax,          first,                      tries=axes)
row(np.amin,          first,                      tries=axes)
row(np.ptp,           first,                      tries=[call(), call(axis=0), call(axis=-1, keepdims=True), call(axis=(0, 1))])
row(np.var,           first,                      complex=True, tries=[*spread, *some, *around], shapes=full)
row(np.std,           first,                      complex=True, tries=[*spread, *some, *around], shapes=full)
row(np.average,       real,                       complex=True, tries=[call(), call(0), call(axis=(0, -1), keepdims=True)], shapes=[((2, 3),), ((),), ((2, 3, 4),)])
row(np.cumsum,        real,                       complex=True, tries=[*one_axis, call(axis=0, dtype=np.float64)])
row(np.cumprod,       few_zeros,                  complex=True, tries=[*one_axis, call(axis=0, dtype=np.float64)], shapes=[((2, 3, 2),), ((),), ((7, 5),), ((0, 3),), ((8,),)])

if hasattr(np, "cumulative_sum"):
    row(np.cumulative_sum,  real,                 complex=True, tries=[call(axis=0), call(axis=-1, include_initial=True), call(axis=1, dtype=np.float64)], shapes=cube)
    row(np.cumulative_prod, few_zeros,            complex=True, tries=[call(axis=0), call(axis=-1, include_initial=True), call(axis=1, dtype=np.float64)], shapes=cube)

row(reduce.variance,         first,               complex=True, tries=spread)
row(reduce.spread,           first,               complex=True, tries=spread)
row(reduce.magnitude,        first,               complex=True, tries=axes)
row(reduce.running_extremum, first,               complex=True, tries=[call(0, np.maximum), call(-1, np.minimum), call(1, np.maximum)], shapes=[((2, 3, 2),), ((5, 3),)])
row(reduce.segment_sum,      real,                complex=True, tries=indices, shapes=[((3, 4),), ((4, 3, 2),)])

row(reduce.detached,  few_zeros,                  tries=[call(np.argsort), call(np.sum), call(np.percentile, 30.0, axis=0)], shapes=[((2, 3),)])
row(np.argmax,        first,                      tries=[*one_axis, call(axis=0, keepdims=True)])
row(np.argmin,        first,                      tries=[*one_axis, call(axis=0, keepdims=True)])
row(np.count_nonzero, few_zeros,                  tries=axes)
row(np.any,           few_zeros,                  tries=[*axes, *chosen])
row(np.all,           few_zeros,                  tries=[*axes, *chosen])
