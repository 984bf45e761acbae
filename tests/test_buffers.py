"""Plain NumPy code inside transforms: what the stand-ins give, where they are put, and that they are taken away."""

from __future__ import annotations

import copy
import functools
import importlib
import os
import pickle
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.linalg as la
import pytest
from numpy import array as make_array
from numpy import zeros

import autodiff as ad
from autodiff import Value, buffers

X = np.array([1.0, 2.0, 3.0])


def numpy_itself() -> Any:
    """A name for it in this module would be swapped too."""
    return sys.modules["numpy"]


def fill(x: Any) -> Any:
    out = np.empty(len(x))
    for i in range(len(x)):
        out[i] = x[i] ** 2
    return out.sum()


def during(f: Any) -> Any:
    """What `f()` gives while a transform runs a function of this module."""
    seen = []

    def run(x: Any) -> Any:
        seen.append(f())
        return x

    ad.grad(run)(1.0)
    return seen[0]


# -- what the stand-ins give


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.zeros(3),
        lambda: np.ones((2, 3), np.float32),
        lambda: np.empty(2, dtype=complex),
        lambda: np.full(3, 0.5),
        lambda: np.eye(2),
        lambda: np.array([1.0, 2.0]),
        lambda: np.array(X),
        lambda: np.asarray(range(3), dtype=float),
        lambda: np.zeros_like(X),
        lambda: np.linspace(0, 1, 4),
        lambda: np.mgrid[0:1:3j],
        lambda: np.c_[X, X],
        lambda: zeros(2),
        lambda: make_array([1.5]),
    ],
)
def test_real_and_complex_buffers_are_untracked_values(make: Any) -> None:
    plain, value = make(), during(make)
    assert type(plain) is np.ndarray
    assert type(value) is Value and not value.requires_grad
    assert value.dtype == plain.dtype and value.shape == plain.shape


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.zeros(3, int),
        lambda: np.arange(3),
        lambda: np.array([True, False]),
        lambda: np.array(["a", "b"]),
        lambda: np.array([None, 1.0]),
        lambda: np.full(2, 1),
        lambda: np.mgrid[0:2, 0:2],
        lambda: np.r_[1, 2],
    ],
)
def test_others_stay_arrays(make: Any) -> None:
    made = during(make)
    assert type(made) is np.ndarray and made.dtype == make().dtype
    assert made.tolist() == make().tolist()


def test_an_array_that_is_given_back_is_the_same_one() -> None:
    """np.asarray of an ndarray is a name for its memory, so it must not become a Value of its own."""
    whole = np.zeros((2, 3))

    def f(x: Any) -> Any:
        assert np.asarray(whole) is whole and np.ascontiguousarray(whole) is whole
        row = np.array(whole[0], copy=None)
        row[:] = 7.0
        assert np.asarray(x) is x
        return x.sum()

    ad.grad(f)(X)
    assert whole.tolist() == [[7.0] * 3, [0.0] * 3]


def test_0d_buffers() -> None:
    def f(x: Any) -> Any:
        total = np.zeros(())
        total[()] = x * x
        total += x
        return total

    assert ad.grad(f)(2.0) == 5.0


def test_lists_of_values_in_functions_of_arrays() -> None:
    def f(x: Any) -> Any:
        terms = [x[0] ** 2, x[1], 3.0]
        return np.sum(terms) + np.mean([x, 2 * x]) + np.max(terms) + np.hstack(([x[2] ** 2], x)).sum() + la.norm([x[2]])

    np.testing.assert_allclose(ad.grad(f)(X), [2 + 0.5 + 1, 1 + 0.5 + 1, 0.5 + 6 + 1 + 1])


def test_rotation() -> None:
    def f(x: Any) -> Any:
        R = np.array([[np.cos(x[0]), -np.sin(x[0])], [np.sin(x[0]), np.cos(x[0])]])
        return (R @ np.array([x[1], x[2]]))[0]

    c, s = np.cos(1.0), np.sin(1.0)
    np.testing.assert_allclose(ad.grad(f)(X), [-s * 2 - c * 3, c, -s])


