"""draw_graph: what is shown, that the texts are valid whatever the names are, and that boxes stay apart."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import autodiff as ad
from autodiff import Value
from autodiff.draw import Graph, draw_graph
from autodiff.draw_layout import Cell, arrange


def texts(graph: Graph) -> list[str]:
    return [t.text or "" for t in ElementTree.fromstring(graph.svg).iter("{http://www.w3.org/2000/svg}text")]


def labels(graph: Graph) -> list[str]:
    return re.findall(r'label="((?:[^"\\]|\\.)*)"', graph.dot)


def test_the_scalar_example():
    x = Value(3.0, name="x")
    y = x * x + x
    y.backward()
    graph = draw_graph(y, y=y)
    assert labels(graph) == [r"+\ny\ndata 12.0", "×", r"x\ndata 3.0\ngrad 7.0"]
    assert texts(graph) == ["+", "y", "data 12.0", "×", "x", "data 3.0", "grad 7.0"]
    assert graph.dot.count("n2 -> n1") == 2  # x * x: two edges
    assert graph.dot.count("->") == 4
    assert graph._repr_svg_() == graph.svg
    assert repr(graph).startswith("<Graph of 3 nodes and 4 edges")
    assert ad.draw_graph is draw_graph


def test_values_are_shown_while_they_live():
    x = Value(2.0)
    h = x.tanh()
    y = h * 3.0
    assert "data 0.964" in texts(draw_graph(y))
    assert "h" in texts(draw_graph(y, h=h))
    assert "data 2.0" in texts(draw_graph(y))
    del x, h
    assert texts(draw_graph(y)) == ["× 3.0", "data 2.892", "tanh", "leaf"]


def test_gradients_of_operations_after_retain_grad():
    x = Value(3.0)
    p = x * x
    p.retain_grad()
    y = p + x
    y.backward()
    assert texts(draw_graph(y)).count("grad 1.0") == 1


def test_gradients_that_are_values():
    x = Value(3.0)
    (x * x).backward(create_graph=True)
    assert "grad 6.0" in texts(draw_graph(x.grad, x=x))


@pytest.mark.parametrize(
    ("f", "sign"),
    [
        (lambda x: x + 1, "+ c"),
        (lambda x: 1 - x, "c −"),
        (lambda x: x * 2.5, "× 2.5"),
        (lambda x: 2 / x, "c ÷"),
        (lambda x: x**2, "** 2"),
        (lambda x: 2**x, "2 **"),
        (lambda x: x * np.ones(3), "× c"),
        (lambda x: x[0], "getitem"),
        (lambda x: np.concatenate([x, x]), "concatenate"),
        (lambda x: x.astype(np.float32), "astype"),
        (lambda x: x.relu(), "relu"),
    ],
)
def test_signs_names_and_constants(f: Any, sign: str):
    y = f(Value([1.0, 2.0, 3.0]))
    assert texts(draw_graph(y))[0] == sign
    y.sum().backward()
    # Constants are freed; a square has none.
    assert texts(draw_graph(y))[0] == (sign if sign == "** 2" else re.sub(r"^c |^2 | c$| [\d.]+$", "", sign))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (3.0, "3.0"),
        (1e9, "1e+09"),
        (-0.123456, "-0.1235"),
        (np.nan, "nan"),
        (1 + 2j, "1+2j"),
        (np.float32(2), "2.0"),
        ([], "[]"),
        ([1.0, -2.5], "[1.0, -2.5]"),
        (np.ones(5), "(5,) float64"),
        (np.ones((2, 3), np.float32), "(2, 3) float32"),
    ],
)
def test_data_in_short(data: Any, text: str):
    assert texts(draw_graph(Value(data))) == [f"data {text}"]


@pytest.mark.parametrize("name", ['<b> & "q" \'', "back\\slash\\", "new\nline\0\x1b", "\ud800", "重み", "x" * 99, ""])
def test_any_name_gives_valid_texts(name: str):
    x = Value(1.0, name=name)
    graph = draw_graph(x * 2.0)
    shown = texts(graph)[2] if name else ""
    assert shown.isprintable() and len(shown) <= 28
    assert shown == name or not name.isprintable() or len(name) > 28
    assert len(labels(graph)) == 2
    assert all("\n" not in label for label in labels(graph))
    graph.svg.encode()
    graph.dot.encode()


def test_save(tmp_path: Any):
    graph = draw_graph(Value(1.0, name="σ") * 2.0)
    graph.save(tmp_path / "g.svg")
    graph.save(str(tmp_path / "g.dot"))
    assert (tmp_path / "g.svg").read_text("utf-8") == graph.svg
    assert (tmp_path / "g.dot").read_text("utf-8") == graph.dot
    with pytest.raises(ValueError, match=r"g\.png.*\.svg or \.dot"):
        graph.save(tmp_path / "g.png")


def test_what_cannot_be_drawn():
    x = Value(1.0)
    with pytest.raises(TypeError, match="y must be a Value, got a float"):
        draw_graph(1.0)  # type: ignore[arg-type]
    with pytest.raises(ad.GraphError, match="untracked"):
        draw_graph(Value(1.0, requires_grad=False))
    with pytest.raises(TypeError, match="h must be a Value, got a ndarray"):
        draw_graph(x, h=np.ones(2))  # type: ignore[arg-type]
    for other in Value(2.0), Value(2.0, requires_grad=False):
        with pytest.raises(ValueError, match="h is not in the graph"):
            draw_graph(x * 2.0, h=other)


def test_max_nodes_and_deep_graphs():
    y = x = Value(1.0)
    for _ in range(1500):
        y = y * 0.5 + x
    with pytest.raises(ValueError, match="max_nodes=500"):
        draw_graph(y)
    assert draw_graph(y, max_nodes=3001).dot.count("->") == 4500


def test_drawing_changes_nothing():
    x = Value([1.0, 2.0])
    y = (x * x).sum()
    before = draw_graph(y).svg
    assert draw_graph(y).svg == before
    y.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


@pytest.mark.parametrize("seed", range(20))
def test_cells_do_not_overlap(seed: int):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 40))
    boxes = [Cell(*rng.uniform(20, 120, 2), box=True) for _ in range(count)]
    operands: list[list[int]] = [[] for _ in boxes]
    for i in range(1, count):  # everything has a user; some have several, or one twice
        for user in rng.integers(0, i, rng.integers(1, 4)):
            operands[user].append(i)
    columns = arrange(boxes, operands)
    assert sum(cell.box for column in columns for cell in column) == count
    for column in columns:
        for above, below in pairwise(column):
            assert below.y - above.y >= (above.height + below.height) / 2 + 9
        for cell in column:
            assert all(source.column == cell.column + 1 for source in cell.inputs)
            assert abs(cell.x - cell.left - (cell.right - cell.x)) < 1e-6
            assert cell.width <= cell.right - cell.left + 1e-6
    for right, left in pairwise(columns):
        assert left[0].right < right[0].left


@pytest.mark.parametrize("seed", range(5))
def test_edges_of_a_tree_do_not_cross(seed: int):
    rng = np.random.default_rng(seed)
    operands: list[list[int]] = [[] for _ in range(40)]
    for i in range(1, 40):
        operands[rng.integers(0, i)].append(i)
    for column in arrange([Cell(50.0, 30.0, box=True) for _ in operands], operands):
        sources = [source.order for cell in column for source in cell.inputs]
        assert sources == sorted(sources)
