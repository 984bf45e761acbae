"""A program of one run of a function: when it holds, how to run it, and what to make of the outputs."""

import functools
import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..batched import Levels, hide, union
from ..box import Box, Inner
from ..context import LEVELS
from ..errors import OperandError
from ..tape import RECORDING
from ..tree import leaves, tree_map
from ..value import Value
from . import llvm_math
from .aliases import Aliases, overlap
from .bounds import BoundsError
from .captures import Captures
from .draws import DRAWING, GENERATORS, Draw, put_state, state_of
from .entry import Out, filler
from .graph import Graph
from .interpret import Interpreted, Mismatch
from .lower import lower
from .native import Program as Native
from .objects import CODES, UNAVAILABLE
from .orders import are_in_order, deciding
from .places import Places
from .plan import Plan
from .recorder import Recorder
from .signature import Signature
from .slots import Kind
from .timing import times

__all__ = ["InvalidError", "Program", "Run", "filled", "hidden", "mark", "runner_of", "wrap_batches"]


REPLACED = (Kind, np.ndarray, np.generic, int, float, complex, *GENERATORS)  # what is in places


class InvalidError(Exception):
    """0/0 or the like occurred: the derivatives may need the masks that were left out."""


class Run(NamedTuple):
    """What was met in the run that is recorded, and its result with an Out in the place of each output."""

    recorder: Recorder
    captures: Captures
    places: Places
    aliases: Aliases
    result: Any
    given: Signature


class Program:
    """What was recorded in one run: a graph, when it holds, how to make the result, and what to write back."""

    spoiled = False  # whether it turned out to need masks

    def __init__(self, run: Run) -> None:
        recorder, captures, places, aliases, result, given = run
        self.captures, self.places, self.volatile = captures, places, places.numbers()
        self.aliases = aliases
        self.aliasing = bool(aliases.written or places.written)  # whether it matters what memory arguments share
        self.result = result
        self.hidden = hidden(result)
        self.patterns = given.patterns()
        self.fill = filler(result) or functools.partial(filled, result)
        self.graph = recorder.close()
        self.guards: Any = ()  # pairs of a question and an answer, and the whole as such: see `Paths`
        self.text: Any = None
        self.state = 0  # programs for the same captured things have the same one
        self.flagged = recorder.flagged and not recorder.masked
        self.ordered = deciding(self.graph, recorder.ordered)  # inputs that have to be in C order
        self.sources = recorder.sources
        self.asked: Mapping[int, str] = recorder.asked
        self.draws = {id(d.generator): d.generator for d in self.sources if type(d) is Draw}
        self.fixed = {slot: mark(x) for x, slot in captures.arrays.values() if not places.replaces(x)}
        self.writes = places.active
        # whether it reads what others may put something else into for a while
        self.reads = bool(captures.values) or any(isinstance(value, REPLACED) for _, _, value in captures.slots)
        captures.settle()
        places.settle()
        self.runner: Any = None

    def graphs(self) -> dict[str, tuple[Graph, Mapping[int, str]]]:
        """What it runs, by name, and where the source asks for what guards compare."""
        return {"program": (self.graph, self.asked)}

    @property
    def key(self) -> Any:
        """What programs with the same graphs may differ in."""
        return self.aliases.key

    @functools.cached_property
    def size(self) -> int:
        """The number of operations."""
        return sum([len(graph.live()) for graph, _ in self.graphs().values()])

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
        with CODES.lock:  # which a fork waits for
            self.runner = self.runner or runner_of(self.graph)
        return self.runner

    def run(self, given: Signature) -> Any:
        """The result for other numbers. Raises Mismatch, and InvalidError; then nothing has happened."""
        if self.aliasing and not self._is_apart(given.leaves):
            raise Mismatch(None, "arguments share memory")
        runner = self.runner or self.compile()
        if not self.draws:
            return self._run(runner, given)
        with DRAWING.lock:
            return self._run(runner, given)

    def _run(self, runner: Any, given: Signature) -> Any:
        states = self._states()
        try:
            arrays = self.arrays(given.leaves)
            outputs, invalid = runner.run(arrays)
            if invalid and self.flagged:
                raise InvalidError
        except BaseException as error:
            for generator, state in states:
                put_state(generator, state)
            ours = isinstance(error, (BoundsError, InvalidError, MemoryError, Mismatch))
            if ours or not isinstance(error, Exception):
                raise
            raise Mismatch(None, error) from error  # the function itself may raise it, or catch it
        return self.fill(self.ended(arrays, outputs, given.nodes(), given.levels))

    def ended(self, arrays: Any, outputs: list[Any], nodes: Any, levels: Levels) -> list[Any]:
        """The outputs of a run, when what belongs to it has been written back."""
        if self.writes:
            self.places.write(outputs)
        if self.hidden:
            wrap_batches(outputs, self.hidden, levels)
        return outputs

    def arrays(self, leaves: list[Any]) -> list[Any]:
        """All inputs: those given, and those that are read from where they are."""
        given = [np.asarray(a) for a in leaves]
        for source in self.sources:
            x = source.get()
            given.append(np.asarray(x._array if isinstance(x, Box) else x))
        if self.ordered and not are_in_order([given[i] for i in self.ordered]):
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
        with DRAWING.lock:
            states = self._states()
            try:
                arrays = self.arrays(leaves)
            finally:
                for generator, state in states:
                    put_state(generator, state)
        return runner.plan, times(runner.plan, arrays)

    def _states(self) -> list[tuple[Any, Any]]:
        """The generators that it draws from, and their states."""
        return [(generator, state_of(generator)) for generator in self.draws.values()]

    def order(self) -> tuple[int, ...]:
        """The guards, by position, in the order in which a run looks at them."""
        order: tuple[int, ...] = self.runner.order
        return order

    def quickly(self, arrays: Any) -> list[Any] | Mismatch | None:
        """The outputs for arrays that may not be of the right kinds, or the guard that fails; None if the arrays are
        not of these kinds, or there is more to it."""
        found = self.at_once(arrays)
        if not isinstance(found, tuple):
            return found
        if self.writes:
            self.places.write(found[1])
        return found[1]

    def quickly_boxed(self, given: Any) -> list[Any] | Mismatch | None:
        """The same where there are Values among the arguments: for arrays, nodes, and the levels of batches."""
        arrays, nodes, batches = given
        if not self.may_link(nodes):
            return None
        levels: Levels = ()
        if batches:
            levels, active = union(batches), LEVELS.get()
            if not all(level in active for level in levels):
                return None
            if tuple([tuple(map(levels.index, own)) for own in batches]) != self.patterns:
                return None
        found = self.at_once(arrays)
        return self.ended(*found, nodes, levels) if isinstance(found, tuple) else found

    def may_link(self, nodes: Any) -> bool:
        """Whether it is for a call where these nodes are to be linked to the result."""
        return not nodes or not RECORDING.get()

    def at_once(self, arrays: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[Any]] | Mismatch | None:
        """All inputs and the outputs, by one native call; or the guard that fails."""
        runner = self.runner
        whole = runner.whole if type(runner) is Native and not self.draws and not self.aliases.opened else None
        if whole is None or not self.holds() or (self.aliasing and not self._is_apart(arrays)):
            return None
        if self.sources:
            further = [source.get() for source in self.sources]
            if any(isinstance(x, Inner) for x in further):
                return None
            arrays = (*arrays, *[np.asarray(x._array if isinstance(x, Box) else x) for x in further])
        if self.ordered and not are_in_order([arrays[i] for i in self.ordered]):
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
        return (arrays, outputs) if type(outputs) is list else None

    def globals_changed(self) -> bool:
        """Whether numbers or arrays among the globals have changed, so that they had better be inputs."""
        captures = self.captures
        return len(captures.numbers(globals_too=True)) > len(captures.numbers()) or any(
            mark(captures.array(slot)) != before
            for slot, before in self.fixed.items()
            if captures.is_global(captures.slots[slot][0]) and isinstance(captures.array(slot), np.ndarray)
        )


