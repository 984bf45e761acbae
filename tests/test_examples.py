"""The examples, as `make examples` runs them: short runs of all, and whole ones, which have to reach what they show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples"
OTHERS = ("digits", "style", "texts")  # as in the Makefile
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in OTHERS)
PACKAGES = {"matplotlib": "matplotlib", "sklearn": "scikit-learn", "scipy": "scipy", "tqdm": "tqdm"}


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=1800
    )


def example(name: str, *options: str, cwd: Path) -> str:
    """What it prints. It has to end well, say nothing but its progress on the way, and write its picture."""
    done = run(str(FOLDER / f"{name}.py"), *options, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert re.search(r"%\||it/s|step/s|^epoch 1/", done.stderr, re.MULTILINE), done.stderr
    assert "Warning" not in done.stderr, done.stderr
    picture = cwd / f"{name}.png"
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000
    return done.stdout


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found is not None, text
    return float(found[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_short_run(name: str, tmp_path: Path) -> None:
    assert f"the picture is in {name}.png" in example(name, "--smoke", cwd=tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_documented(name: str) -> None:
    source = (FOLDER / f"{name}.py").read_text()
    assert f"python examples/{name}.py [" in source and "Learnt here: " in source
    assert f"examples/{name}.py" in (ROOT / "README.md").read_text()
    shown = ROOT / "docs" / "examples" / f"{name}.png"
    assert 10_000 < shown.stat().st_size < 150_000


@pytest.mark.parametrize("missing", PACKAGES)
def test_a_missing_package_is_named(missing: str, tmp_path: Path) -> None:
    name = {"sklearn": "newton", "scipy": "predator_prey"}.get(missing, "moons")
    pretend = f"import runpy, sys; sys.modules[{missing!r}] = None; sys.path.insert(0, {str(FOLDER)!r}); "
    done = run("-c", f"{pretend}runpy.run_path({str(FOLDER / name)!r} + '.py', run_name='__main__')", cwd=tmp_path)
    assert done.returncode == 1
    assert missing in done.stderr and 'pip install -e ".[examples]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_the_extra_brings_what_they_need() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought = {re.split(r"\W*>=", requirement)[0] for requirement in extras["examples"]}
    assert {*PACKAGES.values(), "safetensors", "llvmlite"} <= brought


@pytest.mark.parametrize("options", [("--epochs", "0"), ("--seed", "-1")])
def test_wrong_options_are_refused(options: tuple[str, str], tmp_path: Path) -> None:
    done = run(str(FOLDER / "moons.py"), *options, cwd=tmp_path)
    assert done.returncode == 2
    assert "at least" in done.stderr


def test_settings_are_chosen_without_the_held_out_digits(tmp_path: Path) -> None:
    done = run(str(FOLDER / "cnn.py"), "--smoke", "--folds", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert number(r"^seed 0: (\d+\.\d+)% right in cross-validation$", done.stdout) > 80
    assert "held-out" not in done.stdout and not [*tmp_path.iterdir()]


# -- whole runs


@pytest.mark.slow
def test_the_cnn_reads_digits(tmp_path: Path) -> None:
    assert number(r"median: (\d+\.\d+)%", example("cnn", "--seeds", "5", cwd=tmp_path)) >= 98.5


@pytest.mark.slow
def test_the_autoencoder_beats_single_pixels(tmp_path: Path) -> None:
    said = example("vae", cwd=tmp_path)
    assert number(r"take (\d+\.\d+) bits", said) < 2.25 < number(r"; (\d+\.\d+) if", said)


@pytest.mark.slow
def test_the_map_is_good_and_its_uncertainty_honest(tmp_path: Path) -> None:
    said = example("gaussian_process", cwd=tmp_path)
    assert number(r"predicted to (\d+) m", said) < number(r"vary by (\d+) m", said) / 2
    assert 90 < number(r"(\d+\.\d)% of them lie within", said) < 99


@pytest.mark.slow
def test_newton_finds_the_coefficients_of_scikit_learn(tmp_path: Path) -> None:
    said = example("newton", cwd=tmp_path)
    assert number(r"Newton: (\d+) steps", said) < 20
    assert number(r"coefficients: (\S+)", said) < 1e-5


@pytest.mark.slow
def test_the_simulation_fits_the_pelts(tmp_path: Path) -> None:
    said = example("predator_prey", "--refits", "50", cwd=tmp_path)
    assert number(r"birth of hares +(\d+\.\d+)", said) == pytest.approx(0.540, abs=1e-3)
    assert number(r"simulation by (\d+)%", said) < 30


@pytest.mark.slow
def test_the_moons_are_told_apart(tmp_path: Path) -> None:
    said = example("moons", cwd=tmp_path)
    assert number(r"; (\d+)% of the points", said) >= 98
    assert number(r"difference of the losses: (\S+)", said) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt", "lstm"])
def test_the_text_takes_fewer_bits_than_with_gzip(name: str, tmp_path: Path) -> None:
    said = example(name, cwd=tmp_path)
    assert number(r": (\d+\.\d+) bits a character", said) < number(r", (\d+\.\d+) for the whole text", said)


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q"]))
