"""Compiled functions next to the compilers of JAX and PyTorch: how fast they run, and how long one waits for them."""

from __future__ import annotations

import copy
import statistics
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import autodiff

from . import compiled_inside, moons
from .compiled_models import (
    MODELS,
    PEERS,
    PROGRAMS,
    Contender,
    Model,
    UnavailableError,
    flat,
)
from .harness import OURS, Goal, Row, Samples, Settings, check_equal, interleave, make_row, peer, scaled, spread, turns
from .mlp import PAUSE, Worker, compare_gradients, step_times

GROUP = "compiled"
COLUMNS = (*PEERS[1:], "micrograd", compiled_inside.WHOLE, "eager", "cold")
ALL = (*MODELS, *PROGRAMS)
NO_DISK = {"AUTODIFF_JIT_CACHE": "0"}
SMALL = 32768  # elements up to which PyTorch is better off with one thread
CALLS = 6  # that are looked at one by one, from the first on
OPERATION = 5e-6  # seconds that recording may add to each
ARRAYS = 15


def contenders(model: Model, settings: Settings) -> list[str]:
    """Who is measured. A quick run leaves out torch.compile, which takes minutes."""
    has_loop = "RNN" in model.name
    return [
        who
        for who in PEERS
        if not (who == "jax scan" and not has_loop) and not (who == "torch.compile" and settings.quick)
    ]


def with_goal(row: Row, model: Model) -> Row:
    """The goal belongs to the peer that is fastest."""
    if not row.ratios:
        return row
    fastest = min(row.ratios, key=lambda who: row.figures[who].median)
    row.goals[fastest] = Goal(model.must, model.aim)
    return row


# -- running


def together(model: Model, settings: Settings) -> tuple[Samples, list[str]]:
    """Seconds of everybody, in one process; and who is missing, and why."""
    if (torch := peer("torch")) is not None:
        torch.set_num_threads(1 if model.elements < SMALL else settings.threads)
    runs: dict[str, Callable[[], Any]] = {}
    notes = []
    for who in contenders(model, settings):
        try:
            runs[who] = Contender(model, who).step
        except UnavailableError as error:
            notes.append(str(error))
        except ImportError as error:
            print(f"  {who}: skipped, not importable ({error})")
    runs[OURS]()  # the results below are the program's
    check_equal(model.name, {who: flat(run()) for who, run in runs.items()})
    return interleave(runs, settings, pause=PAUSE), notes


def apart(model: Model, settings: Settings) -> tuple[Samples, list[str]]:
    """The same, each in a process of its own."""
    workers, notes = {}, []
    try:
        for who in contenders(model, settings):
            workers[who] = Worker(f"compiled/{ALL.index(model)}/{who}", settings.threads)
            if (missing := workers[who].missing) is not None:
                notes.append(missing)
                workers.pop(who).__exit__(None, None, None)
        compare_gradients(workers, model.name)
        return step_times(workers, settings.rounds), notes
    finally:
        for worker in workers.values():
            worker.__exit__(None, None, None)


def running(settings: Settings) -> Iterator[Row]:
    """Every model, and the mean of the ratios to the fastest peer."""
    reached, minima = [], []
    for model in MODELS:
        if settings.quick and "2048" in model.name:
            continue
        samples, notes = (apart if model.apart else together)(model, settings)
        row = with_goal(make_row(GROUP, model.name, "µs", scaled(samples, 1e6), {}, notes), model)
        for name in row.goals:
            reached.append(row.ratios[name])
            minima.append(row.ratios_of_minima[name])
        yield row
    if reached:
        mean, lowest = statistics.geometric_mean(reached), statistics.geometric_mean(minima)
        note = f"of ours / fastest peer; of their minima: {lowest:.2f}"
        yield Row(GROUP, "geometric mean", "ratio", {OURS: spread([mean])}, {}, {OURS: Goal(0.65, 0.45)}, (note,))


# -- micrograd's network


class Moons(moons.Training):
    """micrograd's training loop; the gradient is that of a compiled function of the weights."""

    def __init__(self) -> None:
        super().__init__(float, lambda p: None)
        self.weights: list[float] = self.model.parameters()
        self.compiled = autodiff.jit(
            autodiff.value_and_grad(loss_in(self.model, self.points, self.labels)), strict=True
        )

    def forward_backward(self) -> None:
        """The loss and its gradient."""
        _, self.gradient = self.compiled(self.weights)

    def update(self) -> list[float]:
        """One step of gradient descent; hands out the gradients."""
        gradient = [float(g) for g in self.gradient]
        self.weights = [w - moons.RATE * g for w, g in zip(self.weights, gradient, strict=True)]
        return gradient


def loss_in(model: moons.MLP, points: list[list[float]], labels: list[int]) -> Callable[[list[Any]], Any]:
    """The loss as a function of the weights, which take the place of the model's."""

    def loss(weights: list[Any]) -> Any:
        following, mine = iter(weights), copy.copy(model)
        mine.layers = [[([next(following) for _ in ws], next(following)) for ws, _ in layer] for layer in model.layers]
        return moons.loss_of(mine, float, points, labels)

    return loss


