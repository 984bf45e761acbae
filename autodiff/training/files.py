"""The files that fit writes: that it can is found out before the training, and not by its end."""

import importlib.util
import os
from pathlib import Path
from typing import Any

from .history import LOGS, figure

__all__ = ["check_files"]


def check_files(checkpoint: Any, log: Any, plot: Any) -> None:
    """Raises an OSError naming a file that cannot be there, ValueError for a wrong ending, ImportError for a missing
    package.
    """
    for name, given in (("checkpoint", checkpoint), ("log", log), ("plot", plot)):
        if given is not None:
            _check_place(name, Path(given))
    if checkpoint is not None and importlib.util.find_spec("safetensors") is None:
        raise ImportError('fit: checkpoint needs safetensors: pip install "autodiff[saving]"')
    if log is not None and Path(log).suffix not in LOGS:
        raise ValueError(f"fit: log is {os.fspath(log)}; it has to end in {' or '.join(LOGS)}")
    if plot is not None:
        kinds = figure("fit").canvas.get_supported_filetypes()
        kind = Path(plot).suffix[1:].lower()
        if kind and kind not in kinds:
            raise ValueError(f"fit: plot is {os.fspath(plot)}; matplotlib writes .{', .'.join(kinds)}")


def _check_place(name: str, path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(f"fit: {name} is {path}, which is a folder; pass the name of a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"fit: {name} is {path}, and there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"fit: {name} is {path}, and nothing may be written to the folder {path.parent}")
