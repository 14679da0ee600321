"""Ground range radar images of the simulated relief, before terrain correction.

Every piece of ground is placed in the image by its zero-Doppler time and slant range, so that slopes facing
the sensor are compressed and hidden ones are dark. The orbit is a circle. Positions therefore have a closed
form and are independent of the iterative solution in the code under test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Proj, Transformer
from rasterio.windows import Window
from scipy.ndimage import binary_closing, gaussian_filter, map_coordinates

from simulator.calendar import RadarPass
from simulator.light import slope_degrees
from simulator.noise import Field
from simulator.radar import mean_power, slopes, speckle
from simulator.settings import PAD, PIXEL, Settings
from simulator.world import World

Vector = NDArray[np.float64]
_BESIDE = Path(__file__).parents[1]
#: EGM96, in a checkout or in an installation
GEOID = next(
    path
    for folder in ("config", "monitor/_data/config")
    if (path := _BESIDE / folder / "geoid" / "egm96_15.tif").is_file()
)
RADIUS = 7_064_000.0  # radius of the orbit, metres
TURN = 7_400.0 / RADIUS  # angular speed of Sentinel-1 relative to the rotating Earth, radians per second
SPACING = 10.0  # pixel spacing, metres
DEGREES = 9  # number of coefficients of a range polynomial, as in real products
LIGHT_SPEED = 299_792_458.0  # metres per second
_FINE = 3  # pieces of ground along a 10 m pixel
_MARGIN = 12  # empty lines and pixels around the image
_CROSS_SECTION = 3000.0  # radar cross section of a trihedral reflector of about 1.2 m edge in C band, m2


@dataclass(frozen=True)
class Track:
    """Circular orbit in Earth-fixed metres; second 0 is the zero-Doppler time of the scene's centre."""

    up: Vector
    ahead: Vector

    def position(self, seconds: Vector) -> Vector:
        """Positions (3, …), metres."""
        angle = np.asarray(seconds) * TURN
        return np.asarray(RADIUS * (_times(self.up, np.cos(angle)) + _times(self.ahead, np.sin(angle))))

    def velocity(self, seconds: Vector) -> Vector:
        """Velocities (3, …), metres per second."""
        angle = np.asarray(seconds) * TURN
        return np.asarray(
            RADIUS * TURN * (_times(self.ahead, np.cos(angle)) - _times(self.up, np.sin(angle)))
        )

    def zero_doppler(self, places: Vector) -> tuple[Vector, Vector]:
        """Zero-Doppler time (seconds) and slant range (metres) of places (3, …)."""
        seconds = np.arctan2(np.tensordot(self.ahead, places, 1), np.tensordot(self.up, places, 1)) / TURN
        return seconds, np.sqrt(((places - self.position(seconds)) ** 2).sum(axis=0))


def _times(axis: Vector, factor: Vector) -> Vector:
    return np.asarray(np.multiply.outer(axis, factor))


@dataclass(frozen=True)
class Swath:
    """Grid of the image: lines in time, pixels in ground range."""

    shape: tuple[int, int]
    first_second: float
    line_seconds: float
    near: float
    """Slant range of the first pixel, metres."""
    records: Vector
    """Time of each pair of polynomials, seconds; their results are interpolated linearly."""
    to_ground: Vector
    """Polynomials (records, DEGREES) of ground range in (slant range - near), ascending powers."""
    to_slant: Vector
    """Polynomials (records, DEGREES) of slant range in ground range, ascending powers."""

    def locate(self, seconds: Vector, slant: Vector) -> tuple[Vector, Vector]:
        """Line and pixel of zero-Doppler times and slant ranges, from the centre of the first pixel."""
        powers = np.polynomial.polynomial.polyval(slant - self.near, self.to_ground.T)
        place = np.interp(seconds, self.records, np.arange(len(self.records)))
        ground = sum(
            np.clip(1 - np.abs(place - number), 0, None) * powers[number]
            for number in range(len(self.records))
        )
        return (seconds - self.first_second) / self.line_seconds, np.asarray(ground / SPACING)


