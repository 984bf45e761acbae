"""The domain of every rule: where to draw its operands, and which further arguments to try.

    row(np.log, positive)                                   one operand, drawn from positive numbers
    row(np.sum, real, tries=[call(), call(axis=0)])         NumPy's further arguments, each tried
    row(np.matmul, real, real, shapes=[((2, 3), (3, 4))])   shapes of the operands, where the usual ones do not fit

Every rule of the registry has one row, and every row a rule: tests/test_rules.py and tests/test_device.py are
made from this table. To add a rule, add its row. Domains keep away from kinks, where a derivative is a choice;
what the rules choose there is in tests/test_rules.py, by hand.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from autodiff import Value, arrays
from autodiff.rules import activations, elementwise, special

Array = np.ndarray[Any, Any]
Generator = np.random.Generator
Shape = tuple[int, ...]


# -- domains: how to draw one operand of a given shape


@dataclass(frozen=True)
class Domain:
    """`draw(rng, shape)` gives an operand: "f" floats, which are differentiated, "t" floats of which only shape
    and dtype matter, "i" integers or "b" booleans."""

    draw: Callable[[Generator, Shape], Array]
    kind: str = "f"
    spread: bool = False

    def complex(self, rng: Generator, shape: Shape) -> Array:
        """Away from the branch cuts, which all are on the axes or left of the imaginary one."""
        if self.spread:
            return self.draw(rng, shape) + 1j * self.draw(rng, shape)
        return rng.uniform(0.4, 1.3, shape) + 1j * rng.uniform(0.3, 1.1, shape) * rng.choice([-1, 1], shape)


def between(low: float, high: float) -> Domain:
    return Domain(lambda rng, shape: rng.uniform(low, high, shape))


def of_either_sign(low: float, high: float) -> Domain:
    return Domain(lambda rng, shape: rng.uniform(low, high, shape) * rng.choice([-1.0, 1.0], shape))


def apart(offset: float) -> Domain:
    """No two elements closer than 0.3, nor any to one of an `apart` of another offset."""
    steps = lambda rng, shape: rng.permutation(prod(shape)).reshape(shape) - 0.4 * prod(shape)
    return Domain(lambda rng, shape: steps(rng, shape) * 0.9 + offset, spread=True)


real = Domain(lambda rng, shape: rng.normal(size=shape))
template = Domain(real.draw, "t")
unit = between(-0.85, 0.85)
positive = between(0.5, 2.0)
above_one = between(1.3, 3.0)
one_binade = between(0.6, 0.9)  # where the exponent does not change
nonzero = of_either_sign(0.4, 1.9)
off_steps = Domain(lambda rng, shape: rng.integers(-3, 4, shape) + rng.uniform(0.01, 0.04, shape))  # off n, n/2, n/20
off_multiples = of_either_sign(5.0, 5.5)  # off the multiples of `divisor`
divisor = of_either_sign(3.0, 3.3)
few_zeros = Domain(lambda rng, shape: nonzero.draw(rng, shape) * (rng.random(shape) < 0.9))
first, second, third = apart(0.0), apart(0.3), apart(0.6)
integers = Domain(lambda rng, shape: rng.integers(0, 9, shape), "i")
exponents = Domain(lambda rng, shape: rng.integers(-3, 4, shape), "i")
booleans = Domain(lambda rng, shape: rng.random(shape) < 0.5, "b")
labels = Domain(lambda rng, shape: rng.integers(0, 3, shape), "i")  # of three classes


# -- rows


def call(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments after the operands."""
    return args, kwargs


