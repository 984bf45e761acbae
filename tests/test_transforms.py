"""grad, value_and_grad, vjp, jvp, no_grad, stop_gradient: alone, nested, in closures, in threads, and misused."""

from __future__ import annotations

import asyncio
import functools
import itertools
import math
import threading
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from checks import directional, over

import autodiff as ad
from autodiff import GraphError, OperandError, Value, nn
from autodiff.tape import RECORDING

Pair = namedtuple("Pair", "left right")
x3 = np.array([0.3, -1.2, 2.0])


def records() -> bool:
    """Whether operations are recorded right now."""
    return (Value(1.0) * 2.0).requires_grad


# -- arguments and results


def test_argnums() -> None:
    f = lambda x, y, z: x * x + 3 * y + x * z
    args = (2.0, 5.0, 7.0)
    partials = (11.0, 3.0, 2.0)
    assert ad.grad(f)(*args) == partials[0]
    for i in range(-3, 3):
        assert ad.grad(f, i)(*args) == partials[i]
        assert ad.grad(f, argnums=i)(*args) == partials[i]
        assert ad.value_and_grad(f, i)(*args) == (33.0, partials[i])
    for argnums in [(0,), (0, 1), (2, 0), (0, -1), [1, 2], (0, 1, 2), range(3), ()]:
        expected = tuple(partials[i] for i in argnums)
        assert ad.grad(f, argnums)(*args) == expected
        value, gradients = ad.value_and_grad(f, argnums)(*args)
        assert value == 33.0 and gradients == expected and type(gradients) is tuple


def test_argnums_that_do_not_fit() -> None:
    f = lambda x, y: x * y
    for argnums in (2, -3, (0, 2), (-3,)):
        with pytest.raises(OperandError, match=r"argnums=.*2 arguments"):
            ad.grad(f, argnums)(1.0, 2.0)
    for argnums in ((0, 0), (0, -2), (1, 1)):
        with pytest.raises(OperandError, match="argnums"):
            ad.grad(f, argnums)(1.0, 2.0)
    with pytest.raises(OperandError, match="0 arguments"):
        ad.grad(lambda x=1.0: x)()
    for argnums in ("z", None, 1.5, ("z",)):
        with pytest.raises((OperandError, TypeError), match="argnums"):
            ad.grad(f, argnums)(1.0, 2.0)  # type: ignore[arg-type]


def test_keywords_are_passed_on_and_held_fixed() -> None:
    def f(x: Any, *, power: int, options: dict[str, float]) -> Any:
        return x**power * options["scale"]

    assert ad.grad(f)(2.0, power=3, options={"scale": 0.5}) == 6.0
    w = Value(0.5)
    gradient = ad.grad(f)(2.0, power=3, options={"scale": w})
    gradient.backward()
    assert w.grad == 12.0


def test_has_aux() -> None:
    def f(x: Any) -> Any:
        y = np.sin(x)
        return (y * y).sum(), {"y": y, "name": "sine", "none": None, "shape": x.shape, "mask": x > 0}

    (value, aux), gradient = ad.value_and_grad(f, has_aux=True)(x3)
    np.testing.assert_allclose(value, np.sum(np.sin(x3) ** 2))
    np.testing.assert_allclose(gradient, np.sin(2 * x3))
    assert (aux["name"], aux["none"], aux["shape"]) == ("sine", None, (3,))
    assert type(aux["y"]) is type(aux["mask"]) is np.ndarray
    np.testing.assert_array_equal(aux["y"], np.sin(x3))
    gradient, aux = ad.grad(f, has_aux=True)(x3)
    np.testing.assert_allclose(gradient, np.sin(2 * x3))
    for bad in (lambda x: x, lambda x: (x, 1, 2), lambda x: [x, 1], lambda x: None):
        with pytest.raises(OperandError, match=r"has_aux=True.*\(value, aux\)"):
            ad.grad(bad, has_aux=True)(1.0)


def test_aux_of_an_outer_derivative_stays_tracked() -> None:
    def f(x: Any) -> Any:
        gradient, aux = ad.grad(lambda y: (y**3, y**2), has_aux=True)(x)
        return gradient * aux  # 3 x^2 * x^2

    assert ad.grad(f)(2.0) == 12 * 2.0**3


