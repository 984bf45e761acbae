"""extend: declaring rules from outside, checking them, and what is refused."""

from __future__ import annotations

import doctest
import functools
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientMismatchError, OperandError, extend
from autodiff.rule import RULES

x3 = np.array([0.5, -1.0, 2.0])


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Rules are for good; those of these tests are not."""
    before = dict(RULES)
    yield
    for function in [*RULES]:
        if function not in before:
            del RULES[function]


def softsign() -> Any:
    @extend.dispatchable
    def softsign(x: Any) -> Any:
        return x / (1 + np.abs(x))

    return softsign


def test_elementwise() -> None:
    f = softsign()
    extend.elementwise(f, lambda g, x: g / (1 + np.abs(x)) ** 2)
    extend.check(f, x3)
    extend.check(f, 0.5)
    assert extend.rule_of(f).kind == "elementwise"  # type: ignore[union-attr]
    np.testing.assert_allclose(ad.vmap(ad.grad(f))(x3), 1 / (1 + abs(x3)) ** 2)


def test_linear_bilinear_general_composite() -> None:
    @extend.dispatchable
    def doubled(x: Any, times: int = 2) -> Any:
        return x * times

    extend.linear(doubled, lambda g, x, times=2: g * times)
    extend.check(doubled, x3)

    @extend.dispatchable
    def scaled(x: Any, y: Any) -> Any:
        return x * y

    extend.bilinear(scaled, lambda g, y: g * y, lambda g, x: x * g)
    extend.check(scaled, x3, x3 + 1)

    @extend.dispatchable
    def length(x: Any) -> Any:
        return np.sqrt((x * x).sum())

    extend.general(length, None, lambda g, x, ans: g * x / ans)
    extend.check(length, x3)

    @extend.dispatchable
    def twice(x: Any) -> Any:
        return x + x

    extend.composite(twice, extend.undispatched(twice))
    extend.check(twice, x3)


def test_a_batching_rule() -> None:
    """Without one the examples are taken one by one."""
    calls = []

    @extend.dispatchable
    def total(x: Any) -> Any:
        calls.append(1)
        return np.sum(x)

    extend.linear(total, lambda g, x: extend.expand(g, x.shape))
    xs = np.stack([x3, 2 * x3])
    np.testing.assert_allclose(ad.vmap(total)(xs), xs.sum(axis=1))
    assert len(calls) == 2
    extend.batch(total)(lambda x: extend.hide(x.whole.sum(axis=extend.axes_of(x, None)), x.levels))
    np.testing.assert_allclose(ad.vmap(total)(xs), xs.sum(axis=1))
    assert len(calls) == 2


def test_check_finds_what_is_wrong() -> None:
    f = softsign()
    extend.elementwise(f, lambda g, x: g / (1 + np.abs(x)))
    with pytest.raises(GradientMismatchError):
        extend.check(f, x3)
    with pytest.raises(OperandError, match="no argument is floating point"):
        extend.check(np.sin, 3)

    @extend.dispatchable
    def widened(x: Any) -> Any:
        return x * 2.0

    extend.elementwise(widened, lambda g: g * np.asarray(2.0))
    extend.check(widened, x3)

    @extend.dispatchable
    def doubled(x: Any) -> Any:
        return 2 * x

    extend.linear(doubled, lambda g, x: g * 3)  # the function is its own jvp, and the transpose is not its transpose
    with pytest.raises(GradientMismatchError):
        extend.check(doubled, x3)


@pytest.mark.parametrize("function", [np.exp, np.sum, np.matmul, np.sort])
def test_the_librarys_own_rules_pass(function: Any) -> None:
    extend.check(function, *([np.eye(2) + 0.1] * (2 if function is np.matmul else 1)))


def test_misuse() -> None:
    f = softsign()
    with pytest.raises(OperandError, match="pass the function itself"):
        extend.elementwise(3.0, lambda g: g)
    with pytest.raises(OperandError, match="exp has a rule already"):
        extend.elementwise(np.exp, lambda g, ans: g * ans)
    with pytest.raises(OperandError, match=r"a map of softsign has parameters \['g', 'w'\]"):
        extend.elementwise(f, lambda g, w: g * w)
    with pytest.raises(OperandError, match="2 maps for softsign, which takes 1 arguments"):
        extend.elementwise(f, lambda g: g, lambda g: g)
    assert extend.rule_of(f) is None


def declared(kind: str, f: Any, *maps: Any, **options: Any) -> Any:
    function = extend.dispatchable(f)
    getattr(extend, kind)(function, *maps, **options)
    return function


@pytest.mark.parametrize(
    ("kind", "f", "maps", "options", "message"),
    [
        ("linear", lambda x: x[::2], (lambda g, x: g,), {}, r"operand x returned shape \(2,\), expected \(3,\)"),
        ("linear", lambda x: 3 * x, (lambda g: 3.0,), {}, r"operand x returned shape \(\), expected \(3,\)"),
        ("linear", lambda x: 3 * x, (lambda g: None,), {}, "operand x returned a NoneType"),
        ("general", lambda x: x[:2], (None, lambda g: g), {}, r"operand x returned shape \(2,\), expected \(3,\)"),
        ("elementwise", lambda x: x * x, (lambda g, x: (g * x).sum(),), {}, r"operand x returned shape \(\)"),
        (
            "bilinear",
            lambda x, y: x * y,
            (lambda g, y: g * y, lambda g, x: g[:2]),
            {},
            r"operand y returned shape \(2,",
        ),
        ("general", lambda x: (x, x), (None, lambda g: g[0][:2]), {"outputs": 2}, r"operand x returned shape \(2,"),
        (
            "general",
            lambda x: x,
            (lambda x: x, lambda g: g),
            {},
            r"forward of its rule returned a ndarray; return \(ans",
        ),
    ],
)
def test_what_maps_return_is_checked(kind: str, f: Any, maps: Any, options: Any, message: str) -> None:
    q = declared(kind, f, *maps, **options)
    two = kind == "bilinear"
    first = lambda y: y[0] if options else y
    with pytest.raises(OperandError, match=message):
        ad.grad(lambda x: first(q(x, x) if two else q(x)).sum())(x3)
    if kind == "elementwise":
        with pytest.raises(OperandError, match=r"shape \(\) for a tangent of shape \(3,\)"):
            ad.jvp(q, x3, x3)


def test_broadcasting_is_still_undone() -> None:
    q = declared("elementwise", lambda x, y: x * y, lambda g, y: g * y, lambda g, x: g * x)
    extend.check(q, x3, np.ones((2, 1)))
    extend.check(q, x3, 2.0)
    y, single = np.ones((2, 1)), x3.astype(np.float32)
    assert ad.grad(lambda x: q(x, y).sum())(single).dtype == np.float32


def test_defaults_of_a_map() -> None:
    scaled = lambda x, k=2.0: x * k
    for m, said in ((lambda g, x, k: g * k, "without a default"), (lambda g, x, k=3.0: g * k, "the default 3.0")):
        with pytest.raises(OperandError, match=f"parameter k .*{said}, the function has 2.0; give it the same"):
            declared("elementwise", scaled, m)
    q = declared("elementwise", scaled, lambda g, x, k=2.0: g * k)
    np.testing.assert_array_equal(ad.grad(lambda x: q(x).sum())(x3), 2.0)
    np.testing.assert_array_equal(ad.grad(lambda x: q(x, k=3.0).sum())(x3), 3.0)
    with pytest.raises(OperandError, match="dispatchable: the argument is a int; pass a function"):
        extend.dispatchable(3)  # type: ignore[type-var]


@pytest.mark.parametrize("of", [lambda w: w, lambda w: w * 1.0])
def test_a_map_that_closes_over_a_tracked_value(of: Any) -> None:
    """Also where it is transposed, for the jvp of a general rule."""

    def pushed(w: Any) -> Any:
        c = of(w)
        return ad.jvp(declared("general", lambda x: 3 * x, None, lambda g: g * c), 2.0, 1.0)[1]

    assert ad.grad(pushed)(3.0) == 1.0


def plain(x: Any) -> Any:
    return 2 * x


@pytest.mark.parametrize("declare", [extend.elementwise, extend.linear, extend.bilinear, extend.general])
def test_a_rule_that_nobody_would_ask_for(declare: Any) -> None:
    with pytest.raises(OperandError, match=rf"extend.{declare.__name__}: .* plain .*@extend.dispatchable"):
        declare(plain, lambda g: 2 * g)
    with pytest.raises(OperandError, match=r"@extend.dispatchable"):
        extend.composite(plain, plain)
    assert extend.rule_of(plain) is None


@pytest.mark.parametrize("m", [np.negative, functools.partial(plain, x=2.0)], ids=["ufunc", "partial"])
def test_a_map_without_names(m: Any) -> None:
    f = softsign()
    with pytest.raises(OperandError, match=r"extend.linear: .* a map of softsign .* lambda g, x: ..."):
        extend.linear(f, m)
    with pytest.raises(OperandError, match=r"extend.general: .* a map of softsign"):
        extend.general(f, None, m)
    assert extend.rule_of(f) is None


@pytest.mark.parametrize("name", [name for name in extend.__all__ if name != "Rule"])
def test_every_name_has_an_example(name: str) -> None:
    """Those of declarators are not found by doctest, as they are made by a function."""
    public = getattr(extend, name)
    home = importlib.import_module(public.__module__)
    globs = {**vars(home), "Value": ad.Value, **{n: getattr(extend, n) for n in extend.__all__}}
    found = doctest.DocTestParser().get_doctest(public.__doc__, globs, name, None, None)
    assert found.examples
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    assert not doctest.DocTestRunner(verbose=False, optionflags=flags).run(found).failed
