"""The steps of a plan that Python does, on views of the memory of one call."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .graph import c_strides
from .interpret import Mismatch, evaluate
from .plan import Array, Call, Check, Gemm, Plan, Step

__all__ = ["Frame", "View", "python_step"]


class Frame(NamedTuple):
    """The memory of one call of a program that is cut."""

    memory: Any
    inputs: Sequence[Any]
    outputs: Sequence[Any]


class View:
    """An array of the plan, in the memory of a call: temporaries from `start` on, outputs in these positions."""

    def __init__(
        self, array: Array, plan: Plan, start: int, positions: Mapping[int, int], constants: list[Any]
    ) -> None:
        self.shape, self.dtype = array.shape, np.dtype(array.dtype)
        self.kind, place, _ = plan.buffers[array.buffer]
        self.position, self.constants = positions.get(array.buffer, place), constants
        self.offset = array.offset * self.dtype.itemsize + (start + place if self.kind == "temporary" else 0)
        self.strides = tuple([s * self.dtype.itemsize for s in array.strides])
        self.whole = array.offset == 0 and array.strides == c_strides(array.shape)

    def __call__(self, frame: Frame) -> Any:
        kind = self.kind
        if kind == "temporary":
            return np.ndarray(self.shape, self.dtype, frame.memory, self.offset, self.strides)
        sources = frame.inputs if kind == "input" else frame.outputs if kind == "output" else self.constants
        source = sources[self.position]
        if self.whole and source.shape == self.shape and source.dtype == self.dtype:
            return source
        return np.ndarray(self.shape, self.dtype, source, self.offset, self.strides)


def _call(step: Call, view: Callable[[Array], View]) -> Callable[[Frame], None]:
    inputs = [view(a) for a in step.inputs]
    outputs = [None if a is None else view(a) for a in step.outputs]

    def call(frame: Frame) -> None:
        found = evaluate(step.node, [v(frame) for v in inputs])
        for out, value in zip(outputs, found if isinstance(found, tuple | list) else (found,)):
            if out is None:
                continue
            if np.shape(value) != out.shape or np.asarray(value).dtype != out.dtype:
                raise Mismatch(None, np.shape(value))  # it depends on the numbers
            out(frame)[...] = value

    return call


def _matmul(step: Gemm, view: Callable[[Array], View]) -> Callable[[Frame], None]:
    x, y, out = view(step.x), view(step.y), view(step.out)

    def matmul(frame: Frame) -> None:
        if step.adds:
            out(frame)[...] += np.matmul(x(frame), y(frame))
        else:
            np.matmul(x(frame), y(frame), out=out(frame))

    return matmul


def _check(step: Check, view: Callable[[Array], View]) -> Callable[[Frame], None]:
    array = view(step.array)

    def check(frame: Frame) -> None:
        value = array(frame).item()
        if value != step.value and not (value != value and step.value != step.value):
            raise Mismatch(step.position, value)

    return check


def python_step(step: Step, view: Callable[[Array], View]) -> Callable[[Frame], None]:
    """A function that does a step, given the memory of a call."""
    if type(step) is Call:
        return _call(step, view)
    if type(step) is Gemm:
        return _matmul(step, view)
    if type(step) is Check:
        return _check(step, view)
    raise TypeError(f"{type(step).__name__} is a step for native code")
