"""Files of tensors: written whole, and read in bounded memory, without trusting or executing what is in them."""

from __future__ import annotations

import hashlib
import io
import math
import pickletools
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mnist_lab.errors import CheckpointError
from mnist_lab.networks.models import DigitNet
from mnist_lab.storage import read_bytes, reason, write_bytes
from mnist_lab.training.runs import RUN_FILE, STATE_FILE, RunRecord, damaged_run, not_finished, require

# The instructions of a pickle that state its version or refer to something outside it, and what they may name: version
# 2, dictionaries, and tensors of float32 and int64.
_CHECKED = {"PROTO", "GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
_TENSORS = ("torch FloatStorage", "torch LongStorage", "torch._utils _rebuild_tensor_v2")
_KNOWN: set[object] = {2, "collections OrderedDict", *_TENSORS}

PLAIN_BYTES = 64 << 10  # at most, besides tensors: their names and shapes; the archive's own headers, far less each
_REMEDY = "choose another run, or train a new one"


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values (never code or objects), atomically."""
    buffer = io.BytesIO()  # torch reports a full disk as a RuntimeError; plain bytes raise a proper OSError
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


def load_tensors(path: Path, tensor_bytes: int, plain_bytes: int = PLAIN_BYTES) -> dict[str, Any]:
    """Read what :func:`save_tensors` wrote: at most ``tensor_bytes`` of tensors, and ``plain_bytes`` of all else.

    Raises:
        CheckpointError: the file is missing, truncated, too large, or holds anything but tensors and plain values.
    """
    try:
        archive = _checked_archive(read_bytes(path, tensor_bytes + 2 * plain_bytes), plain_bytes)
        with warnings.catch_warnings(action="ignore"):  # torch's warnings about an untrusted file are no help
            content = torch.load(archive, map_location="cpu", weights_only=True)
        if isinstance(content, dict):
            return content
        why = "is refused: it holds no state dict"
    except FileNotFoundError:
        why = "is missing"
    except OSError as error:
        why = f"is refused ({reason(error)})"
    except Exception as error:  # whatever a hostile file makes the reader raise, it is refused
        why = f"is refused: it is not a safe checkpoint ({type(error).__name__})"
    kind = "saved state" if path.name == STATE_FILE else "model file"
    raise CheckpointError(f"the {kind} {path} {why}", _REMEDY)


def _checked_archive(data: bytes, plain_bytes: int) -> io.BytesIO:
    """The checked entries of a torch archive in a new one: torch reads nothing else."""
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(found, "w") as checked:
        entries = archive.infolist()
        require(len({entry.filename for entry in entries}) == len(entries), "two entries with one name")
        require(sum(entry.file_size for entry in entries) <= len(data), "entries that are compressed, or that overlap")
        (pickle,) = (entry for entry in entries if entry.filename.endswith(".pkl"))
        require(pickle.file_size <= plain_bytes, "too large a pickle")
        for instruction, argument, _ in pickletools.genops(archive.read(pickle)):
            require(instruction.name not in _CHECKED or argument in _KNOWN, "something that no checkpoint needs")
        for entry in entries:
            checked.writestr(entry.filename, archive.read(entry))
    found.seek(0)
    return found


def load_weights(run: RunRecord) -> dict[str, Tensor]:
    """The weights of an evaluated run's network.

    Raises:
        RequestError: the run's configuration can't be used.
        RunError: the run is not finished, or names no model file.
        CheckpointError: the model file is missing, refused, or does not hold such a network's weights.
    """
    if not run.is_evaluated:
        raise not_finished(run)
    if not run.model_file or Path(run.model_file).name != run.model_file:
        raise damaged_run(run.folder, f"{RUN_FILE} names no model file")
    with torch.device("meta"):  # names, shapes and types, without any values
        expected = DigitNet(run.config.architecture).state_dict()
    weights = load_tensors(run.folder / run.model_file, sum(weight.nbytes for weight in expected.values()))
    try:
        return checked_weights(weights, expected)
    except ValueError as error:
        wrong = f"does not hold the weights of a {run.config.model} network ({error})"
        raise CheckpointError(f"the model file of {run.name} {wrong}", _REMEDY) from None


def checked_weights(weights: Any, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of saved weights, in the order of those expected.

    Raises:
        ValueError: other names, shapes or types than expected, or values that no training produces.
    """
    require(isinstance(weights, dict) and set(weights) == set(expected), "its names differ")
    found: dict[str, Tensor] = {}
    for name, like in expected.items():
        value = weights[name]
        is_alike = isinstance(value, Tensor) and (value.shape, value.dtype) == (like.shape, like.dtype)
        require(is_alike, f"{name} has a different shape or type")
        found[name] = value.detach().clone()  # a dense tensor of its own, however the file laid it out
        least = 0 if name.endswith(("running_var", "exp_avg_sq")) else -math.inf  # these are means of squares
        is_possible = bool(found[name].isfinite().all() and found[name].min() >= least)
        require(is_possible, f"{name} holds values that no training produces")
    return found


def agrees(saved: object, expected: object) -> bool:
    """Whether saved values are as expected, except for rounding, and for names that only one version of torch has."""
    if isinstance(expected, dict):
        return isinstance(saved, dict) and all(agrees(saved[name], expected[name]) for name in expected.keys() & saved)
    if isinstance(expected, list | tuple):
        return isinstance(saved, list | tuple) and len(saved) == len(expected) and all(map(agrees, saved, expected))
    if isinstance(expected, float):
        return isinstance(saved, int | float) and math.isclose(saved, expected, rel_tol=1e-9)
    return type(saved) is type(expected) and saved == expected


def digest_of(state: object) -> str:
    """A fingerprint of nested tensors and plain values: it reveals damage, though not forgery."""
    digest = hashlib.sha256()
    for part in _parts_of(state):
        digest.update(part)
    return digest.hexdigest()


def _parts_of(state: object) -> Iterator[bytes]:
    if isinstance(state, Tensor):
        yield state.detach().cpu().contiguous().numpy().tobytes()
    elif isinstance(state, dict | list | tuple):
        for part in state.items() if isinstance(state, dict) else state:
            yield from _parts_of(part)
    else:
        yield repr(state).encode()
