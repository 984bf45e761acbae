"""jit: functions that make Python's numbers. What is only returned, and `v.item()`, are outputs; others are guards."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import JitWarning

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


# -- v.item() of a float


@pytest.mark.parametrize(
    ("f", "paths"),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: x.item(1), 1),
        (lambda x: (x * x.sum().item(), x.sum().item() ** 2 - 1), 1),
        (lambda x: round(x.sum().item(), 2), 1),
        (lambda x: x.tolist(), 1),
        (lambda x: sum(x.tolist()), 1),
        (lambda x: x.astype(np.float32) * x.sum().item(), 1),
        (lambda x: x if x.sum().item() > 4 else -x, 2),
        (lambda x: max(x[0].item(), 2.0) + x, 2),
        (lambda x: x.sum().item() < 4.0, 1),
    ],
)
def test_item_of_a_float(f: Callable[..., Any], paths: int) -> None:
    assert recordings(f) == paths


@pytest.mark.parametrize(
    "f",
    [
        lambda x: math.floor(x[0].item()),
        lambda x: math.ceil(x[0].item()),
        lambda x: math.trunc(x[0].item()),
        lambda x: round(x[0].item()),
        lambda x: f"{x[0].item():.0f}",
        lambda x: f"{x[0].item()}"[0],
        lambda x: str(x[0].item()),
        lambda x: {0.5: 1.0, 1.5: 2.0}.get(float(x[0]), 3.0) * x,
        lambda x: math.sqrt(x[0].item()) * x,
        lambda x: [10, 20, 30, 40][int((x > 1).sum().item())] * x,
        lambda x: {0: 1.0, 1: 2.0}.get(int((x > 1).sum().item()), 3.0) * x,
    ],
)
def test_what_is_asked_of_an_item_is_guarded(f: Callable[..., Any]) -> None:
    values = [0.5, 1.5, 2.25, 0.5, 3.5, 1.5]
    assert recordings(f, [X * 0 + v for v in values]) <= len({*values})


def count(x: Any) -> Any:
    return (x > 0).sum().item()


INNER = {"jitted": ad.jit(lambda x, s: x * s)}

USES: dict[str, Callable[[Any], Any]] = {
    # v.item() of an integer
    "returned": count,
    "argmax": lambda x: x.argmax().item(),
    "index": lambda x: x[x.argmax().item()],
    "power": lambda x: np.abs(x) ** (count(x) + 1),
    "fraction": lambda x: count(x) / 3,
    "divmod": lambda x: divmod(count(x), 2),
    "negative": lambda x: -count(x),
    "roll": lambda x: np.roll(x, count(x)),
    "one hot": lambda x: (np.arange(3) == x.argmax().item()) * 1.0,
    "kinds": lambda x: (isinstance(count(x), int), isinstance(count(x), float), isinstance(x[0].item(), float)),
    "slice": lambda x: x[: count(x)],
    "zeros": lambda x: np.zeros(count(x)),
    "full": lambda x: np.full(3, count(x)),
    "array": lambda x: np.array([count(x), 1]),
    "arange": lambda x: np.arange(count(x)) * x[0],
    "repeat": lambda x: np.repeat(x, count(x)),
    "range": lambda x: sum(i * x[0] for i in range(count(x))) + 0 * x[0],
    "list": lambda x: [10, 20, 30, 40][count(x)] * x,
    "in": lambda x: x if count(x) in (1, 2) else -x,
    "bytes": lambda x: str(bytes(count(x))),
    "format": lambda x: f"{count(x):d} of {x.size}",
    "reshape": lambda x: (x * np.ones((2, 3))).reshape((count(x) * 0 + 3, 2)),
    "axis": lambda x: (x * np.ones((2, 3))).sum(count(x) * 0 + 1),
    # v.item() of a float
    "clip": lambda x: np.clip(x, -1, abs(x[0].item())),
    "where": lambda x: np.where(x > x[0].item(), x, 0),
    "float of it": lambda x: float(x[0].item()),
    "floor division": lambda x: (x[0].item() // 0.3, x[0].item() % 0.3),
    "not": lambda x: not x[0].item(),
    "chain": lambda x: -1 < x[0].item() < 1,
    "nested": lambda x: {"l": (x[0].item(), [x.sum().item()] * 2), "x": x},
    "sorted": lambda x: sorted(x.tolist()),
    "int of it": lambda x: int(x[0].item()),
    "copysign": lambda x: math.copysign(1.0, x[0].item()),
    "hypot": lambda x: math.hypot(x[0].item(), 1.0),
    "joined": lambda x: " ".join(f"{v:.0f}" for v in x.tolist()),
    "of a truth value": lambda x: (x[0] > 0).item(),
    "truth values": lambda x: [(x[0].item() > 0) & (x[1].item() > 0), x[0].item() == x[1].item()],
    "truth values that count": lambda x: ((x[0].item() > 0) + (count(x) > 1), (count(x) > 0) * 2, -(count(x) > 1)),
    "how many": lambda x: sum(v > 0 for v in x.tolist()),
    "complex": lambda x: (x[0].item() * 1j, x[0].item().real),
    "conjugate": lambda x: x[0].item().conjugate(),
    "axis of a view": lambda x: np.moveaxis(x * np.ones((2, 3)), count(x) % 2, 0) * 1.0,
    "shape of a view": lambda x: np.reshape(x * np.ones((2, 3)), (count(x) % 2 + 1, -1)) * 1.0,
    "offset of a view": lambda x: np.diagonal(np.outer(x, x), count(x) - 1) * 1.0,
    "diagonal": lambda x: np.trace(np.outer(x, x), count(x) - 1),
    "axis that is an array": lambda x: np.moveaxis(x * np.ones((2, 3)), (x > 0).sum() % 2, 0) * 1.0,
    "turns": lambda x: np.rot90(x * np.ones((2, 3)), count(x)) * 1.0,
    "size along an axis": lambda x: np.size(x * np.ones((2, 3)), count(x) % 2) * x,
    "of a jitted function": lambda x: INNER["jitted"](x, x[0].item()),
    "copies": lambda x: copy.deepcopy({"l": copy.copy(x[0].item())}),
    "pickled": lambda x: pickle.loads(pickle.dumps((x[0].item(), count(x)))),
    "methods": lambda x: (x[0].item().is_integer(), count(x).bit_length()),
    "int8": lambda x: np.ones(3, np.int8) + count(x),
    "float16": lambda x: np.ones(3, np.float16) * x[0].item(),
}


# one program for all numbers
ALWAYS = ["returned", "argmax", "index", "fraction", "negative", "roll", "kinds", "clip", "where", "not", "nested"]
ALWAYS += ["complex", "copies", "truth values", "of a jitted function", "int8", "float16"]


@pytest.mark.parametrize("use", USES)
def test_an_item_is_used_as_a_number_is(use: str) -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=3) for _ in range(8)] * 2
    jitted = ad.jit(USES[use], strict=True)
    for x in inputs:
        like(jitted(x), USES[use](x.copy()))
    recordings = jitted.cache_info().recordings
    assert recordings == 1 if use in ALWAYS else recordings <= 8


def test_an_item_is_rounded_as_python_does() -> None:
    """2.675 is less than it looks; NumPy makes 2.68 of it."""
    inputs = [X * 0 + v for v in (0.5, 2.675, 1.005, 2.5, -0.125)]
    assert recordings(lambda x: (round(x[0].item(), 2), round(x[0].item(), -1)), inputs) == 1


def test_an_item_is_divided_by_zero() -> None:
    for f in (lambda x: x[0].item() / 0, lambda x: 1 / (x[0].item() > 5), lambda x: count(x) // 0.0):
        jitted = ad.jit(f)
        with pytest.raises(ZeroDivisionError), warnings.catch_warnings():
            warnings.simplefilter("ignore", JitWarning)
            jitted(X)


@pytest.mark.parametrize("key", [count, lambda x: (x[0].item(), "first")])
def test_an_item_is_no_key(key: Callable[[Any], Any]) -> None:
    """It would stay in the dict or set, and is no number of Python's."""
    seen, met = set(), {}

    def f(x: Any) -> Any:
        seen.add(key(x))
        met[key(x)] = 1
        return {key(x): x * 2}

    jitted = ad.jit(f)
    with pytest.warns(JitWarning, match=r"has v\.item\(\) as a key, or in a set; take int\(v\) or float\(v\) there"):
        (found,) = jitted(X)
    assert found == key(X)
    assert [*map(repr, (*seen, *met, found))] == [repr(key(X))] * 3


