"""The state of a training, which checkpoints keep, and Ctrl-C, which ends one."""

import contextlib
import math
import signal
import threading
from typing import Any, Self

import numpy as np

from ..nn.module import Module
from ..optim.ema import EMA
from ..saving import load, save
from .history import History

__all__ = ["Interruption", "Run", "generators_of"]


class Run:
    """All that changes while a model is trained, and its checkpoints."""

    def __init__(self, model: Module, optimizer: Any, ema: EMA | None, data: Any, checkpoint: Any) -> None:
        self.model, self.optimizer, self.ema, self.data, self.checkpoint = model, optimizer, ema, data, checkpoint
        self.history = History()
        self.epoch = self.position = self.count = 0
        self.total = 0.0
        self.best: Any = math.inf
        self.waited, self.stopped = 0, False
        self.best_state: dict[str, Any] = {}
        self.generators = generators_of(model)
        self.order: Any = None  # the state of the data's generator when the epoch began

    def begin_epoch(self) -> None:
        rng = getattr(self.data, "rng", None)
        if rng is None:
            return
        if self.position and self.order is not None:
            rng.bit_generator.state = self.order
        self.order = rng.bit_generator.state

    def end_epoch(self, record: dict[str, Any], patience: int | None) -> None:
        self.history.epochs.append(record)
        self.epoch, self.position, self.count, self.total, self.order = self.epoch + 1, 0, 0, 0.0, None
        if patience is None:
            return
        loss = record["validation loss"]
        if loss < self.best:
            with self.ema.applied() if self.ema is not None else contextlib.nullcontext():
                self.best, self.waited, self.best_state = loss, 0, self.model.state_dict()
        else:
            self.waited += 1
            self.stopped = self.waited >= patience

    def take_best(self) -> None:
        if self.best_state:
            self.model.load_state_dict(self.best_state)

    def parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer, "history": self.history}
        if self.ema is not None:
            parts["ema"] = self.ema
        return parts | {f"generator {i}": rng for i, rng in enumerate(self.generators)}

    def save(self) -> None:
        progress = {name: getattr(self, name) for name in ("epoch", "position", "count", "total", "waited", "stopped")}
        progress["best"] = None if math.isinf(self.best) else self.best
        rng = getattr(self.data, "rng", None)
        order: Any = None
        if rng is not None:
            order = np.random.Generator(type(rng.bit_generator)())
            order.bit_generator.state = rng.bit_generator.state if self.order is None else self.order
        save(self.checkpoint, progress=progress, order=order, best_state=self.best_state, **self.parts())

    def load(self) -> None:
        rest = load(self.checkpoint, **self.parts())
        if not {"progress", "order", "best_state"} <= rest.keys():
            raise ValueError(f"fit: {self.checkpoint} is no checkpoint of fit; pass resume=False, or another name")
        vars(self).update(rest["progress"])
        self.best = math.inf if self.best is None else self.best
        self.best_state = rest["best_state"]
        rng = getattr(self.data, "rng", None)
        if rng is not None and rest["order"] is not None:
            self.order = rest["order"].bit_generator.state
            rng.bit_generator.state = self.order


def generators_of(model: Module) -> list[np.random.Generator]:
    """The random generators of a model's layers, each once."""
    found = [x for part in model.modules() for x in vars(part).values() if isinstance(x, np.random.Generator)]
    return [*{id(rng): rng for rng in found}.values()]


class Interruption:
    """Turns the first Ctrl-C into a request to stop; a second one is raised. Only the main thread hears of any."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Self:
        self.is_main = threading.current_thread() is threading.main_thread()
        if self.is_main:
            self.before = signal.signal(signal.SIGINT, self.handle)
        return self

    def handle(self, number: int, frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *_: object) -> None:
        if self.is_main:
            signal.signal(signal.SIGINT, self.before)
