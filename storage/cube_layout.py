"""The cube's arrays: which layers there are, how a UTM zone is laid out, and how its season axis grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from pyproj import CRS
from zarr.codecs import BloscCodec

from storage.codes import NO_ELEVATION, Reason
from storage.errors import StorageError

__all__ = [
    "BYTES_PER_PIXEL",
    "LAYERS",
    "PIXEL_M",
    "ZONE_COLS",
    "ZONE_ROWS",
    "Layer",
    "complete",
    "grow",
    "make_zone",
    "season_index",
    "zone",
]

PIXEL_M = 10
ZONE_ROWS, ZONE_COLS = 1_000_000, 100_000
NORTH_M = 10_000_000  # northing of the grid's upper edge, in both hemispheres


@dataclass(frozen=True)
class Layer:
    """One array of the cube."""

    dtype: str
    fill: float
    """What a pixel reads that nobody wrote."""
    attributes: Mapping[str, Any] = field(default_factory=dict)


LAYERS: Mapping[str, Layer] = {
    "probability": Layer("float32", float("nan"), {"long_name": "probability of water", "units": "1"}),
    "mask": Layer(
        "uint8",
        255,
        {"long_name": "water", "flag_values": [0, 1, 255], "flag_meanings": "dry water no_answer"},
    ),
    "reason": Layer(
        "uint8",
        Reason.NODATA,
        {
            "long_name": "why the pixel holds what it holds",
            "flag_values": [reason.value for reason in Reason],
            "flag_meanings": " ".join(reason.name.lower() for reason in Reason),
        },
    ),
    "day_of_year": Layer("int16", 0, {"long_name": "day of year of the optical view (0 = none)"}),
    "index": Layer(
        "uint8",
        255,
        {
            "long_name": "opinion of an independent water index (MNDWI with gates)",
            "flag_values": [0, 1, 2, 3, 4, 5, 255],
            "flag_meanings": "dry water snow shadow radar turbid no_data",
        },
    ),
    "uncertainty": Layer(
        "float32",
        float("nan"),
        {"long_name": "standard deviation of the probability of water", "units": "1"},
    ),
    "elevation": Layer(
        "int16", NO_ELEVATION, {"long_name": "elevation of the DEM that the model saw", "units": "m"}
    ),
}
BYTES_PER_PIXEL = sum(np.dtype(layer.dtype).itemsize for layer in LAYERS.values())
"""Of all layers, before compression."""
_PACKED = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")


def make_zone(root: zarr.Group, epsg: int, tile_size: int) -> zarr.Group:
    """Lay out the group of a UTM zone with an empty season axis; the area is padded to whole tiles."""
    if not (32601 <= epsg <= 32660 or 32701 <= epsg <= 32760):
        raise StorageError(f"EPSG:{epsg} is no UTM zone; the cube holds EPSG:32601-32660 and 32701-32760.")
    tile_rows, tile_cols = -(-ZONE_ROWS // tile_size), -(-ZONE_COLS // tile_size)
    rows, cols = tile_rows * tile_size, tile_cols * tile_size
    group = root.create_group(str(epsg))
    for name in LAYERS:
        _lay_out(group, name, (0, rows, cols), tile_size)
    group.create_array(
        "task",
        shape=(0, tile_rows, tile_cols, 16),
        chunks=(1, 1, 1, 16),
        dtype="uint8",
        fill_value=0,
        compressors=None,
        dimension_names=("season", "tile_row", "tile_col", "byte"),
        attributes={"long_name": "UUID of the task that wrote the tile (all zero = none)"},
    )
    group.create_array("season", shape=(0,), chunks=(1024,), dtype="int16", dimension_names=("season",))
    y = NORTH_M - PIXEL_M * (np.arange(rows) + 0.5)
    x = PIXEL_M * (np.arange(cols) + 0.5)
    for name, values in (("y", y), ("x", x)):
        axis = group.create_array(
            name,
            shape=values.shape,
            chunks=values.shape,
            dtype="float64",
            compressors=_PACKED,
            dimension_names=(name,),
            attributes={"units": "m", "standard_name": f"projection_{name}_coordinate"},
        )
        axis[:] = values
    transform = f"0 {PIXEL_M} 0 {NORTH_M} 0 -{PIXEL_M}"
    wkt = CRS.from_epsg(epsg).to_wkt()
    reference: dict[str, Any] = {"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": transform}
    group.create_array("spatial_ref", shape=(), dtype="int64", attributes=reference)
    return group


def _lay_out(group: zarr.Group, name: str, shape: tuple[int, ...], tile_size: int) -> None:
    layer = LAYERS[name]
    group.create_array(
        name,
        shape=shape,
        chunks=(1, tile_size, tile_size),
        dtype=layer.dtype,
        fill_value=layer.fill,
        compressors=_PACKED,
        dimension_names=("season", "y", "x"),
        attributes={**layer.attributes, "grid_mapping": "spatial_ref", "coordinates": "spatial_ref"},
    )


def missing(group: zarr.Group) -> list[str]:
    """Layers that a zone laid out by an earlier version lacks."""
    return [name for name in LAYERS if name not in group]


def complete(group: zarr.Group) -> None:
    """Give a zone the layers it lacks, as long as its season axis and all fill value."""
    shape = array(group, "mask").shape
    for name in missing(group):
        _lay_out(group, name, shape, array(group, "mask").chunks[1])


def zone(root: zarr.Group, epsg: int) -> zarr.Group:
    """The group of a zone that was prepared. Raises StorageError when it was not."""
    group = root.get(str(epsg))
    if not isinstance(group, zarr.Group):
        raise StorageError(f"The cube holds nothing in EPSG:{epsg} yet; prepare its season first.")
    return group


def array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array of a zone, typed. Raises StorageError when the zone was laid out without it."""
    found = group.get(name)
    if found is None:
        raise StorageError(
            f"EPSG:{group.basename} was laid out without {name}, by an earlier version; "
            "prepare its season first."
        )
    if not isinstance(found, zarr.Array):
        raise StorageError(f"The cube's {group.path}/{name} is not an array; the cube is damaged.")
    return found


