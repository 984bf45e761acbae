"""The functions that are compiled, and each library's way to differentiate and compile one.

A function is written once, in terms of a vocabulary: the namespace, and what each library has words of its own for.
All arrays are float32.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import numpy as np

import autodiff
from autodiff.rules.activations import normal_cdf

from .harness import OURS

PEERS = (OURS, "jax jit", "jax scan", "torch", "torch.compile")
RATE = 0.1

Function = Callable[..., Any]
Run = Callable[[], Any]


class UnavailableError(ImportError):
    """A library is not there, or cannot compile; the text says why."""


@dataclass(frozen=True)
class Words:
    """What the functions are written with."""

    np: Any
    relu: Function
    gelu: Function
    log_softmax: Function
    softmax: Function
    normal_cdf: Function
    layer_norm: Function
    attention: Function
    scan: Function


@dataclass(frozen=True)
class Model:
    """A function, and what is made of it: the value and the gradient, a step of gradient descent, or the Hessian.

    `apart`: most of it are large matrix products, so each library has a process of its own. `operand`: the elements
    of what it computes with, if not those of the largest argument.
    """

    name: str
    f: Callable[[Words], Function]
    arguments: Callable[[], tuple[Any, ...]]
    must: float
    aim: float
    kind: str = "gradient"  # or "step", "hessian", "value"
    wrt: tuple[int, ...] = (0,)
    apart: bool = False
    operand: int = 0

    @cached_property
    def args(self) -> tuple[Any, ...]:
        """The same for everybody."""
        return self.arguments()

    @property
    def elements(self) -> int:
        """How many the arrays have that it computes with."""
        return self.operand or max(a.size for a in flat(self.args))


def flat(tree: Any) -> list[Any]:
    """The arrays of nested tuples and lists."""
    return [a for part in tree for a in flat(part)] if isinstance(tree, tuple | list) else [tree]


def mapped(f: Function, tree: Any) -> Any:
    """The same tuples and lists of other arrays."""
    return type(tree)(mapped(f, part) for part in tree) if isinstance(tree, tuple | list) else f(tree)


# -- functions, made from words; they capture those that they use, as they would at the top of a user's file


def mlp(lib: Words) -> Function:
    """The cross entropy of a network of any depth."""
    relu, log_softmax = lib.relu, lib.log_softmax

    def loss(parameters: Any, x: Any, targets: Any) -> Any:
        *hidden, (w, b) = parameters
        for weights, bias in hidden:
            x = relu(x @ weights + bias)
        return -(targets * log_softmax(x @ w + b, -1)).sum() / len(x)

    return loss


def black_scholes(lib: Words) -> Function:
    """The value of a portfolio of calls; its gradient has delta, theta, vega and rho of each of them."""
    np, cdf = lib.np, lib.normal_cdf

    def value(spot: Any, time: Any, volatility: Any, rate: Any) -> Any:
        spread = volatility * np.sqrt(time)
        d1 = (np.log(spot / 100.0) + (rate + 0.5 * volatility * volatility) * time) / spread
        return (spot * cdf(d1) - 100.0 * np.exp(-rate * time) * cdf(d1 - spread)).sum()

    return value


def transformer(lib: Words) -> Function:
    """The squared error of a block with layer norms ahead of attention and of the MLP."""
    layer_norm, attention, gelu = lib.layer_norm, lib.attention, lib.gelu

    def loss(parameters: Any, x: Any, target: Any) -> Any:
        norm1, qkv, out, norm2, (w1, b1), (w2, b2) = parameters
        batch, length, width = x.shape
        heads = (layer_norm(x, *norm1) @ qkv).reshape(batch, length, 3, HEADS, width // HEADS)
        q, k, v = (heads[:, :, i].swapaxes(1, 2) for i in range(3))
        x = x + attention(q, k, v).swapaxes(1, 2).reshape(x.shape) @ out
        x = x + gelu(layer_norm(x, *norm2) @ w1 + b1) @ w2 + b2
        return ((x - target) ** 2).mean()

    return loss


def rnn(lib: Words) -> Function:
    """A recurrent network, step after step."""
    np, scan = lib.np, lib.scan

    def energy(w: Any, u: Any, xs: Any, state: Any) -> Any:
        state = scan(lambda state, x: np.tanh(state @ w + x @ u), state, xs)
        return (state * state).sum()

    return energy


def rosenbrock(lib: Words) -> Function:
    """The test function of optimizers."""
    np = lib.np
    return lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def normalised(lib: Words) -> Function:
    """Layer norm and softmax, row by row."""
    softmax, layer_norm = lib.softmax, lib.layer_norm
    return lambda x, w, b, target: (softmax(layer_norm(x, w, b), -1) * target).sum()


def links(lib: Words) -> Function:
    """A thousand operations, one after the other."""
    np = lib.np

    def chain(x: Any, c: Any) -> Any:
        y = x
        for _ in range(333):
            y = np.sin(y * c + x)
        return y.sum()

    return chain


# -- arguments

HEADS = 4


def draws() -> tuple[Any, Function, Function]:
    """A generator, normal numbers of a shape, and a matrix that keeps the size of what it multiplies."""
    draw = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return draw.normal(size=shape).astype("f4")

    return draw, normal, lambda rows, columns: normal(rows, columns) / np.float32(math.sqrt(rows))


def mlp_arguments(widths: Sequence[int], batch: int) -> tuple[Any, ...]:
    """Weights, a batch, and the classes as rows of the identity."""
    draw, normal, matrix = draws()
    parameters = [(matrix(a, b), normal(b)) for a, b in pairwise(widths)]
    return parameters, normal(batch, widths[0]), np.eye(widths[-1], dtype="f4")[draw.integers(0, widths[-1], batch)]


def option_arguments(count: int = 10**6) -> tuple[Any, ...]:
    """Spot, time, volatility and rate of every option."""
    draw, _, _ = draws()
    return tuple(draw.uniform(a, b, count).astype("f4") for a, b in ((50, 150), (0.1, 2), (0.1, 0.5), (0.01, 0.05)))


def transformer_arguments(width: int = 256, length: int = 128, batch: int = 8) -> tuple[Any, ...]:
    """Parameters, a batch and its target."""
    _, normal, matrix = draws()
    norms = [(np.ones(width, "f4"), np.zeros(width, "f4")) for _ in range(2)]
    up = (matrix(width, 4 * width), np.zeros(4 * width, "f4"))
    down = (matrix(4 * width, width), np.zeros(width, "f4"))
    parameters = [norms[0], matrix(width, 3 * width), matrix(width, width), norms[1], up, down]
    return parameters, normal(batch, length, width), normal(batch, length, width)


def rnn_arguments(steps: int = 100, hidden: int = 64, batch: int = 32) -> tuple[Any, ...]:
    """Two matrices, the inputs of all steps, and the first state."""
    _, normal, matrix = draws()
    w, u = matrix(hidden, hidden), matrix(hidden, hidden)
    return w, u, normal(steps, batch, hidden), np.zeros((batch, hidden), "f4")


def row_arguments(rows: int = 1024, columns: int = 256) -> tuple[Any, ...]:
    """Rows, scale and shift, and weights of the results."""
    _, normal, _ = draws()
    return normal(rows, columns), normal(columns), normal(columns), normal(rows, columns)


def mlp_model(widths: Sequence[int], batch: int, must: float, aim: float, apart: bool = False) -> Model:
    """A step of gradient descent: parameters in, parameters out."""
    name = f"MLP {'-'.join(map(str, widths))}, batch {batch}: step"
    return Model(name, mlp, lambda: mlp_arguments(widths, batch), must, aim, "step", apart=apart)


MODELS = (
    mlp_model((2, 16, 16, 2), 100, 0.4, 0.3),
    mlp_model((64, 64, 64, 10), 32, 0.6, 0.4),
    mlp_model((784, 512, 512, 10), 128, 0.95, 0.85, apart=True),
    mlp_model((784, 2048, 2048, 10), 512, 0.95, 0.85, apart=True),
    Model("Black-Scholes, 1,000,000 options", black_scholes, option_arguments, 0.6, 0.4, wrt=(0, 1, 2, 3)),
    Model("transformer block 8 x 128 x 256", transformer, transformer_arguments, 1.0, 0.8, apart=True),
    Model("RNN, 100 steps, batch 32, width 64", rnn, rnn_arguments, 0.7, 0.5, wrt=(0, 1), operand=2048),
    Model("Hessian of Rosenbrock, n = 200", rosenbrock, lambda: (draws()[1](200),), 1.0, 0.5, "hessian"),
    Model("layer norm, softmax, 1024 x 256", normalised, row_arguments, 0.6, 0.4, wrt=(0, 1, 2)),
)
PROGRAMS = (Model("1,000 operations", links, lambda: (draws()[1](100), draws()[1](100)), 0.6, 0.4, "value"),)


# -- vocabularies


def layer_norm(np: Any) -> Function:
    """As it is written with a namespace."""

    def normalise(x: Any, w: Any, b: Any) -> Any:
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-5) * w + b

    return normalise


def attention(softmax: Function) -> Function:
    """As it is written with operators."""
    return lambda q, k, v: softmax(q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5, -1) @ v


def unrolled(f: Function, state: Any, xs: Any) -> Any:
    """The last state of a loop."""
    for t in range(len(xs)):
        state = f(state, xs[t])
    return state


@cache
def our_words() -> Words:
    """NumPy, and the functions that it does not have."""
    ad = autodiff
    more = layer_norm(np), attention(ad.softmax), unrolled
    return Words(np, ad.relu, ad.gelu, ad.log_softmax, ad.softmax, normal_cdf, *more)


@cache
def jax_words() -> Words:
    """jax.numpy and jax.nn."""
    jax = importlib.import_module("jax")
    nn, norm = jax.nn, importlib.import_module("jax.scipy.stats").norm
    more = layer_norm(jax.numpy), attention(nn.softmax), unrolled
    exact = lambda x: nn.gelu(x, approximate=False)
    return Words(jax.numpy, nn.relu, exact, nn.log_softmax, nn.softmax, norm.cdf, *more)


@cache
def torch_words() -> Words:
    """torch and torch.nn.functional."""
    torch = importlib.import_module("torch")
    F = torch.nn.functional
    norm = lambda x, w, b: F.layer_norm(x, w.shape, w, b)
    more = norm, F.scaled_dot_product_attention, unrolled
    return Words(torch, F.relu, F.gelu, F.log_softmax, F.softmax, torch.special.ndtr, *more)


# -- what each library makes of a function


def stepper(value_and_grad: Function) -> Function:
    """A step of gradient descent, from the value and the gradient: the value and the new parameters."""

    def step(parameters: Any, *data: Any) -> Any:
        value, gradients = value_and_grad(parameters, *data)
        new = [(w - RATE * dw, b - RATE * db) for (w, b), (dw, db) in zip(parameters, gradients, strict=True)]
        return value, new

    return step


def made_by(model: Model, lib: Any, words: Words) -> Function:
    """With autodiff's names for the transforms, which are JAX's."""
    f, numbers = model.f(words), model.wrt if len(model.wrt) > 1 else model.wrt[0]
    if model.kind == "value":
        return f
    if model.kind == "hessian":
        return lib.hessian(f)
    value_and_grad = lib.value_and_grad(f, numbers)
    return stepper(value_and_grad) if model.kind == "step" else value_and_grad


def ours(model: Model) -> tuple[Function, Run]:
    """The jitted function, and a call of it."""
    jitted, args = autodiff.jit(made_by(model, autodiff, our_words()), strict=True), model.args
    return jitted, lambda: jitted(*args)


def jax_run(model: Model, *, scan: bool = False) -> Run:
    """A call of what JAX compiled; with `scan`, loops stay loops."""
    jax = importlib.import_module("jax")
    words = jax_words()
    if scan:
        last = lambda f, state, xs: jax.lax.scan(lambda s, x: (f(s, x), None), state, xs)[0]
        words = dataclasses.replace(words, scan=last)
    jitted, args = jax.jit(made_by(model, jax, words)), mapped(jax.numpy.asarray, model.args)
    return lambda: jax.block_until_ready(jitted(*args))


def torch_run(model: Model) -> Run:
    """A call of PyTorch's autograd, eager."""
    torch = importlib.import_module("torch")
    f, args = model.f(torch_words()), mapped(torch.tensor, model.args)
    if model.kind == "hessian":
        hessian = torch.func.hessian(f)
        return lambda: hessian(*args)

    def value_and_grad(*args: Any) -> Any:
        mine = [mapped(lambda a: a.detach().requires_grad_(), a) if i in model.wrt else a for i, a in enumerate(args)]
        value = f(*mine)
        found = iter(torch.autograd.grad(value, flat([mine[i] for i in model.wrt])))
        gradients = mapped(lambda _: next(found), tuple(mine[i] for i in model.wrt))
        return value.detach(), gradients if len(gradients) > 1 else gradients[0]

    run = stepper(value_and_grad) if model.kind == "step" else value_and_grad
    return lambda: run(*args)


