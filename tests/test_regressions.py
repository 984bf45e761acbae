"""Bugs that were found and fixed, each with the promise that it broke."""

from __future__ import annotations

import asyncio
import copy
import functools
import operator
import pickle
import sys
import threading
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from checks import raw

import autodiff as ad
from autodiff import DetachError, GraphError, OperandError, Value, record
from autodiff.tree import tree_map


def constant(data: Any) -> Value:
    return Value(data, requires_grad=False)


# -- cotangents and tangents


def test_cotangents_and_tangents_of_another_structure_are_refused() -> None:
    f = lambda d: {"a": d["a"] * 2.0, "b": [d["b"] * 3.0]}
    primal = {"a": 1.0, "b": 1.0}
    pull = ad.vjp(f, primal)[1]
    assert pull({"b": [10.0], "a": 1.0}) == ({"a": 2.0, "b": 30.0},)
    for bad in ([1.0, [1.0]], {"a": 1.0, "b": 1.0}, {"a": [1.0], "b": [1.0]}, {"a": 1.0}, {"a": 1.0, "b": [1.0, 1.0]}):
        with pytest.raises(OperandError, match="cotangent"):
            pull(bad)
    for bad in ([1.0, 1.0], {"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": [1.0]}):
        with pytest.raises(OperandError, match="tangent"):
            ad.jvp(f, (primal,), (bad,))
    with pytest.raises(OperandError, match="tangent"):
        ad.jvp(lambda p: p[0], ([1.0, None],), ([1.0, 2.0],))


def test_a_seed_overwritten_after_create_graph_changes_nothing() -> None:
    for dtype in (np.float64, np.complex128):
        v, s = Value(np.ones(3, dtype)), np.ones(3, dtype)
        (v**3).backward(s, create_graph=True)
        g = v.grad
        v.zero_grad()
        s[:] = 100
        g.sum().backward(np.ones((), dtype))
        assert v.grad.tolist() == [6] * 3


def test_a_cotangent_overwritten_after_a_lifted_pull_changes_nothing() -> None:
    x, u = Value(np.ones(3)), np.ones(3)
    r = ad.vjp(lambda q: q**3, x)[1](u)[0]
    u[:] = 100
    r.sum().backward()
    assert x.grad.tolist() == [6] * 3


def test_a_tangent_overwritten_after_a_lifted_jvp_changes_nothing() -> None:
    x, u = Value(np.ones(3)), np.ones(3)
    r = ad.jvp(lambda q: q**3, (x,), (u,))[1]
    u[:] = 100
    r.sum().backward()
    assert x.grad.tolist() == [6] * 3


def test_an_argument_overwritten_after_a_lifted_transform_changes_nothing() -> None:
    for call, expected in (
        (lambda w, c: ad.grad(lambda q: (q**2 * w).sum())(c), 4),
        (lambda w, c: ad.grad(lambda q: (q * q * w).sum())(c), 4),
        (lambda w, c: ad.value_and_grad(lambda q: (q * w).sum())(c)[0], 2),
        (lambda w, c: ad.vjp(lambda q: q * q * w, c)[1](np.ones(3))[0], 4),
        (lambda w, c: ad.vjp(lambda q: q * w, c)[0], 2),
        (lambda w, c: ad.jvp(lambda q: q * q * w, (c,), (np.ones(3),))[1], 4),
        (lambda w, c: ad.jvp(lambda q: q * w * w, (c,), (np.ones(3),))[0], 4),
    ):
        c, w = np.full(3, 2.0), Value(np.ones(3))
        z = call(w, c)
        c[:] = 100
        z.sum().backward()
        assert w.grad.tolist() == [expected] * 3


def test_a_pull_of_a_tracked_cotangent_gives_plain_results_inside_grad() -> None:
    pull = ad.vjp(lambda x: x**3, np.array([1.0, 2.0]))[1]
    g = ad.grad(lambda u: (pull(u)[0] ** 2).sum())(np.ones(2))
    assert type(g) is np.ndarray and g.tolist() == [18, 288]
    value, g = ad.value_and_grad(lambda u: pull(u)[0].sum())(np.ones(2))
    assert not isinstance(value, Value) and type(g) is np.ndarray and g.tolist() == [3, 12]


