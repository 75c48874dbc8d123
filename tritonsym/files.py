"""Files written as a whole or not at all, and read with errors that say what is wrong."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from .errors import MXNetError


def replace_file(path: str | Path, content: bytes) -> None:
    """Write a file as a whole: it is never seen half written, and a failure leaves the old one."""
    target = Path(path)
    try:
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".tritonsym-")
    except OSError as error:
        raise MXNetError(f"cannot write {str(path)!r}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def read_file(path: str | Path) -> bytes:
    """A file's content.

    Raises:
        MXNetError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise MXNetError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except ValueError as error:
        raise MXNetError(f"cannot read {str(path)!r}: {error}") from None
