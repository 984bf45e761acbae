"""checkpoint: the same derivatives of every order and in every mode, from a function that runs again."""

from __future__ import annotations

import gc
import inspect
import pickle
import random
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from strict_array import StrictArray

import autodiff as ad
from autodiff import GraphError, NanError, Value, nn

Function = Callable[..., Any]


class Pair(NamedTuple):
    first: Any
    second: Any


def same(x: Any) -> Any:
    return x


def twice(f: Function) -> Any:
    return ad.checkpoint(ad.checkpoint(f))


def outer_and_inner(f: Function) -> Any:
    """A checkpoint whose function calls another one, and does more besides."""
    inner = ad.checkpoint(f)
    return ad.checkpoint(lambda *args, **kwargs: inner(*args, **kwargs))


WRAPPERS = {"checkpoint": ad.checkpoint, "twice": twice, "nested": outer_and_inner}


# -- programs of (wrapper, x, w): a checkpointed function somewhere in between


def argument(q: Function, x: Any, w: Any) -> Any:
    return q(lambda x: np.sin(x * 2.0) * x)(x * w).sum() + w.sum()


def closure(q: Function, x: Any, w: Any) -> Any:
    return (q(lambda x: np.sin(x * w) * x)(x) ** 2).sum()


def closure_only(q: Function, x: Any, w: Any) -> Any:
    y = x * w
    return (q(lambda: np.exp(y) * w)() * x).sum()


def containers(q: Function, x: Any, w: Any) -> Any:
    def f(items: Any, *, scale: Any, more: Any) -> Any:
        a, (b, _) = items["a"], items["b"]
        items["c"] = None
        return {"sum": a * b * scale, "rest": [np.sin(more.first), (more.second * a, 3)]}

    items = {"a": x, "b": (w, None)}
    result = q(f)(items, scale=2.0, more=Pair(x, w * w))
    assert q is same or list(items) == ["a", "b"]
    assert result["rest"][1][1] == 3
    return (result["sum"] * result["rest"][0] + result["rest"][1][0]).sum()


def several_results(q: Function, x: Any, w: Any) -> Any:
    a, b, _ = q(lambda x: (np.exp(x * w), x * x, np.cos(w)))(x)
    return (a * b).sum() + (a**2).sum()


def one_result_twice(q: Function, x: Any, w: Any) -> Any:
    def f(x: Any) -> Any:
        y = np.sin(x) * w
        return y, y, x, w

    a, b, c, d = q(f)(x)
    return (a * b * c * d).sum()


def one_argument_twice(q: Function, x: Any, w: Any) -> Any:
    y, z = x * w, x - w

    def f(a: Any, b: Any) -> Any:
        a += z  # and b is a
        return a * b * z

    return q(f)(y, y).sum()


def in_place(q: Function, x: Any, w: Any) -> Any:
    def f(x: Any, table: Any) -> Any:
        x[1:] *= w[1:]
        table[0] = 5.0
        return x * table

    y, table = np.sin(x) * w, np.ones(3)
    z = q(f)(y.copy() if q is same else y, table)
    assert q is same or table[0] == 1.0
    return (y * z).sum()


def buffer(q: Function, x: Any, w: Any) -> Any:
    def f(x: Any) -> Any:
        out = np.empty(3)
        for i in range(3):
            out[i] = x[i] ** 2 * w[i]
        return out

    return np.prod((x**2 * w if q is same else q(f)(x)) + 1.0)


def derivative_inside(q: Function, x: Any, w: Any) -> Any:
    return (q(lambda x: ad.grad(lambda y: (np.sin(y * w) * x).sum())(x * x))(x) * w).sum()


def matrices(q: Function, x: Any, w: Any) -> Any:
    m = np.outer(x, w) + 3.0 * np.eye(3)
    return q(lambda m: np.linalg.solve(m @ m.T, w) + np.linalg.eigvalsh(m + m.T))(m).sum()


def views(q: Function, x: Any, w: Any) -> Any:
    y = np.outer(x, w)
    a, b = q(lambda v, t: (t[1:].reshape(-1), v * w))(y[0], y.T)
    return (a[:3] * b).sum()


def complex_inside(q: Function, x: Any, w: Any) -> Any:
    z = x + 1j * w
    return abs(q(lambda z: np.exp(z) * z.real)(z) * w).sum()


