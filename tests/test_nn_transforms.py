"""Every layer under every transform, of any dtype, on batches of one and of none, and what it says of wrong input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import OperandError, Value, nn


def take(*shape: int) -> Callable[[np.random.Generator], Any]:
    return lambda rng: rng.standard_normal(shape)


Make = Callable[[Any], Any]
LAYERS: dict[str, tuple[Make, Callable[[np.random.Generator], Any]]] = {
    "Linear": (lambda d: nn.Linear(3, 2, dtype=d, rng=0), take(4, 3)),
    "Conv1d": (lambda d: nn.Conv1d(3, 2, 2, padding="same", dtype=d, rng=0), take(4, 3, 5)),
    "Conv2d": (lambda d: nn.Conv2d(4, 4, 2, stride=2, groups=2, dtype=d, rng=0), take(4, 4, 5, 4)),
    "MaxPool2d": (lambda d: nn.MaxPool2d(2), take(4, 3, 5, 4)),
    "MaxPool": (lambda d: nn.MaxPool((2, 1, 2)), take(4, 3, 5, 4)),
    "MaxPool1d": (lambda d: nn.MaxPool1d(2, padding=1, ceil_mode=True), take(4, 3, 5)),
    "AvgPool2d": (lambda d: nn.AvgPool2d(2, padding=1), take(4, 3, 5, 4)),
    "AvgPool1d": (lambda d: nn.AvgPool1d(2), take(4, 3, 5)),
    "AvgPool": (lambda d: nn.AvgPool((3, 2), 2, 1, ceil_mode=True, count_include_pad=False), take(4, 3, 5, 4)),
    "BatchNorm": (lambda d: nn.BatchNorm(3, dtype=d), take(4, 3, 5)),
    "LayerNorm": (lambda d: nn.LayerNorm(3, dtype=d), take(4, 3)),
    "RMSNorm": (lambda d: nn.RMSNorm((2, 3), eps=np.float64(1e-6), dtype=d), take(4, 2, 3)),
    "GroupNorm": (lambda d: nn.GroupNorm(2, 4, dtype=d), take(4, 4, 3)),
    "Dropout": (lambda d: nn.Dropout(0.3, rng=0), take(4, 3)),
    "Flatten": (lambda d: nn.Flatten(), take(4, 3, 2)),
    "Embedding": (lambda d: nn.Embedding(5, 3, dtype=d, rng=0), lambda rng: rng.integers(0, 5, (4, 2))),
    "RNN": (lambda d: nn.RNN(3, 2, dtype=d, rng=0), take(4, 3, 3)),
    "GRU": (lambda d: nn.GRU(3, 2, num_layers=2, dropout=0.2, dtype=d, rng=0), take(4, 3, 3)),
    "LSTM": (lambda d: nn.LSTM(3, 2, bidirectional=True, dtype=d, rng=0), take(4, 3, 3)),
    "MultiHeadAttention": (lambda d: nn.MultiHeadAttention(4, 2, 0.1, dtype=d, rng=0), take(4, 3, 4)),
    "TransformerBlock": (lambda d: nn.TransformerBlock(4, 2, 6, 0.1, causal=True, dtype=d, rng=0), take(4, 3, 4)),
    "ReLU": (lambda d: nn.ReLU(), take(4, 3)),
    "Tanh": (lambda d: nn.Tanh(), take(4, 3)),
    "Sigmoid": (lambda d: nn.Sigmoid(), take(4, 3)),
    "GELU": (lambda d: nn.GELU(), take(4, 3)),
    "SiLU": (lambda d: nn.SiLU(), take(4, 3)),
    "LeakyReLU": (lambda d: nn.LeakyReLU(0.1), take(4, 3)),
    "Softplus": (lambda d: nn.Softplus(), take(4, 3)),
    "Softmax": (lambda d: nn.Softmax(), take(4, 3)),
    "Sequential": (
        lambda d: nn.Sequential(nn.Linear(3, 4, dtype=d, rng=0), nn.Tanh(), nn.Linear(4, 2, dtype=d, rng=1)),
        take(4, 3),
    ),
}
DIFFERENT_IN_TRAINING = {"BatchNorm", "Dropout", "GRU", "MultiHeadAttention", "TransformerBlock"}
every_layer = pytest.mark.parametrize("name", LAYERS)


def first(y: Any) -> Any:
    """A layer's output without the state that recurrent ones also return."""
    return y[0] if isinstance(y, tuple) else y


