"""Where networks compute: chosen, tried out, asked for, and refused; with graphics cards that are only pretended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import main
from mnist_lab.environment import using_device
from mnist_lab.experiments.speed import left_out_on, steps_on
from mnist_lab.networks import compute as device
from mnist_lab.networks.compute import choose_compute, computing_with, default_jobs
from mnist_lab.storage import write_json
from mnist_lab.training.session import RunExtras

TINY = ["train", "--model", "1-layer", "--train-size", "300", "--epochs", "1", "--workers", "0"]
NO_KERNELS = "CUDA error: no kernel image is available for execution on the device"


@pytest.fixture(autouse=True)
def fresh_choice() -> Iterator[None]:
    device.compute_on.cache_clear()
    yield
    device.compute_on.cache_clear()


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than the trainings."""
    monkeypatch.setattr("mnist_lab.explain.film_figures.RUN_EXTRAS", RunExtras())


@pytest.fixture
def old_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graphics card that torch finds, but was not built for."""

    def fail(device: torch.device) -> None:
        raise RuntimeError(f"{NO_KERNELS}\nCUDA kernel errors might be asynchronously reported at some other API call")

    monkeypatch.setattr(device, "devices_here", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(device, "_try_convolution", fail)


@pytest.fixture
def no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(module, "is_available", lambda: False)


class PretendedCard:
    """As much of torch.cuda as replays a step: what is recorded changes nothing, and a replay does it again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: Callable[..., Any], kept: Tensor) -> None:
        self.step, self.kept = step, kept
        self.replays = 0
        stream = SimpleNamespace(wait_stream=lambda other: None)
        for name, pretended in {
            "Stream": lambda where: stream,
            "current_stream": lambda: stream,
            "stream": lambda other: nullcontext(),
            "CUDAGraph": lambda: self,
            "graph": lambda graph, stream: self.recording(),
        }.items():
            monkeypatch.setattr(torch.cuda, name, pretended)
        self.replayed = device.Replayed(step, torch.device("cuda"))

    @contextmanager
    def recording(self) -> Iterator[None]:
        before = self.kept.clone()
        yield
        self.kept.copy_(before)

    def replay(self) -> None:
        self.replays += 1
        found = self.step(*self.replayed._inputs)
        for held, new in zip(self.replayed._outputs, found, strict=True):
            held.copy_(new)


def test_a_replayed_step_does_what_the_step_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        total.mul_(0.5).add_((images * labels).sum())
        return images + total, total.clone()

    batches = [torch.rand(2, size) for size in (4, 4, 3, 4, 4, 4, 3, 4)]
    total = torch.zeros(())
    expected = [tuple(part.clone() for part in step(*batch)) for batch in batches]
    total.zero_()
    card = PretendedCard(monkeypatch, step, total)
    for batch, (images, sums) in zip(batches, expected, strict=True):
        found = card.replayed(*batch)
        assert torch.equal(found[0], images)
        assert torch.equal(found[1], sums)
    assert card.replays == 4  # not those that warm up, nor the batches of three


def content_of(outputs: Path) -> dict[str, Any]:
    (path,) = outputs.glob("*/run.json")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.mark.usefixtures("old_card")
def test_a_card_that_torch_was_not_built_for_is_left_alone_and_reported(
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
    assert f"finds no {name} device here; choose one of those that are there with --device: auto, cpu" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("old_card")
def test_as_many_trainings_at_once_as_without_the_card_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with using_device("cpu"):
        usual = default_jobs()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert default_jobs() == usual


@pytest.mark.usefixtures("no_cards")
def test_a_run_names_the_device_that_was_asked_for_and_goes_on_there_unless_another_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*TINY, "--outputs", str(tmp_path), "--device", "cpu"]) == 0
    content = content_of(tmp_path)
    assert content["device_asked"] == "cpu"
    assert content["command"].endswith(" --device cpu")

    (path,) = tmp_path.glob("*/run.json")
    content |= {"status": "running", "device_asked": "cuda"}  # as if it had been killed on a card
    write_json(path, content)
    assert main.main(["resume", "--outputs", str(tmp_path)]) == 1
    assert "finds no cuda device here" in capsys.readouterr().err
    assert content_of(tmp_path) == content
    assert main.main(["resume", "--outputs", str(tmp_path), "--device", "cpu"]) == 0
    assert content_of(tmp_path)["status"] == "finished"


@pytest.mark.parametrize("flaw", ["none", "wrong", "failing"])
def test_apples_card_takes_the_layout_that_works(monkeypatch: pytest.MonkeyPatch, flaw: str) -> None:
    """A card that is really the processor, whose batch normalisation goes wrong in one of the layouts."""
    right = device._batch_norm_gradients

    def gradients(card: torch.device, layout: torch.memory_format) -> list[Tensor]:
        assert card.type == "mps"
        images, weight, bias = right(torch.device("cpu"), layout)
        if layout is torch.channels_last and flaw == "failing":
            raise RuntimeError("view size is not compatible with input tensor's size and stride")
        return [images, weight + 13 * (layout is torch.channels_last and flaw == "wrong"), bias]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(device, "_try_convolution", lambda card: None)
    monkeypatch.setattr(device, "_batch_norm_gradients", gradients)
    compute = choose_compute()
    assert (compute.device.type, compute.channels_last, compute.remark) == ("mps", flaw == "none", "")
    assert any(step.name == "channels last" for step in steps_on(compute)) == (flaw == "none")
    assert any("channels last is left out" in sentence for sentence in left_out_on(compute)) == (flaw != "none")


def test_threads_are_put_back_whatever_happens() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), computing_with(before + 3):
        assert torch.get_num_threads() == before + 3
        assert choose_compute().name.startswith(f"CPU, {before + 3} threads") or choose_compute().device.type != "cpu"
        raise KeyError
    assert torch.get_num_threads() == before
