"""Every rule of the registry, tested from its row in domains.py.

Derivatives are compared with four-point differences in a random direction, in double precision, and, more
sharply, reverse mode with forward mode: <u, Jv> = <J'u, v> holds to rounding.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import Value, arrays
from autodiff.rule import RULES
from autodiff.rules import activations, elementwise, special
from checks import (
    assert_close,
    directional,
    inner,
    over,
    partial,
    pull_back,
    push_forward,
    random_like,
    seeded,
    subsets,
)
from domains import ROWS, Case, Row

REGISTERED = dict(RULES)  # at collection: doctests and tests declare rules of their own later

DIFFERENCES = 3e-10  # relative error of a four-point difference with step 1e-3, of the largest element
ROUNDING = 1e-12  # of two ways to compute the same sum
SINGLE = 2e-5  # a hundred roundings in float32


def rows(keep: Callable[[Row], bool] = lambda row: True) -> Any:
    """Parametrize a test over the rows for which `keep` holds."""
    return pytest.mark.parametrize("row", [pytest.param(r, id=r.name) for r in ROWS if keep(r)])


def is_nondiff(row: Row) -> bool:
    return REGISTERED[row.function].kind == "nondiff"


def is_smooth(row: Row) -> bool:
    return not is_nondiff(row)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Empty means and the like warn on plain arrays too."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def runs(case: Case) -> bool:
    """Whether NumPy itself accepts the case."""
    try:
        case(*case.operands(seeded(case)))
    except Exception:
        return False
    return True


def differentiable(row: Row, dtype: Any = np.float64, kinds: str = "fc") -> list[Case]:
    """The cases whose result is floating point and finite (the variance of one number, with ddof=1, is nan)."""
    cases = []
    for case in filter(runs, row.cases()):
        result = np.asarray(case(*case.operands(seeded(case), dtype)))
        if result.dtype.kind in kinds and np.isfinite(result).all():
            cases.append(case)
    return cases


# -- the table is complete


def test_every_rule_has_a_row() -> None:
    missing = sorted(rule.name for function, rule in REGISTERED.items() if function not in {r.function for r in ROWS})
    assert not missing, f"rules without a row in tests/domains.py: {missing}"


def test_every_row_has_a_rule() -> None:
    functions = [row.function for row in ROWS]
    assert len(functions) == len(set(functions))
    assert not [row.name for row in ROWS if row.function not in REGISTERED]


@rows()
def test_domain_fits(row: Row) -> None:
    """At the first shapes NumPy accepts every try, so that no case is left out by a slip in the table."""
    first = next(row.all_shapes())
    over([case for case in row.cases() if case.shapes == first], lambda case: case(*case.operands(seeded(case))))


# -- values


def same(actual: Any, expected: Any, exact: bool, values: bool, tracked: bool) -> None:
    """What a function of Values returned is what it returned for arrays: wrapped, and tracked or not."""
    if isinstance(expected, (tuple, list)):
        assert type(actual) is type(expected) and len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            same(a, e, exact, values, tracked)
    elif isinstance(expected, (np.ndarray, np.generic)) and not isinstance(expected, np.bool_):
        assert isinstance(actual, Value), f"a {type(actual).__name__}, not a Value"
        assert actual.dtype == expected.dtype, f"dtype {actual.dtype}, NumPy's is {expected.dtype}"
        assert actual.shape == expected.shape, f"shape {actual.shape}, NumPy's is {expected.shape}"
        assert actual.requires_grad == (tracked and expected.dtype.kind in "fc")
        if values and exact:
            np.testing.assert_array_equal(actual.data, expected)
        elif values:
            assert_close(actual, expected, 4 * np.finfo(expected.dtype).eps)
    else:
        np.testing.assert_equal(actual.data if isinstance(actual, Value) else actual, expected)


@rows()
def test_value_dtype_and_shape(row: Row) -> None:
    kind = REGISTERED[row.function].kind
    dtypes = [np.float64, np.float32, *([np.complex128, np.complex64] if row.complex else [])]

    def check(case_and_dtype: tuple[Case, Any]) -> None:
        case, dtype = case_and_dtype
        operands = case.operands(seeded(case), dtype)
        try:
            expected = case(*operands)
        except Exception as error:
            with pytest.raises(type(error)):
                case(*map(variable, operands))
            return
        exact = kind != "composite" and case.row.function is not np.array2string
        for given in ways_to_give(operands):
            same(case(*given), expected, exact, row.values, kind != "nondiff")

    def variable(x: Any) -> Value:
        return Value(x, requires_grad=x.dtype.kind in "fc")

    def ways_to_give(operands: list[Any]) -> Iterator[list[Any]]:
        """All as Values, and each in turn among plain arrays."""
        yield list(map(variable, operands))
        if len(operands) > 1:
            for k in range(len(operands)):
                if operands[k].dtype.kind in "fc":
                    yield [variable(x) if i == k else x for i, x in enumerate(operands)]

    over([(case, dtype) for case in row.cases() for dtype in dtypes], check)


OWN: dict[Any, Callable[[float], float]] = {
    activations.relu: lambda x: max(x, 0.0),
    activations.leaky_relu: lambda x: x if x > 0 else 0.01 * x,
    activations.sigmoid: lambda x: 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x)),
    activations.softplus: lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0.0),
    activations.normal_cdf: lambda x: 0.5 * math.erfc(-x / math.sqrt(2)),
    activations.gelu: lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2)),
    activations.silu: lambda x: x / (1 + math.exp(-x)) if x > 0 else x * math.exp(x) / (1 + math.exp(x)),
    special.erfc: math.erfc,
    elementwise.real_sign: lambda x: math.copysign(1.0, x) if x else 0.0,
}


@pytest.mark.parametrize("function", OWN, ids=lambda f: f.__name__)
def test_our_own_functions(function: Callable[..., Any]) -> None:
    """NumPy has no such function, so the values are compared with Python's math, element by element."""
    x = np.concatenate([np.linspace(-8, 8, 401), [-1e4, -700.0, -36.0, -20.0, 20.0, 36.0, 700.0, 1e4, 0.0]])
    x = x[x > -38] if function in (activations.normal_cdf, activations.gelu) else x  # erfc underflows gradually
    x = x[x < 26] if function is special.erfc else x
    expected = np.array([OWN[function](float(e)) for e in x])
    condition = 1 + x * x  # of the Gaussian tails: what the rounding of x itself amounts to
    assert np.all(np.abs(function(x) - expected) <= 1e-15 * condition * np.abs(expected) + 1e-300)
    np.testing.assert_array_equal(function(Value(x)).data, function(x))
    single = x.astype(np.float32)
    assert function(single).dtype == np.float32
    expected = np.array([OWN[function](float(e)) for e in single])
    np.testing.assert_allclose(function(single), expected, rtol=1e-5, atol=1e-37)


