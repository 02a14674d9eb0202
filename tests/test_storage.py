"""Folders that are never reused, and files that are whole or not there."""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from mnist_lab.errors import LockedError, StorageError
from mnist_lab.storage import (
    append_line,
    create_folder,
    is_file,
    is_folder,
    is_locked,
    locked,
    new_folder,
    read_bytes,
    read_text,
    remove_leftovers,
    write_atomically,
    write_json,
    write_text,
)

if sys.platform != "win32":
    import fcntl

NOW = datetime(2026, 11, 22, 14, 30, 5)


def test_a_taken_name_gets_a_suffix(tmp_path: Path) -> None:
    names = [create_folder(tmp_path / "deep" / "outputs", "3-layer-aug", NOW).name for _ in range(3)]
    first = "2026-11-22_14-30-05_3-layer-aug"
    assert names == [first, f"{first}-2", f"{first}-3"]
    assert not set(first) & set('<>:"/\\|?*')


def test_many_at_once_never_share_a_folder(tmp_path: Path) -> None:
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(create_folder(tmp_path, "x", NOW))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "outputs"
    file.write_text("mine", encoding="utf-8")
    for folder in (file, file / "below"):
        with pytest.raises(StorageError, match="a file stands where a folder should be"):
            create_folder(folder, "x", NOW)
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"can't write .*kept.txt: no space left on device; free some space"):
        write_atomically(path, fail)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"mine, without an end")
    for line in ("ä", "two"):
        append_line(path, line)
    kept = "mine, without an end\nä\ntwo\n".encode()
    assert path.read_bytes() == kept

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for target in (path, tmp_path / "new.jsonl"):
        with pytest.raises(StorageError, match="no space left on device; free some space"):
            append_line(target, "three")
    assert path.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [path]


def test_files_are_as_readable_as_the_users_others(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "a")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    if os.name == "posix":
        assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_nothing_could_be_written_into_goes_again(tmp_path: Path) -> None:
    for left in ([], ["a.txt"]):
        with pytest.raises(KeyError), new_folder(tmp_path, "x", NOW) as folder:
            for name in left:
                (folder / name).touch()
            raise KeyError
        assert folder.exists() == bool(left)


def test_text_is_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "±7°\n")
    assert (tmp_path / "a.txt").read_bytes() == "±7°\n".encode()


def test_json_has_no_undefined_numbers(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1.5, "name": "ä"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"x": 1.5, "name": "ä"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["x"] == 1.5


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ä", encoding="utf-8")
    assert read_text(tmp_path / "a.txt") == "ä"
    with pytest.raises(OSError, match="is a folder"):
        read_bytes(tmp_path)
    with pytest.raises(OSError, match="larger than 1 bytes"):
        read_bytes(tmp_path / "a.txt", most=1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_a_named_pipe_or_a_device_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="is not a regular file"):
            read_bytes(path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_name_that_nothing_can_have_is_nothing(tmp_path: Path, name: str) -> None:
    assert not is_file(tmp_path / name)
    assert not is_folder(tmp_path / name)


def test_halves_of_characters_become_question_marks(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"file": "photo\udcff.png"})
    assert json.loads(read_text(tmp_path / "a.json")) == {"file": "photo?.png"}


def test_a_lock_is_held_by_one_and_its_file_stays(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    assert not is_locked(lock)
    with locked(lock):
        assert is_locked(lock)
        with pytest.raises(LockedError, match="locked by another program"), locked(lock, patience=0):
            pass
        assert is_locked(lock)  # the refused one took nothing away
    assert not is_locked(lock)
    assert lock.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no shared locks")
def test_whoever_looks_at_a_lock_is_in_nobodys_way(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    lock.touch()
    with lock.open("rb") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)  # as is_locked does for a moment
        assert not is_locked(lock)  # two who look do not take each other for a holder
        timer = threading.Timer(0.1, fcntl.flock, (looker, fcntl.LOCK_UN))
        timer.start()
        with locked(lock):  # waits for that moment
            assert is_locked(lock)
        timer.join()


def test_what_a_killed_program_left_half_written_is_removed(tmp_path: Path) -> None:
    old, young = tmp_path / ".writing-old.png", tmp_path / ".writing-young.png"
    for path in (old, young, tmp_path / "mine.png"):
        path.touch()
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path, older_than=3600)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".writing-young.png", "mine.png"]
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
