"""The documentation is complete, and its pictures are what the scripts draw."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("module", ["autodiff", "autodiff.nn", "autodiff.nn.init", "autodiff.optim", "autodiff.extend"])
def test_reference(module):
    """What a module exports is in the reference, and nothing else is."""
    found = {
        name
        for page in (DOCS / "api").glob("*.md")
        for name in re.findall(rf"^::: {module}\.(\w+)(?:\.\w+)?$", page.read_text("utf-8"), re.MULTILINE)
    }
    exported = set(importlib.import_module(module).__all__)
    helpers = {"Initialiser", "Seed", "fans"} if module == "autodiff.nn.init" else set()
    submodules = {"nn", "optim", "extend", "init"}  # with pages or parts of their own
    assert found - submodules == exported - helpers - submodules


def test_pictures(tmp_path):
    """The pictures of docs/idea.md are what tools/draw_idea.py draws."""
    tool = importlib.import_module("tools.draw_idea")
    tool.main(tmp_path)
    for name in tool.PICTURES:
        drawn = (tmp_path / name).read_text("utf-8")
        assert drawn == (DOCS / name).read_text("utf-8"), f"{name} is out of date: run tools/draw_idea.py"


def test_blocks_are_run():
    """Pages with Python on them are run by `make readme`, but for those that only show a rule or a result."""
    (line,) = re.findall(r"tools/run_markdown\.py (.*)", (ROOT / "Makefile").read_text("utf-8"))
    run = {ROOT / name for name in line.split()}
    pages = {page for page in DOCS.rglob("*.md") if "```python\n" in page.read_text("utf-8")}
    assert pages - run == {DOCS / "design.md"}
