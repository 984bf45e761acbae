"""Machine code from LLVM IR: compiled once per process, and once per machine while its object file is on disk.

    code = CODES.compiled(text, ["kernel"])
    code["kernel"]                          # the address, valid as long as `code` lives

Text is compiled to an object file, as it is kept on disk, and that is loaded: there is one way in, new or not.
"""

import contextlib
import hashlib
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any
from weakref import WeakValueDictionary

from . import disk
from .plan import Kernel

try:
    import llvmlite
    import llvmlite.binding as llvm
except ImportError:
    llvmlite = None

__all__ = ["CODES", "UNAVAILABLE", "Code"]

UNAVAILABLE = ""  # why there is no machine code, if there is none: NumPy runs the programs then
if llvmlite is None:
    UNAVAILABLE = "compiling needs llvmlite, which is not installed; `pip install autodiff[jit]` installs it"
elif sys.maxsize < 2**32 or sys.byteorder != "little":
    UNAVAILABLE = "compiling needs a little-endian computer of 64 bits"

VERSION = 2  # of what is made of a text; counts up when the passes or their options change


class _Machine:
    """This computer, as LLVM knows it, and what an object file depends on beside its text."""

    def __init__(self) -> None:
        if UNAVAILABLE:
            raise ImportError(UNAVAILABLE)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        cpu, features = llvm.get_host_cpu_name(), ""
        with contextlib.suppress(RuntimeError):  # LLVM does not know them everywhere; the name implies most
            features = llvm.get_host_cpu_features().flatten()
        if "+avx512vl" in features:
            features += ",-prefer-256-bit"  # 1.2 to 2 times as fast as 256 bits here
        self.scales = "+avx512vl" in features and llvm.llvm_version_info >= (22,)  # tried with no earlier LLVM
        target = llvm.Target.from_default_triple()
        self.target = target.create_target_machine(cpu=cpu, features=features, opt=2, reloc="pic", codemodel="small")
        self.triple = str(self.target.triple)
        # on x86 others have their caller save all vectors
        self.convention = "intel_ocl_bicc" if self.triple.startswith("x86_64") else ""
        self.depends = repr((VERSION, llvmlite.__version__, llvm.llvm_version_info, self.triple, cpu, features))
        self.linker = llvm.create_lljit_compiler(self.target, suppress_errors=True)

    def emit(self, text: str) -> bytes:
        """The object file of a module, for this machine."""
        module = llvm.parse_assembly(text)
        module.triple, module.data_layout = self.triple, str(self.target.target_data)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=1)  # 2 takes a fifth longer, for equally fast code
        options.loop_vectorization = options.slp_vectorization = True
        # rows of 8 to 20 elements are 5 times as fast if they are not unrolled before they are vectorised, and all
        # compiles sooner; loops that are better unrolled (those of up to 6 steps) say so by llvm.loop.unroll.full
        options.loop_unrolling = False
        passes = llvm.create_pass_builder(self.target, options)
        passes.getModulePassManager().run(module, passes)
        return self.target.emit_object(module)


def _text(kernels: Iterable[Kernel], convention: str, scales: bool) -> str:
    """The text of a module. What several kernels declare is declared once."""
    kernels = sorted(kernels, key=lambda kernel: kernel.symbol)
    texts = [kernel.text for kernel in kernels]
    uses = frozenset(use for kernel in kernels for use in kernel.uses)
    if uses:
        from .llvm_math import prelude

        texts.insert(0, prelude(uses, convention, scales))
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
        self._machine: _Machine | None = None
        self.libraries = 0
        self.compilations = 0  # texts that were on disk do not count
        self.loaded: WeakValueDictionary[str, Code] = WeakValueDictionary()
        self.kernels: WeakValueDictionary[tuple[str, str], Code] = WeakValueDictionary()
        self.recent: deque[Code] = deque(maxlen=256)

    @property
    def machine(self) -> _Machine:
        """Made when it is first asked for, which takes 1 ms."""
        with self.lock:
            if self._machine is None:
                self._machine = _Machine()
            return self._machine

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
                symbols = [symbol for kernel in missing.values() for symbol in kernel.symbols]
                text = _text(missing.values(), self.machine.convention, self.machine.scales)
                code = self.compiled(text, symbols)
                for kernel in missing.values():
                    found[kernel.symbol] = self.kernels[kernel.symbol, kernel.text] = code
            return found

    def _load(self, text: str, symbols: tuple[str, ...]) -> Code:
        name = hashlib.sha256(f"{self.machine.depends}\n{text}".encode()).hexdigest()
        content = disk.read(name)
        if content is not None:
            with contextlib.suppress(RuntimeError):
                return self._link(content, symbols)
        content = self.machine.emit(text)
        self.compilations += 1
        disk.write(name, content)
        if self.compilations % 32 == 1:
            disk.trim()
        return self._link(content, symbols)

    def _link(self, content: bytes, symbols: tuple[str, ...]) -> Code:
        library = llvm.JITLibraryBuilder().add_object_img(content).add_current_process()
        for symbol in symbols:
            library.export_symbol(symbol)
        self.libraries += 1
        return Code(library.link(self.machine.linker, f"autodiff{self.libraries}"), symbols)


CODES = _Codes()
if hasattr(os, "register_at_fork"):  # no compilation is under way in the child
    os.register_at_fork(
        before=CODES.lock.acquire,
        after_in_parent=CODES.lock.release,
        after_in_child=CODES.lock.release,
    )
