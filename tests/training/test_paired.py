"""Two networks on the same digits: McNemar's test against numbers worked by hand, and what it lets us say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_lab.errors import RequestError
from mnist_lab.training.paired import McNemar, Verdict, format_p, mcnemar, mcnemar_verdict


def answers(both_right: int, only_a: int, only_b: int, both_wrong: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    counts = [both_right, only_a, only_b, both_wrong]
    order = np.random.default_rng(3).permutation(sum(counts))
    right_a, right_b = np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)
    return right_a[order], right_b[order]


def test_mcnemar_by_hand() -> None:
    # One of six to one side, or rarer: 1 + 6 of 64 ways, and as many to the other side.
    assert mcnemar(*answers(90, 1, 5, 4)) == McNemar(90, 1, 5, 4, 2 * 7 / 64)
    assert mcnemar(*answers(90, 3, 3, 4)) == McNemar(90, 3, 3, 4, 1.0)
    assert mcnemar(*answers(9, 0, 0, 1)) == McNemar(9, 0, 0, 1, 1.0)
    assert mcnemar(*answers(0, 0, 0, 0)) == McNemar(0, 0, 0, 0, 1.0)


def test_mcnemar_needs_the_same_digits() -> None:
    with pytest.raises(RequestError, match=r"10,000 digits.*6,000"):
        mcnemar(np.ones(10_000, dtype=bool), np.ones(6_000, dtype=bool))


def test_mcnemar_in_words() -> None:
    apart = mcnemar_verdict("a", "b", mcnemar(*answers(9900, 11, 30, 59)))
    numbers = "b gets 30 test digits right that a misses, and misses 11 that a gets right (exact McNemar p = 0.004)."
    assert apart == Verdict("b is more accurate than a on the test digits.", True, numbers)
    counted = mcnemar_verdict("1-layer", "2-layer", mcnemar(*answers(9900, 11, 30, 59)), p_adjusted=0.06)
    assert counted.facts.endswith("(exact McNemar p = 0.004, but p = 0.060 with all pairs counted (Holm)).")
    assert counted.is_different is False
    near = mcnemar_verdict("1-layer", "2-layer", mcnemar(*answers(9900, 23, 11, 66)))
    assert near == Verdict(
        "1-layer and 2-layer can't be told apart on the test digits.",
        False,
        "1-layer gets 23 test digits right that 2-layer misses, and misses 11 that 2-layer gets right "
        "(exact McNemar p = 0.058).",
    )
    assert "gets 1 test digit right that" in mcnemar_verdict("a", "b", mcnemar(*answers(9, 1, 0, 0))).facts
    same = mcnemar_verdict("a", "b", mcnemar(*answers(9, 0, 0, 1)))
    assert same.facts == "They get the very same test digits right and wrong."
    assert same.is_different is False


def test_p_values_stay_on_their_side_of_the_level() -> None:
    assert [format_p(p) for p in (0.04, 0.0496, 0.04996, 0.0500004, 0.05, 1.0, 0.00099, 0.001)] == [
        "p = 0.040",
        "p = 0.0496",
        "p = 0.04996",
        "p = 0.0500004",
        "p = 0.050",
        "p = 1.000",
        "p < 0.001",
        "p = 0.001",
    ]
