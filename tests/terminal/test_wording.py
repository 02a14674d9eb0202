"""Numbers as people read them."""

from __future__ import annotations

import numpy as np
import pytest

from mnist_lab import plotting
from mnist_lab.drawing.figures import answer_text
from mnist_lab.experiments.digit_figures import Outvoted, ReadTwice
from mnist_lab.explain.figures import draw_answer, reading
from mnist_lab.terminal.wording import format_probability
from mnist_lab.training import figures as plots

PROBABILITIES = {
    0.0: "0.0 %",
    1e-12: "< 0.1 %",
    0.0004: "< 0.1 %",
    0.0005: "0.1 %",
    0.0051: "0.5 %",
    0.5: "50.0 %",
    0.99949: "99.9 %",
    0.9995: "> 99.9 %",
    0.9999999: "> 99.9 %",
    1.0: "100.0 %",
}


@pytest.mark.parametrize(("probability", "text"), PROBABILITIES.items())
def test_a_probability_rounds_to_all_or_nothing_only_if_it_is(probability: float, text: str) -> None:
    assert format_probability(probability) == text


@pytest.mark.parametrize(("probability", "text"), PROBABILITIES.items())
def test_every_figure_says_the_same_of_a_probability(probability: float, text: str) -> None:
    answer = np.full(10, -1.0)  # never the winner
    answer[3] = probability
    assert answer_text(answer) == f"reads 3, {text}"
    assert reading(answer, None) == f"read as 3 ({text})"
    axes = plotting.new_figure(4, 4, "Answer").subplots()
    draw_answer(axes, answer, target=3)
    assert axes.texts[3].get_text() == text
    image, numbers = np.zeros((28, 28), np.uint8), np.array([probability])
    one = np.array([1])
    figure = plots.mistakes(image[None], one, one + 1, numbers, numbers, one, total=1, judged=1, title="Mistakes")
    assert figure.axes[0].get_xlabel() == f"p(2) {text}, p(1) {text}\ntest digit 1"
    twice = ReadTwice(image, 9, 1, 2, probability, 1, probability)
    assert str(twice) == f"A ✗ 2, {text}\nB ✓ 1, {text}"
    assert str(Outvoted(image, 9, 1, 2, probability, 1, 3)).startswith(f"✗ 2, {text}\n")
