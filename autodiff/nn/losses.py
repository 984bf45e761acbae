"""Losses: functions from a prediction and a target to one number, the mean over the batch."""

import math
from typing import Any

import numpy as np

from ..batched import Batched
from ..errors import OperandError
from ..rules.activations import floats, log_softmax, nll, softplus
from ..value import Value
from .inputs import are_within

__all__ = ["bce_with_logits", "cross_entropy", "huber", "kl_div", "mae", "mse"]


@np.errstate(over="ignore")  # differences of the greatest numbers, which are -inf as they should
def cross_entropy(
    logits: Any,
    labels: Any,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    weight: Any = None,
    reduction: str = "mean",
) -> Any:
    """The mean over rows of `-log(softmax(logits)[label])`, without overflow.

    `logits` has shape (..., C), (C,) for one example. `labels` are integers in 0..C-1 of shape (...), or (..., C)
    probabilities, which may be tracked too. With `label_smoothing` labels are mixed with so much of the uniform
    distribution (Szegedy et al., arXiv:1512.00567). Rows whose label is `ignore_index` are left out; the loss is 0 if
    all are. `weight`, of shape (C,), multiplies the losses of the classes; the mean is then weighted too, as PyTorch's
    is, for integer labels. `reduction` is "mean", "sum", or "none" for an array (...). The result has the dtype of the
    logits.

    >>> float(cross_entropy(np.array([[0.0, 1e4], [0.0, 0.0]]), [1, 0]))
    0.34657359027997264
    >>> float(cross_entropy(np.zeros((2, 3, 4)), [[0, 1, -1], [2, 3, -1]], ignore_index=-1))
    1.3862943611198906

    Raises ValueError for other shapes, no rows, a label out of range or an unknown reduction, and OperandError for
    labels that are not integers.
    """
    logits, labels = floats(_array(logits)), _array(labels)
    shape = logits.shape
    if not shape or 0 in shape:
        raise ValueError(f"cross_entropy: logits have shape {shape}; it has to be (..., C), nothing of it 0")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}; it has to be in [0, 1]")
    classes, rows = shape[-1], math.prod(shape[:-1])
    if weight is not None:
        weight = _array(weight)
        if weight.shape != (classes,):
            raise ValueError(f"cross_entropy: weight has shape {weight.shape}; with logits {shape} it is ({classes},)")
        weight = weight.astype(logits.dtype)
    logits = logits.reshape((rows, classes)) if len(shape) != 2 else logits
    if labels.shape == shape and ignore_index is None:
        labels = labels.reshape((rows, classes)) if len(shape) != 2 else labels
        labels = labels.astype(logits.dtype) if logits.dtype.kind == "f" else labels
        if label_smoothing:
            labels = labels * (1 - label_smoothing) + label_smoothing / classes
        logp = log_softmax(logits, axis=-1)
        parts = labels * np.where(labels == 0, 0.0, logp)  # 0 * -inf counts as 0
        return _reduced("cross_entropy", _weighted(parts, weight).sum(axis=-1) * -1, reduction, shape[:-1])
    if labels.shape != shape[:-1]:
        raise ValueError(
            f"cross_entropy: labels have shape {labels.shape}, logits {shape}; {shape[:-1]} fits"
            + (f", or {shape}" if ignore_index is None else "")
        )
    if labels.dtype.kind not in "iu":
        raise OperandError(f"cross_entropy: labels are {labels.dtype}, class numbers are needed: labels.astype(int)")
    labels = (labels.data if isinstance(labels, Value) else labels).reshape(rows)
    kept = None
    if ignore_index is not None:
        kept = labels != ignore_index
        labels = np.where(kept, labels, 0)
    if not are_within(labels, classes):
        if isinstance(labels, Batched):
            raise ValueError(f"cross_entropy: a label is out of range; with {classes} classes 0..{classes - 1} fit")
        row = int(np.argmax((labels < 0) | (labels >= classes)))
        raise ValueError(
            f"cross_entropy: labels[{row}] is {labels[row]}; with {classes} classes 0..{classes - 1} fit, and "
            f"ignore_index={labels[row]} leaves such rows out"
        )
    if kept is None and not label_smoothing and weight is None and reduction == "mean":
        return nll(logits, labels)
    logp = _weighted(log_softmax(logits, axis=-1), weight)
    losses = -_chosen(logp, labels)
    if label_smoothing:
        losses = losses * (1 - label_smoothing) - logp.mean(axis=-1) * label_smoothing
    counts = None if weight is None else _chosen(np.broadcast_to(weight, (rows, classes)), labels)
    if kept is not None:
        losses = np.where(kept, losses, 0.0)
        counts = kept.astype(losses.dtype) if counts is None else kept * counts
    if reduction != "mean" or counts is None:
        return _reduced("cross_entropy", losses, reduction, shape[:-1])
    total = counts.sum()
    return losses.sum() / (total + (total == 0))  # 0 if there is nothing to weigh


