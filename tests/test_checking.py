"""check_grads: it passes what is right, and says precisely what is wrong."""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientMismatchError, OperandError, Value, check_grads
from autodiff.arrays import dispatchable
from autodiff.rule import RULES, elementwise, general

Declare = Callable[..., Callable[..., Any]]


@pytest.fixture
def declare() -> Iterator[Declare]:
    """Declare a rule for a function of this test's own, and forget it afterwards."""
    declared = []

    def declare(declarator: Callable[..., Any], function: Callable[..., Any], *maps: Any, **options: Any) -> Any:
        function = dispatchable(function)
        declarator(function, *maps, **options)
        declared.append(function)
        return function

    yield declare
    for function in declared:
        del RULES[function]


def mismatch(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """The parts of the message with which check_grads fails."""
    with pytest.raises(GradientMismatchError) as caught:
        check_grads(*args, **kwargs)
    message = str(caught.value)
    pattern = (
        r"check_grads: (?P<path>[a-z ]+), (?P<what>\w+ \d+), element (?P<element>\(.*?\)): "
        r"analytic (?P<analytic>\S+), numeric (?P<numeric>\S+), "
        r"difference (?P<difference>\S+), (?P<excess>\S+) times the tolerance"
    )
    found = re.fullmatch(pattern, message)
    assert found, message
    parts: dict[str, Any] = found.groupdict()
    for name in ("analytic", "numeric", "difference", "excess"):
        parts[name] = complex(parts[name]) if "j" in parts[name] else float(parts[name])
    return parts


# -- right functions

Pair = namedtuple("Pair", "left right")
x3 = np.array([0.3, -1.2, 2.0])
RIGHT: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "a scalar": (lambda x: x**3 - np.sin(x), (0.7,)),
    "arrays": (lambda x, y: np.tanh(x) @ y, (x3, np.arange(6.0).reshape(3, 2))),
    "a 0-d array": (np.exp, (np.array(0.5),)),
    "an empty array": (lambda x: x * 2.0, (np.zeros((0, 3)),)),
    "a dict": (lambda p, x: np.tanh(x @ p["w"] + p["b"]), ({"w": np.ones((3, 2)), "b": np.zeros(2)}, x3)),
    "nested lists and tuples": (lambda p: p[0] * p[1][0] + p[1][1] ** 2, ([x3, (x3 + 1, 2.0)],)),
    "a named tuple": (lambda p: p.left * p.right, (Pair(x3, 2.0),)),
    "None in a container": (lambda p: p[0] * 2.0 if p[1] is None else p[0], ([x3, None],)),
    "several results": (lambda x: (np.sin(x), [np.cos(x), x.sum()]), (x3,)),
    "a dict of results": (lambda x: {"s": np.sin(x), "p": x.prod()}, (x3,)),
    "float32": (lambda x: np.sin(x) * x, (x3.astype(np.float32),)),
    "float32 with float64": (lambda x, y: x * y, (x3.astype(np.float32), x3)),
    "an index held fixed": (lambda x, i: x[i] ** 2, (x3, np.array([0, 2, 2]))),
    "an int held fixed": (lambda x, n: x**n, (x3, 3)),
    "a mask held fixed": (lambda x, m: np.where(m, x * x, x), (x3, np.array([True, False, True]))),
    "a list with integers": (lambda p: p[0] * x3, ([2.0, 3.0],)),
    "complex": (lambda z: z * z + np.exp(z), (np.array([1 + 2j, -0.5j]),)),
    "complex, not holomorphic": (lambda z: np.abs(z) ** 2 + np.conj(z) * z.real, (np.array([1 + 2j, -0.5 + 1j]),)),
    "complex to real": (lambda z: np.abs(z).sum() + z.imag.sum(), (np.array([1 + 2j, -0.5 + 1j]),)),
    "real to complex": (lambda x: np.exp(1j * x), (x3,)),
    "complex64": (lambda z: z * z, (np.array([1 + 2j], np.complex64),)),
    "a Value": (np.sin, (Value(x3),)),
    "ignores its argument": (lambda x: np.ones(2), (x3,)),
    "returns its argument": (lambda x: x, (x3,)),
    "a Python number": (lambda x: 1.0, (x3,)),
    "a transform": (ad.grad(lambda x: np.sin(x).sum()), (x3,)),
    "a large scale": (lambda x: x * x, (np.array([3e5, -2e6]),)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_passes_what_is_right(name: str) -> None:
    f, args = RIGHT[name]
    check_grads(f, *args)


@pytest.mark.parametrize("modes", [("rev",), ("fwd",), ("rev", "fwd"), ["fwd", "rev"]])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_orders_and_modes(order: int, modes: Any) -> None:
    check_grads(lambda x: np.sin(x) * x, np.array([0.3, 1.1]), order=order, modes=modes)


def test_runs_inside_no_grad_and_on_closures() -> None:
    w = Value([1.0, 2.0, 3.0])
    with ad.no_grad():
        check_grads(np.sin, x3)
    check_grads(lambda x: np.sin(x) * w, x3)
    assert w.grad is None


def test_arguments_are_not_changed() -> None:
    x, p = x3.copy(), {"w": np.ones(3)}
    x.flags.writeable = False
    check_grads(lambda x, p: np.sin(x) * p["w"], x, p)
    np.testing.assert_array_equal(p["w"], 1.0)


def test_a_large_input_is_sampled() -> None:
    """At most 400 elements are moved, four times each; the results' elements are sampled too."""
    calls = 0

    def f(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return np.sin(x)

    check_grads(f, np.linspace(0, 1, 5000), order=1, modes=["rev"])
    assert calls < 400 * 4 + 20
    calls = 0
    check_grads(f, np.linspace(0, 1, 5000).reshape(50, 100), order=1, modes=["fwd"])
    assert calls < 20


def test_a_sample_finds_what_is_wrong_everywhere(declare: Declare) -> None:
    wrong = declare(elementwise, lambda x: x * x, lambda g, x: g * x)
    for seed in range(3):
        parts = mismatch(wrong, np.linspace(1, 2, 1000).reshape(10, 100), order=1, seed=seed)
        assert parts["analytic"] == pytest.approx(parts["numeric"] / 2)


# -- wrong rules


@pytest.mark.parametrize("modes", [("rev",), ("fwd",), ("rev", "fwd")])
def test_names_the_worst_element(declare: Declare, modes: tuple[str, ...]) -> None:
    """The rule is right below 1 and ever more wrong above: 3 is the worst, with 2 x^2 in place of 3 x^2."""
    wrong = declare(elementwise, lambda x: x * x * x, lambda g, x: g * np.where(x < 1, 3.0, 2.0) * x * x)
    f = lambda x: np.stack([wrong(x), 0 * x])
    check_grads(f, np.array([0.5, -0.5]), modes=modes, order=1)
    parts = mismatch(f, np.array([[0.5, 2.0], [3.0, 1.5]]), modes=modes, order=1, rtol=0.0, atol=1e-6)
    assert parts["path"] == modes[0]
    assert parts["element"] == ("(1, 0)" if modes[0] == "rev" else parts["element"])
    assert parts["what"] == ("input 0" if modes[0] == "rev" else "output 0")
    assert parts["analytic"] == pytest.approx(parts["numeric"] * 2 / 3)
    assert parts["difference"] == pytest.approx(abs(parts["analytic"] - parts["numeric"]), rel=1e-2)
    assert parts["excess"] == pytest.approx(parts["difference"] / 1e-6, rel=1e-2)


def test_names_the_input(declare: Declare) -> None:
    """Inputs are counted as they lie in the arguments, those held fixed left out."""
    wrong = declare(elementwise, lambda x, y: x * y, lambda g, y: g * y, lambda g, x: 2 * g * x)
    f = lambda i, p, x: wrong(p["a"], x)
    parts = mismatch(f, 3, {"a": np.array([1.0, 2.0]), "b": 1.0}, np.array([1.0, 3.0]), order=1, modes=["rev"])
    assert parts["what"] == "input 2"
    assert parts["analytic"] == pytest.approx(2 * parts["numeric"])


def test_names_the_output(declare: Declare) -> None:
    wrong = declare(elementwise, lambda x: x * x, lambda g, x: g * x)
    parts = mismatch(lambda x: {"right": x, "wrong": wrong(x)}, x3, order=1, modes=["fwd"])
    assert parts["what"] == "output 1"
    assert parts["path"] == "fwd"


def test_a_rule_wrong_in_forward_mode_only(declare: Declare) -> None:
    wrong = declare(general, lambda x: x * x, None, lambda g, x: 2 * g * x, push=lambda ts, x, **_: ts[0] * x)
    check_grads(wrong, x3, modes=["rev"], order=1)
    assert mismatch(wrong, x3, modes=["fwd"], order=1)["path"] == "fwd"
    assert mismatch(wrong, x3)["path"].startswith("fwd")
    assert mismatch(wrong, x3, modes=["fwd"])["path"] == "fwd"


def test_a_rule_wrong_in_reverse_mode_only(declare: Declare) -> None:
    wrong = declare(general, lambda x: x * x, None, lambda g, x: g * x, push=lambda ts, x, **_: 2 * ts[0] * x)
    check_grads(wrong, x3, modes=["fwd"], order=1)
    assert mismatch(wrong, x3)["path"] == "rev"


@pytest.mark.parametrize("modes", [("rev",), ("fwd",), ("rev", "fwd"), ("fwd", "rev")])
def test_a_rule_wrong_at_second_order_only(declare: Declare, modes: tuple[str, ...]) -> None:
    """`aux` is no place for what is differentiable: the second derivative of the square is 0 in place of 2."""
    wrong = declare(general, lambda x: x * x, lambda x: (x * x, x), lambda g, aux: 2 * g * aux)
    check_grads(wrong, x3, modes=modes, order=1)
    parts = mismatch(wrong, x3, modes=modes)
    first = "rev" if "rev" in modes else "fwd"
    assert parts["path"] == f"{first} of {first}"
    assert parts["analytic"] == 0 and abs(parts["numeric"]) > 1e-3


def test_complex_numbers_are_named(declare: Declare) -> None:
    """A map that forgets the conjugate is right on real numbers only."""
    wrong = declare(elementwise, lambda z: z * z, lambda g, x: 2 * g * np.conj(x))
    check_grads(wrong, x3)
    parts = mismatch(wrong, np.array([1 + 2j, 0.5]), order=1, modes=["rev"])
    assert parts["element"] == "(0,)"
    assert parts["analytic"] != parts["numeric"]


def test_nan_agrees_with_nan_only(declare: Declare) -> None:
    check_grads(lambda x: x * np.nan, x3, order=1)
    wrong = declare(elementwise, lambda x: x * x, lambda g, x: g * np.where(x > 1, np.nan, 2 * x))
    parts = mismatch(wrong, x3, order=1)
    assert np.isnan(parts["analytic"]) and parts["element"] == "(2,)" and parts["excess"] == np.inf
    missing = declare(elementwise, lambda x: np.where(x > 1, np.nan, x), lambda g: g)
    parts = mismatch(missing, x3, order=1, modes=["fwd"])
    assert np.isnan(parts["numeric"])


def test_single_precision_has_its_own_tolerance(declare: Declare) -> None:
    """2e-3 by default: float32's own rounding passes, an error of 1 % does not; in float64 one of 1e-4 does not."""
    almost = declare(elementwise, lambda x: x * x, lambda g, x: 2.0001 * g * x)
    check_grads(almost, x3.astype(np.float32), order=1)
    mismatch(almost, x3, order=1)
    check_grads(almost, x3, order=1, rtol=1e-3, atol=1e-3)
    off = declare(elementwise, lambda x: x * x, lambda g, x: 2.02 * g * x)
    mismatch(off, x3.astype(np.float32), order=1)


def test_finite_differences_are_taken_in_double_precision() -> None:
    """A float32 input is moved in float64, so that the difference does not drown in rounding."""
    seen = []

    def f(x: Any) -> Any:
        seen.append(x.dtype)
        return np.sin(x)

    check_grads(f, x3.astype(np.float32), order=1)
    assert {np.dtype(np.float64), np.dtype(np.float32)} == set(seen)


# -- bad arguments


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r'"rev" and "fwd"'):
        check_grads(np.sin, x3, modes=["reverse"])
    with pytest.raises(ValueError, match="order=0"):
        check_grads(np.sin, x3, order=0)
    for args in ((), (3,), (np.arange(3),), ([1, 2],), ({},), (None,), (True,)):
        with pytest.raises(OperandError, match=r"\.astype\(float\)"):
            check_grads(lambda *args: 0.0, *args)
    with pytest.raises(ValueError, match="modes"):
        check_grads(np.sin, x3, modes=())


@pytest.mark.parametrize("result", ["text", object(), np.array(["a"])], ids=["text", "object", "array of text"])
def test_results_that_are_no_numbers(result: Any) -> None:
    with pytest.raises(OperandError, match="check_grads"):
        check_grads(lambda x: result, x3)


def test_a_tracked_result_of_a_detached_function_is_zero() -> None:
    """What leaves the graph on purpose has derivative 0, and the check says that it is not that of f."""
    parts = mismatch(lambda x: x * ad.stop_gradient(x), x3, order=1)
    assert parts["analytic"] == pytest.approx(parts["numeric"] / 2)
