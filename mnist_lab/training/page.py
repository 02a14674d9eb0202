"""Runs in words, from what their folders hold: pages, tables, cards of the index; nothing heavy is loaded."""

from __future__ import annotations

import math
import os
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text

from mnist_lab.config import CLASSES, TrainConfig, settings_of
from mnist_lab.data import DOUBTFUL_TEST_LABELS
from mnist_lab.errors import RequestError, RunError
from mnist_lab.report import document
from mnist_lab.report.document import Caption, Report, Section, Table, inside, number, text
from mnist_lab.report.index import SCORE_FILE, Summary, read_summary
from mnist_lab.terminal import wording
from mnist_lab.terminal.wording import format_duration, format_interval, format_loss, format_percent
from mnist_lab.training import runs as saved
from mnist_lab.training.runs import HISTORY_FILE, RUN_FILE, EpochRecord, RunRecord

HISTORY_ROWS = 40  # of a table; of longer histories, every second, third ... epoch stands for its neighbours
FILM_FILE, FILM_PICTURE = "film.npz", "film.webp"  # what was kept of a training on its way, and a picture of it
RUN_PICTURES = (
    *("history.png", "reliability.png", "confusion_counts.png", "confusion_percent.png"),
    *("mistakes.png", "neighbours.png", "unsure.png", "saliency.png", FILM_PICTURE),
)
ENDED = {
    "last epoch": "Training ran to its last epoch.",
    "patience": "Training stopped early, when its patience ran out.",
    "interrupted": "Training was interrupted by Ctrl-C.",
}
_MEASURED = """Training values are measured during an epoch, while the weights still change, with any dropout and
augmentation; validation values after it, without. Training may therefore look worse than validation."""
_HEADLINES = ("test accuracy", "95 % interval", "validation accuracy", "epochs", "training time", "parameters")
"""Facts about a run that are shown at the top of its page."""


def run_report(run: RunRecord) -> Report:
    """The page of a run: how good it is, how it learned, what it confuses, and how to repeat it.

    A missing or damaged file costs only its own part of the page, and is named.
    """
    captions = (read_summary(run.folder) or Summary()).pictures
    found = {name: document.read_picture(run.folder, name, captions.get(name)) for name in RUN_PICTURES}
    pictures = {name: [picture] if picture else [] for name, picture in found.items()}
    if not os.path.lexists(run.folder / FILM_FILE):  # runs of earlier versions have none
        del found[FILM_PICTURE]
    missing = _missing(run, [name for name, picture in found.items() if picture is None and run.is_evaluated])
    history = []
    if run.is_evaluated or os.path.lexists(run.folder / HISTORY_FILE):  # one that ended sooner may have none
        try:
            history = saved.read_history(run)
        except RunError as error:
            missing.append(f"Without {HISTORY_FILE}: {error.found}.")
    learned = [*pictures["history.png"], *pictures[FILM_PICTURE]]
    facts, test = run_facts(run), run.results.get("test")
    confused = describe_confused(test)
    remarks = [f"Most often, among the test digits: {confused}."] if confused else []
    sections = [
        Section(
            "How good it is", _goodness(run), [accuracy_table(run.results, "Accuracy")], pictures["reliability.png"]
        ),
        *_hand_sections(run),
        Section("How it learned", [_MEASURED] * bool(history), [_history_table(run, history)], learned),
        Section(
            "Which digits it confuses",
            remarks,
            [per_digit_table(test, "Digit by digit")],
            [*pictures["confusion_counts.png"], *pictures["confusion_percent.png"]],
        ),
        Section(
            "Wrong, or nearly",
            _doubted(run),
            pictures=[*pictures["mistakes.png"], *pictures["neighbours.png"], *pictures["unsure.png"]],
        ),
        Section("Which pixels mattered", pictures=pictures["saliency.png"]),
        Section("What it was trained with", tables=[_settings_table(run)]),
        Section("Where it was trained", tables=[_origin_table(run, facts)]),
        Section("What is missing", missing),
    ]
    sections = [replace(section, tables=[table for table in section.tables if table.rows]) for section in sections]
    how = "with augmentation" if run.augment else "without augmentation"
    return Report(
        title=run.title,
        kind="Training run",
        created=run.created,
        question=f"How well does the {run.model} network, trained {how}, read handwritten digits that it has not seen?",
        verdicts=_verdicts(run),
        note=run.note,
        sections=[section for section in sections if section.paragraphs or section.tables or section.pictures],
        repeat=run.command or "",
        facts={name.capitalize(): value for name in _HEADLINES if (value := dict(facts)[name]) != "–"},
    )


