"""From a frozen scene list to a stack on a tile's pixels: a late-summer composite, radar and the DEM.

Everything is read onto the global grid in blocks that do not depend on the tile, so that a pixel has the
same value whichever tile asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage

from monitor.grid import Tile, geobox_at
from monitor.profiles import S1_BANDS, S2_BANDS, CatalogProfile
from monitor.reading import Bands, read
from monitor.scenes import Scene, SceneList

Floats = NDArray[np.float32]

#: pixels read around the stack, so that filters see the same neighbours in every tile
MARGIN = 32
#: Sen2Cor scene classes (ESA L2A Algorithm Theoretical Basis Document)
NO_DATA, SATURATED, TERRAIN_SHADOW, CLOUD_SHADOW, SNOW = 0, 1, 2, 3, 11
CLOUDS = (8, 9, 10)
#: Sen2Cor's cloud edges are a few pixels too tight; its shadows count only this near a cloud
CLOUD_GROWTH = 4
SHADOW_REACH = 30
#: equivalent number of looks of an IW ground-range product (Sentinel-1 product definition)
LOOKS = 4.4


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
    cloud: NDArray[np.bool_]
    #: (H, W) bool: snow, ice or frozen in the chosen date, by the catalogue's scene classes
    snow: NDArray[np.bool_]
    #: (H, W) bool: terrain shadow in the chosen date
    shadow: NDArray[np.bool_]


def acquire(scenes: SceneList, profile: CatalogProfile, tile: Tile, halo: int) -> Stack:
    """Read the stack of `tile` with `halo` more pixels on every side.

    Raises:
        AssetError: a file that cannot be read; it names item, asset and address.
    """
    reach = halo + MARGIN
    side = tile.size + 2 * reach
    geobox = geobox_at(tile.epsg, tile.row - reach, tile.col - reach, (side, side))
    composite = _composite(scenes.optical, profile, geobox)
    radar = _radar(scenes.radar, profile, geobox)
    dem = _dem(scenes.dem, profile, geobox)
    inner = np.s_[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
    return Stack(
        geobox=tile.geobox(halo),
        radar=radar[inner],
        dem=dem[inner],
        **{name: layer[inner] for name, layer in composite.items()},
    )


def _composite(scenes: Sequence[Scene], profile: CatalogProfile, geobox: GeoBox) -> dict[str, NDArray[Any]]:
    """The best clear look at every pixel: an unfrozen date before a frozen one, a clearer date first."""
    shape = geobox.shape
    optical = np.full((len(S2_BANDS), *shape), np.nan, np.float32)
    day = np.zeros(shape, np.int16)
    cloud, snow, shadow = (np.zeros(shape, bool) for _ in range(3))
    for scene in scenes:
        reflectance, classes = _read_optical(scene, profile, geobox)
        seen = np.isfinite(reflectance).all(axis=0)
        hidden = masked(classes) if classes is not None else np.zeros(shape, bool)
        frozen = classes == SNOW if classes is not None else np.zeros(shape, bool)
        cloud |= seen & hidden
        better = seen & ~hidden & ((day == 0) | (snow & ~frozen))
        np.copyto(optical, reflectance, where=better)
        day[better] = scene.day_of_year
        snow[better] = frozen[better]
        shadow[better] = (classes == TERRAIN_SHADOW)[better] if classes is not None else False
        if (day > 0).all() and not snow.any():
            break
    cloud &= day == 0
    return {"optical": optical, "day_of_year": day, "cloud": cloud, "snow": snow, "shadow": shadow}


def masked(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels that scene classes (H, W) say not to use: cloud and its edge, shadow beside cloud, no data.

    Class 3 far from any cloud is kept: Sen2Cor puts dark lakes there.
    """
    clouds = np.isin(classes, CLOUDS)
    distance = ndimage.distance_transform_edt(~clouds) if clouds.any() else np.full(classes.shape, np.inf)
    beside = (classes == CLOUD_SHADOW) & (distance <= SHADOW_REACH)
    hidden: NDArray[np.bool_] = (distance <= CLOUD_GROWTH) | beside
    return hidden | np.isin(classes, (NO_DATA, SATURATED))


