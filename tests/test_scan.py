"""checkpoint_scan: the derivatives of the plain loop, with as few stored carries and steps as the schedule allows."""

from __future__ import annotations

import functools
import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import GraphError, NanError, OperandError, Value
from autodiff.memory.schedule import default_slots, places, repeated, split

Function = Callable[..., Any]
X, W = np.array([0.3, 0.7, 1.1]), np.array([0.9, -0.4, 0.6])
U, V = np.array([1.0, -2.0, 0.5]), np.array([0.2, 0.3, -1.0])


def plain(step: Function, carry: Any, n: int, *, slots: int | None = None) -> Any:
    for i in range(n):
        carry = step(carry, i)
    return carry


# -- the schedule


@functools.cache
def fewest(length: int, slots: int) -> int:
    """How many steps forward reversing takes, by trying where to store next."""
    if length <= 1:
        return 0
    if slots == 1:
        return length * (length - 1) // 2
    return min(m + fewest(length - m, slots - 1) + fewest(m, slots) for m in range(1, length))


SLOTS = range(1, 9)


@pytest.mark.parametrize("slots", SLOTS)
def test_the_closed_form_is_the_optimum(slots: int) -> None:
    for n in range(1, 61):
        assert repeated(n, slots) == fewest(n, slots)
        m = split(n, slots)
        if n > 1 and slots > 1:
            assert m + fewest(n - m, slots - 1) + fewest(m, slots) == fewest(n, slots)


def test_places() -> None:
    for n in range(1, 61):
        for slots in SLOTS:
            stored = list(places(n, slots))
            assert stored[0] == 0 and stored == sorted(set(stored)) and len(stored) <= slots and stored[-1] < n


def test_the_default_grows_like_the_root() -> None:
    for n in (1, 2, 10, 1000, 10_000, 1_000_000):
        slots = default_slots(n)
        assert slots <= 1 + (2 * n) ** 0.5
        assert repeated(n, slots) <= 2 * n


class Counter:
    """A step that counts its calls, and the carries that are alive while it runs."""

    def __init__(self) -> None:
        self.calls = 0
        self.alive: list[weakref.ref[Any]] = []
        self.most = 0

    def __call__(self, carry: Any, i: int) -> Any:
        self.calls += 1
        y = np.sin(carry)
        self.alive = [a for a in self.alive if a() is not None]
        self.most = max(self.most, len(self.alive))
        self.alive.append(weakref.ref(y._array))
        return y


@pytest.mark.parametrize("slots", SLOTS)
def test_as_many_steps_and_carries_as_the_schedule_says(slots: int) -> None:
    """Forward n steps; backward each once more, and those that go forward again."""
    gc.disable()
    try:
        for n in range(1, 61):
            step, x = Counter(), Value(X)
            y = ad.checkpoint_scan(step, x, n, slots=slots)
            assert step.calls == n
            y.sum().backward()
            assert step.calls == n + 1 + fewest(n, slots)
            assert step.most <= slots + 2  # the carry that is worked on, and the one after it
            del y
            step.alive = [a for a in step.alive if a() is not None]
            assert not step.alive
    finally:
        gc.enable()


def test_the_default_number_of_slots() -> None:
    for n in (1, 5, 100, 500):
        step, x = Counter(), Value(X)
        ad.checkpoint_scan(step, x, n).sum().backward()
        assert step.calls == n + 1 + fewest(n, default_slots(n)) <= 3 * n + 1
        assert step.most <= default_slots(n) + 2


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("slots", [1, 3, 6, None])
def test_peak_memory(slots: int | None, traced: None) -> None:
    """The slots, and a few arrays for the one step that is recorded; through backward and through grad."""
    n, size = 60, 50_000
    x = np.linspace(0.0, 1.0, size)
    held = default_slots(n) if slots is None else slots

    def loss(x: Any) -> Any:
        return ad.checkpoint_scan(lambda y, i: np.sin(y) * 1.01, x, n, slots=slots).sum()

    ad.grad(loss)(X)
    for run in (ad.grad(loss), lambda x: loss(Value(x)).backward()):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        run(x)
        assert (tracemalloc.get_traced_memory()[1] - before) / (8 * size) < held + 8


def test_forward_mode_streams(traced: None) -> None:
    size = 50_000
    x = np.linspace(0.0, 1.0, size)
    peaks = []
    for n in (5, 50):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        ad.jvp(lambda x, n=n: ad.checkpoint_scan(lambda y, i: np.sin(y) * 1.01, x, n, slots=1), (x,), (x,))
        peaks.append((tracemalloc.get_traced_memory()[1] - before) / (8 * size))
    assert peaks[1] < peaks[0] + 1 < 15


