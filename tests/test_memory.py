"""What a graph keeps alive and when it lets go: by reference counting alone, without the cyclic collector."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import GraphError, Value, nn, optim

SHAPE = (64, 64)
UNIT = 64 * 64 * 8  # bytes of one such array, few enough that constants are copied
LARGE = (128, 128)  # too large for that

ARRAYS = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def allocated() -> int:
    """Bytes of the arrays that are alive and were made since tracing started."""
    return sum(t.size for t in tracemalloc.take_snapshot().filter_traces([ARRAYS]).traces)


class Watch:
    """Weak references to nodes and arrays, by the names under which they were added."""

    def __init__(self) -> None:
        self.references: dict[str, weakref.ref[Any]] = {}

    def add(self, **values: Any) -> None:
        for name, v in values.items():
            array = v._array if isinstance(v, Value) else v
            self.references[f"{name} array"] = weakref.ref(array)
            if isinstance(v, Value) and v._node is not None:
                self.references[f"{name} node"] = weakref.ref(v._node)

    def alive(self) -> set[str]:
        return {name for name, r in self.references.items() if r() is not None}

    def arrays(self) -> set[str]:
        return {name.removesuffix(" array") for name in self.alive() if name.endswith(" array")}


def network(x: Any, watch: Watch | None = None) -> Any:
    """A small graph with every kind of node: elementwise, linear, bilinear, general, of a sequence."""
    a = np.sin(x * 2.0) * x
    b = a @ a
    c = np.exp(b * 1e-3)
    d = np.concatenate([a, c], axis=0)
    e = ad.softmax(d)
    if watch:
        watch.add(x=x, a=a, b=b, c=c, d=d, e=e)
    return (e * e).sum()


def start() -> np.ndarray[Any, Any]:
    return np.linspace(-1, 1, 64 * 64).reshape(SHAPE)


# -- freed when the last Value goes


def test_a_graph_is_freed_with_its_last_value() -> None:
    watch = Watch()
    x = Value(start())
    y = network(x, watch)
    assert {"a node", "b node", "c node", "d node", "e node", "e array"} <= watch.alive()
    del y
    assert watch.alive() == {"x node", "x array"}
    del x
    assert not watch.alive()


def test_a_graph_outlives_its_inputs_but_not_its_result() -> None:
    watch = Watch()
    x = Value(start())
    y = network(x, watch)
    del x
    assert {"x node", "x array"} <= watch.alive()  # a residual of x * sin
    y.backward(retain_graph=True)
    del y
    assert not watch.alive()


@pytest.mark.parametrize("options", [{}, {"retain_graph": True}, {"create_graph": True}], ids=str)
def test_freed_after_backward(options: dict[str, bool]) -> None:
    watch = Watch()
    x = Value(start())
    y = network(x, watch)
    y.backward(**options)
    watch.add(gradient=x.grad)
    del y
    x.zero_grad()  # under create_graph the gradient's graph leads to x, whose node holds the gradient
    assert watch.alive() == {"x node", "x array"}
    del x
    assert not watch.alive()


def test_freed_after_backward_twice() -> None:
    """The gradient of a gradient's norm, as in a training loop with a penalty."""
    watch = Watch()
    x = Value(start())
    y = network(x, watch)
    y.backward(create_graph=True)
    penalty = (x.grad * x.grad).sum()
    watch.add(gradient=x.grad, penalty=x.grad * x.grad)
    x.zero_grad()
    penalty.backward()
    del y, penalty
    assert watch.alive() == {"x node", "x array"}
    x.zero_grad()
    del x
    assert not watch.alive()


def test_freed_after_retain_grad() -> None:
    watch = Watch()
    x = Value(start())
    h = np.exp(x)
    h.retain_grad()
    y = (h * h).sum()
    y.backward()
    watch.add(x=x, h=h, gradient=h.grad)
    del x, y
    assert "gradient array" in watch.alive()
    del h
    assert not watch.alive()


TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda f, x: ad.grad(f)(x),
    "value_and_grad": lambda f, x: ad.value_and_grad(f)(x),
    "has_aux": lambda f, x: ad.value_and_grad(lambda x: (f(x), np.exp(x)), has_aux=True)(x),
    "vjp": lambda f, x: ad.vjp(f, x)[1](1.0),
    "vjp, value": lambda f, x: ad.vjp(f, x)[0],
    "jvp": lambda f, x: ad.jvp(f, (x,), (x,)),
    "reverse over reverse": lambda f, x: ad.grad(lambda x: (ad.grad(f)(x) ** 2).sum())(x),
    "forward over reverse": lambda f, x: ad.jvp(ad.grad(f), (x,), (x,)),
    "reverse over forward": lambda f, x: ad.grad(lambda x: ad.jvp(f, (x,), (np.ones(SHAPE),))[1])(x),
    "no_grad": lambda f, x: no_grad(f, Value(x)),
    "check_grads": lambda f, x: ad.check_grads(lambda s: f(s * x), 1.0),
}


def no_grad(f: Any, x: Any) -> Any:
    with ad.no_grad():
        return f(x)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_freed_after_a_transform(name: str) -> None:
    """Its result holds nothing of the graph, and neither does the function that it made."""
    watch, x = Watch(), start()
    result = TRANSFORMS[name](lambda x: network(x, watch), x)
    del x
    assert watch.references and not watch.alive() - {"x array"}
    del result
    assert not watch.alive()


def test_a_pullback_keeps_its_graph_and_frees_it() -> None:
    watch = Watch()
    _, pull = ad.vjp(lambda x: network(x, watch), start())
    pull(1.0)
    pull(2.0)
    assert {"a node", "e array"} <= watch.alive()
    del pull
    assert not watch.alive()


def test_freed_after_an_outer_derivative() -> None:
    """A tracked Value in the closure: the gradient holds the graph, and lets go of it."""
    watch = Watch()
    w = Value(start())
    g = ad.grad(lambda s: network(w * s, watch))(1.5)
    assert g.requires_grad
    g.backward()
    w.zero_grad()
    assert "a node" in watch.alive()
    del g
    assert not watch.alive()


def failing(x: Any, watch: Watch) -> None:
    """backward() stops in the middle of the walk: a constant that it needs was written to."""
    c = np.ones(LARGE)
    a = np.exp(x)
    b = a * c
    y = np.sin(b).sum()
    watch.add(a=a, b=b, c=c)
    c[...] = 2.0
    y.backward()


def test_freed_after_an_exception_in_backward() -> None:
    watch = Watch()
    x = Value(np.ones(LARGE))
    with pytest.raises(GraphError, match="written to"):
        failing(x, watch)
    assert len(watch.references) == 5 and not watch.alive()
    assert x.grad is None


@pytest.mark.parametrize("name", sorted(set(TRANSFORMS) - {"no_grad", "has_aux", "check_grads"}))
def test_freed_after_an_exception_in_a_transform(name: str) -> None:
    watch = Watch()

    def f(x: Any) -> Any:
        network(x, watch)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        TRANSFORMS[name](f, start())
    assert watch.references and not watch.alive()


def test_freed_after_an_exception_in_a_walk_on_values() -> None:
    """The walk of create_graph records; what it has recorded goes too."""
    watch = Watch()
    x = Value(start())
    y = network(x, watch)
    y.backward()
    with pytest.raises(GraphError, match="freed"):
        y.backward(create_graph=True)
    del y, x
    assert not watch.alive()


def test_the_collector_finds_nothing_after_many_graphs() -> None:
    def rounds() -> None:
        x = Value(start())
        for name, transform in TRANSFORMS.items():
            if name != "check_grads":
                transform(network, x.data)
        network(x).backward()
        network(x).backward(retain_graph=True)
        x.zero_grad()
        network(x).backward(create_graph=True)
        x.zero_grad()
        repr(x), x[1:, ::2].sum().backward(), np.stack([x, x]).mean().backward(), (x**2).max(axis=0).sum().backward()

    rounds()  # rules compile themselves once
    gc.collect()
    rounds()
    assert gc.collect() == 0


