"""Layers and losses agree with PyTorch: outputs, gradients of inputs and parameters, and running averages.

With what data/torch_nn.npz has of it, and where PyTorch is installed also with fresh draws and in float64.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import autodiff as ad
from autodiff import Value, nn, optim
from tests.torch_cases import CASES, DATA, Arrays, flat, pytorch, reference, unpack
from tests.torch_model import Model, theirs

STORED = unpack(DATA / "torch_nn.npz")
every_case = pytest.mark.parametrize("name", CASES)


def part(arrays: Arrays, prefix: str) -> Arrays:
    return {key.removeprefix(prefix): x for key, x in arrays.items() if key.startswith(prefix)}


def layer_of(name: str, arrays: Arrays, dtype: Any) -> Any:
    """The case's layer or function, with the parameters and the running averages of PyTorch's."""
    ours = CASES[name].ours(dtype)
    if isinstance(ours, nn.Module):
        ours.train(CASES[name].training)
        ours.load_state_dict(ours._from_torch(part(arrays, "p.") | part(arrays, "before.")))
    return ours


def compare(name: str, arrays: Arrays, dtype: Any, tolerance: float) -> None:
    case, ours = CASES[name], layer_of(name, arrays, dtype)
    xs = [Value(x, requires_grad=x.dtype.kind == "f") for x in part(arrays, "x.").values()]
    outputs = flat(case.call(ours, *xs))
    weights = [*part(arrays, "w.").values()]
    sum((y * w).sum() for y, w in zip(outputs, weights, strict=True)).backward()

    def same(key: str, found: Any) -> None:
        assert found.dtype == arrays[key].dtype, key
        np.testing.assert_allclose(found, arrays[key], rtol=tolerance, atol=tolerance, err_msg=key)

    for i, y in enumerate(outputs):
        same(f"y.{i}", y.data)
    for i, x in enumerate(xs):
        assert (x.grad is not None) == (f"gx.{i}" in arrays)
        if x.grad is not None:
            same(f"gx.{i}", x.grad)
    if not isinstance(ours, nn.Module):
        return
    gradients = ours._from_torch({key: p.grad for key, p in ours.named_parameters()})
    assert set(gradients) == set(part(arrays, "gp."))
    for key, g in gradients.items():
        same(f"gp.{key}", g)
    averages = {key: x for key, x in ours.state_dict().items() if key not in gradients}
    assert set(averages) == set(part(arrays, "after."))
    for key, x in averages.items():
        same(f"after.{key}", x)


def test_every_case_is_stored() -> None:
    assert set(STORED) == set(CASES)
    assert sum(file.stat().st_size for file in DATA.iterdir()) < 300_000


@every_case
def test_stored(name: str) -> None:
    compare(name, STORED[name], np.float32, 1e-5)


@every_case
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)], ids=["float32", "float64"])
def test_fresh(name: str, dtype: Any, tolerance: float) -> None:
    pytest.importorskip("torch")
    for seed in (1, 2, 3):
        compare(name, reference(name, dtype, seed), dtype, tolerance)


# -- a model that PyTorch has saved


def test_a_saved_model_computes_the_same() -> None:
    arrays = unpack(DATA / "torch_model.npz")["model"]
    model = Model()
    assert ad.load(DATA / "torch_model.safetensors", model=model) == {}
    found = model.eval()(arrays["x"]).data
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, arrays["y"], rtol=1e-5, atol=1e-5)
    with ad.no_grad():
        compiled = ad.jit(model, strict=True)
        for _ in range(3):
            np.testing.assert_allclose(compiled(arrays["x"]), arrays["y"], rtol=1e-5, atol=1e-5)


def test_tensors_load_and_train_as_there() -> None:
    """Twenty steps of training, with weight decay and a clipped norm, in float64."""
    pytest.importorskip("torch")
    torch = pytorch()
    torch.manual_seed(1)
    their_model, model = theirs(torch).double(), Model(np.float64)
    model.load_state_dict(their_model.state_dict())
    x, labels = np.random.default_rng(1).standard_normal((6, 1, 8, 8)), np.arange(6) % 3
    their_optimizer = torch.optim.AdamW(their_model.parameters(), lr=1e-2, weight_decay=0.1)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(20):
        their_optimizer.zero_grad()
        their_loss = torch.nn.functional.cross_entropy(their_model(torch.from_numpy(x)), torch.from_numpy(labels))
        their_loss.backward()
        torch.nn.utils.clip_grad_norm_(their_model.parameters(), 1.0)
        their_optimizer.step()
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), labels)
        loss.backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        assert loss.item() == pytest.approx(their_loss.item(), rel=1e-5)  # PyTorch adds 1e-6 to the norm
    other = Model(np.float64)
    other.load_state_dict(their_model.state_dict())
    with ad.no_grad():
        np.testing.assert_allclose(other.eval()(x).data, model.eval()(x).data, atol=1e-5)


def test_square_matrices_of_unknown_origin_are_refused(tmp_path: Path) -> None:
    """Nothing in what `save_file` of safetensors.torch writes says that it is PyTorch's, unless it is told to."""
    weights = {"weight": np.arange(9, dtype=float).reshape(3, 3), "bias": np.zeros(3)}
    model, path = nn.Linear(3, 3), tmp_path / "square.safetensors"
    before = model.state_dict()
    path.write_bytes(safetensors.numpy.save(weights))
    with pytest.raises(ValueError, match=r'all square, are PyTorch\'s, .* metadata=\{"format": "pt"\}'):
        ad.load(path, model=model)
    np.testing.assert_array_equal(model.weight.data, before["weight"])
    model.load_state_dict(ad.load(path))
    np.testing.assert_array_equal(model.weight.data, weights["weight"])
    path.write_bytes(safetensors.numpy.save(weights, {"format": "pt"}))
    ad.load(path, model=model)
    np.testing.assert_array_equal(model.weight.data, weights["weight"].T)


