"""Runs of a function that will be repeated in the backward pass: what checkpoint and checkpoint_scan are made of.

`Aside` keeps arguments, and makes fresh ones of them for every run, so that a run may write to its own. `run` records.
`boundary` finds where the recorded graph ends: at the inputs, and at the Values that the function closes over, whose
nodes are older. A `Print` of the results tells whether a second run gave the same.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ..batched import Batched
from ..constants import COPY_LIMIT, is_frozen, sample
from ..context import LEVELS, Active
from ..convert import is_array
from ..errors import GraphError
from ..many import Pick
from ..rule import Rule
from ..stand_ins import RUNNING
from ..tape import LEAF, RECORDING, Ends, Node, operation
from ..tree import leaves, tree_map
from ..value import Value
from ..views import has_place, make_place, peek

__all__ = [
    "Aside",
    "Item",
    "Print",
    "ReplayCase",
    "assemble",
    "boundary",
    "changed",
    "distribute",
    "quietly",
    "roots",
    "run",
]

ROUNDING = 16  # units in the last place of the largest element: not every BLAS repeats its sums in the same order


class Item(NamedTuple):
    """One of the arguments."""

    data: Any
    node: Node | None  # of a tracked Value
    is_value: bool
    has_place: bool
    sample: bytes | None  # of a large array of the caller, which is not copied


class Aside:
    """Arguments in their containers, put aside: arrays and nodes, but not the Values, which may be written to later.

    What was one object in two places is one again in what `fresh` makes. `private`: nobody else has the plain arrays.
    """

    __slots__ = ("firsts", "items", "name", "order", "template")

    def __init__(self, name: str, tree: Any, *, private: bool = False, linked: bool = True) -> None:
        self.name = name
        self.items: list[Item] = []
        self.firsts: list[int] = []  # the first place of each item
        self.order: list[int] = []  # the item in each place
        seen: dict[int, int] = {}

        def put(x: Any) -> int:
            k = seen.setdefault(id(x), len(self.items))
            if k == len(self.items):
                self.items.append(_item(x, private, linked))
                self.firsts.append(len(self.order))
            self.order.append(k)
            return k

        self.template = tree_map(put, tree)

    def fresh(self, node_of: Callable[[int, Item], Node | None]) -> tuple[Any, list[Node | None]]:
        """Arguments for a run, and the nodes of the items, which `node_of` gives."""
        nodes: list[Node | None] = []
        made: list[Any] = []
        for k, item in enumerate(self.items):
            data, node = item.data, None
            if item.is_value:
                node = node_of(k, item)
                data = Value._wrap(data, node)
                if item.has_place:
                    make_place(data)
            elif isinstance(data, np.ndarray):
                if item.sample is not None and sample(data) != item.sample:
                    raise GraphError(
                        f"{self.name}: an argument, an array of shape {data.shape}, was written to after the call and "
                        "before the derivative needed it; pass a copy, or walk the graph first"
                    )
                if not is_frozen(data):
                    data = data.copy(order="K")
            elif _is_foreign(data):
                data = data.copy()
            nodes.append(node)
            made.append(data)
        return tree_map(made.__getitem__, self.template), nodes

    def data(self) -> list[Any]:
        """What is in each place."""
        return [self.items[k].data for k in self.order]


def _item(x: Any, private: bool, linked: bool) -> Item:
    if isinstance(x, Value):
        return Item(x._array, x._node if linked else None, True, has_place(x), None)
    checked = None
    if isinstance(x, np.ndarray) and not private and not is_frozen(x):
        if x.nbytes <= COPY_LIMIT:
            x = x.copy(order="K")
        elif x.dtype != object:
            checked = sample(x)
    elif not private and _is_foreign(x):
        x = x.copy()
    return Item(x, None, False, False, checked)


def _is_foreign(x: Any) -> bool:
    """Whether it is an array of another library, which can be written to."""
    return hasattr(x, "__setitem__") and hasattr(x, "copy") and is_array(x)


def run(f: Callable[..., Any], args: Any, kwargs: Any, recording: Any, levels: Active) -> Any:
    """Call `f`, recording or not, with the `levels` of its first run active: its vmap may have ended meanwhile."""
    tokens = RECORDING.set(recording), LEVELS.set(levels)
    try:
        return f(*args, **kwargs)
    finally:
        RECORDING.reset(tokens[0])
        LEVELS.reset(tokens[1])


def roots(result: Any, number: int) -> dict[int, Node]:
    """The nodes of the results that were recorded after `number`, by their place; each object in its first."""
    found: dict[int, Node] = {}
    seen: set[int] = set()
    for i, y in enumerate(leaves(result)):
        if isinstance(y, Value) and id(y) not in seen and y._node is not None and y._node.number > number:
            seen.add(id(y))
            found[i] = y._node
    return found


def boundary(nodes: Iterable[Node], number: int) -> dict[Node, None]:
    """The nodes up to `number` at which the graph of `nodes` ends, without leaves that are newer."""
    ends: dict[Node, None] = {}
    seen: set[Node] = set()
    pending = [*nodes]
    while pending:
        n = pending.pop()
        if n.number > number:
            if n not in seen:
                seen.add(n)
                pending.extend(n.parents)
        elif not (n.number == LEAF and n.saved > number):
            ends[n] = None
    return ends


def distribute(
    name: str, ends: Ends, number: int, inputs: dict[Node, Any], parents: Any, collect: Callable[..., None]
) -> list[tuple[Any, Any, bool]]:
    """Hand the cotangents of closed-over nodes on. Those of `inputs` are returned.

    Each comes with what the input is mapped to, and whether nobody else has the array.
    """
    given = []
    for node, g in ends.cotangents.items():
        if node in inputs:
            given.append((inputs[node], g, node in ends.owned))
        elif node in parents:
            collect(node, g, node in ends.owned)
        elif not (node.number == LEAF and node.saved > number):
            raise changed(name, "used another tracked Value")
    return given


class ReplayCase:
    """The case of a node that stands for what runs again, a call that it has saved.

    `call.pull(g, node, collect, wrap)` runs it again and hands on the cotangents, `call.push(known, lifted)` returns
    the tangents of the results by place, given those of the parents. A lifted walk saves the call with its `wrap`.
    """

    count = -1
    is_spent = False

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.rule = Rule(function, "linear", name=name)
        self.spent = self.rule.spent

    def residuals(self, saved: Any) -> dict[str, Any]:
        return {}

    def lift(self, saved: Any, node: Node, wrap: Callable[..., Any]) -> Any:
        return saved, wrap

    def pull(self, saved: Any, g: Any) -> Any:
        return NotImplemented  # the walk calls `spread`

    def spread(self, saved: Any, g: Any, node: Node, collect: Callable[..., None], sums: Any, owned: Any) -> None:
        call, wrap = saved if type(saved) is tuple else (saved, None)
        call.pull(g, node, collect, wrap)

    def push(self, saved: Any, tangents: tuple[Any, ...], masked: bool = False) -> Any:
        call = saved[0] if type(saved) is tuple else saved
        known = {p: t for p, t in zip(call.parents, tangents, strict=True) if t is not None}
        return call.push(known, call is not saved)


def assemble(result: Any, parents: Iterable[Node], case: ReplayCase, saved: Any, plain: bool) -> Any:
    """The results for the caller, on a node of `case`, by one more node each; `saved` knows their places.

    `plain`: no argument is a Value. If then nothing is tracked either, as where plain buffers were filled with
    numbers, arrays come back.
    """
    if not saved.places:
        if (
            plain
            and not RUNNING.get()
            and not any(isinstance(y, Value) and y._node is not None for y in leaves(result))
        ):
            return tree_map(lambda y: y._array if isinstance(y, Value) else y, result)
        return result
    node = operation(tuple(parents))
    node.case, node.saved = case, saved
    made: dict[int, Value] = {}
    places = iter(range(len([*leaves(result)])))
    recording = RECORDING.get()
    if recording is not True:
        recording(node, [y._array for y in leaves(result) if isinstance(y, Value)])

    def pick(y: Any) -> Any:
        i = next(places)
        if i in saved.places:
            n = operation((node,))
            n.case, n.saved = Pick(case.rule, i), None
            made[id(y)] = new = Value._wrap(y._array, n)
            if has_place(y):
                make_place(new)
        return made.get(id(y), y)

    return tree_map(pick, result)


# -- the second time


class Print:
    """What is kept of results, to see whether a second run gives the same: shapes, dtypes and elements.

    Of large arrays it is a sample of the elements; a difference that misses all of these goes unseen.
    """

    __slots__ = ("marks",)

    def __init__(self, results: Iterable[Any]) -> None:
        self.marks = [*map(_mark, results)]

    def check(self, name: str, again: "Print") -> None:
        """Raise GraphError if `again` differs by more than rounding."""
        if len(self.marks) != len(again.marks):
            raise changed(name, f"returned {len(again.marks)} arrays, before {len(self.marks)}")
        for (what, data), (new_what, new_data) in zip(self.marks, again.marks, strict=True):
            if what != new_what:
                raise changed(name, f"returned {_said(new_what)}, before {_said(what)}")
            if data != new_data and not _is_rounding(what[1], data, new_data):
                raise changed(name, "returned other numbers than before")


def changed(name: str, what: str) -> GraphError:
    """The error for a function that is not repeatable."""
    return GraphError(
        f"{name}: run again in the backward pass, the function {what}; its result may depend on its arguments, on what "
        "it closes over, unchanged, and on random generators among these, but on nothing else"
    )


def _mark(y: Any) -> tuple[Any, Any]:
    if isinstance(y, Value):
        y = peek(y)[0]
    y = y.whole if type(y) is Batched else y
    if isinstance(y, (int, float, complex)):
        y = np.asarray(y)
    if not hasattr(y, "dtype") or not hasattr(y, "shape"):
        return (type(y), y if isinstance(y, str) else None), None
    known = isinstance(y, (np.ndarray, np.generic)) and y.dtype != object
    if not known:
        return (y.shape, y.dtype), None
    return (y.shape, y.dtype), y.tobytes() if y.nbytes <= COPY_LIMIT else sample(y)


def _said(what: Any) -> str:
    return what[0].__name__ if isinstance(what[0], type) else f"{what[1]}{list(what[0])}"


def _is_rounding(dtype: Any, a: bytes | None, b: bytes | None) -> bool:
    if a is None or b is None or dtype.kind not in "fc":
        return False
    x, y = np.frombuffer(a, dtype), np.frombuffer(b, dtype)
    finite = np.isfinite(x)
    if not np.array_equal(x[~finite], y[~finite], equal_nan=True) or not np.isfinite(y[finite]).all():
        return False
    x, y = x[finite], y[finite]
    return bool((abs(x - y) <= ROUNDING * np.finfo(dtype).eps * abs(x).max(initial=0.0)).all())


def quietly(how: dict[str, Any]) -> np.errstate:
    """The floating-point error state `how` for a second run: what was raised is raised again, nothing is said twice."""
    states: Any = {kind: h if h == "raise" else "ignore" for kind, h in how.items()}
    return np.errstate(call=None, **states)  # type: ignore[arg-type]
