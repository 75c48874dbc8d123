"""Workloads in a library with MXNet's API: this one, or real MXNet in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import prod
from typing import Any

from .workload import RATE, Kind, Missing, Prepared, Role, Workload


class Functions:
    """The functions that computations are written in, as symbols of a library.

    Args:
        mx: the library.
        dtype: of all that is no whole number.
    """

    def __init__(self, mx: Any, dtype: str) -> None:
        self._sym = mx.sym
        self._dtype = dtype

    def __getattr__(self, name: str) -> Any:
        """An operator that has the same name and meaning here."""
        if not hasattr(self._sym, name):
            raise Missing(f"no operator {name}")
        return getattr(self._sym, name)

    # ---- elementwise ----

    def subtract(self, a: Any, b: Any) -> Any:
        return self.broadcast_sub(a, b)

    def multiply(self, a: Any, b: Any) -> Any:
        return self.broadcast_mul(a, b)

    def gelu(self, x: Any) -> Any:
        return self.LeakyReLU(x, act_type="gelu")

    def add_bias(self, x: Any, bias: Any) -> Any:
        return self.broadcast_add(x, self.expand_dims(bias, axis=0))

    # ---- rows ----

    def softmax(self, x: Any) -> Any:
        return self._sym.softmax(x)

    def layer_norm(self, x: Any, gamma: Any, beta: Any) -> Any:
        return self.LayerNorm(x, gamma, beta, eps=1e-5)

    def cross_entropy(self, scores: Any, label: Any) -> Any:
        if self._dtype != "float32":  # in which classes are, and 16 bits would not hold them all
            scores = self.cast(scores, dtype="float32")
        return self.softmax_cross_entropy(scores, label)

    def loss(self, scores: Any, label: Any) -> Any:
        """Whose gradient is that of the sum of the rows' cross-entropies."""
        return self.SoftmaxOutput(scores, label)

    def sum_all(self, x: Any) -> Any:
        return self.sum(x)

    def sum_columns(self, x: Any) -> Any:
        return self.sum(x, axis=0)

    def mean_rows(self, x: Any) -> Any:
        return self.mean(x, axis=1, keepdims=True)

    # ---- products ----

    def matmul(self, a: Any, b: Any) -> Any:
        return self.dot(a, b)

    def batch_matmul(self, a: Any, b: Any) -> Any:
        return self.batch_dot(a, b)

    def linear(self, x: Any, weight: Any, bias: Any, width: int) -> Any:
        return self.FullyConnected(x, weight, bias, num_hidden=width, flatten=False)

    def attention(self, query: Any, key: Any, value: Any, depth: int) -> Any:
        scores = self.batch_dot(query, key, transpose_b=True) * depth**-0.5
        return self.batch_dot(self._sym.softmax(scores), value)

    # ---- images ----

    def convolution(self, x: Any, weight: Any, bias: Any, filters: int, size: int, pad: int) -> Any:
        given = (x, weight) if bias is None else (x, weight, bias)
        return self.Convolution(
            *given, num_filter=filters, kernel=(size, size), pad=(pad, pad), no_bias=bias is None
        )

    def max_pool(self, x: Any, size: int) -> Any:
        return self.Pooling(x, pool_type="max", kernel=(size, size), stride=(size, size))

    def batch_norm(self, x: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
        given = (x, gamma, beta, mean, variance)
        return self.BatchNorm(*given, fix_gamma=False, use_global_stats=True, eps=1e-5)

    # ---- movement ----

    def transpose(self, x: Any) -> Any:
        return self._sym.transpose(x)

    def permute(self, x: Any, axes: tuple[int, ...]) -> Any:
        return self._sym.transpose(x, axes=axes)

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        return self.Reshape(x, shape=shape)

    def flatten(self, x: Any) -> Any:
        return self.Flatten(x)

    def stack(self, parts: Sequence[Any], axis: int) -> Any:
        return self._sym.stack(*parts, axis=axis)

    def parts(self, x: Any, count: int) -> Any:
        """Equal parts of the last of two axes."""
        return self.SliceChannel(x, num_outputs=count, axis=1)

    def steps(self, x: Any, count: int) -> Any:
        """The slices along the second of three axes."""
        return self.SliceChannel(x, num_outputs=count, axis=1, squeeze_axis=True)

    def embedding(self, numbers: Any, weight: Any, count: int, width: int) -> Any:
        return self.Embedding(numbers, weight, input_dim=count, output_dim=width)

    def lstm(self, x: Any, weights: Sequence[Any], state: Any, cell: Any, width: int) -> Any:
        """The hidden states of one layer; sequences and states are laid out (batch, ...)."""
        flat = self.concat(*(self.Reshape(one, shape=(-1,)) for one in weights), dim=0)
        start = [self.expand_dims(one, axis=0) for one in (state, cell)]
        settings = {"mode": "lstm", "state_size": width, "num_layers": 1}
        states = self.RNN(self.permute(x, (1, 0, 2)), flat, *start, **settings)
        return self.permute(states, (1, 0, 2))


def prepare(
    mx: Any,
    context: Any,
    workload: Workload,
    values: Mapping[str, Any],
    after: Callable[[Sequence[Any]], object] | None = None,
) -> Prepared:
    """A workload bound to arrays.

    Args:
        mx: the library.
        values: its arrays by name, or what it makes arrays of.
        after: is called with the outputs after each call, to wait for them.

    Raises:
        Missing: the library lacks something that the workload needs.
    """
    arrays = {name: _array(mx, context, workload, name, value) for name, value in values.items()}
    if workload.kind is Kind.ADAM:
        return _adam(mx, workload, arrays, after)
    with _precision(mx, workload.precision):
        symbol = _symbol(mx, workload)
        if workload.kind is Kind.STEP:
            return _step(mx, context, workload, symbol, arrays, after)
        return _pass(mx, context, workload, symbol, arrays, after)


def _array(mx: Any, context: Any, workload: Workload, name: str, value: Any) -> Any:
    if isinstance(value, mx.nd.NDArray):
        return value
    dtype = workload.inputs[name].dtype_in(workload.dtype)
    return mx.nd.array(value, ctx=context, dtype=dtype)


def _precision(mx: Any, precision: str) -> AbstractContextManager[object]:
    if precision == "ieee":
        return nullcontext()
    try:
        return mx.switched(matmul_precision=precision)
    except (AttributeError, TypeError) as error:
        raise Missing(f"no products in {precision}") from error


def _symbol(mx: Any, workload: Workload) -> Any:
    variables = [
        mx.sym.Variable(name, shape=one.shape)
        for name, one in workload.inputs.items()
        if one.role is not Role.HEAD
    ]
    made = workload.compute(Functions(mx, workload.dtype), *variables)
    return mx.sym.Group(made) if isinstance(made, (list, tuple)) else made


def _outputs(outputs: Sequence[Any]) -> list[Any]:
    """The values, where they were computed if the library can tell."""
    return [one.to_torch() if hasattr(one, "to_torch") else one.asnumpy() for one in outputs]


def _pass(
    mx: Any,
    context: Any,
    workload: Workload,
    symbol: Any,
    arrays: Mapping[str, Any],
    after: Callable[[Sequence[Any]], object] | None,
) -> Prepared:
    """A forward pass, with gradients or without."""
    arguments = {name: arrays[name] for name in symbol.list_arguments()}
    states = {name: arrays[name] for name in symbol.list_auxiliary_states()}
    if workload.kind is Kind.FORWARD:
        executor = symbol.bind(context, arguments, aux_states=states)
        if after is None:
            return Prepared(executor.forward, lambda: _outputs(executor.outputs))
        return Prepared(lambda: after(executor.forward()), lambda: _outputs(executor.outputs))
    learned = workload.named(Role.PARAMETER)
    gradients = {name: mx.nd.zeros_like(arrays[name]) for name in learned}
    requests = {name: "write" if name in learned else "null" for name in arguments}
    executor = symbol.bind(context, arguments, gradients, requests, states)
    heads = [arrays[name] for name in workload.named(Role.HEAD)]
    found = list(gradients.values())

    def call() -> None:
        executor.forward(is_train=True)
        executor.backward(heads)
        if after is not None:
            after(found)

    return Prepared(call, lambda: _outputs(found))


def _step(
    mx: Any,
    context: Any,
    workload: Workload,
    symbol: Any,
    arrays: Mapping[str, Any],
    after: Callable[[Sequence[Any]], object] | None,
) -> Prepared:
    """A step of training, by a module."""
    data, labels = workload.named(Role.DATA), workload.named(Role.LABEL)
    learned = workload.named(Role.PARAMETER)
    module = mx.mod.Module(symbol, data_names=data, label_names=labels, context=context)
    shapes = [[(name, workload.inputs[name].shape) for name in names] for names in (data, labels)]
    module.bind(*shapes)
    module.init_params(arg_params={name: arrays[name] for name in learned}, aux_params={})
    rows = prod(workload.inputs[labels[0]].shape)
    settings = {"learning_rate": RATE, "rescale_grad": 1 / rows}
    module.init_optimizer(optimizer="sgd", optimizer_params=settings)
    batch = mx.io.DataBatch([arrays[name] for name in data], [arrays[name] for name in labels])

    def by_parts(batch: Any) -> None:
        module.forward_backward(batch)
        module.update()

    # What `fit` does with a batch; MXNet has no name for it.
    train = getattr(module, "train_by", by_parts)

    def call() -> None:
        train(batch)
        if after is not None:
            after(module.get_outputs())
            mx.nd.waitall()

    def outcome() -> list[Any]:
        changed, _ = module.get_params()
        return [changed[name].asnumpy() - arrays[name].asnumpy() for name in learned]

    return Prepared(call, outcome)


def _adam(
    mx: Any,
    workload: Workload,
    arrays: Mapping[str, Any],
    after: Callable[[Sequence[Any]], object] | None,
) -> Prepared:
    """An update of parameters by gradients that stay as they are."""
    updater = mx.optimizer.get_updater(mx.optimizer.create("adam", learning_rate=RATE))
    gradients = [arrays[name] for name in workload.named(Role.HEAD)]
    given = [arrays[name] for name in workload.named(Role.PARAMETER)]
    weights = [array.copy() for array in given]
    places = list(range(len(weights)))

    def call() -> None:
        updater(places, gradients, weights)
        if after is not None:
            after(weights)

    def outcome() -> list[Any]:
        return [new - old for new, old in zip(_outputs(weights), _outputs(given), strict=True)]

    return Prepared(call, outcome)
