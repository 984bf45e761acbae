"""fit and what belongs to it: it trains, stops, logs, draws, and goes on after an interruption to the same bits."""

from __future__ import annotations

import csv
import json
import math
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import autodiff as ad
from autodiff import nn, optim
from autodiff.training import History

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 4))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
TRAIN, HELD_OUT = (X[:120], Y[:120]), (X[120:], Y[120:])

both = pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])


def accuracy(outputs: Any, targets: Any) -> Any:
    return (outputs.argmax(-1) == targets).mean()


def model_of(dropout: float = 0.1) -> nn.Sequential:
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Linear(4, 16, rng=rng), nn.BatchNorm(16), nn.Tanh(), nn.Dropout(dropout, rng=rng), nn.Linear(16, 2, rng=rng)
    )


def train(epochs: int, jit: bool = False, path: Path | None = None, data: Any = None, **options: Any) -> Any:
    model = model_of()
    optimizer = optim.AdamW(model.parameters(), lr=optim.cosine(5e-2, 200, warmup=5))
    options = {"validation": HELD_OUT, "metrics": {"accuracy": accuracy}, "clip": 1.0, **options}
    data = ad.batches(*TRAIN, size=32, rng=3) if data is None else data
    ema = optim.EMA(model.parameters(), 0.9)
    history = ad.fit(
        model,
        data,
        nn.cross_entropy,
        optimizer,
        epochs=epochs,
        ema=ema,
        checkpoint=path,
        progress=False,
        jit=jit,
        **options,
    )
    return model, history


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# -- batches


def test_an_epoch_has_every_row_once() -> None:
    data = ad.batches(np.arange(10), np.arange(10) * 2.0, size=4, rng=0)
    orders = []
    for _ in range(2):
        xs, ys = (np.concatenate(parts) for parts in zip(*data, strict=True))
        assert sorted(xs) == [*range(10)] and (ys == xs * 2).all()
        orders.append([*xs])
    assert orders[0] != orders[1]
    assert len(data) == 3 and [len(x) for x, _ in data] == [4, 4, 2]
    assert [len(x) for (x,) in ad.batches(np.arange(10), size=4, drop_last=True)] == [4, 4]
    assert [x.tolist() for (x,) in ad.batches(np.arange(3), size=2, shuffle=False)] == [[0, 1], [2]]


def test_a_transform_may_augment() -> None:
    data = ad.batches(np.zeros((4, 2)), np.arange(4), size=2, rng=0, transform=lambda rng, x, y: (x + rng.random(), y))
    assert all((x > 0).all() for x, _ in data)


class Column:
    """As a pandas Series: in brackets are labels, in iloc places."""

    def __init__(self, values: Any, labels: Any) -> None:
        self.values, self.labels, self.iloc, self.shape = values, [*labels], values, values.shape

    def __getitem__(self, labels: Any) -> Any:
        return self.values[[self.labels.index(label) for label in labels]]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values


def test_rows_of_pandas_are_taken_by_their_places() -> None:
    column = Column(np.arange(6) * 10, [5, 4, 3, 2, 1, 0])
    for x, y in ad.batches(np.arange(6), column, size=4, rng=0):
        assert (y == 10 * x).all()
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": np.arange(6), "b": np.arange(6)}, index=[5, 4, 3, 2, 1, 0])
    for x, y in ad.batches(table, table["a"], size=4, rng=0):
        assert (x[:, 1] == y).all()


