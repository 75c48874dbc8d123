"""The executor: forward, its outputs, its dictionaries, new shapes, new parameters."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, plain, raised, scenario


def layer(mx: ModuleType, batch: int = 2) -> Any:
    """A bound fully connected layer with small whole numbers in it."""
    data = mx.sym.Variable("data")
    symbol = mx.sym.FullyConnected(data, num_hidden=2, name="fc")
    return symbol.bind(
        mx.cpu(),
        {
            "data": mx.nd.arange(batch * 3).reshape((batch, 3)),
            "fc_weight": mx.nd.array([[1, 2, 3], [4, 5, 6]]),
            "fc_bias": mx.nd.array([10, 20]),
        },
    )


def plus_one(mx: ModuleType, dtype: str = "float32") -> Any:
    """The smallest bound graph."""
    return (mx.sym.Variable("a") + 1).bind(
        mx.cpu(), {"a": mx.nd.array([[1, 2], [3, 4]], dtype=dtype)}
    )


@scenario
def what_it_shows(mx: ModuleType) -> Answer:
    executor = layer(mx)
    executor.forward()
    return {
        "arguments": plain(executor.arg_dict),
        "order of arguments": list(executor.arg_dict),
        "arrays": [list(one.shape) for one in executor.arg_arrays],
        "outputs": plain(executor.output_dict),
        "auxiliary": [executor.aux_arrays, executor.aux_dict],
        "type of lists": [type(executor.arg_arrays).__name__, type(executor.outputs).__name__],
    }


@scenario
def forward_returns_the_outputs(mx: ModuleType) -> Answer:
    executor = plus_one(mx)
    returned = executor.forward()
    return {
        "same list": returned is executor.outputs,
        "type": type(returned).__name__,
        "length": len(returned),
        "same as output_dict": executor.output_dict["_plusscalar0_output"].asnumpy().tolist(),
        "value": plain(returned[0]),
        "in training": plain(executor.forward(is_train=True)[0]),
        "by position": plain(executor.forward(False)[0]),
    }


@scenario
def outputs_keep_their_buffers(mx: ModuleType) -> Answer:
    executor = plus_one(mx)
    first = executor.forward()[0]
    copied = first.copy()
    second = executor.forward(a=mx.nd.zeros((2, 2)))[0]
    return {"first": plain(first), "copied": plain(copied), "second": plain(second)}


@scenario
def forward_with_new_values(mx: ModuleType) -> Answer:
    executor = plus_one(mx)
    bound = executor.arg_dict["a"]
    given = mx.nd.array([[5, 6], [7, 8]])
    by_array = plain(executor.forward(a=given)[0])
    kept = plain(executor.forward()[0])
    by_numpy = plain(executor.forward(a=np.full((2, 2), 0.5))[0])
    given[:] = 0
    return {
        "array": by_array,
        "kept": kept,
        "numpy": by_numpy,
        "bound array": plain(bound),
        "still bound": executor.arg_dict["a"] is bound,
        "not aliased": plain(executor.forward()[0]),
    }


@scenario
def forward_casts_new_values(mx: ModuleType) -> Answer:
    return {
        "float64 into float32": plain(
            plus_one(mx).forward(a=mx.nd.full((2, 2), 0.5, dtype="float64"))[0]
        ),
        "float into int": plain(
            plus_one(mx, "int32").forward(a=mx.nd.array([[1.7, -1.7], [2.5, -2.5]]))[0]
        ),
        "numpy float64 into int": plain(
            plus_one(mx, "int32").forward(a=np.array([[1.7, -1.7], [2.5, -2.5]]))[0]
        ),
        "int into float16": plain(
            plus_one(mx, "float16").forward(a=np.array([[1, 2], [3, 4]], dtype=np.int64))[0]
        ),
    }


@scenario
def forward_errors(mx: ModuleType) -> Answer:
    executor = plus_one(mx)
    return {
        "unknown": raised(lambda: executor.forward(zz=mx.nd.zeros((2, 2))), "zz"),
        "shape": raised(lambda: executor.forward(a=mx.nd.zeros((3, 2))), "a", "(2, 2)", "(3, 2)"),
        "broadcast": raised(lambda: executor.forward(a=mx.nd.zeros((1, 2)))),
        "list": raised(lambda: executor.forward(a=[[1, 2], [3, 4]])),
        "number": raised(lambda: executor.forward(a=1)),
        "none": raised(lambda: executor.forward(a=None)),
        "still works": plain(executor.forward()[0]),
    }


@scenario
def writing_into_arguments(mx: ModuleType) -> Answer:
    executor = plus_one(mx)
    executor.arg_dict["a"][:] = 7
    first = plain(executor.forward()[0])
    executor.arg_arrays[0][0] = [1, 2]
    second = plain(executor.forward()[0])
    executor.arg_dict["a"] += 1
    return [first, second, plain(executor.forward()[0])]


@scenario
def output_names(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    parts = mx.sym.split(a, num_outputs=2, axis=0, name="sp")
    executor = mx.sym.Group([parts, a * 2]).bind(mx.cpu(), {"a": mx.nd.array([[1, 2], [3, 4]])})
    executor.forward()
    return plain(executor.output_dict)


@scenario
def outputs_of_one_name(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    group = mx.sym.Group([mx.sym.exp(a, name="e"), mx.sym.negative(a, name="e")])
    executor = group.bind(mx.cpu(), {"a": mx.nd.zeros((2,))})
    return {
        "outputs": plain(executor.forward()),
        "dict": raised(lambda: executor.output_dict),
    }


@scenario
def parameters_copied_in(mx: ModuleType) -> Answer:
    executor = layer(mx)
    weight = mx.nd.ones((2, 3), dtype="float64")
    returned = executor.copy_params_from({"fc_weight": weight, "fc_bias": mx.nd.zeros((2,))})
    weight[:] = 50
    return {
        "returned": returned,
        "outputs": plain(executor.forward()),
        "dtype": plain(executor.arg_dict["fc_weight"]),
    }


@scenario
def parameters_copied_in_errors(mx: ModuleType) -> Answer:
    executor = layer(mx)
    one = mx.nd.ones((2,))
    return {
        "unknown": raised(lambda: executor.copy_params_from({"zz": one}), "zz"),
        "unknown allowed": raised(
            lambda: executor.copy_params_from({"zz": one}, allow_extra_params=True)
        ),
        "unknown auxiliary": raised(lambda: executor.copy_params_from({}, {"zz": one}), "zz"),
        "shape": raised(lambda: executor.copy_params_from({"fc_bias": mx.nd.ones((3,))})),
    }


@scenario
def reshaped_smaller(mx: ModuleType) -> Answer:
    executor = layer(mx, batch=4)
    smaller = executor.reshape(data=(2, 3))
    smaller.arg_dict["fc_bias"][:] = 0
    return {
        "shapes": {name: list(one.shape) for name, one in smaller.arg_dict.items()},
        "outputs": [list(one.shape) for one in smaller.forward()],
        "shared": plain(executor.arg_dict["fc_bias"]),
        "old shapes": {name: list(one.shape) for name, one in executor.arg_dict.items()},
        "values": plain(smaller.forward(data=mx.nd.ones((2, 3)))),
        "old values": [list(one.shape) for one in executor.forward()],
    }


@scenario
def reshaped_larger(mx: ModuleType) -> Answer:
    executor = layer(mx)
    return {
        "refused": raised(lambda: executor.reshape(data=(5, 3)), "data"),
        "allowed": plain(
            executor.reshape(allow_up_sizing=True, data=(5, 3)).forward(data=mx.nd.ones((5, 3)))
        ),
    }


@scenario
def reshaped_with_other_arguments(mx: ModuleType) -> Answer:
    executor = layer(mx)
    smaller = executor.reshape(partial_shaping=True, data=(2, 2))
    return {
        "refused": raised(lambda: executor.reshape(data=(2, 2)), "fc_weight"),
        "allowed": {name: list(one.shape) for name, one in smaller.arg_dict.items()},
        "both named": {
            name: list(one.shape)
            for name, one in executor.reshape(data=(2, 2), fc_weight=(2, 2)).arg_dict.items()
        },
    }


@scenario
def reshaped_and_back(mx: ModuleType) -> Answer:
    executor = layer(mx)
    before = plain(executor.forward())
    back = executor.reshape(data=(1, 3)).reshape(allow_up_sizing=True, data=(2, 3))
    after = plain(back.forward(data=executor.arg_dict["data"]))
    return [before, after]


@scenario
def two_executors_on_the_same_arrays(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    shared = mx.nd.array([1, 2])
    first = (a + 1).bind(mx.cpu(), {"a": shared})
    second = (a * 10).bind(mx.cpu(), {"a": shared})
    first.forward(a=mx.nd.array([3, 4]))
    return plain(second.forward())


@scenario
def the_graph_is_frozen_by_binding(mx: ModuleType) -> Answer:
    a = mx.sym.Variable("a")
    made = mx.sym.exp(a, name="e")
    executor = made.bind(mx.cpu(), {"a": mx.nd.zeros((2,))})
    made._compose(a=mx.sym.Variable("b"), name="f")
    executor.forward()
    return [list(executor.arg_dict), list(executor.output_dict)]
