"""Moving elements: what a row of the table cannot say. See rows_shape.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import autodiff as ad
from autodiff import Value
from autodiff.checking import check_grads

X = np.arange(12.0).reshape(3, 4)


def equal(actual: Any, expected: Any) -> None:
    """A Value with NumPy's numbers and dtype."""
    assert isinstance(actual, Value) and actual.dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(actual.data, expected)


# -- views and copies

SAME_MEMORY: dict[str, Callable[[Any], Any]] = {
    "array_split": lambda x: np.array_split(x, 3, 1)[0],
    "atleast_1d": np.atleast_1d,
    "atleast_2d": lambda x: np.atleast_2d(x[0]),
    "atleast_3d": np.atleast_3d,
    "atleast_3d of a row": lambda x: np.atleast_3d(x[1]),
    "block": lambda x: np.block([[x]]),
    "block of no list": lambda x: np.block(x),
    "append": lambda x: np.append(x, []),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x, np.ones((2, 1, 1)))[0],
    "broadcast_arrays of one shape": lambda x: np.broadcast_arrays(x, 1.0)[0],
    "choose": lambda x: np.choose(np.zeros((3, 4), int), [x]),
    "column_stack": lambda x: np.column_stack([x]),
    "compress": lambda x: np.compress([1, 1, 1], x, 0),
    "concatenate": lambda x: np.concatenate([x]),
    "copy": np.copy,
    "delete": lambda x: np.delete(x, [], 0),
    "diag": np.diag,
    "diag of a row": lambda x: np.diag(x[0]),
    "diagflat": np.diagflat,
    "diagonal": lambda x: np.diagonal(x, 1),
    "dsplit": lambda x: np.dsplit(x[None], 2)[1],
    "dstack": lambda x: np.dstack([x]),
    "expand_dims": lambda x: np.expand_dims(x, (0, 2)),
    "extract": lambda x: np.extract(x > -1, x),
    "flip": np.flip,
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    "hsplit": lambda x: np.hsplit(x, 2)[0],
    "hstack": lambda x: np.hstack([x]),
    "insert": lambda x: np.insert(x, [], 0.0, 0),
    "matrix_transpose": np.matrix_transpose,
    "meshgrid": lambda x: np.meshgrid(x[0], x[1])[0],
    "meshgrid without copy": lambda x: np.meshgrid(x[0], x[1], copy=False)[0],
    "meshgrid, sparse": lambda x: np.meshgrid(x[0], x[1], sparse=True, copy=False)[1],
    "moveaxis": lambda x: np.moveaxis(x, 0, 1),
    "pad by nothing": lambda x: np.pad(x, 0),
    "pad by no edge": lambda x: np.pad(x, 0, "edge"),
    "pad by no ramp": lambda x: np.pad(x, 0, "linear_ramp"),
    "piecewise": lambda x: np.piecewise(x, [x > -1], [lambda x: x]),
    "ravel": np.ravel,
    "ravel in the other order": lambda x: np.ravel(x, order="F"),
    "ravel as it lies": lambda x: np.ravel(x.T, order="K"),
    "ravel of every second": lambda x: np.ravel(x[:, ::2]),
    "real": np.real,
    "real_if_close": np.real_if_close,
    "repeat": lambda x: np.repeat(x, 1),
    "reshape": lambda x: np.reshape(x, -1),
    "reshape across": lambda x: np.reshape(x.T, -1),
    "resize": lambda x: np.resize(x, (3, 4)),
    "roll": lambda x: np.roll(x, 0),
    "rollaxis": lambda x: np.rollaxis(x, 1),
    "rot90 by 0": lambda x: np.rot90(x, 0),
    "rot90 by 1": np.rot90,
    "rot90 by 2": lambda x: np.rot90(x, 2),
    "rot90 by 3": lambda x: np.rot90(x, 3),
    "select": lambda x: np.select([x > -1], [x]),
    "split": lambda x: np.split(x, 2, 1)[1],
    "squeeze": lambda x: np.squeeze(x[None]),
    "stack": lambda x: np.stack([x]),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "take": lambda x: np.take(x, [0, 1]),
    "take of one": lambda x: np.take(x, 0, 0),
    "take_along_axis": lambda x: np.take_along_axis(x, np.zeros((3, 4), int), 1),
    "tile": lambda x: np.tile(x, 1),
    "transpose": np.transpose,
    "tril": np.tril,
    "vsplit": lambda x: np.vsplit(x, 3)[0],
    "vstack": lambda x: np.vstack([x]),
    **({"unstack": lambda x: np.unstack(x)[1]} if hasattr(np, "unstack") else {}),
}


