"""What an experiment found, as plain values: from accuracies by variant and seed to sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mnist_lab.experiments.predictions import grade_prediction, parse_prediction
from mnist_lab.experiments.statistics import PairedDifference, Summary, Verdict, paired_difference, summarise, verdicts

Accuracies = Mapping[str, Mapping[int, float]]
"""Test accuracy, a fraction, by variant and seed."""


@dataclass(frozen=True)
class Compared:
    """Two variants over the seeds that both have."""

    before: str
    after: str
    difference: PairedDifference  # after minus before
    verdict: Verdict


@dataclass(frozen=True)
class Conclusion:
    """Everything that an experiment's accuracies allow to say."""

    accuracies: Accuracies
    summaries: Mapping[str, Summary]
    compared: Sequence[Compared]

    @property
    def sentences(self) -> list[str]:
        """The verdicts, one for each pair."""
        return [as_sentence(compared.verdict.sentence) for compared in self.compared]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; accuracies are fractions."""
        return {
            "variants": {
                name: {"test_accuracy_by_seed": dict(self.accuracies[name]), **vars(summary)}
                for name, summary in self.summaries.items()
            },
            "comparisons": [
                {"before": pair.before, "after": pair.after, **vars(pair.difference), **vars(pair.verdict)}
                for pair in self.compared
            ],
        }


def conclude(accuracies: Accuracies, pairs: Sequence[tuple[str, str]]) -> Conclusion:
    """Sum up every variant, and compare the pairs over the seeds that both have.

    Args:
        accuracies: by variant and seed; a variant all of whose trainings failed is left out.
        pairs: (before, after); those of which one is left out, or that share no seed, are passed over.
    """
    present = {name: by_seed for name, by_seed in accuracies.items() if by_seed}
    possible = [(a, b) for a, b in pairs if a in present and b in present and present[a].keys() & present[b].keys()]
    found = [(a, b, paired_difference(present[a], present[b])) for a, b in possible]
    return Conclusion(
        accuracies=present,
        summaries={name: summarise(list(by_seed.values())) for name, by_seed in present.items()},
        compared=[
            Compared(before, after, difference, verdict)
            for (before, after, difference), verdict in zip(found, verdicts(found), strict=True)
        ],
    )


def judge_prediction(words: str, conclusion: Conclusion) -> str:
    """How what a learner wrote down beforehand came out, in a sentence for each pair that it is about.

    Args:
        words: as written; what can't be understood is kept, and not graded.
        conclusion: of the experiment.
    """
    prediction = parse_prediction(words, list(conclusion.summaries))
    if prediction is None:
        return "It was not understood as one about the variants of this experiment, so judge for yourself."
    if not conclusion.compared:
        return "Nothing is compared in this experiment, so judge for yourself."
    about = [pair for pair in conclusion.compared if prediction.names <= {pair.before, pair.after}]
    if not about:
        return "The experiment does not compare these two directly: their means stand in the table."
    sentences = (
        grade_prediction(prediction, pair.before, pair.after, pair.difference, pair.verdict.is_different)
        for pair in about
    )
    return " ".join(as_sentence(sentence[:1].upper() + sentence[1:]) for sentence in sentences)


def as_sentence(words: str) -> str:
    """With a full stop; variants' names keep their case."""
    return words if words.endswith((".", "!", "?")) else f"{words}."
