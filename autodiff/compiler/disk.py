"""Object files, kept from one process to the next.

A file is named by a hash of all that it depends on, so a file of that name is the right one, or damaged: which a
digest in front of it tells. Processes that write the same file at once write equal ones, each under a name of its own
that is then changed; none ever reads half a file.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

__all__ = ["folder", "read", "trim", "write"]

LIMIT = 256 << 20  # bytes on disk
DIGEST = 32


def folder() -> Path | None:
    """Where the object files are; None if AUTODIFF_JIT_CACHE is 0 or no folder of ours can be had."""
    asked = os.environ.get("AUTODIFF_JIT_CACHE", "")
    if asked == "0":
        return None
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        path = Path(asked) if asked else Path(home) / "autodiff" / "jit"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except (OSError, RuntimeError):
        return None
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        return None  # somebody else could put code there, which we would run
    return path


def read(name: str) -> bytes | None:
    """The object file of that name, unless there is none, or it is damaged."""
    path = folder()
    if path is None:
        return None
    try:
        content = (path / name).read_bytes()
    except OSError:
        return None
    found = content[DIGEST:]
    if content[:DIGEST] != hashlib.sha256(found).digest():
        return None
    with contextlib.suppress(OSError):
        os.utime(path / name)  # the oldest are removed
    return found


def write(name: str, content: bytes) -> None:
    """Keep an object file, if that is possible."""
    path = folder()
    if path is None:
        return
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=path, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(temporary, path / name)
        except OSError:
            os.unlink(temporary)
            raise


def trim(limit: int = LIMIT) -> None:
    """Remove the files that were not used for longest, until a quarter of the limit is free."""
    path = folder()
    if path is None:
        return
    files = []
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat()
                files.append((status.st_mtime, status.st_size, entry.path))
    total = sum(size for _, size, _ in files)
    if total <= limit:
        return
    for _, size, name in sorted(files):
        with contextlib.suppress(OSError):
            os.unlink(name)
        total -= size
        if total <= limit - limit // 4:
            return
