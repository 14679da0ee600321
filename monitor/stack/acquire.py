"""From a frozen scene list to a stack on a tile's pixels: a late-summer composite, radar and the DEM.

Every step looks no farther than a fixed reach around a pixel, and each cell of the global grid has its own
order of scenes, so that a pixel has the same value whichever tile asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import SceneList
from monitor.grid import Tile
from monitor.stack.backscatter import backscatter
from monitor.stack.composite import composite
from monitor.stack.relief import read_relief
from monitor.stack.turns import plots_of

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

#: pixels read around the stack, so that filters see the same neighbours in every tile
MARGIN = 32


@dataclass(frozen=True)
class Stack:
    """What the segmenter sees of one tile and season, on `geobox`, halo included."""

    geobox: GeoBox
    #: (12, H, W) reflectance x 10000, NaN where no date is clear
    optical: Floats
    #: (2, H, W) VV, VH in dB, NaN where there is none
    radar: Floats
    #: (H, W) metres above EGM2008
    dem: Floats
    #: (H, W) day of the chosen date, 0 where none
    day_of_year: NDArray[np.int16]
    #: (H, W) bool: cloud in every date that saw the pixel
    cloud: Flags
    #: (H, W) bool: snow, ice or frozen in the chosen date, by the catalogue's scene classes
    snow: Flags
    #: (H, W) bool: terrain shadow in the chosen date, by the sun and the DEM
    shadow: Flags
    #: (H, W) bool: layover or radar shadow in the chosen radar scene, by its geometry and the DEM
    layover: Flags


def acquire(scenes: SceneList, profile: CatalogProfile, tile: Tile, halo: int) -> Stack:
    """Read the stack of `tile` with `halo` more pixels on every side.

    Raises:
        AssetError: a file that cannot be read; it names item, asset and address.
    """
    reach = halo + MARGIN
    box = Tile(tile.epsg, tile.size + 2 * reach, tile.row - reach, tile.col - reach)
    relief = read_relief(scenes.dem, profile, box.geobox())
    plots = plots_of(scenes.choices, box)
    layers = composite(scenes, plots, profile, relief) | backscatter(scenes, plots, profile, relief)
    layers["dem"] = relief.dem
    inner = np.s_[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    return Stack(geobox=tile.geobox(halo), **{name: layer[inner] for name, layer in layers.items()})
