"""Matrix decompositions: Cholesky, QR, eigenvalues and singular values.

The maps turn the cotangents into the basis that the decomposition has found. There the derivative is
elementwise: a division by the gaps between eigenvalues, say, as in perturbation theory.

Two conventions:

- Repeated values. The vectors of equal eigenvalues (or singular values) are any basis of the space that they
  span, and have no derivative. Where their cotangent is exactly 0 it contributes 0, so a function of the
  values alone has its gradient there. Otherwise the gradient is inf or nan, and never a wrong number. So it is
  with the second derivative of a function of the values, which asks for the derivative of the vectors.
- Phases. Complex vectors may be multiplied by any phase. Their derivative is that with the phase held still,
  and a function that depends on the phase has no derivative to speak of. Likewise for the columns by which
  `full_matrices=True` and `mode="complete"` complete a basis: only what they span together means something.

What reads one triangle of a Hermitian matrix (cholesky, eigh) has its gradient in that triangle.
"""

import numpy as np

from ..arrays import arange_like, dispatchable
from ..errors import OperandError
from ..rule import composite, elementwise, general, linear

__all__ = ["adjoint", "conjugate", "diagonal", "fold", "half", "hollow", "mirror", "qr_factors", "ratio", "svd_factors", "transpose"]


# -- what the maps are made of

def transpose(x):
    return x.swapaxes(-1, -2)


def conjugate(x):
    return x.conj() if x.dtype.kind == "c" else x


def adjoint(x):
    return conjugate(transpose(x))


def diagonal(w):
    """The matrix with `w` on its diagonal."""
    i = arange_like(w, w.shape[-1])
    return w[..., None, :] * (i[:, None] == i)


def hollow(x):
    """The matrix `x` with zeros on its diagonal."""
    i = arange_like(x, x.shape[-1])
    return x * (i[:, None] != i)


def gaps(w):
    """`w_j - w_i` at [i, j], and 1 on the diagonal."""
    i = arange_like(w, w.shape[-1])
    return w[..., None, :] - w[..., :, None] + (i[:, None] == i)


@dispatchable
def ratio(x, y):
    """`x / y`, but 0 wherever x is 0, even if y is 0 too."""
    return np.where(x == 0, 0.0, x / y)


@dispatchable
def half(x, upper=False):
    """The lower (upper) triangle of `x`, and half of the diagonal."""
    i = arange_like(x, x.shape[-1])
    rows, columns = (i, i[:, None]) if upper else (i[:, None], i)
    return x * (0.5 * (rows > columns) + 0.5 * (rows >= columns)).astype(x.dtype)


@dispatchable
def mirror(x, upper=False):
    """The Hermitian matrix that has the lower (upper) triangle of `x`."""
    x = half(x, upper)
    return x + adjoint(x)


@dispatchable
def fold(x, upper=False):
    """The transpose of `mirror`: what a cotangent of a Hermitian matrix means for one of its triangles."""
    return half(x + adjoint(x), upper)


elementwise(ratio, lambda g, y: ratio(g, y), lambda g, ans, y: -ratio(g * ans, y))
linear(half,       lambda g, x, upper=False: half(g, upper))
linear(mirror,     lambda g, x, upper=False: fold(g, upper))
linear(fold,       lambda g, x, upper=False: mirror(g, upper))


# -- Cholesky: dL = L half(L^-1 dA L^-H)

def cholesky_map(g, ans, upper=False):
    g, lower = (adjoint(g), adjoint(ans)) if upper else (g, ans)
    inverse = np.linalg.inv(lower)
    return fold(transpose(inverse) @ half(transpose(lower) @ g) @ conjugate(inverse), upper)


general(np.linalg.cholesky, None, cholesky_map)


# -- QR: with C = Q^H dA R^-1 and W its antihermitian part, such that C - W is upper triangular,
#    dQ = Q W + (1 - Q Q^H) dA R^-1 and dR = (C - W) R

@dispatchable
def qr_factors(x, mode="reduced"):
    return np.linalg.qr(x, mode)


def qr_map(g, ans, mode="reduced"):
    (gq, gr), (q, r) = g, ans
    gq = np.zeros_like(gr, shape=q.shape) if gq is None else gq
    gr = np.zeros_like(gq, shape=r.shape) if gr is None else gr
    k = min(q.shape[-2], r.shape[-1])
    gq, q = completed(gq, q, k), q[..., :k]
    square, beyond = r[..., :k, :k], gr[..., :k, k:]  # R = Q^H A in the further columns of a wide matrix
    more = conjugate(r[..., :k, k:]) @ adjoint(beyond)
    n = transpose(q) @ gq + more - gr[..., :k, :k] @ transpose(square)
    gq = gq + conjugate(q) @ (more + half(n - adjoint(n)) - n)
    first = transpose(np.linalg.solve(square, transpose(gq)))
    return first if r.shape[-1] == k else np.concatenate([first, conjugate(q) @ beyond], axis=-1)


