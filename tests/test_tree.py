"""Containers: what is a leaf and what is not, how they are put together again, and places in messages."""

from __future__ import annotations

import copy
import dataclasses
import enum
import functools
import pickle
import threading
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import pytest

import autodiff as ad
from autodiff import OperandError, Value, nn
from autodiff.tree import flatten, leaves, leaves_like, places, tree_map

pd = pytest.importorskip("pandas")

x2 = np.array([1.0, 2.0])


class Mode(enum.Enum):
    FAST = 1


class Level(enum.IntEnum):
    LOW = 1


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Params:
    w: Any
    b: Any = 0.0


@dataclass(frozen=True)
class Frozen:
    w: Any
    b: Any


@dataclass(slots=True)
class Slots:
    w: Any
    b: Any


@dataclass(frozen=True, slots=True)
class FrozenSlots:
    w: Any
    b: Any


@dataclass(kw_only=True)
class Keywords:
    w: Any
    b: Any


@dataclass
class Base:
    w: Any


@dataclass
class Derived(Base):
    b: Any = field(default_factory=lambda: np.zeros(2))


@dataclass
class Computed:
    w: Any
    b: Any = field(init=False)
    runs: ClassVar[int] = 0

    def __post_init__(self) -> None:
        type(self).runs += 1
        self.b = self.w * 2


T = TypeVar("T")


@dataclass
class Typed(Generic[T]):
    w: T
    b: T


class Keyed(dict[str, Any]):
    """A dict with something besides its items."""

    note = ""


def linear(p: Any) -> Any:
    return (p.w * p.w).sum() + (3 * p.b).sum()


DATACLASSES = {
    "plain": lambda: Params(x2, 3.0),
    "default": lambda: Params(x2),
    "frozen": lambda: Frozen(x2, x2),
    "slots": lambda: Slots(x2, x2),
    "frozen slots": lambda: FrozenSlots(x2, x2),
    "keyword only": lambda: Keywords(b=x2, w=x2),
    "derived": lambda: Derived(x2),
    "computed": lambda: Computed(x2),
    "generic": lambda: Typed[Any](x2, x2),
}


@pytest.mark.parametrize("name", DATACLASSES)
def test_dataclasses(name: str) -> None:
    p = DATACLASSES[name]()
    before = copy.deepcopy(p)
    runs = Computed.runs
    value, g = ad.value_and_grad(linear)(p)
    assert type(g) is type(p) and type(value) is np.float64
    np.testing.assert_array_equal(g.w, 2 * x2)
    np.testing.assert_array_equal(g.b, np.full(np.shape(p.b), 3.0))
    y, pull = ad.vjp(linear, p)
    assert type(pull(1.0)[0]) is type(p) and y == value
    _, t = ad.jvp(linear, (p,), (g,))
    np.testing.assert_allclose(t, (g.w**2).sum() + (np.asarray(g.b) ** 2).sum())
    second = ad.grad(lambda p: (ad.grad(linear)(p).w * x2).sum())(p)
    np.testing.assert_array_equal(second.w, 2 * x2)
    assert not np.any(second.b)
    for part, old in ((p.w, before.w), (p.b, before.b)):
        np.testing.assert_array_equal(part, old)
    assert Computed.runs == runs  # __post_init__ has not run again
    ad.check_grads(linear, p)


def test_dataclasses_with_complex_and_single_precision() -> None:
    g = ad.grad(lambda p: (np.abs(p.w * p.b) ** 2).sum())(Params(x2.astype(np.float32), np.array([1j, 2.0])))
    assert g.w.dtype == np.float32 and g.b.dtype == np.complex128
    np.testing.assert_allclose(g.w, [2, 16])
    np.testing.assert_allclose(g.b, [2j, 16])


def test_results_in_dataclasses() -> None:
    f = lambda x: Frozen(x * x, {"s": np.sin(x), "name": "sine"})
    y, pull = ad.vjp(f, x2)
    assert type(y) is Frozen and type(y.w) is np.ndarray and y.b["name"] == "sine"
    (g,) = pull(Frozen(np.ones(2), {"s": np.zeros(2), "name": None}))
    np.testing.assert_array_equal(g, 2 * x2)
    y, t = ad.jvp(f, (x2,), (np.ones(2),))
    np.testing.assert_allclose(t.b["s"], np.cos(x2))
    _, aux = ad.grad(lambda x: (x.sum(), Slots(x * 2, None)), has_aux=True)(x2)
    assert type(aux) is Slots and type(aux.w) is np.ndarray and aux.b is None


def test_what_changes_nothing_comes_back_itself() -> None:
    config, model = Params("text", 3), nn.Linear(1, 1)
    _, (c, m) = ad.grad(lambda x: (x * x, (config, model)), has_aux=True)(1.0)
    assert c is config and m is model


