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

A module is also a container for transforms: `grad(loss)(model, x)` hands `loss` a copy of the model, and what it
returns is a copy too, with the gradients, plain arrays, in the places of the parameters.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from reprlib import recursive_repr
from typing import Any, NamedTuple, Self

import numpy as np

from ..value import Value
from .replace import PLAIN, Place, Slot, replace

__all__ = ["Module", "Unmatched"]

COUNTER = "num_batches_tracked"  # of PyTorch's BatchNorm, which nothing here needs


class Unmatched(NamedTuple):
    """The names that a model and a state do not have in common."""

    missing: list[str]  # in the state
    unexpected: list[str]


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
        return [part for _, part, _ in _walk(self) if isinstance(part, Module)]

    def named_parameters(self) -> list[tuple[str, Value]]:
        """Names and Values of all parameters: tracked leaves. A shared one is listed once, by its first name.

        Of a module that a transform has made, these are what it has put in the places of the parameters.

        >>> from autodiff.nn import Linear
        >>> [(name, p.shape) for name, p in Linear(3, 2).named_parameters()]
        [('weight', (3, 2)), ('bias', (2,))]
        """
        names, leaves, _ = self._tree_open(result=False)
        return [*zip(names, leaves, strict=True)]

    def parameters(self) -> list[Value]:
        """All parameters, each once, to hand to an optimizer.

        >>> from autodiff.nn import Linear
        >>> sum(p.size for p in Linear(3, 2).parameters())
        8
        """
        return [p for _, p in self.named_parameters()]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for _, p in self._named_leaves():
            p.zero_grad()

    # -- training or evaluation

    def train(self, training: bool = True) -> Self:
        """Set the flag `training` of this module and all inside it; returns the module.

        >>> from autodiff.nn import Linear
        >>> Linear(3, 2).train(False).training
        False

        Raises TypeError for what is no truth value.
        """
        if not isinstance(training, (bool, np.bool_)):
            raise TypeError(f"{type(self).__name__}.train: training is a {type(training).__name__}; pass True or False")
        for module in self.modules():
            module.training = bool(training)
        return self

    def eval(self) -> Self:
        """The same as `train(False)`: layers that behave differently in training, such as dropout, look at it."""
        return self.train(False)

    # -- another dtype

    def astype(self, dtype: Any) -> Self:
        """A copy of the model, as `copy.deepcopy` makes it, whose floats are of this dtype, parameters and averages.

        Make the optimizer of the copy: one of the original goes on to move the original.

        >>> from autodiff.nn import Linear
        >>> Linear(3, 2).astype(np.float32).weight.dtype
        dtype('float32')

        Raises TypeError for a dtype that is not floating, and within a transform of the model.
        """
        name, dtype = type(self).__name__, np.dtype(dtype)
        if dtype.kind != "f":
            raise TypeError(f"{name}.astype: dtype is {dtype}; parameters are floats: pass np.float32 or np.float64")
        if any(slot is not None for _, _, slot in _walk(self)):
            raise TypeError(f"{name}.astype: a transform works on this model; call astype before it")
        new: dict[int, Any] = {}
        for _, v in self._named_leaves():
            if v.dtype.kind == "f":
                new[id(v)] = Value(v.data, dtype=dtype, requires_grad=v.requires_grad, name=v.name)
        return copy.deepcopy(self, new)

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
        for name, v, slot in _walk(self):
            if slot is None and not (isinstance(v, Value) and v.is_leaf):
                continue
            if name in state:
                raise ValueError(f"state_dict: two entries are named {name!r}; rename a dict key or an attribute")
            state[name] = np.array(v.data if isinstance(v, Value) else v)
        return state

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Unmatched:
        """Set every leaf Value to a copy of the array of its name in `state`, cast to its own dtype.

        Either all are set or, if one does not fit, none. With `strict=False` those that `state` does not have stay as
        they are, and what else is in it is left out; the result tells of both. What is shared may be under any of its
        names. The tensors of PyTorch's `state_dict()` are taken too: matrices that its layers keep the other way round,
        such as those of `Linear`, are transposed.

        >>> from autodiff.nn import Linear
        >>> a, b = Linear(3, 2), Linear(3, 2)
        >>> a.load_state_dict(b.state_dict())
        Unmatched(missing=[], unexpected=[])
        >>> a.load_state_dict({"bias": np.ones(2)}, strict=False)
        Unmatched(missing=['weight'], unexpected=[])

        Raises ValueError naming every entry that is missing, unexpected or of the wrong shape or kind; without `strict`
        of the wrong shape or kind only.
        """
        if any(type(x).__module__.partition(".")[0] == "torch" for x in state.values()):
            state = self._from_torch({name: _array_of(x) for name, x in state.items()})
        leaves = self._named_leaves()
        given: dict[int, list[str]] = {id(v): [] for _, v in leaves}  # a shared one may have several names
        unexpected, unequal = [], []
        for name in state:
            names = given.get(id(_at(self, str(name))))
            if names is None:
                unexpected.append(name)
            elif names and not np.array_equal(state[name], state[names[0]]):
                unequal.append(f"{name} is not equal to {names[0]}, and they are one parameter here")
            else:
                names.append(name)
        unmatched = Unmatched([name for name, v in leaves if not given[id(v)]], unexpected)
        wrong = unequal
        if strict:
            wrong = [f"{name} is missing" for name in unmatched.missing] + unequal
            wrong += [f"{name} is unexpected" for name in unexpected]
        arrays: list[tuple[Value, np.ndarray[Any, Any]]] = []
        for name, v in leaves:
            if not given[id(v)]:
                continue
            entry = state[given[id(v)][0]]
            array = np.asarray(entry.data if isinstance(entry, Value) else entry)
            if array.shape != v.shape:
                wrong.append(f"{name} has shape {array.shape} instead of {v.shape}")
            elif array.dtype.kind not in "biufc" or not np.can_cast(array.dtype, v.dtype, "same_kind"):
                wrong.append(f"{name} has dtype {array.dtype}, which does not fit {v.dtype}")
            else:
                arrays.append((v, array.astype(v.dtype)))
        if wrong and self._is_from_torch(state):
            wrong.append("if the state is PyTorch's, pass its tensors, not arrays of them: they tell what to transpose")
        if wrong:
            raise ValueError(f"{type(self).__name__}.load_state_dict: " + "; ".join(wrong))
        for v, array in arrays:
            v.data = array
        return unmatched

    _transposed: tuple[str, ...] = ()  # patterns of the attributes that PyTorch keeps the other way round

    def _from_torch(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """A state of PyTorch's for the same layers: some matrices transposed, and counters left out."""
        return {
            name: np.swapaxes(array, 0, 1) if self._is_turned(name) and np.ndim(array) == 2 else array
            for name, array in state.items()
            if not name.endswith(COUNTER)
        }

    def _is_from_torch(self, state: Mapping[str, Any]) -> bool | None:
        """Whether a state of plain arrays is PyTorch's, as the shapes tell; None if they do not."""
        if any(name.endswith(COUNTER) for name in state):
            return True
        turned = [
            (np.shape(array), np.shape(_at(self, name))) for name, array in state.items() if self._is_turned(name)
        ]
        turned = [(given, own) for given, own in turned if len(own) == 2]
        if any(own[0] != own[1] for _, own in turned):
            return all(given == own[::-1] for given, own in turned)
        return None if turned else False

    def _is_turned(self, name: str) -> bool:
        path, _, attribute = name.rpartition(".")
        owner = _at(self, path) if path else self
        return isinstance(owner, Module) and any(fnmatchcase(attribute, pattern) for pattern in owner._transposed)

    def _named_leaves(self) -> list[tuple[str, Value]]:
        return [(name, part) for name, part, _ in _walk(self) if isinstance(part, Value) and part.is_leaf]

    # -- as a container, see tree.py

    def _tree_open(self, result: bool) -> tuple[list[str], list[Any], Callable[[list[Any]], Any]]:
        """The leaves, the parameters or in the result of a function all that is tracked, and a copy with others."""
        found = [(name, part, slot) for name, part, slot in _walk(self) if _is_leaf(part, slot, result)]

        def rebuild(new: list[Any]) -> Any:
            slots = [Slot(_is_leaf(part, slot, False)) for _, part, slot in found]
            keys = [id(part if slot is None else slot) for _, part, slot in found]
            return replace(self, Module, dict(zip(keys, zip(new, slots, strict=True), strict=True)))

        return [name for name, _, _ in found], [part for _, part, _ in found], rebuild

    @recursive_repr()
    def __repr__(self) -> str:
        return _tree(type(self).__name__, self._children())


def _array_of(x: Any) -> Any:
    """A tensor of PyTorch's as an array, bfloat16 as float32; anything else as it is."""
    if not hasattr(x, "detach"):
        return x
    x = x.detach().cpu()
    return (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()


def _at(thing: Any, path: str) -> Any:
    """What has this dotted name in a module, also one that is not its first; None if there is nothing."""
    for key, part in _parts(thing):
        if path == str(key):
            return part
        if path.startswith(f"{key}."):  # a key of a dict may have dots itself
            found = _at(part, path[len(str(key)) + 1 :])
            if found is not None:
                return found
    return None


def _parts(thing: Any) -> Iterator[tuple[Any, Any]]:
    """Names or keys, and objects directly inside a module or a container; nothing for all else."""
    if isinstance(thing, Module):
        yield from thing._children()
    elif isinstance(thing, dict):
        yield from thing.items()
    elif isinstance(thing, (list, tuple)):
        yield from enumerate(thing)


def _walk(thing: Any) -> list[tuple[str, Any, Slot | None]]:
    """All that can be reached from `thing`, itself first, each object once, with dotted names.

    Where a transform has put something, there is also a slot.
    """
    found: list[tuple[str, Any, Slot | None]] = []
    _gather(thing, "", (), {}, found, set())
    return found


def _gather(thing: Any, name: str, place: Place, slots: dict[Place, Slot], found: list[Any], seen: set[int]) -> None:
    """Add `thing` and what is in it to `found`; `place` is the way to it from the nearest module, with these slots."""
    if isinstance(thing, Module):
        slots, place = vars(thing).get("_slots", {}), ()
    slot = slots.get(place)
    if slot is None and not isinstance(thing, (Module, Value, dict, list, tuple)):
        return
    key = id(thing if slot is None else slot)
    if key in seen:
        return
    seen.add(key)
    found.append((name, thing, slot))
    if slot is None:
        for step, part in _parts(thing):
            if slots or type(part) not in PLAIN:
                _gather(part, f"{name}.{step}" if name else str(step), (*place, step), slots, found, seen)


def _is_leaf(part: Any, slot: Slot | None, result: bool) -> bool:
    if slot is not None:
        return result or slot.is_parameter
    return isinstance(part, Value) and part.requires_grad and (result or part.is_leaf)


def _tree(title: str, parts: Iterator[tuple[Any, Any]]) -> str:
    """The repr of a module or a container: what is inside, line by line."""
    lines = [f"({name}): {_line(part)}" for name, part in parts if _is_shown(part)]
    body = "\n".join(lines).replace("\n", "\n  ")
    return f"{title}(\n  {body}\n)" if lines else f"{title}()"


def _is_shown(part: Any) -> bool:
    return callable(part) or any(isinstance(found, (Module, Value)) for _, found, _ in _walk(part))


def _line(part: Any) -> str:
    if isinstance(part, Value):
        return f"{part.dtype}{list(part.shape)}"
    if isinstance(part, (dict, list, tuple)):
        return _tree(type(part).__name__, _parts(part))
    return repr(part) if isinstance(part, Module) else getattr(part, "__name__", repr(part))
