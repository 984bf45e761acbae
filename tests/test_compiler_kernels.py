"""Recorded programs as kernels: random graphs against NumPy, and what has to be one kernel is one."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from compiler_driver import Driver, Libm
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff.compiler import fuse, llvm_math, objects
from autodiff.compiler.graph import Graph, Node, c_strides
from autodiff.compiler.interpret import Hole, Interpreted, Mismatch, strided
from autodiff.compiler.lower import lower
from autodiff.compiler.plan import Call, Check, Gemm, Launch, Plan

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
        array = key(array) if callable(key) else array[(*key, ...) if isinstance(key, tuple) else (key, ...)]
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


COMPARISONS = "equal not_equal greater greater_equal less less_equal logical_and logical_or logical_xor logical_not"
BOOLEAN = frozenset((*COMPARISONS.split(), "isnan", "isinf", "isfinite", "signbit"))


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
    assert max(len(s.nodes) for s in launches(plan)) == 5


# every operation on every special value

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, np.inf, -np.inf, np.nan, 1e-45, 1e30, -7.0]
INTEGERS = [0, 1, -1, 2, 7, -(2**31), 2**31 - 1]
UNARY = "negative positive absolute sign square logical_not conjugate"
REAL = "fabs sqrt reciprocal isnan isinf isfinite signbit floor ceil trunc rint deg2rad rad2deg"
BINARY = (
    "add subtract multiply maximum minimum fmax fmin equal not_equal greater greater_equal less less_equal logical_and "
    "logical_or logical_xor"
)
BITWISE = "bitwise_and bitwise_or bitwise_xor"


@pytest.mark.parametrize("dtype", [f4, f8, i4, i8, b1])
def test_each_operation_is_numpys(dtype: Any) -> None:
    values = np.array(SPECIAL if dtype.kind == "f" else INTEGERS if dtype.kind == "i" else [0, 1]).astype(dtype)
    x, y = (a.ravel().copy() for a in np.meshgrid(values, values))
    w = Write(dtype)
    a, b = w.input(len(x)), w.input(len(x))
    unary = {"f": UNARY.split() + REAL.split(), "i": [*UNARY.split(), "invert"], "b": ["logical_not", "invert"]}
    binary = (
        BINARY.split()
        + {"f": ["divide", "copysign", "heaviside"], "i": BITWISE.split(), "b": BITWISE.split()}[dtype.kind]
    )
    if dtype == b1:
        binary.remove("subtract")
    names = [(op, 1) for op in unary[dtype.kind]] + [(op, 2) for op in binary]
    nodes = [getattr(w, op)(*(a, b)[:n]) for op, n in names]
    nodes += [getattr(w, op)(a, w.lift(v)) for op in ("maximum", "fmin") for v in values[:3]]
    nodes += [getattr(w, op)(w.lift(v), a) for op in ("maximum", "fmin") for v in values[:3]]
    graph = w.returns(*nodes)
    with np.errstate(all="ignore"):
        expected = Interpreted(graph)([x, y])
    found, plan = run(graph, [x, y], exact=True)
    assert not any(isinstance(s, Call) for s in plan.steps), [s.reason for s in plan.steps if isinstance(s, Call)]
    for node, p, q in zip(nodes, found, expected, strict=True):
        assert p.dtype == q.dtype
        assert np.array_equal(p, q, equal_nan=dtype.kind == "f"), (node, x[p != q], y[p != q], p[p != q], q[p != q])


@pytest.mark.parametrize("source", [f4, f8, i4, i8, b1])
@pytest.mark.parametrize("target", [f4, f8, i4, i8, b1])
def test_casts_are_numpys(source: Any, target: Any) -> None:
    values = np.array([0, 1, -1, 2.5, -2.5, 1e6, 123456789]).astype(source)
    w = Write(source)
    x = w.input(len(values))
    compare(w.returns(w.cast(x, target)), values)


def test_division_of_integers() -> None:
    w = Write(i8)
    x, y = w.input(3), w.input(3)
    plan = compare(w.returns(w.floor_divide(x, y), w.remainder(x, y)), np.array([7, -7, 3]), np.array([2, 2, 1]))
    assert all(isinstance(step, Launch) for step in plan.steps)


# random programs

SHAPES = [(3, 4), (4,), (3, 1), (1, 4), (), (2, 3, 4), (3,), (12,), (2, 1, 4), (4, 3)]


class Random:
    """A program of random steps over the values there are."""

    def __init__(self, data: Any, dtype: Any) -> None:
        self.draw, self.w, self.dtype = data.draw, Write(dtype), dtype
        shapes = self.draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
        self.pool = [self.w.input(*shape) for shape in shapes]
        self.pool += [self.w.lift(np.full((3, 4), 2)), self.w.lift(1), self.w.lift(0.75 if dtype.kind == "f" else 5)]

    def pick(self, test: Any = lambda n: True) -> Node | None:
        found = [n for n in self.pool if test(n)]
        return self.draw(st.sampled_from(found[::-1])) if found else None

    def fitting(self, x: Node) -> Node:
        def fits(n: Node) -> bool:
            try:
                return np.prod(np.broadcast_shapes(n.shape, x.shape)) <= 64
            except ValueError:
                return False

        found = self.pick(fits)
        assert found is not None
        return found

    def unary(self, x: Node) -> Node:
        return getattr(self.w, self.draw(st.sampled_from(["negative", "absolute", "square"])))(x)

    def binary(self, x: Node) -> Node:
        op = self.draw(st.sampled_from(["add", "subtract", "multiply", "maximum", "minimum"]))
        return getattr(self.w, op)(x, self.fitting(x))

    def where(self, x: Node) -> Node:
        y = self.fitting(x)
        test = getattr(self.w, self.draw(st.sampled_from(["greater", "less_equal", "not_equal"])))(x, y)
        return self.w.where(test, x, self.fitting(self.w.add(x, y)))

    def mask(self, x: Node) -> Node:
        return self.w.multiply(x, self.w.cast(self.w.greater(x, self.w.lift(0)), self.dtype))

    def fold(self, x: Node) -> Node:
        axes = tuple(self.draw(st.sets(st.sampled_from(range(len(x.shape)))))) if x.shape else ()
        op = self.draw(st.sampled_from(["sum", "sum", "sum", "max", "min"]))
        return self.w.fold(op, x, axes, self.draw(st.booleans()))

    def product(self, x: Node) -> Node:
        y = self.pick(lambda n: len(n.shape) == 2)
        if len(x.shape) < 2 or y is None:
            return x
        if x.shape[-1] != y.shape[0]:
            y = self.w.T(y)
        return self.w.matmul(x, y) if x.shape[-1] == y.shape[0] else x

    def view(self, x: Node) -> Node:
        if not x.shape:
            return self.w.index(x, None)
        key = tuple(
            self.draw(st.sampled_from([np.s_[:], np.s_[::-1], np.s_[:1], np.s_[1:], np.s_[::2], 0])) for _ in x.shape
        )
        return self.w.index(x, self.draw(st.sampled_from([key, np.s_[None], np.transpose])))

    def reshape(self, x: Node) -> Node:
        sizes = [shape for shape in SHAPES if np.prod(shape) == x.size]
        return self.w.reshape(x, *self.draw(st.sampled_from(sizes))) if sizes else x

    def put(self, x: Node) -> Node:
        if x.op == "view" or not x.shape or x.size < 2:
            return x
        n = self.draw(st.integers(0, x.size // 2))
        return self.w.put(x, self.pick(lambda v: v.shape in ((), (n,))), self.draw(st.integers(0, 1)), (2,), (n,))

    def part(self, x: Node) -> Node:
        """What a derivative does with slices: adds to a part, in an array or in one of zeros."""
        if x.op == "view" or not x.shape:
            return x
        slices = [np.s_[:], np.s_[::-1], np.s_[:1], np.s_[1:], np.s_[:-1], np.s_[::2]]
        view = self.w.index(x, tuple(self.draw(st.sampled_from(slices)) for _ in x.shape))
        if view is x or not view.size:
            return x
        offset, strides = view.params
        zeros = self.w.lift(np.zeros(x.shape))
        value = self.pick(lambda v: v.shape in ((), view.shape)) or view
        if self.draw(st.booleans()):
            value = self.w.add(self.w.graph.view(x, offset, strides, view.shape), value)
            return self.w.put(x, value, offset, strides, view.shape)
        return self.w.add(x, self.w.put(zeros, value, offset, strides, view.shape))

    def program(self, steps: int) -> Graph:
        kinds = [self.unary, self.binary, self.binary, self.where, self.mask, self.fold, self.fold, self.view]
        kinds += [self.reshape, self.put, self.product, self.product, self.part, self.part, self.part]
        for _ in range(steps):
            x = self.pick()
            assert x is not None
            found = self.draw(st.sampled_from(kinds))(x)
            if found.size and found.size <= 64:
                self.pool.append(found)
        outputs = self.draw(st.lists(st.sampled_from(self.pool[::-1]), min_size=1, max_size=4))
        return self.w.returns(*outputs, self.pool[-1])


@pytest.mark.parametrize("dtype", [f8, i8, i4])
@settings(max_examples=100)
@given(st.data())
def test_random_programs(dtype: Any, data: Any) -> None:
    """Small as the arrays are, they are fused like large ones."""
    graph = Random(data, dtype).program(data.draw(st.integers(1, 14)))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    arrays = [random.integers(-2, 3, n.shape).astype(dtype) for n in graph.inputs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fuse, "WORTH", 1)
        compare(graph, *arrays)


# matrix products


@pytest.mark.parametrize(
    "x, y",
    [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((6, 2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((3, 4), (2, 4, 5))]
    + [((6, 2, 3, 4), (2, 4, 5)), ((6, 1, 3, 4), (2, 4, 5)), ((1, 4), (4, 1)), ((3, 1), (1, 5)), ((2, 1, 4), (4, 1))],
)
def test_products_are_gemms(x: Any, y: Any, rng: Any) -> None:
    w = Write(f8)
    a, b = w.input(*x), w.input(*y)
    plan = compare(w.returns(w.matmul(a, b)), rng.normal(size=x), rng.normal(size=y))
    assert [type(s) for s in plan.steps][-1] is Gemm
    for step in plan.steps:
        if isinstance(step, Gemm):
            for array in (step.x, step.y, step.out):
                assert len(array.shape) in (2, 3, 4)
                down, right = array.strides[-2:]
                assert (right == 1 and down >= array.shape[-1]) or (down == 1 and right >= array.shape[-2])


def test_a_product_reads_transposed_and_sliced_matrices_where_they_are(rng: Any) -> None:
    w = Write(f4)
    x, y = w.input(8, 6), w.input(8, 10)
    z = w.matmul(w.T(x), w.index(y, np.s_[:, 2:7]))
    plan = compare(w.returns(z), rng.normal(size=(8, 6)).astype(f4), rng.normal(size=(8, 10)).astype(f4))
    assert [type(s) for s in plan.steps] == [Gemm]
    w = Write(f4)
    x, y = w.input(8, 6), w.input(8, 10)
    plan = compare(w.returns(w.matmul(w.T(x), w.index(y, np.s_[:, ::2]))), *[np.ones(n.shape, f4) for n in (x, y)])
    assert [type(s) for s in plan.steps] == [Launch, Gemm]


def test_products_of_integers_are_left_to_numpy() -> None:
    w = Write(i8)
    x = w.input(3, 3)
    plan = compare(w.returns(w.matmul(x, w.T(x))), np.arange(9).reshape(3, 3))
    assert [type(s) for s in plan.steps] == [Call]


# programs that have to be few kernels


def softmax(w: Write, x: Node) -> Node:
    e = w.exp(w.subtract(x, w.fold("max", x, 1, True)))
    return w.divide(e, w.sum(e, 1, True))


def layernorm(w: Write, x: Node, gamma: Node, beta: Node, g: Node) -> list[Node]:
    """Value and gradients."""
    mean = lambda v: w.multiply(w.sum(v, 1, True), 1 / x.shape[1])
    d = w.subtract(x, mean(x))
    r = w.divide(1.0, w.sqrt(w.add(mean(w.square(d)), 1e-5)))
    h = w.multiply(d, r)
    gh = w.multiply(g, gamma)
    gx = w.multiply(r, w.subtract(w.subtract(gh, mean(gh)), w.multiply(h, mean(w.multiply(gh, h)))))
    return [w.add(w.multiply(h, gamma), beta), gx, w.sum(w.multiply(g, h), 0), w.sum(g, 0)]


def test_layernorm_and_its_gradient_are_one_kernel(rng: Any) -> None:
    w = Write(f4)
    x, gamma, beta, g = w.input(40, 96), w.input(96), w.input(96), w.input(40, 96)
    arrays = [rng.normal(size=n.shape).astype(f4) for n in (x, gamma, beta, g)]
    plan = compare(w.returns(*layernorm(w, x, gamma, beta, g)), *arrays, rtol=1e-4)
    assert len(plan.steps) == 1


@pytest.mark.parametrize("shape", [(17, 10), (8, 64), (3, 5000)])
def test_softmax_and_its_gradient_are_one_kernel(shape: Any, rng: Any) -> None:
    w = Write(f4)
    x, g = w.input(*shape), w.input(*shape)
    p = softmax(w, x)
    gx = w.multiply(p, w.subtract(g, w.sum(w.multiply(p, g), 1, True)))
    plan = compare(w.returns(p, gx), *[rng.normal(size=shape).astype(f4) for _ in range(2)], rtol=1e-4, exact=False)
    assert len(plan.steps) == 1


def test_what_is_divided_by_its_norm_is_one_kernel_if_it_is_small(rng: Any) -> None:
    for n, steps in ((1000, 1), (100_000, 2)):
        w = Write(f8)
        x = w.input(n)
        plan = compare(w.returns(w.divide(x, w.sqrt(w.sum(w.square(x))))), rng.normal(size=n), exact=False)
        assert len(plan.steps) == steps


def mlp(w: Write, x: Node, y: Node, weights: list[Node], biases: list[Node]) -> list[Node]:
    """The loss of a classifier and one step of gradient descent."""
    hidden, sums = [x], []
    for m, b in zip(weights, biases):
        sums.append(w.add(w.matmul(hidden[-1], m), b))
        hidden.append(w.maximum(sums[-1], 0.0))
    p = softmax(w, sums[-1])
    found = [w.multiply(w.sum(w.multiply(y, w.log(p))), -1 / x.shape[0])]
    g = w.multiply(w.subtract(p, y), 1 / x.shape[0])
    for i in reversed(range(len(weights))):
        found.append(w.subtract(weights[i], w.multiply(w.matmul(w.T(hidden[i]), g), 0.1)))
        found.append(w.subtract(biases[i], w.multiply(w.sum(g, 0), 0.1)))
        if i:
            g = w.multiply(w.matmul(g, w.T(weights[i])), w.cast(w.greater(sums[i - 1], 0.0), w.dtype))
    return found


def test_a_classifiers_step(rng: Any) -> None:
    w = Write(f4)
    sizes = [20, 16, 16, 10]
    x, y = w.input(32, 20), w.input(32, 10)
    weights = [w.input(a, b) for a, b in pairwise(sizes)]
    graph = w.returns(*mlp(w, x, y, weights, [w.input(b) for b in sizes[1:]]))
    arrays = [rng.normal(size=n.shape).astype(f4) for n in graph.inputs]
    plan = compare(graph, *arrays, rtol=2e-3, exact=False)
    found = launches(plan)
    assert len(found) == 11  # 2 of hidden layers, loss and gradient, 2 of gradients, 6 of steps
    assert not any(isinstance(s, Call) for s in plan.steps)
    hidden = next(s for s in found if any(n.op == "maximum" for n in s.nodes))
    assert len(hidden.operands) == 3  # the sum before relu is computed again in the gradient, not stored
    assert all(n.op != "greater" for n in hidden.nodes)


def recurrent(steps: int) -> Graph:
    w = Write(f4)
    xs, wx, wh, state = w.input(steps, 4, 6), w.input(6, 5), w.input(5, 5), w.input(4, 5)
    states, inputs = [state], [w.index(xs, t) for t in range(steps)]
    for x in inputs:
        states.append(w.tanh(w.add(w.matmul(x, wx), w.matmul(states[-1], wh))))
    g, gx, gh = states[-1], None, None
    for t in reversed(range(steps)):
        g = w.multiply(g, w.subtract(1.0, w.square(states[t + 1])))
        a, b = w.matmul(w.T(inputs[t]), g), w.matmul(w.T(states[t]), g)
        gx, gh = (a, b) if gx is None else (w.add(gx, a), w.add(gh, b))
        g = w.matmul(g, w.T(wh))
    return w.returns(w.sum(w.square(states[-1])), gx, gh, g)


def test_steps_of_an_unrolled_loop_share_their_kernels(rng: Any) -> None:
    graph = recurrent(12)
    plan = compare(graph, *[rng.normal(size=n.shape).astype(f4) * 0.3 for n in graph.inputs], rtol=1e-3, exact=False)
    assert len(launches(plan)) > 20
    assert len({s.kernel.symbol for s in launches(plan)}) <= 7


def test_memory_of_an_unrolled_loop_is_used_again() -> None:
    used = [lower(recurrent(n), Libm).arena for n in (10, 20)]
    assert used[1] - used[0] <= 10 * (4 * 64 + 64 + 4 * 5 * 4 * 4)


# planning


def lines_of(f: Any) -> int:
    """How many lines of Python a call executes."""
    import sys

    count = 0

    def trace(frame: Any, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        f()
    finally:
        sys.settrace(before)
    return count


def chain(n: int) -> Graph:
    w = Write(f4)
    x, y = w.input(10, 5), w.input(10, 5)
    a = x
    for _ in range(n):
        a = w.multiply(w.subtract(w.sin(w.add(a, y)), x), 0.7)
    return w.returns(a)


def wide(n: int) -> Graph:
    """Many values, then their sum."""
    w = Write(f4)
    x, y = w.input(10, 5), w.input(10, 5)
    values = [w.add(w.multiply(x, i + 1.5), y) for i in range(n)]
    total = values[0]
    for value in values[1:]:
        total = w.add(total, value)
    return w.returns(total)


def turned(n: int) -> Graph:
    """Steps that nothing can fuse: each reads the one before out of order."""
    w = Write(f4)
    a = w.input(12)
    for _ in range(n):
        a = w.negative(w.index(a, slice(None, None, -1)))
    return w.returns(a)


def written(n: int) -> Graph:
    """The gradient of a sum over slices: each is added to zeros, and read by none."""
    w = Write(f4)
    x = w.input(n)
    shape, total = (n,), None
    zeros = w.index(w.lift(0.0), lambda a: np.broadcast_to(a, shape))
    for i in reversed(range(n)):
        value = w.sin(w.index(x, slice(i, i + 1)))
        part = w.graph.add("put", (zeros, value), (i, (1,), (1,)), shape, f4)
        total = part if total is None else w.add(total, part)
    return w.returns(total)


@pytest.mark.parametrize("build", [lambda n: recurrent(n), chain, wide, turned, written])
def test_planning_takes_time_in_proportion(build: Any) -> None:
    """Lines of Python, not seconds."""
    few, many = build(100), build(1000)
    assert lines_of(lambda: lower(many, Libm)) < 12 * lines_of(lambda: lower(few, Libm))


def test_rounds_of_an_unrolled_loop_are_equal_kernels() -> None:
    """However many there are: of the first, the last, and those in between."""
    assert len({s.kernel.symbol for s in lower(chain(1000), Libm).steps if isinstance(s, Launch)}) <= 3

    w = Write(f4)
    x = w.input(20, 10)
    a = x
    for _ in range(100):
        a = w.subtract(a, w.multiply(w.sum(a, 1, keepdims=True), x))
    kernels = {s.kernel.symbol: s.kernel for s in lower(w.returns(a), Libm).steps if isinstance(s, Launch)}
    assert len(kernels) <= 3
    assert max(kernel.text.count("phi float") for kernel in kernels.values()) <= fuse.MOST[0] // 5  # sums


@pytest.mark.parametrize("shape", [(100,), (5000,), (7,), ()])
def test_what_a_kernel_calls_often_is_not_written_out(shape: Any) -> None:
    w = Write(f4)
    x = w.input(*shape)
    a = x
    for _ in range(30):
        a = w.sin(w.add(a, x))
    (launch,) = lower(w.returns(a), llvm_math).steps
    assert isinstance(launch, Launch)
    assert {(name, kind) for name, kind, _ in launch.kernel.uses} == {("sin", "f4")}
    assert all(lanes for _, _, lanes in launch.kernel.uses)
    module = llvm_math.prelude(launch.kernel.uses) + launch.kernel.text
    assert len(module) < 40_000


@pytest.mark.parametrize("n", [2, 9, 100])
def test_calls_with_a_constant_are_vectorised(n: int, capfd: Any) -> None:
    """LLVM makes a constant argument part of a function that it may change, and warns of loops that stay scalar."""
    w = Write(f4)
    x = w.input(n)
    a = x
    for _ in range(6):
        a = w.power(w.add(a, x), w.lift(3.0))
    (launch,) = lower(w.returns(a), llvm_math).steps
    assert isinstance(launch, Launch)
    machine = objects.CODES.machine
    machine.emit(llvm_math.prelude(launch.kernel.uses, machine.convention) + launch.kernel.text)
    assert capfd.readouterr().err == ""


# sums


@pytest.mark.parametrize(
    "shape, axis", [((1 << 20,), 0), ((64, 20000), 1), ((64, 20000), None), ((300, 3, 400), (0, 2))]
)
def test_float32_sums_are_as_good_as_numpys(shape: Any, axis: Any, rng: Any) -> None:
    w = Write(f4)
    x = w.input(*shape)
    array = rng.uniform(size=shape).astype(f4)
    (found,), _ = run(w.returns(w.sum(x, axis)), [array])
    true = array.astype(f8).sum(axis)
    assert np.abs(found - true).max() <= np.abs(array.sum(axis) - true).max() + 1e-7 * np.abs(true).max()


@pytest.mark.parametrize("dtype", [f4, f8])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_extremes_of_nan(dtype: Any, axis: Any) -> None:
    array = np.arange(140, dtype=dtype).reshape(7, 20) - 50
    array[2, 3], array[5, 7], array[6, 8] = np.nan, np.inf, -np.inf
    w = Write(dtype)
    x = w.input(7, 20)
    compare(w.returns(w.fold("max", x, axis), w.fold("min", x, axis), w.fold("max", w.negative(x), axis)), array)


def test_folds_of_bools_and_integers() -> None:
    w = Write(i8)
    x = w.input(4, 6)
    outputs = [w.fold(op, x, axis) for op in ("sum", "prod", "max", "min") for axis in (0, 1, None)]
    test = w.greater(x, 3)
    outputs += [w.fold(op, test, axis) for op in ("any", "all", "max", "min") for axis in (0, 1, None)]
    plan = compare(w.returns(*outputs), np.arange(24).reshape(4, 6) % 7 - 2)
    assert not any(isinstance(s, Call) for s in plan.steps)


# parts of arrays, and arrays without elements


def test_a_part_is_written_in_place_where_nobody_reads_the_rest(rng: Any) -> None:
    w = Write(f8)
    x, y = w.input(6, 5), w.input(6, 2)
    a = w.multiply(x, 2.0)
    b = w.put(w.put(a, y, 1, (5, 2), (6, 2)), 7.0, 0, (5,), (6,))
    plan = compare(w.returns(w.add(b, x)), rng.normal(size=(6, 5)), rng.normal(size=(6, 2)))
    assert len(plan.steps) == 4
    w = Write(f8)
    x, y = w.input(6, 5), w.input(6, 2)
    a = w.multiply(x, 2.0)
    b = w.put(a, y, 1, (5, 2), (6, 2))
    plan = compare(w.returns(b, w.sum(w.T(w.index(a, np.s_[1:])))), rng.normal(size=(6, 5)), rng.normal(size=(6, 2)))
    assert len(plan.steps) == 3


def test_arrays_without_elements() -> None:
    w = Write(f8)
    x, y = w.input(0, 3), w.input(3, 0)
    outputs = [w.multiply(x, 2.0), w.sum(x, 0), w.sum(x), w.fold("prod", x, 0), w.matmul(y, x), w.matmul(x, y), x]
    outputs.append(w.put(w.lift(np.arange(3)), 1.0, 0, (1,), (0,)))
    compare(w.returns(*outputs), np.ones((0, 3)), np.ones((3, 0)))


def test_outputs_that_are_inputs_constants_views_or_twice_there() -> None:
    w = Write(f8)
    x = w.input(3, 4)
    y = w.add(x, 1.0)
    constant = w.lift(np.arange(100.0))
    plan = compare(
        w.returns(x, y, y, w.T(y), constant, w.lift(2.0), w.lift(np.zeros((2, 2)))), np.arange(12.0).reshape(3, 4)
    )
    assert sorted(b.at for b in plan.buffers if b.kind == "output") == list(range(7))


def test_guards_are_checked_where_they_are_known() -> None:
    w = Write(f8)
    x = w.input(3)
    test = w.greater(w.sum(x), 0.0)
    w.graph.guards = [(test, True)]
    graph = w.returns(w.exp(x))
    compare(graph, np.ones(3))
    with pytest.raises(Mismatch):
        run(graph, [-np.ones(3)])
    plan = lower(graph, Libm)
    check = next(i for i, s in enumerate(plan.steps) if isinstance(s, Check))
    assert test.op in {n.op for n in plan.steps[check - 1].nodes}


def test_a_call_gives_several_results() -> None:
    w = Write(f8)
    x = w.input(3, 3)

    class Template:
        value = ((Hole(0),), {})

    call = w.graph.fresh("call", (w.add(x, 0.5),), (np.linalg.eigh, Template()), (), np.dtype(object))
    values, vectors = (w.graph.add("item", (call,), (i,), s, f8) for i, s in ((0, (3,)), (1, (3, 3))))
    compare(w.returns(w.multiply(values, 2.0), w.T(vectors)), np.diag([1.0, 2, 4]), rtol=1e-9)


def test_a_view_beyond_its_array_is_found() -> None:
    w = Write(f8)
    x = w.input(3)
    view = w.graph.view(x, 2, (1,), (2,))
    with pytest.raises(IndexError, match="reaches bytes 16 to 32"):
        lower(w.returns(w.add(view, 1.0)), Libm)


def test_contracted_products_are_within_rounding(rng: Any) -> None:
    w = Write(f8)
    x, y = w.input(50), w.input(50)
    compare(
        w.returns(w.add(w.multiply(x, y), x)), rng.uniform(1, 2, 50), rng.uniform(1, 2, 50), exact=False, rtol=1e-15
    )


def test_gradients_of_slices_are_written_in_place(rng: Any) -> None:
    """A stencil's gradient: each neighbour adds to its part of one array."""
    w = Write(f8)
    u = w.input(12, 10)
    total = w.lift(np.zeros((12, 10)))
    inner = w.index(u, np.s_[1:-1, 1:-1])
    for offset in (0, 2, 20, 22, 11):
        zeros = w.lift(np.zeros((12, 10)))
        value = w.add(w.graph.view(zeros, offset, (10, 1), (10, 8)), w.multiply(inner, 0.5))
        total = w.add(total, w.put(zeros, value, offset, (10, 1), (10, 8)))
    plan = compare(w.returns(total), rng.normal(size=(12, 10)))
    assert len(plan.steps) <= 7
    assert plan.arena == 0


