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
    "mae": (nn.mae, lambda rng: rng.standard_normal((5, 4))),
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


@pytest.mark.parametrize("labels", [np.eye(4)[LABELS], np.eye(4, dtype=int)[LABELS]], ids=["float64", "int64"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"weight": np.ones(4)}], ids=str)
def test_labels_of_another_dtype_do_not_decide_that_of_the_loss(labels: Any, options: Any, rng: Any) -> None:
    x = rng.standard_normal((5, 4)).astype(np.float32)
    loss = nn.cross_entropy(x, labels, **options)
    assert loss.dtype == np.float32
    np.testing.assert_allclose(loss, nn.cross_entropy(x, LABELS, **options), rtol=1e-6)


def test_a_label_out_of_range_tells_of_ignore_index() -> None:
    with pytest.raises(ValueError, match=r"labels\[1\] is -100; .*, and ignore_index=-100 leaves such rows out"):
        nn.cross_entropy(np.zeros((2, 3)), [0, -100])


def test_options_are_named() -> None:
    with pytest.raises(TypeError):
        nn.cross_entropy(np.zeros((2, 3)), [0, 1], np.ones(3))  # PyTorch's third argument is the weight


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
        (lambda: nn.cross_entropy(np.ones((2, 3)), [0, 1], label_smoothing=1.5), ValueError, "label_smoothing is 1.5"),
        (lambda: nn.cross_entropy(np.ones((2, 3)), [0, 5], label_smoothing=0.1), ValueError, r"labels\[1\] is 5"),
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


# -- reductions and weights

WEIGHT = np.array([0.5, 2.0, 0.0, 1.5])
REDUCED: dict[str, Any] = {
    **{name: loss for name, (loss, _) in LOSSES.items()},
    "weighted": lambda x, y, **o: nn.cross_entropy(x, y, weight=WEIGHT, **o),
    "all": lambda x, y, **o: nn.cross_entropy(x, y, label_smoothing=0.3, ignore_index=1, weight=WEIGHT, **o),
    "soft, weighted": lambda x, y, **o: nn.cross_entropy(x, y, label_smoothing=0.3, weight=WEIGHT, **o),
    "pos_weight": lambda x, y, **o: nn.bce_with_logits(x, y, pos_weight=WEIGHT, **o),
}
DRAWN = {name: draw for name, (_, draw) in LOSSES.items()} | {
    "weighted": lambda rng: LABELS,
    "all": lambda rng: LABELS,
    "soft, weighted": probabilities,
    "pos_weight": lambda rng: rng.random((5, 4)),
}


@pytest.mark.parametrize("name", ["cross_entropy", "soft", "bce_with_logits", "kl_div", "mae", "mse", "pos_weight"])
def test_reductions_without_weights_are_of_the_same_numbers(name: str, rng: Any) -> None:
    loss, x, y = REDUCED[name], rng.standard_normal((5, 4)), DRAWN[name](rng)
    each = loss(x, y, reduction="none")
    assert each.shape == ((5, 4) if name in ("bce_with_logits", "mae", "mse", "pos_weight") else (5,))
    np.testing.assert_allclose(loss(x, y, reduction="sum"), each.sum(), rtol=1e-12)
    np.testing.assert_allclose(loss(x, y), each.mean(), rtol=1e-12)


