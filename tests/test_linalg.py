"""numpy.linalg where a row cannot say it: phases, repeated values, singular matrices, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import assert_close, seeded
from domains import Array
from rows_linalg import diagonalizable, hermitian, of_spectrum

import autodiff as ad
from autodiff import OperandError, Value

linalg = np.linalg
WEIGHTS = np.array([1.0, -0.4, 2.2, 0.7])

adjoint = lambda x: np.conj(np.swapaxes(x, -1, -2))
spread = lambda u, v: (u * WEIGHTS[: u.shape[-1]]) @ v  # the columns of u by the rows of v, each pair with its weight
span = lambda u: u @ adjoint(u)


def draw(make: Callable[..., Array], shape: tuple[int, ...], unit: Any = 0.0) -> Array:
    return make(seeded((make.__name__, shape, unit)), shape, unit)


# -- vectors: functions that do not depend on phases, nor on how a basis was completed


def eigh(x: Any, uplo: str = "L") -> Any:
    w, v = linalg.eigh(x, uplo)
    return [w, spread(v, adjoint(v))]


def eig(x: Any) -> Any:
    w, v = linalg.eig(x)
    return [w, np.abs(v), spread(v, linalg.inv(v))]


def svd(x: Any, hermitian: bool = False) -> Any:
    u, s, v = linalg.svd(x, hermitian=hermitian)
    k = s.shape[-1]
    return [s, spread(u[..., :k], v[..., :k, :]), span(u[..., k:]), span(adjoint(v[..., k:, :]))]


def thin_svd(x: Any) -> Any:
    u, s, v = linalg.svd(x, full_matrices=False)
    return [s, spread(u, v), span(u[..., :1]), span(adjoint(v[..., :1, :]))]


def qr(x: Any) -> Any:
    q, r = linalg.qr(x, mode="complete")
    return [r, q[..., : x.shape[-1]], span(q[..., x.shape[-1] :])]


FREE: dict[str, tuple[Callable[..., Any], Callable[..., Array], tuple[int, ...]]] = {
    "eigh": (eigh, hermitian, (2, 3, 3)),
    "eigh, upper": (lambda x: eigh(x, "U"), hermitian, (3, 3)),
    "eigh, vectors alone": (lambda x: eigh(x)[1], hermitian, (3, 3)),
    "eig": (eig, diagonalizable, (2, 3, 3)),
    "eig, values alone": (lambda x: eig(x)[0], diagonalizable, (3, 3)),
    "eig, vectors alone": (lambda x: eig(x)[2], diagonalizable, (3, 3)),
    "svd": (svd, of_spectrum, (2, 3, 3)),
    "svd, tall": (svd, of_spectrum, (4, 2)),
    "svd, wide": (svd, of_spectrum, (2, 4)),
    "svd, hermitian": (lambda x: svd(x, True), hermitian, (3, 3)),
    "thin svd, tall": (thin_svd, of_spectrum, (4, 2)),
    "thin svd, wide": (thin_svd, of_spectrum, (2, 4)),
    "thin svd, left vectors alone": (lambda x: thin_svd(x)[2], of_spectrum, (4, 2)),
    "thin svd, right vectors alone": (lambda x: thin_svd(x)[3], of_spectrum, (2, 4)),
    "qr, square": (qr, of_spectrum, (2, 3, 3)),
    "qr, tall": (qr, of_spectrum, (4, 2)),
    "qr, wide": (qr, of_spectrum, (2, 4)),
    "qr, r": (lambda x: linalg.qr(x, "r"), of_spectrum, (3, 3)),
}


@pytest.mark.parametrize("unit", [0.0, 1j], ids=["real", "complex"])
@pytest.mark.parametrize("name", FREE)
def test_vectors(name: str, unit: Any) -> None:
    """First and second order in both modes."""
    f, make, shape = FREE[name]
    ad.check_grads(f, draw(make, shape, unit), rtol=1e-5, atol=1e-5)


def test_real_matrix_with_complex_eigenvalues() -> None:
    x = np.array([[1.0, 2.0, 0.1], [-2.0, 1.3, 0.4], [0.2, -0.3, 3.0]])
    assert linalg.eigvals(x).dtype == complex
    ad.check_grads(eig, x)
    assert ad.grad(lambda x: np.abs(linalg.eigvals(x)).sum())(x).dtype == float


def test_results_are_named_tuples() -> None:
    x = Value(np.diag([3.0, 2.0]))
    for f in (linalg.svd, linalg.eigh, linalg.eig, linalg.qr, linalg.slogdet):
        assert type(f(x)) is type(f(x.data))
    assert isinstance(linalg.svd(x, compute_uv=False), Value)
    np.testing.assert_array_equal(linalg.svd(x, compute_uv=False, hermitian=True).data, [3, 2])


READERS: dict[str, tuple[Callable[..., Any], bool]] = {
    "cholesky": (linalg.cholesky, False),
    "cholesky, upper": (lambda x: linalg.cholesky(x, upper=True), True),
    "eigvalsh": (linalg.eigvalsh, False),
    "eigvalsh, U": (lambda x: linalg.eigvalsh(x, "U"), True),
    "pinv": (lambda x: linalg.pinv(x, hermitian=True), False),
    "svd": (lambda x: linalg.svd(x, compute_uv=False, hermitian=True), False),
}


@pytest.mark.parametrize("unit", [0.0, 1j], ids=["real", "complex"])
@pytest.mark.parametrize("name", READERS)
def test_one_triangle(name: str, unit: Any) -> None:
    """What reads one triangle takes no notice of the other, and has its gradient in the first."""
    f, upper = READERS[name]
    x = hermitian(seeded(name), (3, 3), unit, 1.0)
    spoilt = x + (np.tril if upper else np.triu)(np.full((3, 3), 5 + unit), -1 if upper else 1)
    ad.check_grads(f, spoilt, rtol=1e-5, atol=1e-5)
    u = np.cos(np.arange(f(x).size)).reshape(f(x).shape)
    np.testing.assert_allclose(*[ad.vjp(f, a)[1](u)[0] for a in (x, spoilt)], atol=1e-12)


# -- repeated eigenvalues and singular values


@pytest.mark.parametrize("n", [1, 2, 4])
def test_values_alone_at_repeated_values(n: int) -> None:
    """A symmetric function of the values has its gradient there."""
    one = np.eye(n)
    for f, expected in {
        lambda x: (linalg.eigvalsh(x) ** 2).sum(): 2 * one,
        lambda x: (linalg.svdvals(x) ** 3).sum(): 3 * one,
        lambda x: (linalg.eigvals(x) ** 2).sum(): 2 * one,
        lambda x: linalg.norm(x, "nuc"): one,
        lambda x: linalg.norm(x, 2): one / n,
        lambda x: linalg.slogdet(x)[1]: one,
        lambda x: linalg.pinv(x).sum(): -np.ones((n, n)),
    }.items():
        np.testing.assert_allclose(ad.grad(f)(one), expected, atol=1e-14)
        np.testing.assert_allclose(ad.jvp(f, (one,), (one,))[1], expected.trace(), atol=1e-14)


def test_a_simple_vector_beside_repeated_values() -> None:
    """The vector of 3 is as it should be, although the other eigenvalue is twofold."""
    x = np.diag([1.0, 1.0, 3.0])
    for f in (lambda x: linalg.eigh(x)[1][:, 2:], lambda x: linalg.svd(x)[0][:, :1], lambda x: linalg.svd(x)[2][:1].T):
        ad.check_grads(lambda x, f=f: span(f(x)), x, order=1)


def test_no_wrong_number_at_repeated_values() -> None:
    """Where the vectors of a repeated value matter, so that there is no derivative, the gradient is not finite."""
    one = np.eye(3)
    root = lambda x: linalg.eigh(x)[1] * np.sqrt(linalg.eigh(x)[0]) @ linalg.eigh(x)[1].T
    assert not np.isfinite(ad.grad(lambda x: root(x)[0, 1])(one)).all()
    squares = ad.grad(lambda x: (linalg.eigvalsh(x) ** 2).sum())
    assert not np.isfinite(ad.jvp(squares, (one,), (np.ones((3, 3)),))[1]).all()
    np.testing.assert_allclose(ad.jvp(squares, (one,), (np.diag([1.0, 2.0, 3.0]),))[1], np.diag([2.0, 4.0, 6.0]))


# -- singular matrices


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
@pytest.mark.parametrize("unit", [0.0, 1j], ids=["real", "complex"])
def test_determinant_of_a_singular_matrix(rank: int, unit: Any) -> None:
    """It is a polynomial, so it has all derivatives everywhere."""
    x = np.round(4 * draw(of_spectrum, (3, rank), unit)) @ np.round(4 * draw(of_spectrum, (rank, 3), unit))
    ad.check_grads(linalg.det, x, rtol=1e-5, atol=1e-5)
    ad.check_grads(linalg.det, np.stack([x, np.eye(3), np.diag([0.0, 1, 2])]), rtol=1e-5, atol=1e-5)


def test_determinant_of_exactly_singular_matrices() -> None:
    """Those for which NumPy's inv raises: the gradient are the cofactors."""
    np.testing.assert_allclose(ad.grad(linalg.det)(np.array([[1.0, 2.0], [2.0, 4.0]])), [[4, -2], [-2, 1]])
    np.testing.assert_allclose(ad.grad(linalg.det)(np.diag([2.0, 3.0, 0.0])), np.diag([0, 0, 6.0]))
    np.testing.assert_array_equal(ad.grad(linalg.det)(np.zeros((3, 3))), 0)
    assert ad.grad(linalg.det)(np.zeros((1, 1))) == 1


