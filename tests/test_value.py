"""Value as a user meets it: attributes, operators, methods, backward(). Runs by itself: python tests/test_value.py"""

from __future__ import annotations

import gc
import itertools
import math
import operator
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pytest
from checks import assert_close, directional, random_like, raw, seeded

import autodiff as ad
from autodiff import DetachError, GraphError, OperandError, Value

# -- the examples of the README


def test_scalar_example() -> None:
    x = Value(3.0)
    y = x * x + x
    y.backward()
    assert y.data == 12.0 and x.grad == 7.0
    assert str(y.data) == "12.0" and str(x.grad) == "7.0"


def test_broadcasting_example() -> None:
    rng = np.random.default_rng(0)
    a, b = Value(rng.normal(size=(2, 3))), Value(rng.normal(size=(1, 3)))
    loss = ((a + b).tanh() * (a + 2.0)).sum()
    loss.backward()
    assert a.grad.shape == (2, 3) and b.grad.shape == (1, 3)
    t = np.tanh(a.data + b.data)
    np.testing.assert_allclose(a.grad, (1 - t * t) * (a.data + 2) + t)
    np.testing.assert_allclose(b.grad, ((1 - t * t) * (a.data + 2)).sum(0, keepdims=True))


def test_numpy_functions_example() -> None:
    x = Value(np.ones(3))
    np.sum(np.sin(x) ** 2).backward()
    np.testing.assert_allclose(x.grad, math.sin(2))
    w = np.ones(3)
    np.testing.assert_allclose(ad.grad(lambda w: np.log(1 + np.exp(-w @ w)))(w), -2 / (1 + math.exp(3)) * w)


# -- attributes


def test_attributes() -> None:
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    v = Value(data, name="w")
    assert isinstance(v.data, np.ndarray) and v.data.tolist() == data.tolist()
    assert (v.shape, v.ndim, v.size, v.nbytes, v.dtype) == ((2, 3), 2, 6, 24, np.float32)
    assert v.device == "cpu" and v.name == "w" and v.requires_grad and v.is_leaf and v.grad is None
    for attribute in ("T", "mT", "real", "imag"):
        result = getattr(v, attribute)
        assert isinstance(result, Value)
        np.testing.assert_array_equal(result.data, getattr(data, attribute))
    result = v * 2.0
    assert not result.is_leaf and result.requires_grad and result.name is None
    result.name = "twice"
    assert result.name == "twice"
    scalar = Value(2.5)
    assert (scalar.shape, scalar.ndim, scalar.size, scalar.nbytes) == ((), 0, 1, 8)
    assert type(scalar.size) is int and type(scalar.shape) is tuple


def test_gradients_through_attributes() -> None:
    v = Value(np.arange(6.0).reshape(2, 3))
    u = np.arange(6.0).reshape(3, 2)
    (v.T * u).sum().backward()
    np.testing.assert_array_equal(v.grad, u.T)
    v.zero_grad()
    (v.mT * u).sum().backward()
    np.testing.assert_array_equal(v.grad, u.T)
    stack = Value(np.ones((4, 2, 3)))
    assert stack.mT.shape == (4, 3, 2) and stack.T.shape == (3, 2, 4)
    z = Value(np.array([1 + 2j, 3 - 1j]))
    (z.real * 2.0 + z.imag * 3.0).sum().backward()
    np.testing.assert_array_equal(z.grad, [2 + 3j, 2 + 3j])
    assert z.real.dtype == z.imag.dtype == np.float64


def test_data_shares_and_numpy_copies() -> None:
    v = Value([1.0, 2.0])
    assert np.shares_memory(v.data, v.data) and not np.shares_memory(v.numpy(), v.data)
    assert np.shares_memory(v.detach().data, v.data)
    v.numpy()[0] = 9
    assert v.data[0] == 1
    v.data = [3, 4]
    assert v.data.tolist() == [3, 4] and v.dtype == np.float64
    with pytest.raises(ValueError, match="shape"):
        v.data = np.ones(3)
    for constant in (v.detach(), v > 0, Value(1.0, requires_grad=False)):
        assert not constant.requires_grad and constant.is_leaf
    assert Value(np.ones((1, 1))).item() == 1.0 and type(Value(2.0).item()) is float
    assert Value(1 + 2j).item() == 1 + 2j
    with pytest.raises(ValueError, match="size 1"):
        v.item()
    assert v.tolist() == [3, 4]


def test_constructor() -> None:
    source = np.ones((2, 2))
    assert not np.shares_memory(Value(source).data, source)
    assert np.shares_memory(Value(source, copy=False).data, source)
    assert Value([[1, 2], [3, 4]]).shape == (2, 2) and Value((1.0, 2.0)).shape == (2,)
    assert Value([]).shape == (0,) and Value(np.empty((0, 3))).shape == (0, 3)
    assert Value(1).dtype == np.float64 and Value(1, dtype=np.float32).dtype == np.float32
    assert Value(2.0, requires_grad=False).requires_grad is False
    assert Value(np.float32(2)).dtype == np.float32
    assert Value(np.array(2.0)).shape == () and Value(1j).dtype == np.complex128
    assert Value(source[::-1, ::2]).shape == (2, 1)
    assert Value(range(3)).data.tolist() == [0, 1, 2]
    with pytest.raises(TypeError):
        Value()
    with pytest.raises(TypeError):
        Value(1.0, "float64")


def test_requires_grad_can_be_switched_on_leaves() -> None:
    v = Value([1.0], requires_grad=False)
    v.requires_grad = True
    (v * 3.0).sum().backward()
    assert v.grad.tolist() == [3]
    v.requires_grad = False
    assert not (v * 2.0).requires_grad
    w = Value([1.0]) * 2.0
    with pytest.raises(GraphError, match="leaves"):
        w.requires_grad = False
    with pytest.raises(OperandError):
        Value([1, 2], requires_grad=False).requires_grad = True


