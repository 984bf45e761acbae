"""NumPy's creation functions with Values among the numbers: values, dtypes and shapes as NumPy's, and gradients."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest

from autodiff import DetachError, OperandError, Value, check_grads
from autodiff.creation import CREATORS, Vectorize
from autodiff.nested import untangled

ad = types.SimpleNamespace(**CREATORS, float32=np.float32, float64=np.float64, vectorize=Vectorize)
X = np.array([0.3, 1.0, 2.0])

# Each is called with NumPy and an array, and with CREATORS and a Value.
CALLS = {
    "numbers": lambda np, x: np.array([x[0], x[1]]),
    "one number": lambda np, x: np.array([x[0]]),
    "0-d": lambda np, x: np.array(x[0]),
    "matrix": lambda np, x: np.array([[x[0], -x[1]], [x[1], x[0]]]),
    "tuples": lambda np, x: np.array(((x[0], 1), (2.5, x[1]))),
    "rows": lambda np, x: np.array([x, 2 * x]),
    "rows of all kinds": lambda np, x: np.array([x, [1, 2, 3], (x[0], 1.5, x[2]), range(3)]),
    "rows of rows": lambda np, x: np.array([[x, x * x], [[1, x[0], 2], x]]),
    "numbers and 0-d": lambda np, x: np.array([x[0] * 2, np.array(3.0), 1]),
    "integers and bools": lambda np, x: np.array([x[0], 1, True]),
    "complex": lambda np, x: np.array([x[0], 1j]),
    "three deep": lambda np, x: np.array([[[x[0]], [x[1]]]]),
    "dtype": lambda np, x: np.array([x[0], 2], dtype=np.float32),
    "dtype int": lambda np, x: np.array([x[0] * 3, 2], dtype=int),
    "ndmin": lambda np, x: np.array([x[0], x[1]], ndmin=3),
    "order": lambda np, x: np.array([[x[0], x[1]], [1.0, 2.0]], order="F"),
    "copy": lambda np, x: np.array(x, copy=True),
    "asarray": lambda np, x: np.asarray([x[0], x[2]], dtype=np.float64),
    "asanyarray": lambda np, x: np.asanyarray(x),
    "asarray_chkfinite": lambda np, x: np.asarray_chkfinite([x[0], 1.0]),
    "ascontiguousarray": lambda np, x: np.ascontiguousarray(x[0]),
    "asfortranarray": lambda np, x: np.asfortranarray([[x[0], 1.0], [2.0, x[1]]]),
    "np.copy": lambda np, x: np.copy([x[0], x[1]]),
    "full": lambda np, x: np.full((2, 3), x[0] ** 2),
    "full of rows": lambda np, x: np.full((2, 3), x),
    "full of a list": lambda np, x: np.full((2, 2), [x[0], 1.0], dtype=np.float32),
    "full_like": lambda np, x: np.full_like(np.ones((2, 3)), x),
    "full_like with a dtype": lambda np, x: np.full_like(np.ones((2, 3), int), x[0], dtype=float),
    "full_like of ints": lambda np, x: np.full_like([1, 2], x[1] * 3),
    "full_like of a shape": lambda np, x: np.full_like(x, x[1], shape=(2, 2)),
    "arange from": lambda np, x: np.arange(x[0], 3.0),
    "arange by": lambda np, x: np.arange(x[0], 3.0, x[1] / 3),
    "arange up to": lambda np, x: np.arange(x[2] * 1.2),
    "arange with a dtype": lambda np, x: np.arange(x[0], 2.0, 0.5, dtype=np.float32),
    "linspace": lambda np, x: np.linspace(x[0], x[1], 5),
    "linspace of rows": lambda np, x: np.linspace([x[0], 1.0], x[1:], 4, axis=1),
    "linspace with its step": lambda np, x: np.linspace(0, x[1], 4, retstep=True)[1],
    "logspace": lambda np, x: np.logspace(x[0], 1, 4, base=x[2]),
    "geomspace": lambda np, x: np.geomspace(-x[0], -x[2], 4),
    "diag": lambda np, x: np.diag([x[0], x[1]]),
    "vander": lambda np, x: np.vander([x[0], x[1], 2.0], 4),
    "fromiter": lambda np, x: np.fromiter((v * v for v in x), float),
    "fromiter of some": lambda np, x: np.fromiter(iter(x), np.float32, 2),
    "fromfunction": lambda np, x: np.fromfunction(lambda i, j: i * x[0] + j * x[1], (2, 3)),
    "mgrid": lambda np, x: np.mgrid[x[0] : x[1] : 4j, 0:2],
    "mgrid of one": lambda np, x: np.mgrid[x[0] : 4 : x[1]],
    "ogrid": lambda np, x: np.ogrid[x[0] : x[1] : 4j, 0:2][0],
    "r_": lambda np, x: np.r_[x[0], 1, x, [x[1], 2.0], 0:2, x[0] : x[1] : 3j],
    "r_ along an axis": lambda np, x: np.r_["0,2", x, [1.0, 2.0, 3.0]],
    "r_ in another layout": lambda np, x: np.r_["1,3,0", x, [1.0, 2.0, 3.0]],
    "c_": lambda np, x: np.c_[x, x**2, 1 / x],
    "c_ of matrices": lambda np, x: np.c_[np.full((3, 2), x[0]), x],
    "vectorize": lambda np, x: np.vectorize(lambda a, b: a * b if b > 0.5 else a + b)(x[:, None], x),
    "vectorize to a dtype": lambda np, x: np.vectorize(lambda a: a, otypes=[np.float32])(x),
    "vectorize of pairs": lambda np, x: np.vectorize(lambda a: (a, a * a))(x)[1],
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_as_numpy(call: Any) -> None:
    expected, actual = call(np, X), call(ad, Value(X))
    assert isinstance(actual, Value)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(actual.data, expected, rtol=1e-15)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_gradient(call: Any) -> None:
    result = call(ad, Value(X))
    if result.requires_grad and result.dtype != np.float32:
        check_grads(lambda x: call(ad, x), X)
    else:
        assert result.dtype in (int, np.float32) or call is CALLS["arange up to"]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_single_precision(call: Any) -> None:
    x = X.astype(np.float32)
    assert call(ad, Value(x)).dtype == call(np, x).dtype


def test_without_values_it_is_numpys() -> None:
    for call in CALLS.values():
        expected, actual = call(np, X), call(ad, X)
        assert type(actual) is type(expected) and actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)
    assert ad.array([[1, 2], [3, 4]], order="F").flags.f_contiguous
    assert ad.asarray(X) is X


def test_a_nested_list_is_one_node() -> None:
    x = Value(X)
    made = ad.array([[x[0], x[1], 1.0], [x[2], 2.0, x[0]]])
    assert len(made._node.parents) == 4
    many = [Value(float(i)) for i in range(1000)]
    whole = ad.array(many)
    assert len(whole._node.parents) == 1000
    (whole * whole).sum().backward()
    assert [v.grad for v in many[:3]] == [0.0, 2.0, 4.0]


def test_untracked_values_make_an_untracked_one() -> None:
    v = Value(1.0, requires_grad=False)
    made = ad.array([v, 2.0])
    assert isinstance(made, Value) and not made.requires_grad and made.tolist() == [1.0, 2.0]


def test_asarray_of_a_value_is_the_value() -> None:
    x = Value(X)
    assert ad.asarray(x) is x and ad.ascontiguousarray(x) is x and ad.array(x, copy=None) is x
    assert ad.array(x) is not x and ad.asarray(x, copy=True) is not x and ad.asarray(x, dtype=np.float32) is not x
    table = Value(np.ones((2, 3)))
    assert ad.asarray(table, order="F") is not table and ad.asarray(table, order="C") is table
    assert ad.asarray(table, order="F").data.flags.f_contiguous


def test_copy_false_refuses_to_copy() -> None:
    x = Value(X)
    assert ad.array(x, copy=False) is x
    for make in (lambda: ad.asarray(x, dtype=int, copy=False), lambda: ad.array([x[0]], copy=False)):
        with pytest.raises(ValueError, match="copy=False"):
            make()


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda x: ad.array([[x[0], x[1]], [x[2]]]), r"lengths \[1, 2\]"),
        (lambda x: ad.array([x[0], [x[1]]]), r"shapes \[\(\), \(1,\)\]"),
        (lambda x: ad.asarray([x, x[:2]]), r"asarray.*shapes \[\(2,\), \(3,\)\]"),
        (lambda x: ad.full(3, [x[0], [1.0]]), r"full.*ragged"),
    ],
)
def test_ragged_lists(make: Any, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        make(Value(X))


@pytest.mark.parametrize("item", ["text", None, object()])
def test_what_is_no_number(item: Any) -> None:
    with pytest.raises(OperandError, match="array"):
        ad.array([Value(1.0), item])


@pytest.mark.parametrize("dtype", [object, str, "S3", "M8[s]"])
def test_dtypes_that_hold_no_numbers(dtype: Any) -> None:
    for make in (ad.array, ad.asarray, lambda items, dtype: ad.full(3, items[0], dtype)):
        with pytest.raises(OperandError, match="cannot hold a Value"):
            make([Value(1.0)], dtype)


def test_matrices_are_refused() -> None:
    with pytest.raises(OperandError, match=r"np\.matrix"):
        ad.r_["r", Value(X)]


def test_vectorize_says_what_it_cannot_do() -> None:
    x = Value(X)
    for function in (Vectorize(np.sum, signature="(n)->()"), Vectorize(pow, excluded=[1])):
        with pytest.raises(OperandError, match="vectorize"):
            function(x, 2)
    with pytest.raises(ValueError, match="no numbers"):
        Vectorize(lambda v: v)(Value(np.ones(0)))


def test_other_objects_are_left_alone() -> None:
    assert untangled("text") == "text" and untangled(X) is X
    assert untangled([1.0, 2.0]) == [1.0, 2.0]
    with pytest.raises(DetachError):
        np.array([Value(1.0), Value(2.0)])  # NumPy's own, outside of transforms


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("order", "CFKA")
@pytest.mark.parametrize("dtype", [float, np.float32])
def test_astype_has_the_order_that_is_asked_for(copy: bool, order: Any, dtype: Any) -> None:
    for x in (np.ones((2, 3)), np.ones((2, 3)).T):
        v = Value(x)
        expected, found = x.astype(dtype, order=order, copy=copy), v.astype(dtype, order=order, copy=copy)
        assert (found is v) == (expected is x) and found.data.strides == expected.strides
        if hasattr(np, "astype"):
            assert (np.astype(v, dtype, copy=copy) is v) == (np.astype(x, dtype, copy=copy) is x)
