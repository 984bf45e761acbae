"""What the compiler computes natively of NumPy's functions: the same numbers, and no step left to NumPy."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad

pytest.importorskip("llvmlite")

from autodiff.compiler import llvm_math
from autodiff.compiler.groups import Group
from autodiff.compiler.loops import carried
from autodiff.compiler.lower import lower
from autodiff.compiler.nests import nest

inf, nan = np.inf, np.nan


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with np.errstate(all="ignore"):
        yield


def native(f: Callable[..., Any], *args: Any, rtol: float = 1e-12) -> Any:
    """Compares f with its program, all of whose steps are native. Returns what both are."""
    jitted = ad.jit(f, strict=True)
    jitted(*args)
    for _ in range(2):
        found, expected = jitted(*args), f(*args)
        both = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
        for a, b in both:
            assert np.shape(a) == np.shape(b) and np.asarray(a).dtype == np.asarray(b).dtype
            scale = np.max(np.abs(b[np.isfinite(b)]), initial=0) if np.asarray(b).dtype.kind == "f" else 0
            np.testing.assert_allclose(a, b, rtol, rtol * scale)
    assert ", 0 NumPy;" in jitted.explain(), jitted.explain()
    return found, expected


# -- quotients and remainders

NUMBERS = [0, 1, 2.5, 7, 0.1, 1e300, 1e-310, 5e-324, 1e154, 1e-170, inf, nan, 3, 2.0**53, 1e17, 1.5e-45, 3e38, 1e-38]


def pairs(numbers: Any, dtype: str, rng: Any) -> tuple[Any, Any]:
    numbers = np.array([*numbers, *[-x for x in numbers]]).astype(dtype)
    x, y = (a.ravel() for a in np.meshgrid(numbers, numbers))
    if dtype[0] == "f":
        x = np.append(x, (rng.normal(size=500) * 10 ** rng.uniform(-3, 6, 500)).astype(dtype))
        y = np.append(y, rng.normal(size=500).astype(dtype))
    return x, y


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("function", [np.remainder, np.floor_divide, np.fmod, lambda x, y: np.divmod(x, y)])
def test_remainders_are_numpys_to_the_bit(function: Any, dtype: str, rng: Any) -> None:
    found, expected = native(lambda x, y: function(x, y), *pairs(NUMBERS, dtype, rng))
    for a, b in zip(np.atleast_2d(found), np.atleast_2d(expected), strict=True):
        numbers = ~np.isnan(b)
        assert (a[numbers] == b[numbers]).all() and (np.isnan(a) == ~numbers).all()
        assert (np.signbit(a) == np.signbit(b))[numbers].all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_remainders_next_to_multiples(dtype: str, rng: Any) -> None:
    """Where quotients are rounded to the next integer, and where they have no more digits behind the point."""
    y = (rng.normal(size=4000) * 10.0 ** rng.integers(-5, 6, 4000)).astype(dtype)
    times = np.floor(2.0 ** rng.uniform(0, 30 if dtype == "f4" else 60, 4000)).astype(dtype)
    for x in (y * times, *[np.nextafter(y * times, x) for x in (y.dtype.type(inf), y.dtype.type(-inf))]):
        for function in (np.remainder, np.fmod):
            found, expected = native(lambda x, y, function=function: function(x, y), x, y)
            np.testing.assert_array_equal(found.view("i" + dtype[1]), expected.view("i" + dtype[1]))


@pytest.mark.parametrize("by", [1.0, -0.5, 8.0, 3.0, 2 * np.pi, 0.0, inf])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_remainders_by_constants(dtype: str, by: float, rng: Any) -> None:
    x = pairs(NUMBERS, dtype, rng)[0]
    for function in (np.remainder, np.fmod, np.floor_divide):
        found, expected = native(lambda x, function=function: function(x, by), x)
        np.testing.assert_array_equal(found, expected)
        numbers = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize("dtype", ["i4", "i8"])
@pytest.mark.parametrize("function", [np.remainder, np.floor_divide])
def test_remainders_of_integers(function: Any, dtype: str, rng: Any) -> None:
    info = np.iinfo(dtype)
    x, y = pairs([0, 1, 2, 3, 7, 100, info.max, info.max - 1], dtype, rng)
    x, y = np.append(x, [info.min] * 4).astype(dtype), np.append(y, [-1, 0, 1, info.min]).astype(dtype)
    found, expected = native(lambda x, y: function(x, y), x, y)
    assert (found == expected).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_hypot(dtype: str, rng: Any) -> None:
    """Within two units in the last place, wherever the result is in the range."""
    x, y = pairs(NUMBERS, dtype, rng)
    jitted = ad.jit(lambda x, y: np.hypot(x, y))
    jitted(x, y)
    found = jitted(x, y)
    wide = np.hypot(x.astype("g"), y.astype("g"))
    expected = wide.astype(dtype)
    assert (np.isnan(found) == np.isnan(expected)).all() and (np.isinf(found) == np.isinf(expected)).all()
    finite = np.isfinite(expected)
    units = np.abs(found.astype("g") - wide)[finite] / np.spacing(expected[finite]).astype("g")
    assert units.max() <= 2
    assert ", 0 NumPy;" in jitted.explain()


# -- scans

SCANS = [np.cumsum, np.cumprod, np.maximum.accumulate, np.minimum.accumulate]


@pytest.mark.parametrize("shape", [(7,), (1,), (5000,), (3, 4), (40, 50), (2, 3, 4), (17, 1, 9)], ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
def test_scans(shape: tuple[int, ...], dtype: str, rng: Any) -> None:
    x = rng.uniform(-1.5, 1.5, size=shape).astype(dtype)
    x.reshape(-1)[x.size // 3] = 0
    for axis in range(len(shape)):
        found, expected = native(lambda x: tuple(f(x, axis=axis) for f in SCANS), x, rtol=1e-6)  # noqa: B023
        for a, b in zip(found[:2], expected[:2], strict=True):
            assert (a == b).all() and (np.signbit(a) == np.signbit(b)).all()  # one after the other, as NumPy


def test_scans_of_nothing_but_zeros_keep_their_signs() -> None:
    x = np.array([[-0.0, -0.0, 0.0, -0.0], [0.0, -0.0, -0.0, 1.0]])
    found, expected = native(lambda x: (np.cumsum(x, 1), np.cumprod(x, 1)), x)
    assert all((np.signbit(a) == np.signbit(b)).all() for a, b in zip(found, expected, strict=True))


def test_scans_keep_nan() -> None:
    x = np.array([1.0, nan, 3.0, -inf, inf, 2.0])
    native(lambda x: tuple(f(x) for f in SCANS), x)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.cumsum(x),
        lambda x: np.cumsum(x > 0, 1) * 2,
        lambda x: np.cumsum(x, 0, dtype=np.float32),
        lambda x: np.cumsum(np.exp(x), 1) / np.cumsum(np.exp(x), 1).sum(1, keepdims=True),
        lambda x: np.cumsum(np.exp(x), 0) / np.cumsum(np.exp(x), 0).sum(1, keepdims=True) + np.cumsum(x, 1),
        lambda x: (np.cumsum(np.cumsum(x, 0), 1) * x).sum(0),
        lambda x: np.cumsum(x[::-1], 0)[::-1] + np.cumsum(x.T, 0).T,
        lambda x: np.cumsum(np.cumsum(x.sum(1)) / 3),
        lambda x: np.cumsum(np.ones_like(x), 1) * x,
        lambda x: np.exp(np.cumsum(x, 1) - np.cumsum(x, 1).max(1, keepdims=True)).sum(0),
        ad.grad(lambda x: (np.cumsum(np.tanh(x), 1) ** 2).sum()),
        ad.grad(lambda x: (np.cumprod(np.tanh(x) + 2, 1) / (1 + x * x)).sum()),
        ad.grad(lambda x: (np.maximum.accumulate(np.sin(x), 1) ** 2).sum()),
    ],
)
def test_scans_fuse(f: Callable[..., Any], rng: Any) -> None:
    native(f, rng.normal(size=(20, 30)), rtol=1e-11)


def test_a_scan_along_the_outermost_loop_is_no_work_for_several_threads(rng: Any) -> None:
    """Steps of the loop go on from the one before. (Parts of a nest are shares of its outermost loop.)"""

    def nests(f: Callable[..., Any], *shape: int) -> list[bool]:
        jitted = ad.jit(f)
        jitted(rng.normal(size=shape))
        (entry,) = jitted._call.entries.values()
        found: list[bool] = []

        def noted(group: Group, *args: Any) -> Any:
            code, operands = nest(group, *args)
            found.append(carried(code))
            return code, operands

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("autodiff.compiler.lower.nest", noted)
            lower(entry.programs[0].graph, llvm_math)
        return found

    assert nests(lambda x: np.cumsum(x, 0), 40, 50) == [True]
    assert nests(lambda x: np.cumsum(x, 1), 40, 50) == [False]
    assert nests(lambda x: np.cumsum(x), 40, 50) == [True]
    assert nests(lambda x: x * 2, 40, 50) == [False]


# -- masks

MASKED: dict[str, Callable[..., Any]] = {
    "get": lambda x: x[x > 0.3],
    "of rows": lambda x: x[x[:, 0] > x[:, 0].min()] * 2,
    "with a slice": lambda x: x[x[:, 0] > x[:, 0].min(), 1:3],
    "in a view": lambda x: x.T[::-1][x.T > 0],
    "set a number": lambda x: put(x, x < 0, 0.5),
    "set a row": lambda x: put(x, x[:, 0] > x[:, 0].min(), x[1]),
    "set elements": lambda x: put(x, x > 0, x[x > 0] ** 2),
    "in place": lambda x: times(x),
    "nonzero": lambda x: x[np.nonzero(x > 0)] + np.flatnonzero(x > 0),
    "constant": lambda x: x[np.arange(6) % 2 == 0] * x[:3, np.arange(8) > 6],
    "add.at": lambda x: added(x),
    "piecewise": lambda x: np.piecewise(x, [x < 0], [lambda t: t * 2, np.exp]),
    "twice": lambda x: x[x > 0][x[x > 0] > 1],
}


def put(x: Any, key: Any, value: Any) -> Any:
    x = x.copy()
    x[key] = value
    return x


def times(x: Any) -> Any:
    x = x * 1.0
    x[x < 0] *= 0.1
    return x


def added(x: Any) -> Any:
    out = np.zeros_like(x)
    np.add.at(out, x > 0, x[x > 0])
    return out


@pytest.mark.parametrize("name", MASKED)
def test_masks(name: str, rng: Any) -> None:
    f, x = MASKED[name], rng.normal(size=(6, 8))
    native(f, x)
    native(ad.grad(lambda x: (f(x) ** 2).sum()), x)


def test_a_mask_of_another_number_of_elements_is_another_program(rng: Any) -> None:
    jitted = ad.jit(lambda x: x[x > 0].sum())
    for _ in range(3):
        for count in (3, 5):
            x = np.where(np.arange(9) < count, 1.0, -1.0) * rng.uniform(0.5, 1, 9)
            np.testing.assert_allclose(jitted(x), x[x > 0].sum())
    assert jitted.cache_info().programs == 2
    for x in (np.ones(9), -np.ones(9), np.full(9, nan)):
        np.testing.assert_allclose(jitted(x), x[x > 0].sum())


def test_errors_of_masks_are_numpys() -> None:
    with pytest.raises(IndexError, match="boolean index did not match"):
        ad.jit(lambda x: x[x[:2] > 0])(np.ones(5))
    with pytest.raises(IndexError, match="boolean index did not match"):
        ad.jit(lambda x: x[np.arange(5) < 1])(np.ones(3))
    with pytest.raises(ValueError, match="cannot assign 3 input values to the 5"):
        ad.jit(lambda x: put(x, x > 0, np.ones(3)))(np.ones(5))


# -- sums of products

EINSUMS = [
    ("ij,jk->ik", (4, 5), (5, 6)), ("ij,kj->ik", (4, 5), (6, 5)), ("bqhd,bkhd->bhqk", (2, 3, 4, 5), (2, 6, 4, 5)),
    ("bhqk,bkhd->bqhd", (2, 4, 3, 6), (2, 6, 4, 5)), ("i,j->ij", (4,), (5,)), ("i,i->", (5,), (5,)),
    ("i,i->i", (5,), (5,)), ("ij,ij->i", (4, 5), (4, 5)), ("ijk,jil->kl", (3, 4, 5), (4, 3, 6)),
    ("ij,j->i", (4, 5), (5,)),
    ("ii->i", (4, 4)), ("ii->", (4, 4)), ("ijk->kj", (2, 3, 4)), ("iij->ji", (3, 3, 4)), ("ij->", (3, 4)),
    ("ab,bc,cd->ad", (3, 4), (4, 5), (5, 2)), ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)),
    ("ij,jk->ik", (4, 1), (1, 6)), ("bi,bj->bij", (3, 4), (3, 5)),
]  # fmt: skip


@pytest.mark.parametrize("case", EINSUMS, ids=lambda case: case[0])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_einsum(case: Any, dtype: str, rng: Any) -> None:
    subscripts, *shapes = case
    operands = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    rtol = 1e-12 if dtype == "f8" else 1e-5
    native(lambda *xs: np.einsum(subscripts, *xs) * 2, *operands, rtol=rtol)
    every = tuple(range(len(operands)))
    native(ad.grad(lambda *xs: (np.einsum(subscripts, *xs) ** 2).sum(), every), *operands, rtol=rtol)


# -- other functions, with their gradients

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "tensordot": lambda x: np.tensordot(x, x, axes=([1], [1])),
    "cross": lambda x: np.cross(x[:, :3], x[:, 3:6]),
    "convolve": lambda x: np.convolve(x[0], x[1, :3]) + np.convolve(x[1, :3], x[0], "full"),
    "convolve same": lambda x: np.concatenate([np.convolve(x[0], x[1, :n], "same") for n in (1, 2, 3, 4, 8)]),
    "convolve valid": lambda x: np.convolve(x[0], x[1, :4], "valid"),
    "correlate": lambda x: np.correlate(x[0], x[1, :3], "same"),
    "polyval": lambda x: np.polyval(x[0], x[1] / 4),
    "vander": lambda x: np.vander(x[0], 4) + np.vander(x[1], 4, increasing=True),
    "norms": lambda x: sum(np.linalg.norm(x, p, axis=1) for p in (1, 2, 3, np.inf, -np.inf)) + np.linalg.norm(x, "fro"),
    "round": lambda x: x * np.round(x, 1) + np.round(x) + np.round(100 * x, -1),
    "sinc": lambda x: np.sinc(x),
    "logaddexp": lambda x: np.logaddexp(x, x[::-1]) + np.logaddexp2(x, 0.5),
    "modf": lambda x: np.modf(x)[0] * 2 + np.modf(x)[1],
    "float_power": lambda x: np.float_power(np.abs(x), 1.5),
    "nan_to_num": lambda x: np.nan_to_num(np.where(x > 1, np.nan, x)),
    "nanmax": lambda x: np.nanmax(np.where(x > 0, np.nan, x), 1) + np.nanmin(np.where(x < 0, np.nan, x), 1),
    "isclose": lambda x: x * np.isclose(x, 0, atol=0.5) + x * np.allclose(x, x),
    "where=": lambda x: x.sum(1, where=x > 0) + np.max(x, 1, initial=0.1) + np.prod(x, 1, where=x > 0, initial=2.0),
    "hypot": lambda x: np.hypot(x, 1.0) + np.arctan2(x, 1 + x * x),
    "modulo": lambda x: x % 0.7 + x // 0.7 * x,
    "join": lambda x: np.concatenate([x, x[0]], None).sum() + np.vstack([x, x]) + np.vstack([x[::-1], x]),
    "append": lambda x: np.append(x, 2 * x) ** 2,
    "pads": lambda x: sum(np.pad(x, ((2, 1), (0, 3)), mode=m) for m in ("edge", "reflect", "symmetric", "wrap")),
    "tile": lambda x: np.tile(x, (2, 1, 3)) * 2,
    "repeat": lambda x: np.repeat(x, 2, 1) * np.repeat(x, 2).reshape(6, 16),
    "repeat each": lambda x: np.repeat(x, [0, 1, 2, 0, 1, 3], 0) ** 2,
    "roll": lambda x: np.roll(x, (1, -2), (0, 1)) * np.roll(x, 3, 1) * np.roll(x, 5),
    "fftshift": lambda x: np.fft.fftshift(x) * x + np.fft.ifftshift(x, 1),
    "diag": lambda x: np.diag(x[0]) + np.diag(x[1, :7], 1) + np.diag(x[1, :6], -2) + np.diag(np.diag(x[:, :6])).sum(),
    "orders": lambda x: np.ravel(x, order="F") * np.reshape(x, (8, 6), order="F").ravel(),
    "delete": lambda x: np.delete(x, 2, axis=1) ** 2,
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, rng: Any) -> None:
    f, x = FUNCTIONS[name], rng.normal(size=(6, 8))
    native(f, x)
    native(ad.grad(lambda x: (f(x) ** 2).sum()), x, rtol=1e-10)


def test_logaddexp_of_infinities() -> None:
    x, y = (a.ravel() for a in np.meshgrid([0.0, 1e308, -1e308, inf, -inf, nan, 3.0], [0.0, -1e308, inf, -inf, nan]))
    native(lambda x, y: (np.logaddexp(x, y), np.logaddexp2(x, y)), x, y)


def test_nan_to_num_of_infinities() -> None:
    native(
        lambda x: (np.nan_to_num(x), np.nan_to_num(x, nan=1.5, posinf=2.0, neginf=-3.0)), np.array([nan, inf, -inf, 1])
    )


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_nanmax_of_nothing_but_nan() -> None:
    native(lambda x: np.nanmax(x, 1), np.array([[nan, 1.0, nan], [nan, nan, nan]]))


@pytest.mark.parametrize("function", [np.nanmax, np.nanmin])
def test_nanmax_of_short_rows_vectorises(function: Any, rng: Any, monkeypatch: Any, capfd: Any) -> None:
    monkeypatch.setenv("AUTODIFF_JIT_CACHE", "0")
    native(lambda x: function(x, axis=1), np.where(rng.random((11, 13)) < 0.5, nan, rng.normal(size=(11, 13))))
    assert not capfd.readouterr().err  # where LLVM complains if it does not


def test_sinc_at_zero() -> None:
    found, _ = native(lambda x: np.sinc(x), np.array([0.0, -0.0, 1e-25, 0.5]))
    assert found[0] == 1


# -- matrix products

PRODUCTS = [
    ((4, 5), (5, 6)), ((5,), (5,)), ((4, 5), (5,)), ((5,), (5, 6)), ((3, 4, 5), (5,)), ((5,), (3, 5, 6)),
    ((3, 4, 5), (5, 6)), ((1, 4, 5), (3, 5, 6)), ((2, 1, 4, 5), (3, 5, 6)), ((4, 0), (0, 5)), ((1, 9), (9, 1)),
    ((9, 1), (1, 9)),
]  # fmt: skip


@pytest.mark.parametrize("shapes", PRODUCTS, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "?"])
def test_matmul(shapes: Any, dtype: str, rng: Any) -> None:
    operands = [(rng.normal(size=shape) * 3).astype(dtype) for shape in shapes]
    native(lambda x, y: x @ y, *operands, rtol=1e-12 if dtype != "f4" else 1e-5)


STRIDED: dict[str, tuple[Callable[..., Any], tuple[int, ...], tuple[int, ...]]] = {
    "rows": (lambda x, y: x[::2] @ y, (40, 50), (50, 30)),
    "columns": (lambda x, y: x[:, ::2] @ y, (40, 50), (25, 30)),
    "backwards": (lambda x, y: x[::-1] @ y[:, ::-1], (40, 50), (50, 30)),
    "swapped": (lambda x, y: x.transpose(1, 0, 2) @ y, (6, 7, 8), (8, 5)),
    "broadcast": (lambda x, y: x[:, None] @ y[None], (3, 4, 5), (6, 5, 7)),
    "a batch in no order": (lambda x, y: x.swapaxes(0, 1) @ y.swapaxes(0, 1), (20, 9, 3, 3), (20, 9, 3, 3)),
    "windows": (lambda x, y: np.lib.stride_tricks.sliding_window_view(x, 5) @ y, (60,), (5, 3)),
    "a row for all": (lambda x, y: np.broadcast_to(x, (7, 5)) @ y, (5,), (5, 3)),
    "a column for all": (lambda x, y: np.broadcast_to(x[:, None], (5, 7)) @ y, (5,), (7, 3)),
}


@pytest.mark.parametrize("name", STRIDED)
def test_operands_that_are_views(name: str, rng: Any) -> None:
    f, a, b = STRIDED[name]
    x, y = rng.normal(size=a), rng.normal(size=b)
    native(f, x, y)
    native(ad.grad(lambda x, y: (f(x, y) ** 2).sum(), (0, 1)), x, y, rtol=1e-11)


@pytest.mark.parametrize("dtype", ["i8", "?"])
@pytest.mark.parametrize("shapes", [((3, 1), (4, 5)), ((1,), (4, 5)), ((1,), (4,)), ((3, 4), (1,))], ids=str)
def test_products_of_integers_do_not_broadcast_what_is_summed(shapes: Any, dtype: str) -> None:
    with pytest.raises(ValueError, match="mismatch in its core dimension"):
        ad.jit(np.matmul)(*[np.ones(shape, dtype) for shape in shapes])


def test_recording_does_not_spread_large_products_out() -> None:
    tracemalloc.start()
    try:
        for f, shape in ((lambda x: x @ x, (300, 300)), (lambda x: np.convolve(x, x), (6000,))):
            x = np.ones(shape, int if len(shape) == 2 else float)
            np.testing.assert_array_equal(ad.jit(f)(x), f(x))
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_a_pad_of_nothing_is_another_array() -> None:
    def f(x: Any) -> Any:
        y = np.pad(x, 0, mode="edge")
        y[0] = 7.0
        return y, x * 1.0

    native(f, np.arange(3.0))


def test_vander_has_numpys_dtype() -> None:
    native(lambda x: np.vander(x, 3), np.arange(4, dtype="f4"))


def test_isclose_takes_numbers_in_the_dtype_of_the_array() -> None:
    x = np.array([0.1, 0.2], "f4")
    native(lambda x: (np.isclose(x, 0.1, rtol=0, atol=0), np.isclose(0.1, x, rtol=0, atol=0)), x)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.stack([x, x], axis=None),
        lambda x: np.einsum("ij->ijk", x),
        lambda x: np.einsum("ij->ii", x),
        lambda x: np.pad(x, 1.5, mode="edge"),
    ],
)
def test_errors_are_numpys(f: Any) -> None:
    x = np.ones((2, 2))
    with pytest.raises((TypeError, ValueError)) as expected:
        f(x)
    with pytest.raises(expected.type) as found:
        ad.jit(f)(x)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("width", [1.0, True, [1.0, 2.0], np.uint8(1)])
def test_pad_takes_integers_only_as_numpy_does(width: Any) -> None:
    x = np.ones((2, 2))
    for f in (lambda x: np.pad(x, width, mode="edge"), lambda x: np.pad(x + 1, width, mode="wrap")):
        for refuses in (f, ad.jit(f), ad.jit(ad.jacobian(f))):
            with pytest.raises(TypeError, match="pad_width"):
                refuses(x)
