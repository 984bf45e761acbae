"""The LLVM IR of the helper threads: they take parts of a kernel, next to the thread that runs the program.

The pool is one array of int64, whose words are in POOL. One job is under way at a time; who finds the pool taken does
the parts alone. A job is open while its number is in `open`. Parts are taken by counting `next` up. A helper enters by
counting `active` up, and then looks whether the job is still open; the caller closes it, and then waits for `active` to
be 0: so nobody reads a job that has become another one.

A helper that finds no job for a while parks on a condition variable. Between counting `parked` up and waiting it looks
once more, and a caller opens a job before it reads `parked`: so no job that asks to be waited for is missed, and a
helper that comes too late finds nothing to do.
"""

from .driver_text import CLEARED, Flags, word

__all__ = ["MOST", "POOL", "WORDS", "parallel"]

SPIN = 150_000  # ns that a helper looks for the next job before it parks
PAUSES = 32  # between two looks at the clock
PATIENCE = 2000  # pauses after which who waits for a helper lets other threads run

CONSTANT = ("helpers", "clock", "set")
CALLED = ("create", "join", "mask", "lock", "unlock", "wait", "broadcast", "yield", "time")
# Words of the pool. Those that different threads write are on different cache lines.
POOL = {
    "taken": 0,
    "next": 8,
    "active": 16,
    **{name: 24 + i for i, name in enumerate(("open", "part", "table", "slots", "parts", "control", "stay"))},
    "flags": 32,
    **{name: 40 + i for i, name in enumerate(("parked", "quit", "started", "number"))},
    **{name: 48 + i for i, name in enumerate((*CONSTANT, *CALLED))},
    "mutex": 64,
    "condition": 80,
    "signals": 96,
    "old_signals": 112,
    "threads": 128,
}
MOST = 31  # helpers: more than a kernel has parts for would look for work in vain
WORDS = POOL["threads"] + MOST + 1
# slots: the kernel's functions for a part and for the end, how many parts, the pool, whether to wake helpers that are
# parked, whether they stay awake for another job; then the kernel's own
JOB = 6


def _at(name: str) -> str:
    return f"getelementptr i64, ptr %pool, i64 {POOL[name]}"


def _load(name: str, kind: str = "i64", result: str = "") -> str:
    return word(f"%{result or name}", "%pool", POOL[name], kind)


def _store(name: str, value: str, kind: str = "i64") -> str:
    return f"  %{name}.to = {_at(name)}\n  store {kind} {value}, ptr %{name}.to\n"


def _pause(triple: str) -> tuple[str, str]:
    """An instruction for loops that wait, and its declaration."""
    if triple.startswith(("x86_64", "amd64")):
        return "  call void @llvm.x86.sse2.pause()\n", "declare void @llvm.x86.sse2.pause()\n"
    if triple.startswith(("aarch64", "arm64")):
        return "  call void @llvm.aarch64.hint(i32 1)\n", "declare void @llvm.aarch64.hint(i32)\n"
    return "", ""


