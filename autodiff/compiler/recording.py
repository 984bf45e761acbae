"""One run of a function on arrays that record: what came of it, a program if there can be one."""

import math
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import CoroutineType
from typing import Any

import numpy as np

from ..batched import Batched, Levels, hide
from ..box import Inner
from ..buffers import watching
from ..ends import Retained
from ..tape import LEAF, RECORDING
from ..tree import tree_map
from ..value import Value
from ..views import make_place
from .aliases import Aliases
from .captures import Captures, TooManyError
from .draws import GlobalDraws, noted
from .entries import Entry
from .entry import Out, odd_one
from .frames import is_ours
from .interpret import Mismatch
from .linked import LinkedProgram, Walk
from .links import Links
from .places import Fixed, Places, UnstableError, scrub, scrub_error
from .program import Program, Run, filled, hidden, wrap_batches
from .recorded import Recorded
from .recorder import Recorder, Unrecordable
from .returned import Sources
from .signature import Signature
from .undo import Undo

__all__ = [
    "ACTIVE", "AgainError", "FailedError", "GiveUpError", "InlineError", "OverlapError", "TrackedError",
    "recorded",
]  # fmt: skip

WRITES = "writes to an array that it captures"
NUMBERS = frozenset((int, float, complex))

ACTIVE: ContextVar[bool] = ContextVar("autodiff_jit_recording", default=False)  # whether a function is recorded now


class GiveUpError(Exception):
    """Why a function cannot be recorded."""


class FailedError(GiveUpError):
    """It has raised an exception, which may be due to the recording; or, if the second argument is true, to others."""


class TrackedError(GiveUpError):
    """It returns what depends on tracked Values, which have to be linked to the result."""


class InlineError(GiveUpError):
    """It is called where it cannot be recorded by itself."""


class OverlapError(Exception):
    """It writes to an argument that shares memory with other arrays, or is two arguments."""


class AgainError(Exception):
    """What stood in the way is known now: it may be recorded again; `merged` as `recorded` takes it."""

    def __init__(self, merged: bool = False) -> None:
        super().__init__(merged)
        self.merged = merged


class _Outcome:
    """What came of a run: the program, or the reason why there is none; and the result, with all that f has changed."""

    def __init__(self, program: Program | None, reason: str, circular: bool, finish: Callable[[], Any]) -> None:
        self.program, self.reason, self.circular, self.finish = program, reason, circular, finish


def recorded(
    f: Any, entry: Entry, given: Signature, args: Any, kwargs: Any, sources: Sources, jit: Any, merged: bool = False
) -> _Outcome:
    """Run `f` on arrays that record. `merged`: an array that is several arguments is one Value.

    Raises GiveUpError, OverlapError or AgainError; then all is as it was.
    """
    try:
        captures = Captures([f, *given.objects], entry.globals_too)
    except TooManyError:
        raise GiveUpError("captures too many objects") from None
    if captures.refused:
        raise GiveUpError(captures.refused)
    if any(isinstance(v._array, Inner) for v in captures.values):
        raise InlineError("captures a batch")
    if not entry.linked and any(v._node is not None and v._node.number != LEAF for v in captures.values):
        raise (TrackedError if RECORDING.get() else GiveUpError)("captures a Value that was computed from tracked ones")
    recorder = Recorder(f, sys._getframe().f_code, sources)
    recorder.masked = entry.masked
    recorder.captured = {i: Fixed(captures, slot) for i, (_, slot) in captures.arrays.items()}
    links = None
    if entry.linked:
        recorder.kept = []
        try:
            links = Links(recorder, given, captures)
        except Unrecordable as error:
            raise GiveUpError(str(error)) from None
    stands = _Arguments(recorder, given, links, merged)
    new_args, new_kwargs = given.rebuilt(args, kwargs, stands.next)
    aliases = stands.aliases
    aliases.watch((new_args, new_kwargs))
    places = Places(captures, entry.volatile, arrays=not entry.by_reference, gradients=links is None)
    undo = Undo(captures, places.replaced, math.inf) if links else Undo(captures, places.replaced)
    token = ACTIVE.set(True)
    outputs: list[tuple[Any, Any, Out]] = []
    walk: Walk | None = None
    try:
        places.begin(recorder)
        if links:
            links.begin()
        with watching(f), GlobalDraws(recorder, undo.numpy):
            result = f(*new_args, **new_kwargs)
        if recorder.disturbed:
            raise Unrecordable("other threads use what it captures")
        if recorder.reason or recorder.raised:
            raise recorder.escape(recorder.raised)
        template = _template(recorder, result, given, outputs if links else None)
        stands.note()
        if links:
            links.check()
        places.end(recorder)
        if not merged and not aliases.is_apart(given.leaves, False) and not aliases.apart:
            raise AgainError(merged=True)
        if given.shared and aliases.opened:
            raise OverlapError("changes a container that is two of its arguments")
        if not aliases.is_apart(given.leaves, True) or places.meets(given.leaves, aliases.written):
            raise OverlapError("writes to an argument that shares memory with another array")
        if links:
            walk = Walk(links, outputs, len(recorder.results))
    except (AgainError, OverlapError):
        places.restore()
        undo()
        raise
    except (Unrecordable, UnstableError, TrackedError) as error:
        places.restore()
        undo()
        if recorder.disturbed:
            raise FailedError("captures what other threads use while it is recorded", True) from None
        if type(error) is TrackedError:
            raise
        if not entry.globals_too and captures.has_globals():
            entry.globals_too = True  # it may write into one of these
            raise AgainError(merged) from None
        raise GiveUpError(recorder.reason or str(error)) from None
    except Exception as error:
        if recorder.disturbed or recorder.reason or is_ours(error):
            places.restore()
            undo()
            if recorder.reason and not recorder.disturbed:
                raise GiveUpError(recorder.reason) from None
            raise FailedError(f"raises {type(error).__name__} when it is recorded", recorder.disturbed) from None
        places.abandon()
        recorder.ended = True
        if links:
            links.restore()
        scrub(Captures([f, *given.objects]), captures)
        scrub_error(error)
        raise
    finally:
        places.restore()
        if links:
            links.restore()
        recorder.ended = True
        ACTIVE.reset(token)
    seen = noted(recorder)
    reason = undo.drawn(seen) or undo.hooked()
    written_to = undo.written()
    once_more = bool(written_to) and captures.has_globals() and not entry.globals_too
    entry.globals_too = entry.globals_too or once_more  # so that it can be recorded at the next call
    if (links or places.missed(written_to, given.leaves)) and written_to and undo.has_copies(written_to):
        undo()
        if once_more:
            raise AgainError(merged)
        raise GiveUpError(WRITES)
    if written_to and not once_more:
        reason = reason or WRITES
    if captures.drawn(seen):
        reason = "draws random numbers with a generator that is not in a variable, attribute, list or dict"
    changed = captures.numbers() - entry.volatile
    unsteady = captures.changed({*places.stored(), *entry.volatile, *changed})
    if links and (reason or unsteady or changed):  # a node is for a run that can be repeated
        undo()
        if reason:
            raise GiveUpError(reason)
        entry.unsteady += 1
        entry.volatile |= changed
        if unsteady or entry.unsteady > 3:
            raise FailedError(unsteady or "changes a number that it captures", True)
        raise AgainError(merged)
    if unsteady or changed:
        entry.unsteady += 1
        entry.volatile |= changed
        scrub(Captures([f, *given.objects]), captures)
        reason = reason or (unsteady or "changes a number that it captures" if entry.unsteady > 3 else "")
    program: Program | None = None
    run = Run(recorder, captures, places, aliases, template, given)
    if walk:
        program = made = LinkedProgram(run, walk, f, (args, kwargs), jit)
        try:
            values = made.first(given)
        except Mismatch:
            undo()
            raise GiveUpError("cannot be repeated") from None
    else:
        values = recorder.values()
        wrap_batches(values, hidden(template), given.levels)
        if not (reason or unsteady or changed or written_to):
            program = Program(run)

    def finish() -> Any:
        places.write(values)
        return filled(template, values)

    return _Outcome(program, reason, captures.circular, finish)


