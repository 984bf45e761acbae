"""Checkpoints: what is saved comes back to the bit, files are whole or not there, and what does not fit is named."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import autodiff as ad
from autodiff import Value, nn, optim

GENERATORS = ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"]


def small(seed: int = 0) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Linear(3, 4, bias=False, rng=rng), nn.BatchNorm(4), nn.Tanh(), nn.Linear(4, 2, rng=rng))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


def test_arrays_of_every_dtype_come_back(path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        dtype: rng.integers(0, 2, (2, 3)).astype(dtype)
        for dtype in ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
    }
    arrays |= {
        "scalar": np.float32(2.5),
        "none": np.zeros((0, 3)),
        "turned": rng.normal(size=(4, 3)).T,
        "big": np.ones(2, ">f4"),
    }
    ad.save(path, arrays=arrays, value=Value([1.0, 2.0]))
    found = ad.load(path)
    for name, array in arrays.items():
        got = found["arrays"][name]
        assert got.dtype == np.asarray(array).dtype.newbyteorder("=") and got.shape == np.shape(array)
        np.testing.assert_array_equal(got, array)
        assert got.flags.writeable
    np.testing.assert_array_equal(found["value"], [1.0, 2.0])


def test_names_that_meet_keep_their_arrays(path: Path) -> None:
    inner, outer, z = np.zeros(1), np.ones(1), np.array([1j])
    weight = np.full((3, 4), 7.0)
    model = small()
    ad.save(
        path, **{"d": {"a": {"b": inner}, "a.b": outer, "c": [z], "c.0": outer}, "model.0.weight": weight}, model=model
    )
    other = small(1)
    found = ad.load(path, model=other)
    np.testing.assert_array_equal(found["d"]["a"]["b"], inner)
    np.testing.assert_array_equal(found["d"]["a.b"], outer)
    np.testing.assert_array_equal(found["d"]["c"][0], z)
    np.testing.assert_array_equal(found["d"]["c.0"], outer)
    np.testing.assert_array_equal(found["model.0.weight"], weight)
    np.testing.assert_array_equal(other.state_dict()["0.weight"], model.state_dict()["0.weight"])


def test_containers_numbers_and_texts_come_back(path: Path) -> None:
    plain = {
        "epoch": 3,
        "name": "ä",
        "nothing": None,
        "flag": True,
        "rate": 0.1,
        "nested": {"a": [1, {"b": "c"}]},
        "big": 2**80,
    }
    ad.save(path, plain=plain)
    assert ad.load(path) == {"plain": plain}


@pytest.mark.parametrize("kind", GENERATORS)
def test_generators_go_on_where_they_were(kind: str, path: Path) -> None:
    rng = np.random.Generator(getattr(np.random, kind)(5))
    rng.normal(size=7), rng.integers(9, size=3, dtype=np.int32)
    ad.save(path, rng=rng)
    expected = rng.random(4)
    other = np.random.Generator(getattr(np.random, kind)(6))
    ad.load(path, rng=other)
    np.testing.assert_array_equal(other.random(4), expected)
    np.testing.assert_array_equal(ad.load(path)["rng"].random(4), expected)


def test_a_generator_of_another_kind_is_refused(path: Path) -> None:
    ad.save(path, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"'rng' in .* is of a PCG64, and the generator is a SFC64"):
        ad.load(path, rng=np.random.Generator(np.random.SFC64(0)))


OPTIMIZERS: list[Any] = [
    lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True),
    lambda ps: optim.Adam(ps, lr=optim.cosine(0.1, 20, warmup=3)),
    lambda ps: optim.AdamW([{"params": ps[:2], "weight_decay": 0.0}, {"params": ps[2:]}], lr=0.1),
    lambda ps: optim.RMSprop(ps, momentum=0.5),
    lambda ps: optim.Adagrad(ps),
    lambda ps: optim.Lion(ps, lr=0.01),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
def test_training_resumes_to_the_same_bits(make: Any, jitted: bool, path: Path) -> None:
    x, y = np.random.default_rng(1).normal(size=(8, 3)), np.arange(8) % 2

    def stepper(model: Any, optimizer: Any) -> Any:
        def step() -> Any:
            loss = nn.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return ad.jit(step) if jitted else step

    model = small()
    optimizer = make(model.parameters())
    ema = optim.EMA(model.parameters(), 0.9)
    step = stepper(model, optimizer)
    for _ in range(5):
        step()
        ema.update()
    ad.save(path, model=model, optimizer=optimizer, ema=ema)
    for _ in range(5):
        step()
        ema.update()

    other = small(9)
    again = make(other.parameters())
    average = optim.EMA(other.parameters(), 0.9)
    assert ad.load(path, model=other, optimizer=again, ema=average) == {}
    step = stepper(other, again)
    for _ in range(5):
        step()
        average.update()
    for name, array in model.state_dict().items():
        if jitted:  # recording computes as NumPy does, programs in another order
            np.testing.assert_allclose(other.state_dict()[name], array, rtol=1e-12)
        else:
            np.testing.assert_array_equal(other.state_dict()[name], array)
    if not jitted:
        for a, b in zip(ema.averages, average.averages, strict=True):
            np.testing.assert_array_equal(a, b)


# -- files that do not fit


def test_what_does_not_fit_is_named_and_nothing_changes(path: Path) -> None:
    model, rng = small(), np.random.default_rng(3)
    optimizer = optim.Adam(model.parameters())
    ad.save(path, model=model, optimizer=optimizer, rng=rng)
    other = nn.Sequential(nn.Linear(3, 5, rng=0), nn.BatchNorm(5), nn.Tanh(), nn.Linear(5, 2, rng=0))
    before, state = other.state_dict(), rng.bit_generator.state
    rng.random()
    moved = rng.bit_generator.state
    with pytest.raises(ValueError, match=r"does not fit model: .*0\.weight has shape \(3, 4\) instead of \(3, 5\)"):
        ad.load(path, rng=rng, model=other)
    assert rng.bit_generator.state == moved != state
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(ValueError, match="has no 'scheduler'; it has model, optimizer, rng"):
        ad.load(path, scheduler=rng)
    with pytest.raises(ValueError, match="is no state of a Sequential"):
        ad.load(path, rng=model)


def test_an_optimizer_of_other_parameters_is_refused(path: Path) -> None:
    model = small()
    optimizer = optim.Adam(model.parameters())
    nn.cross_entropy(model(np.ones((2, 3))), [0, 1]).backward()
    optimizer.step()
    ad.save(path, optimizer=optimizer)
    with pytest.raises(ValueError, match=r"state\.0\.0 is float64\[3, 4\] instead of float64\[2, 2\]"):
        ad.load(
            path,
            optimizer=optim.Adam([Value(np.ones((2, 2)))] + [Value(np.ones(2))] * 0 + [Value(1.0) for _ in range(4)]),
        )
    with pytest.raises(ValueError, match="it is for 5 parameters, and this optimizer has 1"):
        ad.load(path, optimizer=optim.Adam([Value(1.0)]))


@pytest.mark.parametrize("what", ["cut", "empty", "text", "flipped header", "description"])
def test_a_damaged_file_is_refused(what: str, path: Path) -> None:
    ad.save(path, model=small(), epoch=3)
    content = path.read_bytes()
    damaged = {
        "cut": content[:-10],
        "empty": b"",
        "text": b"not a checkpoint at all, just some text",
        "flipped header": content[:8] + bytes([content[8] ^ 255]) + content[9:],
        "description": safetensors.numpy.save({"a": np.ones(2)}, {"autodiff": json.dumps({"b": {"array": "c"}})}),
    }[what]
    path.write_bytes(damaged)
    model = small(1)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"load: .*run\.safetensors is damaged"):
        ad.load(path, model=model)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*run"):
        ad.load(path)


@pytest.mark.parametrize(
    "part",
    [object(), lambda: 0, np.array(["a"]), np.array([None]), {1: 2}, {"a": {2j}}],
    ids=["object", "function", "texts", "objects", "number as a name", "set"],
)
def test_what_cannot_be_saved_is_named(part: Any, path: Path) -> None:
    with pytest.raises(TypeError, match="save: part"):
        ad.save(path, part=part)
    assert not path.exists() and not [*path.parent.iterdir()]


# -- files of others


def test_weights_of_torch_load_into_the_same_layers(path: Path) -> None:
    """The file is as `safetensors.torch.save_file(model.state_dict())` writes it."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm(4), nn.LSTM(4, 2, rng=0))
    theirs = {name: rng.normal(size=a.shape[::-1]).astype("f4") for name, a in model.state_dict().items()}
    theirs |= {"1.num_batches_tracked": np.array(7)}
    path.write_bytes(safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in theirs.items()}, {"format": "pt"}))
    ad.load(path, model=model)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, theirs[name].T)


