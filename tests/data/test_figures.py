"""The data view: what its pictures show of the real digits."""

from __future__ import annotations

import numpy as np

from mnist_lab.data.figures import data_pictures
from mnist_lab.data.mnist import Mnist
from mnist_lab.data.pixels import SIDE

VISIBLE = 0.02
"""Mean change of a pixel, ink from 0 to 1, in a row whose augmentation can be seen."""


def test_every_augmentation_can_be_seen(mnist: Mnist) -> None:
    axes = dict(data_pictures(mnist))["augmentation.png"].axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    mosaic = np.asarray(axes.images[0].get_array())
    rows = mosaic.reshape(len(names), SIDE, -1)
    before, changes = rows[0], {}
    for name, row in zip(names, rows, strict=True):
        if name == "original":
            before = row
        else:
            changes[name] = float(np.abs(row - before).mean())
    assert {name.split("\n")[0].split(",")[0] for name in changes} == {
        *("rotation", "shift", "scale", "shear", "elastic", "thickness", "erasing", "strokes", "the usual mix"),
    }
    assert min(changes.values()) > VISIBLE, changes