# -- first order


@rows(is_smooth)
def test_first_order(row: Row) -> None:
    """jvp and vjp, with each set of operands tracked, against finite differences."""

    def check(case: Case) -> None:
        rng = seeded(case)
        operands = case.operands(rng)
        for tracked in subsets(case.differentiable):
            compare_first_order(partial(case, operands, tracked), [operands[i] for i in tracked], rng)

    over([case for case in differentiable(row) if not is_empty(case)], check)


@rows(lambda row: row.complex and is_smooth(row))
def test_first_order_complex(row: Row) -> None:
    def check(case: Case) -> None:
        rng = seeded(case)
        operands = case.operands(rng, np.complex128)
        for tracked in subsets(case.differentiable):
            compare_first_order(partial(case, operands, tracked), [operands[i] for i in tracked], rng)

    over([case for case in differentiable(row, np.complex128) if not is_empty(case)], check)


def compare_first_order(f: Callable[..., Any], xs: list[Any], rng: np.random.Generator) -> None:
    out = np.asarray(f(*xs))
    vs = [random_like(rng, x) for x in xs]
    u = random_like(rng, out)
    precision = DIFFERENCES if np.finfo(out.dtype).bits >= 64 else 1e-2  # casts to float32
    numeric = directional(f, xs, vs)
    scale = max(float(np.max(np.abs(out))), 1e-3)  # a difference of f has the rounding of f
    jvp = push_forward(f, xs, vs)
    assert jvp.dtype == out.dtype
    assert_close(jvp, numeric, precision, scale, "jvp")
    cotangents = pull_back(f, xs, u)
    for x, c in zip(xs, cotangents, strict=True):
        assert c.shape == x.shape and c.dtype == x.dtype, f"cotangent {c.shape} {c.dtype} of {x.shape} {x.dtype}"
    total = sum(inner(c, v) for c, v in zip(cotangents, vs, strict=True))
    size = float(np.sum(np.abs(u)) * max(scale, float(np.max(np.abs(numeric)))))
    assert_close(total, inner(u, numeric), precision, size, "vjp")


