"""Optimizers and schedules that PyTorch has too, each as it is made here and there, on one small problem.

`reference` runs one in PyTorch; `python tests/torch_optimizers.py` stores what it gives in data/torch_optim.npz, so
that tests/test_optim_torch.py can compare without PyTorch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from autodiff import optim
from tests.torch_cases import DATA, Arrays, pack, pytorch

STEPS = 20
KEPT = (1, 2, 10, 20)  # after so many steps the parameters are compared


class Case(NamedTuple):
    ours: Callable[..., Any]  # of the weights and the biases
    theirs: Callable[..., Any]  # of torch.optim, the weights and the biases; with a scheduler, a pair
    clip: float | None = None
    clip_value: float | None = None
    frozen: bool = False  # the biases for the first half
    missing: bool = False  # the second weights have a gradient at every third step only


CASES: dict[str, Case] = {}

for name, options in [
    ("SGD", {"lr": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.2}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5, "betas": (0.5, 0.9)}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.7}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.2, "weight_decay": 0.1, "eps": 1e-3}),
]:
    CASES[f"{name} {options}"] = Case(
        lambda ws, bs, n=name, o=options: getattr(optim, n)([*ws, *bs], **o),
        lambda t, ws, bs, n=name, o=options: getattr(t, n)([*ws, *bs], **o),
    )
for name, options in [
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("Adam", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05}),
    ("RMSprop", {"lr": 0.02}),
    ("Adagrad", {"lr": 0.1}),
]:
    CASES[f"{name}, groups"] = Case(
        lambda ws, bs, n=name, o=options: getattr(optim, n)(
            [{"params": ws, "weight_decay": 0.3}, {"params": bs, "weight_decay": 0.0, "lr": 0.01}], **o
        ),
        lambda t, ws, bs, n=name, o=options: getattr(t, n)(
            [{"params": ws, "weight_decay": 0.3}, {"params": bs, "weight_decay": 0.0, "lr": 0.01}], **o
        ),
    )
CASES["SGD, groups with and without momentum"] = Case(
    lambda ws, bs: optim.SGD([{"params": ws, "momentum": 0.9, "nesterov": True}, {"params": bs}], lr=0.1),
    lambda t, ws, bs: t.SGD([{"params": ws, "momentum": 0.9, "nesterov": True}, {"params": bs}], lr=0.1),
)
CASES["Adam, groups with other betas"] = Case(
    lambda ws, bs: optim.Adam([{"params": ws, "betas": (0.5, 0.6), "eps": 0.1}, {"params": bs}], lr=0.1),
    lambda t, ws, bs: t.Adam([{"params": ws, "betas": (0.5, 0.6), "eps": 0.1}, {"params": bs}], lr=0.1),
)
CASES["RMSprop, groups with schedules"] = Case(
    lambda ws, bs: optim.RMSprop(
        [{"params": ws}, {"params": bs, "lr": optim.exponential(0.05, 0.8), "momentum": 0.5}],
        lr=optim.linear(0.02, 10, end=0.01),
    ),
    lambda t, ws, bs: (
        o := t.RMSprop([{"params": ws, "lr": 0.02}, {"params": bs, "lr": 0.05, "momentum": 0.5}]),
        t.lr_scheduler.LambdaLR(o, [lambda step: 1 - 0.05 * min(step, 10), lambda step: 0.8**step]),
    ),
)
for clip in 0.01, 0.3, 100.0, float("inf"):
    CASES[f"SGD, norm at most {clip}"] = Case(
        lambda ws, bs: optim.SGD([*ws, *bs], lr=0.5), lambda t, ws, bs: t.SGD([*ws, *bs], lr=0.5), clip=clip
    )
CASES["Adam, values at most 0.05"] = Case(
    lambda ws, bs: optim.Adam([*ws, *bs], lr=0.1), lambda t, ws, bs: t.Adam([*ws, *bs], lr=0.1), clip_value=0.05
)
for name in "SGD", "AdamW", "RMSprop", "Adagrad":
    more = {"lr": 0.01 if name == "RMSprop" else 0.05} | ({"momentum": 0.9} if name in ("SGD", "RMSprop") else {})
    for what in "frozen", "missing":
        CASES[f"{name}, {what}"] = Case(
            lambda ws, bs, n=name, o=more: getattr(optim, n)([*ws, *bs], **o),
            lambda t, ws, bs, n=name, o=more: getattr(t, n)([*ws, *bs], **o),
            **{what: True},  # type: ignore[arg-type]
        )


def scheduled(name: str, schedule: Any, scheduler: Any) -> None:
    CASES[f"schedule: {name}"] = Case(
        lambda ws, bs: optim.AdamW([*ws, *bs], lr=schedule),
        lambda t, ws, bs: (o := t.AdamW([*ws, *bs], lr=0.1), scheduler(t.lr_scheduler, o)),
    )


scheduled("constant", optim.constant(0.1), lambda s, o: s.ConstantLR(o, factor=1.0))
scheduled(
    "constant, warm-up",
    optim.constant(0.1, warmup=5),
    lambda s, o: s.LinearLR(o, start_factor=1 / 5, end_factor=1.0, total_iters=4),
)
scheduled(
    "linear",
    optim.linear(0.1, 15, end=0.02),
    lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.2, total_iters=15),
)
scheduled("cosine", optim.cosine(0.1, 20, end=0.01), lambda s, o: s.CosineAnnealingLR(o, T_max=20, eta_min=0.01))
scheduled("exponential", optim.exponential(0.1, 0.8), lambda s, o: s.ExponentialLR(o, 0.8))
scheduled("piecewise", optim.piecewise(0.1, [4, 9], 0.3), lambda s, o: s.MultiStepLR(o, [4, 9], 0.3))
scheduled(
    "one cycle",  # PyTorch counts to the last step, and is highest one step before its part of them
    optim.one_cycle(0.1, 19, warmup=5 / 19),
    lambda s, o: s.OneCycleLR(o, 0.1, total_steps=20, pct_start=0.3, cycle_momentum=False),
)


def problem(dtype: Any, seed: int = 0) -> Arrays:
    """Inputs and targets, two layers' weights, and their biases, one of them a number."""
    rng = np.random.default_rng(seed)
    shapes = {"x": (8, 5), "y": (8, 3), "w.0": (5, 4), "w.1": (4, 3), "b.0": (4,), "b.1": ()}
    return {name: np.asarray(rng.standard_normal(shape), dtype) for name, shape in shapes.items()}


