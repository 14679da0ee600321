"""The doctor's checks of the Sentinel-2 offset: on dark pixels, and by comparison with another catalogue."""

from __future__ import annotations

from itertools import islice

import numpy as np

from monitor.archive.catalog import open_catalog
from monitor.archive.explanations import Explanation
from monitor.archive.load import load_classes
from monitor.archive.profiles import read_profile
from monitor.archive.scenes import Scene, optical_scene
from monitor.archive.sky import DARK
from monitor.doctor.agreement import Difference, difference, pairs, reflectance
from monitor.doctor.archive import BLOCK, ArchiveChecks, place
from monitor.doctor.examination import Finding, State
from monitor.errors import AssetError, MonitorError

#: Sen2Cor's class of water
WATER = 6
#: side in pixels of the area that is read, and the number of dark pixels that the check needs
GROUND, ENOUGH_DARK = 1024, 50
#: reflectance of water and terrain shadow at 2.2 um is a few per cent at most. It is near -0.1 where ESA's
#: +1000 is taken out twice, and near 0.1 where it is not taken out.
DARKEST, BRIGHTEST = -0.03, 0.09
#: pairs of acquisitions that are tried until one has pixels in common
PAIRS = 5
#: catalogue by profile with which it is compared, where both are at their own addresses
COUNTERPARTS = {
    "planetary-computer": "earth-search",
    "earth-search": "planetary-computer",
    "earth-search-c1": "planetary-computer",
}


def offset(archive: ArchiveChecks) -> Finding | None:
    """Check that water and shadow are dark in a harmonised scene."""
    scene = archive.scene
    if scene is None:
        return None
    classes, box = archive.profile.optical.scene_classes, archive.box(GROUND)
    values = reflectance(scene, archive.profile, box, ["B12"])["B12"]
    dark = np.isfinite(values)
    if classes is not None:
        dark &= np.isin(load_classes(scene, archive.profile, box), (DARK, WATER))
    applied = f"{scene.id}, baseline {scene.baseline or 'unknown'}: offset {scene.offset / 1e4:+g}"
    pixels = int(dark.sum())
    if pixels < ENOUGH_DARK:
        found = f"{applied}; neither water nor shadow near {place(archive.point)}: not checked against pixels"
        return Finding("offset", State.WARNING, found, "compare with another catalogue: --compare")
    if classes is not None:
        level, what = float(np.median(values[dark])), f"{pixels} pixels of water and shadow reflect"
    else:
        level, what = float(np.percentile(values[dark], 1)), "the darkest hundredth of the ground reflects"
    found = f"{applied}; {what} {level:.3f} in B12"
    if DARKEST <= level <= BRIGHTEST:
        return Finding("offset", State.OK, found)
    # without classes bright ground cannot be distinguished from a wrong offset
    sure = classes is not None or level < DARKEST
    return Finding(
        "offset",
        State.PROBLEM if sure else State.WARNING,
        f"{found}: ESA's +1000 is {'taken out twice' if level < DARKEST else 'still in'}",
        "compare with another catalogue (--compare), then correct `offset` in the profile",
    )


def agreement(archive: ArchiveChecks, compare: str | None, location: str | None) -> Finding | None:
    """Check that another catalogue has the same reflectance for the same acquisition.

    Args:
        compare: profile of the other catalogue; None: that of `COUNTERPARTS`, unless the workspace has a
            location.
        location: folder or URL of the other catalogue, if not the address of its profile.
    """
    workspace = archive.workspace
    own = workspace.settings.catalog.profile
    other = compare or (COUNTERPARTS.get(own) if workspace.location is None else None)
    if other is None or archive.scene is None:
        return None
    try:
        return _compared(archive, other, location)
    except AssetError:
        raise
    except MonitorError as error:
        if compare is not None:
            raise
        # the comparison was not requested, and an unavailable catalogue is not a problem of this workspace
        return Finding("agreement", State.WARNING, f"not compared with {other}: {error}")


def _compared(archive: ArchiveChecks, other: str, location: str | None) -> Finding:
    workspace = archive.workspace
    there = workspace.path(location) if location and "://" not in location else location
    profile = read_profile(other, workspace.folder).at(there, archive.profile.sources or ())
    scenes, days, _ = archive.season
    items = open_catalog(profile, there).search(profile.optical.collection, archive.bounds, *days)
    decided = {item.id: optical_scene(item, profile.optical) for item in items}
    theirs = [scene for scene in decided.values() if isinstance(scene, Scene)]
    for scene, twin in islice(pairs(scenes, theirs), PAIRS):
        found = difference(scene, archive.profile, twin, profile, archive.box(BLOCK))
        if found is not None:
            return _judged(scene, twin, other, found)
    refused = [f"{name}: {why}" for name, why in decided.items() if isinstance(why, Explanation)]
    return Finding(
        "agreement",
        State.WARNING,
        f"not compared: {len(scenes)} scenes here, {len(theirs)} usable in {other}, none of them the same "
        f"acquisition in the same baseline over {place(archive.point)}, {days[0].year}"
        + (f" ({refused[0]})" if refused else ""),
        "compare over another region",
    )


def _judged(scene: Scene, twin: Scene, other: str, found: Difference) -> Finding:
    same = (
        f"{scene.id} here (offset {scene.offset / 1e4:+g}) and {twin.id} in {other} ({twin.offset / 1e4:+g})"
    )
    if found.agrees:
        text = f"{same}: medians of 12 bands within {abs(found.largest):.5f} over {found.pixels} pixels"
        return Finding("agreement", State.OK, text)
    text = f"{same} differ by {found.largest:+.4f} in {found.band}"
    if not found.is_offset:
        return Finding(
            "agreement",
            State.PROBLEM,
            text,
            "compare the asset keys of both profiles; swapped bands have this effect",
        )
    low, high = ("here", other) if found.largest < 0 else (other, "here")
    lowest = min(found.floors)
    # reflectance is not negative: the catalogue with negative values lacks 1000
    guilty = f"taken out twice: {low}" if lowest < DARKEST else f"still in: {high}"
    return Finding(
        "agreement",
        State.PROBLEM,
        f"{text} and by as much in every band: ESA's +1000 is {guilty} (darkest pixels {lowest:.3f})",
        "use the other catalogue, or correct `offset` in the wrong profile",
    )
