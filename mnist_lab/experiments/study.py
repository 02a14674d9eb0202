"""From finished runs to a folder: figures, numbers, and a page that shows both."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mnist_lab.data.mnist import Digits, load_mnist
from mnist_lab.errors import RunError
from mnist_lab.experiments import figures, questions, statistics
from mnist_lab.experiments.answers import Answers, ask, changes_section, ensembles_of, together_section
from mnist_lab.experiments.measures import Networks, Runs, tested_accuracy
from mnist_lab.experiments.questions import Experiment
from mnist_lab.explain.film import Film, read_film
from mnist_lab.explain.film_figures import CAPTION, draw_film
from mnist_lab.networks.compute import choose_compute
from mnist_lab.plotting import png_of
from mnist_lab.report.document import RESULTS_FILE, Caption, Picture, Prediction, Report, Section, Table, write_report
from mnist_lab.report.index import write_summary
from mnist_lab.storage import new_folder, write_bytes, write_json
from mnist_lab.terminal.lab import Lab
from mnist_lab.terminal.wording import format_percent, plain
from mnist_lab.training.evaluation import Evaluation
from mnist_lab.training.folder_commands import tell_result
from mnist_lab.training.page import results_summary
from mnist_lab.training.paired import LEVEL, format_p, mcnemar, mcnemar_verdict
from mnist_lab.training.runs import Recipe, command_line, read_history
from mnist_lab.training.session import load_trained

_CHANGES_SHOWN = 2  # comparisons, at most, whose networks are compared digit by digit
_MOST_SHOWN = 8  # networks in one table, and recipes whose curves are drawn in one figure, at most
_DIGITS = "test digits"  # what most experiments measure on
_FILMS_SHOWN = 4  # side by side, at most
_PAIRS_TOLD = 3  # pairs of networks, at most, that get a sentence each; a table holds all of them

_OF_RESULTS = """Mean, standard deviation (sd) and 95 % interval of the mean (Student's t; cut at 100 %) are taken over
the seeds, on the same digits: how much a result varies when nothing changes but chance. A single seed has neither sd
nor interval. The ensemble of a variant answers with the mean of its networks' probabilities."""

_OF_DIFFERENCES = """A difference is taken seed by seed, then averaged. p is the probability that chance alone would
give one at least as large; below 0.05 it counts as found. p, all counted, corrects for looking at many (Holm's method).
An interval is that of its comparison alone, and may exclude 0 where the verdict, with all counted, is not
distinguishable. Seeds needed: roughly how many would find the difference, were it as large as it looks."""

_OF_PAIRS = """Only digits that one of two networks gets right and the other misses can tell the two apart (exact
McNemar test): p is the probability that a fair coin, tossed for each of them, falls at least as unevenly. The last
column corrects for looking at several pairs (Holm's method)."""

_OF_TRAINING = """Equal seeds mean equal initial weights and an equal order of the digits, wherever the variants have
the same network and the same digits. The best epoch of each training was chosen on the validation digits; the test
digits were used once it had ended, and nothing was chosen by them."""


@dataclass(frozen=True)
class Study(Report):
    """A question that was put to networks, and everything that came out: its page, and what else is kept and shown."""

    label: str = ""  # of the folder
    numbers: Mapping[str, Any] = field(default_factory=dict)  # for results.json; accuracies are fractions
    tables: Sequence[Table] = ()  # of the sections', those that the screen shows as well


def write_study(outputs: Path, study: Study) -> Path:
    """Write the figures, the numbers, and the page, which comes last; StorageError if one can't be written."""
    pictures, prediction = [picture for section in study.sections for picture in section.pictures], study.prediction
    drawn_from = {picture.name: picture.numbers for picture in pictures if picture.numbers is not None}
    with new_folder(outputs, study.label, study.created) as folder:
        for picture in pictures:
            write_bytes(folder / f"{picture.name}{picture.suffix}", picture.content)
        content = {
            "title": study.title,
            "question": study.question,
            "verdicts": list(study.verdicts),
            "prediction": prediction and {"words": prediction.words, "outcome": prediction.outcome},
            "facts": dict(study.facts),
            "command": study.repeat,
            "created": study.created.astimezone().isoformat(timespec="seconds"),
            "thumbnail": f"{pictures[0].name}.png",
            **study.numbers,
            **({"figures": drawn_from} if drawn_from else {}),
        }
        write_json(folder / RESULTS_FILE, content)
        captions = {f"{one.name}{one.suffix}": Caption(one.title, one.alt, one.caption) for one in pictures}
        write_summary(folder, replace(results_summary(content), pictures=captions))
        write_report(folder, study)
    return folder


def tell_study(lab: Lab, study: Study, *, offer_page: bool = False) -> None:
    """Show what came out, and leave a folder with a page; ``offer_page`` asks at the end whether to open it."""
    for table in study.tables:  # before writing, which may fail
        lab.terminal.show("", table.on_screen(gap=1))
    lab.terminal.show("")
    with lab.terminal.busy("writing the folder"):
        folder = write_study(lab.outputs, study)
    prediction = study.prediction
    said = [] if prediction is None else [f'your prediction: "{prediction.words}". {prediction.outcome}']
    headline, *rest = study.verdicts or [""]
    if headline:
        lab.terminal.show(f"[title]{plain(headline)}[/title]")
    tell_result(lab, folder, [*rest, *said], offer_page=offer_page)


def study_experiment(
    experiment: Experiment,
    runs: Runs,
    outputs: Path,
    now: datetime,
    *,
    command: str,
    epochs: int | None = None,
    prediction: str = "",
    failures: Sequence[str] = (),
    all_known: bool = False,
) -> Study:
    """Ask an experiment's networks, from finished runs, and draw conclusions.

    ``epochs`` is None for whatever saved runs had; ``failures`` has a sentence for each training that failed;
    ``all_known`` says that none was new. RunError, CheckpointError or RequestError: a run can't be used.
    """
    runs = {name: by_seed for name, by_seed in runs.items() if by_seed}
    mnist, compute = load_mnist(), choose_compute()
    models = {name: {seed: load_trained(run, compute) for seed, run in found.items()} for name, found in runs.items()}
    answers = {name: {seed: ask(model, mnist.test, compute) for seed, model in m.items()} for name, m in models.items()}
    measured = experiment.measure(Networks(experiment.pairs, runs, models, answers, mnist, compute, outputs))
    conclusion = measured.conclusion
    ensembles = {} if measured.digits else ensembles_of(answers, mnist.test.labels.numpy())
    results = _results_section(conclusion, ensembles, measured.digits)
    sections = [measured.section] if measured.section else []
    sections += [results, _curves_section(runs), *_digit_sections(experiment.pairs, answers, mnist.test)]
    sections.append(_runs_section(runs))
    if failures:
        sections.append(Section("What failed", [*failures, "It is left out everywhere else on this page."]))
    sections.append(Section("How to read this", [experiment.explanation, _OF_TRAINING]))
    digits, on_average = measured.predicted
    outcome = f"Graded by {on_average}: " * bool(on_average) + statistics.grade(prediction, conclusion, digits)
    counts = sorted({len(by_seed) for by_seed in runs.values()})
    devices = {run.device or "unknown" for by_seed in runs.values() for run in by_seed.values()}
    return Study(
        label=f"experiment-{experiment.name}",
        kind="Experiment",
        title=f"Experiment: {experiment.name}",
        question=experiment.question,
        facts={
            "differs": experiment.factor,
            **({} if epochs is None else {"epochs": str(epochs)}),
            "seeds": str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}",
            "device": "; ".join(sorted(devices)),
        },
        repeat=command_line(command, outputs),
        created=now,
        verdicts=list(dict.fromkeys([*measured.sentences, *conclusion.sentences, *measured.remarks])),
        sections=sections,
        numbers={
            "experiment": experiment.name,
            "factor": experiment.factor,
            "epochs": epochs,
            "runs": {name: {str(seed): run.name for seed, run in m.items()} for name, m in runs.items()},
            "failures": list(failures),
            "measured_on": measured.digits or _DIGITS,
            "conclusion": conclusion.to_dict(),
            # "committees" is what ensembles were called first; results.json keeps its keys.
            "committees": {name: _counts(together) for name, together in ensembles.items()},
            "extra": dict(measured.content),
        },
        tables=results.tables[:1],
        prediction=Prediction(prediction, outcome, all_known) if prediction else None,
    )