# -- out=, functions that write


def test_out_of_functions_without_a_derivative() -> None:
    x = np.array([1.0, np.nan, 3.0])
    for call in (
        lambda o: np.isnan(x, out=o),
        lambda o: np.isnan(x, o),
        lambda o: np.greater(x, 1.0, o),
        lambda o: np.greater(x, 1.0, out=o),
    ):
        with pytest.raises(GraphError, match="copy"):
            call(Value([0.0, 3.0, 0.0]))
        o, expected = constant([0.0, 3.0, 0.0]), np.zeros(3)
        assert call(o) is o
        call(expected)
        assert o.data.tolist() == expected.tolist()


WRITERS: dict[str, Callable[[Any], Any]] = {
    "copyto": lambda v: np.copyto(v, 5.0),
    "put": lambda v: np.put(v, 0, 5.0),
    "place": lambda v: np.place(v, np.ones((2, 2), bool), [5.0]),
    "putmask": lambda v: np.putmask(v, np.ones((2, 2), bool), 5.0),
    "fill_diagonal": lambda v: np.fill_diagonal(v, 5.0),
    "put_along_axis": lambda v: np.put_along_axis(v, np.zeros((2, 1), int), 5.0, 1),
}


@pytest.mark.parametrize("name", WRITERS)
def test_functions_that_write_spare_what_a_node_has_kept(name: str) -> None:
    with pytest.raises(GraphError, match="copy"):
        WRITERS[name](Value(np.ones((2, 2))))
    v, expected, x = constant(np.ones((2, 2))), np.ones((2, 2)), Value(np.ones((2, 2)))
    kept = x * v
    WRITERS[name](v)
    WRITERS[name](expected)
    assert v.data.tolist() == expected.tolist()
    kept.sum().backward()
    assert x.grad.tolist() == [[1, 1], [1, 1]]


def test_positional_out_of_a_tracked_result_is_refused() -> None:
    for call in (
        lambda v, o: np.sum(v, 0, None, o),
        lambda v, o: np.max(v, 0, o),
        lambda v, o: np.cumsum(v, 0, None, o),
        lambda v, o: np.round(v, 1, o),
        lambda v, o: np.concatenate([v, v], 0, o),
    ):
        expected = call(np.ones((2, 3)), None)
        o = np.zeros_like(expected)
        with pytest.raises(DetachError, match="out"):
            call(Value(np.ones((2, 3))), o)
        assert not o.any()
        assert call(constant(np.ones((2, 3))), o) is o
        assert o.tolist() == expected.tolist()


def test_positional_none_for_out_is_no_out() -> None:
    for call in (
        lambda v: np.sum(v, 0, None, None),
        lambda v: np.sum(v, 1, None, None, True),
        lambda v: np.max(v, 0, None),
        lambda v: np.max(v, 1, None, True),
        lambda v: np.cumsum(v, 0, None, None),
        lambda v: np.round(v, 1, None),
        lambda v: np.concatenate([v, v], 0, None),
        lambda v: np.clip(v, 0.0, 2.0, None),
        lambda v: np.mean(v, 0, None, None, True),
        lambda v: np.maximum.reduce(v, 0, None, None, True),
        lambda v: np.add.reduce(v, 1, None, None, True),
        lambda v: np.add.reduce(v, 1, None, None, False),
        lambda v: np.add.accumulate(v, 1, None, None),
    ):
        x = np.array([[1.0, 2.0, 3.0], [6.0, 5.0, 4.0]])
        v = Value(x)
        result = call(v)
        assert result.requires_grad
        np.testing.assert_array_equal(result.data, call(x))
        result.sum().backward()
        assert v.grad.shape == x.shape


