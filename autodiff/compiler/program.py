"""A program of one run of a function: when it holds, how to run it, and what to make of the outputs."""

import functools
import importlib.util
import os
import threading
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..box import Box
from ..errors import OperandError
from ..tree import tree_map
from . import llvm_math
from .aliases import Aliases, overlap
from .bounds import BoundsError
from .captures import Captures
from .draws import Draw, put_state, state_of
from .entry import Out, filler
from .graph import Graph
from .interpret import Interpreted, Mismatch
from .lower import lower
from .native import Program as Native
from .orders import are_in_order
from .places import Places
from .plan import Plan
from .recorder import Recorder
from .slots import spot
from .timing import times

__all__ = ["InvalidError", "Program", "filled", "mark"]


class InvalidError(Exception):
    """0/0 or the like occurred: the derivatives may need the masks that were left out."""


class Program:
    """What was recorded in one run: a graph, when it holds, how to make the result, and what to write back."""

    def __init__(self, recorder: Recorder, captures: Captures, places: Places, aliases: Aliases, result: Any) -> None:
        self.captures, self.places, self.volatile = captures, places, places.numbers()
        self.aliases = aliases
        self.aliasing = bool(aliases.written or places.written)  # whether it matters what memory arguments share
        self.result = result
        self.fill = filler(result) or functools.partial(filled, result)
        self.graph = recorder.close()
        self.guards: Any = ()  # pairs of a question and an answer, and the whole as such: see `Paths`
        self.text: Any = None
        self.state = 0  # programs for the same captured things have the same one
        self.flagged, self.ordered = recorder.flagged, recorder.ordered
        self.sources = recorder.sources
        self.asked = recorder.asked
        self.draws = {id(d.generator): d.generator for d in self.sources if type(d) is Draw}
        replaced = {spot(p.container, p.key) for p in places.places if type(p).__name__ == "_Place"}
        self.fixed = {
            slot: mark(x) for x, slot in captures.arrays.values() if spot(*captures.slots[slot][:2]) not in replaced
        }
        self.writes = places.active
        captures.settle()
        places.settle()
        self.runner: Any = None
        self.lock = threading.Lock()

    @functools.cached_property
    def size(self) -> int:
        """The number of operations."""
        return len(self.graph.live())

    def holds(self) -> bool:
        """Whether what `f` captures is as it was."""
        if not self.captures.holds(self.volatile) or not self.places.fits():
            return False
        return all(mark(self.captures.array(slot)) == before for slot, before in self.fixed.items())

    def _is_apart(self, leaves: Sequence[Any]) -> bool:
        """Whether what is written shows in no array that f takes for another one."""
        written = self.aliases.written
        if not self.aliases.fits(leaves) or self.places.meets(leaves, written):
            return False
        return not written or not any(
            overlap(leaves[i], self.captures.array(slot)) for slot in self.fixed for i in written
        )

    def compile(self) -> Any:
        """What runs it, made at the first time."""
        with self.lock:
            self.runner = self.runner or _runner_of(self.graph)
        return self.runner

    def run(self, leaves: list[Any]) -> Any:
        """The result for other numbers. Raises Mismatch, and InvalidError; then nothing has happened."""
        if self.aliasing and not self._is_apart(leaves):
            raise Mismatch(None, "arguments share memory")
        runner = self.runner or self.compile()
        states = [(generator, state_of(generator)) for generator in self.draws.values()]
        try:
            outputs, invalid = runner.run(self.arrays(leaves))
            if invalid and self.flagged:
                raise InvalidError
        except BaseException as error:
            for generator, state in states:
                put_state(generator, state)
            if isinstance(error, (BoundsError, InvalidError, Mismatch)) or not isinstance(error, Exception):
                raise
            raise Mismatch(None, error) from error  # the function itself may raise it, or catch it
        if self.writes:
            self.places.write(outputs)
        return self.fill(outputs)

    def arrays(self, leaves: list[Any]) -> list[Any]:
        """All inputs: those given, and those that are read from where they are."""
        given = [np.asarray(a) for a in leaves]
        for source in self.sources:
            x = source.get()
            given.append(np.asarray(x._array if isinstance(x, Box) else x))
        if self.ordered and not are_in_order(given):
            raise Mismatch(None, "arrays are in another order in memory")
        arrays = [np.asarray(a, order="C") for a in given]
        if any(a.shape != n.shape or a.dtype != n.dtype for a, n in zip(arrays, self.graph.inputs, strict=True)):
            raise Mismatch(None, "another array is captured")
        return arrays

    def timed(self, leaves: list[Any]) -> tuple[Plan, list[float]]:
        """The plan, and the seconds of each of its steps. Nothing is written back, and generators do not move on."""
        runner = self.runner or self.compile()
        if type(runner) is not Native:
            raise OperandError("explain: NumPy runs this program, which has no steps to time; leave out the arguments")
        states = [(generator, state_of(generator)) for generator in self.draws.values()]
        try:
            return runner.plan, times(runner.plan, self.arrays(leaves))
        finally:
            for generator, state in states:
                put_state(generator, state)

    def order(self) -> tuple[int, ...]:
        """The guards, by position, in the order in which a run looks at them."""
        order: tuple[int, ...] = self.runner.order
        return order

    def quickly(self, arrays: tuple[Any, ...]) -> list[Any] | Mismatch | None:
        """The outputs for arrays that may not be of the right kinds, or the guard that fails; None if the arrays are
        not of these kinds, or there is more to it."""
        runner = self.runner
        whole = runner.whole if type(runner) is Native and not self.draws and not self.aliases.opened else None
        if whole is None or not self.holds() or (self.aliasing and not self._is_apart(arrays)):
            return None
        if self.sources:
            further = [source.get() for source in self.sources]
            arrays = (*arrays, *[np.asarray(x._array if isinstance(x, Box) else x) for x in further])
        if self.ordered and not are_in_order(arrays):
            return None
        outputs = whole(*arrays)
        if type(outputs) is tuple:
            if len(outputs) == 2:
                failure = runner.failure(*outputs)
                if isinstance(failure, BoundsError):
                    raise failure
                return failure
            if self.flagged:
                return None
            outputs = outputs[0]  # an operation was invalid, which nobody asks for
        if type(outputs) is not list:
            return None
        if self.writes:
            self.places.write(outputs)
        return outputs

    def globals_changed(self) -> bool:
        """Whether numbers or arrays among the globals have changed, so that they had better be inputs."""
        captures = self.captures
        return len(captures.numbers(globals_too=True)) > len(captures.numbers()) or any(
            mark(captures.array(slot)) != before
            for slot, before in self.fixed.items()
            if captures.is_global(captures.slots[slot][0]) and isinstance(captures.array(slot), np.ndarray)
        )


def _runner_of(graph: Graph) -> Any:
    """What runs a graph: native code where llvmlite is installed, else NumPy."""
    if os.environ.get("AUTODIFF_JIT") == "numpy" or importlib.util.find_spec("llvmlite") is None:
        return Interpreted(graph)
    return Native(lower(graph, llvm_math, checked=os.environ.get("AUTODIFF_JIT_DEBUG") == "1"))


def filled(template: Any, outputs: list[Any]) -> Any:
    """A result with the outputs in their places."""

    def place(y: Any) -> Any:
        return y.of(outputs) if type(y) is Out else y

    return place(template) if type(template) is Out else tree_map(place, template, result=True)


def mark(x: Any) -> Any:
    """The contents of an array, as a checksum of all of it."""
    if x.dtype.hasobject or x.nbytes <= 65536 or not x.flags.forc:
        return hash(x.tobytes())
    return zlib.crc32((x if x.flags.c_contiguous else x.T).reshape(-1).view(np.uint8))
