"""Files of tensors: written whole, and read without trusting what is in them.

Nothing in such a file is ever executed, and reading it takes no more memory than the file is allowed to be large.
"""

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

from mnist_lab.config import TrainConfig
from mnist_lab.errors import CheckpointError, RunError
from mnist_lab.networks.models import DigitNet
from mnist_lab.storage import read_bytes, reason, write_atomically
from mnist_lab.training.runs import RUN_FILE, STATE_FILE, Run, damaged_run

# The instructions of a pickle that tell its version, or refer to something outside it, and what they name in a file of
# the lab: version 2, dictionaries, and tensors of float32 and int64.
_CHECKED = {"PROTO", "GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
_STORAGES = ("torch FloatStorage", "torch LongStorage", "torch._utils _rebuild_tensor_v2")
_KNOWN: set[object] = {2, "collections OrderedDict", *_STORAGES}

PLAIN_BYTES = 64 << 10  # at most, besides tensors: their names and shapes, and the archive's own headers, far less each
EPOCH_BYTES = 256  # that each epoch of the history adds to a state file, at most
STATE_NETWORKS = 5  # in a state file: weights, EMA, best weights, and the optimiser's two moments

_REMEDY = "choose another run, or train a new one"


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values (never code or objects), atomically."""
    buffer = io.BytesIO()  # torch reports a full disk as a RuntimeError; plain bytes raise an honest OSError
    torch.save(content, buffer)
    write_atomically(path, lambda temporary: temporary.write_bytes(buffer.getbuffer()))


def load_tensors(path: Path, tensor_bytes: int, plain_bytes: int = PLAIN_BYTES) -> dict[str, Any]:
    """Read what :func:`save_tensors` wrote: tensors of ``tensor_bytes`` and all else of ``plain_bytes``, at most.

    Raises:
        CheckpointError: the file is missing, foreign, truncated, too large, or holds anything but tensors and plain
            values.
    """
    named = f"the {'saved state' if path.name == STATE_FILE else 'model file'} {path}"
    try:
        archive = _checked_archive(read_bytes(path, tensor_bytes + 2 * plain_bytes), plain_bytes)
        with warnings.catch_warnings(action="ignore"):  # what torch thinks of a stranger's file is no help
            content = torch.load(archive, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{named} is missing", _REMEDY) from None
    except OSError as error:
        raise CheckpointError(f"{named} is refused ({reason(error)})", _REMEDY) from None
    except Exception as error:  # whatever a hostile file makes the reader raise, it is refused
        kind = type(error).__name__
        raise CheckpointError(f"{named} is refused: it is no safe checkpoint ({kind})", _REMEDY) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{named} is refused: it holds no state dict", _REMEDY)
    return content


def _checked_archive(data: bytes, plain_bytes: int) -> io.BytesIO:
    """The entries of a torch archive, in a new one, so that torch reads what was checked and nothing else."""
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(found, "w") as checked:
        entries = archive.infolist()
        require(len({entry.filename for entry in entries}) == len(entries), "two entries of one name")
        require(sum(entry.file_size for entry in entries) <= len(data), "entries that are compressed, or that overlap")
        (pickle,) = (entry for entry in entries if entry.filename.endswith(".pkl"))
        require(pickle.file_size <= plain_bytes, "too large a pickle")
        for instruction, argument, _ in pickletools.genops(archive.read(pickle)):
            require(instruction.name not in _CHECKED or argument in _KNOWN, "something that no checkpoint needs")
        for entry in entries:
            checked.writestr(entry.filename, archive.read(entry))
    found.seek(0)
    return found


def load_weights(run: Run) -> dict[str, Tensor]:
    """The trained weights of an evaluated run, as its configuration says they are.

    Raises:
        RequestError: the configuration can't be used.
        RunError: the run is not finished, or names no model file.
        CheckpointError: the model file is missing, refused, or does not hold such a network's weights.
    """
    if not run.is_evaluated:
        raise RunError(
            f"the run {run.name} is not finished (status {run.status})",
            f"finish it with: python main.py train --resume {run.name}",
        )
    name, config = run.model_file, run.config
    if not name or Path(name).name != name:
        raise damaged_run(run.folder, f"{RUN_FILE} names no model file")
    expected = _blank_weights(config)
    weights = load_tensors(run.folder / name, _bytes_of(expected))
    try:
        return checked_weights(weights, expected)
    except ValueError as error:
        raise CheckpointError(
            f"the model file of {run.name} does not hold the weights of a {config.model} network ({error})", _REMEDY
        ) from None


def load_state(folder: Path, config: TrainConfig) -> dict[str, Any] | None:
    """The saved state of an unfinished training; None if it had not come so far. Raises ``CheckpointError``."""
    path = folder / STATE_FILE
    if not path.exists():
        return None
    tensor_bytes = STATE_NETWORKS * _bytes_of(_blank_weights(config))
    return load_tensors(path, tensor_bytes, PLAIN_BYTES + EPOCH_BYTES * config.epochs)


def _blank_weights(config: TrainConfig) -> dict[str, Tensor]:
    """Names, shapes and types, without any values."""
    with torch.device("meta"):
        return dict(DigitNet(config.architecture).state_dict())


def _bytes_of(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def checked_weights(weights: object, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of saved weights, in the order of those expected, which have the right names, shapes and types.

    Raises:
        ValueError: they are not as expected, or not all are finite numbers.
    """
    if not isinstance(weights, dict) or set(weights) != set(expected):
        raise ValueError("other names")
    found: dict[str, Tensor] = {}
    for name, like in expected.items():
        value = weights[name]
        if not isinstance(value, Tensor) or (value.shape, value.dtype) != (like.shape, like.dtype):
            raise ValueError(f"{name} has another shape or type")
        found[name] = value.detach().clone()  # a dense tensor of its own, however the file laid it out
        is_square = name.endswith(("running_var", "exp_avg_sq"))
        if not found[name].isfinite().all() or (is_square and found[name].min() < 0):
            raise ValueError(f"{name} holds values that no training leaves")
    return found


def require(condition: bool, otherwise: str) -> None:
    """Raise a ``ValueError`` unless a condition is met."""
    if not condition:
        raise ValueError(otherwise)


def agrees(saved: object, expected: object) -> bool:
    """Whether saved values are those expected, but for rounding and for names that another version of torch has."""
    if isinstance(expected, dict):
        return isinstance(saved, dict) and all(agrees(saved[name], expected[name]) for name in expected.keys() & saved)
    if isinstance(expected, list | tuple):
        return isinstance(saved, list | tuple) and len(saved) == len(expected) and all(map(agrees, saved, expected))
    if isinstance(expected, float):
        return isinstance(saved, int | float) and math.isclose(saved, expected, rel_tol=1e-9)
    return type(saved) is type(expected) and saved == expected


def digest_of(state: object) -> str:
    """A fingerprint of tensors and plain values, however they are nested: tells damage, though not forgery."""
    digest = hashlib.sha256()
    for part in _parts_of(state):
        digest.update(part)
    return digest.hexdigest()


def _parts_of(state: object) -> Iterator[bytes]:
    if isinstance(state, Tensor):
        yield state.detach().cpu().contiguous().numpy().tobytes()
    elif isinstance(state, dict):
        for name, value in state.items():
            yield repr(name).encode()
            yield from _parts_of(value)
    elif isinstance(state, list | tuple):
        for value in state:
            yield from _parts_of(value)
    else:
        yield repr(state).encode()
