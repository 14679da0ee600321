"""Labels from lake outlines: the share of water of every pixel, and the pixels without a label."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from training.errors import TrainingError

#: subpixels along the edge of a pixel, from which its covered share is measured
FINE = 5
#: label of a pixel of water only, in proportion to which other labels are shares; and label of ignored pixels
FULL, IGNORED = 200, 255
_COLUMNS = {"lake", "season", "state", "zone", "seen_share", "area_m2", "ice"}


def read_lakes(archive: Path) -> geopandas.GeoDataFrame:
    """One row per lake and season (UTM): lake, season, state, zone, kind, area_m2, seen_share, geometry.

    Raises:
        TrainingError: the file is missing or lacks a column.
    """
    path = archive / "truth" / "lakes.parquet"
    if not path.is_file():
        raise TrainingError(f"{path} is missing: {archive} is not a simulated archive; simulate it again")
    lakes = geopandas.read_parquet(path)
    if missing := _COLUMNS - set(lakes.columns):
        raise TrainingError(f"{path} lacks {', '.join(sorted(missing))}; simulate the archive again")
    return lakes


def outlines(lakes: geopandas.GeoDataFrame, season: int, *states: str) -> geopandas.GeoDataFrame:
    """Lakes of `season` with an outline and one of `states`."""
    drawn = lakes.geometry.notna() & ~lakes.geometry.is_empty
    return lakes[(lakes["season"] == season) & lakes["state"].isin(states) & drawn]


def coverage(shapes: Iterable[BaseGeometry], geobox: GeoBox) -> NDArray[np.float32]:
    """Share 0..1 of every pixel of `geobox` (H, W) that is covered by `shapes` (in its CRS)."""
    height, width = geobox.shape
    drawn = [shape for shape in shapes if shape is not None and not shape.is_empty]
    if not drawn:
        return np.zeros((height, width), np.float32)
    fine = rasterize(
        drawn,
        out_shape=(height * FINE, width * FINE),
        transform=geobox.affine @ Affine.scale(1 / FINE),
        dtype="uint8",
    )
    parts: NDArray[Any] = fine.reshape(height, FINE, width, FINE)
    share: NDArray[np.float32] = parts.sum(axis=(1, 3), dtype=np.float32) / np.float32(FINE**2)
    return share


def label(lakes: geopandas.GeoDataFrame, season: int, stack: xr.Dataset) -> NDArray[np.uint8]:
    """Label of every pixel of `stack` (H, W): 0 .. FULL in proportion to its share of water, or IGNORED.

    Ignored are lakes that are frozen in the season, the ice of half-frozen lakes, and lake pixels with snow
    or ice on the date of the composite. Labels do not depend on the sensors that saw a pixel.
    """
    geobox: GeoBox = stack.odc.geobox
    water = coverage(outlines(lakes, season, "water").geometry, geobox)
    sheets = lakes.loc[lakes["season"] == season, "ice"].dropna()
    frozen = coverage([*outlines(lakes, season, "frozen").geometry, *sheets], geobox)
    labels = np.rint(water * FULL).astype(np.uint8)
    labels[(frozen > 0) | ((water > 0) & stack["snow"].to_numpy())] = IGNORED
    return labels
