"""jit of tracked Values: programs forward and backward, next to the same code without jit."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import JitWarning, Value, nn
from autodiff.compiler.linked import LinkedProgram

Array = np.ndarray[Any, Any]
pytestmark = [pytest.mark.filterwarnings("error::autodiff.JitWarning"), pytest.mark.usefixtures("executor")]


@pytest.fixture(params=["native", "numpy"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "numpy":
        monkeypatch.setenv("AUTODIFF_JIT", "numpy")


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def strict(f: Callable[..., Any]) -> Any:
    return ad.jit(f, strict=True)


def programs(jitted: Any) -> list[Any]:
    return [p for entry in jitted._call.entries.values() for p in entry.programs]


def linked(jitted: Any) -> bool:
    """Whether it runs as programs in both directions."""
    found = programs(jitted)
    return bool(found) and all(type(p) is LinkedProgram and not p.rerun.made for p in found)


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, 1e-12, 1e-12)


W, X = numbers(4, 3), numbers(6, 4, seed=1)


def loss(w: Any, x: Any) -> Any:
    return (np.tanh(x @ w) ** 2).sum()


# -- residuals


def test_nothing_is_computed_twice() -> None:
    """The backward program has no tanh and no product of the forward one."""
    jitted = strict(loss)
    for _ in range(3):
        close(ad.grad(jitted)(W, X), ad.grad(loss)(W, X))
    (program,) = programs(jitted)
    forward, backward = ([n.op for n in g.live()] for g in (program.graph, program.back_graph))
    assert forward.count("tanh") == 1 and "tanh" not in backward
    assert forward.count("matmul") == backward.count("matmul") == 1
    assert linked(jitted)


def test_cheap_values_are_computed_again() -> None:
    """Of x * 2 + 1, squared, the argument is kept, which is no copy."""
    jitted = strict(lambda x: ((x * 2 + 1) ** 2).sum())
    x = numbers(50)
    close(ad.grad(jitted)(x), 4 * (2 * x + 1))
    (program,) = programs(jitted)
    assert len(program.graph.outputs) == 1 and len(program.back_graph.inputs) == 2


def test_smaller_of_two_values_is_kept() -> None:
    """The backward pass of a relu needs where it is positive."""
    jitted = strict(lambda x: np.maximum(np.exp(x) - 2.0, 0.0).sum())
    x = numbers(50)
    close(ad.grad(jitted)(x), np.where(np.exp(x) > 2, np.exp(x), 0))
    (program,) = programs(jitted)
    assert len(program.graph.outputs) == 2  # the sum, and exp


def test_backward_frees_residuals() -> None:
    jitted = strict(lambda x: np.exp(np.sin(x)).sum())
    for _ in range(3):
        x = Value(numbers(1000))
        y = jitted(x)
        saved = y._node.saved
        kept = weakref.ref(saved[1][0])
        del saved
        y.backward()
        gc.collect()
        assert kept() is None and y._node.saved is None
        with pytest.raises(ad.GraphError, match="freed"):
            y.backward()


def test_retained_graph() -> None:
    jitted = strict(loss)
    for _ in range(3):
        w = Value(W)
        y = jitted(w, X)
        y.backward(retain_graph=True)
        y.backward()
        close(w.grad, 2 * ad.grad(loss)(W, X))


# -- results and cotangents


def several(p: Any, x: Any) -> Any:
    y = np.exp(p["a"] * x)
    return {"y": y, "sum": (y * p["b"]).sum(), "count": (y > 1).sum(), "n": 3, "x": x, "a": p["a"]}


@pytest.mark.parametrize("used", [("y",), ("sum",), ("y", "sum"), ("a",), ("a", "y", "sum")])
def test_some_of_several_results(used: Any) -> None:
    jitted = strict(several)
    p, x = {"a": numbers(5), "b": numbers(5, seed=2)}, numbers(5, seed=3)

    def total(f: Any, p: Any) -> Any:
        results = f(p, x)
        assert results["n"] == 3
        return sum((results[k] ** 2).sum() for k in used)

    for _ in range(3):
        found, expected = (ad.grad(lambda p, f=f: total(f, p))(p) for f in (jitted, several))  # type: ignore[misc]
        for k in p:
            close(found[k], expected[k])
    assert linked(jitted)


def test_no_gradient_without_a_cotangent() -> None:
    """A variable that only another result depends on gets none, rather than zeros: optimizers tell them apart."""
    jitted = strict(lambda a, b: (np.sin(a).sum(), np.exp(b).sum()))
    for order in (1, 2):
        for _ in range(3):
            a, b = Value(X), Value(W)
            first, second = jitted(a, b)
            first.backward(create_graph=order == 2)
            close(a.grad.data if order == 2 else a.grad, np.cos(X))
            assert b.grad is None
            del second


def test_kinds_of_results() -> None:
    """Tracked Values, untracked ones, arrays: as without jit."""

    def f(x: Any) -> Any:
        return x * 2, x > 0, x.data + 1, np.arange(3), (x * 2).detach(), x.sum(), np.argmax(x)

    jitted = strict(f)
    for _ in range(3):
        x = Value(numbers(4))
        for found, expected in zip(jitted(x), f(x), strict=True):
            assert type(found) is type(expected)
            assert found.dtype == expected.dtype and found.shape == expected.shape
            if isinstance(expected, Value):
                assert (found._node is None) is (expected._node is None)
            close(getattr(found, "data", found), getattr(expected, "data", expected))


@pytest.mark.parametrize("n", [5, 20_000])
def test_pending_gradients_in_any_order(n: int) -> None:
    """Calls do not share what they keep, nor with an optimizer that writes to what they read."""
    w = Value(numbers(n))
    optimizer = ad.optim.SGD([w], lr=0.1, momentum=0.9)
    jitted = strict(lambda c: (np.exp(np.sin(w)) * c).sum())
    for k in range(4):
        before, cs = w.data.copy(), [numbers(n, seed=10 * k + i) for i in range(4)]
        pending = [jitted(c) for c in cs]
        for i in (2, 0, 3, 1):
            optimizer.zero_grad()
            pending[i].backward()
            close(w.grad, np.cos(before) * np.exp(np.sin(before)) * cs[i])
            optimizer.step()
            with ad.no_grad():
                w[0] = float(i)


@pytest.mark.parametrize("used", ["first", "second", "both"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_large_arrays_that_were_written_to_are_refused(used: str, create_graph: bool) -> None:
    jitted = strict(lambda w, c, d: ((w * w * c).sum(), np.sin(w) * d))
    jitted(Value(numbers(20_000)), numbers(20_000), numbers(20_000))  # the recording has copies
    for _ in range(3):
        for written in (0, 1):
            w, others = Value(numbers(20_000)), [numbers(20_000, seed=1), numbers(20_000, seed=2)]
            first, second = jitted(w, *others)
            others[written][:] = 0
            total = {"first": first, "second": second.sum(), "both": first + second.sum()}[used]
            with pytest.raises(ad.GraphError, match="written to"):
                total.backward(create_graph=create_graph)


def test_writing_to_results_leaves_residuals_alone() -> None:
    def f(x: Any) -> Any:
        y = np.exp(x)
        return y, y.data

    jitted = strict(f)
    for _ in range(3):
        x = Value(numbers(4))
        y, plain = jitted(x)
        total = y.sum()
        plain[:] = 0
        y[0] = 100.0
        total.backward()
        close(x.grad, np.exp(x.data))


def test_writing_to_arguments_leaves_residuals_alone() -> None:
    jitted = strict(lambda w, c: (w * w * c).sum())
    for k, n in enumerate((5, 5, 5, 20_000, 20_000, 20_000)):
        w, c = Value(numbers(n)), numbers(n, seed=1)
        expected = 2 * w.data * c
        y = jitted(w, c)
        with ad.no_grad():
            w[:2] = 7.0
        c[:] = 0
        if k > 3:
            with pytest.raises(ad.GraphError, match="written to"):
                y.backward()
        else:
            y.backward()
            close(w.grad, expected)


@pytest.mark.parametrize("kind", ["float32", "complex128"])
def test_other_dtypes(kind: Any) -> None:
    def f(x: Any, y: Any) -> Any:
        z = np.exp(x) * y
        return (z * np.conj(z)).real.sum()

    jitted = strict(f)
    x, y = numbers(4).astype(kind), numbers(4, seed=1).astype(kind)
    if kind == "complex128":
        x, y = x + 1j * numbers(4, seed=2), y - 2j
    for make in (ad.grad, ad.elementwise_grad, lambda f: lambda x, y: ad.jvp(lambda x: f(x, y), (x,), (y,))[1]):
        if make is ad.elementwise_grad:
            continue
        for _ in range(3):
            found, expected = make(jitted)(x, y), make(f)(x, y)
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, 1e-5 if kind == "float32" else 1e-12)


def test_second_order_of_complex_numbers() -> None:
    def f(x: Any) -> Any:
        return np.exp(x) * x

    jitted, x, v = strict(f), numbers(3) + 1j * numbers(3, seed=1), numbers(3, seed=2) + 2j

    def twice(f: Any) -> Any:
        return ad.vjp(lambda x: ad.vjp(f, x)[1](v)[0], x)[1](v)[0]

    for _ in range(3):
        close(twice(jitted), twice(f))
        close(ad.jacobian(jitted)(x), ad.jacobian(f)(x))


def test_masks_where_a_derivative_is_invalid() -> None:
    def f(x: Any) -> Any:
        return np.where(x > 0, np.sqrt(x), 0.0).sum()

    jitted = strict(f)
    for values in ([1.0, 4.0], [0.0, 4.0], [0.0, 4.0], [-1.0, 1.0], [-1.0, 0.0], [4.0, 1.0]):
        x = np.array(values)
        with np.errstate(invalid="ignore"):
            close(ad.grad(jitted)(x), ad.grad(f)(x))
            close(ad.grad(jitted)(x), ad.grad(f)(x))
    assert jitted.cache_info().recordings <= 3


def test_guards_choose_among_programs() -> None:
    def f(x: Any) -> Any:
        return (x * x).sum() if x[0] > 0 else np.exp(x).sum()

    jitted = strict(f)
    for x in (X[0], -X[0], 2 * X[0], -2 * X[0]):
        close(ad.grad(jitted)(x), ad.grad(f)(x))
    assert jitted.cache_info().programs == 2 and linked(jitted)


def test_mutation_inside() -> None:
    def f(x: Any, n: int) -> Any:
        x[0] = x[1] * 2
        out = np.zeros(3)
        for i in range(n):
            out[i] = np.sin(x[i]) * x[0]
        np.multiply(out, x[:3], out=out)
        return out.sum() + x.prod()

    jitted, x = strict(f), numbers(4)
    for make in (ad.grad, ad.hessian):
        for n in (2, 3):
            for _ in range(3):
                close(make(jitted)(x, n), make(f)(x, n))


# -- captured Values


def test_captured_variables_get_gradients() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    jitted = strict(lambda x: (model(x) ** 2).mean())
    for _ in range(4):
        model.zero_grad()
        (model(X) ** 2).mean().backward()
        expected = [p.grad for p in model.parameters()]
        model.zero_grad()
        for count in (1, 2):  # they add up
            jitted(X).backward()
            for p, g in zip(model.parameters(), expected, strict=True):
                close(p.grad, count * g)
        for p in model.parameters():
            p.data = p.data * 0.9
    assert linked(jitted) and jitted.cache_info().programs == 1


def test_training_with_a_jitted_model() -> None:
    def trained(jit: Any) -> list[float]:
        rng = np.random.default_rng(0)
        model = nn.Sequential(nn.Linear(4, 8, rng=rng), nn.Tanh(), nn.Linear(8, 1, rng=rng))
        optimizer, forward, losses = ad.optim.Adam(model.parameters(), lr=0.01), jit(model), []
        for _ in range(8):
            optimizer.zero_grad()
            error = ((forward(X) - 1.0) ** 2).mean()
            error.backward()
            optimizer.step()
            losses.append(float(error))
        return losses

    close(trained(strict), trained(lambda f: f))


def test_captured_values_that_were_computed() -> None:
    """The gradient goes through, to what they were computed from."""
    w = Value(W)

    def total(jit: Any) -> Any:
        w.grad = None
        twice = w * 2
        y = jit(lambda x: loss(twice, x))(X) + (twice * 3).sum()
        y.backward()
        return w.grad

    for _ in range(3):
        close(total(strict), total(lambda f: f))


def test_captured_views_follow_their_root() -> None:
    w = Value(W)
    row = w[1]
    jitted = strict(lambda x: (np.sin(row) * x).sum())
    for _ in range(3):
        w.grad = None
        jitted(X[0, :3]).backward()
        expected = np.zeros_like(W)
        expected[1] = np.cos(w.data[1]) * X[0, :3]
        close(w.grad, expected)
        with ad.no_grad():
            w[1] = w[1] + 1.0


def test_gradient_penalty() -> None:
    """An inner gradient with respect to x, of a model whose parameters are tracked."""
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    critic = strict(lambda x: model(x).sum())
    inner = strict(ad.grad(lambda x: model(x).sum()))

    def penalties(f: Any, g: Any) -> list[Array]:
        found = []
        for gradient in (ad.grad(f), g):
            model.zero_grad()
            (gradient(X) ** 2).sum().backward()
            found += [np.zeros(p.shape) if p.grad is None else p.grad for p in model.parameters()]
        return found

    plain = lambda x: model(x).sum()
    for _ in range(3):
        for found, expected in zip(penalties(critic, inner), penalties(plain, ad.grad(plain)), strict=True):
            close(found, expected)
    assert linked(inner)


def test_higher_orders_of_captured_values() -> None:
    a = Value(0.7)
    f = lambda x: np.sin(a * x) * a
    jitted = strict(f)

    def third(f: Any) -> Any:
        a.grad = None
        y = f(1.3)
        y.backward(create_graph=True)
        first, a.grad = a.grad, None
        first.backward(create_graph=True)
        second, a.grad = a.grad, None
        second.backward()
        return first.data, second.data, a.grad

    for _ in range(3):
        close(third(jitted), third(f))


def test_no_grad() -> None:
    w = Value(W)
    jitted = strict(lambda x: loss(w, x))
    for _ in range(3):
        w.grad = None
        jitted(X).backward()
        close(w.grad, ad.grad(loss)(W, X))
        with ad.no_grad():
            y = jitted(X)
            assert getattr(y, "_node", None) is None
            close(y, loss(W, X))
            w.data = w.data
    w.requires_grad = False
    assert getattr(jitted(X), "_node", None) is None
    w.requires_grad = True
    jitted(X).backward()
    close(w.grad, ad.grad(loss)(W, X))


def test_backward_inside_is_not_lost() -> None:
    """backward() inside f on what depends on tracked Values from outside runs without the compiler."""
    w = Value(W)

    def f(x: Any) -> Any:
        (w * x).sum().backward()
        return w * 2

    with pytest.warns(JitWarning, match="gradient"):
        ad.jit(f)(2.0)
    close(w.grad, np.full((4, 3), 2.0))


def test_untracked_results_of_plain_arguments_are_plain() -> None:
    """Also where a captured Value is tracked."""
    w = Value(W)
    jitted = strict(lambda x: (x @ w, x * 2, x, x.sum()))
    for _ in range(3):
        y, *others = jitted(X)
        assert isinstance(y, Value) and not any(isinstance(z, Value) for z in others)
        close(others[0], X * 2)


def test_hooks_outside() -> None:
    w = Value(W)
    jitted = strict(lambda x: loss(w, x))
    with w.register_hook(lambda g: 2 * g):
        for _ in range(3):
            w.grad = None
            jitted(X).backward()
            close(w.grad, 2 * ad.grad(loss)(W, X))


def test_hooks_added_inside() -> None:
    """A program would not add them; each call adds one, the first one too."""

    def grads(jit: Any, captured: bool) -> list[Array]:
        w, found = Value(W), []

        def f(v: Any, x: Any) -> Any:
            v = w if captured else v
            v.register_hook(lambda g: 2 * g)
            return loss(v, x)

        jitted = jit(f)
        for _ in range(3):
            w.grad = None
            jitted(None if captured else w, X).backward()
            found.append(w.grad)
        return found

    for captured in (False, True):
        with pytest.warns(JitWarning, match="adds a hook"):
            found = grads(ad.jit, captured)
        close(found, grads(lambda f: f, captured))


def test_hooks_added_in_a_training_step() -> None:
    w = Value(W)

    def step(x: Any) -> Any:
        w.register_hook(np.negative)
        return (x * 2).sum()

    jitted = ad.jit(step)
    with pytest.warns(JitWarning, match="hook"):
        jitted(X)
    jitted(X)
    assert len(w._node.hooks) == 2  # type: ignore[union-attr]


def test_gradients_of_results_are_retained() -> None:
    w, jitted = Value(W), strict(lambda x: np.tanh(x @ w))
    for _ in range(3):
        y = jitted(X)
        y.retain_grad()
        (y * y).sum().backward()
        close(y.grad, 2 * np.tanh(X @ W))


def test_retain_grad_inside() -> None:
    w = Value(W)

    def f(x: Any) -> Any:
        y = np.tanh(x @ w)
        y.retain_grad()
        return y

    jitted = ad.jit(f)
    for k in range(3):
        if k:
            y = jitted(X)
        else:
            with pytest.warns(JitWarning, match="retain_grad"):
                y = jitted(X)
        (y * y).sum().backward()
        close(y.grad, 2 * np.tanh(X @ W))


# -- threads


def test_another_thread_while_it_is_recorded() -> None:
    """Its gradient arrives at the captured variable; f is run again, as what it captures was in use."""
    w = Value(W)

    def f(x: Any) -> Any:
        y = loss(w, x)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return y

    def other() -> None:
        (w * w).sum().backward()

    y = ad.jit(f)(Value(X))
    close(w.grad, 2 * 2 * W)  # the recording, and the run without it
    y.backward()
    close(w.grad, 4 * W + ad.grad(loss)(W, X))


def test_gradients_in_several_threads() -> None:
    w, jitted, wrong = Value(W), strict(loss), []
    captured = strict(lambda x: loss(w, x))
    captured(X).backward()
    w.grad = None

    def work(i: int) -> None:
        for k in range(20):
            x = numbers(6, 4, seed=100 * i + k)
            if not np.allclose(ad.grad(jitted)(W, x), ad.grad(loss)(W, x)):
                wrong.append((i, k))
            captured(X).backward()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    np.testing.assert_allclose(w.grad, 80 * ad.grad(loss)(W, X), 1e-10)


# -- what f reads and changes besides


def test_captured_arrays_are_read_at_each_call() -> None:
    """Also by the derivatives."""
    box = {"c": np.ones(3)}
    f = lambda x: (np.sin(x) * box["c"]).sum()
    jitted, x = strict(f), numbers(3)
    for make in (ad.grad, ad.hessian, lambda f: lambda x: ad.jvp(f, (x,), (x,))[1]):
        for k in range(4):
            box["c"] = np.full(3, float(k))
            close(make(jitted)(x), make(f)(x))


def test_gradient_has_the_draws_of_its_run() -> None:
    def mask(rng: Any) -> Any:
        return lambda x: ((rng.random(5) < 0.5) * np.sin(x)).sum() * rng.normal()

    x, v = numbers(5), numbers(5, seed=1)
    for make in (
        ad.grad,
        lambda f: lambda x: ad.jvp(f, (x,), (v,))[1],
        lambda f: lambda x: ad.hvp(f)(x, v),
        ad.hessian,
    ):
        rngs = np.random.default_rng(0), np.random.default_rng(0)
        found, expected = make(strict(mask(rngs[0]))), make(mask(rngs[1]))
        for _ in range(4):
            close(found(x), expected(x))
            assert rngs[0].bit_generator.state == rngs[1].bit_generator.state


def test_state_is_changed_once() -> None:
    """By the call, not by its derivatives."""

    def counting(state: Any) -> Any:
        def f(x: Any) -> Any:
            state["n"] += 1
            state["mean"] = state["mean"] * 0.5 + x.data.mean(keepdims=True)
            return (np.sin(x) * state["n"]).sum() * state["mean"][0]

        return f

    x = numbers(3)
    for make in (ad.grad, ad.hessian, lambda f: lambda x: ad.jvp(f, (x,), (x,))[1]):
        states: Any = {"n": 0, "mean": np.zeros(1)}, {"n": 0, "mean": np.zeros(1)}
        found, expected = make(strict(counting(states[0]))), make(counting(states[1]))
        for _ in range(6):
            close(found(x), expected(x))
            assert states[0]["n"] == states[1]["n"]
            close(states[0]["mean"], states[1]["mean"])


def test_change_between_forward_and_a_second_derivative() -> None:
    """The first one is still right; another one is refused, as f would be another function."""
    scale = [1.0]
    jitted = strict(lambda x: (np.sin(x) * scale[0]).sum())
    for _ in range(2):
        y = jitted(Value(numbers(3)))
    scale[0] = 2.0
    x = Value(numbers(3))
    y = jitted(x)
    scale[0] = 3.0
    y.backward(retain_graph=True)
    close(x.grad, 2 * np.cos(x.data))


@pytest.mark.parametrize(
    "make", [ad.grad, ad.hessian, lambda f: lambda x: ad.jvp(f, (x,), (x,))[1], lambda f: lambda x: ad.hvp(f)(x, x)]
)
def test_checkpoints_inside(make: Any) -> None:
    """They run f once more in the walk, which then has to find what was put in its places."""
    a = Value(numbers(3, seed=1))
    f = lambda x: (np.sin(x * a) * a).sum()
    jitted, x = strict(ad.checkpoint(f)), numbers(3)
    for _ in range(3):
        close(make(jitted)(x).data, make(f)(x).data)


def test_texts_that_change_between() -> None:
    mode = ["sin"]
    jitted = strict(lambda x: (np.sin(x) if mode[0] == "sin" else np.cos(x)).sum())
    x = Value(numbers(3))
    y = jitted(x)
    mode[0] = "cos"
    with pytest.raises(ad.GraphError, match="has changed"):
        y.backward(create_graph=True)
    y.backward()
    close(x.grad, np.cos(x.data))


# -- each transform in each other


V, G = np.array([1.0, -2.0, 0.5]), np.array([0.2, 0.5, -1.0])
TRANSFORMS: dict[str, Callable[[Any], Any]] = {  # from a function of an array to a number to another one
    "grad": lambda f: lambda x: (ad.grad(f)(x) * V).sum(),
    "value_and_grad": lambda f: lambda x: (lambda value, g: value * (g * V).sum())(*ad.value_and_grad(f)(x)),
    "vjp": lambda f: lambda x: (ad.vjp(f, x)[1](2.0)[0] * V).sum(),
    "jvp": lambda f: lambda x: ad.jvp(f, (x,), (V,))[1],
    "linearize": lambda f: lambda x: ad.linearize(f, x)[1](V),
    "hvp": lambda f: lambda x: (ad.hvp(f)(x, V) * G).sum(),
    "jacrev": lambda f: lambda x: (ad.jacrev(lambda x: np.stack([f(x), f(2 * x)]))(x) * V).sum(),
    "jacfwd": lambda f: lambda x: (ad.jacfwd(f)(x) * V).sum(),
    "hessian": lambda f: lambda x: ad.hessian(f)(x).sum(),
    "vmap": lambda f: lambda x: ad.vmap(f)(np.stack([x, 2 * x])).sum(),
    "checkpoint": ad.checkpoint,
    "jit": strict,
}


def smooth(x: Any) -> Any:
    y = np.tanh(x) * x + np.sin(x[::-1])
    return (y * y).sum() + np.exp(y).mean()


def nested(names: Any, jit: Any) -> Any:
    f: Any = smooth
    for name in names:
        f = jit(f) if name == "jit" else TRANSFORMS[name](f)
    return f


@pytest.mark.parametrize(
    "names", [("jit", a) for a in TRANSFORMS] + [(a, "jit") for a in TRANSFORMS if a != "jit"], ids="-".join
)
def test_transforms_around_and_inside(names: Any) -> None:
    found, expected, x = nested(names, strict), nested(names, lambda f: f), numbers(3)
    for k in (1.0, 2.0, 1.0):
        y = found(k * x)
        assert not isinstance(y, Value)
        np.testing.assert_allclose(y, expected(k * x), 1e-10)


@pytest.mark.parametrize("names", [*itertools.product(("grad", "jvp", "hvp", "vmap"), repeat=2)], ids="-".join)
def test_jit_at_each_place(names: Any) -> None:
    """Of three functions of one another, and all together."""
    x = numbers(3)
    expected = nested(names, lambda f: f)
    for places in itertools.product((False, True), repeat=3):
        chain = [
            part
            for is_jitted, name in zip(places, (*names, None), strict=True)
            for part in (("jit",) * is_jitted + ((name,) if name else ()))
        ]
        if chain.count("jit") in (2, 3):
            found = nested(chain, strict)
            for k in (1.0, 2.0):
                np.testing.assert_allclose(found(k * x), expected(k * x), 1e-10)


# -- batches


def square_loss(w: Any, x: Any) -> Any:
    return (np.tanh(x @ w) ** 2).sum()


BATCHED: dict[str, Callable[[Any], Any]] = {
    "vmap": lambda f: ad.vmap(f, in_axes=(None, 0)),
    "example gradients": lambda f: ad.vmap(ad.grad(f), in_axes=(None, 0)),
    "gradients of many w": lambda f: lambda w, x: ad.vmap(ad.grad(f), in_axes=(0, None))(np.stack([w, 2 * w]), x),
    "gradient of a mean": lambda f: ad.grad(lambda w, x: ad.vmap(f, in_axes=(None, 0))(w, x).mean()),
    "two levels": lambda f: ad.vmap(
        ad.vmap(lambda w, x: ad.grad(f, (0, 1))(w[:, None], x[None]), in_axes=(1, None)), in_axes=(None, 0)
    ),
    "jacobian": lambda f: ad.jacobian(lambda w, x: np.sin(f(w, x)) * w),
    "rows": lambda f: ad.jacrev(ad.vmap(f, in_axes=(None, 0))),
    "columns": lambda f: ad.jacfwd(ad.vmap(f, in_axes=(None, 0))),
    "hessian": ad.hessian,
    "hessian of a sum": lambda f: ad.hessian(lambda w, x: ad.vmap(f, in_axes=(None, 0))(w, x).sum()),
    "hessians": lambda f: ad.vmap(ad.hessian(f), in_axes=(None, 0)),
    "hvps": lambda f: lambda w, x: ad.vmap(lambda x: ad.hvp(f)(w, x, w))(x),
    "jvps": lambda f: lambda w, x: ad.vmap(lambda x: ad.jvp(lambda w: f(w, x), (w,), (w,)))(x),
    "axes": lambda f: (
        lambda w, x: ad.vmap(lambda w, x: (f(w, x), x), in_axes=(None, 1), out_axes=(0, 1))(w, np.stack([x, x, -x], 1))
    ),
}


@pytest.mark.parametrize("make", BATCHED.values(), ids=[*BATCHED])
def test_batches_run_programs(make: Any) -> None:
    jitted = strict(square_loss)
    for k in (1.0, 2.0, 3.0):
        found, expected = make(jitted)(k * W, X), make(square_loss)(k * W, X)
        for a, b in zip(*((y if isinstance(y, tuple) else (y,)) for y in (found, expected)), strict=True):
            np.testing.assert_allclose(a, b, 1e-11, 1e-14)
    assert jitted.cache_info().recordings == 1 and jitted.cache_info().hits >= 2
    for program in programs(jitted):  # its derivatives too
        for derivative in (getattr(program, "rerun", None) and program.rerun.made.values()) or ():
            assert derivative.cache_info().recordings == 1 and derivative.cache_info().hits >= 2


def test_results_of_batches() -> None:
    """What is the same for all examples is no batch; results have their types."""

    def f(x: Any, c: Any) -> Any:
        return {"x": x * 2, "c": c + 1, "positive": x > 0, "n": 2}

    jitted = strict(f)

    def inside(f: Any) -> Any:
        found = []

        def example(x: Any, c: Any) -> Any:
            results = f(x, c)
            found.append([(type(y), type(y._array) if isinstance(y, Value) else None) for y in results.values()])
            return {k: y for k, y in results.items() if k != "n"}

        return ad.vmap(example, in_axes=(0, None))(X, np.ones(4)), found

    for _ in range(3):
        (a, kinds), (b, expected) = inside(jitted), inside(f)
        for k in a:
            close(a[k], b[k])
        assert [k for k, _ in kinds[0]][::2] == [k for k, _ in expected[0]][::2] and kinds[0][0] == expected[0][0]


def test_captured_batches() -> None:
    """Under vmap a closure may hold a batch: then it runs as it is, also if it had a program before."""
    w = Value(W, requires_grad=False)
    cell = [w]
    jitted = ad.jit(lambda x: (x @ cell[0]).sum())

    def all_of(f: Any) -> Any:
        def example(w: Any) -> Any:
            cell[0] = w
            return f(X)

        try:
            return ad.vmap(example)(np.stack([W, 2 * W]))
        finally:
            cell[0] = w

    for _ in range(3):
        close(jitted(X), (X @ W).sum())
        close(all_of(jitted), [(X @ W).sum(), 2 * (X @ W).sum()])


def test_questions_to_a_batch() -> None:
    f = lambda x: x if x.sum() > 0 else -x
    jitted = ad.jit(f)
    for _ in range(2):
        close(jitted(X[0]), f(X[0]))
        close(jitted(-X[0]), f(-X[0]))
        with pytest.raises(ad.BatchError, match="truth value"):
            ad.vmap(jitted)(X)


def test_draws_under_vmap() -> None:
    """One draw for all examples, as f runs once."""
    rngs = np.random.default_rng(0), np.random.default_rng(0)
    make = lambda rng: lambda x: (x * rng.normal(size=4)).sum()
    found, expected = strict(make(rngs[0])), make(rngs[1])
    for g in (lambda f: ad.vmap(f), lambda f: ad.vmap(ad.grad(f))):
        for _ in range(3):
            close(g(found)(X), g(expected)(X))


def test_gradients_of_what_is_shared_are_sums() -> None:
    """They are summed by the program, and not after it."""
    jitted = strict(lambda w, x: (np.tanh(x @ w) ** 2).sum())
    for k in (1.0, 2.0, 3.0):
        close(ad.grad(lambda w: ad.vmap(jitted, in_axes=(None, 0))(w, X).sum())(k * W), ad.grad(loss)(k * W, X))
    (program,) = programs(jitted)
    assert program.back_graph.outputs[0].shape == W.shape
    w = Value(W)
    jitted = strict(lambda x: (np.tanh(x @ w) ** 2).sum())
    for _ in range(3):
        w.grad = None
        ad.vmap(jitted)(X).sum().backward()
        close(w.grad, ad.grad(loss)(W, X))


def test_backward_under_vmap() -> None:
    """A gradient for each example, of a variable from outside, is added up."""

    def total(jit: Any) -> Any:
        w = Value(W)
        f = jit(lambda x: (np.tanh(x @ w) ** 2).sum())

        def example(x: Any) -> Any:
            y = f(x)
            y.backward()
            return y.detach()

        for _ in range(3):
            close(ad.vmap(example)(X), [loss(W, x) for x in X])
        return w.grad

    close(total(strict), total(lambda f: f))


# -- what else may go wrong


def test_one_value_in_several_places() -> None:
    w = Value(W)
    f = lambda p, x: (np.tanh(x @ p[0]) * (x @ p[1]) * w.sum()).sum()
    jitted = strict(f)
    for _ in range(3):
        w.grad = None
        f([w, w], X).backward()
        expected, w.grad = w.grad, None
        jitted([w, w], X).backward()
        close(w.grad, expected)


def test_mask_from_outside() -> None:
    """A cotangent of zero where the derivative is infinite."""
    jitted = strict(np.sqrt)
    x = np.array([0.0, 4.0])
    for _ in range(3):
        close(ad.grad(lambda x: np.where(x > 0, jitted(x), 0.0).sum())(x), [0.0, 0.25])
        close(ad.grad(lambda x: np.where(x > 0, jitted(x), 0.0).sum())(x + 1), 0.5 / np.sqrt(x + 1))


def test_tracked_writes_to_what_is_captured() -> None:
    """They run without the compiler, so that the graph of what was written is not lost."""

    def total(jit: Any) -> Any:
        w, buffer = Value(W), Value(np.zeros((4, 3)), requires_grad=False)

        def f(x: Any) -> Any:
            buffer[...] = w * x
            return buffer.sum()

        (jit(f)(2.0) * buffer.sum()).backward()
        return w.grad

    with pytest.warns(JitWarning, match="writes"):
        found = total(ad.jit)
    close(found, total(lambda f: f))


def test_what_is_returned_as_it_came() -> None:
    w = Value(W)
    jitted = strict(lambda x: (w, x, w[0]))
    for _ in range(3):
        x, w.grad = Value(X), None
        a, b, c = jitted(x)
        (a.sum() + (b * b).sum() + (c * 3).sum()).backward()
        expected = np.ones_like(W)
        expected[0] += 3
        close(w.grad, expected)
        close(x.grad, 2 * X)


def test_modules_as_arguments() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    f = lambda model, x: (model(x) ** 2).mean()
    jitted = strict(f)
    for _ in range(3):
        for a, b in zip(ad.grad(jitted)(model, X).parameters(), ad.grad(f)(model, X).parameters(), strict=True):
            close(a.data, b.data)
        model.zero_grad()
        jitted(model, X).backward()
        assert all(p.grad is not None for p in model.parameters())
        model[0].weight.data = model[0].weight.data * 1.1
    assert linked(jitted)


def test_objects_among_the_arguments_are_let_go() -> None:
    class Scale:
        def __init__(self) -> None:
            self.by = 2.0

    jitted = strict(lambda x, scale: (x * scale.by).sum())
    last = None
    for _ in range(100):
        scale = Scale()
        close(ad.grad(jitted)(X, scale), np.full_like(X, 2.0))
        last = last or weakref.ref(scale)
        del scale
    gc.collect()
    assert last is not None and last() is None and len(jitted._call.entries) <= 40
