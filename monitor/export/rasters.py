"""Write layers of the cube to raster files, tile by tile: cloud-optimised GeoTIFF and Zarr."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # raised when a file is copied; rasterio has no public name for it
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window

from monitor.drawing.palette import CLASSES, rgb
from monitor.errors import MonitorError
from monitor.export.formats import beside, part_of
from monitor.grid import Tile, geobox_at
from monitor.progress import Progress
from monitor.settings import Region
from storage.cube_layout import LAYERS
from storage.cube_view import CubeView
from storage.exports import SourceItem

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: colours of classes, red, green and blue; codes that are not listed are black
COLOURS: Mapping[str, Mapping[int, tuple[int, int, int]]] = {
    layer: {code: rgb(colour) for code, colour in colours.items()} for layer, colours in CLASSES.items()
}
#: edge of a GeoTIFF's blocks, pixels
BLOCK = 512
#: GDAL's cache of blocks, bytes; its default is 5 % of the machine's memory
_MEMORY = {"GDAL_CACHEMAX": 256 * 2**20}


@dataclass(frozen=True)
class SeasonPixels:
    """A region's pixels of a season in the cube."""

    region: Region
    season: int
    view: CubeView
    tag: str | None
    model: str | None
    tiles: Mapping[int, Sequence[Tile]]
    """Tiles that were written, by EPSG code of their zone."""
    scenes: Sequence[SourceItem]

    @property
    def cube(self) -> str:
        return self.tag or self.view.snapshot

    @cached_property
    def tags(self) -> dict[str, str]:
        """Metadata of every file."""
        known = {
            "region": self.region.name,
            "season": str(self.season),
            "model": self.model,
            "cube_tag": self.tag,
        }
        return {name: value for name, value in known.items() if value} | {"cube_snapshot": self.view.snapshot}


@dataclass(frozen=True)
class Extent:
    """The smallest rectangle around tiles of one zone, in global pixels."""

    tiles: Sequence[Tile]
    row: int
    col: int
    shape: tuple[int, int]

    @classmethod
    def over(cls, tiles: Sequence[Tile]) -> Extent:
        top, left = min(tile.row for tile in tiles), min(tile.col for tile in tiles)
        bottom = max(tile.row + tile.size for tile in tiles)
        right = max(tile.col + tile.size for tile in tiles)
        return cls(tiles, top, left, (bottom - top, right - left))

    @property
    def epsg(self) -> int:
        return self.tiles[0].epsg

    @property
    def geobox(self) -> GeoBox:
        return geobox_at(self.epsg, self.row, self.col, self.shape)

    def window(self, tile: Tile) -> tuple[slice, slice]:
        """Rows and columns of a tile in the rectangle."""
        top, left = tile.row - self.row, tile.col - self.col
        return slice(top, top + tile.size), slice(left, left + tile.size)


def pieces(
    pixels: SeasonPixels, extent: Extent, layer: str, done: Callable[[], None]
) -> Iterator[tuple[tuple[slice, slice], NDArray[Any]]]:
    """Rows and columns of each tile in the rectangle, and its pixels; calls `done` after each tile."""
    for tile in extent.tiles:
        rows, cols = slice(tile.row, tile.row + tile.size), slice(tile.col, tile.col + tile.size)
        yield extent.window(tile), pixels.view.read(tile.epsg, pixels.season, rows, cols, layer)
        done()


def is_class(layer: str) -> bool:
    return not LAYERS[layer].dtype.startswith("float")


def write_cog(pixels: SeasonPixels, extent: Extent, layer: str, path: Path, progress: Progress) -> None:
    """Write the tiles to a plain GeoTIFF, then copy it to a cloud-optimised one with overviews."""
    block = BLOCK if extent.tiles[0].size % BLOCK == 0 else BLOCK // 2
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": extent.shape[0],
        "width": extent.shape[1],
        "count": 1,
        "dtype": LAYERS[layer].dtype,
        "nodata": LAYERS[layer].fill,
        "crs": f"EPSG:{extent.epsg}",
        "transform": extent.geobox.affine,
        "tiled": True,
        "blockxsize": block,
        "blockysize": block,
        "compress": "zstd",
        "zstd_level": 1,
        "sparse_ok": True,  # tiles that were not run take no space
        "bigtiff": "if_safer",
    }
    about = LAYERS[layer].attributes
    with part_of(path) as part, writing(path), beside(path, "tiles") as tiles, rasterio.Env(**_MEMORY):
        with (
            progress.count(f"{layer} {extent.epsg}", len(extent.tiles)) as done,
            rasterio.open(tiles, "w", **profile) as file,
        ):
            file.update_tags(layer=layer, **pixels.tags)
            file.update_tags(1, **{name: tag_text(value) for name, value in about.items()})
            file.set_band_description(1, str(about.get("long_name", layer)))
            if "units" in about:
                file.set_band_unit(1, str(about["units"]))
            if layer in COLOURS:
                file.write_colormap(1, {int(value): colour for value, colour in COLOURS[layer].items()})
                file.colorinterp = [ColorInterp.palette]
            digests = {}
            for (rows, cols), values in pieces(pixels, extent, layer, done):
                window = Window.from_slices(rows, cols)
                file.write(values, 1, window=window)
                digests[window] = _digest(values)
        with progress.stage(f"{path.name}: overviews"):
            rasterio.shutil.copy(
                tiles,
                part,
                driver="COG",
                BLOCKSIZE=BLOCK,
                COMPRESS="DEFLATE",
                PREDICTOR="YES",
                # the average of two class codes would be the code of another class
                OVERVIEW_RESAMPLING="NEAREST" if is_class(layer) else "AVERAGE",
                OVERVIEWS="IGNORE_EXISTING",
                SPARSE_OK="TRUE",
                BIGTIFF="IF_SAFER",
                NUM_THREADS="ALL_CPUS",
            )
            _verify(part, path, digests)


