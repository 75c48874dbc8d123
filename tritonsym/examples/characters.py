"""A recurrent network writes like Python's manual: ``python -m tritonsym.examples.characters``.

The text is what Python's ``help()`` says about the language, so every Python has it. The network
(Hochreiter and Schmidhuber, "Long short-term memory", 1997) reads lines of it and guesses each
next character. There is one network per length of a line; all of them have the same parameters.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np

import tritonsym as mx

Lines = list[list[int]]
Network = tuple[mx.Symbol, list[str], list[str]]

# Lines of so many characters, with the ends, are trained together.
LENGTHS = (34, 50, 66, 82)
PADDING = 0  # the number that no character has
END = "\n"  # stands before and after a line


def text() -> list[str]:
    """Every line of the manual once; headings and the like are left out."""
    lines = (line.strip() for topic in topics.values() for line in topic.splitlines())
    return [f"{END}{line}{END}" for line in dict.fromkeys(lines) if len(line) >= 20]


def unigram_perplexity(lines: Lines, test: Lines, characters: int) -> float:
    """The perplexity of guessing by how often a character comes, whatever stands before it."""
    counts = Counter(character for line in lines for character in line[1:])
    # One more than counted (Laplace), so that a character of the test alone is not impossible.
    guessed = np.array([counts[number] + 1 for number in range(characters)], float)
    guessed /= guessed.sum()
    wanted = [character for line in test for character in line[1:]]
    return float(np.exp(-np.log(guessed[wanted]).mean()))


@dataclass(frozen=True)
class LanguageModel:
    """Symbols of a network that guesses the next character.

    Attributes:
        characters: how many there are, with the padding.
        hidden: units of the recurrent layer.
    """

    characters: int
    hidden: int

    def training(self, length: int) -> Network:
        """The network for lines of so many characters, with the names of its inputs."""
        outputs, _ = self._cell().unroll(length, self._embedded(), merge_outputs=True)
        label = mx.sym.reshape(mx.sym.Variable("softmax_label"), shape=(-1,))
        network = mx.sym.SoftmaxOutput(
            self._scores(mx.sym.reshape(outputs, shape=(-1, self.hidden))),
            label,
            use_ignore=True,
            ignore_label=PADDING,
            name="softmax",
        )
        return network, ["data"], ["softmax_label"]

    def step(self) -> tuple[mx.Symbol, list[str]]:
        """One character to the probabilities of the next and new states; the states' names."""
        cell = self._cell()
        states = cell.begin_state(func=mx.sym.Variable)
        embedded = mx.sym.reshape(self._embedded(), shape=(-1, self.hidden))
        output, after = cell(embedded, states)
        probabilities = mx.sym.softmax(self._scores(output))
        return mx.sym.Group([probabilities, *after]), [state.name for state in states]

    def _cell(self) -> mx.rnn.LSTMCell:
        return mx.rnn.LSTMCell(self.hidden, prefix="lstm_")

    def _embedded(self) -> mx.Symbol:
        data = mx.sym.Variable("data")
        embedded: mx.Symbol = mx.sym.Embedding(
            data, input_dim=self.characters, output_dim=self.hidden, name="embedding"
        )
        return embedded

    def _scores(self, outputs: mx.Symbol) -> mx.Symbol:
        scores: mx.Symbol = mx.sym.FullyConnected(
            outputs, num_hidden=self.characters, name="scores"
        )
        return scores


def train(
    module: mx.mod.BucketingModule,
    batches: mx.rnn.BucketSentenceIter,
    test: mx.rnn.BucketSentenceIter,
    epochs: int,
) -> float:
    """Train the module, show how it goes, and give the perplexity of the test."""
    trained, tested = mx.metric.Perplexity(PADDING), mx.metric.Perplexity(PADDING)

    def show(param: Any) -> None:
        after, before = tested.get()[1], trained.get()[1]
        print(f"epoch {param.epoch + 1:3}: perplexity {before:6.2f}, of the test {after:6.2f}")

    bar = mx.callback.ProgressBar(len(batches.idx), length=40)
    module.fit(
        batches,
        eval_data=test,
        eval_metric=trained,
        validation_metric=tested,
        batch_end_callback=bar if sys.stderr.isatty() else None,
        eval_end_callback=show,
        initializer=mx.init.Xavier(),
        optimizer="adam",
        optimizer_params={"learning_rate": 0.005},
        num_epoch=epochs,
    )
    return float(tested.get()[1])


def sample(
    model: LanguageModel,
    parameters: dict[str, mx.NDArray],
    numbers: dict[str, int],
    context: mx.Context,
    longest: int = LENGTHS[-1],
) -> str:
    """A line that the model writes: each character is drawn with its probability."""
    symbol, states = model.step()
    shapes: dict[str, Any] = {name: (1, model.hidden) for name in states}
    executor = symbol.simple_bind(context, grad_req="null", data=(1, 1), **shapes)
    executor.copy_params_from(parameters)
    characters = {number: character for character, number in numbers.items()}
    written, values = END, [mx.nd.zeros((1, model.hidden), context) for _ in states]
    while len(written) < longest:
        given: dict[str, Any] = dict(zip(states, values, strict=True))
        given["data"] = mx.nd.array([[numbers[written[-1]]]], context)
        probabilities, *values = executor.forward(**given)
        weights = probabilities.asnumpy()[0]
        weights[PADDING] = 0
        drawn = characters[random.choices(range(len(weights)), weights)[0]]
        if drawn == END:
            break
        written += drawn
    return written.strip(END)


def main(arguments: Sequence[str] | None = None) -> tuple[float, float]:
    """Train and write a line; gives the perplexities of the test: the unigrams', the network's."""
    parser = argparse.ArgumentParser(
        prog="characters", description="A recurrent network writes like Python's manual."
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=128, help="units of the recurrent layer")
    parser.add_argument("--lines", type=int, help="use so many lines of the text only")
    parser.add_argument("--gpu", action="store_true", help="train on the first GPU")
    parser.add_argument("--output", type=Path, default=Path("output/characters"), metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    context = mx.gpu(0) if options.gpu else mx.cpu()
    random.seed(options.seed)  # the order of batches, and what is drawn
    np.random.seed(options.seed)  # the order of lines
    mx.random.seed(options.seed)  # first weights

    lines, numbers = mx.rnn.encode_sentences(
        text(), invalid_label=PADDING, invalid_key="", start_label=PADDING + 1
    )
    random.shuffle(lines)
    lines = lines[: options.lines]
    test, lines = lines[: len(lines) // 10], lines[len(lines) // 10 :]
    batches, tests = (
        mx.rnn.BucketSentenceIter(part, options.batch_size, LENGTHS, invalid_label=PADDING)
        for part in (lines, test)
    )
    print(f"{len(lines)} lines to train with, {len(test)} for the test, on {context}")
    unigrams = unigram_perplexity(lines, test, len(numbers))
    print(f"guessing by how often a character comes: perplexity {unigrams:.2f}")

    model = LanguageModel(len(numbers), options.hidden)
    module = mx.mod.BucketingModule(model.training, batches.default_bucket_key, context=context)
    began = time.perf_counter()
    perplexity = train(module, batches, tests, options.epochs)
    print(f"trained in {time.perf_counter() - began:.1f} s")

    options.output.mkdir(parents=True, exist_ok=True)
    module.save_checkpoint(options.output / "manual", options.epochs)
    parameters, _ = mx.model.load_params(options.output / "manual", options.epochs)
    print(f"saved to {options.output}; loaded again, it writes:")
    print(sample(model, parameters, numbers, context))
    return unigrams, perplexity


if __name__ == "__main__":
    main()