def bce_with_logits(logits: Any, targets: Any, *, pos_weight: Any = None, reduction: str = "mean") -> Any:
    """The mean of `-t * log(p) - (1 - t) * log(1 - p)` with `p = sigmoid(logits)`, without overflow.

    `targets` are probabilities, or 0 and 1, of the shape of the logits. `pos_weight`, which is broadcast to that shape,
    multiplies the first term. `reduction` is "mean", "sum", or "none" for an array of that shape.

    >>> float(bce_with_logits(np.array([0.0, 1e4]), [1, 1]))
    0.34657359027997264

    Raises ValueError for different shapes, no elements, or an unknown reduction.
    """
    logits, targets = _pair("bce_with_logits", "logits", logits, "targets", targets)
    weighted = targets if pos_weight is None else targets * _array(pos_weight).astype(targets.dtype)
    # weighted * softplus(-x) + (1 - t) * softplus(x), both by softplus(-abs(x)), so that nothing cancels. The signs are
    # constants, which keeps the derivatives of any order right at 0.
    above = ((logits.data if isinstance(logits, Value) else logits) > 0).astype(logits.dtype)
    small, linear = softplus(logits * (1 - 2 * above)), logits * ((1 - targets) * above - weighted * (1 - above))
    losses = (small if pos_weight is None else small * (weighted + (1 - targets))) + linear
    return _reduced("bce_with_logits", losses, reduction)


def huber(prediction: Any, target: Any, delta: float = 1.0, *, reduction: str = "mean") -> Any:
    """The mean of `e ** 2 / 2` where `|e| <= delta`, else of `delta * (|e| - delta / 2)` (Huber, 1964).

    `reduction` is "mean", "sum", or "none" for an array.

    >>> float(huber(np.array([0.5, 3.0]), [0.0, 0.0]))
    1.3125

    Raises ValueError for different shapes, no elements, a delta that is not positive, or an unknown reduction.
    """
    if not delta > 0:
        raise ValueError(f"huber: delta is {delta}; it has to be positive")
    prediction, target = _pair("huber", "prediction", prediction, "target", target)
    error = np.abs(prediction - target)
    near = np.minimum(error, delta)
    return _reduced("huber", near * (error - 0.5 * near), reduction)


def kl_div(log_prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """The Kullback-Leibler divergence of rows: the mean over them of `sum(t * (log(t) - log_prediction))`.

    `log_prediction`, as from `log_softmax`, and the probabilities `target` have shape (..., C). `reduction` is "mean"
    (PyTorch's "batchmean"), "sum", or "none" for an array (...).

    >>> float(kl_div(np.log(np.array([[0.5, 0.5]])), [[1.0, 0.0]]))
    0.6931471805599453

    Raises ValueError for different shapes, no elements, or an unknown reduction.
    """
    log_prediction, target = _pair("kl_div", "log_prediction", log_prediction, "target", target)
    is_there = target > 0
    parts = target * (np.log(np.where(is_there, target, 1.0)) - np.where(is_there, log_prediction, 0.0))
    return _reduced("kl_div", parts.sum(axis=-1), reduction)


def mae(prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """The mean of `|prediction - target|` over all elements, also known as the L1 loss.

    Both have the same shape, as for `mse`. `reduction` is "mean", "sum", or "none" for an array.

    >>> float(mae(np.array([1.0, 2.0]), [1.0, 4.0]))
    1.0

    Raises ValueError for different shapes, no elements, or an unknown reduction.
    """
    prediction, target = _pair("mae", "prediction", prediction, "target", target)
    return _reduced("mae", np.abs(prediction - target), reduction)


def mse(prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """The mean of `(prediction - target) ** 2` over all elements; `|prediction - target| ** 2` if complex.

    Both have the same shape: nothing is broadcast, because (N, 1) against (N,) is always a mistake. `reduction` is
    "mean", "sum", or "none" for an array.

    >>> float(mse(np.array([1.0, 2.0]), [1.0, 4.0]))
    2.0

    Raises ValueError for different shapes, no elements, or an unknown reduction.
    """
    prediction, target = _pair("mse", "prediction", prediction, "target", target)
    error = prediction - target
    return _reduced("mse", (error * error.conj()).real if error.dtype.kind == "c" else error * error, reduction)


def _chosen(x: Any, labels: Any) -> Any:
    """The element of each row that its label names."""
    return np.take_along_axis(x, labels[:, None], axis=-1)[:, 0]


def _weighted(parts: Any, weight: Any) -> Any:
    return parts if weight is None else parts * weight


def _reduced(function: str, losses: Any, reduction: str, shape: tuple[int, ...] | None = None) -> Any:
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction != "none":
        raise ValueError(f'{function}: reduction is {reduction!r}; it has to be "mean", "sum" or "none"')
    return losses if shape is None or losses.shape == shape else losses.reshape(shape)


def _pair(function: str, first: str, x: Any, second: str, y: Any) -> tuple[Any, Any]:
    """Two arrays of one shape, of floats."""
    x, y = floats(_array(x)), _array(y)
    if x.shape != y.shape or 0 in y.shape:
        raise ValueError(
            f"{function}: {first} has shape {x.shape}, {second} {y.shape}; they have to be the same, with at least one "
            "element"
        )
    return x, y.astype(x.dtype) if y.dtype.kind in "biu" else y


def _array(x: Any) -> Any:
    """Lists, numbers and columns of tables as arrays; Values and arrays of any kind as they are."""
    return x if hasattr(type(x), "__array_function__") else np.asarray(x)
