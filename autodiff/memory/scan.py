"""checkpoint_scan: a loop of many steps, of which the backward pass needs few states at a time.

    y = checkpoint_scan(step, y0, 10_000)        # for i in range(10_000): y = step(y, i)

Forward, the steps are recorded one by one, to find the Values that they close over; the records are dropped, and a few
of the carries are stored. Backward, the steps are taken in reverse. For each, the nearest stored carry is brought
forward to it without recording, the one step is recorded, and the walk goes through it. When to store a carry is
decided by the binomial schedule, see schedule.
"""

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..buffers import watching
from ..context import CHECKS, LEVELS
from ..convert import is_array
from ..errors import GraphError, OperandError
from ..record import input_node
from ..tape import RECORDING, Node, number, operation, walk_back, walk_forward
from ..transform import check_callable
from ..tree import leaves, leaves_like, tree_map
from ..value import Value
from ..views import peek
from .replay import Aside, Item, Print, ReplayCase, assemble, boundary, changed, distribute, quietly, roots, run
from .schedule import default_slots, places, split
from .surroundings import Surroundings

__all__ = ["checkpoint_scan"]

Function = Callable[..., Any]
NAME = "checkpoint_scan"


def checkpoint_scan(step: Function, carry: Any, n: int, *, slots: int | None = None) -> Any:
    """`carry = step(carry, i)` for i = 0, ..., n - 1; returns the last carry, and keeps few of them for the derivative.

    The carry is an array, or nested lists, tuples and dicts of arrays, whose shapes and dtypes stay as they are;
    integers in it have no derivative. At most `slots` carries are stored at a time, besides the one that is worked on,
    by default about sqrt(2 n); a step then runs three times on average. With log2(n) slots it runs about log2(n) / 2
    times. Gradients reach the first carry and all that `step` closes over. Forward mode streams and stores nothing. A
    derivative of higher order records all the steps. For `step` the same holds as for the function of `checkpoint`:
    it works on copies, and has to do the same when it runs again.

    >>> from autodiff import grad
    >>> print(grad(lambda x: checkpoint_scan(lambda y, i: y * x, 1.0, 10))(1.0))
    10.0

    Raises OperandError if the carry changes its structure, a shape or a dtype, GraphError if a step gives another
    result when it runs again, ValueError if n < 0 or slots < 1. The schedule: A. Griewank and A. Walther, Algorithm
    799: Revolve, ACM TOMS 26 (2000) 19-45.
    """
    check_callable(NAME, step, f"{NAME}(step, carry, n)")
    n = _integer("n", n)
    slots = default_slots(n) if slots is None else _integer("slots", slots)
    if n < 0:
        raise ValueError(f"{NAME}: n={n}; the number of steps cannot be negative")
    if slots < 1:
        raise ValueError(f"{NAME}: slots={slots}; the first carry at least has to be stored")
    if not n:
        return tree_map(lambda x: x.copy() if isinstance(x, Value) or is_array(x) else x, carry)
    scan = _Scan(step, carry, n, slots)
    plain = not any(item.is_value for item in scan.first.aside.items)
    with watching(step):
        if RECORDING.get():
            result = scan.forward(Surroundings(step, carry))
        else:
            aside = scan.advance(scan.first.aside, 0, n - 1)
            result = scan.run(aside, n - 1, lambda k, item: item.node, False)[1]
    return assemble(result, scan.parents, CASE, scan, plain)


class _Stored(NamedTuple):
    """A carry, the step that it comes before, and the states of the random generators."""

    before: int
    aside: Aside
    states: list[Any]


