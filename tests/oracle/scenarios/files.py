"""NDArrays in files: what `save` writes, byte for byte, and what `load` refuses."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, array, plain, raised, scenario


def saved(mx: ModuleType, data: Any) -> bytes:
    """The bytes that `save` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.params"
        mx.nd.save(str(path), data)
        return path.read_bytes()


def loaded(mx: ModuleType, content: bytes) -> Any:
    """What `load` makes of some bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.params"
        path.write_bytes(content)
        return mx.nd.load(str(path))


def words(content: bytes) -> list[str]:
    """Bytes in groups of four, to be readable."""
    return [content[start : start + 4].hex() for start in range(0, len(content), 4)]


@scenario
def bytes_of_a_dict(mx: ModuleType) -> Answer:
    return words(saved(mx, {"arg:w": mx.nd.array([[1, 2, 3]]), "aux:m": mx.nd.array([5])}))


@scenario
def bytes_of_a_list(mx: ModuleType) -> Answer:
    return words(saved(mx, [mx.nd.array([1, 2]), mx.nd.array([[3]])]))


@scenario
def bytes_of_one_array(mx: ModuleType) -> Answer:
    return words(saved(mx, mx.nd.array([1, 2])))


@scenario
def bytes_of_nothing(mx: ModuleType) -> Answer:
    return {"dict": words(saved(mx, {})), "list": words(saved(mx, []))}


@scenario
def bytes_of_every_dtype(mx: ModuleType) -> Answer:
    dtypes = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")
    return {one: words(saved(mx, [mx.nd.array([1, 0, 1], dtype=one)])) for one in dtypes}


@scenario
def bytes_of_parts(mx: ModuleType) -> Answer:
    x = mx.nd.arange(6).reshape((2, 3))
    return {
        "row": words(saved(mx, [x[1]])),
        "column": words(saved(mx, [x[:, 1]])),
        "transposed": words(saved(mx, [x.T])),
    }


@scenario
def bytes_of_names(mx: ModuleType) -> Answer:
    x = mx.nd.array([1])
    return words(saved(mx, {"": x, "caf\u00e9": x, "a b": x}))


@scenario
def order_of_a_dict(mx: ModuleType) -> Answer:
    one = mx.nd.array([1])
    return list(loaded(mx, saved(mx, {"z": one, "a": one, "m": one})))


@scenario
def there_and_back(mx: ModuleType) -> Answer:
    named = loaded(mx, saved(mx, {"w": mx.nd.array([[1, 2]]), "b": mx.nd.array([3], dtype="int8")}))
    listed = loaded(mx, saved(mx, [mx.nd.array([1.5]), mx.nd.array([[True]], dtype="bool")]))
    single = loaded(mx, saved(mx, mx.nd.array([4])))
    return {
        "dict": plain(named),
        "list": plain(listed),
        "single": plain(single),
        "nothing": [plain(loaded(mx, saved(mx, {}))), plain(loaded(mx, saved(mx, [])))],
    }


@scenario
def special_values(mx: ModuleType) -> Answer:
    values = [float("nan"), float("inf"), -float("inf"), -0.0, 1e-45, 3.4e38]
    back = loaded(mx, saved(mx, [mx.nd.array(values)]))[0]
    return [words(back.asnumpy().tobytes()), array(back)]


@scenario
def context_of_loaded_arrays(mx: ModuleType) -> Answer:
    back = loaded(mx, saved(mx, [mx.nd.zeros((1,), ctx=mx.cpu(0))]))
    return str(back[0].context)


@scenario
def loading_from_a_buffer(mx: ModuleType) -> Answer:
    content = saved(mx, {"w": mx.nd.array([1, 2])})
    return plain(mx.nd.load_frombuffer(content))


def _list_of(record: bytes, name: bytes = b"w") -> bytes:
    return struct.pack("<QQQ", 0x112, 0, 1) + record + struct.pack("<QQ", 1, len(name)) + name


@scenario
def arrays_of_old_versions(mx: ModuleType) -> Answer:
    rest = struct.pack("<iii", 1, 0, 0) + np.array([1, 2, 3], dtype="<f4").tobytes()
    return {
        "with shape of 64 bits": plain(
            loaded(mx, _list_of(struct.pack("<IIqq", 0xF993FAC8, 2, 1, 3) + rest))
        ),
        "without a magic number": plain(loaded(mx, _list_of(struct.pack("<III", 2, 1, 3) + rest))),
    }


@scenario
def what_save_refuses(mx: ModuleType) -> Answer:
    x = mx.nd.array([1])
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "x.params")
        return {
            "number in a list": raised(lambda: mx.nd.save(path, [1])),
            "number in a dict": raised(lambda: mx.nd.save(path, {"a": 1})),
            "number as a key": raised(lambda: mx.nd.save(path, {1: x})),
            "text": raised(lambda: mx.nd.save(path, "x")),
            "numpy": raised(lambda: mx.nd.save(path, np.ones(2))),
            "tuple": raised(lambda: mx.nd.save(path, (x,))),
            "none": raised(lambda: mx.nd.save(path, None)),
            "no folder": raised(lambda: mx.nd.save(str(Path(folder) / "none" / "x"), [x])),
        }


@scenario
def what_load_refuses(mx: ModuleType) -> Answer:
    good = saved(mx, {"w": mx.nd.array([1, 2])})
    record = struct.pack("<IiI", 0xF993FAC9, 0, 1)
    rest = struct.pack("<iii", 1, 0, 0)
    contents = {
        "cut in the names": good[:-1],
        "cut in the data": good[:60],
        "cut in the head": good[:10],
        "empty": b"",
        "wrong magic": b"\0" * 8 + good[8:],
        "unknown dtype": _list_of(
            record + struct.pack("<q", 1) + struct.pack("<iii", 1, 0, 99) + b"\0" * 4
        ),
        "negative dimension": _list_of(record + struct.pack("<q", -5) + rest + b"\0" * 4),
        "number of arrays too large": struct.pack("<QQQ", 0x112, 0, 1000) + good[24:],
        "more names than arrays": good[:-17]
        + struct.pack("<Q", 2)
        + struct.pack("<Q", 1)
        + b"w"
        + struct.pack("<Q", 1)
        + b"v",
    }
    answers = {label: raised(lambda one=one: loaded(mx, one)) for label, one in contents.items()}
    answers["no file"] = raised(lambda: mx.nd.load("/nowhere/at/all.params"))
    answers["number for a name"] = raised(lambda: mx.nd.load(1))
    return answers
