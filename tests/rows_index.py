"""Domains of the rules that pick elements by index or by condition."""

import numpy as np
from domains import Domain, booleans, call, integers, real, row, template

from autodiff.rules import index

near = Domain(lambda rng, shape: rng.integers(-2, 2, shape), "i")  # indices for axes of 2 or more
binary = Domain(lambda rng, shape: rng.integers(0, 2, shape), "i")

row(np.take,            real, near, complex=True, tries=[call(), call(0), call(axis=-1), call(axis=1, mode="wrap"), call(None, mode="clip")], shapes=[((3, 4), (5,)), ((2, 3, 4), (2, 2)), ((3, 2), ()), ((2, 3), (0,)), ((4, 2), (30,))])
row(np.take_along_axis, real, near, complex=True, tries=[call(0), call(axis=1), call(axis=-1)], shapes=[((3, 4), (3, 4)), ((3, 4), (1, 4)), ((3, 4), (3, 6)), ((3, 2), (0, 2)), ((2, 1, 3), (2, 5, 3))])
row(np.delete,          real, complex=True, tries=[call(1), call(-1, axis=1), call([0, 2, 2], 0), call(slice(None, None, 2)), call(slice(5, 1, -2), axis=1), call([]), call(obj=[True, False, True], axis=0)], shapes=[((3, 4),), ((3, 2, 2),), ((3, 0),)])
row(np.insert,          real, near, template, complex=True, tries=[call(axis=0), call(axis=1)], shapes=[((2, 2), (), (2,)), ((3, 4), (), ()), ((2, 3), (3,), ()), ((3, 3), (1,), (2, 3)), ((2, 2), (2,), (2, 2)), ((2, 3), (0,), ()), ((2, 2, 3), (), (2, 3)), ((2, 2, 3), (2,), (1, 3))])
row(np.compress,        booleans, real, complex=True, tries=[call(), call(axis=0), call(-1)], shapes=[((3,), (3, 4)), ((2,), (3, 4)), ((0,), (2, 3)), ((4,), (4, 4))])
row(np.extract,         booleans, real, complex=True, shapes=[((3, 4), (3, 4)), ((3,), (2, 3)), ((), ()), ((0, 2), (0, 2))])
row(np.choose,          binary, real, complex=True, tries=[call(), call(mode="wrap"), call(mode="clip")], shapes=[((3,), (2, 3)), ((2, 3), (4, 1, 3)), ((2, 1), (3, 4)), ((), (2,)), ((0,), (2, 1))])
row(np.select,          booleans, real, complex=True, tries=[call(), call(2.5), call(default=-1)], shapes=[((2, 3), (2, 3)), ((1, 3), (1, 2, 3)), ((3, 1), (3, 2))])
row(np.piecewise,       real, booleans, complex=True, tries=[call([np.sin, np.square]), call([np.exp, 2.5]), call([np.exp])], shapes=[((3,), (1, 3)), ((3,), (3,)), ((2, 3), (1, 2, 3)), ((0,), (1, 0)), ((), (1,))])

row(index.insertion,    near, tries=[call(3, 2), call(2, 1)], shapes=[((2,),), ((),), ((1,),)])
row(index.choice,       binary, tries=[call(2, "raise"), call(2, mode="wrap")])
row(np.ix_,             integers, booleans, shapes=[((3,), (2,)), ((0,), (2,))])