CONTAINERS: dict[str, Any] = {
    "list": [2.0, x3],
    "tuple": (2.0, x3),
    "dict": {"a": 2.0, "b": x3},
    "named tuple": Pair(2.0, x3),
    "ordered dict": OrderedDict(b=2.0, a=x3),
    "default dict": defaultdict(list, a=2.0, b=x3),
    "nested": {"layers": [(2.0, None), [x3]], "rest": {}},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(name: str) -> None:
    """The gradient has the containers of the argument, and so have cotangents and tangents."""
    tree = CONTAINERS[name]
    f = lambda p: sum((leaf**3).sum() for leaf in leaves_of(p)) + 0.0
    slope = lambda leaf: 3 * np.asarray(leaf) ** 2
    results = [ad.grad(f)(tree), ad.value_and_grad(f)(tree)[1], ad.vjp(f, tree)[1](1.0)[0]]
    for result in results:
        same_structure(result, tree)
        for r, leaf in zip(leaves_of(result), leaves_of(tree), strict=True):
            np.testing.assert_allclose(r, slope(leaf))
    if tree is not None:
        value, tangent = ad.jvp(f, (tree,), (tree,))
        np.testing.assert_allclose(tangent, 3 * value)
        cubes = ad.jvp(lambda p: [leaf**3 for leaf in leaves_of(p)], (tree,), (tree,))[1]
        for r, leaf in zip(cubes, leaves_of(tree), strict=True):
            np.testing.assert_allclose(r, 3 * np.asarray(leaf) ** 3)


def leaves_of(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for item in tree.values() for leaf in leaves_of(item)]
    if isinstance(tree, (list, tuple)):
        return [leaf for item in tree for leaf in leaves_of(item)]
    return [] if tree is None else [tree]


def same_structure(a: Any, b: Any) -> None:
    if isinstance(b, (dict, list, tuple)):
        assert type(a) is type(b) and len(a) == len(b)
        if isinstance(b, dict):
            assert list(a) == list(b)
        for p, q in zip(*(t.values() if isinstance(t, dict) else t for t in (a, b)), strict=True):
            same_structure(p, q)
    else:
        assert (a is None) == (b is None) and np.shape(a) == np.shape(b)


def test_results_in_containers() -> None:
    y, tangent = ad.jvp(lambda x: {"s": np.sin(x), "p": [x * x, (x.sum(), None)]}, (x3,), (np.ones(3),))
    np.testing.assert_allclose(tangent["s"], np.cos(x3))
    np.testing.assert_allclose(tangent["p"][0], 2 * x3)
    assert tangent["p"][1] == (3.0, None)
    assert type(y["p"][1]) is tuple and type(y["s"]) is np.ndarray
    y, pull = ad.vjp(lambda x: {"s": np.sin(x), "p": [x * x, (x.sum(), None)]}, x3)
    (g,) = pull({"s": np.ones(3), "p": [np.zeros(3), (2.0, None)]})
    np.testing.assert_allclose(g, np.cos(x3) + 2)
    f = lambda x: {"s": np.sin(x), "c": 3.0, "t": "text"}  # what describes arrays stays as it is
    assert ad.jvp(f, (x3,), (np.ones(3),))[1]["t"] == ad.vjp(f, x3)[0]["t"] == "text"
    f = lambda x: {"s": np.sin(x), "t": {1, 2}}
    with pytest.raises(OperandError, match="set"):
        ad.jvp(f, (x3,), (np.ones(3),))
    with pytest.raises(OperandError, match="set"):
        ad.vjp(f, x3)


def test_a_parameter_used_in_two_places_of_a_container() -> None:
    """Each place is an argument of its own."""
    g = ad.grad(lambda p: p[0] * p[0] * p[1])([x3[0], x3[0]])
    np.testing.assert_allclose(g, [2 * 0.09, 0.09])


def test_python_and_numpy_scalars() -> None:
    for x in (2.0, np.float64(2.0), np.array(2.0)):
        value, g = ad.value_and_grad(lambda x: x**3)(x)
        assert type(value) is type(g) is np.float64
        assert (value, g) == (8.0, 12.0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_real_dtypes_are_kept(dtype: Any) -> None:
    x = np.array([0.5, 1.5], dtype)
    value, g = ad.value_and_grad(lambda x: (2 * np.sin(x)).sum())(x)
    y, pull = ad.vjp(np.sin, x)
    assert {value.dtype, g.dtype, y.dtype, pull(np.ones(2))[0].dtype} == {np.dtype(dtype)}
    y, t = ad.jvp(np.sin, (x,), (np.ones(2),))
    assert y.dtype == t.dtype == dtype
    second = ad.grad(lambda x: ad.grad(lambda x: np.sin(x).sum())(x).sum())(x)
    assert second.dtype == ad.jvp(ad.grad(lambda x: np.sin(x).sum()), (x,), (x,))[1].dtype == dtype
    assert ad.grad(lambda x: 1.0)(x).dtype == dtype
    assert ad.grad(lambda x: x.astype(np.float64).sum())(x).dtype == dtype


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_dtypes_are_kept(dtype: Any) -> None:
    z = np.array([1 + 2j, -0.5j], dtype)
    g = ad.grad(lambda z: (np.abs(z) ** 2).sum())(z)
    assert g.dtype == dtype
    np.testing.assert_allclose(g, 2 * z, rtol=1e-6)  # the direction of steepest ascent
    y, t = ad.jvp(lambda z: z * z, (z,), (np.ones(2, dtype),))
    assert y.dtype == t.dtype == dtype
    np.testing.assert_allclose(t, 2 * z)  # df/dz
    np.testing.assert_allclose(ad.vjp(lambda z: z * z, z)[1](np.ones(2))[0], np.conj(2 * z))


def test_mixed_dtypes() -> None:
    """Each gradient has its argument's dtype."""
    f = lambda x, z: (np.abs(z * x) ** 2).sum()
    gx, gz = ad.grad(f, (0, 1))(np.ones(2, np.float32), np.array([1 + 1j, 2.0]))
    assert gx.dtype == np.float32 and gz.dtype == np.complex128
    np.testing.assert_allclose(gx, [4, 8])
    np.testing.assert_allclose(gz, [2 + 2j, 4])


def test_functions_of_any_kind() -> None:
    """Partials, methods, callable objects, builtins, NumPy's functions; the name is kept."""

    class Model:
        scale = 3.0

        def __call__(self, x: Any) -> Any:
            return self.scale * x * x

        def method(self, x: Any) -> Any:
            return self.scale * x

    def named(x: Any) -> Any:
        """The docstring."""
        return x * x

    assert ad.grad(Model())(2.0) == 12.0
    assert ad.grad(Model().method)(2.0) == 3.0
    assert ad.grad(functools.partial(lambda a, x: a * x * x, 3.0))(2.0) == 12.0
    assert ad.grad(np.exp)(0.0) == ad.grad(abs)(3.0) == 1.0
    assert ad.grad(named).__name__ == "named" and ad.grad(named).__doc__ == "The docstring."


# -- functions that return what is no scalar, or does not depend on the argument


def test_functions_that_ignore_their_argument() -> None:
    """Zeros, of the argument's shape and dtype: not None, and no error."""
    x = np.ones((2, 3), np.float32)
    for f in (
        lambda x: 1.0,
        lambda x: 3,
        lambda x: np.float64(2.0),
        lambda x: np.ones(()),
        lambda x: Value(2.0),
        lambda x: x.shape[0] * 1.0,
        lambda x: (x > 0).sum(),
        lambda x: np.argmax(x),
        lambda x: ad.stop_gradient(x).sum(),
        lambda x: np.floor(x).sum(),
        lambda x: True,
    ):
        g = ad.grad(f)(x)
        assert type(g) is np.ndarray and g.dtype == np.float32
        np.testing.assert_array_equal(g, np.zeros((2, 3)))
        g[0, 0] = 1.0
    t = ad.jvp(lambda x: np.arange(2.0), (x,), (x,))[1]
    np.testing.assert_array_equal(t, [0.0, 0.0])
    (g,) = ad.vjp(lambda x: np.arange(2.0), x)[1](np.ones(2))
    np.testing.assert_array_equal(g, np.zeros((2, 3)))
    assert ad.grad(lambda x, y: y * y, (0, 1))(1.0, 2.0) == (0.0, 4.0)
    assert ad.grad(ad.grad(lambda x: 3 * x))(1.0) == 0.0
    assert ad.grad(ad.grad(ad.grad(lambda x: x * x)))(1.0) == 0.0


def test_functions_that_return_their_argument() -> None:
    assert ad.grad(lambda x: x)(2.0) == 1.0
    assert ad.value_and_grad(lambda x: x)(2.0) == (2.0, 1.0)
    assert ad.jvp(lambda x: x, (2.0,), (3.0,)) == (2.0, 3.0)
    u = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(ad.vjp(lambda x: x, x3)[1](u)[0], u)
    np.testing.assert_array_equal(ad.vjp(lambda x: (x, x), x3)[1]((u, u))[0], 2 * u)
    t = ad.jvp(lambda x, y: (y, x), (x3, u), (u, x3))[1]
    np.testing.assert_array_equal(t, (x3, u))
    assert ad.grad(ad.grad(lambda x: x))(2.0) == 0.0


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x, r"scalar.*shape \(3,\).*vjp"),
        (lambda x: x[:0], r"scalar.*shape \(0,\)"),
        (lambda x: np.ones(2), r"scalar.*shape \(2,\)"),
        (lambda x: None, "scalar.*NoneType"),
        (lambda x: "text", "scalar.*str"),
        (lambda x: [x.sum()], "scalar.*list"),
        (lambda x: (x.sum(), x.sum()), "scalar.*tuple"),
        (lambda x: {"loss": x.sum()}, "scalar.*dict"),
        (lambda x: np.array(["a"]), "scalar.*ndarray"),
        (lambda x: 1j * x.sum(), "complex.*real"),
        (lambda x: 1j, "complex.*real"),
        (lambda x: np.array(1j), "complex.*real"),
    ],
)
def test_grad_of_what_is_no_scalar(f: Callable[..., Any], message: str) -> None:
    def named_loss(x: Any) -> Any:
        return f(x)

    for transform in (ad.grad, ad.value_and_grad):
        with pytest.raises(GraphError, match=rf"(?s)named_loss.*{message}"):
            transform(named_loss)(x3)


