"""Sequences, interpolation and polynomials beyond the table: lists, options, kinks, zeros, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import assert_close, directional, random_like
from strict_array import StrictArray

import autodiff as ad
from autodiff import Value
from autodiff.rules.numeric import bessel_ratio


def check(f: Callable[..., Any], *xs: Any, precision: float = 1e-9) -> None:
    """Both modes against differences, and the gradient's gradient against the gradient's differences."""
    rng = np.random.default_rng(0)
    xs = tuple(np.asarray(x, float) if np.isrealobj(x) else np.asarray(x) for x in xs)
    vs, out = tuple(random_like(rng, x) for x in xs), f(*xs)
    u, where = random_like(rng, np.asarray(out)), tuple(range(len(xs)))
    assert_close(ad.jvp(f, xs, vs)[1], directional(f, xs, vs), precision, float(np.max(np.abs(out))), "jvp")

    def loss(*xs: Any) -> Any:
        y = u * f(*xs)
        y = (y * y).sum()
        return y.real if y.dtype.kind == "c" else y

    gradient = ad.grad(loss, where)
    slope = sum(float((np.conj(g) * v).sum().real) for g, v in zip(gradient(*xs), vs, strict=True))
    assert_close(slope, directional(loss, xs, vs), precision, abs(float(loss(*xs))), "vjp")
    for g, numeric in zip(ad.jvp(gradient, xs, vs)[1], directional(gradient, xs, vs), strict=True):
        assert_close(g, numeric, 10 * precision, 1.0, "second order")


# -- products of sequences


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("sizes", [(5, 2), (2, 5), (4, 3), (3, 4), (4, 4)])
def test_complex_sequences(mode: str, sizes: tuple[int, int], rng: Any) -> None:
    a, v = (rng.normal(size=n) + 1j * rng.normal(size=n) for n in sizes)
    for f in (np.convolve, np.correlate):
        check(lambda a, v, f=f: f(a, v, mode), a, v)
        check(lambda a, f=f: f(a, v.real, mode), a)
        check(lambda v, f=f: f(a.real, v, mode), v)


def test_convolve_takes_lists_and_numbers() -> None:
    np.testing.assert_allclose(
        ad.grad(lambda x: np.convolve(x, [1, -2, 1], "valid") @ [1.0, 10.0])(np.ones(4)), [1, 8, -19, 10]
    )
    np.testing.assert_allclose(ad.grad(lambda x: np.correlate([1.0, 2.0, 4.0], x)[0])(np.ones(3)), [1, 2, 4])
    np.testing.assert_allclose(ad.grad(lambda x: np.convolve(x, 3.0).sum())(np.ones(2)), [3, 3])
    np.testing.assert_allclose(ad.grad(lambda x: np.convolve(np.ones(4), x).sum())(np.array(2.0)), 4)


@pytest.mark.parametrize("f", [np.convolve, np.correlate])
def test_convolve_errors(f: Callable[..., Any]) -> None:
    for a, mode, text in (([], "full", "empty"), ([[1.0, 2.0]], "full", "deep"), ([1.0, 2.0], "most", "mode")):
        for x in (np.array(a), Value(a)):
            with pytest.raises(ValueError, match=text):
                f(x, np.ones(2), mode)


# -- differences and sums along an axis


@pytest.mark.parametrize(
    "options",
    [
        {"prepend": 0.5},
        {"append": [1.0]},
        {"prepend": np.array([3.0]), "append": 2},
        {"prepend": Value(2.0, requires_grad=False)},
        {"n": 2, "prepend": np.float32(1), "append": [1.0, 2.0]},
    ],
)
def test_diff_at_the_ends(options: dict[str, Any]) -> None:
    x = np.array([1.0, 4.0, 9.0])
    plain = {k: v.data if isinstance(v, Value) else v for k, v in options.items()}
    y = np.diff(Value(x), **options)
    np.testing.assert_array_equal(y.data, np.diff(x, **plain))
    assert y.dtype == np.diff(x, **plain).dtype
    check(lambda x: np.diff(x, **options), x)
    single = x.astype(np.float32)
    assert np.diff(Value(single), **options).dtype == np.diff(single, **plain).dtype


def test_diff_of_what_is_put_at_the_ends() -> None:
    check(lambda x, p, q: np.diff(x, axis=0, prepend=p, append=q), np.ones((2, 3)), 2.0, np.ones((1, 3)))
    check(lambda p: np.diff(np.ones((2, 3)), prepend=p), 2.0)
    check(lambda x, p, q: np.ediff1d(x, q, to_begin=p), np.ones((2, 3)), [1.0, 2.0], [[3.0], [4.0]])
    x = Value(StrictArray(np.ones(3)))
    (np.diff(x, prepend=0, append=np.float64(1)) * np.arange(1.0, 5.0)[2]).sum().backward()
    np.testing.assert_array_equal(x.grad.get(), 0)


def test_diff_of_truth_values_and_of_nothing() -> None:
    flags = Value(np.array([True, False, False]), requires_grad=False)
    np.testing.assert_array_equal(np.diff(flags).data, [True, False])
    x = Value(np.ones(2))
    assert np.diff(x, n=0) is x
    assert np.diff(x, n=5).shape == (0,)
    with pytest.raises(ValueError, match="diff: n=-1"):
        np.diff(x, -1)
    with pytest.raises(ValueError, match="axis 1 is out of bounds"):
        np.diff(x, axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ediff1d_keeps_the_dtype(dtype: Any) -> None:
    x = np.array([1.0, 2.0, 4.0], dtype)
    y = np.ediff1d(Value(x), to_end=[3.0], to_begin=np.array([[1, 2]]))
    np.testing.assert_array_equal(y.data, [1, 2, 1, 2, 3])
    assert y.dtype == dtype
    with pytest.raises(TypeError, match=r"ediff1d: to_end is complex128.*astype"):
        np.ediff1d(Value(x), to_end=1j)


def test_trapezoid_depends_on_its_points() -> None:
    x, y = np.array([0.0, 0.5, 2.0]), np.array([[1.0, 2.0, 4.0], [0.0, -1.0, 3.0]])
    check(lambda y, x: np.trapezoid(y, x), y, x)
    check(lambda x: np.trapezoid(y, x), x)
    check(lambda y, x: np.trapezoid(y, x, axis=0), y, [[0.0, 0.5, 2.0], [1.0, 2.0, 4.0]])
    check(lambda y, x: np.trapezoid(y, x, axis=-2), y.T, x)
    check(lambda y, dx: np.trapezoid(y, dx=dx, axis=0), y, 0.25)
    np.testing.assert_allclose(ad.grad(lambda y: np.trapezoid(y, [0.0, 0.5, 2.0]))(y[0]), [0.25, 1.0, 0.75])
    np.testing.assert_allclose(ad.grad(lambda x: np.trapezoid([1.0, 2.0, 4.0], x))(x), [-1.5, -1.5, 3.0])
    with pytest.raises(ValueError, match="axis 2 is out of bounds"):
        np.trapezoid(Value(y), axis=2)


UNEVEN = np.array([0.0, 0.5, 2.0, 2.25])


@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient_of_samples(edge_order: int, rng: Any) -> None:
    """Values as NumPy's for every way to give the spacing, which may be differentiated too."""
    f = rng.normal(size=(4, 3))
    whole = [(), (0.5,), (0.5, 2.0), (UNEVEN, 2.0)]
    some = [((2, [1.0, 4.0, 5.0]), (0, 1)), (([1, 2, 3, 5],), 0), ((UNEVEN,), (-2,)), ((0.5, 2), (1, 0))]
    for spacing, axis in [*((h, None) for h in whole), *some]:
        options = {"axis": axis, "edge_order": edge_order}
        expected, actual = np.gradient(f, *spacing, **options), np.gradient(Value(f), *spacing, **options)
        assert type(actual) is (tuple if type(expected) is tuple else Value)
        for a, e in zip(actual, expected, strict=True):
            assert_close(a, e, 1e-14)
    check(lambda f, h: np.gradient(f, h, axis=0, edge_order=edge_order), f, 0.5)
    check(lambda f, x: np.gradient(f, x, axis=0, edge_order=edge_order), f, UNEVEN, precision=1e-7)
    check(lambda f, x, h: sum(np.gradient(f, x, h, edge_order=edge_order)), f, UNEVEN, 2.0, precision=1e-7)
    check(lambda x: np.gradient(f, x, axis=0, edge_order=edge_order), UNEVEN, precision=1e-7)


