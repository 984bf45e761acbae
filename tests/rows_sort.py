"""Rows of sorting, order statistics and sets. What a row cannot say is in test_sort.py."""

from __future__ import annotations

from math import prod

import numpy as np
from domains import Domain, call, cube, first, one_axis, row, second

from autodiff.rules import sort

any_axis = [*one_axis, call(axis=None)]
places = np.array([[3, 0], [5, 2]])
large = Domain(lambda rng, shape: (rng.permutation(prod(shape)).reshape(shape) + 1) * 2.0**60)  # a small step leaves them as they are
others = Domain(second.draw, "t")
pairs = [((5,), (4,)), ((2, 3), (4,)), ((0,), (3,))]

row(np.sort,          first,                      complex=True, tries=[*any_axis, call(kind="stable"), call(0, kind="heapsort"), call(stable=True)], shapes=[((2, 3, 2),), ((7,),), ((0, 3),), ((),)])
row(np.partition,     first,                      complex=True, tries=[call(1), call((0, 1), axis=0), call(2, axis=None), call(-1, 1)], shapes=[((2, 3, 2),), ((40,),), ((2, 3),)])
row(np.sort_complex,  first,                      complex=True, widens=True, shapes=[((2, 3),), ((4,),), ((0,),)])
row(sort.gather,      first,                      complex=True, tries=[call(places), call(places[0])], shapes=[((2, 3),), ((6,),)])
row(sort.scatter,     first,                      complex=True, tries=[call(places, (2, 3)), call(places, (6,))], shapes=[((2, 2),)])
row(sort.order_statistics, first,                 complex=True, tries=[call(np.array([[0], [2], [2]]), 1), call(np.array([[0, 2], [1, 1]]), axis=-1), call(np.array([1]), keepdims=True), call(np.array([[[1]]]), (1, 0), numbers=True)], shapes=[((2, 3),), ((2, 5),)])

row(np.unique,        first,                      complex=True, tries=[call(), call(axis=0), call(axis=-1)], shapes=[((2, 3, 2),), ((4,),), ((),), ((0, 3),)])
row(np.unique_values, first,                      shapes=[((2, 3),), ((4,),)])
row(np.unique_all,    first,                      outputs=1, shapes=[((2, 3),), ((4,),)])
row(np.unique_counts, first,                      outputs=1, shapes=[((2, 3),), ((4,),)])
row(np.unique_inverse, first,                     outputs=1, shapes=[((2, 3),), ((4,),)])
row(np.union1d,       first, second,              shapes=pairs)
row(np.setdiff1d,     first, others,              tries=[call(), call(assume_unique=True)], shapes=pairs)
row(np.setxor1d,      first, second,              tries=[call(), call(assume_unique=True)], shapes=[((5,), (4,)), ((0,), (3,))])
row(np.intersect1d,   large, large,               tries=[call(), call(True)], shapes=[((5,), (5,)), ((2, 3), (4,)), ((3,), (0,))])

row(np.argsort,       first,                      tries=[call(), call(axis=0), call(axis=None), call(kind="stable")])
row(np.argpartition,  first,                      tries=[call(1), call(0, axis=0), call(0, axis=None)], shapes=cube[:1])