def _digit_sections(
    pairs: Sequence[tuple[str, str]], answers: Mapping[str, Mapping[int, Answers]], test: Digits
) -> list[Section]:
    """Fixed and broken digits of the first pairs, with the first seed that both have, and what all networks miss."""
    note = f"The first {_CHANGES_SHOWN} of {len(pairs)} comparisons are shown." if len(pairs) > _CHANGES_SHOWN else ""
    sections: list[Section] = []
    for before, after in pairs[:_CHANGES_SHOWN]:
        for seed in sorted(answers.get(before, {}).keys() & answers.get(after, {}).keys())[:1]:
            both = {f"{name}, seed {seed}": answers[name][seed] for name in (before, after)}
            sections.append(changes_section(both, test, "changed_2" if sections else "changed", note))
    everyone = {f"{name}, seed {seed}": given for name, m in answers.items() for seed, given in m.items()}
    shown, note = everyone, ""
    if len(everyone) > _MOST_SHOWN:
        firsts = {f"{name}, seed {min(m)}": m[min(m)] for name, m in answers.items()}
        shown = firsts if len(firsts) > 1 else dict(islice(everyone.items(), _MOST_SHOWN))
        note = f"Of the {len(everyone)} networks, {len(shown)} are shown." if len(shown) < len(everyone) else ""
    return [*sections, together_section(shown, test, note)[0]] if len(shown) > 1 else sections


