"""Writing to disk so that nothing is ever half there: atomic files, folders that are never reused, clear refusals."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from mnist_lab.errors import StorageError

STAMP_FORMAT = "%Y-%m-%d_%H-%M-%S"
"""Local time to the second, with no character that Windows refuses in a name."""


def create_folder(outputs: Path, label: str, now: datetime) -> Path:
    """Make a new folder ``outputs/<stamp>_<label>``; where that name is taken, ``-2``, ``-3`` ... is appended.

    Making a folder either succeeds for one program alone or fails, so two programs never share one.

    Raises:
        StorageError: the folder can't be made.
    """
    name = f"{now.strftime(STAMP_FORMAT)}_{label}"
    with storage_errors(outputs):
        outputs.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 10_000):
            folder = outputs / (name if attempt == 1 else f"{name}-{attempt}")
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
    raise StorageError(f"no free folder name like {name} in {outputs}", "tidy up the output folder")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place in one step.

    A reader, or a program killed in the middle, finds the old file or the new one, never a piece.

    Raises:
        StorageError: the disk is full, read-only, or otherwise refuses; what was there before stays.
    """
    with storage_errors(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~current_umask())  # mkstemp makes private files; these are ordinary ones
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically, with the same line ends on every system."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically. Infinite and undefined numbers are refused: JSON has none."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one clear line."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"can't write {path}: {reason(error)}", remedy(error)) from error


def reason(error: OSError) -> str:
    """Why the operating system refused, in words."""
    return (error.strerror or str(error)).lower()


def remedy(error: OSError) -> str:
    """What the user can do about a refused write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free some space, or choose another folder with --outputs"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "choose a folder that you may write to with --outputs"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a file stands where a folder should be: move it, or choose another folder with --outputs"
    return "choose another folder with --outputs"


def current_umask() -> int:
    """The process's umask, which can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
