"""The tape: nodes, the walk backward (vjp) and the walk forward (jvp).

Every operation on a tracked Value makes a `Node` that knows the rule, what the rule's maps need, and the nodes of
its operands. Walking the nodes from the newest to the oldest and pulling cotangents through the maps is reverse
mode; walking them from the oldest to the newest and pushing tangents through the same maps is forward mode.
Cotangents and tangents live in the walk, not in the nodes, so that walks nest and run in parallel.

For `y = x * x + x` the nodes are x (a leaf), multiply (1) and add (2). The walk pops add: its two cotangents go to
multiply, newer than all else and so next, and to the leaf x, where they wait for multiply's. Numbers decide the order,
because an operand is always older than its result.

A walk handles raw arrays, unless the derivative itself will be differentiated: then the saved arrays
are wrapped around their nodes again ("lifted"), and the same maps record new nodes.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from .context import CHECKS, LEVELS, Active
from .many import Parts

__all__ = [
    "LEAF",
    "RECORDING",
    "Ends",
    "Node",
    "OuterGraphError",
    "leaf",
    "number",
    "operation",
    "reachable",
    "walk_back",
    "walk_forward",
]

RECORDING: ContextVar[Any] = ContextVar("autodiff_recording", default=True)  # or False, or what checks each node

number = itertools.count(1).__next__
SMALL = 4096  # bytes, up to which adding in place costs more than a new array
LEAF = 0  # the number of every leaf: older than any operation, whenever it was made

float64, ndarray = np.float64, np.ndarray


class Node:
    """One operation on the tape. It never holds its own result's Value: that would be a cycle."""

    __slots__ = ("__weakref__", "case", "grad", "hooks", "number", "parents", "saved")

    case: Any  # a Case or what stands in for one; None for leaves
    saved: Any
    parents: tuple["Node", ...]
    number: int
    grad: Any  # leaves, and nodes after retain_grad()
    hooks: tuple[Callable[[Any], Any], ...]  # of leaves that have some

    def __lt__(self, other: "Node") -> bool:  # in the heap, between inputs of one transform: they share a number
        return id(self) < id(other)

    def picked(self, index: int) -> "Node":
        """A node for one of the results of a function that has several."""
        n = operation((self,))
        n.case = self.case.rule.picks[index]
        n.saved = None
        return n


def operation(parents: tuple[Node, ...]) -> Node:
    """The newest node; its maker fills in `case` and `saved`."""
    n = Node()
    n.number = number()
    n.parents = parents
    return n


def leaf() -> Node:
    """A node without parents, where cotangents end. `saved` is the moment of its creation."""
    n = Node()
    n.case = n.grad = None
    n.parents, n.number = (), LEAF
    n.saved = number()
    return n


class OuterGraphError(Exception):
    """A raw walk met a tracked operand that is older than its inputs: it must be run again, lifted."""


class _InvalidFlag:
    """NumPy calls it at an invalid operation (0/0, 0*inf, ...) during a walk.

    Other arrays report nothing: for a walk on them the flag is always up.
    """

    __slots__ = ("initial", "raised")

    def __init__(self, seeds: Iterable[Any]) -> None:
        further = [getattr(g, "_array", g) for g in seeds if type(g) is not float64 and type(g) is not ndarray]
        unsure = [a for a in further if not isinstance(a, (ndarray, np.generic))]
        self.initial = self.raised = not all(getattr(a, "notes_invalid", False) for a in unsure)

    def __call__(self, kind: str, flag: int) -> None:
        self.raised = True


class Ends(NamedTuple):
    """What a backward walk brings to the leaves and inputs, and which of the arrays are its own."""

    cotangents: dict[Node, Any]
    owned: set[Node]


