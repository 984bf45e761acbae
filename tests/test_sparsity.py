"""Patterns of dependence: never too small, for any rule; and exact for the common functions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from checks import over, partial, real, seeded
from domains import ROWS, Case, Row
from test_rules import differentiable, is_smooth, rows

import autodiff as ad
from autodiff import nn
from autodiff.record import Record
from autodiff.rule import RULES
from autodiff.sparse import structures

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Empty means and the like warn on plain arrays too."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def dense_jacobian(f: Callable[..., Any], x: Any) -> Array:
    """Column by column, with `jvp`."""
    out = np.asarray(f(np.copy(x)[()]))
    columns = []
    for j in range(np.size(x)):
        e = np.zeros(np.size(x), dtype=np.asarray(x).dtype)
        e[j] = 1
        columns.append(np.asarray(ad.jvp(f, (x,), (e.reshape(np.shape(x))[()],))[1]).reshape(-1))
    return np.array(columns).T.reshape(out.size, np.size(x))


def pushed_jacobian(f: Callable[..., Any], x: Any) -> Array:
    """The same from one run of f: `jvp` would run it for each column."""
    run = Record("test", [x])
    y = run.run(f, run.arguments, {})
    units = np.eye(np.size(x), dtype=np.asarray(x).dtype).reshape(np.size(x), *np.shape(x))
    columns = [np.asarray(run.forward(y, [e])).reshape(-1) for e in units]
    run.forget(())
    return np.array(columns).T.reshape(y.size, np.size(x))


def pattern(f: Callable[..., Any], x: Any) -> Array:
    dense: Array = ad.jacobian_sparsity(f)(x).toarray()
    return dense


def assert_within(f: Callable[..., Any], x: Any) -> None:
    """No entry of the Jacobian is outside of the pattern."""
    found, jacobian = pattern(f, x), pushed_jacobian(f, x)
    assert found.shape == jacobian.shape
    outside = (jacobian != 0) & ~np.isnan(jacobian) & ~found
    assert not outside.any(), f"{np.argwhere(outside)[:3].tolist()} of {found.shape}"


# -- never too small: every rule


def two_points(case: Case, dtype: Any = np.float64) -> list[list[Any]]:
    rng = seeded(case)
    return [case.operands(rng, dtype), case.operands(rng, dtype)]


@rows(is_smooth)
def test_first_order(row: Row) -> None:
    def check(case: Case) -> None:
        for operands in two_points(case):
            for i in case.differentiable:
                assert_within(partial(case, operands, (i,)), operands[i])
            if len(case.differentiable) > 1:
                assert_within(*joint(case, operands))

    over(differentiable(row), check)


@rows(lambda row: row.complex and is_smooth(row))
def test_first_order_complex(row: Row) -> None:
    def check(case: Case) -> None:
        first, second = two_points(case, np.complex128)
        for i in case.differentiable:
            assert_within(partial(case, first, (i,)), first[i])
            f, x = partial(case, second, (i,)), second[i]
            assert_within(lambda y, f=f, x=x: f(x + 1j * (y - x)), x)  # in the direction of the imaginary axis

    over(differentiable(row, np.complex128), check)


def joint(case: Case, operands: list[Any]) -> tuple[Callable[..., Any], Array]:
    """The case as a function of all its operands in one array, so that several are tracked at once."""
    which = case.differentiable
    stops = np.cumsum([operands[i].size for i in which])[:-1]

    def f(flat: Any) -> Any:
        parts = [part.reshape(np.shape(operands[i])) for i, part in zip(which, np.split(flat, stops), strict=True)]
        return partial(case, operands, which)(*parts)

    return f, np.concatenate([np.ravel(operands[i]) for i in which])


@rows(is_smooth)
def test_second_order(row: Row) -> None:
    """The gradient's graph is made of nodes of other kinds: the maps', and sums that undo broadcasting."""

    def check(case: Case) -> None:
        operands = case.operands(seeded(case))
        for i in case.differentiable:
            f = partial(case, operands, (i,))

            def phi(x: Any, f: Any = f) -> Any:
                y = f(x)
                return real((y * y).sum())

            assert_within(ad.grad(phi), operands[i])

    cases = differentiable(row, empty=False)
    over(cases[:: max(len(cases) // 6, 1)], check) if cases else None


def test_every_structure_is_of_a_rule() -> None:
    assert not [function for function in structures.STRUCTURES if function not in RULES]


def test_what_is_unknown() -> None:
    """Functions whose results mix everything, and nothing else."""
    kinds = ("linear", "bilinear", "general")
    names = {
        RULES[row.function].name
        for row in ROWS
        if RULES[row.function].kind in kinds and row.function not in structures.STRUCTURES
    }
    assert names <= {"nll", "lstsq", "roots", "poly", "concatenate", "stack", "array"}


# -- exact: the common functions


def written(u: Any) -> Any:
    out = np.zeros_like(u)
    out[1:-1] = u[2:] - u[:-2]
    out[0] = u[-1]
    return out


def accumulated(u: Any) -> Any:
    out = u * 1.0
    np.add.at(out, [1, 1, 4], u[:3])
    out[2:4] += u[5:7] ** 2
    out[-2:] *= u[0]
    return out


def overwritten(u: Any) -> Any:
    out = u * u
    out[np.array([3, 0, 3])] = u[4:7]  # of the two for 3 the last one counts
    return out


def recurrence(u: Any) -> Any:
    out = np.zeros(len(u))
    out[0] = u[0]
    for i in range(1, len(u)):
        out[i] = np.sin(u[i]) + (out[i - 1] if i % 3 else 0.0)
    return out


def through_views(u: Any) -> Any:
    grid = np.zeros((2, len(u) // 2))
    grid.T[1:].reshape(-1)[:0] = 1.0
    rows = grid[1]
    rows[:] = u[: len(u) // 2]
    grid[0, ::2] = rows[::2] * u[-1]
    return grid


def written_parts(u: Any) -> Any:
    z = np.zeros(4, complex)
    z.real[1:3] = u[:2]
    z.imag[2:] = u[2:4]
    return z


def written_otherwise(u: Any) -> Any:
    grid, point = np.zeros((3, 3)), np.zeros(())
    np.fill_diagonal(grid, u[:3])
    np.put(grid, [1, 2], u[3:5])
    np.multiply(u[5:8], u[8:11], out=grid[2])
    point[()] = u[11]
    return grid + point


def derivatives(u: Any) -> Any:
    along = ad.jvp(lambda v: v[1:] * v[:-1], (u,), (np.ones(12),))[1]
    return along * ad.vjp(lambda v: v[1:] ** 3, u)[1](u[:-1])[0][1:]


def laplacian(u: Any) -> Any:
    u = u.reshape(3, -1)
    p = np.pad(u, 1)
    return p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * u


def by_slices(u: Any) -> Any:
    u = u.reshape(4, -1)
    out = u * 1.0
    out[1:-1, 1:-1] = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
    return out


BANDED = np.eye(12) * 2 - np.eye(12, k=1) - np.eye(12, k=-1)
SCATTERED = np.random.default_rng(3).normal(size=(5, 12)) * (np.random.default_rng(4).random((5, 12)) < 0.3)
PLACES = np.array([2, 0, 2, 1, 0, 0, 4, 2, 1, 1, 0, 3])

EXACT: dict[str, Callable[[Any], Any]] = {  # of twelve numbers
    "slices": lambda u: u[:-2] - 2 * u[1:-1] + u[2:] - u[1:-1] ** 3,
    "steps": lambda u: u[::2] * u[::-2],
    "elements": lambda u: np.array([u[3] * u[4], u[0], 2.0]),
    "mask": lambda u: u[np.arange(12) % 3 == 1] ** 2,
    "fancy": lambda u: u.reshape(3, 4)[[0, 2, 0], [1, 1, 3]],
    "diff": np.diff,
    "second diff": lambda u: np.diff(u, 2, prepend=0.0),
    "roll": lambda u: u * np.roll(u, 2),
    "gradient": np.gradient,
    "gradient, edge_order": lambda u: np.gradient(u, 0.3, edge_order=2),
    "gradient of rows": lambda u: np.stack(np.gradient(u.reshape(3, 4))),
    "convolve": lambda u: np.convolve(u, [1.0, 0.0, -2.0]),
    "convolve, same": lambda u: np.convolve([3.0, 1.0, 4.0], u, "same"),
    "convolve, valid": lambda u: np.convolve(u, [1.0, 1.0], "valid"),
    "convolve two": lambda u: np.convolve(u[:9], u[9:], "same"),
    "correlate": lambda u: np.correlate(u, [1.0, 2.0, 0.0, 3.0], "full"),
    "pad": lambda u: np.pad(u, (2, 1), constant_values=3.0),
    "pad, reflect": lambda u: np.pad(u.reshape(3, 4), 1, "reflect"),
    "pad, wrap": lambda u: np.pad(u, 3, "wrap"),
    "cumsum": np.cumsum,
    "cumsum of rows": lambda u: np.cumsum(u.reshape(3, 4), axis=1),
    "cumsum of columns": lambda u: np.cumsum(u.reshape(3, 4), axis=0),
    "cumprod": lambda u: np.cumprod(u.reshape(3, 4), axis=0),
    "sum": np.sum,
    "sum of rows": lambda u: u.reshape(3, 4).sum(axis=1),
    "sum, keepdims": lambda u: np.sum(u.reshape(2, 3, 2), axis=(0, 2), keepdims=True),
    "sum, where": lambda u: np.sum(u.reshape(3, 4), axis=0, where=np.arange(12).reshape(3, 4) % 3 == 0),
    "mean": lambda u: u.reshape(3, 4).mean(axis=0),
    "prod": lambda u: u.reshape(3, 4).prod(axis=1),
    "var": lambda u: np.var(u.reshape(3, 4), axis=1),
    "norm": lambda u: np.linalg.norm(u.reshape(3, 4), axis=0),
    "logsumexp": lambda u: ad.logsumexp(u.reshape(3, 4), axis=1),
    "softmax": lambda u: ad.softmax(u.reshape(3, 4), axis=0),
    "reduceat": lambda u: np.add.reduceat(u, [0, 3, 4, 9]),
    "bincount": lambda u: np.bincount(PLACES, weights=u),
    "concatenate": lambda u: np.concatenate([u[:3], np.ones(2), u[-2:] * u[0]]),
    "stack": lambda u: np.stack([u[:6], u[6:]], axis=1),
    "block": lambda u: np.block([[u[:2], u[2:3]], [u[3:4], u[4:6]]]),
    "tile": lambda u: np.tile(u[:5], (2, 2)),
    "repeat": lambda u: np.repeat(u[:4], [1, 0, 3, 2]),
    "flip": lambda u: np.flip(u.reshape(3, 4), 1),
    "take": lambda u: np.take(u.reshape(3, 4), [3, 0], axis=1),
    "take_along_axis": lambda u: np.take_along_axis(u.reshape(3, 4), np.array([[1], [0], [3]]), 1),
    "transpose": lambda u: u.reshape(3, 4).T,
    "moveaxis": lambda u: np.moveaxis(u.reshape(2, 3, 2), 0, 2),
    "broadcast": lambda u: u[:3, None] * u[None, 3:5],
    "outer": lambda u: np.outer(u[:3], u[9:]),
    "kron": lambda u: np.kron(u[:2], u[-2:]),
    "tril": lambda u: np.tril(u.reshape(3, 4)),
    "diag": lambda u: np.diag(u[:3], 1),
    "diagonal": lambda u: np.diagonal(u.reshape(3, 4), 1),
    "trace": lambda u: np.trace(u.reshape(3, 4)),
    "windows": lambda u: np.lib.stride_tricks.sliding_window_view(u, 3) * 2.0,
    "matrix times vector": lambda u: BANDED @ u,
    "vector times matrix": lambda u: u @ BANDED,
    "matrix times matrix": lambda u: SCATTERED @ (u[:, None] * u[:2]),
    "dot": lambda u: np.dot(SCATTERED, u),
    "stack of matrices": lambda u: np.stack([BANDED, SCATTERED[:1].repeat(12, 0)]) @ u.reshape(12, 1),
    "both tracked": lambda u: u[:6].reshape(2, 3) @ u[6:].reshape(3, 2),
    "inner": lambda u: np.inner(u.reshape(3, 4), np.array([1.0, 0.0, 2.0, 0.0])),
    "einsum": lambda u: np.einsum("ij,kj->ki", u.reshape(3, 4), np.eye(4)[:2]),
    "einsum of one": lambda u: np.einsum("iji->j", u.reshape(2, 3, 2)),
    "tensordot": lambda u: np.tensordot(BANDED[:4, :4], u.reshape(3, 4), (1, 1)),
    "cross": lambda u: np.cross(u[:6].reshape(2, 3), u[6:].reshape(2, 3)),
    "solve": lambda u: np.linalg.solve(BANDED[:3, :3], u.reshape(3, 4)),
    "inverse": lambda u: np.linalg.inv(u[:8].reshape(2, 2, 2)),
    "det": lambda u: np.linalg.det(u[:8].reshape(2, 2, 2)),
    "interp": lambda u: np.interp([0.3, 1.2, 2.5], np.arange(12.0), u),
    "interp at": lambda u: np.interp(u, np.arange(-9.0, 9.0), np.arange(18.0) ** 2),
    "polyval": lambda u: np.polyval(np.array([1.0, 2.0, 3.0]), u),
    "vander": lambda u: np.vander(u[:3], 3)[:, :2],
    "fft of rows": lambda u: np.fft.fft(u.reshape(3, 4) * 1j, axis=0),
    "real and imag": lambda u: np.concatenate([((1 + 2j) * u).imag, np.real(u * u)]),
    "astype": lambda u: u[2:4].astype(np.float32).astype(float),
    "written": written,
    "accumulated": accumulated,
    "overwritten": overwritten,
    "recurrence": recurrence,
    "through views": through_views,
    "written parts": written_parts,
    "written otherwise": written_otherwise,
    "derivatives": derivatives,
    "itself": lambda u: u,
    "laplacian": laplacian,
    "laplacian by slices": by_slices,
    "constant": lambda u: np.concatenate([u[:1] * 0 + 1, np.ones(3)])[1:],
    "a number": lambda u: u[3],
}


@pytest.mark.parametrize("name", EXACT)
def test_exact(name: str) -> None:
    """The pattern is what the numbers of the Jacobian say, at two points together."""
    rng, f = np.random.default_rng(1), EXACT[name]
    jacobians = [dense_jacobian(f, rng.uniform(0.5, 2.0, 12)) for _ in range(2)]
    np.testing.assert_array_equal(pattern(f, rng.uniform(0.5, 2.0, 12)), np.any(jacobians, axis=0))


SMOOTH = {
    name: f for name, f in EXACT.items() if name not in ("fft of rows", "real and imag", "astype", "written parts")
}
LOOSE = {"matrix times matrix", "overwritten"}  # the gradient's graph has a factor that is always 0


@pytest.mark.parametrize("name", [name for name in SMOOTH if name not in LOOSE])
def test_exact_for_gradients(name: str) -> None:
    """The same of the gradient of a sum of cubes: it is as sparse as the product of the two Jacobians."""
    f = SMOOTH[name]
    gradient = ad.grad(lambda u: (f(u) ** 3).sum())
    rng = np.random.default_rng(1)
    jacobians = [dense_jacobian(gradient, rng.uniform(0.5, 2.0, 12)) for _ in range(2)]
    found, exact = pattern(gradient, rng.uniform(0.5, 2.0, 12)), np.any(jacobians, axis=0)
    assert not (exact & ~found).any()
    np.testing.assert_array_equal(found & found.T, exact)


def test_it_says_what_may_depend_not_what_does() -> None:
    """Choices by value count with all that there was to choose from: another point may choose otherwise."""
    x = np.array([-1.0, 2.0, 3.0, -4.0])
    both = np.hstack([np.eye(2), np.eye(2)]).astype(bool)
    for f in (
        lambda u: np.where(u[:2] > 0, u[:2], u[2:]),
        lambda u: np.maximum(u[:2], u[2:]),
        lambda u: u[:2] * 0.0 + u[2:] * (u[2:] > 0),
    ):
        np.testing.assert_array_equal(pattern(f, x), both)
    np.testing.assert_array_equal(pattern(lambda u: u.reshape(2, 2).max(axis=1), x), [[1, 1, 0, 0], [0, 0, 1, 1]])
    assert pattern(np.sort, x).all()
    assert pattern(lambda u: u[:1] * 0, x).tolist() == [[True, False, False, False]]


def test_branches_are_looked_at_again() -> None:
    f = ad.jacobian_sparsity(lambda u: u[1:] if u[0] > 0 else u[:-1] * u[-1])
    np.testing.assert_array_equal(f(np.array([1.0, 2.0])).toarray(), [[0, 1]])
    np.testing.assert_array_equal(f(np.array([-1.0, 2.0])).toarray(), [[1, 1]])


def test_unknown_functions_mix_everything() -> None:
    from autodiff import arrays
    from autodiff.rule import general

    @arrays.dispatchable
    def half(x: Any) -> Any:
        return x[: len(x) // 2] * 2.0

    general(half, None, lambda g, x: np.concatenate([2.0 * g, 0.0 * g]))
    found = pattern(lambda u: np.concatenate([half(u[:4]), u[4:]]), np.ones(6))
    np.testing.assert_array_equal(found, np.array([[1, 1, 1, 1, 0, 0]] * 2 + [[0] * 4 + [1, 0], [0] * 5 + [1]]))


def test_inner_derivatives() -> None:
    """A gradient inside f is a part of its graph; what f makes for itself depends on nothing."""
    x = np.linspace(1.0, 2.0, 5)
    f = ad.grad(lambda u: (u[1:] * u[:-1] ** 2).sum())
    tridiagonal = sum(np.eye(5, k=k) for k in (-1, 0, 1)).astype(bool)
    expected = tridiagonal.copy()
    expected[-1, -1] = False  # the last number is a factor only
    np.testing.assert_array_equal(pattern(f, x), expected)
    inner = lambda u: u * ad.grad(lambda c: (c**2 * u).sum())(3.0 * np.ones(5))
    np.testing.assert_array_equal(pattern(inner, x), np.eye(5, dtype=bool))
    own = lambda u: u * ad.Value(np.ones(5)) ** 2
    np.testing.assert_array_equal(pattern(own, x), np.eye(5, dtype=bool))


def test_what_is_not_sparse_says_so() -> None:
    with pytest.raises(ad.GraphError, match="is not sparse"):
        ad.jacobian_sparsity(lambda u: u - u.mean())(np.ones(200_000))
    with pytest.raises(ad.GraphError, match="is not sparse"):
        ad.jacobian_sparsity(np.cumsum)(np.ones(200_000))
    assert ad.jacobian_sparsity(lambda u: (u - u.mean())[:2])(np.ones(300)).nnz == 600


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": "same"}, {"groups": 2}]
)
def test_convolution_and_pooling_are_exact(options: Any, rng: Any) -> None:
    """Stencils are sparse; zeros of a constant kernel do not count."""
    x = rng.normal(size=(1, 2, 6, 5))
    kernel = rng.normal(size=(2, 2 // options.get("groups", 1), 3, 3))
    kernel[:, :, 0, 0] = 0
    functions: dict[str, Any] = {
        "image": (lambda x: nn.conv(x, kernel, **options), x),
        "kernel": (lambda k: nn.conv(x, k, **options), np.where(kernel == 0, 1.0, kernel)),
        "gradient": (ad.grad(lambda x: (nn.conv(x, kernel, **options) ** 3).sum()), x),
        "average": (lambda x: nn.avg_pool(x, (2, 2)), x),
        "average, gradient": (ad.grad(lambda x: (nn.avg_pool(x, (2, 2)) ** 3).sum()), x),
    }
    for name, (f, point) in functions.items():
        np.testing.assert_array_equal(pattern(f, point), pushed_jacobian(f, point) != 0, err_msg=name)
    assert_within(lambda x: nn.max_pool(x, (2, 2)), x)
    assert pattern(lambda x: nn.max_pool(x, (2, 2)), x).sum(axis=1).max() == 4