def test_numpy_otherwise() -> None:
    """Everything but the creation functions is the very same object, and those look as NumPy's."""
    inside = during(lambda: np)
    assert inside is not np and isinstance(inside, types.ModuleType) and inside.__name__ == "numpy"
    for name in ("ndarray", "float64", "sin", "add", "fft", "pi", "newaxis", "dtype", "errstate"):
        assert getattr(inside, name) is getattr(np, name)
    assert inside.linalg.LinAlgError is np.linalg.LinAlgError and inside.random.Generator is np.random.Generator
    assert set(dir(np)) <= set(dir(inside))
    assert inside.zeros.__name__ == "zeros" and inside.zeros.__doc__ == np.zeros.__doc__
    with pytest.raises(AttributeError):
        inside.no_such_name


def test_outside_of_a_transform_they_behave_as_numpy() -> None:
    """As seen by another thread, or by one who kept a reference."""
    kept = during(lambda: np)
    assert type(kept.zeros(3)) is np.ndarray and type(kept.array([1.0])) is np.ndarray
    assert type(kept.mgrid[0:1:3j]) is np.ndarray and kept.r_.axis == np.r_.axis
    with pytest.raises(ad.DetachError):
        kept.array([Value(1.0), Value(2.0)])
    with pytest.raises(TypeError):
        kept.zeros()


def test_they_are_pickled_and_copied_as_numpys() -> None:
    inside, creator = during(lambda: (np, np.zeros))
    assert pickle.loads(pickle.dumps(inside)) is np and copy.deepcopy(inside) is np
    assert pickle.loads(pickle.dumps(inside.linalg)) is np.linalg
    assert pickle.loads(pickle.dumps(creator)) is np.zeros


def test_what_is_set_on_numpy_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = during(lambda: np)
    monkeypatch.setattr(np, "brand_new", 1, raising=False)
    assert inside.brand_new == 1
    inside.newer = 2
    assert numpy_itself().newer == 2
    del numpy_itself().newer


# -- they are taken away again


def test_names_are_put_back() -> None:
    def fails(x: Any) -> Any:
        raise KeyError(np.zeros)

    ad.grad(fill)(X)
    with pytest.raises(KeyError):
        ad.grad(fails)(X)
    assert (
        np is numpy_itself()
        and zeros is numpy_itself().zeros
        and la is numpy_itself().linalg
        and make_array is numpy_itself().array
    )


def test_nested() -> None:
    def outer(x: Any) -> Any:
        g = ad.grad(fill)(x)
        assert np is not numpy_itself(), "the inner transform has put the names back"
        return fill(g) + np.array([x[0]])[0]

    np.testing.assert_allclose(ad.grad(outer)(X), 8 * X + [1, 0, 0])
    assert np is numpy_itself()


def test_a_name_that_the_program_rebinds_is_left_so() -> None:
    other = types.SimpleNamespace(zeros=None)
    module = types.ModuleType("rebinding")
    exec("import numpy as np\ndef f(x, other):\n    global np\n    np = other\n    return x", module.__dict__)
    assert ad.grad(module.f)(1.0, other) == 1.0
    assert module.np is other


def test_generators() -> None:
    """A generator gets Values while a transform drives it, and NumPy's arrays otherwise."""

    def buffers_of() -> Iterator[Any]:
        while True:
            yield type(np.zeros(1))

    running = buffers_of()
    assert [next(running), during(lambda: next(running)), next(running)] == [np.ndarray, Value, np.ndarray]


def test_threads_started_inside_see_numpy() -> None:
    seen = []

    def f(x: Any) -> Any:
        thread = threading.Thread(target=lambda: seen.append(type(np.zeros(1))))
        thread.start()
        thread.join()
        return x

    ad.grad(f)(1.0)
    assert seen == [np.ndarray]