def test_repr() -> None:
    assert repr(Value(3.0)) == "Value(3.0, dtype=float64)"
    text = repr(Value([1.0, 2.0]) * 2.0)
    assert "[2., 4.]" in text and "float64" in text and "multiply" in text
    assert "exp" in repr(np.exp(Value(np.float32(1)))) and "float32" in repr(Value(np.float32(1)))
    assert "untracked" in repr(Value(1.0) > 0) and "'w'" in repr(Value(1.0, name="w"))
    assert "..." in repr(Value(np.zeros(10_000))) and len(repr(Value(np.zeros((200, 200))))) < 2000
    y = Value(2.0) ** 2
    y.backward()
    assert "4.0" in repr(y)  # also when the graph is gone


def test_hash_and_identity() -> None:
    v, w = Value(1.0), Value(1.0)
    assert hash(v) == hash(v) and len({v, w}) == 2 and {v: 1}[v] == 1
    assert hash(v) != hash(w)


# -- operators

BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
SHAPES = [
    ((), ()),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (2, 1)),
    ((2, 3), ()),
    ((), (2, 3)),
    ((0, 3), (3,)),
    ((1,), ()),
]
GIVEN: list[Callable[[Any], Any]] = [Value, lambda x: x, lambda x: Value(x, requires_grad=False)]
f64, f32 = np.float64, np.float32


@pytest.mark.parametrize("sign", BINARY)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_binary_operator(sign: str, shapes: Any) -> None:
    """Value with Value, array or constant on either side: value, dtype, and gradient, in float64 and float32."""
    op = BINARY[sign]
    rng = seeded((sign, shapes))
    for dtypes in ((f64, f64), (f32, f32), (f32, f64), (f64, f32)):
        x, y = (np.asarray(rng.uniform(k + 1.1, k + 1.9, shapes[k]), dtypes[k])[()] for k in (0, 1))
        expected = op(x, y)
        u = np.asarray(random_like(rng, expected))
        exact = 1e-9 if dtypes == (f64, f64) else 2e-5
        slopes = (
            directional(lambda x: op(x, y.astype(f64)), [x.astype(f64)], [np.ones(x.shape)]),  # noqa: B023
            directional(lambda y: op(x.astype(f64), y), [y.astype(f64)], [np.ones(y.shape)]),  # noqa: B023
        )
        for give_x, give_y in itertools.product(GIVEN, GIVEN):
            first, second = give_x(x), give_y(y)
            result = op(first, second)
            if not isinstance(first, Value) and not isinstance(second, Value):
                continue
            assert isinstance(result, Value)
            assert result.dtype == expected.dtype and result.shape == expected.shape
            np.testing.assert_allclose(result.data, expected, rtol=2e-7 if result.dtype == f32 else 1e-15)
            variables = [
                (v, d) for v, d in zip((first, second), slopes, strict=True) if raw(v) is not v and v.requires_grad
            ]
            assert result.requires_grad == bool(variables)
            if variables:
                result.backward(u)
            for v, d in variables:
                assert v.grad.dtype == v.dtype and v.grad.shape == v.shape
                assert_close(v.grad, unbroadcast(u * d, v.shape), exact, 1.0, f"{type(first)} {sign} {type(second)}")


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 != g.shape[i]), keepdims=True).reshape(shape)


@pytest.mark.parametrize("sign", BINARY)
@pytest.mark.parametrize(
    "number",
    [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2), np.int8(2), np.array(2.5), np.array(2), np.bool_(1)],
    ids=lambda n: f"{type(n).__name__}-{getattr(n, 'dtype', '')}",
)
def test_operator_with_a_number(sign: str, number: Any) -> None:
    """Python numbers take the Value's dtype, NumPy's are strong, exactly as for arrays."""
    op = BINARY[sign]
    for data in (np.float64(1.7), np.float32(1.7), np.array([1.7, 2.2]), np.array([1.7, 2.2], np.float32)):
        for f in (lambda v: op(v, number), lambda v: op(number, v)):
            v = Value(data)
            expected, result = f(data), f(v)
            assert isinstance(result, Value) and result.requires_grad
            assert result.dtype == expected.dtype, f"{result.dtype}, NumPy's is {expected.dtype}"
            np.testing.assert_allclose(result.data, expected, rtol=3e-7)
            result.sum().backward()
            assert v.grad.dtype == data.dtype and v.grad.shape == data.shape
            slope = directional(f, [data.astype(float)], [np.ones(data.shape)])
            single = f32 in (data.dtype, expected.dtype, getattr(number, "dtype", None))
            assert_close(v.grad, slope, 2e-6 if single else 1e-9, 1.0)


@pytest.mark.parametrize("sign", [sign for sign in BINARY if sign != "//"])  # a step function: nothing to differentiate
def test_operator_inside_second_order(sign: str) -> None:
    op = BINARY[sign]
    f = lambda x, y: (op(x, y) * op(x, y)).sum()
    for shapes in (((), ()), ((3,), (3,)), ((2, 3), (3,)), ((), (2,))):
        rng = seeded((sign, shapes))
        xs = [rng.uniform(1.1, 1.9, s) + k for k, s in enumerate(shapes)]
        vs = [random_like(rng, x) for x in xs]
        values = [Value(x) for x in xs]
        f(*values).backward(create_graph=True)
        gradients = [v.grad for v in values]
        for v in values:
            v.zero_grad()
        sum((g * d).sum() for g, d in zip(gradients, vs, strict=True)).backward()
        for v, n in zip(values, directional(ad.grad(f, (0, 1)), xs, vs), strict=True):
            assert_close(v.grad, n, 1e-8)