def study_comparison(
    recipes: Sequence[Recipe], found: Mapping[str, Sequence[str]], outputs: Path, now: datetime
) -> Study:
    """Compare the first recipe with each other, and all networks, two at least; ``found``: what they differ in."""
    test, compute = load_mnist().test, choose_compute()
    labels = test.labels.numpy()
    runs = {recipe.network(seed): run for recipe in recipes for seed, run in recipe.runs.items()}
    by_recipe = {recipe.name: recipe.runs for recipe in recipes}
    answers = {name: ask(load_trained(run, compute), test, compute) for name, run in runs.items()}
    ensembles = ensembles_of({r.name: {s: answers[r.network(s)] for s in r.runs} for r in recipes}, labels)
    tested = {name: {seed: tested_accuracy(run) for seed, run in m.items()} for name, m in by_recipe.items()}
    first, *others = tested
    shared = [(first, name) for name in others if len(tested[first].keys() & tested[name].keys()) > 1]
    over_seeds = statistics.conclude(tested, shared)
    pairs = _networks_to_compare(recipes)
    tests = [mcnemar(answers[a].right(labels), answers[b].right(labels)) for a, b in pairs]
    adjusted = [p for p in statistics.holm([result.p_value for result in tests]) if p is not None]
    tested_pairs = [(*pair, result, p) for pair, result, p in zip(pairs, tests, adjusted, strict=True)]
    numbers = [{"before": a, "after": b, "p_adjusted": p, **vars(result)} for a, b, result, p in tested_pairs]
    rows = [
        (f"{a} and {b}", f"{m.only_a:,}", f"{m.only_b:,}", f"{m.both_wrong:,}", _p_cell(m.p_value), _p_cell(p))
        for a, b, m, p in tested_pairs
    ]
    said = [mcnemar_verdict(*one) for one in tested_pairs]
    verdicts = over_seeds.sentences or [said[0].sentence]
    if not over_seeds.compared and len(said) > 1:
        apart = sum(bool(one.is_different) for one in said)
        verdicts = [f"{apart or 'None'} of the {len(said)} pairs of networks can be told apart on the test digits."]
    verdicts += [one.facts for one in said[:_PAIRS_TOLD]]
    if len(pairs) > _PAIRS_TOLD:
        verdicts.append(f"The report's table holds all {len(pairs)} pairs of networks.")
    if len(others) > len(over_seeds.compared):
        verdicts.append(
            "Nothing is said about the recipes themselves where two have fewer than two seeds in common: train each "
            "with the same seeds, 0 to 4 for example, and compare those runs."
        )
    headings = ("networks", "only the first right", "only the second right", "both wrong", "p", "p, all counted")
    warning = "More than one factor differs: the result may be due to any of them."
    together, all_together = together_section(answers, test)
    sections = [
        Section("What differs", [warning] if len(found) > 1 else [], [differences_table(recipes, found)]),
        *([_results_section(over_seeds, ensembles, "")] if ensembles else []),
        Section("Digit by digit", [_OF_PAIRS], [Table("On the same test digits", headings, rows, range(1, 6))]),
        changes_section({name: answers[name] for name in pairs[0]}, test, p_adjusted=adjusted[0]),
        together,
        _curves_section(dict(islice(by_recipe.items(), _MOST_SHOWN))),
        *_film_sections(recipes),
        _runs_section(by_recipe),
    ]
    names = f"{len(runs)} runs of {first}" if len(recipes) == 1 else " and ".join(tested)
    title = f"Comparison: {names}" if len(recipes) < 3 else f"Comparison of {len(recipes)} recipes"
    return Study(
        label="compare",
        kind="Comparison",
        title=title,
        question="Do these networks predict differently, and where?",
        facts={"runs": str(len(runs)), "differ in": ", ".join(found) or "their seeds only"},
        repeat=command_line(shlex.join(["compare", *(run.name for run in runs.values())]), outputs),
        created=now,
        verdicts=verdicts,
        sections=sections,
        numbers={
            "runs": {name: run.name for name, run in runs.items()},
            "differences": {factor: list(values) for factor, values in found.items()},
            "over_seeds": over_seeds.to_dict(),
            "pairs": numbers,
            "committee": _counts(all_together),
        },
        tables=together.tables,
    )


