"""Interleaved timing: every contender takes a turn in every round, and ratios are taken within a round.

On a shared machine a slow second hits whoever runs in it. Within one round the contenders run within
milliseconds of each other, so the median over rounds of (ours / peer) moves far less than either time.
"""

from __future__ import annotations

import gc
import importlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

OURS = "ours"
TOLERANCE = {"float64": 1e-9, "float32": 2e-4}

Samples = dict[str, list[float]]


@dataclass(frozen=True)
class Settings:
    """How much to measure."""

    rounds: int
    sample_seconds: float
    threads: int
    quick: bool  # leaves out what takes long and has no goal: JAX, second thread counts

    def capped(self, rounds: int, sample_seconds: float) -> Settings:
        """No more than so much: for workloads of many rows."""
        return replace(self, rounds=min(self.rounds, rounds), sample_seconds=min(self.sample_seconds, sample_seconds))


@dataclass(frozen=True)
class Goal:
    """The ratio ours / peer that must be reached, and the one aimed at; under `OURS`, in the row's unit."""

    must: float
    aim: float


@dataclass(frozen=True)
class Spread:
    """A contender's samples in the row's unit."""

    minimum: float
    median: float
    lower_quartile: float
    upper_quartile: float
    samples: int

    @property
    def steady(self) -> bool:
        """Whether half of the samples lie within a quarter of the median of each other."""
        return self.upper_quartile - self.lower_quartile <= 0.25 * self.median


@dataclass(frozen=True)
class Row:
    """One workload, measured for everybody."""

    group: str
    name: str
    unit: str
    figures: dict[str, Spread]
    ratios: dict[str, float]
    goals: dict[str, Goal] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ratios_of_minima: dict[str, float] = field(default_factory=dict)

    def reached(self, name: str) -> float | None:
        """What is held against the goal `name`, if it was measured."""
        return self.figures[OURS].median if name == OURS else self.ratios.get(name)

    def as_json(self) -> dict[str, object]:
        """The row in plain containers."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Row:
        """The row again."""
        figures = {name: Spread(**spread) for name, spread in row.pop("figures").items()}
        goals = {name: Goal(**goal) for name, goal in row.pop("goals").items()}
        return cls(**row | {"figures": figures, "goals": goals, "notes": tuple(row["notes"])})


@cache
def peer(module: str) -> ModuleType | None:
    """A peer's module, or None with a line saying that it is left out."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        print(f"  {module}: skipped, not importable ({error})")
        return None


def turns(names: Sequence[str], round_number: int) -> list[str]:
    """The order of a round: rotated by one each time, and reversed in every second round."""
    start = round_number % len(names)
    order = [*names[start:], *names[:start]]
    return order[::-1] if round_number % 2 else order


def clock(run: Callable[[], object], calls: int) -> float:
    """Seconds of one call, averaged over `calls` of them."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def interleave(
    work: Mapping[str, Callable[[], object]], settings: Settings, *, collector: bool = False, pause: float = 0.0
) -> Samples:
    """Seconds per call of every contender, `settings.rounds` samples each, with pauses in between.

    The garbage collector is off while the clock runs, as in `timeit`, and runs to the end before each sample.
    With `collector` it is on; what was alive before is frozen, so that nobody pays for another's imports.
    One unclocked call goes before each sample, so that nobody starts on another's caches.
    """
    calls = {}
    for name, run in work.items():
        run()  # compiles, fills caches
        calls[name] = max(1, min(1000, round(settings.sample_seconds / clock(run, 1))))
    samples: Samples = {name: [] for name in work}
    gc.collect()
    gc.freeze()
    try:
        for number in range(settings.rounds):
            for name in turns(list(work), number):
                time.sleep(pause)
                work[name]()
                gc.collect()
                if not collector:
                    gc.disable()
                samples[name].append(clock(work[name], calls[name]))
                gc.enable()
    finally:
        gc.enable()
        gc.unfreeze()
    return samples


def check_equal(what: str, results: Mapping[str, Sequence[Any]]) -> None:
    """Raise unless everybody's gradients are ours: shape, dtype, and values within the dtype's tolerance."""
    expected = [np.asarray(array) for array in results[OURS]]
    for name, arrays in results.items():
        for number, (want, got) in enumerate(zip(expected, map(np.asarray, arrays), strict=True)):
            where = f"{what}: gradient {number} of {name} and ours"
            if want.shape != got.shape or want.dtype != got.dtype:
                raise AssertionError(f"{where}: {got.shape} {got.dtype} is not {want.shape} {want.dtype}")
            error = np.max(np.abs(want - got), initial=0.0)
            if not error <= TOLERANCE[want.dtype.name] * np.max(np.abs(want), initial=1e-300):
                raise AssertionError(f"{where} differ by {error:.3g}")


def spread(samples: Sequence[float]) -> Spread:
    """Minimum, median and quartiles."""
    if len(samples) == 1:
        return Spread(samples[0], samples[0], samples[0], samples[0], 1)
    lower, middle, upper = statistics.quantiles(samples, n=4, method="inclusive")
    return Spread(min(samples), middle, lower, upper, len(samples))


def make_row(
    group: str,
    name: str,
    unit: str,
    samples: Samples,
    goals: dict[str, Goal] | None = None,
    notes: Sequence[str] = (),
) -> Row:
    """Sum up the samples: medians, and for each peer the median over the rounds of ours / peer."""
    ratios = {
        other: statistics.median(a / b for a, b in zip(samples[OURS], theirs, strict=True))
        for other, theirs in samples.items()
        if other != OURS
    }
    figures = {key: spread(values) for key, values in samples.items()}
    minima = {other: figures[OURS].minimum / figures[other].minimum for other in ratios}
    return Row(group, name, unit, figures, ratios, goals or {}, tuple(notes), minima)


def scaled(samples: Samples, factor: float) -> Samples:
    """The same samples in another unit."""
    return {name: [value * factor for value in values] for name, values in samples.items()}
