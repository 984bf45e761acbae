"""Models in another dtype, and states that have only a part of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import Value, nn


class Mixed(nn.Module):
    """What a model may hold."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        shared = nn.Linear(3, 3, rng=rng)
        self.layers = [shared, nn.BatchNorm(3), nn.Dropout(0.5, rng=rng), shared]
        self.frozen = Value(np.ones(3), requires_grad=False, name="frozen")
        self.counts = Value(np.arange(3), requires_grad=False)
        self.phase = Value(np.ones(3) * 1j)
        self.constant = np.ones(3)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x * self.frozen


# -- astype


def test_a_whole_model_in_another_dtype() -> None:
    model = Mixed().eval()
    before = model.state_dict()
    small = model.astype(np.float32)
    assert type(small) is Mixed and small is not model
    for name, array in small.state_dict().items():
        kind = before[name].dtype.kind
        assert array.dtype == (np.float32 if kind == "f" else before[name].dtype)
        np.testing.assert_array_equal(array, before[name].astype(array.dtype))
        np.testing.assert_array_equal(model.state_dict()[name], before[name])
    assert all(model.state_dict()[name].dtype == array.dtype for name, array in before.items())
    assert small.layers[0] is small.layers[3] and small.layers[0] is not model.layers[0]
    assert len(small.parameters()) == len(model.parameters()) and small.frozen.name == "frozen"
    assert not small.frozen.requires_grad and not small.layers[1].training
    x = np.ones((2, 3), np.float32)
    assert small(x).dtype == np.float32
    np.testing.assert_allclose(small(x).data, model(x).data, rtol=1e-5)
    small.train()(x).sum().backward()
    assert all(p.grad.dtype == np.float32 for p in small.layers[0].parameters())


def test_astype_is_for_floats_and_outside_transforms() -> None:
    model = nn.Linear(2, 1)
    for dtype in int, bool, complex:
        with pytest.raises(TypeError, match=r"Linear\.astype: dtype is .*; parameters are floats"):
            model.astype(dtype)
    with pytest.raises(TypeError, match=r"Linear\.astype: a transform works on this model; call astype before it"):
        ad.grad(lambda model: model.astype(np.float32)(np.ones(2, np.float32)).sum())(model)


# -- load_state_dict(strict=False)


def test_a_part_of_a_model_may_be_loaded() -> None:
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh(), nn.Linear(4, 2, rng=1))
    before = model.state_dict()
    body = nn.Sequential(nn.Linear(3, 4, rng=5), nn.Tanh(), nn.Linear(4, 7, rng=6)).state_dict()
    found = {name: x for name, x in body.items() if name.startswith("0.")} | {"9.weight": np.ones(1)}
    assert model.load_state_dict(found, strict=False) == (["2.weight", "2.bias"], ["9.weight"])
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(x, body[name] if name.startswith("0.") else before[name])
    with pytest.raises(ValueError, match=r"2\.weight is missing; 2\.bias is missing; 9\.weight is unexpected"):
        model.load_state_dict(found)
    assert model.load_state_dict(before) == ([], [])


def test_what_has_a_name_of_the_model_has_to_fit() -> None:
    shared = nn.Linear(2, 2, rng=0)
    model = nn.Sequential(shared, shared)
    before = model.state_dict()
    for state, message in [
        ({"0.weight": np.ones((2, 3))}, r"0\.weight has shape \(2, 3\) instead of \(2, 2\)"),
        ({"0.weight": np.ones((2, 2)) * 1j, "0.bias": np.ones(2)}, "0.weight has dtype complex128"),
        ({"0.bias": np.ones(2), "1.bias": np.zeros(2)}, "1.bias is not equal to 0.bias"),
    ]:
        with pytest.raises(ValueError, match=r"Sequential\.load_state_dict: " + message):
            model.load_state_dict(state, strict=False)
        for name, x in model.state_dict().items():
            np.testing.assert_array_equal(x, before[name])


def test_a_part_of_a_model_of_pytorch_is_turned() -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = torch.nn.Linear(2, 2), nn.Linear(2, 2, rng=0)
    bias = ours.bias
    assert bias is not None
    bias.data = np.array([3.0, 4.0])
    assert ours.load_state_dict({"weight": theirs.weight}, strict=False) == (["bias"], [])
    np.testing.assert_array_equal(ours.weight.data, theirs.weight.detach().numpy().T)
    assert bias.data.tolist() == [3, 4]
