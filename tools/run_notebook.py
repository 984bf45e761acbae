"""Run a notebook from top to bottom in a fresh kernel; exit with 1 and the traceback if a cell raises.

    python tools/run_notebook.py autodiff_scaler.ipynb            # keeps nothing
    python tools/run_notebook.py --write autodiff_scaler.ipynb    # stores the outputs in the notebook

The cells run in an empty temporary folder, so that files they write do not land in the repository.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError


def run(notebook: nbformat.NotebookNode, timeout: int) -> None:
    """Execute the cells in place, without timestamps, so that two runs differ only where their outputs do."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IPYTHONDIR"] = folder  # no startup files and no history of the user's
        os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this environment, not the user's
        # Sockets in the folder rather than TCP ports: nobody else on the machine can talk to the kernel.
        sockets = {"transport": "ipc", "ip": f"{folder}/kernel"} if os.name == "posix" else {}
        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(kernel_name="python3", **sockets),
            timeout=timeout,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        client.execute(cleanup_kc=True)
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata.language_info = {"name": "python"}  # not the version of whoever ran it last


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--write", action="store_true", help="store the outputs in the notebook")
    parser.add_argument("--timeout", type=int, default=300, help="seconds that one cell may take")
    args = parser.parse_args()

    if not args.notebook.is_file():
        print(f"{args.notebook}: no such notebook", file=sys.stderr)
        return 1
    notebook = nbformat.read(args.notebook, as_version=4)
    start = time.perf_counter()
    try:
        run(notebook, args.timeout)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        print(f"{args.notebook} failed:\n{error}", file=sys.stderr)
        return 1
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    print(f"{args.notebook}: {cells} code cells ran in {time.perf_counter() - start:.1f} s")
    if args.write:
        nbformat.write(notebook, args.notebook)
    return 0


if __name__ == "__main__":
    sys.exit(main())
