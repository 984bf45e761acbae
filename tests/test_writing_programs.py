"""Random programs that write: item assignment, in-place operators, `out=`, views of views and aliases.

They are written as those of test_programs, and checked in the same ways. While a program is built it runs on plain
arrays, so NumPy itself says what is seen through what; in the end it returns all that it has made.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest
from all_orders import check_first_order, check_second_order, check_value
from hypothesis import strategies as st
from test_programs import Draw, Program, Shape, Writer, can_broadcast

from autodiff import tape

VIEWS = [
    "{v}[1:]", "{v}[::2]", "{v}[::-1]", "{v}[...]", "{v}[None]", "{v}[..., None]", "{v}[..., 0]", "{v}[..., ::-1]",
    "{v}[-1:]", "{v}[..., -2:]", "{v}.T", "{v}.ravel()", "{v}.reshape(-1)", "{v}.reshape({v}.shape[::-1])",
    "np.transpose({v})", "np.ravel({v})", "np.reshape({v}, -1)", "np.expand_dims({v}, 0)", "np.squeeze({v})",
    "np.flip({v})", "{v}.squeeze()", "np.real({v})", "{v}.real", "{v}.imag", "{v}.view()",
    "np.broadcast_to({v}, (2, *{v}.shape))",
    '{v}.reshape(-1, order="F")', '{v}.ravel("F")', "np.atleast_1d({v})", "np.atleast_2d({v})", "{v}.swapaxes(0, -1)",
    "np.moveaxis({v}, 0, -1)", "np.rot90({v})", "np.diagonal({v})", "np.split({v}, [1])[-1]",
]  # fmt: skip
COPIES = [
    "{v}.copy()", "np.copy({v})", "+{v}", "{v}.flatten()", "{v}[[0, -1, 0]]", "{v}[{v} == {v}]", "np.tanh({v})",
    "np.exp({v} * 0.3)", "1.0 / ({v} * {v} + 0.5)", "np.sum({v}, axis=0)", "{v} ** 2", "{v} * {v}",
    "np.zeros_like({v})", "np.sqrt({v} * {v} + 0.5)", "{v}.astype(float)", "np.cumsum({v})", "{v} @ {v}.T",
    "np.concatenate([{v}, {v}])", "np.hypot({v}, 1.5)",
]  # fmt: skip
KEYS = [
    "...", ":", "1:", "::-1", "0", "-1", "::2", "..., 0", "..., ::-1", "..., -1:", "None", "[0, -1]", "[0, 0]",
    "[-1, 0, -1]", "np.array([0, -1])", "..., [0, -1]", "..., [0, 0, -1]", "[0, -1], ..., 0",
    "(np.arange({n}) % 2) == 0", "1:, ..., None",
    "np.array([[0], [-1]])", "np.newaxis, 0", "[True] + [False] * ({n} - 1)", "0, ...", "()", "slice(1)", ":0", "[]",
]  # fmt: skip
CREATED = [
    "np.zeros({v}.shape)", "np.ones({v}.shape)", "np.full({v}.shape, 0.3)", "np.array([{v}, {v}])", "np.array({v})",
    "np.arange(3.0)", "np.linspace(0.0, 1.0, 4)", "np.eye(2)", "np.asarray({v})", "np.array([0.5, -0.2])",
]  # fmt: skip
NOT_COMPLEX = ("hypot", "sqrt", "/")  # or with a branch or a pole that is close
OPERATORS = ["+=", "-=", "*=", "/="]


class Scribe(Writer):
    """A Writer whose lines write, to arrays that are no arguments."""

    def __init__(self, draw: Draw, inputs: Any, rng: np.random.Generator, writes: bool) -> None:
        super().__init__(draw, inputs, rng)
        self.arguments = [] if writes else list(self.values.values())
        self.is_complex = any(np.iscomplexobj(x) for x in inputs)

    def run(self, line: str) -> bool:
        """Execute a line if it can be. It must not fail halfway, so it is tried on copies first."""
        if (self.is_complex and any(word in line for word in NOT_COMPLEX)) or not try_out(line, self.values):
            return False
        exec(line, {"np": np}, self.values)
        self.values.pop("i", None)
        self.lines.append(line)
        self.scale()
        return True

    def scale(self) -> None:
        """Keep the values near 1, in place where they can be written to."""
        for name, x in [*self.values.items()]:
            largest = float(np.max(np.abs(x), initial=0.0))
            if largest > 2.5:
                assign = (
                    f"{name} *= {1 / largest:.1g}" if self.writeable(name) else f"{name} = {name} * {1 / largest:.1g}"
                )
                exec(assign, {}, self.values)
                self.lines.append(assign)

    def writeable(self, name: str) -> bool:
        x = self.values[name]
        mine = not any(np.shares_memory(x, a) for a in self.arguments)
        return mine and isinstance(x, np.ndarray) and x.flags.writeable and is_injective(x)

    def target(self) -> str | None:
        """An array to write to: more often one that is a view, or has some."""
        names = [n for n in self.values if self.writeable(n)]
        return str(self.one_of(names)) if names else None

    def key(self, v: str) -> str:
        n = len(self.values[v]) if np.ndim(self.values[v]) else 1
        return str(self.one_of(KEYS)).replace("{n}", str(n))

    def operand(self, shape: Shape) -> str:
        """A variable, a part of one, a number or an array that can be written to something of this shape."""
        names = [n for n, x in self.values.items() if can_broadcast_to(np.shape(x), shape)]
        parts = [
            f"{n}[{k}]"
            for n in self.values
            for k in ("0", "1:", "::-1", "..., 0", "-1:", "[0, 0]")
            if can_broadcast_to(shape_of(f"{n}[{k}]", self.values), shape)
        ]
        kind = self.one_of(["variable", "variable", "part", "part", "number", "array", "expression"])
        if kind == "variable" and names:
            return str(self.one_of(names))
        if kind == "part" and parts:
            return str(self.one_of(parts))
        if kind == "expression" and names:
            return str(self.one_of(["np.tanh({n})", "{n} * {n}", "-{n}", "{n} * 0.5"])).format(n=self.one_of(names))
        if kind == "array":
            return self.constant(shape)
        return str(self.one_of(["0.5", "1", "-0.7", "np.float64(0.3)"]))

    # -- the kinds of lines

    def fresh(self) -> None:
        template = self.one_of(COPIES + VIEWS + VIEWS + (CREATED if not self.arguments else []))
        self.run(f"v{len(self.lines)} = {template.format(v=self.one_of(list(self.values)))}")

    def alias(self) -> None:
        self.run(f"v{len(self.lines)} = {self.one_of(list(self.values))}")

    def assign(self) -> None:
        if v := self.target():
            key = self.key(v)
            self.run(f"{v}[{key}] = {self.operand(shape_of(f'{v}[{key}]', self.values) or ())}")

    def augment(self) -> None:
        """`v[key] += ...` and `v += ...`; division by what is never 0."""
        if v := self.target():
            key = self.one_of(["", f"[{self.key(v)}]"])
            operand, op = self.operand(shape_of(v + key, self.values) or ()), self.one_of(OPERATORS)
            self.run(f"{v}{key} {op} {f'(1.5 + np.tanh({operand}))' if op == '/=' else operand}")

    def output(self) -> None:
        if v := self.target():
            a, b = (self.operand(np.shape(self.values[v])) for _ in range(2))
            texts = ["np.multiply({a}, {b}, out={v})", "np.add({a}, {b}, {v})", "np.sin({a}, out={v})"]
            texts += ["np.negative({v}, out={v})", "np.tanh({v}, {v})", "np.copyto({v}, {a})", "{v}.fill(0.5)"]
            texts += ["np.add({a}, {b}, out={v}, where=np.arange({v}.size).reshape({v}.shape) % 2 == 0)"]
            texts += ["np.copyto({v}, {a}, where=np.arange({v}.size).reshape({v}.shape) % 3 == 0)"]
            self.run(self.one_of(texts).format(a=a, b=b, v=v))

    def at(self) -> None:
        if v := self.target():
            key = self.key(v)
            operand = self.operand(shape_of(f"{v}[{key}]", self.values) or ())
            ufunc = self.one_of(["add", "add", "subtract", "multiply"])
            self.run(f"np.{ufunc}.at({v}, np.s_[{key}], {operand})")

    def swap(self) -> None:
        if v := self.target():
            texts = ["{v}[0], {v}[-1] = {v}[-1], {v}[0]", "{v}[[0, -1]] = {v}[[-1, 0]]", "{v}[1:] = {v}[:-1]"]
            texts += ["{v}[:-1] = {v}[1:]", "{v}[:] = {v}[::-1]", "{v}[1:] += {v}[:-1]", "{v}[...] = {v}.T"]
            texts += ["{v}[{v} == {v}] *= 0.2 * {v}[{v} == {v}]", "{v} -= {v}.mean()", "{v}[1:] *= {v}[0]"]
            self.run(self.one_of(texts).format(v=v))

    def loop(self) -> None:
        if v := self.target():
            n = len(self.values[v]) if np.ndim(self.values[v]) else 0
            texts = ["{v}[i] = {v}[i - 1] * 0.5 + 0.1", "{v}[i] *= {v}[-i]", "{v}[i - 1] += 0.3 * {v}[i]"]
            self.run(f"for i in range(1, {n}): {self.one_of(texts).format(v=v)}")

    def finish(self) -> str:
        parts = ", ".join(f"np.ravel({v}), np.ravel((0.5 * {v}).T), np.ravel((0.25 * {v}).T)" for v in self.values)
        result = f"np.concatenate([{parts}])"  # in two memory orders, so that the cotangents are so too
        arguments = ", ".join(n for n in self.values if n.startswith("x"))
        return "\n    ".join([f"def program({arguments}):", *self.lines, f"return {result}"]) + "\n"


LINES = [
    Scribe.fresh, Scribe.fresh, Scribe.fresh, Scribe.alias, Scribe.assign, Scribe.assign, Scribe.augment,
    Scribe.augment, Scribe.output, Scribe.at, Scribe.swap, Scribe.loop,
]  # fmt: skip


def is_injective(x: Any) -> bool:
    """Whether no element of the array is there twice, as in a broadcast one."""
    return all(s or n <= 1 for s, n in zip(x.strides, x.shape, strict=True))


def can_broadcast_to(shape: Shape | None, target: Shape) -> bool:
    return shape is not None and can_broadcast(shape, target) and np.broadcast_shapes(shape, target) == target


def shape_of(text: str, values: dict[str, Any]) -> Shape | None:
    try:
        return np.shape(eval(text, {"np": np}, values))
    except (IndexError, ValueError, TypeError):
        return None


def try_out(line: str, values: dict[str, Any]) -> bool:
    """Whether the line runs, and makes no array that is large or empty."""
    copies = {name: x.copy() for name, x in values.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)  # we refuse what NumPy warns of
            exec(line, {"np": np}, copies)
    except (IndexError, ValueError, TypeError, AttributeError, np.exceptions.ComplexWarning):
        return False
    return all(0 < np.size(x) <= 48 and np.all(np.abs(x) < 1e3) for x in copies.values())


@st.composite
def programs(draw: Draw, writes: bool = False, is_complex: bool = False) -> Program:
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    shapes = draw(st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=2))
    inputs: tuple[Any, ...] = tuple(np.round(rng.uniform(-1.5, 1.5, shape), 2) for shape in shapes)  # 0-d: a scalar
    if is_complex:
        inputs = tuple(x + 1j * np.round(rng.uniform(-1.5, 1.5, x.shape), 2) for x in inputs)
    if draw(st.booleans()):
        inputs = tuple(map(np.asarray, inputs))
    scribe = Scribe(draw, [x.copy() for x in inputs], rng, writes)
    if not writes:
        for k in range(len(inputs)):
            scribe.run(
                f"v{k} = {draw(st.sampled_from(['x{k} * 1.0', 'x{k}.copy()', 'np.zeros_like(x{k})'])).format(k=k)}"
            )
    for _ in range(draw(st.integers(1, 12))):
        draw(st.sampled_from(LINES))(scribe)
    return Program(scribe.finish(), inputs, seed)


many = hypothesis.settings(max_examples=4 * hypothesis.settings.default.max_examples)


@pytest.fixture(autouse=True, scope="module")
def in_place() -> Iterator[None]:
    """Let the backward walk add in place as it does with large arrays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tape, "SMALL", 16)
        yield


@many
@hypothesis.given(programs())
def test_value(program: Program) -> None:
    check_value(program, program.inputs)


@many
@hypothesis.given(programs())
def test_first_order(program: Program) -> None:
    check_first_order(program, program.inputs, seed=program.seed)


@many
@hypothesis.given(programs())
def test_second_order(program: Program) -> None:
    check_second_order(program, program.inputs, seed=program.seed)


@many
@hypothesis.given(programs(writes=True))
def test_writes_to_arguments(program: Program) -> None:
    """A transform hands out a copy, which may be written to."""
    check_value(program, program.inputs, writes=True)
    check_first_order(program, program.inputs, seed=program.seed, writes=True)
    check_second_order(program, program.inputs, seed=program.seed, writes=True)


@hypothesis.given(programs(is_complex=True))
def test_complex(program: Program) -> None:
    check_value(program, program.inputs)
    check_first_order(program, program.inputs, seed=program.seed)
    check_second_order(program, program.inputs, seed=program.seed)


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q"]))
