"""The data: MNIST and its split, loading, augmentation, pen strokes."""

from collections.abc import Iterable
from pathlib import Path

MNIST_FOLDER = Path(__file__).parent / "idx"


def mnist_is_there(folder: Path = MNIST_FOLDER) -> bool:
    """Whether the four files are in their folder; their content is checked when they are read."""
    return len(list(folder.glob("*-ubyte.gz"))) == 4


DOUBTFUL_TEST_LABELS = frozenset(
    (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)
)
"""Test digits, by index, whose label most people doubt (Northcutt, Athalye & Mueller 2021, arXiv:2103.14749)."""


def doubt_mark(index: int) -> str:
    """What follows a test digit's index wherever one is shown: a † if most people doubt its label, else nothing."""
    return "†" if index in DOUBTFUL_TEST_LABELS else ""


def doubt_note(indices: Iterable[int]) -> str:
    """What the † means, for the foot of a figure or a page; empty if none of these test digits has it."""
    is_marked = not DOUBTFUL_TEST_LABELS.isdisjoint(map(int, indices))
    return "† Most people doubt this label (Northcutt et al. 2021, labelerrors.com)." if is_marked else ""