def torch_compiled_run(model: Model) -> Run:
    """A call of what torch.compile made of torch.func's transform. It compiles here."""
    torch = importlib.import_module("torch")
    f, args = model.f(torch_words()), mapped(torch.tensor, model.args)
    if model.kind == "hessian":
        function = torch.func.hessian(f)
    else:
        numbers = model.wrt if len(model.wrt) > 1 else model.wrt[0]
        grad_and_value = torch.func.grad_and_value(f, numbers)
        function = lambda *args: grad_and_value(*args)[::-1]
        function = stepper(function) if model.kind == "step" else function
    compiled = torch.compile(function)
    try:
        compiled(*args)
    except Exception as error:
        raise UnavailableError(
            f"torch.compile: {type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
        ) from error
    return lambda: compiled(*args)


class Contender:
    """A library's function, as the benchmark's processes take it (see `mlp_steps.Step`)."""

    def __init__(self, model: Model, who: str) -> None:
        self.model, self.who = model, who
        self.jitted: Function | None = None
        if who == OURS:
            self.jitted, self.step = ours(model)
        else:
            self.step = {
                "jax jit": jax_run,
                "jax scan": lambda model: jax_run(model, scan=True),
                "torch": torch_run,
                "torch.compile": torch_compiled_run,
            }[who](model)

    def gradients(self) -> list[Any]:
        """Every array of the result."""
        return [np.asarray(a) for a in flat(self.step())]

    def rest(self) -> None:
        """Nothing is kept."""

    def plain(self, count: int) -> float:
        """Seconds of our function that is not compiled: the median of some calls."""
        function, args = made_by(self.model, autodiff, our_words()), self.model.args
        return float(np.median(seconds(lambda: function(*args), count + 1)[1:]))

    def first(self, count: int) -> list[float]:
        """Seconds of the first calls, one after the other, once the library has made a first small program."""
        x = np.ones(2, "f4")
        if self.jitted is not None:
            small = autodiff.jit(lambda x: x + 1)
        else:
            small = importlib.import_module("jax").jit(lambda x: x + 1)
        seconds(lambda: small(x), 3)
        return seconds(self.step, count)

    def operations(self) -> int:
        """How many the recorded program has."""
        assert self.jitted is not None
        found = re.findall(r"^program \d+: (\d+) operations", self.jitted.explain(), flags=re.MULTILINE)  # type: ignore[attr-defined]
        return sum(map(int, found))


def seconds(run: Run, count: int) -> list[float]:
    """Of each of some calls."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return found


def contender(name: str) -> Contender:
    """The one of a text `compiled/number of the model/library`."""
    _, number, who = name.split("/")
    return Contender((*MODELS, *PROGRAMS)[int(number)], who)
