"""A finished experiment or comparison on disk: its figures, its numbers, and a report that shows both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_lab.errors import RunError
from mnist_lab.experiments import digit_figures as digit_plots
from mnist_lab.experiments import figures as plots
from mnist_lab.experiments.answers import (
    Answers,
    Changed,
    committee,
    fixed_and_broken,
    judge_answers,
    missed_by_all,
    mistakes_of_committee,
)
from mnist_lab.experiments.conclusions import Compared, Conclusion, as_sentence
from mnist_lab.experiments.statistics import (
    LEVEL,
    Summary,
    decimals_needed,
    excludes_zero,
    format_p,
    format_points,
    holm,
    in_points,
    mcnemar,
    mcnemar_verdict,
    mean_and_interval,
    seeds_needed,
    verdicts,
)
from mnist_lab.plotting import png_of
from mnist_lab.report.document import RESULTS_FILE, Picture, Prediction, Report, Section, Table, write_report
from mnist_lab.storage import write_atomically, write_json
from mnist_lab.terminal.wording import format_interval, format_percent
from mnist_lab.training.evaluation import Evaluation
from mnist_lab.training.history import EpochRecord
from mnist_lab.training.runs import Run

TOLD_ONE_BY_ONE = 2
"""So many comparisons are told a sentence each; of more, a summary comes first."""


@dataclass
class Pages:
    """A folder that is being filled: figures are saved as they come, and kept for the report.

    Attributes:
        folder: where.
        sections: of the report, in order.
        figures: by the name of a picture, the numbers that it was drawn from, as plain values.
        thumbnail: the picture that stands for the folder: the first that was saved.
    """

    folder: Path
    sections: list[Section] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    thumbnail: str = ""

    def picture(
        self, name: str, figure: Figure, alt: str, caption: str = "", *, title: str = "", numbers: Any = None
    ) -> Picture:
        """Save a figure beside the report, and give it back as the report's picture.

        Args:
            name: of the file, without its ending.
            figure: to save.
            alt: what there is to see, in words.
            caption: how to read it.
            title: a few words; made from the name if left out.
            numbers: what it was drawn from, ready for JSON; None if results.json holds them anyway.
        """
        png = png_of(figure)
        write_atomically(self.folder / f"{name}.png", lambda temporary: temporary.write_bytes(png))
        self.thumbnail = self.thumbnail or f"{name}.png"
        if numbers is not None:
            self.figures[name] = numbers
        return Picture(title=title or name.replace("_", " ").capitalize(), png=png, alt=alt, caption=caption)


@dataclass(frozen=True)
class Heading:
    """What stands above the answer."""

    title: str
    kind: str
    question: str
    command: str
    created: datetime
    facts: Mapping[str, str]
    prediction: Prediction | None = None


def finish(pages: Pages, heading: Heading, verdicts: Sequence[str], content: Mapping[str, Any]) -> Path:
    """Write the numbers and the report; the report comes last, when all that it shows is there."""
    prediction = heading.prediction
    write_json(
        pages.folder / RESULTS_FILE,
        {
            "title": heading.title,
            "question": heading.question,
            "verdicts": list(verdicts),
            "prediction": None if prediction is None else {"words": prediction.words, "outcome": prediction.outcome},
            "facts": dict(heading.facts),
            "command": heading.command,
            "created": heading.created.astimezone().isoformat(timespec="seconds"),
            "thumbnail": pages.thumbnail,
        }
        | dict(content)
        | ({"figures": pages.figures} if pages.figures else {}),
    )
    return write_report(
        pages.folder,
        Report(
            title=heading.title,
            kind=heading.kind,
            created=heading.created,
            question=heading.question,
            verdicts=verdicts,
            sections=pages.sections,
            repeat=heading.command,
            facts=heading.facts,
            prediction=prediction,
        ),
    )


# ------------------------------------------------------------------------------------------ what runs left


def tested_accuracy(run: Run) -> float:
    """A judged run's accuracy on the test digits, a fraction.

    Raises:
        RunError: the run is not judged.
    """
    if run.test_accuracy is None:
        raise RunError(f"the run {run.name} is not finished (status {run.status})", "finish it, or name another")
    return run.test_accuracy


# ---------------------------------------------------------------------------------------------- over seeds


class Part(NamedTuple):
    """A row of results that is about one variant on certain digits: ``plain`` on ``shifted digits``."""

    variant: str
    digits: str


Parts = Mapping[str, Part]
"""Those rows, by their names."""


class Told(NamedTuple):
    """A comparison in words."""

    title: str  # ``shifted digits: augmented minus plain``
    sentence: str
    pair: Compared
    p_adjusted: float | None


def tell(conclusion: Conclusion, parts: Parts) -> list[Told]:
    """The comparisons in words; those on certain digits say on which, and are otherwise about the variants."""
    pairs = conclusion.compared
    names = [
        (parts[p.before].variant, parts[p.after].variant) if p.before in parts else (p.before, p.after) for p in pairs
    ]
    found = verdicts([(*both, pair.difference) for both, pair in zip(names, pairs, strict=True)])
    adjusted = holm([pair.difference.p_value for pair in pairs])
    told = []
    for (before, after), pair, verdict, p in zip(names, pairs, found, adjusted, strict=True):
        digits = f"{parts[pair.before].digits}: " if pair.before in parts else ""
        sentence = as_sentence(digits[:1].upper() + digits[1:] + verdict.sentence)
        told.append(Told(f"{digits}{after} minus {before}", sentence, pair, p))
    return told


def in_short(told: Sequence[Told]) -> list[str]:
    """What is said above everything: a few sentences, the most important first.

    Two comparisons are told one by one. Of more, first how many differences are beyond chance, then these, the largest
    first, and in one sentence what could not be told apart.
    """
    if len(told) <= TOLD_ONE_BY_ONE:
        return [one.sentence for one in told]
    if all(one.pair.difference.n == 1 for one in told):
        seen = "; ".join(f"{one.title} {in_points(one.pair.difference.mean)}" for one in told)
        return [
            "With one seed nothing can be concluded, as no interval can be given; it takes several, 5 or so.",
            f"What this seed shows, chance included: {seen}.",
        ]
    found = [one for one in told if one.pair.verdict.is_different]
    found.sort(key=lambda one: -abs(one.pair.difference.mean))
    equal = [one for one in told if one.pair.verdict.is_different is False]
    unknown = [one for one in told if one.pair.verdict.is_different is None]
    return [
        how_many(len(found), len(told)),
        *(one.sentence for one in found),
        *([one.sentence for one in equal] if len(equal) == 1 else together_in_one("Not distinguishable", equal)),
        *([one.sentence for one in unknown] if len(unknown) == 1 else together_in_one("Nothing to conclude", unknown)),
    ]


def how_many(found: int, total: int) -> str:
    """How many of more than two comparisons show a difference."""
    if not found:
        return f"None of the {total} comparisons shows a difference that is more than chance."
    show = "shows" if found == 1 else "show"
    number = "All" if found == total else f"{found} of"
    return f"{number} the {total} comparisons {show} a difference that is more than chance, with all of them counted."


def together_in_one(beginning: str, told: Sequence[Told]) -> list[str]:
    """Several comparisons in one sentence, or none at all."""
    if not told:
        return []
    return [f"{beginning}: " + "; ".join(f"{one.title} {difference_in_words(one.pair)}" for one in told) + "."]


def difference_in_words(pair: Compared) -> str:
    """``+0.03 points (95 % interval −0.05 to +0.11)``."""
    if pair.difference.interval is None:
        return f"{in_points(pair.difference.mean)} (no interval)"
    mean, interval = mean_and_interval(pair.difference)
    return f"{mean} ({interval})"


def results_section(
    pages: Pages,
    conclusion: Conclusion,
    committees: Mapping[str, Evaluation],
    digits: str,
    *,
    parts: Parts | None = None,
    dots: bool = True,
) -> Section:
    """The accuracies of all variants and the differences of the pairs, as tables and figures.

    Args:
        pages: where the figures go.
        conclusion: what was found; its numbers stand in results.json.
        committees: what the networks of a variant reach together, by variant; may be empty.
        digits: what the accuracies were measured on.
        parts: of the rows' names.
        dots: whether to draw every seed's accuracy; where another figure shows them, there is no need.
    """
    told = tell(conclusion, parts or {})
    pictures, paragraphs = [], [seeds_explained(conclusion)]
    if committees:
        paragraphs.append(
            "The committee of a variant answers with the mean of its networks' probabilities. There is one of each, so "
            "it has no spread over seeds."
        )
    if dots:
        rows = {name: list(by_seed.values()) for name, by_seed in conclusion.accuracies.items()}
        alt = f"Dot plot of the accuracy on {digits}: " + "; ".join(map(spoken_summary, conclusion.summaries.items()))
        figure = plots.dot_plot(rows, title=f"Accuracy on {digits}, every seed", digits=digits)
        pictures.append(pages.picture("accuracies", figure, f"{alt}.", title="Accuracies"))
    tables = [summary_table(conclusion.summaries, committees, digits)]
    if told:
        differences = {one.title: difference_of(one.pair) for one in told}
        alt = "Differences with their 95 % intervals: " + "; ".join(
            f"{one.title} {difference_in_words(one.pair)}" for one in told
        )
        figure = plots.difference_plot(differences, title="Differences over the same seeds")
        pictures.append(pages.picture("differences", figure, f"{alt}.", title="Differences"))
        tables.append(comparisons_table(told))
        if any(one.pair.difference.p_value is not None for one in told):
            paragraphs.append(p_explained(told))
    return Section("What came out", paragraphs, tables, pictures)


def seeds_explained(conclusion: Conclusion) -> str:
    """What mean, spread and interval are taken over."""
    counts = {summary.n for summary in conclusion.summaries.values()}
    if counts == {1}:
        return (
            "Everything here comes from one seed. Another seed would give somewhat other numbers, and nobody knows how "
            "far apart: there is no spread and no interval."
        )
    text = (
        "Mean, standard deviation and 95 % interval (Student's t) are taken over the seeds, on the same digits: they "
        "tell how far a result moves when nothing changes but the draws of chance."
    )
    intervals = [summary.interval for summary in conclusion.summaries.values() if summary.interval is not None]
    if any(inside_possible(interval) != interval for interval in intervals):
        text += " An interval that reaches beyond 100 % is cut there; it takes more seeds to narrow it."
    return text


def p_explained(told: Sequence[Told]) -> str:
    """What the columns of the comparisons are."""
    text = (
        "A difference is taken seed by seed, then averaged, in percentage points. p is the probability that chance "
        "alone would give one at least as large; below 0.05 it counts as found. "
    )
    if len(told) > 1:
        text += "Who looks at many differences finds one by luck: p, all counted, makes up for that (Holm's method). "
    if any(excluded_by_one_alone(one) for one in told):
        text += (
            "An interval is that of its comparison alone. So it may leave out 0 although the verdict, for which all "
            "are counted, is not distinguishable. "
        )
    return text + (
        "Seeds needed: roughly how many would be enough to find the difference, were it as large as it looks."
    )


def excluded_by_one_alone(one: Told) -> bool:
    """Whether a comparison's interval leaves out 0, but its verdict, which counts all comparisons, finds nothing."""
    interval = one.pair.difference.interval
    return one.pair.verdict.is_different is False and interval is not None and excludes_zero(interval)