def walk_back(
    seeds: Sequence[tuple[Node, Any]],
    *,
    floor: int = 0,
    top: int = LEAF,
    free: bool | list[Node] = False,
    wrap: Callable[[Any, Node | None], Any] | None = None,
    prune: bool = False,
    flag: Any = None,
) -> Ends:
    """Pull cotangents from the nodes of `seeds` back to the leaves and to nodes numbered `floor..top`.

    `wrap(data, node)` makes the walk a lifted one; `free` drops residuals as they are consumed, or is a
    list to note the nodes in. An operand older than `floor` belongs to an outer derivative: a lifted walk and one with
    `prune=True` stop there, a raw walk raises OuterGraphError. `flag`: that of the walk of which this one is a part.
    """
    flag = flag or _InvalidFlag([g for _, g in seeds])
    with np.errstate(all="ignore", invalid="call", call=flag):
        if wrap is None:
            return _walk(seeds, floor, top, flag, free, None, prune)
        token = RECORDING.set(CHECKS.get() or True)
        try:
            return _walk(seeds, floor, top, flag, False, wrap, True)
        finally:
            RECORDING.reset(token)


def _walk(seeds: Any, floor: int, top: int, flag: _InvalidFlag, free: Any, wrap: Any, prune: bool) -> Ends:
    sums: dict[Node, Any] = {}  # the cotangents of pending nodes, and of the ends
    owned: set[Node] = set()  # the nodes whose sum is an array that only the walk knows
    heap: list[tuple[int, Node]] = []  # pending nodes as (-number, node), the newest first
    held: Node | None = None  # a pending node that is not in the heap; often the next one
    get = sums.get

    def add(q: Node, d: Any, fresh: bool) -> None:
        """`sums[q] += d`, in place where the walk owns the array.

        A map returns the cotangent that it was given, a view of it, or a new array, and never a
        residual; so an array that is fresh (not the one given) and no view belongs to the walk.
        """
        total = get(q)
        if total is None:
            if q.number > top:
                heappush(heap, (-q.number, q))
            elif floor and _is_outer(q, floor):
                if prune:
                    return
                raise OuterGraphError
            sums[q] = d
            if fresh and type(d) is ndarray and d.base is None:
                owned.add(q)
        elif q in owned and total.nbytes > SMALL and type(d) is ndarray and total.dtype == d.dtype:
            np.add(total, d, out=total)
        else:
            sums[q] = total + d
            if type(total) is ndarray:
                owned.add(q)

    for n, g in seeds:
        add(n, g, False)
    while heap or held:
        if held is None or (heap and heap[0][0] < -held.number):
            n = heappop(heap)[1]
        else:
            n, held = held, None
        g = sums.pop(n)
        while True:
            case = n.case
            saved = n.saved if wrap is None else case.lift(n.saved, n, wrap)
            d = case.pull(saved, g)
            if flag.raised:
                if case.rule.kind == "elementwise":
                    d = case.pull_masked(saved, g)
                flag.raised = flag.initial = flag.initial or getattr(case, "taints", False)
            if free is True:
                n.case, n.saved = case.spent, None
            elif free is not False:
                free.append(n)
            if case.count == 1:
                (p,) = n.parents
            elif case.count == 2:
                p, q = n.parents
                d, e = d
                if p.number < q.number:
                    p, q, d, e = q, p, e, d
                if type(e) is not float64:
                    add(q, e, e is not g)
                else:  # scalars are spared the call of add, which would double their cost
                    total = get(q)
                    if total is not None:
                        sums[q] = total + e
                    elif held is None and q.number > top:
                        held = q
                        sums[q] = e
                    else:
                        add(q, e, False)
            else:
                if d is NotImplemented:
                    case.spread(saved, g, n, add, sums, owned)  # in place, on what the walk owns
                    break
                for q, e in zip(n.parents, d, strict=True):
                    add(q, e, e is not g)
                break
            total = get(p)
            number = p.number
            if (
                total is None
                and number > top
                and (held is None or held.number < number)
                and (not heap or -heap[0][0] < number)
            ):
                n, g = p, d  # newer than all that is pending: go on with it
            elif total is not None and type(d) is float64:
                sums[p] = total + d
                break
            else:
                add(p, d, d is not g)
                break
        d = e = total = None
    return Ends(sums, owned)