def is_empty(case: Case) -> bool:
    return any(0 in shape for shape in case.shapes)


@rows(is_smooth)
def test_adjoint_identity(row: Row) -> None:
    """<u, Jv> = <J'u, v>: reverse and forward mode are transposes of each other, to rounding."""
    dtypes = [np.float64, *([np.complex128] if row.complex else [])]

    def check(case_and_dtype: tuple[Case, Any]) -> None:
        case, dtype = case_and_dtype
        rng = seeded(case)
        operands = case.operands(rng, dtype)
        for tracked in subsets(case.differentiable):
            adjoint(partial(case, operands, tracked), [operands[i] for i in tracked], rng)

    over([(case, dtype) for dtype in dtypes for case in differentiable(row, dtype)], check)


def adjoint(f: Callable[..., Any], xs: list[Any], rng: np.random.Generator) -> None:
    out = np.asarray(f(*xs))
    u, vs = random_like(rng, out), [random_like(rng, x) for x in xs]
    jvp = push_forward(f, xs, vs)
    cotangents = pull_back(f, xs, u)
    assert [c.shape for c in cotangents] == [x.shape for x in xs]
    assert jvp.shape == out.shape and jvp.dtype == out.dtype
    terms = [np.abs(u) * np.abs(jvp), *(np.abs(c) * np.abs(v) for c, v in zip(cotangents, vs, strict=True))]
    scale = float(sum(np.sum(t, dtype=np.float64) for t in terms))
    exact = ROUNDING if np.finfo(out.dtype).bits >= 64 else 1e-6
    left, right = inner(u, jvp), sum(inner(c, v) for c, v in zip(cotangents, vs, strict=True))
    assert abs(left - right) <= exact * scale, f"<u, Jv> = {left!r}, <J'u, v> = {right!r}"


# -- second order


@rows(is_smooth)
def test_second_order(row: Row) -> None:
    """The Hessian of sum(u f^2) times a vector, four ways, against differences of the first-order gradient.

    The square makes linear rules count: theirs is 2 J' diag(u) J v.
    """

    def check(case: Case) -> None:
        rng = seeded(case)
        operands = case.operands(rng)
        tracked = case.differentiable
        f, xs = partial(case, operands, tracked), [operands[i] for i in tracked]
        vs, u = [random_like(rng, x) for x in xs], random_like(rng, np.asarray(f(*xs)))
        where = tuple(range(len(xs)))

        def phi(*xs: Any) -> Any:
            y = f(*xs)
            return (u * y * y).sum()

        gradient = ad.grad(phi, where)
        numeric = directional(gradient, xs, vs)
        scale = max(1e-3, *(float(np.max(np.abs(g))) for g in gradient(*xs)))
        single = np.asarray(f(*xs)).dtype == np.float32
        for name, second in {
            "reverse over reverse": reverse_over_reverse(gradient, xs, vs),
            "create_graph": by_create_graph(phi, xs, vs),
            "forward over reverse": ad.jvp(gradient, tuple(xs), tuple(vs))[1],
            "reverse over forward": ad.grad(lambda *xs: ad.jvp(phi, xs, tuple(vs))[1], where)(*xs),
        }.items():
            for n, s in zip(numeric, second, strict=True):
                assert s.dtype == np.float64
                assert_close(s, n, 1e-2 if single else 10 * DIFFERENCES, scale, name)

    over([case for case in differentiable(row, kinds="f") if not is_empty(case)], check)


