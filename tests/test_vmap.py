"""vmap: axes, containers, nests, what it refuses, and what it leaves behind."""

from __future__ import annotations

import math
import pickle
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from checks import over

import autodiff as ad
from autodiff import BatchError, OperandError, Value, nn
from autodiff.context import LEVELS

A = np.random.default_rng(0).normal(size=(5, 3))
w = np.array([0.3, -1.2, 2.0])
M = np.random.default_rng(1).normal(size=(3, 3))


# -- axes


def test_in_axes_and_out_axes() -> None:
    f = lambda x: x[::-1] * x[0]
    each = np.stack([f(a) for a in A])
    np.testing.assert_array_equal(ad.vmap(f)(A), each)
    np.testing.assert_array_equal(ad.vmap(f, 1)(A.T), each)
    np.testing.assert_array_equal(ad.vmap(f, -1)(A.T), each)
    np.testing.assert_array_equal(ad.vmap(f, out_axes=1)(A), each.T)
    np.testing.assert_array_equal(ad.vmap(f, out_axes=-1)(A), each.T)
    np.testing.assert_array_equal(ad.vmap(f, (0,), 1)(A), each.T)
    deep = np.random.default_rng(2).normal(size=(2, 3, 4, 5))
    for axis in range(-4, 4):
        for out in range(-3, 3):
            g = lambda x: np.tanh(x).sum(axis=1)
            expected = np.stack([g(np.take(deep, i, axis)) for i in range(deep.shape[axis])], out)
            np.testing.assert_allclose(ad.vmap(g, axis, out)(deep), expected, rtol=1e-14)


def test_arguments_that_are_the_same_for_all() -> None:
    f = lambda x, m, k: m @ x * k
    np.testing.assert_allclose(ad.vmap(f, (0, None, None))(A, M, 2.0), A @ M.T * 2)
    np.testing.assert_allclose(ad.vmap(f, (None, 0, None))(w, np.stack([M, M.T]), 2), np.stack([M @ w, M.T @ w]) * 2)
    np.testing.assert_allclose(ad.vmap(f, (0, None, 0))(A, M, np.arange(5.0)), A @ M.T * np.arange(5.0)[:, None])
    assert ad.vmap(lambda x, text: x * len(text), (0, None))(A, "abc").shape == (5, 3)


def test_keywords_are_mapped_along_their_first_axis() -> None:
    np.testing.assert_allclose(ad.vmap(lambda x, *, y: x @ y)(A, y=A), (A * A).sum(axis=1))


def test_containers() -> None:
    Pair = namedtuple("Pair", "left right")

    @dataclass
    class Params:
        w: Any
        b: Any
        name: str = "p"

    f = lambda p, pair: {"a": p.w * pair.left, "b": [p.b, (pair.right.sum(),)]}
    p, pair = Params(A, np.arange(5.0)), Pair(A, A * 2)
    out = ad.vmap(f)(p, pair)
    np.testing.assert_array_equal(out["a"], A * A)
    np.testing.assert_array_equal(out["b"][0], np.arange(5.0))
    np.testing.assert_allclose(out["b"][1][0], 2 * A.sum(axis=1))
    shared = ad.vmap(lambda d, x: d["w"] * x + d["b"], in_axes=({"w": None, "b": 0}, 0), out_axes=1)
    np.testing.assert_array_equal(shared({"w": w, "b": np.arange(5.0)}, A), (w * A + np.arange(5.0)[:, None]).T)
    both = ad.vmap(lambda x: (x, {"s": x.sum()}), out_axes=(1, {"s": 0}))(A)
    assert both[0].shape == (3, 5) and both[1]["s"].shape == (5,)


def test_results_that_are_the_same_for_all() -> None:
    assert ad.vmap(lambda x: 1.0)(A).tolist() == [1.0] * 5
    assert ad.vmap(lambda x: w)(A).shape == (5, 3)
    assert ad.vmap(lambda x: w, out_axes=None)(A) is not None
    np.testing.assert_array_equal(ad.vmap(lambda x: w, out_axes=None)(A), w)
    with pytest.raises(ValueError, match="out_axes is None"):
        ad.vmap(lambda x: x, out_axes=None)(A)
    assert ad.vmap(lambda x: None)(A) is None
    assert ad.vmap(np.argmax)(A).dtype.kind == "i"


