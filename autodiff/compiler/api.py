"""jit: record a function once, and run the program instead of it.

The first call runs `f` as ever, on arrays that record. From the second call on its program runs, if what the program
was recorded for still holds: shapes and dtypes, numbers that `f` branches on, what it captures. Else it is recorded
again; and what cannot be a program runs as it is, after one warning that says why. It never refuses.
"""

import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..buffers import watching
from ..errors import JitWarning, OperandError
from ..tape import LEAF, RECORDING
from ..transform import name_of, transform
from ..value import Value
from ..views import make_place
from .aliases import Aliases
from .captures import Captures, TooManyError
from .draws import GlobalDraws, noted
from .entries import RECORDINGS, VALUES, CacheInfo, Entry, Kept
from .entry import flattener, template_of
from .explain import overview, timed
from .frames import depth, is_ours
from .interpret import Mismatch
from .paths import Paths, Search
from .places import Fixed, Places, UnstableError, scrub, scrub_error
from .program import InvalidError, Program, filled
from .recorder import Recorder, Unrecordable
from .signature import Signature, signature
from .slots import spot
from .tracked import Tracked
from .undo import Undo

__all__ = ["CacheInfo", "jit"]

INTEGERS = 3  # signatures that differ in integers only, until these become inputs
WRITES = "writes to an array that it captures"


class _GiveUpError(Exception):
    """Why a function cannot be recorded."""


class _OverlapError(Exception):
    """It writes to an argument that shares memory with other arrays, or is two arguments."""


class _FailedError(_GiveUpError):
    """It has raised an exception, which may be due to the recording; or, if the second argument is true, to others."""


@transform
def jit(f: Callable[..., Any], *, strict: bool = False, eager: bool = True) -> Callable[..., Any]:
    """`f`, recorded at its first call and run as a program from then on: native code, if llvmlite is installed.

    `f` is plain NumPy code, with derivatives in it or not, or a training step that calls `backward()` and an optimizer.
    Arguments are arrays, numbers, and containers of these, as for `grad`; a program is for their shapes and dtypes, and
    other ones are recorded anew. Floats may differ from call to call; integers, texts and truth values among the
    arguments are part of the program. Arguments are copied. Results are new, and plain: a Value comes back where an
    argument is tracked, and can be differentiated.

    `if` and `while` are recorded for each path that is taken, at most 64 for one signature; `float(v)` for each number,
    at most 8. What `f` captures is looked up at each call. Arrays, Values with their gradients, optimizers, counters
    and draws of a `np.random.Generator` are inputs of the program, and outputs where `f` changes them.

    The program is compiled at the second call; with `eager=False` at the first one, when it is recorded.

    What cannot be a program runs as it is, after one JitWarning. With `strict=True` it raises OperandError. Output to
    the screen and NumPy's warnings come when `f` is recorded, and not when its program runs.

    >>> step = jit(lambda w, x: w - 0.1 * (w @ x) * x)
    >>> w = step(np.ones(2), np.array([1.0, 2.0]))
    >>> step(w, np.array([1.0, 2.0]))
    array([0.55, 0.1 ])
    >>> step.cache_info()
    CacheInfo(hits=1, recordings=1, signatures=1, programs=1)
    >>> print(step.explain())
    program 1: ... operations, for float64[2], float64[2]
    BLAS    (1, 2) @ (2, 1) float64  40 B
    ...
    """
    return _Jitted(f, strict, eager)


