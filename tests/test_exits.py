"""Bad input and silent exits: nothing loses a gradient or computes nonsense without saying so.

Every error is one of autodiff's own (a TypeError, RuntimeError or so by inheritance) or NumPy's, and says
what was wrong and what to write instead.
"""

from __future__ import annotations

import array
import cmath
import contextlib
import copy
import decimal
import math
import operator
import pickle
import random
import re
import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import pytest
from checks import raw

import autodiff as ad
from autodiff import AutodiffError, DetachError, GraphError, MissingRuleError, OperandError, Value

WAY_OUT = r"\.detach\(\)|\.data|\.item\(\)|\.numpy\(\)|np\.stack|np\.full_like|autodiff\.numpy"


def tracked(*shape: int) -> Value:
    """A tracked Value that is no leaf."""
    return Value(np.full(shape, 0.5)) * 1.0


# -- what passes: conversions whose derivative is zero almost everywhere, and those that say what they do


def test_exits_that_pass_on_a_tracked_value() -> None:
    v = Value(2.5) * 1.0
    assert bool(v) is True and not Value(0.0) * 1.0
    assert int(v) == 2 and type(int(v)) is int
    assert v > 2 and v >= 2.5 and v < 3 and v <= 2.5 and v == 2.5 and v != 2
    assert f"{v:.3f}" == "2.500" and f"{v:8.1e}" == " 2.5e+00" and format(v, ".1f") == "2.5"
    assert "2.5" in str(v) and "2.5" in repr(v) and "2.5" in f"{v}" and "2.5" in f"{v!r}"
    assert v.item() == 2.5 and type(v.item()) is float
    assert v.data == 2.5 and not isinstance(v.data, Value)
    assert v.numpy() == 2.5 and isinstance(v.numpy(), np.ndarray)
    assert v.detach().data == 2.5 and not v.detach().requires_grad
    v.backward()  # none of them touched the graph


def test_comparisons_are_untracked_values() -> None:
    v, w = Value([1.0, 2.0]), Value([2.0, 2.0])
    for compare, expected in [
        (operator.lt, [True, False]),
        (operator.le, [True, True]),
        (operator.gt, [False, False]),
        (operator.ge, [False, True]),
        (operator.eq, [False, True]),
        (operator.ne, [True, False]),
    ]:
        for other in (w, w.data, [2.0, 2.0], 2.0, np.float64(2)):
            result = compare(v, other)
            assert isinstance(result, Value) and not result.requires_grad and result.dtype == bool
            assert result.data.tolist() == expected
        for first in (v.data, 1.0 * v.data):
            result = compare(first, w)
            assert isinstance(result, Value) and result.data.tolist() == expected


def test_comparison_with_other_objects() -> None:
    v = Value(1.0)
    for other in (None, "1.0"):
        assert bool(v != other) is True and bool(v == other) is False
    assert v != object()
    with pytest.raises(TypeError):
        v < "a"
    with pytest.raises(TypeError):
        v >= None
    assert v in [None, "x", v]


def test_truth_of_an_array_is_ambiguous() -> None:
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Value([1.0, 2.0]))
    with pytest.raises(TypeError):
        int(Value([1.0, 2.0]))


# -- what raises: conversions that would lose the gradient

# Inside a transform np means something else (see test_plain_numpy), and some of these are right there.
CONVERSIONS: dict[str, Callable[[Value], Any]] = {
    "np.asarray(v)": lambda v: np.asarray(v),
    "np.array(v)": lambda v: np.array(v),
    "np.array([v, v])": lambda v: np.array([v, v]),
    "np.array([[v], [v]])": lambda v: np.array([[v], [v]]),
    "np.array((v, 1))": lambda v: np.array((v, 1.0)),
    "np.asanyarray(v)": lambda v: np.asanyarray(v),
    "np.ascontiguousarray(v)": lambda v: np.ascontiguousarray(v),
    "np.full(3, v)": lambda v: np.full(3, v),
    "np.arange(v)": lambda v: np.arange(v),
    "np.fromiter([v])": lambda v: np.fromiter([v], float),
    "np.asarray([1, v])": lambda v: np.asarray([1.0, v]),
}


def plain(*shape: int) -> np.ndarray[Any, Any]:
    """A buffer that is an ndarray in any case."""
    array = np.ndarray(shape)
    array.fill(0.0)
    return array


