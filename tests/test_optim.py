"""Optimizers: PyTorch's trajectories, and no write into an array that somebody else holds."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autodiff import OperandError, Value, jit, nn, optim
from autodiff.optim import optimizer as base
from autodiff.optim.checks import nonnegative

ALL: list[Callable[[Any], optim.Optimizer]] = [
    lambda ps: optim.SGD(ps, lr=0.1),
    lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.1),
    lambda ps: optim.Adam(ps, lr=0.1),
    lambda ps: optim.AdamW(ps, lr=0.1),
]
every_optimizer = pytest.mark.parametrize("make", ALL, ids=["SGD", "momentum", "Adam", "AdamW"])
counted = pytest.mark.skipif(not base.COUNTED, reason="this Python's reference counts tell nothing")

# Ten steps on w0 w1 + sum(c w^4) from (1, -1/2, 3/10), lr halved after five, by torch 2.13.0.
TRAJECTORIES: list[tuple[str, dict[str, Any], list[float]]] = [
    ("SGD", {"lr": 0.01}, [1.008359636467439, -0.5340583572679088, 0.24010059204135747]),
    ("SGD", {"lr": 0.01, "momentum": 0.9}, [1.0329560128443809, -0.6112655860761677, 0.11877188381245776]),
    (
        "SGD",
        {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.3},
        [0.9776394551877747, -0.5376014716251268, 0.19935923489768043],
    ),
    ("Adam", {}, [1.0074965850200317, -0.507493195367917, 0.29251711735681457]),
    ("Adam", {"lr": 0.1, "weight_decay": 0.5}, [0.5764364631567971, -0.4171657528581473, -0.1356033258260323]),
    (
        "Adam",
        {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1},
        [1.1842357252067006, -0.6678782521123338, 0.026979225626920168],
    ),
    ("AdamW", {"lr": 0.1}, [1.1488473254935396, -0.6362397029776614, -0.13285910181428087]),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5}, [1.1540265856951972, -0.6405964977157951, -0.1277807475950959]),
]


@pytest.fixture(params=[pytest.param(True, marks=counted), False], ids=["in place", "rebind"])
def in_place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways to write: into the array that the parameter alone holds, or always into a new one."""
    if not request.param:
        monkeypatch.setattr(base, "COUNTED", False)
    return bool(request.param)


def quadratic(*parameters: Value) -> Value:
    return sum(((p * p).sum() for p in parameters), Value(0.0))


@pytest.mark.parametrize("name, options, expected", TRAJECTORIES)
def test_the_trajectory_is_that_of_torch(
    name: str, options: dict[str, Any], expected: list[float], in_place: bool
) -> None:
    w, c = Value([1.0, -0.5, 0.3]), np.array([0.1, 1.0, 10.0])
    optimizer = getattr(optim, name)([w], **options)
    for step in range(10):
        if step == 5:
            optimizer.lr /= 2
        optimizer.zero_grad()
        ((w**4 * c).sum() + w[0] * w[1]).backward()
        optimizer.step()
    np.testing.assert_allclose(w.data, expected, rtol=1e-13)


