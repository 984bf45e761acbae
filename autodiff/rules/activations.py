"""Functions of neural networks, stable everywhere: relu ... silu, softmax, logsumexp."""

import math
from typing import Any

import numpy as np

from ..arrays import dispatchable, expand, getitem, keepaxes, scatter_add, undispatched
from ..rule import composite, elementwise, general
from .elementwise import FLOAT, sigmoid
from .special import erfc

__all__ = ["floats", "gelu", "leaky_relu", "log_softmax", "logsumexp", "nll", "normal_cdf", "relu", "sigmoid", "silu", "softmax", "softplus"]


Axis = int | tuple[int, ...] | None


def floats(x: Any) -> Any:
    """`x`, integers and truth values in float64: differences and powers of small ones wrap around."""
    return x.astype(float) if getattr(x, "dtype", FLOAT).kind in "biu" else x


@dispatchable
def relu(x: Any) -> Any:
    """`max(x, 0)`; the derivative at 0 is 0.

    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return np.maximum(x, 0)


@dispatchable
def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """`x` where positive, else `slope * x`.

    >>> leaky_relu(np.array([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    return np.where(x > 0, x, slope * x)


@dispatchable
def softplus(x: Any) -> Any:
    """`log(1 + exp(x))`, without overflow.

    >>> softplus(np.array([-1e4, 1e4]))
    array([    0., 10000.])
    """
    return np.logaddexp(floats(x), 0)


@dispatchable
def gelu(x: Any, approximate: str = "none") -> Any:
    """The Gaussian error linear unit `x * Phi(x)` (Hendrycks and Gimpel, arXiv:1606.08415).

    `approximate="tanh"` is the paper's faster formula, off by at most 5e-4.

    >>> gelu(np.array([0.0, 1.0])).round(6)
    array([0.      , 0.841345])
    """
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    if approximate != "none":
        raise ValueError(f'gelu: approximate={approximate!r}; it is "none" or "tanh"')
    return x * normal_cdf(x)


@dispatchable
def normal_cdf(x: Any) -> Any:
    return 0.5 * erfc(x * -math.sqrt(0.5))


@dispatchable
def silu(x: Any) -> Any:
    """`x * sigmoid(x)` (Elfwing et al., arXiv:1702.03118).

    >>> silu(np.array([-1e4, 0.0, 1e4]))
    array([   -0.,     0., 10000.])
    """
    return x * sigmoid(x)


elementwise(relu,       lambda g, ans: g * (ans > 0))
elementwise(leaky_relu, lambda g, x, slope=0.01: np.where(x > 0, g, slope * g))
elementwise(softplus,   lambda g, x: g * sigmoid(x))
elementwise(normal_cdf, lambda g, x: g * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))
composite(gelu,         undispatched(gelu))
composite(silu,         undispatched(silu))


@dispatchable
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """`log(sum(exp(x)))` over `axis`, without overflow; -inf where everything is -inf.

    >>> float(logsumexp(np.array([1e4, 1e4])))
    10000.69314718056
    """
    shift = x.max(axis=axis, keepdims=True)
    shift = np.where(np.isfinite(shift), shift, 0.0)
    with np.errstate(divide="ignore"):
        ans = np.log(np.exp(x - shift).sum(axis=axis, keepdims=True)) + shift
    return ans if keepdims else ans.reshape(x.sum(axis=axis).shape)


@dispatchable
def softmax(x: Any, axis: Axis = -1) -> Any:
    """`exp(x) / sum(exp(x))` along `axis`, without overflow.

    >>> softmax(np.array([1e4, 1e4, -np.inf]))
    array([0.5, 0.5, 0. ])
    """
    x = floats(x)
    if 0 in x.shape:
        return x.copy()
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@dispatchable
def log_softmax(x: Any, axis: Axis = -1) -> Any:
    """`log(softmax(x))` along `axis`, without overflow.

    >>> log_softmax(np.array([1e4, 0.0]))
    array([     0., -10000.])
    """
    x = floats(x)
    if 0 in x.shape:
        return x.copy()
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


@dispatchable
def nll(x: Any, labels: Any) -> Any:
    """The mean over rows of `-log_softmax(x)[label]`: what cross entropy is for class numbers.

    >>> float(nll(np.zeros((3, 4)), np.array([0, 1, 2])))
    1.3862943611198906
    """
    return nll_forward(x, labels)[0]


def nll_forward(x, labels):
    rows = np.cumsum(np.ones_like(labels)) - 1  # an arange on whatever device the labels are
    key = (rows, labels)
    return -getitem(log_softmax(x), key).mean(), key


def nll_map(g, x, aux):
    g = g * (1 / x.shape[0])
    return softmax(x) * g - scatter_add(expand(g, aux[1].shape), aux, x.shape)


def logsumexp_map(g, x, ans, axis=None, keepdims=False):
    ans = np.where(ans == -math.inf, 0.0, ans)  # where all are -inf, exp(x - 0) is 0 as it should
    return expand(keepaxes(g, x, axis, keepdims), x.shape) * np.exp(x - keepaxes(ans, x, axis, keepdims))


general(logsumexp,   None, logsumexp_map)
general(nll,         nll_forward, nll_map)
general(softmax,     None, lambda g, ans, axis=-1: ans * (g - (g * ans).sum(axis=axis, keepdims=True)))
general(log_softmax, None, lambda g, ans, axis=-1: g - np.exp(ans) * g.sum(axis=axis, keepdims=True))
