"""explain(): a line for each kind of step, what they come to, and how long they took."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import numpy as np
import pytest

import autodiff as ad

pytest.importorskip("llvmlite")

LINE = re.compile(r"(kernel|BLAS|NumPy|guard)  +\S.*")
TIME = re.compile(r"([\d.e+]+) (µs|ms|s)\b")


def mixed(x: Any, w: Any) -> Any:
    y = np.tanh(x @ w) ** 2
    if y.sum() > 1.0:
        y = np.fft.rfft(y)
    return y


@pytest.fixture
def jitted(rng: Any) -> Any:
    f = ad.jit(mixed)
    f(rng.normal(size=(100, 10)), np.ones(10))
    return f


def seconds(text: str) -> list[float]:
    return [float(n) * {"µs": 1e-6, "ms": 1e-3, "s": 1.0}[unit] for n, unit in TIME.findall(text)]


def test_each_step_is_a_line(jitted: Any) -> None:
    title, *lines, total = jitted.explain().split("\n")
    assert title == "program 1: 12 operations, for float64[100, 10], float64[10]; guards: True"
    assert [line.split()[0] for line in lines] == ["BLAS", "kernel", "guard", "NumPy"]
    assert all(LINE.fullmatch(line) for line in lines)
    assert "rfft: no kernels for complex128" in lines[-1]
    assert lines[1].endswith("1.61 kB")  # 100 numbers in, 100 out, a total and a truth value
    assert total.startswith("1 kernels, 1 products, 1 NumPy; ")
    assert not seconds("\n".join(lines))


def test_with_arguments_the_steps_are_timed(jitted: Any, rng: Any) -> None:
    text = jitted.explain(rng.normal(size=(100, 10)), np.ones(10))
    _, *lines, total = text.split("\n")
    times = [seconds(line)[0] for line in lines]
    assert len(times) == 4 and all(0 <= t < 1 for t in times) and sum(times) > 0
    assert "GFLOP/s" in lines[0] and "GB/s" in lines[1]
    (whole,) = seconds(total)
    assert whole == pytest.approx(sum(times), rel=0.02)
    share = int(re.search(r"(\d+) % of it native", total)[1])  # type: ignore[index]
    assert share == pytest.approx(100 * (1 - times[-1] / whole), abs=2)
    assert all(len(line) <= 120 for line in lines)


def test_times_that_are_nothing_but_rounding_errors(jitted: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("autodiff.compiler.program.times", lambda plan, arrays: [3.6379788e-12] * len(plan.steps))
    _, *lines, total = jitted.explain(np.ones((100, 10)), np.ones(10)).split("\n")
    assert len(lines) == 4 and all(re.search(r"B +0 µs +$", line) for line in lines), lines
    assert "; 0 µs, " in total


def test_the_program_that_is_timed_is_that_for_the_arguments(jitted: Any, rng: Any) -> None:
    jitted(rng.normal(size=(100, 10)), np.zeros(10))  # the other branch
    assert "rfft" not in jitted.explain(rng.normal(size=(100, 10)), np.zeros(10))
    assert "rfft" in jitted.explain(rng.normal(size=(100, 10)), np.ones(10))
    assert jitted.explain().count("program ") == 2


def test_without_a_program_it_says_so(jitted: Any) -> None:
    assert ad.jit(mixed).explain() == "it has not been called yet"
    with pytest.raises(ad.OperandError, match=r"explain: mixed has no program .*; call it with them first"):
        jitted.explain(np.ones((3, 10)), np.ones(10))
    texts: list[Any] = []
    eager = ad.jit(lambda x: (texts.append(repr(np.asarray(x))), x)[1])
    with pytest.warns(ad.JitWarning):
        eager(np.ones(3))
    with pytest.raises(ad.OperandError, match="no program for these arguments: it "):
        eager.explain(np.ones(3))


def test_numpy_runs_it(monkeypatch: Any) -> None:
    monkeypatch.setenv("AUTODIFF_JIT", "numpy")
    f = ad.jit(np.exp)
    f(np.ones(3))
    with pytest.raises(ad.OperandError, match="NumPy runs this program"):
        f.explain(np.ones(3))


def test_nothing_changes(rng: Any) -> None:
    """Neither what f captures, nor the generators that it draws from, nor the counts."""
    model = ad.nn.Linear(5, 3)
    optimizer = ad.optim.SGD(model.parameters(), lr=0.1)
    noise = np.random.default_rng(0)

    @ad.jit
    def step(x: Any) -> Any:
        loss = (model(x + noise.normal(size=x.shape)) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x = rng.normal(size=(4, 5))
    step(x), step(x)
    before = [p.data.copy() for p in model.parameters()], noise.bit_generator.state, step.cache_info()
    text = step.explain(x)
    assert "BLAS" in text and seconds(text)
    after = [p.data for p in model.parameters()], noise.bit_generator.state, step.cache_info()
    assert all((a == b).all() for a, b in zip(before[0], after[0], strict=True))
    assert before[1:] == after[1:]


def test_steps_that_are_alike_are_one_line(rng: Any) -> None:
    def rnn(w: Any, xs: Any) -> Any:
        h = np.zeros((8, 16))
        for t in range(len(xs)):
            h = np.tanh(xs[t] + h @ w)
        return h

    f = ad.jit(rnn)
    f(rng.normal(size=(16, 16)), rng.normal(size=(20, 8, 16)))
    text = f.explain()
    assert len(text.split("\n")) < 8
    assert re.search(r"BLAS +20 x \(8, 16\) @ \(16, 16\) float64", text), text
    assert re.search(r"^\d+ kernels, 20 products, 0 NumPy", text, re.M)


def test_long_lines_are_cut(rng: Any) -> None:
    f = ad.jit(lambda *xs: sum(np.sinh(x) * np.cosh(x) for x in xs))
    f(*[rng.normal(size=(3, 4)) for _ in range(12)])
    title, line, _ = f.explain().split("\n")
    assert title.endswith("float64[3, 4], ... 12 in all") and " in all " in line
    assert all(len(each) <= 120 for each in f.explain(*[rng.normal(size=(3, 4)) for _ in range(12)]).split("\n")[1:-1])


def test_the_program_for_tracked_arguments_is_found() -> None:
    w = np.ones(3)
    f, captured = ad.jit(lambda v: (v * v).sum()), ad.Value(w)
    g = ad.jit(lambda x: (x * captured).sum())
    for _ in range(2):
        f(ad.Value(w)), g(w)
        with ad.no_grad():
            f(ad.Value(w)), g(w)
    for recording in (True, False):
        with contextlib.nullcontext() if recording else ad.no_grad():
            assert "program 1: " in f.explain(ad.Value(w))
            assert "program 1: " in g.explain(w)
