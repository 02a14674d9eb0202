"""Fixtures that open windows; test files name this as a plugin."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mnist_lab.drawing.strokes import Picture
from mnist_lab.drawing.window.app import Voter, Window
from mnist_lab.drawing.window.display import TKINTER_MISSING, main_window
from mnist_lab.drawing.window.widgets import Probabilities
from tests.windows import Guest, Opener, Visitor, start_screen, unavailable, width_reader


@pytest.fixture(scope="session")
def own_screen() -> Iterator[str]:
    """The name of a display: an Xvfb of our own, or else the one that there is.

    It stays until the end, for Tk never closes its connection.
    """
    if TKINTER_MISSING:
        unavailable("tkinter")
    if shutil.which("Xvfb") is None and (os.environ.get("DISPLAY") or sys.platform in ("win32", "darwin")):
        yield os.environ.get("DISPLAY", "")
        return
    server, name = start_screen()
    yield name
    server.terminate()
    server.wait()


@pytest.fixture
def screen(own_screen: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, set in the environment."""
    monkeypatch.setenv("DISPLAY", own_screen)
    return own_screen


@pytest.fixture
def opened(screen: str) -> Iterator[Opener]:
    """Opens windows; closes them after the test."""
    windows = ExitStack()

    def open_one(
        *predictors: Callable[[Picture], Probabilities],
        explain: Callable[[Picture, int], Any] | None = None,
        judge: Any = None,
        predict_many: Callable[[Sequence[Picture]], list[Probabilities]] | None = None,
    ) -> Visitor:
        seen: list[Picture] = []

        def noting(predict: Callable[[Picture], Probabilities]) -> Callable[[Picture], Probabilities]:
            def predict_and_note(picture: Picture) -> Probabilities:
                seen.append(picture)
                return predict(picture)

            return predict_and_note

        voters = [
            Voter(f"2026-11-22_14-30-0{place}_3-layer-aug", noting(predict), explain, predict_many)
            for place, predict in enumerate(predictors or (width_reader,))
        ]
        visitor: Visitor
        root = windows.enter_context(main_window())
        window = Window(
            root, voters, lambda snapshot: visitor.save(snapshot), lambda labelled: visitor.keep(labelled), judge
        )
        visitor = Visitor(window, seen)
        visitor.root.update()
        return visitor

    with windows:
        yield open_one
    gc.collect()


@pytest.fixture
def guest(screen: str, tmp_path: Path) -> Iterator[Callable[..., Guest]]:
    """Starts windows in processes of their own; sees to it that none stays."""
    if shutil.which("Xvfb") is None:
        unavailable("Xvfb")  # nobody's own screen is clicked on
    guests: list[Guest] = []

    def start(display: str = screen, rounds: int = 1) -> Guest:
        guests.append(Guest(display, tmp_path, rounds))
        return guests[-1]

    yield start
    for started in guests:
        started.process.kill()
        started.process.wait()
