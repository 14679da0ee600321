"""The stack of a tile from a frozen scene list: a late-summer composite, radar and the DEM.

Every step uses only a fixed neighbourhood of a pixel, and each cell of the global grid has its own order of
scenes, so that a pixel has the same value in every tile.
"""

from __future__ import annotations

import xarray as xr
from odc.geo.xr import xr_coords

from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import SceneList
from monitor.errors import ContentRefusedError
from monitor.grid import Tile
from monitor.stack.backscatter import backscatter
from monitor.stack.composite import composite
from monitor.stack.dataset import on_geobox
from monitor.stack.relief import read_relief
from monitor.stack.turns import plots_of

#: pixels that are read around the stack, so that filters have the same neighbours in every tile
MARGIN = 32


def acquire(scenes: SceneList, profile: CatalogProfile, tile: Tile, halo: int) -> xr.Dataset:
    """The stack of `tile` with a `halo` in pixels on every side.

    Returns:
        A dataset on (y, x) in the CRS of the tile: B01 to B12 (reflectance x 10000, NaN where no date is
        clear), VV and VH (dB, NaN without data), dem (metres above EGM2008, NaN where unknown), day_of_year
        (of the optical date, 0 without one), and the flags cloud, snow, shadow and layover; see
        `monitor.stack.dataset.ATTRIBUTES`. Its attribute "refused", where there is one, has a
        `ContentRefusedError` for each file with wrong numbers in a large part of the tile; their items are
        not used.

    Raises:
        AssetError: a file cannot be read; the error names item, asset and address.
    """
    refused: list[ContentRefusedError] = []
    while True:
        try:
            stack, found = _acquired(scenes, profile, tile, halo)
        except ContentRefusedError as error:
            found = (error.detached(),)
        refused += found
        if not found:
            break
        scenes = scenes.without({error.item for error in found})
    if refused:
        stack.attrs["refused"] = tuple(refused)
    return stack


def _acquired(
    scenes: SceneList, profile: CatalogProfile, tile: Tile, halo: int
) -> tuple[xr.Dataset, tuple[ContentRefusedError, ...]]:
    """The stack of all scenes, and the files with wrong numbers in a large part of the tile."""
    reach = halo + MARGIN
    box = Tile(tile.epsg, tile.size + 2 * reach, tile.row - reach, tile.col - reach)
    core = (slice(reach, reach + tile.size), slice(reach, reach + tile.size))
    relief = read_relief(scenes.dem, profile, box.geobox(), core)
    optical = composite(scenes, box, profile, relief, core)
    radar = backscatter(scenes, plots_of(scenes.choices, box), profile, relief, core)
    ground = on_geobox(relief.geobox, {"dem": relief.dem})
    inner = slice(MARGIN, -MARGIN)
    stack = optical.bands.assign(radar.bands.data_vars).assign(ground.data_vars).isel(y=inner, x=inner)
    # the coordinates of the wider box have another transform in `spatial_ref`
    stack = stack.assign_coords(xr_coords(tile.geobox(halo)))
    return stack, (*relief.refused, *optical.refused, *radar.refused)
