"""The MLP training step: time and peak memory, one process a library.

The step spends most of its time in matrix products. Each library brings its own thread pool, whose idle
threads go on spinning for some tens of milliseconds, so each gets a process, and they take turns with a
pause in between.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .harness import OURS, Goal, Row, Samples, Settings, check_equal, make_row, scaled, turns
from .mlp_steps import BATCH, STEPS, WIDTHS

GROUP = "mlp"
COLUMNS = ("torch", "numpy", "numpy plain", "numpy buffers", "autograd", "mygrad", "jax", "jax jit")
MEMORY_GROUP = "memory"
# The steps by hand that waste or preallocate memory on purpose have no row.
MEMORY_COLUMNS = tuple(name for name in COLUMNS if not name.startswith("numpy "))
ROOT = Path(__file__).resolve().parent.parent
PAUSE = 0.06  # seconds; longer than idle BLAS threads spin
STEPS_PER_SAMPLE = 12
LABEL = f"MLP {'-'.join(map(str, WIDTHS))}, batch {BATCH}"


class Worker:
    """A library's process, with thread pools of the given size."""

    def __init__(self, name: str, threads: int, **environment: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | environment,
        )
        self.missing: str | None = self.answer().get("missing")

    def answer(self) -> Any:
        """The next line of JSON."""
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"the benchmark process of {self.name} ended; its error is above")
        return json.loads(line)

    def ask(self, command: str, argument: object) -> Any:
        """Send a command, wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command} {argument}\n")
        self.process.stdin.flush()
        return self.answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def contenders(settings: Settings) -> list[str]:
    """Everybody, or everybody but JAX."""
    return [name for name in STEPS if not (settings.quick and name.startswith("jax"))]


def start_workers(names: list[str], threads: int) -> dict[str, Worker]:
    """A process for everybody who is installed, one after the other."""
    workers = {}
    for name in names:
        worker = Worker(name, threads)
        if worker.missing is None:
            workers[name] = worker
        else:
            print(f"  {name}: skipped ({worker.missing})")
            worker.__exit__(None, None, None)
    return workers


def compare_gradients(workers: dict[str, Worker], what: str = LABEL) -> None:
    """Everybody's gradients at the first step and after three."""
    with tempfile.TemporaryDirectory() as folder:
        gradients = {}
        for name, worker in workers.items():
            with np.load(worker.ask("gradients", Path(folder) / f"{name}.npz")) as arrays:
                gradients[name] = list(arrays.values())
    check_equal(what, gradients)


def step_times(workers: dict[str, Worker], rounds: int) -> Samples:
    """Seconds a step: each sample is the median of some steps in a row."""
    samples: Samples = {name: [] for name in workers}
    for number in range(rounds):
        for name in turns(list(workers), number):
            time.sleep(PAUSE)
            samples[name].append(statistics.median(workers[name].ask("time", STEPS_PER_SAMPLE)))
    return samples


def rows(settings: Settings) -> Iterator[Row]:
    """The time of a step, with all threads and with one."""
    goals = {"torch": Goal(0.95, 0.85), "numpy": Goal(1.1, 1.03)}
    for threads in dict.fromkeys((settings.threads, settings.threads if settings.quick else 1)):
        workers = start_workers(contenders(settings), threads)
        try:
            compare_gradients(workers)
            samples = step_times(workers, settings.rounds)
        finally:
            for worker in workers.values():
                worker.__exit__(None, None, None)
        label = f"{LABEL}, {threads} thread{'s' if threads > 1 else ''}"
        yield make_row(GROUP, label, "ms", scaled(samples, 1e3), goals)


def memory_rows(settings: Settings) -> Iterator[Row]:
    """One row: how far a step's peak rises above the memory at rest, a fresh process for each sample."""
    if not Path("/proc/self/clear_refs").exists():
        print("  peak memory: skipped, it is read from Linux's /proc")
        return
    samples: Samples = {}
    names = [name for name in contenders(settings) if name in (OURS, *MEMORY_COLUMNS)]
    for number in range(1 if settings.quick else 3):
        for name in turns(names, number):
            with Worker(name, settings.threads) as worker:
                if worker.missing is None:
                    samples.setdefault(name, []).append(worker.ask("resident", 5))
    with Worker(OURS, settings.threads) as worker:
        traced = worker.ask("traced", 5)
    note = f"tracemalloc's figure for our step is {traced:.1f} MB"
    yield make_row(MEMORY_GROUP, LABEL, "MB", samples, {"torch": Goal(0.8, 0.4)}, [note])
