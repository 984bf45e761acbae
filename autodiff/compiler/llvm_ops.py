"""One operation of a loop nest as LLVM IR: right-hand sides, with NumPy's rules for NaN, signed zeros and overflow.

Sums and products may be contracted to fused multiply-adds. Nothing else is relaxed: no NaN, infinity or signed zero is
assumed away. A float that no integer is near becomes whatever the machine makes of it (on x86 the lowest integer, as
in NumPy); `freeze` keeps LLVM from drawing conclusions.
"""

import math
import struct
from collections.abc import Callable
from typing import Any

__all__ = [
    "FLOATS", "MEMORY", "REGISTER", "cast", "fold", "further", "helpers", "identity",
    "is_power_of_two", "literal", "operation",
]  # fmt: skip

MEMORY = {"?": "i8", "i4": "i32", "i8": "i64", "f4": "float", "f8": "double"}
REGISTER = MEMORY | {"?": "i1"}
FLOATS = ("f4", "f8")
Emit = Callable[[str], str]  # writes a right-hand side down and returns the name of its value


def literal(value: Any, kind: str) -> str:
    """
    >>> literal(0.1, "f4"), literal(True, "?"), literal(-3, "i8")
    ('0x3FB99999A0000000', '1', '-3')
    """
    if kind not in FLOATS:
        return str(int(value))
    value = float(value)
    if kind == "f4" and math.isfinite(value):
        try:
            value = struct.unpack("<f", struct.pack("<f", value))[0]
        except OverflowError:
            value = math.copysign(math.inf, value)
    return "0x" + struct.pack(">d", value).hex().upper()


_ARITHMETIC = {"add": "add", "subtract": "sub", "multiply": "mul", "divide": "div"}
_COMPARISON = {  # of floats, signed integers and bools
    "equal": ("oeq", "eq", "eq"),
    "not_equal": ("une", "ne", "ne"),
    "greater": ("ogt", "sgt", "ugt"),
    "greater_equal": ("oge", "sge", "uge"),
    "less": ("olt", "slt", "ult"),
    "less_equal": ("ole", "sle", "ule"),
}
_INTRINSIC = {
    "absolute": "fabs", "fabs": "fabs", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
    "rint": "rint", "copysign": "copysign",
}  # fmt: skip
_BOOL = {
    "add": "or", "multiply": "and", "maximum": "or", "minimum": "and", "fmax": "or", "fmin": "and",
    "logical_and": "and", "logical_or": "or", "logical_xor": "xor", "bitwise_and": "and", "bitwise_or": "or",
    "bitwise_xor": "xor",
}  # fmt: skip
_BITS = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}
_LOGICAL = {"logical_and": "and", "logical_or": "or", "logical_xor": "xor"}
_DEGREES = {"deg2rad": True, "radians": True, "rad2deg": False, "degrees": False}  # whether a degree is the unit of x


def _bits(kind: str) -> str:
    return {"f4": "f32", "f8": "f64", "i4": "i32", "i8": "i64"}[kind]


def operation(name: str, args: list[str], kind: str, constants: dict[str, Any], emit: Emit, flags: str) -> str:
    """The last right-hand side of a ufunc's value; `kind` is that of its operands, `constants` has literal ones."""
    type = REGISTER[kind]
    x, y = args[0], args[-1]
    if name in ("conjugate", "positive"):
        return f"select i1 true, {type} {x}, {type} {x}"
    if name in _COMPARISON:
        code = _COMPARISON[name][0 if kind in FLOATS else 2 if kind == "?" else 1]
        return f"{'f' if kind in FLOATS else 'i'}cmp {code} {type} {x}, {y}"
    if kind == "?":
        if name in ("logical_not", "invert"):
            return f"xor i1 {x}, true"
        return f"{_BOOL[name]} i1 {x}, {y}"
    if name == "logical_not":
        return f"fcmp oeq {type} {x}, {literal(0, kind)}" if kind in FLOATS else f"icmp eq {type} {x}, 0"
    if name in _LOGICAL:
        return f"{_LOGICAL[name]} i1 {_true(x, kind, emit)}, {_true(y, kind, emit)}"
    if name in ("maximum", "minimum", "fmax", "fmin"):
        return _larger(name, x, y, kind, constants, emit)
    if name in ("remainder", "floor_divide", "fmod") and kind in FLOATS:
        rest = emit(_rest(x, y, kind, constants))
        return (
            f"select i1 true, {type} {rest}, {type} {rest}" if name == "fmod" else _modulo(name, x, y, rest, kind, emit)
        )
    return (_float if kind in FLOATS else _integer)(name, x, y, kind, emit, flags)


