"""Outputs of networks: what they are trained by stands in their gradients, not in their values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch

from tritonsym.expressions.expr import (
    Expr,
    Shape,
    broadcast,
    cast,
    full,
    iota,
    make,
    maximum,
    narrow,
    reduce,
    reshape,
    where,
)
from tritonsym.expressions.reference import Step, Tensor, on_reshaped
from tritonsym.foundation.dtype import FLOAT32, FLOAT64, INT64, DType
from tritonsym.foundation.errors import LoweringError
from tritonsym.graph.op import Gradients, Shapes, merge_shapes, operator, unify_shapes
from tritonsym.graph.schema import Single

from .common import accumulator, completed, in_accumulator, needs_float, no_gradients, one_shape

Normalization = Literal["null", "batch", "valid"]


def _softmax(x: Expr, axis: int) -> Expr:
    powers = make("exp", x - reduce("max", x, (axis,)))
    return powers / reduce("sum", powers, (axis,))


def _count(chosen: Expr, dtype: DType) -> Expr:
    """How many hold, at least 1, as an array of one element."""
    wide = cast(reshape(chosen, (chosen.size,)), accumulator(dtype))
    return cast(maximum(reduce("sum", wide, (0,)), 1.0), dtype)


# ---- softmax with cross entropy ----------------------------------------------------------------


def _rows(multi_output: bool, preserve_shape: bool, shape: Shape) -> Shape:
    """The data as (rows, classes, positions); the softmax runs over the classes."""
    size = math.prod(shape)
    if multi_output:
        return shape[0], shape[1], size // (shape[0] * shape[1])
    rows = size // shape[-1] if preserve_shape else shape[0]
    return rows, size // rows, 1


def _label_forms(multi_output: bool, data: Shape) -> list[Shape]:
    """The shapes that a label of classes may have; the first is the one that is inferred."""
    if not multi_output:
        return [data[:-1]]
    rest = data[2:]
    return [(data[0], math.prod(rest)), (data[0], *rest), (data[0], 1, *rest)]


def _check_axes(data: Shape) -> None:
    if len(data) < 2:
        raise LoweringError(f"data is {data}, it needs 2 axes or more: the first is the batch")


def _softmax_output_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """The label follows from the data, unless it is given in another form."""
    data = one_shape(inputs, outputs)
    if data is not None:
        _check_axes(data)
        inputs[1] = completed(inputs[1], _label_forms(attributes.multi_output, data))


def _softmax_output_native(attributes: Any, inputs: list[Tensor], out: Tensor) -> Step:
    shape = _rows(attributes.multi_output, attributes.preserve_shape, tuple(out.shape))
    if shape[2] == 1:  # torch is much faster along the last axis
        shape = shape[:2]
    place = out.view(shape)
    return on_reshaped(inputs[0], shape, lambda data: partial(torch.softmax, data, 1, out=place))


def _softmax_output_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    (data, label), (output,) = inputs, outputs
    if label.shape == data.shape:
        gradient = (output - label) * attributes.grad_scale
    else:
        gradient = _less_the_class(attributes, output, label)
    return (gradient * heads[0] if attributes.out_grad else gradient, None)


def _less_the_class(attributes: Any, output: Expr, label: Expr) -> Expr:
    """The probabilities, less 1 for each label's class, scaled."""
    shape = _rows(attributes.multi_output, attributes.preserve_shape, output.shape)
    rows, classes, positions = shape
    p = reshape(output, shape)
    given = reshape(cast(label, INT64), (label.size,))
    # Where there are more labels than softmaxes, the first ones count.
    chosen = reshape(narrow(given, 0, 0, rows * positions), (rows, 1, positions))
    hit = iota(shape, 1).equals(broadcast(chosen, shape))
    smoothing = 0.0 if attributes.multi_output else attributes.smooth_alpha
    if smoothing:
        others = smoothing / (classes - 1) if classes > 1 else 0.0
        gradient = where(hit, p - (1.0 - smoothing), p - others)
    else:
        gradient = p - cast(hit, p.dtype)
    ignored = int(attributes.ignore_label)
    if attributes.use_ignore:
        gradient = where(chosen.equals(ignored), 0, gradient)
    scale = attributes.grad_scale
    if attributes.normalization == "valid":
        valid = reshape(_count(given.differs(ignored), output.dtype), (1, 1, 1))
        return reshape(gradient * (scale / valid), output.shape)
    if attributes.multi_output:
        scale /= positions
    if attributes.normalization == "batch":
        scale /= rows if attributes.multi_output else label.size
    return reshape(gradient * scale, output.shape)