def _networks_to_compare(recipes: Sequence[Recipe]) -> list[tuple[str, str]]:
    """Networks of the first recipe and each other one, with a common seed if there is one; of a single recipe, all."""
    first, *others = recipes
    start, *rest = first.runs
    pairs = [(first.network(start), first.network(seed)) for seed in rest] if not others else []
    for other in others:
        seed = next((seed for seed in first.runs if seed in other.runs), start)
        pairs.append((first.network(seed), other.network(seed if seed in other.runs else next(iter(other.runs)))))
    return pairs


def differences_table(recipes: Sequence[Recipe], found: Mapping[str, Sequence[str]]) -> Table:
    """What the configurations of some recipes differ in, a row each, of augmentation one for each strength."""
    rows = [("seeds", *(", ".join(map(str, recipe.runs)) for recipe in recipes))]
    for factor, values in found.items():
        parts: Mapping[str, Sequence[str]] = {factor: values}
        if factor == "augmentation":
            parts = questions.strengths([recipe.config for recipe in recipes])
        rows += [(part, *told) for part, told in parts.items()]
    return Table("What differs", ("factor", *(recipe.name for recipe in recipes)), rows)


def _results_section(conclusion: statistics.Conclusion, ensembles: Mapping[str, Evaluation], digits: str) -> Section:
    """The accuracies of all variants and the differences of the pairs; ``digits``: which, if not all test digits."""
    compared, pictures, tables = conclusion.compared, [], [_summary_table(conclusion, ensembles, digits or _DIGITS)]
    if not digits:
        rows = {name: list(by_seed.values()) for name, by_seed in conclusion.accuracies.items()}
        figure = figures.dot_plot(rows, title="Accuracy on test digits, every seed")
        means = "; ".join(f"{name} {format_percent(one.mean)}" for name, one in conclusion.summaries.items())
        alt = f"Dot plot of the accuracy on test digits, means: {means}."
        pictures.append(Picture("Accuracies", png_of(figure), alt, figures.DOTS, "accuracies"))
    if compared:
        figure = figures.difference_plot(compared, title="Differences over the same seeds")
        each = "; ".join(f"{one.title} {statistics.interval_in_words(one.difference)}" for one in compared)
        alt = f"Differences with their 95 % intervals: {each}."
        pictures.append(Picture("Differences", png_of(figure), alt, figures.DIFFERENCES, "differences"))
        tables.append(_comparisons_table(compared))
    return Section("Results", [_OF_RESULTS, _OF_DIFFERENCES] if compared else [_OF_RESULTS], tables, pictures)


def _summary_table(conclusion: statistics.Conclusion, ensembles: Mapping[str, Evaluation], digits: str) -> Table:
    columns = 6 if ensembles else 5
    headings = ("variant", "seeds", "mean, %", "sd, points", "95 % interval, %", "ensemble, %")
    rows = []
    for name, summary in conclusion.summaries.items():
        sd = "–" if summary.sd is None else f"{100 * summary.sd:.3f}"
        low, high = summary.interval or (0.0, 0.0)
        interval = f"{100 * max(low, 0):.3f} to {100 * min(high, 1):.3f}" if summary.interval else "–"
        together = f"{100 * ensembles[name].accuracy:.2f}" if name in ensembles else "–"
        rows.append((name, str(summary.n), f"{100 * summary.mean:.3f}", sd, interval, together)[:columns])
    title = f"Accuracy on {digits}, over the seeds (sd: standard deviation)"
    return Table(title, headings[:columns], rows, numeric=range(1, 6))


