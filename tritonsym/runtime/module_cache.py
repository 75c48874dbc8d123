"""Generated modules on disk: written under their content's hash, checked, and imported.

The folder belongs to the user alone. Whoever could write into it could run code here, so a folder
that others can write to is not used.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import stat
import tempfile
import threading
from pathlib import Path
from types import ModuleType

from ..foundation.errors import MXNetError
from ..foundation.files import replace_file

_CHANGEABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_loading = threading.Lock()


@functools.cache
def folder() -> Path:
    """`$TRITONSYM_CACHE`, or `tritonsym` in the user's cache; else a private one."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    wanted = Path(os.environ.get("TRITONSYM_CACHE") or os.path.join(base, "tritonsym"))
    try:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_private(wanted) and os.access(wanted, os.W_OK | os.X_OK):
            return wanted
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="tritonsym-"))


def _is_private(path: Path) -> bool:
    """Whether it is a real folder of this user that nobody else can write to."""
    status = os.lstat(path)
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & _CHANGEABLE_BY_OTHERS
    )


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
    except (OSError, MXNetError):
        # A full or broken cache is no reason to fail.
        path = Path(tempfile.mkdtemp(prefix="tritonsym-")) / path.name
        replace_file(path, content)
    spec = importlib.util.spec_from_file_location(f"tritonsym_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    exec(compile(content, str(path), "exec"), module.__dict__)
    return module
