"""Open files and the decoding of the window of a file that a box needs.

Pixels are read once, at the resolution of the file or of an overview, and keep the place that the
georeference of the file gives them; `proj:*` of an item is never used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.loader.types import RasterLoadParams
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from monitor.archive.addresses import is_remote, local_path, regular
from monitor.archive.integrity import readable
from monitor.archive.limits import check_blocks, window_of
from monitor.archive.outlines import boxed
from monitor.archive.overviews import sampled
from monitor.archive.profiles import CatalogProfile
from monitor.archive.resampling import Doubles, Floats, places
from monitor.archive.validity import ABSENT, Quantity, values_of
from monitor.grid import bounds_of

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

#: GDAL while a file is read
GDAL = {
    # options of the user's environment that would change where pixels lie, or send passwords
    "GTIFF_POINT_GEO_IGNORE": False,
    "GDAL_GEOREF_SOURCES": "PAM,INTERNAL,TABFILE,WORLDFILE",
    "GDAL_PAM_ENABLED": True,
    "GDAL_HTTP_NETRC": False,
    # a read needs little more than its window; the default, a share of the machine's memory, is too much for
    # each of several workers
    "GDAL_CACHEMAX": 256 * 2**20,
    # one thread decodes a file: errors of reading in GDAL's own threads are lost, and garbage is returned
    "GDAL_NUM_THREADS": 1,
    # a block that cannot be decoded is an error, whatever the environment says
    "GTIFF_IGNORE_READ_ERRORS": False,
    "GDAL_ERROR_ON_LIBJPEG_WARNING": True,
}
#: GDAL while a file is read without its own access to the network, which metadata of the file could use
GDAL_OFFLINE = {"CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}"}
#: GDAL while a file is read over the network: over HTTP by `monitor.archive.ranges`, from buckets by itself
GDAL_REMOTE = {
    # do not list the folder or look for sidecar files
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    # do not cache responses after a file is closed; otherwise a retry would get the cached failure
    "CPL_VSIL_CURL_NON_CACHED": "/vsis3/:/vsigs/:/vsiaz/",
    # the header of a COG with its block offsets in one request
    "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
    # adjacent blocks are one range
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    # ranges of one file share a connection where its server supports HTTP/2
    "GDAL_HTTP_VERSION": "2",
    "GDAL_HTTP_MULTIPLEX": "YES",
    # GDAL retries the statuses that ask for it; other failures are retried in `monitor.archive.retries`
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    # a stalled connection ends: no answer in 10 s, or less than 4 kB/s for 20 s
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 4096,
    "GDAL_HTTP_LOW_SPEED_TIME": 20,
}

T = TypeVar("T")
#: a step on a file's own pixels (h, w), NaN for invalid ones
Step = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Native:
    """A step on a file's own pixels before they are resampled, such as a speckle filter."""

    step: Step
    #: pixels around a pixel that `step` uses
    reach: int
    #: whether `ABSENT` stands for a faint value: it is NaN then where the number is another than zero
    faint: bool = False


@dataclass(frozen=True)
class Grid:
    """The pixel grid of a file. The positions of a box's pixels are the same in all files of one grid."""

    #: as WKT
    crs: str
    transform: Affine
    shape: tuple[int, int]


@dataclass(frozen=True)
class Window:
    """The part of a file, or of its overview, around a box."""

    grid: Grid
    geobox: GeoBox
    #: pixels of the overview per pixel of the file: down, across
    scale: tuple[float, float]
    #: rows and columns; None where the box lies outside the file
    span: tuple[slice, slice] | None
    #: positions of the box's pixels within the span, as returned by `resampling.places`
    rows: Doubles
    cols: Doubles

    def positions(self, geobox: GeoBox) -> tuple[Doubles, Doubles]:
        """Rows and columns, within the span, of the pixels of the box or of a part of it."""
        if geobox == self.geobox or self.span is None:
            return self.rows, self.cols
        rows, cols = places(geobox, self.grid.crs, self.grid.transform, self.grid.shape[1])
        return rows * self.scale[0] - self.span[0].start, cols * self.scale[1] - self.span[1].start


@dataclass(frozen=True)
class Decoded:
    """Pixels of a file around a box: (h, w) by band number, none where the box lies outside the file.

    Invalid pixels have the codes of `monitor.archive.validity` in floats.
    """

    window: Window
    bands: Mapping[int, NDArray[Any]]


