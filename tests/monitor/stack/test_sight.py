"""Viewing geometry of Sentinel-1, compared with outlines, ground control points and calibration tables."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely

from monitor.errors import RefusedError
from monitor.stack.sight import EARTH, ORBIT, Sight, convergence, ground_range, radar_geometry
from simulator.calendar import optical_passes, radar_passes
from simulator.settings import Settings
from tests.support.samples import sample

GLOBE = pyproj.Geod(ellps="WGS84")
RECORDED = [
    "pc/stac-geoparquet_sentinel-1-rtc-pc.json",
    "pc/pc_sentinel-1-rtc_2025.json",
    "pc/pc_sentinel-1-grd.json",
    "earthsearch/es-v1_sentinel-1-grd.json",
    "stactools/sentinel1-grd_S1A_IW_GRDH_1SDV_20210809T173953.json",
]


def items(name: str, mode: str = "IW") -> list[dict[str, Any]]:
    """Recorded items as served: some hold empty parts that pystac cannot parse."""
    content = json.loads(sample(f"stac/items/{name}").read_text())
    listed = content if isinstance(content, list) else content.get("features", [content])
    return [item for item in listed if item["properties"]["sar:instrument_mode"] == mode]


def item_of(outline: shapely.Geometry, **properties: Any) -> dict[str, Any]:
    facts = {"sar:instrument_mode": "IW"} | {k.replace("__", ":"): v for k, v in properties.items()}
    return {"id": "S1A_test", "geometry": shapely.geometry.mapping(outline), "properties": facts}


def turn(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)


def incidence_at(sight: Sight, longitude: float, latitude: float) -> float:
    """Incidence on flat ground at another place of a scene, degrees, from its direction and middle."""
    forward, _, distance = GLOBE.inv(sight.longitude, sight.latitude, longitude, latitude)
    along = distance * math.cos(math.radians(forward - sight.azimuth))
    angle = (sight.ground_range + along) / EARTH
    look = math.atan2(EARTH * math.sin(angle), ORBIT - EARTH * math.cos(angle))
    return math.degrees(angle + look)


@pytest.mark.parametrize("name", RECORDED)
def test_incidence_of_a_full_swath_is_31_to_46_degrees(name: str) -> None:
    for item in items(name):
        sight = radar_geometry(item)
        assert not sight.approximate, item["id"]
        rings = item["geometry"]["coordinates"]
        angles = [incidence_at(sight, *corner) for corner in rings[0]]
        assert min(angles) == pytest.approx(30.9, abs=0.6)
        assert max(angles) == pytest.approx(46.0, abs=0.6)
        # the sensor is west of an ascending track's scene and east of a descending one's
        nearest = rings[0][int(np.argmin(angles))][0]
        ascending = item["properties"]["sat:orbit_state"] == "ascending"
        assert (nearest < sight.longitude) == ascending


def test_the_beam_runs_along_the_ends_of_a_recorded_slice() -> None:
    """Four corners with straight ends: the azimuth computed from the orbit agrees with the outline."""
    checked = 0
    for name in RECORDED:
        for item in items(name):
            ring = np.array(item["geometry"]["coordinates"][0])
            if len(ring) != 5:
                continue
            sight = radar_geometry(item)
            forward, back, length = GLOBE.inv(ring[:-1, 0], ring[:-1, 1], ring[1:, 0], ring[1:, 1])
            for a, b, metres in zip(forward, back, length, strict=True):
                middle = a + ((b + 180 - a + 180) % 360 - 180) / 2
                if metres > 200_000:
                    offset = min(turn(middle, sight.azimuth), turn(middle + 180, sight.azimuth))
                    # the ends follow the bursts, each a little later than its neighbour
                    assert offset < 1.5, item["id"]
                    checked += 1
    assert checked >= 6


def test_real_ground_control_points_lie_along_the_beam() -> None:
    with rasterio.open(sample("stac/rasters/riotiler_cog_gcps.tif")) as source:
        points = {(p.row, p.col): (p.x, p.y) for p in source.gcps[0]}
    rows, cols = sorted({r for r, _ in points}), sorted({c for _, c in points})
    hull = shapely.MultiPoint(list(points.values())).convex_hull
    sight = radar_geometry(item_of(hull, sat__orbit_state="descending"))
    assert not sight.approximate
    for row in rows:
        line = [points[row, col] for col in cols]
        forward, _, distance = GLOBE.inv(*line[len(line) // 2], *line[-1])
        assert turn(forward, sight.azimuth) < 0.7
        assert distance > 100_000
    near = [incidence_at(sight, *points[row, cols[0]]) for row in rows]
    far = [incidence_at(sight, *points[row, cols[-1]]) for row in rows]
    assert near == pytest.approx([30.9] * len(rows), abs=0.7)
    assert far == pytest.approx([46.0] * len(rows), abs=0.7)


@pytest.mark.parametrize(
    ("name", "worst"),
    [("titiler-openeo_calibration_legacy.xml", 0.2), ("titiler-openeo_calibration_ipf290.xml", 0.8)],
)
def test_incidence_of_real_calibration_tables(name: str, worst: float) -> None:
    """sigma0 = beta0 sin(incidence): the tables of a product give the incidence every ten kilometres."""
    vector = ET.parse(sample(f"stac/sar_annex/{name}")).find(".//calibrationVector")
    assert vector is not None

    def row(tag: str) -> np.ndarray:
        return np.array(vector.findtext(tag, "").split(), float)

    real = np.degrees(np.arcsin((row("betaNought") / row("sigmaNought")) ** 2))
    metres = row("pixel") * 10
    near = Sight(77.0, 36.0, 280.0, 30.9)  # the first pixel is the near edge
    places = [GLOBE.fwd(77.0, 36.0, 280.0, along)[:2] for along in metres]
    computed = np.array([incidence_at(near, *place) for place in places])
    assert np.abs(computed - real).max() < worst
    # the shape of the curve, whatever the satellite's roll
    widths = np.array([ground_range(angle) for angle in real])
    assert widths[-1] - widths[0] == pytest.approx(metres[-1], rel=0.02)


def test_a_cropped_scene_is_approximate_without_declared_angles() -> None:
    square = shapely.box(76.0, 35.0, 77.0, 36.0)
    guess = radar_geometry(item_of(square, sat__orbit_state="ascending"))
    assert guess.approximate
    assert 38 < guess.incidence < 40
    declared = radar_geometry(item_of(square, sat__orbit_state="ascending", view__incidence_angle=33.0))
    assert (declared.approximate, declared.incidence) == (False, 33.0)
    assert declared.azimuth == guess.azimuth
    for name in ("sentinel1-rtc-aws_S1B_20161121_12SYJ_ASC", "sentinel1-rtc-aws_S1A_20200103_17RMJ_ASC"):
        (item,) = items(f"stactools/{name}.json")
        assert radar_geometry(item).approximate


@pytest.mark.parametrize(("azimuth", "incidence"), [(82.0, 31.0), (278.0, 45.5), (200.0, 38.0)])
def test_view_azimuth_is_measured_below_the_satellite(azimuth: float, incidence: float) -> None:
    """By the extension's definition: from the sub-satellite point to the scene."""
    here = (76.5, 35.5)
    nadir = GLOBE.fwd(*here, azimuth + 180, ground_range(incidence))
    square = shapely.Point(here).buffer(0.05, cap_style="square")
    facts = {"view__azimuth": nadir[2] % 360, "view__incidence_angle": incidence}
    sight = radar_geometry(item_of(square, **facts))
    assert turn(sight.azimuth, azimuth) < 0.05
    assert not sight.approximate