def test_weights_by_their_formulas(rng: Any) -> None:
    x, t = rng.standard_normal((5, 4)), probabilities(rng)
    logp, w = ad.log_softmax(x), WEIGHT[LABELS]
    rows = np.arange(5)
    each = -w * logp[rows, LABELS]
    np.testing.assert_allclose(nn.cross_entropy(x, LABELS, weight=WEIGHT, reduction="none"), each, rtol=1e-12)
    np.testing.assert_allclose(nn.cross_entropy(x, LABELS, weight=WEIGHT), each.sum() / w.sum(), rtol=1e-12)
    kept = LABELS != 1
    smooth = 0.7 * each - 0.3 * (WEIGHT * logp).mean(1)
    np.testing.assert_allclose(REDUCED["all"](x, LABELS), smooth[kept].sum() / w[kept].sum(), rtol=1e-12)
    soft = -(WEIGHT * (0.7 * t + 0.3 / 4) * logp).sum(1)
    np.testing.assert_allclose(REDUCED["soft, weighted"](x, t, reduction="none"), soft, rtol=1e-12)
    p = 1 / (1 + np.exp(-x))
    positive = -WEIGHT * t * np.log(p) - (1 - t) * np.log(1 - p)
    np.testing.assert_allclose(REDUCED["pos_weight"](x, t, reduction="none"), positive, rtol=1e-10)
    everywhere = np.full((2, 3), 2)
    assert nn.cross_entropy(np.zeros((2, 3, 4)), everywhere, weight=WEIGHT) == 0  # whose weight is 0


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["weighted", "all", "soft, weighted", "pos_weight"])
def test_weights_as_pytorch_has_them(name: str, reduction: str, rng: Any) -> None:
    torch = pytest.importorskip("torch")
    x, y = rng.standard_normal((5, 4)), DRAWN[name](rng)
    options = {"all": {"label_smoothing": 0.3, "ignore_index": 1}, "soft, weighted": {"label_smoothing": 0.3}}
    given = torch.tensor(x, requires_grad=True), torch.tensor(y)
    if name == "pos_weight":
        of = torch.nn.functional.binary_cross_entropy_with_logits
        theirs = of(*given, pos_weight=torch.tensor(WEIGHT), reduction=reduction)
    else:
        weight = torch.tensor(WEIGHT)
        theirs = torch.nn.functional.cross_entropy(*given, weight, reduction=reduction, **options.get(name, {}))
    v = Value(x)
    ours = REDUCED[name](v, y, reduction=reduction)
    np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-12)
    ours.sum().backward()
    theirs.sum().backward()
    np.testing.assert_allclose(v.grad, given[0].grad.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["weighted", "all", "soft, weighted", "pos_weight"])
def test_weighted_losses_under_transforms(name: str, rng: Any) -> None:
    loss, x, y = REDUCED[name], rng.standard_normal((5, 4)), DRAWN[name](rng)
    ad.check_grads(lambda x: loss(x, y), x, order=2)
    jitted = ad.jit(ad.grad(loss), strict=True)
    for _ in range(2):
        np.testing.assert_allclose(jitted(x, y), ad.grad(loss)(x, y), rtol=1e-12, atol=1e-14)
    xs, ys = np.stack([x, x + 1]), np.stack([y, y])
    np.testing.assert_allclose(ad.vmap(loss)(xs, ys), [loss(x, y) for x, y in zip(xs, ys, strict=True)], rtol=1e-12)
    assert loss(x.astype("f4"), y.astype("f4") if y.dtype == float else y).dtype == np.float32


def test_wrong_reductions_and_weights_are_named() -> None:
    x = np.zeros((2, 3))
    for call in (
        lambda: nn.cross_entropy(x, [0, 1], reduction="avg"),
        lambda: nn.cross_entropy(x, x, reduction="avg"),
        lambda: nn.bce_with_logits(x, x, reduction="avg"),
        lambda: nn.huber(x, x, reduction="avg"),
        lambda: nn.kl_div(x, x, reduction="avg"),
        lambda: nn.mae(x, x, reduction="avg"),
        lambda: nn.mse(x, x, reduction="avg"),
    ):
        with pytest.raises(ValueError, match=r"""reduction is 'avg'; it has to be "mean", "sum" or "none\""""):
            call()
    with pytest.raises(ValueError, match=r"cross_entropy: weight has shape \(2,\)"):
        nn.cross_entropy(x, [0, 1], weight=[1.0, 2.0])


def test_one_example(rng: Any) -> None:
    x = rng.standard_normal(4)
    for y, options in ((2, {}), (2, {"weight": WEIGHT}), (probabilities(rng)[0], {}), (1, {"label_smoothing": 0.2})):
        one = nn.cross_entropy(x, y, **options)
        np.testing.assert_allclose(one, nn.cross_entropy(x[None], np.array(y)[None], **options), rtol=1e-14)
        assert np.shape(nn.cross_entropy(x, y, reduction="none", **options)) == ()
    with pytest.raises(ValueError, match=r"cross_entropy: labels have shape \(1,\), logits \(4,\); \(\) fits"):
        nn.cross_entropy(x, [2])


def test_gradients_of_each_example_by_vmap(rng: Any) -> None:
    w, x = rng.standard_normal((3, 4)), rng.standard_normal((5, 3))
    gradient = ad.grad(lambda w, x, y: nn.cross_entropy(x @ w, y))
    each = ad.vmap(gradient, in_axes=(None, 0, 0))(w, x, LABELS)
    np.testing.assert_allclose(each, [gradient(w, a, b) for a, b in zip(x, LABELS, strict=True)], rtol=1e-12)
    np.testing.assert_allclose(each.mean(0), gradient(w, x, LABELS), rtol=1e-12)
