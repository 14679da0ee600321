"""Coverage and cloud of each cell in each scene, measured on the scene classes.

The figure of the catalogue is the mean over a scene of 110 km and can differ much from that over a valley.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from monitor.archive.load import load_classes
from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import Scene
from monitor.errors import AssetError
from monitor.grid import CELL, NORTHING_ORIGIN, PIXEL, WGS84, Tile, reproject

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: Sen2Cor's scene classes (ESA L2A Algorithm Theoretical Basis Document)
NO_DATA, SATURATED, DARK, CLOUD_SHADOW, UNCLASSIFIED, SNOW = 0, 1, 2, 3, 7, 11
CLOUDS = (8, 9, 10)
#: pixels per sample: 160 m, read from an overview of the 20 m classes in one or two requests per scene
SAMPLE = 16
SAMPLES = CELL // SAMPLE
#: samples along the side of a cell at which a scene without classes is compared with its outline
OUTLINE_SAMPLES = 16


@dataclass(frozen=True)
class Samples:
    """Samples of a cell, the same places in every scene, as one bit each."""

    size: int
    #: which of them have data
    seen: int
    #: which of them have data without cloud; None where this is known for the scene only
    clear: int | None


@dataclass(frozen=True)
class Sky:
    """Coverage and cloud of one cell in one scene."""

    #: share of the cell that has data
    seen: float
    #: share of the seen part that is cloud; None where the catalogue has neither scene classes nor a figure
    cloud: float | None
    #: the samples of the cell; None where only the shares are known
    samples: Samples | None = field(default=None, compare=False, repr=False)


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
        shapely.prepare(scene.footprint)
        return {(scene.id, cell): _sky_by_outline(scene, cell) for cell in cells}
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
    clear = seen & ~np.isin(classes, CLOUDS)
    return Sky(float(seen.mean()), cloud, Samples(seen.size, _bits(seen), _bits(clear)))


def united(skies: Sequence[Sky]) -> Sky:
    """The sky of several scenes of one pass together, of which each shows a part of the cell.

    What two of them show counts once, and is clear where one of them is. Where only shares are known, so
    that it is unknown how far they overlap, the share seen is that of the largest.
    """
    if len(skies) == 1:
        return skies[0]
    weight = sum(sky.seen for sky in skies)
    clouds = [sky.seen * sky.cloud for sky in skies if sky.cloud is not None]
    cloud = sum(clouds) / weight if weight and len(clouds) == len(skies) else None
    known = [sky.samples for sky in skies if sky.samples is not None]
    if len(known) < len(skies):
        return Sky(max(sky.seen for sky in skies), cloud)
    seen = reduce(or_, (samples.seen for samples in known)).bit_count()
    clears = [samples.clear for samples in known if samples.clear is not None]
    if len(clears) == len(skies):
        cloud = 1 - reduce(or_, clears).bit_count() / seen if seen else 0.0
    return Sky(seen / known[0].size, cloud)


def _bits(flags: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(flags).tobytes())


def _sky_by_outline(scene: Scene, cell: Tile) -> Sky:
    """The sky of a scene without scene classes: the cell's part in its outline, and the catalogue's cloud."""
    at = (np.arange(OUTLINE_SAMPLES) + 0.5) * CELL / OUTLINE_SAMPLES * PIXEL
    x, y = np.meshgrid(cell.col * PIXEL + at, NORTHING_ORIGIN - cell.row * PIXEL - at)
    places = shapely.get_coordinates(
        reproject(shapely.multipoints(np.column_stack([x.ravel(), y.ravel()])), cell.epsg, WGS84)
    )
    seen = shapely.contains_xy(scene.footprint, places)
    cloud = None if scene.cloud_cover is None else scene.cloud_cover / 100
    return Sky(float(seen.mean()), cloud, Samples(seen.size, _bits(seen), None))


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
