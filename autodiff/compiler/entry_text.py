"""The LLVM IR of what Python calls: arguments are compared with the plan, outputs made, and the entries run.

These are builtin functions of the METH_FASTCALL kind. `self` is an ndarray of int64, the state or what leads to it.
"""

from .driver_text import API, LEAD, api, field, state, word

__all__ = ["entries"]


def entries(head: int) -> str:
    """What Python calls. `head` is the size of an object's header, after which an ndarray has its fields."""
    return f"""
@pair = private constant [5 x i8] c"(LL)\\00"
@single = private constant [4 x i8] c"(N)\\00"
@number = private constant [2 x i8] c"L\\00"
@nothing = private constant [1 x i8] c"\\00"

; whether the arguments are what was planned
define internal i1 @accepted(ptr %state, ptr %args, i64 %n) nounwind {{
{state("inputs", "i64")}{state("input_records")}{state("api")}{word("%kind", "%api", len(API))}
  %all = icmp eq i64 %n, %inputs
  br i1 %all, label %head, label %no
head:
  %i = phi i64 [0, %0], [%next, %axes], [%next, %same]
  %done = icmp eq i64 %i, %n
  br i1 %done, label %yes, label %one
one:
  %next = add i64 %i, 1
  %array.at = getelementptr ptr, ptr %args, i64 %i
  %array = load ptr, ptr %array.at
{field("%type", "%array", head - 8)}
  %is = icmp eq ptr %type, %kind
  br i1 %is, label %fields, label %no
fields:
  %thrice = mul i64 %i, 3
  %record = getelementptr i64, ptr %input_records, i64 %thrice
{word("%nd.planned", "%record", 0, "i64")}{word("%shape.planned", "%record", 1)}
{word("%dtype.planned", "%record", 2)}
{field("%nd.own", "%array", head + 8, "i32")}{field("%shape.own", "%array", head + 16)}
{field("%dtype.own", "%array", head + 40)}{field("%flags", "%array", head + 48, "i32")}
  %nd = sext i32 %nd.own to i64
  %nd.right = icmp eq i64 %nd, %nd.planned
  %dtype.right = icmp eq ptr %dtype.own, %dtype.planned
  %needed = and i32 %flags, 257
  %flags.right = icmp eq i32 %needed, 257
  %two = and i1 %nd.right, %dtype.right
  %right = and i1 %two, %flags.right
  br i1 %right, label %axes, label %no
axes:
  %scalar = icmp eq i64 %nd, 0
  br i1 %scalar, label %head, label %axis
axis:
  %k = phi i64 [0, %axes], [%k.next, %same]
  %own.at = getelementptr i64, ptr %shape.own, i64 %k
  %own = load i64, ptr %own.at
  %planned.at = getelementptr i64, ptr %shape.planned, i64 %k
  %planned = load i64, ptr %planned.at
  %equal = icmp eq i64 %own, %planned
  br i1 %equal, label %same, label %no
same:
  %k.next = add i64 %k, 1
  %last = icmp eq i64 %k.next, %nd
  br i1 %last, label %head, label %axis
yes:
  ret i1 true
no:
  ret i1 false
}}

; puts the addresses of inputs and new outputs into the block, fills the table, and returns the list of outputs
define internal ptr @bound(ptr %state, ptr %block, ptr %args) nounwind {{
{state("inputs", "i64")}{state("outputs", "i64")}{state("output_records")}{state("api")}
{api("PyList_New")}{api("PyList_SetItem")}{api("Py_IncRef")}{api("Py_DecRef")}{api("PyArray_Empty")}
  %bases = getelementptr i64, ptr %block, i64 {LEAD}
  br label %head
head:
  %i = phi i64 [0, %0], [%next, %input]
  %done = icmp eq i64 %i, %inputs
  br i1 %done, label %make, label %input
input:
  %array.at = getelementptr ptr, ptr %args, i64 %i
  %array = load ptr, ptr %array.at
{field("%data", "%array", head)}
  %base = getelementptr ptr, ptr %bases, i64 %i
  store ptr %data, ptr %base
  %next = add i64 %i, 1
  br label %head
make:
  %list = call ptr %PyList_New(i64 %outputs)
  %failed = icmp eq ptr %list, null
  %out.bases = getelementptr ptr, ptr %bases, i64 %inputs
  br i1 %failed, label %end, label %more
more:
  %o = phi i64 [0, %make], [%o.next, %keep]
  %finished = icmp eq i64 %o, %outputs
  br i1 %finished, label %table, label %output
output:
  %thrice = mul i64 %o, 3
  %record = getelementptr i64, ptr %output_records, i64 %thrice
{word("%nd.long", "%record", 0, "i64")}{word("%shape", "%record", 1)}{word("%dtype", "%record", 2)}
  %nd = trunc i64 %nd.long to i32
  call void %Py_IncRef(ptr %dtype)
  %new = call ptr %PyArray_Empty(i32 %nd, ptr %shape, ptr %dtype, i32 0)
  %missing = icmp eq ptr %new, null
  br i1 %missing, label %drop, label %keep
keep:
{field("%new.data", "%new", head)}
  %out.base = getelementptr ptr, ptr %out.bases, i64 %o
  store ptr %new.data, ptr %out.base
  %unused = call i32 %PyList_SetItem(ptr %list, i64 %o, ptr %new)
  %o.next = add i64 %o, 1
  br label %more
drop:
  call void %Py_DecRef(ptr %list)
  br label %end
table:
  call void @tabulate(ptr %state, ptr %block)
  br label %end
end:
  %result = phi ptr [null, %make], [null, %drop], [%list, %table]
  ret ptr %result
}}

define internal ptr @mismatch(ptr %state, ptr %block) nounwind {{
{state("table", "i64")}{state("api")}{api("Py_BuildValue")}
  %table0 = getelementptr i8, ptr %block, i64 %table
{word("%failed", "%table0", -1, "i64")}{word("%found", "%table0", -2, "i64")}
  %result = call ptr (ptr, ...) %Py_BuildValue(ptr @pair, i64 %failed, i64 %found)
  ret ptr %result
}}

; program(*inputs): the list of outputs; in a tuple, if an operation was invalid; a pair, if a check failed; or None
define ptr @run(ptr %self, ptr %args, i64 %n) nounwind {{
{field("%state", "%self", head)}{state("api")}{state("block")}{state("block_bytes", "i64")}
{state("first")}{state("last")}{state("release", "i64")}
{api("Py_BuildValue")}{api("PyMem_RawMalloc")}{api("PyMem_RawFree")}{api("PyErr_NoMemory")}{api("Py_DecRef")}
  %accepted = call i1 @accepted(ptr %state, ptr %args, i64 %n)
  br i1 %accepted, label %acquire, label %refuse
refuse:
  %none = call ptr (ptr, ...) %Py_BuildValue(ptr @nothing)
  ret ptr %none
acquire:
  %taken = atomicrmw xchg ptr %block, i64 1 acquire
  %free = icmp eq i64 %taken, 0
  br i1 %free, label %have, label %allocate
allocate:
  %bytes = add i64 %block_bytes, 64
  %raw = call ptr %PyMem_RawMalloc(i64 %bytes)
  %nothing = icmp eq ptr %raw, null
  br i1 %nothing, label %memory, label %align
memory:
  %error = call ptr %PyErr_NoMemory()
  ret ptr null
align:
  %raw.address = ptrtoint ptr %raw to i64
  %above = add i64 %raw.address, 63
  %aligned = and i64 %above, -64
  %skip = sub i64 %aligned, %raw.address
  %start = getelementptr i8, ptr %raw, i64 %skip
  br label %have
have:
  %here = phi ptr [%block, %acquire], [%start, %align]
  %mine = phi ptr [null, %acquire], [%raw, %align]
  %list = call ptr @bound(ptr %state, ptr %here, ptr %args)
  %failed = icmp eq ptr %list, null
  br i1 %failed, label %leave, label %go
go:
  %code = call i64 @steps(ptr %state, ptr %here, ptr %first, ptr %last, i64 %release)
  switch i64 %code, label %leave [ i64 1, label %invalid i64 2, label %mismatch ]
invalid:
  %tuple = call ptr (ptr, ...) %Py_BuildValue(ptr @single, ptr %list)
  br label %leave
mismatch:
  call void %Py_DecRef(ptr %list)
  %pair = call ptr @mismatch(ptr %state, ptr %here)
  br label %leave
leave:
  %result = phi ptr [null, %have], [%list, %go], [%tuple, %invalid], [%pair, %mismatch]
  %lent = icmp eq ptr %mine, null
  br i1 %lent, label %return, label %free.it
return:
  store atomic i64 0, ptr %block release, align 8
  ret ptr %result
free.it:
  call void %PyMem_RawFree(ptr %mine)
  ret ptr %result
}}

; begin(memory, *inputs): the list of outputs, or None
define ptr @begin(ptr %self, ptr %args, i64 %n) nounwind {{
{field("%state", "%self", head)}{state("api")}{api("Py_BuildValue")}
  %inputs = getelementptr ptr, ptr %args, i64 1
  %n.inputs = sub i64 %n, 1
  %accepted = call i1 @accepted(ptr %state, ptr %inputs, i64 %n.inputs)
  br i1 %accepted, label %go, label %refuse
refuse:
  %none = call ptr (ptr, ...) %Py_BuildValue(ptr @nothing)
  ret ptr %none
go:
  %memory = load ptr, ptr %args
{field("%block", "%memory", head)}
  %list = call ptr @bound(ptr %state, ptr %block, ptr %inputs)
  ret ptr %list
}}

; chunk(memory): 0; 1, if an operation was invalid; a pair, if a check failed. self: state, first, last, release
define ptr @chunk(ptr %self, ptr %args, i64 %n) nounwind {{
{field("%own", "%self", head)}{word("%state", "%own", 0)}{word("%first", "%own", 1)}
{word("%last", "%own", 2)}{word("%release", "%own", 3, "i64")}
{state("api")}{api("Py_BuildValue")}
  %memory = load ptr, ptr %args
{field("%block", "%memory", head)}
  %code = call i64 @steps(ptr %state, ptr %block, ptr %first, ptr %last, i64 %release)
  %wrong = icmp eq i64 %code, 2
  br i1 %wrong, label %mismatch, label %end
mismatch:
  %pair = call ptr @mismatch(ptr %state, ptr %block)
  ret ptr %pair
end:
  %number = call ptr (ptr, ...) %Py_BuildValue(ptr @number, i64 %code)
  ret ptr %number
}}
"""