class Load:
    """Shared state of the reads of one load: the window of each grid and the pixels of each file in it."""

    def __init__(self, geobox: GeoBox) -> None:
        self.geobox = geobox
        self._lock = threading.Lock()
        self._made: dict[Any, Future[Any]] = {}

    def decoded(self, href: str, decode: Callable[[], Decoded]) -> Decoded:
        """The pixels of the file at `href`, decoded by the first caller."""
        return self._once(href, decode)

    def level(self, grid: Grid, factors: tuple[int, ...]) -> int:
        """The coarsest overview that is not coarser than the box, -1 for the file itself."""
        return self._once((grid, factors), lambda: _overview(factors, *self._places(grid)))

    def window(self, grid: Grid, shape: tuple[int, int], *, nearest: bool, reach: int) -> Window:
        """The part of a file on `grid`, or of its overview of another `shape`, that the box needs."""
        key = (grid, shape, nearest, reach)
        return self._once(
            key, lambda: _window(grid, shape, self.geobox, self._places(grid), nearest=nearest, reach=reach)
        )

    def _places(self, grid: Grid) -> tuple[Doubles, Doubles]:
        return self._once(grid, lambda: places(self.geobox, grid.crs, grid.transform, grid.shape[1]))

    def _once(self, key: Any, make: Callable[[], T]) -> T:
        """A value made by the first thread that needs it; other threads wait for the value or its error."""
        with self._lock:
            first = key not in self._made
            future: Future[T] = self._made.setdefault(key, Future())
        if first:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
        return future.result()


@contextmanager
def opened(address: str, profile: CatalogProfile) -> Iterator[DatasetReader]:
    """Open the file at an address or path, for use in the calling thread only.

    Raises:
        OSError: the file cannot be read, is of a driver that the profile does not name, or a response inside
            the `with` block was wrong or incomplete.
        GivenUp: as above, and the request has been retried already.
        ValueError: its blocks are too large.
    """
    import rasterio

    if not address.startswith(("http://", "https://")):
        place: str | Path = address if is_remote(address) else regular(local_path(address))
        options = (GDAL_REMOTE | _only(address) if is_remote(address) else GDAL_OFFLINE) | profile.gdal
        with rasterio.Env(**GDAL, **options), _file(place, profile) as file:
            yield file
        return
    from monitor.archive.ranges import HttpFile

    served = HttpFile(address, profile)
    try:
        with (
            rasterio.Env(**GDAL, **GDAL_REMOTE, **GDAL_OFFLINE),
            _file(served.name, profile, opener=served) as file,
            readable(file, served.block),
        ):
            yield file
    finally:
        if served.fault is not None:
            raise served.fault from None


def _only(address: str) -> dict[str, str]:
    """GDAL's option that no other object of a bucket is read, which metadata of a file could name."""
    scheme, _, key = address.partition("://")
    return {"CPL_VSIL_CURL_ALLOWED_FILENAME": f"/vsi{scheme}/{key}"}


def _file(place: str | Path, profile: CatalogProfile, **options: Any) -> DatasetReader:
    """The file at a place, opened by the profile's drivers and no other."""
    import rasterio

    wavelets = str(place).lower().endswith((".jp2", ".j2k"))
    for driver in sorted(profile.drivers, key=lambda name: name.startswith("JP2") != wavelets):
        try:
            file = rasterio.open(place, driver=driver, **options)
        except rasterio.RasterioIOError as error:
            if "not recognized as being in a supported file format" not in str(error):
                raise
            continue
        try:
            check_blocks(file)
        except ValueError:
            file.close()
            raise
        return file
    raise ValueError(
        f"it is not a file of the drivers that the catalogue's profile names: {', '.join(profile.drivers)}"
    )


