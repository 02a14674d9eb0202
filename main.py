"""MNIST Lab: the menu, and the same actions as commands for scripts.

python main.py            the menu
python main.py --help     the commands
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """End at once and without a word, as nothing has begun yet."""
    os._exit(130)


if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)  # while what follows is loaded

from rich.table import Table

from mnist_lab.config import (
    ARCHITECTURES,
    AUGMENTATIONS,
    MOST_THREADS,
    MOST_WORKERS,
    OPTION_FIELDS,
    RECIPES,
    SHORT_TRAINING,
    STRENGTH_FIELDS,
    TRAIN_DIGITS,
    TrainConfig,
    as_recipe,
    check_whole,
    default_config,
)
from mnist_lab.drawing import commands as draw_actions
from mnist_lab.environment import DEVICES, prepare_environment, using_device
from mnist_lab.errors import LabError, RequestError, StorageError
from mnist_lab.experiments import commands as experiment_actions
from mnist_lab.experiments import comparison_commands as comparison_actions
from mnist_lab.experiments import speed_commands as speed_actions
from mnist_lab.experiments.questions import EXPERIMENTS, SEEDS, find_experiment
from mnist_lab.explain.methods import DEFAULT_METHOD, METHODS
from mnist_lab.storage import reason, remedy
from mnist_lab.terminal.console import BackToMenu, Terminal, make_console, pick
from mnist_lab.training import commands as actions
from mnist_lab.training import report_commands as report_actions
from mnist_lab.training.commands import OK, Lab

REFUSED, INTERRUPTED = 1, 130
OUTPUTS = Path("outputs")


@dataclass(frozen=True)
class Row:
    """One row of the menu, which is also a command.

    Attributes:
        group: the menu's heading that it stands under.
        word: what the user types, in the menu and as the command.
        meaning: what it does.
        from_menu: asks what it needs to know, then acts; returns an exit status.
        from_command: acts on parsed options; returns an exit status.
        add_options: gives the command its options.
        computes: whether networks are asked or trained, on a device that can be chosen.
    """

    group: str
    word: str
    meaning: str
    from_menu: Callable[[Lab], int]
    from_command: Callable[[Lab, argparse.Namespace], int]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    computes: bool = True


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``train``; what is not given comes from the network's default recipe."""
    parser.add_argument("--model", help=f"{', '.join(ARCHITECTURES)} (default: 3-layer)")
    parser.add_argument("--augment", action="store_true", default=None, help="augment the training digits")
    parser.add_argument("--without", action="append", choices=AUGMENTATIONS, help="switch one augmentation off")
    parser.add_argument("--recipe", help=f"{' or '.join(RECIPES)} (default: one-cycle)")
    parser.add_argument("--seed", type=int, help="decides every random draw (default: 0)")
    add_workers_option(parser)
    parser.add_argument(
        "--threads", type=int, help="of the processor; another number, other last bits (default: as torch chooses)"
    )
    parser.add_argument("--resume", metavar="RUN", help="go on with a run that was killed: a folder, or latest")
    parser.add_argument("--no-batch-norm", action="store_true", default=None, help="leave batch normalisation out")
    for name in STRENGTH_FIELDS:
        parser.add_argument(f"--{name}", type=float, help=help_with_default(name))
    usual = TrainConfig()
    for name in OPTION_FIELDS:
        kind = {"dropout": float, "hidden": int}.get(name) or type(getattr(usual, name))
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=help_with_default(name))
    parser.epilog = (
        f"Defaults are those of one-cycle and the usual epochs. Trainings of at most {SHORT_TRAINING} epochs have a "
        "higher learning rate and milder augmentation; plain is Adam at 0.001 with nothing added."
    )


def help_with_default(name: str) -> str:
    """What an option does, and its default: ``digits per step (default: 128)``, ``... (default: 16; 1-layer 4)``."""
    values = {model: f"{usual_value(model, name):g}" for model in ARCHITECTURES}
    *_, usual = values.values()
    differing = [f"{model} {value}" for model, value in values.items() if value != usual]
    return f"{OPTION_HELP[name]} (default: {usual}{'; ' if differing else ''}{', '.join(differing)})"


def usual_value(model: str, name: str) -> float:
    """What an option is for a network, if nobody asks for anything else."""
    config = default_config(model, augmented=True)
    part = next(part for part in (config.augment, config.architecture, config) if hasattr(part, name))
    value: float = getattr(part, name)
    return value


