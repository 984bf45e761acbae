"""Losses: functions from a prediction and a target to one number, the mean over the batch."""

from typing import Any

import numpy as np

from ..errors import OperandError
from ..rules.activations import log_softmax, nll
from ..value import Value

__all__ = ["cross_entropy", "mse"]


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean over rows of `-log(softmax(logits)[label])`, without overflow.

    `logits` has shape (N, C). `labels` are N integers in 0..C-1, or (N, C) probabilities, which may be
    tracked too. The result has the dtype of the logits.

    >>> float(cross_entropy(np.array([[0.0, 1e4], [0.0, 0.0]]), [1, 0]))
    0.34657359027997264

    Raises ValueError for other shapes, no rows, or a label out of range, and OperandError for labels
    that are not integers.
    """
    logits, labels = _array(logits), _array(labels)
    shape = logits.shape
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"cross_entropy: logits have shape {shape}; it has to be (N, C), neither of them 0")
    if labels.shape == shape:
        logp = log_softmax(logits, axis=-1)
        return (labels * np.where(labels == 0, 0.0, logp)).sum() / -shape[0]  # 0 * -inf counts as 0
    if labels.shape != shape[:1]:
        raise ValueError(
            f"cross_entropy: labels have shape {labels.shape}, logits {shape}; {shape[:1]} or {shape} fits"
        )
    if labels.dtype.kind not in "iu":
        raise OperandError(f"cross_entropy: labels are {labels.dtype}, class numbers are needed: labels.astype(int)")
    labels = labels.data if isinstance(labels, Value) else labels
    if labels.min() < 0 or labels.max() >= shape[1]:
        row = int(np.argmax((labels < 0) | (labels >= shape[1])))
        raise ValueError(
            f"cross_entropy: labels[{row}] is {labels[row]}; with {shape[1]} classes 0..{shape[1] - 1} fit"
        )
    return nll(logits, labels)


def mse(prediction: Any, target: Any) -> Any:
    """The mean of `(prediction - target) ** 2` over all elements; `|prediction - target| ** 2` if complex.

    Both have the same shape: nothing is broadcast, because (N, 1) against (N,) is always a mistake.

    >>> float(mse(np.array([1.0, 2.0]), [1.0, 4.0]))
    2.0

    Raises ValueError for different shapes, or no elements.
    """
    prediction, target = _array(prediction), _array(target)
    if prediction.shape != target.shape or 0 in target.shape:
        raise ValueError(
            f"mse: prediction has shape {prediction.shape}, target {target.shape}; they have to be the same, "
            "with at least one element"
        )
    if target.dtype.kind in "biu":
        target = target.astype(prediction.dtype if prediction.dtype.kind in "fc" else float)
    error = prediction - target
    return (error * error.conj()).real.mean() if error.dtype.kind == "c" else (error * error).mean()


def _array(x: Any) -> Any:
    """Lists, numbers and columns of tables as arrays; Values and arrays of any kind as they are."""
    return x if hasattr(type(x), "__array_function__") else np.asarray(x)
