"""A jitted function of tracked Values, or one that captures some: one node, with a program for either direction.

The function and the walk back from its result are recorded as one graph, which is parted in two (see residuals). What
is asked for besides, derivatives of derivatives, tangents and cotangents that are batches, is a jitted function of its
own, which runs f on the inputs of the call again; so are its derivatives, and any order is compiled.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import restore
from ..box import Inner
from ..constants import keep
from ..many import Parts
from ..rule import Rule
from ..spec import Spec
from ..tape import LEAF, RECORDING, Node, number
from ..transform import name_of
from ..value import Value
from .captures import Captures
from .interpret import Interpreted, Mismatch
from .links import Links
from .native import Program as Native
from .places import Draw, Fixed, Places
from .program import Program, runner_of
from .recorded import Recorded
from .recorder import Recorder
from .rerun import Rerun
from .residuals import parted
from .signature import Signature

__all__ = ["LinkedProgram", "Walk"]


class Walk:
    """The walk back as it was recorded: from which outputs, to what."""

    def __init__(self, links: Links, outputs: Sequence[tuple[Node, Recorded, int]], count: int) -> None:
        self.links = links
        self.outputs = [index for _, _, index in outputs]  # the tracked ones
        self.count = count  # of outputs that are not gradients
        self.cotangents, self.gradients = links.pull([(node, data) for node, data, _ in outputs])


class LinkedProgram(Program):
    """A program whose tracked outputs are linked to the tracked inputs by a node, and the program of its walk back."""

    def __init__(
        self,
        recorder: Recorder,
        captures: Captures,
        places: Places,
        result: Any,
        walk: Walk,
        f: Any,
        given: Signature,
        call: Any,
        jit: Any,
    ) -> None:
        generators = places.generators
        super().__init__(recorder, captures, places, result)
        self.drawing = [(place, generator) for place, generator in generators if id(generator) in self.draws]
        joint, last = self.graph, {n.number for n in walk.cotangents}
        self.weak = [w for n, w in zip(joint.inputs, recorder.weak, strict=True) if n.number not in last]
        self._first = [x for n, x in zip(joint.inputs, recorder.kept or (), strict=True) if n.number not in last]
        self.tracked, self.kinds = walk.outputs, given.kinds()
        private = {*range(walk.count)} - {*self.tracked}
        self.graph, self.back_graph, self._taken, self._residuals = parted(joint, walk.cotangents, walk.count, private)
        self._zeros = [np.zeros(n.shape, n.dtype) for n in walk.cotangents]
        count = len(given.leaves)
        self.roots = walk.links.roots
        smooth = [i for i, place in enumerate(walk.gradients) if place >= 0]
        order = [i for i, kind in enumerate(self.kinds) if kind > 0]  # of the nodes that a call brings
        self._from_leaves = [order.index(i) for i in smooth if i < count]
        self._from_roots = [self.roots[i - count] for i in smooth if i >= count]
        where = {id(place.value): count + k for k, place in enumerate(self.sources) if hasattr(place, "value")}
        self.smooth = [i for i in smooth if i < count] + [where[id(root)] for root in self._from_roots]
        self._variables = [stand.case is None for stand in walk.links.stands]
        self._order = sorted(range(len(self.smooth)), key=self.smooth.__getitem__)
        self.rerun = Rerun(f, self, given, call, sorted(self.smooth), jit)
        self.rule = Rule(f, "custom", name=f"jit({name_of(f)})", outputs=len(self.tracked))
        self.case = LinkedCase(self)
        written = {id(place) for place, _, in_place in places.writes if in_place}
        self._kept = [i for i, kind in enumerate(self.kinds) if kind < 0 and not self.weak[i]]
        self._kept += [
            count + k
            for k, source in enumerate(self.sources)
            if type(source) is not Draw and not hasattr(source, "value") and id(source) not in written
        ]
        self._written = [count + k for k, source in enumerate(self.sources) if id(source) in written]
        self._back: Any = None

    # -- forward

    def first(self, given: Signature) -> list[Any]:
        """The outputs of the run that was recorded. Raises Mismatch if they cannot be computed again."""
        inputs, self._first = self._first, []
        outputs, invalid = Interpreted(self.graph).run(inputs)
        self.spoiled = invalid and self.flagged
        return self._linked(inputs, _nodes(given), outputs)

    def holds(self) -> bool:
        return super().holds() and all(
            (root._node.number == LEAF) is kind for root, kind in zip(self.roots, self._variables, strict=True)
        )

    def finished(self, given: Signature, arrays: list[Any], outputs: list[Any]) -> list[Any]:
        outputs = self._linked(arrays, _nodes(given), outputs)
        if self.writes:
            self.places.write(outputs)
        return outputs

    def quickly(self, given: Any) -> Any:
        if not RECORDING.get() or self.spoiled:
            return None
        arrays, nodes = given
        found = self.at_once(arrays)
        if found is None:
            return None
        outputs = self._linked(found[0], nodes, found[1])
        if self.writes:
            self.places.write(outputs)
        return outputs

    def _linked(self, inputs: Any, nodes: Any, outputs: list[Any]) -> list[Any]:
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
        node.saved = inputs, [outputs[i] for i in self._residuals]
        recording = RECORDING.get()
        if recording is not True:
            for i in self.tracked:
                recording(node, outputs[i])
        for k, i in enumerate(self.tracked):
            y = outputs[i]
            outputs[i] = Value._wrap(y if y.ndim else y[()], node if len(self.tracked) == 1 else node.picked(k))
        return outputs

    # -- backward

    def back(self, saved: Any, gs: Sequence[Any]) -> list[Any] | None:
        """The gradients, by the program; None if it cannot give them."""
        if self.spoiled:
            return None
        inputs, residuals = saved
        arrays = [*[inputs[i] for i in self._taken], *residuals]
        for g, zeros in zip(gs, self._zeros, strict=True):
            if g is None:
                g = zeros
            elif not isinstance(g, (np.ndarray, np.generic)):
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
        return [d if d.ndim else d[()] for d in found]

    def again(self, name: str, inputs: Sequence[Any], directions: Sequence[Any], like: Sequence[Any]) -> list[Any]:
        """Derivatives by running f again: `name` is pulled or pushed."""
        given = []
        for d, x in zip(directions, like, strict=True):
            d = np.zeros_like(x) if d is None else d
            given.append(Value._wrap(d) if isinstance(d, Inner) else d)
        return self.rerun.derivative(name, inputs, given)


class LinkedCase:
    """The case of its node. `saved` is the inputs and the residuals; in a lifted walk the inputs, Values among them."""

    count = -1
    is_spent = False

    def __init__(self, program: LinkedProgram) -> None:
        self.program, self.rule = program, program.rule

    @property
    def spent(self) -> Any:
        return self.rule.spent

    def residuals(self, saved: Any) -> dict[str, Any]:
        return {}

    def lift(self, saved: Any, node: Node, wrap: Any) -> list[Any]:
        inputs = [*saved[0]]
        for i, parent in zip(self.program.smooth, node.parents, strict=True):
            inputs[i] = wrap(inputs[i] if inputs[i].ndim else inputs[i][()], parent)
        return inputs

    def pull(self, saved: Any, g: Any) -> list[Any]:
        program = self.program
        gs = [*map(g.get, range(len(program.tracked)))] if isinstance(g, Parts) else [g]
        lifted = type(saved) is list
        found = None if lifted else program.back(saved, gs)
        if found is not None:
            return found
        inputs = saved if lifted else saved[0]
        pulled = program.again("pulled", inputs, gs, program._zeros)
        found = [None] * len(pulled)
        for k, d in zip(program._order, pulled, strict=True):
            found[k] = restore(_lowered(d), Spec.of(inputs[program.smooth[k]]))
        return found

    def push(self, saved: Any, tangents: tuple[Any, ...], masked: bool = False) -> Any:
        program = self.program
        inputs = saved if type(saved) is list else saved[0]
        ts, like = [tangents[k] for k in program._order], [inputs[program.smooth[k]] for k in program._order]
        pushed = [*map(_lowered, program.again("pushed", inputs, ts, [getattr(x, "_array", x) for x in like]))]
        return pushed[0] if len(pushed) == 1 else tuple(pushed)


def _nodes(given: Signature) -> tuple[Any, ...]:
    """The nodes of the tracked leaves."""
    return tuple([x._node for x, kind in zip(given.originals, given.kinds(), strict=True) if kind > 0])


def _lowered(d: Any) -> Any:
    """A derivative for the walk: as an array, if it is not tracked."""
    return d._array if isinstance(d, Value) and d._node is None else d