def _true(x: str, kind: str, emit: Emit) -> str:
    return emit(cast(x, kind, "?"))


def _number(name: str, constants: dict[str, Any]) -> bool:
    return name in constants and constants[name] == constants[name]


def _larger(name: str, x: str, y: str, kind: str, constants: dict[str, Any], emit: Emit) -> str:
    """The larger or the smaller of two. `maximum` and `minimum` return NaN if there is one, `fmax` and `fmin` do not.

    Where one operand is known to be a number, one comparison does: it is unordered only because of the other.
    """
    type = REGISTER[kind]
    up = name in ("maximum", "fmax")
    if kind not in FLOATS:
        return f"call {type} @llvm.{'smax' if up else 'smin'}.{_bits(kind)}({type} {x}, {type} {y})"
    order = "ge" if up else "le"
    first = name in ("maximum", "minimum")  # whether x is the result if x is NaN
    if _number(y, constants):
        test = f"fcmp {'u' if first else 'o'}{order} {type} {x}, {y}"
    elif _number(x, constants):
        test = f"fcmp {'o' if first else 'u'}{order} {type} {x}, {y}"
    else:
        compared = emit(f"fcmp o{order} {type} {x}, {y}")
        missing = emit(f"fcmp uno {type} {x}, {x}" if first else f"fcmp uno {type} {y}, {y}")
        test = f"or i1 {compared}, {missing}"
    return f"select i1 {emit(test)}, {type} {x}, {type} {y}"


def _integer(name: str, x: str, y: str, kind: str, emit: Emit, flags: str) -> str:
    type = REGISTER[kind]
    if name in _ARITHMETIC or name in _BITS:
        return f"{_ARITHMETIC.get(name) or _BITS[name]} {type} {x}, {y}"
    if name == "square":
        return f"mul {type} {x}, {x}"
    if name == "negative":
        return f"sub {type} 0, {x}"
    if name in ("remainder", "floor_divide"):
        return _whole_quotient(name, x, y, kind, emit)
    if name == "invert":
        return f"xor {type} {x}, -1"
    if name == "absolute":
        return f"call {type} @llvm.abs.{_bits(kind)}({type} {x}, i1 false)"
    assert name == "sign", name
    low = emit(f"call {type} @llvm.smax.{_bits(kind)}({type} {x}, {type} -1)")
    return f"call {type} @llvm.smin.{_bits(kind)}({type} {low}, {type} 1)"


def _whole_quotient(name: str, x: str, y: str, kind: str, emit: Emit) -> str:
    """x // y, or x % y. NumPy makes 0 of a division by 0, and the machine cannot divide the lowest integer by -1."""
    type = REGISTER[kind]
    zero, minus = emit(f"icmp eq {type} {y}, 0"), emit(f"icmp eq {type} {y}, -1")
    special = emit(f"or i1 {zero}, {minus}")
    divisor = emit(f"select i1 {special}, {type} 1, {type} {y}")
    quotient, rest = emit(f"sdiv {type} {x}, {divisor}"), emit(f"srem {type} {x}, {divisor}")
    signs = emit(f"icmp slt {type} {emit(f'xor {type} {rest}, {divisor}')}, 0")
    lower = emit(f"and i1 {signs}, {emit(f'icmp ne {type} {rest}, 0')}")
    if name == "remainder":
        rest = emit(f"select i1 {lower}, {type} {emit(f'add {type} {rest}, {divisor}')}, {type} {rest}")
        return f"select i1 {special}, {type} 0, {type} {rest}"
    quotient = emit(f"select i1 {lower}, {type} {emit(f'sub {type} {quotient}, 1')}, {type} {quotient}")
    negated = emit(f"sub {type} 0, {x}")  # the lowest integer is its own negative, here as in NumPy
    quotient = emit(f"select i1 {minus}, {type} {negated}, {type} {quotient}")
    return f"select i1 {zero}, {type} 0, {type} {quotient}"


