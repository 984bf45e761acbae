"""checkpoint: a function whose intermediate results are not kept, but computed again in the backward pass.

    y = checkpoint(block)(x)        # keeps x, not what block computes on the way

The function is recorded once, to find the Values that it closes over and that gradients have to reach, and the record
is dropped. What stays is one node, whose parents are the tracked arguments and those Values. Whenever a walk comes by,
the function is recorded again, and the walk goes on through the new record.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..buffers import watching
from ..context import CHECKS, LEVELS
from ..record import input_node
from ..tape import RECORDING, Node, number, walk_back, walk_forward
from ..transform import transform
from ..tree import leaves
from ..value import Value
from .replay import Aside, Item, Print, ReplayCase, assemble, boundary, changed, distribute, quietly, roots, run
from .surroundings import Surroundings

__all__ = ["checkpoint"]

Function = Callable[..., Any]


@transform
def checkpoint(f: Function) -> Function:
    """`f`, but of its intermediate results nothing is kept for the backward pass, which runs `f` a second time.

    Arrays in nested containers come in and go out, and any that `f` closes over gets its gradient as ever. The
    function works on copies of what it is given. It has to do the same when it runs again: random generators among
    its arguments, in its closure, its globals or its attributes, and NumPy's global one, are put back for it. It must
    not write to arrays, Values or containers from outside.

    >>> from autodiff import grad
    >>> print(grad(checkpoint(lambda x: x**3))(2.0))
    12.0

    Raises GraphError if `f` writes to a Value from outside, or gives another result when it runs again; of a result
    above 64 KiB a sample is compared. The idea: A. Griewank, Achieving logarithmic growth of temporal and spatial
    complexity in reverse automatic differentiation, Optimization Methods and Software 1 (1992) 35-54.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        arguments = Aside("checkpoint", (args, kwargs))
        if not RECORDING.get():
            (args, kwargs), _ = arguments.fresh(lambda k, item: item.node)
            with watching(f):
                result = run(f, args, kwargs, False, LEVELS.get())
            return assemble(result, (), CASE, _Call(f, arguments), _is_plain(arguments))
        return _first(_Call(f, arguments), Surroundings(f, args, kwargs))

    return call


class _Run(NamedTuple):
    """A recorded run: the number of its inputs, their nodes by item, the result."""

    number: int
    inputs: list[Node | None]
    result: Any


class _Call:
    """A call that can be repeated, which its node saves."""

    __slots__ = ("arguments", "checks", "errors", "f", "levels", "parents", "places", "print", "states", "surroundings")

    surroundings: Surroundings
    states: list[Any]
    print: Print

    def __init__(self, f: Function, arguments: Aside) -> None:
        self.f = f
        self.arguments = arguments
        self.checks, self.levels = CHECKS.get(), LEVELS.get()
        self.errors: Any = np.geterr()
        self.places: dict[int, Node] | set[int] = {}
        self.parents: tuple[Node, ...] = ()

    def run(self) -> _Run:
        top = number()

        def node_of(_: int, item: Item) -> Node | None:
            return input_node(item.node, top) if item.node is not None else None

        (args, kwargs), inputs = self.arguments.fresh(node_of)
        with watching(self.f):
            result = run(self.f, args, kwargs, CHECKS.get() or self.checks or True, self.levels)
        return _Run(top, inputs, result)

    def again(self) -> tuple[_Run, dict[int, Node]]:
        """A second run, checked against the first; and the nodes of its results."""
        with self.surroundings.replaying(self.states), quietly(self.errors):
            again = self.run()
        self.print.check("checkpoint", Print(leaves(again.result)))
        found = roots(again.result, again.number)
        if found.keys() != self.places:
            raise changed("checkpoint", "returned other tracked Values")
        return again, found

    def pull(self, g: Any, node: Node, collect: Function, wrap: Any) -> None:
        flag = np.geterrcall()
        again, found = self.again()
        top = again.number
        seeds = [(found[i], d) for i, d in g.items()]
        ends = walk_back(seeds, top=top, free=wrap is None, wrap=wrap, flag=flag)
        for given in distribute("checkpoint", ends, top, self.outer(again), {*node.parents}, collect):
            collect(*given)

    def push(self, known: dict[Node, Any], lifted: bool) -> dict[int, Any]:
        again, found = self.again()
        outer = self.outer(again)
        if not {outer.get(n, n) for n in boundary(found.values(), again.number)} <= {*self.parents}:
            raise changed("checkpoint", "used another tracked Value")
        known |= {n: known[p] for n, p in outer.items() if p in known}
        bounds: dict[str, Any] = {"floor": 0, "top": again.number, "wrap": Value._wrap}
        return dict(zip(found, walk_forward([*found.values()], known, **bounds, lifted=lifted), strict=True))

    def outer(self, again: _Run) -> dict[Node, Node]:
        """The nodes of the arguments by those that stand for them in the run."""
        pairs = zip(again.inputs, self.arguments.items, strict=True)
        return {n: item.node for n, item in pairs if n is not None and item.node is not None}


def _first(call: _Call, surroundings: Surroundings) -> Any:
    before = surroundings.states()
    top, inputs, result = call.run()
    found = roots(result, top)
    surroundings.check_unwritten("checkpoint")
    if found:
        outer = call.outer(_Run(top, inputs, result))
        call.parents = tuple(dict.fromkeys(outer.get(n, n) for n in boundary(found.values(), top)))
    if call.parents:
        (call.states, _) = surroundings.keep_used(before, surroundings.states())
        call.surroundings = surroundings
        call.print = Print(leaves(result))
        call.places = {*found}
    return assemble(result, call.parents, CASE, call, _is_plain(call.arguments))


def _is_plain(arguments: Aside) -> bool:
    return not any(item.is_value for item in arguments.items)


CASE = ReplayCase(checkpoint, "checkpoint")
