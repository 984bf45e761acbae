"""What vmap hands out belongs to the caller; and gradients of reads of which only the cotangents are batches."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad

X = np.arange(6.0).reshape(3, 2)


def test_a_result_that_f_has_kept_is_copied() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x * 2)
        return kept[-1]

    result = ad.vmap(f)(X)
    result[:] = 0
    np.testing.assert_array_equal(kept[0].data.whole, 2 * X)


def test_a_graph_that_f_has_kept_is_not_written_to() -> None:
    pulls: list[Any] = []

    def f(x: Any) -> Any:
        y = x * 2
        pulls.append(ad.vjp(lambda z: z * y, x)[1])
        return y

    result = ad.vmap(f)(X)
    result[:] = 0
    np.testing.assert_array_equal(pulls[0](np.ones(2))[0].data.whole, 2 * X)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x * 2,) * 2,
        lambda x: (y := x * 2, y.reshape(2, 1)),
        lambda x: (y := x * 2, y[::-1], y.T),
        lambda x: {"a": x, "b": [x]},
        lambda x: [x.copy(), x],
    ],
)
def test_results_share_no_memory(f: Callable[[Any], Any]) -> None:
    results = [*_arrays(ad.vmap(f)(X))]
    for i, a in enumerate(results):
        assert not np.shares_memory(a, X)
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in results[:i])


def _arrays(tree: Any) -> Any:
    if isinstance(tree, np.ndarray):
        yield tree
    else:
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from _arrays(item)


def test_an_untracked_value_that_goes_in_and_out_is_copied() -> None:
    v = ad.Value(X, requires_grad=False)
    result = ad.vmap(lambda x: x)(v)
    result[:] = -1
    np.testing.assert_array_equal(v.data, np.arange(6.0).reshape(3, 2))


def test_a_result_that_is_given_back_twice_is_right() -> None:
    a, b = ad.vmap(lambda x: (y := x * 2, y))(X)
    a[:] = 0
    np.testing.assert_array_equal(b, 2 * X)


@pytest.mark.parametrize("key", [slice(1, None), 1, np.array([2, 0, 2]), np.array([True, False, True])])
def test_a_read_of_what_all_examples_share(key: Any) -> None:
    """The cotangent of the read is a batch, what is read from is not: it is summed over the examples, at two orders."""
    w, v = np.array([0.5, -1.5, 2.0]), np.array([1.0, 2.0, 3.0, 4.0])

    def loss(w: Any) -> Any:
        return ad.vmap(lambda c: (c * w[key] ** 3).sum())(v).sum()

    counts = np.zeros(3)
    np.add.at(counts, key, 1)
    np.testing.assert_allclose(ad.grad(loss)(w), 10 * counts * 3 * w**2)
    np.testing.assert_allclose(ad.hessian(loss)(w), np.diag(10 * counts * 6 * w))
    inner = ad.vmap(lambda c: ad.grad(lambda w: (c * w[key] ** 3).sum())(w))(v)
    np.testing.assert_allclose(inner, v[:, None] * counts * 3 * w**2)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
@pytest.mark.parametrize("two", [2, 2.0])
def test_a_square_to_the_third_order(dtype: str, two: Any) -> None:
    x = np.array([0.5, -2.0, 0.0], dtype)
    first, third = ad.elementwise_grad(lambda x: x**two), lambda x: x**two * x
    np.testing.assert_array_equal(first(x), 2 * x)
    assert first(x).dtype == x.dtype
    np.testing.assert_array_equal(ad.elementwise_grad(first)(x), np.full_like(x, 2))
    np.testing.assert_array_equal(ad.elementwise_grad(ad.elementwise_grad(first))(x), np.zeros_like(x))
    np.testing.assert_allclose(
        ad.elementwise_grad(ad.elementwise_grad(ad.elementwise_grad(third)))(x), np.full_like(x, 6)
    )


def test_one_gradient_per_example_of_a_vector_times_a_matrix() -> None:
    """An outer product for each example."""
    rng = np.random.default_rng(0)
    w, x, g = rng.normal(size=(3, 4)), rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
    gradients = ad.vmap(ad.grad(lambda w, x, g: ((x @ w) * g).sum()), in_axes=(None, 0, 0))(w, x, g)
    np.testing.assert_allclose(gradients, x[:, :, None] * g[:, None, :])
    gradients = ad.vmap(ad.grad(lambda w, x, g: ((w @ g) * x).sum()), in_axes=(None, 0, 0))(w, x, g)
    np.testing.assert_allclose(gradients, x[:, :, None] * g[:, None, :])
    second = ad.vmap(ad.hessian(lambda w, x: ((x @ w) ** 3).sum()), in_axes=(None, 0))(w, x)
    expected = np.einsum("ni,nk,jl,nj->nijkl", x, x, np.eye(4), 6 * (x @ w))
    np.testing.assert_allclose(second, expected, atol=1e-12)


def _doubled(X: Any) -> Any:
    r = ad.vmap(lambda x: x * 2)(X)
    r[0] = 0.0
    return (r * r).sum()


def _unchanged(X: Any) -> Any:
    r = ad.vmap(lambda x: x)(X)
    r[0] = 0.0
    return (r * r * X).sum()


def _written_inside(X: Any) -> Any:
    def f(x: Any) -> Any:
        x[0] = 5.0
        return x * x

    return (ad.vmap(f)(X) * X).sum()


def _written_afterwards(X: Any) -> Any:
    y = X * 2
    y[0, 0] = 1.0
    r = ad.vmap(lambda x: x[::-1])(y)
    y[1] = 3.0
    r[2] = 4.0
    return (r * r * y).sum()


def _zeroed(derivative: Any) -> Callable[[Any], Any]:
    def f(X: Any) -> Any:
        J = derivative(lambda y: y**3)(X[0])
        J[0] = 7.0
        J.reshape(-1)[1:2] = 0.0
        return (J * J).sum()

    return f


def _zeroed_hessian(X: Any) -> Any:
    H = ad.hessian(lambda y: (y**4).sum())(X[0])
    H[0] = 7.0
    return (H * X[1]).sum()


WRITES = [
    *(_doubled, _unchanged, _written_inside, _written_afterwards),
    *map(_zeroed, (ad.jacobian, ad.jacfwd, ad.jacrev)),
    _zeroed_hessian,
]


@pytest.mark.parametrize("f", WRITES)
def test_writing_to_what_has_crossed_the_border_of_a_batch(f: Callable[[Any], Any]) -> None:
    x = X + 1
    ad.check_grads(f, x)
    np.testing.assert_array_equal(x, X + 1)
    each = np.stack([ad.grad(f)(x), ad.grad(f)(2 * x)])
    np.testing.assert_allclose(ad.vmap(ad.grad(f))(np.stack([x, 2 * x])), each)


def test_what_f_writes_reaches_no_value_outside() -> None:
    v = ad.Value(X, requires_grad=False)
    with ad.no_grad():
        result = ad.vmap(lambda x: (x.__setitem__(0, 9.0), x)[1])(v)
    result[:] = -1.0
    np.testing.assert_array_equal(v.data, np.arange(6.0).reshape(3, 2))


LOOKUPS: list[Callable[[Any, Any], Any]] = [
    lambda i, w: w[i] ** 2,
    lambda i, w: np.take(w, i, axis=0) ** 2,
    lambda i, w: np.take(w, i) ** 2,
    lambda i, w: w.T[:, i][::-1] ** 2,
    lambda i, w: w[i, i % 3] ** 2,
    lambda i, w: (w[[0, 2, 0]] * w[i]) ** 2,
    lambda i, w: np.take_along_axis(w, np.stack([i, i, i])[None] % 4, 0) ** 3,
]


@pytest.mark.parametrize("f", LOOKUPS)
def test_a_table_that_all_examples_read_from(f: Callable[[Any, Any], Any]) -> None:
    """Its gradient is summed over the examples while they are written, at every order and in nests."""
    w, ids, u = np.random.default_rng(0).normal(size=(4, 3)), np.array([2, 0, 2, 3, 1]), np.arange(1.0, 3.0)
    loss = lambda w: (ad.vmap(f, (0, None))(ids, w) * np.cos(w[0, 0])).sum()
    one_by_one = lambda w: sum((f(i, w) * np.cos(w[0, 0])).sum() for i in ids)
    ad.check_grads(loss, w)
    np.testing.assert_allclose(ad.grad(loss)(w), ad.grad(one_by_one)(w))
    np.testing.assert_allclose(ad.hessian(loss)(w), ad.hessian(one_by_one)(w), atol=1e-12)
    np.testing.assert_allclose(ad.vhp(loss)(w, w + 1), ad.vhp(one_by_one)(w, w + 1), atol=1e-12)
    each = ad.vmap(lambda u: ad.grad(lambda w: loss(w * u))(w))(u)
    np.testing.assert_allclose(each, [ad.grad(lambda w, u=v: one_by_one(w * u))(w) for v in u])
    inner = ad.vmap(ad.grad(lambda w, i: f(i, w).sum()), (None, 0))(w, ids)
    np.testing.assert_allclose(inner, [ad.grad(lambda w, i=i: f(i, w).sum())(w) for i in ids])
    nested = lambda w: ad.vmap(lambda u: ad.vmap(lambda i: (u * f(i, w)).sum())(ids).sum())(u).sum()
    np.testing.assert_allclose(ad.grad(nested)(w), ad.grad(lambda w: 3 * sum(f(i, w).sum() for i in ids))(w))
    np.testing.assert_allclose(
        ad.jacrev(lambda w: ad.vmap(f, (0, None))(ids, w))(w), ad.jacfwd(lambda w: np.stack([f(i, w) for i in ids]))(w)
    )


@pytest.mark.parametrize("f", LOOKUPS[:5])
def test_a_lookup_takes_no_table_for_each_example(f: Callable[[Any, Any], Any]) -> None:
    table, ids = np.ones((20000, 8)), np.arange(500)  # 1.3 MB, 640 with one for each example
    loss = lambda w: ad.vmap(f, (0, None))(ids, w).sum()
    for derivative in (ad.grad(loss), lambda w: ad.hvp(loss)(w, w), lambda w: ad.vhp(loss)(w, w)):
        tracemalloc.start()
        derivative(table)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20e6
