"""Module: a model is a plain object, and its parameters are the Values found in its attributes.

    class Residual(Module):
        def __init__(self, width):
            self.inner = [Linear(width, width), Linear(width, width)]
            self.scale = Value(0.1)

        def forward(self, x):
            return x + self.scale * self.inner[1](self.inner[0](x).relu())

Nothing has to be registered and no `super().__init__()` is needed: attributes are looked at when they are
asked for, through lists, tuples, dicts and further modules. The names tell the way: `inner.0.weight`.
Values in other containers are not found.
"""

from collections.abc import Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, Self

import numpy as np

from ..value import Value

__all__ = ["Module"]


class Module:
    """Base class of everything with parameters: define `forward`, then call the module.

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Value(2.0)
    ...
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()(3.0)
    Value(6.0, dtype=float64, from=multiply)
    """

    training: bool = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes. Raises NotImplementedError until a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(self, ...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`module(x)` is `module.forward(x)`."""
        return self.forward(*args, **kwargs)

    # -- what is inside

    def _children(self) -> Iterator[tuple[str, Any]]:
        """Names and attributes to search, in the order in which they were first assigned."""
        yield from vars(self).items()

    def modules(self) -> "list[Module]":
        """This module and all modules inside it, each once, the outer ones first.

        >>> from autodiff.nn import Sequential, Tanh
        >>> [type(m).__name__ for m in Sequential(Tanh(), Sequential(Tanh())).modules()]
        ['Sequential', 'Tanh', 'Sequential', 'Tanh']
        """
        return [part for _, part in _walk(self, "", set()) if isinstance(part, Module)]

    def named_parameters(self) -> list[tuple[str, Value]]:
        """Names and Values of all parameters: tracked leaves. A shared one is listed once, by its first name.

        >>> from autodiff.nn import Linear
        >>> [(name, p.shape) for name, p in Linear(3, 2).named_parameters()]
        [('weight', (3, 2)), ('bias', (2,))]
        """
        return [(name, v) for name, v in self._named_leaves() if v.requires_grad]

    def parameters(self) -> list[Value]:
        """All parameters, each once, to hand to an optimizer.

        >>> from autodiff.nn import Linear
        >>> sum(p.size for p in Linear(3, 2).parameters())
        8
        """
        return [p for _, p in self.named_parameters()]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.zero_grad()

    # -- training or evaluation

    def train(self, training: bool = True) -> Self:
        """Set the flag `training` of this module and all inside it; returns the module.

        >>> from autodiff.nn import Linear
        >>> Linear(3, 2).train(False).training
        False
        """
        for module in self.modules():
            module.training = training
        return self

    def eval(self) -> Self:
        """The same as `train(False)`: layers that behave differently in training, such as dropout, look at it."""
        return self.train(False)

    # -- saving and loading

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of the arrays of all leaf Values by name, parameters and untracked ones alike.

        `np.savez("model.npz", **model.state_dict())` saves a model,
        `model.load_state_dict(np.load("model.npz"))` loads it again.

        >>> from autodiff.nn import Linear
        >>> Linear(1, 2, rng=0).state_dict()["bias"]
        array([0., 0.])

        Raises ValueError if two entries have the same name.
        """
        state: dict[str, np.ndarray[Any, Any]] = {}
        for name, v in self._named_leaves():
            if name in state:
                raise ValueError(f"state_dict: two entries are named {name!r}; rename a dict key or an attribute")
            state[name] = np.array(v.data)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set every leaf Value to a copy of the array of its name in `state`, cast to its own dtype.

        Either all are set or, if one does not fit, none.

        >>> from autodiff.nn import Linear
        >>> a, b = Linear(3, 2), Linear(3, 2)
        >>> a.load_state_dict(b.state_dict())

        Raises ValueError naming every entry that is missing, unexpected or of the wrong shape or kind.
        """
        leaves = self._named_leaves()
        names = {name for name, _ in leaves}
        wrong = [f"{name} is missing" for name, _ in leaves if name not in state]
        wrong += [f"{name} is unexpected" for name in state if name not in names]
        arrays: list[tuple[Value, np.ndarray[Any, Any]]] = []
        for name, v in leaves:
            if name not in state:
                continue
            entry = state[name]
            array = np.asarray(entry.data if isinstance(entry, Value) else entry)
            if array.shape != v.shape:
                wrong.append(f"{name} has shape {array.shape} instead of {v.shape}")
            elif array.dtype.kind not in "biufc" or not np.can_cast(array.dtype, v.dtype, "same_kind"):
                wrong.append(f"{name} has dtype {array.dtype}, which does not fit {v.dtype}")
            else:
                arrays.append((v, array.astype(v.dtype)))
        if wrong:
            raise ValueError(f"{type(self).__name__}.load_state_dict: " + "; ".join(wrong))
        for v, array in arrays:
            v.data = array

    def _named_leaves(self) -> list[tuple[str, Value]]:
        found = _walk(self, "", set())
        return [(name, part) for name, part in found if isinstance(part, Value) and part.is_leaf]

    @recursive_repr()
    def __repr__(self) -> str:
        return _tree(type(self).__name__, self._children())


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """Names and objects directly inside a module or a container; nothing for all else."""
    if isinstance(thing, Module):
        yield from thing._children()
    elif isinstance(thing, dict):
        yield from ((str(key), part) for key, part in thing.items())
    elif isinstance(thing, (list, tuple)):
        yield from ((str(i), part) for i, part in enumerate(thing))


def _walk(thing: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """All that can be reached from `thing`, itself first, each object once, with dotted names."""
    if id(thing) in seen or not isinstance(thing, (Module, Value, dict, list, tuple)):
        return
    seen.add(id(thing))
    yield name, thing
    for key, part in _parts(thing):
        yield from _walk(part, f"{name}.{key}" if name else key, seen)


def _tree(title: str, parts: Iterator[tuple[str, Any]]) -> str:
    """The repr of a module or a container: what is inside, line by line."""
    lines = [f"({name}): {_line(part)}" for name, part in parts if _is_shown(part)]
    body = "\n".join(lines).replace("\n", "\n  ")
    return f"{title}(\n  {body}\n)" if lines else f"{title}()"


def _is_shown(part: Any) -> bool:
    return callable(part) or any(isinstance(found, (Module, Value)) for _, found in _walk(part, "", set()))


def _line(part: Any) -> str:
    if isinstance(part, Value):
        return f"{part.dtype}{list(part.shape)}"
    if isinstance(part, (dict, list, tuple)):
        return _tree(type(part).__name__, _parts(part))
    return repr(part) if isinstance(part, Module) else getattr(part, "__name__", repr(part))