def write_run_page(run: RunRecord) -> Path:
    """Write a run's page into its folder, atomically; ``StorageError`` if it can't be written."""
    return document.write_report(run.folder, run_report(run))


def _verdicts(run: RunRecord) -> list[str]:
    if run.stop_reason is None:
        why = f" ({run.failure})" if run.failure else ""
        marked = f"Training did not finish: the run is marked as {saved.status_of(run)}{why}."
        return [marked, "Its network was never evaluated."]
    counts = _count_correct(run.results.get("test"))
    return [
        f"It classifies {format_percent(run.test_accuracy)} of the test digits correctly"
        f"{f' ({counts})' if counts else ''}, with a 95 % interval from {format_interval(run.test_interval)}.",
        f"The weights of epoch {run.best_epoch} of {run.epochs_run:,} were kept: it had the lowest validation loss. "
        f"{ENDED[run.stop_reason]}",
        *([text(run.personal.get("advice"))] if run.parent else []),
        "This is one network from one seed. To tell whether another recipe is better takes several seeds of each, and "
        "a difference several times their spread.",
    ]


def hand_table(run: RunRecord) -> Table:
    """What personalising changed, as run.json says, which is not trusted: each kind of digits before and after."""
    rows = []
    for one in _changes(run):
        total, before, after = (number(inside(one, name)) for name in ("total", "before", "after"))
        for when, correct in {"before": before, "after": after}.items():
            if total and correct is not None:
                interval_95 = format_interval(_interval(inside(one, f"{when}_interval_95")))
                count = f"{correct:,.0f} of {total:,.0f}"
                rows.append((text(inside(one, "digits")), when, format_percent(correct / total), interval_95, count))
    return Table("Before and after", ("digits", "", "accuracy", "95 % interval", "correct"), rows, numeric=(2, 3, 4))


def _changes(run: RunRecord) -> list[Any]:
    changes = run.personal.get("changes")
    return changes if isinstance(changes, list) else []


def hand_verdicts(run: RunRecord) -> list[str]:
    """What a personalised copy learned of a hand, then what may be concluded for each kind of digits."""
    return [text(said) for said in (run.personal.get("advice"), *(inside(one, "verdict") for one in _changes(run)))]


def _hand_sections(run: RunRecord) -> list[Section]:
    if not run.parent:
        return []
    folds = text(run.personal.get("folds"))
    how = (
        f"Your own digits were read by cross-validation: in {folds} parts, each by a copy that learned from the others "
        "only. The copy that was kept learned from all of them."
    )
    return [Section("What it learned of your hand", [how, *hand_verdicts(run)], [hand_table(run)])]


def _goodness(run: RunRecord) -> list[str]:
    words = (
        "The validation digits chose the epoch that was kept. The test digits were used once, after training: only "
        "they show how well it does on new handwriting."
    )
    error = number(inside(run.results, "test", "expected_calibration_error"))
    if error is not None:
        words += (
            f" On average, its probabilities are off by {100 * error:.2f} points from how often it is right "
            "(expected calibration error, ECE)."
        )
    return [words] if run.is_evaluated else []


def _doubted(run: RunRecord) -> list[str]:
    """How many of a run's mistakes have a label that most people doubt; runs of earlier versions do not know."""
    found, correct, total = (inside(run.results, "test", name) for name in ("doubted_mistakes", "correct", "total"))
    if not isinstance(found, list) or not type(correct) is type(total) is int:
        return []
    return [
        f"Most people doubt the labels of {len(DOUBTFUL_TEST_LABELS)} test digits (Northcutt et al. 2021, "
        f"labelerrors.com), marked † below. The network misses {len(found)} of them, where "
        f"the label may be wrong and not the network, and {wording.counted(total - correct, 'digit')} in all."
    ]


def _history_table(run: RunRecord, history: list[EpochRecord]) -> Table:
    """The epochs, thinned out if there are many; the first, the kept and the last are always there."""
    step = math.ceil(len(history) / HISTORY_ROWS)
    rows = [
        (
            str(record.epoch),
            format_loss(record.train_loss),
            format_percent(record.train_accuracy),
            format_loss(record.val_loss),
            format_percent(record.val_accuracy),
            f"{record.learning_rate:.1e}",
            format_duration(record.seconds),
            "kept" if record.epoch == run.best_epoch else "",
        )
        for place, record in enumerate(history)
        if place % step == 0 or record.epoch in (run.best_epoch, len(history))
    ]
    headings = ("epoch", "training loss", "accuracy", "validation loss", "accuracy", "learning rate", "time", "weights")
    some = f" ({len(rows)} of {len(history)}; all are in {HISTORY_FILE})" if len(rows) < len(history) else ""
    return Table(f"Epoch by epoch{some}", headings, rows, numeric=range(7))