# -- what a graph keeps


def test_backward_frees_residuals_and_keeps_the_value() -> None:
    watch = Watch()
    x = Value(start())
    y = network(x, watch)
    del x
    y.backward()
    assert not watch.arrays() and y.data.shape == ()
    with pytest.raises(GraphError, match="freed"):
        y.backward()


def test_retain_graph_keeps_residuals() -> None:
    watch = Watch()
    x = Value(start())
    y = network(x, watch)
    del x
    before = watch.alive()
    for _ in range(2):
        y.backward(retain_graph=True)
        assert watch.alive() == before
    y.backward()
    assert not watch.arrays()


def test_residuals_of_a_branch_that_backward_did_not_walk_stay() -> None:
    x = Value(start())
    shared = np.exp(x)
    first, second = (shared * 2.0).sum(), np.sin(shared * 3.0)
    watch = Watch()
    watch.add(shared=shared, second=second)
    first.backward()
    del first, shared
    assert watch.arrays() == {"second"}  # exp's own result was its residual
    total = second.sum()
    with pytest.raises(GraphError, match="freed"):
        total.backward()


def test_a_chain_keeps_what_its_rules_name() -> None:
    """Only exp's result, the copy of c, and the operand of sin; not c, nor what goes in or comes out of the rest."""
    watch = Watch()
    x, c = Value(start()), start() + 2.0
    scaled = x * c
    shifted = scaled + 1.0
    grown = np.exp(shifted)
    summed = grown + grown
    halved = summed / 2.0
    wave = np.sin(halved)
    reshaped = -(wave + 0.0)
    total = reshaped.sum()
    watch.add(x=x, c=c, scaled=scaled, shifted=shifted, grown=grown, summed=summed, halved=halved, wave=wave)
    watch.add(reshaped=reshaped)
    del x, c, scaled, shifted, grown, summed, halved, wave, reshaped
    assert watch.arrays() == {"grown", "halved"}
    total.backward()
    assert watch.arrays() == set()


def test_a_large_constant_is_kept_by_reference() -> None:
    watch = Watch()
    x, c = Value(np.ones(LARGE)), np.ones(LARGE)
    watch.add(c=c)
    y = (x * c).sum()
    del c
    assert watch.arrays() == {"c"}
    y.backward()
    assert watch.arrays() == set()