def test_gradients_of_parts_side_by_side_are_one_kernel(rng: Any) -> None:
    w = Write(f8)
    x, y = w.input(5, 12), w.input(5, 4)
    total = None
    for offset in (0, 4, 8):
        part = w.multiply(w.exp(y), w.graph.view(x, offset, (12, 1), (5, 4)))
        put = w.put(w.lift(np.zeros((5, 12))), part, offset, (12, 1), (5, 4))
        total = put if total is None else w.add(total, put)
    plan = compare(w.returns(total), rng.normal(size=(5, 12)), rng.normal(size=(5, 4)))
    assert len(plan.steps) == 2  # the zeros, and the rest


def test_a_sum_of_products_over_the_batch_is_one_product(rng: Any) -> None:
    w = Write(f8)
    x, g = w.input(5, 6, 3), w.input(5, 6, 4)
    product = w.matmul(w.index(x, lambda a: a.swapaxes(1, 2)), g)
    plan = compare(w.returns(w.sum(product, 0)), rng.normal(size=(5, 6, 3)), rng.normal(size=(5, 6, 4)))
    assert [type(s) for s in plan.steps] == [Gemm]


def test_attention_reads_its_heads_where_they_are(rng: Any) -> None:
    w = Write(f8)
    q, k = w.input(2, 7, 12), w.input(2, 7, 12)
    heads = lambda x, axes: w.index(w.reshape(x, 2, 7, 3, 4), lambda a: a.transpose(axes))
    scores = w.matmul(heads(q, (0, 2, 1, 3)), heads(k, (0, 2, 3, 1)))
    plan = compare(w.returns(scores), rng.normal(size=(2, 7, 12)), rng.normal(size=(2, 7, 12)))
    assert [type(s) for s in plan.steps] == [Gemm]


def test_groups_that_read_from_each_other_are_not_one() -> None:
    """The reversed x is read from memory, so that it has to be there: also where both meet in one sum."""
    w = Write(f8)
    x = w.negative(w.input(3, 4))
    back = w.add(w.index(x, np.s_[:, ::-1]), 1.0)
    compare(w.returns(w.add(x, back), back), np.arange(12.0).reshape(3, 4))


def test_a_product_is_written_transposed_where_that_is_all_that_is_needed(rng: Any) -> None:
    w = Write(f8)
    x, y = w.input(2, 3, 7, 5), w.input(2, 3, 5, 4)
    product = w.index(w.matmul(x, y), lambda a: a.transpose(0, 2, 1, 3))
    graph = w.returns(w.matmul(w.reshape(product, 2, 7, 12), w.input(12, 6)))
    plan = compare(graph, *[rng.normal(size=n.shape) for n in graph.inputs])
    assert [type(s) for s in plan.steps] == [Gemm, Gemm]
    w = Write(f8)
    x, y = w.input(3, 7), w.input(7, 4)
    product = w.matmul(x, y)
    compare(w.returns(product, w.T(product)), *[rng.normal(size=n.shape) for n in (x, y)])