@every_optimizer
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (5, 7), (3, base.BLOCK // 2)], ids=str)
def test_any_shape_is_updated_element_by_element(make: Any, shape: Any, in_place: bool, rng: Any) -> None:
    start = rng.standard_normal(shape)
    whole, elements = Value(start), [Value(x) for x in np.ravel(start)[:7]]
    for parameters in ([whole], elements):
        if parameters:
            optimizer = make(parameters)
            for _ in range(3):
                optimizer.zero_grad()
                quadratic(*parameters).backward()
                optimizer.step()
    assert whole.shape == shape
    np.testing.assert_allclose(np.ravel(whole.data)[:7], [e.item() for e in elements], rtol=1e-14)


@every_optimizer
def test_float32_stays_float32(make: Any, in_place: bool) -> None:
    w, scalar = Value(np.ones((3, 4), np.float32)), Value(np.float32(1))
    optimizer = make([w, scalar])
    optimizer.lr = np.float64(0.1)  # as a schedule written with NumPy gives it
    for _ in range(2):
        quadratic(w, scalar).backward()
        optimizer.step()
    assert w.dtype == scalar.dtype == np.float32
    assert all(array.dtype == np.float32 for arrays in optimizer.state for array in arrays)


@every_optimizer
def test_complex_parameters_are_two_real_ones(make: Any, in_place: bool, rng: Any) -> None:
    parts = rng.standard_normal((2, 3))
    z, x, y = Value(parts[0] + 1j * parts[1]), Value(parts[0]), Value(parts[1])
    optimizer = make([z, x, y])
    for _ in range(3):
        optimizer.zero_grad()
        ((abs(z) ** 4).sum() + ((x * x + y * y) ** 2).sum()).backward()
        optimizer.step()
    np.testing.assert_allclose(z.data, x.data + 1j * y.data, rtol=1e-12)


@every_optimizer
def test_layouts_other_than_rows(make: Any, rng: Any) -> None:
    start = rng.standard_normal((4, 6))
    plain, columns, view = Value(start), Value(start), Value(start)
    columns.data = np.asfortranarray(start)
    backing = np.zeros((8, 12))
    view.data = backing[::2, ::2]
    backing[::2, ::2] = start
    optimizer = make([plain, columns, view])
    for _ in range(3):
        optimizer.zero_grad()
        quadratic(plain, columns, view).backward()
        view.grad = np.asfortranarray(view.grad)
        optimizer.step()
    np.testing.assert_array_equal(plain.data, columns.data)
    np.testing.assert_array_equal(plain.data, view.data)
    np.testing.assert_array_equal(backing[::2, ::2], start)


# -- safety


@every_optimizer
def test_a_kept_graph_still_gives_the_old_gradients(make: Any, in_place: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Tanh(), nn.Linear(4, 2, rng=1))
    scale = Value(2.0)
    optimizer = make([*model.parameters(), scale])
    loss = (model(np.ones((5, 3))) * scale).sum()
    loss.backward(retain_graph=True)
    first = [p.grad.copy() for p in optimizer.params]
    for _ in range(3):
        optimizer.step()
    optimizer.zero_grad()
    loss.backward()
    for p, g in zip(optimizer.params, first, strict=True):
        np.testing.assert_array_equal(p.grad, g)


HOLDERS: list[tuple[str, Callable[[Value], Any]]] = [
    ("data", lambda w: w.data),
    ("slice", lambda w: w.data[1:]),
    ("memoryview", lambda w: memoryview(w.data)),
    ("detach", lambda w: w.detach()),
    ("reshaped", lambda w: w.reshape(2, 2)),
    ("transposed", lambda w: w.detach().T),
    ("shared", lambda w: Value(w.data, copy=False)),
    ("residual", lambda w: w * w),
    ("generator", lambda w: iter(w.data)),
    ("closure", lambda w: (lambda held: lambda: held)(w.data)),
]


@every_optimizer
@pytest.mark.parametrize("hold", [hold for _, hold in HOLDERS], ids=[name for name, _ in HOLDERS])
def test_an_array_that_somebody_holds_is_not_written(make: Any, hold: Any, in_place: bool) -> None:
    w = Value(np.arange(4.0))
    address = w.data.ctypes.data
    held = hold(w)
    w.grad = np.ones(4)
    make([w]).step()
    assert w.data.ctypes.data != address
    del held


@every_optimizer
def test_what_was_handed_out_keeps_its_numbers(make: Any, in_place: bool) -> None:
    w = Value(np.arange(4.0))
    data, view, detached = w.data, w.data[::2], w.detach()
    w.grad = np.ones(4)
    make([w]).step()
    assert data.tolist() == [0, 1, 2, 3] and view.tolist() == [0, 2] and detached.tolist() == [0, 1, 2, 3]
    assert (w.data < data).all()


@every_optimizer
def test_an_array_used_as_a_constant_is_not_written(make: Any, in_place: bool) -> None:
    w, x = Value(np.ones(100_000)), Value(2.0)  # large enough to be kept by reference
    loss = (x * w.data).sum()
    w.grad = np.ones_like(w.data)
    make([w]).step()
    loss.backward()
    assert x.grad == 100_000


@counted
@every_optimizer
def test_an_array_that_nobody_holds_is_written_in_place(make: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.ReLU(), nn.Linear(4, 2, rng=1))
    optimizer = make(model.parameters())
    before = [p.data.ctypes.data for p in optimizer.params]
    for _ in range(50):  # often enough for the interpreter to specialise its instructions
        optimizer.zero_grad()
        loss = model(np.ones((5, 3))).sum()  # its graph, walked and freed, is still there at step()
        loss.backward()
        optimizer.step()
    assert [p.data.ctypes.data for p in optimizer.params] == before


@counted
def test_the_count_of_references_is_calibrated() -> None:
    for _ in range(100):
        w = Value(np.ones(3))
        assert base.is_alone(w)
        held = w.data
        assert not base.is_alone(w)
        del held
        assert base.is_alone(w)
    assert not base.is_alone(Value(1.0))
    locked = Value(np.ones(3))
    locked.data.flags.writeable = False
    assert not base.is_alone(locked)


@every_optimizer
def test_gradients_are_not_written(make: Any, in_place: bool) -> None:
    w = Value(np.arange(4.0))
    w.grad = np.ones(4)
    g = w.grad
    for _ in range(3):
        make([w]).step()
    assert w.grad is g and g.tolist() == [1, 1, 1, 1]


# -- what counts as a parameter


@every_optimizer
def test_parameters_without_a_gradient_are_left_alone(make: Any) -> None:
    used, unused = Value([1.0, 2.0]), Value([1.0, 2.0])
    optimizer = make([used, unused])
    quadratic(used).backward()
    optimizer.step()
    assert unused.data.tolist() == [1, 2] and unused.grad is None
    assert used.data.tolist() != [1, 2]
    optimizer.zero_grad()
    assert used.grad is None
    assert optimizer.steps == [1, 0]


@every_optimizer
def test_a_gradient_may_be_a_value(make: Any, in_place: bool) -> None:
    plain, lifted = Value([1.0, 2.0]), Value([1.0, 2.0])
    quadratic(plain).backward()
    quadratic(lifted).backward(create_graph=True)
    assert isinstance(lifted.grad, Value)
    make([plain]).step()
    make([lifted]).step()
    np.testing.assert_array_equal(plain.data, lifted.data)


def test_a_generator_of_parameters_and_a_repeated_one() -> None:
    w = Value(1.0)
    optimizer = optim.SGD((p for p in [w, w]), lr=0.25)
    assert len(optimizer.params) == 1
    quadratic(w).backward()
    optimizer.step()
    assert w.item() == 0.5


@every_optimizer
@pytest.mark.parametrize(
    "params, error, message",
    [
        ([], ValueError, "empty"),
        (Value([1.0]), OperandError, "single Value"),
        (None, OperandError, "NoneType"),
        (nn.Linear(1, 1), OperandError, r"model\.parameters\(\)"),
        ([np.ones(3)], OperandError, r"params\[0\] is a ndarray"),
        ([Value(1.0), "w"], OperandError, r"params\[1\] is a str"),
        ([Value(1.0, requires_grad=False)], OperandError, "untracked"),
        ([Value(1.0) * 2], OperandError, "computed"),
    ],
    ids=["empty", "Value", "None", "Module", "array", "str", "untracked", "computed"],
)
def test_wrong_parameters_are_refused(make: Any, params: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make(params)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda ps: optim.SGD(ps, lr=-1), "SGD: lr is -1"),
        (lambda ps: optim.SGD(ps, lr=float("nan")), "SGD: lr is nan"),
        (lambda ps: optim.SGD(ps, lr=1, momentum=-1), "SGD: momentum"),
        (lambda ps: optim.SGD(ps, lr=1, weight_decay=-1), "SGD: weight_decay"),
        (lambda ps: optim.Adam(ps, lr=-1), "Adam: lr"),
        (lambda ps: optim.Adam(ps, betas=(0.9, 1.0)), "Adam: betas"),
        (lambda ps: optim.Adam(ps, betas=(-0.1, 0.9)), r"Adam: betas\[0\]"),
        (lambda ps: optim.AdamW(ps, eps=-1), "AdamW: eps"),
        (lambda ps: optim.AdamW(ps, weight_decay=-1), "AdamW: weight_decay"),
    ],
)
def test_wrong_numbers_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make([Value(1.0)])


