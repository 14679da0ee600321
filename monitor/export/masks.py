"""`monitor export masks`: a season's pixels of a region, as cloud-optimised GeoTIFFs or as Zarr, by UTM zone.

Tiles go one by one from the cube to the file, so that a mountain range needs no more memory than a tile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pystac
import shapely
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension
from pystac.extensions.xarray_assets import XarrayAssetsExtension

from monitor.errors import RefusedError
from monitor.export.formats import RasterFormat, refuse_existing
from monitor.export.items import Told, add_file, new_item, size_of, write_item
from monitor.export.rasters import (
    COLOURS,
    Extent,
    Source,
    write_cog,
    write_zarr,
)
from monitor.grid import PIXEL, Tile, tile_named
from monitor.progress import SILENT, Progress
from monitor.settings import Region
from monitor.workspace import System
from storage import exports, ledger
from storage.cube import LAYERS
from storage.errors import StorageError
from storage.history import surveys

COG_MEDIA_TYPE = pystac.MediaType.COG
ZARR_MEDIA_TYPE = "application/vnd.zarr; version=3"


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


def export_masks(
    system: System, region: Region, wanted: MasksWanted, progress: Progress = SILENT
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
        extent = Extent.over(source.tiles[epsg])
        if wanted.format is RasterFormat.COG:
            for layer, path in places[epsg].items():
                write_cog(source, extent, layer, path, progress)
        else:
            write_zarr(source, extent, wanted.layers, next(iter(places[epsg].values())), progress)
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


def _source(system: System, region: Region, wanted: MasksWanted) -> Source:
    kind = system.workspace.survey_kind
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
    return Source(region, wanted.season, view, tag, model, tiles, scenes)


def _name(source: Source, epsg: int) -> str:
    return f"{source.region.name}-{source.season}-{epsg}"


def _places(source: Source, epsg: int, wanted: MasksWanted) -> dict[str, Path]:
    """The file of each layer; layers of a Zarr store share it."""
    name = _name(source, epsg)
    if wanted.format is RasterFormat.ZARR:
        return dict.fromkeys(wanted.layers, wanted.folder / f"{name}.zarr")
    return {layer: wanted.folder / f"{name}-{layer}.tif" for layer in wanted.layers}


def _item(source: Source, extent: Extent, wanted: MasksWanted, places: Mapping[str, Path]) -> pystac.Item:
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
