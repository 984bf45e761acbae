"""Many small products as few large ones, as loops over time steps have them.

Products of adjacent slices with one matrix are a product of all the slices. A sum of products, as the gradient of that
matrix is, accumulates in place; and where the operands lie one after the other in memory, or can be put there, terms
are one product of longer matrices. That goes by chunks, which stay in the cache.
"""

from collections.abc import Sequence
from typing import NamedTuple

from .graph import WRITES, Graph, Node
from .products import Layout, layouts, native_product

__all__ = ["hoisted", "runs", "stacks", "summed"]

SMALL = 1 << 21  # multiplications in a product that is better done with others
TERMS = 32
BYTES = 1 << 18  # of the result of a chunk
FIXED = WRITES | {"input", "constant", "view", "item", "call"}


class _Stack(NamedTuple):
    """Nodes of one size that are to lie one after the other."""

    nodes: tuple[Node, ...]


def _uses(graph: Graph, nodes: Sequence[Node]) -> dict[int, int]:
    uses: dict[int, int] = {}
    for n in (*[x for node in nodes for x in node.inputs], *graph.outputs, *[n for n, _ in graph.guards]):
        uses[n.number] = uses.get(n.number, 0) + 1
    return uses


def _is_small(n: Node) -> bool:
    return (
        n.op == "matmul"
        and len(n.shape) == len(n.inputs[0].shape) == len(n.inputs[1].shape) == 2
        and native_product(n)
        and n.size * n.inputs[0].shape[1] <= SMALL
    )


class _Copier:
    """A graph in the making, from the nodes of another one."""

    def __init__(self, graph: Graph) -> None:
        self.old, self.graph = graph, Graph()
        self.made: dict[int, Node] = {}

    def copy(self, n: Node) -> None:
        inputs = tuple([self.made[x.number] for x in n.inputs])
        if n.op == "view" and inputs[0].op == "view":  # of what has become one: a slice of rows in order
            self.made[n.number] = self.graph.view(
                inputs[0].inputs[0], n.params[0] + inputs[0].params[0], n.params[1], n.shape
            )
            return
        self.made[n.number] = self.graph.fresh(n.op, inputs, n.params, n.shape, n.dtype)

    def finished(self) -> Graph:
        new, made = self.graph, self.made
        new.inputs = [made[n.number] for n in self.old.inputs]
        new.outputs = [made[n.number] for n in self.old.outputs]
        new.guards = [(made[n.number], value) for n, value in self.old.guards]
        return new


def hoisted(graph: Graph) -> Graph:
    """The graph with products of adjacent slices and one matrix as one product."""
    nodes = graph.live()
    fixed = {n.number for n in graph.outputs}
    alike: dict[tuple[int, ...], list[Node]] = {}
    for n in nodes:
        left = n.inputs[0] if n.op == "matmul" else n
        if left.op == "view" and _is_small(n) and n.number not in fixed and left.params[1][1] == 1:
            key = (n.inputs[1].number, left.inputs[0].number, left.params[1][0], *left.shape)
            alike.setdefault(key, []).append(n)
    chunks: dict[int, list[Node]] = {}  # by the first of their nodes
    first: dict[int, int] = {}
    for same in alike.values():
        same.sort(key=lambda n: int(n.inputs[0].params[0]))
        found = [[same[0]]]
        for n in same[1:]:
            run, left = found[-1], n.inputs[0]
            rows = left.params[1][0] * left.shape[0]
            apart = left.params[0] - run[-1].inputs[0].params[0]
            if apart == rows and (len(run) + 1) * n.size * n.dtype.itemsize <= BYTES:
                run.append(n)
            else:
                found.append([n])
        for run in found:
            if len(run) > 1:
                begin = min([n.number for n in run])
                chunks[begin] = run
                first.update({n.number: begin for n in run})
    if not chunks:
        return graph
    copier = _Copier(graph)
    new, made = copier.graph, copier.made
    for n in nodes:
        if n.number not in first:
            copier.copy(n)
        elif n.number in chunks:
            chunk = chunks[n.number]
            left, (rows, columns) = chunk[0].inputs[0], n.shape
            shape = (len(chunk) * rows, left.shape[1])
            all_left = new.view(made[left.inputs[0].number], left.params[0], left.params[1], shape)
            whole = new.add("matmul", (all_left, made[n.inputs[1].number]), (), (shape[0], columns), n.dtype)
            for i, m in enumerate(chunk):
                made[m.number] = new.view(whole, i * n.size, (columns, 1), n.shape)
    return copier.finished()


