"""One run of a function on Values of its own, ready to be walked: what every transform is made of.

A `Record` hands the function Values with fresh nodes and lets it record. To nest, it only has to know which nodes are
its own: those newer than its inputs. If a walk meets an operand that is older and tracked, an outer derivative is
under way (`grad(grad(f))`, or a tracked Value in a closure); then the walk is lifted, and the results are tracked
Values. Otherwise they are plain arrays.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .batched import Batched, check_running
from .box import Inner
from .buffers import watching
from .context import CHECKS, FILLED
from .convert import describe, is_array
from .copies import rebuild
from .ends import own
from .errors import OperandError
from .rule import Rule
from .tape import RECORDING, Node, OuterGraphError, number, walk_back, walk_forward
from .tree import Place, leaves, leaves_like, places, tree_map
from .value import Value
from .views import has_place, make_place, stale

__all__ = ["Record", "fitted", "fitted_all", "input_node"]

Function = Callable[..., Any]

PLAIN = frozenset((float, np.float64, np.ndarray))  # what is no container, for sure


class _Input:
    """The case of a transform's argument: cotangents end here, whoever walks."""

    __slots__ = ()

    count = 0
    is_spent = False
    rule = Rule(np.positive, "input", name="argument")

    def pull(self, saved: Any, g: Any) -> tuple[()]:
        return ()

    @property
    def spent(self) -> "_Input":
        return self

    def lift(self, saved: Any, node: Node, wrap: Any) -> None:
        return None


SHORT, LARGE = 100, 512  # nodes, elements: fewer are not worth looking for outer nodes before the walk
INPUT = _Input()
IDENTITY = Rule(np.positive, "elementwise", (lambda g: g,)).case((0,), False)


def input_node(outer: Node | None, shared: int) -> Node:
    """A node for an argument of a transform; linked to `outer` if that is tracked in its own right."""
    n = Node()
    n.number = shared
    n.saved = None
    n.case = IDENTITY if outer else INPUT
    n.parents = (outer,) if outer else ()
    return n