def difference_of(pair: Compared) -> plots.Difference:
    """A comparison as the figures take it."""
    found = pair.difference
    return plots.Difference(found.mean, found.interval, pair.verdict.is_different, found.n)


def spoken_summary(item: tuple[str, Summary]) -> str:
    """A variant's result in words, for a picture's alternative text."""
    name, summary = item
    seeds = f"mean of {summary.n} seeds" if summary.n > 1 else "one seed"
    return f"{name} {format_percent(summary.mean)} ({seeds})"


def summary_table(
    summaries: Mapping[str, Summary], committees: Mapping[str, Evaluation], digits: str = "test digits"
) -> Table:
    """Mean, spread, number and interval of every variant, and what its networks reach together, if anywhere."""
    rows = []
    for name, summary in summaries.items():
        cells = [
            name,
            str(summary.n),
            f"{100 * summary.mean:.3f}",
            "–" if summary.sd is None else f"{100 * summary.sd:.3f}",
            percent_range(summary.interval),
        ]
        if committees:
            cells.append(f"{100 * committees[name].accuracy:.2f}" if name in committees else "–")
        rows.append(cells)
    headings = ["variant", "seeds", "mean, %", "standard deviation, points", "95 % interval of the mean, %"]
    headings += ["committee, %"] if committees else []
    return Table(f"Accuracy on {digits}", headings, rows, numeric=range(1, len(headings)))


