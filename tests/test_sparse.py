"""Sparse Jacobians and Hessians against dense ones, and how many passes they take."""

from __future__ import annotations

import inspect
import pickle
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sparsity import EXACT, SMOOTH, dense_jacobian

import autodiff as ad
from autodiff import record
from autodiff.batched import Batched

Array = np.ndarray[Any, Any]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many tangents have been pushed, and cotangents pulled: those of a batch in one walk."""
    counts = {"fwd": 0, "rev": 0}

    def counted(mode: str, walk: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            given = next(iter(args[1].values())) if mode == "fwd" else args[0][0][1] if args[0] else None
            counts[mode] += given.levels[-1].size if isinstance(given, Batched) else 1
            return walk(*args, **kwargs)

        return run

    monkeypatch.setattr(record, "walk_forward", counted("fwd", record.walk_forward))
    monkeypatch.setattr(record, "walk_back", counted("rev", record.walk_back))
    return counts


def burgers(u: Any) -> Any:
    return np.concatenate([u[:1], u[:-2] - 2 * u[1:-1] + u[2:] - u[1:-1] ** 3, u[-1:]])


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def laplacian(u: Any) -> Any:
    n = round(np.size(u) ** 0.5)
    u = np.pad(u.reshape(n, n), 1)
    return u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1] + u[1:-1, 1:-1] ** 2


def dense_hessian(f: Callable[..., Any], x: Array) -> Array:
    return dense_jacobian(ad.grad(f), x)


def assert_equal(found: Any, expected: Array, rtol: float = 1e-12) -> None:
    assert isinstance(found, sparse.csr_array)
    assert found.format == "csr" and found.has_canonical_format
    assert found.shape == expected.shape and found.dtype == expected.dtype
    scale = float(np.abs(expected).max(initial=0))
    np.testing.assert_allclose(found.toarray(), expected, rtol=rtol, atol=rtol * scale)


# -- Jacobians


def test_the_story() -> None:
    F = lambda u: np.concatenate([u[:1], u[:-2] - 2 * u[1:-1] + u[2:] - u[1:-1] ** 3, u[-1:]])
    J = ad.sparse_jacobian(F)(np.linspace(0.1, 1.0, 200))
    assert J.format == "csr" and J.nnz == 2 + 3 * 198


def test_newton_with_scipy() -> None:
    """What it is for: the matrix goes into SciPy's solvers as it is."""
    from scipy.sparse.linalg import spsolve

    f = lambda u: burgers(u) - np.eye(1, 200)[0]
    jacobian, u = ad.sparse_jacobian(f), np.linspace(0.0, 0.1, 200)
    for _ in range(30):
        u = u - spsolve(jacobian(u), f(u))
    assert np.abs(f(u)).max() < 1e-12


@pytest.mark.parametrize("mode", ["fwd", "rev", None])
@pytest.mark.parametrize("name", EXACT)
def test_jacobian(name: str, mode: Any) -> None:
    x, f = np.random.default_rng(7).uniform(0.5, 2.0, 12), EXACT[name]
    expected = dense_jacobian(f, x)
    assert_equal(ad.sparse_jacobian(f, mode=mode)(x), expected, 1e-6 if name == "astype" else 1e-12)


def test_stored_is_the_pattern_and_not_what_is_nonzero() -> None:
    f = lambda u: u[1:] * u[:-1]
    found = ad.sparse_jacobian(f)(np.zeros(5))
    assert found.nnz == 8 and not found.data.any()
    pattern = ad.jacobian_sparsity(f)(np.zeros(5))
    assert pattern.dtype == bool and pattern.data.all()
    np.testing.assert_array_equal(pattern.indices, found.indices)
    np.testing.assert_array_equal(pattern.indptr, found.indptr)


@pytest.mark.parametrize("n", [10, 40, 400])
def test_the_number_of_passes_does_not_grow(n: int, passes: dict[str, int]) -> None:
    ad.sparse_jacobian(burgers)(np.linspace(0.1, 1.0, n))
    assert passes == {"fwd": 3, "rev": 0}