EXITS: dict[str, Callable[[Value], Any]] = {
    "np.array([v], dtype=object)": lambda v: np.array([v], dtype=object),
    "np.float64(v)": lambda v: np.float64(v),
    "np.float32(v)": lambda v: np.float32(v),
    "np.complex128(v)": lambda v: np.complex128(v),
    "np.int64(v)": lambda v: np.int64(v),
    "np.bool(v)": lambda v: np.bool(v),
    "np.from_dlpack(v)": lambda v: np.from_dlpack(v),
    "np.frombuffer(v)": lambda v: np.frombuffer(v),
    "np.ndarray.sum(v)": lambda v: np.ndarray.sum(v),
    "np.put(buffer, 0, v)": lambda v: np.put(plain(3), 0, v),
    "np.copyto(buffer, v)": lambda v: np.copyto(plain(3), v),
    "np.copyto(buffer, v, where)": lambda v: np.copyto(plain(3), v, where=[True, False, True]),
    "np.place(buffer, mask, v)": lambda v: np.place(plain(3), plain(3) == 0, v),
    "np.putmask(buffer, mask, v)": lambda v: np.putmask(plain(3), plain(3) == 0, v),
    "np.put_along_axis(buffer)": lambda v: np.put_along_axis(plain(3), np.array([0]), v, 0),
    "np.fill_diagonal(buffer, v)": lambda v: np.fill_diagonal(plain(3, 3), v),
    "buffer[0] = v": lambda v: operator.setitem(plain(3), 0, v),
    "buffer[:] = v": lambda v: operator.setitem(plain(3), slice(None), v),
    "buffer[mask] = v": lambda v: operator.setitem(plain(3), plain(3) == 0, v),
    "buffer[...] = [v, 1]": lambda v: operator.setitem(plain(2), ..., [v, 1.0]),
    "buffer[()] = v": lambda v: operator.setitem(plain(), (), v),
    "buffer.flat[0] = v": lambda v: operator.setitem(plain(3).flat, 0, v),
    "buffer.flat = v": lambda v: setattr(plain(3), "flat", v),
    "buffer.real = v": lambda v: setattr(plain(3), "real", v),
    "buffer.fill(v)": lambda v: plain(3).fill(v),
    "buffer.put(0, v)": lambda v: plain(3).put(0, v),
    "buffer += v": lambda v: operator.iadd(plain(3), v),
    "buffer -= v": lambda v: operator.isub(plain(3), v),
    "buffer *= v": lambda v: operator.imul(plain(3), v),
    "buffer /= v": lambda v: operator.itruediv(plain(3), v),
    "buffer **= v": lambda v: operator.ipow(plain(3), v),
    "buffer @= v": lambda v: operator.imatmul(plain(1, 1), v.reshape(1, 1)),
    "buffer[0] += v": lambda v: operator.setitem(plain(3), 0, plain(3)[0] + v),
    "buffer[1:] += v": lambda v: operator.iadd(plain(3)[1:], v),
    "np.add(v, 1, out=buffer)": lambda v: np.add(v, 1, out=plain()),
    "np.add(v, 1, out=(buffer,))": lambda v: np.add(v, 1, out=(plain(),)),
    "np.add(v, 1, where, out=buffer)": lambda v: np.add(v, 1, out=plain(2), where=[True, False]),
    "np.modf(v, out=buffers)": lambda v: np.modf(v, out=(plain(), plain())),
    "np.exp(v, buffer)": lambda v: np.exp(v, plain()),
    "np.sum(v, out=buffer)": lambda v: np.sum(v, out=plain()),
    "np.cumsum(v, out=buffer)": lambda v: np.cumsum(v, out=plain(1)),
    "np.clip(v, out=buffer)": lambda v: np.clip(v, 0.0, 1.0, out=plain()),
    "np.mean(v, out=buffer)": lambda v: np.mean(v, out=plain()),
    "np.matmul(out=buffer)": lambda v: np.matmul(plain(2, 2), v.broadcast_to((2, 2)), out=plain(2, 2)),
    "np.concatenate(out=buffer)": lambda v: np.concatenate([v.reshape(1), plain(1)], out=plain(2)),
    "np.stack(out=buffer)": lambda v: np.stack([v, v], out=plain(2)),
    "np.add.reduce(out=buffer)": lambda v: np.add.reduce(v.reshape(1), out=plain()),
    "np.add.at(buffer, 0, v)": lambda v: np.add.at(plain(3), 0, v),
    "np.multiply.at(buffer, 0, v)": lambda v: np.multiply.at(plain(3), [0, 0], v),
    "v.sum(out=buffer)": lambda v: v.sum(out=plain()),
    "float(v)": lambda v: float(v),
    "complex(v)": lambda v: complex(v),
    "'%f' % v": lambda v: "%f" % v,  # noqa: UP031
    "math.sin(v)": lambda v: math.sin(v),
    "math.sqrt(v)": lambda v: math.sqrt(v),
    "math.pow(v, 2)": lambda v: math.pow(v, 2),
    "math.fsum([v])": lambda v: math.fsum([v]),
    "math.isnan(v)": lambda v: math.isnan(v),
    "cmath.exp(v)": lambda v: cmath.exp(v),
    "random.gauss(0, v)": lambda v: float(random.Random(0).gauss(0, v)),
    "array.array": lambda v: array.array("d", [v]),
    "array[0] = v": lambda v: operator.setitem(array.array("d", [0.0]), 0, v),
    "struct.pack": lambda v: struct.pack("d", v),
    "decimal.Decimal(v)": lambda v: decimal.Decimal(v),
    "an index": lambda v: [1, 2, 3][v],
    "a slice": lambda v: [1, 2, 3][v:],
    "an index of an array": lambda v: plain(3)[v],
    "range(v)": lambda v: range(v),
    "bytes(v)": lambda v: bytes(v),
    "operator.index(v)": lambda v: operator.index(v),
    "np.eye(v)": lambda v: np.eye(v),
    "np.random": lambda v: np.random.default_rng(0).normal(v),
    "np.frompyfunc": lambda v: np.frompyfunc(lambda x: x, 1, 1)(v),
    "np.nditer(v)": lambda v: np.nditer(v),
    "memoryview(v)": lambda v: memoryview(v),
    "pickle": lambda v: pickle.dumps(v),
}