# How many arrays of the operands' size are alive when nothing but the result is held, the result included.
KEPT: dict[str, tuple[int, Callable[[Any, Any], Any]]] = {
    "x + w": (1, lambda x, w: x + w),
    "x + number": (1, lambda x, w: x + 1.0),
    "x + constant": (1, lambda x, w: x + w.data),
    "x - w": (1, lambda x, w: x - w),
    "-x": (1, lambda x, w: -x),
    "x * number": (1, lambda x, w: 2.0 * x),
    "x * constant": (2, lambda x, w: x * w.data),
    "constant * x": (2, lambda x, w: w.data * x),
    "x * w": (3, lambda x, w: x * w),
    "x * x": (2, lambda x, w: x * x),
    "x / number": (1, lambda x, w: x / 2.0),
    "x / constant": (2, lambda x, w: x / w.data),
    "number / x": (2, lambda x, w: 1.0 / x),
    "x / w": (2, lambda x, w: x / w),
    "x ** 2": (2, lambda x, w: x**2),
    "exp": (1, lambda x, w: np.exp(x)),
    "tanh": (1, lambda x, w: np.tanh(x)),
    "sigmoid": (1, lambda x, w: ad.sigmoid(x)),
    "reciprocal": (1, lambda x, w: np.reciprocal(x)),
    "sin": (2, lambda x, w: np.sin(x)),
    "log": (2, lambda x, w: np.log(x)),
    "relu": (1, lambda x, w: ad.relu(x)),
    "maximum": (3, lambda x, w: np.maximum(x, w)),
    "sum": (0, lambda x, w: x.sum()),
    "sum over an axis": (0, lambda x, w: x.sum(axis=0)),
    "mean": (0, lambda x, w: np.mean(x, axis=1, keepdims=True)),
    "max": (1, lambda x, w: x.max(axis=0)),
    "var": (1, lambda x, w: x.var()),
    "softmax": (1, lambda x, w: ad.softmax(x)),
    "logsumexp": (1, lambda x, w: ad.logsumexp(x, axis=-1)),
    "cumsum": (1, lambda x, w: np.cumsum(x, axis=0)),
    "matmul": (3, lambda x, w: x @ w),
    "matmul with a constant": (2, lambda x, w: x @ w.data),
    "concatenate": (2, lambda x, w: np.concatenate([x, w])),
    "stack": (2, lambda x, w: np.stack([x, w])),
    "where": (1, lambda x, w: np.where(x.data > 0, x, w)),
    "gather": (1, lambda x, w: x[np.arange(64)]),
    "a view": (1, lambda x, w: x.reshape(-1)),
    "a transposed view": (1, lambda x, w: x.T),
    "copy": (1, lambda x, w: x.copy()),
    "astype": (0, lambda x, w: x.astype(np.float32).sum()),
}


@pytest.mark.parametrize("name", KEPT)
def test_kept_by_one_operation(name: str, traced: None) -> None:
    count, f = KEPT[name]
    f(Value(start() + 3.0), Value(start() + 3.0))  # compiles the rule

    before = allocated()
    x, w = Value(start() + 3.0), Value(start() + 3.0)
    leaves = [x._node, w._node]
    y = f(x, w)
    del x, w
    kept = (allocated() - before) / UNIT
    assert count <= kept < count + 0.2, f"{kept} arrays"  # masks and reduced results are below 0.2
    y.backward(gradient=np.ones(y.shape))
    for leaf in leaves:
        leaf.grad = None
    own = y.nbytes if y.data.base is None else y.data.base.nbytes
    assert (allocated() - before - own) / UNIT < 0.02
    del y
    assert (allocated() - before) / UNIT < 0.02


@pytest.mark.parametrize("name", KEPT)
def test_kept_without_recording(name: str, traced: None) -> None:
    """Under no_grad, the result alone."""
    _, f = KEPT[name]

    def result() -> Value:
        with ad.no_grad():
            return f(Value(start() + 3.0), Value(start() + 3.0))

    result()
    before = allocated()
    y = result()
    own = y.nbytes if y.data.base is None else y.data.base.nbytes
    assert abs(allocated() - before - own) < 0.05 * UNIT


def test_backward_frees_on_the_way(traced: None) -> None:
    """A walk needs a few arrays more than the graph, and no more for a longer graph."""
    for length in (10, 100):
        x = Value(start())
        y = x
        for _ in range(length):
            y = np.sin(y)
        y = y.sum()
        before = allocated()
        assert length <= before / UNIT < length + 1
        tracemalloc.reset_peak()
        held = tracemalloc.get_traced_memory()[0]
        y.backward()
        assert (tracemalloc.get_traced_memory()[1] - held) / UNIT < 4
        assert allocated() / UNIT < 2.1  # x and its gradient
        del x, y


@pytest.mark.parametrize("transform", [ad.grad, ad.value_and_grad])
def test_grad_frees_on_the_way(transform: Any, traced: None) -> None:
    """It needs no more for the walk than what the graph holds when the walk begins."""

    def f(x: Any, length: int) -> Any:
        for _ in range(length):
            x = np.sin(x)
        marks.append(tracemalloc.get_traced_memory()[0])
        return x.sum()

    x = start()
    for length in (10, 200):
        marks: list[int] = []
        transform(f)(x, 1)  # compiles the rules
        marks.clear()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        transform(f)(x, length)
        held = (marks[0] - before) / UNIT
        assert length <= held < length + 3
        assert (tracemalloc.get_traced_memory()[1] - marks[0]) / UNIT < 4
        assert (tracemalloc.get_traced_memory()[0] - before) / UNIT < 0.5