def made(name: str, rng: np.random.Generator, training: bool = False, dtype: Any = np.float64) -> tuple[Any, Any]:
    """A layer and an input, both of the dtype, and weights that are not the first ones."""
    make, draw = LAYERS[name]
    layer, x = make(dtype).train(training), draw(rng)
    for p in layer.parameters():
        p.data = (p.data + 0.3 * rng.standard_normal(p.shape)).astype(dtype)
    return layer, x if x.dtype.kind == "i" else x.astype(dtype)


def energy(layer: Any, x: Any) -> Any:
    y = first(layer(x))
    return (y**3 + y).sum()


def array(y: Any) -> Any:
    return y.data if isinstance(y, Value) else y


def arrays(layer: Any) -> list[Any]:
    return [array(p) for p in layer.parameters()]


def close(found: Any, expected: Any) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_every_layer_is_here() -> None:
    layers = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)} - {"Module"}
    assert layers == set(LAYERS)


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(name: str, dtype: Any, rng: Any) -> None:
    for training in False, True:
        layer, x = made(name, rng, training, dtype)
        v = Value(x, requires_grad=x.dtype.kind == "f")
        energy(layer, v).backward()
        assert first(layer(x)).dtype == dtype
        assert all(p.grad.dtype == dtype for p in layer.parameters())
        assert v.grad is None or v.grad.dtype == dtype
        assert all(array.dtype == dtype for array in layer.state_dict().values())


@every_layer
def test_grad_and_backward_agree(name: str, rng: Any) -> None:
    layer, x = made(name, rng)
    v = Value(x, requires_grad=x.dtype.kind == "f")
    energy(layer, v).backward()
    close(arrays(ad.grad(energy)(layer, x)), [p.grad for p in layer.parameters()])
    if v.requires_grad:
        weights = arrays(layer)
        close([ad.grad(lambda x: energy(with_weights(layer, weights), x))(x)], [v.grad])


@every_layer
def test_gradients_are_those_of_differences(name: str, rng: Any) -> None:
    layer, x = made(name, rng)
    weights = arrays(layer)

    def of_weights(*weights: Any) -> Any:
        return energy(with_weights(layer, weights), x)

    if weights:
        ad.check_grads(of_weights, *weights, order=1)
    if x.dtype.kind == "f":
        ad.check_grads(lambda x: energy(with_weights(layer, weights), x), x, order=2)


def with_weights(layer: Any, weights: Any) -> Any:
    """The layer as a function of its weights."""
    return layer._tree_open(result=False)[2]([*weights])


@every_layer
@pytest.mark.parametrize("training", [False, True], ids=["eval", "training"])
def test_jit_of_a_step(name: str, training: bool, rng: Any) -> None:
    """The same outputs and gradients, and the same running averages and draws, call after call."""
    (layer, x), (other, _) = made(name, rng, training), LAYERS[name]
    other = LAYERS[name][0](np.float64).train(training)
    other.load_state_dict(layer.state_dict())

    def step(model: Any, x: Any) -> Any:
        model.zero_grad()
        loss = energy(model, x)
        if model.parameters():
            loss.backward()
        return loss

    compiled = ad.jit(lambda x: step(layer, x), strict=True)
    for _ in range(4):
        found, expected = compiled(x), step(other, x)
        close([array(found)], [array(expected)])
        close([p.grad for p in layer.parameters()], [p.grad for p in other.parameters()])
        close([*layer.state_dict().values()], [*other.state_dict().values()])
    assert compiled.cache_info().hits >= 2


@every_layer
def test_jit_of_a_gradient_of_the_layer(name: str, rng: Any) -> None:
    """With the layer as an argument, recorded once."""
    layer, x = made(name, rng)
    expected = arrays(ad.grad(energy)(layer, x))
    compiled = ad.jit(ad.grad(energy), strict=True)
    for _ in range(4):
        close(arrays(compiled(layer, x)), expected)
    assert compiled.cache_info().recordings == 1
    assert compiled.cache_info().hits == 3


@every_layer
def test_vmap_is_a_batch(name: str, rng: Any) -> None:
    layer, x = made(name, rng)
    with ad.no_grad():
        found = ad.vmap(lambda one: first(layer(one[None]))[0])(x)
        expected = first(layer(x))
    close([array(found)], [array(expected)])


