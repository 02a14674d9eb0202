"""Questions to the networks, their answers, and the sentence above them, without a screen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from mnist_lab.data.mnist import normalise, to_unit
from mnist_lab.drawing import preprocess
from mnist_lab.drawing.preprocess import Picture, Steps, Wobble
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.drawing.window.answer import Answer, Look, Predictor, Probabilities, Question, ask, sentence
from mnist_lab.explain.inside import opened
from mnist_lab.networks.models import build_model
from tests.windows import CORNER, LINE, UNSEEN, no_film, uniform_map, width_reader

ONE, SEVEN = Drawing((LINE,)), Drawing((CORNER,))
TWO = Drawing((((60, 60), (60, 220)), ((200, 60), (200, 220))))


def rows(*digits: int, second: int = 5, probability: float = 0.01) -> tuple[Probabilities, ...]:
    found = tuple(np.zeros(10) for _ in digits)
    for row, digit in zip(found, digits, strict=True):
        row[[second, digit]] = probability, 1 - probability
    return found


def reading(*readers: str) -> list[Predictor]:
    """Networks that tell narrow from wide, one for each name."""

    def predict(pictures: Sequence[Picture]) -> list[Probabilities]:
        return [width_reader(picture) for picture in pictures]

    return [Predictor(name, predict, uniform_map, "map", *UNSEEN, no_film) for name in readers]


def never(picture: Picture, probabilities: Sequence[Probabilities]) -> None:
    return None


def always(picture: Picture, probabilities: Sequence[Probabilities]) -> str:
    return "probably not a digit"


@pytest.mark.parametrize(
    ("probabilities", "said"),
    [
        (rows(3), "a 3"),
        (rows(8, second=3, probability=0.3), "an 8, or perhaps a 3"),
        (rows(3, 3, probability=0.4), "together: 3 (60.0 %); both say 3"),
        (rows(3, 3, 3), "together: 3 (99.0 %); all three say 3"),
        (rows(3, 8, 3, 3), "together: 3 (74.2 %); they disagree: 3, 8, 3, 3"),
    ],
)
def test_one_network_is_quoted_and_several_vote(probabilities: tuple[Probabilities, ...], said: str) -> None:
    picture = np.zeros((28, 28), dtype=np.uint8)
    assert sentence(Answer(Question(ONE, 20.0), picture, probabilities)) == said


def test_the_mean_of_the_probabilities_decides_not_the_number_of_votes() -> None:
    answer = Answer(Question(ONE, 20.0), np.zeros((28, 28), np.uint8), (*rows(3, 3, probability=0.45), *rows(5)))
    assert answer.digit == 5
    assert sentence(answer).startswith("together: 5 (63.0 %)")


@pytest.mark.parametrize(
    ("drawing", "wobble", "steps", "said"),
    [
        (Drawing(), Wobble(), None, "draw a digit with mouse or pen"),
        (Drawing(), Wobble(turn=90), None, "draw a digit with mouse or pen"),
        (ONE, Wobble(), None, "a 1"),
        (ONE, Wobble(turn=90), None, "as wobbled: a 7"),
        (ONE, Wobble(right=40), None, "as wobbled: no ink is left to see"),
        (ONE, Wobble(), Steps(), "a 1"),
        (ONE, Wobble(), Steps().without("crop"), "without Crop: still read as 1"),
        (ONE, Wobble(), Steps().without("invert"), "without Invert: now read as 7"),
        (ONE, Wobble(), Steps(crop=False, invert=False), "without 2 steps: now read as 7"),
        (ONE, Wobble(turn=90), Steps(), "before the wobble: a 1"),
        (ONE, Wobble(turn=90), Steps().without("crop"), "before the wobble, without Crop: still read as 1"),
        (TWO, Wobble(), None, "11  (least sure of the 1: 82.0 %)"),
        (TWO, Wobble(), Steps(), "digit 2 of 2: a 1"),
        (TWO, Wobble(turn=90), None, "digit 2 of 2, as wobbled: a 7"),
    ],
)
def test_the_sentence_says_what_its_answer_is_of(
    drawing: Drawing, wobble: Wobble, steps: Steps | None, said: str
) -> None:
    assert sentence(ask(Question(drawing, 20.0, wobble, steps), reading("one"), never)) == said


def test_a_rejected_drawing_is_no_digit_whatever_the_condition() -> None:
    def said(**question: Wobble | Steps) -> str:
        return sentence(ask(Question(ONE, 20.0, **question), reading("one"), always))  # type: ignore[arg-type]

    assert said() == "▲ probably not a digit"
    assert said(wobble=Wobble(turn=90)) == "▲ as wobbled: probably not a digit"
    invert = "▲ without Invert: now read as 7, but probably not a digit"
    assert said(steps=Steps().without("invert")) == invert


def test_an_open_xray_is_about_the_first_of_several_networks() -> None:
    answer = ask(Question(ONE, 20.0, steps=Steps()), reading("one", "two"), never)
    assert sentence(answer) == "first network: a 1"
    answer = ask(Question(ONE, 20.0, steps=Steps().without("invert")), reading("one", "two"), never)
    assert sentence(answer) == "first network, without Invert: now read as 7"
    assert len(answer.probabilities) == 2


def test_header_bars_and_xray_come_from_one_picture() -> None:
    answer = ask(Question(SEVEN, 33.0, Wobble(turn=20), Steps().without("centre")), reading("one", "two"), never)
    assert answer.xray is not None
    assert answer.picture is answer.xray.chosen
    assert answer.probabilities[0] is answer.variants["result"]
    assert set(answer.variants) == {"whole", "result", *preprocess.STEP_NAMES}


def test_the_picture_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Drawing] = []
    inked = preprocess.ink

    def counting(drawing: Drawing, brush: float = preprocess.BRUSH) -> Picture:
        made.append(drawing)
        return inked(drawing, brush)

    monkeypatch.setattr(preprocess, "ink", counting)
    ask(Question(SEVEN, 20.0), reading("one", "two", "three"), never)
    assert len(made) == 1
    ask(Question(SEVEN, 20.0, steps=Steps()), reading("one", "two", "three"), never)
    assert len(made) == 1 + 1 + 2  # to find digits; with the user's brush as well


def test_what_leaves_no_ink_is_not_asked_about() -> None:
    answer = ask(Question(Drawing((((-50.0, -50.0), (-60.0, -60.0)),)), 20.0), [], always)
    assert (answer.picture, answer.digit, answer.rejection) == (None, None, None)


def test_a_network_that_is_looked_into_answers_once_and_with_its_own_numbers() -> None:
    trained, untrained = (opened(build_model("1-layer", seed)) for seed in (1, 2))
    asked: list[int] = []

    def predict(pictures: Sequence[Picture]) -> list[Probabilities]:
        asked.append(len(pictures))
        return [width_reader(picture) for picture in pictures]

    inner = UNSEEN._replace(trained=trained, untrained=untrained)
    predictors = [Predictor(name, predict, uniform_map, "map", *inner, no_film) for name in ("one", "two")]
    for look, model, said in [
        (Look(), trained, "first network: "),
        (Look(1), trained, "second network: "),
        (Look(1, untrained=True), untrained, "second network, untrained: "),
    ]:
        asked.clear()
        answer = ask(Question(SEVEN, 20.0, Wobble(turn=10), look=look), predictors, always)
        assert asked == [1, 1, 1]  # both, to find the digits, and the other network
        assert answer.picture is not None
        assert answer.inside is not None
        with torch.no_grad():
            logits = model(normalise(to_unit(torch.from_numpy(answer.picture.copy()))).view(1, 1, 28, 28))
        assert np.array_equal(answer.inside.logits, logits[0].numpy())
        assert answer.probabilities[look.place] == pytest.approx(logits[0].double().softmax(dim=0).numpy())
        assert np.array_equal(answer.probabilities[1 - look.place], width_reader(answer.picture))
        assert (answer.rejection is None) == look.untrained  # which is never certain
        assert sentence(answer).removeprefix("▲ ").startswith(f"{said}as wobbled: ".replace(": as", ", as"))
    alone = ask(Question(SEVEN, 20.0, look=Look(0, untrained=True)), predictors[:1], always)
    assert sentence(alone).startswith("untrained network: ")
    assert ask(Question(Drawing(), 20.0, look=Look()), predictors, always).inside is None
