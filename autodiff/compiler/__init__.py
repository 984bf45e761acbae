"""The compiler behind `jit`: a recorded NumPy program, simplified, fused, and run as native code or by NumPy.

recorder   f runs once on arrays that note what is done with them (recorded), in terms of a few operations (primitives,
           and writing for their elements)
graph      what they noted: values, each computed once
interpret  runs a graph with NumPy: the oracle of the tests, and what runs where llvmlite is not installed
captures   what f uses besides its arguments (code: the names in it, slots: where it was found), places: what of it the
           program reads and writes, and undo: all of it as it was, when a run could not be recorded
lower      from a graph to a plan: simplify (gathers: indices; sums: of products), fuse (which values are computed in
           one loop), nests and loops (how), memory (where), llvm_text (as LLVM IR; llvm_math: elementary functions)
plan       steps and buffers, ready to run
native     runs a plan: the steps as native code reads them (state, blas), the code that walks them (driver and its
           two texts), the compiled kernels in the process and on disk (objects), and what Python does (python_steps)
program    a graph, when it holds, and how it runs; entry is the way in and out; api is jit
"""

__all__: list[str] = []
