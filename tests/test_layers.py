"""The layers of the package, read from its source: imports, sizes, names, and what rules may not contain."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import autodiff

ROOT = Path(autodiff.__file__).parent

# From the ground up: a module imports only from above it in this list. It knows arrays first, then rules, then the
# graph, then Values, then what is built with them.
LAYERS = [
    "errors box context batched spec tree codegen",
    "arrays case regions many rule convert nested",
    "rules.special rules.elementwise rules.scimath rules.activations rules.reduce rules.sort",
    "rules.statistics rules.nan rules.shape rules.join rules.index rules.pad rules.einsum rules.contract",
    "rules.convolution rules.pooling",
    "rules.creation rules.region rules.fft rules.numeric rules.polynomial rules.linalg_decompositions",
    "rules.linalg rules.nondiff rules",
    "tape constants taint arguments views mutation outputs plain dispatch inplace ufuncs ends",
    "operators binary flat attributes methods copies value states creation stand_ins buffers",
    "batching.loop batching.axes batching.bodies batching.convolution batching.creation batching.indexing",
    "batching.levels batching.linalg batching.pooling batching.products batching.shapes batching.sorting batching",
    "record modes nans transform argnums transforms mapping jacobians checking supported",
    "custom.running custom.call custom.case custom.declaring custom.differences custom declared extend",
    "sparse.patterns sparse.kinds sparse.products sparse.special sparse.windows sparse.structures sparse.batches",
    "sparse.sparsity",
    "sparse.colouring sparse.matrices sparse",
    "memory.surroundings memory.replay memory.schedule memory.checkpointing memory.scan memory",
    "compiler.graph compiler.interpret compiler.plan compiler.calls compiler.asked compiler.recorded compiler.orders",
    "compiler.operands compiler.loops compiler.masks compiler.indexing compiler.writing compiler.returned",
    "compiler.reading compiler.primitives compiler.compositions compiler.contractions compiler.rearrangements",
    "compiler.calling compiler.recorder",
    "compiler.spaces compiler.products compiler.parts compiler.sums compiler.gathers compiler.simplify compiler.groups",
    "compiler.levels compiler.schedule compiler.fuse compiler.nests compiler.tiles compiler.splits compiler.memory",
    "compiler.bounds compiler.llvm_ops compiler.llvm_hints compiler.llvm_text compiler.llvm_kernels compiler.lower",
    "compiler.llvm_values compiler.llvm_exp compiler.llvm_erf compiler.llvm_power compiler.llvm_trig",
    "compiler.llvm_math",
    "compiler.disk compiler.objects compiler.blas compiler.driver_text compiler.entry_text compiler.driver",
    "compiler.parallel_text compiler.parallel compiler.state compiler.python_steps compiler.native compiler.timing",
    "compiler.aliases compiler.code compiler.slots compiler.draws compiler.captures compiler.places",
    "compiler.signature compiler.entry compiler.program compiler.paths compiler.undo compiler.entries",
    "compiler.explain compiler.residuals compiler.links compiler.rerun compiler.linked compiler.frames",
    "compiler.recording compiler.api compiler",
    "draw_layout draw saving",
    "nn.replace nn.module nn.inputs nn.options nn.init nn.activations nn.layers nn.windows nn.convolution nn.pooling",
    "nn.normalisation nn.recurrent nn.attention nn.losses nn",
    "optim.checks optim.groups optim.optimizer optim.sgd optim.adam optim.adaptive optim.clip optim.ema optim.lbfgs",
    "optim.schedules optim",
    "training.data training.history training.files training.progress training.run training.compiled training.steps",
    "training.loop training",
    "numpy._info numpy._lift numpy._standard numpy.linalg numpy.fft numpy",
    "autodiff",
]
ORDER = " ".join(LAYERS).split()
GROUND = ORDER[: ORDER.index("rules") + 1]
ENGINE = ["value", "tape", "rule", "dispatch", "operators"]
TABLES = [name for name in ORDER if name.startswith("rules.")]
LAZY = [
    "batching",
    "buffers",
    "checking",
    "compiler",
    "draw",
    "jacobians",
    "mapping",
    "memory",
    "nans",
    "nn",
    "numpy",
    "optim",
    "record",
    "saving",
    "sparse",
    "training",
    "transforms",
]  # loaded at first use
OPTIONAL = {
    "compiler.objects": "llvmlite",
    "saving": "safetensors",
    "training.history": "matplotlib",
    "training.progress": "tqdm",
    "sparse.patterns": "scipy",
    "optim.lbfgs": "scipy",
}  # of an extra, imported inside a function that says so if it is missing


def module_name(path: Path) -> str:
    """`rules.shape`, or for an __init__.py the package: `rules`, and `autodiff` for the whole."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "autodiff"


