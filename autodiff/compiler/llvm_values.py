"""Formulas that write LLVM IR: values with Python's operators, each operator one instruction.

    >>> body = Body("f4", 1)
    >>> (x,) = body.arguments
    >>> print(body.define("square_plus_one", fma(x, x, 1.0)))
    define internal float @square_plus_one(float %a0) alwaysinline nounwind willreturn memory(none) {
      %1 = call float @llvm.fma.f32(float %a0, float %a0, float 0x3FF0000000000000)
      ret float %1
    }
    <BLANKLINE>

No instruction carries a fast-math flag. Rounding errors are computed here (a product minus its rounded value), and a
flag that lets LLVM fuse or reorder would compute other ones; where a multiply-add is meant, `fma` says so.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

__all__ = [
    "DOUBLE",
    "FORMATS",
    "Body",
    "Format",
    "Operand",
    "Value",
    "at_least",
    "at_most",
    "bits",
    "copysign",
    "exact_product",
    "exact_sum",
    "fma",
    "from_bits",
    "ldexp",
    "literal",
    "magnitude",
    "narrow",
    "nearest",
    "polynomial",
    "quick_sum",
    "quotient",
    "rint",
    "sqrt",
    "trunc",
    "where",
    "widen",
]


class Format(NamedTuple):
    """A floating-point format, and the integer that its bits are read as."""

    type: str  # LLVM's name
    integer: str
    suffix: str  # of intrinsics
    mantissa: int  # stored bits
    bias: int
    tiny: float  # the smallest normal number

    @property
    def width(self) -> int:
        return 64 if self.integer == "i64" else 32

    @property
    def magic(self) -> float:
        """Adding it rounds to an integer, which lies in the low bits of the sum. (AVX2 has no fptosi to i64.)"""
        return 1.5 * 2.0**self.mantissa


SINGLE = Format("float", "i32", "f32", 23, 127, 2.0**-126)
DOUBLE = Format("double", "i64", "f64", 52, 1023, 2.0**-1022)
FORMATS = {"f4": SINGLE, "f8": DOUBLE}
BY_TYPE = {form.type: form for form in FORMATS.values()}


def literal(value: float, type: str) -> str:
    """The constant as LLVM writes it: floats of either width by the bits of a double."""
    if type not in BY_TYPE:
        return str(value)
    value = float(value)
    if type == "float" and math.isfinite(value):
        value = struct.unpack("f", struct.pack("f", value))[0]
    return "0x" + struct.pack(">d", value).hex().upper()


class Value:
    """The result of an instruction, or an argument; a number met on the way takes the type of its neighbour."""

    __slots__ = ("body", "text", "type")

    def __init__(self, body: Body, text: str, type: str) -> None:
        self.body, self.text, self.type = body, text, type

    @property
    def form(self) -> Format:
        return BY_TYPE[self.type]

    @property
    def wide(self) -> str:
        """The type with its lanes."""
        return self.body.wide(self.type)

    def operand(self, other: Operand) -> str:
        return other.text if isinstance(other, Value) else self.body.constant(other, self.type)

    def _binary(self, op: str, left: Operand, right: Operand) -> Value:
        prefix = "f" if self.type in BY_TYPE else ""
        return self.body.emit(self.type, f"{prefix}{op} {self.wide} {self.operand(left)}, {self.operand(right)}")

    def _compare(self, predicate: str, other: Operand) -> Value:
        return self.body.emit("i1", f"fcmp {predicate} {self.wide} {self.text}, {self.operand(other)}")

    def __add__(self, other: Operand) -> Value:
        return self._binary("add", self, other)

    def __radd__(self, other: Operand) -> Value:
        return self._binary("add", other, self)

    def __sub__(self, other: Operand) -> Value:
        return self._binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return self._binary("sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return self._binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Value:
        return self._binary("mul", other, self)

    def __truediv__(self, other: Operand) -> Value:
        return self._binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return self._binary("div", other, self)

    def __neg__(self) -> Value:
        return self.body.emit(self.type, f"fneg {self.wide} {self.text}")

    def __lt__(self, other: Operand) -> Value:
        return self._compare("olt", other)

    def __gt__(self, other: Operand) -> Value:
        return self._compare("ogt", other)

    def __le__(self, other: Operand) -> Value:
        return self._compare("ole", other)

    def __ge__(self, other: Operand) -> Value:
        return self._compare("oge", other)

    def equals(self, other: Operand) -> Value:
        return self._compare("oeq", other)

    def differs(self, other: Operand) -> Value:
        return self._compare("une", other)

    def unordered(self, other: Operand) -> Value:
        """Whether one of them is nan."""
        return self._compare("uno", other)

    @property
    def flipped(self) -> Value:
        """Not, of a condition."""
        return self.body.emit("i1", f"xor {self.wide} {self.text}, {self.operand(1)}")

    @property
    def truncated(self) -> Value:
        """The low half of a 64-bit integer."""
        return self.body.emit("i32", f"trunc {self.wide} {self.text} to {self.body.wide('i32')}")

    def __and__(self, other: Operand) -> Value:
        return self.body.emit(self.type, f"and {self.wide} {self.text}, {self.operand(other)}")

    def __or__(self, other: Operand) -> Value:
        return self.body.emit(self.type, f"or {self.wide} {self.text}, {self.operand(other)}")

    def __xor__(self, other: Operand) -> Value:
        return self.body.emit(self.type, f"xor {self.wide} {self.text}, {self.operand(other)}")

    def __lshift__(self, count: int) -> Value:
        return self.body.emit(self.type, f"shl {self.wide} {self.text}, {self.operand(count)}")

    def __rshift__(self, count: int) -> Value:
        """Logical: the sign bit is a bit."""
        return self.body.emit(self.type, f"lshr {self.wide} {self.text}, {self.operand(count)}")

    def same_bits(self, other: int) -> Value:
        return self.body.emit("i1", f"icmp eq {self.wide} {self.text}, {self.operand(other)}")


Operand: TypeAlias = Value | float


class Body:
    """The instructions of one function in the making, and what it needs declared. `lanes`: it computes so many at once,
    each like a function of one."""

    def __init__(self, kind: str, arity: int, lanes: int = 1, scales: bool = False) -> None:
        self.form, self.lanes = FORMATS[kind], lanes
        self.scales = scales  # whether the machine has an instruction for value * 2**n
        self.lines: list[str] = []
        self.sums: dict[str, Value] = {}  # of whole numbers, by name, and Format.magic
        self.globals: dict[str, str] = {}
        self.arguments = [Value(self, f"%a{i}", self.form.type) for i in range(arity)]

    def wide(self, type: str) -> str:
        return type if self.lanes == 1 else f"<{self.lanes} x {type}>"

    def constant(self, value: float, type: str) -> str:
        text = literal(value, type)
        return text if self.lanes == 1 else f"splat ({type} {text})"

    def emit(self, type: str, instruction: str) -> Value:
        self.lines.append(instruction)
        return Value(self, f"%{len(self.lines)}", type)

    def intrinsic(self, name: str, *args: Operand) -> Value:
        first = next(arg for arg in args if isinstance(arg, Value))
        type, name = first.wide, f"@llvm.{name}.{self._suffix}{first.form.suffix}"
        self.globals[name] = f"declare {type} {name}({', '.join([type] * len(args))})"
        given = ", ".join(f"{type} {first.operand(arg)}" for arg in args)
        return self.emit(first.type, f"call {type} {name}({given})")

    @property
    def _suffix(self) -> str:
        return "" if self.lanes == 1 else f"v{self.lanes}"

    def table(self, name: str, rows: Sequence[Sequence[float]]) -> str:
        """A constant of doubles; the name to load it by."""
        row = f"[{len(rows[0])} x double]"
        numbers = [", ".join(f"double {literal(value, 'double')}" for value in values) for values in rows]
        text = ", ".join(f"{row} [{line}]" for line in numbers)
        self.globals[f"@{name}"] = f"@{name} = internal unnamed_addr constant [{len(rows)} x {row}] [{text}], align 64"
        return f"[{len(rows)} x {row}], ptr @{name}"

    def load(self, table: str, row: Value, column: int) -> Value:
        place = self.emit("ptr", f"getelementptr inbounds {table}, i64 0, {row.wide} {row.text}, i64 {column}")
        if self.lanes == 1:
            return self.emit("double", f"load double, ptr {place.text}, align 8")
        types = [self.wide("ptr"), "i32", self.wide("i1"), self.wide("double")]
        name = f"@llvm.masked.gather.v{self.lanes}f64.v{self.lanes}p0"
        self.globals[name] = f"declare {types[-1]} {name}({', '.join(types)})"
        values = [place.text, "8", self.constant(1, "i1"), "poison"]
        given = ", ".join(f"{type} {value}" for type, value in zip(types, values))
        return self.emit("double", f"call {types[-1]} {name}({given})")

    def define(self, name: str, result: Value, attributes: str = "alwaysinline", convention: str = "") -> str:
        """The function's text. Tables are constant, so that it counts as one that reads no memory."""
        type = self.wide(self.form.type)
        args = ", ".join(f"{type} {arg.text}" for arg in self.arguments)
        lines = [f"  %{number} = {line}" for number, line in enumerate(self.lines, 1)]
        kind = f"internal {convention} {type}" if convention else f"internal {type}"
        head = f"define {kind} @{name}({args}) {attributes} nounwind willreturn memory(none) {{"
        return "\n".join([head, *lines, f"  ret {type} {result.text}", "}", ""])


