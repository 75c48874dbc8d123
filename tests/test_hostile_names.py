"""Any text is a fine name, and stays one: it never becomes code, a path or a line of its own."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tritonsym as mx

ROOT = Path(__file__).parents[1]
NAMES = {
    "code": 'a"); import os #',
    "call": "__import__('os').system('true')",
    "format": "%s %d {0} {name!r} {{}} $HOME `id`",
    "dunder": "__class__",
    "keyword": "def",
    "none": "None",
    "empty": "",
    "space": " ",
    "newline": "x\nplan: 0 kernels",
    "carriage return": "x\r# y",
    "line separator": "x\u2028y\u2029z\x85",
    "nul": "x\0y",
    "escape": "\x1b[2Jx",
    "right to left": "\u202eeman\u202c",
    "ligature": "ﬁ",
    "its letters": "fi",
    "combining": "e\u0301",
    "emoji": "🙂",
    "quotes": '"\'\\"""',
    "parent": "../../../etc/passwd",
    "absolute": "/etc/passwd",
    "device": "/dev/full",
    "long": "n" * 10**5,
    "an output": "left_output",
    "digits": "9" * 50,
}


def uses(name: str, other: str) -> Any:
    """A graph with variables, an operator and an attribute of this name."""
    left, right = mx.sym.Variable(name), mx.sym.Variable(other, attr={"__note__": name})
    return mx.sym.exp(left * 2, name=name or None) + mx.sym.sum(right, keepdims=True, axis=0)


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_survives(kind: str, tmp_path: Path) -> None:
    """Through texts, files, copies, binding, running and printing."""
    name, other = NAMES[kind], NAMES[kind] + "?"
    symbol = uses(name, other)
    x, y = mx.nd.array([[1, 2]]), mx.nd.array([[3, 4]])
    text = symbol.tojson()
    assert json.loads(text)["nodes"][0]["name"] == name
    symbol.save(str(tmp_path / "graph"))
    mx.nd.save(str(tmp_path / "arrays"), {name: x, other: y})
    arrays = mx.nd.load(str(tmp_path / "arrays"))
    assert sorted(arrays) == sorted([name, other])
    for copied in (
        mx.sym.load_json(text),
        mx.sym.load(str(tmp_path / "graph")),
        pickle.loads(pickle.dumps(symbol)),
        symbol.__copy__(),
    ):
        assert copied.tojson() == text
        assert copied.list_arguments() == [name, other]
        assert copied.attr_dict()[other]["__note__"] == name
        assert copied.infer_shape(**{name: (1, 2), other: (1, 2)})[1] == [(1, 2)]
        executor = copied.bind(mx.cpu(), arrays)
        (result,) = executor.forward(**{name: x, other: y})
        np.testing.assert_allclose(result.asnumpy(), np.exp([[2, 4]]) + y.asnumpy(), rtol=1e-6)
        executor.copy_params_from({name: x})
        for shown in (executor.plan, executor.debug_str(), copied.debug_str(), repr(copied)):
            str(shown).encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrays", "graph"]


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_changes_nothing_but_names(kind: str) -> None:
    """Graphs that differ in names have the same kernels, and their plans as many lines."""

    def plan(name: str) -> Any:
        symbol = uses(name, f"{name}?")
        return symbol.simple_bind(
            mx.cpu(), grad_req="null", **{name: (1, 2), f"{name}?": (3, 2)}
        ).plan

    odd, plain = plan(NAMES[kind]), plan("plain")
    assert odd.kernels == plain.kernels
    assert len(str(odd).splitlines()) == len(str(plain).splitlines())
    assert len(str(odd)) < len(str(plain)) + 2000


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_forges_no_line_of_a_message(kind: str) -> None:
    """What a name spells out stands within the message's one line, and is cut where it is long."""
    name = NAMES[kind]
    symbol = uses(name, f"{name}?")
    x = mx.nd.ones((1, 2))
    executor = symbol.bind(mx.cpu(), {name: x, f"{name}?": x})
    calls: list[Callable[[], Any]] = [
        lambda: symbol.bind(mx.cpu(), {}),
        lambda: symbol.bind(mx.cpu(), {name: x, f"{name}?": 3}),
        lambda: symbol.bind(mx.cpu(), {name: x, f"{name}?": mx.nd.ones((1, 3))}),
        lambda: symbol.bind(mx.cpu(), {name: x, f"{name}?": x.astype("int32")}),
        lambda: symbol.bind(mx.cpu(), {name: x.as_in_context(mx.cpu(1)), f"{name}?": x}),
        lambda: symbol.infer_shape(**{f"{name}!": (2,)}),
        lambda: symbol.infer_shape(**{name: [2]}),
        lambda: symbol.infer_type(**{name: "float32", f"{name}?": "int32"}),
        lambda: symbol(**{f"{name}!": symbol}),
        lambda: symbol[f"{name}!"],
        lambda: executor.forward(**{f"{name}!": x}),
        lambda: executor.forward(**{name: mx.nd.ones((3,))}),
        lambda: executor.copy_params_from({f"{name}!": x}),
        lambda: executor.copy_params_from({name: mx.nd.ones((3,))}),
        lambda: executor.reshape(**{f"{name}!": (2,)}),
        lambda: executor.reshape(**{name: (9, 9), f"{name}?": (9, 9)}),
        lambda: mx.sym.exp(symbol, **{f"{name}!": 1}),
        lambda: mx.sym.sum(symbol, axis=f"{name}!"),
        lambda: mx.sym.load_json(symbol.tojson().replace('"exp"', json.dumps(f"{name}!"))),
        lambda: mx.sym.load_json(symbol.tojson().replace('"exp"', '"sum"', 1) + "}" + name),
    ]
    for call in calls:
        with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
            call()
        message = str(caught.value)
        assert len(message.splitlines()) == 1, message
        assert message.isprintable() or "\u202e" not in message
        assert "\x1b" not in message
        assert len(message) < 2000


