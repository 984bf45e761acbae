"""Where the cells of a drawn graph go: columns from left to right, the order in each, the heights.

A cell's column is its longest distance from the result, which is at the right. The order within a
column comes from the neighbours' (barycentres, keeping the order with the fewest crossings); the
heights are those nearest to the neighbours' that keep cells apart. What passes a column gets a cell
of its own there, so that no edge runs through a box.

In `x * x + x` the result + is in column 0 and × in column 1. The leaf x is in column 2, and its edge
to + passes column 1 through an empty cell below ×.
"""

from bisect import bisect_right, insort
from collections.abc import Sequence

__all__ = ["Cell", "arrange"]

GAP_X, GAP_Y, PORT = 46.0, 16.0, 15.0  # between columns, between cells, between edges that arrive
PASSING = 4.0  # the height of a cell that is only passed through


class Cell:
    """A place in the drawing: a box, or (`box=False`) an edge that passes a column."""

    __slots__ = ("box", "column", "height", "inputs", "left", "order", "outputs", "right", "width", "x", "y")

    def __init__(self, width: float = 0.0, height: float = PASSING, box: bool = False) -> None:
        self.width = width
        self.height = height
        self.box = box
        self.inputs: list[Cell] = []  # the neighbours in the column to the left, one for each edge
        self.outputs: list[tuple[Cell, int]] = []  # those to the right, and which of their edges it is
        self.column = 0
        self.x = self.y = self.order = 0.0  # x and y of the middle
        self.left = self.right = 0.0  # the sides of the column

    def connect(self, inputs: Sequence["Cell"]) -> None:
        """Let edges arrive from `inputs`, from top to bottom."""
        self.inputs = [*inputs]
        self.height = max(self.height, PORT * len(inputs))
        for i, cell in enumerate(inputs):
            cell.outputs.append((self, i))

    def port(self, i: int) -> float:
        """How far below the middle edge `i` arrives."""
        return (i - (len(self.inputs) - 1) / 2) * PORT


def arrange(boxes: Sequence[Cell], operands: Sequence[Sequence[int]]) -> list[list[Cell]]:
    """The columns from right to left, each from top to bottom; every cell gets its inputs and place.

    `boxes[0]` is the result and every box stands before its operands; `operands[i]` are the positions
    of those of `boxes[i]`.
    """
    for box, numbers in zip(boxes, operands):
        for i in numbers:
            boxes[i].column = max(boxes[i].column, box.column + 1)
    columns: list[list[Cell]] = [[] for _ in range(max(box.column for box in boxes) + 1)]
    cells: dict[tuple[int, int], Cell] = {}

    def reach(i: int, column: int) -> Cell:
        """The cell in `column` from which the edges of box `i` go on."""
        for c in range(boxes[i].column, column - 1, -1):
            if (i, c) not in cells:
                cell = cells[i, c] = boxes[i] if c == boxes[i].column else Cell()
                if not cell.box:
                    cell.connect([cells[i, c + 1]])
                cell.column, cell.order = c, len(columns[c])
                columns[c].append(cell)
        return cells[i, column]

    reach(0, 0)
    for box, numbers in zip(boxes, operands):
        box.connect([reach(i, box.column + 1) for i in numbers])
    _sort(columns)
    _place(columns)
    return columns


def _sort(columns: list[list[Cell]]) -> None:
    """Order each column so that few edges cross."""
    best, fewest = [list(c) for c in columns], _crossings(columns)
    for sweep in range(12):
        if not fewest:
            break
        rightwards = sweep % 2
        for column in reversed(columns) if rightwards else columns:
            for cell in column:
                ends = [c.order for c in cell.inputs]
                if not rightwards:
                    ends = [c.order + (i + 0.5) / len(c.inputs) - 0.5 for c, i in cell.outputs]
                cell.y = sum(ends) / len(ends) if ends else cell.order
            column.sort(key=lambda cell: cell.y)
            for i, cell in enumerate(column):
                cell.order = i
        if (crossings := _crossings(columns)) < fewest:
            best, fewest = [list(c) for c in columns], crossings
    columns[:] = best


def _crossings(columns: list[list[Cell]]) -> int:
    count = 0
    for column in columns:
        seen: list[float] = []  # where the edges above this one come from
        for source in (c for cell in column for c in cell.inputs):
            count += len(seen) - bisect_right(seen, source.order)
            insort(seen, source.order)
    return count


def _place(columns: list[list[Cell]]) -> None:
    left = 0.0
    for column in reversed(columns):
        width = max(cell.width for cell in column)
        for cell in column:
            cell.x, cell.left, cell.right = left + width / 2, left, left + width
        left += width + GAP_X
        _spread(column, [(0.0, 1.0)] * len(column))
    for sweep in range(24):
        for column in columns if sweep % 2 else reversed(columns):
            _spread(column, [_wish(cell) for cell in column])


def _wish(cell: Cell) -> tuple[float, float]:
    """The height at which the edges of `cell` are straight, on average, and how much it matters."""
    ends = [(c.y - cell.port(i), c) for i, c in enumerate(cell.inputs)]
    ends += [(c.y + c.port(i), c) for c, i in cell.outputs]
    weights = [(1 if cell.box else 4) * (1 if c.box else 4) for _, c in ends]
    total = sum(weights)
    return (sum(y * w for (y, _), w in zip(ends, weights)) / total, total) if total else (0.0, 1.0)


def _spread(column: list[Cell], wishes: list[tuple[float, float]]) -> None:
    """Give each cell the height that it wishes, or the nearest (least squares) at which none overlap.

    Less the room that the cells above need, heights may not decrease: an isotonic regression, done by
    merging neighbours that are in the wrong order into blocks at their mean.
    """
    room: list[float] = []
    blocks: list[tuple[float, float, int]] = []  # height, weight, number of cells
    for i, (cell, (y, weight)) in enumerate(zip(column, wishes)):
        room.append(room[-1] + (column[i - 1].height + cell.height) / 2 + GAP_Y if room else 0.0)
        y, count = y - room[-1], 1
        while blocks and blocks[-1][0] > y:
            other, w, n = blocks.pop()
            y, weight, count = (other * w + y * weight) / (w + weight), w + weight, n + count
        blocks.append((y, weight, count))
    heights = [y for y, _, count in blocks for _ in range(count)]
    for cell, y, above in zip(column, heights, room):
        cell.y = y + above
