"""jit: `v.item()`, which is recorded, and used as one of Python's numbers is."""

from __future__ import annotations

import contextlib
import copy
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_jit_numbers import X, like, recordings
from test_jit_numbers import way as way

import autodiff as ad
from autodiff import JitWarning

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
        (lambda x: np.array([x.sum().item(), 1.0]), 1),
        (lambda x: np.array([x, [x.sum().item()] * x.size]), 1),
        (lambda x: np.asarray([x.sum().item(), 2], dtype=np.float32), 1),
        (lambda x: np.full((2, 2), x.sum().item()), 1),
        (lambda x: np.r_[x.sum().item(), x, 1.0], 1),
        (lambda x: [v for _, v in np.ndenumerate([x.sum().item(), 1.0])], 1),
        (lambda x: np.linalg.norm([x.sum().item(), 3.0]), 1),
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
    with pytest.warns(JitWarning, match=r"has a number as a key, or in a set; take int\(v\) or float\(v\) there"):
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
