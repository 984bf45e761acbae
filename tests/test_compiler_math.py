"""The elementary functions in LLVM IR: accuracy against mpmath, special values as NumPy's, loops that vectorise."""

import ctypes
import functools
import itertools
import math
import re

import numpy as np
import pytest

from autodiff.compiler.llvm_hints import Hint
from autodiff.compiler.llvm_math import FORMULAS, ILL_CONDITIONED, INLINE, NATIVE, call, prelude

llvm = pytest.importorskip("llvmlite.binding")
mp = pytest.importorskip("mpmath").mp

TYPES = {"f4": "float", "f8": "double"}
BINARY = {"arctan2", "logaddexp", "power"}
ALL = sorted(NATIVE | ILL_CONDITIONED)
KINDS = ["f4", "f8"]
CONVENTION = "intel_ocl_bicc" if llvm.get_default_triple().startswith("x86_64") else ""
CALL = re.compile(r"^\s+(callq?|jmp\s+\w+@|blr?)\s", re.MULTILINE)  # of x86 and ARM


def loop(name, kind, lanes=INLINE):
    """A module with `void k(inputs..., out, n)`, vectorised with so many lanes if the function stays a call."""
    type, arity = TYPES[kind], 2 if name in BINARY else 1
    parameters = ", ".join(f"ptr noalias %x{i}" for i in range(arity))
    loads = "\n".join(
        f"  %p{i} = getelementptr inbounds {type}, ptr %x{i}, i64 %i\n  %v{i} = load {type}, ptr %p{i}"
        for i in range(arity)
    )
    return f"""{prelude([(name, kind, lanes)], CONVENTION if lanes else "")}
define void @k({parameters}, ptr noalias %out, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
{loads}
  %r = {call(name, kind, [f"%v{i}" for i in range(arity)], lanes != INLINE)}
  %p = getelementptr inbounds {type}, ptr %out, i64 %i
  store {type} %r, ptr %p
  %next = add nuw nsw i64 %i, 1
  %last = icmp eq i64 %next, %n
  br i1 %last, label %done, label %loop{Hint("VECTOR", lanes).use if lanes else ""}
done:
  ret void
}}
{Hint("VECTOR", lanes).metadata if lanes else ""}""".replace("!VECTOR", "!1")


def optimised(text, cpu, features):
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(text)
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, opt=3)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module, machine


@functools.cache
def compiled(name, kind, lanes=INLINE):
    """The kernel over arrays, with its optimised IR and assembly."""
    features = llvm.get_host_cpu_features().flatten()
    module, machine = optimised(loop(name, kind, lanes), llvm.get_host_cpu_name(), features)
    text, assembly = str(module), machine.emit_assembly(module)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    pointers = [ctypes.c_void_p] * (3 if name in BINARY else 2)
    function = ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(engine.get_function_address("k"))

    def run(*arrays):
        arrays = [np.ascontiguousarray(x, dtype=kind) for x in arrays]
        out = np.empty_like(arrays[0])
        function(*[x.ctypes.data for x in arrays], out.ctypes.data, out.size)
        return out

    run.engine, run.text, run.assembly = engine, text, assembly
    return run


def numpy_function(name):
    if name == "erf":
        return np.vectorize(math.erf, otypes=[np.float64])
    if name == "erfc":
        return np.vectorize(math.erfc, otypes=[np.float64])
    if name == "sigmoid":
        return lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))
    return getattr(np, name)


