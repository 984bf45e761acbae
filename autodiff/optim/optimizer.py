"""Optimizer: what all optimizers share, and the safety of writing parameters in place.

A subclass says with `_update` what happens to a parameter, in place and element by element:

    class SignDescent(Optimizer):
        def _update(self, t, p, g):
            p -= self.lr * np.sign(g)

`step` calls it on flat blocks that fit into a processor's cache, so that its temporaries cost little
memory and little time: an Adam step in blocks is 3 times as fast as one on whole arrays.

A parameter's array may be in use elsewhere: a graph kept with `retain_graph=True` has saved it for its
backward walk, or the user took `p.data`. Writing into it would silently change their numbers. So `step`
writes in place only if it can see that the parameter alone holds its array; else it binds a new one.
"""

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..box import Inner
from ..errors import OperandError
from ..value import Value

__all__ = ["Optimizer", "is_alone", "nonnegative", "number", "references"]

BLOCK = 32768  # elements: 128 kB of float32


class Optimizer:
    """Base class: the parameters, their learning rate `lr`, and the moving averages that a method keeps.

    `lr` may be assigned at any time. Parameters without a gradient are left alone.

    Raises OperandError for what is not a tracked leaf Value, ValueError if there is none or lr < 0.
    """

    averages = 0  # arrays like the parameter that `_update` receives after p and g, zero at first

    def __init__(self, params: Iterable[Value], lr: float) -> None:
        self.params = _checked(type(self).__name__, params)
        self.lr = nonnegative(type(self).__name__, "lr", lr)
        self.steps = [0] * len(self.params)
        self.state: list[list[Any]] = [[] for _ in self.params]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.params:
            p.zero_grad()

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for i, p in enumerate(self.params):
            g = p.grad
            if g is None:
                continue
            if isinstance(g, Value):  # after create_graph=True
                g = g.data
            alone = is_alone(p)
            data = p.data if alone else np.array(p.data) if isinstance(p.data, np.generic) else p.data.copy("C")
            if not self.state[i]:
                self.state[i] = [np.zeros_like(data) for _ in range(self.averages)]
            self.steps[i] += 1
            arrays = [_flat(data), _flat(g.astype(data.dtype, order="C", copy=False)), *map(_flat, self.state[i])]
            for start in range(0, len(arrays[0]), BLOCK):
                self._update(self.steps[i], *[a[start : start + BLOCK] for a in arrays])
            if not alone:
                p.data = data

    def _update(self, t: int, p: Any, g: Any, *averages: Any) -> None:
        """Change a block `p` of a parameter, and its `averages`, in place; `g` is the gradient, read only.

        `t` counts the steps of this parameter from 1.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method _update(self, t, p, g, *averages)")

    def __repr__(self) -> str:
        hidden = ("params", "state", "steps", "averages")
        options = "".join(f"{name}={x}, " for name, x in vars(self).items() if name not in hidden)
        return f"{type(self).__name__}({options}parameters={len(self.params)})"


def nonnegative(function: str, argument: str, x: Any) -> float:
    """`x` as a float. Raises ValueError if it is negative or nan."""
    number = float(x)
    if not number >= 0:
        raise ValueError(f"{function}: {argument} is {number}; it has to be at least 0")
    return number


def number(x: Any) -> Any:
    """A learning rate as a Python number, so that it does not decide the dtype; one that is recorded is one."""
    return x if isinstance(x, Inner) else float(x)


def _checked(function: str, params: Any) -> list[Value]:
    """The parameters as a list, each once."""
    if isinstance(params, Value):
        raise OperandError(f"{function}: params is a single Value; pass a list: [v]")
    if not isinstance(params, Iterable):
        raise OperandError(f"{function}: params is a {type(params).__name__}; pass Values, such as model.parameters()")
    unique: dict[int, Value] = {}
    for i, p in enumerate(params):
        if not isinstance(p, Value):
            raise OperandError(
                f"{function}: params[{i}] is a {type(p).__name__}; pass Values, such as model.parameters()"
            )
        if not p.requires_grad:
            raise OperandError(f"{function}: params[{i}] is untracked and gets no gradient; make it with Value(...)")
        if not p.is_leaf:
            raise OperandError(
                f"{function}: params[{i}] was computed from other Values; pass those, or make it a variable "
                "of its own with Value(v.data)"
            )
        unique[id(p)] = p
    if not unique:
        raise ValueError(f"{function}: params is empty; a generator can be used once only")
    return list(unique.values())


def _flat(array: Any) -> Any:
    """A one-dimensional view of a contiguous array; complex numbers as their two parts."""
    flat = array.reshape(-1)
    return flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat


def references(p: Value) -> int:
    """How many references there are to the array of `p`, those of this very line included.

    It reads the slot `_array`, because the property `data` is how an array gets out.
    """
    return sys.getrefcount(p._array)


ALONE = 2  # the slot's and the argument's: what `references` says of an array that nobody else holds

# Reference counts tell who holds an array on CPython up to 3.13. From 3.14 on the interpreter borrows
# references, and without the GIL counts are split between threads: there every step binds new arrays.
COUNTED = (
    sys.implementation.name == "cpython"
    and sys.version_info < (3, 14)
    and getattr(sys, "_is_gil_enabled", lambda: True)()
    and references(Value(np.zeros(2))) == ALONE
)


def is_alone(p: Value) -> bool:
    """Whether it is certain that no node, view or user holds the array of `p`, and it can be written."""
    if not COUNTED or type(p._array) is not np.ndarray or references(p) != ALONE:
        return False
    flags = p._array.flags
    return flags.owndata and flags.carray
