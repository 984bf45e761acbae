"""jit: functions that make Python's numbers. What is only returned is an output; others are guards."""

from __future__ import annotations

import functools
import itertools
import linecache
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import JitWarning
from autodiff.compiler import returned

X = np.array([0.5, -1.0, 2.0])
COUNT = 12  # calls with a number each: more than there may be values of one


@pytest.fixture(params=["native", "numpy"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How programs are run."""
    if request.param == "native":
        pytest.importorskip("llvmlite")
    else:
        monkeypatch.setenv("AUTODIFF_JIT", "numpy")


def recordings(f: Callable[..., Any], inputs: Any = None) -> int:
    """How often the jit of f is recorded, for arguments whose numbers are all different. Results are compared."""
    jitted = ad.jit(f)
    for x in inputs or [X + 0.37 * i for i in range(COUNT)]:
        expected, found = f(x.copy()), jitted(x)
        like(found, expected)
    return int(jitted.cache_info().recordings)


def like(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, (tuple, list, dict)):
        assert len(found) == len(expected)
        pairs = zip(found.values(), expected.values()) if isinstance(expected, dict) else zip(found, expected)
        for a, b in pairs:
            like(a, b)
    elif isinstance(expected, str):
        assert found == expected
    else:
        np.testing.assert_allclose(found, expected, 1e-12)


# -- float(v) that is only returned. These have no asserts: pytest would change their code


def plainly(x: Any) -> Any:
    return float(x.sum())


def beside(x: Any) -> Any:
    return x * 2, float((x * x).sum())


def by_a_variable(x: Any) -> Any:
    loss = float((x * x).sum())
    logs = {"loss": loss, "first": [float(x[0])]}
    return x - 1, logs


def by_an_annotated_variable(x: Any) -> Any:
    loss: float = float((x * x).sum())
    return loss


def last_of_several(x: Any) -> Any:
    for i in range(3):
        loss = float((x * i).sum())
    return loss


def by_a_helper(x: Any) -> Any:
    total = plainly(x)
    return total, plainly(x * 2)


def one_or_the_other(x: Any) -> Any:
    return float(x[0]) if x.sum() > 3 else float(x[1])


def of_integers(x: Any) -> Any:
    return float((x > 0.5).sum())


def dropped(x: Any) -> Any:
    float(x.sum())
    return x


def of_float32(x: Any) -> Any:
    return float(x.astype(np.float32)[0])


def of_what_is_written_to_later(x: Any) -> Any:
    before = float(x[0])
    x[0] = 7.0
    return before, x


class Model:
    def __init__(self) -> None:
        self.w = 2.0

    def __call__(self, x: Any) -> Any:
        return self.loss(x)

    def loss(self, x: Any) -> Any:
        return float((x * self.w).sum())


@pytest.mark.parametrize(
    "f",
    [
        plainly,
        beside,
        by_a_variable,
        by_an_annotated_variable,
        last_of_several,
        by_a_helper,
        of_integers,
        dropped,
        of_float32,
        of_what_is_written_to_later,
        Model().loss,
        Model(),
        functools.partial(plainly),
        lambda x: float(x.max()),
    ],
)
def test_a_number_that_is_only_returned(f: Callable[..., Any]) -> None:
    assert recordings(f) == 1


def test_a_number_on_either_path() -> None:
    assert recordings(one_or_the_other) == 2


def test_the_loss_of_a_step_that_trains() -> None:
    w = ad.Value(np.ones(3), requires_grad=True)

    def step(x: Any) -> Any:
        loss = ((x * w) ** 2).sum()
        w.grad = None
        loss.backward()
        w.data = w.data - 0.01 * w.grad
        return float(loss)

    jitted = ad.jit(step)
    losses = [jitted(X) for _ in range(COUNT)]
    assert all(type(x) is float for x in losses)
    assert all(a > b for a, b in itertools.pairwise(losses))
    assert jitted.cache_info().recordings == 2  # the first time there is no gradient yet


# -- float(v) of which the function, or somebody else, may make something


def compared(x: Any) -> Any:
    total = float(x.sum())
    return (total, x) if total > 4 else (x, total)


def counted_with(x: Any) -> Any:
    total = float(x.sum())
    return total * 2


def changed_in_place(x: Any) -> Any:
    total = float(x.sum())
    total += 1
    return total


def largest(x: Any) -> Any:
    return max(map(float, x))


def largest_by_a_helper(x: Any) -> Any:
    return max(map(plainly, [x, x[::-1] * 2]))


def root(x: Any) -> Any:
    return math.sqrt((x * x).sum())


def shown(x: Any) -> Any:
    total = float(x.sum())
    return f"{total}"


def seen_by_a_function_inside(x: Any) -> Any:
    total = float(x.sum())
    return (lambda: total + 1)()


def seen_through_locals(x: Any) -> Any:
    total = float(x.sum())
    return total, locals()["total"] + 1


def a_key(x: Any) -> Any:
    return {float(x[0]): 1}


def doubled(total: float) -> float:
    return total + total


def given_to_a_helper(x: Any) -> Any:
    return doubled(float(x.sum()))


def decorated(f: Any) -> Any:
    def wrapper(x: Any) -> Any:
        result = f(x)
        return result if result > 3 else 0.0

    return wrapper


def recursive(x: Any, rounds: int = 2) -> Any:
    if rounds == 0:
        return float(x.sum())
    below = recursive(x * 0.5, rounds - 1)
    return below + 1 if below > 1 else below


GUARDED = [
    compared,
    counted_with,
    changed_in_place,
    largest,
    largest_by_a_helper,
    root,
    shown,
    seen_by_a_function_inside,
    seen_through_locals,
    a_key,
    given_to_a_helper,
    decorated(plainly),
    recursive,
]


@pytest.mark.parametrize("f", GUARDED, ids=lambda f: f.__name__)
def test_a_number_of_which_something_is_made(f: Callable[..., Any]) -> None:
    with pytest.warns(JitWarning, match=r"a number that has had 8 values"):
        assert recordings(f) == 8


def test_the_source_has_to_be_that_of_the_code(tmp_path: Any) -> None:
    """A file that has been changed says nothing of the code that runs."""
    path = tmp_path / "changed.py"
    path.write_text("def f(x):\n    t = float(x.sum())\n    return  t\n")
    names: dict[str, Any] = {}
    exec(compile("def f(x):\n    t = float(x.sum())\n    return -t\n", str(path), "exec"), names)
    with pytest.warns(JitWarning, match="8 values"):
        assert recordings(names["f"]) == 8


def test_without_a_source() -> None:
    names: dict[str, Any] = {}
    exec("def f(x):\n    return float(x.sum())\n", names)
    with pytest.warns(JitWarning, match="8 values"):
        assert recordings(names["f"]) == 8


def test_strict_raises_at_the_ninth_number() -> None:
    jitted = ad.jit(counted_with, strict=True)
    for i in range(8):
        like(jitted(X + i), counted_with(X + i))
    with pytest.raises(ad.OperandError, match=r"counted_with asks for a number that has had 8 values"):
        jitted(X + 8)
    like(jitted(X + 3), counted_with(X + 3))


# -- truth values and integers


def test_the_truth_of_a_number_is_no_guard_on_the_number() -> None:
    assert recordings(lambda x: x if x.sum() else x + 1) == 1
    assert recordings(lambda x: x if x.sum() else x + 1, [X, X * 0, X + 1, X * 0]) == 2
    assert recordings(lambda x: x if (x > 0).sum() else x + 1, [X, -X, X + 5, X - 9]) == 2
    assert recordings(lambda x: x + 1 if x[0] else x, [X, X * np.nan, X * 0, X * -0.0]) == 2


def test_an_integer_of_a_float_is_a_guard_on_the_integer() -> None:
    inputs = [X * 0 + v for v in (0.1, 0.9, -0.9, 1.5, 1.0, -1.5, 2**40 + 0.5, 2**40 + 0.25)]
    assert recordings(lambda x: x[0] * int(x[1]), inputs) == 4


def test_integers_of_what_is_none() -> None:
    jitted = ad.jit(lambda x: x[0] * int(x[1]))
    jitted(X * 0)
    jitted(X * 0)
    with pytest.raises(ValueError, match="NaN"):
        jitted(X * np.nan)
    with pytest.raises(OverflowError):
        jitted(X * np.inf)
    like(jitted(X * 0 + 2.0**70), np.float64(2.0**140))


def test_integers_that_no_array_holds_are_no_inputs() -> None:
    f = ad.jit(lambda x, n, big: x * n + big % 7)
    for n in range(1, 9):
        np.testing.assert_array_equal(f(np.ones(2), n, 2**70), np.full(2, n + 2**70 % 7))
    for big in (2**63, 5, -(2**63), 2**71):
        np.testing.assert_array_equal(f(np.ones(2), 3, big), np.full(2, 3 + big % 7))
    assert f.cache_info().hits >= 4


def test_integers_that_no_array_holds_and_higher_derivatives() -> None:
    def f(x: Any, n: Any, big: Any) -> Any:
        return (x**3 * n * (big % 7)).sum()

    jitted = ad.jit(f)
    for n in range(1, 8):
        expected = ad.hessian(f)(X, n, 2**70)
        np.testing.assert_allclose(ad.hessian(jitted)(X, n, 2**70), expected, 1e-12)


# -- the source is read once


def on_paths(x: Any) -> Any:
    for i in range(2):
        if x[i] > 0:
            x = x * 1.5
    return x, float(x.sum())


def test_a_file_is_parsed_for_the_first_recording_only(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = returned._parsed
    monkeypatch.setattr(returned, "_parsed", lambda name: parsed.append(name) or parse(name))  # type: ignore[func-returns-value]
    paths = [np.array([a, b, 1.0]) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    assert recordings(on_paths, paths) == 4
    assert parsed == [__file__]


def test_a_file_that_has_changed_is_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def f(x):\n    return float(x.sum())\n"
    names: dict[str, Any] = {}
    exec(compile(text, "changing.py", "exec", dont_inherit=True), names)
    lines = linecache.cache
    monkeypatch.setitem(lines, "changing.py", (len(text), None, text.splitlines(True), "changing.py"))
    jitted = ad.jit(names["f"])
    for n in range(1, 5):
        jitted(np.ones(n))
        jitted(np.full(n, 2.0))
    assert jitted.cache_info().recordings == 4
    lines["changing.py"] = (1, None, text.replace("return", "return 1 + ").splitlines(True), "changing.py")
    jitted(np.ones(7))
    jitted(np.full(7, 2.0))  # nobody knows what becomes of the number
    assert jitted.cache_info().recordings == 6
