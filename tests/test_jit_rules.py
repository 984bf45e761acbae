"""jit over the whole registry: the program recorded for some numbers gives for others what the function gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from checks import over, random_like, real, seeded
from domains import ROWS, Case, Row
from test_rules import differentiable, is_smooth, runs

import autodiff as ad

# What no program can give: texts of numbers, memory as it happens to be, lists in a tuple. And full_like of a plain
# array and a tracked number, which is a function of NumPy's that does not ask us.
EXCEPT = {np.array_repr, np.array_str, np.array2string, np.empty_like, np.histogram2d, np.histogramdd, np.full_like}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


@pytest.fixture(params=["numpy", "native"])
def runner(request: Any, monkeypatch: Any) -> str:
    """NumPy runs all cases; native code, which has to be compiled for each, some of them, and all in `slow` tests."""
    if request.param == "native":
        pytest.importorskip("llvmlite")
    monkeypatch.setenv("AUTODIFF_JIT", request.param)
    return str(request.param)


def rows(keep: Callable[[Row], bool] = lambda row: True) -> Any:
    return pytest.mark.parametrize(
        "row", [pytest.param(r, id=r.name) for r in ROWS if keep(r) and r.function not in EXCEPT]
    )


def some(cases: Iterable[Any], runner: str, count: int) -> list[Any]:
    return [*cases][: None if runner == "numpy" else count]


def listed(y: Any) -> list[Any]:
    return [*y] if isinstance(y, (tuple, list)) else [y]


def same(actual: Any, expected: Any, what: str) -> None:
    assert type(actual) is type(expected), f"{what}: a {type(actual).__name__}, expected a {type(expected).__name__}"
    if not isinstance(expected, (np.ndarray, np.generic)):
        assert actual == expected, what
        return
    assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    np.testing.assert_allclose(actual, expected, 1e-10, 1e-12 * scale, err_msg=what)


def function_of(case: Case) -> Callable[..., Any]:
    """The function of a case without all that hangs on a row: jit looks at what a function captures."""
    function, args, kwargs, output = case.row.function, case.args, case.kwargs, case.output
    sequence = case.row.sequence

    def f(*operands: Any) -> Any:
        given = ([*operands],) if sequence else operands
        result = function(*given, *args, **kwargs)
        return result if output is None else result[output]

    return f


def check(f: Callable[..., Any], given: Sequence[Sequence[Any]]) -> None:
    """The first call, then calls of the program with the same numbers and with others."""
    jitted = ad.jit(f, strict=True)
    for args in (given[0], *given):
        try:
            expected = listed(f(*args))
        except ValueError:  # a cotangent that fits the result for the first arguments only
            assert args is not given[0]
            continue
        found = listed(jitted(*args))
        assert len(found) == len(expected)
        for k, (a, e) in enumerate(zip(found, expected, strict=True)):
            if isinstance(e, np.ndarray) and not e.ndim:
                e = e[()]
            same(a, e, f"result {k}")


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
def test_value(row: Row, runner: str) -> None:
    cases = some([c for c in row.cases() if runs(c)], runner, 2)
    if cases:
        over(cases, check_value)


@rows(is_smooth)
def test_derivatives(row: Row, runner: str) -> None:
    over(some(differentiable(row), runner, 1), check_derivatives)


@rows(is_smooth)
def test_second_order(row: Row, runner: str) -> None:
    over(some(differentiable(row, empty=False)[:2], runner, 1), check_second_order)


@pytest.mark.slow
@rows(is_smooth)
def test_all_native(row: Row, monkeypatch: Any) -> None:
    pytest.importorskip("llvmlite")
    monkeypatch.setenv("AUTODIFF_JIT", "native")
    over([c for c in row.cases() if runs(c)], check_value)
    over(differentiable(row), check_derivatives)


@pytest.mark.slow
@rows(is_smooth)
def test_all_within_bounds(row: Row, monkeypatch: Any) -> None:
    pytest.importorskip("llvmlite")
    monkeypatch.setenv("AUTODIFF_JIT", "native")
    monkeypatch.setenv("AUTODIFF_JIT_DEBUG", "1")
    over([c for c in row.cases() if runs(c)], check_value)
    over(differentiable(row), check_derivatives)