@pytest.mark.parametrize(
    "arrays, options, message",
    [
        ((), {}, "at least one array"),
        ((np.ones(3), np.ones(4)), {}, r"arrays of \[3, 4\] rows"),
        ((np.ones(0),), {}, r"arrays of \[0\] rows"),
        ((np.float64(1),), {}, r"arrays of \[0\] rows"),
        ((np.ones(3),), {"size": 0}, "size is 0"),
        ((np.ones(3),), {"size": 4, "drop_last": True}, "size is 4"),
    ],
)
def test_batches_refuse(arrays: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ad.batches(*arrays, **options)


# -- fit


@both
def test_fit_trains_and_measures(jit: bool) -> None:
    model, history = train(30, jit)
    assert history.names() == ["epoch", "loss", "validation loss", "accuracy", "learning rate", "seconds"]
    assert history["loss"][-1] < 0.6 * history["loss"][0] and len(history) == 30
    assert history["accuracy"][-1] > 0.8
    assert not history.interrupted and all(part.training for part in model.modules())


@both
def test_evaluate_is_the_mean_over_all_rows(jit: bool) -> None:
    model = model_of()
    model.eval()
    found = ad.evaluate(model, HELD_OUT, nn.cross_entropy, {"accuracy": accuracy}, batch_size=7)
    outputs = model(HELD_OUT[0]).data
    assert found["accuracy"] == pytest.approx((outputs.argmax(-1) == HELD_OUT[1]).mean())
    assert found["loss"] == pytest.approx(float(nn.cross_entropy(outputs, HELD_OUT[1])))


def test_the_loop_by_hand_is_the_same() -> None:
    model, _ = train(3)
    other = model_of()
    optimizer = optim.AdamW(other.parameters(), lr=optim.cosine(5e-2, 200, warmup=5))
    data = ad.batches(*TRAIN, size=32, rng=3)
    for _ in range(3):
        for x, y in data:
            loss = nn.cross_entropy(other(x), y)
            optimizer.zero_grad()
            loss.backward()
            optim.clip_grad_norm(other.parameters(), 1.0)
            optimizer.step()
    assert same(model, other)


def test_data_may_be_a_function_that_yields() -> None:
    def epoch() -> Any:
        for i in range(0, 120, 40):
            yield X[i : i + 40], Y[i : i + 40]

    _, history = train(4, data=epoch)
    assert history["loss"][-1] < history["loss"][0]
    _, history = train(2, data=[*epoch()])
    assert len(history) == 2


def test_several_inputs_go_to_the_model() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Linear(4, 1, rng=0)

        def forward(self, a: Any, b: Any) -> Any:
            return self.inner(a + b)

    history = ad.fit(Sum(), (X, X, X[:, :1]), nn.mse, epochs=3, progress=False)
    assert history["loss"][-1] < history["loss"][0]


def test_labels_may_be_in_a_list() -> None:
    histories = [
        ad.fit(model_of(), data, nn.cross_entropy, epochs=2, validation=data, progress=False, rng=0)["validation loss"]
        for data in (TRAIN, (TRAIN[0], [*map(int, TRAIN[1])]), (TRAIN[0].tolist(), TRAIN[1]))
    ]
    assert histories[0] == histories[1] == histories[2]


def test_batches_of_evaluation_may_be_smaller() -> None:
    sizes = []

    def loss(outputs: Any, targets: Any) -> Any:
        sizes.append(len(targets))
        return nn.cross_entropy(outputs, targets)

    data: Any = {"validation": HELD_OUT, "validation_batch_size": 20, "progress": False, "jit": False}
    ad.fit(model_of(), TRAIN, loss, epochs=1, batch_size=60, **data)
    assert sizes == [60, 60, 20, 10]


@both
def test_the_gradient_is_clipped_over_what_the_optimizer_moves(jit: bool) -> None:
    """Gradients of the rest of the model would add up from step to step, and the others shrink with the norm."""
    weights = []
    for fitted in (True, False):
        model = model_of(0.0)
        optimizer = optim.SGD([model[4].weight, model[4].bias], lr=0.1)
        data = ad.batches(*TRAIN, size=32, rng=0)
        if fitted:
            ad.fit(model, data, nn.cross_entropy, optimizer, epochs=3, clip=0.1, progress=False, jit=jit)
        for x, y in () if fitted else (batch for _ in range(3) for batch in data):
            model.zero_grad()
            nn.cross_entropy(model(x), y).backward()
            optim.clip_grad_norm(optimizer.params, 0.1)
            optimizer.step()
        weights.append((model[4].weight.data, model[0].weight.grad))
    for fitted_array, array in zip(*weights, strict=True):
        np.testing.assert_allclose(fitted_array, array, rtol=1e-10)


@both
def test_frozen_parts_stay_in_evaluation(jit: bool) -> None:
    model = model_of()
    model[1].eval()
    ad.fit(model, TRAIN, nn.cross_entropy, epochs=2, validation=HELD_OUT, progress=False, jit=jit, rng=0)
    assert (model[1].running_mean.data == 0).all() and not model[1].training and model[3].training
    model.eval()  # as for predictions, before another training
    ad.fit(model, TRAIN, nn.cross_entropy, epochs=1, progress=False, jit=jit, rng=0)
    assert (model[1].running_mean.data != 0).any() and not any(part.training for part in model.modules())


@both
def test_a_step_that_is_recorded_leaves_nothing_behind(jit: bool) -> None:
    """Programs are made before the steps that count."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            self.inner, self.calls = nn.Linear(4, 2, rng=0), 0

        def forward(self, x: Any) -> Any:
            self.calls += self.training
            return self.inner(x)

    rng, model, drawn = np.random.default_rng(7), Counting(), np.random.default_rng(7)

    def loss(outputs: Any, targets: Any) -> Any:
        return nn.cross_entropy(outputs + 0.1 * rng.normal(size=outputs.shape), targets)

    ad.fit(model, TRAIN, loss, epochs=2, batch_size=40, progress=False, jit=jit, rng=0)
    for _ in range(6):
        drawn.normal(size=(40, 2))
    assert model.calls == 6 and rng.bit_generator.state == drawn.bit_generator.state


class Making(nn.Module):
    """Its first step makes attributes: one that stays, and one that is another array after each step."""

    def __init__(self) -> None:
        self.inner, self.sizes = nn.Linear(4, 2, rng=0), dict[int, Any]()

    def forward(self, x: Any) -> Any:
        if len(x) not in self.sizes:
            self.sizes[len(x)] = np.ones((len(x), 1))
        y = self.inner(x * self.sizes[len(x)])
        self.last = ad.stop_gradient(y)
        return y


def test_what_the_first_step_makes_does_not_hinder_a_program(recwarn: pytest.WarningsRecorder) -> None:
    models = []
    for jit in (False, True):
        model = Making()
        ad.fit(model, TRAIN, nn.cross_entropy, epochs=2, batch_size=50, progress=False, jit=jit, rng=0)
        models.append(model)
    assert not [*recwarn]  # jit warns where there is no program
    assert same(*models) or np.allclose(models[0].inner.weight.data, models[1].inner.weight.data, rtol=1e-12)
    assert [*models[0].sizes] == [*models[1].sizes] == [50, 20] and models[1].last.shape == (20, 2)


@pytest.mark.filterwarnings("ignore::autodiff.errors.JitWarning")
@both
def test_what_grows_is_put_back_also_if_it_was_not_there(jit: bool) -> None:
    class Growing(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Linear(4, 2, rng=0)

        def forward(self, x: Any) -> Any:
            vars(self).setdefault("seen", []).append(len(x))
            self.calls = getattr(self, "calls", 0) + 1
            return self.inner(x)

    model = Growing()
    ad.fit(model, TRAIN, nn.cross_entropy, epochs=2, batch_size=60, progress=False, jit=jit, rng=0)
    assert vars(model)["seen"] == [60] * 4 and model.calls == 4


@pytest.mark.filterwarnings("ignore::autodiff.errors.JitWarning")
@both
def test_a_metric_may_collect(jit: bool) -> None:
    seen: list[int] = []

    def collect(outputs: Any, targets: Any) -> float:
        seen.append(len(targets))
        return 0.0

    metrics = {"none": collect}
    ad.fit(model_of(), TRAIN, nn.cross_entropy, epochs=3, validation=HELD_OUT, metrics=metrics, progress=False, jit=jit)
    assert seen == [30, 30, 30]


def test_the_learning_rate_is_recorded() -> None:
    rate = optim.cosine(0.1, 10)
    model = model_of()
    optimizer = optim.SGD(model.parameters(), lr=rate)
    history = ad.fit(model, TRAIN, nn.cross_entropy, optimizer, epochs=2, batch_size=40, progress=False)
    assert history["learning rate"] == [rate(2), rate(5)]
    history = ad.fit(model, TRAIN, nn.cross_entropy, optim.SGD(model.parameters(), lr=0.5), epochs=1, progress=False)
    assert history["learning rate"] == [0.5]


def test_patience_stops_and_takes_the_best_weights() -> None:
    model = model_of(0.0)
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    history = ad.fit(
        model, TRAIN, nn.cross_entropy, optimizer, epochs=500, validation=HELD_OUT, patience=5, progress=False, rng=0
    )
    best = history.best("validation loss")
    assert len(history) < 500 and best["epoch"] == len(history) - 5
    assert ad.evaluate(model, HELD_OUT, nn.cross_entropy)["loss"] == pytest.approx(best["validation loss"], rel=1e-6)


# -- interruptions


@both
def test_training_goes_on_after_an_epoch_to_the_same_bits(jit: bool, tmp_path: Path) -> None:
    whole, history = train(5, jit)
    train(2, jit, tmp_path / "run")
    resumed, later = train(5, jit, tmp_path / "run")
    assert same(whole, resumed)
    without = [{name: x for name, x in epoch.items() if name != "seconds"} for epoch in history.epochs]
    assert without == [{name: x for name, x in epoch.items() if name != "seconds"} for epoch in later.epochs]


class Stop:
    """Sends what Ctrl-C sends, in the middle of an epoch: as one of its batches is made."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def __call__(self, rng: Any, x: Any, y: Any) -> Any:
        self.count += 1
        if self.count == self.at:
            signal.raise_signal(signal.SIGINT)
        return x + 0.01 * rng.normal(size=x.shape), y


@both
@pytest.mark.parametrize("at", [1, 3, 4, 6])
def test_ctrl_c_in_an_epoch_loses_nothing(jit: bool, at: int, tmp_path: Path) -> None:
    def data(stop: int) -> Any:
        return ad.batches(*TRAIN, size=32, rng=3, transform=Stop(stop))

    whole, _ = train(3, jit, data=data(-1))
    _, history = train(3, jit, tmp_path / "run", data(at))
    assert history.interrupted and len(history) < 3
    resumed, history = train(3, jit, tmp_path / "run", data(-1))
    assert same(whole, resumed) and not history.interrupted


class Noisy(nn.Module):
    """Draws in evaluation too."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.inner, self.rngs = nn.Linear(4, 2, rng=rng), [rng, np.random.default_rng(2)]

    def forward(self, x: Any) -> Any:
        return self.inner(x + 0.1 * self.rngs[0].normal(size=x.shape) + 0.1 * self.rngs[1].normal(size=x.shape))


@both
@pytest.mark.parametrize("at", [2, 4, 7])
def test_model_and_data_may_share_a_generator(jit: bool, at: int, tmp_path: Path) -> None:
    def run(epochs: int, stop: int, path: Path | None) -> tuple[nn.Module, History]:
        rng = np.random.default_rng(5)
        model = nn.Sequential(nn.Linear(4, 4, rng=rng), nn.Dropout(0.2, rng=rng), Noisy(rng))
        data = ad.batches(*TRAIN, size=32, rng=rng, transform=Stop(stop))
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        held_out = ad.batches(*HELD_OUT, size=7, rng=8)
        options: Any = {"validation": held_out, "checkpoint": path, "progress": False, "jit": jit}
        return model, ad.fit(model, data, nn.cross_entropy, optimizer, epochs=epochs, **options)

    whole, history = run(3, -1, None)
    _, first = run(3, at, tmp_path / "stopped")
    assert first.interrupted
    resumed, later = run(3, -1, tmp_path / "stopped")
    assert same(whole, resumed) and later["validation loss"] == history["validation loss"]
    run(1, -1, tmp_path / "ended")
    resumed, later = run(3, -1, tmp_path / "ended")
    assert same(whole, resumed) and later["validation loss"] == history["validation loss"]


def overfit(path: Path, patience: int, epochs: int = 500, stop: int = -1) -> tuple[nn.Module, History]:
    model = model_of(0.0)
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    data = ad.batches(*TRAIN, size=120, rng=0, transform=Stop(stop))
    options: Any = {"validation": HELD_OUT, "patience": patience, "checkpoint": path, "progress": False, "jit": False}
    return model, ad.fit(model, data, nn.cross_entropy, optimizer, epochs=epochs, **options)


def test_ctrl_c_keeps_the_best_weights(tmp_path: Path) -> None:
    _, whole = overfit(tmp_path / "whole", 10)
    model, history = overfit(tmp_path / "run", 10, stop=len(whole) - 2)
    best = history.best("validation loss")
    assert history.interrupted and best["epoch"] < len(history)
    found = ad.evaluate(model, HELD_OUT, nn.cross_entropy)["loss"]
    assert found == pytest.approx(best["validation loss"], rel=1e-9)
    _, later = overfit(tmp_path / "run", 10)
    assert later["validation loss"] == whole["validation loss"]


def test_a_stopped_training_goes_on_with_more_patience(tmp_path: Path) -> None:
    _, stopped = overfit(tmp_path / "run", 2)
    _, again = overfit(tmp_path / "run", 2)
    assert len(again) == len(stopped)
    _, further = overfit(tmp_path / "run", 4)
    _, whole = overfit(tmp_path / "whole", 4)
    assert len(further) > len(stopped) and further["validation loss"] == whole["validation loss"]


def test_a_second_ctrl_c_is_raised(tmp_path: Path) -> None:
    def twice(rng: Any, x: Any, y: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return x, y

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(1, data=ad.batches(*TRAIN, transform=twice))
    assert signal.getsignal(signal.SIGINT) is before


def test_fit_in_another_thread() -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(train(2)[1]))
    thread.start()
    thread.join()
    assert len(found[0]) == 2


KILLED = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from test_training import train
train(100000, False, Path(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_a_killed_training_goes_on_where_its_checkpoint_was(tmp_path: Path) -> None:
    path = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(Path(__file__).parent)])
    while not path.exists():
        assert process.poll() is None
    process.kill()
    process.wait()
    done = ad.load(path)["progress"]["epoch"]
    assert done > 0
    whole, _ = train(done + 2)
    resumed, history = train(done + 2, path=path)
    assert same(whole, resumed) and len(history) == done + 2


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    train(1, path=tmp_path / "run")
    with pytest.raises(ValueError, match=r"does not fit model: .*weight"):
        ad.fit(nn.Linear(4, 2), TRAIN, nn.cross_entropy, checkpoint=tmp_path / "run", progress=False)
    ad.save(tmp_path / "other", model=model_of())
    with pytest.raises(ValueError, match="has no 'optimizer'"):
        train(1, path=tmp_path / "other")
    _, history = train(1, path=tmp_path / "run", resume=False)
    assert len(history) == 1


def forge(path: Path, **entries: Any) -> None:
    """Change what a checkpoint says of how far the training has come."""
    with safetensors.safe_open(str(path), framework="numpy") as file:
        layout = json.loads(file.metadata()["autodiff"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    ((kind, progress),) = layout["progress"].items()
    layout["progress"] = {kind: progress | entries}
    path.write_bytes(safetensors.numpy.save(arrays, {"autodiff": json.dumps(layout)}))


def test_a_checkpoint_does_not_say_where_fit_writes(tmp_path: Path) -> None:
    """A file may be from anywhere."""
    path, victim = tmp_path / "run", tmp_path / "victim"
    victim.write_text("precious")
    train(1, path=path)
    forge(path, checkpoint={"plain": str(victim)})
    _, history = train(2, path=path)
    assert len(history) == 2 and victim.read_text() == "precious"


def test_a_resumed_training_may_be_validated_from_then_on(tmp_path: Path) -> None:
    train(2, path=tmp_path / "run", validation=None, metrics=None)
    _, history = train(4, path=tmp_path / "run", patience=5)
    assert np.isnan(history["accuracy"][:2]).all() and history["accuracy"][3] > 0


@pytest.mark.parametrize(
    "name, entry",
    [
        ("epoch", {"plain": "3"}),
        ("epoch", {"plain": True}),
        ("position", {"plain": -1}),
        ("waited", {"plain": 0.5}),
        ("total", {"plain": None}),
        ("best", {"plain": "low"}),
        ("best_state", {"dict": {"0.weight": {"plain": 1.0}}}),
        ("order", {"dict": {"bit_generator": {"plain": "SFC64"}}}),
        ("order", {"plain": 5}),
    ],
)
def test_a_forged_checkpoint_is_refused(name: str, entry: Any, tmp_path: Path) -> None:
    train(1, path=tmp_path / "run")
    forge(tmp_path / "run", **{name: entry})
    with pytest.raises(ValueError, match=rf"does not fit progress: {name} of it cannot be .*; pass resume=False"):
        train(2, path=tmp_path / "run")


# -- what it writes


def test_the_log_and_the_figure(tmp_path: Path) -> None:
    train(3, log=tmp_path / "log.jsonl", plot=tmp_path / "curves.png")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3] and lines[0]["accuracy"] >= 0
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    _, history = train(2, log=tmp_path / "log.csv")
    drawn = [[line.get_label() for line in ax.lines] for ax in history.plot().axes]
    assert drawn == [["loss", "validation loss"], ["accuracy"]]
    rows = [*csv.DictReader((tmp_path / "log.csv").read_text().splitlines())]
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[1]["loss"]) > 0


def test_the_history() -> None:
    history = History([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "accuracy": 0.5}])
    assert history["loss"] == [2.0, 1.0] and np.isnan(history["accuracy"][0])
    assert history.best("accuracy", largest=True)["epoch"] == 2
    with pytest.raises(KeyError, match="history has no 'f1'; it has epoch, loss, accuracy"):
        history["f1"]
    with pytest.raises(ValueError, match=r"\.csv or \.jsonl"):
        history.write("log.txt")


def test_what_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    History([{"epoch": 1, "loss": math.nan, "f1": math.inf, "n": 3}]).write(tmp_path / "log.jsonl")

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    line = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=refuse)
    assert line == {"epoch": 1, "loss": None, "f1": None, "n": 3}


def test_progress_goes_to_a_bar_or_to_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ad.fit(model_of(), TRAIN, nn.cross_entropy, epochs=2, validation=HELD_OUT, rng=0)
    lines = capsys.readouterr().err  # into a file, where a bar would fill lines with itself
    assert len(lines.splitlines()) == 2 and "validation loss" in lines and "\r" not in lines
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    ad.fit(model_of(), TRAIN, nn.cross_entropy, epochs=2, validation=HELD_OUT, rng=0)
    assert "%|" in (shown := capsys.readouterr().err) and "validation loss" in shown
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    ad.fit(model_of(), TRAIN, nn.cross_entropy, epochs=2, rng=0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]


# -- misuse


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"patience": 3}, ValueError, "patience needs validation data"),
        ({"data": iter([])}, ValueError, "data has yielded no batch"),
        ({"data": ([[1.0]], [0])}, TypeError, "data is a tuple without an array"),
        ({"optimizer": 0.1}, TypeError, "optimizer is a float"),
        ({"patience": 0, "validation": HELD_OUT}, ValueError, "patience is 0"),
        ({"patience": -3, "validation": HELD_OUT}, ValueError, "patience is -3"),
        ({"metrics": {"accuracy": accuracy}}, ValueError, "metrics need validation data"),
        ({"validation_batch_size": 5}, ValueError, "validation_batch_size needs validation data"),
        ({"metrics": {"loss": accuracy}, "validation": HELD_OUT}, ValueError, "a metric is named 'loss'"),
        ({"metrics": {"epoch": accuracy}, "validation": HELD_OUT}, ValueError, "a metric is named 'epoch'"),
        ({"metrics": {"seconds": accuracy}, "validation": HELD_OUT}, ValueError, "a metric is named 'seconds'"),
        ({"data": ad.batches(*TRAIN), "rng": 0}, ValueError, "data yields batches, so that rng"),
        ({"data": ad.batches(*TRAIN), "batch_size": 5}, ValueError, "data yields batches, so that batch_size"),
        (
            {"validation": ad.batches(*TRAIN), "validation_batch_size": 5},
            ValueError,
            "validation yields batches, so that validation_batch_size",
        ),
        ({"log": "log.txt"}, ValueError, r"\.csv or \.jsonl"),
        ({"plot": "curves.xyz"}, ValueError, "plot is curves.xyz; matplotlib writes .*png"),
        ({"plot": "nowhere/curves.png"}, FileNotFoundError, "plot is nowhere.curves.png, and there is no folder"),
        ({"log": "nowhere/log.csv"}, FileNotFoundError, "log is nowhere.log.csv, and there is no folder"),
        ({"checkpoint": "nowhere/run"}, FileNotFoundError, "checkpoint is nowhere.run, and there is no folder"),
        ({"checkpoint": "."}, IsADirectoryError, "which is a folder"),
    ],
)
def test_fit_refuses(options: dict[str, Any], error: Any, message: str) -> None:
    model = model_of()
    before = model.state_dict()
    arguments = {"model": model, "data": TRAIN, "loss": nn.cross_entropy, "progress": False, "epochs": 1}
    with pytest.raises(error, match=message):
        ad.fit(**(arguments | options))
    for name, array in model.state_dict().items():  # before anything is trained
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("package, option", [("matplotlib", "plot"), ("safetensors", "checkpoint")])
def test_a_missing_package_is_named_before_the_training(
    package: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (package, f"{package}.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    model = model_of()
    before = model.state_dict()["0.weight"]
    with pytest.raises(ImportError, match=f"fit: .*needs {package}"):
        ad.fit(model, TRAIN, nn.cross_entropy, progress=False, epochs=1, **{option: tmp_path / "file.png"})
    np.testing.assert_array_equal(model.state_dict()["0.weight"], before)


def test_evaluate_refuses() -> None:
    with pytest.raises(ValueError, match="evaluate: a metric is named 'loss'"):
        ad.evaluate(model_of(), HELD_OUT, nn.cross_entropy, {"loss": accuracy})
    with pytest.raises(ValueError, match="evaluate: data yields batches, so that batch_size"):
        ad.evaluate(model_of(), ad.batches(*HELD_OUT), nn.cross_entropy, batch_size=5)


@both
def test_a_loss_that_is_not_finite_ends_the_training(jit: bool) -> None:
    bad = (X[:40].copy(), Y[:40])
    bad[0][7] = np.nan
    with pytest.raises(ValueError, match=r"the loss is nan in epoch 1, step \d; try a smaller learning rate"):
        ad.fit(model_of(), bad, nn.cross_entropy, epochs=1, progress=False, jit=jit)
