"""jit: numbers among the arguments are numbers in the function, and its keys, texts and types are those of Python."""

from __future__ import annotations

import collections
import json
import math
import numbers
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import JitWarning

X = np.array([0.3, 1.6, 2.5])
INTEGERS = [1, 2, 3, 4, 5, 6, 7, 4, 5, 20]  # the fourth is the first one that may be an input
FLOATS = [1.5, 2.5, -3.75, 2.5]


@pytest.fixture(params=["native", "numpy"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How programs are run."""
    if request.param == "native":
        pytest.importorskip("llvmlite")
    else:
        monkeypatch.setenv("AUTODIFF_JIT", "numpy")


def alike(found: Any, expected: Any) -> None:
    """The same structure, types, keys and dtypes, and numbers to rounding."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert [*map(repr, found)] == [*map(repr, expected)]
        found, expected = [*found.values()], [*expected.values()]
    if isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            alike(a, b)
    elif isinstance(expected, (str, int)):
        assert found == expected
    else:
        assert np.asarray(found).dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(found, expected, 1e-12)


def counts(f: Callable[..., Any], calls: Iterable[Any], **options: Any) -> Any:
    """Compare a jitted function with itself without `jit`; its counts."""
    jitted = ad.jit(f, **options)
    for call in calls:
        given = call if type(call) is tuple else (X, call)
        try:
            expected = f(*given)
        except Exception as error:
            with pytest.raises(type(error)):
                jitted(*given)
        else:
            alike(jitted(*given), expected)
    return jitted.cache_info()


# -- numbers are numbers


def test_a_list_times_a_number_of_layers() -> None:
    def net(x: Any, depth: int) -> Any:
        for w in [np.eye(3) * 2] * depth:
            x = x @ w
        return x

    counts(net, INTEGERS)


@pytest.mark.parametrize(
    "f",
    [
        lambda a, n: np.concatenate([a] * n),
        lambda a, n: np.ones([2] * (n % 5)) * a[0],
        lambda a, n: a * len((0,) * n + n * (0,)),
        lambda a, n: a * len("ab" * n),
        lambda a, n: a * sum(n * [1.5]),
        lambda a, n: a * n.bit_length(),
        lambda a, n: np.polynomial.hermite.hermval(a, [0] * (n % 4) + [1]),
    ],
)
def test_repeated(f: Callable[..., Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts(f, INTEGERS)


@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
def test_a_list_times_a_float_is_an_error() -> None:
    counts(lambda a, x: [0] * x, FLOATS)
    counts(lambda a, x: [0] * x, [np.float64(2.0)])


@pytest.mark.filterwarnings("ignore::autodiff.JitWarning")
@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_a_list_times_an_integer_of_numpy(kind: Any) -> None:
    counts(lambda a, n: a * len([0] * n), [kind(n) for n in INTEGERS])
    counts(lambda a, n: a * len(n * (0, 1)), [kind(n) for n in INTEGERS])
    counts(lambda k: np.ones(5) * len([0] * k[1]), [(np.array([1, n]),) for n in INTEGERS])


def kind_of(n: Any) -> int:
    match n:
        case bool():
            return 1
        case int():
            return 2
        case float():
            return 3
        case complex():
            return 4
    return 5


@pytest.mark.parametrize(
    "f",
    [
        lambda a, n: (isinstance(n, int), isinstance(n, float), isinstance(n, complex), isinstance(n, numbers.Number)),
        lambda a, n: a * kind_of(n),
        lambda a, n: {"is": isinstance(n, numbers.Real)},
    ],
)
@pytest.mark.parametrize("values", [INTEGERS, FLOATS, [1j, 2j, 3 + 1j]])
def test_what_it_is(f: Callable[..., Any], values: Any) -> None:
    counts(f, values)
    counts(lambda a, d: f(a, d["n"][0]), [(X, {"n": [n]}) for n in values])


@pytest.mark.parametrize("values", [INTEGERS, FLOATS])
def test_texts(values: Any) -> None:
    counts(lambda a, n: {f"k{n}": a, "%s" % n: a, str(n): a, repr(n): a, "{:.3f}".format(n): a}, values)  # noqa: UP031, UP032


# -- and still inputs


@pytest.mark.parametrize(
    "f",
    [
        lambda a, x: (a * x + x**2, x, x + 1, 2 * x),
        lambda a, x: (np.full(3, x), np.array([x, 2 * x]), np.linspace(0, x, 4), np.pad(a, 1, constant_values=x)),
        lambda a, x: (a**2) ** x * np.clip(a, -x, x) + np.where(a > x, x, a) + np.maximum(a, x),
        lambda a, x: ad.grad(lambda v: (v * v * x).sum())(a) * x,
        lambda a, x: ad.grad(lambda y: (a * y**2).sum())(x),
        lambda a, x: ad.value_and_grad(lambda y: np.sin(y) * y)(x),
        lambda a, x: ad.hessian(lambda y: y**3)(x),
        lambda a, x: ad.jvp(lambda y: a * y * y, (x,), (x,)),
        lambda a, x: ad.grad(lambda p: p["a"][0] * p["b"] ** 2)({"a": [x], "b": x + 1}),
        lambda a, x: ad.vmap(lambda r, s: r * s, (0, None))(a, x),
        lambda a, x: ad.jit(lambda v, y: v * y)(a, x) * x,
        lambda a, x: (round(x), math.floor(x) * a, math.ceil(x), math.trunc(x), round(x, 1)),
        lambda a, x: (x.conjugate(), x.real * a),
    ],
)
def test_floats_are_inputs(f: Callable[..., Any]) -> None:
    found = counts(f, FLOATS)
    assert (found.recordings, found.hits) == (1, 3)


def test_complex_numbers_are_inputs() -> None:
    found = counts(lambda a, z: (a * z, z * 2, abs(z), z.conjugate()), [1j, 2 + 1j, -3j])
    assert (found.recordings, found.hits) == (1, 2)


@pytest.mark.parametrize("transform", [ad.grad, ad.value_and_grad, lambda f: ad.grad(ad.grad(f)), ad.hessian])
def test_derivatives_with_respect_to_a_float(transform: Any) -> None:
    found = counts(transform(lambda x, a: (a * x**3).sum()), [(x, X) for x in FLOATS])
    assert (found.recordings, found.hits) == (1, 3)


def test_keywords() -> None:
    jitted = ad.jit(lambda a, *, rate, others: a * rate + others["b"][0] * others["c"])
    for x in FLOATS:
        alike(jitted(X, rate=x, others={"b": [x], "c": x + 1}), X * x + x * (x + 1))
    assert jitted.cache_info().recordings == 1


def test_beside_what_is_tracked() -> None:
    def f(a: Any, x: Any) -> Any:
        return ((a * x) ** 3 * len([0] * int(isinstance(x, float)))).sum()

    jitted = ad.jit(f)
    for x in FLOATS:
        np.testing.assert_allclose(ad.grad(jitted)(X, x), ad.grad(f)(X, x))
        np.testing.assert_allclose(ad.hessian(jitted)(X, x), ad.hessian(f)(X, x))
        np.testing.assert_allclose(ad.vmap(jitted, (0, None))(np.ones((2, 3)), x), [f(np.ones(3), x)] * 2)
    assert jitted.cache_info().recordings == 2  # the last one is for batches
    tracked = ad.jit(lambda a, n: a * len([0] * n))
    for n in INTEGERS:
        np.testing.assert_allclose(ad.grad(lambda a, n=n: tracked(a, n).sum())(X), [n] * 3)
        np.testing.assert_allclose(ad.vmap(tracked, (0, None))(np.ones((2, 3)), n), np.full((2, 3), n))


# -- keys


LOOKED_UP: list[Callable[..., Any]] = [
    lambda a, n: a * {0: 0.1, 5: 0.01}.get(n, 0.05),
    lambda a, n: a * (n in {4, 5, 6}),
    lambda a, n: a * {i: i * i for i in range(30)}[n],
    lambda a, n: a * len({n, 4, 5}),
    lambda a, n: a * hash(n),
    lambda a, n: {n: a},
    lambda a, n: a * collections.Counter([n, 4])[4],
    lambda a, n: a * len(json.dumps({"n": n})),  # which raises for what is none of Python's integers
]


@pytest.mark.parametrize("f", LOOKED_UP)
def test_integers_as_keys(f: Callable[..., Any]) -> None:
    """They are part of the program again, without a warning, and never inputs from then on."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = counts(f, INTEGERS)
        assert found.hits >= 2
        counts(f, INTEGERS, strict=True)


@pytest.mark.parametrize(
    ("f", "values"),
    [
        (lambda x: {0.0: 1.0, 1.5: 7.0}.get(x, 9.0), FLOATS),
        (lambda a: {0.0: 1.0, 1.0: 7.0}.get(a[1], 9.0), [X * 0, X * 0 + 1, X]),
        (lambda a: a[1] in {1.0, 2.0}, [X * 0, X * 0 + 1, X]),
        (lambda a: len({v: i for i, v in enumerate(a)}), [X, X * 0]),
        (lambda a: collections.Counter(a)[1.0], [X, X * 0 + 1]),
        (lambda a: a * hash(a.sum()), [X, X * 0 + 1]),
    ],
)
def test_what_is_computed_is_no_key(f: Callable[..., Any], values: Any) -> None:
    with pytest.warns(JitWarning, match=r"has a number as a key, or in a set; take int\(v\) or float\(v\) there"):
        counts(f, [(x,) for x in values])


def test_variables_as_keys() -> None:
    """They are objects, as without jit."""
    w = ad.Value([1.0, 2.0])
    rates = {w: 0.5}
    jitted = ad.jit(lambda x: (w * x * rates[w]).data)
    for x in FLOATS:
        np.testing.assert_allclose(jitted(x), [0.5 * x, x])


# -- integers that only Python has


@pytest.mark.parametrize(
    ("f", "values"),
    [
        (lambda a, n: a * (1 << n), [1, 2, 3, 4, 5, 62, 63, 64, -1]),
        (lambda a, n: a * (n * 3 + 1), [1, 2, 3, 4, 5, 2**62, 2**63 - 1]),
        (lambda a, n: a * n**3, [1, 2, 3, 4, 5, 2**40]),
        (lambda a, n: a * float(-n * 2), [1, 2, 3, 4, 5, 2**62]),
    ],
)
def test_large_integers(f: Callable[..., Any], values: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts(f, values)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("f", [lambda n: -n, abs, lambda n: n // -1])
def test_the_least_integer(f: Callable[[int], int]) -> None:
    state = {"n": 1}
    jitted = ad.jit(lambda a: a * float(f(state["n"])))
    for n in (1, 2, 3, -(2**63), 5):
        state["n"] = n
        np.testing.assert_allclose(jitted(X), X * float(f(n)))


# -- dtypes and types


@pytest.mark.parametrize("values", [[True, False, True], [1, 2, 3], [0.5, -1.5, 2.5]])
@pytest.mark.parametrize(
    "f", [lambda b: b**2, lambda b: b**3, lambda b: b[0] ** 2, lambda b: np.power(b, 2), np.modf, lambda b: b**True]
)
def test_dtypes(f: Callable[..., Any], values: Any) -> None:
    b = np.array(values)
    counts(f, [(b,), (b[::-1].copy(),)])


@pytest.mark.parametrize("values", [[True, False, True], [1, 2, 3], [0.5, -1.5, 2.5]])
@pytest.mark.parametrize("f", [lambda b: b**2, lambda b: b**3, lambda b: np.power(b, 2), np.modf, lambda b: b**True])
def test_dtypes_of_batches(f: Callable[..., Any], values: Any) -> None:
    batch = np.array([values, values])
    alike(ad.vmap(f)(batch), f(batch))


def test_truth_values_to_the_power_of_an_argument() -> None:
    counts(lambda b, n: b**n, [(np.array([True, False]), n) for n in (1, 3, 4, 5, 6, 2, 2, 7)])


@pytest.mark.parametrize("f", [round, math.floor, math.ceil, math.trunc])
def test_integers_of_elements(f: Callable[[Any], Any]) -> None:
    found = counts(lambda a: (f(a[1]), a * f(a[2]), isinstance(f(a[0]), int)), [(X,), (X * 2.2,), (-X,)])
    assert found.recordings == 1
    counts(lambda x: (f(x), X * f(x)), [(x,) for x in (1.5, -0.2, 1e300, math.inf, math.nan, 2.5)])
