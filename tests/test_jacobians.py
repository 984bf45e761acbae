"""jacobian, hessian, hvp, vhp, linearize, elementwise_grad: both modes, every shape, containers, misuse."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from checks import over

import autodiff as ad
from autodiff import GraphError, OperandError, Value, jacobians, nn, record

Function = Callable[..., Any]

x3 = np.array([0.7, -0.4, 1.3])
M = np.random.default_rng(0).normal(size=(3, 3)) + 2 * np.eye(3)
MODES: list[Any] = [None, "fwd", "rev"]


def columns(f: Function, x: Any) -> Any:
    """The Jacobian column by column, by finite differences."""
    x = np.asarray(x, float)
    found = []
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = h = 1e-4
        far, near = np.asarray(f(x + 2 * step)) - f(x - 2 * step), np.asarray(f(x + step)) - f(x - step)
        found.append((8 * near - far) / (12 * h))
    shape = np.shape(f(x))
    return np.stack(found, -1).reshape(shape + x.shape) if found else np.zeros(shape + x.shape)


def filled(x: Any) -> Any:
    out = np.zeros(4)
    for i in range(3):
        out[i] = x[i] ** 2
        out[1:] += out[0] * x[i]
    return out


FUNCTIONS: dict[str, Function] = {
    "elementwise": lambda x: np.sin(x) * np.exp(x),
    "a number": lambda x: (x * x).sum() * x[0],
    "matmul": lambda x: M @ x,
    "outer": lambda x: np.multiply.outer(x, np.sin(x)),
    "solve": lambda x: np.linalg.solve(M + np.multiply.outer(x, x), x),
    "inverse": lambda x: np.linalg.inv(M + np.diag(x)),
    "eigenvalues": lambda x: np.linalg.eigvalsh(np.diag(x) + np.multiply.outer(x, x)),
    "svd": lambda x: np.linalg.svdvals(M * x),
    "cholesky": lambda x: np.linalg.cholesky(np.multiply.outer(x, x) + 3 * np.eye(3)),
    "fft": lambda x: np.fft.rfft(x).imag,
    "sort": lambda x: np.sort(x) * np.cumsum(x),
    "index": lambda x: x[[2, 0, 0, 1]] * x[::-1].repeat(2)[:4],
    "where": lambda x: np.where(x > 0, x**3, np.cos(x)),
    "einsum": lambda x: np.einsum("i,jk,k->ij", x, M, x),
    "cumprod": lambda x: np.cumprod(x),
    "a buffer": filled,
    "concatenate": lambda x: np.concatenate([x, x[:1] * x[1:2], [2.0]]),
    "softmax": ad.softmax,
    "median": lambda x: np.stack([np.median(x), np.max(x), np.std(x)]),
    "norm": lambda x: x / np.linalg.norm(x),
    "interp": lambda x: np.interp(x, np.array([-1.0, 0.0, 2.0]), np.array([1.0, 3.0, 2.0])),
    "convolve": lambda x: np.convolve(x, x),
    "checkpoint": ad.checkpoint(lambda x: np.sin(M @ x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_modes(name: str) -> None:
    f = FUNCTIONS[name]
    expected = columns(f, x3)
    for mode in MODES:
        found = ad.jacobian(f, mode=mode)(x3)
        assert type(found) is np.ndarray and found.shape == expected.shape and found.flags.writeable
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8, err_msg=str(mode))
    np.testing.assert_array_equal(ad.jacfwd(f)(x3), ad.jacobian(f, mode="fwd")(x3))
    np.testing.assert_array_equal(ad.jacrev(f)(x3), ad.jacobian(f, mode="rev")(x3))


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("interp", "checkpoint")])
def test_hessians(name: str) -> None:
    f = lambda x: (FUNCTIONS[name](x) ** 2).sum()
    expected = columns(ad.grad(f), x3)
    v = np.array([0.3, -1.0, 0.5])
    found = ad.hessian(f)(x3)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found, found.T, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ad.hvp(f)(x3, v), found @ v, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ad.vhp(f)(x3, v), v @ found, rtol=1e-9, atol=1e-9)
    for outer in (ad.jacfwd, ad.jacrev):
        for inner in (ad.jacfwd, ad.jacrev):
            np.testing.assert_allclose(outer(inner(f))(x3), found, rtol=1e-9, atol=1e-9)


# -- shapes and dtypes


def test_shapes() -> None:
    def check(shapes: tuple[Any, Any]) -> None:
        inside, outside = shapes
        w = np.random.default_rng(1).normal(size=(*outside, *inside))
        f = lambda x: (w * x).sum(axis=tuple(range(len(outside), w.ndim)))
        x = np.random.default_rng(2).normal(size=inside)[()]
        for mode in MODES:
            found = ad.jacobian(f, mode=mode)(x)
            assert np.shape(found) == (*outside, *inside)
            np.testing.assert_allclose(found, w)

    shapes = [(), (1,), (3,), (2, 3), (0,), (2, 0, 3), (1, 2, 1, 2)]
    over([(a, b) for a in shapes for b in shapes], check)


def test_numbers() -> None:
    assert ad.jacobian(lambda x: x**3)(2.0) == 12.0
    assert ad.hessian(lambda x: x**3)(2.0) == 12.0
    assert type(ad.hessian(lambda x: x**3)(2.0)) is np.float64
    assert ad.hvp(lambda x: x**3)(2.0, 3.0) == 36.0


def test_dtypes() -> None:
    single = x3.astype(np.float32)
    for mode in MODES:
        assert ad.jacobian(np.sin, mode=mode)(single).dtype == np.float32
        assert ad.jacobian(lambda x: x * np.ones(3), mode=mode)(single).dtype == np.float32  # as ad.grad's would be
        assert ad.jacobian(lambda x: x.astype(np.float32), mode=mode)(x3).dtype == np.float64
        assert ad.jacobian(lambda x: x * 1j, mode=mode)(single).dtype == np.complex64
        assert ad.jacobian(lambda x: np.ones(3), mode=mode)(single).dtype == np.float32
    assert ad.hessian(lambda x: (x**3).sum())(single).dtype == np.float32
    with pytest.raises(OperandError, match="jacobian: differentiated argument 0"):
        ad.jacobian(np.sin)(np.arange(3))
    with pytest.raises(OperandError, match=r"hessian: .*\.astype\(float\)"):
        ad.hessian(np.sum)([1, 2])


def test_results_without_a_derivative() -> None:
    for mode in MODES:
        assert ad.jacobian(lambda x: np.ones(2), mode=mode)(x3).tolist() == [[0.0] * 3] * 2
        assert ad.jacobian(lambda x: 5.0, mode=mode)(x3).tolist() == [0.0] * 3
        assert ad.jacobian(np.argsort, mode=mode)(x3).tolist() == [[0.0] * 3] * 3
        assert ad.jacobian(lambda x: {"a": x, "n": 1.0}, mode=mode)(x3)["n"].tolist() == [0.0] * 3
    assert not ad.hessian(lambda x: x.sum())(x3).any()
    with pytest.raises(OperandError, match="must return arrays"):
        ad.jacobian(lambda x: "text")(x3)


def test_complex() -> None:
    z = np.array([1 + 2j, -0.5j, 0.3])
    for mode in MODES:
        expected = np.diag(2 * z * z[0]) + np.outer(z * z, [1, 0, 0])
        np.testing.assert_allclose(ad.jacobian(lambda z: z * z * z[0], mode=mode)(z), expected)
        real_to_complex = lambda x: np.exp(1j * x) * x.sum()
        expected = np.diag(1j * np.exp(1j * x3) * x3.sum()) + np.exp(1j * x3)[:, None]
        np.testing.assert_allclose(ad.jacobian(real_to_complex, mode=mode)(x3), expected, atol=1e-15)
        with pytest.raises(OperandError, match="no complex derivative"):
            ad.jacobian(lambda z: abs(z), mode=mode)(z)
    with pytest.raises(OperandError, match="hessian: an argument is complex"):
        ad.hessian(lambda z: (abs(z) ** 2).sum())(z)
    np.testing.assert_allclose(ad.elementwise_grad(lambda z: z**3)(z), 3 * z**2)
    np.testing.assert_allclose(ad.linearize(lambda z: z * z, z)[1](np.ones(3)), 2 * z)


@pytest.mark.parametrize("mode", MODES)
def test_real_and_complex_together(mode: Any) -> None:
    real, turned, count = ad.jacobian(lambda x: (x * 2.0, x * 1j, x.astype(int)), mode=mode)(x3)
    np.testing.assert_array_equal(real, 2 * np.eye(3))
    assert real.dtype == float
    np.testing.assert_array_equal(turned, 1j * np.eye(3))
    assert not count.any()
    z = np.array([1 + 2j, -0.5j, 0.3])
    of_x, of_z = ad.jacobian(lambda x, z: z * z * x, argnums=(0, 1), mode=mode)(x3, z)
    np.testing.assert_allclose(of_x, np.diag(z * z))
    np.testing.assert_allclose(of_z, np.diag(2 * z * x3))
    second = ad.jacfwd(lambda x: ad.jacobian(lambda x: (x * x, z * x * x), mode=mode)(x)[1])(x3)
    np.testing.assert_allclose(np.einsum("iii->i", second), 2 * z)


# -- arguments


def test_several_arguments() -> None:
    f = lambda x, y, k=2: x * y[0] * k
    y = np.array([2.0, 5.0])
    for argnums in (0, "x", -2):
        np.testing.assert_allclose(ad.jacobian(f, argnums)(x3, y), np.eye(3) * 4)
    jx, jy = ad.jacobian(f, (0, "y"))(x3, y)
    np.testing.assert_allclose(jx, np.eye(3) * 4)
    np.testing.assert_allclose(jy, np.stack([2 * x3, 0 * x3], 1))
    np.testing.assert_allclose(ad.jacobian(f, "y")(x3, y=y, k=3), np.stack([3 * x3, 0 * x3], 1))
    blocks = ad.hessian(lambda x, y: (f(x, y) ** 2).sum(), (0, 1))(x3, y)
    np.testing.assert_allclose(blocks[0][0], np.eye(3) * 2 * 16)
    np.testing.assert_allclose(blocks[0][1], blocks[1][0].T)
    found = ad.hvp(lambda x, y: (f(x, y) ** 2).sum(), (0, 1))(x3, y, (x3, y))
    np.testing.assert_allclose(found[0], blocks[0][0] @ x3 + blocks[0][1] @ y)
    np.testing.assert_allclose(found[1], blocks[1][0] @ x3 + blocks[1][1] @ y)
    for transform in (ad.hvp, ad.vhp):
        np.testing.assert_allclose(transform(lambda x, y: (f(x, y) ** 2).sum(), 1)(x3, y, y), blocks[1][1] @ y)
    with pytest.raises(OperandError, match="argnums"):
        ad.jacobian(f, 5)(x3, y)
    with pytest.raises(OperandError, match="argnums"):
        ad.hessian(f, "z")


@dataclass
class Params:
    w: Any
    b: Any
    name: str = "layer"


def test_containers() -> None:
    p = Params(M, x3)
    f = lambda p, x: OrderedDict(y=np.tanh(p.w @ x + p.b), s=[p.b.sum()])
    for mode in MODES:
        j = ad.jacobian(f, mode=mode)(p, x3)
        assert type(j) is OrderedDict and isinstance(j["y"], Params) and j["y"].name == "layer"
        slope = 1 - np.tanh(M @ x3 + x3) ** 2
        np.testing.assert_allclose(j["y"].b, np.diag(slope), atol=1e-15)
        assert j["y"].w.shape == (3, 3, 3)
        np.testing.assert_allclose(j["y"].w[1, 1], slope[1] * x3)
        assert j["s"][0].b.tolist() == [1.0] * 3 and not j["s"][0].w.any()
    h = ad.hessian(lambda d: (d["a"] * d["b"] ** 2).sum())({"a": x3, "b": x3})
    np.testing.assert_allclose(h["a"]["b"], np.diag(2 * x3))
    np.testing.assert_allclose(h["b"]["b"], np.diag(2 * x3))
    v = ad.hvp(lambda d: (d["a"] * d["b"] ** 2).sum())({"a": x3, "b": x3}, {"a": x3, "b": 0 * x3})
    np.testing.assert_allclose(v["b"], 2 * x3 * x3)


def test_modules() -> None:
    model = nn.Sequential(nn.Linear(3, 2, rng=0), nn.Tanh())
    j = ad.jacobian(lambda m, x: m(x))(model, x3)
    names = [n for n, _ in model.named_parameters()]
    shapes = {n: g.shape for n, g in j.state_dict().items()}
    assert shapes == {n: (2, *model.state_dict()[n].shape) for n in names}


def test_f_may_write_to_its_argument() -> None:
    def f(x: Any) -> Any:
        x[0] *= x[1]
        x += 1
        return x * x[0]

    x = x3.copy()
    expected = columns(lambda x: f(x.copy()), x3)
    for mode in MODES:
        np.testing.assert_allclose(ad.jacobian(f, mode=mode)(x), expected, rtol=1e-8)
    np.testing.assert_array_equal(x, x3)


# -- how it is done


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    walks: list[str] = []
    for name in ("walk_forward", "walk_back"):
        original = getattr(record, name)

        def run(*args: Any, name: str = name, original: Function = original, **kwargs: Any) -> Any:
            walks.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(record, name, run)
    return walks


def test_one_walk_in_the_cheaper_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = counted(monkeypatch)
    ad.jacobian(lambda x: np.stack([x.sum(), (x * x).sum()]))(np.ones(10_000))
    assert walks == ["walk_back"]
    walks.clear()
    ad.jacobian(lambda x: np.multiply.outer(x, np.ones(1000)))(np.ones(2))
    assert walks == ["walk_forward"]
    walks.clear()
    ad.hessian(lambda x: (x**3).sum())(np.ones(50))
    assert walks == ["walk_back", "walk_forward"]


def test_f_runs_once() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(1)
        return (x**3).sum()

    calls_of = [ad.hessian(f), ad.jacobian(f), ad.jacrev(f), lambda x: ad.hvp(f)(x, x)]
    for call in [*calls_of, ad.elementwise_grad(lambda x: f(x) * x)]:
        calls.clear()
        call(x3)
        assert len(calls) == 1
    calls.clear()
    _, push = ad.linearize(f, x3)
    for _ in range(5):
        push(x3)
    assert len(calls) == 1


@pytest.mark.parametrize("limit", [1, 7, 12])
def test_in_parts(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all directions at once would take too much memory."""
    f = lambda d: {"a": d["x"] * d["y"], "b": d["x"].sum()}
    d = {"x": x3, "y": x3[::-1] * 2}
    whole = [ad.jacobian(f, mode=mode)(d) for mode in MODES]
    hessian = ad.hessian(lambda x: (x**3).sum() * x[0])(x3)
    monkeypatch.setattr(jacobians, "LIMIT", limit)
    for mode, expected in zip(MODES, whole, strict=True):
        found = ad.jacobian(f, mode=mode)(d)
        for out in "ab":
            for name in "xy":
                np.testing.assert_array_equal(found[out][name], expected[out][name])
    np.testing.assert_array_equal(ad.hessian(lambda x: (x**3).sum() * x[0])(x3), hessian)


