"""The rows of the menu about drawings and pictures: draw, recognise, take apart, and score them."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.text import Text

from mnist_lab.drawing import figures
from mnist_lab.drawing.images import read_picture
from mnist_lab.drawing.own_digits import keep_drawing, take_back
from mnist_lab.drawing.preprocess import MODES, STEP_NAMES, Picture, Steps, Wobble, from_ink, ink, pen_width, to_mnist
from mnist_lab.drawing.recognise import prepare_labelled, score_drawings, show_skipped
from mnist_lab.drawing.strokes import Drawing, read_drawings
from mnist_lab.drawing.window.answer import Predictor
from mnist_lab.drawing.window.app import Snapshot, open_window
from mnist_lab.errors import LabError, RequestError
from mnist_lab.explain import commands as explain
from mnist_lab.explain.commands import BEST, DigitFile, Reader, Subject, existing_file
from mnist_lab.explain.figures import Drawn, saliency_panel
from mnist_lab.explain.saliency import DEFAULT_METHOD, METHODS
from mnist_lab.plotting import save_figure
from mnist_lab.report.document import Table
from mnist_lab.report.index import SCORE_FILE, Summary, write_summary
from mnist_lab.storage import is_file, new_folder, write_atomically, write_json, write_text
from mnist_lab.terminal.lab import OK, Command, Lab
from mnist_lab.terminal.wording import format_interval, format_probability
from mnist_lab.training import figures as run_figures
from mnist_lab.training.commands import ask_training
from mnist_lab.training.page import per_digit_table, score_summary
from mnist_lab.training.picker import add_run_options, run_named, runs_named
from mnist_lab.training.runs import MY_DIGITS, find_run, list_runs


def _ask_draw(lab: Lab) -> int:
    if not any(run.is_evaluated for run in list_runs(lab.outputs)[0]):
        lab.terminal.hint(f"There is no trained network in {lab.outputs} yet to read what you draw.")
        if not lab.terminal.ask_yes_no("Train one now (3-layer; you choose how long)", default=True):
            return OK
        ask_training(lab)
    return draw(lab)


def draw(lab: Lab, runs: Sequence[str] = (BEST,)) -> int:
    """Open the window to draw in; the networks of several runs predict side by side."""
    session = DrawingSession(lab, explain.load_readers(lab, runs))
    lab.terminal.hint("opening the window; Esc closes it")
    open_window(
        session.predictors(),
        save=session.save,
        keep=session.keep,
        take_back=session.take_back,
        reject=session.reject,
    )
    for folder in session.saved:
        lab.terminal.line(str(folder))
    return OK


@dataclass
class DrawingSession:
    """What the window asks for: predictions, maps, and places to keep drawings."""

    lab: Lab
    readers: Sequence[Reader]
    saved: list[Path] = field(default_factory=list)

    def predictors(self) -> list[Predictor]:
        """The networks as the window takes them, each with a name of its own."""
        names = [reader.name for reader in self.readers]
        if len(set(names)) < len(names):  # networks that differ only in their recipe or length
            names = [reader.run.name for reader in self.readers]
        method = METHODS["gradient"].title
        readers = zip(names, self.readers, strict=True)
        return [Predictor(name, reader.predict, reader.map, method) for name, reader in readers]

    def reject(self, picture: Picture, probabilities: Sequence[NDArray[np.float64]]) -> str | None:
        answers = zip(self.readers, probabilities, strict=True)
        return "probably not a digit" if all(reader.rejects(answer) for reader, answer in answers) else None

    def save(self, snapshot: Snapshot) -> Path:
        """Leave a drawing, what the networks saw of it and what they predicted in a folder of its own."""
        reader, drawn, line = self.readers[0], ink(snapshot.drawing, snapshot.brush), snapshot.drawing.to_json()
        explanation = reader.explain(snapshot.picture, DEFAULT_METHOD)
        remark = f"brush {snapshot.brush:.0f} px{'' if snapshot.wobble == Wobble() else ', then wobbled'}"
        title = f"A drawing, read as {explanation.prediction} by {reader.name}"
        figure = saliency_panel(explanation, title=title, drawn=Drawn(drawn, remark))
        answers = [
            {"run": one.run.name, "network": one.name, "digit": int(answer.argmax()), "probabilities": answer.tolist()}
            for one, answer in zip(self.readers, snapshot.probabilities, strict=True)
        ]
        content = {
            "answers": answers,
            "probably_no_digit": self.reject(snapshot.picture, snapshot.probabilities) is not None,
            "brush": snapshot.brush,
            "wobble": asdict(snapshot.wobble),
        }
        with new_folder(self.lab.outputs, f"drawing-{answers[0]['digit']}", self.lab.now()) as folder:
            write_text(folder / "drawing.json", line + "\n")
            write_atomically(folder / "drawing.png", Image.fromarray(drawn).save)
            write_atomically(folder / "seen.png", Image.fromarray(snapshot.picture).save)
            write_json(folder / "prediction.json", content)
            save_figure(folder / "prediction.png", figure)
            sentences = [f"{answer['network']} predicts {answer['digit']}" for answer in answers]
            write_summary(folder, Summary(sentences=sentences, thumbnail="drawing.png", pictures=figures.CAPTIONS))
        self.saved.append(folder)
        return folder

    def keep(self, drawing: Drawing) -> str:
        keep_drawing(self.lab.outputs, drawing)
        return f"kept as {drawing.label}"

    def take_back(self, drawing: Drawing) -> str:
        return f"taken back: {take_back(self.lab.outputs, drawing):,} in {MY_DIGITS}"


def _ask_predict(lab: Lab) -> int:
    find_run(lab.outputs, BEST)
    return predict(lab, [lab.terminal.ask("Which picture (file name)", "", existing_file)])


def predict(lab: Lab, paths: Sequence[Path], run: str = BEST) -> int:
    """Recognise pictures from files; a picture that can't be read is refused, but not the others."""
    reader = explain.load_reader(lab, run)
    seen: list[tuple[Path, Picture | None]] = []
    refused: list[LabError] = []
    for path in paths:
        try:
            seen.append((path, to_mnist(read_picture(path))))
        except LabError as error:
            refused.append(error)
    predicted = iter(reader.predict([picture for _, picture in seen if picture is not None]))
    rows = [_prediction_row(path.name, reader, None if picture is None else next(predicted)) for path, picture in seen]
    if rows:
        headings = ("picture", "digit", "probability", "or", "probability", "")
        table = Table(f"Read by {reader.name}", headings, rows, numeric=range(1, 6))
        lab.terminal.show(table.on_screen(fold=[0]))  # long names, so that no digit is cut off
    for refusal in refused[:-1]:
        lab.terminal.error(str(refusal))
    if refused:
        raise refused[-1]
    return OK