@pytest.mark.parametrize("name", SAME_MEMORY)
def test_what_is_a_view(name: str) -> None:
    """What shares memory in NumPy does so here: a write to the array is seen in it. What does not, does not."""
    f = SAME_MEMORY[name]
    is_view = np.shares_memory(f(X), X)
    v = Value(X) * 1.0
    y = f(v)
    assert np.shares_memory(y.data, v.data) == is_view
    v[...] = v + 100.0
    equal(y, f(X + 100.0) if is_view else f(X))


# -- axes


@pytest.mark.parametrize("order", ["A", "K"])
@pytest.mark.parametrize("given", ["C", "F"])
def test_orders_that_follow_the_memory(given: Any, order: Any) -> None:
    """Gradients and tangents follow the memory of the array, however they are laid out themselves."""
    x, u = np.asarray(X, order=given), np.arange(12.0) ** 2
    for f in (lambda x: np.ravel(x, order=order), lambda x: np.reshape(x, (6, 2), order="A")):
        equal(f(Value(x)), f(x))
        pull = ad.vjp(f, x)[1]
        np.testing.assert_array_equal(f(pull(u.reshape(f(x).shape))[0]), u.reshape(f(x).shape))
        for layout in ("C", "F"):
            t = np.asarray(X**2, order=layout)  # type: ignore[call-overload]
            expected = f(np.asarray(t, order=given))
            np.testing.assert_array_equal(ad.jvp(f, (x,), (t,))[1], expected)
            np.testing.assert_array_equal(
                ad.jvp(lambda x, f=f, t=t: ad.jvp(f, (x,), (t * x,))[1], (x,), (t,))[1],
                f(np.asarray(t * t, order=given)),
            )


def test_orders_of_what_is_not_contiguous() -> None:
    strided = Value(np.arange(24.0).reshape(4, 6))[:, ::2]
    equal(np.ravel(strided, order="A"), strided.data.ravel("A"))
    with pytest.raises(ad.OperandError, match=r'order="K".*order="C"'):
        np.ravel(strided, order="K")
    equal(np.reshape(strided, -1, order="A"), strided.data.reshape(-1, order="A"))
    for wrong in (lambda: np.reshape(strided, -1, order="K"), lambda: np.ravel(strided, order="Z")):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="order"):
            wrong()


def test_refusals_name_function_and_argument() -> None:
    x = Value(X)
    for f, error, message in [
        (lambda: np.rollaxis(x, 0, 5), ValueError, "rollaxis: start=5"),
        (lambda: np.rot90(x, axes=(0, 2)), ValueError, r"rot90: axes=\(0, 2\)"),
        (lambda: np.rot90(x, axes=(1, -1)), ValueError, r"rot90: axes=\(1, -1\)"),
        (lambda: np.fliplr(x[0]), ValueError, "fliplr: .* 1 axes"),
        (lambda: np.matrix_transpose(x[0]), ValueError, "2 axes"),
        (lambda: np.split(x, 5, 1), ValueError, "split: 4 elements .* array_split"),
        (lambda: np.array_split(x, 0), ValueError, "array_split"),
        (lambda: np.hsplit(x[0, 0], 2), ValueError, "hsplit: .* 0 axes"),
        (lambda: np.vsplit(x[0], 2), ValueError, "vsplit: .* 1 axes"),
        (lambda: np.dsplit(x, 2), ValueError, "dsplit: .* 2 axes"),
        (lambda: np.meshgrid(x[0], indexing="yx"), ValueError, 'meshgrid: indexing=.*"xy" or "ij"'),
        (lambda: np.resize(x, (-1, 2)), ValueError, "resize"),
        (lambda: np.block([x, [x]]), ValueError, "block: in arrays some entries are nested deeper"),
        (lambda: np.block([[x], []]), ValueError, r"block: the list arrays\[1\] is empty"),
        (lambda: np.block([[x], (x,)]), TypeError, r"block: arrays\[1\] is a tuple"),
        (lambda: np.apply_along_axis(np.sum, 0, x[:, :0]), ValueError, "apply_along_axis"),
        (lambda: np.apply_over_axes(lambda a, axis: a.sum(), x, 0), ValueError, "apply_over_axes: .* 0 axes"),
    ]:
        with pytest.raises(error, match=message):
            f()