def percent_range(interval: tuple[float, float] | None) -> str:
    """An interval of a mean accuracy, without what lies outside 0..100 %, as finely as the mean itself."""
    if interval is None:
        return "–"
    low, high = inside_possible(interval)
    return f"{100 * low:.3f} to {100 * high:.3f}"


def inside_possible(interval: tuple[float, float]) -> tuple[float, float]:
    """An interval without what no accuracy can be."""
    return max(0.0, interval[0]), min(1.0, interval[1])


def comparisons_table(told: Sequence[Told]) -> Table:
    """The differences in numbers."""
    rows = []
    for one in told:
        difference, verdict = one.pair.difference, one.pair.verdict.is_different
        ends = difference.interval or ()
        decimals = decimals_needed(difference.mean, *ends)
        mean, *shown = (format_points(value, decimals, signed=True) for value in (difference.mean, *ends))
        needed = seeds_needed(difference, level=LEVEL / len(told)) if verdict is False else None
        rows.append(
            (
                one.title,
                str(difference.n),
                mean,
                f"{shown[0]} to {shown[1]}" if shown else "–",
                p_cell(difference.p_value),
                p_cell(one.p_adjusted),
                {True: "distinguishable", False: "not distinguishable", None: "no conclusion"}[verdict],
                "–" if needed is None else f"about {needed:,}",
            )
        )
    headings = ("comparison", "seeds", "points", "95 % interval", "p", "p, all counted", "verdict", "seeds needed")
    return Table("Differences over the same seeds", headings, rows, numeric=(1, 2, 3, 4, 5, 7))


