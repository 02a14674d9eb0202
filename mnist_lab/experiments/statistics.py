"""What may be concluded: from trainings repeated over seeds, and from two networks judged on the same digits.

Two sources of chance are kept apart. Training the same recipe with another seed gives another accuracy: means over
seeds and paired t tests deal with that. Two finished networks miss different digits: McNemar's test deals with that,
and says nothing about other seeds.

Accuracies and their differences are fractions (0.9954); sentences show differences in percentage points. Intervals
are 95 % intervals. A difference is always that of the second (``b``) minus the first (``a``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, ncf, t

from mnist_lab.errors import RequestError

LEVEL = 0.05
"""A difference counts as found when chance alone would give one as large in less than this share of experiments."""
MOST_SEEDS = 1000
"""More seeds than this are not worth naming: nobody trains so often."""
TINY = 1e-12
"""Differences of accuracies below this are floating-point dust: one digit in 10,000 makes 1e-4."""
DECIMALS = 2
"""Of percentage points, unless more are needed to tell numbers apart."""


@dataclass(frozen=True)
class Summary:
    """Repeated measurements of one thing.

    Attributes:
        mean: in the unit of the values.
        sd: sample standard deviation (n - 1 in the divisor); None for a single value.
        n: how many values there are.
        interval: 95 % t interval of the mean; None without any spread, which is always so for a single value.
    """

    mean: float
    sd: float | None
    n: int
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class PairedDifference:
    """How far two recipes lie apart when each seed is compared with itself: ``b`` minus ``a``, as a fraction.

    Attributes:
        mean: of the differences.
        sd: their sample standard deviation; None for a single seed.
        n: how many seeds both have.
        interval: 95 % t interval of the mean difference; None for a single seed, and where all differences are equal.
        p_value: two-sided; None for a single seed.
    """

    mean: float
    sd: float | None
    n: int
    interval: tuple[float, float] | None
    p_value: float | None


@dataclass(frozen=True)
class McNemar:
    """Two networks on the same digits: how many both read, only one of them, or neither; p is exact and two-sided."""

    both_right: int
    only_a: int
    only_b: int
    both_wrong: int
    p_value: float


@dataclass(frozen=True)
class Verdict:
    """What may be concluded, in one sentence without a full stop; ``is_different`` is None where nothing may be."""

    sentence: str
    is_different: bool | None


# --- over seeds --------------------------------------------------------------------------------------------------


def summarise(values: Sequence[float]) -> Summary:
    """Mean, spread and 95 % t interval of repeated measurements.

    The interval tells where the mean over all seeds may lie, on these very test digits.

    Raises:
        RequestError: there is no value, or one that is not a finite number.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        raise RequestError("there is no value to summarise", "train with at least one seed")
    if not np.isfinite(numbers).all():
        raise RequestError("a value to summarise is not a finite number", "leave out runs without a result")
    mean, n = float(numbers.mean()), len(numbers)
    if n == 1:
        return Summary(mean, None, 1, None)
    sd = float(numbers.std(ddof=1))
    if sd < TINY:
        # A zero-width interval would claim certainty, where accuracies merely come in steps of one digit.
        return Summary(mean, 0.0, n, None)
    half = float(t.isf(LEVEL / 2, n - 1)) * sd / math.sqrt(n)
    return Summary(mean, sd, n, (mean - half, mean + half))


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> PairedDifference:
    """Compare two recipes over the seeds that both were trained with: ``b`` minus ``a``, and the paired t test.

    Where all differences are equal, the t test divides by zero: any other difference from nought would pass for
    certain, though accuracies come in steps of one digit and two seeds agree quite often. The sign test stands in for
    it: n times the same direction has p = 2 / 2**n. Where all differences are nought, p is 1.

    Args:
        a: accuracy of the first recipe (a fraction) by seed.
        b: of the second.

    Raises:
        RequestError: the two have no seed in common, or an accuracy is not a finite number.
    """
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        raise RequestError("the two recipes have no seed in common", "train both with the same seeds")
    differences = summarise([b[seed] - a[seed] for seed in seeds])
    mean, sd, n = differences.mean if abs(differences.mean) > TINY else 0.0, differences.sd, differences.n
    if sd is None:
        return PairedDifference(mean, None, n, None, None)
    if sd == 0:
        return PairedDifference(mean, sd, n, None, 2.0 ** (1 - n) if mean else 1.0)
    p_value = 2 * float(t.sf(abs(mean) / (sd / math.sqrt(n)), n - 1))
    return PairedDifference(mean, sd, n, differences.interval, p_value)


def seeds_needed(difference: PairedDifference, power: float = 0.8, level: float = LEVEL) -> int | None:
    """How many seeds in all the paired t test would need to find the observed difference with this probability.

    An estimate, and a rough one: it takes the observed mean difference and standard deviation for the true ones, while
    both are themselves uncertain, the more so the fewer the seeds.

    Args:
        difference: what was observed.
        power: the probability of finding the difference, in 0..1.
        level: of the two-sided test.

    Returns:
        The smallest sufficient number, at least 2. None if it exceeds ``MOST_SEEDS``, if no difference was seen, or
        if there is no spread to estimate from.
    """
    if not difference.mean or not difference.sd:
        return None
    numbers = np.arange(2, MOST_SEEDS + 1)
    effect = min(abs(difference.mean) / difference.sd, 1000.0)  # 2 seeds are enough for that; more would overflow
    enough = np.flatnonzero(paired_power(numbers, effect, level) >= power)
    return int(numbers[enough[0]]) if len(enough) else None


