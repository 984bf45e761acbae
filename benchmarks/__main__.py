"""`python -m benchmarks`: run the workloads, print a table, write the JSON and docs/benchmarks.md."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from . import machine

NAMES = (
    "chains",
    "functions",
    "writing",
    "transforms",
    "sparse",
    "programs",
    "moons",
    "mlp",
    "memory",
    "loops",
    "compiled",
    "learning",
    "import",
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="autodiff next to its peers")
    parser.add_argument("--quick", action="store_true", help="few samples, no JAX, a minute; writes nothing")
    parser.add_argument("--only", action="append", choices=NAMES, help="one of them; writes nothing")
    parser.add_argument("--update", action="store_true", help="with --only: put it into the latest results")
    parser.add_argument("--repeats", type=int, metavar="N", help="rounds (default: 15, or 5 with --quick)")
    parser.add_argument("--threads", type=int, default=min(2, machine.cores()), help="cores for everybody")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there too")
    parser.add_argument("--no-write", action="store_true", help="leave docs/ and benchmarks/results/ alone")
    return parser.parse_args()


def main() -> None:
    """Run what was asked for."""
    options = arguments()
    machine.set_threads(options.threads)
    # Only now, since NumPy's and the peers' thread pools are made when they are imported.
    from . import (
        chains,
        compiled,
        functions,
        learning,
        memory,
        mlp,
        moons,
        mutation,
        programs,
        report,
        sparse,
        startup,
        transforms,
    )
    from .harness import Row, Settings

    workloads = {
        "chains": (chains.rows, chains.COLUMNS),
        "functions": (functions.rows, functions.COLUMNS),
        "writing": (mutation.rows, mutation.COLUMNS),
        "transforms": (transforms.rows, transforms.COLUMNS),
        "sparse": (sparse.rows, sparse.COLUMNS),
        "programs": (programs.rows, programs.COLUMNS),
        "moons": (moons.rows, moons.COLUMNS),
        "mlp": (mlp.rows, mlp.COLUMNS),
        "memory": (mlp.memory_rows, mlp.MEMORY_COLUMNS),
        "loops": (memory.rows, memory.COLUMNS),
        "compiled": (compiled.rows, compiled.COLUMNS),
        "learning": (learning.rows, learning.COLUMNS),
        "import": (startup.rows, startup.COLUMNS),
    }
    rounds = options.repeats or (5 if options.quick else 15)
    settings = Settings(rounds, 0.005 if options.quick else 0.02, options.threads, options.quick)
    facts = machine.facts(options.threads) | {"rounds": rounds, "sample_ms": settings.sample_seconds * 1e3}
    print(f"{facts['cpu']}, {options.threads} cores, {facts['python']}, {rounds} rounds")
    if (load := facts["load_at_start"]) is not None and float(str(load)) > 0.5:
        print(f"load is {load}: others are using this machine; whatever uses all cores will look slow")
    start = time.perf_counter()
    rows: list[Row] = []
    for name in options.only or NAMES:
        make_rows, columns = workloads[name]
        for row in make_rows(settings):
            if not rows or (rows[-1].group, rows[-1].unit) != (row.group, row.unit):
                report.print_header(row.group, row.unit, columns)
            report.print_row(row, columns)
            rows.append(row)
    print(f"\n{time.perf_counter() - start:.0f} s")
    if options.json:
        options.json.write_text(report.as_json(rows, facts))
    orders = {name: columns for name, (_, columns) in workloads.items()}
    if options.update and options.only and not options.quick:
        report.update(rows, orders, facts)
    elif not (options.quick or options.only or options.no_write):
        report.write(rows, orders, facts)


if __name__ == "__main__":
    main()
