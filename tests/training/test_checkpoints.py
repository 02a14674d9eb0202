"""Model files of strangers: refused in one line by every command that loads one, in little memory, never executed."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import main
from mnist_lab.data.mnist import Mnist
from mnist_lab.errors import CheckpointError, RunError, StorageError
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import build_model
from mnist_lab.training.checkpoints import load_tensors, load_weights, save_tensors
from mnist_lab.training.runs import read_run
from mnist_lab.training.session import load_trained
from tests.training.test_runs import CONFIG, make_run, make_whole_run

Weights = dict[str, Tensor]


def weights_of(seed: int = 3) -> Weights:
    return dict(build_model("1-layer", seed=seed).state_dict())


def changed(name: str, change: Callable[[Tensor], Tensor]) -> bytes:
    """A model file in which one tensor is another."""
    weights = weights_of()
    weights[name] = change(weights[name])
    return saved(weights)


def with_value(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor.flatten()[-1:] = value
        return tensor

    return change


def saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def repacked(change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A model file as another program might have packed it."""
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(weights_of()))) as source, zipfile.ZipFile(found, "w", method) as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
    return found.getvalue()


def unchanged(name: str, content: bytes) -> bytes:
    return content


def naming(what: bytes) -> bytes:
    """A model file whose pickle calls something else than the lab's do."""
    return repacked(lambda name, content: b"c" + what + b"\n)R." if name.endswith("data.pkl") else content)


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "nan": (lambda: changed("classifier.1.weight", with_value(float("nan"))), "values that no training produces"),
    "infinite": (lambda: changed("classifier.4.bias", with_value(float("inf"))), "values that no training produces"),
    "negative variance": (lambda: changed("blocks.0.norm.running_var", with_value(-1)), "values that no training"),
    "int64": (lambda: changed("classifier.4.bias", Tensor.long), "classifier.4.bias has a different shape or type"),
    "int8": (lambda: changed("classifier.4.bias", Tensor.char), "not a safe checkpoint"),
    "complex": (lambda: changed("classifier.4.bias", lambda bias: bias + 1j), "not a safe checkpoint"),
    "sparse": (lambda: changed("classifier.4.bias", Tensor.to_sparse), "not a safe checkpoint"),
    "endless": (lambda: changed("classifier.4.bias", lambda bias: bias[:1].expand(10**9)), "a different shape or type"),
    "another network": (lambda: saved(build_model("2-layer").state_dict()), "is refused|its names differ"),
    "a weight too many": (lambda: saved(weights_of() | {"more": torch.zeros(1)}), "its names differ"),
    "a weight too few": (lambda: saved(dict(list(weights_of().items())[1:])), "its names differ"),
    "other names": (lambda: saved({1: 2}), "its names differ"),
    "a list": (lambda: saved([torch.zeros(1)]), "holds no state dict"),
    "a name as weight": (lambda: saved(weights_of() | {"classifier.4.bias": "text"}), "a different shape or type"),
    "old format": (lambda: saved(weights_of(), _use_new_zipfile_serialization=False), "not a safe checkpoint"),
    "compressed": (lambda: repacked(unchanged, zipfile.ZIP_DEFLATED), "not a safe checkpoint"),
    "cut": (lambda: saved(weights_of())[:-4000], "not a safe checkpoint"),
    "altered": (lambda: saved(weights_of()).replace(b"\0\0\x80\x3f" * 32, b"\0\0\x80\x3e" * 32), "not a safe"),
    "large": (lambda: saved(weights_of()) + bytes(1 << 20), "is larger than 2,9"),
    "bytearray": (lambda: naming(b"builtins\nbytearray"), "not a safe checkpoint"),
    "another tensor": (lambda: naming(b"torch._utils\n_rebuild_sparse_tensor"), "not a safe checkpoint"),
    "only a pickle": (lambda: pickle.dumps({"weight": 1}), "not a safe checkpoint"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_run(tmp_path / "outputs", "run")


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line by which a command refuses."""
    assert main.main(list(words)) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1, error
    return error


@pytest.mark.parametrize("kind", FILES)
def test_what_is_not_such_a_networks_weights_is_refused(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, expected = FILES[kind]
    (folder / "model.pt").write_bytes(make())
    error = refused(capsys, "evaluate", "--run", "run", "--outputs", str(folder.parent))
    assert any(words in error for words in expected.split("|")), error


@pytest.mark.parametrize("command", ["predict", "score", "saliency", "xray", "compare"])
def test_every_command_refuses_weights_that_are_not_numbers(
    command: str, folder: Path, mnist: Mnist, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "model.pt").write_bytes(FILES["nan"][0]())
    picture = folder.parent / "digit.png"
    Image.fromarray(mnist.test.images[0, 0].numpy()).save(picture)
    drawings = folder.parent / "drawings.jsonl"
    drawings.write_text('{"label": 1, "strokes": [[[140, 40], [140, 240]]]}\n', encoding="utf-8")
    make_whole_run(folder.parent, "other", replace(CONFIG, seed=1))
    make_whole_run(folder.parent, "nan").joinpath("model.pt").write_bytes(FILES["nan"][0]())
    words = {
        "predict": [str(picture), "--run", "run"],
        "score": [str(drawings), "--run", "run"],
        "saliency": ["--index", "3", "--run", "run"],
        "xray": ["--image", str(picture), "--run", "run"],
        "compare": ["nan", "other"],
    }[command]
    before = {path.name for path in folder.parent.iterdir()}
    error = refused(capsys, command, *words, "--outputs", str(folder.parent))
    assert "values that no training produces" in error
    assert {path.name for path in folder.parent.iterdir()} - before <= {"index.html"}


def test_finite_weights_that_are_far_too_large_give_no_answer(
    folder: Path, mnist: Mnist, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "model.pt").write_bytes(changed("blocks.0.norm.weight", lambda scale: scale * 3e38))
    picture = folder.parent / "digit.png"
    Image.fromarray(mnist.test.images[0, 0].numpy()).save(picture)
    error = refused(capsys, "predict", str(picture), "--run", "run", "--outputs", str(folder.parent))
    assert "answers are no longer finite numbers" in error


def test_what_was_saved_is_loaded_to_the_bit(tmp_path: Path, compute: Compute) -> None:
    run = read_run(make_whole_run(tmp_path, "run"))
    model = load_trained(run, compute)
    for weights in (load_weights(run), model.state_dict()):
        assert weights.keys() == weights_of(0).keys()
        assert all(torch.equal(weights[name].cpu(), value) for name, value in weights_of(0).items())
    assert not model.training


def test_a_disk_that_gets_full_leaves_the_old_file_whole(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # Windows has no limit on file sizes to imitate a full disk with
    path = tmp_path / "training_state.pt"
    save_tensors(path, {"x": torch.zeros(3)})
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="free some space"):
            save_tensors(path, {"x": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_small_file_that_unpacks_to_a_large_one_takes_no_memory(tmp_path: Path) -> None:
    values = 15_000_000
    plain = zipfile.ZipFile(io.BytesIO(saved({"weight": torch.zeros(77)})))
    with zipfile.ZipFile(tmp_path / "model.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb:
        for name in plain.namelist():
            content = plain.read(name).replace(b"K\x4d", b"J" + struct.pack("<i", values))
            bomb.writestr(name, bytes(4 * values) if name.endswith("data/0") else content)
    assert (tmp_path / "model.pt").stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="not a safe checkpoint"):
            load_tensors(tmp_path / "model.pt", tensor_bytes=4 << 20)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


class Bomb:
    """A pickle that would run code when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_a_malicious_file_is_refused_and_nothing_in_it_runs(tmp_path: Path) -> None:
    target = tmp_path / "exploded"
    torch.save({"weight": Bomb(target)}, tmp_path / "zip.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Bomb(target)))
    for name in ("zip.pt", "raw.pt"):
        with pytest.raises(CheckpointError, match="is refused: it is not a safe checkpoint"):
            load_tensors(tmp_path / name, 4 << 20)
    assert not target.exists()
    torch.load(tmp_path / "zip.pt", weights_only=False)  # the bomb is live: only the safe reader stops it
    assert target.exists()


def test_foreign_and_missing_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "foreign.pt").write_bytes(b"\x89PNG\r\n\x1a\n" * 100)
    (tmp_path / "empty.pt").touch()
    for name, expected in [("foreign.pt", "is refused"), ("empty.pt", "is refused"), ("nowhere.pt", "is missing")]:
        with pytest.raises(CheckpointError, match=expected) as caught:
            load_tensors(tmp_path / name, 4 << 20)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../secret.pt", "/etc/passwd", 7, None])
def test_a_model_file_outside_the_folder_is_never_opened(tmp_path: Path, name: object) -> None:
    folder = make_run(tmp_path, "run", model_file=name)
    with pytest.raises(RunError, match="names no model file"):
        load_weights(read_run(folder))


def test_a_stopped_run_comes_with_the_command_that_resumes_it(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "killed", status="running", stop_reason=None)
    with pytest.raises(RunError, match=r"\(status stopped\).*main.py resume --run killed --outputs .+"):
        load_weights(read_run(folder))
