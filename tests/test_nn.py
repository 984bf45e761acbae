"""Modules find their parameters, layers and losses compute what they say, and wrong input is refused."""

from __future__ import annotations

import copy
import pickle
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import autodiff as ad
from autodiff import OperandError, Value, nn


class Everything(nn.Module):
    """One of each way to keep a Value."""

    def __init__(self) -> None:
        self.scale = Value(2.0)
        self.blocks = [nn.Linear(2, 3, rng=0), (nn.Linear(3, 2, bias=False, rng=1), np.tanh)]
        self.heads = {"a": nn.Linear(2, 1, rng=2), "b": Value([1.0, 2.0])}
        self.again = self.blocks[0]
        self.running = Value([0.0], requires_grad=False)
        self.size, self.note, self.nothing = 3, "text", None
        self.array = np.ones(3)

    def forward(self, x: Any) -> Any:
        return x * self.scale


NAMES = ["scale", "blocks.0.weight", "blocks.0.bias", "blocks.1.0.weight", "heads.a.weight", "heads.a.bias", "heads.b"]


def mlp(*sizes: int, seed: int = 0, dtype: Any = float) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    layers: list[Any] = []
    for i in range(len(sizes) - 1):
        layers += [nn.Linear(sizes[i], sizes[i + 1], rng=rng, dtype=dtype), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


# -- Module


def test_parameters_are_found_and_named() -> None:
    model = Everything()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert all(a is b for a, (_, b) in zip(model.parameters(), model.named_parameters(), strict=True))
    assert [type(m).__name__ for m in model.modules()] == ["Everything", "Linear", "Linear", "Linear"]
    assert [name for name, _ in nn.Sequential(nn.Linear(1, 1), Everything()).named_parameters()] == [
        "0.weight",
        "0.bias",
        *("1." + name for name in NAMES),
    ]


def test_only_variables_are_parameters() -> None:
    model = Everything()
    model.hidden = model.scale * 2  # a result kept for later looks
    model.scale.requires_grad = False
    assert [name for name, _ in model.named_parameters()] == NAMES[1:]
    assert list(model.state_dict()) == [*NAMES, "running"]
    model.late = Value(1.0)
    assert model.parameters()[-1] is model.late


def test_a_shared_parameter_is_listed_once() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    assert [name for name, _ in nn.Sequential(first, second).named_parameters()] == ["0.weight", "0.bias", "1.bias"]


def test_modules_that_contain_each_other() -> None:
    inner, outer = nn.Sequential(nn.Linear(2, 2)), Everything()
    outer.inner, inner.outer = inner, outer
    assert len(outer.parameters()) == len(NAMES) + 2
    assert len(outer.modules()) == 6
    assert "..." in repr(outer)


def test_zero_grad() -> None:
    model = mlp(3, 4, 2)
    model(np.ones((5, 3))).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_train_and_eval_reach_everything() -> None:
    model = Everything()
    assert model.training
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    assert model.train() is model
    assert all(m.training for m in model.modules())


def test_a_module_without_forward_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"Module needs a method forward\(self"):
        nn.Module()(1.0)


def test_repr() -> None:
    assert repr(Everything()) == (
        "Everything(\n"
        "  (scale): float64[]\n"
        "  (blocks): list(\n"
        "    (0): Linear(2, 3)\n"
        "    (1): tuple(\n"
        "      (0): Linear(3, 2, bias=False)\n"
        "      (1): tanh\n"
        "    )\n"
        "  )\n"
        "  (heads): dict(\n"
        "    (a): Linear(2, 1)\n"
        "    (b): float64[2]\n"
        "  )\n"
        "  (again): Linear(2, 3)\n"
        "  (running): float64[1]\n"
        ")"
    )
    assert repr(nn.Sequential(nn.Linear(2, 1), nn.ReLU())) == "Sequential(\n  (0): Linear(2, 1)\n  (1): ReLU()\n)"


def test_a_model_is_freed_without_the_collector() -> None:
    model = mlp(3, 4, 2)
    model(np.ones((5, 3))).sum().backward()
    gone = weakref.ref(model)
    del model
    assert gone() is None


def test_copies_and_pickles_are_independent() -> None:
    model, x = mlp(3, 4, 2), np.ones((5, 3))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other(x).data, model(x).data)
        assert not {*map(id, other.parameters())} & {*map(id, model.parameters())}
    tied = nn.Sequential(model, model)
    assert len(copy.deepcopy(tied).parameters()) == 4


