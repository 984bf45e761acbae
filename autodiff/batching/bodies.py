"""Functions of our own that are written with NumPy's: on a batch their bodies run as they are."""

from ..arrays import undispatched
from ..batched import batch
from ..regions import embed, follow, punch
from ..rules.activations import log_softmax, logsumexp, nll, softmax
from ..rules.linalg_decompositions import fold, half, mirror
from ..rules.reduce import magnitude, spread, variance

__all__: list[str] = []  # its entries are in BATCHING

for _function in (
    *(embed, follow, fold, half, log_softmax, logsumexp, magnitude, mirror, nll, punch, softmax),
    *(spread, variance),
):
    batch(_function)(undispatched(_function))
