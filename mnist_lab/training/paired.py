"""What may be concluded from two networks' answers to the same digits: McNemar's test, and what it allows us to say.

It says nothing about other seeds: that is what the paired t tests of several trainings are for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from mnist_lab.errors import RequestError
from mnist_lab.terminal.wording import counted

LEVEL = 0.05  # a difference counts as found if chance alone would give one as large in fewer experiments than this


@dataclass(frozen=True)
class McNemar:
    """How many digits both of two networks classify correctly, only one, or neither; p is exact and two-sided."""

    both_right: int
    only_a: int
    only_b: int
    both_wrong: int
    p_value: float


@dataclass(frozen=True)
class Verdict:
    """What may be concluded."""

    sentence: str  # short, without numbers
    is_different: bool | None  # None where nothing may be concluded
    facts: str  # the numbers that it rests on, in another sentence

    @property
    def in_short(self) -> str:
        """The same in two words."""
        return {True: "distinguishable", False: "not distinguishable", None: "no conclusion"}[self.is_different]


def mcnemar(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test (McNemar 1947): do two networks classify the same (N,) digits equally well?

    Only digits that just one of them classifies correctly can tell; if the two were equally good, each would be a
    fair coin toss. RequestError if they were evaluated on different numbers of digits.
    """
    if a.shape != b.shape:
        found = f"one network was evaluated on {a.size:,} digits, the other on {b.size:,}"
        raise RequestError(found, "evaluate both on the same digits")
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    p_value = float(binomtest(only_b, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(int((a & b).sum()), only_a, only_b, int((~a & ~b).sum()), p_value)


def mcnemar_verdict(
    name_a: str, name_b: str, result: McNemar, p_adjusted: float | None = None, *, noun: str = "test digit"
) -> Verdict:
    """What two networks' answers to the same digits, each a ``noun``, allow us to say, about these two alone."""
    ranked = sorted([(result.only_a, name_a), (result.only_b, name_b)], key=lambda found: found[0])
    (fewer, loser), (more, winner) = ranked
    undecided = f"{name_a} and {name_b} can't be told apart on the {noun}s."
    if not more:
        return Verdict(undecided, False, f"They get the very same {noun}s right and wrong.")
    p = result.p_value if p_adjusted is None else p_adjusted
    tested = format_p(result.p_value)
    if result.p_value < LEVEL <= p:
        tested += f", but {format_p(p)} with all pairs counted (Holm)"
    facts = (
        f"{winner} gets {counted(more, noun)} right that {loser} misses, and misses {fewer:,} that {loser} "
        f"gets right (exact McNemar {tested})."
    )
    different = f"{winner} is more accurate than {loser} on the {noun}s."
    return Verdict(different if p < LEVEL else undecided, p < LEVEL, facts)


def format_p(p: float) -> str:
    """A p value: ``p = 0.012``; never so short that it lands on the other side of the level, or on it."""
    if p < 0.001:
        return "p < 0.001"
    decimals = next((places for places in range(3, 12) if round(p, places) != LEVEL), 3)
    return f"p = {p:.{decimals}f}"
