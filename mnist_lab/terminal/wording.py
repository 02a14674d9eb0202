"""Numbers and settings as people read them: percentages, durations, short descriptions."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime

from rich.markup import escape

from mnist_lab.config import ARCHITECTURES, AugmentConfig, settings_of


def plain(text: str) -> str:
    """Text from files and users, so that it is shown as it is: no markup, no control characters."""
    return escape(printable(text))


def printable(text: str) -> str:
    """Text without control characters, marks that reverse its direction, and lone surrogates."""
    return "".join(character if character.isprintable() else "?" for character in text)


def format_percent(fraction: float | None) -> str:
    """A fraction as a percentage with two decimals; a dash where there is none."""
    return "–" if fraction is None else f"{100 * fraction:.2f} %"


def format_probability(probability: float) -> str:
    """A probability 0..1 as a percentage with one decimal; what is not certain never rounds to all or nothing."""
    text = f"{100 * probability:.1f} %"
    if text == "100.0 %" and probability < 1:
        return "> 99.9 %"
    return "< 0.1 %" if text == "0.0 %" and probability > 0 else text


def format_interval(interval: tuple[float, float] | None) -> str:
    """A 95 % interval of fractions as percentages."""
    return "–" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f} %"


def format_duration(seconds: float | None) -> str:
    """A duration as people say it: ``7.1 s``, ``1 min 52 s``, ``2 h 05 min``."""
    if seconds is None:
        return "–"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def format_loss(loss: float) -> str:
    """A loss in at most nine characters, even when the training has diverged."""
    return f"{loss:.4f}" if loss < 1000 else f"{loss:.1e}"


def format_about(seconds: float) -> str:
    """A rough duration: ``about 8 s``, ``about 2 min``, ``about 2.7 h``."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 90 * 60 else f"about {seconds / 3600:.1f} h"


def format_moment(moment: datetime, now: datetime) -> str:
    """A moment as people write it: ``today 14:30``, ``22 Nov 14:30``, and of another year ``22 Nov 2025``."""
    if moment.date() == now.date():
        return f"today {moment:%H:%M}"
    return f"{moment.day} {moment:%b} " + (f"{moment:%H:%M}" if moment.year == now.year else f"{moment:%Y}")


def percent_number(fraction: float | None) -> str:
    """A fraction in percent, for a column whose heading says so."""
    return "" if fraction is None else f"{100 * fraction:.2f}"


def counted(number: int, noun: str) -> str:
    """A number and its noun: ``1 digit``, ``10,000 digits``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def mean_and_spread(values: Sequence[float], scale: float = 100, decimals: int = 3) -> str:
    """Mean and standard deviation of some accuracies, in percent, or of others; a single one has no spread."""
    mean = f"{scale * statistics.mean(values):.{decimals}f}"
    return f"{mean} ± {scale * statistics.stdev(values):.{decimals}f}" if len(values) > 1 else mean


def describe_architecture(name: str) -> str:
    """A network in a few words."""
    filters = ARCHITECTURES[name].filters
    return f"{counted(len(filters), 'convolution layer')}, filters {', '.join(map(str, filters))}"


def describe_recipe(model: str, *, augmented: bool) -> str:
    """A recipe as titles name it: ``3-layer, augmented``."""
    return f"{model}, augmented" if augmented else model


def letters(place: int) -> str:
    """a, b, ... z, aa, ab, ... for 0, 1, ..."""
    before, last = divmod(place, 26)
    return (letters(before - 1) if before else "") + chr(ord("a") + last)


def describe_augmentation(augment: AugmentConfig | None) -> str:
    """The augmentation in a few words; what is switched off is not named."""
    parts = [
        f"{setting.label} {describe_strength(name, strength)}"
        for name, setting in settings_of(AugmentConfig).items()
        if (strength := getattr(augment, name, 0))
    ]
    return "augmented: " + ", ".join(parts) if parts else "no augmentation"


def describe_strength(name: str, strength: float) -> str:
    """How strong one kind of augmentation is: ``±10°``, ``in 2 %``; a dash where it is off."""
    unit = settings_of(AugmentConfig)[name].unit
    factor, words = {"degrees": (1, "±{:g}°"), "fraction": (100, "±{:g} %"), "chance": (100, "in {:g} %")}.get(
        unit, (1, f"±{{:g}} {unit}")
    )
    return words.format(factor * strength) if strength else "–"
