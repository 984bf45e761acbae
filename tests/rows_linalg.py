"""Rows of numpy.linalg. Vectors that have a phase, repeated values and singular matrices are in test_linalg.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from domains import Array, Domain, Generator, Shape, call, nonzero, real, row

from autodiff.rules import linalg, linalg_decompositions


class Matrices(Domain):
    """Stacks of matrices. `draw` takes a unit besides: 0.0, or 1j for complex ones."""

    def complex(self, rng: Generator, shape: Shape) -> Array:
        return self.draw(rng, shape, 1j)  # type: ignore[call-arg]


def noise(rng: Generator, shape: Shape, unit: Any) -> Array:
    return rng.normal(size=shape) + unit * rng.normal(size=shape)


def spaced(rng: Generator, shape: Shape) -> Array:
    """Descending numbers along the last axis, the last about 2: far apart for the steps of finite differences."""
    return np.arange(shape[-1], 0, -1) * 1.2 + 0.8 + rng.uniform(0, 0.4, shape)


def of_spectrum(rng: Generator, shape: Shape, unit: Any = 0.0) -> Array:
    """Singular values between 1 and a few, well apart."""
    *stack, m, n = shape
    s = spaced(rng, (*stack, min(m, n)))
    u, v = (np.linalg.qr(noise(rng, (*stack, k, s.shape[-1]), unit))[0] for k in (m, n))
    return (u * s[..., None, :]) @ v.conj().mT


def hermitian(rng: Generator, shape: Shape, unit: Any = 0.0, sign: float = -1.0) -> Array:
    """Eigenvalues of both signs (positive ones with sign=1), well apart, as are their sizes."""
    *stack, m, n = shape
    if m != n:
        return of_spectrum(rng, shape, unit)
    w = spaced(rng, (*stack, n)) * sign ** np.arange(n)
    v = np.linalg.qr(noise(rng, (*stack, n, n), unit))[0]
    return (v * w[..., None, :]) @ v.conj().mT


def diagonalizable(rng: Generator, shape: Shape, unit: Any = 0.0) -> Array:
    """Real eigenvalues, if not all is complex, well apart; no triangle is the other's mirror image."""
    n = shape[-1]
    w = spaced(rng, (*shape[:-2], n)) * (1 + unit) ** np.arange(n)
    v = np.eye(n) + 0.2 * noise(rng, shape, unit)
    return (v * w[..., None, :]) @ np.linalg.inv(v)


def lopsided(rng: Generator, shape: Shape, unit: Any = 0.0) -> Array:
    """Sums of rows and of columns well apart, in the inverse too, and nothing near 0."""
    small = nonzero.draw(rng, shape) + unit * nonzero.draw(rng, shape)
    return 0.2 * small + np.eye(*shape[-2:]) * (1.0 + np.arange(shape[-1]))


regular, symmetric, separated, uneven = map(Matrices, (of_spectrum, hermitian, diagonalizable, lopsided))
box = Matrices(lambda rng, shape, unit=0.0: of_spectrum(rng, (math.isqrt(math.prod(shape)),) * 2, unit).reshape(shape))
definite = Matrices(lambda rng, shape, unit=0.0: hermitian(rng, shape, unit, 1.0))

inf = math.inf
square = [((3, 3),), ((1, 1),), ((2, 3, 3),), ((0, 2, 2),), ((0, 0),)]
oblong = [((3, 3),), ((4, 2),), ((2, 4),), ((2, 3, 2),), ((2, 2, 3),), ((3, 1),), ((1, 2),), ((0, 3, 2),), ((0, 3),), ((2, 0),)]
equations = [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 3, 1)), ((2, 1, 3, 3), (4, 3, 2)), ((1, 1), (1,)), ((0, 2, 2), (2,)), ((0, 0), (0,)), ((2, 2), (2, 0))]
lengths = [call(), call(1), call(2), call(3), call(0.5), call(-1), call(-2.5), call(inf), call(-inf), call(0)]
vectors = [call(axis=0), call(1, -1), call(2, axis=1), call(3, 0, True), call(0.5, axis=0), call(-1, axis=(1,)), call(-2.5, 1, keepdims=True), call(inf, axis=-1), call(-inf, axis=0), call(0, axis=1)]
matrices = [call(ord="fro", axis=(0, 1)), call("f", (1, 0), True), call(None, (0, -1)), *[call(p, axis, k) for p in (1, -1, 2, -2, inf, -inf, "nuc") for axis, k in (((0, 1), False), ((1, 0), True))]]
norms = [call(), call(keepdims=True), *vectors, *matrices]
orders = [call(), call(keepdims=True), *[call(ord=p) for p in (1, -1, 2, -2, inf, -inf, "nuc", "fro")], call(ord=2, keepdims=True)]
over = [call(), call(axis=0), call(axis=-1, ord=3), call(axis=(0, 1), ord=1), call(axis=(1, 0), ord=inf, keepdims=True), call(ord=-1.5, axis=-1, keepdims=True), call(ord=-inf), call(ord=0)]
triples = [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 2, 3)), ((0, 3), (3,))]

# -- decompositions

