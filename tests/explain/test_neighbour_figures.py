"""What is drawn and said of a digit's neighbours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_lab.config import TrainConfig
from mnist_lab.data.mnist import Mnist
from mnist_lab.explain.figures import RUN_FIGURES
from mnist_lab.explain.neighbour_figures import Neighboured, neighbours_figure, sentence
from mnist_lab.explain.neighbours import Nearest, Neighbours
from mnist_lab.networks.compute import predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.plotting import VERMILION
from mnist_lab.training.evaluation import evaluate
from mnist_lab.training.figures import RunData
from mnist_lab.training.runs import read_run
from tests.explain.conftest import CPU, TINY
from tests.training.test_figures import assert_whole_and_legible, frames_of, render, words
from tests.training.test_runs import make_run


def nearest_of(labels: list[int], mnist: Mnist) -> Nearest:
    count = len(labels)
    images = mnist.train.images[:count, 0].numpy()
    return Nearest(np.arange(count), np.array(labels), np.linspace(1, 2, count, dtype=np.float32), images)


def neighboured(expected: int | None, hidden: list[int], pixels: list[int], mnist: Mnist) -> Neighboured:
    found = Neighbours(nearest_of(hidden, mnist), nearest_of(pixels, mnist))
    return Neighboured("true 8, read as 9", "test digit 947†", mnist.test.images[947, 0].numpy(), expected, found)


def marked(rows: list[Neighboured]) -> tuple[list[str], int]:
    """The labels that are marked as disagreeing, and how many frames are in the colour of those."""
    (axes,) = neighbours_figure(rows, "Neighbours").axes
    frames = list(frames_of(axes).values())
    return [text.get_text() for text in axes.texts if "≠" in text.get_text()], frames.count(VERMILION.lower())


def test_labels_that_disagree_are_marked_in_words_and_by_a_frame(mnist: Mnist) -> None:
    assert marked([neighboured(8, [9, 8, 9], [8, 8, 3], mnist)]) == (["9 ≠ 8", "9 ≠ 8", "3 ≠ 8"], 3)
    assert marked([neighboured(None, [9, 8, 9], [8, 9, 9], mnist)]) == (["8 ≠ 9", "8 ≠ 9"], 2)
    assert marked([neighboured(7, [7, 7, 7], [7, 7, 7], mnist)]) == ([], 0)


@pytest.mark.parametrize(("rows", "count"), [(1, 8), (3, 6), (25, 6), (1, 3)])
def test_the_figure_is_legible_and_whole(rows: int, count: int, mnist: Mnist) -> None:
    shown = [neighboured(8, [9] * count, [8, *[9] * (count - 1)], mnist)] * rows
    page = render(neighbours_figure(shown, "3-layer, seed 0: its surest mistakes", note="† doubted"))
    assert_whole_and_legible(page)
    assert "Near is not cause" in words(page.figure)


def test_every_picture_stands_in_its_place(mnist: Mnist) -> None:
    row = neighboured(8, [9, 8], [8, 8], mnist)
    (axes,) = neighbours_figure([row, row], "").axes
    page: NDArray[np.float64] = 1 - np.asarray(axes.images[0].get_array())[..., 0] / 255
    pictures = (row.picture, *row.found.hidden.images, *row.found.pixels.images)
    for left, image in zip((0, 38, 69, 110, 141), pictures, strict=True):
        for top in (0, 39):
            assert page[top : top + 28, left : left + 28] == pytest.approx(image / 255)


def test_the_sentence_counts_the_labels_and_doubts_one_that_nothing_speaks_for(mnist: Mnist) -> None:
    found = neighboured(8, [9, 9, 8, 9], [9, 9, 9, 9], mnist).found
    said = sentence(found, 8)
    assert "labelled 9 (3x), 8 (1x) in the hidden layer, 9 (4x) in pixel space" in said
    assert "Neither speaks for its own label, 8" in said
    assert said.endswith("Near is not cause.")
    assert "Neither" not in sentence(found)
    assert "Neither" not in sentence(found, 9)
    half = neighboured(8, [9, 9, 8, 9], [8, 8, 9, 8], mnist).found
    assert "Neither" not in sentence(half, 8), "one of the two spaces speaks for it"


def drawn(run: RunData) -> Figure:
    figure = RUN_FIGURES["neighbours.png"](run)
    assert isinstance(figure, Figure)
    return figure


class TestMistakes:
    @pytest.fixture
    def run(self, trained: DigitNet, mnist: Mnist, tmp_path: Path) -> RunData:
        record = read_run(make_run(tmp_path, "run", config=TrainConfig(model="1-layer", hidden=TINY.hidden).to_dict()))
        digits = mnist.test.subset(mnist.test.indices[900:1000])
        test = evaluate(predict_logits(trained, digits.images, CPU).numpy(), digits.labels.numpy())
        return RunData(record, [], test, digits, trained)

    def test_stand_beside_their_neighbours_the_surest_first(self, run: RunData) -> None:
        missed = run.test.mistakes
        figure = drawn(run)
        headings = [text.get_text() for text in figure.axes[0].texts if text.get_text().startswith("true")]
        pairs = zip(missed.labels, missed.predictions, strict=True)
        assert headings == [f"true {true}, read as {read}" for true, read in pairs][:5], "as many as tests show"
        numbers = [text.get_text() for text in figure.axes[0].texts if text.get_text().startswith("test digit")]
        assert numbers[0].removeprefix("test digit ").rstrip("†") == str(900 + missed.positions[0])

    def test_that_were_not_made_are_no_error(self, run: RunData) -> None:
        none = replace(run.test.mistakes, **{name: value[:0] for name, value in vars(run.test.mistakes).items()})
        figure = drawn(replace(run, test=replace(run.test, mistakes=none)))
        assert "No mistakes" in words(figure)