@dataclass(frozen=True)
class GroundRange:
    """One acquisition in radar geometry."""

    sight: RadarPass
    track: Track
    swath: Swath
    numbers: NDArray[np.uint16]
    """Digital numbers of VV and VH (2, lines, pixels); 0 without data."""
    tie_points: Vector
    """(N, 5): line, pixel, longitude, latitude, metres above the ellipsoid."""
    reflectors: list[tuple[float, float]]
    """Easting and northing of the corner reflectors."""


def amplitude_of_one(pixels: NDArray[np.generic]) -> Vector:
    """Calibration factor of sigma nought at pixels; it decreases with range, as in real products."""
    return np.asarray(632.8 - 0.055 * pixels.astype(np.float64))


def range_noise(pixels: NDArray[np.generic], band: int) -> Vector:
    """Noise at pixels of VV (0) or VH (1), squared digital numbers: about -27 dB, varying over the swath."""
    return np.asarray((620.0, 560.0)[band] * (1 + 0.5 * np.cos(pixels.astype(np.float64) / 260)))


def azimuth_noise(lines: NDArray[np.generic]) -> Vector:
    """Factor of the noise along the lines: residual scalloping."""
    return np.asarray(1.06 + 0.05 * np.sin(lines.astype(np.float64) / 170))


def observe(world: World, sight: RadarPass, reflectors: int = 8) -> GroundRange:
    """Image of one pass, with corner reflectors on gentle, open, dry ground."""
    settings = world.settings
    rng = settings.stream("ground range", sight.season, sight.direction)
    geoid = undulation(*settings.centre)
    ground = world.height[PAD:-PAD, PAD:-PAD].astype(np.float64) + geoid
    track = pass_over(settings, sight, float(ground.mean()))
    # pieces of ground with an edge of a third of a pixel
    step = (np.arange(settings.size * _FINE) + 0.5) / _FINE - 0.5
    rows, cols = np.meshgrid(step, step, indexing="ij")
    heights = map_coordinates(ground, [rows, cols], order=1, mode="nearest")
    seconds, slant = track.zero_doppler(_space(settings, rows, cols, heights))
    swath = _swath(seconds, slant, float(np.linalg.norm(_centre(settings, float(ground.mean())))))
    line, pixel = swath.locate(seconds, slant)
    swath = replace(swath, shape=(int(line.max()) + _MARGIN, int(pixel.max()) + _MARGIN))
    pieces = _Pieces.at(line, pixel, swath.shape)
    seen = binary_closing(pieces.sum(np.ones(line.shape, np.float32)) > 0, iterations=2)
    # backscatter of a piece: its gamma nought times its area perpendicular to the beam (Small 2011)
    _, hidden, facing = slopes(world, sight)
    tilt = np.radians(sight.incidence)
    across = np.clip(np.cos(tilt) + facing * np.sin(tilt), 0, None) * (1 - hidden) / _FINE**2
    power = mean_power(world, sight, rng) * across
    stand = _reflectors(world, hidden, reflectors, rng)
    at_row, at_col = stand.T
    spots = track.zero_doppler(
        _space(settings, at_row.astype(float), at_col.astype(float), ground[at_row, at_col])
    )
    points = _Pieces.at(*swath.locate(*spots), swath.shape)
    bright = gaussian_filter(points.sum(np.full(len(stand), _CROSS_SECTION / SPACING**2, np.float32)), 0.6)
    numbers = np.zeros((2, *swath.shape), np.uint16)
    for band in range(2):
        fine = np.repeat(np.repeat(power[band], _FINE, 0), _FINE, 1)
        sigma = gaussian_filter(pieces.sum(fine), 0.6)
        numbers[band] = _numbers(sigma, bright, band, rng) * seen
    east, north = settings.origin
    return GroundRange(
        sight, track, swath, numbers, _tie_points(settings, track, swath, float(ground.mean())),
        [(east + (col + 0.5) * PIXEL, north - (row + 0.5) * PIXEL) for row, col in stand.tolist()],
    )  # fmt: skip


