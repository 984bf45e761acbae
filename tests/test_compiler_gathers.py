"""Indices that are arrays, in programs: as NumPy has them, inside kernels, and never out of bounds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from compiler_driver import Driver
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff.compiler import llvm_math
from autodiff.compiler.graph import Graph
from autodiff.compiler.interpret import Interpreted
from autodiff.compiler.lower import lower
from autodiff.compiler.simplify import simplified

f4, f8, i4, i8 = (np.dtype(t) for t in ("f4", "f8", "i4", "i8"))


def steps(f: Any) -> str:
    text = f.explain()
    return "\n".join(line for line in text.split("\n") if line.startswith(("kernel", "NumPy", "BLAS")))


def same(f: Callable[..., Any], *args: Any, native: bool = True, others: Any = None) -> str:
    """Compares f with its program, at two sets of arguments."""
    program = ad.jit(f)
    for case in (args, args, others or args):
        expected, found = (y if isinstance(y, (tuple, list)) else [y] for y in (f(*case), program(*case)))
        for a, b in zip(expected, found, strict=True):
            assert np.shape(a) == np.shape(b) and np.asarray(a).dtype == np.asarray(b).dtype
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    text = steps(program)
    assert not native or "NumPy" not in text, text
    return text


KEYS = [
    lambda i, j: (i,),
    lambda i, j: (i, j),
    lambda i, j: (slice(None), i),
    lambda i, j: (slice(None), i, slice(1, None, 2)),
    lambda i, j: (i, slice(None), j),
    lambda i, j: (i, 1, j),
    lambda i, j: (0, slice(None), j),
    lambda i, j: (Ellipsis, j),
    lambda i, j: (i, Ellipsis, j),
    lambda i, j: (None, i, None, j),
    lambda i, j: (i[:, None], j),
    lambda i, j: (slice(None, None, -1), i[:, None], j),
    lambda i, j: (i, [0, 1, 0, 1]),
    lambda i, j: (i[0],),
    lambda i, j: (slice(None), i[0], j),
    lambda i, j: (i, j, i),
    lambda i, j: (i.reshape(2, 2),),
    lambda i, j: (slice(0, 0), i),
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("dtype", [i4, i8])
def test_keys_are_numpys(key: Any, dtype: Any, rng: Any) -> None:
    x = rng.normal(size=(4, 4, 4)).astype(f4)
    i, j, k, m = (rng.integers(-4, 4, 4).astype(dtype) for _ in range(4))
    empty = not x[key(i, j)].size
    same(lambda x, i, j: x[key(i, j)] * 2, x, i, j, others=(x + 1, k, m), native=not empty)
    same(lambda x, i, j: x.T[key(i, j)], x, i, j, others=(x + 1, k, m), native=not empty)
    g = rng.normal(size=x[key(i, j)].shape).astype(f4)
    grad = ad.value_and_grad(lambda x, i, j: (np.exp(x)[key(i, j)] * g).sum())
    same(grad, x, i, j, others=(x / 2, k, m), native=not empty)


def test_adding_at_repeated_indices(rng: Any) -> None:
    def f(x: Any, i: Any, y: Any) -> Any:
        out = x * 2
        np.add.at(out, i, y)
        np.add.at(out[1:], (slice(None), i), 1)
        return out, out[0] + y[0]

    x, y, i = rng.normal(size=(5, 5)), rng.normal(size=(6, 5)), np.array([0, 1, 1, -1, 1, 0])
    same(f, x, i, y, others=(y[:5], i[::-1] + 1, y * 2))
    same(lambda x, i: ad.arrays.scatter_add(x, (i, i), (4, 4)), rng.normal(size=9), rng.integers(0, 4, 9))


def test_writing_at_indices(rng: Any) -> None:
    def f(x: Any, i: Any, y: Any) -> Any:
        out = x * 2
        out[i] = y
        out[:, i[0]] = 3
        z = np.zeros_like(x)
        z[np.arange(5), i[:5]] = y[0]
        out[i[1]] += x[0]
        return out, z

    x, y, i = rng.normal(size=(5, 5)), rng.normal(size=(6, 5)), np.array([0, 1, 1, -1, 1, 0])
    same(f, x, i, y, others=(y[:5], i[::-1] + 1, y * 2))

    def overlapping(x: Any, i: Any) -> Any:
        out = x + 1
        out[i] = out
        out[1:] = out[:-1]
        out[i] = out[i[::-1]]
        return out

    same(overlapping, rng.normal(size=6), rng.integers(0, 6, 6))


def test_values_that_read_what_is_added_to(rng: Any) -> None:
    def f(x: Any, i: Any) -> Any:
        out = x + 1
        np.add.at(out, i, out)
        np.add.at(out, i, out[i] * 2)
        return out

    same(f, rng.normal(size=6), rng.integers(0, 6, 6))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_take_and_take_along_axis(axis: int, rng: Any) -> None:
    x, i, j = rng.normal(size=(4, 5)).astype(f4), rng.integers(-4, 4, (4, 5)), rng.integers(-4, 4, (2, 3))
    same(lambda x, i: np.take_along_axis(x, i, axis), x, i)
    same(lambda x, j: np.take(x, j, axis), x, j)
    same(lambda x, j: np.take(x, j), x, j)
    same(ad.value_and_grad(lambda x, i: (np.take_along_axis(np.exp(x), i, axis) ** 2).sum()), x, i)
    same(ad.value_and_grad(lambda x, j: (np.take(np.exp(x), j, axis) ** 2).sum()), x, j)
    same(lambda x, i: np.take_along_axis(np.exp(x), i, axis), x, i[:1] if axis == 0 else i[:, :1])


@pytest.mark.parametrize("f", [
    lambda x, i: x[i], lambda x, i: np.exp(x)[np.arange(3), i], lambda x, i: np.take(x, i, 1), lambda x, i: x[i[0]],
    lambda x, i: ad.arrays.scatter_add(x[:, 0] * 2, i, (4,)), lambda x, i: x[1:][:, i],
    ad.grad(lambda x, i: x[np.arange(3), i].sum()),
])  # fmt: skip
@pytest.mark.parametrize("mode", ["native", "numpy"])
def test_out_of_bounds_is_an_index_error(f: Any, mode: str, monkeypatch: Any) -> None:
    if mode == "numpy":
        monkeypatch.setenv("AUTODIFF_JIT", "numpy")
    program, x, good = ad.jit(f), np.ones((3, 4), f4), np.array([0, 1, 2])
    program(x, good), program(x, good)
    for wrong in (9, -9, 4, -5, 2**62, -(2**62)):
        for _ in range(2):
            with pytest.raises(IndexError):
                program(x, np.array([wrong, 1, 2]))
    np.testing.assert_allclose(program(x, good), f(x, good), rtol=1e-6)


def cross_entropy(x: Any, labels: Any) -> Any:
    z = x - x.max(1, keepdims=True)
    logs = z - np.log(np.exp(z).sum(1, keepdims=True))
    return -logs[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize("loss", [cross_entropy, ad.nn.cross_entropy])
def test_cross_entropy_is_one_kernel_of_rows(loss: Any, rng: Any) -> None:
    x, labels = rng.normal(size=(32, 10)).astype(f4), rng.integers(0, 10, 32)
    text = same(ad.value_and_grad(loss), x, labels, others=(x * 2, labels - 10 if loss is cross_entropy else labels))
    wide = [line for line in text.split("\n") if "(32x10)" in line]
    assert len(wide) <= 2 and "gather" not in text and "scatter" not in text, text


def test_embedding_is_a_kernel_with_its_gradient(rng: Any) -> None:
    table, i = rng.normal(size=(100, 16)).astype(f4), rng.integers(-100, 100, (8, 5)).astype(i4)
    w = rng.normal(size=(8, 5, 16)).astype(f4)
    text = same(ad.value_and_grad(lambda e, i, w: (np.tanh(e[i]) * w).sum()), table, i, w)
    assert "gather" in text and "scatter_add" in text


def test_constant_indices_are_views_and_values(rng: Any) -> None:
    graph = Graph()
    x = graph.input((4, 5), f8)
    rows = graph.constant(np.arange(4)[::-1])
    columns = graph.constant(np.array([1, 0, 1, 3]))
    graph.outputs = [graph.add("gather", (x, rows, columns), (0, (0,), ((5, 4), (1, 5))), (4,), f8)]
    assert [n.op for n in simplified(graph).live() if n.op == "gather"] == ["gather"]
    x_, expected = rng.normal(size=(4, 5)), None
    expected = x_[np.arange(4)[::-1], [1, 0, 1, 3]]
    assert np.array_equal(Interpreted(graph)([x_])[0], expected)
    assert np.array_equal(Interpreted(simplified(graph))([x_])[0], expected)
    graph = Graph()
    x = graph.input((4, 5), f8)
    rows = graph.constant(np.arange(4)[::-1])
    graph.outputs = [graph.add("gather", (x, rows), (1, (0,), ((5, 4),)), (4,), f8)]
    assert not [n.op for n in simplified(graph).live() if n.op == "gather"]
    assert np.array_equal(Driver(lower(graph, llvm_math), llvm_math)([x_])[0], x_[::-1, 1])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_gathers_and_scatters(data: Any) -> None:
    """Fused with what is around them, and with indices that are computed."""
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    count = data.draw(st.integers(1, 20))
    axis = data.draw(st.integers(0, len(shape) - 1))
    n, computed = shape[axis], data.draw(st.booleans())
    fold = data.draw(st.sampled_from([None, 0, -1]))
    add = data.draw(st.sampled_from(["zeros", "x", "exp"]))

    def f(x: Any, i: Any, y: Any) -> Any:
        base = np.exp(x) if computed else x
        key = (slice(None),) * axis + (np.minimum(i, n - 1) if computed else i,)
        picked = base[key] * 2 + y
        target = {"zeros": np.zeros_like(x), "x": x * 1, "exp": np.exp(x)}[add]
        np.add.at(target, key, picked)
        return (picked if fold is None else picked.sum(fold)), target, target.sum()

    for kind in (i4, i8):
        i = rng.integers(-n, n, count).astype(kind)
        x = rng.normal(size=shape).astype(f4)
        y = rng.normal(size=x[(slice(None),) * axis + (i,)].shape).astype(f4)
        same(f, x, i, y)


@pytest.mark.parametrize("shape", [(7,), (5, 33), (3, 4, 5), (1, 1), (2, 1)])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "?"])
def test_argmax_is_numpys(shape: Any, dtype: str, rng: Any) -> None:
    x = rng.integers(-2, 3, shape).astype(dtype)
    cases = [x, -x if dtype != "?" else ~x, np.zeros_like(x)]
    if dtype[0] == "f":
        for bad in (np.nan, np.inf, -np.inf):
            y = x.copy()
            y.flat[rng.integers(0, x.size, 2)] = bad
            cases += [y, np.full_like(x, bad)]
    for axis in (*range(len(shape)), None):
        for function in (np.argmax, np.argmin):
            program = ad.jit(lambda x, function=function, axis=axis: function(x, axis))
            for y in cases:
                for _ in range(2):
                    found = program(y)
                    assert found.dtype == np.intp and np.array_equal(found, function(y, axis))
            assert "NumPy" not in steps(program) or 1 in shape