OPTION_HELP = {
    "rotation": "augmentation: degrees, to either side",
    "shift": "augmentation: fraction of the side, in every direction",
    "scale": "augmentation: fraction, larger and smaller",
    "shear": "augmentation: degrees, to either side",
    "flip": "augmentation: chance that a digit is mirrored; a bad idea, to see it fail",
    "elastic": "augmentation: smooth random bends, standard deviation as a fraction of the side",
    "thickness": "augmentation: bolder and finer pens, 0 to 1",
    "strokes": "augmentation: chance that a 0 is slashed, a 1 gets flag or base, a 7 is crossed",
    "erasing": "augmentation: chance that a digit loses a rectangle; it did not help",
    "epochs": "passes over the training digits, at most",
    "batch_size": "digits per step",
    "patience": "epochs without a better validation loss before training stops",
    "train_size": "train on so many digits only",
    "epoch_size": "digits dealt in an epoch, in as many passes as it takes; 0: every digit once",
    "dropout": "share of the hidden activations dropped in training",
    "hidden": "units of the hidden layer, between the feature maps and the ten answers",
    "learning_rate": "peak (one-cycle) or constant (plain) learning rate",
    "weight_decay": "of AdamW",
    "label_smoothing": "share of the target spread over all digits",
    "average_decay": "memory of the weight average per step; 0: off",
    "plain_epochs": "last epochs without augmentation",
}


RECIPE_OPTIONS = (
    *("model", "augment", "without", "recipe", "seed", "threads", "no_batch_norm"),
    *STRENGTH_FIELDS,
    *OPTION_FIELDS,
)
"""The options of ``train`` that a run which goes on has settled already."""


def train_from_command(lab: Lab, options: argparse.Namespace) -> int:
    """Train or resume as the options say."""
    check_workers(options.workers)
    if options.resume is not None:
        refuse_given(options, RECIPE_OPTIONS, "train --resume: a run goes on as it began")
        return actions.resume(lab, options.resume, options.workers)
    if options.threads is not None:
        check_whole("threads", options.threads, 1, MOST_THREADS)
    return actions.train(lab, config_from_options(options), options.workers, options.threads)


def resume_from_command(lab: Lab, options: argparse.Namespace) -> int:
    """Resume as the options say."""
    check_workers(options.workers)
    return actions.resume(lab, options.run, options.workers)


def check_workers(count: int | None) -> None:
    """Refuse a number of loader processes that makes no sense."""
    if count is not None:
        check_whole("workers", count, 0, MOST_WORKERS)


def refuse_given(options: argparse.Namespace, names: Iterable[str], place: str) -> None:
    """Refuse options that were given where they would change nothing; those that were not are None."""
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]
    if given:
        one = len(given) == 1
        raise RequestError(
            f"{', '.join(given)} {'has' if one else 'have'} no effect with {place}", f"omit {'it' if one else 'them'}"
        )


def config_from_options(options: argparse.Namespace) -> TrainConfig:
    """The default recipe, with what was asked for put in."""
    config = default_config(
        "3-layer" if options.model is None else options.model,
        augmented=bool(options.augment),
        recipe=as_recipe("one-cycle" if options.recipe is None else options.recipe),
        epochs=options.epochs,
    )
    strengths = {name: getattr(options, name) for name in STRENGTH_FIELDS if getattr(options, name) is not None}
    without = options.without or []
    if config.augment is None:
        for name in ("without", *STRENGTH_FIELDS, "plain_epochs"):
            if getattr(options, name) is not None:
                word = name.replace("_", "-")
                raise RequestError(f"--{word} needs --augment", f"add --augment, or leave --{word} away")
    else:
        for kind in without:
            if strengths.keys() >= set(AUGMENTATIONS[kind]):
                raise RequestError(f"--without {kind} is undone by --{AUGMENTATIONS[kind][0]}", "omit one of them")
        config = replace(config, augment=replace(config.augment.without(*without), **strengths))
    if config.recipe == "plain":
        refuse_given(options, ["weight_decay"], "--recipe plain")
    given = {name: getattr(options, name) for name in OPTION_FIELDS if getattr(options, name) is not None}
    config = replace(config, seed=options.seed or 0, batch_norm=not options.no_batch_norm, **given)
    if config.augment is not None and config.canonical.augment is None:
        raise RequestError("nothing is left of the augmentation", "omit --augment, or switch less of it off")
    return config


def add_run_option(parser: argparse.ArgumentParser) -> None:
    """The option that names a run."""
    parser.add_argument(
        "--run",
        default="latest",
        help="a run's folder, latest, or best (validation accuracy); default: latest",
    )


