"""einsum in all its forms, and the other contractions where a row of the table cannot say it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import assert_close, random_like
from test_rules import adjoint, compare_first_order

import autodiff as ad
from autodiff import OperandError, Value
from autodiff.rules import einsum
from autodiff.rules.einsum import LARGE

Generator = np.random.Generator

EINSUMS = {
    "product": ("ij,jk->ik", (2, 3), (3, 4)),
    "implied result": ("ij,jk", (2, 3), (3, 4)),
    "implied result in order": ("bA,AC", (2, 3), (3, 4)),
    "spaces": ("i j , j k -> k i", (2, 3), (3, 4)),
    "trace": ("ii", (3, 3)),
    "diagonal": ("iij->ji", (3, 3, 2)),
    "twofold diagonal": ("abab->ba", (2, 3, 2, 3)),
    "threefold diagonal": ("aaa->a", (3, 3, 3)),
    "diagonal in a product": ("iij,jk->ik", (2, 2, 3), (3, 4)),
    "sums of one's own": ("ij,kl->", (2, 3), (4, 5)),
    "sum of one's own": ("ij,kl->il", (2, 3), (4, 5)),
    "transpose": ("ijk->kji", (2, 3, 4)),
    "sum": ("ijk->j", (2, 3, 4)),
    "ellipsis": ("...ij->...ji", (2, 3, 4)),
    "ellipsis, implied": ("...ij,...jk", (5, 2, 3), (5, 3, 4)),
    "ellipsis at the end": ("i...->...", (2, 3, 4)),
    "ellipsis of unequal rank": ("...i,i...->...", (2, 3, 4), (4, 2, 1)),
    "ellipsis that broadcasts": ("...a,...b->...ab", (2, 1, 3), (4, 2)),
    "ellipsis of nothing": ("...i,...i->...", (3,), (3,)),
    "letters that broadcast": ("ij,ij->ij", (1, 3), (2, 3)),
    "letters that broadcast, summed": ("ij,ij", (1, 3), (2, 3)),
    "letters that broadcast, one kept": ("ij,ij->i", (2, 1), (1, 3)),
    "outer": ("i,j->ji", (2,), (3,)),
    "batches": ("bij,bjk->bik", (2, 3, 4), (2, 4, 3)),
    "a number": ("i,->i", (3,), ()),
    "numbers": (",", (), ()),
    "one number": ("", ()),
    "three": ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    "three at once": ("i,i,i->", (3,), (3,), (3,)),
    "bilinear form": ("i,ij,j", (2,), (2, 3), (3,)),
    "four": ("a,b,c,d->dbca", (2,), (3,), (1,), (2,)),
    "four, broadcast": ("...a,...a,a,...->...a", (2, 3), (1, 3), (3,), (2,)),
    "numbers among three": ("ij,,jk", (2, 3), (), (3, 2)),
    "empty": ("ij,jk->ik", (0, 3), (3, 2)),
    "sum of nothing": ("ij,jk->ik", (2, 0), (0, 3)),
}
FORMS = pytest.mark.parametrize("name", EINSUMS)


def given(name: str, rng: Generator, dtype: Any = np.float64) -> tuple[str, list[Any]]:
    subscripts, *shapes = EINSUMS[name]
    return subscripts, [random_like(rng, np.zeros(shape, dtype))[()] for shape in shapes]


def ways(count: int) -> list[Any]:
    """What `optimize` may be for so many operands."""
    explicit = [["einsum_path", tuple(range(count))]] if count > 2 else []
    return [False, True, "greedy", "optimal", *explicit]


@FORMS
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_einsum(name: str, dtype: Any, rng: Generator) -> None:
    """The value is NumPy's, in whatever order it is contracted; derivatives by differences and by the adjoint."""
    subscripts, xs = given(name, rng, dtype)
    expected = np.asarray(np.einsum(subscripts, *xs))
    for optimize in ways(len(xs)):
        y = np.einsum(subscripts, *map(Value, xs), optimize=optimize)
        assert y.requires_grad and y.dtype == dtype
        assert_close(y, expected, 1e-14, 1.0)
    f = lambda *xs: np.einsum(subscripts, *xs)
    if expected.size:
        compare_first_order(f, xs, rng)
    adjoint(f, xs, rng)
    for k in range(len(xs)):  # the others are plain arrays
        adjoint(lambda x, k=k: f(*xs[:k], x, *xs[k + 1 :]), [xs[k]], rng)


@FORMS
def test_einsum_second_order(name: str, rng: Generator) -> None:
    subscripts, xs = given(name, rng)
    where = tuple(range(len(xs)))
    phi = lambda *xs: (np.einsum(subscripts, *xs) ** 2).sum()
    vs = [random_like(rng, x) for x in xs]
    forward = ad.jvp(ad.grad(phi, where), tuple(xs), tuple(vs))[1]
    slope = lambda *xs: sum((g * v).sum() for g, v in zip(ad.grad(phi, where)(*xs), vs, strict=True))
    reverse = ad.grad(slope, where)(*xs)
    for f, r in zip(forward, reverse, strict=True):
        assert_close(f, r, 1e-12, 1.0)


