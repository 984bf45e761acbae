"""Picking elements by index and by condition: what a row of the table cannot say. See rows_index.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import Value, arrays
from autodiff.arrays import add_at, scatter_add
from autodiff.checking import check_grads

ALL = slice(None)
CUBE = np.arange(24.0).reshape(2, 3, 4)


def equal(actual: Any, expected: Any) -> None:
    """A Value with NumPy's numbers and dtype."""
    assert isinstance(actual, Value) and actual.dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(actual.data, expected)


# -- adding at indices

KEYS: dict[str, Callable[[np.random.Generator], Any]] = {
    "array": lambda rng: rng.integers(-3, 3, 40),
    "small integers": lambda rng: rng.integers(-3, 3, 40).astype(np.int8),
    "unsigned": lambda rng: rng.integers(0, 3, 40).astype(np.uint64),
    "matrix": lambda rng: (rng.integers(-3, 3, (5, 8)),),
    "none": lambda rng: rng.integers(-3, 3, 0),
    "no axes": lambda rng: np.array(1),
    "second axis": lambda rng: (ALL, rng.integers(-3, 3, 9)),
    "last axis": lambda rng: (..., rng.integers(-3, 3, 9)),
    "first axis": lambda rng: (rng.integers(-3, 3, 9), ...),
    "axis in the middle": lambda rng: (ALL, rng.integers(-3, 3, 9), ALL),
    "two axes": lambda rng: (rng.integers(-3, 3, (9, 1)), rng.integers(-3, 3, 4)),
    "number and array": lambda rng: (1, rng.integers(-3, 3, 9)),
    "array and number": lambda rng: (rng.integers(-3, 3, 9), np.int64(-1)),
    "apart": lambda rng: (rng.integers(-3, 3, 9), ALL, rng.integers(-3, 3, 9)),
    "new axis": lambda rng: (rng.integers(-3, 3, 9), None),
    "part of an axis": lambda rng: (slice(1, None), rng.integers(-3, 3, 9)),
    "permutation": lambda rng: rng.permutation(3),
    "mask and array": lambda rng: (np.array([True, False, True]), rng.integers(-3, 3, 2)),
}


def fits(key: str, shape: tuple[int, ...]) -> bool:
    try:
        np.zeros(shape)[KEYS[key](np.random.default_rng(0))]
    except IndexError:
        return False
    return True


