"""Relief: a simulated mountain range with cirques, basins and one large valley, or a resampled real DEM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.warp import Resampling, reproject, transform_bounds
from scipy.ndimage import distance_transform_edt, gaussian_filter, label, map_coordinates

from simulator.errors import SimulatorError
from simulator.landscape import landscape
from simulator.light import slope_degrees
from simulator.noise import Field, enlarge, fractal, smooth_noise, smoothstep
from simulator.settings import PAD, PIXEL, Settings

_MACRO = 8  # relief is generated at 80 m and enlarged; finer detail is added afterwards
_WIDE_SIZE = 1536  # size in pixels from which the valley is wider


@dataclass(frozen=True)
class Terrain:
    """Ground without lakes, on the padded grid (size + 2 PAD, size + 2 PAD)."""

    height: Field
    """Metres above the geoid."""
    glacier: NDArray[np.bool_]
    """Mask of glaciers, with debris-covered tongues."""
    glacier_distance: Field
    """Distance to the nearest glacier in metres (1e6 without glaciers)."""
    valley: Field
    """1 on the floor of the large valley, 0 in the mountains; all 0 where the ground is too small for one."""
    uphill: int
    """Side of the mountains, in quarter turns; the large valley is on the opposite side."""


def build_terrain(settings: Settings) -> Terrain:
    """Generate relief, large valley and glaciers."""
    n = settings.size + 2 * PAD
    uphill = int(settings.stream("side").integers(4))
    along = _along(settings, n, uphill)
    if settings.dem is not None:
        height, valley = read_dem(settings), np.zeros((n, n), np.float32)
    else:
        height, valley = _relief(settings, n, along, uphill)
    glacier = _glaciers(settings, height, along if settings.dem is None else None)
    distance = np.full((n, n), 1e6, np.float32)
    if glacier.any():
        coarse = distance_transform_edt(~glacier[::4, ::4]).astype(np.float32) * (4 * PIXEL)
        distance = np.repeat(np.repeat(coarse, 4, 0), 4, 1)[:n, :n]
    return Terrain(height, glacier, distance, valley, uphill)


def has_valley(settings: Settings) -> bool:
    """Whether the ground is wide enough for a valley more than 3 km from every glacier."""
    return settings.dem is None and settings.size >= 1024


def _along(settings: Settings, n: int, uphill: int) -> Field:
    """Distance from the valley's side of the square towards the mountains, metres."""
    ramp = (np.arange(n, dtype=np.float32) - PAD) * np.float32(PIXEL)
    bend = smooth_noise(settings.stream("bend"), n, 500) * (90.0 if has_valley(settings) else 400.0)
    return np.asarray(np.rot90(np.broadcast_to(ramp[:, None], (n, n)) + bend, uphill), np.float32)


def _foot(settings: Settings) -> float:
    """Width of the valley floor, metres."""
    basin = landscape(settings).basin
    if basin:
        return basin * settings.size * PIXEL
    return 1300.0 if settings.size >= _WIDE_SIZE else 1000.0