# -- state_dict


def test_state_goes_to_a_file_and_back(tmp_path: Path) -> None:
    model, other = mlp(3, 4, 2, seed=0), mlp(3, 4, 2, seed=1)
    np.savez(tmp_path / "model.npz", **model.state_dict())
    with np.load(tmp_path / "model.npz") as state:
        other.load_state_dict(state)
    np.testing.assert_array_equal(other(np.ones((5, 3))).data, model(np.ones((5, 3))).data)


def test_state_is_a_copy_in_both_directions() -> None:
    model = mlp(3, 4, 2)
    before = model[0].weight.data.copy()
    state = model.state_dict()
    state["0.weight"] += 1
    np.testing.assert_array_equal(model[0].weight.data, before)
    model.load_state_dict(state)
    state["0.weight"] += 1
    np.testing.assert_array_equal(model[0].weight.data, before + 1)


def test_loading_casts_and_takes_values_and_lists() -> None:
    model = nn.Linear(1, 2, dtype=np.float32)
    model.load_state_dict({"weight": [[1, 2]], "bias": Value([3.0, 4.0])})
    assert model.weight.dtype == model.bias.dtype == np.float32
    assert model.weight.data.tolist() == [[1, 2]] and model.bias.data.tolist() == [3, 4]
    assert model.weight.requires_grad


def test_loading_leaves_a_recorded_graph_alone() -> None:
    model = mlp(3, 4, 2)
    loss = (model(np.ones((5, 3))) ** 2).sum()
    loss.backward(retain_graph=True)
    first = [p.grad for p in model.parameters()]
    model.load_state_dict({name: 0 * array for name, array in model.state_dict().items()})
    model.zero_grad()
    loss.backward()
    for p, g in zip(model.parameters(), first, strict=True):
        np.testing.assert_array_equal(p.grad, g)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"bias": None}, "bias is missing"),
        ({"extra": np.ones(1)}, "extra is unexpected"),
        ({"weight": np.ones((2, 3))}, r"weight has shape \(2, 3\) instead of \(3, 2\)"),
        ({"weight": np.ones((3, 2)) * 1j}, "weight has dtype complex128, which does not fit float64"),
        ({"weight": np.full((3, 2), "a")}, "weight has dtype <U1"),
        ({"bias": None, "extra": 1}, "bias is missing; extra is unexpected"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change: dict[str, Any], message: str) -> None:
    model = nn.Linear(3, 2, rng=0)
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()} | change
    with pytest.raises(ValueError, match="Linear.load_state_dict: " + message):
        model.load_state_dict({name: array for name, array in state.items() if array is not None})
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_two_entries_of_the_same_name_are_refused() -> None:
    model = Everything()
    model.heads = {1: Value(1.0), "1": Value(2.0)}
    with pytest.raises(ValueError, match=r"two entries are named 'heads\.1'"):
        model.state_dict()


# -- layers


def test_linear_is_a_product_and_a_sum(rng: np.random.Generator) -> None:
    layer = nn.Linear(3, 2, rng=rng)
    x = rng.standard_normal((5, 4, 3))
    assert layer.weight.shape == (3, 2) and layer.bias is not None and layer.bias.shape == (2,)
    layer.bias.data = np.array([1.0, 2.0])
    np.testing.assert_array_equal(layer(x).data, x @ layer.weight.data + layer.bias.data)
    assert layer(x[0, 0]).shape == (2,) and layer([1.0, 2.0, 3.0]).shape == (2,)
    assert nn.Linear(3, 2, bias=False).bias is None
    ad.check_grads(lambda x, w, b: x @ w + b, x, layer.weight.data, layer.bias.data)


def test_linear_starts_as_he_says_and_reproducibly() -> None:
    layer = nn.Linear(600, 400, rng=0)
    bound = (6 / 600) ** 0.5
    assert np.abs(layer.weight.data).max() <= bound
    np.testing.assert_allclose(layer.weight.data.var(), 2 / 600, rtol=0.01)
    assert layer.bias is not None and not layer.bias.data.any()
    np.testing.assert_array_equal(nn.Linear(600, 400, rng=np.random.default_rng(0)).weight.data, layer.weight.data)
    assert (nn.Linear(3, 2).weight.data != nn.Linear(3, 2).weight.data).all()


