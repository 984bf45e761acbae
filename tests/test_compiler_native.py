"""The native runtime: hand-written kernels in hand-written plans, against NumPy."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from autodiff.compiler import blas as blas_module
from autodiff.compiler import disk, objects
from autodiff.compiler import native as native_module
from autodiff.compiler.driver import DRIVERS
from autodiff.compiler.graph import Graph, Node, c_strides
from autodiff.compiler.interpret import Hole, Mismatch
from autodiff.compiler.native import Program
from autodiff.compiler.plan import Array, Buffer, Call, Check, Gemm, Kernel, Launch, Plan

KINDS = {"f4": "float", "f8": "double"}


# -- plans by hand


def kernel(symbol, operation, operands, n, dtype="f4"):
    """`operation` is LLVM IR for %r, from %v0, %v1...; the last operand is the result."""
    kind = KINDS[dtype]
    heads, loads = "", ""
    for i in range(operands):
        heads += f"""
  %slot{i} = getelementptr i64, ptr %slots, i64 {2 * i}
  %buffer{i} = load i64, ptr %slot{i}
  %offset.at{i} = getelementptr i64, ptr %slots, i64 {2 * i + 1}
  %offset{i} = load i64, ptr %offset.at{i}
  %base.at{i} = getelementptr ptr, ptr %table, i64 %buffer{i}
  %base{i} = load ptr, ptr %base.at{i}
  %p{i} = getelementptr i8, ptr %base{i}, i64 %offset{i}"""
        loads += f"\n  %q{i} = getelementptr {kind}, ptr %p{i}, i64 %i"
        if i + 1 < operands:
            loads += f"\n  %v{i} = load {kind}, ptr %q{i}"
    text = f"""
