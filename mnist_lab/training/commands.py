"""The rows of the menu that train networks, and that evaluate trained ones."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mnist_lab import config as settings
from mnist_lab.config import (
    AUGMENTATIONS,
    NO_AUGMENTATION,
    AugmentConfig,
    Setting,
    TrainConfig,
    check_whole,
    default_config,
)
from mnist_lab.data.mnist import load_mnist
from mnist_lab.environment import DEVICES, asked_device, using_device
from mnist_lab.errors import RequestError
from mnist_lab.networks.commands import ask_device, compute_for
from mnist_lab.report.document import Table
from mnist_lab.terminal import wording
from mnist_lab.terminal.console import BackToMenu, Choice, Terminal, pick
from mnist_lab.terminal.lab import (
    INTERRUPTED,
    OK,
    Command,
    Lab,
    add_json_option,
    graceful_interrupts,
    refuse_given,
)
from mnist_lab.terminal.wording import counted, format_about, format_percent
from mnist_lab.training import page, session
from mnist_lab.training.browser import act_on
from mnist_lab.training.live import ScreenObserver
from mnist_lab.training.picker import add_run_options, ask_run, run_named
from mnist_lab.training.runs import STOPPED, UNFINISHED, command_line, find_run, list_runs, read_run, status_of

_USUAL_WORKERS = 2 if (os.cpu_count() or 1) > 2 else 0  # on fewer cores they would compete with training
_WORKERS_HELP = "processes that load data (default: 2 on more than two cores, else 0)"


def ask_training(lab: Lab, *, offer_more: bool = False) -> int:
    """Ask what to train, offering each length with the time that it takes on this machine; then train it.

    ``offer_more``: ask afterwards what to look at.
    """
    terminal = lab.terminal
    choices = [Choice(name, wording.describe_architecture(name)) for name in settings.ARCHITECTURES]
    model = terminal.choose("Which network", choices, default="3-layer")
    augmented = terminal.ask_yes_no("Augment the training digits (turned, shifted, scaled, slanted)", default=True)
    epochs = _ask_length(lab, default_config(model, augmented=augmented))
    config, device = default_config(model, augmented=augmented, epochs=epochs), None
    if terminal.ask_yes_no("Change anything else (learning rate, dropout, batch size, ...)", default=False):
        config, device = _ask_details(terminal, config)
    with using_device(device):
        return train(lab, config, offer_more=offer_more)


def _ask_length(lab: Lab, config: TrainConfig) -> int:
    """Offer the presets, each with the time that it takes on this machine; return the number of epochs."""
    compute = compute_for(lab)
    with lab.terminal.busy("timing a few batches"):
        seconds = session.measure_seconds_per_epoch(config, load_mnist(), compute)
    lab.terminal.hint(f"as measured on this machine ({compute.name}); evaluation and pictures add a few seconds:")
    presets = {"quick": 1, "standard": 4, "thorough": max(config.epochs, 8)}
    choices = [Choice(name, f"{format_about(n * seconds)}, {counted(n, 'epoch')}") for name, n in presets.items()]
    choices.append(Choice("own", f"choose the number of epochs ({format_about(seconds)} each)"))
    word = lab.terminal.choose("How long", choices, default="standard")
    return presets[word] if word in presets else _ask_setting(lab.terminal, config, "epochs").epochs


_OFFERED = ("learning_rate", "dropout", "batch_size", "recipe", "train_size", "seed", "patience")


def _ask_details(terminal: Terminal, config: TrainConfig) -> tuple[TrainConfig, str | None]:
    """Offer the settings, to be changed one by one, until the training shall start; returns the device as well."""
    device = None
    while True:
        values = _values_of(config, _OFFERED)
        if config.augment is not None:
            values["augmentation"] = wording.describe_augmentation(config.augment).removeprefix("augmented: ")
        values["device"] = device or asked_device() or "auto"
        word, recipe = _ask_which(terminal, values, "start"), config.recipe
        if word == "start":
            return config, device
        if word == "device":
            device = ask_device(terminal)
        elif word == "augmentation" and config.augment is not None:
            augment = _ask_augmentation(terminal, config.augment)
            config = replace(config, augment=None if augment == NO_AUGMENTATION else augment)
        else:
            config = _ask_setting(terminal, config, word)
        if config.recipe != recipe:
            config = _with_usual_rates(config)


def _with_usual_rates(config: TrainConfig) -> TrainConfig:
    """The configuration with what its recipe alone decides."""
    augmented = config.augment is not None
    usual = default_config(config.model, augmented=augmented, recipe=config.recipe, epochs=config.epochs)
    names = ("learning_rate", "weight_decay", "label_smoothing", "average_decay")
    own: dict[str, Any] = {name: getattr(usual, name) for name in names}
    return replace(config, **own)


def _ask_augmentation(terminal: Terminal, augment: AugmentConfig) -> AugmentConfig:
    while True:
        word = _ask_which(terminal, _values_of(augment, settings.settings_of(AugmentConfig)), "done")
        if word == "done":
            return augment
        augment = _ask_setting(terminal, augment, word)


def _values_of(config: TrainConfig | AugmentConfig, names: Iterable[str]) -> dict[str, str]:
    """The present value of each setting, by its label."""
    values = {name: _value_of(config, name) for name in names}
    known = settings.settings_of(type(config))
    return {known[name].label: one if isinstance(one, str) else f"{one:,}" for name, one in values.items()}


def _value_of(config: TrainConfig | AugmentConfig, name: str) -> Any:
    """The present value of a setting; the network's own one where none is set."""
    return getattr(config.spelt_out if isinstance(config, TrainConfig) else config, name)


