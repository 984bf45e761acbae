"""autodiff.numpy: every name of NumPy, Values as results, and the Python array API standard 2024.12."""

from __future__ import annotations

import inspect
import operator
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from strict_array import StrictArray

import autodiff.numpy as anp
from autodiff import Value
from autodiff.checking import check_grads

# One call for each function of the standard, with the keywords that it asks for. In scope: all of the namespace;
# x, y floats (2, 3), v floats (3,), m symmetric and positive definite (3, 3), c complex (3,), i, j integers (3,), b, d
# booleans (3,).
STANDARD = """
    arange(3), arange(1, 7, 2, dtype=float32, device="cpu"), asarray([1, 2], dtype=float64, copy=True, device=None)
    empty((2,), dtype=int8).shape, empty_like(x, dtype=int8).shape, eye(2, 3, k=1, dtype=float32, device="cpu")
    from_dlpack(v), full((2,), 7.0, dtype=float32), full_like(x, 2, dtype=int64)
    linspace(0, 1, 5, endpoint=False, dtype=float32), meshgrid(v, i, indexing="ij"), ones(3, dtype=bool)
    ones_like(x, dtype=int8), tril(x, k=1), triu(m, k=-1), zeros((2, 2), dtype=complex64)
    zeros_like(x, device="cpu")

    astype(x, float32, copy=False), can_cast(int8, int16), can_cast(x, float32), finfo(float32).bits
    iinfo(int16).max, isdtype(float32, "real floating"), isdtype(int8, ("bool", uint8)), result_type(x, float32)
    result_type(i, 1, 2.0)

    abs(x), acos(x), acosh(x + 9), add(x, y), asin(x), asinh(x), atan(x), atan2(x, y), atanh(x), bitwise_and(i, j)
    bitwise_invert(i), bitwise_left_shift(i, j), bitwise_or(i, j), bitwise_right_shift(i, j), bitwise_xor(b, d)
    ceil(9 * x), ceil(i), clip(x), clip(x, 0.1), clip(x, min=0.1, max=v), conj(c), copysign(x, y), cos(x), cosh(x)
    divide(x, y), equal(i, j), exp(x), expm1(x), floor(x), floor(i), floor_divide(x, y), greater(x, y)
    greater_equal(x, y), hypot(x, y), imag(c), isfinite(x), isinf(x), isnan(x), less(x, y), less_equal(x, y)
    log(x + 9), log10(x + 9), log1p(x), log2(x + 9), logaddexp(x, y), logical_and(b, d), logical_not(b)
    logical_or(b, d), logical_xor(b, d), maximum(x, y), minimum(x, y), multiply(x, y), negative(x), nextafter(x, y)
    not_equal(i, j), positive(x), pow(x + 9, y), pow(x, 2), real(c), reciprocal(y), remainder(x, y), round(9 * x)
    sign(x), signbit(x), sin(x), sinh(x), sqrt(x + 9), square(x), subtract(x, 1.0), tan(x), tanh(x), trunc(i)

    take(x, i, axis=1), take_along_axis(x, argsort(x)), take_along_axis(x, argsort(x, axis=0), axis=0), matmul(x, m)
    matrix_transpose(x), tensordot(x, y, axes=2), tensordot(x, y, axes=((1,), (1,))), vecdot(x, v, axis=-1)
    broadcast_arrays(x, v), broadcast_to(v, (2, 3)), concat((x, y), axis=1), concat([x, v], axis=None)
    expand_dims(x, axis=1), flip(x), flip(x, axis=0), moveaxis(x, 0, 1), permute_dims(x, (1, 0)), repeat(v, 2)
    repeat(x, i, axis=1), reshape(x, (3, -1)), roll(x, 1), roll(x, (1, 2), axis=(0, 1)), squeeze(x[None], axis=0)
    stack([x, y], axis=-1), tile(x, (2, 1)), unstack(x, axis=1), argmax(x), argmax(x, axis=0, keepdims=True)
    argmin(x, axis=1), count_nonzero(b), count_nonzero(x, axis=0, keepdims=True), nonzero(b)
    searchsorted(sort(v), x, side="right"), searchsorted(v, x, sorter=argsort(v)), where(b, v, 0.0), unique_all(i)
    unique_counts(i), unique_inverse(i), unique_values(v), argsort(v, descending=True, stable=False)
    sort(x, axis=0, descending=True), sort(v, stable=True), argsort(x, axis=0), cumulative_prod(v)
    cumulative_sum(x, axis=0, include_initial=True, dtype=float32), max(x, axis=1, keepdims=True)
    mean(x, axis=(0, 1)), min(x), prod(i, dtype=float32), prod(x, axis=0, keepdims=True)
    std(x, axis=1, correction=1), sum(i), sum(x, axis=0, dtype=float32, keepdims=True)
    var(x, correction=0.5, keepdims=True), all(b, axis=0), any(x, keepdims=True), diff(v)
    diff(x, axis=0, n=1, prepend=None, append=y)

    linalg.cholesky(m), linalg.cholesky(m, upper=True), linalg.cross(x, y, axis=-1), linalg.det(m)
    linalg.diagonal(m, offset=1), linalg.eigh(m), linalg.eigvalsh(m), linalg.inv(m), linalg.matmul(x, m)
    linalg.matrix_norm(x, keepdims=True, ord="nuc"), linalg.matrix_norm(m[None]), linalg.matrix_power(m, 3)
    linalg.matrix_rank(m, rtol=1e-6), linalg.matrix_transpose(x), linalg.outer(v, v), linalg.pinv(x, rtol=1e-9)
    linalg.qr(x, mode="complete"), linalg.slogdet(m), linalg.solve(m, v), linalg.svd(x, full_matrices=False)
    linalg.svdvals(x), linalg.tensordot(x, y, axes=1 + 1), linalg.trace(m, offset=1, dtype=float32)
    linalg.vecdot(x, v, axis=-1), linalg.vector_norm(x, axis=1, keepdims=True, ord=3), linalg.vector_norm(x)

    fft.fft(c), fft.fft(x, n=4, axis=0, norm="ortho"), fft.ifft(c, norm="forward")
    fft.fftn(x, s=(2, 4), axes=(0, 1)), fft.ifftn(x), fft.rfft(v), fft.irfft(c, n=4), fft.rfftn(x, axes=(1,))
    fft.irfftn(c), fft.hfft(c), fft.ihfft(v), fft.fftfreq(5, d=0.5, dtype=float32, device="cpu"), fft.rfftfreq(5)
    fft.fftshift(x, axes=1), fft.ifftshift(v)

    e, inf, nan, newaxis, pi, bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64
    complex64, complex128
"""


