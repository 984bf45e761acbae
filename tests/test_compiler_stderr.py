"""Short rows: nothing is said on stderr. LLVM complains where it is asked for vectors that it cannot make."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("llvmlite")

FUNCTIONS = """
x % 0.3; 0.3 % x; x // 0.3; np.fmod(x, 0.3); divmod(x, 0.3); (x % 0.3).sum(-1); np.exp(x) % 0.3; x % 2.0
np.max(np.where(np.isnan(x), -np.inf, x), -1); np.max(np.where(np.isfinite(x), x, -np.inf), -1)
np.min(np.where(x > 0, x, np.inf), -1); np.max(np.where(x == x, x, -1.0), -1); np.nanmax(x, -1); np.ptp(x, -1)
np.max(np.fmax(x, 0.3), -1); np.max(np.where(x > 0, x, 0.0), -1); np.max(np.nan_to_num(x), -1); np.argmax(x, -1)
np.max(np.copysign(1.0, x), -1); np.max((x > 0) * 1.0, -1); np.max(x.astype(int).astype(x.dtype), -1)
x.astype(int) % 3; x.astype(int) // 3; np.any(x > 0, -1); np.prod(np.where(np.isnan(x), 1.0, x), -1)
np.cumsum(x, -1); np.sort(x, -1); np.hypot(x, x); np.sin(x) + np.cos(x); np.abs(x) ** 0.3; np.logaddexp(x, 1.0)
"""

SCRIPT = f"""
import warnings
import numpy as np
import autodiff as ad

warnings.simplefilter("ignore")
for text in {FUNCTIONS!r}.strip().replace("\\n", ";").split(";"):
    for shape in ((2,), (7,), (31,), (4, 7), (40, 12)):
        for dtype in ("f4", "f8"):
            x = np.linspace(-2, 2.1, int(np.prod(shape))).reshape(shape).astype(dtype)
            f = eval("lambda x:" + text)
            jitted = ad.jit(f)
            for _ in range(2):
                for a, b in zip(np.atleast_1d(jitted(x)), np.atleast_1d(f(x)), strict=True):
                    assert np.allclose(a, b, 1e-4, 1e-4), text
            assert jitted.cache_info().programs == 1, text
print("done")
"""


def test_nothing_is_said_on_stderr() -> None:
    root = Path(__file__).parents[1]
    env = {**os.environ, "AUTODIFF_JIT_CACHE": "0", "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"}
    env.pop("AUTODIFF_JIT", None)
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, timeout=300)
    assert done.stdout == "done\n", done.stderr
    assert done.stderr == "", done.stderr[:1000]