def _ask_which(terminal: Terminal, values: Mapping[str, str], otherwise: str) -> str:
    """Ask for one of some labels, which are shown with their values; ``otherwise`` is what Enter means."""
    choices = [Choice(label, value) for label, value in values.items()]
    words = [*values, otherwise]
    terminal.show_choices(choices)
    return terminal.ask("Change which", otherwise, lambda answer: pick(answer, words))


_Settings = TypeVar("_Settings", TrainConfig, AugmentConfig)


def _ask_setting(terminal: Terminal, config: _Settings, label: str) -> _Settings:
    """Ask for a new value of the setting with this label."""
    setting = next(one for one in settings.settings_of(type(config)).values() if one.label == label)
    before = _value_of(config, setting.name)
    terminal.hint(setting.help)
    question = f"{label.capitalize()}{f' ({setting.unit})' if setting.unit else ''}"
    value: Any
    if setting.choices:
        value = terminal.choose(question, [Choice(word) for word in setting.choices], before)
    elif setting.kind is int:
        value = terminal.ask_whole(question, before, int(setting.low), int(setting.high))
    else:
        value = terminal.ask_number(question, before, setting.low, setting.high)
    return replace(config, **{setting.name: value})


def train(
    lab: Lab,
    config: TrainConfig,
    workers: int | None = None,
    threads: int | None = None,
    *,
    offer_more: bool = False,
) -> int:
    """Train a network, evaluate it, and fill its folder, which is the last line printed; ``None``: the usual number."""
    settings.check_config(config)
    if threads is not None:
        check_whole("--threads", threads, 1, settings.MOST_THREADS)
    training = partial(session.train_new, config, lab.outputs, lab.now(), threads=threads)
    return _show_training(lab, training, _USUAL_WORKERS if workers is None else workers, offer_more)


def _ask_resume(lab: Lab) -> int:
    """Ask which of the runs that were killed to resume."""
    if not any(status_of(run) == STOPPED for run in list_runs(lab.outputs)[0]):
        lab.terminal.hint(f"There is nothing to resume in {lab.outputs}. (A run ended with Ctrl-C is finished.)")
        return OK
    name = ask_run(lab, "Resume which run", wanted=lambda run: status_of(run) == STOPPED)
    return resume(lab, name, offer_more=True)


def resume(lab: Lab, name: str, workers: int | None = None, *, offer_more: bool = False) -> int:
    """Resume a killed run, from its last finished epoch, in its own folder; ``None``: as many workers as before."""
    # On the device that it started on, if that was requested by name, unless another one is requested now.
    run = find_run(lab.outputs, name, statuses=(UNFINISHED,))
    with using_device(asked_device() or (run.device_asked if run.device_asked in DEVICES else None)):
        return _show_training(lab, partial(session.resume, run), workers, offer_more)


