"""The driver of `odc.stac.load`: files are read so that a pixel has the same bits whatever box asks for it.

Each block of a file is read once, failures are retried with fresh signatures, and what cannot be read is an
`AssetError` with item, asset and address. The georeference of the file counts, never `proj:*` of its item.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.loader.types import RasterBandMetadata, RasterGroupMetadata, RasterLoadParams, RasterSource
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from monitor.archive.profiles import CatalogProfile
from monitor.archive.resampling import Doubles, Floats, bilinear, nearest, places
from monitor.archive.retries import is_remote, tried

if TYPE_CHECKING:
    import pystac
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

#: GDAL while a file is read
GDAL = {
    # one read holds little more than its window; a share of the machine's memory for every worker is too much
    "GDAL_CACHEMAX": 256 * 2**20,
}
#: GDAL while a file is read over the network: over HTTP by `monitor.archive.ranges`, from buckets by itself
GDAL_REMOTE = {
    # neither a listing of the folder nor a search for sidecar files
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    # answers are forgotten when a file is closed, or a failure would be the answer to the next try
    "CPL_VSIL_CURL_NON_CACHED": "/vsis3/:/vsigs/:/vsiaz/",
    # the header of a COG with its block offsets in one request
    "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
    # adjacent blocks are one range
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    # ranges of one file share a connection where its server supports HTTP/2
    "GDAL_HTTP_VERSION": "2",
    "GDAL_HTTP_MULTIPLEX": "YES",
    # GDAL retries what a server says to retry; other failures are retried in `monitor.archive.retries`
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    # a stalled connection ends: no answer in 10 s, or less than 4 kB/s for 20 s
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 4096,
    "GDAL_HTTP_LOW_SPEED_TIME": 20,
}

T = TypeVar("T")
#: a step on a file's own pixels (h, w), NaN for missing ones
Step = Callable[[Floats], Floats]
Pieces = tuple[tuple[slice, slice], NDArray[Any]]


@dataclass(frozen=True)
class Native:
    """A step that is done on a file's own pixels, before they are resampled."""

    step: Step
    #: pixels around one that `step` uses
    reach: int


@dataclass(frozen=True)
class File:
    """A file of an item, as errors name it."""

    item: str
    asset: str
    href: str
    #: of the item, EPSG:4326
    footprint: BaseGeometry


class BandParser:
    """Gives `odc.stac` the bands of a catalogue's profile. Implements `odc.loader.types.MDParser`.

    Args:
        keys: name of each band to its asset key, or "asset.N" for band N of a file.
        source: type of the numbers in the files (None: any), and their value of missing pixels (None: the
            one that each file declares).
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
    """

    aux_reader = None
    #: the built-in adaptor, which reads every chunk by itself
    dask_reader = None

    def __init__(self, profile: CatalogProfile, parser: BandParser, native: Native | None = None) -> None:
        self.profile = profile
        self.md_parser = parser
        self.native = native

    def new_load(self, geobox: GeoBox, *, chunks: Mapping[str, int] | None = None) -> Load | None:
        """What the reads of a load share; nothing where Dask reads its chunks, perhaps in other processes."""
        return Load(geobox) if chunks is None else None

    def finalise_load(self, load_state: Load | None) -> Load | None:
        return load_state

    def capture_env(self) -> dict[str, Any]:
        """What decides the pixels besides files and box: Dask names the tasks of a load by it."""
        return {"native": repr(self.native)}

    def restore_env(
        self, env: dict[str, Any], load_state: Load | None
    ) -> AbstractContextManager[Load | None]:
        return nullcontext(load_state)

    def open(self, src: RasterSource, ctx: Load | None) -> BandReader:
        """A reader of one band; its file is opened when pixels are first read."""
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
        """The band's pixels on a box: where they lie in it, and their values.

        Raises:
            AssetError: the file cannot be read, or is not what its item promises.
        """
        file: File = self._source.driver_data
        number = self._source.band
        # what is shared is read for all bands of the file at once
        load = self._load or Load(dst_geobox)
        numbers = self._driver.md_parser.numbers(file.asset) if self._load else (number,)
        decoded = load.decoded(file.href, lambda: self._decode(file, numbers, cfg, load))
        if not decoded.bands:
            nothing = slice(0, 0)
            return (nothing, nothing), np.empty((0, 0), cfg.dtype)
        rows, cols = decoded.window.positions(dst_geobox)
        values = decoded.bands[number]
        sampled = (
            nearest(values, rows, cols, cfg.fill_value or 0) if cfg.nearest else bilinear(values, rows, cols)
        )
        return (slice(0, dst_geobox.shape[0]), slice(0, dst_geobox.shape[1])), sampled

    def _decode(self, file: File, numbers: tuple[int, ...], cfg: RasterLoadParams, load: Load) -> Decoded:
        """Pixels of the file's bands around the box of `load`."""
        source = self._source.meta or RasterBandMetadata()
        profile, native = self._driver.profile, self._driver.native

        def job(address: str) -> Decoded:
            with opened(address, profile) as opened_file:
                _check(opened_file, file, numbers, source.data_type, np.dtype(cfg.dtype))
                return _decoded(opened_file, numbers, source.nodata, cfg, load, native)

        with _connection(profile.connections):
            return tried(file.item, (file.asset, file.href), profile, job)


