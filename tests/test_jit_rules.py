"""jit over the whole registry: the program recorded for some numbers gives for others what the function gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from checks import over, random_like, real, seeded
from domains import ROWS, Case, Row
from test_rules import differentiable, is_smooth, runs

import autodiff as ad


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def rows(keep: Callable[[Row], bool] = lambda row: True) -> Any:
    return pytest.mark.parametrize("row", [pytest.param(r, id=r.name) for r in ROWS if keep(r)])


def listed(y: Any) -> list[Any]:
    return [*y] if isinstance(y, (tuple, list)) else [y]


def same(actual: Any, expected: Any, what: str, exact: bool = True) -> None:
    assert type(actual) is type(expected), f"{what}: a {type(actual).__name__}, expected a {type(expected).__name__}"
    if not isinstance(expected, (np.ndarray, np.generic)):
        assert actual == expected, what
        return
    assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    if exact:
        np.testing.assert_array_equal(actual, expected, what)
    else:
        np.testing.assert_allclose(
            actual, expected, 1e-10, 1e-12 * max(1.0, float(np.max(np.abs(expected), initial=0))), err_msg=what
        )


def function_of(case: Case) -> Callable[..., Any]:
    """The function of a case without all that hangs on a row: jit looks at what a function captures."""
    function, args, kwargs, output = case.row.function, case.args, case.kwargs, case.output
    sequence = case.row.sequence

    def f(*operands: Any) -> Any:
        given = ([*operands],) if sequence else operands
        result = function(*given, *args, **kwargs)
        return result if output is None else result[output]

    return f


def programs(jitted: Any) -> list[Any]:
    return [p for entry in jitted._call.entries.values() for p in entry.programs]


def check(f: Callable[..., Any], given: Sequence[Sequence[Any]], rtol: float = 1e-13) -> None:
    """The first call, then calls of the program with the same numbers and with others."""
    jitted = ad.jit(f, strict=True)
    for args in (given[0], *given):
        expected, found = listed(f(*args)), listed(jitted(*args))
        assert len(found) == len(expected)
        for k, (a, e) in enumerate(zip(found, expected, strict=True)):
            if isinstance(e, np.ndarray) and not e.ndim:
                e = e[()]
            same(a, e, f"result {k}", exact=False)


def check_value(case: Case) -> None:
    rng = seeded(case)
    given = [case.operands(rng) for _ in range(3)]
    check(function_of(case), given)


def check_derivatives(case: Case) -> None:
    rng, tracked = seeded(case), case.differentiable
    given, function = [case.operands(rng) for _ in range(3)], function_of(case)
    u = random_like(rng, np.asarray(case(*given[0])))

    def of_tracked(ops: Sequence[Any], xs: Sequence[Any]) -> Any:
        whole = [*ops]
        for k, x in zip(tracked, xs, strict=True):
            whole[k] = x
        return function(*whole)

    def pulled(u: Any, *ops: Any) -> Any:
        return ad.vjp(lambda *xs: of_tracked(ops, xs), *[ops[k] for k in tracked])[1](u)

    def pushed(*ops: Any) -> Any:
        xs = tuple(ops[k] for k in tracked)
        return ad.jvp(lambda *xs: of_tracked(ops, xs), xs, tuple(np.ones_like(x) for x in xs))[1]

    check(pulled, [(u, *g) for g in given])
    check(pushed, given)


def check_second_order(case: Case) -> None:
    rng, tracked = seeded(case), case.differentiable
    given, function = [case.operands(rng) for _ in range(2)], function_of(case)
    vs = [random_like(rng, np.asarray(given[0][k])) for k in tracked]

    def product(*ops: Any) -> Any:
        def square(*xs: Any) -> Any:
            whole = [*ops]
            for k, x in zip(tracked, xs, strict=True):
                whole[k] = x
            return real((function(*whole) ** 2).sum())

        return ad.hvp(square, tuple(range(len(tracked))))(*[ops[k] for k in tracked], tuple(vs))

    check(product, given)


@rows()
def test_value(row: Row) -> None:
    cases = [c for c in row.cases() if runs(c)]
    if cases:
        over(cases, check_value)


@rows(is_smooth)
def test_derivatives(row: Row) -> None:
    over(differentiable(row), check_derivatives)


@rows(is_smooth)
def test_second_order(row: Row) -> None:
    over(differentiable(row, empty=False)[:2], check_second_order)
