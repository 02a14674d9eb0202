"""The report of one run, from what its folder holds; nothing heavy is loaded, so it opens at once."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence

from mnist_lab.config import ARCHITECTURES, TRAIN_DIGITS, TrainConfig
from mnist_lab.errors import RequestError, RunError
from mnist_lab.report.document import Picture, Report, Section, Table
from mnist_lab.report.saved import (
    RUN_PICTURES,
    checked_interval,
    inside,
    number,
    pairs_of,
    read_picture,
    text,
    whole,
)
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
from mnist_lab.training.runs import HISTORY_FILE, JUDGED, Run, command_line
from mnist_lab.training.tables import resumptions, status_of

HISTORY_ROWS = 40
"""Epochs that a table shows; of longer histories every second, third ... stands for its neighbours."""

MEANINGS = {
    "seed": "decides the first weights, the order of the digits, augmentation and dropout",
    "recipe": "one-cycle: AdamW, with a learning rate that rises, then falls; plain: Adam at a constant rate",
    "epochs": "passes over the training digits, at most",
    "batch_size": "digits per step",
    "learning_rate": "the one-cycle recipe's peak, or the plain one's constant rate",
    "weight_decay": "how strongly AdamW draws weights towards zero",
    "label_smoothing": "share of the target that is spread evenly over all ten digits",
    "average_decay": "memory of the weight average, per step; 0: none",
    "plain_epochs": "last epochs without augmentation",
    "patience": "epochs without a better validation loss before the training stops",
    "train_size": f"training digits, of {TRAIN_DIGITS:,}",
    "epoch_size": "digits in an epoch; 0: every training digit once",
    "batch_norm": "batch normalisation in every block",
    "dropout": "share of the hidden activations dropped in training; –: the network's usual one",
    "hidden": "units between the feature maps and the ten answers; –: the network's usual number",
}
"""What each value of a configuration means."""


def run_report(run: Run) -> Report:
    """What a run's folder tells: how good, how it learned, what it confuses, and how to repeat it.

    A file that is missing or damaged costs its own part of the page, and is named.
    """
    pictures = {name: picture for name in RUN_PICTURES if (picture := read_picture(run.folder, name))}
    history, damage = history_rows(run)
    found = [
        Section("How good it is", goodness(run), [results_table(run)] if run.status in JUDGED else []),
        Section("How it learned", learning(run, history), history_tables(history), some(pictures, "history.png")),
        Section(
            "Which digits it confuses",
            confusions(run),
            per_digit_tables(run),
            some(pictures, "confusion_counts.png", "confusion_percent.png"),
        ),
        Section("Its surest mistakes", pictures=some(pictures, "mistakes.png")),
        Section("Which pixels mattered", pictures=some(pictures, "saliency.png")),
        Section("What it was trained with", tables=settings(run)),
        Section("Where it was trained", tables=[machine_table(run)]),
        Section("What is missing", missing_words(run, pictures, damage)),
    ]
    return Report(
        title=title_of(run),
        kind="Training run",
        created=run.created,
        question=question_of(run),
        verdicts=verdicts_of(run),
        sections=[section for section in found if section.paragraphs or section.tables or section.pictures],
        repeat=text(run.content.get("command"), ""),
        facts=facts_of(run),
    )


def title_of(run: Run) -> str:
    """The network, as all titles name it."""
    return describe_run(run.model, augmented=run.augmented, seed=run.seed)


def question_of(run: Run) -> str:
    """What a training asks."""
    how = "with augmentation" if run.augmented else "without augmentation"
    return f"How well does the {run.model} network, trained {how}, read handwritten digits that it has never seen?"


def verdicts_of(run: Run) -> list[str]:
    """What a run found, and what it can't tell."""
    if run.status not in JUDGED:
        reason = text(run.content.get("failure"), "")
        ended = f"The training did not come to its end: it is marked as {status_of(run)}"
        return [f"{ended} ({reason})." if reason else f"{ended}.", "Its network was never judged."]
    return [
        f"It reads {format_percent(run.test_accuracy)} of the test digits rightly{counted(run)}, with a 95 % interval "
        f"from {format_interval(run.test_interval)}.",
        f"Kept are the weights of epoch {text(run.content.get('best_epoch'))} of {run.epochs_run:,}, which had the "
        f"lowest validation loss. {ending_of(run)}",
        "This is one network from one seed. Whether another recipe is better takes several seeds of each, and a "
        "difference several times their spread.",
    ]


