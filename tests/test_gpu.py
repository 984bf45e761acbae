"""The whole registry on a GPU, through CuPy: `pip install autodiff[cuda]`. What needs none is in test_device.py."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from checks import Device, over
from domains import ROWS, Case, Row
from test_rules import differentiable, is_smooth, runs

import autodiff as ad
from autodiff import Value, nn, optim
from autodiff.rules.activations import nll

try:
    import cupy

    cupy.zeros(1).sum().get()
except Exception as error:  # whatever is missing: the package, the driver, the device, the compiler
    reason = str(error).strip().partition("\n")[0]
    pytest.skip(f"no CuPy with a GPU: {type(error).__name__}: {reason}", allow_module_level=True)

GPU = Device(cupy.asarray, lambda x: x.get(), cupy.ndarray, 1e-12)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def rows(keep: Callable[[Row], bool] = lambda row: True) -> Any:
    """Parametrize a test over the rows for which `keep` holds and whose function is ours or CuPy's too."""
    known = lambda r: r.name.startswith("autodiff.") or hasattr(cupy, r.function.__name__)
    return pytest.mark.parametrize("row", [pytest.param(r, id=r.name) for r in ROWS if keep(r) and known(r)])


def accepted(cases: Iterable[Case]) -> list[Case]:
    return [case for case in cases if GPU.accepts(case)]


@rows()
def test_value(row: Row) -> None:
    over(accepted(filter(runs, row.cases())), GPU.check_value)


@rows(is_smooth)
def test_first_order(row: Row) -> None:
    over(accepted(differentiable(row)), GPU.check_first_order)


@rows(lambda row: row.complex and is_smooth(row))
def test_first_order_complex(row: Row) -> None:
    over(accepted(differentiable(row, np.complex128)), lambda case: GPU.check_first_order(case, np.complex128))


@rows(is_smooth)
def test_second_order(row: Row) -> None:
    over(accepted(differentiable(row, kinds="f")), GPU.check_second_order)


@rows(is_smooth)
def test_single_precision(row: Row) -> None:
    single = GPU._replace(rtol=2e-5)
    over(accepted(differentiable(row, np.float32)), lambda case: single.check_first_order(case, np.float32))


def test_singularities_stay_out() -> None:
    """A GPU does not report an invalid operation; the gradient is masked all the same."""
    x = cupy.array([0.0, 0.25, 0.0])
    f = lambda x: np.where(x > 0, np.sqrt(x), 0)
    np.testing.assert_array_equal(ad.grad(lambda x: f(x).sum())(x).get(), [0, 1, 0])
    np.testing.assert_array_equal(ad.jvp(f, (x,), (cupy.ones(3),))[1].get(), [0, 1, 0])


def test_arrays_of_the_host_do_not_mix() -> None:
    x = Value(cupy.ones(3))
    for f in (lambda: x * np.ones(3), lambda: np.ones(3) * x, lambda: x + Value(np.ones(3))):
        with pytest.raises(TypeError):
            f()


def test_leaving_the_device() -> None:
    x = Value(cupy.arange(3.0))
    loss = (x * x).sum()
    loss.backward()
    assert float(loss) == loss.item() == 5.0
    assert type(x.numpy()) is np.ndarray
    assert "5.0" in repr(loss) and "1., 2." in repr(x)
    assert x.device == x.data.device


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, 0.1, momentum=0.9), optim.Adam, optim.AdamW])
def test_training(make: Callable[..., Any], rng: np.random.Generator) -> None:
    images, labels = rng.normal(size=(8, 5)), rng.integers(0, 3, 8)

    def train(put: Callable[[Any], Any]) -> list[Any]:
        first, second = nn.Linear(5, 4, rng=0), nn.Linear(4, 3, rng=1)
        values = [Value(put(p.data)) for p in (first.weight, first.bias, second.weight, second.bias)]
        optimizer = make(values)
        for _ in range(3):
            optimizer.zero_grad()
            w, b, v, c = values
            loss = nll(np.tanh(put(images) @ w + b) @ v + c, put(labels))
            loss.backward()
            optimizer.step()
        return [loss, *values]

    for there, here in zip(train(cupy.asarray), train(np.asarray), strict=True):
        GPU.assert_same(there, here.data, 1e-3, "parameter")
