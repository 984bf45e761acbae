"""Plain NumPy programs: linear algebra and Fourier transforms. They know nothing of differentiation."""

from functools import partial

import numpy as np
from programs import at

# -- linear algebra

algebra = partial(at, "linear algebra")


def symmetric(x):
    a = x.reshape(3, 3)
    return a @ a.T + np.diag(np.array([1.0, 2.0, 4.0]))


@algebra(shape=(3, 3))
def solve_system(x):
    A = x + 3 * np.eye(3)
    return np.sum(np.linalg.solve(A, x[0]) * np.linalg.solve(A, x)[1])


@algebra(shape=9)
def ground_state(x):
    energies, states = np.linalg.eigh(symmetric(x))
    return energies[0] + states[0, 0] ** 2 * energies[2] + np.linalg.eigvalsh(symmetric(x))[1]


@algebra(shape=(4, 3))
def truncated_svd(x):
    U, s, Vt = np.linalg.svd(x, full_matrices=False)
    low = (U[:, :2] * s[:2]) @ Vt[:2]
    return np.sum(low**3) + s[2]


@algebra(shape=(4, 3))
def qr_projection(x):
    Q, R = np.linalg.qr(x)
    return np.sum((Q @ (Q.T @ np.arange(4.0))) ** 2) + np.abs(np.diag(R)).prod()


@algebra(shape=9)
def gaussian_log_density(x):
    S = symmetric(x)
    L = np.linalg.cholesky(S)
    z = np.linalg.solve(L, x[:3])
    return -0.5 * z @ z - np.log(np.diag(L)).sum() - 1.5 * np.log(2 * np.pi)


@algebra(shape=(5, 3))
def least_squares_fit(x):
    coefficients, residual, rank, _ = np.linalg.lstsq(x[:, :2], x[:, 2], rcond=None)
    return coefficients @ np.array([1.0, 2.0]) + residual[0] * rank


@algebra(shape=9)
def determinants(x):
    sign, logdet = np.linalg.slogdet(symmetric(x))
    return sign * logdet + np.linalg.det(x.reshape(3, 3))


@algebra(shape=(3, 3))
def inverses(x):
    return np.trace(np.linalg.inv(x + 2 * np.eye(3))) + np.sum(np.linalg.pinv(x[:, :2]) ** 2)


@algebra(shape=(3, 4))
def norms(x):
    n = np.linalg.norm
    return n(x) * n(x, axis=1).sum() + n(x, 2) + n(x, "nuc") + n(x, 1) + n(x[0], np.inf) + n(x[1], 3)


@algebra(shape=(2, 3, 3))
def einsum_chain(x):
    return np.einsum("aij,bjk,abik->", x, x, np.ones((2, 2, 3, 3))) + np.einsum("aii->a", x) @ np.array([1.0, 2.0])


@algebra(shape=(2, 2))
def kronecker_spins(x):
    sz = np.array([[1.0, 0.0], [0.0, -1.0]])
    H = np.kron(x + x.T, sz) + np.kron(sz, x @ x.T)
    return np.linalg.eigvalsh(H)[0] + np.trace(np.linalg.matrix_power(H, 3))


@algebra(shape=(3, 3), low=0.1, high=1.0)
def dominant_eigenvalue(x):
    return np.max(np.linalg.eigvals(x).real) + np.sum(np.linalg.eig(x)[0].real ** 2)


@algebra(shape=(2, 3))
def products_of_vectors(x):
    a, b = x
    return np.cross(a, b) @ np.array([1.0, 2.0, 3.0]) + np.outer(a, b)[0, 2] * np.inner(a, b) + np.vdot(a, a)


@algebra(shape=(2, 3, 4))
def contractions(x):
    G = np.tensordot(x, x, axes=([0, 2], [0, 2]))
    return np.linalg.multi_dot([G, G, np.ones(3)]).sum() + np.trace(np.tril(G) @ np.triu(G, 1))


@algebra(shape=(3, 3))
def exponential_series(x):
    term = E = np.eye(3)
    for k in range(1, 15):
        term = term @ x / k
        E = E + term
    return np.sum(E * E)


# -- Fourier transforms

fourier = partial(at, "fft")


@fourier(shape=8)
def power_spectrum(x):
    p = np.abs(np.fft.rfft(x)) ** 2
    return np.sum(p[1:-1] * np.fft.rfftfreq(8)[1:-1]) / np.sum(p)


@fourier(shape=8)
def circular_convolution(x):
    return np.sum(np.fft.ifft(np.fft.fft(x) * np.fft.fft(np.roll(x, 2))).real ** 2)


@fourier(shape=(4, 6))
def low_pass_image(x):
    F = np.fft.fftshift(np.fft.fft2(x))
    F[0] = 0
    return np.sum(np.abs(np.fft.ifft2(np.fft.ifftshift(F))) ** 2 * np.arange(6))


@fourier(shape=7, low=0.2, high=1.0)
def spectral_derivative(x):
    k = 2j * np.pi * np.fft.fftfreq(7)
    return np.sum(np.fft.ifft(k * np.fft.fft(x)).real ** 3) + np.fft.irfft(np.fft.rfft(x, 8) ** 2)[3]
