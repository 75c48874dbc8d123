"""Where the API departs from MXNet 1.9.1 on purpose; each test says why in its first line."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tritonsym as mx


@pytest.fixture
def a() -> Any:
    """One variable."""
    return mx.sym.Variable("a")


@pytest.fixture
def b() -> Any:
    """Another variable."""
    return mx.sym.Variable("b")


def graph(**changes: Any) -> dict[str, Any]:
    """A correct graph x -> sum, of the current version, with some fields changed."""
    return {
        "nodes": [
            {"op": "null", "name": "x", "inputs": []},
            {"op": "sum", "name": "s", "inputs": [[0, 0, 0]]},
        ],
        "arg_nodes": [0],
        "node_row_ptr": [0, 1, 2],
        "heads": [[1, 0, 0]],
        "attrs": {"mxnet_version": ["int", 10901]},
        **changes,
    }


def nodes(*inputs: list[list[int]]) -> list[dict[str, Any]]:
    """A variable and one `sum` for each list of inputs."""
    made = [{"op": "sum", "name": f"s{place}", "inputs": one} for place, one in enumerate(inputs)]
    return [{"op": "null", "name": "x", "inputs": []}, *made]


def test_infer_shape_takes_positional_shapes(a: Any, b: Any) -> None:
    """MXNet documents positional shapes, but its 1.9.1 build fails on them."""
    assert (a + b).infer_shape((2, 3)) == ([(2, 3), (2, 3)], [(2, 3)], [])
    assert (a + b).infer_shape(None, (2, 3)) == ([(2, 3), (2, 3)], [(2, 3)], [])
    assert (a + b).infer_shape_partial((0, 3)) == ([(0, 3), (0, 3)], [(0, 3)], [])


def test_shapes_that_follow_in_part_are_told_further(a: Any) -> None:
    """MXNet leaves open what follows of an unknown length behind Flatten, take, tile and others."""
    net = mx.sym.FullyConnected(mx.sym.Flatten(a), num_hidden=3, name="fc")
    arguments, outputs, _ = net.infer_shape_partial(a=(0, 2, 8))
    assert arguments == [(0, 2, 8), (3, 16), (3,)] and outputs == [(0, 3)]


def test_infer_type_takes_positional_types(a: Any, b: Any) -> None:
    """MXNet documents positional types, but its 1.9.1 build fails on them."""
    expected = ([np.float16, np.float16], [np.float16], [])
    assert (a + b).infer_type("float16") == expected
    assert (a + b).infer_type(None, np.float16) == expected


def test_reshape_of_a_wrong_size_fails_in_inference(a: Any) -> None:
    """MXNet accepts a shape of another size and fails only when it runs."""
    with pytest.raises(mx.base.MXNetError, match="reshape"):
        mx.sym.reshape(a, shape=(4, 4)).infer_shape(a=(2, 3))


def test_simple_bind_refuses_unknown_keywords(a: Any, b: Any) -> None:
    """MXNet ignores a misspelt argument and then complains about another one."""
    with pytest.raises(RuntimeError, match="zz"):
        (a + b).simple_bind(mx.cpu(), a=(2, 3), zz=(2, 3))


@pytest.mark.parametrize("shape", [[2, 3], 5, "23"])
def test_simple_bind_refuses_shapes_that_are_no_tuples(a: Any, b: Any, shape: Any) -> None:
    """MXNet ignores such a shape silently."""
    with pytest.raises((TypeError, RuntimeError), match="a"):
        (a + b).simple_bind(mx.cpu(), a=shape, b=(2, 3))


def test_simple_bind_lets_a_declared_dtype_flow(b: Any) -> None:
    """MXNet takes float32 for every argument without a declaration before it infers, and fails."""
    declared = mx.sym.Variable("q", shape=(2,), dtype="int32")
    executor = (declared + b).simple_bind(mx.cpu(), grad_req="null")
    assert {name: np.dtype(one.dtype).name for name, one in executor.arg_dict.items()} == {
        "q": "int32",
        "b": "int32",
    }


def test_binding_two_variables_of_one_name_is_a_clear_error() -> None:
    """MXNet fails with `arg_names.size() == in_args_map.size() (2 vs. 1)`."""
    twice = mx.sym.Variable("weight") * mx.sym.Variable("weight")
    x = mx.nd.ones((2,))
    for bind in (
        lambda: twice.bind(mx.cpu(), {"weight": x}),
        lambda: twice.bind(mx.cpu(), [x, x]),
        lambda: twice.simple_bind(mx.cpu(), weight=(2,)),
    ):
        with pytest.raises((ValueError, RuntimeError), match="weight"):
            bind()


def test_gradients_of_a_wrong_shape_are_refused_by_bind(a: Any, b: Any) -> None:
    """MXNet notices only in backward."""
    x = mx.nd.ones((2, 3))
    with pytest.raises(mx.base.MXNetError, match="b") as error:
        (a + b).bind(mx.cpu(), [x, x], args_grad={"b": mx.nd.ones((3, 2))})
    assert "(2, 3)" in str(error.value)
    assert "(3, 2)" in str(error.value)


def test_requests_and_head_gradients_of_unknown_names_are_refused(a: Any, b: Any) -> None:
    """MXNet ignores a misspelt name, and the gradient that was meant is never written."""
    graph, one = mx.sym.elemwise_mul(a, b, name="product"), mx.nd.ones((2,))
    arrays = {"a": one, "b": one}
    for request in ({"a": "write", "bb": "add"}, {"bb": "none of the three"}):
        with pytest.raises(ValueError, match=r"grad_req names bb, .*they are a, b"):
            graph.bind(mx.cpu(), arrays, {"a": mx.nd.ones((2,))}, request)
    executor = graph.bind(mx.cpu(), arrays, {"a": mx.nd.zeros((2,))})
    executor.forward(is_train=True)
    with pytest.raises(mx.MXNetError, match=r"names prod_output, .*they are product_output"):
        executor.backward({"prod_output": one, "product_output": one})
    assert (executor.grad_dict["a"].asnumpy() == 0).all()


def test_outputs_before_the_first_forward_hold_zeros(a: Any) -> None:
    """MXNet shows whatever was in memory."""
    executor = (a + 1).bind(mx.cpu(), {"a": mx.nd.ones((2, 2))})
    assert [one.shape for one in executor.outputs] == [(2, 2)]
    assert executor.outputs[0].asnumpy().tolist() == [[0, 0], [0, 0]]


def test_gradient_dict_without_gradients_names_every_argument(a: Any, b: Any) -> None:
    """MXNet raises a TypeError from inside when bind was given no gradients."""
    x = mx.nd.ones((2,))
    assert (a + b).bind(mx.cpu(), [x, x]).grad_dict == {"a": None, "b": None}


def test_outputs_do_not_share_memory(a: Any) -> None:
    """MXNet merges equal outputs into one buffer, so that writing into one changes the other."""
    group = mx.sym.Group([a + 1, a + 1])
    first, second = group.bind(mx.cpu(), {"a": mx.nd.ones((2,))}).forward()
    first[:] = 50
    assert second.asnumpy().tolist() == [2, 2]


def test_a_refused_attribute_is_not_stored(a: Any) -> None:
    """MXNet raises, and keeps the attribute that it refused."""
    made = mx.sym.clip(a, a_min=0, a_max=1)
    before = made.list_attr()
    with pytest.raises(mx.base.MXNetError):
        made._set_attr(nonsense="1")
    assert made.list_attr() == before


def test_slices_of_outputs_are_those_of_python() -> None:
    """MXNet counts from `start` to `stop` as they are, so that -1 and 99 are errors."""
    group = mx.sym.Group([mx.sym.Variable(name) for name in "abcde"])
    assert group[0:-1].list_outputs() == ["a", "b", "c", "d"]
    assert group[3:99].list_outputs() == ["d", "e"]


def test_boolean_masks_select() -> None:
    """MXNet reads a NumPy mask as the indices 0 and 1."""
    x = mx.nd.arange(6).reshape((3, 2))
    mask = np.array([True, False, True])
    assert x[mask].asnumpy().tolist() == [[0, 1], [4, 5]]
    assert x[mx.nd.array(mask, dtype="bool")].asnumpy().tolist() == [[0, 1], [4, 5]]
    x[mask] = 9
    assert x.asnumpy().tolist() == [[9, 9], [2, 3], [9, 9]]


@pytest.mark.parametrize("shape", [(4,), (4, 4), (4, -1)])
def test_reshaping_an_array_to_another_size_is_a_value_error(shape: tuple[int, ...]) -> None:
    """MXNet raises a ValueError or an MXNetError, depending on which size is larger."""
    with pytest.raises(ValueError, match="6"):
        mx.nd.zeros((2, 3)).reshape(shape)


@pytest.mark.parametrize("shape", [(-1, -1), (-5,), (0, 0, 0), (-4, 3, 2, 3), (0, -3)])
def test_malformed_reshape_codes_are_errors(shape: tuple[int, ...]) -> None:
    """MXNet raises errors of several classes here; any of them will do."""
    with pytest.raises((ValueError, mx.base.MXNetError)):
        mx.nd.zeros((2, 3)).reshape(shape)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(graph(nodes=nodes([[1, 0, 0]])), id="a node that reads itself"),
        pytest.param(graph(nodes=nodes([[2, 0, 0]], [[1, 0, 0]])), id="a cycle of two"),
        pytest.param(graph(nodes=nodes([[-1, 0, 0]])), id="a negative node"),
        pytest.param(graph(nodes=nodes([[0, 4, 0]])), id="an output that a node does not have"),
        pytest.param(graph(nodes=nodes([[True, 0, 0]])), id="a truth value for a node"),
        pytest.param(graph(nodes=nodes([[0.0, 0, 0]])), id="a fraction for a node"),
        pytest.param(graph(nodes=nodes([])), id="an operator without its input"),
        pytest.param(graph(nodes=nodes([[0, 0, 0], [0, 0, 0]])), id="an input too many"),
        pytest.param(graph(heads=[[1, 77, 0]]), id="a head that a node does not have"),
        pytest.param(graph(heads=[[-1, 0, 0]]), id="a negative head"),
        pytest.param(graph(heads=[]), id="no head"),
    ],
)
def test_graphs_that_make_no_sense_are_refused(broken: dict[str, Any]) -> None:
    """MXNet loads most of these silently, or crashes later."""
    with pytest.raises(mx.base.MXNetError):
        mx.sym.load_json(json.dumps(broken))


def test_json_with_a_key_twice_is_refused() -> None:
    """In MXNet the last one wins, so that two readers may see two graphs."""
    text = json.dumps(graph()).replace('"arg_nodes"', '"heads": [[0, 0, 0]], "arg_nodes"')
    with pytest.raises(mx.base.MXNetError, match="twice"):
        mx.sym.load_json(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(graph())[:60], id="cut"),
        pytest.param("", id="empty"),
        pytest.param("[" * 100_000, id="deeply nested"),
        pytest.param('{"nodes": ' + "9" * 5000 + "}", id="a number of 5000 digits"),
        pytest.param("null", id="null"),
        pytest.param('{"nodes":[],"arg_nodes":[],"heads":[]}', id="no node"),
    ],
)
def test_text_that_is_no_graph_is_refused(text: str) -> None:
    """MXNet answers some of these with an error of another class or ends the process."""
    with pytest.raises(mx.base.MXNetError):
        mx.sym.load_json(text)


def test_control_characters_are_escaped_in_json() -> None:
    """MXNet writes them as they are, which other readers of JSON refuse."""
    made = mx.sym.Variable("bell\x07 and\x00nothing\x1b")
    assert json.loads(made.tojson())["nodes"][0]["name"] == "bell\x07 and\x00nothing\x1b"
    assert mx.sym.load_json(made.tojson()).name == made.name


def test_arrays_with_trailing_bytes_are_refused(tmp_path: Any) -> None:
    """MXNet ignores what follows, so that a file may hide something."""
    path = tmp_path / "x.params"
    mx.nd.save(str(path), [mx.nd.ones((2,))])
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(mx.base.MXNetError):
        mx.nd.load(str(path))


def test_a_huge_dimension_is_refused_before_memory_is_asked_for(tmp_path: Any) -> None:
    """MXNet asks for the memory first."""
    path = tmp_path / "x.params"
    mx.nd.save(str(path), [mx.nd.ones((2,))])
    content = bytearray(path.read_bytes())
    content[36:44] = (2**40).to_bytes(8, "little")
    path.write_bytes(bytes(content))
    with pytest.raises(mx.base.MXNetError):
        mx.nd.load(str(path))


def test_names_made_after_loading_do_not_repeat_loaded_ones(a: Any, b: Any) -> None:
    """In MXNet the counters know nothing of a loaded graph, and names collide."""
    with mx.name.NameManager():
        text = ((a + b) + a).tojson()
    with mx.name.NameManager():
        loaded = mx.sym.load_json(text)
        made = loaded + mx.sym.Variable("c")
        names = made.get_internals().list_outputs()
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: mx.sym.exp(mx.sym.Variable("a"), name=3), id="name"),
        pytest.param(lambda: mx.sym.exp(mx.sym.Variable("a"), mx.sym.Variable("b")), id="input"),
        pytest.param(lambda: mx.sym.Variable("a") + 1j, id="complex"),
    ],
)
def test_wrong_calls_are_type_errors(call: Callable[[], Any]) -> None:
    """MXNet stumbles over these somewhere inside, with an error of some class."""
    with pytest.raises(TypeError):
        call()


def test_an_unknown_keyword_is_always_refused(a: Any) -> None:
    """MXNet stores it as an attribute where an operator has no parameters of its own."""
    with pytest.raises(mx.base.MXNetError, match="axes"):
        mx.sym.exp(a, axes=1)


def test_truth_values_are_numbers(a: Any) -> None:
    """MXNet cannot read the scalar that it spells `True`."""
    made = a + True
    assert made.list_attr() == {"scalar": "1"}
    assert made.eval(a=mx.nd.array([2]))[0].asnumpy().tolist() == [3]


def test_errors_of_arrays_have_one_class() -> None:
    """MXNet raises a KeyError for the dtype and an AssertionError for the shape."""
    with pytest.raises(mx.base.MXNetError, match="int16"):
        mx.nd.array([1], dtype="int16")
    with pytest.raises(mx.base.MXNetError):
        mx.nd.concatenate([mx.nd.zeros((1, 2)), mx.nd.zeros((1, 3))])


def test_an_operator_refuses_an_unknown_dtype_like_any_bad_parameter(a: Any) -> None:
    """MXNet raises a TypeError here, and an MXNetError for every other bad parameter."""
    with pytest.raises(mx.base.MXNetError, match="nope"):
        mx.sym.Cast(a, dtype="nope")


def test_asscalar_of_a_matrix_of_one_is_a_number() -> None:
    """MXNet returns an array again."""
    value = mx.nd.array([[3]]).asscalar()
    assert isinstance(value, np.float32)
    assert value == 3


def test_an_undecided_graph_warns_once(a: Any, b: Any) -> None:
    """Like MXNet's warning, but checked here to come once and to name every undecided argument."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert (a + b).infer_shape() == (None, None, None)
    assert len(caught) == 1
    assert all(f"{name}: ()" in str(caught[0].message) for name in "ab")


