"""Recorded programs as kernels: random graphs against NumPy, and what has to be one kernel is one."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff.compiler.graph import Graph, Node, c_strides
from autodiff.compiler.interpret import Interpreted, Mismatch, strided
from autodiff.compiler.lower import lower
from autodiff.compiler.plan import Call, Gemm, Launch, Plan

from compiler_driver import Driver, Libm, module

f4, f8, i4, i8, b1 = (np.dtype(t) for t in ("f4", "f8", "i4", "i8", "?"))


class Write:
    """A graph, written like NumPy."""

    def __init__(self, dtype: Any = f8) -> None:
        self.graph, self.dtype = Graph(), dtype

    def input(self, *shape: int, dtype: Any = None) -> Node:
        return self.graph.input(shape, dtype or self.dtype)

    def lift(self, x: Any, dtype: Any = None) -> Node:
        return x if isinstance(x, Node) else self.graph.constant(np.asarray(x, dtype or self.dtype))

    def __getattr__(self, op: str) -> Any:
        """An elementwise operation."""

        def apply(*inputs: Any) -> Node:
            like = next((x.dtype for x in inputs[-2:] if isinstance(x, Node)), self.dtype)
            nodes = [self.lift(x, like) for x in inputs]
            shape = np.broadcast_shapes(*[n.shape for n in nodes])
            dtype = nodes[-1].dtype
            if op in BOOLEAN:
                dtype = b1
            return self.graph.add(op, nodes, (), shape, dtype)

        return apply

    def cast(self, x: Node, dtype: Any) -> Node:
        return self.graph.add("cast", (x,), (), x.shape, np.dtype(dtype))

    def fold(self, op: str, x: Node, axis: Any = None, keepdims: bool = False) -> Node:
        axes = tuple(range(len(x.shape))) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = tuple(sorted(a % len(x.shape) for a in axes))
        shape = tuple(n for a, n in enumerate(x.shape) if a not in axes)
        out = self.graph.add(op, (x,), (axes,), shape, x.dtype)
        return self.reshape(out, *(1 if a in axes else n for a, n in enumerate(x.shape))) if keepdims else out

    def sum(self, x: Node, axis: Any = None, keepdims: bool = False) -> Node:
        return self.fold("sum", x, axis, keepdims)

    def reshape(self, x: Node, *shape: int) -> Node:
        if x.op == "view":
            x = self.graph.add("copy", (x,), (), x.shape, x.dtype)
        return self.graph.view(x, 0, c_strides(shape), shape)

    def index(self, x: Node, key: Any) -> Node:
        """Any basic index, transposition or broadcast: what NumPy makes of it."""
        start, base = (x.params[0], x.inputs[0]) if x.op == "view" else (0, x)
        memory = np.arange(base.size)
        array = strided(memory, start, x.params[1] if x.op == "view" else c_strides(x.shape), x.shape)
        array = np.asarray(key(array) if callable(key) else array[key])
        offset = (array.ctypes.data - memory.ctypes.data) // 8 if array.size else 0
        return self.graph.view(base, offset, tuple(s // 8 for s in array.strides), array.shape)

    def T(self, x: Node) -> Node:
        return self.index(x, np.transpose)

    def matmul(self, x: Node, y: Node) -> Node:
        shape = (*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1])
        return self.graph.add("matmul", (x, y), (), shape, x.dtype)

    def put(self, x: Node, value: Any, offset: int, strides: Any, shape: Any) -> Node:
        return self.graph.add("put", (x, self.lift(value, x.dtype)), (offset, strides, shape), x.shape, x.dtype)

    def returns(self, *outputs: Node) -> Graph:
        self.graph.outputs = list(outputs)
        return self.graph


BOOLEAN = frozenset(
    "equal not_equal greater greater_equal less less_equal logical_and logical_or logical_xor logical_not isnan isinf "
    "isfinite signbit".split()
)


def run(graph: Graph, arrays: list[Any], exact: bool = False) -> tuple[list[Any], Plan]:
    plan = lower(graph, Libm, exact)
    return Driver(plan, Libm)(arrays), plan


def compare(graph: Graph, *arrays: Any, exact: bool = True, rtol: float | None = None) -> Plan:
    """Runs a graph both ways."""
    with np.errstate(all="ignore"):
        expected = Interpreted(graph)(list(arrays))
    found, plan = run(graph, list(arrays), exact)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        eps = np.finfo(a.dtype).eps if a.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, b, rtol=50 * eps if rtol is None else rtol, atol=50 * eps)
    return plan


def launches(plan: Plan) -> list[Launch]:
    return [s for s in plan.steps if isinstance(s, Launch)]


def test_elementwise_sums_and_views_share_a_kernel(rng: Any) -> None:
    w = Write(f4)
    x, y = w.input(4, 6), w.input(6)
    a = w.multiply(x, y)
    outputs = [a, w.sum(a, 1), w.sum(a), w.sum(a, 0), w.exp(w.index(a, np.s_[:, 1::2])), w.T(a), x, a]
    plan = compare(w.returns(*outputs), rng.normal(size=(4, 6)).astype(f4), rng.normal(size=6).astype(f4), rtol=1e-6)
    assert len(launches(plan)[0].nodes) == 4