def test_cached_properties_are_not_taken_along() -> None:
    """They were computed from the arrays of the original: as constants they would make the gradient wrong."""

    @dataclass
    class Shape:
        radius: Any

        @functools.cached_property
        def area(self) -> Any:
            return 3 * self.radius**2

    class Disk(nn.Module):
        def __init__(self) -> None:
            self.radius = Value(2.0)

        @functools.cached_property
        def area(self) -> Any:
            return 3 * self.radius.data**2 if not self.radius.requires_grad else 3 * self.radius**2

    for disk in (Shape(2.0), Disk()):
        disk.area  # computed once, before
        g = ad.grad(lambda d: d.area)(disk)
        assert g.radius == 12.0
        assert "area" in vars(disk)


def test_fields_that_are_not_set_yet() -> None:
    @dataclass
    class Lazy:
        w: Any
        cache: Any = field(init=False)

    g = ad.grad(lambda p: p.w**2)(Lazy(3.0))
    assert g.w == 6.0 and not hasattr(g, "cache")


# -- what is no leaf


STATIC = [
    "text",
    b"bytes",
    True,
    None,
    Mode.FAST,
    Level.LOW,
    np.tanh,
    len,
    float,
    np.float32,
    np.dtype("f4"),
    np.random.default_rng(0),
    range(3),
    slice(1, 2),
    ...,
]


@pytest.mark.parametrize("thing", STATIC, ids=lambda t: type(t).__name__)
def test_descriptions_stay_as_they_are(thing: Any) -> None:
    def f(p: Any) -> Any:
        given = p["thing"] if isinstance(p, dict) else p.b if isinstance(p, Params) else p[1]
        assert given is thing
        return (p["w"] if isinstance(p, dict) else p.w if isinstance(p, Params) else p[0]) ** 2

    for p in ({"w": 3.0, "thing": thing}, [3.0, thing], (3.0, thing), Pair(3.0, thing), Params(3.0, thing)):
        g = ad.grad(f)(p)
        assert [*leaves(g)] == [6.0] and type(g) is type(p)
        assert (g["thing"] if isinstance(g, dict) else g.b if isinstance(g, Params) else g[1]) is thing
        assert ad.jvp(f, (p,), (p,))[1] == 18.0
        assert ad.vjp(f, p)[1](1.0)[0] == g


def test_the_type_of_a_description_is_that_of_the_original() -> None:
    assert ad.grad(lambda p: p.b(p.w))(Params(0.5, np.sin)).w == np.cos(0.5)


@pytest.mark.parametrize("thing", [t for t in STATIC if t is not None], ids=lambda t: type(t).__name__)
def test_alone_they_are_no_arguments(thing: Any) -> None:
    with pytest.raises(OperandError, match="grad: differentiated argument 0 is "):
        ad.grad(lambda x: 1.0)(thing)


@dataclass
class Options:
    w: Any
    n: int = 3
    steps: Any = field(default=7, metadata={"static": True})
    table: Any = field(default=None, metadata={"static": True})


def test_integers_are_named_with_their_place() -> None:
    f = lambda p: 1.0
    with pytest.raises(OperandError, match=r"argument 0, \.n is of type int.*astype\(float\).*float\(\).*static"):
        ad.grad(f)(Options(1.0))
    with pytest.raises(OperandError, match=r"argument 1\[0\]\.n is of type int"):
        ad.grad(lambda a, p: 1.0, 1)(1.0, [Options(1.0)])
    with pytest.raises(OperandError, match=r'argument 0\["w"\]\[1\] is of type int.*float\(\)$'):
        ad.grad(f)({"w": [1.0, 3]})
    with pytest.raises(OperandError, match=r"argument 0\[\(1, 2\)\] is of type ndarray with dtype int64.*astype"):
        ad.grad(f)({(1, 2): np.arange(3)})
    with pytest.raises(OperandError, match=r"argument 0, \.right is of type int(?!.*static)"):
        ad.grad(f)(Pair(1.0, 2))
    with pytest.raises(OperandError, match=r"argument p\.n is of type int"):
        ad.grad(lambda p: 1.0, "p")(Options(1.0))
    for transform in (lambda p: ad.vjp(f, p), lambda p: ad.jvp(f, (p,), (p,)), ad.value_and_grad(f)):
        with pytest.raises(OperandError, match=r"argument 0\[1\]"):
            transform([1.0, 3])


@pytest.mark.parametrize(
    ("thing", "way"),
    [
        (3, r"float\(\)"),
        (np.int64(3), r"\.astype\(float\)"),
        (np.int8(3), r"\.astype\(float\)"),
        (np.bool_(True), r"\.astype\(float\)"),
        (np.arange(3), r"\.astype\(float\)"),
        (np.array(3), r"\.astype\(float\)"),
        (np.array([True]), r"\.astype\(float\)"),
        (np.array([1.0, None], object), r"\.astype\(float\)"),
        (np.array(["a"]), r"\.astype\(float\)"),
        (Value(3, requires_grad=False), r"\.astype\(float\)"),
        ({1.0}, "a set"),
        (object(), "object"),
        (1 + 0j, None),
    ],
    ids=lambda t: getattr(t, "__name__", None) or type(t).__name__,
)
def test_what_has_no_derivative_in_containers(thing: Any, way: str | None) -> None:
    cases = {
        "[1]": [1.0, thing],
        ", .right": Pair(1.0, thing),
        '["b"]': {"a": 1.0, "b": thing},
        ", .b": Params(1.0, thing),
    }
    for place, p in cases.items():
        call = lambda p=p: ad.grad(lambda p: 1.0)(p)
        if way is None:
            call()
            continue
        with pytest.raises(OperandError) as caught:
            call()
        assert f"grad: differentiated argument 0{place} is " in str(caught.value)
        assert caught.match(way)
    ad.grad(lambda x, *_: x * x)(1.0, thing, [thing])  # held fixed, it may be anything


