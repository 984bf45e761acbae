"""A process that runs one library's MLP step on demand: `python -m benchmarks.worker NAME THREADS`.

It answers each line on its standard input (a command and an argument) with one line of JSON.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import time
import tracemalloc
from typing import Any

from . import machine

machine.set_threads(int(sys.argv[2]), pin=False)  # before NumPy is imported

import numpy as np  # noqa: E402

from . import compiled_models  # noqa: E402
from .mlp_steps import STEPS, Step  # noqa: E402

WARM_UP = 3


def timed_steps(work: Step, count: int) -> list[float]:
    """Seconds of each of `count` steps, after some that wake the thread pool and fill the caches."""
    gc.collect()
    gc.disable()
    for _ in range(WARM_UP):
        work.step()
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        work.step()
        seconds.append(time.perf_counter() - start)
    gc.enable()
    return seconds


def resident(line: str) -> float:
    """A figure of /proc/self/status in MB."""
    with open("/proc/self/status") as status:
        return next(int(text.split()[1]) for text in status if text.startswith(line)) * 1024 / 1e6


def settle(work: Step) -> None:
    """Come to rest: warmed up, gradients dropped, freed memory given back to the system."""
    for _ in range(WARM_UP):
        work.step()
    work.rest()
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def peak_resident(work: Step, count: int) -> float:
    """How far, in MB, the resident set rises above its level at rest during `count` steps (Linux)."""
    settle(work)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # sets the peak, VmHWM, to the present level
    before = resident("VmRSS")
    for _ in range(count):
        work.step()
    return resident("VmHWM") - before


def peak_traced(work: Step, count: int) -> float:
    """The same as tracemalloc sees it: Python's and NumPy's allocations only."""
    tracemalloc.start()
    settle(work)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(count):
        work.step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (peak - before) / 1e6


def save_gradients(work: Step, path: str) -> str:
    """Write the gradients before and after three steps, as an .npz file."""
    before = [np.array(g) for g in work.gradients()]
    work.rest()
    for _ in range(3):
        work.step()
    np.savez(path, *before, *[np.array(g) for g in work.gradients()])
    work.rest()
    return path


def started(name: str) -> Any:
    """What the process is there for: a step of `mlp_steps`, or one of `compiled_models`."""
    return compiled_models.contender(name) if name.startswith("compiled/") else STEPS[name]()


def main() -> None:
    """Serve until the input ends."""
    try:
        work = started(sys.argv[1])
    except ImportError as error:
        if sys.argv[1].endswith("ours"):
            raise
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    print(json.dumps({"ready": True}), flush=True)
    commands = {
        "time": timed_steps,
        "resident": peak_resident,
        "traced": peak_traced,
        "first": lambda work, count: work.first(count),
        "plain": lambda work, count: work.plain(count),
        "operations": lambda work, _: work.operations(),
    }
    for line in sys.stdin:
        command, argument = line.rstrip("\n").split(" ", 1)
        if command == "gradients":
            answer: object = save_gradients(work, argument)
        else:
            answer = commands[command](work, int(argument))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