@FORMS
def test_einsum_single_precision(name: str, rng: Generator) -> None:
    subscripts, xs = given(name, rng, np.float32)
    y, pull = ad.vjp(lambda *xs: np.einsum(subscripts, *xs), *xs)
    assert y.dtype == np.float32
    assert {c.dtype for c in pull(np.ones_like(y))} == {np.dtype(np.float32)}


def test_einsum_with_lists(rng: Generator) -> None:
    """`np.einsum(x, [0, 1], y, [1, 2], [2, 0])`, the result named or not, and with an ellipsis."""
    x, y = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    u, v = Value(x), Value(y)
    np.testing.assert_allclose(np.einsum(u, [0, 1], v, [1, 2], [2, 0]).data, (x @ y).T)
    np.testing.assert_allclose(np.einsum(u, [0, 1], v, [1, 2]).data, x @ y)
    np.testing.assert_allclose(np.einsum(u, [3, 51], y, [51, 30]).data, np.einsum(x, [3, 51], y, [51, 30]))
    np.testing.assert_allclose(np.einsum(u, [..., 1], [1, ...]).data, x.T)
    assert np.einsum(u, [0, 1], []).item() == pytest.approx(x.sum())
    np.testing.assert_allclose(
        ad.grad(lambda x: np.einsum(x, [0, 1], y, [1, 2], [2, 0]).sum())(x), np.tile(y.sum(1), (2, 1))
    )


def test_einsum_of_one_value_several_times() -> None:
    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(ad.grad(lambda x: np.einsum("i,i,i", x, x, x))(x), 3 * x**2)
    np.testing.assert_allclose(ad.grad(lambda x: np.einsum("i,j->", x, x))(x), 12)
    second = ad.grad(lambda x: ad.grad(lambda x: np.einsum("i,i,i", x, x, x))(x).sum())(x)
    np.testing.assert_allclose(second, 6 * x)


def test_einsum_of_other_things() -> None:
    """Lists and numbers; integers are promoted before they are multiplied."""
    x = Value(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(np.einsum("i,i", x, [3, 4]).data, 11)
    np.testing.assert_array_equal(np.einsum(",i", 2, x).data, [2, 4])
    small = np.array([100, 100], np.int8)
    np.testing.assert_array_equal(np.einsum("i,i,i->i", small, small, x).data, [10000, 20000])
    untracked = np.einsum("i,i", x.detach(), np.ones(2))
    assert isinstance(untracked, Value) and not untracked.requires_grad
    assert np.einsum("i,i", Value(small, requires_grad=False), small).dtype == np.int8


def test_einsum_dtype_and_order() -> None:
    x, y = np.ones((2, 3)), np.ones((3, 2), np.float32)
    assert np.einsum("ij,jk", Value(x), Value(y), dtype=np.complex64, casting="same_kind").dtype == np.complex64
    gradient = ad.grad(lambda x: np.einsum("ij,jk", x, y, dtype=np.float32, casting="same_kind").sum())(x)
    assert gradient.dtype == np.float64
    np.testing.assert_array_equal(gradient, 2)
    assert np.einsum("ij,jk", Value(y), Value(y.T.copy()), dtype=float).dtype == np.float64
    with pytest.raises(
        TypeError, match=r"einsum: operand 0 is float64, .*casting='safe'.* float32; pass casting='unsafe'"
    ):
        np.einsum("ij,jk", Value(x), Value(y), dtype=np.float32)
    for order in "CF":
        z = np.einsum("ij,jk->ik", Value(x), Value(y), order=order)
        assert z.requires_grad and z.data.flags[f"{order}_CONTIGUOUS"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("ij,jk", (2, 3)), "2 terms for 1 operands"),
        (("ij", (2, 3), (2, 3)), "1 terms for 2 operands"),
        (("ij,jk", (2, 3), (4, 2)), "letter 'j' has length 3 in one operand and 4 in another"),
        (("ii", (2, 3)), r"'ii' does not fit an operand of shape \(2, 3\)"),
        (("i,i", (1, 3), (3,)), r"'i' does not fit an operand of shape \(1, 3\); '...' stands for"),
        (("ijk", (2, 3)), "'ijk' does not fit"),
        (("...ijk,i", (2, 3), (2,)), "fewer axes"),
        (("ij->k", (2, 3)), "the result 'k' names"),
        (("ij->ii", (2, 3)), "the result 'ii' names a letter twice"),
        (("i...->i", (2, 3)), "the result has no '...'"),
        (("i.j", (2, 3)), "does not fit"),
    ],
)
def test_einsum_mistakes(arguments: tuple[Any, ...], text: str) -> None:
    subscripts, *shapes = arguments
    with pytest.raises(ValueError, match=f"einsum: .*{text}"):
        np.einsum(subscripts, *(Value(np.ones(shape)) for shape in shapes))
    with pytest.raises(ValueError, match=r"operand|einstein|broadcast"):
        np.einsum(subscripts, *map(np.ones, shapes))


