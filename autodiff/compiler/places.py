"""What a function reads and writes besides its arguments, as further inputs and outputs of its program.

While a function is recorded, the arrays that it captures are recorded ones: those of Values, their gradients, arrays
in lists, dicts, attributes and closures, and numbers that have turned out to change. Afterwards all are put back; what
the function has made of them becomes outputs, which every run of the program writes back. Random generators are
replaced by ones that note each draw, and a run draws the same again from the original.
"""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..box import Box
from ..value import Value
from ..views import origin, set_array, stale
from .aliases import overlap
from .captures import Captures
from .draws import GENERATORS, drawing
from .recorded import Recorded
from .slots import Members, Source, get, is_number, put, spot

__all__ = ["Fixed", "Places", "UnstableError", "scrub", "scrub_error"]

NUMBERS = (int, float)


class UnstableError(Exception):
    """The function has changed what it captures in a way that a program cannot repeat."""


class _Place(Source):
    """An array in a container."""

    def __init__(self, container: Any, key: Any) -> None:
        self.container, self.key = container, key

    def get(self) -> Any:
        return get(self.container, self.key)

    def put(self, x: Any) -> None:
        put(self.container, self.key, x)

    def write(self, before: Any, new: Any, in_place: bool) -> None:
        if in_place:
            before[...] = new
        else:
            self.put(new)


class _Number(_Place):
    """A number in a container."""

    def write(self, before: Any, new: Any, in_place: bool) -> None:
        becomes_float = type(before) is int and new.dtype.kind == "f"
        self.put(float(new) if becomes_float else type(before)(new))


class _ValueArray(Source):
    """The array of a Value."""

    def __init__(self, root: Any) -> None:
        self.root = root

    def get(self) -> Any:
        return self.root._array

    def put(self, x: Any) -> None:
        set_array(self.root, x)
        if type(self.root) is self.root._owner:
            self.root.__class__ = self.root._plain
        stale(self.root)

    def write(self, before: Any, new: Any, in_place: bool) -> None:
        self.put(new if new.ndim else new[()])


class _Gradient(Source):
    """The gradient of a variable."""

    def __init__(self, value: Any) -> None:
        self.node = value._node

    def get(self) -> Any:
        return self.node.grad

    def put(self, x: Any) -> None:
        self.node.grad = x

    def write(self, before: Any, new: Any, in_place: bool) -> None:
        self.put(new)


class Fixed(Source):
    """An array that is read where it is."""

    def __init__(self, captures: Captures, slot: int) -> None:
        self.captures, self.slot = captures, slot

    def get(self) -> Any:
        return self.captures.array(self.slot)


