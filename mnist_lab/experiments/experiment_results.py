"""From an experiment's finished runs to its folder: accuracies, verdicts, figures, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from mnist_lab.data.mnist import load_mnist
from mnist_lab.experiments.answers import (
    ask,
    committees_of,
)
from mnist_lab.experiments.conclusions import Conclusion, conclude, judge_prediction
from mnist_lab.experiments.measures import MEASURES, AllAnswers, Extra, Networks, Runs, measure_variants
from mnist_lab.experiments.questions import Setting
from mnist_lab.experiments.study import (
    Heading,
    Histories,
    Pages,
    PlainDigits,
    changes_section,
    curves_section,
    finish,
    in_short,
    results_section,
    runs_section,
    summary_table,
    tell,
    together_section,
)
from mnist_lab.networks.compute import choose_compute
from mnist_lab.report.document import Prediction, Section
from mnist_lab.storage import new_folder
from mnist_lab.terminal.console import borderless
from mnist_lab.terminal.wording import plain
from mnist_lab.training.evaluation import Evaluation
from mnist_lab.training.history import read_history
from mnist_lab.training.runs import command_line
from mnist_lab.training.session import load_trained

CHANGES_SHOWN = 2
"""Comparisons at most whose networks are looked at digit by digit."""

MISSED_BY_MOST = 8
"""Networks at most whose answers stand in one table; of more, each variant's first seed stands for it."""


@dataclass(frozen=True)
class Findings:
    """All that was read and measured: nothing is missing any more, and the folder can be written."""

    setting: Setting
    networks: Networks
    histories: Histories
    extra: Extra
    conclusion: Conclusion
    committees: Mapping[str, Evaluation]
    sentences: Sequence[str]
    prediction: Prediction | None


def report_experiment(setting: Setting, runs: Runs, outputs: Path, now: datetime) -> tuple[Path, list[str], Table]:
    """Compare an experiment's runs and leave a folder with figures, numbers and the report.

    Returns:
        The folder, what to say on the screen, and the table of variants.

    Raises:
        RunError, CheckpointError, RequestError: the model, history or configuration of a run can't be used; then no
            folder is made.
        StorageError: the disk refuses.
    """
    found = find_out(setting, {name: by_seed for name, by_seed in runs.items() if by_seed}, outputs)
    with new_folder(outputs, f"experiment-{setting.experiment.name}", now) as folder:
        pages = Pages(folder)
        pages.sections.extend(sections_of(pages, found))
        heading = Heading(
            title=f"Experiment: {setting.experiment.name}",
            kind="Experiment",
            question=setting.experiment.question,
            command=command_line(setting.command, outputs),
            created=now,
            facts=facts_of(found),
            prediction=found.prediction,
        )
        finish(pages, heading, found.sentences, content_of(found))
    lines = list(found.sentences)
    if found.prediction is not None:
        lines.append(f'your prediction: "{found.prediction.words}". {found.prediction.outcome}')
    return pages.folder, lines, screen_table(found.conclusion, found.committees)


def find_out(setting: Setting, runs: Runs, outputs: Path) -> Findings:
    """Ask the networks, and conclude; ``runs`` holds variants with at least one run."""
    mnist, compute = load_mnist(), choose_compute()
    histories = {name: [read_history(run) for run in found.values()] for name, found in runs.items()}
    models = {name: {seed: load_trained(run, compute) for seed, run in found.items()} for name, found in runs.items()}
    answers = {name: {seed: ask(model, mnist.test, compute) for seed, model in m.items()} for name, m in models.items()}
    networks = Networks(setting.experiment, runs, models, answers, mnist, compute, outputs)
    measure = MEASURES.get(setting.experiment.name, measure_variants)
    extra = measure(networks)
    conclusion = conclude(extra.accuracies, extra.pairs)
    return Findings(
        setting=setting,
        networks=networks,
        histories=histories,
        extra=extra,
        conclusion=conclusion,
        committees=committees_of(answers, mnist.test.labels.numpy()) if extra.by_variant else {},
        sentences=[*extra.sentences, *in_short(tell(conclusion, extra.parts)), *extra.remarks],
        prediction=judged(setting, conclusion, extra) if setting.prediction else None,
    )


def judged(setting: Setting, conclusion: Conclusion, extra: Extra) -> Prediction:
    """What the learner wrote, and how it came out."""
    words = setting.prediction
    if extra.predicted is None:
        return Prediction(words, judge_prediction(words, conclusion), setting.all_known)
    digits, what = extra.predicted
    variants = {name: part.variant for name, part in extra.parts.items() if part.digits == digits}
    overall = Conclusion(
        {variants[name]: values for name, values in conclusion.accuracies.items() if name in variants},
        {variants[name]: summary for name, summary in conclusion.summaries.items() if name in variants},
        [
            replace(pair, before=variants[pair.before], after=variants[pair.after])
            for pair in conclusion.compared
            if pair.before in variants
        ],
    )
    return Prediction(words, f"Judged by {what}: {judge_prediction(words, overall)}", setting.all_known)


# ------------------------------------------------------------------------------------------------ the report