def test_matrices_that_are_not_square_tell_where_a_file_is_from(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    square, wide = np.arange(9, dtype=float).reshape(3, 3), np.arange(6, dtype=float).reshape(2, 3)
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 2, bias=False))
    for is_torch in True, False:
        weights = {"0.weight": square, "1.weight": wide if is_torch else np.ascontiguousarray(wide.T)}
        path.write_bytes(safetensors.numpy.save(weights))
        ad.load(path, model=model)
        np.testing.assert_array_equal(model[0].weight.data, square.T if is_torch else square)
        np.testing.assert_array_equal(model[1].weight.data, wide.T)


def test_arrays_of_pytorch_are_told_from_tensors() -> None:
    with pytest.raises(ValueError, match=r"weight has shape \(2, 3\) instead of \(3, 2\); .* pass its tensors"):
        nn.Linear(3, 2, bias=False).load_state_dict({"weight": np.ones((2, 3))})


def test_only_the_matrices_of_a_layer_are_turned() -> None:
    torch = pytest.importorskip("torch")

    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 2, bias=False)
            self.weight_scale = Value(np.ones((2, 2)))

    model, square = Scaled(), np.arange(4.0).reshape(2, 2)
    model.load_state_dict({"weight": torch.tensor(square).bfloat16(), "weight_scale": torch.tensor(square)})
    np.testing.assert_array_equal(model.weight.data, square.T)
    np.testing.assert_array_equal(model.weight_scale.data, square)


def test_a_layer_that_is_shared_may_have_either_name_or_both() -> None:
    """PyTorch's state has it twice, and what safetensors' `save_model` writes has it once, under one of the two."""
    torch = pytest.importorskip("torch")
    layer, shared = torch.nn.Linear(2, 2), nn.Linear(2, 2)
    state = torch.nn.Sequential(layer, torch.nn.Tanh(), layer).state_dict()
    model = nn.Sequential(shared, nn.Tanh(), shared)
    last = {name: x for name, x in state.items() if name.startswith("2.")}
    for given in state, last:
        shared.weight.data, shared.bias.data = np.zeros((2, 2)), np.zeros(2)
        model.load_state_dict(given)
        np.testing.assert_array_equal(shared.weight.data, layer.weight.detach().numpy().T)
        np.testing.assert_array_equal(shared.bias.data, layer.bias.detach().numpy())
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"2\.bias is not equal to 0\.bias, and they are one parameter here"):
        model.load_state_dict(state | {"2.bias": torch.ones(2)})
    np.testing.assert_array_equal(model.state_dict()["0.bias"], before["0.bias"])