class Record:
    """One run of a function on Values of its own, ready to be walked."""

    nested = False  # an argument is tracked in its own right
    large = False  # an argument is an array for which it matters how soon the graph is freed
    lifted = False  # a walk has run on Values
    ties = False  # an input is in several places

    def __init__(self, transform: str, arguments: Sequence[Any], labels: Sequence[Any] | None = None) -> None:
        self.transform = transform
        self.outer = RECORDING.get()  # under no_grad a transform gives plain arrays
        self.number = number()  # of all inputs: what another thread makes in between is not taken for one
        running = FILLED.get()
        if running is not None:
            running.append(weakref.ref(self))
        self.values: list[Value] = []
        self.filled: list[Any] = []  # weak references to what f has filled with tracked Values, and to inner records
        self.inputs: list[tuple[Node, Any]] = []  # the nodes and arrays of the arguments, to which f may write
        # The containers with numbers of inputs in the places of the leaves: f may change those that it is given.
        self.skeletons: list[Any] = []
        self.arguments: list[Any] = []
        for self._label, self._argument in zip(labels or range(len(arguments)), arguments, strict=True):
            if type(self._argument) in PLAIN or self._argument is None:  # which raises
                self.skeletons.append(self._input(self._argument))
                self.arguments.append(self.values[-1])
                continue
            self._shared: dict[int, int] = {}  # the inputs for parameters of Modules, by their ids
            skeleton = tree_map(self._input, self._argument, inner=self._parameter)
            self.skeletons.append(skeleton)
            self.arguments.append(tree_map(self.values.__getitem__, skeleton))
        self._argument = None  # it is not kept

    def _input(self, x: Any, like: Value | None = None) -> int:
        """Make an input of the leaf `x` of an argument; its number."""
        kind = type(x)
        if kind is float or kind is np.float64:
            return self._add(np.float64(x), None, None)
        if kind is np.ndarray and x.ndim and x.dtype.kind in "fc":
            return self._add(x.copy(order="K"), None, None)
        data = x._array if isinstance(x, Value) else x
        if isinstance(data, (float, complex, np.memmap)):
            data = data.copy() if isinstance(data, Inner) else np.asarray(data)  # jit's numbers become arrays too
        if not is_array(data) or data.dtype.kind not in "fc":
            raise OperandError(f"{self.transform}: differentiated argument {self._no_number(x, data)}")
        has = has_place(x) if isinstance(x, Value) else isinstance(x, np.ndarray) and not x.ndim
        if isinstance(data, np.ndarray):
            data = data[()] if not data.ndim else data.copy(order="K")
        outer = x._node if self.outer and isinstance(x, Value) and x is not like else None
        index = self._add(data, outer, like)
        if has:
            make_place(self.values[-1])
        return index

    def _add(self, data: Any, outer: Node | None, like: Value | None) -> int:
        if outer is not None:
            self.nested = True
        if data.size > LARGE:
            self.large = True
        node = input_node(outer, self.number)
        if like is None:
            value = Value._wrap(data, node)
        else:
            value = rebuild(type(like), data, node, like.name, getattr(like, "__dict__", {}))
        self.values.append(value)
        self.inputs.append((node, data))
        return len(self.inputs) - 1

    def _parameter(self, x: Any) -> int:
        """The same for a leaf of a Module: one input for one object, and a variable of the user counts as its data."""
        if not isinstance(x, Value):
            return self._input(x)
        if id(x) in self._shared:
            self.ties = True
        else:
            self._shared[id(x)] = self._input(x, x if x.is_leaf else None)
        return self._shared[id(x)]

    def _no_number(self, x: Any, data: Any) -> str:
        """The end of a message: which leaf of which argument cannot be differentiated, and the ways out."""
        place = next((p for p in places(self._argument) if p.leaf is x), Place("", x, False))
        comma = ", " if place.path.startswith(".") and not isinstance(self._label, str) else ""
        if isinstance(data, int):
            what = f"of type {type(data).__name__}, which has no derivative; pass .astype(float) or float()"
        elif is_array(data):
            what = f"of type {type(x).__name__} with dtype {data.dtype}, which has no derivative; pass .astype(float)"
        else:
            what = describe(data)
        way = '; or declare the field with metadata={"static": True}' if place.is_field else ""
        return f"{self._label}{comma}{place.path} is {what}{way}"

    def run(self, f: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        token, outer = RECORDING.set(CHECKS.get() or True), FILLED.set(self.filled)
        try:
            with watching(f):
                result = f(*args, **kwargs)
        except BaseException:
            FILLED.reset(outer)
            self.forget(())
            raise
        else:
            FILLED.reset(outer)
            return result
        finally:
            RECORDING.reset(token)

    def forget(self, results: Any) -> None:
        """Detach the buffers that `f` has filled and that are held still; not results, nor what leads elsewhere."""
        outer = FILLED.get()
        if outer is not None:
            outer.extend(self.filled)
        elif self.filled:
            kept = {id(y) for y in leaves(results, result=True)}
            for reference in self.filled:
                buffer = reference()
                if isinstance(buffer, Value) and id(buffer) not in kept and not self._meets_outer([buffer._node]):
                    buffer._node = None
                    stale(buffer)
        self.filled.clear()

    def back(self, outputs: Sequence[Any], seeds: Sequence[Any], *, last: bool = False, aux: Any = None) -> list[Any]:
        """Cotangents of the arguments, in their containers, given cotangents of the outputs."""
        return self.packed(self.pull(outputs, seeds, last=last, aux=aux))

    def packed(self, parts: Sequence[Any]) -> list[Any]:
        """What there is for each input, in the containers of the arguments."""
        return [parts[s] if type(s) is int else tree_map(parts.__getitem__, s) for s in self.skeletons]

    def pull(
        self,
        outputs: Sequence[Any],
        seeds: Sequence[Any],
        *,
        last: bool = False,
        aux: Any = None,
        recorded: bool = False,
    ) -> list[Any]:
        """Cotangents of the inputs; `recorded`: as functions of the inputs.

        `last`: no other walk will need the graph, so it is freed, on the way if that matters. But an outer derivative
        may, which comes by way of `outputs` or of `aux`, what else f has returned, or an inner vjp.
        """
        pairs = [
            (y._node, g) for y, g in zip(outputs, seeds, strict=True) if isinstance(y, Value) and y._node is not None
        ]
        outer = self.outer and RECORDING.get()
        lifted = recorded or (outer and self.nested)
        free: Any = last and not (self.filled and self._may_walk_again())
        if free and outer and not lifted:
            free = aux is None or not self._meets_outer(
                [y._node for y in leaves(aux) if isinstance(y, Value) and y._node]
            )
            if free and not self.large and number() - self.number < SHORT:
                free = []  # until it is known that no outer node is met
            elif free:
                lifted = self._meets_outer([n for n, _ in pairs])
        floor = self.number
        if not lifted:  # a tracked cotangent records by itself; what the nodes saved are constants
            try:
                given = pairs if outer else [(n, _lower(g)) for n, g in pairs]
                ends = walk_back(_conjugated(given), floor=floor, top=floor, free=free, prune=not outer)
                if type(free) is list:
                    for n in free:
                        n.case, n.saved = n.case.spent, None
            except OuterGraphError:
                lifted = True
        self.lifted = lifted
        if lifted:
            given = _conjugated([(n, _lift(g)) for n, g in pairs])
            ends = walk_back(given, floor=floor, top=floor, wrap=Value._wrap)
        gradients: list[Any] = []
        for node, data in self.inputs:
            g = ends.cotangents.get(node)
            if type(g) is not np.float64:
                g = _result(np.zeros_like(data)[()] if g is None else own(g, node in ends.owned))
            gradients.append(g)
        return gradients

    def directions(self, primals: Any, tangents: Any, name: str = "tangents", *, bare: bool = False) -> list[Any]:
        """The tangents of the inputs, given those of the arguments; `bare`: to the user they are that of the one."""
        what = f"{self.transform}: {name}"
        if not isinstance(tangents, (tuple, list)):
            count = f"{len(primals)} for the {len(primals)} arguments" if len(primals) != 1 else "one for the argument"
            raise OperandError(f"{what} is a {type(tangents).__name__}; pass a tuple, {count}")
        if len(primals) == len(tangents) == len(self.values) and all(map(_fits, tangents, self.values)):
            return [*tangents]  # as they are most of the time
        if not self.ties:
            tree, given = (primals[0], tangents[0]) if bare else (tuple(primals), tuple(tangents))
            return fitted_all(what, tree, given, self.values)
        given = fitted_all(what, tuple(primals), tuple(tangents), [*leaves(self.arguments)])
        by_input: dict[int, Any] = {}
        for i, t in zip(leaves(self.skeletons), given, strict=True):
            if i in by_input and by_input[i] is not t and not np.array_equal(_lower(by_input[i]), _lower(t)):
                raise OperandError(f"{what}: a parameter that two Modules share has two different tangents")
            by_input.setdefault(i, t)
        return [*by_input.values()]

    def forward(self, result: Any, ts: Sequence[Any]) -> Any:
        """The tangents of the outputs, in the result's containers."""
        if type(result) is Value:
            return self.push([result], ts)[0]
        pushed = iter(self.push([*leaves(result, result=True)], ts))
        return tree_map(lambda _: next(pushed), result, result=True)

    def push(self, outputs: Sequence[Any], ts: Sequence[Any], *, recorded: bool = False) -> list[Any]:
        """The tangents of the outputs, given those of the inputs; `recorded`: as functions of the inputs."""
        nodes: list[Any] = [y._node for y in outputs if isinstance(y, Value) and y._node is not None]
        floor, lifted = self.number, recorded or (self.outer and self.nested)

        def walk(lifted: bool) -> list[Any]:
            given = [_lift(t) if lifted else t if self.outer else _lower(t) for t in ts]
            tangents = {node: t for (node, _), t in zip(self.inputs, given, strict=True)}
            return walk_forward(
                nodes, tangents, floor=floor, top=floor, wrap=Value._wrap, lifted=lifted, prune=not self.outer
            )

        try:
            pushed = walk(lifted)
        except OuterGraphError:
            pushed = walk(lifted := True)
        by_node = dict(zip(nodes, pushed, strict=True))

        def tangent(y: Any) -> Any:
            t = by_node.get(y._node) if isinstance(y, Value) else None
            if t is None:
                return _result(np.zeros_like(y._array if isinstance(y, Value) else y)[()])
            return t if isinstance(t, Value) else Value._wrap(t) if type(t) is Batched else t.copy()[()]

        return [*map(tangent, outputs)]

    def release(self, result: Any, known: bool = False) -> Any:
        """What f returned, for the caller: arrays of its own, unless an outer derivative may need Values.

        `known`: a walk back from the result has said whether it meets an outer graph.
        """

        def leave(y: Any) -> Any:
            if not isinstance(y, Value):
                return y
            if type(y._array) is Batched:
                check_running(y._array, f"{self.transform}: the function returned")
            if self.outer and y._node is not None:
                if self.nested or (self.lifted if known else self._meets_outer([y._node])):
                    return y
            return y._array.copy() if isinstance(y._array, np.ndarray) else _result(y._array)

        return leave(result) if type(result) is Value else tree_map(leave, result, result=True)

    def pushes(self, y: Any) -> bool:
        """Whether each rule behind `y` pushes tangents by itself: to transpose a pull twice is what costs the most."""
        if not isinstance(y, Value) or y._node is None:
            return True
        seen, pending, top = set(), [y._node], self.number
        while pending:
            n = pending.pop()
            if n.number > top and n not in seen:
                rule = n.case.rule
                if rule.kind == "general" and not rule.push:
                    return False
                seen.add(n)
                pending += n.parents
        return True

    def _may_walk_again(self) -> bool:
        """Whether an inner vjp, which records into the same graph, has left its pullback behind."""
        return any(isinstance(reference(), Record) for reference in self.filled)

    def _meets_outer(self, pending: list[Node]) -> bool:
        """Whether the graph of these nodes, a list to use up, leads to an operand that is older than the inputs."""
        top, seen = self.number, set()
        while pending:
            n = pending.pop()
            number = n.number
            if number > top:
                if n not in seen:
                    seen.add(n)
                    pending += n.parents
            elif number < top and (number or n.saved) < top:  # of a leaf, `saved` is the moment of its creation
                return True
        return False


def _fits(t: Any, y: Value) -> bool:
    """Whether `t` is a tangent of `y` as it is."""
    like = y._array
    return type(t) is np.ndarray is type(like) and t.shape == like.shape and t.dtype is like.dtype and t.ndim > 0


def _result(x: Any) -> Any:
    """An array for the caller; a batch is never seen but inside of a Value."""
    return Value._wrap(x) if type(x) is Batched else x


def _lift(g: Any) -> Value:
    """A cotangent or tangent as a Value; the recorded nodes keep it, so the caller's array is copied."""
    return g if isinstance(g, Value) else Value._wrap(g.copy())


def _lower(g: Any) -> Any:
    return g._array if isinstance(g, Value) else g


def _conjugated(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    if len(pairs) == 1 and type(pairs[0][1]) is np.float64:
        return pairs
    return [(n, np.conj(g) if g.dtype.kind == "c" else g) for n, g in pairs]


def fitted_all(what: str, tree: Any, given: Any, targets: Sequence[Any], *, result: bool = False) -> list[Any]:
    """What `given` has in the places of the leaves of `tree`, each fitted to one of the `targets`."""
    if type(tree) is Value and type(given) in PLAIN:
        parts = [given]
    else:
        parts = [*leaves_like(tree, given, what, result=result)]
    kept: list[Any] = []
    for g, y in zip(parts, targets, strict=True):
        try:
            kept.append(fitted(what, g, y))
        except (TypeError, ValueError):
            fitted(what + places(tree, result=result)[len(kept)].path, g, y)  # the same, with the place
            raise
    return kept


def fitted(what: str, g: Any, y: Any) -> Any:
    """`g` as a cotangent or tangent of `y`: of its shape, cast to its dtype."""
    if isinstance(y, Value) and _fits(g, y):
        return g
    kept = g if isinstance(g, Value) or is_array(g) else np.asarray(g)
    shape, dtype = np.shape(y), y.dtype if hasattr(y, "dtype") else np.result_type(y)
    if kept.shape != shape:
        raise ValueError(f"{what} has shape {kept.shape}, expected {shape}")
    if not is_array(kept.data if isinstance(kept, Value) else kept):
        raise OperandError(f"{what} is not numeric: dtype {kept.dtype}")
    if kept.dtype.kind == "c" and dtype.kind != "c":
        raise OperandError(f"{what} is complex, expected {dtype}; pass its .real")
    if kept.dtype != dtype:
        kept = kept.astype(dtype)
    if isinstance(kept, Value):
        return kept if kept._node is not None else kept._array
    return kept[()] if not kept.ndim else kept
