"""jit: what a user writes, run as a program, against the same code without it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import autodiff as ad
from autodiff import JitWarning, Value, nn

Array = np.ndarray[Any, Any]


def entries(jitted: Any) -> list[Any]:
    return [*jitted._call.entries.values()]


def compiled(jitted: Any) -> bool:
    """Whether each signature has a program."""
    return all(e.programs and not e.eager for e in entries(jitted))


def agree(f: Callable[..., Any], *calls: tuple[Any, ...], **kwargs: Any) -> Any:
    """Call f and its jit with each of the arguments, twice, and compare; the jitted function."""
    jitted = ad.jit(f, strict=True)
    for args in (*calls, *calls):
        expected, found = f(*args, **kwargs), jitted(*args, **kwargs)
        same(found, expected)
    assert compiled(jitted)
    return jitted


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert type(found) is type(expected) and [*found] == [*expected]
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, (tuple, list)):
        assert type(found) is type(expected) and len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            same(a, b)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert type(found) is type(expected)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, 1e-12, 1e-12)
    elif isinstance(expected, float):
        assert float(found) == pytest.approx(expected, rel=1e-14)
    else:
        assert found == expected


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


X, Y = numbers(5), numbers(5, seed=1)


# -- values and derivatives


def loss(w: Any, x: Any) -> Any:
    return (np.tanh(x @ w) ** 2).sum()


W, M = numbers(4, 3), numbers(6, 4)


def test_values() -> None:
    agree(loss, (W, M), (2 * W, M))


@pytest.mark.parametrize(
    "make",
    [
        ad.grad,
        ad.value_and_grad,
        ad.jacobian,
        ad.hessian,
        lambda f: lambda w, x: ad.hvp(f)(w, x, w),
        lambda f: lambda w, x: ad.jvp(lambda w: f(w, x), (w,), (w,)),
        lambda f: lambda w, x: ad.vjp(f, w, x)[1](1.0),
        lambda f: ad.vmap(f, in_axes=(None, 0)),
        lambda f: ad.vmap(ad.grad(f), in_axes=(None, 0)),
        lambda f: ad.grad(lambda w, x: ad.vmap(f, in_axes=(None, 0))(w, x).sum()),
        lambda f: ad.grad(lambda w, x: (ad.grad(f)(w, x) ** 2).sum()),
    ],
)
def test_derivatives_inside(make: Any) -> None:
    agree(make(loss), (W, M), (2 * W, M))


@pytest.mark.parametrize(
    "make",
    [
        ad.grad,
        ad.value_and_grad,
        ad.jacobian,
        ad.hessian,
        lambda f: lambda w, x: ad.hvp(f)(w, x, w),
        lambda f: lambda w, x: ad.jvp(lambda w: f(w, x), (w,), (w,)),
        lambda f: ad.vmap(f, in_axes=(None, 0)),
        lambda f: ad.vmap(ad.grad(f), in_axes=(None, 0)),
        lambda f: ad.grad(lambda w, x: ad.vmap(f, in_axes=(None, 0))(w, x).sum()),
        lambda f: ad.grad(lambda w, x: (ad.grad(f)(w, x) ** 2).sum()),
        ad.jit,
        lambda f: ad.jit(ad.grad(f)),
    ],
)
def test_derivatives_outside(make: Any) -> None:
    jitted = ad.jit(loss)
    for w in (W, 2 * W, 3 * W):
        same(make(jitted)(w, M), make(loss)(w, M))


def test_gradient_of_closed_over_values() -> None:
    """What is tracked in the closure is not cut off."""
    w = Value(W)
    step = ad.jit(lambda x: loss(w, x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JitWarning)
        for _ in range(3):
            w.grad = None
            step(M).backward()
            same(w.grad, ad.grad(loss)(W, M))


# -- arguments and results


def test_containers() -> None:
    class Pair(NamedTuple):
        a: Any
        b: Any

    def f(p: Any, q: Any) -> Any:
        return {"s": p["w"] * 2, "t": [q.a + p["b"], (q.b, None, "text")], "n": 3}

    agree(f, ({"w": X, "b": 2.0}, Pair(Y, X)), ({"w": Y, "b": 1.0}, Pair(X, Y)))


def test_modules_as_arguments() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))

    def f(model: Any, x: Any) -> Any:
        return (model(x) ** 2).mean()

    jitted = ad.jit(ad.grad(f))
    for scale in (1.0, 2.0, 3.0):
        found, expected = jitted(model, M * scale), ad.grad(f)(model, M * scale)
        for a, b in zip(found.parameters(), expected.parameters(), strict=True):
            np.testing.assert_allclose(
                a.data if isinstance(a, Value) else a, b.data if isinstance(b, Value) else b, 1e-12
            )


def test_keywords_and_defaults() -> None:
    def f(x: Any, *, scale: Any = 2.0, name: str = "sin") -> Any:
        return getattr(np, name)(x) * scale

    agree(f, (X,), (Y,), scale=3.0)
    agree(f, (X,), (Y,), name="cos")


def test_floats_keep_their_kind() -> None:
    x = X.astype("f4")
    agree(lambda x, s: x * s + s * 2, (x, 0.5), (x, 0.25))
    jitted = ad.jit(lambda x, s: x * s)
    for s in (0.1, 0.2, 0.3, 0.4):
        assert jitted(x, s).dtype == np.float32
    assert len(entries(jitted)[0].programs) == 1


def test_integers_are_part_of_the_program() -> None:
    jitted = agree(lambda x, n: x[:n] * n, (X, 2), (X, 3))
    assert len(entries(jitted)) == 2


def test_results_are_never_the_arguments() -> None:
    def f(x: Any) -> Any:
        return x, x[1:], x.reshape(-1, 1), x

    jitted = ad.jit(f)
    for _ in range(3):
        x = X.copy()
        results = jitted(x)
        same(results, f(X))
        for i, y in enumerate(results):
            assert not np.shares_memory(x, y)
            assert not any(np.shares_memory(y, z) for z in results[:i])


def test_arguments_are_not_written_to() -> None:
    def f(x: Any) -> Any:
        x[0] = 7.0
        x *= 2
        return x.sum()

    jitted = ad.jit(f)
    for _ in range(3):
        x = X.copy()
        assert jitted(x) == pytest.approx(f(X.copy()))
        np.testing.assert_array_equal(x, X)


def test_memory_order_and_strides_of_arguments() -> None:
    a = numbers(4, 6)
    agree(lambda x: np.exp(x) @ x.T, (a,), (a.T.copy().T,), (a[:, ::-1],))
    assert ad.jit(lambda x: x * 2)(np.float64(3.0)) == 6.0


# -- writing


def test_filled_buffers() -> None:
    def f(x: Any) -> Any:
        out = np.empty(5)
        for i in range(5):
            out[i] = x[i] ** 2
        out[1:3] += x[:2]
        out[[0, 0, 4]] = x[:3]
        np.add.at(out, [1, 1], x[:2])
        return out

    agree(f, (X,), (Y,))
    agree(ad.jacobian(f), (X,), (Y,))


def test_views() -> None:
    def f(x: Any) -> Any:
        a = np.zeros((5, 2))
        left = a[:, 0]
        left[...] = x
        a.T[1, 1:] = left[1:] * 2
        row = a[2]
        row *= 3
        return a.sum(axis=0), left, (a**2).sum()

    agree(f, (X,), (Y,))
    agree(lambda x: ad.grad(lambda x: f(x)[2])(x), (X,), (Y,))


def test_out() -> None:
    def f(x: Any) -> Any:
        out = np.empty(5)
        np.multiply(x, 2, out=out)
        np.add(out, x, out=out, where=x > 0)
        return out

    agree(f, (X,), (Y,))


# -- paths


def test_newton() -> None:
    def newton(x: Any) -> Any:
        while np.linalg.norm(r := x * x - 2) > 1e-12:
            x = x - r / (2 * x)
        return x

    jitted = ad.jit(newton, strict=True)
    for start in (1.0, 1.1, 30.0, 1.0, 30.0):
        np.testing.assert_allclose(jitted(np.full(4, start)), np.sqrt(2), 1e-13)


def test_branches() -> None:
    def f(x: Any) -> Any:
        if x.sum() > 0:
            return x * 2
        return {"negative": -x}

    agree(f, (np.abs(X),), (-np.abs(X),))


def test_numbers_that_are_read() -> None:
    agree(lambda x: x * float(x[0]), (X,), (Y,))
    agree(lambda x: x[: int(x.argmax()) + 1].sum(), (X,), (Y,))
    agree(lambda x: x[x.argmax()], (X,), (Y,))
    agree(lambda x: x[x > 0].sum(), (X,), (Y,))
    agree(lambda x: sum(x.tolist()), (X,), (Y,))


def test_too_many_paths() -> None:
    jitted = ad.jit(lambda x: x * float(x[0]))
    for i in range(8):
        np.testing.assert_allclose(jitted(X + i), (X + i) * (X[0] + i))
    with pytest.warns(JitWarning, match="8 values"):
        jitted(X + 8)
    for i in range(12):
        np.testing.assert_allclose(jitted(X + i), (X + i) * (X[0] + i))


def test_masks_where_they_are_needed() -> None:
    """Derivatives that are 0/0 for some numbers only."""
    f = ad.grad(lambda x: np.where(x > 0, np.sqrt(np.abs(x)), 0.0).sum())
    agree(f, (np.abs(X) + 1,), (np.zeros(5),), (X,))


# -- what is captured


def test_captured_arrays() -> None:
    data = X.copy()
    holder = {"a": X.copy()}
    jitted = ad.jit(lambda x: x * data + holder["a"].sum())
    for i in range(4):
        same(jitted(Y), Y * data + holder["a"].sum())
        data[i] = 9.0
        holder["a"] = Y * i


def test_captured_arrays_are_indexed_by_arguments() -> None:
    class Table:
        def __init__(self) -> None:
            self.rows, self.weight = np.arange(12.0).reshape(4, 3), Value(2.0)

    table, i, mask = Table(), np.array([3, 0, 3]), np.array([True, False, True])

    def look(i: Any, mask: Any) -> Any:  # with a tracked Value about, the arguments are Values
        part = np.zeros((3, 3))
        part[mask] = table.rows[i[mask]]
        part[1, :2] = table.rows[i, 1][:2]
        return (table.weight * part + table.rows[i]).data

    expected = look(i, mask)
    look_fast = ad.jit(look, strict=True)
    for _ in range(3):
        assert np.array_equal(look_fast(i, mask), expected)
    table.rows = -table.rows
    assert np.array_equal(look_fast(i[::-1].copy(), mask), look(i[::-1], mask))
    assert look_fast.cache_info().programs == 1


def test_numbers_computed_from_captured_arrays() -> None:
    data = X.copy()
    jitted = ad.jit(lambda x: x * (data[:3] * 2).sum())
    for i in range(4):
        same(jitted(Y), Y * (data[:3] * 2).sum())
        data[i] += 1


SCALE = 2.0


def helper(x: Any) -> Any:
    return x * SCALE


def test_captured_numbers_and_functions(monkeypatch: Any) -> None:
    jitted = ad.jit(lambda x: helper(x) + 1)
    same(jitted(X), X * 2 + 1)
    same(jitted(X), X * 2 + 1)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    same(jitted(X), X * 3 + 1)
    monkeypatch.setitem(globals(), "helper", lambda x: x)
    same(jitted(X), X + 1)


def test_attributes() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = X.copy()
            self.rate = 0.1
            self.training = True

        def __call__(self, x: Any) -> Any:
            return x * self.w * self.rate if self.training else x

    model = Model()
    jitted = ad.jit(model)
    bound = ad.jit(model.__call__)
    for change in ({}, {"rate": 0.2}, {"w": Y}, {"training": False}, {"training": True}):
        vars(model).update(change)
        for _ in range(2):
            same(jitted(Y), model(Y))
            same(bound(Y), model(Y))


def test_untracked_values_that_are_captured() -> None:
    w = Value(X, requires_grad=False)
    jitted = ad.jit(lambda x: x * w)
    for i in range(3):
        same(jitted(Y), (Y * w).data)
        w[i] = 5.0
    w.data = Y
    same(jitted(Y), Y * Y)


def test_random_numbers_are_drawn_anew() -> None:
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JitWarning)
        jitted = ad.jit(lambda x: x + rng.normal(size=5))
        drawn = [jitted(X) for _ in range(4)]
        assert len({d.tobytes() for d in drawn}) == 4
        expected = np.random.default_rng(0)
        for d in drawn:
            np.testing.assert_array_equal(d, X + expected.normal(size=5))
        jitted = ad.jit(lambda x: x + np.random.rand())
        assert len({jitted(X).tobytes() for _ in range(4)}) == 4


def test_counters_count() -> None:
    state = {"steps": 0}

    def f(x: Any) -> Any:
        state["steps"] += 1
        return x * state["steps"]

    jitted = ad.jit(f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JitWarning)
        for i in range(1, 5):
            same(jitted(X), X * i)
    assert state["steps"] == 4


def test_lists_are_appended_to() -> None:
    log: list[Any] = []

    def f(x: Any) -> Any:
        log.append(x.sum())
        return x * 2

    jitted = ad.jit(f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JitWarning)
        for _ in range(3):
            jitted(X)
    assert [float(v) for v in log] == [X.sum()] * 3


# -- the object


def test_strict_says_why() -> None:
    with pytest.raises(ad.OperandError, match="returns str"):
        ad.jit(lambda x: np.array2string(x), strict=True)(X)


def test_errors_of_the_function_come_through() -> None:
    def f(x: Any) -> Any:
        raise KeyError("mine")

    jitted = ad.jit(f)
    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            jitted(X)


def test_a_decorator_and_a_method() -> None:
    class A:
        k = 3.0

        @ad.jit
        def f(self, x: Any) -> Any:
            return x * self.k

    a = A()
    same(a.f(X), X * 3)
    same(a.f(X), X * 3)
    assert "jit(" in repr(ad.jit(np.sin))


def test_threads() -> None:
    jitted = ad.jit(ad.value_and_grad(loss))
    results: list[Any] = [None] * 8

    def work(i: int) -> None:
        for _ in range(20):
            results[i] = jitted(W * (i + 1), M)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i, r in enumerate(results):
        same(r, ad.value_and_grad(loss)(W * (i + 1), M))


def test_no_arguments_and_constants() -> None:
    agree(lambda: np.ones(3) * 2, ())
    agree(lambda x: 5.0, (X,))
    agree(lambda x: (None, "a"), (X,))


def test_printing_is_of_numbers(capsys: Any) -> None:
    def f(x: Any) -> Any:
        print(x)
        return x * 2

    ad.jit(f)(np.array([1.0, 2.5]))
    assert "2.5" in capsys.readouterr().out


# -- tracked arguments


def test_story_10() -> None:
    @ad.jit
    def f(x: Any) -> Any:
        n, s = 0, x[0]
        while s < 100.0 and n < 50:
            s = s * 1.5 + x[1]
            n += 1
        return s

    for _ in range(3):
        np.testing.assert_allclose(ad.grad(f)(np.array([1.0, 0.5])), [1.5**10, (1.5**10 - 1) / 0.5])


def penalty(f: Callable[..., Any]) -> Callable[..., Any]:
    return ad.grad(lambda w, x: (ad.grad(f)(w, x) ** 2).sum())


def test_derivatives_of_a_jitted_function_are_programs() -> None:
    jitted = ad.jit(loss)
    for make in (ad.grad, penalty):
        for w in (W, 2 * W, 3 * W):
            same(make(jitted)(w, M), make(loss)(w, M))
        assert compiled(jitted)


def test_backward_through_a_jitted_function() -> None:
    jitted = ad.jit(lambda p, x: {"loss": loss(p["w"], x), "n": 3, "count": np.arange(3)})
    for _ in range(3):
        w = Value(W)
        result = jitted({"w": w}, M)
        result["loss"].backward()
        same(w.grad, ad.grad(loss)(W, M))
        assert result["n"] == 3


# -- training


def trained(jitting: bool, make: Callable[[Any], Any], steps: int = 8) -> tuple[list[float], list[Array]]:
    """Losses and parameters of a step in the style of PyTorch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 4)), rng.normal(size=(32, 1))
    model = nn.Sequential(nn.Linear(4, 8, rng=rng), nn.Tanh(), nn.Linear(8, 1, rng=rng))
    opt = make(model.parameters())
    dropout = np.random.default_rng(1)

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        hidden = model(x * (dropout.random(x.shape) < 0.8))
        error = ((hidden - y) ** 2).mean()
        error.backward()
        opt.step()
        return error.data if isinstance(error, Value) else error

    run = ad.jit(step, strict=True) if jitting else step
    losses = []
    for i in range(steps):
        if i == 5:
            opt.lr *= 0.5
        losses.append(float(run(x, y)))
    return losses, [p.data for p in model.parameters()]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: ad.optim.SGD(p, lr=0.1),
        lambda p: ad.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: ad.optim.Adam(p, lr=0.01),
        lambda p: ad.optim.AdamW(p, lr=0.01),
    ],
)
def test_training_steps(make: Any) -> None:
    losses, params = trained(False, make)
    jit_losses, jit_params = trained(True, make)
    np.testing.assert_allclose(jit_losses, losses, 1e-12)
    for a, b in zip(jit_params, params, strict=True):
        np.testing.assert_allclose(a, b, 1e-11, 1e-14)