def fallen_away(q: Function, x: Any, w: Any) -> Any:
    """One argument does not matter, one result is not used, one result is an integer."""
    a, _, best = q(lambda x, w: (x**3, w**2, np.argmax(w)))(x, w)
    return (a * float(best)).sum() + w[0]


def in_the_way_of_nan(q: Function, x: Any, w: Any) -> Any:
    """Where x - 0.5 is negative, its root is nan, and left out again."""
    shifted = x - 0.5
    root = np.sqrt(shifted) * np.log(shifted)
    return np.where(shifted > 0, q(lambda r: r * w)(root), 0.0).sum()


def selected_inside(q: Function, x: Any, w: Any) -> Any:
    shifted = x - 0.5
    root = np.sqrt(shifted) * np.log(shifted)
    return q(lambda r: np.where(shifted > 0, r * w, 0.0))(root).sum()


def root_inside(q: Function, x: Any, w: Any) -> Any:
    def f(s: Any) -> Any:
        return np.sqrt(s) * np.log(s) * w

    shifted = x - 0.5
    return np.where(shifted > 0, q(f)(shifted), 0.0).sum()


NANS = [in_the_way_of_nan, selected_inside, root_inside]
PROGRAMS = [
    argument,
    closure,
    closure_only,
    containers,
    several_results,
    one_result_twice,
    one_argument_twice,
    in_place,
    buffer,
    derivative_inside,
    matrices,
    views,
    complex_inside,
    fallen_away,
    *NANS,
]
X, W = np.array([0.3, 0.7, 1.1]), np.array([0.9, -0.4, 0.6])
U, V = np.array([1.0, -2.0, 0.5]), np.array([0.2, 0.3, -1.0])


