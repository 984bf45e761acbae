"""The state of a training, which checkpoints keep, and Ctrl-C, which ends one."""

import contextlib
import math
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from ..nn.module import Module
from ..optim.ema import EMA
from ..saving import load, save
from .data import Batches
from .history import History

__all__ = ["Interruption", "Run", "generators_of"]

COUNTERS = ("epoch", "position", "count", "waited")


class Run:
    """All that changes while a model is trained, and its checkpoints.

    `epoch` is how many epochs have ended, `position` how many steps of the next one have been made.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Any,
        ema: EMA | None,
        data: Any,
        held_out: Any = None,
        checkpoint: Any = None,
        patience: int | None = None,
    ) -> None:
        self.model, self.optimizer, self.ema, self.data, self.checkpoint = model, optimizer, ema, data, checkpoint
        self.patience = patience
        self.history = History()
        self.epoch = self.position = self.count = self.waited = 0
        self.total = 0.0
        self.best: float | None = None
        self.best_state: dict[str, Any] = {}
        self.rng = _generator_of(data)
        found = [*generators_of(model), self.rng, _generator_of(held_out)]  # some may be one
        self.generators = [*{id(rng.bit_generator): rng for rng in found if rng is not None}.values()]
        self.order: Any = None  # the state of the data's generator when the epoch began

    @property
    def stopped(self) -> bool:
        """Whether patience has come to its end."""
        return self.patience is not None and self.waited >= self.patience

    def batches(self) -> Iterator[Any]:
        """What is left of an epoch. After an interruption the batches before it are made again, and left out."""
        now = self._states()
        if self.rng is not None:
            if self.order is not None:
                self.rng.bit_generator.state = self.order
            self.order = self.rng.bit_generator.state
        found = iter(self.data)
        for _ in range(self.position):
            next(found, None)
        if self.position:
            self._set_states(now)
        return found

    def end_epoch(self, record: dict[str, Any]) -> None:
        """Note what an epoch has measured."""
        self.history.epochs.append(record)
        self.epoch, self.position, self.count, self.total, self.order = self.epoch + 1, 0, 0, 0.0, None
        if self.patience is None:
            return
        loss = record["validation loss"]
        if loss < (math.inf if self.best is None else self.best):
            with self.ema.applied() if self.ema is not None else contextlib.nullcontext():
                self.best, self.waited, self.best_state = loss, 0, self.model.state_dict()
        else:
            self.waited += 1

    def take_best(self) -> None:
        """Give the model the weights of the best epoch."""
        if self.best_state:
            self.model.load_state_dict(self.best_state)

    # -- going back by a step

    def changing(self) -> tuple[Any, ...]:
        """What steps change, for `put_back`."""
        return self.model.state_dict(), self.optimizer.state_dict(), self._states()

    def put_back(self, before: tuple[Any, ...]) -> None:
        """Make model, optimizer and generators what they were."""
        model, optimizer, states = before
        self.model.load_state_dict(model)
        self.optimizer.load_state_dict(optimizer)
        self._set_states(states)

    def _states(self) -> list[Any]:
        return [rng.bit_generator.state for rng in self.generators]

    def _set_states(self, states: list[Any]) -> None:
        for rng, state in zip(self.generators, states, strict=True):
            rng.bit_generator.state = state

    # -- checkpoints

    def parts(self) -> dict[str, Any]:
        """What a checkpoint has."""
        parts = {"model": self.model, "optimizer": self.optimizer, "history": self.history, "progress": self}
        if self.ema is not None:
            parts["ema"] = self.ema
        return parts | {f"generator {i}": rng for i, rng in enumerate(self.generators)}

    def save(self) -> None:
        """Write the checkpoint."""
        save(self.checkpoint, **self.parts())

    def load(self) -> None:
        """Go on from the checkpoint. Raises ValueError if it does not fit; then nothing has changed."""
        try:
            load(self.checkpoint, **self.parts())
        except ValueError as error:
            raise ValueError(f"fit: {error}; pass resume=False, or another checkpoint=, to start anew") from error

    def state_dict(self) -> dict[str, Any]:
        """How far it has come; the parts have states of their own."""
        counters = {name: getattr(self, name) for name in COUNTERS}
        return counters | {
            "total": self.total, "best": self.best, "best_state": self.best_state, "order": self.order
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there. Raises ValueError for what is none: a file may be from anywhere."""
        counters = {name: state.get(name) for name in COUNTERS}
        wrong = [name for name, x in counters.items() if type(x) is not int or x < 0]
        wrong += [] if type(state.get("total")) is float else ["total"]
        wrong += [] if isinstance(state.get("best"), float | None) else ["best"]
        best, order = state.get("best_state"), state.get("order")
        shapes = {name: x.shape for name, x in self.model.state_dict().items()}
        if not isinstance(best, dict) or (best and {name: np.shape(x) for name, x in best.items()} != shapes):
            wrong.append("best_state")
        if order is not None and not (isinstance(order, dict) and _fits(order, self.rng)):
            wrong.append("order")
        if wrong:
            raise ValueError(f"{', '.join(wrong)} of it cannot be those of this training")
        vars(self).update(counters)
        self.total, self.best, self.best_state, self.order = state["total"], state["best"], state["best_state"], order


def _fits(state: dict[str, Any], rng: np.random.Generator | None) -> bool:
    """Whether it is a state of such a generator; without one it is not used."""
    try:
        if rng is not None:
            type(rng.bit_generator)().state = state
    except (TypeError, ValueError, KeyError):
        return False
    return True


def _generator_of(data: Any) -> np.random.Generator | None:
    """What it draws from, if it draws."""
    if isinstance(data, Batches) and not data.shuffle and data.transform is None:
        return None
    rng = getattr(data, "rng", None)
    return rng if isinstance(rng, np.random.Generator) else None


def generators_of(model: Module) -> list[np.random.Generator]:
    """The random generators in a model's attributes, lists and dicts, each once."""
    found: dict[int, np.random.Generator] = {}

    def look(x: Any) -> None:
        if isinstance(x, np.random.Generator):
            found[id(x)] = x
        elif isinstance(x, (list, tuple, dict)):
            for item in x.values() if isinstance(x, dict) else x:
                look(item)

    for part in model.modules():
        for attribute in vars(part).values():
            look(attribute)
    return [*found.values()]


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
