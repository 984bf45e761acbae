"""The loop that most trainings are: epochs of batches, with validation, early stopping, checkpoints and a log.

It is written with what everybody can use, and shorter ones are easy to write by hand:

    for epoch in range(10):
        for x, y in batches(images, labels, rng=rng):
            loss = nn.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""

import contextlib
import importlib.util
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..compiler.api import jit as jit_of
from ..modes import no_grad
from ..nn.module import Module
from ..optim.adam import AdamW
from ..optim.clip import clip_grad_norm
from ..optim.ema import EMA
from ..optim.optimizer import Optimizer
from ..value import Value
from .data import Batches, batches
from .history import History
from .progress import Progress
from .run import Interruption, Run

__all__ = ["evaluate", "fit"]

Metrics = Mapping[str, Callable[[Any, Any], Any]]


def evaluate(
    model: Module, data: Any, loss: Callable[[Any, Any], Any], metrics: Metrics | None = None, batch_size: int = 256
) -> dict[str, float]:
    """The means of the loss and of the metrics over `data`, with the model in its state of evaluation.

    `data` is a tuple of arrays, the last one the targets, or yields such batches. A metric takes what the model
    returned and the targets of a batch.

    >>> from autodiff import nn
    >>> x = np.zeros((3, 2))
    >>> evaluate(nn.Linear(2, 1, rng=0), (x, np.ones((3, 1))), nn.mse)
    {'loss': 1.0}

    Raises ValueError for data without a batch.
    """
    return _means(_evaluator(model, loss, metrics or {}, False), model, _batches(data, batch_size, None, shuffle=False))


def fit(
    model: Module,
    data: Any,
    loss: Callable[[Any, Any], Any],
    optimizer: Any = None,
    *,
    epochs: int = 10,
    batch_size: int = 32,
    validation: Any = None,
    metrics: Metrics | None = None,
    clip: float | None = None,
    ema: EMA | None = None,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = True,
    log: str | os.PathLike[str] | None = None,
    plot: str | os.PathLike[str] | None = None,
    progress: bool = True,
    jit: bool | None = None,
    rng: np.random.Generator | int | None = None,
) -> History:
    """Train a model: `loss(model(*inputs), targets)` goes down. The history of what was measured.

    `data` and `validation` are tuples of arrays, the last one the targets, or yield such tuples, as `batches` does. The
    optimizer is AdamW if none is given. After each epoch the model is evaluated on `validation`, on its averages if
    there is an `ema`; `metrics` are functions of what it returned and of the targets. With `patience` the training
    stops when the validation loss has not fallen for so many epochs, and the model has the weights of the best one.
    Gradients are clipped to the norm `clip`.

    `checkpoint` is a file, written after each epoch. If it is there, training goes on from it (with `resume=False` it
    starts anew), to the same bits as if it had never ended. Ctrl-C ends the training after the current step: the file
    is written, and the history so far returned. `log` is a `.csv` or `.jsonl` file, `plot` a figure of the learning
    curves. `progress` shows a bar in a terminal or notebook, if tqdm is installed, or else a line for each epoch.

    Steps are compiled if llvmlite is installed, or as `jit` says. `rng` shuffles the data: a Generator or a seed.

    >>> from autodiff import nn
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = nn.Sequential(nn.Linear(1, 16, rng=0), nn.Tanh(), nn.Linear(16, 1, rng=1))
    >>> history = fit(model, (x, x**2), nn.mse, epochs=20, progress=False, rng=0)
    >>> history["loss"][-1] < history["loss"][0]
    True

    Raises ValueError for no epochs, data without a batch, patience without validation, a loss that is not finite, or a
    checkpoint that does not fit.
    """
    if epochs < 1:
        raise ValueError(f"fit: epochs is {epochs}; it has to be at least 1")
    if patience is not None and validation is None:
        raise ValueError("fit: patience needs validation data, whose loss tells when to stop")
    optimizer = AdamW(model.parameters()) if optimizer is None else optimizer
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"fit: optimizer is a {type(optimizer).__name__}; one of autodiff.optim with steps of its own is needed"
        )
    optimizer.prepare()
    run = Run(model, optimizer, ema, _batches(data, batch_size, rng), checkpoint)
    use_jit = importlib.util.find_spec("llvmlite") is not None if jit is None else jit
    step = _Step(run, loss, clip, use_jit)
    evaluator = _evaluator(model, loss, metrics or {}, use_jit)
    held_out = None if validation is None else _batches(validation, 256, None, shuffle=False)
    if checkpoint is not None and resume and Path(checkpoint).exists():
        run.load()
    with Interruption() as interruption, Progress(progress, epochs, run) as bar:
        while run.epoch < epochs and not run.stopped and not interruption.requested:
            begin = time.perf_counter()
            if not _epoch(run, step, interruption, bar):
                break
            record = {"epoch": run.epoch + 1, "loss": run.total / max(run.count, 1)}
            if held_out is not None:
                with ema.applied() if ema is not None else contextlib.nullcontext():
                    means = _means(evaluator, model, held_out)
                record |= {f"validation {name}" if name == "loss" else name: x for name, x in means.items()}
            record["seconds"] = round(time.perf_counter() - begin, 3)
            run.end_epoch(record, patience)
            bar.epoch(record)
            if checkpoint is not None:
                run.save()
            if log is not None:
                run.history.write(log)
    run.history.interrupted = interruption.requested
    if interruption.requested and checkpoint is not None:
        run.save()
    if patience is not None and not interruption.requested:
        run.take_best()
    if plot is not None and len(run.history):
        run.history.plot(plot)
    return run.history


def _epoch(run: Run, step: "_Step", interruption: Interruption, bar: Progress) -> bool:
    """One epoch, or what is left of it after a resumption; whether it came to its end."""
    run.model.train()
    run.begin_epoch()
    for i, batch in enumerate(run.data):
        if i < run.position:  # done before the interruption; drawn again, for the state of the generator
            continue
        value = step(batch)
        if not math.isfinite(value):
            raise ValueError(
                f"fit: the loss is {value} in epoch {run.epoch + 1}, step {i + 1}; try a smaller learning rate, "
                "clip=1.0, or `with ad.debug_nans():` around fit(..., jit=False)"
            )
        size = _size(batch)
        run.total, run.count, run.position = run.total + value * size, run.count + size, i + 1
        bar.step(value)
        if interruption.requested:
            return False
    if not run.position:
        raise ValueError(
            "fit: data has yielded no batch; a generator can be used once only: pass a function, or batches"
        )
    return True


def _size(batch: tuple[Any, ...]) -> int:
    return len(batch[-1]) if np.ndim(batch[-1]) else 1


class _Step:
    """A step of training."""

    def __init__(self, run: Run, loss: Callable[[Any, Any], Any], clip: float | None, use_jit: bool) -> None:
        self.run = run
        model, optimizer, parameters = run.model, run.optimizer, run.model.parameters()

        def move(*batch: Any) -> Any:  # captures no more than it needs: what changes there would be a part of it
            *inputs, targets = batch
            value = loss(model(*inputs), targets)
            optimizer.zero_grad()
            value.backward()
            if clip is not None:
                clip_grad_norm(parameters, clip)
            optimizer.step()
            return value

        self.move = move
        self.compiled = _Compiled(move) if use_jit else None

    def __call__(self, batch: tuple[Any, ...]) -> float:
        if self.compiled is None:
            value = float(self.move(*batch))
        else:
            self.compiled.prepare(batch, self.put_back)
            value = float(self.compiled(*batch))
        if self.run.ema is not None:
            self.run.ema.update()
        return value

    @contextlib.contextmanager
    def put_back(self) -> Iterator[None]:
        """What is done within leaves the state of the training as it was."""
        run = self.run
        model, optimizer = run.model.state_dict(), run.optimizer.state_dict()
        states = [rng.bit_generator.state for rng in run.generators]
        yield
        run.model.load_state_dict(model)
        run.optimizer.load_state_dict(optimizer)
        for rng, state in zip(run.generators, states, strict=True):
            rng.bit_generator.state = state


class _Compiled:
    """A compiled function that is recorded before it counts, so that every result is a program's.

    A training that is resumed records anew, and what is recorded is rounded otherwise.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.program: Any = jit_of(function)
        self.known: set[Any] = set()

    def prepare(self, batch: tuple[Any, ...], put_back: Callable[[], Any] = contextlib.nullcontext) -> None:
        """Run it on a batch of a new kind until a program runs."""
        kind = tuple([(np.shape(x), getattr(x, "dtype", type(x))) for x in batch])
        if kind in self.known:
            return
        self.known.add(kind)
        for _ in range(4):
            hits = self.program.cache_info().hits
            with put_back():
                self.program(*batch)
            if self.program.cache_info().hits > hits:
                return

    def __call__(self, *batch: Any) -> Any:
        return self.program(*batch)


