"""Optional values of STAC items: a value that is absent, null, NaN or of a wrong type counts as absent.

Every property of an item is read here, so that the next source is tried, or the item refused by name,
wherever a value cannot be used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

#: Sentinel-1's and 2's product names, by which catalogues form their ids: S1A_IW_GRDH_..., S2B_MSIL2A_...
_PRODUCT = re.compile(r"S([12])([A-Z])_(?:(IW|EW|WV|S[1-6])_)?")
#: a square of the MGRS grid, such as 43TFH, alone and in an id
_SQUARE = re.compile(r"(?:MGRS-)?(\d{1,2})([C-X])([A-Z]{2})")
_SQUARE_IN_ID = re.compile(r"_T?(\d{1,2}[C-X][A-Z]{2})(?=_|$)")


def number(
    facts: Mapping[str, Any], *keys: str, low: float = -math.inf, high: float = math.inf
) -> float | None:
    """The first finite number between `low` and `high` under one of `keys`; None where there is none."""
    for key in keys:
        value = facts.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            try:
                found = float(value)
            except OverflowError:  # an integer of hundreds of digits
                continue
            if math.isfinite(found):
                return found
    return None


def text(facts: Mapping[str, Any], *keys: str) -> str:
    """The first text that is not empty under one of `keys`; else ""."""
    for key in keys:
        value = facts.get(key)
        if isinstance(value, str) and value.strip():
            return value
    return ""


def facts_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of an item; none where they are absent or of a wrong type."""
    found = item.get("properties")
    return found if isinstance(found, Mapping) else {}


def sun(facts: Mapping[str, Any]) -> tuple[float, float] | None:
    """Mean azimuth (0 to 360 degrees from north) and elevation of the sun; None where it is not stated.

    Azimuths from -180 to 180 occur too.
    """
    bearing = number(facts, "view:sun_azimuth", "s2:mean_solar_azimuth", low=-360, high=360)
    elevation = number(facts, "view:sun_elevation", low=-90, high=90)
    if elevation is None:
        zenith = number(facts, "s2:mean_solar_zenith", low=0, high=180)
        elevation = None if zenith is None else 90 - zenith
    return None if bearing is None or elevation is None else (bearing % 360, elevation)


def platform(facts: Mapping[str, Any], item_id: str) -> str:
    """The satellite, such as Sentinel-2A, else that of the product's name in the id; "" where unknown."""
    if named := text(facts, "platform"):
        return named
    found = _PRODUCT.match(item_id)
    return f"Sentinel-{found[1]}{found[2]}" if found else ""


def mode(facts: Mapping[str, Any], item_id: str) -> str:
    """The radar's instrument mode, else that of the product's name in the id, else IW."""
    found = _PRODUCT.match(item_id)
    return text(facts, "sar:instrument_mode") or (found and found[3]) or "IW"


def orbit_state(facts: Mapping[str, Any]) -> str:
    """Direction of the pass, "ascending" or "descending"; "" where it is neither."""
    found = text(facts, "sat:orbit_state").lower()
    return found if found in ("ascending", "descending") else ""


def incidence(facts: Mapping[str, Any]) -> float | None:
    """Angle between the radar's beam and the vertical, degrees; 0 is a value of items that do not know it."""
    found = number(facts, "view:incidence_angle", low=0, high=90)
    return found or None


def azimuth(facts: Mapping[str, Any]) -> float | None:
    """Azimuth of the radar's beam, 0 to 360 degrees from north."""
    found = number(facts, "view:azimuth", low=-360, high=360)
    return None if found is None else found % 360


def relative_orbit(facts: Mapping[str, Any]) -> int | None:
    """Number of the relative orbit; None where it is not a whole number."""
    found = number(facts, "sat:relative_orbit", low=1, high=1000)
    return int(found) if found is not None and found == int(found) else None


def cloud_cover(facts: Mapping[str, Any]) -> float | None:
    """Cloud over the whole item in per cent."""
    return number(facts, "eo:cloud_cover", low=0, high=100)


def square(facts: Mapping[str, Any], item_id: str) -> str:
    """The 100 km square of the MGRS grid, such as 43TFH, else that of the id; "" where neither names it."""
    zone = number(facts, "mgrs:utm_zone", low=1, high=60)
    parts = text(facts, "mgrs:latitude_band") + text(facts, "mgrs:grid_square")
    in_id = _SQUARE_IN_ID.search(item_id)
    for named in (
        text(facts, "s2:mgrs_tile"),
        text(facts, "grid:code"),
        "" if zone is None else f"{int(zone)}{parts}",
        in_id[1] if in_id else "",
    ):
        if found := _SQUARE.fullmatch(named):
            return f"{int(found[1]):02d}{found[2]}{found[3]}"
    return ""


def in_utc(moment: datetime) -> datetime:
    """The moment in UTC; one without a time zone is in UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def time(facts: Mapping[str, Any]) -> datetime | None:
    """Acquisition time (UTC): `datetime`, else the start of its range; None where neither can be read."""
    for key in ("datetime", "start_datetime"):
        try:
            return in_utc(datetime.fromisoformat(text(facts, key)))
        except (ValueError, OverflowError):
            continue
    return None
