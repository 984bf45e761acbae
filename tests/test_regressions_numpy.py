"""One test for each bug that reading and attacking all of NumPy has found, and that no table covers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import autodiff as ad
import autodiff.numpy as anp
from autodiff import OperandError, Value
from autodiff.arrays import dispatchable
from autodiff.rule import RULES, elementwise

X = np.array([1.0, 2.0, 3.0])
CACHE: dict[str, Any] = {}


def test_forward_mode_leaves_out_the_initial_value() -> None:
    assert ad.jvp(lambda x: np.sum(x, initial=5.0), (X,), (np.ones(3),))[1] == 3
    assert ad.jvp(lambda x: np.add.reduce(x, initial=5.0), (X,), (np.ones(3),))[1] == 3


def test_a_false_argument_of_a_method_is_an_argument() -> None:
    assert Value(X).sum(where=False).data == 0 and Value(X).prod(initial=False).data == 0


def test_flatten_in_the_order_of_the_memory() -> None:
    a = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    for order in "CFA":
        assert Value(a).flatten(order).data.tolist() == a.flatten(order).tolist()


def test_an_ellipsis_in_the_middle_of_many_indices() -> None:
    rng = np.random.default_rng(0)
    x, index = rng.normal(size=(4, 5, 6)), rng.integers(0, 6, size=500)
    expected = np.zeros_like(x)
    np.add.at(expected, (slice(None), slice(None), index), 2 * x[:, :, index])
    np.testing.assert_allclose(ad.grad(lambda x: (x[:, ..., :, index] ** 2).sum())(x), expected)


def test_truth_values_as_positions() -> None:
    assert ad.grad(lambda x: np.take(x, True))(np.arange(4.0)).tolist() == [0, 1, 0, 0]
    mask = np.array([True, False, True])
    assert np.insert(Value(X), mask, 9.0).data.tolist() == np.insert(X, mask, 9.0).tolist()


def test_dot_of_a_number() -> None:
    assert ad.grad(lambda x: np.dot(0.5, x).sum())(X).tolist() == [0.5, 0.5, 0.5]


def test_lists_in_select() -> None:
    result = np.select([[True, False, True]], [Value(X)], [9.0, 8.0, 7.0])
    assert result.data.tolist() == [1, 8, 3] and result.requires_grad


def test_axes_that_are_values() -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert ad.grad(lambda x: np.sum(x, axis=(np.argmax(x[:, 0]) * 0, 1)))(x).tolist() == np.ones((2, 3)).tolist()


def test_comparing_with_pandas_is_refused_and_with_none_is_elementwise() -> None:
    for compare in (lambda v: v == pd.Series(X), lambda v: pd.Series(X) == v, lambda v: v != pd.Series(X)):
        with pytest.raises(OperandError, match="to_numpy"):
            compare(Value(X))
    assert (Value(X) == None).data.tolist() == [False] * 3  # noqa: E711


def test_out_of_cumulative_sum() -> None:
    out = anp.zeros(3)
    anp.cumulative_sum(anp.asarray(X), out=out)
    assert out.data.tolist() == [1, 3, 6]


def running(x: Any) -> Any:
    CACHE.setdefault("mean", np.zeros(3))
    CACHE["mean"][...] = 0.5 * CACHE["mean"] + 0.5 * x
    return ((x - CACHE["mean"]) ** 2).sum()


def test_a_buffer_that_outlives_its_transform_is_detached() -> None:
    CACHE.clear()
    for _ in range(3):
        ad.grad(running)(X)
        assert not CACHE["mean"].requires_grad
    np.testing.assert_allclose(CACHE["mean"].data, 0.875 * X)


def test_nan_among_what_a_selection_leaves_out() -> None:
    x = np.array([-1.0, 2.0, 3.0])
    with np.errstate(invalid="ignore"):
        for choose in (
            lambda y: np.where(y > 0, y, 0.0).sum(),
            lambda y: y[y > 0].sum(),
            lambda y: y[np.array([1, 2])].sum(),
            lambda y: np.take(y, [1, 2]).sum(),
            lambda y: np.nansum(y),
            lambda y: np.nanmax(y),
            lambda y: np.sum(y, where=np.array([False, True, True])),
        ):
            g = ad.grad(lambda x, choose=choose: choose(np.sqrt(x) * np.log(x)))(x)
            assert g[0] == 0 and np.isfinite(g).all()


def test_looking_for_nan_reports_no_overflow() -> None:
    with np.errstate(all="raise"):
        ad.grad(lambda x: np.where(x > 0, x * 1e200, 0.0).sum())(np.full(3, 1e10))


def test_a_map_may_call_functions_that_have_rules() -> None:
    """Traced through, they would lose those, and with them the higher derivatives."""

    @dispatchable
    def my_cosh(x: Any) -> Any:
        a = np.abs(x)
        return 0.5 * (np.exp(a) + np.exp(-a))

    @dispatchable
    def my_sinh(x: Any) -> Any:
        return np.sinh(x)

    elementwise(my_cosh, lambda g, x: g * my_sinh(x))
    elementwise(my_sinh, lambda g, x: g * my_cosh(x))
    try:
        assert ad.grad(ad.grad(ad.grad(my_sinh)))(0.0) == 1
    finally:
        del RULES[my_cosh], RULES[my_sinh]


def test_a_plain_copy_of_a_constant_is_read_only() -> None:
    v = Value(X, requires_grad=False)
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(v)[0] = 5.0
    assert np.array(v).flags.writeable


@pytest.mark.parametrize("exponent", [0, 0.0, -0.0, np.float32(0), np.uint8(0)], ids=repr)
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "complex64"])
def test_power_zero_has_numpys_dtype(dtype: str, exponent: Any) -> None:
    """`np.power(uint8, -0.0)` is a float64: only the exponent 0 is a weak integer."""
    a = np.array([3, 0], dtype)
    result = np.power(ad.Value(a, requires_grad=False), exponent)
    assert result.dtype == np.power(a, exponent).dtype
    assert list(result.data) == [1, 1]


@pytest.mark.parametrize("deg", [False, True])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float16", "float32", "complex64"])
def test_angle_has_numpys_dtype(dtype: str, deg: bool) -> None:
    a = np.array([1, 0], dtype)
    result = np.angle(ad.Value(a, requires_grad=False), deg)
    assert result.dtype == np.angle(a, deg).dtype
    np.testing.assert_array_equal(result.data, np.angle(a, deg))


def test_activations_of_complex_numbers() -> None:
    """They were those of something else; the error function is one of real numbers here."""
    z = np.array([1 + 2j, -0.5j, -3 + 1j])
    np.testing.assert_allclose(ad.sigmoid(Value(z)).data, 1 / (1 + np.exp(-z)), rtol=1e-14)
    np.testing.assert_allclose(ad.silu(Value(z)).data, z / (1 + np.exp(-z)), rtol=1e-14)
    for x in (z, Value(z)):
        with pytest.raises(TypeError, match="erfc: the argument is complex"):
            ad.gelu(x)