@pytest.mark.parametrize("x", [np.eye(3), np.diag([1.0, 2.0, -3.0]), draw(of_spectrum, (3, 3))], ids=["1", "2", "3"])
def test_third_derivative_of_a_determinant(x: Array) -> None:
    """det(x + t e) has t^3 det(e) as its last term."""
    e = draw(of_spectrum, (3, 3), 0.5)
    f = linalg.det
    for _ in range(3):
        f = lambda x, f=f: ad.jvp(f, (x,), (e,))[1]
    np.testing.assert_allclose(f(x), 6 * linalg.det(e), rtol=1e-10)
    along = lambda g: lambda x: (ad.grad(g)(x) * e).sum()
    np.testing.assert_allclose(along(along(along(linalg.det)))(x), 6 * linalg.det(e), rtol=1e-10)


def test_only_the_singular_matrix_has_no_logarithm() -> None:
    x = np.stack([np.diag([1.0, 2.0]), np.zeros((2, 2)), np.diag([4.0, 1.0])])
    g = ad.grad(lambda x: linalg.slogdet(x)[1].sum())(x)
    np.testing.assert_allclose(g[::2], [np.diag([1, 0.5]), np.diag([0.25, 1])])
    assert np.isnan(g[1]).all()
    np.testing.assert_array_equal(ad.grad(lambda x: linalg.slogdet(x)[0].sum())(x), 0)