@every_layer
def test_gradients_of_each_example(name: str, rng: Any) -> None:
    layer, x = made(name, rng)
    per_example = ad.vmap(ad.grad(lambda layer, one: energy(layer, one[None])), in_axes=(None, 0))
    found = arrays(per_example(layer, x))
    for i in range(len(x)):
        close([g[i] for g in found], arrays(ad.grad(energy)(layer, x[i : i + 1])))
    compiled = ad.jit(per_example, strict=True)
    for _ in range(3):
        close(arrays(compiled(layer, x)), found)


@every_layer
def test_hessian_vector_products(name: str, rng: Any) -> None:
    layer, x = made(name, rng)
    weights = arrays(layer)
    if x.dtype.kind == "f":
        v, f = rng.standard_normal(x.shape), lambda x: energy(with_weights(layer, weights), x)
        near = [ad.grad(f)(x + h * v) for h in (-1e-5, 1e-5)]
        np.testing.assert_allclose(ad.hvp(f)(x, v), (near[1] - near[0]) / 2e-5, rtol=1e-4, atol=1e-4)
    if weights:
        vs = [rng.standard_normal(w.shape) for w in weights]
        g = ad.grad(lambda weights: energy(with_weights(layer, weights), x))
        near = [g([w + h * v for w, v in zip(weights, vs, strict=True)]) for h in (-1e-5, 1e-5)]
        found = ad.hvp(lambda weights: energy(with_weights(layer, weights), x))(weights, vs)
        for a, lower, upper in zip(found, *near, strict=True):
            np.testing.assert_allclose(a, (upper - lower) / 2e-5, rtol=1e-4, atol=1e-4)


@every_layer
@pytest.mark.parametrize("count", [0, 1])
def test_batches_of_one_and_of_none(name: str, count: int, rng: Any) -> None:
    layer, x = made(name, rng)
    expected = first(layer(x))
    energy(layer, x[:count]).backward() if layer.parameters() else None
    found = first(layer(x[:count]))
    assert found.shape == (count, *expected.shape[1:])
    close([array(found)], [array(expected)[:count]])
    if not count:
        assert all(not p.grad.any() and p.grad.shape == p.shape for p in layer.parameters())


@every_layer
def test_lists_are_arrays(name: str, rng: Any) -> None:
    layer, x = made(name, rng)
    found, expected = first(layer(x.tolist())), first(layer(x))
    close([array(found)], [array(expected)])


@every_layer
@pytest.mark.parametrize("wrong", [np.full((4, 3), "a"), np.full((4, 3), None), None, "text"], ids=repr)
def test_what_is_no_array_of_numbers_is_refused(name: str, wrong: Any, rng: Any) -> None:
    layer, _ = made(name, rng, training=True)
    named = {"Dropout": "dropout", "TransformerBlock": "LayerNorm"}
    with pytest.raises((OperandError, TypeError), match=named.get(name, "Linear" if name == "Sequential" else name)):
        layer(wrong)


COMPLEX = {
    "Linear",
    "Conv1d",
    "Conv2d",
    "AvgPool",
    "AvgPool1d",
    "AvgPool2d",
    "Dropout",
    "Flatten",
    "Tanh",
    "Sequential",
    "Embedding",
}


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in COMPLEX])
def test_complex_numbers_are_refused_where_they_mean_nothing(name: str, rng: Any) -> None:
    layer, x = made(name, rng)
    with pytest.raises(OperandError, match=r"complex128; real numbers are needed: pass x\.real or abs\(x\)"):
        layer(x * 1j)


