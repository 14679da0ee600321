"""Elevation around a tile, and its parts that are hidden from the sun or from the radar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monitor.archive.load import load_elevation
from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import Scene
from monitor.grid import pixel_at
from monitor.stack.sight import radar_geometry
from monitor.stack.terrain import RELIEF_STEP, radar_hidden, relief_geobox, terrain_shadow

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: metres; some DEMs have values of at least this size where the height is unknown
NO_HEIGHT = 32000


@dataclass(frozen=True)
class Relief:
    """Elevation of a box and of the surroundings that can hide it from sun and radar."""

    #: the box, 10 m
    geobox: GeoBox
    #: (H, W) metres on it
    dem: NDArray[np.float32]
    #: the wider box, 30 m
    wide: GeoBox
    #: (h, w) metres on the wider box
    heights: NDArray[np.float32]

    def shadow(self, scene: Scene) -> NDArray[np.bool_] | None:
        """Pixels in terrain shadow in an optical scene, (H, W); None where the sun's angles are unknown."""
        if scene.sun is None:
            return None
        return terrain_shadow(self.heights, self.wide, self.geobox, *scene.sun)

    def hidden(self, scene: Scene) -> NDArray[np.bool_]:
        """Pixels in layover or radar shadow in a radar scene, (H, W)."""
        return radar_hidden(self.heights, self.wide, self.geobox, radar_geometry(scene.item))


def read_relief(scenes: Sequence[Scene], profile: CatalogProfile, geobox: GeoBox) -> Relief:
    """Elevation of the box and its surroundings: each pixel from the first DEM tile that has it."""
    wide = relief_geobox(geobox)
    fine = wide.zoom_out(1 / RELIEF_STEP)
    dem = load_elevation(scenes, profile, fine).to_numpy()
    dem[np.abs(dem) >= NO_HEIGHT] = np.nan
    rows, cols = wide.shape
    heights = dem.reshape(rows, RELIEF_STEP, cols, RELIEF_STEP).mean(axis=(1, 3))
    row, col = pixel_at(geobox.affine.c, geobox.affine.f)
    top, left = pixel_at(fine.affine.c, fine.affine.f)
    height, width = geobox.shape
    here = np.s_[row - top : row - top + height, col - left : col - left + width]
    return Relief(geobox, dem[here], wide, heights)