# -- derivatives: programs of (scan, x, w)


def carried(scan: Function, x: Any, w: Any) -> Any:
    return scan(lambda y, i: np.sin(y) * (1 + 0.1 * i), x * w, 7, slots=3).sum()


def closed_over(scan: Function, x: Any, w: Any) -> Any:
    v = w * w
    return (scan(lambda y, i: np.sin(y * w) + 0.1 * i * v, x, 7) ** 2).sum() + v.sum()


def nested_carry(scan: Function, x: Any, w: Any) -> Any:
    def step(carry: Any, i: int) -> Any:
        (a, b), name, count = carry["pair"], carry["name"], carry["count"]
        assert count == i and name == "fibonacci"
        return {"pair": (b, a * 0.5 + b * w), "name": name, "count": count + 1, "table": carry["table"], "no": None}

    first = {"pair": (x, w), "name": "fibonacci", "count": 0, "table": np.arange(3), "no": None}
    last = scan(step, first, 6, slots=2)
    assert last["count"] == 6 and last["table"].dtype.kind == "i" and last["no"] is None
    return (last["pair"][0] * last["pair"][1] ** 2).sum()


def becomes_tracked(scan: Function, x: Any, w: Any) -> Any:
    """A plain array at first, and a counter that is never tracked."""
    y, count = scan(lambda c, i: (c[0] * w + x, c[1] + 1.0), (np.ones(3), 0.0), 5, slots=2)
    assert float(count) == 5.0
    return (y * y).sum()


def handed_through(scan: Function, x: Any, w: Any) -> Any:
    """Parts of the carry that a step leaves alone, swaps, repeats, or takes from outside."""

    def step(carry: Any, i: int) -> Any:
        a, b, c, d = carry
        return b, a, (w if i == 2 else c), (c if i % 2 else d)

    a, b, c, d = scan(step, (x, w, x * w, x), 5, slots=2)
    return (a**2 * np.sin(b) * c * d).sum()


def one_object_twice(scan: Function, x: Any, w: Any) -> Any:
    def step(carry: Any, i: int) -> Any:
        a, b = carry
        a += w * b  # and b is a, if they came so
        return (a, a) if i % 2 else (a, np.sin(a * b))

    y = x * 0.5
    a, b = scan(step, (y, y), 5, slots=2)
    return (a * b).sum()


def in_place(scan: Function, x: Any, w: Any) -> Any:
    def step(u: Any, i: int) -> Any:
        u[1:] += 0.1 * u[:-1] * w[1:]
        u[0] = np.sin(u[0])
        return u

    return (scan(step, x * 1.0, 6, slots=2) ** 2).sum()


def buffers(scan: Function, x: Any, w: Any) -> Any:
    def step(u: Any, i: int) -> Any:
        if scan is plain:
            return np.stack([u[k - 1] * w[k] + 0.1 for k in range(3)])
        out = np.empty(3)
        for k in range(3):
            out[k] = u[k - 1] * w[k] + 0.1
        return out

    return (scan(step, x, 4, slots=2) ** 2).sum()


def loses_the_carry(scan: Function, x: Any, w: Any) -> Any:
    """At step 2 the carry starts anew."""
    return (scan(lambda y, i: np.cos(w) if i == 2 else np.sin(y * w), x, 6, slots=2) ** 2).sum() + (x * w).sum()


def checkpoint_inside(scan: Function, x: Any, w: Any) -> Any:
    wrap = ad.checkpoint if scan is not plain else lambda f: f
    return (scan(lambda y, i: wrap(lambda y: np.sin(y * w))(y) * 1.1, x, 5, slots=2) ** 2).sum()


def scan_inside(scan: Function, x: Any, w: Any) -> Any:
    def step(y: Any, i: int) -> Any:
        return scan(lambda z, j: np.sin(z * w) + y * 0.1, y, 3, slots=1)

    return (scan(step, x, 4, slots=2) ** 2).sum()


def inside_a_checkpoint(scan: Function, x: Any, w: Any) -> Any:
    wrap = ad.checkpoint if scan is not plain else lambda f: f
    return (wrap(lambda x: scan(lambda y, i: np.sin(y * w), x, 5, slots=2))(x) ** 2).sum()