def counted(run: Run) -> str:
    """How many test digits were right, in brackets; nothing where it was not saved."""
    correct, total = counts_of(run, "test")
    return "" if correct is None or total is None else f" ({correct:,} of {total:,})"


def ending_of(run: Run) -> str:
    """Why a training ended, as a sentence."""
    reasons = {
        "last epoch": "The training went on to its last epoch.",
        "patience": "The training stopped early, when its patience was at an end.",
        "interrupted": "The training was interrupted by Ctrl-C.",
    }
    return reasons[run.content["stop_reason"]]


def facts_of(run: Run) -> dict[str, str]:
    """The numbers at the head of the page."""
    return {
        "Test accuracy": format_percent(run.test_accuracy),
        "95 % interval": format_interval(run.test_interval),
        "Validation accuracy": format_percent(run.val_accuracy),
        "Epochs": f"{run.epochs_run:,}",
        "Training time": format_duration(run.train_seconds),
        "Parameters": f"{run.parameters:,}",
    }


def goodness(run: Run) -> list[str]:
    """How the numbers came about, and what to make of the network's own probabilities."""
    if run.status not in JUDGED:
        return []
    error = number(inside(run.content, "results", "test", "expected_calibration_error"))
    calibration = (
        f" Its expected calibration error is {100 * error:.2f} points: so far off are its probabilities, on average."
        if error is not None
        else ""
    )
    return [
        "The validation digits chose the epoch that was kept. The test digits were read once, after the training: "
        f"only they tell how well it does with new handwriting.{calibration}"
    ]


def results_table(run: Run) -> Table:
    """Both accuracies, their intervals, and the counts behind them."""
    rows = []
    for split, accuracy in (("validation", run.val_accuracy), ("test", run.test_accuracy)):
        correct, total = counts_of(run, split)
        saved = run.test_interval if split == "test" else checked_interval(run.content, "results", split, "interval_95")
        counts = f"{correct:,} of {total:,}" if correct is not None and total is not None else "–"
        rows.append((split, format_percent(accuracy), format_interval(saved), counts))
    return Table("Accuracy", ("digits", "accuracy", "95 % interval", "right"), rows, numeric=(1, 2, 3))


def confusions(run: Run) -> list[str]:
    """The most frequent mistakes in a sentence."""
    pairs = inside(run.content, "results", "test", "most_confused")
    described = [
        f"{text(inside(pair, 'true'))} taken for {text(inside(pair, 'predicted'))} ({text(inside(pair, 'count'))}x)"
        for pair in (pairs[:5] if isinstance(pairs, list) else [])
    ]
    return [f"Most often, among the test digits: {', '.join(described)}."] if described else []


def per_digit_tables(run: Run) -> list[Table]:
    """Precision, recall and F1 of every test digit; none where they were not saved."""
    scores = inside(run.content, "results", "test", "per_digit")
    if not isinstance(scores, list) or not scores:
        return []
    rows = [
        (
            text(inside(one, "digit")),
            *(format_percent(number(inside(one, name))) for name in ("precision", "recall", "f1")),
            text(whole(inside(one, "support"))),
        )
        for one in scores[:10]
    ]
    headings = ("digit", "precision", "recall", "F1", "how many")
    return [Table("Test digits, one by one", headings, rows, numeric=range(5))]


def learning(run: Run, history: Sequence[Sequence[str]]) -> list[str]:
    """How the table of the history is to be read."""
    if len(history) <= HISTORY_ROWS:
        return []
    return [f"Of {count_epochs(len(history))}, the table shows some; all are in {HISTORY_FILE}, in the run's folder."]