def _comparisons_table(compared: Sequence[statistics.Comparison]) -> Table:
    rows = []
    for one in compared:
        difference, needed = one.difference, None
        mean, *ends = statistics.format_points(difference.mean, *(difference.interval or ()))
        if one.verdict.is_different is False:
            needed = statistics.seeds_needed(difference, level=LEVEL / len(compared))
        seeds = "–" if needed is None else f"about {needed:,}"
        p_values = map(_p_cell, (difference.p_value, one.p_adjusted))
        interval = " to ".join(ends) or "–"
        rows.append((one.title, str(difference.n), mean, interval, *p_values, one.verdict.in_short, seeds))
    headings = ("comparison", "seeds", "points", "95 % interval", "p", "p, all counted", "verdict", "seeds needed")
    return Table("Differences over the same seeds", headings, rows, numeric=(1, 2, 3, 4, 5, 7))


def _p_cell(p: float | None) -> str:
    return "–" if p is None else format_p(p).removeprefix("p ").removeprefix("= ")


def _curves_section(runs: Runs) -> Section:
    histories = {name: [read_history(run) for run in by_seed.values()] for name, by_seed in runs.items()}
    lengths = [next(iter(by_seed.values())).config.images_per_epoch for by_seed in runs.values()]
    figure = figures.curves_with_spread(histories, lengths, title="Validation results during training")
    numbers = {
        name: {
            "runs": [run.name for run in runs[name].values()],
            "images_per_epoch": length,
            "val_loss": [[record.val_loss for record in history] for history in found],
            "val_accuracy": [[record.val_accuracy for record in history] for history in found],
        }
        for (name, found), length in zip(histories.items(), lengths, strict=True)
    }
    last = {name: np.mean([history[-1].val_accuracy for history in found]) for name, found in histories.items()}
    ends = "; ".join(f"{name} {format_percent(float(mean))}" for name, mean in last.items())
    alt = f"Validation loss and accuracy, epoch by epoch. Accuracy after the last epoch: {ends}."
    text = "Measured after every epoch on the 6,000 validation digits, by which the best epoch of each is chosen."
    picture = Picture("Training curves", png_of(figure), alt, figures.CURVES, "curves", numbers)
    return Section("How they learned", [text], pictures=[picture])


def _film_sections(recipes: Sequence[Recipe]) -> list[Section]:
    """The films of one run of each recipe, or of all runs of a single one; none if none has been kept."""
    of_each = _FILMS_SHOWN if len(recipes) == 1 else 1
    chosen = [(recipe.network(s), run) for recipe in recipes for s, run in islice(recipe.runs.items(), of_each)]
    films, without = dict[str, Film](), list[str]()
    for name, run in chosen[:_FILMS_SHOWN]:
        try:
            films[name] = read_film(run)
        except RunError:
            without.append(name)
    if not films:
        return []
    told = [f"Without a film, as runs of earlier versions are: {', '.join(without)}."] * bool(without)
    content = draw_film(films, "The same moments of training, side by side")
    aligned = f"Aligned by the digits seen; of at most {_FILMS_SHOWN} runs. {CAPTION.text}"
    picture = Picture("The films of the trainings", content, CAPTION.alt, aligned, "film")
    return [Section("Side by side, while they learned", told, pictures=[picture])]


def _runs_section(runs: Runs) -> Section:
    rows = [
        (run.name, name, str(run.seed), format_percent(run.val_accuracy), format_percent(run.test_accuracy))
        for name, by_seed in runs.items()
        for run in by_seed.values()
    ]
    headings = ("folder", "variant", "seed", "validation", "test")
    text = "Show any of them with: python main.py show FOLDER"
    return Section("The runs it rests on", [text], [Table("Ordinary saved runs", headings, rows, (2, 3, 4))])


def _counts(evaluation: Evaluation) -> dict[str, Any]:
    return {"accuracy": evaluation.accuracy, "correct": evaluation.correct, "total": evaluation.total}