SHAPES: list[tuple[str, tuple[int, ...], str]] = [
    ("Linear", (4, 7), r"Linear\(3, 2\): the input's last axis has to be 3 long, got shape \(4, 7\)"),
    ("Conv1d", (4, 7, 5), r"Conv1d\(3, 2, .*\): images have shape \(4, 7, 5\); it has to be \(N, 3, length\)"),
    ("Conv2d", (4, 3, 5, 4), r"Conv2d\(4, 4, .*\): images have shape \(4, 3, 5, 4\)"),
    ("Conv2d", (4, 4, 1, 1), "conv: a kernel of .* does not fit into images"),
    ("MaxPool2d", (4, 3, 1, 1), "max_pool: a kernel of .* does not fit into images"),
    ("MaxPool2d", (3, 4), r"MaxPool2d\(2\): images have shape \(3, 4\); it has to be \(N, C, height, width\) or"),
    ("MaxPool1d", (1, 4, 3, 4), r"MaxPool1d\(2, .*\): images have shape \(1, 4, 3, 4\); it has to be \(N, C, length\)"),
    ("BatchNorm", (4, 7), r"BatchNorm\(3\): input has shape \(4, 7\); it has to be \(N, 3, ...\)"),
    ("BatchNorm", (3,), r"BatchNorm\(3\): input has shape \(3,\)"),
    ("LayerNorm", (4, 7), r"LayerNorm\(3\): input has shape \(4, 7\); its last axes have to be \(3,\)"),
    ("RMSNorm", (4, 3, 2), r"RMSNorm\(\(2, 3\), eps=1e-06\): input has shape \(4, 3, 2\)"),
    ("GroupNorm", (4, 7), r"GroupNorm\(2, 4\): input has shape \(4, 7\)"),
    ("Flatten", (), r"Flatten: input of shape \(\) has no axis 1"),
    ("RNN", (4, 3), r"RNN\(3, 2\): input has shape \(4, 3\); it has to be \(N, length, 3\)"),
    ("RNN", (4, 0, 3), r"RNN\(3, 2\): input has shape \(4, 0, 3\)"),
    ("LSTM", (4, 3, 7), r"LSTM\(3, 2, bidirectional=True\): input has shape \(4, 3, 7\)"),
    (
        "MultiHeadAttention",
        (3, 4),
        r"MultiHeadAttention\(4, 2, dropout=0.1\): input has shape \(3, 4\); .* \(N, length, 4\)",
    ),
]


@pytest.mark.parametrize("name, shape, message", SHAPES)
def test_other_shapes_are_refused(name: str, shape: tuple[int, ...], message: str, rng: Any) -> None:
    layer, _ = made(name, rng)
    for x in np.zeros(shape), Value(np.zeros(shape)):
        with pytest.raises(ValueError, match=message):
            layer(x)


def test_states_of_other_shapes_are_refused(rng: Any) -> None:
    lstm, x = made("LSTM", rng)
    for state in np.zeros((2, 4, 2)), (np.zeros((2, 4, 2)),), (np.zeros((1, 4, 2)), np.zeros((2, 4, 2))):
        with pytest.raises(ValueError, match=r"LSTM\(.*\): the state has shape .*; it has to be \(2, 4, 2\) and"):
            lstm(x, state)
    with pytest.raises(OperandError, match=r"RNN\(3, 2\): state: got"):
        nn.RNN(3, 2)(x, "state")