def test_passes(passes: dict[str, int]) -> None:
    """One a colour; forward or backward, whichever takes fewer; none for nothing."""
    x = np.linspace(0.1, 1.0, 30)

    def taken(f: Callable[..., Any], at: Any = x, **options: Any) -> tuple[int, int]:
        passes.update(fwd=0, rev=0)
        found = ad.sparse_jacobian(f, **options)(at)
        counts = passes["fwd"], passes["rev"]
        assert_equal(found, dense_jacobian(f, at))
        return counts

    assert taken(np.sin) == (1, 0)
    assert taken(np.sum) == (0, 1)
    assert taken(lambda u: np.concatenate([u.sum()[None], u**2])) == (0, 2)
    assert taken(lambda u: u * u[0]) == (2, 0)
    assert taken(burgers, mode="rev") == (0, 3)
    assert taken(np.sum, mode="fwd") == (30, 0)
    assert taken(np.floor) == (1, 0)
    assert taken(lambda u: np.ones(3)) == (0, 0)
    assert taken(lambda u: u[:0]) == (0, 0)
    assert taken(lambda u: laplacian(u).ravel(), np.linspace(0.0, 1.0, 36)) == (5, 0)


def test_many_colours_in_parts(monkeypatch: pytest.MonkeyPatch, passes: dict[str, int]) -> None:
    """The directions are not all held at once."""
    from autodiff.sparse import matrices as module

    x = np.linspace(0.5, 1.0, 9)
    f = lambda u: np.cumsum(u**2).reshape(3, 3)
    monkeypatch.setattr(module, "AT_ONCE", 40)
    for mode in ("fwd", "rev"):
        assert_equal(ad.sparse_jacobian(f, mode=mode)(x), dense_jacobian(f, x))
    assert passes == {"fwd": 9 + 2 * 9, "rev": 9}


def test_shapes() -> None:
    """Both sides flattened in C order; numbers, and arrays without elements."""
    x = np.arange(1.0, 7.0).reshape(2, 3)
    f = lambda a: (a[:, :2] * a[:, 1:]).T
    assert_equal(ad.sparse_jacobian(f)(x), dense_jacobian(f, x))
    assert_equal(ad.sparse_jacobian(f)(np.asfortranarray(x)), dense_jacobian(f, x))
    assert ad.sparse_jacobian(lambda a: a.sum())(x).shape == (1, 6)
    assert_equal(ad.sparse_jacobian(lambda a: np.array([a, a * a, 1.0]))(3.0), np.array([[1.0], [6.0], [0.0]]))
    assert_equal(ad.sparse_jacobian(np.sin)(0.0), np.ones((1, 1)))
    assert_equal(ad.sparse_jacobian(np.sin)(np.array(0.0)), np.ones((1, 1)))
    assert_equal(ad.sparse_jacobian(np.sin)(np.zeros((0, 3))), np.zeros((0, 0)))
    assert_equal(ad.sparse_jacobian(lambda a: a[:0])(x), np.zeros((0, 6)))
    assert_equal(ad.sparse_jacobian(lambda a: np.zeros(2))(np.zeros((0, 3))), np.zeros((2, 0)))
    assert_equal(ad.sparse_jacobian(lambda a: np.concatenate([a, np.ones(2)]).sum())(np.zeros(0)), np.zeros((1, 0)))


@pytest.mark.parametrize(
    "value", [np.ones(4), np.arange(4), 2.0, 3, np.float64(1.0), np.ones(()), ad.Value([1.0], requires_grad=False)]
)
def test_no_dependence(value: Any) -> None:
    found = ad.sparse_jacobian(lambda u: value)(np.ones((2, 3)))
    assert found.format == "csr" and found.nnz == 0 and found.shape == (np.size(value), 6) and found.dtype == float
    assert ad.jacobian_sparsity(lambda u: value)(np.ones((2, 3))).nnz == 0
    assert ad.sparse_jacobian(lambda u: (u > 0).astype(float))(np.ones(3)).nnz == 0


def test_arguments() -> None:
    f = lambda a, b, scale=1.0: scale * a[1:] * b
    a, b = np.arange(4.0), np.arange(3.0) + 1
    assert_equal(ad.sparse_jacobian(f)(a, b), np.eye(3, 4, 1) * b[:, None])
    assert_equal(ad.sparse_jacobian(f, 1)(a, b, scale=2.0), 2 * np.diag(a[1:]))
    assert_equal(ad.sparse_jacobian(f, argnums=-2)(a, ad.Value(b, requires_grad=False)), np.eye(3, 4, 1) * b[:, None])
    assert_equal(ad.sparse_jacobian(f, np.int64(1))(a, b), np.diag(a[1:]))


