"""The data: MNIST and its split, loading, augmentation, pen strokes."""

from pathlib import Path

MNIST_FOLDER = Path(__file__).parent / "idx"


def mnist_is_there(folder: Path = MNIST_FOLDER) -> bool:
    """Whether the four files are in their folder; their content is checked when they are read."""
    return len(list(folder.glob("*-ubyte.gz"))) == 4