@pytest.mark.parametrize("axis", [2, -3])
def test_axes_out_of_range(axis: int) -> None:
    x = Value(X)
    for f in (
        lambda: np.split(x, 1, axis),
        lambda: np.array_split(x, 1, axis),
        lambda: np.repeat(x, 2, axis),
        lambda: np.roll(x, 1, axis),
        lambda: np.rollaxis(x, axis),
        lambda: np.take(x, [0], axis),
        lambda: np.take_along_axis(x, np.zeros((3, 4), int), axis),
        lambda: np.delete(x, 0, axis),
        lambda: np.insert(x, 0, 1.0, axis),
        lambda: np.append(x, x, axis),
        lambda: np.compress([True], x, axis),
        lambda: np.apply_along_axis(np.sum, axis, x),
        lambda: np.apply_over_axes(np.sum, x, axis),
    ):
        with pytest.raises(np.exceptions.AxisError):
            f()


# -- several results, several arrays


def test_results_belong_to_their_arrays() -> None:
    """broadcast_arrays, meshgrid and atleast_nd of several: each result has the gradient of its own array."""
    x, y = np.arange(3.0), np.arange(2.0)[:, None]
    check_grads(lambda x, y: sum((i + 2) * a**2 for i, a in enumerate(np.broadcast_arrays(x, y))), x, y)
    assert [np.shape(a) for a in np.broadcast_arrays(Value(2.0), 1.0, [3.0])] == [(1,)] * 3
    assert all(hasattr(a, "dtype") for a in np.broadcast_arrays(Value(2.0), 1.0))
    for kwargs in ({}, {"indexing": "ij"}, {"sparse": True}, {"copy": False}):
        check_grads(lambda x, y, k=kwargs: np.multiply(*np.meshgrid(x, y, **k)), x, y)
        three = np.meshgrid(Value(x), y, 2.0, **kwargs)  # type: ignore[call-overload]
        for a, e in zip(three, np.meshgrid(x, y, 2.0, **kwargs), strict=True):  # type: ignore[call-overload]
            np.testing.assert_array_equal(a, e) if isinstance(a, np.ndarray) else equal(a, e)
    for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
        results: Any = f(Value(x), [1.0, 2.0], Value(3.0))
        assert isinstance(results, tuple)
        for a, e in zip(results, f(x, [1.0, 2.0], 3.0), strict=True):
            np.testing.assert_array_equal(a.data if isinstance(a, Value) else a, e)
        check_grads(lambda x, y, f=f: sum(a.sum() ** 2 for a in f(x, y)), x, np.float64(2.0))


def test_concatenate_and_stack_with_keywords() -> None:
    a, b = np.arange(3.0), np.arange(6.0, dtype=np.float32).reshape(2, 3)
    equal(np.concatenate([Value(a), b], axis=None), np.concatenate([a, b], axis=None))
    check_grads(lambda a, b: np.concatenate([a, b], axis=None) ** 2, a, b.astype(float))
    for f in (np.concatenate, np.stack, np.hstack, np.vstack):
        y = f([Value(a), Value(a)], dtype=np.float32)  # type: ignore[call-overload]
        equal(y, f([a, a], dtype=np.float32))  # type: ignore[call-overload]
        twice = lambda a, f=f: f([a, a], dtype="f4")
        gradient = ad.grad(lambda a, twice=twice: (twice(a) ** 2).sum())(a)
        tangent = ad.jvp(twice, (a,), (a,))[1]
        np.testing.assert_allclose(gradient, 4 * a)
        assert gradient.dtype == np.float64 and tangent.dtype == np.float32
        with pytest.raises(TypeError, match="cast"):
            f([Value(a), a], dtype=np.float32, casting="safe")  # type: ignore[call-overload]
        assert f([Value(a), a], dtype=int, casting="unsafe").dtype == int  # type: ignore[call-overload]


def test_lists_with_values_among_the_arrays() -> None:
    v, w = np.arange(2.0), np.float64(3.0)
    for f in (
        lambda v, w: np.append(v, [w, 1.0]),
        lambda v, w: np.hstack([[w, 1.0], v]),
        lambda v, w: np.vstack([[w, 1.0], v]),
        lambda v, w: np.dstack([[w, 1.0], v]),
        lambda v, w: np.column_stack([[w, 1.0], v]),
        lambda v, w: np.insert(v, 0, [w, 1.0]),
        lambda v, w: np.multiply(*np.meshgrid([w, 1.0], v)),
        lambda v, w: np.multiply(*np.broadcast_arrays([w, 1.0], v)),
    ):
        equal(f(Value(v), Value(w)), f(v, w))
        check_grads(f, v, w)


