"""Saved runs side by side: their answers to the same test digits, what that allows to say, and a report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rich.table import Table as ScreenTable

from mnist_lab.data.mnist import load_mnist
from mnist_lab.experiments import figures as plots
from mnist_lab.experiments.answers import Answers, ask_run, committees_of, judge_answers
from mnist_lab.experiments.conclusions import Conclusion, as_sentence, conclude
from mnist_lab.experiments.questions import Difference
from mnist_lab.experiments.statistics import McNemar, holm, mcnemar, mcnemar_verdict
from mnist_lab.experiments.study import (
    Heading,
    Pages,
    PlainDigits,
    accuracy_row,
    changes_section,
    curves_section,
    finish,
    in_short,
    p_cell,
    results_section,
    runs_section,
    tell,
    tested_accuracy,
    together_section,
)
from mnist_lab.networks.compute import choose_compute
from mnist_lab.report.document import Section, Table
from mnist_lab.storage import new_folder
from mnist_lab.terminal.console import borderless
from mnist_lab.terminal.wording import plain
from mnist_lab.training.evaluation import Evaluation
from mnist_lab.training.history import EpochRecord, read_history
from mnist_lab.training.recipes import Recipe
from mnist_lab.training.runs import Run, command_line

CURVES_SHOWN = 8
"""Single runs at most whose training curves are drawn in one figure."""

TOLD_DIGIT_BY_DIGIT = 3
"""Pairs of networks at most that get a sentence each; all of them stand in a table."""


class Named(NamedTuple):
    """A run, and what it is called beside the others."""

    name: str
    run: Run


class Pair(NamedTuple):
    """Two networks on the same test digits."""

    before: str
    after: str
    found: McNemar
    p_adjusted: float  # once all pairs of the comparison are counted (Holm)


@dataclass(frozen=True)
class Compared:
    """All that was read and measured; nothing is missing any more, and the folder can be written."""

    recipes: Sequence[Recipe]
    named: Sequence[Named]
    histories: Mapping[str, list[EpochRecord]]  # by run
    answers: Mapping[str, Answers]  # by run
    test: PlainDigits
    over_seeds: Conclusion
    committees: Mapping[str, Evaluation]  # by recipe, where it has several runs
    pairs: Sequence[Pair]


def report_comparison(
    recipes: Sequence[Recipe], found: Sequence[Difference], outputs: Path, now: datetime
) -> tuple[Path, list[str], ScreenTable]:
    """Compare the first recipe with each of the others, and all of their networks.

    Args:
        recipes: with at least two runs in all, of the same split.
        found: what their configurations differ in.
        outputs: where the folder is made.
        now: its time stamp.

    Returns:
        The folder, what to say on the screen, and the table of accuracies.

    Raises:
        RunError, CheckpointError: a run's model or history can't be used; then no folder is made.
        StorageError: the disk refuses.
    """
    compared = look_at(recipes)
    with new_folder(outputs, "compare", now) as folder:
        pages = Pages(folder)
        committee = add_sections(pages, compared, found)
        names = [shlex.quote(run.name) for _, run in compared.named]
        heading = Heading(
            title=title_of(compared),
            kind="Comparison",
            question="Do these networks read differently, and where?",
            command=command_line(f"compare {' '.join(names)}", outputs),
            created=now,
            facts={"runs": str(len(names)), "differ in": ", ".join(d.factor for d in found) or "their seeds only"},
        )
        verdicts = verdicts_of(compared)
        finish(pages, heading, verdicts, content_of(compared, found, committee))
    return pages.folder, verdicts, accuracy_table(compared, committee)


def add_sections(pages: Pages, compared: Compared, found: Sequence[Difference]) -> Evaluation:
    """Fill the report, what the recipes are about first; returns what all networks reach together."""
    pages.sections.append(differences_section(compared.recipes, found))
    if compared.committees:
        pages.sections.append(results_section(pages, compared.over_seeds, compared.committees, "test digits"))
    pages.sections.append(pairs_section(compared.pairs))
    first = compared.pairs[0]
    both = (compared.answers[first.before], compared.answers[first.after])
    changes = changes_section(pages, (first.before, first.after), both, compared.test, p_adjusted=first.p_adjusted)
    pages.sections.append(changes)
    together, committee = together_section(pages, compared.answers, compared.test)
    pages.sections.append(together)
    pages.sections.append(learning_section(pages, compared))
    pages.sections.append(runs_section({recipe.name: list(recipe.runs.values()) for recipe in compared.recipes}))
    return committee


def look_at(recipes: Sequence[Recipe]) -> Compared:
    """Ask all networks about the test digits, and conclude."""
    mnist, compute = load_mnist(), choose_compute()
    test = PlainDigits(mnist.test.images[:, 0].numpy(), mnist.test.labels.numpy())
    named = [Named(recipe.network(seed), run) for recipe in recipes for seed, run in recipe.runs.items()]
    histories = {name: read_history(run) for name, run in named}
    answers = {name: ask_run(run, mnist.test, compute) for name, run in named}
    by_recipe = {r.name: {seed: answers[r.network(seed)] for seed in r.runs} for r in recipes}
    tested = {recipe.name: {seed: tested_accuracy(run) for seed, run in recipe.runs.items()} for recipe in recipes}
    first, *others = tested
    shared = [(first, name) for name in others if len(tested[first].keys() & tested[name].keys()) > 1]
    return Compared(
        recipes=recipes,
        named=named,
        histories=histories,
        answers=answers,
        test=test,
        over_seeds=conclude(tested, shared),
        committees=committees_of(by_recipe, test.labels),
        pairs=pairs_of(recipes, answers, test),
    )


def pairs_of(recipes: Sequence[Recipe], answers: Mapping[str, Answers], test: PlainDigits) -> list[Pair]:
    """Which networks are compared digit by digit: one of the first recipe with one of every other recipe.

    They have the same seed where that is possible. Of a single recipe, the first network with each of the others.
    """
    first, *others = recipes
    if others:
        names = [networks_to_compare(first, other) for other in others]
    else:
        start, *rest = first.runs
        names = [(first.network(start), first.network(seed)) for seed in rest]
    found = [mcnemar(answers[a].right(test.labels), answers[b].right(test.labels)) for a, b in names]
    adjusted = holm([result.p_value for result in found])
    return [
        Pair(*both, result, result.p_value if p is None else p)
        for both, result, p in zip(names, found, adjusted, strict=True)
    ]


def networks_to_compare(first: Recipe, other: Recipe) -> tuple[str, str]:
    """A network of each recipe: those of the first seed that both have, else the first of each."""
    common = next((seed for seed in first.runs if seed in other.runs), None)
    seeds = (next(iter(first.runs)), next(iter(other.runs))) if common is None else (common, common)
    return first.network(seeds[0]), other.network(seeds[1])


# -------------------------------------------------------------------------------------------- what came out


def verdicts_of(compared: Compared) -> list[str]:
    """What may be concluded: about the recipes where there are several seeds, and about the networks themselves."""
    sentences = in_short(tell(compared.over_seeds, {}))
    sentences += [pair_sentence(pair) for pair in compared.pairs[:TOLD_DIGIT_BY_DIGIT]]
    more = len(compared.pairs) - TOLD_DIGIT_BY_DIGIT
    if more > 0:
        sentences.append(f"{more} more {'pair' if more == 1 else 'pairs'} of networks: see the report's table.")
    untold = len(compared.recipes) - 1 - len(compared.over_seeds.compared)
    if untold > 0:
        sentences.append(
            "Nothing is said about the recipes themselves where two seeds or more of both are not at hand: train each "
            "with the same seeds, 0 to 4 for example, and compare those runs."
        )
    return sentences


def pair_sentence(pair: Pair) -> str:
    """What two networks' answers allow to say, all pairs counted."""
    return as_sentence(mcnemar_verdict(pair.before, pair.after, pair.found, pair.p_adjusted).sentence)