@pytest.mark.parametrize("unit", [0.0, 1j], ids=["real", "complex"])
@pytest.mark.parametrize(("m", "n"), [(3, 3), (4, 3), (3, 4)])
def test_deficient_rank(m: int, n: int, unit: Any) -> None:
    """pinv and lstsq along matrices of rank 2; NumPy gives no residuals then."""
    left, right = draw(of_spectrum, (m, 2), unit), draw(of_spectrum, (2, n), unit)
    b = np.cos(np.arange(m * 2)).reshape(m, 2)
    ad.check_grads(lambda c, d: linalg.pinv(c @ d, 1e-8), left, right, rtol=1e-5, atol=1e-5)
    ad.check_grads(lambda c, d, b: linalg.lstsq(c @ d, b, 1e-8)[0], left, right, b, rtol=1e-5, atol=1e-5)
    solution, residuals, rank, s = linalg.lstsq(Value(left @ right), b, 1e-8)
    assert residuals.shape == (0,) and rank == 2 and s.shape == (3,) and solution.requires_grad
    residuals.sum().backward()


def test_condition_of_a_singular_matrix() -> None:
    """It is infinite, as NumPy's."""
    x = np.stack([np.zeros((2, 2)), np.diag([1.0, 4.0])])
    for p in (None, 1, "fro"):
        np.testing.assert_allclose(linalg.cond(Value(x), p).data, linalg.cond(x, p))
    with pytest.raises(linalg.LinAlgError, match="cond"):
        linalg.cond(Value(np.zeros((0, 0))))