@pytest.mark.parametrize("length", [1, 150], ids=["short", "long"])
def test_values_left_behind_by_grad_are_spent(length: int) -> None:
    left: list[Any] = []

    def f(x: Any) -> Any:
        for _ in range(length):
            x = np.sin(x)
        left.append(x)
        return x * x

    ad.grad(f)(2.0)
    (y,) = left
    assert float(y) == y.data
    for use in (y.backward, lambda: (y * 2.0).backward(), lambda: ad.grad(lambda t: t * y)(1.0).backward()):
        with pytest.raises(GraphError, match=r"'sin' was freed by an earlier backward\(\) or grad\(\)"):
            use()


@pytest.mark.parametrize("length", [1, 150], ids=["short", "long"])
@pytest.mark.parametrize("through", ["the value", "aux", "a pullback"])
def test_grad_frees_nothing_that_an_outer_derivative_needs(through: str, length: int) -> None:
    """The outer Value comes in by what f returns, or f has made a pullback that may be called again."""
    w, pulls = Value(3.0), []

    def f(x: Any) -> Any:
        for _ in range(length):
            x = np.sin(x)
        y = x * x
        if through == "a pullback":
            y, pull = ad.vjp(lambda t: t * t, x)
            pulls.append(pull)
        return (y * w if through == "the value" else y), (x * w if through == "aux" else x)

    g, aux = ad.grad(f, has_aux=True)(1.0)
    x, slope = 1.0, 1.0
    for _ in range(length):
        x, slope = np.sin(x), slope * np.cos(x)
    if through == "the value":
        np.testing.assert_allclose(g.data, 3 * 2 * x * slope)
        g.backward()
        np.testing.assert_allclose(w.grad, 2 * x * slope)
    elif through == "aux":
        np.testing.assert_allclose(g, 2 * x * slope)
        aux.backward()
        np.testing.assert_allclose(w.grad, x)
    else:
        np.testing.assert_allclose(g, 2 * x * slope)
        np.testing.assert_allclose(pulls[0](1.0)[0].data, 2 * x)


def test_vjp_frees_nothing() -> None:
    _, pull = ad.vjp(lambda x: np.sin(np.sin(x)), 1.0)
    assert pull(1.0) == pull(1.0)


def test_grad_under_no_grad_frees_what_it_has_recorded_only() -> None:
    w = Value(3.0)
    h = np.sin(w)
    with ad.no_grad():
        assert type(ad.grad(lambda x: np.sin(x) * h)(1.0)) is np.float64
    h.backward()
    np.testing.assert_allclose(w.grad, np.cos(3.0))


# -- training


def classifier(widths: list[int]) -> nn.Sequential:
    layers: list[Any] = []
    for k in range(len(widths) - 1):
        layers += [nn.Linear(widths[k], widths[k + 1], rng=k), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda params: optim.SGD(params, lr=0.1),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    "Adam": lambda params: optim.Adam(params),
}


def train(model: Any, optimizer: Any, x: Any, labels: Any) -> float:
    optimizer.zero_grad()
    loss = nn.cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    return float(loss.data)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_step_leaves_nothing_to_the_collector(name: str, rng: np.random.Generator) -> None:
    model = classifier([5, 8, 8, 3])
    optimizer = OPTIMIZERS[name](model.parameters())
    x, labels = rng.normal(size=(16, 5)), rng.integers(0, 3, 16)
    train(model, optimizer, x, labels)
    gc.collect()
    losses = [train(model, optimizer, x, labels) for _ in range(3)]
    assert gc.collect() == 0
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_steps_do_not_accumulate(name: str, rng: np.random.Generator, traced: None) -> None:
    model = classifier([20, 64, 64, 3])
    optimizer = OPTIMIZERS[name](model.parameters())
    x, labels = rng.normal(size=(128, 20)), rng.integers(0, 3, 128)
    train(model, optimizer, x, labels)
    train(model, optimizer, x, labels)
    before = allocated()
    for _ in range(20):
        train(model, optimizer, x, labels)
    assert abs(allocated() - before) < 1024


