"""Iterators over data: the batches that they make, exactly."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from oracle.scenario import Answer, plain, raised, scenario

DATA = np.arange(14, dtype="float64").reshape(7, 2)
LABEL = np.arange(7)


def described(descs: Any) -> Answer:
    return [[one.name, one.shape, np.dtype(one.dtype).name, one.layout] for one in descs]


def epochs(iterator: Any, count: int = 3) -> Answer:
    answers = []
    for _ in range(count):
        answers.append(
            [
                [
                    [one.asnumpy().ravel().tolist() for one in batch.data],
                    [one.asnumpy().ravel().tolist() for one in batch.label],
                    batch.pad,
                ]
                for batch in iterator
            ]
        )
        iterator.reset()
    return answers


@scenario
def batches(mx: ModuleType) -> Answer:
    made = mx.io.NDArrayIter
    answers = {
        handle: epochs(made(DATA, LABEL, 3, last_batch_handle=handle))
        for handle in ("pad", "discard", "roll_over")
    }
    rolled = made(DATA, LABEL, 3, last_batch_handle="roll_over")
    list(rolled)
    rolled.hard_reset()
    one = made(DATA, LABEL, 3)
    return {
        **answers,
        "hard reset": epochs(rolled, 1),
        "more than there is": epochs(made(DATA, LABEL, 20), 2),
        "provided": [described(one.provide_data), described(one.provide_label)],
        "numbers": [one.num_data, one.batch_size, one.num_source],
    }


@scenario
def batches_shuffled(mx: ModuleType) -> Answer:
    np.random.seed(3)
    padded = epochs(mx.io.NDArrayIter(DATA, LABEL, 3, shuffle=True))
    np.random.seed(4)
    discarded = mx.io.NDArrayIter(DATA, LABEL, 2, shuffle=True, last_batch_handle="discard")
    return {"pad": padded, "discard": epochs(discarded, 2)}


@scenario
def batches_of_several_arrays(mx: ModuleType) -> Answer:
    def first(data: Any, label: Any = None, **given: Any) -> Answer:
        iterator = mx.io.NDArrayIter(data, label, 2, **given)
        batch = next(iterator)
        return [
            described(iterator.provide_data),
            described(iterator.provide_label),
            plain(batch.data),
            plain(batch.label),
            str(batch),
        ]

    return {
        "dict": first({"b": DATA, "a": DATA * 2}),
        "list": first([DATA, DATA * 2], [LABEL, LABEL]),
        "integers": first({"a": mx.nd.array(LABEL, dtype="int32")}, {"l": LABEL}),
        "names": first(DATA, LABEL, data_name="x", label_name="y", layout="NC"),
        "empty": raised(lambda: first([], LABEL)),
        "text": raised(lambda: first("x")),
        "text in a dict": raised(lambda: first({"a": "b"})),
    }


@scenario
def descriptions_of_batches(mx: ModuleType) -> Answer:
    desc = mx.io.DataDesc
    one = mx.nd.ones((2,))
    return {
        "text": [
            repr(desc("data", (2, 3))).split("<")[0],
            desc("data", (2, 3)) == ("data", (2, 3)),
        ],
        "axis": [desc.get_batch_axis(layout) for layout in ("TNC", None, "XY", "NT")],
        "list": described(desc.get_list([("a", (1, 2)), ("b", (3,))], None)),
        "dtypes": described(desc.get_list([("a", (1, 2))], [("a", np.float16)])),
        "data": raised(lambda: mx.io.DataBatch(one)),
        "label": raised(lambda: mx.io.DataBatch([one], one)),
    }


@scenario
def iterators_around_iterators(mx: ModuleType) -> Answer:
    made = mx.io.NDArrayIter
    resized = mx.io.ResizeIter(made(DATA, LABEL, 3), 5)
    prefetching = mx.io.PrefetchingIter(
        [made(DATA, LABEL, 3), made(DATA * 2, LABEL, 3)],
        rename_data=[{"data": "d1"}, {"data": "d2"}],
        rename_label=[{"softmax_label": "l1"}, {"softmax_label": "l2"}],
    )
    return {
        "resized": epochs(resized, 2),
        "prefetching": epochs(prefetching, 2),
        "provided": [described(prefetching.provide_data), described(prefetching.provide_label)],
    }


@scenario
def batches_from_files(mx: ModuleType) -> Answer:
    pictures = np.arange(5 * 4 * 3, dtype="uint8").reshape(5, 4, 3) * 4
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        at = {name: str(Path(folder) / name) for name in ("data", "label", "images", "digits")}
        np.savetxt(at["data"], DATA, delimiter=",")
        np.savetxt(at["label"], LABEL, delimiter=",")
        Path(at["images"]).write_bytes(struct.pack(">IIII", 2051, 5, 4, 3) + pictures.tobytes())
        Path(at["digits"]).write_bytes(struct.pack(">II", 2049, 5) + bytes([3, 1, 4, 1, 5]))
        csv = mx.io.CSVIter(
            data_csv=at["data"],
            data_shape=(2,),
            label_csv=at["label"],
            label_shape=(1,),
            batch_size=3,
        )
        answers["csv"] = [
            described(csv.provide_data)[0][:2],
            described(csv.provide_label)[0][:2],
            epochs(csv),
        ]
        unlabelled = mx.io.CSVIter(data_csv=at["data"], data_shape=(2, 1), batch_size=7)
        answers["csv without labels"] = epochs(unlabelled, 1)
        for label, given in {
            "images": {},
            "rows": {"flat": True},
            "part": {"num_parts": 2},
        }.items():
            if "num_parts" in given:
                given["part_index"] = 1
            digits = mx.io.MNISTIter(
                image=at["images"],
                label=at["digits"],
                batch_size=2,
                shuffle=False,
                silent=True,
                **given,
            )
            answers[label] = [described(digits.provide_data)[0][:2], epochs(digits, 2)]
        answers["missing"] = raised(
            lambda: mx.io.MNISTIter(image=folder + "/no", label=at["digits"], batch_size=2)
        )
    return answers