def attend(query: tuple[int, ...], key: tuple[int, ...], mask: tuple[int, ...] | None = None) -> Any:
    return nn.attention(*map(np.ones, (query, key, key)), mask=None if mask is None else np.ones(mask, bool))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.MaxPool2d(2, stride=0), "MaxPool2d: stride=0"),
        (lambda: nn.AvgPool1d(0), "AvgPool1d: kernel_size=0"),
        (lambda: nn.MaxPool2d((2, 2, 2)), r"MaxPool2d: kernel_size=\(2, 2, 2\)"),
        (lambda: nn.MaxPool1d(2, padding=2), "MaxPool1d: padding=2 is more than half of the kernel"),
        (lambda: nn.AvgPool2d(2, padding=2), "AvgPool2d: padding=2 is more than half of the kernel"),
        (lambda: nn.MaxPool(2), "MaxPool: kernel_size=2 does not say of how many axes; MaxPool1d and MaxPool2d do"),
        (lambda: nn.AvgPool(2), "AvgPool: kernel_size=2 does not say of how many axes; AvgPool1d and AvgPool2d do"),
        (lambda: nn.max_pool(np.ones((1, 1, 4, 4)), 2), "max_pool: kernel_size=2 does not say of how many axes"),
        (lambda: nn.avg_pool(np.ones((1, 1, 4, 4)), 2), "avg_pool: kernel_size=2 does not say of how many axes"),
        (lambda: nn.max_pool(np.ones((1, 4)), (2,), padding=2), "max_pool: padding=2 is more than half"),
        (lambda: nn.GELU("foo"), "GELU: approximate is 'foo'"),
        (lambda: nn.Embedding(3, 2, 3), r"Embedding: padding_idx is 3; 0\.\.2 fit"),
        (lambda: nn.LayerNorm(()), "LayerNorm: normalized_shape is empty"),
        (lambda: nn.Conv1d(3, 4, 2, groups=2), "Conv1d: groups=2 does not divide"),
        (lambda: nn.Conv2d(3, 4, 2, stride=0), "Conv2d: stride=0"),
        (lambda: nn.Conv2d(3, 4, 2, padding="full"), "Conv2d: padding='full'"),
        (lambda: nn.Conv2d(3, 4, (2, 2, 2)), "Conv2d: kernel_size="),
        (lambda: nn.GroupNorm(2, 3), "GroupNorm: 2 groups do not divide 3 channels"),
        (lambda: nn.LayerNorm((2, 0)), "LayerNorm: sizes"),
        (lambda: nn.BatchNorm(3)(np.ones((1, 3))), r"BatchNorm\(3\): .* training needs more than one number"),
        (lambda: nn.Dropout(1.1), "Dropout: p is 1.1"),
        (lambda: nn.LSTM(3, 2, dropout=np.nan), r"LSTM: dropout is nan"),
        (lambda: nn.MultiHeadAttention(4, 3), "MultiHeadAttention: 3 heads do not divide"),
        (lambda: nn.MultiHeadAttention(4, 2, 1.5), r"MultiHeadAttention: dropout is 1.5; it has to be in \[0, 1\]"),
        (lambda: nn.Embedding(3, 2)([0, 3]), r"Embedding\(3, 2\): a number is out of range; 0..2 fit"),
        (lambda: nn.Embedding(3, 2)([-1]), "out of range"),
        (lambda: nn.Conv2d(1, 1, 2, padding=((1, 2), 3)), r"Conv2d: padding=.* 2 pairs \(before, after\)"),
        (lambda: nn.Conv2d(1, 1, 2, padding=((1, 2), (3,))), r"Conv2d: padding=.* 2 pairs \(before, after\)"),
        (lambda: nn.Conv2d(1, 1, 2, padding=((1, 2), (0, -1))), r"Conv2d: padding=.* 2 pairs \(before, after\)"),
        (lambda: nn.LayerNorm(2, eps=-1), "LayerNorm: eps is -1"),
        (lambda: nn.RMSNorm(2, eps=np.nan), "RMSNorm: eps is nan"),
        (lambda: nn.BatchNorm(2, eps=-1), "BatchNorm: eps is -1"),
        (lambda: nn.GroupNorm(1, 2, eps=-1), "GroupNorm: eps is -1"),
        (lambda: attend((2, 5, 4), (3, 5, 4)), r"attention: query \(2, .* the axes before the last two have to be"),
        (lambda: attend((2, 5, 4), (2, 0, 4)), "attention: key has shape .* nothing to look at"),
        (lambda: attend((2, 5, 4), (2, 5, 4), (2, 7)), r"attention: mask has shape \(2, 7\); it has to be \(2, 5, 5\)"),
        (lambda: attend((5, 4), (5, 4), (3, 5, 5)), r"attention: mask has shape \(3, 5, 5\); it has to be \(5, 5\)"),
    ],
)
def test_wrong_options_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
def test_running_averages_under_vmap_are_of_all_examples(jitted: bool, rng: Any) -> None:
    layer, x = nn.BatchNorm(3), rng.standard_normal((2, 4, 5, 3)) + 1

    def outputs(x: Any) -> Any:
        with ad.no_grad():
            return ad.vmap(ad.vmap(layer))(x)

    f = ad.jit(outputs, strict=True) if jitted else outputs
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(3):
        f(x)
        mean = 0.9 * mean + 0.1 * x.mean(axis=2).mean(axis=(0, 1))
        var = 0.9 * var + 0.1 * x.var(axis=2, ddof=1).mean(axis=(0, 1))
        assert type(layer.running_mean.data) is np.ndarray
        close([layer.running_mean.data, layer.running_var.data], [mean, var])