def test_grad_of_one_element() -> None:
    """One element is a scalar, whatever its shape."""
    for shape in ((1,), (1, 1)):
        value, g = ad.value_and_grad(lambda x, s=shape: x.sum().reshape(s) ** 2)(x3)
        assert value.shape == shape
        np.testing.assert_allclose(g, np.full(3, 2 * x3.sum()))


@pytest.mark.parametrize("result", ["text", b"bytes", object(), len, np.array(["a"])], ids=lambda r: type(r).__name__)
def test_vjp_and_jvp_of_what_is_no_array(result: Any) -> None:
    for transform in (lambda f: ad.vjp(f, x3), lambda f: ad.jvp(f, (x3,), (x3,))):
        with pytest.raises(OperandError, match=rf"must return arrays.*({type(result).__name__}|dtype <U1)"):
            transform(lambda x: result)


def test_nothing_comes_back_as_nothing() -> None:
    y, pull = ad.vjp(lambda x: None, x3)
    assert y is None
    np.testing.assert_array_equal(pull(None)[0], np.zeros(3))
    assert ad.jvp(lambda x: None, (x3,), (x3,)) == (None, None)


# -- arguments that have no derivative


@pytest.mark.parametrize(
    "x",
    [3, True, np.int64(3), np.arange(3), np.array([True]), Value(3, requires_grad=False)],
    ids=["int", "bool", "int64", "int array", "bool array", "int Value"],
)
def test_integer_arguments(x: Any) -> None:
    """The message names the transform, the argument and the way out."""
    way_out = r"float"
    f = lambda a, x: (a * x).sum()
    for call in (
        lambda: ad.grad(f, 1)(1.0, x),
        lambda: ad.grad(f, (0, 1))(1.0, x),
        lambda: ad.grad(f, -1)(1.0, x),
        lambda: ad.value_and_grad(f, 1)(1.0, x),
    ):
        with pytest.raises(OperandError, match=rf"grad: .*argument 1 .*{way_out}"):
            call()
    with pytest.raises(OperandError, match=rf"vjp: .*argument 1 .*{way_out}"):
        ad.vjp(f, 1.0, x)
    with pytest.raises(OperandError, match=rf"jvp: .*argument 1 .*{way_out}"):
        ad.jvp(f, (1.0, x), (1.0, x))
    if x is not True:  # in a container a truth value describes, and stays as it is
        with pytest.raises(OperandError, match=r"argument 0\[1\] .*float"):
            ad.grad(lambda p: p[0] * p[1])([1.0, x])
    if hasattr(x, "dtype"):
        with pytest.raises(OperandError, match=r"\.astype\(float\)"):
            ad.grad(f, 1)(1.0, x)
    ad.grad(f)(1.0, x)  # held fixed, it may be anything


@pytest.mark.parametrize("x", ["text", object(), {1}, np.array(["a"]), np.array([None]), len])
def test_arguments_that_are_no_numbers(x: Any) -> None:
    with pytest.raises(OperandError, match=r"grad: .*argument 0"):
        ad.grad(lambda x: x)(x)


def test_wrong_cotangents_and_tangents() -> None:
    pull = ad.vjp(lambda x: x * 2, x3)[1]
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(3,\)"):
        pull(np.ones(2))
    with pytest.raises(ValueError, match="shape"):
        pull(1.0)
    with pytest.raises(OperandError, match="complex"):
        pull(np.ones(3) * 1j)
    for bad in ("text", np.array(["a", "b", "c"]), object()):
        with pytest.raises((OperandError, ValueError), match="cotangent"):
            pull(bad)
    for bad in ((np.ones(3), np.ones(3)), {"a": np.ones(3)}, None):
        with pytest.raises((OperandError, ValueError), match="cotangent"):
            pull(bad)
    with pytest.raises(ValueError, match=r"tangent.*shape \(2,\)"):
        ad.jvp(np.sin, (x3,), (np.ones(2),))
    for primals, tangents in (((x3,), (x3, x3)), ((x3, x3), (x3,)), ((x3,), ())):
        with pytest.raises((OperandError, ValueError), match="tangent"):
            ad.jvp(lambda *xs: xs[0], primals, tangents)
    with pytest.raises(OperandError, match="complex"):
        ad.jvp(np.sin, (x3,), (x3 * 1j,))
    with pytest.raises((OperandError, ValueError), match=r"structure|tangent"):
        ad.jvp(lambda a, b: a[0] * a[1] * b, ([1.0, 2.0], 3.0), (1.0, [2.0, 3.0]))


def test_dicts_are_matched_by_key() -> None:
    """In another order they mean the same; with other keys they are an error."""
    pull = ad.vjp(lambda x: {"a": x, "b": 2 * x}, 1.0)[1]
    assert pull({"a": 0.0, "b": 1.0})[0] == pull({"b": 1.0, "a": 0.0})[0] == 2.0
    f = lambda p: p["a"] + 10 * p["b"]
    assert ad.jvp(f, ({"a": 1.0, "b": 2.0},), ({"b": 0.0, "a": 1.0},))[1] == 1.0
    with pytest.raises((OperandError, ValueError), match="cotangent"):
        pull({"a": 0.0, "c": 1.0})
    with pytest.raises((OperandError, ValueError), match="tangent"):
        ad.jvp(f, ({"a": 1.0, "b": 2.0},), ({"a": 1.0, "c": 0.0},))


def test_cotangents_and_tangents_are_cast() -> None:
    x = x3.astype(np.float32)
    for u in (np.ones(3), np.ones(3, int), np.ones(3, bool)):
        (g,) = ad.vjp(np.sin, x)[1](u)
        assert g.dtype == np.float32
        np.testing.assert_allclose(g, np.cos(x), rtol=1e-6)
    for v in (np.ones(3), np.ones(3, int)):
        assert ad.jvp(np.sin, (x,), (v,))[1].dtype == np.float32
    assert ad.jvp(np.sin, (0.0,), (1,))[1] == 1.0
    assert ad.jvp(np.sin, 0.0, 2.0)[1] == 2.0


# -- memory


def shares(a: Any, b: Any) -> bool:
    return any(np.shares_memory(p, q) for p in leaves_of(a) for q in leaves_of(b) if p is not None)