def test_no_example_and_one() -> None:
    assert ad.vmap(lambda x: x.sum())(np.zeros((0, 3))).shape == (0,)
    assert ad.vmap(ad.grad(lambda x: (x * x).sum()))(np.zeros((0, 3))).shape == (0, 3)
    assert ad.vmap(lambda x: x @ M)(np.zeros((0, 3))).shape == (0, 3)
    assert ad.vmap(lambda x: x.reshape(-1, 1))(np.zeros((0, 4, 2))).shape == (0, 8, 1)
    np.testing.assert_array_equal(ad.vmap(lambda x: x * 2)(A[:1]), A[:1] * 2)
    np.testing.assert_allclose(ad.grad(lambda m: ad.vmap(lambda x: m @ x)(A[:1]).sum())(M), np.ones((3, 1)) * A[:1])


def test_nested() -> None:
    outer = ad.vmap(ad.vmap(np.dot, (None, 0)), (0, None))(A, A)
    np.testing.assert_allclose(outer, A @ A.T)
    np.testing.assert_allclose(ad.vmap(lambda x: ad.vmap(lambda y: (x * y).sum())(A))(A), A @ A.T)
    deep = np.random.default_rng(2).normal(size=(2, 3, 4))
    np.testing.assert_allclose(ad.vmap(ad.vmap(ad.vmap(np.exp)))(deep), np.exp(deep))
    np.testing.assert_allclose(ad.vmap(ad.vmap(np.sum, 1, 0), 2, 1)(deep), deep.sum(axis=0))
    same = ad.vmap(lambda x: ad.vmap(lambda y: y + x)(x))(M)  # the inner batch is cut from the outer one
    np.testing.assert_allclose(same, M[:, :, None] + M[:, None, :])


# -- results and Values


def test_plain_arrays_give_plain_arrays() -> None:
    for f in (
        np.sin,
        lambda x: x,
        lambda x: x[0],
        lambda x: x > 0,
        lambda x: np.zeros(2),
        lambda x: x.astype(np.float32),
    ):
        assert type(ad.vmap(f)(A)) is np.ndarray
    assert ad.vmap(lambda x: x.astype(np.float32))(A).dtype == np.float32
    assert type(ad.vmap(np.sin)(Value(A, requires_grad=False))) is np.ndarray
    same = ad.vmap(lambda x: x)(A)
    assert not np.shares_memory(same, A)


def test_tracked_values_give_tracked_values() -> None:
    v = Value(A)
    y = ad.vmap(lambda x: (x * x).sum())(v)
    assert isinstance(y, Value) and y.requires_grad and y.shape == (5,)
    y.sum().backward()
    np.testing.assert_allclose(v.grad, 2 * A)
    m = Value(M)
    ad.vmap(lambda x: (m @ x).sum())(A).sum().backward()
    np.testing.assert_allclose(m.grad, np.tile(A.sum(axis=0), (3, 1)))
    with ad.no_grad():
        assert type(ad.vmap(lambda x: (m @ x).sum())(A)) is np.ndarray


def test_backward_inside() -> None:
    """A variable made inside is one of each example's; one from outside gets what all of them add."""

    def inside(x: Any) -> Any:
        v = Value(x)
        (v**3).sum().backward()
        return v.grad

    np.testing.assert_allclose(ad.vmap(inside)(A), 3 * A**2)
    m = Value(M)

    def outside(x: Any) -> Any:
        ((m @ x) ** 2).sum().backward()
        (m * 2.0).sum().backward()  # the same for every example, and added by each
        return x

    ad.vmap(outside)(A)
    batch, m = m.grad, Value(M)
    ad.vmap(outside, loop=True)(A)
    assert type(batch) is np.ndarray
    np.testing.assert_allclose(batch, m.grad)