@dataclass(frozen=True)
class Grid:
    """The pixels of a file. Files on one grid share the places of a box."""

    #: as WKT
    crs: str
    transform: Affine
    shape: tuple[int, int]


@dataclass(frozen=True)
class Window:
    """The part of a file, or of its overview, around a box."""

    grid: Grid
    geobox: GeoBox
    #: pixels of the overview for one of the file: down, across
    scale: tuple[float, float]
    #: rows and columns; None where the box lies outside the file
    span: tuple[slice, slice] | None
    #: of the box's pixels within the span, as of `resampling.places`
    rows: Doubles
    cols: Doubles

    def positions(self, geobox: GeoBox) -> tuple[Doubles, Doubles]:
        """Rows and columns, within the span, of the pixels of the box or of a part of it."""
        if geobox == self.geobox or self.span is None:
            return self.rows, self.cols
        rows, cols = places(geobox, self.grid.crs, self.grid.transform)
        return rows * self.scale[0] - self.span[0].start, cols * self.scale[1] - self.span[1].start


@dataclass(frozen=True)
class Decoded:
    """Pixels of a file around a box: (h, w) by band number, none where the box lies outside the file."""

    window: Window
    bands: Mapping[int, NDArray[Any]]


class Load:
    """What the reads of one load share: the windows of each grid, and the pixels of each file in them."""

    def __init__(self, geobox: GeoBox) -> None:
        self.geobox = geobox
        self._lock = threading.Lock()
        self._made: dict[Any, Future[Any]] = {}

    def decoded(self, href: str, decode: Callable[[], Decoded]) -> Decoded:
        """The file's pixels."""
        return self._once(href, decode)

    def level(self, grid: Grid, factors: tuple[int, ...]) -> int:
        """The coarsest overview that is not coarser than the box, -1 for the file itself."""
        return self._once((grid, factors), lambda: _overview(factors, *self._places(grid)))

    def window(self, grid: Grid, shape: tuple[int, int], *, nearest: bool, reach: int) -> Window:
        """The part that the box needs of a file on `grid`, or of its overview of another `shape`."""
        key = (grid, shape, nearest, reach)
        return self._once(
            key, lambda: _window(grid, shape, self.geobox, self._places(grid), nearest=nearest, reach=reach)
        )

    def _places(self, grid: Grid) -> tuple[Doubles, Doubles]:
        return self._once(grid, lambda: places(self.geobox, grid.crs, grid.transform))

    def _once(self, key: Any, make: Callable[[], T]) -> T:
        """A value made by the first thread that asks; the others wait for it, or for its error."""
        with self._lock:
            first = key not in self._made
            future: Future[T] = self._made.setdefault(key, Future())
        if first:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
        return future.result()


@cache
def _connection(connections: int) -> threading.BoundedSemaphore:
    """The right to read a file, held by at most `connections` threads of the process at a time."""
    return threading.BoundedSemaphore(connections)


@contextmanager
def opened(address: str, profile: CatalogProfile) -> Iterator[DatasetReader]:
    """The file at an address or path, for the thread that opens it.

    Raises:
        OSError: it cannot be read, or its server gave other bytes inside the block than it holds.
        GivenUp: as above, and it was retried often enough.
    """
    import rasterio

    if not address.startswith(("http://", "https://")):
        options = (GDAL_REMOTE if is_remote(address) else {}) | profile.gdal
        with rasterio.Env(**GDAL, **options), rasterio.open(address) as file:
            yield file
        return
    from monitor.archive.ranges import HttpFile

    served = HttpFile(address, profile)
    try:
        with rasterio.Env(**GDAL, **GDAL_REMOTE), rasterio.open(served.name, opener=served) as file:
            yield file
    finally:
        if served.fault is not None:
            raise served.fault from None


def _check(
    opened_file: DatasetReader, file: File, numbers: Sequence[int], expects: str | None, dtype: np.dtype[Any]
) -> None:
    """A file in the wrong place or of the wrong type would become plausible numbers."""
    if opened_file.crs is None:
        points = opened_file.gcps[0]
        only = f", only {len(points)} ground control points" if points else ""
        raise ValueError(f"it has no coordinate reference system{only}")
    if max(numbers) > opened_file.count:
        raise ValueError(f"band {max(numbers)} is asked for, it has {opened_file.count}")
    for number in numbers:
        kind = opened_file.dtypes[number - 1]
        if expects is not None and kind != expects:
            raise ValueError(f"its numbers are {kind}, {expects} was expected")
        if dtype.kind != "f" and not np.can_cast(kind, dtype):
            raise ValueError(f"its numbers are {kind}, which {dtype} cannot hold")
    ground = _ground(opened_file.crs.to_wkt(), tuple(opened_file.bounds))
    if not shapely.intersects(ground, file.footprint):
        edges = ", ".join(f"{edge:.4f}" for edge in ground.bounds)
        raise ValueError(f"it lies at {edges} (west, south, east, north), outside its item's footprint")


