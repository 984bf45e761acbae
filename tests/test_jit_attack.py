"""jit where it was wrong once: what a function uses changes in a way that is hard to see, or a run of it fails."""

from __future__ import annotations

import array
import contextvars
import dataclasses
import functools
import itertools
import random
import sys
import threading
import time
import types
import warnings
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import autodiff as ad
from autodiff import Value, nn
from autodiff.compiler.api import JitWarning

pytestmark = pytest.mark.filterwarnings("ignore::autodiff.compiler.api.JitWarning")

X = np.arange(1.0, 6.0)


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert [*found] == [*expected]
        found, expected = [*found.values()], [*expected.values()]
    if isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            same(a, b)
    else:
        assert np.asarray(found).dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
        np.testing.assert_allclose(found, expected, 1e-12)


def outcome(f: Callable[..., Any], args: Any) -> Any:
    try:
        return f(*args)
    except Exception as error:
        return type(error).__name__


def alike(make: Callable[[], Any], calls: Any = None) -> Any:
    """Call the function that `make` makes, and the jit of another one; `change(i)` comes before call i of each."""
    one, two = make(), make()
    f, change = one if isinstance(one, tuple) else (one, lambda i: None)
    g, change_other = two if isinstance(two, tuple) else (two, lambda i: None)
    jitted = ad.jit(g)
    for i, args in enumerate(calls or [(X * (i + 1),) for i in range(5)]):
        change(i)
        expected = outcome(f, [a.copy("K") if isinstance(a, np.ndarray) else a for a in args])
        change_other(i)
        found = outcome(jitted, args)
        if isinstance(expected, str):
            assert found == expected
        else:
            same(found, expected)
    return jitted


# -- what is captured, and changes


@pytest.mark.parametrize(
    "kind", [set, deque, bytearray, lambda x: array.array("d", x), lambda x: memoryview(bytearray(x))]
)
def test_contents_of_containers(kind: Any) -> None:
    def make() -> Any:
        held = kind([1, 2])

        def change(i: int) -> None:
            if isinstance(held, set):
                held.clear()
                held.add(i)
            else:
                held[0] = i

        return lambda x: x * sum(held), change

    alike(make)


