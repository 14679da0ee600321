"""Lakes drawn from predicted maps as the product draws them, beside the lakes that were simulated."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

from monitor.error import area_errors
from monitor.grid import WGS84
from monitor.segment import NO_ANSWER
from monitor.vectorise import GEOD, TileMap, vectorise
from segmenter.protocol import Answer
from training.calibration import CLASSES_M2, Areas
from training.labels import IGNORED, coverage, outlines, read_lakes
from training.scenes import Scene
from training.scores import HALF

#: least true area of a lake that is compared, m2
SMALLEST_M2 = CLASSES_M2[0]
#: share of a lake's water that must be judged: a lake cut by a cloud has no area to compare
WHOLLY = 0.99


@dataclass(frozen=True)
class Drawn:
    """What became of the lakes of one scene."""

    areas: Areas
    #: true lakes wholly seen, and those of which at least half was mapped
    lakes: int = 0
    found: int = 0

    def __add__(self, other: Drawn) -> Drawn:
        return Drawn(self.areas + other.areas, self.lakes + other.lakes, self.found + other.found)


def draw(answer: Answer, scene: Scene, threshold: float, smallest_m2: float) -> Drawn:
    """Map the lakes of `scene` with the product's own drawing and errors, and match them with the truth.

    Compared are simulated lakes of at least a hectare, wholly seen and at least half mapped, each with the
    mapped lake that holds most of it.
    """
    tile_map = _tile_map(answer, scene, threshold)
    found = vectorise([tile_map], scene.tile.footprint(margin=1), smallest_m2)
    true = _wholly_seen(scene)
    if true.empty or found.empty:
        return Drawn(Areas.nothing(), len(true))
    errors = area_errors([tile_map], found)
    common = shapely.area(
        shapely.intersection(
            true.geometry.to_numpy()[:, None], found.geometry.to_crs(true.crs).to_numpy()[None]
        )
    )
    here = common.sum(axis=1) >= HALF * true.area.to_numpy()
    best = common.argmax(axis=1)[here]
    areas = Areas(
        _geodesic(true.geometry)[here],
        found.area_m2.to_numpy(float)[best],
        errors.shoreline_m2.to_numpy(float)[best],
        errors.model_m2.to_numpy(float)[best],
    )
    return Drawn(areas, len(true), int(here.sum()))


def _tile_map(answer: Answer, scene: Scene, threshold: float) -> TileMap:
    """The answer as the cube would hold it; dates and index play no part in areas."""
    seen = np.isfinite(answer.probability)
    water = seen & (np.nan_to_num(answer.probability) >= threshold)
    nothing = np.zeros(seen.shape, np.uint8)
    return TileMap(
        tile=scene.tile,
        probability=answer.probability,
        uncertainty=answer.uncertainty,
        mask=np.where(seen, water, NO_ANSWER).astype(np.uint8),
        reason=nothing,
        day_of_year=nothing.astype(np.int16),
        index=nothing,
    )


def _wholly_seen(scene: Scene) -> geopandas.GeoDataFrame:
    """Lakes under water of at least a hectare, inside the scene and judged in all their pixels (UTM)."""
    drawn = outlines(read_lakes(scene.archive), scene.season, "water")
    lakes = drawn[(drawn["kind"] == "lake") & (_geodesic(drawn.geometry) >= SMALLEST_M2)]
    inside = lakes[lakes.geometry.within(shapely.box(*scene.geobox.extent.boundingbox).buffer(-20.0))]
    judged = scene.labels != IGNORED
    return inside[[_share(shape, scene, judged) >= WHOLLY for shape in inside.geometry]]


def _share(shape: shapely.Geometry, scene: Scene, mask: NDArray[np.bool_]) -> float:
    """Share of the ground of `shape` (UTM) where `mask` (H, W) holds."""
    affine = ~scene.geobox.affine
    left, bottom, right, top = shape.bounds
    (col0, row0), (col1, row1) = affine @ (left, top), affine @ (right, bottom)
    rows, cols = slice(int(row0), int(row1) + 1), slice(int(col0), int(col1) + 1)
    cover = coverage([shape], scene.geobox[rows, cols])
    return float((cover * mask[rows, cols]).sum() / cover.sum())


def _geodesic(shapes: geopandas.GeoSeries) -> NDArray[np.float64]:
    """Areas on the ellipsoid, m2, as mapped lakes have them."""
    return np.array([abs(GEOD.geometry_area_perimeter(s)[0]) for s in shapes.to_crs(WGS84)], float)
