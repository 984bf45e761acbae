"""Sparse Jacobians and Hessians: large ones by themselves, and a small one next to dense ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import autodiff
from autodiff.sparse.colouring import colour_columns

from .harness import OURS, Goal, Row, Settings, check_equal, interleave, make_row, peer, scaled

GROUP = "sparse"
COLUMNS = ("pattern", "colours", "autograd", "jax jit", "jvp")
LINE, PLANE, SMALL = 100_000, 300, 500

Run = Callable[[], object]


def stencil(u: Any, numpy: Any = np) -> Any:
    """A reaction and diffusion on a line, with fixed ends."""
    return numpy.concatenate([u[:1], u[:-2] - 2 * u[1:-1] + u[2:] - u[1:-1] ** 3, u[-1:]])


def plane(u: Any) -> Any:
    """The same on a square, with zeros around it: five points."""
    u = np.pad(u.reshape(PLANE, PLANE), 1)
    inner = u[1:-1, 1:-1]
    return (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * inner - inner**3).ravel()


def rosenbrock(x: Any) -> Any:
    """The test function of optimizers; its Hessian is tridiagonal."""
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def large(settings: Settings, label: str, whole: Any, of: Any, x: Any, entries: int, goal: Goal) -> Row:
    """The matrix, and two of the three steps to it: the pattern of dependence and its colours."""
    if (found := whole(x).nnz) != entries:
        raise AssertionError(f"{label}: {found} entries, not {entries}")
    find = autodiff.jacobian_sparsity(of)
    pattern = find(x)
    work: dict[str, Run] = {
        OURS: lambda: whole(x),
        "pattern": lambda: find(x),
        "colours": lambda: colour_columns(pattern),
    }
    note = f"{colour_columns(pattern)[1]} colours, {entries:,} entries"
    return make_row(GROUP, label, "ms", scaled(interleave(work, settings), 1e3), {OURS: goal}, [note])


def large_rows(settings: Settings) -> Iterator[Row]:
    """Matrices that would not fit into memory if they were dense: 80 GB and 65 GB."""
    line, square = np.linspace(0.1, 1.0, LINE), np.linspace(0.1, 1.0, PLANE**2)
    gradient, jacobian = autodiff.grad(rosenbrock), autodiff.sparse_jacobian
    label, entries = f"Jacobian, 3 points, n = {LINE:,}", 3 * LINE - 4
    yield large(settings, label, jacobian(stencil), stencil, line, entries, Goal(1000, 100))
    label, entries = f"Jacobian, 5 points, n = {PLANE} x {PLANE}", 5 * PLANE**2 - 4 * PLANE
    yield large(settings, label, jacobian(plane), plane, square, entries, Goal(3000, 200))
    label, entries = f"Hessian of Rosenbrock, n = {LINE:,}", 3 * LINE - 2
    yield large(settings, label, autodiff.sparse_hessian(rosenbrock), gradient, line, entries, Goal(1500, 200))


def small_row(settings: Settings) -> Row:
    """Where the others can follow: column by column, or row by row."""
    x = np.linspace(0.1, 1.0, SMALL)
    jacobian = autodiff.sparse_jacobian(stencil)
    work: dict[str, Run] = {OURS: lambda: jacobian(x)}
    dense: dict[str, Callable[[], Any]] = {OURS: lambda: jacobian(x).toarray()}
    units = np.eye(SMALL)
    work["jvp"] = dense["jvp"] = lambda: np.stack([autodiff.jvp(stencil, (x,), (e,))[1] for e in units], axis=1)
    if peer("autograd") is not None:
        import autograd

        theirs = autograd.jacobian(lambda u: stencil(u, autograd.numpy))
        work["autograd"] = dense["autograd"] = lambda: theirs(x)
    if not settings.quick and (jax := peer("jax")) is not None:
        jax.config.update("jax_enable_x64", True)
        compiled = jax.jit(jax.jacfwd(lambda u: stencil(u, jax.numpy)))
        work["jax jit"] = dense["jax jit"] = lambda: compiled(x).block_until_ready()
    check_equal("3 points", {who: [np.asarray(run())] for who, run in dense.items()})
    goals = {"autograd": Goal(0.1, 0.02), "jvp": Goal(0.1, 0.03)}
    samples = scaled(interleave(work, settings.capped(rounds=7, sample_seconds=0.02)), 1e3)
    return make_row(GROUP, f"Jacobian, 3 points, n = {SMALL}", "ms", samples, goals)


def rows(settings: Settings) -> Iterator[Row]:
    """Three large matrices, and a small one."""
    yield from large_rows(settings.capped(rounds=9, sample_seconds=0.05))
    yield small_row(settings)
