"""The LLVM IR that every program shares: from a call with arrays to kernels that run one after the other.

A program is one array of int64, its state: what is below in STATE, then the records that it points to.

    inputs    number of axes, shape, dtype         addresses; what an argument has to be
    outputs   number of axes, shape, dtype         what is to be made
    buffers   base, offset                         base 0: an address; 1: the memory of this call; 2...: the arguments
    entries   function, slots                      what runs, in order

Memory of a call is one block: a word that says whether it is in use, the bases, the table, the temporaries. A program
has one, lent to the call that comes first; calls at the same time get theirs from malloc. The word before the table
is the check that failed, or 0; the one before that the value it found.
"""

import numpy as np

__all__ = [
    "API",
    "CHECKS",
    "CLEARED",
    "LEAD",
    "STATE",
    "Flags",
    "api",
    "check",
    "field",
    "gemm",
    "state",
    "steps",
    "word",
]

LEAD = 3  # words of a block before the bases of the inputs: in use, base 0, base 1

STATE = (
    "inputs",  # how many
    "outputs",
    "buffers",
    "release",  # whether other threads may run Python meanwhile
    "block",
    "block_bytes",
    "table",  # bytes into the block
    "input_records",
    "output_records",
    "buffer_records",
    "first",
    "last",
    "api",
)

API = (
    "PyList_New",
    "PyList_SetItem",
    "Py_IncRef",
    "Py_DecRef",
    "Py_BuildValue",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyMem_RawMalloc",
    "PyMem_RawFree",
    "PyErr_NoMemory",
)

# the LLVM type that a guard's value is compared as
CHECKS = {
    np.dtype(kind): llvm
    for llvm, kinds in {
        "i8": ("?", "b", "B"),
        "i16": ("h", "H"),
        "i32": ("i4", "u4"),
        "i64": ("i8", "u8"),
        "float": ("f4",),
        "double": ("f8",),
    }.items()
    for kind in kinds
}


# -- the text


def word(result: str, pointer: str, index: int, kind: str = "ptr") -> str:
    at = f"{result}.at"
    return f"  {at} = getelementptr i64, ptr {pointer}, i64 {index}\n  {result} = load {kind}, ptr {at}\n"


def state(name: str, kind: str = "ptr", pointer: str = "%state") -> str:
    return word(f"%{name}", pointer, STATE.index(name), kind)


def api(name: str) -> str:
    index = (*API, "PyArray_Type", "PyArray_Empty").index(name)
    return word(f"%{name}", "%api", index)


def field(result: str, array: str, offset: int, kind: str = "ptr") -> str:
    at = f"{result}.at"
    return f"  {at} = getelementptr i8, ptr {array}, i64 {offset}\n  {result} = load {kind}, ptr {at}\n"


class Flags:
    """Text that reads and sets the floating-point environment of a thread; its memory is `%mxcsr`.

    Only on x86-64 is it read; elsewhere an operation may always have been invalid, and threads have that of who starts
    them.
    """

    def __init__(self, triple: str) -> None:
        self.known = triple.startswith(("x86_64", "amd64"))

    @property
    def declared(self) -> str:
        names = ("stmxcsr", "ldmxcsr") if self.known else ()
        return "".join(f"declare void @llvm.x86.sse.{name}(ptr)\n" for name in names)

    @property
    def memory(self) -> str:
        return "  %mxcsr = alloca i32\n" if self.known else ""

    def _stored(self, name: str) -> str:
        return f"  call void @llvm.x86.sse.stmxcsr(ptr %mxcsr)\n  {name}.all = load i32, ptr %mxcsr\n"

    def read(self, name: str) -> str:
        """The environment as an i64."""
        return (
            f"{self._stored(name)}  {name} = zext i32 {name}.all to i64\n"
            if self.known
            else f"  {name} = add i64 0, 0\n"
        )

    def raised(self, name: str) -> str:
        """The flags as an i64."""
        if not self.known:
            return f"  {name} = add i64 0, 1\n"
        return f"{self._stored(name)}  {name}.low = and i32 {name}.all, 63\n  {name} = zext i32 {name}.low to i64\n"

    def load(self, value: str, keep: str = "-1") -> str:
        """Sets the environment to some bits of an i64."""
        if not self.known:
            return ""
        return f"""  {value}.kept = and i64 {value}, {keep}
  {value}.int = trunc i64 {value}.kept to i32
  store i32 {value}.int, ptr %mxcsr
  call void @llvm.x86.sse.ldmxcsr(ptr %mxcsr)
"""


