"""What holds for the current thread or task only, apart from whether operations are recorded (tape.RECORDING)."""

from contextvars import ContextVar
from typing import Any

__all__ = ["ALL", "CHECKS", "FILLED", "LEVELS"]

CHECKS: ContextVar[Any] = ContextVar("autodiff_checks", default=None)  # what debug_nans does with each new node


class _All:
    """Holds everything."""

    def __contains__(self, item: object) -> bool:
        return True


ALL: Any = _All()
LEVELS: ContextVar[Any] = ContextVar("autodiff_levels", default=())  # of the vmaps that are running, see batched
FILLED: ContextVar[Any] = ContextVar("autodiff_filled", default=None)  # what f of a transform has filled
