"""Transforms are objects that behave: pickled, sent to other processes and threads, inspected, copied, decorating."""

from __future__ import annotations

import concurrent.futures as futures
import copy
import functools
import inspect
import multiprocessing
import pickle
import pydoc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import OperandError, Value, nn

ROOT = Path(ad.__file__).parent.parent


def cube(x: Any) -> Any:
    """The third power."""
    return (x**3).sum()


def scaled(factor: Any, x: Any, *, power: int = 2) -> Any:
    return (factor * x**power).sum()


@ad.grad
def slope(x: Any) -> Any:
    """A decorated function."""
    return (x**2).sum()


@ad.value_and_grad(argnums="w", has_aux=True)
def fit(x: Any, w: Any = 2.0) -> Any:
    return w * w * x, {"x": x}


class Model:
    """Its methods are differentiated, in every way that they can be written."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, x: Any) -> Any:
        return self.factor * x * x

    def energy(self, x: Any) -> Any:
        return self.factor * x * x

    @ad.grad(argnums=1)
    def force(self, x: Any) -> Any:
        return self.factor * x * x

    @ad.grad(argnums="x")
    def named(self, x: Any) -> Any:
        return self.factor * x * x

    @staticmethod
    @ad.grad
    def above(x: Any) -> Any:
        return x * x

    @ad.grad
    @staticmethod
    def below(x: Any) -> Any:
        return x * x

    @classmethod
    @ad.grad(argnums=1)
    def of_class(cls, x: Any) -> Any:
        return x * x if cls.__name__ == "Model" else 1 / 0


class Net(nn.Module):
    def __init__(self) -> None:
        self.w = Value(3.0)

    @ad.grad
    def step(self, x: Any) -> Any:
        return self.w * self.w * x


# -- pickles


PICKLED: dict[str, tuple[Any, tuple[Any, ...], Any]] = {
    "by name": (ad.grad(cube), (2.0,), 12.0),
    "numpy": (ad.grad(np.exp), (0.0,), 1.0),
    "options": (ad.grad(scaled, (0, 1)), (2.0, 3.0), (9.0, 12.0)),
    "names": (ad.grad(scaled, argnums="x"), (2.0, 3.0), 12.0),
    "nested": (ad.grad(ad.grad(cube)), (2.0,), 12.0),
    "value_and_grad": (ad.value_and_grad(cube), (2.0,), (8.0, 12.0)),
    "decorated": (slope, (3.0,), 6.0),
    "decorated with arguments": (fit, (1.0, 3.0), ((9.0, {"x": 1.0}), 6.0)),
    "of a decorated one": (ad.grad(slope), (3.0,), 2.0),
    "partial": (ad.grad(functools.partial(scaled, 2.0, power=3)), (1.0,), 6.0),
    "partial of it": (functools.partial(ad.grad(scaled, 1), 2.0), (3.0,), 12.0),
    "bound method": (ad.grad(Model(5.0).energy), (1.0,), 10.0),
    "decorated method": (Model(5.0).force, (1.0,), 10.0),
    "callable object": (ad.grad(Model(5.0)), (1.0,), 10.0),
    "static method": (Model.above, (1.0,), 2.0),
    "class method": (Model.of_class, (1.0,), 2.0),
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", PICKLED)
def test_pickles(name: str, protocol: int) -> None:
    transform, args, expected = PICKLED[name]
    assert transform(*args) == expected
    again = pickle.loads(pickle.dumps(transform, protocol))
    assert again(*args) == expected
    assert "object at" in repr(transform) or "function" in repr(transform) or repr(again) == repr(transform)
    assert inspect.signature(again) == inspect.signature(transform)


def test_a_decorated_function_comes_back_as_itself() -> None:
    assert pickle.loads(pickle.dumps(slope)) is slope
    assert copy.copy(slope) is slope and copy.deepcopy({"f": slope})["f"] is slope


def test_what_has_no_name_cannot_be_pickled() -> None:
    local = lambda x: x * x
    for f in (ad.grad(local), ad.grad(ad.grad(lambda x: x))):
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            pickle.dumps(f)


# -- processes and threads


def in_pool(context: str, transform: Any, args: list[Any]) -> list[Any]:
    with futures.ProcessPoolExecutor(2, multiprocessing.get_context(context)) as pool:
        return list(pool.map(transform, args))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_pool_of_forked_processes() -> None:
    assert in_pool("fork", ad.grad(cube), [1.0, 2.0]) == [3.0, 12.0]
    assert in_pool("fork", slope, [1.0, 2.0]) == [2.0, 4.0]


def test_a_pool_of_fresh_processes() -> None:
    with futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(ad.grad(cube), [1.0, 2.0])) == [3.0, 12.0]
        assert list(pool.map(slope, [1.0])) == [2.0]
        assert pool.submit(Model(5.0).force, 1.0).result() == 10.0
        net = Net()
        result = pool.submit(net.step, 2.0).result()
        assert type(result) is Net and result.w == 12.0


def test_threads_share_one_transform() -> None:
    g, xs = ad.grad(scaled, argnums=("x", "factor")), np.linspace(0.0, 1.0, 200)
    with futures.ThreadPoolExecutor(4) as pool:
        for x, (by_x, by_factor) in zip(xs, pool.map(lambda x: g(2.0, x=x), xs), strict=True):
            assert by_x == 4 * x and by_factor == x**2


def test_small_picklable_parallel_and_alone() -> None:
    """The story of the manual, in a process that has imported nothing else."""
    program = (
        "import numpy as np, autodiff as ad\n"
        "import pickle, concurrent.futures as cf, sys\n"
        "g = pickle.loads(pickle.dumps(ad.grad(np.linalg.norm)))\n"
        "run = lambda i: round(float(g(np.array([3., 4.]))[0]), 6)\n"
        "assert list(cf.ThreadPoolExecutor(4).map(run, range(8))) == [.6] * 8\n"
        "assert not {'torch', 'jax', 'numba', 'scipy', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_a_function_of_main_survives_the_round_trip() -> None:
    program = (
        "import numpy as np, autodiff as ad, pickle\n"
        "@ad.grad\n"
        "def f(x): return x * x\n"
        "assert pickle.loads(pickle.dumps(f)) is f and f(2.0) == 4.0\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


# -- what Python's tools say


def test_signatures() -> None:
    assert str(inspect.signature(ad.grad(cube))) == str(inspect.signature(cube))
    assert str(inspect.signature(ad.grad(ad.grad(scaled)))) == str(inspect.signature(scaled))
    assert list(inspect.signature(Model(1.0).force).parameters) == ["x"]
    assert list(inspect.signature(Model.force).parameters) == ["self", "x"]
    assert list(inspect.signature(Model.of_class).parameters) == ["x"]
    assert list(inspect.signature(ad.grad(functools.partial(scaled, 1.0))).parameters) == ["x", "power"]
    assert list(inspect.signature(ad.grad(Model(1.0))).parameters) == ["x"]
    assert inspect.unwrap(ad.grad(ad.grad(cube))) is cube
    assert list(inspect.signature(ad.grad).parameters)[:2] == ["f", "argnums"]


def test_names_docs_and_repr() -> None:
    g = ad.grad(cube)
    assert (g.__name__, g.__qualname__, g.__module__, g.__doc__) == ("cube", "cube", __name__, "The third power.")
    assert repr(g) == "grad(cube)"
    assert repr(ad.value_and_grad(ad.grad(cube), 0, has_aux=True)) == "value_and_grad(grad(cube), 0, has_aux=True)"
    assert repr(ad.grad(scaled, argnums=("x", 0))) == "grad(scaled, argnums=('x', 0))"
    assert repr(ad.grad(Model(1.0))) == "grad(Model)" and repr(ad.grad(functools.partial(cube))) == "grad(partial)"
    assert repr(slope) == "grad(slope)" and repr(fit) == "value_and_grad(fit, argnums='w', has_aux=True)"
    assert "grad(cube)" in str([g]) and "cube" in f"{g}"


def test_help() -> None:
    text = pydoc.plain(pydoc.render_doc(ad.grad))
    assert "argnums" in text and "gradient of a scalar-valued" in text
    assert "The third power." in (inspect.getdoc(ad.grad(cube)) or "")
    assert pydoc.render_doc(ad.grad(cube)) and pydoc.render_doc(Model)
    assert callable(ad.grad(cube)) and inspect.getsource(inspect.unwrap(ad.grad(cube))).startswith("def cube")


def test_equality_and_hash_are_by_identity() -> None:
    a, b = ad.grad(cube), ad.grad(cube)
    assert a == a and a != b and len({a, b, a}) == 2 and {a: 1}[a] == 1


def test_copies() -> None:
    g = ad.grad(scaled, (0, 1))
    for other in (copy.copy(g), copy.deepcopy(g), copy.deepcopy([g])[0]):
        assert other(2.0, 3.0) == (9.0, 12.0) and repr(other) == repr(g)
    model = Model(5.0)
    other = copy.deepcopy(ad.grad(model))
    model.factor = 0.0
    assert other(1.0) == 10.0  # the object is part of what is copied
    assert copy.deepcopy(ad.grad(lambda x: x * x))(2.0) == 4.0


def test_attributes_can_be_set() -> None:
    g = ad.grad(cube)
    g.note = "mine"
    assert g.note == "mine"


# -- as decorators


def test_decorators_with_and_without_arguments() -> None:
    @ad.grad()
    def f(x: Any) -> Any:
        return x * x

    @ad.grad(argnums=(0, 1))
    def g(x: Any, y: Any) -> Any:
        return x * y

    assert f(2.0) == slope(2.0) == 4.0 and g(2.0, 3.0) == (3.0, 2.0)
    assert fit(1.0, w=3.0) == ((9.0, {"x": 1.0}), 6.0)
    assert ad.grad(argnums=1)(scaled)(2.0, 3.0) == 12.0
    assert ad.grad(f=cube)(2.0) == 12.0


def test_methods() -> None:
    model = Model(5.0)
    assert model.force(1.0) == model.named(1.0) == model.named(x=1.0) == ad.grad(model.energy)(1.0) == 10.0
    assert Model.force(model, 1.0) == 10.0
    assert Model.above(3.0) == model.above(3.0) == Model.below(3.0) == model.below(3.0) == 6.0
    assert Model.of_class(3.0) == model.of_class(3.0) == 6.0
    with pytest.raises(ZeroDivisionError):
        type("Other", (Model,), {}).of_class(3.0)
    assert model.force.__self__ is model
    with pytest.raises(OperandError, match=r"argument 0 is a .*Model"):
        ad.grad(Model.energy)(model, 1.0)


def test_a_method_of_a_module_differentiates_it() -> None:
    net = Net()
    gradient = net.step(2.0)
    assert type(gradient) is Net and gradient.w == 12.0 and net.w.grad is None


def test_what_is_no_function_is_refused() -> None:
    for thing in (3.0, "text", Value(1.0), cube(np.ones(2))):
        with pytest.raises(OperandError, match=r"grad.*pass the function itself"):
            ad.grad(thing)
    with pytest.raises(OperandError, match=r"classmethod.*above"):
        ad.grad(classmethod(lambda cls, x: x))


CALLABLES: dict[str, Callable[..., Any]] = {
    "class": float,
    "ufunc": np.square,
    "object ufunc method": np.add.reduce,
    "lru_cache": functools.lru_cache(None)(lambda x: x * 3.0),
    "singledispatch": functools.singledispatch(lambda x: x * 3.0),
    "partialmethod's": functools.partial(lambda a, x: a * x, 3.0),
    "wraps": functools.wraps(cube)(lambda *args: 3.0 * args[0]),
    "Module": nn.Sequential(lambda x: 3.0 * x),
}


@pytest.mark.parametrize("name", [name for name in CALLABLES if name not in ("class", "object ufunc method")])
def test_callables_of_all_kinds(name: str) -> None:
    f = CALLABLES[name]
    assert ad.grad(f)(1.5) == 3.0
    assert ad.grad(f).__wrapped__ is f


def test_classes_and_methods_of_ufuncs() -> None:
    with pytest.raises(ad.DetachError, match="float"):
        ad.grad(float)(1.0)
    assert ad.grad(np.add.reduce)(np.ones(2)).tolist() == [1.0, 1.0]


def test_vectorized_functions() -> None:
    """np.vectorize calls the transform with one number at a time; as f it is NumPy's, and refused by name."""
    g = np.vectorize(ad.grad(cube))
    assert g(np.array([1.0, 2.0])).tolist() == [3.0, 12.0]
    v = np.vectorize(lambda x: x * x)
    with pytest.raises(ad.DetachError, match="plain array"):
        ad.grad(lambda x: v(x).sum())(np.array([1.0, 2.0]))
