"""What the digital numbers of a Sentinel-2 scene mean: decided once, from what the catalogue says of it.

ESA adds 1000 to every number since processing baseline 04.00 (January 2022), reprocessed older scenes
included. Some catalogues leave it in, some take it out, some say the one and do the other. A scene of which
it cannot be known is refused with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitor.archive.profiles import OpticalProfile

if TYPE_CHECKING:
    import pystac

#: ESA's own baselines; 99.99 marks products that somebody else processed
BASELINE = re.compile(r"0\d\.\d\d")
#: the first processing baseline whose digital numbers carry +1000
OFFSET_BASELINE = 4.0
ADDED = 1000.0


@dataclass(frozen=True)
class Convention:
    """Reflectance x 10000 = digital number + `offset`."""

    baseline: str
    offset: float


def decide(item: pystac.Item, profile: OpticalProfile) -> Convention | str:
    """The convention of a scene, or the reason why it is unknown."""
    baseline = str(item.properties.get(profile.baseline) or "")
    #: whether ESA added 1000; None where the baseline is not one of ESA's
    added = float(baseline) >= OFFSET_BASELINE if BASELINE.fullmatch(baseline) else None
    offset: float | str
    if profile.offset == "none":
        offset = 0.0
    elif profile.offset == "declared":
        offset = _declared(item, profile, baseline, added)
    elif added is None:
        offset = f"unknown processing baseline {baseline!r}: whether it carries the +1000 offset is unknown"
    elif profile.offset == "flag":
        offset = _flagged(item, str(profile.flag), baseline, added)
    else:
        offset = -ADDED if added else 0.0
    return offset if isinstance(offset, str) else Convention(baseline, offset)


def _flagged(item: pystac.Item, flag: str, baseline: str, added: bool) -> float | str:
    """Offset of a catalogue that takes the 1000 out and notes it in a property (Earth Search v1).

    Its raster:bands declare -0.1 even for scenes that it corrected, and scenes that it says it left as they
    are were found corrected (Element84/earth-search issues 66 and 71): only the note "corrected" is believed.
    """
    applied = item.properties.get(flag)
    if added and applied is not True:
        said = f"{flag} is {str(applied).lower()}" if flag in item.properties else f"there is no {flag}"
        return f"{said} at baseline {baseline}: such scenes are served with and without the +1000 offset"
    if applied and not added:
        return (
            f"{flag} is {str(applied).lower()}, but baseline {baseline} adds nothing that could be taken out"
        )
    return 0.0


def _declared(item: pystac.Item, profile: OpticalProfile, baseline: str, added: bool | None) -> float | str:
    """Offset that the item declares, the same for every band, and not against what its baseline does."""
    declared: set[tuple[float, float]] = set()
    for key in profile.bands.values():
        asset, _, number = key.partition(".")
        fields = item.assets[asset].extra_fields if asset in item.assets else {}
        found = _scales(fields, int(number or 1) - 1)
        if not found:
            return f"asset {asset} declares no scale and offset for band {number or 1}"
        declared |= found
    if len(declared) > 1:
        return f"its bands declare different scales or offsets: {sorted(declared)}"
    scale, offset = declared.pop()
    if scale != 1 or offset not in {0.0, -ADDED}:
        return (
            f"declares scale {scale / 1e4:g} and offset {offset / 1e4:g}; "
            "Sentinel-2 L2A has scale 0.0001 and offset 0 or -0.1"
        )
    if added is not None and added != (offset == -ADDED):
        adds = "adds 1000" if added else "adds nothing"
        return f"declares the offset {offset / 1e4:g}, but baseline {baseline} {adds}"
    return offset


def _scales(fields: Mapping[str, Any], position: int) -> set[tuple[float, float]]:
    """Scale and offset (in reflectance x 10000) in each form in which an asset may declare them for a band:
    `raster:bands` of STAC 1.0, `raster:scale` and `raster:offset` of STAC 1.1 in `bands` or on the asset.
    """
    old = _nth(fields.get("raster:bands"), position)
    new = {**fields, **_nth(fields.get("bands"), position)}
    pairs = ((old.get("scale"), old.get("offset")), (new.get("raster:scale"), new.get("raster:offset")))
    return {
        (round(scale * 1e4, 6), round(offset * 1e4, 6))
        for scale, offset in pairs
        if isinstance(scale, int | float) and isinstance(offset, int | float)
    }


def _nth(bands: list[dict[str, Any]] | None, position: int) -> dict[str, Any]:
    return bands[position] if bands and position < len(bands) else {}