def _show_training(lab: Lab, training: Callable[..., Path], workers: int | None, offer_more: bool) -> int:
    """Train before the user's eyes; the first Ctrl-C ends it after the batch, and the folder is completed."""
    if workers is not None:
        check_whole("--workers", workers, 0, settings.MOST_WORKERS)
    compute_for(lab)  # refused, if at all, before there is a folder
    extras, observer = lab.load("explain.film_figures").RUN_EXTRAS, ScreenObserver(lab.terminal)

    def acknowledge() -> None:
        what = "its folder is being completed" if observer.is_evaluated else "ending after this batch"
        lab.terminal.warn(f"Ctrl-C: {what} ...")

    with graceful_interrupts(acknowledge, lambda: observer.is_evaluated) as stop_requested:
        try:
            with observer:
                folder = training(observer=observer, workers=workers, stop_requested=stop_requested, extras=extras)
        except KeyboardInterrupt:
            lab.terminal.warn(f"stopped at once; resume the run with: {command_line('resume', lab.outputs)}")
            raise
    if not offer_more:
        lab.terminal.hint(f"more: {command_line('show latest', lab.outputs)}")
    lab.terminal.line(str(folder))
    if offer_more:
        with suppress(BackToMenu, EOFError):
            act_on(lab, [find_run(lab.outputs, folder.name)], briefly=True)
    return INTERRUPTED if read_run(folder).status == "interrupted" else OK


def _add_train_options(parser: ArgumentParser) -> None:
    parser.add_argument("--augment", action="store_true", default=None, help="augment the training digits")
    parser.add_argument("--without", action="append", choices=AUGMENTATIONS, help="switch one augmentation off")
    for part, about in ((TrainConfig, ""), (AugmentConfig, "augmentation: ")):
        for setting in settings.settings_of(part).values():
            if setting.kind is bool:
                about_it = f"leave out {setting.label}"
                parser.add_argument(
                    setting.option, dest=setting.name, action="store_false", default=None, help=about_it
                )
            else:
                parser.add_argument(setting.option, type=setting.kind, help=about + _help_with_default(setting))
    parser.add_argument("--workers", type=int, help=_WORKERS_HELP)
    of_threads = "processor threads; their number affects the last bits of the result (default: torch's choice)"
    parser.add_argument("--threads", type=int, help=of_threads)
    parser.add_argument("--resume", metavar="RUN", help="resume a run that was killed: a folder, or latest")
    parser.epilog = (
        f"Defaults are those of one-cycle and the usual epochs. Runs of at most {settings.SHORT_TRAINING} epochs "
        "have a higher learning rate and milder augmentation; a single augmented epoch even more so, with "
        "less dropout and more label smoothing; plain is Adam at 0.001 with nothing added."
    )


def _help_with_default(setting: Setting) -> str:
    """``digits per step (default: 128)``, ``... (default: 0.07 of the side; 1-layer 0.05)``."""
    if setting.choices:
        return f"{', '.join(setting.choices)} (default: {getattr(TrainConfig, setting.name)})"
    values = {}
    for model in settings.ARCHITECTURES:
        config = default_config(model, augmented=True)
        part = next(part for part in (config.augment, config.architecture, config) if hasattr(part, setting.name))
        values[model] = f"{getattr(part, setting.name):g}"
    usual = values[TrainConfig.model]
    differing = ", ".join(f"{model} {value}" for model, value in values.items() if value != usual)
    unit = f" {setting.unit}" if setting.unit and setting.unit not in setting.help else ""
    return f"{setting.help} (default: {usual}{unit}{'; ' if differing else ''}{differing})"


SETTLED = (
    *("augment", "without", "threads"),
    *(name for part in (TrainConfig, AugmentConfig) for name in settings.settings_of(part)),
)
"""The options of ``train`` that are already settled for a run to be resumed."""


def _train_from_options(lab: Lab, options: Namespace) -> int:
    if options.resume is not None:
        refuse_given(options, SETTLED, "train --resume: a run keeps its settings")
        return resume(lab, options.resume, options.workers)
    return train(lab, config_from_options(options), options.workers, options.threads)


