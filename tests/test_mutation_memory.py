"""Writes and views: freed by reference counting alone, and a loop of n writes costs n, not n squared."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_memory import Watch, allocated, no_collector, start, traced  # the fixtures among them

import autodiff as ad
from autodiff import Value

__all__ = ["no_collector", "traced"]

Function = Callable[..., Any]


def rewritten(x: Any) -> list[Any]:
    """A graph with every kind of write, and views in every state."""
    y = x * 1.0
    row, columns, flat = y[0], y[:, ::2], y.reshape(-1)
    y[1] = x[0] * 2.0
    block = columns[1:]
    row *= x[2]
    np.exp(columns, out=columns)
    np.add.at(flat, [0, 0], x[3, 3])
    y -= y.mean()
    flat[5:9] = flat[1:5]
    y[y == y] *= 0.5
    block.sum()
    diagonal = np.diagonal(y)
    y.T[1:2] += x[:1]
    return [y, row, columns, flat, block, diagonal, y[3], (y * y).sum()]


# -- freed when the last Value goes


def test_freed_with_the_last_value() -> None:
    watch = Watch()
    x = Value(start())
    values = rewritten(x)
    nodes = [weakref.ref(v._node) for v in values]
    references = [weakref.ref(v) for v in values]
    watch.add(y=values[0], row=values[1], columns=values[2], x=x)
    del values
    assert all(r() is None for r in (*references, *nodes))
    assert watch.alive() == {"x node", "x array"}


@pytest.mark.parametrize("keep", range(7))
def test_one_view_keeps_what_it_shows(keep: int) -> None:
    """Its root, and nothing else; and it is still right."""
    x = Value(start())
    values = rewritten(x)
    references = [weakref.ref(v) for v in values]
    kept, expected = values[keep], [v.numpy() for v in values][keep]
    del values
    alive = [k for k, r in enumerate(references) if r() is not None]
    assert alive == sorted({0, keep})
    np.testing.assert_array_equal(kept.data, expected)
    kept.sum().backward()
    assert np.isfinite(x.grad).all()
    del kept
    assert all(r() is None for r in references)


@pytest.mark.parametrize("options", [{}, {"retain_graph": True}, {"create_graph": True}], ids=str)
def test_freed_after_backward(options: dict[str, bool]) -> None:
    x = Value(start())
    values = rewritten(x)
    nodes = [weakref.ref(v._node) for v in values]
    values[-1].backward(**options)
    x.zero_grad()
    del values
    assert all(n() is None for n in nodes)


def test_the_collector_finds_nothing() -> None:
    x = Value(start())
    for _ in range(20):
        rewritten(x)[-1].backward()
        ad.grad(lambda x: rewritten(x)[-1])(start())
        ad.jvp(lambda x: rewritten(x)[:4], start(), start())
        ad.grad(lambda x: ad.grad(lambda x: rewritten(x)[-1])(x).sum())(start())
        with ad.no_grad():
            rewritten(x)
    assert gc.collect() == 0


@pytest.mark.parametrize("fail", [lambda y: y.__setitem__(99, 1.0), lambda y: y.__setitem__(0, np.ones(7))])
def test_freed_after_a_write_that_failed(fail: Function) -> None:
    x = Value(start())
    y = x * 1.0
    view, reference = y[1:], weakref.ref(y)
    for _ in range(3):
        with pytest.raises((IndexError, ValueError)):
            fail(y)
    del y, view
    gc.collect()  # the traceback
    assert reference() is None


# -- what is remembered of views


@pytest.mark.parametrize("make", [lambda y: y[1:], lambda y: y.T, lambda y: y[0], lambda y: y[1:][0]])
@pytest.mark.parametrize("tracked", [True, False])
def test_views_that_are_gone_are_forgotten(make: Function, tracked: bool, traced: None) -> None:
    y = Value(np.ones((4, 4)), requires_grad=tracked) * 1.0
    for _ in range(200):
        make(y)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(5000):
        make(y)
    assert tracemalloc.get_traced_memory()[0] - before < 4000


@pytest.mark.parametrize("read", [False, True])
def test_views_that_live_are_remembered_once(read: bool, traced: None) -> None:
    """However often they are derived anew."""
    y = Value(np.ones((4, 4)), requires_grad=False) * 1.0
    views = [y[0], y.T, y[1:, 1:]]

    def write(times: int) -> None:
        for _ in range(times):
            y[0] = 1.0
            if read:
                assert views[1].data[0, 0] == 1.0
            views[2][...] = 2.0

    write(100)
    before = tracemalloc.get_traced_memory()[0]
    write(2000)
    assert tracemalloc.get_traced_memory()[0] - before < 4000
    assert views[0].data.tolist() == [1] * 4 and y.data[1, 1] == 2


def test_views_do_not_keep_old_arrays(traced: None) -> None:
    """A view of a written array holds its part at most, and no graph of what is untracked."""
    y = Value(np.zeros(100_000), requires_grad=False) * 1.0
    view = y[:10]
    before = allocated()
    for i in range(50):
        y[i % 5] = 1.0
        y += 1.0
        view *= 1.0
        assert view.data[9] == i + 1
    assert allocated() - before < 900_000  # one more, while the view or `.data` shares it


# -- in place means in place


@pytest.mark.parametrize(
    "line",
    [lambda y: y.__imul__(0.5), lambda y: y.__iadd__(1.0), lambda y: y.__setitem__(0, 1.0),
     lambda y: y[1:].__isub__(1.0), lambda y: y.T.__setitem__(0, 1.0),
     lambda y: np.add(y, 1.0, out=y), lambda y: np.copyto(y, 0.5)],
    ids=["*=", "+=", "[0] =", "[1:] -=", "T[0] =", "out=", "copyto"],
)  # fmt: skip
@pytest.mark.parametrize("tracked", [True, False])
def test_linear_writes_keep_one_array(line: Function, tracked: bool, traced: None) -> None:
    """Twenty of them: nothing of the data is kept for the derivative."""
    x = Value(np.ones((128, 128)), requires_grad=tracked)
    y = x * 1.0
    line(y)
    before = allocated()
    for _ in range(20):
        line(y)
    assert allocated() - before < 2 * x.nbytes


def test_an_optimizer_step_allocates_nothing(traced: None) -> None:
    w = Value(np.ones((128, 128)))
    (w * w).sum().backward()
    before = allocated()
    for _ in range(10):
        with ad.no_grad():
            w -= 0.1 * w.grad
            w[0] *= 0.5
    assert allocated() - before < w.nbytes // 2


# -- loops cost what they do


class Copies:
    """Counts the bytes of arrays that are copied or made whole, by the calls of NumPy that do it."""

    MAKERS = ("zeros", "empty_like", "ones", "full")

    def __init__(self) -> None:
        self.bytes = self.calls = 0

    def __call__(self, frame: Any, event: str, function: Any) -> None:
        if event == "c_call":
            name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
            if name == "copy" and isinstance(owner, np.ndarray):
                self.bytes += owner.nbytes
            self.calls += name in self.MAKERS

    def __enter__(self) -> Copies:
        sys.setprofile(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def fill(x: Any) -> Any:
    y = np.zeros_like(x)
    for i in range(len(x)):
        y[i] = x[i] * x[i]
    return (y * y).sum()


def recurrence(x: Any) -> Any:
    y = x * 1.0
    for i in range(1, len(x)):
        y[i] = y[i - 1] * 0.5 + x[i]
    return (y * y).sum()


def augmented(x: Any) -> Any:
    y = x * 1.0
    for i in range(len(x)):
        y[i] *= x[i]
    return y.sum()


def slices(x: Any) -> Any:
    y = x * 1.0
    for i in range(1, len(x) - 1):
        y[i : i + 1] = y[i - 1 : i] * x[i]
    return y.sum()


def through_a_view(x: Any) -> Any:
    y = x * 1.0
    view = y.reshape(-1, 2)[:, 1]
    for i in range(len(view)):
        view[i] = x[2 * i] * 3.0
    return (y * y).sum()


def rows(x: Any) -> Any:
    y = x.reshape(-1, 4) * 1.0
    for i, row in enumerate(y):
        row *= x[i]
        y[i, 0] += x[-i]
    return (y * y).sum()


def at(x: Any) -> Any:
    y = np.zeros_like(x)
    for i in range(len(x)):
        np.add.at(y, i, x[i] * x[-1 - i])
    return (y * y).sum()


def swaps(x: Any) -> Any:
    y = x * 1.0
    for i in range(len(x) // 2):
        y[i], y[-1 - i] = y[-1 - i], y[i]
    return (y * x).sum()


def accumulated(x: Any) -> Any:
    total = np.zeros_like(x[:1])
    for i in range(len(x)):
        total += x[i : i + 1] * x[i]
    return total.sum()


def read_only(x: Any) -> Any:
    return sum(x[i] * x[i - 1] for i in range(len(x)))


LOOPS = [fill, recurrence, augmented, slices, through_a_view, rows, at, swaps, accumulated, read_only]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda f: f.__name__)
def test_a_loop_copies_no_whole_arrays(loop: Function) -> None:
    """A few, but not one for each entry: neither forward nor backward."""
    counts = {}
    for n in (400, 800):
        x = Value(np.linspace(0.5, 0.9, n))
        with Copies() as forward:
            y = loop(x)
        with Copies() as backward:
            y.backward()
        counts[n] = forward, backward
        np.testing.assert_allclose(y.data, loop(x.data.copy()))
        if n == 400:
            e = np.zeros(n)
            e[7] = 1e-5
            slope = (loop(x.data + e) - loop(x.data - e)) / 2e-5
            np.testing.assert_allclose(x.grad[7], slope, rtol=1e-5)
    for small, large in zip(*counts.values(), strict=True):
        assert large.bytes < 50 * 800 * 8, f"{large.bytes} bytes copied"
        assert large.calls <= small.calls + 20, f"{small.calls} and {large.calls} arrays made"


@pytest.mark.parametrize("loop", LOOPS, ids=lambda f: f.__name__)
def test_a_loop_keeps_memory_in_proportion(loop: Function, traced: None) -> None:
    """The graph of twice the entries takes twice the memory, and so does the walk."""
    kept, peaks = [], []
    for n in (400, 800):
        x = Value(np.linspace(0.5, 0.9, n))
        before = tracemalloc.get_traced_memory()[0]
        y = loop(x)
        kept.append(tracemalloc.get_traced_memory()[0] - before)
        tracemalloc.reset_peak()
        y.backward()
        peaks.append(tracemalloc.get_traced_memory()[1] - before - kept[-1])
        del y
    assert kept[1] < 2.3 * kept[0]
    assert peaks[1] < 2.3 * peaks[0] + 50_000
