"""`monitor export masks`: a season's pixels of a region, as cloud-optimised GeoTIFFs or as Zarr, by UTM zone.

Tiles go one by one from the cube to the file, so that a mountain range needs no more memory than a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import rasterio
import rasterio.shutil
import shapely
from numpy.typing import NDArray
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension
from pystac.extensions.xarray_assets import XarrayAssetsExtension
from rasterio._err import CPLE_BaseError  # what copying a file raises; no public name leads to it
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window

from monitor.errors import MonitorError, RefusedError
from monitor.export.formats import RasterFormat, beside, part_of, refuse_existing
from monitor.export.items import Told, add_file, new_item, size_of, write_item
from monitor.grid import PIXEL, Tile, geobox_at, tile_named
from monitor.settings import Region
from monitor.system import System
from monitor.watch import UNWATCHED, Watch
from storage import exports, ledger
from storage.codes import Reason
from storage.cube import LAYERS, CubeView
from storage.errors import StorageError
from storage.exports import SourceItem
from storage.history import surveys

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
COG_MEDIA_TYPE = pystac.MediaType.COG
ZARR_MEDIA_TYPE = "application/vnd.zarr; version=3"
#: edge of a GeoTIFF's blocks, pixels
BLOCK = 512
# of blocks that GDAL keeps, bytes; without it a twentieth of the machine's memory
_MEMORY = {"GDAL_CACHEMAX": 256 * 2**20}


@dataclass(frozen=True)
class MasksWanted:
    """Which pixels, in which files."""

    folder: Path
    format: RasterFormat
    season: int
    layers: tuple[str, ...] = ("mask",)
    tag: str | None = None
    """Of the cube; None: the state that the current survey was drawn from, else the head."""
    force: bool = False


@dataclass(frozen=True)
class ZoneWritten:
    """What was written of one UTM zone."""

    region: str
    season: int
    epsg: int
    files: tuple[Path, ...]
    item: Path
    tiles: int
    shape: tuple[int, int]
    """Rows and columns of 10 m."""
    model: str | None
    cube: str
    """Tag of the cube, or the snapshot where it has none."""
    bytes: int


@dataclass(frozen=True)
class _Source:
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


def export_masks(
    system: System, region: Region, wanted: MasksWanted, watch: Watch = UNWATCHED
) -> list[ZoneWritten]:
    """Write what the cube holds of `region` in a season: for every UTM zone its files and a STAC item.

    Files cover the region's tiles of that zone, whole ones; what nobody wrote is no data. They are named
    `<region>-<season>-<epsg>-<layer>.tif`, or `<region>-<season>-<epsg>.zarr`.

    Raises:
        RefusedError: a layer or tag that is not there, a season that was not run, or a file that is there.
        MonitorError, StorageError: a file could not be written, or the cube not be read.
    """
    if unknown := [layer for layer in wanted.layers if layer not in LAYERS]:
        raise RefusedError(f"--layer {', '.join(unknown)}: the cube has {', '.join(LAYERS)}")
    source = _source(system, region, wanted)
    zones = sorted(source.tiles)
    places = {epsg: _places(source, epsg, wanted) for epsg in zones}
    # beside GeoTIFFs of the same season a Zarr store has an item of its own
    ending = ".zarr.json" if wanted.format is RasterFormat.ZARR else ".json"
    items = {epsg: wanted.folder / f"{_name(source, epsg)}{ending}" for epsg in zones}
    refuse_existing(
        [*items.values(), *(path for files in places.values() for path in files.values())], force=wanted.force
    )
    try:
        wanted.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"{wanted.folder} cannot be a folder to write to: {error}") from error
    written = []
    for epsg in zones:
        extent = _Extent.over(source.tiles[epsg])
        if wanted.format is RasterFormat.COG:
            for layer, path in places[epsg].items():
                _write_cog(source, extent, layer, path, watch)
        else:
            _write_zarr(source, extent, wanted.layers, next(iter(places[epsg].values())), watch)
        write_item(_item(source, extent, wanted, places[epsg]), items[epsg])
        files = tuple(dict.fromkeys(places[epsg].values()))
        written.append(
            ZoneWritten(
                region=region.name,
                season=wanted.season,
                epsg=epsg,
                files=files,
                item=items[epsg],
                tiles=len(extent.tiles),
                shape=extent.shape,
                model=source.model,
                cube=source.cube,
                bytes=sum(size_of(file) for file in files),
            )
        )
    return written


@dataclass(frozen=True)
class _Extent:
    """The rectangle of a zone that holds these tiles, in global pixels."""

    tiles: Sequence[Tile]
    row: int
    col: int
    shape: tuple[int, int]

    @classmethod
    def over(cls, tiles: Sequence[Tile]) -> _Extent:
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


def _source(system: System, region: Region, wanted: MasksWanted) -> _Source:
    kind = system.survey_kind
    with system.database.connect() as conn:
        told = surveys(conn, region.name)
        named = {tile_named(task.tile) for task in ledger.tasks(conn, region.name, wanted.season, kind=kind)}
        scenes = exports.source_items(conn, region.name, wanted.season, kind)
    told = told[(told.kind == kind) & (told.season == wanted.season)]
    tags = {f"{region.name}-{wanted.season}-{survey.id}": survey for survey in told.itertuples()}
    tag = wanted.tag
    if tag is None:
        tag = next(
            (name for name, survey in tags.items() if survey.current and name in system.cube.tags()), None
        )
    try:
        view = system.cube.view(tag)
    except StorageError as error:
        raise RefusedError(f"--tag {tag}: {error}") from error
    tiles: dict[int, list[Tile]] = {}
    for epsg in sorted({tile.epsg for tile in named}):
        there = view.written(epsg, wanted.season)
        mine = [t for t in sorted(named) if t.epsg == epsg and (t.row // t.size, t.col // t.size) in there]
        if mine:
            tiles[epsg] = mine
    if not tiles:
        where = f"the cube at {system.cube.place}" + (f", tag {tag}," if tag else "")
        raise RefusedError(
            f"--season {wanted.season}: {where} holds no tile of {region.name} in that season; "
            f"`monitor run --region {region.name} --season {wanted.season}` makes them"
        )
    # of a tag that is no survey's, and of the head, it is not known whose pixels they are
    survey = tags.get(tag) if tag else None
    model = None if survey is None else str(survey.source)
    return _Source(region, wanted.season, view, tag, model, tiles, scenes)


def _name(source: _Source, epsg: int) -> str:
    return f"{source.region.name}-{source.season}-{epsg}"


def _places(source: _Source, epsg: int, wanted: MasksWanted) -> dict[str, Path]:
    """The file of each layer; layers of a Zarr store share it."""
    name = _name(source, epsg)
    if wanted.format is RasterFormat.ZARR:
        return dict.fromkeys(wanted.layers, wanted.folder / f"{name}.zarr")
    return {layer: wanted.folder / f"{name}-{layer}.tif" for layer in wanted.layers}


def _pieces(
    source: _Source, extent: _Extent, layer: str, told: Callable[[], None]
) -> Iterator[tuple[tuple[slice, slice], NDArray[Any]]]:
    """Each tile's place in the rectangle, and its pixels."""
    for tile in extent.tiles:
        rows, cols = slice(tile.row, tile.row + tile.size), slice(tile.col, tile.col + tile.size)
        yield extent.window(tile), source.view.read(tile.epsg, source.season, rows, cols, layer)
        told()


