"""Draw the graph that a backward pass walks: as SVG, which notebooks show, and as Graphviz text.

Inputs are boxes, operations are rounded, and the result is at the right. A node does not hold its
Value, so the number at an operation can be shown only if somebody still has the Value; the drawing
asks the garbage collector. That is fine for looking at a graph, and no way to compute with one.

The columns are the longest distances from the result. Within a column the order comes from
neighbours (barycentres, keeping the order with the fewest crossings), and the heights are the ones
nearest to the neighbours' heights that keep boxes apart. What passes a column gets a cell of its own
there. In `x * x + x` the leaf x is two columns from the addition, so its second edge has such a cell
next to the multiplication.
"""

import gc
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

import numpy as np

from .errors import GraphError, OperandError
from .tape import LEAF, Node
from .value import Value

__all__ = ["Graph", "draw_graph"]

SIGNS = {
    "add": "+",
    "subtract": "−",
    "multiply": "×",
    "divide": "÷",
    "power": "**",
    "scalar_power": "**",
    "floor_divide": "//",
    "remainder": "%",
    "cast": "astype",
    "real_sign": "sign",
}
BLUE, ORANGE = ("#e6f1fa", "#2672a8"), ("#fdf2de", "#b3730a")  # fill and border
INK, RED, GREY = "#1c2430", "#a23b06", "#868d96"  # grey can be seen on white and on black
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
GAP_X, GAP_Y, PORT = 46.0, 16.0, 15.0

Line = tuple[str, int, str, bool]  # text, size, colour, bold


class Graph:
    """A drawn graph: `.svg` and `.dot` are its texts, `save` writes one. Notebooks show the SVG."""

    __slots__ = ("_size", "dot", "svg")

    def __init__(self, svg: str, dot: str, size: tuple[int, int]) -> None:
        self.svg = svg
        self.dot = dot
        self._size = size

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: Any) -> None:
        """Write the SVG or the Graphviz text to `path`, whose suffix (.svg or .dot) says which."""
        path = Path(path)
        texts = {".svg": self.svg, ".dot": self.dot}
        if path.suffix not in texts:
            raise ValueError(f"Graph.save: {path.name!r} must end in .svg or .dot")
        path.write_text(texts[path.suffix], encoding="utf-8")

    def __repr__(self) -> str:
        return f"<Graph of {self._size[0]} nodes, {self._size[1]} edges; .svg, .dot, .save(path)>"


class Cell:
    """What takes a place in the drawing: a node, or (without lines) an edge that passes a column."""

    __slots__ = ("column", "inputs", "leaf", "lines", "order", "outputs", "width", "x", "y")

    def __init__(self, column: int, lines: Sequence[Line] = (), leaf: bool = False) -> None:
        self.column = column
        self.lines = lines
        self.leaf = leaf
        self.inputs: list[Cell] = []
        self.outputs: list[tuple[Cell, int]] = []  # with the number of the operand
        self.width = max((_width(text) * size * 0.61 for text, size, *_ in lines), default=-24) + 24
        self.x = self.y = self.order = 0.0

    @property
    def height(self) -> float:
        rows = sum(size * 1.3 for _, size, *_ in self.lines) + 10 if self.lines else 4.0
        return max(rows, PORT * len(self.inputs))

    def port(self, i: int) -> float:
        """How far below the middle the edge of operand `i` arrives."""
        return (i - (len(self.inputs) - 1) / 2) * PORT

    def connect(self, inputs: Iterable["Cell"]) -> "Cell":
        for i, cell in enumerate(inputs):
            self.inputs.append(cell)
            cell.outputs.append((self, i))
        return self


def draw_graph(y: Value, /, *, max_nodes: int = 500, **named: Value) -> Graph:
    """The graph that `y` was computed by. Keywords name Values in it: `draw_graph(y, x=x, h=h)`.

    Leaves show their data and gradient; operations show theirs if a Value of them is still alive, and
    a gradient after `retain_grad()`. A constant is shown until backward() has freed what was saved.

    >>> draw_graph(Value(3.0, name="x") * 2.0)
    <Graph of 2 nodes, 1 edges; .svg, .dot, .save(path)>

    Raises GraphError if `y` is untracked, and ValueError if the graph has more than `max_nodes` nodes
    or a named Value is not in it.
    """
    for name, v in {"y": y, **named}.items():
        if not isinstance(v, Value):
            raise OperandError(f"draw_graph: {name} must be a Value, got {type(v).__name__}")
    if y._node is None:
        raise GraphError("draw_graph: this Value is untracked, so it has no graph")
    nodes = _nodes(y._node, max_nodes)
    values = _live_values(set(nodes)) | {y._node: y}
    names = {node: v.name for node, v in values.items() if v.name is not None}
    for name, v in named.items():
        if v._node not in values and v._node not in set(nodes):
            raise ValueError(f"draw_graph: {name} is not in the graph of this Value")
        values[v._node] = v  # type: ignore[index]
        names[v._node] = name  # type: ignore[index]
    lines = {n: _lines(n, values.get(n), names.get(n)) for n in nodes}
    edges = sum(len(n.parents) for n in nodes)
    return Graph(_svg(nodes, lines), _dot(nodes, lines), (len(nodes), edges))


