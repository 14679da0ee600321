"""The offset of a Sentinel-2 scene's digital numbers, decided once from the metadata of its catalogue.

ESA adds 1000 to every number since processing baseline 04.00 (January 2022), reprocessed older scenes
included. Some catalogues leave the 1000 in, some take it out, and the metadata of some contradict their
files. A scene is refused, with an explanation, where the offset cannot be decided.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitor.archive import properties
from monitor.archive.explanations import Explanation, Refusal
from monitor.archive.profiles import OpticalProfile

if TYPE_CHECKING:
    import pystac

#: ESA's own baselines; 99.99 marks products that were not processed by ESA
BASELINE = re.compile(r"0\d\.\d\d")
#: the first processing baseline whose digital numbers carry +1000
OFFSET_BASELINE = 4.0
ADDED = 1000.0


@dataclass(frozen=True)
class Convention:
    """Reflectance x 10000 = digital number + `offset`."""

    baseline: str
    offset: float


def decide(item: pystac.Item, profile: OpticalProfile) -> Convention | Explanation:
    """The convention of a scene, or why it is unknown."""
    baseline = properties.text(item.properties, profile.baseline)
    #: whether ESA added 1000; None where the baseline is not one of ESA's
    added = float(baseline) >= OFFSET_BASELINE if BASELINE.fullmatch(baseline) else None
    offset: float | Explanation
    if profile.offset == "none":
        offset = 0.0
    elif profile.offset == "declared":
        offset = _declared(item, profile, baseline, added)
    elif added is None:
        offset = Refusal.UNKNOWN_BASELINE.because(
            baseline=str(item.properties.get(profile.baseline) or ""), key=profile.baseline
        )
    elif profile.offset == "flag":
        offset = _flagged(item, str(profile.flag), baseline, added)
    else:
        offset = -ADDED if added else 0.0
    return offset if isinstance(offset, Explanation) else Convention(baseline, offset)


def _flagged(item: pystac.Item, flag: str, baseline: str, added: bool) -> float | Explanation:
    """Offset of a catalogue that takes the 1000 out and marks it in a property (Earth Search v1).

    Its raster:bands declare -0.1 even for corrected scenes, and scenes flagged as not corrected were found
    corrected (Element84/earth-search issues 66 and 71), so that only the value true is relied on.
    """
    applied = item.properties.get(flag)
    flagged = str(applied).lower()
    if added and applied is not True:
        if flag not in item.properties:
            return Refusal.FLAG_MISSING.because(flag=flag, baseline=baseline)
        return Refusal.FLAG_NOT_TRUE.because(flag=flag, flagged=flagged, baseline=baseline)
    if applied is True and not added:
        return Refusal.FLAG_AGAINST_BASELINE.because(flag=flag, flagged=flagged, baseline=baseline)
    return 0.0


def _declared(
    item: pystac.Item, profile: OpticalProfile, baseline: str, added: bool | None
) -> float | Explanation:
    """Offset that the item declares: the same for every band, and consistent with its baseline."""
    declared: set[tuple[float, float]] = set()
    for key in profile.bands.values():
        asset, _, number = key.partition(".")
        fields = item.assets[asset].extra_fields if asset in item.assets else {}
        found = _scales(fields, int(number or 1) - 1)
        if not found:
            return Refusal.NO_OFFSET.because(asset=asset, band=int(number or 1))
        declared |= found
    if len(declared) > 1:
        pairs = (f"{scale / 1e4:g} and {offset / 1e4:g}" for scale, offset in sorted(declared))
        return Refusal.DIFFERENT_OFFSETS.because(declared=tuple(pairs))
    scale, offset = declared.pop()
    if scale != 1 or offset not in {0.0, -ADDED}:
        return Refusal.OTHER_SCALE.because(scale=scale / 1e4, offset=offset / 1e4)
    if added is not None and added != (offset == -ADDED):
        code = Refusal.OFFSET_NOT_DECLARED if added else Refusal.OFFSET_NOT_ADDED
        return code.because(baseline=baseline)
    return offset


def _scales(fields: Mapping[str, Any], position: int) -> set[tuple[float, float]]:
    """Scale and offset (in reflectance x 10000) that an asset declares for a band.

    Either form is read: `raster:bands` of STAC 1.0, and `raster:scale` and `raster:offset` of STAC 1.1, in
    `bands` or on the asset.
    """
    old = _nth(fields.get("raster:bands"), position)
    new = {**fields, **_nth(fields.get("bands"), position)}
    pairs = (
        (properties.number(old, "scale"), properties.number(old, "offset")),
        (properties.number(new, "raster:scale"), properties.number(new, "raster:offset")),
    )
    return {
        (round(scale * 1e4, 6), round(offset * 1e4, 6))
        for scale, offset in pairs
        if scale is not None and offset is not None
    }


def _nth(bands: Any, position: int) -> Mapping[str, Any]:
    """The entry of a band in a list of bands; none where the list or the entry is of a wrong type."""
    found = bands[position] if isinstance(bands, list) and position < len(bands) else None
    return found if isinstance(found, Mapping) else {}