def test_static_fields() -> None:
    table = np.arange(3)
    p = Options(2.0, n=3.0, table=table)  # type: ignore[arg-type]
    g = ad.grad(lambda p: p.w**p.steps + p.n * p.table[1])(p)
    assert (g.w, g.n, g.steps) == (7 * 2.0**6, 1.0, 7) and g.table is table


def test_integers_in_fixed_arguments() -> None:
    config = Options(1, n=4)
    assert ad.grad(lambda x, c: x**c.n)(2.0, config) == 32.0
    assert ad.grad(lambda x, *, c: x ** c["n"])(2.0, c={"n": 4}) == 32.0


# -- dicts, emptiness, depth, cycles


def test_dicts_keep_what_they_are() -> None:
    keyed = Keyed(a=2.0)
    keyed.note = "mine"
    for d in (OrderedDict(b=1.0, a=2.0), defaultdict(list, a=2.0), Counter(a=2.0), keyed):  # type: ignore[arg-type]
        g = ad.grad(lambda d: d["a"] ** 2)(d)
        assert type(g) is type(d) and list(g) == list(d) and g["a"] == 4.0
    assert ad.grad(lambda d: d["a"])(defaultdict(list, a=2.0))["new"] == []
    assert ad.grad(lambda d: d["a"])(keyed).note == "mine"


def test_keys_of_any_kind() -> None:
    keys = [1, "1", (1, 2), None, 1.5, Mode.FAST, frozenset({1}), np.float32, True and "t"]
    d = {key: float(i) for i, key in enumerate(keys)}
    g = ad.grad(lambda d: sum((i + 1) * v for i, v in enumerate(d.values())))(d)
    assert list(g) == keys and [*g.values()] == [i + 1.0 for i in range(len(keys))]
    assert [p.path for p in places({1: 1.0, "1": 2.0})] == ["[1]", '["1"]']


@pytest.mark.parametrize(
    "tree", [[], (), {}, [[]], {"a": {}}, [None], OrderedDict(), Params({}, [])], ids=lambda t: type(t).__name__
)
def test_empty_containers(tree: Any) -> None:
    assert ad.grad(lambda p: 1.0)(tree) == tree and type(ad.grad(lambda p: 1.0)(tree)) is type(tree)
    assert ad.vjp(lambda x: tree, 1.0)[1](tree) == (0.0,)
    assert ad.jvp(lambda x: tree, (1.0,), (1.0,)) == (tree, tree)


def test_none_alone() -> None:
    """It describes what is next to it; as a whole argument it is as wrong as a text. A result may be None."""
    for call in (
        lambda: ad.grad(lambda p: 1.0)(None),
        lambda: ad.jacobian(lambda p: np.ones(2))(None),
        lambda: ad.vjp(lambda p: 1.0, None),
        lambda: ad.jvp(lambda p: 1.0, (None,), (None,)),
    ):
        with pytest.raises(OperandError, match="argument 0 is a NoneType; pass a number or an array"):
            call()
    with pytest.raises(OperandError, match="argument q is a NoneType"):
        ad.grad(lambda p, q: p, ("p", "q"))(1.0, None)
    assert ad.vjp(lambda x: None, 1.0)[1](None) == (0.0,)
    assert ad.jvp(lambda x: None, (1.0,), (1.0,)) == (None, None)


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    tree: Any = 3.0
    for _ in range(depth):
        tree = wrap(tree)
    return tree


WRAPS: dict[str, Callable[[Any], Any]] = {
    "list": lambda t: [t],
    "tuple": lambda t: (t,),
    "dict": lambda t: {"a": t},
    "dataclass": lambda t: Params(t, None),
    "named tuple": lambda t: Pair(None, t),
}