def test_einsum_keywords_are_known_or_refused() -> None:
    with pytest.raises((TypeError, OperandError), match=r"einsum.*subok"):
        np.einsum("i->", Value(np.ones(2)), subok=True)


def test_large_contractions(rng: Generator) -> None:
    """Beyond a plain loop the way is NumPy's own search for one; and nothing of the size of all letters is made."""
    n = int(LARGE ** (1 / 3)) + 8
    x, y = rng.normal(size=(n, n)), rng.normal(size=(n, n))
    value, (gx, gy) = ad.value_and_grad(lambda x, y: np.einsum("ij,kj->ik", x, y).sum(), (0, 1))(x, y)
    np.testing.assert_allclose(value, (x @ y.T).sum())
    np.testing.assert_allclose(gx, np.tile(y.sum(0), (n, 1)))
    np.testing.assert_allclose(gy, np.tile(x.sum(0), (n, 1)))
    vs = [rng.normal(size=2000) for _ in range(4)]
    gradient = ad.grad(lambda a: np.einsum("i,j,k,l->", a, *vs[1:]))(vs[0])
    np.testing.assert_allclose(gradient, np.full(2000, np.prod([v.sum() for v in vs[1:]])))


# -- the others


@pytest.mark.parametrize("axes", [1, 2, 0, ([0, 1], [1, 0]), (-1, 1), ([1], [-1])])
def test_tensordot(axes: Any, rng: Generator) -> None:
    x, y = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    np.testing.assert_allclose(np.tensordot(Value(x), y, axes).data, np.tensordot(x, y, axes))
    compare_first_order(lambda x, y: np.tensordot(x, y, axes), [x, y], rng)


def test_tensordot_mistakes() -> None:
    x = Value(np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"tensordot: the axes to sum over have lengths \[1\] and \[3\]"):
        np.tensordot(x, np.ones((3, 2)), 1)  # no broadcasting
    with pytest.raises(IndexError):
        np.tensordot(x, np.ones((3, 2)), 3)
    with pytest.raises(ValueError, match="repeated axis"):
        np.tensordot(x, x, ([0, 0], [0, 0]))


def test_conjugating_products(rng: Generator) -> None:
    """vdot, vecdot and vecmat conjugate their first operand, so the steepest ascent of Re(conj(x) y) in x is y."""
    x, y = random_like(rng, np.zeros(3, complex)), random_like(rng, np.zeros(3, complex))
    for f in (np.vdot, np.vecdot, lambda x, y: np.vecmat(x, y[:, None])[0] if hasattr(np, "vecmat") else np.vdot(x, y)):
        np.testing.assert_allclose(f(Value(x), Value(y)).data, np.vdot(x, y))
        gx, gy = ad.grad(lambda x, y, f=f: f(x, y).real, (0, 1))(x, y)
        np.testing.assert_allclose(gx, y)
        np.testing.assert_allclose(gy, x)


@pytest.mark.parametrize(
    "options",
    [{}, {"axis": 0}, {"axis": 0, "keepdims": True}, {"keepdims": True}, {"axes": [0, 1]}, {"axes": [0, 1, ()]},
     {"axes": [0, 1], "keepdims": True}, {"axes": [0, 1, 0], "keepdims": True}, {"dtype": np.complex128}],
    ids=str,
)  # fmt: skip
def test_vecdot_keywords(options: dict[str, Any], rng: Generator) -> None:
    x, y = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    np.testing.assert_allclose(np.vecdot(Value(x), y, **options).data, np.vecdot(x, y, **options))
    compare_first_order(lambda x, y: np.vecdot(x, y, **options), [x, y], rng)


@pytest.mark.skipif(not hasattr(np, "matvec"), reason="NumPy 2.2")
def test_matvec_keywords(rng: Generator) -> None:
    x, y = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 2))
    options: dict[str, Any] = {"axes": [(1, 0), 0, 1]}
    np.testing.assert_allclose(np.matvec(Value(x), y, **options).data, np.matvec(x, y, **options))
    options = {"axes": [0, (0, 1), 1]}
    np.testing.assert_allclose(np.vecmat(Value(y), x, **options).data, np.vecmat(y, x, **options))
    compare_first_order(lambda x, y: np.vecmat(y, x, **options), [x, y], rng)
    for f in (lambda: np.matvec(Value(x), y.T, axis=0), lambda: np.vecmat(Value(y), x, keepdims=True)):
        with pytest.raises(TypeError, match=r"for np\.vecdot only; pass axes="):
            f()


