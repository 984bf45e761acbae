"""What users ask for first, as they would write it, with plain `import numpy as np`; then the same in other clothes."""

import concurrent.futures as cf
import functools
import math
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad

# -- 1: my NumPy code, untouched


def untouched(x):
    R = np.array([[np.cos(x[0]), -np.sin(x[0])], [np.sin(x[0]), np.cos(x[0])]])
    return np.linalg.norm(R @ np.stack([x[1], x[2]])) + np.median(x) + np.interp(x[0], [0.0, 1.0], [0.0, 2.0])


def test_untouched_code():
    g = ad.grad(untouched)(np.array([0.3, 1.0, 2.0]))
    np.testing.assert_allclose(g, [2.0, 1 / 5**0.5 + 1, 2 / 5**0.5], rtol=1e-6)


def test_untouched_code_at_second_order():
    H = ad.grad(lambda x: ad.grad(untouched)(x) @ [0.0, 1.0, 0.0])(np.array([0.3, 1.0, 2.0]))
    np.testing.assert_allclose(H, [0.0, 4 / 5**1.5, -2 / 5**1.5], atol=1e-12)


# -- 2: in-place code just works


def in_place(x):
    y = np.zeros_like(x)
    y[0] = x[1] ** 2
    y[1:] = x[:-1]
    v = y[1:]
    v *= 3.0
    np.add.at(y, [0, 0], x[2])
    y[y > 8] = 0.0
    return (y * y).sum()


def test_in_place_code():
    np.testing.assert_allclose(ad.grad(in_place)(np.array([1.0, 2.0, 3.0])), [18.0, 36.0, 0.0], atol=1e-5)


def test_in_place_code_on_a_variable():
    x = ad.Value(np.array([1.0, 2.0, 3.0]))
    y = x * 1.0
    y[0] = x[1] ** 2
    np.sum(y * x).backward()
    assert x.grad.tolist() == [4, 8, 6]


def test_in_place_code_at_second_order():
    x, v = np.array([1.0, 2.0, 3.0]), np.array([1.0, -1.0, 2.0])
    expected = [18.0, -18.0, 0.0]  # y[0] is above 8 and gone: the rest is 9 x0^2 + 9 x1^2
    np.testing.assert_allclose(ad.grad(lambda x: ad.grad(in_place)(x) @ v)(x), expected, atol=1e-12)
    np.testing.assert_allclose(ad.jvp(ad.grad(in_place), (x,), (v,))[1], expected, atol=1e-12)


def test_in_place_code_in_forward_mode():
    _, t = ad.jvp(in_place, (np.array([1.0, 2.0, 3.0]),), (np.array([1.0, -1.0, 2.0]),))
    np.testing.assert_allclose(t, -18.0)


def test_in_place_code_leaves_the_callers_array_alone():
    def doubles_its_argument(x):
        x *= 2
        return (x**2).sum()

    x = np.array([1.0, 2.0])
    assert ad.grad(doubles_its_argument)(x).tolist() == [8.0, 16.0] and x.tolist() == [1.0, 2.0]


def test_fortran_order():
    """A view of a Fortran-ordered array is one wherever it is one in NumPy, and a copy where NumPy copies."""

    def f(a):
        b = a * 1.0
        b.ravel(order="F")[0] = 10.0  # a view: b is Fortran-ordered as well
        b.ravel()[1] = 99.0  # a copy, so nothing is written
        b.T[2] *= 3.0
        return (b**2).sum()

    a = np.asfortranarray(np.arange(1.0, 7.0).reshape(2, 3))
    assert a.flags.f_contiguous
    assert float(f(a)) == 100 + 4 + 81 + 16 + 25 + 324
    np.testing.assert_allclose(ad.grad(f)(a), [[0, 4, 54], [8, 10, 108]])


def test_0d():
    def f(x):
        y = x * 1.0
        y[()] = x**3
        y += x
        y *= 2
        return y

    assert ad.grad(f)(np.array(2.0)) == 26.0
    assert ad.grad(ad.grad(f))(np.array(2.0)) == 24.0
    assert ad.jvp(f, (np.array(2.0),), (np.array(1.0),))[1] == 26.0


# -- 3: fill a plain NumPy buffer in a loop


def fill(x):
    out = np.empty(3)
    for i in range(3):
        out[i] = x[i] ** 2
    return out.sum()


X, G = np.array([1.0, 2.0, 3.0]), [2.0, 4.0, 6.0]


def test_filled_buffer():
    np.testing.assert_allclose(ad.grad(fill)(X), G)


def test_filled_buffer_in_forward_mode_and_at_second_order():
    assert ad.jvp(fill, (X,), (np.ones(3),))[1] == 12.0
    np.testing.assert_allclose(ad.grad(lambda x: ad.grad(fill)(x) @ X)(X), [2.0, 4.0, 6.0])
    np.testing.assert_allclose(ad.jvp(ad.grad(fill), (X,), (np.ones(3),))[1], [2.0, 2.0, 2.0])


