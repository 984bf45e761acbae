"""jit over the plain NumPy programs and over random ones: their values, gradients and Hessian-vector products."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hypothesis
import numpy as np
import programs
import pytest
from checks import random_like, seeded
from test_programs import Program as Random
from test_programs import many
from test_programs import programs as random_programs

import autodiff as ad
from autodiff import JitWarning
from autodiff.compiler import llvm_math
from autodiff.compiler.interpret import Interpreted
from autodiff.compiler.lower import lower
from autodiff.compiler.plan import Check, Gemm, Launch

each_program = pytest.mark.parametrize("program", programs.load(), ids=str)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def moved(x: Any, k: int) -> Any:
    """A point nearby."""
    return x * (1 + 1e-3 * k)


def agree(f: Callable[..., Any], points: Sequence[Any], rtol: float = 1e-9) -> Any:
    jitted = ad.jit(f)
    for x in points:
        expected, found = f(x.copy()), jitted(x)
        scale = float(np.max(np.abs(expected), initial=0))
        np.testing.assert_allclose(found, expected, rtol, rtol * scale)
        assert np.asarray(found).dtype == np.asarray(expected).dtype
    return jitted


@each_program
@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
@pytest.mark.parametrize("order", ["value", "gradient", "product"])
def test_plain_programs(program: programs.Program, order: str) -> None:
    f = program.function
    if order == "gradient":
        f = ad.grad(program.function)
    elif order == "product":
        v = random_like(seeded(program), program.point)
        f = lambda x: ad.hvp(program.function)(x, v)
    agree(f, [moved(program.point, k) for k in (0, 0, 1, 2)])


@each_program
@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
@pytest.mark.parametrize("order", ["gradient", "product"])
def test_derivatives_of_compiled_programs(program: programs.Program, order: str) -> None:
    """A forward program and a backward one; and what is made anew."""
    v = random_like(seeded(program), program.point)
    make = ad.grad if order == "gradient" else lambda f: lambda x: ad.hvp(f)(x, v)
    found, expected = make(ad.jit(program.function)), make(program.function)
    for k in (0, 0, 1, 2):
        x = moved(program.point, k)
        y = expected(x.copy())
        np.testing.assert_allclose(found(x), y, 1e-9, 1e-9 * float(np.max(np.abs(y), initial=0)))


def test_most_are_programs() -> None:
    """How many run as they are, value and gradient: the number may fall, but not grow."""
    eager = []
    for program in programs.load():
        jitted = ad.jit(ad.value_and_grad(program.function))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JitWarning)
            for k in range(3):
                jitted(moved(program.point, k))
        eager += [str(program) for entry in jitted._call.entries.values() if entry.eager]
    assert len(eager) <= 4, eager


NATIVE = 0.979  # the share of the operations of all these programs that no NumPy call computes: it may only grow


def test_most_operations_are_native() -> None:
    counts = {"native": 0, "NumPy": 0}
    for program in programs.load():
        jitted = ad.jit(ad.value_and_grad(program.function))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JitWarning)
            jitted(program.point)
        for entry in jitted._call.entries.values():
            for recorded in entry.programs:
                for step in lower(recorded.graph, llvm_math).steps:
                    if type(step) is Launch:
                        counts["native"] += len(step.nodes)
                    elif type(step) is not Check:
                        counts["native" if type(step) is Gemm else "NumPy"] += 1
    share = counts["native"] / sum(counts.values())
    assert share >= NATIVE, f"{share:.4f} of {sum(counts.values())} operations"


@many
@hypothesis.given(random_programs())
@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
def test_random_programs(program: Random) -> None:
    def gradients(*xs: Any) -> Any:
        return ad.grad(lambda *xs: np.sum(program(*xs)), tuple(range(len(xs))))(*xs)

    def outside(*xs: Any) -> Any:
        return ad.grad(lambda *xs: np.sum(inner(*xs)), tuple(range(len(xs))))(*xs)

    inner = ad.jit(program.function)
    for f, jitted in (
        (program.function, ad.jit(program.function)),
        (gradients, ad.jit(gradients)),
        (gradients, outside),
    ):
        for k in range(3):
            xs = [moved(x, k) for x in program.inputs]
            expected, found = f(*xs), jitted(*xs)
            both = [(found, expected)] if not isinstance(expected, tuple) else zip(found, expected, strict=True)
            for a, b in both:
                np.testing.assert_allclose(a, b, 1e-8, 1e-8 * max(1e-3, float(np.max(np.abs(b), initial=0))))


def test_out_of_memory_is_no_reason_to_run_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODIFF_JIT", "numpy")
    jitted, x = ad.jit(lambda x: np.exp(x) + 1), np.ones(3)
    jitted(x)

    def run(self: Any, arrays: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(Interpreted, "run", run)
    with pytest.raises(MemoryError):
        jitted(x)
    assert jitted.cache_info().recordings == 1
