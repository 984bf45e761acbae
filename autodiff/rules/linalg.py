"""numpy.linalg but for the decompositions: norms, determinants, inverses, equations, products."""

import math
import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..arrays import dispatchable, eye_like, keepaxes, restore, safe_divide
from ..convert import as_operand
from ..rule import composite, general, nondiff
from ..spec import Spec
from .linalg_decompositions import adjoint, conjugate, diagonal, fold, hollow, mirror, ratio, transpose
from .reduce import others_product

__all__ = ["cofactors", "cofactors_along", "inverse", "norm_along"]


# -- norms: a matrix has those of its singular values, and those of its rows' or columns' norms

@dispatchable
def norm_along(x, ord=None, axis=None, keepdims=False):
    """`np.linalg.norm` of vectors, and of the elements along several axes. Its derivative at 0 is 0."""
    return np.linalg.norm(x, ord, axis, keepdims)


def norm_map(g, x, ans, ord=None, axis=None, keepdims=False):
    if axis is not None:
        g, ans = keepaxes(g, x, axis, keepdims), keepaxes(ans, x, axis, keepdims)
    if ord in (None, 2, "fro", "f"):
        return conjugate(x) * (g * (ans != 0) / (ans + (ans == 0)))
    if ord == 0:
        return np.zeros_like(g, shape=x.shape, dtype=x.dtype)
    sign, size = np.sign(conjugate(x)), np.absolute(x)
    if ord == 1:
        return g * sign
    if abs(ord) == math.inf:  # ties share
        ties = size == ans
        return g * sign * (ties / ties.sum(axis=axis, keepdims=True)).astype(ans.dtype)
    return g * ratio(sign, safe_divide(size, ans) ** (1 - ord))


def norm(x, ord=None, axis=None, keepdims=False):
    pair = x.ndim == 2 if axis is None else isinstance(axis, tuple) and len(axis) == 2
    if not pair or ord not in (1, -1, 2, -2, math.inf, -math.inf, "nuc"):
        return norm_along(x, ord, axis, keepdims)
    rows, columns = normalize_axis_tuple(axis or (0, 1), x.ndim)
    if ord in (2, -2, "nuc"):
        values = np.linalg.svdvals(np.moveaxis(x, (rows, columns), (-2, -1)))
        ans = norm_along(values, {2: math.inf, -2: -math.inf, "nuc": 1}[ord], -1)
        return np.expand_dims(ans, (rows, columns)) if keepdims else ans
    inner, outer = (rows, columns) if abs(ord) == 1 else (columns, rows)
    ans = norm_along(norm_along(x, 1, inner, True), math.copysign(math.inf, ord), outer, True)
    return ans if keepdims else ans.squeeze((rows, columns))


def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    shape = tuple(x.shape[i] for i in rest)
    flat = x if len(axes) == 1 else x.transpose(axes + rest).reshape((math.prod(x.shape[i] for i in axes), *shape))
    ans = norm_along(flat, ord, axes[0] if len(axes) == 1 else 0)
    return np.expand_dims(ans, axes) if keepdims else ans


general(norm_along, None, norm_map, name="norm")
composite(np.linalg.norm,        norm)
composite(np.linalg.vector_norm, vector_norm)
composite(np.linalg.matrix_norm, lambda x, /, *, keepdims=False, ord="fro": norm(x, ord, (-2, -1), keepdims))


# -- determinants

@dispatchable
def cofactors(x):
    """The derivative of det(x): det(x) times the transposed inverse, and finite where `x` is singular."""
    try:
        return np.linalg.det(x)[..., None, None] * transpose(np.linalg.inv(x))
    except np.linalg.LinAlgError:
        u, s, v = np.linalg.svd(x)
        sign = (np.linalg.det(u) * np.linalg.det(v))[..., None, None]
        return sign * (conjugate(u) * others_product(s)[..., None, :]) @ conjugate(v)


@dispatchable
def cofactors_along(x, y):
    """The derivative of the cofactors of `y` in the direction of `x`, finite as well.

    In the basis of the singular values each cofactor is a product of all of them but two.
    """
    u, s, v = np.linalg.svd(y)
    x = adjoint(u) @ x @ adjoint(v) * (np.linalg.det(u) * np.linalg.det(v))[..., None, None]
    one = eye_like(s, s.shape[-1])
    others = hollow(others_product(s[..., None, :] * (1 - one) + one))
    x = diagonal((others * (x * one).sum(axis=-1)[..., None, :]).sum(axis=-1)) - transpose(others * x)
    return conjugate(u) @ x @ conjugate(v)


def cofactors_along_map(g, x, y):
    """The third derivative of the determinant; nan where `y` is singular, and of few digits close to it."""
    over = inverse(y)
    a, b, one = over @ x, over @ g, eye_like(y, y.shape[-1])
    ab, of_a, of_b = a @ b, trace(a), trace(b)
    inner = (of_a * of_b - trace(ab)) * one - of_a * b - of_b * a + ab + b @ a
    return np.linalg.det(y)[..., None, None] * transpose(inner @ over)