def test_single_precision() -> None:
    x = np.linspace(0.1, 1.0, 20, dtype=np.float32)
    assert_equal(ad.sparse_jacobian(burgers)(x), dense_jacobian(burgers, x), 1e-6)
    assert_equal(ad.sparse_jacobian(burgers, mode="rev")(x), dense_jacobian(burgers, x), 1e-6)
    for mode in ("fwd", "rev"):
        assert ad.sparse_jacobian(lambda u: u.astype(np.float64) ** 2, mode=mode)(x).dtype == np.float32
        assert ad.sparse_jacobian(lambda u: u * 1j, mode=mode)(x).dtype == np.complex64
    diagonal = np.eye(20, dtype=bool)
    assert ad.sparse_jacobian(lambda u: u.astype(np.float64) ** 2, sparsity=diagonal)(x).dtype == np.float32
    assert_equal(ad.sparse_hessian(rosenbrock)(x), dense_hessian(rosenbrock, x), 2e-6)


@pytest.mark.parametrize("mode", ["fwd", "rev", None])
def test_complex(mode: Any) -> None:
    """Entries are df/dz, in either mode; of a real argument those of a complex function of it."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=9) + 1j * rng.normal(size=9)
    for f in (burgers, lambda z: np.exp(1j * z[1:]) * z[:-1] ** 2, lambda z: np.fft.fft(z.reshape(3, 3))):
        assert_equal(ad.sparse_jacobian(f, mode=mode)(z), dense_jacobian(f, z))
    g = lambda x: (1 + 2j) * x[1:] ** 2 - 1j * x[:-1]
    expected = np.diag(2 * (1 + 2j) * z.real[1:]) @ np.eye(8, 9, 1) - 1j * np.eye(8, 9)
    assert_equal(ad.sparse_jacobian(g, mode=mode)(z.real), expected)


def test_complex_to_real() -> None:
    """There is no df/dz; forward mode gives the derivative along the real axis, as `jvp` does."""
    z = np.array([1 + 2j, 3 - 1j])
    f = lambda z: (z * z.conj()).real
    assert_equal(ad.sparse_jacobian(f)(z), np.diag(2 * z.real))
    with pytest.raises(ad.OperandError, match=r'mode="rev" with a complex argument and a real result'):
        ad.sparse_jacobian(f, mode="rev")(z)


def test_kinks_and_infinite_derivatives() -> None:
    x = np.array([4.0, 0.0, -1.0, 9.0])
    with np.errstate(all="ignore"):
        found = ad.sparse_jacobian(lambda u: np.where(u > 0, np.sqrt(u), 0.0))(x)
        np.testing.assert_array_equal(found.toarray(), np.diag([0.25, 0.0, 0.0, 1 / 6]))
        found = ad.sparse_jacobian(lambda u: np.sqrt(u[1:]) + u[:-1])(np.array([1.0, 0.0, 4.0]))
    np.testing.assert_array_equal(found.toarray(), [[1.0, np.inf, 0.0], [0.0, 1.0, 0.25]])


def test_plain_buffers_and_loops() -> None:
    def f(u: Any) -> Any:
        out = np.zeros(len(u))
        for i in range(1, len(u) - 1):
            out[i] = u[i - 1] * u[i + 1]
        out[0] += u[0]
        return out

    x = np.linspace(1.0, 2.0, 9)
    found = ad.sparse_jacobian(f)(x)
    assert found.nnz == 1 + 2 * 7
    assert_equal(found, dense_jacobian(f, x))


def test_what_f_filled_is_let_go() -> None:
    """As after every transform, nothing that f has written to remains tracked."""
    kept = []

    def f(u: Any) -> Any:
        buffer = np.zeros(3)
        buffer[:] = u
        kept.append(buffer)
        return buffer * 2

    x = np.ones(3)
    for transform in (ad.sparse_jacobian, ad.jacobian_sparsity):
        transform(f)(x)
        assert not kept[-1].requires_grad
    ad.sparse_hessian(lambda u: f(u).sum())(x)
    assert not kept[-1].requires_grad
    with pytest.raises(ad.OperandError):
        ad.sparse_jacobian(lambda u: [f(u)])(x)
    assert not kept[-1].requires_grad


def test_the_argument_is_not_written_to() -> None:
    def f(u: Any) -> Any:
        u[1:] *= u[:-1]
        return u

    x = np.arange(1.0, 5.0)
    assert_equal(ad.sparse_jacobian(f)(x), dense_jacobian(f, x.copy()))
    np.testing.assert_array_equal(x, np.arange(1.0, 5.0))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.05, 0.7), st.integers(0, 10**6))
def test_random_programs(n: int, m: int, density: float, seed: int) -> None:
    """Random sparse linear maps, indices and products."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(m, n)) * (rng.random((m, n)) < density)
    b = rng.normal(size=(n, m)) * (rng.random((n, m)) < density)
    pick = rng.integers(0, m, 5)

    def f(u: Any) -> Any:
        v = np.sin(a @ u)
        w = u * (b @ v)
        return np.concatenate([v[pick] * v[pick[::-1]], w, (w[:1] * v[-1:]) ** 2])

    x = rng.normal(size=n)
    for mode in ("fwd", "rev", None):
        assert_equal(ad.sparse_jacobian(f, mode=mode)(x), dense_jacobian(f, x))
    g = lambda u: (f(u) ** 2).sum()
    hessian = ad.sparse_hessian(g)(x)
    assert_equal(hessian, dense_hessian(g, x), 1e-11)
    assert (hessian != hessian.T).nnz == 0


