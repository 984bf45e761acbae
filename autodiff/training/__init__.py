"""Training: batches of data, the loop that most trainings are, and what it has measured."""

from .data import Batches, batches
from .history import History
from .loop import evaluate, fit

__all__ = ["Batches", "History", "batches", "evaluate", "fit"]
