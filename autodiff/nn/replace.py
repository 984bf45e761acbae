"""A copy of a module with other things in the places of some of its Values: what transforms hand out and return.

Every module, list, tuple and dict in it is copied, once, so that what was shared is shared in the copy and the
original stays as it is. All other attributes are the same objects. In each copied module `_slots` notes what has been
put where: an array in the place of a parameter could not be told from one that the module had as a constant.
"""

import copy
from types import FunctionType
from typing import Any

import numpy as np

from ..copies import rebuild
from ..tree import replica
from ..value import Value

__all__ = ["PLAIN", "Place", "Slot", "replace"]

PLAIN = frozenset((int, float, str, bool, type(None), FunctionType, np.ufunc, np.ndarray))  # with nothing in them

Place = tuple[Any, ...]  # an attribute of a module, and the keys and indices from there on


class Slot:
    """A place of a leaf; several places of one shared leaf have one slot.

    Its attribute is in a `__dict__`, where `jit` sees that a copy of a module is like the one before.
    """

    def __init__(self, is_parameter: bool) -> None:
        self.is_parameter = is_parameter


def replace(module: Any, base: type, new: dict[int, tuple[Any, Slot]]) -> Any:
    """A copy of `module` with other things, each with its slot, by the id of what is replaced or of its slot.

    `base` is the class of all modules.
    """
    return _Replacement(base, new).module(module)


class _Replacement:
    def __init__(self, base: type, new: dict[int, tuple[Any, Slot]]) -> None:
        self.base = base
        self.new = new
        self.copies: dict[int, Any] = {}

    def module(self, old: Any) -> Any:
        if id(old) not in self.copies:
            self.copies[id(old)] = new = replica(old)
            slots: dict[Place, Slot] = vars(old).get("_slots", {})
            fresh: dict[Place, Slot] = {}
            names = vars(new)
            for name, thing in [*names.items()]:
                if slots or type(thing) not in PLAIN:
                    names[name] = self.thing(thing, slots, fresh, (name,))
            names["_slots"] = fresh
        return self.copies[id(old)]

    def thing(self, old: Any, slots: dict[Place, Slot], fresh: dict[Place, Slot], place: Place) -> Any:
        slot = slots.get(place)
        if slot is not None or isinstance(old, Value):
            found = self.new.get(id(old if slot is None else slot))
            if found is not None:
                new, fresh[place] = found
                return new
            return self.constant(old) if slot is None else old
        if isinstance(old, self.base):
            return self.module(old)
        return self.container(old, slots, fresh, place) if isinstance(old, (dict, list, tuple)) else old

    def constant(self, old: Any) -> Any:
        """A Value that stays: one that f may write to, if nothing is recorded for it."""
        if old._node is not None:
            return old
        if id(old) not in self.copies:
            array = old._array  # after which its class is its own
            self.copies[id(old)] = rebuild(type(old), array, None, old.name, getattr(old, "__dict__", {}))
        return self.copies[id(old)]

    def container(self, old: Any, slots: dict[Place, Slot], fresh: dict[Place, Slot], place: Place) -> Any:
        if id(old) in self.copies:
            return self.copies[id(old)]
        if isinstance(old, tuple):
            items = [self.thing(part, slots, fresh, (*place, i)) for i, part in enumerate(old)]
            unchanged = all(a is b for a, b in zip(items, old, strict=True))
            self.copies[id(old)] = new = old if unchanged else tuple.__new__(type(old), items)
            return new
        new = self.copies[id(old)] = copy.copy(old)
        for key, part in old.items() if isinstance(old, dict) else enumerate(old):
            new[key] = self.thing(part, slots, fresh, (*place, key))
        return new
