"""A network that reads most drawings, trained once, and drawings and pictures for it."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from mnist_lab.data.mnist import Mnist, normalise, stratified_subset, to_unit
from mnist_lab.drawing.digits import find_digits
from mnist_lab.drawing.images import clean_page
from mnist_lab.drawing.preprocess import Picture, ink, to_mnist
from mnist_lab.drawing.recognise import _scribble
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.explain.likeness import LIMITS_FILE, Limits
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import DigitNet, build_model
from mnist_lab.training.checkpoints import digest_of, save_tensors
from tests.training.test_runs import make_run

ONE = Drawing((((140.0, 40.0), (140.0, 240.0)),), 1)
SEVEN = Drawing((((80.0, 50.0), (200.0, 50.0), (120.0, 240.0)),), 7)
ZERO = Drawing((tuple((140 + 60 * np.cos(t), 140 + 90 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 40)),), 0)
BLANK = Drawing((), 3)
UNLABELLED = Drawing(ONE.strokes, None)


@pytest.fixture(scope="session")
def network(mnist: Mnist, compute: Compute) -> DigitNet:
    """It classifies 9 of 10 test digits correctly."""
    model = compute.place(build_model("1-layer", seed=0))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    digits = stratified_subset(mnist.train, 4000)
    for places in torch.split(torch.randperm(4000, generator=torch.Generator().manual_seed(0)), 64):
        images = normalise(to_unit(digits.images[places])).to(compute.device)
        loss = nn.functional.cross_entropy(model(images), digits.labels[places].to(compute.device))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model.eval()


@pytest.fixture
def outputs(tmp_path: Path, network: DigitNet) -> Path:
    """An output folder with a run of that network, which rejects what it is less than half sure of, and that alone."""
    folder = make_run(tmp_path / "outputs", "run")
    save_tensors(folder / "model.pt", network.state_dict())
    write_limits(folder, network, Limits(probability=0.5, likeness=0.0))
    return tmp_path / "outputs"


@pytest.fixture
def pictures(tmp_path: Path, mnist: Mnist) -> list[Path]:
    """A seven and a two of the test set, enlarged: white on black, and black on white."""
    paths = [tmp_path / "seven.png", tmp_path / "two.png"]
    for path, image in zip(paths, (mnist.test.images[0, 0], 255 - mnist.test.images[1, 0]), strict=True):
        Image.fromarray(image.numpy()).resize((280, 280), Image.Resampling.BICUBIC).save(path)
    return paths


@pytest.fixture
def drawings(tmp_path: Path) -> Path:
    """A file of three digits, a blank and one without a label."""
    path = tmp_path / "my drawings.jsonl"
    text = "\n".join(drawing.to_json() for drawing in (ONE, SEVEN, ZERO, BLANK, UNLABELLED))
    path.write_text(text + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tangle(network: DigitNet, compute: Compute) -> Image.Image:
    """A scribble in one stroke, which the network takes for one digit, and is less than half sure of."""

    def ask(pictures: Sequence[Picture]) -> list[tuple[NDArray[np.float64]]]:
        logits = predict_logits(network, torch.from_numpy(np.stack(pictures))[:, None], compute)
        return [(each,) for each in logits.double().softmax(dim=1).numpy()]

    for seed in itertools.count():
        paper = ink(_scribble(np.random.default_rng(seed)), 12)
        clean = clean_page(np.repeat(paper[..., np.newaxis].astype(np.float32), 3, axis=2)).ink
        picture = to_mnist(clean)
        if picture is not None and ask([picture])[0][0].max() < 0.45 and len(find_digits(clean, ask)) == 1:
            return Image.fromarray(paper)
    raise AssertionError


def write_limits(folder: Path, model: DigitNet, limits: Limits) -> None:
    content = {"weights": digest_of(model.state_dict())} | limits._asdict()
    (folder / LIMITS_FILE).write_text(json.dumps(content), encoding="utf-8")


def copy_run(outputs: Path, name: str) -> Path:
    """The same run under another name."""
    return Path(shutil.copytree(outputs / "run", outputs / name))
