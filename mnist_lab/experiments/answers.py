"""What several trained networks make of the same digits: which of them err where, and what they know together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_lab.data.mnist import Digits
from mnist_lab.experiments import digit_figures
from mnist_lab.experiments.digit_figures import Missed, Outvoted, ReadTwice
from mnist_lab.experiments.statistics import mcnemar, mcnemar_verdict
from mnist_lab.networks.compute import Compute, predict_logits
from mnist_lab.networks.models import DigitNet
from mnist_lab.plotting import png_of
from mnist_lab.report.document import Picture, Section, Table
from mnist_lab.terminal.wording import format_interval, format_percent
from mnist_lab.training.evaluation import Evaluation, evaluate


@dataclass(frozen=True)
class Answers:
    """What one network, or several together, say about every one of N digits."""

    probabilities: NDArray[np.float64]  # (N, 10)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The most probable digit, (N,)."""
        found: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return found

    def right(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which digits are classified correctly, (N,)."""
        found: NDArray[np.bool_] = self.predictions == labels
        return found


def ask(model: DigitNet, digits: Digits, compute: Compute) -> Answers:
    """One network's answers to some digits."""
    logits = predict_logits(model, digits.images, compute)  # (N, 10)
    return Answers(torch.softmax(logits.double(), dim=1).numpy())


def ensemble(members: Sequence[Answers]) -> Answers:
    """Several networks' common answer about the same digits: the mean of their probabilities."""
    return Answers(np.mean([member.probabilities for member in members], axis=0))


def evaluate_answers(answers: Answers, labels: NDArray[np.int64]) -> Evaluation:
    """The usual numbers for given answers."""
    # In double precision: rounded to single, two nearly equal probabilities could change places.
    logits: NDArray[Any] = np.log(np.maximum(answers.probabilities, 1e-300))
    return evaluate(logits, labels)


def ensembles_of(answers: Mapping[str, Mapping[int, Answers]], labels: NDArray[np.int64]) -> dict[str, Evaluation]:
    """What the networks of each variant, one for each seed, reach together, where there are several."""
    return {
        name: evaluate_answers(ensemble(list(by_seed.values())), labels)
        for name, by_seed in answers.items()
        if len(by_seed) > 1
    }


# --- digit by digit ----------------------------------------------------------------------------------------------


def fixed_and_broken(before: Answers, after: Answers, digits: Digits) -> tuple[list[ReadTwice], list[ReadTwice]]:
    """The digits that only the second network reads, and those that only the first does; the surest first."""
    right_before, right_after = (answers.right(digits.labels.numpy()) for answers in (before, after))
    return (
        _changed(~right_before & right_after, before, after, digits),
        _changed(right_before & ~right_after, before, after, digits),
    )


def _changed(which: NDArray[np.bool_], before: Answers, after: Answers, digits: Digits) -> list[ReadTwice]:
    at = np.flatnonzero(which)
    first, second = before.predictions, after.predictions
    sure_first, sure_second = before.probabilities.max(axis=1), after.probabilities.max(axis=1)
    order = np.argsort(-(sure_first + sure_second)[at], kind="stable")
    return [
        ReadTwice(
            picture=digits.images[place, 0].numpy(),
            index=int(place),
            label=int(digits.labels[place]),
            answer_a=int(first[place]),
            probability_a=float(sure_first[place]),
            answer_b=int(second[place]),
            probability_b=float(sure_second[place]),
        )
        for place in at[order]
    ]


def missed_by_all(members: Sequence[Answers], digits: Digits) -> list[Missed]:
    """The digits that no network reads: ambiguous, or wrongly labelled; the surest mistakes first."""
    missed = np.flatnonzero(~np.any([member.right(digits.labels.numpy()) for member in members], axis=0))
    sure = ensemble(members).probabilities[missed].max(axis=1)
    predictions = np.array([member.predictions for member in members])  # (networks, N)
    return [
        Missed(digits.images[place, 0].numpy(), int(place), int(digits.labels[place]), predictions[:, place].tolist())
        for place in missed[np.argsort(-sure, kind="stable")]
    ]


def mistakes_of_ensemble(members: Sequence[Answers], digits: Digits) -> list[Outvoted]:
    """What an ensemble misses: first the digits that most of its networks read, then the surest mistakes."""
    labels = digits.labels.numpy()
    together = ensemble(members)
    readers = np.sum([member.right(labels) for member in members], axis=0)
    mistakes = [
        Outvoted(
            picture=digits.images[place, 0].numpy(),
            index=int(place),
            label=int(labels[place]),
            answer=int(together.predictions[place]),
            probability=float(together.probabilities[place].max()),
            readers=int(readers[place]),
            members=len(members),
        )
        for place in np.flatnonzero(~together.right(labels))
    ]
    return sorted(mistakes, key=lambda digit: (-digit.readers, -digit.probability))


# --- choosing the best -------------------------------------------------------------------------------------------


class Selection(NamedTuple):
    """Mean accuracies, fractions, of a network that was chosen as the best of several."""

    chosen: float  # on the digits that it was chosen by
    fresh: float  # on as many others
    mean: float  # of all networks, on all digits


def selection_bias(right: NDArray[np.bool_], digits: int, tries: int) -> Selection:
    """How much better the best of several networks looks on the digits that it was chosen by.

    What is averaged over the tries is the chosen network's lead over the mean of all: how difficult the digits of a
    try happen to be says nothing about choosing, and would be far larger than what is looked for.

    Args:
        right: (networks, N) whether each network classifies each digit correctly.
        digits: how many of them it is chosen by, and as many others; at most N / 2.
        tries: random choices of the digits.
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


# --- as sections of a page ---------------------------------------------------------------------------------------


def changes_section(
    answers: Mapping[str, Answers],
    test: Digits,
    picture: str = "changed",
    note: str = "",
    p_adjusted: float | None = None,
) -> Section:
    """Which digits the second of two networks reads that the first misses, and the reverse."""
    (a, before), (b, after) = answers.items()
    fixed, broken = fixed_and_broken(before, after, test)
    labels = test.labels.numpy()
    found = mcnemar(before.right(labels), after.right(labels))
    explained = (
        "Fixed are the digits that the second network reads and the first misses, broken the reverse. Only these can "
        "tell two networks apart: were both equally good, each would fall to either side like a fair coin."
    )
    figure = digit_figures.fixed_and_broken(fixed, broken, name_a=a, name_b=b, title="Fixed and broken test digits")
    alt = (
        f"Gallery of test digits with both networks' answers: {len(fixed)} that {b} reads and {a} "
        f"misses, {len(broken)} the other way round; those first of whose answers both are surest."
    )
    numbers = {
        "a": a,
        "b": b,
        "both_right": found.both_right,
        "both_wrong": found.both_wrong,
        "p_value": found.p_value,
        **{
            name: [
                {
                    "index": digit.index,
                    "label": digit.label,
                    "a": digit.answer_a,
                    "probability_a": round(digit.probability_a, 5),
                    "b": digit.answer_b,
                    "probability_b": round(digit.probability_b, 5),
                }
                for digit in digits
            ]
            for name, digits in (("fixed", fixed), ("broken", broken))
        },
    }
    paragraphs = [mcnemar_verdict(a, b, found, p_adjusted).sentence, explained, *([note] if note else [])]
    drawn = Picture("Fixed and broken", png_of(figure), alt, name=picture, numbers=numbers)
    return Section(f"Fixed and broken: from {a} to {b}", paragraphs, pictures=[drawn])


def together_section(members: Mapping[str, Answers], test: Digits, note: str = "") -> tuple[Section, Evaluation]:
    """What several networks know together: the digits that all of them miss, their ensemble, and what that misses."""
    answers, labels = list(members.values()), test.labels.numpy()
    together = evaluate_answers(ensemble(answers), labels)
    alone = {name: evaluate_answers(member, labels) for name, member in members.items()}
    rows = [
        (name, format_percent(one.accuracy), format_interval(one.interval), f"{one.total - one.correct:,}")
        for name, one in (alone | {"ensemble of all": together}).items()
    ]
    headings = ("network", "accuracy", "95 % interval", "missed")
    table = Table(f"Each alone and all together, on {together.total:,} test digits", headings, rows, (1, 2, 3))
    missed, mistakes = missed_by_all(answers, test), mistakes_of_ensemble(answers, test)
    outvoted = sum(digit.readers > 0 for digit in mistakes)
    pictures = [
        Picture(
            "Missed by all",
            png_of(
                digit_figures.missed_by_all(
                    missed, runs=len(answers), judged=len(test), title="Digits that nobody reads"
                )
            ),
            f"Gallery of the {len(missed)} test digits that all {len(answers)} networks miss, with what they were "
            "taken for; those first of whose wrong answer the networks together are surest.",
            name="missed_by_all",
            numbers={
                "networks": list(members),
                "digits": [{"index": d.index, "label": d.label, "answers": list(d.answers)} for d in missed],
            },
        ),
        Picture(
            "The ensemble's mistakes",
            png_of(
                digit_figures.committee_mistakes(
                    mistakes, judged=len(test), title="The mistakes that the ensemble still makes"
                )
            ),
            f"Gallery of the {len(mistakes)} test digits that the ensemble misses, with its answer and its "
            f"probability; {outvoted} of them are read by at least one of its networks, and come first.",
            name="committee",
            numbers={
                "networks": list(members),
                "digits": [
                    {
                        "index": digit.index,
                        "label": digit.label,
                        "answer": digit.answer,
                        "probability": round(digit.probability, 5),
                        "answers": [int(member.predictions[digit.index]) for member in answers],
                    }
                    for digit in mistakes
                ],
            },
        ),
    ]
    counts = [one.total - one.correct for one in alone.values()]
    each = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
    paragraphs = [
        note,
        f"The ensemble answers with the mean of the {len(alone)} networks' probabilities. It misses "
        f"{together.total - together.correct:,} of {together.total:,} digits; alone, they miss {each}, "
        f"{sum(counts) / len(counts):,.1f} on average.",
        f"{len(missed):,} digits are missed by every single one. Would you read them? "
        "Some of MNIST's test digits are ambiguous, and a few are labelled wrongly.",
        "The intervals in this table (95 %, Wilson) are about the choice of digits: where the accuracy of this very "
        "network on other digits of the same kind may lie. They say nothing about other seeds.",
    ]
    return Section("Together", [text for text in paragraphs if text], [table], pictures), together
