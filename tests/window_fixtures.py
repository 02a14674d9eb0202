"""Fixtures that open windows; test files name this as a plugin."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.window.answer import Predictor, Probabilities
from mnist_lab.drawing.window.app import Window
from mnist_lab.drawing.window.screen import TKINTER_MISSING, new_root, take_down
from mnist_lab.explain.film import DigitMap
from tests.processes import unavailable
from tests.windows import (
    UNSEEN,
    Guest,
    Interior,
    Opener,
    Visitor,
    no_film,
    start_screen,
    uniform_map,
    width_reader,
)


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
    with ExitStack() as windows:

        def open_one(
            *readers: Callable[[Picture], Probabilities],
            explain: Callable[[Picture, int], Any] = uniform_map,
            reject: Callable[[Picture, Any], str | None] = lambda picture, probabilities: None,
            predict_many: Callable[[Sequence[Picture]], list[Probabilities]] | None = None,
            gallery: Callable[[Any], None] = print,
            personalise: Callable[[Callable[[float], None]], Any] | None = None,
            interiors: Sequence[Interior] = (),
            film: Callable[[], DigitMap] = no_film,
        ) -> Visitor:
            """Readers are asked about one picture each; predict_many, about those of several pictures at once.

            With interiors, there is a network for each of them.
            """
            seen: list[Picture] = []

            def noting(read: Callable[[Picture], Probabilities]) -> Callable[[Sequence[Picture]], list[Probabilities]]:
                def predict(pictures: Sequence[Picture]) -> list[Probabilities]:
                    if predict_many is not None and len(pictures) > 1:
                        return predict_many(pictures)
                    seen.extend(pictures)
                    return [read(picture) for picture in pictures]

                return predict

            asked = readers or (width_reader,) * max(1, len(interiors))
            inner = [*interiors, *[UNSEEN] * (len(asked) - len(interiors))]
            predictors = [
                Predictor(
                    f"2026-11-22_14-30-0{place}_3-layer-aug", noting(read), explain, "Gradient", *looked, film=film
                )
                for place, (read, looked) in enumerate(zip(asked, inner, strict=True))
            ]
            visitor: Visitor
            root = new_root()
            windows.callback(take_down, root)
            host: Any = SimpleNamespace(
                save=lambda answer: visitor.save(answer),
                keep=lambda labelled: visitor.keep(labelled),
                take_back=lambda labelled: visitor.take_back(labelled),
                reject=reject,
                gallery=gallery,
                personalise=personalise,
            )
            window = Window(root, predictors, host)
            visitor = Visitor(window, seen)
            visitor.root.update()
            return visitor

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
