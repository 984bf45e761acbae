"""What a training has measured, epoch by epoch: to look at, to write to a file, to draw."""

import csv
import io
import json
import math
import os
from pathlib import Path
from typing import Any

__all__ = ["LOGS", "History", "figure"]

LOGS = (".csv", ".jsonl")


class History:
    """A list of epochs, dicts of numbers: `epoch`, `loss`, `validation loss`, metrics, `learning rate`, `seconds`.

    >>> history = History([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}])
    >>> history["loss"], history.best("loss")
    ([2.0, 1.0], {'epoch': 2, 'loss': 1.0})
    """

    def __init__(self, epochs: list[dict[str, Any]] | None = None) -> None:
        self.epochs = [*epochs] if epochs else []
        self.interrupted = False

    def __getitem__(self, name: str) -> list[Any]:
        """The course of one number; nan where an epoch does not have it. Raises KeyError if none has."""
        if not any(name in epoch for epoch in self.epochs):
            raise KeyError(f"history has no {name!r}; it has {', '.join(self.names())}")
        return [epoch.get(name, math.nan) for epoch in self.epochs]

    def __len__(self) -> int:
        return len(self.epochs)

    def names(self) -> list[str]:
        """What was measured."""
        return [*dict.fromkeys(name for epoch in self.epochs for name in epoch)]

    def best(self, name: str = "loss", largest: bool = False) -> dict[str, Any]:
        """The epoch where that number is smallest, or largest. Raises KeyError if there is none."""
        column = self[name]
        worst = -math.inf if largest else math.inf
        known = [worst if math.isnan(x) else x for x in column]
        return self.epochs[known.index(max(known) if largest else min(known))]

    def write(self, path: str | os.PathLike[str]) -> None:
        """As a table in `.csv`, or as a line of JSON for each epoch in `.jsonl`, where null is nan or infinite.

        Raises ValueError for other names.
        """
        path = Path(path)
        if path.suffix == ".jsonl":
            text = "".join(json.dumps(_known(epoch)) + "\n" for epoch in self.epochs)
        elif path.suffix == ".csv":
            table = io.StringIO()
            writer = csv.DictWriter(table, self.names(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.epochs)
            text = table.getvalue()
        else:
            raise ValueError(f"history: {path} has to end in .csv or .jsonl")
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(text)
        os.replace(temporary, path)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The learning curves, losses left and metrics right, as a matplotlib figure; into a file if `path` is given.

        Raises ImportError without matplotlib.
        """
        losses = [name for name in self.names() if name.endswith("loss")]
        metrics = [name for name in self.names() if name not in (*losses, "epoch", "seconds", "learning rate")]
        picture = figure("history.plot", figsize=(9 if metrics else 5, 3.4), layout="constrained")
        axes = picture.subplots(1, 2 if metrics else 1, squeeze=False)[0]
        for ax, names, title in zip(axes, (losses, metrics), ("loss", "held out"), strict=False):
            for name in names:
                ax.plot(self["epoch"], self[name], label=name, lw=1.6)
            ax.set_xlabel("epoch")
            ax.set_title(title)
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(alpha=0.3)
            ax.legend(frameon=False)
        if path is not None:
            picture.savefig(path, dpi=150)
        return picture

    # -- as a part of a checkpoint

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        return {"epochs": [*self.epochs]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The epochs of another history. Raises ValueError if it is none."""
        epochs = state.get("epochs")
        if not isinstance(epochs, list) or not all(isinstance(epoch, dict) for epoch in epochs):
            raise ValueError("History.load_state_dict: it has no epochs")
        self.epochs = [dict(epoch) for epoch in epochs]

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {x:.4g}" for name, x in (self.epochs[-1] if self.epochs else {}).items())
        return f"<History of {len(self)} epochs{': ' + last if last else ''}>"


def figure(function: str, **options: Any) -> Any:
    """An empty figure of matplotlib's. Raises ImportError without it, naming the function that needs it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f'{function}: needs matplotlib: pip install "autodiff[train]"') from error
    return Figure(**options)


def _known(epoch: dict[str, Any]) -> dict[str, Any]:
    """The numbers that JSON has."""
    return {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in epoch.items()}
