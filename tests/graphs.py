"""Random graphs of every registered operator, with arrays to bind them to.

Each operator of a graph comes from one integer, its gene: it seeds what is chosen for it. A graph
is a list of genes, so that a failing one is shrunk by leaving operators out.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies

from growing import DTYPES, LENGTHS, Example, Grower, Value
from layer_graphs import LAYERS
from tritonsym.context import cpu
from tritonsym.expressions.expr import Shape
from tritonsym.graph.op import Op, registered
from tritonsym.name import NameManager

# The inputs and parameters of an operator, for a graph in growth.
Call = tuple[Sequence[Value], dict[str, Any]]
Recipe = Callable[[Grower], Call]

# ---- how each operator is applied --------------------------------------------------------------


def unary(grow: Grower) -> Call:
    return [grow.value()], {}


def of_equal_shapes(grow: Grower) -> Call:
    first = grow.value()
    return [first, grow.like(first)], {}


def broadcasting(grow: Grower) -> Call:
    first = grow.value()

    def fits(value: Value) -> bool:
        pairs = zip(reversed(value.shape), reversed(first.shape), strict=False)
        return value.dtype is first.dtype and all(a == b or 1 in (a, b) for a, b in pairs)

    def shape() -> Shape:
        return grow.thinned(first.shape[grow.choose.randrange(len(first.shape)) :])

    pair = [first, grow.value(fits, shape, first.dtype)]
    grow.choose.shuffle(pair)
    return pair, {}


def with_scalar(grow: Grower) -> Call:
    scalar = grow.choose.choice((0.0, -0.0, 1.0, -1.0, 2, 0.5, -3, 2.5, 1e30, float("inf")))
    return [grow.value()], {"scalar": scalar}


def reduction(grow: Grower) -> Call:
    value = grow.value()
    attributes: dict[str, Any] = {"keepdims": grow.choose.random() < 0.3}
    if grow.choose.random() < 0.7:
        count = grow.choose.randint(1, len(value.shape))
        attributes["axis"] = tuple(grow.choose.sample(range(len(value.shape)), count))
        attributes["exclude"] = grow.choose.random() < 0.2 and count < len(value.shape)
    return [value], attributes


def norm(grow: Grower) -> Call:
    value = grow.floating()
    attributes: dict[str, Any] = {"ord": grow.choose.choice((1, 2))}
    if grow.choose.random() < 0.7:
        attributes["axis"] = grow.axis(value.shape)
    return [value], {**attributes, "keepdims": grow.choose.random() < 0.3}


def position(grow: Grower) -> Call:
    value = grow.value()
    attributes = {"axis": grow.axis(value.shape)} if grow.choose.random() < 0.8 else {}
    return [value], {**attributes, "keepdims": grow.choose.random() < 0.3}


def argmax_channel(grow: Grower) -> Call:
    return [grow.of_rank(2, 3)], {}


def cast(grow: Grower) -> Call:
    return [grow.value()], {"dtype": grow.choose.choice((*DTYPES, "bool"))}


def clip(grow: Grower) -> Call:
    low = grow.choose.choice((-1.0, 0.0, -0.5))
    return [grow.value()], {"a_min": low, "a_max": low + grow.choose.choice((0.0, 1.0, 2.5))}


def hard_sigmoid(grow: Grower) -> Call:
    return [grow.value()], {"alpha": 0.25}


def activation(grow: Grower) -> Call:
    kinds = ("relu", "sigmoid", "softrelu", "softsign", "tanh")
    return [grow.floating()], {"act_type": grow.choose.choice(kinds)}


def add_n(grow: Grower) -> Call:
    first = grow.value()
    return [first, *(grow.like(first) for _ in range(grow.choose.randrange(4)))], {}


def where(grow: Grower) -> Call:
    first = grow.value()
    second = grow.like(first)
    shape = first.shape if grow.choose.random() < 0.7 else first.shape[:1]
    condition = grow.value(lambda value: value.shape == shape, lambda: shape)
    return [condition, first, second], {}


def broadcast_axis(grow: Grower) -> Call:
    value = grow.value(lambda value: 1 in value.shape, lambda: (1, *grow.shape[1:]))
    axis = grow.choose.choice([i for i, length in enumerate(value.shape) if length == 1])
    return [value], {"axis": axis, "size": grow.choose.choice((1, 2, 3))}


def broadcast_to(grow: Grower) -> Call:
    value = grow.value(lambda value: 1 in value.shape, lambda: (*grow.shape[:-1], 1))
    lengths = tuple(grow.choose.choice((0, 2, 3)) if n == 1 else n for n in value.shape)
    return [value], {"shape": lengths}


def broadcast_like(grow: Grower) -> Call:
    second = grow.value()
    first = grow.value(lambda value: value.shape == (1,) * len(second.shape),
                       lambda: grow.thinned(second.shape))  # fmt: skip
    return [first, second], {}


def take(grow: Grower) -> Call:
    value, indices = grow.value(), grow.value()
    mode = grow.choose.choice(("clip", "wrap"))
    return [value, indices], {"axis": grow.axis(value.shape), "mode": mode}


def pick(grow: Grower) -> Call:
    value = grow.value(lambda value: len(value.shape) > 1, lambda: (3, 4))
    axis, keepdims = grow.axis(value.shape), grow.choose.random() < 0.5
    at = axis % len(value.shape)
    shape = (*value.shape[:at], *((1,) if keepdims else ()), *value.shape[at + 1 :])
    indices = grow.value(lambda value: value.shape == shape, lambda: shape)
    mode = grow.choose.choice(("clip", "wrap"))
    return [value, indices], {"axis": axis, "keepdims": keepdims, "mode": mode}


def one_hot(grow: Grower) -> Call:
    attributes: dict[str, Any] = {"depth": grow.choose.choice((1, 2, 5))}
    if grow.choose.random() < 0.5:
        attributes["dtype"] = grow.choose.choice(DTYPES)
        attributes["on_value"], attributes["off_value"] = 3.0, -1.0
    return [grow.value()], attributes


def batch_take(grow: Grower) -> Call:
    value = grow.of_rank(2)
    rows = value.shape[:1]
    return [value, grow.value(lambda value: value.shape == rows, lambda: rows)], {}


def dot(grow: Grower) -> Call:
    first = grow.of_rank(1, 2, 3)
    left, right = grow.choose.random() < 0.4, grow.choose.random() < 0.4
    if len(first.shape) == 1:
        left = right = False
    length = first.shape[0] if left else first.shape[-1]

    def fits(value: Value) -> bool:
        return (
            value.dtype is first.dtype
            and len(value.shape) in (1, 2)
            and (value.shape[-1] if right and len(value.shape) > 1 else value.shape[0]) == length
        )

    def shape() -> Shape:
        other = grow.choose.choice(LENGTHS[:5])
        return (other, length) if right else (length, other)

    second = grow.value(fits, shape, first.dtype)
    return [first, second], {"transpose_a": left, "transpose_b": right}


def batch_dot(grow: Grower) -> Call:
    first = grow.of_rank(3, 4)
    left, right = grow.choose.random() < 0.4, grow.choose.random() < 0.4
    batch, length = first.shape[:-2], first.shape[-2 if left else -1]

    def fits(value: Value) -> bool:
        return (
            value.dtype is first.dtype
            and len(value.shape) == len(first.shape)
            and value.shape[:-2] == batch
            and value.shape[-1 if right else -2] == length
        )

    def shape() -> Shape:
        other = grow.choose.choice(LENGTHS[:5])
        return (*batch, other, length) if right else (*batch, length, other)

    second = grow.value(fits, shape, first.dtype)
    return [first, second], {"transpose_a": left, "transpose_b": right}


def reshape(grow: Grower) -> Call:
    value = grow.value()
    size = int(np.prod(value.shape))
    lengths: list[int] = []
    while size > 1 and len(lengths) < 3:
        divisors = [n for n in range(1, size + 1) if size % n == 0]
        lengths.append(grow.choose.choice(divisors))
        size //= lengths[-1]
    codes = grow.choose.choice(((-1,), (0, -1), (-1, 0), (-3, -2), (*lengths, -1), (*lengths, -1)))
    return [value], {"shape": codes}


def reshape_like(grow: Grower) -> Call:
    first = grow.value()
    size = int(np.prod(first.shape))
    return [first, grow.value(lambda v: int(np.prod(v.shape)) == size, lambda: (size,))], {}


def expand_dims(grow: Grower) -> Call:
    value = grow.value(lambda value: len(value.shape) < 5)
    return [value], {"axis": grow.choose.randrange(-len(value.shape) - 1, len(value.shape) + 1)}


def squeeze(grow: Grower) -> Call:
    return [grow.value(lambda value: 1 in value.shape, lambda: (1, *grow.shape))], {}


def transpose(grow: Grower) -> Call:
    value = grow.value(lambda value: len(value.shape) > 1, lambda: grow.shape)
    axes = list(range(len(value.shape)))
    grow.choose.shuffle(axes)
    return [value], {"axes": tuple(axes)} if grow.choose.random() < 0.6 else {}


def swap_axes(grow: Grower) -> Call:
    value = grow.value(lambda value: len(value.shape) > 1, lambda: (2, 3))
    one, two = grow.choose.sample(range(len(value.shape)), 2)
    return [value], {"dim1": one, "dim2": two}


def slices(grow: Grower) -> Call:
    value = grow.value()
    begin, end, step = [], [], []
    for length in value.shape[: grow.choose.randint(1, len(value.shape))]:
        first = grow.choose.randrange(length)
        last = grow.choose.randint(first + 1, length)
        stride = grow.choose.choice((1, 1, 2, 3))
        if grow.choose.random() < 0.2:
            # Backwards, which no view can say.
            first, last, stride = last - 1, (first - 1 if first else None), -stride
        begin.append(first)
        end.append(last)
        step.append(stride)
    return [value], {"begin": tuple(begin), "end": tuple(end), "step": tuple(step)}


def slice_axis(grow: Grower) -> Call:
    value = grow.value()
    axis = grow.axis(value.shape)
    begin = grow.choose.randrange(value.shape[axis])
    end = grow.choose.choice((None, grow.choose.randint(begin + 1, value.shape[axis])))
    return [value], {"axis": axis, "begin": begin, "end": end}


def slice_like(grow: Grower) -> Call:
    first = grow.value()

    def fits(value: Value) -> bool:
        return len(value.shape) == len(first.shape) and all(
            a <= b for a, b in zip(value.shape, first.shape, strict=True)
        )

    return [first, grow.value(fits, lambda: grow.thinned(first.shape))], {}


def join(parameter: str) -> Recipe:
    def recipe(grow: Grower) -> Call:
        first = grow.value()
        others = [grow.like(first) for _ in range(grow.choose.randrange(3))]
        return [first, *others], {parameter: grow.axis(first.shape)}

    return recipe


def slice_channel(grow: Grower) -> Call:
    value = grow.value(lambda value: max(value.shape) > 1)
    axis = grow.axis(value.shape)
    length = value.shape[axis]
    count = grow.choose.choice([n for n in range(1, length + 1) if length % n == 0])
    squeezed = count == length and len(value.shape) > 1 and grow.choose.random() < 0.5
    return [value], {"num_outputs": count, "axis": axis, "squeeze_axis": squeezed}


def ordering(grow: Grower) -> Call:
    value = grow.value()
    axis = grow.choose.choice((None, grow.axis(value.shape)))
    return [value], {"axis": axis, "is_ascend": grow.choose.random() < 0.5}


def topk(grow: Grower) -> Call:
    inputs, attributes = ordering(grow)
    kind = grow.choose.choice(("indices", "value", "mask", "both"))
    (value,), axis = inputs, attributes["axis"]
    most = math.prod(value.shape) if axis is None else value.shape[axis]
    return inputs, {**attributes, "k": grow.choose.randint(0, min(3, most)), "ret_typ": kind}


def diagonal(grow: Grower) -> Call:
    value = grow.value()
    if len(value.shape) == 1:
        return [value], {"k": grow.choose.randint(-1, 1)}
    one, two = grow.choose.sample(range(len(value.shape)), 2)
    return [value], {"axis1": one, "axis2": two}


def depth_to_space(grow: Grower) -> Call:
    value = grow.value(lambda value: len(value.shape) == 4, lambda: (1, 4, 2, 3))
    return [value], {"block_size": 2 if value.shape[1] % 4 == 0 else 1}


def space_to_depth(grow: Grower) -> Call:
    value = grow.value(lambda value: len(value.shape) == 4, lambda: (2, 1, 4, 2))
    even = value.shape[2] % 2 == 0 and value.shape[3] % 2 == 0
    return [value], {"block_size": 2 if even else 1}


def border(grow: Grower) -> Call:
    value = grow.value()
    mode = grow.choose.choice(("constant", "edge", "reflect"))
    widths = tuple(
        grow.choose.randint(0, min(2, length - 1) if mode == "reflect" else 2)
        for length in value.shape
        for _ in range(2)
    )
    return [value], {"mode": mode, "pad_width": widths, "constant_value": 2.5}


def parts(grow: Grower) -> Call:
    value = grow.value(lambda value: max(value.shape) > 1)
    axis = grow.axis(value.shape)
    cuts = [0, *([1] if value.shape[axis] > 1 else [])]
    return [value], {"indices": tuple(cuts), "axis": axis}


def tile(grow: Grower) -> Call:
    value = grow.value()
    repeats = tuple(grow.choose.choice((1, 2)) for _ in range(grow.choose.randint(1, 3)))
    return [value], {"reps": repeats}


def repeat(grow: Grower) -> Call:
    value = grow.value()
    attributes = {"axis": grow.axis(value.shape)} if grow.choose.random() < 0.7 else {}
    return [value], {**attributes, "repeats": grow.choose.choice((1, 2, 3))}


def reverse(grow: Grower) -> Call:
    value = grow.value()
    return [value], {"axis": grow.axis(value.shape)}


def dense(grow: Grower) -> Call:
    value = grow.value(lambda value: len(value.shape) > 1, lambda: (3, 4))
    flat = grow.choose.random() < 0.7
    features = int(np.prod(value.shape[1:])) if flat else value.shape[-1]
    units = grow.choose.choice((1, 2, 4))

    def of_shape(shape: Shape) -> Value:
        return grow.value(
            lambda v: v.shape == shape and v.dtype is value.dtype, lambda: shape, value.dtype
        )

    inputs = [value, of_shape((units, features))]
    without = grow.choose.random() < 0.4
    if not without:
        inputs.append(of_shape((units,)))
    return inputs, {"num_hidden": units, "no_bias": without, "flatten": flat}


def softmax(grow: Grower) -> Call:
    value = grow.floating()
    attributes: dict[str, Any] = {"axis": grow.axis(value.shape)}
    if grow.choose.random() < 0.3:
        attributes["temperature"] = 2.0
    return [value], attributes


def softmax_activation(grow: Grower) -> Call:
    value = grow.floating()
    mode = "channel" if len(value.shape) > 1 and grow.choose.random() < 0.5 else "instance"
    return [value], {"mode": mode}


def weight_update(grow: Grower) -> Call:
    weight = grow.floating()
    attributes: dict[str, Any] = {"lr": 0.1}
    if grow.choose.random() < 0.5:
        attributes.update(wd=0.3, rescale_grad=0.5, clip_gradient=0.7)
    return [weight, grow.like(weight)], attributes


def lamb_step(grow: Grower) -> Call:
    weight = grow.floating()
    lengths = [grow.value(lambda x: x.shape == (1,) and x.dtype is weight.dtype,
                          lambda: (1,), weight.dtype) for _ in range(2)]  # fmt: skip
    return [weight, grow.like(weight), *lengths], {"lr": 0.1, "upper_bound": 10}


def embedding(grow: Grower) -> Call:
    weight = grow.of_rank(2)
    sizes = dict(zip(("input_dim", "output_dim"), weight.shape, strict=True))
    return [grow.value(), weight], {**sizes, "dtype": weight.dtype.name}


def constant(grow: Grower) -> Call:
    return [], {"shape": grow.some_shape(), "dtype": grow.some_dtype().name}


def filled(grow: Grower) -> Call:
    return [], {**constant(grow)[1], "value": grow.choose.choice((2.0, -1.5, -0.0))}


def eye(grow: Grower) -> Call:
    sizes = {"N": grow.choose.randint(1, 5), "M": grow.choose.randrange(4)}
    return [], {**sizes, "k": grow.choose.randint(-2, 2), "dtype": grow.some_dtype().name}


def arange(grow: Grower) -> Call:
    stop = grow.choose.choice((1, 5, 24))
    return [], {"start": 0, "stop": stop, "dtype": grow.some_dtype().name}


def linspace(grow: Grower) -> Call:
    ends = {"start": -1, "stop": grow.choose.choice((2, 7.5)), "num": grow.choose.randint(1, 30)}
    more = {"endpoint": grow.choose.choice((True, False)), "dtype": grow.some_dtype().name}
    return [], {**ends, **more}


def uniform(grow: Grower) -> Call:
    return [], {"shape": grow.some_shape(), "dtype": grow.choose.choice(("float32", "float64"))}


NAMED: dict[str, Recipe] = {
    **dict.fromkeys(("_zeros", "_ones"), constant),
    "_full": filled,
    "_eye": eye,
    "_arange": arange,
    "_linspace": linspace,
    **dict.fromkeys(("_random_uniform", "_random_normal"), uniform),
    "Cast": cast,
    "clip": clip,
    "hard_sigmoid": hard_sigmoid,
    "Activation": activation,
    "add_n": add_n,
    "_gradient_sum": add_n,
    "where": where,
    "broadcast_axis": broadcast_axis,
    "broadcast_to": broadcast_to,
    "broadcast_like": broadcast_like,
    "take": take,
    "pick": pick,
    "one_hot": one_hot,
    "batch_take": batch_take,
    "dot": dot,
    "batch_dot": batch_dot,
    "Reshape": reshape,
    "reshape_like": reshape_like,
    "expand_dims": expand_dims,
    "squeeze": squeeze,
    "transpose": transpose,
    "SwapAxis": swap_axes,
    "slice": slices,
    "slice_axis": slice_axis,
    "slice_like": slice_like,
    "Concat": join("dim"),
    "stack": join("axis"),
    "SliceChannel": slice_channel,
    "tile": tile,
    "repeat": repeat,
    "reverse": reverse,
    "FullyConnected": dense,
    **dict.fromkeys(("softmax", "softmin", "log_softmax"), softmax),
    "SoftmaxActivation": softmax_activation,
    "Embedding": embedding,
    "norm": norm,
    **dict.fromkeys(("argmax", "argmin"), position),
    "argmax_channel": argmax_channel,
    **dict.fromkeys(("argsort", "sort"), ordering),
    "topk": topk,
    **dict.fromkeys(("sgd_update", "signsgd_update"), weight_update),
    "lamb_update_phase2": lamb_step,
    "diag": diagonal,
    "depth_to_space": depth_to_space,
    "space_to_depth": space_to_depth,
    "Pad": border,
    "_split_v2": parts,
    **LAYERS,
}


def recipe_of(op: Op) -> Recipe | None:
    """How an operator is applied, by its name or by what its definition says."""
    if op.name in NAMED:
        return NAMED[op.name]
    names = tuple(op.schema.attributes)
    if "scalar" in names:
        return with_scalar
    if {"axis", "keepdims", "exclude"} <= set(names):
        return reduction
    if names or op.variadic is not None:
        return None
    inputs = op.input_names(op.schema.parse({}))
    if len(inputs) == 1:
        return unary
    if len(inputs) == 2:
        return of_equal_shapes if op.fill_shapes is not None else broadcasting
    return None


# Operators with states are not grown: a state is a variable that belongs to one node alone. Nor are
# those whose attributes say what they are: a program's own code has no meaning to compare with.
OPERATORS = sorted({op.name for op in registered().values() if not op.auxiliary and not op.is_open})
RECIPES = {
    name: recipe for name in OPERATORS if (recipe := recipe_of(registered()[name])) is not None
}
_COMMON = (unary, with_scalar, of_equal_shapes, broadcasting, reduction)
_MOVEMENT = "transpose SwapAxis Reshape slice slice_axis SliceChannel broadcast_to expand_dims Cast"
_CONSUMERS = "dot batch_dot FullyConnected softmax take pick where Concat add_n one_hot argmax"
# A family is chosen first, so that the many elementwise operators do not crowd out the others.
FAMILIES: tuple[list[str], ...] = (
    *([name for name, recipe in RECIPES.items() if recipe is common] for common in _COMMON),
    [name for name, recipe in RECIPES.items() if recipe not in _COMMON],
    _MOVEMENT.split(),
    _MOVEMENT.split(),
    _CONSUMERS.split(),
)


def grown(genes: Sequence[int]) -> Example:
    """The graph of these genes; the same for the same genes, whatever was made before."""
    with NameManager(), cpu():
        grower = Grower(genes[0])
        for gene in genes[1:-1]:
            if gene == 0:
                continue  # which lets a failing graph be shrunk operator by operator
            grower.choose = random.Random(gene)
            name = grower.choose.choice(grower.choose.choice(FAMILIES))
            grower.add(name, *RECIPES[name](grower))
        return grower.finish(genes[-1])


def examples(most: int = 40) -> strategies.SearchStrategy[Example]:
    """Graphs of 2 to ``most`` operators."""
    genes = strategies.integers(0, 2**32 - 1)

    def of_length(length: int) -> strategies.SearchStrategy[list[int]]:
        return strategies.lists(genes, min_size=length, max_size=length)

    # The first gene is that of the graph, the last one that of its outputs.
    return strategies.integers(4, most + 2).flatmap(of_length).map(grown)