def test_nothing_is_kept_of_a_namespace_that_is_no_modules() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("import numpy as np\ndef f(x):\n    out = np.zeros(1)\n    out[0] = x\n    return out.sum()", namespace)
    assert ad.grad(namespace["f"])(2.0) == 1.0
    assert id(namespace) not in buffers.SWAPS.groups and id(namespace) not in buffers.SWAPS.homes
    assert namespace["np"] is np


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_does_not_inherit_the_lock() -> None:
    holds, done = threading.Event(), threading.Event()

    def hold() -> None:
        with buffers.SWAPS.lock:
            holds.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait(10)
    pid = os.fork()
    if not pid:
        os._exit(0 if buffers.SWAPS.lock.acquire(timeout=1) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    done.set()
    thread.join()


# -- where they are put


@contextmanager
def imported(folder: Path, **sources: str) -> Iterator[Any]:
    """Modules written to a folder and imported; `a__b` is module b of package a."""
    for name, source in sources.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent != folder:
            (path.parent / "__init__.py").touch()
        path.write_text(source)
    names = [name.replace("__", ".") for name in sources]
    tops = {name.partition(".")[0] for name in names}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield types.SimpleNamespace(**{n.replace(".", "__"): importlib.import_module(n) for n in names})
    finally:
        sys.path.remove(str(folder))
        for name in [n for n in sys.modules if n.partition(".")[0] in tops]:
            del sys.modules[name]


STACK = "import numpy as np\ndef stack(x):\n    return np.array([x[0], x[1] ** 2])\n"


def test_neighbours_in_the_package(tmp_path: Path) -> None:
    user = "import numpy as np\nfrom .deep.tools import stack\ndef f(x):\n    return stack(x).sum()\n"
    with imported(tmp_path, bf_package__user=user, bf_package__deep__tools=STACK) as m:
        assert ad.grad(m.bf_package__user.f)(X).tolist() == [1.0, 4.0, 0.0]
        assert m.bf_package__deep__tools.np is np


def test_neighbours_in_the_folder(tmp_path: Path) -> None:
    user = "from bf_tools import stack\ndef f(x):\n    return stack(x).sum()\n"
    with imported(tmp_path, bf_user=user, bf_tools=STACK) as m:
        assert ad.grad(m.bf_user.f)(X).tolist() == [1.0, 4.0, 0.0]


def test_a_module_that_is_loaded_late(tmp_path: Path) -> None:
    user = "def f(x):\n    return x.sum()\ndef g(x):\n    import bf_late\n    return bf_late.stack(x).sum()\n"
    with imported(tmp_path, bf_early=user) as m, imported(tmp_path, bf_late=STACK):
        sys.modules.pop("bf_late")
        ad.grad(m.bf_early.f)(X)
        importlib.import_module("bf_late")
        assert ad.grad(m.bf_early.g)(X).tolist() == [1.0, 4.0, 0.0]


def test_numpy_that_is_imported_late(tmp_path: Path) -> None:
    """What was found in a module is not taken for granted: new names are seen, and names that mean NumPy now."""
    user = (
        "np = None\ndef f(x):\n    return x.sum()\n"
        "def g(x):\n    return np.array([x[0]]).sum()\ndef h(x):\n    return onp.array([x[0]]).sum()\n"
    )
    with imported(tmp_path, bf_rebound=user) as m:
        module = m.bf_rebound
        ad.grad(module.f)(X)
        module.np = np
        assert ad.grad(module.g)(X).tolist() == [1.0, 0.0, 0.0]
        module.onp = np
        assert ad.grad(module.h)(X).tolist() == [1.0, 0.0, 0.0]
        module.np = None
        ad.grad(module.h)(X)
        assert module.np is None and module.onp is np


PROGRAM = """
import numpy as np, autodiff as ad
from {neighbour} import stack
def f(x):
    out = np.zeros(2)
    out[:] = stack(x)
    return out.sum()
print(*ad.grad(f)(np.array([1.0, 2.0])))
"""


@pytest.mark.parametrize("how", ["script", "-c", "stdin", "-m"])
def test_programs(tmp_path: Path, how: str) -> None:
    """What is run as a program finds its neighbours by its file, or in the working directory."""
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "tools.py").write_text(STACK)
    (tmp_path / "tools.py").write_text(STACK)
    (tmp_path / "pack" / "program.py").write_text(PROGRAM.format(neighbour=".tools"))
    (tmp_path / "program.py").write_text(program := PROGRAM.format(neighbour="tools"))
    args, given = {
        "script": (["program.py"], None),
        "-c": (["-c", program], None),
        "stdin": (["-"], program),
        "-m": (["-m", "pack.program"], None),
    }[how]
    env = {**os.environ, "PYTHONPATH": str(Path(ad.__file__).parents[1])}
    command = [sys.executable, *args]
    run = subprocess.run(command, capture_output=True, text=True, input=given, cwd=tmp_path, env=env, check=False)
    assert run.stdout.split() == ["1.0", "4.0"], run.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Any]:
    with imported(tmp_path / "site-packages", bf_installed=STACK, bf_installed_package__sub=STACK) as m:
        yield m


