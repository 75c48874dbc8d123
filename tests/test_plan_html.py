"""What a notebook shows of a plan: well-formed, self-contained, escaped, and true."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import tritonsym as mx
from named_graphs import GRAPHS, plan_of
from tritonsym.planning.plan import Plan

HOSTILE = "</title></svg><script src='https://evil.example/x.js'>alert(\"1\")</script>&\x00\u2028"


def parsed(plan: Plan) -> ElementTree.Element:
    """The HTML as a tree, which it is only where everything is escaped and closed."""
    return ElementTree.fromstring(plan.to_html())


def test_kernels_are_boxes_in_their_order() -> None:
    plan = plan_of(GRAPHS["transformer-block"])
    heads = [node.text or "" for node in parsed(plan).iter("summary")]
    assert [head.split(":")[0] for head in heads[: len(plan.kernels)]] == [
        f"{number} {kernel.form}" for number, kernel in enumerate(plan.kernels)
    ]
    assert "projection" in " ".join(heads)
    assert plan._repr_html_() == plan.to_html()
    assert str(plan).splitlines()[0] in "".join(parsed(plan).itertext())


def test_the_arena_is_drawn_as_it_is() -> None:
    """Rectangles are values; those that are in use at one time lie in other places."""
    plan = plan_of(GRAPHS["transformer-block"])
    drawn = [node.attrib for node in parsed(plan).iter("rect")]
    assert len(drawn) == sum(plan.places[x].output is None for x in plan.lifetimes) > 5
    boxes = [[float(box[side]) for side in ("x", "y", "width", "height")] for box in drawn]
    step = 720 / (1 + max(lifetime.last for lifetime in plan.lifetimes.values()))
    for number, (x, y, width, height) in enumerate(boxes):
        for x2, y2, width2, height2 in boxes[:number]:
            # A value may take the place of one that is read in the very step that writes it.
            together = min(x + width, x2 + width2) - max(x, x2)
            apart = y + height <= y2 + 0.01 or y2 + height2 <= y + 0.01
            assert together <= step + 0.01 or apart


def test_nothing_comes_from_elsewhere_and_names_are_text() -> None:
    with mx.name.NameManager():
        x = mx.sym.Variable("x")
        y = mx.sym.exp(x, name=HOSTILE)
        graph = mx.sym.broadcast_sub(y, mx.sym.sum(y, axis=0, keepdims=True), name=HOSTILE + "2")
        plan = graph.bind(mx.cpu(), {"x": mx.nd.ones((4, 4))}).plan
    text = plan.to_html()
    tree = parsed(plan)
    assert {node.tag for node in tree.iter()} <= {
        *("div", "style", "p", "details", "summary", "pre", "svg", "rect", "title")
    }
    assert not [name for node in tree.iter() for name in node.attrib if name.startswith("on")]
    assert not re.search(r"<script|href|src=[\"']http|url\(|@import", text)
    assert "evil.example" in "".join(tree.itertext()), "the name is there, as text"


def test_a_long_plan_is_cut() -> None:
    x = mx.sym.Variable("x")
    graph = mx.sym.Group([mx.sym.sum(x * float(i), axis=i % 2) for i in range(500)])
    plan = graph.bind(mx.cpu(), {"x": mx.nd.ones((4, 4))}).plan
    assert len(plan.kernels) > 200
    assert "more kernels" in "".join(parsed(plan).itertext())
    assert len(plan.to_html()) < 300_000
