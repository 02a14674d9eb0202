"""What may be concluded over seeds, by paired t tests; ``training/paired.py`` has two networks on the same digits.

Accuracies and differences are fractions (0.9954), shown as percentage points; a difference is the second (``b``) minus
the first (``a``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import ncf, t, ttest_1samp

from mnist_lab.errors import RequestError
from mnist_lab.terminal.wording import counted
from mnist_lab.training.paired import LEVEL, Verdict, format_p

MOST_POINTS = 50  # a larger predicted lead, as in "3-layer > 2-layer by 99.5", must be meant as an accuracy
_POWER = 0.8  # the probability of finding a difference that is there, when a number of seeds is recommended
_MOST_SEEDS = 1000  # nobody trains that often
_ONE_SEED = "With one seed nothing can be concluded."
_TINY = 1e-12  # smaller differences of accuracies are rounding errors: one digit in 10,000 makes 1e-4

Accuracies = Mapping[str, Mapping[int, float]]
"""Test accuracy, a fraction, by variant and seed."""


@dataclass(frozen=True)
class Summary:
    """Repeated measurements of one thing."""

    mean: float
    sd: float | None  # sample standard deviation (n - 1 in the divisor); None for a single value
    n: int
    interval: tuple[float, float] | None  # 95 % t interval of the mean; None without any spread


@dataclass(frozen=True)
class PairedDifference(Summary):
    """How far two recipes lie apart when each seed is compared with itself: a summary of ``b`` minus ``a``."""

    p_value: float | None  # two-sided; None for a single seed


def summarise(values: Sequence[float]) -> Summary:
    """Mean, spread and 95 % t interval of repeated measurements; RequestError without any, or if one is not finite."""
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        raise RequestError("there is no value to summarise", "train with at least one seed")
    if not np.isfinite(numbers).all():
        raise RequestError("a value to summarise is not a finite number", "leave out runs without a result")
    mean, n = float(numbers.mean()), len(numbers)
    sd = float(numbers.std(ddof=1)) if n > 1 else None
    if sd is None or sd < _TINY:
        # A zero-width interval would claim certainty, where accuracies merely come in steps of one digit.
        return Summary(mean, sd and 0.0, n, None)
    low, high = ttest_1samp(numbers, 0).confidence_interval(1 - LEVEL)
    return Summary(mean, sd, n, (float(low), float(high)))


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> PairedDifference:
    """Compare two recipes over the seeds that both were trained with: ``b`` minus ``a``, and the paired t test.

    Where all differences are equal, the t test would divide by zero; the sign test stands in for it: n times the same
    direction has p = 2 / 2**n. Where all differences are zero, p is 1. RequestError if the two share no seed.
    """
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        raise RequestError("the two recipes have no seed in common", "train both with the same seeds")
    differences = [b[seed] - a[seed] for seed in seeds]
    found = summarise(differences)
    mean = found.mean if abs(found.mean) > _TINY else 0.0
    if found.sd is None:
        p_value = None
    elif not mean:
        p_value = 1.0
    else:
        p_value = 2.0 ** (1 - found.n) if found.sd == 0 else float(ttest_1samp(differences, 0).pvalue)
    return PairedDifference(mean, found.sd, found.n, found.interval, p_value)


def seeds_needed(difference: Summary, level: float = LEVEL) -> int | None:
    """How many seeds in all the paired t test would need to find the observed difference in 4 of 5 tries.

    A rough estimate: it takes the observed mean and standard deviation for the true ones. None if the number exceeds
    ``_MOST_SEEDS``, if no difference was seen, or if there is no spread to estimate from.
    """
    if not difference.mean or not difference.sd:
        return None
    numbers = np.arange(2, _MOST_SEEDS + 1)
    effect = min(abs(difference.mean) / difference.sd, 1000.0)  # 2 seeds are enough for that; more would overflow
    # t² has the noncentral F distribution with 1 and n - 1 degrees of freedom; scipy's noncentral t gives nan far out.
    critical = t.isf(level / 2, numbers - 1) ** 2
    enough = np.flatnonzero(ncf.sf(critical, 1, numbers - 1, numbers * effect**2) >= _POWER)
    return int(numbers[enough[0]]) if len(enough) else None


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust the p values of several comparisons in one experiment (S. Holm 1979).

    Compared with 0.05, the adjusted values find a difference among identical recipes in at most 5 % of experiments,
    however many comparisons each makes. None, where there was no test, stays None and does not count.
    """
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = largest
    return adjusted


