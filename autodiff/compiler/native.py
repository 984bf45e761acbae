"""Runs a plan natively.

    program = Program(plan)
    outputs = program(arrays)
    outputs, invalid = program.run(arrays)      # invalid: an operation was, as NumPy means it (nan from inf - inf)

A plan without calls is one native function. Otherwise it is cut at them: native chunks alternate with what NumPy does
in Python, on views of the same memory. A program may be called in several threads at once, and from within a call.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from .blas import blas
from .bounds import BoundsError, decoded, outside
from .driver import DRIVERS, Driver
from .driver_text import LEAD
from .interpret import Mismatch
from .plan import Array, Check, Plan
from .python_steps import Frame, View, python_step
from .state import Entries, State

__all__ = ["Program"]

BUSY = 1 << 18  # bytes: a chunk that moves more lets other threads run Python


# -- memory


def _aligned(size: int) -> Any:
    """Bytes that start at a cache line."""
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


class _Block:
    """The memory that programs lend to one call at a time."""

    def __init__(self, size: int) -> None:
        self.memory, self.size = _aligned(size), size
        self.memory[:8] = 0  # not in use
        self.address = self.memory.ctypes.data


class _Blocks:
    """Programs share the largest block that there is: what the last one wrote is in the cache for the next."""

    def __init__(self) -> None:
        self.largest: WeakValueDictionary[str, _Block] = WeakValueDictionary()

    def of(self, size: int) -> _Block:
        """One of at least that size. No lock: two threads that make one at once each have theirs."""
        block = self.largest.get("")
        if block is None or block.size < size:
            block = self.largest[""] = _Block(size)
        return block


BLOCKS = _Blocks()


class Program:
    """A plan, compiled. Called with the arrays of the inputs, it returns those of the outputs, which are new.

    Raises Mismatch where a guard has another value than recorded, TypeError for other arrays than planned. `apart`: it
    goes back to Python after each step, so that the steps can be timed.
    """

    def __init__(self, plan: Plan, apart: bool = False) -> None:
        self.plan, self.apart = plan, apart
        library = blas()
        native = DRIVERS.of(library.width if library else 8)
        places = sorted((place, b) for b, (kind, place, _) in enumerate(plan.buffers) if kind == "output")
        own = {array.buffer: array for array in plan.outputs}
        self._fresh = [own[b] for _, b in places]
        self._positions = {array.buffer: i for i, array in enumerate(self._fresh)}
        self._in_order = [a.buffer for a in plan.outputs] == [a.buffer for a in self._fresh]
        self._constants = [np.asarray(c, order="C") for c in plan.constants]
        words = LEAD + len(plan.inputs) + len(self._fresh) + 2
        self._table = -(-words * 8 // 64) * 64
        self._start = -(-(self._table + 8 * len(plan.buffers)) // 64) * 64
        self._size = self._start + plan.arena

        self._build(native, Entries(plan, native, library))

    def _build(self, native: Driver, entries: Entries) -> None:
        plan, state = self.plan, State()
        kernels: list[int] = []  # pairs of a function and its slots
        parts: list[Any] = []  # a function of Python, or [first, last, bytes] of pairs
        for step in plan.steps:
            found = entries.of(step)
            if found is None:
                parts.append(python_step(step, self._view))
                continue
            if self.apart or not parts or type(parts[-1]) is not list:
                parts.append([len(kernels), 0, 0])
            for function, slots in found[0]:
                kernels += [function, state.put(slots)]
            parts[-1][1:] = [len(kernels), parts[-1][2] + found[1]]
        self._checks, self._launches = entries.checks, entries.launches
        self.order = tuple([step.position for step in plan.steps if type(step) is Check])
        first = state.put(kernels, range(1, len(kernels), 2))

        cut = self.apart or not native.direct or any(type(part) is not list for part in parts)
        block = None if cut else BLOCKS.of(self._size)
        for name, value in (
            ("inputs", len(plan.inputs)),
            ("outputs", len(self._fresh)),
            ("buffers", len(plan.buffers)),
            ("release", sum(part[2] for part in parts if type(part) is list) > BUSY),
            ("block", 0 if block is None else block.address),
            ("block_bytes", self._size),
            ("table", self._table),
            ("api", native.api.ctypes.data),
        ):
            state.set(name, int(value))
        for name, place in (
            ("input_records", state.records(plan.inputs)),
            ("output_records", state.records(self._fresh)),
            ("buffer_records", state.put(self._records())),
            ("first", first),
            ("last", first + len(kernels)),
        ):
            state.set(name, place, pointer=True)
        self._state = state.finished()
        keep = (entries.codes, self._constants, block, self._state, plan)
        self._whole = None if cut else native.function("run", self._state, keep)
        if not cut:
            return
        at = self._state.ctypes.data + 8 * first
        self._spare: list[Any] = []
        make = native.function if native.direct else _Slow(native, plan.inputs, self._fresh, self._table).function
        self._begin = make("begin", self._state, keep)
        self._parts: list[tuple[bool, Any]] = []
        for part in [*parts, [0, 0, 0]] if self.apart else parts:
            if type(part) is list:
                chunk = [self._state.ctypes.data, at + 8 * part[0], at + 8 * part[1], int(part[2] > BUSY)]
                part = make("chunk", np.array(chunk, np.int64), keep)
                self._parts.append((True, part))
            else:
                self._parts.append((False, part))

    def clocked(self, steps: Sequence[Any], nothing: Any) -> None:
        """Puts clocks around the steps of a program whose steps are apart, and around one that does nothing."""
        clocks = [*steps, nothing]
        self._parts = [(is_native, clock(part)) for clock, (is_native, part) in zip(clocks, self._parts, strict=True)]

    def _records(self) -> list[int]:
        """Where each buffer is, as pairs of a base and an offset."""
        records: list[int] = []
        first_input = LEAD - 1
        first_output = first_input + len(self.plan.inputs)
        for b, (kind, place, _) in enumerate(self.plan.buffers):
            if kind == "constant":
                records += 0, self._constants[place].ctypes.data
            elif kind == "temporary":
                records += 1, self._start + place
            elif kind == "input":
                records += first_input + place, 0
            else:
                records += first_output + self._positions[b], 0
        return records

    @property
    def whole(self) -> Any:
        """The native function of all of it, if it is not cut and its outputs need no arranging. Other results than
        lists mean that something has to be looked at: `run` does."""
        return self._whole if self._in_order else None

    def _view(self, array: Array) -> View:
        return View(array, self.plan, self._start, self._positions, self._constants)

    # -- calls

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs."""
        return self.run(arrays)[0]

    def run(self, arrays: Sequence[Any]) -> tuple[list[Any], bool]:
        """The outputs, and whether an operation was invalid."""
        run = self._whole or self._cut
        found = run(*arrays)
        if found is None:
            arrays = self._conformed(arrays)
            found = run(*arrays)
        invalid = False
        if type(found) is tuple:
            if len(found) == 2:
                raise self.failure(*found)
            (found,), invalid = found, True
        return found if self._in_order else self._arranged(found, arrays), invalid

    def _cut(self, *arrays: Any) -> Any:
        """As the native function, for a program that is cut."""
        raw, memory = self._memory()
        count = sys.getrefcount(raw), sys.getrefcount(memory)
        outputs = self._begin(memory, *arrays)
        if outputs is None:
            self._spare.append(memory)
            return None
        frame, failed = Frame(memory, arrays, outputs), None
        invalid: list[Any] = []
        with np.errstate(all="ignore", invalid="call", call=lambda *what: invalid.append(what)):
            for is_native, part in self._parts:
                if not is_native:
                    part(frame)
                elif code := part(memory):
                    if code != 1:
                        failed = code
                        break
                    invalid.append(part)
        del frame
        if not self._spare and count == (sys.getrefcount(raw), sys.getrefcount(memory)):
            self._spare.append(memory)  # nobody has kept a view
        return failed or ((outputs,) if invalid else outputs)

    def _memory(self) -> tuple[Any, Any]:
        try:
            memory = self._spare.pop()
        except IndexError:
            memory = _aligned(self._size)
        return memory.base, memory

    def failure(self, number: int, bits: int) -> Mismatch | BoundsError:
        """What a pair says that the native function returns."""
        if number < 0:
            launch, operand = decoded(number)
            return BoundsError(outside(self.plan, self._launches[launch], operand, bits))
        check = self._checks[number - 1]
        if type(check.value) is bool:
            return Mismatch(check.position, bool(bits))
        dtype = np.dtype(check.array.dtype)
        return Mismatch(check.position, np.array([bits], np.int64).view(dtype)[0].item())

    def _arranged(self, fresh: list[Any], arrays: Sequence[Any]) -> list[Any]:
        """The outputs in order, where two have the same buffer, or one is no buffer of its own."""
        frame, found, taken = Frame(None, arrays, fresh), [], set()
        for array in self.plan.outputs:
            position = self._positions.get(array.buffer)
            if position is not None and position not in taken:
                taken.add(position)
                found.append(fresh[position])
            else:
                found.append(np.array(self._view(array)(frame), order="C"))
        return found

    def _conformed(self, arrays: Sequence[Any]) -> list[Any]:
        """The arguments as they were planned; TypeError if they are others."""
        if len(arrays) != len(self.plan.inputs):
            raise TypeError(f"the program takes {len(self.plan.inputs)} arrays, and got {len(arrays)}")
        found = []
        for i, (array, planned) in enumerate(zip(arrays, self.plan.inputs)):
            array, dtype = np.asarray(array), np.dtype(planned.dtype)
            if array.shape != planned.shape or array.dtype != dtype:
                raise TypeError(
                    f"argument {i} of the program has to be {dtype}{[*planned.shape]}, and is "
                    f"{array.dtype}{[*array.shape]}"
                )
            if not (array.flags.c_contiguous and array.flags.aligned):
                array = array.copy(order="C")
            found.append(array if array.dtype is dtype else array.view(dtype))
        return found


