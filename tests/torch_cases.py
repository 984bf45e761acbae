"""Layers and losses that PyTorch has too, each as it is called here and there.

`reference` runs a case in PyTorch; `python tests/torch_cases.py` stores what it gives in data/torch_nn.npz, in float32,
so that tests/test_nn_torch.py can compare without PyTorch.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, Any]
DATA = Path(__file__).with_name("data")

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from autodiff import nn  # noqa: E402


class Case(NamedTuple):
    """A layer or a function here, the one there, and what is drawn for them."""

    ours: Callable[[Any], Any]  # of a dtype
    theirs: Callable[[Any], Any]  # of torch
    inputs: Callable[[np.random.Generator], tuple[Any, ...]]
    call: Callable[..., Any] = lambda f, *xs: f(*xs)
    call_theirs: Callable[..., Any] = lambda f, *xs: f(*xs)
    training: bool = True


def drawn(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: tuple(rng.standard_normal(shape) for shape in shapes)


CASES: dict[str, Case] = {}


def layer(name: str, ours: Any, theirs: Any, *shapes: Any, **options: Any) -> None:
    CASES[name] = Case(ours, theirs, shapes[0] if callable(shapes[0]) else drawn(*shapes), **options)


# -- linear layers, convolution, pooling

layer("linear", lambda d: nn.Linear(4, 3, dtype=d), lambda t: t.nn.Linear(4, 3), (5, 4))
layer("linear, three axes", lambda d: nn.Linear(4, 3, dtype=d), lambda t: t.nn.Linear(4, 3), (2, 5, 4))
layer("linear, square", lambda d: nn.Linear(4, 4, dtype=d), lambda t: t.nn.Linear(4, 4), (5, 4))
layer("linear, no bias", lambda d: nn.Linear(4, 3, False, dtype=d), lambda t: t.nn.Linear(4, 3, bias=False), (4,))
layer(
    "embedding",
    lambda d: nn.Embedding(7, 3, dtype=d),
    lambda t: t.nn.Embedding(7, 3),
    lambda rng: (rng.integers(0, 7, (4, 5)),),
)
layer(
    "embedding, padding_idx",
    lambda d: nn.Embedding(4, 3, -2, dtype=d),
    lambda t: t.nn.Embedding(4, 3, -2),
    lambda rng: (rng.integers(0, 4, (4, 5)),),
)
layer("flatten", lambda d: nn.Flatten(), lambda t: t.nn.Flatten(), (2, 3, 4))
layer("flatten from 2", lambda d: nn.Flatten(2), lambda t: t.nn.Flatten(2), (2, 3, 2, 2))

for size, options in [
    (3, {}),
    (3, {"stride": 2, "padding": 1}),
    (2, {"padding": 3, "dilation": 2}),
    (4, {"padding": "same"}),
    (3, {"padding": "same", "dilation": 2}),
    (3, {"padding": "valid"}),
    (1, {"stride": 3, "bias": False}),
    (3, {"groups": 2, "stride": 2}),
]:
    layer(
        f"conv1d {size} {options}",
        lambda d, k=size, o=options: nn.Conv1d(4, 6, k, **o, dtype=d),
        lambda t, k=size, o=options: t.nn.Conv1d(4, 6, k, **o),
        (2, 4, 9),
    )
for kernel, options in [
    (3, {}),
    ((2, 3), {"stride": (2, 1), "padding": (1, 0)}),
    (3, {"stride": 2, "padding": 1, "bias": False}),
    (2, {"dilation": (2, 3), "padding": 2}),
    ((4, 3), {"padding": "same"}),
    (3, {"groups": 4, "padding": 1}),
    ((1, 5), {"groups": 2, "stride": 3, "dilation": 1, "padding": (0, 2)}),
]:
    layer(
        f"conv2d {kernel} {options}",
        lambda d, k=kernel, o=options: nn.Conv2d(4, 4, k, **o, dtype=d),
        lambda t, k=kernel, o=options: t.nn.Conv2d(4, 4, k, **o),
        (2, 4, 6, 5),
    )
layer("conv2d of one image", lambda d: nn.Conv2d(2, 3, 3, dtype=d), lambda t: t.nn.Conv2d(2, 3, 3), (2, 5, 4))
for kernel, options in [
    (2, {}),
    (3, {"stride": 2, "padding": 1}),
    ((2, 3), {"stride": (1, 2), "padding": (0, 1), "dilation": (2, 1)}),
    (2, {"dilation": 2, "stride": 3}),
    (3, {"stride": 2, "ceil_mode": True}),
    ((2, 3), {"stride": (3, 4), "padding": 1, "ceil_mode": True}),
    (3, {"dilation": 2, "stride": 2, "padding": 1, "ceil_mode": True}),
]:
    layer(
        f"max_pool {kernel} {options}",
        lambda d, k=kernel, o=options: nn.MaxPool2d(k, **o),
        lambda t, k=kernel, o=options: t.nn.MaxPool2d(k, **o),
        (2, 2, 7, 6),
    )
for kernel, options in [
    (2, {}),
    (3, {"stride": 2, "padding": 1}),
    ((2, 3), {"stride": (1, 2), "padding": (0, 1)}),
    (3, {"padding": 1, "count_include_pad": False}),
    (3, {"stride": 2, "ceil_mode": True}),
    ((2, 3), {"stride": (3, 4), "padding": 1, "ceil_mode": True}),
    (2, {"stride": 3, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
]:
    layer(
        f"avg_pool {kernel} {options}",
        lambda d, k=kernel, o=options: nn.AvgPool2d(k, **o),
        lambda t, k=kernel, o=options: t.nn.AvgPool2d(k, **o),
        (2, 2, 7, 6),
    )
layer("max_pool, one axis", lambda d: nn.MaxPool1d(3, 2), lambda t: t.nn.MaxPool1d(3, 2), (2, 2, 8))
layer("avg_pool, one axis", lambda d: nn.AvgPool1d(3, 2, 1), lambda t: t.nn.AvgPool1d(3, 2, 1), (2, 2, 8))

for kind in "MaxPool", "AvgPool":
    layer(
        f"{kind} of one image",
        lambda d, k=kind: getattr(nn, k + "2d")(2),
        lambda t, k=kind: getattr(t.nn, k + "2d")(2),
        (3, 5, 4),
    )
    layer(
        f"{kind} of one sequence",
        lambda d, k=kind: getattr(nn, k + "1d")(2, padding=1, ceil_mode=True),
        lambda t, k=kind: getattr(t.nn, k + "1d")(2, padding=1, ceil_mode=True),
        (3, 6),
    )

# -- normalisation

for training in (True, False):
    mode = "training" if training else "eval"
    for shape, kind in ((6, 3), "1d"), ((4, 3, 5), "1d"), ((3, 3, 2, 4), "2d"):
        layer(
            f"batch_norm {shape}, {mode}",
            lambda d: nn.BatchNorm(3, dtype=d),
            lambda t, k=kind: getattr(t.nn, "BatchNorm" + k)(3),
            shape,
            training=training,
        )
    layer(
        f"batch_norm with options, {mode}",
        lambda d: nn.BatchNorm(3, eps=0.1, momentum=0.3, affine=False, dtype=d),
        lambda t: t.nn.BatchNorm1d(3, eps=0.1, momentum=0.3, affine=False),
        (5, 3),
        training=training,
    )
layer("layer_norm", lambda d: nn.LayerNorm(6, dtype=d), lambda t: t.nn.LayerNorm(6), (2, 3, 6))
layer(
    "layer_norm, two axes, no bias",
    lambda d: nn.LayerNorm((3, 4), eps=0.1, bias=False, dtype=d),
    lambda t: t.nn.LayerNorm((3, 4), eps=0.1, bias=False),
    (2, 3, 4),
)
layer("rms_norm", lambda d: nn.RMSNorm(6, dtype=d), lambda t: t.nn.RMSNorm(6), (2, 3, 6))
layer("rms_norm, eps", lambda d: nn.RMSNorm((3, 4), 0.1, dtype=d), lambda t: t.nn.RMSNorm((3, 4), 0.1), (2, 3, 4))
layer("group_norm", lambda d: nn.GroupNorm(2, 4, dtype=d), lambda t: t.nn.GroupNorm(2, 4), (2, 4, 3, 3))
layer(
    "group_norm, no affine",
    lambda d: nn.GroupNorm(4, 4, eps=0.1, affine=False, dtype=d),
    lambda t: t.nn.GroupNorm(4, 4, eps=0.1, affine=False),
    (2, 4, 5),
)

# -- activations

for name, ours, theirs in [
    ("relu", lambda d: nn.ReLU(), lambda t: t.nn.ReLU()),
    ("tanh", lambda d: nn.Tanh(), lambda t: t.nn.Tanh()),
    ("sigmoid", lambda d: nn.Sigmoid(), lambda t: t.nn.Sigmoid()),
    ("gelu", lambda d: nn.GELU(), lambda t: t.nn.GELU()),
    ("gelu tanh", lambda d: nn.GELU("tanh"), lambda t: t.nn.GELU("tanh")),
    ("silu", lambda d: nn.SiLU(), lambda t: t.nn.SiLU()),
    ("leaky_relu", lambda d: nn.LeakyReLU(0.2), lambda t: t.nn.LeakyReLU(0.2)),
    ("softplus", lambda d: nn.Softplus(), lambda t: t.nn.Softplus()),
    ("softmax", lambda d: nn.Softmax(), lambda t: t.nn.Softmax(-1)),
    ("softmax axis 1", lambda d: nn.Softmax(1), lambda t: t.nn.Softmax(1)),
]:
    layer(name, ours, theirs, lambda rng: (4 * rng.standard_normal((3, 4, 2)),))

# -- recurrent layers

for kind, states in ("RNN", 1), ("GRU", 1), ("LSTM", 2):
    for options in (
        {},
        {"num_layers": 2, "bidirectional": True},
        {"num_layers": 2, "bias": False},
        {"bidirectional": True},
    ):
        count = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
        layer(
            f"{kind} {options}",
            lambda d, k=kind, o=options: getattr(nn, k)(3, 2, **o, dtype=d),
            lambda t, k=kind, o=options: getattr(t.nn, k)(3, 2, **o, batch_first=True),
            (2, 4, 3),
            *[(count, 2, 2)] * states,
            call=lambda f, x, *state: f(x, state if len(state) > 1 else state[0]),
            call_theirs=lambda f, x, *state: f(x, state if len(state) > 1 else state[0]),
        )
    layer(
        f"{kind} from zeros",
        lambda d, k=kind: getattr(nn, k)(3, 2, dtype=d),
        lambda t, k=kind: getattr(t.nn, k)(3, 2, batch_first=True),
        (2, 4, 3),
    )

# -- attention. In PyTorch's layers a mask is true where nobody may look.


def looks(rng: np.random.Generator, *shape: int) -> Any:
    """A mask that leaves every query something to look at."""
    return (rng.random(shape) < 0.5) | (np.arange(shape[-2])[:, None] % shape[-1] == np.arange(shape[-1]))


def heads(f: Any, query: Any, key: Any, value: Any, mask: Any = None) -> Any:
    return f(query, key, value, need_weights=False, attn_mask=None if mask is None else ~mask)[0]


def ours_of(options: dict[str, Any]) -> Any:
    return lambda d: nn.MultiHeadAttention(6, 2, **options, dtype=d)


def theirs_of(options: dict[str, Any]) -> Any:
    return lambda t: t.nn.MultiheadAttention(6, 2, **options, batch_first=True)


layer("attention of itself", ours_of({}), theirs_of({}), (2, 4, 6), call_theirs=lambda f, x: heads(f, x, x, x))
layer("attention", ours_of({}), theirs_of({}), (2, 4, 6), (2, 3, 6), (2, 3, 6), call_theirs=heads)
layer(
    "attention, no bias",
    ours_of({"bias": False}),
    theirs_of({"bias": False}),
    (2, 4, 6),
    (2, 3, 6),
    call_theirs=lambda f, x, y: heads(f, x, y, y),
)
layer(
    "attention with a mask",
    ours_of({}),
    theirs_of({}),
    lambda rng: (*[rng.standard_normal((2, n, 6)) for n in (4, 3, 3)], looks(rng, 4, 3)),
    call=lambda f, query, key, value, mask: f(query, key, value, mask=mask),
    call_theirs=heads,
)
layer(
    "attention with a mask for each example",  # as many examples as heads, which PyTorch's are in one axis
    ours_of({}),
    theirs_of({}),
    lambda rng: (*[rng.standard_normal((2, n, 6)) for n in (4, 3, 3)], looks(rng, 2, 4, 3)),
    call=lambda f, query, key, value, mask: f(query, key, value, mask=mask),
    call_theirs=lambda f, query, key, value, mask: heads(f, query, key, value, mask.repeat_interleave(2, 0)),
)
layer(
    "causal attention",
    ours_of({}),
    theirs_of({}),
    (2, 4, 6),
    call=lambda f, x: f(x, causal=True),
    call_theirs=lambda f, x: heads(f, x, x, x, x.new_ones(4, 4).tril() > 0),
)
for options in {}, {"norm_first": False}, {"causal": True}:
    layer(
        f"block {options}",
        lambda d, o=options: nn.TransformerBlock(4, 2, 6, **o, dtype=d),
        lambda t, o=options: t.nn.TransformerEncoderLayer(
            4, 2, 6, 0.0, "gelu", batch_first=True, norm_first=o.get("norm_first", True)
        ),
        (2, 3, 4),
        call_theirs=lambda f, x, o=options: f(x, x.new_ones(3, 3).tril() == 0 if "causal" in o else None),
    )
layer(
    "block with a mask and relu",
    lambda d: nn.TransformerBlock(4, 2, activation=nn.ReLU(), dtype=d),
    lambda t: t.nn.TransformerEncoderLayer(4, 2, 16, 0.0, "relu", batch_first=True, norm_first=True),
    lambda rng: (rng.standard_normal((2, 3, 4)), looks(rng, 3, 3)),
    call_theirs=lambda f, x, mask: f(x, ~mask),
)
for causal in False, True:
    layer(
        f"attention function, causal={causal}",
        lambda d: nn.attention,
        lambda t: t.nn.functional.scaled_dot_product_attention,
        (2, 2, 4, 3),
        (2, 2, 4, 3),
        (2, 2, 4, 2),
        call=lambda f, *xs, c=causal: f(*xs, causal=c),
        call_theirs=lambda f, *xs, c=causal: f(*xs, is_causal=c),
    )
layer(
    "attention function with a mask",
    lambda d: nn.attention,
    lambda t: t.nn.functional.scaled_dot_product_attention,
    lambda rng: (*[rng.standard_normal((2, n, 3)) for n in (4, 5, 5)], looks(rng, 4, 5)),
)

layer(
    "attention function with rows that may look nowhere",
    lambda d: nn.attention,
    lambda t: t.nn.functional.scaled_dot_product_attention,
    lambda rng: (*[rng.standard_normal((2, n, 3)) for n in (4, 5, 5)], np.arange(4)[:, None] > np.arange(5)),
)

# -- losses


def classes(*shape: int, ignored: int | None = None) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    def inputs(rng: np.random.Generator) -> tuple[Any, ...]:
        labels = rng.integers(0, shape[-1], shape[:-1])
        if ignored is not None:
            labels.flat[::3] = ignored
        return 2 * rng.standard_normal(shape), labels

    return inputs


def probabilities(rng: np.random.Generator, *shape: int) -> Any:
    e = np.exp(rng.standard_normal(shape))
    return e / e.sum(axis=-1, keepdims=True)


for options in {}, {"label_smoothing": 0.1}, {"ignore_index": -1}, {"label_smoothing": 0.3, "ignore_index": 2}:
    layer(
        f"cross_entropy {options}",
        lambda d, o=options: lambda x, y: nn.cross_entropy(x, y, **o),
        lambda t, o=options: lambda x, y: t.nn.functional.cross_entropy(x, y, **o),
        classes(7, 4, ignored=options.get("ignore_index")),
    )
layer(
    "cross_entropy of sequences",
    lambda d: nn.cross_entropy,
    lambda t: lambda x, y: t.nn.functional.cross_entropy(x.transpose(1, 2), y),
    classes(2, 3, 4),
)
for smoothing in 0.0, 0.2:
    layer(
        f"cross_entropy with probabilities, {smoothing}",
        lambda d, s=smoothing: lambda x, y: nn.cross_entropy(x, y, label_smoothing=s),
        lambda t, s=smoothing: lambda x, y: t.nn.functional.cross_entropy(x, y, label_smoothing=s),
        lambda rng: (rng.standard_normal((5, 4)), probabilities(rng, 5, 4)),
    )
layer(
    "bce_with_logits",
    lambda d: nn.bce_with_logits,
    lambda t: t.nn.functional.binary_cross_entropy_with_logits,
    lambda rng: (5 * rng.standard_normal((3, 4)), rng.random((3, 4))),
)
for delta in 1.0, 0.3:
    layer(
        f"huber {delta}",
        lambda d, e=delta: lambda x, y: nn.huber(x, y, e),
        lambda t, e=delta: t.nn.HuberLoss(delta=e),
        (4, 3),
        (4, 3),
    )
layer("mae", lambda d: nn.mae, lambda t: t.nn.functional.l1_loss, (4, 3), (4, 3))
layer("mse", lambda d: nn.mse, lambda t: t.nn.functional.mse_loss, (4, 3), (4, 3))
layer(
    "kl_div",
    lambda d: nn.kl_div,
    lambda t: lambda x, y: t.nn.functional.kl_div(x, y, reduction="batchmean"),
    lambda rng: (np.log(probabilities(rng, 5, 4)), probabilities(rng, 5, 4)),
)


# -- running them


def of(dtype: Any, x: Any) -> Any:
    """What was drawn, its floats as `dtype`."""
    return x.astype(dtype) if x.dtype.kind == "f" else x


def pytorch() -> Any:
    """Without threads of its own, which wait for each other longer than these small layers take."""
    import torch

    torch.set_num_threads(1)
    return torch


def flat(outputs: Any) -> list[Any]:
    return [y for part in outputs for y in flat(part)] if isinstance(outputs, tuple) else [outputs]


def reference(name: str, dtype: Any, seed: int = 0) -> Arrays:
    """In PyTorch: inputs `x.i`, parameters `p.name` and state `before.name`, outputs `y.i` times weights `w.i`, the
    gradients `gx.i` and `gp.name` of their sum, and the state `after.name`."""
    torch = pytorch()
    case = CASES[name]
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    theirs = case.theirs(torch)
    found: Arrays = {}
    named, buffers = [], []
    if isinstance(theirs, torch.nn.Module):
        theirs = theirs.to(torch.from_numpy(np.zeros(0, dtype)).dtype).train(case.training)
        named = [*theirs.named_parameters()]
        buffers = [(key, b) for key, b in theirs.named_buffers() if b.ndim]
        with torch.no_grad():
            for _, p in named:
                p.copy_(torch.from_numpy(of(dtype, 0.7 * rng.standard_normal(tuple(p.shape)))))
            for _, b in buffers:
                b.copy_(torch.from_numpy(of(dtype, rng.random(tuple(b.shape)) + 0.5)))
        found |= {f"p.{key}": p.detach().numpy().copy() for key, p in named}
        found |= {f"before.{key}": b.numpy().copy() for key, b in buffers}
    arrays = [of(dtype, np.asarray(x)) for x in case.inputs(rng)]
    found |= {f"x.{i}": x for i, x in enumerate(arrays)}
    xs = [torch.from_numpy(x.copy()).requires_grad_(x.dtype.kind == "f") for x in arrays]
    ys = flat(case.call_theirs(theirs, *xs))
    weights = [of(dtype, np.asarray(rng.standard_normal(tuple(y.shape)))) for y in ys]
    sum((y * torch.from_numpy(w)).sum() for y, w in zip(ys, weights, strict=True)).backward()  # type: ignore[union-attr]
    found |= {f"y.{i}": y.detach().numpy().copy() for i, y in enumerate(ys)}
    found |= {f"w.{i}": w for i, w in enumerate(weights)}
    found |= {f"gx.{i}": x.grad.numpy().copy() for i, x in enumerate(xs) if x.grad is not None}
    found |= {f"gp.{key}": p.grad.numpy().copy() for key, p in named}
    return found | {f"after.{key}": b.numpy().copy() for key, b in buffers}


def pack(path: Path, cases: Mapping[str, Arrays]) -> None:
    """One array of floats, one of integers, and where what is: a file of many small arrays is mostly names."""
    places: dict[str, Any] = {}
    parts: dict[str, list[Any]] = {"f": [np.zeros(0, np.float32)], "i": [np.zeros(0, np.int8)]}
    for case, arrays in cases.items():
        places[case] = {}
        for name, x in arrays.items():
            kind = "f" if x.dtype.kind == "f" else "i"
            places[case][name] = [kind, x.dtype.str, [*x.shape]]
            parts[kind].append(x.ravel().astype(np.float32 if kind == "f" else np.int8))
    index = np.frombuffer(json.dumps(places).encode(), np.uint8)
    np.savez_compressed(path, index=index, **{kind: np.concatenate(list_) for kind, list_ in parts.items()})


def unpack(path: Path) -> dict[str, Arrays]:
    with np.load(path) as file:
        places, parts = json.loads(file["index"].tobytes()), {kind: file[kind] for kind in "fi"}
    at = dict.fromkeys(parts, 0)
    cases: dict[str, Arrays] = {}
    for case, arrays in places.items():
        cases[case] = {}
        for name, (kind, dtype, shape) in arrays.items():
            size = int(np.prod(shape))
            cases[case][name] = parts[kind][at[kind] : at[kind] + size].reshape(shape).astype(dtype)
            at[kind] += size
    return cases


if __name__ == "__main__":
    pack(DATA / "torch_nn.npz", {name: reference(name, np.float32) for name in CASES})