def verdict(
    name_a: str, name_b: str, difference: PairedDifference, p_adjusted: float | None = None, comparisons: int = 1
) -> Verdict:
    """What a comparison over seeds allows us to say; ``difference`` is the second recipe minus the first.

    Where one experiment makes several ``comparisons``, ``p_adjusted`` is the p value after :func:`holm`; the interval
    stays that of a single comparison, and the facts give both p values where the two disagree.
    """
    mean, interval, seeds = difference.mean, difference.interval, counted(difference.n, "seed")
    minus = f"{name_b} minus {name_a}: "
    if difference.p_value is None:
        why = "one seed, so there is no interval; it takes several, 5 or so"
        return Verdict(_ONE_SEED, None, f"{minus}{in_points(mean)}, {why}.")
    p = difference.p_value if p_adjusted is None else p_adjusted
    better = "{} is more accurate than {}.".format(*((name_b, name_a) if mean > 0 else (name_a, name_b)))
    undecided = f"{name_a} and {name_b} can't be told apart with {seeds}."
    if interval is None:
        each = f"{minus}{in_points(mean)} with each of {seeds}"
        if p < LEVEL:
            return Verdict(better, True, f"{each} (sign test {format_p(p)}); without any spread there is no interval.")
        if not mean:
            return Verdict(undecided, False, f"{each}: they have the same accuracy.")
        return Verdict(undecided, None, f"{each}; without any spread no interval can be given: use more seeds.")
    facts = f"{minus}{interval_in_words(difference)}, {seeds}, {format_p(difference.p_value)}"
    if (p < LEVEL) != (difference.p_value < LEVEL):  # a single comparison would have found it
        which = {2: "both"}.get(comparisons, f"all {comparisons}")
        facts += f", but {format_p(p)} with {which} comparisons counted (Holm)"
    if p < LEVEL:
        return Verdict(better, True, f"{facts}.")
    if mean:
        needed = seeds_needed(difference, level=LEVEL / comparisons)  # Bonferroni's level: Holm needs no more than that
        number = f"more than {_MOST_SEEDS:,}" if needed is None else f"about {needed:,}"
        facts += f". If it is what it looks like, {number} seeds would find it in 4 of 5 tries"
    return Verdict(undecided, False, f"{facts}.")


@dataclass(frozen=True)
class Comparison:
    """Two rows of results over the seeds that both have."""

    before: str
    after: str
    variants: tuple[str, str]  # the same names, but for rows that are about certain digits
    digits: str  # which these are; empty for all test digits
    difference: PairedDifference  # after minus before
    p_adjusted: float | None  # with all comparisons of the experiment counted (Holm)
    verdict: Verdict  # with all counted, too

    @property
    def title(self) -> str:
        """``shifted digits: augmented minus plain``."""
        return f"{self.digits}: " * bool(self.digits) + f"{self.variants[1]} minus {self.variants[0]}"