def test_gradient_keeps_the_dtype() -> None:
    f = np.array([1.0, 4.0, 9.0, 16.0], np.float32)
    for spacing in (0.5, np.float64(0.5), UNEVEN):
        assert np.gradient(Value(f), spacing).dtype == np.float32
        assert ad.grad(lambda f, h=spacing: np.gradient(f, h).sum())(f).dtype == np.float32
    whole = Value(np.array([1, 4, 9]), requires_grad=False)
    assert np.gradient(whole).dtype == np.float64
    assert np.gradient(Value(1.0)) == ()


def test_gradient_errors() -> None:
    f = Value(np.ones((3, 4)))
    for spacing, options, error in [
        ((1.0, 2.0, 3.0), {}, TypeError),
        ((np.ones(3),), {"axis": 1}, ValueError),
        ((np.ones((3, 4)),), {"axis": 1}, ValueError),
        ((), {"edge_order": 3}, ValueError),
        ((), {"axis": 2}, ValueError),
        ((), {"axis": (0, 0)}, ValueError),
    ]:
        with pytest.raises(error):
            np.gradient(f.data, *spacing, **options)
        with pytest.raises(error, match=r"gradient|axis"):
            np.gradient(f, *spacing, **options)
    with pytest.raises(ValueError, match="gradient: edge_order=2 with 2 samples"):
        np.gradient(f[:2], axis=0, edge_order=2)


