"""A jitted function of tracked Values, or one that captures some: one node, with a program for either direction.

The function and the walk back from its result are recorded as one graph, which is parted in two (see residuals). What
is asked for besides, derivatives of derivatives, tangents and cotangents that are batches, is a jitted function of its
own, which runs f on the inputs of the call again; so are its derivatives, and any order is compiled.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays import restore
from ..batched import Batched, Levels, hide, levels_of, widened
from ..box import Box
from ..constants import keep
from ..context import LEVELS, Active
from ..many import Parts
from ..rule import Rule
from ..spec import Spec
from ..tape import LEAF, RECORDING, Node, number
from ..transform import name_of
from ..value import Value
from .draws import Draw
from .entry import Out
from .graph import Graph
from .interpret import Interpreted, Mismatch
from .links import Links
from .native import Program as Native
from .program import Program, Run, runner_of, wrap_batches
from .rerun import Rerun
from .residuals import parted, readers
from .signature import Signature

__all__ = ["LinkedProgram", "Walk"]


class Walk:
    """The walk back as it was recorded: from which outputs, to what."""

    def __init__(self, links: Links, outputs: Sequence[tuple[Node, Any, Out]], count: int) -> None:
        self.links = links
        self.outputs = [out for _, _, out in outputs]  # the tracked ones
        self.count = count  # of outputs that are not gradients
        self.cotangents, self.gradients = links.pull([(node, data) for node, data, _ in outputs])


class LinkedProgram(Program):
    """A program whose tracked outputs are linked to the tracked inputs by a node, and the program of its walk back."""

    def __init__(self, run: Run, walk: Walk, f: Any, call: Any, jit: Any) -> None:
        recorder, places, given, generators = run.recorder, run.places, run.given, run.places.generators
        super().__init__(run)
        self.drawing = [(place, generator) for place, generator in generators if id(generator) in self.draws]
        joint, last = self.graph, {n.number for n in walk.cotangents}
        self.weak = [w for n, w in zip(joint.inputs, recorder.weak, strict=True) if n.number not in last]
        self._first = [x for n, x in zip(joint.inputs, recorder.kept or (), strict=True) if n.number not in last]
        self.tracked, self.kinds = walk.outputs, given.kinds()
        private = {*range(walk.count)} - {out.index for out in self.tracked}
        parts = parted(joint, walk.cotangents, walk.count, private)
        self.graph, self.back_graph, self._taken, self._residuals = parts[:4]
        self.asked, self._asked_back = _shared_out(recorder.asked, parts.asked, len(joint.guards))
        self.needs = readers(joint, walk.cotangents, joint.outputs[walk.count :])
        self._zeros = [np.zeros(n.shape, n.dtype) for n in walk.cotangents]
        count = len(given.leaves)
        self.roots = walk.links.roots
        smooth = [i for i, gradient in enumerate(walk.gradients) if gradient]
        self._levels = [gradient.levels for gradient in walk.gradients if gradient]
        order = [i for i, kind in enumerate(self.kinds) if kind > 0]  # of the nodes that a call brings
        self._from_leaves = [order.index(i) for i in smooth if i < count]
        self._from_roots = [self.roots[i - count] for i in smooth if i >= count]
        where = {id(source.root): count + k for k, source in enumerate(self.sources) if source.root is not None}
        self.smooth = [i for i in smooth if i < count] + [where[id(root)] for root in self._from_roots]
        self._summed = walk.links.summed  # levels whose examples the gradients are summed over
        batches = [i for i, x in enumerate(given.originals) if isinstance(x, Value) and type(x._array) is Batched]
        self._batches = [*zip(batches, self.patterns, strict=True)]
        self._variables = [stand.case is None for stand in walk.links.stands]
        self.ascending = sorted(range(len(self.smooth)), key=self.smooth.__getitem__)
        self.rerun = Rerun(f, self, given, call, sorted(self.smooth), jit)
        self.rule = Rule(f, "custom", name=f"jit({name_of(f)})", outputs=len(self.tracked))
        self.case = _Case(self)
        written = {id(place) for place, _, in_place in places.writes if in_place}
        self._kept = [i for i, kind in enumerate(self.kinds) if kind < 0 and not self.weak[i]]
        self._kept += [
            count + k
            for k, source in enumerate(self.sources)
            if type(source) is not Draw and source.root is None and id(source) not in written
        ]
        self._written = [count + k for k, source in enumerate(self.sources) if id(source) in written]
        self._back: Any = None

    # -- forward

    def first(self, given: Signature) -> list[Any]:
        """The outputs of the run that was recorded. Raises Mismatch if they cannot be computed again."""
        inputs, self._first = self._first, []
        outputs, invalid = Interpreted(self.graph).run(inputs)
        self.spoiled = invalid and self.flagged
        outputs = self._linked(inputs, given.nodes(), outputs, given.levels)
        wrap_batches(outputs, self.hidden, given.levels)
        return outputs

    def graphs(self) -> dict[str, tuple[Graph, Mapping[int, str]]]:
        return {"program": (self.graph, self.asked), "backward program": (self.back_graph, self._asked_back)}

    @property
    def key(self) -> Any:
        return super().key, self._taken, self._residuals

    def holds(self) -> bool:
        return super().holds() and all(
            (root._node.number == LEAF) is kind for root, kind in zip(self.roots, self._variables, strict=True)
        )

    def ended(self, arrays: Any, outputs: list[Any], nodes: Any, levels: Levels) -> list[Any]:
        return super().ended(arrays, self._linked(arrays, nodes, outputs, levels), nodes, levels)

    def may_link(self, nodes: Any) -> bool:
        return bool(RECORDING.get()) and not self.spoiled

    def _linked(self, inputs: Any, nodes: Any, outputs: list[Any], levels: Levels = ()) -> list[Any]:
        """The outputs with Values in the places of those that are tracked, which have a node."""
        node = Node()
        node.number = number()
        node.parents = (*[nodes[i] for i in self._from_leaves], *[root._node for root in self._from_roots])
        node.case = self.case
        inputs = [*inputs]
        for i in self._kept:
            inputs[i] = keep(node, inputs[i])
        for i in self._written:
            inputs[i] = inputs[i].copy()
        node.saved = _Saved(inputs, [outputs[i] for i in self._residuals], levels, LEVELS.get() if levels else None)
        recording = RECORDING.get()
        if recording is not True:
            for out in self.tracked:
                recording(node, outputs[out.index])
        for k, out in enumerate(self.tracked):
            y = outputs[out.index]
            y = hide(y, tuple([levels[i] for i in out.levels])) if out.levels else y if y.ndim else y[()]
            outputs[out.index] = Value._wrap(y, node if len(self.tracked) == 1 else node.picked(k))
        return outputs

    def zeros(self, saved: "_Saved") -> list[Any]:
        """Of the tracked outputs."""
        return [
            hide(x, tuple([saved.levels[i] for i in out.levels]))
            for x, out in zip(self._zeros, self.tracked, strict=True)
        ]

    # -- backward

    def back(self, saved: "_Saved", gs: Sequence[Any]) -> list[Any] | None:
        """The gradients, by the program; None if it cannot give them."""
        if self.spoiled or (self._summed and any(saved.levels[k] in LEVELS.get() for k in self._summed)):
            return None
        arrays = [*[saved.inputs[i] for i in self._taken], *saved.residuals]
        for g, zeros, out in zip(gs, self._zeros, self.tracked, strict=True):
            if g is None:
                g = zeros
            elif out.levels:
                levels = tuple([saved.levels[i] for i in out.levels])
                if isinstance(g, Box) or not all(level in levels for level in levels_of(g)):
                    return None
                g = widened(g, levels).whole
            if not isinstance(g, (np.ndarray, np.generic)):
                return None
            arrays.append(np.asarray(g, order="C"))
        runner = self._back
        if runner is None:
            if self.runner is None:  # this is the run that was recorded
                runner = Interpreted(self.back_graph)
            else:
                runner = self._back = runner_of(self.back_graph)
        found = runner.whole(*arrays) if type(runner) is Native and runner.whole else None
        if type(found) is not list:
            try:
                found, invalid = runner.run(arrays)
            except Mismatch:
                return None
            if invalid and self.flagged:
                self.spoiled = True
                return None
        if saved.levels:
            return [
                hide(d, tuple([saved.levels[i] for i in levels])) if levels else d if d.ndim else d[()]
                for d, levels in zip(found, self._levels, strict=True)
            ]
        return [d if d.ndim else d[()] for d in found]

    def shown(self, saved: "_Saved") -> list[Any]:
        """The inputs of a call as f sees them: batches with hidden axes."""
        inputs = [*saved.inputs]
        for i, levels in self._batches:
            if saved.residuals is not None:
                inputs[i] = hide(inputs[i], tuple([saved.levels[k] for k in levels]))
        return inputs

    def again(self, name: str, saved: "_Saved", directions: Sequence[Any], like: Sequence[Any]) -> list[Any]:
        """Derivatives by running f again: `name` is pulled or pushed."""
        given = [np.zeros_like(x) if d is None else d for d, x in zip(directions, like, strict=True)]
        if saved.active is None:
            return self.rerun.derivative(name, self.shown(saved), given)
        now, then = LEVELS.get(), saved.active
        token = LEVELS.set(Active(max(now.before, then.before), (*then.levels, *now.levels)))
        try:  # the vmap of the call may have ended: a gradient inside of f is still one for each example
            return self.rerun.derivative(name, self.shown(saved), given)
        finally:
            LEVELS.reset(token)


class _Saved(NamedTuple):
    """What a node keeps of its call. In a lifted walk the inputs are as f sees them, Values among them."""

    inputs: list[Any]
    residuals: Any  # None in a lifted walk
    levels: Levels
    active: Active | None  # the levels that were running, if there were batches


class _Case:
    """The case of its node."""

    count = -1
    is_spent = False

    def __init__(self, program: LinkedProgram) -> None:
        self.program, self.rule = program, program.rule

    @property
    def spent(self) -> Any:
        return self.rule.spent

    def residuals(self, saved: Any) -> dict[str, Any]:
        return {}

    def lift(self, saved: _Saved, node: Node, wrap: Any) -> _Saved:
        inputs = self.program.shown(saved)
        for i, parent in zip(self.program.smooth, node.parents, strict=True):
            inputs[i] = wrap(inputs[i] if inputs[i].ndim else _scalar(inputs[i]), parent)
        return _Saved(inputs, None, saved.levels, saved.active)

    def pull(self, saved: _Saved, g: Any) -> Any:
        if isinstance(g, Parts) and any(needs.isdisjoint(g) for needs in self.program.needs):
            return NotImplemented
        return self._pulled(saved, g)

    def spread(self, saved: _Saved, g: Parts, n: Node, add: Any, sums: Any, owned: Any) -> None:
        """Add the cotangents of those parents on which some result depends that has one: others have no gradient."""
        for parent, d, needs in zip(n.parents, self._pulled(saved, g), self.program.needs, strict=True):
            if not needs.isdisjoint(g):
                add(parent, d, True)

    def _pulled(self, saved: _Saved, g: Any) -> list[Any]:
        program = self.program
        gs = [*map(g.get, range(len(program.tracked)))] if isinstance(g, Parts) else [g]
        found = None if saved.residuals is None else program.back(saved, gs)
        if found is not None and not saved.levels:
            return found
        inputs = program.shown(saved)
        if found is None:
            found = [None] * len(program.smooth)
            for k, d in zip(program.ascending, program.again("pulled", saved, gs, program.zeros(saved)), strict=True):
                found[k] = _lowered(d)
        return [restore(d, Spec.of(inputs[i])) for i, d in zip(program.smooth, found, strict=True)]

    def push(self, saved: _Saved, tangents: tuple[Any, ...], masked: bool = False) -> Any:
        program = self.program
        inputs = program.shown(saved)
        like = [getattr(inputs[program.smooth[k]], "_array", inputs[program.smooth[k]]) for k in program.ascending]
        pushed = program.again("pushed", saved, [tangents[k] for k in program.ascending], like)
        pushed = [*map(_lowered, pushed)]
        return pushed[0] if len(pushed) == 1 else tuple(pushed)


def _shared_out(asked: Mapping[int, str], forward: Sequence[int], count: int) -> list[dict[int, str]]:
    """Where guards are asked for, in the forward program and in the backward one, by their positions there."""
    backward = sorted({*range(count)} - {*forward})
    return [{i: asked[k] for i, k in enumerate(own) if k in asked} for own in (forward, backward)]


def _scalar(x: Any) -> Any:
    return x[()] if isinstance(x, np.ndarray) else x


def _lowered(d: Any) -> Any:
    """A derivative for the walk: as an array, if it is not tracked."""
    return d._array if isinstance(d, Value) and d._node is None else d
