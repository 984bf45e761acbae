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

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from ..box import Inner
from ..value import Value
from .checks import Check, learning_rate
from .groups import Group, Params, array_of, grouped

__all__ = ["Optimizer", "Rate", "is_alone", "references"]

Rate = float | Callable[[Any], Any]

BLOCK = 32768  # elements: 128 kB of float32


class Optimizer:
    """Base class: the parameters, their learning rate `lr`, and the moving averages that a method keeps.

    `params` are Values, or groups of them with options of their own: `[{"params": weights, "weight_decay": 0.1},
    {"params": biases}]`. `lr` is a number, or a schedule: a function of how many steps there have been. It may be
    assigned at any time, and so may other options, which a subclass passes here to be kept, after its `checks` of them.
    Parameters without a gradient are left alone.

    Raises OperandError for what is not a tracked leaf Value, ValueError if there is none or lr < 0, TypeError for an
    option of a group that the optimizer does not have.
    """

    averages = 0  # arrays like the parameter that `_update` receives after p and g, zero at first
    checks: ClassVar[Mapping[str, Check]] = {}  # of the options that a subclass adds

    def __init__(self, params: Params, lr: Rate, **options: Any) -> None:
        name = type(self).__name__
        names = [*inspect.signature(type(self)).parameters][1:]
        self.params, self.groups = grouped(name, params, names)
        self.lr: Any
        vars(self).update(self._checked(name, {"lr": lr, **options}))
        for i, group in enumerate(self.groups):
            group.options.update(self._checked(f"{name}: group {i}", group.options))
        self.count = 0  # steps so far, for schedules
        self.steps = [0] * len(self.params)
        self.state: list[list[Any]] = [[] for _ in self.params]

    def _checked(self, owner: str, options: Mapping[str, Any]) -> dict[str, Any]:
        checks = {"lr": learning_rate, **self.checks}
        return {name: checks[name](owner, name, x) if name in checks else x for name, x in options.items()}

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.params:
            p.zero_grad()

    @property
    def rate(self) -> Any:
        """The learning rate of the next step, a schedule's too. In `_update`, `lr` is a number itself."""
        return self.lr(self.count) if callable(self.lr) else self.lr

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.groups:
            with self._having(group.options), self._having({"lr": _number(self.rate)}):
                for i in group.members:
                    self._move(i)
        self.count += 1

    def prepare(self) -> None:
        """Make all moving averages, which else are made when a parameter first has a gradient."""
        for group in self.groups:
            with self._having(group.options):
                for i in group.members:
                    self._averages(i)

    @contextlib.contextmanager
    def _having(self, options: Mapping[str, Any]) -> Iterator[None]:
        """Within it these are the options, such as those of a group."""
        usual = {name: getattr(self, name) for name in options}
        vars(self).update(options)
        try:
            yield
        finally:
            vars(self).update(usual)

    def _averages(self, i: int) -> list[Any]:
        while len(self.state[i]) < self.averages:
            self.state[i].append(np.zeros_like(self.params[i].data, order="C"))
        return self.state[i]

    def _move(self, i: int) -> None:
        p = self.params[i]
        if p.grad is None:
            return
        g = array_of(p.grad)
        alone = is_alone(p)
        data = p.data if alone else np.array(p.data) if isinstance(p.data, np.generic) else p.data.copy("C")
        averages = self._averages(i)
        if isinstance(
            data, Inner
        ):  # recorded: a program makes new averages, as that is less work than to copy them back
            averages[:] = [a.copy() for a in averages]
        self.steps[i] += 1
        arrays = [_flat(data), _flat(g.astype(data.dtype, order="C", copy=False)), *map(_flat, averages)]
        size = BLOCK if type(data) is np.ndarray else max(len(arrays[0]), 1)  # a program goes from element to element
        for start in range(0, len(arrays[0]), size):
            self._update(self.steps[i], *[a[start : start + size] for a in arrays])
        if not alone:
            p.data = data

    def _update(self, t: int, p: Any, g: Any, *averages: Any) -> None:
        """Change a block `p` of a parameter, and its `averages`, in place; `g` is the gradient, read only.

        `t` counts the steps of this parameter from 1.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method _update(self, t, p, g, *averages)")

    # -- saving and loading

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """All that `step` needs besides the parameters, by name: counters, and copies of the moving averages.

        Options, such as the learning rate, are not among them: make the optimizer as it was made.

        >>> from autodiff.optim import Adam
        >>> sorted(Adam([Value(1.0)]).state_dict())
        ['count', 'kind', 'steps']
        """
        kind = np.frombuffer(self._kind().encode(), np.uint8).copy()  # as numbers, which any file can have
        state = {"count": np.array(self.count), "steps": np.array(self.steps), "kind": kind}
        for i, arrays in enumerate(self.state):
            state.update({f"state.{i}.{k}": np.array(array) for k, array in enumerate(arrays)})
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the optimizer whose `state_dict` it is: with the same gradients, to the same bits.

        >>> from autodiff.optim import Adam
        >>> Adam([Value(1.0)]).load_state_dict(Adam([Value(2.0)]).state_dict())

        Raises ValueError naming what is missing, unexpected, or of another shape, and for the state of another kind of
        optimizer; then nothing has changed.
        """
        name = f"{type(self).__name__}.load_state_dict"
        missing = [key for key in ("count", "steps") if key not in state]
        if missing:
            raise ValueError(f"{name}: {' and '.join(missing)} missing; pass what state_dict() returned")
        count, steps = _counts(name, "count", state["count"]), _counts(name, "steps", state["steps"])
        if count.shape:
            raise ValueError(f"{name}: count has shape {count.shape}; it is one number")
        if steps.shape != (len(self.params),):
            raise ValueError(f"{name}: it is for {steps.size} parameters, and this optimizer has {len(self.params)}")
        kind = np.asarray(state.get("kind", ()), np.uint8).tobytes().decode(errors="replace")
        averages: list[list[Any]] = [[] for _ in self.params]
        wrong = []
        for key in state:
            if key in ("count", "steps", "kind"):
                continue
            _, _, place = str(key).partition("state.")
            i, _, k = place.partition(".")
            if not (i.isdecimal() and k.isdecimal() and int(i) < len(averages)):
                wrong.append(f"{key} is unexpected")
                continue
            p, array = self.params[int(i)], np.array(state[key])
            if array.shape != p.shape or array.dtype != p.dtype:
                wrong.append(f"{key} is {array.dtype}{[*array.shape]} instead of {p.dtype}{[*p.shape]}")
            averages[int(i)].append((int(k), array))
        for group in self.groups:
            wrong += self._missing(group, averages, steps)
        if kind not in ("", self._kind()):
            wrong.append(f"it is of {kind}, whose moving averages mean something else")
        if wrong:
            raise ValueError(f"{name}: " + "; ".join(wrong))
        for own, found in zip(self.state, averages, strict=True):  # in place: compiled steps know these lists
            own[:] = [array for _, array in sorted(found, key=lambda pair: pair[0])]
        self.steps[:] = [int(n) for n in steps]
        self.count = int(count)

    def _kind(self) -> str:
        """The class that says with `_update` what the moving averages mean: also of AdamW it is Adam."""
        return next(kind.__name__ for kind in type(self).__mro__ if "_update" in vars(kind))

    def _missing(self, group: Group, averages: list[list[Any]], steps: Any) -> list[str]:
        """Which parameters of a group have more or fewer moving averages than they need."""
        with self._having(group.options):
            expected = [*range(self.averages)]
        found = {i: sorted(k for k, _ in averages[i]) for i in group.members}
        return [
            f"state.{i} has {len(numbers)} moving averages instead of {len(expected)}"
            for i, numbers in found.items()
            if numbers != expected and (numbers or steps[i])
        ]

    def __repr__(self) -> str:
        hidden = ("params", "groups", "state", "steps", "count")
        options = "".join(f"{name}={x}, " for name, x in vars(self).items() if name not in hidden)
        return f"{type(self).__name__}({options}parameters={len(self.params)})"


def _counts(function: str, key: str, x: Any) -> Any:
    """Numbers of steps, as an array. Raises ValueError for what is none."""
    counts = np.asarray(x)
    if counts.size and (counts.dtype.kind not in "iu" or counts.min() < 0):
        raise ValueError(f"{function}: {key} is {counts.tolist()!r}; it has to count steps, with integers from 0")
    return counts


def _number(x: Any) -> Any:
    """A learning rate as a Python number, so that it does not decide the dtype; one that is recorded is one."""
    try:
        return x if isinstance(x, Inner) else float(x)
    except TypeError:
        raise TypeError(f"lr: the schedule returned {x!r}; it has to return a number") from None


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
