"""Pooling of batches: it looks at the last axes only, so hidden ones are in nobody's way."""

from typing import Any

from ..arrays import undispatched
from ..batched import Batched, batch, hide, levels_of, union, widened
from ..rules.pooling import max_pool, pick, spread, sum_pool, unpick

__all__: list[str] = []  # its entries are in BATCHING


def _one(function: Any) -> None:
    body = undispatched(function)

    @batch(function)
    def batched(x: Batched, geometry: Any) -> Any:
        return hide(body(x.whole, geometry), x.levels)


def _two(function: Any) -> None:
    body = undispatched(function)

    @batch(function)
    def batched(x: Any, which: Any, geometry: Any) -> Any:
        levels = union([levels_of(x), levels_of(which)])
        return hide(body(widened(x, levels).whole, widened(which, levels).whole, geometry), levels)


_one(max_pool)
_one(sum_pool)
_one(spread)
_two(pick)
_two(unpick)
