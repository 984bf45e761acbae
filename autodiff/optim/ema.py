"""EMA: a moving average of parameters, which often does better than the parameters."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .checks import fraction
from .groups import leaves_of

__all__ = ["EMA"]


class EMA:
    """The average `decay * average + (1 - decay) * p` of parameters (Polyak and Juditsky, 1992), from the start.

    >>> from autodiff import Value
    >>> w = Value([1.0])
    >>> ema = EMA([w], decay=0.9)
    >>> w.data = np.array([2.0])
    >>> ema.update()
    >>> with ema.applied():
    ...     print(w.data)
    [1.1]
    >>> w.data
    array([2.])

    Raises ValueError for a decay outside [0, 1), OperandError for what is no tracked leaf.
    """

    def __init__(self, params: Any, decay: float = 0.999) -> None:
        self.params = leaves_of("EMA", params)
        self.decay = fraction("EMA", "decay", decay)
        self.averages = [np.array(p.data) for p in self.params]

    def update(self) -> None:
        """Take in the parameters as they are, after a step."""
        for i, p in enumerate(self.params):
            average = self.averages[i]
            self.averages[i] = average + (1 - self.decay) * (p.data - average)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the parameters are the averages."""
        own = [p.data for p in self.params]
        for p, average in zip(self.params, self.averages, strict=True):
            p.data = np.array(average)
        try:
            yield
        finally:
            for p, data in zip(self.params, own, strict=True):
                p.data = data

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of the averages, by number."""
        return {f"average.{i}": np.array(average) for i, average in enumerate(self.averages)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the one whose `state_dict` it is. Raises ValueError if it does not fit."""
        names = [f"average.{i}" for i in range(len(self.averages))]
        arrays = [np.array(state[name]) for name in names if name in state]
        fits = len(arrays) == len(state) == len(names)
        if not fits or any(a.shape != p.shape for a, p in zip(arrays, self.params, strict=True)):
            raise ValueError("EMA.load_state_dict: it is of other parameters; pass what state_dict() returned")
        self.averages = [a.astype(p.dtype) for a, p in zip(arrays, self.params, strict=True)]