# -- outer derivatives


def test_tracked_closures_and_arguments() -> None:
    z = Value(x3)
    for transform in (ad.jacobian, ad.jacfwd, ad.jacrev):
        j = transform(lambda x: x * x * z)(x3)
        assert isinstance(j, Value) and j.requires_grad
        z.zero_grad()
        j.sum().backward()
        np.testing.assert_allclose(z.grad, 2 * x3)
    h = ad.hessian(lambda x: (x**3 * z).sum())(x3)
    z.zero_grad()
    (h * np.eye(3)).sum().backward()
    np.testing.assert_allclose(z.grad, 6 * x3)
    v = Value(x3)
    ad.jacobian(lambda x: x**3)(v).sum().backward()
    np.testing.assert_allclose(v.grad, 6 * x3)
    _, push = ad.linearize(lambda x: x * x * z, x3)
    t = push(np.ones(3))
    assert isinstance(t, Value) and t.requires_grad
    with ad.no_grad():
        for transform in (ad.jacobian, ad.hessian):
            assert type(transform(lambda x: (x**3 * z).sum())(x3)) is np.ndarray


def test_linearize() -> None:
    f = lambda x, y: {"p": x * y, "s": x.sum()}
    y, push = ad.linearize(f, x3, 2 * x3)
    np.testing.assert_array_equal(y["p"], 2 * x3 * x3)
    for t in (x3, np.ones(3)):
        expected = ad.jvp(f, (x3, 2 * x3), (t, t))[1]
        np.testing.assert_array_equal(push(t, t)["p"], expected["p"])
        assert push(t, t)["s"] == expected["s"]
    rows = np.stack([push(e, 0 * e)["p"] for e in np.eye(3)])
    np.testing.assert_array_equal(ad.vmap(lambda e: push(e, 0 * e)["p"])(np.eye(3)), rows)
    with pytest.raises(ValueError, match="shape"):
        push(np.ones(2), np.ones(3))
    with pytest.raises(OperandError, match="tuple"):
        push(np.ones(3))