def _settings_table(run: RunRecord) -> Table:
    """The saved configuration, if there is one: label, value, and what the value means."""
    values = dict(run.saved_config)
    told = {"model": "", "augment": _pairs(values.get("augment"))}
    with suppress(RequestError):  # of a configuration that is not the lab's, the bare values are shown
        config = run.config
        told["model"] = wording.describe_architecture(config.model)
        told["augment"] = wording.describe_augmentation(config.augment)
        values |= {"dropout": config.architecture.dropout, "hidden": config.architecture.hidden}
    settings, rows = settings_of(TrainConfig), []
    for name, value in values.items():
        known = settings.get(name)
        label, unit, meaning = (known.label, known.unit, known.help) if known else (name.replace("_", " "), "", "")
        shown = ("no", "yes")[bool(value)] if isinstance(value, bool | dict) else text(value)
        rows.append((label, shown, unit, told.get(name, meaning)))
    return Table("Configuration", ("setting", "value", "unit", "meaning"), rows, numeric=(1,))


def _origin_table(run: RunRecord, facts: Sequence[tuple[str, str]]) -> Table:
    rows = [("folder", run.name), *(fact for fact in facts if fact[0] not in _HEADLINES)]
    rows += [(name, _pairs(getattr(run, name)) or "–") for name in ("split", "machine", "versions")]
    return Table("The run, its machine and versions", ("what", "value"), rows)


def _pairs(content: object) -> str:
    """A flat JSON object as ``name value`` pairs."""
    return ", ".join(f"{name} {text(value)}" for name, value in content.items()) if isinstance(content, dict) else ""


def _missing(run: RunRecord, gone: list[str]) -> list[str]:
    """Which pictures the page does without, and what draws them."""
    if not gone:
        return []
    restore = saved.command_line(f"evaluate --run {shlex.quote(run.name)}", run.folder.parent)
    return [
        f"Not in the folder, or damaged: {', '.join(gone)}.",
        f"They are drawn by: {restore}",
    ]


# --------------------------- an evaluation, saved or just made, as Evaluation.to_dict() gives it; it is not trusted


def accuracy_table(results: Mapping[str, Any], title: str = "") -> Table:
    """The accuracies on both splits, from an evaluation under "validation" and one under "test", as far as known."""
    rows = [
        (
            split,
            format_percent(number(inside(results, split, "accuracy"))),
            format_interval(_interval(inside(results, split, "interval_95"))),
            _count_correct(results[split]) or "–",
        )
        for split in ("validation", "test")
        if split in results
    ]
    return Table(title, ("digits", "accuracy", "95 % interval", "correct"), rows, numeric=(1, 2, 3))


def _interval(value: Any) -> tuple[float, float] | None:
    with suppress(TypeError, ValueError):
        return document.interval(value)
    return None


def _count_correct(evaluation: Any) -> str:
    correct, total = inside(evaluation, "correct"), inside(evaluation, "total")
    return f"{correct:,} of {total:,}" if type(correct) is type(total) is int else ""


def per_digit_table(evaluation: Any, title: str) -> Table:
    """Precision, recall and F1 of every digit that occurs."""
    rows, scores = [], inside(evaluation, "per_digit")
    for one in scores[:CLASSES] if isinstance(scores, list) else []:
        precision, recall, f1, total = (number(inside(one, name)) for name in ("precision", "recall", "f1", "support"))
        if total:
            missed = "–" if recall is None else f"{total - recall * total:.0f}"
            percents = map(format_percent, (precision, recall, f1))
            rows.append((text(inside(one, "digit")), *percents, f"{total:,.0f}", missed))
    return Table(title, ("digit", "precision", "recall", "F1", "digits", "missed"), rows, numeric=range(6))


def describe_confused(evaluation: Any) -> str:
    """The most frequent mistakes in one line; empty if there are none."""
    found = inside(evaluation, "most_confused")
    pairs = found[:5] if isinstance(found, list) else []
    parts = ((text(inside(pair, name)) for name in ("true", "predicted", "count")) for pair in pairs)
    return ", ".join("{} taken for {} ({}x)".format(*part) for part in parts)


