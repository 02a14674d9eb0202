"""The errors a user can cause. Each says what was found and what to do next, in one line."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches


class LabError(Exception):
    """A refused request: what is wrong, naming the file or value, and what the user can do about it."""

    def __init__(self, found: str, next_step: str) -> None:
        self.found = one_line(found)
        self.next_step = one_line(next_step)
        super().__init__(f"{self.found}; {self.next_step}")


class DataError(LabError):
    """A file of the embedded data set is missing, truncated or altered."""


class RequestError(LabError):
    """An option, name or value that the lab does not accept."""


class RunError(LabError):
    """A run that does not exist, is damaged, or can't be used for what was asked."""


class CheckpointError(LabError):
    """A model file that can't be loaded safely, or belongs to another network."""


class StorageError(LabError):
    """The disk refused: full, read-only, or a file where a folder should be."""


class LockedError(StorageError):
    """Another program is working on it."""


class TrainingError(LabError):
    """The training can't go on: its loss is no longer a finite number."""


def suggestion(word: object, choices: Iterable[object], otherwise: str = "") -> str:
    """What to do next after a word that is not one of some choices: the nearest one, or else all of them."""
    words = [str(choice) for choice in choices]
    close = get_close_matches(str(word).lower(), words, 2, cutoff=0.65)
    nearest = [one for one in close if not one.isdecimal() and one != word]
    is_like = [SequenceMatcher(None, one, str(word).lower()).ratio() for one in nearest]
    if nearest and len(set(is_like)) == len(nearest):  # of two that are as near, neither is meant for sure
        return f"did you mean {nearest[0]}?"
    return otherwise or f"choose one of {', '.join(words)}"


def one_line(text: str) -> str:
    """Text with its line breaks, as messages of the operating system may hold, folded into single spaces."""
    return " ".join(text.split())
