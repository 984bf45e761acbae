"""One call of a function with a rule of its own: what its node saves, and how its rules are applied."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..arrays import restore
from ..batched import Batched
from ..constants import keep
from ..context import LEVELS, Active
from ..convert import is_array
from ..errors import DetachError, OperandError
from ..many import Pick
from ..rule import Rule
from ..spec import Spec
from ..tape import RECORDING, Ends, Node, OuterGraphError, leaf, operation, walk_back
from ..tree import leaves, leaves_like, tree_map
from ..value import Value
from .running import array_of, closes_over, computed, frozen, is_inexact, plain

__all__ = ["Call"]

Function = Callable[..., Any]


class Call:
    """One call of a function with a rule of its own: what its node saves."""

    def __init__(self, custom: Any, arguments: dict[str, Any], bound: Any) -> None:
        self.custom, self.name = custom, custom._rule.name
        given = [*leaves(arguments)]
        self.data = [x._array if isinstance(x, Value) else x for x in given]
        count = iter(range(len(given)))
        self.skeleton = tree_map(lambda _: next(count), arguments)
        self.tracked = [i for i, x in enumerate(given) if isinstance(x, Value) and x._node is not None]
        self.parents = tuple([given[i]._node for i in self.tracked])
        self.given, self.bound = given, bound
        self.levels = LEVELS.get()

    # -- forward

    def result(self) -> Any:
        def primal(arguments: dict[str, Any]) -> Any:
            bound: Any = inspect.BoundArguments(self.bound.signature, arguments)
            return self.custom.f(*bound.args, **bound.kwargs)

        answer = computed(primal, tree_map(lambda i: frozen(self.data[i]), self.skeleton), self.custom.f)
        outputs = [*leaves(answer, result=True)]
        if any(isinstance(y, Value) and y._node is not None for y in outputs):
            raise DetachError(
                f"{self.name}: it closes over a tracked Value, whose gradient would be lost; make it an argument"
            )
        if not all(isinstance(y, (int, float, complex, Value)) or is_array(y) for y in outputs):
            raise OperandError(f"{self.name}: a function with a custom rule returns arrays, or containers of them")
        self.answers = [plain(y) for y in outputs]
        count = iter(range(len(outputs)))
        self.shape = tree_map(lambda _: next(count), answer, result=True)
        recording = RECORDING.get()
        if not self.tracked or not recording:
            wrapped: list[Any] = [Value._wrap(a) for a in self.answers]
        else:
            node = operation(self.parents)
            node.case = self.custom._case
            for i, x in enumerate(self.given):
                if type(x) is np.ndarray:
                    self.data[i] = keep(node, x)
            node.saved = self
            if recording is not True:
                recording(node, self.answers[0])
            wrapped = [self.wrapped(k, node, Value._wrap) for k in range(len(outputs))]
        del self.given, self.bound, self.parents
        return tree_map(wrapped.__getitem__, self.shape)

    def wrapped(self, k: int, node: Node, wrap: Function) -> Any:
        """The k-th answer with its node: that of the call, or one that picks it out."""
        data = self.answers[k]
        if data.dtype.kind not in "fc":
            return wrap(data, None)
        if len(self.answers) == 1:
            return wrap(data, node)
        pick = operation((node,))
        pick.case, pick.saved = Pick(Rule(self.custom.f, "linear", name=f"{self.name}[{k}]"), k), None
        return wrap(data, pick)

    # -- the derivatives

    def arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = tree_map(self.data.__getitem__, self.skeleton)
        return arguments

    def answer(self) -> Any:
        return tree_map(self.answers.__getitem__, self.shape)

    def with_defaults(self, arguments: dict[str, Any]) -> dict[str, Any]:
        parameters = self.custom._signature.parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty} | arguments

    def call(self, rule: tuple[Function, list[str]], **more: Any) -> Any:
        """Call a rule with what it names, or, if it has no names, with the dict of all that is known."""

        def named(known: dict[str, Any]) -> Any:
            if not rule[1]:
                return rule[0](known)
            full = self.with_defaults(known.pop("arguments")) | known
            return rule[0](**{name: full[name] for name in rule[1]})

        now, then = LEVELS.get(), self.levels
        token = LEVELS.set(Active(max(now.before, then.before), (*then.levels, *now.levels)))
        try:  # the vmap of the call may have ended: a gradient inside of the rule is still one for each example
            known = {"arguments": self.arguments(), "ans": self.answer(), **more}
            return computed(named, tree_map(frozen, known), rule[0])
        finally:
            LEVELS.reset(token)

    def inexact(self) -> list[str]:
        """The arguments that have a derivative: those with floats in them."""
        return [k for k, part in self.skeleton.items() if any(is_inexact(self.data[i]) for i in _indices(part))]

    def pulled(self, g: Any) -> list[Any]:
        """The cotangents of the tracked leaves, by the vjp that was given."""
        assert self.custom._pulls is not None
        returned = self.call(self.custom._pulls, g=g)
        found: list[Any] = [None] * len(self.data)
        for name, part in self.by_argument(returned):
            skeleton = self.skeleton[name]
            if part is None or not _indices(skeleton):
                continue
            for i, d in zip(_indices(skeleton), self.parts_of(skeleton, part, name), strict=True):
                found[i] = d
        return [self.fitted(found[i], self.data[i], "vjp", "cotangent") for i in self.tracked]

    def parts_of(self, skeleton: Any, part: Any, name: str) -> Iterator[Any]:
        """The cotangents in a container, None for those that are not there."""
        if isinstance(skeleton, int):
            yield part
        else:
            filled = tree_map(lambda i: self.data[i], skeleton)
            yield from leaves_like(filled, part, f"{self.name}: the cotangent of {name} from its vjp")

    def by_argument(self, returned: Any) -> Iterator[tuple[str, Any]]:
        """What a vjp returned, by the names of the arguments."""
        given, inexact, parameters = [*self.skeleton], self.inexact(), [*self.custom._signature.parameters]
        for_all = isinstance(returned, tuple) and len(returned) == len(parameters) > 1
        if (
            isinstance(returned, dict)
            and returned.keys() <= {*given}
            and not (len(given) == 1 and returned.keys() != {*given})
        ):
            yield from returned.items()
            return
        if (len(given) == 1 and not for_all) or (len(inexact) == 1 and not isinstance(returned, (tuple, list))):
            sole = (inexact or given)[0]
            bare = not (isinstance(returned, tuple) and len(returned) == 1 and isinstance(self.skeleton[sole], int))
            yield sole, returned if bare else returned[0]
            return
        for names in (given, inexact, parameters):
            if isinstance(returned, (tuple, list)) and len(returned) == len(names):
                yield from ((n, part) for n, part in zip(names, returned, strict=True) if n in self.skeleton)
                return
        count = len(returned) if isinstance(returned, (tuple, list)) else 1
        raise OperandError(
            f"{self.name}: its vjp returned {count} cotangents for the arguments {', '.join(given)}; return a tuple "
            "with one for each, None for zero"
        )

    def pushed(self, tangents: list[Any]) -> list[Any]:
        """The tangents of the answers, by the jvp that was given."""
        assert self.custom._pushes is not None
        by_leaf: list[Any] = [None] * len(self.data)
        for i, x in enumerate(self.data):
            if is_inexact(x):
                like = x if hasattr(x, "dtype") or isinstance(x, Value) else np.float64(x)
                by_leaf[i] = np.zeros_like(like)[()]
        for i, t in zip(self.tracked, tangents, strict=True):
            by_leaf[i] = by_leaf[i] if t is None else t
        filled = tree_map(by_leaf.__getitem__, self.skeleton)
        by_name = {name: filled[name] for name, part in self.skeleton.items() if _indices(part)}
        parts = tuple(map(by_name.get, self.custom._signature.parameters))
        returned = self.call(self.custom._pushes, t=parts[0] if len(parts) == 1 else parts)
        what = f"{self.name}: the tangent from its jvp"
        found = (
            [returned] if isinstance(self.shape, int) else [*leaves_like(self.answer(), returned, what, result=True)]
        )
        return [self.fitted(t, a, "jvp", "tangent") for t, a in zip(found, self.answers, strict=True)]

    def fitted(self, d: Any, target: Any, rule: str, what: str) -> Any:
        """A cotangent or tangent in the shape and dtype of its array. Raises OperandError if it does not fit."""
        spec = Spec.of(target)
        if d is None:
            return np.zeros_like(target._array if isinstance(target, Value) else target)[()]
        if not isinstance(d, (Value, int, float, complex)) and type(d) is not Batched and not is_array(d):
            raise OperandError(f"{self.name}: its {rule} returned a {type(d).__name__} as {what}; return an array")
        d = np.asarray(d)[()] if isinstance(d, (int, float, complex)) else d
        if spec.dtype.kind != "c" and d.dtype.kind == "c":
            d = d.real
        shape = d.shape
        try:
            fits = np.broadcast_shapes(shape, spec.shape) == (shape if rule == "vjp" else spec.shape)
        except ValueError:
            fits = False
        if not fits and rule == "vjp" and shape == ():
            fits, d = True, d + np.zeros_like(target._array if isinstance(target, Value) else target)
        if not fits:
            raise OperandError(f"{self.name}: its {rule} returned a {what} of shape {shape}, expected {spec.shape}")
        return restore(np.broadcast_to(d, spec.shape) if rule == "jvp" and shape != spec.shape else d, spec)

    # -- the other mode, by transposing

    def walked(self, seeds: list[tuple[Node, Any]], first: Node, lifted: bool, rule: str) -> Ends:
        """What a walk back through what a rule has recorded brings, up to its inputs, of which `first` is one."""
        try:
            return walk_back(seeds, floor=first.saved, top=first.saved, wrap=Value._wrap if lifted else None)
        except OuterGraphError:
            raise closes_over(self, rule) from None

    def transposed_push(self, cotangents: list[Any], lifted: bool) -> list[Any]:
        """The vjp from the jvp: it is linear in the tangents, so walk back from what it makes of zeros."""
        inputs = [Value._wrap(np.zeros_like(array_of(self.data[i]))[()], leaf()) for i in self.tracked]
        outputs = self.pushed([*inputs])
        seeds = [
            (y._node, g)
            for y, g in zip(outputs, cotangents, strict=True)
            if g is not None and isinstance(y, Value) and y._node is not None
        ]
        ends = self.walked(seeds, inputs[0]._node, lifted, "jvp") if seeds else None
        found = [ends.cotangents.get(x._node) if ends else None for x in inputs]
        return [np.zeros_like(x._array)[()] if d is None else d for d, x in zip(found, inputs, strict=True)]

    def transposed_pull(self, tangents: list[Any], lifted: bool) -> list[Any]:
        """The jvp from the vjp, one answer after the other."""
        found: list[Any] = []
        for k, a in enumerate(self.answers):
            data = array_of(a)
            if data.dtype.kind not in "fc":
                found.append(None)
                continue
            u = Value._wrap(np.zeros_like(data)[()], leaf())
            seeds = [u if j == k else np.zeros_like(array_of(b))[()] for j, b in enumerate(self.answers)]
            cotangents = self.pulled(tree_map(seeds.__getitem__, self.shape))
            pairs = [
                (v._node, t)
                for v, t in zip(cotangents, tangents, strict=True)
                if t is not None and isinstance(v, Value) and v._node is not None
            ]
            ends = self.walked(pairs, u._node, lifted, "vjp") if pairs else None
            d = ends.cotangents.get(u._node) if ends else None
            found.append(np.zeros_like(data)[()] if d is None else d)
        return found


def _indices(skeleton: Any) -> list[int]:
    """The numbers of the leaves of an argument; none for what is no array and no container."""
    return [i for i in leaves(skeleton) if type(i) is int]