@pytest.mark.parametrize(
    "make",
    [
        itertools.count,
        lambda: iter([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        lambda: (float(i) for i in range(9)),
        lambda: itertools.cycle([X, 2 * X]),
    ],
)
def test_iterators(make: Any) -> None:
    def made() -> Any:
        it = make()
        return lambda x: x * next(it)

    alike(made)


def test_classes() -> None:
    def make() -> Any:
        class A:
            k = 2.0

            def __init__(self, x: Any) -> None:
                self.x = x

            def f(self) -> Any:
                return self.x * self.k

            @property
            def p(self) -> Any:
                return self.x + A.k

            @classmethod
            def c(cls, x: Any) -> Any:
                return x - cls.k

        def change(i: int) -> None:
            A.k = i * 0.5
            if i == 3:
                A.f = lambda self: self.x  # type: ignore[method-assign]

        return lambda x: (A(x).f(), A(x).p, A.c(x)), change

    alike(make)


SCALE = 1.0


def test_globals_that_only_methods_use(monkeypatch: Any) -> None:
    class A:
        def f(self, x: Any) -> Any:
            return x * SCALE

        def __getitem__(self, key: int) -> Any:
            return SCALE

        def __getattr__(self, name: str) -> Any:
            return SCALE

    a = A()
    jitted = ad.jit(lambda x: a.f(x) + a[0] + a.anything)
    for scale in (1.0, 2.0, 3.0):
        monkeypatch.setitem(globals(), "SCALE", scale)
        same(jitted(X), X * scale + 2 * scale)


def test_private_slots() -> None:
    class A:
        __slots__ = ("__k",)

        def set(self, k: float) -> None:
            self.__k = k

        def get(self) -> float:
            return self.__k

    def make() -> Any:
        a = A()
        return lambda x: x * a.get(), a.set

    alike(make)


def test_modules_in_modules(monkeypatch: Any) -> None:
    package, inner = types.ModuleType("jitted_package"), types.ModuleType("jitted_package.inner")
    exec("scale = 1.0\ndef f(x): return x * scale", inner.__dict__)
    package.inner = inner  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jitted_package", package)
    monkeypatch.setitem(sys.modules, "jitted_package.inner", inner)

    def imports(x: Any) -> Any:
        import jitted_package.inner as other  # type: ignore[import-not-found]
        from jitted_package.inner import scale

        return x * scale + other.scale

    one, two, three = ad.jit(lambda x: x * package.inner.scale), ad.jit(lambda x: package.inner.f(x)), ad.jit(imports)
    for scale in (1.0, 2.0, 3.0):
        inner.scale = scale  # type: ignore[attr-defined]
        same((one(X), two(X), three(X)), (X * scale, X * scale, X * scale + scale))


def test_defaults_and_code() -> None:
    def make() -> Any:
        def f(x: Any, k: Any = 1.0, w: Any = np.ones(5), *, more: Any = 1.0) -> Any:  # noqa: B008
            return x * k * more * (w[:2] * 2).sum()

        def change(i: int) -> None:
            f.__defaults__ = (float(i), f.__defaults__[1])  # type: ignore[index]
            f.__defaults__[1][0] = i
            f.__kwdefaults__ = {"more": 0.5 * i}
            if i == 3:
                f.__code__ = (lambda x, k, w, *, more: x).__code__

        return f, change

    alike(make)


def test_names_that_come_later() -> None:
    def make() -> Any:
        names: dict[str, Any] = {}
        source = "def f(x):\n    try: return x * later\n    except NameError: return x * abs(-1)"
        exec(source, names)

        def change(i: int) -> None:
            if i == 2:
                names["abs"] = lambda x: 7.0
            if i == 3:
                names["later"] = 5.0

        return names["f"], change

    alike(make)


def test_globals_that_change_often() -> None:
    def make() -> Any:
        names: dict[str, Any] = {"k": 0.5}
        exec("def f(x): return x * k", names)
        return names["f"], lambda i: names.update(k=0.5 * i)

    alike(make)


def test_branches_on_captured_arrays() -> None:
    def make(held: str) -> Any:
        names: dict[str, Any] = {"np": np, "d": np.array([1.0, 2.0])}
        names["t"] = (names["d"],)
        exec(f"def f(x): return x * 2 + {held} if {held}[0] > 0 else x * 3", names)
        return names["f"], lambda i: names["d"].__setitem__(0, (1.0, 2.0, 3.0, -1.0, 4.0, -2.0)[i])

    for held in ("d", "t[0]"):
        alike(functools.partial(make, held), [(np.ones(2),)] * 6)


def test_context_variables() -> None:
    def make() -> Any:
        scale: Any = contextvars.ContextVar("scale")
        return lambda x: x * scale.get(), lambda i: scale.set(float(i))

    alike(make)


def test_zeros_with_a_sign() -> None:
    def make() -> Any:
        held = [0.0]
        return lambda x: np.copysign(x, held[0]), lambda i: held.__setitem__(0, (0.0, -0.0)[i % 2])

    alike(make)
    alike(lambda: lambda x: x * np.copysign(1.0, float(x[0])), [(X * s,) for s in (0.0, -0.0, 0.0, -0.0)])


def test_large_arrays() -> None:
    """Each element counts, and their order."""

    def make() -> Any:
        data = np.arange(100003.0)
        held = (data,)

        def change(i: int) -> None:
            data[i] += 1
            data[[i + 2, i + 3]] = data[[i + 3, i + 2]]

        return lambda x: x * (held[0][:9] * np.arange(9)).sum(), change

    alike(make)


def test_arrays_that_share_memory() -> None:
    def view() -> Any:
        a = np.arange(10.0)
        held = {"a": a, "v": a[2:7]}

        def f(x: Any) -> Any:
            held["a"][3] += 1
            return x * held["v"]

        return f

    def twice() -> Any:
        held = {"a": X.copy()}
        held["b"] = held["a"]

        def f(x: Any) -> Any:
            held["a"][0] += 1
            return x * held["b"]

        return f, lambda i: held.update(b=held["a"].copy()) if i == 3 else None

    def rebound() -> Any:
        held = {"a": X.copy(), "b": X.copy()}

        def f(x: Any) -> Any:
            held["a"] += x
            held["a"] = held["a"] * 2
            return held["b"] * 1

        return f, lambda i: held.update(b=held["a"]) if i == 3 else None

    def swapped() -> Any:
        held = {"a": X.copy(), "b": X * 2, "c": X * 3}

        def f(x: Any) -> Any:
            held["a"], held["b"] = held["b"], held["a"]
            held["c"] += x
            return [v * 1 for v in held.values()]

        return f, lambda i: held.update(c=held["a"]) if i == 1 else None

    def stored() -> Any:
        held = {"a": X.copy(), "b": X * 2}

        def f(x: Any) -> Any:
            held["a"][1:] += 1
            before = [v * 1 for v in held.values()]
            held["a"] = held["b"] = x * 2
            return before

        return f

    alike(view)
    alike(twice)
    alike(swapped)
    alike(stored)
    alike(rebound)


def test_arrays_that_are_overwritten() -> None:
    def whole() -> Any:
        held = {"b": X.copy(), "c": X * 2}

        def f(x: Any) -> Any:
            before = held["b"] * 1
            held["b"][...] = x
            held["c"][:] = held["b"]
            return before, held["c"] + 1

        return f

    def part() -> Any:
        a = np.arange(10.0)
        held = {"a": a, "v": a[2:7]}

        def f(x: Any) -> Any:
            held["v"][...] = x
            return x * held["a"][:5]

        return f

    alike(whole)
    alike(part)


def test_state_of_many_kinds() -> None:
    """What is left in what is captured is what the function itself leaves there."""

    class A:
        k: Any = 2.0
        new: Any = None

    def make() -> Any:
        a = A()
        held: dict[str, Any] = {"n": 3, "a": np.ones(5), "b": np.zeros(5)}
        history: list[Any] = []

        def f(x: Any) -> Any:
            held["n"] -= 1
            held["a"], held["b"] = held["b"], held["a"]
            a.k *= 0.5
            a.new = x * held["n"] * 1.0
            history[:] = [x * 2, (x + 1, held["n"])]
            if x[0] > 1:
                held["b"] = held["b"] + x
            return held["a"] * 2, held["n"] * 1, a.k

        def change(i: int) -> None:
            states.append(({**held}, {**vars(a)}, [*history]))
            if i == 3:
                held["b"] = held["a"]

        return f, change

    states: list[Any] = []
    alike(make)
    for one, two in zip(states[::2], states[1::2], strict=True):
        same(two, one)
        kinds = [[type(v) for v in part.values()] for part in (one[0], one[1], two[0], two[1])]
        assert kinds[:2] == kinds[2:]
        assert [type(v) for v in two[2]] == [type(v) for v in one[2]]


def test_plain_arrays_that_are_written_to() -> None:
    def make(what: str) -> Any:
        names: dict[str, Any] = {"total": np.zeros(3)}
        exec(f"def f(x):\n    total[0] += {what}\n    return x * total[0]", names)
        return names["f"]

    alike(lambda: make("1"))
    alike(lambda: make("x[0]"))


def test_gradients_are_asked_for_later() -> None:
    w = Value(X)
    jitted = ad.jit(lambda x: (w * x).sum())
    with ad.no_grad():
        jitted(X)
        jitted(X)
    jitted(X).backward()
    same(w.grad, X)


def test_large_integers() -> None:
    numbers = [1, 2**40, 2**63, 2**70, -(2**70), 1]

    def make() -> Any:
        held: dict[str, Any] = {"k": 1}
        return lambda x: x * held["k"], lambda i: held.update(k=numbers[i % 6])

    alike(make, [(X,)] * 12)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    w: Any
    k: Any = 1.0


def test_frozen_objects() -> None:
    def make() -> Any:
        held = {"f": Frozen(X.copy())}

        def change(i: int) -> None:
            held["f"].w[0] = i
            if i == 3:
                held["f"] = Frozen(X * 2, 3.0)

        return lambda x: x * held["f"].w * held["f"].k, change

    alike(make)


def test_the_order_of_keys() -> None:
    def make() -> Any:
        held = {"a": 1.0, "b": 2.0, 1: 3.0}

        def change(i: int) -> None:
            if i == 2:
                held["a"] = held.pop("a")
            if i == 3:
                held[True] = held.pop(1)

        return lambda x: [x * k for k in held.values()] + [type(k) is bool for k in held], change

    alike(make)


def test_arrays_of_objects() -> None:
    def make() -> Any:
        held = np.array([{"k": 1.0}, X], object)
        return lambda x: x * held[0]["k"] + held[1], lambda i: held[0].update(k=i * 0.5)

    alike(make)


# -- random numbers


@pytest.mark.parametrize(
    "make",
    [
        lambda held: lambda x: x + held[0].normal(size=5),
        lambda held: lambda x, r=held[0]: x + r.normal(size=5),
        lambda held: (lambda draw: lambda x: x + draw(5))(held[0].normal),
        lambda held: lambda x: x + held[1].randn(5),
        lambda held: lambda x: x + held[2].random(),
    ],
)
def test_generators_wherever_they_are(make: Any) -> None:
    alike(lambda: make((np.random.default_rng(0), np.random.RandomState(0), random.Random(0))))


def test_the_generator_of_python() -> None:
    jitted = ad.jit(lambda x: x + random.random())
    assert len({jitted(X).tobytes() for _ in range(4)}) == 4


def test_generators_without_a_seed() -> None:
    jitted = ad.jit(lambda x: x + np.random.default_rng().normal())
    assert len({jitted(X).tobytes() for _ in range(4)}) == 4
    jitted = ad.jit(lambda x: x + np.random.default_rng(0).normal(), strict=True)
    assert len({jitted(X).tobytes() for _ in range(4)}) == 1


def test_generators_as_arguments() -> None:
    one, two = np.random.default_rng(0), np.random.default_rng(0)
    jitted = ad.jit(lambda x, rng: x + rng.normal(size=5))
    for _ in range(4):
        same(jitted(X, one), X + two.normal(size=5))


# -- arguments


class Config:
    def __init__(self, k: Any) -> None:
        self.k = k


class Equal(Config):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def test_objects_as_arguments() -> None:
    config, held = Config(1.0), [1.0]

    def scaled(x: Any) -> Any:
        return x * held[0]

    jitted = ad.jit(lambda x, c, f: f(x) + c.k)
    for i in range(4):
        config.k = held[0] = float(i)
        same(jitted(X, config, scaled), X * i + i)
    jitted = ad.jit(lambda x, c: x * c.k)
    for i in range(4):
        same(jitted(X, Equal(float(i))), X * i)


class Pair(NamedTuple):
    a: Any
    b: Any


def test_named_tuples() -> None:
    def f(p: Any) -> Any:
        return [p.a[0] * (len(p.b) if p.b is not None else 7), len(p.a)]

    pairs = [Pair([X], None), Pair([X], "a"), Pair([X], "bc"), Pair([X, X], [X]), Pair([X], [X, X]), Pair([X], [])]
    alike(lambda: f, [(p,) for p in pairs * 2])


@dataclasses.dataclass
class Data:
    x: Any
    s: Any = dataclasses.field(default=1, metadata={"static": True})


@pytest.mark.parametrize(
    "statics",
    [
        [1, 1.0, True, 2],
        [[1.0], [2.0], [3.0]],
        [X, 2 * X],
        [lambda x: x, lambda x: 2 * x],
        [Config(1.0), Config(2.0), Config(2)],
        [0.0, -0.0],
    ],
)
def test_static_fields(statics: Any) -> None:
    def f(d: Any) -> Any:
        s = d.s.k if isinstance(d.s, Config) else d.s[0] if isinstance(d.s, list) else d.s
        return s(d.x) if callable(s) else d.x * s

    alike(lambda: f, [(Data(np.arange(3), s),) for s in statics * 2])


class Normed(nn.Module):
    def __init__(self) -> None:
        self.scale: Any = Value(np.ones(5))
        self.mean = Value(np.zeros(5), requires_grad=False)
        self.plain = np.zeros(5)
        self.options = {"shift": [0.0]}

    def forward(self, x: Any) -> Any:
        return (x - self.mean - self.plain) * self.scale + self.options["shift"][0] + SCALE


def test_modules_with_more_than_parameters(monkeypatch: Any) -> None:
    def f(model: Any, x: Any) -> Any:
        return (model(x) ** 2).sum()

    model, jitted = Normed(), ad.jit(f)
    for i in range(5):
        model.mean.data = X * i
        model.plain[0] = i
        model.options["shift"][0] = float(i)
        monkeypatch.setitem(globals(), "SCALE", float(i // 2))
        with ad.no_grad():
            same(float(jitted(model, X)), float(f(model, X)))


def test_keys_of_dicts() -> None:
    alike(lambda: lambda d: [type(k) is bool for k in d], [({1: X},), ({True: X},), ({1: X},)])
    alike(
        lambda: lambda d: d["a"] * (2 if type(d) is defaultdict else 3),
        [(defaultdict(None, a=X),), (OrderedDict(a=X),)],
    )


def test_arrays_without_axes() -> None:
    def f(x: Any) -> Any:
        y = x
        y += 1
        x[...] *= 2
        return x

    jitted = ad.jit(f)
    for i in range(3):
        same(jitted(np.array(float(i))), f(np.array(float(i))))
    jitted = ad.jit(lambda x: x.copy()[None])
    same((jitted(np.array(1.0)), jitted(np.float64(1.0))), (np.ones(1), np.ones(1)))


def test_the_order_in_memory() -> None:
    a = np.arange(6.0).reshape(2, 3)
    alike(lambda: lambda x: x.ravel("K") * np.arange(6), [(a,), (a.copy("F"),), (a,), (a.T,)])


def test_the_kinds_of_numbers() -> None:
    """Python's number with float32 makes float32, NumPy's makes float64; and Python's make Python's."""
    functions: list[Any] = [
        lambda x, s: x * np.sin(s),
        lambda x, s: x * np.multiply(s, 2),
        lambda x, s: x * (s * 2) + (s**2 + 1) / s,
        lambda x, s: x * abs(-s),
        lambda x, s: x * max(s, 0.1),
    ]
    for f in functions:
        alike(functools.partial(lambda f: f, f), [(X.astype("f4"), s) for s in (0.5, 0.25, 0.5)])
    for f in (lambda s: s * 2, lambda s: (s, -s, s > 0, s // 0.3), lambda s: 1 / s):
        jitted = ad.jit(f)
        for s in (0.5, 0.25, 0.0, 0.75):
            expected, found = outcome(f, (s,)), outcome(jitted, (s,))
            assert found == expected
            assert type(found) is type(expected)


class Result:
    pass


def in_object(x: Any) -> Any:
    result = Result()
    result.y = x * 2  # type: ignore[attr-defined]
    return result


@pytest.mark.parametrize(
    ("f", "opened"),
    [
        (in_object, lambda r: r.y),
        (lambda x: lambda y: x + y, lambda r: r(1.0)),
        (lambda x: {"f": lambda y: x + y}, lambda r: r["f"](1.0)),
        (lambda x: (x * i for i in range(3)), list),
        (lambda x: {1, 2, 3}, lambda r: [r.pop(), len(r)]),
        (lambda x: deque([x]), list),
    ],
)
def test_results_that_hold_arrays(f: Any, opened: Any) -> None:
    jitted = ad.jit(f)
    for i in range(4):
        found = opened(jitted(X * i))
        same(found, opened(f(X * i)))
        assert not isinstance(found, Value)


# -- errors


def test_errors_in_some_calls() -> None:
    def make(at: int) -> Any:
        state = {"n": 0}

        def f(x: Any) -> Any:
            state["n"] += 1
            if state["n"] == at:
                raise KeyError("mine")
            return x * state["n"]

        return f

    for at in (1, 2, 3, 4):
        alike(functools.partial(make, at))


def factor(a: Any) -> Any:
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        return -a


def inverse_of_whole(a: Any) -> Any:
    try:
        return 1 / int(a[0, 0])
    except ValueError:
        return -1.0


@pytest.mark.parametrize("f", [factor, inverse_of_whole, np.linalg.inv, lambda a: np.take(a, a[0].astype(int))])
def test_errors_that_depend_on_numbers(f: Any) -> None:
    good, bad = np.eye(2), np.array([[-9.0, np.nan], [np.nan, np.nan]])
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        for calls in ([good, good, bad, good, bad], [bad, good, good, bad]):
            alike(lambda: f, [(a,) for a in calls])


@pytest.mark.parametrize("f", [np.mean, np.var, np.std])
def test_axes_that_there_are_not(f: Any) -> None:
    alike(lambda: lambda x: f(x, axis=0), [(np.array(1.0),), (np.array(2.0),), (np.ones(2),)])


def test_numbers_as_errors() -> None:
    def f(x: Any) -> Any:
        with np.errstate(all="raise"):
            try:
                return 1 / x
            except FloatingPointError:
                return x - 100

    alike(lambda: f, [(X,), (X,), (X * 0,), (X,)])


def test_a_run_that_fails_is_undone() -> None:
    def make() -> Any:
        state: Any = {"n": 0, "list": [], "w": X.copy(), "rng": np.random.default_rng(0)}

        def f(x: Any) -> Any:
            state["n"] += 1
            state["list"].append(state["n"])
            state["w"] += 1
            y = state["rng"].normal(size=5)
            text = np.array2string(x)
            return x * len(state["list"]) * sum(state["list"]) + state["w"] + y + 0 * len(text)

        return f

    alike(make)


def test_what_only_plain_arrays_can_do() -> None:
    """Where recording raises an exception that the function itself does not, it runs as it is."""

    def f(x: Any) -> Any:
        return memoryview(x).nbytes * x

    alike(lambda: f)
    alike(lambda: lambda x: np.multiply(x, 2, out=np.empty(5)) + np.broadcast_to(x, (2, 5)))


def test_buffers_in_a_late_backward() -> None:
    """The module of the function is watched, though only ours run when its derivative is recorded."""
    names: dict[str, Any] = {"np": np}
    exec("def f(x):\n    b = np.empty(5)\n    np.multiply(x, 2, out=b)\n    b[0] = x[1]\n    return b.sum()", names)
    w = Value(X)
    ad.jit(names["f"])(w).backward()
    same(w.grad, np.array([0.0, 3.0, 2.0, 2.0, 2.0]))


def test_numbers_that_are_not_differentiated() -> None:
    """`float` of an argument that is not tracked."""

    def f(w: Any, x: Any) -> Any:
        return (w * w * float(x.sum())).sum()

    for make in (ad.grad, ad.hessian, ad.jacobian):
        for x in (X, 2 * X):
            same(make(ad.jit(f))(X, x), make(f)(X, x))


def test_arguments_that_are_written_to() -> None:
    def f(w: Any, x: Any) -> Any:
        x *= 2
        return (w * x * w).sum()

    for make in (ad.grad, ad.hessian):
        same(make(ad.jit(f))(X, X.copy()), make(f)(X, X.copy()))


def test_shapes_without_elements() -> None:
    alike(lambda: lambda x, m: x[m].shape, [(np.ones((0, 3)), np.bool_(b)) for b in (True, False, True)])
    alike(lambda: lambda x, m: x[m] + 1, [(np.ones((0, 3)), np.bool_(b)) for b in (True, False, True)])


# -- threads, and many signatures


def test_other_threads_during_a_recording() -> None:
    w, held, found = Value(X, requires_grad=False), {"a": X.copy()}, []

    def f(x: Any) -> Any:
        y = x * w + held["a"]
        time.sleep(0.1)
        return y * 2

    def work() -> None:
        time.sleep(0.03)
        for _ in range(3):
            found.append((w * 2 + held["a"]).data)
            found.append(jitted(X))

    jitted = ad.jit(f)
    expected = [3 * X, 2 * X * X + 2 * X] * 3
    jitted(X)
    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(2):
        same(jitted(np.ones((2, 5))), np.tile(4 * X, (2, 1)))
    thread.join()
    assert [type(y) for y in found] == [np.ndarray] * 6
    same(found, expected)


def test_signatures_are_forgotten() -> None:
    jitted = ad.jit(lambda x, n: x * n)
    for i in range(1000):
        jitted(X, i)
    assert jitted.cache_info().signatures <= 512
    same(jitted(X, 3), X * 3)


def test_warnings_point_to_the_call() -> None:
    with pytest.warns(JitWarning) as caught:
        ad.jit(lambda x: np.array2string(x))(X)
    assert caught[0].filename == __file__


@functools.lru_cache
def weights(n: int) -> Any:
    return np.linspace(0.0, 1.0, n)


def test_caches() -> None:
    alike(lambda: lambda x: x * weights(len(x)))


@pytest.mark.parametrize("module", ["autodiff.training", "numpy", "pytest"])
def test_closures_of_functions_from_packages_are_looked_into(module: str) -> None:
    """A library that makes a function of a user's model must not get a program of the model as it was."""
    w = Value(2.0)
    rate = [3.0]

    def made(x: Any) -> Any:
        return (x * w * rate[0]).data

    made.__module__ = module
    f = ad.jit(made)
    assert [float(f(1.0)) for _ in range(3)] == [6.0] * 3
    w.data = np.float64(5.0)
    assert float(f(1.0)) == 15.0
    rate[0] = 1.0
    assert float(f(1.0)) == 5.0


def test_a_function_of_an_installed_package_reads_its_globals() -> None:
    namespace: dict[str, Any] = {"__name__": "pytest", "scale": 2.0}
    exec("def f(x):\n    return x * scale", namespace)
    f = ad.jit(namespace["f"])
    assert [float(f(3.0)) for _ in range(3)] == [6.0] * 3
    namespace["scale"] = 4.0
    assert float(f(3.0)) == 12.0
