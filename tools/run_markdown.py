"""Run the Python examples of Markdown files, each file's blocks in order and in one namespace.

    python tools/run_markdown.py README.md

A line that shows what it prints, `print(x.grad)   # 7.0`, must print that text.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import traceback
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^print\(.*\)\s+# (?P<text>.+)$", re.MULTILINE)


def run_file(path: Path) -> int:
    """Run all blocks of a file and return how many there were."""
    text = path.read_text("utf-8")
    namespace: dict[str, Any] = {}
    blocks = list(BLOCK.finditer(text))
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        printed = io.StringIO()
        code = compile("\n" * line + block[1], str(path), "exec")  # tracebacks then show the file's own lines
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        expected = [match["text"].strip() for match in SHOWN.finditer(block[1])]
        found = printed.getvalue().split("\n")[:-1]
        if expected and expected != found:
            raise AssertionError(f"{path}:{line + 1}: the comments say {expected}, printed was {found}")
    return len(blocks)


def main() -> int:
    for name in sys.argv[1:]:
        try:
            count = run_file(Path(name))
        except Exception:
            traceback.print_exc()
            return 1
        print(f"{name}: {count} examples ran")
    return 0


if __name__ == "__main__":
    sys.exit(main())
