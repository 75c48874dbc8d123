"""The example programs, with less work than they do by default: they learn, save and load."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import tritonsym as mx
from tritonsym.examples import characters, digits


def test_lenet_reads_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn, which brings the digits, is missing")
    accuracy = digits.main(["--epochs", "5", "--output", str(tmp_path / "new" / "folder")])
    assert accuracy >= 0.9
    printed = capsys.readouterr().out
    tested = re.findall(r"epoch +\d+: training [\d.]+, test ([\d.]+)", printed)
    assert len(tested) == 5
    # What was saved and loaded again is what was trained.
    assert tested[-1] == f"{accuracy:.4f}"
    found = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert found >= {"lenet-symbol.json", "lenet-0005.params"}


def test_the_learning_curve_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is missing")
    digits.draw([(0.5, 0.4), (0.9, 0.8), (1.0, 1.0)], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_digits_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SystemExit, match="pip install scikit-learn"):
        digits.main(["--output", str(tmp_path / "folder")])
    assert not (tmp_path / "folder").exists()


def test_lenet_is_the_same_on_both_contexts(context: mx.Context) -> None:
    """Its probabilities sum to one, and those of the CPU are those of the context."""
    shapes = {"data": (2, 1, 8, 8)}
    results = []
    for where in (mx.cpu(), context):
        mx.random.seed(0)
        module = mx.mod.Module(digits.lenet(), context=where)
        module.bind(list(shapes.items()), for_training=False)
        module.init_params(mx.init.Xavier())
        batch = mx.io.DataBatch([mx.nd.ones(shapes["data"], where)])
        module.forward(batch, is_train=False)
        results.append(module.get_outputs()[0].asnumpy())
    assert results[0].sum(1) == pytest.approx([1, 1], rel=1e-6)
    # float32 is summed in another order
    assert results[1] == pytest.approx(results[0], rel=1e-4)


def test_characters_are_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unigrams, perplexity = characters.main(
        ["--epochs", "2", "--lines", "1800", "--hidden", "64", "--output", str(tmp_path)]
    )
    printed = capsys.readouterr().out.splitlines()
    # The text has some hundred characters, and no language is that even.
    assert 10 < unigrams < 60
    assert perplexity < 0.8 * unigrams
    by_epoch = [float(line.split()[-1]) for line in printed if line.startswith("epoch")]
    assert len(by_epoch) == 2
    assert by_epoch[1] < by_epoch[0]
    assert by_epoch[1] == pytest.approx(perplexity, abs=0.005)
    assert printed[-1].isprintable()
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written[0] == "manual-0002.params"
    assert written[-1] == "manual.buckets"
    # A network for each length of a line.
    networks = written[1:-1]
    assert networks and all(re.fullmatch(r"manual-\d+-symbol\.json", name) for name in networks)


def test_a_unigram_perplexity_by_hand() -> None:
    """Of 1 and 2, counted thrice and once, one more each, padding too: 4/7 and 2/7."""
    perplexity = characters.unigram_perplexity([[0, 1, 1], [0, 1, 2]], [[0, 1, 2]], 3)
    assert perplexity == pytest.approx((4 / 7 * 2 / 7) ** -0.5, rel=1e-12)


def test_a_step_is_what_the_unrolled_network_does() -> None:
    """Guesses one by one, with states handed on, are those for the whole line."""
    model = characters.LanguageModel(characters=7, hidden=5)
    symbol, _, _ = model.training(6)
    whole = symbol.simple_bind(mx.cpu(), grad_req="null", data=(1, 6), softmax_label=(1, 6))
    mx.random.seed(3)
    parameters = {}
    for name, array in whole.arg_dict.items():
        if name not in ("data", "softmax_label"):
            array[:] = mx.random.normal(0, 0.5, array.shape)
            parameters[name] = array
    line = [1, 4, 2, 6, 6, 3]
    wanted = whole.forward(data=mx.nd.array([line]))[0].asnumpy()
    step, states = model.step()
    shapes = dict.fromkeys(states, (1, 5))
    executor = step.simple_bind(mx.cpu(), grad_req="null", data=(1, 1), **shapes)
    executor.copy_params_from(parameters)
    values = [mx.nd.zeros((1, 5)) for _ in states]
    for place, character in enumerate(line):
        given = dict(zip(states, values, strict=True))
        found, *values = executor.forward(data=mx.nd.array([[character]]), **given)
        assert found.asnumpy()[0] == pytest.approx(wanted[place], rel=1e-4, abs=1e-6)