WATCHED = """
import os
import sys
import warnings

import tritonsym as mx

names = {names!r}
folder = sys.argv[1]


def use(name, other):
    left, right = mx.sym.Variable(name), mx.sym.Variable(other, attr={{"__note__": name}})
    symbol = mx.sym.exp(left * 2, name=name or None) + right
    path = os.path.join(folder, "graph")
    symbol.save(path)
    symbol = mx.sym.load(path)
    arrays = {{name: mx.nd.ones((2, 3)), other: mx.nd.ones((2, 3))}}
    mx.nd.save(os.path.join(folder, "arrays"), arrays)
    arrays = mx.nd.load(os.path.join(folder, "arrays"))
    executor = symbol.bind(mx.cpu(), arrays)
    executor.forward(**arrays)
    str(executor.plan), executor.debug_str(), symbol.debug_str(), repr(symbol)
    symbol.simple_bind(mx.cpu(), **{{name: (2, 3)}}).forward()
    for bad in (lambda: symbol.bind(mx.cpu(), {{}}), lambda: mx.sym.load_json(name)):
        try:
            bad()
        except (ValueError, mx.base.MXNetError) as error:
            str(error)


use("plain", "other")
events = []
silent = ("object.__getattr__", "sys._getframe", "gc.")


def watch(event, arguments):
    if watching and not event.startswith(silent):
        events.append((event, str(arguments[:2])[:300]))


watching = False
sys.addaudithook(watch)
for name in names:
    watching = True
    use(name, name + "?")
    watching = False
for event, arguments in sorted(set(events)):
    print(event, arguments)
"""


def test_a_name_is_never_run_and_never_opened(tmp_path: Path) -> None:
    """Seen by Python's own audit: no code is made, and only files that were named are opened."""
    names = [name for name in NAMES.values() if len(name) < 1000]
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(names=names), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        event, arguments = line.split(" ", 1)
        assert not event.startswith(
            ("compile", "exec", "import", "subprocess", "os.system", "os.exec", "os.spawn",
             "os.posix_spawn", "socket", "ctypes", "marshal", "pickle", "code.", "shutil"),
        ), line  # fmt: skip
        if event.startswith(("open", "os.", "tempfile")):
            opened_before = arguments[1].isdigit()
            assert str(tmp_path) in arguments or opened_before, line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrays", "graph"]