def _prediction_row(name: str, reader: Reader, probabilities: NDArray[np.float64] | None) -> tuple[str | Text, ...]:
    if probabilities is None:
        return name, "–", "", "", "", "blank"
    second, first = np.argsort(probabilities)[-2:]
    remark = Text("probably not a digit", "warning") if reader.rejects(probabilities) else ""
    likely, less_likely = (format_probability(probabilities[digit]) for digit in (first, second))
    return name, Text(str(first), "best"), likely, str(second), less_likely, remark


def _ask_score(lab: Lab) -> int:
    find_run(lab.outputs, BEST)
    own = lab.outputs / MY_DIGITS
    offered = str(own) if is_file(own) else ""
    return score(lab, lab.terminal.ask("Which file of drawings (JSON lines)", offered, existing_file))


def score(lab: Lab, path: Path, run: str = BEST, preprocess: str = "mnist") -> int:
    """Score a file of labelled drawings; leaves numbers and pictures in a folder, the accuracy as the last line."""
    drawings, damaged = read_drawings(path)
    show_skipped(lab.terminal, damaged)
    reader = explain.load_reader(lab, run)
    with lab.terminal.busy(f"reading {len(drawings):,} drawings"):
        labelled = prepare_labelled(drawings, preprocess)
        result = score_drawings(reader.model, labelled, reader.compute)
    evaluation = result.evaluation
    lab.terminal.show(per_digit_table(evaluation.to_dict(), "Drawings").on_screen(), "")
    if labelled.blanks:
        lab.terminal.hint(f"{labelled.blanks:,} drawings show no ink on the canvas and count as missed")
    if labelled.unlabelled:
        lab.terminal.hint(f"{labelled.unlabelled:,} drawings have no label and are left out")
    lab.terminal.hint(f"read by {reader.name}; 95 % interval {format_interval(result.interval)}")
    title, mistakes = f"{path.name} read by {reader.name} ({preprocess})", evaluation.mistakes
    missed, numbers = labelled.pictures[mistakes.positions], labelled.positions[mistakes.positions] + 1
    drawn = {
        "confusion_counts.png": run_figures.confusion_counts(evaluation.confusion, title=title),
        "mistakes.png": run_figures.mistakes(
            missed, mistakes, numbers, evaluated=evaluation.total, title=title, noun="drawing"
        ),
    }
    label, busy = f"score-{explain.folder_label(path.stem)}", lab.terminal.busy("drawing the pictures")
    with busy, new_folder(lab.outputs, label, lab.now()) as folder:
        content = {"file": path.name, "run": reader.run.name, "preprocess": preprocess} | result.to_dict()
        write_json(folder / SCORE_FILE, content)
        for name, figure in drawn.items():
            save_figure(folder / name, figure)
        captions = {name: run_figures.RUN_FIGURES[name].caption for name in drawn}
        write_summary(folder, replace(score_summary(content), pictures=captions))
    lab.terminal.line(str(folder))
    lab.terminal.line(f"accuracy {100 * result.accuracy:.2f} % ({evaluation.correct:,} of {labelled.total:,})")
    return OK


def read_digit(lab: Lab, file: DigitFile) -> tuple[Subject, Drawing | Picture]:
    """The digit in a file as a network sees it, and what that was made from; a LabError says that it can't be used."""
    source: Drawing | Picture
    true = None
    if file.is_drawing:
        usable, damaged = read_drawings(file.path)
        show_skipped(lab.terminal, damaged)
        source, true = usable[0], usable[0].label
    else:
        source = read_picture(file.path)
    picture = to_mnist(source)
    if picture is None:
        raise RequestError(f"{file.path} shows no ink", "give a picture or a drawing of a digit")
    return Subject(file.path.name, explain.folder_label(file.path.stem), true, picture), source


def _ask_xray(lab: Lab) -> int:
    find_run(lab.outputs, BEST)
    return xray(lab, lab.terminal.ask("Which picture or drawing (file name)", "", explain.picture_or_drawing))


def xray(lab: Lab, file: DigitFile, run: str = BEST) -> int:
    """Show each step from ink to 28x28, and what the network predicts without it."""
    subject, source = read_digit(lab, file)
    reader = explain.load_reader(lab, run)
    names = [name for name in STEP_NAMES if name != "pen" or isinstance(source, Drawing)]
    ways = {"all steps": Steps()} | {f"without {name}": Steps().without(name) for name in names}
    seen = {way: picture for way, steps in ways.items() if (picture := to_mnist(source, steps)) is not None}
    answers = reader.predict(list(seen.values()))
    variants = [figures.Variant(way, seen[way], answer) for way, answer in zip(seen, answers, strict=True)]
    title = f"{subject.title}, read by {reader.name}"
    rows = [(way, str(answer.argmax()), format_probability(float(answer.max()))) for way, _, answer in variants]
    lab.terminal.line(title)
    lab.terminal.show(Table("", ("steps", "digit", "probability"), rows, numeric=(1, 2)).on_screen())
    if isinstance(source, Drawing):
        stages = {"raw": ink(source), "pen": ink(source, pen_width(source))}
    else:
        stages = {"raw": source}
        lab.terminal.hint("of a picture from a file, the paper is made white and the ink black before the first step")
    stages |= from_ink([*stages.values()][-1], Steps()) or {}
    figure = figures.xray(stages, variants, title=title)
    with new_folder(lab.outputs, f"xray-{subject.label}", lab.now()) as folder:
        save_figure(folder / "xray.png", figure)
        write_summary(folder, Summary(sentences=[f"read by {reader.name}"], pictures=figures.CAPTIONS))
    lab.terminal.line(str(folder))
    return OK


def _add_draw_options(parser: ArgumentParser) -> None:
    add_run_options(parser, BEST)


def _add_predict_options(parser: ArgumentParser) -> None:
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="PNG, JPEG or another picture")
    add_run_options(parser, BEST, positional=False)


def _add_xray_options(parser: ArgumentParser) -> None:
    explain.add_digit_options(parser, test_digits=False)
    add_run_options(parser, BEST)


def _add_score_options(parser: ArgumentParser) -> None:
    drawings = 'one drawing per line: {"label": 3, "strokes": [[[x, y], ...], ...]}, in pixels of a 280x280 canvas'
    parser.add_argument("file", type=Path, metavar="FILE", help=drawings)
    add_run_options(parser, BEST, positional=False)
    parser.add_argument("--preprocess", choices=MODES, default="mnist", help="which steps to take (default: mnist)")


COMMANDS = {
    "draw": Command(_ask_draw, lambda lab, given: draw(lab, runs_named(given, BEST)), _add_draw_options),
    "predict": Command(
        _ask_predict, lambda lab, given: predict(lab, given.images, run_named(given, BEST)), _add_predict_options
    ),
    "xray": Command(_ask_xray, lambda lab, given: xray(lab, given.digit, run_named(given, BEST)), _add_xray_options),
    "score": Command(
        _ask_score,
        lambda lab, given: score(lab, given.file, run_named(given, BEST), given.preprocess),
        _add_score_options,
    ),
}
