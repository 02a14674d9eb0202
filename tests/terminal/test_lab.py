"""What every row works with: Ctrl-C, which ends nothing half done."""

from __future__ import annotations

import signal

import pytest

from mnist_lab.terminal.lab import graceful_interrupts


def test_the_first_interrupt_only_asks_and_none_ends_what_must_be_finished() -> None:
    before, heard, is_finishing = signal.getsignal(signal.SIGINT), [], True
    with graceful_interrupts(lambda: heard.append("asked"), lambda: is_finishing) as requested:
        assert not requested()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert requested()
        assert heard == ["asked", "asked"]
        is_finishing = False
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
