"""What the window asks of the program around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from mnist_lab.drawing.preprocess import Picture
from mnist_lab.drawing.strokes import Drawing
from mnist_lab.drawing.window.answer import Answer, Predictor, Probabilities
from mnist_lab.drawing.window.widgets import Theme


class Host(Protocol):
    """The program around the window. A LabError is shown."""

    def save(self, answer: Answer) -> Path: ...  # leaves a drawing, wobbled or not, in a place, which it returns

    def keep(self, drawing: Drawing) -> str: ...  # keeps a labelled drawing, and says so

    def take_back(self, drawing: Drawing) -> str: ...

    def reject(self, picture: Picture, probabilities: Sequence[Probabilities]) -> str | None: ...

    def gallery(self, theme: Theme) -> None: ...  # shows what was kept

    # Lets the first network learn what was kept, telling the fraction done; returns all networks, and what to say.
    def personalise(self, on_step: Callable[[float], None]) -> tuple[Sequence[Predictor], str]: ...
