"""vmap over the whole registry: a batch at once gives what its examples give one by one, derivatives included."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from checks import assert_close, over, random_like, real, seeded
from domains import ROWS, Case, Row
from test_rules import differentiable, is_smooth, runs

import autodiff as ad
from autodiff import BatchError, batching
from autodiff.arrays import getitem, scatter_add
from autodiff.batched import BATCHING
from autodiff.batching import axes, loop, manner, shapes, sorting
from autodiff.rule import RULES
from autodiff.rules.statistics import weighted_counts

Array = np.ndarray[Any, Any]

# Results whose shape is another one for each example: refused where what decides it is a batch.
REFUSED: set[Any] = {
    *(np.argwhere, np.flatnonzero, np.nonzero, np.unique, np.unique_all, np.unique_counts, np.unique_inverse),
    *(np.unique_values, np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d, np.trim_zeros, np.compress, np.extract),
    *(np.piecewise, np.ix_, np.polymul, np.polydiv, np.bincount, weighted_counts),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def rows(keep: Callable[[Row], bool] = lambda row: True) -> Any:
    return pytest.mark.parametrize(
        "row", [pytest.param(r, id=r.name) for r in ROWS if keep(r) and r.function not in REFUSED]
    )


def gives_arrays(case: Case) -> bool:
    """Not a shape, a dtype, a text, a truth value."""
    if not runs(case):
        return False
    return all(isinstance(y, (np.ndarray, np.generic)) for y in listed(case(*case.operands(seeded(case)))))


def listed(y: Any) -> list[Any]:
    return [*y] if isinstance(y, (tuple, list)) else [y]


def examples(case: Case, n: int, dtype: Any = np.float64) -> list[Sequence[Any]]:
    """The operands of n examples."""
    rng = seeded(case)
    return [case.operands(rng, dtype) for _ in range(n)]


def patterns(count: int) -> list[tuple[int, ...]]:
    """Which operands are batches: all of them, and each alone."""
    return [tuple(range(count)), *([(i,) for i in range(count)] if count > 1 else [])]


def mixed(given: list[Sequence[Any]], chosen: Sequence[int]) -> tuple[list[Any], list[int | None]]:
    """The operands for vmap, of which only the `chosen` ones differ from example to example, and in_axes."""
    count = len(given[0])
    operands = [np.stack([e[k] for e in given]) if k in chosen else given[0][k] for k in range(count)]
    return operands, [0 if k in chosen else None for k in range(count)]


def single(given: list[Sequence[Any]], chosen: Sequence[int], i: int) -> list[Any]:
    return [given[i if k in chosen else 0][k] for k in range(len(given[0]))]


def same(actual: Any, expected: Any, what: str, rtol: float = 1e-11, scale: float = 1e-3) -> None:
    assert isinstance(actual, np.ndarray), f"{what}: a {type(actual).__name__}"
    assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite], what)
    if expected.dtype.kind in "fc":
        assert_close(actual[finite], expected[finite], rtol, scale, what)
    else:
        np.testing.assert_array_equal(actual, expected, what)


def check_value(case: Case, dtype: Any = np.float64, n: int = 3) -> None:
    given = examples(case, n, dtype)
    for chosen in patterns(len(given[0])):
        operands, axes = mixed(given, chosen)
        each = [listed(case(*single(given, chosen, i))) for i in range(n)]
        result = listed(ad.vmap(lambda *xs: case(*xs), tuple(axes))(*operands))
        assert len(result) == len(each[0])
        for k, r in enumerate(result):
            expected = np.stack([e[k] for e in each])
            if case.row.values:
                same(r, expected, f"value {k}, batched {chosen}", 1e-5 if dtype is np.float32 else 1e-12)
            else:
                assert r.shape == expected.shape and r.dtype == expected.dtype


def check_first_order(case: Case, dtype: Any = np.float64, n: int = 3, rtol: float = 1e-10) -> None:
    given = examples(case, n, dtype)
    for chosen in patterns(len(given[0])):
        check_pattern(case, given, chosen, rtol)


def of_tracked(f: Callable[..., Any], tracked: Sequence[int], others: Sequence[Any]) -> Callable[..., Any]:
    """`f` as a function of the operands `tracked` alone."""

    def function(*xs: Any) -> Any:
        whole = [*others]
        for k, x in zip(tracked, xs, strict=True):
            whole[k] = x
        return f(*whole)

    return function


def check_pattern(case: Case, given: list[Sequence[Any]], chosen: Sequence[int], rtol: float) -> None:
    """vmap of vjp and jvp, and vjp and jvp of vmap, against the examples one by one."""
    n, tracked, rng = len(given), case.differentiable, seeded(case)
    operands, axes = mixed(given, chosen)
    full = [single(given, chosen, i) for i in range(n)]
    at = [[e[k] for k in tracked] for e in full]
    us = np.stack([random_like(rng, np.asarray(case(*e))) for e in full])
    vs = [np.stack([random_like(rng, np.asarray(e[k])) for e in full]) for k in tracked]
    pulled = [ad.vjp(of_tracked(case, tracked, e), *xs)[1](u) for e, xs, u in zip(full, at, us, strict=True)]

    def tangents(ts: Callable[[int], tuple[Any, ...]]) -> Array:
        return np.stack([ad.jvp(of_tracked(case, tracked, e), tuple(at[i]), ts(i))[1] for i, e in enumerate(full)])

    def pull(u: Any, *ops: Any) -> Any:
        return ad.vjp(of_tracked(case, tracked, ops), *[ops[k] for k in tracked])[1](u)

    def push(vs: Any, *ops: Any) -> Any:
        return ad.jvp(of_tracked(case, tracked, ops), tuple(ops[k] for k in tracked), tuple(vs))[1]

    found = ad.vmap(pull, (0, *axes))(us, *operands)
    for k, (r, place) in enumerate(zip(found, tracked, strict=True)):
        same(r, np.stack([p[k] for p in pulled]), f"batched {chosen}: vmap of vjp, {place}", rtol)
    pushed = tangents(lambda i: tuple(v[i] for v in vs))
    same(ad.vmap(push, (0, *axes))(vs, *operands), pushed, f"batched {chosen}: vmap of jvp", rtol)

    g = of_tracked(ad.vmap(lambda *xs: case(*xs), tuple(axes)), tracked, operands)
    xs = [operands[k] for k in tracked]
    found = ad.vjp(g, *xs)[1](us)
    for k, (r, place) in enumerate(zip(found, tracked, strict=True)):
        parts = np.stack([p[k] for p in pulled])
        expected = parts if place in chosen else parts.sum(axis=0, dtype=parts.dtype)
        same(np.asarray(r), np.asarray(expected), f"batched {chosen}: vjp of vmap, {place}", rtol)
    pushed = tangents(lambda i: tuple(v[i if k in chosen else 0] for k, v in zip(tracked, vs, strict=True)))
    shared = tuple(v if k in chosen else v[0] for k, v in zip(tracked, vs, strict=True))
    same(ad.jvp(g, tuple(xs), shared)[1], pushed, f"batched {chosen}: jvp of vmap", rtol)


def check_second_order(case: Case, n: int = 2, rtol: float = 1e-9) -> None:
    """The Hessian of the sum of squares times a vector: per example, and of the sum over examples."""
    given = examples(case, n)
    rng, tracked = seeded(case), case.differentiable
    operands, axes = mixed(given, range(len(given[0])))
    vs = [random_like(rng, operands[k]) for k in tracked]

    where, square = tuple(range(len(tracked))), lambda *ops: real((case(*ops) ** 2).sum())

    def product(vs: Any, *ops: Any) -> Any:
        return ad.hvp(of_tracked(square, tracked, ops), where)(*[ops[k] for k in tracked], tuple(vs))

    each = [product([v[i] for v in vs], *given[i]) for i in range(n)]
    found = ad.vmap(product, (0, *axes))(vs, *operands)
    summed = of_tracked(lambda *ops: ad.vmap(square)(*ops).sum(), tracked, operands)
    total = ad.hvp(summed, where)(*[operands[k] for k in tracked], tuple(vs))
    for k in range(len(tracked)):
        expected = np.stack([e[k] for e in each])
        scale = max(1e-3, float(np.max(np.abs(expected), initial=0)))
        same(found[k], expected, f"vmap of hvp, {tracked[k]}", rtol, scale)
        same(total[k], expected, f"hvp of vmap, {tracked[k]}", rtol, scale)


@rows()
def test_value(row: Row) -> None:
    cases = [c for c in row.cases() if gives_arrays(c)]
    if cases:
        over(cases, check_value)


@rows(is_smooth)
def test_first_order(row: Row) -> None:
    over(differentiable(row), check_first_order)


@rows(is_smooth)
def test_second_order(row: Row) -> None:
    over(differentiable(row, empty=False)[:2], check_second_order)


@rows(lambda row: row.complex and is_smooth(row))
def test_complex(row: Row) -> None:
    over(differentiable(row, np.complex128)[:4], lambda case: check_first_order(case, np.complex128))


@rows(is_smooth)
def test_single_precision(row: Row) -> None:
    over(differentiable(row, np.float32)[:3], lambda case: check_value(case, np.float32))


@rows(is_smooth)
def test_one_example(row: Row) -> None:
    over(differentiable(row)[:3], lambda case: check_first_order(case, n=1))


@pytest.mark.parametrize("row", [pytest.param(r, id=r.name) for r in ROWS if r.function in REFUSED])
def test_right_or_refused(row: Row) -> None:
    """Where the examples' results have different shapes nothing comes out; where it does it is right."""

    def check(case: Case) -> None:
        try:
            check_value(case)
        except BatchError:
            return

    over(filter(gives_arrays, row.cases()), check)


