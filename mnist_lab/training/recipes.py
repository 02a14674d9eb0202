"""Saved runs by recipe: configurations that differ in their seed only are one recipe, tried several times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mnist_lab.config import TrainConfig
from mnist_lab.errors import RequestError
from mnist_lab.terminal.wording import describe_recipe, letters
from mnist_lab.training.runs import Run


@dataclass(frozen=True)
class Recipe:
    """A recipe, and the runs that were made with it.

    Attributes:
        name: tells it from the others that it is compared with.
        config: of its first run.
        runs: by seed.
    """

    name: str
    config: TrainConfig
    runs: Mapping[int, Run]

    def network(self, seed: int) -> str:
        """What one of its networks is called."""
        return f"{self.name}, seed {seed}"


def recipes_of(runs: Sequence[Run]) -> list[Recipe]:
    """The recipes of some runs, in the order in which they first appear; equal names get a letter each.

    Raises:
        RequestError: a run's configuration can't be used.
    """
    groups = by_recipe(runs)
    configs = [next(iter(by_seed.values())).config.canonical for by_seed in groups]
    names = told_apart([describe_recipe(config.model, augmented=config.augment is not None) for config in configs])
    return [Recipe(*parts) for parts in zip(names, configs, groups, strict=True)]


def by_recipe(runs: Sequence[Run]) -> list[dict[int, Run]]:
    """The runs of each recipe by their seeds, in the order in which they first appear.

    Of several runs with one recipe and one seed a single one counts, a finished one if there is any, and of these the
    newest: they are the same training again, and would make the spread look smaller than it is.
    """
    groups: dict[object, dict[int, Run]] = {}
    for run in runs:
        by_seed = groups.setdefault(recipe_key(run), {})
        same = (by_seed.get(run.seed, run), run)
        by_seed[run.seed] = max(same, key=lambda run: (run.status == "finished", run.created, run.name))
    return list(groups.values())


def recipe_key(run: Run) -> object:
    """What runs of one recipe have in common: the same training, but for the seed, on the same split of the data."""
    try:
        return replace(run.config, seed=0).canonical, str(run.split_fingerprint)
    except RequestError:
        return run.folder  # nobody knows what it was made with


def told_apart(names: Sequence[str]) -> list[str]:
    """The names; those that occur more than once with the letters a, b, c ... after them."""
    total, seen, found = Counter(names), Counter[str](), []
    for name in names:
        found.append(f"{name} {letters(seen[name])}" if total[name] > 1 else name)
        seen[name] += 1
    return found