# -- Hessians


def test_rosenbrock(passes: dict[str, int]) -> None:
    """Tridiagonal, and three passes; against the closed form."""
    x = np.linspace(-1.0, 2.0, 50)
    found = ad.sparse_hessian(rosenbrock)(x)
    assert passes["fwd"] == 3
    assert found.nnz == 3 * 50 - 2
    diagonal = np.zeros(50)
    diagonal[:-1] = 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    diagonal[1:] += 200
    expected = np.diag(diagonal) + np.diag(-400 * x[:-1], 1) + np.diag(-400 * x[:-1], -1)
    assert_equal(found, expected)
    np.testing.assert_array_equal(found.toarray(), found.T.toarray())


BANDED = np.eye(12) * 2 - np.eye(12, k=1) - np.eye(12, k=-1)
TIGHT: dict[str, tuple[Callable[[Any], Any], int]] = {  # of twelve numbers, with the number of entries
    "sum of elements": (lambda x: np.sum(np.sin(x) * np.exp(x)), 12),
    "mean of squares": (lambda x: np.mean(x**2), 12),
    "quadratic form": (lambda x: 0.5 * x @ BANDED @ x, 34),
    "quadratic form by dot": (lambda x: np.dot(x, np.dot(BANDED, x)), 34),
    "quadratic form by einsum": (lambda x: np.einsum("i,ij,j->", x, BANDED, x), 34),
    "least squares": (lambda x: np.sum((np.diff(BANDED, axis=0) @ x - 1.0) ** 2), 12 + 2 * (11 + 10 + 9)),
    "total variation": (lambda x: np.sum(np.sqrt(1 + np.diff(x) ** 2)), 34),
    "pairs": (lambda x: np.sum(x[::2] * x[1::2]), 12),
    "cubes of cells": (lambda x: np.sum(x.reshape(4, 3).sum(axis=1) ** 3), 36),
    "one": (lambda x: x[3] ** 3, 1),
    "linear": (lambda x: 3 * x.sum(), 0),
    "constant": (lambda x: 1.0, 0),
    "no dependence": (lambda x: np.floor(x).sum(), 0),
    "shell": (lambda x: np.sum(1 / np.cosh(np.pad(x, 1)[2:] - x)), 12 + 2 * 11),
    "arrow": (lambda x: np.sum(x[0] * x**2), 12 + 2 * 11),
    "loop": (lambda x: sum(x[i] * x[i + 1] ** 2 for i in range(11)), 33),
}