SHARING: dict[str, Callable[[Any, Any], list[Any]]] = {
    # what each call returns or receives, as arrays none of which may share memory with another
    "grad of a sum": lambda x, u: [x, ad.grad(lambda x: x.sum())(x)],
    "grad of two": lambda x, u: [x, u, *ad.grad(lambda x, y: (x + y).sum(), (0, 1))(x, u)],
    "grad of one array twice": lambda x, u: [x, *ad.grad(lambda x, y: (x + y).sum(), (0, 1))(x, x)],
    "grad of a list": lambda x, u: [x, u, *ad.grad(lambda p: (p[0] + p[1]).sum())([x, u])],
    "grad of a constant": lambda x, u: [x, u, *ad.grad(lambda x, y: 1.0, (0, 1))(x, u)],
    "vjp of the identity": lambda x, u: [x, u, *flat_vjp(lambda x: x, x, u)],
    "vjp of two identities": lambda x, u: [x, u, *flat_vjp(lambda x: (x, x), x, (u, u))],
    "vjp of views": lambda x, u: [x, u, *flat_vjp(lambda x: (x.reshape(3, 1), x[::-1]), x, (u.reshape(3, 1), u))],
    "vjp of a transpose": lambda x, u: [x, u, *flat_vjp(lambda x: x.T, x, u)],
    "vjp of a constant": lambda x, u: [x, u, *flat_vjp(lambda x: CONSTANT, x, u), CONSTANT],
    "vjp pulled twice": lambda x, u: [x, u, *pulled_twice(lambda x: x * 1.0, x, u)],
    "vjp of an identity pulled twice": lambda x, u: [x, u, *pulled_twice(lambda x: x, x, u)],
    "vjp of a sum of two": lambda x, u: [x, u, *ad.vjp(np.add, x, x)[1](u)],
    "jvp of the identity": lambda x, u: [x, u, *ad.jvp(lambda x: x, (x,), (u,))],
    "jvp of two identities": lambda x, u: [x, u, *leaves_of(ad.jvp(lambda x: (x, x), (x,), (u,)))],
    "jvp of views": lambda x, u: [x, u, *leaves_of(ad.jvp(lambda x: (x[::-1], x.T), (x,), (u,)))],
    "jvp of a constant": lambda x, u: [x, u, CONSTANT, *ad.jvp(lambda x: CONSTANT, (x,), (u,))],
    "jvp of a swap": lambda x, u: [x, u, *leaves_of(ad.jvp(lambda x, y: (y, x), (x, u), (x, u)))],
    "value and grad": lambda x, u: [x, *ad.value_and_grad(lambda x: x[:1] * 1.0)(x)],
    "value of a view": lambda x, u: [x, *ad.value_and_grad(lambda x: x[:1])(x)],
    "aux": lambda x, u: [x, *leaves_of(ad.value_and_grad(lambda x: (x.sum(), (x, x, x[::-1])), has_aux=True)(x))],
    "second order": lambda x, u: [x, u, ad.jvp(ad.grad(lambda x: (x * x).sum()), (x,), (u,))[1]],
    "gradient in a gradient": lambda x, u: [x, ad.grad(lambda x: (x * ad.grad(lambda y: y.sum())(x)).sum())(x)],
}
CONSTANT = np.ones(3)


def flat_vjp(f: Callable[..., Any], x: Any, u: Any) -> list[Any]:
    y, pull = ad.vjp(f, x)
    return leaves_of((y, pull(u)))


def pulled_twice(f: Callable[..., Any], x: Any, u: Any) -> list[Any]:
    y, pull = ad.vjp(f, x)
    return [y, *pull(u), *pull(u)]


@pytest.mark.parametrize("n", [3, 30_000])
@pytest.mark.parametrize("name", SHARING)
def test_results_share_no_memory(name: str, n: int) -> None:
    """Neither with inputs nor with each other; and they can be written."""
    x, u = np.linspace(1, 2, n), np.linspace(2, 3, n)
    if n != 3 and name in ("vjp of views", "vjp of a constant", "jvp of a constant"):
        return
    arrays = [a for a in SHARING[name](x, u) if isinstance(a, np.ndarray)]
    unique = {id(a): a for a in arrays}
    for a, b in itertools.combinations(unique.values(), 2):
        assert not np.shares_memory(a, b)
    outputs = [a for a in unique.values() if a is not x and a is not u and a is not CONSTANT]
    assert outputs and all(a.flags.writeable for a in outputs)
    given = [id(x), id(u), id(CONSTANT)]
    assert sum(id(a) not in given for a in arrays) == len(outputs), "one array came back twice"


def test_inputs_are_not_changed() -> None:
    x = x3.copy()
    x.flags.writeable = False
    u = np.ones(3)
    u.flags.writeable = False
    f = lambda x: np.cumsum(np.sin(x) * x)
    ad.grad(lambda x: f(x).sum())(x)
    ad.jvp(f, (x,), (u,))
    pull = ad.vjp(f, x)[1]
    np.testing.assert_array_equal(pull(u)[0], pull(u)[0])


# -- vjp: pulled late, often, and interleaved


def test_pull_twice() -> None:
    y, pull = ad.vjp(lambda x: np.exp(x) * x, x3)
    slope = np.exp(x3) * (1 + x3)
    for u in (np.ones(3), np.arange(3.0), np.ones(3)):
        np.testing.assert_allclose(pull(u)[0], u * slope)
    np.testing.assert_allclose(y, np.exp(x3) * x3)


def test_pull_after_the_input_was_overwritten() -> None:
    for n in (3, 100_000):
        x = np.linspace(0, 1, n)
        before = x.copy()
        y, pull = ad.vjp(lambda x: np.exp(x) * np.sin(x) + x * x, x)
        x[:] = np.nan
        y_before = y.copy()
        y[:] = np.nan
        slope = np.exp(before) * (np.sin(before) + np.cos(before)) + 2 * before
        np.testing.assert_allclose(pull(np.ones(n))[0], slope)
        np.testing.assert_allclose(y_before, np.exp(before) * np.sin(before) + before**2)


def test_several_results_and_arguments() -> None:
    f = lambda x, y: (x * y, np.sin(x) + y)
    (p, q), pull = ad.vjp(f, 2.0, 3.0)
    assert (p, q) == (6.0, math.sin(2) + 3)
    np.testing.assert_allclose(pull((1.0, 0.0)), (3.0, 2.0))
    np.testing.assert_allclose(pull((0.0, 1.0)), (math.cos(2), 1.0))
    np.testing.assert_allclose(pull((1.0, 1.0)), (3 + math.cos(2), 3.0))


def test_pulls_interleave() -> None:
    """Pullbacks of graphs that share nothing, and of one graph, in any order."""
    pull1, pull2 = ad.vjp(np.sin, x3)[1], ad.vjp(np.exp, x3)[1]
    a = pull1(np.ones(3))[0]
    b = pull2(pull1(np.ones(3))[0])[0]
    np.testing.assert_allclose(pull1(np.ones(3))[0], a)
    np.testing.assert_allclose(b, np.exp(x3) * np.cos(x3))


def test_pull_inside_another_transform() -> None:
    """A pullback made outside is a linear function, which can itself be differentiated."""
    pull = ad.vjp(lambda x: x**3, x3)[1]
    J = 3 * x3**2
    np.testing.assert_allclose(ad.grad(lambda u: (pull(u)[0] ** 2).sum())(np.ones(3)), 2 * J * J)
    np.testing.assert_allclose(ad.jvp(lambda u: pull(u)[0], (x3,), (np.ones(3),))[1], J)
    v = Value(np.ones(3))
    (pull(v)[0] ** 2).sum().backward()
    np.testing.assert_allclose(v.grad, 2 * J * J)
    inside = ad.grad(lambda x: ad.vjp(lambda y: y**3, x)[1](np.ones(3))[0].sum())(x3)
    np.testing.assert_allclose(inside, 6 * x3)