PATHS = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
SOURCES = {name: path.read_text("utf-8") for name, path in PATHS.items()}
TREES = {name: ast.parse(source) for name, source in SOURCES.items()}

modules = pytest.mark.parametrize("name", PATHS)


def full_name(name: str) -> str:
    return "autodiff" if name == "autodiff" else f"autodiff.{name}"


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node, but not what only a type checker sees."""
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        return
    yield tree
    for child in ast.iter_child_nodes(tree):
        yield from statements(child)


def imported(name: str) -> Iterator[tuple[str, list[str]]]:
    """(module, names) of each import of the module, also those inside functions; our modules relative to ours."""
    package = PATHS[name].parent.relative_to(ROOT).parts
    for node in statements(TREES[name]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if not node.level:
                yield node.module or "", names
                continue
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            module = ".".join(filter(None, base))
            if module in PATHS and PATHS[module].name != "__init__.py":
                yield f".{module}", names
                continue
            for n in names:  # `from . import arrays` imports a module, `from .nn import mse` a name
                child = f"{module}.{n}".lstrip(".")
                yield (f".{child}", []) if child in PATHS else (f".{module or 'autodiff'}", [n])


def ours(name: str) -> dict[str, set[str]]:
    """The modules of the package that `name` imports, and the names from each."""
    found: dict[str, set[str]] = {}
    for module, names in imported(name):
        assert not module.startswith("autodiff"), f"{name} imports {module}: imports inside the package are relative"
        if module.startswith("."):
            found.setdefault(module[1:], set()).update(names)
    return found


# -- imports


def test_the_order_is_complete() -> None:
    assert sorted(ORDER) == sorted(PATHS)


@modules
def test_imports_point_up_the_list(name: str) -> None:
    """So there is no cycle either."""
    below = [other for other in ours(name) if ORDER.index(other) >= ORDER.index(name)]
    assert not below, f"{name} imports {below} from below it"


def test_no_cycle() -> None:
    """The same, without the list: taking away what imports nothing that is left, nothing is left."""
    graph = {name: set(ours(name)) for name in PATHS}
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph, f"a cycle among {sorted(graph)}"


@pytest.mark.parametrize("name", GROUND)
def test_the_ground_knows_no_graph(name: str) -> None:
    assert not ours(name).keys() & {"value", "tape", "dispatch", "operators", "binary", "methods", "ends"}


@modules
def test_only_numpy_and_the_standard_library(name: str) -> None:
    outside = {module.partition(".")[0] for module, _ in imported(name) if not module.startswith(".")}
    allowed = {"numpy", OPTIONAL.get(name, "numpy"), *sys.stdlib_module_names}
    assert outside <= allowed, f"{name} imports {outside}"


@pytest.mark.parametrize("name", OPTIONAL)
def test_extras_are_imported_when_needed(name: str) -> None:
    """Not at the top of a module, where a computation without them would fail."""
    top = [n for n in TREES[name].body if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert not [n.lineno for n in top if OPTIONAL[name] in ast.unparse(n)]


@modules
def test_imported_names_are_public(name: str) -> None:
    """What one module takes from another is in the other's __all__."""
    for module, names in ours(name).items():
        private = names - set(exports(module))
        assert not private, f"{name} imports {sorted(private)} from {module}"


