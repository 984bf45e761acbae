"""Rows of einsum, tensordot and the other contractions. What a row cannot say is in test_contract.py."""

from __future__ import annotations

import numpy as np
from domains import call, real, row

from autodiff.rules import contract, einsum

pair = ((2, 3), (3, 2))
empty_pair = ((0, 3), (3, 0))
vectors = [((3,), (3,)), ((2, 3), (3,)), ((3,), (4, 2, 3)), ((2, 1, 3), (4, 3)), ((0, 3), (3,))]
matrices = [((2, 3, 2),), ((3, 3, 2),), ((0, 3, 3),)]
square = [((3, 3),), ((0, 0),)]

subscripts = [
    call("ab,bc->ac"), call("ab,bc->ca"), call("ab,bc->abc"), call("ab,ba->"), call("ab,ba->ba"), call("ab,ba->a"), call("ab,cd->dbca"), call("ab,bc->cba"),
]
diagonals = [call("ab->ba"), call("ab->a"), call("ab->"), call("aa->"), call("aa->a"), call("ab->ab")]
lists = [call([0, 1], [1, 0]), call([0, 1], [0]), call([0, 0]), call([0, 0], [0]), call([0, ...], [..., 0]), call([1, 0], order="F"), call([0, 1], optimize=True)]

row(np.einsum,        real,                       complex=True, tries=lists, shapes=square)
row(np.einsum_path,   real,                       tries=[call([0, 1], [1, 0]), call([0, 1], [0], optimize="optimal")], shapes=square)
row(einsum.contract,  real, real,                 complex=True, tries=subscripts, shapes=[pair, empty_pair])
row(einsum.rearrange, real,                       complex=True, tries=diagonals, shapes=square)
row(np.tensordot,     real, real,                 complex=True, tries=[call(1), call(0), call(axes=([0, -1], [1, 0])), call(axes=((-2,), (1,))), call(([], []))], shapes=[pair, empty_pair, ((2, 3, 4), (4, 3, 2)), ((), ())])
row(np.kron,          real, real,                 complex=True, shapes=[pair, ((2,), (3,)), ((2, 1), (3,)), ((2,), (2, 1, 3)), ((), (2, 2)), ((), ()), ((0, 2), (2,))])
row(np.vdot,          real, real,                 complex=True, shapes=[((3,), (3,)), ((2, 3), (3, 2)), ((), ()), ((0,), (0,))])
row(np.vecdot,        real, real,                 complex=True, tries=[call(), call(axis=-1), call(keepdims=True), call(axes=[-1, -1])], shapes=vectors)
row(np.cross,         real, real,                 complex=True, tries=[call(), call(axisc=0), call(axis=-1), call(-1, -1, 0)], shapes=vectors)
row(contract.cross_product, real, real,           complex=True, shapes=vectors)
row(np.trace,         real,                       complex=True, tries=[call(), call(1), call(offset=-1), call(5), call(0, 1, 0), call(axis1=-1, axis2=0), call(dtype=np.float64)], shapes=[*matrices, *square])

if hasattr(np, "matvec"):  # NumPy 2.2
    row(np.matvec,    real, real,                 complex=True, tries=[call(), call(axes=[(-2, -1), -1, -1])], shapes=[((2, 3), (3,)), ((4, 2, 3), (3,)), ((2, 3), (4, 3)), ((4, 1, 2, 3), (5, 3)), ((0, 3), (3,)), ((2, 0), (0,))])
    row(np.vecmat,    real, real,                 complex=True, tries=[call(), call(axes=[-1, (-2, -1), -1])], shapes=[((2,), (2, 3)), ((4, 2), (2, 3)), ((2,), (4, 2, 3)), ((0,), (0, 3)), ((5, 2), (4, 1, 2, 3))])