def test_pull_of_a_transform_that_ran_under_an_outer_one() -> None:
    """The pull escapes: it still works when the outer transform is over."""
    kept = []

    def f(x: Any) -> Any:
        y, pull = ad.vjp(lambda t: t**3, x)
        kept.append(pull)
        return y

    assert ad.grad(f)(2.0) == 12.0
    g = kept[0](1.0)[0]
    assert float(g.data if isinstance(g, Value) else g) == 12.0


# -- nests

TRANSFORMS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    # elementwise f -> f', on arrays of any shape
    "grad": lambda f: ad.grad(lambda x: f(x).sum()),
    "value_and_grad": lambda f: lambda x: ad.value_and_grad(lambda x: f(x).sum())(x)[1],
    "vjp": lambda f: lambda x: ad.vjp(f, x)[1](np.ones(np.shape(x)))[0],
    "jvp": lambda f: lambda x: ad.jvp(f, (x,), (np.ones(np.shape(x)),))[1],
}
ELEMENTWISE: dict[str, tuple[Callable[..., Any], list[Callable[..., Any]]]] = {
    "exp(sin)": (
        lambda x: np.exp(np.sin(x)),
        [
            lambda x: np.cos(x) * np.exp(np.sin(x)),
            lambda x: (np.cos(x) ** 2 - np.sin(x)) * np.exp(np.sin(x)),
            lambda x: (np.cos(x) ** 3 - 3 * np.sin(x) * np.cos(x) - np.cos(x)) * np.exp(np.sin(x)),
        ],
    ),
    "x^4 - x": (lambda x: x * x * x * x - x, [lambda x: 4 * x**3 - 1, lambda x: 12 * x**2, lambda x: 24 * x]),
    "x/(1 + x^2)": (
        lambda x: x / (1 + x**2),
        [
            lambda x: (1 - x**2) / (1 + x**2) ** 2,
            lambda x: 2 * x * (x**2 - 3) / (1 + x**2) ** 3,
            lambda x: -6 * (x**4 - 6 * x**2 + 1) / (1 + x**2) ** 4,
        ],
    ),
    "log(1 + exp)": (
        lambda x: np.logaddexp(x, 0),
        [
            lambda x: 1 / (1 + np.exp(-x)),
            lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
            lambda x: np.exp(-x) * (np.exp(-x) - 1) / (1 + np.exp(-x)) ** 3,
        ],
    ),
    "tanh": (
        np.tanh,
        [
            lambda x: 1 - np.tanh(x) ** 2,
            lambda x: -2 * np.tanh(x) * (1 - np.tanh(x) ** 2),
            lambda x: (6 * np.tanh(x) ** 2 - 2) * (1 - np.tanh(x) ** 2),
        ],
    ),
    "shaped": (
        lambda x: np.where(x > 0, x**3, -(x**3)).reshape(-1)[::-1].reshape(np.shape(x))[...],
        [],
    ),
}
NESTS = [nest for depth in (1, 2, 3) for nest in itertools.product(TRANSFORMS, repeat=depth)]


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if ELEMENTWISE[n][1]])
@pytest.mark.parametrize("x", [0.7, x3, np.array([[0.2], [-0.9]])], ids=["0-d", "1-d", "2-d"])
def test_every_nest_to_depth_three(name: str, x: Any) -> None:
    f, derivatives = ELEMENTWISE[name]

    def check(nest: tuple[str, ...]) -> None:
        g = f
        for transform in nest:
            g = TRANSFORMS[transform](g)
        result = g(x)
        assert type(result) is (np.ndarray if np.ndim(x) else np.float64)
        np.testing.assert_allclose(result, derivatives[len(nest) - 1](x), rtol=1e-12, atol=1e-13)

    over(NESTS, check)


def test_every_nest_of_directional_derivatives() -> None:
    """f(x) = (a x)^3 + |x|^4 along v, with what is not elementwise: the three orders in closed form."""
    a, v = np.array([1.0, -2.0, 0.5]), np.array([0.4, 0.3, -0.6])
    f = lambda x: (a @ x) ** 3 + (x * x).sum() ** 2
    along: dict[str, Callable[..., Any]] = {
        "grad": lambda f: lambda x: ad.grad(f)(x) @ v,
        "value_and_grad": lambda f: lambda x: (v * ad.value_and_grad(f)(x)[1]).sum(),
        "vjp": lambda f: lambda x: np.sum(ad.vjp(f, x)[1](1.0)[0] * v),
        "jvp": lambda f: lambda x: ad.jvp(f, (x,), (v,))[1],
    }
    xv, xx, vv, ax, av = x3 @ v, x3 @ x3, v @ v, a @ x3, a @ v
    expected = [3 * ax**2 * av + 4 * xx * xv, 6 * ax * av**2 + 8 * xv**2 + 4 * xx * vv, 6 * av**3 + 24 * xv * vv]

    def check(nest: tuple[str, ...]) -> None:
        g = f
        for transform in nest:
            g = along[transform](g)
        np.testing.assert_allclose(g(x3), expected[len(nest) - 1], rtol=1e-13)

    over(NESTS, check)


def taylor_of_exp_sin(x: float, order: int) -> list[float]:
    """The derivatives of exp(sin(x)) up to `order`, from its power series: e' = e s' gives e_n from the e_k before."""
    s = [math.sin(x + n * math.pi / 2) / math.factorial(n) for n in range(order + 1)]
    e = [math.exp(math.sin(x))]
    for n in range(1, order + 1):
        e.append(sum(k * s[k] * e[n - k] for k in range(1, n + 1)) / n)
    return [c * math.factorial(n) for n, c in enumerate(e)]


@pytest.mark.parametrize("order", range(1, 7))
def test_derivatives_up_to_order_six(order: int) -> None:
    """In reverse mode, in forward mode, and in mixed orders."""
    x = 0.7
    reverse = lambda f: ad.grad(f)
    forward = lambda f: lambda x: ad.jvp(f, (x,), (1.0,))[1]
    pulled = lambda f: lambda x: ad.vjp(f, x)[1](1.0)[0]
    mixes: list[Sequence[Any]] = [
        [reverse] * order,
        [forward] * order,
        [pulled] * order,
        ([reverse, forward] * order)[:order],
        ([forward, reverse] * order)[:order],
        [reverse] + [forward] * (order - 1),
        [forward] * (order - 1) + [reverse],
    ]
    expected = taylor_of_exp_sin(x, order)[order]
    for mix in mixes:
        f: Callable[..., Any] = lambda x: np.exp(np.sin(x))
        for transform in mix:
            f = transform(f)
        np.testing.assert_allclose(f(x), expected, rtol=1e-12)


def test_object_api_up_to_order_six() -> None:
    x = Value(0.7)
    y = np.exp(np.sin(x))
    for order, expected in enumerate(taylor_of_exp_sin(0.7, 6)):
        np.testing.assert_allclose(y.item(), expected, rtol=1e-12)
        if order < 6:
            x.zero_grad()
            y.backward(create_graph=True)
            y = x.grad


