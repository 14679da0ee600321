"""Reading bands of one item onto a box: each block of a file once, every failure tried again, then named.

A file's own georeference is believed, never the item's `proj:*`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from monitor.archive.profiles import CatalogProfile
from monitor.archive.resampling import Doubles, Floats, bilinear, nearest, places
from monitor.archive.retries import is_remote, tried
from monitor.archive.scenes import Scene

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

#: heaps of the process and the option's number (malloc.h of the GNU C library)
HEAPS, M_ARENA_MAX = 2, -8
#: GDAL while a file is read
GDAL = {
    # one read holds little more than its window; a share of the machine's memory for every worker is too much
    "GDAL_CACHEMAX": 256 * 2**20,
}
#: GDAL while a file is read over the network: over HTTP by `monitor.archive.ranges`, from buckets by itself
GDAL_REMOTE = {
    # no listing of the folder and no look for sidecars: the file alone
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    # what was answered is forgotten when a file is closed, or a failure would answer for the next try
    "CPL_VSIL_CURL_NON_CACHED": "/vsis3/:/vsigs/:/vsiaz/",
    # the header of a COG with its block offsets in one request
    "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
    # blocks side by side are one range
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    # ranges of one file share a connection where its server speaks HTTP/2
    "GDAL_HTTP_VERSION": "2",
    "GDAL_HTTP_MULTIPLEX": "YES",
    # a server that says "later" is asked later; other failures are ours to judge
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    # a stalled line ends: nobody answers in 10 s, or less than 4 kB/s for 20 s
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 4096,
    "GDAL_HTTP_LOW_SPEED_TIME": 20,
}


@dataclass(frozen=True)
class Bands:
    """Bands of an item that are read alike."""

    #: the name they are given, to asset key, or "asset.N" for the N-th band of a file
    keys: Mapping[str, str]
    #: None: what the file itself declares
    nodata: float | None
    resampling: Literal["bilinear", "nearest"] = "bilinear"
    dtype: str = "float32"
    #: what is done on a file's own pixels (h, w), NaN for no data, before they are resampled
    native: Callable[[Floats], Floats] | None = None
    #: how many pixels around one `native` looks at
    reach: int = 0
    #: type of the numbers in the file; None: any
    expects: str | None = None


def read(scene: Scene, bands: Bands, profile: CatalogProfile, geobox: GeoBox) -> dict[str, NDArray[Any]]:
    """Bands (H, W) on `geobox`: floats with NaN for no data, integers with `bands.nodata`.

    A pixel has the same bits whatever box asks for it. A box coarser than the file is read from its
    overviews. Files are read side by side, `profile.connections` of them in a process.

    Raises:
        AssetError: a file that cannot be read, or is not what the item promises.
    """
    files: dict[str, dict[str, int]] = {}
    for band, key in bands.keys.items():
        asset, _, number = key.partition(".")
        files.setdefault(asset, {})[band] = int(number or 1)
    pool = _pool(profile.connections)
    jobs = [pool.submit(_read_file, scene, asset, of, bands, profile, geobox) for asset, of in files.items()]
    try:
        found = {band: values for job in jobs for band, values in job.result().items()}
    finally:
        for job in jobs:
            job.cancel()
    return {band: found[band] for band in bands.keys}


@cache
def _pool(connections: int) -> ThreadPoolExecutor:
    """The threads that read, one pool in a process."""
    _share_heaps()
    return ThreadPoolExecutor(connections, thread_name_prefix="reading")


def _share_heaps() -> None:
    """Few heaps for many threads: each keeps what its threads once used, and memory followed the tiles."""
    with suppress(OSError, AttributeError):  # only the GNU C library has them
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, HEAPS)


def _read_file(
    scene: Scene,
    asset: str,
    numbers: Mapping[str, int],
    bands: Bands,
    profile: CatalogProfile,
    geobox: GeoBox,
) -> dict[str, NDArray[Any]]:
    """The bands of one file, by number."""

    def job(address: str) -> list[NDArray[Any]]:
        with opened(address, profile) as file:
            _check(file, scene, tuple(numbers.values()), bands)
            return _onto(file, tuple(numbers.values()), bands, geobox)

    found = tried(scene, (asset, scene.item["assets"][asset]["href"]), profile, job)
    return dict(zip(numbers, found, strict=True))


@contextmanager
def opened(address: str, profile: CatalogProfile) -> Iterator[DatasetReader]:
    """The file at an address or path, for the thread that opens it.

    Raises:
        OSError: it cannot be read, or what was read of it inside the block is not what its server holds.
        GivenUp: as above, and it was tried often enough.
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