def test_float32_stays_float32() -> None:
    model, x = mlp(3, 4, 2, dtype=np.float32), np.ones((5, 3), np.float32)
    loss = nn.cross_entropy(model(x), np.zeros(5, int))
    loss.backward()
    assert loss.dtype == np.float32
    assert all(p.dtype == p.grad.dtype == np.float32 for p in model.parameters())


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (-1, 2)])
def test_linear_refuses_sizes_below_one(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="Linear: sizes"):
        nn.Linear(*sizes)


@pytest.mark.parametrize("x", [np.ones((3, 4)), np.ones(2), 1.0, Value(np.ones((3, 1)))], ids=["4", "2", "0-d", "1"])
def test_linear_refuses_an_input_of_another_width(x: Any) -> None:
    with pytest.raises(ValueError, match=r"Linear\(3, 2\): the input's last axis has to be 3 long, got shape"):
        nn.Linear(3, 2)(x)


def test_linear_refuses_other_dtypes_and_sizes_that_are_no_integers() -> None:
    with pytest.raises(TypeError):
        nn.Linear(3, 2, dtype=int)
    with pytest.raises(TypeError):
        nn.Linear(3.0, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "layer, f",
    [
        (nn.ReLU(), ad.relu),
        (nn.Tanh(), np.tanh),
        (nn.Sigmoid(), ad.sigmoid),
        (nn.GELU(), ad.gelu),
        (nn.GELU("tanh"), lambda x: ad.gelu(x, "tanh")),
    ],
)
def test_activations(layer: nn.Module, f: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4))
    v = Value(x)
    out = layer(v)
    np.testing.assert_array_equal(out.data, f(x))
    np.testing.assert_array_equal(layer(x), f(x))
    out.sum().backward()
    np.testing.assert_array_equal(v.grad, ad.grad(lambda x: f(x).sum())(x))
    assert layer.parameters() == []


def test_sequential_is_a_sequence() -> None:
    first, last = nn.Linear(3, 4), nn.Linear(4, 2)
    model = nn.Sequential(first, np.tanh, last)
    assert len(model) == 3 and list(model) == [first, np.tanh, last]
    assert model[0] is first and model[-1] is last
    assert isinstance(model[:2], nn.Sequential) and list(model[:2]) == [first, np.tanh]
    assert model[1:].parameters() == last.parameters()
    x = np.ones((5, 3))
    np.testing.assert_array_equal(model(x).data, last(np.tanh(first(x))).data)
    assert nn.Sequential()(x) is x
    with pytest.raises(IndexError):
        model[3]
    with pytest.raises(TypeError, match="Sequential: layer 1 is a float"):
        nn.Sequential(first, 1.0)  # type: ignore[arg-type]


# -- losses


def reference(logits: np.ndarray, labels: np.ndarray) -> float:
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(-np.mean([logp[i, k] for i, k in enumerate(labels)]))


@pytest.mark.parametrize("kind", [int, np.uint8, np.int32, list, Value])
def test_cross_entropy_with_classes(kind: Any, rng: np.random.Generator) -> None:
    logits, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    given = {list: labels.tolist, Value: lambda: Value(labels, requires_grad=False)}.get(
        kind, lambda: labels.astype(kind)
    )()
    loss = nn.cross_entropy(Value(logits), given)
    assert loss.shape == ()
    np.testing.assert_allclose(loss.data, reference(logits, labels), rtol=1e-14)
    np.testing.assert_allclose(nn.cross_entropy(logits, given), loss.data, rtol=1e-15)


def test_losses_take_columns_of_tables() -> None:
    table = pandas.DataFrame({"x": [1.0, 2.0], "label": [1, 0]}, index=[7, 3])
    logits = np.array([[0.0, 2.0], [1.0, 0.0]])
    assert nn.cross_entropy(Value(logits), table["label"]).item() == nn.cross_entropy(logits, [1, 0])
    assert nn.mse(Value([1.0, 4.0]), table["x"]).item() == 2


def test_cross_entropy_with_probabilities(rng: np.random.Generator) -> None:
    logits, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    one_hot = np.eye(4)[labels]
    np.testing.assert_allclose(nn.cross_entropy(logits, one_hot), nn.cross_entropy(logits, labels), rtol=1e-14)
    np.testing.assert_allclose(nn.cross_entropy(logits, one_hot.astype(int)), nn.cross_entropy(logits, labels))
    ad.check_grads(lambda x, q: nn.cross_entropy(x, ad.softmax(q)), logits, rng.standard_normal((6, 4)))
    masked = np.array([[0.0, -np.inf, 1.0]])
    x = Value(masked)
    nn.cross_entropy(x, np.array([[0.5, 0.0, 0.5]])).backward()
    assert np.isfinite(x.grad).all()