def test_a_number_in_an_exception() -> None:
    def f(x: Any) -> Any:
        error = LookupError(x[0].item(), (x[1].item(), "second"))
        error.where = x[2].item()  # type: ignore[attr-defined]
        raise error

    with pytest.raises(LookupError) as caught:
        ad.jit(f)(X)
    like(caught.value.args, (0.5, (-1.0, "second")))
    like(vars(caught.value)["where"], 2.0)


class Best:
    """What a loop with early stopping keeps."""

    def __init__(self, of: Callable[[Any], Any]) -> None:
        self.loss, self.waited, self.of = np.inf, 0, of

    def better(self, x: Any) -> Any:
        loss = self.of((x * x).sum())
        if loss < self.loss:
            self.loss, self.waited = loss, 0
        else:
            self.waited += 1
        return self.waited < 3


def item(x: Any) -> Any:
    return x.item()


@pytest.mark.parametrize("of", [item, np.sqrt])
def test_numbers_that_are_kept(of: Callable[[Any], Any]) -> None:
    best, expected = Best(of), Best(of)
    better = ad.jit(best.better)
    for x in (9, 8, 7, 8, 7, 6, 5.5, 5, 6, 4, 3.5, 3, 2.5, 2, 3, 3, 3, 3, 1):
        assert better(X * x) == expected.better(X * x)
        like((best.loss, best.waited), (expected.loss, expected.waited))
    assert better.cache_info().recordings <= 6