def p_cell(p: float | None) -> str:
    """A p value for a column whose heading says so."""
    return "–" if p is None else format_p(p).removeprefix("p ").removeprefix("= ")


Histories = Mapping[str, Sequence[Sequence["EpochRecord"]]]
"""By variant, the histories of its runs in their order."""


def curves_section(pages: Pages, runs: Mapping[str, Sequence[Run]], histories: Histories) -> Section:
    """How the variants learned."""
    curves, numbers = {}, {}
    for name, members in runs.items():
        images = members[0].config.images_per_epoch
        curves[name] = plots.variant_curves(histories[name], images_per_epoch=images)
        numbers[name] = {
            "runs": [run.name for run in members],
            "images_per_epoch": images,
            "val_loss": curves[name].losses,
            "val_accuracy": curves[name].accuracies,
        }
    figure = plots.curves_with_spread(curves, title="Validation results while training")
    alt = "Validation loss and accuracy, epoch by epoch. Accuracy after the last epoch: " + "; ".join(
        f"{name} {format_percent(float(np.mean([run[-1] for run in curve.accuracies])))}"
        for name, curve in curves.items()
    )
    text = (
        "Measured after every epoch on the 6,000 validation digits, which are neither trained nor tested on. The best "
        "epoch of each training is chosen by them."
    )
    picture = pages.picture("curves", figure, f"{alt}.", title="Training curves", numbers=numbers)
    return Section("How they learned", [text], pictures=[picture])


# ------------------------------------------------------------------------------------------- digit by digit


@dataclass(frozen=True)
class PlainDigits:
    """The test digits as plain arrays."""

    pictures: NDArray[np.uint8]  # (N, 28, 28)
    labels: NDArray[np.int64]  # (N,)