def test_matmul_operator() -> None:
    rng = np.random.default_rng(0)
    for a, b in [
        ((2, 3), (3, 4)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3,)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((4, 2, 3), (3,)),
    ]:
        x, y = rng.normal(size=a), rng.normal(size=b)
        for first, second in (
            (Value(x), Value(y)),
            (Value(x), y),
            (x, Value(y)),
            (Value(x), y.tolist()),
            (x.tolist(), Value(y)),
        ):
            result = first @ second
            np.testing.assert_allclose(result.data, x @ y)
            u = random_like(rng, np.asarray(x @ y))
            result.backward(u)
            for v, other in ((first, x), (second, y)):
                if isinstance(v, Value):
                    d = random_like(rng, other)
                    slope = ((d @ y if v is first else x @ d) * u).sum()
                    assert np.sum(v.grad * d) == pytest.approx(slope)
    with pytest.raises(ValueError, match="matmul"):
        Value(2.0) @ Value(3.0)


@pytest.mark.parametrize("data", [np.float64(-1.7), np.array([-1.7, 2.5, 0.3])], ids=["0-d", "1-d"])
@pytest.mark.parametrize(
    ("f", "numpys", "slope"),
    [
        (operator.neg, np.negative, lambda x: -np.ones_like(x)),
        (operator.pos, np.positive, np.ones_like),
        (abs, np.abs, np.sign),
        (round, np.round, np.zeros_like),
        (lambda v: round(v, 1), lambda x: np.round(x, 1), np.zeros_like),
        (math.floor, np.floor, np.zeros_like),
        (math.ceil, np.ceil, np.zeros_like),
        (math.trunc, np.trunc, np.zeros_like),
    ],
    ids=["-", "+", "abs", "round", "round(v, 1)", "floor", "ceil", "trunc"],
)
def test_unary_operator(
    f: Callable[..., Any], numpys: Callable[..., Any], slope: Callable[..., Any], data: Any
) -> None:
    v = Value(data)
    result = f(v)
    assert isinstance(result, Value) and result.dtype == np.float64
    np.testing.assert_array_equal(result.data, numpys(data))
    result.sum().backward()
    np.testing.assert_array_equal(v.grad, slope(data))


def test_divmod() -> None:
    x, y = Value([7.5, -7.5]), Value([2.0, 2.0])
    for quotient, remainder in (divmod(x, y), np.divmod(x, y)):
        assert quotient.data.tolist() == [3, -4] and remainder.data.tolist() == [1.5, 0.5]
        x.zero_grad(), y.zero_grad()
        remainder.sum().backward()
        assert x.grad.tolist() == [1, 1] and y.grad.tolist() == [-3, 4]
    assert divmod(7.5, Value(2.0))[0].data == 3


def test_boolean_operators_on_comparisons() -> None:
    v = Value([1.0, 2.0, 3.0])
    inside = (v > 1) & (v < 3)
    assert inside.data.tolist() == [False, True, False] and not inside.requires_grad
    assert ((v < 2) | (v > 2)).data.tolist() == [True, False, True]
    assert ((v < 2) ^ (v < 3)).data.tolist() == [False, True, False]
    assert (~inside).data.tolist() == [True, False, True]
    assert (inside & np.array([True, True, True])).data.tolist() == [False, True, False]
    assert (np.array([True, True, False]) & inside).data.tolist() == [False, True, False]
    assert v[inside].data.tolist() == [2.0]


def test_ufunc_keywords_reach_numpy() -> None:
    v = Value([1.0, 2.0])
    result = np.add(v, v, dtype=np.float32)
    assert result.dtype == np.float32
    result.sum().backward()
    assert v.grad.dtype == np.float64 and v.grad.tolist() == [2, 2]
    assert np.add.reduce(v).data == 3 and np.multiply.reduce(v).data == 2
    assert np.maximum.reduce(v).data == 2 and np.add.accumulate(v).data.tolist() == [1, 3]
    outer = np.multiply.outer(v, np.array([1.0, 10.0, 100.0]))
    assert outer.shape == (2, 3)
    v.zero_grad()
    outer.sum().backward()
    assert v.grad.tolist() == [111, 111]
    assert np.subtract.outer([1.0, 2.0], v).data.tolist() == [[0, -1], [1, 0]]


def test_augmented_assignment_on_scalars() -> None:
    x = Value(2.0)
    total = Value(0.0)
    for k in range(3):
        total += x * k
    total *= 2
    total -= x
    total /= 4
    total **= 2
    total.backward()
    assert total.data == ((2 * 3 * 2.0 - 2) / 4) ** 2
    assert x.grad == 2 * (10 / 4) * (5 / 4)


# -- container protocol


def test_length_iteration_membership() -> None:
    v = Value([[1.0, 2.0], [3.0, 4.0]])
    assert len(v) == 2 and [row.data.tolist() for row in v] == [[1, 2], [3, 4]]
    a, b = v
    (a * b).sum().backward()
    assert v.grad.tolist() == [[3, 4], [1, 2]]
    assert 3.0 in v and 5.0 not in v
    assert list(Value(np.zeros((0, 2)))) == []
    assert sum(Value([1.0, 2.0, 3.0])).data == 6.0
    x = Value([3.0, 1.0, 2.0])
    assert max(x).data == 3 and min(x).data == 1 and [s.data for s in sorted(x)] == [1, 2, 3]
    max(x).backward()
    assert x.grad.tolist() == [1, 0, 0]
    assert [r.data for r in reversed(x)] == [2, 1, 3]


