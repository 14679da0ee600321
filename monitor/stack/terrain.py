"""What relief hides in a scene: from the sun, and from a radar that looks sideways.

Heights are read every 30 m on the grid of the whole zone and laid out as rays, lines that run straight to
the sun or away from the radar, in steps of a pixel. The rays hang on the zone's origin and nothing beyond
REACH is looked at, so a pixel gets the same answer, to the bit, from every box that asks. A void in the
heights hides nothing and is not hidden.
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

#: pixels of the 10 m grid a sample of relief: the DEM's own 30 m
RELIEF_STEP = 3
_METRES = RELIEF_STEP * PIXEL
#: steps of a ray that are looked at from a place; odd, so that a centred filter can be shifted by halves.
#: A step is a pixel: with steps of 30 m a tenth of all shadow is lost, the strip right behind a crest.
_STEPS = 601
#: metres of a ray that are looked at: enough for what stands 3.3 km above a place under the lowest sun of a
#: season (29 degrees, 45 N in late October), or 3.6 km in layover at the steepest beam (31 degrees). For the
#: sun the Earth is flat: it bends by 3 m over that, less than the error of the DEM.
REACH = _STEPS * PIXEL
#: samples of relief beyond REACH that bound the last step of the outermost ray
_MARGIN = 1
#: pixels of a square with one direction of the sun on the grid: it turns by 0.3 degrees across its 41 km,
#: less than the sun's own azimuth turns across the scene that has one figure for it
_BLOCK = 4096

Heights = NDArray[np.floating]
Mask = NDArray[np.bool_]


def relief_geobox(geobox: GeoBox) -> GeoBox:
    """The 30 m box that the heights of a 10 m `geobox` are needed on: REACH wider, on the zone's lattice."""
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
    """Where relief keeps the sun off: cast shadow and self shadow.

    A place is dark when ground within REACH rises above the ray to the sun (Dozier and Frew 1990). The first
    step of that ray is the slope itself: it rises above the ray just where the cosine of illumination is zero
    or less, so self shadow needs no test of its own. There is no threshold above zero: grazing light is weak
    but measured, and the reason says hidden, not dim. The sun's penumbra (0.5 degrees) is narrower than a
    sample of relief within 2 km of the ridge.

    Args:
        heights: metres on `relief`, NaN where unknown.
        relief: `relief_geobox(geobox)`, or any box of that lattice that covers it.
        geobox: 10 m box on the global grid.
        sun_azimuth: degrees clockwise from true north, towards the sun.
        sun_elevation: degrees above the horizon.

    Returns:
        True where dark, in the shape of `geobox`.
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
            # metres above the ray that meets the zone's origin: whoever stands higher hides all behind
            level = ground - along * rise
            dark[rows, cols] = rays.read(_highest_ahead(level) - level[:, :-_STEPS]) > 0
    return dark


def radar_hidden(heights: Heights, relief: GeoBox, geobox: GeoBox, sight: Sight) -> Mask:
    """Where a radar image shows no ground of its own: layover, active and passive, and radar shadow.

    Along a range line, away from the satellite, slant range grows until relief turns it back: places that
    share their slant range with others are laid over each other. The look angle grows until relief hides what
    lies behind (Kropatsch and Strobl 1990; Meier, Frei and Nuesch 1993). Both over a spherical Earth.

    Args:
        heights: metres on `relief`, NaN where unknown.
        relief: `relief_geobox(geobox)`, or any box of that lattice that covers it.
        geobox: 10 m box on the global grid.
        sight: where the scene was seen from (`monitor.stack.sight.radar_geometry`).

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

    Lines and steps are counted from the zone's origin, so a step lies at the same spot for every box. Whole
    numbers are taken off only after that, which float64 does without rounding.
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
        """Steps along a ray at which a place lies."""
        return (row * self._down + col * self._right) * RELIEF_STEP

    def lay(
        self, heights: Heights, relief: GeoBox, behind: int, ahead: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Steps along the rays (N,) and the heights there (lines, N), with more behind and ahead."""
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
        """A field of the rays (lines, steps) at the places."""
        return map_coordinates(field, self._places, np.float64, order=1, cval=np.nan)


def _highest_ahead(field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Highest of the _STEPS values after each but the last _STEPS; a NaN counts for nothing."""
    half, own = _STEPS // 2, field.shape[1] - _STEPS
    return _highest(field)[:, half + 1 : half + 1 + own]


def _highest_behind(field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Highest of the _STEPS values before each but the first _STEPS; a NaN counts for nothing."""
    half, own = _STEPS // 2, field.shape[1] - _STEPS
    return _highest(field)[:, half : half + own]


def _highest(field: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(maximum_filter1d(np.where(np.isnan(field), -np.inf, field), _STEPS, axis=1))


def _samples(first: int, pixels: slice) -> NDArray[np.float64]:
    """Where the centres of pixels lie, in samples of the zone; `first` is the box's first global pixel."""
    return (np.arange(first + pixels.start, first + pixels.stop) + 0.5) / RELIEF_STEP - 0.5


def _blocks(first: int, count: int) -> list[tuple[int, slice]]:
    """The blocks that a run of global pixels crosses, and which of the pixels lie in each."""
    return [
        (block, slice(max(block * _BLOCK - first, 0), min((block + 1) * _BLOCK - first, count)))
        for block in range(first // _BLOCK, (first + count - 1) // _BLOCK + 1)
    ]


@lru_cache(maxsize=1024)
def _block_convergence(epsg: int, row: int, col: int) -> float:
    """Grid north from true north in the middle of a block, degrees."""
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
    """Rays must end on known ground: less relief would change the answer silently."""
    need, have = relief_geobox(geobox).boundingbox, relief.boundingbox
    if heights.shape != relief.shape:
        raise ValueError(f"heights {heights.shape} do not fit their box {tuple(relief.shape)}")
    if have.left > need.left or have.bottom > need.bottom or have.right < need.right or have.top < need.top:
        raise ValueError(f"relief {tuple(have)} does not cover {tuple(need)}: use relief_geobox")
