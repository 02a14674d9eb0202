"""Folders that are never reused, and files that are whole or not there."""

from __future__ import annotations

import json
import threading
from datetime import datetime
from pathlib import Path

import pytest

from mnist_lab.errors import StorageError
from mnist_lab.storage import create_folder, write_atomically, write_json, write_text

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


def test_text_is_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "±7°\n")
    assert (tmp_path / "a.txt").read_bytes() == "±7°\n".encode()


def test_json_has_no_undefined_numbers(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1.5, "name": "ä"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"x": 1.5, "name": "ä"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["x"] == 1.5