KEYS: list[Any] = [
    0,
    -1,
    np.int64(1),
    slice(None),
    slice(1, None),
    slice(None, None, -2),
    (1, 2),
    (slice(None), 1),
    (..., 0),
    (None, 1),
    (slice(None), None, slice(0, 2)),
    [0, 2],
    [0, 0, 0],
    np.array([[0, 1], [2, 2]]),
    ([0, 2], [1, 1]),
    ([0, 0], slice(1, 3)),
    (slice(None), [3, 3]),
    (np.array([[0], [2]]), np.array([1, 3])),
    [True, False, True],
    np.arange(12).reshape(3, 4) % 5 == 0,
    ([True, False, True], slice(None, None, 2)),
    ([True, True, False], 2),
    np.zeros((3, 4), bool),
    [],
    (),
    ...,
    None,
    True,
    False,
]


@pytest.mark.parametrize("key", KEYS, ids=lambda k: str(k).replace("\n", ""))
def test_indexing(key: Any) -> None:
    x = np.arange(12.0).reshape(3, 4) / 7
    v = Value(x)
    np.testing.assert_array_equal(v[key].data, x[key])
    assert v[key].dtype == x.dtype and v[key].shape == np.shape(x[key])
    rng = seeded(str(key))
    u = random_like(rng, np.asarray(x[key]))
    (v[key] * u).sum().backward()
    expected = np.zeros_like(x)
    if not (isinstance(key, list) and not key):
        np.add.at(expected, key, u)
    np.testing.assert_allclose(v.grad, expected)


def test_indexing_with_values() -> None:
    v = Value([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    v[v > 2].sum().backward()
    assert v.grad.tolist() == [[0, 0], [1, 1], [1, 1]]
    v.zero_grad()
    v[np.argmax(v, axis=0), np.arange(2)].sum().backward()
    assert v.grad.tolist() == [[0, 0], [0, 0], [1, 1]]
    v.zero_grad()
    v[Value([0, 0], requires_grad=False)].sum().backward()
    assert v.grad.tolist() == [[2, 2], [0, 0], [0, 0]]


def test_where_with_values() -> None:
    v = Value([-1.0, 2.0])
    np.where(v > 0, v, 0).sum().backward()
    assert v.grad.tolist() == [0, 1]
    w = Value(3.0)
    result = np.where([True, False], w, v)
    assert result.data.tolist() == [3, 2]
    result.sum().backward()
    assert w.grad == 1 and v.grad.tolist() == [0, 2]
    assert [a.data.tolist() for a in np.where(v > 0)] == [[1]]
    single = np.where(np.array([True, False]), Value(np.ones(2, np.float32)), 0.0)
    assert single.dtype == np.float32


def test_join_and_stack() -> None:
    v, w = Value([1.0, 2.0]), Value([3.0, 4.0])
    u = np.arange(1.0, 5.0)
    for join in (lambda: np.concatenate([v, w]), lambda: np.hstack([v, w]), lambda: np.stack([v, w]).reshape(-1)):
        v.zero_grad(), w.zero_grad()
        result = join()
        assert result.data.tolist() == [1, 2, 3, 4]
        (result * u).sum().backward()
        assert v.grad.tolist() == [1, 2] and w.grad.tolist() == [3, 4]
    mixed = np.concatenate([v, np.zeros(1), (5.0,)])
    assert mixed.data.tolist() == [1, 2, 0, 5] and mixed.requires_grad
    assert np.concatenate((v, [1.0])).data.tolist() == [1, 2, 1]
    both = np.concatenate([v, v])
    v.zero_grad()
    (both * u).sum().backward()
    assert v.grad.tolist() == [4, 6]
    assert np.concatenate([v.astype(np.float32), w]).dtype == np.float64


# -- methods

A = np.array([[0.4, -1.2, 0.7], [1.5, 0.3, -0.6]])
POSITIVE = np.abs(A) + 0.1

METHODS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Any]] = {
    "tanh": (lambda v: v.tanh(), np.tanh, A),
    "exp": (lambda v: v.exp(), np.exp, A),
    "log": (lambda v: v.log(), np.log, POSITIVE),
    "log1p": (lambda v: v.log1p(), np.log1p, POSITIVE),
    "expm1": (lambda v: v.expm1(), np.expm1, A),
    "sqrt": (lambda v: v.sqrt(), np.sqrt, POSITIVE),
    "sin": (lambda v: v.sin(), np.sin, A),
    "cos": (lambda v: v.cos(), np.cos, A),
    "tan": (lambda v: v.tan(), np.tan, A),
    "abs": (lambda v: v.abs(), np.abs, A),
    "conj": (lambda v: v.conj(), np.conj, A),
    "relu": (lambda v: v.relu(), lambda x: np.maximum(x, 0), A),
    "leaky_relu": (lambda v: v.leaky_relu(), lambda x: np.where(x > 0, x, 0.01 * x), A),
    "leaky_relu(0.3)": (lambda v: v.leaky_relu(0.3), lambda x: np.where(x > 0, x, 0.3 * x), A),
    "leaky_relu(slope=)": (lambda v: v.leaky_relu(slope=0.2), lambda x: np.where(x > 0, x, 0.2 * x), A),
    "sigmoid": (lambda v: v.sigmoid(), lambda x: 1 / (1 + np.exp(-x)), A),
    "softplus": (lambda v: v.softplus(), lambda x: np.log(1 + np.exp(x)), A),
    "gelu": (lambda v: v.gelu(), lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))), A),
    "silu": (lambda v: v.silu(), lambda x: x / (1 + np.exp(-x)), A),
    "softmax": (lambda v: v.softmax(), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True), A),
    "softmax(0)": (lambda v: v.softmax(0), lambda x: np.exp(x) / np.exp(x).sum(0), A),
    "log_softmax": (lambda v: v.log_softmax(axis=0), lambda x: x - np.log(np.exp(x).sum(0)), A),
    "logsumexp": (lambda v: v.logsumexp(), lambda x: np.log(np.exp(x).sum()), A),
    "logsumexp(1)": (lambda v: v.logsumexp(1, keepdims=True), lambda x: np.log(np.exp(x).sum(1, keepdims=True)), A),
    "cumsum": (lambda v: v.cumsum(), np.cumsum, A),
    "cumsum(1)": (lambda v: v.cumsum(axis=1), lambda x: np.cumsum(x, 1), A),
    "reshape": (lambda v: v.reshape(3, 2), lambda x: x.reshape(3, 2), A),
    "reshape(tuple)": (lambda v: v.reshape((3, -1)), lambda x: x.reshape(3, 2), A),
    "reshape(-1)": (lambda v: v.reshape(-1), lambda x: x.reshape(-1), A),
    "ravel": (lambda v: v.ravel(), np.ravel, A),
    "flatten": (lambda v: v.flatten(), np.ravel, A),
    "transpose": (lambda v: v.transpose(), np.transpose, A),
    "transpose(1, 0)": (lambda v: v.transpose(1, 0), np.transpose, A),
    "transpose(tuple)": (lambda v: v.transpose((1, 0)), np.transpose, A),
    "transpose(-1, 0)": (lambda v: v.transpose(-1, 0), np.transpose, A),
    "swapaxes": (lambda v: v.swapaxes(0, 1), np.transpose, A),
    "squeeze": (lambda v: v.squeeze(), lambda x: x[0, :, 0], A.reshape(1, 6, 1)),
    "squeeze(-1)": (lambda v: v.squeeze(-1), lambda x: x[..., 0], A.reshape(1, 6, 1)),
    "expand_dims": (lambda v: v.expand_dims(1), lambda x: x[:, None], A),
    "expand_dims(tuple)": (lambda v: v.expand_dims((0, -1)), lambda x: x[None, ..., None], A),
    "broadcast_to": (lambda v: v.broadcast_to((4, 2, 3)), lambda x: np.broadcast_to(x, (4, 2, 3)), A),
    "clip": (lambda v: v.clip(-0.5, 0.5), lambda x: np.clip(x, -0.5, 0.5), A),
    "clip(min)": (lambda v: v.clip(0.0), lambda x: np.maximum(x, 0.0), A),
    "clip(max=)": (lambda v: v.clip(max=0.5), lambda x: np.minimum(x, 0.5), A),
    "clip(arrays)": (lambda v: v.clip(np.zeros(3), np.ones((2, 1))), lambda x: np.clip(x, 0.0, 1.0), A),
    "astype": (lambda v: v.astype(np.float64), lambda x: x.astype(np.float64), A),
    "dot": (lambda v: v.dot(A.T), lambda x: x @ A.T, A),
    "dot(vector)": (lambda v: v.dot([1.0, 2.0, 3.0]), lambda x: x @ np.array([1.0, 2.0, 3.0]), A),
    "round": (lambda v: v.round(1), lambda x: np.round(x, 1), A + 0.02),
}