def test_per_example_gradients_of_a_module() -> None:
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh(), nn.Linear(4, 1, rng=1))
    loss = lambda model, x: (model(x) ** 2).sum()
    each = [ad.grad(loss)(model, x) for x in A]
    batch = ad.vmap(ad.grad(loss), (None, 0))(model, A)
    for name, g in batch.state_dict().items():
        np.testing.assert_allclose(g, np.stack([e.state_dict()[name] for e in each]), rtol=1e-12)


def test_arguments_may_be_written_to() -> None:
    def f(x: Any, m: Any) -> Any:
        x[0] = 7.0
        m[1] = x
        return x.sum() + m.sum()

    a, m = A.copy(), M.copy()
    expected = [f(x.copy(), M.copy()) for x in A]
    np.testing.assert_allclose(ad.vmap(f, (0, None))(a, m), expected)
    np.testing.assert_array_equal(a, A)
    np.testing.assert_array_equal(m, M)
    v = Value(M, requires_grad=False)
    ad.vmap(f, (0, None))(a, v)
    np.testing.assert_array_equal(v.data, M)


# -- loop=True


def test_loop_allows_everything() -> None:
    def f(x: Any) -> Any:
        if x[0] > 0:
            return math.sin(x[1]) * x[x > 0].sum()
        return float(x.min())

    seen = []
    np.testing.assert_allclose(ad.vmap(f, loop=True)(A), [f(x) for x in A])
    ad.vmap(lambda x: seen.append(type(x)) or x, loop=True)(A)
    assert seen == [np.ndarray] * 5
    np.testing.assert_allclose(ad.vmap(lambda x, m: m @ x, (0, None), 1, loop=True)(A, M), M @ A.T)
    largest = lambda a: ad.vmap(lambda x: x.max(), loop=True)(a).sum()
    np.testing.assert_array_equal(ad.grad(largest)(A), A.max(axis=1, keepdims=True) == A)
    out = ad.vmap(lambda d: {"a": d["x"] * 2}, loop=True)({"x": A})
    np.testing.assert_array_equal(out["a"], A * 2)
    with pytest.raises(ValueError, match="no examples"):
        ad.vmap(f, loop=True)(np.zeros((0, 3)))
    with pytest.raises(OperandError, match="results of the examples"):
        ad.vmap(lambda x: [x] if x[0] > 0 else (x, x), loop=True)(A)


# -- right or refused


ONE_LINERS = """
x if x[0] > 0 else -x
x * 2 if x.sum() else x
x * (1 if x[0] else 2)
[v for v in x if v > 0]
x[0] and x[1]
not x[0]
max(x[0], x[1])
sorted(x)
math.sin(x[0])
float(x[0]) * x
int(x[0]) * x
complex(x[0]) * x
x.item(0)
x[0].item()
x.tolist()
x.tobytes()
list(range(x.argmax()))
[1, 2, 3][x.argmax()]
np.zeros(x.argmax())
np.asarray(x) * 2
np.array(x.data)
np.array([x[0], x[1]])
np.array([float(v) for v in x])
x[x > 0]
x[x > 0].sum()
x[np.nonzero(x)]
x[np.flatnonzero(x > 0)]
np.compress(x > 0, x)
np.extract(x > 0, x)
np.unique(x)
np.argwhere(x)
np.trim_zeros(x)
np.piecewise(x, [x > 0], [np.sin, np.cos])
np.where(x > 0)
np.repeat(x, x.astype(int) % 2)
np.split(x, [x.argmax()])
np.roll(x, x.argmax())
np.bincount(np.abs(x).astype(int))
np.linspace(x[0], x[1], 4)
np.full(3, x[0])
np.full_like(x, x[0])
np.arange(x[0], 3.0)
np.fromiter(x, float)
np.vectorize(math.sin)(x)
np.apply_along_axis(np.sort, 0, x)
np.random.default_rng(0).normal(x)
str(x)[:0] and x
f"{x}" and x * 2
f"{x[0]:.3f}" and x
x == x
bool((x > 0).any()) and x
(x > 0).all() * x
np.any(x > 0) * x
np.allclose(x, x) and x
x in [x]
x.clip(0, 1)
x.copy().sort()
np.select([x > 0, x < 0], [x, -x])
np.choose((x > 0).astype(int), [x, -x])
x.astype(int) // 2
divmod(x, 2.0)
-abs(x) ** 2
x @ x
x.T @ np.eye(3)
np.einsum("i,i->", x, x)
np.sort(x)[::-1][x.argmin()]
np.linalg.norm(x)
np.interp(x, np.arange(3.0), x)
np.convolve(x, x)
np.fft.fft(x).real
np.histogram(x, 3)[0]
np.median(x)
np.percentile(x, 30)
np.gradient(x)
x.max() - x.mean()
np.float64(2) * x
np.stack([x, x])
[x, x]
len(x) * x
x.shape[0] * x
sum(x)
sum(v * v for v in x)
np.sum([v * v for v in x])
np.ldexp(x, (x > 0).astype(int))
np.insert(x, 1, x[0])
np.delete(x, 1)
np.pad(x, 1)
np.pad(x, 1, constant_values=2.0)
np.nan_to_num(x)
np.add.reduce(x)
np.maximum.accumulate(x)
np.multiply.outer(x, x)
np.cov(x, x)
np.corrcoef(x, x)
ad.softmax(x)
""".strip().splitlines()