def calls() -> list[str]:
    """The table's expressions, taken apart at the commas outside of brackets."""
    found, depth, start = [], 0, 0
    text = ", ".join(line.strip() for line in STANDARD.splitlines() if line.strip()) + ","
    for at, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            found.append(text[start:at].strip())
            start = at + 1
    return found


DRAWN = np.random.default_rng(0)
DATA: dict[str, Any] = {
    "x": DRAWN.uniform(-0.9, 0.9, (2, 3)),
    "y": DRAWN.uniform(0.5, 1.5, (2, 3)),
    "v": np.array([0.3, -0.2, 0.7]),
    "m": np.diag([3.0, 4.0, 5.0]) + 0.5,
    "c": np.array([1.0 + 0j, 0.3 - 0.7j, -0.2 + 0.4j]),
    "i": np.array([2, 0, 2]),
    "j": np.array([1, 3, 2]),
    "b": np.array([True, False, True]),
    "d": np.array([True, True, False]),
}
VALUES = {name: Value(array, requires_grad=False) for name, array in DATA.items()}


def evaluate(call: str, namespace: Any, data: dict[str, Any]) -> Any:
    class Names(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            return data[name] if name in data else getattr(namespace, name)

    return eval(call, {"__builtins__": {}}, Names())


def assert_same(actual: Any, expected: Any, call: str) -> None:
    if isinstance(expected, tuple):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_same(a, e, call)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert isinstance(actual, Value), f"{call} gave a {type(actual)}"
        assert actual.dtype == expected.dtype and actual.shape == expected.shape
        np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-6)
    else:
        assert actual == expected or actual is expected


@pytest.mark.parametrize("call", calls())
def test_standard(call: str) -> None:
    """The value, dtype and shape are NumPy's wherever NumPy knows the function and all its keywords."""
    actual = evaluate(call, anp, VALUES)
    try:
        expected = evaluate(call, np, DATA)
    except (TypeError, AttributeError, ValueError):
        assert any(
            word in call
            for word in (
                "descending",
                "take_along",
                "fftfreq",
                "prepend=None",
                "cumulative",
                "unstack",
                "astype",
                "clip",
            )
        )
        return
    if call.startswith("count_nonzero"):
        expected = np.asarray(expected)[()]
    assert_same(actual, expected, call)


