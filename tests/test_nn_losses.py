"""Losses under every transform, at their edges, and what they say of wrong arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import OperandError, Value, nn


def probabilities(rng: np.random.Generator) -> Any:
    return ad.softmax(rng.standard_normal((5, 4)))


LABELS = np.array([0, 3, 1, 1, 2])
LOSSES: dict[str, tuple[Any, Any]] = {  # a function of what a model returned, given the targets
    "cross_entropy": (nn.cross_entropy, lambda rng: LABELS),
    "smoothed": (lambda x, y: nn.cross_entropy(x, y, label_smoothing=0.2), lambda rng: LABELS),
    "ignoring": (lambda x, y: nn.cross_entropy(x, y, ignore_index=1), lambda rng: LABELS),
    "soft": (nn.cross_entropy, probabilities),
    "bce_with_logits": (nn.bce_with_logits, lambda rng: rng.random((5, 4))),
    "huber": (lambda x, y: nn.huber(x, y, 0.5), lambda rng: rng.standard_normal((5, 4))),
    "kl_div": (nn.kl_div, probabilities),
    "mse": (nn.mse, lambda rng: rng.standard_normal((5, 4))),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


@every_loss
def test_derivatives(name: str, rng: Any) -> None:
    loss, draw = LOSSES[name]
    x, y = rng.standard_normal((5, 4)), draw(rng)
    ad.check_grads(lambda x: loss(x, y), x, order=2)
    v = rng.standard_normal(x.shape)
    g = ad.grad(loss)
    np.testing.assert_allclose(
        ad.hvp(lambda x: loss(x, y))(x, v), (g(x + 1e-5 * v, y) - g(x - 1e-5 * v, y)) / 2e-5, rtol=1e-4, atol=1e-6
    )


@every_loss
def test_jit(name: str, rng: Any) -> None:
    loss, draw = LOSSES[name]
    y = draw(rng)
    value, gradient = ad.jit(loss, strict=True), ad.jit(ad.grad(loss), strict=True)
    for _ in range(3):
        x = rng.standard_normal((5, 4))
        np.testing.assert_allclose(value(x, y), loss(x, y), rtol=1e-12)
        np.testing.assert_allclose(gradient(x, y), ad.grad(loss)(x, y), rtol=1e-12, atol=1e-14)
    assert value.cache_info().hits == gradient.cache_info().hits == 2


@every_loss
def test_vmap_over_examples_and_over_labels_alone(name: str, rng: Any) -> None:
    loss, draw = LOSSES[name]
    x, y = rng.standard_normal((5, 4)), draw(rng)
    kept = [i for i in range(5) if name != "ignoring" or y[i] != 1]
    each = ad.vmap(lambda x, y: loss(x[None], y[None]))
    np.testing.assert_allclose(np.mean(each(x, y)[kept]), loss(x, y), rtol=1e-12)
    ys = np.stack([y, y[::-1]])
    found = ad.vmap(loss, in_axes=(None, 0))(x, ys)
    np.testing.assert_allclose(found, [loss(x, ys[0]), loss(x, ys[1])], rtol=1e-12)


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_that_of_the_prediction(name: str, dtype: Any, rng: Any) -> None:
    loss, draw = LOSSES[name]
    y = draw(rng)
    x = Value(rng.standard_normal((5, 4)).astype(dtype))
    value = loss(x, y if y.dtype.kind == "i" else y.astype(dtype))
    value.backward()
    assert value.dtype == x.grad.dtype == dtype and value.shape == ()


def test_large_numbers_do_not_overflow() -> None:
    x = Value(np.array([[1e4, -1e4], [-1e4, 1e4]]))
    for loss, expected in [
        (nn.bce_with_logits(x, np.array([[1, 0], [1, 0]])), 5e3),
        (nn.cross_entropy(x, [0, 0]), 1e4),
        (nn.cross_entropy(x, [0, 0], label_smoothing=0.5), 1e4),
        (nn.huber(x, np.zeros((2, 2))), 1e4 - 0.5),
    ]:
        x.zero_grad()
        loss.backward()
        assert loss.item() == pytest.approx(expected) and np.isfinite(x.grad).all()


def test_classes_of_probability_zero_do_not_count() -> None:
    x = Value(np.array([[0.0, -np.inf]]))
    for loss in nn.cross_entropy(x, np.array([[1.0, 0.0]])), nn.kl_div(x, np.array([[1.0, 0.0]])):
        x.zero_grad()
        loss.backward()
        assert loss.item() == 0 and np.isfinite(x.grad).all()


def test_rows_that_are_all_ignored_cost_nothing() -> None:
    x = Value(np.ones((2, 3)))
    loss = nn.cross_entropy(x, [7, 7], ignore_index=7)
    loss.backward()
    assert loss.item() == 0 and not x.grad.any()


def test_the_edge_of_huber() -> None:
    x = Value(np.array([1.0, -1.0, 0.0, 2.0]))
    nn.huber(x, np.zeros(4)).backward()
    np.testing.assert_array_equal(x.grad * 4, [1, -1, 0, 1])


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: nn.bce_with_logits(np.ones((3, 1)), np.ones(3)), ValueError, r"bce_with_logits: logits has shape"),
        (lambda: nn.huber(np.ones(3), np.ones(4)), ValueError, r"huber: prediction has shape \(3,\), target \(4,\)"),
        (lambda: nn.huber(np.ones(3), np.ones(3), 0), ValueError, "huber: delta is 0"),
        (lambda: nn.kl_div(np.ones((0, 3)), np.ones((0, 3))), ValueError, "kl_div: .* at least one element"),
        (lambda: nn.cross_entropy(np.ones((2, 3)), [0, 1], 1.5), ValueError, "label_smoothing is 1.5"),
        (lambda: nn.cross_entropy(np.ones((2, 3)), [0, 5], 0.1), ValueError, r"labels\[1\] is 5"),
        (lambda: nn.cross_entropy(np.ones((2, 3)), [0, 5], ignore_index=4), ValueError, r"labels\[1\] is 5"),
        (lambda: nn.cross_entropy(np.ones((2, 3)), np.eye(3)[:2], ignore_index=1), ValueError, r"\(2,\) fits"),
        (lambda: nn.cross_entropy(np.ones((2, 3)), [0.0, 1.0]), OperandError, r"labels\.astype\(int\)"),
    ],
)
def test_wrong_arguments_are_refused(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_label_out_of_range_is_found_by_a_compiled_program() -> None:
    f, x = ad.jit(nn.cross_entropy, strict=True), np.zeros((2, 3))
    for _ in range(3):
        assert f(x, np.array([0, 2])) == pytest.approx(math.log(3))
    with pytest.raises(ValueError, match=r"labels\[1\] is 3"):
        f(x, np.array([0, 3]))
    assert f(x, np.array([1, 1])) == pytest.approx(math.log(3))