@pytest.mark.parametrize(("name", "copies"), [("SGD", 1), ("momentum", 2), ("Adam", 3)])
@pytest.mark.parametrize(("width", "batch"), [(256, 16), (64, 1024)], ids=["parameters", "activations"])
def test_peak_of_a_training_step(
    name: str, copies: int, width: int, batch: int, rng: np.random.Generator, traced: None
) -> None:
    """Gradients and averages, one copy of the parameters each; the activations; and three temporaries."""
    widths = [20, width, width, width, width, 3]
    model = classifier(widths)
    x, labels = rng.normal(size=(batch, 20)), rng.integers(0, 3, batch)
    optimizer = OPTIMIZERS[name](model.parameters())
    parameters = sum(p.nbytes for p in model.parameters())
    activations = sum(batch * w * 8 for w in widths[1:])
    temporaries = 3 * max(batch, width) * width * 8
    train(classifier(widths), optimizer, x, labels)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(2):
        tracemalloc.reset_peak()
        train(model, optimizer, x, labels)
        peak = tracemalloc.get_traced_memory()[1] - before
        bound = copies * parameters + activations + temporaries + 65536
        assert peak < bound, f"{peak / parameters:.2f} of the parameters, {peak / activations:.2f} of the activations"


# -- long and wide


def chain(x: Any, n: int) -> Any:
    for _ in range(n):
        x = x * 1.0
    return x


def check_chain(n: int) -> None:
    x = Value(1.0)
    half = chain(x, n // 2)
    middle = weakref.ref(half._node)
    y = chain(half, n - n // 2)
    del half
    y.backward(retain_graph=True)
    assert x.grad == 1.0 and middle() is not None
    del y
    assert middle() is None

    y = chain(x, n)
    y.backward()
    assert x.grad == 2.0
    del y

    assert ad.grad(lambda x: chain(x, n))(1.0) == 1.0
    assert ad.jvp(lambda x: chain(x, n), (1.0,), (2.0,))[1] == 2.0


def test_a_chain_of_100_000_nodes() -> None:
    check_chain(100_000)


@pytest.mark.slow
def test_a_chain_of_a_million_nodes() -> None:
    check_chain(1_000_000)


def test_a_chain_differentiated_twice() -> None:
    """The graph of the gradient is as long again, and is freed without recursion too."""
    n = 20_000
    x = Value(0.5)
    y = x
    for _ in range(n):
        y = np.sin(y) + 0.5
    middle = weakref.ref(y._node)
    y.backward(create_graph=True)
    g = x.grad
    x.zero_grad()
    last = weakref.ref(g._node)
    (g * g).backward()
    assert np.isfinite(x.grad)
    del y, g
    assert middle() is None and last() is None


def test_a_wide_fan_out() -> None:
    """100 000 results of one leaf, and of one operation."""
    n = 100_000
    x = Value(0.5)
    for h, slope in ((x, 1.0), (np.sin(x), np.cos(0.5))):
        x.zero_grad()
        terms = [h * float(k) for k in range(n)]
        nodes = [weakref.ref(terms[k]._node) for k in (0, n // 2, n - 1)]
        total = np.stack(terms).sum()
        del terms
        total.backward()
        np.testing.assert_allclose(x.grad, slope * n * (n - 1) / 2, rtol=1e-12)
        del total
        assert all(node() is None for node in nodes)


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q"]))
