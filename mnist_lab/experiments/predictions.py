"""What a learner expects of an experiment, in words: understood, and held against what was found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mnist_lab.experiments.statistics import (
    TINY,
    PairedDifference,
    count_seeds,
    in_points,
    lead_and_interval,
    mean_and_interval,
)


@dataclass(frozen=True)
class Prediction:
    """What somebody expects of an experiment.

    Attributes:
        winner: the better one's name; None where it was not named.
        points: its lead in percentage points, not negative; 0 for "no difference"; None where no number was given.
        loser: the other one's name; None where it was not named.
    """

    winner: str | None
    points: float | None
    loser: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """The recipes that it is about; empty for all of them."""
        return frozenset(name for name in (self.winner, self.loser) if name is not None)

    def direction(self, name_b: str) -> int:
        """1 if the second of two recipes is expected to win, -1 for the first, 0 for neither."""
        if self.points == 0:
            return 0
        second_wins = self.winner == name_b if self.winner is not None else self.loser != name_b
        return 1 if second_wins else -1


# --- to understand it --------------------------------------------------------------------------------------------

MOST_POINTS = 50
"""Whoever names a larger lead, as in "3-layer: 99.5", means an accuracy."""

NUMBER = r"(?P<points>\d+(?:\.\d+)?|\.\d+|0,\d+|\d+,\d{1,2})"  # "1,000" may be one or a thousand: not taken
UNIT = r"(?: ?(?:%|percent|percentage points?|points?|pp))?"
ABOUT = r"(?:(?:about|around|roughly) |~ ?)?"
POINTS = rf"{ABOUT}{NUMBER}{UNIT}"
LEAD = rf"(?: by | with |: ?| ?\+ ?){POINTS}"

BEGINNING = r"(?:(?:i|we) (?:think|expect|guess|believe|predict)(?: that)? |maybe |perhaps |probably )?"
WILL = r"(?:(?:will|should|would|may|might) )?"
IS = rf"(?:{WILL}(?:be|is|are|does|do|perform|performs) )"
MUCH = r"(?:(?:slightly|somewhat|a bit|a little|much|clearly|far) )?"

WINS = rf"(?: (?:{WILL}(?:wins?|leads?)|{IS}{MUCH}(?:better|ahead)))"
LOSES = rf"(?: (?:{WILL}loses?|{IS}{MUCH}(?:worse|behind)))"
BEATS = rf"(?: (?:{WILL}beats?|{WILL}wins? over|{IS}?{MUCH}(?:better than|ahead of)|over) | ?> ?)"
LOSES_TO = rf"(?: (?:{WILL}loses? (?:to|against)|{IS}?{MUCH}(?:worse than|behind)) | ?< ?)"

# Recipes may be called so, but "neither wins" and "both lose" mean something else.
NO_NAME = r"(?!(?:neither|none)\b|(?:both|all) (?:win|lead|lose|be|are|do|perform|will|should|would|may|might)\b)"

EQUAL = (
    r"(?:(?:about|almost|nearly|roughly|both) )?(?:equal(?:ly good)?|as good|alike|the same|tied|(?:a )?(?:tie|draw))"
)
NO_DIFFERENCE = rf"no difference|none|{EQUAL}|all the same|0"


def parse_prediction(text: str, names: Sequence[str]) -> Prediction | None:
    """Understand "3-layer wins by 0.5", "2-layer is worse than 3-layer", "mirrored loses by 0.6", "no difference".

    Args:
        text: what was written; upper and lower case are alike.
        names: of the recipes in the experiment.

    Returns:
        The prediction; None for anything else, a free text that can't be graded.
    """
    known = {" ".join(name.casefold().split()): name for name in names}
    either = "|".join(re.escape(name) for name in known) or "(?!)"  # without names, nothing matches
    winner, loser = rf"(?P<winner>{either})", rf"(?P<loser>{either})"
    patterns = (
        rf"{winner}(?:{LEAD})?",
        rf"{NO_NAME}{winner}{WINS}(?:{LEAD})?",
        rf"{winner}{BEATS}{loser}(?:{LEAD})?",
        rf"{NO_NAME}{winner} {IS}{POINTS} (?:better|ahead)(?: (?:than|of) {loser})?",
        rf"{POINTS} (?:for|to|in favour of) {winner}",
        rf"{NO_NAME}{loser}{LOSES}(?:{LEAD})?",
        rf"{NO_NAME}{loser} {WILL}loses? {POINTS}",
        rf"{loser}{LOSES_TO}{winner}(?:{LEAD})?",
        rf"{NO_NAME}{loser} {IS}{POINTS} (?:worse|behind)(?: (?:than )?{winner})?",
    )
    equal = (
        rf"{winner} and {loser} {IS}?{EQUAL}",
        rf"{winner} {IS}(?:as good as|equal to|the same as) {loser}",
        rf"{winner} ?=+ ?{loser}",
        rf"no difference between {winner} and {loser}",
    )
    said = " ".join(text.casefold().split())
    for pattern in (*patterns, *equal):
        if match := re.fullmatch(rf"{BEGINNING}{pattern}[ .!]*", said):
            parts = match.groupdict() | ({"points": "0"} if pattern in equal else {})
            return prediction_from(parts, known)
    # Only now: a recipe may itself be called "none".
    return Prediction(None, 0.0) if re.fullmatch(rf"{BEGINNING}(?:{NO_DIFFERENCE})[ .!]*", said) else None


def prediction_from(parts: Mapping[str, str | None], known: Mapping[str, str]) -> Prediction | None:
    """Put the recognised parts together; None if they make no sense."""
    winner, loser, number = (parts.get(part) for part in ("winner", "loser", "points"))
    points = None if number is None else float(number.replace(",", "."))
    if winner == loser or (points is not None and points > MOST_POINTS):
        return None
    return Prediction(None if winner is None else known[winner], points, None if loser is None else known[loser])


# --- to hold it against what was found ---------------------------------------------------------------------------


def grade_prediction(
    prediction: Prediction, name_a: str, name_b: str, difference: PairedDifference, is_different: bool | None
) -> str:
    """Hold a prediction, made before the experiment, against what was found; one kind sentence without a full stop.

    Args:
        prediction: about these two recipes, or about all.
        name_a: the first recipe.
        name_b: the second.
        difference: the second minus the first.
        is_different: what the verdict says of it (:func:`mnist_lab.experiments.statistics.verdict`).
    """
    said = describe_prediction(prediction)
    if difference.interval is None and not is_different:
        why = "with one seed" if difference.n == 1 else "without any spread"
        return f"{said}: can't be judged, as {why} no interval can be given"
    direction = prediction.direction(name_b)
    found = describe_found(prediction, name_a, name_b, difference, is_different=bool(is_different))
    grade = grade_found if is_different else grade_unfound
    return f"{said}, {found}: {grade(prediction, direction, difference)}"


def grade_found(prediction: Prediction, direction: int, difference: PairedDifference) -> str:
    """The grade in a few words, where the two are distinguishable.

    Args:
        prediction: what was expected.
        direction: 1 if the second recipe was to win, -1 for the first, 0 for neither.
        difference: the second minus the first.
    """
    if not direction:
        return "there is one"
    if direction * difference.mean < 0:
        return "it came out the other way round"
    if prediction.points is None:
        return "right"
    if difference.interval is None:
        return "the right direction; how large it is can't be judged, as without any spread no interval can be given"
    low, high = difference.interval
    predicted = direction * prediction.points / 100
    if low - TINY <= predicted <= high + TINY:
        return "well predicted, it lies inside the interval"
    return f"the right direction, but too {'large' if abs(predicted) > abs(difference.mean) else 'small'}"


def grade_unfound(prediction: Prediction, direction: int, difference: PairedDifference) -> str:
    """The same, where they are not distinguishable: which of them is ahead, is not decided."""
    if not direction:
        return "nothing speaks against it, though that is no proof"
    if prediction.points is None:
        return f"not decided yet, {count_seeds(difference.n)} can't tell the two apart"
    assert difference.interval is not None
    # With all comparisons counted, no difference is possible as well, though this interval alone may leave it out.
    low, high = min(difference.interval[0], 0.0), max(difference.interval[1], 0.0)
    if low - TINY <= direction * prediction.points / 100 <= high + TINY:
        return "it may be so, but there may as well be no difference at all"
    return "too large, and which of the two is ahead is not decided"


def describe_prediction(prediction: Prediction) -> str:
    """A prediction in a few words, introduced as such."""
    if prediction.points == 0:
        return "predicted no difference"
    by = f" by {prediction.points:g} points" if prediction.points is not None else ""
    if prediction.winner is None:
        return f"predicted {prediction.loser} to be worse{by}"
    over = f" over {prediction.loser}" if prediction.loser else ""
    return f"predicted {prediction.winner}{over}{by}"


def describe_found(
    prediction: Prediction, name_a: str, name_b: str, difference: PairedDifference, *, is_different: bool
) -> str:
    """What was found, with as many decimals as it takes to see on which side of it the prediction lies."""
    direction = prediction.direction(name_b)
    predicted = direction * (prediction.points or 0.0) / 100
    if is_different:
        winner, towards_winner = (name_b, predicted) if difference.mean > 0 else (name_a, -predicted)
        if difference.interval is None:
            lead = in_points(abs(difference.mean), signed=False)
            return f"found {winner} by {lead} with each of {count_seeds(difference.n)}"
        lead, interval = lead_and_interval(difference, towards_winner)
        return f"found {winner} by {lead} ({interval})"
    if direction < 0:  # seen from the one that was expected to win
        name_a, name_b, difference, predicted = name_b, name_a, turned_round(difference), -predicted
    mean, interval = mean_and_interval(difference, predicted)
    return f"found {name_b} minus {name_a} {mean} ({interval})"


def turned_round(difference: PairedDifference) -> PairedDifference:
    """The first minus the second."""
    ends = difference.interval
    return replace(difference, mean=-difference.mean, interval=None if ends is None else (-ends[1], -ends[0]))