@pytest.mark.parametrize("name", WRAPS)
def test_depth(name: str) -> None:
    deep = nested(100, WRAPS[name])
    f = lambda p: sum(leaf * leaf for leaf in leaves(p))
    assert [*leaves(ad.grad(f)(deep))] == [6.0]
    assert ad.jvp(f, (deep,), (deep,))[1] == 18.0
    too_deep = nested(3000, WRAPS[name])
    for call in (
        lambda: ad.grad(lambda p: 1.0)(too_deep),
        lambda: ad.vjp(lambda p: 1.0, too_deep),
        lambda: ad.jvp(lambda x: x, (1.0,), (1.0,)) and [*leaves(too_deep)],
        lambda: [*leaves_like(too_deep, too_deep, "test")],
        lambda: ad.vjp(lambda x: too_deep, 1.0),
        lambda: ad.stop_gradient(too_deep),
    ):
        with pytest.raises(OperandError, match="nests more containers"):
            call()
    while too_deep is not None and not isinstance(too_deep, float):  # freeing it by recursion is not our test
        too_deep = next(iter(too_deep.values() if isinstance(too_deep, dict) else _items(too_deep)))


def _items(tree: Any) -> list[Any]:
    items = [tree.w] if isinstance(tree, Params) else [*tree]
    return [item for item in items if item is not None]


def test_cycles() -> None:
    ring: list[Any] = [1.0]
    ring.append(ring)
    table: dict[str, Any] = {"x": 1.0}
    table["self"] = [table]
    record = Params(1.0, None)
    record.b = {"back": record}
    for tree in (ring, table, record):
        for call in (
            lambda t=tree: ad.grad(lambda p: 1.0)(t),
            lambda t=tree: ad.vjp(lambda x: t, 1.0),
            lambda t=tree: ad.jvp(lambda x: x, (1.0,), (t,)),
            lambda t=tree: [*leaves(t)],
            lambda t=tree: tree_map(abs, t),
        ):
            with pytest.raises(OperandError):
                call()
        with pytest.raises(OperandError, match="contains itself"):
            ad.grad(lambda p: 1.0)(tree)
    assert ad.grad(lambda x: x * x)(3.0) == 6.0  # all is as before


def test_shared_but_not_cyclic() -> None:
    """The same list twice is two places."""
    row = [1.0, 2.0]
    assert ad.grad(lambda p: p[0][0] * p[1][1])([row, row]) == [[2.0, 0.0], [0.0, 1.0]]


def test_f_may_change_its_containers() -> None:
    """The gradient has the shape of what was passed."""

    def f(p: Any) -> Any:
        w = p.pop("w")
        p["new"] = 1.0
        p["layers"].reverse()
        p["layers"].append(5.0)
        return w * w + p["layers"][0] * 10

    p = {"w": 3.0, "b": 2.0, "layers": [1.0, 2.0]}
    assert ad.grad(f)(p) == {"w": 6.0, "b": 0.0, "layers": [0.0, 10.0]}
    assert p == {"w": 3.0, "b": 2.0, "layers": [1.0, 2.0]}

    def g(p: Any) -> Any:
        p.w, w = 0.0, p.w
        return w * w

    assert ad.grad(g)(Params(3.0, 1.0)) == Params(6.0, 0.0)


# -- the walkers themselves


def test_walkers_agree() -> None:
    trees: list[Any] = [
        1.0,
        [1.0, (2.0, None), {"a": 3.0, "t": "text"}],
        Params([1.0, "x"], Pair(2.0, True)),
        {"m": nn.Linear(2, 1), "x": x2},
        Frozen({"a": OrderedDict(b=[1.0])}, np.sin),
        "text",
        None,
        [],
    ]
    for tree in trees:
        found = [*leaves(tree)]
        seen: list[Any] = []
        same = tree_map(lambda leaf, seen=seen: seen.append(leaf) or leaf, tree)
        assert [id(a) for a in seen] == [id(a) for a in found] == [id(a) for a in leaves(same)]
        assert [id(p.leaf) for p in places(tree)] == [id(a) for a in found]
        assert [id(a) for a in leaves_like(tree, same, "")] == [id(a) for a in found]
        flat, rebuild = flatten(tree)
        assert [id(a) for a in leaves(rebuild(flat))] == [id(a) for a in found]


@pytest.mark.parametrize(
    ("tree", "other", "message"),
    [
        ({"w": [1.0, 2.0]}, {"w": [1.0]}, r'test\["w"\]: expected a list of 2, got a list of 1'),
        ([1.0, {"a": 1.0}], [1.0, {"b": 1.0}], r"test\[1\]: expected a dict with the keys \['a'\], got a dict"),
        ([Params(1.0, 2.0)], [1.0], r"test\[0\]: expected a Params with w, b, got a float"),
        (Params(1.0, 2.0), Frozen(1.0, 2.0), "test: expected a Params with w, b, got a Frozen"),
        (Params(1.0, 2.0), Params(1.0, [2.0]), r"test\.b: expected an array, got a list of 1"),
        ([None], [1.0], r"test\[0\]: expected None, got a float"),
        (1.0, Params(1.0), "test: expected an array, got a Params"),
        (nn.Linear(1, 1, rng=0), 1.0, "test: expected a Linear with weight, bias, got a float"),
        (
            nn.Linear(1, 1),
            nn.Linear(1, 1, bias=False),
            "test: expected a Linear with weight, bias, got a Linear with w",
        ),
        ([1.0], None, "test: expected a list of 1, got None"),
    ],
)
def test_differences_are_named_with_their_place(tree: Any, other: Any, message: str) -> None:
    with pytest.raises(OperandError, match=message):
        list(leaves_like(tree, other, "test"))


