"""Invalid operations in native code: a nan of numbers that are none is noted, as NumPy notes it.

Derivatives are recorded without the masks that an invalid operation calls for, so a program has to know of one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.compiler import llvm_math
from autodiff.compiler.graph import Graph
from autodiff.compiler.lower import lower

pytest.importorskip("llvmlite")
native = pytest.importorskip("autodiff.compiler.native")

inf = np.inf
# Operands where the result is nan, and others at which nothing must be noted.
CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "log": ([-1.0, -1e-30, -inf], [1.0, 0.5, 1e30, inf]),
    "log2": ([-1.0, -inf], [1.0, 0.5, inf]),
    "log10": ([-1.0, -inf], [1.0, 0.5, inf]),
    "log1p": ([-1.5, -inf], [1.0, -0.5, 0.0, 1e30]),
    "sqrt": ([-1.0, -inf], [0.0, -0.0, 2.0, inf]),
    "sin": ([inf, -inf], [0.0, 1.0, -1e22]),
    "cos": ([inf, -inf], [0.0, 1.0, -1e22]),
    "tan": ([inf, -inf], [0.0, 1.0, -1e22]),
    "arcsin": ([1.5, -inf], [0.0, 1.0, -1.0, 0.3]),
    "arccos": ([1.5, -inf], [0.0, 1.0, -1.0, 0.3]),
    "arctanh": ([1.5, -inf], [0.0, 0.3, -0.9]),
    "arccosh": ([0.5, -inf], [1.0, 1.5, 1e30]),
    "power": (
        [(-1.5, 2.5), (-3.0, 0.1)],
        [(-1.5, 3.0), (2.0, -0.5), (0.0, 2.0), (-2.0, -2.0)],
    ),
    "divide": ([(0.0, 0.0), (inf, inf)], [(1.0, 3.0), (0.0, 2.0), (1.0, inf)]),
    "subtract": ([(inf, inf)], [(inf, 1.0), (1.0, 1.0)]),
    "multiply": ([(0.0, inf)], [(inf, 1.0), (0.0, 1.0)]),
    "exp": ([], [0.0, 1.0, -inf, inf, -800.0]),
    "tanh": ([], [0.0, 1.0, -inf, inf]),
}


def program(op: str, count: int, size: int, dtype: Any) -> Any:
    graph = Graph()
    inputs = [graph.input((size,), dtype) for _ in range(count)]
    graph.outputs = [graph.add(op, inputs, (), (size,), np.dtype(dtype))]
    return native.Program(lower(graph, llvm_math))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("size", [1, 8, 37])
@pytest.mark.parametrize("op", CASES)
def test_invalid_operations_are_noted(op: str, size: int, dtype: str) -> None:
    bad, good = CASES[op]
    count = 2 if isinstance((bad + good)[0], tuple) else 1
    run = program(op, count, size, dtype).run

    def arrays(chosen: Any, at: int) -> list[Any]:
        columns = [np.full(size, v, dtype) for v in (good[0] if count == 2 else (good[0],))]
        for column, v in zip(columns, chosen if count == 2 else (chosen,), strict=True):
            column[at] = v
        return columns

    for at in {0, size - 1}:
        for x in good:
            (y,), invalid = run(arrays(x, at))
            assert not invalid, f"{op}({x}) = {y[at]} is not invalid"
        for x in bad:
            (y,), invalid = run(arrays(x, at))
            assert np.isnan(y[at])
            assert invalid, f"{op}({x}) is invalid"


X = np.array([0.5, 1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("f", "bad"),
    [
        (lambda x: np.where(x > 0, x**2.5, 0.0).sum(), -X),
        (lambda x: np.where(x > 0, x**x, 0.0).sum(), -X),
        (lambda x: np.where(np.isfinite(x), np.sin(x), 0.0).sum(), X * inf),
        (lambda x: np.where(np.isfinite(x), np.tan(x), 0.0).sum(), X * inf),
        (lambda x: np.where(x > 0, np.log(x) * np.sqrt(x), 0.0).sum(), -X),
        (lambda x: np.where(np.abs(x) < 1, np.arctanh(x), 0.0).sum(), 2 + X),
    ],
)
def test_derivatives_are_masked_when_they_have_to_be(f: Any, bad: Any) -> None:
    gradient = ad.jit(ad.grad(f))
    with np.errstate(all="ignore"):
        for x in (0.1 * X, 0.2 * X, bad, bad, 0.1 * X):
            np.testing.assert_allclose(gradient(x), ad.grad(f)(x), 1e-12)