def test_added_gradients_count_what_is_there_once(a: Any) -> None:
    """MXNet adds the array's content once for every use of a variable: 506 and not 104."""
    gradient = mx.nd.array([100])
    executor = (a * a).bind(mx.cpu(), [mx.nd.array([1])], [gradient], grad_req="add")
    for _ in range(2):
        executor.forward(is_train=True)
        executor.backward(mx.nd.ones((1,)))
    assert gradient.asscalar() == 104


def test_a_dict_without_a_needed_gradient_is_refused_like_a_list(a: Any) -> None:
    """MXNet raises the KeyError of its own look-up."""
    executor = (a * a).bind(mx.cpu(), [mx.nd.array([1])], [mx.nd.zeros((1,))])
    executor.forward(is_train=True)
    with pytest.raises(mx.base.MXNetError, match="gradient of output _mul"):
        executor.backward({})


# ---- operators in Python -------------------------------------------------------------------------


class Recorded(mx.operator.CustomOp):
    """Writes down what it is asked for, and adds to its state."""

    requests: list[list[str]]
    parameters: dict[str, str]

    def forward(self, is_train: Any, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:
        self.assign(out_data[0], req[0], in_data[0])
        aux[0][:] = aux[0] + 1

    def backward(
        self, req: Any, out_grad: Any, in_data: Any, out_data: Any, in_grad: Any, aux: Any
    ) -> None:
        Recorded.requests.append(list(req))
        self.assign(in_grad[0], req[0], out_grad[0])


@pytest.fixture
def recorded() -> Any:
    """An executor of a node in Python, whose first argument's gradient is added to."""

    class RecordedProp(mx.operator.CustomOpProp):
        def __init__(self, **given: str) -> None:
            super().__init__()
            Recorded.parameters = given

        def list_arguments(self) -> list[str]:
            return ["data", "more"]

        def list_auxiliary_states(self) -> list[str]:
            return ["count"]

        def infer_shape(self, in_shape: Any) -> Any:
            return [in_shape[0]] * 2, [in_shape[0]], [(1,)]

        def create_operator(self, ctx: Any, in_shapes: Any, in_dtypes: Any) -> Recorded:
            return Recorded()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mx.operator.register("recorded")(RecordedProp)
    Recorded.requests = []
    loss = mx.sym.Custom(
        mx.sym.Variable("a"), op_type="recorded", size=3, name="r", attr={"__lr_mult__": "2"}
    )
    return loss.simple_bind(mx.cpu(), grad_req={"a": "add", "r_more": "null"}, a=(2,))


def test_an_operator_in_python_always_writes(recorded: Any) -> None:
    """MXNet hands `add` and `null` down to the code; here the graph adds, and drops."""
    recorded.grad_dict["a"][:] = 10
    recorded.forward(is_train=True)
    recorded.backward(mx.nd.ones((2,)))
    assert Recorded.requests == [["write", "write"]]
    assert recorded.grad_dict["a"].asnumpy().tolist() == [11, 11]


def test_an_operator_in_python_keeps_its_states_in_training_alone(recorded: Any) -> None:
    """MXNet's code writes the states themselves, in inference and in backward as well."""
    recorded.forward(is_train=False)
    assert recorded.aux_dict["r_count"].asscalar() == 0
    recorded.forward(is_train=True)
    recorded.backward(mx.nd.ones((2,)))
    assert recorded.aux_dict["r_count"].asscalar() == 1


def test_attributes_of_training_are_no_parameters_of_code(recorded: Any) -> None:
    """MXNet hands `__lr_mult__` to the constructor as well, which then has to take it."""
    assert Recorded.parameters == {"size": "3"}


def test_a_monitor_sees_gradients_of_operators_alone() -> None:
    """MXNet shows sums and copies of gradients as well, such as `sum_grad`, and their inputs."""
    x = mx.sym.Variable("x")
    both = mx.sym.elemwise_add(mx.sym.tanh(x, name="t"), mx.sym.square(x, name="s"), name="a")
    executor = both.simple_bind(mx.cpu(), x=(2,))
    names: list[str] = []
    executor.set_monitor_callback(lambda name, array: names.append(name), monitor_all=True)
    executor.forward(is_train=True)
    names.clear()
    executor.backward(mx.nd.ones((2,)))
    assert sorted(names) == [
        *("a_backward_output0", "a_backward_output1", "s_backward_output", "t_backward_output")
    ]


def test_a_monitor_is_given_a_text_and_an_array() -> None:
    """MXNet's executors give bytes and a pointer; its `Monitor` makes both of them."""
    executor = mx.sym.tanh(mx.sym.Variable("x"), name="t").simple_bind(mx.cpu(), x=(2,))
    given: list[tuple[object, object]] = []
    executor.set_monitor_callback(lambda name, array: given.append((name, array)))
    executor.forward()
    ((name, array),) = given
    assert mx.base.py_str(name) == name == "t_output"
    assert isinstance(array, mx.nd.NDArray)


def test_no_dtype_is_the_default_one() -> None:
    """MXNet hands `dtype=None` to numpy, for which it is float64."""
    x = mx.nd.array([1, 2])
    assert mx.nd.softmax(x, dtype=None).dtype is np.float32
    assert mx.nd.one_hot(x, depth=3, dtype=None).dtype is np.float32
    named = mx.sym.argsort(mx.sym.Variable("x"), dtype=None, name="order")
    assert named.attr_dict() == {}


def test_an_output_that_is_named_twice_has_both_gradients() -> None:
    """MXNet takes the last one's alone: 10."""
    gradient = mx.nd.zeros((1,))
    doubled = mx.sym.Variable("x") * 1
    both = mx.sym.Group([doubled, doubled])
    executor = both.bind(mx.cpu(), {"x": mx.nd.ones((1,))}, args_grad={"x": gradient})
    executor.forward(is_train=True)
    executor.backward([mx.nd.array([1]), mx.nd.array([10])])
    assert gradient.asscalar() == 11


def test_a_dilated_deconvolution_has_gaps() -> None:
    """MXNet fills some places that no element reaches: the last but one here."""
    ones, kernel = mx.nd.ones((1, 1, 2)), mx.nd.ones((1, 1, 2))
    made = mx.nd.Deconvolution(ones, kernel, kernel=(2,), stride=(3,), dilate=(2,), num_filter=1)
    assert made.asnumpy().ravel().tolist() == [1, 0, 1, 1, 0, 1]


def test_signs_are_those_of_scaled_gradients() -> None:
    """MXNet's signsgd_update documents rescale_grad and clip_gradient, and ignores both."""
    weight, gradient = mx.nd.array([1, -1]), mx.nd.array([2, -2])
    changed = mx.nd.signsgd_update(weight, gradient, lr=0.5, rescale_grad=-1)
    assert changed.asnumpy().tolist() == [1.5, -1.5]


def test_lamb_of_16_bits_changes_its_copy() -> None:
    """MXNet's mp_lamb_update_phase2 leaves the weight of 32 bits as it was."""
    weight, exact = mx.nd.array([1, 2], dtype="float16"), mx.nd.array([1, 2])
    norm = mx.nd.ones((1,))
    mx.nd.mp_lamb_update_phase2(weight, mx.nd.ones((2,)), norm, norm, exact, lr=0.25, out=weight)
    assert exact.asnumpy().tolist() == weight.asnumpy().tolist() == [0.75, 1.75]


def test_an_infinite_sum_without_nan_is_infinite() -> None:
    """MXNet's nansum of an infinity and numbers is NaN."""
    assert mx.nd.nansum(mx.nd.array([np.inf, 1, 2])).asscalar() == np.inf
