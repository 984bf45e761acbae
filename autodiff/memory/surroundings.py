"""What a function uses besides its arguments, where a second run of it must find the same.

`Surroundings` searches the arguments, the closure, the defaults, the globals that the code names, and the attributes
of objects among these. It finds random generators, whose state a second run must be given again, and Values, which
the function must not write to.

    with surroundings.replaying(states):     # as they were before the first run
        f(x)                                 # draws the same dropout mask
                                             # and here they go on as if f had run once
"""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..box import Box
from ..errors import GraphError
from ..transform import Transform
from ..views import array_of, node_of, origin

__all__ = ["Surroundings"]

LIMIT = 10_000  # objects that are looked at; what is not found makes a second run differ, and that is seen
PLAIN = (str, bytes, int, float, complex, type(None), type, np.ndarray, np.generic, np.ufunc, CodeType)
KNOWN = frozenset(("numpy", "scipy", __name__.partition(".")[0], *sys.stdlib_module_names)) - {"__main__"}
CALLED = ("__call__", "forward")  # methods whose code is looked at


class Surroundings:
    """The random generators that can be reached from `roots`, NumPy's global one included, and the Values."""

    __slots__ = ("generators", "roots")

    def __init__(self, *roots: Any) -> None:
        self.generators: list[Any] = [np.random.get_state.__self__]  # type: ignore[attr-defined]
        self.roots: list[tuple[Any, Any, Any]] = []  # Values that have an array of their own; it, and their node
        seen: dict[int, Any] = {id(self.generators[0]): None}
        pending = [*roots]
        while pending and len(seen) < LIMIT:
            x = pending.pop()
            if isinstance(x, np.random.Generator):
                x = x.bit_generator
            if isinstance(x, PLAIN) or id(x) in seen:
                continue
            seen[id(x)] = x
            if isinstance(x, (np.random.BitGenerator, np.random.RandomState, random.Random)):
                self.generators.append(x)
            elif isinstance(x, Box):
                x._node  # noqa: B018  # derives it if it is stale, so that this is none of the function's doing
                root = origin(x)[0]
                self.roots.append((root, array_of(root), node_of(root)))
            else:
                pending.extend(_parts(x))

    def states(self) -> list[Any]:
        """The states of the generators now."""
        return [*map(_state, self.generators)]

    def keep_used(self, *states: list[Any]) -> Iterator[list[Any]]:
        """Forget the generators whose state is the same in the first and the last of `states`; the others' states."""
        used = [not _same(a, b) for a, b in zip(states[0], states[-1], strict=True)]
        self.generators = [g for g, is_used in zip(self.generators, used, strict=True) if is_used]
        return ([s for s, is_used in zip(kept, used, strict=True) if is_used] for kept in states)

    def set(self, states: list[Any]) -> None:
        """Put the generators back into `states`."""
        for generator, state in zip(self.generators, states, strict=True):
            if isinstance(generator, np.random.BitGenerator):
                generator.state = state
            elif isinstance(generator, np.random.RandomState):
                generator.set_state(state)
            else:
                generator.setstate(state)

    @contextmanager
    def replaying(self, states: list[Any]) -> Iterator[None]:
        """Run what is inside from `states`; at the end the generators are as they were before."""
        before = self.states()
        self.set(states)
        try:
            yield
        finally:
            self.set(before)

    def check_unwritten(self, name: str) -> None:
        """Raise GraphError if a Value was written to since; and forget them all."""
        for root, array, node in self.roots:
            if array_of(root) is not array or node_of(root) is not node:
                raise GraphError(
                    f"{name}: the function writes to a Value of shape {root.shape} that is not its argument, and "
                    "would do so again in the backward pass; pass it as an argument, and return what becomes of it"
                )
        self.roots = []


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.BitGenerator):
        return generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.getstate()


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(_same(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b))


def _parts(x: Any) -> Iterator[Any]:
    """What an object leads to."""
    if isinstance(x, dict):
        yield from x.values()
    elif isinstance(x, (list, tuple, set, frozenset)):
        yield from x
    elif isinstance(x, MethodType):
        yield from (x.__self__, x.__func__)
    elif isinstance(x, Transform):
        yield x.__wrapped__  # and not the programs that jit keeps
    elif isinstance(x, BuiltinMethodType):
        yield x.__self__
    elif isinstance(x, FunctionType):
        if not _is_known(x.__module__):
            yield from _used_by(x)
    elif isinstance(x, ModuleType):
        if x is random:
            yield random.getstate.__self__  # type: ignore[attr-defined]
    else:
        yield getattr(x, "__dict__", None)
        for cls in type(x).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            yield from (getattr(x, slot, None) for slot in ((slots,) if isinstance(slots, str) else slots))
        if not isinstance(x, ModuleType) and not _is_known(type(x).__module__):
            yield from (getattr(type(x), name, None) for name in CALLED)
        if hasattr(x, "func"):
            yield from (x.func, getattr(x, "args", None), getattr(x, "keywords", None))  # functools.partial


def _used_by(f: FunctionType) -> Iterator[Any]:
    """The contents of a function's closure and defaults, and the globals that it names."""
    yield from (f.__defaults__, f.__kwdefaults__, f.__dict__)
    for cell in f.__closure__ or ():
        with suppress(ValueError):  # not assigned yet
            yield cell.cell_contents
    codes = [f.__code__]
    while codes:
        code = codes.pop()
        yield from (f.__globals__[name] for name in code.co_names if name in f.__globals__)
        codes += [c for c in code.co_consts if isinstance(c, CodeType)]


def _is_known(module: Any) -> bool:
    """Whether it is NumPy's, Python's or ours."""
    return isinstance(module, str) and module.partition(".")[0] in KNOWN
