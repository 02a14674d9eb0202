"""Timers of the window: work that happens later, once, and leaves time for the pen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tkinter as tk

FRAME = 0.030
"""Shortest time between two predictions, in seconds: about thirty a second look like motion."""
REST = 2.0
"""How long the pen has the processor for itself after a prediction, as a multiple of what that one took."""


class Timer:
    """An action that happens later, at most once at a time."""

    def __init__(self, widget: tk.Misc, action: Callable[[], None]) -> None:
        self._widget, self._action = widget, action
        self._pending: str | None = None

    @property
    def is_pending(self) -> bool:
        """Whether the action is still to come."""
        return self._pending is not None

    def start(self, milliseconds: int) -> None:
        """Let the action happen so much later, and not at the time named before."""
        self.stop()
        self._pending = self._widget.after(milliseconds, self._happen)

    def stop(self) -> None:
        """Let it not happen."""
        if self._pending is not None:
            self._widget.after_cancel(self._pending)
            self._pending = None

    def _happen(self) -> None:
        self._pending = None
        self._action()


class Pacer:
    """Does some work soon after it was asked for, however often that is, and leaves time for other things.

    Nothing queues: while a request is pending, others change nothing, and the work looks at the newest state.
    """

    def __init__(self, widget: tk.Misc, work: Callable[[], None]) -> None:
        self._timer = Timer(widget, self._run)
        self._work = work
        self._not_before = 0.0  # of time.perf_counter

    def request(self) -> None:
        """Have the work done, once, as soon as it may be."""
        if not self._timer.is_pending:
            self._timer.start(max(0, math.ceil(1000 * (self._not_before - time.perf_counter()))))

    def finish(self) -> None:
        """Do now what is pending."""
        if self._timer.is_pending:
            self._timer.stop()
            self._run()

    def _run(self) -> None:
        started = time.perf_counter()
        self._work()
        ended = time.perf_counter()
        self._not_before = max(started + FRAME, ended + REST * (ended - started))
