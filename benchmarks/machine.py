"""What the figures were measured on, and how many cores everybody may use.

Imports no array library, so that `set_threads` can run before the first thread pool is made.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime

PACKAGES = ("numpy", "torch", "autograd", "mygrad", "micrograd", "jax")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")


def set_threads(threads: int, *, pin: bool = True) -> None:
    """Thread pools of this size for this process and its children (NPROC is XLA's), and as many cores."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if pin and hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:threads])


def cores() -> int:
    """The cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name, as the system gives it."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def blas() -> str | None:
    """NumPy's BLAS and the kernels that it has chosen, as `openblas 0.3.31 (SkylakeX)`."""
    try:
        import numpy  # noqa: F401
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    for pool in threadpool_info():
        if pool["user_api"] == "blas" and "numpy" in pool["filepath"]:
            return f"{pool['internal_api']} {pool['version']} ({pool.get('architecture', 'kernels unknown')})"
    return None


def facts(threads: int) -> dict[str, object]:
    """The facts that go on record next to the figures."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores_in_machine": os.cpu_count(),
        "cores_used": cores(),
        "threads": threads,
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "blas": blas(),
        "packages": {name: version(name) for name in PACKAGES},
    }
