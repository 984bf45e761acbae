"""Writing to Values: the dtypes of buffers and of what is written, complex numbers and their parts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from all_orders import check_all
from checks import over, raw
from test_mutation import V, X, compiled

from autodiff import Value


def buffers(*dtypes: Any) -> list[Any]:
    return [np.array([3, 1, 2, 5], dtype) for dtype in dtypes]


DTYPES = [np.float64, np.float32, np.float16, np.complex128, np.complex64, np.int64, np.int8, np.bool_]
TYPED = """
y[1:] = w[1:]
y[0] = w[1]
y[...] = 2
y[...] = 2.75
y[...] = 1j
y[mask] = w[mask]
y[[0, 0]] = w[:2]
y += w
y += 1
y += 0.5
y += 1j
y *= w
y /= 2
y //= 2
y **= 2
y &= y
y |= True
y -= y
np.add(y, w, out=y)
np.add(y, w, out=y, casting="unsafe")
np.add(w, w, out=y, dtype=np.float32)
np.sqrt(w, out=y)
np.copyto(y, w)
np.copyto(y, w, casting="unsafe")
np.add.at(y, [0, 0], w[:2])
np.add.at(y, [0, 0], 1)
np.put(y, [0, 1], w[:2])
y.fill(w[0])
y.fill(2.5)
y.flat[1:] = w[0]
y.real = w
y.imag = w
y.real = 0.5
y.imag[0] = 1
""".strip().splitlines()


@pytest.mark.parametrize("line", TYPED)
def test_dtypes(line: str) -> None:
    """The buffer keeps its dtype. Where NumPy refuses, so do we; where an imaginary part would be lost, we refuse."""
    operation = compiled(line)

    def check(case: tuple[Any, Any]) -> None:
        def run(y: Any, w: Any) -> Any:
            return operation(y, w, w, np.array([True, False, True, True]), None)

        y, w = buffers(*case)
        values = [Value(a, requires_grad=False) for a in (y, w)]
        variables = [Value(a).copy() if a.dtype.kind in "fc" else Value(a, requires_grad=False) for a in (y, w)]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                if y.dtype == bool and ("1j" in line or ("w" in line and w.dtype.kind == "c")):
                    raise TypeError("NumPy takes the truth of it")
                expected = run(y.copy(), w)
        except Exception as error:
            refused = (
                (TypeError, IndexError) if isinstance(error, (TypeError, np.exceptions.ComplexWarning)) else type(error)
            )
            for given in (values, variables):
                with pytest.raises(refused):
                    run(*given)
                assert_same(given[0], y)
            return
        for given in (values, variables):
            assert_same(run(*given), expected)

    over([(a, b) for a in DTYPES for b in DTYPES], check)


def assert_same(actual: Any, expected: Any) -> None:
    actual = raw(actual)
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("buffer", [np.float32, np.float64, np.complex64, np.complex128], ids=str)
@pytest.mark.parametrize("source", [np.float32, np.float64, np.complex64, np.complex128], ids=str)
def test_gradients_have_the_dtypes_of_their_values(buffer: Any, source: Any) -> None:
    if np.dtype(source).kind == "c" != np.dtype(buffer).kind:
        pytest.skip("a complex value does not fit")
    y, w = Value(np.arange(4), dtype=buffer), Value([1.0, 2.0], dtype=source)
    z = y * 1
    z[1:3] = w
    z[0] *= w[0].real
    z[3] = 7.0
    (z * np.arange(1, 5)).real.sum().backward()
    assert y.grad.dtype == buffer and y.grad.tolist() == [1, 0, 0, 0]
    assert w.grad.dtype == source and w.grad.tolist() == [2, 3]


def complex_fill(x: Any) -> Any:
    y = x * (1 + 0.5j)
    y[1:] = y[:-1] * y[0]
    y.imag[...] = x.real**2
    y.real[0] *= 2.0
    y[2] = 1j * x[0]
    y *= y
    np.multiply(y, 1 - 1j, out=y)
    np.add.at(y, [0, 0], x[:2])
    return np.concatenate([y, y.conj() * y, y.imag * 1j])


def real_and_imaginary(x: Any) -> Any:
    y = np.zeros_like(x, dtype=complex)
    y.real = x
    y.imag = x * x
    r, i = y.real, y.imag
    y *= y
    r[0], i[1] = i[0], r[1]
    return np.concatenate([r * i, y.real**2, (y * 1j).imag])


def test_complex() -> None:
    check_all(complex_fill, X)
    check_all(real_and_imaginary, X)
    check_all(complex_fill, X + 1j * V)


@pytest.mark.parametrize("part", [np.real, np.imag, lambda y: y, lambda y: y.T.imag.T, lambda y: y[::-1].real])
def test_cotangents_in_another_memory_order(part: Any) -> None:
    """A walk that works in place has to find the place in an array of any strides."""
    weights = np.cos(X).reshape(4, 3)

    def program(x: Any) -> Any:
        y = x * (1 + 0.5j)
        view = part(y).reshape(-1)
        view[3:5] = x[0, :2]
        total = ((y * 2.0).T * weights).sum() + ((y * 3.0).T * weights).sum()
        return total * total

    def reading(x: Any) -> Any:
        y = x * (1 + 0.5j)
        view = part(y).reshape(-1)
        y[0, 0] = x[1, 1]
        square = (view * view).sum()
        total = ((y * 2.0).T * weights).sum() + ((y * 3.0).T * weights).sum()
        return total * total + square

    check_all(program, X.reshape(3, 4) / 2)
    check_all(reading, X.reshape(3, 4) / 2)