def _modulo(name: str, x: str, y: str, rest: str, kind: str, emit: Emit) -> str:
    """What is left of x, with the sign of y; or how often y fits. Both as NumPy makes them of what `fmod` leaves."""
    type, zero = REGISTER[kind], literal(0, kind)
    some = emit(f"fcmp une {type} {rest}, {zero}")
    apart = emit(f"xor i1 {emit(f'fcmp olt {type} {y}, {zero}')}, {emit(f'fcmp olt {type} {rest}, {zero}')}")
    other = emit(f"and i1 {some}, {apart}")
    if name == "remainder":
        moved = emit(f"select i1 {other}, {type} {emit(f'fadd {type} {rest}, {y}')}, {type} {rest}")
        none = emit(f"call {type} @llvm.copysign.{_bits(kind)}({type} {zero}, {type} {y})")
        return f"select i1 {some}, {type} {moved}, {type} {none}"
    plain = emit(f"fdiv {type} {x}, {y}")
    often = emit(f"fdiv {type} {emit(f'fsub {type} {x}, {rest}')}, {y}")
    often = emit(f"select i1 {other}, {type} {emit(f'fsub {type} {often}, {literal(1, kind)}')}, {type} {often}")
    whole = emit(f"call {type} @llvm.floor.{_bits(kind)}({type} {often})")
    far = emit(f"fcmp ogt {type} {emit(f'fsub {type} {often}, {whole}')}, {literal(0.5, kind)}")
    whole = emit(f"select i1 {far}, {type} {emit(f'fadd {type} {whole}, {literal(1, kind)}')}, {type} {whole}")
    none = emit(f"call {type} @llvm.copysign.{_bits(kind)}({type} {zero}, {type} {plain})")
    whole = emit(f"select i1 {emit(f'fcmp oeq {type} {often}, {zero}')}, {type} {none}, {type} {whole}")
    return f"select i1 {emit(f'fcmp oeq {type} {y}, {zero}')}, {type} {plain}, {type} {whole}"


def _rest(x: str, y: str, kind: str, constants: dict[str, Any]) -> str:
    """What truncated division leaves of x. By a power of two LLVM has vectors for it; else see `helpers`."""
    type = REGISTER[kind]
    if is_power_of_two(constants.get(y)):
        return f"frem {type} {x}, {y}"
    return f"call {type} @rest.{kind}({type} {x}, {type} {y})"


def is_power_of_two(by: Any) -> bool:
    """Whether what is divided by is a constant by which LLVM divides vectors."""
    return by is not None and math.isfinite(by) and abs(math.frexp(by)[0]) == 0.5


def helpers(text: str, symbol: str) -> tuple[str, str]:
    """A kernel's text that calls functions of its own for what takes branches, and these functions."""
    found = ""
    for kind in FLOATS:
        if f"@rest.{kind}(" in text:
            text = text.replace(f"@rest.{kind}(", f"@{symbol}.rest.{kind}(")
            found += _rest_definition(f"{symbol}.rest.{kind}", kind)
    return text, found


