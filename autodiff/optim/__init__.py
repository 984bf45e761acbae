"""Optimizers: `step()` moves parameters along their gradients.

>>> from autodiff import Value
>>> w = Value(5.0)
>>> optimizer = SGD([w], lr=0.1)
>>> for _ in range(100):
...     optimizer.zero_grad()
...     ((w - 2.0) ** 2).backward()
...     optimizer.step()
>>> round(w.item(), 6)
2.0
"""

from .adam import Adam, AdamW
from .adaptive import Adagrad, Lion, RMSprop
from .clip import clip_grad_norm, clip_grad_value
from .ema import EMA
from .lbfgs import LBFGS
from .optimizer import Optimizer
from .schedules import constant, cosine, exponential, linear, one_cycle, piecewise
from .sgd import SGD

__all__ = [
    "EMA",
    "LBFGS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm",
    "clip_grad_value",
    "constant",
    "cosine",
    "exponential",
    "linear",
    "one_cycle",
    "piecewise",
]