def loss_of(x: Any, y: Any, w0: Any, w1: Any, b0: Any, b1: Any, tanh: Any) -> Any:
    error = tanh(x @ w0 + b0) @ w1 + b1 - y
    return (error * error).mean()


def reference(name: str, dtype: Any, seed: int = 0) -> Arrays:
    """In PyTorch: the losses and norms of gradients at all steps, and parameters after some."""
    torch = pytorch()
    case = CASES[name]
    x, y, *start = [torch.from_numpy(a.copy()) for a in problem(dtype, seed).values()]
    params = [p.requires_grad_() for p in start]
    made = case.theirs(torch.optim, params[:2], params[2:])
    optimizer, scheduler = made if isinstance(made, tuple) else (made, None)
    found: Arrays = {}
    losses, norms = [], []
    for step in range(STEPS):
        for p in params[2:]:
            p.requires_grad_(not case.frozen or step >= STEPS // 2)
        optimizer.zero_grad()
        loss = loss_of(x, y, *params, torch.tanh)
        loss.backward()
        if case.missing and step % 3:
            params[1].grad = None
        norms.append(float(torch.nn.utils.clip_grad_norm_(params, float("inf") if case.clip is None else case.clip)))
        if case.clip_value is not None:
            torch.nn.utils.clip_grad_value_(params, case.clip_value)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(float(loss.detach()))
        if step + 1 in KEPT:
            found |= {f"p.{step + 1}.{i}": p.detach().numpy().copy() for i, p in enumerate(params)}
    return {"losses": np.array(losses, dtype), "norms": np.array(norms, dtype)} | found


if __name__ == "__main__":
    pack(DATA / "torch_optim.npz", {name: reference(name, np.float32) for name in CASES})