def config_from_options(options: Namespace) -> TrainConfig:
    """The default recipe with what was asked for; options that contradict each other or have no effect are refused."""
    given, strengths = (
        {name: value for name in settings.settings_of(part) if (value := getattr(options, name, None)) is not None}
        for part in (TrainConfig, AugmentConfig)
    )
    model, recipe = given.pop("model", TrainConfig.model), given.pop("recipe", TrainConfig.recipe)
    config = default_config(model, augmented=bool(options.augment), recipe=recipe, epochs=options.epochs)
    without = options.without or []
    if config.augment is None:
        for name in ("without", *strengths, "plain_epochs"):
            if getattr(options, name) is not None:
                raise RequestError(f"--{name.replace('_', '-')} needs --augment", "add --augment as well")
    else:
        for kind in without:
            if strengths.keys() >= set(AUGMENTATIONS[kind]):
                raise RequestError(f"--without {kind} is undone by --{AUGMENTATIONS[kind][0]}", "omit one of them")
        config = replace(config, augment=replace(config.augment.without(*without), **strengths))
    if config.recipe == "plain":
        refuse_given(options, ["weight_decay"], "--recipe plain")
    config = replace(config, **given)
    if config.augment is not None and config.canonical.augment is None:
        raise RequestError("nothing is left of the augmentation", "omit --augment, or switch less of it off")
    return config


def _add_resume_options(parser: ArgumentParser) -> None:
    add_run_options(parser, "latest")
    parser.add_argument("--workers", type=int, help=_WORKERS_HELP)


def evaluate(lab: Lab, name: str, *, as_json: bool = False) -> int:
    """Evaluate a saved run again, from its model file, and restore pictures that are missing from its folder.

    ``as_json``: the numbers go to standard output, as one JSON object.
    """
    run, terminal = find_run(lab.outputs, name), lab.terminal
    compute, recognise = compute_for(lab), lab.load("drawing.recognise")
    with terminal.busy("evaluating"):
        model, mnist = session.load_trained(run, compute), load_mnist()
        validation, test = (session.evaluate_on(model, part, compute) for part in (mnist.validation, mnist.test))
        limit, rejected = recognise.rejected_fractions(run, model, mnist.test, compute)
    with terminal.busy("looking for missing pictures"):
        figures = lab.load("explain.film_figures").RUN_EXTRAS.figures
        restored = session.restore_pictures(run, test, mnist.test, model, figures, terminal.warn)
    found = {"validation": validation.to_dict(), "test": test.to_dict()}
    if as_json:
        terminal.record({"run": run.name, **found, "rejection_threshold": limit, "rejected": rejected})
        return OK
    terminal.show(page.per_digit_table(found["test"], "Test digits").on_screen(), "")
    terminal.show(page.accuracy_table(found, run.name).on_screen())
    terminal.hint(f"most confused: {page.describe_confused(found['test']) or 'none'}")
    error = f"{100 * test.calibration_error:.2f} points (ECE)"
    terminal.hint(f"calibration error {error}: how far its probabilities are, on average, from how often it is right")
    saved = map(format_percent, (run.val_accuracy, run.test_accuracy))
    terminal.hint("when it was saved: validation {}, test {}".format(*saved))
    rows = [(kind, f"{100 * fraction:.1f} %") for kind, fraction in rejected.items()]
    terminal.show("", Table("Rejected as not a digit", ("pictures", "rejected"), rows, numeric=[1]).on_screen())
    terminal.hint(f"rejected: likeness below {limit:.2f}, as 2 % of the validation digits")
    if restored:
        terminal.hint(f"restored: {', '.join(restored)}")
    terminal.line(str(run.folder))
    return OK


def _add_evaluate_options(parser: ArgumentParser) -> None:
    add_run_options(parser, "latest")
    add_json_option(parser)


COMMANDS = {
    "train": Command(partial(ask_training, offer_more=True), _train_from_options, _add_train_options),
    "resume": Command(
        _ask_resume,
        lambda lab, options: resume(lab, run_named(options, "latest"), options.workers),
        _add_resume_options,
    ),
    "evaluate": Command(
        lambda lab: evaluate(lab, ask_run(lab, "Evaluate which run")),
        lambda lab, options: evaluate(lab, run_named(options, "latest"), as_json=options.json),
        _add_evaluate_options,
    ),
}
