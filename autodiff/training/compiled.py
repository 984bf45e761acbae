"""Compiled steps, recorded before they count: what else a recording changes is put back."""

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ..compiler.api import jit
from ..compiler.captures import Captures, TooManyError
from ..compiler.undo import Undo
from ..value import Value
from .run import Run

__all__ = ["Compiled"]

Made = list[tuple[dict[Any, Any], Any, Any]]  # a dict, one of its keys, and a copy of what is there


class Compiled:
    """A compiled function that is recorded before it counts, so that every result is a program's.

    A training that is resumed records anew, and what is recorded is rounded otherwise.
    """

    def __init__(self, function: Callable[..., Any], run: Run) -> None:
        self.function, self.run = function, run
        self.program: Any = jit(function)
        self.known: set[Any] = set()

    def __call__(self, *batch: Any) -> Any:
        kind = tuple([(np.shape(x), getattr(x, "dtype", type(x))) for x in batch])
        if kind not in self.known:
            self.known.add(kind)
            self.prepare(batch)
        return self.program(*batch)

    def prepare(self, batch: tuple[Any, ...]) -> None:
        """Run it on a batch of a new kind until a program runs, and put everything back.

        An attribute that the first run makes (a mask, once and for all) is kept if the second one leaves it as it is:
        without it the program would not hold. One that grows is not, and then there is no program.
        """
        made: Made = []
        keeps = True
        for _ in range(4):
            hits = self.program.cache_info().hits
            before = _Before(self.function, self.run)
            self.program(*batch)
            keeps = keeps and all(_is_settled(names.get(key), x) for names, key, x in made)
            new = before.new()
            before.put_back()
            if not keeps:
                for names, key, _ in made:
                    names.pop(key, None)
                made = []
                continue
            for names, key, x in new:
                names[key] = x
            if self.program.cache_info().hits > hits:
                return
            made = [(names, key, _copy(names[key])) for names, key, _ in made + new]


class _Before:
    """All that a function can reach, as it is before it runs."""

    def __init__(self, function: Callable[..., Any], run: Run) -> None:
        self.run, self.changing = run, run.changing()
        self.undo: Undo | None = None
        with contextlib.suppress(TooManyError):
            self.undo = Undo(Captures([function], globals_too=True))

    def new(self) -> Made:
        """What dicts have now that they had not, and attributes, which are in dicts too."""
        orders = self.undo.captures.orders if self.undo is not None else []
        dicts: list[tuple[Any, set[Any]]] = [(names, {*keys}) for names, keys in orders if isinstance(names, dict)]
        return [(names, key, names[key]) for names, keys in dicts for key in names if key not in keys]

    def put_back(self) -> None:
        if self.undo is not None:
            self.undo()
        self.run.put_back(self.changing)  # large arrays too, which an Undo leaves out


def _copy(x: Any) -> Any:
    return x.copy() if isinstance(x, (list, dict, set, deque)) else x


def _is_settled(now: Any, before: Any) -> bool:
    """Whether a second run has left it alone, or put an array in its place, as it will do again."""
    if now is before or isinstance(now, (np.ndarray, Value)):
        return True
    try:
        return type(now) is type(before) and bool(now == before)
    except (TypeError, ValueError):
        return False
