"""The folder of generated modules: the user's alone, and never believed without a look."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tritonsym.runtime import module_cache

TEXT = "answer = 42\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the cache is told to use, which is not there yet."""
    wanted = tmp_path / "cache"
    monkeypatch.setenv("TRITONSYM_CACHE", str(wanted))
    forget()
    yield wanted
    forget()


def forget() -> None:
    for function in (module_cache.folder, module_cache._load, module_cache._instead):
        function.cache_clear()


def test_the_folder_is_the_users_alone(place: Path) -> None:
    assert module_cache.load(TEXT).answer == 42
    assert module_cache.folder() == place
    assert place.stat().st_mode & 0o777 == 0o700
    assert [path.suffix for path in place.iterdir()] == [".py"]


def test_a_folder_that_others_can_write_to_is_not_used(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=f"{place} cannot be used: others can write to it"):
        assert module_cache.load(TEXT).answer == 42
    assert module_cache.folder() != place
    assert list(place.iterdir()) == []


def test_a_link_is_not_used_as_the_folder(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(RuntimeWarning, match="cannot be used: it is no folder, or a link to one"):
        assert module_cache.load(TEXT).answer == 42
    assert module_cache.folder() != place
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("content", [b"answer = 7\n", b"", b"answer = 4"])
def test_a_changed_file_is_written_anew(place: Path, content: bytes) -> None:
    module_cache.load(TEXT)
    (path,) = place.iterdir()
    path.write_bytes(content)
    module_cache._load.cache_clear()
    assert module_cache.load(TEXT).answer == 42
    assert path.read_text() == TEXT


def test_a_link_in_place_of_a_file_is_not_followed(place: Path, tmp_path: Path) -> None:
    module_cache.load(TEXT)
    (path,) = place.iterdir()
    other = tmp_path / "other.py"
    other.write_text("answer = 7\n")
    path.unlink()
    path.symlink_to(other)
    module_cache._load.cache_clear()
    assert module_cache.load(TEXT).answer == 42
    assert other.read_text() == "answer = 7\n" and not path.is_symlink()


def test_a_cache_that_cannot_be_written_is_no_failure(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = module_cache.replace_file

    def full(path: Path, content: bytes) -> None:
        if path.parent == place:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(module_cache, "replace_file", full)
    with pytest.warns(RuntimeWarning, match="No space left on device.*TRITONSYM_CACHE") as told:
        assert module_cache.load(TEXT).answer == 42
        assert module_cache.load("answer = 43\n").answer == 43
    assert len(told) == 1


def test_different_texts_are_different_modules(place: Path) -> None:
    assert module_cache.load(TEXT) is module_cache.load(TEXT)
    assert module_cache.load("answer = 43\n").answer == 43
    assert module_cache.load(TEXT).answer == 42


PROGRAM = """
import os, warnings
from tritonsym.runtime import module_cache
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    folders = {module_cache.folder() for _ in range(3)}
    module_cache.load("answer = 42")
assert len(told) == len(folders) == 1, told
if os.fork() == 0:
    raise SystemExit  # which is not the end of the one that it is a fork of
os.wait()
(folder,) = folders
assert len([*folder.iterdir()]) == 1
print(folder)
"""


def test_a_private_folder_goes_with_its_program(place: Path) -> None:
    place.touch()
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert not Path(finished.stdout.strip()).exists()


def aged(path: Path, hours: int) -> None:
    """As if it had been used for the last time so long ago."""
    then = path.stat().st_mtime - 3600 * hours
    os.utime(path, (then, then))


@pytest.mark.parametrize("limit", ["MOST_FILES", "MOST_BYTES"])
def test_the_least_recently_used_files_go(
    limit: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"answer = {number:02}\n" for number in range(10, 20)]
    for hours, text in enumerate(reversed(texts)):
        aged(Path(str(module_cache.load(text).__file__)), hours)
    module_cache._load.cache_clear()
    module_cache.load(texts[0])  # the oldest one, which is now the last one that was used
    monkeypatch.setattr(module_cache, limit, 8 * (1 if limit == "MOST_FILES" else len(texts[0])))
    (place / "triton").mkdir()
    module_cache.remove_unused(place)
    kept = {path.read_text() for path in place.glob("*.py")}
    assert kept == {texts[0], *texts[5:]}
    assert (place / "triton").is_dir()
    module_cache._load.cache_clear()
    assert [module_cache.load(text).answer for text in texts] == [*range(10, 20)]


def test_files_that_another_process_removes_are_no_failure(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        module_cache.load(f"answer = {number}\n")
    monkeypatch.setattr(module_cache, "MOST_FILES", 0)
    remove = os.unlink

    def removed_before(path: str) -> None:
        remove(path)
        remove(path)

    monkeypatch.setattr(module_cache.os, "unlink", removed_before)
    module_cache.remove_unused(place)
    assert list(place.iterdir()) == []


def test_the_first_new_file_of_a_process_makes_room(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        module_cache.load(f"answer = {number}\n")
    monkeypatch.setattr(module_cache, "MOST_FILES", 3)
    monkeypatch.setattr(module_cache, "_written", itertools.count())
    module_cache.load(TEXT)
    assert len(list(place.iterdir())) == 2


def test_a_functions_text_outlives_its_file(place: Path) -> None:
    text = "import inspect, os\ndef f():\n    return 1\nos.unlink(__file__)\n"
    assert module_cache.load(f"{text}text = inspect.getsource(f)\n").text.endswith("return 1\n")