def paired_power(seeds: NDArray[np.int64], effect: float, level: float = LEVEL) -> NDArray[np.float64]:
    """The probability that the two-sided paired t test finds a difference, exactly, for normal differences.

    The square of t follows the noncentral F distribution with 1 and n - 1 degrees of freedom. (It holds both tails at
    once; scipy's noncentral t gives nan far out in its lower tail.)

    Args:
        seeds: numbers of seeds, each at least 2.
        effect: the true mean difference divided by the true standard deviation of the differences.
        level: of the test.

    Returns:
        One probability per number of seeds.
    """
    critical = t.isf(level / 2, seeds - 1) ** 2
    return np.asarray(ncf.sf(critical, 1, seeds - 1, seeds * effect**2), dtype=np.float64)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust the p values of several comparisons in one experiment (Holm 1979).

    Compared with 0.05, the adjusted values find a difference among identical recipes in at most 5 % of experiments,
    however many comparisons each makes. Source: S. Holm, "A simple sequentially rejective multiple test procedure".

    Args:
        p_values: one per comparison; None where there was no test, which stays None and does not count.

    Returns:
        The adjusted p values in the same order.
    """
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = largest
    return adjusted


# --- on the same digits ------------------------------------------------------------------------------------------


def mcnemar(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test (McNemar 1947): do two networks read the same digits equally well?

    Only digits that one of them reads and the other misses can tell; if the two were equally good, each would fall to
    either side like a fair coin.

    Args:
        right_a: (N,) whether the first network reads each digit rightly.
        right_b: (N,) the second, on the same digits in the same order.

    Raises:
        RequestError: the two were judged on different numbers of digits.
    """
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a.shape != b.shape:
        raise RequestError(
            f"one network was judged on {a.size:,} digits, the other on {b.size:,}", "judge both on the same digits"
        )
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    p_value = float(binomtest(only_b, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(int((a & b).sum()), only_a, only_b, int((~a & ~b).sum()), p_value)


# --- in words ----------------------------------------------------------------------------------------------------


def verdict(
    name_a: str, name_b: str, difference: PairedDifference, p_adjusted: float | None = None, comparisons: int = 1
) -> Verdict:
    """What a comparison over seeds allows to say.

    Args:
        name_a: the first recipe.
        name_b: the second.
        difference: the second minus the first.
        p_adjusted: the p value after :func:`holm`, where one experiment makes several comparisons; the interval stays
            that of a single comparison, and the sentence says so where the two disagree.
        comparisons: how many the experiment makes.
    """
    minus = f"{name_b} minus {name_a}"
    if difference.p_value is None:
        sentence = f"with one seed nothing can be concluded: {minus} is {in_points(difference.mean)}"
        return Verdict(f"{sentence}, but no interval can be given; it takes several seeds, 5 or so", None)
    p = difference.p_value if p_adjusted is None else p_adjusted
    if difference.interval is None:
        return verdict_without_spread(name_a, name_b, difference, p)
    if p < LEVEL:
        winner, loser = (name_b, name_a) if difference.mean > 0 else (name_a, name_b)
        lead, interval = lead_and_interval(difference)
        seeds = count_seeds(difference.n)
        return Verdict(f"{winner} is better than {loser} by {lead} ({interval}, {seeds})", True)
    mean, interval = mean_and_interval(difference)
    sentence = f"{name_b} and {name_a} are not distinguishable with {count_seeds(difference.n)}"
    facts = f"{minus}: {mean}, {interval}"
    if difference.p_value < LEVEL:  # a single comparison would have found it
        which = {1: "all", 2: "both"}.get(comparisons, f"all {comparisons}")
        sentence += f" once {which} comparisons are counted"
        facts += f", Holm-adjusted {format_p(p)}"
    return Verdict(f"{sentence} ({facts}){describe_needed(difference, comparisons)}", False)


def verdicts(pairs: Sequence[tuple[str, str, PairedDifference]]) -> list[Verdict]:
    """The verdicts of all comparisons that one experiment makes, with p values adjusted for their number.

    Args:
        pairs: first name, second name, second minus first.
    """
    adjusted = holm([difference.p_value for *_, difference in pairs])
    count = sum(p is not None for p in adjusted)
    return [verdict(*pair, p_adjusted, count) for pair, p_adjusted in zip(pairs, adjusted, strict=True)]


def verdict_without_spread(name_a: str, name_b: str, difference: PairedDifference, p: float) -> Verdict:
    """The verdict where every seed gave the same difference, so that no interval can be given."""
    seeds = count_seeds(difference.n)
    if not difference.mean:
        same = f"{name_b} and {name_a} have the same accuracy with each of {seeds}: not distinguishable"
        return Verdict(same, False)
    if p < LEVEL:
        winner, loser = (name_b, name_a) if difference.mean > 0 else (name_a, name_b)
        lead = f"{winner} is better than {loser} by {in_points(abs(difference.mean), signed=False)} with each of"
        return Verdict(f"{lead} {seeds} (sign test {format_p(p)}; without any spread there is no interval)", True)
    sentence = f"{name_b} minus {name_a} is {in_points(difference.mean)} with each of {seeds}"
    return Verdict(f"{sentence}: without any spread no interval can be given; use more seeds", None)


def describe_needed(difference: PairedDifference, comparisons: int) -> str:
    """How many seeds would be needed, as the end of a sentence; nothing if no difference was seen."""
    if not difference.mean:
        return ""
    needed = seeds_needed(difference, level=LEVEL / comparisons)  # Bonferroni's level: Holm needs no more than that
    number = f"more than {MOST_SEEDS:,}" if needed is None else f"about {needed:,}"
    return f"; {number} would be needed to find it in 4 of 5 tries, if the difference is what it looks like"


def mcnemar_verdict(name_a: str, name_b: str, result: McNemar, p_adjusted: float | None = None) -> Verdict:
    """What two networks' answers to the same test digits allow to say, about these two networks alone.

    Args:
        name_a: the first network.
        name_b: the second.
        result: their answers.
        p_adjusted: the p value after :func:`holm`, where several pairs are compared.
    """
    if not result.only_a and not result.only_b:
        return Verdict(f"{name_b} and {name_a} read and miss the very same test digits", False)
    (winner, more), (loser, fewer) = (name_b, result.only_b), (name_a, result.only_a)
    if fewer > more:
        winner, more, loser, fewer = loser, fewer, winner, more
    digits = "test digit" if more == 1 else "test digits"
    counts = f"{winner} reads {more:,} {digits} that {loser} misses, and misses {fewer:,} that {loser} reads"
    p = result.p_value if p_adjusted is None else p_adjusted
    different = p < LEVEL
    found = f"{'distinguishable' if different else 'not distinguishable'} (exact McNemar {format_p(result.p_value)})"
    if result.p_value < LEVEL <= p:
        found = f"not distinguishable once all pairs are counted (exact McNemar, Holm-adjusted {format_p(p)})"
    scope = "whether their recipes are, only several seeds can tell"
    return Verdict(f"{counts}: these two networks are {found}; {scope}", different)


# --- numbers -----------------------------------------------------------------------------------------------------


def lead_and_interval(difference: PairedDifference, *beside: float) -> tuple[str, str]:
    """The winner's lead and its interval, without signs: ``0.14 points``, ``95 % interval 0.09 to 0.19``."""
    assert difference.interval is not None
    mean, (low, high) = abs(difference.mean), sorted(abs(end) for end in difference.interval)
    decimals = decimals_needed(mean, low, high, *beside)
    interval = f"95 % interval {format_points(low, decimals)} to {format_points(high, decimals)}"
    return f"{format_points(mean, decimals)} points", interval


def mean_and_interval(difference: PairedDifference, *beside: float) -> tuple[str, str]:
    """The difference and its interval with their signs: ``+0.03 points``, ``95 % interval −0.05 to +0.11``."""
    assert difference.interval is not None
    decimals = decimals_needed(difference.mean, *difference.interval, *beside)
    low, high = (format_points(end, decimals, signed=True) for end in difference.interval)
    return f"{format_points(difference.mean, decimals, signed=True)} points", f"95 % interval {low} to {high}"


def in_points(fraction: float, *, signed: bool = True) -> str:
    """A single difference: ``+0.10 points``."""
    return f"{format_points(fraction, decimals_needed(fraction), signed=signed)} points"


def decimals_needed(*fractions: float) -> int:
    """The fewest decimals of percentage points with which different numbers look different, also from zero."""
    points = {to_points(fraction) for fraction in (0.0, *fractions)}
    return next(places for places in range(DECIMALS, 11) if len({round(x, places) for x in points}) == len(points))


def to_points(fraction: float) -> float:
    """A fraction in percentage points, without floating-point dust."""
    return round(100 * fraction, 10)


def format_points(fraction: float, decimals: int = DECIMALS, *, signed: bool = False) -> str:
    """A difference of fractions in percentage points, with a true minus sign; zero is ``0``, never ``0.00``."""
    points = to_points(fraction)
    return f"{points:{'+' if signed else ''}.{decimals}f}".replace("-", "−") if points else "0"


def format_p(p: float) -> str:
    """A p value: ``p = 0.012``; never so short that it lands on the other side of the level, or on it."""
    if p < 0.001:
        return "p < 0.001"
    decimals = next((places for places in range(3, 12) if round(p, places) != LEVEL), 3)
    return f"p = {p:.{decimals}f}"


def excludes_zero(interval: tuple[float, float]) -> bool:
    """Whether both ends lie on the same side of zero."""
    return interval[0] > 0 or interval[1] < 0


def count_seeds(seeds: int) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{seeds:,} seed" if seeds == 1 else f"{seeds:,} seeds"