def test_wrong_shapes_are_named_with_their_place() -> None:
    _, pull = ad.vjp(lambda x: {"a": [x, x * 2]}, x2)
    with pytest.raises(ValueError, match=r'vjp: cotangent\["a"\]\[1\] has shape \(1,\), expected \(2,\)'):
        pull({"a": [x2, x2[:1]]})
    with pytest.raises(OperandError, match=r'vjp: cotangent\["a"\]\[0\] is complex'):
        pull({"a": [1j * x2, x2]})
    with pytest.raises(ValueError, match=r"jvp: tangents\[0\]\.w has shape \(\), expected \(2,\)"):
        ad.jvp(lambda p: p.w, (Params(x2, 1.0),), (Params(1.0, 1.0),))


def test_lists_may_stand_for_tuples() -> None:
    assert [*leaves_like((1.0, [2.0]), [10.0, (20.0,)], "test")] == [10.0, 20.0]
    assert [*leaves_like(Pair(1.0, 2.0), (10.0, 20.0), "test")] == [10.0, 20.0]


def test_subclasses_that_cannot_be_rebuilt_are_leaves() -> None:
    class Mine(list[Any]):
        pass

    with pytest.raises(OperandError, match=r"argument 0 is a .*Mine"):
        ad.grad(lambda x: x[0])(Mine([1.0]))


def test_array_classes_that_are_dataclasses_are_leaves() -> None:
    @dataclass
    class Array:
        data: Any

        def __array_function__(self, *_: Any) -> Any:
            return NotImplemented

    a = Array(x2)
    assert [*leaves([a])] == [a]


# -- pandas


PANDAS = {"Series": pd.Series([1.0, 2.0]), "DataFrame": pd.DataFrame({"a": [1.0, 2.0]}), "Index": pd.Index([1.0, 2.0])}


@pytest.mark.parametrize("name", PANDAS)
def test_pandas_objects(name: str) -> None:
    data = PANDAS[name]
    f = lambda x, data, **_: (x * data.to_numpy().sum()).sum()
    assert ad.grad(f)(2.0, data) == ad.grad(f)(2.0, data=data, more=[data]) == 3.0
    for place, p in {"": data, '["d"]': {"d": data}, "[1]": [1.0, data], ", .b": Params(1.0, data)}.items():
        for call in (
            lambda p=p: ad.grad(lambda p: 1.0)(p),
            lambda p=p: ad.vjp(lambda p: 1.0, p),
            lambda p=p: ad.jvp(lambda p: 1.0, (p,), (p,)),
        ):
            with pytest.raises(OperandError) as caught:
                call()
            assert f"differentiated argument 0{place} is a pandas.{name}; pass its .to_numpy()" in str(caught.value)
    with pytest.raises(OperandError, match="to_numpy"):
        ad.grad(lambda x: (x * data).sum())(x2)
    with pytest.raises(OperandError, match="to_numpy"):
        Value(x2) + data
    with pytest.raises(OperandError, match="to_numpy"):
        data * Value(x2)


# -- Modules


class Tied(nn.Module):
    """Encoder and decoder share their weight; it is in a list and in a dict too."""

    def __init__(self) -> None:
        self.encoder = nn.Linear(3, 3, bias=False, rng=0)
        self.more = {"decoder": [nn.Linear(3, 3, rng=1)], "scale": (Value(2.0), None)}
        self.more["decoder"][0].weight = self.encoder.weight  # type: ignore[index]
        self.mask = np.array([1.0, 0.0, 1.0])
        self.buffer = Value([1.0, 2.0, 3.0], requires_grad=False, name="mean")
        self.rate, self.count, self.rng = 0.5, 3, np.random.default_rng(0)
        self.activation = np.tanh

    def forward(self, x: Any) -> Any:
        h = self.activation(self.encoder(x)) * self.mask + self.buffer
        return self.more["decoder"][0](h) * self.more["scale"][0] * self.rate  # type: ignore[index]


def square(model: Any, x: Any) -> Any:
    return (model(x) ** 2).mean()


inputs = np.random.default_rng(3).standard_normal((4, 3))


def test_the_gradient_of_a_module_is_that_of_backward() -> None:
    model = Tied()
    before = model.state_dict()
    value, g = ad.value_and_grad(square)(model, inputs)
    square(model, inputs).backward()
    assert type(value) is np.float64 and type(g) is Tied
    assert [name for name, _ in g.named_parameters()] == [name for name, _ in model.named_parameters()]
    for p, d in zip(model.parameters(), g.parameters(), strict=True):
        assert type(d) in (np.ndarray, np.float64) and d.dtype == p.dtype
        np.testing.assert_allclose(d, p.grad)
    assert g.encoder.weight is g.more["decoder"][0].weight  # type: ignore[index]
    assert type(g.more["scale"]) is tuple and g.more["scale"][1] is None  # type: ignore[index]
    assert g.mask is model.mask and g.rng is model.rng and (g.rate, g.count) == (0.5, 3)
    assert isinstance(g.buffer, Value) and g.buffer.name == "mean"
    for name, old in before.items():
        np.testing.assert_array_equal(model.state_dict()[name], old)
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())
    assert set(g.state_dict()) == set(model.state_dict())


