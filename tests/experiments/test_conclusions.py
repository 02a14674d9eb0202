"""From accuracies by variant and seed to sentences: what is compared, what is passed over, what is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from mnist_lab.experiments.conclusions import conclude, judge_prediction
from mnist_lab.experiments.study import p_explained, tell

FOUND = {
    "plain": {0: 0.990, 1: 0.991, 2: 0.989, 3: 0.990, 4: 0.992},
    "augmented": {0: 0.993, 1: 0.994, 2: 0.9925, 3: 0.993, 4: 0.9945},
    "slow": {0: 0.9905, 1: 0.990, 2: 0.9895, 3: 0.9905, 4: 0.9918},
}
PAIRS = [("plain", "augmented"), ("plain", "slow")]


def test_numbers_are_those_of_scipy() -> None:
    conclusion = conclude(FOUND, PAIRS)
    plain, augmented = (list(FOUND[name].values()) for name in ("plain", "augmented"))
    summary = conclusion.summaries["plain"]
    assert (summary.mean, summary.sd) == pytest.approx((np.mean(plain), np.std(plain, ddof=1)))
    expected = stats.ttest_rel(augmented, plain)
    difference = conclusion.compared[0].difference
    assert difference.p_value == pytest.approx(expected.pvalue)
    assert difference.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert [pair.verdict.is_different for pair in conclusion.compared] == [True, False]


def test_sentences_name_the_better_one_and_what_it_would_take_to_know() -> None:
    better, same = conclude(FOUND, PAIRS).sentences
    assert better.startswith("augmented is better than plain by 0.30 points (95 % interval 0.2")
    assert better.endswith("5 seeds).")
    assert "slow and plain are not distinguishable with 5 seeds" in same
    assert "would be needed" in same


def test_an_interval_without_zero_beside_nothing_found_is_explained() -> None:
    """Three comparisons: one that would be found alone, and two of nothing."""
    by_variant = {
        "none": [0.980, 0.981, 0.982],
        "some": [0.990, 0.993, 0.989],
        "other": [0.981, 0.980, 0.982],
        "more": [0.979, 0.983, 0.981],
    }
    alone = stats.ttest_rel(by_variant["some"], by_variant["none"])
    assert alone.pvalue < 0.05 < 3 * alone.pvalue
    found = {name: dict(enumerate(values)) for name, values in by_variant.items()}
    told = tell(conclude(found, [("none", name) for name in ("some", "other", "more")]), {})
    assert [one.pair.verdict.is_different for one in told] == [False, False, False]
    assert "Holm" in told[0].sentence
    assert "An interval is that of its comparison alone." in p_explained(told)
    assert "An interval is" not in p_explained(told[1:])


def test_what_failed_is_left_out_and_what_shares_no_seed_is_passed_over() -> None:
    found = {"plain": FOUND["plain"], "augmented": {}, "slow": {9: 0.9}}
    conclusion = conclude(found, PAIRS)
    assert list(conclusion.summaries) == ["plain", "slow"]
    assert conclusion.compared == []
    assert conclusion.sentences == []


def test_only_common_seeds_are_compared() -> None:
    conclusion = conclude({"plain": FOUND["plain"], "augmented": {0: 0.993, 4: 0.9945, 7: 0.5}}, PAIRS)
    assert conclusion.compared[0].difference.n == 2
    assert conclusion.compared[0].difference.mean == pytest.approx(0.00275)


def test_one_seed_has_no_interval_and_says_so() -> None:
    conclusion = conclude({"plain": {0: 0.99}, "augmented": {0: 0.995}}, PAIRS)
    (pair,) = conclusion.compared
    assert (pair.difference.interval, pair.verdict.is_different) == (None, None)
    assert "no interval can be given" in conclusion.sentences[0]


def test_everything_is_ready_for_json() -> None:
    content = json.loads(json.dumps(conclude(FOUND, PAIRS).to_dict()))
    assert content["variants"]["plain"]["test_accuracy_by_seed"]["3"] == 0.99
    assert content["comparisons"][0]["is_different"] is True


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("augmented wins by 0.3", "well predicted, it lies inside the interval."),
        ("augmented wins by 0.8", "the right direction, but too large."),
        ("plain beats augmented", "it came out the other way round."),
        ("augmented beats plain", ": right."),
        ("who knows", "It was not understood as one about the variants of this experiment, so judge for yourself."),
        ("augmented beats slow", "The experiment does not compare these two directly: their means stand in the table."),
    ],
)
def test_a_prediction_stands_beside_what_came_out(words: str, outcome: str) -> None:
    assert judge_prediction(words, conclude(FOUND, PAIRS)).endswith(outcome)


DECIDED = (": right.", "the other way round.", "the right direction", "well predicted", ": there is one.")


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_a_grade_never_contradicts_the_verdict_beside_it(seeds: int) -> None:
    generator = np.random.default_rng(seeds)
    met: set[bool | None] = set()
    for _ in range(150):
        effects = generator.choice([0.0, 0.0005, 0.002, 0.01], size=4)
        spread = generator.choice([0.0, 0.0002, 0.002])
        names = ["none", "some", "more", "most"]
        by_variant = {
            name: {seed: round(0.98 + effect + generator.normal(0, spread), 4) for seed in range(seeds)}
            for name, effect in zip(names, effects, strict=True)
        }
        conclusion = conclude(by_variant, [("none", name) for name in names[1:]])
        for pair in conclusion.compared:
            for words in (
                f"{pair.after} beats none",
                f"none beats {pair.after}",
                f"none = {pair.after}",
                f"{pair.after} beats none by {generator.choice([0.02, 0.1, 1.0])}",
            ):
                outcome = judge_prediction(words, conclusion)
                is_different = pair.verdict.is_different
                assert any(grade in outcome for grade in DECIDED) == bool(is_different)
                assert ("not distinguishable" in pair.verdict.sentence) == (is_different is False)
                met.add(is_different)
    assert {True, False} <= met
