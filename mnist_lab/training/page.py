"""What the pages say of a run, from what its folder holds; nothing heavy is loaded, so they open at once."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnist_lab.config import TrainConfig, settings_of
from mnist_lab.errors import RequestError, RunError
from mnist_lab.report.document import (
    RESULTS_FILE,
    Caption,
    Picture,
    Report,
    Section,
    Table,
    inside,
    interval,
    number,
    read_object,
    read_picture,
    text,
)
from mnist_lab.report.index import SCORE_FILE, Summary, read_summary
from mnist_lab.terminal.wording import (
    count_epochs,
    describe_architecture,
    describe_augmentation,
    describe_run,
    format_duration,
    format_interval,
    format_loss,
    format_percent,
)
from mnist_lab.training.history import EpochRecord, read_history
from mnist_lab.training.runs import HISTORY_FILE, JUDGED, RUN_FILE, Run, command_line, read_run
from mnist_lab.training.tables import resumptions, status_of

HISTORY_ROWS = 40
"""Epochs that a table shows; of longer histories every second, third ... stands for its neighbours."""

RUN_PICTURES = ("history.png", "confusion_counts.png", "confusion_percent.png", "mistakes.png", "saliency.png")
"""What every evaluated run leaves."""


def run_report(run: Run) -> Report:
    """What a run's folder tells: how good, how it learned, what it confuses, and how to repeat it.

    A file that is missing or damaged costs its own part of the page, and is named.
    """
    captions = (read_summary(run.folder) or Summary()).pictures
    pictures = {
        name: picture for name in RUN_PICTURES if (picture := read_picture(run.folder, name, captions.get(name)))
    }

    def shown(*names: str) -> list[Picture]:
        return [pictures[name] for name in names if name in pictures]

    history, damage = [], ""
    try:
        history = read_history(run)
    except RunError as error:
        damage = error.found
    found = [
        Section("How good it is", _goodness(run), [_results_table(run)] if run.status in JUDGED else []),
        Section("How it learned", _thinned_out(history), _history_tables(run, history), shown("history.png")),
        Section(
            "Which digits it confuses",
            _confusions(run),
            _per_digit_tables(run),
            shown("confusion_counts.png", "confusion_percent.png"),
        ),
        Section("Its most confident mistakes", pictures=shown("mistakes.png")),
        Section("Which pixels mattered", pictures=shown("saliency.png")),
        Section("What it was trained with", tables=_settings_tables(run)),
        Section("Where it was trained", tables=[_machine_table(run)]),
        Section("What is missing", _missing(run, pictures, damage)),
    ]
    how = "with augmentation" if run.augmented else "without augmentation"
    return Report(
        title=describe_run(run.model, augmented=run.augmented, seed=run.seed),
        kind="Training run",
        created=run.created,
        question=f"How well does the {run.model} network, trained {how}, read handwritten digits that it has not seen?",
        verdicts=_verdicts(run),
        sections=[section for section in found if section.paragraphs or section.tables or section.pictures],
        repeat=text(run.content.get("command"), ""),
        facts={
            "Test accuracy": format_percent(run.test_accuracy),
            "95 % interval": format_interval(run.test_interval),
            "Validation accuracy": format_percent(run.val_accuracy),
            "Epochs": f"{run.epochs_run:,}",
            "Training time": format_duration(run.train_seconds),
            "Parameters": f"{run.parameters:,}",
        },
    )


def _verdicts(run: Run) -> list[str]:
    if run.status not in JUDGED:
        reason = text(run.content.get("failure"), "")
        ended = f"The training did not finish: it is marked as {status_of(run)}"
        return [f"{ended} ({reason})." if reason else f"{ended}.", "Its network was never evaluated."]
    counts = _counts(run, "test")
    ended = {
        "last epoch": "The training went on to its last epoch.",
        "patience": "The training stopped early, when its patience was at an end.",
        "interrupted": "The training was interrupted by Ctrl-C.",
    }[run.content["stop_reason"]]
    return [
        f"It classifies {format_percent(run.test_accuracy)} of the test digits correctly"
        f"{f' ({counts})' if counts else ''}, with a 95 % interval from {format_interval(run.test_interval)}.",
        f"Kept are the weights of epoch {text(run.content.get('best_epoch'))} of {run.epochs_run:,}, which had the "
        f"lowest validation loss. {ended}",
        "This is one network from one seed. Whether another recipe is better takes several seeds of each, and a "
        "difference several times their spread.",
    ]


def _counts(run: Run, split: str) -> str:
    """How many digits of a split were classified correctly; empty where it was not saved."""
    correct, total = (inside(run.content, "results", split, name) for name in ("correct", "total"))
    return f"{correct:,} of {total:,}" if type(correct) is type(total) is int else ""


def _goodness(run: Run) -> list[str]:
    if run.status not in JUDGED:
        return []
    error = number(inside(run.content, "results", "test", "expected_calibration_error"))
    told = (
        "The validation digits chose the epoch that was kept. The test digits were used once, after the training: only "
        "they tell how well it does with new handwriting."
    )
    if error is not None:
        told += f" Its probabilities are off by {100 * error:.2f} points on average (expected calibration error)."
    return [told]


def _results_table(run: Run) -> Table:
    rows = []
    for split, accuracy in (("validation", run.val_accuracy), ("test", run.test_accuracy)):
        saved = inside(run.content, "results", split, "interval_95") if split == "validation" else run.test_interval
        rows.append((split, format_percent(accuracy), format_interval(_interval(saved)), _counts(run, split) or "–"))
    return Table("Accuracy", ("digits", "accuracy", "95 % interval", "correct"), rows, numeric=(1, 2, 3))


def _interval(saved: Any) -> tuple[float, float] | None:
    try:
        return interval(saved)
    except (TypeError, ValueError):
        return None


def _confusions(run: Run) -> list[str]:
    pairs = inside(run.content, "results", "test", "most_confused")
    described = [
        "{} taken for {} ({}x)".format(*(text(inside(pair, name)) for name in ("true", "predicted", "count")))
        for pair in (pairs[:5] if isinstance(pairs, list) else [])
    ]
    return [f"Most often, among the test digits: {', '.join(described)}."] if described else []


def _per_digit_tables(run: Run) -> list[Table]:
    scores = inside(run.content, "results", "test", "per_digit")
    if not isinstance(scores, list) or not scores:
        return []
    rows = [
        (
            text(inside(one, "digit")),
            *(format_percent(number(inside(one, name))) for name in ("precision", "recall", "f1")),
            text(inside(one, "support")),
        )
        for one in scores[:10]
    ]
    headings = ("digit", "precision", "recall", "F1", "how many")
    return [Table("Test digits, one by one", headings, rows, numeric=range(5))]


def _thinned_out(history: list[EpochRecord]) -> list[str]:
    if len(history) <= HISTORY_ROWS:
        return []
    return [f"Of {count_epochs(len(history))}, the table shows some; all are in {HISTORY_FILE}, in the run's folder."]


def _history_tables(run: Run, history: list[EpochRecord]) -> list[Table]:
    """The epochs, thinned out if there are many; the first, the kept and the last are always there."""
    best, step = run.content.get("best_epoch"), math.ceil(len(history) / HISTORY_ROWS)
    rows = [
        (
            str(record.epoch),
            format_loss(record.train_loss),
            format_percent(record.train_accuracy),
            format_loss(record.val_loss),
            format_percent(record.val_accuracy),
            f"{record.learning_rate:.1e}",
            format_duration(record.seconds),
            "kept" if record.epoch == best else "",
        )
        for place, record in enumerate(history)
        if place % step == 0 or record.epoch in (best, len(history))
    ]
    headings = ("epoch", "training loss", "accuracy", "validation loss", "accuracy", "learning rate", "time", "weights")
    return [Table("Epoch by epoch", headings, rows, numeric=range(7))] if history else []


def _settings_tables(run: Run) -> list[Table]:
    """The saved configuration, as far as there is one: label, value, and what the value means."""
    saved = run.content.get("config")
    if not isinstance(saved, dict) or not saved:
        return []
    model, augment = "", _pairs(saved.get("augment"))
    with suppress(RequestError):  # of a configuration that is not the lab's, the bare values are shown
        config = TrainConfig.from_dict(saved)
        model, augment = describe_architecture(config.model), describe_augmentation(config.augment)
        saved = saved | {"dropout": config.architecture.dropout, "hidden": config.architecture.hidden}
    told = {"model": model, "augment": augment}
    settings, rows = settings_of(TrainConfig), []
    for name, value in saved.items():
        known = settings.get(name)
        label, unit, meaning = (known.label, known.unit, known.help) if known else (name.replace("_", " "), "", "")
        rows.append((label, _setting(value), unit, told.get(name, meaning)))
    return [Table("Configuration", ("setting", "value", "unit", "meaning"), rows, numeric=(1,))]


def _setting(value: object) -> str:
    if isinstance(value, bool | dict):
        return "yes" if value else "no"
    return text(value)


def _pairs(content: object) -> str:
    """A flat JSON object as ``name value`` pairs."""
    return ", ".join(f"{name} {text(value)}" for name, value in content.items()) if isinstance(content, dict) else ""


def _machine_table(run: Run) -> Table:
    content = run.content
    speed = number(content.get("images_per_second"))
    rows = [
        ("folder", run.name),
        ("status", status_of(run)),
        ("device", text(content.get("device"))),
        *(("resumed", words) for words in resumptions(run)),
        ("speed", "–" if speed is None else f"{speed:,.0f} images/s"),
        ("workers", text(content.get("workers"))),
        *((name, _pairs(content.get(name)) or "–") for name in ("split", "machine", "versions")),
    ]
    return Table("Machine and versions", ("what", "value"), rows)


def _missing(run: Run, pictures: Mapping[str, Picture], damage: str) -> list[str]:
    """Which files the page does without, and what brings them back."""
    gone = [name for name in RUN_PICTURES if name not in pictures]
    remarks = [f"Missing from the folder, or damaged: {', '.join(gone)}."] if gone else []
    if gone and run.status in JUDGED:
        restore = command_line(f"evaluate --run {shlex.quote(run.name)}", run.folder.parent)
        remarks.append(f"Pictures that are missing are drawn again by: {restore}")
    return [*remarks, f"Without {HISTORY_FILE}: {damage}."] if damage else remarks


# ----------------------------------------------------------------------------------------------- for the index


def summary_of(run: Run, captions: Mapping[str, Caption] | None = None) -> Summary:
    """What the index shows of a run; ``captions`` say what can be said of its pictures, by file name."""
    summary = Summary(
        kind="run",
        title=describe_run(run.model, augmented=run.augmented, seed=run.seed),
        remark="" if run.status == "finished" else status_of(run),
        thumbnail=RUN_PICTURES[0],
        created=run.created.isoformat(),
        pictures=captions or {},
    )
    if run.status not in JUDGED:
        return summary
    lasted = f"{count_epochs(run.epochs_run)} in {format_duration(run.train_seconds)}"
    return replace(
        summary,
        headline=format_percent(run.test_accuracy),
        headline_meaning="of the test digits",
        sentences=[f"95 % interval {format_interval(run.test_interval)}; {lasted}"],
    )


def unsummarised(folder: Path) -> Summary | None:
    """What the index shows of a folder without a ``summary.json``: a run under way, or one of an earlier version."""
    if os.path.lexists(folder / RUN_FILE):
        try:
            return summary_of(read_run(folder))
        except RunError as error:
            return Summary("run", folder.name, remark=error.found)
    for name, summarise in ((RESULTS_FILE, results_summary), (SCORE_FILE, score_summary)):
        if os.path.lexists(folder / name):
            content = read_object(folder / name)
            return summarise(content) if content else Summary(remark=f"its {name} can't be read")
    return None


def results_summary(content: dict[str, Any]) -> Summary:
    """What the index shows of an experiment or a comparison, from its results.json, which is not trusted."""
    verdicts = content.get("verdicts")
    first = text(verdicts[0], "") if isinstance(verdicts, list) and verdicts else ""
    sizes = ((name, text(inside(content, "facts", name), "")) for name in ("runs", "seeds", "epochs"))
    size = ", ".join(f"{name}: {value}" for name, value in sizes if value)  # tells repetitions apart
    return Summary(
        title=text(content.get("title"), ""),
        sentences=[sentence for sentence in (text(content.get("question"), ""), first, size) if sentence],
        thumbnail=text(content.get("thumbnail"), ""),
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
