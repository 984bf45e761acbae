"""The figures as a terminal table, as JSON and as docs/benchmarks.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .harness import OURS, Goal, Row
from .machine import PACKAGES

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"
LABEL_WIDTH, CELL_WIDTH = 40, 17

INTRODUCTION = """\
# Benchmarks

Written by `python -m benchmarks`; do not edit. Every figure of this page is in
`{results}`, with quartiles.

Measured on {date}: {cpu}, {threads} of {cores_in_machine} cores, {system}, {python}; {packages}; NumPy's BLAS: {blas}.
Load average before the start: {load_at_start}.
"""

AHEAD = """
## Where others are ahead

With the ratio ours / peer. What to expect in general: NumPy computes one elementwise function after the
other, on one core. Where arrays are large, libraries with threaded kernels (PyTorch) or fused ones (JAX with
jit) can win; where one matrix product follows the other, all depends on the BLAS that each library brings.
"""

ALL_FIGURES = """
## All figures

Medians; in parentheses the ratio ours / peer (below 1: ours is lower). ~ marks an unsteady figure: its
quartiles are further apart than a quarter of the median.
"""

SECTIONS = {
    "functions": """\
### All of NumPy

One function each, on about 1,000 numbers or a 32 x 32 matrix, forward and backward.
""",
    "writing": """\
### Writing in place
""",
    "transforms": """\
### Transforms
""",
    "sparse": """\
### Sparse Jacobians and Hessians
""",
    "compiled": """\
### Compiled functions

`ad.jit` next to the compilers of JAX and PyTorch: how long a call takes, how far the ratio to the fastest peer is from
1 on average, and how long one waits for the first call (in which the function is recorded) and for the compiler.
""",
    "learning": """\
### Training steps

Forward, backward and the update of the weights, with the same weights and data: `ours` is `ad.jit` of the step, `eager`
the step as it is. `torch` is PyTorch without its compiler; its LSTM is a loop in Python like ours, `torch nn` its own
layer.
""",
    "programs": """\
### Plain NumPy programs

How many of the small NumPy programs in `tests/programs_*.py`, which know nothing of differentiation, get the
gradient that finite differences give. autodiff runs them as they are; each peer has its own NumPy namespace in
NumPy's place, and every other way that it documents, of which the best counts. A wrong gradient is worse than an
error. `python -m benchmarks.programs` lists which they are, and why.
""",
}

METHOD = """\
## How it is measured

* Everybody does the same work, and everybody's gradients are compared with ours before the clock starts
  (1e-9 in float64, 2e-4 in float32, relative to the largest element; MLPs after three updates too).
* The contenders take turns in one process: each round has one sample of each, in an order that rotates
  and reverses. A sample averages as many calls as fill about {sample_ms:.0f} ms, after one unclocked call.
  Figures are medians of {rounds} samples. A ratio is the median over the rounds of ours / peer, which is
  steadier on a busy machine; it can differ a little from the quotient of the two medians.
* The garbage collector is off while the clock runs, as in `timeit`, and runs to the end before each sample.
  For graphs of thousands of scalars that flatters everybody, so that row is there with the collector on too.
* Everybody has the same {threads} cores (by affinity) and thread pools of that size. NumPy's elementwise
  functions use one core all the same; PyTorch's use all from 32,768 elements on, so for larger arrays it
  is shown with one thread too.
* Chains: float64; the graph is built anew in each call; `c` is a Python float at 0-d and an untracked array
  elsewhere. The time of a call, clearing the gradient included, is divided by the number of operations
  (200; 20 at a million elements). autograd and JAX are called through `make_vjp` and `vjp`. JAX without
  jit is not made for this use: it is here for orientation, and only up to 100 elements.
* Scalar MLP: one piece of code with micrograd's operators runs on each class, inputs wrapped as in
  micrograd's demo. Clearing the gradients, forward and backward are timed, the update is not.
* MLP step: float32; forward, backward and update. Each library has a process of its own, and they take turns
  with pauses, because idle BLAS threads spin for a while and would slow the next contender. A sample is
  the median of 12 steps in a row. `numpy` is the same step by hand, with temporaries and updates in place;
  `numpy plain` makes a new array for each result, as one writes it first; `numpy buffers` allocates every
  array once and for all.