@pytest.mark.parametrize("many", [1, 10**9], ids=["by rows", "plainly"])
@pytest.mark.parametrize(
    ("key", "shape"),
    [
        (key, shape)
        for key in KEYS
        for shape in [(3,), (3, 4), (3, 3, 5), (3, 3, 3, 40), (4, 3, 17), (3, 0, 3)]
        if fits(key, shape)
    ],
    ids=str,
)
def test_scatter_add(
    key: str, shape: tuple[int, ...], many: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Repeated indices add up, however it is done, in any memory order and dtype."""
    monkeypatch.setattr(arrays, "MANY", many)
    k = KEYS[key](rng)
    places = np.arange(np.prod(shape)).reshape(shape)[k]
    for dtype in (np.float64, np.float32, np.complex128, np.float16):
        g = rng.integers(-9, 9, places.shape).astype(dtype)
        expected = np.zeros(shape, dtype)
        np.add.at(expected.reshape(-1), places.reshape(-1), g.reshape(-1))
        for cotangent in (g, np.asarray(g, order="F")):
            result = scatter_add(cotangent, k, shape)
            assert result.dtype == dtype
            np.testing.assert_array_equal(result, expected)
        for out in (np.ones(shape, dtype), np.ones(shape, dtype, order="F"), np.ones(shape, complex)):
            add_at(out, k, g)
            np.testing.assert_array_equal(out, 1 + expected)
    out = np.zeros(shape)
    add_at(out, k, np.array([2.0]) if places.ndim else 2.0)
    np.testing.assert_array_equal(out.ravel(), np.bincount(places.ravel(), minlength=out.size) * 2.0)


def test_gradient_of_many_rows(rng: np.random.Generator) -> None:
    """Large enough for the quick ways: narrow rows, wide rows, rows that all differ, whole axes in front."""
    for shape, key in [
        ((50, 4), rng.integers(-50, 50, 4000)),
        ((50, 64), rng.integers(-50, 50, 400)),
        ((500, 64), rng.permutation(500)),
        ((50, 3000), rng.integers(-50, 50, 99)),
        ((20, 30, 5), (ALL, rng.integers(-30, 30, 60))),
        ((100, 90), (rng.integers(-100, 100, 9000), rng.integers(-90, 90, 9000))),
    ]:
        x = rng.normal(size=shape)
        places = np.arange(x.size).reshape(shape)[key].ravel()
        u = rng.normal(size=x[key].shape)
        gradient = ad.grad(lambda x, key=key, u=u: (x[key] * u).sum())(x)
        np.testing.assert_allclose(gradient.ravel(), np.bincount(places, u.ravel(), x.size), rtol=1e-12, atol=1e-12)


# -- take


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("mode", ["wrap", "clip"])
def test_take_out_of_range(mode: str, axis: int | None) -> None:
    index = np.array([[-30, -1, 0], [2, 7, 30]])
    equal(np.take(Value(CUBE), index, axis, mode=mode), np.take(CUBE, index, axis, mode=mode))  # type: ignore[call-overload]
    check_grads(lambda x: np.take(x, index, axis, mode=mode) ** 2, CUBE)  # type: ignore[call-overload]
    np.take(Value(CUBE), index[:0], axis, None, mode)  # type: ignore[call-overload]


def test_take_of_lists_numbers_and_truth_values() -> None:
    x = Value(CUBE)
    for index in ([1, 0], (0, 1), [], [[0], [1]], 1, np.True_, np.array([True, False]), np.int8(1), [True, False]):
        equal(np.take(x, index, 0), np.take(CUBE, index, 0))  # type: ignore[arg-type]
    equal(np.take(x, Value([1, 2], requires_grad=False, dtype=int), 2), CUBE[..., 1:3])
    for order in (CUBE.T, CUBE[:, ::2], np.asfortranarray(CUBE)):
        equal(np.take(Value(order, copy=False), [1, 1], 1), np.take(order, [1, 1], 1))


def test_take_refuses() -> None:
    x = Value(CUBE)
    with pytest.raises(IndexError):
        np.take(x, 5, 0)
    with pytest.raises(ValueError, match=r'mode=.*"raise", "wrap" or "clip"'):
        np.take(x, 5, 0, mode="round")  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        np.take(x, [0.5], 0)  # type: ignore[call-overload]
    with pytest.raises(ad.DetachError, match="take"):
        np.take(x, Value(1.0), 0)


def test_take_along_the_flattened_array() -> None:
    index = np.array([3, 3, -1, 20])
    equal(np.take_along_axis(Value(CUBE), index, None), np.take_along_axis(CUBE, index, None))
    check_grads(lambda x: np.take_along_axis(x, index, None) ** 3, CUBE)
    for wrong in (np.array([[1]]), np.zeros((1, 1, 1))):
        with pytest.raises(ValueError, match=r"take_along_axis.*integers"):
            np.take_along_axis(Value(CUBE), wrong, 0 if wrong.ndim == 3 else None)


def test_sorting_by_an_index_is_differentiable(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 5))
    order = np.argsort(x, axis=1)
    weights = np.arange(20.0).reshape(4, 5)
    gradient = ad.grad(lambda x: (np.take_along_axis(x, order, 1) * weights).sum())(x)
    np.testing.assert_array_equal(np.take_along_axis(gradient, order, 1), weights)


# -- delete and insert


def test_delete_refuses_as_numpy_does() -> None:
    x = Value(np.arange(4.0))
    with pytest.raises(IndexError):
        np.delete(x, 7)
    with pytest.raises(ValueError, match="boolean"):
        np.delete(x, [True, False])
    equal(np.delete(x, np.array([], dtype=int)), np.arange(4.0))


INSERTIONS: dict[str, tuple[Any, Any, Any]] = {
    "number": (1, 9.0, None),
    "number, a row": (1, np.arange(4.0), 1),
    "number, a column": (1, np.arange(3.0), 2),
    "negative": (-1, 9.0, 1),
    "at the end": (3, 9.0, 1),
    "list": ([0, 2, 2], np.array([7.0, 8.0, 9.0]), None),
    "unsorted": ([2, 0], np.array([7.0, 8.0])[:, None], 1),
    "slice": (slice(0, None, 2), 9.0, 1),
    "backward slice": (slice(None, None, -1), np.arange(3.0)[:, None], 1),
    "slice of one": (slice(1, 2), np.arange(8.0).reshape(2, 4), 1),
    "list of one": ([1], np.arange(8.0).reshape(2, 4), 1),
    "nothing": ([], 9.0, 1),
    "index array": (np.array([0, 0]), np.arange(2.0), None),
}


@pytest.mark.parametrize("how", INSERTIONS)
def test_insert(how: str) -> None:
    """Both the array and the values have derivatives."""
    obj, values, axis = INSERTIONS[how]
    expected = np.insert(CUBE, obj, values, axis)
    equal(np.insert(Value(CUBE), obj, values, axis), expected)
    equal(np.insert(Value(CUBE), obj, Value(values), axis), expected)
    equal(np.insert(CUBE, obj, Value(values), axis), expected)
    check_grads(lambda x, v: np.insert(x, obj, v, axis) ** 2, CUBE, values)


def test_insert_keeps_the_dtype_of_the_array() -> None:
    x, v = Value(np.ones(3, np.float32)), Value(np.float64(2.0))
    y = np.insert(x, 1, v)
    equal(y, np.array([1, 2, 1, 1], np.float32))
    (y * np.arange(4)).sum().backward()
    assert v.grad == 1.0 and v.grad.dtype == np.float64
    equal(np.insert(np.arange(3), 1, Value(2.7)), [0, 2, 1, 2])
    with pytest.raises(IndexError):
        np.insert(x, 7, v)


# -- choices


def test_choose_checks_and_modes() -> None:
    choices = [Value([1.0, 2.0, 3.0]), 10.0, np.array([7.0])]
    plain = [c.data if isinstance(c, Value) else c for c in choices]
    for index, mode in (([0, 1, 2], "raise"), ([-1, 3, 7], "wrap"), ([-1, 3, 7], "clip"), ([[0], [2]], "raise")):
        equal(np.choose(index, choices, mode=mode), np.choose(index, plain, mode=mode))  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="invalid entry"):
        np.choose([0, 3, 1], choices)
    with pytest.raises(TypeError):
        np.choose(Value([0.0, 1.0, 1.0]), choices)
    check_grads(lambda a, b: np.choose([[0], [1], [0]], [a, b]) ** 2, np.arange(3.0), np.float64(4.0))


def test_choose_gives_the_dtype_of_the_choices() -> None:
    single = Value(np.ones(2, np.float32))
    equal(np.choose([0, 1], [single, 2.0]), np.array([1, 2], np.float32))
    assert np.choose(Value([0, 1], requires_grad=False, dtype=int), [True, False]).dtype == bool
    assert np.choose([0, 1], [single, np.float64(2.0)]).dtype == np.float64


def test_select_takes_the_first_that_holds() -> None:
    x = np.linspace(-2, 2, 7)
    for default in (0, -1.5, np.float64(3.0)):
        conditions, choices = [x > 1, x > 0, x > -1], [x**2, 2.0, 3 * x]
        given = [Value(c) if isinstance(c, np.ndarray) else c for c in choices]
        equal(np.select(conditions, given, default), np.select(conditions, choices, default))
    gradient = ad.grad(lambda x: np.select([x > 1, x > 0, x > -1], [x**2, 5 * x, 3 * x]).sum())(x)
    np.testing.assert_allclose(gradient, np.select([x > 1, x > 0, x > -1], [2 * x, 5, 3], 0))
    single = Value(x.astype(np.float32))
    assert np.select([single > 0], [single], 1.0).dtype == np.float32
    assert np.select([single > 0], [single], np.float64(1.0)).dtype == np.float64


def test_select_keeps_singularities_out() -> None:
    gradient = ad.grad(lambda x: np.select([x > 0, x < 0], [np.sqrt(x), np.log(-x)], 0.0).sum())
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(gradient(np.array([0.0, 4.0, -2.0])), [0, 0.25, -0.5])


def test_select_refuses() -> None:
    x = Value([1.0, 2.0])
    with pytest.raises(ValueError, match="select: 1 conditions and 2 choices"):
        np.select([x > 0], [x, x])
    with pytest.raises(ValueError, match="at least one"):
        ad.rule.RULES[np.select].forward([], [])  # type: ignore[misc]
    with pytest.raises(TypeError, match=r"condition 1 .* c != 0"):
        np.select([x > 0, x], [x, x])


def test_piecewise_evaluates_each_function_on_its_part_only() -> None:
    x = np.array([-4.0, 0.0, 4.0])
    f = lambda x: np.piecewise(x, [x > 0, x < 0], [np.sqrt, lambda x: np.log(-x)])
    equal(f(Value(x)), f(x))
    np.testing.assert_array_equal(ad.grad(lambda x: f(x).sum())(x), [-0.25, 0, 0.25])
    np.testing.assert_array_equal(ad.grad(lambda x: ad.grad(lambda x: f(x).sum())(x).sum())(x), [-1 / 16, 0, -1 / 32])


@pytest.mark.parametrize(
    ("conditions", "functions"),
    [
        (lambda x: [x < 0, x < 2], [np.negative, 7.0]),  # where both hold, the later one counts
        (lambda x: [x < 0, x >= 0], [lambda x: 2.0, lambda x: x * x]),
        (lambda x: [x < 0], [np.negative, np.square]),  # the last function is for the rest
        (lambda x: (x < 0)[None], [np.negative, np.square]),
        (lambda x: [x < 0, x > 9], [np.negative, np.sqrt]),  # nowhere
    ],
)
def test_piecewise(conditions: Any, functions: Any) -> None:
    x = np.array([[-1.5, 3.0, 0.5], [2.5, -0.5, 1.0]])
    equal(np.piecewise(Value(x), conditions(x), functions), np.piecewise(x, conditions(x), functions))
    check_grads(lambda x: np.piecewise(x, conditions(x), functions) ** 2, x)
    row = x[0]
    equal(np.piecewise(Value(row), row < 0, [np.negative, np.square]), [1.5, 9, 0.25])  # one condition, not in a list


def test_piecewise_passes_arguments_on_and_takes_values_as_constants() -> None:
    x, a = np.array([-1.0, 1.5, 3.0]), np.float64(5.0)
    f = lambda x, a: np.piecewise(x, [x < 0, x > 2], [lambda x, k, p=1: k * x**p, a, 0.0], 4.0, p=2)
    np.testing.assert_array_equal(f(x, a), [4, 0, 5])
    check_grads(f, x, a)
    integers = Value([1, 2, 3], requires_grad=False, dtype=int)
    equal(np.piecewise(integers, [integers > 1], [lambda x: x / 2, 0.7]), [0, 1, 1])
    for zero_dim in (-1.0, 2.0):
        check_grads(lambda x: np.piecewise(x, [x < 0], [np.square, np.sin]), np.float64(zero_dim))
    with pytest.raises(ValueError, match="piecewise: 1 conditions and 3 functions"):
        np.piecewise(Value(x), [x < 0], [1, 2, 3])


def test_compress_with_conditions_of_another_length() -> None:
    x = Value(CUBE)
    equal(np.compress([0, 1], x, axis=2), CUBE[..., 1:2])
    equal(np.compress([True, False, True, False, False], x, axis=1), CUBE[:, ::2])
    equal(np.compress(Value(np.arange(24)) > 20, x), np.arange(21.0, 24))
    equal(np.extract(CUBE % 2 == 0, x), np.arange(0.0, 24, 2))
    with pytest.raises(IndexError):
        np.compress([True, False, True, False, True], x, axis=1)
    with pytest.raises(ValueError, match=r"compress.*1-d"):
        np.compress([[True]], x, axis=1)


# -- positions


def test_positions_are_untracked() -> None:
    x = Value([[0.0, 3.0], [2.0, 0.0]])
    found = [*np.where(x), *np.where(x > 2), *np.nonzero(x), np.argwhere(x), np.flatnonzero(x)]
    found += [*np.tril_indices_from(x), *np.diag_indices_from(x), *np.ix_(x[0] > 0, [1])]
    assert all(isinstance(i, Value) and i.dtype == np.intp and not i.requires_grad for i in found)
    np.testing.assert_array_equal(np.array(np.where(x)), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(ad.grad(lambda x: x[np.where(x)].sum())(x.data), [[0, 1], [1, 0]])
