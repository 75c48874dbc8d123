"""Where arrays live and graphs run: the CPU or one GPU."""

from __future__ import annotations

import os
import re
from typing import Any, ClassVar

import torch

from .foundation.errors import MXNetError
from .foundation.scopes import Scopes
from .foundation.text import shown

_NUMBERS = range(-(2**31), 2**31)  # of devices, as files hold them


class Context:
    """A device: ``Context("cpu", 0)``. Equal and hashed by type and number.

    Used with ``with``, it is the default device of the current thread.

    Raises:
        KeyError: no device type.
        TypeError: a number that is no int.
        ValueError: a number that no file could hold.
    """

    devtype2str: ClassVar[dict[int, str]] = {1: "cpu", 2: "gpu", 3: "cpu_pinned", 5: "cpu_shared"}
    devstr2type: ClassVar[dict[str, int]] = {"cpu": 1, "gpu": 2, "cpu_pinned": 3, "cpu_shared": 5}

    __slots__ = ("device_id", "device_typeid")

    def __init__(self, device_type: str | Context, device_id: int = 0) -> None:
        if isinstance(device_type, Context):
            self.device_typeid: int = device_type.device_typeid
            self.device_id: int = device_type.device_id
            return
        if device_type not in self.devstr2type:
            raise KeyError(f"{device_type!r} is no device type; use one of {[*self.devstr2type]}")
        if isinstance(device_id, bool) or not hasattr(device_id, "__index__"):
            raise TypeError(f"the number of a device must be an int, got {shown(device_id)}")
        if int(device_id) not in _NUMBERS:
            raise ValueError(f"no device has the number {shown(device_id)}")
        self.device_typeid = self.devstr2type[device_type]
        self.device_id = int(device_id)

    @property
    def device_type(self) -> str:
        return self.devtype2str[self.device_typeid]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Context)
            and self.device_typeid == other.device_typeid
            and self.device_id == other.device_id
        )

    def __hash__(self) -> int:
        return hash((self.device_typeid, self.device_id))

    def __repr__(self) -> str:
        return f"{self.device_type}({self.device_id})"

    __str__ = __repr__

    def __enter__(self) -> Context:
        _defaults.enter(self)
        return self

    def __exit__(self, *error: object) -> None:
        _defaults.leave()

    @property
    def is_gpu(self) -> bool:
        return self.device_type == "gpu"

    def empty_cache(self) -> None:
        """Give memory that no array uses back to the GPU's driver."""
        if self.is_gpu and torch.cuda.is_available():
            torch.cuda.empty_cache()


_defaults = Scopes(lambda: Context("cpu", 0))


def current_context() -> Context:
    """The default device of this thread: ``cpu(0)`` outside any ``with``."""
    return _defaults.innermost


def set_default_context(context: Context) -> None:
    """Make a device the default one of this thread, or of the ``with`` around the call."""
    _defaults.innermost = as_context(context)


def as_context(given: Any) -> Context:
    """The context that a user gave, or the current one for None.

    Raises:
        TypeError: something else.
    """
    if given is None:
        return current_context()
    if not isinstance(given, Context):
        raise TypeError(f"Context type error: got {shown(given)}, use mx.cpu() or mx.gpu()")
    return given


def context_of_text(text: str) -> Context:
    """The context that an attribute such as ``cpu(0)`` names, or the current one for none.

    Raises:
        MXNetError: no context.
    """
    if text in ("", "None"):
        return current_context()
    found = re.fullmatch(r"(\w+)\((-?[0-9]{1,9})\)", text)
    if found is None or found[1] not in Context.devstr2type:
        raise MXNetError(f"ctx={shown(text)} is no context such as cpu(0)")
    return Context(found[1], int(found[2]))


def cpu(device_id: int = 0) -> Context:
    """The CPU. Numbers only tell contexts apart: every one of them is the same memory."""
    return Context("cpu", device_id)


def gpu(device_id: int = 0) -> Context:
    """The GPU with this number."""
    return Context("gpu", device_id)


def cpu_pinned(device_id: int = 0) -> Context:
    """CPU memory for fast copies to a GPU; the same as :func:`cpu` where there is none."""
    return Context("cpu_pinned", device_id)


def num_gpus() -> int:
    """How many GPUs this process sees."""
    return torch.cuda.device_count()


def gpu_memory_info(device_id: int = 0) -> tuple[int, int]:
    """Free and total bytes of a GPU's memory."""
    torch_device(gpu(device_id))
    return torch.cuda.mem_get_info(device_id)


def is_interpreted() -> bool:
    """Whether GPU contexts stand for Triton's interpreter on CPU memory."""
    return os.environ.get("TRITON_INTERPRET") == "1" and not torch.cuda.is_available()


def context_of(tensor: torch.Tensor) -> Context:
    """Where a tensor is; those of Triton's interpreter are on the CPU."""
    if tensor.device.type != "cuda":
        return Context("cpu", 0)
    return Context("gpu", tensor.device.index or 0)


def torch_device(context: Context) -> torch.device:
    """The torch device of a context.

    Raises:
        MXNetError: a GPU was asked for that is not there; the message says what is missing.
    """
    if not context.is_gpu or is_interpreted():
        return torch.device("cpu")
    if 0 <= context.device_id < num_gpus():
        return torch.device("cuda", context.device_id)
    if torch.version.cuda is None:
        missing = f"this torch ({torch.__version__}) is built without CUDA; install a CUDA build"
    elif num_gpus() == 0:
        missing = "torch sees no CUDA device; check the driver (nvidia-smi) and the environment"
        if os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
            missing += f" (CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r})"
    else:
        missing = f"this machine has {num_gpus()} GPU(s), numbered from 0"
    raise MXNetError(f"context {context} cannot be used: {missing}, or use mx.cpu()")