def test_bfloat16_is_read_as_float32(path: Path) -> None:
    bits = np.array([0x3F80, 0xC000, 0x7F80], "<u2")
    header = json.dumps({"w": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    found = ad.load(path)["w"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [1.0, -2.0, np.inf])


def test_a_plain_file_is_the_state_of_one_part(path: Path) -> None:
    model = small()
    path.write_bytes(safetensors.numpy.save(model.state_dict()))
    other = small(4)
    ad.load(path, model=other)
    np.testing.assert_array_equal(other.state_dict()["0.weight"], model.state_dict()["0.weight"])
    with pytest.raises(ValueError, match="the state of one part; 2 were given"):
        ad.load(path, model=other, rng=np.random.default_rng())


# -- a file is whole or not there


def test_nothing_of_pickle_is_on_the_way_in(path: Path) -> None:
    ad.save(path, model=small(), rng=np.random.default_rng(0))
    program = (
        "import sys, builtins, autodiff as ad\n"
        f"ad.load({str(path)!r})\n"
        "import pickle\n"
        "def refuse(*a, **k): raise SystemExit('pickle was used')\n"
        "pickle.loads = pickle.load = pickle.Unpickler = refuse\n"
        f"ad.load({str(path)!r})\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


KILLED = """
import sys, numpy as np, autodiff as ad
big = np.zeros(2_000_000)
print("ready", flush=True)
i = 0
while True:
    i += 1
    big[:] = i
    ad.save(sys.argv[1], big=big, i=i)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_a_kill_in_the_middle_loses_nothing(path: Path) -> None:
    for attempt in range(5):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        while not path.exists():
            assert process.poll() is None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05 + 0.013 * attempt)
        process.kill()
        process.wait()
        process.stdout.close()
        found = ad.load(path)
        np.testing.assert_array_equal(found["big"], float(found["i"]))


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ad.save(path, epoch=1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ad.save(path, epoch=2)
    monkeypatch.undo()
    assert ad.load(path) == {"epoch": 1}
    assert [p.name for p in path.parent.iterdir()] == [path.name]
