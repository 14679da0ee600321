"""The driver of `odc.stac.load`, by which a pixel has the same bits whatever box it is read in.

Each block of a file is read once, failed reads are retried with fresh signatures, and a file that cannot be
read raises an `AssetError` with item, asset and address. Files are decoded by `monitor.archive.decoding`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.loader.types import RasterBandMetadata, RasterGroupMetadata, RasterLoadParams, RasterSource
from shapely.geometry.base import BaseGeometry

from monitor.archive.decoding import Decoded, Load, Native, check, decoded, opened
from monitor.archive.profiles import CatalogProfile
from monitor.archive.resampling import bilinear, nearest
from monitor.archive.retries import tried
from monitor.archive.validity import NUMBERS, Quantity

if TYPE_CHECKING:
    import pystac
    from odc.geo.geobox import GeoBox

Pieces = tuple[tuple[slice, slice], NDArray[Any]]


@dataclass(frozen=True)
class File:
    """A file of an item, with the names that error messages use."""

    item: str
    asset: str
    href: str
    #: of the item, EPSG:4326
    footprint: BaseGeometry


class BandParser:
    """Gives `odc.stac` the bands of a catalogue's profile. Implements `odc.loader.types.MDParser`.

    Args:
        keys: name of each band to its asset key, or "asset.N" for band N of a file.
        source: type of the numbers in the files (None: any), and their value of missing pixels besides the
            one that each file declares.
        footprints: of the items by id, EPSG:4326.
    """

    def __init__(
        self, keys: Mapping[str, str], source: RasterBandMetadata, footprints: Mapping[str, BaseGeometry]
    ) -> None:
        self.bands = {name: _asset_and_number(key) for name, key in keys.items()}
        self._source = source
        self._footprints = footprints

    def extract(self, md: pystac.Item) -> RasterGroupMetadata:
        """The bands of an item and their names."""
        return RasterGroupMetadata(
            bands=dict.fromkeys(self.bands.values(), self._source),
            aliases={name: [band] for name, band in self.bands.items()},
        )

    def driver_data(self, md: pystac.Item, band_key: tuple[str, int]) -> File:
        """The file that holds a band."""
        asset = band_key[0]
        return File(md.id, asset, md.assets[asset].href, self._footprints[md.id])

    def numbers(self, asset: str) -> tuple[int, ...]:
        """Numbers of the asset's bands."""
        return tuple(number for key, number in self.bands.values() if key == asset)


def _asset_and_number(key: str) -> tuple[str, int]:
    asset, _, number = key.partition(".")
    return asset, int(number or 1)


class ArchiveDriver:
    """Reads the files of one load. Implements `odc.loader.types.ReaderDriver`.

    Args:
        profile: of the catalogue that serves the files.
        parser: the bands to load.
        native: a step before resampling.
        quantity: of the bands, which decides the values that are valid.
        coded: whether invalid pixels keep their codes (`monitor.archive.validity`), else they are NaN.
    """

    aux_reader = None
    #: the built-in adaptor, which reads every chunk by itself
    dask_reader = None

    def __init__(
        self,
        profile: CatalogProfile,
        parser: BandParser,
        native: Native | None = None,
        quantity: Quantity = NUMBERS,
        *,
        coded: bool = False,
    ) -> None:
        self.profile = profile
        self.md_parser = parser
        self.native = native
        self.quantity = quantity
        self.coded = coded

    def new_load(self, geobox: GeoBox, *, chunks: Mapping[str, int] | None = None) -> Load | None:
        """Shared state of the reads of a load; None with Dask, which may read chunks in other processes."""
        return Load(geobox) if chunks is None else None

    def finalise_load(self, load_state: Load | None) -> Load | None:
        return load_state

    def capture_env(self) -> dict[str, Any]:
        """Everything but files and box that the pixels depend on; Dask derives the names of tasks from it."""
        return {"native": repr(self.native), "quantity": repr(self.quantity), "coded": self.coded}

    def restore_env(
        self, env: dict[str, Any], load_state: Load | None
    ) -> AbstractContextManager[Load | None]:
        return nullcontext(load_state)

    def open(self, src: RasterSource, ctx: Load | None) -> BandReader:
        """A reader of one band, which opens the file when pixels are first read."""
        return BandReader(self, src, ctx)


class BandReader:
    """Reads one band of one file. Implements `odc.loader.types.RasterReader`."""

    def __init__(self, driver: ArchiveDriver, source: RasterSource, load: Load | None) -> None:
        self._driver = driver
        self._source = source
        self._load = load

    def read(
        self,
        cfg: RasterLoadParams,
        dst_geobox: GeoBox,
        *,
        dst: NDArray[Any] | None = None,
        selection: Any = None,
    ) -> Pieces:
        """The band's pixels on a box: their rows and columns in it, and their values.

        Raises:
            AssetError: the file cannot be read, or does not match its item.
        """
        file: File = self._source.driver_data
        number = self._source.band
        # with shared state all bands of the file are read at once
        load = self._load or Load(dst_geobox)
        numbers = self._driver.md_parser.numbers(file.asset) if self._load else (number,)
        pixels = load.decoded(file.href, lambda: self._decode(file, numbers, cfg, load))
        if not pixels.bands:
            nothing = slice(0, 0)
            return (nothing, nothing), np.empty((0, 0), cfg.dtype)
        rows, cols = pixels.window.positions(dst_geobox)
        values = pixels.bands[number]
        sampled = (
            nearest(values, rows, cols, cfg.fill_value or 0) if cfg.nearest else bilinear(values, rows, cols)
        )
        if sampled.dtype.kind == "f" and not self._driver.coded:
            sampled[~np.isfinite(sampled)] = np.nan
        return (slice(0, dst_geobox.shape[0]), slice(0, dst_geobox.shape[1])), sampled

    def _decode(self, file: File, numbers: tuple[int, ...], cfg: RasterLoadParams, load: Load) -> Decoded:
        """Pixels of the file's bands around the box of `load`."""
        source = self._source.meta or RasterBandMetadata()
        profile, native, quantity = self._driver.profile, self._driver.native, self._driver.quantity

        def job(address: str) -> Decoded:
            with opened(address, profile) as opened_file:
                check(opened_file, file.footprint, numbers, source.data_type, np.dtype(cfg.dtype))
                return decoded(opened_file, numbers, source.nodata, quantity, cfg, load, native)

        with _connection(profile.connections):
            return tried(file.item, (file.asset, file.href), profile, job)


@cache
def _connection(connections: int) -> threading.BoundedSemaphore:
    """Limits the files that the process reads at a time to `connections`."""
    return threading.BoundedSemaphore(connections)