def test_block_of_blocks() -> None:
    a, b = np.arange(4.0).reshape(2, 2), np.arange(2.0)
    f = lambda a, b: np.block([[a, b[:, None], 1.0 * np.ones((2, 1))], [b, 5.0, b[0]]])
    equal(f(Value(a), Value(b)), f(a, b))
    check_grads(lambda a, b: f(a, b) ** 2, a, b)
    equal(np.block([[[Value(a)], [a]]]), np.block([[[a], [a]]]))


def test_other_names_are_the_same_functions() -> None:
    for new, old in {"concat": np.concatenate, "permute_dims": np.transpose, "bitwise_invert": np.invert}.items():
        assert getattr(np, new) is old


# -- diagonals, repetitions, windows


def test_diagonal_and_diag_undo_each_other(rng: np.random.Generator) -> None:
    for k in (-2, 0, 1):
        v = rng.normal(size=3)
        np.testing.assert_array_equal(ad.grad(lambda v, k=k: (np.diag(np.diag(v, k), k) ** 2).sum())(v), 2 * v)
    a = rng.normal(size=(4, 2, 5))
    jacobian = ad.grad(lambda a: (np.diagonal(a, 1, 2, 0) * np.arange(1.0, 7).reshape(2, 3)).sum())(a)
    assert np.count_nonzero(jacobian) == 6 and jacobian[0, 1, 1] == 0 and jacobian[2, 1, 1] == 5


def test_repeat_with_counts_as_a_value() -> None:
    counts = Value([2, 0, 1], requires_grad=False, dtype=int)
    equal(np.repeat(Value(X), counts, 0), np.repeat(X, counts.data, 0))
    check_grads(lambda x: np.repeat(x, [2, 0, 1, 3], axis=1) ** 2, X)
    with pytest.raises(ad.DetachError):
        np.repeat(Value(X), Value(2.0), 0)


@pytest.mark.parametrize("width", [1, 2, 9, 10])
def test_windows(width: int) -> None:
    """A moving average, few wide windows as well as many narrow ones."""
    x = np.arange(10.0) ** 2
    kernel = np.arange(1.0, width + 1)
    gradient = ad.grad(lambda x: (sliding_window_view(x, width) @ kernel).sum())(x)
    np.testing.assert_allclose(gradient, np.convolve(np.ones(11 - width), kernel))


def test_an_empty_array_resized_is_zeros() -> None:
    v = Value(np.zeros(0))
    y = np.resize(v, (2, 2))
    equal(y, np.zeros((2, 2)))
    y.sum().backward()
    assert v.grad.shape == (0,)


def test_real_if_close() -> None:
    z = np.array([1 + 1e-15j, 2 + 0j])
    equal(np.real_if_close(Value(z)), [1.0, 2.0])
    equal(np.real_if_close(Value(z), tol=1e-18), z)
    equal(np.real_if_close(Value(z * 1j)), z * 1j)
    np.testing.assert_array_equal(ad.grad(lambda z: np.real_if_close(z).sum())(z), [1, 1])


# -- functions of the user


def test_apply_along_axis_reaches_what_the_function_closes_over() -> None:
    a = np.float64(1.5)
    f = lambda x, a: np.apply_along_axis(lambda row, p: a * row[:2] ** p, 1, x, 3)
    np.testing.assert_array_equal(f(X, a), 1.5 * X[:, :2] ** 3)
    check_grads(f, X, a)
    equal(np.apply_along_axis(np.argmax, 0, Value(X)), [2, 2, 2, 2])
    equal(np.apply_along_axis(lambda r: [r[0], 2 * r[1]], 1, Value(X)), X[:, :2] * [1, 2])


# -- padding


def margins(vector: Any, widths: Any, axis: int, kwargs: Any) -> None:
    """What NumPy's manual calls pad_with, and a margin that depends on the array."""
    before, after = widths
    vector[:before] = kwargs["factor"] * vector[before]
    if after:
        vector[-after:] = axis


