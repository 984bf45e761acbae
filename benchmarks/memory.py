"""A loop of 10,000 steps on an array: peak memory and time of its gradient, with every step kept and with few.

Each contender runs in a process of its own, `python -m benchmarks.memory NAME THREADS STEPS PATH`: one run to warm
up, then one that is measured. `python -m benchmarks.memory` without arguments prints the table.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import machine

GROUP = "loops"
COLUMNS = ("ours plain", "ours 14 slots", "torch", "torch checkpoint", "jax", "jax checkpoint")
STEPS, SIZE = 10_000, 10_000
TIME_STEP = 1e-4
ROOT = Path(__file__).resolve().parent.parent
OURS = "ours"

Gradient = Callable[[Any, Any], Any]  # (y, rate) to the two gradients


# -- y' = rate * sin(y) by Euler's method, and the gradient of sum(y**2) at the end


def ours(steps: int, slots: int | None = None) -> Gradient:
    """checkpoint_scan: about sqrt(2 n) slots, or as many as asked for."""
    import numpy as np

    import autodiff as ad

    def loss(y: Any, rate: Any) -> Any:
        return (ad.checkpoint_scan(lambda y, i: y + TIME_STEP * rate * np.sin(y), y, steps, slots=slots) ** 2).sum()

    gradient: Gradient = ad.grad(loss, argnums=(0, 1))
    return gradient


def ours_plain(steps: int) -> Gradient:
    """Every step on the tape."""
    import numpy as np

    import autodiff as ad

    def loss(y: Any, rate: Any) -> Any:
        for _ in range(steps):
            y = y + TIME_STEP * rate * np.sin(y)
        return (y**2).sum()

    gradient: Gradient = ad.grad(loss, argnums=(0, 1))
    return gradient


def torch_loop(steps: int, checkpoint: bool = False) -> Gradient:
    """PyTorch, with every step kept, or with segments of sqrt(n) steps that are computed again."""
    import torch
    from torch.utils.checkpoint import checkpoint as again

    length = round(steps**0.5)

    def segment(y: Any, rate: Any, count: int) -> Any:
        for _ in range(count):
            y = y + TIME_STEP * rate * torch.sin(y)
        return y

    def gradient(y: Any, rate: Any) -> Any:
        leaves = [torch.tensor(a, requires_grad=True) for a in (y, rate)]
        if checkpoint:
            z = leaves[0]
            for start in range(0, steps, length):
                z = again(segment, z, leaves[1], min(length, steps - start), use_reentrant=False)
        else:
            z = segment(*leaves, steps)
        (z**2).sum().backward()
        return [leaf.grad.numpy() for leaf in leaves]  # type: ignore[union-attr]

    return gradient


def jax_loop(steps: int, checkpoint: bool = False) -> Gradient:
    """JAX with jit: one scan, or a scan over checkpointed scans of sqrt(n) steps."""
    import jax

    jax.config.update("jax_enable_x64", True)
    length = round(steps**0.5)

    def segment(y: Any, rate: Any, count: int) -> Any:
        return jax.lax.scan(lambda y, _: (y + TIME_STEP * rate * jax.numpy.sin(y), None), y, length=count)[0]

    def loss(y: Any, rate: Any) -> Any:
        if checkpoint:
            again = jax.checkpoint(lambda y, rate: segment(y, rate, length))
            y = jax.lax.scan(lambda y, _: (again(y, rate), None), y, length=steps // length)[0]
            y = segment(y, rate, steps % length)
        else:
            y = segment(y, rate, steps)
        return (y**2).sum()

    return jax.jit(jax.grad(loss, argnums=(0, 1)))


CONTENDERS: dict[str, Callable[[int], Gradient]] = {
    OURS: ours,
    "ours plain": ours_plain,
    "ours 14 slots": lambda steps: ours(steps, slots=14),
    "torch": torch_loop,
    "torch checkpoint": lambda steps: torch_loop(steps, checkpoint=True),
    "jax": jax_loop,
    "jax checkpoint": lambda steps: jax_loop(steps, checkpoint=True),
}


# -- the process that measures


def resident(line: str) -> float:
    """A figure of /proc/self/status in MB."""
    with open("/proc/self/status") as status:
        return next(int(text.split()[1]) for text in status if text.startswith(line)) * 1024 / 1e6


def run(gradient: Gradient, y: Any, rate: Any) -> list[Any]:
    """One run to its end, also where calls return before."""
    import numpy as np

    return [np.asarray(g) for g in gradient(y, rate)]


def measure(name: str, steps: int, path: str) -> dict[str, Any]:
    """Seconds, the rise of the resident set and, of ours, tracemalloc's peak, in MB. The gradients go to `path`."""
    import numpy as np

    try:
        gradient = CONTENDERS[name](steps)
    except ImportError as error:
        if name.startswith(OURS):
            raise
        return {"missing": str(error)}
    y, rate = np.linspace(0.1, 1.0, SIZE), np.linspace(0.5, 1.5, SIZE)
    np.savez(path, *run(gradient, y, rate))
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    found: dict[str, Any] = {}
    watched = Path("/proc/self/clear_refs").exists()
    if watched:
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak, VmHWM, to the present level
        before = resident("VmRSS")
    start = time.perf_counter()
    run(gradient, y, rate)
    found["seconds"] = time.perf_counter() - start
    if watched:
        found["resident"] = resident("VmHWM") - before
    if name.startswith(OURS):
        tracemalloc.start()
        run(gradient, y, rate)
        found["traced"] = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
    return found