def test_descending() -> None:
    v = anp.asarray([1.0, 3.0, 2.0, 3.0])
    assert anp.sort(v, descending=True).tolist() == [3.0, 3.0, 2.0, 1.0]
    assert anp.argsort(v, descending=True).tolist() == [1, 3, 2, 0]
    assert anp.argsort(anp.asarray([[1, 2], [1, 0]]), axis=0, descending=True).tolist() == [[0, 0], [1, 1]]
    assert anp.sort([[2, 1], [3, 0]], axis=None, descending=True).tolist() == [3, 2, 1, 0]


OPERATORS = """add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    """Also reflected, with Python numbers, and in place."""
    apply, in_place = getattr(operator, name), getattr(operator, f"i{name.rstrip('_')}")
    kinds = "i" if name in ("and_", "or_", "xor", "lshift", "rshift") else "f"
    a = np.arange(1, 5).reshape(2, 2).astype(int if kinds == "i" else float)
    b = a[::-1] % 3 + 1
    x, y = anp.asarray(a), anp.asarray(b)
    pairs = [(apply(x, y), apply(a, b))]
    if name != "matmul":
        pairs += [(apply(x, 2), apply(a, 2)), (apply(2, x), apply(2, a))]
    x, a = x.copy(), a.copy()
    x, same = in_place(x, y), x
    a = in_place(a, b)
    for actual, expected in [*pairs, (x, a)]:
        assert_same(actual, expected, name)
    assert same is x


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert"])
def test_comparisons_and_unary_operators(name: str) -> None:
    f, a = getattr(operator, name), np.array([1, 2, 3])
    rest = [np.array([3, 2, 1])] if len(name) == 2 else []
    assert_same(f(anp.asarray(a), *map(anp.asarray, rest)), f(a, *rest), name)


def test_the_array_object() -> None:
    x = anp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert x.__array_namespace__() is anp and x.__array_namespace__(api_version="2024.12") is anp
    assert (x.device == "cpu" and x.to_device("cpu") is x) or x.to_device("cpu").tolist() == x.tolist()
    assert (x.dtype, x.ndim, x.shape, x.size) == (anp.float64, 2, (2, 3), 6)
    assert x.T.shape == x.mT.shape == (3, 2)
    x[0, :] = 7.0
    x[x > 6] = 0.0
    assert x.tolist() == [[0.0] * 3, [4.0, 5.0, 6.0]]
    assert [float(anp.asarray(2.0)), int(anp.asarray(2)), complex(anp.asarray(1j)), bool(anp.asarray(True))] == [
        2.0,
        2,
        1j,
        True,
    ]
    assert [10, 20, 30][anp.asarray(1)] == 20
    assert np.from_dlpack(x).tolist() == x.tolist() and x.__dlpack_device__() == (1, 0)
    with pytest.raises(TypeError):
        float(x)


def test_the_namespace_describes_itself() -> None:
    info = anp.__array_namespace_info__()
    assert anp.__array_api_version__ == "2024.12"
    assert info.capabilities() == {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}
    assert info.default_device() == "cpu" and "cpu" in info.devices()
    assert info.default_dtypes()["real floating"] == anp.float64
    assert info.dtypes(kind=("bool", "integral")).keys() == {"bool"} | info.dtypes(kind="integral").keys()
    assert len(info.dtypes(device="cpu")) == 13
    for refused in (lambda: info.dtypes(kind="float"), lambda: info.default_dtypes(device="cuda")):
        with pytest.raises(ValueError, match=r"it is one of|device"):
            refused()
    assert info.dtypes(kind="complex floating") == {"complex64": anp.complex64, "complex128": anp.complex128}
    limits = anp.finfo(anp.zeros(2, anp.float32))
    assert type(limits.eps) is type(limits.max) is float and limits.dtype == anp.float32
    assert anp.iinfo(anp.asarray([1], dtype=anp.int8)).max == 127


# -- all of NumPy


def test_every_public_name_of_numpy() -> None:
    for ours, theirs in ((anp, np), (anp.linalg, np.linalg), (anp.fft, np.fft)):
        public = {name for name in dir(theirs) if not name.startswith("_")}
        assert not {name for name in public if not hasattr(ours, name)}
    assert anp.float64 is np.float64 and anp.pi is np.pi and anp.newaxis is None and anp.testing is np.testing
    with pytest.raises(AttributeError):
        anp.no_such_name


def test_import_is_lazy() -> None:
    program = (
        "import autodiff, sys; print('autodiff.numpy' in sys.modules); import autodiff.numpy; autodiff.numpy.zeros"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize(
    "make",
    [
        lambda: anp.array([1, 2]),
        lambda: anp.zeros(()),
        lambda: anp.sin(0.5),
        lambda: anp.sum([1.0, 2.0]),
        lambda: anp.mgrid[0:2, 0:2],
        lambda: anp.c_[[1, 2], [3, 4]],
        lambda: anp.add.outer([1, 2], [3, 4]),
        lambda: anp.multiply.reduce(np.ones(3)),
        lambda: anp.meshgrid([1, 2], [3])[0],
        lambda: anp.fromiter(range(3), float),
        lambda: anp.frombuffer(b"12", np.uint8),
        lambda: anp.vectorize(lambda x: x + 1)([1, 2]),
        lambda: anp.ndarray((2, 3)),
        lambda: anp.random.default_rng(0).normal() + anp.ones(2),
        lambda: anp.asarray(np.ones(2)) + np.ones(2),
        lambda: anp.linalg.eigh(np.eye(2)).eigenvalues,
        lambda: anp.fft.rfft(np.ones(3)),
    ],
)
def test_results_are_untracked_values(make: Any) -> None:
    made = make()
    assert type(made) is Value and not made.requires_grad


def test_arrays_on_another_device_stay_there() -> None:
    x = anp.asarray(StrictArray(np.array([1.0, 2.0])))
    for made in (x, anp.sin(x), anp.zeros_like(x), anp.sort(x.data), anp.asarray(x, dtype=anp.float32)):
        assert type(made) is Value and type(made.data) is StrictArray
    assert anp.array([x[0], 3.0]).data.get().tolist() == [1.0, 3.0]


def test_what_is_no_array_stays_so() -> None:
    assert anp.shape([[1, 2]]) == (1, 2) and anp.ndim(3) == 0
    assert anp.array_equal([1, 2], anp.asarray([1, 2])) is True
    assert type(anp.array(["a"])) is np.ndarray, "a Value is numeric"
    assert anp.array2string(anp.ones(2)) == "[1. 1.]"


def test_instances_of_ndarray() -> None:
    assert isinstance(anp.ones(2), anp.ndarray) and isinstance(np.ones(2), anp.ndarray)
    assert not isinstance(2.0, anp.ndarray)
    assert anp.ndarray[Any, Any] == np.ndarray[Any, Any]


def test_ufuncs_are_as_numpys() -> None:
    assert (anp.add.nin, anp.add.identity, anp.add.__name__) == (2, 0, "add")
    assert repr(anp.add) == repr(np.add)
    x = anp.zeros(3)
    anp.add.at(x, [0, 0, 2], 1.0)
    assert x.tolist() == [2.0, 0.0, 1.0]
    assert anp.add.accumulate([1, 2, 3]).tolist() == [1, 3, 6]


def test_signatures_are_numpys() -> None:
    assert inspect.signature(anp.sum) == inspect.signature(np.sum)
    assert "Sum of array elements" in (anp.sum.__doc__ or "")


# -- gradients


def test_gradients_without_a_transform() -> None:
    x = Value([1.0, 2.0])
    out = anp.zeros((2, 2))
    out[0] = x**2
    out[1, 1] = anp.array([x[0], 3.0]) @ anp.asarray(x)
    (anp.sum(out) + anp.linspace(x[0], x[1], 3).sum() + anp.full(2, x[0]).sum()).backward()
    assert x.grad.tolist() == [2 + 2 + 1.5 + 2, 4 + 3 + 1.5]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: anp.sum([x[0] * x[1], x[2] ** 2]),
        lambda x: anp.sort(x, descending=True) @ anp.arange(3.0),
        lambda x: anp.cumulative_sum(x, include_initial=True) @ anp.arange(4.0) ** 2,
        lambda x: anp.concat([[x[0] ** 2, 1.0], x]).sum(),
        lambda x: anp.select([x > 1.5, x > 0], [x**2, x**3]).sum(),
        lambda x: anp.unstack(anp.stack([x, x**2]), axis=1)[1].sum(),
        lambda x: anp.linalg.norm([x[0], x[1] * x[2]]),
        lambda x: anp.clip(x, 0.5, x[0] * 2).sum(),
        lambda x: anp.vectorize(lambda v: v**2 if v > 1.5 else anp.sin(v))(x).sum(),
        lambda x: anp.r_[x[0], x, 1.0] @ anp.arange(5.0),
        lambda x: anp.block([[x[:2, None], anp.eye(2)]])[0, 0] * x[2],
        lambda x: anp.add.reduce(anp.multiply.outer(x, x), axis=None),
    ],
)
def test_gradients(f: Any) -> None:
    check_grads(f, np.array([1.0, 2.0, 3.0]) + 0.1)
