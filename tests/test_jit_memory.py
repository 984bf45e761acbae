"""jit: what it keeps of what it has seen, to tell whether it has changed, and that it keeps no more than that."""

from __future__ import annotations

import ctypes
import gc
import os
import queue
import threading
import time
import tracemalloc
import types
import weakref
from collections import OrderedDict, UserDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.compiler.entries import HOLDING, SIGNATURES
from autodiff.compiler.program import mark

pytestmark = pytest.mark.filterwarnings("ignore::autodiff.compiler.api.JitWarning")

x = np.arange(3.0)
BOARD = np.indices((128, 1024)).sum(0) % 2.0
FLIPPED = BOARD.copy()


def flip(x: Any) -> Any:
    FLIPPED[...] = 1 - FLIPPED
    return x * FLIPPED[0, 0]


# -- contents


def test_a_captured_board_is_flipped() -> None:
    """Sums of rows and of columns stay the same."""
    jitted = ad.jit(lambda x: x * (BOARD[0, :3] * 2))
    for _ in range(4):
        np.testing.assert_array_equal(jitted(x), x * (BOARD[0, :3] * 2))
        BOARD[...] = 1 - BOARD


def test_a_function_flips_a_board() -> None:
    jitted = ad.jit(flip)
    start = FLIPPED[0, 0]
    for i in range(5):
        np.testing.assert_array_equal(jitted(x), x * (1 - start if i % 2 == 0 else start))


