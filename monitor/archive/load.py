"""Load scenes onto a box as `xarray.Dataset`s, by `odc.stac.load` with the driver of this package.

With `chunks` the arrays are Dask arrays, and files are read when these are computed; the values have the same
bits either way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pystac
import shapely
import xarray as xr
from odc.geo.xr import xr_zeros
from odc.loader.types import RasterBandMetadata
from odc.stac import load
from shapely.geometry.base import BaseGeometry

from monitor.archive.decoding import Native
from monitor.archive.driver import ArchiveDriver, BandParser
from monitor.archive.profiles import S1_BANDS, S2_BANDS, CatalogProfile
from monitor.archive.scenes import Scene
from monitor.archive.threads import reading_threads
from monitor.archive.validity import (
    CLASSES,
    DECIBEL,
    HEIGHT,
    HOLE_REACH,
    NUMBERS,
    POWER,
    Quantity,
    fill_zero_holes,
    reflectance,
)

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Chunks = Mapping[str, int | Literal["auto"]]
#: degrees around an item's outline within which its files are read too, because outlines are rounded
OUTLINE_MARGIN = 0.1
#: value of missing pixels in scene classes
NO_CLASS = 0


def load_optical(
    scene: Scene,
    profile: CatalogProfile,
    geobox: GeoBox,
    names: Sequence[str] = S2_BANDS,
    chunks: Chunks | None = None,
    *,
    coded: bool = False,
) -> xr.Dataset:
    """Surface reflectance x 10000, the baseline's offset applied: float32 (y, x), NaN for missing pixels.

    Values may be below zero where the offset is subtracted from dark pixels.

    Args:
        coded: whether pixels without a value have the codes of `monitor.archive.validity`.

    Raises:
        AssetError: a file cannot be read, or does not match its item.
    """
    optical = profile.optical
    bands = load_bands(
        [scene],
        {name: optical.bands[name] for name in names},
        profile,
        geobox,
        data_type=optical.dtype,
        nodata=optical.nodata,
        # catalogues that mark corrected scenes by a flag leave the tags of uncorrected ones in their files
        quantity=reflectance(scene.offset, tags=optical.offset != "flag"),
        coded=coded,
        chunks=chunks,
    )
    for name, band in bands.data_vars.items():
        band.data += np.float32(scene.offset)
        band.attrs = {"long_name": f"surface reflectance of {name}", "units": "1e-4"}
    return bands


def load_classes(
    scene: Scene, profile: CatalogProfile, geobox: GeoBox, chunks: Chunks | None = None
) -> xr.DataArray:
    """Sentinel-2 scene classes: uint8 (y, x), 0 for missing pixels.

    Raises:
        AssetError: a file cannot be read, or does not match its item.
        ValueError: the profile names no asset of scene classes.
    """
    key = profile.optical.scene_classes
    if key is None:
        raise ValueError("the catalogue has no scene classes")
    loaded = load_bands(
        [scene],
        {"SCL": key},
        profile,
        geobox,
        nodata=NO_CLASS,
        dtype="uint8",
        resampling="nearest",
        quantity=CLASSES,
        chunks=chunks,
    )
    return loaded["SCL"].assign_attrs(long_name="Sen2Cor scene class")


def load_elevation(
    scenes: Sequence[Scene],
    profile: CatalogProfile,
    geobox: GeoBox,
    chunks: Chunks | None = None,
    *,
    coded: bool = False,
) -> xr.DataArray:
    """Elevation above EGM2008 in metres: float32 (y, x), from the first scene that has the pixel, else NaN.

    Args:
        coded: whether pixels without a height have the codes of `monitor.archive.validity`, by which a hole
            in a file differs from the gap between two files.

    Raises:
        AssetError: a file cannot be read, or does not match its item.
    """
    loaded = load_bands(
        scenes,
        {"dem": profile.dem.band},
        profile,
        geobox,
        nodata=profile.dem.nodata,
        quantity=HEIGHT,
        native=Native(fill_zero_holes, HOLE_REACH + 1),
        coded=coded,
        chunks=chunks,
    )
    return loaded["dem"].assign_attrs(long_name="elevation above EGM2008", units="m")


def load_backscatter(
    scene: Scene,
    profile: CatalogProfile,
    geobox: GeoBox,
    native: Native | None = None,
    chunks: Chunks | None = None,
    *,
    coded: bool = False,
) -> xr.Dataset:
    """VV and VH of a terrain-corrected scene, unit of the files: float32 (y, x), NaN for missing pixels.

    Args:
        native: a step on the file's own pixels before they are resampled, such as a speckle filter.
        coded: whether pixels without a value have the codes of `monitor.archive.validity`.

    Raises:
        AssetError: a file cannot be read, or does not match its item.
    """
    radar = profile.radar
    keys = {str(band): radar.bands[band] for band in S1_BANDS}
    return load_bands(
        [scene],
        keys,
        profile,
        geobox,
        nodata=radar.nodata,
        quantity=DECIBEL if radar.unit == "decibel" else POWER,
        native=native,
        coded=coded,
        chunks=chunks,
    )


def load_bands(
    scenes: Sequence[Scene],
    keys: Mapping[str, str],
    profile: CatalogProfile,
    geobox: GeoBox,
    *,
    data_type: str | None = None,
    nodata: float | None = None,
    dtype: str = "float32",
    resampling: Literal["bilinear", "nearest"] = "bilinear",
    quantity: Quantity = NUMBERS,
    native: Native | None = None,
    coded: bool = False,
    chunks: Chunks | None = None,
) -> xr.Dataset:
    """Bands (y, x) on a box; each pixel is from the first scene that has it.

    A pixel has the same bits whatever box or chunk it is read in. A box coarser than the files is read from
    their overviews. Files are read in parallel, at most `profile.connections` at a time in a process.

    Args:
        keys: name of each band to its asset key, or "asset.N" for band N of a file.
        data_type: type of the numbers in the files; other types are refused. None: any.
        nodata: value of missing pixels in the files, besides the one that each file declares.
        dtype: type of the result; missing pixels are NaN in floats, `nodata` in integers.
        quantity: of the bands, which decides the values that are valid.
        native: a step on a file's own pixels before they are resampled.
        coded: whether missing pixels have the codes of `monitor.archive.validity`, in floats.
        chunks: sizes of Dask chunks; None: read at once.

    Raises:
        AssetError: a file cannot be read, or does not match its item.
    """
    fill = np.nan if np.dtype(dtype).kind == "f" else float(nodata or 0)
    if not scenes:
        missing = xr_zeros(geobox, dtype) + np.array(fill, dtype)
        empty = xr.Dataset(dict.fromkeys(keys, missing))
        return empty if chunks is None else empty.chunk(dict(chunks))
    source = RasterBandMetadata(data_type, nodata)
    parser = BandParser(keys, source, {scene.id: scene.footprint for scene in scenes})
    box = geobox.geographic_extent.geom
    loaded = load(
        [_item(scene, parser, box) for scene in scenes],
        list(keys),
        geobox=geobox,
        groupby=_together,
        preserve_original_order=True,
        resampling=resampling,
        dtype=dtype,
        nodata=fill,
        chunks=None if chunks is None else dict(chunks),
        pool=reading_threads(profile.connections) if len(scenes) * len(keys) > 1 else None,
        fuse_func=_fuser(len(scenes), coded),
        driver=ArchiveDriver(profile, parser, native, quantity, coded=coded),
    )
    return loaded.isel(time=0, drop=True)


def _item(scene: Scene, parser: BandParser, box: BaseGeometry) -> pystac.Item:
    """The item reduced to the fields that a load needs, without `proj:*`, which may be wrong.

    An outline that does not intersect the box is replaced by the box, so that the file is opened and refused;
    `odc.stac.load` would return an empty array.
    """
    outline = shapely.buffer(scene.footprint, OUTLINE_MARGIN)
    if not outline.intersects(box):
        outline = box
    item = pystac.Item(
        scene.id,
        shapely.geometry.mapping(outline),
        list(outline.bounds),
        scene.datetime,
        properties={},
        collection=scene.collection,
    )
    for asset in dict.fromkeys(asset for asset, _ in parser.bands.values()):
        item.add_asset(asset, pystac.Asset(scene.item["assets"][asset]["href"]))
    return item


def _together(item: pystac.Item, parsed: Any, index: int) -> int:
    """Group key of `odc.stac.load`: all scenes of a load are one layer."""
    return 0


def _fuser(scenes: int, coded: bool) -> str | None:
    """Name of the function that adds a scene to the layer; None: the first value of a pixel is kept."""
    if scenes == 1:
        return f"{__name__}.{paste.__name__}"
    return f"{__name__}.{complete.__name__}" if coded else None


def paste(dst: np.ndarray, src: np.ndarray) -> None:
    """Fuser of a load of one scene, which overwrites the empty layer."""
    dst[...] = src


def complete(dst: np.ndarray, src: np.ndarray) -> None:
    """Fuser of a load with codes: the first value of a pixel is kept, else the first code inside a file."""
    np.copyto(dst, src, where=np.isnan(dst) | (np.isinf(dst) & np.isfinite(src)))