def test_a_new_optimizer_needs_only_its_update() -> None:
    class SignDescent(optim.Optimizer):
        def _update(self, t: int, p: Any, g: Any, *averages: Any) -> None:
            p -= self.lr * np.sign(g)

    for lr in 1.0, optim.piecewise(1.0, [5]):  # a number within, also if it is a schedule
        w = Value([3.0, -3.0])
        quadratic(w).backward()
        SignDescent([w], lr=lr).step()
        assert w.data.tolist() == [2.0, -2.0]
    with pytest.raises(NotImplementedError, match="Optimizer needs a method _update"):
        optim.Optimizer([w], lr=1.0).step()


def test_a_new_optimizer_may_have_options_of_any_name() -> None:
    class Damped(optim.Optimizer):
        checks = {"damping": nonnegative}
        alpha: float

        def __init__(self, params: Any, lr: Any, alpha: float, damping: Any = 0.0) -> None:
            super().__init__(params, lr, alpha=alpha, damping=damping)

        def _update(self, t: int, p: Any, g: Any, *averages: Any) -> None:
            p -= self.lr * self.alpha * g

    v, w = Value([1.0]), Value([1.0])
    optimizer = Damped([{"params": [v]}, {"params": [w], "alpha": 3.0}], lr=0.1, alpha=2.0)
    v.grad = w.grad = np.ones(1)
    optimizer.step()
    np.testing.assert_allclose([v.item(), w.item()], [0.8, 0.7])
    with pytest.raises(ValueError, match="Damped: damping is -1"):
        Damped([w], 0.1, 2.0, damping=-1)
    with pytest.raises(ValueError, match="Damped: group 0: damping is -1"):
        Damped([{"params": [w], "damping": -1}], 0.1, 2.0)