@pytest.mark.parametrize("size", [1000, 65536, 1 << 25])
def test_marks_tell_arrays_apart(size: int) -> None:
    array = np.zeros(size // 8 + 3)
    marks = {mark(array)}
    for i in (0, 1, len(array) // 2, len(array) - 1):
        array[i] = 1.0
        marks.add(mark(array))
        array[i] = -0.0
        marks.add(mark(array))
    assert len(marks) == 9


def test_marks_see_all_of_a_large_array() -> None:
    """Also a change of one element in a thousand, or one that keeps the sums along rows and columns of blocks."""
    words = np.zeros((5000, 1024), np.uint64) + 7
    marks = {mark(words)}
    for i in (1, 1003, 4999):
        words[i - 1 : i + 1, 5:7] += np.array([[1, -1], [-1, 1]]).astype(np.uint64)
        marks.add(mark(words))
    assert len(marks) == 4


def test_marks_of_all_kinds() -> None:
    for array in (np.zeros(20000, "M8[s]"), np.full(20000, None), np.zeros((300, 300)).T, np.zeros(20000, "f8,i4")):
        before = mark(array)
        assert before == mark(array.copy(order="K"))
        array[1] = 1
        assert before != mark(array)


# -- captures


class Options(dict[str, Any]):
    rate = 1.0


class Rates(list[float]):
    rate = 1.0


class Bag:
    def __init__(self) -> None:
        self.a, self.b = 1.0, 2.0


class Structure(ctypes.Structure):
    _fields_ = [("a", ctypes.c_double)]


def follows(f: Callable[[Any], Any], change: Callable[[int], Any]) -> None:
    """Whether the jitted function sees each change."""
    jitted = ad.jit(f)
    for i in range(6):
        np.testing.assert_array_equal(jitted(x), f(x))
        change(i)


def turned(d: dict[str, Any], i: int) -> None:
    key = next(iter(d))
    d[key] = d.pop(key)


def test_the_order_of_keys() -> None:
    d, bag = {"a": 1.0, "b": 2.0}, Bag()
    follows(lambda x: x * next(iter(d.values())), lambda i: turned(d, i))
    follows(lambda x: x * next(iter(vars(bag).values())), lambda i: turned(vars(bag), i))
    proxy = types.MappingProxyType(d)
    follows(lambda x: x * next(iter(proxy.values())), lambda i: turned(d, i))


def test_views_of_dicts() -> None:
    for d in ({"a": 1.0, "b": 2.0}, OrderedDict(a=1.0, b=2.0), UserDict(a=1.0, b=2.0)):
        proxy, values, items = types.MappingProxyType(d), d.values(), d.items()
        follows(lambda x, p=proxy: x * p["a"], lambda i, d=d: d.update(a=i + 5.0))  # type: ignore[misc]
        follows(lambda x, v=values: x * sum(v), lambda i, d=d: d.update(b=i + 5.0))  # type: ignore[misc]
        follows(lambda x, v=items: x * len(v), lambda i, d=d: d.update({f"c{i}": 1.0}))  # type: ignore[misc]


def test_what_a_view_shows_may_be_written() -> None:
    d: dict[str, Any] = {"w": np.ones(3)}
    proxy = types.MappingProxyType(d)

    def step(x: Any) -> Any:
        d["w"] = d["w"] + x
        return proxy["w"] * 2

    jitted, w = ad.jit(step), np.ones(3)
    for _ in range(6):
        w = w + x
        np.testing.assert_array_equal(jitted(x), w * 2)
        assert type(d["w"]) is np.ndarray


def test_memory_of_c() -> None:
    three, number, structure = (ctypes.c_double * 3)(1.0, 2.0, 3.0), ctypes.c_double(2.0), Structure(3.0)
    follows(lambda x: x * three[0], lambda i: three.__setitem__(0, i + 7.0))
    follows(lambda x: x * number.value, lambda i: setattr(number, "value", i + 7.0))
    follows(lambda x: x * structure.a, lambda i: setattr(structure, "a", i + 7.0))
    pointer = ctypes.pointer(number)
    with pytest.warns(ad.compiler.api.JitWarning, match="captures a pointer"):
        follows(lambda x: x * pointer.contents.value, lambda i: setattr(number, "value", i + 17.0))


def test_memory_of_c_is_put_back() -> None:
    """The first run is given up, and leaves nothing."""
    three = (ctypes.c_double * 3)(1.0, 2.0, 3.0)

    def f(x: Any) -> Any:
        three[0] += 1.0
        return three[0] * np.frombuffer(np.asarray(x).tobytes())

    jitted = ad.jit(f)
    for i in range(4):
        np.testing.assert_array_equal(jitted(x), x * (i + 2.0))


def test_what_cannot_be_looked_into() -> None:
    q: queue.SimpleQueue[int] = queue.SimpleQueue()
    with pytest.warns(ad.compiler.api.JitWarning, match="captures a SimpleQueue"):
        follows(lambda x: x * q.qsize(), q.put)


def test_arrays_of_objects() -> None:
    objects = np.empty(2, object)
    objects[0], objects[1] = [1.0, np.ones(3)], 3.0
    f = lambda x: x * objects[0][0] * objects[1] + objects[0][1]
    follows(f, lambda i: objects[0].__setitem__(0, i + 7.0))
    follows(f, lambda i: objects.__setitem__(1, i + 7.0))
    follows(f, lambda i: objects[0][1].__setitem__(1, i + 7.0))


SHAPED = np.arange(6.0).reshape(2, 3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_shape_is_set() -> None:
    follows(
        lambda x: x * SHAPED.shape[0] + SHAPED.sum(), lambda i: setattr(SHAPED, "shape", (2, 3) if i % 2 else (3, 2))
    )


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODIFF_TEST", "1")
    set_to = lambda i: monkeypatch.setenv("AUTODIFF_TEST", str(i % 3))
    follows(lambda x: x * float(os.environ["AUTODIFF_TEST"]), set_to)
    follows(lambda x: x * float(os.getenv("AUTODIFF_TEST", "")), set_to)


def test_attributes_of_containers() -> None:
    for kind in (Options, Rates):
        container = kind()
        container.rate = 2.0
        follows(lambda x, c=container: x * c.rate, lambda i, c=container: setattr(c, "rate", i + 3.0))  # type: ignore[misc]


ONE = OTHER = np.ones(3)


def test_one_array_becomes_two() -> None:
    def change(i: int) -> None:
        globals()["OTHER"] = np.full(3, i + 2.0)

    follows(lambda x: x * ONE + OTHER, change)
    parts: list[Any] = [ONE]
    both = (ONE, parts)
    follows(lambda x: x * both[0] + both[1][0], lambda i: parts.__setitem__(0, np.full(3, i + 2.0)))


# -- memory


def grown(f: Callable[[], Any]) -> float:
    """How many MB more there are after a call."""
    gc.collect()
    tracemalloc.start()
    try:
        f()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / 1e6
    finally:
        tracemalloc.stop()


def test_a_training_step_keeps_parameters_and_gradients_only() -> None:
    p = ad.Value(np.zeros(1_000_000), requires_grad=True)

    def step(x: Any) -> Any:
        p.grad = None
        loss = ((p - x) ** 2).sum()
        loss.backward()
        p.data = p.data - 0.1 * p.grad
        return loss.data

    jitted = ad.jit(step)
    assert grown(lambda: [jitted(np.float64(1.0)) for _ in range(4)]) < 18


def test_captured_arrays_that_are_replaced_are_not_kept() -> None:
    state = {"w": np.zeros(1_000_000), "fixed": np.zeros(1_000_000)}

    def step(x: Any) -> Any:
        state["w"] = state["w"] + x
        return state["w"][:2] + state["fixed"][:2]

    jitted = ad.jit(step)

    def run() -> None:
        for _ in range(4):
            jitted(np.float64(1.0))
            state["fixed"] = np.ones(1_000_000)

    assert grown(run) < 8 + 8 + 2


class Model:
    def __init__(self) -> None:
        self.w, self.more = np.zeros(1000), [np.ones(3)]

    @ad.jit
    def f(self, x: Any) -> Any:
        return self.w.sum() * x + self.more[0]

    @ad.jit
    def scaled(self, x: Any, by: Callable[[Any], Any]) -> Any:
        return self.w.sum() + by(x)


class Ring(Model):
    """One that holds itself."""

    def __init__(self) -> None:
        super().__init__()
        self.more.append(self)  # type: ignore[arg-type]


class Slotted:
    __slots__ = ("w",)

    def __init__(self) -> None:
        self.w = np.ones(3)


def test_objects_are_not_kept() -> None:
    alive = []
    for _ in range(5):
        model = Model()
        for i in range(3):
            np.testing.assert_array_equal(model.f(x * i), np.ones(3))
            factor = i + 1.0
            by = lambda x, factor=factor: x * factor
            np.testing.assert_array_equal(model.scaled(x, by), x * factor)
        alive += [weakref.ref(model), weakref.ref(model.w), weakref.ref(by)]
        del model, by
    gc.collect()
    assert [ref() for ref in alive] == [None] * 15
    assert Model.__dict__["f"].cache_info().signatures == 0


def test_few_objects_that_hold_themselves_are_kept() -> None:
    alive: list[Any] = []
    for _ in range(50):
        model = Ring()
        model.f(x)
        alive.append(weakref.ref(model))
    gc.collect()
    assert sum(ref() is not None for ref in alive) <= HOLDING + 1


def test_few_objects_without_weak_references_are_kept() -> None:
    jitted = ad.jit(lambda slotted, x: slotted.w + x)
    for _ in range(50):
        np.testing.assert_array_equal(jitted(Slotted(), x), x + 1)
    assert jitted.cache_info().signatures <= HOLDING + 1


def test_an_object_at_the_address_of_another_one() -> None:
    jitted = ad.jit(lambda model, x: model.w[:3] + x)
    for i in range(20):
        model = Model()
        model.w[...] = i
        np.testing.assert_array_equal(jitted(model, x), x + i)
        np.testing.assert_array_equal(jitted(model, x), x + i)
        del model


def test_signatures_that_were_seen_are_bounded() -> None:
    jitted = ad.jit(lambda s, n, x: x * n)
    for i in range(SIGNATURES + 50):
        jitted(str(i), 1, x)
    call: Any = jitted
    assert len(call._call.seen) <= SIGNATURES
    assert jitted.cache_info().signatures <= SIGNATURES


def test_constants_are_not_kept_twice() -> None:
    jitted = ad.jit(lambda x: (x[0] * np.arange(1_000_000.0)).sum())
    assert grown(lambda: [jitted(x) for _ in range(4)]) < 18


# -- threads


def slowly(x: Any, nested: bool) -> Any:
    time.sleep(0.1)
    return x + SLOWLY_TOO(np.ones(3), False) if nested else x * 2


def slowly_too(x: Any, nested: bool) -> Any:
    time.sleep(0.1)
    return x + SLOWLY(np.ones(3), False) if nested else x * 2


SLOWLY, SLOWLY_TOO = ad.jit(slowly), ad.jit(slowly_too)


def in_threads(*functions: Callable[[], Any]) -> list[Any]:
    """What they return, all at once."""
    results: list[Any] = [None] * len(functions)

    def run(i: int) -> None:
        results[i] = functions[i]()

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    return results


def test_two_functions_that_call_each_other() -> None:
    for _ in range(2):
        found = in_threads(lambda: SLOWLY(x, True), lambda: SLOWLY_TOO(x, True))
        np.testing.assert_array_equal(found, [x + 2, x + 2])


def test_a_function_that_waits_for_a_thread() -> None:
    """Which runs another jitted function for the first time, and is not to wait for the first one in turn."""
    inner = ad.jit(lambda x: x * 2)

    def outer(x: Any) -> Any:
        return x + in_threads(lambda: inner(np.ones(3)))[0]

    jitted = ad.jit(outer)
    for _ in range(3):
        np.testing.assert_array_equal(jitted(x), x + 2)
