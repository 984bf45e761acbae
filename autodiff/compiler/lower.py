"""From a recorded program to a plan: what runs when, on which memory."""

from collections.abc import Sequence
from typing import Any

from .calls import getitem_of, written
from .fuse import fuse
from .graph import WRITES, Graph, Node, c_strides
from .groups import Group
from .llvm_kernels import kernel
from .llvm_text import Functions
from .loops import DTYPES, SIZES, Nest, moved, reason
from .memory import arrange
from .nests import Operand, nest
from .plan import Array, Buffer, Call, Check, Gemm, Kernel, Launch, Plan, Step
from .products import Layout, layouts, native_product, transposed
from .simplify import simplified
from .spaces import resolve
from .splits import divided
from .sums import runs, stacks
from .tiles import tiles

__all__ = ["lower"]


class _Lowering:
    def __init__(self, graph: Graph, functions: Functions, exact: bool, masks: bool, checked: bool) -> None:
        self.graph, self.functions, self.exact, self.masks, self.checked = graph, functions, exact, masks, checked
        self.buffers: list[Buffer] = []
        self.constants: list[Any] = []
        self.steps: list[Step] = []
        self.where: dict[int, int] = {}  # the buffer of each node that has memory
        self.lives: dict[int, list[int]] = {}  # first and last step of each temporary
        self.shifts: dict[int, tuple[int, int]] = {}  # nodes in a stack: its buffer, and how many elements into it
        self.kernels: dict[Nest, Kernel] = {}
        self.output = {n.number: i for i, n in enumerate(graph.outputs)}
        self.items: dict[int, list[Node]] = {}
        self.straight: dict[int, tuple[Node, tuple[int, ...]]] = {}  # where products go, and how
        self.guards: dict[int, list[tuple[int, Any, Node]]] = {}
        for position, (node, value) in enumerate(graph.guards):
            self.guards.setdefault(resolve(node)[0].number, []).append((position, value, node))

    # memory

    def buffer(self, node: Node) -> int:
        """Where a node's memory is; new memory when it is first asked for."""
        found = self.where.get(node.number)
        if found is None and node.op in WRITES and node.dtype in DTYPES:
            found = self.where[node.number] = self.buffer(node.inputs[0])
        if found is None and node.op == "products" and len(node.inputs) % 2:
            found = self.where[node.number] = self.buffer(node.inputs[0])
        if found is None:
            nbytes = node.size * node.dtype.itemsize
            found = self.where[node.number] = len(self.buffers)
            if node.op == "input":
                self.buffers.append(Buffer("input", node.params[0], nbytes))
            elif node.op == "constant":
                self.buffers.append(Buffer("constant", len(self.constants), nbytes))
                self.constants.append(node.params[0])
            elif node.number in self.output:
                self.buffers.append(Buffer("output", self.output[node.number], nbytes))
            else:
                self.buffers.append(Buffer("temporary", 0, nbytes))
        return self.use(found)

    def use(self, buffer: int) -> int:
        """Notes that the step that comes next needs a buffer."""
        if self.buffers[buffer].kind == "temporary":
            step = len(self.steps)
            self.lives.setdefault(buffer, [step, step])[1] = step
        return buffer

    def place(self, node: Node) -> tuple[int, int]:
        """The buffer of a node, and how many elements into it."""
        return self.buffer(node), self.shifts[node.number][1] if node.number in self.shifts else 0

    def array(self, x: Node) -> Array:
        base, offset, strides = resolve(x)
        buffer, start = self.place(base)
        return Array(buffer, start + offset, x.shape, strides, x.dtype)

    def stack(self, nodes: Sequence[Node]) -> None:
        """Has memory of nodes lie one after the other."""
        taken = frozenset(self.output) | self.straight.keys() | {n.inputs[0].number for n in nodes if n.op in WRITES}
        for stack in stacks(nodes, taken):
            at = 0
            for n in stack.nodes:
                self.where[n.number] = len(self.buffers)
                self.shifts[n.number] = (len(self.buffers), at)
                at += n.size
            self.buffers.append(Buffer("temporary", 0, at * stack.nodes[0].dtype.itemsize))

    def within(self, buffer: int, low: int, high: int, what: Any) -> None:
        """Every address is an affine function of loops of constant length, so bounds are checked here, once for all."""
        if low < 0 or high > self.buffers[buffer].nbytes:
            raise IndexError(f"{what} reaches bytes {low} to {high} of {self.buffers[buffer]}")

    # steps

    def group(self, group: Group) -> None:
        code, operands = nest(group, self.reads, self.functions.NATIVE)
        whole = self.overlaps(code, operands)
        for part, begins in tiles(code):
            found = [o._replace(offset=o.offset + begin) for o, begin in zip(operands, begins, strict=True)]
            if not whole:
                part, found = divided(part, found, self.functions.NATIVE)
            self.launch(part, [self.operand(o) for o in found], tuple(group.members))

    def operand(self, operand: Operand) -> tuple[int, int]:
        """The buffer, and where in it an array begins."""
        if operand.node is None:
            self.buffers.append(Buffer("temporary", 0, operand.nbytes))
            return self.use(len(self.buffers) - 1), 0
        buffer, start = self.place(operand.node)
        return buffer, (start + operand.offset) * operand.node.dtype.itemsize

    def overlaps(self, code: Nest, operands: Sequence[Operand]) -> bool:
        """Whether the nest writes to memory that it also reads or writes elsewhere, as a put does."""
        spans: dict[int, list[tuple[int, int, bool]]] = {}
        for pointer, operand in zip(code.pointers, operands):
            if operand.node is not None:
                buffer, start = self.place(operand.node)
                size, at = SIZES[pointer.dtype], (start + operand.offset) * operand.node.dtype.itemsize
                low, high = at + pointer.extent[0] * size, at + (pointer.extent[1] + 1) * size
                spans.setdefault(buffer, []).append((low, high, pointer.written))
        return any(
            (a[2] or b[2]) and a[0] < b[1] and b[0] < a[1]
            for found in spans.values()
            for i, a in enumerate(found)
            for b in found[:i]
        )

    def launch(self, code: Nest, operands: Sequence[tuple[int, int]], nodes: tuple[Node, ...]) -> None:
        for pointer, (buffer, offset) in zip(code.pointers, operands, strict=True):
            size, (low, high) = SIZES[pointer.dtype], pointer.extent
            self.within(buffer, offset + low * size, offset + (high + 1) * size, nodes)
        found = self.kernels.get(code)
        if found is None:
            found = self.kernels[code] = kernel(code, self.functions, self.exact, self.masks, self.checked)
        self.steps.append(Launch(found, tuple(operands), nodes, moved(code)))

    def single(self, node: Node) -> None:
        """A step for a node that is no part of a nest."""
        if node.op == "products":
            out = Layout(node, 0, node.shape, c_strides(node.shape))
            adds = len(node.inputs) % 2 > 0
            for x, y in runs(node, self.shifts):
                self.gemm(node, x, y, out, adds)
                adds = True
        elif node.op == "matmul" and native_product(node):
            to = self.straight.get(node.number)
            x_, y_, target = layouts(node, *to) if to else layouts(node)
            assert x_ and y_ and target
            self.gemm(node, x_, y_, target)
        elif node.op != "item":
            self.call(node)

    def gemm(self, node: Node, x: Layout, y: Layout, out: Layout, adds: bool = False) -> None:
        arrays = []
        for a in (x, y, out):
            buffer, start = self.place(a.base)
            arrays.append(Array(buffer, start + a.offset, a.shape, a.strides, node.dtype))
            size = node.dtype.itemsize
            reach = sum([(n - 1) * s for n, s in zip(a.shape, a.strides)])
            self.within(buffer, arrays[-1].offset * size, (arrays[-1].offset + reach + 1) * size, node)
        self.steps.append(Gemm(arrays[0], arrays[1], arrays[2], node, adds))

    def go_straight(self, units: list[Group | Node]) -> list[Group | Node]:
        """Lets products write to where a step of its own would copy them, transposed. Returns the steps that remain."""
        readers: dict[int, int] = {}
        copies = {}
        for unit in units:
            members = unit.members if isinstance(unit, Group) else [unit]
            for n in members:
                for base in {resolve(x)[0].number for x in n.inputs}:
                    readers[base] = readers.get(base, 0) + 1
            if len(members) == 1 and members[0].op == "copy" and (strides := transposed(members[0])):
                copies[id(unit)] = (members[0], strides)
        kept = []
        for unit in units:
            copy, strides = copies.get(id(unit), (None, ()))
            product = resolve(copy.inputs[0])[0] if copy else None
            wanted = product is None or product.number in self.output or readers[product.number] > 1
            if copy and product and not wanted and not {copy.number, product.number} & self.guards.keys():
                self.straight[product.number] = (copy, strides)
            else:
                kept.append(unit)
        return kept

    def call(self, node: Node) -> None:
        if node.op == "call":
            why = _left(node)
        elif node.op in ("argmax", "argmin", "matmul", *WRITES):
            why = f"no kernel for {node.op} of {node.inputs[0].dtype}"
        else:
            why = reason(node, self.functions.NATIVE)
        inputs = tuple([self.array(x) for x in node.inputs])
        outputs: tuple[Array | None, ...]
        if node.number in self.items:
            by_index = {n.params[0]: self.array(n) for n in self.items[node.number]}
            outputs = tuple([by_index.get(i) for i in range(max(by_index) + 1)])
        else:
            outputs = (self.array(node),)
        self.steps.append(Call(node, inputs, outputs, why))

    def checks(self, node: Node) -> None:
        for position, value, guarded in self.guards.pop(node.number, ()):
            base = resolve(guarded)[0]
            if base.op == "constant" and base.size == 1 and base.params[0].item() == value:
                continue
            array = self.array(guarded)
            self.steps.append(Check(position, value, array))

    # the whole

    def run(self) -> Plan:
        graph = self.graph
        nodes = graph.live()
        for n in nodes:
            if n.op == "item":
                self.items.setdefault(n.inputs[0].number, []).append(n)
        for n in reversed(nodes):
            into = (n.op in WRITES and n.dtype in DTYPES) or (n.op == "products" and len(n.inputs) % 2)
            if into and n.number in self.output:
                self.output[n.inputs[0].number] = self.output[n.number]
        units, self.reads = fuse(graph, nodes, self.functions.NATIVE)
        units = self.go_straight(units)
        self.stack(nodes)
        inputs = [self.array(n) for n in graph.inputs]
        for n in nodes:
            if n.op in ("input", "constant"):
                self.checks(n)
        for unit in units:
            if isinstance(unit, Group):
                self.group(unit)
                for n in unit.members:
                    self.checks(n)
            else:
                self.single(unit)
                self.checks(unit)
        outputs = [self.array(n) for n in graph.outputs]
        order = sorted(self.lives, key=lambda b: self.lives[b][0])
        offsets, arena = arrange([(self.lives[b][0], self.lives[b][1], self.buffers[b].nbytes) for b in order])
        for b, offset in zip(order, offsets):
            self.buffers[b] = self.buffers[b]._replace(at=offset)
        return Plan(self.buffers, self.steps, inputs, outputs, self.constants, arena)


def _left(call: Node) -> str:
    """Why a function of NumPy is called."""
    function = call.params[0]
    module, name = str(getattr(function, "__module__", "")), str(getattr(function, "__name__", ""))
    for n in (*call.inputs, *([call] if call.dtype is not None else [])):
        if n.dtype not in DTYPES:
            return f"no kernels for {n.dtype}"
    if "linalg" in module:
        return "LAPACK"
    if "sort" in name or "partition" in name:
        return "no kernel sorts"
    if function in (getitem_of, written):
        return "elements chosen by a mask, or in an order that counts"
    return "not in terms of kernels"


def lower(graph: Graph, functions: Functions, exact: bool = False, masks: bool = True, checked: bool = False) -> Plan:
    """The plan of a program.

    `exact`: sums of products are rounded twice, as NumPy does, and not once. `masks`: whether the machine computes
    parts of vectors (AVX2, AVX-512, SVE). `checked`: kernels compare each address with its buffer.
    """
    return _Lowering(simplified(graph), functions, exact, masks, checked).run()
