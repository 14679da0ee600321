"""Areas of lakes mapped from predictions by the product's code, compared with the simulated lakes."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

from monitor.compute.layers import TileLayers
from monitor.grid import PIXEL, WGS84
from monitor.lakes.uncertainty import area_errors
from monitor.lakes.vectorise import GEOD, vectorise
from segmenter.protocol import Answer
from storage.codes import NO_ANSWER, NO_ELEVATION, Index, Reason
from training.calibration import CLASSES_M2, Areas
from training.labels import IGNORED, coverage, outlines, read_lakes
from training.scenes import LabelledStack
from training.scores import HALF

#: least true area of compared lakes, m2
SMALLEST_M2 = CLASSES_M2[0]
#: least labelled share of a compared lake; a lake cut by a cloud has no area to compare
WHOLLY = 0.99


@dataclass(frozen=True)
class Drawn:
    """True and mapped areas of the lakes of one scene; they add up over scenes."""

    #: each true lake with the mapped lake that covers most of it; two lakes mapped as one are both wrong
    alone: Areas
    #: each mapped lake with all the true water in it
    areas: Areas
    #: numbers of true lakes that were seen whole, of those mapped by at least half, and of those mapped as
    #: one
    #: with another lake
    lakes: int = 0
    found: int = 0
    joined: int = 0

    @classmethod
    def nothing(cls, lakes: int = 0) -> Drawn:
        return cls(Areas.nothing(), Areas.nothing(), lakes)

    def __add__(self, other: Drawn) -> Drawn:
        return Drawn(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def draw(answer: Answer, scene: LabelledStack, threshold: float, smallest_m2: float) -> Drawn:
    """Map the lakes of `scene` with the product's outlines and errors, and match them with the truth.

    Each simulated water body of which at least half is mapped is matched with the mapped lake that covers
    most of it. Compared are mapped lakes with at least a hectare of water, all of it of lakes that were seen
    whole: once with each of these lakes, and once with all of them together.
    """
    layers = _layers(answer, scene, threshold)
    found = vectorise([layers], scene.tile.footprint(margin=1), smallest_m2)
    true = _waters(scene, (scene.labels != IGNORED) & (answer.sources > 0))
    whole = true.whole.to_numpy(bool)
    lakes = whole & (true.area_m2.to_numpy() >= SMALLEST_M2)
    if true.empty or found.empty:
        return Drawn.nothing(int(lakes.sum()))
    errors = area_errors([layers], found)
    outlines_of_found = found.geometry.to_crs(true.crs).to_numpy()
    common = shapely.area(shapely.intersection(true.geometry.to_numpy()[:, None], outlines_of_found[None]))
    mapped = common.sum(axis=1) >= HALF * shapely.area(true.geometry.to_numpy())
    best = common.argmax(axis=1)
    held = mapped[:, None] & (best[:, None] == np.arange(len(found)))
    sums = true.area_m2.to_numpy() @ held
    fair = held.any(axis=0) & ~held[~whole].any(axis=0) & (sums >= SMALLEST_M2)
    single = lakes & mapped & fair[best]
    figures = [column.to_numpy(float) for column in (found.area_m2, errors.shoreline_m2, errors.model_m2)]
    return Drawn(
        areas=Areas(sums[fair], *(figure[fair] for figure in figures)),
        alone=Areas(true.area_m2.to_numpy()[single], *(figure[best[single]] for figure in figures)),
        lakes=int(lakes.sum()),
        found=int((lakes & mapped).sum()),
        joined=int((lakes & mapped & (held.sum(axis=0)[best] > 1)).sum()),
    )


def _layers(answer: Answer, scene: LabelledStack, threshold: float) -> TileLayers:
    """The prediction as layers of the cube; dates, reasons and index are not used for areas."""
    seen = np.isfinite(answer.probability)
    water = seen & (np.nan_to_num(answer.probability) >= threshold)
    return TileLayers.of(
        scene.tile,
        probability=answer.probability,
        uncertainty=answer.uncertainty,
        mask=np.where(seen, water, NO_ANSWER),
        reason=np.full(seen.shape, Reason.NODATA),
        day_of_year=np.zeros(seen.shape),
        index=np.full(seen.shape, Index.NODATA),
        elevation=np.full(seen.shape, NO_ELEVATION),
        sources=answer.sources,
    )


def _waters(scene: LabelledStack, labelled: NDArray[np.bool_]) -> geopandas.GeoDataFrame:
    """Water bodies of the season (UTM) with area_m2 (geodesic) and whole (a lake that was seen whole).

    Args:
        labelled: (H, W) pixels that are labelled and predicted.
    """
    drawn = outlines(read_lakes(scene.archive), scene.season, "water")
    inside = drawn.geometry.within(shapely.box(*scene.geobox.extent.boundingbox).buffer(-2 * PIXEL))
    seen = [
        lake and here and _share(shape, scene, labelled) >= WHOLLY
        for lake, here, shape in zip(drawn["kind"] == "lake", inside, drawn.geometry, strict=True)
    ]
    return drawn.assign(area_m2=_geodesic(drawn.geometry), whole=np.array(seen, bool))


def _share(shape: shapely.Geometry, scene: LabelledStack, mask: NDArray[np.bool_]) -> float:
    """Share of the area of `shape` (UTM) where `mask` (H, W) is True."""
    affine = ~scene.geobox.affine
    left, bottom, right, top = shape.bounds
    (col0, row0), (col1, row1) = affine @ (left, top), affine @ (right, bottom)
    rows, cols = slice(int(row0), int(row1) + 1), slice(int(col0), int(col1) + 1)
    cover = coverage([shape], scene.geobox[rows, cols])
    return float((cover * mask[rows, cols]).sum() / cover.sum())


def _geodesic(shapes: geopandas.GeoSeries) -> NDArray[np.float64]:
    """Areas on the ellipsoid, m2, as those of mapped lakes."""
    return np.array([abs(GEOD.geometry_area_perimeter(s)[0]) for s in shapes.to_crs(WGS84)], float)