@dataclass(frozen=True)
class Row:
    """What to test a rule with. See `row`."""

    function: Callable[..., Any]
    domains: tuple[Domain, ...]
    tries: Sequence[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=lambda: [call()])
    shapes: Sequence[tuple[Shape, ...]] | None = None
    complex: bool = False  # has a complex version
    sequence: bool = False  # takes the operands as one list
    outputs: int = 0  # returns a tuple of so many
    widens: bool = False  # gives float64 for float32
    values: bool = True  # the values mean something (not np.empty_like)

    @property
    def name(self) -> str:
        function = self.function
        module = (getattr(function, "__module__", None) or "numpy").partition(".")[0]
        return f"{module}.{function.__name__}"

    def all_shapes(self) -> Iterator[tuple[Shape, ...]]:
        """The given shapes, else broadcast ones, 0-d and empty, as many as there are operands."""
        if self.shapes is not None:
            yield from self.shapes
            return
        n = len(self.domains)
        yield ((2, 3, 2),) * n
        if n > 1:
            yield from zip(*[itertools.islice(itertools.cycle(BROADCAST), k, k + len(BROADCAST)) for k in range(n)])
            yield from ((((2, 3),) * k + ((),) + ((2, 3),) * (n - k - 1)) for k in range(n))
        yield ((),) * n
        yield ((0, 3),) * n

    def cases(self) -> Iterator[Case]:
        for shapes in self.all_shapes():
            for args, kwargs in self.tries:
                for output in range(self.outputs) if self.outputs else (None,):
                    yield Case(self, shapes, args, kwargs, output)


BROADCAST: list[Shape] = [(2, 3), (3,), (2, 1), (1, 3), (4, 1, 1)]


@dataclass(frozen=True, eq=False, repr=False)
class Case:
    """One row, one choice of shapes and further arguments: callable with the operands."""

    row: Row
    shapes: tuple[Shape, ...]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: int | None

    def __call__(self, *operands: Any) -> Any:
        if any(isinstance(x, Value) for x in operands):  # NumPy asks templates alone which class takes over
            pairs = zip(operands, self.row.domains, strict=True)
            operands = tuple(
                x if d.kind != "t" or isinstance(x, Value) else Value(x, requires_grad=False) for x, d in pairs
            )
        given = (list(operands),) if self.row.sequence else operands
        result = self.row.function(*given, *self.args, **self.kwargs)
        return result if self.output is None else result[self.output]

    def __str__(self) -> str:
        shapes = ",".join(str(s).replace(" ", "") for s in self.shapes)
        further = [_text(a) for a in self.args] + [f"{k}={_text(v)}" for k, v in self.kwargs.items()]
        further += [] if self.output is None else [f"output {self.output}"]
        return f"{self.row.name}({'; '.join([shapes, *further])})"

    __repr__ = __str__

    def operands(self, rng: Generator, dtype: Any = np.float64) -> list[Array]:
        """Arrays from the row's domains, NumPy scalars if 0-d; those that are differentiated have `dtype`."""
        drawn = []
        for domain, shape in zip(self.row.domains, self.shapes, strict=True):
            if domain.kind in "ft" and np.dtype(dtype).kind == "c":
                drawn.append(np.asarray(domain.complex(rng, shape), dtype)[()])
            else:
                drawn.append(np.asarray(domain.draw(rng, shape), dtype if domain.kind in "ft" else None)[()])
        return drawn

    @property
    def differentiable(self) -> list[int]:
        """The positions of the operands to differentiate."""
        return [i for i, domain in enumerate(self.row.domains) if domain.kind == "f"]


def _text(x: Any) -> str:
    if isinstance(x, np.ndarray):
        return f"{x.dtype.name}{list(x.shape)}"
    if isinstance(x, tuple):
        return f"({','.join(map(_text, x))})"
    return str(x).replace(" ", "")


ROWS: list[Row] = []


def row(function: Callable[..., Any], *domains: Domain, **options: Any) -> None:
    ROWS.append(Row(function, domains, **options))


axes = [call(), call(axis=0), call(axis=-1), call(axis=(0, -1)), call(axis=1, keepdims=True), call(keepdims=True), call(axis=())]
one_axis = [call(), call(axis=0), call(axis=-1), call(axis=1)]
line, table, cube = [((3,),), ((0,),)], [((2, 3),), ((0, 3),)], [((2, 3, 2),), ((0, 3, 2),)]
pairs = [((2, 3), (2, 3)), ((0, 3), (2, 3))]
products = [((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,)), ((0, 3), (3, 2)), ((2, 0), (0, 2))]
batches = [((4, 2, 3), (4, 3, 2)), ((4, 1, 2, 3), (5, 3, 2)), ((2, 3), (4, 3, 2)), ((4, 2, 3), (3, 2)), ((3,), (4, 3, 2)), ((4, 2, 3), (3,)), ((1, 2, 3), (4, 3, 2)), ((0, 2, 3), (3, 2))]
keys = [
    call(1), call(-1), call((1, -2)), call(slice(None, None, -1)), call((slice(1, None), 0)), call((..., None, 1)), call(None), call(()), call(...),
    call(np.array([2, 0, 2])), call((np.array([[0, 2], [2, 2]]), slice(None))), call((np.array([0, 2, 0]), np.array([1, 1, 1]))),
    call((slice(None), np.array([1, 1, 0]))), call(np.array([True, False, True])), call((np.array([True, False, True]), 1)), call(np.arange(12).reshape(3, 4) % 3 == 0),
    call(np.array([], dtype=int)), call((np.array([True, False, True]), np.array([1, 3]))), call((0, slice(None), None, np.array([1, 1]))[1:]), call(True),
]