def reverse_over_reverse(gradient: Callable[..., Any], xs: list[Any], vs: list[Any]) -> Any:
    where = tuple(range(len(xs)))
    return ad.grad(lambda *xs: sum((g * v).sum() for g, v in zip(gradient(*xs), vs, strict=True)), where)(*xs)


def by_create_graph(phi: Callable[..., Any], xs: list[Any], vs: list[Any]) -> list[Any]:
    values = [Value(x) for x in xs]
    phi(*values).backward(create_graph=True)
    gradients = [v.grad for v in values]
    for v in values:
        v.zero_grad()
    slope = sum((g * d).sum() for g, d in zip(gradients, vs, strict=True))
    if slope.requires_grad:  # else a step function: its gradient is a constant
        slope.backward()
    return [np.zeros_like(v.data) if v.grad is None else v.grad for v in values]


# -- precision


@rows(is_smooth)
def test_single_precision(row: Row) -> None:
    """float32 in, float32 out, derivatives included, and close to float64's."""

    def check(case: Case) -> None:
        rng = seeded(case)
        wide = case.operands(rng)
        narrow = [x.astype(np.float32) if x.dtype == np.float64 else x for x in wide]
        wide = [x.astype(np.float64) if x.dtype == np.float32 else x for x in narrow]
        tracked = case.differentiable
        out = np.asarray(case(*narrow))
        assert row.widens or out.dtype == np.float32 or case.kwargs.get("dtype"), f"gives {out.dtype}"
        results = []
        vs = [random_like(rng, wide[i]) for i in tracked]
        u = random_like(rng, np.asarray(case(*wide)))
        for operands in (narrow, wide):
            f, xs = partial(case, operands, tracked), [operands[i] for i in tracked]
            results.append([*pull_back(f, xs, u), push_forward(f, xs, vs)])
        *cotangents, tangent = results[0]
        assert [c.dtype for c in cotangents] == [np.float32] * len(tracked)
        assert tangent.dtype == out.dtype
        for n, w in zip(*results, strict=True):
            scale = float(np.max(np.abs(wide[tracked[0]]), initial=0)) * float(np.max(np.abs(w), initial=0))
            assert_close(n, w, SINGLE, scale)

    over(differentiable(row), check)


@rows(lambda row: is_smooth(row) and sum(d.kind == "f" for d in row.domains) > 1)
def test_mixed_precision(row: Row) -> None:
    """With one operand in float32 and the others in float64, each gradient keeps its operand's dtype."""

    def check(case: Case) -> None:
        rng = seeded(case)
        for k in case.differentiable:
            operands = case.operands(rng)
            operands[k] = operands[k].astype(np.float32)
            tracked = case.differentiable
            f, xs = partial(case, operands, tracked), [operands[i] for i in tracked]
            out = np.asarray(f(*xs))
            assert out.dtype == np.float64 == f(*map(Value, xs)).dtype
            u, vs = random_like(rng, out), [random_like(rng, x) for x in xs]
            cotangents, tangent = pull_back(f, xs, u), push_forward(f, xs, vs)
            assert [c.dtype for c in cotangents] == [x.dtype for x in xs]
            assert tangent.dtype == np.float64
            left, right = inner(u, tangent), sum(inner(c, v) for c, v in zip(cotangents, vs, strict=True))
            size = sum(float(np.sum(np.abs(c * v))) for c, v in zip(cotangents, vs, strict=True))
            assert abs(left - right) <= 1e-6 * max(size, float(np.sum(np.abs(u * tangent))))

    over(differentiable(row), check)


