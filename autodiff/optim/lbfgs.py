"""L-BFGS, SciPy's, over the parameters of a model."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..value import Value
from .groups import array_of, leaves_of

__all__ = ["LBFGS"]


class LBFGS:
    """Quasi-Newton steps with a line search (Liu and Nocedal, 1989), by `scipy.optimize`.

    `step(closure)` calls the closure as often as it needs: it computes the loss, calls `backward()`, and returns the
    loss. One call of `step` is a whole minimisation of at most `max_iter` iterations, with `history_size` pairs kept;
    it starts without a memory. All data, or a large batch, should be in the closure. There are no groups.

    >>> w = Value([3.0, -1.0])
    >>> optimizer = LBFGS([w])
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1.0) ** 4).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure) < 1e-8
    True

    Raises OperandError for what is no tracked leaf, TypeError for complex parameters, ValueError if there is none or
    max_iter < 1, ImportError without SciPy.
    """

    def __init__(
        self, params: Iterable[Value], *, max_iter: int = 20, tolerance_grad: float = 1e-7, history_size: int = 10
    ) -> None:
        self.params = leaves_of("LBFGS", params)
        if max_iter < 1 or history_size < 1:
            raise ValueError(f"LBFGS: max_iter={max_iter} and history_size={history_size} have to be at least 1")
        if any(p.dtype.kind == "c" for p in self.params):
            raise TypeError("LBFGS: a parameter is complex; SciPy's needs real ones")
        self.max_iter, self.tolerance_grad, self.history_size = max_iter, tolerance_grad, history_size

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.params:
            p.zero_grad()

    def step(self, closure: Callable[[], Any]) -> float:
        """Minimise the loss that `closure` computes; the loss at the end."""
        minimize = _scipy()
        best: list[tuple[float, Any]] = []  # one: where a line search runs into nan, SciPy forgets it

        def loss_and_gradient(x: Any) -> tuple[float, Any]:
            self._set(x)
            loss = float(array_of(closure()))
            if loss < (best[0][0] if best else np.inf):
                best[:] = [(loss, np.array(x))]
            parts = [np.zeros(p.size) if p.grad is None else np.ravel(array_of(p.grad)) for p in self.params]
            return loss, np.concatenate(parts).astype(float)

        start = np.concatenate([np.ravel(p.data) for p in self.params]).astype(float)
        options = {"maxiter": self.max_iter, "gtol": self.tolerance_grad, "maxcor": self.history_size}
        found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
        loss, x = best[0] if best and not found.fun <= best[0][0] else (float(found.fun), found.x)
        self._set(x)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Nothing: a step starts without a memory. It is here so that a checkpoint can have any optimizer."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as before. Raises ValueError if there is anything in it."""
        if len(state):
            raise ValueError(
                f"LBFGS.load_state_dict: {next(iter(state))} is unexpected; a LBFGS keeps nothing between steps"
            )

    def _set(self, x: Any) -> None:
        at = 0
        for p in self.params:
            p.data = x[at : at + p.size].reshape(p.shape).astype(p.dtype)
            at += p.size

    def __repr__(self) -> str:
        return f"LBFGS(max_iter={self.max_iter}, history_size={self.history_size}, parameters={len(self.params)})"


def _scipy() -> Any:
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise ImportError('LBFGS: needs SciPy: pip install "autodiff[scipy]"') from error
    return minimize
