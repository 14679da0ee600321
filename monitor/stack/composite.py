"""The optical composite: for every pixel the best clear date of the scenes chosen for its cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from monitor.archive.load import load_classes, load_optical
from monitor.archive.profiles import S2_BANDS, CatalogProfile
from monitor.archive.scenes import Scene, SceneList
from monitor.archive.sky import CLOUD_SHADOW, CLOUDS, DARK, NO_DATA, SATURATED, SNOW
from monitor.stack.dataset import on_geobox, planes
from monitor.stack.relief import Relief
from monitor.stack.turns import Plot, bounds, turns

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Flags = NDArray[np.bool_]

#: pixels by which Sen2Cor's clouds are grown, which miss their edges; pixels from a cloud within which its
#: cloud shadows are masked
CLOUD_GROWTH = 4
SHADOW_REACH = 30


def composite(
    scenes: SceneList, plots: Sequence[Plot], profile: CatalogProfile, relief: Relief
) -> xr.Dataset:
    """The best clear date of every pixel, in the order of its cell; dates with snow or shadow come last.

    Returns:
        B01 to B12, day_of_year, cloud, snow and shadow on the box of `relief`, as in a stack.
    """
    shape = relief.geobox.shape
    optical = np.full((len(S2_BANDS), *shape), np.nan, np.float32)
    day = np.zeros(shape, np.int16)
    cloud, snow, shadow = (np.zeros(shape, bool) for _ in range(3))
    views: dict[str, View] = {}
    for scene, mine in turns(scenes.optical, plots, shape[0], "optical"):
        wanted = mine & ((day == 0) | snow | shadow)
        if not wanted.any():
            continue
        if scene.id not in views:
            views[scene.id] = _view(scene, profile, relief)
        view = views[scene.id]
        cloud |= mine & view.cloud
        worse = view.snow | view.shadow
        better = wanted & view.usable & ((day == 0) | ~worse)
        if not better.any():
            continue
        window = bounds(better)
        found = _reflectance(scene, profile, relief.geobox[window])
        better[window] &= np.isfinite(found[0])
        here = better[window]
        np.copyto(optical[:, *window], found, where=here)
        day[window][here] = scene.day_of_year
        for flag, values in ((snow, view.snow), (shadow, view.shadow)):
            np.copyto(flag, values, where=better)
    cloud &= day == 0
    flags = {"day_of_year": day, "cloud": cloud, "snow": snow, "shadow": shadow}
    return on_geobox(relief.geobox, dict(zip(S2_BANDS, optical, strict=True)) | flags)


@dataclass(frozen=True)
class View:
    """Masks of one optical scene on the box, from its scene classes and the sun; each (H, W)."""

    #: has data and is not hidden by cloud
    usable: Flags
    cloud: Flags
    snow: Flags
    shadow: Flags


def _view(scene: Scene, profile: CatalogProfile, relief: Relief) -> View:
    shape = relief.geobox.shape
    shadow = relief.shadow(scene)
    if profile.optical.scene_classes is None:
        none = np.zeros(shape, bool)
        return View(np.ones(shape, bool), none, none, none if shadow is None else shadow)
    classes = load_classes(scene, profile, relief.geobox).to_numpy()
    hidden = masked(classes)
    return View(
        usable=~hidden,
        cloud=hidden & (classes != NO_DATA),
        snow=classes == SNOW,
        shadow=classes == DARK if shadow is None else shadow,
    )


def masked(classes: NDArray[np.uint8]) -> Flags:
    """Pixels that are not used by their scene classes (H, W): cloud, its edge and shadow, and no data.

    Cloud shadow (class 3) far from any cloud is used, because Sen2Cor assigns dark lakes to that class.
    """
    clouds = np.isin(classes, CLOUDS)
    distance = ndimage.distance_transform_edt(~clouds) if clouds.any() else np.full(classes.shape, np.inf)
    beside = (classes == CLOUD_SHADOW) & (distance <= SHADOW_REACH)
    hidden: Flags = (distance <= CLOUD_GROWTH) | beside
    return hidden | np.isin(classes, (NO_DATA, SATURATED))


def _reflectance(scene: Scene, profile: CatalogProfile, geobox: GeoBox) -> NDArray[np.float32]:
    """Reflectance x 10000 (12, H, W), NaN where the scene has not all bands."""
    reflectance = planes(load_optical(scene, profile, geobox), S2_BANDS)
    # dark pixels can be negative after the offset is subtracted; reflectance is not
    np.maximum(reflectance, 0, out=reflectance)
    reflectance[:, ~np.isfinite(reflectance).all(axis=0)] = np.nan
    return reflectance
