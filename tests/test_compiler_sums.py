"""Small products that are done together: of slices, and in sums."""

import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from compiler_driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff.compiler import llvm_math
from autodiff.compiler.graph import Graph, Node
from autodiff.compiler.interpret import Interpreted
from autodiff.compiler.lower import lower
from autodiff.compiler.plan import Gemm
from autodiff.compiler.simplify import simplified

f4 = np.dtype("f4")


def rnn(W: Any, U: Any, x: Any) -> Any:
    s = np.zeros_like(x[0])
    for t in range(len(x)):
        s = np.tanh(s @ W + x[t] @ U)
    return (s * s).sum()


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
def test_an_rnn_has_few_products_besides_those_of_its_states(steps: int, rng: Any) -> None:
    W, U = (rng.normal(0, 0.3, (8, 8)) for _ in range(2))
    x = rng.normal(size=(steps, 4, 8))
    f = ad.value_and_grad(rnn, (0, 1, 2))
    program = ad.jit(f)
    for _ in range(3):
        (a, found), (b, expected) = program(W, U, x), f(W, U, x)
        np.testing.assert_allclose(a, b, rtol=1e-12)
        for p, q in zip(found, expected):
            np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-12)
    program = ad.jit(ad.value_and_grad(rnn, (0, 1)))
    program(W, U, x), program(W, U, x)
    products = re.search(r"(\d+) products", program.explain())
    assert products and int(products[1]) <= 2 * steps + 12


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_random_sums_of_products(data: Any) -> None:
    """Operands that are inputs, slices, computed, transposed, used twice, and returned."""
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    m, k, n = (data.draw(st.integers(1, 4)) for _ in range(3))
    count = data.draw(st.integers(2, 40))
    graph = Graph()
    big = {"x": graph.input((count, k, m), f4), "y": graph.input((count, k, n), f4)}
    arrays = [rng.normal(size=b.shape).astype(f4) for b in big.values()]
    extra: list[Node] = []

    def operand(name: str, t: int, kind: str) -> Node:
        width = m if name == "x" else n
        found = graph.view(big[name], t * k * width, (width, 1), (k, width))
        if kind == "computed":
            found = graph.add("exp", (found,), (), found.shape, f4)
        if kind == "chained" and extra:
            found = graph.add("tanh", (found,), (), found.shape, f4)
            extra.append(found)
        if kind == "returned":
            found = graph.add("square", (found,), (), found.shape, f4)
            graph.outputs.append(found)
        if name == "y":
            return found
        base, start = (found.inputs[0], found.params[0]) if found.op == "view" else (found, 0)
        return graph.view(base, start, (1, width), (width, k))

    kinds = st.sampled_from(["slice", "computed", "computed", "chained", "returned"])
    fixed = {name: data.draw(kinds) for name in "xy"} if data.draw(st.booleans()) else None
    total = None
    for t in data.draw(st.permutations(range(count))):
        x, y = (operand(name, t, fixed[name] if fixed else data.draw(kinds)) for name in "xy")
        product = graph.add("matmul", (x, y), (), (m, n), f4)
        if data.draw(st.integers(0, 15)) == 0:
            graph.outputs.append(graph.add("negative", (product,), (), (m, n), f4))
        if total is None:
            total = product
        else:
            total = graph.add("add", (total, product) if data.draw(st.booleans()) else (product, total), (), (m, n), f4)
    assert total is not None
    graph.outputs.append(total)
    if data.draw(st.booleans()):
        graph.outputs.append(graph.add("multiply", (total, total), (), (m, n), f4))
    expected = Interpreted(graph)(arrays)
    for found in (Interpreted(simplified(graph))(arrays), Driver(lower(graph, llvm_math), llvm_math)(arrays)):
        for p, q in zip(found, expected, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_products_of_slices_with_one_matrix(data: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    rows = data.draw(st.integers(1, 3))
    graph = Graph()
    x, w = graph.input((24, 4), f4), graph.input((4, 5), f4)
    starts = data.draw(st.lists(st.integers(0, 24 - rows), min_size=1, max_size=8))
    last = w
    for start in starts:
        view = graph.view(x, start * 4, (4, 1), (rows, 4))
        product = graph.add("matmul", (view, w), (), (rows, 5), f4)
        kind = data.draw(st.sampled_from(["returned", "used", "transposed", "sliced"]))
        if kind == "used":
            product = graph.add("exp", (product,), (), product.shape, f4)
        if kind == "transposed":
            product = graph.view(product, 0, (1, 5), (5, rows))
            product = graph.add("copy", (product,), (), product.shape, f4)
        if kind == "sliced":
            product = graph.view(product, 1, (5, 2), (rows, 2))
            product = graph.add("sum", (product,), ((0,),), (2,), f4)
        graph.outputs.append(product)
        last = product
    assert last is not w
    arrays = [rng.normal(size=n.shape).astype(f4) for n in graph.inputs]
    expected = Interpreted(graph)(arrays)
    for found in (Interpreted(simplified(graph))(arrays), Driver(lower(graph, llvm_math), llvm_math)(arrays)):
        for p, q in zip(found, expected, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-4)


def test_adjacent_slices_are_one_product() -> None:
    graph = Graph()
    x, w = graph.input((6, 4), f4), graph.input((4, 5), f4)
    views = [graph.view(x, 8 * i, (4, 1), (2, 4)) for i in (2, 0, 1)]
    products = [graph.add("matmul", (v, w), (), (2, 5), f4) for v in views]
    graph.outputs = [graph.add("exp", (p,), (), (2, 5), f4) for p in products]
    plan = lower(graph, llvm_math)
    assert [s.x.shape for s in plan.steps if isinstance(s, Gemm)] == [(6, 4)]