def trace(x):
    return (x * eye_like(x, x.shape[-1])).sum(axis=(-2, -1), keepdims=True)


def slogdet_map(g, x, ans):
    turn, grow = g
    if x.dtype.kind != "c":
        if grow is None:
            return np.zeros_like(turn, shape=x.shape)
    elif turn is not None:
        turn = (turn * ans[0]).imag * 1j
        grow = turn if grow is None else turn + grow
    return grow[..., None, None] * transpose(inverse(x))


general(np.linalg.det,     None, lambda g, x: g[..., None, None] * cofactors(x))
general(cofactors,         None, lambda g, x: cofactors_along(g, x))
general(cofactors_along,   None, lambda g, x, y: cofactors_along(g, y), cofactors_along_map)
general(np.linalg.slogdet, None, slogdet_map, outputs=2)


# -- inverses

@dispatchable
def inverse(x):
    """`np.linalg.inv(x)`, but nan where `x` is singular."""
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        singular = (np.linalg.slogdet(x)[0] == 0)[..., None, None]
        return np.where(singular, math.nan, np.linalg.inv(np.where(singular, eye_like(x, x.shape[-1]), x)))


def inverse_map(g, ans):
    return -transpose(ans) @ g @ transpose(ans)


def pinv_map(g, x, ans, rcond=None, hermitian=False, rtol=None):
    """Golub and Pereyra (1973); singular values that were cut off count as 0."""
    if x.shape[-2] < x.shape[-1]:
        return transpose(pinv_map(transpose(g), transpose(x), transpose(ans)))
    g, x = transpose(g), mirror(x) if hermitian else x
    inner = ans @ g
    rest = (g - x @ inner) @ (ans @ adjoint(ans)) + adjoint(ans) @ (inner - inner @ (ans @ x))
    g = conjugate(rest) - transpose(inner @ ans)
    return fold(g) if hermitian else g


def cond(x, p=None):
    if not math.prod(x.shape[-2:]):
        raise np.linalg.LinAlgError("cond is not defined on empty arrays")
    with np.errstate(all="ignore"):
        if p in (None, 2, -2):
            values = np.linalg.svdvals(x)
            large, small = values[..., 0], values[..., -1]
            ans = small / large if p == -2 else large / small
        else:
            ans = norm(x, p, (-2, -1)) * norm(inverse(x), p, (-2, -1))
    return np.where(np.isnan(ans) & ~np.isnan(x).any(axis=(-2, -1)), math.inf, ans)


general(np.linalg.inv,     None, inverse_map)
general(inverse,           None, inverse_map, name="inv")
general(np.linalg.pinv,    None, pinv_map)
composite(np.linalg.cond,  cond)
nondiff(np.linalg.matrix_rank)


# -- equations

def solve_lhs(g, x, y, ans):
    g = solved(g, x)
    if ans.ndim < x.ndim:
        g, ans = g[..., None], ans[..., None]
    return restore(-g @ transpose(ans), Spec.of(x))


def solve_rhs(g, x, y):
    return restore(solved(g, x), Spec.of(y))


def solved(g, x):
    """`g` divided by the transposed matrix; a vector has one axis less."""
    return np.linalg.solve(transpose(x), g[..., None])[..., 0] if g.ndim < x.ndim else np.linalg.solve(transpose(x), g)


def lstsq_parts(g, x, y, ans, rcond):
    """The transposed pseudoinverse, and the cotangent of y."""
    smallest = np.finfo(float).eps
    cut = smallest * max(x.shape) if rcond is None else max(rcond, smallest)
    over = transpose(np.linalg.pinv(x, cut))
    some = next(part for part in g if part is not None)
    gy = np.zeros_like(some, shape=y.shape, dtype=ans[0].dtype) if g[0] is None else over @ g[0]
    if g[1] is not None and ans[1].size:
        gy = gy + 2 * g[1] * conjugate(y - x @ ans[0])
    return over, gy


def lstsq_lhs(g, x, y, ans, rcond=None):
    over, gy = lstsq_parts(g, x, y, ans, rcond)
    solution, gx, gs = ans[0], g[0], g[3]
    if y.ndim == 1:
        y, gy, solution = y[:, None], gy[:, None], solution[:, None]
        gx = None if gx is None else gx[:, None]
    total = -gy @ transpose(solution)
    if gx is not None:
        total = total + conjugate(y - x @ solution) @ (adjoint(gy) @ over)
        total = total + over @ (conjugate(solution) @ adjoint(gx - transpose(x) @ gy))
    if gs is not None:
        u, _, v = np.linalg.svd(x, full_matrices=False)
        total = total + (conjugate(u) * gs) @ conjugate(v)
    return total


