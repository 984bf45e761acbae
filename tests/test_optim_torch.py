"""Optimizers, schedules and clipping have PyTorch's trajectories; Lion is the paper's, LBFGS is SciPy's.

With what data/torch_optim.npz has of them, and where PyTorch is installed also with fresh draws and in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

import autodiff as ad
from autodiff import OperandError, Value, nn, optim
from tests.torch_cases import DATA, Arrays, unpack
from tests.torch_optimizers import CASES, KEPT, STEPS, loss_of, problem, reference

STORED = unpack(DATA / "torch_optim.npz")
every_case = pytest.mark.parametrize("name", CASES)


def trajectory(name: str, dtype: Any, seed: int = 0, jitted: bool = False) -> Arrays:
    """What `reference` gives, of ours."""
    case = CASES[name]
    x, y, *start = problem(dtype, seed).values()
    params = [Value(a) for a in start]
    optimizer = case.ours(params[:2], params[2:])
    if jitted:
        optimizer.prepare()
    found: Arrays = {}
    losses, norms = [], []

    def step() -> tuple[Any, Any]:
        optimizer.zero_grad()
        loss = loss_of(x, y, *params, np.tanh)
        loss.backward()
        if case.missing and number % 3:
            params[1].grad = None
        norm = optim.clip_grad_norm(params, float("inf") if case.clip is None else case.clip)
        if case.clip_value is not None:
            optim.clip_grad_value(params, case.clip_value)
        optimizer.step()
        return loss, norm

    move = ad.jit(step, strict=True) if jitted else step
    for number in range(STEPS):
        for p in params[2:]:
            p.requires_grad = not case.frozen or number >= STEPS // 2
        loss, norm = move()
        losses.append(loss.item())
        norms.append(float(norm))
        if number + 1 in KEPT:
            found |= {f"p.{number + 1}.{i}": np.array(p.data) for i, p in enumerate(params)}
    return {"losses": np.array(losses, dtype), "norms": np.array(norms, dtype)} | found


def same(found: Arrays, expected: Arrays, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for key, x in expected.items():
        assert found[key].dtype == x.dtype and found[key].shape == x.shape, key
        np.testing.assert_allclose(found[key], x, rtol=tolerance, atol=tolerance, err_msg=key)


def test_every_case_is_stored() -> None:
    assert set(STORED) == set(CASES)


@every_case
@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
def test_stored(name: str, jitted: bool) -> None:
    same(trajectory(name, np.float32, jitted=jitted), STORED[name], 1e-5)


@every_case
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)], ids=["float32", "float64"])
def test_fresh(name: str, dtype: Any, tolerance: float) -> None:
    pytest.importorskip("torch")
    if CASES[name].clip is not None and dtype == np.float64:
        tolerance = 1e-5  # PyTorch adds 1e-6 to the norm
    same(trajectory(name, dtype, 1), reference(name, dtype, 1), tolerance)


# -- Lion


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_lion_is_the_papers(decay: float, rng: np.random.Generator) -> None:
    start = rng.standard_normal((4, 3))
    w = Value(start)
    optimizer = optim.Lion([w], lr=0.02, betas=(0.8, 0.95), weight_decay=decay)
    theta, m = start.copy(), np.zeros((4, 3))
    for step in range(STEPS):
        g = np.cos(theta * 3 + step)
        w.grad = g
        optimizer.step()
        c = 0.8 * m + 0.2 * g  # algorithm 2 of arXiv:2302.06675
        theta = theta - 0.02 * (np.sign(c) + decay * theta)
        m = 0.95 * m + 0.05 * g
        np.testing.assert_allclose(w.data, theta, rtol=1e-13)


# -- LBFGS


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
def test_lbfgs_is_scipys_and_finds_the_minimum(jitted: bool) -> None:
    start = np.array([-1.2, 1.0])
    w = Value(start)
    optimizer = optim.LBFGS([w], max_iter=200)
    calls = []

    def loss() -> Any:
        optimizer.zero_grad()
        value = rosenbrock(w)
        value.backward()
        return value

    compiled = ad.jit(loss, strict=True) if jitted else loss

    def closure() -> Any:
        calls.append(1)
        return compiled()

    found = optimizer.step(closure)
    expected = minimize(
        rosen, start, jac=rosen_der, method="L-BFGS-B", options={"maxiter": 200, "gtol": 1e-7, "maxcor": 10}
    )
    assert abs(len(calls) - expected.nfev) <= 2
    np.testing.assert_allclose(w.data, np.ones(2), atol=1e-5)
    np.testing.assert_allclose(w.data, expected.x, atol=1e-6)
    assert found < 1e-10 and rosenbrock(w.data) < 1e-10


def test_lbfgs_over_several_parameters_of_float32() -> None:
    a, b = Value(np.array([[3.0, -1.0]], np.float32)), Value(np.float32(4))
    optimizer = optim.LBFGS([a, b], max_iter=50)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = ((a - 1) ** 2).sum() + (b * a.sum() - 3) ** 2
        loss.backward()
        return loss

    assert optimizer.step(closure) < 1e-6
    assert a.dtype == b.dtype == np.float32 and a.shape == (1, 2) and b.shape == ()


# -- clipping


def test_a_norm_without_a_bound_is_only_measured() -> None:
    w = Value([3.0, 4.0])
    (w * w).sum().backward()
    assert optim.clip_grad_norm([w], float("inf")) == 10
    assert w.grad.tolist() == [6, 8]


@pytest.mark.parametrize("clip", [optim.clip_grad_norm, optim.clip_grad_value])
@pytest.mark.parametrize("params", [Value([3.0, 4.0]), [np.ones(2)], 1.0, nn.Linear(1, 1)], ids=str)
def test_clipping_needs_parameters(clip: Any, params: Any) -> None:
    with pytest.raises(OperandError, match=f"{clip.__name__}: params has to be a list of Values"):
        clip(params, 1.0)


def test_values_of_complex_gradients_are_clipped_in_both_parts() -> None:
    w = Value(np.zeros(2, complex))
    w.grad = np.array([3 - 4j, 0.5 + 9j])
    optim.clip_grad_value([w], 1.0)
    assert w.grad.tolist() == [1 - 1j, 0.5 + 1j]