@pytest.mark.parametrize("name", METHODS)
def test_method(name: str) -> None:
    method, expected, x = METHODS[name]
    check_method(method, expected, x, name)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0,), (0, 2), (-1, 0), (0, 1, 2), ()], ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "std", "logsumexp"])
def test_reduction_method(name: str, axis: Any, keepdims: bool) -> None:
    x = np.random.default_rng(1).permutation(24).reshape(2, 3, 4) / 5 + 0.1
    numpys = (lambda x, **kw: np.log(np.sum(np.exp(x), **kw))) if name == "logsumexp" else getattr(np, name)
    scale = x if name != "prod" else x / 3
    if name == "std" and axis == ():
        return  # 0 everywhere, with derivative 0 by choice
    check_method(
        lambda v: getattr(v, name)(axis=axis, keepdims=keepdims),
        lambda x: numpys(x, axis=axis, keepdims=keepdims),
        scale,
        name,
    )
    check_method(lambda v: getattr(v, name)(axis), lambda x: numpys(x, axis=axis), scale, name)


def check_method(method: Callable[[Any], Any], expected: Callable[[Any], Any], x: Any, name: str) -> None:
    v = Value(x)
    result = method(v)
    assert isinstance(result, Value) and result.requires_grad and result.dtype == np.float64
    np.testing.assert_allclose(result.data, expected(x), rtol=1e-13, atol=1e-15)
    assert result.shape == np.shape(expected(x))
    rng = seeded(name)
    u, d = random_like(rng, np.asarray(result.data)), random_like(rng, x)
    result.backward(u)
    slope = float(np.sum(u * directional(expected, [x], [d])))
    size = float(np.sum(np.abs(v.grad * d))) + 1e-3 * float(np.max(np.abs(expected(x)), initial=0))
    assert abs(float(np.sum(v.grad * d)) - slope) <= 1e-9 * size
    if name not in ("astype", "dot", "dot(vector)", "clip(arrays)"):  # they meet float64 operands
        assert method(Value(x, dtype=np.float32)).dtype == np.float32


def test_var_and_std_with_ddof() -> None:
    for name in ("var", "std"):
        v = Value(A)
        result = getattr(v, name)(axis=1, ddof=1)
        np.testing.assert_allclose(result.data, getattr(A, name)(axis=1, ddof=1))
        f = operator.methodcaller(name, axis=0, ddof=1)
        check_method(f, f, A, name)