def derivative_inside(scan: Function, x: Any, w: Any) -> Any:
    """Newton steps, or so."""

    def step(y: Any, i: int) -> Any:
        return y - 0.1 * ad.grad(lambda y: (np.sin(y * w) * y).sum())(y)

    return (scan(step, x, 4, slots=2) ** 2).sum()


def scalars(scan: Function, x: Any, w: Any) -> Any:
    return scan(lambda c, i: (c[0] * c[1], np.sin(c[1]) + x[i % 3]), (w[0], 1.0), 5, slots=2)[0] * w[1]


def complex_inside(scan: Function, x: Any, w: Any) -> Any:
    return abs(scan(lambda z, i: z * z * 0.5 + w, x + 0.1j * w, 4, slots=2)).sum()


def nan_left_out(scan: Function, x: Any, w: Any) -> Any:
    shifted = x - 0.5
    root = np.sqrt(shifted) * np.log(shifted)
    return scan(lambda y, i: np.where(shifted > 0, y * w, 0.0), root, 3, slots=2).sum()


PROGRAMS = [
    carried,
    closed_over,
    nested_carry,
    becomes_tracked,
    handed_through,
    one_object_twice,
    in_place,
    buffers,
    loses_the_carry,
    checkpoint_inside,
    scan_inside,
    inside_a_checkpoint,
    derivative_inside,
    scalars,
    complex_inside,
    nan_left_out,
]


