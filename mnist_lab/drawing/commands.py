"""The rows of the menu about drawings and pictures: draw, recognise, take apart, and score them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from mnist_lab.data.mnist import load_mnist
from mnist_lab.drawing import figures
from mnist_lab.drawing.digits import find_digits
from mnist_lab.drawing.images import PAPER_STEPS, PaperSteps, clean_page, read_colours, read_page
from mnist_lab.drawing.own_digits import keep_drawing, take_back
from mnist_lab.drawing.page import Colours
from mnist_lab.drawing.personalise import Step
from mnist_lab.drawing.personalise_commands import draw_pictures, fine_tune_kept
from mnist_lab.drawing.places import Place, asking, number_of, vote
from mnist_lab.drawing.predictions import (
    NO_DIGIT,
    SEVERAL,
    Prediction,
    Source,
    all_reject,
    labels_of,
    names_of,
    predict_all,
    read_sources,
    table_of,
)
from mnist_lab.drawing.preprocess import (
    BRUSH,
    MODES,
    STEP_NAMES,
    Picture,
    Steps,
    Wobble,
    from_ink,
    ink,
    ink_again,
    pen_width,
    to_mnist,
)
from mnist_lab.drawing.recognise import prepare_labelled, score_drawings, show_skipped
from mnist_lab.drawing.strokes import Drawing, read_drawings
from mnist_lab.drawing.window.answer import Answer, Predictor, Question, ask
from mnist_lab.drawing.window.app import open_window
from mnist_lab.drawing.window.gallery import Gallery
from mnist_lab.drawing.window.layout import PANEL_WIDTHS
from mnist_lab.drawing.window.widgets import Theme
from mnist_lab.errors import LabError, RequestError
from mnist_lab.explain import commands as explain
from mnist_lab.explain.commands import BEST, DigitFile, Reader, Subject, existing_file
from mnist_lab.explain.figures import Drawn, saliency_panel
from mnist_lab.explain.film import load_map
from mnist_lab.explain.inside import opened, surveying
from mnist_lab.explain.neighbour_figures import sentence
from mnist_lab.explain.saliency import DEFAULT_METHOD, METHODS
from mnist_lab.networks.models import build_model
from mnist_lab.plotting import save_figure
from mnist_lab.report.document import Table, text
from mnist_lab.report.index import SCORE_FILE, Summary, write_summary
from mnist_lab.storage import is_file, new_folder, write_atomically, write_json, write_text
from mnist_lab.terminal.lab import FAILED, OK, Command, Lab, add_json_option
from mnist_lab.terminal.pixels import beside_bars, shows_pixels
from mnist_lab.terminal.wording import format_interval, format_probability
from mnist_lab.training import figures as run_figures
from mnist_lab.training.commands import ask_training
from mnist_lab.training.page import per_digit_table, score_summary
from mnist_lab.training.picker import add_run_options, run_named, runs_named
from mnist_lab.training.runs import MY_DIGITS, find_run, list_runs

_UPRIGHT = Drawing((((140.0, 60.0), (140.0, 220.0)),))  # to answer once before the window opens
_MOST_PICTURES = 3  # that predict shows as pictures; of more, a table says more at a glance
_MOST_SAVED = 20  # pictures with several digits that predict saves


def _ask_draw(lab: Lab) -> int:
    if not any(run.is_evaluated for run in list_runs(lab.outputs)[0]):
        lab.terminal.hint(f"There is no trained network in {lab.outputs} yet to read what you draw.")
        if not lab.terminal.ask_yes_no("Train one now (3-layer; you choose how long)", default=True):
            return OK
        ask_training(lab)
    return draw(lab, explain.ask_networks(lab, "Which networks are to read what you draw (up to four; several vote)"))


def draw(lab: Lab, runs: Sequence[str] = (BEST,)) -> int:
    """Open the window to draw in; the networks of several runs predict side by side."""
    readers = explain.load_readers(lab, runs)
    if len(readers) > max(PANEL_WIDTHS):
        raise RequestError(f"{len(readers)} runs can't be shown side by side", f"name 1 to {max(PANEL_WIDTHS)} runs")
    session = DrawingSession(lab, readers)
    with lab.terminal.busy("getting ready"):  # what is loaded for the first answer would hold up the first stroke
        for reader in readers:
            alone = DrawingSession(lab, [reader])
            ask(Question(_UPRIGHT, BRUSH), alone.predictors(), alone.reject)
    lab.terminal.hint("opening the window; Esc closes it")
    # One small picture gains nothing from several threads, which wait for each other wherever a core is busy: beside
    # other programs, a prediction took 0.7 ms with one and 20 to 300 ms with two, an X-ray's pictures 9 and 40 to 270.
    with threadpool_limits(1):
        open_window(session.predictors(), session)
    for folder in session.learned:
        draw_pictures(lab, folder)
    for folder in (*session.saved, *session.learned):
        lab.terminal.line(str(folder))
    return OK


@dataclass
class DrawingSession:
    """What the window asks for: predictions, maps, and places to keep drawings."""

    lab: Lab
    readers: Sequence[Reader]
    saved: list[Path] = field(default_factory=list)
    learned: list[Path] = field(default_factory=list)  # runs whose pictures are still to be drawn

    def predictors(self) -> list[Predictor]:
        """The networks as the window takes them, each with a name of its own."""
        return [_predictor(name, reader) for name, reader in zip(names_of(self.readers), self.readers, strict=True)]

    def reject(self, picture: Picture, probabilities: Sequence[NDArray[np.float64]]) -> str | None:
        return NO_DIGIT if all_reject(self.readers, picture, probabilities) else None

    def save(self, answer: Answer) -> Path:
        """Leave a drawing, what the networks saw of it and what they predicted in a folder of its own."""
        reader, question, picture = self.readers[0], answer.question, answer.picture
        assert picture is not None
        drawn, line = ink(question.drawing, question.brush), question.drawing.to_json()
        explanation = reader.explain(picture, DEFAULT_METHOD)
        remark = f"brush {question.brush:.0f} px{'' if question.wobble == Wobble() else ', then wobbled'}"
        title = f"A drawing, read as {explanation.prediction} by {reader.name}"
        figure = saliency_panel(explanation, title=title, drawn=Drawn(drawn, remark))
        answers = [
            {"run": one.run.name, "network": one.name, "digit": int(each.argmax()), "probabilities": each.tolist()}
            for one, each in zip(self.readers, answer.probabilities, strict=True)
        ]
        content = {
            "answers": answers,
            "probably_no_digit": answer.rejection is not None,
            "brush": question.brush,
            "wobble": asdict(question.wobble),
        }
        with new_folder(self.lab.outputs, f"drawing-{answers[0]['digit']}", self.lab.now()) as folder:
            write_text(folder / "drawing.json", line + "\n")
            write_atomically(folder / "drawing.png", Image.fromarray(drawn).save)
            write_atomically(folder / "seen.png", Image.fromarray(picture).save)
            write_json(folder / "prediction.json", content)
            save_figure(folder / "prediction.png", figure)
            sentences = [f"{one['network']} predicts {one['digit']}" for one in answers]
            write_summary(folder, Summary(sentences=sentences, thumbnail="drawing.png", pictures=figures.CAPTIONS))
        self.saved.append(folder)
        return folder

    def keep(self, drawing: Drawing) -> str:
        keep_drawing(self.lab.outputs, drawing)
        return f"kept as {drawing.label}"

    def take_back(self, drawing: Drawing) -> str:
        take_back(self.lab.outputs, drawing)
        return f"taken back: it is no longer in {MY_DIGITS}"

    def gallery(self, theme: Theme) -> None:
        def read(pictures: Sequence[Picture]) -> list[int]:
            digits: list[int] = vote([reader.predict(pictures) for reader in self.readers]).argmax(axis=1).tolist()
            return digits

        Gallery(theme, self.lab.outputs, read)

    def personalise(self, on_step: Step) -> tuple[list[Predictor], str]:
        """Let the first network learn the drawings kept; returns all that predict from now on, and what to say."""
        lab, reader = self.lab, self.readers[0]
        folder = fine_tune_kept(lab, reader.run, on_step=on_step)
        self.learned.append(folder)
        self.readers = [explain.load_reader(lab, folder.name), *self.readers[1:]]
        return self.predictors(), text(self.readers[0].run.personal.get("advice"))


def _predictor(name: str, reader: Reader) -> Predictor:
    return Predictor(
        name,
        reader.predict,
        reader.map,
        METHODS["gradient"].title,
        opened(reader.model),
        opened(build_model(reader.run.config.architecture, reader.run.seed)),
        lambda model: surveying(model, load_mnist().validation),
        reader.neighbours,
        partial(load_map, reader.run, reader.model, reader.compute),
    )


def _ask_predict(lab: Lab) -> int:
    find_run(lab.outputs, BEST)
    own = lab.outputs / MY_DIGITS
    offered = str(own) if is_file(own) else ""
    path = lab.terminal.ask("Which picture, or file of drawings (file name)", offered, existing_file)
    if explain.holds_drawings(path):
        labels = [drawing.label for drawing in read_drawings(path).usable]
        if len(labels) - labels.count(None) > 1:
            return max(score(lab, path, run) for run in explain.ask_networks(lab, "Which networks are to read them"))
    return predict(lab, [path], explain.ask_networks(lab, "Which networks are to read it (several vote)"))


def predict(lab: Lab, paths: Sequence[Path], runs: Sequence[str] = (BEST,), *, as_json: bool = False) -> int:
    """Recognise digits from files; a file that can't be read is refused, but not the others. Several networks vote."""
    readers = explain.load_readers(lab, runs)
    sources: list[Source] = []
    refused: list[tuple[Path, LabError]] = []
    for path in paths:
        try:
            sources += read_sources(lab.terminal, path)
        except LabError as error:
            refused.append((path, error))
    predictions = predict_all(readers, sources)
    folder = _save_several(lab, readers, predictions)
    if as_json:
        for one in predictions:
            lab.terminal.record(one.to_dict(readers, folder if one.found == SEVERAL else None))
        for path, refusal in refused:
            lab.terminal.record({"file": str(path), "error": str(refusal)})
        return FAILED if refused else OK
    as_pictures = shows_pixels(lab.terminal.console) and len(predictions) <= _MOST_PICTURES and folder is None
    if as_pictures:
        for one in predictions:
            _show_picture(lab, readers, one)
    if predictions and (len(readers) > 1 or not as_pictures):
        lab.terminal.show(table_of(readers, predictions))
        if len(predictions) <= _MOST_PICTURES and not as_pictures:
            _tell_neighbours(lab, readers, predictions)
    for one in predictions:
        if one.source.is_cut:
            lab.terminal.warn(f"{one.source.name}: ink that the picture's edge cuts off was left out")
    if folder is not None:
        lab.terminal.line(str(folder))
    for _, refusal in refused[:-1]:
        lab.terminal.error(str(refusal))
    if refused:
        raise refused[-1][1]
    return OK