LOUD = (TypeError, BufferError, ValueError, struct.error)  # NumPy and struct put an error of theirs on top of ours


@pytest.mark.parametrize("name", EXITS)
def test_silent_exits_are_loud(name: str) -> None:
    """On a leaf as on a result, a view that is out of date, and inside a transform."""
    stale = tracked(3)[1, ...]
    stale[...] = 0.25
    for v in (Value(0.5), tracked(), stale):
        if name == "pickle" and v.is_leaf:
            continue
        with pytest.raises(LOUD):
            EXITS[name](v)
    with pytest.raises(LOUD):
        ad.grad(lambda x: x * 2.0 + (EXITS[name](x * 1.0), 0.0)[1])(0.5)


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions_are_loud(name: str) -> None:
    for v in (Value(0.5), tracked()):
        with pytest.raises(LOUD):
            CONVERSIONS[name](v)


@pytest.mark.parametrize(
    "name",
    ["np.asarray(v)", "np.array([v, v])", "np.full(3, v)", "buffer[0] = v", "float(v)", "math.sin(v)", "complex(v)",
     "operator.index(v)", "np.from_dlpack(v)", "pickle"],
)  # fmt: skip
def test_silent_exits_name_the_way_out(name: str) -> None:
    with pytest.raises(LOUD) as caught:
        {**CONVERSIONS, **EXITS}[name](tracked())
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, (AutodiffError, BufferError)):
        error = error.__cause__
    assert error is not None and re.search(WAY_OUT, str(error))


def test_float_message_names_float() -> None:
    with pytest.raises(TypeError, match="float"):
        ad.grad(lambda x: math.sin(x[0]) * x[1])(np.ones(2))


def test_whole_arrays_do_not_leak_either() -> None:
    v = tracked(3)
    for convert in (np.asarray, np.array, lambda v: np.array([v, v]), lambda v: np.array(list(v))):
        with pytest.raises(TypeError):
            convert(v)
    assert all(isinstance(x, Value) and x.requires_grad for x in v)  # iterating keeps the graph
    buffer = np.zeros((2, 3))
    with pytest.raises(DetachError):
        buffer[0] = v
    with pytest.raises(DetachError):
        buffer[...] = v
    assert not buffer.any()


def test_untracked_values_convert_freely() -> None:
    c = Value([1, 2, 3], requires_grad=False)
    assert np.asarray(c).tolist() == [1, 2, 3] and np.asarray(c).dtype == int
    assert np.array([c, c]).shape == (2, 3)
    assert np.asarray(c, dtype=np.float32).dtype == np.float32
    assert np.from_dlpack(Value(np.ones(2), requires_grad=False)).tolist() == [1, 1]
    buffer = np.zeros(3)
    buffer[:] = c
    assert buffer.tolist() == [1, 2, 3]
    one = Value(1, requires_grad=False)
    assert [10, 20][one] == 20 and list(range(one)) == [0] and float(one) == 1.0 and complex(one) == 1
    assert math.sin(Value(0.5, requires_grad=False)) == math.sin(0.5)
    assert np.full(2, one).tolist() == [1, 1]
    assert np.arange(4)[Value([0, 2], requires_grad=False)].tolist() == [0, 2]
    x = Value([3.0, 1.0, 2.0])
    assert np.arange(3)[x > 1.5].tolist() == [0, 2]
    assert [10, 20, 30][np.argmax(x)] == 10


def test_float_is_allowed_once_backward_has_freed_the_graph() -> None:
    x = Value([1.0, 2.0])
    loss = (x * x).sum()
    with pytest.raises(DetachError):
        float(loss)
    loss.backward()
    assert float(loss) == 5.0
    assert math.sqrt(loss) == math.sqrt(5)
    with pytest.raises(DetachError):
        float(x[0])  # a new operation on the leaf is tracked again


def test_float_stays_refused_while_the_graph_is_kept() -> None:
    loss = (Value([1.0, 2.0]) ** 2).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(DetachError):
        float(loss)