# -- norms

ORDERS = [None, 1, 2, 3, 1.5, 0.5, -1, -2.5, math.inf, -math.inf, 0]
MATRIX_ORDERS = [None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf]


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("dtype", [float, np.float32, complex])
@pytest.mark.parametrize(("shape", "order"), [*[((3,), p) for p in ORDERS], *[((2, 3), p) for p in MATRIX_ORDERS]])
def test_norm_at_zero(shape: tuple[int, ...], order: Any, dtype: Any) -> None:
    """The derivative is 0, in both modes; and where only the norm of one row is taken at 0, that row's is."""
    x = np.zeros(shape, dtype)
    gradient = ad.grad(lambda x: linalg.norm(x, order))(x)
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(gradient, 0)
    np.testing.assert_array_equal(ad.jvp(lambda x: linalg.norm(x, order), (x,), (x + 1,))[1], 0)
    stack = np.stack([x, x + 2])
    last = {} if len(shape) == 1 else {"axis": (-2, -1)}
    rows = ad.grad(lambda x: linalg.norm(x, order, **{"axis": -1, **last}).sum())(stack)
    np.testing.assert_array_equal(rows[0], 0)
    assert np.isfinite(rows).all()


def test_second_derivative_of_a_norm_at_zero() -> None:
    """It is infinite; 0 stands for it, as for the first."""
    x, t = np.zeros(3), np.ones(3)
    np.testing.assert_array_equal(ad.jvp(ad.grad(linalg.norm), (x,), (t,))[1], 0)
    np.testing.assert_array_equal(ad.grad(lambda x: ad.grad(linalg.norm)(x).sum())(x), 0)


def test_ties_share() -> None:
    np.testing.assert_array_equal(ad.grad(lambda x: linalg.norm(x, math.inf))(np.array([2.0, -2, 1])), [0.5, -0.5, 0])
    np.testing.assert_array_equal(ad.grad(lambda x: linalg.norm(x, -math.inf))(np.array([3.0, -1, 1])), [0, -0.5, 0.5])
    x = np.array([[1.0, -2.0], [2.0, 1.0]])
    np.testing.assert_array_equal(ad.grad(lambda x: linalg.norm(x, 1))(x), [[0.5, -0.5], [0.5, 0.5]])


@pytest.mark.parametrize("order", [3, -1, 0.5])
def test_large_and_small_numbers(order: float) -> None:
    """The slope is that of the numbers in proportion."""
    x = np.array([1.0, -2.0, 3.0])
    f = ad.grad(lambda x: linalg.norm(x, order))
    for scale in (1e-60, 1e60):
        np.testing.assert_allclose(f(x * scale), f(x), rtol=1e-12)


@pytest.mark.parametrize("axis", [(0, 2), (2, 0), (-1, 1), 1, None])
@pytest.mark.parametrize("keepdims", [False, True])
def test_norm_of_chosen_axes(axis: Any, keepdims: bool) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    for order in [None, *MATRIX_ORDERS[2:]]:
        f = lambda x, order=order: linalg.norm(x, order, axis, keepdims)
        try:
            expected = f(x)
        except ValueError as error:
            with pytest.raises(type(error)):
                f(Value(x))
        else:
            assert_close(f(Value(x)), expected, 1e-14)
            ad.check_grads(f, x, order=1)


# -- equations and products


def test_vectors_and_matrices_on_the_right() -> None:
    """NumPy 2: a vector is what has one axis, all else is a stack of matrices."""
    a, b = np.stack([np.diag([1.0, 2.0]), np.diag([4.0, 8.0])]), np.array([8.0, 16.0])
    np.testing.assert_array_equal(linalg.solve(Value(a), b).data, [[8, 8], [2, 2]])
    np.testing.assert_array_equal(linalg.solve(Value(a), b[:, None]).data, [[[8], [8]], [[2], [2]]])
    np.testing.assert_array_equal(ad.grad(lambda b: linalg.solve(a, b).sum())(b), [1.25, 0.625])