def value(scan: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.value_and_grad(lambda x: program(scan, x, w))(x)


def both(scan: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.grad(lambda x, w: program(scan, x, w), argnums=(0, 1))(x, w)


def forward(scan: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.jvp(lambda x, w: program(scan, x, w), (x, w), (U, V))


def objects(scan: Function, program: Function, x: Any, w: Any) -> Any:
    a, b = Value(x), Value(w)
    loss = program(scan, a * 1.0, b * 1.0)
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)  # the stored carries are used up
    loss.backward()
    with pytest.raises(GraphError, match="freed"):
        loss.backward()
    return a.grad, b.grad


def reverse_over_reverse(scan: Function, program: Function, x: Any, w: Any) -> Any:
    def inner(x: Any, w: Any) -> Any:
        gx, gw = both(scan, program, x, w)
        return (gx * U).sum() + (gw * gw).sum()

    return ad.grad(inner, argnums=(0, 1))(x, w)


def forward_over_reverse(scan: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.jvp(lambda x, w: both(scan, program, x, w), (x, w), (U, V))[1]


def reverse_over_forward(scan: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.grad(lambda x, w: forward(scan, program, x, w)[1], argnums=(0, 1))(x, w)


def forward_over_forward(scan: Function, program: Function, x: Any, w: Any) -> Any:
    return ad.jvp(lambda x, w: forward(scan, program, x, w)[1], (x, w), (V, U))


def create_graph(scan: Function, program: Function, x: Any, w: Any) -> Any:
    a, b = Value(x), Value(w)
    program(scan, a * 1.0, b * 1.0).backward(create_graph=True)
    penalty = (a.grad * U).sum() + (b.grad**2).sum()
    a.zero_grad(), b.zero_grad()
    penalty.backward()
    return a.grad, b.grad


MODES = [
    value,
    both,
    forward,
    objects,
    reverse_over_reverse,
    forward_over_reverse,
    reverse_over_forward,
    forward_over_forward,
    create_graph,
]


def arrays(x: Any) -> Iterator[Any]:
    if isinstance(x, tuple):
        for item in x:
            yield from arrays(item)
    else:
        yield x


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("mode", MODES)
def test_the_same_derivatives(mode: Function, program: Function) -> None:
    got, want = [*arrays(mode(ad.checkpoint_scan, program, X, W))], [*arrays(mode(plain, program, X, W))]
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert type(a) is type(b) and a.dtype == b.dtype and np.isfinite(b).all()
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p is not nan_left_out])
def test_against_finite_differences(program: Function) -> None:
    ad.check_grads(lambda x, w: program(ad.checkpoint_scan, x, w), X, W, order=2)


@pytest.mark.parametrize("slots", [*range(1, 8), None])
@pytest.mark.parametrize("n", [1, 2, 3, 9, 20])
def test_any_number_of_steps_and_slots(n: int, slots: int | None) -> None:
    def loss(scan: Function, x: Any, w: Any) -> Any:
        return (scan(lambda y, i: np.sin(y * w) + 0.01 * i * x, x, n, slots=slots) ** 2).sum()

    got, want = (ad.grad(functools.partial(loss, scan), argnums=(0, 1))(X, W) for scan in (ad.checkpoint_scan, plain))
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_dtypes(dtype: Any) -> None:
    x, w = X.astype(dtype), W.astype(dtype)

    def loss(scan: Function) -> Function:
        return lambda x: (abs(scan(lambda y, i: np.sin(y * w), x, 6)) ** 2).sum()

    got, want = ad.grad(loss(ad.checkpoint_scan))(x), ad.grad(loss(plain))(x)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_linear_recurrence_in_closed_form() -> None:
    """y_n = a**n y_0, whose derivatives are known."""
    n, a, y = 50, 1.02, 0.7
    ga, gy = ad.grad(lambda a, y: ad.checkpoint_scan(lambda c, i: a * c, y, n, slots=4), argnums=(0, 1))(a, y)
    np.testing.assert_allclose([ga, gy], [n * a ** (n - 1) * y, a**n], rtol=1e-13)


BATCH = np.linspace(0.1, 1.0, 12).reshape(4, 3)


def sines(scan: Function, x: Any, w: Any) -> Any:
    return scan(lambda y, i: np.sin(y * w) + 0.1 * i, x, 6, slots=2)


COMPOSED: dict[str, Function] = {
    "vmap of grad": lambda scan: ad.vmap(ad.grad(lambda x: sines(scan, x, W).sum()))(BATCH),
    "grad of vmap": lambda scan: ad.grad(lambda w: (ad.vmap(lambda x: sines(scan, x, w))(BATCH) ** 2).sum())(W),
    "hessian": lambda scan: ad.hessian(lambda x: sines(scan, x, W).sum())(X),
    "jacobian": lambda scan: ad.jacobian(lambda x: sines(scan, x, W))(X),
    "linearize": lambda scan: ad.linearize(lambda x: sines(scan, x, W), X)[1](U),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_with_other_transforms(name: str) -> None:
    np.testing.assert_allclose(COMPOSED[name](ad.checkpoint_scan), COMPOSED[name](plain), rtol=1e-12, atol=1e-14)


# -- what goes in and comes out


def test_no_steps() -> None:
    """The carry as it was, but as after a step nothing of it is the caller's own."""
    x, w, items = X.copy(), Value(W), [1]
    last = ad.checkpoint_scan(lambda c, i: 1 / 0, {"a": x, "b": w, "c": items, "d": 2.0, "e": "text"}, 0)
    assert type(last["a"]) is np.ndarray and last["c"] == [1] and last["d"] == 2.0 and last["e"] == "text"
    np.testing.assert_array_equal(last["a"], X)
    last["b"].sum().backward()
    np.testing.assert_array_equal(w.grad, np.ones_like(W))
    with ad.no_grad():
        last["b"] *= 0.0
    last["a"][:] = 0.0
    last["c"].append(2)
    assert x.all() and w.data.all() and items == [1]


def test_plain_arrays_stay_plain() -> None:
    y, k = ad.checkpoint_scan(lambda c, i: (np.sin(c[0]), c[1] + i), (X, 0), 3)
    assert type(y) is np.ndarray and type(k) is int and k == 3
    y = ad.checkpoint_scan(lambda c, i: np.sin(c), Value(X, requires_grad=False), 3)
    assert type(y) is Value and not y.requires_grad


def test_no_grad() -> None:
    step, x = Counter(), Value(X)
    with ad.no_grad():
        y = ad.checkpoint_scan(step, x, 7)
    assert not y.requires_grad and step.calls == 7
    np.testing.assert_array_equal(y.data, plain(lambda c, i: np.sin(c), X, 7))


def test_it_works_on_copies() -> None:
    def step(c: Any, i: int) -> Any:
        c["x"] *= 2.0
        c["n"] += 1
        c["items"].append(i)
        return {**c, "items": []}

    x, counts, items = Value(X), np.zeros(3), []  # type: ignore[var-annotated]
    last = ad.checkpoint_scan(step, {"x": x, "n": counts, "items": items}, 4, slots=2)
    last["x"].sum().backward()
    np.testing.assert_array_equal(x.grad, 16.0)
    np.testing.assert_array_equal(last["n"], 4.0)
    assert not items and not counts.any()
    np.testing.assert_array_equal(x.data, X)


@pytest.mark.parametrize(
    ("n", "slots", "error", "message"),
    [
        (-1, None, ValueError, "checkpoint_scan: n=-1; the number of steps cannot be negative"),
        (2.0, None, OperandError, "checkpoint_scan: n=2.0 is a float"),
        ("3", None, OperandError, "checkpoint_scan: n='3' is a str"),
        (3, 0, ValueError, "checkpoint_scan: slots=0; the first carry"),
        (3, 1.5, OperandError, "checkpoint_scan: slots=1.5 is a float"),
    ],
)
def test_bad_numbers(n: Any, slots: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ad.checkpoint_scan(lambda c, i: c, X, n, slots=slots)
    assert ad.checkpoint_scan(lambda c, i: c + i, 0, np.int64(3), slots=np.int64(1)) == 3  # type: ignore[arg-type]


CHANGES: dict[str, tuple[Any, Function, str]] = {
    "shape": (X, lambda c, i: c[:2] if i == 3 else c * 1.0, r"step 3 makes a float64\[2\] .*was a float64\[3\]"),
    "dtype": (X, lambda c, i: c * 1j, r"step 0 makes a complex128\[3\] of array 0"),
    "kind": ((X, 0), lambda c, i: (c[0], c[1] + 0.5), r"step 0 makes a float64\[\] of array 1.*was a int64\[\]"),
    "no array": ((X, 0), lambda c, i: (c[0], "a"), r"step 0 makes a str of array 1"),
    "length": ([X, X], lambda c, i: [*c, X], "the carry after step 0: expected a list of 2, got a list of 3"),
    "keys": ({"a": X}, lambda c, i: {"b": X}, r"the carry after step 0: expected a dict with the keys \['a'\]"),
    "array": ({"a": X}, lambda c, i: X, "the carry after step 0: expected a dict"),
    "nothing": (X, lambda c, i: None, "step 0 makes a NoneType of array 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_carry_that_changes(name: str) -> None:
    carry, step, message = CHANGES[name]
    with pytest.raises(OperandError, match=f"checkpoint_scan: {message}"):
        ad.checkpoint_scan(step, carry, 5)
    with ad.no_grad(), pytest.raises(OperandError, match=f"checkpoint_scan: {message}"):
        ad.checkpoint_scan(step, carry, 5)


# -- steps that are not repeatable


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("when", [10, 11, 12])
def test_another_result_the_second_time(slots: int, when: int) -> None:
    """Whichever call it is, recorded or not, the step where it shows is checked."""
    calls = iter(range(1000))

    def step(y: Any, i: int) -> Any:
        return np.sin(y) * (1.001 if next(calls) == when else 1.0)

    with pytest.raises(GraphError, match=r"checkpoint_scan: run again in the backward pass.*other numbers"):
        ad.checkpoint_scan(step, Value(X), 10, slots=slots).sum().backward()


def test_other_passes_are_checked_too() -> None:
    calls = iter(range(1000))

    def step(y: Any, i: int) -> Any:
        return y * float(next(calls))

    with pytest.raises(GraphError, match="other numbers"):
        ad.jvp(lambda x: ad.checkpoint_scan(step, x, 3), (X,), (U,))
    with pytest.raises(GraphError, match="other numbers"):
        ad.checkpoint_scan(step, Value(X), 3).sum().backward(create_graph=True)


def test_a_parameter_changed_in_between() -> None:
    w = Value(W)
    y = ad.checkpoint_scan(lambda y, i: y * w, Value(X), 5).sum()
    w.data = 2 * W
    with pytest.raises(GraphError, match="other numbers"):
        y.backward()


def test_another_tracked_value() -> None:
    held = iter([Value(W) for _ in range(20)])

    def step(y: Any, i: int) -> Any:
        return y * next(held)

    with pytest.raises(GraphError, match="used another tracked Value"):
        ad.checkpoint_scan(step, Value(X), 3).sum().backward()
    with pytest.raises(GraphError, match="used another tracked Value"):
        ad.jvp(lambda x: ad.checkpoint_scan(step, x, 3), (X,), (U,))


def test_writing_to_values_outside_is_refused() -> None:
    log = Value(np.zeros(3), requires_grad=False)

    def step(y: Any, i: int) -> Any:
        log[i] = y[0]
        return y * 2.0

    with pytest.raises(GraphError, match="checkpoint_scan: the function writes to a Value"):
        ad.checkpoint_scan(step, Value(X), 3)


def test_what_a_step_leaves_behind_cannot_be_used() -> None:
    left: list[Any] = []

    def step(y: Any, i: int) -> Any:
        left.append(np.sin(y * w))
        return left[-1]

    x, w = Value(X), Value(W)
    for i in range(3):
        left.clear()
        y = ad.checkpoint_scan(step, x, 3)
        with pytest.raises(GraphError, match="a Value that a step computes was used outside"):
            (y.sum() + left[i].sum()).backward()

    def loss(x: Any) -> Any:
        left.clear()
        return ad.checkpoint_scan(step, x, 3).sum() + left[1].sum()

    with pytest.raises(GraphError, match="a Value that a step computes was used outside"):
        ad.grad(loss)(X)
    with pytest.raises(GraphError, match="a Value that a step computes was used outside"):
        ad.jvp(loss, (X,), (U,))


# -- random numbers and the state around


@pytest.mark.parametrize("slots", [1, 2, 3, None])
@pytest.mark.parametrize("kind", ["generator", "legacy", "in the carry"])
def test_random_numbers(kind: str, slots: int | None) -> None:
    rng = np.random.default_rng(0)

    def noisy(y: Any, i: int) -> Any:
        draw = np.random.standard_normal if kind == "legacy" else rng.standard_normal
        return np.sin(y) * (1 + 0.1 * draw(3))

    def with_rng(c: Any, i: int) -> Any:
        return np.sin(c[0]) * (1 + 0.1 * c[1].standard_normal(3)), c[1]

    def loss(scan: Function, x: Any) -> Any:
        if kind == "in the carry":
            return (scan(with_rng, (x, rng), 9, slots=slots)[0] ** 2).sum()
        return (scan(noisy, x, 9, slots=slots) ** 2).sum()

    results, start = [], rng.bit_generator.state
    for scan in (plain, ad.checkpoint_scan):
        for derive in (ad.grad, lambda f: lambda x: ad.jvp(f, (x,), (U,))[1]):
            rng.bit_generator.state = start
            np.random.seed(0)
            results.append((derive(functools.partial(loss, scan))(X), rng.random(), np.random.random()))
    for a, b in zip(results[:2], results[2:], strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-12)
        assert a[1:] == b[1:]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_debug_nans() -> None:
    def step(y: Any, i: int) -> Any:
        return np.sqrt(y - 1.0)  # here

    with ad.debug_nans(), pytest.raises(NanError, match=r"sqrt.*here"):
        ad.checkpoint_scan(step, Value(1.5), 3)


def test_an_exception_leaves_nothing_behind() -> None:
    rng = np.random.default_rng(0)
    fail: list[bool] = []

    def step(y: Any, i: int) -> Any:
        y = y * rng.random()
        if fail and i == 3:
            raise ZeroDivisionError
        return y

    y = ad.checkpoint_scan(step, Value(X), 8, slots=3).sum()
    state = rng.bit_generator.state
    fail.append(True)
    with pytest.raises(ZeroDivisionError):
        y.backward()
    assert rng.bit_generator.state == state
    assert type(np.empty(3)) is np.ndarray and (Value(X) * 2.0).requires_grad


def test_threads() -> None:
    """One graph walked by several threads: one takes the stored carries, the others begin at the first."""
    x, w = Value(X), Value(W)
    y = ad.checkpoint_scan(lambda y, i: np.sin(y * w), x, 30, slots=4).sum()
    threads = [threading.Thread(target=y.backward, kwargs={"retain_graph": True}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = x.grad, w.grad
    x.zero_grad(), w.zero_grad()
    plain(lambda y, i: np.sin(y * w), x, 30).sum().backward(gradient=4.0)
    np.testing.assert_allclose(got, (x.grad, w.grad), rtol=1e-12)


def test_no_cycles() -> None:
    w = Value(W)

    def rounds() -> None:
        x = Value(X)
        for options in ({}, {"retain_graph": True}, {"create_graph": True}):
            x.zero_grad(), w.zero_grad()
            ad.checkpoint_scan(lambda y, i: np.sin(y * w), x, 6).sum().backward(**options)
        x.zero_grad(), w.zero_grad()
        ad.grad(lambda x: ad.checkpoint_scan(lambda y, i: np.sin(y * x), x, 6).sum())(X)
        ad.jvp(lambda x: ad.checkpoint(lambda x: ad.checkpoint_scan(lambda y, i: np.sin(y), x, 6))(x), (X,), (U,))

    rounds()
    gc.collect()
    gc.disable()
    try:
        rounds()
        assert gc.collect() == 0
    finally:
        gc.enable()


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q"]))
