"""jit: record a function once, and run the program instead of it.

The first call runs `f` as ever, on arrays that record. From the second call on its program runs, if what the program
was recorded for still holds: shapes and dtypes, numbers that `f` branches on, what it captures. Else it is recorded
again; and what cannot be a program runs as it is, after one warning that says why. It never refuses.
"""

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

from ..errors import JitWarning, OperandError
from ..tape import RECORDING
from ..transform import name_of, transform
from .entries import RECORDINGS, VALUES, CacheInfo, Entry, Kept
from .entry import flattener
from .explain import overview, timed
from .frames import depth
from .interpret import Mismatch
from .paths import Paths, Search
from .program import InvalidError, Program
from .recording import (
    ACTIVE,
    AgainError,
    FailedError,
    GiveUpError,
    InlineError,
    OverlapError,
    TrackedError,
    recorded,
)
from .returned import Sources
from .signature import Signature, signature

__all__ = ["CacheInfo", "jit"]

INTEGERS = 3  # signatures that differ in integers only, until these become inputs


@transform
def jit(f: Callable[..., Any], *, strict: bool = False, eager: bool = True) -> Callable[..., Any]:
    """`f`, recorded at its first call and run as a program from then on: native code, if llvmlite is installed.

    `f` is plain NumPy code, with derivatives in it or not, or a training step that calls `backward()` and an optimizer.
    Arguments are arrays, numbers, and containers of these, as for `grad`; a program is for their shapes and dtypes, and
    other ones are recorded anew. Floats may differ from call to call; integers, texts and truth values among the
    arguments are part of the program. Arguments are copied. Results are new, and plain: a Value comes back where an
    argument is tracked, or a captured Value on which it depends, and can be differentiated.

    `if` and `while` are recorded for each path that is taken, at most 64 for one signature; `float(v)` for each number,
    at most 8, but one that is only returned is an output. What `f` captures is looked up at each call. Arrays, Values
    with their gradients, optimizers, counters and draws of a `np.random.Generator` are inputs of the program, and
    outputs where `f` changes them.

    The program is compiled at the second call; with `eager=False` at the first one, when it is recorded.

    What cannot be a program runs as it is, after one JitWarning. With `strict=True` it raises OperandError. Output to
    the screen and NumPy's warnings come when `f` is recorded, and not when its program runs.

    >>> import numpy as np
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


class _Way:
    """The way into the program that ran last: what takes the arrays out of the arguments, and what these are for.

    `boxed`: there may be Values among the arguments.
    """

    __slots__ = ("boxed", "flat", "paths", "program", "quickly")

    def __init__(self, flat: Any, boxed: bool, program: Program, paths: Paths) -> None:
        self.flat, self.boxed, self.program, self.paths = flat, boxed, program, paths
        self.quickly = program.quickly_boxed if boxed else program.quickly
        if program.reads:
            self.quickly = RECORDINGS.reading(self.quickly)


def _attempted(program: Program, given: Signature) -> tuple[Any] | None:
    """The result of a program; None if it is for other things that f captures."""
    if not program.holds() or (given.shared and program.aliases.opened):
        return None
    if program.spoiled:
        raise InvalidError
    return (program.run(given),)


class _Jitted:
    """The function that `jit` returns, behind its Transform."""

    def __init__(self, f: Callable[..., Any], strict: bool, eager: bool) -> None:
        self.f, self.strict, self.eager = f, strict, eager
        self.entries: Kept[Entry] = Kept()
        self.integers: bool | None = False  # whether integers are inputs; None: never again
        self.seen: Kept[list[int]] = Kept()  # how many signatures differ in integers only
        self.lock = threading.RLock()
        self.sources = Sources()
        self.hits = self.recordings = 0
        self.last: _Way | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if ACTIVE.get():  # it becomes a part of the function that is recorded
            return self.f(*args, **kwargs)
        last, search = self.last, None
        if last is not None:
            arrays = last.flat(args, kwargs)
            if arrays is not None:
                outputs = last.quickly(arrays)
                if type(outputs) is list:
                    self.hits += 1
                    return last.program.fill(outputs)
                if isinstance(outputs, Mismatch):
                    search = Search()
                    search.failed(last.program, outputs)
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
        linked = given.tracked and RECORDING.get()
        entry = self.entries.get(given.link() if linked else given.key)
        if entry is None:
            with self.lock:
                given = self._loosened(given, args, kwargs)
                key = given.link() if linked else given.key
                entry = self.entries.add(key, Entry(key, linked), given.watched)
        if entry.linked and not RECORDING.get():  # as it captures tracked Values
            key = False, given.key
            entry = self.entries.add(key, Entry(key), given.watched)
        if entry.eager:
            return self._eagerly(args, kwargs)
        if search is None or last is None or last.paths is not entry.paths:
            search = Search()
        added = entry.paths.added
        found = self._found(entry, search, given, args, kwargs)
        if found is not None:
            return found[0]
        if not self.strict and entry.is_full():
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

    def _elsewhere(self, last: _Way, search: Search, arrays: Any) -> tuple[Any] | None:
        """The result of another program for the same arrays as the last one, which has failed."""
        for attempt in last.paths.candidates(search):
            way = _Way(last.flat, last.boxed, attempt, last.paths)
            outputs = way.quickly(arrays)
            if type(outputs) is list:
                self._use(way, search)
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
            try:
                found = RECORDINGS.reading(_attempted)(attempt, given)
            except Mismatch as mismatch:
                search.failed(attempt, mismatch)
                continue
            except InvalidError:
                with self.lock:
                    entry.masked, entry.paths = True, Paths()
                break
            if found is None:
                continue
            boxed = entry.linked or bool(given.levels)
            entry.flat = entry.flat or flattener(args, kwargs, given.integers, boxed)
            self._use(_Way(entry.flat, boxed, attempt, paths), search)
            return found
        return None

    def _use(self, way: _Way, search: Search) -> None:
        """Note that a program has run."""
        self.hits += 1
        if way.program is not way.paths.programs[0]:
            with self.lock:
                way.paths.used(way.program, search)
        if self.last is None or self.last.program is not way.program:
            self.last = way if way.flat else None

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
        entry = self._known(given) if given else None
        return timed(name_of(self.f), entry, given.leaves if given else [])

    def _known(self, given: Signature) -> Entry | None:
        """What a call uses that was made before."""
        recording = RECORDING.get()
        entry = self.entries.get(given.link() if given.tracked and recording else given.key)
        if entry is not None and entry.linked and not recording:
            entry = self.entries.get((False, given.key))
        return entry

    def cache_info(self) -> CacheInfo:
        """Counts of calls that ran a program, of recordings, of signatures, and of programs."""
        programs = sum(len(entry.programs) for entry in self.entries.values())
        return CacheInfo(self.hits, self.recordings, len(self.entries), programs)

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
        except InlineError:
            return self._eagerly(args, kwargs)
        except OverlapError as error:
            return self._give_up(entry, str(error), args, kwargs, True)
        except FailedError as failed:
            if not failed.args[1] and self._fixes(given):
                return self(*args, **kwargs)
            result = self._eagerly(args, kwargs)
            entry.failed += 1
            if not failed.args[1] or entry.failed > 3:
                self._warn(entry, failed.args[0])
            return result
        except GiveUpError as error:
            reason = error.args[0]
            if not entry.by_reference and not entry.eager:
                entry.by_reference = True  # what only reads its plain arrays may still be recorded
                try:
                    return self._run(entry, given, args, kwargs)
                except GiveUpError as again:
                    reason = again.args[0]
            if self._fixes(given):
                return self(*args, **kwargs)
            return self._give_up(entry, reason, args, kwargs)

    def _fixes(self, given: Signature) -> bool:
        """Make integers a part of the program again, if it may be that f cannot be recorded because they are inputs."""
        if not given.integers or any(entry.eager for entry in self.entries.values()):
            return False
        self.integers, self.entries, self.last = None, Kept(), None
        return True

    def _run(self, entry: Entry, given: Signature, args: Any, kwargs: Any, merged: bool = False) -> Any:
        """Run the function on arrays that record, keep the program if there is one, and give the result."""
        self.recordings += 1
        again = functools.partial(jit, strict=self.strict)  # for further derivatives
        try:
            outcome = recorded(self.f, entry, given, args, kwargs, self.sources, again, merged)
        except TrackedError:
            entry.linked, entry.flat = True, None
            return self._run(entry, given, args, kwargs)
        except AgainError as error:
            return self._run(entry, given, args, kwargs, error.merged)
        finally:
            self.sources.release()
        if outcome.reason:
            self._warn(entry, outcome.reason)
        elif outcome.program is not None:
            if outcome.circular or (entry.linked and given.watched):  # which are among the arguments
                self.entries.hold(entry.key)
            self._keep(entry, outcome.program)
        return outcome.finish()

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