def test_casting_of_a_join() -> None:
    for join in (np.concatenate, np.stack, np.hstack, np.vstack):
        v = Value([1.0])
        joined = join([v, [2.0]], dtype=np.float32, casting="same_kind")
        assert joined.dtype == np.float32 and joined.requires_grad
        with pytest.raises(TypeError, match="cast"):
            join([v, [2.0]], dtype=int, casting="safe")


# -- arrays that are overwritten


def test_read_only_views_of_arrays_that_can_be_written_are_checked() -> None:
    for n, view in (
        (200, lambda c: np.broadcast_to(c, (200, 200))),
        (20_000, lambda c: np.broadcast_to(c, c.shape)),
        (20_000, lambda c: np.lib.stride_tricks.as_strided(c, writeable=False)),
    ):
        c = np.ones(n)
        frozen = view(c)
        assert not frozen.flags.writeable
        v = Value(np.ones(frozen.shape))
        y = (v * frozen).sum()
        c[:] = 5
        with pytest.raises(GraphError, match="written"):
            y.backward()


def test_assigning_a_gradient_copies_it() -> None:
    a, b, g = Value([1.0]), Value([2.0]), np.ones(1)
    a.grad = g
    b.grad = g
    assert not np.shares_memory(a.grad, b.grad) and not np.shares_memory(a.grad, g)
    frozen = np.ones(1)
    frozen.flags.writeable = False
    a.grad = frozen
    assert a.grad.flags.writeable


def test_value_aux_and_results_never_alias_the_inputs() -> None:
    x = np.ones(1)
    value, _ = ad.value_and_grad(lambda q: q)(x)
    assert not np.shares_memory(value, x)
    (value, aux), g = ad.value_and_grad(lambda q: (q.sum(), [q, q[:1], q.T]), has_aux=True)(x)
    y, pull = ad.vjp(lambda q: (q, q.reshape(1, 1)), x)
    z, t = ad.jvp(lambda q: q, (x,), (x,))
    for result in (*aux, g, *y, z, t, *pull((x, x.reshape(1, 1)))):
        assert not np.shares_memory(result, x)


# -- dtypes


def test_half_precision_counts_beyond_its_range() -> None:
    n = 70_000
    for f in (np.mean, np.max, np.min):
        v = Value(np.ones(n, np.float16))
        f(v).backward()
        assert v.grad.dtype == np.float16 and np.all(v.grad == np.float16(1 / n))
    v = Value(np.zeros((n, 2), np.float16))
    ad.nn.cross_entropy(v, np.zeros(n, int)).backward()
    np.testing.assert_allclose(v.grad[0].astype(float), [-0.5 / n, 0.5 / n], rtol=0.01)


SECOND: dict[str, Callable[[Any], Any]] = {
    "grad of grad": lambda f: lambda x: ad.vjp(lambda y: ad.vjp(f, y)[1](np.ones_like(raw(y)))[0], x)[1](x)[0],
    "jvp of jvp": lambda f: lambda x: ad.jvp(lambda y: ad.jvp(f, (y,), (x,))[1], (x,), (x,))[1],
    "jvp of grad": lambda f: lambda x: ad.jvp(lambda y: ad.vjp(f, y)[1](np.ones_like(raw(y)))[0], (x,), (x,))[1],
}


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives_of_powers_keep_the_dtype(name: str, dtype: Any) -> None:
    for f in (
        lambda v: v**2,
        lambda v: v**0.5,
        lambda v: v**3,
        lambda v: v**-1,
        lambda v: np.power(v, 2),
        lambda v: np.power(v, 0.5),
        lambda v: 2.0**v,
        lambda v: np.power(2.0, v),
    ):
        assert SECOND[name](f)(np.full(3, 2, dtype)).dtype == dtype
        v = Value(np.full(3, 2, dtype))
        f(v).backward(np.ones(3, dtype), create_graph=True)
        g = v.grad
        v.zero_grad()
        g.backward(np.ones(3, dtype))
        assert g.dtype == v.grad.dtype == dtype


def test_a_number_to_the_power_of_a_value_keeps_the_dtype() -> None:
    v = Value(np.ones(2, np.float32))
    for result in (np.power(2.0, v), 2.0**v, np.power(2, v)):
        assert result.dtype == np.float32