def scalars(settings: Settings) -> Iterator[Row]:
    """A network of scalars."""
    if (engine := peer("micrograd.engine")) is None:
        return
    work = {OURS: Moons(), "micrograd": moons.Training(engine.Value, moons.clear_micrograd)}
    for step in range(3):
        for training in work.values():
            training.forward_backward()
        check_equal(f"moons, step {step}", {name: training.update() for name, training in work.items()})
    samples = interleave({name: training.forward_backward for name, training in work.items()}, settings, pause=PAUSE)
    name = f"scalar MLP {'-'.join(map(str, moons.WIDTHS))}, {moons.SAMPLES} samples"
    yield make_row(GROUP, name, "µs", scaled(samples, 1e6), {"micrograd": Goal(0.01, 0.005)})


# -- calls


def entering(settings: Settings) -> Iterator[Row]:
    """What it costs to come into a compiled function and out of it."""
    args = list(np.random.default_rng(0).random((ARRAYS, 4), dtype="f4"))

    def total(*arrays: Any) -> Any:
        y = arrays[0]
        for x in arrays[1:]:
            y = y + x
        return y.sum()

    def nothing(*arrays: Any) -> None:
        return None

    jitted = autodiff.jit(total, strict=True)
    runs: dict[str, Callable[[], Any]] = {OURS: lambda: jitted(*args), "nothing": lambda: nothing(*args)}
    if (jax := peer("jax")) is not None:
        compiled, given = jax.jit(total), [jax.numpy.asarray(a) for a in args]
        runs["jax jit"] = lambda: compiled(*given).block_until_ready()
    jitted(*args)
    check_equal("entry", {who: [run()] for who, run in runs.items() if who != "nothing"})
    samples = scaled(interleave(runs, settings), 1e6)
    empty = statistics.median(samples.pop("nothing"))
    samples = {who: [s - empty for s in found] for who, found in samples.items()}
    note = f"a Python function that does nothing, with as many arguments, takes {empty:.2f} µs, which is subtracted"
    yield make_row(GROUP, f"call with {ARRAYS} arrays of 4, to a number", "µs", samples, {OURS: Goal(3, 2)}, [note])


# -- waiting


def waited(calls: list[float]) -> float:
    """By how much the first two calls took longer than a later one: recording (or tracing), and compiling."""
    return sum(calls[:2]) - 2 * min(calls[2:])


def fresh(model: Model, who: str, settings: Settings, command: str = "first", **environment: str) -> Any:
    """What a fresh process answers to a command, or None if the library is not there."""
    with Worker(f"compiled/{ALL.index(model)}/{who}", settings.threads, **(NO_DISK | environment)) as worker:
        return None if worker.missing is not None else worker.ask(command, CALLS)


def first_call(model: Model, settings: Settings, processes: int) -> Row:
    """The call that records, next to the function that is not compiled."""
    samples: Samples = {OURS: [], "eager": []}
    operations = 0
    for _ in range(processes):
        with Worker(f"compiled/{ALL.index(model)}/{OURS}", settings.threads, **NO_DISK) as worker:
            samples["eager"].append(worker.ask("plain", CALLS))
            samples[OURS].append(worker.ask("first", CALLS)[0])
            operations = worker.ask("operations", 0)
    eager = statistics.median(samples["eager"])
    must = 1.3 if model.elements >= 1e5 else 1 + OPERATION * operations / eager
    added = (statistics.median(samples[OURS]) - eager) / operations
    note = f"{operations} operations; each takes {added * 1e6:.1f} µs more than in the eager call"
    goals = {"eager": Goal(round(must, 2), round(1 + (must - 1) / 2, 2))}
    return make_row(GROUP, f"first call: {model.name}", "ms", scaled(samples, 1e3), goals, [note])


def compiling(settings: Settings) -> Iterator[Row]:
    """First calls, and the time to record and compile, in fresh processes without the cache on disk."""
    processes = 1 if settings.quick else 3
    models = [model for model in MODELS if not (settings.quick and "2048" in model.name)]
    for model in models:
        yield first_call(model, settings, processes)
    for model in (*models, *PROGRAMS):
        samples: Samples = {}
        for number in range(processes):
            for who in turns([OURS, "jax jit"], number):
                if (calls := fresh(model, who, settings)) is not None:
                    samples.setdefault(who, []).append(waited(calls))
        goals = {"jax jit": Goal(0.6, 0.4)} | ({OURS: Goal(300, 200)} if model in PROGRAMS else {})
        yield make_row(GROUP, f"record and compile: {model.name}", "ms", scaled(samples, 1e3), goals)


def warm_start(settings: Settings) -> Iterator[Row]:
    """Compiling what another process has compiled: recording, which is the first call, is not counted."""
    model = next(model for model in MODELS if "transformer" in model.name)
    samples: Samples = {OURS: [], "cold": []}
    for _ in range(1 if settings.quick else 3):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("cold", OURS):
                calls = fresh(model, OURS, settings, AUTODIFF_JIT_CACHE=folder)
                samples[name].append(calls[1] - min(calls[2:]))
    goals = {OURS: Goal(20, 10)}
    yield make_row(GROUP, f"compile, from disk: {model.name}", "ms", scaled(samples, 1e3), goals)


def rows(settings: Settings) -> Iterator[Row]:
    """Every line of the tables."""
    jax = peer("jax")
    before = jax.config.jax_enable_x64 if jax is not None else False
    try:
        if jax is not None:
            jax.config.update("jax_enable_x64", False)
        for part in (running, scalars, entering, compiled_inside.rows, compiling, warm_start):
            yield from part(settings)
    finally:
        if jax is not None:
            jax.config.update("jax_enable_x64", before)