def test_copies_and_pickles() -> None:
    leaf = Value([1.0, 2.0], name="w")
    for other in (copy.copy(leaf), copy.deepcopy(leaf), pickle.loads(pickle.dumps(leaf))):
        assert other is not leaf and other.is_leaf and other.requires_grad and other.name == "w"
        assert not np.shares_memory(other.data, leaf.data)
        (other * 3).sum().backward()
        assert other.grad.tolist() == [3, 3] and leaf.grad is None
    tied = copy.deepcopy([leaf, leaf, {"again": leaf}])
    assert tied[0] is tied[1] is tied[2]["again"]
    result = leaf * 2.0
    for other in (copy.copy(result), copy.deepcopy(result)):
        assert not np.shares_memory(other.data, result.data)
        leaf.zero_grad()
        other.sum().backward(retain_graph=True)
        assert leaf.grad.tolist() == [2, 2]  # in the same graph
    with pytest.raises(DetachError, match="detach"):
        pickle.dumps(result)
    constant = pickle.loads(pickle.dumps(Value([1, 2], requires_grad=False)))
    assert constant.dtype == int and not constant.requires_grad


def test_deepcopy_of_a_long_graph_is_not_the_graph() -> None:
    v = Value(1.0)
    for _ in range(5000):
        v = v * 1.0
    assert copy.deepcopy(v).data == 1.0


# -- operands

NOT_NUMBERS = {
    "a string": "a",
    "a numeric string": "1.0",
    "bytes": b"a",
    "None": None,
    "an object": object(),
    "a dict": {"a": 1},
    "a set": {1.0},
    "a function": math.sin,
    "strings": ["a", "b"],
    "a ragged list": [[1.0], [1.0, 2.0]],
    "a list of None": [None, None],
    "an array of strings": np.array(["a", "b"]),
    "an array of objects": np.array([1.0, None], dtype=object),
    "dates": np.array(["2020-01-01"], dtype="datetime64[D]"),
    "records": np.zeros(2, dtype=[("a", float)]),
    "a masked array": np.ma.array([1.0, 2.0], mask=[True, False]),
    "a matrix": np.asmatrix([[1.0, 2.0]]),
}


@pytest.mark.parametrize("name", NOT_NUMBERS)
def test_value_of_what_is_not_numeric(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        with pytest.raises(OperandError, match=r"^Value") as caught:
            Value(NOT_NUMBERS[name])
    assert len(str(caught.value)) > len("Value: ") + 10
    with pytest.raises(OperandError):
        Value(NOT_NUMBERS[name], requires_grad=False)


OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.matmul,
]


@pytest.mark.parametrize("name", NOT_NUMBERS)
def test_operators_with_what_is_not_numeric(name: str) -> None:
    v, bad = tracked(2), NOT_NUMBERS[name]
    for op in OPERATORS:
        with pytest.raises(TypeError):
            op(v, bad)
        formats = op is operator.mod and isinstance(bad, (str, bytes))  # "a" % v is text formatting
        if not formats and not isinstance(bad, np.matrix):  # a matrix does not ask, it computes powers
            with pytest.raises(TypeError):
                op(bad, v)


@pytest.mark.parametrize("name", NOT_NUMBERS)
def test_functions_of_what_is_not_numeric(name: str) -> None:
    v, bad = tracked(2), NOT_NUMBERS[name]
    for function in (np.add, np.maximum, np.power, np.matmul, np.arctan2, np.dot, np.logaddexp, np.hypot):
        with pytest.raises((TypeError, OperandError)):
            function(v, bad)
        with pytest.raises((TypeError, OperandError)):
            function(bad, v)
    for call in (
        lambda: np.where(v > 0, v, bad),
        lambda: np.where(v > 0, bad, v),
        lambda: np.concatenate([v, bad]),
        lambda: np.stack([bad, v]),
        lambda: np.hstack([v, bad]),
    ):
        with pytest.raises((TypeError, OperandError)):
            call()


def test_errors_name_the_function() -> None:
    v = tracked(2)
    for function in (np.add, np.maximum, np.hypot):
        with pytest.raises(OperandError, match=function.__name__):
            function(v, "a")
        with pytest.raises(OperandError, match=function.__name__):
            function(v, None)


def test_foreign_arrays_name_their_conversion() -> None:
    class Series:
        """As pandas has it: with an array inside and a way to get it."""

        def to_numpy(self) -> Any:
            return np.ones(2)

    v = tracked(2)
    for call in (lambda: v + Series(), lambda: Series() + v, lambda: np.add(v, Series())):
        with pytest.raises((OperandError, TypeError), match="to_numpy"):
            call()
    for foreign, way_out in ((np.ma.array([1.0, 2.0]), "filled"), (np.asmatrix([1.0, 2.0]), "asarray")):
        for call in (lambda: v + foreign, lambda: foreign + v, lambda: np.add(foreign, v), lambda: Value(foreign)):  # noqa: B023
            with pytest.raises(OperandError, match=way_out):
                call()


def test_pandas() -> None:
    v = tracked(2)
    for foreign in (pandas.Series([1.0, 2.0]), pandas.DataFrame({"a": [1.0, 2.0]})):
        for call in (lambda: v + foreign, lambda: foreign + v, lambda: np.add(foreign, v), lambda: v * foreign):  # noqa: B023
            with pytest.raises(OperandError, match="to_numpy"):
                call()


