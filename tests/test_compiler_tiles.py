"""Transposes tile by tile: the same numbers, at every edge, and where it is done at all."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest

import autodiff as ad

pytest.importorskip("llvmlite")

from autodiff.compiler.loops import Nest, Op, Phase, Pointer
from autodiff.compiler.tiles import TILE, tiles

# rows of a multiple of 512 bytes, for most dtypes, and other ones
SHAPES = [(96, 128), (97, 128), (95, 256), (111, 512), (16, 1024), (1000, 64), (257, 256), (97, 129), (700, 33)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "?"])
def test_transposes(shape: tuple[int, ...], dtype: str, rng: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("AUTODIFF_JIT_DEBUG", "1")
    x = (rng.normal(size=shape) * 5).astype(dtype)
    for f in (
        lambda x: x.T.copy(),
        lambda x: x.T[::-1].copy(),
        lambda x: x[::-1, 1:].T.copy(),
        lambda x: x.T[0] == x.T,
    ):
        jitted = ad.jit(f, strict=True)
        jitted(x)
        np.testing.assert_array_equal(jitted(x), f(x))


CASES: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "channels last": (lambda x: x.transpose(0, 2, 3, 1) * 2, (3, 40, 16, 20)),
    "channels first": (lambda x: np.exp(x.transpose(0, 3, 1, 2)), (3, 17, 19, 64)),
    "heads": (lambda x: x.swapaxes(1, 2).copy(), (2, 40, 4, 33)),
    "batched": (lambda x: x.mT + 1, (5, 40, 64)),
    "with itself": (lambda x: x + x.T, (192, 192)),
    "with a row": (lambda x: x.T * x[:, 0] + x[0, 3], (140, 128)),
    "with a gather": (lambda x: x.T * x[:, 0][np.argsort(x[:, 1])], (140, 128)),
    "with sums": (lambda x: (x.T * 2).sum(0) + x[:, 0], (140, 128)),
    "two results": (lambda x: (x.T * 2, x.T - x[:, 0]), (140, 128)),
    "put": (lambda x: np.concatenate([x.T, x.T * 2], 1), (140, 128)),
    "scan": (lambda x: np.cumsum(x.T, 0), (140, 128)),
    "scatter": (lambda x: ad.grad(lambda x: (x.T[np.array([1, 0, 1])] ** 3).sum())(x), (3000, 9)),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_fused_with_a_transpose(name: str, rng: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("AUTODIFF_JIT_DEBUG", "1")
    f, shape = CASES[name]
    x = rng.normal(size=shape)
    jitted = ad.jit(f, strict=True)
    jitted(x)
    found, expected = jitted(x), f(x)
    for a, b in zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]:
        np.testing.assert_allclose(a, b, 1e-12, 1e-12)


def copying(rows: int, columns: int, pitch: int = 0) -> Nest:
    """y = x.T, whose rows begin so many elements apart; if that is not given, a multiple of 512 bytes"""
    pitch = pitch or -(-rows // 64) * 64
    x = Pointer("f8", (1, pitch), False, (0, pitch * (columns - 1) + rows - 1))
    y = Pointer("f8", (columns, 1), True, (0, rows * columns - 1))
    body = (Op("load", (0,), "f8", 1), Op("store", (1, 1), "f8", 0))
    return Nest((rows,), (columns,), (x, y), (), (Phase((), body, ()),))


def elements(nest: Nest, begins: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Where the arrays are in each round, in order."""
    sizes = (*nest.rows, *nest.columns)
    return [
        tuple(b + sum(i * s for i, s in zip(index, p.strides, strict=True)) for b, p in zip(begins, nest.pointers))
        for index in np.ndindex(*sizes)
    ]


@pytest.mark.parametrize("shape", [(128, 128), (100, 133), (16, 700), (129, 64)], ids=str)
def test_every_element_is_met_once_and_within_its_extent(shape: tuple[int, int]) -> None:
    nest = copying(*shape)
    parts = tiles(nest)
    met: list[tuple[int, ...]] = []
    for part, begins in parts:
        found = elements(part, begins)
        for p, (begin, pointer) in enumerate(zip(begins, part.pointers, strict=True)):
            places = [places[p] for places in found]
            assert (min(places), max(places)) == (begin + pointer.extent[0], begin + pointer.extent[1])
        met += found
    assert sorted(met) == sorted(elements(nest, (0, 0)))
    assert len(parts) == 1 + sum(n % TILE > 0 for n in shape)
    main = parts[0][0]
    assert main.columns == (TILE,) and main.rows[-1] == TILE and prod(main.rows) * TILE >= prod(shape) * 0.8


def test_what_stays_as_it_is() -> None:
    small, plain, narrow = copying(32, 32), copying(128, 128), copying(2000, 8)
    straight = plain._replace(pointers=(plain.pointers[1]._replace(written=False), plain.pointers[1]))
    (phase,) = plain.phases
    summed = plain._replace(pointers=(plain.pointers[0], plain.pointers[1]._replace(filled=(1, "sum"))))
    ordered = plain._replace(phases=(phase._replace(body=(*phase.body, Op("scatter", (1, (), 1), "f8", 0))),))
    two = plain._replace(phases=(phase, phase))
    cached = copying(1000, 1000, 1000)  # all lines of a column fit
    for nest in (small, narrow, straight, summed, ordered, two, cached):
        assert tiles(nest) == [(nest, (0, 0))]