def value(q: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.value_and_grad(lambda x: program(q, x, w))(x)


def both(q: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.grad(lambda x, w: program(q, x, w), argnums=(0, 1))(x, w)


def forward(q: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.jvp(lambda x, w: program(q, x, w), (x, w), (U, V))


def forward_in_one(q: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.jvp(lambda w: program(q, x, w), (w,), (V,))


def reverse_over_reverse(q: Function, program: Function, x: Any, w: Any) -> Any:
    def inner(x: Any, w: Any) -> Any:
        gx, gw = ad.grad(lambda x, w: program(q, x, w), argnums=(0, 1))(x, w)
        return (gx * U).sum() + (gw * gw).sum()

    return ad.grad(inner, argnums=(0, 1))(x, w)


def forward_over_reverse(q: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.jvp(lambda x, w: both(q, program, x, w), (x, w), (U, V))[1]


def reverse_over_forward(q: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.grad(lambda x, w: forward(q, program, x, w)[1], argnums=(0, 1))(x, w)


def forward_over_forward(q: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.jvp(lambda x, w: forward(q, program, x, w)[1], (x, w), (V, U))


def third_order(q: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.jvp(lambda x, w: reverse_over_reverse(q, program, x, w), (x, w), (U, V))[1]


def objects(q: Function, program: Function, x: Any, w: Any) -> Any:
    a, b = Value(x), Value(w)
    program(q, a * 1.0, b * 1.0).backward()
    return a.grad, b.grad


def objects_retained(q: Function, program: Function, x: Any, w: Any) -> Any:
    a, b = Value(x), Value(w)
    loss = program(q, a * 1.0, b * 1.0)
    loss.backward(retain_graph=True)
    loss.backward()
    with pytest.raises(GraphError, match="freed"):
        loss.backward()
    return a.grad, b.grad


def objects_created(q: Function, program: Function, x: Any, w: Any) -> Any:
    a, b = Value(x), Value(w)
    program(q, a * 1.0, b * 1.0).backward(create_graph=True)
    penalty = (a.grad * U).sum() + (b.grad**2).sum()
    a.zero_grad(), b.zero_grad()
    penalty.backward()
    return a.grad, b.grad


MODES = [value, both, forward, forward_in_one, objects, objects_retained]
HIGHER = [
    reverse_over_reverse,
    forward_over_reverse,
    reverse_over_forward,
    forward_over_forward,
    third_order,
    objects_created,
]


def check_equal(got: Any, want: Any) -> None:
    got, want = [*ad_leaves(got)], [*ad_leaves(want)]
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert type(a) is type(b)
        if b is None:
            continue
        assert np.result_type(a) == np.result_type(b)
        assert np.isfinite(b).all()
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def ad_leaves(x: Any) -> Any:
    for item in x if isinstance(x, tuple) else [x]:
        yield from ad_leaves(item) if isinstance(item, tuple) else [item]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_same_derivatives(wrapper: str, mode: Function, program: Function) -> None:
    check_equal(mode(WRAPPERS[wrapper], program, X, W), mode(same, program, X, W))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("mode", HIGHER)
@pytest.mark.parametrize("wrapper", ["checkpoint", "nested"])
def test_the_same_derivatives_of_higher_order(wrapper: str, mode: Function, program: Function) -> None:
    check_equal(mode(WRAPPERS[wrapper], program, X, W), mode(same, program, X, W))


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p not in NANS and p is not fallen_away])
def test_against_finite_differences(program: Function) -> None:
    ad.check_grads(lambda x, w: program(ad.checkpoint, x, w), X, W, order=2)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.complex128])
def test_dtypes(dtype: Any) -> None:
    x, w = X.astype(dtype), W.astype(dtype)

    def loss(q: Function) -> Function:
        return lambda x: (abs(q(lambda x: np.exp(x * w) * x)(x)) ** 2).sum()

    got, want = ad.grad(loss(ad.checkpoint))(x), ad.grad(loss(same))(x)
    assert got.dtype == want.dtype == dtype
    np.testing.assert_array_equal(got, want)


# -- what comes out


def test_plain_arguments_give_plain_results() -> None:
    f = ad.checkpoint(lambda x: {"a": np.sin(x), "b": [x.shape, None]})
    result = f(X)
    assert type(result["a"]) is np.ndarray and result["b"] == [(3,), None]
    assert type(ad.checkpoint(float)(2.0)) is float

    def filled(x: Any) -> Any:
        out = np.empty(3)
        out[:] = x
        return out

    assert type(ad.checkpoint(filled)(X)) is np.ndarray


def test_untracked_values_stay_values() -> None:
    y = ad.checkpoint(lambda x: x * 2.0)(Value(X, requires_grad=False))
    assert type(y) is Value and not y.requires_grad


def test_a_variable_may_be_written_to_inside() -> None:
    """It is a copy, as in a transform."""
    x = Value(X)

    def f(x: Any) -> Any:
        x[0] *= 3.0
        return x * x

    ad.checkpoint(f)(x).sum().backward()
    np.testing.assert_allclose(x.grad, 2 * X * np.array([9.0, 1.0, 1.0]))
    np.testing.assert_array_equal(x.data, X)


def test_no_grad() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(x.requires_grad)
        return x * w

    x, w = Value(X), Value(W)
    with ad.no_grad():
        y = ad.checkpoint(f)(x)
    assert type(y) is Value and not y.requires_grad and len(calls) == 1
    with ad.no_grad():  # a transform records none the less
        g = ad.grad(lambda x: ad.checkpoint(f)(x).sum())(X)
    assert type(g) is np.ndarray
    np.testing.assert_array_equal(g, W)


def test_no_grad_inside() -> None:
    def f(x: Any) -> Any:
        with ad.no_grad():
            factor = x * 3.0
        return x * factor

    np.testing.assert_allclose(ad.grad(lambda x: ad.checkpoint(f)(x).sum())(X), 3.0 * X)


def test_a_leaf_made_inside_stays_inside() -> None:
    np.testing.assert_array_equal(ad.grad(lambda x: ad.checkpoint(lambda x: x * Value(W))(x).sum())(X), W)


def test_values_left_behind_keep_their_graph() -> None:
    left: list[Any] = []

    def f(x: Any) -> Any:
        left.append(np.sin(x))
        return left[-1] * 2.0

    x = Value(X)
    y = ad.checkpoint(f)(x)
    (y.sum() + (left[0] ** 2).sum()).backward()
    np.testing.assert_allclose(x.grad, 2 * np.cos(X) + 2 * np.sin(X) * np.cos(X))


def test_retain_grad_of_a_result() -> None:
    x = Value(X)
    y = ad.checkpoint(np.sin)(x)
    y.retain_grad()
    (y * W).sum().backward()
    np.testing.assert_array_equal(y.grad, W)


def test_arrays_of_another_library() -> None:
    """They are copied before the function may write to them."""
    x, w = StrictArray(X), StrictArray(W)

    def f(x: Any, w: Any) -> Any:
        w *= 2.0
        return np.sin(x * w) * x

    g = ad.grad(lambda x: (ad.checkpoint(f)(x, w) ** 2).sum())(x)
    want = ad.grad(lambda x: ((np.sin(x * 2 * W) * x) ** 2).sum())(X)
    np.testing.assert_allclose(g.get(), want)
    np.testing.assert_array_equal(w.get(), W)


def test_halves_of_halves() -> None:
    """Each step runs as often as there are checkpoints around it, and once more."""
    calls = []

    def step(x: Any) -> Any:
        calls.append(0)
        return np.sin(x) + 0.1 * x

    def steps(n: int) -> Any:
        if n == 1:
            return step
        first, second = steps(n // 2), steps(n - n // 2)
        return ad.checkpoint(lambda x: second(first(x)))

    def plain(x: Any) -> Any:
        for _ in range(64):
            x = np.sin(x) + 0.1 * x
        return x.sum()

    np.testing.assert_allclose(ad.grad(lambda x: steps(64)(x).sum())(X), ad.grad(plain)(X), rtol=1e-12)
    assert len(calls) == 64 * 7


BATCH = np.linspace(0.1, 1.0, 12).reshape(4, 3)


def block_of(q: Function, x: Any, w: Any) -> Any:
    return (q(lambda x: np.sin(x * w) * x)(x) ** 2).sum()


COMPOSED: dict[str, Function] = {
    "vmap of grad": lambda q: ad.vmap(ad.grad(lambda x: block_of(q, x, W)))(BATCH),
    "grad of vmap": lambda q: ad.grad(lambda w: (ad.vmap(lambda x: block_of(q, x, w))(BATCH) ** 2).sum())(W),
    "hessian": lambda q: ad.hessian(lambda x: block_of(q, x, W))(X),
    "jacobian": lambda q: ad.jacobian(q(lambda x: np.outer(np.sin(x), x * W)))(X),
    "linearize": lambda q: ad.linearize(q(lambda x: np.sin(x * W)), X)[1](U),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_with_other_transforms(name: str) -> None:
    np.testing.assert_allclose(COMPOSED[name](ad.checkpoint), COMPOSED[name](same), rtol=1e-12, atol=1e-14)


def test_a_module_as_an_argument() -> None:
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh(), nn.Linear(4, 1, rng=1))

    def gradients(q: Function) -> Any:
        model.zero_grad()
        (q(lambda model, x: model(x))(model, BATCH) ** 2).sum().backward()
        return [p.grad for p in model.parameters()]

    for a, b in zip(gradients(ad.checkpoint), gradients(same), strict=True):
        np.testing.assert_array_equal(a, b)


# -- how often it runs, and what is kept


def test_it_runs_once_more_a_walk() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(0)
        return np.sin(x)

    g = ad.checkpoint(f)
    g(X)
    assert len(calls) == 1
    ad.grad(lambda x: g(x).sum())(X)
    assert len(calls) == 3
    ad.jvp(g, (X,), (U,))
    assert len(calls) == 5
    x = Value(X)
    y = g(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert len(calls) == 8


def test_only_the_inputs_are_kept() -> None:
    alive: list[weakref.ref[Any]] = []

    def f(x: Any) -> Any:
        for _ in range(10):
            x = np.sin(x)
            alive.append(weakref.ref(x._array))
        return x.sum()

    gc.disable()
    try:
        x = Value(np.ones(1000))
        h = x * 2.0
        y = ad.checkpoint(f)(h)
        inputs = weakref.ref(h._array)
        del h
        assert len(alive) == 10 and all(a() is None for a in alive)
        assert inputs() is not None
        y.backward()
        assert len(alive) == 20 and all(a() is None for a in alive)
        assert inputs() is None
    finally:
        gc.enable()


def test_a_writer_to_an_argument_makes_no_cycle() -> None:
    """The node must not hold the caller's Value, which leads to it after the write."""
    gc.disable()
    try:
        x = Value(X) * 1.0
        node = weakref.ref(x._node)
        x[:] = ad.checkpoint(np.sin)(x)
        x.sum().backward()
        del x
        assert node() is None
    finally:
        gc.enable()


def test_large_constants_are_not_copied_for_good() -> None:
    batch = np.ones((300, 300))
    x = Value(np.ones(300))
    y = ad.checkpoint(lambda batch, x: np.sin(batch @ x))(batch, x).sum()
    y.backward(retain_graph=True)
    batch += 1.0
    with pytest.raises(GraphError, match=r"checkpoint: an argument.*was written to after the call"):
        y.backward()


def test_small_constants_may_be_written_to_afterwards() -> None:
    c, x = W.copy(), Value(X)
    y = ad.checkpoint(lambda c, x: np.sin(c * x))(c, x).sum()
    c[:] = 100.0
    y.backward()
    np.testing.assert_allclose(x.grad, W * np.cos(W * X))


# -- random numbers


class Dropout(nn.Module):
    def __init__(self, rng: Any) -> None:
        self.rng = rng

    def forward(self, x: Any) -> Any:
        return x * (self.rng.random(x.shape) < 0.5)


class Slotted:
    __slots__ = ("rng",)

    def __init__(self, rng: Any) -> None:
        self.rng = rng

    def mask(self, x: Any) -> Any:
        return x * self.rng.standard_normal(x.shape)


GLOBAL = np.random.default_rng(0)


def draw_from_global(x: Any) -> Any:
    def inner(x: Any) -> Any:
        return x * GLOBAL.random(x.shape)

    return inner(x) * sum([GLOBAL.random() for _ in range(2)])


def calls_another(x: Any) -> Any:
    return np.sin(draw_from_global(x))


def make_drawers(rng: Any) -> dict[str, tuple[Function, tuple[Any, ...]]]:
    """Functions that draw from `rng` (or GLOBAL), and what they take besides x."""
    draw = rng.standard_normal

    def defaults(x: Any, rng: Any = rng, *, other: Any = [rng]) -> Any:  # noqa: B006
        return x * rng.random(x.shape) + other[0].random()

    return {
        "closure": (lambda x: x * rng.random(x.shape), ()),
        "method in a closure": (lambda x: x * draw(x.shape), ()),
        "argument": (lambda x, rng: x * rng.random(x.shape), (rng,)),
        "in a container": (lambda x, d: x * d["rng"][0].random(x.shape), ({"rng": [rng]},)),
        "defaults": (defaults, ()),
        "module": (nn.Sequential(Dropout(rng), np.sin, nn.Sequential(Dropout(rng))), ()),
        "method": (Dropout(rng).forward, ()),
        "slots": (Slotted(rng).mask, ()),
        "module as an argument": (lambda x, m: m(x), (Dropout(rng),)),
        "transform": (ad.grad(lambda x: (x**2 * rng.random(x.shape)).sum()), ()),
    }


GENERATORS: dict[str, Function] = {
    "PCG64": lambda: np.random.default_rng(1),
    "MT19937": lambda: np.random.Generator(np.random.MT19937(1)),
    "Philox": lambda: np.random.Generator(np.random.Philox(1)),
    "RandomState": lambda: np.random.RandomState(1),
}


def check_draws(f: Function, rest: Any, afterwards: Function) -> None:
    """The gradient is that of the first draw, and the stream goes on as if f had run once."""

    def loss(f: Function) -> Function:
        return lambda x: (f(x, *rest) ** 2).sum()

    want, stream = yield_of(loss(f), afterwards)
    got, other = yield_of(loss(ad.checkpoint(f)), afterwards)
    np.testing.assert_array_equal(got, want)
    assert stream == other


def yield_of(loss: Function, afterwards: Function) -> tuple[Any, Any]:
    afterwards(reset=True)
    return ad.grad(loss)(X), afterwards()


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("name", make_drawers(np.random.default_rng(0)))
def test_random_generators(name: str, kind: str) -> None:
    rng = GENERATORS[kind]()
    f, rest = make_drawers(rng)[name]
    start = rng.get_state() if kind == "RandomState" else rng.bit_generator.state

    def afterwards(reset: bool = False) -> Any:
        if not reset:
            return float(rng.standard_normal())
        if kind == "RandomState":
            rng.set_state(start)
        else:
            rng.bit_generator.state = start
        return None

    check_draws(f, rest, afterwards)


@pytest.mark.parametrize("f", [draw_from_global, calls_another])
def test_generators_in_globals(f: Function) -> None:
    start = GLOBAL.bit_generator.state

    def afterwards(reset: bool = False) -> Any:
        if reset:
            GLOBAL.bit_generator.state = start
        return None if reset else GLOBAL.random()

    check_draws(f, (), afterwards)


def test_the_legacy_generator() -> None:
    def afterwards(reset: bool = False) -> Any:
        return np.random.seed(3) if reset else np.random.random()

    check_draws(lambda x: x * np.random.random(3) * np.random.normal(), (), afterwards)


def test_the_standard_library() -> None:
    def afterwards(reset: bool = False) -> Any:
        return random.seed(3) if reset else random.random()

    own = random.Random(5)
    own_state = own.getstate()

    def with_own(reset: bool = False) -> Any:
        return own.setstate(own_state) if reset else own.random()

    check_draws(lambda x: x * random.random(), (), afterwards)
    check_draws(lambda x: x * own.random(), (), with_own)


def test_random_numbers_in_nested_checkpoints() -> None:
    rng = np.random.default_rng(2)

    def f(x: Any) -> Any:
        x = ad.checkpoint(lambda x: x * rng.random(3))(x) * rng.random(3)
        return ad.checkpoint(lambda x: np.sin(x) * rng.random(3))(x)

    start = rng.bit_generator.state

    def afterwards(reset: bool = False) -> Any:
        if reset:
            rng.bit_generator.state = start
        return None if reset else rng.random()

    check_draws(f, (), afterwards)


def test_the_stream_between_forward_and_backward_is_the_users() -> None:
    rng = np.random.default_rng(4)
    x = Value(X)
    y = ad.checkpoint(lambda x: x * rng.random(3))(x).sum()
    first = rng.random()
    y.backward()
    second = rng.random()
    again = np.random.default_rng(4)
    np.testing.assert_array_equal(x.grad, again.random(3))
    assert (first, second) == (again.random(), again.random())


def test_the_stream_after_an_exception_in_the_second_run() -> None:
    rng = np.random.default_rng(4)
    fail: list[bool] = []

    def f(x: Any) -> Any:
        y = x * rng.random(3)
        if fail:
            raise ZeroDivisionError
        return y

    x = Value(X)
    y = ad.checkpoint(f)(x).sum()
    fail.append(True)
    with pytest.raises(ZeroDivisionError):
        y.backward()
    again = np.random.default_rng(4)
    again.random(3)
    assert rng.random() == again.random()


# -- what is not repeatable


def test_other_numbers() -> None:
    x, counter = Value(X), iter(range(10))
    with pytest.raises(GraphError, match=r"checkpoint: run again in the backward pass.*other numbers"):
        ad.checkpoint(lambda x: x * float(next(counter)))(x).sum().backward()
    with pytest.raises(GraphError, match=r"checkpoint.*other numbers"):
        ad.jvp(ad.checkpoint(lambda x: x * float(next(counter))), (X,), (U,))
    with pytest.raises(GraphError, match=r"checkpoint.*other numbers"):
        ad.checkpoint(lambda x: x * np.random.default_rng().random())(x).sum().backward(create_graph=True)


@pytest.mark.parametrize("shape", [(3,), (7, 8), (100,)])
def test_every_element_of_a_small_result_is_compared(shape: tuple[int, ...]) -> None:
    w, x = np.ones(shape), Value(np.ones(shape))
    for index in (*np.ndindex(shape),)[1::31]:
        w[...] = 1.0
        y = ad.checkpoint(lambda a: a * w)(x).sum()
        w[index] = 9.0
        with pytest.raises(GraphError, match=r"checkpoint.*other numbers"):
            y.backward()
        y = ad.checkpoint_scan(lambda a, i: (a * w).T.reshape(shape), x, 3).sum()
        w[index] = 1.0
        with pytest.raises(GraphError, match=r"checkpoint_scan.*other numbers"):
            y.backward()


def test_another_shape_and_more_results() -> None:
    sizes = iter([3, 2, 3])
    with pytest.raises(GraphError, match=r"returned float64\[2\], before float64\[3\]"):
        ad.checkpoint(lambda x: x[: next(sizes)] * 2)(Value(X)).sum().backward()
    counts = iter([1, 2])
    with pytest.raises(GraphError, match="returned 2 arrays, before 1"):
        ad.checkpoint(lambda x: [x * 2] * next(counts))(Value(X))[0].sum().backward()


def test_a_parameter_that_was_changed_in_between() -> None:
    w, x = Value(W), Value(X)
    y = ad.checkpoint(lambda x: x * w)(x).sum()
    w.data = 2 * W
    with pytest.raises(GraphError, match=r"checkpoint.*other numbers"):
        y.backward()


def test_another_tracked_value() -> None:
    """Equal numbers, but gradients would go elsewhere."""
    held = [Value(W), Value(W), Value(W, requires_grad=False), Value(W)]
    it = iter(held)
    with pytest.raises(GraphError, match="used another tracked Value"):
        ad.checkpoint(lambda x: x * next(it))(Value(X)).sum().backward()
    it = iter(held)
    with pytest.raises(GraphError, match="used another tracked Value"):
        ad.jvp(lambda x: ad.checkpoint(lambda x: x * next(it))(x), (X,), (U,))
    it = iter(held[1:3])  # the second is a constant
    with pytest.raises(GraphError, match="other tracked Values"):
        ad.checkpoint(lambda: next(it) * 2.0)().sum().backward()


def test_rounding_is_no_difference() -> None:
    """Not every BLAS adds in the same order each time."""
    noise = iter([0.0, 1e-16, 1e-12])
    x = Value(X)
    f = ad.checkpoint(lambda x: x * (1.0 + next(noise)))
    f(x).sum().backward()
    np.testing.assert_allclose(x.grad, 1.0)
    noise = iter([0.0, 1e-12])
    with pytest.raises(GraphError, match="other numbers"):
        f(x).sum().backward()


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_nan_and_infinity_may_come_again() -> None:
    x = Value(np.array([0.0, -1.0, 2.0]))
    ad.checkpoint(np.log)(x)[2:].sum().backward()
    np.testing.assert_allclose(x.grad, [0.0, 0.0, 0.5])


WRITERS: dict[str, Function] = {
    "a constant": lambda outer: outer["constant"].__setitem__(0, 3.0),
    "a variable": lambda outer: setattr(outer["leaf"], "data", 2 * W),
    "a tracked Value": lambda outer: outer["result"].__imul__(2.0),
    "a view": lambda outer: outer["view"].__setitem__(..., 3.0),
}


@pytest.mark.parametrize("name", WRITERS)
def test_writing_to_values_outside_is_refused(name: str) -> None:
    write = WRITERS[name]
    outer: dict[str, Any] = {"leaf": Value(W), "constant": Value(W, requires_grad=False)}
    outer["result"] = outer["leaf"] * 2.0
    outer["view"] = outer["result"][1:]

    def f(x: Any) -> Any:
        write(outer)
        return x * 2.0

    with pytest.raises(GraphError, match="checkpoint: the function writes to a Value"):
        ad.checkpoint(f)(Value(X))


def test_filling_a_buffer_from_outside_is_refused() -> None:
    def loss(x: Any) -> Any:
        out = np.zeros(3)

        def f(x: Any) -> Any:
            out[0] = x[0]
            return x * 2.0

        return ad.checkpoint(f)(x).sum() + out.sum()

    with pytest.raises(GraphError, match="checkpoint: the function writes to a Value"):
        ad.grad(loss)(X)


def test_reading_a_written_value_is_no_write() -> None:
    """Owners give away their arrays and stale views derive themselves, when they are read."""
    x = Value(X)
    y = x * 1.0
    part = y[1:]
    y[2] = x[0] ** 2
    ad.checkpoint(lambda x: x[1:] * part * y.sum())(x).sum().backward()
    got, x = x.grad, Value(X)
    y = x * 1.0
    y[2] = x[0] ** 2
    (x[1:] * y[1:] * y.sum()).sum().backward()
    np.testing.assert_allclose(got, x.grad)


# -- the state around


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_debug_nans_names_the_line_inside() -> None:
    def f(x: Any) -> Any:
        return np.sqrt(x)  # here

    with ad.debug_nans(), pytest.raises(NanError, match=r"sqrt.*here"):
        ad.checkpoint(f)(Value(-1.0))  # not this one
    with ad.debug_nans():
        y = ad.checkpoint(lambda x: np.sqrt(x * 0.0))(Value(1.0))  # there
    assert y.data == 0.0
    with pytest.raises(NanError, match="there"):
        y.backward()


def test_warnings_come_once() -> None:
    x = Value(np.array([0.0, 1.0]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        y = ad.checkpoint(lambda x: np.log(x) * 0.0 + x)(x)
        y[1].backward()
    assert len([w for w in caught if "divide by zero" in str(w.message)]) == 1


def test_errors_are_raised_again() -> None:
    def f(x: Any) -> Any:
        try:
            return np.log(x * 0.0)
        except FloatingPointError:
            return x * 3.0

    x = Value(X)
    with np.errstate(all="raise"):
        y = ad.checkpoint(f)(x).sum()
    y.backward()
    np.testing.assert_array_equal(x.grad, 3.0)


def test_an_exception_leaves_nothing_behind() -> None:
    def f(x: Any) -> Any:
        out = np.empty(3)
        out[0] = x[0]
        raise ZeroDivisionError

    for run in (lambda: ad.checkpoint(f)(Value(X)), lambda: ad.grad(lambda x: ad.checkpoint(f)(x).sum())(X)):
        with pytest.raises(ZeroDivisionError):
            run()
        assert type(np.empty(3)) is np.ndarray
        with ad.no_grad():
            assert not (Value(X) * 2.0).requires_grad
        assert (Value(X) * 2.0).requires_grad


def test_threads() -> None:
    f = ad.checkpoint(lambda x: np.sin(x) * np.exp(x))
    want = ad.grad(lambda x: (np.sin(x) * np.exp(x)).sum())
    failures: list[Any] = []

    def work(seed: int) -> None:
        for k in range(20):
            x = np.random.default_rng([seed, k]).normal(size=5)
            if not np.allclose(ad.grad(lambda x: f(x).sum())(x), want(x), rtol=1e-12):
                failures.append((seed, k))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_two_threads_walk_one_graph() -> None:
    x = Value(X)
    y = ad.checkpoint(lambda x: np.sin(x) * x)(x).sum()
    threads = [threading.Thread(target=y.backward, kwargs={"retain_graph": True}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(x.grad, 4 * (np.cos(X) * X + np.sin(X)))


# -- the function itself


def block(x: Any, scale: float = 2.0) -> Any:
    """A block."""
    return np.sin(x) * scale


@ad.checkpoint
def decorated(x: Any) -> Any:
    return np.sin(x) * 2.0


class Model:
    def __init__(self) -> None:
        self.w = Value(W)

    @ad.checkpoint
    def forward(self, x: Any) -> Any:
        return x * self.w


def test_it_is_a_transform() -> None:
    f = ad.checkpoint(block)
    assert repr(f) == "checkpoint(block)" and f.__doc__ == "A block."
    assert str(inspect.signature(f)) == "(x: 'Any', scale: 'float' = 2.0) -> 'Any'"
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(f))(X), block(X))
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    with pytest.raises(ad.OperandError, match="checkpoint: the first argument is a"):
        ad.checkpoint(np.ones(3))


def test_as_a_decorator_of_a_method() -> None:
    model, x = Model(), Value(X)
    model.forward(x).sum().backward()
    np.testing.assert_array_equal(model.w.grad, X)
    np.testing.assert_array_equal(x.grad, W)


def test_a_model_trains_alike() -> None:
    def train(q: Function) -> Any:
        layers = [nn.Linear(3, 8, rng=0), nn.Tanh(), nn.Linear(8, 1, rng=1)]
        model = nn.Sequential(*layers)
        run = nn.Sequential(q(nn.Sequential(*layers[:2])), layers[2])
        optimizer = ad.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            loss = (run(np.outer(X, W)) ** 2).mean()
            loss.backward()
            optimizer.step()
        return [float(loss), *(p.data for p in model.parameters())]

    for a, b in zip(train(ad.checkpoint), train(same), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_the_graph_can_be_drawn() -> None:
    assert "checkpoint" in ad.draw_graph(ad.checkpoint(lambda x: np.sin(x) * x)(Value(2.0))).dot


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q"]))