def test_numeric_lists_are_arrays() -> None:
    v = Value([1.0, 2.0])
    for result in (v + [1, 2], [1, 2] + v, v + (1, 2), np.add([1, 2], v)):
        assert isinstance(result, Value) and result.requires_grad and result.data.tolist() == [2, 4]


SHAPES = {
    "add": lambda v, w: v + w,
    "reflected add": lambda v, w: v.data + w,
    "multiply": lambda v, w: v * w.data,
    "power": lambda v, w: v**w,
    "matmul": lambda v, w: v @ w,
    "np.maximum": np.maximum,
    "np.where": lambda v, w: np.where(v.data > 0, v, w),
    "np.concatenate": lambda v, w: np.concatenate([v, w.reshape(1, -1)]),
    "np.stack": lambda v, w: np.stack([v, w]),
    "reshape": lambda v, w: v.reshape(7),
    "broadcast_to": lambda v, w: v.broadcast_to((2, 4)),
    "squeeze": lambda v, w: v.squeeze(0),
    "transpose": lambda v, w: v.transpose(0, 1),
    "sum": lambda v, w: v.sum(axis=1),
    "mean": lambda v, w: v.mean(axis=(0, 0)),
    "max": lambda v, w: v.max(axis=-2),
    "softmax": lambda v, w: v.softmax(axis=1),
    "swapaxes": lambda v, w: v.swapaxes(0, 1),
    "mT": lambda v, w: v.mT,
    "index": lambda v, w: v[3],
    "too many indices": lambda v, w: v[0, 0],
    "mask": lambda v, w: v[np.array([True, False])],
    "max of nothing": lambda v, w: v[:0].max(),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_do_not_fit(name: str) -> None:
    """NumPy's own errors, of NumPy's own types, for Values as for arrays."""
    v, w = tracked(3), tracked(4)
    with pytest.raises((ValueError, IndexError)) as caught:
        SHAPES[name](v, w)
    assert len(str(caught.value)) > 10


def test_shape_errors_name_the_shapes() -> None:
    for name in ("add", "multiply", "np.maximum"):
        with pytest.raises(ValueError, match=r"\(3,\).*\(4,\)"):
            SHAPES[name](tracked(3), tracked(4))


def test_zero_dimensional_values_have_no_length() -> None:
    v = tracked()
    for call in (lambda: len(v), lambda: iter(v), lambda: list(v), lambda: [*v], lambda: tuple(v)):
        with pytest.raises(TypeError, match="0-d"):
            call()
    with pytest.raises(IndexError):
        v[0]


def test_unknown_keywords_and_methods() -> None:
    v = tracked(3)
    for call in (
        lambda: np.sum(v, axes=0),
        lambda: np.exp(v, foo=1),
        lambda: v.sum(axes=0),
        lambda: v.no_such_method(),
        lambda: np.mean(v, foo=1),
    ):
        with pytest.raises((TypeError, AttributeError)):
            call()
    with pytest.raises(AttributeError):
        v.no_such_attribute = 1


def test_keywords_that_cannot_be_kept() -> None:
    """where= without out= leaves elements undefined, a plain out= loses the gradient. At their defaults they pass."""
    v, mask = tracked(3), np.array([True, False, True])
    for call in (lambda: np.add(v, 1.0, where=mask), lambda: np.exp(v, where=mask)):
        with pytest.raises(TypeError, match="where"):
            call()
    for call in (lambda: np.exp(v, out=np.zeros(3)), lambda: np.sum(v, axis=0, out=np.zeros(()))):
        with pytest.raises(TypeError, match="out"):
            call()
    assert np.sum(v, out=None, where=True).requires_grad
    assert np.add(v, 1.0, out=None, where=True).requires_grad


def test_keywords_that_change_the_result_are_kept_or_refused() -> None:
    """dtype=, initial=, casting= and such: as NumPy, with the right gradient, or an error."""
    v = Value([1.0, 2.0, 3.0])
    for call in (
        lambda x: np.sum(x, initial=10.0),
        lambda x: np.sum(x, dtype=np.float32),
        lambda x: np.prod(x, initial=10.0),
        lambda x: np.max(x, initial=10.0),
        lambda x: np.min(x, initial=-10.0),
        lambda x: np.add(x, x, dtype=np.float32).sum(),
        lambda x: np.exp(x, dtype=np.float32).sum(),
        lambda x: np.mean(x, dtype=np.float32),
        lambda x: np.var(x, mean=np.array([2.0])),
        lambda x: np.var(x, correction=1),
        lambda x: np.cumsum(x, dtype=np.float32).sum(),
        lambda x: np.concatenate([x, x], dtype=np.float32).sum(),
    ):
        expected = call(v.data)
        try:
            result = call(v)
        except TypeError:
            continue
        np.testing.assert_array_equal(result.data, expected)
        assert result.dtype == expected.dtype
        v.zero_grad()
        result.backward()
        numeric = [(call(v.data + h) - call(v.data - h)) / 2e-2 for h in 1e-2 * np.eye(3)]
        np.testing.assert_allclose(v.grad, numeric, rtol=1e-3, atol=2e-3)


def test_functions_without_a_rule_are_named() -> None:
    v = tracked(3, 3)
    for name, call in {
        "_without (vectorized)": lambda: np.frompyfunc(_without, 1, 1)(v),
    }.items():
        with pytest.raises(MissingRuleError, match=re.escape(name)) as caught:
            call()
        assert "detach" in str(caught.value)


def _without(x: Any) -> Any:
    return x


def test_functions_without_a_rule_take_untracked_values() -> None:
    c = Value([3.0, 1.0, 2.0], requires_grad=False)
    result = np.sort(c)
    assert isinstance(result, Value) and result.data.tolist() == [1, 2, 3] and not result.requires_grad
    assert isinstance(np.linalg.norm(c), Value)


@pytest.mark.parametrize(
    "call",
    [
        lambda v, s: v.leaky_relu(s),
        lambda v, s: ad.leaky_relu(v, s),
        lambda v, s: ad.leaky_relu(v, slope=s),
        lambda v, s: np.round(v, s),
        lambda v, s: v.var(ddof=s),
        lambda v, s: np.std(v, ddof=s),
        lambda v, s: np.sum(v, axis=s),
        lambda v, s: np.full_like(v, s),
        lambda v, s: np.full_like(v, fill_value=s),
        lambda v, s: v[s],
        lambda v, s: v.reshape(s, 2),
        lambda v, s: np.sum(v, initial=s),
        lambda v, s: np.ldexp(v, s),
    ],
    ids=["v.leaky_relu", "leaky_relu", "leaky_relu slope=", "round", "v.var", "std", "sum axis", "full_like",
         "full_like fill_value=", "index", "reshape", "sum initial", "ldexp"],
)  # fmt: skip
def test_tracked_values_in_arguments_that_are_not_operands(call: Callable[..., Any]) -> None:
    """Their derivative is either there, or missing with an error: never silently zero."""
    v, s = np.array([-1.0, 2.0]), 1.0
    for given in (v, Value(v), Value(v, requires_grad=False)):
        try:
            gradient = raw(ad.grad(lambda s: call(given, s).sum())(s))  # noqa: B023
        except (TypeError, IndexError, AttributeError, ValueError):
            continue
        high, low = (raw(call(Value(v), Value(s + h, requires_grad=False)).sum()) for h in (1e-6, -1e-6))
        assert float(gradient) == pytest.approx(float(high - low) / 2e-6, abs=1e-6), type(given)


# -- backward


def test_backward_needs_a_scalar() -> None:
    with pytest.raises(GraphError, match=r"\(3,\)") as caught:
        tracked(3).backward()
    assert "gradient=" in str(caught.value) and "scalar" in str(caught.value)
    one = Value(np.ones((1, 1)))
    (one * 2.0).backward()  # one element is as good as a scalar
    assert one.grad.tolist() == [[2.0]]


def test_backward_of_an_untracked_value() -> None:
    for v in (Value(1.0, requires_grad=False), Value(1.0).detach(), Value(1.0) > 0, np.argmax(tracked(3))):
        with pytest.raises(GraphError, match="untracked"):
            v.backward()


def test_second_backward_names_retain_graph() -> None:
    for f in (lambda x: (x * x).sum(), lambda x: x.sum(), lambda x: np.exp(x).sum(), lambda x: x.reshape(-1)[0]):
        x = Value([1.0, 2.0])
        y = f(x)
        y.backward()
        gradient = x.grad.copy()
        with pytest.raises(GraphError, match="retain_graph=True"):
            y.backward()
        with pytest.raises(GraphError, match="retain_graph=True"):
            (y * 3.0).backward()
        np.testing.assert_array_equal(x.grad, gradient)  # a walk that failed adds nothing
        z = f(x)
        z.backward(retain_graph=True)
        z.backward(retain_graph=True)
        z.backward()
        np.testing.assert_array_equal(x.grad, 4 * gradient)


def test_shared_part_freed_by_another_walk() -> None:
    x = Value(2.0)
    shared = x * x
    a, b = shared * 3.0, shared * 5.0
    a.backward()
    with pytest.raises(GraphError, match=r"multiply.*retain_graph=True"):
        b.backward()


def test_gradient_of_the_wrong_kind() -> None:
    for bad, error in [
        (np.ones(4), ValueError),
        (1.0, ValueError),
        (np.ones((3, 1)), ValueError),
        ("abc", OperandError),
        (["a", "b", "c"], OperandError),
        (object(), OperandError),
        (np.array([1.0, None, 2.0], dtype=object), OperandError),
        ([[1.0], [1.0, 2.0], [1.0]], OperandError),
        (np.ones(3) * 1j, OperandError),
        ([1j, 0, 0], OperandError),
        (Value(np.ones(3)), DetachError),
    ]:
        x = Value(np.ones(3))
        with pytest.raises(error, match="gradient"):
            (x * 2.0).backward(bad)
        assert x.grad is None


@pytest.mark.parametrize(
    "gradient",
    [np.array([1, 2, 3]), [1, 2, 3], (1.0, 2, 3), np.array([1, 2, 3], np.float32), np.array([1, 2, 3], np.uint8),
     np.array([1, 2, 3], np.longdouble), Value([1.0, 2, 3], requires_grad=False), np.array([1.0, 2, 3])[::1]],
    ids=lambda g: f"{type(g).__name__}-{getattr(g, 'dtype', '')}",
)  # fmt: skip
def test_gradient_of_another_dtype_is_cast(gradient: Any) -> None:
    for dtype in (np.float64, np.float32):
        x = Value(np.ones(3), dtype=dtype)
        (x * 2.0).backward(gradient)
        assert x.grad.dtype == dtype and x.grad.tolist() == [2, 4, 6]
    flags = Value(np.ones(2))
    (flags * 2.0).backward(np.array([True, False]))
    assert flags.grad.tolist() == [2, 0]


def test_complex_results_need_a_gradient() -> None:
    z = Value(1 + 2j)
    with pytest.raises(GraphError, match="complex"):
        (z * z).backward()


# -- nan and inf, warnings


def test_nan_and_inf_flow_as_numpys() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0])
    functions: list[Callable[..., Any]] = [
        *(np.exp, np.log, np.sqrt, np.sin, np.sign, np.floor),
        *(lambda x: 1 / x, lambda x: x - x, lambda x: x * 0, lambda x: x % 2, lambda x: x**2),
        *(lambda x: np.maximum(x, 0.0), lambda x: np.where(x > 0, x, -x), lambda x: x.cumsum()),
        *(lambda x: x.sum(), lambda x: x.max(), lambda x: x.min(), lambda x: x.std()),
    ]
    with np.errstate(all="ignore"):
        for f in functions:
            v = Value(x)
            result = f(v)
            np.testing.assert_array_equal(result.data, f(x))
            result.sum().backward()
    v = Value(x)
    with np.errstate(invalid="ignore"):
        np.sin(v).sum().backward()
    np.testing.assert_array_equal(np.isnan(v.grad), [True, True, True, False, False])


