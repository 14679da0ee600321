"""Layout of the cube: layers, groups of a UTM zone, and the season axis.

The group of a zone, such as "32643", holds the array `task` (season, tile_row, tile_col, 16 bytes: the UUID
of the task that wrote the tile) and a group per resolution: "r10m" with all layers, "r20m" to "r640m" with
the sampled mask. Attributes follow CF and the GeoZarr conventions `proj:`, `spatial:` and `multiscales`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np
import zarr
import zarr_cm
from numpy.typing import NDArray
from pyproj import CRS
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from storage.codes import NO_ANSWER, NO_ELEVATION, Index, Reason, Sensor
from storage.errors import StorageError

__all__ = [
    "BYTES_PER_PIXEL",
    "FACTORS",
    "LAYERS",
    "OVERVIEW",
    "PIXEL_M",
    "ZONE_COLS",
    "ZONE_ROWS",
    "Layer",
    "factors_of",
    "grow",
    "level_name",
    "make_zone",
    "overviews",
    "season_index",
    "stores_every_chunk",
    "task_at",
    "zone",
]

PIXEL_M = 10
ZONE_ROWS, ZONE_COLS = 1_000_000, 100_000
NORTH_M = 10_000_000  # northing of the grid's upper edge, in both hemispheres
FACTORS = (1, 2, 4, 8, 16, 32, 64)
"""Grid pixels along the edge of an overview pixel."""
OVERVIEW = "mask"
"""The layer that has overviews."""
EVERY_CHUNK = "every_chunk_is_stored"
"""Attribute of a zone: a written tile has a chunk in every layer, also where all of its pixels have the fill
value. Then a missing chunk is damage. Zones that earlier versions made have no such attribute."""


@dataclass(frozen=True)
class Layer:
    """One array of the cube."""

    dtype: str
    fill: float
    """Value of pixels that were never written."""
    attributes: Mapping[str, Any] = field(default_factory=dict)


def _flags(codes: type[Reason] | type[Index]) -> dict[str, Any]:
    return {
        "flag_values": [code.value for code in codes],
        "flag_meanings": " ".join(code.name.lower() for code in codes),
    }


LAYERS: Mapping[str, Layer] = {
    "probability": Layer("float32", float("nan"), {"long_name": "probability of water", "units": "1"}),
    "mask": Layer(
        "uint8",
        NO_ANSWER,
        {"long_name": "water", "flag_values": [0, 1, NO_ANSWER], "flag_meanings": "dry water no_answer"},
    ),
    "reason": Layer(
        "uint8", Reason.NODATA, {"long_name": "class of the pixel, or why it has none", **_flags(Reason)}
    ),
    "day_of_year": Layer("int16", 0, {"long_name": "day of year of the optical view (0 = none)"}),
    "index": Layer(
        "uint8",
        Index.NODATA,
        {"long_name": "class by an independent water index (MNDWI with gates)", **_flags(Index)},
    ),
    "uncertainty": Layer(
        "float32",
        float("nan"),
        {"long_name": "standard deviation of the probability of water", "units": "1"},
    ),
    "elevation": Layer(
        "int16", NO_ELEVATION, {"long_name": "elevation of the DEM that the model used", "units": "m"}
    ),
    "sources": Layer(
        "uint8",
        0,
        {
            "long_name": "sensors with which the pixel was predicted (0 = none)",
            "flag_masks": [sensor.value for sensor in Sensor],
            "flag_meanings": " ".join(str(sensor.name).lower() for sensor in Sensor),
        },
    ),
}
BYTES_PER_PIXEL = sum(np.dtype(layer.dtype).itemsize for layer in LAYERS.values())
"""Bytes of all layers of one pixel, before compression."""
_PACKED = (BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec())
"""Compression, and a checksum of the compressed bytes: a chunk that was damaged cannot be read unnoticed.
Arrays of zones that earlier versions made have no checksum."""


def level_name(factor: int) -> str:
    """Name of the group of a factor of `FACTORS`."""
    return f"r{PIXEL_M * factor}m"


def factors_of(tile_size: int) -> tuple[int, ...]:
    """The factors of `FACTORS` that divide the tile size."""
    return tuple(factor for factor in FACTORS if tile_size % factor == 0)


def overviews(mask: NDArray[Any]) -> dict[int, NDArray[Any]]:
    """The mask of a tile at every factor above 1: the middle pixel of each block, since classes cannot be
    averaged."""
    return {
        factor: mask[factor // 2 :: factor, factor // 2 :: factor]
        for factor in factors_of(len(mask))
        if factor > 1
    }


def make_zone(root: zarr.Group, epsg: int, tile_size: int) -> zarr.Group:
    """Create the group of a UTM zone with an empty season axis; its area is padded to whole tiles."""
    if not (32601 <= epsg <= 32660 or 32701 <= epsg <= 32760):
        raise StorageError(f"EPSG:{epsg} is no UTM zone; the cube holds EPSG:32601-32660 and 32701-32760.")
    tile_rows, tile_cols = -(-ZONE_ROWS // tile_size), -(-ZONE_COLS // tile_size)
    factors = factors_of(tile_size)
    attributes = {**_zone_attributes(epsg, factors), EVERY_CHUNK: True}
    group = root.create_group(str(epsg), attributes=attributes)
    group.create_array(
        "task",
        shape=(0, tile_rows, tile_cols, 16),
        chunks=(1, 1, 1, 16),
        dtype="uint8",
        fill_value=0,
        compressors=(Crc32cCodec(),),
        dimension_names=("season", "tile_row", "tile_col", "byte"),
        attributes={"long_name": "UUID of the task that wrote the tile (all zero = none)"},
    )
    _season_axis(group)
    for factor in factors:
        rows, cols = tile_rows * tile_size // factor, tile_cols * tile_size // factor
        level = group.create_group(level_name(factor), attributes=_level_attributes(epsg, factor, rows, cols))
        for name in LAYERS if factor == 1 else [OVERVIEW]:
            _lay_out(level, name, (0, rows, cols), tile_size // factor)
        _season_axis(level)
        _axes(level, epsg, factor, rows, cols)
    return group


def _zone_attributes(epsg: int, factors: tuple[int, ...]) -> dict[str, Any]:
    layout: list[dict[str, Any]] = [{"asset": level_name(1), "transform": {"scale": [1.0, 1.0]}}]
    for before, factor in pairwise(factors):
        step = factor / before
        layout.append(
            {
                "asset": level_name(factor),
                "derived_from": level_name(before),
                "transform": {"scale": [step, step], "translation": [0.0, 0.0]},
                "resampling_method": "nearest",
            }
        )
    return zarr_cm.create_many({"proj": {"proj:code": f"EPSG:{epsg}"}, "multiscales": {"layout": layout}})


def _level_attributes(epsg: int, factor: int, rows: int, cols: int) -> dict[str, Any]:
    pixel = float(PIXEL_M * factor)
    spatial: dict[str, Any] = {
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": [pixel, 0.0, 0.0, 0.0, -pixel, float(NORTH_M)],
        "spatial:shape": [rows, cols],
        "spatial:bbox": [0.0, NORTH_M - rows * pixel, cols * pixel, float(NORTH_M)],
    }
    return zarr_cm.create_many({"proj": {"proj:code": f"EPSG:{epsg}"}, "spatial": spatial})


def _season_axis(group: zarr.Group) -> None:
    group.create_array(
        "season",
        shape=(0,),
        chunks=(1024,),
        dtype="int16",
        compressors=(ZstdCodec(), Crc32cCodec()),
        dimension_names=("season",),
    )


def _axes(level: zarr.Group, epsg: int, factor: int, rows: int, cols: int) -> None:
    """Create the coordinates of the pixels' centres and the CRS variable of CF."""
    pixel = PIXEL_M * factor
    y = NORTH_M - pixel * (np.arange(rows) + 0.5)
    x = pixel * (np.arange(cols) + 0.5)
    for name, values in (("y", y), ("x", x)):
        axis = level.create_array(
            name,
            shape=values.shape,
            chunks=values.shape,
            dtype="float64",
            compressors=_PACKED,
            dimension_names=(name,),
            attributes={"units": "m", "standard_name": f"projection_{name}_coordinate"},
        )
        axis[:] = values
    wkt = CRS.from_epsg(epsg).to_wkt()
    # No GeoTransform attribute: after a selection it would still be that of the whole zone, and rioxarray
    # would use it.
    reference: dict[str, Any] = {"crs_wkt": wkt, "spatial_ref": wkt}
    level.create_array("spatial_ref", shape=(), dtype="int64", attributes=reference)