def test_import_loads_nothing_else() -> None:
    """Not SciPy, not numpy.testing (38 ms), not the parts that a plain computation does not need."""
    heavy = ["scipy", "torch", "jax", "pandas", "matplotlib", "sklearn", "numpy.testing", "unittest", "doctest"]
    lazy = [full_name(name) for name in LAZY]
    program = f"import sys, autodiff; print(*(m for m in {heavy + lazy} if m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert run.stdout.split() == []


def test_what_is_loaded_late_is_an_attribute_like_others() -> None:
    """Its first use puts it among the names of the package, and dir() knows it before."""
    program = (
        "import autodiff as ad, sys; assert {*ad.__all__} <= {*dir(ad)}; assert 'dataclasses' not in sys.modules\n"
        "for name in ad.__all__: getattr(ad, name)\n"
        "print({*ad.__all__} <= {*vars(ad)}, *(n for n in ad.__all__ if type(getattr(ad, n)) is type(ad)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert run.stdout.split() == ["True", "extend", "nn", "optim"]


def test_lazy_parts_load_at_first_use() -> None:
    program = (
        "import autodiff as ad; ad.nn.Linear, ad.optim.SGD, ad.draw_graph; import sys; print('scipy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert run.stdout.strip() == "False"


# -- sizes


@modules
def test_no_file_is_long(name: str) -> None:
    assert len(SOURCES[name].splitlines()) <= 500


def test_the_engine_is_small() -> None:
    lines = {name: len(SOURCES[name].splitlines()) for name in ENGINE}
    assert sum(lines.values()) < 1000, f"{lines}: {sum(lines.values())} lines"


@modules
def test_every_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(TREES[name])


# -- names


def exports(name: str) -> list[str]:
    exported: list[str] = getattr(importlib.import_module(full_name(name)), "__all__", [])
    return exported


def defined(name: str) -> Iterator[tuple[str, ast.AST]]:
    """The names that the module's own statements bind, in order, with the statement."""
    for node in TREES[name].body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from ((t.id, node) for t in ast.walk(target) if isinstance(t, ast.Name))


def as_ruff_sorts(names: Iterable[str]) -> list[str]:
    """CONSTANTS first, then Classes, then the rest (RUF022)."""
    return sorted(names, key=lambda n: (0 if n.isupper() and len(n) > 1 else 1 if n[0].isupper() else 2, n))


@modules
def test_all_is_sorted_and_exists(name: str) -> None:
    module = importlib.import_module(full_name(name))
    assert "__all__" in [n for n, _ in defined(name)], f"{name} has no __all__"
    assert exports(name) == as_ruff_sorts(set(exports(name)))
    missing = [n for n in exports(name) if not hasattr(module, n)]
    assert not missing, f"{name}.__all__ names {missing}, which do not exist"


@modules
def test_all_is_complete(name: str) -> None:
    """Public functions and classes are in __all__, others start with an underscore.

    Left out: constants and type aliases (settings of the module, to be read there), and in the tables of rules the
    maps and bodies, which are named after their functions so that tracebacks and profiles name them. Both are in
    __all__ once another module imports them, see test_imported_names_are_public.
    """
    public = [
        n
        for n, node in defined(name)
        if not n.startswith("_") and isinstance(node, (ast.FunctionDef, ast.ClassDef)) and n not in exports(name)
    ]
    if name in TABLES:
        public = [n for n in public if is_dispatchable(dict(defined(name))[n])]
    assert not public, f"{name}: {public} are neither in __all__ nor start with an underscore"


def is_dispatchable(node: Any) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "dispatchable" for d in node.decorator_list)


# -- state


MUTATORS = {"append", "add", "update", "setdefault", "pop", "popitem", "clear", "extend", "insert", "remove", "discard"}
STATEFUL = {"Lock", "RLock", "Condition", "local", "count", "defaultdict", "WeakKeyDictionary", "WeakValueDictionary"}
STATE = {
    ("batched", "BATCHING"): "the registry of batching rules, filled at import",
    ("buffers", "SWAPS"): "the table of swapped names, with its lock",
    ("compiler.draws", "DRAWING"): "the lock under which programs draw",
    ("compiler.entries", "RECORDINGS"): "the lock under which functions are recorded",
    ("compiler.primitives", "PRIMITIVES"): "the registry of primitives, filled at import",
    ("stand_ins", "SWAPPED"): "the table of stand-ins, filled at import; that of np.random by the compiler's",
    ("rule", "RULES"): "the registry, filled at import",
    ("tape", "number"): "the counter; next() on it is atomic",
    ("ends", "GRADS"): "the lock under which gradients are added",
}


@modules
def test_no_global_state(name: str) -> None:
    """No function changes a global: there are the registry, ContextVars and one lock."""
    globals_ = dict(defined(name))
    for node in ast.walk(TREES[name]):
        assert not isinstance(node, (ast.Global, ast.Nonlocal)), f"{name}:{node.lineno}: global"
    for function in (n for n in ast.walk(TREES[name]) if isinstance(n, (ast.FunctionDef, ast.Lambda))):
        local = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}
        for target in changed(function):
            if target in globals_ and target not in local:
                assert (name, target) in STATE, f"{name}:{function.lineno}: a function changes the global {target}"


