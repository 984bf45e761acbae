"""Sparse derivatives of functions that contain vmap: an example depends on itself, and on what all share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from checks import over, partial, seeded
from domains import Case, Row
from test_rules import differentiable, is_smooth, rows
from test_sparsity import assert_within, pattern

import autodiff as ad
from autodiff import BatchError, OperandError, vmap

B = np.arange(6.0).reshape(3, 2) + 1
x = np.array([1.0, 2.0])
I = np.array([0, 1, 1])
M = np.array([[2.0, 0.5], [0.3, 1.0]])
S = np.array([[1.0, 0.0], [2.0, 0.0]])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def written(q: Any) -> Any:
    out = np.zeros(2)
    out[0] = q[1]
    return out


def written_at(q: Any, i: Any) -> Any:
    out = np.zeros(2)
    out[i] = q[0]
    out[0] += q[1]
    return out


def added(q: Any) -> Any:
    out = np.zeros(3)
    np.add.at(out, [0, 0], q)
    return out


EXACT: dict[str, Callable[..., Any]] = {
    "elementwise": vmap(np.sin),
    "an index of each example": lambda u: vmap(lambda q, i: q[i])(u, I),
    "written": vmap(written),
    "written at an index of each": lambda u: vmap(written_at)(u, I),
    "added": vmap(added),
    "sum": vmap(np.sum),
    "cumsum": vmap(np.cumsum),
    "var": vmap(np.var),
    "outer": vmap(lambda q: q[:, None] * q),
    "dot": vmap(lambda q: q @ q),
    "matrix times": vmap(lambda q: M @ q),
    "sparse matrix times": vmap(lambda q: S @ q),
    "matrix of each": lambda u: vmap(lambda q, m: m @ q)(u, np.stack([S, S.T, np.eye(2)])),
    "solve": vmap(lambda q: np.linalg.solve(M, q)),
    "out_axes": vmap(np.sin, out_axes=1),
    "in_axes": vmap(np.sin, in_axes=1),
    "all share": lambda u: vmap(lambda q: q * u)(u[:, 0]),
    "all share a row": lambda u: vmap(lambda q: q * u[0])(u),
    "constants": lambda u: vmap(lambda q: u[0] + q)(B),
    "a constant result": lambda u: vmap(lambda q: u.sum(axis=0))(B),
    "nested": vmap(vmap(lambda s: s * s)),
    "nested, both": lambda u: vmap(lambda q: vmap(lambda s: s * q)(q))(u),
    "concatenate": lambda u: vmap(lambda q: np.concatenate([q, u[0], np.ones(1)]))(u),
    "stack": vmap(lambda q: np.stack([q, 2 * q])),
    "reshape": vmap(lambda q: q.reshape(2, 1).T),
    "pad": vmap(lambda q: np.pad(q, 1)),
    "convolve": vmap(lambda q: np.convolve(q, x)),
    "einsum": vmap(lambda q: np.einsum("i,j->ij", q, q)),
    "triangle": vmap(lambda q: np.triu(q[:, None] * q)),
    "gradients": vmap(ad.grad(lambda q: (q**3).prod())),
    "gradient of the sum": ad.grad(lambda u: vmap(lambda q: (q**3).sum())(u).sum()),
    "gradient of what all share": lambda u: ad.grad(lambda w: vmap(lambda q: (q * w * w).sum())(u).sum())(np.ones(2)),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact(name: str) -> None:
    f = EXACT[name]
    jacobian = ad.jacfwd(f)(B).reshape(-1, B.size)
    np.testing.assert_array_equal(pattern(f, B), jacobian != 0)
    for mode in ("fwd", "rev"):
        np.testing.assert_allclose(ad.sparse_jacobian(f, mode=mode)(B).toarray(), jacobian, rtol=1e-13)


@pytest.mark.parametrize("f", [np.linalg.inv, np.linalg.cholesky])
def test_matrices_stay_apart(f: Any) -> None:
    xs = np.stack([np.eye(2) + 0.1, 2 * np.eye(2) + 0.1])
    np.testing.assert_array_equal(pattern(vmap(f), xs), np.kron(np.eye(2), np.ones((4, 4))))


def test_functions_of_which_nothing_is_known() -> None:
    rule = ad.custom_rule(lambda z, w: z**3 * w, vjp=lambda g, z, w: (3 * g * z * z * w, g * z**3))
    blocks = np.kron(np.eye(3), np.ones((2, 2)))
    np.testing.assert_array_equal(pattern(vmap(lambda q: rule(q, 1.0)), B), blocks)
    np.testing.assert_array_equal(pattern(lambda u: vmap(lambda q: rule(u[0], q))(B), B)[:, :2], np.ones((6, 2)))
    np.testing.assert_array_equal(pattern(vmap(ad.checkpoint(np.sin)), B), blocks)
    assert pattern(ad.checkpoint(vmap(np.sin)), B).all()


def test_hessians() -> None:
    for f in (
        lambda u: vmap(lambda q: (q**3).prod())(u).sum(),
        lambda u: vmap(lambda q: (written(q) ** 3).sum())(u).sum(),
    ):
        expected = ad.hessian(f)(B).reshape(6, 6)
        found = ad.sparse_hessian(f)(B)
        np.testing.assert_allclose(found.toarray(), expected)
        assert found.nnz == np.count_nonzero(expected)


@rows(is_smooth)
def test_every_rule(row: Row) -> None:
    """Of a batch the pattern is that of its examples, side by side; also where the other operands are batches."""

    def check(case: Case) -> None:
        rng = seeded(case)
        points = [case.operands(rng, np.float64) for _ in range(2)]
        for i in case.differentiable:
            try:
                vmap(partial(case, points[0], (i,)))(np.stack([p[i] for p in points]))
            except BatchError:
                continue
            xs = np.stack([p[i] for p in points])
            f = vmap(partial(case, points[0], (i,)))
            assert_within(f, xs)
            each = [pattern(partial(case, points[0], (i,)), p[i]) for p in points]
            assert pattern(f, xs).sum() == sum(p.sum() for p in each)

            others = [k for k, a in enumerate(points[0]) if k != i and hasattr(a, "dtype")]
            stacks = [np.stack([p[k] for p in points]) for k in others]
            g = lambda xs, i=i, others=others, stacks=stacks: vmap(partial(case, points[0], (i, *others)))(xs, *stacks)
            try:
                g(xs)
            except (BatchError, ValueError):
                continue
            if others:
                assert_within(g, xs)

    cases = differentiable(row, empty=False)
    over(cases[:: max(len(cases) // 4, 1)], check) if cases else None


# -- what is no array


@dataclass
class Pair:
    a: Any
    b: Any


@pytest.mark.parametrize("transform", [ad.sparse_jacobian, ad.sparse_hessian, ad.jacobian_sparsity])
@pytest.mark.parametrize("argument", [Pair(x, x), Pair(x, "text"), [x], None], ids=["two", "one", "list", "None"])
def test_a_container_is_refused(transform: Any, argument: Any) -> None:
    name = transform.__name__
    with pytest.raises(OperandError, match=f"{name}: argument 0 is a {type(argument).__name__}; pass one array"):
        transform(lambda p: p.a * p.b)(argument)
