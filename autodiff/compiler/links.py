"""What is tracked in one run of a function that is recorded: what stands for it, and the walk back to it.

While f is recorded, tracked arguments and captured tracked Values have nodes of their own, so that the walk back from
the result ends there. It is recorded as well, into the same graph.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..batched import Batched, hide, levels_of
from ..context import LEVELS, Active
from ..errors import GraphError
from ..tape import LEAF, Node, number, walk_back
from ..views import node_of, origin, set_node, stale
from .captures import Captures
from .recorded import Recorded
from .recorder import Recorder, Unrecordable
from .signature import Signature

__all__ = ["Gradient", "Links"]


class _Stand(Node):
    """The node of what is tracked outside, inside. Only the walk that is recorded may end here.

    To other threads, and when the run has ended, it is the node that it stands for.
    """

    __slots__ = ("original", "recorder")

    original: Node
    recorder: Recorder
    count = 0
    is_spent = False

    @property
    def grad(self) -> Any:
        if self.recorder.closed:
            return self.original.grad
        if self.case is not None:
            raise AttributeError("grad")
        raise self.recorder.escape("reads or changes a gradient, and returns a tracked Value")

    @grad.setter
    def grad(self, new: Any) -> None:
        if not self.recorder.closed:
            raise self.recorder.escape("calls backward() or changes a gradient, and returns a tracked Value")
        self.original.grad = new

    @property
    def hooks(self) -> Any:
        if self.recorder.closed:
            return self.original.hooks
        raise AttributeError("hooks")

    @hooks.setter
    def hooks(self, new: Any) -> None:
        if not self.recorder.closed:
            raise self.recorder.escape("adds a hook to a tracked Value from outside")
        self.original.hooks = new

    def pull(self, saved: Any, g: Any) -> Any:
        raise self._no_way("calls backward() on a Value that depends on tracked ones from outside")

    push = lift = pull

    @property
    def rule(self) -> Any:
        raise self._no_way("walks a graph that leads to tracked Values from outside")

    def _no_way(self, reason: str) -> Exception:
        if not self.recorder.closed:
            return self.recorder.escape(reason)
        return GraphError("this Value comes from within a function that jit recorded; compute it again outside of it")


def _stand(recorder: Recorder, node: Node, shared: int) -> _Stand:
    stand = _Stand()
    stand.recorder, stand.original, stand.parents = recorder, node, ()
    if node.number == LEAF:
        stand.number, stand.saved, stand.case = LEAF, node.saved, None
    else:
        stand.number, stand.saved, stand.case = shared, None, stand
    return stand


class Gradient(NamedTuple):
    """A gradient: which output it is, and its levels, as positions among those of the call."""

    output: int
    levels: tuple[int, ...]


class Links:
    """Nodes for the tracked leaves of the arguments, and for the captured Values that are tracked."""

    def __init__(self, recorder: Recorder, given: Signature, captures: Captures) -> None:
        self.recorder, self.number = recorder, number()
        self.leaves = [
            _stand(recorder, x._node, self.number) if kind > 0 else None
            for kind, x in zip(given.kinds(), given.originals, strict=True)
        ]
        self.roots: list[Any] = []  # of captured Values
        self.originals: list[Any] = []
        self.stands: list[_Stand] = []
        self.untracked: list[Any] = []
        for value in captures.values:
            root = origin(value)[0]
            if root._node is None and value._node is not None:
                raise recorder.escape("captures a tracked view of a Value that is not tracked")
            if root._node is not None and not any(root is known for known in self.roots):
                self.roots.append(root)
                self.originals.append(root._node)
                self.stands.append(_stand(recorder, root._node, self.number))
            elif root._node is None:
                self.untracked.append(root)
        self.levels, self.summed = given.levels, given.outer(self.originals)

    def begin(self) -> None:
        """Put the nodes in."""
        for root, stand in zip(self.roots, self.stands, strict=True):
            set_node(root, stand)
            stale(root)

    def restore(self) -> None:
        """Put the original ones back."""
        for root, node in zip(self.roots, self.originals, strict=True):
            set_node(root, node)
            stale(root)

    def check(self) -> None:
        """Raise Unrecordable if f has made something else of a captured Value."""
        if any(node_of(root) is not stand for root, stand in zip(self.roots, self.stands, strict=True)):
            raise self.recorder.escape("writes to a tracked Value that it captures")
        if any(node_of(root) is not None for root in self.untracked):
            raise self.recorder.escape("writes what is tracked to a Value that it captures")

    def pull(self, outputs: Sequence[tuple[Node, Any]]) -> tuple[list[Any], list[Gradient | None]]:
        """Record the walk back from tracked `outputs`, pairs of a node and an array.

        Returns the cotangents, as inputs of the graph, and what comes to each leaf, then to each captured Value.
        """
        recorder, active = self.recorder, LEVELS.get()
        summed = [self.levels[k] for k in self.summed]
        seeds, cotangents = [], []
        for node, data in outputs:
            whole = data.whole if type(data) is Batched else data
            g = recorder.input(np.ones_like(whole.data))
            cotangents.append(g.buffer.node)
            seeds.append((node, hide(g, data.levels) if type(data) is Batched else g))
        token = LEVELS.set(Active(active.before, tuple([level for level in active.levels if level not in summed])))
        try:
            ends = walk_back(seeds, top=self.number).cotangents
        except Unrecordable:
            raise
        except Exception as error:
            raise recorder.escape(f"has a derivative that cannot be recorded ({error})") from None
        finally:
            LEVELS.reset(token)
        stands = [*self.leaves, *self.stands]
        known = {stand for stand in stands if stand is not None}
        if any(node not in known for node in ends):
            raise recorder.escape("depends on a tracked Value that is not found among what it captures")
        roots = (*[None] * len(self.leaves), *self.roots)
        found: list[Gradient | None] = []
        for stand, root in zip(stands, roots, strict=True):
            d: Any = ends.get(stand) if stand is not None else None
            if d is not None and root is not None and not any(root is source.root for source in recorder.sources):
                raise recorder.escape("captures two tracked Values that have the same array")
            found.append(None if d is None else self._output(d))
        return cotangents, found

    def _output(self, d: Any) -> Gradient:
        """Make a gradient an output of the graph."""
        own, levels = levels_of(d), self.levels
        whole = d.whole if own else d
        if isinstance(whole, (np.ndarray, np.generic, float)):
            whole = self.recorder.constant(np.asarray(whole))
        if not isinstance(whole, Recorded) or not all(level in levels for level in own):
            raise self.recorder.escape(f"has a derivative that is a {type(d).__name__}")
        return Gradient(self.recorder.result(whole), tuple(map(levels.index, own)))
