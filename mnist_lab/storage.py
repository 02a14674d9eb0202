"""Files and folders: read without waiting for ever, written whole or not at all, and locked.

Whatever makes or writes one raises ``StorageError``, in one line, if the disk refuses.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from mnist_lab.errors import LockedError, StorageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

STAMP_FORMAT = "%Y-%m-%d_%H-%M-%S"  # local time, with no character that Windows refuses in a name
LARGEST_FILE = 256 << 20  # bytes; no file that the lab reads whole is nearly that large, unless its caller says so
_TEMPORARY = ".writing-"  # how the names of half-written files begin


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read its bytes: a named pipe would wait for a writer, and a device may never end.

    Raises:
        OSError: the file is missing, may not be read, or is not a regular file.
        ValueError: the name can't be any file's.
    """
    return os.fdopen(_open_regular(path, os.O_RDONLY), "rb")


def _open_regular(path: Path, flags: int) -> int:
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o666)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", str(path))
    raise OSError(errno.EINVAL, "is not a regular file", str(path))


def read_bytes(path: Path, most: int = LARGEST_FILE) -> bytes:
    """The content of a regular file; raises like :func:`open_file`, and ``OSError`` if larger than ``most`` bytes."""
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"is larger than {most:,} bytes", str(path))
        return file.read(most)


def read_text(path: Path, most: int = LARGEST_FILE) -> str:
    """The same as UTF-8 text; anything else raises ``UnicodeDecodeError``, a ``ValueError``."""
    return read_bytes(path, most).decode("utf-8")


def is_file(path: Path) -> bool:
    """Whether a regular file is there; False for names that no file can have, for which pathlib's version raises."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False for names that no folder can have."""
    return os.path.isdir(path)  # noqa: PTH112


def create_folder(outputs: Path, label: str, now: datetime) -> Path:
    """Make a folder ``outputs/<stamp>_<label>``, with ``-2``, ``-3`` ... if that is taken; always a new one."""
    name = f"{now.strftime(STAMP_FORMAT)}_{label}"
    with storage_errors(outputs):
        outputs.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 10_000):
            folder = outputs / (name if attempt == 1 else f"{name}-{attempt}")
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
    raise StorageError(f"no free folder name like {name} in {outputs}", "tidy up the output folder")


@contextmanager
def new_folder(outputs: Path, label: str, now: datetime) -> Iterator[Path]:
    """A new folder to be filled, as :func:`create_folder` makes it; removed again if an error leaves it empty."""
    folder = create_folder(outputs, label, now)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # it is not empty
            folder.rmdir()
        raise


def append_line(path: Path, line: str) -> None:
    """Add a line to a UTF-8 text file, the whole line or nothing; an unterminated last line is ended first."""
    with storage_errors(path), os.fdopen(_open_regular(path, os.O_RDWR | os.O_CREAT), "r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        content = (b"" if file.read(1) in (b"", b"\n") else b"\n") + line.encode() + b"\n"
        try:
            while content:
                content = content[file.write(content) :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(size)
            if size == 0:
                with suppress(OSError):  # Windows does not delete an open file
                    path.unlink()
            raise


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place: a reader finds the old or the new."""
    with storage_errors(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY, suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            umask = os.umask(0o077)  # it can only be read by setting it
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; these are ordinary ones
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; lone surrogates, which file names may hold, become question marks."""
    write_bytes(path, text.encode(errors="replace"))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically. Infinite and undefined numbers are refused: JSON has none."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one clear line."""
    try:
        yield
    except OSError as error:
        raise refusal_of(error, f"write {path}") from error


def reason(error: OSError) -> str:
    """Why the operating system refused, in words."""
    return (error.strerror or str(error)).lower()


def refusal_of(error: OSError, what: str = "") -> StorageError:
    """What the operating system refused, and what to do about it; ``what`` is empty where no refusal was expected."""
    what = what or (f"use {error.filename}" if error.filename else "write the output")
    remedy = "choose another folder with --outputs"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = f"free some space, or {remedy}"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        remedy = "choose a folder that you may write to with --outputs"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        remedy = f"a file stands where a folder should be: move it, or {remedy}"
    return StorageError(f"can't {what}: {reason(error)}", remedy)


def remove_leftovers(folder: Path, older_than: float = 0.0) -> None:
    """Remove what killed programs left half-written in a folder, at least ``older_than`` seconds ago."""
    with suppress(OSError):
        for path in folder.glob(f"{_TEMPORARY}*"):
            with suppress(OSError):  # a file that vanishes meanwhile, or that belongs to somebody else
                if time.time() - path.stat().st_mtime >= older_than:
                    path.unlink()


@contextmanager
def locked(lock_file: Path, patience: float = 1.0) -> Iterator[None]:
    """Hold a lock for this caller alone, until it lets go or its process ends; wait up to ``patience`` seconds for it.

    The default outlasts those who only check whether it is held. The file stays: if it were removed, two programs could
    each hold a lock on a file of that name.

    Raises:
        LockedError: another program holds it.
    """
    lock = FileLock(lock_file, preserve_lock_file=True)  # on Windows, it would be removed otherwise
    with storage_errors(lock_file):
        try:
            lock.acquire(timeout=patience, poll_interval=0.02)
        except Timeout:
            raise LockedError(f"{lock_file} is locked by another program", "wait for it to end") from None
    try:
        yield
    finally:
        lock.release()


def is_locked(lock_file: Path) -> bool:
    """Whether somebody holds a lock. Checking hinders nobody; Windows, without shared locks, takes it for a moment."""
    if not is_file(lock_file):
        return False
    try:
        if fcntl is None:
            with locked(lock_file, patience=0):
                return False
        with open_file(lock_file) as file:  # closing it lets go
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except (BlockingIOError, LockedError):
        return True
    except (OSError, StorageError):
        return False
