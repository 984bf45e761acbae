"""Options of layers: what they mean at their edges, how they are shown, and that none is mistaken for another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import Value, nn

both = pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# -- how they are shown

REPRS = {
    "GELU()": nn.GELU(),
    "GELU(approximate='tanh')": nn.GELU("tanh"),
    "LeakyReLU(negative_slope=0.3)": nn.LeakyReLU(0.3),
    "Softmax(axis=0)": nn.Softmax(0),
    "LSTM(3, 2)": nn.LSTM(3, 2),
    "LSTM(3, 2, num_layers=2, bias=False, dropout=0.5)": nn.LSTM(3, 2, 2, False, dropout=0.5),
    "BatchNorm(2, eps=0.1, momentum=0.5, affine=False)": nn.BatchNorm(2, 0.1, 0.5, False),
    "LayerNorm(3, bias=False)": nn.LayerNorm((3,), bias=False),
    "GroupNorm(1, 2, affine=False)": nn.GroupNorm(1, 2, affine=False),
    "RMSNorm((2, 3), eps=0.1)": nn.RMSNorm((2, 3), 0.1),
    "MultiHeadAttention(4, 2, dropout=0.1, bias=False)": nn.MultiHeadAttention(4, 2, 0.1, False),
    "Embedding(4, 2, padding_idx=3)": nn.Embedding(4, 2, -1),
    "Flatten(start_dim=2)": nn.Flatten(2),
    "MaxPool2d(2)": nn.MaxPool2d(2),
    "MaxPool2d((2, 3), stride=1, padding=1, dilation=2, ceil_mode=True)": nn.MaxPool2d((2, 3), 1, 1, 2, ceil_mode=True),
    "AvgPool((2, 2), count_include_pad=False)": nn.AvgPool((2, 2), count_include_pad=False),
    "Conv1d(1, 2, (3,), bias=False)": nn.Conv1d(1, 2, 3, bias=False),
}


@pytest.mark.parametrize("shown", REPRS)
def test_a_layer_is_shown_as_it_is_made(shown: str) -> None:
    assert repr(REPRS[shown]) == shown
    assert repr(eval("nn." + shown)) == shown


def test_sizes_that_are_arrays_are_shown() -> None:
    two = np.array([2, 1])
    for layer in nn.Conv2d(1, 1, 3, two, two), nn.MaxPool2d(3, two, two - 1), nn.AvgPool((3, 3), two, two - 1):
        assert "stride=" in repr(layer) and "padding=array(" in repr(layer)


def test_what_pytorch_has_in_other_places_is_named() -> None:
    x = np.ones((2, 3, 4))
    calls: list[Any] = [
        lambda: nn.attention(x, x, x, None, 0.1),
        lambda: nn.MultiHeadAttention(4, 2)(x, x, x, np.ones((2, 3), bool)),
        lambda: nn.TransformerBlock(4, 2, 8, 0.0, "relu"),
        lambda: nn.LSTM(3, 2, 1, True, True, 0.5),
        lambda: nn.LayerNorm(3, 1e-5, False),
        lambda: nn.MaxPool2d(2, 2, 0, 1, False, True),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="positional arguments"):
            call()


# -- pooling


@pytest.mark.parametrize("kind", [nn.MaxPool2d, nn.AvgPool2d])
def test_one_image_is_pooled_in_both_axes(kind: Any, rng: Any) -> None:
    x = rng.standard_normal((3, 6, 4))
    assert kind(2)(x).shape == (3, 3, 2)
    np.testing.assert_array_equal(kind(2)(x), kind(2)(x[None])[0])
    np.testing.assert_array_equal(ad.vmap(kind(2))(x[None]), kind(2)(x)[None])


# -- masks


@both
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_query_that_may_look_nowhere_gets_zeros(jitted: bool, dtype: Any, rng: Any) -> None:
    q, k, v = [rng.standard_normal((2, 3, 4)).astype(dtype) for _ in range(3)]
    mask, kept = np.array([[True, False, True], [False, False, False], [False, False, True]]), [0, 2]

    def loss(q: Any, k: Any, v: Any, mask: Any) -> Any:
        return (nn.attention(q, k, v, mask) ** 2).sum()

    gradient = ad.grad(loss, (0, 1, 2))
    f = ad.jit(gradient, strict=True) if jitted else gradient
    y = nn.attention(q, k, v, mask)
    assert y.dtype == dtype and not y[:, 1].any()
    close(y[:, kept], nn.attention(q[:, kept], k, v, mask[kept]))
    expected = gradient(q[:, kept], k, v, mask[kept])
    for _ in range(3):
        gq, gk, gv = f(q, k, v, mask)
        assert not gq[:, 1].any()
        for found, g in zip((gq[:, kept], gk, gv), expected, strict=True):
            close(found, g)
    assert not nn.attention(q, k, v, ~np.tri(3, dtype=bool), causal=True).any()


@pytest.mark.parametrize("heads", [2, 4])
def test_a_mask_of_three_axes_is_of_the_examples(heads: int, rng: Any) -> None:
    layer, x = nn.MultiHeadAttention(4, heads, rng=0), rng.standard_normal((2, 3, 4))
    mask = np.stack([np.tri(3, dtype=bool), np.ones((3, 3), bool)])
    found = layer(x, mask=mask).data
    close(found, np.concatenate([layer(x[i : i + 1], mask=mask[i]).data for i in (0, 1)]))
    close(found, layer(x, mask=mask[:, None]).data)
    with pytest.raises(ValueError, match=r"attention: mask has shape \(3, 1, 3, 3\)"):
        layer(x, mask=np.ones((3, 3, 3), bool))


@pytest.mark.parametrize("activation", ["relu", nn.ReLU], ids=["name", "class"])
def test_an_activation_is_a_layer(activation: Any) -> None:
    message = r"TransformerBlock: activation=.*; pass a layer, as nn\.ReLU\(\), or a function"
    with pytest.raises(TypeError, match=message):
        nn.TransformerBlock(4, 2, activation=activation)
    assert nn.TransformerBlock(4, 2, activation=ad.relu)(np.ones((1, 3, 4))).shape == (1, 3, 4)


# -- embedding


@both
def test_a_row_for_padding_is_not_learned(jitted: bool) -> None:
    layer, numbers = nn.Embedding(4, 2, 1, rng=0), np.array([[0, 1], [3, 1]])
    assert not layer.weight.data[1].any() and layer.weight.data[0].all()
    layer.weight.data = layer.weight.data + 1
    gradient: Any = ad.grad(lambda layer, numbers: (layer(numbers) ** 2).sum())
    f = ad.jit(gradient, strict=True) if jitted else gradient
    expected = 2 * layer.weight.data
    expected[1:3] = 0
    for _ in range(3):
        np.testing.assert_array_equal(layer(numbers).data, layer.weight.data[numbers])
        np.testing.assert_array_equal(f(layer, numbers).weight, expected)
    each = ad.vmap(gradient, in_axes=(None, 0))(layer, numbers).weight
    np.testing.assert_array_equal(each.sum(axis=0), expected)


# -- dropout


def test_all_may_be_left_out() -> None:
    layer, x = nn.Dropout(1.0, rng=0), Value(np.ones(5))
    y = layer(x)
    y.sum().backward()
    assert not y.data.any() and not x.grad.any() and layer.eval()(x) is x


@pytest.mark.parametrize("rng", [0, None])
def test_dropout_needs_a_generator(rng: Any) -> None:
    with pytest.raises(TypeError, match=r"dropout: rng is a .*; pass a Generator: np\.random\.default_rng\("):
        nn.dropout(np.ones(3), 0.5, rng)