CLEARED = "-64"  # all but the flags


def steps(triple: str) -> str:
    """From bases to the table, and from entry to entry."""
    flags = Flags(triple)
    return (
        flags.declared
        + f"""
define void @tabulate(ptr %state, ptr %block) nounwind {{
{state("buffers", "i64")}{state("buffer_records")}{state("table", "i64")}
  %table0 = getelementptr i8, ptr %block, i64 %table
  %failed = getelementptr i64, ptr %table0, i64 -1
  store i64 0, ptr %failed
  %bases = getelementptr i64, ptr %block, i64 1
  store ptr null, ptr %bases
  %own = getelementptr i64, ptr %block, i64 2
  store ptr %block, ptr %own
  %none = icmp eq i64 %buffers, 0
  br i1 %none, label %end, label %loop
loop:
  %i = phi i64 [0, %0], [%next, %loop]
  %twice = shl i64 %i, 1
  %record = getelementptr i64, ptr %buffer_records, i64 %twice
  %base = load i64, ptr %record
  %offset.at = getelementptr i64, ptr %record, i64 1
  %offset = load i64, ptr %offset.at
  %from.at = getelementptr ptr, ptr %bases, i64 %base
  %from = load ptr, ptr %from.at
  %address = getelementptr i8, ptr %from, i64 %offset
  %to = getelementptr ptr, ptr %table0, i64 %i
  store ptr %address, ptr %to
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, %buffers
  br i1 %done, label %end, label %loop
end:
  ret void
}}

define internal void @walk(ptr %table, ptr %first, ptr %last) nounwind {{
  %failed.at = getelementptr i64, ptr %table, i64 -1
  br label %head
head:
  %entry = phi ptr [%first, %0], [%next, %body]
  %failed = load i64, ptr %failed.at
  %none = icmp eq ptr %entry, %last
  %wrong = icmp ne i64 %failed, 0
  %done = or i1 %none, %wrong
  br i1 %done, label %end, label %body
body:
  %function = load ptr, ptr %entry
{word("%slots", "%entry", 1)}
  call void %function(ptr %table, ptr %slots)
  %next = getelementptr i64, ptr %entry, i64 2
  br label %head
end:
  ret void
}}

; 0; 1 if an operation was invalid; 2 if a check failed
define i64 @steps(ptr %state, ptr %block, ptr %first, ptr %last, i64 %release) nounwind {{
{flags.memory}{state("table", "i64")}{state("api")}{api("PyEval_SaveThread")}{api("PyEval_RestoreThread")}
  %table0 = getelementptr i8, ptr %block, i64 %table
  %held = icmp eq i64 %release, 0
  br i1 %held, label %run, label %unlock
unlock:
  %saved = call ptr %PyEval_SaveThread()
  br label %run
run:
  %thread = phi ptr [null, %0], [%saved, %unlock]
{flags.read("%was")}  %before = or i64 %was, 0
{flags.load("%before", CLEARED)}
  call void @walk(ptr %table0, ptr %first, ptr %last)
{flags.raised("%raised")}  %invalid = and i64 %raised, 1
{flags.load("%was")}
  br i1 %held, label %end, label %lock
lock:
  call void %PyEval_RestoreThread(ptr %thread)
  br label %end
end:
  %failed.at = getelementptr i64, ptr %table0, i64 -1
  %failed = load i64, ptr %failed.at
  %right = icmp eq i64 %failed, 0
  %code = select i1 %right, i64 %invalid, i64 2
  ret i64 %code
}}
"""
    )


