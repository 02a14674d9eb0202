"""What may be concluded: against scipy, numbers worked by hand, and by simulation."""

from __future__ import annotations

import itertools
import json
import math
import re

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mnist_lab.errors import RequestError
from mnist_lab.experiments import statistics
from mnist_lab.experiments.statistics import (
    PairedDifference,
    Summary,
    conclude,
    grade,
    holm,
    paired_difference,
    parse_prediction,
    seeds_needed,
    summarise,
    verdict,
)
from mnist_lab.training.paired import LEVEL, Verdict


def by_seed(accuracies: NDArray[np.float64]) -> dict[int, float]:
    return dict(enumerate(accuracies.tolist()))


def difference_of(*points: float) -> PairedDifference:
    """The comparison of two recipes that lie these percentage points apart, seed by seed."""
    first = np.linspace(0.98, 0.99, len(points))
    return paired_difference(by_seed(first), by_seed(first + np.array(points) / 100))


# --- one recipe --------------------------------------------------------------------------------------------------


def test_no_spread_no_interval() -> None:
    assert summarise([0.9954]) == Summary(0.9954, None, 1, None)
    same = summarise([0.9954] * 3)
    assert same.mean == pytest.approx(0.9954)
    assert (same.sd, same.n, same.interval) == (0.0, 3, None)


@pytest.mark.parametrize("values", [[], [0.99, math.nan], [math.inf]])
def test_values_that_cannot_be_summarised_are_refused(values: list[float]) -> None:
    with pytest.raises(RequestError):
        summarise(values)


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
    assert (found.mean, found.sd) == pytest.approx(((b - a).mean(), stats.tstd(b - a)))


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


# --- how many seeds ----------------------------------------------------------------------------------------------


def seen(effect: float) -> PairedDifference:
    """An observation with this many standard deviations of difference."""
    return PairedDifference(effect * 0.0003, 0.0003, 5, (-1.0, 1.0), 0.5)


@pytest.mark.parametrize(("effect", "expected"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)])
def test_seeds_needed_are_those_of_the_power_tables(effect: float, expected: int) -> None:
    """The published numbers of pairs for power 0.8 at a two-sided level of 0.05."""
    assert seeds_needed(seen(effect)) == expected
    assert seeds_needed(seen(-effect)) == expected


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


# --- several comparisons -----------------------------------------------------------------------------------------


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