@pytest.mark.parametrize("fails", [False, True])
def test_an_integer_that_becomes_a_float(fails: bool) -> None:
    class Kept:
        total: Any = 0

    def step(kept: Kept, x: Any) -> Any:
        kept.total = kept.total + 1 if x[0] < 1 else kept.total + 0.5
        if fails and x[0] > 1:
            raise LookupError
        return x * 2

    kept, expected = Kept(), Kept()
    jitted = ad.jit(lambda x: step(kept, x))
    for v in (0, 0, 0, 0, 2, 0, 0, 2, 2, 0, 0):
        for f in (lambda x: step(expected, x), jitted):
            with contextlib.suppress(LookupError):
                f(X * 0 + v)
        like(kept.total, expected.total)
        if v == 2:
            kept.total = expected.total = 3


def test_a_truth_value_is_counted() -> None:
    class Kept:
        positive: Any = 0

    def step(kept: Kept, x: Any) -> Any:
        kept.positive += x.sum().item() > 0
        return x * 2

    kept, expected = Kept(), Kept()
    jitted = ad.jit(lambda x: step(kept, x))
    for v in (1, -1, 1, 1, -1, -1, 1):
        jitted(X * v)
        step(expected, X * v)
        like(kept.positive, expected.positive)


def test_a_number_that_is_kept_with_another_dtype() -> None:
    class Kept:
        last: Any = np.float32(1)

    kept = Kept()

    def f(x: Any) -> Any:
        kept.last = x[0] + 1 if kept.last > 2 else np.float32(x[0] + 1)
        return x * 2

    jitted = ad.jit(f)
    for i, kind in enumerate((np.float32, np.float32, np.float32, np.float64)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JitWarning)
            jitted(X * 0 + i)
        like(kept.last, kind(i + 1))


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
