"""Attention: every place of a sequence looks at others (Vaswani et al., arXiv:1706.03762)."""

from typing import Any

import numpy as np

from ..rules.activations import softmax
from ..value import Value
from .activations import GELU
from .init import Seed, glorot_uniform
from .inputs import operand, real_operand
from .layers import Dropout, Linear, dropout
from .module import Module
from .normalisation import LayerNorm
from .options import call_of, probability, sizes

__all__ = ["MultiHeadAttention", "TransformerBlock", "attention"]


def attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    *,
    causal: bool = False,
    p: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Any:
    """`softmax(query @ key.mT / sqrt(d)) @ value`, for arrays (..., length, d).

    `mask` is true where a query may look at a key, as in PyTorch's `scaled_dot_product_attention` (in its layers it is
    true where one may not), and broadcasts to (..., queries, keys). With `causal` no place looks at later ones. A query
    that may look nowhere gets zeros. Weights are put to 0 with probability `p`, drawn from `rng`.

    >>> x = np.ones((2, 5, 4))
    >>> attention(x, x, x, causal=True).shape
    (2, 5, 4)

    Raises ValueError for shapes that do not fit, TypeError for a mask that is not boolean.
    """
    query, key, value = [
        real_operand("attention", x, name) for x, name in ((query, "query"), (key, "key"), (value, "value"))
    ]
    fits = min(query.ndim, key.ndim, value.ndim) > 1 and query.shape[-1] == key.shape[-1]
    if not fits or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"attention: query {query.shape}, key {key.shape} and value {value.shape}; the first two need the same "
            "last axis, the last two the same length"
        )
    if not key.shape[-2]:
        raise ValueError(f"attention: key has shape {key.shape}; there is nothing to look at in a sequence of length 0")
    batch = _broadcast(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    if batch is None:
        raise ValueError(
            f"attention: query {query.shape}, key {key.shape} and value {value.shape}; the axes before the last two "
            "have to be the same, or 1"
        )
    scores = (query * query.shape[-1] ** -0.5) @ np.swapaxes(key, -1, -2)
    if mask is not None:
        mask = operand("attention", mask, "mask")
        if mask.dtype != bool:
            raise TypeError(f"attention: mask has dtype {mask.dtype}; make it boolean, as in mask != 0")
        places = (*batch, query.shape[-2], key.shape[-2])
        if _broadcast(mask.shape, places) != places:
            raise ValueError(f"attention: mask has shape {mask.shape}; it has to be {places}, or 1 in some axes")
    earlier = np.tri(query.shape[-2], key.shape[-2], dtype=bool) if causal else None
    if mask is not None:
        mask = mask if earlier is None else np.logical_and(mask, earlier)
        lowest = float(np.finfo(scores.dtype).min) / 2  # not -inf, of which a row would be nan
        weights = np.where(mask, softmax(np.where(mask, scores, lowest)), 0.0)
    else:
        weights = softmax(scores if earlier is None else np.where(earlier, scores, -np.inf))
    if p:
        weights = dropout(weights, p, np.random.default_rng(rng))
    return weights @ value


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


class MultiHeadAttention(Module):
    """Attention of several heads, each in a part of the features: (N, length, embed_dim) to the same shape.

    `in_proj_weight` is (embed_dim, 3 * embed_dim), for queries, keys and values side by side; it starts as Glorot's.
    In training weights of the heads are left out with probability `dropout`.

    >>> MultiHeadAttention(8, 2, rng=0)(np.zeros((3, 5, 8)), causal=True).shape
    (3, 5, 8)

    Raises ValueError if the heads do not divide embed_dim, and for inputs of other shapes.
    """

    _transposed = ("in_proj_weight",)

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        dtype: Any = np.float64,
        rng: Seed = None,
    ) -> None:
        self.embed_dim, self.num_heads = sizes("MultiHeadAttention", embed_dim=embed_dim, num_heads=num_heads)
        if self.embed_dim % self.num_heads:
            raise ValueError(f"MultiHeadAttention: {num_heads} heads do not divide embed_dim={embed_dim}")
        self.rng = rng = np.random.default_rng(rng)
        self.dropout = probability("MultiHeadAttention", dropout, "dropout")
        weights = [glorot_uniform((self.embed_dim, self.embed_dim), rng, dtype) for _ in range(3)]
        self.in_proj_weight = Value(np.concatenate(weights, axis=1))
        self.in_proj_bias = Value(np.zeros(3 * self.embed_dim, dtype)) if bias else None
        self.out_proj = Linear(self.embed_dim, self.embed_dim, bias, init=glorot_uniform, dtype=dtype, rng=rng)

    def forward(self, query: Any, key: Any = None, value: Any = None, *, mask: Any = None, causal: bool = False) -> Any:
        """What the heads see of `value` (of `key`, if it is None; both of `query`, if both are), put together.

        `mask` is true where a query may look at a key: the opposite of what PyTorch's `nn.MultiheadAttention` takes,
        so pass `~attn_mask`. It is (queries, keys), (N, queries, keys), or with an axis for the heads as the second of
        four.
        """
        query = real_operand(self, query, "query")
        key = query if key is None else real_operand(self, key, "key")
        value = key if value is None else real_operand(self, value, "value")
        for x in (query, key, value):
            if x.ndim != 3 or x.shape[-1] != self.embed_dim:
                raise ValueError(f"{self!r}: input has shape {x.shape}; it has to be (N, length, {self.embed_dim})")
        n, d = self.embed_dim, self.embed_dim // self.num_heads
        if key is query and value is query:
            parts = query @ self.in_proj_weight
            parts = parts if self.in_proj_bias is None else parts + self.in_proj_bias
            heads = parts.reshape((*parts.shape[:2], 3, self.num_heads, d)).transpose(2, 0, 3, 1, 4)
            q, k, v = heads[0], heads[1], heads[2]
        else:
            q, k, v = [self._heads(x, slice(i * n, (i + 1) * n)) for i, x in enumerate((query, key, value))]
        if mask is not None:
            mask = operand(self, mask, "mask")
            mask = mask[:, None] if mask.ndim == 3 else mask
        y = attention(q, k, v, mask, causal=causal, p=self.dropout if self.training else 0.0, rng=self.rng)
        return self.out_proj(y.swapaxes(1, 2).reshape((*query.shape[:2], n)))

    def _heads(self, x: Any, part: slice) -> Any:
        y = x @ self.in_proj_weight[:, part]
        y = y if self.in_proj_bias is None else y + self.in_proj_bias[part]
        return y.reshape((*y.shape[:2], self.num_heads, self.embed_dim // self.num_heads)).swapaxes(1, 2)

    def __repr__(self) -> str:
        has_bias = self.in_proj_bias is not None
        options = {"dropout": (self.dropout, 0.0), "bias": (has_bias, True)}
        return call_of(self, self.embed_dim, self.num_heads, **options)


class TransformerBlock(Module):
    """Attention and a network of two layers, each added to what it got: (N, length, embed_dim) to the same shape.

    What comes in is normalised first, as in GPT-2; with `norm_first=False` what goes out, as in the paper. The
    network is `dim_feedforward` wide, 4 * embed_dim if it is None, with an `activation` between, GELU if it is None.
    With `causal` no place looks at later ones.

    >>> TransformerBlock(8, 2, causal=True, rng=0)(np.zeros((3, 5, 8))).shape
    (3, 5, 8)

    Raises ValueError if the heads do not divide embed_dim, and for inputs of other shapes, TypeError for an activation
    that is no layer and no function.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dim_feedforward: int | None = None,
        dropout: float = 0.0,
        *,
        causal: bool = False,
        norm_first: bool = True,
        activation: Any = None,
        dtype: Any = np.float64,
        rng: Seed = None,
    ) -> None:
        if activation is not None and (isinstance(activation, type) or not callable(activation)):
            raise TypeError(f"TransformerBlock: activation={activation!r}; pass a layer, as nn.ReLU(), or a function")
        rng = np.random.default_rng(rng)
        width = 4 * embed_dim if dim_feedforward is None else dim_feedforward
        self.causal, self.norm_first = bool(causal), bool(norm_first)
        self.norm1 = LayerNorm(embed_dim, dtype=dtype)
        self.self_attn = MultiHeadAttention(embed_dim, num_heads, dropout, dtype=dtype, rng=rng)
        self.norm2 = LayerNorm(embed_dim, dtype=dtype)
        self.linear1 = Linear(embed_dim, width, dtype=dtype, rng=rng)
        self.activation = GELU() if activation is None else activation
        self.linear2 = Linear(width, embed_dim, dtype=dtype, rng=rng)
        self.dropout = Dropout(dropout, rng=rng)

    def forward(self, x: Any, mask: Any = None) -> Any:
        """The block's output. `mask` is true where a place may look at another one: the opposite of what the
        `src_mask` of PyTorch's `nn.TransformerEncoderLayer` is. It is as for `MultiHeadAttention`.
        """
        if self.norm_first:
            x = x + self._look(self.norm1(x), mask)
            return x + self._network(self.norm2(x))
        x = self.norm1(x + self._look(x, mask))
        return self.norm2(x + self._network(x))

    def _look(self, x: Any, mask: Any) -> Any:
        return self.dropout(self.self_attn(x, mask=mask, causal=self.causal))

    def _network(self, x: Any) -> Any:
        return self.dropout(self.linear2(self.dropout(self.activation(self.linear1(x)))))
