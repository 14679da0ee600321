"""The layers of a tile from its stack: probability, mask, reason and index of each pixel."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from monitor.archive.profiles import S1_BANDS, S2_BANDS
from monitor.compute.layers import TileLayers
from monitor.grid import WGS84, Tile, reproject
from monitor.stack.dataset import planes
from monitor.stack.index import index_of
from segmenter.inputs import refuse_unanswered
from segmenter.protocol import Segmenter, TileArrays
from storage.codes import NO_ANSWER, NO_ELEVATION, Reason


def segment(
    stack: xr.Dataset,
    segmenter: Segmenter,
    tile: Tile,
    halo: int,
    zone: BaseGeometry,
    reach: BaseGeometry | None = None,
) -> TileLayers:
    """Predict a tile.

    Args:
        stack: of the tile grown by `halo` pixels, as from `monitor.stack.acquire.acquire`.
        zone: area in which lakes are mapped (EPSG:4326); the reason of all other pixels is OUTSIDE.
        reach: area that is predicted (EPSG:4326), the whole tile by default.

    Raises:
        OutputError: the model's answer is not finite on pixels with valid input.
    """
    scene = TileArrays(
        planes(stack, S2_BANDS),
        planes(stack, S1_BANDS),
        stack["dem"].to_numpy(),
        row=tile.row - halo,
        col=tile.col - halo,
        halo=halo,
        wanted=None if reach is None else inside(reach, tile),
    )
    answer = next(segmenter.predict_all([scene]))
    refuse_unanswered(scene, answer, segmenter.manifest)
    inner = slice(halo, halo + tile.size)
    core = stack.isel(y=inner, x=inner)
    cloud, snow, shadow, layover, dem = (
        core[name].to_numpy() for name in ("cloud", "snow", "shadow", "layover", "dem")
    )
    probability = answer.probability
    valid = np.isfinite(probability)
    water = valid & (np.nan_to_num(probability) >= segmenter.manifest.threshold)
    reason = np.full(probability.shape, Reason.NODATA, np.uint8)
    reason[cloud] = Reason.CLOUD
    reason[valid] = Reason.DRY
    reason[valid & (shadow | layover)] = Reason.SHADOW
    reason[valid & snow] = Reason.SNOW
    reason[water] = Reason.WATER
    reason[~inside(zone, tile)] = Reason.OUTSIDE
    return TileLayers.of(
        tile,
        probability=probability,
        uncertainty=answer.uncertainty,
        mask=np.where(valid, water, NO_ANSWER),
        reason=reason,
        day_of_year=core["day_of_year"].to_numpy(),
        index=index_of(stack)[inner, inner],
        elevation=np.nan_to_num(np.round(dem), nan=NO_ELEVATION),
    )


def inside(area: BaseGeometry, tile: Tile) -> NDArray[np.bool_]:
    """Pixels (size, size) whose centre lies in `area` (EPSG:4326)."""
    from rasterio.features import geometry_mask

    geobox = tile.geobox()
    shape = reproject(area, WGS84, tile.epsg)
    if shape.is_empty:
        return np.zeros((tile.size, tile.size), bool)
    return np.asarray(geometry_mask([shape], (tile.size, tile.size), geobox.affine, invert=True))
