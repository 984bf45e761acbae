"""Helper threads for large kernels: one pool for the process, started at the first need, ended at exit.

They are native threads that never touch Python. A helper looks for the next part for 150 µs after the last one, for
to wake a thread takes longer than many kernels do, and then parks.
"""

import atexit
import ctypes
import os
import signal
import sys
import time
from typing import Any

import numpy as np

from .blas import blas_threads
from .objects import CODES
from .parallel_text import MOST, POOL, WORDS, parallel

__all__ = ["POOLS", "threads"]

FUNCTIONS = {
    "create": "pthread_create",
    "join": "pthread_join",
    "mask": "pthread_sigmask",
    "lock": "pthread_mutex_lock",
    "unlock": "pthread_mutex_unlock",
    "wait": "pthread_cond_wait",
    "broadcast": "pthread_cond_broadcast",
    "yield": "sched_yield",
    "time": "clock_gettime",
}


def threads() -> int:
    """How many threads programs may use: those of NumPy's BLAS, or AUTODIFF_JIT_THREADS; at most one for each core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("AUTODIFF_JIT_THREADS", "")
    if not asked:
        return min(blas_threads() or cores, cores)
    if not asked.isdecimal() or not int(asked):
        raise ValueError(f"AUTODIFF_JIT_THREADS is {asked!r}; it is a number of threads, 1 or more")
    return min(int(asked), cores)


class _Pool:
    """The memory that helpers and programs share."""

    def __init__(self, helpers: int) -> None:
        library = ctypes.CDLL(None)
        addresses = {
            name: ctypes.cast(library[function], ctypes.c_void_p).value or 0 for name, function in FUNCTIONS.items()
        }
        self.inits = [library["pthread_mutex_init"], library["pthread_cond_init"]]
        raw = np.zeros(WORDS + 8, np.int64)
        start = -raw.ctypes.data % 64 // 8
        self.words = raw[start : start + WORDS]
        self.address = int(self.words.ctypes.data)
        values = {"helpers": min(helpers, MOST), "clock": time.CLOCK_MONOTONIC, "set": signal.SIG_SETMASK}
        for name, value in (addresses | values).items():
            self.words[POOL[name]] = value
        self.words[POOL["signals"] : POOL["old_signals"]] = -1
        self.code = CODES.compiled(parallel(CODES.machine.triple), ["split", "stop", "resume"])
        self.native = {name: ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.code[name]) for name in ("stop", "resume")}
        self.ended = self.stopped = False
        self.reset()
        # for good: daemon threads may be in a program while the interpreter takes everything down
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(raw))
        os.register_at_fork(before=self.stop, after_in_parent=self.resume, after_in_child=self.reset)
        atexit.register(self.end)

    def reset(self) -> None:
        """As at first: no helper is there."""
        self.words[: POOL["helpers"]] = 0
        self.words[POOL["taken"]] = self.ended
        self.stopped = False
        for name, init in zip(("mutex", "condition"), self.inits, strict=True):
            init(ctypes.c_void_p(self.address + 8 * POOL[name]), None)

    def stop(self) -> None:
        """Ends the helpers, before a fork: a process of several threads had better not. Until `resume`, programs that
        run in other threads run alone."""
        if not self.ended:
            self.native["stop"](self.address)
            self.stopped = True

    def resume(self) -> None:
        if self.stopped:
            self.stopped = False
            self.native["resume"](self.address)

    def end(self) -> None:
        """Ends the helpers for good, before the interpreter ends."""
        self.stop()
        self.ended, self.stopped = True, False


class _Pools:
    """The pool, made for the first program that wants it."""

    def __init__(self) -> None:
        self.made: _Pool | None = None

    def get(self) -> Any:
        """None for one thread, and where the operating system has other threads than Linux."""
        if sys.platform != "linux" or (count := threads()) < 2:
            return None
        with CODES.lock:
            if self.made is None:
                self.made = _Pool(count - 1)
            return self.made


POOLS = _Pools()
