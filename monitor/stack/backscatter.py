"""Backscatter of every pixel, from the radar scenes chosen for its cell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from monitor.archive.decoding import Native
from monitor.archive.load import load_backscatter
from monitor.archive.profiles import S1_BANDS, CatalogProfile
from monitor.archive.scenes import Scene, SceneList
from monitor.stack.dataset import on_geobox, planes
from monitor.stack.filters import SPECKLE_WINDOW, lee
from monitor.stack.relief import Relief
from monitor.stack.turns import Plot, Window, bounds, turns


def backscatter(
    scenes: SceneList, plots: Sequence[Plot], profile: CatalogProfile, relief: Relief
) -> xr.Dataset:
    """Backscatter of every pixel, from the first scene of its cell with data there.

    Returns:
        VV and VH in dB and layover on the box of `relief`, as in a stack.
    """
    shape = relief.geobox.shape
    power = np.full((len(S1_BANDS), *shape), np.nan, np.float32)
    layover = np.zeros(shape, bool)
    for scene, mine in turns(scenes.radar, plots, shape[0], "radar"):
        wanted = mine & np.isnan(power[0])
        if not wanted.any():
            continue
        window = bounds(wanted)
        found = _power(scene, profile, relief, window)
        here = wanted[window] & np.isfinite(found).all(axis=0)
        if not here.any():
            continue
        np.copyto(power[:, *window], found, where=here)
        layover[window][here] = relief.hidden(scene)[window][here]
    decibels = dict(zip(S1_BANDS, 10 * np.log10(power), strict=True))
    return on_geobox(relief.geobox, {**decibels, "layover": layover})


def _power(scene: Scene, profile: CatalogProfile, relief: Relief, window: Window) -> NDArray[np.float32]:
    """Backscatter (2, H, W) in linear power, speckle filtered on the grid of the file and then resampled."""
    radar, reach = profile.radar, SPECKLE_WINDOW // 2
    geobox = relief.geobox[window]
    if profile.radar_kind == "grd":
        from monitor.stack.grd import read_grd

        return read_grd(scene, profile, geobox, relief.dem[window], native=lee, reach=reach)
    filtered = Native(partial(_despeckled, decibel=radar.unit == "decibel"), reach)
    return planes(load_backscatter(scene, profile, geobox, filtered), S1_BANDS)


def _despeckled(values: NDArray[np.float32], *, decibel: bool) -> NDArray[np.float32]:
    """Speckle filtered linear power (H, W) of the numbers in a file; NaN where there is no echo."""
    power = np.power(10, values / 10, dtype=np.float32) if decibel else values
    return lee(np.where(power > 0, power, np.nan).astype(np.float32), SPECKLE_WINDOW)
