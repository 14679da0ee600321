"""Elevation around a tile, and its parts that are hidden from the sun or from the radar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monitor.archive.load import load_elevation
from monitor.archive.profiles import CatalogProfile
from monitor.archive.scenes import Scene, asset_of
from monitor.archive.validity import VOID
from monitor.errors import ContentRefusedError
from monitor.grid import pixel_at
from monitor.stack.sight import radar_geometry
from monitor.stack.spectra import covers, refusal, worst_share
from monitor.stack.terrain import RELIEF_STEP, radar_hidden, relief_geobox, terrain_shadow
from monitor.stack.turns import Window

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: pixels of the widest gap between two DEM tiles that is bridged, two samples of the DEM and their remainders
GAP = 8
#: share of impossible heights in a square (`spectra.SQUARE`) above which a DEM tile is refused; below it they
#: are holes
LOST_SHARE = 0.2


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
    #: DEM tiles whose heights are impossible in a large part of the tile
    refused: tuple[ContentRefusedError, ...] = ()

    def shadow(self, scene: Scene) -> NDArray[np.bool_] | None:
        """Pixels in terrain shadow in an optical scene, (H, W); None where the sun's angles are unknown."""
        if scene.sun is None:
            return None
        return terrain_shadow(self.heights, self.wide, self.geobox, *scene.sun)

    def hidden(self, scene: Scene) -> NDArray[np.bool_]:
        """Pixels in layover or radar shadow in a radar scene, (H, W)."""
        return radar_hidden(self.heights, self.wide, self.geobox, radar_geometry(scene.item))


def read_relief(scenes: Sequence[Scene], profile: CatalogProfile, geobox: GeoBox, core: Window) -> Relief:
    """Elevation of the box and its surroundings: each pixel from the first DEM tile that has it.

    A gap of up to `GAP` pixels between DEM tiles is bridged. A hole in a tile remains a hole.

    Args:
        core: rows and columns of the tile in the box.
    """
    wide = relief_geobox(geobox)
    fine = wide.zoom_out(1 / RELIEF_STEP)
    coded = load_elevation(scenes, profile, fine, coded=True).to_numpy()
    dem = bridged(coded)
    dem = np.where(np.isfinite(dem), dem, np.float32(np.nan))
    rows, cols = wide.shape
    heights = dem.reshape(rows, RELIEF_STEP, cols, RELIEF_STEP).mean(axis=(1, 3))
    row, col = pixel_at(geobox.affine.c, geobox.affine.f)
    top, left = pixel_at(fine.affine.c, fine.affine.f)
    height, width = geobox.shape
    here = np.s_[row - top : row - top + height, col - left : col - left + width]
    refused = _refused(scenes, profile, geobox, coded[here] == VOID, core)
    return Relief(geobox, dem[here], wide, heights, refused)


def _refused(
    scenes: Sequence[Scene],
    profile: CatalogProfile,
    geobox: GeoBox,
    void: NDArray[np.bool_],
    core: Window,
) -> tuple[ContentRefusedError, ...]:
    """The DEM tiles whose heights are impossible in a large part of `core`."""
    if not void.any():
        return ()
    key = asset_of(profile.dem.band)
    found = []
    for scene in scenes:
        covered = covers(scene.footprint, geobox)
        share = worst_share(void & covered, geobox, core)
        fault = "its heights are outside of -500 to 9000 m"
        found.append(
            refusal(scene.id, [(key, scene.item["assets"][key]["href"])], [share], LOST_SHARE, fault)
        )
    return tuple(refused for refused in found if refused is not None)


def bridged(coded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Heights (H, W) with the gaps between tiles interpolated linearly across, along rows or columns.

    Args:
        coded: heights; NaN where no tile has the pixel, infinite in holes of the tiles, which are kept.
    """
    # the second round fills the places where two gaps cross
    for _ in range(2):
        gap = np.isnan(coded)
        if not gap.any() or gap.all():
            break
        down, across = _across(coded.T, gap.T), _across(coded, gap)
        coded = np.where(gap, np.where(np.isnan(across), down.T, across), coded)
    return coded


def _across(heights: NDArray[np.float32], gap: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Interpolated heights (H, W) of gaps along rows; NaN where a gap is wider or ends at a hole."""
    size = heights.shape[1]
    column = np.arange(size, dtype=np.int32)
    before = np.maximum.accumulate(np.where(gap, np.int32(-1), column), axis=1)
    after = np.minimum.accumulate(np.where(gap, np.int32(size), column)[:, ::-1], axis=1)[:, ::-1]
    found = np.full(heights.shape, np.nan, np.float32)
    rows, cols = np.nonzero(gap & (before >= 0) & (after < size) & (after - before <= GAP + 1))
    first, last = before[rows, cols], after[rows, cols]
    low, high = heights[rows, first], heights[rows, last]
    solid = np.isfinite(low) & np.isfinite(high)
    part = ((cols - first) / (last - first)).astype(np.float32)
    found[rows[solid], cols[solid]] = (low + (high - low) * part)[solid]
    return found
