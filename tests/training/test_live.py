"""What a training shows as it goes, on terminals of several sizes and in a pipe; its numbers are made up."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console, ConsoleDimensions

from mnist_lab.config import TrainConfig
from mnist_lab.networks.compute import Compute
from mnist_lab.terminal.chart import MARKERS, Line, line_chart
from mnist_lab.terminal.console import Terminal, make_console
from mnist_lab.training import live
from mnist_lab.training.evaluation import evaluate
from mnist_lab.training.live import ScreenObserver
from mnist_lab.training.runs import EpochRecord, StopReason
from mnist_lab.training.session import Results
from mnist_lab.training.trainer import Outcome, Progress

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LINES = """
Training 1-layer, no augmentation
54,000 digits, at most 4 epochs, batch size 128, one-cycle recipe, seed 0; 693,994 parameters; CPU
Ctrl-C ends it after the current batch and keeps the best so far.

  epoch  train loss  accuracy    val loss  accuracy     rate          time
   1/4      0.5000    90.00 %    0.4000   92.00 %  6.0e-03   1 min 05 s  best
   2/4      0.2500    95.00 %    0.2000   96.00 %  6.0e-03   1 min 05 s  best
"""


def record(epoch: int, **values: Any) -> EpochRecord:
    loss = 0.5**epoch
    losses = {"train_loss": loss, "val_loss": 0.8 * loss}
    accuracies = {"train_accuracy": 1 - loss / 5, "val_accuracy": 1 - loss / 6.25}
    return EpochRecord(epoch=epoch, **({**losses, **accuracies, "learning_rate": 0.006, "seconds": 65.0} | values))


def progress(epoch: int, done: int, epochs: int = 4, loss: float = 0.3, accuracy: float = 0.9) -> Progress:
    return Progress(epoch, epochs, done, 54_000, 10_000.0, loss, accuracy)


class Screen:
    """A console of a certain size, an observer on it, and what it shows."""

    def __init__(self, compute: Compute, width: int = 80, height: int = 24, **options: Any) -> None:
        self.file = io.StringIO()
        options = {"force_terminal": True, "file": self.file, "color_system": "truecolor"} | options
        self.console: Console = make_console(width=width, height=height, **options)
        self.now, self.compute = 0.0, compute
        self.observer = ScreenObserver(Terminal(self.console), clock=lambda: self.now)

    def start(self, epochs: int = 4, history: Sequence[EpochRecord] = ()) -> ScreenObserver:
        config = TrainConfig(model="1-layer", epochs=epochs, learning_rate=0.006)
        self.observer.on_start(config, self.compute, 693_994, history)
        return self.observer

    def report(self, *reports: Progress) -> str:
        """What is drawn after the last of these reports: all that is visible below the table."""
        for one in reports:
            self.now += 10
            self.clear()
            self.observer.on_progress(one)
        return self.text

    def clear(self) -> None:
        self.file.seek(0)
        self.file.truncate()

    @property
    def text(self) -> str:
        return ANSI.sub("", self.file.getvalue()).replace("\r", "")


@pytest.fixture(autouse=True)
def usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def results(best_epoch: int, epochs: int, reason: StopReason, images_seen: int = 216_000) -> Results:
    labels = np.arange(1000) % 10
    logits = np.eye(10, dtype=np.float32)[np.where(np.arange(1000) < 10, 9 - labels, labels)]
    history = [record(epoch) for epoch in range(1, epochs + 1)]
    outcome = Outcome(history, reason, best_epoch, {}, torch.empty(0, 10), images_seen)
    return Results(outcome, evaluate(logits, labels), evaluate(logits, labels), 99.0, 2000.0, 54_000)


def test_a_pipe_gets_the_lines_alone(compute: Compute) -> None:
    screen = Screen(compute, width=200, force_terminal=False, color_system=None)
    with screen.start() as observer:
        for epoch in (1, 2):
            screen.observer.on_progress(progress(epoch, 54_000))
            observer.on_epoch(record(epoch), True)
    assert screen.file.getvalue().replace(f"; {compute.name}\n", "; CPU\n") == LINES


@pytest.mark.parametrize(("width", "height"), [(80, 24), (78, 20), (120, 40), (300, 100)])
def test_the_curves_fit_the_terminal_with_the_last_epochs(width: int, height: int, compute: Compute) -> None:
    screen = Screen(compute, width, height)
    with screen.start():
        for epoch in (1, 2):
            screen.observer.on_progress(progress(epoch, 54_000))
            screen.clear()
            screen.observer.on_epoch(record(epoch), True)
            above, _, last = screen.text.rpartition("loss (nats)")  # of what is drawn at once
            assert f"{epoch}/4" not in above.rpartition("images/s")[2]  # it is no longer the one under way
            assert last.count(MARKERS[0]) == 2 * (1 + epoch)
        rows = screen.report(progress(3, 13_500, loss=0.1234, accuracy=0.9512)).split("\n")
    assert len(rows) <= height - 6  # the heading and a few epochs
    assert max(map(len, rows)) <= width
    assert rows[0].split() == ["3/4", "0.1234", "95.12", "%", "1.4", "s"]
    assert " ".join(rows).count("─ training") == " ".join(rows).count("● validation") == 2
    assert rows[-1].split()[:2] == ["epoch", "3/4"]
    assert rows[-1].endswith("10,000 images/s  9.4 s left")
    assert "25 %" in rows[-1]
    markers = "".join(rows).count(MARKERS[0])
    assert markers == 2 * (1 + 2)  # in each chart, one in the legend and one for each epoch


def test_the_first_epoch_has_a_curve_of_the_digits_since_the_last_report(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, list[tuple[float, float]]] = {}

    def note(lines: Sequence[Line], *, title: str, **options: Any) -> Any:
        drawn[title] = list(lines[0].points)
        return line_chart(lines, title=title, **options)

    monkeypatch.setattr("mnist_lab.training.live.line_chart", note)
    screen = Screen(compute)
    with screen.start(epochs=1):
        # The means since the epoch began; of the second 9,000 digits alone, the loss is 0.4 and half of them are right.
        screen.report(progress(1, 9_000, 1, 2.0, 0.1), progress(1, 18_000, 1, 1.2, 0.3))
    assert drawn["loss (nats)"] == [pytest.approx((1 / 12, 2.0)), pytest.approx((3 / 12, 0.4))]
    assert drawn["accuracy (%)"] == [pytest.approx((1 / 12, 10)), pytest.approx((3 / 12, 50))]


@pytest.mark.parametrize(
    "options",
    [{"width": 60}, {"height": 19}, {"dumb": True}, {"encoding": "ascii"}, {"encoding": "cp1252"}],
    ids=str,
)
def test_a_terminal_without_room_or_characters_for_curves_gets_lines(
    options: dict[str, Any], compute: Compute, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    size = {"width": options.get("width", 80), "height": options.get("height", 24)}
    if "dumb" in options:
        monkeypatch.setenv("TERM", "dumb")
    path = tmp_path / "terminal"
    with path.open("w", encoding=options.get("encoding", "utf-8"), errors="replace") as file:
        screen = Screen(compute, **size, file=file)
        with screen.start() as observer:
            screen.report(progress(1, 27_000))
            observer.on_epoch(record(1), True)
            observer.on_results(results(1, 1, "last epoch"))
    shown = path.read_text(encoding=options.get("encoding", "utf-8"))
    assert "loss (nats)" not in shown
    assert "   1/4      0.5000    90.00 %" in shown
    rows = [line for line in ANSI.sub("", shown).split("\n") if line.startswith(("  epoch", "   1/4"))]
    assert len(rows) == 2
    assert max(map(len, rows)) <= size["width"]
    assert "Test 99.00 %" in shown


def test_nothing_collides_however_large_the_numbers_are(compute: Compute) -> None:
    screen = Screen(compute)
    with screen.start(epochs=10_000) as observer:
        screen.clear()
        late = record(9_999, train_loss=1.5e12, val_loss=987.65432, seconds=7500.0, train_accuracy=1.0)
        observer.on_epoch(late, True)
        frame = screen.report(Progress(10_000, 10_000, 27_000, 54_000, 7.0, 1.5e12, 1.0))
    row = frame.split("\n")[0]
    assert row.split() == ["10000/10000", "1.5e+12", "100.00", "%", "1", "h", "04", "min"]
    assert max(map(len, frame.split("\n"))) <= 80
    assert frame.endswith("50 %  7 images/s  1 h 04 min left")


def test_a_resumed_run_shows_the_epochs_before(compute: Compute) -> None:
    screen = Screen(compute)
    with screen.start(history=[record(1), record(2, val_loss=0.5)]):
        assert "Resuming after epoch 2:" in screen.text
        best, other = [line for line in screen.text.split("\n") if "/4" in line]
        assert best.split()[0] == "1/4"
        assert best.endswith("best")
        assert other.split()[0] == "2/4"
        assert not other.endswith("best")
        frame = screen.report(progress(3, 27_000))
    assert frame.count(MARKERS[0]) == 2 * (1 + 2)


def test_a_resized_terminal_is_drawn_afresh(compute: Compute) -> None:
    screen = Screen(compute)
    with screen.start() as observer:
        screen.report(progress(1, 54_000))
        observer.on_epoch(record(1), True)
        screen.console.size = ConsoleDimensions(78, 30)
        screen.now -= 10  # at once, even if the next picture is not due yet
        screen.report(progress(2, 1_000))
        frame = screen.text.split("\n")
        assert screen.file.getvalue().count("\x1b[2K") >= 30  # every line is cleared
        assert "\x1b[2J" not in screen.file.getvalue()
        assert "  epoch  train loss  accuracy    val loss  accuracy     rate          time" in frame
        assert sum(line.startswith("   1/4      0.5000") for line in frame) == 1
        assert "  epoch  train loss" not in screen.report(progress(2, 2_000))


def test_pictures_take_little_of_the_trainings_time(compute: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(compute)
    pictures: list[float] = []

    def draw(lines: Sequence[Line], **options: Any) -> str:
        pictures.append(screen.now)
        screen.now += 0.05
        return "a chart"

    monkeypatch.setattr("mnist_lab.training.live.line_chart", draw)
    with screen.start() as observer:
        for done in range(100, 40_000, 100):
            screen.now += 0.1
            observer.on_progress(progress(1, done))
    assert len(pictures) * 0.05 <= 0.011 * screen.now + 0.1


def test_of_a_long_training_only_the_means_are_kept(compute: Compute) -> None:
    screen = Screen(compute)
    with screen.start(epochs=100) as observer:
        for epoch in range(1, 60):
            for done in range(2_000, 54_000, 2_000):
                observer.on_progress(progress(epoch, done, 100))
            observer.on_epoch(record(epoch), True)
        frame = screen.report(progress(60, 27_000, 100))
        assert len(observer._reports) <= live._MOST_REPORTS + 27
    assert max(map(len, frame.split("\n"))) <= 80


@pytest.mark.parametrize(
    ("reason", "seen", "told"),
    [
        ("last epoch", 216_000, []),
        ("patience", 162_000, ["Training stopped early, when its patience ran out."]),
        (
            "interrupted",
            2_048,
            ["Training was interrupted by Ctrl-C.", "its first epoch was cut short after 2,048 digits"],
        ),
    ],
)
def test_one_line_of_80_columns_tells_what_came_out(
    reason: StopReason, seen: int, told: list[str], compute: Compute
) -> None:
    screen = Screen(compute, width=80, force_terminal=False, color_system=None)
    with screen.start() as observer:
        screen.clear()
        observer.on_results(results(1, 3, reason, seen))
    line = "Test 99.00 % (95 % interval 98.17 to 99.46 %), validation 99.00 %; 1 min 39 s"
    assert screen.text.split("\n") == ["", *told, line, ""]


def test_the_curves_stay_when_the_training_ends_and_go_when_it_fails(compute: Compute) -> None:
    for ends in (True, False):
        screen = Screen(compute)
        with screen.start() as observer:
            screen.report(progress(1, 54_000))
            observer.on_epoch(record(1), True)
            screen.clear()
            if ends:
                observer.on_results(results(1, 1, "last epoch"))
        last = screen.text.split("loss (nats)")[-1]
        assert ("images/s" in last) is not ends
        lines_up = screen.file.getvalue().rsplit("loss (nats)", 1)[-1].count("\x1b[1A")
        assert (lines_up > 8) is not ends  # the cursor goes back up over them