def test_astype() -> None:
    v = Value([1.5, 2.5])
    single = v.astype(np.float32)
    assert single.dtype == np.float32
    single.sum().backward()
    assert v.grad.dtype == np.float64 and v.grad.tolist() == [1, 1]
    whole = v.astype(int)
    assert whole.dtype == int and not whole.requires_grad and whole.data.tolist() == [1, 2]
    z = v.astype(complex)
    v.zero_grad()
    (z * 1j).imag.sum().backward()
    assert z.dtype == np.complex128 and v.grad.dtype == np.float64 and v.grad.tolist() == [1, 1]


def test_results_without_a_derivative_are_untracked_values() -> None:
    v = Value(A)
    for result, expected in [
        (v.argmax(), A.argmax()),
        (v.argmin(axis=1), A.argmin(axis=1)),
        (np.argsort(v, axis=0), np.argsort(A, axis=0)),
        (v.any(), A.any()),
        (v.all(axis=0), A.all(axis=0)),
        (np.isnan(v), np.isnan(A)),
        (np.isfinite(v), np.isfinite(A)),
        (np.zeros_like(v), np.zeros_like(A)),
        (np.count_nonzero(v, axis=0), np.count_nonzero(A, axis=0)),
    ]:
        assert isinstance(result, Value) and not result.requires_grad
        np.testing.assert_array_equal(result.data, expected)
        assert result.dtype == np.asarray(expected).dtype
    assert np.shape(v) == (2, 3) and np.ndim(v) == 2 and np.size(v) == 6
    assert np.allclose(v, A) and np.array_equal(v, A)


def test_stable_methods_far_out() -> None:
    v = Value([1e4, 0.0, -np.inf])
    assert v.softmax().data.tolist() == [1, 0, 0]
    assert v.log_softmax().data.tolist() == [0, -1e4, -np.inf]
    assert v.logsumexp().data == 1e4
    for f in (Value.softmax, Value.logsumexp):
        v.zero_grad()
        f(v).sum().backward()
        assert np.isfinite(v.grad).all()
    assert Value([-np.inf, -np.inf]).logsumexp().data == -np.inf


# -- backward


def test_gradients_accumulate_until_zeroed() -> None:
    x = Value([1.0, 2.0])
    for k in (1, 2, 3):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad, 2 * k * x.data)
    x.zero_grad()
    assert x.grad is None
    (x * 3.0).sum().backward()
    assert x.grad.tolist() == [3, 3]
    x.grad = None
    assert x.grad is None
    x.grad = np.array([1, 1])
    assert x.grad.dtype == np.float64
    (x * 3.0).sum().backward()
    assert x.grad.tolist() == [4, 4]
    with pytest.raises(ValueError, match="shape"):
        x.grad = np.ones(3)


def test_fan_out() -> None:
    """One Value used many times, in different places of the graph."""
    x = Value(2.0)
    a = x * x
    b = a * x + a
    c = b * a + x
    (c * b).backward()
    p = np.polynomial.Polynomial
    t = p([0, 1])
    expected = (((t**3 + t**2) * t**2 + t) * (t**3 + t**2)).deriv()(2.0)
    assert x.grad == expected
    y = Value([1.0, 2.0])
    (y * y * y + y * y + y + y).sum().backward()
    np.testing.assert_array_equal(y.grad, 3 * y.data**2 + 2 * y.data + 2)


def test_the_order_of_operations_does_not_matter() -> None:
    """A long branch and a short one meet: each node is walked once, after all that depends on it."""
    x = Value(1.5)
    short = x * 2.0
    long = x
    for _ in range(50):
        long = long * 1.01
    late = short * 3.0
    (long * late + short).backward()
    assert x.grad == pytest.approx(2 * 1.5 * 6 * 1.01**50 + 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (1, 1)])
def test_gradient_has_shape_and_dtype_of_data(dtype: Any, shape: Any) -> None:
    x = Value(np.ones(shape, dtype))
    w = Value(np.ones((2, *shape)))
    result = (x * w + x).sum()
    result.backward(np.ones((), result.dtype))
    for v in (x, w):
        assert isinstance(v.grad, np.ndarray)
        assert v.grad.shape == v.shape and v.grad.dtype == v.dtype
        assert v.grad.flags.writeable and v.grad.flags.owndata


def all_disjoint(*arrays: Any) -> bool:
    return not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


@pytest.mark.parametrize("n", [3, 10_000])
def test_gradients_are_arrays_of_their_own(n: int) -> None:
    """Two leaves never share one, nor a leaf with the seed, the data or a constant; all can be written."""
    for f in (
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: (x + y).reshape(1, -1).reshape(-1),
        lambda x, y: np.concatenate([x, y])[:n] + y,
        lambda x, y: x.reshape(-1) + y[::-1],
        lambda x, y: np.positive(x) + np.positive(y),
        lambda x, y: np.where(np.ones(n, bool), x, y) + y,
        lambda x, y: np.stack([x, y]).sum(axis=0),
        lambda x, y: x * 1.0 + y * 1.0,
        lambda x, y: (x.broadcast_to((2, n)) + y).sum(axis=0),
        lambda x, y: x.astype(np.float64) + y.squeeze(),
    ):
        x, y, seed = Value(np.ones(n)), Value(np.ones(n)), np.full(n, 2.0)
        f(x, y).backward(seed)
        assert all_disjoint(x.grad, y.grad, seed, x.data, y.data)
        expected = y.grad.copy()
        x.grad[:] = 7.0
        np.testing.assert_array_equal(y.grad, expected)
        np.testing.assert_array_equal(seed, 2.0)
        x, y = Value(np.ones(n)), Value(np.ones(n))
        f(x, y).sum().backward()
        assert all_disjoint(x.grad, y.grad) and x.grad.flags.writeable and y.grad.flags.writeable