# -- arithmetic

row(np.add,           real, real,                 complex=True)
row(np.subtract,      real, real,                 complex=True)
row(np.multiply,      real, real,                 complex=True)
row(np.divide,        real, nonzero,              complex=True)
row(np.floor_divide,  off_multiples, divisor)
row(np.remainder,     off_multiples, divisor)
row(np.fmod,          off_multiples, divisor)
row(np.divmod,        off_multiples, divisor,     outputs=2)
row(np.negative,      real,                       complex=True)
row(np.positive,      real,                       complex=True)
row(np.conjugate,     real,                       complex=True)
row(np.reciprocal,    nonzero,                    complex=True)
row(np.square,        real,                       complex=True)
row(np.sqrt,          positive,                   complex=True)
row(np.cbrt,          nonzero)
row(np.fabs,          nonzero)
row(np.absolute,      nonzero,                    complex=True)
row(np.sign,          nonzero,                    complex=True)
row(np.modf,          off_steps,                  outputs=2)
row(elementwise.fraction, off_steps)
row(np.power,         positive, real,             complex=True)
row(np.float_power,   positive, real,             complex=True, widens=True)
row(elementwise.real_sign,    nonzero)
row(elementwise.power, positive, real,            complex=True)
row(elementwise.scalar_power, positive,           complex=True, tries=[call(3), call(-2), call(0.5), call(1), call(2.0)])

# -- exponentials and logarithms

row(np.exp,           real,                       complex=True)
row(np.exp2,          real,                       complex=True)
row(np.expm1,         real,                       complex=True)
row(np.log,           positive,                   complex=True)
row(np.log2,          positive,                   complex=True)
row(np.log10,         positive,                   complex=True)
row(np.log1p,         positive,                   complex=True)
row(np.logaddexp,     real, real)
row(np.logaddexp2,    real, real)

# -- trigonometric and hyperbolic functions

row(np.sin,           real,                       complex=True)
row(np.cos,           real,                       complex=True)
row(np.tan,           unit,                       complex=True)
row(np.arcsin,        unit,                       complex=True)
row(np.arccos,        unit,                       complex=True)
row(np.arctan,        real,                       complex=True)
row(np.sinh,          real,                       complex=True)
row(np.cosh,          real,                       complex=True)
row(np.tanh,          real,                       complex=True)
row(np.arcsinh,       real,                       complex=True)
row(np.arccosh,       above_one,                  complex=True)
row(np.arctanh,       unit,                       complex=True)
row(np.deg2rad,       real)
row(np.radians,       real)
row(np.rad2deg,       real)
row(np.degrees,       real)
row(np.sinc,          nonzero,                    complex=True)
row(np.hypot,         nonzero, nonzero)
row(np.arctan2,       nonzero, nonzero)
row(np.angle,         nonzero,                    complex=True, tries=[call(), call(deg=True)])
row(special.erfc,     real)

# -- activations

row(activations.relu,        nonzero)
row(activations.leaky_relu,  nonzero,             tries=[call(), call(0.2), call(slope=-0.5)])
row(activations.sigmoid,     real,                complex=True)
row(activations.softplus,    real)
row(activations.normal_cdf,  real)
row(activations.gelu,        real,                tries=[call(), call("tanh"), call(approximate="tanh")])
row(activations.silu,        real)
row(activations.logsumexp,   real,                tries=axes)
row(activations.softmax,     real,                tries=[call(), call(axis=0), call(1), call(axis=(0, 1)), call(axis=None)], shapes=cube)
row(activations.log_softmax, real,                tries=[call(), call(axis=0), call(1), call(axis=(0, 1)), call(axis=None)], shapes=cube)