EXACT = {
    "arccos": lambda x: mp.acos(x),
    "arccosh": lambda x: mp.acosh(x),
    "arcsin": lambda x: mp.asin(x),
    "arcsinh": lambda x: mp.asinh(x),
    "arctan": lambda x: mp.atan(x),
    "arctan2": lambda y, x: mp.atan2(y, x),
    "arctanh": lambda x: mp.atanh(x),
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "cos": lambda x: mp.cos(x),
    "cosh": lambda x: mp.cosh(x),
    "erf": lambda x: mp.erf(x),
    "erfc": lambda x: mp.erfc(min(max(x, -40), 40)),
    "exp": lambda x: mp.exp(x),
    "exp2": lambda x: mp.mpf(2) ** x,
    "expm1": lambda x: mp.expm1(x),
    "log": lambda x: mp.log(x),
    "log10": lambda x: mp.log10(x),
    "log1p": lambda x: mp.log1p(x),
    "log2": lambda x: mp.log(x, 2),
    "logaddexp": lambda x, y: max(x, y) + mp.log1p(mp.exp(-abs(x - y))),
    "power": lambda x, y: x**y,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "sin": lambda x: mp.sin(x),
    "sinh": lambda x: mp.sinh(x),
    "tan": lambda x: mp.tan(x),
    "tanh": lambda x: mp.tanh(x),
}
# Bits that mpmath needs: of 2/pi for the largest double, and for a quotient of the largest by the smallest.
PRECISION = {"sin": 1300, "cos": 1300, "tan": 1300, "arctan2": 2300}
LN_2 = math.log(2)
# Where the formulas change, and where the functions end, have a zero or come close to one.
BREAKS = {
    "exp": [LN_2 / 2, 1.5 * LN_2, 708.4, 709.78, 745.13],
    "exp2": [0.5, 1, 1.5, 1022, 1024, 1074],
    "expm1": [LN_2 / 2, 1.5 * LN_2, 2.5 * LN_2, 37, 50, 709.78],
    "log": [1, 2**0.5, 0.5**0.5, 2],
    "log2": [1, 2**0.5, 0.5**0.5, 8],
    "log10": [1, 2**0.5, 0.5**0.5, 10, 1000],
    "log1p": [2**0.5 - 1, 1 - 0.5**0.5, 1, 2.0**-53],
    "sin": [*(k * math.pi / 4 for k in range(1, 30)), 2, 2.0**33, 6381956970095103 * 2.0**797],
    "tanh": [LN_2 / 2, 1.5 * LN_2, 22],
    "sinh": [LN_2 / 2, 1.5 * LN_2, 710.4758],
    "sigmoid": [1, 37, 709, 745],
    "erf": [1, 5.95],
    "erfc": [3, 4, 9.19, 10.05, 26.5, 27.2],
    "arcsin": [0.5, 1],
    "arctan": [1],
    "arcsinh": [0.75, 1, 2.0**60],
    "arctanh": [0.17, 0.5, 1],
    "cbrt": [1, 2, 8, 27],
}
BREAKS |= {"cos": BREAKS["sin"], "tan": BREAKS["sin"], "cosh": BREAKS["sinh"], "arccos": BREAKS["arcsin"]}


def spread(rng, n, low=-1074.0, high=1024.0):
    """Numbers of both signs, log-uniform."""
    return np.exp2(rng.uniform(low, high, n)) * rng.choice([-1, 1], n)


def points(name, n=1000):
    rng = np.random.default_rng(7)
    whole, near_one = spread(rng, n), 1 + spread(rng, n, -53, 0)
    if name == "power":  # results over the whole range, and whole exponents
        x = np.abs(np.concatenate([whole, whole, near_one]))
        with np.errstate(all="ignore"):
            y = rng.uniform(-745, 710, x.size) / np.log(x)
        y[:n] = np.rint(rng.uniform(-9, 9, n))
        return x[np.isfinite(y)], y[np.isfinite(y)]
    if name == "arctan2":
        return np.concatenate([whole, near_one, rng.uniform(-2, 2, n)]), np.concatenate(
            [spread(rng, n), spread(rng, n, -30, 30), rng.uniform(-2, 2, n)]
        )
    if name == "arccosh":
        return (1 + np.abs(np.concatenate([whole, near_one, spread(rng, n, -52, 2), spread(rng, n, -1, 3)])),)
    if name == "logaddexp":
        x = np.concatenate([whole, rng.uniform(-800, 800, n), rng.uniform(-3, 3, n)])
        return x, x + np.concatenate([spread(rng, n, -60, 6), rng.uniform(-50, 50, n), rng.uniform(-4, 4, n)])
    centres = np.array(BREAKS[name])
    steps = np.concatenate([np.arange(-6, 7) * 2.0**-52, spread(rng, 13, -50, -1)])
    around = (centres[:, None] * (1 + steps)).ravel()
    x = [whole, spread(rng, n, -60, 12), near_one, rng.uniform(-4, 4, n), rng.uniform(-750, 750, n), around, -around]
    x = np.concatenate(x)
    with np.errstate(all="ignore"):
        return (x[~np.isnan(numpy_function(name)(x))],)


