"""Layers of the cube into raster files, tile by tile: cloud-optimised GeoTIFF and Zarr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what copying a file raises; no public name leads to it
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window

from monitor.errors import MonitorError
from monitor.export.formats import beside, part_of
from monitor.grid import Tile, geobox_at
from monitor.progress import Progress
from monitor.settings import Region
from storage.codes import Reason
from storage.cube import LAYERS, CubeView
from storage.exports import SourceItem

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: colours of classes, red, green and blue; the rest is black
COLOURS: Mapping[str, Mapping[int, tuple[int, int, int]]] = {
    "mask": {0: (222, 214, 196), 1: (31, 120, 255)},
    "reason": {
        Reason.NODATA: (0, 0, 0),
        Reason.WATER: (31, 120, 255),
        Reason.DRY: (222, 214, 196),
        Reason.CLOUD: (255, 255, 255),
        Reason.SNOW: (178, 235, 242),
        Reason.SHADOW: (70, 70, 90),
        Reason.OUTSIDE: (158, 158, 158),
    },
}
#: edge of a GeoTIFF's blocks, pixels
BLOCK = 512
# of blocks that GDAL keeps, bytes; without it a twentieth of the machine's memory
_MEMORY = {"GDAL_CACHEMAX": 256 * 2**20}


@dataclass(frozen=True)
class Source:
    """A region's season in the cube."""

    region: Region
    season: int
    view: CubeView
    tag: str | None
    model: str | None
    tiles: Mapping[int, Sequence[Tile]]
    """By zone, those that were written."""
    scenes: Sequence[SourceItem]

    @property
    def cube(self) -> str:
        return self.tag or self.view.snapshot

    @cached_property
    def tags(self) -> dict[str, str]:
        """What every file says of itself."""
        said = {
            "region": self.region.name,
            "season": str(self.season),
            "model": self.model,
            "cube_tag": self.tag,
        }
        return {name: value for name, value in said.items() if value} | {"cube_snapshot": self.view.snapshot}


@dataclass(frozen=True)
class Extent:
    """The rectangle of a zone that holds these tiles, in global pixels."""

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
    source: Source, extent: Extent, layer: str, told: Callable[[], None]
) -> Iterator[tuple[tuple[slice, slice], NDArray[Any]]]:
    """Each tile's place in the rectangle, and its pixels."""
    for tile in extent.tiles:
        rows, cols = slice(tile.row, tile.row + tile.size), slice(tile.col, tile.col + tile.size)
        yield extent.window(tile), source.view.read(tile.epsg, source.season, rows, cols, layer)
        told()


def is_class(layer: str) -> bool:
    return not LAYERS[layer].dtype.startswith("float")


def write_cog(source: Source, extent: Extent, layer: str, path: Path, progress: Progress) -> None:
    """A GeoTIFF with the tiles first, then from it the file in the order that a cloud-optimised one has."""
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
        "sparse_ok": True,  # what nobody wrote takes no room
        "bigtiff": "if_safer",
    }
    about = LAYERS[layer].attributes
    with part_of(path) as part, writing(path), beside(path, "tiles") as tiles, rasterio.Env(**_MEMORY):
        with (
            progress.count(f"{layer} {extent.epsg}", len(extent.tiles)) as told,
            rasterio.open(tiles, "w", **profile) as file,
        ):
            file.update_tags(layer=layer, **source.tags)
            file.update_tags(1, **{name: said(value) for name, value in about.items()})
            file.set_band_description(1, str(about.get("long_name", layer)))
            if "units" in about:
                file.set_band_unit(1, str(about["units"]))
            if layer in COLOURS:
                file.write_colormap(1, {int(value): colour for value, colour in COLOURS[layer].items()})
                file.colorinterp = [ColorInterp.palette]
            for (rows, cols), values in pieces(source, extent, layer, told):
                file.write(values, 1, window=Window.from_slices(rows, cols))
        with progress.stage(f"{path.name}: overviews"):
            rasterio.shutil.copy(
                tiles,
                part,
                driver="COG",
                BLOCKSIZE=BLOCK,
                COMPRESS="DEFLATE",
                PREDICTOR="YES",
                # an average of classes would be a class that nobody saw
                OVERVIEW_RESAMPLING="NEAREST" if is_class(layer) else "AVERAGE",
                OVERVIEWS="IGNORE_EXISTING",
                SPARSE_OK="TRUE",
                BIGTIFF="IF_SAFER",
                NUM_THREADS="ALL_CPUS",
            )


def write_zarr(source: Source, extent: Extent, names: Sequence[str], path: Path, progress: Progress) -> None:
    """A Zarr 3 group with y, x and the CRS as CF has it; chunks are the cube's tiles."""
    import dask.array
    import xarray
    from odc.geo.xr import xr_coords

    empty: Callable[..., Any] = dask.array.full  # dask carries no types
    side = extent.tiles[0].size
    # the whole rectangle is only described; pixels follow tile by tile
    described = xarray.Dataset(
        {
            name: (
                ("y", "x"),
                empty(extent.shape, LAYERS[name].fill, dtype=LAYERS[name].dtype, chunks=side),
                {**LAYERS[name].attributes, "grid_mapping": "spatial_ref"},
            )
            for name in names
        },
        coords={**xr_coords(extent.geobox), "season": source.season},
        attrs={"Conventions": "CF-1.11", **source.tags},
    )
    for axis in ("x", "y"):
        described[axis].attrs |= {"standard_name": f"projection_{axis}_coordinate", "units": "m"}
    # as the array's fill, not as CF's _FillValue: classes then stay whole numbers when they are opened
    encoding = {name: {"fill_value": LAYERS[name].fill} for name in names}
    with part_of(path) as part, writing(path):
        how: dict[str, Any] = {"zarr_format": 3, "consolidated": False}
        described.to_zarr(part, mode="w", compute=False, encoding=encoding, **how)
        with progress.count(f"zarr {extent.epsg}", len(extent.tiles) * len(names)) as told:
            for name in names:
                for (rows, cols), values in pieces(source, extent, name, told):
                    piece = xarray.Dataset({name: (("y", "x"), values)})
                    piece.to_zarr(part, region={"y": rows, "x": cols}, **how)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise MonitorError(f"{path} could not be written: {error}; nothing was left there") from error


def said(value: Any) -> str:
    return " ".join(str(int(part)) for part in value) if isinstance(value, list) else str(value)