def _read_optical(
    scene: Scene, profile: CatalogProfile, geobox: GeoBox
) -> tuple[Floats, NDArray[np.uint8] | None]:
    """Reflectance x 10000 (12, H, W), NaN where the scene has none, and scene classes (H, W) or None."""
    optical = profile.optical
    bands = Bands({band: optical.bands[band] for band in S2_BANDS}, nodata=optical.nodata)
    numbers = read(scene, bands, profile, geobox)
    reflectance = np.stack([numbers[band] for band in S2_BANDS])
    reflectance *= np.float32(scene.scale)
    reflectance += np.float32(scene.offset)
    # a dark pixel may fall below zero once the offset is gone; the sensor's floor is zero
    np.maximum(reflectance, 0, out=reflectance)
    reflectance[:, ~np.isfinite(reflectance).all(axis=0)] = np.nan
    if optical.scene_classes is None:
        return reflectance, None
    classes = Bands({"SCL": optical.scene_classes}, nodata=0, resampling="nearest", dtype="uint8")
    return reflectance, read(scene, classes, profile, geobox)["SCL"]


def _radar(scenes: Sequence[Scene], profile: CatalogProfile, geobox: GeoBox) -> Floats:
    """Backscatter (2, H, W) in dB: each pixel from the first scene that has it, speckle filtered."""
    power = np.full((len(S1_BANDS), *geobox.shape), np.nan, np.float32)
    bands = Bands({band: profile.radar.bands[band] for band in S1_BANDS}, nodata=profile.radar.nodata)
    for scene in scenes:
        found = read(scene, bands, profile, geobox)
        values = np.stack([found[band] for band in S1_BANDS])
        if profile.radar.unit == "decibel":
            values = np.power(10, values / 10, dtype=np.float32)
        values[:, ~(np.isfinite(values) & (values > 0)).all(axis=0)] = np.nan
        filtered = np.stack([lee(band) for band in values])
        np.copyto(power, filtered, where=np.isnan(power))
        if np.isfinite(power).all():
            break
    return 10 * np.log10(power)


def lee(power: Floats, size: int = 5, looks: float = LOOKS) -> Floats:
    """Speckle filter of Lee (1980), multiplicative noise, `size` x `size` window; NaN stays where it is.

    Args:
        power: backscatter in linear power (H, W).
    """
    valid = np.isfinite(power)
    filled = np.where(valid, power, 0).astype(np.float64)
    count = np.maximum(window_sum(valid.astype(np.float64), size), 1)
    mean = window_sum(filled, size) / count
    variance = np.maximum(window_sum(filled**2, size) / count - mean**2, 0)
    noise = mean**2 / looks
    gain = np.clip((variance - noise) / np.maximum(variance, 1e-30) / (1 + 1 / looks), 0, 1)
    smooth = mean + gain * (filled - mean)
    return np.where(valid, smooth, np.nan).astype(np.float32)


def window_sum(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Sum over the `size` x `size` window around each pixel, zeros beyond the edge.

    Each window is added up by itself: a running sum (`uniform_filter`) rounds differently in another tile.
    """
    ones = np.ones(size)
    rows = ndimage.correlate1d(values, ones, axis=0, mode="constant")
    total: NDArray[np.float64] = ndimage.correlate1d(rows, ones, axis=1, mode="constant")
    return total


def _dem(scenes: Sequence[Scene], profile: CatalogProfile, geobox: GeoBox) -> Floats:
    """Elevation (H, W): each pixel from the first DEM tile that has it."""
    dem = np.full(geobox.shape, np.nan, np.float32)
    bands = Bands({"dem": profile.dem.band}, nodata=profile.dem.nodata)
    for scene in scenes:
        np.copyto(dem, read(scene, bands, profile, geobox)["dem"], where=np.isnan(dem))
    dem[np.abs(dem) >= 32000] = np.nan
    return dem
