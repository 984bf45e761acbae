"""The progress of a training: tqdm's bar in a terminal or notebook, elsewhere a line for each epoch."""

import sys
from collections.abc import Sized
from typing import Any

__all__ = ["Progress"]


class Progress:
    """A bar over all steps. What an epoch has measured stands behind it, or on a line of its own without one."""

    def __init__(self, shown: bool, epochs: int, run: Any) -> None:
        self.shown, self.epochs = shown, epochs
        self.bar: Any = None
        self.known: dict[str, str] = {}
        self.steps = len(run.data) if isinstance(run.data, Sized) else 1  # else the bar counts epochs
        self.counts_epochs = not isinstance(run.data, Sized)
        self.run = run

    def __enter__(self) -> "Progress":
        if self.shown and _is_live():
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return self
            unit = "epoch" if self.counts_epochs else "step"
            done = self.run.epoch * self.steps + (0 if self.counts_epochs else self.run.position)
            self.bar = tqdm(total=self.epochs * self.steps, initial=done, unit=unit, dynamic_ncols=True)
        return self

    def step(self, loss: float) -> None:
        """One step has been made."""
        if self.bar is not None:
            self.known["loss"] = f"{loss:.4g}"
            self.bar.set_postfix(self.known, refresh=False)
            if not self.counts_epochs:
                self.bar.update()

    def epoch(self, record: dict[str, Any]) -> None:
        """One epoch has ended."""
        if not self.shown:
            return
        numbers = {name: f"{x:.4g}" for name, x in record.items() if name not in ("epoch", "learning rate", "seconds")}
        if self.bar is None:
            line = ", ".join(f"{name} {x}" for name, x in numbers.items())
            print(f"epoch {record['epoch']}/{self.epochs}: {line}, {record['seconds']:.1f} s", file=sys.stderr)
            return
        self.known |= numbers
        self.bar.set_description(f"epoch {record['epoch']}/{self.epochs}")
        self.bar.set_postfix(self.known, refresh=False)
        if self.counts_epochs:
            self.bar.update()

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


def _is_live() -> bool:
    """Whether what is written can be written over: not in a file, where a bar would be thousands of lines."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules
