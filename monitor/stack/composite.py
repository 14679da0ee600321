"""The optical composite: for every pixel the best clear date of the scenes chosen for its cell."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from monitor.archive.load import load_classes, load_optical
from monitor.archive.profiles import S2_BANDS, CatalogProfile
from monitor.archive.scenes import Scene, SceneList, asset_of
from monitor.archive.sky import CLOUD_SHADOW, CLOUDS, DARK, NO_DATA, SATURATED, SNOW, UNCLASSIFIED
from monitor.errors import ContentRefusedError
from monitor.grid import Tile
from monitor.stack.dataset import on_geobox, planes
from monitor.stack.index import frozen_or_cloud
from monitor.stack.lookalikes import LARGEST, RING, Sky, lookalikes
from monitor.stack.relief import Relief
from monitor.stack.spectra import (
    EDGE,
    IMPOSSIBLE_SHARE,
    MISSING_SHARE,
    Spectra,
    refusal,
    spectra,
    worst_share,
)
from monitor.stack.turns import Window, bounds, grown, inside, plots_of, turns

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Flags = NDArray[np.bool_]

#: pixels by which Sen2Cor's clouds are grown, which miss their edges; pixels from a cloud within which its
#: cloud shadows are masked
CLOUD_GROWTH = 4
SHADOW_REACH = 30
#: pixels of scene classes that are read beside the box, for `lookalikes`
CLASSES_BESIDE = 128
#: pixels around a pixel on which its part of the composite depends; the box is wider by `acquire.MARGIN`
assert LARGEST + RING <= CLASSES_BESIDE + EDGE


@dataclass(frozen=True)
class Composite:
    """The composite of a tile.

    Attributes:
        bands: B01 to B12, day_of_year, cloud, snow and shadow on the box, as in a stack.
        refused: files whose numbers are impossible in a large part of the tile.
    """

    bands: xr.Dataset
    refused: tuple[ContentRefusedError, ...]


def composite(
    scenes: SceneList, box: Tile, profile: CatalogProfile, relief: Relief, core: Window
) -> Composite:
    """The best clear date of every pixel, in the order of its cell; dates with snow or shadow come last.

    Args:
        box: of `relief`.
        core: rows and columns of the tile in the box.
    """
    canvas = _Canvas(profile, relief, core)
    views: dict[str, View] = {}
    for scene, mine in turns(scenes.optical, plots_of(scenes.choices, box), box.size, "optical"):
        if not canvas.wanting(mine).any():
            continue
        if scene.id not in views:
            views[scene.id] = _view(scene, profile, relief)
        canvas.cloud |= mine & views[scene.id].cloud
        canvas.paint(scene, views[scene.id], mine)
    if profile.optical.scene_classes is not None and (canvas.cloud & (canvas.day == 0)).any():
        _paint_lookalikes(canvas, scenes, box, views)
    return canvas.finished()


@dataclass(frozen=True)
class View:
    """Masks of one optical scene on the box, from its scene classes and the sun; each (H, W)."""

    #: has data and is not hidden by cloud
    usable: Flags
    cloud: Flags
    #: None where the catalogue has no scene classes
    snow: Flags | None
    shadow: Flags
    #: has no data by the scene classes; None without them
    no_data: Flags | None = None
    #: scene classes on the box and `CLASSES_BESIDE` it
    classes: NDArray[np.uint8] | None = None


def _view(scene: Scene, profile: CatalogProfile, relief: Relief) -> View:
    shape = relief.geobox.shape
    shadow = relief.shadow(scene)
    if profile.optical.scene_classes is None:
        none = np.zeros(shape, bool)
        return View(np.ones(shape, bool), none, None, none if shadow is None else shadow)
    wide = load_classes(scene, profile, relief.geobox.pad(CLASSES_BESIDE)).to_numpy()
    classes = wide[_INNER]
    hidden = masked(classes)
    return View(
        usable=~hidden,
        cloud=hidden & (classes != NO_DATA),
        snow=classes == SNOW,
        shadow=classes == DARK if shadow is None else shadow,
        no_data=classes == NO_DATA,
        classes=wide,
    )


_INNER = np.s_[CLASSES_BESIDE:-CLASSES_BESIDE, CLASSES_BESIDE:-CLASSES_BESIDE]


def masked(classes: NDArray[np.uint8]) -> Flags:
    """Pixels that are not used by their scene classes (H, W): cloud, its edge and shadow, and no data.

    Cloud shadow (class 3) far from any cloud is used, because Sen2Cor assigns dark lakes to that class.
    """
    clouds = np.isin(classes, CLOUDS)
    distance = ndimage.distance_transform_edt(~clouds) if clouds.any() else np.full(classes.shape, np.inf)
    beside = (classes == CLOUD_SHADOW) & (distance <= SHADOW_REACH)
    hidden: Flags = (distance <= CLOUD_GROWTH) | beside
    return hidden | np.isin(classes, (NO_DATA, SATURATED))


def reflectance(
    scene: Scene, profile: CatalogProfile, geobox: GeoBox, no_data: Flags | None = None
) -> Spectra:
    """Reflectance x 10000 (12, H, W) of a scene on a box, NaN where it has no data, and its faults.

    Args:
        no_data: pixels (H, W) without data by the scene classes, if there are any.
    """
    coded = planes(load_optical(scene, profile, geobox, coded=True), S2_BANDS)
    return spectra(coded, scene.offset, no_data)


@dataclass
class _Canvas:
    """The composite while its scenes are added."""

    profile: CatalogProfile
    relief: Relief
    core: Window
    refused: dict[str, ContentRefusedError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.relief.geobox.shape
        self.optical = np.full((len(S2_BANDS), *shape), np.nan, np.float32)
        self.day = np.zeros(shape, np.int16)
        self.cloud, self.snow, self.shadow = (np.zeros(shape, bool) for _ in range(3))

    def wanting(self, mine: Flags) -> Flags:
        """Pixels without a value, or with one that a later date can improve."""
        return np.asarray(mine & ((self.day == 0) | self.snow | self.shadow), bool)

    def paint(self, scene: Scene, view: View, mine: Flags) -> None:
        """Take the pixels of a scene that are still wanted, where it is not worse than what is there."""
        better = self.wanting(mine) & view.usable
        if view.snow is not None:
            better &= (self.day == 0) | ~(view.snow | view.shadow)
        if not better.any():
            return
        window = bounds(better)
        found = self._reflectance(scene, view, window, better)
        snow = frozen_or_cloud(found) if view.snow is None else view.snow[window]
        better[window] &= np.isfinite(found[0])
        better[window] &= (self.day[window] == 0) | ~(snow | view.shadow[window])
        here = better[window]
        np.copyto(self.optical[:, *window], found, where=here)
        self.day[window][here] = scene.day_of_year
        np.copyto(self.snow[window], snow, where=here)
        np.copyto(self.shadow, view.shadow, where=better)

    def _reflectance(self, scene: Scene, view: View, window: Window, asked: Flags) -> NDArray[np.float32]:
        """Reflectance x 10000 (12, h, w) on a window, NaN where the scene has no data."""
        wider = grown(window, EDGE, self.day.shape)
        geobox: GeoBox = self.relief.geobox[wider]
        no_data = None if view.no_data is None else view.no_data[wider]
        judged = reflectance(scene, self.profile, geobox, no_data)
        core = inside(self.core, wider)
        for flags, limit, fault in (
            (judged.missing, MISSING_SHARE, MISSING),
            (judged.impossible, IMPOSSIBLE_SHARE, IMPOSSIBLE),
        ):
            shares = [worst_share(band & asked[wider], geobox, core) for band in flags]
            if refused := refusal(scene.id, self._assets(scene), shares, limit, fault):
                self.refused[scene.id] = refused
        return judged.values[:, *inside(window, wider)]

    def _assets(self, scene: Scene) -> list[tuple[str, str]]:
        keys = [asset_of(self.profile.optical.bands[band]) for band in S2_BANDS]
        return [(key, scene.item["assets"][key]["href"]) for key in keys]

    def finished(self) -> Composite:
        cloud = self.cloud & (self.day == 0)
        flags = {"day_of_year": self.day, "cloud": cloud, "snow": self.snow, "shadow": self.shadow}
        bands = dict(zip(S2_BANDS, self.optical, strict=True))
        return Composite(on_geobox(self.relief.geobox, bands | flags), tuple(self.refused.values()))


#: faults of refused files, for messages
IMPOSSIBLE = "its reflectance is outside of -0.2 to 3"
MISSING = "it has no number where the scene's other bands or its scene classes have data"


def _paint_lookalikes(canvas: _Canvas, scenes: SceneList, box: Tile, views: dict[str, View]) -> None:
    """Use the pixels that the scene classes call cloud on every date in the same shape."""
    side = box.size + 2 * CLASSES_BESIDE
    wide = Tile(box.epsg, side, box.row - CLASSES_BESIDE, box.col - CLASSES_BESIDE)
    mine: dict[str, Flags] = defaultdict(lambda: np.zeros((side, side), bool))
    for scene, cells in turns(scenes.optical, plots_of(scenes.choices, wide), side, "optical"):
        mine[scene.id] |= cells
    unseen = canvas.day == 0
    dates: dict[str, Sky] = {}
    names: dict[str, str] = {}
    for scene in (scene for scene in scenes.optical if scene.id in mine):
        if scene.id not in views:
            # of a cell beside the tile, into which a patch can extend
            views[scene.id] = _view(scene, canvas.profile, canvas.relief)
        classes = views[scene.id].classes
        assert classes is not None
        # neighbouring scenes of one pass show the same clouds
        name = names[scene.id] = f"{scene.platform} {scene.datetime.date()}"
        seen = (classes != NO_DATA) & mine[scene.id]
        cloud = np.isin(classes, CLOUDS) & seen
        before = dates.get(name)
        dates[name] = Sky(before.seen | seen, before.cloud | cloud) if before else Sky(seen, cloud)
    found = lookalikes(dates)
    if not found:
        return
    for scene, cells in turns(scenes.optical, plots_of(scenes.choices, box), box.size, "optical"):
        view = views[scene.id]
        if names[scene.id] not in found:
            continue
        assert view.classes is not None
        revealed = np.where(found[names[scene.id]], np.uint8(UNCLASSIFIED), view.classes)
        usable = ~masked(revealed)[_INNER] & ~view.usable
        canvas.paint(scene, replace(view, usable=usable), cells & unseen)