# -- perturbation confusion: the variables of a nest are different variables

D: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "grad": ad.grad,
    "vjp": lambda f: lambda x: ad.vjp(f, x)[1](1.0)[0],
    "jvp": lambda f: lambda x: ad.jvp(f, (x,), (1.0,))[1],
}
PAIRS = list(itertools.product(D, repeat=2))
pairs = pytest.mark.parametrize(("outer", "inner"), PAIRS)


@pairs
def test_perturbations_do_not_mix(outer: str, inner: str) -> None:
    d, e = D[outer], D[inner]
    assert d(lambda x: x * e(lambda y: x + y)(1.0))(2.0) == 1.0
    assert d(lambda x: x * e(lambda y: x * y)(1.0))(2.0) == 4.0
    assert d(lambda x: x * e(lambda y: x * y)(x))(2.0) == 4.0
    assert d(lambda x: x * e(lambda y: x * y * y)(x))(2.0) == 24.0  # x * 2 x^2
    assert d(lambda x: e(lambda y: x**2 * y**3)(x))(2.0) == 12 * 2.0**3  # 3 x^4
    assert d(lambda x: e(lambda y: x)(1.0))(2.0) == 0.0
    assert d(lambda x: e(lambda y: y)(x))(2.0) == 0.0
    assert d(lambda x: e(lambda y: ad.stop_gradient(x) * y)(x))(2.0) == 0.0
    np.testing.assert_allclose(d(lambda x: x * e(lambda y: np.sin(x * y) / y)(1.0))(0.5), siskind(0.5))


def siskind(x: float) -> float:
    """d/dx of x (x cos(x) - sin(x)): the product rule by hand."""
    return x * math.cos(x) - math.sin(x) + x * (-x * math.sin(x))


@pytest.mark.parametrize("names", list(itertools.product(D, repeat=3)), ids=" of ".join)
def test_three_perturbations_do_not_mix(names: tuple[str, ...]) -> None:
    a, b, c = (D[name] for name in names)
    f = lambda x: a(lambda x: x * b(lambda y: x * y * c(lambda z: x * y * z)(y))(x))(x)
    # c: x y; b of x y x y = x^2 y^2: 2 x^2 y at y = x: 2 x^3; a of x * 2 x^3: 8 x^3
    np.testing.assert_allclose(f(1.5), 8 * 1.5**3)
    g = lambda x: a(lambda x: b(lambda y: c(lambda z: x**2 * y**3 * z**4)(y))(x))(x)
    # c: 4 x^2 y^6; b: 24 x^7; a: 168 x^6
    np.testing.assert_allclose(g(1.5), 168 * 1.5**6)


def test_confusion_with_arrays() -> None:
    """The gradient penalty of a gradient: mixed partials of f(x, y) = sum(sin(x) y^2) in both orders."""
    f = lambda x, y: (np.sin(x) * y**2).sum()
    y3 = np.array([0.5, 2.0, -1.0])
    xy = ad.grad(lambda x: ad.grad(f, 1)(x, y3).sum())(x3)
    yx = ad.grad(lambda y: ad.grad(f, 0)(x3, y).sum())(y3)
    np.testing.assert_allclose(xy, 2 * y3 * np.cos(x3))
    np.testing.assert_allclose(yx, 2 * y3 * np.cos(x3))
    pushed = ad.jvp(lambda y: ad.jvp(lambda x: np.sin(x) * y**2, (x3,), (np.ones(3),))[1], (y3,), (np.ones(3),))[1]
    np.testing.assert_allclose(pushed, 2 * y3 * np.cos(x3))


# -- closures over tracked Values


def inner_derivatives(w: Any) -> dict[str, Any]:
    """The derivative of w x^2 at 3, which is 6 w, by each transform."""
    f = lambda x: w * x**2
    return {
        "grad": ad.grad(f)(3.0),
        "value_and_grad": ad.value_and_grad(f)(3.0)[1],
        "vjp": ad.vjp(f, 3.0)[1](1.0)[0],
        "jvp": ad.jvp(f, (3.0,), (1.0,))[1],
        "grad in grad": ad.grad(lambda x: x * ad.grad(f)(3.0))(1.0),
        "second": 3 * ad.grad(ad.grad(f))(3.0),
        "second, forward": 3 * ad.jvp(ad.grad(f), (3.0,), (1.0,))[1],
        "result": ad.value_and_grad(f)(3.0)[0] * (6 / 9),
        "result of vjp": ad.vjp(f, 3.0)[0] * (6 / 9),
        "result of jvp": ad.jvp(f, (3.0,), (1.0,))[0] * (6 / 9),
        "aux": ad.grad(lambda x: (x, f(x)), has_aux=True)(3.0)[1] * (6 / 9),
    }


@pytest.mark.parametrize("name", inner_derivatives(1.0))
def test_a_tracked_closure_gives_a_tracked_result(name: str) -> None:
    w = Value(2.0)
    result = inner_derivatives(w)[name]
    assert isinstance(result, Value) and result.requires_grad
    np.testing.assert_allclose(result.data, 12.0)
    assert w.grad is None
    (result * result).backward()
    np.testing.assert_allclose(w.grad, 2 * 12 * 6)


@pytest.mark.parametrize("name", inner_derivatives(1.0))
def test_a_closure_under_no_grad_gives_plain_results(name: str) -> None:
    w = Value(2.0)
    with ad.no_grad():
        result = inner_derivatives(w)[name]
        assert not records()
    assert not getattr(result, "requires_grad", False)
    np.testing.assert_allclose(np.asarray(result), 12.0)
    if name in ("grad", "vjp", "jvp", "value_and_grad"):
        assert type(result) is np.float64


@pytest.mark.parametrize("name", inner_derivatives(1.0))
def test_an_untracked_closure_gives_plain_results(name: str) -> None:
    for w in (Value(2.0, requires_grad=False), Value(2.0).detach(), 2.0, np.array(2.0)):
        result = inner_derivatives(w)[name]
        assert type(result) is np.float64
        np.testing.assert_allclose(result, 12.0)


def test_tracked_arguments_give_tracked_results() -> None:
    v = Value(3.0)
    for derivative in (
        lambda v: ad.grad(lambda x: x**3)(v),
        lambda v: ad.value_and_grad(lambda x: x**3)(v)[1],
        lambda v: ad.vjp(lambda x: x**3, v)[1](1.0)[0],
        lambda v: ad.jvp(lambda x: x**3, (v,), (1.0,))[1],
    ):
        v.zero_grad()
        result = derivative(v)
        assert result.data == 27.0
        result.backward()
        assert v.grad == 18.0
    assert type(ad.grad(lambda x: x**3)(Value(3.0, requires_grad=False))) is np.float64


def test_tracked_arguments_of_other_arguments() -> None:
    """Only the argument that is not differentiated is tracked."""
    w = Value(2.0)
    g = ad.grad(lambda x, w: w * x**2)(3.0, w)
    g.backward()
    assert w.grad == 6.0
    tangent = Value(2.0)
    ad.jvp(lambda x: x**2, (3.0,), (tangent,))[1].backward()
    assert tangent.grad == 6.0


