"""Layers and losses: `Module` collects parameters, `Linear` and the rest are modules, losses are functions.

>>> model = Sequential(Linear(2, 8, rng=0), Tanh(), Linear(8, 1, rng=1))
>>> [name for name, p in model.named_parameters()]
['0.weight', '0.bias', '2.weight', '2.bias']
"""

from . import init
from .activations import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from .attention import MultiHeadAttention, TransformerBlock, attention
from .convolution import Conv1d, Conv2d, conv
from .layers import Dropout, Embedding, Flatten, Linear, Sequential, dropout
from .losses import bce_with_logits, cross_entropy, huber, kl_div, mae, mse
from .module import Module
from .normalisation import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from .pooling import AvgPool, AvgPool1d, AvgPool2d, MaxPool, MaxPool1d, MaxPool2d, avg_pool, max_pool
from .recurrent import GRU, LSTM, RNN

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "MultiHeadAttention",
    "RMSNorm",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "TransformerBlock",
    "attention",
    "avg_pool",
    "bce_with_logits",
    "conv",
    "cross_entropy",
    "dropout",
    "huber",
    "init",
    "kl_div",
    "mae",
    "max_pool",
    "mse",
]
