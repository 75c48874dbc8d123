"""The document that the project was born from, line by line: what a reader types and sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tritonsym as mx

ROOT = Path(__file__).resolve().parents[1]

SYMBOLS = """
>>> a = mx.symbol.Variable('A')
>>> b = mx.symbol.Variable('B')
>>> c = mx.symbol.Variable('C')
>>> d = mx.symbol.Variable('D')
>>> e = (a*b)+(c*d)
>>> (a,b,c,d)
(<Symbol A>, <Symbol B>, <Symbol C>, <Symbol D>)
>>> e
<Symbol _plus1>
>>> type(e)
<class 'tritonsym.symbol.Symbol'>
>>> e.list_arguments()
['A', 'B', 'C', 'D']
>>> e.list_outputs()
['_plus1_output']
>>> e.get_internals().list_outputs()
['A', 'B', '_mul0_output', 'C', 'D', '_mul1_output', '_plus1_output']
"""

INTEGERS = """
>>> import numpy as np
>>> a_data = mx.nd.array([1], dtype=np.int32)
>>> b_data = mx.nd.array([2], dtype=np.int32)
>>> c_data = mx.nd.array([3], dtype=np.int32)
>>> d_data = mx.nd.array([4], dtype=np.int32)
>>> executor=e.bind(mx.cpu(), {'A':a_data, 'B':b_data, 'C':c_data, 'D':d_data})
>>> executor
<tritonsym.executor.Executor object at 0x...>
>>> e_data = executor.forward()
>>> e_data
[<NDArray 1 @cpu(0)>]
>>> e_data[0]
<NDArray 1 @cpu(0)>
>>> e_data[0].asnumpy()
array([14], dtype=int32)
"""

MATRICES = """
>>> a_data = mx.nd.uniform(low=0, high=1, shape=(1000,1000))
>>> b_data = mx.nd.uniform(low=0, high=1, shape=(1000,1000))
>>> c_data = mx.nd.uniform(low=0, high=1, shape=(1000,1000))
>>> d_data = mx.nd.uniform(low=0, high=1, shape=(1000,1000))
>>> executor=e.bind(mx.cpu(), {'A':a_data, 'B':b_data, 'C':c_data, 'D':d_data})
>>> e_data = executor.forward()
>>> e_data
[<NDArray 1000x1000 @cpu(0)>]
>>> e_data[0]
<NDArray 1000x1000 @cpu(0)>
>>> e_data[0].asnumpy()
array([[...],
       [...],
       ...,
       [...]]..., dtype=float32)
"""

NUMBERS = """
>>> a, b, c, d = (one.asnumpy() for one in (a_data, b_data, c_data, d_data))
>>> all(one.dtype == np.float32 and 0 <= one.min() and one.max() < 1 for one in (a, b, c, d))
True
>>> len({one.tobytes() for one in (a, b, c, d)})
4
>>> e_data[0].asnumpy().dtype
dtype('float32')
>>> bool((e_data[0].asnumpy() == a*b + c*d).all())
True
"""

PRINTED = """
>>> print(mx.nd.array([14], dtype=np.int32))
<BLANKLINE>
[14]
<NDArray 1 @cpu(0)>
>>> print(mx.nd.array([[1, 2], [3, 4]]))
<BLANKLINE>
[[1. 2.]
 [3. 4.]]
<NDArray 2x2 @cpu(0)>
>>> [mx.nd.array([[1, 2], [3, 4]])]
[<NDArray 2x2 @cpu(0)>]
"""

IMPORT = ">>> import tritonsym as mx\n"
ONE_PLUS_BEFORE = ">>> earlier = mx.symbol.Variable('X') + mx.symbol.Variable('Y')\n"


def check(transcript: str, folder: Path) -> None:
    """Type a transcript into a fresh process and compare what it prints as text."""
    path = folder / "transcript.txt"
    path.write_text(transcript, encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, "-m", "doctest", "-o", "ELLIPSIS", str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_whole_document(tmp_path: Path) -> None:
    check(IMPORT + ONE_PLUS_BEFORE + SYMBOLS + INTEGERS + MATRICES + NUMBERS, tmp_path)


def test_a_fresh_process_counts_from_zero(tmp_path: Path) -> None:
    check(IMPORT + SYMBOLS.replace("_plus1", "_plus0") + INTEGERS, tmp_path)


def test_repr_is_one_line_and_print_shows_values(tmp_path: Path) -> None:
    check(IMPORT + ">>> import numpy as np\n" + PRINTED, tmp_path)


@pytest.mark.parametrize("shape", [(1,), (3, 2), (2, 3, 4)])
def test_repr_names_shape_and_context(shape: tuple[int, ...]) -> None:
    extent = "x".join(str(one) for one in shape)
    assert repr(mx.nd.zeros(shape)) == f"<NDArray {extent} @cpu(0)>"
    assert repr(mx.nd.zeros(shape, ctx=mx.cpu(1))) == f"<NDArray {extent} @cpu(1)>"