@pytest.mark.parametrize("name", TIGHT)
def test_hessians_are_tight(name: str) -> None:
    f, count = TIGHT[name]
    x = np.random.default_rng(2).uniform(0.5, 1.5, 12)
    found = ad.sparse_hessian(f)(x)
    assert_equal(found, dense_hessian(f, x))
    assert found.nnz == count
    assert (abs(found - found.T)).max() == 0


@pytest.mark.parametrize("name", SMOOTH)
def test_hessian(name: str) -> None:
    x, f = np.random.default_rng(7).uniform(0.5, 2.0, 12), SMOOTH[name]
    phi = lambda u: (f(u) ** 2).sum()
    assert_equal(ad.sparse_hessian(phi)(x), dense_hessian(phi, x), 1e-10)


def test_one_variable_that_meets_all_others_costs_one_pass(passes: dict[str, int]) -> None:
    x = np.linspace(0.5, 1.5, 40)
    f = lambda x: rosenbrock(x) + np.sum(x * x[20] ** 2)
    found = ad.sparse_hessian(f)(x)
    assert passes["fwd"] == 4
    assert_equal(found, dense_hessian(f, x))


def test_hessian_of_shapes() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    f = lambda a: np.sum(a[1:] * a[:-1] ** 2)
    found = ad.sparse_hessian(f)(x)
    assert found.shape == (12, 12)
    assert_equal(found, dense_hessian(f, x))
    assert_equal(ad.sparse_hessian(lambda a: a**3)(2.0), np.array([[12.0]]))
    assert_equal(ad.sparse_hessian(lambda a: np.sum(a**3))(np.zeros(0)), np.zeros((0, 0)))
    g = lambda w, a: np.sum(w * a**2)
    assert_equal(ad.sparse_hessian(g, 1)(2.0, np.ones(3)), 4 * np.eye(3))


# -- patterns from the user


def tridiagonal(n: int) -> Any:
    return sparse.diags_array([np.ones(n)] * 3, offsets=(-1, 0, 1), shape=(n, n))


