"""What is typed while a training runs, on a real terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mnist_lab.terminal.keyboard import keyboard_ignored
from tests.trainings import ROOT, in_background, wait_for

if sys.platform == "win32":
    pytest.skip("Windows has other terminals", allow_module_level=True)

import fcntl
import pty
import struct
import termios

# A new session takes the terminal as its own, as a shell's programs do.
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
)


class PseudoTerminal:
    """A program on a terminal of 100 x 30 characters, what it showed, and whether the terminal echoes."""

    def __init__(self, *words: str) -> None:
        self.keys, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        command = [sys.executable, "-c", ON_TERMINAL, sys.executable, "main.py", *words]
        environment = os.environ | {"TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        self.shown, self._lock = "", threading.Lock()
        self._reader = in_background(self._read)

    def _read(self) -> None:
        try:
            while some := os.read(self.keys, 4096):
                self.shown += some.decode("utf-8", errors="replace")
        except OSError:  # the program has ended
            pass

    def type(self, text: str) -> None:
        os.write(self.keys, text.encode())

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.keys)[3] & termios.ECHO)

    def wait_for(self, text: str) -> None:
        wait_for(lambda: text in self.shown)

    def end(self) -> int:
        status: int = self.process.wait(60)
        self._reader.join(10)
        os.close(self.keys)
        return status


@pytest.mark.integration
def test_what_is_typed_during_a_training_is_neither_shown_nor_an_answer(tmp_path: Path) -> None:
    terminal = PseudoTerminal("--outputs", str(tmp_path))
    for prompt, answer in (
        ("Choose", "train"), ("Which network", "1"), ("Augment", "n"), ("How long", "standard"), ("Change", "y"),
        ("Change which", "patience"), ("Patience", "7"),
    ):  # fmt: skip
        terminal.wait_for(prompt)
        assert terminal.echoes
        terminal.type(f"{answer}\n")
    wait_for(lambda: terminal.shown.count("Change which") == 2)
    terminal.type("training digits\n")
    terminal.wait_for("Training digits (digits)")
    terminal.type("9000\n")
    wait_for(lambda: terminal.shown.count("Change which") == 3)
    terminal.type("\n")
    terminal.wait_for("loss (nats)")
    assert not terminal.echoes
    terminal.type("hasty\nq\nquit\n")
    terminal.wait_for("What to do with it")
    assert terminal.echoes
    assert terminal.process.poll() is None
    terminal.type("back\n")
    wait_for(lambda: terminal.shown.count("Choose") == 2)
    assert "hasty" not in terminal.shown
    terminal.type("q\n")
    assert terminal.end() == 0


@pytest.mark.integration
def test_a_terminal_echoes_again_after_ctrl_c(tmp_path: Path) -> None:
    options = ["--model", "1-layer", "--train-size", "9000", "--epochs", "500", "--outputs", str(tmp_path)]
    terminal = PseudoTerminal("train", *options)
    terminal.wait_for("loss (nats)")
    assert not terminal.echoes
    terminal.type("\x03")
    terminal.wait_for("Training was interrupted by Ctrl-C.")
    terminal.wait_for("show latest")
    assert terminal.echoes
    assert terminal.end() == 130
    assert "Traceback" not in terminal.shown


def test_an_input_that_is_no_terminal_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    with keyboard_ignored():
        pass
    assert sys.stdin.readline() == "yes\n"


def test_a_terminal_of_another_session_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, terminal = pty.openpty()
    with os.fdopen(terminal) as stdin, os.fdopen(keys, "wb", buffering=0) as typed:
        monkeypatch.setattr(sys, "stdin", stdin)
        with keyboard_ignored():
            typed.write(b"yes\n")
        assert stdin.readline() == "yes\n"
