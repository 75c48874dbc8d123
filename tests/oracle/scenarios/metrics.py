"""Metrics over two batches, by every way to ask for them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from oracle.scenario import Answer, outcome, outcomes, raised, scenario

TWO = [[0.3, 0.7], [0.8, 0.2], [0.4, 0.6], [0.55, 0.45]]
THREE = [[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]]
# name, arguments, labels, predictions
METRICS: dict[str, tuple[str, dict[str, Any], Any, Any]] = {
    "acc": ("acc", {}, [2, 0, 0, 1], THREE),
    "accuracy": ("accuracy", {}, [2, 0, 0, 1], THREE),
    "accuracy of classes": ("acc", {}, [2, 0, 0, 1], [2, 1, 0, 1]),
    "top_k_accuracy": ("top_k_accuracy", {"top_k": 2}, [1, 0, 0, 1], THREE),
    "top_k_acc": ("top_k_acc", {"top_k": 2}, [2, 1, 2, 1], THREE),
    "f1": ("f1", {}, [1, 0, 0, 1], TWO),
    "f1 micro": ("f1", {"average": "micro"}, [1, 0, 0, 1], TWO),
    "mcc": ("mcc", {}, [1, 0, 0, 1], TWO),
    "mcc micro": ("mcc", {"average": "micro"}, [1, 0, 1, 1], TWO),
    "perplexity": ("perplexity", {"ignore_label": None}, [2, 0, 0, 1], THREE),
    "perplexity ignoring": ("perplexity", {"ignore_label": 0}, [2, 0, 0, 1], THREE),
    "mae": ("mae", {}, [3, 1, 0, 1], [1, 2, 3, 5]),
    "mae of columns": ("mae", {}, [[3], [1], [0], [1]], [1, 2, 3, 5]),
    "mse": ("mse", {}, TWO[::-1], TWO),
    "rmse": ("rmse", {}, TWO[::-1], TWO),
    "ce": ("ce", {}, [2, 0, 0, 1], THREE),
    "nll_loss": ("nll_loss", {"eps": 0.1}, [2, 0, 0, 1], THREE),
    "pearsonr": ("pearsonr", {}, TWO[::-1], TWO),
    "pcc": ("pcc", {}, [2, 0, 1, 1], THREE),
    "pcc of two classes": ("pcc", {}, [1, 0, 1, 1], TWO),
    "loss": ("loss", {}, [0], THREE),
    "torch": ("torch", {}, [0], THREE),
    "caffe": ("caffe", {}, [0], THREE),
}


def measured(mx: ModuleType, name: str, given: dict[str, Any], labels: Any, preds: Any) -> Answer:
    metric = mx.metric.create(name, **given)
    label, pred = mx.nd.array(labels), mx.nd.array(preds)
    answers = [metric.get()]
    metric.update([label], [pred])
    answers.append(metric.get())
    metric.update([label[:2]], [pred[1:3]] if name not in ("loss", "torch", "caffe") else [pred])
    answers += [metric.get(), metric.get_global(), metric.num_inst, metric.sum_metric]
    metric.reset_local()
    answers += [metric.get(), metric.get_global()]
    metric.update([label], [pred])
    answers += [metric.get_name_value(), metric.get_global_name_value(), str(metric)[:11]]
    metric.reset()
    return [*answers, metric.get(), metric.get_global(), metric.get_config()]


@scenario(tolerance=1e-6)
def metrics(mx: ModuleType) -> Answer:
    return {label: measured(mx, *given) for label, given in METRICS.items()}


@scenario(tolerance=1e-6)
def several_metrics(mx: ModuleType) -> Answer:
    metric = mx.metric
    label, pred = mx.nd.array([2, 0, 0, 1]), mx.nd.array(THREE)
    both = metric.CompositeEvalMetric(["acc", metric.CrossEntropy()])
    both.add("loss")
    both.update_dict({"softmax_label": label}, {"output": pred})
    named = metric.Accuracy(output_names=["b"], label_names=["lb"])
    named.update_dict({"la": mx.nd.array([0]), "lb": label}, {"a": mx.nd.array(TWO), "b": pred})
    return {
        "get": both.get(),
        "pairs": both.get_name_value(),
        "global": both.get_global_name_value(),
        "config": both.get_config(),
        "first": str(both.get_metric(0)),
        "from a list": metric.create(["acc", "mse"]).get(),
        "by output and label": named.get(),
        "missing name": raised(lambda: named.update_dict({"la": label}, {"a": pred})),
    }


def right(label: Any, pred: Any) -> tuple[float, int]:
    return float((label == pred.argmax(1)).sum()), len(label)


@scenario(tolerance=1e-6)
def metrics_of_functions(mx: ModuleType) -> Answer:
    metric = mx.metric
    label, pred = mx.nd.array([2, 0, 0, 1]), mx.nd.array(THREE)
    made = {
        "np": metric.np(right),
        "named": metric.np(right, name="mine"),
        "custom": metric.CustomMetric(right),
        "lambda": metric.create(lambda label, pred: 1.5),
    }
    answers = {}
    for key, one in made.items():
        one.update([label], [pred])
        answers[key] = [one.get(), raised(lambda one=one: one.update([label], [pred, pred]))]
    extra = metric.np(right, allow_extra_outputs=True)
    extra.update([label], [pred, pred])
    return {**answers, "extra outputs": extra.get()}


@scenario
def metrics_that_are_refused(mx: ModuleType) -> Answer:
    metric = mx.metric
    label, pred = mx.nd.array([2, 0, 0, 1]), mx.nd.array(THREE)
    ones = mx.nd.ones((2, 2, 2))
    accuracy = metric.Accuracy()
    return {
        "unknown": raised(lambda: metric.create("nope")),
        "number": raised(lambda: metric.create(5)),
        "two outputs": raised(lambda: accuracy.update([label], [pred, pred])),
        "lengths": raised(lambda: accuracy.update([label[:2]], [pred])),
        "three classes": raised(lambda: metric.F1().update([label], [pred])),
        "top 1": raised(lambda: metric.TopKAccuracy(top_k=1)),
        "top 2 of pictures": raised(lambda: metric.TopKAccuracy(top_k=2).update([label], [ones])),
        "shapes": raised(lambda: metric.check_label_shapes(label, pred, shape=True)),
        "same": outcomes({"same": lambda: metric.check_label_shapes([1], [1])}),
        "not wrapped": outcome(lambda: accuracy.update(label, pred)),
        "left as it was": accuracy.get(),
    }
