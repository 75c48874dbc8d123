"""LeNet reads handwritten digits: ``python -m tritonsym.examples.digits``.

The network is that of LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to
document recognition", 1998, with smaller convolutions, since the images that scikit-learn brings
are no larger than 8 x 8, and with dropout, since there are few of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tritonsym as mx

# The accuracy in training and that of the test after it, by epoch.
Curve = list[tuple[float, float]]


def lenet() -> mx.Symbol:
    """Images of shape (batch, 1, 8, 8) to probabilities of shape (batch, 10)."""
    net = mx.sym.Variable("data")
    for layer, filters in enumerate((20, 50), start=1):
        net = mx.sym.Convolution(
            net, kernel=(3, 3), pad=(1, 1), num_filter=filters, name=f"conv{layer}"
        )
        net = mx.sym.Activation(net, act_type="tanh", name=f"tanh{layer}")
        net = mx.sym.Pooling(
            net, kernel=(2, 2), stride=(2, 2), pool_type="max", name=f"pool{layer}"
        )
    net = mx.sym.FullyConnected(net, num_hidden=128, name="dense1")
    net = mx.sym.Activation(net, act_type="tanh", name="tanh3")
    net = mx.sym.Dropout(net, p=0.5, name="dropout")
    net = mx.sym.FullyConnected(net, num_hidden=10, name="dense2")
    network: mx.Symbol = mx.sym.SoftmaxOutput(net, name="softmax")
    return network


def digits(batch_size: int, seed: int) -> tuple[mx.io.NDArrayIter, mx.io.NDArrayIter]:
    """Four fifths of the images in shuffled batches, and the rest, for the test, as one batch.

    Raises:
        SystemExit: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise SystemExit(
            "the digits come with scikit-learn, which is not installed: "
            "python -m pip install scikit-learn"
        ) from error
    loaded = load_digits()
    images = loaded.images[:, np.newaxis].astype(np.float32) / 16  # the brightest pixels are 16
    train, test, train_labels, test_labels = train_test_split(
        images, loaded.target, test_size=0.2, stratify=loaded.target, random_state=seed
    )
    return (
        mx.io.NDArrayIter(train, train_labels, batch_size, shuffle=True),
        mx.io.NDArrayIter(test, test_labels, len(test)),
    )


def train(
    module: mx.mod.Module, batches: mx.io.NDArrayIter, test: mx.io.NDArrayIter, epochs: int
) -> Curve:
    """Train the module, show how it goes, and give the learning curve."""
    curve: Curve = []
    trained, tested = mx.metric.Accuracy(), mx.metric.Accuracy()

    def show(param: Any) -> None:
        curve.append((trained.get()[1], tested.get()[1]))
        print("epoch {:3}: training {:.4f}, test {:.4f}".format(len(curve), *curve[-1]))

    steps = -(-batches.num_data // batches.batch_size)
    bar = mx.callback.ProgressBar(steps, length=40)
    rate = mx.lr_scheduler.CosineScheduler(max_update=epochs * steps, base_lr=0.05)
    module.fit(
        batches,
        eval_data=test,
        eval_metric=trained,
        validation_metric=tested,
        batch_end_callback=bar if sys.stderr.isatty() else None,
        eval_end_callback=show,
        initializer=mx.init.Xavier(),
        optimizer="sgd",
        optimizer_params={"learning_rate": 0.05, "momentum": 0.9, "lr_scheduler": rate},
        num_epoch=epochs,
    )
    return curve


def draw(curve: Curve, path: Path) -> None:
    """A picture of the learning curve.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel="wrong, of 100", ylim=(0, 10))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for part, accuracies in zip(("training", "test"), zip(*curve, strict=True), strict=True):
        wrong = [100 * (1 - accuracy) for accuracy in accuracies]
        axes.plot(range(1, len(curve) + 1), wrong, marker="o", label=part)
    axes.legend()
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, save, load again, and give the accuracy of what was loaded."""
    parser = argparse.ArgumentParser(prog="digits", description="LeNet reads handwritten digits.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--gpu", action="store_true", help="train on the first GPU")
    parser.add_argument("--output", type=Path, default=Path("output/digits"), metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    context = mx.gpu(0) if options.gpu else mx.cpu()
    np.random.seed(options.seed)  # shuffles
    mx.random.seed(options.seed)  # first weights

    batches, test = digits(options.batch_size, options.seed)
    print(f"{batches.num_data} digits to train with, {test.num_data} for the test, on {context}")
    module = mx.mod.Module(lenet(), context=context)
    began = time.perf_counter()
    curve = train(module, batches, test, options.epochs)
    print(f"trained in {time.perf_counter() - began:.1f} s")

    options.output.mkdir(parents=True, exist_ok=True)
    module.save_checkpoint(options.output / "lenet", options.epochs)
    loaded = mx.mod.Module.load(options.output / "lenet", options.epochs, context=context)
    loaded.bind(test.provide_data, test.provide_label, for_training=False)
    ((_, accuracy),) = loaded.score(test, "acc")
    print(f"saved to {options.output}; loaded again, it reads {accuracy:.2%} of the test")
    try:
        draw(curve, options.output / "learning_curve.png")
    except ImportError:
        print("no picture of the learning curve, since matplotlib is not installed")
    return accuracy


if __name__ == "__main__":
    main()
