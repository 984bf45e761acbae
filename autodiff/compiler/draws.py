"""Draws of random numbers while a function is recorded: each is an input of the program, drawn anew at every run.

A captured generator is replaced by one that notes what is asked of it. NumPy's global functions, `np.random.rand`, have
stand-ins, as creation functions have (see stand_ins); these ask DRAWS. Draws that neither has seen, as in an installed
package, or with the bits of a generator, are found by its state, which is looked at before and after each noted one.
"""

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..box import Box
from ..context import DRAWS
from ..stand_ins import swap_module
from ..value import Value
from .operands import inside
from .recorded import Recorded
from .slots import Source

__all__ = [
    "DRAWING", "GENERATORS", "GLOBAL", "Draw", "GlobalDraws", "bits_of", "drawing", "noted", "put_state", "same_state",
    "stand_in", "state_of",
]  # fmt: skip

GLOBAL: Any = np.random.get_state.__self__  # type: ignore[attr-defined]
STATES = frozenset(("seed", "get_state", "set_state", "bytes", "spawn"))  # what is no draw of numbers
GENERATORS = (np.random.Generator, np.random.RandomState)


class _Drawing:
    """Programs that draw run one at a time: one whose guard fails puts its generators back, and would undo the draws of
    others."""

    def __init__(self) -> None:
        self.lock = threading.RLock()


DRAWING = _Drawing()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=DRAWING.lock.acquire, after_in_parent=DRAWING.lock.release, after_in_child=DRAWING.lock.release
    )


class Draw(Source):
    """A call of a method of a random generator. `picks`: it draws places, for a selection of what is recorded."""

    def __init__(self, generator: Any, name: str, args: Any, kwargs: Any, picks: bool = False) -> None:
        self.generator, self.name, self.args, self.kwargs, self.picks = generator, name, args, kwargs, picks

    def get(self) -> Any:
        return getattr(self.generator, self.name)(*self.args, **self.kwargs)

    def again(self, drawn: Any, name: str, args: Any) -> Any:
        """The result of the method `name`, for what was drawn when it was called."""
        return _selected(name, args[0], drawn) if self.picks else drawn


def state_of(generator: Any) -> Any:
    """The state of one of NumPy's generators."""
    is_legacy = isinstance(generator, np.random.RandomState)
    return generator.get_state(legacy=False) if is_legacy else generator.bit_generator.state


def put_state(generator: Any, state: Any) -> None:
    """Make the state what it was."""
    if isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def bits_of(generator: Any) -> Any:
    """What two generators may share: the bits; the older kind has numbers left over besides, and stands for itself."""
    return generator.bit_generator if isinstance(generator, np.random.Generator) else generator