@lru_cache(maxsize=256)
def _ground(crs: str, bounds: tuple[float, float, float, float]) -> shapely.Polygon:
    """Box around a file, EPSG:4326."""
    return shapely.box(*Transformer.from_crs(crs, 4326, always_xy=True).transform_bounds(*bounds))


def _decoded(
    file: DatasetReader,
    numbers: Sequence[int],
    nodata: float | None,
    cfg: RasterLoadParams,
    load: Load,
    native: Native | None,
) -> Decoded:
    """Bands of an open file around the box of `load`."""
    import rasterio

    grid = Grid(file.crs.to_wkt(), file.transform, file.shape)
    level = load.level(grid, tuple(file.overviews(1))) if cfg.use_overviews else -1
    # while `file` is open its header is kept, and not requested again
    with rasterio.open(file.name, overview_level=level) if level >= 0 else nullcontext(file) as source:
        window = load.window(grid, source.shape, nearest=cfg.nearest, reach=native.reach if native else 0)
        if window.span is None:
            return Decoded(window, {})
        pixels = window_of(source, numbers, window.span)
    missing = file.nodatavals if nodata is None else [nodata] * file.count
    bands = {
        number: _numeric(band, missing[number - 1], cfg, native)
        for number, band in zip(numbers, pixels, strict=True)
    }
    return Decoded(window, bands)


def _numeric(
    band: NDArray[Any], nodata: float | None, cfg: RasterLoadParams, native: Native | None
) -> NDArray[Any]:
    """A file's pixels as they are resampled: floats with NaN for missing ones, integers as they are."""
    if np.dtype(cfg.dtype).kind != "f":
        return band.astype(cfg.dtype)
    numeric = band.astype(np.float32)
    if nodata is not None:
        numeric[band == nodata] = np.nan
    numeric[np.isinf(numeric)] = np.nan
    return numeric if native is None else native.step(numeric)


def _overview(factors: Sequence[int], rows: Doubles, cols: Doubles) -> int:
    """The coarsest overview that is not coarser than a box with these places, -1 for the file itself."""
    if not factors:
        return -1
    steps = [np.abs(np.diff(at, axis=axis)) for axis, at in enumerate((rows, cols)) if at.shape[axis] > 1]
    scale = min((float(np.median(step)) for step in steps), default=1.0)
    # a tenth to spare: scale differs a little over a zone, and the choice must not
    fitting = [level for level, factor in enumerate(factors) if factor <= scale * 1.1]
    return fitting[-1] if fitting else -1


def _window(
    grid: Grid,
    shape: tuple[int, int],
    geobox: GeoBox,
    at: tuple[Doubles, Doubles],
    *,
    nearest: bool,
    reach: int,
) -> Window:
    """The part that `geobox`, whose pixels lie `at` these places of the file, needs."""
    scale = shape[0] / grid.shape[0], shape[1] / grid.shape[1]
    rows, cols = at if shape == grid.shape else (at[0] * scale[0], at[1] * scale[1])
    span = _span(shape, (rows, cols), nearest, reach)
    if span is not None:
        rows, cols = rows - span[0].start, cols - span[1].start
    return Window(grid, geobox, scale, span, rows, cols)


def _span(
    shape: tuple[int, int], at: tuple[Doubles, Doubles], nearest: bool, reach: int
) -> tuple[slice, slice] | None:
    """Rows and columns of the file that its values at places depend on; None where no place lies in it."""
    parallel = at[0].shape != at[1].shape
    inside = [(side >= 0) & (side < size) for side, size in zip(at, shape, strict=True)]
    if not parallel:
        inside = [inside[0] & inside[1]] * 2
    if not (inside[0].any() and inside[1].any()):
        return None
    shift = 0.0 if nearest else 0.5
    spans = []
    for positions, size, here in zip(at, shape, inside, strict=True):
        some = positions[here]
        first = np.floor(some.min() - shift)
        last = np.floor(some.max()) if nearest else np.ceil(some.max() - shift)
        spans.append(slice(max(int(first) - reach, 0), min(int(last) + 1 + reach, size)))
    return spans[0], spans[1]


def window_of(file: DatasetReader, numbers: Sequence[int], span: tuple[slice, slice]) -> NDArray[Any]:
    """Values (bands, h, w) of rows and columns of the file, in one read: each block once."""
    from rasterio.windows import Window

    return np.asarray(file.read(list(numbers), window=Window.from_slices(*span)))
