"""A step of training and one of evaluation, compiled or not."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..modes import no_grad
from ..nn.module import Module
from ..optim.clip import clip_grad_norm
from ..value import Value
from .compiled import Compiled
from .data import size_of
from .run import Run

__all__ = ["Evaluator", "Metrics", "Step"]

Metrics = Mapping[str, Callable[[Any, Any], Any]]


class Step:
    """A step of training."""

    def __init__(self, run: Run, loss: Callable[[Any, Any], Any], clip: float | None, use_jit: bool) -> None:
        model, optimizer = run.model, run.optimizer
        moved = {id(p) for p in optimizer.params}
        others = [p for p in model.parameters() if id(p) not in moved]

        def move(*batch: Any) -> Any:  # captures no more than it needs: what changes there would be a part of it
            *inputs, targets = batch
            value = loss(model(*inputs), targets)
            optimizer.zero_grad()
            for p in others:  # frozen ones, whose gradients would add up
                p.zero_grad()
            value.backward()
            if clip is not None:
                clip_grad_norm(optimizer.params, clip)
            optimizer.step()
            return value

        self.ema = run.ema
        self.move = Compiled(move, run) if use_jit else move

    def __call__(self, batch: tuple[Any, ...]) -> float:
        value = float(self.move(*batch))
        if self.ema is not None:
            self.ema.update()
        return value


class Evaluator:
    """The means of a loss and of metrics."""

    def __init__(
        self, model: Module, loss: Callable[[Any, Any], Any], metrics: Metrics | None, run: Run | None = None
    ) -> None:
        """Compiled if a training is given, whose state stays as it is when the program is made."""
        functions = {"loss": loss, **(metrics or {})}

        def measure(*batch: Any) -> list[Any]:
            *inputs, targets = batch
            with no_grad():
                outputs = model(*inputs)
                return [function(outputs, targets) for function in functions.values()]

        self.model, self.names = model, [*functions]
        self.measure = measure if run is None else Compiled(measure, run)

    def __call__(self, data: Iterable[tuple[Any, ...]]) -> dict[str, float]:
        """The means over the rows of `data`, with the model in its state of evaluation."""
        totals = dict.fromkeys(self.names, 0.0)
        count = 0
        with self.model_in_evaluation():
            for batch in data:
                size = size_of(batch)
                for name, x in zip(self.names, self.measure(*batch), strict=True):
                    totals[name] += float(x.data if isinstance(x, Value) else x) * size
                count += size
        if not count:
            raise ValueError("evaluate: data has yielded no batch; pass a tuple of arrays, or batches")
        return {name: total / count for name, total in totals.items()}

    @contextlib.contextmanager
    def model_in_evaluation(self) -> Iterator[None]:
        """Within it; afterwards each part is in the state that it was in."""
        flags = [(part, part.training) for part in self.model.modules()]
        self.model.eval()
        try:
            yield
        finally:
            for part, training in flags:
                part.training = training
