"""A function, run again on the inputs of an earlier run: arguments, and what it captured and drew, as they were then.

It leaves everything as it was, so it is a pure function of these inputs, and can be differentiated like any other.
"""

import functools
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from ..box import Box, Inner
from ..buffers import watching
from ..context import DRAWS
from ..errors import GraphError
from ..tape import RECORDING
from ..transform import Transform, name_of
from ..transforms import jvp, vjp
from ..tree import leaves, tree_map
from ..value import Value
from ..views import set_node, stale
from .draws import GLOBAL, Draw, stand_in
from .entries import RECORDINGS
from .entry import Out
from .places import Fixed
from .returned import RERUN
from .signature import Signature, is_leaf

__all__ = ["Rerun"]


def _replaying(generator: Any, drawn: Iterator[tuple[Draw, Any]]) -> Any:
    """What gives out what a generator has drawn before."""

    def answer(name: str) -> Any:
        return None if name in ("bit_generator", "_bit_generator") else functools.partial(method, name)

    def method(name: str, /, *args: Any, **kwargs: Any) -> Any:
        return _next(drawn, name, args)

    return stand_in(generator, answer)


def _next(drawn: Iterator[tuple[Draw, Any]], name: str, args: Any) -> Any:
    draw, x = next(drawn)
    return draw.again(x, name, args)


class _Derivative(Transform):
    """What is recorded as a derivative of `f`. What f captures is looked at, and nothing of ours."""

    def __init__(self, method: Any, f: Any) -> None:
        super().__init__(method, method, f, (), {})
        self.order: int = f.order + 1 if isinstance(f, _Derivative) else 1
        self.of: Any = f.of if isinstance(f, _Derivative) else f

    def __repr__(self) -> str:
        names = ("first", "second", "third")
        order = names[self.order - 1] if self.order <= len(names) else f"{self.order}th"
        return f"the {order} derivative of {name_of(self.of)}"


class Rerun:
    """A function of `xs`, the inputs at the positions `smooth`, and of the `others`; `jit` compiles its derivatives."""

    def __init__(self, f: Any, program: Any, given: Signature, call: Any, smooth: Sequence[int], jit: Any) -> None:
        self.f, self.program, self.smooth = f, program, [*smooth]
        self.count, self.integers = len(given.leaves), given.integers
        args, kwargs = call
        self.skeleton = given.rebuilt(args, kwargs, lambda _: 0.0)
        self.tracked = [type(y) is Out and y.tracked for y in leaves(program.result, result=True)]
        self.jit = jit
        self.made: dict[str, Any] = {}

    def outputs(self, xs: Sequence[Any], others: Sequence[Any], stack: ExitStack) -> list[Any]:
        """The tracked results of the function. What it reads is in its places until the `stack` is left: a walk over a
        checkpoint runs it once more."""
        inputs = [*map(_own, others)]
        for i, x in zip(self.smooth, xs, strict=True):  # in ascending order
            inputs.insert(i, x)
        it = iter(inputs[: self.count])
        args, kwargs = tree_map(lambda x: next(it) if is_leaf(x, self.integers) else x, self.skeleton)
        stack.enter_context(_Staged(self.program, inputs[self.count :]))
        token = RERUN.set((self.f, sys._getframe().f_code))
        try:
            with watching(self.f):
                result = self.f(*args, **kwargs)
        finally:
            RERUN.reset(token)
        return [y for y, is_tracked in zip(leaves(result, result=True), self.tracked, strict=True) if is_tracked]

    def pulled(self, xs: Any, others: Any, gs: Any) -> Any:
        with ExitStack() as stack:
            pull = vjp(lambda xs: self.outputs(xs, others, stack), xs)[1]
            return [*map(_conjugate, pull([*map(_conjugate, gs)])[0])]  # which vjp does at both of its ends

    def pushed(self, xs: Any, others: Any, ts: Any) -> Any:
        with ExitStack() as stack:
            return jvp(lambda xs: self.outputs(xs, others, stack), (xs,), (ts,))[1]

    def derivative(self, name: str, inputs: Sequence[Any], directions: list[Any]) -> list[Any]:
        """What `pulled` or `pushed` makes of the directions, as a program."""
        self._check(inputs)
        jitted = self.made.get(name)
        if jitted is None:
            made = _Derivative(getattr(self, name), self.f)
            jitted = self.made.setdefault(name, self.jit(made))
        smooth = {*self.smooth}
        others = [self._shown(i, x) for i, x in enumerate(inputs) if i not in smooth]
        found: list[Any] = jitted([_boxed(inputs[i]) for i in self.smooth], others, [*map(_boxed, directions)])
        return found

    def _shown(self, i: int, x: Any) -> Any:
        """An input in the type that it had."""
        if isinstance(x, (Box, Inner)):
            return _boxed(x)
        weak = self.program.weak[i]
        return x.item() if weak else x[()] if i < self.count and self.program.kinds[i] >= 0 else x

    def _check(self, inputs: Sequence[Any]) -> None:
        """Raise GraphError if something that cannot be put back for a while has changed since."""
        token = RECORDING.set(self.program.captures.recording)
        try:
            holds = RECORDINGS.reading(self.program.holds)()
        finally:
            RECORDING.reset(token)
        for source, x in zip(self.program.sources, inputs[self.count :], strict=True):
            if holds and type(source) is Fixed:
                now = source.get()
                holds = now.shape == x.shape and now.tobytes() == np.asarray(x).tobytes()
        if not holds:
            raise GraphError(
                f"jit: what {name_of(self.f)} captures has changed since it was called. Its first gradient is still "
                "right; another derivative would need it as it was, so take that before the change"
            )


