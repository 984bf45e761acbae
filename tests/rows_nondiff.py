"""Rows of what has no derivative: positions, memberships, types."""

from __future__ import annotations

import numpy as np
from domains import Domain, booleans, call, few_zeros, first, integers, real, row, table

from autodiff.rules.nondiff import UFUNCS

bytes_ = Domain(lambda rng, shape: rng.integers(0, 256, shape).astype(np.uint8), "i")
squares = [((3, 3),), ((0, 0),)]

row(np.argwhere,       few_zeros,                  shapes=table)
row(np.flatnonzero,    few_zeros,                  shapes=table)
row(np.lexsort,        first,                      tries=[call(), call(axis=0)], shapes=table[:1])
row(np.digitize,       real, real,                 tries=[call(), call(right=True)], shapes=[((2, 3), (1,)), ((), (1,)), ((0,), (1,))])
row(np.isin,           real, real,                 tries=[call(), call(invert=True)])
row(np.array_equiv,    real, real)
row(np.ravel_multi_index, integers, integers,      sequence=True, tries=[call((9, 9)), call(dims=(9, 9), order="F"), call((5, 5), mode="wrap")], shapes=[((2, 3), (2, 3)), ((3,), (3,)), ((), ())])
row(np.unravel_index,  integers,                   tries=[call((3, 3)), call(shape=(2, 5), order="F")])
row(np.diag_indices_from, real,                    shapes=[*squares, ((2, 2, 2),)])
row(np.tril_indices_from, real,                    tries=[call(), call(1), call(k=-1)], shapes=[*squares, ((2, 3),)])
row(np.triu_indices_from, real,                    tries=[call(), call(1), call(k=-1)], shapes=[*squares, ((2, 3),)])
row(np.common_type,    real, real)
row(np.min_scalar_type, real)
row(np.packbits,       booleans,                   tries=[call(), call(axis=0), call(bitorder="little")], shapes=table)
row(np.unpackbits,     bytes_,                     tries=[call(), call(axis=0), call(count=5)], shapes=[((2, 3),), ((4,),)])
row(UFUNCS["_ones_like"], real)