def test_big_endian_data_gives_native_values_and_gradients() -> None:
    x = np.arange(1.0, 4.0).astype(">f8")
    v = Value(x)
    (v * v).sum().backward()
    assert v.dtype.isnative and v.grad.dtype.isnative and v.grad.tolist() == [2, 4, 6]
    g = ad.grad(lambda q: (q * q).sum())(x)
    assert g.dtype.isnative and g.tolist() == [2, 4, 6]
    assert ad.vjp(lambda q: q * q, x)[1](x)[0].dtype.isnative
    assert ad.jvp(lambda q: q * q, (x,), (x,))[1].dtype.isnative
    w = Value(np.ones(3))
    (w * x).sum().backward()
    assert w.grad.dtype.isnative and w.grad.tolist() == [1, 2, 3]


def test_leaky_relu_of_integers() -> None:
    x = np.array([-100, 2])
    np.testing.assert_allclose(raw(ad.leaky_relu(x)), [-1.0, 2.0])
    np.testing.assert_allclose(raw(ad.leaky_relu(constant(x))), [-1.0, 2.0])


# -- kinks and infinities


def test_power_zero_at_nan_and_at_denormals() -> None:
    for x in (np.nan, 1e-310, 5e-324, np.inf):
        for f in (lambda v: v**0, lambda v: v ** np.array(0.0), lambda v: np.power(v, 0.0), lambda v: v ** np.zeros(1)):
            v = Value(x)
            f(v).backward()
            assert v.grad == 0


def test_mixed_second_derivative_of_a_power() -> None:
    """d2/dxdy x**y is x**(y - 1) * (1 + y log x), 1/x at y = 0."""
    f = lambda x, y: x**y
    assert float(ad.grad(lambda y: ad.grad(f)(2.0, y))(0.0)) == 0.5
    assert float(ad.grad(lambda x: ad.grad(f, 1)(x, 0.0))(2.0)) == 0.5
    assert float(ad.jvp(lambda y: ad.grad(f)(2.0, y), (0.0,), (1.0,))[1]) == 0.5


def test_where_keeps_infinities_of_tan_out() -> None:
    x = np.array([np.inf, 0.5, -np.inf])
    f = lambda v: np.where(np.isfinite(v), np.tan(v), 0.0)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(ad.grad(lambda v: f(v).sum())(x), [0, 1 + np.tan(0.5) ** 2, 0])
        np.testing.assert_allclose(ad.jvp(f, (x,), (np.ones(3),))[1], [0, 1 + np.tan(0.5) ** 2, 0])


def test_second_derivative_at_a_kink_is_zero() -> None:
    for f in (lambda x: np.hypot(x, 0.0), lambda x: np.hypot(0.0, x), np.abs, np.fabs):
        assert float(ad.grad(ad.grad(f))(0.0)) == 0
        assert float(ad.jvp(ad.grad(f), (0.0,), (1.0,))[1]) == 0
    for f, x in ((np.std, np.ones(3)), (lambda z: np.abs(z).sum(), np.zeros(3, complex))):
        np.testing.assert_array_equal(ad.grad(lambda y, f=f: ad.grad(f)(y).real.sum())(x), 0)
        np.testing.assert_array_equal(ad.jvp(ad.grad(f), (x,), (np.arange(3).astype(x.dtype),))[1], 0)


def test_modf_of_infinity() -> None:
    x = np.array([np.inf, -np.inf, -0.5, 1.5])
    v = Value(x)
    for ours, theirs in zip(np.modf(v), np.modf(x), strict=True):
        np.testing.assert_array_equal(ours.data, theirs)
    np.modf(v)[0].sum().backward()
    np.testing.assert_array_equal(v.grad[2:], 1)