class _Scan:
    """A loop that can be run again; its node saves it."""

    def __init__(self, step: Function, carry: Any, n: int, slots: int) -> None:
        self.step, self.n, self.slots = step, n, slots
        self.first = _Stored(0, Aside(NAME, carry), [])
        self.specs = [*map(_spec, leaves(carry))]
        self.checks, self.levels = CHECKS.get(), LEVELS.get()
        self.errors: dict[str, Any] = {**np.geterr()}
        self.parents: tuple[Node, ...] = ()
        self.tracked: set[int] = set()  # the places in the carry at which there is a tracked Value before some step
        self.places: set[int] = set()  # and at the end
        self.stored: list[list[_Stored]] = []  # the stack of carries, for the first walk, which takes it
        self.surroundings: Surroundings
        self.print: Print

    # -- one step

    def run(self, aside: Aside, i: int, node_of: Function, recording: Any) -> tuple[list[Node | None], Any]:
        """One step: the nodes of its inputs, and the result."""
        carry, inputs = aside.fresh(node_of)
        result = run(self.step, (carry, i), {}, recording, self.levels)
        new = leaves_like(self.first.aside.template, result, f"{NAME}: the carry after step {i}")
        for place, (spec, y) in enumerate(zip(self.specs, new, strict=True)):
            if spec != _spec(y):
                raise OperandError(
                    f"{NAME}: step {i} makes a {_said(_spec(y))} of array {place} of the carry, which was a "
                    f"{_said(spec)}; a carry keeps its shapes and dtypes"
                )
        return inputs, result

    def record(self, aside: Aside, i: int, tracked: set[int]) -> tuple[int, dict[Node, int], Any]:
        """Record one step alone: the number of its inputs, their places in the carry by their nodes, the result."""
        top = number()

        def node_of(k: int, item: Item) -> Node | None:
            if aside.firsts[k] not in tracked or item.data.dtype.kind not in "fc":
                return None
            node = operation(self.parents)  # what is left behind must not be used, see _InsideCase
            node.case, node.saved, node.number = INSIDE, None, top
            return node

        inputs, result = self.run(aside, i, node_of, CHECKS.get() or self.checks or True)
        return top, {n: aside.firsts[k] for k, n in enumerate(inputs) if n is not None}, result

    def record_linked(self, aside: Aside, i: int) -> tuple[int, dict[Node, int], Any]:
        """The same, as a continuation of the graph that leads to the carry."""
        top = number()

        def node_of(_: int, item: Item) -> Node | None:
            return input_node(item.node, top) if item.node is not None else None

        inputs, result = self.run(aside, i, node_of, CHECKS.get() or self.checks or True)
        return top, {n: aside.firsts[k] for k, n in enumerate(inputs) if n is not None}, result

    def advance(self, aside: Aside, at: int, steps: int) -> Aside:
        """The carry some steps later, without recording."""
        for i in range(at, at + steps):
            aside = _carry(self.run(aside, i, lambda k, item: None, False)[1])
        return aside

    # -- all steps

    def forward(self, surroundings: Surroundings) -> Any:
        """Run the steps for the first time."""
        aside = self.first.aside
        given = {p: item.node for p, item in zip(aside.firsts, aside.items, strict=True) if item.node is not None}
        parents: dict[Node, None] = dict.fromkeys(given.values())
        tracked, stops = {*given}, {*places(self.n, self.slots), self.n - 1}
        stack = []
        for i in range(self.n):
            if i in stops:
                stack.append(_Stored(i, aside, surroundings.states()))
            self.parents = tuple(parents)
            self.tracked |= tracked
            top, inputs, result = self.record(aside, i, tracked)
            nodes = roots(result, -1)
            parents.update((node, None) for node in boundary(nodes.values(), top) if node not in inputs)
            tracked = {p for p, y in enumerate(leaves(result)) if isinstance(y, Value) and y._node is not None}
            aside = _carry(result)
        surroundings.check_unwritten(NAME)
        states = surroundings.keep_used(*(s.states for s in stack), surroundings.states())
        stack = [stored._replace(states=kept) for stored, kept in zip(stack, states, strict=False)]
        self.first = stack[0]
        self.stored.append(stack)
        self.surroundings = surroundings
        self.parents, self.places, self.print = tuple(parents), {*nodes}, Print(leaves(result))
        return result

    @contextmanager
    def again(self) -> Iterator[None]:
        """The surroundings in which steps are run again, from the first."""
        with watching(self.step), self.surroundings.replaying(self.first.states), quietly(self.errors):
            yield

    def pull(self, g: dict[int, Any], node: Node, collect: Function, wrap: Any) -> None:
        if wrap is None:
            self.backward(g, collect, np.geterrcall())
        else:
            self.backward_linked(g, collect, np.geterrcall(), wrap)

    def backward(self, cotangents: dict[int, Any], collect: Function, flag: Any) -> None:
        """Take the steps in reverse, with the cotangents of the result by place."""
        try:
            stack = self.stored.pop()
        except IndexError:  # a walk before has used it up
            stack = [self.first]
        final = self.print
        with self.again():
            for i in reversed(range(self.n)):
                stored = self.bring_forward(stack, i)
                self.surroundings.set(stored.states)
                cotangents = self.step_back(stored, final, cotangents, collect, flag)
                if not cotangents:
                    return  # nothing depends on what was before
                final = Print(stored.aside.data())
        for place, node in self.given().items():
            if place in cotangents:
                collect(node, cotangents[place], False)

    def bring_forward(self, stack: list[_Stored], i: int) -> _Stored:
        """The carry before step `i`, from the last one in the stack; those in between are stored as slots allow."""
        stored = stack[-1]
        while stored.before < i:
            left = self.slots - len(stack)
            steps = split(i + 1 - stored.before, left + 1)
            self.surroundings.set(stored.states)
            aside = self.advance(stored.aside, stored.before, steps)
            stored = _Stored(stored.before + steps, aside, self.surroundings.states())
            if left:
                stack.append(stored)
        if stack[-1] is stored:
            stack.pop()
        return stored

    def step_back(
        self, stored: _Stored, final: Print, cotangents: dict[int, Any], collect: Function, flag: Any
    ) -> dict[int, Any]:
        """The cotangents of the carry before a step, given those of the one after it."""
        top, inputs, result = self.record(stored.aside, stored.before, self.tracked)
        final.check(NAME, Print(leaves(result)))
        after = [*leaves(result)]
        seeds = [(after[p]._node, g) for p, g in cotangents.items() if isinstance(after[p], Value) and after[p]._node]
        del result, after
        ends = walk_back(seeds, top=top, free=True, flag=flag)
        given = distribute(NAME, ends, top, inputs, {*self.parents}, collect)
        return {place: g for place, g, _ in given}

    def backward_linked(self, cotangents: dict[int, Any], collect: Function, flag: Any, wrap: Function) -> None:
        """The same in a lifted walk: all steps are recorded at once."""
        with self.again():
            top, inputs, result = self.record_linked(self.first.aside, 0)
            for i in range(1, self.n):
                _, _, result = self.record_linked(Aside(NAME, result, private=True), i)
        self.print.check(NAME, Print(leaves(result)))
        nodes = roots(result, -1)
        if not cotangents.keys() <= nodes.keys():
            raise changed(NAME, "returned other tracked Values")
        ends = walk_back([(nodes[p], g) for p, g in cotangents.items()], top=top, wrap=wrap, flag=flag)
        first = self.given()
        for place, g, _ in distribute(NAME, ends, top, inputs, {*self.parents}, collect):
            collect(first[place], g, False)

    def push(self, known: dict[Node, Any], lifted: bool) -> dict[int, Any]:
        """The tangents of the result by place, given those of the parents, one step after the other."""
        aside = self.first.aside
        tangents = {place: known[node] for place, node in self.given().items() if node in known}
        with self.again():
            for i in range(self.n):
                if lifted:
                    top, inputs, result = self.record_linked(aside, i)
                else:
                    top, inputs, result = self.record(aside, i, self.tracked)
                nodes = roots(result, -1)
                if not boundary(nodes.values(), top).keys() <= {*self.parents, *inputs}:
                    raise changed(NAME, "used another tracked Value")
                ts = {node: tangents[place] for node, place in inputs.items() if place in tangents}
                bounds: dict[str, Any] = {"floor": 0, "top": top, "wrap": Value._wrap}
                pushed = walk_forward([*nodes.values()], known | ts, **bounds, lifted=lifted)
                tangents = {p: t for p, t in zip(nodes, pushed, strict=True) if t is not None}
                aside = Aside(NAME, result, private=True, linked=lifted)
        self.print.check(NAME, Print(leaves(result)))
        return {place: tangents.get(place) for place in self.places}

    def given(self) -> dict[int, Node]:
        """The nodes of the first carry, by place."""
        aside = self.first.aside
        return {p: item.node for p, item in zip(aside.firsts, aside.items, strict=True) if item.node is not None}