def seasons(group: zarr.Group) -> list[int]:
    """Seasons of a zone in the order in which they came."""
    return [int(season) for season in np.asarray(array(group, "season")[:])]


def season_index(group: zarr.Group, season: int) -> int:
    """Place of a season on the axis. Raises StorageError when it is not there."""
    known = seasons(group)
    if season not in known:
        raise StorageError(
            f"The cube has no season {season} in EPSG:{group.basename} (it has {sorted(known)}); "
            "prepare it first."
        )
    return known.index(season)


def grow(group: zarr.Group, season: int) -> None:
    """Append a season to the axis of every array."""
    count = len(seasons(group))
    for name in (*LAYERS, "task", "season"):
        grown = array(group, name)
        grown.resize((count + 1, *grown.shape[1:]))
    array(group, "season")[count] = season


def window(group: zarr.Group, season: int, rows: slice, cols: slice, layer: str) -> NDArray[Any]:
    """A window of a layer, in global pixels; fill values where nobody wrote or the zone lacks the layer."""
    lacking = layer not in group
    source = array(group, "mask" if lacking else layer)
    for edge, size in ((rows, source.shape[1]), (cols, source.shape[2])):
        if edge.start is None or edge.stop is None or not 0 <= edge.start <= edge.stop <= size:
            raise StorageError(
                f"Window {rows}, {cols} is not inside EPSG:{group.basename} ({source.shape[1:]} pixels)."
            )
    index = season_index(group, season)
    if lacking:
        shape = rows.stop - rows.start, cols.stop - cols.start
        return np.full(shape, LAYERS[layer].fill, LAYERS[layer].dtype)
    return np.asarray(source[index, rows, cols])


def whole(layers: Mapping[str, NDArray[Any]], tile_size: int) -> dict[str, NDArray[Any]]:
    """All layers of one tile, each of the right shape and type; else StorageError naming the layer."""
    if set(layers) != set(LAYERS):
        wrong = sorted(set(layers) ^ set(LAYERS))
        raise StorageError(
            f"A tile needs exactly the layers {', '.join(LAYERS)}; {', '.join(wrong)} is not so."
        )
    for name, values in layers.items():
        if values.shape != (tile_size, tile_size):
            raise StorageError(
                f"Layer {name} is {values.shape}, but the cube's tiles are {tile_size} x {tile_size}."
            )
        if not np.can_cast(values.dtype, LAYERS[name].dtype, casting="same_kind"):
            raise StorageError(f"Layer {name} is {values.dtype}, but the cube holds {LAYERS[name].dtype}.")
    return {name: np.ascontiguousarray(values, LAYERS[name].dtype) for name, values in layers.items()}