def sections_of(pages: Pages, found: Findings) -> list[Section]:
    """The figures and tables, what the question is about first."""
    setting, extra, conclusion = found.setting, found.extra, found.conclusion
    listed = {name: list(by_seed.values()) for name, by_seed in found.networks.runs.items()}
    sections = [] if extra.section is None else [extra.section(pages, conclusion)]
    sections.append(
        results_section(pages, conclusion, found.committees, extra.digits, parts=extra.parts, dots=extra.dots)
    )
    sections.append(curves_section(pages, listed, found.histories))
    sections.extend(digit_sections(pages, found.networks))
    sections.append(runs_section(listed))
    if setting.failures:
        sections.append(Section("What failed", [*setting.failures, "Everything on this page does without it."]))
    return [*sections, reading_section(found)]


def digit_sections(pages: Pages, networks: Networks) -> list[Section]:
    """Fixed and broken digits of the first pairs, and what everybody misses."""
    answers = networks.answers
    test = PlainDigits(networks.mnist.test.images[:, 0].numpy(), networks.mnist.test.labels.numpy())
    sections = changes_sections(pages, networks.experiment.pairs, answers, test)
    everyone = {f"{name}, seed {seed}": given for name, m in answers.items() for seed, given in m.items()}
    note = ""
    if len(everyone) > MISSED_BY_MOST:
        firsts = {f"{name}, seed {min(m)}": m[min(m)] for name, m in answers.items()}
        note = f"Of the {len(everyone)} networks, one of each variant stands here."
        if len(firsts) == 1:
            firsts, note = dict(list(everyone.items())[:MISSED_BY_MOST]), f"The first {MISSED_BY_MOST} networks."
        everyone = firsts
    if len(everyone) > 1:
        sections.append(together_section(pages, everyone, test, note)[0])
    return sections


def changes_sections(
    pages: Pages, pairs: Sequence[tuple[str, str]], answers: AllAnswers, test: PlainDigits
) -> list[Section]:
    """Which digits the networks of the first pairs read differently, with the first seed that both variants have."""
    sections = []
    for place, (before, after) in enumerate(pairs[:CHANGES_SHOWN]):
        both = sorted(answers.get(before, {}).keys() & answers.get(after, {}).keys())
        for seed in both[:1]:
            names = (f"{before}, seed {seed}", f"{after}, seed {seed}")
            given = (answers[before][seed], answers[after][seed])
            note = f"Of the {len(pairs)} comparisons, the first {CHANGES_SHOWN} stand here, with one seed."
            section = changes_section(
                pages,
                names,
                given,
                test,
                picture="changed" if place == 0 else f"changed_{place + 1}",
                note=note if len(pairs) > CHANGES_SHOWN else "",
            )
            sections.append(section)
    return sections


def reading_section(found: Findings) -> Section:
    """How to read all this."""
    paragraphs = [found.setting.experiment.explanation]
    if len(found.networks.runs) > 1:
        paragraphs.append(
            "Every variant was trained with the same seeds. Equal seeds mean equal initial weights and an equal order "
            "of the digits, wherever the variants have the same network and the same digits: what differs is what the "
            "experiment is about."
        )
    if found.conclusion.compared:
        paragraphs.append(
            "Not distinguishable does not mean equal. It means that so many seeds can't tell: a difference inside the "
            "interval may well be there."
        )
    paragraphs.append(
        "The best epoch of each training was chosen on the validation digits. The test digits were read once the "
        "training had ended, and nothing about a network was chosen by them."
    )
    return Section("How to read this", [paragraph for paragraph in paragraphs if paragraph])


def facts_of(found: Findings) -> dict[str, str]:
    """A few numbers worth seeing at once."""
    seeds = sorted({len(by_seed) for by_seed in found.networks.runs.values()})
    epochs = found.setting.epochs
    return {
        "differs": found.setting.experiment.factor,
        **({} if epochs is None else {"epochs": str(epochs)}),
        "seeds": " to ".join(dict.fromkeys((str(seeds[0]), str(seeds[-1])))),
        "device": devices_of(found.networks.runs),
    }


def devices_of(runs: Runs) -> str:
    """What the networks were trained on: ``CPU, 1 thread, bfloat16``."""
    names = {str(run.content.get("device", "unknown")) for by_seed in runs.values() for run in by_seed.values()}
    return "; ".join(sorted(names))


def content_of(found: Findings) -> dict[str, Any]:
    """What results.json holds besides the heading and the figures' numbers; accuracies are fractions."""
    setting = found.setting
    return {
        "experiment": setting.experiment.name,
        "factor": setting.experiment.factor,
        "epochs": setting.epochs,
        "runs": {name: {str(seed): run.name for seed, run in m.items()} for name, m in found.networks.runs.items()},
        "failures": list(setting.failures),
        "measured_on": found.extra.digits,
        "conclusion": found.conclusion.to_dict(),
        "committees": {
            name: {"accuracy": together.accuracy, "correct": together.correct, "total": together.total}
            for name, together in found.committees.items()
        },
        "extra": dict(found.extra.content),
    }


def screen_table(conclusion: Conclusion, committees: Mapping[str, Evaluation]) -> Table:
    """The table of variants, for the terminal."""
    full = summary_table(conclusion.summaries, committees)
    headings = ("variant", "seeds", "mean %", "sd", "95 % interval", "committee %")[: len(full.headings)]
    table = borderless("", left=headings[:1], right=headings[1:])
    for row in full.rows:
        table.add_row(*(plain(str(cell)) for cell in row))
    return table