def _relief(settings: Settings, n: int, along: Field, uphill: int) -> tuple[Field, Field]:
    """Ridged multifractal mountains (Musgrave et al. 1989) on a rising base, and a flat valley."""
    rng = settings.stream("relief")
    m = -(-n // _MACRO) + 2
    macro = enlarge(gaussian_filter(_ridges(rng, m), 0.35), _MACRO)[:n, :n]
    scenery = landscape(settings)
    relief = np.float32(rng.uniform(330, 400) * scenery.relief) * macro
    upland = rng.uniform(3250, 3450)
    base: Field = np.full((n, n), upland - scenery.lowered, np.float32)
    valley = np.zeros((n, n), np.float32)
    mountains = np.ones((n, n), np.float32)
    if has_valley(settings):
        foot = _foot(settings)
        valley = 1 - smoothstep(along, foot, foot + 500)
        mountains = smoothstep(along, foot, foot + 3600)
        floor = np.float32(rng.uniform(2050, 2350) - scenery.lowered)
        base = floor + np.float32((upland - 2200) * scenery.relief) * mountains
    rough = fractal(settings.stream("rough"), n, 24, 4, 0.62)
    height = base + relief * (0.2 * smoothstep(along, 700, 2600) + 0.8 * mountains if valley.any() else 1.0)
    steep = np.clip(slope_degrees(height) / 30, 0.1, 1.5)
    height = height + rough * steep * 12 * (1 - valley)
    tilt = np.rot90(np.broadcast_to(np.linspace(60, 0, n, dtype=np.float32)[None, :], (n, n)), uphill)
    return np.asarray(
        height * (1 - valley) + (np.minimum(height, base) + tilt * 0.3) * valley, np.float32
    ), valley


def _ridges(rng: np.random.Generator, m: int) -> Field:
    """Warped ridged noise on the 80 m grid, about -1..3, with sharp crests and broad glacial troughs.

    Ground below its surroundings is flattened, which gives U-shaped valleys.
    """
    bend = [4.0 * smooth_noise(rng, m, 16) + 1.6 * smooth_noise(rng, m, 6) for _ in range(2)]
    rows, cols = np.mgrid[:m, :m].astype(np.float32)
    sharp = np.zeros((m, m), np.float32)
    carry = np.ones((m, m), np.float32)
    for octave, cell in enumerate((34.0, 19.0, 10.0, 5.5, 3.0)):
        field = smooth_noise(rng, m, cell * rng.uniform(0.85, 1.15))
        field = map_coordinates(field, [rows + bend[0], cols + bend[1]], order=1, mode="reflect")
        ridge = (1.2 - 1.2 * (np.abs(field) + 0.02) ** np.float32(0.7) + 0.15 * field).clip(-1.0, None)
        sharp += ridge * carry * np.float32(1.25 * 0.66**octave)
        carry = np.clip(0.35 + 0.75 * ridge, 0.12, 1.0)
    around = gaussian_filter(sharp, 9)
    deep = sharp - around + 0.10
    pressed = np.where(deep < 0, -0.45 * (1 - np.exp(deep / 0.45)) * 0.75, deep)
    return np.asarray(around + pressed, np.float32)


def read_dem(settings: Settings) -> Field:
    """Real elevations of the padded ground, resampled by cubic splines; voids have the nearest one."""
    n = settings.size + 2 * PAD
    out = np.full((n, n), np.nan, np.float32)
    target = settings.transform @ Affine.translation(-PAD, -PAD)
    try:
        with rasterio.open(settings.dem) as source:
            if source.crs is None:
                raise SimulatorError(
                    f"{settings.dem} has no coordinate system: assign one (gdal_edit -a_srs)"
                )
            band = source.read(1, masked=True).astype(np.float32).filled(np.nan)
            reproject(
                band, out, src_transform=source.transform, src_crs=source.crs, src_nodata=np.nan,
                dst_transform=target, dst_crs=f"EPSG:{settings.epsg}", dst_nodata=np.nan,
                resampling=Resampling.cubic_spline,
            )  # fmt: skip
    except rasterio.errors.RasterioIOError as error:
        raise SimulatorError(f"{settings.dem} cannot be read as a raster of elevations: {error}") from error
    inside = np.isfinite(out[PAD:-PAD, PAD:-PAD])
    if inside.mean() < 0.98:
        raise SimulatorError(
            f"{settings.dem} covers {inside.mean():.0%} of the square at {settings.origin} in "
            f"EPSG:{settings.epsg}: choose --origin and --size within the raster"
        )
    nearest = distance_transform_edt(~np.isfinite(out), return_distances=False, return_indices=True)
    rough = fractal(settings.stream("rough"), n, 10, 3)
    filled = out[tuple(nearest)]
    return np.asarray(filled + rough * np.clip(slope_degrees(filled) / 30, 0.05, 1) * 4, np.float32)


def _glaciers(settings: Settings, height: Field, along: Field | None) -> NDArray[np.bool_]:
    """Mask of glaciers: broad high ground that is not too steep, with tongues in hollows."""
    rng = settings.stream("glaciers")
    coarse = height[::4, ::4]
    wide = gaussian_filter(coarse, 9.0)
    hollow = np.clip(wide - coarse, -160, 160)
    score = gaussian_filter(wide + 1.1 * hollow + 30 * smooth_noise(rng, coarse.shape[0], 25), 1.5)
    allowed = slope_degrees(gaussian_filter(coarse, 2.0) / 4) < 44  # divided by 4 for the 40 m grid
    if along is not None and has_valley(settings):
        limit = _foot(settings) + (3700 if landscape(settings).basin else 4200)
        score -= 900 * (1 - smoothstep(along[::4, ::4], limit, limit + 1800))
        allowed &= along[::4, ::4] > limit
    if allowed.mean() < 0.02:
        raise SimulatorError(
            "the ground is not suitable for a glacier: choose another --origin or a larger --size"
        )
    line = np.quantile(score[allowed], 1 - rng.uniform(0.15, 0.21))
    ice = allowed & (score > line)
    parts, count = label(ice)
    if count:
        sizes = np.bincount(parts.ravel())
        ice &= (sizes >= 60)[parts]
    soft = enlarge(ice.astype(np.float32), 4)
    return (soft > 0.5)[: height.shape[0], : height.shape[1]]


def settings_for_dem(path: Path, size: int, epsg: int | None) -> tuple[int, tuple[float, float]]:
    """UTM zone and upper-left corner of a square of `size` pixels at the centre of a DEM.

    The corner is rounded to 160 m.
    """
    try:
        with rasterio.open(path) as source:
            if source.crs is None:
                raise SimulatorError(f"{path} has no coordinate system: assign one (gdal_edit -a_srs)")
            west, south, east, north = transform_bounds(source.crs, 4326, *source.bounds)
    except rasterio.errors.RasterioIOError as error:
        raise SimulatorError(f"{path} cannot be read as a raster of elevations: {error}") from error
    lon, lat = (west + east) / 2, (south + north) / 2
    zone = epsg or (32600 if lat >= 0 else 32700) + int((lon + 180) // 6) + 1
    x, y = Transformer.from_crs(4326, zone, always_xy=True).transform(lon, lat)
    half = size * PIXEL / 2
    return zone, (float(round((x - half) / 160) * 160), float(round((y + half) / 160) * 160))
