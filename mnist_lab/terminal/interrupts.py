"""Ctrl-C as a polite request: finish the batch, keep what there is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back_interrupts() -> Iterator[None]:
    """Within this context Ctrl-C waits: torch, once interrupted while it loads, can't be loaded again."""
    with graceful_interrupts(must_finish=lambda: True) as was_requested:
        yield
    if was_requested():
        raise KeyboardInterrupt


@contextmanager
def graceful_interrupts(
    on_request: Callable[[], None] = lambda: None, must_finish: Callable[[], bool] = lambda: False
) -> Iterator[Callable[[], bool]]:
    """Within this context the first Ctrl-C only sets a flag; a second one interrupts as usual.

    Args:
        on_request: called from the signal handler at every Ctrl-C that does not interrupt.
        must_finish: whether something has begun that is to be finished whatever the user presses.

    Yields:
        A function that tells whether Ctrl-C has been pressed.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set  # only the main thread may handle signals
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if requested.is_set() and not must_finish():
            raise KeyboardInterrupt
        requested.set()
        on_request()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield requested.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