def test_seed_is_not_written() -> None:
    x = Value(np.ones(4))
    seed = np.ones(4)
    y = x * 1.0
    (y + y + x + x).backward(seed)
    assert x.grad.tolist() == [4] * 4 and seed.tolist() == [1] * 4
    y = x + 0.0
    z = np.concatenate([y, y]) + np.concatenate([y, y])
    z.backward(np.ones(8))
    assert x.grad.tolist() == [8] * 4


def test_residuals_are_not_written() -> None:
    """The walk adds cotangents in place; with retain_graph=True the second walk must see the same residuals."""
    rng = np.random.default_rng(0)
    x, c = Value(rng.normal(size=(3, 3))), rng.normal(size=(3, 3))
    a = np.exp(x)
    b = a * c + a.T @ a + np.stack([a, a]).sum(0) + a + a[::-1] + np.maximum(a, c) + a.max(axis=0) + a.cumsum(axis=1)
    y = (b * a + b + a / b).sum()
    kept = [v.data.copy() for v in (x, a, b)]
    y.backward(retain_graph=True)
    first = x.grad.copy()
    for v, k in zip((x, a, b), kept, strict=True):
        np.testing.assert_array_equal(v.data, k)
    x.zero_grad()
    y.backward()
    np.testing.assert_array_equal(x.grad, first)


def test_gradient_argument() -> None:
    x = Value([[1.0, 2.0], [3.0, 4.0]])
    u = np.array([[1.0, 10.0], [100.0, 1000.0]])
    (x * x).backward(u)
    np.testing.assert_array_equal(x.grad, 2 * u * x.data)
    x.zero_grad()
    (x * x).backward(gradient=u.T)
    np.testing.assert_array_equal(x.grad, 2 * u.T * x.data)
    x.zero_grad()
    x.backward(u)  # a leaf is its own gradient
    np.testing.assert_array_equal(x.grad, u)
    assert not np.shares_memory(x.grad, u)
    s = Value(2.0)
    (s * 3.0).backward(5.0)
    assert s.grad == 15
    with pytest.raises(TypeError):
        s.backward(1.0, True)


def test_leaf_backward() -> None:
    x = Value(3.0)
    x.backward()
    assert x.grad == 1.0
    x.backward()
    assert x.grad == 2.0


def test_only_leaves_keep_gradients_unless_asked() -> None:
    x = Value(2.0)
    y = x * x
    z = y * 3.0
    z.backward()
    assert y.grad is None and z.grad is None and x.grad == 12
    y = x * x
    y.retain_grad()
    y.retain_grad()
    z = y * 3.0 + y
    z.retain_grad()
    z.backward(retain_graph=True)
    assert y.grad == 4 and z.grad == 1
    z.backward()
    assert y.grad == 8 and z.grad == 2
    assert isinstance(y.grad, np.ndarray) and y.grad.dtype == np.float64
    y.zero_grad()
    assert y.grad is None
    assert float(z) == 16.0  # spent, retained or not
    with pytest.raises(GraphError, match="retain_graph"):
        z.backward()
    with pytest.raises(GraphError):
        Value(1.0, requires_grad=False).retain_grad()


def test_retained_gradients_are_arrays_of_their_own() -> None:
    x = Value(np.ones(3))
    y = x + 0.0
    z = y + 0.0
    y.retain_grad(), z.retain_grad()
    seed = np.ones(3)
    z.backward(seed)
    assert all_disjoint(x.grad, y.grad, z.grad, seed)


def test_retained_gradient_under_create_graph() -> None:
    x = Value(2.0)
    y = x * x
    y.retain_grad()
    (y * y).backward(create_graph=True)
    assert isinstance(y.grad, Value) and y.grad.data == 8.0
    x.zero_grad()
    y.grad.backward()
    assert x.grad == 2 * 2 * 2.0


def test_untracked_operands_get_no_gradient() -> None:
    x, c = Value([1.0, 2.0]), Value([3.0, 4.0], requires_grad=False)
    (x * c + c).sum().backward()
    assert x.grad.tolist() == [3, 4] and c.grad is None
    assert not (c * 2.0 + c).requires_grad
    d = x.detach()
    (x * d).sum().backward()
    assert x.grad.tolist() == [4, 6] and d.grad is None


def test_second_order_by_create_graph() -> None:
    x = Value(3.0)
    y = x**4
    y.backward(create_graph=True)
    first = x.grad
    assert isinstance(first, Value) and first.data == 108.0 and first.requires_grad
    x.zero_grad()
    first.backward(create_graph=True)
    second = x.grad
    assert second.data == 108.0
    x.zero_grad()
    second.backward()
    assert x.grad == 72.0 and isinstance(x.grad, np.ndarray)


def test_gradient_penalty() -> None:
    """The use of second order in training: the gradient's norm in the loss."""
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(3, 2)), rng.normal(size=(4, 3))

    def penalty(w: Any) -> Any:
        v, inputs = Value(w), Value(x)
        np.tanh(inputs @ v).sum().backward(create_graph=True)
        return v, (inputs.grad**2).sum()

    v, loss = penalty(w)
    v.zero_grad()
    loss.backward()
    d = rng.normal(size=w.shape)
    numeric = directional(lambda w: penalty(w)[1].data, [w], [d])
    assert float(np.sum(v.grad * d)) == pytest.approx(float(numeric), rel=1e-9)