def test_pad_with_a_function() -> None:
    factor = np.float64(3.0)
    f = lambda x, factor: np.pad(x, ((2, 0), (1, 1)), margins, factor=factor)  # type: ignore[call-overload]
    equal(f(Value(X), Value(factor)), f(X, factor))
    check_grads(lambda x, factor: f(x, factor) ** 2, X, factor)
    x = Value(X)
    f(x, factor)
    np.testing.assert_array_equal(x.data, X)


def test_pad_with_constants_that_are_tracked() -> None:
    a, b = np.float64(2.0), np.float64(-1.0)
    for values in (
        lambda a, b: a,
        lambda a, b: (a, b),
        lambda a, b: ((a, 1.0), (b, a)),
        lambda a, b: [[a], [b]],
        lambda a, b: np.stack([a, b]),
    ):
        f = lambda x, a, b, values=values: np.pad(x, ((1, 0), (2, 1)), constant_values=values(a, b))
        equal(f(Value(X), Value(a), Value(b)), f(X, a, b))
        check_grads(lambda x, a, b, f=f: f(x, a, b) ** 2, X, a, b)
    check_grads(lambda x, a, b: np.pad(x, 2, "linear_ramp", end_values=(a, b)) ** 2, X, a, b)
    single = np.pad(Value(X.astype(np.float32)), 1, constant_values=Value(a))
    assert single.dtype == np.float32


def test_pad_of_integers_rounds_as_numpy_does() -> None:
    x = np.array([[1, 2], [4, 8]])
    for mode in ("mean", "linear_ramp", "median", "maximum", "reflect", "constant"):
        equal(np.pad(Value(x, requires_grad=False), (1, 2), mode), np.pad(x, (1, 2), mode))  # type: ignore[call-overload]
    equal(np.pad(Value(x, requires_grad=False), 1, constant_values=Value(2.7)), np.pad(x, 1, constant_values=2))


def test_pad_widths() -> None:
    x = Value(X)
    equal(np.pad(x, {1: (1, 2)}), np.pad(X, ((0, 0), (1, 2))))  # type: ignore[call-overload]
    equal(np.pad(x, {-1: 1, 0: (2, 0)}), np.pad(X, ((2, 0), (1, 1))))  # type: ignore[call-overload]
    equal(np.pad(x, np.array([[1, 2], [0, 3]])), np.pad(X, ((1, 2), (0, 3))))
    equal(np.pad(x, Value(1, requires_grad=False, dtype=int)), np.pad(X, 1))  # type: ignore[call-overload]
    equal(np.pad(Value(2.0), 3), 2.0)
    y = np.pad(x, 1, "empty")
    assert y.shape == (5, 6) and y.requires_grad
    np.testing.assert_array_equal(ad.grad(lambda x: np.pad(x, 1, "empty")[1:-1, 1:-1].sum())(X), np.ones_like(X))


def test_pad_refuses() -> None:
    x, empty = Value(X), Value(np.zeros((0, 3)))
    for f, message in [
        (lambda: np.pad(x, -1), "pad_width=-1"),
        (lambda: np.pad(x, 1, "around"), "mode='around'; it is a function or one of constant"),  # type: ignore[call-overload]
        (lambda: np.pad(x, 1, "edge", constant_values=1), "constant_values= has no meaning for mode='edge'"),  # type: ignore[call-overload]
        (lambda: np.pad(empty, 1, "edge"), "empty axis 0"),
        (lambda: np.pad(empty, 1, "mean"), "axis 0 is empty"),
        (lambda: np.pad(x, 1, "maximum", stat_length=0), "stat_length=0"),
    ]:
        with pytest.raises(ValueError, match=message):
            f()
    for width in (1.5, 1.0, True, [1.0, 2.0], np.uint8(1)):  # as NumPy refuses them
        with pytest.raises(TypeError, match="pad_width"):
            np.pad(x, width, "edge")  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="pad_width"):
            np.pad(X, width, "edge")  # type: ignore[call-overload]
    with pytest.raises(ad.OperandError, match=r"complex value .* real array"):
        np.pad(x, 1, constant_values=Value(1j))
    equal(np.pad(empty, ((0, 0), (1, 1)), "maximum"), np.zeros((0, 5)))
    equal(np.pad(empty, 1), np.zeros((2, 5)))


def test_pad_with_tied_statistics_shares() -> None:
    x = np.array([3.0, 1.0, 3.0])
    np.testing.assert_allclose(ad.grad(lambda x: np.pad(x, (1, 1), "maximum").sum())(x), [2, 1, 2])
