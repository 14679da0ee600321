"""Backscatter of every pixel, from the radar scenes chosen for its cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from monitor.archive.decoding import Native
from monitor.archive.load import load_backscatter
from monitor.archive.profiles import S1_BANDS, CatalogProfile
from monitor.archive.scenes import Scene, SceneList, asset_of
from monitor.archive.validity import ABSENT, VOID
from monitor.errors import ContentRefusedError
from monitor.stack.dataset import on_geobox, planes
from monitor.stack.filters import FLOOR, SPECKLE_WINDOW, lee, window_sum
from monitor.stack.relief import Relief
from monitor.stack.spectra import EDGE, IMPOSSIBLE_SHARE, covers, distance_to, refusal, worst_share
from monitor.stack.turns import Plot, Window, bounds, grown, inside, turns

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: linear power (-15 dB) below which an echo is faint, as over water
FAINT = 0.03
#: linear power (-34 dB) in both polarisations, below which a filtered pixel at the border of a scene is noise
#: that its processing left there: Sentinel-1's own noise is at -22 to -32 dB, and calm water above it in VV
BORDER_NOISE = 4e-4
#: metres from the outline of a scene within which such noise occurs (products before March 2018, IPF 2.90)
BORDER = 5000.0
#: pixels around such noise that the speckle filter and interpolation mix with it
BORDER_GROWTH = 4


@dataclass(frozen=True)
class Backscatter:
    """Backscatter of a tile.

    Attributes:
        bands: VV and VH in dB and layover on the box, as in a stack.
        refused: files whose numbers are impossible in a large part of the tile.
    """

    bands: xr.Dataset
    refused: tuple[ContentRefusedError, ...]


def backscatter(
    scenes: SceneList, plots: Sequence[Plot], profile: CatalogProfile, relief: Relief, core: Window
) -> Backscatter:
    """Backscatter of every pixel, from the first scene of its cell with data there.

    Args:
        plots: cells of the box of `relief`.
        core: rows and columns of the tile in the box.
    """
    shape = relief.geobox.shape
    power = np.full((len(S1_BANDS), *shape), np.nan, np.float32)
    layover = np.zeros(shape, bool)
    refused: dict[str, ContentRefusedError] = {}
    for scene, mine in turns(scenes.radar, plots, shape[0], "radar"):
        wanted = mine & np.isnan(power[0])
        if not wanted.any():
            continue
        window = bounds(wanted)
        wider = grown(window, EDGE, shape)
        geobox = relief.geobox[wider]
        coded = both(_power(scene, profile, relief, wider))
        asked = (coded == VOID) & wanted[wider]
        shares = [worst_share(flags, geobox, inside(core, wider)) for flags in asked]
        if found := refusal(scene.id, _assets(scene, profile), shares, IMPOSSIBLE_SHARE, _fault(profile)):
            refused[scene.id] = found
        part = inside(window, wider)
        here = wanted[window] & echoes(coded, scene.footprint, geobox)[part]
        if not here.any():
            continue
        np.copyto(power[:, *window], coded[:, *part], where=here)
        layover[window][here] = relief.hidden(scene)[window][here]
    decibels = dict(zip(S1_BANDS, 10 * np.log10(power), strict=True))
    bands = on_geobox(relief.geobox, {**decibels, "layover": layover})
    return Backscatter(bands, tuple(refused.values()))


def echoes(power: NDArray[np.float32], footprint: BaseGeometry, geobox: GeoBox) -> NDArray[np.bool_]:
    """Pixels (H, W) with an echo in both polarisations: valid, and not the noise at a scene's border.

    Args:
        power: linear, (2, H, W); not finite where it is not valid.
        footprint: of the scene, EPSG:4326.
    """
    valid = np.asarray(np.isfinite(power).all(axis=0), bool)
    faint = valid & (power < BORDER_NOISE).all(axis=0)
    if not faint.any():
        return valid
    noise = faint & ~covers(footprint, geobox, BORDER)
    if not noise.any():
        return valid
    return valid & (distance_to(noise) > BORDER_GROWTH)


def _assets(scene: Scene, profile: CatalogProfile) -> list[tuple[str, str]]:
    keys = [asset_of(profile.radar.bands[band]) for band in S1_BANDS]
    return [(key, scene.item["assets"][key]["href"]) for key in keys]


def _fault(profile: CatalogProfile) -> str:
    unit = profile.radar.unit
    return f"its numbers are impossible as backscatter in {unit}, the unit of the profile"


def _power(scene: Scene, profile: CatalogProfile, relief: Relief, window: Window) -> NDArray[np.float32]:
    """Backscatter (2, H, W) in linear power, speckle filtered on the grid of the file and then resampled.

    Pixels without a value are NaN, or have the codes of `monitor.archive.validity`.
    """
    radar, reach = profile.radar, SPECKLE_WINDOW // 2
    geobox = relief.geobox[window]
    if profile.radar_kind == "grd":
        from monitor.stack.grd import read_grd

        return read_grd(scene, profile, geobox, relief.dem[window], native=lee, reach=reach)
    # the neighbours of a pixel's neighbours decide whether these have an echo
    filtered = Native(partial(_despeckled, decibel=radar.unit == "decibel"), 2 * reach, faint=True)
    return planes(load_backscatter(scene, profile, geobox, filtered, coded=True), S1_BANDS)


def _despeckled(values: NDArray[np.float32], *, decibel: bool) -> NDArray[np.float32]:
    """Speckle filtered linear power (H, W) of the numbers in a file; NaN where there is no echo.

    A value that is not positive counts as zero where most values around it are positive: over calm water the
    removal of noise leaves values on both sides of zero. Elsewhere it is no echo.
    """
    power = np.power(10, values / 10, dtype=np.float32) if decibel else values
    positive = power > 0
    known = np.isfinite(power)
    if not positive[known].all():
        most = window_sum(np.where(positive, 1.0, np.where(known, -1.0, 0.0)), SPECKLE_WINDOW) > 0
        power = np.where(positive, power, np.where(known & most, np.float32(0), np.float32(np.nan)))
    filtered = lee(power, SPECKLE_WINDOW)
    return np.where(filtered > 0, filtered, np.float32(np.nan))


def both(coded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Power (2, H, W) with the lowest value where one polarisation has no echo beside a faint one.

    Calm water can be below the noise in one polarisation. Near the edge of a scene, where neither has data,
    and beside a bright echo, a missing value remains missing.
    """
    lone = (coded == ABSENT) & np.isfinite(coded[::-1]) & (coded[::-1] < FAINT)
    if not lone.any():
        return coded
    edge = np.asarray((~np.isfinite(coded)).all(axis=0), bool)
    lone &= distance_to(edge) > EDGE
    return np.where(lone, np.float32(FLOOR), coded)
