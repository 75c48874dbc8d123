"""Generated modules on disk: written under their content's hash, checked, and imported.

The folder belongs to the user alone. Whoever could write into it could run code here, so a folder
that others can write to is not used. It holds 20,000 files or 128 MiB beside what Triton compiles:
beyond that the least recently used ones go, until three quarters of it are left.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import importlib.util
import itertools
import linecache
import os
import shutil
import stat
import tempfile
import threading
import warnings
from pathlib import Path
from types import ModuleType

from ..foundation.errors import MXNetError
from ..foundation.files import replace_file

_CHANGEABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_loading = threading.Lock()

MOST_FILES = 20_000
MOST_BYTES = 128 * 2**20
_KEPT = 0.75  # of either, so that not every new file is one too many again
_CHECKED_EVERY = 500  # new files of a process, from its first one on
_written = itertools.count()


@functools.cache
def folder() -> Path:
    """`$TRITONSYM_CACHE`, or `tritonsym` in the user's cache; else a private one."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    wanted = Path(os.environ.get("TRITONSYM_CACHE") or os.path.join(base, "tritonsym"))
    try:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = _refusal(wanted)
    except OSError as error:
        reason = error.strerror
    return wanted if reason is None else _instead(wanted, reason)


def _refusal(path: Path) -> str | None:
    """Why a path is not used: only a real folder of this user is that nobody else can write to."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        return "it is no folder, or a link to one"
    if status.st_uid != os.geteuid():
        return "it is another user's"
    if status.st_mode & _CHANGEABLE_BY_OTHERS:
        return "others can write to it"
    return None if os.access(path, os.W_OK | os.X_OK) else "it cannot be written to"


@functools.cache
def _instead(wanted: Path, reason: str) -> Path:
    """The private folder of this process, and a warning that says why it is used."""
    private = _private_folder()
    warnings.warn(
        f"generated modules are kept in {private} until this program ends, since {wanted} cannot "
        f"be used: {reason}. Every program makes and compiles its kernels again, unless "
        "TRITONSYM_CACHE names a folder of yours with room that nobody else can write to",
        RuntimeWarning,
        stacklevel=2,
    )
    return private


@functools.cache
def _private_folder() -> Path:
    """A folder that is removed when this process ends."""
    path, owner = Path(tempfile.mkdtemp(prefix="tritonsym-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # and not a fork of it, which ends earlier
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(remove)
    return path


def load(text: str) -> ModuleType:
    """The module of this text: imported once, from a file that holds exactly this text."""
    with _loading:  # of two threads the second one waits for the first one's module
        return _load(text)


@functools.cache
def _load(text: str) -> ModuleType:
    content = text.encode()
    name = hashlib.sha256(content).hexdigest()
    path = folder() / f"{name}.py"
    try:
        if path.is_symlink() or not path.is_file() or path.read_bytes() != content:
            path.unlink(missing_ok=True)
            replace_file(path, content)
            if next(_written) % _CHECKED_EVERY == 0:
                remove_unused(path.parent)
        else:
            os.utime(path)
    except (OSError, MXNetError) as error:
        # A full or broken cache is no reason to fail.
        path = _instead(path.parent, getattr(error, "strerror", None) or "it is broken") / path.name
        replace_file(path, content)
    spec = importlib.util.spec_from_file_location(f"tritonsym_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Triton asks for a function's text, and another process may have removed the file by then.
    linecache.cache[str(path)] = (len(content), None, text.splitlines(keepends=True), str(path))
    exec(compile(content, str(path), "exec"), module.__dict__)
    return module


def remove_unused(place: Path) -> None:
    """Remove the least recently used files of a folder, if it holds too many or too large ones.

    Several processes may do so at once: what one of them has removed is gone for the others.

    Raises:
        OSError: the folder cannot be read.
    """
    found = []
    with os.scandir(place) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    used = max(status.st_atime_ns, status.st_mtime_ns)
                    found.append((used, entry.path, status.st_size))
    count, size = len(found), sum(one for *_, one in found)
    if count <= MOST_FILES and size <= MOST_BYTES:
        return
    for _, path, one in sorted(found):
        if count <= _KEPT * MOST_FILES and size <= _KEPT * MOST_BYTES:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        count, size = count - 1, size - one