def pairs_section(pairs: Sequence[Pair]) -> Section:
    """Every pair of networks, digit by digit."""
    rows = [
        (
            f"{pair.before} and {pair.after}",
            f"{pair.found.only_a:,}",
            f"{pair.found.only_b:,}",
            f"{pair.found.both_wrong:,}",
            p_cell(pair.found.p_value),
            p_cell(pair.p_adjusted),
        )
        for pair in pairs
    ]
    headings = ("networks", "only the first reads", "only the second reads", "neither reads", "p", "p, all counted")
    text = (
        "Two networks that miss equally many digits need not miss the same ones. Only digits that one of them reads "
        "and the other misses can tell the two apart (exact McNemar test): p is the probability that a fair coin, "
        "tossed for each of them, falls at least as unevenly."
    )
    if len(pairs) > 1:
        text += " The last column makes up for looking at several pairs (Holm's method)."
    return Section("Digit by digit", [text], [Table("On the same test digits", headings, rows, range(1, 6))])


def differences_section(recipes: Sequence[Recipe], found: Sequence[Difference]) -> Section:
    """What the configurations differ in."""
    rows = [(difference.factor, *difference.values) for difference in found]
    rows.append(("seeds", *(", ".join(map(str, recipe.runs)) for recipe in recipes)))
    warning = ["More than one factor differs: whatever comes out may be due to any of them."] if len(found) > 1 else []
    headings = ("factor", *(recipe.name for recipe in recipes))
    return Section("What differs", warning, [Table("Configurations", headings, rows)])