@dataclass(frozen=True)
class Conclusion:
    """Everything that an experiment's accuracies allow us to say."""

    accuracies: Accuracies
    summaries: Mapping[str, Summary]
    compared: Sequence[Comparison]

    @property
    def sentences(self) -> list[str]:
        """What is said before all else: a short sentence on all comparisons, then the numbers, the largest first."""
        verdicts = [one.verdict for one in self.compared]
        if len(verdicts) <= 2:
            heads = list(dict.fromkeys(said.sentence.removesuffix(".") for said in verdicts))
            if len(heads) == 2 and not any(said.is_different for said in verdicts):
                heads = ["Neither comparison found a difference that is more than chance"]
            return [f"{'; '.join(heads)}.", *(said.facts for said in verdicts)] if heads else []
        if all(one.difference.n == 1 for one in self.compared):
            several = "It takes several seeds, 5 or so: with one, no interval can be given."
            return [_ONE_SEED, _listed("What this seed shows, chance included", self.compared), several]
        found = [one for one in self.compared if one.verdict.is_different]
        found.sort(key=lambda one: -abs(one.difference.mean))
        number = f"{len(found) or 'None'} of the {len(self.compared)}"
        told = [f"{number} comparisons found a difference that is more than chance."]
        told += [one.verdict.facts for one in found]
        for beginning, kind in (("Not distinguishable", False), ("Nothing to conclude", None)):
            some = [one for one in self.compared if one.verdict.is_different is kind]
            if some:
                told.append(some[0].verdict.facts if len(some) == 1 else _listed(beginning, some))
        return told

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; accuracies are fractions."""
        variants = {
            name: {"test_accuracy_by_seed": dict(self.accuracies[name]), **vars(summary)}
            for name, summary in self.summaries.items()
        }
        comparisons = [
            {"before": pair.before, "after": pair.after, **vars(pair.difference), **vars(pair.verdict)}
            for pair in self.compared
        ]
        return {"variants": variants, "comparisons": comparisons}


def _listed(beginning: str, some: Sequence[Comparison]) -> str:
    """The differences of several comparisons; two variants compared on several kinds of digits are named once."""
    (a, b), *others = {one.variants for one in some}
    if not others and some[0].digits:
        beginning += f" ({b} minus {a})"
    names = [one.title if others or not one.digits else one.digits for one in some]
    differences = [interval_in_words(one.difference).removesuffix(" (no interval)") for one in some]
    return f"{beginning}: {'; '.join(map(' '.join, zip(names, differences, strict=True)))}."


def conclude(
    accuracies: Accuracies, pairs: Sequence[tuple[str, str]], parts: Mapping[str, tuple[str, str]] | None = None
) -> Conclusion:
    """Summarise every variant, and compare the pairs (before, after) over the seeds that both have.

    A variant all of whose trainings failed is left out, and so are pairs that share no seed. ``parts`` splits names
    that join a variant and some digits: ``plain, shifted`` into ``plain`` and ``shifted digits``.
    """
    present = {name: by_seed for name, by_seed in accuracies.items() if by_seed}
    possible = [(a, b) for a, b in pairs if a in present and b in present and present[a].keys() & present[b].keys()]
    differences = [paired_difference(present[a], present[b]) for a, b in possible]
    adjusted = holm([difference.p_value for difference in differences])
    tested = sum(p is not None for p in adjusted)
    compared = []
    for (before, after), difference, p in zip(possible, differences, adjusted, strict=True):
        (a, digits), (b, _) = ((parts or {}).get(name, (name, "")) for name in (before, after))
        said = verdict(a, b, difference, p, tested)
        if digits:
            prefix = f"{digits[0].upper()}{digits[1:]}: "
            said = replace(said, sentence=prefix + said.sentence, facts=prefix + said.facts)
        compared.append(Comparison(before, after, (a, b), digits, difference, p, said))
    return Conclusion(present, {name: summarise(list(m.values())) for name, m in present.items()}, compared)


def parse_prediction(words: str, names: Sequence[str]) -> tuple[str, str, float | None] | None:
    """Understand ``A > B by 0.3`` (percentage points), ``A > B`` or ``A = B``, in upper or lower case.

    Returns the names of the winner and the loser, and the lead: 0 for no difference, None where there is no number.
    None for anything else, free text that can't be graded.
    """
    known = {" ".join(name.casefold().split()): name for name in names}
    either, number = "|".join(map(re.escape, known)), r"\d+(?:\.\d+)?|\.\d+"
    form = rf"({either}) ?(?:(=)|>) ?({either})(?: by ({number})(?: ?%| points?)?)?"
    match = re.fullmatch(form, " ".join(words.casefold().split()))
    if match is None or match[1] == match[3] or (match[2] and match[4]) or float(match[4] or 0) > MOST_POINTS:
        return None
    points = 0.0 if match[2] else float(match[4]) if match[4] else None
    return known[match[1]], known[match[3]], points


def grade(words: str, conclusion: Conclusion, digits: str = "") -> str:
    """How a learner's prediction turned out, in a sentence that never contradicts the verdict.

    ``digits`` names those that it is about, where variants are compared on several kinds of them.
    """
    compared = [one for one in conclusion.compared if digits in ("", one.digits)]
    about = {(one.variants if digits else (one.before, one.after)): one for one in compared}
    if not about:
        return "Nothing is compared in this experiment, so judge for yourself."
    prediction = parse_prediction(words, [name for pair in about for name in pair])
    if prediction is None:
        return "It was not understood as one about the variants of this experiment, so judge for yourself."
    winner, loser, points = prediction
    before, after = (winner, loser) if (winner, loser) in about else (loser, winner)
    if (before, after) not in about:
        return "The experiment does not compare these two directly: their means are in the table."
    said = f"Predicted {winner} over {loser}" + ("" if points is None else f" by {points:g} points")
    said = "Predicted no difference" if points == 0 else said
    difference, is_different = about[before, after].difference, bool(about[before, after].verdict.is_different)
    if difference.interval is None and not is_different:
        why = "with one seed" if difference.n == 1 else "without any spread"
        return f"{said}: can't be graded, as {why} no interval can be given."
    if winner == before and points != 0:  # seen from the one that was expected to win
        ends = difference.interval and (-difference.interval[1], -difference.interval[0])
        before, after, difference = after, before, replace(difference, mean=-difference.mean, interval=ends)
    found = f"{after} minus {before} {interval_in_words(difference, (points or 0.0) / 100)}"
    return f"{said}, found {found}: {_outcome(points, difference, is_different=is_different)}."


def _outcome(points: float | None, difference: PairedDifference, *, is_different: bool) -> str:
    """The grade in a few words; the difference is positive for the one that was to win."""
    if points == 0:
        return "there is one" if is_different else "nothing contradicts it, though that is no proof"
    if is_different and difference.mean < 0:
        return "it came out the other way round"
    if points is None and not is_different:
        return f"not decided yet, {counted(difference.n, 'seed')} can't tell the two apart"
    if points is None:
        return "right"
    if difference.interval is None:
        return "the right direction; how large it is can't be graded, as without any spread no interval can be given"
    lead, (low, high) = points / 100, difference.interval
    if not is_different:  # with all comparisons counted, zero is possible, though the interval alone may exclude it
        if min(low, 0.0) - _TINY <= lead <= max(high, 0.0) + _TINY:
            return "it may be so, but there may just as well be no difference at all"
        return "too large, and which of the two is ahead is not decided"
    if low - _TINY <= lead <= high + _TINY:
        return "well predicted, it lies inside the interval"
    return f"the right direction, but too {'large' if lead > difference.mean else 'small'}"


def interval_in_words(difference: Summary, *beside: float) -> str:
    """``+0.03 points (95 % interval −0.05 to +0.11)``, with decimals that tell them from zero and from ``beside``."""
    if difference.interval is None:
        return f"{in_points(difference.mean)} (no interval)"
    lead, low, high, *_ = format_points(difference.mean, *difference.interval, *beside)
    return f"{lead} points (95 % interval {low} to {high})"


def in_points(fraction: float) -> str:
    """A single difference: ``+0.10 points``."""
    return f"{format_points(fraction)[0]} points"


def format_points(*fractions: float) -> list[str]:
    """Differences of fractions in percentage points, with a true minus sign; zero is ``0``, never ``0.00``.

    All have the same number of decimals: two, or as many as different ones need to look different, and unlike zero.
    """
    points = [round(100 * fraction, 10) for fraction in fractions]  # without rounding errors
    different = {0.0, *points}
    decimals = next(n for n in range(2, 11) if len({round(x, n) for x in different}) == len(different))
    return [f"{x:+.{decimals}f}".replace("-", "−") if x else "0" for x in points]
