"""Undo: what a function captures as it was before it ran, for when it has to run again from the start."""

import random
from collections import deque
from collections.abc import Container
from typing import Any

import numpy as np

from .captures import Captures
from .draws import GLOBAL, put_state, state_of
from .program import mark
from .slots import ABSENT, content, get, put

__all__ = ["Undo"]

LIMIT = 1 << 26  # bytes of arrays


class Undo:
    """Copies of the containers and arrays in `captures`, of the states of random generators, and of hooks.

    Arrays that are `replaced` while the function runs, by id, stay as they are. Those above a `limit` are not copied.
    """

    def __init__(self, captures: Captures, replaced: Container[int] = (), limit: float = LIMIT) -> None:
        self.captures = captures
        self.containers = [(x, x.copy()) for x, _ in captures.lengths]
        self.data: list[Any] = [(x, content(x)) for x, _ in captures.contents]
        arrays = [x for x, _ in captures.arrays.values() if id(x) not in replaced]
        self.arrays = [(x, x.copy(order="K")) for x in arrays if x.nbytes < limit and x.flags.writeable]
        self.marks = [(x, mark(x)) for x in arrays if x.nbytes >= limit and x.flags.writeable]
        self.hooks = [(v._node, getattr(v._node, "hooks", ())) for v in captures.values if v._node is not None]
        self.numpy = state_of(GLOBAL)
        self.python = random.getstate()

    def drawn(self, noted: set[int]) -> str:
        """Which of the global generators has drawn random numbers that are not noted."""
        if id(GLOBAL) not in noted:
            return "draws from NumPy's global generator where that is not seen; make one with np.random.default_rng()"
        return "draws random numbers from Python's global generator" if random.getstate() != self.python else ""

    def written(self) -> list[Any]:
        """The plain arrays that have been written to."""
        return [x for x, copy in self.arrays if not _same(x, copy)] + [x for x, m in self.marks if mark(x) != m]

    def has_copies(self, arrays: list[Any]) -> bool:
        """Whether these can be put back; the largest ones cannot."""
        return all(any(x is array for x, _ in self.arrays) for array in arrays)

    def hooked(self) -> str:
        """Whether hooks have been added, or removed: they are called by backward(), which runs no program."""
        same = all(getattr(node, "hooks", ()) == before for node, before in self.hooks)
        return "" if same else "adds or removes a hook of a Value that it captures"

    def __call__(self) -> None:
        """Make everything as it was."""
        for x, before in self.containers:
            _fill(x, before)
        for x, before in self.data:
            if isinstance(x, set):
                x.clear()
                x.update(before)
            elif content(x) != before:
                np.frombuffer(x, np.uint8)[:] = np.frombuffer(before, np.uint8)
        for container, key, value in self.captures.slots:
            if get(container, key) is not value and value is not ABSENT:
                put(container, key, value)
        for array, copy in self.arrays:
            if not _same(array, copy):
                array[...] = copy
        for node, before in self.hooks:
            if getattr(node, "hooks", ()) != before:
                node.hooks = before
        for generator, state in self.captures.generators:
            if isinstance(generator, random.Random):
                generator.setstate(state)
            elif isinstance(generator, np.random.RandomState):
                put_state(generator, state)
            elif not isinstance(generator, np.random.SeedSequence):  # which does not take back what it has given
                generator.state = state
        put_state(GLOBAL, self.numpy)
        random.setstate(self.python)


def _fill(x: Any, before: Any) -> None:
    """Put into a container what was there, if it is something else."""
    if len(x) == len(before) and all(map(_is, x, before)):
        if not isinstance(x, dict) or all(map(_is, x.values(), before.values())):
            return
    x.clear()
    if isinstance(x, dict):
        x.update(before)
    elif isinstance(x, (list, deque)):
        x.extend(before)


def _same(array: Any, copy: Any) -> bool:
    """Whether an array is as its copy is, to the bit."""
    if array.shape != copy.shape or array.dtype != copy.dtype:
        return False
    if array.dtype.hasobject or not (array.flags.c_contiguous or array.flags.f_contiguous):
        return bool(array.tobytes() == copy.tobytes())
    a, b = (x.ravel(order="K").view(np.uint8) for x in (array, copy))
    return bool(np.array_equal(a, b))


def _is(a: Any, b: Any) -> bool:
    return a is b
