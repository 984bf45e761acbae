"""Draw the graph that a backward pass walks: as SVG, which notebooks show, and as Graphviz text.

Inputs are boxes, operations are rounded, and the result is at the right with a thick border. Edges
arrive in the order of the operands, so `x * x` shows two.

A node does not hold its Value, so the number at an operation can be shown only while somebody else
holds the Value: the drawing asks the garbage collector for all that are alive. That is good enough to
look at a graph, and no way to compute with one.
"""

import gc
from collections.abc import Container
from html import escape
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

import numpy as np

from .draw_layout import Cell, arrange
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
    "square": "** 2",
    "floor_divide": "//",
    "remainder": "%",
    "cast": "astype",
    "real_sign": "sign",
}
BLUE, ORANGE = ("#e6f1fa", "#2672a8"), ("#fdf2de", "#b3730a")  # fill and border
INK, RED, GREY = "#1c2430", "#a23b06", "#868d96"  # this grey can be seen on white and on black
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
MARGIN = 12.0

Line = tuple[str, int, str, str]  # text, size, colour, weight


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
        return f"<Graph of {self._size[0]} nodes and {self._size[1]} edges: .svg, .dot, .save(path)>"


def draw_graph(y: Value, /, *, max_nodes: int = 500, **named: Value) -> Graph:
    """The graph that `y` was computed by. Keywords name Values in it: `draw_graph(y, x=x, h=h)`.

    Leaves show data and gradient. So do operations whose Value is still alive; they have a gradient
    after `retain_grad()`. Constants are shown until backward() frees them.

    >>> x = Value(3.0)
    >>> draw_graph(x * x + x, x=x)
    <Graph of 3 nodes and 4 edges: .svg, .dot, .save(path)>

    Raises GraphError if `y` is untracked, and ValueError if the graph has more than `max_nodes` nodes
    or a named Value is not in it.
    """
    for name, v in {"y": y, **named}.items():
        if not isinstance(v, Value):
            raise OperandError(f"draw_graph: {name} must be a Value, got a {type(v).__name__}")
    if y._node is None:
        raise GraphError("draw_graph: this Value is untracked, so there is no graph behind it")
    nodes = _nodes(y._node, max_nodes)
    number = {n: i for i, n in enumerate(nodes)}
    alive = _live_values(number) | {y._node: y}
    names = {n: v.name for n, v in alive.items() if v.name is not None}
    for name, v in named.items():
        if v._node is None or v._node not in number:
            raise ValueError(f"draw_graph: {name} is not in the graph behind this Value")
        alive[v._node], names[v._node] = v, name
    lines = [_lines(n, alive.get(n), names.get(n)) for n in nodes]
    operands = [[number[p] for p in n.parents] for n in nodes]
    leaves = [n.number == LEAF for n in nodes]
    size = len(nodes), sum(map(len, operands))
    return Graph(_svg(lines, operands, leaves), _dot(lines, operands, leaves), size)


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
            raise ValueError(
                f"draw_graph: more than max_nodes={limit} nodes; draw a part of the graph, or pass a larger max_nodes"
            )
    return sorted(seen, key=lambda n: -n.number)


def _live_values(nodes: Container[Node]) -> dict[Node, Value]:
    """The Values of `nodes` that somebody holds; one with a name if there are several."""
    found: dict[Node, Value] = {}
    for v in gc.get_objects():
        if issubclass(type(v), Value):  # isinstance would run code of proxy objects
            node = getattr(v, "_node", None)
            if node is not None and node in nodes and (node not in found or v.name is not None):
                found[node] = v
    return found


# -- what is written in a cell


def _lines(node: Node, v: Value | None, name: str | None) -> list[Line]:
    lines: list[Line] = []
    if node.number != LEAF:
        sign = _operation(node)
        lines.append((sign, 18 if len(sign) < 3 else 15, INK, "normal"))
    if name:
        lines.append((_clean(str(name)), 14, INK, "bold"))
    if v is not None:
        lines.append((f"data {_short(v._array)}", 12, INK, "normal"))
    grad = getattr(node, "grad", None)
    if grad is not None:
        lines.append((f"grad {_short(getattr(grad, '_array', grad))}", 12, RED, "normal"))
    return lines or [("leaf", 12, INK, "normal")]


