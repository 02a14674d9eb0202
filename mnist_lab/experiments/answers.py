"""How several trained networks classify the same digits: which of them err where, and how they do together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_lab.data.mnist import Digits
from mnist_lab.experiments import figures
from mnist_lab.experiments.figures import ShownDigit, gallery
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.plotting import png_of
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.terminal.wording import counted, format_interval, format_percent, format_probability
from mnist_lab.training.evaluation import Evaluation, evaluate
from mnist_lab.training.paired import mcnemar, mcnemar_verdict


@dataclass(frozen=True)
class Answers:
    """What one network, or several together, say about every one of N digits."""

    probabilities: NDArray[np.float64]  # (N, 10)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The most probable digit, (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1))

    def right(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which digits are classified correctly, (N,)."""
        return np.asarray(self.predictions == labels)

    def at(self, place: int) -> tuple[int, float]:
        """The answer to one digit, and its probability."""
        answer = int(self.probabilities[place].argmax())
        return answer, float(self.probabilities[place, answer])


def ask(model: DigitNet, digits: Digits, compute: Compute) -> Answers:
    """One network's answers to some digits."""
    logits = predict_logits(model, digits.images, compute)  # (N, 10)
    return Answers(torch.softmax(logits.double(), dim=1).numpy())


def ensemble(members: Sequence[Answers]) -> Answers:
    """Several networks' common answer to the same digits: the mean of their probabilities."""
    return Answers(np.mean([member.probabilities for member in members], axis=0))


def evaluate_answers(answers: Answers, labels: NDArray[np.int64]) -> Evaluation:
    """The usual numbers for given answers."""
    # In double precision: rounded to single, two nearly equal probabilities could change places.
    return evaluate(np.log(np.maximum(answers.probabilities, 1e-300)), labels)


def ensembles_of(answers: Mapping[str, Mapping[int, Answers]], labels: NDArray[np.int64]) -> dict[str, Evaluation]:
    """How the networks of each variant, one for each seed, do together, where there are several."""
    several = {name: list(by_seed.values()) for name, by_seed in answers.items() if len(by_seed) > 1}
    return {name: evaluate_answers(ensemble(members), labels) for name, members in several.items()}


def fixed_and_broken(before: Answers, after: Answers, digits: Digits) -> tuple[list[ShownDigit], list[ShownDigit]]:
    """The digits that only the second network gets right, and those that only the first does; the surest first."""
    right_before, right_after = (answers.right(digits.labels.numpy()) for answers in (before, after))
    sure = before.probabilities.max(axis=1) + after.probabilities.max(axis=1)

    def changed(which: NDArray[np.bool_], marks: str) -> list[ShownDigit]:
        shown = []
        for place in _surest(which, sure):
            (a, p), (b, q) = before.at(place), after.at(place)
            caption = f"A {marks[0]} {a}, {format_probability(p)}\nB {marks[1]} {b}, {format_probability(q)}"
            numbers = {"a": a, "probability_a": round(p, 5), "b": b, "probability_b": round(q, 5)}
            shown.append(_shown(digits, place, caption, **numbers))
        return shown

    return changed(~right_before & right_after, "✗✓"), changed(right_before & ~right_after, "✓✗")


def missed_by_all(members: Sequence[Answers], digits: Digits) -> list[ShownDigit]:
    """The digits that no network classifies correctly: ambiguous, or wrongly labelled; the surest mistakes first."""
    missed = ~np.any([member.right(digits.labels.numpy()) for member in members], axis=0)
    shown = []
    for place in _surest(missed, ensemble(members).probabilities.max(axis=1)):
        answers = [member.at(place)[0] for member in members]
        common = Counter(answers).most_common(2)
        caption = "read as\n" + ", ".join(f"{answer} ({count})" for answer, count in common)
        shown.append(_shown(digits, place, caption, answers=answers))
    return shown


def mistakes_of_ensemble(members: Sequence[Answers], digits: Digits) -> list[ShownDigit]:
    """What an ensemble misses: first the digits that most of its networks get right, then the surest mistakes."""
    labels, together = digits.labels.numpy(), ensemble(members)
    how_many = np.sum([member.right(labels) for member in members], axis=0)
    places = _surest(~together.right(labels), together.probabilities.max(axis=1))
    shown = []
    for place in sorted(places, key=lambda place: -how_many[place]):
        answer, probability = together.at(place)
        caption = f"✗ {answer}, {format_probability(probability)}\n{how_many[place]} of {len(members)} right"
        answers = [member.at(place)[0] for member in members]
        numbers = {"answer": answer, "probability": round(probability, 5), "answers": answers}
        shown.append(_shown(digits, place, caption, **numbers))
    return shown


def _surest(which: NDArray[np.bool_], sure: NDArray[np.float64]) -> list[int]:
    """The places of some digits, those with the largest probabilities first."""
    places = np.flatnonzero(which)
    return [int(place) for place in places[np.argsort(-sure[places], kind="stable")]]


def _shown(digits: Digits, place: int, caption: str, **answers: Any) -> ShownDigit:
    numbers = {"index": place, "label": int(digits.labels[place]), **answers}
    return ShownDigit(digits.images[place, 0].numpy() / 255, caption, numbers)


class Selection(NamedTuple):
    """Mean accuracies, fractions, of a network that was chosen as the best of several."""

    chosen: float  # on the digits that it was chosen by
    fresh: float  # on as many others
    mean: float  # of all networks, on all digits