def runner_of(graph: Graph) -> Any:
    """What runs a graph: native code where llvmlite is installed, else NumPy."""
    if os.environ.get("AUTODIFF_JIT") == "numpy" or UNAVAILABLE:
        return Interpreted(graph)
    return Native(lower(graph, llvm_math, checked=os.environ.get("AUTODIFF_JIT_DEBUG") == "1"))


def filled(template: Any, outputs: list[Any]) -> Any:
    """A result with the outputs in their places."""

    def place(y: Any) -> Any:
        return y.of(outputs) if type(y) is Out else y

    return place(template) if type(template) is Out else tree_map(place, template, result=True)


def hidden(template: Any) -> list[tuple[int, tuple[int, ...]]]:
    """Which outputs are batches that are not tracked, and their levels."""
    outs = [out for out in leaves(template, result=True) if type(out) is Out]
    return [(out.index, out.levels) for out in outs if out.levels and not out.tracked]


def wrap_batches(outputs: list[Any], hidden: list[tuple[int, tuple[int, ...]]], levels: Levels) -> None:
    """Put Values in the places of the outputs that are batches."""
    for index, own in hidden:
        outputs[index] = Value._wrap(hide(outputs[index], tuple([levels[k] for k in own])))


def mark(x: Any) -> Any:
    """The contents of an array, as a checksum of all of it."""
    if x.dtype.hasobject or x.nbytes <= 65536 or not x.flags.forc:
        return hash(x.tobytes())
    return zlib.crc32((x if x.flags.c_contiguous else x.T).reshape(-1).view(np.uint8))
