"""Polynomials as arrays of coefficients, the highest power first: poly, roots, polyval, polyfit, ..."""

import warnings
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..arrays import arange_like, cast, dispatchable, eye_like, safe_divide, scatter_add
from ..batched import levels_of
from ..convert import as_operand
from ..errors import OperandError
from ..rule import composite, general

__all__ = ["LATE", "characteristic", "horner"]


def operand(p, name):
    if isinstance(p, np.poly1d):
        raise OperandError(f"{name}: cannot compute with a poly1d; pass its .coeffs")
    return as_operand(p, name)


def coefficients(p, name):
    """`p` as an array with an axis."""
    return np.atleast_1d(operand(p, name))


def degrees(p):
    """The power that each coefficient belongs to: n - 1, ..., 0."""
    return arange_like(p, p.shape[0])[::-1]


def derivative(p):
    """The coefficients of the derivative, of the same dtype as `p`."""
    return (p * degrees(p).astype(p.dtype))[:-1]


# -- arithmetic

def aligned(a1, a2, name):
    """Both with as many coefficients, zeros in front."""
    ps = coefficients(a1, name), coefficients(a2, name)
    n = max(p.shape[0] for p in ps)
    return [p if p.shape[0] == n else scatter_add(p, slice(n - p.shape[0], n), (n, *p.shape[1:])) for p in ps]


def significant(p, tolerance=0.0):
    """`p` without the coefficients in front that are 0; the last one stays."""
    return p[(~(abs(p) <= tolerance)).cumsum() + (degrees(p) == 0) > 0]


def polymul(a1, a2):
    return np.convolve(*(significant(coefficients(p, "polymul")) for p in (a1, a2)))


def polydiv(u, v):
    u, v = coefficients(u, "polydiv") + 0.0, coefficients(v, "polydiv") + 0.0
    r, q, n = u + 0.0 * v[0], [], v.shape[0]
    for k in range(u.shape[0] - n + 1):
        q.append(1.0 / v[0] * r[k])
        r = r - scatter_add(q[-1] * v, slice(k, k + n), r.shape)
    return np.stack(q or [0.0 * r[0]]), significant(r, 1e-8)  # NumPy takes what is smaller for 0


composite(np.polyadd, lambda a1, a2: np.add(*aligned(a1, a2, "polyadd")))
composite(np.polysub, lambda a1, a2: np.subtract(*aligned(a1, a2, "polysub")))
composite(np.polymul, polymul)
composite(np.polydiv, polydiv)


# -- values, derivatives, integrals

@dispatchable
def horner(x, y):
    """The polynomial with the coefficients `x`, an array of one axis, at the points `y`."""
    return np.polyval(x, y)


def horner_coefficients(g, x, y):
    sums = []
    for _ in range(x.shape[0]):
        sums.append(g.sum())
        g = g * y
    return np.stack(sums[::-1]) if sums else np.zeros_like(x)


def polyval(p, x):
    p, x = operand(p, "polyval"), operand(x, "polyval")
    if np.ndim(p) == 1 and p.shape[0]:
        return horner(p, x)
    y = np.zeros_like(x)
    for c in p:
        y = y * x + c
    return y


def polyder(p, m=1):
    if int(m) < 0:
        raise ValueError(f"polyder: m={m}; for an integral use polyint")
    p = operand(p, "polyder")
    for _ in range(int(m)):
        p = p[:-1] * degrees(p)[:-1]
    return p


def polyint(p, m=1, k=None):
    m, p = int(m), operand(p, "polyint")
    if m < 0:
        raise ValueError(f"polyint: m={m}; for a derivative use polyder")
    k = np.zeros_like(p, shape=(m,)) if k is None else coefficients(k, "polyint")
    if k.shape[0] < m and k.shape[0] != 1:
        raise ValueError(f"polyint: {k.shape[0]} constants for {m} integrals; give one for each, or one for all")
    for i in range(m):
        i = 0 if k.shape[0] == 1 else i
        p = np.concatenate([p / (degrees(p) + 1), k[i : i + 1]])
    return p


general(horner,       None, horner_coefficients, lambda g, x, y: g * horner(derivative(x), y), name="polyval")
composite(np.polyval, polyval)
composite(np.polyder, polyder)
composite(np.polyint, polyint)


# -- roots

def vander_map(g, ans, N=None, increasing=False):
    if not increasing:
        g, ans = g[:, ::-1], ans[:, ::-1]
    powers = arange_like(g, max(g.shape[1] - 1, 0)) + 1
    return (g[:, 1:] * ans[:, :-1] * powers).sum(axis=1)


def roots_map(g, x, ans):
    """The value of the polynomial at a root stays 0. A multiple root has an infinite derivative."""
    powers = np.vander(ans, x.size)
    return cast(-safe_divide(g, powers[:, 1:] @ derivative(x)) @ powers, x.dtype)


@dispatchable
def characteristic(x):
    """The characteristic polynomial of a square matrix."""
    return np.poly(x)