def add_resume_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``resume``."""
    parser.add_argument("--run", default="latest", help="a killed run's folder, or latest (the default)")
    add_workers_option(parser)


def add_workers_option(parser: argparse.ArgumentParser) -> None:
    """The option for loader processes."""
    parser.add_argument("--workers", type=int, help="loader processes (default: 2 on more than two cores, else 0)")


def add_runs_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``runs``."""
    parser.add_argument("--sort", help=f"{', '.join(actions.SORT_KEYS)} (default: val)")
    parser.add_argument("--limit", type=int, help="rows to show (default: 20)")
    parser.add_argument(
        "--by-recipe", action="store_true", help="mean and spread over runs that differ in their seed only"
    )


def runs_from_command(lab: Lab, options: argparse.Namespace) -> int:
    """List runs as the options say."""
    if options.by_recipe:
        refuse_given(options, ["sort", "limit"], "--by-recipe")
        return actions.runs_by_recipe(lab)
    limit = 20 if options.limit is None else options.limit
    check_whole("limit", limit, 1, 1_000_000)
    return actions.runs(lab, "val" if options.sort is None else options.sort, limit)


def add_show_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``show``."""
    add_run_option(parser)
    parser.add_argument("--open", action="store_true", help="open the pictures with the system's viewer")


def add_models_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``models``."""
    parser.add_argument("--model", help="show this one only")


def add_draw_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``draw``."""
    parser.add_argument("--run", action="append", help="a run's folder, latest or best (the default); several vote")


def add_predict_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``predict``."""
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="PNG, JPEG or another picture")
    add_reader_option(parser)


def add_reader_option(parser: argparse.ArgumentParser) -> None:
    """The option for the run whose network reads."""
    parser.add_argument("--run", default=draw_actions.BEST, help="a run's folder, latest, or best (the default)")


def add_xray_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``xray``."""
    add_source_options(parser)
    add_reader_option(parser)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """The options that name a picture or a drawing."""
    parser.add_argument("--image", type=Path, metavar="FILE", help="a picture of one digit")
    parser.add_argument("--drawing", type=Path, metavar="FILE", help="a drawing (JSON); of several, the first")


def xray_from_command(lab: Lab, options: argparse.Namespace) -> int:
    """Take a digit apart as the options say."""
    return draw_actions.xray(lab, image=options.image, drawing=options.drawing, run=options.run)


def add_saliency_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``saliency``."""
    parser.add_argument("--index", type=int, metavar="N", help="a test digit, 0 to 9,999")
    add_source_options(parser)
    parser.add_argument("--run", action="append", help="a run's folder, latest or best (the default); several compare")
    parser.add_argument("--method", default=DEFAULT_METHOD, help=f"{', '.join(METHODS)} (default: {DEFAULT_METHOD})")
    parser.add_argument("--target", type=int, metavar="D", help="the digit to explain (default: the predicted one)")


def saliency_from_command(lab: Lab, options: argparse.Namespace) -> int:
    """Draw saliency maps as the options say."""
    return draw_actions.saliency(
        lab,
        index=options.index,
        image=options.image,
        drawing=options.drawing,
        runs=options.run or (draw_actions.BEST,),
        method=options.method,
        target=options.target,
    )


DRAWINGS_HELP = 'one drawing a line: {"label": 3, "strokes": [[[x, y], ...], ...]}, in pixels of a 280x280 canvas'


def add_score_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``score``."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help=DRAWINGS_HELP,
    )
    add_reader_option(parser)
    parser.add_argument("--preprocess", default="mnist", help="raw, inverted or mnist (the default)")


def score_from_command(lab: Lab, options: argparse.Namespace) -> int:
    """Score drawings as the options say."""
    return draw_actions.score(lab, options.file, options.run, options.preprocess)


