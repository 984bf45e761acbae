"""fit and what belongs to it: it trains, stops, logs, draws, and goes on after an interruption to the same bits."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
    assert history.names() == ["epoch", "loss", "validation loss", "accuracy", "seconds"]
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


# -- what it writes


def test_the_log_and_the_figure(tmp_path: Path) -> None:
    train(3, log=tmp_path / "log.jsonl", plot=tmp_path / "curves.png")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3] and lines[0]["accuracy"] >= 0
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    train(2, log=tmp_path / "log.csv")
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


def test_progress_goes_to_a_bar_or_to_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ad.fit(model_of(), TRAIN, nn.cross_entropy, epochs=2, validation=HELD_OUT, rng=0)
    assert "validation loss" in capsys.readouterr().err
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
        ({"optimizer": 0.1}, TypeError, "optimizer is a float"),
        ({"log": "log.txt"}, ValueError, r"\.csv or \.jsonl"),
    ],
)
def test_fit_refuses(options: dict[str, Any], error: Any, message: str) -> None:
    arguments = {"model": model_of(), "data": TRAIN, "loss": nn.cross_entropy, "progress": False, "epochs": 1}
    with pytest.raises(error, match=message):
        ad.fit(**(arguments | options))
    assert not os.path.exists("log.txt")


@both
def test_a_loss_that_is_not_finite_ends_the_training(jit: bool) -> None:
    bad = (X[:40].copy(), Y[:40])
    bad[0][7] = np.nan
    with pytest.raises(ValueError, match=r"the loss is nan in epoch 1, step \d; try a smaller learning rate"):
        ad.fit(model_of(), bad, nn.cross_entropy, epochs=1, progress=False, jit=jit)