def _nodes(root: Node, limit: int) -> list[Node]:
    """All nodes of the graph, results before their operands."""
    seen = {root: None}
    pending = [root]
    while pending:
        for p in pending.pop().parents:
            if p not in seen:
                seen[p] = None
                pending.append(p)
        if len(seen) > limit:
            raise ValueError(f"draw_graph: the graph has more than max_nodes={limit} nodes; draw a part, or raise it")
    return sorted(seen, key=lambda n: -n.number)


def _live_values(nodes: set[Node]) -> dict[Node, Value]:
    """The Values of `nodes` that somebody holds; one with a name if there are several."""
    found: dict[Node, Value] = {}
    for v in gc.get_objects():
        if issubclass(type(v), Value):  # not isinstance, which runs code of proxy objects
            node = getattr(v, "_node", None)
            if node in nodes and (node not in found or v.name is not None):
                found[node] = v
    return found


# -- what is written in a cell


def _lines(node: Node, v: Value | None, name: str | None) -> list[Line]:
    leaf = node.number == LEAF
    lines: list[Line] = []
    if not leaf:
        sign = _operation(node)
        lines.append((sign, 18 if len(sign) < 3 else 15, INK, False))
    if name is not None:
        lines.append((_clean(str(name)), 14, INK, True))
    if v is not None:
        lines.append((f"data {_short(v._data)}", 12, INK, False))
    grad = getattr(node, "grad", None)
    if grad is not None:
        lines.append((f"grad {_short(getattr(grad, '_data', grad))}", 12, RED, False))
    return lines or [("leaf", 12, INK, False)]


def _operation(node: Node) -> str:
    """The function's sign or name, with the constant of a binary operator as far as it is known."""
    case: Any = node.case
    sign = SIGNS.get(case.rule.name)
    argnums = getattr(case, "argnums", ())  # a case whose residuals were freed has forgotten
    if sign is None or len(case.rule.maps) != 2 or len(argnums) != 1:
        return sign or _clean(case.rule.name)
    constant = case.residuals(node.saved).get("yx"[argnums[0]])
    text = "c" if constant is None or np.ndim(constant) else _short(constant)
    return f"{text} {sign}" if argnums[0] else f"{sign} {text}"


def _short(data: Any) -> str:
    """A number, up to four of them, or shape and dtype."""
    if np.ndim(data) == 0:
        text = f"{data.item() if hasattr(data, 'item') else data:.4g}"
        return text + ".0" if text.lstrip("-").isdigit() else text
    if data.ndim == 1 and data.size <= 4:
        return f"[{', '.join(map(_short, data.tolist()))}]"
    return f"{tuple(data.shape)} {data.dtype}"


def _clean(text: str) -> str:
    """Printable and not too long."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return text if len(text) <= 28 else text[:27] + "…"


def _width(text: str) -> int:
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


# -- where the cells go


def _layout(nodes: list[Node], lines: dict[Node, list[Line]]) -> list[list[Cell]]:
    """The columns of cells, from the result backward, each from top to bottom."""
    depth = dict.fromkeys(nodes, 0)
    for n in nodes:
        for p in n.parents:
            depth[p] = max(depth[p], depth[n] + 1)
    columns: list[list[Cell]] = [[] for _ in range(max(depth.values()) + 1)]
    cells: dict[tuple[Node, int], Cell] = {}

    def place(n: Node, column: int, cell: Cell) -> Cell:
        cell.order = len(columns[column])
        columns[column].append(cell)
        return cells.setdefault((n, column), cell)

    def reach(p: Node, column: int) -> Cell:
        """The cell in `column` from which an edge of `p` goes on; all edges of `p` share it."""
        if (p, column) not in cells:
            at = depth[p]
            cell = place(p, at, Cell(at, lines[p], p.number == LEAF)) if (p, at) not in cells else cells[p, at]
            for c in range(at - 1, column - 1, -1):
                cell = cells[p, c] if (p, c) in cells else place(p, c, Cell(c).connect([cell]))
        return cells[p, column]

    for n in nodes:
        reach(n, depth[n]).connect([reach(p, depth[n] + 1) for p in n.parents])
    _sort(columns)
    _set_positions(columns)
    return columns


def _sort(columns: list[list[Cell]]) -> None:
    """Order each column so that few edges cross."""
    best, fewest = [list(c) for c in columns], _crossings(columns)
    for sweep in range(12):
        if not fewest:
            break
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            for cell in column:
                ends = [o.order + _fraction(o, i) for o, i in cell.outputs]
                ends = ends if sweep % 2 == 0 else [c.order for c in cell.inputs]
                cell.x = sum(ends) / len(ends) if ends else cell.order
            column.sort(key=lambda cell: cell.x)
            for i, cell in enumerate(column):
                cell.order = i
        if (crossings := _crossings(columns)) < fewest:
            best, fewest = [list(c) for c in columns], crossings
    columns[:] = best


def _fraction(cell: Cell, i: int) -> float:
    return (i + 0.5) / len(cell.inputs) - 0.5


def _crossings(columns: list[list[Cell]]) -> int:
    count = 0
    for column in columns:
        seen: list[int] = []
        position = {id(cell): i for i, cell in enumerate(columns[column[0].column + 1])} if column[0].column + 1 < len(columns) else {}
        for cell in column:
            for source in cell.inputs:
                order = position[id(source)]
                count += len(seen) - bisect_right(seen, order)
                insort(seen, order)
    return count
