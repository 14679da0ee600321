"""Reading bands of one item onto the global grid, in blocks that do not depend on the tile that asks.

A file that cannot be read is named: item, asset and address.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import AssetError
from monitor.grid import geobox_at, pixel_at
from monitor.profiles import CatalogProfile
from monitor.scenes import Scene
from monitor.signing import sign

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: reading blocks of the global grid, pixels; GDAL's approximations then cannot differ between tiles
BLOCK = 256
READ_THREADS = 4


@dataclass(frozen=True)
class Bands:
    """Bands of an item that are read alike."""

    #: the name they are given, to asset key, or "asset.N" for the N-th band of a file
    keys: Mapping[str, str]
    nodata: float | None
    resampling: str = "bilinear"
    dtype: str = "float32"


def read(scene: Scene, bands: Bands, profile: CatalogProfile, geobox: GeoBox) -> dict[str, NDArray[Any]]:
    """Bands (H, W) on `geobox`: floats with NaN for no data, integers with `bands.nodata`.

    Raises:
        AssetError: a file that cannot be read.
    """
    import rasterio.errors

    try:
        return _load(scene, bands, profile, geobox)
    except (rasterio.errors.RasterioError, OSError) as error:
        raise _blame(scene, bands, profile, geobox, error) from error


def _blame(
    scene: Scene, bands: Bands, profile: CatalogProfile, geobox: GeoBox, cause: Exception
) -> AssetError:
    """The error that names which of the item's files is at fault: the first that cannot be read alone."""
    import rasterio.errors

    for band, key in bands.keys.items():
        try:
            _load(scene, replace(bands, keys={band: key}), profile, geobox)
        except (rasterio.errors.RasterioError, OSError) as error:
            asset = key.split(".", maxsplit=1)[0]
            return AssetError(scene.id, asset, scene.item["assets"][asset]["href"], str(error))
    every = ", ".join(bands.keys.values())
    return AssetError(scene.id, every, "(each readable when asked again)", str(cause))


def _load(scene: Scene, bands: Bands, profile: CatalogProfile, geobox: GeoBox) -> dict[str, NDArray[Any]]:
    import odc.stac
    import pystac
    from rasterio.errors import NotGeoreferencedWarning

    # GDAL's own in-memory target of a block that lies wholly outside the file; nothing is misplaced
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    aligned, window = _aligned(geobox)
    band_config: dict[str, Any] = {"data_type": bands.dtype}
    if bands.nodata is not None:
        band_config["nodata"] = bands.nodata
    dataset = odc.stac.load(
        [pystac.Item.from_dict(scene.item)],
        bands=list(bands.keys.values()),
        geobox=aligned,
        chunks={"y": BLOCK, "x": BLOCK},
        resampling=bands.resampling,
        dtype=bands.dtype,
        stac_cfg={scene.collection: {"assets": {"*": band_config}}},
        patch_url=lambda href: sign(href, profile),
        fail_on_error=True,
    ).compute(scheduler="threads", num_workers=READ_THREADS)
    return {band: _blank(dataset[key].values[0][window], bands.nodata) for band, key in bands.keys.items()}


def _blank(values: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """Floats with NaN in the place of `nodata`; integers as they are."""
    if nodata is not None and values.dtype.kind == "f":
        values[values == nodata] = np.nan
    return values


def _aligned(geobox: GeoBox) -> tuple[GeoBox, tuple[slice, slice]]:
    """The smallest box of whole reading blocks around `geobox`, and where `geobox` lies in it."""
    epsg = int(str(geobox.crs).rpartition(":")[2])
    row, col = pixel_at(geobox.affine.c, geobox.affine.f)
    height, width = geobox.shape
    first_row, first_col = row // BLOCK * BLOCK, col // BLOCK * BLOCK
    rows = -(-(row + height - first_row) // BLOCK) * BLOCK
    cols = -(-(col + width - first_col) // BLOCK) * BLOCK
    inside = np.s_[row - first_row : row - first_row + height, col - first_col : col - first_col + width]
    return geobox_at(epsg, first_row, first_col, (rows, cols)), inside
