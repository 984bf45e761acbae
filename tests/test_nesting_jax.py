"""Random nests of transforms, with closures over every outer variable, against JAX.

Each program is a function of a list of vectors of two elements that gives one more. It is built twice from the same
random numbers, once of our transforms and plain NumPy, once of JAX's. JAX comes with the extra [bench]; without it
these tests are skipped, and test_nesting.py compares with compositions of our own.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import autodiff as ad

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install autodiff[bench]")
jax.config.update("jax_enable_x64", True)

M = np.array([[0.3, -0.7], [1.1, 0.4]])
Program = Callable[[list[Any]], Any]


class Kit(NamedTuple):
    """What a program is made of."""

    np: Any
    grad: Any
    jvp: Any
    vjp: Any
    vmap: Any
    jacfwd: Any
    jacrev: Any
    hessian: Any


OURS = Kit(
    np,
    ad.grad,
    lambda f, x, t: ad.jvp(f, (x,), (t,))[1],
    lambda f, x, u: ad.vjp(f, x)[1](u)[0],
    ad.vmap,
    ad.jacfwd,
    ad.jacrev,
    ad.hessian,
)
THEIRS = Kit(
    jax.numpy,
    jax.grad,
    lambda f, x, t: jax.jvp(f, (x,), (t,))[1],
    lambda f, x, u: jax.vjp(f, x)[1](u)[0],
    jax.vmap,
    jax.jacfwd,
    jax.jacrev,
    jax.hessian,
)
NAMES = "leaf bin bin sin mm index where sort grad grad jvp vjp jacfwd jacrev hessian vmap vmap vmap2 outer"
KINDS = NAMES.split()


def build(rnd: random.Random, depth: int, kit: Kit) -> Program:
    kind = rnd.choice(KINDS) if depth > 0 else "leaf"
    xp = kit.np
    if kind == "leaf":
        place = rnd.random()
        return lambda env: env[int(place * len(env))]
    a, b, c = (build(rnd, depth - n, kit) for n in (1, 2, 3))
    programs: dict[str, Program] = {
        "bin": lambda env: a(env) * b(env) + c(env),
        "sin": lambda env: xp.sin(a(env)),
        "mm": lambda env: M @ a(env),
        "index": lambda env: a(env)[::-1] * a(env)[0],
        "where": lambda env: xp.where(a(env) > b(env), a(env), b(env) * 0.5),
        "sort": lambda env: xp.sort(a(env)) * xp.cumsum(b(env)),
        "grad": lambda env: kit.grad(lambda v: (a([*env, v]) * v).sum())(b(env)),
        "jvp": lambda env: kit.jvp(lambda v: a([*env, v]) * v, b(env), c(env)),
        "vjp": lambda env: kit.vjp(lambda v: a([*env, v]) * v, b(env), c(env)),
        "jacfwd": lambda env: kit.jacfwd(lambda v: a([*env, v]) * v)(b(env)).sum(axis=0),
        "jacrev": lambda env: kit.jacrev(lambda v: a([*env, v]) * v)(b(env)) @ c(env),
        "hessian": lambda env: kit.hessian(lambda v: (a([*env, v]) * v).sum())(b(env)) @ c(env),
        "vmap": lambda env: kit.vmap(lambda row: (a([*env, row]) * row).sum())(b(env).reshape((2, 1)) * M),
        "vmap2": lambda env: kit.vmap(lambda u, w: a([*env, u, w]) * w, in_axes=(0, None), out_axes=1)(
            b(env)[:, None] * M, c(env)
        ).sum(axis=1),
        "outer": lambda env: kit.vmap(lambda u: kit.vmap(lambda w: (a([*env, u, w]) * u * w).sum())(M * b(env)))(
            M * c(env)
        ).sum(axis=0),
    }
    return programs[kind]


def disagreement(seed: int) -> float:
    """How far the derivatives of a program are apart, in units of the tolerance."""
    depth = random.Random(seed).choice([2, 3, 3, 4])
    x = np.array([0.6, -0.8])
    ours = build(random.Random(seed), depth, OURS)
    theirs = build(random.Random(seed), depth, THEIRS)
    expected = np.asarray(jax.jacfwd(lambda x: theirs([x, x * 2.0]))(jax.numpy.asarray(x)))
    worst = 0.0
    for derivative in (ad.jacfwd, ad.jacrev):
        found = derivative(lambda x: ours([x, x * 2.0]))(x)
        assert found.shape == expected.shape
        worst = max(worst, float(np.max(np.abs(found - expected) / (1e-9 + 1e-7 * np.abs(expected).max()))))
    return worst


@pytest.mark.parametrize("seed", range(40))
def test_random_nests(seed: int) -> None:
    assert disagreement(seed) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_many_random_nests(block: int) -> None:
    bad = [seed for seed in range(1000 + 50 * block, 1050 + 50 * block) if not disagreement(seed) <= 1]
    assert not bad
