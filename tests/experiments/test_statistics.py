"""What may be concluded: against scipy, numbers worked by hand, and by simulation."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mnist_lab.errors import RequestError
from mnist_lab.experiments.statistics import (
    LEVEL,
    McNemar,
    PairedDifference,
    Summary,
    Verdict,
    format_p,
    holm,
    mcnemar,
    mcnemar_verdict,
    paired_difference,
    paired_power,
    seeds_needed,
    summarise,
    verdict,
    verdicts,
)

TRIES = 1000
ALLOWED = int(stats.binom.ppf(0.999, TRIES, LEVEL))
"""Of 1,000 tries in which chance alone is at work, 5 % may find a difference: 50, and a test that keeps its level
exceeds 72 of them in less than one of 1,000 simulations. Fewer than 30 would be as rare for a test that uses its whole
level, as the t test does with normal numbers."""
EXPECTED_AT_LEAST = int(stats.binom.ppf(0.001, TRIES, LEVEL))


def by_seed(accuracies: NDArray[np.float64]) -> dict[int, float]:
    return dict(enumerate(accuracies.tolist()))


def p_value_of(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    p_value = paired_difference(by_seed(a), by_seed(b)).p_value
    assert p_value is not None
    return p_value


def difference_of(*points: float) -> PairedDifference:
    """The comparison of two recipes that lie these percentage points apart, seed by seed."""
    first = np.linspace(0.98, 0.99, len(points))
    return paired_difference(by_seed(first), by_seed(first + np.array(points) / 100))


# --- one recipe --------------------------------------------------------------------------------------------------


def test_summary_by_hand() -> None:
    found = summarise([0.990, 0.992, 0.994])
    assert found.n == 3
    assert (found.mean, found.sd) == pytest.approx((0.992, 0.002))
    half = 4.302652729911275 * 0.002 / math.sqrt(3)  # Student's table, 2 degrees of freedom
    assert found.interval == pytest.approx((0.992 - half, 0.992 + half))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
def test_summary_is_that_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(0.995, 0.0003, n)
    found = summarise(list(values))
    expected = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert found.sd == pytest.approx(stats.tstd(values))
    assert found.interval == pytest.approx(expected, rel=1e-12)


def test_no_spread_no_interval() -> None:
    assert summarise([0.9954]) == Summary(0.9954, None, 1, None)
    same = summarise([0.9954] * 3)
    assert same.mean == pytest.approx(0.9954)
    assert (same.sd, same.n, same.interval) == (0.0, 3, None)


@pytest.mark.parametrize("values", [[], [0.99, math.nan], [math.inf]])
def test_values_that_cannot_be_summarised_are_refused(values: list[float]) -> None:
    with pytest.raises(RequestError):
        summarise(values)


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for values in random.normal(0.995, 0.0004, (TRIES, 4)):
        low, high = summarise(values).interval or (1.0, 0.0)
        covered += low <= 0.995 <= high
    assert EXPECTED_AT_LEAST <= TRIES - covered <= ALLOWED


# --- two recipes over seeds --------------------------------------------------------------------------------------


def test_paired_difference_by_hand() -> None:
    found = paired_difference({0: 0.990, 1: 0.991, 2: 0.992}, {0: 0.991, 1: 0.993, 2: 0.995})
    assert found.n == 3
    assert (found.mean, found.sd) == pytest.approx((0.002, 0.001))
    assert found.interval == pytest.approx((0.002 - 0.0024841377, 0.002 + 0.0024841377))  # 4.3027 * 0.001 / sqrt(3)
    assert found.p_value == pytest.approx(1 - math.sqrt(12 / 14))  # t² = 12 with 2 degrees of freedom: closed form


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
def test_paired_difference_is_that_of_scipy(n: int) -> None:
    random = np.random.default_rng(n)
    a, b = random.normal(0.995, 0.0003, (2, n))
    found, expected = paired_difference(by_seed(a), by_seed(b)), stats.ttest_rel(b, a)
    interval = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.mean == pytest.approx((b - a).mean())


def test_only_seeds_that_both_have_count() -> None:
    a, b = {0: 0.99, 1: 0.98, 2: 0.97, 7: 0.1}, {2: 0.975, 1: 0.981, 0: 0.992, 8: 0.2}
    assert paired_difference(a, b) == difference_at(a, b, (0, 1, 2))
    reverse = paired_difference(b, a)
    assert reverse.mean == -paired_difference(a, b).mean
    assert reverse.p_value == paired_difference(a, b).p_value


def difference_at(a: dict[int, float], b: dict[int, float], seeds: tuple[int, ...]) -> PairedDifference:
    return paired_difference({seed: a[seed] for seed in seeds}, {seed: b[seed] for seed in seeds})


def test_no_seed_in_common_is_refused() -> None:
    with pytest.raises(RequestError, match="no seed in common"):
        paired_difference({0: 0.99}, {1: 0.99})


def test_a_single_seed_has_a_difference_and_nothing_else() -> None:
    found = paired_difference({0: 0.99, 1: 0.98}, {0: 0.991})
    assert (found.sd, found.n, found.interval, found.p_value) == (None, 1, None, None)
    assert found.mean == pytest.approx(0.001)


@pytest.mark.parametrize("n", [2, 3, 5, 6, 9])
def test_equal_differences_go_by_the_sign_test(n: int) -> None:
    """Differences such as 0.9955 - 0.9954 and 0.9935 - 0.9934 are equal, though not to the last bit."""
    a = {seed: (9934 + 3 * seed) / 10_000 for seed in range(n)}
    b = {seed: (9935 + 3 * seed) / 10_000 for seed in range(n)}
    found = paired_difference(a, b)
    assert (found.sd, found.interval) == (0.0, None)
    assert found.p_value == pytest.approx(stats.binomtest(n, n).pvalue)
    nothing = paired_difference(a, a)
    assert (nothing.mean, nothing.sd, nothing.interval, nothing.p_value) == (0.0, 0.0, None, 1.0)


def test_opposite_differences_cancel_exactly() -> None:
    found = paired_difference({0: 0.9934, 1: 0.9955, 2: 0.9941}, {0: 0.9935, 1: 0.9957, 2: 0.9938})
    assert found.mean == 0.0
    assert found.p_value == 1.0


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_identical_recipes_are_rarely_called_different(n: int) -> None:
    """Seeds that are good for one recipe are good for the other: what the two share must not count."""
    random = np.random.default_rng(10 + n)
    shared = random.normal(0.995, 0.0005, (TRIES, n))
    a, b = shared + random.normal(0, 0.0003, (2, TRIES, n))
    p_values = [p_value_of(x, y) for x, y in zip(a, b, strict=True)]
    assert EXPECTED_AT_LEAST <= sum(p < LEVEL for p in p_values) <= ALLOWED


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_identical_recipes_are_rarely_called_different_in_whole_digits(n: int) -> None:
    """Real accuracies are counts of 10,000 digits, so that two seeds often give the same difference by chance."""
    random = np.random.default_rng(20 + n)
    shared = random.normal(0.995, 0.0005, (TRIES, n))
    a, b = np.round(shared + random.normal(0, 0.0002, (2, TRIES, n)), 4)
    p_values = [p_value_of(x, y) for x, y in zip(a, b, strict=True)]
    assert sum(p < LEVEL for p in p_values) <= ALLOWED


# --- how many seeds ----------------------------------------------------------------------------------------------


def seen(effect: float) -> PairedDifference:
    """An observation with this many standard deviations of difference."""
    return PairedDifference(effect * 0.0003, 0.0003, 5, (-1.0, 1.0), 0.5)


@pytest.mark.parametrize(("effect", "expected"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)])
def test_seeds_needed_are_those_of_the_power_tables(effect: float, expected: int) -> None:
    """The published numbers of pairs for power 0.8 at a two-sided level of 0.05."""
    assert seeds_needed(seen(effect)) == expected
    assert seeds_needed(seen(-effect)) == expected


@pytest.mark.parametrize("effect", [0.3, 0.7, 1.3, 3.0])
def test_seeds_needed_give_the_power_they_promise(effect: float) -> None:
    needed = seeds_needed(seen(effect))
    assert needed is not None
    random = np.random.default_rng(needed)
    tries = 20_000
    low, high = (float(stats.binom.ppf(q, tries, 0.8)) / tries - 0.8 for q in (0.0001, 0.9999))  # about ±0.01
    for seeds in (needed - 1, needed):
        p_values = np.asarray(stats.ttest_1samp(random.normal(effect, 1, (tries, seeds)), 0, axis=1).pvalue)
        power = float(paired_power(np.array([seeds]), effect)[0])
        assert low <= np.mean(p_values < LEVEL) - power <= high
        assert (power >= 0.8) == (seeds == needed)


def test_power_is_that_of_the_noncentral_t() -> None:
    """Where scipy's noncentral t holds out: nearer than its far lower tail."""
    seeds = np.array([2, 3, 5, 10, 30])
    for effect in (0.01, 0.1, 0.5, 0.9):
        bound, shift = stats.t.ppf(0.975, seeds - 1), effect * np.sqrt(seeds)
        expected = stats.nct.sf(bound, seeds - 1, shift) + stats.nct.cdf(-bound, seeds - 1, shift)
        assert paired_power(seeds, effect) == pytest.approx(expected, abs=1e-9)