row(np.linalg.cholesky, definite,                 complex=True, tries=[call(), call(upper=True)], shapes=square)
row(np.linalg.qr,     regular,                    complex=True, tries=[call(), call("reduced"), call(mode="reduced")], shapes=oblong, outputs=2)
row(linalg_decompositions.qr_factors, regular,    complex=True, tries=[call(), call("reduced")], shapes=oblong, outputs=2)
row(np.linalg.eigh,   symmetric,                  tries=[call(), call("U"), call(UPLO="l")], shapes=square, outputs=2)
row(np.linalg.eigvalsh, symmetric,                complex=True, tries=[call(), call("U"), call(UPLO="l")], shapes=square)
row(np.linalg.eig,    separated,                  shapes=square, outputs=2)
row(np.linalg.eigvals, separated,                 complex=True, shapes=square)
row(np.linalg.svd,    symmetric,                  tries=[call(), call(False), call(full_matrices=False, hermitian=True), call(True, True, True)], shapes=square, outputs=3)
row(linalg_decompositions.svd_factors, regular,   tries=[call(False)], shapes=oblong, outputs=3)
row(np.linalg.svdvals, regular,                   complex=True, shapes=oblong)
row(linalg_decompositions.ratio, nonzero, nonzero, complex=True)
row(linalg_decompositions.half, real,             complex=True, tries=[call(), call(True)], shapes=square)
row(linalg_decompositions.mirror, real,           complex=True, tries=[call(), call(upper=True)], shapes=square)
row(linalg_decompositions.fold, real,             complex=True, tries=[call(), call(upper=True)], shapes=square)

# -- norms

row(np.linalg.norm,   nonzero,                    complex=True, tries=norms, shapes=[((2, 3),), ((3, 2, 4),), ((0, 3),)])
row(linalg.norm_along, nonzero,                   complex=True, tries=lengths, shapes=[((3,),), ((1,),), ((0,),), ((),)])
row(np.linalg.vector_norm, nonzero,               complex=True, tries=over, shapes=[((2, 3),), ((2, 3, 2),), ((3,),), ((0, 3),), ((),)])
row(np.linalg.matrix_norm, nonzero,               complex=True, tries=orders, shapes=[((2, 3),), ((2, 3, 2),), ((0, 2, 3),), ((0, 3),)])
row(np.linalg.cond,   uneven,                     complex=np.linalg.cond(np.eye(1) * 1j, 1).dtype == float, tries=[call(), *[call(p) for p in (1, -1, 2, -2, inf, -inf, "nuc")], call(p="fro")], shapes=[((3, 3),), ((2, 3, 3),), ((0, 2, 2),), ((3, 2),)])

# -- determinants, inverses, equations

row(np.linalg.det,    regular,                    complex=True, shapes=square)
row(linalg.cofactors, regular,                    complex=True, shapes=square)
row(linalg.cofactors_along, real, regular,        complex=True, shapes=[((3, 3), (3, 3)), ((1, 1), (1, 1)), ((2, 3, 3), (2, 3, 3)), ((0, 2, 2), (0, 2, 2)), ((0, 0), (0, 0))])
row(np.linalg.slogdet, regular,                   complex=True, shapes=square, outputs=2)
row(np.linalg.inv,    regular,                    complex=True, shapes=square)
row(linalg.inverse,   regular,                    complex=True, shapes=square)
row(np.linalg.pinv,   symmetric,                  complex=True, tries=[call(), call(1e-10), call(rcond=1e-8, hermitian=True), call(None, True), call(rtol=1e-9), call(rtol=None)], shapes=oblong[:-1])
row(np.linalg.matrix_rank, regular,               tries=[call(), call(tol=1e-3), call(rtol=1e-3), call(hermitian=True)], shapes=square[:3])
row(np.linalg.solve,  regular, real,              complex=True, shapes=equations)
row(np.linalg.lstsq,  regular, real,              complex=True, tries=[call(), call(None), call(rcond=1e-9), call(-1)], shapes=[((5, 2), (5,)), ((4, 2), (4, 2)), ((2, 3), (2, 1)), ((2, 4), (2,)), ((3, 3), (3, 2))], outputs=4)
row(np.linalg.tensorinv, box,                     complex=True, tries=[call(), call(ind=2)], shapes=[((2, 2, 4),), ((2, 2, 2, 2),)])
row(np.linalg.tensorsolve, box, real,             complex=True, tries=[call(), call(axes=(0, 1)), call(axes=[3, 2])], shapes=[((2, 2, 2, 2), (2, 2)), ((2, 2, 4), (4,))])

# -- products

row(np.linalg.matrix_power, regular,              complex=True, tries=[call(0), call(1), call(2), call(3), call(n=7), call(-1), call(-2)], shapes=square)
row(np.linalg.multi_dot, real, real, real,        complex=True, sequence=True, shapes=[((2, 3), (3, 4), (4, 2)), ((4, 3), (3, 2), (2, 1)), ((3,), (3, 4), (4, 2)), ((2, 3), (3, 4), (4,)), ((3,), (3, 4), (4,)), ((0, 3), (3, 2), (2, 2))])
row(np.linalg.cross,  real, real,                 complex=True, tries=[call(), call(axis=-1)], shapes=triples)
row(np.linalg.outer,  real, real,                 complex=True, shapes=[((2,), (3,)), ((0,), (3,)), ((1,), (1,))])
row(np.linalg.matmul, real, real,                 complex=True, shapes=[((2, 3), (3, 4)), ((3,), (3,)), ((2, 2, 3), (3,)), ((0, 3), (3, 2))])
row(np.linalg.vecdot, real, real,                 complex=True, tries=[call(), call(axis=-1)], shapes=triples)
row(np.linalg.tensordot, real, real,              complex=True, tries=[call(), call(axes=1), call(axes=([0], [1]))], shapes=[((2, 2), (2, 2)), ((2, 3), (3, 2))])
row(np.linalg.matrix_transpose, real,             complex=True, shapes=oblong)
row(np.linalg.diagonal, real,                     complex=True, tries=[call(), call(offset=1), call(offset=-1)], shapes=oblong)
row(np.linalg.trace,  real,                       complex=True, tries=[call(), call(offset=1), call(dtype=np.float64)], shapes=oblong)