def changed(function: ast.AST) -> Iterator[str]:
    """The names whose items are assigned or whose mutating methods are called."""
    for node in ast.walk(function):
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            if isinstance(node.value, ast.Name):
                yield node.value.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            if isinstance(node.func.value, ast.Name):
                yield node.func.value.id


@modules
def test_no_hidden_caches_or_locks(name: str) -> None:
    """Objects with a state of their own at module level: those that are listed above."""
    for target, node in defined(name):
        calls = (
            [n for n in ast.walk(node) if isinstance(n, ast.Call)]
            if isinstance(node, (ast.Assign, ast.AnnAssign))
            else []
        )
        made = {c.func.attr if isinstance(c.func, ast.Attribute) else getattr(c.func, "id", "") for c in calls}
        assert not made & STATEFUL or (name, target) in STATE, f"{name}: {target} is made with {made & STATEFUL}"
    decorators = [d for node in ast.walk(TREES[name]) for d in getattr(node, "decorator_list", [])]
    assert not [d.lineno for d in decorators if "cache" in ast.unparse(d).replace("cached_property", "")]


def test_the_listed_state_exists() -> None:
    assert not [entry for entry in STATE if entry[1] not in dict(defined(entry[0]))]


# -- rules


CREATORS = {
    "array", "asarray", "ascontiguousarray", "asfortranarray", "asanyarray", "zeros", "ones", "empty", "full",
    "empty_like", "arange", "linspace", "logspace", "geomspace", "eye", "identity", "tri", "diag", "fromfunction",
    "fromiter", "frombuffer", "indices", "meshgrid", "copy",
}  # fmt: skip
SCALARS = {
    "float16", "float32", "float64", "longdouble", "double", "single", "half", "complex64", "complex128", "clongdouble",
    "bool_", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "intp", "uintp", "int_",
    "uint",
}  # fmt: skip
OPERANDS = {"g", "x", "y", "z", "ans", "aux"}
SAFE_ATTRIBUTES = {"ndim", "shape", "dtype", "size", "kind"}
SAFE_FUNCTIONS = {
    "isinstance",
    "type",
    "hasattr",
    "getattr",
    "len",
    "is_complex",
    "ndim",
    "shape",
    "size",
    "result_type",
}