def changes_section(
    pages: Pages,
    names: tuple[str, str],
    answers: tuple[Answers, Answers],
    test: PlainDigits,
    *,
    p_adjusted: float | None = None,
    picture: str = "changed",
    note: str = "",
) -> Section:
    """Which digits a second network reads that a first misses, and the reverse.

    Args:
        pages: where the figure goes.
        names: of the two networks.
        answers: theirs, to the same digits.
        test: what they were asked about.
        p_adjusted: the p value of their difference with all pairs counted, where there are several.
        picture: the name of the figure.
        note: what else to say, such as which networks these are.
    """
    before, after = answers
    fixed, broken = (read_twice(some, test) for some in fixed_and_broken(before, after, test.labels))
    found = mcnemar(before.right(test.labels), after.right(test.labels))
    sentence = as_sentence(mcnemar_verdict(*names, found, p_adjusted).sentence)
    explained = (
        "Fixed are the digits that the second network reads and the first misses, broken the reverse. Only these can "
        "tell two networks apart: were both equally good, each would fall to either side like a fair coin."
    )
    figure = digit_plots.fixed_and_broken(
        fixed, broken, name_a=names[0], name_b=names[1], title="Fixed and broken test digits"
    )
    alt = (
        f"Gallery of test digits with both networks' answers: {len(fixed)} that {names[1]} reads and {names[0]} "
        f"misses, {len(broken)} the other way round; those first of whose answers both are surest."
    )
    numbers = {
        "a": names[0],
        "b": names[1],
        "both_right": found.both_right,
        "both_wrong": found.both_wrong,
        "p_value": found.p_value,
        "fixed": [numbers_of_change(digit) for digit in fixed],
        "broken": [numbers_of_change(digit) for digit in broken],
    }
    paragraphs = [text for text in (sentence, explained, note) if text]
    drawn = pages.picture(picture, figure, alt, title="Fixed and broken", numbers=numbers)
    return Section(f"Fixed and broken: from {names[0]} to {names[1]}", paragraphs, pictures=[drawn])


def read_twice(changed: Changed, test: PlainDigits) -> list[digit_plots.ReadTwice]:
    """Digits with both answers, as the gallery takes them."""
    return [
        digit_plots.ReadTwice(
            picture=test.pictures[position],
            index=int(position),
            label=int(changed.labels[place]),
            answer_a=int(changed.before[place]),
            probability_a=float(changed.before_probability[place]),
            answer_b=int(changed.after[place]),
            probability_b=float(changed.after_probability[place]),
        )
        for place, position in enumerate(changed.positions)
    ]


def numbers_of_change(digit: digit_plots.ReadTwice) -> dict[str, Any]:
    """A digit that was read twice as plain values, without its picture."""
    return {
        "index": digit.index,
        "label": digit.label,
        "a": digit.answer_a,
        "probability_a": round(digit.probability_a, 5),
        "b": digit.answer_b,
        "probability_b": round(digit.probability_b, 5),
    }


def together_section(
    pages: Pages, members: Mapping[str, Answers], test: PlainDigits, note: str = ""
) -> tuple[Section, Evaluation]:
    """What several networks know together: the digits that all of them miss, their committee, and what that misses.

    Args:
        pages: where the figures go.
        members: at least two networks' answers, by name.
        test: what they were asked about.
        note: what else to say, such as which networks these are.
    """
    answers = list(members.values())
    together = judge_answers(committee(answers), test.labels)
    alone = {name: judge_answers(member, test.labels) for name, member in members.items()}
    rows = [(name, *accuracy_row(one)) for name, one in alone.items()]
    rows.append(("committee of all", *accuracy_row(together)))
    headings = ("network", "accuracy", "95 % interval", "missed")
    table = Table(f"Each alone and all together, on {together.total:,} test digits", headings, rows, (1, 2, 3))
    missed = missed_picture(pages, members, test)
    mistakes = committee_picture(pages, members, test)
    paragraphs = [
        note,
        committee_sentence(together, list(alone.values())),
        f"{len(missed_by_all(answers, test.labels)):,} digits are missed by every single one. Would you read them? "
        "Some of MNIST's test digits are ambiguous, and a few are labelled wrongly.",
        "The intervals in this table (95 %, Wilson) are about the choice of digits: where the accuracy of this very "
        "network on other digits of the same kind may lie. They say nothing about other seeds.",
    ]
    return Section("Together", [text for text in paragraphs if text], [table], [missed, mistakes]), together


