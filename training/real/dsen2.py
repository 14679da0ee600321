"""Samples of DSen2: L1C with bands of 10, 20 and 60 m on their own grids.

Order of the bands, found from their spectra over land and shallow water: B04 B03 B02 B08; B05 B06 B07 B8A B11
B12; B01 B09. The crops of the Gulf do not begin at one corner: by correlation with the bands of 10 m, those
of 20 m begin one pixel of 10 m before them, those of 60 m four rows and five columns, to about half a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import h5py
import numpy as np

from segmenter.manifest import OPTICAL_BANDS
from training.chip_files import Chip
from training.real.atmosphere import surface
from training.real.chip import optical_chip
from training.real.evidence import Floats, by_indices
from training.real.native import stretch

LICENCE = "CC-BY-4.0 (European Commission and ESA, by lanha/DSen2)"
ORDERS = {
    10: ("B04", "B03", "B02", "B08"),
    20: ("B05", "B06", "B07", "B8A", "B11", "B12"),
    60: ("B01", "B09"),
}
#: row and column at which the grids of the Gulf begin, pixels of 10 m
GULF_STARTS = {10: (0, 0), 20: (-1, -1), 60: (-4, -5)}


def chips(samples: Path) -> Iterator[Chip]:
    """The two scenes in `samples`/real/dsen2, of about 450 and of 600 px."""
    folder = samples / "real" / "dsen2"
    gulf = {
        metres: np.moveaxis(np.load(folder / f"data_{metres}.npy"), -1, 0).astype(np.float32)
        for metres in ORDERS
    }
    yield _chip("gulf", "gulf 50.6E 26.1N", None, on_one_grid(gulf, GULF_STARTS))
    with h5py.File(
        folder / "S2B_MSIL1C_20171022_T49JGM.mat"
    ) as file:  # (band, column, row), as MATLAB writes
        sea = {metres: np.swapaxes(np.asarray(file[f"im{metres}"], np.float32), 1, 2) for metres in ORDERS}
    starts = dict.fromkeys(ORDERS, (0, 0))
    yield _chip("49JGM", "western australia 49JGM", date(2017, 10, 22), on_one_grid(sea, starts))


def on_one_grid(bands: dict[int, Floats], starts: dict[int, tuple[int, int]]) -> Floats:
    """Reflectance x 10000 of L1C (12, H, W) on the grid of 10 m; pixels without all grids are left out."""
    shape = bands[10].shape[1:]
    planes = {
        name: band if metres == 10 else stretch(band, shape, metres // 10, starts[metres])
        for metres, order in ORDERS.items()
        for name, band in zip(order, bands[metres], strict=True)
    }
    optical = np.stack([planes[name] for name in OPTICAL_BANDS])
    complete = np.isfinite(optical).all(axis=0)
    return optical[:, complete.any(axis=1)][:, :, complete.any(axis=0)]


def _chip(name: str, place: str, day: date | None, toa: Floats) -> Chip:
    optical = surface(toa)
    return optical_chip(
        f"dsen2 {name}",
        optical,
        by_indices(optical),
        place=place,
        ground="desert",
        source="DSen2 samples, Sentinel-2 L1C",
        licence=LICENCE,
        day=day,
    )