def test_compiled_at_the_first_call() -> None:
    jitted = ad.jit(loss, eager=False)
    same(jitted(W, M), loss(W, M))
    assert entries(jitted)[0].programs[0].runner is not None


def test_a_loss_is_returned() -> None:
    """Its graph is spent: it comes back as a Value without one. And gradients may be dropped outside."""
    model = nn.Linear(4, 1, rng=np.random.default_rng(0))
    optimizer = ad.optim.SGD(model.parameters(), lr=0.01)

    @ad.jit(strict=True)
    def step(x: Any) -> Any:
        error = (model(x) ** 2).mean()
        error.backward()
        optimizer.step()
        return error

    errors = []
    for _ in range(6):
        optimizer.zero_grad()
        result = step(M)
        assert isinstance(result, Value)
        errors.append(float(result))
    assert errors == sorted(errors, reverse=True)
    assert len({*errors}) == 6
    assert step.cache_info().hits == 4


def test_paths_by_recency() -> None:
    jitted = ad.jit(lambda x: x * 2 if x.sum() > 0 else x * 3)
    for x in (np.abs(X), -np.abs(X), np.abs(X)):
        jitted(x)
    first = entries(jitted)[0].programs[0]
    same(jitted(-np.abs(X)), -3 * np.abs(X))
    assert entries(jitted)[0].programs[0] is not first