def test_modules_and_arrays_side_by_side() -> None:
    model = Tied()
    gm, gx = ad.grad(square, (0, 1))(model, inputs)
    assert gx.shape == inputs.shape and type(gm) is Tied
    by_name = ad.grad(lambda *, net, x: square(net, x), "net")(net=model, x=inputs)
    for a, b in zip(gm.parameters(), by_name.parameters(), strict=True):
        np.testing.assert_allclose(a, b)
    nested = ad.grad(lambda p: square(p["nets"][0], p["x"]))({"nets": [model, "text"], "x": inputs})
    np.testing.assert_allclose(nested["nets"][0].encoder.weight, gm.encoder.weight)
    np.testing.assert_allclose(nested["x"], gx)


def test_checks_of_modules() -> None:
    """Both modes, and both orders, against finite differences."""
    ad.check_grads(square, Tied(), inputs)


def test_second_derivatives_of_modules() -> None:
    model = Tied()
    v = tree_map(lambda p: np.full(p.shape, 0.3), model)
    pairs = lambda a, b: zip(a.parameters(), b.parameters(), strict=True)
    dot = lambda a, b: sum((p * q).sum() for p, q in pairs(a, b))
    forward = ad.jvp(lambda m: ad.grad(square)(m, inputs), (model,), (v,))[1]
    reverse = ad.grad(lambda m: dot(ad.grad(square)(m, inputs), v))(model)
    mixed = ad.grad(lambda m: ad.jvp(lambda m: square(m, inputs), (m,), (v,))[1])(model)
    for a, b, c in zip(forward.parameters(), reverse.parameters(), mixed.parameters(), strict=True):
        np.testing.assert_allclose(a, b)
        np.testing.assert_allclose(a, c)
    assert type(forward) is type(reverse) is Tied


def test_parameters_inside_the_function() -> None:
    """A penalty on all of them."""
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh(), nn.Linear(3, 1, rng=1))
    g = ad.grad(lambda m: sum((p * p).sum() for p in m.parameters()) * 0.5)(model)
    for d, p in zip(g.parameters(), model.parameters(), strict=True):
        np.testing.assert_allclose(d, p.data)
    names = ad.grad(lambda m: (m[0].weight.sum(), [name for name, _ in m.named_parameters()]), has_aux=True)(model)[1]
    assert names == [name for name, _ in model.named_parameters()]


def test_two_modules_that_share_a_parameter() -> None:
    """One object is one input; as two arguments it is two."""
    a, b = nn.Linear(1, 1, bias=False, rng=0), nn.Linear(1, 1, bias=False)
    b.weight = a.weight
    w = float(a.weight.data[0, 0])
    product = lambda p: (p[0].weight * p[1].weight).sum()
    g = ad.grad(product)([a, b])
    assert g[0].weight is g[1].weight and g[0].weight[0, 0] == 2 * w
    first, second = ad.grad(lambda a, b: product([a, b]), (0, 1))(a, b)
    assert first.weight[0, 0] == second.weight[0, 0] == w
    assert ad.jvp(product, ([a, b],), (g,))[1] == pytest.approx(2 * w * 2 * w)
    other = tree_map(lambda p: 2 * p, g)
    with pytest.raises(OperandError, match="two different tangents"):
        ad.jvp(product, ([a, b],), ([g[0], other[1]],))
    tied = ad.grad(lambda p: product(p) * ad.grad(product)(p)[0].weight.sum())([a, b])  # w^2 * 2 w
    assert tied[0].weight[0, 0] == pytest.approx(6 * w * w)


def test_variables_in_modules_give_plain_results() -> None:
    """Unlike a tracked Value that is an argument itself; but a tracked closure counts as ever."""
    model = nn.Linear(1, 1, rng=0)
    x = Value([2.0])
    assert type(ad.grad(square)(model, np.ones(1)).weight) is np.ndarray
    g = ad.grad(square)(model, x)
    assert isinstance(g.weight, Value) and g.weight.requires_grad
    g.weight.sum().backward()
    assert x.grad is not None and model.weight.grad is None
    with ad.no_grad():
        assert type(ad.grad(square)(model, x).weight) is np.ndarray


def test_f_may_change_the_module() -> None:
    model = Tied()
    model.train()

    def f(m: Any) -> Any:
        m.train(False)
        m.extra = Value(1.0)
        m.buffer[0] = 100.0
        m.more["new"] = 1
        m.encoder.weight, w = None, m.encoder.weight
        return (w * w).sum()

    g = ad.grad(f)(model)
    np.testing.assert_allclose(g.encoder.weight, 2 * model.encoder.weight.data)
    assert model.training and model.encoder.training and not hasattr(model, "extra") and "new" not in model.more
    assert model.buffer.data.tolist() == [1.0, 2.0, 3.0]