def _digest(values: NDArray[Any]) -> int:
    """Checksum of pixels; all NaN are the same."""
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    return zlib.crc32(values.tobytes())


def _verify(part: Path, path: Path, digests: Mapping[Window, int]) -> None:
    """Read a COG again: on a full disk GDAL's threads leave blocks out, and the copy reports no error.

    Every pixel must be as it was written. A block of an overview may be empty only where the
    level below it is.

    Raises:
        MonitorError: the file is incomplete.
        RasterioError: a block cannot be read.
    """
    incomplete = MonitorError(
        f"{path} could not be written completely; no file was left there. Check the free space on its disk"
    )
    with rasterio.open(part) as file:
        for window, digest in digests.items():
            if _digest(file.read(1, window=window)) != digest:
                raise incomplete
        levels = len(file.overviews(1))
    for level in range(levels):
        finer = {} if level == 0 else {"overview_level": level - 1}
        with rasterio.open(part, overview_level=level) as small, rasterio.open(part, **finer) as large:
            for _, block in small.block_windows(1):
                if small.dataset_mask(window=block).any():
                    continue
                below = Window(2 * block.col_off, 2 * block.row_off, 2 * block.width, 2 * block.height)
                if (large.dataset_mask(window=below) > 0).mean() > 0.5:
                    raise incomplete


def write_zarr(
    pixels: SeasonPixels, extent: Extent, names: Sequence[str], path: Path, progress: Progress
) -> None:
    """Write a Zarr 3 group with y, x and the CRS by the CF conventions; its chunks are the cube's tiles."""
    import dask.array
    import xarray
    from odc.geo.xr import xr_coords

    empty: Callable[..., Any] = dask.array.full  # dask carries no types
    side = extent.tiles[0].size
    # only the metadata of the rectangle is written here; the pixels follow tile by tile
    described = xarray.Dataset(
        {
            name: (
                ("y", "x"),
                empty(extent.shape, LAYERS[name].fill, dtype=LAYERS[name].dtype, chunks=side),
                {**LAYERS[name].attributes, "grid_mapping": "spatial_ref"},
            )
            for name in names
        },
        coords={**xr_coords(extent.geobox), "season": pixels.season},
        attrs={"Conventions": "CF-1.11", **pixels.tags},
    )
    for axis in ("x", "y"):
        described[axis].attrs |= {"standard_name": f"projection_{axis}_coordinate", "units": "m"}
    # the array's fill value and not CF's _FillValue: xarray then opens classes as integers
    encoding = {name: {"fill_value": LAYERS[name].fill} for name in names}
    with part_of(path) as part, writing(path):
        how: dict[str, Any] = {"zarr_format": 3, "consolidated": False}
        described.to_zarr(part, mode="w", compute=False, encoding=encoding, **how)
        with progress.count(f"zarr {extent.epsg}", len(extent.tiles) * len(names)) as done:
            for name in names:
                for (rows, cols), values in pieces(pixels, extent, name, done):
                    piece = xarray.Dataset({name: (("y", "x"), values)})
                    piece.to_zarr(part, region={"y": rows, "x": cols}, **how)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise failures of rasterio and GDAL as a MonitorError that names the file."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise MonitorError(
            f"{path} could not be written: {error}; no file was left there. Check the free space on its disk"
        ) from error


def tag_text(value: Any) -> str:
    """A layer's attribute as the text of a GDAL tag."""
    return " ".join(str(int(part)) for part in value) if isinstance(value, list) else str(value)
