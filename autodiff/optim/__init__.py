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
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