def characteristic_map(g, x, ans):
    """d det(t - x) = -trace(adj(t - x) dx), and the coefficients of adj(t - x) obey b[k] = x b[k - 1] + ans[k].

    Unlike the derivatives of the eigenvalues, it is finite where these coincide.
    """
    one = eye_like(x, x.shape[0])
    b, total = one, g[1] * one
    for k in range(1, x.shape[0]):
        b = x @ b + ans[k] * one
        total = total + g[k + 1] * b.T
    return -total


def poly(seq_of_zeros):
    zeros = coefficients(seq_of_zeros, "poly")
    if np.ndim(zeros) == 2 and zeros.shape[0] == zeros.shape[1] != 0:
        return characteristic(zeros)
    if np.ndim(zeros) != 1:
        raise ValueError(f"poly: an array of shape {zeros.shape}; pass the roots, or a square matrix")
    if not zeros.shape[0]:
        return 1.0
    one = np.ones_like(zeros[:1])
    p = one * 1.0
    for k in range(zeros.shape[0]):
        p = np.convolve(p, np.concatenate([one, -zeros[k : k + 1]]))
    is_real = zeros.dtype.kind == "c" and (np.sort(zeros) == np.sort(zeros.conj())).all()
    return p.real if is_real else p


general(np.vander,      None, vander_map)
general(np.roots,       None, roots_map)
general(characteristic, None, characteristic_map, name="poly")
composite(np.poly,      poly)


# -- fitting, trimming

def polyfit(x, y, deg, rcond=None, full=False, w=None, cov=False):
    x, y, n = operand(x, "polyfit") + 0.0, operand(y, "polyfit") + 0.0, int(deg) + 1
    if n < 1:
        raise ValueError(f"polyfit: deg={deg}; the degree is 0 or more")
    if np.ndim(x) != 1 or np.ndim(y) not in (1, 2) or not 0 < x.shape[0] == y.shape[0]:
        raise TypeError(f"polyfit: x of shape {np.shape(x)}, y of shape {np.shape(y)}; they are (n,), and (n,) or (n, k)")
    rcond = x.shape[0] * np.finfo(x.dtype).eps if rcond is None else rcond
    lhs, rhs = np.vander(x, n), y
    if w is not None:
        w = operand(w, "polyfit") + 0.0
        if np.shape(w) != x.shape:
            raise TypeError(f"polyfit: w of shape {np.shape(w)} for x of shape {x.shape}; give each point one weight")
        lhs, rhs = lhs * w[:, None], cast(y * (w if np.ndim(y) == 1 else w[:, None]), y.dtype)
    scale = np.sqrt((lhs * lhs).sum(axis=0))
    lhs = lhs / scale
    c, resids, rank, s = np.linalg.lstsq(lhs, rhs, rcond)
    c = (c.T / scale).T
    if full:
        return c, resids, rank, s, rcond
    if rank.device == "cpu" and not levels_of(rank._array) and int(rank) != n:  # nobody waits for a number from a GPU
        warnings.warn("Polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=4)
    if not cov:
        return c
    factor = np.ones_like(c, shape=())
    if cov != "unscaled":
        if x.shape[0] <= n:
            raise ValueError(f'polyfit: {x.shape[0]} points are too few to scale the covariance; pass cov="unscaled"')
        factor = resids / (x.shape[0] - n)
    variance = np.linalg.inv(lhs.T @ lhs) / np.outer(scale, scale)
    return c, (variance if np.ndim(y) == 1 else variance[:, :, None]) * factor


def trim_zeros(filt, trim="fb", axis=None):
    """What is left is found by masks, so that nobody waits for numbers from a GPU; it is a copy, NumPy's is a view."""
    trim = trim.lower()
    if trim not in ("f", "b", "fb", "bf"):
        raise ValueError(f'trim_zeros: trim={trim!r}; it is "f" (front), "b" (back) or "fb"')
    nonzero, ndim = filt != 0, np.ndim(filt)
    for i in range(ndim) if axis is None else normalize_axis_tuple(axis, ndim):
        used = nonzero.any(axis=tuple(j for j in range(ndim) if j != i))
        front, back = used.cumsum() > 0, used[::-1].cumsum()[::-1] > 0
        keep = (front if "f" in trim else back) & (back if "b" in trim else front)
        filt = filt[(slice(None),) * i + (keep,)]
    return filt


composite(np.polyfit,    polyfit)
composite(np.trim_zeros, trim_zeros)


# -- numpy.polynomial, which is loaded late: found by name

def nested(x, c):
    """The polynomial in `x` whose coefficients are along the first axis of `c`, by Horner's rule."""
    total = c[-1] + 0 * x
    for k in range(2, c.shape[0] + 1):
        total = c[-k] + total * x
    return total


def polyval2d(x, y, c):
    x, y, c = (as_operand(a, "polyval2d") for a in (x, y, c))
    return nested(y, nested(x, c.reshape(c.shape + (1,) * np.ndim(x))))


def polygrid2d(x, y, c):
    x, y, c = (as_operand(a, "polygrid2d") for a in (x, y, c))
    rows = nested(x, c.reshape(c.shape + (1,) * np.ndim(x)))
    return nested(y, rows.reshape(rows.shape + (1,) * np.ndim(y)))


LATE: dict[str, Any] = {f"numpy.polynomial.polynomial.{body.__name__}": body for body in (polyval2d, polygrid2d)}
