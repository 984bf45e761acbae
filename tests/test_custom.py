"""custom_rule: one rule given, the other mode and higher orders derived; containers, batches, nests, and misuse."""

from __future__ import annotations

import functools
import inspect
import math
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import DetachError, GraphError, OperandError, Value

x3 = np.array([0.5, 1.0, 2.0])


@ad.custom_rule
def cube(x: Any) -> Any:
    """Written with Python's numbers, so that only the rule can differentiate it."""
    return np.array([math.pow(v, 3) for v in np.ravel(x)]).reshape(np.shape(x))


@cube.vjp
def _(g: Any, x: Any) -> Any:
    return 3 * x**2 * g


@ad.custom_rule
def product(x: Any, y: Any, scale: float = 1.0, *, mode: str = "plain") -> Any:
    return {"product": x * y * scale, "sum": [x + y]}


@product.jvp
def _(t: Any, x: Any, y: Any, scale: float) -> Any:
    tx, ty = t[:2]
    return {"product": (tx * y + x * ty) * scale, "sum": [tx + ty]}


def plain_product(x: Any, y: Any, scale: float = 1.0) -> Any:
    return {"product": x * y * scale, "sum": [x + y]}


def reduced(f: Any) -> Any:
    """A scalar of what `product` returns."""

    def function(x: Any, y: Any) -> Any:
        r = f(x, y)
        return (r["product"] ** 2).sum() + np.sin(r["sum"][0]).sum()

    return function


def test_values_are_those_of_the_function() -> None:
    np.testing.assert_array_equal(cube(x3), x3**3)
    assert type(cube(x3)) is np.ndarray
    y = cube(Value(x3))
    assert isinstance(y, Value) and y.requires_grad and y.dtype == np.float64
    assert not cube(Value(x3, requires_grad=False)).requires_grad
    with ad.no_grad():
        assert not cube(Value(x3)).requires_grad


def test_a_vjp_gives_both_modes_and_all_orders() -> None:
    f = lambda x: cube(x).sum()
    np.testing.assert_allclose(ad.grad(f)(x3), 3 * x3**2)
    np.testing.assert_allclose(ad.jvp(cube, x3, x3)[1], 3 * x3**3)
    np.testing.assert_allclose(ad.hessian(f)(x3), np.diag(6 * x3))
    np.testing.assert_allclose(ad.hvp(f)(x3, x3), 6 * x3**2)
    np.testing.assert_allclose(ad.vhp(f)(x3, x3), 6 * x3**2)
    for outer in (ad.jacfwd, ad.jacrev):
        for inner in (ad.jacfwd, ad.jacrev):
            np.testing.assert_allclose(outer(inner(f))(x3), np.diag(6 * x3))
    assert ad.grad(ad.grad(ad.grad(cube)))(2.0) == 6.0
    assert ad.grad(lambda x: ad.jvp(lambda z: ad.grad(cube)(z), x, 1.0)[1])(2.0) == 6.0


def test_a_jvp_gives_both_modes_and_all_orders() -> None:
    f, plain, y3 = reduced(product), reduced(plain_product), x3 + 1
    for g, e in zip(ad.grad(f, (0, 1))(x3, y3), ad.grad(plain, (0, 1))(x3, y3), strict=True):
        np.testing.assert_allclose(g, e)
    np.testing.assert_allclose(ad.jvp(f, (x3, y3), (y3, x3))[1], ad.jvp(plain, (x3, y3), (y3, x3))[1])
    for transform in (ad.hvp, ad.vhp):
        np.testing.assert_allclose(transform(f)(x3, y3, x3), transform(plain)(x3, y3, x3))
    np.testing.assert_allclose(ad.hessian(f)(x3, y3), ad.hessian(plain)(x3, y3), atol=1e-14)
    third = lambda f: ad.jacfwd(ad.jacrev(ad.grad(f)))(x3, y3)
    np.testing.assert_allclose(third(f), third(plain), atol=1e-13)