def check(kind: str) -> str:
    """slots: a buffer, an offset, the value's bits, and the number of the check, from 1."""
    if kind in ("float", "double"):
        bits = "i32" if kind == "float" else "i64"
        low = "  %low = trunc i64 %expected.bits to i32\n" if kind == "float" else ""
        compare = f"""
{low}  %expected = bitcast {bits} {"%low" if low else "%expected.bits"} to {kind}
  %same = fcmp oeq {kind} %value, %expected
  %no = fcmp uno {kind} %value, %value
  %never = fcmp uno {kind} %expected, %expected
  %neither = and i1 %no, %never
  %right = or i1 %same, %neither
  %pattern = bitcast {kind} %value to {bits}
"""
    else:
        bits = kind
        low = "" if kind == "i64" else f"  %low = trunc i64 %expected.bits to {kind}\n"
        compare = f"{low}  %right = icmp eq {kind} %value, {'%low' if low else '%expected.bits'}\n"
        compare += f"  %pattern = or {kind} %value, 0\n"
    wide = "  %wide = or i64 %pattern, 0" if bits == "i64" else f"  %wide = zext {bits} %pattern to i64"
    return f"""
define void @check_{kind}(ptr %table, ptr %slots) nounwind {{
{word("%buffer", "%slots", 0, "i64")}{word("%offset", "%slots", 1, "i64")}
{word("%expected.bits", "%slots", 2, "i64")}{word("%number", "%slots", 3, "i64")}
  %base.at = getelementptr ptr, ptr %table, i64 %buffer
  %base = load ptr, ptr %base.at
  %at = getelementptr i8, ptr %base, i64 %offset
  %value = load {kind}, ptr %at
{compare}
  br i1 %right, label %end, label %wrong
wrong:
{wide}
  %failed = getelementptr i64, ptr %table, i64 -1
  store i64 %number, ptr %failed
  %found = getelementptr i64, ptr %table, i64 -2
  store i64 %wide, ptr %found
  br label %end
end:
  ret void
}}
"""


def gemm(kind: str, integer: str) -> str:
    """slots: as `blas.gemm_slots` makes them."""
    words = "function m n k"
    words += "".join(f" {a} {a}_at {a}_kind {a}_ld {a}_step" for a in ("x", "y", "out")) + " count adds"
    loads, narrow = "", ""
    for i, name in enumerate(words.split()):
        loads += word(f"%{name}", "%slots", i, "ptr" if name == "function" else "i64")
    for name in ("m", "n", "k", "x_ld", "y_ld", "out_ld"):
        narrow += f"  %{name}.int = {'or' if integer == 'i64' else 'trunc'} i64 %{name}"
        narrow += ", 0\n" if integer == "i64" else f" to {integer}\n"
    for name in ("x", "y", "out"):
        narrow += f"""
  %{name}.slot = getelementptr ptr, ptr %table, i64 %{name}
  %{name}.base = load ptr, ptr %{name}.slot
  %{name}.first = getelementptr i8, ptr %{name}.base, i64 %{name}_at
"""
    return f"""
define void @gemm_{kind}(ptr %table, ptr %slots) nounwind {{
{loads}{narrow}
  %beta = sitofp i64 %adds to {kind}
  %x.order = trunc i64 %x_kind to i32
  %y.order = trunc i64 %y_kind to i32
  br label %loop
loop:
  %i = phi i64 [0, %0], [%j, %loop]
  %px = phi ptr [%x.first, %0], [%qx, %loop]
  %py = phi ptr [%y.first, %0], [%qy, %loop]
  %po = phi ptr [%out.first, %0], [%qo, %loop]
  call void %function(i32 101, i32 %x.order, i32 %y.order, {integer} %m.int, {integer} %n.int, {integer} %k.int, {kind} 1.0, ptr %px, {integer} %x_ld.int, ptr %py, {integer} %y_ld.int, {kind} %beta, ptr %po, {integer} %out_ld.int)
  %qx = getelementptr i8, ptr %px, i64 %x_step
  %qy = getelementptr i8, ptr %py, i64 %y_step
  %qo = getelementptr i8, ptr %po, i64 %out_step
  %j = add i64 %i, 1
  %done = icmp eq i64 %j, %count
  br i1 %done, label %end, label %loop
end:
  ret void
}}
"""  # noqa: E501