def run_facts(run: RunRecord) -> list[tuple[str, str]]:
    """What is worth knowing about a run, as label and value."""
    status, how = saved.status_of(run), run.failure or run.stop_reason
    augmentation = "yes" if run.augment else "no"
    if run.augment:
        with suppress(RequestError):  # a damaged configuration costs the strengths only
            augmentation = wording.describe_augmentation(run.config.augment)
    speed = number(run.images_per_second)
    return [
        ("trained", f"{run.created:%Y-%m-%d %H:%M:%S}, {f'{status} ({how})' if how and how != status else status}"),
        ("network", run.model),
        *([("personalised from", run.parent)] if run.parent else []),
        ("parameters", f"{run.parameters:,}"),
        ("augmentation", augmentation),
        ("seed", str(run.seed)),
        ("epochs", f"{run.epochs_run:,}, best {run.best_epoch:,}" if run.best_epoch else f"{run.epochs_run:,}"),
        ("validation accuracy", format_percent(run.val_accuracy)),
        ("test accuracy", format_percent(run.test_accuracy)),
        ("95 % interval", format_interval(run.test_interval)),
        ("training time", format_duration(run.train_seconds)),
        ("speed", "–" if speed is None else f"{speed:,.0f} images/s"),
        ("device", text(run.device)),
        ("workers", text(run.workers)),
        *(("resumed", words) for words in _resumptions(run)),
    ]


def _resumptions(run: RunRecord) -> list[str]:
    """When a run was resumed, and what had changed since its start."""
    told = []
    for session in run.sessions[1:]:
        first, now = _place_of(run.sessions[0]), _place_of(session)
        changes = [
            f"{name} {now[name]} (at first {first.get(name, '–')})" for name in now if now[name] != first.get(name)
        ]
        started, epoch = text(session.get("started")), text(session.get("after_epoch"))
        told.append("; ".join([f"{started[:19].replace('T', ' ')}, after epoch {epoch}", *changes]))
    return told


def _place_of(session: Mapping[str, Any]) -> dict[str, str]:
    """What a session computed on and with, by name."""
    parts = [{"device": session.get("device")}, session.get("machine"), session.get("versions")]
    return {name: text(value) for part in parts if isinstance(part, dict) for name, value in part.items()}


def summary_of(run: RunRecord, captions: Mapping[str, Caption] | None = None) -> Summary:
    """What the index shows of a run; ``captions`` describe its pictures, by file name."""
    sentences = [f"with {run.changes}"] if run.changes else []
    if run.is_evaluated:
        lasted = f"{wording.counted(run.epochs_run, 'epoch')} in {format_duration(run.train_seconds)}"
        interval_95 = f"95 % interval {format_interval(run.test_interval)}"
        sentences.insert(0, f"{interval_95}; {lasted}; validation {format_percent(run.val_accuracy)}")
    return Summary(
        kind="run",
        title=run.title,
        headline=format_percent(run.test_accuracy) if run.is_evaluated else "",
        headline_meaning="of the test digits" if run.is_evaluated else "",
        sentences=sentences,
        remark="" if run.status == "finished" else saved.status_of(run),
        thumbnail="confusion_counts.png" if run.epochs_run == 1 else "history.png",  # a curve needs two points
        traits=(run.model, "augmented" if run.augment else "unaugmented"),
        validation=run.val_accuracy,
        created=run.created.isoformat(timespec="seconds"),  # as it is in run.json
        pictures=captions or {},
    )


def unsummarised(folder: Path) -> Summary | None:
    """What the index shows of a folder without a ``summary.json``: a run under way, or one of an earlier version."""
    if os.path.lexists(folder / RUN_FILE):
        try:
            return summary_of(saved.read_run(folder))
        except RunError as error:
            return Summary("run", folder.name, remark=error.found)
    for name, summarise in ((document.RESULTS_FILE, results_summary), (SCORE_FILE, score_summary)):
        if os.path.lexists(folder / name):
            content = document.read_object(folder / name)
            return summarise(content) if content else Summary(remark=f"its {name} can't be read")
    return None