class _Slow:
    """The native functions through ctypes, where the fields of an ndarray are not where they are expected."""

    def __init__(self, native: Driver, inputs: Sequence[Array], fresh: Sequence[Array], table: int) -> None:
        self.native, self.inputs, self.fresh, self.table = native, inputs, fresh, table

    def function(self, name: str, own: Any, keep: Any) -> Callable[..., Any]:
        def begin(memory: Any, *arrays: Any) -> list[Any] | None:
            if len(arrays) != len(self.inputs):
                return None
            for array, planned in zip(arrays, self.inputs):
                is_right = type(array) is np.ndarray and array.dtype == planned.dtype and array.shape == planned.shape
                if not (is_right and array.flags.c_contiguous and array.flags.aligned):
                    return None
            outputs = [np.empty(a.shape, a.dtype) for a in self.fresh]
            addresses = [a.ctypes.data for a in (*arrays, *outputs)]
            memory[: 8 * (LEAD + len(addresses))].view(np.int64)[LEAD:] = addresses
            self.native.tabulate(own.ctypes.data, memory.ctypes.data)
            return outputs

        def chunk(memory: Any) -> Any:
            state, first, last, _ = map(int, own)
            code = self.native.steps(state, memory.ctypes.data, first, last, 0)
            found, failed = map(int, memory[self.table - 16 : self.table].view(np.int64))
            return (failed, found) if code == 2 else code

        functions: dict[str, Callable[..., Any]] = {"begin": begin, "chunk": chunk}
        chosen = functions[name]
        chosen.__dict__["keep"] = keep
        return chosen
