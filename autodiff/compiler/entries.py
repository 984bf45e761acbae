"""What a jitted function keeps for each signature, how long it does so, and the lock under which it records."""

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from .paths import Paths, Search
from .program import Program

__all__ = ["RECORDINGS", "VALUES", "CacheInfo", "Entry", "Kept"]

SIGNATURES = 512  # of one function; the oldest are forgotten
HOLDING = 32  # of these such as keep an object alive that they are for
PATHS = 64  # programs for one signature that differ in how the function branches
OPERATIONS = 20_000  # in all of these: some seconds of compiling
VALUES = 8  # those that differ in one number that it asks for, or in what it captures
T = TypeVar("T")


class _Recordings:
    """One function is recorded at a time, as another one would meet its arrays in what both capture."""

    patience = 1.0  # seconds to wait: the thread that records may itself wait for the one that waits here

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.forking: list[int] = []  # threads that hold it for a fork
        self.readers: list[int] = []  # threads that run programs of what they capture
        self.staging = 0  # the thread that has put something else there for a while

    def reading(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """`run`, which reads what a program captures, when no other thread has put something else there."""
        readers, thread = self.readers, threading.get_ident

        def runs(*args: Any) -> Any:
            me = thread()
            readers.append(me)  # before the question: one of the two sees the other
            try:
                if self.staging and self.staging != me:
                    self._wait(me)
                return run(*args)
            finally:
                readers.remove(me)

        return runs

    def _wait(self, me: int) -> None:
        while self.staging not in (0, me):
            self.readers.remove(me)
            try:
                waited = self.lock.acquire(timeout=self.patience)
            finally:
                self.readers.append(me)
            if not waited:
                return
            self.lock.release()

    def stage(self) -> int:
        """Hold the lock, and wait for those who read: what they capture may be something else, until `unstage`."""
        self.lock.acquire()
        me, before = threading.get_ident(), self.staging
        self.staging, end = me, time.monotonic() + self.patience
        try:
            while any(reader != me for reader in [*self.readers]) and time.monotonic() < end:
                time.sleep(1e-5)
        except BaseException:
            self.unstage(before)
            raise
        return before

    def unstage(self, before: int) -> None:
        self.staging = before
        self.lock.release()

    def before_fork(self) -> None:
        """Wait for other threads: in the child nobody would put back what holds their recorded arrays."""
        if self.lock.acquire(timeout=self.patience):
            self.forking.append(threading.get_ident())

    def after_fork(self) -> None:
        me = threading.get_ident()
        if me in self.forking:
            self.forking.remove(me)
            self.lock.release()

    def in_child(self) -> None:
        """As after the fork; but a lock whose thread is not there is a new one."""
        me = threading.get_ident()
        self.readers[:] = [reader for reader in self.readers if reader == me]
        if me in self.forking:
            self.after_fork()
        else:
            self.lock, self.staging = threading.RLock(), 0


RECORDINGS = _Recordings()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=RECORDINGS.before_fork, after_in_parent=RECORDINGS.after_fork, after_in_child=RECORDINGS.in_child
    )


class Entry:
    """What is known of one signature: its programs above all."""

    def __init__(self, key: Any, linked: bool = False) -> None:
        self.key = key
        self.linked = linked  # whether its results are linked to tracked Values
        self.paths = Paths()
        self.flat: Any = None  # what takes the arrays out of the arguments, if there is such a function
        self.eager = ""  # why it runs without a program
        self.full = ""  # why no further paths are recorded; those that are known still have their programs
        self.state = 0  # of what is captured: programs of different ones do not hold at once
        self.volatile: set[Any] = set()  # the slots of numbers that have changed: inputs from then on
        self.by_reference = False  # whether captured arrays are left where they are
        self.globals_too = False  # whether those among the globals are not
        self.repeated = 0  # recordings of what was known
        self.unsteady = 0  # recordings that could not be kept
        self.failed = 0  # and those that could not be finished
        self.masked = False

    @property
    def programs(self) -> list[Program]:
        """The last used one first."""
        return self.paths.programs

    def is_full(self) -> bool:
        """Whether it is still full: what is captured may be what there is room for."""
        return bool(self.full) and any(p.holds() for p in self.programs if p.state == self.state)

    def crowded(self, search: Search) -> str:
        """Why there is no room for a further program, after this search for one; "" if there is."""
        self.full = ""
        if self.paths.values(search) >= VALUES:
            how = "as float(v), int(v) and lengths do; v.item() can be computed with"
            return f"asks for a number that has had {VALUES} values, {how}"
        states = {program.state for program in self.programs}
        alive = [program for program in self.programs if program.holds()]
        self.state = alive[0].state if alive else max(states, default=-1) + 1
        if self.state not in states and len(states) >= VALUES:
            return f"was called with {VALUES} values of what it captures"
        if len(alive) >= PATHS or (len(alive) >= VALUES and sum([program.size for program in alive]) > OPERATIONS):
            self.full = f"took {len(alive)} paths"
        return self.full


class CacheInfo(NamedTuple):
    """How often a jitted function found a program, and how often it had to record one."""

    hits: int
    recordings: int
    signatures: int
    programs: int


class Kept(Generic[T]):
    """Things by key, the oldest forgotten if they are too many, and those for an object with the object.

    Objects may die at any time, also while this is changed, so it takes single steps that cannot be interrupted.
    """

    def __init__(self) -> None:
        self.things: dict[Any, T] = {}
        self._holding: dict[Any, None] = {}
        self._watches: dict[Any, list[Any]] = {}

    def __len__(self) -> int:
        return len(self.things)

    def values(self) -> list[T]:
        return [*self.things.values()]

    def get(self, key: Any, default: Any = None) -> Any:
        return self.things.get(key, default)

    def add(self, key: Any, thing: T, objects: Iterable[Any] = ()) -> T:
        """Keep a thing as long as these objects live; the one there is, if there is one."""
        thing = self.things.setdefault(key, thing)
        if len(self.things) > SIGNATURES:
            self.drop(_first(self.things))
        if objects and key not in self._watches:
            me = weakref.ref(self)

            def forget(_: Any) -> None:
                kept = me()
                if kept is not None:
                    kept.drop(key)

            self._watches[key] = [weakref.ref(x, forget) for x in objects if type(x).__weakrefoffset__]
        return thing

    def hold(self, key: Any) -> None:
        """Note that what is for this key keeps alive what it is for, so that there can be a few of its kind only."""
        self._holding[key] = None
        if len(self._holding) > HOLDING:
            self.drop(_first(self._holding))

    def drop(self, key: Any) -> None:
        self._holding.pop(key, None)
        self._watches.pop(key, None)
        self.things.pop(key, None)


def _first(x: dict[Any, Any]) -> Any:
    first, *_ = x
    return first
