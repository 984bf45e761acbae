"""Layers and losses agree with PyTorch: outputs, gradients of inputs and parameters, and running averages.

With what data/torch_nn.npz has of it, and where PyTorch is installed also with fresh draws and in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff import Value, nn
from tests.torch_cases import CASES, DATA, Arrays, flat, reference, unpack

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
    for seed in (1, 2):
        compare(name, reference(name, dtype, seed), dtype, tolerance)