def learning_section(pages: Pages, compared: Compared) -> Section:
    """The training curves of the runs in one figure; of several seeds, their mean and their spread."""
    if len(compared.named) > len(compared.recipes):
        runs = {recipe.name: list(recipe.runs.values()) for recipe in compared.recipes}
        histories = {
            recipe.name: [compared.histories[recipe.network(seed)] for seed in recipe.runs]
            for recipe in compared.recipes
        }
        return curves_section(pages, runs, histories)
    some = dict(islice(compared.histories.items(), CURVES_SHOWN))
    figure = plots.run_curves(some, title="How they learned")
    alt = f"Loss and accuracy, epoch by epoch, in training and validation, of {'; '.join(some)}."
    more = len(compared.named) > CURVES_SHOWN
    note = [f"The first {CURVES_SHOWN} of {len(compared.named)} runs."] if more else []
    return Section("How they learned", note, pictures=[pages.picture("curves", figure, alt, title="Training curves")])


def title_of(compared: Compared) -> str:
    """What is compared, in a few words."""
    names = [recipe.name for recipe in compared.recipes]
    if len(names) == 1:
        return f"Comparison: {len(compared.named)} runs of {names[0]}"
    return f"Comparison: {' and '.join(names)}" if len(names) == 2 else f"Comparison of {len(names)} recipes"


def content_of(compared: Compared, found: Sequence[Difference], committee: Evaluation) -> dict[str, object]:
    """What results.json holds besides the heading and the figures' numbers; accuracies are fractions."""
    return {
        "runs": {name: run.name for name, run in compared.named},
        "differences": {difference.factor: list(difference.values) for difference in found},
        "over_seeds": compared.over_seeds.to_dict(),
        "pairs": [
            {"before": pair.before, "after": pair.after, "p_adjusted": pair.p_adjusted, **vars(pair.found)}
            for pair in compared.pairs
        ],
        "committee": {"accuracy": committee.accuracy, "correct": committee.correct, "total": committee.total},
    }


def accuracy_table(compared: Compared, committee: Evaluation) -> ScreenTable:
    """Every network alone, and all together, for the terminal."""
    table = borderless("On the test digits", left=("network",), right=("accuracy", "95 % interval", "missed"))
    judged = {name: judge_answers(given, compared.test.labels) for name, given in compared.answers.items()}
    for name, evaluation in (judged | {"committee of all": committee}).items():
        table.add_row(plain(name), *accuracy_row(evaluation))
    return table
