"""Products that belong together are one, and give what they give apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies

import tritonsym as mx
from tritonsym.expressions.expr import (
    Expr,
    cast,
    concat,
    dot,
    input_,
    make,
    permute,
    reduce,
    reshape,
    slice_,
)
from tritonsym.expressions.philox import RandomState
from tritonsym.expressions.reference import run
from tritonsym.expressions.walks import toposort
from tritonsym.foundation.dtype import FLOAT32, FLOAT64, INT32, DType
from tritonsym.graph.backward import backward_of_sum
from tritonsym.graph.infer import infer_shapes
from tritonsym.graph.node import toposort as toposort_nodes
from tritonsym.graph.node import variables
from tritonsym.graph.trace import Graph, trace
from tritonsym.rewrites.joined_products import with_joined_products
from tritonsym.rewrites.simplify import simplify

sym = mx.sym
STEPS, BATCH, WIDTH = 5, 2, 8
CELLS: dict[str, Callable[[], mx.rnn.BaseRNNCell]] = {
    "RNN": lambda: mx.rnn.RNNCell(WIDTH, prefix="cell_"),
    "LSTM": lambda: mx.rnn.LSTMCell(WIDTH, prefix="cell_"),
    "GRU": lambda: mx.rnn.GRUCell(WIDTH, prefix="cell_"),
}


def products_of(order: Iterable[Expr]) -> int:
    return sum(x.primitive == "dot" or (x.primitive == "native" and x["by_rows"]) for x in order)


def count(outputs: Sequence[Expr]) -> int:
    """How many products there are."""
    return products_of(toposort(outputs))


def joined(*outputs: Expr, stages: tuple[int, ...] = ()) -> tuple[Expr, ...]:
    return with_joined_products(Graph(outputs, {}, stages)).outputs


# ---- networks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["NTC", "TNC"])
@pytest.mark.parametrize("embedded", [False, True], ids=["numbers", "words"])
@pytest.mark.parametrize("cell", CELLS)
def test_unrolled_networks(cell: str, embedded: bool, layout: str, context: mx.Context) -> None:
    """Forward and backward, the inputs of all steps meet the weights once."""
    data = sym.Variable("data")
    if embedded:
        data = sym.Embedding(data, input_dim=7, output_dim=WIDTH, name="words")
    states, _ = CELLS[cell]().unroll(STEPS, data, layout=layout, merge_outputs=True)
    loss = sym.MakeLoss(sym.sum(sym.square(states)))
    shape = (BATCH, STEPS) if layout == "NTC" else (STEPS, BATCH)
    shape = shape if embedded else (*shape, WIDTH)
    found = []
    for fusion in (True, False):
        with mx.switched(fusion=fusion):
            executor = loss.simple_bind(context, data=shape)
            random = np.random.RandomState(0)
            for name, array in executor.arg_dict.items():
                words = embedded and name == "data"
                array[:] = random.randint(0, 7, shape) if words else random.randn(*array.shape) / 3
            executor.forward(is_train=True)
            executor.backward()
        gradients = {n: g.asnumpy() for n, g in executor.grad_dict.items() if n != "data"}
        if not embedded:
            gradients["data"] = executor.grad_dict["data"].asnumpy()
        found.append((count(executor.plan.outputs), gradients))
    (together, gradients), (apart, expected) = found
    assert together <= STEPS + 1, "one of the inputs, and one of each state but the first"
    assert apart >= 2 * STEPS - 1
    for name, gradient in gradients.items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=2e-6 * scale)


def test_the_gradients_of_an_unrolled_network() -> None:
    """One product for each weight, one for the data, and one for each state but the last."""
    states, _ = CELLS["LSTM"]().unroll(STEPS, sym.Variable("data"), merge_outputs=True)
    entries = states._entries
    shapes = infer_shapes(toposort_nodes(entries), {"data": (BATCH, STEPS, WIDTH)})
    arguments, _ = variables(shapes.nodes)
    stages = [entries, backward_of_sum(entries, arguments)]
    shapes = infer_shapes(
        toposort_nodes([e for stage in stages for e in stage]), {"data": (BATCH, STEPS, WIDTH)}
    )
    dtypes = {node.name: FLOAT32 for node in variables(shapes.nodes)[0]}
    graph = simplify(trace(stages, shapes, dtypes, native=False, train=True))
    together = with_joined_products(graph)
    backward = {*toposort(together.outputs)} - {*toposort(together.outputs[: together.ends[0]])}
    assert products_of(backward) == 3 + STEPS - 1
    sums = [x for x in backward if x.primitive == "sum" and x.shape == (1, 4 * WIDTH)]
    assert len(sums) == 1, "the biases have one sum of columns, over all steps"
    rows = [x for x in backward if x.primitive == "concat" and x.shape == sums[0].inputs[0].shape]
    assert len(rows) == 1, "it adds up what the weights are multiplied with"


# ---- graphs ------------------------------------------------------------------------------------


def array(index: int, *shape: int, dtype: DType = FLOAT64) -> Expr:
    return input_(index, shape, dtype)


def part(x: Expr, axis: int, start: int, stop: int, step: int = 1) -> Expr:
    starts, stops, steps = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return slice_(x, starts, stops, steps)


def parts(x: Expr, axis: int, length: int) -> list[Expr]:
    """The slices of an array along an axis, each as a matrix."""
    found = [part(x, axis, n, n + length) for n in range(0, x.shape[axis], length)]
    return [reshape(y, (y.size // x.shape[-1], x.shape[-1])) for y in found]


def total(terms: Sequence[Expr]) -> Expr:
    result, *others = terms
    for x in others:
        result = result + x
    return result


DATA, MATRIX, MANY = array(0, 6, 4, 8), array(1, 8, 8), array(2, 4, 64, 8)
ROWS, MANY_ROWS, WIDE = parts(DATA, 0, 1), parts(MANY, 0, 1), array(0, 2, 2, 80)
# Of one row each, so that their products with one another are larger than they are.
THIN = [part(x, 0, n % 4, n % 4 + 1) for n, x in enumerate(ROWS)]
COLUMNS = [part(reshape(MANY, (512, 4)), 1, n, n + 1) for n in range(4)]


def squares(rows: Sequence[Expr]) -> list[Expr]:
    return [dot(x, x, transpose_a=True) for x in rows]


def bent(rows: Sequence[Expr]) -> list[Expr]:
    """Products of what is no slice."""
    return [dot(make("exp", x), MATRIX) for x in rows]


@pytest.mark.parametrize(
    ("apart", "products"),
    [
        ([dot(x, MATRIX) for x in parts(DATA, 0, 2)], 1),
        ([dot(x, MATRIX, transpose_b=True) for x in parts(DATA, 1, 1)], 1),
        ([dot(x, MATRIX) for x in parts(array(0, 16, 8), 0, 4)], 1),
        ([dot(x, y) for y in (MATRIX, array(2, 8, 3)) for x in ROWS], 2),
        ([total(squares(THIN))], 1),
        ([total([*squares(THIN), dot(MATRIX, MATRIX)])], 2),
        ([total([dot(x, x, transpose_b=True) for x in COLUMNS])], 1),
        ([concat(bent(ROWS), 0)], 1),
        ([concat([reshape(x, (4, 1, 8)) for x in bent(ROWS)], 1)], 1),
    ],
    ids=["first", "second", "matrix", "two", "sum", "others", "columns", "rows", "between"],
)
def test_joined(apart: list[Expr], products: int) -> None:
    assert count(apart) > products
    assert count(joined(*apart)) == products


@pytest.mark.parametrize(
    "apart",
    [
        [dot(x, MATRIX) for x in ROWS[1:]],
        [dot(reshape(part(DATA, 0, n, 6, 2), (12, 8)), MATRIX) for n in range(2)],
        [dot(x, MATRIX) for x in (*ROWS, reshape(part(DATA, 0, 2, 4), (8, 8)))],
        [dot(x, array(n + 3, 8, 8)) for n, x in enumerate(ROWS)],
        [dot(x, MATRIX) for x in MANY_ROWS],
        [dot(x, MATRIX, transpose_a=True) for x in parts(array(0, 2, 8, 8), 0, 1)],
        [dot(reshape(part(WIDE, 2, n, n + 40), (4, 40)), array(3, 40, 8)) for n in (0, 40)],
        [concat(bent(ROWS), 1)],
        [concat([reshape(x, (2, 2, 8)) for x in bent(ROWS)], 1)],
        [concat([dot(make("exp", x), array(n + 3, 8, 8)) for n, x in enumerate(ROWS)], 0)],
        [concat(bent(MANY_ROWS), 0)],
        [total(squares(MANY_ROWS))],
        [total(squares(THIN)), *squares(THIN)],
        [concat(bent(ROWS), 0), *(make("exp", x) for x in bent(ROWS))],
        [concat(bent([ROWS[0], ROWS[0]]), 0)],
    ],
    ids=[
        *("not all", "every second", "overlapping", "matrices", "many rows", "transposed"),
        *("parts of rows", "side by side", "interleaved", "matrices in a row", "many in a row"),
        *("deep sum", "terms read", "rows read", "twice the same"),
    ],
)
def test_not_joined(apart: list[Expr]) -> None:
    same = joined(*apart) == tuple(apart)
    assert same


def test_stages_are_kept_apart() -> None:
    """The first stage computes nothing that only the second one needs."""
    first, *rest = (dot(x, MATRIX) for x in ROWS)
    same = joined(first, *rest, stages=(1, 6)) == (first, *rest)
    assert same
    assert count(joined(first, *rest, stages=(6, 6))) == 1


def test_integers_are_joined_but_not_their_sums() -> None:
    """A sum of integers may overflow at any term, and has the same bits in any order."""
    whole = cast(DATA, INT32), cast(MATRIX, INT32)
    assert count(joined(*(dot(x, whole[1]) for x in parts(whole[0], 0, 1)))) == 1
    sums = total(squares([cast(x, INT32) for x in THIN]))
    same = joined(sums) == (sums,)
    assert same


@strategies.composite
def graphs(draw: strategies.DrawFn) -> list[Expr]:
    """Products of slices and of what is no slice, added up or put one after the other."""
    lengths = draw(strategies.lists(strategies.integers(1, 4), min_size=2, max_size=3))
    width, depth = (draw(strategies.sampled_from((1, 2, 5, 40))) for _ in range(2))
    base, axis = array(0, *lengths, width), draw(strategies.integers(0, len(lengths) - 1))
    if draw(strategies.booleans()):
        base = reshape(permute(base, (1, 0, *range(2, len(lengths) + 1))), base.shape)
    cuts = draw(strategies.sets(strategies.integers(0, lengths[axis]), max_size=3))
    ends = sorted({0, lengths[axis], *cuts} if draw(strategies.integers(0, 4)) else cuts)
    slices = [part(base, axis, start, stop) for start, stop in pairwise(ends)]
    rows = [reshape(x, (x.size // width, width)) for x in slices]
    if not rows:
        return [base]
    turned = draw(strategies.booleans())
    matrix = array(1, *((depth, width) if turned else (width, depth)))
    bend = draw(strategies.booleans())
    matrices = [make("tanh", x) if bend else x for x in rows]
    products = [dot(x, matrix, transpose_b=turned) for x in matrices]
    found = draw(strategies.sampled_from(["all", "row", "sum", "both"]))
    if found == "all":
        return products
    if found == "row":
        outputs = [concat(products, 0)]
        along = [reshape(p, (*x.shape[:-1], depth)) for p, x in zip(products, slices, strict=True)]
        return outputs if draw(strategies.booleans()) else [concat(along, axis)]
    heads = [make("exp", x) for x in products]
    terms = [dot(h, x, transpose_a=True) for h, x in zip(heads, matrices, strict=True)]
    if draw(strategies.booleans()):
        terms = [*terms[1:], draw(strategies.sampled_from(terms)), array(2, depth, width)]
    columns = [reduce("sum", h, (0,)) for h in draw(strategies.permutations(heads))]
    return [total(terms), total([reshape(x, (depth,)) for x in columns])]


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(graphs())
def test_nothing_changes_but_the_rounding(apart: list[Expr]) -> None:
    random = np.random.RandomState(0)
    given = {x.integer("index"): x.shape for x in toposort(apart) if x.primitive == "input"}
    shapes = [given.get(n, (1,)) for n in range(3)]
    tensors = [torch.from_numpy(random.randn(*shape)) for shape in shapes]
    together = joined(*apart)
    assert count(together) <= count(apart)
    wanted = run(apart, tensors, RandomState())
    for found, expected in zip(run(together, tensors, RandomState()), wanted, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2])
def test_terms_meet_in_the_order_of_one_operand(length: int) -> None:
    """Slices of an inner axis are an array in another order, or none where they are longer."""
    slices = parts(array(0, 2, 4, 40), 1, length)
    heads = [make("exp", x) for x in slices]
    apart = total([dot(x, y, transpose_a=True) for x, y in zip(heads, slices, strict=True)])
    tensor = torch.from_numpy(np.random.RandomState(0).randn(2, 4, 40))
    together = joined(apart)
    assert count(together) == 1
    (found,), (expected,) = (run(x, [tensor], RandomState()) for x in (together, [apart]))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