def test_grad_never_touches_grad() -> None:
    w, v = Value(2.0), Value(3.0)
    ad.grad(lambda x: w * x * v)(v)
    ad.vjp(lambda x: w * x, v)[1](1.0)
    assert w.grad is None and v.grad is None


def test_gradient_penalty() -> None:
    """Training on a loss that holds a gradient: w <- |d(tanh(x w))/dx|^2, against finite differences."""
    weights = np.array([0.5, -0.3, 0.8])

    def penalty(w: Any) -> Any:
        slope = ad.grad(lambda x: np.tanh(x @ w))(x3)
        return (slope * slope).sum()

    w = Value(weights)
    penalty(w).backward()
    v = np.array([1.0, 0.5, -0.2])
    np.testing.assert_allclose(w.grad @ v, directional(penalty, [weights], [v]), rtol=1e-9)
    np.testing.assert_allclose(w.grad, ad.grad(penalty)(weights))


# -- no_grad


def test_no_grad_as_a_statement() -> None:
    assert records()
    with ad.no_grad():
        assert not records()
        with ad.no_grad():
            assert not records()
        assert not records()
    assert records()


def test_one_no_grad_can_be_used_again_and_nested() -> None:
    off = ad.no_grad()
    with off:
        with off:
            assert not records()
        assert not records()
    assert records()
    with off:
        assert not records()
    assert records()


def test_no_grad_ends_with_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), ad.no_grad():
        1 / 0
    assert records()


def test_no_grad_as_a_decorator() -> None:
    @ad.no_grad()
    def predict(x: Any) -> Any:
        """The docstring."""
        return x * 2

    x = Value(1.0)
    assert not predict(x).requires_grad
    assert records() and predict.__name__ == "predict" and predict.__doc__ == "The docstring."

    @ad.no_grad()
    def fails() -> None:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fails()
    assert records()


def test_no_grad_decorates_generators() -> None:
    """Off while the generator runs, as before while its user runs: at next, send, throw and close."""
    seen: list[Any] = []

    @ad.no_grad()
    def generate(n: int) -> Iterator[Any]:
        try:
            for i in range(n):
                seen.append(records())
                try:
                    seen.append((yield i))
                except KeyError:
                    seen.append(("caught", records()))
        finally:
            seen.append(("closed", records()))
        return "result"

    it = generate(5)
    assert next(it) == 0 and records()
    assert it.send("sent") == 1 and records()
    assert it.throw(KeyError()) == 2 and records()
    with ad.no_grad():
        assert next(it) == 3
    assert records()
    it.close()
    assert records()
    assert seen == [False, "sent", False, ("caught", False), False, None, False, ("closed", False)]

    def delegate() -> Iterator[Any]:
        seen.append((yield from generate(1)))

    seen.clear()
    assert list(delegate()) == [0]
    assert seen == [False, None, ("closed", False), "result"]
    with pytest.raises(IndexError):
        (it := generate(1)).throw(IndexError)
    assert records()


def test_no_grad_decorates_coroutines() -> None:
    @ad.no_grad()
    async def predict() -> bool:
        await asyncio.sleep(0)
        return records()

    assert asyncio.run(predict()) is False


def test_no_grad_belongs_to_its_task() -> None:
    async def off() -> bool:
        with ad.no_grad():
            await asyncio.sleep(0.01)
            return records()

    async def on() -> bool:
        await asyncio.sleep(0.005)
        return records()

    async def main() -> list[bool]:
        return list(await asyncio.gather(off(), on(), off(), on()))

    assert asyncio.run(main()) == [False, True, False, True]


def test_no_grad_belongs_to_its_thread() -> None:
    """Threads start recording, whoever starts them: what a new thread does is its own affair."""
    with ad.no_grad(), ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda _: records(), range(4)))
        assert not records()
    barrier = threading.Barrier(2)

    def hold() -> bool:
        with ad.no_grad():
            barrier.wait()
            barrier.wait()
            return records()

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        barrier.wait()
        assert records()
        barrier.wait()
        assert held.result() is False


def test_one_decorated_function_in_many_threads() -> None:
    @ad.no_grad()
    def f(x: Any) -> bool:
        return (x * 2).requires_grad or RECORDING.get()

    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(f, [Value(1.0)] * 200))
    assert records()


def test_no_grad_inside_a_transform_makes_constants() -> None:
    def f(x: Any) -> Any:
        with ad.no_grad():
            c = x * x
        assert not c.requires_grad
        return c * x

    assert ad.grad(f)(3.0) == 9.0
    assert ad.jvp(f, (3.0,), (1.0,))[1] == 9.0
    assert ad.grad(ad.grad(f))(3.0) == 0.0


def test_no_grad_outside_does_not_stop_a_transform() -> None:
    f = lambda x: x**3
    with ad.no_grad():
        assert ad.grad(f)(2.0) == 12.0
        assert ad.grad(ad.grad(f))(2.0) == 12.0
        assert ad.jvp(f, (2.0,), (1.0,))[1] == 12.0
        assert ad.jvp(ad.grad(f), (2.0,), (1.0,))[1] == 12.0
        assert ad.vjp(f, 2.0)[1](1.0)[0] == 12.0
        y, pull = ad.vjp(f, 2.0)
        g = ad.grad(f)(Value(2.0))
        assert type(g) is np.float64 and type(y) is np.float64
    assert pull(1.0)[0] == 12.0


def test_no_grad_around_a_transform_inside_a_transform() -> None:
    """The inner gradient is a constant to the outer one."""

    def f(x: Any) -> Any:
        with ad.no_grad():
            g = ad.grad(lambda y: y**3)(x)
        assert not isinstance(g, Value)
        return g * x

    assert ad.grad(f)(2.0) == 12.0


# -- stop_gradient


def test_stop_gradient() -> None:
    x = Value(3.0)
    y = ad.stop_gradient(x)
    assert isinstance(y, Value) and not y.requires_grad and y.data == 3.0
    tree = ad.stop_gradient({"a": [x, 2.0, None], "b": (x3, "text", Pair(x, 1))})
    assert not tree["a"][0].requires_grad and tree["a"][1:] == [2.0, None]
    assert tree["b"][0] is x3 and tree["b"][1] == "text" and not tree["b"][2].left.requires_grad
    f = lambda x: x * ad.stop_gradient(x * x)
    assert ad.grad(f)(3.0) == 9.0
    assert ad.jvp(f, (3.0,), (1.0,))[1] == 9.0
    assert ad.grad(ad.grad(f))(3.0) == 0.0
    assert ad.grad(lambda x: ad.grad(lambda y: y * ad.stop_gradient(x * y))(x) * x)(3.0) == 27.0 / 3 + 0.0


# -- the object API inside transforms


def test_backward_inside_a_transform() -> None:
    """A plain backward() inside f gives plain gradients: constants to the transform."""

    def f(x: Any) -> Any:
        w = Value(2.0)
        (w * w * x).backward()
        assert type(w.grad) is np.ndarray and w.grad == 4.0 * x.data
        return w.grad * x

    assert ad.grad(f)(3.0) == 12.0