def summed(graph: Graph) -> Graph:
    """The graph with sums of products that accumulate in place, chunk by chunk."""
    nodes = graph.live()
    uses = _uses(graph, nodes)
    sums: set[int] = set()  # adds of nothing but products, and these
    inner: set[int] = set()
    for n in nodes:
        if _is_small(n) and uses[n.number] == 1:
            sums.add(n.number)
        elif n.op == "add" and n.inputs[0] is not n.inputs[1]:
            if all(x.number in sums and uses[x.number] == 1 and x.shape == n.shape for x in n.inputs):
                sums.add(n.number)
                inner.update([x.number for x in n.inputs])
    last: dict[int, tuple[Node | None, list[Node]]] = {}  # by the last product of a chunk: that of the one before
    ends: dict[int, Node] = {}  # by the sum: the last product of all
    skipped = set(inner)
    for root in nodes:
        if root.op != "add" or root.number not in sums or root.number in inner:
            continue
        leaves, stack = [], [root]
        while stack:
            n = stack.pop()
            if n.op == "matmul":
                leaves.append(n)
            else:
                stack.extend(n.inputs)
        leaves.sort(key=lambda n: n.number)
        before = None
        for i in range(0, len(leaves), TERMS):
            chunk = leaves[i : i + TERMS]
            last[chunk[-1].number] = (before, chunk)
            before = chunk[-1]
        assert before is not None
        ends[root.number] = before
    if not ends:
        return graph
    copier = _Copier(graph)
    new, made = copier.graph, copier.made
    for n in nodes:
        if n.number in last:
            before, chunk = last[n.number]
            inputs = [made[x.number] for m in chunk for x in m.inputs]
            if before is not None:
                inputs.insert(0, made[before.number])
            made[n.number] = new.fresh("products", tuple(inputs), (), n.shape, n.dtype)
        elif n.number in ends:
            made[n.number] = made[ends[n.number].number]
        elif n.number not in skipped:
            copier.copy(n)
    return copier.finished()


# -- where operands lie


def _terms(node: Node) -> list[tuple[Layout, Layout]]:
    """The operands of a `products`, in pairs."""
    found = []
    inputs = node.inputs[len(node.inputs) % 2 :]
    for x, y in zip(inputs[::2], inputs[1::2]):
        left, right, _ = layouts(Node("matmul", (x, y), (), node.shape, node.dtype, 0))
        assert left and right
        found.append((left, right))
    return found


class _Places:
    def __init__(self, taken: frozenset[int]) -> None:
        self.taken = taken  # nodes whose memory is given
        self.places: dict[int, tuple[int, int]] = {}  # of nodes in stacks: which, and how many elements into it
        self.stacks: list[_Stack] = []

    def is_free(self, a: Layout, step: int) -> bool:
        """Whether it is the whole of a node that may be put anywhere; slices of it would be `step` apart."""
        n = a.base
        if n.op in FIXED or n.number in self.taken or n.number in self.places:
            return False
        return not a.offset and n.size == a.shape[0] * a.shape[1] == step

    def where(self, a: Layout) -> tuple[int, int]:
        stack, start = self.places.get(a.base.number, (-1 - a.base.number, 0))
        return stack, start + a.offset

    def settle(self, terms: list[tuple[Layout, Layout]]) -> None:
        """Puts what is free in stacks, in the order that what is not free demands."""
        forms = [tuple([(a.shape, a.strides) for a in t]) for t in terms]
        form = max(forms, key=forms.count)  # most of the terms are alike
        good = [t for t, own in zip(terms, forms) if own == form and all(_is_long(a, i) for i, a in enumerate(t))]
        if len(good) < 2:
            return
        steps = [_step(a, i) for i, a in enumerate(good[0])]
        kinds = [tuple([self.is_free(a, step) for a, step in zip(t, steps)]) for t in good]
        kind = max(set(kinds), key=kinds.count)
        good = [t for t, own in zip(good, kinds) if own == kind]
        if len(good) < 2 or not any(kind):
            return
        if not all(kind):
            good.sort(key=lambda t: self.where(t[kind.index(False)]))
        for i in (0, 1):
            if kind[i]:
                bases = [t[i].base for t in good]
                if len({b.number for b in bases}) == len(bases):
                    for k, b in enumerate(bases):
                        self.places[b.number] = (len(self.stacks), k * steps[i])
                    self.stacks.append(_Stack(tuple(bases)))


def _step(a: Layout, side: int) -> int:
    """How far apart two operands are of which the second goes on where the first one ends."""
    return a.shape[1 - side] * a.strides[1 - side]


def _is_long(a: Layout, side: int) -> bool:
    """Whether more of the kind can follow: it has neighbours along the other axis."""
    return a.strides[side] == 1 and a.strides[1 - side] >= a.shape[side]


def stacks(nodes: Sequence[Node], taken: frozenset[int]) -> list[_Stack]:
    """What is to lie one after the other."""
    places = _Places(taken)
    for n in nodes:
        if n.op == "products":
            places.settle(_terms(n))
    return places.stacks


def runs(node: Node, places: dict[int, tuple[int, int]]) -> list[tuple[Layout, Layout]]:
    """The products that a sum of them comes to. `places`: in which memory nodes are, and how many elements into it."""

    def where(a: Layout) -> tuple[int, int]:
        memory, start = places.get(a.base.number, (-1 - a.base.number, 0))
        return memory, start + a.offset

    terms = _terms(node)
    terms.sort(key=lambda t: (where(t[0]), where(t[1])))
    found: list[tuple[Layout, Layout]] = []
    follows: list[tuple[int, int]] = []
    for term in terms:
        if found and all(
            where(a) == follow and _is_long(a, i) and a.strides == b.strides and a.shape[i] == b.shape[i]
            for i, (a, b, follow) in enumerate(zip(term, found[-1], follows))
        ):
            x, y = found[-1]
            k = x.shape[1] + term[0].shape[1]
            found[-1] = (x._replace(shape=(x.shape[0], k)), y._replace(shape=(k, y.shape[1])))
        else:
            found.append(term)
        follows = [(where(a)[0], where(a)[1] + _step(a, i)) for i, a in enumerate(term)]
    return found