def _body(*values: Operand) -> Body:
    return next(value.body for value in values if isinstance(value, Value))


def fma(x: Operand, y: Operand, z: Operand) -> Value:
    return _body(x, y, z).intrinsic("fma", x, y, z)


def magnitude(x: Value) -> Value:
    return x.body.intrinsic("fabs", x)


def copysign(x: Operand, sign: Value) -> Value:
    return sign.body.intrinsic("copysign", x, sign)


def rint(x: Value) -> Value:
    return x.body.intrinsic("rint", x)


def trunc(x: Value) -> Value:
    return x.body.intrinsic("trunc", x)


def sqrt(x: Value) -> Value:
    return x.body.intrinsic("sqrt", x)


def where(condition: Value, x: Operand, y: Operand, type: str = "") -> Value:
    """A choice; `type` is of two numbers, and the function's own unless said."""
    type = next((value.type for value in (x, y) if isinstance(value, Value)), type or condition.body.form.type)
    body = condition.body
    left, right = (value.text if isinstance(value, Value) else body.constant(value, type) for value in (x, y))
    return body.emit(
        type, f"select {condition.wide} {condition.text}, {body.wide(type)} {left}, {body.wide(type)} {right}"
    )


def at_most(x: Value, bound: Operand) -> Value:
    """Not the minimum: a nan stays."""
    return where(x > bound, bound, x)