def selection_bias(right: NDArray[np.bool_], digits: int, tries: int) -> Selection:
    """How much better the best of several networks looks on the digits, N / 2 at most, that it was chosen by.

    ``right`` (networks, N): which digits each classifies correctly. The best one's lead over the mean of all is
    averaged over random tries: how difficult the digits of a try are says nothing about choosing, and would drown it.
    """
    if not 0 < digits <= right.shape[1] // 2:
        raise ValueError(f"{right.shape[1]} digits do not make two parts of {digits}")
    generator = np.random.default_rng(0)
    chosen, fresh = np.empty(tries), np.empty(tries)
    for number in range(tries):
        drawn = generator.permutation(right.shape[1])[: 2 * digits]
        here, there = (right[:, part].mean(axis=1) for part in (drawn[:digits], drawn[digits:]))
        best = generator.choice(np.flatnonzero(here == here.max()))  # among equals, any
        chosen[number], fresh[number] = here[best] - here.mean(), there[best] - there.mean()
    mean = float(right.mean())
    return Selection(mean + float(chosen.mean()), mean + float(fresh.mean()), mean)


def changes_section(
    answers: Mapping[str, Answers], test: Digits, name: str = "changed", note: str = "", p_adjusted: float | None = None
) -> Section:
    """Which digits the second of two networks gets right and the first misses, and the reverse."""
    (a, before), (b, after) = answers.items()
    labels = test.labels.numpy()
    found = mcnemar(before.right(labels), after.right(labels))
    fixed, broken = fixed_and_broken(before, after, test)
    figure = gallery(
        {
            "Fixed (A wrong, B right)": (fixed, "B gets no digit right that A misses."),
            "Broken (A right, B wrong)": (broken, "B misses no digit that A gets right."),
        },
        title="Fixed and broken test digits",
        note="Below each digit: the answers of A and B, right ✓ or wrong ✗, with their probabilities.",
        most=12,
        names=f"A  {a}\nB  {b}",
    )
    alt = (
        f"Gallery of test digits with both networks' answers: {len(fixed)} that {b} gets right and {a} misses, "
        f"{len(broken)} the other way round; the surest answers first."
    )
    numbers = {"a": a, "b": b, "both_right": found.both_right, "both_wrong": found.both_wrong, "p_value": found.p_value}
    changed = {"fixed": [digit.numbers for digit in fixed], "broken": [digit.numbers for digit in broken]}
    explained = (
        "Only these digits can tell the two networks apart: were both equally good, each would be a fair coin toss. "
        "Whether their recipes differ, only several seeds can tell."
    )
    said = mcnemar_verdict(a, b, found, p_adjusted)
    paragraphs = [f"{said.sentence} {said.facts}", explained, *([note] if note else [])]
    picture = Picture("Fixed and broken", png_of(figure), alt, figures.CHANGED, name, numbers | changed)
    return Section(f"Fixed and broken: from {a} to {b}", paragraphs, pictures=[picture])


def together_section(members: Mapping[str, Answers], test: Digits, note: str = "") -> tuple[Section, Evaluation]:
    """How several networks do together: the digits that all of them miss, their ensemble, and what that misses."""
    answers, labels, runs = list(members.values()), test.labels.numpy(), len(members)
    together = evaluate_answers(ensemble(answers), labels)
    alone = {name: evaluate_answers(member, labels) for name, member in members.items()}
    rows = [
        (name, format_percent(one.accuracy), format_interval(one.interval), f"{one.total - one.correct:,}")
        for name, one in (alone | {"ensemble of all": together}).items()
    ]
    headings = ("network", "accuracy", "95 % interval", "missed")
    table = Table(f"Each alone and all together, on {together.total:,} test digits", headings, rows, (1, 2, 3))
    missed, mistakes = missed_by_all(answers, test), mistakes_of_ensemble(answers, test)
    none = f"Each of {counted(len(test), 'digit')} is right in at least one of {counted(runs, 'run')}."
    missed_figure = gallery(
        {f"Missed by all {runs:,} runs": (missed, none)},
        title="Digits that no network gets right",
        note="Read as: the two most common answers. In brackets: how many runs gave each.",
    )
    mistakes_figure = gallery(
        {"Missed by the ensemble": (mistakes, f"It classifies each of {counted(len(test), 'digit')} correctly.")},
        title="The mistakes that the ensemble still makes",
        note="Below each digit: the ensemble's answer ✗ with its mean probability, and how many networks are right.",
    )
    known = sum(digit.numbers["label"] in digit.numbers["answers"] for digit in mistakes)
    of_missed = (
        f"Gallery of the {len(missed)} test digits that all {runs} networks miss, with what they were taken for."
    )
    of_mistakes = (
        f"Gallery of the {len(mistakes)} test digits that the ensemble misses; first {known} that a network gets right."
    )
    numbers = [{"networks": list(members), "digits": [one.numbers for one in shown]} for shown in (missed, mistakes)]
    pictures = [
        Picture("Missed by all", png_of(missed_figure), of_missed, figures.MISSED, "missed_by_all", numbers[0]),
        Picture(
            "The ensemble's mistakes", png_of(mistakes_figure), of_mistakes, figures.ENSEMBLE, "committee", numbers[1]
        ),
    ]
    counts = [one.total - one.correct for one in alone.values()]
    each = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
    paragraphs = [
        f"The ensemble answers with the mean of the {runs} networks' probabilities. It misses {len(mistakes):,} of "
        f"{len(test):,} digits; alone, they miss {each}, {sum(counts) / len(counts):,.1f} on average.",
        f"{len(missed):,} digits are missed by every single one.",
        "The intervals in this table (95 %, Wilson) are about the choice of digits, and say nothing about other seeds.",
    ]
    return Section("Together", [note, *paragraphs] if note else paragraphs, [table], pictures), together
