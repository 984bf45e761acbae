"""Layers and losses: `Module` collects parameters, `Linear` and the rest are modules, losses are functions.

>>> model = Sequential(Linear(2, 8, rng=0), Tanh(), Linear(8, 1, rng=1))
>>> [name for name, p in model.named_parameters()]
['0.weight', '0.bias', '2.weight', '2.bias']
"""

from .layers import GELU, Linear, ReLU, Sequential, Sigmoid, Tanh
from .losses import cross_entropy, mse
from .module import Module

__all__ = ["GELU", "Linear", "Module", "ReLU", "Sequential", "Sigmoid", "Tanh", "cross_entropy", "mse"]
