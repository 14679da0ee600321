"""Hand-classified pixels of glaciers (USGS benchmark glaciers): spectra without an image.

A network needs surroundings. Here every spectrum fills a block of 32 x 32 px, whose middle is labelled, among
blocks of the same class, glacier and day. That shows how a model judges a spectrum, not how it maps a
glacier, so the blocks are only for tests.

The table of L1C is not used: its column B11 is that of B10 (the cirrus band is near 0 over bare rock).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.chip_files import Chip
from training.labels import FULL, IGNORED
from training.real.chip import optical_chip

LICENCE = "MIT (RaineyAbe/glacier-snow-cover-mapping)"
COLUMNS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
#: name of each class
CLASSES = {1: "snow", 2: "shadowed snow", 3: "ice", 4: "rock", 5: "proglacial lake"}
WATER = 5
#: prefix of the class of ground of these chips
POINTS = "points: "
#: edge of a block and of its labelled middle, px; blocks along the edge of a chip
BLOCK, MIDDLE, ACROSS = 32, 16, 7


def chips(samples: Path) -> Iterator[Chip]:
    """A chip of up to 49 blocks for every class, glacier and day in `samples`/real/glacier_points_usgs."""
    table = pd.read_csv(samples / "real" / "glacier_points_usgs" / "Sentinel-2_SR_training_data.csv")
    table = table.dropna(subset=list(COLUMNS))
    for key, points in table.groupby(["site_name", "image_date", "class"]):
        site, day, number = str(key[0]), str(key[1]), int(str(key[2]))
        wanted = np.linspace(0, len(points) - 1, min(len(points), ACROSS**2)).round().astype(int)
        optical, labels = blocks(points[list(COLUMNS)].to_numpy(np.float32)[wanted] * 10000)
        labels[labels == 0] = FULL if number == WATER else 0
        yield optical_chip(
            f"glacier points {site} {day} {CLASSES[number]}",
            optical,
            labels,
            place=f"glacier {site}",
            ground=POINTS + CLASSES[number],
            source="USGS benchmark glaciers, hand-classified pixels of Sentinel-2 L2A",
            licence=LICENCE,
            day=datetime.strptime(day, "%Y%m%d").date(),
            split="test",
        )


def blocks(spectra: NDArray[np.float32]) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Optical bands (12, H, W) of spectra (n, 12) in blocks, repeated to fill the chip; labels (H, W).

    The labels are 0 in the middle of the first n blocks, IGNORED elsewhere.
    """
    filled = spectra[np.arange(ACROSS**2) % len(spectra)].reshape(ACROSS, ACROSS, -1)
    optical = np.moveaxis(filled.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1), -1, 0)
    one = np.full((BLOCK, BLOCK), IGNORED, np.uint8)
    edge = (BLOCK - MIDDLE) // 2
    one[edge : edge + MIDDLE, edge : edge + MIDDLE] = 0
    labels = np.tile(one, (ACROSS, ACROSS))
    number = np.arange(ACROSS**2).reshape(ACROSS, ACROSS).repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    labels[number >= len(spectra)] = IGNORED
    return optical.astype(np.float16), labels