declare float @llvm.sqrt.f32(float)
define void @{symbol}(ptr %table, ptr %slots) nounwind {{
entry:{heads}
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%j, %loop]{loads}
  {operation}
  store {kind} %r, ptr %q{operands - 1}
  %j = add nuw nsw i64 %i, 1
  %done = icmp eq i64 %j, {n}
  br i1 %done, label %end, label %loop
end:
  ret void
}}
"""
    return Kernel(symbol, text, frozenset())


class Builder:
    """A plan that grows: each method returns the array that it adds."""

    def __init__(self):
        self.buffers, self.steps, self.inputs, self.outputs, self.constants, self.arena = [], [], [], [], [], 0
        self.graph = Graph()

    def array(self, kind, at, shape, dtype="f4"):
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        self.buffers.append(Buffer(kind, at, size))
        return Array(len(self.buffers) - 1, 0, tuple(shape), c_strides(shape), dtype)

    def input(self, *shape, dtype="f4"):
        self.inputs.append(self.array("input", len(self.inputs), shape, dtype))
        return self.inputs[-1]

    def output(self, *shape, dtype="f4"):
        self.outputs.append(self.array("output", len(self.outputs), shape, dtype))
        return self.outputs[-1]

    def constant(self, value):
        self.constants.append(value)
        return self.array("constant", len(self.constants) - 1, value.shape, value.dtype)

    def temporary(self, *shape, dtype="f4"):
        array = self.array("temporary", self.arena, shape, dtype)
        self.arena += -(-self.buffers[-1].nbytes // 64) * 64
        return array

    def launch(self, kernel, *arrays):
        operands = tuple((a.buffer, a.offset * a.dtype.itemsize) for a in arrays)
        self.steps.append(Launch(kernel, operands, ()))

    def call(self, function, inputs, outputs):
        template = Template((tuple(Hole(i) for i in range(len(inputs))), {}))
        node = Node("call", (), (function, template), (), None, 0)
        self.steps.append(Call(node, tuple(inputs), tuple(outputs), "a test"))

    def gemm(self, x, y, out):
        self.steps.append(Gemm(x, y, out, None))

    def check(self, position, value, array):
        self.steps.append(Check(position, value, array))

    def plan(self):
        return Plan(self.buffers, self.steps, self.inputs, self.outputs, self.constants, self.arena)


class Template:
    def __init__(self, value):
        self.value = value


ADD, MUL, SQRT = "%r = fadd float %v0, %v1", "%r = fmul float %v0, %v1", "%r = call float @llvm.sqrt.f32(float %v0)"


def affine(n=1000):
    """x * y + c, and the square root of it."""
    b = Builder()
    x, y = b.input(n), b.input(n)
    product, c = b.temporary(n), b.constant(np.arange(n, dtype="f4"))
    out, root = b.output(n), b.output(n)
    b.launch(kernel(f"t_mul{n}", MUL, 3, n), x, y, product)
    b.launch(kernel(f"t_add{n}", ADD, 3, n), product, c, out)
    b.launch(kernel(f"t_sqrt{n}", SQRT, 2, n), out, root)
    return b


def numbers(*shape, dtype="f4", seed=0):
    return np.random.default_rng(seed).uniform(0.5, 2, shape).astype(dtype)


@pytest.fixture(params=["direct", "ctypes"])
def way(request, monkeypatch):
    """Both ways into native code."""
    found = blas_module.blas()
    shared = DRIVERS.of(found.width if found else 8)
    if request.param == "ctypes":
        monkeypatch.setattr(shared, "direct", False)
    elif not shared.direct:
        pytest.skip("this interpreter has no direct way")


# -- kernels


def test_elementwise(way):
    program = Program(affine().plan())
    for seed in range(3):
        x, y = numbers(1000, seed=seed), numbers(1000, seed=seed + 10)
        out, root = program([x, y])
        np.testing.assert_array_equal(out, x * y + np.arange(1000, dtype="f4"))
        np.testing.assert_allclose(root, np.sqrt(out), rtol=1e-6)


def test_outputs_are_new_each_time(way):
    program = Program(affine().plan())
    x, y = numbers(1000), numbers(1000)
    first = program([x, y])
    kept = [a.copy() for a in first]
    second = program([y + 1, x])
    every = [*first, *second, x, y]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(every) for b in every[:i])
    for a, b in zip(first, kept):
        np.testing.assert_array_equal(a, b)
        assert a.base is None and a.flags.owndata and a.flags.writeable


def test_outputs_that_are_one_buffer_or_none_of_their_own(way):
    b = Builder()
    x, c = b.input(8), b.constant(np.ones(8, "f4"))
    out = b.output(8)
    b.launch(kernel("t_add8", ADD, 3, 8), x, x, out)
    b.outputs = [out, x, out, c]
    given = numbers(8)
    found = Program(b.plan())([given])
    for a, expected in zip(found, [2 * given, given, 2 * given, np.ones(8, "f4")]):
        np.testing.assert_array_equal(a, expected)
    every = [*found, given, *b.constants]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(every) for b in every[:i])


def test_one_output_twice_which_a_call_makes(way):
    b = Builder()
    x = b.input(4)
    out, last = b.array("output", 1, (4,)), b.array("output", 2, (4,))
    b.outputs = [out, out, last]
    b.call(np.negative, [x], [out])
    b.launch(kernel("t_add4", ADD, 3, 4), x, out, last)
    given = numbers(4)
    first, second, third = Program(b.plan())([given])
    np.testing.assert_array_equal([first, second, third], [-given, -given, given - given])
    assert not np.shares_memory(first, second)


def test_scalars_and_empty_arrays(way):
    b = Builder()
    x, y, empty = b.input(), b.input(), b.input(0, 3)
    b.launch(kernel("t_add1", ADD, 3, 1), x, y, b.output())
    b.output(3, 0)
    found = Program(b.plan())([np.float32(2).reshape(()), np.array(3, "f4"), np.empty((0, 3), "f4")])
    assert found[0].shape == () and found[0] == 5 and found[1].shape == (3, 0)
    assert empty.shape == (0, 3)


def test_a_program_without_steps(way):
    assert Program(Builder().plan())([]) == []


def test_other_arrays_of_the_same_values_are_taken(way):
    program, x = Program(affine(6).plan()), numbers(6)
    expected = program([x, x])[0]
    backwards = x[::-1].copy()[::-1]
    shifted = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view("f4")
    named = x.view(np.dtype("f4", metadata={"unit": "m"}))
    for other in (backwards, shifted, named, x.view(np.recarray)):
        np.testing.assert_array_equal(program([x, other])[0], expected)


@pytest.mark.parametrize(
    "other", [np.ones(5, "f4"), np.ones((6, 1), "f4"), np.ones(6), np.ones(6, ">f4"), [1.0] * 6, None]
)
def test_others_are_refused(way, other):
    program, x = Program(affine(6).plan()), numbers(6)
    with pytest.raises(TypeError, match="argument 0"):
        program([other, x])
    with pytest.raises(TypeError, match="takes 2 arrays, and got 1"):
        program([x])


def test_kernels_of_the_same_name_are_told_apart():
    def program(operation):
        b = Builder()
        b.launch(kernel("t_same", operation, 3, 4), b.input(4), b.input(4), b.output(4))
        return Program(b.plan())

    x = numbers(4)
    add, mul = program(ADD), program(MUL)
    np.testing.assert_array_equal(add([x, x])[0], x + x)
    np.testing.assert_array_equal(mul([x, x])[0], x * x)


def test_two_kernels_of_the_same_name_in_one_program_are_refused():
    b = Builder()
    x = b.input(4)
    for operation in (ADD, MUL):
        b.launch(kernel("t_twice", operation, 3, 4), x, x, b.output(4))
    with pytest.raises(ValueError, match="two kernels"):
        Program(b.plan())


def test_no_memory(way):
    b = Builder()
    b.output(3)
    b.output(2**46)
    program = Program(b.plan())
    for _ in range(3):
        with pytest.raises(MemoryError):
            program([])
    b = Builder()
    x, huge = b.input(4), b.temporary(4)
    b.arena = 2**47
    with pytest.raises(MemoryError):
        b.launch(kernel("t_add4", ADD, 3, 4), x, x, huge)
        Program(b.plan())([numbers(4)])


def test_invalid(way):
    program, x = Program(affine(6).plan()), numbers(6)
    assert program.run([x, x])[1] is False
    assert program.run([x, -100 * x])[1] is True
    assert program.run([x, np.full(6, np.nan, "f4")])[1] is False  # it is quiet
    with np.errstate(all="raise"):
        assert program.run([x, np.full(6, np.inf, "f4")])[1] is False
        assert program.run([x, x])[1] is False


# -- matrix products


def arranged(b, shape, dtype, layout):
    """An input, and an Array that reads it with the axes swapped, or as a part of a larger one."""
    *batch, rows, columns = shape
    if layout == "t":
        whole = b.input(*batch, columns, rows, dtype=dtype)
        strides = (*whole.strides[:-2], 1, rows)
        return whole, whole._replace(shape=shape, strides=strides)
    if layout == "part":
        whole = b.input(*batch, rows + 1, columns + 2, dtype=dtype)
        return whole, whole._replace(shape=shape, offset=columns + 3)
    whole = b.input(*shape, dtype=dtype)
    return whole, whole


def seen(array, view):
    return np.ndarray(
        view.shape, view.dtype, array, view.offset * array.itemsize, [s * array.itemsize for s in view.strides]
    )


@pytest.mark.parametrize("way_to_multiply", ["blas", "numpy"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("x_layout", ["c", "t", "part"])
@pytest.mark.parametrize("y_layout", ["c", "t", "part"])
def test_gemm(dtype, x_layout, y_layout, way_to_multiply, monkeypatch):
    if way_to_multiply == "numpy":
        monkeypatch.setenv("AUTODIFF_JIT_BLAS", "0")
    for batch, m, k, n in (((), 5, 7, 3), ((), 64, 32, 48), ((4,), 3, 5, 2), ((2, 3), 4, 4, 6)):
        b = Builder()
        whole_x, x = arranged(b, (*batch, m, k), dtype, x_layout)
        whole_y, y = arranged(b, (*batch, k, n), dtype, y_layout)
        b.gemm(x, y, b.output(*batch, m, n, dtype=dtype))
        given = [numbers(*whole_x.shape, dtype=dtype), numbers(*whole_y.shape, dtype=dtype, seed=1)]
        found = Program(b.plan())(given)[0]
        np.testing.assert_array_equal(found, np.matmul(seen(given[0], x), seen(given[1], y)))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "m,k,n", [(1, 5, 4), (4, 5, 1), (1, 5, 1), (4, 1, 3), (1, 1, 1), (1, 1, 5), (3, 0, 2), (0, 3, 2)]
)
def test_gemm_of_vectors_and_of_nothing(dtype, m, k, n):
    b = Builder()
    x, y = b.input(m, k, dtype=dtype), b.input(k, n, dtype=dtype)
    b.gemm(x, y, b.output(m, n, dtype=dtype))
    given = [numbers(m, k, dtype=dtype), numbers(k, n, dtype=dtype, seed=1)]
    np.testing.assert_allclose(Program(b.plan())(given)[0], given[0] @ given[1], rtol=1e-6)


def test_gemm_of_broadcast_batches():
    for x_shape, y_shape in (
        ((6, 3, 4), (4, 2)),
        ((3, 4), (6, 4, 2)),
        ((5, 1, 3, 4), (1, 6, 4, 2)),
        ((70, 1, 3, 4), (6, 4, 2)),
        ((1, 3, 4), (2, 4, 2)),
    ):
        b = Builder()
        given = [numbers(*x_shape), numbers(*y_shape, seed=1)]
        x, y = b.input(*x_shape), b.input(*y_shape)
        expected = np.matmul(*given)
        b.gemm(x, y, b.output(*expected.shape))
        np.testing.assert_array_equal(Program(b.plan())(given)[0], expected)


def test_gemm_into_a_transposed_result_and_of_odd_strides():
    b = Builder()
    x, y, out = b.input(5, 4), b.input(4, 3), b.output(3, 5)
    b.gemm(x, y, out._replace(shape=(5, 3), strides=(1, 5)))
    odd = b.output(5, 3)
    wide = b.input(5, 8)
    b.gemm(wide._replace(shape=(5, 4), strides=(8, 2)), y, odd)
    given = [numbers(5, 4), numbers(4, 3, seed=1), numbers(5, 8, seed=2)]
    first, second = Program(b.plan())(given)
    np.testing.assert_allclose(first.T, given[0] @ given[1], rtol=1e-6)
    np.testing.assert_allclose(second, given[2][:, ::2] @ given[1], rtol=1e-6)


def test_numpys_blas_is_found():
    if "openblas" not in str(np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]):
        pytest.skip("another BLAS, which may not tell its integers")
    assert blas_module.blas() is not None


# -- calls and checks


def with_call(function, n=6):
    """function(x * y) + y"""
    b = Builder()
    x, y, product, changed = b.input(n), b.input(n), b.temporary(n), b.temporary(n)
    b.launch(kernel(f"t_mul{n}", MUL, 3, n), x, y, product)
    b.call(function, [product], [changed])
    b.launch(kernel(f"t_add{n}", ADD, 3, n), changed, y, b.output(n))
    return b


def test_calls(way):
    program = Program(with_call(np.flip).plan())
    for seed in range(3):
        x, y = numbers(6, seed=seed), numbers(6, seed=7)
        np.testing.assert_array_equal(program([x, y])[0], (x * y)[::-1] + y)


def test_calls_with_several_results(way):
    b = Builder()
    x, out, other = b.input(4, 3, dtype="f8"), b.output(3, dtype="f8"), b.output(3, 3, dtype="f8")
    b.call(np.linalg.svd, [x], [None, out, other])
    b.steps[-1].node.params[1].value[1]["full_matrices"] = False
    given = numbers(4, 3, dtype="f8")
    s, vh = Program(b.plan())([given])
    expected = np.linalg.svd(given, full_matrices=False)
    np.testing.assert_array_equal(s, expected[1])
    np.testing.assert_array_equal(vh, expected[2])


def test_calls_that_read_inputs_constants_and_parts(way):
    b = Builder()
    x, c = b.input(4, 6), b.constant(np.arange(3, dtype="f4"))
    part = x._replace(offset=1, shape=(3, 2), strides=(1, 6))
    b.call(np.dot, [c, part], [b.output(2)])
    b.call(np.add, [c, c], [b.output(3)])
    given = numbers(4, 6)
    first, second = Program(b.plan())([given])
    np.testing.assert_allclose(first, np.arange(3) @ given[:2, 1:4].T, rtol=1e-6)
    np.testing.assert_array_equal(second, [0, 2, 4])


def test_a_call_that_keeps_its_argument(way):
    kept = []
    program = Program(with_call(lambda a: kept.append(a) or a).plan())
    x, y = numbers(6), numbers(6, seed=1)
    for i in range(4):
        np.testing.assert_array_equal(program([x + i, y])[0], (x + i) * y + y)
    for i, a in enumerate(kept):
        np.testing.assert_array_equal(a, (x + i) * y)


def test_a_call_whose_result_has_another_shape(way):
    program, x = Program(with_call(np.unique).plan()), np.ones(6, "f4")
    with pytest.raises(Mismatch, match=r"None, \(1,\)"):
        program([x, x])


def test_invalid_in_a_call(way):
    program, x = Program(with_call(np.sqrt).plan()), numbers(6)
    with np.errstate(all="raise"):
        assert program.run([x, x])[1] is False
        assert program.run([x, -x])[1] is True
        assert program.run([x, x])[1] is False
        assert program.run([x, np.zeros(6, "f4")])[1] is False


def test_a_call_that_runs_the_program_again(way):
    depth = []

    def again(a):
        own = a.copy()
        depth.append(own)
        inner = program([a, a])[0] if len(depth) < 4 else 0
        np.testing.assert_array_equal(a, own)
        return a + inner

    program = Program(with_call(again).plan())

    def expected(x, y, level=1):
        product = x * y
        return product + (expected(product, product, level + 1) if level < 4 else 0) + y

    x, y = numbers(6) / 2, numbers(6, seed=1) / 2
    np.testing.assert_allclose(program([x, y])[0], expected(x, y), rtol=1e-6)


def test_an_error_in_a_call_leaves_the_program_as_it_was(way):
    def fails(a):
        if a[0] > 100:
            raise ZeroDivisionError
        return a

    program, x = Program(with_call(fails).plan()), numbers(6)
    with pytest.raises(ZeroDivisionError):
        program([1000 * x, x])
    np.testing.assert_array_equal(program([x, x])[0], x * x + x)


VALUES = [
    ("?", True, False), ("i1", -3, 3), ("u1", 200, 100), ("i2", -300, 0), ("u2", 65535, 1), ("i4", -70000, 1),
    ("u4", 2**32 - 1, 5), ("i8", -(2**40), 2**40), ("u8", 2**64 - 1, 7), ("f2", 1.5, 2.5), ("f4", 0.1, 0.2),
    ("f8", 0.1, 0.1000001), ("f8", np.nan, 1.0), ("f4", 1.0, np.nan), ("f8", np.inf, -np.inf),
]  # fmt: skip


@pytest.mark.parametrize("dtype,value,other", VALUES)
@pytest.mark.parametrize("with_python", [False, True])
def test_checks(way, dtype, value, other, with_python):
    b = Builder()
    x, done = b.input(3, dtype=dtype), []
    recorded = np.array(value, dtype).item()
    if with_python:
        b.call(np.negative, [b.constant(np.ones(2))], [b.temporary(2, dtype="f8")])
    b.check(4, np.array([0], dtype).item(), x._replace(shape=(), strides=()))
    b.check(5, recorded, x._replace(shape=(), strides=(), offset=2))
    if with_python:
        b.call(lambda: done.append(1) or 0.0, [], [b.output(dtype="f8")])
    program = Program(b.plan())
    program([np.array([0, 0, value], dtype)])
    assert done == [1] * with_python
    with pytest.raises(Mismatch) as error:
        program([np.array([0, 0, other], dtype)])
    assert error.value.position == 5
    np.testing.assert_equal(error.value.value, np.array(other, dtype).item())
    with pytest.raises(Mismatch) as error:
        program([np.array([1, 0, other], dtype)])
    assert (error.value.position, error.value.value) == (4, 1)
    assert done == [1] * with_python
    program([np.array([0, 0, value], dtype)])


def test_a_check_stops_what_follows(way):
    b = Builder()
    x, ran = b.input(), []
    b.check(0, 1.0, x)
    b.call(lambda a: ran.append(1) or a, [x], [b.output()])
    with pytest.raises(Mismatch):
        Program(b.plan())([np.array(2, "f4")])
    assert not ran


def test_zeros_of_both_signs_are_equal(way):
    b = Builder()
    b.check(0, 0.0, b.input())
    Program(b.plan())([np.array(-0.0, "f4")])


def test_a_guard_that_no_array_of_its_dtype_holds(way):
    b = Builder()
    b.check(0, 0.1, b.input())
    with pytest.raises(Mismatch):
        Program(b.plan())([np.array(0.1, "f4")])


# -- threads and lifetimes


def together(count, f):
    errors = []

    def guarded(i):
        try:
            f(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("n", [50, 100_000])
def test_threads(way, n):
    programs = [Program(affine(n).plan()), Program(with_call(np.negative, n).plan())]

    def run(seed):
        x, y = numbers(n, seed=seed), numbers(n, seed=seed + 100)
        for _ in range(2000 if n < 100 else 20):
            np.testing.assert_array_equal(programs[0]([x, y])[0], x * y + np.arange(n, dtype="f4"))
            np.testing.assert_array_equal(programs[1]([x, y])[0], y - x * y)

    together(8, run)


def test_threads_that_compile_at_once():
    def run(i):
        b = Builder()
        b.launch(kernel(f"t_thread{i % 3}", ADD, 3, 5), b.input(5), b.input(5), b.output(5))
        x = numbers(5, seed=i)
        np.testing.assert_array_equal(Program(b.plan())([x, x])[0], 2 * x)

    together(8, run)


def test_a_program_dropped_while_it_runs(way):
    n = 300_000
    programs = [Program(affine(n).plan())]
    started, x = threading.Event(), numbers(n)
    expected = programs[0]([x, x])[1]
    found = []

    def run():
        run_native = programs[0]._whole or programs[0]._cut
        started.set()
        for _ in range(20):
            result = run_native(x, x)
        found.append(result)

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    programs.clear()
    objects.CODES.recent.clear()
    gc.collect()
    thread.join()
    np.testing.assert_array_equal(found[0][1], expected)


def test_nothing_outlives_a_program_and_nothing_it_needs_dies(way):
    n = 77
    b = affine(n)
    b.constants[0] = Constant(b.constants[0])
    kept = weakref.ref(b.constants[0])
    program = Program(b.plan())
    state = weakref.ref(program)
    x = numbers(n)
    expected = program([x, x])
    del b
    objects.CODES.recent.clear()
    gc.collect()
    junk = [np.full(n, 1e9, "f4") for _ in range(100)]
    for a, e in zip(program([x, x]), expected):
        np.testing.assert_array_equal(a, e)
    assert kept() is not None
    before = [*objects.CODES.kernels]
    assert any(symbol == f"t_add{n}" for symbol, _ in before)
    gc.disable()
    try:
        del program
        assert state() is None and kept() is None  # by reference counting alone
    finally:
        gc.enable()
    assert not any(symbol == f"t_add{n}" for symbol, _ in objects.CODES.kernels)
    assert junk


class Constant(np.ndarray):
    """An array that can be referred to weakly, as every one can, and told from others."""

    def __new__(cls, array):
        return array.view(cls)


def test_the_memory_of_calls_is_shared_by_programs():
    gc.collect()
    small, large, other = (Program(affine(n).plan()) for n in (20, 2000, 30))
    assert native_module.BLOCKS.largest[""].size >= large._size
    x = numbers(2000)
    for program, n in ((small, 20), (large, 2000), (other, 30), (large, 2000), (small, 20)):
        np.testing.assert_array_equal(program([x[:n], x[:n]])[0], x[:n] * x[:n] + np.arange(n, dtype="f4"))


def test_references_are_counted(way):
    program, x = Program(affine(6).plan()), numbers(6)
    dtype = x.dtype
    program([x, x])
    before = sys.getrefcount(x), sys.getrefcount(dtype)
    for _ in range(1000):
        program([x, x])
        program.run([x, -100 * x])
    assert sys.getrefcount(x) == before[0]
    assert abs(sys.getrefcount(dtype) - before[1]) < 50
    b = Builder()
    b.check(0, 1.0, b.input())
    program, two = Program(b.plan()), np.array(2, "f4")
    before = sys.getrefcount(None), sys.getrefcount(two)
    for _ in range(1000):
        with pytest.raises(Mismatch):
            program([two])
        with pytest.raises(TypeError):
            program([x])
    assert abs(sys.getrefcount(None) - before[0]) < 50 and sys.getrefcount(two) <= before[1] + 1


# -- object files

SCRIPT = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1])!r}]
import numpy as np
from test_compiler_native import Program, affine, numbers, objects
x = numbers(1000)
assert np.array_equal(Program(affine().plan())([x, x])[0], x * x + np.arange(1000, dtype="f4"))
print(objects.CODES.compilations)
"""


