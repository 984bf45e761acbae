"""Initial values: the distributions of the papers, for the shapes of all layers, from the given generator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from autodiff import nn
from autodiff.nn import init
from tests.torch_cases import pytorch

SHAPES: list[tuple[tuple[int, ...], int, int]] = [
    ((300, 200), 300, 200),  # (in, out)
    ((60, 20, 30), 600, 1800),  # (out, in, *kernel)
    ((50, 40, 5, 6), 1200, 1500),
]
NORMAL = {
    "he_normal": lambda i, o: 2 / i,
    "glorot_normal": lambda i, o: 2 / (i + o),
    "lecun_normal": lambda i, o: 1 / i,
}
UNIFORM = {"he_uniform": lambda i, o: 6 / i, "glorot_uniform": lambda i, o: 6 / (i + o)}
ALL = [name for name in init.__all__ if name not in ("Initialiser", "Seed", "fans")]


@pytest.mark.parametrize("shape, inputs, outputs", SHAPES)
@pytest.mark.parametrize("name", NORMAL)
def test_normal_ones(name: str, shape: tuple[int, ...], inputs: int, outputs: int) -> None:
    w = getattr(init, name)(shape, rng=0)
    variance = NORMAL[name](inputs, outputs)
    assert w.shape == shape and abs(w.mean()) < 4 * math.sqrt(variance / w.size)
    np.testing.assert_allclose(w.var(), variance, rtol=0.03)
    np.testing.assert_allclose((w**4).mean(), 3 * variance**2, rtol=0.08)


@pytest.mark.parametrize("shape, inputs, outputs", SHAPES)
@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_ones(name: str, shape: tuple[int, ...], inputs: int, outputs: int) -> None:
    w, bound = getattr(init, name)(shape, rng=0), math.sqrt(UNIFORM[name](inputs, outputs))
    assert 0.99 * bound < abs(w).max() <= bound
    np.testing.assert_allclose(w.var(), bound**2 / 3, rtol=0.03)


def test_fans_are_pytorchs() -> None:
    pytest.importorskip("torch")
    torch = pytorch()
    fans = torch.nn.init._calculate_fan_in_and_fan_out
    for layer, theirs in [
        (nn.Linear(3, 5), torch.nn.Linear(3, 5)),
        (nn.Conv1d(4, 6, 3, groups=2), torch.nn.Conv1d(4, 6, 3, groups=2)),
        (nn.Conv2d(3, 8, (2, 5)), torch.nn.Conv2d(3, 8, (2, 5))),
    ]:
        assert init.fans(layer.weight.shape) == fans(theirs.weight)


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5), (6, 2, 3), (3, 4, 2)], ids=str)
def test_orthogonal_ones(shape: tuple[int, ...]) -> None:
    w = init.orthogonal(shape, rng=0, gain=2.0).reshape(shape[0], -1)
    small = w @ w.T if len(w) <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-13)


def test_orthogonal_ones_are_uniform() -> None:
    """Of all rotations and reflections: a diagonal element has mean 0, as QR alone does not give."""
    diagonals = np.array([np.diag(init.orthogonal((3, 3), rng=seed)) for seed in range(2000)])
    assert (abs(diagonals.mean(axis=0)) < 0.06).all()
    np.testing.assert_allclose((diagonals**2).mean(axis=0), 1 / 3, atol=0.03)


def test_truncated_ones() -> None:
    w = init.truncated_normal((300, 300), rng=0, std=0.5)
    assert abs(w).max() <= 1
    np.testing.assert_allclose(w.std(), 0.5 * 0.8796, rtol=0.01)


@pytest.mark.parametrize("name", ALL)
def test_a_seed_is_a_generator(name: str) -> None:
    f = getattr(init, name)
    np.testing.assert_array_equal(f((4, 3), rng=5), f((4, 3), rng=np.random.default_rng(5)))
    assert f((4, 3), rng=5, dtype=np.float32).dtype == np.float32
    if name != "zeros":
        rng = np.random.default_rng(5)
        assert (f((4, 3), rng) != f((4, 3), rng)).any() and (f((4, 3)) != f((4, 3))).any()


@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
def test_vectors_have_no_fan(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"init: shape .* has no fan"):
        init.he_normal(shape)


def test_layers_take_initialisers() -> None:
    for layer in (
        nn.Linear(3, 2, init=init.zeros),
        nn.Conv2d(3, 2, 3, init=init.zeros),
        nn.Embedding(3, 2, init=init.zeros),
    ):
        assert not layer.weight.data.any()


def test_recurrent_layers_start_orthogonal_and_remember() -> None:
    layer = nn.LSTM(3, 4, num_layers=2, bidirectional=True, rng=0)
    for suffix in "l0", "l0_reverse", "l1", "l1_reverse":
        for block in np.split(getattr(layer, f"weight_hh_{suffix}").data, 4, axis=1):
            np.testing.assert_allclose(block @ block.T, np.eye(4), atol=1e-13)
        bias = getattr(layer, f"bias_ih_{suffix}").data + getattr(layer, f"bias_hh_{suffix}").data
        np.testing.assert_array_equal(bias.reshape(4, 4), [[0] * 4, [1] * 4, [0] * 4, [0] * 4])