def test_the_gradient_of_cross_entropy(rng: np.random.Generator) -> None:
    logits, labels = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    x = Value(logits)
    nn.cross_entropy(x, labels).backward()
    np.testing.assert_allclose(x.grad, (ad.softmax(logits) - np.eye(4)[labels]) / 6, atol=1e-16)
    ad.check_grads(lambda x: nn.cross_entropy(x, labels), logits, order=2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_is_stable(dtype: Any) -> None:
    x = Value(np.array([[1e4, 0, -1e4], [-1e4, -1e4, -1e4], [1e4, 1e4 - 1, -np.inf]], dtype))
    labels = np.array([1, 0, 1])
    loss = nn.cross_entropy(x, labels)
    loss.backward()
    expected = (1e4 + np.log(3) + 1 + np.log1p(np.exp(-1))) / 3
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-6)
    p = np.exp(-1) / (1 + np.exp(-1))
    np.testing.assert_allclose(
        x.grad * 3, [[1, -1, 0], [-2 / 3, 1 / 3, 1 / 3], [1 - p, p - 1, 0]], rtol=2e-6, atol=1e-12
    )
    assert x.grad.dtype == dtype


@pytest.mark.parametrize(
    "logits, labels, error, message",
    [
        (np.ones(3), [0], ValueError, r"labels have shape \(1,\), logits \(3,\)"),
        (np.ones((2, 3, 4)), [0, 1], ValueError, r"labels have shape \(2,\)"),
        (np.ones((0, 3)), np.zeros(0, int), ValueError, r"logits have shape \(0, 3\)"),
        (np.ones((2, 3)), [0, 1, 2], ValueError, r"labels have shape \(3,\)"),
        (np.ones((2, 3)), 1, ValueError, r"labels have shape \(\)"),
        (np.ones((2, 3)), [[0], [1]], ValueError, r"labels have shape \(2, 1\)"),
        (np.ones((2, 3)), [0, 3], ValueError, r"labels\[1\] is 3"),
        (np.ones((2, 3)), [-1, 0], ValueError, r"labels\[0\] is -1"),
        (np.ones((2, 3)), [0.0, 1.0], OperandError, r"labels are float64, .* labels\.astype\(int\)"),
        (np.ones((2, 3)), [True, False], OperandError, "labels are bool"),
        (np.ones((2, 3)), ["a", "b"], OperandError, "labels are <U1"),
    ],
)
def test_cross_entropy_refuses(logits: Any, labels: Any, error: Any, message: str) -> None:
    for x in (logits, Value(logits)):
        with pytest.raises(error, match="cross_entropy: " + message):
            nn.cross_entropy(x, labels)


def test_mse(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 5, 3))
    np.testing.assert_allclose(nn.mse(x, y), ((x - y) ** 2).mean(), rtol=1e-15)
    np.testing.assert_allclose(nn.mse(Value(x), y).data, nn.mse(x, y))
    ad.check_grads(nn.mse, x, y)
    assert nn.mse(Value(np.ones(3, np.float32)), [1, 2, 3]).dtype == np.float32
    assert nn.mse(np.uint8([0, 255]), np.uint8([255, 0])) == 255**2
    assert nn.mse(2.0, 4.0) == 4
    z = Value(np.array([1 + 2j, 3.0]))
    loss = nn.mse(z, np.zeros(2))
    loss.backward()
    assert loss.item() == 7 and loss.dtype == np.float64
    np.testing.assert_allclose(z.grad, z.data)


@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((3,), ()), ((0,), (0,))], ids=str)
def test_mse_refuses_other_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="mse: prediction has shape"):
        nn.mse(*map(np.ones, shapes))


def test_losses_do_not_lose_gradients_of_lists() -> None:
    with pytest.raises(TypeError, match="plain array"):
        nn.mse([Value(1.0), Value(2.0)], np.ones(2))


# -- together


def test_a_small_network_learns_xor() -> None:
    from autodiff import optim

    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
    labels = np.array([0, 1, 1, 0])
    model = mlp(2, 8, 2)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01
    with ad.no_grad():
        assert (model(x).data.argmax(axis=1) == labels).all()


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q"]))