def test_sizes_may_be_arrays(rng: Any) -> None:
    x, sizes = rng.standard_normal((1, 1, 6, 7)), np.array([2, 3])
    a = nn.Conv2d(1, 1, sizes, stride=sizes, padding=sizes - 1, dilation=sizes - 1, rng=0)
    b = nn.Conv2d(1, 1, (2, 3), stride=(2, 3), padding=(1, 2), dilation=(1, 2), rng=0)
    close([a(x).data], [b(x).data])
    found = nn.AvgPool(sizes, padding=np.array([[0, 1], [1, 0]]))(x)
    close([found], [nn.AvgPool2d((2, 3), padding=((0, 1), (1, 0)))(x)])
    assert nn.LayerNorm(sizes).weight.shape == nn.RMSNorm(sizes).weight.shape == (2, 3)


# -- labels, numbers and masks as arguments of transforms


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"ignore_index": 2}], ids=repr)
def test_gradients_of_each_example_with_its_label(options: dict[str, Any], rng: Any) -> None:
    layer, x, labels = nn.Linear(3, 4, rng=0), rng.standard_normal((5, 3)), np.array([0, 1, 2, 3, 1])

    def loss(layer: Any, x: Any, label: Any) -> Any:
        return nn.cross_entropy(layer(x[None]), label[None], **options)

    per_example = ad.vmap(ad.grad(loss), in_axes=(None, 0, 0))
    found = arrays(per_example(layer, x, labels))
    for i in range(5):
        close([g[i] for g in found], arrays(ad.grad(loss)(layer, x[i], labels[i])))
    compiled = ad.jit(per_example, strict=True)
    for _ in range(3):
        close(arrays(compiled(layer, x, labels)), found)
    with pytest.raises(ValueError, match=r"cross_entropy: a label is out of range; with 4 classes 0\.\.3 fit"):
        per_example(layer, x, labels + 1)


def test_embedded_numbers_are_looked_at_in_all_examples() -> None:
    layer = nn.Embedding(3, 2)
    with pytest.raises(ValueError, match=r"Embedding\(3, 2\): a number is out of range"):
        ad.vmap(layer)(np.array([0, 1, 3]))


@pytest.mark.parametrize("kind", [np.asarray, lambda mask: Value(mask, requires_grad=False)], ids=["array", "Value"])
def test_masks_may_be_arguments(kind: Any, rng: Any) -> None:
    layer, x = made("MultiHeadAttention", rng)
    mask = np.tri(3, dtype=bool)
    with ad.no_grad():
        expected = layer(x, causal=True).data
        compiled = ad.jit(lambda x, mask: layer(x, mask=mask), strict=True)
        for _ in range(3):
            close([compiled(x, kind(mask))], [expected])
        close([compiled(x, kind(np.ones((3, 3), bool)))], [layer(x).data])
        each = ad.vmap(lambda x, mask: layer(x[None], mask=mask)[0])(x, kind(np.stack([mask] * 4)))
    close([array(each)], [expected])
    with pytest.raises(TypeError, match="attention: mask has dtype float64; make it boolean"):
        layer(x, mask=kind(np.ones((3, 3))))
    assert layer(x, mask=mask.tolist()).shape == x.shape


# -- dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(p: float) -> None:
    y = nn.Dropout(p, rng=0)(np.ones(100_000))
    assert set(np.unique(y)) == {0.0, 1 / (1 - p)}
    assert abs((y == 0).mean() - p) < 0.01
    assert abs(y.mean() - 1) < 0.02 / (1 - p)


def test_dropout_draws_from_its_generator() -> None:
    rng, same = np.random.default_rng(3), np.random.default_rng(3)
    layer, x = nn.Dropout(0.4, rng=rng), np.arange(1.0, 7).reshape(2, 3)
    for _ in range(3):
        kept = same.random((2, 3), np.float32) >= 0.4
        np.testing.assert_array_equal(layer(x), x * kept / 0.6)
    assert rng.bit_generator.state == same.bit_generator.state
    before = rng.bit_generator.state
    assert layer.eval()(x) is x and rng.bit_generator.state == before


@pytest.mark.parametrize("dtype", [int, np.uint8, bool])
def test_dropout_of_integers_scales_too(dtype: Any) -> None:
    y = nn.Dropout(0.2, rng=0)(np.ones(50, dtype))
    assert y.dtype == np.float64 and set(y) == {0.0, 1.25}


def test_the_gradient_of_dropout_is_its_mask() -> None:
    layer, x = nn.Dropout(0.5, rng=0), Value(np.ones(50))
    y = layer(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)