def test_a_family_of_identical_recipes_is_rarely_called_different(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three recipes against one baseline, all alike, in whole digits: all three verdicts must hold together."""
    monkeypatch.setattr(statistics, "seeds_needed", lambda difference, level: None)  # slow, and not asked for here
    random, tries = np.random.default_rng(33), 400
    names = ["none", "a", "b", "c"]
    shared = random.normal(0.995, 0.0005, (tries, 1, 3))
    experiments = np.round(shared + random.normal(0, 0.0003, (tries, 4, 3)), 4)
    wrong = unadjusted = 0
    for accuracies in experiments:
        found = dict(zip(names, map(by_seed, accuracies), strict=True))
        compared = conclude(found, [("none", name) for name in names[1:]]).compared
        wrong += any(one.verdict.is_different for one in compared)
        unadjusted += any((one.difference.p_value or 1) < LEVEL for one in compared)
    allowed = stats.binom.ppf(0.999, tries, LEVEL)
    assert wrong <= allowed < unadjusted  # the reason why the adjustment is made


# --- verdicts in words -------------------------------------------------------------------------------------------


def test_verdict_names_the_better_one() -> None:
    found = verdict("2-layer", "3-layer", difference_of(0.14, 0.10, 0.18, 0.15, 0.13))
    facts = "3-layer minus 2-layer: +0.14 points (95 % interval +0.10 to +0.18), 5 seeds, p < 0.001."
    assert found == Verdict("3-layer is more accurate than 2-layer.", True, facts)
    reverse = verdict("3-layer", "2-layer", difference_of(-0.14, -0.10, -0.18, -0.15, -0.13))
    facts = "2-layer minus 3-layer: −0.14 points (95 % interval −0.18 to −0.10), 5 seeds, p < 0.001."
    assert reverse == Verdict("3-layer is more accurate than 2-layer.", True, facts)


def test_verdict_says_how_many_seeds_would_be_needed() -> None:
    near = difference_of(0.08, 0.05, -0.02)
    assert verdict("2-layer", "3-layer", near) == Verdict(
        "2-layer and 3-layer can't be told apart with 3 seeds.",
        False,
        "3-layer minus 2-layer: +0.04 points (95 % interval −0.09 to +0.16), 3 seeds, "
        f"p = {near.p_value:.3f}. If it is what it looks like, about 18 seeds would find it in 4 of 5 tries.",
    )
    far = verdict("a", "b", difference_of(0.11, -0.1, 0.01)).facts
    assert far.endswith("more than 1,000 seeds would find it in 4 of 5 tries.")
    assert "would find" not in verdict("a", "b", difference_of(0.1, -0.1)).facts


def test_verdict_of_one_seed() -> None:
    assert verdict("2-layer", "3-layer", difference_of(0.1)) == Verdict(
        "With one seed nothing can be concluded.",
        None,
        "3-layer minus 2-layer: +0.10 points, one seed, so there is no interval; it takes several, 5 or so.",
    )


def test_verdict_without_spread() -> None:
    assert verdict("a", "b", difference_of(0.0, 0.0, 0.0)) == Verdict(
        "a and b can't be told apart with 3 seeds.",
        False,
        "b minus a: 0 points with each of 3 seeds: they have the same accuracy.",
    )
    assert verdict("a", "b", difference_of(-0.01, -0.01)) == Verdict(
        "a and b can't be told apart with 2 seeds.",
        None,
        "b minus a: −0.01 points with each of 2 seeds; without any spread no interval can be given: use more seeds.",
    )
    assert verdict("a", "b", difference_of(*[-0.01] * 6)) == Verdict(
        "a is more accurate than b.",
        True,
        "b minus a: −0.01 points with each of 6 seeds (sign test p = 0.031); without any spread there is no interval.",
    )


def test_rounding_never_hides_on_which_side_of_zero_an_interval_lies() -> None:
    """The numbers as they are printed lead to the verdict that is given."""
    random = np.random.default_rng(5)
    kinds = set()
    for scale, _ in itertools.product((0.0003, 0.003, 0.03, 0.3), range(60)):
        difference = difference_of(*random.normal(2.5 * scale, 2 * scale, 4))
        found = verdict("a", "b", difference)
        printed = re.search(r"([+−.\d]+) points.* interval ([+−.\d]+) to ([+−.\d]+)", found.facts)
        assert printed
        lead, low, high = (float(number.replace("−", "-")) for number in printed.groups())
        assert (low > 0 or high < 0) == found.is_different == ((difference.p_value or 0.0) < LEVEL)
        assert low < lead < high
        assert 0 not in (lead, low, high)
        kinds.add(found.is_different)
    assert kinds == {True, False}


# --- an experiment -----------------------------------------------------------------------------------------------

FOUND = {
    "plain": {0: 0.990, 1: 0.991, 2: 0.989, 3: 0.990, 4: 0.992},
    "augmented": {0: 0.993, 1: 0.994, 2: 0.9925, 3: 0.993, 4: 0.9945},
    "slow": {0: 0.9905, 1: 0.990, 2: 0.9895, 3: 0.9905, 4: 0.9918},
}
PAIRS = [("plain", "augmented"), ("plain", "slow")]


def test_a_conclusion_is_ready_for_json_and_its_numbers_are_those_of_scipy() -> None:
    content = json.loads(json.dumps(conclude(FOUND, PAIRS).to_dict()))
    plain, augmented = (list(FOUND[name].values()) for name in ("plain", "augmented"))
    assert content["variants"]["plain"]["test_accuracy_by_seed"]["3"] == 0.99
    assert content["variants"]["plain"]["mean"] == pytest.approx(np.mean(plain))
    first, second = content["comparisons"]
    expected = stats.ttest_rel(augmented, plain)
    assert first["p_value"] == pytest.approx(expected.pvalue)
    assert first["interval"] == pytest.approx(list(expected.confidence_interval(0.95)))
    assert (first["is_different"], second["is_different"]) == (True, False)


def test_all_comparisons_are_counted_in_every_verdict() -> None:
    by_variant = {
        "none": [0.980, 0.981, 0.982],
        "some": [0.990, 0.993, 0.989],
        "other": [0.981, 0.980, 0.982],
        "more": [0.979, 0.983, 0.981],
    }
    alone = stats.ttest_rel(by_variant["some"], by_variant["none"]).pvalue
    assert alone < 0.05 < 3 * alone
    found = {name: dict(enumerate(values)) for name, values in by_variant.items()}
    conclusion = conclude(found, [("none", name) for name in ("some", "other", "more")])
    first = conclusion.compared[0]
    assert [one.verdict.is_different for one in conclusion.compared] == [False, False, False]
    assert first.p_adjusted == pytest.approx(3 * alone)
    assert first.verdict.sentence == "none and some can't be told apart with 3 seeds."
    assert f"p = {alone:.3f}, but p = {3 * alone:.3f} with all 3 comparisons counted (Holm)." in first.verdict.facts
    assert f"about {seeds_needed(first.difference, level=LEVEL / 3)} seeds would find it" in first.verdict.facts
    short = conclusion.sentences
    assert short[0] == "None of the 3 comparisons found a difference that is more than chance."
    assert short[1].startswith("Not distinguishable: some minus none +0.97 points (95 % interval +0.")
    # The interval alone leaves out zero; with all counted, no difference is possible as well.
    assert first.difference.interval is not None
    assert first.difference.interval[0] > 0.001
    assert grade("some > none by 0.1", conclusion).endswith("but there may just as well be no difference at all.")
    # On certain digits: the sentence says on which, and is about the variants.
    parts = {name: (name.upper(), "large digits") for name in found}
    (one,) = conclude(found, [("none", "some")], parts).compared
    assert one.title == "large digits: SOME minus NONE"
    assert one.verdict.sentence == "Large digits: SOME is more accurate than NONE."
    assert one.verdict.facts.startswith("Large digits: SOME minus NONE: +0.97 points (95 % interval ")


def test_the_headline_is_short_and_the_numbers_are_below() -> None:
    """One sentence on all comparisons, whatever their number; what one seed shows is never a conclusion."""
    conclusion = conclude(FOUND, PAIRS)
    headline, *numbers = conclusion.sentences
    assert headline == "augmented is more accurate than plain; plain and slow can't be told apart with 5 seeds."
    assert numbers == [one.verdict.facts for one in conclusion.compared]
    assert all(re.search(r"points \(95 % interval .*, 5 seeds, p ", facts) for facts in numbers)
    single = {name: {0: by_seed[0]} for name, by_seed in FOUND.items()}
    for pairs in (PAIRS, [*PAIRS, ("slow", "augmented")]):
        headline, *numbers = conclude(single, pairs).sentences
        assert headline == "With one seed nothing can be concluded."
        assert "augmented minus plain" in numbers[0]


def test_what_failed_is_left_out_and_what_shares_no_seed_is_passed_over() -> None:
    conclusion = conclude({"plain": FOUND["plain"], "augmented": {}, "slow": {9: 0.9}}, PAIRS)
    assert list(conclusion.summaries) == ["plain", "slow"]
    assert not conclusion.compared
    assert conclusion.sentences == []
    (common,) = conclude({"plain": FOUND["plain"], "augmented": {4: 0.9945, 0: 0.993, 7: 0.5}}, PAIRS).compared
    assert common.difference == paired_difference({0: 0.990, 4: 0.992}, {0: 0.993, 4: 0.9945})


# --- predictions -------------------------------------------------------------------------------------------------

NETWORKS = ("1-layer", "2-layer", "3-layer, augmented", "dropout 0.5")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2-layer > 1-layer by 0.5", ("2-layer", "1-layer", 0.5)),
        ("  2-Layer>1-layer  by .5 points", ("2-layer", "1-layer", 0.5)),
        ("1-layer > 3-layer, augmented", ("1-layer", "3-layer, augmented", None)),
        ("2-layer = 1-layer", ("2-layer", "1-layer", 0.0)),
        ("2-layer > 1-layer by 0", ("2-layer", "1-layer", 0.0)),
        ("2-layer > dropout 0.5 by 0.1 %", ("2-layer", "dropout 0.5", 0.1)),
        *[(text, None) for text in (
            "", "2-layer", "2-layer > 4-layer", "2-layer > 2-layer", "2-layer = 1-layer by 0.5",
            "2-layer > 1-layer by 99",
            "2-layer > 1-layer by -1", "2-layer > 1-layer by nan", "2-layer > 1-layer by 0,5", "2-layer wins by 0.3",
        )],
    ],
)  # fmt: skip
def test_predictions_are_understood_or_free_text(text: str, expected: tuple[str, str, float | None] | None) -> None:
    assert parse_prediction(text, NETWORKS) == expected


CLEAR = (0.14, 0.10, 0.18, 0.15, 0.13)  # interval 0.10 to 0.18
NOISE = (0.08, 0.05, -0.02)  # interval −0.09 to +0.16


@pytest.mark.parametrize(
    ("text", "points", "expected"),
    [
        ("b > a by 0.15", CLEAR, "well predicted, it lies inside the interval."),
        ("b > a by 0.5", CLEAR, "the right direction, but too large."),
        ("b > a by 0.1", CLEAR, "(95 % interval +0.104 to +0.176): the right direction, but too small."),
        ("a > b by 0.15", CLEAR, "found a minus b −0.14 points (95 % interval −0.18 to −0.10): "
         "it came out the other way round."),
        ("b = a", CLEAR, "Predicted no difference, found b minus a +0.14 points (95 % interval +0.10 to +0.18): "
         "there is one."),
        ("b > a", CLEAR, ": right."),
        ("b > a by 0.1", NOISE, "it may be so, but there may just as well be no difference at all."),
        ("b > a by 0.5", NOISE, "too large, and which of the two is ahead is not decided."),
        ("a = b", NOISE, "nothing contradicts it, though that is no proof."),
        ("a > b", NOISE, "not decided yet, 3 seeds can't tell the two apart."),
        ("b > a", (0.1,), "can't be graded, as with one seed no interval can be given."),
        ("b > a", (0.1, 0.1), "can't be graded, as without any spread no interval can be given."),
        ("b > a", (0.1,) * 6, ": right."),
        ("b > a by 0.1", (0.1,) * 6, "as without any spread no interval can be given."),
        ("b wins", CLEAR, "It was not understood as one about the variants of this experiment, so judge for yourself."),
    ],
)  # fmt: skip
def test_a_prediction_is_graded_whichever_way_it_is_compared(
    text: str, points: tuple[float, ...], expected: str
) -> None:
    a = np.linspace(0.98, 0.99, len(points))
    found = {"a": by_seed(a), "b": by_seed(a + np.array(points) / 100)}
    said = grade(text, conclude(found, [("a", "b")]))
    assert said.endswith(expected)
    turned = grade(text, conclude(found, [("b", "a")]))
    assert turned.split("): ")[-1] == said.split("): ")[-1]


def test_what_is_not_compared_is_not_graded() -> None:
    assert grade("augmented > slow", conclude(FOUND, PAIRS)).startswith("The experiment does not compare these two")
    assert grade("augmented > slow", conclude(FOUND, [])).startswith("Nothing is compared in this experiment")


DECIDED = (": right.", "the other way round.", "the right direction", "well predicted", ": there is one.")


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_a_grade_never_contradicts_the_verdict_beside_it(seeds: int) -> None:
    generator = np.random.default_rng(seeds)
    met: set[bool | None] = set()
    for _ in range(60):
        effects = generator.choice([0.0, 0.0005, 0.002, 0.01], size=4)
        spread = generator.choice([0.0, 0.0002, 0.002])
        names = ["none", "some", "more", "most"]
        by_variant = {
            name: {seed: round(0.98 + effect + generator.normal(0, spread), 4) for seed in range(seeds)}
            for name, effect in zip(names, effects, strict=True)
        }
        conclusion = conclude(by_variant, [("none", name) for name in names[1:]])
        for pair in conclusion.compared:
            is_different = pair.verdict.is_different
            for words in (
                f"{pair.after} > none",
                f"none > {pair.after}",
                f"none = {pair.after}",
                f"{pair.after} > none by {generator.choice([0.02, 0.1, 1.0])}",
            ):
                outcome = grade(words, conclusion)
                assert any(grade in outcome for grade in DECIDED) == bool(is_different)
                assert ("more accurate than" in pair.verdict.sentence) == bool(is_different)
            ahead = pair.after if pair.difference.mean > 0 else "none"
            assert grade(f"{ahead} > {'none' if ahead != 'none' else pair.after}", conclusion).endswith(": right.") == (
                bool(is_different)
            )
            met.add(is_different)
    assert {True, False} <= met
