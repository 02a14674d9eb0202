"""The row of the menu that opens the window, and what the window asks for."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from mnist_lab.drawing.commands import BEST, Reader, load_readers
from mnist_lab.drawing.my_digits import keep_drawing
from mnist_lab.drawing.recognise import Answer, answers_to
from mnist_lab.drawing.strokes import Drawing, Picture, ink
from mnist_lab.drawing.window.app import Snapshot, Voter, open_window
from mnist_lab.drawing.wobble import Wobble
from mnist_lab.explain.controls import explain
from mnist_lab.explain.figures import Drawn, saliency_panel
from mnist_lab.explain.saliency import DEFAULT_METHOD, attribute
from mnist_lab.plotting import save_figure
from mnist_lab.storage import new_folder, write_atomically, write_json, write_text
from mnist_lab.terminal.lab import OK, Command, Lab
from mnist_lab.training.commands import ask_training
from mnist_lab.training.runs import JUDGED, MY_DIGITS, list_runs


def ask_draw(lab: Lab) -> int:
    """The menu's way to the window; without a trained network it offers to train one."""
    judged = [run for run in list_runs(lab.outputs)[0] if run.status in JUDGED]
    if not judged:
        lab.terminal.hint(f"There is no trained network in {lab.outputs} yet, so nobody could read what you draw.")
        if not lab.terminal.ask_yes_no("Train one now (3-layer; you choose how long)", default=True):
            return OK
        ask_training(lab)
    return draw(lab)


def draw(lab: Lab, runs: Sequence[str] = (BEST,)) -> int:
    """Open the window to draw in; the networks of several runs vote side by side."""
    readers = load_readers(lab, runs)
    session = DrawingSession(lab, readers)
    lab.terminal.hint("opening the window; Esc closes it")
    open_window(session.voters(), save=session.save, keep=session.keep, judge=session.judge)
    for folder in session.saved:
        lab.terminal.line(str(folder))
    return OK


class DrawingSession:
    """What the window asks for: answers, maps, and places to keep drawings."""

    def __init__(self, lab: Lab, readers: Sequence[Reader]) -> None:
        self.lab = lab
        self.readers = readers
        self.saved: list[Path] = []

    def voters(self) -> list[Voter]:
        """One voter per network."""
        names = [reader.name for reader in self.readers]
        if len(set(names)) < len(names):  # networks that differ in their recipe or length only
            names = [reader.run.name for reader in self.readers]
        return [
            Voter(
                name,
                partial(probabilities_of, reader),
                partial(live_map, reader),
                partial(probabilities_of_many, reader),
            )
            for name, reader in zip(names, self.readers, strict=True)
        ]

    def judge(self, picture: Picture, probabilities: Sequence[NDArray[np.float64]]) -> str | None:
        """A remark if all networks doubt that there is a digit."""
        answers = zip(self.readers, map(Answer, probabilities), strict=True)
        return "probably no digit" if all(answer.is_doubtful(r.doubt_level) for r, answer in answers) else None

    def save(self, snapshot: Snapshot) -> Path:
        """Leave a drawing, what the networks saw of it and what they said in a folder of its own.

        The folder holds ``drawing.json`` (the strokes), ``drawing.png`` (280x280, with the brush that was chosen),
        ``seen.png`` (28x28, as the networks saw it), ``prediction.json`` (every network's answer), and
        ``prediction.png`` (the drawing and which of its pixels mattered to the first network).
        """
        digit = int(snapshot.probabilities[0].argmax())
        drawn, line = ink(snapshot.drawing, snapshot.brush), snapshot.drawing.to_json()
        figure = prediction_figure(self.readers[0], snapshot, drawn)
        with new_folder(self.lab.outputs, f"drawing-{digit}", self.lab.now()) as folder:
            write_text(folder / "drawing.json", line + "\n")
            write_atomically(folder / "drawing.png", Image.fromarray(drawn).save)
            write_atomically(folder / "seen.png", Image.fromarray(snapshot.picture).save)
            write_json(folder / "prediction.json", self.prediction_of(snapshot))
            save_figure(folder / "prediction.png", figure)
        self.saved.append(folder)
        return folder

    def prediction_of(self, snapshot: Snapshot) -> dict[str, Any]:
        """Every network's answer to a drawing, and how it was drawn, as plain values."""
        answers = [
            {
                "run": reader.run.name,
                "network": reader.name,
                "digit": int(probabilities.argmax()),
                "probabilities": [float(probability) for probability in probabilities],
            }
            for reader, probabilities in zip(self.readers, snapshot.probabilities, strict=True)
        ]
        doubted = self.judge(snapshot.picture, snapshot.probabilities) is not None
        return {
            "answers": answers,
            "probably_no_digit": doubted,
            "brush": snapshot.brush,
            "wobble": asdict(snapshot.wobble),
        }

    def keep(self, drawing: Drawing) -> str:
        """Add a labelled drawing to the user's own digits."""
        return f"kept as a {drawing.label}: {keep_drawing(self.lab.outputs, drawing):,} in {MY_DIGITS}"


def probabilities_of(reader: Reader, picture: Picture) -> NDArray[np.float64]:
    """One network's ten probabilities for one picture (28, 28)."""
    return answers_to(reader.model, [picture], reader.compute)[0].probabilities


def probabilities_of_many(reader: Reader, pictures: Sequence[Picture]) -> list[NDArray[np.float64]]:
    """One network's ten probabilities for each of several pictures (28, 28), asked at once."""
    return [answer.probabilities for answer in answers_to(reader.model, pictures, reader.compute)]


def prediction_figure(reader: Reader, snapshot: Snapshot, drawn: Picture) -> Figure:
    """The drawing (280, 280), what a network saw and read, which pixels mattered, and the map's controls."""
    image = torch.from_numpy(snapshot.picture.copy()).unsqueeze(0)  # (1, 28, 28)
    explanation = explain(reader.model, reader.run.model, image, DEFAULT_METHOD, reader.compute)
    remark = f"brush {snapshot.brush:.0f} px{'' if snapshot.wobble == Wobble() else ', then wobbled'}"
    title = f"A drawing, read as {explanation.prediction} by {reader.name}"
    return saliency_panel(explanation, title=title, drawn=Drawn(drawn, remark))


def live_map(reader: Reader, picture: Picture, target: int) -> NDArray[np.float32]:
    """A map (28, 28) that is quick enough to follow a pen."""
    images = torch.from_numpy(picture.copy()).view(1, 1, *picture.shape)
    map_: NDArray[np.float32] = attribute(reader.model, images, torch.tensor([target]), "gradient", reader.compute)[0]
    return map_


def _add_draw_options(parser: ArgumentParser) -> None:
    parser.add_argument("--run", action="append", help="a run's folder, latest or best (the default); several vote")


COMMANDS = {"draw": Command(ask_draw, lambda lab, options: draw(lab, options.run or (BEST,)), _add_draw_options)}