def _operation(node: Node) -> str:
    """The function's sign or name, with the constant of a binary operator as far as it is known."""
    case: Any = node.case
    sign = SIGNS.get(case.rule.name)
    argnums: tuple[int, ...] = getattr(case, "argnums", ())  # a case that was freed has forgotten
    if sign is None or len(case.rule.maps) != 2 or len(argnums) != 1:
        return sign or _clean(case.rule.name)
    constant = case.residuals(node.saved).get("yx"[argnums[0]])
    text = "c" if constant is None or np.ndim(constant) else _short(constant)
    return f"{text} {sign}" if argnums[0] else f"{sign} {text}"


def _short(data: Any) -> str:
    """A number, up to four of them, or shape and dtype."""
    if np.ndim(data) == 0:
        item = data.item() if hasattr(data, "item") else data
        text = f"{item:.4g}"
        return text + ".0" if isinstance(item, float) and text.lstrip("-").isdigit() else text
    if data.ndim == 1 and data.size <= 4:
        return f"[{', '.join(map(_short, data.tolist()))}]"
    return f"{tuple(data.shape)} {data.dtype}"


def _clean(text: str) -> str:
    """Printable, and not too long."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return text if len(text) <= 28 else text[:27] + "…"


# -- the two texts


def _svg(lines: list[list[Line]], operands: list[list[int]], leaves: list[bool]) -> str:
    boxes = []
    for texts in lines:
        width = max(size * 0.61 * sum(1 + (east_asian_width(c) in "WF") for c in text) for text, size, *_ in texts)
        boxes.append(Cell(width + 24, sum(size * 1.3 for _, size, *_ in texts) + 10, box=True))
    cells = [cell for column in arrange(boxes, operands) for cell in column]
    top = min(cell.y - cell.height / 2 for cell in cells) - MARGIN
    height = max(cell.y + cell.height / 2 for cell in cells) + MARGIN - top
    width = boxes[0].right + 2 * MARGIN
    edges, tips = "", ""
    for cell in cells:
        for i, source in enumerate(cell.inputs):
            start = source.x + source.width / 2 if source.box else source.left
            tip, y0, y1 = cell.x - cell.width / 2, source.y, cell.y + cell.port(i)
            x0, x1 = source.right, min(cell.left, tip - 6) if cell.box else cell.left
            x = (x0 + x1) / 2
            edges += f"M{start:.1f} {y0:.1f}H{x0:.1f}C{x:.1f} {y0:.1f} {x:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
            if cell.box:
                edges += f"H{tip - 6:.1f}"
                tips += f"M{tip:.1f} {y1:.1f}l-8 -4v8z"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{-MARGIN:.0f} {top:.1f} {width:.0f} {height:.1f}" role="img" '
        f'aria-label="graph of {len(boxes)} nodes" font-family="{FONT}" text-anchor="middle">',
        f'<path fill="none" stroke="{GREY}" stroke-width="1.5" d="{edges}"/>',
        f'<path fill="{GREY}" d="{tips}"/>',
    ]
    for cell, texts, leaf in zip(boxes, lines, leaves):
        (fill, border), radius = (BLUE, 2) if leaf else (ORANGE, 14)
        parts.append(
            f'<rect x="{cell.x - cell.width / 2:.1f}" y="{cell.y - cell.height / 2:.1f}" '
            f'width="{cell.width:.1f}" height="{cell.height:.1f}" rx="{radius}" fill="{fill}" '
            f'stroke="{border}" stroke-width="{2.5 if cell is boxes[0] else 1.25}"/>'
        )
        y = cell.y - sum(size * 1.3 for _, size, *_ in texts) / 2
        for text, size, colour, weight in texts:
            y += size * 1.3
            parts.append(
                f'<text x="{cell.x:.1f}" y="{y - size * 0.35:.1f}" font-size="{size}" '
                f'font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
            )
    return "\n".join([*parts, "</svg>\n"])


def _dot(lines: list[list[Line]], operands: list[list[int]], leaves: list[bool]) -> str:
    parts = ["digraph {", '  rankdir=LR; bgcolor="transparent"; node [shape=box, fontname=monospace];']
    for i, (texts, leaf) in enumerate(zip(lines, leaves)):
        label = "\\n".join(text.replace("\\", "\\\\").replace('"', '\\"') for text, *_ in texts)
        (fill, border), style = (BLUE, "filled") if leaf else (ORANGE, "filled,rounded")
        parts.append(f'  n{i} [label="{label}", style="{style}", fillcolor="{fill}", color="{border}"];')
    parts += [f'  n{p} -> n{i} [color="{GREY}"];' for i, numbers in enumerate(operands) for p in numbers]
    return "\n".join([*parts, "}\n"])