def test_unwrap_adds_constants() -> None:
    phase = np.array([0.0, 1.5, 3.0, 4.5]) % 4.0
    np.testing.assert_array_equal(np.unwrap(Value(phase), period=4.0).data, [0, 1.5, 3, 4.5])
    np.testing.assert_array_equal(ad.grad(lambda p: np.unwrap(p, period=4.0) @ phase)(phase), phase)
    np.testing.assert_array_equal(ad.jvp(lambda p: np.unwrap(p, 3.0, -1), (phase,), (phase,))[1], phase)


# -- interpolation


def test_interp_of_numbers_and_lists() -> None:
    x = Value(np.array([0.25, 3.0]))
    y = np.interp(x[0], [0.0, 1.0], [0.0, 2.0])
    y.backward()
    assert float(y) == 0.5
    np.testing.assert_array_equal(x.grad, [2, 0])
    np.testing.assert_array_equal(ad.grad(lambda fp: np.interp(0.25, [0, 1], fp))(np.zeros(2)), [0.75, 0.25])
    np.testing.assert_array_equal(
        ad.grad(lambda xp: np.interp([0.25, 0.5], xp, [0, 2]).sum())(np.array([0.0, 1])), [-2.5, -1.5]
    )


def test_interp_at_knots_and_outside() -> None:
    """At a knot the slope on its right, at the last one that on its left, outside 0."""
    xp, fp = np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, 8.0])
    slope = lambda x: float(ad.grad(lambda x: np.interp(x, xp, fp))(x))
    assert [slope(x) for x in (-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0)] == [0, 2, 2, 3, 3, 3, 0]
    weights = lambda x, **options: ad.grad(lambda fp: np.interp(x, xp, fp, **options))(fp)
    for x, expected in {
        -1.0: [1, 0, 0],
        0.0: [1, 0, 0],
        1.0: [0, 1, 0],
        2.0: [0, 0.5, 0.5],
        3.0: [0, 0, 1],
        4.0: [0, 0, 1],
    }.items():
        np.testing.assert_array_equal(weights(x), expected)
    np.testing.assert_array_equal(weights(-1.0, left=5.0), 0)
    np.testing.assert_array_equal(weights(4.0, right=5.0), 0)
    left, right = ad.grad(lambda a, b: np.interp(Value([-1.0, -2.0, 1.0, 4.0]), xp, fp, a, b).sum(), (0, 1))(1.0, 2.0)
    assert (left, right) == (2, 1)