class Places:
    """The places that a function captures, in one run that is recorded, and then in the runs of its program."""

    def __init__(self, captures: Captures, volatile: set[Any], arrays: bool = True, gradients: bool = True) -> None:
        self.places: list[Any] = []
        self.before: list[Any] = []  # what was there when the run began
        self.inside: list[Any] = []  # what has stood for it in the run
        self.none: list[_Gradient] = []  # gradients that there were not
        self.generators: list[tuple[_Place, Any]] = []
        self.nodes: dict[int, Any] = {}  # of what is inside, as it was when the run began
        self.restored = False
        self.arrays = [x for x, _ in captures.arrays.values()]
        self.written: list[tuple[_Place, list[Any]]] = []  # a place whose array is written to, and all that have it
        self.moves: list[tuple[Any, Any]] = []  # a place, and the one whose array is there in the end
        self.copies: list[tuple[Any, Any]] = []  # a place, and one where the same new array is
        self.shared: list[tuple[Any, Any]] = []  # a place that has the array of another one, and that one
        self.apart: list[Any] = []  # what was in the places when this was seen to be so
        self.writes: list[tuple[Any, int, bool]] = []  # place, output, whether the array itself is written to
        for value in captures.values:
            root = origin(value)[0]
            if isinstance(root._array, (np.ndarray, np.generic)) and not any(p.root is root for p in self.places):
                self.places.append(_ValueArray(root))
                if gradients and root._node is not None and hasattr(root._node, "grad"):
                    self.places.append(_Gradient(root))
        self.replaced: set[int] = set()  # the arrays, by id, that nobody finds while the function is recorded
        for container, key, value in captures.slots:
            if isinstance(value, GENERATORS) and not isinstance(container, (tuple, Members)):
                self.generators.append((_Place(container, key), value))
            elif not captures.is_replaceable(container, value):
                continue
            elif (
                type(value) is np.ndarray and arrays and value.dtype.kind in "biufc" and id(value) not in captures.fixed
            ):
                self.places.append(_Place(container, key))
                self.replaced.add(id(value))
            elif is_number(value) and spot(container, key) in volatile and np.asarray(value).dtype != object:
                self.places.append(_Number(container, key))

    def begin(self, recorder: Any) -> None:
        """Put recorded arrays into the places."""
        made: dict[int, tuple[Any, Any]] = {}
        for place in [*self.places]:
            x = place.get()
            self.before.append(x)
            if x is None:
                self.none.append(place)
                self.inside.append(None)
                continue
            data = x._array if isinstance(x, Box) else x
            if id(x) in made and not isinstance(place, _Number):
                first, inside = made[id(x)]
                self.shared.append((place, first))
            else:
                weak = type(x) if type(x) in NUMBERS else None
                inside = recorder.source(place, np.asarray(data), weak)
                made[id(x)] = place, inside
                self.nodes[id(inside)] = inside.buffer.node
            self.inside.append(inside)
            is_scalar = isinstance(x, np.generic) and isinstance(place, _Place)
            boxed = is_scalar or isinstance(x, Box)  # operators replace these, and do not write into them
            place.put(Value._wrap(inside) if boxed else inside)
        for place, generator in self.generators:
            place.put(drawing(generator, recorder))

    def replaces(self, array: Any) -> bool:
        """Whether a recorded array stands for this one while the function is recorded."""
        return id(array) in self.replaced

    def restore(self) -> None:
        """Put back what was there, whatever has happened."""
        if self.restored:
            return
        self.restored = True
        for place, x in zip(self.places, self.before, strict=False):
            place.put(x)
        for place, generator in self.generators:
            place.put(generator)

    def abandon(self) -> None:
        """Put back what was there, but for what the function has made of it before it raised an exception."""
        left = [place.get() for place in self.places[: len(self.before)]]
        self.restore()
        for place, before, inside, now in zip(self.places, self.before, self.inside, left, strict=False):
            data = now._array if isinstance(now, Box) else now
            if data is inside and (data is None or not self._is_written(inside)):
                continue
            if isinstance(data, Recorded):
                place.write(before, np.array(data.data), data is inside and type(before) is np.ndarray)
            else:
                place.put(now)

    def end(self, recorder: Any) -> None:
        """Note the outputs that are to be written back. Raises UnstableError if something else is to be done."""
        written: set[int] = set()
        stored: dict[int, Any] = {}
        held = {
            id(inside): place
            for place, before, inside in zip(self.places, self.before, self.inside, strict=True)
            if type(before) is np.ndarray and type(place) is _Place
        }
        for place, before, inside in zip(self.places, self.before, self.inside, strict=True):
            now = place.get()
            data = now._array if isinstance(now, Box) else now
            if isinstance(now, Box) and now._node is not None:
                raise UnstableError("keeps a Value with its graph")
            if now is None:
                if before is not None:
                    self.writes.append((place, -1, False))
                continue
            is_written = before is not None and self._is_written(inside) and id(inside) not in written
            if is_written and type(before) is np.ndarray and type(place) is _Place:
                written.add(id(inside))
                self.writes.insert(0, (place, recorder.result(inside), True))  # before others are put there
                self._note_written(place, before)
                is_written = False
            if data is inside and not is_written:
                continue  # it was only read, or is done
            if type(place) is _Place and data is not inside:
                if id(data) in held:
                    self.moves.append((place, held[id(data)]))
                    continue
                if id(data) in stored:
                    self.copies.append((place, stored[id(data)]))
                    continue
                stored[id(data)] = place
            if not isinstance(data, (Recorded, bool)) and isinstance(data, (np.ndarray, np.generic, float, int)):
                data = recorder.constant(np.asarray(data))
            if type(data) is not Recorded:
                raise UnstableError("replaces an array by something else")
            if isinstance(before, np.generic) and type(place) is _Number and data.dtype != before.dtype:
                raise UnstableError("changes the dtype of a number that it captures")
            self.writes.append((place, recorder.result(data), False))

    def _is_written(self, inside: Any) -> bool:
        return inside.buffer.node is not self.nodes[id(inside)]

    def _note_written(self, place: _Place, array: Any) -> None:
        """Note which places have an array that is written to; no other may share its memory."""
        same = [other for other, x in zip(self.places, self.before, strict=True) if x is array]
        if any(x is not array and _share(x, array) for x in (*self.before, *self.arrays)):
            raise UnstableError("writes to an array that shares memory with another one that it captures")
        self.written.append((place, same))

    def meets(self, leaves: Sequence[Any], written: Sequence[int]) -> bool:
        """Whether what is written, there or to arguments, shows in the other ones."""
        for place, _ in self.written:
            array = place.get() if self.restored else self.before[self.places.index(place)]
            if any(overlap(array, x) for x in leaves):
                return True
        if not written:
            return False
        arrays = [place.get() for place in self.places] if self.restored else [*self.before, *self.arrays]
        data = [x._array if isinstance(x, Box) else x for x in arrays]
        return any(overlap(leaves[i], x) for i in written for x in data)

    def missed(self, written: Sequence[Any], leaves: Sequence[Any]) -> bool:
        """Whether plain arrays have been written to whose memory the run has seen as recorded arrays, unchanged."""
        return any(_share(x, array) for array in written for x in (*self.before, *leaves))

    def settle(self) -> None:
        """Forget the arrays of the run that was recorded, which has ended; runs of the program need the places only."""
        self.before, self.inside, self.nodes, self.arrays, self.generators = [], [], {}, [], []

    def stored(self) -> set[Any]:
        """The slots that are written to, but for Values."""
        return {spot(place.container, place.key) for place, _, _ in self.writes if isinstance(place, _Place)}

    def numbers(self) -> frozenset[Any]:
        """The slots of numbers that are inputs."""
        return frozenset([spot(place.container, place.key) for place in self.places if type(place) is _Number])

    # -- runs of the program

    def fits(self) -> bool:
        """Whether gradients are there, or not, as they were, and arrays that are written to in as many places."""
        for place, first in self.shared:
            if place.get() is not first.get():
                return False
        if self.written:
            now = [place.get() for place in self.places]
            if not self.apart or not all(map(operator.is_, now, self.apart)):
                for place, same in self.written:
                    array = place.get()
                    for other, x in zip(self.places, now, strict=True):
                        if x is not array if other in same else _share(x, array):
                            return False
                self.apart = now
        return all(place.get() is None for place in self.none)

    @property
    def active(self) -> bool:
        """Whether there is something to write back."""
        return bool(self.writes or self.moves)

    def write(self, outputs: list[Any]) -> None:
        """Write the further outputs back."""
        moved = [(place, source.get()) for place, source in self.moves]
        for place, output, in_place in self.writes:
            if output < 0:
                place.put(None)
            else:
                place.write(place.get() if in_place or type(place) is _Number else None, outputs[output], in_place)
        for place, x in moved:
            place.put(x)
        for place, first in self.copies:
            place.put(first.get())
        if self.written:
            self.apart = [] if moved or self.copies else [place.get() for place in self.places]