def history_rows(run: Run) -> tuple[list[tuple[str, ...]], str]:
    """The run's history as text, an epoch a row; or no rows, and why it can't be read."""
    try:
        return [history_row(record, run.content.get("best_epoch")) for record in read_history(run)], ""
    except RunError as error:
        return [], error.found


def history_row(record: EpochRecord, best: object) -> tuple[str, ...]:
    """One epoch as text."""
    return (
        str(record.epoch),
        format_loss(record.train_loss),
        format_percent(record.train_accuracy),
        format_loss(record.val_loss),
        format_percent(record.val_accuracy),
        f"{record.learning_rate:.1e}",
        format_duration(record.seconds),
        "kept" if record.epoch == best else "",
    )


def history_tables(history: Sequence[tuple[str, ...]]) -> list[Table]:
    """The epochs, thinned out if there are many; the first, the kept and the last are always there."""
    if not history:
        return []
    step = math.ceil(len(history) / HISTORY_ROWS)
    last = len(history) - 1
    rows = [row for place, row in enumerate(history) if place % step == 0 or place == last or row[-1]]
    headings = ("epoch", "training loss", "accuracy", "validation loss", "accuracy", "learning rate", "time", "weights")
    return [Table("Epoch by epoch", headings, rows, numeric=range(7))]


def settings(run: Run) -> list[Table]:
    """The saved configuration, as far as there is one: name, value, and what the value means."""
    saved = run.content.get("config")
    if not isinstance(saved, dict) or not saved:
        return []
    known = {
        "model": describe_architecture(run.model) if run.model in ARCHITECTURES else "",
        "augment": augmentation_of(saved),
        **MEANINGS,
    }
    rows = [(name.replace("_", " "), setting(value), known.get(name, "")) for name, value in saved.items()]
    return [Table("Configuration", ("setting", "value", "meaning"), rows, numeric=(1,))]


def setting(value: object) -> str:
    """A value of a configuration as text."""
    if isinstance(value, dict):
        return "yes"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text(value)


def augmentation_of(saved: dict[str, object]) -> str:
    """The augmentation in words; its bare strengths where they can't be understood."""
    try:
        return describe_augmentation(TrainConfig.from_dict(saved).augment)
    except RequestError:
        return ", ".join(pairs_of(saved.get("augment")))


def machine_table(run: Run) -> Table:
    """What the numbers were measured on."""
    content = run.content
    speed = number(content.get("images_per_second"))
    rows = [
        ("folder", run.name),
        ("status", status_of(run)),
        ("device", text(content.get("device"))),
        *(("resumed", words) for words in resumptions(run)),
        ("speed", "–" if speed is None else f"{speed:,.0f} images/s"),
        ("loader processes", text(content.get("workers"))),
        ("split", ", ".join(pairs_of(content.get("split"))) or "–"),
        ("machine", ", ".join(pairs_of(content.get("machine"))) or "–"),
        ("versions", ", ".join(pairs_of(content.get("versions"))) or "–"),
    ]
    return Table("Machine and versions", ("what", "value"), rows)


def missing_words(run: Run, pictures: Mapping[str, Picture], damage: str) -> list[str]:
    """Which files the page does without, and what brings them back."""
    gone = [name for name in RUN_PICTURES if name not in pictures]
    remarks = [f"Missing from the folder, or damaged: {', '.join(gone)}."] if gone else []
    if gone and run.status in JUDGED:
        restore = command_line(f"evaluate --run {shlex.quote(run.name)}", run.folder.parent)
        remarks.append(f"Pictures that are missing are drawn again by: {restore}")
    if damage:
        remarks.append(f"Without {HISTORY_FILE}: {damage}.")
    return remarks


def some(pictures: Mapping[str, Picture], *names: str) -> list[Picture]:
    """Those of the named pictures that are there."""
    return [pictures[name] for name in names if name in pictures]


def counts_of(run: Run, split: str) -> tuple[int | None, int | None]:
    """How many digits of a split were read rightly, and how many there are, if it was saved."""
    saved = inside(run.content, "results", split)
    return whole(inside(saved, "correct")), whole(inside(saved, "total"))
