"""What the examples share: how their pictures look, their options, and what they say if a package is missing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREY", "ORANGE", "RED", "digit_grid", "figure", "needs", "options", "write"]

BLUE, RED, ORANGE, GREY = "#0072b2", "#d55e00", "#e69f00", "#666666"  # told apart with any kind of colour vision
STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "grid.color": "#e6e6e6",
    "lines.linewidth": 2,
    "legend.frameon": False,
    "legend.fontsize": 10,
}


@contextmanager
def needs(extra: str = "examples") -> Iterator[None]:
    """Around the imports of an example: a missing package is named, and the extra that brings it."""
    try:
        import matplotlib  # noqa: F401  # for the picture at the end

        yield
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"this example needs {error.name}, which is not installed. autodiff[{extra}] brings all that it needs:\n"
            f'  python -m pip install -e ".[{extra}]"      (in the root of the repository)'
        ) from None


def options(doc: str | None, name: str, **more: Any) -> argparse.Namespace:
    """The command line: --out, --seed, --smoke, and `more`, whole numbers from 1 on with their defaults."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    for option, default in more.items():
        parser.add_argument(f"--{option}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument("--out", default=f"{name}.png", help=f"the picture's file (default {name}.png)")
    parser.add_argument("--smoke", action="store_true", help="a short run; fails if nothing is learned")
    chosen = parser.parse_args()
    for option in more:
        if getattr(chosen, option) < 1:
            parser.error(f"--{option} has to be at least 1")
    if chosen.seed < 0:
        parser.error("--seed has to be at least 0")
    return chosen


def figure(width: float = 9, height: float = 4) -> Figure:
    """An empty figure in the style of the examples, in inches."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(STYLE)
    return Figure(figsize=(width, height), layout="constrained")  # not of pyplot: no screen is needed


def write(picture: Figure, path: str, dpi: int = 120) -> None:
    """Into a file, and say so."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=dpi, pil_kwargs={"optimize": True})
    print(f"the picture is in {path}")


def digit_grid(axes: Any, images: Any, columns: int) -> None:
    """Images of 8 by 8 pixels, row by row, as one picture with thin lines between them."""
    import numpy as np

    cells = np.pad(np.reshape(images, (-1, columns, 8, 8)), ((0, 0), (0, 0), (0, 1), (0, 1)))
    rows = len(cells)
    axes.imshow(cells.transpose(0, 2, 1, 3).reshape(rows * 9, columns * 9)[:-1, :-1], cmap="gray_r", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="#cccccc")