def test_modf_has_numpys_signs_and_warnings() -> None:
    x = np.array([np.inf, -np.inf, -0.5, 1.5, -2.0, -0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = np.modf(Value(x))
    for part, expected in zip(ours, np.modf(x), strict=True):
        np.testing.assert_array_equal(np.signbit(part.data), np.signbit(expected))


def test_dot_of_nothing() -> None:
    x, y = np.ones((2, 0, 3)), np.ones((4, 3, 5))
    v, w = Value(x), Value(y)
    result = np.dot(v, w)
    assert result.shape == np.dot(x, y).shape == (2, 0, 4, 5)
    result.sum().backward()
    assert v.grad.shape == x.shape and w.grad.shape == y.shape and not w.grad.any()
    v, w = Value(np.ones((2, 4, 0))), Value(np.ones((3, 0, 5)))
    result = np.dot(v, w)
    assert result.shape == (2, 4, 3, 5) and not result.data.any()
    result.sum().backward()
    assert v.grad.shape == (2, 4, 0) and w.grad.shape == (3, 0, 5)


# -- operands


def test_memory_maps_are_arrays(tmp_path: Path) -> None:
    m: Any = np.memmap(tmp_path / "m", dtype=float, mode="w+", shape=(3,))
    m[:] = [1.0, 2.0, 3.0]
    v = Value([1.0, 1.0, 1.0])
    for result in (v * m, m * v, np.hypot(v, m), np.concatenate([v, m])):
        assert type(result) is Value and type(result.data) is np.ndarray
    (v * m).sum().backward()
    assert v.grad.tolist() == [1, 2, 3] and type(v.grad) is np.ndarray
    g = ad.grad(lambda x: (x * x).sum())(m)
    assert type(g) is np.ndarray and g.tolist() == [2, 4, 6]
    y, t = ad.jvp(lambda x: x * x, (m,), (m,))
    assert type(y) is type(t) is np.ndarray and t.tolist() == [2, 8, 18]
    y, pull = ad.vjp(lambda x: x * x, m)
    assert type(y) is np.ndarray and pull(m)[0].tolist() == [2, 8, 18]
    assert ad.nn.Linear(3, 2)(m).shape == (2,)
    assert type(Value(m).data) is type(Value(m, copy=False).data) is np.ndarray


class Tagged(np.ndarray):  # type: ignore[type-arg]
    """A subclass of ndarray that we know nothing about."""


def test_other_subclasses_of_ndarray_are_refused_with_a_way_out() -> None:
    a, v = np.ones(3).view(Tagged), Value(np.ones(3))
    for call in (
        lambda: v * a,
        lambda: a * v,
        lambda: np.hypot(v, a),
        lambda: np.concatenate([v, a]),
        lambda: ad.grad(lambda x: x.sum())(a),
        lambda: ad.vjp(lambda x: x.sum(), a),
        lambda: ad.jvp(lambda x: x.sum(), (a,), (np.ones(3),)),
    ):
        with pytest.raises(OperandError, match=r"Tagged.*np\.asarray\("):
            call()
    assert type(Value(a).data) is type(Value(a, copy=False).data) is np.ndarray  # the constructor converts


def test_strings_are_no_operands() -> None:
    for call in (lambda: Value(1.0) * "a", lambda: "a" * Value(1.0), lambda: Value(1.0) + "a"):
        with pytest.raises(OperandError, match="str"):
            call()


def test_membership_of_what_is_no_number_is_false() -> None:
    for v in (Value([1.0, 2.0]), Value([[1.0], [2.0]])):
        assert "a" not in v and None not in v and object() not in v and 2.0 in v


def test_clip_takes_one_pair_of_bounds() -> None:
    with pytest.raises(ValueError, match="a_min"):
        np.clip(Value([2.0]), -1.0, 1.0, min=3.0)
    with pytest.raises(ValueError, match="a_min"):
        np.clip(Value([2.0]), a_min=-1.0, min=3.0)
    assert np.clip(Value([2.0]), min=-1.0, max=1.0).data.tolist() == [1.0]


def test_amax_and_amin() -> None:
    v = Value([[1.0, 3.0], [4.0, 2.0]])
    (np.amax(v, axis=1) + 10 * np.amin(v, 1)).sum().backward()
    assert v.grad.tolist() == [[10, 1], [1, 10]]


def test_maximum_reduce_takes_all_arguments_by_position() -> None:
    v = Value([[1.0, 3.0], [4.0, 2.0]])
    result = np.maximum.reduce(v, 0, None, None, True)
    assert result.data.tolist() == [[4, 3]]
    result.sum().backward()
    assert v.grad.tolist() == [[0, 1], [1, 0]]


def test_an_order_that_depends_on_the_layout() -> None:
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    w = np.arange(6.0)
    for call in (
        lambda v: np.ravel(v, order="A"),
        lambda v: np.ravel(v, order="F"),
        lambda v: np.reshape(v, (6,), order="A"),
        lambda v: v.reshape(6, order="A"),
    ):
        v = Value(x)
        assert call(v).data.tolist() == call(x).tolist()
        (call(v) * w).sum().backward()
        assert v.grad.tolist() == [[0, 2, 4], [1, 3, 5]]


class Index:
    def __index__(self) -> int:
        return 1


def test_keys_of_every_kind_that_numpy_takes() -> None:
    x = np.arange(12.0).reshape(3, 4) + 1
    for key in (
        range(2),
        range(2, -1, -2),
        Index(),
        (Index(), 0),
        (range(3), range(3)),
        ((0, 1), (1, 2)),
        ((0, 1),),
        (slice(None), (0, 0, 3)),
        (slice(Index(), None), Index()),
    ):
        v = Value(x)
        result = v[key]
        np.testing.assert_array_equal(result.data, x[key])
        result.sum().backward()
        expected = np.zeros_like(x)
        np.add.at(expected, key, 1.0)
        np.testing.assert_array_equal(v.grad, expected)


def test_an_operand_may_be_given_by_keyword() -> None:
    v = Value([0.0, 1.0, -1.0])
    ad.relu(x=v).sum().backward()
    assert v.grad.tolist() == [0, 1, 0]
    v = Value([0.0])
    ad.relu(v).sum().backward()
    assert v.grad.tolist() == [0]


# -- copies, pickles, containers


class Parameter(Value):
    """A subclass with a constructor and an attribute of its own."""

    built: ClassVar[int] = 0
    tag: Any

    def __new__(cls, size: int, *, tag: Any) -> Parameter:
        cls.built += 1
        self = super().__new__(cls, np.ones(size))
        self.tag = tag
        return self


def test_copies_and_pickles_of_a_subclass_keep_its_attributes() -> None:
    p = Parameter(2, tag=["x"])
    p.name = "w"
    built = Parameter.built
    for other in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(other) is Parameter and other.tag == ["x"] and other.name == "w" and other.requires_grad
        (other * 3).sum().backward()
        assert other.grad.tolist() == [3, 3] and p.grad is None
    assert Parameter.built == built
    assert copy.copy(p).tag is p.tag and copy.deepcopy(p).tag is not p.tag


def test_deepcopy_of_a_subclass_keeps_ties() -> None:
    p = Parameter(2, tag=None)
    p.tag = p
    first, second = copy.deepcopy((p, [p]))
    assert first is second[0] is first.tag and first is not p


def test_containers_that_cannot_be_rebuilt_are_left_alone() -> None:
    clock = time.gmtime(0)
    assert tree_map(lambda x: x, [sys.version_info, clock]) == [sys.version_info, clock]
    (_, aux), g = ad.value_and_grad(lambda x: (x * 2, (sys.version_info, clock)), has_aux=True)(1.0)
    assert aux[0] is sys.version_info and aux[1] is clock and g == 2


def test_gradients_of_a_counter() -> None:
    """Its constructor counts, it does not copy."""
    g = ad.grad(lambda c: c["a"] ** 2 + 3 * c["b"])(Counter(a=2.0, b=5.0))  # type: ignore[arg-type]
    assert type(g) is Counter and g == {"a": 4.0, "b": 3.0}
    assert ad.grad(lambda c: 1.0)(Counter(a=2.0)) == {"a": 0.0}  # type: ignore[arg-type]


def test_aux_may_be_a_default_dict() -> None:
    f = lambda x: (x * 2, defaultdict(list, a=[x]))
    (value, aux), g = ad.value_and_grad(f, has_aux=True)(1.0)
    assert value == g == 2 and type(aux) is defaultdict and aux["a"] == [1.0] and aux["new"] == []
    assert not isinstance(aux["a"][0], Value)


def test_argnums_are_whatever_has_an_index() -> None:
    f = lambda x, y: x * x * y
    assert ad.grad(f, np.int64(0))(3.0, 2.0) == ad.grad(f, np.int64(-2))(3.0, 2.0) == 12.0
    assert ad.grad(f, Index())(3.0, 2.0) == 9.0
    assert ad.grad(f, (np.int64(1), np.int64(-2)))(3.0, 2.0) == (9.0, 12.0)
    for argnums in ((0, 0), (1, -1), (np.int64(0), 0)):
        with pytest.raises(OperandError, match="argnums"):
            ad.grad(f, argnums)(3.0, 2.0)


# -- graphs, threads, tasks


def test_retain_grad_on_a_freed_graph_says_so() -> None:
    x = Value(2.0)
    y = x * x
    (y * 3.0).backward()
    with pytest.raises(GraphError, match="freed"):
        y.retain_grad()


def test_one_no_grad_in_many_threads_and_nested() -> None:
    off, barrier, seen = ad.no_grad(), threading.Barrier(4, timeout=30), []
    records = lambda: (Value(1.0) * 2.0).requires_grad

    def work() -> None:
        for _ in range(20):
            barrier.wait()
            with off:
                with off:
                    barrier.wait()
                    seen.append(records() is False)
                barrier.wait()
                seen.append(records() is False)
            seen.append(records() is True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(seen) == 4 * 20 * 3 and all(seen)


def test_no_grad_on_a_coroutine_function_ends_with_it() -> None:
    @ad.no_grad()
    async def predict(v: Value) -> Value:
        await asyncio.sleep(0)
        return v * 2

    async def main() -> tuple[bool, bool]:
        v = Value(1.0)
        return (await predict(v)).requires_grad, (v * 2).requires_grad

    assert asyncio.run(main()) == (False, True)


def test_no_grad_refuses_async_generators() -> None:
    async def generate() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match="async generator"):
        ad.no_grad()(generate)


def test_a_node_made_between_two_inputs_is_not_taken_for_an_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may make one while a transform makes its inputs: here the patch does."""
    leaf, others = Value(2.0), []
    original = record.input_node

    @functools.wraps(original)
    def interrupted(*args: Any, **kwargs: Any) -> Any:
        node = original(*args, **kwargs)
        if not others:
            others.append(leaf * 3.0)
        return node

    for call in (
        lambda f: ad.grad(f, (0, 1))(1.0, 1.0),
        lambda f: ad.vjp(f, 1.0, 1.0)[1](1.0),
        lambda f: (ad.jvp(f, (1.0, 1.0), (1.0, 0.0))[1], ad.jvp(f, (1.0, 1.0), (0.0, 1.0))[1]),
    ):
        others.clear()
        leaf.zero_grad()
        monkeypatch.setattr(record, "input_node", interrupted)
        gradients = call(lambda x, y: x * y * others[0])
        monkeypatch.undo()
        assert all(isinstance(g, Value) and g.requires_grad and g.data == 6.0 for g in gradients)
        operator.add(*gradients).backward()
        assert leaf.grad == 6.0


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q"]))


def test_shapes_that_do_not_fit_name_the_function() -> None:
    v = Value([1.0, 2.0])
    for name, call in {
        "multiply": lambda: v * Value(np.ones(3)),
        "add": lambda: v + np.ones(3),
        "subtract": lambda: np.ones(3) - v,
        "matmul": lambda: v @ np.ones(3),
        "hypot": lambda: np.hypot(v, np.ones(3)),
        "concatenate": lambda: np.concatenate([v, np.ones((2, 2))]),
    }.items():
        with pytest.raises(ValueError, match=rf"^{name}: .*reshape"):
            call()