def _numbers(sigma: Field, bright: Field, band: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Digital numbers, at least 1, of sigma nought and noise with speckle, and of reflectors without."""
    lines, pixels = np.arange(sigma.shape[0]), np.arange(sigma.shape[1])
    scale = amplitude_of_one(pixels)[None, :] ** 2
    noise = azimuth_noise(lines)[:, None] * range_noise(pixels, band)[None, :]
    grain = speckle(rng, max(sigma.shape))[: sigma.shape[0], : sigma.shape[1]]
    power = (sigma * scale + noise) * grain + bright * scale
    return np.asarray(np.clip(np.rint(np.sqrt(power)), 1, 65535), np.uint16)


@dataclass(frozen=True)
class _Pieces:
    """Positions of pieces of ground in the image, each distributed over the four nearest pixels."""

    shape: tuple[int, int]
    corners: list[tuple[NDArray[np.int64], Field]]

    @classmethod
    def at(cls, line: Vector, pixel: Vector, shape: tuple[int, int]) -> _Pieces:
        top, left = np.floor(line).astype(np.int64), np.floor(pixel).astype(np.int64)
        down, right = (line - top).astype(np.float32), (pixel - left).astype(np.float32)
        corners = []
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight = (down if y else 1 - down) * (right if x else 1 - right)
            corners.append((((top + y) * shape[1] + left + x).ravel(), weight.ravel()))
        return cls(shape, corners)

    def sum(self, amount: Field) -> Field:
        """Sum of the pieces in each pixel of the image."""
        total = np.zeros(self.shape[0] * self.shape[1])
        for index, weight in self.corners:
            total += np.bincount(index, weight * amount.ravel(), total.size)
        return total.reshape(self.shape).astype(np.float32)


def pass_over(settings: Settings, sight: RadarPass, height: float) -> Track:
    """Track with the scene's centre to its right, at the look azimuth and incidence of the pass."""
    target = _centre(settings, height)
    distance = float(np.linalg.norm(target))
    incidence = np.radians(sight.incidence)
    angle = incidence - np.arcsin(distance * np.sin(incidence) / RADIUS)  # at the Earth's centre
    lon, lat = np.radians(settings.centre)
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    # `look` is measured from grid north
    turned = Proj(f"EPSG:{settings.epsg}").get_factors(*settings.centre).meridian_convergence
    back = np.radians(sight.look + turned + 180)
    up = target / distance * np.cos(angle) + (np.sin(back) * east + np.cos(back) * north) * np.sin(angle)
    up /= np.linalg.norm(up)
    ahead = np.cross(up, target)
    ahead *= np.sign(np.cross(ahead, up) @ target) / np.linalg.norm(ahead)
    return Track(up, ahead)


def _swath(seconds: Vector, slant: Vector, distance: float) -> Swath:
    """Grid of 10 m around the ground; `distance` is that of the ground from the Earth's centre."""
    line_seconds = SPACING / (TURN * distance)
    near = float(slant.min()) - _MARGIN * SPACING / 2
    far = float(slant.max()) + _MARGIN * SPACING
    records = np.arange(np.floor(seconds.min()) - 0.1, seconds.max() + 2, 1.0)
    reach = np.linspace(near, far, 200)
    to_ground, to_slant = np.zeros((2, len(records), DEGREES))
    for number in range(len(records)):
        # processors compute ground range at a height that changes along the track
        level = distance + (-1) ** number * 150.0
        angle = np.arccos((RADIUS**2 + level**2 - reach**2) / (2 * RADIUS * level))
        metres = level * (angle - angle[0])
        fits = ((reach - near, metres, to_ground), (metres, reach, to_slant))
        for x, y, out in fits:
            out[number, :6] = np.polynomial.Polynomial.fit(x, y, 5).convert().coef
    first = float(seconds.min()) - _MARGIN * line_seconds
    return Swath((0, 0), first, line_seconds, near, records, to_ground, to_slant)


def _tie_points(settings: Settings, track: Track, swath: Swath, height: float) -> Vector:
    """Tie points of the product, a grid of 6 x 7 places at a constant height."""
    lines, pixels = (np.linspace(0, size - 1, n) for size, n in zip(swath.shape, (6, 7), strict=True))
    want = np.stack([side.ravel() for side in np.meshgrid(lines, pixels, indexing="ij")])
    place = np.full(want.shape, settings.size / 2)

    def found(at: Vector) -> Vector:
        return np.stack(
            swath.locate(*track.zero_doppler(_space(settings, at[0], at[1], np.full(at.shape[1], height))))
        )

    for _ in range(6):  # Newton's method, with differences over one pixel
        here = found(place)
        by_row, by_col = (found(place + np.array(step)[:, None]) - here for step in ([1, 0], [0, 1]))
        slope = np.stack([by_row, by_col], axis=1).transpose(2, 0, 1)
        place += np.linalg.solve(slope, (want - here).T[:, :, None])[:, :, 0].T
    lon, lat = _degrees(settings, *place)
    return np.stack([*want, lon, lat, np.full(lon.shape, height)], axis=1)


def _reflectors(world: World, hidden: Field, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows and columns (count, 2) of places on gentle open ground, half a kilometre apart where possible."""
    n, edge = world.settings.size, 24
    slope = gaussian_filter(slope_degrees(world.height), 2)[PAD:-PAD, PAD:-PAD]
    good = (slope < np.quantile(slope[edge:-edge, edge:-edge], 0.3)) & (hidden < 0.05)
    for water in world.water.values():
        good.ravel()[water.pixels] = False
    good[:edge] = good[-edge:] = False
    good[:, :edge] = good[:, -edge:] = False
    chosen: list[NDArray[np.int64]] = []
    for place in rng.permutation(np.argwhere(good)):
        if all(np.hypot(*(place - other)) > min(50, n / 10) for other in chosen):
            chosen.append(place)
        if len(chosen) == count:
            break
    return np.array(chosen, np.int64).reshape(-1, 2)


def _degrees(settings: Settings, rows: Vector, cols: Vector) -> tuple[Vector, Vector]:
    """Longitude and latitude of places in pixels of the ground, from the centre of the first pixel."""
    to_degrees = Transformer.from_crs(settings.epsg, 4326, always_xy=True)
    east, north = settings.origin
    lon, lat = to_degrees.transform(east + (cols + 0.5) * PIXEL, north - (rows + 0.5) * PIXEL)
    return np.asarray(lon), np.asarray(lat)


def _space(settings: Settings, rows: Vector, cols: Vector, heights: Vector) -> Vector:
    """Earth-fixed coordinates (3, …) in metres of pixels with heights above the ellipsoid."""
    to_space = Transformer.from_crs(4979, 4978, always_xy=True)
    return np.stack(to_space.transform(*_degrees(settings, rows, cols), heights))


def _centre(settings: Settings, height: float) -> Vector:
    middle = np.full(1, settings.size / 2)
    return np.asarray(_space(settings, middle, middle, np.full(1, height))[:, 0])


def undulation(longitude: float, latitude: float) -> float:
    """Height of the geoid above the ellipsoid in metres, interpolated bilinearly in EGM96."""
    with rasterio.open(GEOID) as table:
        col, row = ~table.transform @ (longitude, latitude)
        col, row = col - 0.5, row - 0.5
        left, top = int(col), int(row)
        four = table.read(1, window=Window(left, top, 2, 2)) * table.scales[0]
    across = four[:, 0] * (1 - (col - left)) + four[:, 1] * (col - left)
    return float(across[0] * (1 - (row - top)) + across[1] * (row - top))