def add_experiment_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``experiment``."""
    parser.add_argument("name", metavar="NAME", help=f"{', '.join([*EXPERIMENTS, 'speed'])}")
    parser.add_argument("--seeds", type=int, help=f"trainings of every variant (default: {SEEDS})")
    parser.add_argument("--epochs", type=int, help="of every training (default: the experiment's)")
    parser.add_argument("--jobs", type=int, help="trainings at once (default: as many as are fastest here)")
    parser.add_argument("--dask", metavar="ADDRESS", help="train on a Dask cluster, for example tcp://host:8786")
    parser.add_argument(
        "--no-target", action="store_true", default=None, help="speed: time one epoch only, whatever it reaches"
    )
    parser.add_argument("--train-size", type=int, help="speed: train on so many digits only")
    parser.add_argument("--run", action="append", help="robustness, inversion: ask this saved run instead of training")
    parser.add_argument("--predict", type=str.strip, metavar="TEXT", help='what you expect: "3-layer wins by 0.3"')


def experiment_from_command(lab: Lab, options: argparse.Namespace) -> int:
    """Conduct an experiment as the options say."""
    if options.name == "speed":
        refuse_given(options, ["seeds", "jobs", "dask", "run", "predict"], "the experiment speed")
        size = TRAIN_DIGITS if options.train_size is None else options.train_size
        return speed_actions.speed_experiment(
            lab, epochs=options.epochs, to_target=not options.no_target, train_size=size
        )
    chosen = find_experiment(options.name)
    refuse_given(options, ["no_target", "train_size"], f"the experiment {chosen.name}")
    prediction = options.predict or ""
    if options.run is not None:
        refuse_given(options, ["seeds", "epochs", "jobs", "dask"], "--run, which trains nothing")
        return experiment_actions.experiment_on_saved(lab, chosen, options.run, prediction)
    epochs = chosen.epochs if options.epochs is None else options.epochs
    seeds = SEEDS if options.seeds is None else options.seeds
    request = experiment_actions.Request(chosen, epochs, seeds, options.jobs, options.dask, prediction)
    return experiment_actions.experiment(lab, request)


def add_compare_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``compare``."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders, or parts of their names; latest, best")


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``report``."""
    parser.add_argument("name", nargs="?", metavar="FOLDER", help="a run or another folder (none: the page of all)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


ROWS = (
    Row(
        "Train", "train", "train a network; all it leaves is in one folder",
        actions.ask_training, train_from_command, add_train_options,
    ),
    Row(
        "Train", "resume", "go on with a run that was killed",
        actions.ask_resume, resume_from_command, add_resume_options,
    ),
    Row(
        "Explore", "data", "the digits, the split, and what augmentation does",
        actions.data, lambda lab, options: actions.data(lab), computes=False,
    ),
    Row(
        "Explore", "models", "the three networks, layer by layer",
        actions.models, lambda lab, options: actions.models(lab, options.model), add_models_options,
        computes=False,
    ),
    Row(
        "Explore", "evaluate", "judge a saved run again, digit by digit",
        actions.ask_evaluate, lambda lab, options: actions.evaluate(lab, options.run), add_run_option,
    ),
    Row(
        "Explore", "speed", "one epoch: the common recipe against the lab's",
        actions.speed, lambda lab, options: actions.speed(lab),
    ),
    Row(
        "Draw", "draw", "a window to draw in, read while the pen moves",
        draw_actions.ask_draw, lambda lab, options: draw_actions.draw(lab, options.run or (draw_actions.BEST,)),
        add_draw_options,
    ),
    Row(
        "Draw", "predict", "recognise a digit in a picture from a file",
        draw_actions.ask_predict, lambda lab, options: draw_actions.predict(lab, options.images, options.run),
        add_predict_options,
    ),
    Row(
        "Draw", "xray", "from ink to 28x28, step by step",
        draw_actions.ask_xray, xray_from_command, add_xray_options,
    ),
    Row(
        "Draw", "saliency", "which pixels mattered, and may the map be believed",
        draw_actions.ask_saliency, saliency_from_command, add_saliency_options,
    ),
    Row(
        "Draw", "score", "score a file of labelled drawings",
        draw_actions.ask_score, score_from_command, add_score_options,
    ),
    Row(
        "Understand", "experiment", "a question, answered over several seeds",
        experiment_actions.ask_experiment, experiment_from_command, add_experiment_options,
    ),
    Row(
        "Understand", "compare", "saved runs side by side: what differs, who errs where",
        comparison_actions.ask_compare, lambda lab, options: comparison_actions.compare(lab, options.runs),
        add_compare_options,
    ),
    Row(
        "Understand", "report", "a run, experiment or all folders as a page to read",
        report_actions.ask_report,
        lambda lab, options: report_actions.report(lab, options.name, open_it=options.open),
        add_report_options,
        computes=False,
    ),
    Row(
        "Runs", "runs", "leaderboard of all saved runs",
        actions.ask_runs, runs_from_command, add_runs_options,
    ),
    Row(
        "Runs", "show", "one run: numbers, pictures, how to repeat it",
        actions.ask_show, lambda lab, options: actions.show(lab, options.run, open_pictures=options.open),
        add_show_options,
        computes=False,
    ),
)  # fmt: skip


DEVICE_HELP = (
    "where to compute: cuda (NVIDIA), mps (Apple), cpu, or auto, the first of these that works (the default); "
    "workers of a Dask cluster choose for themselves"
)


class OneLineParser(argparse.ArgumentParser):
    """An argument parser that refuses in one line, like everything else here."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(message, f"see {self.prog} --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        (file or sys.stderr).write(message)  # argparse itself says nothing of an output that can't be written


def outputs(name: str) -> Path:
    """The folder that is given with --outputs."""
    try:
        return actions.folder_named(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def build_parser() -> argparse.ArgumentParser:
    """The command line: one command per row of the menu."""
    parser = OneLineParser(prog="python main.py", description="A laboratory for handwritten digits.")
    parser.add_argument("--outputs", type=outputs, default=OUTPUTS, help="where runs are kept (default: outputs)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands (none: the menu)")
    for row in ROWS:
        command = commands.add_parser(row.word, help=row.meaning, description=row.meaning)
        command.add_argument(
            "--outputs", type=outputs, default=argparse.SUPPRESS, help="where runs are kept (default: outputs)"
        )
        row.add_options(command)
        if row.computes:
            command.add_argument("--device", choices=DEVICES, help=DEVICE_HELP)
        command.set_defaults(act=row.from_command)
    return parser


def show_menu(lab: Lab) -> None:
    """The menu, with what is there to work with at its head."""
    table = Table.grid(padding=(0, 1))
    for number, row in enumerate(ROWS, start=1):
        begins = number == 1 or row.group != ROWS[number - 2].group
        group = f"[group]{row.group}[/group]" if begins else ""
        table.add_row(group, f"[key]{number:>2}[/key]", f" {row.word}", f"[hint]{row.meaning}[/hint]")
    table.add_row("[group]Leave[/group]", "[key] q[/key]", " quit", "")
    lab.terminal.show("", actions.head_line(lab), "", table)


def run_menu(lab: Lab) -> int:
    """Show the menu and act, until the user leaves; every refusal ends here, in one line and the menu again."""
    show_menu(lab)
    while True:
        try:
            answer = lab.terminal.ask_line("\n[title]Choose[/title] (number or word; Enter shows the menu):")
        except (EOFError, KeyboardInterrupt):
            return OK
        if answer.lower() in ("q", "quit", "exit"):
            return OK
        if not answer:
            show_menu(lab)
            continue
        try:
            row = ROWS[[row.word for row in ROWS].index(pick(answer, [row.word for row in ROWS]))]
        except ValueError as error:
            lab.terminal.warn(f"{error}; q leaves")
            continue
        try:
            row.from_menu(lab)
            report_actions.refresh_index(lab)
        except EOFError:
            return OK
        except BackToMenu:
            lab.terminal.hint("back to the menu")
        except KeyboardInterrupt:
            lab.terminal.warn("Interrupted: back to the menu.")
        except LabError as error:
            lab.terminal.error(str(error))
        except OSError as error:
            lab.terminal.error(str(refusal_of(error)))  # raised again if it is this that can't be written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the menu or one command.

    Returns:
        The exit status: 0, 1 for a refused request (one line on standard error), 130 for Ctrl-C.
    """
    prepare_environment()
    prepare_streams()
    try:
        try:
            return act(arguments)
        finally:
            sys.stdout.flush()  # what can't be written is told here, not by Python on its way out
    except LabError as error:
        Terminal(make_console(stderr=True)).error(str(error))
        return REFUSED
    except KeyboardInterrupt:
        Terminal(make_console(stderr=True)).error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, "head" say, has seen enough
        discard_output()
        return OK
    except OSError as error:  # a full disk that our output is written to, say
        discard_output()
        Terminal(make_console(stderr=True)).error(str(refusal_of(error)))
        return REFUSED


def act(arguments: Sequence[str] | None) -> int:
    """Understand a command line and do what it says; returns the exit status."""
    options = build_parser().parse_args(arguments)
    lab = Lab(Terminal(make_console()), options.outputs)
    if options.command is None:
        return run_menu(lab)
    with using_device(getattr(options, "device", None)):
        status: int = options.act(lab, options)
    report_actions.refresh_index(lab)
    return status


def prepare_streams() -> None:
    """Make standard input and output fit for anything, and replace those that were closed before the start."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that knows no "±" shows "?" instead of failing
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # as in names of files, which need not be text


def discard_output() -> None:
    """Let what is still to be written to standard output go nowhere, so that Python does not fail at it again."""
    with suppress(OSError, ValueError):  # an output that is no file can't fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def refusal_of(error: OSError) -> StorageError:
    """What the operating system refused where nobody reckoned with it."""
    what = f"use {error.filename}" if error.filename else "write the output"
    return StorageError(f"can't {what}: {reason(error)}", remedy(error))


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