# -- how much is done in a loop


def test_few_functions_loop() -> None:
    """At most one in ten of those with a rule, and none of the usual ones."""
    ruled = {f: r for f, r in RULES.items() if r.kind in ("elementwise", "linear", "bilinear", "general")}
    looped = [r.name for f, r in ruled.items() if manner(f) == "loop"]
    assert len(looped) <= len(ruled) / 10, looped
    usual = [np.matmul, np.einsum, np.sort, np.argsort, np.cumsum, np.sum, np.max, np.var, np.prod, np.median, np.dot]
    usual += [getitem, scatter_add, np.take, np.concatenate, np.where, np.fft.fft, np.quantile, np.cov, np.polyval]
    usual += [
        getattr(np.linalg, name)
        for name in ["inv", "det", "solve", "eigh", "svd", "qr", "cholesky", "slogdet", "pinv", "norm", "eig"]
    ]
    assert [f for f in usual if manner(f) != "vectorised"] == []


def test_the_table_says_what_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops are counted while the cases run, all operands being batches."""
    calls: list[Any] = []
    original = loop.call_each

    def counted(function: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(function)
        return original(function, *args, **kwargs)

    for module in (loop, axes, shapes, sorting, batching):
        monkeypatch.setattr(module, "call_each", counted)
    for function, body in BATCHING.items():
        if isinstance(body, functools.partial) and body.func is original:
            monkeypatch.setitem(BATCHING, function, functools.partial(counted, *body.args))
    wrong = []
    for row in ROWS:
        if (
            row.function not in RULES
            or not row.name.startswith("numpy.")
            or manner(row.function) == "refused"
            or row.function is np.pad
        ):
            continue  # np.pad loops over batches of constants alone
        calls.clear()
        cases = [*filter(gives_arrays, row.cases())]
        for case in cases:
            with contextlib.suppress(BatchError):  # shapes that differ are seen after the loop
                check_value(case)
        if cases and bool(calls) != (manner(row.function) == "loop"):
            wrong.append((row.name, manner(row.function), calls[:1]))
    assert not wrong
