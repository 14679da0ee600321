"""Rasters of random numbers around one box of zone 45, and items that refer to them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS

from monitor.archive.load import load_bands
from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import Scene
from monitor.grid import NORTHING_ORIGIN, PIXEL, geobox_at
from tests.support.samples import TERRAMESH_PROFILE

PROFILE = CatalogProfile.model_validate(TERRAMESH_PROFILE)
#: a box of zone 45 and its surroundings
EPSG, ROW, COL = 32645, 688_000, 50_000
LEFT, TOP = COL * PIXEL, NORTHING_ORIGIN - ROW * PIXEL
BOX = geobox_at(EPSG, ROW, COL, (200, 160))
#: grids of files around the box: EPSG, transform, shape
Grid = tuple[int, Affine, tuple[int, int]]


def around(epsg: int, pixel: float, side: int, shift: float = 0.0) -> Grid:
    """Grid of a square file of `side` pixels, centred on the box."""
    middle = (LEFT + 800, TOP - 1000)
    x, y = pyproj.Transformer.from_crs(EPSG, epsg, always_xy=True).transform(*middle)
    if epsg == EPSG:
        x, y = round(x / pixel) * pixel, round(y / pixel) * pixel
    half = pixel * (side // 2)
    return epsg, Affine(pixel, 0, x - half + shift, 0, -pixel, y + half + shift), (side, side)


GRIDS = {
    "same pixels": around(EPSG, 10, 400),
    "20 m": around(EPSG, 20, 300),
    "60 m, smaller than the box": around(EPSG, 60, 24),
    "10 m, shifted": around(EPSG, 10, 400, 3.7),
    "next zone": around(EPSG + 1, 10, 500),
    "degrees": around(4326, 1 / 3600, 160),
}
PARALLEL = [name for name, grid in GRIDS.items() if grid[0] == EPSG]


def numbers(shape: tuple[int, int], holes: float = 0.0, seed: int = 0) -> np.ndarray:
    """White noise of 1-3000, the worst case for interpolation, with 0 as no data."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 3001, shape).astype(np.uint16)
    values[rng.random(shape) < holes] = 0
    return values


def write(path: Path, grid: Grid, values: np.ndarray, **options: Any) -> Path:
    epsg, transform, (height, width) = grid
    count = 1 if values.ndim == 2 else len(values)
    facts = {"driver": "COG", "blocksize": 128, "compress": "DEFLATE", "nodata": 0} | options
    facts = {name: value for name, value in facts.items() if name == "nodata" or value is not None}
    with rasterio.open(
        path, "w", height=height, width=width, count=count, dtype=values.dtype,
        crs=CRS.from_epsg(epsg) if epsg else None, transform=transform, **facts,
    ) as file:  # fmt: skip
        file.write(values if count > 1 else values.reshape(1, height, width))
    return path


def scene(path: Path | str, footprint: shapely.Geometry | None = None, **assets: Path | str) -> Scene:
    """An item over the box with asset `a` and further assets."""
    ground = footprint or BOX.geographic_extent.geom
    hrefs = {"a": path} | assets
    item = {
        "geometry": shapely.geometry.mapping(ground),
        # declared shape and transform, which the reader ignores in favour of the file's
        "properties": {"proj:epsg": 4326, "proj:transform": [1, 0, 0, 0, -1, 0], "proj:shape": [3, 3]},
        "assets": {name: {"href": str(href)} for name, href in hrefs.items()},
    }
    return Scene("item", "collection", datetime(2022, 8, 1, tzinfo=UTC), item)


def bands(nodata: float | None = 0, **options: Any) -> dict[str, Any]:
    """Arguments of `load_bands` for one band."""
    return {"keys": {"band": "a"}, "nodata": nodata, **options}


def classes(**options: Any) -> dict[str, Any]:
    return bands(resampling="nearest", dtype="uint16", **options)


def read(
    item: Scene, arguments: dict[str, Any], profile: CatalogProfile, geobox: GeoBox, **options: Any
) -> dict[str, np.ndarray]:
    """Read bands (H, W) of one item on a box."""
    loaded = load_bands([item], profile=profile, geobox=geobox, **arguments, **options)
    return {str(name): band.to_numpy() for name, band in loaded.data_vars.items()}
