"""Hooks on the gradients of leaves: when they run, what they may return, and what they leave alone."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import DetachError, GraphError, OperandError, Value


def loss(x: Any) -> Any:
    return (x * x).sum()


def test_a_hook_sees_the_gradient_and_may_replace_it() -> None:
    x, seen = Value([1.0, 2.0]), []
    x.register_hook(seen.append)
    loss(x).backward()
    assert type(seen[0]) is np.ndarray and seen[0].tolist() == x.grad.tolist() == [2.0, 4.0]
    x.register_hook(lambda g: 10 * g)
    loss(x).backward()
    assert seen[1].tolist() == [2.0, 4.0]  # what this backward() brings, not the sum
    assert x.grad.tolist() == [22.0, 44.0]


def test_it_is_called_once_with_the_whole_gradient() -> None:
    x, seen = Value(3.0), []
    x.register_hook(lambda g: seen.append((float(g), g.shape)))  # type: ignore[func-returns-value]
    (x * x + 2 * x + x).backward()
    assert seen == [(9.0, ())] and x.grad == 9.0 and type(x.grad) is np.ndarray


def test_hooks_follow_one_another() -> None:
    x = Value(1.0)
    x.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: None)
    x.register_hook(lambda g: g * 10)
    (2 * x).backward()
    assert x.grad == 30.0


def test_one_hook_registered_twice_runs_twice() -> None:
    x = Value(1.0)
    double = lambda g: 2 * g
    first, _ = x.register_hook(double), x.register_hook(double)
    (1 * x).backward()
    assert x.grad == 4.0
    first.remove()
    x.zero_grad()
    (1 * x).backward()
    assert x.grad == 2.0


def test_handles_remove() -> None:
    x = Value(1.0)
    a, b = x.register_hook(lambda g: g + 1), x.register_hook(lambda g: g * 10)
    a.remove()
    a.remove()
    (2 * x).backward()
    assert x.grad == 20.0
    b.remove()
    x.zero_grad()
    with x.register_hook(lambda g: -g) as handle:
        (2 * x).backward()
        assert x.grad == -2.0
    (2 * x).backward()
    assert x.grad == 0.0
    handle.remove()
    x = handle = None  # type: ignore[assignment]
    a.remove()  # the variable is gone


def test_a_gradient_may_be_changed_in_place() -> None:
    x = Value([1.0, -2.0])

    def clip(g: Any) -> None:
        np.clip(g, -1, 1, out=g)

    x.register_hook(clip)
    loss(x).backward()
    assert x.grad.tolist() == [1.0, -1.0]


def test_the_seed_is_not_what_a_hook_changes() -> None:
    x, seed = Value([1.0, 2.0]), np.ones(2)

    def zero(g: Any) -> None:
        g[...] = 0

    x.register_hook(zero)
    x.backward(seed)
    assert x.grad.tolist() == [0.0, 0.0] and seed.tolist() == [1.0, 1.0]


def test_what_is_returned_is_copied_and_cast() -> None:
    x, constant = Value(np.ones(2, np.float32)), np.array([5.0, 6.0])
    x.register_hook(lambda g: constant)
    loss(x).backward()
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [5.0, 6.0]
    x.grad[0] = 0
    assert constant[0] == 5.0
    y = Value([1.0, 2.0])
    y.register_hook(lambda g: [1, 2])
    loss(y).backward()
    assert y.grad.tolist() == [1.0, 2.0] and y.grad.dtype == np.float64


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (lambda g: g[:1], ValueError, r"register_hook.*shape \(1,\), expected \(2,\)"),
        (lambda g: 1.0, ValueError, r"register_hook.*shape \(\), expected \(2,\)"),
        (lambda g: 1j * g, OperandError, "register_hook.*complex"),
        (lambda g: "text", OperandError, "register_hook: the returned gradient: got a str; pass a number or an array"),
        (
            lambda g: Value([1.0, 2.0]),
            DetachError,
            r"register_hook: the returned gradient is a tracked.*return v.detach",
        ),
        (lambda g: 1 / 0, ZeroDivisionError, ""),
    ],
)
def test_what_fails_leaves_every_gradient_untouched(result: Any, error: type[Exception], message: str) -> None:
    x, y, z = Value([1.0, 2.0]), Value([1.0, 2.0]), Value([1.0, 2.0])
    (x * 1.0).sum().backward()
    y.register_hook(result)
    u = x * y
    u.retain_grad()
    with pytest.raises(error, match=f"(?s){message}"):
        (u * z).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0] and y.grad is None and z.grad is None and u.grad is None


def test_complex_gradients_are_those_of_grad() -> None:
    z, seen = Value(np.array([1 + 2j, -1j])), []
    z.register_hook(seen.append)
    z.register_hook(lambda g: g * 1j)
    (np.abs(z) ** 2).sum().backward()
    np.testing.assert_allclose(seen[0], 2 * z.data)
    np.testing.assert_allclose(z.grad, 2j * z.data)


def test_under_create_graph_hooks_take_and_give_values() -> None:
    x = Value([1.0, 2.0])
    x.register_hook(lambda g: g * g)
    (x**3).sum().backward(create_graph=True)  # g = 3 x^2
    assert isinstance(x.grad, Value) and x.grad.data.tolist() == [9.0, 144.0]
    total, x.grad = x.grad.sum(), None
    with pytest.raises(ValueError, match="shape"), x.register_hook(lambda g: g.sum()):
        total.backward(retain_graph=True)
    total.backward()  # d/dx 9 x^4, squared by the hook
    np.testing.assert_allclose(x.grad, [36.0**2, 288.0**2])
    y = Value([1.0, 2.0])
    y.register_hook(lambda g: np.array([5.0, 6.0]))
    (y**3).sum().backward(create_graph=True)
    assert isinstance(y.grad, Value) and not y.grad.requires_grad
    z, w = Value([1.0, 2.0]), Value([3.0, 4.0])
    z.register_hook(lambda g: w)
    (z * z).sum().backward(create_graph=True)
    assert z.grad is not w and z.grad.requires_grad
    (z.grad * 2).sum().backward()
    assert w.grad.tolist() == [2.0, 2.0]


def test_transforms_call_no_hooks() -> None:
    w, called = Value(2.0), []
    w.register_hook(called.append)
    gradient = ad.grad(lambda x: x * w)(3.0)
    assert ad.grad(lambda w: w * w)(w).data == 4.0
    model = ad.nn.Linear(2, 1)
    model.weight.register_hook(called.append)
    ad.grad(lambda m: m(np.ones(2)).sum())(model)
    ad.jvp(lambda x: x * w, (3.0,), (1.0,))
    assert not called
    gradient.backward()  # the object API, on what a transform has returned
    assert len(called) == 1 and w.grad == 1.0


def test_only_tracked_leaves_have_hooks() -> None:
    x = Value(1.0)
    with pytest.raises(GraphError, match=r"register_hook.*retain_grad"):
        (x * 2).register_hook(lambda g: g)
    for v in (x.detach(), Value(1.0, requires_grad=False)):
        with pytest.raises(GraphError, match=r"register_hook.*untracked"):
            v.register_hook(lambda g: g)
    with pytest.raises(OperandError, match=r"register_hook.*float"):
        x.register_hook(1.0)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match=r"register_hook.*retain_grad"):
        ad.grad(lambda x: x.register_hook(lambda g: g))(1.0)


def test_copies_have_no_hooks() -> None:
    x = Value(1.0)
    x.register_hook(lambda g: 1 / 0)
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        (2 * other).backward()
        assert other.grad == 2.0
    model = ad.nn.Linear(1, 1)
    model.weight.register_hook(lambda g: 1 / 0)
    other = copy.deepcopy(model)
    other(np.ones(1)).sum().backward()
    assert other.weight.grad is not None


def test_hooks_outlive_data_and_the_object_but_not_the_variable() -> None:
    x = Value(1.0)
    x.register_hook(lambda g: 10 * g)
    x.data = np.array(5.0)
    y = x * x
    (y * 1.0).backward()
    assert x.grad == 100.0
    x.requires_grad = False
    x.requires_grad = True  # a new variable
    (2 * x).backward()
    assert x.grad == 2.0


def test_a_hook_may_run_backward() -> None:
    """The lock is not held meanwhile."""
    x, y = Value(1.0), Value(2.0)
    x.register_hook(lambda g: (y * y).backward())  # type: ignore[func-returns-value]
    (3 * x).backward()
    assert x.grad == 3.0 and y.grad == 4.0


def test_a_hook_may_remove_itself() -> None:
    x = Value(1.0)
    handle = x.register_hook(lambda g: handle.remove() or -g)  # type: ignore[func-returns-value]
    for expected in (-2.0, 0.0):
        (2 * x).backward()
        assert x.grad == expected


def test_hooks_in_threads() -> None:
    """Each backward() meets the hooks whole; none is lost that others add meanwhile."""
    x, barrier = Value(np.zeros(3)), threading.Barrier(4)

    def work(i: int) -> None:
        barrier.wait()
        for _ in range(50):
            with x.register_hook(lambda g: None):
                (x * 1.0).sum().backward()

    kept = x.register_hook(lambda g: 2 * g)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert x.grad.tolist() == [400.0] * 3
    kept.remove()
    assert x._node is not None and x._node.hooks == ()
