"""What a write means: for what was computed before, for variables, for arguments of transforms, and when it fails."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from all_orders import check_all
from checks import raw

import autodiff as ad
from autodiff import DetachError, GraphError, Value, optim

Function = Callable[..., Any]

X = np.array([[0.9, 0.4, 1.3], [0.7, 1.1, 0.6], [1.7, 0.8, 0.5]])
MASK = X > 0.75


# -- what was computed before does not change

FUNCTIONS: dict[str, Function] = {
    "exp": np.exp,
    "tanh": np.tanh,
    "sqrt": np.sqrt,
    "log": np.log,
    "sin": np.sin,
    "square": lambda y: y**2,
    "power": lambda y: y**y,
    "2 ** y": lambda y: 2.0**y,
    "y * y": lambda y: y * y,
    "y * y.T": lambda y: y * y.T,
    "1 / y": lambda y: 1.0 / y,
    "y / y.T": lambda y: y / y.T,
    "y @ y": lambda y: y @ y,
    "y @ row": lambda y: y @ y[0],
    "column * y": lambda y: y[:, :1] * y,
    "hypot": lambda y: np.hypot(y, y.T),
    "maximum": lambda y: np.maximum(y, y.T + 0.05),
    "where": lambda y: np.where(MASK, y, y * y),
    "prod": lambda y: np.prod(y, axis=0),
    "cumsum": lambda y: np.cumsum(y * y, axis=1),
    "var": lambda y: np.var(y, axis=1),
    "max": lambda y: np.max(y, axis=1) * y[0],
    "softmax": ad.softmax,
    "logsumexp": lambda y: ad.logsumexp(y, axis=0),
    "sigmoid": ad.sigmoid,
    "concatenate": lambda y: np.concatenate([y, y * y]),
    "indexed": lambda y: y[[0, 0, 2]] ** 2,
    "masked": lambda y: y[MASK] ** 2,
    "a part": lambda y: y[1:] * y[:-1],
    "reshaped": lambda y: y.reshape(-1) * y.ravel(),
    "outer": lambda y: np.multiply.outer(y[0], y[1]),
    "dot": lambda y: np.dot(y, y),
    "clip": lambda y: np.clip(y, 0.55, 1.2) * y,
    "astype": lambda y: y.astype(float) * y,
    "copy": lambda y: y.copy() * y,
}


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_an_operand_is_overwritten(f: Function) -> None:
    def program(x: Any) -> Any:
        y = x * 1.0
        a = f(y)
        y[1] = x[0] * 2.0
        b = f(y)
        y.T[...] *= x
        c = f(y)
        y[...] = 0.5
        return np.concatenate([np.ravel(r) for r in (a, b, c, y)])

    check_all(program, X)


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_result_is_overwritten(f: Function) -> None:
    def program(x: Any) -> Any:
        a = f(x * 1.0)
        b = a * a
        a[..., 0] = 0.5
        c = a * b
        b *= 0.3
        a += x[0, 0]
        return np.concatenate([np.ravel(r) for r in (a, b, c)])

    check_all(program, X)


@pytest.mark.parametrize("size", [3, 100_000])
def test_a_constant_value_is_overwritten(size: int) -> None:
    """Untracked, and of any size: what a node keeps is not written to. Nor is what was given to a write."""
    x = Value(np.full(size, 2.0))
    for change in (lambda c: c.fill(9.0), lambda c: operator.imul(c[:2], 5.0), lambda c: np.add(c, 1.0, out=c)):
        constant = Value(np.full(size, 3.0), requires_grad=False) * 1.0
        y = x.copy()
        y *= constant
        z = x * constant
        y[:2] += constant[:2]
        change(constant)
        x.zero_grad()
        (y + z)[:4].sum().backward()
        assert x.grad[:3].tolist() == [6, 6, 6]


@pytest.mark.parametrize("size", [3, 100_000])
def test_an_array_is_overwritten(size: int) -> None:
    """A plain one: small ones are copied when they are kept; to overwrite a large one is an error."""
    x, c = Value(np.full(size, 2.0)), np.full(size, 3.0)
    y = x.copy()
    y[:] = c  # nothing is kept
    y += x
    y[:1] = c[:1]
    y *= c
    c[:] = 7.0
    assert y.data[0] == 9 and y.data[1] == 15
    if size == 3:
        y[:2].sum().backward()
        assert x.grad[:3].tolist() == [0, 3, 0]
    else:
        with pytest.raises(GraphError, match="written"):
            y[:2].sum().backward()


def test_what_has_become_data_does_not_change() -> None:
    """`.data`, `.numpy()`, np.asarray and gradients are as they were when they were asked for."""
    y = Value([1.0, 2.0, 3.0]) * 1.0
    y[0] = 5.0  # the Value now owns its array
    seen = [y.numpy(), y.detach(), ad.stop_gradient(y), copy.copy(y), np.copy(y), np.array(y.detach())]
    y[1] = 6.0
    for s in seen:
        assert raw(s).tolist() == [5, 2, 3]
    assert y.data.tolist() == [5, 6, 3]


def test_gradients_are_not_shared() -> None:
    x = Value([1.0, 2.0])
    y = x * 1.0
    y.retain_grad()
    seed = np.array([3.0, 4.0])
    y.backward(seed)
    x.grad[0] = 99.0
    assert y.grad.tolist() == [3, 4] == seed.tolist()
    y[0] = 0.0
    assert x.grad.tolist() == [99, 4]


def test_the_graph_remembers_the_old_value() -> None:
    """A result from before the write can still be walked, in any order, and twice."""
    x = Value([1.0, 2.0])
    y = x * x
    before = y.sum()
    y[0] = x[1] * 5.0
    after = y.sum()
    for loss, expected in [(after, [0, 9]), (before, [2, 4]), (after, [0, 9])]:
        x.zero_grad()
        loss.backward(retain_graph=True)
        assert x.grad.tolist() == expected


def test_spent_values_can_be_written_but_not_walked_again() -> None:
    x = Value([1.0, 2.0])
    y = x * x
    y.sum().backward()
    y[0] = 3.0
    assert y.data.tolist() == [3, 4]
    with pytest.raises(GraphError, match="retain_graph=True"):
        y.sum().backward()
    y[:] = x * 2.0
    y = y.detach()
    y[0] = x[0]
    y.sum().backward()
    assert x.grad.tolist() == [3, 4]


def test_running_statistics() -> None:
    """A buffer outside the graph, updated without recording: no graph grows."""
    running, x = Value(np.zeros(2), requires_grad=False), Value([1.0, 2.0])
    for _ in range(3):
        with ad.no_grad():
            running *= 0.5
            running += x * 0.5
        assert not running.requires_grad
        (x * running).sum().backward()
    np.testing.assert_allclose(x.grad, np.array([1.0, 2.0]) * (0.5 + 0.75 + 0.875))
    running -= x.detach()
    assert not running.requires_grad


# -- under no_grad


def test_writes_under_no_grad_are_constants() -> None:
    x = Value([1.0, 2.0, 3.0])
    y = x * 2.0
    with ad.no_grad():
        y[0] = x[0] * 7.0
        y[1:2] *= 3.0
    assert y.data.tolist() == [7, 12, 6]
    (y * y).sum().backward()
    assert x.grad.tolist() == [0, 0, 24]


VARIABLES: dict[str, Function] = {
    "w[0] = 2": lambda w: operator.setitem(w, 0, 2.0),
    "w[...] = 2": lambda w: operator.setitem(w, ..., 2.0),
    "w += 2": lambda w: operator.iadd(w, 2.0),
    "w -= 2 * g": lambda w: operator.isub(w, 2.0 * np.ones(w.shape)),
    "w *= w": lambda w: operator.imul(w, w),
    "w /= 2": lambda w: operator.itruediv(w, 2.0),
    "w **= 2": lambda w: operator.ipow(w, 2),
    "w //= 1": lambda w: operator.ifloordiv(w, 1.0),
    "w %= 1": lambda w: operator.imod(w, 1.0),
    "w @= w": lambda w: operator.imatmul(w, w),
    "w[1:] += 1": lambda w: operator.iadd(w[1:], 1.0),
    "w.T[0] = 1": lambda w: operator.setitem(w.T, 0, 1.0),
    "w.reshape": lambda w: operator.setitem(w.reshape(-1), 0, 1.5),
    "w.flat": lambda w: operator.setitem(w.flat, 0, 1.5),
    "a row of a view": lambda w: operator.imul(w[1:][0], 3.0),
    "w.real = 0": lambda w: setattr(w, "real", 0.5),
    "w.fill": lambda w: w.fill(2.5),
    "w.put": lambda w: w.put([0], [5.0]),
    "w.sort": lambda w: w.sort(),
    "np.add(w, 1, out=w)": lambda w: np.add(w, 1.0, out=w),
    "np.exp(w, w)": lambda w: np.exp(w, w),
    "np.add(1, 1, out=w)": lambda w: np.add(1.0, np.ones(w.shape), out=w),
    "np.matmul(a, b, out=w)": lambda w: np.matmul(np.eye(3), np.eye(3), out=w),
    "np.add.at": lambda w: np.add.at(w, 0, 1.0),
    "np.multiply.at": lambda w: np.multiply.at(w, [0, 0], 2.0),
    "np.copyto": lambda w: np.copyto(w, 0.5),
    "np.put": lambda w: np.put(w, [0], 0.5),
    "np.place": lambda w: np.place(w, MASK, 0.5),
    "np.putmask": lambda w: np.putmask(w, MASK, 0.5),
    "np.fill_diagonal": lambda w: np.fill_diagonal(w, 0.5),
    "np.put_along_axis": lambda w: np.put_along_axis(w, np.array([[0, 1, 2]]), 5.0, 0),
}


@pytest.mark.parametrize("change", VARIABLES.values(), ids=VARIABLES)
def test_variables(change: Function) -> None:
    """Refused while recording. Under no_grad the variable stays what it is, with other numbers."""
    w = Value(X, name="w")
    row, loss = w[0], (w * w).sum()
    with pytest.raises(GraphError, match=r"x\.copy\(\).*no_grad"):
        change(w)
    np.testing.assert_array_equal(w.data, X)
    np.testing.assert_array_equal(row.data, X[0])
    node, expected = w._node, X.copy()
    change(expected)
    with ad.no_grad():
        change(w)
    np.testing.assert_array_equal(w.data, expected)
    np.testing.assert_array_equal(row.data, expected[0])
    assert w.is_leaf and w.requires_grad and w._node is node and w.name == "w" and w.grad is None
    loss.backward()
    np.testing.assert_array_equal(w.grad, 2 * X)  # where it was computed
    w.zero_grad()
    (row * w[1]).sum().backward()
    np.testing.assert_array_equal(w.grad, [expected[1], expected[0], np.zeros(3)])


def test_gradient_descent() -> None:
    w, v = Value([4.0, -3.0]), Value(2.0)
    objects = w, v
    for _ in range(50):
        loss = ((w - 1.0) ** 2).sum() + (v - 2.5) ** 2
        w.zero_grad()
        v.zero_grad()
        loss.backward()
        with ad.no_grad():
            w -= 0.3 * w.grad
            v[...] = v - 0.3 * v.grad
    assert (w, v) == objects or (w is objects[0] and v is objects[1])
    assert w.is_leaf and v.is_leaf and w.requires_grad and v.requires_grad
    np.testing.assert_allclose(w.data, [1, 1], rtol=1e-8)
    np.testing.assert_allclose(v.data, 2.5, rtol=1e-8)


# -- arguments of transforms


def writes_to_all(x: Any, y: Any) -> Any:
    x[0] *= y[1]
    y += x
    x[1:] = y[:-1] * x[1:]
    y.reshape(-1)[1] = x[0, 0]
    return (x * y).sum()


def test_arguments_are_copies() -> None:
    check_all(writes_to_all, X, X + 0.5, writes=True)
    x, y = X.copy(), Value(X + 0.5)
    for transform in (
        lambda: ad.grad(writes_to_all, (0, 1))(x, y),
        lambda: ad.value_and_grad(writes_to_all)(x, y.copy()),
        lambda: ad.vjp(writes_to_all, x, y)[1](1.0),
        lambda: ad.jvp(writes_to_all, (x, y), (x, x)),
        lambda: ad.grad(lambda p: writes_to_all(p["a"], p["b"][0]))({"a": x, "b": [y]}),
        lambda: ad.grad(lambda x: ad.grad(writes_to_all)(x, x * 2.0).sum())(x),
        lambda: ad.grad(ad.grad(lambda s: writes_to_all(s * x, s * X)))(0.5),
    ):
        first, again = transform(), transform()
        np.testing.assert_equal(str(first), str(again))
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(y.data, X + 0.5)
        assert y.is_leaf and y.grad is None


def test_arguments_that_are_not_differentiated_are_the_callers() -> None:
    """As NumPy: f gets the very array."""
    x, buffer, constant = X.copy(), np.zeros(3), Value(np.zeros(3), requires_grad=False)

    def f(x: Any, buffer: Any, constant: Any) -> Any:
        buffer[:] = 2.0
        constant[:] = 3.0
        return (x * buffer * constant).sum()

    np.testing.assert_array_equal(ad.grad(f)(x, buffer, constant), np.full((3, 3), 6.0))
    assert buffer.tolist() == [2, 2, 2] and constant.data.tolist() == [3, 3, 3]
    with pytest.raises(DetachError):
        ad.grad(lambda x, b: np.add(x, 1.0, out=b).sum())(x, np.zeros((3, 3)))


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam])
def test_optimizers_and_views(optimizer: Any) -> None:
    """A step is seen in the views of a variable, and not in what was computed before."""
    w = Value([1.0, 2.0, 3.0])
    view, step = w[1:], optimizer([w], lr=0.1)
    before, of_view = (w * w).sum(), (view * view).sum()
    (w * w).sum().backward()
    step.step()
    assert w.is_leaf and not np.any(w.data == [1, 2, 3])
    np.testing.assert_array_equal(view.data, w.data[1:])
    for loss, expected in [(before, [2, 4, 6]), (of_view, [0, 4, 6]), ((view * view).sum(), [0, *(2 * w.data[1:])])]:
        w.zero_grad()
        loss.backward()
        np.testing.assert_array_equal(w.grad, expected)