def at_least(x: Value, bound: Operand) -> Value:
    return where(x < bound, bound, x)


def bits(x: Value) -> Value:
    return x.body.emit(x.form.integer, f"bitcast {x.wide} {x.text} to {x.body.wide(x.form.integer)}")


def from_bits(x: Value) -> Value:
    type = {form.integer: form.type for form in FORMATS.values()}[x.type]
    return x.body.emit(type, f"bitcast {x.wide} {x.text} to {x.body.wide(type)}")


def nearest(x: Value, factor: float) -> Value:
    """The whole number next to x * factor, in the range of exponents."""
    magic = x.form.magic
    total = fma(x, factor, magic)
    n = total - magic
    x.body.sums[n.text] = total
    return n


def ldexp(x: Value, n: Value) -> Value:
    """x * 2**n for a whole n; nan if x is."""
    form = x.form
    magic = int.from_bytes(struct.pack("<d" if form is DOUBLE else "<f", form.magic), "little")
    total = bits(x.body.sums.get(n.text) or n + form.magic)
    whole = x.body.emit(form.integer, f"sub {total.wide} {total.text}, {total.operand(magic)}")
    count = whole.truncated if form is DOUBLE else whole
    lanes = "" if x.body.lanes == 1 else f"v{x.body.lanes}"
    name = f"@llvm.ldexp.{lanes}{form.suffix}.{lanes}i32"
    x.body.globals[name] = f"declare {x.wide} {name}({x.wide}, {count.wide})"
    return x.body.emit(x.type, f"call {x.wide} {name}({x.wide} {x.text}, {count.wide} {count.text})")


def widen(x: Value) -> Value:
    return x.body.emit("double", f"fpext {x.wide} {x.text} to {x.body.wide('double')}")


def narrow(x: Value) -> Value:
    return x.body.emit("float", f"fptrunc {x.wide} {x.text} to {x.body.wide('float')}")


def polynomial(coefficients: Sequence[float], x: Value) -> Value:
    """With its highest power first: Horner's rule, or Estrin's, whose steps overlap, where there are many."""
    terms: list[Operand] = [*reversed(coefficients)]
    if len(terms) <= 8:
        while len(terms) > 1:
            terms[-2:] = [fma(terms[-1], x, terms[-2])]
    while len(terms) > 1:
        rest = terms[-1:] if len(terms) % 2 else []
        terms = [*(fma(high, x, low) for low, high in zip(terms[::2], terms[1::2])), *rest]
        x = x * x if len(terms) > 1 else x
    assert isinstance(terms[0], Value)
    return terms[0]


# Two words: a number as the unevaluated sum of a rounded value and a small rest (Dekker, Numer. Math. 18, 1971).


def quick_sum(large: Operand, small: Value) -> tuple[Value, Value]:
    """The sum and its rounding error, where |large| >= |small| or large is 0."""
    total = large + small
    return total, (large - total) + small


def exact_sum(x: Value, y: Operand) -> tuple[Value, Value]:
    """The sum and its rounding error (Knuth)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def exact_product(x: Value, y: Operand) -> tuple[Value, Value]:
    product = x * y
    return product, fma(x, y, -product)


def quotient(top: tuple[Value, Value], bottom: tuple[Value, Value]) -> Value:
    """Of two words each, whose second is a rounding error of the first."""
    inverse = 1.0 / bottom[0]
    ratio = top[0] * inverse
    return fma(fma(-ratio, bottom[0], top[0]) + fma(-ratio, bottom[1], top[1]), inverse, ratio)
