"""Numbers and settings as people read them."""

from __future__ import annotations

import numpy as np
import pytest

from mnist_lab import plotting
from mnist_lab.config import AUGMENTATIONS, NO_AUGMENTATION, AugmentConfig, settings_of
from mnist_lab.explain.figures import draw_answer, reading
from mnist_lab.terminal.wording import (
    describe_augmentation,
    format_about,
    format_duration,
    format_loss,
    format_probability,
    letters,
    mean_and_spread,
)
from mnist_lab.training import figures as plots
from mnist_lab.training.evaluation import Mistakes

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
    assert reading(answer, None) == f"read as 3 ({text})"
    axes = plotting.new_figure(4, 4, "Answer").subplots()
    draw_answer(axes, answer, target=3)
    assert axes.texts[3].get_text() == text
    image, numbers = np.zeros((28, 28), np.uint8), np.array([probability])
    one = np.array([1])
    missed = Mistakes(one, one, one + 1, numbers, numbers)
    figure = plots.mistakes(image[None], missed, one, evaluated=1, title="Mistakes")
    assert figure.axes[0].texts[1].get_text() == f"p(2) {text}, p(1) {text}\ntest digit 1"


def test_durations_read_well() -> None:
    assert [format_duration(s) for s in (7.123, 59.94, 59.96, 112, 3599.6, 7500, None)] == [
        "7.1 s", "59.9 s", "1 min 00 s", "1 min 52 s", "1 h 00 min", "2 h 05 min", "–",
    ]  # fmt: skip
    assert [format_about(s) for s in (0.2, 8.4, 100, 600)] == ["about 1 s", "about 8 s", "about 2 min", "about 10 min"]
    assert format_about(9660) == "about 2.7 h"


def test_a_loss_keeps_its_column_when_the_training_has_diverged() -> None:
    assert [format_loss(loss) for loss in (0.01234, 999.0, 12345.6)] == ["0.0123", "999.0000", "1.2e+04"]


def test_letters_go_on_after_z() -> None:
    assert [letters(place) for place in (0, 25, 26, 51, 52, 701, 702)] == ["a", "z", "aa", "az", "ba", "zz", "aaa"]


def test_the_spread_is_that_of_a_sample() -> None:
    assert mean_and_spread([0.990, 0.992, 0.994]) == f"99.200 ± {100 * np.std([0.990, 0.992, 0.994], ddof=1):.3f}"
    assert mean_and_spread([0.99]) == "99.000"


def test_an_augmentation_is_described_by_what_is_switched_on() -> None:
    assert describe_augmentation(None) == describe_augmentation(NO_AUGMENTATION) == "no augmentation"
    words = describe_augmentation(AugmentConfig(thickness=0.5))
    assert words.startswith("augmented: rotation ±10°, shift ±7 %, scale ±10 %, shear ±8°, thickness ±0.5 pixels, ")
    assert words.endswith("strokes on a 0 (less often on a 1 or 7) in 2 %")
    for name in AUGMENTATIONS:
        told = describe_augmentation(AugmentConfig(elastic=0.03, thickness=0.5, erasing=0.3, flip=0.1).only(name))
        assert told.startswith("augmented: ")
        found = {strength for strength in settings_of(AugmentConfig) if strength in told}
        assert found == set(AUGMENTATIONS[name])