def test_numbers_among_the_operands() -> None:
    x = Value(np.ones((2, 3)))
    np.testing.assert_array_equal(np.tensordot(2.0, x, 0).data, np.full((2, 3), 2.0))
    np.testing.assert_array_equal(np.kron(2.0, x).data, np.full((2, 3), 2.0))
    np.testing.assert_array_equal(np.vdot(2, Value(3.0)).data, 6.0)
    np.testing.assert_array_equal(np.cross([1, 0, 0], x).data, np.cross([1, 0, 0], np.ones((2, 3))))
    with pytest.raises(ValueError, match=r"vecdot: operands of shape \(2, 3\) and \(\); 1 and 1 axes are needed"):
        np.vecdot(x, 2.0)


def test_core_axes_do_not_broadcast() -> None:
    with pytest.raises(ValueError, match="mismatch in its core dimension"):
        np.vecdot(Value(np.ones((3, 1))), np.ones((3, 4)))


def test_matmul_keywords() -> None:
    """`axes` is refused by name."""
    x = Value(np.ones((2, 3), np.float32))
    assert np.matmul(x, x.T, dtype=np.float64).dtype == np.float64
    with pytest.raises(OperandError, match=r"matmul: .*axes="):
        np.matmul(x, x, axes=[(0, 1), (1, 0), (0, 1)])


def with_plane_vectors(f: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy wants three components
        return f()


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        (((2,), (2,)), {}),
        (((2,), (3,)), {}),
        (((3,), (2,)), {}),
        (((4, 2), (2,)), {}),
        (((4, 2), (4, 3)), {"axisc": 0}),
        (((3, 4), (4, 3)), {"axisa": 0, "axisc": 0}),
        (((3, 4), (3, 4)), {"axis": 0}),
        (((3, 4), (3, 4)), {"axisa": 0, "axisb": 0}),
    ],
)
def test_cross(shapes: tuple[tuple[int, ...], ...], options: dict[str, Any], rng: Generator) -> None:
    x, y = (rng.normal(size=shape) for shape in shapes)
    expected = with_plane_vectors(lambda: np.cross(x, y, **options))
    np.testing.assert_allclose(np.cross(Value(x), Value(y), **options).data, expected)
    f = lambda x, y: with_plane_vectors(lambda: np.cross(x, y, **options))
    compare_first_order(f, [x, y], rng)


def test_cross_mistakes() -> None:
    with pytest.raises(ValueError, match="cross: vectors of length 4 and 3"):
        np.cross(Value(np.ones(4)), np.ones(3))


@pytest.mark.parametrize("offset", [-3, -1, 0, 1, 2, 5])
def test_trace(offset: int) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    for axes in ((0, 1), (2, 0), (-1, -2)):
        gradient = ad.grad(lambda x, axes=axes: np.trace(x, offset, *axes).sum())(x)
        rows, columns = (np.arange(x.shape[a]).reshape([-1 if i == a % 3 else 1 for i in range(3)]) for a in axes)
        np.testing.assert_array_equal(gradient, np.broadcast_to(columns - rows == offset, x.shape))


def test_infinities_off_the_diagonal() -> None:
    """An infinite cotangent of a diagonal stays on it."""
    x = np.eye(2) * 0.25 - 0.25 * np.eye(2)
    gradient = ad.grad(lambda x: np.sqrt(np.einsum("ii->i", x)).sum())(x)
    np.testing.assert_array_equal(gradient, [[np.inf, 0], [0, np.inf]])
    np.testing.assert_array_equal(ad.grad(lambda x: np.sqrt(np.trace(x)))(x), [[np.inf, 0], [0, np.inf]])


@pytest.mark.parametrize(
    "subscripts", ["bij,bjk->bik", "kjb,ijb->kib", "Lbij,Lbik->bjk", "bi,bic->cb", "abic,cjab->jiab"]
)
def test_large_stacks_of_products(subscripts: str, rng: Generator) -> None:
    """These are matrix products for each element of the stack."""
    lengths = dict(zip("abcijkL", (3, 8, 40, 60, 50, 40, 30), strict=True))
    terms = subscripts.partition("->")[0].split(",")
    x, y = [random_like(rng, np.empty([lengths[c] for c in term])) for term in terms]
    for a, b in ((x, y), (np.asfortranarray(x), y[..., ::-1]), (x + 1j * x, y.astype(np.float32))):
        common = np.result_type(a, b)
        assert einsum.contract(a.astype(common), b.astype(common), subscripts).dtype == common
        assert_close(np.einsum(subscripts, Value(a), Value(b)).data, np.einsum(subscripts, a, b), rtol=1e-10)
