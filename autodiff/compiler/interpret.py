"""Runs a recorded program with NumPy, one value after the other: the oracle, and the executor without llvmlite."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..arrays import add_at
from ..rules.special import erfc
from .graph import REDUCTIONS, SCANS, Graph, Node

__all__ = ["Hole", "Interpreted", "Mismatch", "evaluate", "filled", "strided"]


class Mismatch(Exception):
    """A guard of the program, the one at `position`, has another value than was recorded."""

    def __init__(self, position: int | None, value: Any) -> None:
        super().__init__(position, value)
        self.position, self.value = position, value


class Hole:
    """The place of an array, or of a number of Python's, in the arguments of a call: the input of that index."""

    __slots__ = ("index", "number")

    def __init__(self, index: int, number: bool = False) -> None:
        self.index, self.number = index, number

    def __repr__(self) -> str:
        return f"#{self.index}{'.item()' if self.number else ''}"

    def __eq__(self, other: object) -> bool:
        return type(other) is Hole and (other.index, other.number) == (self.index, self.number)

    def __hash__(self) -> int:
        return hash((Hole, self.index, self.number))


def filled(template: Any, arrays: Sequence[Any]) -> Any:
    """Nested arguments with arrays in the holes."""
    kind = type(template)
    if kind is Hole:
        x = arrays[template.index]
        return x.item() if template.number else x
    if kind is tuple or kind is list:
        return kind(filled(part, arrays) for part in template)
    if kind is dict:
        return {key: filled(part, arrays) for key, part in template.items()}
    if kind is slice:
        return slice(*(filled(part, arrays) for part in (template.start, template.stop, template.step)))
    return template


def strided(x: Any, offset: int, strides: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """The elements that a `view` names, which share the memory of the contiguous array `x`."""
    flat = np.asarray(x, order="C").reshape(-1)
    if 0 in shape:
        return np.empty(shape, x.dtype)
    return as_strided(flat[offset:], shape, tuple([s * x.itemsize for s in strides]))


def _places(offset: int, strides: Any, steps: Any, shape: tuple[int, ...], indices: Sequence[Any]) -> Any:
    """Which elements a gather reads, as places in the flat array. Raises IndexError for an index out of bounds."""
    found = np.full(shape, offset)
    for axis, (n, s) in enumerate(zip(shape, strides, strict=True)):
        found += (np.arange(n) * s).reshape((-1,) + (1,) * (len(shape) - 1 - axis))
    for index, (step, n) in zip(indices, steps, strict=True):
        if ((index < -n) | (index >= n)).any():
            raise IndexError(f"an index is out of bounds for an axis of {n} elements")
        found += np.where(index < 0, index + n, index) * step
    return found


def evaluate(node: Node, arrays: Sequence[Any]) -> Any:
    """The value of a node, given those of its inputs: an array of its own but for `view`; a tuple for some calls."""
    op, params = node.op, node.params
    if op == "call":
        function, template = params
        args, kwargs = filled(template.value, arrays)
        result = function(*args, **kwargs)
        return result if isinstance(result, (tuple, list)) else np.asarray(result, order="C")
    if op == "item":
        return np.asarray(arrays[0][params[0]], order="C")
    if op == "view":
        return strided(arrays[0], params[0], params[1], node.shape)
    if op == "put":
        out, (offset, strides, shape) = arrays[0].copy(), params
        strided(out, offset, strides, shape)[...] = arrays[1]
        return out
    if op == "gather":
        offset, strides, steps = params
        return arrays[0].reshape(-1)[_places(offset, strides, steps, node.shape, arrays[1:])]
    if op in ("scatter", "scatter_add"):
        out, (offset, strides, shape, steps) = arrays[0].copy(), params
        places = _places(offset, strides, steps, shape, arrays[2:])
        if op == "scatter":
            out.reshape(-1)[places] = arrays[1]
        else:
            add_at(out.reshape(-1), places, arrays[1])
        return out
    if op in SCANS:
        return getattr(np, SCANS[op]).accumulate(arrays[0], axis=params[0], dtype=node.dtype)
    if op == "products":
        start = len(arrays) % 2
        terms = [*arrays[:start], *[np.matmul(x, y) for x, y in zip(arrays[start::2], arrays[start + 1 :: 2])]]
        return np.asarray(sum(terms[1:], terms[0]))
    if op == "matmul":
        return np.matmul(*arrays)
    if op == "where":
        return np.where(*arrays)
    if op == "cast":
        return arrays[0].astype(node.dtype)
    if op == "copy":
        return np.array(arrays[0], order="C")
    if op in REDUCTIONS:
        return _REDUCE[op](arrays[0], axis=params[0], **({"dtype": node.dtype} if op in ("sum", "prod") else {}))
    if op in ("argmax", "argmin"):
        return getattr(np, op)(arrays[0], axis=params[0])
    if op == "erfc":
        return erfc(arrays[0])
    ufunc = getattr(np, op)
    loop = ufunc.resolve_dtypes((*[a.dtype for a in arrays], node.dtype))
    return ufunc(*arrays, signature=loop)


_REDUCE: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
    "any": np.any,
    "all": np.all,
}


class Interpreted:
    """A program that NumPy runs. Called with the arrays of the inputs, it returns those of the outputs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = [n for n in graph.live() if n.op != "input"]
        last = {p.number: n.number for n in self.nodes for p in n.inputs}
        kept = {n.number for n in (*graph.outputs, *graph.inputs)} | {n.number for n, _ in graph.guards}
        self.free: dict[int, list[int]] = {}
        for number, by in last.items():
            if number not in kept:
                self.free.setdefault(by, []).append(number)
        self.guards: dict[int, list[tuple[int, Any]]] = {}
        for position, (node, value) in enumerate(graph.guards):
            self.guards.setdefault(node.number, []).append((position, value))
        self.order = tuple([i for n in (*graph.inputs, *self.nodes) for i, _ in self.guards.get(n.number, ())])

    def run(self, arrays: Sequence[Any]) -> tuple[list[Any], bool]:
        """The outputs, and whether there was an invalid operation such as 0/0."""
        invalid: list[Any] = []
        with np.errstate(all="ignore", invalid="call", call=lambda kind, flag: invalid.append(kind)):
            outputs = self(arrays)
        return outputs, bool(invalid)

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs. Raises Mismatch where a guard has another value than recorded, or a call another shape."""
        values: dict[int, Any] = {n.number: a for n, a in zip(self.graph.inputs, arrays, strict=True)}
        for node in self.graph.inputs:
            self._check(node, values)
        for node in self.nodes:
            if node.op == "constant":
                values[node.number] = node.params[0]
            else:
                value = values[node.number] = evaluate(node, [values[p.number] for p in node.inputs])
                is_array = not isinstance(value, (tuple, list))
                if is_array and (value.shape != node.shape or value.dtype != node.dtype):
                    raise Mismatch(None, value.shape)
            self._check(node, values)
            for number in self.free.get(node.number, ()):
                del values[number]
        return [np.asarray(values[n.number]) for n in self.graph.outputs]

    def _check(self, node: Node, values: dict[int, Any]) -> None:
        for position, expected in self.guards.get(node.number, ()):
            value = np.asarray(values[node.number]).item()
            if value != expected and not (value != value and expected != expected):
                raise Mismatch(position, value)
