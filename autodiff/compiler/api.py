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

from ..errors import JitWarning, OperandError
from ..tape import RECORDING
from ..transform import name_of, transform
from .entries import RECORDINGS, CacheInfo, Entry, Kept
from .entry import flattener
from .explain import overview, timed
from .interpret import Mismatch
from .program import InvalidError, Program
from .recording import ACTIVE, ChangedError, FailedError, GiveUpError, InlineError, TrackedError, recorded
from .signature import Signature, signature

__all__ = ["CacheInfo", "jit"]

INTEGERS = 3  # signatures that differ in integers only, until these become inputs
PATHS = 8  # programs for one signature


@transform
def jit(f: Callable[..., Any], *, strict: bool = False, eager: bool = True) -> Callable[..., Any]:
    """`f`, recorded at its first call and run as a program from then on: native code, if llvmlite is installed.

    `f` is plain NumPy code, with derivatives in it or not, or a training step that calls `backward()` and an optimizer.
    Arguments are arrays, numbers, and containers of these, as for `grad`; a program is for their shapes and dtypes, and
    other ones are recorded anew. Floats may differ from call to call; integers, texts and truth values among the
    arguments are part of the program. Arguments are copied. Results are new, and plain: a Value comes back where an
    argument is tracked, or a captured Value on which it depends, and can be differentiated.

    `if` and `while` are recorded for each path that is taken, `float(v)` for each number, at most 8 programs for one
    signature. What `f` captures is looked up at each call. Arrays, Values with their gradients, optimizers, counters
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
        self.integers: bool | None = False  # whether integers are inputs; None: never again
        self.seen: Kept[list[int]] = Kept()  # how many signatures differ in integers only
        self.lock = threading.RLock()
        self.hits = self.recordings = 0
        self.last: Any = None  # what takes the arrays out of the arguments for the last program, it, and what runs it

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if ACTIVE.get():  # it becomes a part of the function that is recorded
            return self.f(*args, **kwargs)
        last = self.last
        if last is not None:
            arrays = last[0](args, kwargs)
            if arrays is not None:
                outputs = last[2](arrays)
                if outputs is not None:
                    self.hits += 1
                    return last[1].fill(outputs)
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
        recordings = self.recordings
        found = self._found(entry, given, args, kwargs)
        if found is not None:
            return found[0]
        lock = RECORDINGS.lock
        if not lock.acquire(timeout=RECORDINGS.patience):
            return self._eagerly(args, kwargs)
        try:
            if recordings != self.recordings:  # another thread may have recorded it meanwhile
                found = self._found(entry, given, args, kwargs)
                if found is not None:
                    return found[0]
            return self._record(entry, given, args, kwargs)
        finally:
            lock.release()

    def _found(self, entry: Entry, given: Signature, args: Any, kwargs: Any) -> tuple[Any] | None:
        """The result of a program, if there is one."""
        for attempt in [*entry.programs]:
            if not attempt.holds():
                continue
            try:
                if attempt.spoiled:
                    raise InvalidError
                result = attempt.run(given)
            except Mismatch:
                continue
            except InvalidError:
                with self.lock:
                    entry.masked, entry.programs = True, []
                break
            self.hits += 1
            if attempt is not entry.programs[0]:
                with self.lock:
                    entry.programs = [attempt, *[p for p in entry.programs if p is not attempt]]
            last = self.last
            if last is None or last[1] is not attempt:
                boxes = entry.linked or bool(given.levels)
                flat = flattener(args, kwargs, given.integers, boxes)
                self.last = (flat, attempt, attempt.quickly_boxed if boxes else attempt.quickly) if flat else None
            return (result,)
        return None

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

    def _record(self, entry: Entry, given: Signature, args: Any, kwargs: Any) -> Any:
        if entry.eager:
            return self._eagerly(args, kwargs)
        if len(entry.programs) >= PATHS and given.integers:  # they decide the path, so each is for itself
            self.integers, self.entries = None, Kept()
            return self._eagerly(args, kwargs)
        if len(entry.programs) >= PATHS:
            reason = f"took {PATHS} paths, or was called with as many values of what it captures"
            return self._give_up(entry, reason, args, kwargs)
        for known in entry.programs:
            entry.globals_too = entry.globals_too or known.globals_changed()
            entry.volatile |= known.captures.numbers(entry.globals_too)
        try:
            return self._run(entry, given, args, kwargs)
        except InlineError:
            return self._eagerly(args, kwargs)
        except FailedError as failed:
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
            return self._give_up(entry, reason, args, kwargs)

    def _run(self, entry: Entry, given: Signature, args: Any, kwargs: Any) -> Any:
        """Run the function on arrays that record, keep the program if there is one, and give the result."""
        self.recordings += 1
        try:
            outcome = recorded(self.f, entry, given, args, kwargs, jit)
        except TrackedError:
            entry.linked = True
            return self._run(entry, given, args, kwargs)
        except ChangedError:
            return self._run(entry, given, args, kwargs)
        if outcome.reason:
            self._warn(entry, outcome.reason)
        elif outcome.program is not None:
            if outcome.circular or (entry.linked and given.watched):  # which are among the arguments
                self.entries.hold(entry.key)
            self._keep(entry, outcome.program)
        return outcome.finish()

    def _keep(self, entry: Entry, program: Program) -> None:
        with self.lock:
            for known in entry.programs:
                if known.text == program.text:
                    entry.programs.remove(known)
                    entry.repeated += 1
                    if entry.repeated > PATHS and self.hits < 4 * self.recordings:
                        self._warn(entry, "captures what is another thing at each call")
                    break
            entry.programs.insert(0, program)
        if not self.eager:
            program.compile()

    def _eagerly(self, args: Any, kwargs: Any) -> Any:
        return self.f(*args, **kwargs)

    def _give_up(self, entry: Entry, reason: str, args: Any, kwargs: Any) -> Any:
        self._warn(entry, reason)
        return self._eagerly(args, kwargs)

    def _warn(self, entry: Entry, reason: str) -> None:
        text = f"jit: {name_of(self.f)} {reason}"
        if self.strict:
            raise OperandError(f"{text}, which cannot be compiled; leave out strict=True to run it as it is")
        entry.eager = reason
        warnings.warn(f"{text}; it runs without the compiler for these arguments", JitWarning, stacklevel=_depth())


def _depth() -> int:
    """How many calls lie between the caller of a jitted function and the one who asks."""
    package, depth, frame = __name__.partition(".")[0], 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, depth = frame.f_back, depth + 1
    return depth
