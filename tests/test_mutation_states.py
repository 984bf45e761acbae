"""The states a Value can be in: written to or not, a view that is out of date, a scalar or a 0-d array; and errors."""

from __future__ import annotations

import copy
import operator
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from all_orders import check_all
from test_mutation_meaning import MASK, X

import autodiff as ad
from autodiff import AutodiffError, DetachError, Value

Function = Callable[..., Any]


# -- writes that fail

FAILURES: dict[str, Function] = {
    "index": lambda y: operator.setitem(y, 7, 1.0),
    "too many indices": lambda y: operator.setitem(y, (0, 0, 0), 1.0),
    "index in a list": lambda y: operator.setitem(y, [0, 9], 1.0),
    "shape": lambda y: operator.setitem(y, 0, np.ones(4)),
    "shape of a Value": lambda y: operator.setitem(y, slice(1), Value(np.ones(4))),
    "mask": lambda y: operator.setitem(y, np.array([True, False]), 1.0),
    "values for a mask": lambda y: operator.setitem(y, MASK, np.ones(2)),
    "complex": lambda y: operator.setitem(y, 0, 1j),
    "a string": lambda y: operator.setitem(y, 0, "a"),
    "an object": lambda y: operator.setitem(y, 0, object()),
    "a ragged list": lambda y: operator.setitem(y, 0, [[1.0], [1.0, 2.0], 3.0]),
    "a float index": lambda y: operator.setitem(y, 1.0, 1.0),
    "a string index": lambda y: operator.setitem(y, "a", 1.0),
    "+= shape": lambda y: operator.iadd(y, np.ones((3, 3, 3))),
    "+= mismatch": lambda y: operator.iadd(y, np.ones(4)),
    "+= complex": lambda y: operator.iadd(y, 1j),
    "+= a string": lambda y: operator.iadd(y, "a"),
    "@= shape": lambda y: operator.imatmul(y, np.ones(3)),
    "out= shape": lambda y: np.add(np.ones((2, 2)), 1.0, out=y),
    "out= dtype": lambda y: np.add(1j, np.ones(3), out=y),
    "at index": lambda y: np.add.at(y, [9], 1.0),
    "at shape": lambda y: np.add.at(y, [0], np.ones((2, 4))),
    "copyto shape": lambda y: np.copyto(y, np.ones(4)),
    "copyto casting": lambda y: np.copyto(y, 1j * np.ones(3)),
    "put index": lambda y: np.put(y, [99], 1.0),
    "fill a list": lambda y: y.fill([1.0, 2.0]),
    "read-only": lambda y: operator.setitem(np.broadcast_to(y, (2, 3, 3)), 0, 1.0),
    "a diagonal": lambda y: operator.setitem(np.diagonal(y), 0, 1.0),
    "sum shape": lambda y: np.sum(y, axis=0, out=y),
    "concatenate shape": lambda y: np.concatenate([y[0], y[1]], out=y),
    "a row": lambda y: operator.iadd(y[0], np.ones(4)),
    "flat": lambda y: operator.setitem(y.flat, 99, 1.0),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("written", [False, True], ids=["as computed", "after a write"])
def test_a_write_that_fails_changes_nothing(fail: Function, written: bool) -> None:
    """Value, node, views and gradient are as before, and NumPy fails too."""
    with pytest.raises((ValueError, IndexError, TypeError)):
        fail(X.copy())
    x = Value(X)
    y = x * 2.0
    row, flat = y[1], y.reshape(-1)
    if written:
        y[0, 0] = 0.0
    before, node = y.numpy(), y._node
    with pytest.raises((ValueError, IndexError, TypeError)):
        fail(y)
    np.testing.assert_array_equal(y.data, before)
    assert y._node is node
    np.testing.assert_array_equal(row.data, before[1])
    row[0] = 100.0  # the views are still views
    assert y.data[1, 0] == flat.data[3] == 100.0
    (y * flat.reshape(3, 3)).sum().backward()
    expected = 8 * X
    expected[1, 0] = 0.0
    if written:
        expected[0, 0] = 0.0
    np.testing.assert_allclose(x.grad, expected)


# -- scalars and 0-d arrays


def test_scalars_are_replaced_not_written() -> None:
    """`y[0]`, sums and numbers are scalars, as np.float64 is."""
    x = Value([1.0, 2.0])
    y = x * 1.0
    for make in (lambda: y[0], lambda: y.sum(), lambda: y[0] * 1.0, lambda: y @ y, lambda: y.max(), lambda: y.mean()):
        s = make()
        alias, before = s, s.item()
        s += 5.0
        s *= 2.0
        assert s is not alias and alias.item() == before and s.item() == 2 * (before + 5)
        assert y.data.tolist() == [1, 2]
        wide = alias.reshape(1)
        wide[0] = 77.0
        assert alias.item() == before and wide.data.tolist() == [77]


def test_zero_d_arrays_are_written() -> None:
    """np.zeros(()), y.reshape(()), y[0, ...] and their like: what has another name sees it."""
    x = Value([3.0])
    for make in (
        lambda: np.zeros_like(x.reshape(())),
        lambda: (x * 1.0).reshape(()),
        lambda: (x * 1.0)[0, ...],
        lambda: np.copy(x[0]),
        lambda: np.squeeze(x * 1.0),
        lambda: x.copy().reshape(1, 1)[0, 0, ...],
        lambda: Value(np.array(2.0)).copy(),
        lambda: Value(np.array(2.0), requires_grad=False),
    ):
        s = make()
        alias, wide, before = s, s.reshape(1), s.item()
        s += 5.0
        assert s is alias and s.item() == wide.item() == before + 5
        s[...] = 7.0
        s[()] *= 2.0
        assert alias.item() == wide.item() == 14
        wide[0] = 3.0
        np.multiply(s, x[0], out=s)
        assert s.item() == wide.item() == 9
        s.fill(x[0])
        assert alias.item() == wide.item() == 3 and s.requires_grad
    y = x * 1.0
    s = y[0, ...]
    s *= s
    np.add(s, 1.0, out=s)
    assert y.data.tolist() == [10]
    y.sum().backward()
    assert x.grad.tolist() == [6]


# -- names, copies, threads


def test_an_alias_sees_the_write() -> None:
    x = Value([1.0, 2.0])
    y = x * 1.0
    z, holder = y, [y, {"y": y}]
    y += 1.0
    y[0] = x[1]
    np.add(y, y, out=y)
    assert z is y and holder[0].data.tolist() == holder[1]["y"].data.tolist() == [4, 6]  # type: ignore[index]
    result = np.multiply(y, 2.0, out=y)
    assert result is y
    z.sum().backward()
    assert x.grad.tolist() == [0, 8]


def test_functions_that_write_for_their_caller() -> None:
    def normalize(a: Any) -> None:
        a -= a.mean()
        a /= np.sqrt((a * a).mean())

    def program(x: Any) -> Any:
        y = x * 1.0
        normalize(y)
        for column in y.T:
            normalize(column)
        return y

    check_all(program, X)


STATES: dict[str, Function] = {
    "an owner": lambda x: written(x * 2.0),
    "a stale view": lambda x: stale(x * 2.0),
    "a derived view": lambda x: derived(x * 2.0),
    "a 0-d owner": lambda x: written((x * 2.0)[0, ...].copy()),
    "an untracked owner": lambda x: written(x.detach() * 2.0),
    "an untracked stale view": lambda x: stale(x.detach() * 2.0),
}


def written(y: Any) -> Any:
    y[...] = y * 1.0
    y *= 0.5
    return y


def stale(y: Any) -> Any:
    view = y[1:]
    y[:] = y * 1.0
    y[0] = 0.5
    stale.base = y  # type: ignore[attr-defined]
    return view


def derived(y: Any) -> Any:
    view = stale(y)
    view.sum()
    return view


@pytest.mark.parametrize("make", STATES.values(), ids=STATES)
@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda v: v.copy(), np.copy], ids=["copy", "deepcopy", "method", "np"]
)
def test_copies_are_independent(make: Function, clone: Function) -> None:
    """And at the same place in the graph."""
    x = Value([1.0, 2.0, 3.0])
    y = make(x)
    before = y.numpy()
    z = clone(y)
    assert type(z).__name__ in ("Value", "Owner", "Stale") and isinstance(z, Value) and z is not y
    z[...] = z * 3.0
    np.testing.assert_array_equal(y.data, before)
    y[...] = y * 5.0
    np.testing.assert_array_equal(z.data, 3 * before)
    np.testing.assert_array_equal(y.data, 5 * before)
    assert z.requires_grad == y.requires_grad
    if y.requires_grad:
        z.sum().backward(retain_graph=True)
        tripled = x.grad.copy()
        x.zero_grad()
        y.sum().backward()
        np.testing.assert_allclose(x.grad, tripled * 5 / 3)


