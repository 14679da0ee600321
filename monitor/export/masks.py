"""`monitor export masks`: a season's pixels of a region, as cloud-optimised GeoTIFFs or as Zarr, by UTM zone.

Tiles are copied one by one from the cube to the file: memory does not grow with the region.
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
from monitor.export.items import ItemContent, add_file, new_item, size_of, write_item
from monitor.export.rasters import (
    COLOURS,
    Extent,
    SeasonPixels,
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
from storage.history import surveys, tag_of

COG_MEDIA_TYPE = pystac.MediaType.COG
ZARR_MEDIA_TYPE = "application/vnd.zarr; version=3"


@dataclass(frozen=True)
class MasksRequest:
    """The pixels to export, and the folder and format of the files."""

    folder: Path
    format: RasterFormat
    season: int
    layers: tuple[str, ...] = ("mask",)
    tag: str | None = None
    """Of the cube. None: the state from which the current survey was made, or the head if there is none."""
    force: bool = False


@dataclass(frozen=True)
class ZoneWritten:
    """The files of one UTM zone."""

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
    system: System, region: Region, request: MasksRequest, progress: Progress = SILENT
) -> list[ZoneWritten]:
    """Write the pixels of `region` in a season: files and a STAC item for each UTM zone.

    Files cover whole tiles, those of the region in that zone; tiles that were not run are no data. The names
    are `<region>-<season>-<epsg>-<layer>.tif`, or `<region>-<season>-<epsg>.zarr`.

    Raises:
        RefusedError: the layer or tag does not exist, the season was not run, or a file exists already.
        MonitorError, StorageError: a file cannot be written, or the cube cannot be read.
    """
    if unknown := [layer for layer in request.layers if layer not in LAYERS]:
        raise RefusedError(f"--layer {', '.join(unknown)}: the cube has {', '.join(LAYERS)}")
    pixels = _season_pixels(system, region, request)
    zones = sorted(pixels.tiles)
    places = {epsg: _places(pixels, epsg, request) for epsg in zones}
    # a Zarr store has its own item, beside that of the GeoTIFFs of the same season
    ending = ".zarr.json" if request.format is RasterFormat.ZARR else ".json"
    items = {epsg: request.folder / f"{_name(pixels, epsg)}{ending}" for epsg in zones}
    refuse_existing(
        [*items.values(), *(path for files in places.values() for path in files.values())],
        force=request.force,
    )
    try:
        request.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"{request.folder} cannot be a folder to write to: {error}") from error
    written = []
    for epsg in zones:
        extent = Extent.over(pixels.tiles[epsg])
        if request.format is RasterFormat.COG:
            for layer, path in places[epsg].items():
                write_cog(pixels, extent, layer, path, progress)
        else:
            write_zarr(pixels, extent, request.layers, next(iter(places[epsg].values())), progress)
        write_item(_item(pixels, extent, request, places[epsg]), items[epsg])
        files = tuple(dict.fromkeys(places[epsg].values()))
        written.append(
            ZoneWritten(
                region=region.name,
                season=request.season,
                epsg=epsg,
                files=files,
                item=items[epsg],
                tiles=len(extent.tiles),
                shape=extent.shape,
                model=pixels.model,
                cube=pixels.cube,
                bytes=sum(size_of(file) for file in files),
            )
        )
    return written


def _season_pixels(system: System, region: Region, request: MasksRequest) -> SeasonPixels:
    kind, cube = system.workspace.survey_kind, system.cube(region.name)
    with system.database.connect() as conn:
        made = surveys(conn, region.name)
        named = {tile_named(task.tile) for task in ledger.tasks(conn, region.name, request.season, kind=kind)}
        scenes = exports.source_items(conn, region.name, request.season, kind)
    made = made[(made.kind == kind) & (made.season == request.season)]
    tags = {
        tag: survey
        for survey in made.itertuples()
        if (tag := cube.latest_tag(tag_of(region.name, request.season, str(survey.id))))
    }
    tag = request.tag
    if tag is None:
        tag = next((name for name, survey in tags.items() if survey.current), None)
    try:
        view = cube.view(tag)
    except StorageError as error:
        raise RefusedError(f"--tag {tag}: {error}") from error
    tiles: dict[int, list[Tile]] = {}
    for epsg in sorted({tile.epsg for tile in named}):
        there = view.written(epsg, request.season)
        mine = [t for t in sorted(named) if t.epsg == epsg and (t.row // t.size, t.col // t.size) in there]
        if mine:
            tiles[epsg] = mine
    if not tiles:
        where = f"the cube at {cube.place}" + (f", tag {tag}," if tag else "")
        raise RefusedError(
            f"--season {request.season}: {where} holds no tile of {region.name} in that season; "
            f"`monitor run --region {region.name} --season {request.season}` makes them"
        )
    # the model is unknown for the head and for a tag that belongs to no survey
    survey = tags.get(tag) if tag else None
    model = None if survey is None else str(survey.source)
    return SeasonPixels(region, request.season, view, tag, model, tiles, scenes)


def _name(pixels: SeasonPixels, epsg: int) -> str:
    return f"{pixels.region.name}-{pixels.season}-{epsg}"


def _places(pixels: SeasonPixels, epsg: int, request: MasksRequest) -> dict[str, Path]:
    """The file of each layer; all layers share one Zarr store."""
    name = _name(pixels, epsg)
    if request.format is RasterFormat.ZARR:
        return dict.fromkeys(request.layers, request.folder / f"{name}.zarr")
    return {layer: request.folder / f"{name}-{layer}.tif" for layer in request.layers}


def _item(
    pixels: SeasonPixels, extent: Extent, request: MasksRequest, places: Mapping[str, Path]
) -> pystac.Item:
    window = pixels.region.season
    content = ItemContent(
        id=_name(pixels, extent.epsg) + ("-zarr" if request.format is RasterFormat.ZARR else ""),
        title=f"{pixels.region.name} {pixels.season}: {', '.join(request.layers)}, EPSG:{extent.epsg}",
        first=window.dates(pixels.season)[0],
        last=window.reserve(pixels.season),
        place=shapely.union_all([tile.footprint() for tile in extent.tiles]),
        properties={
            **{f"lake_monitor:{name}": value for name, value in pixels.tags.items()},
            "lake_monitor:season": pixels.season,
        },
        sources=pixels.scenes,
    )
    item = new_item(content)
    item.common_metadata.gsd = PIXEL
    box = extent.geobox
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=f"EPSG:{extent.epsg}",
        bbox=[float(edge) for edge in box.boundingbox.bbox],
        shape=list(extent.shape),
        transform=[float(number) for number in box.affine[:6]],
    )
    if request.format is RasterFormat.ZARR:
        path = next(iter(places.values()))
        title = ", ".join(str(LAYERS[layer].attributes.get("long_name", layer)) for layer in request.layers)
        asset = add_file(item, "zarr", path, ZARR_MEDIA_TYPE, title, ["data"])
        XarrayAssetsExtension.ext(asset, add_if_missing=True)
        asset.extra_fields["xarray:open_kwargs"] = {"engine": "zarr", "consolidated": False}
        return item
    for layer, path in places.items():
        title = str(LAYERS[layer].attributes.get("long_name", layer))
        asset = add_file(item, layer, path, COG_MEDIA_TYPE, title, ["data"])
        _describe_bands(asset, layer)
    return item


def _describe_bands(asset: pystac.Asset, layer: str) -> None:
    """Describe the values of a layer's file: data type, no data, unit and classes."""
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