def test_forward_warns_as_numpy_does() -> None:
    for f in (lambda x: 1 / x, np.log, lambda x: x / x, lambda x: np.exp(x + 1e5)):
        with pytest.warns(RuntimeWarning):
            f(np.zeros(2))
        with pytest.warns(RuntimeWarning):
            f(Value(np.zeros(2)))


def test_backward_does_not_warn() -> None:
    with warnings.catch_warnings(), np.errstate(all="warn"):
        warnings.simplefilter("error")
        x = Value([0.0, 1.0])
        np.sqrt(x).sum().backward()
        assert x.grad.tolist() == [np.inf, 0.5]
        ad.jvp(np.sqrt, (np.array([0.0, 1.0]),), (np.ones(2),))


def test_raising_errstate_does_not_reach_backward() -> None:
    with np.errstate(all="raise"):
        x = Value([0.0, 1.0])
        np.sqrt(x).sum().backward()
        assert x.grad[0] == np.inf
        assert np.geterr()["divide"] == "raise"


# -- what a Value is made from


def test_integers_and_bools_become_float64() -> None:
    for data in (
        3,
        True,
        [1, 2],
        np.arange(3),
        np.arange(3, dtype=np.int8),
        np.array([True, False]),
        np.int32(4),
        np.bool_(1),
    ):
        assert Value(data).dtype == np.float64
        np.testing.assert_array_equal(Value(data).data, data)
        kept = Value(data, requires_grad=False)
        assert kept.dtype == np.asarray(data).dtype and not kept.requires_grad