def test_create_graph_keeps_the_graph() -> None:
    x = Value(2.0)
    y = x * x
    y.backward(create_graph=True)
    y.backward()
    assert raw(x.grad) == 8.0


def test_gradients_with_and_without_graph_add_up() -> None:
    x = Value([2.0, 3.0])
    (x * x).sum().backward()
    (x * x).sum().backward(create_graph=True)
    assert isinstance(x.grad, Value)
    np.testing.assert_array_equal(x.grad.data, 4 * x.data)


def test_tracked_gradient_argument() -> None:
    """With create_graph=True the seed may be tracked, and is differentiated."""
    x, u = Value([1.0, 2.0]), Value([3.0, 4.0])
    (x * x).backward(u, create_graph=True)
    (x.grad * x.grad).sum().backward()
    np.testing.assert_array_equal(u.grad, 2 * (2 * u.data * x.data) * 2 * x.data)


def test_complex_gradient_is_the_steepest_ascent() -> None:
    """PyTorch's convention: for a real loss, grad = dL/dRe + i dL/dIm."""
    z = Value(np.array([1 + 2j, -0.5 + 1j]))
    (np.abs(z) ** 2).sum().backward()
    np.testing.assert_allclose(z.grad, 2 * z.data)
    for f in (
        lambda z: (z * z * (1 + 2j)).real.sum(),
        lambda z: np.abs(np.exp(z) / z).sum(),
        lambda z: (z.conj() * z**3).imag.sum(),
    ):
        z.zero_grad()
        f(z).backward()
        re = [directional(lambda z: f(z), [z.data], [e]) for e in np.eye(2)]  # noqa: B023
        im = [directional(lambda z: f(z), [z.data], [1j * e]) for e in np.eye(2)]  # noqa: B023
        assert_close(z.grad, np.array(re) + 1j * np.array(im), 1e-9)
    x = Value([1.0, 2.0])  # a real leaf in a complex graph has a real gradient
    np.abs(x * (1 + 1j)).sum().backward()
    assert x.grad.dtype == np.float64
    np.testing.assert_allclose(x.grad, math.sqrt(2))


def test_complex_seed() -> None:
    z = Value(np.array([1 + 2j]))
    u = np.array([3 - 1j])
    (z * (2 + 1j)).backward(u)
    np.testing.assert_allclose(z.grad, np.conj(2 + 1j) * u)


def test_no_grad() -> None:
    x = Value([1.0, 2.0])
    with ad.no_grad():
        y = np.exp(x) * 2.0 + x[0] - x.sum()
        assert not y.requires_grad and not (x @ x).requires_grad
        assert Value(1.0).requires_grad
        np.asarray(y)
    assert (x * 2.0).requires_grad


# -- long graphs, threads


def test_long_chain_needs_no_recursion() -> None:
    x = Value(1.0)
    y = x
    for _ in range(50_000):
        y = y * 1.0
    y.backward()
    assert x.grad == 1.0
    del y
    y = x
    for _ in range(50_000):
        y = np.sin(y) + x
    y.backward()
    x.zero_grad()
    y = x
    for _ in range(3_000):
        y = y * 1.0
    y.backward(create_graph=True)
    x.grad.detach()
    assert x.grad.data == 1.0
    assert ad.jvp(lambda x: chain(x, 20_000), (1.0,), (1.0,))[1] == 1.0


def chain(x: Any, n: int) -> Any:
    for _ in range(n):
        x = x * 1.0
    return x


@pytest.mark.slow
def test_chain_of_a_million_nodes() -> None:
    """Differentiated and freed without recursion, by reference counting alone."""
    x = Value(1.0)
    gc.disable()
    try:
        y = chain(x, 1_000_000)
        y.backward(retain_graph=True)
        assert x.grad == 1.0
        start = time.perf_counter()
        del y
        assert time.perf_counter() - start < 5.0
        y = chain(x, 1_000_000)
        y.backward()
        assert x.grad == 2.0 and y.data == 1.0
    finally:
        gc.enable()


def test_wide_fan_in() -> None:
    xs = [Value(float(k)) for k in range(2000)]
    total = xs[0]
    for x in xs[1:]:
        total = total + x * x
    total.backward()
    assert [float(x.grad) for x in xs[1:]] == [2.0 * k for k in range(1, 2000)]
    np.stack(xs).sum().backward()
    assert xs[5].grad == 11.0


def test_threads_walk_their_own_graphs() -> None:
    """Leaves are shared, graphs are not: the gradients add up."""
    x = Value(np.ones(10))

    def work() -> None:
        for _ in range(100):
            np.sin(x * 1.0).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    np.testing.assert_allclose(x.grad, 400 * math.cos(1))


def test_no_grad_does_not_reach_other_threads() -> None:
    seen: list[bool] = []
    with ad.no_grad():
        t = threading.Thread(target=lambda: seen.append((Value(1.0) * 2.0).requires_grad))
        t.start()
        t.join()
    assert seen == [True]


def test_subclass() -> None:
    """Results are plain Values; a subclass is accepted everywhere and keeps its gradient."""

    class Parameter(Value):
        __slots__ = ()

    p = Parameter([1.0, 2.0])
    assert isinstance(p, Parameter) and type(p * 2.0) is Value and type(2.0 * p) is Value
    (p * Value([3.0, 4.0]) + Value([1.0, 1.0]) * p + p * p + np.exp(p) * 0.0).sum().backward()
    assert p.grad.tolist() == [3 + 1 + 2, 4 + 1 + 4]
    with pytest.raises(DetachError):
        np.asarray(p)


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q"]))