def results_summary(content: dict[str, Any]) -> Summary:
    """What the index shows of an experiment or a comparison, from its results.json, which is not trusted."""
    verdicts = content.get("verdicts")
    first = text(verdicts[0], "") if isinstance(verdicts, list) and verdicts else ""
    sizes = ((name, text(inside(content, "facts", name), "")) for name in ("runs", "seeds", "epochs"))
    size = ", ".join(f"{name}: {value}" for name, value in sizes if value)  # tells repetitions apart
    named = content.get("runs")
    members = named.values() if isinstance(named, dict) else ()  # each a folder, or folders by seed
    runs = [run for one in members for run in (one.values() if isinstance(one, dict) else [one])]
    return Summary(
        title=text(content.get("title"), ""),
        sentences=[sentence for sentence in (text(content.get("question"), ""), first, size) if sentence],
        thumbnail=text(content.get("thumbnail"), ""),
        runs=tuple(dict.fromkeys(run for run in runs if isinstance(run, str))),
    )


def score_summary(content: dict[str, Any]) -> Summary:
    """What the index shows of a score, from its score.json, which is not trusted."""
    accuracy, total = number(content.get("accuracy")), content.get("total")
    if accuracy is None:
        return Summary(remark=f"its {SCORE_FILE} can't be read")
    interval_95, run = format_interval(_interval(content.get("interval_95"))), text(content.get("run"))
    return Summary(
        headline=format_percent(accuracy),
        headline_meaning=f"of {total:,} drawings" if type(total) is int else "of the drawings",
        sentences=[f"95 % interval {interval_95}; read by {run}"],
    )


class Mark(NamedTuple):
    """How one run did on the user's digits."""

    correct: int
    total: int  # labelled drawings; those without ink count as missed


def mark_cell(mark: Mark | None) -> str:
    """How many were right; in percent from a hundred on, which is narrower. A dash where it is unknown."""
    if mark is None:
        return "–"
    return f"{mark.correct} of {mark.total}" if mark.total < 100 else f"{100 * mark.correct / mark.total:.1f} %"


def recipe_table(runs: Sequence[RunRecord], marks: Mapping[str, Mark | None]) -> Table:
    """Finished runs with equal configurations taken together, whatever their seeds: number, mean and spread."""

    def mean_mark(members: Sequence[RunRecord]) -> str:
        found = [mark for mark in (marks.get(run.name) for run in members) if mark]
        return f"{100 * statistics.mean(mark.correct / mark.total for mark in found):.1f}" if found else "–"

    recipe = with_recipe_letter(runs, lambda run: str(run.saved_config.get("recipe", "–")))
    columns: dict[str, Callable[[list[RunRecord]], str | Text]] = {
        "model": lambda members: members[0].model,
        "aug": lambda members: "yes" if members[0].augment else "no",
        "recipe": lambda members: recipe(members[0]),
        "epochs": lambda members: str(_epochs_asked(members[0])),
        "n": lambda members: str(len(members)),
        "validation %": lambda members: wording.mean_and_spread([run.val_accuracy or 0.0 for run in members]),
        "test %": lambda members: wording.mean_and_spread([run.test_accuracy or 0.0 for run in members]),
        **({"my %": mean_mark} if marks else {}),
        "time": lambda members: format_duration(statistics.mean(run.train_seconds or 0.0 for run in members)),
    }
    groups = [list(by_seed.values()) for by_seed in saved.by_recipe(sorted(runs, key=_recipe_order))]
    rows = [[cell(members) for cell in columns.values()] for members in groups]
    return Table("Runs that differ only in their seed", list(columns), rows, numeric=range(3, len(columns)))


def _recipe_order(run: RunRecord) -> tuple[str, bool, int]:
    return run.model, run.augment, _epochs_asked(run)


def _epochs_asked(run: RunRecord) -> int:
    """How many epochs a run was to have at most; it may have stopped earlier."""
    asked = run.saved_config.get("epochs")
    return asked if isinstance(asked, int) else run.epochs_run


def with_recipe_letter(runs: Sequence[RunRecord], cell: Callable[[RunRecord], str]) -> Callable[[RunRecord], Text]:
    """A cell's text, with the letter of its run's recipe where :func:`recipe_notes` has one."""
    letter_of = {changes: letter for letter, changes in recipe_notes(runs).items()}

    def lettered(run: RunRecord) -> Text:
        letter = letter_of.get(run.changes)
        return Text.assemble(wording.printable(cell(run)), *([] if letter is None else [(f" {letter}", "hint")]))

    return lettered


def recipe_notes(runs: Sequence[RunRecord]) -> dict[str, str]:
    """A letter for each recipe that differs from the usual ones, and the options that it differs by."""
    found = dict.fromkeys(run.changes for run in sorted(runs, key=_recipe_order))
    changed = [changes for changes in found if changes]
    return {wording.letters(place): changes for place, changes in enumerate(changed)}
