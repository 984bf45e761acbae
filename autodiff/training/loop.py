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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..nn.module import Module
from ..optim.adam import AdamW
from ..optim.ema import EMA
from ..optim.optimizer import Optimizer
from .data import batches_of, size_of
from .files import check_files
from .history import History
from .progress import Progress
from .run import Interruption, Run
from .steps import Evaluator, Metrics, Step

__all__ = ["evaluate", "fit"]

ROWS = 256  # in a batch of evaluation
MEASURED = ("epoch", "loss", "validation loss", "learning rate", "seconds")


def evaluate(
    model: Module,
    data: Any,
    loss: Callable[[Any, Any], Any],
    metrics: Metrics | None = None,
    batch_size: int | None = None,
) -> dict[str, float]:
    """The means of the loss and of the metrics over `data`, with the model in its state of evaluation.

    `data` is a tuple of arrays, the last one the targets, of which `batch_size` rows are taken at a time (256 if it is
    not given), or yields such batches. A metric takes what the model returned and the targets of a batch.

    What a batch gives counts as often as it has rows. That is the mean over all rows, whatever the batches, if the
    function is a mean over the rows; one over something else, as a cross entropy that leaves out labels
    (`ignore_index`) or weighs them, or an F1 score, depends on the batches a little.

    >>> from autodiff import nn
    >>> x = np.zeros((3, 2))
    >>> evaluate(nn.Linear(2, 1, rng=0), (x, np.ones((3, 1))), nn.mse)
    {'loss': 1.0}

    Raises ValueError for data without a batch, a metric named "loss", or a batch_size with data that yield batches.
    """
    _check_names("evaluate", metrics, ("loss",))
    rows = batches_of(data, "evaluate: data", ROWS, shuffle=False, size=batch_size, option="batch_size")
    return Evaluator(model, loss, metrics)(rows)