* Peak memory: in a process of its own, after warm-up steps, with gradients dropped and freed memory given
  back to the system, the rise of the resident set's high-water mark over five steps; median of 3 processes.
* Loops: 10,000 steps y + h * rate * sin(y) and their gradient, in a process for each contender and sample; memory is
  the rise of the resident set's high-water mark over one gradient. `ours` is `checkpoint_scan`, `ours plain` the loop
  as it is. PyTorch and JAX checkpoint segments of 100 steps; JAX compiles.
* Functions: float64; the graph is built anew in each call, forward and backward with a given cotangent. Every
  library says the same in its own words; what a library does not have is left out. torch has one thread here, with
  which it is faster. `numpy forward` is the function alone, for comparison. `grad of norm(sin(x))` is the function
  transform; autograd has it twice: with its own functions, and with NumPy's (`on np`), which autodiff is given.
* Writing: `1,000 entries`, `read-only` and `after a write` are not peers but autodiff itself: a shorter buffer, a
  batch that nobody can write to, and a chain on a Value that was written to twice.
* Transforms: a function goes through the transform of the same name in each library; `torch` is torch.func without its
  compiler, with one thread; JAX compiles. A Hessian times a vector is forward over reverse, but in autograd, which has
  `hessian_vector_product`. Examples: float32; everywhere vmap of grad, with respect to all four arrays of the network.
* Sparse: `pattern` and `colours` are not peers but two of the three steps of autodiff: which elements depend on which,
  and which columns go together. `jvp` is autodiff too, column by column; autograd and JAX make the whole dense matrix,
  JAX compiled.
* Compiled: float32; each function is written once, with each library's own words for activations, softmax, layer norm
  and attention. A step has the parameters as arguments and as results. JAX and torch.compile compile the whole of it:
  torch.func's transform within torch.compile, whose compile time does not count; `torch` is eager autograd. The goal is
  on the ratio to the fastest peer of the row. Each has pauses before its samples; where large matrix products are most
  of the work, each library has a process of its own, as above. The minima and their ratios are in the JSON file.
* First call, record and compile: fresh processes in which a small function has been compiled before, without our cache
  on disk (with a cache that another process has filled in the row that says so). Record and compile is by how much the
  first two calls take longer than a later one. `eager` is our function without jit.
* Training steps: float32, plain gradient descent, and Adam as PyTorch has it by default; the losses of the first three
  steps agree.
* Import time: fresh interpreters that alternate, bytecode cached.
"""


def verdict(ratio: float, goal: Goal) -> str:
    """Which of a goal's two figures the ratio meets."""
    return "aim" if ratio <= goal.aim else "must" if ratio <= goal.must else "**missed**"


def number(value: float) -> str:
    """Three significant digits, without exponents; a count as it is."""
    if value >= 100 or float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(row: Row, name: str) -> str:
    """A contender's median (with ~ if its samples are scattered) and the ratio ours / peer."""
    if name not in row.figures:
        return "-"
    figure = row.figures[name]
    median = ("" if figure.steady else "~") + number(figure.median)
    return f"{median} ({row.ratios[name]:.2f})" if name in row.ratios else median


def columns_of(rows: Sequence[Row], order: Sequence[str]) -> list[str]:
    """The contenders that occur in some row, in the given order."""
    return [OURS, *(name for name in order if any(row.figures.get(name) for row in rows))]


def print_header(group: str, unit: str, columns: Sequence[str]) -> None:
    """The head of a group's table."""
    cells = "".join(name.rjust(CELL_WIDTH) for name in (OURS, *columns))
    print(f"\n{f'{group}: {unit} (ours / peer)'.ljust(LABEL_WIDTH)}{cells}")


def print_row(row: Row, columns: Sequence[str]) -> None:
    """A line of a group's table, with the goals that were missed."""
    cells = "".join(cell(row, name).rjust(CELL_WIDTH) for name in (OURS, *columns))
    missed = [name for name, goal in row.goals.items() if (row.reached(name) or 0.0) > goal.must]
    remark = f"  missed: {', '.join(missed)}" if missed else ""
    print(f"{row.name.ljust(LABEL_WIDTH)}{cells}{remark}", flush=True)
    for note in row.notes:
        print(f"  {note}", flush=True)