def test_backward_with_create_graph_inside_a_transform() -> None:
    def f(x: Any) -> Any:
        w = Value(2.0)
        (w * w * x * x).backward(create_graph=True)
        return w.grad  # 4 x^2

    assert ad.grad(f)(3.0) == 24.0
    assert ad.jvp(f, (3.0,), (1.0,))[1] == 24.0
    assert ad.grad(ad.grad(f))(3.0) == 8.0


def test_backward_inside_a_transform_reaches_what_it_reaches_without() -> None:
    """The leaves that its Value was computed from: a tracked argument counts as it would in a plain call of f."""

    def f(y: Any) -> Any:
        w = Value(2.0)
        (w * y).backward(retain_graph=True)
        return w * y * y

    x = Value(3.0)
    f(x)
    assert x.grad == 2.0
    x.zero_grad()
    ad.grad(f)(x)
    assert x.grad == 2.0


def test_backward_that_frees_the_graph_of_a_transform() -> None:
    def f(x: Any) -> Any:
        y = x * x
        y.backward()
        return y

    with pytest.raises(GraphError, match="retain_graph"):
        ad.grad(f)(3.0)
    assert records()


def test_transforms_inside_the_object_api() -> None:
    w = Value(2.0)
    loss = ad.grad(lambda x: w * x**3)(1.0) ** 2
    loss.backward()
    assert w.grad == 2 * 6.0 * 3.0


# -- exceptions


@pytest.mark.parametrize("transform", ["grad", "value_and_grad", "vjp", "jvp"])
def test_exceptions_leave_the_state_as_it_was(transform: str) -> None:
    def fails(x: Any) -> Any:
        with ad.no_grad():
            ad.grad(lambda y: y * y)(x)
            raise KeyError("mine")

    call: Callable[[], Any] = {
        "grad": lambda: ad.grad(fails)(1.0),
        "value_and_grad": lambda: ad.value_and_grad(lambda x: ad.grad(fails)(x))(1.0),
        "vjp": lambda: ad.vjp(lambda x: ad.jvp(fails, (x,), (x,)), 1.0),
        "jvp": lambda: ad.jvp(fails, (1.0,), (1.0,)),
    }[transform]
    for outside in (True, False):
        with pytest.raises(KeyError, match="mine"):
            if outside:
                call()
            else:
                with ad.no_grad():
                    call()
        assert records()
    with ad.no_grad():
        with pytest.raises(KeyError):
            call()
        assert not records()
    assert ad.grad(lambda x: x * x)(3.0) == 6.0


def test_exceptions_in_a_walk_leave_the_state_as_it_was() -> None:
    big = np.ones(100_000)

    def f(x: Any) -> Any:
        y = x * big
        big[:] = 2.0  # the walk will find that out
        return y.sum()

    with np.errstate(divide="raise"):
        for call in (lambda: ad.grad(f)(1.0), lambda: ad.jvp(f, (1.0,), (1.0,))):
            big[:] = 1.0
            with pytest.raises(GraphError, match="written"):
                call()
            assert records()
            assert np.geterr()["divide"] == "raise" and np.geterr()["invalid"] == "warn"


def test_errors_of_f_are_not_hidden() -> None:
    """They come out as they are, with f in the traceback."""

    def my_function(x: Any) -> Any:
        return x @ np.ones((4, 4))

    with pytest.raises(ValueError, match="matmul") as caught:
        ad.grad(my_function)(x3)
    assert "my_function" in [entry.name for entry in caught.traceback]


# -- threads


def in_threads(work: Callable[[int], Any], n: int = 8) -> list[Any]:
    """Run `work` in n threads that start together, and switch between them often."""
    barrier = threading.Barrier(n)

    def start(i: int) -> Any:
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(start, range(n)))


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    import sys

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
def test_threads_differentiate_one_function() -> None:
    f = lambda x: np.exp(np.sin(x)) * x
    seconds = [lambda x: ad.grad(ad.grad(f))(x), lambda x: ad.jvp(ad.grad(f), (x,), (1.0,))[1]]
    expected = [[second(0.1 * i) for second in seconds] for i in range(8)]

    def work(i: int) -> None:
        for _ in range(40):
            assert [second(0.1 * i) for second in seconds] == expected[i]

    in_threads(work)


@pytest.mark.usefixtures("frequent_switches")
def test_threads_differentiate_at_shared_parameters() -> None:
    """ad.grad with the same arrays, and with a model's own parameters, in eight threads."""
    model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.Tanh(), nn.Linear(8, 1, rng=1))
    weights = [p.data for p in model.parameters()]
    inputs = np.random.default_rng(0).normal(size=(8, 5, 4))

    def loss(p: Any, x: Any) -> Any:
        return (np.tanh(x @ p[0] + p[1]) @ p[2] + p[3]).sum()

    def by_model(x: Any) -> Any:
        return ad.grad(lambda x: model(x).sum())(x)

    expected = [(ad.grad(loss)(weights, x), by_model(x).data) for x in inputs]

    def work(i: int) -> None:
        for _ in range(20):
            for g, e in zip(ad.grad(loss)(weights, inputs[i]), expected[i][0], strict=True):
                np.testing.assert_array_equal(g, e)
            np.testing.assert_array_equal(by_model(inputs[i]).data, expected[i][1])

    in_threads(work)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.usefixtures("frequent_switches")
def test_concurrent_backward_on_shared_leaves() -> None:
    """Separate graphs, the same leaves: no contribution is lost."""
    w, s = Value(np.arange(1.0, 4.0)), Value(2.0)

    def work(i: int) -> None:
        for _ in range(50):
            (w * w * s).sum().backward()

    in_threads(work)
    np.testing.assert_array_equal(w.grad, 400 * 4 * np.arange(1.0, 4.0))
    np.testing.assert_array_equal(s.grad, 400 * 14.0)


def test_reading_grad_during_backward_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other thread adds its gradient just when this one looks at the sum."""
    s = Value(2.0)
    (s * 3.0).backward()
    convert, threads = np.asarray, []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(np, "asarray", convert)
        threads.append(threading.Thread(target=lambda: (s * 3.0).backward()))
        threads[0].start()
        threads[0].join(0.5)  # or it waits for us, which is fine
        return convert(*args, **kwargs)

    monkeypatch.setattr(np, "asarray", interrupted)
    s.grad
    monkeypatch.setattr(np, "asarray", convert)
    for thread in threads:
        thread.join()
    assert s.grad == (6.0 if threads else 3.0)


@pytest.mark.usefixtures("frequent_switches")
def test_first_calls_in_threads() -> None:
    """Rules compile their cases at the first call; here eight threads make it together."""
    from autodiff.arrays import dispatchable
    from autodiff.rule import RULES, elementwise

    for _ in range(5):
        cube = dispatchable(lambda x: x * x * x)
        elementwise(cube, lambda g, x: 3 * g * x * x)
        try:
            assert in_threads(lambda i, cube=cube: float(ad.grad(ad.grad(cube))(2.0 + i))) == [
                6 * (2.0 + i) for i in range(8)
            ]
        finally:
            del RULES[cube]
