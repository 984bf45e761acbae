"""examples/digits.py, as `make demo` runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples" / "digits.py"
EXTRAS = ("matplotlib", "sklearn", "tqdm")


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=300
    )


def is_picture(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


def test_a_short_run_learns_and_draws(tmp_path: Path) -> None:
    done = run(str(DEMO), "--smoke", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^seed 0: 9\d\.\d% of the held-out digits right, \d+\.\d s of training, .* images/s$",
        done.stdout,
        re.MULTILINE,
    )
    assert re.search(r"2/2 .* loss 0\.\d+, held-out accuracy 9\d\.\d%", done.stderr)  # the progress bar
    assert is_picture(tmp_path / "demo.png")


@pytest.mark.slow
def test_the_median_of_five_seeds(tmp_path: Path) -> None:
    done = run(str(DEMO), "--seeds", "5", "--out", "five.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    median = re.search(r"^median: (\d+\.\d)% .* right, (\d+\.\d) s", done.stdout, re.MULTILINE)
    assert median is not None
    assert float(median[1]) >= 97
    assert is_picture(tmp_path / "five.png")


@pytest.mark.parametrize("missing", EXTRAS)
def test_a_missing_extra_is_named(missing: str, tmp_path: Path) -> None:
    pretend = f"import runpy, sys; sys.modules[{missing!r}] = None; sys.path.insert(0, {str(DEMO.parent)!r}); "
    pretend += f"runpy.run_path({str(DEMO)!r}, run_name='__main__')"
    done = run("-c", pretend, cwd=tmp_path)
    assert done.returncode == 1
    assert "autodiff[demo]" in done.stderr
    assert 'pip install -e ".[demo]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    done = run(str(DEMO), "--epochs", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert "at least 1" in done.stderr


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q"]))