def test_both_rules() -> None:
    calls = []

    def vjp(g: Any, x: Any) -> Any:
        calls.append("vjp")
        return 2 * x * g

    def jvp(t: Any, x: Any) -> Any:
        calls.append("jvp")
        return 2 * x * t

    square = ad.custom_rule(lambda x: x * x, vjp=vjp, jvp=jvp)
    assert ad.grad(square)(3.0) == 6.0 and calls == ["vjp"]
    assert ad.jvp(square, 3.0, 1.0)[1] == 6.0 and calls == ["vjp", "jvp"]

    @ad.custom_rule(vjp=vjp)
    def decorated(x: Any) -> Any:
        return x * x

    assert ad.grad(decorated)(3.0) == 6.0


def test_the_object_api() -> None:
    v = Value(x3)
    cube(v).sum().backward()
    np.testing.assert_allclose(v.grad, 3 * x3**2)
    w = Value(x3)
    (cube(w) * w).sum().backward(create_graph=True)
    w.grad.sum().backward()  # of 4 x^3, on top of it
    np.testing.assert_allclose(w.grad.data, 4 * x3**3 + 12 * x3**2)
    u = Value(x3)
    y = cube(u).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(u.grad, 6 * x3**2)
    with pytest.raises(GraphError, match="freed"):
        y.backward()


@pytest.mark.parametrize("f", [lambda x: cube(x).sum(), lambda x: reduced(product)(x, x * 2.0)])
def test_under_vmap(f: Any) -> None:
    """At once where the code allows it, one example after the other where it does not."""
    xs = np.stack([x3, 2 * x3])
    each = lambda g: np.stack([g(x) for x in xs])
    np.testing.assert_allclose(ad.vmap(f)(xs), each(f))
    np.testing.assert_allclose(ad.vmap(ad.grad(f))(xs), each(ad.grad(f)))
    np.testing.assert_allclose(ad.vmap(ad.hessian(f))(xs), each(ad.hessian(f)), atol=1e-13)
    push = lambda x: ad.jvp(f, x, x)[1]
    np.testing.assert_allclose(ad.vmap(push)(xs), each(push))
    np.testing.assert_allclose(ad.grad(lambda xs: ad.vmap(f)(xs).sum())(xs), each(ad.grad(f)))


def test_an_option_that_is_a_text() -> None:
    pushed = ad.jvp(lambda x: product(x, 3.0, mode="plain")["product"], x3, x3)[1]
    np.testing.assert_allclose(pushed, 3 * x3)


def test_a_shared_argument_gets_the_sum() -> None:
    f, plain, xs = reduced(product), reduced(plain_product), np.stack([x3, 2 * x3])
    total = lambda f: ad.grad(lambda y: ad.vmap(lambda x: f(x, y))(xs).sum())(x3)
    np.testing.assert_allclose(total(f), total(plain))


def test_vmap_runs_pure_code_once() -> None:
    calls = []

    @ad.custom_rule
    def tripled(x: Any) -> Any:
        calls.append(1)
        return 3 * x

    tripled.vjp(lambda g: 3 * g)
    ad.vmap(tripled)(np.ones((5, 2)))
    assert len(calls) == 1


def python_sin(kind: str) -> Any:
    """Rules that cannot be batched."""
    rules = {"vjp": lambda g, x: g * math.cos(x), "jvp": lambda t, x: t * math.cos(x)}
    return ad.custom_rule(lambda x: math.sin(x), **{kind: rules[kind]})