def test_filled_buffer_of_0d():
    def f(x):
        out = np.empty(())
        out[()] = x**2
        table = np.zeros((2, 2))
        table[1, 0] = out * x
        return table.sum()

    assert ad.grad(f)(2.0) == 12.0


def test_filled_buffer_in_a_lambda():
    np.testing.assert_allclose(
        ad.grad(lambda x: np.array([x[0] * x[1], np.array(x[2] ** 2)]).sum())(X), [2.0, 1.0, 6.0]
    )


def test_filled_buffer_in_a_closure():
    def make(n):
        scale = np.full(n, 2.0)

        def f(x):
            out = np.empty(n)
            for i in range(n):
                out[i] = scale[i] * x[i] ** 2
            return out.sum()

        return f

    np.testing.assert_allclose(ad.grad(make(3))(X), [4.0, 8.0, 12.0])


@dataclass
class Model:
    """A scientist's class."""

    n: int

    def energy(self, x):
        return self.table(x).sum()

    def table(self, x):
        out = np.zeros(self.n)
        for i in range(self.n):
            out[i] = x[i] ** 2
        return out

    @staticmethod
    def static(x):
        return np.array([v**2 for v in x]).sum()

    @classmethod
    def built(cls, x):
        return cls(3).energy(x)

    def __call__(self, x):
        return self.energy(x)


@pytest.mark.parametrize(
    "f",
    [
        Model(3).energy,
        Model.static,
        Model.built,
        Model(3),
        functools.partial(lambda scale, x: scale * fill(x), 1.0),
        functools.wraps(fill)(lambda x: fill(x)),
        functools.lru_cache(lambda key: fill)(0),
    ],
    ids=["method", "static method", "class method", "callable object", "partial", "wrapped", "cached"],
)
def test_filled_buffer_in(f):
    np.testing.assert_allclose(ad.grad(f)(X), G)
    assert ad.jvp(f, (X,), (np.ones(3),))[1] == 12.0


SOURCE = """
{imports}

def helper(x, i):
    pair = {zeros}(2)
    pair[:] = x[i]
    return pair

def f(x):
    out = {empty}(3)
    for i in range(3):
        out[i] = helper(x, i).prod()
    return out.sum()
"""


@pytest.mark.parametrize(
    "imports, prefix",
    [("import numpy as np", "np."), ("import numpy", "numpy."), ("from numpy import empty, zeros", "")],
)
def test_filled_buffer_in_a_notebook(imports, prefix):
    """A namespace that is no module's, as in a notebook cell, a doctest or `python -c`."""
    namespace = {"__name__": "__main__"}
    exec(SOURCE.format(imports=imports, zeros=prefix + "zeros", empty=prefix + "empty"), namespace)
    before = dict(namespace)
    np.testing.assert_allclose(ad.grad(namespace["f"])(X), G)
    assert all(namespace[name] is before[name] for name in before), "a name was not put back"


def test_names_are_put_back():
    def fails(x):
        raise RuntimeError(f"inside, np is {np.__name__}")

    real = np
    ad.grad(fill)(X)
    with pytest.raises(RuntimeError, match="np is numpy"):
        ad.grad(fails)(X)
    assert np is real and type(np.zeros(2)) is real.ndarray and type(np.array([1.0])) is real.ndarray


def test_plain_code_elsewhere_is_untouched():
    """While a transform runs, code of the same module in another thread gets NumPy's own arrays."""
    inside, looked = threading.Event(), threading.Event()
    seen = []

    def slow(x):
        inside.set()
        looked.wait(10)
        return fill(x)

    def bystander():
        inside.wait(10)
        seen.extend([type(np.zeros(3)), type(np.array([1.0])), type(np.full(2, 0.5))])
        looked.set()

    thread = threading.Thread(target=bystander)
    thread.start()
    g = ad.grad(slow)(X)
    thread.join()
    np.testing.assert_allclose(g, G)
    assert set(seen) == {np.ndarray}


def test_threads():
    """Many gradients of one function at once, each with its own numbers."""
    barrier = threading.Barrier(4)

    def work(k):
        barrier.wait(10)
        return [ad.grad(fill)(X * k) for _ in range(20)], [ad.grad(in_place)(X * k) for _ in range(5)]

    with cf.ThreadPoolExecutor(4) as pool:
        for k, (fills, places) in enumerate(pool.map(work, range(1, 5)), start=1):
            np.testing.assert_allclose(fills, [np.multiply(G, k)] * 20)
            np.testing.assert_allclose(places, [ad.grad(in_place)(X * k)] * 5)
    assert type(np.zeros(1)) is np.ndarray


# -- 4: never a silent zero


def test_never_a_silent_zero():
    with pytest.raises(TypeError, match="float"):
        ad.grad(lambda x: math.sin(x[0]) * x[1])(np.ones(2))


