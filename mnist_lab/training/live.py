"""A training as the terminal shows it: a line per epoch and, while it lasts, its curves and how far it is."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from rich.console import Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import ControlType
from rich.table import Table
from rich.text import Text

from mnist_lab.config import TrainConfig
from mnist_lab.networks.compute import Compute
from mnist_lab.terminal import wording
from mnist_lab.terminal.chart import ACCURACY, COLOURS, LOGARITHMIC, MARKERS, Line, Scale, can_show_charts, line_chart
from mnist_lab.terminal.console import Terminal
from mnist_lab.terminal.keyboard import keyboard_ignored
from mnist_lab.terminal.wording import counted, format_duration, format_interval, format_loss, format_percent
from mnist_lab.training import page, session, trainer
from mnist_lab.training.runs import EpochRecord

_SECONDS_BETWEEN, _COST = 0.25, 0.01  # two pictures; drawing them takes at most this fraction of the training's time
_MOST_REPORTS = 1000  # kept for the curves; of longer trainings, only the means of an epoch
_LEAST_WIDTH, _LEAST_HEIGHT = 78, 20  # of a terminal that has room for the table and charts below it
_Point = tuple[float, float]  # at an epoch, which is a fraction while it is under way


class ScreenObserver(session.Observer):
    """Shows a training, as a context manager: until its end, what is typed is ignored."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float] = time.monotonic) -> None:
        self.terminal, self.console = terminal, terminal.console
        self.is_evaluated = False  # from then on the folder is completed: the test digits are used only once
        self._clock, self._next_picture = clock, -math.inf  # seconds
        self._epochs, self._progress = 0, trainer.Progress(0, 0, 0, 1, 1.0, 0.0, 0.0)
        self._history: list[EpochRecord] = []
        self._reports: list[tuple[float, float, float]] = []  # epoch, training loss and accuracy since the last one
        self._lines: deque[str] = deque(maxlen=200)  # above the live part, to be shown again on a terminal resized
        self._size = self.console.size
        self._live = Live(console=self.console, auto_refresh=False, transient=True, get_renderable=self._render)
        self._open = ExitStack()

    def __enter__(self) -> ScreenObserver:
        self._open.enter_context(keyboard_ignored())
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    # ------------------------------------------------------------------------------- what the training tells

    def on_start(self, config: TrainConfig, compute: Compute, parameters: int, history: Sequence[EpochRecord]) -> None:
        self._epochs = config.epochs
        verb = f"Resuming after epoch {len(history)}:" if history else "Training"
        augmentation = wording.describe_augmentation(config.augment)
        self.terminal.show(f"\n[title]{verb} {config.model}[/title], {augmentation}")
        self.terminal.hint(
            f"{config.train_size:,} digits, at most {counted(config.epochs, 'epoch')}, batch size {config.batch_size}, "
            f"{config.recipe} recipe, seed {config.seed}; {parameters:,} parameters; {compute.name}"
        )
        self.terminal.hint("Ctrl-C ends it after the current batch and keeps the best so far.")
        wider = " " * 2 * (self._epoch_width - 4)
        last = "" if self._is_narrow else "     rate          time"
        self._print(f"\n[hint]{wider}  epoch  train loss  accuracy    val loss  accuracy{last}[/hint]")
        best = math.inf
        for record in history:
            self._reports.append((record.epoch - 0.5, record.train_loss, record.train_accuracy))
            self._add_epoch(record, record.val_loss < best)
            best = min(best, record.val_loss)
        if self.console.is_terminal:
            self._open.enter_context(self._live)

    def on_progress(self, progress: trainer.Progress) -> None:
        before, self._progress = self._progress, progress
        if before.epoch != progress.epoch:
            before = trainer.Progress(progress.epoch, 0, 0, 0, 0.0, 0.0, 0.0)
        since = progress.images_done - before.images_done
        loss = (progress.loss * progress.images_done - before.loss * before.images_done) / since
        accuracy = (progress.accuracy * progress.images_done - before.accuracy * before.images_done) / since
        at = progress.epoch - 1 + (progress.images_done - since / 2) / progress.images_per_epoch
        self._reports.append((at, loss, accuracy))
        self._refresh()

    def on_epoch(self, record: EpochRecord, is_best: bool) -> None:
        if len(self._reports) > _MOST_REPORTS:
            self._reports = [(one.epoch - 0.5, one.train_loss, one.train_accuracy) for one in [*self._history, record]]
        self._add_epoch(record, is_best)
        self._next_picture = -math.inf  # at once, as the epoch is no longer the one under way
        self._refresh()

    def on_warning(self, message: str) -> None:
        self.terminal.warn(message)

    def on_results(self, results: session.Results) -> None:
        self.is_evaluated = True
        outcome, test, warn = results.outcome, results.test, self.terminal.warn
        self._live.transient = not self._has_charts
        self._live.stop()
        self.terminal.show("")
        if outcome.stop_reason != "last epoch":
            warn(page.ENDED[outcome.stop_reason])
        if outcome.images_seen < results.images_per_epoch:
            warn(f"its first epoch was cut short after {outcome.images_seen:,} digits")
        self.terminal.show(  # as short as a line of 80 columns
            f"[best]Test {format_percent(test.accuracy)}[/best] (95 % interval {format_interval(test.interval)}), "
            f"validation {format_percent(results.validation.accuracy)}; {format_duration(results.train_seconds)}"
        )
        self._open.enter_context(self.terminal.busy("drawing the pictures"))

    # ------------------------------------------------------------------------------------ what the terminal shows

    @property
    def _epoch_width(self) -> int:
        return max(4, len(str(self._epochs)))

    @property
    def _is_narrow(self) -> bool:
        return self.console.width < _LEAST_WIDTH

    @property
    def _has_charts(self) -> bool:
        is_large = not self._is_narrow and self.console.height >= _LEAST_HEIGHT
        return is_large and can_show_charts(self.console)

    def _print(self, line: str) -> None:
        self._lines.append(line)
        self.console.print(line, soft_wrap=True)

    def _add_epoch(self, record: EpochRecord, is_best: bool) -> None:
        self._history.append(record)
        mark = "[best]best[/best]" if is_best else ""
        last = "" if self._is_narrow else f"{record.learning_rate:>9.1e}{format_duration(record.seconds):>13}"
        self._print(
            f"{self._row(record.epoch, record.train_loss, record.train_accuracy)}"
            f"{format_loss(record.val_loss):>10} {100 * record.val_accuracy:>7.2f} %{last}  {mark}"
        )

    def _row(self, epoch: int, loss: float, accuracy: float) -> str:
        width = self._epoch_width
        return f"{epoch:>{width}}/{self._epochs:<{width}}{format_loss(loss):>9} {100 * accuracy:>8.2f} %"

    def _refresh(self) -> None:
        """Draw the live part again if that is due."""
        began = self._clock()
        is_resized = self.console.size != self._size
        if began < self._next_picture and not is_resized:
            return
        if is_resized:
            self._start_afresh()
        self._live.refresh()
        ended = self._clock()
        self._next_picture = ended + max(_SECONDS_BETWEEN, (ended - began) / _COST)

    def _start_afresh(self) -> None:
        """Clear the screen and show the last lines again: a resized terminal breaks lines where it likes."""
        self._size = self.console.size
        for row in range(self._size.height):  # one by one, as some terminals keep a screen that is cleared at once
            self.console.control(Control.move_to(0, row), Control((ControlType.ERASE_IN_LINE, 2)))
        self.console.control(Control.home())
        self.console.print("\n".join(list(self._lines)[-self._size.height // 2 :]), soft_wrap=True)

    def _render(self) -> RenderableType:
        """The epoch under way, the curves, and how far the training is; of a finished one, the curves alone."""
        parts: list[RenderableType] = []
        done = self._progress
        if self._reports and self._has_charts:
            if done.epoch > len(self._history):
                seconds = format_duration(done.images_done / done.images_per_second)
                parts.append(Text(f"{self._row(done.epoch, done.loss, done.accuracy)}{seconds:>42}"))
            parts += [Text(), self._charts()]
        if self._reports and not self.is_evaluated:
            parts.append(self._bar())
        return Group(*parts)

    def _charts(self) -> Table:
        """Loss and accuracy over the epochs so far, side by side."""
        reports, history = self._reports, self._history
        charts = Table.grid(padding=(0, 2))
        charts.add_row(
            self._chart(
                "loss (nats)",
                LOGARITHMIC,
                [(epoch, loss) for epoch, loss, _ in reports],
                [(record.epoch, record.val_loss) for record in history],
            ),
            self._chart(
                "accuracy (%)",
                ACCURACY,
                [(epoch, 100 * accuracy) for epoch, _, accuracy in reports],
                [(record.epoch, 100 * record.val_accuracy) for record in history],
            ),
        )
        return charts

    def _chart(self, title: str, scale: Scale, training: Sequence[_Point], validation: Sequence[_Point]) -> Text:
        lines = [Line("training", training, COLOURS[0]), Line("validation", validation, COLOURS[1], MARKERS[0])]
        width, height = self.console.width // 2 - 2, min(20, self.console.height // 2 - 2)
        end = max(self._progress.epoch, len(self._history))
        return line_chart(lines, title=title, x_label="epoch", width=width, height=height, x_end=end, scale=scale)

    def _bar(self) -> Table:
        done = self._progress
        table = Table.grid(padding=(0, 2))
        table.add_row(
            f"epoch {done.epoch:>3}/{done.epochs}",
            ProgressBar(done.images_per_epoch, done.images_done, width=max(4, min(24, self.console.width - 60))),
            f"{100 * done.images_done / done.images_per_epoch:.0f} %",
            f"{done.images_per_second:,.0f} images/s",
            f"{format_duration(done.seconds_left)} left",
        )
        return table