def walk_forward(
    roots: Sequence[Node],
    tangents: dict[Node, Any],
    *,
    floor: int,
    top: int,
    wrap: Callable[[Any, Node | None], Any],
    lifted: bool,
    prune: bool = False,
) -> list[Any]:
    """Push the tangents of the nodes numbered `floor..top` to `roots`; None stands for zero.

    An operand older than `floor` is treated as in `walk_back`.
    """
    order = sorted(reachable(roots, floor, top, lifted or prune), key=attrgetter("number"))
    tangents = dict(tangents)
    get, last = tangents.get, {p: n for n in order for p in n.parents} | dict.fromkeys(roots)  # the last use
    flag = _InvalidFlag(tangents.values())
    levels = LEVELS.set(Active(number()))  # no tangent is summed over examples
    token = RECORDING.set(CHECKS.get() or True)
    try:
        with np.errstate(all="ignore", invalid="call", call=flag):
            for n in order:
                parents = n.parents
                ts = (get(parents[0]),) if len(parents) == 1 else tuple([get(p) for p in parents])
                if not ts or (ts[0] is None and all(t is None for t in ts)):
                    continue
                for p in parents:
                    if last[p] is n:
                        tangents.pop(p, None)
                case = n.case
                saved = case.lift(n.saved, n, wrap) if lifted else n.saved
                flag.raised = flag.initial
                if case.rule.kind == "general":
                    tangents[n] = _push_general(case, saved, ts, wrap, lifted)
                else:
                    tangents[n] = case.push(saved, ts)
                    if flag.raised and case.rule.kind == "elementwise":
                        tangents[n] = case.push(saved, ts, masked=True)
    finally:
        RECORDING.reset(token)
        LEVELS.reset(levels)
    return [tangents.get(root) for root in roots]


def reachable(roots: Sequence[Node], floor: int, top: int, prune: bool) -> set[Node]:
    """The nodes newer than `top` that `roots` were computed from.

    Raises OuterGraphError if an operand is older than `floor`, unless `prune`.
    """
    seen: set[Node] = set()
    pending = list(roots)
    while pending:
        n = pending.pop()
        if n.number > top:
            if n not in seen:
                seen.add(n)
                pending.extend(n.parents)
        elif not prune and _is_outer(n, floor):
            raise OuterGraphError
    return seen


def _is_outer(n: Node, floor: int) -> bool:
    """Whether `n` was there before the inputs of the transform: an outer derivative may need it."""
    return (n.saved if n.number == LEAF else n.number) < floor


def _push_general(case: Any, saved: Any, ts: tuple[Any, ...], wrap: Any, lifted: bool) -> Any:
    """The jvp of a general rule: its pull is linear in the cotangent, and the jvp is its transpose."""
    known = case.residuals(saved)
    if case.rule.push is not None:
        return case.rule.push(ts, **known)
    some = next(getattr(t, "_array", t) for t in ts if t is not None)
    specs = known["sans"] if case.rule.outputs else (known["sans"],)
    totals = [None] * len(specs)
    for k, spec in enumerate(specs):
        if spec.dtype.kind not in "fc":
            continue
        u = wrap(np.zeros_like(some, shape=spec.shape, dtype=spec.dtype), leaf())
        pulled = case.pull(saved, Parts({k: u}) if case.rule.outputs else u)
        for t, v in zip(ts, (pulled,) if case.count == 1 else pulled, strict=True):
            if t is None or not hasattr(v, "_node") or v._node is None:
                continue
            ends = walk_back([(v._node, t)], floor=u._node.saved, top=u._node.saved, wrap=wrap if lifted else None)
            d: Any = ends.cotangents.get(u._node)
            if d is not None:
                totals[k] = d if totals[k] is None else totals[k] + d
    return tuple(totals) if case.rule.outputs else totals[0]