@pytest.mark.parametrize("name", ALL)
def test_double_is_within_two_ulps_of_mpmath(name):
    arguments = points(name)
    high, low = np.empty((2, arguments[0].size))
    with mp.workprec(PRECISION.get(name, 260)):
        overflow = mp.mpf(2) ** 1024 - mp.mpf(2) ** 970
        for i, numbers in enumerate(zip(*(x.tolist() for x in arguments))):
            try:
                value = EXACT[name](*map(mp.mpf, numbers))
            except (ValueError, ZeroDivisionError):  # a pole
                value = mp.mpf(float(numpy_function(name)(np.float64(numbers[0]))))
            high[i] = float(value) if abs(value) < overflow else math.copysign(math.inf, value)
            low[i] = float(value - high[i]) if math.isfinite(high[i]) else 0.0
    result = compiled(name, "f8")(*arguments)
    assert result.size > 2000
    if name == "logaddexp":  # like NumPy's: a sum of two, which may cancel
        error = np.abs((result - high) - low) / np.spacing(np.maximum(np.abs(high), np.abs(np.maximum(*arguments))))
    else:
        spacing = np.where(np.isfinite(high), np.spacing(np.abs(np.where(np.isfinite(high), high, 1))), 1)
        with np.errstate(invalid="ignore"):
            error = np.where(result == high, np.abs(low), np.abs((result - high) - low)) / spacing
    worst = np.argmax(error)
    assert error[worst] <= 2, [x[worst] for x in arguments]


@pytest.mark.parametrize("name", ALL)
def test_single_is_within_two_ulps_over_all_bit_patterns(name):
    x = np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32).view(np.float32)
    rng = np.random.default_rng(7)
    arguments = (x,)
    if name == "power":
        x = np.abs(x[:: 4 if x.size > 1000 else 1])
        with np.errstate(all="ignore"):
            y = (rng.uniform(-105, 90, x.size) / np.log(x.astype(np.float64))).astype(np.float32)
        arguments = x, y
    elif name == "logaddexp":
        x = rng.uniform(-100, 100, 200_000).astype(np.float32)
        arguments = x, x + rng.uniform(-20, 20, x.size).astype(np.float32)
    elif name == "arctan2":
        arguments = rng.permutation(x), rng.permutation(x)
    elif name == "erf":
        arguments = (np.ascontiguousarray(x[np.abs(x) < 6][::4]),)
    elif name == "erfc":
        arguments = (np.ascontiguousarray(x[np.abs(x) < 11][::4]),)
    result = compiled(name, "f4")(*arguments)
    with np.errstate(all="ignore"):
        exact = numpy_function(name)(*(x.astype(np.float64) for x in arguments))
        rounded = exact.astype(np.float32)
        scale = np.abs(rounded)
        if name == "logaddexp":
            scale = np.maximum(scale, np.abs(np.maximum(*arguments)))
        error = np.abs(result.astype(np.float64) - exact) / np.spacing(scale)
    same = (result == rounded) | (np.isnan(result) & np.isnan(rounded))
    error = np.where(np.isfinite(rounded) & np.isfinite(result), error, np.where(same, 0, np.inf))
    worst = np.argmax(error)
    assert error[worst] <= 2, [x[worst] for x in arguments]


def near_quarter_turns(digits, exponents):
    """For each exponent the multiple of 2**exponent closest to a multiple of pi/2, by continued fractions."""
    found = []
    for exponent in exponents:
        left, (q, before) = mp.mpf(2) ** exponent * 2 / mp.pi % 1, (1, 0)
        while q * int(1 / left) + before < 2**digits:
            left, (q, before) = 1 / left % 1, (q * int(1 / left) + before, q)
        found.append(math.ldexp(q, exponent))
    return np.array(found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_the_hardest_reductions(name, kind):
    with mp.workprec(1300):
        x = near_quarter_turns(*((53, range(-50, 971, 3)) if kind == "f8" else (24, range(-22, 104))))
        exact = [EXACT[name](mp.mpf(value)) for value in x.tolist()]
        result = compiled(name, kind)(x)
        errors = [abs(mp.mpf(float(a)) - b) / float(np.spacing(np.abs(a))) for a, b in zip(result, exact)]
    assert max(errors) <= 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ALL)