def _save_several(lab: Lab, readers: Sequence[Reader], predictions: Sequence[Prediction]) -> Path | None:
    """Leave what shows several digits in a folder, with the box and the answer of each; None if nothing does."""
    several = [one for one in predictions if one.found == SEVERAL]
    if not several:
        return None
    if len(several) > _MOST_SAVED:
        lab.terminal.hint(f"pictures are kept of the first {_MOST_SAVED} of {len(several)} that show several digits")
    by, label = names_of(readers)[0] if len(readers) == 1 else f"{len(readers)} networks", several[0].source.file.stem
    with new_folder(lab.outputs, f"predict-{explain.folder_label(label)}", lab.now()) as folder:
        captions = {}
        for number, one in enumerate(several[:_MOST_SAVED], start=1):
            name = "digits.png" if len(several) == 1 else f"digits-{number}.png"
            title = f"{one.source.name}, read by {by}: {one.number}"
            save_figure(folder / name, figures.digits(on_paper(one), one.places, one.doubtful, title=title))
            captions[name] = replace(figures.CAPTIONS["digits.png"], title=f"{one.source.name}: {one.number}")
        write_json(folder / "prediction.json", {"predictions": [one.to_dict(readers) for one in several]})
        sentences = [f"{one.source.name} shows {one.number}, read by {by}" for one in several[:3]]
        write_summary(folder, Summary(sentences=sentences, thumbnail=next(iter(captions)), pictures=captions))
    return folder


def on_paper(one: Prediction) -> Picture:
    """A picture as it was read, or a drawing inked as finely as its digits need."""
    source = one.source.ink
    if not isinstance(source, Drawing):
        return source
    pens = [pen_width(place.source) for place in one.places if isinstance(place.source, Drawing)]
    return ink(source, float(np.median(pens)))


def _tell_neighbours(lab: Lab, readers: Sequence[Reader], predictions: Sequence[Prediction]) -> None:
    for one in predictions:
        if len(one.places) == 1:
            whose = [one.source.name] * (len(predictions) > 1) + [names_of(readers)[0]] * (len(readers) > 1)
            said = sentence(readers[0].neighbours(one.places[0].picture))
            lab.terminal.hint(f"{', '.join(whose)}: {said}" if whose else said)


def _show_picture(lab: Lab, readers: Sequence[Reader], one: Prediction) -> None:
    if len(one.places) != 1:  # blank, or pieces of what is no digit
        lab.terminal.hint(f"{one.source.name}: {one.remark}")
        return
    (place,) = one.places
    heading = f"read by {readers[0].name}" if len(readers) == 1 else f"mean of {len(readers)} networks"
    below = labels_of(readers[0].neighbours(place.picture), readers, place.digit)
    lab.terminal.show(beside_bars(place.picture, one.source.name, place.vote.tolist(), heading, one.remark, below))


def _predict_from_options(lab: Lab, options: Namespace) -> int:
    options.runs = [word for word in options.images if _is_run(lab, word)]
    images = [Path(word) for word in options.images if word not in options.runs]
    if not images:
        raise RequestError(f"only runs are named ({', '.join(options.runs)})", "name a picture, too")
    return predict(lab, images, runs_named(options, BEST), as_json=options.json)


def _is_run(lab: Lab, word: str) -> bool:
    """Whether a word where pictures are named is meant for a run: its name, or a number; a file's name goes first."""
    if is_file(Path(word)):
        return False
    with suppress(LabError):
        find_run(lab.outputs, word)
        return True
    return word.isdecimal()


def score(lab: Lab, path: Path, run: str = BEST, preprocess: str = "mnist", *, as_json: bool = False) -> int:
    """Score a file of labelled drawings; leaves numbers and pictures in a folder, the accuracy as the last line."""
    drawings, damaged = read_drawings(path)
    show_skipped(lab.terminal, damaged)
    reader = explain.load_reader(lab, run)
    with lab.terminal.busy(f"reading {len(drawings):,} drawings"):
        labelled = prepare_labelled(drawings, preprocess)
        result = score_drawings(reader.model, labelled, reader.compute)
    evaluation = result.evaluation
    if not as_json:
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
        content: dict[str, Any] = {"file": path.name, "run": reader.run.name, "preprocess": preprocess}
        content |= result.to_dict()
        write_json(folder / SCORE_FILE, content)
        for name, figure in drawn.items():
            save_figure(folder / name, figure)
        captions = {name: run_figures.RUN_FIGURES[name].caption for name in drawn}
        write_summary(folder, replace(score_summary(content), pictures=captions))
    if as_json:
        per_digit = content.pop("with_ink")["per_digit"]
        lab.terminal.record(content | {"file": str(path), "per_digit": per_digit, "folder": str(folder)})
        return OK
    lab.terminal.line(str(folder))
    lab.terminal.line(f"accuracy {100 * result.accuracy:.2f} % ({evaluation.correct:,} of {labelled.total:,})")
    return OK


def read_digit(lab: Lab, file: DigitFile, readers: Sequence[Reader]) -> tuple[Subject, list[Place]]:
    """The digit in a file as a network sees it, and all that were found; a LabError says that it can't be used.

    Of several digits it is the first, and a line says so.
    """
    source: Drawing | Picture
    true = None
    if file.is_drawing:
        usable, damaged = read_drawings(file.path)
        show_skipped(lab.terminal, damaged)
        source, true = usable[0], usable[0].label
    else:
        page = read_page(file.path)
        if page.trouble is not None:
            raise RequestError(f"{file.path} {page.trouble.found}", page.trouble.next_step)
        source = page.ink
    places = find_digits(source, asking(reader.predict for reader in readers))
    if not places:
        raise RequestError(f"{file.path} shows no ink", "give a picture or a drawing of a digit")
    title = file.path.name
    if len(places) > 1:
        lab.terminal.hint(f"{title} shows {len(places)} digits ({number_of(places)}); what follows is about the first")
        title, true = f"{title}, first of {len(places)} digits", None
    return Subject(title, explain.folder_label(file.path.stem), true, places[0].picture), places


def _ask_xray(lab: Lab) -> int:
    find_run(lab.outputs, BEST)
    return xray(lab, lab.terminal.ask("Which picture or drawing (file name)", "", explain.picture_or_drawing))


def xray(lab: Lab, file: DigitFile, run: str = BEST) -> int:
    """Show each step from ink to 28x28, of a picture those from paper to ink as well, and the prediction without it."""
    (reader,) = explain.load_readers(lab, [run])
    subject, places = read_digit(lab, file, [reader])
    source = places[0].source
    ways: dict[str, Picture | None] = {"all steps": subject.picture}
    if isinstance(source, Drawing):
        stages = {"raw": ink(source), "pen": ink(source, pen_width(source))}
    else:
        colours = read_colours(file.path)
        stages = clean_page(colours).stages | {"pen": ink_again(source)}
        if len(places) == 1:  # of several digits, the first may be elsewhere without one of these steps
            with lab.terminal.busy("reading the paper without each step"):
                ways |= {f"without {name}": _largest_without(name, colours, reader) for name in PAPER_STEPS}
    ways |= {f"without {name}": to_mnist(source, Steps().without(name)) for name in STEP_NAMES}
    stages |= from_ink(stages["pen"], Steps()) or {}
    seen = {way: picture for way, picture in ways.items() if picture is not None}
    answers = reader.predict(list(seen.values()))
    variants = [figures.Variant(way, seen[way], answer) for way, answer in zip(seen, answers, strict=True)]
    title = f"{subject.title}, read by {reader.name}"
    lab.terminal.line(title)
    if shows_pixels(lab.terminal.console):
        lab.terminal.show(beside_bars(subject.picture, "what the network sees", answers[0].tolist(), "with all steps"))
    found = {way: (str(answer.argmax()), format_probability(float(answer.max()))) for way, _, answer in variants}
    rows = [(way, *found.get(way, ("–", "no ink"))) for way in ways]
    lab.terminal.show(Table("", ("steps", "digit", "probability"), rows, numeric=(1, 2)).on_screen())
    figure = figures.xray(stages, variants, title=title)
    with new_folder(lab.outputs, f"xray-{subject.label}", lab.now()) as folder:
        save_figure(folder / "xray.png", figure)
        write_summary(folder, Summary(sentences=[f"read by {reader.name}"], pictures=figures.CAPTIONS))
    lab.terminal.line(str(folder))
    return OK


def _largest_without(step: str, colours: Colours, reader: Reader) -> Picture | None:
    """What the network sees of a picture without one of PAPER_STEPS: of lines, or of the paper's grain, the largest."""
    places = find_digits(clean_page(colours, PaperSteps().without(step)).ink, asking([reader.predict]))
    largest = max(places, key=lambda place: place.box.size, default=None)
    return None if largest is None else largest.picture


def _add_draw_options(parser: ArgumentParser) -> None:
    add_run_options(parser, BEST)


def _add_predict_options(parser: ArgumentParser) -> None:
    what = "PNG, JPEG or another picture, a file of drawings, or a run that is to read them (several vote)"
    parser.add_argument("images", nargs="+", metavar="IMAGE", help=what)
    add_run_options(parser, BEST, positional=False)
    add_json_option(parser)


def _add_xray_options(parser: ArgumentParser) -> None:
    explain.add_digit_options(parser, test_digits=False)
    add_run_options(parser, BEST)


def _add_score_options(parser: ArgumentParser) -> None:
    drawings = 'one drawing per line: {"label": 3, "strokes": [[[x, y], ...], ...]}, in pixels of a 280x280 canvas'
    parser.add_argument("file", type=Path, metavar="FILE", help=drawings)
    add_run_options(parser, BEST)
    parser.add_argument("--preprocess", choices=MODES, default="mnist", help="which steps to take (default: mnist)")
    add_json_option(parser)


def _score_from_options(lab: Lab, options: Namespace) -> int:
    return score(lab, options.file, run_named(options, BEST), options.preprocess, as_json=options.json)


COMMANDS = {
    "draw": Command(_ask_draw, lambda lab, given: draw(lab, runs_named(given, BEST)), _add_draw_options),
    "predict": Command(_ask_predict, _predict_from_options, _add_predict_options),
    "xray": Command(_ask_xray, lambda lab, given: xray(lab, given.digit, run_named(given, BEST)), _add_xray_options),
    "score": Command(_ask_predict, _score_from_options, _add_score_options),  # the menu scores from where it predicts
}