def test_strict_arguments() -> None:
    with pytest.raises(ad.OperandError, match="argument that no program"):
        ad.jit(lambda x: x, strict=True)(np.array(["a"]))


def test_integers_that_keep_changing() -> None:
    """A counter becomes an input; what is as long as an integer says stays a program for each."""
    jitted = ad.jit(lambda x, i: x * 0.9**i, strict=True)
    for i in range(20):
        same(jitted(X.astype("f4"), i), X.astype("f4") * 0.9**i)
    assert jitted.cache_info().recordings <= 6
    jitted = ad.jit(lambda x, n: x[:n] * n, strict=True)
    for i in 3 * [*range(20)]:
        same(jitted(np.arange(30.0), i), np.arange(30.0)[:i] * i)
    assert jitted.cache_info().hits >= 20


# -- what a reader of the compiler found


def moved_down(a: Any) -> Any:
    x = a + 1
    x[1:, :3] = x[:-1, :3].copy()
    return x


def reversed_in_place(a: Any) -> Any:
    x = a + 1
    x[::-1] = x
    return x


def transposed_in_place(a: Any) -> Any:
    x = a[:4, :4] + 1
    x.T[...] = x
    return x


def shifted(a: Any) -> Any:
    x = a + 1
    x[1:, 1:] = x[:-1, :-1] * 2
    x[:, 1:] = x[:, :-1]
    x[1:] = x[:0:-1]
    return x


