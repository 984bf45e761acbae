"""Recurrent layers: (N, length, features) to (N, length, hidden), one step after the other.

Weights have PyTorch's names and order of gates, and like those of `Linear` the transposed shape:
`weight_ih_l0` is (input_size, gates * hidden_size).
"""

from typing import Any

import numpy as np

from ..rules.activations import sigmoid
from ..value import Value
from .init import Seed, glorot_uniform, orthogonal
from .inputs import real_operand
from .layers import dropout
from .module import Module
from .options import call_of, probability, sizes

__all__ = ["GRU", "LSTM", "RNN"]


class _Recurrent(Module):
    """What the three share. A subclass says how many gates there are, and what a step does."""

    gates = 1
    states = 1
    _transposed = ("weight_*",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        *,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = np.float64,
        rng: Seed = None,
    ) -> None:
        name = type(self).__name__
        self.input_size, self.hidden_size, self.num_layers = sizes(
            name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers
        )
        self.dropout, self.bidirectional = probability(name, dropout, "dropout"), bool(bidirectional)
        self.rng = rng = np.random.default_rng(rng)
        width = self.gates * self.hidden_size
        for layer in range(self.num_layers):
            inputs = self.input_size if not layer else self.hidden_size * len(self._directions())
            for direction in self._directions():
                suffix = f"l{layer}{direction}"
                parts = [orthogonal((self.hidden_size, self.hidden_size), rng, dtype) for _ in range(self.gates)]
                setattr(self, f"weight_ih_{suffix}", Value(glorot_uniform((inputs, width), rng, dtype)))
                setattr(self, f"weight_hh_{suffix}", Value(np.concatenate(parts, axis=1)))
                setattr(self, f"bias_ih_{suffix}", Value(self._first_bias(dtype)) if bias else None)
                setattr(self, f"bias_hh_{suffix}", Value(np.zeros(width, dtype)) if bias else None)

    def _first_bias(self, dtype: Any) -> Any:
        return np.zeros(self.gates * self.hidden_size, dtype)

    def _directions(self) -> tuple[str, ...]:
        """What the names of their parameters end with."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def _step(self, x: Any, states: tuple[Any, ...], weight: Any, bias: Any) -> tuple[Any, ...]:
        """The next states; `x` is this step's input times its weights."""
        raise NotImplementedError

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        """The last layer's outputs (N, length, hidden), of both directions side by side, and the final state.

        A state has shape (layers * directions, N, hidden), and is zeros if it is not given; that of an LSTM is a pair.
        """
        x = real_operand(self, x)
        if x.ndim != 3 or x.shape[-1] != self.input_size or not x.shape[1]:
            raise ValueError(f"{self!r}: input has shape {x.shape}; it has to be (N, length, {self.input_size})")
        given = self._given(state, x)
        final: list[tuple[Any, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.training and self.dropout:
                x = dropout(x, self.dropout, self.rng)
            outputs = []
            for direction in self._directions():
                states = tuple([s[len(final)] for s in given])
                sequence, states = self._run(x, states, f"l{layer}{direction}")
                outputs.append(sequence)
                final.append(states)
            x = np.concatenate(outputs, axis=-1) if self.bidirectional else outputs[0]
        stacked = tuple([np.stack(parts) for parts in zip(*final, strict=True)])
        return x, stacked if self.states > 1 else stacked[0]

    def _run(self, x: Any, states: tuple[Any, ...], suffix: str) -> tuple[Any, tuple[Any, ...]]:
        """One layer in one direction."""
        weight, bias = getattr(self, f"weight_hh_{suffix}"), getattr(self, f"bias_hh_{suffix}")
        inputs = x @ getattr(self, f"weight_ih_{suffix}")
        first = getattr(self, f"bias_ih_{suffix}")
        inputs = inputs if first is None else inputs + first
        steps = range(x.shape[1])
        outputs: list[Any] = [None] * len(steps)
        for t in reversed(steps) if suffix.endswith("_reverse") else steps:
            states = self._step(inputs[:, t], states, weight, bias)
            outputs[t] = states[0]
        return np.stack(outputs, axis=1), states

    def _given(self, state: Any, x: Any) -> tuple[Any, ...]:
        shape = (self.num_layers * (1 + self.bidirectional), x.shape[0], self.hidden_size)
        if state is None:
            return (np.zeros(shape, self.weight_hh_l0.dtype),) * self.states  # type: ignore[attr-defined]
        states = tuple([real_operand(self, s, "state") for s in (state if self.states > 1 else (state,))])
        if len(states) != self.states or any(s.shape != shape for s in states):
            raise ValueError(
                f"{self!r}: the state has shape {', '.join(str(s.shape) for s in states)}; it has to be "
                f"{' and '.join([str(shape)] * self.states)}"
            )
        return states

    def __repr__(self) -> str:
        return call_of(
            self,
            self.input_size,
            self.hidden_size,
            num_layers=(self.num_layers, 1),
            bias=(self.bias_ih_l0 is not None, True),  # type: ignore[attr-defined]
            dropout=(self.dropout, 0.0),
            bidirectional=(self.bidirectional, False),
        )


class RNN(_Recurrent):
    """`h = tanh(x @ weight_ih + bias_ih + h @ weight_hh + bias_hh)` (Elman, 1990).

    Weights of the input start as Glorot's, recurrent ones orthogonal. `dropout` is between layers, in training.

    >>> outputs, state = RNN(3, 4, rng=0)(np.zeros((2, 5, 3)))
    >>> outputs.shape, state.shape
    ((2, 5, 4), (1, 2, 4))

    Raises ValueError for sizes below 1, and for inputs or states of other shapes.
    """

    def _step(self, x: Any, states: tuple[Any, ...], weight: Any, bias: Any) -> tuple[Any, ...]:
        x = x + states[0] @ weight
        return (np.tanh(x if bias is None else x + bias),)


class GRU(_Recurrent):
    """The gated recurrent unit (Cho et al., arXiv:1406.1078), as PyTorch has it: reset, update, and new state.

    Weights of the input start as Glorot's, recurrent ones orthogonal. `dropout` is between layers, in training.

    >>> outputs, state = GRU(3, 4, num_layers=2, rng=0)(np.zeros((2, 5, 3)))
    >>> outputs.shape, state.shape
    ((2, 5, 4), (2, 2, 4))

    Raises ValueError for sizes below 1, and for inputs or states of other shapes.
    """

    gates = 3

    def _step(self, x: Any, states: tuple[Any, ...], weight: Any, bias: Any) -> tuple[Any, ...]:
        n, h = self.hidden_size, states[0]
        y = h @ weight if bias is None else h @ weight + bias
        gates = sigmoid(x[:, : 2 * n] + y[:, : 2 * n])
        reset, update = gates[:, :n], gates[:, n:]
        new = np.tanh(x[:, 2 * n :] + reset * y[:, 2 * n :])
        return (new + update * (h - new),)


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000): gates in, forget, cell, out.

    Weights of the input start as Glorot's, recurrent ones orthogonal, the forget gate's bias at 1 (Jozefowicz et al.,
    ICML 2015). `dropout` is between layers, in training. The state is a pair, h and c.

    >>> outputs, (h, c) = LSTM(3, 4, bidirectional=True, rng=0)(np.zeros((2, 5, 3)))
    >>> outputs.shape, h.shape, c.shape
    ((2, 5, 8), (2, 2, 4), (2, 2, 4))

    Raises ValueError for sizes below 1, and for inputs or states of other shapes.
    """

    gates = 4
    states = 2

    def _first_bias(self, dtype: Any) -> Any:
        bias = super()._first_bias(dtype)
        bias[self.hidden_size : 2 * self.hidden_size] = 1
        return bias

    def _step(self, x: Any, states: tuple[Any, ...], weight: Any, bias: Any) -> tuple[Any, ...]:
        n, (h, c) = self.hidden_size, states
        x = x + h @ weight
        x = x if bias is None else x + bias
        gates = sigmoid(x)
        c = gates[:, n : 2 * n] * c + gates[:, :n] * np.tanh(x[:, 2 * n : 3 * n])
        return gates[:, 3 * n :] * np.tanh(c), c