def _rest_definition(name: str, kind: str) -> str:
    """As long as the quotient has digits behind the point, one step is exact: at most the quotient has been rounded up
    to the next integer, which the sign of what is left tells. Else the C library goes digit by digit."""
    type, bits, most = REGISTER[kind], _bits(kind), literal(2.0**23 if kind == "f4" else 2.0**52, kind)
    return f"""
define internal {type} @{name}({type} %x, {type} %y) {{
  %q = fdiv {type} %x, %y
  %size = call {type} @llvm.fabs.{bits}({type} %q)
  %small = fcmp olt {type} %size, {most}
  %length = call {type} @llvm.fabs.{bits}({type} %y)
  %finite = fcmp one {type} %length, {literal(math.inf, kind)}
  %easy = and i1 %small, %finite
  br i1 %easy, label %near, label %far
near:
  %whole = call {type} @llvm.trunc.{bits}({type} %q)
  %minus = fneg {type} %whole
  %r = call {type} @llvm.fma.{bits}({type} %minus, {type} %y, {type} %x)
  %signed = call {type} @llvm.copysign.{bits}({type} %r, {type} %x)
  %over = fcmp une {type} %r, %signed
  %step = call {type} @llvm.copysign.{bits}({type} %length, {type} %x)
  %less = fadd {type} %r, %step
  %right = select i1 %over, {type} %less, {type} %signed
  ret {type} %right
far:
  %slow = call {type} @{name}.far({type} %x, {type} %y)
  ret {type} %slow
}}

define internal {type} @{name}.far({type} %x, {type} %y) noinline {{
  %slow = frem {type} %x, %y
  ret {type} %slow
}}
"""


def _hypot(x: str, y: str, kind: str, emit: Emit) -> str:
    """The square root of the sum of squares, scaled by a power of two so that these are neither too large nor too
    small."""
    type, bits = REGISTER[kind], _bits(kind)
    a, b = (emit(f"call {type} @llvm.fabs.{bits}({type} {v})") for v in (x, y))
    larger = emit(f"select i1 {emit(f'fcmp ogt {type} {a}, {b}')}, {type} {a}, {type} {b}")
    top, power = (60, 100) if kind == "f4" else (500, 600)
    small = emit(f"fcmp olt {type} {larger}, {literal(2.0**-top * 2.0 ** (top // 5), kind)}")
    large = emit(f"fcmp ogt {type} {larger}, {literal(2.0**top, kind)}")
    scale = emit(f"select i1 {small}, {type} {literal(2.0**power, kind)}, {type} {literal(1, kind)}")
    scale = emit(f"select i1 {large}, {type} {literal(2.0**-power, kind)}, {type} {scale}")
    back = emit(f"fdiv {type} {literal(1, kind)}, {scale}")
    a, b = (emit(f"fmul {type} {v}, {scale}") for v in (a, b))
    squares = emit(f"call {type} @llvm.fma.{bits}({type} {a}, {type} {a}, {type} {emit(f'fmul {type} {b}, {b}')})")
    root = emit(f"fmul {type} {emit(f'call {type} @llvm.sqrt.{bits}({type} {squares})')}, {back}")
    infinity = literal(math.inf, kind)
    one = emit(f"fcmp oeq {type} {a}, {infinity}")
    any_ = emit(f"or i1 {one}, {emit(f'fcmp oeq {type} {b}, {infinity}')}")
    return f"select i1 {any_}, {type} {infinity}, {type} {root}"


def _float(name: str, x: str, y: str, kind: str, emit: Emit, flags: str) -> str:
    type = REGISTER[kind]
    zero, one, infinity = literal(0, kind), literal(1, kind), literal(math.inf, kind)
    if name in _ARITHMETIC:
        return f"f{_ARITHMETIC[name]} {flags}{type} {x}, {y}"
    if name in _INTRINSIC:
        args = f"{type} {x}, {type} {y}" if name == "copysign" else f"{type} {x}"
        return f"call {type} @llvm.{_INTRINSIC[name]}.{_bits(kind)}({args})"
    if name == "negative":
        return f"fneg {type} {x}"
    if name == "square":
        return f"fmul {flags}{type} {x}, {x}"
    if name == "reciprocal":
        return f"fdiv {flags}{type} {one}, {x}"
    if name == "hypot":
        return _hypot(x, y, kind, emit)
    if name in _DEGREES:
        pi = struct.unpack("<f", struct.pack("<f", math.pi))[0] if kind == "f4" else math.pi
        return f"fmul {flags}{type} {x}, {literal(pi / 180 if _DEGREES[name] else 180 / pi, kind)}"
    if name == "isnan":
        return f"fcmp uno {type} {x}, {zero}"
    if name in ("isinf", "isfinite"):
        size = emit(f"call {type} @llvm.fabs.{_bits(kind)}({type} {x})")
        return f"fcmp {'oeq' if name == 'isinf' else 'one'} {type} {size}, {infinity}"
    if name == "signbit":
        integer = "i32" if kind == "f4" else "i64"
        return f"icmp slt {integer} {emit(f'bitcast {type} {x} to {integer}')}, 0"
    # sign and heaviside: what they are below zero, at zero and above; NaN stays
    assert name in ("sign", "heaviside"), name
    below, at = (literal(-1, kind), zero) if name == "sign" else (zero, y)
    value = emit(f"select i1 {emit(f'fcmp oeq {type} {x}, {zero}')}, {type} {at}, {type} {x}")
    value = emit(f"select i1 {emit(f'fcmp ogt {type} {x}, {zero}')}, {type} {one}, {type} {value}")
    return f"select i1 {emit(f'fcmp olt {type} {x}, {zero}')}, {type} {below}, {type} {value}"


