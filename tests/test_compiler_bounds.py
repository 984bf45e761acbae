"""Kernels that compare each address with its buffer, as AUTODIFF_JIT_DEBUG=1 asks for: what they find, and what not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import programs
import pytest
from checks import random_like, seeded
from test_jit_programs import agree, moved

import autodiff as ad

pytest.importorskip("llvmlite")

from autodiff.compiler import llvm_math
from autodiff.compiler import program as running
from autodiff.compiler.bounds import BoundsError
from autodiff.compiler.interpret import Interpreted
from autodiff.compiler.lower import lower
from autodiff.compiler.native import Program
from autodiff.compiler.plan import Launch, Plan

ROWS, COLUMNS = np.arange(4), np.array([5, 0, -1, 5])

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "elementwise": lambda x: np.exp(x) * 2,
    "views": lambda x: x[::-1, 1:] * x.T[:6, :1].T[:, :1],
    "sums": lambda x: np.tanh(x).sum(0),
    "softmax": lambda x: np.exp(x - x.max(1, keepdims=True)) / np.exp(x).sum(1, keepdims=True),
    "gather": lambda x: x[ROWS, COLUMNS] * 2,
    "scatter": lambda x: ad.grad(lambda x: (x[:, COLUMNS] ** 2).sum())(x),
    "put": lambda x: np.concatenate([x[:, :3] * 2, x], 1),
    "total": lambda x: x / np.sqrt((x * x).sum()),
}


@pytest.fixture(autouse=True)
def checked(monkeypatch: Any) -> None:
    monkeypatch.setenv("AUTODIFF_JIT_DEBUG", "1")


def recorded(f: Callable[..., Any], x: Any) -> Any:
    jitted = ad.jit(f, strict=True)
    jitted(x)
    (entry,) = jitted._call.entries.values()
    return entry.programs[0].graph


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_operand_is_checked(name: str, rng: Any) -> None:
    """Operands moved on, or back, by the length of their buffer: the kernel, the operand and the place are named."""
    assert moved_operands_are_found(FUNCTIONS[name], rng.normal(size=(4, 6))) >= 4


@pytest.mark.parametrize("name", ["elementwise", "views", "sums", "softmax", "total"])
def test_parts_are_checked(name: str, rng: Any) -> None:
    """Also where several threads compute one kernel, and put together what they fold."""
    x = rng.normal(size=(500, 700))
    plan = lower(recorded(FUNCTIONS[name], x), llvm_math, checked=True)
    assert any(isinstance(step, Launch) and step.kernel.parts > 1 for step in plan.steps)
    assert moved_operands_are_found(FUNCTIONS[name], x) >= 4


def moved_operands_are_found(f: Callable[..., Any], x: Any) -> int:
    graph = recorded(f, x)
    plan = lower(graph, llvm_math, checked=True)
    eps = np.finfo(float).eps  # sums of len(x) terms of about 1
    np.testing.assert_allclose(Program(plan)([x])[0], Interpreted(graph)([x])[0], 1e-14, len(x) * eps)
    tried = 0
    for i, step in enumerate(plan.steps):
        for k, (buffer, offset) in enumerate(step.operands if isinstance(step, Launch) else ()):
            assert isinstance(step, Launch)
            for by in (plan.buffers[buffer].nbytes, -plan.buffers[buffer].nbytes):
                operands = list(step.operands)
                operands[k] = (buffer, offset + by)
                steps = [*plan.steps]
                steps[i] = step._replace(operands=tuple(operands))
                with pytest.raises(BoundsError, match=rf"{step.kernel.symbol} .* byte -?\d+ of .* operand {k},"):
                    Program(plan._replace(steps=steps))([x])
                tried += 1
    return tried


def test_one_element_too_far_is_found(rng: Any) -> None:
    x = rng.normal(size=100)
    plan = lower(recorded(lambda x: np.sqrt(np.abs(x)), x), llvm_math, checked=True)
    (step,) = plan.steps
    assert isinstance(step, Launch)
    ends = {}
    for k, (buffer, _) in enumerate(step.operands):
        for by, byte in ((8, 800), (-8, -8), (1, 793)):
            operands = list(step.operands)
            operands[k] = (buffer, by)
            with pytest.raises(BoundsError) as caught:
                Program(plan._replace(steps=[step._replace(operands=tuple(operands))]))([x])
            ends[k, by] = f"reaches byte {byte} of the 800 bytes of its operand {k}" in str(caught.value)
    assert len(ends) == 4 + 2 and all(ends.values())


def test_a_jitted_function_raises_it(rng: Any, monkeypatch: Any) -> None:
    def planted(*args: Any, **kwargs: Any) -> Plan:
        plan = lower(*args, **kwargs)
        steps = [s._replace(operands=((s.operands[0][0], 8), *s.operands[1:])) for s in plan.steps]
        return plan._replace(steps=steps)

    monkeypatch.setattr(running, "lower", planted)
    x = rng.normal(size=(7, 3))
    jitted = ad.jit(lambda x: np.cosh(x).sum(1))
    jitted(x)
    for _ in range(2):
        with pytest.raises(BoundsError, match="a bug of the compiler"):
            jitted(x)


def test_without_it_nothing_is_checked(rng: Any, monkeypatch: Any) -> None:
    graph = recorded(FUNCTIONS["softmax"], rng.normal(size=(4, 6)))
    for setting in ("", "0", None):
        if setting is None:
            monkeypatch.delenv("AUTODIFF_JIT_DEBUG")
        else:
            monkeypatch.setenv("AUTODIFF_JIT_DEBUG", setting)
        runner = running._runner_of(graph)
        assert not any("checked" in s.kernel.text for s in runner.plan.steps if isinstance(s, Launch))


def program_is_within_bounds(program: programs.Program) -> None:
    v = random_like(seeded(program), program.point)
    product = lambda x: ad.hvp(program.function)(x, v)
    for f in (program.function, ad.grad(program.function), product):
        agree(f, [moved(program.point, k) for k in (0, 0, 1)])


@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
@pytest.mark.parametrize("program", programs.load()[::12], ids=str)
def test_some_programs(program: programs.Program) -> None:
    program_is_within_bounds(program)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
@pytest.mark.parametrize("program", programs.load(), ids=str)
def test_all_programs(program: programs.Program) -> None:
    program_is_within_bounds(program)
