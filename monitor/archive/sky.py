"""Coverage and cloud of each cell in each scene, measured on the scene classes.

The figure of the catalogue is the mean over a scene of 110 km and can differ much from that over a valley.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from monitor.archive.load import load_classes
from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import Scene
from monitor.errors import AssetError
from monitor.grid import CELL, NORTHING_ORIGIN, PIXEL, Tile

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: Sen2Cor's scene classes (ESA L2A Algorithm Theoretical Basis Document)
NO_DATA, SATURATED, DARK, CLOUD_SHADOW, SNOW = 0, 1, 2, 3, 11
CLOUDS = (8, 9, 10)
#: pixels per sample: 160 m, read from an overview of the 20 m classes in one or two requests per scene
SAMPLE = 16
SAMPLES = CELL // SAMPLE


@dataclass(frozen=True)
class Sky:
    """Coverage and cloud of one cell in one scene."""

    #: share of the cell that has data
    seen: float
    #: share of the seen part that is cloud; None where the catalogue has neither scene classes nor a figure
    cloud: float | None


#: by scene id and cell: the sky, or the error of a file that cannot be read
Skies = dict[tuple[str, Tile], Sky | AssetError]


def measure(
    scenes: Sequence[Scene],
    profile: CatalogProfile,
    cells: Iterable[Tile],
    done: Callable[[], None] = lambda: None,
) -> Skies:
    """The sky of every scene over every cell that it touches; `done` is called after each scene."""
    grounds = [(cell, cell.footprint()) for cell in cells]
    outlines = np.array([ground for _, ground in grounds])

    def look(scene: Scene) -> Skies:
        touched = shapely.intersects(scene.footprint, outlines)
        found = _sky(scene, profile, [cell for (cell, _), hit in zip(grounds, touched, strict=True) if hit])
        done()
        return found

    pool = ThreadPoolExecutor(profile.connections)
    try:
        return {key: sky for found in pool.map(look, scenes) for key, sky in found.items()}
    finally:
        # after Ctrl-C a server that does not answer is not waited for
        pool.shutdown(wait=False, cancel_futures=True)


def _sky(scene: Scene, profile: CatalogProfile, cells: Sequence[Tile]) -> Skies:
    if profile.optical.scene_classes is None:
        cloud = None if scene.cloud_cover is None else scene.cloud_cover / 100
        return {(scene.id, cell): Sky(1.0, cloud) for cell in cells}
    found: Skies = {}
    for epsg in sorted({cell.epsg for cell in cells}):
        mine = [cell for cell in cells if cell.epsg == epsg]
        geobox, places = _samples(mine)
        try:
            classes = load_classes(scene, profile, geobox).to_numpy()
        except AssetError as error:
            found |= {(scene.id, cell): error.detached() for cell in mine}
            continue
        found |= {(scene.id, cell): sky_of(classes[places[cell]]) for cell in mine}
    return found


def sky_of(classes: NDArray[np.uint8]) -> Sky:
    """The sky of scene classes (H, W)."""
    seen = classes != NO_DATA
    cloud = float(np.isin(classes[seen], CLOUDS).mean()) if seen.any() else 0.0
    return Sky(float(seen.mean()), cloud)


def _samples(cells: Sequence[Tile]) -> tuple[GeoBox, dict[Tile, tuple[slice, slice]]]:
    """One coarse GeoBox around cells of a zone, and the window of each cell in it."""
    from odc.geo.geobox import GeoBox

    top, left = min(cell.row for cell in cells), min(cell.col for cell in cells)
    places = {}
    for cell in cells:
        row, col = (cell.row - top) // SAMPLE, (cell.col - left) // SAMPLE
        places[cell] = np.s_[row : row + SAMPLES, col : col + SAMPLES]
    height = max(rows.stop for rows, _ in places.values())
    width = max(cols.stop for _, cols in places.values())
    pixel = PIXEL * SAMPLE
    affine = Affine(pixel, 0, left * PIXEL, 0, -pixel, NORTHING_ORIGIN - top * PIXEL)
    return GeoBox((height, width), affine, f"EPSG:{cells[0].epsg}"), places
