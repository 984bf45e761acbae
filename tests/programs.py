"""What the programs of `programs_*.py` need: a point where to run each, and the list of them all.

The programs themselves know nothing of differentiation. Each is a function of one float array that returns a
number, and is smooth around its point.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]

MODULES = ("programs_numpy", "programs_functions", "programs_algebra", "programs_science")
STEP = 1e-3  # of the finite differences


@dataclass(frozen=True, eq=False)
class Program:
    """A function, its group, and its point."""

    function: Function
    group: str
    point: Array

    def __str__(self) -> str:
        return self.function.__name__

    @property
    def module(self) -> ModuleType:
        """Where its globals live, `np` among them."""
        return importlib.import_module(self.function.__module__)

    def value(self, x: Array) -> float:
        """The program's number, in plain NumPy. Some write to their argument, so they get a copy."""
        return float(self.function(x.copy()))

    @cached_property
    def gradient(self) -> Array:
        """By finite differences at the point, four values an element: the error is h^4/30 f^(5) + 1.5 ulp(f)/h.

        Half the step gives the same to 3e-9 of the largest element, for every program.
        """
        g = np.empty_like(self.point)
        for index in np.ndindex(g.shape):
            unit = np.zeros_like(g)
            unit[index] = STEP
            far_left, left, right, far_right = (self.value(self.point + k * unit) for k in (-2, -1, 1, 2))
            g[index] = (8 * (right - left) - (far_right - far_left)) / (12 * STEP)
        return g


PROGRAMS: list[Program] = []


def at(group: str, *numbers: float, shape: Any = None, low: float = -1.0, high: float = 1.0) -> Callable[..., Function]:
    """Enter a program into the list, to be run at `numbers`, or at random ones between `low` and `high`."""

    def enter(function: Function) -> Function:
        rng = np.random.default_rng(zlib.crc32(function.__name__.encode()))
        point = np.array(numbers, float) if shape is None else rng.uniform(low, high, shape)
        PROGRAMS.append(Program(function, group, point))
        return function

    return enter


def load() -> list[Program]:
    """Every program of every module."""
    for name in MODULES:
        importlib.import_module(name)
    names = {str(p) for p in PROGRAMS}
    assert len(names) == len(PROGRAMS), "two programs of one name"
    return PROGRAMS