def test_the_simulators_items_declare_their_geometry(small_archive: Path) -> None:
    settings = Settings(size=512)
    passes = {p.time: p for p in radar_passes(settings, optical_passes(settings))}
    files = list((small_archive / "sentinel-1-rtc").glob("*/*.json"))
    assert len(files) == len(passes) == 6
    for path in files:
        item = json.loads(path.read_text())
        assert any(uri.endswith("view/v1.0.0/schema.json") for uri in item["stac_extensions"])
        truth = next(p for time, p in passes.items() if f"{time:%Y%m%dT%H%M%S}" in item["id"])
        sight = radar_geometry(item)
        assert not sight.approximate
        assert sight.incidence == pytest.approx(truth.incidence, abs=1e-5)
        assert sight.on_grid(settings.epsg)[0] == pytest.approx(truth.look, abs=0.05)


def test_unknown_geometry_is_refused() -> None:
    square = shapely.box(76.0, 35.0, 77.0, 36.0)
    with pytest.raises(RefusedError, match=r"S1A_test.*sat:orbit_state"):
        radar_geometry(item_of(square))
    for name in ("pc/pc_sentinel-1-grd.json", "earthsearch/es-v1_sentinel-1-grd.json"):
        for item in items(name, mode="EW"):
            with pytest.raises(RefusedError, match="instrument mode EW"):
                radar_geometry(item)


@pytest.mark.parametrize("longitude", [72.1, 75.0, 77.9])
def test_convergence_is_the_azimuth_of_grid_north(longitude: float) -> None:
    to_map = pyproj.Transformer.from_crs(4326, 32643, always_xy=True)
    easting, northing = to_map.transform(longitude, 40.0)
    north = to_map.transform(easting, northing + 100, direction="INVERSE")
    forward, _, _ = GLOBE.inv(longitude, 40.0, *north)
    assert convergence(32643, longitude, 40.0) == pytest.approx(forward, abs=1e-3)