def compilations(folder, **env):
    """How often a new process compiles."""
    env = {**os.environ, "XDG_CACHE_HOME": str(folder), "OPENBLAS_NUM_THREADS": "1", **env}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_object_files(tmp_path):
    assert compilations(tmp_path) == 2  # the driver and the kernels
    assert compilations(tmp_path) == 0
    assert compilations(tmp_path, AUTODIFF_JIT_CACHE="0") == 2
    other = tmp_path / "other"
    assert compilations(tmp_path, AUTODIFF_JIT_CACHE=str(other)) == 2
    assert len([*other.iterdir()]) == 2

    files = sorted((tmp_path / "autodiff" / "jit").iterdir())
    whole = [f.read_bytes() for f in files]
    files[0].write_bytes(whole[0][:100])
    files[1].write_bytes(whole[1][:-8] + b"12345678")
    assert compilations(tmp_path) == 2
    assert [f.read_bytes() for f in files] == whole
    files[0].write_bytes(b"")
    assert compilations(tmp_path) == 1
    assert sorted((tmp_path / "autodiff" / "jit").iterdir()) == files


def test_object_files_of_two_processes_at_once(tmp_path):
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"}
    both = [
        subprocess.Popen([sys.executable, "-c", SCRIPT], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in both:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    assert compilations(tmp_path) == 0


def test_a_folder_that_cannot_be_had_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("AUTODIFF_JIT_CACHE", raising=False)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert disk.folder() is None
    disk.write("name", b"content")
    assert disk.read("name") is None
    assert compilations(tmp_path / "file") == 2
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("AUTODIFF_JIT_CACHE", str(open_to_all))
    assert disk.folder() is None
    open_to_all.chmod(0o700)
    assert disk.folder() == open_to_all


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTODIFF_JIT_CACHE", str(tmp_path))

    def fails(*args, **kwargs):
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(disk.tempfile, "mkstemp", fails)
        disk.write("name", b"content")
    with monkeypatch.context() as patch:
        patch.setattr(disk.os, "replace", fails)
        disk.write("name", b"content")
    assert [*tmp_path.iterdir()] == []
    disk.write("name", b"content")
    assert disk.read("name") == b"content"


def test_the_files_used_last_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTODIFF_JIT_CACHE", str(tmp_path))
    for i in range(10):
        disk.write(f"file{i}", b"x" * 1000)
        os.utime(tmp_path / f"file{i}", (i, i))
    disk.read("file0")
    disk.trim(11_000)
    assert len([*tmp_path.iterdir()]) == 10
    disk.trim(5000)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file0", "file8", "file9"]


@pytest.mark.parametrize(
    "missing", ["sys.modules['llvmlite'] = None", "sys.byteorder = 'big'"], ids=["llvmlite", "little-endian"]
)
def test_without_machine_code(missing):
    """NumPy runs the programs then, and whoever asks for code is told what is missing."""
    script = f"""import sys
{missing}
import numpy as np
import autodiff as ad
f = ad.jit(ad.value_and_grad(lambda x: np.sin(x) * 2))
assert f(0.5) == f(0.5) == (np.sin(0.5) * 2, np.cos(0.5) * 2) and f.cache_info().hits == 1
print("NumPy ran it")
from autodiff.compiler.objects import CODES
CODES.machine"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "NumPy ran it\n", done.stderr
    message = "pip install autodiff[jit]" if "llvmlite" in missing else "little-endian"
    assert "ImportError: compiling needs" in done.stderr and message in done.stderr, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork():
    program, x = Program(affine(6).plan()), numbers(6)
    script = SCRIPT.replace("print(", "pid = os.fork()\nb = affine(31)\nx = numbers(31)\n").replace(
        "objects.CODES.compilations)",
        "assert np.array_equal(Program(b.plan())([x, x])[0], x * x + np.arange(31, dtype='f4'))\n"
        "if pid: assert os.waitpid(pid, 0)[1] == 0",
    )
    done = subprocess.run([sys.executable, "-c", "import os" + script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert program([x, x])