def test_modules_as_results() -> None:
    """All that is tracked in them is an output: updated buffers too."""

    class Norm(nn.Module):
        def __init__(self) -> None:
            self.scale, self.mean = Value(2.0), Value(0.0, requires_grad=False)

        def forward(self, x: Any) -> Any:
            self.mean = 0.9 * self.mean + 0.1 * (self.scale * x).mean()
            return self.scale * (x - self.mean)

    def f(m: Any, x: Any) -> Any:
        return (m(x) ** 2).sum(), m

    model = Norm()
    (value, after), g = ad.value_and_grad(f, has_aux=True)(model, x2)
    assert type(after) is Norm and after.mean == pytest.approx(0.3) and after.scale == 2.0
    assert type(after.mean) is np.float64 and g.scale != 0 and value > 0
    assert model.mean.data == 0.0
    assert [name for name, _ in after.named_parameters()] == ["scale"]
    y, t = ad.jvp(lambda m: f(m, x2)[1], (model,), (g,))
    assert y.mean == pytest.approx(0.3) and t.mean == pytest.approx(0.15 * g.scale)
    y, pull = ad.vjp(lambda m: f(m, x2)[1], model)
    y.scale, y.mean = 0.0, 1.0
    assert pull(y)[0].scale == pytest.approx(0.15)


def test_stop_gradient_of_a_module() -> None:
    model = nn.Linear(2, 1, rng=0)
    frozen = ad.stop_gradient(model)
    assert not any(p.requires_grad for p in frozen.parameters()) and model.weight.requires_grad
    both = ad.grad(lambda m: (m.weight * ad.stop_gradient(m).weight).sum())(model)
    np.testing.assert_allclose(both.weight, model.weight.data)


def test_modules_with_references_back() -> None:
    class Child(nn.Module):
        def __init__(self, parent: Any) -> None:
            self.parent, self.w = parent, Value(3.0)

    class Parent(nn.Module):
        def __init__(self) -> None:
            self.child, self.w = Child(self), Value(2.0)

    def f(m: Any) -> Any:
        assert m.child.parent is m
        return m.child.parent.w * m.child.w

    g = ad.grad(f)(Parent())
    assert (g.w, g.child.w) == (3.0, 2.0) and g.child.parent is g


def test_subclasses_of_value_in_modules_keep_their_class() -> None:
    class Positive(Value):
        def exp(self) -> Any:
            return np.exp(self)

    class Model(nn.Module):
        def __init__(self) -> None:
            self.w = Positive(0.0, name="log scale")
            self.w.kind = "scale"  # type: ignore[attr-defined]

    def f(m: Any) -> Any:
        assert type(m.w) is Positive and (m.w.name, m.w.kind) == ("log scale", "scale")
        return 3 * m.w.exp()

    assert ad.grad(f)(Model()).w == 3.0


def test_dict_keys_that_look_alike_in_names() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.d = {1: Value(2.0), "1": Value(3.0), "a.b": Value(5.0), "a": {"b": Value(7.0)}}

    g = ad.grad(lambda m: m.d[1] * 10 + m.d["1"] * 20 + m.d["a.b"] * 30 + m.d["a"]["b"] * 40)(Model())
    assert (g.d[1], g.d["1"], g.d["a.b"], g.d["a"]["b"]) == (10.0, 20.0, 30.0, 40.0)


def test_gradients_of_modules_are_objects_too() -> None:
    g = ad.grad(square)(Tied(), inputs)
    for other in (pickle.loads(pickle.dumps(g)), copy.deepcopy(g)):
        assert [n for n, _ in other.named_parameters()] == [n for n, _ in g.named_parameters()]
        np.testing.assert_array_equal(other.parameters()[0], g.parameters()[0])
    repr(g), g.zero_grad(), g.modules()
    model = Tied()
    for p, d in zip(model.parameters(), g.parameters(), strict=True):
        p.data = p.data - 0.1 * d
    assert square(model, inputs).data < square(Tied(), inputs).data
    with pytest.raises(ValueError, match="unexpected"):
        g.load_state_dict(model.state_dict())


def test_a_module_without_parameters() -> None:
    relu = nn.ReLU()
    g = ad.grad(lambda m: m(2.0) * 1.0)(relu)
    assert type(g) is nn.ReLU and g is not relu and not g.parameters()


def test_modules_in_threads() -> None:
    model, results = Tied(), {}

    def work(i: int) -> None:
        results[i] = ad.grad(square)(model, inputs * (i + 1)).encoder.weight

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(results[i], ad.grad(square)(model, inputs * (i + 1)).encoder.weight)


# -- argnums by name


def f(x: Any, /, w: Any, *rest: Any, b: Any = 1.0, **more: Any) -> Any:
    return x * w + 10 * b * b + sum(rest) + 100 * more.get("c", 0.0)