def _evaluator(model: Module, loss: Callable[[Any, Any], Any], metrics: Metrics, use_jit: bool) -> Callable[..., Any]:
    def measure(*batch: Any) -> list[Any]:
        *inputs, targets = batch
        with no_grad():
            outputs = model(*inputs)
            return [loss(outputs, targets), *[metric(outputs, targets) for metric in metrics.values()]]

    names, run = ["loss", *metrics], _Compiled(measure) if use_jit else None

    def evaluated(*batch: Any) -> dict[str, Any]:
        if run is None:
            return dict(zip(names, measure(*batch), strict=True))
        run.prepare(batch)
        return dict(zip(names, run(*batch), strict=True))

    return evaluated


def _means(measure: Callable[..., Any], model: Module, data: Iterable[tuple[Any, ...]]) -> dict[str, float]:
    was_training = {id(part): part.training for part in model.modules()}
    model.eval()
    totals: dict[str, float] = {}
    count = 0
    try:
        for batch in data:
            size = _size(batch)
            for name, x in measure(*batch).items():
                totals[name] = totals.get(name, 0.0) + float(x.data if isinstance(x, Value) else x) * size
            count += size
    finally:
        for part in model.modules():
            part.training = was_training.get(id(part), True)
    if not count:
        raise ValueError("evaluate: data has yielded no batch; pass a tuple of arrays, or batches")
    return {name: total / count for name, total in totals.items()}


def _batches(data: Any, size: int, rng: Any, shuffle: bool = True) -> Any:
    """Batches, of arrays or as they are given; a function is called for each epoch."""
    if isinstance(data, Batches):
        return data
    if isinstance(data, (tuple, list)) and data and all(hasattr(a, "shape") for a in data):
        return batches(*data, size=size, shuffle=shuffle, rng=rng)
    return _Epochs(data) if callable(data) else data


class _Epochs:
    def __init__(self, make: Callable[[], Iterable[Any]]) -> None:
        self.make = make

    def __iter__(self) -> Iterator[Any]:
        return iter(self.make())
