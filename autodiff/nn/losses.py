"""Losses: functions from a prediction and a target to one number, the mean over the batch."""

import math
from typing import Any

import numpy as np

from ..errors import OperandError
from ..rules.activations import log_softmax, nll, softplus
from ..value import Value

__all__ = ["bce_with_logits", "cross_entropy", "huber", "kl_div", "mse"]


def cross_entropy(logits: Any, labels: Any, label_smoothing: float = 0.0, ignore_index: int | None = None) -> Any:
    """The mean over rows of `-log(softmax(logits)[label])`, without overflow.

    `logits` has shape (..., C). `labels` are integers in 0..C-1 of shape (...), or (..., C) probabilities, which may be
    tracked too. With `label_smoothing` labels are mixed with so much of the uniform distribution (Szegedy et al.,
    arXiv:1512.00567). Rows whose label is `ignore_index` are left out. The result has the dtype of the logits.

    >>> float(cross_entropy(np.array([[0.0, 1e4], [0.0, 0.0]]), [1, 0]))
    0.34657359027997264
    >>> float(cross_entropy(np.zeros((2, 3, 4)), [[0, 1, -1], [2, 3, -1]], ignore_index=-1))
    1.3862943611198906

    Raises ValueError for other shapes, no rows, or a label out of range, and OperandError for labels
    that are not integers.
    """
    logits, labels = _array(logits), _array(labels)
    shape = logits.shape
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"cross_entropy: logits have shape {shape}; it has to be (..., C), nothing of it 0")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}; it has to be in [0, 1]")
    classes, rows = shape[-1], math.prod(shape[:-1])
    logits = logits.reshape((rows, classes)) if len(shape) > 2 else logits
    if labels.shape == shape and ignore_index is None:
        labels = labels.reshape((rows, classes)) if len(shape) > 2 else labels
        if label_smoothing:
            labels = labels * (1 - label_smoothing) + label_smoothing / classes
        logp = log_softmax(logits, axis=-1)
        return (labels * np.where(labels == 0, 0.0, logp)).sum() / -rows  # 0 * -inf counts as 0
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
    if labels.min() < 0 or labels.max() >= classes:
        row = int(np.argmax((labels < 0) | (labels >= classes)))
        raise ValueError(f"cross_entropy: labels[{row}] is {labels[row]}; with {classes} classes 0..{classes - 1} fit")
    if kept is None and not label_smoothing:
        return nll(logits, labels)
    logp = log_softmax(logits, axis=-1)
    losses = np.take_along_axis(logp, labels[:, None], axis=-1)[:, 0]
    if label_smoothing:
        losses = losses * (1 - label_smoothing) + logp.mean(axis=-1) * label_smoothing
    if kept is None:
        return -losses.mean()
    return -np.where(kept, losses, 0.0).sum() / np.maximum(kept.sum(), 1).astype(losses.dtype)


def bce_with_logits(logits: Any, targets: Any) -> Any:
    """The mean of `-t * log(p) - (1 - t) * log(1 - p)` with `p = sigmoid(logits)`, without overflow.

    `targets` are probabilities, or 0 and 1, of the shape of the logits.

    >>> float(bce_with_logits(np.array([0.0, 1e4]), [1, 1]))
    0.34657359027997264

    Raises ValueError for different shapes, or no elements.
    """
    logits, targets = _pair("bce_with_logits", "logits", logits, "targets", targets)
    return (softplus(logits) - logits * targets).mean()


def huber(prediction: Any, target: Any, delta: float = 1.0) -> Any:
    """The mean of `e ** 2 / 2` where `|e| <= delta`, else of `delta * (|e| - delta / 2)` (Huber, 1964).

    >>> float(huber(np.array([0.5, 3.0]), [0.0, 0.0]))
    1.3125

    Raises ValueError for different shapes, no elements, or a delta that is not positive.
    """
    if not delta > 0:
        raise ValueError(f"huber: delta is {delta}; it has to be positive")
    prediction, target = _pair("huber", "prediction", prediction, "target", target)
    error = np.abs(prediction - target)
    near = np.minimum(error, delta)
    return (near * (error - 0.5 * near)).mean()


def kl_div(log_prediction: Any, target: Any) -> Any:
    """The Kullback-Leibler divergence of rows: the mean over them of `sum(t * (log(t) - log_prediction))`.

    `log_prediction`, as from `log_softmax`, and the probabilities `target` have shape (..., C).

    >>> float(kl_div(np.log(np.array([[0.5, 0.5]])), [[1.0, 0.0]]))
    0.6931471805599453

    Raises ValueError for different shapes, or no elements.
    """
    log_prediction, target = _pair("kl_div", "log_prediction", log_prediction, "target", target)
    is_there = target > 0
    parts = target * (np.log(np.where(is_there, target, 1.0)) - np.where(is_there, log_prediction, 0.0))
    rows = math.prod(target.shape[:-1])
    return parts.sum() / rows


def mse(prediction: Any, target: Any) -> Any:
    """The mean of `(prediction - target) ** 2` over all elements; `|prediction - target| ** 2` if complex.

    Both have the same shape: nothing is broadcast, because (N, 1) against (N,) is always a mistake.

    >>> float(mse(np.array([1.0, 2.0]), [1.0, 4.0]))
    2.0

    Raises ValueError for different shapes, or no elements.
    """
    prediction, target = _pair("mse", "prediction", prediction, "target", target)
    error = prediction - target
    return (error * error.conj()).real.mean() if error.dtype.kind == "c" else (error * error).mean()


def _pair(function: str, first: str, x: Any, second: str, y: Any) -> tuple[Any, Any]:
    """Two arrays of one shape, the second one of floats."""
    x, y = _array(x), _array(y)
    if x.shape != y.shape or 0 in y.shape:
        raise ValueError(
            f"{function}: {first} has shape {x.shape}, {second} {y.shape}; they have to be the same, with at least one "
            "element"
        )
    return x, y.astype(x.dtype if x.dtype.kind in "fc" else float) if y.dtype.kind in "biu" else y


def _array(x: Any) -> Any:
    """Lists, numbers and columns of tables as arrays; Values and arrays of any kind as they are."""
    return x if hasattr(type(x), "__array_function__") else np.asarray(x)