def parallel(triple: str) -> str:
    """`split`, a step of programs; `stop`, which ends the helpers, and `resume`."""
    pause, declared = _pause(triple)
    flags = Flags(triple)
    return f"""{declared}{flags.declared}
; takes parts until there are none left
define internal void @take(ptr %pool, ptr %part, ptr %table, ptr %slots, i64 %parts) nounwind {{
  %next = {_at("next")}
  br label %loop
loop:
  %i = atomicrmw add ptr %next, i64 1 monotonic
  %mine = icmp ult i64 %i, %parts
  br i1 %mine, label %do, label %end
do:
  call void %part(ptr %table, ptr %slots, i64 %i)
  br label %loop
end:
  ret void
}}

define internal i64 @now(ptr %pool) nounwind {{
  %spec = alloca [2 x i64]
{_load("time", "ptr")}{_load("clock")}
  %id = trunc i64 %clock to i32
  %unused = call i32 %time(i32 %id, ptr %spec)
  %seconds = load i64, ptr %spec
{word("%rest", "%spec", 1, "i64")}
  %whole = mul i64 %seconds, 1000000000
  %ns = add i64 %whole, %rest
  ret i64 %ns
}}

; what a helper runs
define internal ptr @helper(ptr %pool) nounwind {{
{flags.memory}  %open = {_at("open")}
  %active = {_at("active")}
  %parked = {_at("parked")}
  %stay = {_at("stay")}
  %quit = {_at("quit")}
  %raised.to = {_at("flags")}
  %mutex = {_at("mutex")}
  %condition = {_at("condition")}
{_load("lock", "ptr")}{_load("unlock", "ptr")}{_load("wait", "ptr")}{_load("yield", "ptr")}
  br label %wait.begin
wait.begin:
  %last = phi i64 [ 0, %0 ], [ %number, %done ], [ %last, %awake ]
  %began = call i64 @now(ptr %pool)
  br label %spin
spin:
  %pauses = phi i64 [ 0, %wait.begin ], [ %more, %again ], [ 0, %look ], [ %pauses, %late ]
  %number = load atomic i64, ptr %open seq_cst, align 8
  %is.open = icmp ne i64 %number, 0
  %is.new = icmp ne i64 %number, %last
  %is.job = and i1 %is.open, %is.new
  br i1 %is.job, label %enter, label %again
again:
{pause}
  %more = add i64 %pauses, 1
  %enough = icmp ugt i64 %more, {PAUSES}
  br i1 %enough, label %look, label %spin
look:
  %yielded = call i32 %yield()
  %time = call i64 @now(ptr %pool)
  %waited = sub i64 %time, %began
  %tired = icmp ugt i64 %waited, {SPIN}
  %stays = load atomic i64, ptr %stay monotonic, align 8
  %leaves = icmp eq i64 %stays, 0
  %parks = or i1 %tired, %leaves
  br i1 %parks, label %park, label %spin
enter:
  %others = atomicrmw add ptr %active, i64 1 seq_cst
  %still = load atomic i64, ptr %open seq_cst, align 8
  %same = icmp eq i64 %still, %number
  br i1 %same, label %work, label %late
late:
  %one = atomicrmw sub ptr %active, i64 1 seq_cst
  br label %spin
work:
{_load("part", "ptr")}{_load("table", "ptr")}{_load("slots", "ptr")}{_load("parts")}{_load("control")}
{flags.load("%control", CLEARED)}
  call void @take(ptr %pool, ptr %part, ptr %table, ptr %slots, i64 %parts)
{flags.raised("%raised")}
  %before = atomicrmw or ptr %raised.to, i64 %raised monotonic
  br label %done
done:
  %left = atomicrmw sub ptr %active, i64 1 seq_cst
  br label %wait.begin
park:
  %locked = call i32 %lock(ptr %mutex)
  %count = atomicrmw add ptr %parked, i64 1 seq_cst
  %seen = load atomic i64, ptr %open seq_cst, align 8
  %any = icmp ne i64 %seen, 0
  %other = icmp ne i64 %seen, %last
  %job = and i1 %any, %other
  %stop = load atomic i64, ptr %quit seq_cst, align 8
  %stops = icmp ne i64 %stop, 0
  %not = or i1 %job, %stops
  br i1 %not, label %awake, label %sleep
sleep:
  %slept = call i32 %wait(ptr %condition, ptr %mutex)
  br label %awake
awake:
  %less = atomicrmw sub ptr %parked, i64 1 seq_cst
  %unlocked = call i32 %unlock(ptr %mutex)
  %end = load atomic i64, ptr %quit seq_cst, align 8
  %ends = icmp ne i64 %end, 0
  br i1 %ends, label %return, label %wait.begin
return:
  ret ptr null
}}

define internal void @wake(ptr %pool) nounwind {{
  %mutex = {_at("mutex")}
  %condition = {_at("condition")}
{_load("lock", "ptr")}{_load("unlock", "ptr")}{_load("broadcast", "ptr")}
  %locked = call i32 %lock(ptr %mutex)
  %woken = call i32 %broadcast(ptr %condition)
  %unlocked = call i32 %unlock(ptr %mutex)
  ret void
}}

; starts the helpers, with all signals blocked: they are for Python's threads
define internal void @start(ptr %pool) nounwind {{
{_load("helpers")}{_load("create", "ptr")}{_load("mask", "ptr")}{_load("set")}
  %signals = {_at("signals")}
  %old = {_at("old_signals")}
  %how = trunc i64 %set to i32
  %blocked = call i32 %mask(i32 %how, ptr %signals, ptr %old)
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %made ]
  %all = icmp uge i64 %i, %helpers
  br i1 %all, label %end, label %make
make:
  %threads = {_at("threads")}
  %thread = getelementptr i64, ptr %threads, i64 %i
  %failed = call i32 %create(ptr %thread, ptr null, ptr @helper, ptr %pool)
  %next = add i64 %i, 1
  %right = icmp eq i32 %failed, 0
  br i1 %right, label %made, label %end
made:
  br label %loop
end:
{_store("started", "%i")}
  ; none could be made: no further try
  %none = icmp eq i64 %i, 0
  %wanted = select i1 %none, i64 0, i64 %helpers
{_store("helpers", "%wanted")}
  %restored = call i32 %mask(i32 %how, ptr %old, ptr null)
  ret void
}}

; ends the helpers; the pool stays taken until `resume`
define void @stop(ptr %pool) nounwind {{
  %taken = {_at("taken")}
{_load("yield", "ptr")}{_load("join", "ptr")}
  br label %ask
ask:
  %was = atomicrmw xchg ptr %taken, i64 1 acquire
  %free = icmp eq i64 %was, 0
  br i1 %free, label %have, label %ask.again
ask.again:
  %yielded = call i32 %yield()
  br label %ask
have:
{_load("started")}
  %quit = {_at("quit")}
  store atomic i64 1, ptr %quit seq_cst, align 8
  %stay = {_at("stay")}
  store atomic i64 0, ptr %stay seq_cst, align 8
  br label %loop
loop:
  %i = phi i64 [ 0, %have ], [ %next, %one ]
  %all = icmp uge i64 %i, %started
  br i1 %all, label %end, label %one
one:
  call void @wake(ptr %pool)
  %threads = {_at("threads")}
  %at = getelementptr i64, ptr %threads, i64 %i
  %thread = load i64, ptr %at
  %joined = call i32 %join(i64 %thread, ptr null)
  %next = add i64 %i, 1
  br label %loop
end:
  ret void
}}

; after `stop`: the next job starts helpers again
define void @resume(ptr %pool) nounwind {{
{_store("started", "0")}{_store("quit", "0")}
  %taken = {_at("taken")}
  store atomic i64 0, ptr %taken release, align 8
  ret void
}}

define void @split(ptr %table, ptr %slots) nounwind {{
{flags.memory}{word("%part", "%slots", 0)}{word("%end", "%slots", 1)}
{word("%parts", "%slots", 2, "i64")}{word("%pool", "%slots", 3)}
{word("%wakes", "%slots", 4, "i64")}{word("%stays", "%slots", 5, "i64")}
  %own = getelementptr i64, ptr %slots, i64 {JOB}
  %taken = {_at("taken")}
  %was = atomicrmw xchg ptr %taken, i64 1 acquire
  %free = icmp eq i64 %was, 0
  br i1 %free, label %ready, label %alone
ready:
{_load("helpers")}{_load("started")}
  %missing = icmp ult i64 %started, %helpers
  %first = icmp eq i64 %started, 0
  %starts = and i1 %missing, %first
  br i1 %starts, label %start, label %job
start:
  call void @start(ptr %pool)
  br label %job
job:
{flags.read("%control.now")}
{_store("part", "%part", "ptr")}{_store("table", "%table", "ptr")}{_store("slots", "%own", "ptr")}
{_store("parts", "%parts")}{_store("control", "%control.now")}{_store("flags", "0")}
  %stay.to = {_at("stay")}
  store atomic i64 %stays, ptr %stay.to monotonic, align 8
  %next.to = {_at("next")}
  store atomic i64 0, ptr %next.to monotonic, align 8
{_load("number")}
  %number.next = add i64 %number, 1
{_store("number", "%number.next")}
  %open = {_at("open")}
  store atomic i64 %number.next, ptr %open seq_cst, align 8
  %parked.at = {_at("parked")}
  %parked = load atomic i64, ptr %parked.at seq_cst, align 8
  %sleeping = icmp ne i64 %parked, 0
  %worth = icmp ne i64 %wakes, 0
  %call = and i1 %sleeping, %worth
  br i1 %call, label %wake, label %work
wake:
  call void @wake(ptr %pool)
  br label %work
work:
  call void @take(ptr %pool, ptr %part, ptr %table, ptr %own, i64 %parts)
  store atomic i64 0, ptr %open seq_cst, align 8
  %active = {_at("active")}
{_load("yield", "ptr")}
  br label %wait
wait:
  %pauses = phi i64 [ 0, %work ], [ %more, %busy ], [ 0, %patient ]
  %helping = load atomic i64, ptr %active seq_cst, align 8
  %none = icmp eq i64 %helping, 0
  br i1 %none, label %together, label %busy
busy:
{pause}
  %more = add i64 %pauses, 1
  %long = icmp ugt i64 %more, {PATIENCE}
  br i1 %long, label %patient, label %wait
patient:
  %yielded = call i32 %yield()
  br label %wait
together:
{_load("flags")}
{flags.read("%mine")}  %both = or i64 %mine, %flags
{flags.load("%both")}
  store atomic i64 0, ptr %taken release, align 8
  br label %last
alone:
  %i = phi i64 [ 0, %0 ], [ %i.next, %alone ]
  call void %part(ptr %table, ptr %own, i64 %i)
  %i.next = add i64 %i, 1
  %over = icmp uge i64 %i.next, %parts
  br i1 %over, label %last, label %alone
last:
  call void %end(ptr %table, ptr %own)
  ret void
}}
"""
