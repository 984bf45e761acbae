"""Write docs/supported.md from `autodiff.supported()`.

python tools/write_supported.py
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from autodiff.supported import Support, supported

PAGE = Path(__file__).parents[1] / "docs" / "supported.md"

HEAD = """# What of NumPy works

Every name that NumPy lets a class override, everything in `numpy.fft` and `numpy.linalg`, and every method of an
ndarray, as of NumPy {version}. In a session, `ad.supported("fft")` shows the same table, or a part of it.

What has a rule or is composed of functions that have one can be differentiated in reverse and forward mode, to any
order. What has no derivative runs on the data, and gives constants. What is refused raises an error with the
reason, if a gradient would be lost.

This page is written by `tools/write_supported.py`.
"""

VMAP = """## Under vmap

All of them are computed for all examples at once, but for these. What is refused is so if the batch decides the shape
of the result, as a mask of each example does; `ad.vmap(f, loop=True)` runs f for one example after the other.
"""

FAMILIES = {
    "Universal functions": lambda name: isinstance(getattr(np, name.removeprefix("np."), None), np.ufunc),
    "Methods of universal functions": lambda name: name.startswith("ufunc."),
    "Functions": lambda name: name.count(".") == 1 and name.startswith("np."),
    "np.linalg": lambda name: name.startswith("np.linalg."),
    "np.fft": lambda name: name.startswith("np.fft."),
    "np.emath": lambda name: name.startswith("np.emath."),
    "Methods and attributes of arrays": lambda name: name.startswith("ndarray."),
    "Elsewhere": lambda name: True,
}
CLASSES = {
    ("ruled", "elementwise"): "elementwise rule",
    ("ruled", "linear"): "linear rule",
    ("ruled", "bilinear"): "bilinear rule",
    ("ruled", "general"): "rule",
    ("ruled", "mutation"): "writes to its first argument",
    ("ruled", "creation"): "of Values, inside a transform",
    ("composite", ""): "composed",
    ("non-differentiable", ""): "no derivative",
}


def render() -> str:
    rows = [row for row in supported() if row.kind != "refused"]
    lines = [HEAD.format(version=".".join(np.__version__.split(".")[:2]))]
    for family, belongs in FAMILIES.items():
        members = [row for row in rows if belongs(row.name)]
        rows = [row for row in rows if row not in members]
        if members:
            lines += [f"## {family}\n", "| how | names |", "|-----|-------|"]
            for key, text in CLASSES.items():
                chosen = [row for row in members if (row.kind, row.rule) == key]
                if chosen:
                    lines.append(f"| {text} | {_names(chosen)} |")
            lines.append("")
    lines += [VMAP, "| how | names |", "|-----|-------|"]
    for manner, text in {"loop": "one example after the other", "refused": "refused for batches"}.items():
        lines.append(f"| {text} | {_names(row for row in supported() if row.vmap == manner)} |")
    lines.append("")
    lines += ["## Refused\n", "| why | names |", "|-----|-------|"]
    refused = supported(kind="refused")
    for note in dict.fromkeys(row.note for row in refused):
        lines.append(f"| {note} | {_names(row for row in refused if row.note == note)} |")
    return "\n".join(lines) + "\n"


def _names(rows: Iterable[Support]) -> str:
    return " ".join(f"`{row.name.removeprefix('np.')}`" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