def test_tensor_equations() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(3, 2, 6)), rng.normal(size=(3, 2))
    ad.check_grads(linalg.tensorsolve, a, b, rtol=1e-5, atol=1e-5)
    a, b = rng.normal(size=(2, 2, 2, 2)), rng.normal(size=(2, 2))
    for axes in ((0, 2), (1,), [3, 0]):
        f = lambda a, b, axes=axes: linalg.tensorsolve(a, b, axes)
        np.testing.assert_allclose(f(Value(a), b).data, f(a, b))
        ad.check_grads(f, a, b, order=1, rtol=1e-5, atol=1e-5)
    a = rng.normal(size=(4, 2, 2))
    np.testing.assert_array_equal(linalg.tensorinv(Value(a), 1).data, linalg.tensorinv(a, 1))


@pytest.mark.parametrize("sizes", [(3, 2, 4, 1, 5), (9, 1, 9, 1, 9), (2, 8, 3, 7, 4, 5), (2, 3)])
def test_long_products(sizes: tuple[int, ...]) -> None:
    arrays = [np.cos(np.arange(float(m * n))).reshape(m, n) for m, n in zip(sizes, [*sizes[1:], 3])]
    for operands in (arrays, [arrays[0][0], *arrays[1:]], [*arrays[:-1], arrays[-1][:, 0]]):
        expected = linalg.multi_dot(operands)
        np.testing.assert_allclose(linalg.multi_dot([Value(operands[0]), *operands[1:]]).data, expected)
        ad.check_grads(lambda *xs: linalg.multi_dot(xs), *operands, order=1)


@pytest.mark.parametrize("n", range(-4, 9))
def test_powers(n: int) -> None:
    x = draw(of_spectrum, (3, 3)) / 2
    assert_close(linalg.matrix_power(Value(x), n), linalg.matrix_power(x, n), 1e-14)
    ad.check_grads(lambda x: linalg.matrix_power(x, n), x, rtol=1e-5, atol=1e-5)


# -- mistakes


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda v: linalg.qr(v, "raw"), OperandError, "reduced"),
        (lambda v: linalg.qr(v, "round"), ValueError, "round"),
        (lambda v: linalg.matrix_power(v, 1.5), TypeError, "int"),
        (lambda v: linalg.matrix_power(v[:1], 2), linalg.LinAlgError, "square"),
        (lambda v: linalg.multi_dot([v]), ValueError, "two"),
        (lambda v: linalg.multi_dot([v, v[None], v]), linalg.LinAlgError, "axes"),
        (lambda v: linalg.tensorsolve(v[None], v[:, 0]), linalg.LinAlgError, "unknowns"),
        (lambda v: linalg.tensorinv(v, 0), ValueError, "ind"),
        (lambda v: linalg.cross(v, v), ValueError, "np.cross"),
        (lambda v: linalg.outer(v, v), ValueError, "np.outer"),
        (lambda v: linalg.norm(v, 7), ValueError, "norm"),
        (lambda v: linalg.norm(v, "rms"), ValueError, "norm"),
        (lambda v: linalg.norm(v, 2, (0, 2)), ValueError, "axis"),
        (lambda v: linalg.inv(v[:1]), linalg.LinAlgError, "square"),
        (lambda v: linalg.inv(v * 0), linalg.LinAlgError, "Singular"),
        (lambda v: linalg.cholesky(-v), linalg.LinAlgError, "definite"),
        (lambda v: linalg.pinv(v, v[0, 0]), ad.DetachError, "pinv"),
        (lambda v: linalg.pinv(v, 1e-3, rtol=1e-3), ValueError, "both"),
        (lambda v: linalg.eigh(v, "lower"), ValueError, "UPLO"),
    ],
)
def test_mistakes_are_named(call: Callable[[Value], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call(Value(np.diag([1.0, 2.0])))