def _check(file: DatasetReader, scene: Scene, numbers: Sequence[int], bands: Bands) -> None:
    """A file in the wrong place or of the wrong kind would become plausible numbers."""
    if file.crs is None:
        points = f", only {len(file.gcps[0])} ground control points" if file.gcps[0] else ""
        raise ValueError(f"it has no coordinate reference system{points}")
    if max(numbers) > file.count:
        raise ValueError(f"band {max(numbers)} is asked for, it has {file.count}")
    for number in numbers:
        kind = file.dtypes[number - 1]
        if bands.expects is not None and kind != bands.expects:
            raise ValueError(f"its numbers are {kind}, {bands.expects} was expected")
        if np.dtype(bands.dtype).kind != "f" and not np.can_cast(kind, bands.dtype):
            raise ValueError(f"its numbers are {kind}, which {bands.dtype} cannot hold")
    ground = _ground(file.crs.to_wkt(), tuple(file.bounds))
    if not shapely.intersects(ground, scene.footprint):
        edges = ", ".join(f"{edge:.4f}" for edge in ground.bounds)
        raise ValueError(f"it lies at {edges} (west, south, east, north), outside its item's footprint")


@lru_cache(maxsize=256)
def _ground(crs: str, bounds: tuple[float, float, float, float]) -> shapely.Polygon:
    """Box around a file, EPSG:4326."""
    return shapely.box(*Transformer.from_crs(crs, 4326, always_xy=True).transform_bounds(*bounds))


def _onto(
    file: DatasetReader,
    numbers: Sequence[int],
    bands: Bands,
    geobox: GeoBox,
) -> list[NDArray[Any]]:
    """Bands of an open file on `geobox`."""
    import rasterio

    rows, cols = places(geobox, file.crs.to_wkt(), file.transform)
    level = _overview(file, rows, cols)
    if level < 0:
        return _resampled(file, numbers, bands, rows, cols)
    # while `file` is open its header is known, and not asked for again
    with rasterio.open(file.name, overview_level=level) as coarse:
        down, across = coarse.height / file.height, coarse.width / file.width
        return _resampled(coarse, numbers, bands, rows * down, cols * across)


def _overview(file: DatasetReader, rows: Doubles, cols: Doubles) -> int:
    """The coarsest overview that is not coarser than the box, -1 for the file itself."""
    steps = [np.abs(np.diff(at, axis=axis)) for axis, at in enumerate((rows, cols)) if at.shape[axis] > 1]
    scale = min((float(np.median(step)) for step in steps), default=1.0)
    # a tenth to spare: scale differs a little over a zone, and the choice must not
    fitting = [level for level, factor in enumerate(file.overviews(1)) if factor <= scale * 1.1]
    return fitting[-1] if fitting else -1


def _resampled(
    file: DatasetReader,
    numbers: Sequence[int],
    bands: Bands,
    rows: Doubles,
    cols: Doubles,
) -> list[NDArray[Any]]:
    """Bands of `file` at places."""
    floating = np.dtype(bands.dtype).kind == "f"
    fill = np.nan if floating else bands.nodata or 0
    span = _span(file.shape, rows, cols, bands)
    if span is None:
        return [np.full(np.broadcast_shapes(rows.shape, cols.shape), fill, bands.dtype) for _ in numbers]
    top, left = span[0].start, span[1].start
    values = window_of(file, numbers, span)
    rows, cols = rows - top, cols - left
    if not floating:
        return [nearest(band.astype(bands.dtype), rows, cols, fill) for band in values]
    found = []
    for number, band in zip(numbers, values, strict=True):
        nodata = file.nodatavals[number - 1] if bands.nodata is None else bands.nodata
        numeric = band.astype(np.float32)
        if nodata is not None:
            numeric[band == nodata] = np.nan
        numeric[np.isinf(numeric)] = np.nan
        if bands.native is not None:
            numeric = bands.native(numeric)
        sampled = bilinear if bands.resampling == "bilinear" else _nearest_float
        found.append(sampled(numeric, rows, cols).astype(bands.dtype, copy=False))
    return found


def _nearest_float(values: Floats, rows: Doubles, cols: Doubles) -> Floats:
    return nearest(values, rows, cols, np.nan)


def _span(shape: tuple[int, int], rows: Doubles, cols: Doubles, bands: Bands) -> tuple[slice, slice] | None:
    """The rows and columns of the file that its values at places hang on; None where none lies in it."""
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    if not inside.any():
        return None
    spans = []
    for at, size in zip((rows, cols), shape, strict=True):
        some = np.broadcast_to(at, inside.shape)[inside]
        if bands.resampling == "bilinear":
            first, last = np.floor(some.min() - 0.5), np.ceil(some.max() - 0.5)
        else:
            first, last = np.floor(some.min()), np.floor(some.max())
        spans.append(slice(max(int(first) - bands.reach, 0), min(int(last) + 1 + bands.reach, size)))
    return spans[0], spans[1]


def window_of(file: DatasetReader, numbers: Sequence[int], span: tuple[slice, slice]) -> NDArray[Any]:
    """Native values (bands, h, w) of rows and columns of the file, in one read: each block once."""
    from rasterio.windows import Window

    return np.asarray(file.read(list(numbers), window=Window.from_slices(*span)))
