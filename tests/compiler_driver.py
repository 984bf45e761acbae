"""Runs a plan of the compiler in the simplest way: every step from Python, each kernel a ctypes call."""

import ctypes
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from autodiff.compiler.interpret import Mismatch, evaluate, strided
from autodiff.compiler.plan import Array, Call, Check, Gemm, Launch, Plan


def module(plan: Plan, functions: Any) -> str:
    kernels = {step.kernel.symbol: step.kernel for step in plan.steps if isinstance(step, Launch)}
    used = frozenset().union(*[k.uses for k in kernels.values()])
    return functions.prelude(used) + "\n" + "\n".join(k.text for k in kernels.values())


class Driver:
    """A plan as a function of arrays."""

    def __init__(self, plan: Plan, functions: Any, optimize: int = 1) -> None:
        self.plan = plan
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        parsed = llvm.parse_assembly(module(plan, functions))
        parsed.verify()
        target = llvm.Target.from_default_triple()
        machine = target.create_target_machine(
            opt=max(optimize, 1), cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten()
        )
        self.engine = llvm.create_mcjit_compiler(parsed, machine)
        tuning = llvm.create_pipeline_tuning_options(speed_level=optimize)
        builder = llvm.create_pass_builder(machine, tuning)
        builder.getModulePassManager().run(parsed, builder)
        self.optimized = str(parsed)
        self.engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
        self.functions = {
            s.kernel.symbol: kind(self.engine.get_function_address(s.kernel.symbol))
            for s in plan.steps
            if isinstance(s, Launch)
        }
        self.slots = [np.array(s.operands, np.int64).reshape(-1) if isinstance(s, Launch) else None for s in plan.steps]

    def array(self, memory: list[Any], a: Array) -> Any:
        flat = memory[a.buffer]
        flat = flat[: flat.size // a.dtype.itemsize * a.dtype.itemsize].view(a.dtype)
        return strided(flat, a.offset, a.strides, a.shape)

    def __call__(self, arrays: list[Any]) -> list[Any]:
        guarded = [np.full(self.plan.arena + 128, 0xA5, np.uint8)]
        arena = guarded[0][64:]
        memory = []
        for kind, at, nbytes in self.plan.buffers:
            if kind == "temporary":
                assert at + nbytes <= self.plan.arena
                memory.append(arena[at : at + nbytes])
            elif kind == "output":
                guarded.append(np.full(nbytes + 128, 0xA5, np.uint8))
                memory.append(guarded[-1][64 : 64 + nbytes])
            else:
                source = arrays[at] if kind == "input" else self.plan.constants[at]
                memory.append(np.ascontiguousarray(source).reshape(-1).view(np.uint8))
                assert memory[-1].size == nbytes
        table = (ctypes.c_void_p * len(memory))(*[m.ctypes.data for m in memory])
        for step, slots in zip(self.plan.steps, self.slots):
            if isinstance(step, Launch):
                self.functions[step.kernel.symbol](table, slots.ctypes.data)
            elif isinstance(step, Gemm):
                out = self.array(memory, step.out)
                product = np.matmul(self.array(memory, step.x), self.array(memory, step.y))
                out[...] = out + product if step.adds else product
            elif isinstance(step, Call):
                values = evaluate(step.node, [self.array(memory, a) for a in step.inputs])
                if len(step.outputs) == 1 and not isinstance(values, (tuple, list)):
                    values = (values,)
                for value, out in zip(values, step.outputs):
                    if out is not None:
                        self.array(memory, out)[...] = value
            elif isinstance(step, Check):
                value = self.array(memory, step.array).item()
                if value != step.value and not (value != value and step.value != step.value):
                    raise Mismatch(step.position, value)
        assert all((g[:64] == 0xA5).all() and (g[-64:] == 0xA5).all() for g in guarded), "written out of bounds"
        return [self.array(memory, a).copy() for a in self.plan.outputs]


class Libm:
    """Elementary functions by the C library, for where `llvm_math` is not what is tested."""

    NATIVE = frozenset(("exp", "log", "sin", "cos", "tanh"))

    @staticmethod
    def call(name: str, kind: str, args: Any, apart: bool = False) -> str:
        type, bits = {"f4": ("float", "f32"), "f8": ("double", "f64")}[kind]
        return f"call {type} @llvm.{name}.{bits}({type} {args[0]})"

    @staticmethod
    def prelude(used: Any) -> str:
        return ""