def completed(g, q, k):
    """The cotangent of the first k columns of `q`, with that of the further ones, which stay orthogonal to them."""
    if q.shape[-1] == k:
        return g
    return g[..., :k] - conjugate(q[..., k:]) @ (adjoint(g[..., k:]) @ conjugate(q[..., :k]))


def qr(a, mode="reduced"):
    if mode in ("raw", "economic", "e"):
        raise OperandError(f'qr: no derivative for mode={mode!r}; use mode="reduced", "complete" or "r"')
    return qr_factors(a)[1] if mode == "r" else qr_factors(a, mode)


general(qr_factors, None, qr_map, outputs=2, name="qr")
composite(np.linalg.qr, qr)


# -- eigenvalues: with M = V^-1 dA V, dw_i = M_ii and dV = V (M_ij / (w_j - w_i) off the diagonal)

def eigh_map(g, ans, UPLO="L"):
    (gw, gv), (w, v) = g, ans
    left = 0.0 if gw is None else conjugate(v) * gw[..., None, :]
    if gv is not None:
        left = left + conjugate(v) @ ratio(hollow(transpose(v) @ gv), gaps(w))
    return fold(left @ transpose(v), UPLO in ("U", "u"))


def eig_map(g, ans):
    (gw, gv), (w, v) = g, ans
    inner = 0.0 if gw is None else diagonal(gw)
    if gv is not None:
        gv = gv - conjugate(v) * (v * gv).sum(axis=-2, keepdims=True)  # the columns of V keep their length
        inner = inner + ratio(hollow(transpose(v) @ gv), gaps(w))
    return np.linalg.solve(transpose(v), inner) @ transpose(v)


general(np.linalg.eigh, None, eigh_map, outputs=2)
general(np.linalg.eig,  None, eig_map,  outputs=2)
composite(np.linalg.eigvalsh, lambda a, UPLO="L": np.linalg.eigh(a, UPLO)[0])
composite(np.linalg.eigvals,  lambda a: np.linalg.eig(a)[0])


# -- singular values: with M = U^H dA V, ds_i = Re M_ii, and off the diagonal
#    dU = U (s_j M_ij + s_i M*_ji) / (s_j^2 - s_i^2), dV = V (s_i M_ij + s_j M*_ji) / (s_j^2 - s_i^2)

@dispatchable
def svd_factors(x, full_matrices=True, hermitian=False):
    """`np.linalg.svd` with its three results."""
    return np.linalg.svd(x, full_matrices, hermitian=hermitian)


def svd_map(g, ans, full_matrices=True, hermitian=False):
    (gu, gs, gv), (u, s, v) = g, ans
    k = s.shape[-1]
    left = 0.0 if gs is None else conjugate(u[..., :k]) * gs[..., None, :]
    if gu is None and gv is None:
        x = left @ conjugate(v[..., :k, :])
    else:
        gu = np.zeros_like(gv, shape=u.shape) if gu is None else gu
        gv = np.zeros_like(gu, shape=v.shape) if gv is None else gv
        gu, gv = completed(gu, u, k), completed(transpose(gv), transpose(v), k)
        u, v = u[..., :k], transpose(v[..., :k, :])
        a, b = transpose(u) @ gu, transpose(v) @ gv
        turn, back = a - adjoint(a), conjugate(b - adjoint(b))
        total = ratio(hollow(turn + back), gaps(s)) + ratio(turn - back, s[..., None, :] + s[..., :, None])
        left = left + 0.5 * (conjugate(u) @ total)
        if u.shape[-2] > k:
            left = left + ratio(gu - conjugate(u) @ a, s[..., None, :])
        x = left @ adjoint(v)
        if v.shape[-2] > k:
            x = x + conjugate(u) @ transpose(ratio(gv - conjugate(v) @ b, s[..., None, :]))
    return fold(x) if hermitian else x


def svd(a, full_matrices=True, compute_uv=True, hermitian=False):
    return svd_factors(a, full_matrices, hermitian) if compute_uv else svd_factors(a, False, hermitian)[1]


general(svd_factors, None, svd_map, outputs=3, name="svd")
composite(np.linalg.svd, svd)
composite(np.linalg.svdvals, lambda x: svd_factors(x, False)[1])