row(activations.nll,         real, labels,        shapes=[((4, 3), (4,)), ((1, 3), (1,)), ((2, 5), (2,)), ((0, 3), (0,))])

# -- choices and roundings

row(np.maximum,       first, second)
row(np.minimum,       first, second)
row(np.fmax,          first, second)
row(np.fmin,          first, second)
row(np.clip,          first, second, third)
row(np.where,         booleans, real, real,       complex=True)
row(elementwise.select, booleans, real, real,     complex=True)
row(np.copysign,      nonzero, nonzero)
row(np.heaviside,     nonzero, real)
row(np.floor,         off_steps)
row(np.ceil,          off_steps)
row(np.trunc,         off_steps)
row(np.fix,           off_steps)
row(np.rint,          off_steps)
row(np.round,         off_steps,                  tries=[call(), call(1), call(decimals=-1)])
row(np.around,        off_steps,                  tries=[call(), call(1), call(decimals=-1)])
row(np.spacing,       one_binade)
row(np.nextafter,     first, second)
row(np.ldexp,         real, exponents)
row(np.frexp,         one_binade,                 outputs=2)
row(elementwise.binary_exponent, one_binade)

# -- products

row(np.matmul,        real, real,                 complex=True, shapes=[*products, *batches])
row(np.dot,           real, real,                 complex=True, shapes=[*products, ((2, 3), (4, 3, 2)), ((4, 2, 3), (5, 3, 2)), ((3,), (4, 3, 2)), ((), (2, 3)), ((2, 3), ()), ((), ())])
row(np.inner,         real, real,                 complex=True, shapes=[((3,), (3,)), ((2, 3), (4, 3)), ((2, 2, 3), (4, 3)), ((4, 3), (2, 2, 3)), ((3,), (2, 3)), ((), (2, 3)), ((2, 3), ()), ((0, 3), (2, 3))])
row(np.outer,         real, real,                 complex=True, shapes=[((2,), (3,)), ((2, 2), (3,)), ((), (3,)), ((0,), (3,)), ((), ())])

# -- shapes

row(np.reshape,       real,                       complex=True, tries=[call((6,)), call((3, -1)), call(-1), call((3, 2), order="F"), call(shape=(1, 6))], shapes=table[:1])
row(np.ravel,         real,                       complex=True, tries=[call(), call("F"), call(order="C")])
row(np.squeeze,       real,                       complex=True, tries=[call(), call(0), call(axis=(0, -1)), call(axis=-1)], shapes=[((1, 3, 1),), ((1, 0, 1),)])
row(np.expand_dims,   real,                       complex=True, tries=[call(0), call(axis=-1), call((0, 2))])
row(np.transpose,     real,                       complex=True, tries=[call(), call((1, 2, 0)), call(axes=(2, -2, 0)), call([0, 2, 1])], shapes=[((2, 3, 4),), ((0, 3, 4),), ((),)])
row(np.swapaxes,      real,                       complex=True, tries=[call(0, 1), call(-1, 0), call(axis1=0, axis2=1)], shapes=cube)
row(np.copy,          real,                       complex=True, tries=[call(), call(order="F")])
row(np.moveaxis,      real,                       complex=True, tries=[call(0, -1), call([0, 1], [2, 0]), call(source=2, destination=0)], shapes=cube)
row(np.flip,          real,                       complex=True, tries=[call(), call(0), call(axis=(0, -1)), call(-1)], shapes=[*cube, ((),)])
row(np.broadcast_to,  real,                       complex=True, tries=[call((2, 3)), call((4, 2, 3)), call(shape=(0, 2, 3))], shapes=[((2, 3),), ((3,),), ((2, 1),), ((1, 1),), ((),)])
row(arrays.expand,    real,                       complex=True, tries=[call((2, 3)), call((4, 2, 3)), call((2, 2000, 2, 3))], shapes=[((2, 3),), ((3,),), ((2, 1),), ((),)])
row(arrays.cast,      real,                       complex=True, tries=[call(np.dtype(np.float64)), call(np.dtype(np.float32)), call(np.dtype(np.complex128))], widens=True)
row(arrays.getitem,   real,                       complex=True, tries=keys, shapes=[((3, 4),)])
row(arrays.scatter_add, real,                     complex=True, tries=[call(slice(1, 3), (4, 3)), call(np.array([2, 2]), (4, 3)), call((np.array([0, 0]),), (1, 3)), call(np.array([True, False, True]), (3, 3))], shapes=[((2, 3),)])
row(np.real,          real,                       complex=True)
row(np.imag,          real,                       complex=True)
row(np.concatenate,   real, real,                 complex=True, sequence=True, tries=[call(), call(0), call(axis=-2)], shapes=[((2, 3), (1, 3)), ((0, 3), (2, 3)), ((2, 3), (0, 3))])
row(np.stack,         real, real,                 complex=True, sequence=True, tries=[call(), call(1), call(axis=-1)], shapes=[((2, 3), (2, 3)), ((0, 3), (0, 3)), ((), ())])
row(np.hstack,        real, real,                 complex=True, sequence=True, shapes=[((2, 3), (2, 1)), ((2,), (3,)), ((), ()), ((), (2,)), ((2, 0), (2, 3)), ((2, 3, 2), (2, 1, 2))])
row(np.vstack,        real, real,                 complex=True, sequence=True, shapes=[((2, 3), (1, 3)), ((3,), (2, 3)), ((3,), (3,)), ((), ()), ((0, 3), (2, 3)), ((2, 3, 2), (1, 3, 2))])
row(np.column_stack,  real, real,                 complex=True, sequence=True, shapes=[((2, 3), (2,)), ((3,), (3,)), ((2, 1), (2, 0)), ((), ())])
if hasattr(np, "astype"):
    row(np.astype,    real,                       complex=True, tries=[call(np.float64), call(np.dtype(np.float32)), call("complex128")], widens=True)

