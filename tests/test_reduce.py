"""Reductions, cumulative functions and the methods of ufuncs: kinks, ties, nan, errors, operands that a row has not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from strict_array import StrictArray

import autodiff as ad
from autodiff import Value, check_grads
from autodiff.errors import MissingRuleError, OperandError

STEPS = (np.random.default_rng(4).permutation(24).reshape(3, 4, 2) + 8) * 0.0613  # no two alike, none near 0
MASK = np.arange(24).reshape(3, 4, 2) % 5 != 1


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def agrees(f: Callable[..., Any], *xs: Any) -> None:
    """Value, dtype and both derivatives, in both modes."""
    actual, expected = f(*map(Value, xs)), f(*xs)
    assert actual.requires_grad and actual.dtype == expected.dtype
    np.testing.assert_allclose(actual.data, expected, rtol=1e-12)
    check_grads(f, *xs)


# -- keywords


def test_where_leaves_out_what_is_not_finite() -> None:
    x, keep = np.array([1.0, np.nan, 2.0, np.inf]), np.array([True, False, True, False])
    for f, expected in [
        (lambda x: np.sum(x, where=keep), [1, 0, 1, 0]),
        (lambda x: np.mean(x, where=keep), [0.5, 0, 0.5, 0]),
        (lambda x: np.prod(x, where=keep), [2, 0, 1, 0]),
        (lambda x: np.max(x, where=keep, initial=0.0), [0, 0, 1, 0]),
        (lambda x: np.var(x, where=keep), [-0.5, 0, 0.5, 0]),
        (lambda x: np.std(x, where=keep), [-0.5, 0, 0.5, 0]),
    ]:
        np.testing.assert_allclose(ad.grad(f)(x), expected)
        np.testing.assert_allclose(ad.jvp(f, (x,), (np.arange(1.0, 5.0),))[1], np.dot(expected, [1, 2, 3, 4]))


def test_where_may_leave_nothing() -> None:
    for f in (np.sum, np.prod, np.mean):
        np.testing.assert_array_equal(ad.grad(lambda x, f=f: f(x, where=False))(np.ones(3)), 0)


def test_where_may_be_an_untracked_value() -> None:
    x = Value([1.0, -2.0, 3.0])
    np.sum(x, where=x > 0).backward()
    np.testing.assert_array_equal(x.grad, [1, 0, 1])


def test_initial_shares_a_tie() -> None:
    f = lambda initial: ad.grad(lambda x: np.max(x, initial=initial))(np.array([1.0, 2.0, 2.0]))
    np.testing.assert_allclose(f(1.5), [0, 0.5, 0.5])
    np.testing.assert_allclose(f(2.0), [0, 1 / 3, 1 / 3])
    np.testing.assert_array_equal(f(3.0), 0)


def test_initial_is_no_part_of_a_tangent() -> None:
    x = np.array([1.0, 2.0])
    assert ad.jvp(lambda x: np.sum(x, initial=5.0), (x,), (x,)) == (8.0, 3.0)
    assert ad.jvp(lambda x: np.add.reduce(x, initial=5.0), (x,), (x,)) == (8.0, 3.0)


@pytest.mark.parametrize("f", [np.var, np.std, np.nanvar, np.nanstd])
def test_mean_is_an_operand(f: Callable[..., Any]) -> None:
    """The variance around a given number depends on it; at second order that matters also if it is the mean."""
    x = STEPS[0]
    agrees(lambda x, m: f(x, axis=0, mean=m), x, np.array([[0.3, 1.9]]))
    agrees(lambda x, m: f(x, mean=m, ddof=1, where=MASK[0]), x, np.array(0.4))
    own, given = (ad.grad(g) for g in (lambda x: f(x), lambda x: f(x, mean=np.mean(x, keepdims=True))))
    np.testing.assert_allclose(given(x), own(x), atol=1e-15)
    v = np.ones_like(x) * MASK[0]
    np.testing.assert_allclose(ad.jvp(given, (x,), (v,))[1], ad.jvp(own, (x,), (v,))[1], atol=1e-14)


@pytest.mark.parametrize("f", [np.std, np.nanstd])
def test_standard_deviation_of_equal_numbers(f: Callable[..., Any]) -> None:
    for g in (f, lambda x: f(x, mean=2.0), lambda x: f(x, where=np.array([True, True, False]))):
        np.testing.assert_array_equal(ad.grad(g)(np.full(3, 2.0)), 0)


def test_dtype() -> None:
    x = STEPS[0].astype(np.float32)
    for f in (np.sum, np.mean, np.prod, np.cumsum, np.cumprod, np.var, np.std, np.nansum, np.nanmean, np.nanvar):
        out = f(Value(x), dtype=np.float64)
        assert out.dtype == np.float64
        np.testing.assert_allclose(out.data, f(x.astype(np.float64)), rtol=1e-14)
        gradient = ad.grad(lambda x, f=f: f(x, dtype=np.float64).sum())(x)
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(gradient, ad.grad(lambda x, f=f: f(x).sum())(STEPS[0]), rtol=1e-4, atol=1e-6)
    with pytest.raises(OperandError, match=r"var: complex data do not fit dtype float64; take \.real"):
        np.var(Value([1j, 2.0]), dtype=float)


def test_ddof_and_correction() -> None:
    for f in (np.var, np.std, np.nanvar, np.nanstd):
        with pytest.raises(ValueError, match=f"{f.__name__}: ddof and correction"):
            f(Value(STEPS), ddof=1, correction=1)


# -- averages


def test_average_with_weights() -> None:
    x, w = STEPS, STEPS[::-1] + 0.5
    agrees(lambda x, w: np.average(x, weights=w), x, w)
    agrees(lambda x, w: np.average(x, 1, w, keepdims=True), x, w)
    agrees(lambda x, w: np.average(x, axis=(2, 1), weights=w.T), x, w[0])
    agrees(lambda x, w: np.average(x, axis=-1, weights=w), x, np.array([0.5, 2.0]))
    for axis in (None, 0, (0, 2)):
        for f in (lambda x, w, axis=axis: np.average(x, axis, w, returned=True),
                  lambda x, w, axis=axis: np.average(x, axis, returned=True)):  # fmt: skip
            for actual, expected in zip(f(Value(x), Value(w)), f(x, w), strict=True):
                np.testing.assert_allclose(actual.data, expected)
    single = np.average(Value(x[0].astype(np.float32)), weights=[1, 2, 3, 4], axis=0)
    assert single.dtype == np.average(x[0].astype(np.float32), weights=[1, 2, 3, 4], axis=0).dtype


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i4", "f2", "f4", "f8", "c8"])
@pytest.mark.parametrize("of_weights", ["?", "i1", "i8", "f4", "c8"])
def test_average_of_truth_values_and_integers(dtype: str, of_weights: str) -> None:
    x = np.array([[1, 1, 0], [1, 100, 1]])
    w, x = x[::-1].astype(of_weights), x.astype(dtype)
    untracked = lambda a: Value(a, requires_grad=False)
    for axis in (None, 1):
        for a, b in [(untracked(x), w), (x, untracked(w)), (untracked(x), untracked(w))]:
            found = np.average(a, axis, b, returned=True)
            for actual, expected in zip(found, np.average(x, axis, w, returned=True), strict=True):
                assert actual.dtype == expected.dtype
                np.testing.assert_allclose(
                    getattr(actual, "_array", actual), expected, rtol=1e-2 if dtype == "f2" else 1e-6
                )


def test_average_on_a_device() -> None:
    x, w = (Value(StrictArray(a)) for a in (STEPS[0], STEPS[1]))
    np.average(x, weights=w, axis=0).sum().backward()
    expected = ad.grad(lambda x, w: np.average(x, weights=w, axis=0).sum(), (0, 1))(STEPS[0], STEPS[1])
    np.testing.assert_allclose([x.grad.get(), w.grad.get()], expected)


def test_average_refuses() -> None:
    x = Value(STEPS)
    with pytest.raises(ZeroDivisionError, match="average: the weights sum to 0"):
        np.average(x, weights=np.zeros(STEPS.shape))
    with pytest.raises(TypeError, match="axis="):
        np.average(x, weights=np.ones(4))
    with pytest.raises(ValueError, match=r"weights of shape \(4,\)"):
        np.average(x, axis=0, weights=np.ones(4))


# -- cumulative functions


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("zeros", [(), (0,), (2, 3), (0, 1, 4)])
def test_cumulative_product_with_zeros(n: int, zeros: tuple[int, ...]) -> None:
    x = 0.7 + np.arange(n) / 10
    x[[z for z in zeros if z < n]] = 0
    without = lambda i, k: np.prod(np.delete(x[: k + 1], i)) if i <= k else 0.0
    jacobian = np.array([[without(i, k) for i in range(n)] for k in range(n)])
    u = np.arange(n) + 1.0
    np.testing.assert_allclose(ad.vjp(np.cumprod, x)[1](u)[0], u @ jacobian)
    np.testing.assert_allclose(ad.jvp(np.cumprod, (x,), (u,))[1], jacobian @ u)
    check_grads(lambda x: (np.cumprod(x) * u).sum() ** 2, x)


def test_running_extremum_belongs_to_the_first_that_reached_it() -> None:
    x = np.array([1.0, 3.0, 3.0, 2.0, 5.0, 5.0])
    np.testing.assert_array_equal(ad.grad(lambda x: np.maximum.accumulate(x).sum())(x), [1, 3, 0, 0, 2, 0])
    np.testing.assert_array_equal(ad.grad(lambda x: np.minimum.accumulate(-x).sum())(x), [-1, -3, 0, 0, -2, 0])
    x[2] = np.nan
    np.testing.assert_array_equal(ad.grad(lambda x: np.fmax.accumulate(x).sum())(x), [1, 3, 0, 0, 2, 0])
    np.testing.assert_array_equal(np.maximum.accumulate(Value(x)).data, np.maximum.accumulate(x))


@pytest.mark.skipif(not hasattr(np, "cumulative_sum"), reason="NumPy 2.1")
def test_cumulative_needs_an_axis() -> None:
    np.testing.assert_array_equal(np.cumulative_sum(Value([1.0, 2.0]), include_initial=True).data, [0, 1, 3])
    for f in (np.cumulative_sum, np.cumulative_prod):
        with pytest.raises(ValueError, match="axis="):
            f(Value(STEPS))


# -- nan left out


HOLES = np.where(MASK, STEPS, np.nan)
HOLES[1, :, 0] = np.nan  # nothing left

NAN_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "nansum": np.nansum,
    "nanprod": np.nanprod,
    "nanmean": np.nanmean,
    "nanmax": np.nanmax,
    "nanmin": np.nanmin,
    "nanvar": np.nanvar,
    "nanstd": np.nanstd,
    "nanmedian": np.nanmedian,
    "nanquantile": lambda x, axis=None: np.nanquantile(x, (0.3, 0.6), axis=axis),
    "nanpercentile": lambda x, axis=None: np.nanpercentile(x, 35, axis=axis, method="hazen"),
    "weighted": lambda x, axis=None: np.nanquantile(x, 0.4, axis, method="inverted_cdf", weights=STEPS),
    "nancumsum": np.nancumsum,
    "nancumprod": np.nancumprod,
}


@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
@pytest.mark.parametrize("name", NAN_FUNCTIONS)
def test_nan_is_left_out(name: str, axis: Any) -> None:
    """The gradient is 0 at nan, and elsewhere that of the numbers; also where nothing else is left."""
    f = NAN_FUNCTIONS[name]
    if "cum" in name and isinstance(axis, tuple):
        pytest.skip("cumulative functions have one axis")
    if name == "weighted" and np.lib.NumpyVersion(np.__version__) < "2.4.0":
        pytest.skip("NumPy 2.0 mixes up the axes of the weights")
    x = HOLES
    out, pull = ad.vjp(lambda x: f(x, axis=axis), x)
    np.testing.assert_allclose(out, f(x, axis=axis), rtol=1e-13)
    u = np.where(np.isnan(out), 1.0, np.arange(out.size).reshape(out.shape) + 1.0)
    (g,) = pull(u)
    assert np.isfinite(g).all()
    np.testing.assert_array_equal(g[np.isnan(x)], 0)
    v = np.where(np.isnan(x), 7.0, np.cos(STEPS * 40))
    keep = ~np.isnan(out)
    h = 1e-5
    numeric = (f(x + h * v, axis=axis) - f(x - h * v, axis=axis))[keep] / (2 * h)
    np.testing.assert_allclose(np.sum(g * v), np.sum(u[keep] * numeric), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(ad.jvp(lambda x: f(x, axis=axis), (x,), (v,))[1][keep], numeric, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", NAN_FUNCTIONS)
def test_nan_is_left_out_at_second_order(name: str) -> None:
    f, x = NAN_FUNCTIONS[name], np.array([1.0, np.nan, 2.5, 0.7, np.nan, 1.9])
    if name == "weighted":
        f = NAN_FUNCTIONS["nanquantile"]
    total = lambda x: (f(x) ** 2).sum()
    small = lambda x: total(np.stack([x[0], np.nan, x[1], x[2], np.nan, x[3]]))
    expected = ad.grad(lambda x: (ad.grad(small)(x) ** 2).sum())(x[[0, 2, 3, 5]])
    for second in (
        ad.grad(lambda x: (ad.grad(total)(x) ** 2).sum())(x),
        2 * ad.jvp(ad.grad(total), (x,), (np.nan_to_num(ad.grad(total)(x)),))[1],
    ):
        np.testing.assert_array_equal(second[[1, 4]], 0)
        np.testing.assert_allclose(second[[0, 2, 3, 5]], expected, rtol=1e-12)


def test_integers_have_no_nan() -> None:
    v = Value(np.array([3, 1, 2]), requires_grad=False)
    for f in (np.nansum, np.nanprod, np.nanmax, np.nancumsum, np.nanmean, np.nanmedian, np.nanvar):
        expected = f(v.data)
        assert f(v).dtype == expected.dtype
        np.testing.assert_array_equal(f(v).data, expected)


def test_nan_among_the_elements_of_an_extremum() -> None:
    """It is the result, and the gradient says so too; nanmax does not look at it."""
    x = np.array([1.0, np.nan, 3.0])
    assert np.isnan(ad.grad(np.max)(x)).all()
    np.testing.assert_array_equal(ad.grad(np.nanmax)(x), [0, 0, 1])
    np.testing.assert_array_equal(ad.grad(np.fmax.reduce)(x), [0, 0, 1])


# -- methods of ufuncs

REORDERABLE = [np.add, np.multiply, np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp, np.logaddexp2, np.hypot]
ORDERED = [np.subtract, np.divide, np.power, np.float_power, np.arctan2, np.copysign]
ufuncs = pytest.mark.parametrize("ufunc", REORDERABLE + ORDERED, ids=lambda f: f.__name__)


@ufuncs
@pytest.mark.parametrize(
    "options",
    [{}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"initial": 0.7}, {"axis": 1, "initial": 0.7, "where": MASK}],
    ids=str,
)
def test_reduce(ufunc: np.ufunc, options: dict[str, Any]) -> None:
    agrees(lambda x: ufunc.reduce(x, **options), STEPS)


@pytest.mark.parametrize("ufunc", REORDERABLE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("options", [{"axis": None}, {"axis": (0, 2)}, {"axis": (2, 0), "keepdims": True}], ids=str)
def test_reduce_over_several_axes(ufunc: np.ufunc, options: dict[str, Any]) -> None:
    agrees(lambda x: ufunc.reduce(x, **options), STEPS)
    agrees(lambda x: ufunc.reduce(x, initial=0.7, where=MASK, **options), STEPS)


@ufuncs
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_accumulate(ufunc: np.ufunc, axis: int) -> None:
    agrees(lambda x: ufunc.accumulate(x, axis), STEPS)


@pytest.mark.parametrize("ufunc", [*REORDERABLE, np.subtract, np.divide], ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [0, 1])
def test_reduceat(ufunc: np.ufunc, axis: int) -> None:
    """Segments may overlap, and an index that is not below the next one stands for one element."""
    agrees(lambda x: ufunc.reduceat(x, [0, 2, 1, 2, 2], axis=axis), STEPS)
    agrees(lambda x: ufunc.reduceat(x, np.array([1]), axis=axis), STEPS)


@ufuncs
def test_outer(ufunc: np.ufunc) -> None:
    agrees(lambda x, y: ufunc.outer(x, y), STEPS[0], STEPS[1, 2] + 0.011)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_reduce_of_few(n: int) -> None:
    for ufunc in (np.hypot, np.logaddexp2, np.subtract):
        agrees(lambda x, ufunc=ufunc: ufunc.reduce(x), STEPS.ravel()[:n])
    assert np.hypot.reduce(Value([-3.0])).data == 3
    assert np.hypot.reduce(Value(np.zeros((0, 2)))).shape == (2,)


def test_reduce_in_another_dtype() -> None:
    x = STEPS.astype(np.float32)
    for ufunc in (np.add, np.maximum, np.hypot, np.logaddexp, np.subtract):
        for method in (ufunc.reduce, ufunc.accumulate):
            out = method(Value(x), dtype=np.float64)
            assert out.dtype == np.float64
            np.testing.assert_allclose(out.data, method(x, dtype=np.float64), rtol=1e-14)
            assert ad.grad(lambda x, m=method: m(x, dtype=np.float64).sum())(x).dtype == np.float32


def test_methods_without_a_derivative() -> None:
    v = Value(STEPS)
    for out, expected in [
        (np.less.outer(v, STEPS[0]), np.less.outer(STEPS, STEPS[0])),
        (np.logical_and.reduce(v), np.logical_and.reduce(STEPS)),
        (np.logical_or.accumulate(v, axis=1), np.logical_or.accumulate(STEPS, axis=1)),
        (np.add.reduce(Value([1, 2, 3], requires_grad=False)), 6),
        (np.bitwise_or.reduceat(Value([1, 2, 4], requires_grad=False), [0, 1]), [1, 6]),
    ]:
        assert not out.requires_grad
        np.testing.assert_array_equal(out.data, expected)


def test_methods_refuse_what_numpy_refuses() -> None:
    v = Value(STEPS)
    for f, error in [
        (lambda: np.subtract.reduce(v, axis=(0, 1)), ValueError),
        (lambda: np.hypot.reduce(v, axis=7), ValueError),
        (lambda: np.add.reduceat(v, [9]), IndexError),
        (lambda: np.maximum.reduce(v, where=MASK), ValueError),
        (lambda: np.divide.reduce(v, where=MASK), ValueError),
        (lambda: np.divmod.reduce(v), ValueError),
        (lambda: np.frompyfunc(lambda a, b: a, 2, 1).reduce(v), MissingRuleError),
    ]:
        with pytest.raises(error):
            f()


def test_reduce_into_an_array() -> None:
    v, out = Value(STEPS), Value(np.zeros((4, 2)), requires_grad=False)
    result = np.hypot.reduce(v, out=out)
    assert out.requires_grad
    np.testing.assert_allclose(out.data, np.hypot.reduce(STEPS))
    result.sum().backward()
    np.testing.assert_allclose(v.grad, ad.grad(lambda x: np.hypot.reduce(x).sum())(STEPS))


def test_segments_are_summed_exactly() -> None:
    """Without the cancellation of a difference of cumulative sums."""
    x = np.array([1e16, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(np.add.reduceat(Value(x), [0, 1]).data, [1e16, 6])
    u = np.array([1e16, 1.0])
    np.testing.assert_array_equal(ad.vjp(lambda x: np.add.reduceat(x, [0, 1]), x)[1](u)[0], [1e16, 1, 1, 1])


def test_reduce_on_a_device() -> None:
    for f in (np.hypot.reduce, np.logaddexp2.accumulate, lambda x: np.maximum.accumulate(x, axis=1)):
        x = Value(StrictArray(STEPS[0]))
        f(x).sum().backward()
        np.testing.assert_allclose(x.grad.get(), ad.grad(lambda x, f=f: f(x).sum())(STEPS[0]))