def test_seeds_needed_where_there_is_no_answer() -> None:
    assert seeds_needed(seen(0.0)) is None
    assert seeds_needed(seen(0.01)) is None  # 78,000
    assert seeds_needed(difference_of(0.1)) is None
    assert seeds_needed(difference_of(0.125, 0.125)) is None
    assert seeds_needed(seen(-1e11)) == 2


def test_more_is_needed_than_was_not_enough() -> None:
    """A difference that was not found with n seeds never "needs" n or fewer."""
    for n in (2, 3, 5, 10, 50):
        for level in (0.05, 0.05 / 3, 0.005):
            just_missed = PairedDifference(float(stats.t.isf(level / 2, n - 1)) / math.sqrt(n), 1.0, n, None, level)
            needed = seeds_needed(just_missed, level=level)
            assert needed is not None
            assert needed > n
            assert needed >= (seeds_needed(just_missed, power=0.6, level=level) or 0)


# --- several comparisons -----------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []
    assert holm([0.02, None, 0.03]) == pytest.approx([0.04, None, 0.04])


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    """The definition: the largest Bonferroni p of all groups of comparisons to which the comparison belongs."""
    random = np.random.default_rng(2)
    for _ in range(50):
        p_values = random.uniform(0, 0.4, 5).tolist()
        groups = [group for size in range(1, 6) for group in itertools.combinations(range(5), size)]
        expected = [
            max(min(1.0, len(group) * min(p_values[place] for place in group)) for group in groups if place in group)
            for place in range(5)
        ]
        assert holm(p_values) == pytest.approx(expected)


