"""Ctrl-C as a polite request: finish the batch, keep what there is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def graceful_interrupts(on_request: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Within this context the first Ctrl-C only sets a flag; a second one interrupts as usual.

    Args:
        on_request: called once, from the signal handler, at the first Ctrl-C.

    Yields:
        A function that tells whether Ctrl-C has been pressed.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set  # only the main thread may handle signals
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()
        on_request()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield requested.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
