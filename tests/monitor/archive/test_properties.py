"""Damaged items: a value that cannot be used is that of another source, or unknown, or the item is refused.

Every key of synthetic and recorded items is taken out, or replaced by null, NaN or a value of a wrong type.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.archive import properties
from monitor.archive.explanations import Refused
from monitor.archive.items import read_item
from monitor.archive.scenes import Scene, usable_dem, usable_optical, usable_radar
from monitor.stack.sight import radar_geometry
from storage.redaction import storable
from tests.support.listings import DAY, PC, item, optical, radar
from tests.support.places import SAMPLES

NAN = math.nan
ABSENT = object()
#: wrong in every place but those of `TEXTS` for the last
DAMAGE = (ABSENT, None, NAN, math.inf, [], {}, [None], True, "", -9999, 10**400, {"a": [NAN]}, "x\x00")
#: places where any text is a value
TEXTS = {("id",), ("collection",), ("properties", "platform")}


def plain(made: Any) -> dict[str, Any]:
    return json.loads(json.dumps(made.to_dict(transform_hrefs=False)))


def undamaged() -> dict[str, dict[str, Any]]:
    """Items by their kind and a name."""
    s2 = plain(
        optical(
            "S2A_MSIL2A_20220815T053000_R048_T43TFH_20220816T000000",
            platform="Sentinel-2A",
            **{
                "view:sun_azimuth": -160.0,
                "view:sun_elevation": 50.0,
                "s2:mean_solar_azimuth": 200.0,
                "s2:mean_solar_zenith": 40.0,
                "sat:relative_orbit": 48,
                "sat:orbit_state": "descending",
                "grid:code": "MGRS-43TFH",
                "start_datetime": DAY.isoformat(),
                "end_datetime": DAY.isoformat(),
            },
        )
    )
    s1 = plain(radar("S1A_IW_GRDH_1SDV_20220815T010203", 1))
    s1["properties"] |= {
        "platform": "SENTINEL-1A",
        "sar:instrument_mode": "IW",
        "view:azimuth": 80.0,
        "view:incidence_angle": 38.0,
    }
    dem = plain(item("N42E076", DAY, ("data",)))
    found = {"optical one": s2, "radar one": s1, "dem one": dem}
    for kind, name in {
        "optical": "pc/pc_sentinel-2-l2a_by-baseline.json",
        "radar": "pc/stac-geoparquet_sentinel-1-rtc-pc.json",
        "dem": "pc/stac-geoparquet_cop-dem-glo-30-pc.json",
    }.items():
        path = SAMPLES / "stac" / "items" / name
        if path.exists():
            content = json.loads(path.read_text())
            recorded = content["features"] if isinstance(content, dict) else content
            found |= {f"{kind} {each['id']}": each for each in recorded[-2:]}
    return found


ITEMS = undamaged()


def paths(content: Any, deep: int = 3) -> Iterator[tuple[Any, ...]]:
    """The place of every value down to a depth."""
    parts = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in parts:
        yield (key,)
        if deep > 1 and isinstance(value, dict | list) and value and key != "links":
            yield from ((key, *rest) for rest in paths(value, deep - 1))


PLACES = [(name, path) for name, content in ITEMS.items() for path in paths(content)]


def damaged(content: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(content)
    at: Any = changed
    for key in path[:-1]:
        at = at[key]
    if value is not ABSENT:
        at[path[-1]] = value
    elif isinstance(at, dict):
        del at[path[-1]]
    else:
        at.pop(path[-1])
    return changed


def read(name: str, content: Any) -> tuple[list[Scene], Refused]:
    made = read_item(content, "a file")
    kind = name.split(maxsplit=1)[0]
    if kind == "optical":
        return usable_optical([made], PC.optical)
    if kind == "radar":
        return usable_radar([made], PC.radar)
    scenes, refused = usable_dem([made], PC.dem)
    return list(scenes), refused


def derived(name: str, scene: Scene) -> dict[str, Any]:
    """Each value of a scene that a step uses."""
    found = {
        "day": scene.datetime.date(),  # the start of an acquisition is another source of its time
        "platform": scene.platform.lower(),
        "baseline": scene.baseline,
        "relative_orbit": scene.relative_orbit,
        "orbit_state": scene.orbit_state,
        "cloud_cover": scene.cloud_cover,
        "offset": scene.offset,
        "sun": scene.sun,
        "square": scene.square,
        "name": scene.id,
        "collection": scene.collection,
    }
    if name.startswith("radar"):
        sight = radar_geometry(scene.item)
        found["sight"] = None if sight.approximate else round(sight.azimuth, 1)
    return found


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(DAMAGE))
def test_a_damaged_value_is_known_from_another_source_or_unknown_or_refused_by_name(
    place: tuple[str, tuple[Any, ...]], value: Any
) -> None:
    name, path = place
    (whole,), nothing = read(name, ITEMS[name])
    assert not nothing
    content = damaged(ITEMS[name], path, value)
    scenes, refused = read(name, content)
    assert len(scenes) + len(refused) == 1
    for item_id, why in refused:
        assert item_id in (whole.id, "a file") and str(why)
        key = str(path[-1] if path[0] == "properties" else path[0])
        named = {
            "properties": "datetime",
            "type": "item",
            "href": str(path[1:2]),
            "sar:instrument_mode": "instrument mode",
        }.get(key, key)
        assert any(
            word in f"{item_id} {why}"
            for word in (named, str(path[-2:-1]), "geometry", "id", "asset", "polarisation")
        )
    for scene in scenes:
        before, after = derived(name, whole), derived(name, scene)
        for what, found in after.items():
            text = (*path,) in TEXTS and isinstance(value, str)
            assert found in (before[what], None, "") or text or path[-1] == "view:azimuth", (what, found)
        assert not scene.footprint.is_empty
        # a damaged outline is replaced by the box around it
        assert scene.footprint.buffer(1e-9).covers(whole.footprint) or path[0] in ("geometry", "bbox")
        json.dumps(storable(scene.item), allow_nan=False)


@pytest.mark.parametrize("value", [ABSENT, None, NAN, "45", True, [], -9999])
@pytest.mark.parametrize("lost", ["view:sun_azimuth", "view:sun_elevation", "s2:mean_solar_zenith"])
def test_the_sun_is_known_from_the_other_source(value: Any, lost: str) -> None:
    content = damaged(ITEMS["optical one"], ("properties", lost), value)
    (scene,), _ = read("optical one", content)
    assert scene.sun == (200.0, 50.0)


def test_the_sun_is_unknown_without_any_source() -> None:
    content = ITEMS["optical one"]
    for key in ("view:sun_elevation", "s2:mean_solar_zenith"):
        content = damaged(content, ("properties", key), NAN)
    (scene,), _ = read("optical one", content)
    assert scene.sun is None


def test_satellite_mode_and_square_of_the_products_name() -> None:
    bare = {"platform": None, "sar:instrument_mode": NAN}
    assert properties.platform(bare, "S1C_EW_GRDM_1SDH_2026") == "Sentinel-1C"
    assert properties.mode(bare, "S1C_EW_GRDM_1SDH_2026") == "EW" and properties.mode(bare, "x") == "IW"
    assert properties.square(bare, "S2A_MSIL2A_20220815T053000_R048_T43TFH_20220816T000000") == "43TFH"
    assert properties.square(bare, "S2A_5XMK_20220815_0_L2A") == "05XMK"
    assert properties.square({"s2:mgrs_tile": 7}, "x") == "" == properties.platform(bare, "scene 1")


@pytest.mark.parametrize(
    ("given_time", "read_as"),
    [
        ("2022-08-01T05:30:00.123456789Z", "2022-08-01T05:30:00.123456+00:00"),
        ("2022-08-01T05:30:00+06:00", "2022-07-31T23:30:00+00:00"),
        ("2022-08-01", "2022-08-01T00:00:00+00:00"),
        ("yesterday", None),
        (1659331800, None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_times(given_time: Any, read_as: str | None) -> None:
    found = properties.time({"datetime": given_time, "start_datetime": None})
    assert (found and found.isoformat()) == read_as