def test_arguments_by_name() -> None:
    assert ad.grad(f, "w")(2.0, 3.0) == ad.grad(f, "w")(2.0, w=3.0) == 2.0
    assert ad.grad(f, "x")(2.0, 3.0) == 3.0
    assert ad.grad(f, "b")(2.0, 3.0, b=2.0) == 40.0
    assert ad.grad(f, "c")(2.0, 3.0, c=1.0) == 100.0
    assert ad.grad(f, ("w", "b"))(2.0, 3.0, b=2.0) == (2.0, 40.0)
    assert ad.grad(f, ["b", 0, -1, "c"])(2.0, 3.0, 4.0, b=2.0, c=0.0) == (40.0, 3.0, 1.0, 100.0)
    assert ad.grad(f, ("w",))(2.0, 3.0) == (2.0,)
    assert ad.value_and_grad(f, "w")(2.0, 3.0) == (16.0, 2.0)
    assert ad.grad(ad.grad(lambda x, w: x * w**3, "w"), "w")(1.0, 2.0) == 12.0
    assert ad.grad(ad.grad(lambda x, w: x * w**3, "w"), "x")(1.0, w=2.0) == 12.0
    assert ad.grad(functools.partial(f, 2.0), "w")(3.0) == 2.0
    assert ad.grad(functools.partial(f, 2.0, b=1.0), "b")(3.0, b=2.0) == 40.0
    assert ad.grad(functools.wraps(lambda u, v: 0)(lambda *a: a[0] * a[1]), "v")(2.0, 3.0) == 2.0


def test_a_name_that_is_also_positional_only() -> None:
    """`x` is the positional one; the keyword of that name goes to **more."""
    g = lambda x, /, **more: x * x + 100 * more["x"]
    assert ad.grad(g, "x")(3.0, x=1.0) == 6.0


@pytest.mark.parametrize(
    ("argnums", "args", "kwargs", "message"),
    [
        ("z", (1.0, 2.0), {}, r"grad: argnums='z', but the parameters of g are x, w"),
        (("x", "z"), (1.0, 2.0), {}, r"argnums=\('x', 'z'\), but the parameters of g are x, w"),
        ("w", (1.0,), {}, "called without w"),
        (("x", "x"), (1.0, 2.0), {}, "twice"),
        ((0, "x"), (1.0, 2.0), {}, "twice"),
        (("w", -1), (1.0, 2.0), {}, "twice"),
        (1, (1.0,), {"w": 2.0}, "called with 1 argument"),
        (1.5, (1.0,), {}, "position, a name"),
        (("x", None), (1.0,), {}, "position, a name"),
    ],
)
def test_arguments_that_do_not_fit(argnums: Any, args: Any, kwargs: Any, message: str) -> None:
    def g(x: Any, w: Any = 1.0) -> Any:
        return x * w

    for transform in (ad.grad, ad.value_and_grad):
        with pytest.raises(OperandError, match=message):
            transform(g, argnums)(*args, **kwargs)


def test_names_that_cannot_be_found() -> None:
    with pytest.raises(OperandError, match=r"argnums='c', but f was called without c"):
        ad.grad(f, "c")(1.0, 2.0)
    with pytest.raises(OperandError, match=r"\*rest of f is any number of arguments.*positions"):
        ad.grad(f, "rest")
    with pytest.raises(OperandError, match=r"does not know the parameters of .*give positions"):
        ad.grad(max, "x")
    assert ad.grad(max)(3.0, 2.0) == 1.0
    with pytest.raises(OperandError, match="the parameters of <lambda> are none"):
        ad.grad(lambda: 1.0, "x")


def test_messages_call_arguments_by_their_names() -> None:
    with pytest.raises(OperandError, match=r"grad: differentiated argument w is of type int"):
        ad.grad(f, "w")(1.0, 2)
    with pytest.raises(OperandError, match=r'grad: differentiated argument c\["a"\] is of type int'):
        ad.grad(lambda **c: 1.0, "c")(c={"a": 1})


def test_dataclass_fields_of_a_module_class_are_its_attributes() -> None:
    @dataclasses.dataclass
    class Net(nn.Module):
        w: Any
        n: int = 3

        def forward(self, x: Any) -> Any:
            return self.w * x**self.n

    g = ad.grad(lambda m: m(2.0))(Net(Value(5.0)))
    assert (g.w, g.n) == (8.0, 3)


def test_named_tuples_of_both_kinds() -> None:
    Old = namedtuple("Old", "a b")

    class Sub(Old):
        """Its constructor takes something else."""

        def __new__(cls, both: Any) -> Any:
            return super().__new__(cls, both, both)

    for pair in (Old(1.0, 2.0), Sub(3.0), Pair(1.0, 2.0)):
        g = ad.grad(lambda p: p[0] * p[1])(pair)
        assert type(g) is type(pair) and tuple(g) == (pair[1], pair[0])