EVERY: list[Callable[[Any, Any], optim.Optimizer]] = [
    lambda ps, lr: optim.SGD(ps, lr, momentum=0.9),
    lambda ps, lr: optim.Adam(ps, lr, weight_decay=0.1),
    lambda ps, lr: optim.AdamW(ps, lr),
    lambda ps, lr: optim.RMSprop(ps, lr),
    lambda ps, lr: optim.Adagrad(ps, lr),
    lambda ps, lr: optim.Lion(ps, lr, weight_decay=0.1),
]


@pytest.mark.parametrize("make", EVERY, ids=["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Lion"])
def test_a_schedule_is_asked_once_a_group_and_step(make: Any) -> None:
    asked: list[tuple[str, int]] = []

    def schedule(name: str) -> Any:
        return lambda step: asked.append((name, step)) or np.float64(0.1 / (1 + step))

    start = np.linspace(-1, 1, 2 * base.BLOCK + 5)
    a, b, c, d = [Value(start) for _ in range(4)]
    scheduled = make([{"params": [a, b]}, {"params": [c], "lr": schedule("c")}], schedule("usual"))
    by_hand = make([d], 0.1)
    for step in range(2):
        for p in (a, b, c, d):
            p.grad = p.data**3
        scheduled.step()
        by_hand.lr = 0.1 / (1 + step)
        by_hand.step()
    assert asked == [("usual", 0), ("c", 0), ("usual", 1), ("c", 1)]
    for p in (a, b, c):
        np.testing.assert_array_equal(p.data, d.data)
    assert callable(scheduled.lr) and scheduled.rate == 0.1 / 3


def test_the_rate_is_the_schedule_again_after_a_step_that_fails() -> None:
    class Failing(optim.SGD):
        def _update(self, t: int, p: Any, g: Any, *averages: Any) -> None:
            assert self.lr == 0.1
            raise RuntimeError("in between")

    w = Value([1.0, 2.0])
    w.grad = np.ones(2)
    schedule = optim.constant(0.1)
    optimizer = Failing([w], schedule)
    with pytest.raises(RuntimeError, match="in between"):
        optimizer.step()
    assert optimizer.lr is schedule


def test_what_pytorch_has_in_other_places_is_named() -> None:
    w = Value([1.0])
    calls: list[Any] = [
        lambda: optim.SGD([w], 0.1, 0.9, 0.1),  # dampening there
        lambda: optim.Adagrad([w], 0.1, 0.1),  # lr_decay
        lambda: optim.LBFGS([w], 1),  # lr
    ]
    for call in calls:
        with pytest.raises(TypeError, match="positional arguments"):
            call()
    assert optim.SGD([w]).lr == 1e-3


def test_the_repr_shows_the_options() -> None:
    assert (
        repr(optim.SGD([Value(1.0)], lr=0.1))
        == "SGD(lr=0.1, momentum=0.0, weight_decay=0.0, nesterov=False, parameters=1)"
    )


def test_parameters_and_state_are_freed_without_the_collector() -> None:
    import weakref

    gc.disable()
    try:
        w = Value(np.ones(3))
        optimizer = optim.Adam([w])
        quadratic(w).backward()
        optimizer.step()
        gone = weakref.ref(w)
        del w, optimizer
        assert gone() is None
    finally:
        gc.enable()


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q"]))


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
def test_a_compiled_step_is_as_long_for_large_parameters(kind: type) -> None:
    """Blocks, which keep NumPy's temporaries in the cache, are for steps that are not compiled."""
    counts = []
    for size in (10, 200_000):  # more than a block
        w = Value(np.ones(size))
        w.grad = np.ones(size)
        optimizer = kind([w], 0.1)
        step = jit(optimizer.step, strict=True)
        for _ in range(2):
            step()
        (line,) = [line for line in step.explain().splitlines() if line.startswith("program")]
        counts.append(line.split(" operations")[0])
    assert counts[0] == counts[1]


def test_a_compiled_step_makes_new_averages() -> None:
    """Copying them into the old ones takes longer than the step. Not compiled they stay where they are."""
    w = Value(np.ones(10))
    w.grad = np.ones(10)
    optimizer = optim.Adam([w], 0.1)
    for _ in range(2):
        optimizer.step()
    mean = optimizer.state[0][0]
    optimizer.step()
    assert optimizer.state[0][0] is mean
    step, states = jit(optimizer.step, strict=True), []
    for _ in range(4):
        step()
        states.append(optimizer.state[0][0])
    assert len({id(x) for x in states}) == 4 and step.cache_info().hits == 2
    np.testing.assert_allclose(states[-1], 1 - 0.9**7, rtol=1e-12)