@pytest.mark.parametrize("f", [moved_down, reversed_in_place, transposed_in_place, shifted])
@pytest.mark.parametrize("shape", [(4, 6), (40, 60)])
def test_writes_to_what_is_read(f: Any, shape: tuple[int, int]) -> None:
    agree(f, (numbers(*shape),), (numbers(*shape, seed=1),))
    agree(ad.jacobian(lambda a: f(a)[:, 1]), (numbers(4, 6),), (numbers(4, 6, seed=1),))


def test_truth_values_of_any_bytes() -> None:
    mask = np.array([0, 2, 4, 255], np.uint8).view(bool)
    agree(lambda m: m.sum(), (mask,))
    agree(lambda m: np.where(m, 1.0, 2.0), (mask,))


@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
def test_integers_beyond_those_of_numpy() -> None:
    for f in (
        lambda x, n: x * (n * n),
        lambda x, n: x * n**10,
        lambda x, n: x * (n << 2),
        lambda x, n: x * (n + 2**62),
    ):
        jitted = ad.jit(f)
        for n in (1, 2, 3, 4, 5, 7, 2**20, 2**40):
            assert jitted(1.0, n) == f(1.0, n)
    state = {"s": 1}

    def step(x: Any) -> Any:
        state["s"] *= 3
        return x * state["s"]

    jitted = ad.jit(step)
    for _ in range(45):
        result = jitted(1.0)
    assert state["s"] == 3**45
    assert result == 3.0**45
    jitted = ad.jit(lambda x, n: x * n)
    for n in (1, 2, 3, 4, 5):
        jitted(np.arange(3, dtype="i4"), n)
    with pytest.raises(OverflowError):
        jitted(np.arange(3, dtype="i4"), 2**33)


@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
def test_powers_of_python_numbers() -> None:
    jitted = ad.jit(lambda x, s, t: x * s**t)
    for s, t in ((4.0, 0.5), (9.0, 0.5), (-4.0, 0.5), (2.0, -1.0)):
        np.testing.assert_allclose(jitted(X, s, t), X * s**t)
    with pytest.raises(ZeroDivisionError):
        jitted(X, 0.0, -1.0)
    with pytest.raises(OverflowError):
        jitted(X, 1e200, 2.0)


def test_keys_that_compare_equal() -> None:
    jitted = ad.jit(lambda d: {type(k).__name__: v * k for k, v in d.items()})
    for key in (1, 1, True, 1.0, 1):
        assert [*jitted({key: X})] == [type(key).__name__]