def _is_class(layer: str) -> bool:
    return not LAYERS[layer].dtype.startswith("float")


def _write_cog(source: _Source, extent: _Extent, layer: str, path: Path, watch: Watch) -> None:
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
    with part_of(path) as part, _writing(path), beside(path, "tiles") as tiles, rasterio.Env(**_MEMORY):
        with (
            watch.count(f"{layer} {extent.epsg}", len(extent.tiles)) as told,
            rasterio.open(tiles, "w", **profile) as file,
        ):
            file.update_tags(layer=layer, **source.tags)
            file.update_tags(1, **{name: _said(value) for name, value in about.items()})
            file.set_band_description(1, str(about.get("long_name", layer)))
            if "units" in about:
                file.set_band_unit(1, str(about["units"]))
            if layer in COLOURS:
                file.write_colormap(1, {int(value): colour for value, colour in COLOURS[layer].items()})
                file.colorinterp = [ColorInterp.palette]
            for (rows, cols), values in _pieces(source, extent, layer, told):
                file.write(values, 1, window=Window.from_slices(rows, cols))
        with watch.stage(f"{path.name}: overviews"):
            rasterio.shutil.copy(
                tiles,
                part,
                driver="COG",
                BLOCKSIZE=BLOCK,
                COMPRESS="DEFLATE",
                PREDICTOR="YES",
                # an average of classes would be a class that nobody saw
                OVERVIEW_RESAMPLING="NEAREST" if _is_class(layer) else "AVERAGE",
                OVERVIEWS="IGNORE_EXISTING",
                SPARSE_OK="TRUE",
                BIGTIFF="IF_SAFER",
                NUM_THREADS="ALL_CPUS",
            )