def test_interp_with_knots_on_top_of_each_other() -> None:
    """A jump has no slope; the derivatives stay finite."""
    xp, fp = np.array([0.0, 1.0, 1.0, 2.0, 2.0]), np.array([0.0, 1.0, 5.0, 6.0, 9.0])
    x = np.array([0.5, 1.0, 1.5, 2.0])
    np.testing.assert_array_equal(np.interp(Value(x), xp, fp).data, np.interp(x, xp, fp))
    gx, gxp, gfp = ad.grad(lambda x, xp, fp: np.interp(x, xp, fp).sum(), (0, 1, 2))(x, xp, fp)
    np.testing.assert_array_equal(gx, [1, 1, 1, 0])
    np.testing.assert_array_equal(gfp, [0.5, 0.5, 1.5, 0.5, 1])
    assert np.isfinite(gxp).all()
    assert float(ad.grad(lambda f: np.interp(2.0, [1.0], f))(np.ones(1))[0]) == 1


def test_interp_repeats() -> None:
    """Knots in any order, and points beyond them on either side."""
    xp, fp, x = np.array([2.6, 0.1, 1.2]), np.array([3.0, 1.0, 2.0]), np.array([-7.7, 0.5, 2.9, 3.7, 0.05])
    for period in (3.0, -3):
        np.testing.assert_allclose(np.interp(Value(x), xp, fp, period=period).data, np.interp(x, xp, fp, period=period))
        check(lambda x, xp, fp, period=period: np.interp(x, xp, fp, period=period), x, xp, fp)
        check(lambda fp, period=period: np.interp(0.5, [2.6, 0.1, 1.2], fp, period=period), fp)
    with pytest.raises(ValueError, match="interp: period=0"):
        np.interp(Value(x), xp, fp, period=0)


def test_interp_of_complex_values() -> None:
    xp, fp, x = np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0 - 1j, 8j]), np.array([0.5, 2.0, 5.0])
    check(lambda fp: np.interp(x, xp, fp), fp)
    check(lambda x, xp, fp: np.interp(x, xp, fp), x, xp, fp)


def test_interp_where_x_is_nan() -> None:
    """nan has no place between the knots: it spoils the gradient of their values, as it spoils the result."""
    gx, gfp = ad.grad(lambda x, fp: np.interp(x, [0.0, 1.0, 2.0], fp).sum(), (0, 1))(
        np.array([0.5, np.nan]), np.ones(3)
    )
    np.testing.assert_array_equal(gx, 0)
    assert np.isnan(gfp).any()


# -- the Bessel function i0


def series(n: int, x: float) -> float:
    """I_n(x) / x**n as a power series: all terms are positive."""
    return math.fsum((x * x / 4) ** k / (math.factorial(k) * math.factorial(n + k)) / 2**n for k in range(80))


@pytest.mark.parametrize("x", [0.0, 1e-8, -0.1, 1.0, -7.9, 8.1, 25.0])
def test_bessel_functions(x: float) -> None:
    """The derivatives of I_0 up to the fourth, by the recurrence of the series."""
    r = [series(n, x) for n in range(5)]
    np.testing.assert_allclose([bessel_ratio(np.float64(x), n) for n in range(5)], r, rtol=3e-15)
    first = ad.grad(np.i0)
    second, third = ad.grad(first), ad.grad(ad.grad(first))
    np.testing.assert_allclose(first(x), x * r[1], rtol=3e-15)
    np.testing.assert_allclose(second(x), r[1] + x**2 * r[2], rtol=6e-15)
    np.testing.assert_allclose(third(x), 3 * x * r[2] + x**3 * r[3], rtol=6e-15)
    np.testing.assert_allclose(ad.grad(third)(x), 3 * r[2] + 6 * x**2 * r[3] + x**4 * r[4], rtol=6e-15)


def test_bessel_functions_far_out() -> None:
    """I_1 / I_0 is 1 - 1/(2x) - 1/(8x^2) - 1/(8x^3) - ...; the largest finite i0 has a finite derivative."""
    x = np.array([100.0, 300.0, 709.0])
    expected = 1 - 1 / (2 * x) - 1 / (8 * x**2) - 1 / (8 * x**3) - 25 / (128 * x**4)
    np.testing.assert_allclose(ad.grad(lambda x: np.i0(x).sum())(x) / np.i0(x), expected, rtol=1e-10)
    with pytest.raises(TypeError):
        np.i0(Value(1j))