@pytest.mark.parametrize("make", STATES.values(), ids=STATES)
def test_pickles(make: Function) -> None:
    y = make(Value([1.0, 2.0, 3.0]))
    if y.requires_grad:
        with pytest.raises(DetachError, match="detach"):
            pickle.dumps(y)
        y = y.detach()
    z = pickle.loads(pickle.dumps(y))
    assert type(z) is Value and not z.requires_grad
    np.testing.assert_array_equal(z.data, y.data)
    z[...] = 9.0
    assert y.data.reshape(-1)[0] != 9.0


def test_pickled_variables_can_be_written() -> None:
    w = Value([1.0, 2.0])
    with ad.no_grad():
        w[0] = 5.0
    for other in (pickle.loads(pickle.dumps(w)), copy.deepcopy(w), copy.copy(w)):
        assert other.is_leaf and other.requires_grad and other.data.tolist() == [5, 2]
        with ad.no_grad():
            other[1] = 7.0
        (other * other).sum().backward()
        assert other.grad.tolist() == [10, 14] and w.data.tolist() == [5, 2] and w.grad is None


def test_threads_write_to_their_own() -> None:
    """A hundred writes each, to Values, views and arguments, next to each other."""
    x = Value(np.linspace(0.5, 1.5, 6))
    results: list[Any] = [None] * 8

    def program(x: Any, k: int) -> Any:
        y = x * 1.0
        pair = y.reshape(2, 3)
        for i in range(100):
            pair[i % 2] *= 1.0 + 0.01 * k
            y[i % 6] += x[k % 6] * 0.01
        return (y * pair.ravel()).sum()

    def work(k: int) -> None:
        results[k] = [program(x, k), ad.grad(program)(x.data, k)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k, (value, gradient) in enumerate(results):
        np.testing.assert_allclose(value.data, program(x.data, k), rtol=1e-12)
        np.testing.assert_allclose(gradient, ad.grad(program)(x.data, k), rtol=1e-12)


def test_errors_say_what_to_write() -> None:
    y = Value([1.0, 2.0]) * 1.0
    for change, words in [
        (lambda: operator.setitem(y, 0, 1j), r"complex.*\.real"),
        (lambda: operator.iadd(y, 1j), r"complex128.*float64.*y = y \+ x"),
        (lambda: operator.iadd(y, np.ones((2, 2))), r"\(2, 2\).*\(2,\)"),
        (lambda: operator.setitem(Value([1, 2], requires_grad=False), 0, "a"), "setitem"),
        (lambda: operator.setitem(y, Value([0.0, 1.0]) > 0.5, "a"), "setitem"),
    ]:
        with pytest.raises((AutodiffError, TypeError, ValueError), match=words):
            change()


def test_an_index_is_overwritten() -> None:
    """Arrays, masks and lists that were an index may change afterwards."""
    x = Value([1.0, 2.0])
    index, mask, keys = np.array([0, 1]), np.array([True, False]), [1, 0]
    y = x * 1.0
    y[index] = x * 3.0
    y[mask] *= x[:1] * 5.0
    y[keys] += x
    np.add.at(y, index, x)
    np.put(y, index[1:], x[:1])
    index[:], mask[:], keys[:] = 0, True, [0, 0]
    y.sum().backward()
    assert y.data.tolist() == [18, 1] and x.grad.tolist() == [32, 1]


class Parameter(Value):
    """A class of a user, with attributes."""


def test_subclasses() -> None:
    p = Parameter([1.0, 2.0, 3.0], name="p")
    p.group = "slow"
    view = p[1:]
    with ad.no_grad():
        p[0] = 5.0
        view[0] = 7.0
        p *= 2.0
    assert type(p) is Parameter and p.group == "slow" and p.is_leaf and p.name == "p"
    assert p.data.tolist() == [10, 14, 6] and view.data.tolist() == [14, 6]
    (p[0] * view).sum().backward()
    assert p.grad.tolist() == [20, 10, 10]
    other = copy.deepcopy(p)
    with ad.no_grad():
        other[0] = 0.0
    assert type(other) is Parameter and other.group == "slow" and p.data[0] == 10


def test_retain_grad_survives_a_write() -> None:
    """As in PyTorch: it is the gradient with respect to the newest value."""
    x = Value([1.0, 2.0])
    y = x * 2.0
    y.retain_grad()
    y[0] = 5.0
    y *= 1.0
    (y * y).sum().backward()
    assert y.grad.tolist() == [10, 8] and x.grad.tolist() == [0, 16]


def test_text_and_pictures() -> None:
    y = Value([1.0, 2.0]) * 1.0
    view = y[1:]
    y[0] = 3.0
    assert repr(y) == "Value([3., 2.], dtype=float64, from=setitem)"
    assert repr(view).startswith("Value([2.], dtype=float64, from=")
    assert f"{y[0]:.1f}" == "3.0" and len(view) == 1 and y.shape == (2,) and (y.ndim, y.size, y.dtype) == (1, 2, float)
    assert "setitem" in ad.draw_graph((y * view).sum()).dot
