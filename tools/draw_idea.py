"""Draw the pictures of docs/idea.md, as SVG, with the numbers that the library computes.

    python tools/draw_idea.py [folder]

They are 480 wide, so that a phone shows them large enough, without a background, and have colours of their own for
dark pages.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

import numpy as np

import autodiff as ad

WIDTH = 480
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
STYLE = """
text { fill: #1c2430; font-size: 15px; } .small { font-size: 13.5px; } .grey { fill: #5d656f; }
.bold { font-weight: bold; }
.back { fill: #a23b06; } .ahead { fill: #1d6b34; }
.leaf { fill: #e6f1fa; stroke: #2672a8; } .op { fill: #fdf2de; stroke: #b3730a; }
.edge { stroke: #868d96; } .edge.back { stroke: #a23b06; fill: none; } .edge.ahead { stroke: #1d6b34; fill: none; }
@media (prefers-color-scheme: dark) {
text { fill: #e3e7ec; } .grey { fill: #a9b1bb; } .back { fill: #ffa273; } .ahead { fill: #7fd69a; }
.leaf { fill: #14344c; stroke: #6db3e2; } .op { fill: #45330f; stroke: #e0a94a; }
.edge { stroke: #a9b1bb; } .edge.back { stroke: #ffa273; } .edge.ahead { stroke: #7fd69a; }
}"""


class Picture:
    """SVG elements, one under the other."""

    def __init__(self, height: int, title: str) -> None:
        self.height, self.title = height, title
        self.parts: list[str] = []

    def text(self, x: float, y: float, text: str, style: str = "", anchor: str = "middle") -> None:
        self.parts.append(f'<text x="{x:g}" y="{y:g}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>')

    def box(self, x: float, y: float, w: float, lines: list[tuple[str, str]], kind: str) -> None:
        """A box with its middle line at y: lines are texts and styles."""
        h = 18 * len(lines) + 12
        radius = 10 if kind == "op" else 3
        self.parts.append(
            f'<rect x="{x:g}" y="{y - h / 2:g}" width="{w:g}" height="{h:g}" rx="{radius}" class="{kind}" '
            'stroke-width="1.5"/>'
        )
        for i, (line, style) in enumerate(lines):
            self.text(x + w / 2, y - h / 2 + 20 + 18 * i, line, style)

    def arrow(self, x1: float, y1: float, x2: float, y2: float, style: str = "") -> None:
        length = float(np.hypot(x2 - x1, y2 - y1))
        dx, dy = (x2 - x1) / length, (y2 - y1) / length
        x, y = x2 - 8 * dx, y2 - 8 * dy
        head = f"M{x2:g} {y2:g}L{x - 4 * dy:.1f} {y + 4 * dx:.1f}L{x + 4 * dy:.1f} {y - 4 * dx:.1f}z"
        self.parts.append(f'<path d="M{x1:g} {y1:g}L{x:.1f} {y:.1f}" class="edge {style}" stroke-width="1.5"/>')
        self.parts.append(f'<path d="{head}" class="{style or "grey"}"/>')

    def svg(self) -> str:
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}" '
                f'viewBox="0 0 {WIDTH} {self.height}" role="img" font-family="{FONT}">',
                f"<title>{escape(self.title)}</title>",
                f"<style>{STYLE}</style>",
                *self.parts,
                "</svg>\n",
            ]
        )


# -- the example of the page: y = sin(x) * w, at x = 2 and w = 3

X, W = 2.0, 3.0
S = float(np.sin(X))
Y = S * W


def f(x: float, w: float) -> float:
    """What is drawn."""
    return np.sin(x) * w


def graph(p: Picture, y: float, of_x: list[tuple[str, str]], of_w: list[tuple[str, str]], of_y: str) -> None:
    """The three nodes of f in a row, w below, with what stands under the names."""
    p.box(4, y, 92, [("x", "bold"), *of_x], "leaf")
    p.box(166, y, 104, [("sin", "bold"), ("node 1", "small grey")], "op")
    p.box(166, y + 92, 104, [("w", "bold"), *of_w], "leaf")
    p.box(364, y + 46, 112, [("×", "bold"), ("node 2", "small grey"), (of_y, "small")], "op")


def tape() -> Picture:
    """What a call leaves behind."""
    p = Picture(272, "Running sin(x) times w leaves two nodes: each keeps what its rule needs, and knows its operands")
    p.text(4, 22, "f(x, w) = np.sin(x) * w", "bold", "start")
    p.text(4, 44, "runs on Values, and each operation leaves a node", "small grey", "start")
    graph(p, 112, [(f"{X:g}", "small")], [(f"{W:g}", "small")], f"y = {Y:.3f}")
    p.arrow(96, 112, 166, 112)
    p.arrow(270, 112, 364, 148)
    p.arrow(270, 204, 364, 168)
    p.text(318, 108, f"{S:.3f}", "small")
    p.text(218, 78, "keeps x", "small ahead")
    p.text(420, 112, "keeps both", "small ahead")
    p.text(4, 258, "operands come first, so the numbers are an order", "small grey", "start")
    return p


def walks() -> Picture:
    """Backward and forward, with the numbers."""
    gx, gw = map(float, ad.grad(f, (0, 1))(X, W))
    _, tangent = ad.jvp(f, (X, W), (1.0, 0.0))
    p = Picture(520, "The same nodes, backward for a gradient, and forward for a tangent")
    p.text(4, 22, "backward: from the newest node to the oldest", "bold", "start")
    p.text(4, 44, "one walk gives the derivative by all arguments", "small grey", "start")
    graph(p, 112, [(f"{gx:.3f}", "small back")], [(f"{gw:.3f}", "small back")], "g = 1")
    p.arrow(166, 112, 96, 112, "back")
    p.arrow(364, 148, 270, 112, "back")
    p.arrow(364, 168, 270, 204, "back")
    p.text(131, 102, "g·cos x", "small back")
    p.text(326, 112, f"g·w = {W:g}", "small back")
    p.text(340, 216, f"g·sin x = {gw:.3f}", "small back")

    p.text(4, 290, "forward: the same nodes, from the oldest on", "bold", "start")
    p.text(4, 312, "one walk gives one direction, here that of x", "small grey", "start")
    graph(p, 380, [("t = 1", "small ahead")], [("t = 0", "small ahead")], f"t = {float(tangent):.3f}")
    p.arrow(96, 380, 166, 380, "ahead")
    p.arrow(270, 380, 364, 416, "ahead")
    p.arrow(270, 472, 364, 436, "ahead")
    p.text(131, 370, "t·cos x", "small ahead")
    p.text(326, 380, f"t = {np.cos(X):.3f}", "small ahead")
    return p


def rule() -> Picture:
    """One line, run on four kinds of arrays."""
    p = Picture(330, "One rule, run on four kinds of arrays, gives gradients, higher orders, vmap and jit")
    line = "elementwise(np.sin, lambda g, x: g * np.cos(x))"
    p.box(40, 40, 400, [(line, "small bold"), ("one rule, in plain NumPy", "small grey")], "op")
    rows = [
        ("arrays", "gradients, with nothing recorded"),
        ("Values", "higher orders: the walk is recorded"),
        ("Batched", "vmap: all examples at once"),
        ("recorders", "jit: operations become a program"),
    ]
    p.text(4, 104, "run on ...", "small grey", "start")
    p.text(132, 104, "it gives ...", "small grey", "start")
    for i, (kind, gives) in enumerate(rows):
        y = 136 + 52 * i
        p.box(4, y, 92, [(kind, "bold")], "leaf")
        p.arrow(96, y, 128, y)
        p.text(134, y + 5, gives, "small", "start")
    return p


PICTURES = {"idea-tape.svg": tape, "idea-walks.svg": walks, "idea-rule.svg": rule}


def main(folder: Path) -> None:
    for name, draw in PICTURES.items():
        (folder / name).write_text(draw().svg(), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs"))
