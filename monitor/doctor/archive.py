"""The doctor's checks of a catalogue: its answers, its collections, and the reading of its files.

Files are read at one place inside the region, in the newest season with scenes there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
import shapely

from monitor.archive.catalog import Catalog, FolderCatalog, open_catalog
from monitor.archive.choice import RADAR_WINDOW
from monitor.archive.explanations import Refused
from monitor.archive.load import load_backscatter, load_classes, load_elevation, load_optical
from monitor.archive.outlines import BBox
from monitor.archive.profiles import CatalogProfile, RadarKind
from monitor.archive.scenes import Scene, asset_of, usable_dem, usable_optical, usable_radar
from monitor.archive.sensors import EVERY
from monitor.archive.signing import sign
from monitor.doctor.examination import Finding, State
from monitor.errors import MonitorError
from monitor.grid import WGS84, geobox_at, pixel_at, reproject, zone_at
from monitor.settings import FIRST_SEASON
from monitor.workspace import Workspace
from segmenter.manifest import ModalityName, code_of, name_of
from segmenter.sensors import best_set

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

#: side in pixels of the block that is read of a file
BLOCK = 256
#: seconds to connect to a catalogue, and to wait for a response
TIMEOUT = (10.0, 20.0)


@dataclass
class ArchiveChecks:
    """Checks of a workspace's catalogue at one place inside a region."""

    workspace: Workspace
    region: str
    #: the catalogue; None until it has answered
    open: Catalog | None = field(default=None, init=False)

    @cached_property
    def profile(self) -> CatalogProfile:
        return self.workspace.catalog_profile

    @cached_property
    def point(self) -> shapely.Point:
        """A place inside the region, EPSG:4326."""
        return self.workspace.region(self.region).zone.representative_point()

    def box(self, side: int) -> GeoBox:
        """`side` pixels around the place."""
        epsg = zone_at(self.point.x, self.point.y)
        middle = reproject(self.point, WGS84, epsg)
        row, col = pixel_at(middle.x, middle.y)
        return geobox_at(epsg, row - side // 2, col - side // 2, (side, side))

    @property
    def bounds(self) -> BBox:
        """West, south, east, north of a small box around the place."""
        west, south, east, north = self.point.buffer(0.01).bounds
        return west, south, east, north

    def catalogue(self) -> Finding:
        """Check that the catalogue answers and has the collections of the profile."""
        wanted = [self.profile.optical.collection, *(r.collection for r in self.profile.radars.values())]
        wanted.append(self.profile.dem.collection)
        location = self.workspace.location
        if isinstance(location, Path):
            folder = FolderCatalog(location)
            counts = {name: len(folder.always(name, (-180, -90, 180, 90))) for name in dict.fromkeys(wanted)}
            found = ", ".join(f"{count} items of {name}" for name, count in counts.items())
            missing = [name for name, count in counts.items() if not count]
            self.open = folder
            return self._collections(f"{location}: {found}", missing)
        url = str(location or self.profile.url or "")
        start = time.perf_counter()
        missing = _missing(url, wanted)
        found = f"{url} answers, in {time.perf_counter() - start:.1f} s for its collections"
        self.open = open_catalog(self.profile, location)
        return self._collections(found, missing)

    def _collections(self, found: str, missing: list[str]) -> Finding:
        radars = {radar.collection: kind for kind, radar in self.profile.radars.items()}
        # kinds of radar that the model does not use can be missing
        needed = [name for name in missing if name not in radars or radars[name] == self.radar_kind]
        if not needed:
            return Finding("catalogue", State.OK, found)
        problem = Finding(
            "catalogue",
            State.PROBLEM,
            f"{found}; lacks {', '.join(needed)}",
            "name the profile that describes it in catalog.profile, or write one: config/catalogs",
        )
        sensors: dict[str, ModalityName] = dict.fromkeys(radars, "S1")
        sensors[self.profile.dem.collection] = "DEM"
        # without the optical collection the profile is most likely not that of the catalogue
        others = all(name in sensors for name in needed)
        return self._without([sensors[name] for name in needed], problem) if others else problem

    def _without(self, sensors: Iterable[ModalityName], problem: Finding) -> Finding:
        """A problem of missing inputs, which is a warning where the model can do without them."""
        try:
            used = best_set(self.workspace.sets, EVERY[0] & ~code_of(sensors))
        except Exception:  # reported by the check of the model
            return problem
        if not used:
            return problem
        found = f"{problem.found}; the model predicts from {name_of(used)} only"
        return replace(problem, state=State.WARNING, found=found)

    @cached_property
    def radar_kind(self) -> RadarKind | None:
        """The kind of radar that the model uses; None if the model or that kind is not available."""
        try:
            return self.workspace.profile.radar_kind
        except Exception:  # reported by the check of the model
            return None

    @cached_property
    def season(self) -> tuple[list[Scene], tuple[date, date], str]:
        """Usable Sentinel-2 scenes over the place in the newest season with any, clearest first.

        The second value holds the first and last day of that season, the third why other scenes are refused.
        """
        assert self.open is not None
        window = self.workspace.region(self.region).season
        why = ""
        for year in range(date.today().year, FIRST_SEASON - 1, -1):
            days = window.dates(year)[0], window.reserve(year)
            items = self.open.search(self.profile.optical.collection, self.bounds, *days)
            scenes, refused = usable_optical(items, self.profile.optical)
            why = why or "; ".join(f"{item}: {reason}" for item, reason in refused[:2])
            here = [scene for scene in scenes if shapely.contains(scene.footprint, self.point)]
            if here:
                here.sort(key=lambda scene: (scene.cloud_cover is None, scene.cloud_cover, scene.id))
                return here, days, why
        return [], (date.min, date.max), why

    @property
    def scene(self) -> Scene | None:
        """The scene that is read; None where the catalogue does not answer or has none."""
        if self.open is None:
            return None
        scenes, _, _ = self.season
        return scenes[0] if scenes else None

    def signing(self) -> Finding | None:
        """Check that the token service signs an address of a file."""
        if self.profile.signing == "none" or self.scene is None:
            return None
        asset = asset_of(self.profile.optical.bands["B03"])
        signed = sign(self.scene.item["assets"][asset]["href"], self.profile)
        if (expiry := parse_qs(urlsplit(signed).query).get("se")) is None:
            return Finding("signing", State.OK, "these addresses need no signature")
        return Finding("signing", State.OK, f"a token was received, valid until {expiry[0]}")

    def optical(self) -> Finding | None:
        """Read one block of a band and of the scene classes."""
        if self.open is None:
            return None
        if self.scene is None:
            _, _, why = self.season
            return Finding(
                "Sentinel-2 files",
                State.PROBLEM,
                f"no usable scene over {place(self.point)} since {FIRST_SEASON}"
                + (f" ({why})" if why else ""),
                "see `monitor scenes`; another catalogue or another profile may serve the region",
            )
        start = time.perf_counter()
        load_optical(self.scene, self.profile, self.box(BLOCK), ["B03"])
        if self.profile.optical.scene_classes is not None:
            load_classes(self.scene, self.profile, self.box(BLOCK))
        return _read_in("Sentinel-2 files", self.scene, start)

    def radar(self) -> Finding | None:
        """Read one block of the newest radar scene of the model's kind."""
        if self.scene is None or self.open is None or self.radar_kind not in self.profile.radars:
            return None
        profile = self.profile.serving(self.radar_kind)
        _, (start_day, end_day), _ = self.season
        items = self.open.search(
            profile.radar.collection, self.bounds, start_day - RADAR_WINDOW, end_day + RADAR_WINDOW
        )
        scenes, refused = usable_radar(items, profile.radar)
        here = self._covering(scenes)
        if here is None:
            return self._without(["S1"], _nothing("Sentinel-1 files", self.point, start_day.year, refused))
        start = time.perf_counter()
        if profile.radar_kind == "grd":
            from monitor.stack.grd import read_grd

            read_grd(here, profile, self.box(BLOCK), self._heights())
        else:
            load_backscatter(here, profile, self.box(BLOCK))
        return _read_in("Sentinel-1 files", here, start)

    def _heights(self) -> np.ndarray:
        assert self.open is not None
        dem, _ = usable_dem(self.open.always(self.profile.dem.collection, self.bounds), self.profile.dem)
        here = self._covering(dem)
        if here is None:
            raise MonitorError("there is no DEM for the geocoding of ground range")
        return load_elevation([here], self.profile, self.box(BLOCK)).to_numpy()

    def dem(self) -> Finding | None:
        """Read one block of elevation."""
        if self.open is None:
            return None
        dem, refused = usable_dem(
            self.open.always(self.profile.dem.collection, self.bounds), self.profile.dem
        )
        here = self._covering(dem)
        if here is None:
            return self._without(["DEM"], _nothing("DEM files", self.point, None, refused))
        start = time.perf_counter()
        load_elevation([here], self.profile, self.box(BLOCK))
        return _read_in("DEM files", here, start)

    def _covering(self, scenes: Iterable[Scene]) -> Scene | None:
        """The newest of the scenes over the place."""
        here = [scene for scene in scenes if shapely.contains(scene.footprint, self.point)]
        return max(here, key=lambda scene: scene.datetime, default=None)


def _missing(url: str, collections: Iterable[str]) -> list[str]:
    """Collections that a STAC API does not have. Requests are not retried, to report the present state.

    Raises:
        MonitorError: it does not answer.
    """
    from pystac_client import Client

    try:
        client = Client.open(url, timeout=TIMEOUT)
        return [name for name in dict.fromkeys(collections) if client.get_collection(name) is None]
    except Exception as error:  # the client's errors have no common base
        raise MonitorError(
            f"{url} does not answer: {str(error)[:400]}; check that it can be reached from here, "
            "or name another catalogue in catalog.profile"
        ) from error


def _read_in(check: str, scene: Scene, start: float) -> Finding:
    return Finding(check, State.OK, f"a block of {scene.id} read in {time.perf_counter() - start:.1f} s")


def _nothing(check: str, point: BaseGeometry, year: int | None, refused: Refused) -> Finding:
    when = f" in the season of {year}" if year else ""
    why = f" ({refused[0][0]}: {refused[0][1]})" if refused else ""
    return Finding(
        check,
        State.PROBLEM,
        f"no usable scene over {place(point)}{when}{why}",
        "see `monitor scenes`; another catalogue may serve the region",
    )


def place(point: BaseGeometry) -> str:
    """Latitude and longitude of a place, for messages."""
    return f"{point.y:.3f} N {point.x:.3f} E"