@operator(
    "SoftmaxOutput",
    aliases=("Softmax",),
    shapes=_softmax_output_shapes,
    native=_softmax_output_native,
    uses_native=lambda attributes, inputs: inputs[0].dtype in (FLOAT32, FLOAT64),
    gradient=_softmax_output_gradient,
    is_loss=lambda attributes: not attributes.out_grad,
)
def softmax_output(
    data: Expr,
    label: Expr,
    *,
    grad_scale: Single = 1.0,
    ignore_label: float = -1.0,
    multi_output: bool = False,
    use_ignore: bool = False,
    preserve_shape: bool = False,
    normalization: Normalization = "null",
    out_grad: bool = False,
    smooth_alpha: Single = 0.0,
) -> Expr:
    """The softmax of each sample; its gradient is that of the cross entropy with the label.

    The softmax runs over all axes but the first, with ``preserve_shape`` over the last one, with
    ``multi_output`` over axis 1. ``label`` holds the class for each softmax, or probabilities in
    the data's shape. The gradient is ``(softmax - one_hot(label)) * grad_scale`` whatever head
    gradient there is; with ``out_grad`` it is multiplied by that. It is divided by the number of
    labels (``normalization='batch'``), or of those that are not ``ignore_label`` (``'valid'``),
    and with ``multi_output`` by the number of positions. ``use_ignore`` makes it 0 where the label
    is ``ignore_label``. ``smooth_alpha`` is taken from the label's class and given to the others.
    """
    needs_float("SoftmaxOutput", data)
    _check_axes(data.shape)
    forms = _label_forms(multi_output, data.shape)
    if label.shape not in (*forms, data.shape):
        raise LoweringError(
            f"label is {label.shape}, data {data.shape} needs {forms[0]}, or {data.shape} for "
            "probabilities"
        )
    rows = reshape(data, _rows(multi_output, preserve_shape, data.shape))
    return reshape(in_accumulator(partial(_softmax, axis=1), rows), data.shape)


def _cross_entropy_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    data = inputs[0]
    if data is not None:
        inputs[1] = merge_shapes(data[:1], inputs[1])
    outputs[0] = merge_shapes((1,), outputs[0])


def _hits(data: Expr, label: Expr) -> Expr:
    """Whether an element is that of its row's class."""
    return iota(data.shape, 1).equals(reshape(cast(label, INT64), (label.size, 1)))


def _cross_entropy_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    data, label = inputs
    p = in_accumulator(partial(_softmax, axis=1), data)
    return (p - cast(_hits(data, label), p.dtype)) * reshape(heads[0], (1, 1)), None


@operator("softmax_cross_entropy", shapes=_cross_entropy_shapes, gradient=_cross_entropy_gradient)
def softmax_cross_entropy(data: Expr, label: Expr) -> Expr:
    """The sum over the rows of -log(softmax(data)) at the row's label; its shape is (1,).

    A label that is no class adds nothing.
    """
    needs_float("softmax_cross_entropy", data)
    if len(data.shape) != 2 or label.shape != data.shape[:1]:
        raise LoweringError(
            f"data is {data.shape} and label {label.shape}, it needs (rows, classes) and (rows,)"
        )

    def entropy(x: Expr) -> Expr:
        shifted = x - reduce("max", x, (1,))
        logarithms = shifted - make("log", reduce("sum", make("exp", shifted), (1,)))
        return reshape(reduce("sum", where(_hits(x, label), -logarithms, 0), (0, 1)), (1,))

    return in_accumulator(entropy, data)


# ---- regression --------------------------------------------------------------------------------


def _regression_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    """The label has the data's shape; that of a column is inferred without its second axis."""
    data = one_shape(inputs, outputs)
    if data is not None:
        column = len(data) == 2 and data[1] == 1
        inputs[1] = completed(inputs[1], [data[:1], data] if column else [data])


def _register_regression(
    name: str, value: Callable[[Expr], Expr], slope: Callable[[Expr], Expr], summary: str
) -> None:
    def gradient(
        attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
    ) -> Gradients:
        (data, label), (output,) = inputs, outputs
        each = label.size // label.shape[0]
        difference = output - reshape(label, data.shape)
        return slope(difference) * (attributes.grad_scale / each), None

    def lower(data: Expr, label: Expr, *, grad_scale: Single = 1.0) -> Expr:
        needs_float(name, data)
        if label.shape[0] != data.shape[0] or label.size != data.size:
            raise LoweringError(f"label is {label.shape}, it needs the shape {data.shape} of data")
        return value(data)

    lower.__doc__ = summary
    operator(name, shapes=_regression_shapes, gradient=gradient, is_loss=lambda _: True)(lower)


_register_regression(
    "LinearRegressionOutput",
    lambda x: x,
    lambda difference: difference,
    "The data; its gradient is (data - label) * grad_scale, divided by the values per sample.",
)
_register_regression(
    "LogisticRegressionOutput",
    lambda x: make("sigmoid", x),
    lambda difference: difference,
    "sigmoid(data); its gradient is (sigmoid(data) - label) * grad_scale / values per sample.",
)
_register_regression(
    "MAERegressionOutput",
    lambda x: x,
    lambda difference: where(difference > 0, full(1, difference.shape, difference.dtype), -1),
    "The data; its gradient is grad_scale, divided by the values per sample, where data > label, "
    "and minus that elsewhere.",
)


# ---- margins -----------------------------------------------------------------------------------


def _svm_shapes(attributes: Any, inputs: Shapes, outputs: Shapes) -> None:
    data = one_shape(inputs, outputs)
    if data is not None:
        inputs[1] = merge_shapes(data[:-1] or (1,), inputs[1])


def _svm_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    data, label = inputs
    rows = reshape(data, (label.size, data.shape[-1]))
    hit, weight = _hits(rows, label), attributes.regularization_coefficient
    missing = attributes.margin - where(hit, rows, -rows)
    push = full(1, rows.shape, rows.dtype) if attributes.use_linear else missing * 2.0
    push = where(missing > 0, push, 0) * weight
    return reshape(where(hit, -push, push), data.shape), None


@operator("SVMOutput", shapes=_svm_shapes, gradient=_svm_gradient, is_loss=lambda attributes: True)
def svm_output(
    data: Expr,
    label: Expr,
    *,
    margin: Single = 1.0,
    regularization_coefficient: Single = 1.0,
    use_linear: bool = False,
) -> Expr:
    """The data; its gradient is that of hinge losses, one for each class.

    The last axis holds the scores of the classes. That of the label's should be above ``margin``,
    the others below its negative. What is missing is squared, or with ``use_linear`` counts as it
    is, times ``regularization_coefficient``.
    """
    needs_float("SVMOutput", data)
    classes = data.shape[:-1] or (1,)
    if label.shape != classes:
        raise LoweringError(f"label is {label.shape}, data {data.shape} needs {classes}")
    return data


# ---- where gradients begin and end -------------------------------------------------------------


def _make_loss_gradient(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    (data,) = inputs
    scale = attributes.grad_scale
    if attributes.normalization == "batch":
        scale /= math.prod(data.shape[:-1])
    gradient = full(scale, data.shape, data.dtype)
    if attributes.normalization == "valid":
        count = _count(data > attributes.valid_thresh, data.dtype)
        gradient = gradient / reshape(count, (1,) * len(data.shape))
    return (gradient,)


@operator(
    "MakeLoss", shapes=unify_shapes, gradient=_make_loss_gradient, is_loss=lambda attributes: True
)
def make_loss_scaled(
    data: Expr,
    *,
    grad_scale: Single = 1.0,
    valid_thresh: Single = 0.0,
    normalization: Normalization = "null",
) -> Expr:
    """The data; its gradient is ``grad_scale`` everywhere, so that it is itself a loss.

    It is divided by the number of rows (``normalization='batch'``), or of the elements above
    ``valid_thresh`` (``'valid'``).
    """
    return data


def _ones(
    attributes: Any, heads: Sequence[Expr], inputs: Sequence[Expr], outputs: Sequence[Expr]
) -> Gradients:
    return (full(1, inputs[0].shape, inputs[0].dtype),)


@operator(
    "make_loss",
    shapes=unify_shapes,
    outputs=lambda attributes: ("loss",),
    gradient=_ones,
    is_loss=lambda attributes: True,
)
def make_loss(data: Expr) -> Expr:
    """x itself; the output is a loss, from which gradients start."""
    return data


@operator(
    "BlockGrad",
    aliases=("stop_gradient",),
    shapes=unify_shapes,
    gradient=no_gradients,
    is_loss=lambda attributes: True,
)
def block_grad(data: Expr) -> Expr:
    """x; no gradient passes."""
    return data
