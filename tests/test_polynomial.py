"""Polynomials beyond the table: roots that coincide or are 0, lists, options, errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import assert_close
from test_numeric import check

import autodiff as ad
from autodiff import Value
from autodiff.errors import OperandError


def test_the_roots_of_a_polynomial_of_roots() -> None:
    """poly after roots is the identity on monic polynomials: so are the products of their Jacobians."""
    for p in ([1.0, -6.0, 11.0, -6.0], [1.0, 2.0, 5.0], [1.0, 0.0, 0.0, 8.0]):
        p = np.array(p)
        there_and_back = lambda p: np.poly(np.roots(p)) * p[0]
        for e in np.eye(p.size):
            np.testing.assert_allclose(ad.vjp(there_and_back, p)[1](e)[0], e, atol=1e-12)
            np.testing.assert_allclose(ad.jvp(there_and_back, (p,), (e,))[1], e, atol=1e-12)
        check(there_and_back, p, precision=1e-8)


def test_complex_roots() -> None:
    """z^2 + b z + c with b^2 < 4c: the roots are -b/2 +- i sqrt(c - b^2/4)."""
    b, c = ad.grad(lambda p: np.abs(np.roots(p)[0]) ** 2)(np.array([1.0, 2.0, 5.0]))[1:]
    np.testing.assert_allclose([b, c], [0, 1], atol=1e-15)  # the modulus is sqrt(c)
    check(lambda p: np.roots(p).imag, [1.0, 2.0, 5.0])
    check(np.roots, np.array([1.0, 2.0 + 1j, 5.0 - 2j]))
    assert ad.grad(lambda p: np.roots(p).real.sum())(np.array([1, 2, 5], np.float32)).dtype == np.float32


def test_roots_between_zeros() -> None:
    """Zeros in front have a derivative; a single one at the end is a root at 0, which moves too."""
    p = np.array([0.0, 0.0, 1.0, -3.0, 2.0, 0.0])
    roots, pull = ad.vjp(np.roots, p)
    np.testing.assert_allclose(roots, [2, 1, 0])
    for r, slope, e in zip((2.0, 1.0, 0.0), (2.0, -1.0, 2.0), np.eye(3), strict=True):
        np.testing.assert_allclose(pull(e)[0], -(r ** np.arange(5.0, -1, -1)) / slope, atol=1e-12)
    shorter = lambda q: np.roots(np.concatenate([np.zeros(2), q, np.zeros(1)]))
    check(shorter, p[2:5])
    for empty in (np.zeros(3), np.ones(1)):
        roots, pull = ad.vjp(np.roots, empty)
        assert roots.shape == (0,)
        np.testing.assert_array_equal(pull(np.zeros(0))[0], np.zeros_like(empty))


def test_roots_and_polynomials_of_lists() -> None:
    """The coefficients may be a list with Values in it."""
    b, c = ad.grad(lambda b, c: np.roots([1.0, b, c])[0], (0, 1))(-3.0, 2.0)
    np.testing.assert_allclose([b, c], [-2, -1])  # at the root 2 the slope is 1
    np.testing.assert_allclose(ad.grad(lambda r: np.poly([r, 2.0, 1.0])[-1])(3.0), -2)
    np.testing.assert_allclose(ad.grad(lambda a, x: np.polyval([a, 0.0, 1.0], x), (0, 1))(2.0, 3.0), [9, 12])
    np.testing.assert_allclose(ad.grad(lambda a, x: np.interp(x, [0, 1], [a, 1.0]), (0, 1))(2.0, 0.25), [0.75, -1])


def test_multiple_roots() -> None:
    """They move infinitely fast; one that no loss looks at does no harm."""
    p = np.array([1.0, 1.0, 0.0, 0.0])
    roots, pull = ad.vjp(np.roots, p)
    np.testing.assert_array_equal(roots, [-1, 0, 0])
    np.testing.assert_allclose(pull(np.array([1.0, 0, 0]))[0], [1, -1, 1, -1])
    assert np.isinf(pull(np.array([0.0, 1, 0]))[0][-1])


def test_poly_of_complex_roots() -> None:
    """Real coefficients if the roots come in conjugate pairs, as in NumPy."""
    pairs = np.array([1 + 2j, 3.0, 1 - 2j])
    assert np.poly(Value(pairs)).dtype == np.float64
    np.testing.assert_array_equal(np.poly(Value(pairs)).data, np.poly(pairs))
    gradient = ad.grad(lambda z: np.poly(z) @ np.array([0.0, 1.0, 0.0, 0.0]))(pairs)
    np.testing.assert_allclose(gradient, [-1, -1, -1])
    check(np.poly, np.array([1 + 2j, 3j, 0.5]))
    assert np.poly(Value(np.ones(2, np.float32))).dtype == np.float32
    assert np.poly(Value(np.ones(0))) == 1.0
    with pytest.raises(ValueError, match="poly: an array of shape"):
        np.poly(Value(np.ones((2, 3))))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_characteristic_polynomial_of_the_identity(n: int) -> None:
    """All eigenvalues coincide, and none has a derivative; det(t - 1 - h) = (t-1)^n - (t-1)^(n-1) trace(h) + ..."""
    one = np.eye(n)
    expected = np.concatenate([[0.0], -np.poly(np.ones(n - 1))]) if n > 1 else np.array([0.0, -1.0])
    for i in range(n + 1):
        np.testing.assert_allclose(ad.grad(lambda x, i=i: np.poly(x)[i])(one), expected[i] * one, atol=1e-13)
    assert np.isfinite(ad.jvp(ad.grad(lambda x: (np.poly(x) ** 2).sum()), (one,), (one,))[1]).all()


def test_polynomial_arithmetic_of_lists() -> None:
    p = np.array([1.0, -3.0, 2.0])
    for f in (np.polyadd, np.polysub, np.polymul):
        for other in ([2.0, 1.0], 3.0, [1, 0, 0, 1]):
            np.testing.assert_array_equal(f(Value(p), other).data, f(p, other))
            np.testing.assert_array_equal(f(other, Value(p)).data, f(other, p))
            check(lambda p, f=f, other=other: f(other, p), p)
    check(lambda p: np.polyval(p, [0.5, 2.0]), p)
    check(lambda x: np.polyval([1, -3, 2], x), [0.5, 2.0])
    check(lambda p, x: np.polyval(p, x), p, 0.5)


def test_zeros_in_front_of_a_product() -> None:
    """NumPy leaves them out, so they receive no gradient; of zeros alone one is left."""
    p, q = np.array([0.0, 0.0, 1.0, 2.0]), np.array([0.0, 3.0])
    y = np.polymul(Value(p), q)
    np.testing.assert_array_equal(y.data, np.polymul(p, q))
    np.testing.assert_array_equal(ad.grad(lambda p: np.polymul(p, q).sum())(p), [0, 0, 3, 3])
    np.testing.assert_array_equal(np.polymul(Value(np.zeros(3)), p).data, np.polymul(np.zeros(3), p))


def test_division_without_remainder() -> None:
    p, q = np.poly([1.0, 2.0, 3.0]), np.poly([2.0])
    quotient, remainder = np.polydiv(Value(p), Value(q))
    np.testing.assert_allclose(quotient.data, np.poly([1.0, 3.0]))
    np.testing.assert_allclose(remainder.data, [0], atol=1e-14)
    check(lambda p, q: np.polydiv(p, q)[0], p, q)
    np.testing.assert_allclose(ad.grad(lambda p: np.polydiv(p, q)[1].sum())(p), [8, 4, 2, 1])  # p(2)
    check(lambda p, q: np.polydiv(p, q)[0], p + 1j, q + 2j)
    check(lambda p: np.polydiv(p, 2.0)[0], p)


@pytest.mark.parametrize("k", [None, 3.0, [1.0, 2.0], np.array([1, 2, 5])])
def test_constants_of_integration(k: Any) -> None:
    p = np.array([3.0, 2.0, 1.0])
    np.testing.assert_array_equal(np.polyint(Value(p), 2, k).data, np.polyint(p, 2, k))
    check(lambda p: np.polyint(p, 2, k), p)
    check(lambda p, k: np.polyint(p, 2, k), p, 4.0)
    check(lambda p, k: np.polyint(p, m=2, k=k), p, [4.0, 5.0])


def test_trim_zeros_by_data() -> None:
    x = np.array([0.0, 0.0, 1.0, 0.0, 2.0, 0.0])
    for trim, kept in {"fb": slice(2, 5), "f": slice(2, None), "B": slice(None, 5), "bf": slice(2, 5)}.items():
        y = np.trim_zeros(Value(x), trim)
        np.testing.assert_array_equal(y.data, x[kept])
        np.testing.assert_array_equal(
            ad.grad(lambda x, trim=trim: np.trim_zeros(x, trim).sum())(x), np.eye(6)[kept].sum(0)
        )
    for trim in ("f", "b", "fb"):
        assert np.trim_zeros(Value(np.zeros(3)), trim).shape == (0,)
    with pytest.raises(ValueError, match="trim_zeros: trim='x'"):
        np.trim_zeros(Value(x), "x")


@pytest.mark.skipif(
    "axis" not in inspect.signature(np.trim_zeros).parameters, reason="of one axis only before NumPy 2.2"
)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), (1, 2)])
def test_trim_zeros_of_several_axes(axis: Any) -> None:
    x = np.zeros((4, 5, 3))
    x[1, 2:4, 0] = x[2, 2, 1] = 1.0
    for trim in ("fb", "f", "b"):
        for array in (x, np.zeros((2, 2, 2))):
            np.testing.assert_array_equal(
                np.trim_zeros(Value(array), trim, axis).data, np.trim_zeros(array, trim, axis)
            )


# -- fitting


@pytest.mark.parametrize("cov", [False, True, "unscaled"])
@pytest.mark.parametrize("weighted", [False, True])
def test_polyfit_and_its_covariance(cov: Any, weighted: bool, rng: Any) -> None:
    x, samples, w = np.array([0.0, 1.0, 2.5, 3.0, 4.5]), rng.normal(size=(5, 2)), rng.uniform(0.5, 2, 5)

    def fit(x: Any, y: Any, w: Any) -> Any:
        return np.polyfit(x, y, 2, w=w if weighted else None, cov=cov)

    for y in (samples[:, 0], samples):
        expected, actual = fit(x, y, w), fit(Value(x), Value(y), Value(w))
        for a, e in zip(actual, expected, strict=True) if cov else [(actual, expected)]:
            assert_close(a, e, 1e-12)
            assert a.dtype == e.dtype
        for part in (0, 1) if cov else (slice(None),):
            check(lambda x, y, w, part=part: fit(x, y, w)[part], x, y, w, precision=1e-8)
            assert isinstance(fit(x, Value(y), w)[part], Value)


def test_polyfit_in_full(rng: Any) -> None:
    x, y = np.arange(5.0), rng.normal(size=5)
    expected, actual = np.polyfit(x, y, 1, full=True), np.polyfit(Value(x), y, 1, full=True)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a.data if isinstance(a, Value) else a, e)
    check(lambda x, y: np.polyfit(x, y, 1, full=True)[1], x, y)
    check(lambda x, y: np.polyfit(x, y, 1, 1e-8, True)[3], x, y)


def test_polyfit_of_a_line() -> None:
    """Through points on a line: moving one point up by dy moves the fitted line as the normal equations say."""
    x = np.array([0.0, 1.0, 2.0])
    slope, offset = (ad.grad(lambda y, i=i: np.polyfit(x, y, 1)[i])(2 * x + 1) for i in (0, 1))
    np.testing.assert_allclose(slope, [-0.5, 0, 0.5], atol=1e-15)
    np.testing.assert_allclose(offset, [5 / 6, 1 / 3, -1 / 6], atol=1e-15)
    assert ad.grad(lambda y: np.polyfit([0, 1, 2], y, 1).sum())(np.ones(3, np.float32)).dtype == np.float32


def test_polyfit_warns_and_refuses() -> None:
    x = Value(np.ones(3))
    with pytest.warns(np.exceptions.RankWarning):
        np.polyfit(x, np.ones(3), 1)
    for args, options, error, text in [
        ((x, np.ones(3), -1), {}, ValueError, "deg=-1"),
        ((x, np.ones(4), 1), {}, TypeError, r"y of shape \(4,\)"),
        ((x, np.ones((3, 1, 1)), 1), {}, TypeError, "y of shape"),
        ((x[:0], np.ones(0), 1), {}, TypeError, r"x of shape \(0,\)"),
        ((x, np.ones(3), 1), {"w": np.ones(2)}, TypeError, r"w of shape \(2,\)"),
        ((Value(np.arange(3.0)), np.ones(3), 2), {"cov": True}, ValueError, "unscaled"),
    ]:
        plain = [a.data if isinstance(a, Value) else a for a in args]
        with pytest.raises(error):
            np.polyfit(*plain, **options)
        with pytest.raises(error, match=f"polyfit: .*{text}"):
            np.polyfit(*args, **options)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda v: np.polyadd(v, np.poly1d([1, 2])), OperandError, r"polyadd: .* poly1d; pass its \.coeffs"),
        (lambda v: np.polyval(np.poly1d([1, 2]), v), OperandError, "polyval: .* poly1d"),
        (lambda v: np.polyval(v, np.poly1d([1, 2])), OperandError, "polyval: .* poly1d"),
        (lambda v: np.polydiv(v, np.poly1d([1, 2])), OperandError, "polydiv: .* poly1d"),
        (lambda v: np.polyder(v, -1), ValueError, "polyder: m=-1"),
        (lambda v: np.polyint(v, -1), ValueError, "polyint: m=-1"),
        (lambda v: np.polyint(v, 3, [1, 2]), ValueError, "polyint: 2 constants for 3"),
        (lambda v: np.roots(np.stack([v, v])), ValueError, "rank-1"),
        (lambda v: np.vander(np.stack([v, v])), ValueError, "one-dimensional"),
    ],
)
def test_errors(call: Callable[[Any], Any], error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        call(Value(np.ones(3)))


def test_polynomials_of_two_variables() -> None:
    x, y = np.array([0.3, -0.7]), np.array([1.1, 0.4])
    c = np.arange(6.0).reshape(2, 3) - 2
    for f in (np.polynomial.polynomial.polyval2d, np.polynomial.polynomial.polygrid2d):
        np.testing.assert_allclose(f(Value(x), y, c).data, f(x, y, c))
        ad.check_grads(f, x, y, c, order=2)
