"""Import time of autodiff next to NumPy's, in fresh processes that alternate."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .harness import OURS, Goal, Row, Samples, Settings, make_row, scaled, turns

GROUP = "import"
COLUMNS = ("numpy",)
ROOT = Path(__file__).resolve().parent.parent
MODULES = {OURS: "autodiff", "numpy": "numpy"}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter at the root of the project, one that keeps bytecode."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)


def process_seconds(module: str) -> float:
    """From the start of an interpreter that imports the module to its end."""
    start = time.perf_counter()
    python("-c", f"import {module}")
    return time.perf_counter() - start


def statement_seconds(module: str) -> float:
    """The import statement alone, clocked inside a fresh interpreter."""
    clock = "from time import perf_counter as clock"
    return float(python("-c", f"{clock}; t = clock(); import {module}; print(clock() - t)").stdout)


def own_milliseconds() -> float:
    """What `-X importtime` books on autodiff's own modules, not on what they import."""
    report = python("-X", "importtime", "-c", "import autodiff").stderr
    own = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+autodiff(?:\.|$)", report, flags=re.MULTILINE)
    return sum(map(int, own)) / 1e3


def rows(settings: Settings) -> Iterator[Row]:
    """Two rows: the whole process, and the statement alone."""
    for module in MODULES.values():
        process_seconds(module)  # writes the .pyc files
    whole: Samples = {name: [] for name in MODULES}
    statement: Samples = {name: [] for name in MODULES}
    for number in range(settings.rounds):
        for name in turns(list(MODULES), number):
            whole[name].append(process_seconds(MODULES[name]))
            statement[name].append(statement_seconds(MODULES[name]))
    goals = {"numpy": Goal(1.3, 1.15)}
    yield make_row(GROUP, "python -c 'import ...', whole process", "ms", scaled(whole, 1e3), goals)
    own = statistics.median(own_milliseconds() for _ in range(3))
    note = f"of it, autodiff's own modules: {own:.1f} ms by -X importtime, which slows imports down"
    yield make_row(GROUP, "the import statement alone", "ms", scaled(statement, 1e3), goals, [note])