def lstsq_rhs(g, x, y, ans, rcond=None):
    return lstsq_parts(g, x, y, ans, rcond)[1]


def tensorinv(a, ind=2):
    if ind <= 0:
        raise ValueError(f"tensorinv: ind={ind!r}; it is the number of leading axes that are to be summed over")
    shape = a.shape[ind:] + a.shape[:ind]
    return np.linalg.inv(a.reshape((math.prod(a.shape[ind:]), -1))).reshape(shape)


def tensorsolve(a, b, axes=None):
    a, b = as_operand(a, "tensorsolve"), as_operand(b, "tensorsolve")
    if axes is not None:
        axes = normalize_axis_tuple(axes, a.ndim)
        a = np.transpose(a, (*(i for i in range(a.ndim) if i not in axes), *axes))
    shape = a.shape[b.ndim :]
    size = math.prod(shape)
    if math.prod(a.shape) != size**2:
        raise np.linalg.LinAlgError(f"tensorsolve: the axes of a beyond those of b give {size} unknowns; b has to have as many elements")
    return np.linalg.solve(a.reshape((size, size)), b.reshape(-1)).reshape(shape)


general(np.linalg.solve,         None, solve_lhs, solve_rhs)
general(np.linalg.lstsq,         None, lstsq_lhs, lstsq_rhs, outputs=4)
composite(np.linalg.tensorinv,   tensorinv)
composite(np.linalg.tensorsolve, tensorsolve)


# -- products

def matrix_power(a, n):
    """By repeated squaring."""
    n = operator.index(n)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"matrix_power: shape {a.shape} is not that of a square matrix")
    if n == 0:
        return np.where(False, a, eye_like(a, a.shape[-1]))  # tracked, with derivative 0
    a, n = (np.linalg.inv(a), -n) if n < 0 else (a, n)
    ans = None
    while n:
        n, odd = divmod(n, 2)
        if odd:
            ans = a if ans is None else ans @ a
        a = a @ a if n else a
    return ans


def multi_dot(arrays):
    """In the order that multiplies the fewest numbers."""
    arrays = [as_operand(a, "multi_dot") for a in arrays]
    n = len(arrays)
    if n < 2:
        raise ValueError("multi_dot: at least two arrays are needed")
    if n == 2:
        return np.dot(*arrays)
    if any(a.ndim != 2 for a in arrays[1:-1]) or not {arrays[0].ndim, arrays[-1].ndim} <= {1, 2}:
        raise np.linalg.LinAlgError(f"multi_dot: the arrays have {[a.ndim for a in arrays]} axes; all but the first and the last need 2")
    lengths = [*(a.shape[0] if a.ndim == 2 else 1 for a in arrays[:-1]), *(*arrays[-1].shape, 1)[:2]]
    best = {(i, i): (0, i) for i in range(n)}  # of arrays i to j: the multiplications, and after which one to split
    for count in range(1, n):
        for i, j in zip(range(n), range(count, n)):
            best[i, j] = min(
                (best[i, k][0] + best[k + 1, j][0] + lengths[i] * lengths[k + 1] * lengths[j + 1], k) for k in range(i, j)
            )

    def product(i, j):
        return arrays[i] if i == j else product(i, best[i, j][1]) @ product(best[i, j][1] + 1, j)

    return product(0, n - 1)


def cross(x1, x2, /, *, axis=-1):
    x1, x2 = as_operand(x1, "cross"), as_operand(x2, "cross")
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(f"cross: vectors of length {x1.shape[axis]} and {x2.shape[axis]}; np.linalg.cross takes 3 only, np.cross 2 too")
    return np.cross(x1, x2, axis=axis)


def outer(x1, x2, /):
    x1, x2 = as_operand(x1, "outer"), as_operand(x2, "outer")
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"outer: shapes {x1.shape} and {x2.shape}; np.linalg.outer takes vectors only, np.outer any array")
    return np.outer(x1, x2)


def vecdot(x1, x2, /, *, axis=-1):
    return np.vecdot(x1, x2, axis=axis)  # type: ignore[call-overload]


composite(np.linalg.matrix_power,     matrix_power)
composite(np.linalg.multi_dot,        multi_dot)
composite(np.linalg.cross,            cross)
composite(np.linalg.outer,            outer)
composite(np.linalg.matmul,           lambda x1, x2, /: np.matmul(x1, x2))
composite(np.linalg.vecdot,           vecdot)
composite(np.linalg.tensordot,        lambda x1, x2, /, *, axes=2: np.tensordot(x1, x2, axes))
composite(np.linalg.matrix_transpose, lambda x, /: np.matrix_transpose(x))
composite(np.linalg.diagonal,         lambda x, /, *, offset=0: np.diagonal(x, offset, -2, -1))
composite(np.linalg.trace,            lambda x, /, *, offset=0, dtype=None: np.trace(x, offset, -2, -1, dtype))