class _Jitted:
    """The function that `jit` returns, behind its Transform."""

    def __init__(self, f: Callable[..., Any], strict: bool, eager: bool) -> None:
        self.f, self.strict, self.eager = f, strict, eager
        self.entries: Kept[Entry] = Kept()
        self.tracked: Kept[Tracked] = Kept()
        self.integers: bool | None = False  # whether integers are inputs; None: never again
        self.seen: Kept[list[int]] = Kept()  # how many signatures differ in integers only
        self.lock = threading.RLock()
        self.hits = self.recordings = 0
        self.last: tuple[Any, Program, Paths] | None = None  # what takes the arrays out of the arguments, for which

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        last, search = self.last, None
        if last is not None:
            arrays = last[0](args, kwargs)
            if arrays is not None:
                outputs = last[1].quickly(arrays)
                if type(outputs) is list:
                    self.hits += 1
                    return last[1].fill(outputs)
                if isinstance(outputs, Mismatch):
                    search = Search()
                    search.failed(last[1], outputs)
                    found = self._elsewhere(last, search, arrays)
                    if found is not None:
                        return found[0]
        given = signature(args, kwargs, bool(self.integers))
        if given is None and self.strict:
            raise OperandError(
                f"jit: {name_of(self.f)} was called with an argument that no program can be for; leave out strict=True "
                "to run it as it is"
            )
        if given is None or given.inline:
            return self.f(*args, **kwargs)
        if given.tracked and RECORDING.get():
            return self._tracked(given, args, kwargs)
        entry = self.entries.get(given.key)
        if entry is None:
            with self.lock:
                given = self._loosened(given, args, kwargs)
                entry = self.entries.add(given.key, Entry(), given.watched)
        if entry.eager:
            return self._eagerly(args, kwargs)
        if search is None or last is None or last[2] is not entry.paths:
            search = Search()
        added = entry.paths.added
        found = self._found(entry, search, given, args, kwargs)
        if found is not None:
            return found[0]
        if entry.full and not self.strict:
            return self._eagerly(args, kwargs)
        lock = RECORDINGS.lock
        if not lock.acquire(timeout=RECORDINGS.patience):
            return self._eagerly(args, kwargs)
        try:
            if added != entry.paths.added:  # another thread may have recorded it meanwhile
                search = Search()
                found = self._found(entry, search, given, args, kwargs)
                if found is not None:
                    return found[0]
            return self._record(entry, search, given, args, kwargs)
        finally:
            lock.release()

    def _elsewhere(self, last: tuple[Any, Program, Paths], search: Search, arrays: Any) -> tuple[Any] | None:
        """The result of another program for the same arrays as the last one, which has failed."""
        flat, _, paths = last
        for attempt in paths.candidates(search):
            outputs = attempt.quickly(arrays)
            if type(outputs) is list:
                self._use(paths, search, attempt, flat)
                return (attempt.fill(outputs),)
            if not isinstance(outputs, Mismatch):
                search.tried.discard(attempt)  # there is more to it
                return None
            search.failed(attempt, outputs)
        return None

    def _found(self, entry: Entry, search: Search, given: Signature, args: Any, kwargs: Any) -> tuple[Any] | None:
        """The result of a program, if there is one."""
        paths = entry.paths
        for attempt in paths.candidates(search):
            if not attempt.holds() or (given.shared and attempt.aliases.opened):
                continue
            try:
                result = attempt.run(given.leaves)
            except Mismatch as mismatch:
                search.failed(attempt, mismatch)
                continue
            except InvalidError:
                with self.lock:
                    entry.masked, entry.paths = True, Paths()
                break
            entry.flat = entry.flat or flattener(args, kwargs, given.integers)
            self._use(paths, search, attempt, entry.flat)
            return (result,)
        return None

    def _use(self, paths: Paths, search: Search, program: Program, flat: Any) -> None:
        """Note that a program has run."""
        self.hits += 1
        if program is not paths.programs[0]:
            with self.lock:
                paths.used(program, search)
        last = self.last
        if last is None or last[1] is not program:
            self.last = (flat, program, paths) if flat else None

    def _loosened(self, given: Signature, args: Any, kwargs: Any) -> Signature:
        """The signature of a call that is a new one. Integers that keep changing are inputs, as floats are."""
        if self.integers is None or given.integers or given.plain:
            return given
        loose = signature(args, kwargs, True)
        if loose is None or loose.key == given.key:
            return given
        count = self.seen.add(loose.key, [0], loose.watched)
        count[0] += 1
        self.integers = count[0] > INTEGERS
        return loose if self.integers else given

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """What its programs do: what is fused, what goes to BLAS, what stays in NumPy and why, and bytes moved.

        With the arguments of a call: what the program for these does, and how long each step takes. It runs for half a
        second at most, or three times; nothing that f captures changes.
        """
        if not args and not kwargs:
            return overview(self.entries.values())
        given = signature(args, kwargs, bool(self.integers))
        entry = self.entries.get(given.key) if given else None
        return timed(name_of(self.f), entry, given.leaves if given else [])

    def cache_info(self) -> CacheInfo:
        """Counts of calls that ran a program, of recordings, of signatures, and of programs."""
        programs = sum(len(entry.programs) for entry in self.entries.values())
        return CacheInfo(self.hits, self.recordings, len(self.entries), programs)

    def _tracked(self, given: Signature, args: Any, kwargs: Any) -> Any:
        """The result as a node of the graph that is being recorded."""
        if given.shared:  # f may change a container in one place, and find it in the other
            return self._eagerly(args, kwargs)
        key = given.key, tuple(given.smooth())
        rule = self.tracked.get(key)
        if rule is None:
            if not self._is_closed(given.objects):
                return self.f(*args, **kwargs)
            with self.lock:
                rule = self.tracked.add(key, Tracked(self.f, self, jit, given, args, kwargs))
                if given.watched:  # which are among the arguments
                    self.tracked.hold(key)
        return rule(given.originals)

    def _is_closed(self, objects: list[Any]) -> bool:
        """Whether f captures nothing that is tracked: else there is more to differentiate than its arguments."""
        try:
            return all(v._node is None for v in Captures([self.f, *objects]).values)
        except TooManyError:
            return False

    def _record(self, entry: Entry, search: Search, given: Signature, args: Any, kwargs: Any) -> Any:
        if entry.eager:
            return self._eagerly(args, kwargs)
        reason = entry.crowded(search)
        if reason and given.integers:  # they decide the path, so each is for itself
            self.integers, self.entries, self.last = None, Kept(), None
            return self._eagerly(args, kwargs)
        if reason:
            return self._give_up(entry, reason, args, kwargs)
        for known in entry.programs:
            entry.globals_too = entry.globals_too or known.globals_changed()
            entry.volatile |= known.captures.numbers(entry.globals_too)
        try:
            return self._run(entry, given, args, kwargs)
        except _OverlapError as error:
            return self._give_up(entry, str(error), args, kwargs, True)
        except _FailedError as failed:
            result = self._eagerly(args, kwargs)
            entry.failed += 1
            if not failed.args[1] or entry.failed > 3:
                self._warn(entry, failed.args[0])
            return result
        except _GiveUpError as error:
            reason = error.args[0]
            if not entry.by_reference and not entry.eager:
                entry.by_reference = True  # what only reads its plain arrays may still be recorded
                try:
                    return self._run(entry, given, args, kwargs)
                except _GiveUpError as again:
                    reason = again.args[0]
            return self._give_up(entry, reason, args, kwargs)

    def _run(self, entry: Entry, given: Signature, args: Any, kwargs: Any, merged: bool = False) -> Any:
        """Run the function on arrays that record, keep the program if there is one, and give the result.

        `merged`: an array that is several arguments is one Value.
        """
        try:
            captures = Captures([self.f, *given.objects], entry.globals_too)
        except TooManyError:
            raise _GiveUpError("captures too many objects") from None
        if captures.refused:
            raise _GiveUpError(captures.refused)
        if any(v._node is not None and v._node.number != LEAF for v in captures.values):
            raise _GiveUpError("captures a Value that was computed from tracked ones")
        self.recordings += 1
        recorder = Recorder(self.f, sys._getframe().f_code)
        recorder.masked = entry.masked
        recorder.captured = {i: Fixed(captures, slot) for i, (_, slot) in captures.arrays.items()}
        inputs = [recorder.input(x, type(x) if type(x) in (int, float, complex) else None) for x in given.leaves]
        aliases = Aliases(given.leaves)
        values: list[Value] = []

        def wrapped(x: Any) -> Value:
            i = len(values)
            value: Value = values[aliases.same[i]] if merged and aliases.same[i] < i else Value._wrap(inputs[i])
            if type(x) is np.ndarray and not x.ndim:
                make_place(value)
            values.append(value)
            return value

        new_args, new_kwargs = given.rebuilt(args, kwargs, wrapped)
        aliases.watch((new_args, new_kwargs))
        places = Places(captures, entry.volatile, arrays=not entry.by_reference)
        undo = Undo(captures, places.replaced)
        try:
            places.begin(recorder)
            with watching(self.f), GlobalDraws(recorder, undo.numpy):
                result = self.f(*new_args, **new_kwargs)
            if recorder.disturbed:
                raise Unrecordable("other threads use what it captures")
            if recorder.reason or recorder.raised:
                raise recorder.escape(recorder.raised)
            template = template_of(recorder, result)
            aliases.note(values, inputs)
            places.end(recorder)
            if not merged and not aliases.is_apart(given.leaves, False):
                places.restore()
                undo()
                return self._run(entry, given, args, kwargs, True)
            if given.shared and aliases.opened:
                raise _OverlapError("changes a container that is two of its arguments")
            if not aliases.is_apart(given.leaves, True) or places.meets(given.leaves, aliases.written):
                raise _OverlapError("writes to an argument that shares memory with another array")
        except _OverlapError:
            places.restore()
            undo()
            raise
        except (Unrecordable, UnstableError) as error:
            places.restore()
            undo()
            if recorder.disturbed:
                raise _FailedError("captures what other threads use while it is recorded", True) from None
            if not entry.globals_too and captures.has_globals():
                entry.globals_too = True  # it may write into one of these
                return self._run(entry, given, args, kwargs)
            raise _GiveUpError(recorder.reason or str(error)) from None
        except Exception as error:
            if recorder.disturbed or recorder.reason or is_ours(error):
                places.restore()
                undo()
                if recorder.reason and not recorder.disturbed:
                    raise _GiveUpError(recorder.reason) from None
                raise _FailedError(f"raises {type(error).__name__} when it is recorded", recorder.disturbed) from None
            places.abandon()
            recorder.ended = True
            scrub(Captures([self.f, *given.objects]), captures)
            scrub_error(error)
            raise
        finally:
            places.restore()
            recorder.ended = True
        seen = noted(recorder)
        reason = undo.drawn(seen)
        written_to = undo.written()
        once_more = bool(written_to) and captures.has_globals() and not entry.globals_too
        entry.globals_too = entry.globals_too or once_more  # so that it can be recorded at the next call
        if places.missed(written_to, given.leaves) and undo.has_copies(written_to):
            undo()
            if once_more:
                return self._run(entry, given, args, kwargs)
            raise _GiveUpError(WRITES)
        if written_to and not once_more:
            reason = reason or WRITES
        if captures.drawn(seen):
            reason = "draws random numbers with a generator that is not in a variable, attribute, list or dict"
        changed = captures.numbers() - entry.volatile
        written = {spot(p.container, p.key) for p, _, _ in places.writes if hasattr(p, "container")}
        unsteady = captures.changed({*written, *entry.volatile, *changed})
        if unsteady or changed:
            entry.unsteady += 1
            entry.volatile |= changed
            scrub(Captures([self.f, *given.objects]), captures)
            reason = reason or (unsteady or "changes a number that it captures" if entry.unsteady > 3 else "")
        outputs = recorder.values()
        if reason:
            self._warn(entry, reason)
        elif not (unsteady or changed or written_to):
            if captures.circular:
                self.entries.hold(given.key)
            self._keep(entry, Program(recorder, captures, places, aliases, template))
        places.write(outputs)
        return filled(template, outputs)

    def _keep(self, entry: Entry, program: Program) -> None:
        with self.lock:
            program.state = entry.state
            if entry.paths.add(program):
                entry.repeated += 1
                if entry.repeated > VALUES and self.hits < 4 * self.recordings:
                    self._warn(entry, "captures what is another thing at each call")
        if not self.eager:
            program.compile()

    def _eagerly(self, args: Any, kwargs: Any) -> Any:
        return self.f(*args, **kwargs)

    def _give_up(self, entry: Entry, reason: str, args: Any, kwargs: Any, once: bool = False) -> Any:
        """Run it as it is, from now on, or this `once`."""
        self._warn(entry, reason)
        if once:
            entry.eager = ""
        return self._eagerly(args, kwargs)

    def _warn(self, entry: Entry, reason: str) -> None:
        text = f"jit: {name_of(self.f)} {reason}"
        if self.strict:
            raise OperandError(f"{text}, which cannot be compiled; leave out strict=True to run it as it is")
        if entry.full:
            text += "; further ones run without the compiler"
        else:
            entry.eager = reason
            text += "; it runs without the compiler for these arguments"
        warnings.warn(text, JitWarning, stacklevel=depth())