def _write_zarr(source: _Source, extent: _Extent, names: Sequence[str], path: Path, watch: Watch) -> None:
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
    with part_of(path) as part, _writing(path):
        how: dict[str, Any] = {"zarr_format": 3, "consolidated": False}
        described.to_zarr(part, mode="w", compute=False, encoding=encoding, **how)
        with watch.count(f"zarr {extent.epsg}", len(extent.tiles) * len(names)) as told:
            for name in names:
                for (rows, cols), values in _pieces(source, extent, name, told):
                    piece = xarray.Dataset({name: (("y", "x"), values)})
                    piece.to_zarr(part, region={"y": rows, "x": cols}, **how)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise MonitorError(f"{path} could not be written: {error}; nothing was left there") from error


def _said(value: Any) -> str:
    return " ".join(str(int(part)) for part in value) if isinstance(value, list) else str(value)


def _item(source: _Source, extent: _Extent, wanted: MasksWanted, places: Mapping[str, Path]) -> pystac.Item:
    window = source.region.season
    told = Told(
        id=_name(source, extent.epsg) + ("-zarr" if wanted.format is RasterFormat.ZARR else ""),
        title=f"{source.region.name} {source.season}: {', '.join(wanted.layers)}, EPSG:{extent.epsg}",
        first=window.dates(source.season)[0],
        last=window.reserve(source.season),
        place=shapely.union_all([tile.footprint() for tile in extent.tiles]),
        properties={
            **{f"lake_monitor:{name}": value for name, value in source.tags.items()},
            "lake_monitor:season": source.season,
        },
        sources=source.scenes,
    )
    item = new_item(told)
    item.common_metadata.gsd = PIXEL
    box = extent.geobox
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=f"EPSG:{extent.epsg}",
        bbox=[float(edge) for edge in box.boundingbox.bbox],
        shape=list(extent.shape),
        transform=[float(number) for number in box.affine[:6]],
    )
    if wanted.format is RasterFormat.ZARR:
        path = next(iter(places.values()))
        title = ", ".join(str(LAYERS[layer].attributes.get("long_name", layer)) for layer in wanted.layers)
        asset = add_file(item, "zarr", path, ZARR_MEDIA_TYPE, title, ["data"])
        XarrayAssetsExtension.ext(asset, add_if_missing=True)
        asset.extra_fields["xarray:open_kwargs"] = {"engine": "zarr", "consolidated": False}
        return item
    for layer, path in places.items():
        title = str(LAYERS[layer].attributes.get("long_name", layer))
        asset = add_file(item, layer, path, COG_MEDIA_TYPE, title, ["data"])
        _say_bands(asset, layer)
    return item


def _say_bands(asset: pystac.Asset, layer: str) -> None:
    """What the numbers of a layer's file are."""
    about, fill = LAYERS[layer].attributes, LAYERS[layer].fill
    band = RasterBand.create(
        nodata="nan" if np.isnan(fill) else float(fill),  # type: ignore[arg-type]
        data_type=DataType(LAYERS[layer].dtype),
        spatial_resolution=PIXEL,
        unit=about.get("units"),
    )
    RasterExtension.ext(asset, add_if_missing=True).bands = [band]
    if "flag_values" not in about:
        return
    names = about["flag_meanings"].split()
    colours = COLOURS.get(layer, {})
    ClassificationExtension.ext(asset, add_if_missing=True).classes = [
        Classification.create(
            value=int(value),
            description=name.replace("_", " "),
            name=name,
            color_hint="".join(f"{part:02X}" for part in colours[value]) if value in colours else None,
        )
        for value, name in zip(about["flag_values"], names, strict=True)
    ]