def cast(x: str, source: str, target: str) -> str:
    """A value of another dtype, as `astype` makes it."""
    types = f"{REGISTER[source]} {x} to {REGISTER[target]}"
    if target == "?":
        kind = "fcmp une" if source in FLOATS else "icmp ne"
        return f"{kind} {REGISTER[source]} {x}, {literal(0, source)}"
    if source in FLOATS:
        if target in FLOATS:
            return f"{'fpext' if target == 'f8' else 'fptrunc'} {types}"
        return f"fptosi {types}"
    if target in FLOATS:
        return f"{'uitofp' if source == '?' else 'sitofp'} {types}"
    return f"{'zext' if source == '?' else 'sext' if target == 'i8' else 'trunc'} {types}"


def further(at: str, kind: str, steps: Any, indices: list[tuple[str, str]], emit: Emit) -> str:
    """An address moved on by indices. One out of bounds, which a guard finds, is the last."""
    for (step, n), (index, source) in zip(steps, indices):
        if source == "i4":
            index = emit(f"sext i32 {index} to i64")
        negative, wrapped = emit(f"icmp slt i64 {index}, 0"), emit(f"add i64 {index}, {n}")
        index = emit(f"select i1 {negative}, i64 {wrapped}, i64 {index}")
        index = emit(f"call i64 @llvm.umin.i64(i64 {index}, i64 {n - 1})")
        at = emit(f"getelementptr {MEMORY[kind]}, ptr {at}, i64 {emit(f'mul nsw i64 {index}, {step}')}")
    return at


def identity(fold: str, kind: str) -> str:
    """What a fold, or a scan, starts with."""
    if fold == "cumsum" and kind in FLOATS:
        return literal(-0.0, kind)  # so that the first result is the first value, whatever its sign
    fold = {"cumsum": "sum", "cumprod": "prod", "cummax": "max", "cummin": "min"}.get(fold, fold)
    if fold in ("sum", "any"):
        return literal(0, kind)
    if fold in ("prod", "all"):
        return literal(1, kind)
    if kind == "?":
        return "0" if fold == "max" else "1"
    if kind in FLOATS:
        return literal(-math.inf if fold == "max" else math.inf, kind)
    width = 31 if kind == "i4" else 63
    return str(-(1 << width) if fold == "max" else (1 << width) - 1)


def fold(name: str, x: str, y: str, kind: str, flags: str) -> str:
    """One step of a fold. `flags` are those of a sum."""
    type = REGISTER[kind]
    if kind == "?":
        return f"{'or' if name in ('any', 'max') else 'and'} i1 {x}, {y}"
    if name in ("sum", "prod"):
        code = "add" if name == "sum" else "mul"
        return (
            f"f{code} {flags if name == 'sum' else ''}{type} {x}, {y}" if kind in FLOATS else f"{code} {type} {x}, {y}"
        )
    intrinsic = f"{name}imum" if kind in FLOATS else f"s{name}"
    return f"call {type} @llvm.{intrinsic}.{_bits(kind)}({type} {x}, {type} {y})"