def test_misuse() -> None:
    with pytest.raises(OperandError, match='mode=\'reverse\'; it is "fwd", "rev" or None'):
        ad.jacobian(np.sin, mode="reverse")
    with pytest.raises(GraphError, match=r"hessian: <lambda> must return a scalar"):
        ad.hessian(lambda x: x)(x3)
    with pytest.raises(GraphError, match="hvp: <lambda> must return a scalar"):
        ad.hvp(lambda x: x)(x3, x3)
    with pytest.raises(OperandError, match=r"hvp: 1 arguments; call it as hvp\(<lambda>\)\(\*args, v\)"):
        ad.hvp(lambda x: x.sum())(x3)
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(3,\)"):
        ad.hvp(lambda x: (x * x).sum())(x3, np.ones(2))
    with pytest.raises(ValueError, match=r"vhp: vector has shape \(2,\), expected \(3,\)"):
        ad.vhp(lambda x: (x * x).sum())(x3, np.ones(2))
    with pytest.raises(OperandError, match=r"made shape \(\) of an argument of shape \(3,\).*use jacobian"):
        ad.elementwise_grad(np.sum)(x3)
    with pytest.raises(OperandError, match="pass the function itself"):
        ad.hessian(3.0)


def test_threads() -> None:
    f = lambda x: (np.sin(x) * x[0]).sum()
    expected = ad.hessian(f)(x3)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(ad.hessian(f), [x3] * 32):
            np.testing.assert_array_equal(found, expected)


def test_kinks() -> None:
    f = lambda x: np.where(x > 0, np.sqrt(x), 0.0).sum()
    x = np.array([0.0, 4.0])
    for transform in (ad.jacrev, ad.jacfwd):
        assert transform(f)(x).tolist() == [0.0, 0.25]
    assert np.isfinite(ad.hessian(f)(x)).all()
    assert not np.isnan(ad.jacobian(np.linalg.norm)(np.zeros(2))).any()
    assert math.isclose(ad.hessian(lambda x: np.hypot(x[0], x[1]))(np.array([3.0, 4.0]))[0, 0], 16 / 125)
