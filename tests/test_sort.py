"""Sorting, sets, quantiles, covariances, histograms: ties, nan, weights, edges, errors, whatever a row cannot say."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from strict_array import StrictArray

import autodiff as ad
from autodiff import Value, check_grads
from autodiff.rules.statistics import METHODS, TAKES_ONE

STEPS = (np.random.default_rng(4).permutation(24).reshape(3, 4, 2) + 8) * 0.0613  # no two alike
TIES = np.array([2.0, 1.0, 2.0, 0.0, 1.0])


RECENT = np.lib.NumpyVersion(np.__version__) >= "2.4.0"  # earlier ones differ in their errors


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


def gradient(f: Callable[..., Any], x: Any) -> Any:
    """Of the sum of `f` times 1, 2, 3, ..."""
    return ad.grad(lambda x: (np.ravel(f(x)) * np.arange(1.0, np.size(f(x)) + 1)).sum())(x)


# -- sort


def test_sorting_moves_the_gradient_back() -> None:
    x = np.array([3.0, 1.0, 2.0])
    np.testing.assert_array_equal(gradient(np.sort, x), [3, 1, 2])
    np.testing.assert_array_equal(gradient(lambda x: np.partition(x, 1), x), [3, 1, 2])
    np.testing.assert_array_equal(gradient(lambda x: np.sort_complex(x).real, x), [3, 1, 2])
    np.testing.assert_array_equal(gradient(lambda x: np.sort(x, axis=None), x.reshape(1, 3)), [[3, 1, 2]])


@pytest.mark.parametrize("kind", ["stable", "mergesort"])
def test_equal_elements_keep_their_order(kind: str) -> None:
    np.testing.assert_array_equal(gradient(lambda x: np.sort(x, kind=kind), TIES), [4, 2, 5, 1, 3])
    np.testing.assert_array_equal(gradient(lambda x: np.sort(x, stable=True), TIES), [4, 2, 5, 1, 3])


def test_sort_with_nan_and_infinities() -> None:
    x = np.array([np.nan, np.inf, 1.0, -np.inf, np.nan])
    np.testing.assert_array_equal(np.sort(Value(x)).data, np.sort(x))
    np.testing.assert_array_equal(np.sort(gradient(np.sort, x)[[0, 4]]), [4, 5])
    np.testing.assert_array_equal(gradient(np.sort, x)[1:4], [3, 2, 1])


def test_partition_has_numpys_order() -> None:
    x = np.random.default_rng(0).normal(size=(3, 500))
    for options in ({"kth": 77}, {"kth": (3, 400), "axis": -1}, {"kth": 1, "axis": 0}, {"kth": 9, "axis": None}):
        np.testing.assert_array_equal(np.partition(Value(x), **options).data, np.partition(x, **options))
        np.testing.assert_array_equal(
            np.sort(gradient(lambda x, o=options: np.partition(x, **o), x), axis=None), np.arange(1.0, x.size + 1)
        )


def test_sort_refuses() -> None:
    with pytest.raises(ValueError, match="sort: kind and stable"):
        np.sort(Value(TIES), kind="stable", stable=True)
    with pytest.raises(ValueError, match="kth"):
        np.partition(Value(TIES), 9)
    with pytest.raises(np.exceptions.AxisError):
        np.sort(Value(TIES), axis=1)


# -- sets


def test_unique_takes_the_first() -> None:
    np.testing.assert_array_equal(gradient(np.unique, TIES), [3, 2, 0, 1, 0])
    np.testing.assert_array_equal(gradient(lambda x: np.unique_all(x).values, TIES), [3, 2, 0, 1, 0])
    rows = np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]])
    np.testing.assert_array_equal(gradient(lambda x: np.unique(x, axis=0), rows), [[3, 4], [1, 2], [0, 0]])


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("flags", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)])
def test_unique_returns_what_numpy_does(axis: Any, flags: tuple[int, ...]) -> None:
    x = np.array([[1.0, 2.0, 1.0], [0.0, np.nan, 0.0], [1.0, 2.0, 1.0]])
    actual, expected = np.unique(Value(x), *flags, axis=axis), np.unique(x, *flags, axis=axis)
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert isinstance(a, Value) and a.requires_grad == (e.dtype.kind == "f")
        np.testing.assert_array_equal(a.data, e)


def test_unique_of_nan() -> None:
    x = np.array([np.nan, 1.0, np.nan])
    for f in (np.unique, lambda x: np.unique(x, equal_nan=False), np.unique_values):
        np.testing.assert_array_equal(f(Value(x)).data, f(x))


def test_unique_of_the_array_api() -> None:
    for f in (np.unique_all, np.unique_counts, np.unique_inverse):
        actual, expected = f(Value(TIES)), f(TIES)
        assert type(actual) is type(expected)
        for name in expected._fields:
            np.testing.assert_array_equal(getattr(actual, name).data, getattr(expected, name))


def test_sets() -> None:
    x, y = TIES, np.array([1.0, 3.0, 2.0, 3.0])
    for f in (np.union1d, np.setxor1d, np.setdiff1d, np.intersect1d):
        for given in ((Value(x), Value(y)), (Value(x), y), (x, Value(y))):
            np.testing.assert_array_equal(f(*given).data, f(x, y))
    union, xor = (ad.grad(lambda x, y, f=f: f(x, y).sum(), (0, 1))(x, y) for f in (np.union1d, np.setxor1d))
    np.testing.assert_array_equal(np.concatenate(union), [1, 1, 0, 1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(np.concatenate(xor), [0, 0, 0, 1, 0, 0, 1, 0, 0])
    common = lambda x, y: np.intersect1d(x, y, return_indices=True)[0].sum()
    np.testing.assert_array_equal(np.concatenate(ad.grad(common, (0, 1))(x, y)), [0.5, 0.5, 0, 0, 0, 0.5, 0, 0.5, 0])
    np.testing.assert_array_equal(ad.grad(lambda x: np.intersect1d(x, x).sum())(y), [1, 1, 1, 0])


# -- medians and quantiles


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("q", [0, 0.0, 1, 0.5, 0.31, 1 / 3, (0.25, 0.5, 0.99), np.float32(0.3)], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64])
def test_every_method(method: str, q: Any, dtype: Any) -> None:
    if not RECENT and (method == "closest_observation" or (dtype is np.int64 and isinstance(q, int))):
        pytest.skip("NumPy 2.0 takes another element at a tie, and has another dtype")
    for n in (1, 2, 3, 4, 7, 10):
        x = (STEPS.ravel()[:n] * 16.3).astype(dtype)
        for f in (np.quantile, np.nanquantile):
            actual, expected = (
                f(Value(x, requires_grad=dtype is not np.int64), q, method=method),
                f(x, q, method=method),
            )
            assert actual.dtype == expected.dtype
            np.testing.assert_allclose(
                actual.data, expected, rtol=8 * np.finfo(expected.dtype).eps if expected.dtype.kind == "f" else 0
            )


@pytest.mark.parametrize("method", sorted(TAKES_ONE))
def test_methods_that_take_one_element(method: str) -> None:
    f = lambda x, q=0.4: np.quantile(x, q, axis=1, method=method)
    g = ad.grad(lambda x: f(x).sum())(STEPS)
    np.testing.assert_array_equal(g.sum(axis=1), 1)
    np.testing.assert_array_equal((g * STEPS).sum(axis=1), f(STEPS))
    q = Value(0.4)
    f(STEPS, q).sum().backward()
    assert q.grad == 0


def test_quantiles_at_knots() -> None:
    """The slope in q is that of the interval to the right, at the end of that to the left."""
    x = np.array([0.0, 1.0, 3.0, 6.0, 10.0])
    for q, expected in {0.0: 4.0, 0.25: 8.0, 0.5: 12.0, 0.6: 12.0, 1.0: 16.0}.items():
        assert ad.grad(lambda q: np.quantile(x, q))(q) == expected
        np.testing.assert_allclose(ad.grad(lambda q: np.percentile(x, q))(100 * q), expected / 100)
    np.testing.assert_array_equal(ad.grad(np.quantile)(x, 0.5), [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(ad.grad(np.quantile)(x, 1.0), [0, 0, 0, 0, 1])


def test_medians_of_even_and_odd() -> None:
    np.testing.assert_array_equal(ad.grad(np.median)(np.array([3.0, 1.0, 2.0])), [0, 0, 1])
    np.testing.assert_array_equal(ad.grad(np.median)(np.array([3.0, 1.0, 2.0, 9.0])), [0.5, 0, 0.5, 0])
    np.testing.assert_array_equal(ad.grad(np.median)(np.array([np.inf, 1.0, 2.0])), [0, 0, 1])
    assert np.isnan(np.median(Value(np.zeros(0))).data)
    assert np.median(Value([1j, 2.0])).data == np.median([1j, 2.0])


def test_nan_is_the_median_of_what_includes_it() -> None:
    x = np.array([[1.0, np.nan, 2.0], [1.0, 5.0, 2.0]])
    for f in (np.median, lambda x, axis: np.quantile(x, 0.5, axis=axis)):
        out, pull = ad.vjp(lambda x, f=f: f(x, axis=1), x)
        np.testing.assert_array_equal(out, [np.nan, 2])
        np.testing.assert_array_equal(pull(np.ones(2))[0], [[0, 0, 0], [0, 0, 1]])


@pytest.mark.skipif(not RECENT, reason="NumPy 2.0 takes an element of weight 0")
def test_quantiles_with_weights() -> None:
    w = np.array([0.0, 2.0, 1.0, 0.5])
    for given in ({"axis": 1, "weights": w}, {"axis": 1, "weights": STEPS}, {"weights": STEPS}):
        for q in (0.0, 0.3, 0.5, 1.0, (0.1, 0.8)):
            expected = np.quantile(STEPS, q, method="inverted_cdf", **given)
            for f in (np.quantile, np.nanquantile):
                g = lambda x, f=f, q=q, given=given: f(x, q, method="inverted_cdf", **given)
                np.testing.assert_array_equal(g(Value(STEPS)).data, expected)
                moved = ad.grad(lambda x, g=g: g(x).sum())(STEPS)
                np.testing.assert_allclose((moved * STEPS).sum(), expected.sum())


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda v: np.quantile(v, 1.2), ValueError, "between 0 and 1"),
        (lambda v: np.percentile(v, (10, 101)), ValueError, "between 0 and 100"),
        (lambda v: np.quantile(v, 0.5, method="mean"), ValueError, "'mean' is not a valid method"),
        (lambda v: np.quantile(v, 0.5, weights=STEPS), ValueError, "inverted_cdf"),
        (lambda v: np.quantile(v, 0.5, weights=-STEPS, method="inverted_cdf"), ValueError, "negative"),
        (lambda v: np.quantile(v, 0.5, weights=0 * STEPS, method="inverted_cdf"), ValueError, "all 0"),
        (lambda v: np.quantile(v, 0.5, weights=[1, 2], method="inverted_cdf"), TypeError, "axis="),
        (lambda v: np.quantile(v + 0j, 0.5), TypeError, "complex"),
        (lambda v: np.quantile(v[:0], 0.5), IndexError, "no elements"),
        (lambda v: np.median(v, axis=3), ValueError, "axis"),
        (lambda v: np.median(v, axis=(0, 0)), ValueError, "repeated axis"),
    ],
)
def test_quantiles_refuse(f: Callable[..., Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        f(Value(STEPS))


def test_out_and_overwrite_input() -> None:
    v, out = Value(STEPS), Value(np.zeros((3, 2)), requires_grad=False)
    np.median(v, axis=1, out=out, overwrite_input=True)
    assert out.requires_grad
    np.testing.assert_allclose(out.data, np.median(STEPS, axis=1))
    np.testing.assert_array_equal(v.data, STEPS)
    np.testing.assert_allclose(
        np.quantile(v, 0.2, 1, out, True, "weibull").data, np.quantile(STEPS, 0.2, 1, method="weibull")
    )


def test_quantiles_on_a_device() -> None:
    x, q = StrictArray(STEPS), StrictArray(np.array([0.3, 0.8]))
    for f in (np.quantile, np.nanquantile):
        there = ad.grad(lambda x, q, f=f: f(x, q, axis=1).sum(), (0, 1))(x, q)
        here = ad.grad(lambda x, q, f=f: f(x, q, axis=1).sum(), (0, 1))(STEPS, np.array([0.3, 0.8]))
        for a, b in zip(there, here, strict=True):
            np.testing.assert_allclose(a.get(), b)
    w = StrictArray(np.array([0.0, 2.0, 1.0, 0.5]))
    out = np.quantile(Value(x), 0.4, axis=1, weights=w, method="inverted_cdf")
    np.testing.assert_array_equal(
        out.data.get(), np.quantile(STEPS, 0.4, axis=1, weights=w.get(), method="inverted_cdf")
    )


# -- covariances


def test_covariances_with_weights_and_a_second_set() -> None:
    x, y, w, counts = STEPS[0].T, STEPS[1].T + 0.1, np.array([0.5, 1.5, 1.0, 2.0]), np.array([1, 3, 0, 2])
    for f, xs in [
        (lambda x, y: np.cov(x, y), (x, y)),
        (lambda x, y: np.cov(x.T, y.T, rowvar=False, ddof=2), (x, y)),
        (lambda x, y: np.cov(x[0], y[1]), (x, y)),
        (lambda x, w: np.cov(x, aweights=w), (x, w)),
        (lambda x, w: np.cov(x, aweights=w, fweights=counts, ddof=0), (x, w)),
        (lambda x, w: np.cov(x, bias=True, aweights=w, fweights=counts), (x, w)),
        (lambda x: np.cov(x, fweights=counts), (x,)),
        (lambda x, y: np.corrcoef(x, y), (x, y)),
    ]:
        agrees(f, *xs)
    assert np.cov(Value(x), dtype=np.float32).dtype == np.float32
    assert np.corrcoef(Value(x.astype(np.float32)), dtype=np.float32).dtype == np.float32
    assert np.corrcoef(Value(x[0])).data == 1
    assert np.cov(Value(np.zeros((0, 3)))).shape == (0, 0)


def test_correlation_is_within_one_and_flat_there() -> None:
    x = np.random.default_rng(1).normal(size=20)
    f = lambda x: np.corrcoef(x, 3 * x)[0, 1]
    assert f(Value(x)).data <= 1
    np.testing.assert_allclose(ad.grad(f)(x), 0, atol=1e-15)
    g = lambda x, y: np.corrcoef(x, y)[0, 1]  # its second derivative at 1 is not 0, rounding or not
    second = ad.jvp(ad.grad(g), (x, 3 * x), (np.sin(x * 9), 0 * x))[1]
    np.testing.assert_allclose(
        second, (ad.grad(g)(x + 1e-5 * np.sin(x * 9), 3 * x) - ad.grad(g)(x, 3 * x)) / 1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ddof": 0.5}, ValueError),
        ({"fweights": [1.5, 1, 1, 1]}, TypeError),
        ({"fweights": [1, 1]}, (RuntimeError, ValueError)),
        ({"aweights": [-1, 1, 1, 1]}, ValueError),
        ({"aweights": np.ones((1, 4))}, (RuntimeError, ValueError)),
    ],
    ids=str,
)
def test_covariances_refuse(options: dict[str, Any], error: Any) -> None:
    for x in (STEPS[0].T, Value(STEPS[0].T)):
        with pytest.raises(error):
            np.cov(x, **options)
    with pytest.raises(ValueError, match="cov: the samples have 3 axes"):
        np.cov(Value(STEPS))


# -- counts

SAMPLE = STEPS.ravel() ** 1.1
WEIGHTS = np.cos(7 * SAMPLE) + 2
BINS = np.array([0.3, 0.9, 1.2, 1.61])


def test_bincount() -> None:
    places = np.array([0, 3, 3, 1])
    np.testing.assert_array_equal(gradient(lambda w: np.bincount(places, w), np.ones(4)), [1, 4, 4, 2])
    for out in (
        np.bincount(Value(places, requires_grad=False), minlength=6),
        np.bincount(places, Value(WEIGHTS[:4]), 6),
    ):
        assert out.shape == (6,)
    with pytest.raises(ValueError, match="length"):
        np.bincount(places, Value(WEIGHTS))


@pytest.mark.parametrize("density", [False, True])
@pytest.mark.parametrize("options", [{}, {"bins": 5}, {"bins": 4, "range": (0.4, 1.3)}, {"bins": BINS}], ids=str)
def test_histogram_with_weights(density: bool, options: dict[str, Any]) -> None:
    agrees(lambda w: np.histogram(SAMPLE, weights=w, density=density, **options)[0], WEIGHTS)
    agrees(lambda x, w: np.histogram(x, weights=w, density=density, **options)[0], SAMPLE, WEIGHTS)
    hist, edges = np.histogram(Value(SAMPLE), weights=Value(WEIGHTS.astype(np.float32)), density=density, **options)
    expected = np.histogram(SAMPLE, weights=WEIGHTS.astype(np.float32), density=density, **options)
    assert hist.dtype == expected[0].dtype
    np.testing.assert_allclose(hist.data, expected[0], rtol=1e-6)
    np.testing.assert_array_equal(edges.data, expected[1])
    turned = WEIGHTS * np.exp(1j * SAMPLE)
    np.testing.assert_allclose(
        np.histogram(SAMPLE, weights=Value(turned), **options)[0].data,
        np.histogram(SAMPLE, weights=turned, **options)[0],
    )


def test_densities_depend_on_the_edges() -> None:
    agrees(lambda x: np.histogram(x, 4, density=True)[0], SAMPLE)
    agrees(
        lambda b: np.histogram(Value(SAMPLE, requires_grad=False) if isinstance(b, Value) else SAMPLE, b, density=True)[
            0
        ],
        BINS,
    )
    agrees(lambda x: np.histogram_bin_edges(x, 5), SAMPLE)
    agrees(
        lambda low: np.histogram_bin_edges(Value(SAMPLE) if isinstance(low, Value) else SAMPLE, 5, (low, 1.7)),
        np.array(0.2),
    )
    same = Value(np.full(3, 2.0))
    np.testing.assert_array_equal(np.histogram(same)[1].data, np.histogram(same.data)[1])
    assert not np.histogram(same)[0].requires_grad
    np.testing.assert_array_equal(np.histogram(Value(np.zeros(0)))[1].data, np.histogram(np.zeros(0))[1])


@pytest.mark.parametrize("density", [False, True])
@pytest.mark.parametrize("bins", [3, (3, 2), BINS, [BINS, 3], [BINS, BINS[:3]]], ids=str)
def test_histograms_of_points(density: bool, bins: Any) -> None:
    points = SAMPLE[:20].reshape(10, 2)
    w = WEIGHTS[:10]
    f = lambda x, w: np.histogram2d(x[:, 0], x[:, 1], bins, weights=w, density=density)[0]
    agrees(f, points, w)
    agrees(lambda w: f(points, w), w)
    actual, expected = (np.histogram2d(*x.T, bins, density=density) for x in (Value(points), points))
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a.data, e)
    if not isinstance(bins, np.ndarray):
        given = bins if isinstance(bins, int) else [*bins, 2]
        three = SAMPLE.reshape(8, 3)
        agrees(lambda x, w: np.histogramdd(x, given, weights=w, density=density)[0], three, w[:8])
        agrees(lambda x, w: np.histogramdd(list(x.T), given, weights=w, density=density)[0], three, w[:8])


def test_counts_of_points_have_no_slope() -> None:
    x, y = Value(SAMPLE), Value(WEIGHTS)
    np.histogram2d(x, y)[0].sum().backward()
    np.testing.assert_array_equal(x.grad, 0)
    with pytest.raises(ValueError, match="histogram2d: x has 24 elements"):
        np.histogram2d(x, y[:3])
    with pytest.raises(ValueError, match="histogramdd: weights"):
        np.histogramdd(x, weights=np.ones(3))
