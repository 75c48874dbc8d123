"""Files written as a whole or not at all, and read with errors that say what is wrong."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from .errors import MXNetError
from .text import shown


def replace_file(path: str | Path, content: bytes) -> None:
    """Write a file as a whole: it is never seen half written, and a failure leaves the old one.

    A link stays, and what it names is written. What is no regular file, such as a pipe or a
    terminal, is written in place.

    Raises:
        MXNetError: it cannot be written.
    """
    try:
        target = Path(path)
        if target.exists() and not target.is_file():
            target.write_bytes(content)
        else:
            _replace(Path(os.path.realpath(target)), content)
    except (OSError, ValueError) as error:
        raise MXNetError(f"cannot write {shown(str(path))}: {_reason(error)}") from None


def _replace(target: Path, content: bytes) -> None:
    descriptor, temporary = _new_file(target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        if target.exists():
            os.chmod(temporary, target.stat().st_mode & 0o777)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _new_file(folder: Path) -> tuple[int, Path]:
    """A file of a name that no other has, which everybody may use who may use new files."""
    while True:
        path = folder / f".tritonsym-{secrets.token_hex(8)}"
        with contextlib.suppress(FileExistsError):
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), path


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def read_file(path: str | Path) -> bytes:
    """A file's content.

    Raises:
        MXNetError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise MXNetError(f"cannot read {shown(str(path))}: {_reason(error)}") from None
