"""The whole registry on StrictArray, which refuses what a GPU array refuses. See strict_array.py."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from checks import Device, over, seeded
from domains import ROWS, Case, Row
from strict_array import StrictArray, reading
from test_rules import differentiable, is_smooth, runs

import autodiff as ad
from autodiff import Value, nn, optim
from autodiff.rules.activations import nll

DEVICE = Device(StrictArray, StrictArray.get, StrictArray, 1e-13)
UNKNOWN = [np.spacing]  # functions that CuPy lacks


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def rows(keep: Callable[[Row], bool] = lambda row: True) -> Any:
    chosen = [r for r in ROWS if keep(r) and r.function not in UNKNOWN]
    return pytest.mark.parametrize("row", [pytest.param(r, id=r.name) for r in chosen])


def accepted(cases: Iterable[Case]) -> list[Case]:
    return [case for case in cases if DEVICE.accepts(case)]


def on_device(case: Case) -> Case:
    """The case with the arrays among its further arguments on the device too."""
    return Case(case.row, case.shapes, put_all(case.args), case.kwargs, case.output)


def put_all(x: Any) -> Any:
    if isinstance(x, tuple):
        return tuple(map(put_all, x))
    return StrictArray(x) if isinstance(x, np.ndarray) else x


def flat(x: Any) -> list[Any]:
    return [leaf for item in x for leaf in flat(item)] if isinstance(x, tuple) else [x]


# -- the registry


def test_what_cupy_does_not_know() -> None:
    """So that no case is left out unseen."""
    refused = [case for row in ROWS for case in filter(runs, row.cases()) if not DEVICE.accepts(case)]
    reductions = {np.sum, np.mean, np.prod, np.max, np.min, np.var, np.std, np.any, np.all, np.count_nonzero}
    keywords = {"shape", "keepdims", "where", "initial", "mean", "correction"}
    assert {case.row.function for case in refused} == {*UNKNOWN, np.reshape, *reductions}
    assert all(case.kwargs.keys() & keywords for case in refused if case.row.function not in UNKNOWN)


@rows()
def test_value(row: Row) -> None:
    over(accepted(filter(runs, row.cases())), DEVICE.check_value)


@rows(is_smooth)
def test_first_order(row: Row) -> None:
    over(accepted(differentiable(row)), DEVICE.check_first_order)


@rows(lambda row: row.complex and is_smooth(row))
def test_first_order_complex(row: Row) -> None:
    over(accepted(differentiable(row, np.complex128)), lambda case: DEVICE.check_first_order(case, np.complex128))


@rows(is_smooth)
def test_second_order(row: Row) -> None:
    over(accepted(differentiable(row)), DEVICE.check_second_order)


@rows(is_smooth)
def test_single_precision(row: Row) -> None:
    """A 0-d array decides the dtype as any other, unlike a Python float: float32 stays float32 among them."""
    single = DEVICE._replace(rtol=1e-5)
    over(accepted(differentiable(row, np.float32)), lambda case: single.check_first_order(case, np.float32))


@rows(lambda row: any(isinstance(x, np.ndarray) for args, _ in row.tries for x in flat(args)))
def test_indices_on_the_device(row: Row) -> None:
    """Index arrays may be on either side."""

    def check(case: Case) -> None:
        operands, there = case.operands(seeded(case)), on_device(case)
        x = Value(StrictArray(operands[0]))
        result = there(x)
        DEVICE.assert_same(result, case(*operands), 0.0, "value")
        (result * result).sum().backward()
        host = Value(operands[0])
        (case(host) * case(host)).sum().backward()
        DEVICE.assert_same(x.grad, host.grad, 1e-3, "gradient")

    over([case for case in differentiable(row) if any(isinstance(x, np.ndarray) for x in flat(case.args))], check)


# -- Value


def test_device_attributes() -> None:
    x = Value(StrictArray(np.ones((2, 3))))
    assert x.device == "strict:0" == x.data.device
    assert (x.shape, x.ndim, x.size, x.nbytes, x.dtype) == ((2, 3), 2, 6, 48, np.float64)
    assert type(x.numpy()) is np.ndarray


def test_value_copies_on_the_device() -> None:
    source = StrictArray(np.ones(3))
    x = Value(source)
    source[0] = 7.0
    np.testing.assert_array_equal(x.data.get(), 1.0)
    assert Value(source, copy=False).data is source
    assert isinstance(Value(StrictArray(np.arange(3))).data, StrictArray)
    assert Value(StrictArray(np.arange(3))).dtype == np.float64


def test_operators_mix_with_numbers_and_values() -> None:
    """From either side, with an array on the device on the left too."""
    c, x = StrictArray(np.arange(1.0, 4.0)), Value(StrictArray(np.full(3, 2.0)))
    expected = {
        "c * x": (c * x, np.arange(1.0, 4.0)),
        "x * c": (x * c, np.arange(1.0, 4.0)),
        "c - x": (c - x, -np.ones(3)),
        "c / x": (c / x, -np.arange(1.0, 4.0) / 4),
        "c @ x": (c @ x, np.arange(1.0, 4.0)),
        "2 * x": (2 * x, np.full(3, 2.0)),
        "float64 * x": (np.float64(2) * x, np.full(3, 2.0)),
        "x * float64": (x * np.float64(2), np.full(3, 2.0)),
        "x ** 3": (x**3, np.full(3, 12.0)),
    }
    for name, (y, gradient) in expected.items():
        assert isinstance(y, Value) and isinstance(y.data, StrictArray), name
        x.zero_grad()
        y.sum().backward()
        DEVICE.assert_same(x.grad, gradient, 0.0, name)


def test_arrays_of_the_host_do_not_mix() -> None:
    x = Value(StrictArray(np.ones(3)))
    for f in (
        lambda: x * np.ones(3),
        lambda: np.ones(3) * x,
        lambda: x + [1.0, 2.0, 3.0],
        lambda: x + Value(np.ones(3)),
        lambda: np.concatenate([x, np.ones(3)]),
    ):
        with pytest.raises(TypeError):
            f()


def test_gradients_are_arrays_of_their_own() -> None:
    x, y = Value(StrictArray(np.ones(3))), Value(StrictArray(np.ones(3)))
    (x + y).sum().backward()
    x.grad[0] = 5.0
    np.testing.assert_array_equal(y.grad.get(), 1.0)
    seed = StrictArray(np.ones(3))
    x.zero_grad()
    x.backward(seed)
    seed[0] = 5.0
    np.testing.assert_array_equal(x.grad.get(), 1.0)


def test_gradient_argument() -> None:
    x = Value(StrictArray(np.arange(3.0)))
    (x * x).backward(StrictArray(np.array([1.0, 2.0, 3.0])))
    DEVICE.assert_same(x.grad, np.array([0.0, 4.0, 12.0]), 0.0, "gradient")


def test_singularities_stay_out() -> None:
    """Where a GPU does not report an invalid operation, the result has to be the same."""
    x = StrictArray(np.array([0.0, 0.25, 0.0]))
    for f, slope in ((np.sqrt, 1.0), (np.log, 4.0), (lambda x: 1 / x, -16.0), (lambda x: x**-0.5, -4.0)):
        masked = lambda x, f=f: np.where(x > 0, f(x), 0)
        total = lambda x, masked=masked: masked(x).sum()
        expected = np.array([0, slope, 0])
        DEVICE.assert_same(ad.grad(total)(x), expected, 0.0, "reverse")
        DEVICE.assert_same(ad.jvp(masked, (x,), (StrictArray(np.ones(3)),))[1], expected, 0.0, "forward")
        second = ad.grad(lambda x, total=total: ad.grad(total)(x).sum())(x).get()
        assert second[0] == 0 == second[2] and np.isfinite(second[1])


def test_no_waiting_for_the_device() -> None:
    """Only what the user asks for reads from the device; then it works."""
    x = Value(StrictArray(np.array([1.0, 2.0])))
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(AssertionError, match="waits"):
        float(loss)
    with reading():
        assert float(loss) == loss.item() == 5.0
        assert bool(loss > 4) and int(loss) == 5
        assert x.tolist() == [1.0, 2.0]
        assert "5.0" in repr(loss) and "1., 2." in repr(x)


# -- a training step


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, 0.1, momentum=0.9), optim.Adam, optim.AdamW])
def test_training(make: Callable[..., Any], rng: np.random.Generator) -> None:
    """Parameters, gradients and the optimizer's state stay on the device, with the host's numbers."""
    images, labels = rng.normal(size=(8, 5)), rng.integers(0, 3, 8)

    def train(put: Callable[[Any], Any]) -> list[Any]:
        first, second = nn.Linear(5, 4, rng=0), nn.Linear(4, 3, rng=1)
        parameters = [first.weight, first.bias, second.weight, second.bias]
        values = [Value(put(p.data)) for p in parameters]
        optimizer = make(values)
        for _ in range(3):
            optimizer.zero_grad()
            w, b, v, c = values
            loss = nll(np.tanh(put(images) @ w + b) @ v + c, put(labels))
            loss.backward()
            optimizer.step()
        return [loss, *values]

    for there, here in zip(train(StrictArray), train(np.asarray), strict=True):
        DEVICE.assert_same(there, here.data, 0.0, "parameter")


# -- the double itself


def test_the_double_is_strict() -> None:
    x = StrictArray(np.ones((2, 3)))
    for f in (
        lambda: np.asarray(x),
        lambda: np.array([x, x]),
        lambda: x * np.ones((2, 3)),
        lambda: np.ones((2, 3)) @ x.T,
        lambda: np.concatenate([x, np.ones((2, 3))]),
        lambda: np.where(x > 0, x, np.zeros(3)),
        lambda: [1, 2][x[0, 0].astype(int)],
        lambda: hash(x),
        lambda: np.sum(x, where=x > 0),
        lambda: x.sum(initial=1.0),
        lambda: np.spacing(x),
        lambda: np.zeros_like(x, subok=True),
        lambda: np.multiply(x, "a"),
    ):
        with pytest.raises(TypeError):
            f()
    for f in (bool, int, float, complex, StrictArray.item, StrictArray.tolist):
        with pytest.raises(AssertionError, match="waits"):
            f(x[0, 0])
    for y in (x.sum(), x[0, 0], np.sum(x), x[0] @ x[0], np.any(x), x.argmax(), np.dot(x[0], x[0]), -x[0, 0]):
        assert isinstance(y, StrictArray) and y.shape == ()


def test_the_double_has_views() -> None:
    x = StrictArray(np.zeros((2, 3)))
    x[0][1] = 1.0
    x.reshape(6)[5] = 2.0
    x[1, 0][()] = 3.0
    x += 1.0
    np.testing.assert_array_equal(x.get(), [[1, 2, 1], [4, 1, 3]])