# -- the table


def ask(arguments: list[str]) -> dict[str, Any]:
    """What a process of its own has measured."""
    command = [sys.executable, "-m", "benchmarks.memory", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rows(settings: Any) -> Iterator[Any]:
    """Time, and peak memory."""
    import numpy as np

    from .harness import Goal, Samples, check_equal, make_row, turns

    steps = STEPS // 20 if settings.quick else STEPS
    names = [name for name in CONTENDERS if not (settings.quick and name.startswith("jax"))]
    seconds: Samples = {}
    megabytes: Samples = {}
    traced: dict[str, float] = {}
    gradients: dict[str, list[Any]] = {}
    missing: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1 if settings.quick else min(3, settings.rounds)):
            for name in turns([n for n in names if n not in missing], number):
                path = Path(folder) / "gradients.npz"
                found = ask([name, str(settings.threads), str(steps), str(path)])
                if "missing" in found:
                    print(f"  {name}: skipped, not importable ({found['missing']})")
                    missing.add(name)
                    continue
                with np.load(path) as arrays:
                    gradients[name] = list(arrays.values())
                seconds.setdefault(name, []).append(found["seconds"])
                if "resident" in found:
                    megabytes.setdefault(name, []).append(found["resident"])
                if "traced" in found:
                    traced[name] = found["traced"]
    label = f"{steps:,} steps on {SIZE:,} numbers"
    check_equal(label, gradients)
    yield make_row(GROUP, f"{label}: time", "s", seconds, {"ours plain": Goal(4.0, 2.5)})
    figures = ", ".join(f"{name} {value:.1f} MB" for name, value in traced.items())
    if megabytes:
        notes = [f"tracemalloc's figures for the peak: {figures}"]
        yield make_row(GROUP, f"{label}: memory", "MB", megabytes, {"ours plain": Goal(0.1, 0.03)}, notes)
    else:
        print("  peak memory: skipped, it is read from Linux's /proc")


def main() -> None:
    """Measure one contender, or print the table of all."""
    if len(sys.argv) > 2:
        machine.set_threads(int(sys.argv[2]), pin=False)  # before NumPy is imported
        print(json.dumps(measure(sys.argv[1], int(sys.argv[3]), sys.argv[4])), flush=True)
        return
    machine.set_threads(min(2, machine.cores()))
    from . import report
    from .harness import Settings

    for number, row in enumerate(rows(Settings(1, 0.02, min(2, machine.cores()), "--quick" in sys.argv))):
        if not number:
            report.print_header(row.group, row.unit, COLUMNS)
        report.print_row(row, COLUMNS)


if __name__ == "__main__":
    main()