def test_installed_packages_are_left_alone_and_loud(installed: Any) -> None:
    with pytest.raises(ad.DetachError):
        ad.grad(lambda x: installed.bf_installed.stack(x).sum())(X)
    with pytest.raises(ad.DetachError):
        ad.grad(installed.bf_installed.stack)(X)


def test_watch(installed: Any) -> None:
    f = lambda x: installed.bf_installed.stack(x).sum()
    g = lambda x: installed.bf_installed_package__sub.stack(x).sum()
    with ad.watch(installed.bf_installed, "bf_installed_package"):
        assert ad.grad(f)(X).tolist() == ad.grad(g)(X).tolist() == [1.0, 4.0, 0.0]
        with ad.watch(installed.bf_installed):
            pass
        assert ad.grad(f)(X).tolist() == [1.0, 4.0, 0.0], "the inner watch ended the outer one"
        assert ad.grad(lambda x: installed.bf_installed.stack(x).sum())(X).tolist() == [1.0, 4.0, 0.0]
    watching = ad.watch(installed.bf_installed)
    assert ad.grad(f)(X).tolist() == [1.0, 4.0, 0.0]
    watching.stop()
    watching.stop()
    for function in (f, g):
        with pytest.raises(ad.DetachError):
            ad.grad(function)(X)
    assert installed.bf_installed.np is np


@pytest.mark.parametrize("module", [np, "numpy.linalg", ad, 3, np.sin])
def test_what_cannot_be_watched(module: Any) -> None:
    with pytest.raises(ad.OperandError, match="watch"):
        ad.watch(module)


def test_the_engine_and_the_standard_library_are_left_alone() -> None:
    during(lambda: np.zeros(3))
    held = {names["__name__"] for group in buffers.SWAPS.groups.values() for names, *_ in group.places}
    assert __name__ in held
    assert not [
        name for name in held if name.partition(".")[0] in ("autodiff", "numpy", "scipy", "statistics", "pytest")
    ]


def test_a_module_with_an_array_class_is_left_alone(tmp_path: Path) -> None:
    """Its class is called in the midst of our own computations, where np.zeros has to give an array."""
    library = STACK + "class Array:\n    def __array_function__(self, *args): pass\n"
    user = "from bf_library import stack\ndef f(x):\n    return stack(x).sum()\n"
    with imported(tmp_path, bf_user=user, bf_library=library) as m:
        with pytest.raises(ad.DetachError):
            ad.grad(m.bf_user.f)(X)
        with ad.watch(m.bf_library):
            assert ad.grad(m.bf_user.f)(X).tolist() == [1.0, 4.0, 0.0]


class Caller:
    def __call__(self, x: Any) -> Any:
        return self.method(x)  # type: ignore[attr-defined]


class Heir(Caller):
    def method(self, x: Any) -> Any:
        return fill(x)


class Rosenbrock:
    """Its class tells where it comes from."""

    def __call__(self, x: Any) -> Any:
        return fill(x)

    def method(self, x: Any) -> Any:
        return fill(x)


def undecorated(f: Any) -> Any:
    """A decorator that lives elsewhere, and says what it wraps."""
    namespace: dict[str, Any] = {"f": f}
    exec("def wrapper(x): return f(x)", namespace)
    return functools.update_wrapper(namespace["wrapper"], f)


@pytest.mark.parametrize(
    "f",
    [
        fill,
        Rosenbrock(),
        Heir(),
        Rosenbrock().method,
        functools.partial(lambda c, x: c * fill(x), 1.0),
        undecorated(fill),
        ad.value_and_grad(lambda x: fill(x)),
    ],
    ids=["function", "object", "inherited", "method", "partial", "decorated", "transform"],
)
def test_the_module_of(f: Any) -> None:
    take = (lambda x: f(x)[0]) if f is not fill and getattr(f, "__name__", "") == "<lambda>" else f
    np.testing.assert_allclose(ad.grad(take)(X), 2 * X)


@pytest.mark.parametrize("f", [np.sin, abs, len, "text", 3, None])
def test_anything_can_be_watched_over(f: Any) -> None:
    """Builtins have no module that could be swapped; whether it can be called is for others to find out."""
    with buffers.watching(f):
        pass
    assert np is numpy_itself()
