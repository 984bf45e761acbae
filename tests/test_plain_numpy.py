"""Programs in plain NumPy, written without a thought of differentiation, against finite differences."""

from __future__ import annotations

import numpy as np
import programs
import pytest
from checks import assert_close, directional, random_like, seeded
from programs import STEP, Program

import autodiff as ad

RTOL = 1e-7
ITERATE_TO_DOUBLE_PRECISION = {"newton_root", "kepler_equation"}

each_program = pytest.mark.parametrize("program", programs.load(), ids=str)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a root of a negative number that where() drops


@each_program
def test_reverse(program: Program) -> None:
    x = program.point.copy()
    value, g = ad.value_and_grad(program.function)(x)
    np.testing.assert_array_equal(x, program.point, "the caller's array has changed")
    assert type(g) is np.ndarray
    assert_close(value, program.value(x), 1e-14, what="value")
    assert_close(g, program.gradient, RTOL, what="gradient")


@each_program
def test_forward(program: Program) -> None:
    x, v = program.point, random_like(seeded(program), program.point)
    value, t = ad.jvp(program.function, (x,), (v,))
    assert_close(value, program.value(x), 1e-14, what="value")
    assert_close(t, np.sum(program.gradient * v), RTOL, np.sum(np.abs(program.gradient * v)), "tangent")


@each_program
def test_second_order(program: Program) -> None:
    """The Hessian times a vector: reverse over reverse and forward over reverse."""
    gradient = ad.grad(program.function)
    x, v = program.point, random_like(seeded(program), program.point)
    expected = directional(gradient, [x], [v], STEP)
    scale = 1e-2 * float(np.max(np.abs(program.gradient)))
    assert_close(ad.grad(lambda x: (gradient(x) * v).sum())(x), expected, RTOL, scale, "reverse over reverse")
    assert_close(ad.jvp(gradient, (x,), (v,))[1], expected, RTOL, scale, "forward over reverse")


@pytest.mark.parametrize("program", [p for p in programs.load() if str(p) not in ITERATE_TO_DOUBLE_PRECISION], ids=str)
def test_single_precision(program: Program) -> None:
    """float32 in, a float32 gradient out, whatever a program mixes with it."""
    g = ad.grad(program.function)(program.point.astype(np.float32))
    assert g.dtype == np.float32
    assert_close(g, program.gradient, 2e-3, what="gradient")


def test_there_are_many() -> None:
    assert len(programs.load()) >= 80
    assert all(np.any(p.gradient != 0) for p in programs.load())