def test_floats_keep_their_dtype() -> None:
    for dtype in (np.float16, np.float32, np.float64, np.longdouble, np.complex64, np.complex128):
        assert Value(np.ones(2, dtype)).dtype == dtype
        assert Value(dtype(1)).dtype == dtype
        assert Value([1, 2], dtype=dtype).dtype == dtype


def test_dtypes_without_a_gradient() -> None:
    for dtype in (int, bool, np.uint8):
        with pytest.raises(OperandError, match="requires_grad=False"):
            Value([1.0], dtype=dtype)
        assert Value([1.0], dtype=dtype, requires_grad=False).dtype == dtype
    with pytest.raises(OperandError, match="complex"):
        Value([1j], dtype=float)
    with pytest.raises(OperandError):
        Value([1.0], dtype=object)
    with pytest.raises(OperandError):
        Value([1.0], dtype=str)


def test_value_of_a_tracked_value() -> None:
    v = tracked(2)
    with pytest.raises(DetachError, match="detach"):
        Value(v)
    assert Value(v.detach()).is_leaf


def test_writing_into_the_source_changes_nothing() -> None:
    source = np.array([1.0, 2.0])
    v = Value(source)
    y = (v * v).sum()
    source[:] = 100
    y.backward()
    assert v.data.tolist() == [1, 2] and v.grad.tolist() == [2, 4]
    shared = Value(source, copy=False)
    assert np.shares_memory(shared.data, source)


