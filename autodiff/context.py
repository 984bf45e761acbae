"""What holds for the current thread or task only, apart from whether operations are recorded (tape.RECORDING)."""

from contextvars import ContextVar
from typing import Any

__all__ = ["CHECKS", "FILLED"]

CHECKS: ContextVar[Any] = ContextVar("autodiff_checks", default=None)  # what debug_nans does with each new node
FILLED: ContextVar[Any] = ContextVar("autodiff_filled", default=None)  # what f of a transform has filled
