"""Machine code from LLVM IR: compiled once per process, and once per machine while its object file is on disk.

    code = CODES.compiled(text, ["kernel"])
    code["kernel"]                          # the address, valid as long as `code` lives

An object file is named by a hash of all that it depends on, so a file of that name is the right one, or damaged:
which a digest in front of it tells. Processes that write the same file at once write equal ones, each under a name
of its own that is then changed; none ever reads half a file.
"""

import contextlib
import hashlib
import os
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from .plan import Kernel

try:
    import llvmlite
    import llvmlite.binding as llvm
except ImportError as error:
    raise ImportError(
        "compiling needs llvmlite, which is not installed; `pip install autodiff[jit]` installs it"
    ) from error

if sys.maxsize < 2**32 or sys.byteorder != "little":
    raise ImportError("compiling needs a little-endian computer of 64 bits")

__all__ = ["CODES", "Code", "folder"]

VERSION = 1  # of what is made of a text; counts up when the passes or their options change
LIMIT = 256 << 20  # bytes on disk
DIGEST = 32


# -- the object files on disk


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


# -- LLVM


@cache
def machine() -> tuple[Any, str]:
    """The target machine of this computer, and what a file depends on beside its text."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = llvm.get_host_cpu_name(), ""
    with contextlib.suppress(RuntimeError):  # LLVM does not know them everywhere; the name implies most
        features = llvm.get_host_cpu_features().flatten()
    if "+avx512vl" in features:
        features += ",-prefer-256-bit"  # 1.2 to 2 times as fast as 256 bits here
    target = llvm.Target.from_default_triple()
    made = target.create_target_machine(cpu=cpu, features=features, opt=2, reloc="pic", codemodel="small")
    depends = (VERSION, llvmlite.__version__, llvm.llvm_version_info, made.triple, cpu, features)
    return made, repr(depends)


def emit(text: str) -> bytes:
    """The object file of a module, for this machine."""
    target, _ = machine()
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = target.triple, str(target.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = True
    # rows of 8 to 20 elements are 5 times as fast if they are not unrolled before they are vectorised, and all
    # compiles sooner; loops that are better unrolled (those of up to 6 steps) say so by llvm.loop.unroll.full
    options.loop_unrolling = False
    passes = llvm.create_pass_builder(target, options)
    passes.getModulePassManager().run(module, passes)
    return target.emit_object(module)


def module(kernels: Iterable[Kernel]) -> str:
    """The text of a module. What several kernels declare is declared once."""
    kernels = sorted(kernels, key=lambda kernel: kernel.symbol)
    texts = [kernel.text for kernel in kernels]
    uses = frozenset(use for kernel in kernels for use in kernel.uses)
    if uses:
        from .llvm_math import prelude

        texts.insert(0, prelude(uses))
    declared: dict[str, None] = {}
    lines = []
    for line in "\n".join(texts).split("\n"):
        if line.startswith(("declare ", "attributes ", "!", "target ")):
            declared[line] = None
        else:
            lines.append(line)
    return "\n".join([*declared, *lines])


class Code:
    """Loaded machine code. Whoever may call into it holds it."""

    def __init__(self, tracker: Any, symbols: Iterable[str]) -> None:
        self._tracker = tracker
        self._addresses = {symbol: tracker[symbol] for symbol in symbols}

    def __getitem__(self, symbol: str) -> int:
        return self._addresses[symbol]


class _Codes:
    """The code of this process. Texts are the keys; what no program uses is kept for a while only."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.linker: Any = None
        self.libraries = 0
        self.compilations = 0  # texts that were on disk do not count
        self.loaded: WeakValueDictionary[str, Code] = WeakValueDictionary()
        self.kernels: WeakValueDictionary[tuple[str, str], Code] = WeakValueDictionary()
        self.recent: deque[Code] = deque(maxlen=256)

    def compiled(self, text: str, symbols: Iterable[str]) -> Code:
        """The code of a module, which defines these symbols, and depends on no address."""
        symbols = tuple(symbols)
        with self.lock:
            code = self.loaded.get(text)
            if code is None:
                code = self.loaded[text] = self._load(text, symbols)
                self.recent.append(code)
            return code

    def of_kernels(self, kernels: Iterable[Kernel]) -> dict[str, Code]:
        """The code of each kernel, by symbol. Those that are not there yet are compiled as one module."""
        with self.lock:
            found: dict[str, Code] = {}
            missing: dict[str, Kernel] = {}
            for kernel in {kernel.text: kernel for kernel in kernels}.values():
                if kernel.symbol in found or kernel.symbol in missing:
                    raise ValueError(f"two kernels of this program have the symbol {kernel.symbol}")
                code = self.kernels.get((kernel.symbol, kernel.text))
                if code is None:
                    missing[kernel.symbol] = kernel
                else:
                    found[kernel.symbol] = code
            if missing:
                code = self.compiled(module(missing.values()), missing)
                for kernel in missing.values():
                    found[kernel.symbol] = self.kernels[kernel.symbol, kernel.text] = code
            return found

    def _load(self, text: str, symbols: tuple[str, ...]) -> Code:
        name = hashlib.sha256(f"{machine()[1]}\n{text}".encode()).hexdigest()
        content = read(name)
        if content is not None:
            with contextlib.suppress(RuntimeError):
                return self._link(content, symbols)
        content = emit(text)
        self.compilations += 1
        write(name, content)
        if self.compilations % 32 == 1:
            trim()
        return self._link(content, symbols)

    def _link(self, content: bytes, symbols: tuple[str, ...]) -> Code:
        if self.linker is None:
            self.linker = llvm.create_lljit_compiler(machine()[0], suppress_errors=True)
        library = llvm.JITLibraryBuilder().add_object_img(content).add_current_process()
        for symbol in symbols:
            library.export_symbol(symbol)
        self.libraries += 1
        return Code(library.link(self.linker, f"autodiff{self.libraries}"), symbols)


CODES = _Codes()
if hasattr(os, "register_at_fork"):  # no compilation is under way in the child
    os.register_at_fork(
        before=lambda: CODES.lock.acquire(),
        after_in_parent=lambda: CODES.lock.release(),
        after_in_child=lambda: CODES.lock.release(),
    )