def table(head: Sequence[str], body: Iterator[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are set flush right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def goal_lines(rows: Sequence[Row]) -> Iterator[Sequence[str]]:
    """One line for each goal whose peer was measured."""
    for row in rows:
        for name, goal in row.goals.items():
            if (reached := row.reached(name)) is not None:
                figures = [f"{number(row.figures[who].median)} {row.unit}" for who in (OURS, name)]
                peers = ["-", figures[0], "-", "-"] if name == OURS else [name, *figures, f"**{reached:.2f}**"]
                limits = [f"{goal.must:g}", f"{goal.aim:g}", verdict(reached, goal)]
                yield [f"{row.group}: {row.name}", *peers, *limits]


def losses(rows: Sequence[Row]) -> str:
    """What a reader should know before believing the rest: the rows in which a peer is ahead."""
    lines = []
    for row in rows:
        peers = [(ratio, name) for name, ratio in row.ratios.items() if re.split("[ .]", name)[0] in PACKAGES]
        ahead = sorted((pair for pair in peers if pair[0] > 1), reverse=True)
        if ahead:
            names = ", ".join(f"{name} ({ratio:.2f})" for ratio, name in ahead)
            lines.append(f"* {row.group}: {row.name}: {names}")
    return "\n".join(lines) or "Nobody, in any row of this run."


def markdown(rows: Sequence[Row], orders: dict[str, Sequence[str]], facts: dict[str, Any], results: str) -> str:
    """The whole page."""
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items() if version)
    missing = [name for name, version in facts["packages"].items() if not version]
    packages += f" (not installed: {', '.join(missing)})" if missing else ""
    head = ["workload", "peer", "ours", "peer's", "ours / peer", "must", "aim", "met"]
    parts = [
        INTRODUCTION.format(**({"blas": None} | facts | {"packages": packages, "results": results})),
        "".join(f"* Measured again on {date}: {group}.\n" for group, date in facts.get("again", {}).items()),
        "## Against the goals\n\nThe ratios that the project set itself; lower is better.\n",
        table(head, goal_lines(rows)),
        AHEAD,
        losses(rows),
        ALL_FIGURES,
    ]
    for group, order in orders.items():
        mine = [row for row in rows if row.group == group]
        parts += [SECTIONS[group]] if mine and group in SECTIONS else []
        for unit in dict.fromkeys(row.unit for row in mine):
            alike = [row for row in mine if row.unit == unit]
            columns = columns_of(alike, order)
            body = ([row.name, *(cell(row, name) for name in columns)] for row in alike)
            parts += [table([f"{group}, {unit}", *columns], body), ""]
            parts += [f"{row.name}: {note}.\n" for row in alike for note in row.notes]
    parts.append(METHOD.format(**facts))
    return "\n".join(parts)


def as_json(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """Facts and rows."""
    return json.dumps({"machine": facts, "rows": [row.as_json() for row in rows]}, indent=1) + "\n"


def update(rows: Sequence[Row], orders: dict[str, Sequence[str]], facts: dict[str, Any]) -> None:
    """Put the groups of `rows` into the latest results, and write these again. The page says which, and when."""
    latest = json.loads(max(RESULTS.glob("*.json")).read_text())
    new = {row.group for row in rows}
    kept = [Row.from_json(row) for row in latest["rows"] if row["group"] not in new]
    order = {group: i for i, group in enumerate(orders)}
    when = facts["date"] + (f", with NumPy's BLAS {blas}" if (blas := facts.get("blas")) else "")
    latest["machine"].setdefault("again", {}).update(dict.fromkeys(sorted(new), when))
    write(sorted([*kept, *rows], key=lambda row: order[row.group]), orders, latest["machine"])


def write(rows: Sequence[Row], orders: dict[str, Sequence[str]], facts: dict[str, Any]) -> None:
    """The committed results of a full run, and the page made from them."""
    results = RESULTS / f"{facts['date'][:10]}.json"
    RESULTS.mkdir(exist_ok=True)
    results.write_text(as_json(rows, facts))
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(markdown(rows, orders, facts, str(results.relative_to(ROOT))))
    print(f"\nwrote {results.relative_to(ROOT)} and {DOCUMENT.relative_to(ROOT)}")