def test_given_sparsity(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used in place of what would be found."""
    from autodiff.sparse import matrices as module

    monkeypatch.setattr(module, "dependence", None)
    x = np.linspace(0.1, 1.0, 20)
    expected = dense_jacobian(burgers, x)
    dense = tridiagonal(20).toarray() != 0
    for known in (tridiagonal(20), sparse.csc_matrix(dense), sparse.coo_array(dense.astype(int)), dense, dense * 1.0):
        found = ad.sparse_jacobian(burgers, sparsity=known)(x)
        assert_equal(found, expected)
        assert found.nnz == 58
    hessian = ad.sparse_hessian(rosenbrock, sparsity=dense)(x)
    assert_equal(hessian, dense_hessian(rosenbrock, x))
    assert_equal(ad.sparse_jacobian(burgers, sparsity=np.ones((20, 20), bool), mode="rev")(x), expected)
    zeros = sparse.csr_array((np.zeros(400), (np.repeat(range(20), 20), np.tile(range(20), 20))))
    assert ad.sparse_jacobian(burgers, sparsity=zeros)(x).nnz == 400  # what is stored counts, not its value


def test_given_sparsity_is_not_changed() -> None:
    given = sparse.coo_array(([1.0, 2.0, 3.0], ([0, 1, 0], [0, 1, 0])), shape=(2, 2))
    assert ad.sparse_jacobian(np.sin, sparsity=given)(np.ones(2)).nnz == 2
    assert given.nnz == 3 and given.data.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_sparsity_that_leaves_something_out(mode: Any) -> None:
    x = np.linspace(0.1, 1.0, 20)
    wrong = tridiagonal(20).toarray() != 0
    wrong[7, 8] = False
    with pytest.raises(ad.GraphError, match=r"sparse_jacobian: sparsity= leaves out entries .* row 7"):
        ad.sparse_jacobian(burgers, sparsity=wrong, mode=mode)(x)
    with pytest.raises(ad.GraphError, match="sparse_hessian: sparsity= leaves out"):
        ad.sparse_hessian(rosenbrock, sparsity=wrong)(x)
    with pytest.raises(ad.GraphError, match="leaves out"):
        ad.sparse_jacobian(burgers, sparsity=np.zeros((20, 20), bool), mode=mode)(x)
    with pytest.raises(ad.GraphError, match="leaves out"):
        ad.sparse_jacobian(lambda z: z[::-1] * z, sparsity=np.eye(4, dtype=bool))(np.arange(4) + 1j)


@pytest.mark.parametrize("given", [np.ones((3, 4)), np.ones(3), sparse.eye_array(4), "all", np.array([["a"]]), None])
def test_sparsity_of_the_wrong_kind(given: Any) -> None:
    run = ad.sparse_jacobian(np.sin, sparsity=given)
    if given is None:
        run(np.ones(3))
        return
    with pytest.raises(ad.OperandError, match=r"sparsity has shape .*\(3, 3\)"):
        run(np.ones(3))


@pytest.mark.parametrize(
    ("given", "message"), [([[1], [1, 0]], "sparsity is ragged"), (ad.Value(np.eye(3)), "sparsity is a Value")]
)
def test_sparsity_that_is_no_array(given: Any, message: str) -> None:
    for transform in (ad.sparse_jacobian, ad.sparse_hessian):
        with pytest.raises(ad.OperandError, match=f"{transform.__name__}: {message}"):
            transform(lambda x: (x**2).sum(), sparsity=given)(np.ones(3))


# -- refusals


@pytest.mark.parametrize("transform", [ad.sparse_jacobian, ad.sparse_hessian, ad.jacobian_sparsity])
def test_bad_arguments(transform: Any) -> None:
    name = transform.__name__
    f = lambda x, y=None: np.sum(x)
    for x in (np.arange(3), 2, [1.0, 2.0], (np.ones(2),), {"a": 1.0}, "text"):
        with pytest.raises(ad.OperandError, match=f"{name}: .*argument 0 is"):
            transform(f)(x)
    for argnums in (2, -3):
        with pytest.raises(ad.OperandError, match=rf"{name}: argnums={argnums}, but <lambda> was called with 2"):
            transform(f, argnums)(np.ones(2), np.ones(2))
    for argnums in ((0, 1), "x", 1.0):
        with pytest.raises(ad.OperandError, match=rf"{name}: argnums=.*one int"):
            transform(f, argnums)(np.ones(2), np.ones(2))
    with pytest.raises(ad.OperandError, match=f"{name}: the first argument is a ndarray"):
        transform(np.ones(3))


@pytest.mark.parametrize("result", [(np.ones(2), 1.0), [1.0], {"a": 1.0}, None, "text", sparse.eye_array(2)])
def test_bad_results(result: Any) -> None:
    for transform in (ad.sparse_jacobian, ad.jacobian_sparsity):
        with pytest.raises(ad.OperandError, match=f"{transform.__name__}: f must return one array"):

            def f(x: Any) -> Any:
                return result

            transform(f)(np.ones(2))
    with pytest.raises(ad.GraphError, match="sparse_hessian: <lambda> must return a real scalar, it returned"):
        ad.sparse_hessian(lambda x: result)(np.ones(2))


def test_hessians_of_what_is_no_scalar() -> None:
    for f in (np.sin, lambda x: np.sum(x) * 1j):
        with pytest.raises(ad.GraphError, match="must return a real scalar, it returned shape"):
            ad.sparse_hessian(f)(np.ones(2))
    with pytest.raises(ad.OperandError, match=r"sparse_hessian: a complex argument.*\.real"):
        ad.sparse_hessian(lambda z: np.sum(np.abs(z) ** 2))(np.ones(2) + 0j)


def test_bad_mode() -> None:
    with pytest.raises(ad.OperandError, match="mode='forward'"):
        ad.sparse_jacobian(np.sin, mode="forward")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{}, {"sparsity": np.eye(3, dtype=bool)}])
@pytest.mark.parametrize("transform", [ad.sparse_jacobian, ad.sparse_hessian])
def test_outer_derivatives_are_refused(transform: Any, options: Any) -> None:
    """A SciPy matrix cannot hold what an outer derivative would need: better loud than cut off."""
    x, outer = np.ones(3), ad.Value(2.0)

    def f(u: Any, c: Any = 1.0) -> Any:
        y = c * u**2
        return y if transform is ad.sparse_jacobian else np.sum(y)

    run = transform(f, **options)
    with pytest.raises(ad.GraphError, match="outer derivative is under way"):
        ad.grad(lambda u: run(u).sum())(x)
    with pytest.raises(ad.GraphError, match="outer derivative is under way"):
        ad.grad(lambda c: transform(lambda u: f(u, c), **options)(x).sum())(3.0)
    with pytest.raises(ad.GraphError, match="outer derivative is under way"):
        transform(lambda u: f(u, outer), **options)(x)
    with pytest.raises(ad.GraphError, match="outer derivative is under way"):
        run(ad.Value(x))
    expected = run(x).toarray()
    np.testing.assert_array_equal(run(ad.Value(x, requires_grad=False)).toarray(), expected)
    with ad.no_grad():  # nothing is lost: no derivative was asked for
        np.testing.assert_array_equal(run(ad.Value(x)).toarray(), expected)
        found = transform(lambda u: f(u, outer), **options)(x)
    np.testing.assert_array_equal(found.toarray(), 2 * expected)


def test_detached_inside_an_outer_derivative() -> None:
    x = np.linspace(1.0, 2.0, 4)

    def f(u: Any) -> Any:
        preconditioner = ad.sparse_jacobian(lambda v: v**3)(u.detach())
        return (u * preconditioner.diagonal()).sum()

    np.testing.assert_allclose(ad.grad(f)(x), 3 * x**2)


def test_scipy_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    for transform in (ad.sparse_jacobian, ad.sparse_hessian, ad.jacobian_sparsity):
        with pytest.raises(ImportError, match=rf"{transform.__name__} needs SciPy; .*autodiff\[scipy\]"):
            transform(np.sum)(np.ones(3))


# -- as transforms


def module_level(u: Any, scale: Any = 1.0) -> Any:
    """A stencil."""
    return scale * (u[1:] - u[:-1])


def test_it_is_a_transform() -> None:
    run = ad.sparse_jacobian(module_level, mode="rev")
    assert repr(run) == "sparse_jacobian(module_level, mode='rev')"
    assert run.__doc__ == "A stencil." and list(inspect.signature(run).parameters) == ["u", "scale"]
    again = pickle.loads(pickle.dumps(run))
    np.testing.assert_array_equal(again(np.ones(3)).toarray(), [[-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]])

    @ad.sparse_jacobian(argnums=1)
    def decorated(a: Any, b: Any) -> Any:
        return a * b

    np.testing.assert_array_equal(decorated(2.0, np.ones(2)).toarray(), 2 * np.eye(2))


def test_threads() -> None:
    """Runs share nothing."""
    x = np.linspace(0.1, 1.0, 50)
    expected, found = dense_jacobian(burgers, x), []

    def run() -> None:
        for _ in range(5):
            found.append(ad.sparse_jacobian(burgers)(x).toarray())

    workers = [threading.Thread(target=run) for _ in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert len(found) == 20
    for matrix in found:
        np.testing.assert_allclose(matrix, expected, atol=1e-14)


def test_debug_nans_looks_here_too() -> None:
    with warnings.catch_warnings(), ad.debug_nans(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with pytest.raises(ad.NanError):
            ad.sparse_jacobian(lambda u: np.log(u - 2.0))(np.ones(3))


# -- large


@pytest.mark.slow
def test_large_ones_are_fast() -> None:
    """Generous bounds, many times what they take: a step that is not linear in the size would break them."""

    def timed(run: Callable[[], Any]) -> tuple[Any, float]:
        start = time.perf_counter()
        return run(), time.perf_counter() - start

    x = np.linspace(0.1, 1.0, 100_000)
    jacobian, seconds = timed(lambda: ad.sparse_jacobian(burgers)(x))
    assert jacobian.nnz == 2 + 3 * (x.size - 2) and seconds < 1.0
    hessian, seconds = timed(lambda: ad.sparse_hessian(rosenbrock)(x))
    assert hessian.nnz == 3 * x.size - 2 and seconds < 1.5
    plane, seconds = timed(lambda: ad.sparse_jacobian(laplacian)(np.ones(90_000)))
    assert plane.nnz == 5 * 90_000 - 4 * 300 and seconds < 3.0


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield
