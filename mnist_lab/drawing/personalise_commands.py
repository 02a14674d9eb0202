"""The row that makes a copy of a network which has learned one person's hand."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rich.progress import Progress

from mnist_lab.config import MOST_SEED, check_whole
from mnist_lab.data.mnist import load_mnist
from mnist_lab.drawing.personalise import Step
from mnist_lab.drawing.personalise import personalise as fine_tune
from mnist_lab.drawing.recognise import show_skipped
from mnist_lab.drawing.strokes import Drawing, read_drawings
from mnist_lab.explain import commands as explain
from mnist_lab.explain.commands import BEST
from mnist_lab.explain.film_figures import RUN_EXTRAS
from mnist_lab.networks.commands import compute_for
from mnist_lab.storage import is_file
from mnist_lab.terminal.lab import OK, Command, Lab
from mnist_lab.terminal.wording import plain
from mnist_lab.training.page import hand_table, hand_verdicts
from mnist_lab.training.picker import add_run_options, ask_run, run_named
from mnist_lab.training.runs import MY_DIGITS, RunRecord, find_run
from mnist_lab.training.session import evaluate_on, restore_pictures


def _ask_personalise(lab: Lab) -> int:
    return personalise(lab, ask_run(lab, "Personalise which run", BEST))


def personalise(lab: Lab, name: str = BEST, digits: Path | None = None, seed: int = 0) -> int:
    """Fine-tune a copy of a run's network on the drawings kept, or those of a file, and tell what that changed."""
    check_whole("--seed", seed, 0, MOST_SEED)
    run = find_run(lab.outputs, name)
    with Progress(console=lab.terminal.console, transient=True, disable=not lab.terminal.console.is_terminal) as shown:
        bar = shown.add_task("learning your hand", total=1.0)
        folder = fine_tune_kept(lab, run, digits, seed, on_step=lambda done: shown.update(bar, completed=done))
    run = find_run(lab.outputs, folder.name)
    advice, *verdicts = hand_verdicts(run)
    lab.terminal.show(hand_table(run).on_screen(), "", plain(advice))
    for said in verdicts:
        lab.terminal.hint(said)
    lab.terminal.hint("your own digits by cross-validation: each was read by a copy that had not learned from it")
    draw_pictures(lab, folder)
    lab.terminal.line(str(folder))
    return OK


def _personalise_from_options(lab: Lab, options: Namespace) -> int:
    return personalise(lab, run_named(options, BEST), options.digits, options.seed)


def fine_tune_kept(lab: Lab, run: RunRecord, digits: Path | None = None, seed: int = 0, *, on_step: Step) -> Path:
    """Personalise a copy of a run on the drawings kept, or those of a file."""
    compute, path = compute_for(lab), digits or lab.outputs / MY_DIGITS
    drawings: list[Drawing] = []
    if digits or is_file(path):
        drawings, damaged = read_drawings(path)
        show_skipped(lab.terminal, damaged)
    return fine_tune(run, drawings, lab.outputs, lab.now(), compute, seed=seed, on_step=on_step)


def draw_pictures(lab: Lab, folder: Path) -> None:
    """The pictures of a personalised run, which take about as long as it took to learn."""
    reader, test = explain.load_reader(lab, folder.name), load_mnist().test
    with lab.terminal.busy("drawing its pictures"):
        evaluation = evaluate_on(reader.model, test, reader.compute)
        restore_pictures(reader.run, evaluation, test, reader.model, RUN_EXTRAS.figures, lab.terminal.warn)


def _add_personalise_options(parser: ArgumentParser) -> None:
    add_run_options(parser, BEST)
    about = f"a file of labelled drawings to learn from (default: {MY_DIGITS}, those that were kept)"
    parser.add_argument("--digits", type=Path, metavar="FILE", help=about)
    parser.add_argument("--seed", type=int, default=0, help="decides the folds, the mixture and the augmentation (0)")


COMMANDS = {"personalise": Command(_ask_personalise, _personalise_from_options, _add_personalise_options)}