@pytest.mark.parametrize("n", [3, 5])
def test_a_family_of_identical_recipes_is_rarely_called_different(n: int) -> None:
    """Three recipes against one baseline, all alike: all three verdicts must hold together."""
    random = np.random.default_rng(30 + n)
    shared = random.normal(0.995, 0.0005, (TRIES, 1, n))
    experiments = shared + random.normal(0, 0.0003, (TRIES, 4, n))
    families = [[p_value_of(baseline, other) for other in others] for baseline, *others in experiments]
    wrong = sum(any(p is not None and p < LEVEL for p in holm(family)) for family in families)
    unadjusted = sum(min(family) < LEVEL for family in families)
    assert wrong <= ALLOWED
    assert unadjusted > ALLOWED  # the reason why the adjustment is made


def test_verdicts_share_one_adjustment() -> None:
    clear, near = difference_of(0.4, 0.45, 0.38, 0.42), difference_of(0.09, 0.2, 0.05, 0.15)
    assert near.p_value is not None
    assert 0.02 < near.p_value < LEVEL
    found = verdicts([("a", "b", clear), ("a", "c", near), ("a", "d", near), ("a", "e", difference_of(0.2))])
    assert [call.is_different for call in found] == [True, False, False, None]
    assert verdict("a", "c", near).is_different
    assert found[1].sentence.startswith(
        "c and a are not distinguishable with 4 seeds once all 3 comparisons are counted"
    )
    assert "once both comparisons are counted" in verdict("a", "c", near, 0.06, 2).sentence
    assert "once all comparisons are counted" in verdict("a", "c", near, 0.06).sentence
    assert f"Holm-adjusted p = {2 * near.p_value:.3f})" in found[1].sentence
    assert f"about {seeds_needed(near, level=LEVEL / 3)} would be needed" in found[1].sentence


# --- two networks on the same digits -----------------------------------------------------------------------------


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


@pytest.mark.parametrize(("only_a", "only_b"), [(11, 23), (40, 13), (0, 6), (100, 101)])
def test_mcnemar_is_a_binomial_test(only_a: int, only_b: int) -> None:
    tail = stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)
    assert mcnemar(*answers(9000, only_a, only_b, 30)).p_value == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_needs_the_same_digits() -> None:
    with pytest.raises(RequestError, match=r"10,000 digits.*6,000"):
        mcnemar(np.ones(10_000, dtype=bool), np.ones(6_000, dtype=bool))


def test_equally_good_networks_are_rarely_called_different() -> None:
    """Each misses 40 of 10,000 on average, mostly among the same hard ones; one that misses 30 more is mostly found."""
    random = np.random.default_rng(4)
    hardness = np.where(np.arange(10_000) < 100, 0.3, 0.001)
    wrong = found = 0
    for _ in range(TRIES):
        draws = random.random((3, 10_000), dtype=np.float32)
        a, b, worse = draws[0] > hardness, draws[1] > hardness, draws[2] > hardness + 0.003
        wrong += mcnemar_verdict("a", "b", mcnemar(a, b)).is_different is True
        found += mcnemar_verdict("a", "b", mcnemar(a, worse)).is_different is True
    assert wrong <= ALLOWED
    assert found > 0.6 * TRIES


