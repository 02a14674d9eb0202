"""The keyboard while nothing is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

if sys.platform == "win32":
    import msvcrt
else:
    import termios


@contextmanager
def keyboard_ignored() -> Iterator[None]:
    """Within this context what is typed is neither shown nor kept for the next question; Ctrl-C interrupts as ever.

    An input that is no terminal, or one that this program may not change as it runs in the background, is left alone.
    """
    if not sys.stdin.isatty():
        yield
    elif sys.platform == "win32":  # where nothing is shown before it is read
        try:
            yield
        finally:
            while msvcrt.kbhit():
                msvcrt.getwch()
    elif not _is_in_foreground():
        yield
    else:
        before = termios.tcgetattr(sys.stdin)
        quiet = [*before]
        quiet[3] &= ~(termios.ECHO | termios.ICANON)
        try:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, quiet)
            yield
        finally:
            with suppress(termios.error):  # the terminal may be gone
                termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, before)  # discards what was typed


def _is_in_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # it belongs to another session
        return False
