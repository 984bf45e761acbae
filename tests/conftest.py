"""What all tests share: hypothesis profiles, a seeded generator for each test, and the list of known gaps."""

from __future__ import annotations

import os
import tomllib
import zlib
from pathlib import Path

import hypothesis
import numpy as np
import pytest

SLOW_START = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large]

# "default" tries the same programs on every run, so a change that broke nothing cannot fail;
# "thorough" looks further.
hypothesis.settings.register_profile(
    "default", max_examples=50, derandomize=True, deadline=None, suppress_health_check=SLOW_START
)
hypothesis.settings.register_profile(
    "thorough", max_examples=2000, deadline=None, print_blob=True, suppress_health_check=SLOW_START
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded by the test's own id: the same numbers on every run, others in every test."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


def known_gaps() -> dict[str, str]:
    """The tests listed in known_gaps.toml, each with its reason."""
    entries = tomllib.loads(Path(__file__).with_name("known_gaps.toml").read_text("utf-8")).get("gap", [])
    return {entry["test"]: entry["why"] for entry in entries}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    gaps = known_gaps()
    for item in items:
        if why := gaps.pop(item.nodeid, None):
            item.add_marker(pytest.mark.xfail(reason=why, strict=True))
    if gaps and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        raise pytest.UsageError(f"known_gaps.toml lists tests that do not exist: {', '.join(gaps)}")