def numpy_calls(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """`np.name(...)` as name and line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "np":
                yield node.func.attr, node.lineno


@pytest.mark.parametrize("name", TABLES)
def test_rules_create_no_arrays(name: str) -> None:
    """They would be on the host, and constants: `np.zeros_like(g, shape=...)` follows g instead."""
    assert not [call for call in numpy_calls(TREES[name]) if call[0] in CREATORS]


@pytest.mark.parametrize("name", TABLES)
def test_constants_in_rules_are_python_numbers(name: str) -> None:
    """NumPy scalars have a dtype, and would make float64 of float32."""
    assert not [call for call in numpy_calls(TREES[name]) if call[0] in SCALARS]


@pytest.mark.parametrize("name", TABLES)
def test_rules_do_not_branch_on_data(name: str) -> None:
    """Conditions ask for shapes, dtypes, types and options: a batch or a recorder has no one answer about its data.

    What `isinstance` has found to be a Python number may be asked for its value.
    """
    assert not branches(TREES[name])


def test_the_lint_sees_what_it_forbids() -> None:
    for source in (
        "def f(g, x): return g if x > 0 else -g",
        "def f(g, x):\n    while (x > 0).any(): g = g / 2\n    return g",
        "def f(g, ans):\n    if ans.shape == () and ans: return g",
        "def f(g, x): return [h for h in g if h * x]",
        "def f(x, y): return x if isinstance(y, int) and x else y",
    ):
        assert branches(ast.parse(source)), source
    for source in (
        "def f(g, x): return g if x.ndim == 2 or np.shape(x)[0] else g.astype(x.dtype)",
        "def f(g, x, axis): return g if axis is None and x is not None and len(x) else -g",
        "def f(x, y):\n    if isinstance(y, int): return x if y else 1",
    ):
        assert not branches(ast.parse(source)), source
    assert [name for name, _ in numpy_calls(ast.parse("np.zeros(3) + np.float64(1) + zeros(2)"))] == [
        "zeros",
        "float64",
    ]
    changes = "def f(): A[0] = 1; B.append(2); C.x.y = 3; D.grad = 4; E.copy()"
    assert set(changed(ast.parse(changes))) == {"A", "B", "D"}


def branches(tree: ast.AST) -> list[str]:
    """Conditions on operands, as text."""
    return [
        f"line {test.lineno}: {ast.unparse(test)}"
        for test, numbers in conditions(tree, frozenset())
        if {n.id for n in outside_of_facts(test) if isinstance(n, ast.Name)} & OPERANDS - numbers
    ]


def conditions(node: ast.AST, numbers: frozenset[str]) -> Iterator[tuple[ast.expr, frozenset[str]]]:
    """The conditions in a piece of source, and which names are known there to be numbers."""
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        numbers |= {
            n.args[0].id
            for n in ast.walk(node.test)
            if isinstance(n, ast.Call) and ast.unparse(n.func) == "isinstance" and isinstance(n.args[0], ast.Name)
        }
    if isinstance(node, (ast.If, ast.IfExp, ast.While, ast.Assert)):
        yield node.test, numbers
    if isinstance(node, ast.comprehension):
        yield from ((test, numbers) for test in node.ifs)
    for child in ast.iter_child_nodes(node):
        yield from conditions(child, numbers)


def outside_of_facts(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a condition that are not about shape, dtype or type."""
    if isinstance(node, ast.Attribute) and node.attr in SAFE_ATTRIBUTES:
        return
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in SAFE_FUNCTIONS:
            return
    if isinstance(node, ast.Compare) and all(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from outside_of_facts(child)


@modules
def test_scatter_has_one_home(name: str) -> None:
    """`np.add.at` changes an array: it runs in arrays.scatter_add, and where Values, batches and programs write."""
    attributes = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Attribute) and node.attr == "at"]
    used = [node.lineno for node in attributes if ast.unparse(node.value) not in ("self", "recorder")]
    assert not used or name in ("arrays", "batching.indexing", "mutation", "inplace", "ufuncs", "compiler.calls")


@pytest.mark.parametrize("name", [name for name in PATHS if name not in ("errors", "autodiff")])
def test_errors_are_ours_or_pythons(name: str) -> None:
    """Nothing raises a bare Exception."""
    raised = [n.exc for n in ast.walk(TREES[name]) if isinstance(n, ast.Raise) and n.exc is not None]
    names = {ast.unparse(e.func if isinstance(e, ast.Call) else e) for e in raised}
    assert not names & {"Exception", "BaseException", "RuntimeError", "AssertionError"}
