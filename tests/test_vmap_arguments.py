"""The arguments of vmap are f's own: what it writes to them, nobody else sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import Value, vmap

A = np.array([[1.0, 2.0], [3.0, 4.0]])


def double(u: Any) -> Any:
    u *= 2
    return u


@pytest.mark.parametrize("loop", [False, True])
def test_a_write_under_a_derivative_stays_inside(loop: bool) -> None:
    def total(v: Any) -> Any:
        return vmap(double, loop=loop)(v).sum() + v.sum()

    value, g = ad.value_and_grad(total)(A)
    assert value == 30.0
    np.testing.assert_array_equal(g, np.full((2, 2), 3.0))


def test_a_write_in_forward_mode() -> None:
    y, t = ad.jvp(vmap(double), (A,), (np.ones((2, 2)),))
    np.testing.assert_array_equal(y, 2 * A)
    np.testing.assert_array_equal(t, np.full((2, 2), 2.0))


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_a_value_stays_as_it_was(axis: int | None, requires_grad: bool, loop: bool) -> None:
    v = Value(A, requires_grad=requires_grad)
    if requires_grad and axis is None:  # the user's variable itself, as under every transform
        with pytest.raises(ad.GraphError):
            vmap(lambda i, u: double(u), (0, axis), loop=loop)(np.zeros(2), v)
        return
    found = vmap(lambda i, u: double(u), (0, axis), loop=loop)(np.zeros(2), v)
    np.testing.assert_array_equal(v.data, A)
    assert type(v.data) is np.ndarray
    one = 2 * A if axis != 1 else 2 * A.T
    np.testing.assert_array_equal(getattr(found, "data", found), one if axis is not None else [one, one])


@pytest.mark.parametrize("of", [np.array, lambda x: Value(x, requires_grad=False)])
@pytest.mark.parametrize("loop", [False, True])
def test_what_is_the_same_for_all_examples_is_so_after_a_write(of: Any, loop: bool) -> None:
    def g(u: Any, w: Any) -> Any:
        w[0] += 5.0
        return u.sum() + w[0]

    b = of(np.zeros(2))
    np.testing.assert_array_equal(vmap(g, (0, None), loop=loop)(np.ones((3, 2)), b), np.full(3, 7.0))
    np.testing.assert_array_equal(b, np.zeros(2))


def test_a_buffer_from_outside_is_written_to_once() -> None:
    b = np.zeros(2)

    def count(u: Any) -> Any:
        b[0] += 1.0
        return u

    def fill(u: Any) -> Any:
        b[1] = u[0]
        return u

    vmap(count)(A)
    assert b.tolist() == [1.0, 0.0]
    with pytest.raises((ValueError, ad.BatchError)):
        vmap(fill)(A)
    assert b.tolist() == [1.0, 0.0]


x = np.array([1.0, 2.0])
product = lambda a, k: a * k
MESSAGES: dict[str, tuple[Any, str]] = {
    "a number by keyword": (
        lambda: vmap(product)(x, k=2.0),
        r"argument k of <lambda> is a float, which has no axis 0; .*vmap\(functools.partial\(<lambda>, k=...\)\)",
    ),
    "a scalar by keyword": (
        lambda: vmap(product)(x, k=np.float64(2.0)),
        r"argument k of <lambda> has shape \(\) and no axis 0; .*functools.partial",
    ),
    "in a container by keyword": (
        lambda: vmap(product)(x, k={"w": [x, 5.0]}),
        r'argument k\["w"\]\[1\] of <lambda> is a float, .*functools.partial\(<lambda>, k=...\)',
    ),
    "a number": (lambda: vmap(product)(x, 2.0), "argument 1 of <lambda> is a float, .*; pass None in in_axes"),
    "behind a text": (
        lambda: vmap(lambda t, a, k: a)("text", [x, 1.0], k=x),
        r"argument 1\[1\] of <lambda> is a float, .*; pass None in in_axes",
    ),
    "different numbers": (
        lambda: vmap(product)(x, k=np.ones(3)),
        r"argument 0 of shape \(2,\) has 2 along axis 0; argument k of shape \(3,\) has 3 along axis 0",
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_name_the_argument(name: str) -> None:
    call, message = MESSAGES[name]
    with pytest.raises((ValueError, ad.OperandError), match=f"vmap: .*{message}"):
        call()


@pytest.mark.parametrize("loop", [False, True])
def test_two_arguments_of_one_value(loop: bool) -> None:
    """Each is its own, as two copies would be."""

    def f(u: Any, w: Any) -> Any:
        u *= 2
        return (u * w).sum()

    def total(v: Any) -> Any:
        return vmap(f, loop=loop)(v, v).sum()

    value, g = ad.value_and_grad(total)(A)
    assert value == 2 * (A * A).sum()
    np.testing.assert_array_equal(g, 4 * A)