class _Staged:
    """What a program reads besides its arguments, replaced by the given inputs for a while."""

    def __init__(self, program: Any, inputs: Sequence[Any]) -> None:
        self.program, self.inputs = program, inputs

    def __enter__(self) -> None:
        self.outer = RECORDINGS.stage()
        program = self.program
        self.before = [(place, place.get()) for place in program.places.places]
        self.nodes = [(root, root._node) for root in program.roots]
        self.generators = [(place, place.get()) for place, _ in program.drawing]
        given = {}
        drawn: dict[int, list[tuple[Draw, Any]]] = {}
        for root in program.roots:
            set_node(root, None)
        for source, x in zip(program.sources, self.inputs, strict=True):
            if type(source) is Draw:
                drawn.setdefault(id(source.generator), []).append((source, x))
            elif type(source) is not Fixed:
                given[id(source)] = x
                self._put(source, x)
        for place, first in program.places.shared:
            self._put(place, given[id(first)])
        replayed: dict[int, Any] = {}
        for place, generator in program.drawing:
            if id(generator) not in replayed:
                replayed[id(generator)] = _replaying(generator, iter(drawn.get(id(generator), ())))
            place.put(replayed[id(generator)])
        of_numpy = iter(drawn.get(id(GLOBAL), ()))
        self.token = DRAWS.set(lambda function, args, kwargs: _next(of_numpy, function.__name__, args))

    def _put(self, place: Any, x: Any) -> None:
        place.put(x._array if isinstance(x, Box) else x)
        if isinstance(x, Box) and x._node is not None:
            set_node(place.root, x._node)
            stale(place.root)

    def __exit__(self, *exception: object) -> None:
        DRAWS.reset(self.token)
        for place, x in (*self.before, *self.generators):
            place.put(x)
        for root, node in self.nodes:
            set_node(root, node)
            stale(root)
        RECORDINGS.unstage(self.outer)


def _boxed(x: Any) -> Any:
    """An argument of a function: what is no plain array is in a Value."""
    return Value._wrap(x) if isinstance(x, Inner) else x


def _own(x: Any) -> Any:
    """An input that the function may write to."""
    return x.copy() if type(x) is np.ndarray else x


def _conjugate(x: Any) -> Any:
    return np.conj(x) if x.dtype.kind == "c" else x
