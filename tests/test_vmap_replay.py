"""What runs again in the backward pass, after its vmap has ended: each example still has a gradient of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import GraphError, checkpoint, checkpoint_scan, grad, vmap

x = np.array([1.0, 2.0])

cube = ad.custom_rule(lambda z: z**3)
cube.vjp(lambda g, z: g * 3 * z * grad(lambda s: (s * z).sum())(3.0))
cube_forward = ad.custom_rule(lambda z: z**3)
cube_forward.jvp(lambda t, z: t * 3 * z * grad(lambda s: (s * z).sum())(3.0))


def inner(z: Any) -> Any:
    """z cubed, by way of a gradient."""
    return z * grad(lambda s: (s * z * z).sum())(3.0)


CUBES: dict[str, Callable[..., Any]] = {
    "checkpoint": checkpoint(inner),
    "checkpoint, twice": checkpoint(checkpoint(inner)),
    "scan": lambda z: checkpoint_scan(lambda c, i: inner(c), z, 1),
    "scan of several steps": lambda z: checkpoint_scan(lambda c, i: inner(c) if i == 1 else c, z, 4, slots=1),
    "a rule, backward": cube,
    "a rule, forward": cube_forward,
}


@pytest.mark.parametrize("f", CUBES.values(), ids=CUBES)
def test_a_gradient_inside_is_one_for_each_example(f: Callable[..., Any]) -> None:
    total = lambda v: vmap(f)(v).sum()
    np.testing.assert_allclose(grad(total)(x), 3 * x**2)
    np.testing.assert_allclose(vmap(grad(f))(x), 3 * x**2)
    np.testing.assert_allclose(ad.jacrev(vmap(f))(x), np.diag(3 * x**2))
    np.testing.assert_allclose(ad.jacfwd(vmap(f))(x), np.diag(3 * x**2))
    np.testing.assert_allclose(ad.hvp(total)(x, np.ones(2)), 6 * x)
    np.testing.assert_allclose(ad.hessian(total)(x), np.diag(6 * x))
    np.testing.assert_allclose(grad(lambda v: grad(total)(v).sum())(x), 6 * x)
    v = ad.Value(x)
    total(v).backward()
    np.testing.assert_allclose(v.grad, 3 * x**2)


@pytest.mark.parametrize("f", [CUBES["a rule, backward"], CUBES["checkpoint"]])
def test_what_the_examples_share_gets_the_sum(f: Callable[..., Any]) -> None:
    total = lambda w: vmap(lambda u: f(u * w))(x).sum()
    np.testing.assert_allclose(grad(total)(2.0), 12 * (x**3).sum())


def test_a_result_that_is_the_gradient_itself() -> None:
    f = checkpoint(lambda z: grad(lambda s: (s * z * z).sum())(3.0))
    np.testing.assert_allclose(grad(lambda v: vmap(f)(v).sum())(x), 2 * x)


@pytest.mark.parametrize("wrap", [checkpoint, lambda f: lambda z: checkpoint_scan(lambda c, i: f(c), z, 2)])
def test_a_batch_that_is_another_one_the_second_time(wrap: Callable[..., Any]) -> None:
    calls = []

    def f(z: Any) -> Any:
        calls.append(z)
        return z * len(calls)

    with pytest.raises(GraphError, match="returned other numbers than before"):
        grad(lambda v: vmap(wrap(f))(v).sum())(x)
