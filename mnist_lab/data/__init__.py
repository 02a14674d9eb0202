"""The data: MNIST and its split, loading, augmentation, pen strokes."""

from pathlib import Path

MNIST_FOLDER = Path(__file__).parent / "idx"


def mnist_is_there(folder: Path = MNIST_FOLDER) -> bool:
    """Whether the four files are in their folder; their content is checked when they are read."""
    return len(list(folder.glob("*-ubyte.gz"))) == 4


DOUBTFUL_TEST_LABELS = frozenset(
    (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)
)
"""Test digits, by index, whose label most people doubt (Northcutt, Athalye & Mueller 2021, arXiv:2103.14749)."""