def same_state(a: Any, b: Any) -> bool:
    """Whether two states are the same."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_state(a[k], b[k]) for k in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same_state, a, b))
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)


def _note_state(recorder: Any, generator: Any) -> None:
    """Note the state of a generator, all of whose draws have been noted."""
    recorder.states[id(bits_of(generator))] = generator, state_of(generator)


def _check_state(recorder: Any, generator: Any) -> None:
    """Raises Unrecordable if a generator has drawn what was not noted."""
    if not same_state(recorder.states[id(bits_of(generator))][1], state_of(generator)):
        whose = "NumPy's global" if generator is GLOBAL else "a random"
        raise recorder.escape(f"draws from {whose} generator where that is not seen")


def noted(recorder: Any) -> set[int]:
    """The generators, by the ids of their bits, all of whose draws have been noted."""
    return {i for i, (generator, state) in recorder.states.items() if same_state(state, state_of(generator))}


def _noted(recorder: Any, generator: Any, name: str, args: Any, kwargs: Any, picks: bool = False) -> Any:
    """Draw, and note the draw."""
    if recorder.closed:
        return getattr(generator, name)(*args, **kwargs)
    x = args[0] if args else None
    if isinstance(x, Box) and x._node is None and type(x._array) is Recorded and x._array.ndim and name in SELECTIONS:
        picked = _picked(recorder, generator, name, x, args[1:], kwargs)
        if picked is not NotImplemented:
            return picked
    args, kwargs = tuple(map(_plain, args)), {key: _plain(x) for key, x in kwargs.items()}
    given = (*args, *kwargs.values())
    if any(isinstance(x, (Box, Recorded)) for x in given) or name == "shuffle" or "out" in kwargs:
        raise recorder.escape(f"draws with {name} and arguments that are recorded")
    _check_state(recorder, generator)
    drawn = getattr(generator, name)(*args, **kwargs)
    _note_state(recorder, generator)
    if not isinstance(drawn, (np.ndarray, np.generic, float, int)) or np.asarray(drawn).dtype.kind not in "biuf":
        raise recorder.escape(f"draws with {name}")
    weak = type(drawn) if type(drawn) in (float, int) else None
    args, kwargs = _kept(args), _kept(kwargs)
    made = recorder.source(Draw(generator, name, args, kwargs, picks), np.asarray(drawn), weak)
    return Value._wrap(made) if weak is None else made


def _picked(recorder: Any, generator: Any, name: str, x: Any, rest: Any, kwargs: Any) -> Any:
    """A selection of what is recorded: its places are drawn, as NumPy draws them."""
    is_legacy = isinstance(generator, np.random.RandomState)
    if "axis" in kwargs or (is_legacy and name == "choice" and x.ndim > 1) or (not is_legacy and name != "choice"):
        return NotImplemented
    drawn = "permutation" if name == "shuffle" else name
    return _selected(name, x, _noted(recorder, generator, drawn, (x.shape[0], *rest), kwargs, True))


def _selected(name: str, x: Any, places: Any) -> Any:
    if name != "shuffle":
        return x[places]
    x[...] = x[places]
    return None


def _plain(x: Any) -> Any:
    """An argument, without the Value that an array is in which the function has made, as by np.zeros."""
    is_plain = isinstance(x, Box) and x._node is None and isinstance(x._array, (np.ndarray, np.generic))
    return x._array if is_plain else x


SELECTIONS = frozenset(("choice", "permutation", "shuffle"))


def _kept(x: Any) -> Any:
    """Arguments as they are now: arrays and lists among them may be written to later."""
    return x.copy() if isinstance(x, np.ndarray) else inside(_kept, x)


# -- generators that a function captures


class _StandIn:
    """What a generator is whose methods are `answer(name)`, and which has the bits of another one."""

    def answering(self, answer: Callable[[str], Any]) -> Any:
        self._answer = answer
        return self

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in ("bit_generator", "_bit_generator"):
            return self._answer(name) or found
        return found if name.startswith("_") or not callable(found) or name == "answering" else self._answer(name)


class _StandInGenerator(_StandIn, np.random.Generator):
    """One of NumPy's kind."""


class _StandInState(_StandIn, np.random.RandomState):
    """One of the legacy kind."""


def stand_in(generator: Any, answer: Callable[[str], Any]) -> Any:
    """A generator in the place of another one. `answer` gives its methods by name; asked for "bit_generator", or the
    legacy "_bit_generator", it may raise, or give None for the real one."""
    if isinstance(generator, np.random.RandomState):
        return _StandInState(generator._bit_generator).answering(answer)
    return _StandInGenerator(generator.bit_generator).answering(answer)


def drawing(generator: Any, recorder: Any) -> Any:
    """What stands for a generator while a function is recorded."""
    _note_state(recorder, generator)

    def answer(name: str) -> Any:
        if name in ("bit_generator", "_bit_generator"):
            if not recorder.closed:
                raise recorder.escape("takes the bits of a random generator")  # whose draws nobody notes
            return None
        return functools.partial(method, name)

    def method(name: str, /, *args: Any, **kwargs: Any) -> Any:
        if name in STATES and not recorder.closed:
            raise recorder.escape(f"calls {name} of a random generator")
        return _noted(recorder, generator, name, args, kwargs)

    return stand_in(generator, answer)


# -- the global one


class GlobalDraws:
    """Notes what is drawn with NumPy's global functions: `with GlobalDraws(recorder, state_of(GLOBAL)): f()`."""

    def __init__(self, recorder: Any, state: Any) -> None:
        self.recorder = recorder
        recorder.states[id(GLOBAL)] = GLOBAL, state

    def __enter__(self) -> "GlobalDraws":
        self.token = DRAWS.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        DRAWS.reset(self.token)

    def __call__(self, function: Any, args: Any, kwargs: Any) -> Any:
        name = function.__name__
        if name in STATES:
            raise self.recorder.escape(f"calls np.random.{name}")
        return _noted(self.recorder, GLOBAL, "random_sample" if name in ("ranf", "sample") else name, args, kwargs)


def _global_functions() -> Iterator[str]:
    for name, function in vars(np.random).items():
        if getattr(function, "__self__", None) is GLOBAL or name in ("ranf", "sample", "seed"):
            yield name


swap_module(sys.modules["numpy.random"], [*_global_functions()])