@pytest.mark.filterwarnings("ignore")
def test_right_or_refused() -> None:
    """Nothing is computed of one example for all. Where it is refused, the error says what to do."""
    table = A.copy()
    texts = {}

    def check(line: str) -> None:
        names = {"np": np, "ad": ad, "math": math}
        f = eval(f"lambda x: {line}", names)
        try:
            found = ad.vmap(f)(table)
        except (BatchError, TypeError) as error:
            texts[line] = " ".join(str(e) for e in (error, error.__cause__, error.__context__))
            return
        expected = ad.vmap(f, loop=True)(table)
        for y, e in zip(ad.tree.leaves(found), ad.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(np.asarray(y, dtype=np.asarray(e).dtype), e, rtol=1e-12, atol=1e-14)

    over(ONE_LINERS, check)
    assert not [line for line, text in texts.items() if "vmap" not in text and "Batched" not in text]
    assert not [line for line in texts if line.startswith(("np.linalg", "x @", "np.sort", "np.median", "np.fft"))]
    assert len(texts) < 45, [*texts]


def test_messages_name_the_way_out() -> None:
    for f in (lambda x: x if x[0] > 0 else -x, lambda x: x[x > 0], lambda x: np.nonzero(x)):
        with pytest.raises(BatchError, match=r"np\.where.*ad\.vmap\(f, loop=True\)"):
            ad.vmap(f)(A)


def test_a_constant_array_that_is_indexed_by_a_batch() -> None:
    i, uses = np.array([0, 2]), [lambda i, T: T[i], lambda i, T: T.take(i, axis=0), lambda i, T: T.dot(T[i])]
    for f in uses:
        with pytest.raises(
            BatchError, match=r"T has to be an argument of f, with in_axes=None, or to be made inside f"
        ):
            ad.vmap(lambda i, f=f: f(i, M))(i)
        expected = [f(k, M) for k in i]
        np.testing.assert_allclose(ad.vmap(f, (0, None))(i, M), expected)
        np.testing.assert_allclose(ad.vmap(lambda i, f=f: f(i, np.array(M)))(i), expected)


def test_misuse() -> None:
    f = lambda x, y: x
    with pytest.raises(ValueError, match=r"different numbers of examples: .*\(5, 3\) has 5.*\(3, 3\) has 3"):
        ad.vmap(f)(A, M)
    with pytest.raises(OperandError, match="names 1 axes, but <lambda> was called with 2 arguments"):
        ad.vmap(f, (0,))(A, A)
    with pytest.raises(ValueError, match=r"shape \(5, 3\) and no axis 2"):
        ad.vmap(f, (2, 0))(A, A)
    with pytest.raises(ValueError, match=r"shape \(\) and no axis 0"):
        ad.vmap(f)(A, np.float64(2.0))
    with pytest.raises(OperandError, match="no argument of <lambda> is mapped"):
        ad.vmap(f, None)(A, A)
    with pytest.raises(OperandError, match="'first' is no axis"):
        ad.vmap(f, ("first", 0))(A, A)
    with pytest.raises(OperandError, match="the keys are"):
        ad.vmap(lambda d: d["a"], ({"b": 0},))({"a": A})
    with pytest.raises(ValueError, match="out_axes has axis 3"):
        ad.vmap(f, out_axes=3)(A, A)
    with pytest.raises(OperandError, match="must return arrays"):
        ad.vmap(lambda x: "text")(A)
    with pytest.raises(OperandError, match="pass the function itself"):
        ad.vmap(3.0)


# -- what is left behind


def test_leaked_values_say_where_they_are_from() -> None:
    leaked = []
    ad.vmap(lambda x: leaked.append(x) or x)(A)
    for use in (float, np.asarray, lambda v: v.tolist(), lambda v: bool(v[0]), lambda v: (v * 2).numpy()):
        with pytest.raises(BatchError, match="from inside a vmap that has ended"):
            use(leaked[0])


def test_exceptions_leave_the_state_as_it_was() -> None:
    def f(x: Any) -> Any:
        raise RuntimeError("stop")

    before = LEVELS.get()
    with pytest.raises(RuntimeError, match="stop"):
        ad.vmap(f)(A)
    assert LEVELS.get() == before
    assert type(np.zeros(3)) is np.ndarray


def test_buffers_of_plain_numpy() -> None:
    def f(x: Any) -> Any:
        out = np.empty(3)
        for i in range(3):
            out[i] = x[i] ** 2
        return out

    np.testing.assert_allclose(ad.vmap(f)(A), A**2)
    np.testing.assert_allclose(ad.vmap(ad.grad(lambda x: f(x).sum()))(A), 2 * A)
    np.testing.assert_allclose(ad.grad(lambda a: ad.vmap(f)(a).sum())(A), 2 * A)


def test_threads_and_pickles() -> None:
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(ad.vmap(ad.grad(np.linalg.norm)), [A] * 16):
            np.testing.assert_allclose(found, A / np.linalg.norm(A, axis=1, keepdims=True))
    again = pickle.loads(pickle.dumps(ad.vmap(np.linalg.norm)))
    np.testing.assert_allclose(again(A), np.linalg.norm(A, axis=1))
    assert repr(ad.vmap(np.linalg.norm, in_axes=1)) == "vmap(norm, in_axes=1)"


def test_kinks_stay_finite() -> None:
    """The masks of a walk work for batches too, and only where they are needed."""
    rows = np.array([[0.0, 4.0], [1.0, 0.0], [-1.0, 9.0]])
    f = lambda x: np.where(x > 0, np.sqrt(x), 0.0).sum()
    with np.errstate(invalid="ignore"):
        expected = [[0.0, 0.25], [0.5, 0.0], [0.0, 1 / 6]]
        np.testing.assert_array_equal(ad.vmap(ad.grad(f))(rows), expected)
        np.testing.assert_array_equal(ad.grad(lambda a: ad.vmap(f)(a).sum())(rows), expected)
    assert not np.isnan(ad.vmap(ad.grad(np.linalg.norm))(np.zeros((2, 3)))).any()


def test_one_product_for_the_whole_batch() -> None:
    """A matrix that all examples share is multiplied once, whichever side it is on."""
    from autodiff.batching import products

    calls = []

    class Counted:
        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

        def matmul(self, *args: Any, **kwargs: Any) -> Any:
            calls.append([np.shape(a) for a in args])
            return np.matmul(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "np", Counted())
        for f, n in ((lambda x: x @ M, 2), (lambda x: M @ x, 2), (lambda x: np.outer(x, x) @ M, 2)):
            calls.clear()
            ad.vmap(f)(A)
            assert len(calls) == 1 and all(len(s) <= n for s in calls[0]), calls