def check(
    file: DatasetReader,
    footprint: BaseGeometry,
    numbers: Sequence[int],
    expects: str | None,
    dtype: np.dtype[Any],
) -> None:
    """Check that an open file matches its item; otherwise wrong pixels would look plausible.

    Args:
        footprint: of the item, EPSG:4326.
        numbers: bands that will be read.
        expects: type of the numbers in the file; None: any.
        dtype: type of the result.

    Raises:
        ValueError: the file has no coordinate reference system, too few bands, numbers of another type, or
            lies outside the footprint.
    """
    if file.crs is None:
        points = file.gcps[0]
        only = f", only {len(points)} ground control points" if points else ""
        raise ValueError(f"it has no coordinate reference system{only}")
    if max(numbers) > file.count:
        raise ValueError(f"band {max(numbers)} is needed, but it has {file.count}")
    for number in numbers:
        kind = file.dtypes[number - 1]
        if expects is not None and kind != expects:
            raise ValueError(f"its numbers are {kind}, {expects} was expected")
        if dtype.kind != "f" and not np.can_cast(kind, dtype):
            raise ValueError(f"its numbers are {kind}, which {dtype} cannot hold")
    ground = _ground(file.crs.to_wkt(), tuple(file.bounds))
    if not shapely.intersects(ground, footprint):
        edges = ", ".join(f"{edge:.4f}" for edge in bounds_of(ground))
        raise ValueError(f"it lies at {edges} (west, south, east, north), outside its item's footprint")


@lru_cache(maxsize=256)
def _ground(crs: str, bounds: tuple[float, float, float, float]) -> BaseGeometry:
    """Box around a file, EPSG:4326, in two parts if it lies on both sides of 180 degrees."""
    return boxed(Transformer.from_crs(crs, 4326, always_xy=True).transform_bounds(*bounds))


def decoded(
    file: DatasetReader,
    numbers: Sequence[int],
    nodata: float | None,
    quantity: Quantity,
    cfg: RasterLoadParams,
    load: Load,
    native: Native | None,
) -> Decoded:
    """Bands of an open file around the box of `load`.

    Raises:
        ContentError: the scale and offset tags of the file contradict its item.
    """
    import rasterio
    from rasterio.windows import Window as FileWindow

    def overview(level: int) -> DatasetReader:
        # while `file` is open its header is kept, and not requested again
        return rasterio.open(file.name, driver=file.driver, overview_level=level)

    grid = Grid(file.crs.to_wkt(), file.transform, file.shape)
    level = load.level(grid, tuple(file.overviews(1))) if cfg.use_overviews else -1
    if level >= 0 and cfg.nearest and not sampled(file, level, overview):
        level = -1
    with overview(level) if level >= 0 else nullcontext(file) as source:
        window = load.window(grid, source.shape, nearest=cfg.nearest, reach=native.reach if native else 0)
        if window.span is None:
            return Decoded(window, {})
        pixels = window_of(source, numbers, window.span)
        part = FileWindow.from_slices(*window.span)
        bands = values_of(source, pixels, numbers, part, nodata, quantity, np.dtype(cfg.dtype))
    if native is not None:
        for position, number in enumerate(numbers):
            zero = np.isneginf(pixels[position]) if 0 in quantity.fills else pixels[position] == 0
            bands[number] = _stepped(bands[number], zero, native)
    return Decoded(window, bands)


def _stepped(coded: Floats, zero: NDArray[np.bool_], native: Native) -> Floats:
    """The result of a native step; pixels without one keep their code, and valid ones become `ABSENT`."""
    valid = np.isfinite(coded)
    found = native.step(np.where(valid, coded, np.float32(np.nan)))
    codes = np.where(valid, ABSENT, coded)
    if native.faint:
        codes[(codes == ABSENT) & ~valid & ~zero] = np.nan
    return np.where(np.isfinite(found), found, codes)


def _overview(factors: Sequence[int], rows: Doubles, cols: Doubles) -> int:
    """The coarsest overview that is not coarser than a box at these positions, -1 for the file itself."""
    if not factors:
        return -1
    steps = [np.abs(np.diff(at, axis=axis)) for axis, at in enumerate((rows, cols)) if at.shape[axis] > 1]
    scale = min((float(np.median(step)) for step in steps), default=1.0)
    # a margin of a tenth: the scale differs a little over a zone, but all boxes must use the same overview
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
    """The part of a file that `geobox` needs; `at` holds the positions of its pixels in the file."""
    scale = shape[0] / grid.shape[0], shape[1] / grid.shape[1]
    rows, cols = at if shape == grid.shape else (at[0] * scale[0], at[1] * scale[1])
    span = _span(shape, (rows, cols), nearest, reach)
    if span is not None:
        rows, cols = rows - span[0].start, cols - span[1].start
    return Window(grid, geobox, scale, span, rows, cols)


def _span(
    shape: tuple[int, int], at: tuple[Doubles, Doubles], nearest: bool, reach: int
) -> tuple[slice, slice] | None:
    """Rows and columns of the file that interpolation at the positions uses; None if all lie outside."""
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
