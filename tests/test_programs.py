"""Random programs: hypothesis writes NumPy code, and every mode of differentiation has to agree on it.

A program is the source of a function, built line by line and run on plain arrays while it is built, so that
its shapes fit and its values stay near 1 (a line that scales is added where they would not). It is smooth
where it is run: what has a kink or a pole gets an argument that keeps away from it. A failing example prints
the source and the inputs, ready to be pasted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import hypothesis
import numpy as np
import pytest
from all_orders import ROUNDING, check_first_order, check_second_order, check_value
from checks import assert_close
from hypothesis import strategies as st

import autodiff as ad

Draw = Callable[[st.SearchStrategy[Any]], Any]
Shape = tuple[int, ...]

MAX_SIZE = 48  # elements of one variable


class Program:
    """The source of a function, and arguments for it."""

    def __init__(self, source: str, inputs: tuple[Any, ...], seed: int) -> None:
        self.source, self.inputs, self.seed = source, inputs, seed
        self.function = compiled(source)

    def __call__(self, *inputs: Any) -> Any:
        return self.function(*inputs)

    def __repr__(self) -> str:
        values = ", ".join(literal(x) for x in self.inputs)
        return f"\n{self.source}inputs = ({values},)  # directions from seed {self.seed}\n"


def literal(x: Any) -> str:
    """The array as source."""
    text = f"np.array({np.asarray(x).tolist()})"
    return f"{text}[()]" if isinstance(x, np.generic) else text


def compiled(source: str) -> Callable[..., Any]:
    names: dict[str, Any] = {}
    exec(compile(source, "<program>", "exec"), globals(), names)  # this module's np is the one that transforms exchange
    function: Callable[..., Any] = names["program"]
    return function


# -- how a line is made: templates in {v}, in {a} and {b}, and drawn ones

POSITIVE = "({v} * {v} + 0.5)"
UNIT = "np.tanh({v})"
UNARY = [
    "-{v}", "+{v}", "3 - {v}", "2 * {v}", "{v} / 4", "{v} + True", "{v} - np.float64(0.5)", "np.float64(1.5) * {v}",
    "{v} ** 2", "{v} ** 3", "{v} * {v}", f"{POSITIVE} ** 1.5", f"{POSITIVE} ** -0.5", f"2.0 ** {UNIT}",
    f"1.0 / {POSITIVE}", f"np.float64(2.0) / {POSITIVE}", f"abs{POSITIVE}", f"np.abs(-{POSITIVE})",
    "np.sin({v})", "np.cos({v})", "np.tanh({v})", "np.arctan({v})", "np.arcsinh({v})", "np.square({v})",
    f"np.exp({UNIT})", f"np.expm1({UNIT})", f"np.exp2({UNIT})", f"np.sinh({UNIT})", f"np.cosh({UNIT})",
    f"np.tan({UNIT})", f"np.sinc({UNIT})", f"np.arcsin(0.5 * {UNIT})", f"np.arccos(0.5 * {UNIT})",
    f"np.arctanh(0.5 * {UNIT})", f"np.log{POSITIVE}", f"np.log2{POSITIVE}", "np.log1p({v} * {v})",
    f"np.sqrt{POSITIVE}", f"np.cbrt{POSITIVE}", f"np.reciprocal{POSITIVE}", "np.arccosh({v} * {v} + 1.5)",
    f"np.clip({UNIT}, -2.0, 2.0)", "np.negative({v})", "np.conj({v})", "np.copy({v})", "np.real({v})",
    "ad.sigmoid({v})", "ad.softplus({v})", "ad.silu({v})", "ad.gelu({v})", f"ad.relu{POSITIVE}",
]  # fmt: skip
BINARY = [
    "{a} + {b}", "{a} - {b}", "{a} * {b}", "{a} / ({b} * {b} + 0.5)", "({a} * {a} + 0.5) ** {b}",
    "np.add({a}, {b})", "np.subtract({a}, {b})", "np.multiply({a}, {b})", "np.divide({a}, {b} * {b} + 0.5)",
    "np.power({a} * {a} + 0.5, {b})", "np.arctan2({a}, {b} * {b} + 0.5)", "np.hypot({a}, {b} * {b} + 0.5)",
    "np.logaddexp({a}, {b})", "np.maximum({a} * {a} + 1.0, -{b} * {b})", "np.minimum(np.tanh({a}), {b} * {b} + 1.5)",
]  # fmt: skip
REDUCTIONS = [
    "np.sum({v}{options})", "{v}.sum({bare})", "np.mean({v}{options})", "{v}.mean({bare})", "np.var({v}{options})",
    "{v}.var({bare})", "np.prod(0.3 * {v} + 1.0{options})", "(1.0 - 0.2 * {v}).prod({bare})",
    "ad.logsumexp({v}{options})",
]  # fmt: skip


class Writer:
    """The program so far."""

    def __init__(self, draw: Draw, inputs: Sequence[Any], rng: np.random.Generator) -> None:
        self.draw, self.rng = draw, rng
        self.values: dict[str, Any] = {f"x{k}": x for k, x in enumerate(inputs)}
        self.lines: list[str] = []
        self.unused = [*self.values]

    def one_of(self, choices: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(choices))

    def below(self, n: int) -> int:
        return int(self.draw(st.integers(0, n - 1)))

    def constant(self, shape: Shape) -> str:
        return literal(np.round(self.rng.uniform(-1.5, 1.5, shape), 1))

    def write(self, template: str, **names: str) -> None:
        """Append `template` as a line, unless its result is too large, and one that scales the result to order 1."""
        text = template.format(**names)
        value = eval(text, {"np": np, "ad": ad}, self.values)
        if np.size(value) > MAX_SIZE or not np.size(value):
            return
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        largest = float(np.max(np.abs(value)))
        if largest > 2.5:
            factor = self.one_of([f" * {1 / largest:.1g}", f" / {largest:.1g}", f" / np.float64({largest:.1g})"])
            self.lines.append(f"{name} = {name}{factor}")
            value = eval(name + factor, {"np": np}, {name: value})
        self.unused = [u for u in self.unused if u not in names.values()] + [name]
        self.values[name] = value

    # -- the kinds of lines, for a variable `v`

    def unary(self, v: str) -> None:
        self.write(self.one_of(UNARY), v=v)

    def binary(self, v: str) -> None:
        """With a Value, an array or a number on the other side, of a shape that it broadcasts with."""
        a, b = v, self.partner(v)
        if self.draw(st.booleans()):
            a, b = b, a
        self.write(self.one_of(BINARY), a=a, b=b)

    def partner(self, v: str) -> str:
        shape = np.shape(self.values[v])
        names = [n for n, x in self.values.items() if can_broadcast(np.shape(x), shape)]
        kind = self.one_of(["variable", "variable", "array", "number"])
        if kind == "variable":
            return str(self.one_of(names))
        if kind == "number":
            return str(self.one_of(["1.5", "-0.7", "2", "(-1)", "True", "np.float64(0.8)", "np.array(1.2)"]))
        return self.constant(self.related(shape))

    def related(self, shape: Shape) -> Shape:
        """A shape that broadcasts with `shape`: some axes of length 1, some left out, some more."""
        axes = [self.one_of([n, n, 1]) if n > 1 else self.one_of([1, 1, 2]) for n in shape]
        dropped = self.below(len(axes) + 1)
        return tuple(axes[dropped:]) if dropped else (*self.one_of([(), (2,)]), *axes)

    def where(self, v: str) -> None:
        mask = f"np.array({(self.rng.random(np.shape(self.values[v])) < 0.5).tolist()})"
        a, b = v, self.partner(v)
        if self.draw(st.booleans()):
            a, b = b, a
        self.write(f"np.where({mask}, {{a}}, {{b}})", a=a, b=b)

    def reduction(self, v: str) -> None:
        ndim = np.ndim(self.values[v])
        axes: list[Any] = [None, *range(-ndim, ndim)]
        if ndim > 1:
            axes += [(0, 1), (-1, 0)]
        axis, keepdims = self.one_of(axes), self.draw(st.booleans())
        options = [f"axis={axis}"] if axis is not None or self.draw(st.booleans()) else []
        bare = ", ".join([*options, *(["keepdims=True"] if keepdims else [])])
        self.write(
            self.one_of(REDUCTIONS).replace("{options}", f", {bare}" if bare else "").replace("{bare}", bare), v=v
        )

    def along_axis(self, v: str) -> None:
        ndim = np.ndim(self.values[v])
        if not ndim:
            self.unary(v)
            return
        axis = self.below(2 * ndim) - ndim
        functions = ["ad.softmax", "ad.log_softmax", "np.cumsum", "np.flip"]
        self.write(f"{self.one_of(functions)}({{v}}, axis={axis})", v=v)

    def basic_index(self, v: str) -> None:
        parts = [self.basic_part(n) for n in np.shape(self.values[v])]
        parts = parts[: self.below(len(parts) + 1)]
        extra = self.one_of(["", "...", "None"])
        if extra == "None":
            parts.insert(self.below(len(parts) + 1), extra)
        elif extra or not parts:
            parts.append("...")
        self.write(f"{{v}}[{', '.join(parts)}]", v=v)

    def basic_part(self, n: int) -> str:
        return str(
            self.one_of([str(self.below(n)), str(-1 - self.below(n)), ":", "::-1", "1:" if n > 1 else ":1", "::2"])
        )

    def integer_index(self, v: str) -> None:
        """One integer array, or two that broadcast, with repetitions, next to slices or alone."""
        shape = np.shape(self.values[v])
        if not shape:
            self.basic_index(v)
            return
        k = self.below(len(shape))
        key = self.rng.integers(-shape[k], shape[k], self.one_of([(3,), (2,), (2, 2), ()])).tolist()
        key = self.one_of([f"np.array({key})", f"{key}"])
        if len(shape) > k + 1 and self.draw(st.booleans()):
            key += (
                f", {self.one_of([self.basic_part(shape[k + 1]), self.rng.integers(0, shape[k + 1], (2, 1)).tolist()])}"
            )
        self.write(f"{{v}}[{':, ' * k}{key}]", v=v)

    def boolean_index(self, v: str) -> None:
        shape = np.shape(self.values[v])
        if not shape:
            self.basic_index(v)
            return
        mask = self.rng.random(shape[: 1 + self.below(len(shape))]) < 0.6
        mask.flat[self.rng.integers(mask.size)] = True
        self.write(f"{{v}}[np.array({mask.tolist()})]", v=v)

    def shape_change(self, v: str) -> None:
        value = self.values[v]
        shape, ndim = np.shape(value), np.ndim(value)
        order = self.rng.permutation(ndim).tolist()
        texts = ["np.reshape({v}, -1)", "{v}.ravel()", "{v}.T", "np.transpose({v})", "np.squeeze({v})", "{v}.squeeze()"]
        texts += [f"{{v}}.reshape({(prod(shape), 1)})", f"np.expand_dims({{v}}, {self.below(ndim + 1)})"]
        texts += [f"np.broadcast_to({{v}}, {(2, *shape)})", f"{{v}}.transpose({order})" if ndim else "{v}.copy()"]
        texts += ['np.reshape({v}, (-1,), order="F")', f"{{v}}.reshape({shape[::-1]})"]
        if ndim > 1:
            texts += [f"np.swapaxes({{v}}, 0, {ndim - 1})", f"np.moveaxis({{v}}, {order[0]}, -1)", "np.flip({v})"]
        self.write(self.one_of(texts), v=v)

    def join(self, v: str) -> None:
        shape = np.shape(self.values[v])
        same = [n for n, x in self.values.items() if np.shape(x) == shape]
        names = {"p": v, "q": self.one_of(same), "c": self.constant(shape)}
        order = self.one_of(["{p}, {q}", "{q}, {c}, {p}", "{c}, {p}", "{p}, {p}"])
        if not shape or self.draw(st.booleans()):
            axis = self.below(len(shape) + 1)
            self.write(f"np.stack([{order}], axis={axis})", **names)
            return
        axis = self.one_of([None, *range(-len(shape), len(shape))])
        self.write(f"np.concatenate([{order}], axis={axis})", **names)

    def product(self, v: str) -> None:
        shape = np.shape(self.values[v])
        if not shape:
            self.binary(v)
            return
        right, left = (shape[-1], 2), (2, shape[-2] if len(shape) > 1 else shape[0])
        texts = [
            f"{{v}} @ {self.constant(right)}",
            f"{self.constant(left)} @ {{v}}",
            f"{{v}} @ {self.constant(right[:1])}",
        ]
        texts += ["{v} @ {v}.swapaxes(-1, -2)"] if len(shape) > 1 else ["{v} @ {v}", "np.outer({v}, {v})"]
        texts += [f"np.dot({{v}}, {self.constant(right)})"]
        self.write(self.one_of(texts), v=v)

    def finish(self) -> str:
        """The source. It returns all variables that no line uses, so that every line counts."""
        if len(self.unused) == 1:
            (result,) = self.unused
        else:
            result = f"np.concatenate([{', '.join(f'np.ravel({v})' for v in self.unused)}])"
        arguments = ", ".join(name for name in self.values if name.startswith("x"))
        return "\n    ".join([f"def program({arguments}):", *self.lines, f"return {result}"]) + "\n"


KINDS = [
    Writer.unary, Writer.binary, Writer.binary, Writer.where, Writer.reduction, Writer.along_axis, Writer.basic_index,
    Writer.integer_index, Writer.boolean_index, Writer.shape_change, Writer.join, Writer.product,
]  # fmt: skip


def can_broadcast(a: Shape, b: Shape) -> bool:
    try:
        return prod(np.broadcast_shapes(a, b)) <= MAX_SIZE
    except ValueError:
        return False


@st.composite
def programs(draw: Draw) -> Program:
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    shapes = draw(st.lists(st.lists(st.integers(1, 3), max_size=3).map(tuple), min_size=1, max_size=3))
    inputs = tuple(np.round(rng.uniform(-1.5, 1.5, shape), 2)[()] for shape in shapes)
    writer = Writer(draw, inputs, rng)
    for _ in range(draw(st.integers(1, 10))):
        recent = [*writer.unused, *writer.values]
        draw(st.sampled_from(KINDS))(writer, draw(st.sampled_from(recent)))
    return Program(writer.finish(), inputs, seed)


# -- the checks

# Programs are quick: four times as many as the profile says.
many = hypothesis.settings(max_examples=4 * hypothesis.settings.default.max_examples)


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


def test_a_program_prints_as_source_that_runs() -> None:
    """What a failing example shows is the whole of it."""
    program = hypothesis.find(programs(), lambda p: len(p.source) > 200, settings=hypothesis.settings(database=None))
    namespace: dict[str, Any] = {"np": np, "ad": ad}
    exec(repr(program), namespace)
    assert_close(namespace["program"](*namespace["inputs"]), program(*program.inputs), ROUNDING, 1.0)


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q"]))