def _share(x: Any, array: Any) -> bool:
    return isinstance(x, np.ndarray) and bool(np.may_share_memory(x, array))


def scrub(now: Captures, before: Captures) -> None:
    """Replace recorded arrays that a function has left in what it captures by plain ones, also in new Values."""
    known = {id(value) for value in before.values}
    for container, key, value in now.slots:
        new = _plain(value, known)
        if new is not value and not isinstance(container, tuple):
            put(container, key, new)
    for value in now.values:
        root = origin(value)[0]
        if type(root._array) is Recorded:
            data = np.array(root._array.data)
            set_array(root, data if data.ndim else data[()])
        node = root._node
        if node is not None and type(getattr(node, "grad", None)) is Recorded:
            node.grad = np.array(node.grad.data)


def scrub_error(error: Exception) -> None:
    """The same for what it has put into an exception."""
    error.args = _plain(error.args, set())
    for name, value in [*vars(error).items()]:
        vars(error)[name] = _plain(value, set())


def _plain(x: Any, known: set[int]) -> Any:
    """What the function would have left there, had its arguments been plain arrays."""
    if type(x) is tuple:
        parts = [_plain(part, known) for part in x]
        return x if all(map(operator.is_, parts, x)) else tuple(parts)
    data = x._array if isinstance(x, Box) and x._node is None and id(x) not in known else x
    if type(data) is not Recorded:
        return x
    if data.weak is not None:
        return data.data.item()
    is_array = data.ndim or (data is x and data.buffer.node.op in ("input", "copy"))  # NumPy computes scalars
    return np.array(data.data) if is_array else data.data[()]