@pytest.mark.parametrize("size", [2, 100_000])
@pytest.mark.parametrize(
    "f",
    [lambda x, c: x * c, lambda x, c: c * x, lambda x, c: np.multiply(c, x), lambda x, c: x / c, lambda x, c: x**c,
     lambda x, c: c @ x, lambda x, c: np.where(c > 2, x, x * 3.0), lambda x, c: np.hypot(x, c)],
    ids=["x * c", "c * x", "np.multiply", "x / c", "x ** c", "c @ x", "np.where", "np.hypot"],
)  # fmt: skip
def test_writing_into_a_constant_before_backward(f: Callable[..., Any], size: int) -> None:
    """The gradient is the one of the forward pass, or, for large arrays, an error that says so."""
    c = np.full(size, 3.0)
    x = Value(np.full(size, 2.0))
    expected = ad.grad(lambda x: f(x, c.copy()).sum())(x.data.copy())
    y = f(x, c).sum()
    c[:] = 1.0
    with contextlib.suppress(*[GraphError] * (size > 2)):
        y.backward()
        np.testing.assert_allclose(x.grad, expected)


def test_large_constant_written_into_is_an_error_that_says_so() -> None:
    c, x = np.ones(100_000), Value(np.ones(100_000))
    y = (x * c).sum()
    c[:] = 2.0
    with pytest.raises(GraphError, match=r"multiply.*written|written.*multiply"):
        y.backward()
    with pytest.raises(GraphError, match="written"):
        ad.grad(lambda x: ((x * c).sum(), c.__setitem__(slice(None), 3.0))[0])(x.data)


def test_writing_into_an_index_before_backward() -> None:
    x = Value([1.0, 2.0, 3.0])
    index, mask, keys = np.array([0, 0]), np.array([True, False, False]), [0, 0]
    y = x[index].sum() + x[mask].sum() + x[keys].sum() + np.where(mask, x, 0.0).sum()
    index[:], mask[:], keys[:] = 2, True, [2, 2]
    y.backward()
    assert x.grad.tolist() == [6, 0, 0]


def test_variables_are_not_written_to_while_recording() -> None:
    v = Value([1.0, 2.0, 3.0])
    with pytest.raises(GraphError, match=r"x\.copy\(\).*no_grad"):
        v[0] = 1.0
    for op in (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow):
        with pytest.raises(GraphError, match=r"x\.copy\(\).*no_grad"):
            op(v, 2.0)
    assert v.data.tolist() == [1.0, 2.0, 3.0]


def test_scalars_are_replaced() -> None:
    total = Value(1.0)
    first = total
    total += 2.0
    total *= 3.0
    assert total.data == 9.0 and first.data == 1.0


# -- transforms


def test_transforms_refuse_what_has_no_derivative() -> None:
    for bad in (3, np.arange(3), True, "a", np.array(["a"])):
        with pytest.raises(OperandError, match=r"grad"):
            ad.grad(lambda x: x)(bad)
    with pytest.raises(OperandError, match="float"):
        ad.grad(lambda x: x * x)(3)
    with pytest.raises(OperandError, match="argnums"):
        ad.grad(lambda x: x, argnums=1)(1.0)
    with pytest.raises(GraphError, match="scalar"):
        ad.grad(lambda x: x)(np.ones(2))
    with pytest.raises(GraphError, match="scalar"):
        ad.grad(lambda x: "a")(1.0)
    with pytest.raises(GraphError, match="complex"):
        ad.grad(lambda x: x * 1j)(1.0)
    with pytest.raises(OperandError, match="aux"):
        ad.grad(lambda x: x, has_aux=True)(1.0)


def test_vjp_and_jvp_check_shapes() -> None:
    pull = ad.vjp(np.sin, np.ones(3))[1]
    with pytest.raises(ValueError, match="shape"):
        pull(np.ones(4))
    with pytest.raises(OperandError):
        pull(np.ones(3) * 1j)
    with pytest.raises(OperandError):
        pull(np.array(["a", "b", "c"]))
    with pytest.raises(ValueError, match="shape"):
        ad.jvp(np.sin, (np.ones(3),), (np.ones(4),))
    with pytest.raises(OperandError, match="tangents"):
        ad.jvp(np.add, (1.0, 2.0), (1.0,))


def test_silent_exits_inside_transforms_name_the_line() -> None:
    """The error comes out of the user's own function, so the traceback shows where."""

    def f(x: Any) -> Any:
        return float(x) * 2.0

    with pytest.raises(DetachError) as caught:
        ad.grad(f)(1.0)
    assert f.__code__ in [entry.frame.code.raw for entry in caught.traceback]
