"""jit of tracked Values together with the rest: branches, draws, writes, numbers, next to the same code without jit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from test_jit_paths import interpreted, steps

import autodiff as ad
from autodiff import JitWarning, Value
from autodiff.compiler.linked import LinkedProgram

Array = np.ndarray[Any, Any]
pytestmark = [pytest.mark.filterwarnings("error::autodiff.JitWarning"), pytest.mark.usefixtures("executor")]


@pytest.fixture(params=["native", "numpy"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "numpy":
        monkeypatch.setenv("AUTODIFF_JIT", "numpy")


def points(count: int, n: int = 3) -> Array:
    rng = np.random.default_rng(count)
    return rng.normal(size=(count, n)) * rng.choice([0.1, 1.0, 5.0], (count, 1))


def strict(f: Callable[..., Any]) -> Any:
    return ad.jit(f, strict=True)


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, 1e-11, 1e-11)


def grown(x: Any) -> Any:
    y = x
    while (y**2).sum() < 50.0:
        y = y * 1.5
    if y[0] > 0:
        return (np.sin(y) * x).sum()
    return (y * y * x).sum()


# -- branches


def test_gradients_on_many_paths() -> None:
    jitted = strict(grown)
    for x in [*points(30), *points(30)]:
        close(ad.grad(jitted)(x), ad.grad(grown)(x))
        close(jitted(x), grown(x))
    info = jitted.cache_info()
    assert info.signatures == 2 and info.recordings == info.programs <= info.hits


def test_a_program_is_found_by_the_guard_that_fails() -> None:
    jitted = strict(grown)
    derivative = ad.grad(jitted)
    few = [x for x in points(40) if x[0] > 0][:6]
    for x in few:
        derivative(x)
    before = jitted.cache_info()
    for x in few * 5:
        close(derivative(x), ad.grad(grown)(x))
    after = jitted.cache_info()
    assert after.recordings == before.recordings and after.hits == before.hits + 5 * len(few)


def test_other_derivatives_on_many_paths() -> None:
    jitted = strict(grown)
    for x in points(6):
        close(ad.hessian(jitted)(x), ad.hessian(grown)(x))
        close(ad.jvp(jitted, (x,), (np.ones(3),))[1], ad.jvp(grown, (x,), (np.ones(3),))[1])


def test_training_with_branches() -> None:
    def make() -> tuple[list[Value], Callable[[Any], Any]]:
        w, b = Value(np.array([0.5, -0.3, 0.2])), Value(0.1)

        def f(x: Any) -> Any:
            h = np.tanh(w * x + b)
            if h.sum() > 0:
                return (h**2).sum()
            if (h > 0).any():
                return (h * w).sum()
            return h.sum() * b

        return [w, b], f

    (ws, f), (vs, g) = make(), make()
    jitted = strict(f)
    for x in points(40):
        for h, params in ((jitted, ws), (g, vs)):
            for p in params:
                p.grad = None
            h(x).backward()
            for p in params:
                if p.grad is not None:
                    p.data = p.data - 0.1 * p.grad
        for p, q in zip(ws, vs, strict=True):
            close(p.data, q.data)
    assert jitted.cache_info().programs == 3


def test_third_order_with_branches() -> None:
    a = Value(0.7)

    def f(x: Any) -> Any:
        y = np.sin(a * x) * a
        return y * y if y > 0.3 else y**3

    def third(f: Any, x: float) -> Any:
        a.grad = None
        f(x).backward(create_graph=True)
        first, a.grad = a.grad, None
        first.backward(create_graph=True)
        second, a.grad = a.grad, None
        second.backward()
        return [first.data, second.data, a.grad]

    jitted = strict(f)
    for x in np.linspace(-3, 3, 15):
        close(third(jitted, x), third(f, x))
    assert jitted.cache_info().programs == 2


def test_plain_and_linked_programs_of_one_function() -> None:
    w = Value(np.ones(2))

    def f(x: Any) -> Any:
        y = w * x
        return (y**2).sum() if y.sum() > 0 else y.sum()

    jitted = strict(f)
    for k, x in enumerate(points(20, 2)):
        if k % 3 == 0:
            with ad.no_grad():
                close(jitted(x), f(x).data)
            continue
        found = []
        for h in (jitted, f):
            w.grad = None
            h(x).backward()
            found.append(w.grad)
        close(*found)
    assert jitted.cache_info().programs == 4


def test_threads_on_paths_of_a_linked_function() -> None:
    jitted = strict(grown)
    wrong: list[Any] = []

    def calls(k: int) -> None:
        for x in points(20 + k):
            try:
                close(ad.grad(jitted)(x), ad.grad(grown)(x))
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=calls, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_explain_says_where_a_linked_function_asks() -> None:
    jitted = strict(grown)
    jitted(Value(np.array([4.0, 5.0, 6.0])))
    line = grown.__code__.co_firstlineno + 2
    text = jitted.explain()
    assert "guards: False, True\n" in text and "backward program 1: " in text
    assert f"guard   False  asked in test_jit_linked_paths.py, line {line}\n" in text
    assert f"guard   True  asked in test_jit_linked_paths.py, line {line + 2}\n" in text
    assert text.index("guard   True") < text.index("backward program 1")


@ad.custom_rule
def shortened(x: Any) -> Any:
    return x * 1.0


@shortened.vjp
def _(g: Any, x: Any) -> Any:
    n = (g * g).sum()
    return g / np.sqrt(n) if n > 1.0 else g * 2.0


def test_a_branch_on_a_cotangent() -> None:
    w = Value(np.ones(3))

    def f(x: Any) -> Any:
        y = shortened(w * x)
        return (y * y).sum() if y.sum() > 0 else y.sum() * 0.01

    jitted = strict(f)
    for k, x in enumerate(points(20)):
        found = []
        for h in (jitted, f):
            w.grad = None
            (h(x) * (0.1 if k % 4 else 3.0)).backward()
            found.append(w.grad)
        close(*found)
    assert jitted.cache_info().programs == 2
    text = jitted.explain()
    assert text.count("asked in test_jit_linked_paths.py") == 4  # forward and backward, of either path
    assert text.count("; guards: ") == 4


def test_exceptions_on_some_paths() -> None:
    def rows(wrap: Any) -> tuple[Array, list[str]]:
        w, state = Value(np.ones(3)), {"n": 0, "total": np.zeros(2)}

        def f(x: Any) -> Any:
            state["n"] += 1
            state["total"] = state["total"] + x[0]
            if x.sum() > 1:
                raise ValueError(f"too large: {state['n']}")
            return (w * x).sum() if x[0] > 0 else (w * w * x).sum()

        g, found, texts = wrap(f), [], []
        for x in points(25):
            w.grad = None
            try:
                g(x).backward()
            except ValueError as error:
                texts.append(str(error))
            assert type(state["n"]) is int and type(state["total"]) is np.ndarray
            found.append([*(np.zeros(3) if w.grad is None else w.grad), *state["total"], state["n"]])
        return np.array(found), texts

    (found, texts), (expected, same) = rows(strict), rows(lambda f: f)
    close(found, expected)
    assert texts == same and texts


# -- vmap


@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
def test_a_branch_on_a_batch_is_refused_as_without_jit() -> None:
    f = lambda x: x * 2 if x.sum() > 0 else -x
    x, jitted = points(5), ad.jit(f)
    for g in (f, jitted):
        with pytest.raises(ad.BatchError, match="cannot become a truth value"):
            ad.vmap(g)(x)
    for _ in range(2):
        close(ad.vmap(jitted, loop=True)(x), ad.vmap(f, loop=True)(x))


def test_a_branch_on_what_is_no_batch() -> None:
    def f(x: Any, s: Any) -> Any:
        return (x**2).sum() * s if s > 0 else np.sin(x).sum()

    x, jitted = points(5), strict(f)
    for s in (1.0, -1.0, 2.0, -2.0, 3.0):
        for transform in (lambda f: f, ad.grad):
            batched = [ad.vmap(transform(g), in_axes=(0, None)) for g in (jitted, f)]
            close(batched[0](x, s), batched[1](x, s))
    assert jitted.cache_info().programs == 4


def test_writes_to_batches() -> None:
    def f(x: Any, y: Any) -> Any:
        x[0] = y[1] * 2
        return (x * y).sum()

    jitted = strict(f)
    for k in range(3):
        x, y = points(4 + k)[:4], points(14 + k)[:4]
        close(ad.vmap(jitted)(x.copy(), y), ad.vmap(f)(x.copy(), y))


# -- draws


def generator(kind: str) -> Any:
    if kind == "global":
        np.random.seed(4)
        return None
    return getattr(np.random, kind)(4)


@pytest.mark.parametrize("kind", ["default_rng", "RandomState", "global"])
def test_draws_writes_and_captured_values(kind: str) -> None:
    def rows(wrap: Any) -> Array:
        rng, state, w = generator(kind), SimpleNamespace(count=0, mean=np.zeros(3)), Value(np.ones(3))

        def f(x: Any) -> Any:
            noise = np.random.normal(size=3) if rng is None else rng.normal(size=3)
            state.mean = state.mean * 0.9 + noise
            state.count += 1
            y = w * x + noise * 0.1
            return (y**2).sum() if y.sum() > 2 else (np.sin(y) * noise).sum()

        found, g = [], wrap(f)
        for x in points(20):
            w.grad = None
            y = g(x)
            y.backward()
            found.append([y.data, *w.grad, *state.mean, state.count])
            w.data = w.data - 0.05 * w.grad
        return np.array(found, float)

    close(rows(strict), rows(lambda f: f))


@pytest.mark.filterwarnings("ignore:you are shuffling")
@pytest.mark.parametrize("kind", ["default_rng", "RandomState", "global"])
def test_second_derivatives_draw_the_same_again(kind: str) -> None:
    def rows(wrap: Any) -> Array:
        rng = generator(kind)

        def f(x: Any, a: Any) -> Any:
            if rng is None:
                noise, order, part = np.random.normal(size=3), np.random.permutation(4), np.random.choice(a, 3)
                scale = np.random.rand()
                np.random.shuffle(a)
            else:
                noise, order, part = rng.normal(size=3), rng.permutation(4), rng.choice(a, 3)
                scale = rng.random() if kind == "default_rng" else rng.rand()
                if kind == "RandomState":  # the other one shuffles only plain arrays
                    rng.shuffle(a)
            y = x * noise + part * scale + a[0]
            return (y**3).sum() + order[0] * (x**2).sum() if y.sum() > 5 else (np.sin(y) * noise).sum() * order[1]

        g, w, found = wrap(f), Value(np.ones(3)), []
        for k, x in enumerate(points(12)):
            of_x: Any = lambda x, k=k: g(x, np.arange(4.0) * k)
            found.append(ad.hvp(of_x)(x, np.ones(3)))
            w.grad = None
            of_x(w * x).backward(create_graph=True)
            first, w.grad = w.grad, None
            (first * x).sum().backward()
            found += [first.data, w.grad]
        return np.array(found)

    close(rows(strict), rows(lambda f: f))


# -- numbers


def test_numbers_that_are_only_returned_are_no_guards_of_further_derivatives() -> None:
    def f(x: Any) -> Any:
        y = (np.sin(x) ** 2).sum()
        return y, float(y.data)

    jitted = strict(f)
    for x in points(12):
        v = Value(x)
        _, number = jitted(v)
        assert type(number) is float
        close(number, (np.sin(x) ** 2).sum())
        product, expected = (ad.hvp(lambda x, g=g: g(x)[0])(x, np.ones(3)) for g in (jitted, f))
        close(product, expected)
    (program,) = (p for e in jitted._call.entries.values() for p in e.programs if p.rerun.made)
    assert all(inner.cache_info().programs == 1 for inner in program.rerun.made.values())


def test_captured_scalars_are_arrays_inside() -> None:
    a, kinds = Value(0.7), []

    def f(x: Any) -> Any:
        kinds.append(isinstance(a._array, Value))
        return (np.sin(a * x) * a).data

    jitted = strict(f)
    for x in (1.3, 0.2):
        close(jitted(x), f(x))
    assert not any(kinds)


# -- memory


def test_a_tracked_value_as_two_arguments_that_are_written_to() -> None:
    def f(u: Any, v: Any) -> Any:
        u[0] = 3.0
        return (u * v).sum()

    jitted = ad.jit(f)
    for x in points(3):
        gradients = []
        for g in (jitted, f):
            w = Value(x)
            t = w * 2.0
            if g is jitted:
                with pytest.warns(JitWarning, match="shares memory with another array"):
                    y = g(t, t)
            else:
                y = g(t, t)
            y.backward()
            gradients.append(w.grad)
        close(*gradients)


def test_writes_to_captured_arrays_are_undone_before_it_is_recorded_again() -> None:
    w, total = Value(np.ones(3)), np.zeros(3)
    held = (total,)  # where it cannot be replaced by another array

    def f(x: Any) -> Any:
        held[0][...] += 1
        return (w * x).sum()

    jitted = ad.jit(f)
    with pytest.warns(JitWarning, match="writes to"):
        jitted(np.ones(3)).backward()
    jitted(np.ones(3)).backward()
    close(total, [2.0] * 3)
    close(w.grad, [2.0] * 3)


def test_programs_that_differ_in_what_is_linked_are_different() -> None:
    jitted = strict(lambda x, y: (x * y).sum() if y.sum() > 0 else (x - y).sum())
    x, y = points(2)
    for s in (1.0, -1.0, 2.0):
        close(
            ad.grad(jitted, 0)(x, s * y), ad.grad(lambda x, y: (x * y).sum() if y.sum() > 0 else x.sum(), 0)(x, s * y)
        )
        close(ad.grad(jitted, 1)(x, s * y), x if (s * y).sum() > 0 else -np.ones(3))
    assert all(type(p) is LinkedProgram for e in jitted._call.entries.values() for p in e.programs)


# -- random programs


@hypothesis.given(st.lists(steps, min_size=1, max_size=4).map(tuple), st.integers(0, 2**32))
@hypothesis.settings(max_examples=15, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_random_programs_that_branch(program: tuple[Any, ...], seed: int) -> None:
    rng, taken = np.random.default_rng(seed), set()
    w = Value(np.array([1.0, 0.5, -1.5]))
    f = lambda x, ask=bool: (interpreted(program, w * x, ask) * x).sum()
    jitted = strict(lambda x: f(x))
    given = rng.normal(size=(10, 3)) * 2
    for x in given[rng.integers(0, 10, 25)]:
        answers: list[bool] = []

        def ask(answer: Any, answers: list[bool] = answers) -> bool:
            answers.append(bool(answer))
            return answers[-1]

        found = []
        for h in (jitted, lambda x: f(x, ask)):
            w.grad = None
            v = Value(x)
            y = h(v)
            y.backward(create_graph=True)
            second = (v.grad * w.grad).sum()
            first = [y.data, *v.grad.data, *w.grad.data]
            w.grad = v.grad = None
            if second._node is not None:  # it is linear otherwise
                second.backward()
            zero = np.zeros(3)
            found.append([*first, *(zero if v.grad is None else v.grad), *(zero if w.grad is None else w.grad)])
        taken.add(tuple(answers))
        np.testing.assert_allclose(*np.array(found, float), 1e-9, 1e-9)
    info = jitted.cache_info()
    assert info.recordings == info.programs == len(taken)
    assert info.hits == 25 - len(taken)


def test_strict_is_for_further_derivatives_too(recwarn: pytest.WarningsRecorder) -> None:
    x = np.array([1.0, -2.0, 3.0])
    text = "jit: the second derivative of f"

    def f(x: Any) -> Any:
        return (np.histogram(x, weights=x**3)[0] ** 2).sum()

    expected, lenient = ad.hessian(f)(x), ad.jit(f)
    np.testing.assert_allclose(ad.hessian(lenient)(x), expected)
    np.testing.assert_allclose(ad.hessian(lenient)(x), expected)
    assert any(str(w.message).startswith(text) for w in recwarn)
    jitted = ad.jit(f, strict=True)
    np.testing.assert_allclose(ad.grad(jitted)(x), ad.grad(f)(x))
    with pytest.raises(ad.OperandError, match=f"{text}.*leave out strict=True"):
        ad.hessian(jitted)(x)
