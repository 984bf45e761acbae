"""State: what was saved goes on to the same bits, and models of unusual shape are found, trained and loaded whole."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import OperandError, Value, nn, optim
from tests.test_nn_transforms import LAYERS, array, energy, first, made

every_layer = pytest.mark.parametrize("name", LAYERS)
both = pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])

GROUPED = "AdamW in groups"
OPTIMIZERS: dict[str, Callable[[list[Value]], optim.Optimizer]] = {
    "SGD": lambda ps: optim.SGD(ps, lr=0.01),
    "Nesterov": lambda ps: optim.SGD(ps, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda ps: optim.Adam(ps, lr=optim.one_cycle(0.1, 10)),
    GROUPED: lambda ps: optim.AdamW(
        [{"params": ps[::2], "weight_decay": 0.0, "lr": 0.01}, {"params": ps[1::2]}], lr=optim.cosine(0.1, 10)
    ),
    "RMSprop": lambda ps: optim.RMSprop(ps, momentum=0.5),
    "Adagrad": lambda ps: optim.Adagrad(ps),
    "Lion": lambda ps: optim.Lion(ps, lr=0.01, weight_decay=0.1),
}


def generators(model: nn.Module) -> dict[str, np.random.Generator]:
    found = [x for part in model.modules() for x in vars(part).values() if isinstance(x, np.random.Generator)]
    return {f"rng{i}": rng for i, rng in enumerate({id(rng): rng for rng in found}.values())}


def stepper(model: Any, optimizer: Any, loss_of: Callable[..., Any], jitted: bool) -> Callable[[Any], Any]:
    def step(x: Any) -> Any:
        loss = loss_of(model, x)
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm(optimizer.params, 1.0)
        optimizer.step()
        return loss

    if not jitted:
        return step
    optimizer.prepare()
    return ad.jit(step, strict=True)


def states(*parts: Any) -> list[Any]:
    return [array for part in parts for array in part.state_dict().values()]


def identical(a: list[Any], b: list[Any]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


# -- round trips


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_layer_comes_back_to_the_same_bits(name: str, dtype: Any, tmp_path: Path, rng: Any) -> None:
    layer, x = made(name, rng, training=True, dtype=dtype)
    layer(x)  # moves averages
    other = LAYERS[name][0](dtype)
    if layer.parameters():
        assert any(a.tobytes() != b.tobytes() for a, b in zip(states(layer), states(other), strict=True))
    other.load_state_dict(layer.state_dict())
    identical(states(other), states(layer))
    ad.save(tmp_path / "layer.safetensors", layer=layer, **generators(layer))
    again = LAYERS[name][0](dtype)
    assert ad.load(tmp_path / "layer.safetensors", layer=again, **generators(again)) == {}
    identical(states(again), states(layer))
    a, b = first(layer(x)), first(again(x))  # the same draws too
    identical([array(a)], [array(b)])


@every_layer
@both
def test_training_of_a_layer_goes_on_to_the_same_bits(name: str, jitted: bool, tmp_path: Path, rng: Any) -> None:
    layer, x = made(name, rng, training=True)
    if not layer.parameters():
        layer = nn.Sequential(nn.Linear(x.shape[-1], x.shape[-1], rng=0), layer)
    goes_on(layer, x, OPTIMIZERS["Adam"], jitted, tmp_path)


@pytest.mark.parametrize("name", OPTIMIZERS)
@both
def test_training_with_an_optimizer_goes_on_to_the_same_bits(name: str, jitted: bool, tmp_path: Path, rng: Any) -> None:
    layer, x = made("Sequential", rng, training=True)
    goes_on(layer, x, OPTIMIZERS[name], jitted, tmp_path)


def goes_on(model: Any, x: Any, make: Any, jitted: bool, tmp_path: Path) -> None:
    """Three steps from a file, in the same objects and in new ones, are three steps without an interruption."""
    path = tmp_path / "run.safetensors"
    optimizer = make(model.parameters())
    fresh = copy.deepcopy(model)
    resumed = make(fresh.parameters())
    step, again = (
        stepper(model, optimizer, energy, jitted),
        stepper(fresh, resumed, energy, jitted),
    )
    for _ in range(3):
        step(x)
        again(2 * x if x.dtype.kind == "f" else x[::-1].copy())  # somewhere else, and its program is made
    parts = {"model": model, "optimizer": optimizer, **generators(model)}
    ad.save(path, **parts)
    losses = [step(x) for _ in range(3)]
    expected = states(model, optimizer)
    others = {"model": fresh, "optimizer": resumed, **generators(fresh)}
    for move, objects in (step, parts), (again, others):
        assert ad.load(path, **objects) == {}
        found = [move(x) for _ in range(3)]
        identical([np.asarray(array(v)) for v in found], [np.asarray(v.data) for v in losses])
        identical(states(objects["model"], objects["optimizer"]), expected)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_new_optimizer_goes_on_too(name: str, rng: Any) -> None:
    """One that has no moving averages yet, and copies what it loads."""
    layer, x = made("Sequential", rng)
    optimizer = OPTIMIZERS[name](layer.parameters())
    step = stepper(layer, optimizer, energy, False)
    step(x)
    state, weights = optimizer.state_dict(), layer.state_dict()
    step(x)
    expected = states(layer, optimizer)
    layer.load_state_dict(weights)
    new = OPTIMIZERS[name](layer.parameters())
    new.load_state_dict(state)
    kept = {key: array.copy() for key, array in state.items()}
    stepper(layer, new, energy, False)(x)
    identical(states(layer, new), expected)
    identical([*state.values()], [*kept.values()])


def test_lbfgs_can_be_saved_with_the_rest(tmp_path: Path) -> None:
    w = Value([3.0, -1.0])
    optimizer = optim.LBFGS([w])
    ad.save(tmp_path / "run.safetensors", optimizer=optimizer, w=w)
    assert ad.load(tmp_path / "run.safetensors", optimizer=optimizer)["w"].tolist() == [3, -1]
    with pytest.raises(ValueError, match=r"LBFGS\.load_state_dict: count is unexpected"):
        optimizer.load_state_dict({"count": 1})


def test_ema_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    w = Value(np.ones(3, np.float32))
    ema, other = optim.EMA([w], 0.9), optim.EMA([w], 0.9)
    w.data = np.array([0.1, 0.2, 0.3])
    ema.update()
    ad.save(tmp_path / "ema.safetensors", ema=ema)
    ad.load(tmp_path / "ema.safetensors", ema=other)
    for e in ema, other:
        e.update()
    identical(ema.averages, other.averages)
    with pytest.raises(ValueError, match=r"EMA\.load_state_dict: it is of other parameters"):
        optim.EMA([Value(np.ones(2))]).load_state_dict(ema.state_dict())


# -- a state that does not fit


def stepped(make: Any) -> tuple[Any, Value]:
    w = Value([1.0, 2.0])
    optimizer = make([w])
    w.grad = np.ones(2)
    optimizer.step()
    return optimizer, w


@pytest.mark.parametrize(
    "saved, loading, message",
    [
        ("Adam", "SGD", r"state\.0 has 2 moving averages instead of 0"),
        ("Adam", "Nesterov", r"state\.0 has 2 moving averages instead of 1"),
        ("SGD", "Adam", r"state\.0 has 0 moving averages instead of 2"),
        ("Lion", "RMSprop", r"state\.0 has 1 moving averages instead of 2"),
    ],
)
def test_the_state_of_another_method_is_refused(saved: str, loading: str, message: str) -> None:
    other, _ = stepped(OPTIMIZERS[loading])
    before = states(other)
    with pytest.raises(ValueError, match=r"load_state_dict: " + message):
        other.load_state_dict(stepped(OPTIMIZERS[saved])[0].state_dict())
    identical(states(other), before)


def test_a_state_with_a_hole_is_refused() -> None:
    adam, _ = stepped(OPTIMIZERS["Adam"])
    state = {key: array for key, array in adam.state_dict().items() if key != "state.0.0"}
    with pytest.raises(ValueError, match=r"state\.0 has 1 moving averages instead of 2"):
        adam.load_state_dict(state)


# -- groups


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda w: optim.SGD([{"params": [w], "lr": -1}], lr=0.1), "SGD: group 0: lr is -1"),
        (lambda w: optim.SGD([{"params": [w], "momentum": -1}], lr=0.1), "SGD: group 0: momentum is -1"),
        (lambda w: optim.SGD([{"params": [w], "nesterov": True}], lr=0.1), "SGD: nesterov=True needs a momentum"),
        (lambda w: optim.Adam([{"params": [w], "betas": (0.9, 1)}]), r"Adam: group 0: betas\[1\] is 1"),
        (lambda w: optim.AdamW([{"params": [w], "weight_decay": -1}]), "AdamW: group 0: weight_decay is -1"),
        (lambda w: optim.RMSprop([{"params": [w], "alpha": 2}]), "RMSprop: group 0: alpha is 2"),
        (lambda w: optim.Adagrad([{"params": [w], "eps": np.nan}]), "Adagrad: group 0: eps is nan"),
        (lambda w: optim.Lion([{"params": [w], "lr": -1}]), "Lion: group 0: lr is -1"),
        (lambda w: optim.SGD([{"params": [w]}, {"params": [Value(1.0), w]}], lr=0.1), "a parameter is in two groups"),
        (lambda w: optim.SGD([{"params": []}], lr=0.1), "SGD: group 0: params is empty"),
    ],
)
def test_wrong_groups_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Value([1.0]))


@pytest.mark.parametrize(
    "groups, message",
    [
        ([{"params": [Value(1.0)], "beta": 0.9}], "group 0 has no option 'beta'"),
        ([{"lr": 0.9}], "group 0 has no params"),
        ([{"params": [Value(1.0)]}, Value(2.0)], r"params\[0\] is a dict"),
    ],
)
def test_groups_that_are_none_are_refused(groups: Any, message: str) -> None:
    with pytest.raises((TypeError, OperandError), match=message):
        optim.SGD(groups, lr=0.1)


def test_a_parameter_that_is_shared_moves_once() -> None:
    shared = nn.Linear(2, 2, bias=False, rng=0)
    model = nn.Sequential(shared, nn.Tanh(), shared)
    assert len(model.parameters()) == 1
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    before, x = shared.weight.data.copy(), np.ones((3, 2))
    g = ad.grad(lambda w: (np.tanh(x @ w) @ w).sum())(before)
    model(x).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(shared.weight.data, before - 0.1 * g)
    with pytest.raises(ValueError, match="SGD: a parameter is in two groups"):
        optim.SGD([{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.1)
    other = copy.deepcopy(model)
    other.load_state_dict(model.state_dict())
    assert other[0].weight is other[2].weight


# -- models of unusual shape


class Branches(nn.Module):
    """Layers in lists and dicts, in each other, one of them twice, beside functions, numbers and a frozen table."""

    def __init__(self) -> None:
        self.shared = nn.Linear(3, 3, rng=0)
        self.branches = {
            "deep": [nn.Sequential(self.shared, nn.BatchNorm(3)), (nn.Tanh(), {"last": nn.Dropout(0.5, rng=1)})],
            "flat": [np.tanh, self.shared],
        }
        self.scales = [Value(1.0), Value(2.0)]
        self.table = Value(np.ones(3), requires_grad=False)
        self.depth = 2

    def forward(self, x: Any) -> Any:
        block, (act, last) = self.branches["deep"]
        f, g = self.branches["flat"]
        return self.scales[0] * last["last"](act(block(x))) + self.scales[1] * f(g(x)) + self.table


NAMES = [
    "shared.weight", "shared.bias", "branches.deep.0.1.weight", "branches.deep.0.1.bias", "scales.0", "scales.1",
]  # fmt: skip


def test_layers_in_lists_and_dicts() -> None:
    model = Branches()
    assert [name for name, _ in model.named_parameters()] == NAMES
    averages = ["branches.deep.0.1.running_mean", "branches.deep.0.1.running_var", "table"]
    assert {*model.state_dict()} == {*NAMES, *averages}
    g = ad.grad(lambda model, x: (model(x) ** 2).sum())(model.eval(), np.ones((2, 3)))
    assert [name for name, _ in g.named_parameters()] == NAMES
    assert g.branches["flat"][1] is g.shared is g.branches["deep"][0][0]


def test_training_and_evaluation_reach_layers_everywhere() -> None:
    model, x = Branches(), np.random.default_rng(0).standard_normal((4, 3))
    inside = model.branches["deep"][0][1]
    model.eval()
    assert not any(part.training for part in model.modules())
    a, b = model(x).data, model(x).data
    np.testing.assert_array_equal(a, b)
    inside.train()  # one part alone
    assert inside.training and not model.training
    before = inside.running_mean.data.copy()
    model(x)
    assert (inside.running_mean.data != before).all()
    assert model.train() is model and all(part.training for part in model.modules())
    assert not np.array_equal(model(x).data, model(x).data)
    outer = nn.Sequential(model, model)
    outer.eval()
    assert not inside.training and not model.training
    added = nn.Dropout(0.5)
    model.extra = [added]
    assert added.training and not outer.eval().layers[0].extra[0].training


@pytest.mark.parametrize("wrong", [None, "no", np.ones(3), 0], ids=str)
def test_a_mode_is_a_truth_value(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"Linear\.train: training is a .*; pass True or False"):
        nn.Linear(1, 1).train(wrong)


@both
def test_a_mode_that_changes_is_seen(jitted: bool) -> None:
    model, x = nn.Sequential(nn.Linear(3, 3, rng=0), nn.BatchNorm(3)), np.random.default_rng(0).random((4, 3))

    def run(x: Any) -> Any:
        with ad.no_grad():
            return model(x)

    f = ad.jit(run, strict=True) if jitted else run

    for _ in range(3):
        trained = np.array(array(f(x)))
    average = model[1].running_mean.data.copy()
    model.eval()
    evaluated = [np.array(array(f(x))) for _ in range(3)]
    np.testing.assert_array_equal(model[1].running_mean.data, average)
    np.testing.assert_allclose(evaluated[0], evaluated[2])
    assert abs(evaluated[0] - trained).max() > 0.1
    model.train()
    np.testing.assert_allclose(np.array(array(f(x))), trained)


@both
def test_a_replaced_parameter_is_used(jitted: bool) -> None:
    layer, x = nn.Linear(3, 2, rng=0), np.ones((4, 3))

    def loss() -> Any:
        value = (layer(x) ** 2).sum()
        layer.zero_grad()
        value.backward()
        return value.data

    f = ad.jit(loss, strict=True) if jitted else loss
    for _ in range(3):
        f()
    old = layer.weight
    layer.weight = Value(np.zeros((3, 2)))
    layer.bias = Value(np.array([1.0, 2.0]))
    for _ in range(3):
        assert f() == pytest.approx(20)
        np.testing.assert_allclose(layer.weight.grad, np.outer(np.ones(3), [8, 16]))
    optimizer = optim.SGD([old], lr=0.1)
    before = old.data.copy()
    optimizer.zero_grad()
    optimizer.step()
    np.testing.assert_array_equal(old.data, before)
    layer.bias = None
    assert f() == 0 and layer.parameters() == [layer.weight]


@both
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_frozen_parameter_stays(name: str, jitted: bool, rng: Any) -> None:
    layer, x = made("Sequential", rng)
    optimizer = OPTIMIZERS[name](layer.parameters())
    step = stepper(layer, optimizer, energy, jitted)
    for _ in range(3):
        step(x)
    frozen = layer[0].weight
    frozen.requires_grad = False
    before, moving = frozen.data.copy(), layer[2].weight.data.copy()
    for _ in range(3):
        step(x)
    np.testing.assert_array_equal(frozen.data, before)
    assert (layer[2].weight.data != moving).any()
    assert "0.weight" in layer.state_dict() and "0.weight" not in dict(layer.named_parameters())
    frozen.requires_grad = True
    step(x)
    assert (frozen.data != before).any()


def test_a_frozen_part_is_saved_and_loaded(tmp_path: Path) -> None:
    model, other = Branches(), Branches()
    for p in model.shared.parameters():
        p.requires_grad = False
        p.data = p.data + 1
    ad.save(tmp_path / "model.safetensors", model=model)
    ad.load(tmp_path / "model.safetensors", model=other)
    identical(states(other), states(model))
    assert other.shared.weight.requires_grad


def test_a_model_in_two_optimizers() -> None:
    model, x = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh(), nn.Linear(4, 1, rng=1)), np.ones((2, 3))
    first_half, second_half = optim.SGD(model[0].parameters(), lr=0.1), optim.Adam(model[2].parameters(), lr=0.1)
    (model(x) ** 2).sum().backward()
    before = states(model)
    first_half.step()
    now = states(model)
    assert (now[0] != before[0]).any() and np.array_equal(now[2], before[2])
    second_half.step()
    assert (states(model)[2] != now[2]).any() and np.array_equal(states(model)[0], now[0])


def test_names_with_dots_come_back() -> None:
    model = nn.Module()
    model.heads = {"a": {"b": nn.Linear(2, 2, rng=0)}, "a.c": nn.Linear(2, 2, rng=1), "a.c.d": Value(1.0)}
    other = copy.deepcopy(model)
    for p in other.parameters():
        p.data = p.data * 0
    other.load_state_dict(model.state_dict())
    identical(states(other), states(model))