def local_import(x):
    import numpy

    out = numpy.zeros(2)
    out[0] = x[0]
    return out.sum()


def default_argument(x, empty=np.empty):
    out = empty(2)
    out[:] = x
    return out.sum()


def object_array(x):
    out = np.empty(2, dtype=object)
    out[0], out[1] = x[0] * x[1], x[1]
    return out[0] + out[1] ** 2


def standard_library(x):
    return math.fsum(x)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: float(x[0]) * x[1],
        lambda x: np.float64(x[0]) * x[1],
        lambda x: complex(x[0]).real,
        local_import,
        default_argument,
        object_array,
        standard_library,
    ],
    ids=["float", "np.float64", "complex", "local import", "default argument", "object array", "math.fsum"],
)
def test_either_right_or_loud(f):
    """Where the gradient cannot pass, an error says so; a number that comes out is the right one."""
    x, h = np.array([0.7, 1.3]), 1e-6
    try:
        g = ad.grad(f)(x)
    except (TypeError, ValueError) as error:
        loud = str(error.__cause__ or error)  # NumPy's own, caused by ours, where a buffer of its own is written
        assert any(way in loud for way in ("detach", "item()", "autodiff")), "the error names no way out"
    else:
        steps = [(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(2)]
        np.testing.assert_allclose(g, steps, rtol=1e-6)


# -- 14: NaN tells me where; kinks do not explode; float32 stays float32


def test_kinks_and_float32():
    assert not np.isnan(ad.grad(np.linalg.norm)(np.zeros(2))).any()
    assert ad.grad(lambda x: np.where(x > 0, np.sqrt(x), 0.0).sum())(np.array([0.0, 4.0])).tolist() == [0.0, 0.25]
    assert ad.grad(lambda x: np.mean(x * 2.0))(np.ones(3, np.float32)).dtype == np.float32


def masked_root(x):
    y = np.zeros_like(x)
    y[x > 0] = np.sqrt(x[x > 0])
    return y.sum()


def root_where_positive(x):
    return np.sqrt(x, out=np.zeros_like(x), where=x > 0).sum()


@pytest.mark.parametrize("f", [masked_root, root_where_positive])
def test_kinks_written_in_place(f):
    assert ad.grad(f)(np.array([0.0, 4.0])).tolist() == [0.0, 0.25]
    assert ad.jvp(f, (np.array([0.0, 4.0]),), (np.ones(2),))[1] == 0.25
    np.testing.assert_allclose(ad.grad(lambda x: ad.grad(f)(x).sum())(np.array([0.0, 4.0])), [0.0, -1 / 32])


def test_float32_stays_float32_in_a_buffer_of_float64():
    assert ad.grad(fill)(X.astype(np.float32)).dtype == np.float32
    assert ad.grad(in_place)(X.astype(np.float32)).dtype == np.float32


# -- 6: Hessians are cheap


def test_hessians_are_cheap():
    r = lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    x, v = np.ones(50), np.arange(50.0)
    H = ad.hessian(r)(x)
    np.testing.assert_allclose(np.diag(H)[1:-1], 1002.0)
    np.testing.assert_allclose(ad.hvp(r)(x, v), H @ v)


# -- 12: per-example gradients of a dict of parameters


def test_per_example_gradients_of_a_dict():
    X, t = np.random.default_rng(0).normal(size=(5, 3)), np.arange(5.0)
    p = {"w": np.ones(3), "b": np.array(0.5)}
    loss = lambda p, x, t: (x @ p["w"] + p["b"] - t) ** 2
    G = ad.vmap(ad.grad(loss), in_axes=(None, 0, 0))(p, X, t)
    np.testing.assert_allclose(G["w"], 2 * (X.sum(1) + 0.5 - t)[:, None] * X)
    np.testing.assert_allclose(G["b"], 2 * (X.sum(1) + 0.5 - t))


# -- 13: the sparse Jacobian of a PDE


def test_the_sparse_jacobian_of_a_pde():
    F = lambda u: np.concatenate([u[:1], u[:-2] - 2 * u[1:-1] + u[2:] - u[1:-1] ** 3, u[-1:]])
    u = np.linspace(0.1, 1.0, 200)
    J = ad.sparse_jacobian(F)(u)
    assert J.format == "csr" and J.nnz == 2 + 3 * 198
    np.testing.assert_allclose(J.toarray(), ad.jacobian(F)(u))


# -- 15: small, picklable, parallel


def test_small_picklable_parallel():
    program = """
import autodiff as ad, numpy as np
import pickle, concurrent.futures as cf, sys
g = pickle.loads(pickle.dumps(ad.grad(np.linalg.norm)))
assert list(cf.ThreadPoolExecutor(4).map(lambda i: round(float(g(np.array([3., 4.]))[0]), 6), range(8))) == [.6]*8
assert not {"torch", "jax", "numba", "scipy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(ad.__file__).parents[1])
