"""Where networks compute: chosen, tried out, asked for, and refused; with graphics cards that are only pretended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import main
from mnist_lab.config import TrainConfig
from mnist_lab.data.mnist import Mnist
from mnist_lab.environment import using_device
from mnist_lab.experiments.speed import left_out_on, steps_on
from mnist_lab.experiments.trainings import default_jobs
from mnist_lab.networks import compute as device
from mnist_lab.networks.compute import batch_norm_gradients, choose_compute, layouts_agree
from mnist_lab.storage import write_json
from mnist_lab.training.session import initial_content

TINY = ["train", "--model", "1-layer", "--train-size", "1000", "--epochs", "1", "--workers", "0"]
CPU = torch.device("cpu")
NO_KERNELS = "CUDA error: no kernel image is available for execution on the device"


@pytest.fixture(autouse=True)
def fresh_choice() -> Iterator[None]:
    device.compute_on.cache_clear()
    yield
    device.compute_on.cache_clear()


@pytest.fixture
def old_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graphics card that torch finds, but was not built for."""

    def fail(device: torch.device) -> None:
        raise RuntimeError(f"{NO_KERNELS}\nCUDA kernel errors might be asynchronously reported at some other API call")

    monkeypatch.setattr(device, "devices_here", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(device, "try_convolution", fail)


@pytest.fixture
def no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(module, "is_available", lambda: False)


def content_of(outputs: Path) -> dict[str, Any]:
    (path,) = outputs.glob("*/run.json")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.mark.usefixtures("old_card")
def test_a_card_that_torch_was_not_built_for_is_left_alone_and_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*TINY, "--outputs", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert shown.out.count(f"computing on the CPU: the cuda device can't be used ({NO_KERNELS})\n") == 1
    assert shown.err == ""
    content = content_of(tmp_path)
    assert content["device"].startswith("CPU, ")
    assert "--device" not in content["command"]


@pytest.mark.usefixtures("old_card")
def test_whoever_asks_for_such_a_card_is_refused_before_there_is_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*TINY, "--outputs", str(tmp_path), "--device", "cuda"]) == 1
    assert capsys.readouterr().err == (
        f"the cuda device can't be used ({NO_KERNELS}); give --device cpu, or omit --device\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_cards")
@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([*TINY, "--outputs", str(tmp_path), "--device", name]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"finds no {name} device here; give one of those that are there with --device: auto, cpu" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("old_card")
def test_as_many_trainings_at_once_as_without_the_card_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with using_device("cpu"):
        usual = default_jobs()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert default_jobs() == usual


def test_a_run_names_the_device_that_was_asked_for(tmp_path: Path) -> None:
    assert main.main([*TINY, "--outputs", str(tmp_path), "--device", "cpu"]) == 0
    content = content_of(tmp_path)
    assert content["device_asked"] == "cpu"
    assert content["command"].endswith(" --device cpu")


@pytest.mark.usefixtures("no_cards")
def test_a_run_goes_on_where_it_was_asked_to_unless_another_device_is_asked_for(
    mnist: Mnist, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = TrainConfig(model="1-layer", train_size=1000, epochs=1)
    (tmp_path / "stopped").mkdir()
    content = initial_content(config, mnist, workers=0, now=datetime.now()) | {"device_asked": "cuda"}
    write_json(tmp_path / "stopped" / "run.json", content)
    assert main.main(["resume", "--outputs", str(tmp_path)]) == 1
    assert "finds no cuda device here" in capsys.readouterr().err
    assert content_of(tmp_path) == json.loads(json.dumps(content))
    assert main.main(["resume", "--outputs", str(tmp_path), "--device", "cpu"]) == 0
    assert content_of(tmp_path)["status"] == "finished"


def test_both_layouts_agree_on_a_processor_and_wrong_gradients_do_not() -> None:
    right = partial(batch_norm_gradients, CPU)
    assert layouts_agree(right)

    def wrong(layout: torch.memory_format) -> list[Tensor]:
        images, weight, bias = right(layout)
        return [images, weight + 13 * (layout is torch.channels_last), bias]

    def failing(layout: torch.memory_format) -> list[Tensor]:
        if layout is torch.channels_last:
            raise RuntimeError("view size is not compatible with input tensor's size and stride")
        return right(layout)

    assert not layouts_agree(wrong)
    assert not layouts_agree(failing)


@pytest.mark.parametrize("is_sound", [True, False])
def test_apples_card_takes_the_layout_that_works(monkeypatch: pytest.MonkeyPatch, is_sound: bool) -> None:
    def gradients(device: torch.device, layout: torch.memory_format) -> list[Tensor]:
        assert device.type == "mps"
        return [torch.tensor(1.0 if is_sound or layout is torch.contiguous_format else 2.0)]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(device, "try_convolution", lambda device: None)
    monkeypatch.setattr(device, "batch_norm_gradients", gradients)
    compute = choose_compute()
    assert (compute.device.type, compute.channels_last, compute.remark) == ("mps", is_sound, "")
    assert any(step.name == "channels last" for step in steps_on(compute)) == is_sound
    assert any("channels last is left out" in sentence for sentence in left_out_on(compute)) != is_sound
