"""Fourier transforms beyond the table: dtypes, what is linear over the reals only, second order, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import assert_close, directional, inner, random_like

import autodiff as ad
from autodiff import Value

REAL_IN = [np.fft.rfft, np.fft.ihfft, np.fft.rfft2, np.fft.rfftn]
REAL_OUT = [np.fft.irfft, np.fft.hfft, np.fft.irfft2, np.fft.irfftn]
COMPLEX = [np.fft.fft, np.fft.ifft, np.fft.fft2, np.fft.ifft2, np.fft.fftn, np.fft.ifftn]
ONE_AXIS = [np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft]

each = pytest.mark.parametrize("f", [*COMPLEX, *REAL_IN, *REAL_OUT], ids=lambda f: f.__name__)


def matrix(f: Callable[..., Any], n: int, imaginary: bool) -> Any:
    """The Jacobian of a linear function of `n` numbers, over the reals."""
    basis = [*np.eye(n), *(1j * np.eye(n) if imaginary else [])]
    return np.stack([f(e) for e in basis], axis=-1)


@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("f", ONE_AXIS, ids=lambda f: f.__name__)
def test_transpose_is_that_of_the_matrix(f: Callable[..., Any], n: int, norm: str | None, rng: Any) -> None:
    """Even and odd lengths: one frequency in the middle, or none, has no mirror image."""
    imaginary = f not in REAL_IN
    x = rng.normal(size=n) + (1j * rng.normal(size=n) if imaginary else 0)
    u = random_like(rng, f(x, norm=norm))
    (pulled,) = ad.vjp(lambda x: f(x, norm=norm), x)[1](u)
    jacobian = matrix(lambda e: f(e, norm=norm), n, imaginary)
    expected = (np.conj(u) @ jacobian).real
    expected = expected[:n] + (1j * expected[n:] if imaginary else 0)
    assert_close(pulled, expected, 1e-14 * n)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_single_precision_stays(f: Callable[..., Any], dtype: Any) -> None:
    if f in REAL_IN and dtype == np.complex64:
        return
    x = np.ones((3, 4), dtype)
    y, pull = ad.vjp(f, x)
    assert y.dtype == f(x).dtype == (np.float32 if f in REAL_OUT else np.complex64)
    assert pull(np.ones_like(y))[0].dtype == dtype
    assert ad.jvp(f, (x,), (x,))[1].dtype == y.dtype


@each
def test_second_order(f: Callable[..., Any], rng: Any) -> None:
    """The sum of |y|^4: its Hessian goes through the transform, its transpose, and the transpose of that."""
    x = rng.normal(size=(3, 4))
    v = random_like(rng, x)

    def power(x: Any) -> Any:
        y = f(x)
        return ((y.real * y.real + y.imag * y.imag) ** 2).sum() if y.dtype.kind == "c" else (y**4).sum()

    gradient = ad.grad(power)
    expected = directional(gradient, [x], [v])
    for second in (
        ad.grad(lambda x: (gradient(x) * v).sum())(x),
        ad.jvp(gradient, (x,), (v,))[1],
        ad.grad(lambda x: ad.jvp(power, (x,), (v,))[1])(x),
    ):
        assert_close(second, expected, 1e-8)


def test_unused_imaginary_parts_have_no_gradient() -> None:
    """irfft takes the frequencies at 0 and n / 2 for real."""
    z = Value(np.ones(4) + 1j)
    (np.fft.irfft(z) * [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]).sum().backward()
    assert z.grad.imag[0] == z.grad.imag[3] == 0
    assert (z.grad.imag[1:3] != 0).all()


def test_gradient_of_energy() -> None:
    """Parseval: sum |rfft(x)|^2, with every frequency counted twice that has a mirror image, is n sum(x^2)."""
    x = np.array([1.0, -2.0, 0.5, 3.0, 4.0])
    weight = np.array([1.0, 2.0, 2.0])
    energy = lambda x: (weight * np.abs(np.fft.rfft(x)) ** 2).sum() / 5
    assert_close(ad.grad(energy)(x), 2 * x, 1e-14)
    assert_close(ad.jvp(ad.grad(energy), (x,), (x,))[1], 2 * x, 1e-14)


def test_convolution_theorem(rng: Any) -> None:
    x, w = rng.normal(size=20), rng.normal(size=5)
    u = rng.normal(size=24)
    by_transform = lambda x, w: (u * np.fft.irfft(np.fft.rfft(x, 24) * np.fft.rfft(w, 24), 24)).sum()
    direct = lambda x, w: (u * np.convolve(x, w)).sum()
    for a, b in zip(ad.grad(by_transform, (0, 1))(x, w), ad.grad(direct, (0, 1))(x, w), strict=True):
        assert_close(a, b, 1e-13)


@pytest.mark.parametrize("f", [np.fft.fftn, np.fft.ifftn, np.fft.irfftn], ids=lambda f: f.__name__)
def test_repeated_axes(f: Callable[..., Any], rng: Any) -> None:
    """Each time with its own length: x is padded, transformed, cropped, and transformed again.

    (The order in which rfftn does it was another one in NumPy 2.0.)
    """
    x, options = rng.normal(size=(2, 4)), {"s": (3, 6, 2), "axes": (1, 1, 0)}
    y, pull = ad.vjp(lambda x: f(x, **options), x)
    u, v = random_like(rng, y), random_like(rng, x)
    np.testing.assert_allclose(y, f(x, **options), atol=1e-14)
    assert abs(inner(pull(u)[0], v) - inner(u, f(v, **options))) < 1e-13


def test_shifts_are_undone_by_each_other() -> None:
    x = np.arange(10.0).reshape(2, 5)
    u = np.arange(10.0, 20.0).reshape(2, 5)
    for axes in (None, 1, (0, 1), [-1]):
        (pulled,) = ad.vjp(lambda x, axes=axes: np.fft.fftshift(x, axes), x)[1](u)
        np.testing.assert_array_equal(pulled, np.fft.ifftshift(u, axes))
        (pulled,) = ad.vjp(lambda x, axes=axes: np.fft.ifftshift(x, axes=axes), x)[1](u)
        np.testing.assert_array_equal(pulled, np.fft.fftshift(u, axes))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: np.fft.fft(x, norm="orthogonal"), "norm"),
        (lambda x: np.fft.hfft(x, norm="orthogonal"), "norm"),
        (lambda x: np.fft.ihfft(x, norm="orthogonal"), "norm"),
        (lambda x: np.fft.fft(x, 0), "0"),
        (lambda x: np.fft.fftn(x, (3, 4, 5), (0, 1)), "fftn: s has 3 lengths and axes has 2"),
        (lambda x: np.fft.irfft2(x, (3,)), "lengths"),
    ],
)
def test_errors(call: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call(Value(np.ones((3, 4))))
