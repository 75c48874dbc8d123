"""What a value is computed of, back to what is in memory: for whoever computes it a second time.

Reading a value that another kernel stored moves it twice. Its cone are the steps that lead to it
and the leaves that they begin with; where these are few bytes, a reader takes the steps itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass

from ..expressions.expr import PRODUCTS, REDUCTIONS, VIEWS, Expr
from ..expressions.walks import toposort
from ..graph.trace import Graph
from .simplify import behind_views

# What is computed again without a second thought: a few instructions each.
CHEAP = frozenset(
    (
        *("neg", "abs", "sign", "add", "sub", "mul", "maximum", "minimum", "where", "cast"),
        *("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not"),
    )
)
# Steps that are taken one after the other before a value is kept and read instead: on a GPU all
# that they need is in registers at once.
LONGEST = 12


@dataclass(frozen=True)
class Cone:
    """How a value is computed.

    Attributes:
        steps: in order; the last is the value.
        leaves: what they begin with, constants among them.
    """

    steps: tuple[Expr, ...]
    leaves: tuple[Expr, ...]

    def on(self, leaves: Mapping[Expr, Expr]) -> tuple[Expr, ...]:
        """The same steps on other leaves."""
        found = dict(leaves)
        for x in self.steps:
            found[x] = x.on(*(found[y] for y in x.inputs))
        return tuple(found[x] for x in self.steps)


def cone_of(x: Expr, is_step: Callable[[Expr], bool], most: int) -> Cone | None:
    """The cone of a value, or None where it has no steps, or more than so many.

    Args:
        x: the value.
        is_step: whether an expression is computed again, and not a leaf.
        most: steps.
    """
    steps: dict[Expr, None] = {}
    leaves: dict[Expr, None] = {}
    opened: set[Expr] = set()
    waiting = [x]
    while waiting:
        y = waiting[-1]
        if y in opened or not is_step(y):
            waiting.pop()
            (steps if y in opened else leaves)[y] = None
            continue
        opened.add(y)
        if len(opened) > most:
            return None
        waiting += [z for z in reversed(y.inputs) if z not in opened and z not in leaves]
    return Cone(tuple(steps), tuple(leaves)) if steps else None


def read_apart(order: Iterable[Expr]) -> set[Expr]:
    """The values that another kernel reads than the one that computes them: they are stored.

    Some are read as a whole, by what is no part of a pass over elements. Others follow a product,
    whose tiles are no rows, and are reduced, or made wider for that: they are stored narrow.

    Args:
        order: what is computed, inputs first.
    """
    found: set[Expr] = set()
    following: set[Expr] = set()
    for x in order:
        if x.primitive in VIEWS:
            continue
        read = {*map(behind_views, x.inputs)}
        widens = x.primitive == "cast" and x.dtype.itemsize > x.inputs[0].dtype.itemsize
        if x.primitive in REDUCTIONS or widens:
            found |= read & following
        elif not x.is_elementwise:
            found |= read
        goes_on = x.is_elementwise and any(y in following and y.size == x.size for y in read)
        if x.primitive in PRODUCTS or (goes_on and not widens):
            following.add(x)
    return found


def stored_in_any_case(graph: Graph) -> Set[Expr]:
    """The values that are in memory whoever else reads them.

    Another kernel reads them, a caller, or a later stage; or a library has computed them.
    """
    order = toposort(graph.outputs)
    found = read_apart(order)
    found.update(x for x in order if x.primitive == "native")
    found.update(map(behind_views, graph.outputs))
    for end in graph.ends[:-1]:
        early = set(toposort(graph.outputs[:end]))
        later = (behind_views(y) for x in order if x not in early for y in x.inputs)
        found.update(y for y in later if y in early)
    return found


def bytes_of(values: Iterable[Expr]) -> int:
    """The size of all elements; constants are in no memory."""
    return sum(x.byte_count for x in values if x.primitive != "constant")