# -- memory layout


def layouts(x: Any) -> Iterator[Any]:
    """The same numbers in other layouts: Fortran order, every second element, reversed, read-only."""
    if not x.ndim:
        yield from [x] * 4
        return
    yield np.asfortranarray(x)
    wide = np.full([2 * n for n in x.shape], np.nan if x.dtype.kind in "fc" else 0, x.dtype)
    strided = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    strided[...] = x
    yield strided
    back = (slice(None, None, -1),) * x.ndim
    yield x[back].copy()[back]
    frozen = x.copy()
    frozen.flags.writeable = False
    yield frozen


@rows(is_smooth)
def test_memory_layout(row: Row) -> None:
    """Strides do not matter: value, cotangents and tangent are those of the contiguous operands."""

    def check(case: Case) -> None:
        rng = seeded(case)
        operands = case.operands(rng)
        tracked = case.differentiable
        f, xs = partial(case, operands, tracked), [operands[i] for i in tracked]
        out = np.asarray(f(*xs))
        u, vs = random_like(rng, out), [random_like(rng, x) for x in xs]
        expected = [out, *pull_back(f, xs, u), push_forward(f, xs, vs)]
        for laid_out in zip(*map(layouts, operands), strict=True):
            f, xs = partial(case, laid_out, tracked), [laid_out[i] for i in tracked]
            y, pull = ad.vjp(f, *xs)
            for cotangent in (u, *layouts(u)):
                got = [y, *pull(cotangent), push_forward(f, xs, [next(layouts(v)) for v in vs])]
                for g, e in zip(got, expected, strict=True):
                    assert_close(g, e, 4 * ROUNDING if out.dtype == np.float64 else SINGLE)

    def has_order(case: Case) -> bool:
        """Whether the result is to depend on the memory's order."""
        return "A" in [a for a in case.args if isinstance(a, str)]

    first = next(row.all_shapes())
    over([case for case in differentiable(row) if case.shapes == first and not has_order(case)], check)


@rows(lambda row: REGISTERED[row.function].kind not in ("nondiff", "composite"))
def test_maps_return_no_residual(row: Row) -> None:
    """A map returns g, a view of g or a new array, never what the node saved: the walk adds to it in place."""

    def check(case: Case) -> None:
        rng = seeded(case)
        operands = case.operands(rng)
        for tracked in subsets(case.differentiable):
            given = [Value(x) if i in tracked else x for i, x in enumerate(operands)]
            out = case(*given)
            node = out._node
            saved = [*arrays_in(node.saved), *(v.data for v in given if isinstance(v, Value)), out.data]
            for u in (np.ones_like(out.data), random_like(rng, np.asarray(out.data))):
                pulled = node.case.pull(node.saved, u)
                pulled = [pulled] if node.case.count == 1 else list(pulled)
                for k, d in enumerate(pulled):
                    if isinstance(d, np.ndarray):
                        assert not any(np.shares_memory(d, s) for s in saved), f"operand {tracked[k]} gets a residual"
                fresh = [d for d in pulled if isinstance(d, np.ndarray) and not np.shares_memory(d, u)]
                for i, d in enumerate(fresh):
                    assert not any(np.shares_memory(d, e) for e in fresh[:i]), "two operands get one array"

    over([case for case in differentiable(row) if not is_empty(case)], check)


def arrays_in(x: Any) -> Iterator[Any]:
    if isinstance(x, np.ndarray):
        yield x
    elif isinstance(x, (tuple, list)):
        for item in x:
            yield from arrays_in(item)
    elif isinstance(x, dict):
        yield from arrays_in(list(x.values()))