class _Arguments:
    """What stands for the leaves of the arguments in a run."""

    def __init__(self, recorder: Recorder, given: Signature, links: Links | None, merged: bool) -> None:
        self.inputs = [recorder.input(x, type(x) if type(x) in NUMBERS else None) for x in given.leaves]
        self._nodes = links.leaves if links else [None] * len(given.leaves)
        self.aliases = Aliases(given.leaves, apart=links is not None or bool(given.levels))
        self._merged = merged
        self._values: list[Any] = []
        self._data: list[Any] = []

    def next(self, x: Any) -> Any:
        """What stands for the next leaf, `x`: a Value, or a recorded number for one of Python's."""
        i = len(self._values)
        first = self.aliases.same[i]
        data: Any = self.inputs[i]
        if data.weak is not None:  # as numbers do that it captures: a Value is no number
            self._values.append(data)
            self._data.append(data)
            return data
        if isinstance(x, Value) and type(x._array) is Batched:
            data = hide(data, x._array.levels)
        value: Any = self._values[first] if self._merged and first < i else Value._wrap(data, self._nodes[i])
        if type(x) is np.ndarray and not x.ndim:
            make_place(value)
        self._values.append(value)
        self._data.append(data)
        return value

    def note(self) -> None:
        """Note which of them have been written to."""
        self.aliases.note(self._values, self._data, self.inputs)


def _template(recorder: Recorder, result: Any, given: Signature, tracked: list[tuple[Any, Any, Out]] | None) -> Any:
    """The result with outputs in the places of its arrays. `tracked` receives those that are, if they may be."""
    levels = given.levels

    def place(y: Any) -> Any:
        data = y._array if isinstance(y, Value) else recorder.returned(y)
        spent = linked = False
        if isinstance(y, Value) and y._node is not None and RECORDING.get():
            spent = y._node.case is not None and y._node.case.is_spent  # as a loss is after its backward()
            linked = not spent
            if linked and tracked is None:
                raise TrackedError("returns a tracked Value; return its .data")
            if linked and isinstance(y._node.case, Retained):
                raise recorder.escape("calls retain_grad() of a Value that it returns; call it on the result")
        whole = data.whole if type(data) is Batched else data
        own: Levels = data.levels if type(data) is Batched else ()
        if own and isinstance(whole, np.ndarray):
            whole = recorder.constant(whole)
        if isinstance(whole, Recorded) and all(level in levels for level in own):
            boxed = spent or linked or (tracked is not None and given.tracked and isinstance(y, Value))
            places = tuple(map(levels.index, own))
            out = Out(recorder.result(whole), not whole.ndim, whole.weak is not None, boxed, linked, places)
            if linked and tracked is not None:
                tracked.append((y._node, data, out))
            return out
        if isinstance(data, Inner):
            raise recorder.escape("returns a batch")
        if isinstance(data, (np.ndarray, np.generic)):
            return Out(recorder.result(recorder.constant(data)), not data.ndim)
        return y

    template = tree_map(place, result, result=True)
    odd = odd_one(template)
    if odd is not None:
        if isinstance(odd, CoroutineType):
            odd.close()  # it is made anew
        raise recorder.escape(f"returns a {type(odd).__name__}")
    return template
