"""From a stack to what the cube keeps of a tile: probability, mask, reason and index of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from monitor.grid import WGS84, Tile, reproject
from monitor.stack.acquire import Stack
from monitor.stack.index import index_of
from segmenter.protocol import Segmenter
from storage.codes import NO_ELEVATION, Reason

#: `mask` where there is no answer
NO_ANSWER = 255


@dataclass(frozen=True)
class Prediction:
    """Layers of one tile and season, each (size, size)."""

    #: float32, probability of water, NaN where there is no valid view
    probability: NDArray[np.float32]
    #: float32, standard deviation of that probability, NaN where it is
    uncertainty: NDArray[np.float32]
    #: uint8, 1 water, 0 dry, NO_ANSWER
    mask: NDArray[np.uint8]
    #: uint8, storage.codes.Reason
    reason: NDArray[np.uint8]
    #: int16, day of the year of the look that was used, 0 where none
    day_of_year: NDArray[np.int16]
    #: uint8, monitor.stack.index.Index
    index: NDArray[np.uint8]
    #: int16, metres of the DEM, NO_ELEVATION where there is none
    elevation: NDArray[np.int16]

    @property
    def observed(self) -> bool:
        """Whether any pixel of the tile was seen at all."""
        return bool((self.mask != NO_ANSWER).any())


def segment(
    stack: Stack,
    segmenter: Segmenter,
    tile: Tile,
    halo: int,
    zone: BaseGeometry,
    reach: BaseGeometry | None = None,
) -> Prediction:
    """Predict the tile's core; `zone` (EPSG:4326) is where a lake counts, the rest is OUTSIDE.

    What lies beyond `reach` (all of the tile without it) is not predicted.
    """
    answer = segmenter.predict(
        stack.optical,
        stack.radar,
        stack.dem,
        row=tile.row - halo,
        col=tile.col - halo,
        halo=halo,
        wanted=None if reach is None else inside(reach, tile),
    )
    probability = answer.probability
    core = np.s_[halo:-halo, halo:-halo] if halo else np.s_[:, :]
    valid = np.isfinite(probability)
    water = valid & (np.nan_to_num(probability) >= segmenter.manifest.threshold)
    reason = np.full(probability.shape, Reason.NODATA, np.uint8)
    reason[stack.cloud[core]] = Reason.CLOUD
    reason[valid] = Reason.DRY
    reason[valid & (stack.shadow | stack.layover)[core]] = Reason.SHADOW
    reason[valid & stack.snow[core]] = Reason.SNOW
    reason[water] = Reason.WATER
    reason[~inside(zone, tile)] = Reason.OUTSIDE
    opinion = index_of(stack.optical, stack.radar, stack.dem, stack.snow, stack.shadow)
    return Prediction(
        probability=probability,
        uncertainty=answer.uncertainty,
        mask=np.where(valid, water, NO_ANSWER).astype(np.uint8),
        reason=reason,
        day_of_year=stack.day_of_year[core],
        index=opinion[core],
        elevation=np.nan_to_num(np.round(stack.dem[core]), nan=NO_ELEVATION).astype(np.int16),
    )


def inside(area: BaseGeometry, tile: Tile) -> NDArray[np.bool_]:
    """Pixels (size, size) whose middle lies in `area` (EPSG:4326)."""
    from rasterio.features import geometry_mask

    geobox = tile.geobox()
    shape = reproject(area, WGS84, tile.epsg)
    if shape.is_empty:
        return np.zeros((tile.size, tile.size), bool)
    return np.asarray(geometry_mask([shape], (tile.size, tile.size), geobox.affine, invert=True))
