"""A network that reads most drawings, trained once, and drawings and pictures for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnist_lab.data.mnist import Mnist, stratified_subset
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.explain import neighbours
from mnist_lab.explain.likeness import LIMIT_FILE
from mnist_lab.networks.compute import Compute
from mnist_lab.networks.models import DigitNet, build_model
from mnist_lab.training.checkpoints import digest_of
from mnist_lab.training.runs import read_run
from tests.explain.conftest import lay_run, teach

ONE = Drawing((((140.0, 40.0), (140.0, 240.0)),), 1)
SEVEN = Drawing((((80.0, 50.0), (200.0, 50.0), (120.0, 240.0)),), 7)
ZERO = Drawing((tuple((140 + 60 * np.cos(t), 140 + 90 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 40)),), 0)
BLANK = Drawing((), 3)
UNLABELLED = Drawing(ONE.strokes, None)


@pytest.fixture(scope="session")
def network(mnist: Mnist, compute: Compute) -> DigitNet:
    """It classifies 9 of 10 test digits correctly."""
    return teach(compute.place(build_model("1-layer", seed=0)), stratified_subset(mnist.train, 4000), 4000, 1e-3)


@pytest.fixture
def outputs(tmp_path: Path, network: DigitNet) -> Path:
    """An output folder with a run of that network, which rejects nothing."""
    folder = lay_run(tmp_path / "outputs", "run", network)
    write_limit(folder, network, 0.0)
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


@pytest.fixture
def tangle(outputs: Path, network: DigitNet) -> Image.Image:
    """A plus sign, which is less like a four than the run's limit now is."""
    write_limit(outputs / "run", network, 2.5)  # the plus has 2.0, the pictures' two 3.4
    image = Image.new("L", (200, 200), 255)
    for ends in ((30, 100, 170, 100), (100, 30, 100, 170)):
        ImageDraw.Draw(image).line(ends, fill=0, width=14)
    return image


def write_limit(folder: Path, model: DigitNet, limit: float) -> None:
    compared = len(neighbours.training_digits(read_run(folder).config))  # it was trained without added strokes
    content = {"weights": digest_of(model.state_dict()), "compared_with": compared, "least_likeness": limit}
    (folder / LIMIT_FILE).write_text(json.dumps(content), encoding="utf-8")


def copy_run(outputs: Path, name: str) -> Path:
    """The same run under another name."""
    return Path(shutil.copytree(outputs / "run", outputs / name))