def committee_sentence(together: Evaluation, alone: Sequence[Evaluation]) -> str:
    """What the committee misses, beside its networks."""
    missed = [one.total - one.correct for one in alone]
    each = f"{min(missed):,}" if min(missed) == max(missed) else f"{min(missed):,} to {max(missed):,}"
    return (
        f"The committee answers with the mean of the {len(alone)} networks' probabilities. It misses "
        f"{together.total - together.correct:,} of {together.total:,} digits; alone, they miss {each}, "
        f"{sum(missed) / len(missed):,.1f} on average."
    )


def missed_picture(pages: Pages, members: Mapping[str, Answers], test: PlainDigits) -> Picture:
    """The gallery of what nobody reads."""
    answers = list(members.values())
    missed = [
        digit_plots.Missed(
            test.pictures[position],
            int(position),
            int(test.labels[position]),
            [int(member.predictions[position]) for member in answers],
        )
        for position in missed_by_all(answers, test.labels)
    ]
    figure = digit_plots.missed_by_all(
        missed, runs=len(answers), judged=len(test.labels), title="Digits that nobody reads"
    )
    alt = (
        f"Gallery of the {len(missed)} test digits that all {len(answers)} networks miss, with what they were taken "
        "for; those first of whose wrong answer the networks together are surest."
    )
    numbers = {
        "networks": list(members),
        "digits": [{"index": digit.index, "label": digit.label, "answers": list(digit.answers)} for digit in missed],
    }
    return pages.picture("missed_by_all", figure, alt, title="Missed by all", numbers=numbers)


def committee_picture(pages: Pages, members: Mapping[str, Answers], test: PlainDigits) -> Picture:
    """The gallery of the committee's own mistakes."""
    lost = mistakes_of_committee(list(members.values()), test.labels)
    figure = digit_plots.committee_mistakes(
        [
            digit_plots.Outvoted(
                picture=test.pictures[digit.position],
                index=digit.position,
                label=digit.label,
                answer=digit.answer,
                probability=digit.probability,
                readers=digit.readers,
                members=len(members),
            )
            for digit in lost
        ],
        judged=len(test.labels),
        title="The mistakes that the committee still makes",
    )
    outvoted = sum(digit.readers > 0 for digit in lost)
    alt = (
        f"Gallery of the {len(lost)} test digits that the committee misses, with its answer and its probability; "
        f"{outvoted} of them are read by at least one of its networks, and come first."
    )
    numbers = {
        "networks": list(members),
        "digits": [
            {
                "index": digit.position,
                "label": digit.label,
                "answer": digit.answer,
                "probability": round(digit.probability, 5),
                "answers": list(digit.members),
            }
            for digit in lost
        ],
    }
    return pages.picture("committee", figure, alt, title="The committee's mistakes", numbers=numbers)


def accuracy_row(evaluation: Evaluation) -> tuple[str, str, str]:
    """Accuracy, interval, and the number missed."""
    return (
        format_percent(evaluation.accuracy),
        format_interval(evaluation.interval),
        f"{evaluation.total - evaluation.correct:,}",
    )


def runs_section(runs: Mapping[str, Sequence[Run]]) -> Section:
    """The runs that all of it rests on."""
    rows = [
        (run.name, name, str(run.seed), format_percent(run.val_accuracy), format_percent(run.test_accuracy))
        for name, members in runs.items()
        for run in members
    ]
    headings = ("folder", "variant", "seed", "validation", "test")
    text = "Each of them can be looked at with: python main.py show --run FOLDER"
    return Section("The runs it rests on", [text], [Table("Ordinary saved runs", headings, rows, (2, 3, 4))])