def test_special_values_are_numpys(name, kind):
    """Where NumPy's result or ours is 0, inf or nan the other is the same, with its sign; elsewhere they are close."""
    form = np.finfo(kind)
    sizes = [0.0, form.smallest_subnormal, form.tiny / 2, form.tiny, 0.1, 0.5, 1 - form.epsneg, 1, 1 + form.eps, 1.5, 2]
    sizes += [2.5, 3, 4, 10, 88, 104, 709, 1e4, 2.0**24 + 1, 2.0**53, 2.0**62, form.max / 2, form.max, math.inf]
    x = np.array([*sizes, *(-size for size in sizes), math.nan], dtype=kind)
    arguments = np.array([*itertools.product(x, x)], dtype=kind).T if name in BINARY else [x]
    result = compiled(name, kind)(*arguments)
    with np.errstate(all="ignore"):
        expected = numpy_function(name)(*arguments).astype(kind)
        least = 0.5 if name == "logaddexp" else 0.0  # -0.5 + 0.47 is as close as 0.5 is
        close = np.abs(result - expected) <= 8 * np.spacing(np.maximum(np.abs(expected), least))
    special = ~np.isfinite(expected) | ~np.isfinite(result) | (expected == 0) | (result == 0)
    same = (result == expected) & (np.signbit(result) == np.signbit(expected)) | np.isnan(result) & np.isnan(expected)
    wrong = ~np.where(special, same, close)
    assert not wrong.any(), [(*(a[wrong] for a in arguments), result[wrong], expected[wrong])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ALL)
def test_the_loop_is_vectorised_and_calls_no_library(name, kind):
    assert "vector.body" in compiled(name, kind).text
    assert not CALL.search(compiled(name, kind).assembly)


@pytest.mark.skipif("not llvm.get_default_triple().startswith('x86_64')", reason="of x86 only")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["exp", "log", "power", "sin", "tanh"])
def test_avx2_is_enough(name, kind):
    module, machine = optimised(loop(name, kind), "haswell", "")
    assert "vector.body" in str(module)
    assembly = machine.emit_assembly(module)
    assert "ymm" in assembly
    assert not CALL.search(assembly)


@pytest.mark.parametrize(("kind", "lanes"), [("f4", 4), ("f4", 16), ("f8", 2), ("f8", 8)])
@pytest.mark.parametrize("name", ALL)
def test_functions_that_stay_calls_are_the_same_bit_for_bit(name, kind, lanes):
    """Of several lanes in the loop, and of one where it ends."""
    form = np.finfo(kind)
    sizes = [
        0,
        form.smallest_subnormal,
        form.tiny,
        0.1,
        0.5,
        1,
        1.5,
        2.5,
        10,
        88,
        709,
        1e4,
        2.0**62,
        form.max,
        math.inf,
    ]
    x = np.array([*sizes, *(-size for size in sizes), math.nan], dtype=kind)
    arguments = np.array([*itertools.product(x, x)], dtype=kind).T if name in BINARY else [x]
    apart = compiled(name, kind, lanes)
    assert f"call {CONVENTION} <{lanes} x {TYPES[kind]}> @ad.{name}.{kind}.x{lanes}(".replace("  ", " ") in apart.text
    assert np.array_equal(
        apart(*arguments).view(f"i{form.bits // 8}"), compiled(name, kind)(*arguments).view(f"i{form.bits // 8}")
    )


def test_the_prelude_has_each_thing_once_in_order():
    used = [("tan", "f8", 0), ("sin", "f8", 0), ("exp", "f4", 0), ("sin", "f8", 0)]
    text = prelude(used)
    assert text == prelude(reversed(used))
    names = re.findall(r"^(?:define internal \w+ |declare \w+ )?@([\w.]+)", text, re.MULTILINE)
    assert len(names) == len(set(names))
    assert {"ad.exp.f4", "ad.sin.f8", "ad.tan.f8", "ad.turns"} <= set(names)
    llvm.parse_assembly(text).verify()
    assert prelude([]).strip() == ""


def test_a_function_has_what_each_kernel_needs_of_it():
    text = prelude([("sin", "f8", count) for count in (8, INLINE, 1, 4)])
    names = re.findall(r"^define internal .*?@([\w.]+)\(", text, re.MULTILINE)
    assert names == ["ad.sin.f8", "ad.sin.f8.x4", "ad.sin.f8.x8", "ad.sin.f8.apart"]
    for each in text, prelude([("sin", "f8", 1)]):
        llvm.parse_assembly(each).verify()


def test_every_function_is_tested():
    assert sorted(FORMULAS) == ALL == sorted(EXACT)
    assert {name for name, (arity, _) in FORMULAS.items() if arity == 2} == BINARY