def _lay_out(level: zarr.Group, name: str, shape: tuple[int, ...], chunk: int) -> None:
    layer = LAYERS[name]
    level.create_array(
        name,
        shape=shape,
        chunks=(1, chunk, chunk),
        dtype=layer.dtype,
        fill_value=layer.fill,
        compressors=_PACKED,
        dimension_names=("season", "y", "x"),
        attributes={**layer.attributes, "grid_mapping": "spatial_ref"},
    )


def zone(root: zarr.Group, epsg: int) -> zarr.Group:
    """The group of a prepared zone. Raises StorageError when the zone is not prepared."""
    group = root.get(str(epsg))
    if not isinstance(group, zarr.Group):
        raise StorageError(f"The cube holds nothing in EPSG:{epsg} yet; prepare its season first.")
    return group


def array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array by its path in a group. Raises StorageError when it is missing."""
    found = group.get(name)
    if not isinstance(found, zarr.Array):
        raise StorageError(
            f"The cube has lost {group.path}/{name}: its metadata is damaged. Check the path, or restore the "
            "cube from a backup."
        )
    return found


def seasons(group: zarr.Group) -> list[int]:
    """Seasons of a zone in the order in which they were added."""
    return [int(season) for season in np.asarray(array(group, "season")[:])]


def season_index(group: zarr.Group, season: int) -> int:
    """Position of a season on the axis. Raises StorageError when the season is missing."""
    known = seasons(group)
    if season not in known:
        raise StorageError(
            f"The cube has no season {season} in EPSG:{group.basename} (it has {sorted(known)}); "
            "prepare it first."
        )
    return known.index(season)


def task_at(keys: zarr.Array[Any], index: int, tile_row: int, tile_col: int) -> UUID | None:
    """The task that wrote a tile; None if there is none, or if its key is damaged."""
    try:
        key = np.asarray(keys[index, tile_row, tile_col, :]).tobytes()
    except ValueError:
        return None
    return UUID(bytes=key) if any(key) else None


def stores_every_chunk(group: zarr.Group) -> bool:
    """Whether a written tile of a zone has a chunk in every layer."""
    return group.attrs.get(EVERY_CHUNK) is True


def write(found: zarr.Array[Any], index: int, row: int, col: int, values: NDArray[Any]) -> None:
    """Write a whole chunk (rows, cols) of a season, also if all of its pixels have the fill value."""
    rows, cols = values.shape
    stored = found.with_config({"write_empty_chunks": True})
    stored[index, row : row + rows, col : col + cols] = values


def lacking(group: zarr.Group) -> list[str]:
    """The layers that a zone lacks because an earlier version made it."""
    return [name for name in LAYERS if f"{level_name(1)}/{name}" not in group]


def complete(group: zarr.Group, tile_size: int) -> None:
    """Create the layers that a zone lacks, without a value in all of its seasons."""
    shape = array(group, f"{level_name(1)}/{OVERVIEW}").shape
    for name in lacking(group):
        _lay_out(group.require_group(level_name(1)), name, shape, tile_size)


def grow(group: zarr.Group, season: int) -> None:
    """Append a season to the axis of every array of a zone."""
    count = len(seasons(group))
    for _, level in group.groups():
        names = [name for name in LAYERS if name in level]
        _append(level, (*names, "season"), count, season)
    _append(group, ("task", "season"), count, season)


def _append(group: zarr.Group, names: tuple[str, ...], count: int, season: int) -> None:
    for name in names:
        grown = array(group, name)
        grown.resize((count + 1, *grown.shape[1:]))
    array(group, "season")[count] = season


def whole(layers: Mapping[str, NDArray[Any]], tile_size: int) -> dict[str, NDArray[Any]]:
    """Check the layers of a tile and convert them to the types of the cube.

    Raises StorageError, naming the layer, when one is missing, unknown, or of another shape or type.
    """
    if set(layers) != set(LAYERS):
        wrong = sorted(set(layers) ^ set(LAYERS))
        raise StorageError(
            f"A tile needs exactly the layers {', '.join(LAYERS)}; missing or unknown: {', '.join(wrong)}."
        )
    for name, values in layers.items():
        if values.shape != (tile_size, tile_size):
            raise StorageError(
                f"Layer {name} is {values.shape}, but the cube's tiles are {tile_size} x {tile_size}."
            )
        if not np.can_cast(values.dtype, LAYERS[name].dtype, casting="same_kind"):
            raise StorageError(f"Layer {name} is {values.dtype}, but the cube holds {LAYERS[name].dtype}.")
    return {name: np.ascontiguousarray(values, LAYERS[name].dtype) for name, values in layers.items()}
