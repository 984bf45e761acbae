"""A plan as native code reads it: the steps as (function, slots), and one array of int64 with all that they need."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .blas import Blas, gemm_slots
from .driver import Driver
from .driver_text import CHECKS, STATE
from .objects import CODES
from .parallel import POOLS
from .plan import Array, Call, Check, Gemm, Launch, Plan, Step

__all__ = ["Entries", "State"]


def _bits(value: Any, dtype: Any) -> int | None:
    """A guard's value in memory, as an int64; None if an array of that dtype cannot hold it."""
    try:
        with np.errstate(all="ignore"):
            held = np.array(value, dtype)
    except (OverflowError, TypeError, ValueError):
        return None
    if held.item() != value and value == value:
        return None
    size = dtype.itemsize
    return int(held.reshape(1).view(f"i{size}")[0])


THREADED = 1 << 18  # multiplications of a product that BLAS computes in several threads
WORTH = 8  # parts of kernels for which parked helpers are woken


def _waking(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """For each step, whether helpers are woken for it, and whether they stay awake after it.

    A product ends what they are for: its own threads need the cores.
    """
    breaks = [
        type(step) is Call or (type(step) is Gemm and step.x.shape[-1] * int(np.prod(step.out.shape)) > THREADED)
        for step in steps
    ]
    found, parts, follows = [], 0, not any(breaks)
    for step, is_break in zip(reversed(steps), reversed(breaks)):
        if is_break:
            parts, follows = 0, False
        more = step.kernel.parts if type(step) is Launch and step.kernel.parts > 1 else 0
        parts += more
        found.append((int(parts >= WORTH), int(follows)))
        follows = follows or more > 0
    return found[::-1]


class Entries:
    """Steps as (function, slots), and how many bytes they move."""

    def __init__(self, plan: Plan, native: Driver, library: Blas | None) -> None:
        self.plan, self.driver, self.blas = plan, native, library
        self.codes = CODES.of_kernels({s.kernel: None for s in plan.steps if type(s) is Launch})
        self.checks: list[Check] = []
        self.launches: list[Launch] = []  # of kernels that check their addresses
        self.pool = POOLS.get() if any(type(s) is Launch and s.kernel.parts > 1 for s in plan.steps) else None
        self.waking = dict(zip(map(id, plan.steps), _waking(plan.steps))) if self.pool is not None else {}

    def of(self, step: Step) -> tuple[list[tuple[int, Sequence[int]]], int] | None:
        """None if Python has to do it."""
        code, buffers = self.driver.code, self.plan.buffers
        if type(step) is Launch:
            slots = [n for pair in step.operands for n in pair]
            if step.kernel.checked:
                self.launches.append(step)
                slots += [len(self.launches) - 1, *[buffers[b].nbytes for b, _ in step.operands]]
            moved = sum(buffers[b].nbytes for b in {b for b, _ in step.operands})
            kernel = self.codes[step.kernel.symbol]
            if step.kernel.parts == 1 or self.pool is None:
                return [(kernel[step.kernel.symbol], slots)], moved
            _, part, end = step.kernel.symbols
            job = [kernel[part], kernel[end], step.kernel.parts, self.pool.address, *self.waking[id(step)]]
            return [(self.pool.code["split"], [*job, *slots])], moved
        if type(step) is Gemm and self.blas is not None:
            kind = {"f": "float", "d": "double"}.get(step.out.dtype.char)
            if kind is None:
                return None
            found = gemm_slots(step, self.blas.single if kind == "float" else self.blas.double)
            if found is None:
                return None
            work = step.x.shape[-1] * int(np.prod(step.out.shape)) // 4
            return [(code[f"gemm_{kind}"], slots) for slots in found], work
        if type(step) is Check and (llvm := CHECKS.get(np.dtype(step.array.dtype))):
            array, dtype = step.array, np.dtype(step.array.dtype)
            bits = _bits(step.value, dtype)
            if bits is None:
                return None
            self.checks.append(step)
            slots = [array.buffer, array.offset * dtype.itemsize, bits, len(self.checks)]
            return [(code[f"check_{llvm}"], slots)], 0
        return None


class State:
    """The array of int64 that native code reads, as it grows."""

    def __init__(self) -> None:
        self.words: list[int] = [0] * len(STATE)
        self.pointers: list[int] = []  # words that are indices of words, to become addresses

    def put(self, words: Sequence[int], pointers: Sequence[int] = ()) -> int:
        """Where these words are; those in places `pointers` are places themselves."""
        start = len(self.words)
        self.words += words
        self.pointers += [start + p for p in pointers]
        return start

    def set(self, name: str, value: int, pointer: bool = False) -> None:
        self.words[STATE.index(name)] = value
        if pointer:
            self.pointers.append(STATE.index(name))

    def records(self, arrays: Sequence[Array]) -> int:
        words = []
        for array in arrays:
            words += [len(array.shape), self.put(array.shape), id(np.dtype(array.dtype))]
        return self.put(words, range(1, len(words), 3))

    def finished(self) -> Any:
        state = np.array(self.words, np.int64)
        state[self.pointers] = state[self.pointers] * 8 + state.ctypes.data
        return state
