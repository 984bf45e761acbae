"""What attacks on layers, losses, optimizers and checkpoints found: numbers at the edges of dtypes, and odd files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import autodiff as ad
from autodiff import Value, nn, optim

INTEGERS = [
    np.array([200, 100, 3, 0], np.uint8),
    np.array([-128, 127, 3, 0], np.int8),
    np.array([2**31 - 1, -(2**31), 5, 0], np.int32),
    np.array([True, False, True, True]),
]
ACTIVATIONS: list[Callable[..., Any]] = [
    ad.sigmoid, ad.silu, ad.softplus, ad.softmax, ad.log_softmax, ad.logsumexp, ad.gelu, ad.leaky_relu
]  # fmt: skip


# -- integers are computed with in float64


@pytest.mark.parametrize("x", INTEGERS, ids=lambda x: str(x.dtype))
@pytest.mark.parametrize("function", ACTIVATIONS, ids=lambda f: f.__name__)
def test_activations_of_integers_are_those_of_the_same_floats(function: Callable[..., Any], x: Any) -> None:
    expected = function(x.astype(float))
    for found in (function(x), ad.vmap(function)(x[None])[0], ad.jit(function)(x)):
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("x", INTEGERS, ids=lambda x: str(x.dtype))
@pytest.mark.parametrize("layer", [nn.RMSNorm(4), nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.BatchNorm(4)], ids=repr)
def test_norms_of_integers_are_those_of_the_same_floats(layer: nn.Module, x: Any) -> None:
    batch = np.stack([x, x[::-1]])
    np.testing.assert_allclose(layer(batch).data, layer(batch.astype(float)).data, rtol=1e-14)


@pytest.mark.parametrize("x", INTEGERS, ids=lambda x: str(x.dtype))
def test_losses_of_integers_are_those_of_the_same_floats(x: Any) -> None:
    floats, targets = x.astype(float), np.array([1.0, 0.5, 0.0, 1.0])
    weight = np.array([0.5, 1.5, 2.5, 0.25])
    for loss in (
        lambda logits: nn.cross_entropy(logits[None], [1]),
        lambda logits: nn.cross_entropy(logits[None], [1], weight=weight, reduction="sum"),
        lambda logits: nn.cross_entropy(logits[None], [1], label_smoothing=0.25),
        lambda logits: nn.bce_with_logits(logits, targets),
        lambda logits: nn.bce_with_logits(logits, [1, 0, 0, 1], pos_weight=0.5),
        lambda logits: nn.mse(logits, x[::-1]),
        lambda logits: nn.huber(logits, x[::-1]),
    ):
        np.testing.assert_allclose(loss(x), loss(floats), rtol=1e-14)


# -- float16 and numbers near the greatest


def test_the_norm_of_gradients_does_not_overflow() -> None:
    for dtype, size, tolerance in (
        (np.float16, 100.0, 2e-3),
        (np.float16, 2e4, 2e-3),
        (np.float32, 1e20, 1e-6),
        (np.float64, 1e200, 1e-12),
        (np.float64, 1e-200, 1e-12),
        (np.complex64, 1e20, 1e-6),
    ):
        a, b = Value(np.zeros(2, dtype)), Value(np.zeros(1, dtype))
        a.grad, b.grad = (np.array([2, 1]) * size).astype(dtype), (np.array([2]) * size).astype(dtype)
        norm = optim.clip_grad_norm([a, b], size)
        np.testing.assert_allclose(float(norm), 3 * size, rtol=tolerance)
        assert a.grad.dtype == b.grad.dtype == dtype
        expected = np.array([2, 1, 2]) * size / 3
        np.testing.assert_allclose(np.concatenate([a.grad, b.grad]), expected, rtol=tolerance)


def test_the_norm_of_gradients_at_the_edges() -> None:
    w, none = Value(np.zeros(2)), Value(np.zeros(0))
    for grad, norm, clipped in (
        ([0.0, 0.0], 0.0, [0.0, 0.0]),
        ([np.nan, 1.0], np.nan, [np.nan, np.nan]),
        ([np.inf, 1.0], np.inf, [np.nan, 0.0]),
        ([3e-320, 4e-320], 5e-320, [3e-320, 4e-320]),
    ):
        w.grad, none.grad = np.array(grad), np.zeros(0)
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(optim.clip_grad_norm([w, none], 1.0), norm, rtol=1e-3)
        np.testing.assert_array_equal(w.grad, clipped)
    assert optim.clip_grad_norm([], 1.0) == 0


def torch_layer(layer: nn.Module) -> Any:
    torch = pytest.importorskip("torch")
    kinds = {
        "LayerNorm": lambda: torch.nn.LayerNorm(4, dtype=torch.half),
        "RMSNorm": lambda: torch.nn.RMSNorm(4, eps=1e-5, dtype=torch.half),
        "GroupNorm": lambda: torch.nn.GroupNorm(2, 4, dtype=torch.half),
        "BatchNorm": lambda: torch.nn.BatchNorm1d(4, dtype=torch.half),
    }
    return kinds[type(layer).__name__]()


def norms(dtype: Any) -> list[nn.Module]:
    return [
        nn.LayerNorm(4, dtype=dtype),
        nn.RMSNorm(4, eps=1e-5, dtype=dtype),
        nn.GroupNorm(2, 4, dtype=dtype),
        nn.BatchNorm(4, dtype=dtype),
    ]


HALVES = np.array([[500, -600, 300, 0], [1, 2, -300, 400], [-500, 3, 5, 700]], np.float16)


@pytest.mark.parametrize("layer", norms(np.float16), ids=repr)
def test_norms_of_float16_do_not_overflow(layer: nn.Module) -> None:
    exact = {type(other): other for other in norms(np.float64)}[type(layer)]
    x, wide, weights = HALVES, HALVES.astype(float), np.arange(12.0).reshape(3, 4)
    for _ in ("training", "evaluation"):
        y, expected = layer(x), exact(wide)
        assert y.dtype == np.float16
        np.testing.assert_allclose(y.data.astype(float), expected.data, rtol=2e-3, atol=1e-3)
        found = ad.grad(lambda x: (layer(x) * weights.astype(np.float16)).sum())(x).data
        wanted = ad.grad(lambda x: (exact(x) * weights).sum())(wide).data
        assert found.dtype == np.float16
        np.testing.assert_allclose(found.astype(float), wanted, rtol=2e-2, atol=1e-4)
        for name, state in exact.state_dict().items():
            np.testing.assert_allclose(layer.state_dict()[name].astype(float), state, rtol=5e-3)
        layer.eval(), exact.eval()


@pytest.mark.parametrize("layer", norms(np.float16), ids=repr)
def test_norms_of_float16_are_those_of_torch(layer: nn.Module) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch_layer(layer)
    with torch.no_grad():
        expected = theirs(torch.tensor(HALVES)).numpy()
    np.testing.assert_allclose(layer(HALVES).data.astype(float), expected.astype(float), rtol=2e-3, atol=2e-3)
    if isinstance(layer, nn.BatchNorm):
        np.testing.assert_allclose(layer.running_var.data, theirs.running_var.numpy(), rtol=2e-3)


def test_a_norm_of_float16_has_the_dtype_of_its_parameters() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        for layer in norms(dtype):
            assert layer(HALVES).dtype == dtype


def test_the_mean_of_a_window_of_float16_does_not_overflow() -> None:
    x = np.full((1, 1, 2, 2), 60000, np.float16)
    y = nn.avg_pool(x, (2, 2))
    assert y.dtype == np.float16 and y == np.float16(60000)
    g = ad.grad(lambda x: nn.avg_pool(x, (2, 2)).sum())(x)
    assert g.dtype == np.float16 and (g == 0.25).all()


@pytest.mark.filterwarnings("error")
def test_cross_entropy_of_the_greatest_numbers() -> None:
    for dtype in (np.float32, np.float64):
        top = np.finfo(dtype).max
        assert nn.cross_entropy(np.array([[top, -top]], dtype), [0]) == 0
        assert nn.cross_entropy(np.array([[top, -top]], dtype), [1]) == np.inf


@pytest.mark.filterwarnings("error")
def test_the_norm_of_groups_without_elements() -> None:
    for layer in (nn.GroupNorm(1, 3), nn.GroupNorm(3, 3, affine=False)):
        assert layer(np.zeros((2, 3, 0))).shape == (2, 3, 0)


# -- losses keep their digits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pos_weight", [None, 3.0])
def test_bce_of_sure_logits_has_all_its_digits(dtype: Any, pos_weight: float | None) -> None:
    logits = np.array([12.0, -12.0, 30.0, -30.0, 0.0, 2.0, 1e4, -1e4], dtype)
    targets = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.25, 1.0, 0.0], dtype)
    wide, t = logits.astype(float), targets.astype(float)
    positive = 1.0 if pos_weight is None else pos_weight
    expected = positive * t * np.logaddexp(0, -wide) + (1 - t) * np.logaddexp(0, wide)
    found = nn.bce_with_logits(logits, targets, pos_weight=pos_weight, reduction="none")
    np.testing.assert_allclose(found, expected, rtol=4 * float(np.finfo(dtype).eps))
    second = ad.hessian(lambda x: nn.bce_with_logits(x, targets, pos_weight=pos_weight, reduction="sum"))(logits)
    p, q = (1 / (1 + np.exp((sign * wide).clip(-500, 500))) for sign in (-1, 1))
    np.testing.assert_allclose(np.diag(second), (positive * t + 1 - t) * p * q, rtol=1e-5, atol=1e-30)


# -- optimizers


def test_lbfgs_that_runs_into_nan_returns_the_best_it_has_seen() -> None:
    w = Value([5.0])
    optimizer = optim.LBFGS([w])
    losses = []

    def closure() -> Value:
        optimizer.zero_grad()
        with np.errstate(invalid="ignore"):
            loss = (np.sqrt(w - 4.9) * 10 - w).sum()
        loss.backward()
        losses.append(loss.item())
        return loss

    found = optimizer.step(closure)
    assert np.isnan(losses).any() and found == np.nanmin(losses)
    assert found == (np.sqrt(w.data - 4.9) * 10 - w.data).sum()


@pytest.mark.parametrize("schedule", [optim.linear, optim.cosine])
def test_a_warmup_leaves_steps(schedule: Callable[..., Any]) -> None:
    for warmup in (5, 8):
        with pytest.raises(ValueError, match=rf"{schedule.__name__}: warmup is {warmup}; .* less than steps, 5"):
            schedule(0.1, 5, warmup=warmup)
    assert schedule(0.1, 5, warmup=4)(4) == 0.1


def stepped(kind: type[optim.Optimizer], **options: Any) -> optim.Optimizer:
    w = Value([1.0, 2.0])
    w.grad = np.ones(2)
    optimizer = kind([w], lr=0.1, **options)
    optimizer.step()
    return optimizer


def test_the_state_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    kinds = [
        (optim.SGD, {"momentum": 0.9}), (optim.RMSprop, {}), (optim.Adagrad, {}), (optim.Lion, {}), (optim.Adam, {}),
        (optim.RMSprop, {"momentum": 0.9}), (optim.SGD, {}),
    ]  # fmt: skip
    path = tmp_path / "state"
    for kind, options in kinds:
        ad.save(path, optimizer=stepped(kind, **options))
        for other, own in kinds:
            optimizer = stepped(other, **own)
            if kind is not other:
                with pytest.raises(ValueError, match=f"{other.__name__}.load_state_dict: .* of {kind.__name__}"):
                    ad.load(path, optimizer=optimizer)
    adam = optim.Adam([Value([1.0, 2.0])])
    adam.load_state_dict(stepped(optim.AdamW).state_dict())  # the same averages
    old = stepped(optim.AdamW).state_dict()
    del old["kind"]  # saved before there was one
    adam.load_state_dict(old)


@pytest.mark.parametrize("wrong", [{"count": np.array([1, 2])}, {"count": "a"}, {"count": -3}, {"count": 1.5},
                                   {"steps": [-1]}, {"steps": [1.5]}, {"steps": ["a"]}, {"steps": 1}])  # fmt: skip
def test_wrong_counts_change_nothing(wrong: dict[str, Any]) -> None:
    optimizer, other = stepped(optim.Adam), stepped(optim.Adam)
    other.step()
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"Adam\.load_state_dict: "):
        optimizer.load_state_dict(other.state_dict() | wrong)
    for key, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


def test_options_that_are_no_numbers_are_named() -> None:
    w = [Value([1.0])]
    for make, message in (
        (lambda: optim.SGD(w, lr="a"), "SGD: lr is 'a'"),
        (lambda: optim.SGD(w, lr=None), "SGD: lr is None"),
        (lambda: optim.Adam(w, eps="b"), "Adam: eps is 'b'"),
        (lambda: optim.Adam(w, betas=0.9), "Adam: betas is 0.9; it has to be two numbers"),
        (lambda: optim.Adam(w, betas=(0.9,)), r"Adam: betas is \(0.9,\)"),
        (lambda: optim.EMA(w, decay="c"), "EMA: decay is 'c'"),
    ):
        with pytest.raises(TypeError, match=message):
            make()
    w[0].grad = np.ones(1)
    with pytest.raises(TypeError, match=r"lr: .* None"):
        optim.SGD(w, lr=lambda step: None).step()


# -- layers


def test_sizes_that_are_no_whole_numbers_are_named() -> None:
    x, weight = np.zeros((1, 1, 4, 4)), np.zeros((1, 1, 2, 2))
    for call, message in (
        (lambda: nn.conv(x, weight, padding=1.5), "conv: padding=1.5"),
        (lambda: nn.conv(x, weight, padding=((1, 1.5), (0, 0))), r"conv: padding=\(1, 1.5\)"),
        (lambda: nn.conv(x, weight, stride=None), "conv: stride=None"),
        (lambda: nn.max_pool(x, (2, None)), r"max_pool: kernel_size=\(2, None\)"),
        (lambda: nn.Conv2d(1, 1, "a"), "Conv2d: kernel_size='a'"),
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_softmax_of_nothing_is_nothing() -> None:
    x = np.zeros((3, 0))
    for function in (ad.softmax, ad.log_softmax, nn.Softmax()):
        assert function(x).shape == (3, 0)
        assert ad.grad(lambda x, f=function: f(x).sum())(x).shape == (3, 0)


# -- checkpoints


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run"
    ad.save(path, a=np.zeros(2), n=0)
    real, reads = Path.read_bytes, []

    def read_and_replace(self: Path) -> bytes:
        """Another process saves at the worst moment."""
        if self == path and not reads:
            reads.append(path)
            content = real(self)
            ad.save(path, a=np.ones(2), n=1)
            return content
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", read_and_replace)
    opened = safetensors.safe_open

    def open_and_replace(name: Any, **options: Any) -> Any:
        file = opened(name, **options)
        ad.save(path, a=np.ones(2), n=1)
        return file

    monkeypatch.setattr(safetensors, "safe_open", open_and_replace)
    found = ad.load(path)
    assert (found["a"] == found["n"]).all()


def test_masks_are_not_lost(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"save: d\.m is a masked array"):
        ad.save(tmp_path / "run", d={"m": np.ma.masked_array([1.0, 2.0], [True, False])})


def test_the_longest_names_of_files(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    ad.save(path, n=1)
    assert ad.load(path) == {"n": 1} and len([*tmp_path.iterdir()]) == 1


@pytest.mark.parametrize("exists", [True, False])
def test_saving_to_a_link_writes_to_its_target(tmp_path: Path, exists: bool) -> None:
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.parent.mkdir()
    if exists:
        ad.save(target, n=0)
    link.symlink_to(os.path.join("folder", "target"))
    ad.save(link, n=1)
    assert link.is_symlink() and ad.load(target) == ad.load(link) == {"n": 1}


def test_parts_that_cannot_be_saved_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="save: a part is named __metadata__"):
        ad.save(tmp_path / "run", __metadata__=np.ones(2))
    cycle: dict[str, Any] = {}
    cycle["d"] = [cycle]
    with pytest.raises(ValueError, match=r"save: part\.d\.0\.d.*holds itself"):
        ad.save(tmp_path / "run", part=cycle)
    assert not [*tmp_path.iterdir()]


def test_a_damaged_generator_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run"
    ad.save(path, rng=np.random.default_rng(0))
    with safetensors.safe_open(path, "numpy") as file:
        layout = json.loads(file.metadata()["autodiff"])
    for key, x in (("has_uint32", None), ("state", {"state": -1, "inc": 1}), ("state", {"inc": "a"})):
        damaged = json.loads(json.dumps(layout))
        if x is None:
            del damaged["rng"]["generator"][key]
        else:
            damaged["rng"]["generator"][key] = x
        safetensors.numpy.save_file({}, path, {"autodiff": json.dumps(damaged)})
        with pytest.raises(ValueError, match=r"load: .* damaged"):
            ad.load(path)
        with pytest.raises(ValueError, match=r"load: .* damaged"):
            ad.load(path, rng=np.random.default_rng(1))


def test_folders_in_place_of_files(tmp_path: Path) -> None:
    for call, error, message in (
        (lambda: ad.load(tmp_path), IsADirectoryError, "load: .* is a folder"),
        (lambda: ad.save(tmp_path, n=1), IsADirectoryError, "save: .* is a folder"),
        (lambda: ad.save(tmp_path / "no" / "run", n=1), FileNotFoundError, "save: there is no folder .*no$"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_batches_of_sparse_matrices() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    x = np.arange(10.0).reshape(5, 2)
    data = ad.batches(sparse.csr_matrix(x), np.arange(5), size=2, rng=0)
    assert len(data) == 3 and "5 examples" in repr(data)
    for rows, y in data:
        np.testing.assert_array_equal(rows.toarray(), x[y])
