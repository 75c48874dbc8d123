"""What modules say about names of data and labels, and how they show what they have."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tritonsym as mx

DATA = np.random.default_rng(0).standard_normal((8, 5))


def network(name: str = "sm") -> mx.Symbol:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    return mx.sym.SoftmaxOutput(net, name=name)


def batches(**names: str) -> mx.io.NDArrayIter:
    return mx.io.NDArrayIter(DATA, np.arange(8) % 3, 4, **names)


def test_a_module_warns_of_labels_that_the_symbol_has_under_another_name() -> None:
    with pytest.warns(UserWarning, match=r"'softmax_label' is not found.*Did you mean.*sm_label"):
        mx.mod.Module(network())


def test_the_warning_names_the_line_that_made_the_module() -> None:
    with pytest.warns(UserWarning, match="Did you mean") as found:
        mx.mod.Module(network())
    assert found[0].filename == __file__


@pytest.mark.filterwarnings("ignore:You created Module")
def test_a_label_of_another_name_is_refused_with_the_remedy() -> None:
    module = mx.mod.Module(network())
    message = (
        r"label_shapes names softmax_label, the module was made for no labels; the symbol has "
        r"sm_label: make the module with label_names=\['sm_label'\], and name the data's labels "
        r"so, as NDArrayIter\(..., label_name='sm_label'\) does"
    )
    with pytest.raises(ValueError, match=message):
        module.fit(batches(), num_epoch=1)


def test_the_remedy_helps() -> None:
    module = mx.mod.Module(network(), label_names=["sm_label"])
    with pytest.raises(ValueError, match=r"made for sm_label; .*label_name='sm_label'"):
        module.fit(batches(), num_epoch=1)
    module.fit(batches(label_name="sm_label"), num_epoch=1)


def test_labels_of_a_network_without_labels() -> None:
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    module = mx.mod.Module(net)
    with pytest.raises(ValueError, match="no argument that could be one: give data without labels"):
        module.bind([("data", (4, 5))], [("softmax_label", (4,))])


def test_data_of_another_name_is_refused_with_the_remedy() -> None:
    module = mx.mod.Module(network("softmax"))
    with pytest.raises(ValueError, match=r"names image, .*made for data: .*data_names=\['image'\]"):
        module.fit(batches(data_name="image"), num_epoch=1)


def test_parameters_with_names_of_their_own_are_no_labels() -> None:
    """MXNet's candidates are all that is no usual parameter; labels go first."""
    alpha = mx.sym.Variable("alpha")
    net = mx.sym.SoftmaxOutput(mx.sym.Variable("data") * alpha, name="sm")
    with pytest.warns(UserWarning, match=r"one of: sm_label$"):
        mx.mod.Module(net)


def test_there_are_no_label_shapes_without_labels() -> None:
    module = mx.mod.Module(network("softmax"))
    module.bind([("data", (4, 5))], for_training=False)
    assert module.label_shapes is None
    module.bind([("data", (4, 5))], [("softmax_label", (4,))], force_rebind=True)
    assert module.label_shapes == [mx.io.DataDesc("softmax_label", (4,))]
    buckets = mx.mod.BucketingModule(lambda key: (network("softmax"), ["data"], None), 5)
    buckets.bind([("data", (4, 5))], for_training=False)
    assert buckets.label_shapes is None


def test_a_module_without_labels_predicts_for_other_shapes_of_batches() -> None:
    module = mx.mod.Module(network("softmax"))
    module.bind([("data", (4, 5))], for_training=False)
    module.init_params()
    module.forward(mx.io.DataBatch([mx.nd.ones((2, 5))]), is_train=False)
    assert module.get_outputs()[0].shape == (2, 3)
    assert module.label_shapes is None


@pytest.mark.parametrize("kind", ["one", "many"])
def test_outputs_and_gradients_of_each_context(kind: str) -> None:
    module: mx.mod.BaseModule = mx.mod.Module(network("softmax"))
    if kind == "many":
        names = ["data"], ["softmax_label"]
        module = mx.mod.BucketingModule(lambda key: (network("softmax"), *names), 5)
    source = batches()
    module.bind(source.provide_data, source.provide_label, inputs_need_grad=True)
    module.init_params()
    module.forward_backward(next(source))
    for get in (module.get_outputs, module.get_input_grads):
        (merged,) = get()
        ((apart,),) = get(merge_multi_context=False)
        assert (merged.asnumpy() == apart.asnumpy()).all()


def test_buckets_from_symbols_and_values() -> None:
    def generate(key: int) -> tuple[mx.Symbol, list[str], list[str]]:
        return network("softmax"), ["data"], ["softmax_label"]

    doubled = network("softmax").get_internals()["fc_output"] * 2
    values = {"fc_weight": mx.nd.ones((3, 5)), "fc_bias": mx.nd.zeros((3,))}
    module = mx.mod.BucketingModule.load_dict({5: doubled}, generate, 5, values, {})
    module.bind([("data", (4, 5))], for_training=False)
    module.forward(
        mx.io.DataBatch(
            [mx.nd.ones((4, 5))], bucket_key=5, provide_data=[("data", (4, 5))], provide_label=[]
        ),
        is_train=False,
    )
    assert (module.get_outputs()[0].asnumpy() == 10).all()
    for missing in ("sym_dict", "arg_params", "aux_params", "sym_gen"):
        given = {"sym_dict": {5: doubled}, "sym_gen": generate, "default_bucket_key": 5}
        given |= {"arg_params": values, "aux_params": {}}
        with pytest.raises(AssertionError, match=missing):
            mx.mod.BucketingModule.load_dict(**{**given, missing: None})


def test_label_names_that_are_there_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mx.mod.Module(network(), label_names=["sm_label"])
        mx.mod.Module(network("softmax"))
