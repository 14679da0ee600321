"""Settings of a simulated archive and its pixel grid."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine
from pyproj import Transformer
from shapely.geometry import Polygon, box

from simulator.errors import SimulatorError

PIXEL = 10.0
"""Pixel size of the simulated ground in metres."""
PAD = 64
"""Pixels simulated beyond each side of the square, so that relief and shadows continue beyond its edge."""
NORTH_M = 10_000_000.0
"""Northing of the upper edge of the global grid, metres."""
DEFAULT_EPSG = 32643
_DEFAULT_ROW, _DEFAULT_COL = 258 * 2048, 32 * 2048


@dataclass(frozen=True)
class Settings:
    """Settings of one simulated archive; the same settings always give the same bytes."""

    seed: int = 7
    """Seed of all random numbers: relief, lakes, colours, clouds, dates."""
    size: int = 2048
    """Edge of the square in 10 m pixels."""
    seasons: tuple[int, ...] = (2021, 2022, 2023)
    """Consecutive years."""
    epsg: int = DEFAULT_EPSG
    """WGS 84 UTM zone, 326xx or 327xx."""
    origin: tuple[float, float] = (_DEFAULT_COL * PIXEL, NORTH_M - _DEFAULT_ROW * PIXEL)
    """Easting and northing of the upper-left corner, metres, multiples of 10."""
    dem: Path | None = None
    """A raster of real elevations, in place of simulated relief."""

    def __post_init__(self) -> None:
        """Raise SimulatorError for invalid settings."""
        zone = self.epsg % 100
        if self.epsg // 100 not in (326, 327) or not 1 <= zone <= 60:
            raise SimulatorError(
                f"epsg {self.epsg} is not a WGS 84 UTM zone: use 32601..32660 or 32701..32760"
            )
        if self.size < 256 or self.size % 4:
            raise SimulatorError(
                f"size {self.size} px: must be at least 256 px and a multiple of 4, to hold lakes"
            )
        if not self.seasons or any(b - a != 1 for a, b in zip(self.seasons, self.seasons[1:], strict=False)):
            raise SimulatorError(f"seasons {self.seasons}: give consecutive years such as 2021-2023")
        if any(value % PIXEL for value in self.origin):
            raise SimulatorError(f"origin {self.origin}: easting and northing must be multiples of 10 m")
        east, north = self.origin
        edge = self.size * PIXEL
        if not (100_000 <= east <= 900_000 - edge and edge <= north <= 9_400_000):
            raise SimulatorError(f"origin {self.origin}: outside the UTM zone (easting 100000 to 900000 m)")

    @property
    def transform(self) -> Affine:
        """Transform from pixels to map coordinates of the square at 10 m."""
        return Affine(PIXEL, 0.0, self.origin[0], 0.0, -PIXEL, self.origin[1])

    @property
    def square(self) -> Polygon:
        """Outline of the simulated ground in map coordinates."""
        east, north = self.origin
        edge = self.size * PIXEL
        return box(east, north - edge, east + edge, north)

    @property
    def centre(self) -> tuple[float, float]:
        """Longitude and latitude of the centre, degrees."""
        middle = self.square.centroid
        lon, lat = Transformer.from_crs(self.epsg, 4326, always_xy=True).transform(middle.x, middle.y)
        return float(lon), float(lat)

    def stream(self, *names: str | int) -> np.random.Generator:
        """Random numbers for a named purpose, independent of other purposes and of the order of calls."""
        words = [zlib.crc32(str(name).encode()) for name in names]
        return np.random.default_rng([self.seed & 0xFFFFFFFF, *words])


def mgrs_tile(settings: Settings) -> str:
    """Name of the 100 km MGRS square at the centre of the ground, such as 43TFH."""
    zone, (_, lat), middle = settings.epsg % 100, settings.centre, settings.square.centroid
    band = "CDEFGHJKLMNPQRSTUVWX"[int(np.clip((lat + 80) // 8, 0, 19))]
    column = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")[(zone - 1) % 3][int(middle.x // 100_000) - 1]
    rows = "ABCDEFGHJKLMNPQRSTUV"
    row = rows[(int(middle.y % 2_000_000 // 100_000) + (0 if zone % 2 else 5)) % 20]
    return f"{zone:02d}{band}{column}{row}"
