"""What the digital numbers of a Sentinel-2 scene mean: decided once, from what the catalogue says of it.

ESA adds 1000 to every number since processing baseline 04.00 (January 2022), reprocessed older scenes
included. Some catalogues leave it in, some take it out, some say the one and do the other. A scene of which
it cannot be known is refused with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.profiles import OpticalProfile

if TYPE_CHECKING:
    import pystac

#: ESA's own baselines; 99.99 marks products that somebody else processed
BASELINE = re.compile(r"0\d\.\d\d")
#: the first processing baseline whose digital numbers carry +1000
OFFSET_BASELINE = 4.0


@dataclass(frozen=True)
class Convention:
    """Reflectance x 10000 = digital number x `scale` + `offset`."""

    baseline: str
    offset: float
    scale: float = 1.0


def decide(item: pystac.Item, profile: OpticalProfile) -> Convention | str:
    """The convention of a scene, or the reason why it is unknown."""
    baseline = str(item.properties.get(profile.baseline, ""))
    if profile.offset == "declared":
        declared = _declared(item, profile)
        return declared if isinstance(declared, str) else Convention(baseline, *declared)
    if profile.offset == "none":
        return Convention(baseline, 0.0)
    if not BASELINE.fullmatch(baseline):
        return f"unknown processing baseline {baseline!r}: whether it carries the +1000 offset is unknown"
    return Convention(baseline, -1000.0 if float(baseline) >= OFFSET_BASELINE else 0.0)


def _declared(item: pystac.Item, profile: OpticalProfile) -> tuple[float, float] | str:
    """Offset and scale in reflectance x 10000, as the item's raster:bands declare them for every band."""
    declared: set[tuple[float, float]] = set()
    for key in profile.bands.values():
        asset, _, index = key.partition(".")
        bands = item.assets[asset].extra_fields.get("raster:bands", [])
        position = int(index or 1) - 1
        if position >= len(bands) or not {"scale", "offset"} <= set(bands[position]):
            return f"asset {asset} declares no scale and offset for band {position + 1} in raster:bands"
        declared.add((bands[position]["offset"] * 1e4, bands[position]["scale"] * 1e4))
    if len(declared) > 1:
        return f"its bands declare different offsets: {sorted(declared)}"
    return declared.pop()
