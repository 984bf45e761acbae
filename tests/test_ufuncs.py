"""The edges of ufuncs and their keywords, np.emath beyond the real domain, nan_to_num and clip."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_rules import adjoint, compare_first_order, derivative

import autodiff as ad
from autodiff import OperandError, Value


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


# -- the edges


@pytest.mark.parametrize(
    ("f", "quotients"),
    [(np.remainder, [9, -10, 1, -2, -1, 0]), (np.fmod, [9, -9, 1, -1, 0, 0])],
)
def test_remainders(f: Any, quotients: list[int]) -> None:
    """x - n y, where n is the quotient that NumPy took: 1.0 % 0.1 is 0.0999..., so n is 9 and not 1.0 / 0.1."""
    operands = [(1.0, 0.1), (-1.0, 0.1), (5.0, 3.0), (-5.0, 3.0), (-1.0, math.inf), (1.0, math.inf)]
    for (x, y), n in zip(operands, quotients, strict=True):
        assert derivative(f, x, y) == 1
        assert derivative(f, x, y, wrt=1) == -n
        assert math.isinf(y) or abs(x - n * y - f(x, y)) < 1e-15


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_arctan2_of_any_size(scale: float) -> None:
    """Its derivatives are `y / r^2` and `-x / r^2`, where the square would overflow."""
    x, y = 3 * scale, 4 * scale
    np.testing.assert_allclose(derivative(np.arctan2, x, y), 0.16 / scale)
    np.testing.assert_allclose(derivative(np.arctan2, x, y, wrt=1), -0.12 / scale)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_inverse_functions_near_their_ends(sign: float) -> None:
    """Without the cancellation of 1 - x^2."""
    for k in (20, 40, 52):
        x, gap = sign * (1 - 2.0**-k), 2.0**-k * (2 - 2.0**-k)
        np.testing.assert_allclose(derivative(np.arcsin, x), gap**-0.5, rtol=1e-15)
        np.testing.assert_allclose(derivative(np.arccos, x), -(gap**-0.5), rtol=1e-15)
        np.testing.assert_allclose(derivative(np.arctanh, x), 1 / gap, rtol=1e-15)


@pytest.mark.parametrize("x", [0.75, -3.0, 1e-310, 1e300, 0.0])
def test_parts_of_a_number(x: float) -> None:
    """What frexp, modf, divmod and ldexp return is differentiated part by part; an exponent has no derivative."""
    mantissa, exponent = np.frexp(Value(x))
    assert not exponent.requires_grad and (mantissa.item(), exponent.item()) == np.frexp(x)
    assert derivative(lambda x: np.frexp(x)[0], x) == np.ldexp(1.0, -exponent.item())
    assert derivative(lambda x: np.ldexp(x, exponent.item()), 0.75) == np.ldexp(1.0, exponent.item())
    assert (derivative(lambda x: np.modf(x)[0], x), derivative(lambda x: np.modf(x)[1], x)) == (1, 0)
    assert (derivative(lambda x: np.divmod(x, 2.0)[0], x), derivative(lambda x: np.divmod(x, 2.0)[1], x)) == (0, 1)


@pytest.mark.parametrize("x", [1.5, -1.5, math.inf, -math.inf])
def test_copysign(x: float) -> None:
    for y in (2.0, -2.0, 0.0, -0.0, math.inf):
        assert derivative(np.copysign, x, y) == math.copysign(1.0, x) * math.copysign(1.0, y)
        assert derivative(np.copysign, x, y, wrt=1) == 0


def test_steps_between_floats() -> None:
    assert derivative(np.spacing, 1.0) == 0
    assert (derivative(np.nextafter, 1.0, 2.0), derivative(np.nextafter, 1.0, 2.0, wrt=1)) == (1, 0)


@pytest.mark.parametrize("f", [np.isposinf, np.isneginf, np.isreal, np.iscomplex])
def test_questions_have_untracked_answers(f: Callable[[Any], Any]) -> None:
    x = np.array([1.0, -np.inf, np.inf, np.nan])
    answer = f(Value(x))
    assert answer.dtype == bool and not answer.requires_grad
    np.testing.assert_array_equal(answer.data, f(x))


# -- keywords


SINGLE = {
    "dtype": {"dtype": np.float32},
    "dtype and casting": {"dtype": np.float32, "casting": "unsafe"},
    "order": {"order": "F", "dtype": "f"},
    "subok": {"subok": False, "dtype": "f"},
}


@pytest.mark.parametrize("f", [np.sin, np.sign, np.sqrt, np.trunc, np.fabs])
@pytest.mark.parametrize("name", [*SINGLE, "signature", "signature of types"])
def test_keywords_of_one_operand(f: Callable[..., Any], name: str) -> None:
    """The result has the dtype that was asked for, the gradient that of the operand."""
    x = np.array([[0.5, 1.5], [2.5, 3.5]])
    kwargs = SINGLE.get(name) or {"signature": "f->f" if name == "signature" else (np.float32, np.float32)}
    y = f(Value(x), **kwargs)
    assert y.dtype == np.float32 and y.requires_grad
    np.testing.assert_array_equal(y.data, f(x, **kwargs))
    gradient = ad.grad(lambda x: f(x, **kwargs).sum())(x)
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, ad.grad(lambda x: f(x).sum())(x), rtol=1e-6)


@pytest.mark.parametrize("f", [np.multiply, np.power, np.arctan2, np.float_power, np.remainder])
def test_keywords_of_two_operands(f: Callable[..., Any]) -> None:
    x, y = np.array([2.5, 3.5]), np.array([1.5, 0.7])
    kwargs = {"dtype": np.longdouble} if f is np.float_power else {"dtype": np.float32, "casting": "same_kind"}
    z = f(Value(x), Value(y), **kwargs)
    assert z.dtype == kwargs["dtype"] and z.requires_grad
    np.testing.assert_array_equal(z.data, f(x, y, **kwargs))
    gradients = ad.grad(lambda x, y: f(x, y, **kwargs).sum(), (0, 1))(x, y)
    for g, e in zip(gradients, ad.grad(lambda x, y: f(x, y).sum(), (0, 1))(x, y), strict=True):
        assert g.dtype == np.float64
        np.testing.assert_allclose(g, e, rtol=1e-5)


def test_keywords_of_several_results() -> None:
    x = Value(np.array([2.5, -3.5]))
    for parts in (np.modf(x, dtype=np.float32), np.divmod(x, 2.0, dtype=np.float32)):
        assert [p.dtype for p in parts] == [np.float32] * 2 and all(p.requires_grad for p in parts)


def test_sign_of_complex_numbers_as_another_type() -> None:
    z = np.array([3 + 4j, 1j])
    y = np.sign(Value(z), dtype=np.complex64)
    assert y.dtype == np.complex64 and y.requires_grad
    np.testing.assert_allclose(y.data, [0.6 + 0.8j, 1j], rtol=1e-6)


def test_unknown_keywords_are_refused() -> None:
    with pytest.raises((TypeError, OperandError), match=r"axis"):
        np.sin(Value(1.0), axis=0)


# -- np.emath


EMATH: dict[str, tuple[Callable[..., Any], list[float]]] = {
    "sqrt": (np.emath.sqrt, [-2.0, 3.0]),
    "log": (np.emath.log, [-2.0, 3.0]),
    "log2": (np.emath.log2, [-2.0, 3.0]),
    "log10": (np.emath.log10, [-2.0, 3.0]),
    "logn": (lambda x: np.emath.logn(3.0, x), [-2.0, 3.0]),
    "logn, of its base": (lambda n: np.emath.logn(n, -2.0), [-2.0, 3.0]),
    "power": (lambda x: np.emath.power(x, 1.5), [-2.0, 3.0]),
    "power with a negative exponent": (lambda x: np.emath.power(x, -2), [-2.0, 3.0]),
    "power, of its exponent": (lambda y: np.emath.power(-2.0, y), [-0.5, 1.5]),
    "arcsin": (np.emath.arcsin, [-2.0, 0.5, 3.0]),
    "arccos": (np.emath.arccos, [-2.0, 0.5, 3.0]),
    "arctanh": (np.emath.arctanh, [-2.0, 0.5, 3.0]),
}


@pytest.mark.parametrize("name", EMATH)
def test_beyond_the_real_domain(name: str, rng: np.random.Generator) -> None:
    """The result is complex, the derivative that of the branch NumPy is on, and the gradient real as the operand."""
    f, numbers = EMATH[name]
    x = np.array(numbers)
    y = f(Value(x))
    assert y.dtype == np.complex128
    np.testing.assert_array_equal(y.data, f(x))
    compare_first_order(f, [x], rng)
    adjoint(f, [x], rng)
    assert ad.grad(lambda x: (f(x) * f(x)).real.sum())(x).dtype == np.float64
    single = x.astype(np.float32)
    assert f(Value(single)).dtype == f(single).dtype
    assert ad.grad(lambda x: f(x).imag.sum())(single).dtype == np.float32
    second = ad.grad(lambda x: ad.grad(lambda x: (f(x) * f(x)).real.sum())(x).sum())(x)
    h = 1e-5
    differences = [ad.grad(lambda x: (f(x) * f(x)).real.sum())(x + s) for s in (-h, h)]
    np.testing.assert_allclose(second, (differences[1] - differences[0]) / (2 * h), rtol=1e-6, atol=1e-8)


def test_emath_within_the_real_domain() -> None:
    """There it is the real function, and stays real."""
    for ours, plain in ((np.emath.sqrt, np.sqrt), (np.emath.log, np.log), (np.emath.arcsin, np.arcsin)):
        y = ours(Value(np.array([0.25, 0.5])))
        assert y.dtype == np.float64
        np.testing.assert_allclose(derivative(ours, 0.25), derivative(plain, 0.25))
    assert derivative(lambda x: np.emath.power(x, 0.0), 0.0) == 0
    assert ad.grad(lambda x: np.where(x > 0, np.emath.sqrt(x), 0).sum())(np.array([0.0, 4.0])).tolist() == [0, 0.25]


# -- nan_to_num, clip


def test_nan_to_num() -> None:
    x = np.array([1.0, np.nan, np.inf, -np.inf])
    for kwargs in ({}, {"nan": 5.0}, {"posinf": 1.0, "neginf": -1.0}, {"nan": [1.0, 2.0, 3.0, 4.0]}):
        np.testing.assert_array_equal(np.nan_to_num(Value(x), **kwargs).data, np.nan_to_num(x, **kwargs))
        np.testing.assert_array_equal(ad.grad(lambda x, k=kwargs: np.nan_to_num(x, **k).sum())(x), [1, 0, 0, 0])
    z = np.array([1 + 1j, complex(np.nan, 2), complex(3, np.inf)])
    np.testing.assert_array_equal(np.nan_to_num(Value(z)).data, np.nan_to_num(z))
    gradient = ad.grad(lambda z: (np.nan_to_num(z).real + 2 * np.nan_to_num(z).imag).sum())(z)
    np.testing.assert_array_equal(gradient, [1 + 2j, 2j, 1])
    integers = np.nan_to_num(Value(np.arange(3), requires_grad=False))
    assert integers.dtype == int and not integers.requires_grad


def test_nan_to_num_in_place() -> None:
    def f(x: Any) -> Any:
        y = x * 2.0
        assert np.nan_to_num(y, copy=False, nan=7.0) is y
        return (y * y).sum()

    np.testing.assert_array_equal(ad.grad(f)(np.array([1.0, np.nan])), [8, 0])


def test_nan_to_num_of_tracked_replacements() -> None:
    with pytest.raises(TypeError, match=r"nan_to_num: .*tracked.*detach"):
        np.nan_to_num(Value([np.nan]), nan=Value(1.0))


def test_clip() -> None:
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    for f in (
        lambda x: np.clip(x, 0.0, 1.0),
        lambda x: np.clip(x, a_min=0.0, a_max=1.0),
        lambda x: np._core.umath.clip(x, 0.0, 1.0),
    ):
        np.testing.assert_array_equal(ad.grad(lambda x, f=f: f(x).sum())(x), [0, 0.5, 1, 0.5, 0])
    low, high = ad.grad(lambda a, b: np.clip(x, a, b).sum(), (0, 1))(-0.5, 1.5)
    assert (low, high) == (1, 1)
    assert np.clip(Value(x), 0, 1, dtype=np.float32).dtype == np.float32
    np.testing.assert_array_equal(ad.grad(lambda x: np.clip(x, 0.0, None).sum())(x), [0, 0.5, 1, 1, 1])
    same = Value(x)
    if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
        assert np.clip(same, None, None) is not same