def test_mcnemar_in_words() -> None:
    apart = mcnemar_verdict("1-layer", "2-layer", mcnemar(*answers(9900, 11, 30, 59)))
    assert apart == Verdict(
        "2-layer reads 30 test digits that 1-layer misses, and misses 11 that 1-layer reads: these two networks are "
        "distinguishable (exact McNemar p = 0.004); whether their recipes are, only several seeds can tell",
        True,
    )
    counted = mcnemar_verdict("1-layer", "2-layer", mcnemar(*answers(9900, 11, 30, 59)), p_adjusted=0.06)
    assert "not distinguishable once all pairs are counted (exact McNemar, Holm-adjusted p = 0.060)" in counted.sentence
    assert counted.is_different is False
    near = mcnemar_verdict("1-layer", "2-layer", mcnemar(*answers(9900, 23, 11, 66)))
    assert near.sentence.startswith(
        "1-layer reads 23 test digits that 2-layer misses, and misses 11 that 2-layer reads"
    )
    assert "these two networks are not distinguishable (exact McNemar p = 0.058)" in near.sentence
    assert near.is_different is False
    assert "reads 1 test digit that" in mcnemar_verdict("a", "b", mcnemar(*answers(9, 1, 0, 0))).sentence
    same = mcnemar_verdict("a", "b", mcnemar(*answers(9, 0, 0, 1)))
    assert same == Verdict("b and a read and miss the very same test digits", False)


# --- verdicts in words -------------------------------------------------------------------------------------------


def test_verdict_names_the_better_one() -> None:
    expected = "3-layer is better than 2-layer by 0.14 points (95 % interval 0.10 to 0.18, 5 seeds)"
    found = difference_of(0.14, 0.10, 0.18, 0.15, 0.13)
    assert verdict("2-layer", "3-layer", found) == Verdict(expected, True)
    reverse = difference_of(-0.14, -0.10, -0.18, -0.15, -0.13)
    assert verdict("3-layer", "2-layer", reverse) == Verdict(expected, True)


def test_verdict_says_how_many_seeds_would_be_needed() -> None:
    assert verdict("2-layer", "3-layer", difference_of(0.08, 0.05, -0.02)) == Verdict(
        "3-layer and 2-layer are not distinguishable with 3 seeds (3-layer minus 2-layer: +0.04 points, "
        "95 % interval −0.09 to +0.16); about 18 would be needed to find it in 4 of 5 tries, if the difference is "
        "what it looks like",
        False,
    )
    far = verdict("a", "b", difference_of(0.11, -0.1, 0.01)).sentence
    assert far.endswith(
        "; more than 1,000 would be needed to find it in 4 of 5 tries, if the difference is what it looks like"
    )
    assert "needed" not in verdict("a", "b", difference_of(0.1, -0.1)).sentence


def test_verdict_of_one_seed() -> None:
    assert verdict("2-layer", "3-layer", difference_of(0.1)) == Verdict(
        "with one seed nothing can be concluded: 3-layer minus 2-layer is +0.10 points, but no interval can be given; "
        "it takes several seeds, 5 or so",
        None,
    )


def test_verdict_without_spread() -> None:
    assert verdict("a", "b", difference_of(0.0, 0.0, 0.0)) == Verdict(
        "b and a have the same accuracy with each of 3 seeds: not distinguishable", False
    )
    assert verdict("a", "b", difference_of(-0.01, -0.01)) == Verdict(
        "b minus a is −0.01 points with each of 2 seeds: without any spread no interval can be given; use more seeds",
        None,
    )
    assert verdict("a", "b", difference_of(*[-0.01] * 6)) == Verdict(
        "a is better than b by 0.01 points with each of 6 seeds "
        "(sign test p = 0.031; without any spread there is no interval)",
        True,
    )


def test_rounding_never_hides_on_which_side_of_zero_an_interval_lies() -> None:
    """The numbers as they are printed lead to the verdict that is given."""
    random = np.random.default_rng(5)
    kinds = set()
    for scale, _ in itertools.product((0.0003, 0.003, 0.03, 0.3), range(60)):
        difference = difference_of(*random.normal(2.5 * scale, 2 * scale, 4))
        found = verdict("a", "b", difference)
        printed = re.search(r"([+−.\d]+) points.* interval ([+−.\d]+) to ([+−.\d]+)", found.sentence)
        assert printed
        lead, low, high = (float(number.replace("−", "-")) for number in printed.groups())
        assert (low > 0 or high < 0) == found.is_different == ((difference.p_value or 0.0) < LEVEL)
        assert low < lead < high
        assert 0 not in (lead, low, high)
        kinds.add(found.is_different)
    assert kinds == {True, False}


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