def _carry(result: Any) -> Aside:
    return Aside(NAME, result, private=True, linked=False)


def _integer(name: str, x: Any) -> int:
    try:
        return operator.index(x)
    except TypeError:
        raise OperandError(f"{NAME}: {name}={x!r} is a {type(x).__name__}; it has to be an int") from None


def _spec(y: Any) -> Any:
    """Shape and dtype, or the type of what is no array."""
    y = peek(y)[0] if isinstance(y, Value) else y
    if isinstance(y, (int, float, complex)):
        y = np.asarray(y)
    return (y.shape, y.dtype) if hasattr(y, "dtype") and hasattr(y, "shape") else type(y)


def _said(spec: Any) -> str:
    return spec.__name__ if isinstance(spec, type) else f"{spec[1]}{list(spec[0])}"


class _InsideCase(ReplayCase):
    """The case of a step's own argument. Its graph leads nowhere, so nobody may come by on a walk from outside."""

    def pull(self, *_: Any) -> Any:
        raise GraphError(
            f"{NAME}: a Value that a step computes was used outside of it; let it be a part of the carry instead"
        )

    lift = push = residuals = pull  # type: ignore[assignment]


CASE = ReplayCase(checkpoint_scan, NAME)
INSIDE = _InsideCase(checkpoint_scan, "carry")