@pytest.mark.parametrize("kind", ["vjp", "jvp"])
def test_the_derived_mode_of_a_rule_for_one_example(kind: str) -> None:
    f = python_sin(kind)
    np.testing.assert_allclose(ad.jacrev(ad.vmap(f))(x3), np.diag(np.cos(x3)))
    np.testing.assert_allclose(ad.jacfwd(ad.vmap(f))(x3), np.diag(np.cos(x3)))
    np.testing.assert_allclose(ad.vmap(ad.grad(f))(x3), np.cos(x3))
    np.testing.assert_allclose(ad.vmap(lambda x: ad.jvp(f, x, 2.0)[1])(x3), 2 * np.cos(x3))
    xs = np.stack([x3, 2 * x3])
    np.testing.assert_allclose(ad.vmap(ad.vmap(ad.grad(f)))(xs), np.cos(xs))
    step = ad.custom_rule(lambda x: np.maximum(x, 0), vjp=lambda g, x: g * (1.0 if x > 0 else 0.0))
    np.testing.assert_allclose(ad.jacobian(ad.vmap(step))(-x3 + 0.6), np.diag([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(ad.vmap(ad.grad(ad.grad(step)))(x3), np.zeros(3))


def test_the_derived_mode_for_examples_with_a_shared_argument() -> None:
    @ad.custom_rule
    def f(x: Any, y: Any) -> Any:
        return math.sin(x) * y, np.full(2, y * math.cos(x))

    @f.jvp
    def _(t: Any, x: Any, y: Any) -> Any:
        second = t[1] * math.cos(x) - t[0] * y * math.sin(x)
        return t[0] * math.cos(x) * y + math.sin(x) * t[1], np.stack([second, second])

    def total(x: Any, y: Any) -> Any:
        first, second = f(x, y)
        return first + second.sum()

    plain = lambda x, y: np.sin(x) * y + 2 * y * np.cos(x)
    over = lambda f: ad.vmap(f, (0, None))
    for i in (0, 1):
        for derivative in (
            lambda f, i=i: over(ad.grad(f, i)),
            lambda f, i=i: ad.grad(lambda x, y: over(f)(x, y).sum(), i),
            lambda f, i=i: ad.jacfwd(over(f), i),
            lambda f, i=i: ad.jacrev(over(f), i),
        ):
            np.testing.assert_allclose(derivative(total)(x3, 2.0), derivative(plain)(x3, 2.0), atol=1e-14)


def test_containers() -> None:
    @ad.custom_rule
    def scaled(params: Any, x: Any, power: int) -> Any:
        return params["w"] * x**power + params["b"][0]

    @scaled.vjp
    def _(g: Any, params: Any, x: Any, power: int) -> Any:
        return {"w": g * x**power, "b": [g]}, g * params["w"] * power * x ** (power - 1)

    params = {"w": np.array([1.0, 2.0, 3.0]), "b": [np.array([0.5, 0.5, 0.5])]}
    f = lambda p, x: (scaled(p, x, 2) ** 2).sum()
    plain = lambda p, x: ((p["w"] * x**2 + p["b"][0]) ** 2).sum()
    found, expected = ad.grad(f, (0, 1))(params, x3), ad.grad(plain, (0, 1))(params, x3)
    np.testing.assert_allclose(found[0]["w"], expected[0]["w"])
    np.testing.assert_allclose(found[0]["b"][0], expected[0]["b"][0])
    np.testing.assert_allclose(found[1], expected[1])
    np.testing.assert_allclose(ad.hvp(f, 1)(params, x3, x3), ad.hvp(plain, 1)(params, x3, x3))


def test_what_a_vjp_may_return() -> None:
    def gradients(vjp: Any, **more: Any) -> Any:
        f = ad.custom_rule(lambda x, y, n=2: x * y * n, vjp=vjp)
        return ad.grad(lambda x, y: f(x, y, **more).sum(), (0, 1))(x3, x3)

    expected = (2 * x3, 2 * x3)
    for vjp in (
        lambda g, x, y, n: (g * y * n, g * x * n),
        lambda g, x, y, n: [g * y * n, g * x * n],
        lambda g, x, y, n: (g * y * n, g * x * n, None),
        lambda g, x, y, n: {"y": g * x * n, "x": g * y * n},
    ):
        for more in ({}, {"n": 2}):
            for found, e in zip(gradients(vjp, **more), expected, strict=True):
                np.testing.assert_allclose(found, e)
    for vjp in (lambda g, y: (g * y * 2, None), lambda g, y: {"x": g * y * 2}):
        assert gradients(vjp)[1].tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(OperandError, match="1 cotangents for the arguments x, y"):
        gradients(lambda g: g)
    with pytest.raises(OperandError, match="4 cotangents"):
        gradients(lambda g: (g, g, g, g))


def test_cotangents_are_fitted() -> None:
    """Broadcasting is undone, the dtype is that of the argument."""
    f = ad.custom_rule(lambda x, y: x + y, vjp=lambda g: (g, g))
    gx, gy = ad.grad(lambda x, y: f(x, y).sum(), (0, 1))(np.ones((2, 3), np.float32), np.ones(3, np.float32))
    assert gx.shape == (2, 3) and gy.shape == (3,) and gy.tolist() == [2.0] * 3 and gy.dtype == np.float32
    bad = ad.custom_rule(lambda x: x * 2, vjp=lambda g: np.ones(5))
    with pytest.raises(OperandError, match=r"cotangent of shape \(5,\), expected \(3,\)"):
        ad.grad(lambda x: bad(x).sum())(x3)
    bad = ad.custom_rule(lambda x: x * 2, jvp=lambda t: np.ones(5))
    with pytest.raises(OperandError, match=r"tangent of shape \(5,\), expected \(3,\)"):
        ad.jvp(bad, x3, x3)
    bad = ad.custom_rule(lambda x: x * 2, vjp=lambda g: "text")
    with pytest.raises(OperandError, match="returned a str"):
        ad.grad(lambda x: bad(x).sum())(x3)


def test_integer_arguments_and_results_have_no_derivative() -> None:
    @ad.custom_rule
    def ranked(x: Any, n: Any) -> Any:
        return x * n, np.argsort(x)

    ranked.vjp(lambda g, n: (g[0] * n, None))
    y, order = ranked(Value(x3), np.array([1, 2, 3]))
    assert y.requires_grad and not order.requires_grad and order.dtype.kind == "i"
    np.testing.assert_allclose(ad.grad(lambda x: ranked(x, np.array([1, 2, 3]))[0].sum())(x3), [1, 2, 3])


def test_complex() -> None:
    f = ad.custom_rule(lambda z: z * z, vjp=lambda g, z: 2 * z * g)
    z = np.array([1 + 2j, -0.5j])
    loss = lambda f: lambda z: (abs(f(z)) ** 2).sum()
    np.testing.assert_allclose(ad.grad(loss(f))(z), ad.grad(loss(lambda z: z * z))(z))
    np.testing.assert_allclose(ad.jacobian(f)(z), np.diag(2 * z))


# -- rules that leave NumPy


@ad.custom_rule
def foreign(x: Any) -> Any:
    return np.asarray(x) ** 2


@foreign.vjp
def _(g: Any, x: Any) -> Any:
    return np.asarray([2 * float(a) * float(b) for a, b in zip(x, g, strict=True)])


def test_a_rule_outside_of_numpy_says_what_it_cannot() -> None:
    f = lambda x: foreign(x).sum()
    np.testing.assert_allclose(ad.grad(f)(x3), 2 * x3)
    np.testing.assert_allclose(ad.vmap(ad.grad(f))(np.stack([x3, x3])), [2 * x3, 2 * x3])
    for call in (
        lambda: ad.jvp(foreign, x3, x3),
        lambda: ad.hessian(f)(x3),
        lambda: ad.grad(lambda x: ad.grad(f)(x).sum())(x3),
    ):
        with pytest.raises(DetachError, match="foreign: its vjp uses something else than NumPy's functions"):
            call()


def test_a_rule_that_leaves_numpy_through_scipy() -> None:
    special = pytest.importorskip("scipy.special")
    f = ad.custom_rule(lambda x: special.gammaln(x), vjp=lambda g, x: g * special.digamma(x))
    np.testing.assert_allclose(ad.grad(f)(2.3), special.digamma(2.3))
    message = r"its vjp uses something else than NumPy's functions \(psi has no derivative rule.*declare both"
    with pytest.raises(DetachError, match=message):
        ad.grad(ad.grad(f))(2.3)


def test_closures_over_tracked_values() -> None:
    w = Value(2.0)
    f = ad.custom_rule(lambda x: x * w, vjp=lambda g: g)
    with pytest.raises(DetachError, match="closes over a tracked Value"):
        f(Value(1.0))
    f = ad.custom_rule(lambda x: x * 2.0, vjp=lambda g: g * w)
    with pytest.raises(GraphError, match="its vjp closes over a tracked Value"):
        ad.grad(f)(1.0)


@pytest.mark.parametrize("of", [lambda w: w, lambda w: w * 1.0])
def test_closures_of_a_rule_that_is_transposed(of: Any) -> None:
    def pushed(w: Any) -> Any:
        c = of(w)
        return ad.jvp(ad.custom_rule(lambda x: x * x, vjp=lambda g: g * c), 2.0, 1.0)[1]

    def pulled(w: Any) -> Any:
        c = of(w)
        return ad.grad(ad.custom_rule(lambda x: x * x, jvp=lambda t: t * c))(2.0)

    for f, rule in ((pushed, "vjp"), (pulled, "jvp")):
        with pytest.raises(GraphError, match=f"its {rule} closes over a tracked Value"):
            ad.grad(f)(3.0)
    c = of(Value(3.0))
    with pytest.raises(GraphError, match="its jvp closes over a tracked Value"):
        ad.custom_rule(lambda x: x * x, jvp=lambda t: t * c)(Value(2.0)).backward()


def test_a_rule_may_fill_a_buffer_and_call_the_function() -> None:
    """Also where it runs on Values, for higher orders."""

    @ad.custom_rule
    def exp(x: Any) -> Any:
        return np.array([math.exp(v) for v in x])

    @exp.vjp
    def _(g: Any, x: Any) -> Any:
        out, e = np.zeros(3), exp(x)
        for i in range(3):
            out[i] = g[i] * e[i]
        return out

    np.testing.assert_allclose(ad.grad(lambda x: exp(x).sum())(x3), np.exp(x3))
    np.testing.assert_allclose(ad.hessian(lambda x: exp(x).sum())(x3), np.diag(np.exp(x3)), atol=1e-14)


def test_the_function_gets_plain_arrays_and_cannot_write_to_them() -> None:
    seen = []

    @ad.custom_rule
    def f(x: Any) -> Any:
        seen.append(type(x))
        x[0] = 7.0
        return x

    f.vjp(lambda g: g)
    with pytest.raises(ValueError, match="read-only"):
        ad.grad(lambda x: f(x).sum())(x3)
    assert seen == [np.ndarray]
    g = ad.custom_rule(lambda x: np.zeros(3), vjp=lambda g: g)
    assert ad.grad(lambda x: g(x).sum())(x3).tolist() == [1.0] * 3


def test_a_rule_cannot_write_to_what_others_need() -> None:
    @ad.custom_rule
    def f(x: Any) -> Any:
        return x * x

    @f.vjp
    def _(g: Any, x: Any) -> Any:
        g *= 2 * x
        return g

    h = ad.custom_rule(lambda x: x * x, vjp=lambda g, x: np.multiply(x, 2 * g, out=x))
    for rule in (f, h):
        with pytest.raises(ValueError, match="read-only"):
            ad.grad(lambda x, rule=rule: (rule(x) + x).sum())(x3)
    np.testing.assert_allclose(ad.hessian(lambda x: (f(x) + x).sum())(x3), np.diag([2.0] * 3))
    np.testing.assert_allclose(ad.vmap(ad.grad(lambda x: (f(x) + x).sum()))(np.stack([x3])), [2 * x3 + 1])
    p = ad.custom_rule(lambda x: x * x, jvp=lambda t, x: np.multiply(t, 2 * x, out=t))
    with pytest.raises(ValueError, match="read-only"):
        ad.jvp(lambda x: p(x) + x, x3, x3)
    same = ad.custom_rule(lambda x: x * 1.0, vjp=lambda g: g, jvp=lambda t: t)
    assert ad.jvp(same, x3, x3)[1].flags.writeable and ad.grad(lambda x: same(x).sum())(x3).flags.writeable


def test_a_constant_that_is_written_to_later() -> None:
    f = ad.custom_rule(lambda x, c: x * c, vjp=lambda g, c: (g * c, None))
    c, v = np.array([1.0, 2.0, 3.0]), Value(x3)
    y = f(v, c).sum()
    c[:] = 0.0
    y.backward()
    assert v.grad.tolist() == [1.0, 2.0, 3.0]


# -- as an object


class Model:
    def __init__(self, w: float) -> None:
        self.w = w

    @ad.custom_rule
    def scaled(self, x: Any) -> Any:
        return self.w * x

    @scaled.vjp
    def _(g: Any, self: Any) -> Any:
        return {"x": g * self.w}


def test_methods() -> None:
    assert ad.grad(Model(3.0).scaled)(2.0) == 3.0
    assert ad.jvp(Model(3.0).scaled, 2.0, 5.0)[1] == 15.0


def test_looks_like_the_function() -> None:
    assert cube.__name__ == "cube" and "Python's numbers" in (cube.__doc__ or "")
    assert [*inspect.signature(product).parameters] == ["x", "y", "scale", "mode"]
    assert repr(cube) == "<custom_rule of cube, with vjp>"
    assert repr(ad.custom_rule(lambda x: x)) == "<custom_rule of <lambda>, with no rule yet>"
    assert "from=cube" in repr(cube(Value(1.0)))


def test_pickles_by_name() -> None:
    assert pickle.loads(pickle.dumps(cube)) is cube
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        assert [*pool.map(ad.grad(cube), [1.0, 2.0])] == [3.0, 12.0]
    rebuilt = pickle.loads(pickle.dumps(ad.custom_rule(np.square, vjp=_twice)))
    assert ad.grad(rebuilt)(3.0) == 6.0


def _twice(g: Any, x: Any) -> Any:
    return 2 * x * g


def test_threads() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(ad.grad(cube), range_of_floats := [float(i) for i in range(32)])] == [
            3 * x**2 for x in range_of_floats
        ]


def test_with_checkpoint_and_graph_pictures() -> None:
    np.testing.assert_allclose(ad.grad(lambda x: ad.checkpoint(lambda x: cube(x) * x)(x).sum())(x3), 4 * x3**3)
    assert "cube" in ad.draw_graph(cube(Value(1.0)).sum()).dot


def test_misuse() -> None:
    with pytest.raises(OperandError, match="pass a function"):
        ad.custom_rule(3.0)
    with pytest.raises(OperandError, match="the vjp of f is a int"):
        ad.custom_rule(named_f, vjp=3)  # type: ignore[arg-type]
    with pytest.raises(OperandError, match=r"parameters \['x'\]; it needs g"):
        ad.custom_rule(named_f, vjp=lambda x: x)
    with pytest.raises(OperandError, match="may name ans, x"):
        ad.custom_rule(named_f, vjp=lambda g, y: g)
    with pytest.raises(OperandError, match="it needs t"):
        ad.custom_rule(named_f, jvp=lambda g: g)
    with pytest.raises(OperandError, match=r"parameters of the vjp of f, max; wrap it: lambda g: max\(g\)"):
        ad.custom_rule(named_f, vjp=max)
    with pytest.raises(OperandError, match="the vjp of f takes g, x by position only"):
        ad.custom_rule(named_f, vjp=lambda g, x, /: g)
    bare = ad.custom_rule(named_f)
    assert bare(Value(2.0)).item() == 4.0
    for call in (lambda: ad.grad(bare)(2.0), lambda: ad.jvp(bare, 2.0, 1.0)):
        with pytest.raises(GraphError, match=r"no rule was declared; decorate one with @f\.vjp"):
            call()
    with pytest.raises(OperandError, match="returns arrays"):
        ad.custom_rule(lambda x: "text", vjp=lambda g: g)(Value(1.0))
    with pytest.raises(TypeError):
        cube(Value(1.0), 2)


def test_a_parameter_of_f_that_means_something_else_in_a_rule() -> None:
    def fall(g: Any, t: Any) -> Any:
        return g * t**2 / 2

    with pytest.raises(OperandError, match="fall has a parameter g, but in its vjp g is the cotangent; rename"):
        ad.custom_rule(fall, vjp=lambda g, t: (g * t**2 / 2, g * t))
    with pytest.raises(OperandError, match="fall has a parameter t, but in its jvp t is the tangents; rename"):
        ad.custom_rule(fall, jvp=lambda g, t: g * t)
    with pytest.raises(OperandError, match="has a parameter ans, but in its vjp ans is the result; rename"):
        ad.custom_rule(lambda ans: ans**2, vjp=lambda g, ans: 2 * g * ans)
    timed = ad.custom_rule(lambda x, t, ans: x * t, vjp=lambda g, x, t: (g * t, g * x, None))  # no doubt here
    assert ad.grad(timed, (0, 1))(2.0, 3.0, 1.0) == (3.0, 2.0)


def named_f(x: Any) -> Any:
    return x * x


named_f.__name__ = "f"


def test_debug_nans_names_it() -> None:
    f = ad.custom_rule(lambda x: x * 1.0, vjp=lambda g: g * np.nan)
    with ad.debug_nans(), pytest.raises(ad.NanError, match="<lambda>: the derivative"):
        ad.grad(lambda x: f(x).sum())(x3)


def test_partial() -> None:
    assert ad.grad(functools.partial(product, scale=2.0), has_aux=False) is not None
    g = ad.grad(lambda x: functools.partial(product, scale=2.0)(x, 3.0)["product"])(1.0)
    assert g == 6.0
