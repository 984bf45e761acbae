"""A recorded program: values, each computed once from earlier ones, as a list in the order of computation.

    graph = Graph()
    x = graph.input((3,), float64)
    y = graph.add("multiply", (x, x), (), (3,), float64)
    graph.outputs = [y]

A node is an operation, the nodes that it reads, and constant parameters. Shapes and dtypes are those of the recorded
run, and part of the program. Equal nodes are one node. Every array is C-contiguous but those of `view`.

    op                inputs        params                    value
    ----------------  ------------  ------------------------  ----------------------------------------------------
    input                           position                  an argument of the program, C-contiguous
    constant                        array                     an array that never changes
    a ufunc's name    its operands                            element by element; inputs have the dtypes of the
                                                              ufunc's loop, and broadcast to the shape
    where             condition x y                           np.where; x and y have the node's dtype
    cast              x                                       x in the node's dtype, as astype does it
    copy              x                                       the same in an array of its own
    view              x             offset, strides           elements of x, which is no view: from offset on, in
                                                              steps of strides, both counted in elements of x
    sum prod max min  x             axes                      reduced over these axes, which the shape lacks; x
    any all                                                   has the node's dtype
    argmax argmin     x             axis                      index of the first extremum along one axis
    matmul            x y                                     np.matmul; both at least 2-d, of the node's dtype
    products          [z] x y x y   z and products of matrices, added up: z is a node of the kind, and nobody
                      ...                                     else's
    put               x value       offset, strides, shape    x, with value (broadcast to shape) written at the
                                                              elements that a view with these params would read
    gather            x indices...  offset, strides, steps    elements of x: as a view, and an index further along
                                                              each of `steps`, pairs of a step and a length; indices
                                                              broadcast to the shape, negative ones count from the end
    scatter           x value       offset, strides, shape,   x, with value (broadcast to shape) written at the elements
    scatter_add       indices...    steps                     that a gather would read; or added there, to repeated ones
                                                              repeatedly
    cumsum cumprod    x             axis                      folded up to each element along one axis; x has the
    cummax cummin                                             node's dtype
    call              arrays        function, template        whatever NumPy computes, see `interpret`
    item              call          index                     one of the results of a call that has several
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["REDUCTIONS", "SCANS", "WRITES", "Graph", "Node", "c_strides"]

REDUCTIONS = frozenset(("sum", "prod", "max", "min", "any", "all"))
SCANS = {"cumsum": "add", "cumprod": "multiply", "cummax": "maximum", "cummin": "minimum"}
WRITES = frozenset(("put", "scatter", "scatter_add"))  # into the memory of x


def c_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a C-contiguous array, in elements.

    >>> c_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


class Node:
    """One value of a program."""

    __slots__ = ("dtype", "inputs", "number", "op", "params", "shape")

    def __init__(
        self,
        op: str,
        inputs: tuple["Node", ...],
        params: tuple[Any, ...],
        shape: tuple[int, ...],
        dtype: Any,
        number: int,
    ) -> None:
        self.op, self.inputs, self.params = op, inputs, params
        self.shape, self.dtype, self.number = shape, dtype, number

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size

    def __repr__(self) -> str:
        inputs = " ".join(f"%{n.number}" for n in self.inputs)
        return f"%{self.number} = {self.op} {inputs} : {self.dtype}{list(self.shape)}"


class Graph:
    """The values in order, the ones that are returned, and the guards: values that are as they were recorded.

    `guards` are pairs of a node and the Python value (bool, int, float) that it had.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.inputs: list[Node] = []
        self.outputs: list[Node] = []
        self.guards: list[tuple[Node, Any]] = []
        self._known: dict[Any, Node] = {}

    def add(self, op: str, inputs: Iterable[Node], params: tuple[Any, ...], shape: Sequence[int], dtype: Any) -> Node:
        """The node for an operation; the one there is already, if it was added before. `params` are hashable."""
        inputs, shape = tuple(inputs), tuple(shape)
        key = (op, inputs, params, shape, dtype)  # a node is equal to itself only
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Node(op, inputs, params, shape, dtype, len(self.nodes))
            self.nodes.append(found)
        return found

    def fresh(
        self, op: str, inputs: tuple[Node, ...], params: tuple[Any, ...], shape: tuple[int, ...], dtype: Any
    ) -> Node:
        """A node that is one of its own, whatever there is."""
        node = Node(op, inputs, params, shape, dtype, len(self.nodes))
        self.nodes.append(node)
        return node

    def input(self, shape: tuple[int, ...], dtype: Any) -> Node:
        """The next argument of the program."""
        node = self.fresh("input", (), (len(self.inputs),), shape, np.dtype(dtype))
        self.inputs.append(node)
        return node

    def constant(self, array: Any) -> Node:
        """An array that the program owns, a copy of this one; small equal ones are one node."""
        array = np.array(array, order="C")
        if array.size > 64:
            return self.fresh("constant", (), (array,), array.shape, array.dtype)
        key = ("constant", array.tobytes(), array.shape, array.dtype)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.fresh("constant", (), (array,), array.shape, array.dtype)
        return found

    def view(self, x: Node, offset: int, strides: tuple[int, ...], shape: tuple[int, ...]) -> Node:
        """Elements of `x`; `x` itself if these are all of them in order."""
        if offset == 0 and shape == x.shape and strides == c_strides(shape):
            return x
        return self.add("view", (x,), (offset, strides), shape, x.dtype)

    def live(self) -> list[Node]:
        """The nodes that outputs and guards need, in order. Inputs are there even if nothing needs them."""
        needed = {n.number for n in (*self.outputs, *self.inputs)} | {n.number for n, _ in self.guards}
        for node in reversed(self.nodes):
            if node.number in needed:
                needed.update([n.number for n in node.inputs])
        return [n for n in self.nodes if n.number in needed]

    def __repr__(self) -> str:
        lines = [*map(repr, self.live()), f"return {' '.join(f'%{n.number}' for n in self.outputs)}"]
        return "\n".join(lines)