def fit(
    model: Module,
    data: Any,
    loss: Callable[[Any, Any], Any],
    optimizer: Any = None,
    *,
    epochs: int = 10,
    batch_size: int | None = None,
    validation: Any = None,
    validation_batch_size: int | None = None,
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

    `data` and `validation` are tuples of arrays, the last one the targets, or yield such tuples, as `batches` does. Of
    arrays `batch_size` rows are taken at a time, 32 if it is not given, and `validation_batch_size`, 256, in the
    validation; `rng`, a Generator or a seed, shuffles them. The optimizer is AdamW if none is given, and the gradients
    of its parameters are clipped to the norm `clip`. Parts that are in evaluation inside a model in training, such as
    frozen layers, stay in it; a model in evaluation is trained as a whole. In the end all parts are as they were.

    After each epoch the model is evaluated on `validation`; `metrics` are functions of what it returned and of the
    targets. With `patience` the training stops when the validation loss has not fallen for so many epochs, and the
    model has the weights of the best one, after Ctrl-C too.

    With `ema`, what is evaluated are its averages, and with `patience` the model has those of the best epoch. Without,
    it keeps its own weights: `with ema.applied():` has the averages. They start at the first weights, and follow
    slowly: 1000 steps with a decay of 0.999 still count these for a third.

    `checkpoint` is a file, written after each epoch. If it is there, training goes on from it (with `resume=False` it
    starts anew), to the same bits as if it had never ended, if what is random draws from generators of the model's
    layers and of the data (`rng`). Ctrl-C ends the training after the current step: the file is written, and the
    history so far returned. `log` is a `.csv` or `.jsonl` file, `plot` a figure of the learning curves. `progress`
    shows a bar in a terminal or notebook, if tqdm is installed, or else a line for each epoch.

    Steps are compiled if llvmlite is installed, or as `jit` says. For that a step runs up to five times on the first
    batch of each shape. Only one counts: the model, the optimizer, generators, and what else functions can reach, as
    counters and lists in attributes and closures, is put back after the others. What is outside, as a file or the
    screen, is not, and an attribute that the first step makes once and for all stays.

    >>> from autodiff import nn
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = nn.Sequential(nn.Linear(1, 16, rng=0), nn.Tanh(), nn.Linear(16, 1, rng=1))
    >>> history = fit(model, (x, x**2), nn.mse, epochs=20, progress=False, rng=0)
    >>> history["loss"][-1] < history["loss"][0]
    True

    Raises ValueError for no epochs, data without a batch, patience or metrics without validation, options that have
    nothing to say, a loss that is not finite, or a checkpoint that does not fit; an OSError for a file that cannot be
    written.
    """
    _check(epochs, patience, validation, validation_batch_size, metrics)
    check_files(checkpoint, log, plot)
    optimizer = AdamW(model.parameters()) if optimizer is None else optimizer
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"fit: optimizer is a {type(optimizer).__name__}; one of autodiff.optim with steps of its own is needed"
        )
    optimizer.prepare()
    rows = batches_of(data, "fit: data", 32, size=batch_size, rng=rng, option="batch_size")
    held_out = None
    if validation is not None:
        held_out = batches_of(
            validation, "fit: validation", ROWS, False, size=validation_batch_size, option="validation_batch_size"
        )
    run = Run(model, optimizer, ema, rows, held_out, checkpoint, patience)
    use_jit = importlib.util.find_spec("llvmlite") is not None if jit is None else jit
    step = Step(run, loss, clip, use_jit)
    evaluator = Evaluator(model, loss, metrics, run if use_jit else None)
    if checkpoint is not None and resume and Path(checkpoint).exists():
        run.load()
    with _in_training(model), Interruption() as interruption, Progress(progress, epochs, run) as bar:
        while run.epoch < epochs and not run.stopped and not interruption.requested:
            begin = time.perf_counter()
            if not _epoch(run, step, interruption, bar):
                break
            record = {"epoch": run.epoch + 1, "loss": run.total / max(run.count, 1)}
            if held_out is not None:
                with ema.applied() if ema is not None else contextlib.nullcontext():
                    means = evaluator(held_out)
                record |= {f"validation {name}" if name == "loss" else name: x for name, x in means.items()}
            record["learning rate"] = _rate(optimizer)
            record["seconds"] = round(time.perf_counter() - begin, 3)
            run.end_epoch(record)
            bar.epoch(record)
            if checkpoint is not None:
                run.save()
            if log is not None:
                run.history.write(log)
    run.history.interrupted = interruption.requested
    if interruption.requested and checkpoint is not None:
        run.save()
    if patience is not None:  # not in the checkpoint, whose training goes on with the last weights
        run.take_best()
    if plot is not None and len(run.history):
        run.history.plot(plot)
    return run.history


def _check(epochs: int, patience: Any, validation: Any, validation_batch_size: Any, metrics: Metrics | None) -> None:
    if epochs < 1:
        raise ValueError(f"fit: epochs is {epochs}; it has to be at least 1")
    if patience is not None and patience < 1:
        raise ValueError(f"fit: patience is {patience}; it has to be at least 1, the epochs without a better loss")
    if validation is None:
        if patience is not None:
            raise ValueError("fit: patience needs validation data, whose loss tells when to stop")
        if metrics:
            raise ValueError("fit: metrics need validation data, on which they are measured")
        if validation_batch_size is not None:
            raise ValueError("fit: validation_batch_size needs validation data")
    _check_names("fit", metrics, MEASURED)


def _check_names(function: str, metrics: Metrics | None, taken: tuple[str, ...]) -> None:
    for name in metrics or ():
        if name in taken:
            raise ValueError(
                f"{function}: a metric is named {name!r}, as what is measured anyway; give it another name"
            )


def _rate(optimizer: Optimizer) -> float:
    """The learning rate of the last step."""
    return float(optimizer.lr(optimizer.count - 1) if callable(optimizer.lr) else optimizer.lr)


@contextlib.contextmanager
def _in_training(model: Module) -> Iterator[None]:
    """Within it a model in evaluation is in training; one in training keeps the parts of it that are in evaluation."""
    flags = [(part, part.training) for part in model.modules()]
    everything = not model.training
    for part, training in flags:  # as attributes, which evaluation would add later: programs are for what is there
        part.training = training or everything
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training


def _epoch(run: Run, step: Step, interruption: Interruption, bar: Progress) -> bool:
    """One epoch, or what is left of it after a resumption; whether it came to its end."""
    for i, batch in enumerate(run.batches(), run.position):
        value = step(batch)
        if not math.isfinite(value):
            raise ValueError(
                f"fit: the loss is {value} in epoch {run.epoch + 1}, step {i + 1}; try a smaller learning rate, "
                "clip=1.0, or `with ad.debug_nans():` around fit(..., jit=False)"
            )
        size = size_of(batch)
        run.total, run.count, run.position = run.total + value * size, run.count + size, i + 1
        bar.step(value)
        if interruption.requested:
            return False
    if not run.position:
        raise ValueError(
            "fit: data has yielded no batch; a generator can be used once only: pass a function, or batches"
        )
    return True