# -- without a derivative: the results are untracked

row(np.less,          real, real)
row(np.less_equal,    real, real)
row(np.greater,       real, real)
row(np.greater_equal, real, real)
row(np.equal,         real, real)
row(np.not_equal,     real, real)
row(np.logical_and,   few_zeros, booleans)
row(np.logical_or,    few_zeros, booleans)
row(np.logical_xor,   few_zeros, booleans)
row(np.logical_not,   few_zeros)
row(np.isfinite,      real)
row(np.isinf,         real)
row(np.isnan,         real)
row(np.signbit,       real)
row(np.bitwise_and,   integers, integers)
row(np.bitwise_or,    integers, integers)
row(np.bitwise_xor,   integers, integers)
row(np.invert,        integers)
row(np.left_shift,    integers, integers)
row(np.right_shift,   integers, integers)
row(np.gcd,           integers, integers)
row(np.lcm,           integers, integers)
row(np.searchsorted,  positive, real,             tries=[call(), call(side="right")], shapes=[((1,), (2, 3)), ((1,), ()), ((0,), (2,))])
row(np.nonzero,       few_zeros,                  shapes=table)
row(np.array_equal,   real, real)
row(np.allclose,      real, real,                 tries=[call(), call(atol=9.0)], shapes=[*pairs[:1], ((), ())])
row(np.isclose,       real, real,                 tries=[call(), call(atol=1.0)])
row(np.shape,         real)
row(np.ndim,          real)
row(np.size,          real)
row(np.iscomplexobj,  real)
row(np.isrealobj,     real)
row(np.result_type,   real, integers)
row(np.can_cast,      real,                       tries=[call(np.float32), call(np.complex128)])
row(np.shares_memory, real, real)
row(np.may_share_memory, real, real)
row(np.zeros_like,    real,                       tries=[call(), call(dtype=int), call(shape=(2, 2))])
row(np.ones_like,     real,                       tries=[call(), call(dtype=int), call(shape=(2, 2))])
row(np.full_like,     template, real,             complex=True, tries=[call(), call(shape=(4, 3))], shapes=[((2, 3), ()), ((2, 3), (3,)), ((0, 3), ()), ((), ())])
row(np.empty_like,    real,                       tries=[call(), call(dtype=int), call(shape=(2, 2))], values=False)
row(np.array_repr,    real)
row(np.array_str,     real)
row(np.array2string,  real,                       tries=[call(), call(precision=2)])

# -- further rows, one file a family

for _path in sorted(Path(__file__).parent.glob("rows_*.py")):
    importlib.import_module(_path.stem)
