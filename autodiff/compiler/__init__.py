"""The compiler behind `jit`: a recorded NumPy program, simplified, fused, and run as native code or by NumPy.

recorder   f runs once on arrays that note what is done with them
graph      what they noted: values, each computed once
interpret  runs a graph with NumPy: the oracle of the tests, and what runs where llvmlite is not installed
fuse       which values are computed in one loop
loops      the loops, operands and phases of a fused group
llvm_text  the loops as LLVM IR; llvm_math has the elementary functions
plan       steps and buffers, ready to run
native     runs a plan: the steps as native code reads them (state, blas), the code that walks them (driver and its
           two texts), the compiled kernels in the process and on disk (objects), and what Python does (python_steps)
"""
