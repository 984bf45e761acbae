"""jit: what f writes to arrays that it captures, and arrays that share memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import JitWarning

Array = np.ndarray[Any, Any]
G = np.full(3, 0.5)


def runs(make: Callable[[], tuple[Callable[..., Any], Callable[[], Any]]], *args: Any) -> Any:
    """Compare four calls of f and of its jit, and what there is to be seen afterwards; the jitted function.

    `make` gives an f with a state of its own, and a function that looks at the state.
    """
    f, look = make()
    jitted, look_again = make()
    jitted = ad.jit(jitted, strict=True)
    for _ in range(4):
        expected, found = f(*args), jitted(*args)
        np.testing.assert_allclose(found, expected, rtol=1e-14)
        for a, b in zip(look(), look_again(), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-14)
    assert jitted.cache_info().hits >= 2  # type: ignore[attr-defined]
    return jitted


class Layer:
    def __init__(self) -> None:
        self.w = np.arange(3.0)
        self.moments = [np.zeros(3), np.ones(3)]


def attributes() -> Any:
    layer = Layer()
    w = layer.w

    def f(g: Any) -> Any:
        layer.moments[0] *= 0.9
        layer.moments[0] += g
        layer.w -= 0.1 * layer.moments[0]
        np.multiply(layer.moments[1], g, out=layer.moments[1])
        layer.w[1:] += 1
        return layer.w.sum()

    return f, lambda: (w, layer.w, *layer.moments)


def closure() -> Any:
    w = np.arange(3.0)

    def f(g: Any) -> Any:
        w[...] = w - g
        np.add.at(w, np.array([0, 0, 2]), g)
        return w * 2

    return f, lambda: (w,)


def shared() -> Any:
    """One array in two places."""
    state = {"w": np.arange(3.0)}
    state["same"] = state["w"]

    def f(g: Any) -> Any:
        state["w"] -= g
        return state["same"] * 1

    return f, lambda: (state["w"], state["same"])


@pytest.mark.parametrize("make", [attributes, closure, shared])
def test_captured_arrays_are_written_to(make: Any) -> None:
    assert runs(make, G).cache_info().recordings == 1


W, TOTAL, BIG = np.zeros(3), np.zeros(()), np.zeros(20_000)


def into_global(g: Any) -> Any:
    W[...] = W - g
    return W.sum()


def global_operator(g: Any) -> Any:
    global W, TOTAL
    W -= g
    TOTAL += g.sum()
    return W * TOTAL


def global_without_arguments(g: Any) -> Any:
    global W
    W += 1.0
    return W * g


def large_global(g: Any) -> Any:
    BIG[5:8] += g
    return BIG.sum()


@pytest.mark.parametrize("f", [into_global, global_operator, global_without_arguments, large_global])
def test_global_arrays_are_written_to(f: Any) -> None:
    def clear() -> None:
        for array in (W, TOTAL, BIG):
            array[...] = 0

    clear()
    w, big = W, BIG
    expected = [f(G) for _ in range(4)]
    after = W.copy(), TOTAL.copy(), BIG.copy()
    clear()
    jitted = ad.jit(f, strict=True)
    np.testing.assert_allclose([jitted(G) for _ in range(4)], expected, rtol=1e-14)
    assert jitted.cache_info().hits >= 2 and W is w and BIG is big
    for array, before in zip((W, TOTAL, BIG), after, strict=True):
        np.testing.assert_allclose(array, before)


TABLE = np.arange(3e4)


def test_any_change_of_a_large_global_is_seen() -> None:
    """Also of an element that no sample of a thousand would have."""
    table = TABLE.copy()
    jitted = ad.jit(lambda x: (TABLE * x).sum(), strict=True)
    try:
        for i in (0, 1, 2, 12345, 29_999):
            TABLE[i] += 1000.0
            assert jitted(2.0) == (TABLE * 2.0).sum()
        assert jitted.cache_info().recordings == 1  # type: ignore[attr-defined]
    finally:
        TABLE[...] = table


def test_any_change_of_a_large_array_in_a_tuple_is_seen() -> None:
    held = (np.arange(3e4),)
    jitted = ad.jit(lambda x: np.square(held[0]).sum() * x, strict=True)
    for i in (0, 1, 2, 12345, 29_999):
        held[0][i] += 0.5
        np.testing.assert_allclose(jitted(2.0), np.square(held[0]).sum() * 2.0)


def test_arrays_in_tuples_are_written_to_without_a_program() -> None:
    held = (np.zeros(3),)

    def f(g: Any) -> Any:
        held[0][...] = held[0] + g
        return held[0].sum()

    jitted = ad.jit(f)
    with pytest.warns(JitWarning):
        assert [float(jitted(G)) for _ in range(3)] == [1.5, 3.0, 4.5]
    np.testing.assert_array_equal(held[0], 3 * G)


# -- properties


class Weights:
    """Its setter notes what is set."""

    def __init__(self) -> None:
        self._w, self.total, self.changes = np.arange(3.0), 3.0, 0

    @property
    def w(self) -> Any:
        return self._w

    @w.setter
    def w(self, w: Any) -> None:
        self._w, self.total = w, w.sum()
        self.changes += 1


class Slotted(Weights):
    __slots__ = ("_w", "changes", "total")


@pytest.mark.parametrize("cls", [Weights, Slotted])
def test_setters_of_properties(cls: Any) -> None:
    def make() -> Any:
        held = cls()

        def f(g: Any) -> Any:
            held.w = held.w - g
            held.w -= g
            return held.w * held.total

        return f, lambda: (held.w, held.total, held.changes)

    f, look = make()
    jitted, look_again = make()
    jitted = ad.jit(jitted, strict=True)
    for _ in range(6):
        np.testing.assert_allclose(jitted(G), f(G), rtol=1e-14)
        for a, b in zip(look(), look_again(), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-14)
    assert jitted.cache_info().hits >= 2  # type: ignore[attr-defined]


def test_setters_that_refuse_are_asked_when_f_is_recorded_only() -> None:
    class Positive(Weights):
        @property
        def w(self) -> Any:
            return self._w

        @w.setter
        def w(self, w: Any) -> None:
            if (w < 0).any():
                raise ValueError("negative")
            self._w = w

    held = Positive()
    held.w = np.full(3, 1.0)

    def f(g: Any) -> Any:
        held.w = held.w - g
        return held.w.sum()

    jitted = ad.jit(f, strict=True)
    assert jitted(G) == 1.5 and jitted(G) == 0.0
    with warnings.catch_warnings(), pytest.raises(ValueError, match="negative"):
        warnings.simplefilter("error")
        jitted(G)
    np.testing.assert_array_equal(held.w, np.zeros(3))


# -- arguments that share memory


def first_is_written(a: Any, b: Any) -> Any:
    a[0] = 5.0
    return a + b


def second_is_written(a: Any, b: Any) -> Any:
    c = a * 2
    b[1:] *= 3.0
    return a + b + c


def neither_is_written(a: Any, b: Any) -> Any:
    c = a * 1
    c[0] = 7.0
    return a * b + c


def through_a_view(a: Any, b: Any) -> Any:
    a.reshape(-1)[1] = 5.0
    return a * b


WRITERS = [first_is_written, second_is_written, neither_is_written, through_a_view]


@pytest.mark.parametrize("f", WRITERS)
@pytest.mark.parametrize("order", [(0, 1, 0, 1), (1, 0, 1, 0), (0, 0, 1, 1), (1, 1, 0, 0)])
def test_an_array_that_is_two_arguments(f: Any, order: Any) -> None:
    jitted = ad.jit(f, strict=True)
    for same in (*order, *order):
        a, b = np.arange(3.0), np.arange(3.0)
        found = jitted(a, a if same else b)
        np.testing.assert_array_equal(a, np.arange(3.0))  # arguments are copied
        np.testing.assert_array_equal(found, f(a, a if same else b))
    assert jitted.cache_info().hits >= 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("f", WRITERS)
def test_an_array_in_containers_of_arguments(f: Any) -> None:
    jitted = ad.jit(lambda x, scale: f(x["a"], x["b"][0]) * scale, strict=True)
    for _ in range(3):
        a = np.arange(3.0)
        found = jitted({"a": a, "b": [a]}, 2.0)
        np.testing.assert_array_equal(found, f(a, a) * 2.0)


@pytest.mark.parametrize("f", WRITERS)
def test_arguments_that_overlap(f: Any) -> None:
    jitted = ad.jit(f)
    is_written = f is not neither_is_written
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", JitWarning)
        for _ in range(3):
            whole, other = np.arange(4.0), np.arange(4.0)
            found = jitted(whole[:3], whole[1:])
            np.testing.assert_array_equal(found, f(other[:3], other[1:]))
            a, b = np.arange(3.0), np.arange(3.0) + 1
            np.testing.assert_array_equal(jitted(a, b), f(a.copy(), b.copy()))
    assert bool(caught) is is_written
    assert jitted.cache_info().hits >= 2  # type: ignore[attr-defined]


def test_overlapping_arguments_are_refused_by_strict() -> None:
    jitted = ad.jit(first_is_written, strict=True)
    whole = np.arange(4.0)
    with pytest.raises(ad.OperandError, match="shares memory"):
        jitted(whole[:3], whole[1:])


def test_an_argument_that_f_captures_too() -> None:
    """Both what f writes to the captured array, and what it writes to the argument."""
    state: dict[str, Any] = {}

    def into_captured(x: Any) -> Any:
        state["w"] += 1.0
        return x * 2

    def into_argument(x: Any) -> Any:
        x[0] = 9.0
        return state["w"] * 2

    for f in into_captured, into_argument:
        for order in ((0, 1, 0, 1), (1, 0, 1, 0)):
            jitted = ad.jit(f)
            for same in order:
                found = []
                for g in f, jitted:
                    state["w"] = np.arange(3.0)
                    x = state["w"] if same else np.arange(3.0)
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", JitWarning)
                        found.append(np.array(g(x)))
                np.testing.assert_array_equal(*found)


# -- NumPy's scalars


@pytest.mark.parametrize("start", [np.float64(1.0), np.float32(2.0), np.int64(3), 4, 5.0])
def test_operators_replace_scalars(start: Any) -> None:
    """`+=` makes another number, and who has the old one keeps it."""

    def make() -> Any:
        held = {"count": start}

        def f(g: Any) -> Any:
            before = held["count"]
            held["count"] += 1
            return before * g + 100 * held["count"]

        return f, lambda: (held["count"],)

    f, look = make()
    other, look_again = make()
    jitted = ad.jit(other, strict=True)
    for _ in range(5):
        np.testing.assert_allclose(jitted(G), f(G), rtol=1e-6)
        assert look() == look_again() and type(look()[0]) is type(look_again()[0])
    assert jitted.cache_info().hits >= 2  # type: ignore[attr-defined]


# -- writes that the recording cannot see, into memory that it has replaced or copied


def test_a_view_in_a_tuple_of_an_array_in_a_dict() -> None:
    base = np.zeros(4)
    state, views = {"w": base}, (base[1:],)

    def f(g: Any) -> Any:
        views[0][0] += 1.0
        return state["w"] * g

    jitted = ad.jit(f)
    with pytest.warns(JitWarning, match="writes to an array that it captures"):
        found = [jitted(2.0).tolist() for _ in range(3)]
    assert found == [[0, 2, 0, 0], [0, 4, 0, 0], [0, 6, 0, 0]] and base[1] == 3


def test_a_view_in_a_tuple_of_an_argument() -> None:
    base = np.zeros(4)
    views = (base[1:],)

    def f(x: Any) -> Any:
        views[0][0] += 1.0
        return x * 2.0

    jitted = ad.jit(f)
    with pytest.warns(JitWarning, match="writes to an array that it captures"):
        assert [jitted(base)[1] for _ in range(3)] == [2, 4, 6]


STATE = {"w": np.zeros(4)}
VIEW = STATE["w"][1:]


def test_a_global_view_of_an_array_in_a_dict() -> None:
    def f(g: Any) -> Any:
        VIEW[0] += 1.0
        return STATE["w"] * g

    jitted = ad.jit(f)
    STATE["w"][...] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JitWarning)
        assert [jitted(2.0)[1] for _ in range(3)] == [2, 4, 6]
