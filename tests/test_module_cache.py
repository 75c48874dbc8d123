"""The folder of generated modules: the user's alone, and never believed without a look."""

from __future__ import annotations

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
    module_cache.folder.cache_clear()
    module_cache._load.cache_clear()


def test_the_folder_is_the_users_alone(place: Path) -> None:
    assert module_cache.load(TEXT).answer == 42
    assert module_cache.folder() == place
    assert place.stat().st_mode & 0o777 == 0o700
    assert [path.suffix for path in place.iterdir()] == [".py"]


def test_a_folder_that_others_can_write_to_is_not_used(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)
    assert module_cache.load(TEXT).answer == 42
    assert module_cache.folder() != place
    assert list(place.iterdir()) == []


def test_a_link_is_not_used_as_the_folder(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere")
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
            raise OSError("no space left on device")
        write(path, content)

    monkeypatch.setattr(module_cache, "replace_file", full)
    assert module_cache.load(TEXT).answer == 42


def test_different_texts_are_different_modules(place: Path) -> None:
    assert module_cache.load(TEXT) is module_cache.load(TEXT)
    assert module_cache.load("answer = 43\n").answer == 43
    assert module_cache.load(TEXT).answer == 42
