"""A graph that computes the same, bit for bit, with less: and in the form that `fuse` and `lower` expect.

In that form no `copy` is left but where one is needed: for outputs that are views, inputs, constants or other outputs,
and for operands that BLAS cannot read. Constants with one value throughout are views of a scalar.
"""

from typing import Any

import numpy as np

from .gathers import affine, extremum, gathered, scattered
from .graph import REDUCTIONS, SCANS, WRITES, Graph, Node, c_strides
from .interpret import evaluate, strided
from .loops import DTYPES
from .parts import disjoint, owned, span
from .products import layouts, native_product, stacked
from .spaces import align, resolve
from .sums import hoisted, summed

__all__ = ["simplified"]


def _scalar(node: Node) -> Any:
    """The value of a constant, or of a broadcast one; None for anything else."""
    base = node.inputs[0] if node.op == "view" else node
    if base.op != "constant" or base.size != 1:
        return None
    return base.params[0].reshape(-1)[0].item()


def _identity(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """The operand that an elementwise node is equal to."""
    op = node.op
    if op in ("copy", "positive", "conjugate"):
        return inputs[0]
    if op == "cast":
        return inputs[0]  # of the same dtype, else the caller refuses it
    if op == "where":
        test = _scalar(inputs[0])
        if inputs[1] is inputs[2]:
            return inputs[1]
        return None if test is None else inputs[1 if test else 2]
    if op in ("multiply", "divide", "power"):
        if _scalar(inputs[1]) == 1:
            return inputs[0]
        if op == "multiply" and _scalar(inputs[0]) == 1:
            return inputs[1]
    if op == "subtract" and _scalar(inputs[1]) == 0 and not np.signbit(_scalar(inputs[1])):
        return inputs[0]
    if op == "negative" and inputs[0].op == "negative":
        return inputs[0].inputs[0]
    if op in ("maximum", "minimum") and inputs[0] is inputs[1]:
        return inputs[0]
    return None


SMALL = 65536  # elements of constants that are made of others
FIXED = frozenset(("input", "constant", "view", "copy", "call", "item"))
FOLDS = REDUCTIONS | {*SCANS}
_EMPTY = {"sum": 0, "prod": 1, "any": False, "all": True}


class _Simplifier:
    def __init__(self, uses: dict[int, int]) -> None:
        self.graph = Graph()
        self.iotas: dict[int, Node] = {}
        self.uses = uses  # how many nodes read each of the old nodes
        # of a `put`: what was there before a row of them wrote, and the first and the last element that they wrote
        self.written: dict[int, tuple[Node, int, int]] = {}

    def node(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        """The node of the new graph for one of the old."""
        op, graph = node.op, self.graph
        if op == "input":
            return graph.input(node.shape, node.dtype)
        if op == "constant":
            return self.constant(node)
        known = self.known(node, inputs)
        if known is not None:
            return known
        if op == "view":
            return self.view(inputs[0], node)
        if op in REDUCTIONS:
            return self.reduction(node, inputs[0])
        if op == "matmul":
            return self.product(node, inputs)
        if op == "put":
            return self.put(node, inputs)
        if op == "gather":
            return self.gather(node, inputs)
        if op in ("scatter", "scatter_add"):
            return self.scatter(node, inputs)
        if op == "call" and node.params[0] is np.reshape and node.dtype == inputs[0].dtype and len(inputs) == 1:
            if node.params[1].value[1].get("order", "C") == "C":
                return graph.view(self.copy(inputs[0]), 0, c_strides(node.shape), node.shape)
        if op in ("argmax", "argmin") and inputs[0].dtype in DTYPES and 1 < inputs[0].shape[node.params[0]] < 2**31:
            if node.size and node.dtype in DTYPES:
                return extremum(self.graph, node, inputs[0], self.iota(inputs[0].shape[node.params[0]]))
        if op in SCANS:
            return inputs[0] if node.shape[node.params[0]] == 1 else self.plain(node, inputs)
        if op in ("call", "item", "argmax", "argmin"):
            return graph.fresh(op, inputs, node.params, node.shape, node.dtype)
        if op == "power" and _scalar(inputs[1]) == 2 and inputs[0].dtype == node.dtype:
            return (
                self.node_of("square", inputs[:1], node) if inputs[0].shape == node.shape else self.plain(node, inputs)
            )
        same = _identity(node, inputs)
        if same is not None and same.shape == node.shape and same.dtype == node.dtype:
            return same
        if all(_scalar(n) is not None for n in inputs):
            values = [resolve(n)[0].params[0].reshape(()) for n in inputs]
            with np.errstate(all="ignore"):
                one = graph.constant(np.asarray(evaluate(node, values), node.dtype))
            return graph.view(one, 0, (0,) * len(node.shape), node.shape)
        if op == "add" and inputs[0].shape == inputs[1].shape:
            for a, b, old in ((*inputs, node.inputs[1]), (*inputs[::-1], node.inputs[0])):
                if b.op == "put" and self.uses.get(old.number) == 1 and _scalar(b.inputs[0]) == 0:
                    return self.add_to_part(a, b, node)
                if b.op == "scatter_add" and self.uses.get(old.number) == 1 and _scalar(b.inputs[0]) == 0:
                    return self.graph.add(b.op, (self.whole(a), *b.inputs[1:]), b.params, node.shape, node.dtype)
        return self.plain(node, inputs)

    def plain(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        return self.graph.add(node.op, inputs, node.params, node.shape, node.dtype)

    def node_of(self, op: str, inputs: tuple[Node, ...], node: Node) -> Node:
        return self.graph.add(op, inputs, (), node.shape, node.dtype)

    def known(self, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        """What is computed from small constants alone; numbers and what is made of them are seen to elsewhere."""
        if node.op in FIXED or not inputs or max(node.size, *[n.size for n in inputs]) > SMALL:
            return None
        found = [resolve(n) for n in inputs]
        numbers = all(base.size == 1 for base, _, _ in found) and node.op not in FOLDS
        if numbers or any(base.op != "constant" for base, _, _ in found):
            return None
        arrays = [
            strided(base.params[0], offset, strides, n.shape) for n, (base, offset, strides) in zip(inputs, found)
        ]
        with np.errstate(all="ignore"):
            return self.constant(Node("constant", (), (evaluate(node, arrays),), node.shape, node.dtype, 0))

    def whole(self, x: Node) -> Node:
        """The same in an array of its own, if it is a view."""
        if x.op == "view":
            base, start, steps = resolve(x)
            return base if start == 0 and base.size == x.size and steps == c_strides(x.shape) else self.copy(x)
        return x

    def iota(self, n: int) -> Node:
        """The numbers 0, 1, ..., n - 1."""
        if n not in self.iotas:
            self.iotas[n] = self.graph.constant(np.arange(n, dtype=np.int32))
        return self.iotas[n]

    def gather(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        x, *indices = inputs
        base = resolve(x)[0]
        if base.size == 1:
            return self.graph.view(base, 0, (0,) * len(node.shape), node.shape)
        x = self.whole(x)
        offset, strides, steps = node.params
        offset, strides, steps, indices = affine(offset, strides, steps, indices)
        if not indices:
            return self.view(x, Node("view", (x,), (offset, strides), node.shape, node.dtype, 0))
        return gathered(self.graph, x, node, offset, strides, steps, indices, self.iota)

    def scatter(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        x, value, *indices = inputs
        offset, strides, shape, steps = node.params
        offset, strides, steps, indices = affine(offset, strides, steps, indices)
        if indices and _scalar(x) == 0:
            found = scattered(self.graph, node, value, (offset, strides, shape), steps, indices, self.iota)
            if found is not None:
                return found
        inputs = (x, value, *indices)
        return self.graph.add(node.op, inputs, (offset, strides, shape, steps), node.shape, node.dtype)

    def constant(self, node: Node) -> Node:
        array = node.params[0]
        if array.size > 1 and array.dtype.kind in "biuf":
            raw = array.reshape(-1).view(np.uint8).reshape(array.size, -1)
            if (raw == raw[0]).all():
                one = self.graph.constant(array.reshape(-1)[:1].reshape(()))
                return self.graph.add("view", (one,), (0, (0,) * array.ndim), array.shape, array.dtype)
        return self.graph.constant(array)

    def view(self, x: Node, node: Node) -> Node:
        """A view of what may have become a view itself."""
        offset, strides = node.params
        while x.op == "put" and node.size:
            place = (offset, strides, node.shape)
            (before, begin, end), (first, last) = self.written[x.number], span(place)
            if last < begin or end < first:
                x = before
                continue
            if x.params == place:
                return self.spread(x.inputs[1], node.shape)
            if not disjoint(x.params, place, x.shape):
                break
            x = x.inputs[0]
        if x.op == "view":
            base, start, steps = resolve(x)
            if base.size == 1:
                offset, strides, x = 0, (0,) * len(node.shape), base
            elif start == 0 and base.size == x.size and steps == c_strides(x.shape):
                x = base
            else:
                x = self.copy(x)
        return self.graph.view(x, offset, strides, node.shape)

    def spread(self, x: Node, shape: tuple[int, ...]) -> Node:
        """x, broadcast."""
        base, offset, strides = resolve(x)
        return x if x.shape == shape else self.graph.view(base, offset, align(x.shape, strides, shape), shape)

    def put(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        x, value = inputs
        offset, strides, shape = node.params
        if 0 in shape:
            return x
        if value.op == "view" and value.inputs[0] is x and (*value.params, value.shape) == node.params:
            return x
        if value.dtype != x.dtype:
            value = self.graph.add("cast", (value,), (), value.shape, x.dtype)
        if shape == node.shape and offset == 0 and strides == c_strides(shape):
            return self.spread(value, shape)
        while x.op == "put" and x.params == node.params:
            x = x.inputs[0]
        found = self.graph.add("put", (x, value), node.params, node.shape, node.dtype)
        first, last = span(node.params)
        before, begin, end = self.written.get(x.number, (x, first, last))
        self.written[found.number] = before, min(first, begin), max(last, end)
        return found

    def add_to_part(self, a: Node, b: Node, node: Node) -> Node:
        """a + b, where b is zero outside a part: only the part is added to. (A -0.0 of a may stay one elsewhere.)"""
        if a.op == "view" and _scalar(a) is None:
            a = self.copy(a)
        offset, strides, shape = b.params
        part = self.view(a, Node("view", (a,), (offset, strides), shape, a.dtype, 0))
        value = self.graph.add("add", (part, self.spread(b.inputs[1], shape)), (), shape, a.dtype)
        return self.put(Node("put", (), b.params, node.shape, node.dtype, 0), (a, value))

    def copy(self, x: Node) -> Node:
        return self.graph.add("copy", (x,), (), x.shape, x.dtype)

    def reduction(self, node: Node, x: Node) -> Node:
        axes = tuple(sorted(node.params[0]))
        if x.size == 0 and node.size:
            return self.constant(
                Node("constant", (), (np.full(node.shape, _EMPTY[node.op], node.dtype),), node.shape, node.dtype, 0)
            )
        if x.size == node.size and x.dtype == node.dtype:  # over axes of one element
            base, offset, strides = resolve(x)
            strides = tuple([s for axis, s in enumerate(strides) if axis not in axes])
            return self.graph.view(base, offset, strides, node.shape)
        if node.op == "sum" and x.op == "matmul" and axes == tuple(range(len(x.shape) - 2)) != ():
            operands = stacked(x) if self.uses.get(node.inputs[0].number) == 1 else None
            if operands:
                left, right = (self.graph.view(a.base, a.offset, a.strides, a.shape) for a in operands)
                return self.graph.add("matmul", (left, right), (), node.shape, node.dtype)
        return self.graph.add(node.op, (x,), (axes,), node.shape, node.dtype)

    def product(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        """With operands copied that BLAS cannot read."""
        if node.size and node.inputs[0].size == 0:
            return self.constant(Node("constant", (), (np.zeros(node.shape, node.dtype),), node.shape, node.dtype, 0))
        if native_product(node):
            for change in (self.copy, lambda x: self.copy(self.broadcast(x, node.shape[:-2]))):
                trial = Node("matmul", inputs, (), node.shape, node.dtype, 0)
                inputs = tuple([x if a else change(x) for x, a in zip(inputs, layouts(trial))])
        return self.graph.add("matmul", inputs, (), node.shape, node.dtype)

    def broadcast(self, x: Node, batch: tuple[int, ...]) -> Node:
        """Matrices for a whole batch."""
        base, offset, strides = resolve(x)
        shape = (*batch, *x.shape[-2:])
        return self.graph.view(base, offset, align(x.shape, strides, shape), shape)

    def outputs(self, nodes: list[Node]) -> None:
        """Each output a node of its own that owns its memory."""
        taken: set[int] = set()
        for n in nodes:
            if n.op in ("input", "constant", "view", "item") or n.number in taken:
                n = self.graph.fresh("copy", (n,), (), n.shape, n.dtype)
            taken.add(n.number)
            self.graph.outputs.append(n)


def simplified(graph: Graph) -> Graph:
    nodes = graph.live()
    uses: dict[int, int] = {}
    for n in (*[x for node in nodes for x in node.inputs], *graph.outputs, *[n for n, _ in graph.guards]):
        uses[n.number] = uses.get(n.number, 0) + 1
    simplifier = _Simplifier(uses)
    new: dict[int, Node] = {}
    for node in nodes:
        new[node.number] = simplifier.node(node, tuple([new[n.number] for n in node.inputs]))
    simplifier.outputs([new[n.number] for n in graph.outputs])
    simplifier.graph.guards = [(new[n.number], value) for n, value in graph.guards]
    found = summed(hoisted(simplifier.graph))
    return owned(found) if any(n.op in WRITES for n in found.nodes) else found
