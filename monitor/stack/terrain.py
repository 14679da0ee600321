"""Terrain shadow, and layover and radar shadow, from a DEM.

Heights are sampled every 30 m on the grid of the UTM zone and interpolated to rays, straight lines towards
the sun or away from the radar, in steps of a pixel. The positions of the rays are relative to the zone's
origin, and no height farther than REACH is used, so that a pixel has the same bits in every box. A void in
the heights hides nothing and is not hidden.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.ndimage import map_coordinates, maximum_filter1d

from monitor.grid import NORTHING_ORIGIN, PIXEL, WGS84, pixel_at
from monitor.stack.sight import EARTH, ORBIT, Sight, convergence

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: pixels of the 10 m grid per sample of relief, the 30 m of the DEM
RELIEF_STEP = 3
_METRES = RELIEF_STEP * PIXEL
#: steps of a ray that are used from a place; odd, so that a centred filter can be shifted by half its length.
#: A step is a pixel; with steps of 30 m a tenth of all shadow is missed, the strip right behind a crest.
_STEPS = 601
#: metres of a ray that are used: enough for relief 3.3 km above a place under the lowest sun of a season (29
#: degrees, 45 N in late October), or 3.6 km in layover at the steepest beam (31 degrees). For the sun the
#: Earth is taken as flat; its curvature over that distance is 3 m, less than the error of the DEM.
REACH = _STEPS * PIXEL
#: samples of relief beyond REACH, for the interpolation of the last step of the outermost ray
_MARGIN = 1
#: pixels of a square for which one direction of the sun on the grid is used. The direction turns by 0.3
#: degrees across its 41 km, less than the sun's azimuth across a scene, whose item states only the mean
_BLOCK = 4096

Heights = NDArray[np.floating]
Mask = NDArray[np.bool_]


def relief_geobox(geobox: GeoBox) -> GeoBox:
    """The 30 m box of the heights that a 10 m `geobox` needs: wider by REACH, on the lattice of the zone."""
    from odc.geo.geobox import GeoBox

    row, col = pixel_at(geobox.affine.c, geobox.affine.f)
    high, wide = geobox.shape
    reach = math.ceil(REACH / _METRES) + _MARGIN
    top, left = row // RELIEF_STEP - reach, col // RELIEF_STEP - reach
    bottom, right = -(-(row + high) // RELIEF_STEP) + reach, -(-(col + wide) // RELIEF_STEP) + reach
    affine = Affine(_METRES, 0, left * _METRES, 0, -_METRES, NORTHING_ORIGIN - top * _METRES)
    return GeoBox((bottom - top, right - left), affine, geobox.crs)


def terrain_shadow(
    heights: Heights, relief: GeoBox, geobox: GeoBox, sun_azimuth: float, sun_elevation: float
) -> Mask:
    """Cast shadow and self shadow of the terrain.

    A place is in shadow when ground within REACH rises above the ray to the sun (Dozier and Frew 1990). The
    first step of that ray is the slope itself, which rises above the ray where the cosine of illumination is
    zero or less, so that self shadow needs no separate test. Places in grazing light are not in shadow: the
    light is weak but measured. The sun's penumbra (0.5 degrees) is narrower than a sample of relief within
    2 km of the ridge.

    Args:
        heights: metres on `relief`, NaN where unknown.
        relief: `relief_geobox(geobox)`, or any box of that lattice that covers it.
        geobox: 10 m box on the global grid.
        sun_azimuth: degrees clockwise from true north, towards the sun.
        sun_elevation: degrees above the horizon.

    Returns:
        True in shadow, in the shape of `geobox`.
    """
    _check(heights, relief, geobox)
    row, col = pixel_at(geobox.affine.c, geobox.affine.f)
    epsg = _zone(geobox)
    rise = math.tan(math.radians(sun_elevation)) * PIXEL
    dark = np.zeros(geobox.shape, bool)
    for block_row, rows in _blocks(row, geobox.shape[0]):
        for block_col, cols in _blocks(col, geobox.shape[1]):
            azimuth = sun_azimuth - _block_convergence(epsg, block_row, block_col)
            rays = _Rays(_samples(row, rows), _samples(col, cols), azimuth)
            along, ground = rays.lay(heights, relief, behind=0, ahead=_STEPS)
            # metres above the ray through the zone's origin: higher ground hides all lower ground behind it
            level = ground - along * rise
            dark[rows, cols] = rays.read(_highest_ahead(level) - level[:, :-_STEPS]) > 0
    return dark


def radar_hidden(heights: Heights, relief: GeoBox, geobox: GeoBox, sight: Sight) -> Mask:
    """Active and passive layover, and radar shadow.

    Along a range line away from the satellite, places that share their slant range with other places are in
    layover, and places whose look angle is smaller than that of a nearer place are in shadow (Kropatsch and
    Strobl 1990; Meier, Frei and Nuesch 1993). Both are computed over a spherical Earth.

    Args:
        heights: metres on `relief`, NaN where unknown.
        relief: `relief_geobox(geobox)`, or any box of that lattice that covers it.
        geobox: 10 m box on the global grid.
        sight: viewing geometry of the scene (`monitor.stack.sight.radar_geometry`).

    Returns:
        True where hidden, in the shape of `geobox`.
    """
    _check(heights, relief, geobox)
    row, col = pixel_at(geobox.affine.c, geobox.affine.f)
    azimuth, easting, northing = sight.on_grid(_zone(geobox))
    rays = _Rays(_samples(row, slice(0, geobox.shape[0])), _samples(col, slice(0, geobox.shape[1])), azimuth)
    along, ground = rays.lay(heights, relief, behind=_STEPS, ahead=_STEPS)
    known = rays.along((NORTHING_ORIGIN - northing) / _METRES - 0.5, easting / _METRES - 0.5)
    arc = (sight.ground_range + (along - known) * PIXEL) / EARTH
    up = EARTH + ground
    slant = np.sqrt(up**2 + ORBIT**2 - 2 * ORBIT * up * np.cos(arc))
    look = up * np.sin(arc) / (ORBIT - up * np.cos(arc)) * (ORBIT - EARTH)  # tangent, as metres on the ground

    own = (slice(None), slice(_STEPS, -_STEPS))
    nearer_ahead = slant[own] + _highest_ahead(-slant[:, _STEPS:])
    farther_behind = _highest_behind(slant[:, :-_STEPS]) - slant[own]
    higher_behind = _highest_behind(look[:, :-_STEPS]) - look[own]
    return np.asarray(rays.read(np.maximum(np.maximum(nearer_ahead, farther_behind), higher_behind)) > 0)


class _Rays:
    """Straight lines over the ground towards an azimuth, 30 m apart, with a step every 10 m.

    Lines and steps are counted from the zone's origin, so that a step is at the same place for every box.
    Only integers are subtracted from these counts, which is exact in float64.
    """

    def __init__(self, rows: NDArray[np.float64], cols: NDArray[np.float64], azimuth: float) -> None:
        """Rays over the places `rows` x `cols` (samples of the zone); `azimuth` in degrees of the grid."""
        self._down, self._right = -math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))
        along = (rows[:, None] * self._down + cols * self._right) * RELIEF_STEP
        across = cols * self._down - rows[:, None] * self._right
        self._first, self._line = math.floor(along.min()), math.floor(across.min())
        self._shape = math.floor(across.max()) + 2 - self._line, math.floor(along.max()) + 2 - self._first
        self._places = np.stack([across - self._line, along - self._first])

    def along(self, row: float, col: float) -> float:
        """Position of a place along a ray, in steps."""
        return (row * self._down + col * self._right) * RELIEF_STEP

    def lay(
        self, heights: Heights, relief: GeoBox, behind: int, ahead: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Steps along the rays (N,) and the heights there (lines, N), with further steps behind and ahead."""
        lines, steps = self._shape
        along = np.arange(self._first - behind, self._first + steps + ahead, dtype=np.float64)
        across = np.arange(self._line, self._line + lines, dtype=np.float64)[:, None]
        top, left = round((NORTHING_ORIGIN - relief.affine.f) / _METRES), round(relief.affine.c / _METRES)
        places = np.stack(
            [
                along / RELIEF_STEP * self._down - across * self._right - top,
                along / RELIEF_STEP * self._right + across * self._down - left,
            ]
        )
        return along, map_coordinates(heights, places, np.float64, order=1, cval=np.nan)

    def read(self, field: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values at the places of a field on the rays (lines, steps)."""
        return map_coordinates(field, self._places, np.float64, order=1, cval=np.nan)


def _highest_ahead(field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maximum of the _STEPS values after each value but the last _STEPS; NaN is ignored."""
    half, own = _STEPS // 2, field.shape[1] - _STEPS
    return _highest(field)[:, half + 1 : half + 1 + own]


def _highest_behind(field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maximum of the _STEPS values before each value but the first _STEPS; NaN is ignored."""
    half, own = _STEPS // 2, field.shape[1] - _STEPS
    return _highest(field)[:, half : half + own]


def _highest(field: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(maximum_filter1d(np.where(np.isnan(field), -np.inf, field), _STEPS, axis=1))


def _samples(first: int, pixels: slice) -> NDArray[np.float64]:
    """Positions of pixel centres, in samples of the zone; `first` is the box's first global pixel."""
    return (np.arange(first + pixels.start, first + pixels.stop) + 0.5) / RELIEF_STEP - 0.5


def _blocks(first: int, count: int) -> list[tuple[int, slice]]:
    """The blocks that a range of global pixels crosses, and the pixels that lie in each."""
    return [
        (block, slice(max(block * _BLOCK - first, 0), min((block + 1) * _BLOCK - first, count)))
        for block in range(first // _BLOCK, (first + count - 1) // _BLOCK + 1)
    ]


@lru_cache(maxsize=1024)
def _block_convergence(epsg: int, row: int, col: int) -> float:
    """Meridian convergence in the middle of a block, degrees."""
    side = _BLOCK * PIXEL
    easting, northing = (col + 0.5) * side, NORTHING_ORIGIN - (row + 0.5) * side
    longitude, latitude = Transformer.from_crs(epsg, WGS84, always_xy=True).transform(easting, northing)
    return convergence(epsg, longitude, latitude)


def _zone(geobox: GeoBox) -> int:
    """EPSG code of the UTM zone that a box lies in."""
    if geobox.crs is None or geobox.crs.epsg is None:
        raise ValueError("the box has no EPSG code: use a box of the global grid")
    return int(geobox.crs.epsg)


def _check(heights: Heights, relief: GeoBox, geobox: GeoBox) -> None:
    """Check that the relief covers all rays; otherwise the result would be wrong without an error."""
    need, have = relief_geobox(geobox).boundingbox, relief.boundingbox
    if heights.shape != relief.shape:
        raise ValueError(f"heights {heights.shape} do not fit their box {tuple(relief.shape)}")
    if have.left > need.left or have.bottom > need.bottom or have.right < need.right or have.top < need.top:
        raise ValueError(f"relief {tuple(have)} does not cover {tuple(need)}: use relief_geobox")
