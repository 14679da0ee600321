"""Ground range products on disk: measurement, annotations and item, as in Planetary Computer.

Its misleading conventions are reproduced: the item has a meaningless transform in degrees and a swapped
shape, and the asset of the product annotation is a report on radio interference.
"""

from __future__ import annotations

import json
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np
import pystac
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning
from shapely.geometry import MultiPoint, mapping

from simulator.archive import Plan, absolute_orbit, orbit_label, view_angles
from simulator.calendar import RadarPass
from simulator.ground_range import (
    LIGHT_SPEED,
    GroundRange,
    amplitude_of_one,
    azimuth_noise,
    observe,
    range_noise,
)
from simulator.radar import LOOKS
from simulator.rasters import COG_TYPE
from simulator.world import World

GRD = "sentinel-1-grd"
BANDS = ("vv", "vh")
_STEP = 40  # pixels or lines between the values of a calibration or noise table


def add_ground_range(world: World, plan: Plan, out: Path) -> list[str]:
    """Add a ground range product of every radar pass to an archive; return the ids of the items."""
    items = [
        write_ground_range(observe(world, sight), view_angles(world.settings, sight), out)
        for sight in plan.radar
    ]
    boxes = np.array([item.bbox for item in items])
    extent = pystac.Extent(
        pystac.SpatialExtent([[*map(float, boxes[:, :2].min(0)), *map(float, boxes[:, 2:].max(0))]]),
        pystac.TemporalExtent([[min(s.time for s in plan.radar), max(s.time for s in plan.radar)]]),
    )
    title = "Simulated Sentinel-1 ground range detected"
    collection = pystac.Collection(
        GRD, f"{title} (simulated, not measured)", extent, title, license="Apache-2.0"
    )
    catalogue = pystac.Catalog.from_file(str(out / "catalog.json"))
    catalogue.add_child(collection)
    collection.add_items(items)
    catalogue.normalize_and_save(f"{out.resolve()}/", pystac.CatalogType.SELF_CONTAINED)
    return [item.id for item in items]


def write_ground_range(seen: GroundRange, view: dict[str, float], out: Path) -> pystac.Item:
    """Write the files and the item of one acquisition, with the angles `view`; reflectors go to `truth/`."""
    sight, swath = seen.sight, seen.swath
    start = _utc(sight, swath.first_second)
    stop = _utc(sight, swath.first_second + (swath.shape[0] - 1) * swath.line_seconds)
    orbit = absolute_orbit(sight)
    name = (
        f"S1{sight.platform[-1]}_IW_GRDH_1SDV_{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}_{orbit_label(orbit)}"
    )
    outline = MultiPoint(seen.tie_points[:, 2:4]).convex_hull
    west, south, east, north = outline.bounds
    lines, pixels = swath.shape
    item = pystac.Item(name, mapping(outline), [west, south, east, north], sight.time, {
        "platform": sight.platform, "constellation": "Sentinel-1", "sar:instrument_mode": "IW",
        "sar:frequency_band": "C", "sar:center_frequency": 5.405, "sar:product_type": "GRD",
        "sar:polarizations": ["VV", "VH"], "sar:looks_range": 5, "sar:looks_azimuth": 1,
        "sar:looks_equivalent_number": LOOKS, "sar:observation_direction": "right",
        "sar:pixel_spacing_range": 10, "sar:pixel_spacing_azimuth": 10,
        "sat:orbit_state": sight.direction, "sat:relative_orbit": sight.orbit, "sat:absolute_orbit": orbit,
        "s1:shape": [pixels, lines], "proj:epsg": 4326, "proj:shape": [pixels, lines],
        "proj:transform": [(east - west) / pixels, 0, west, 0, (south - north) / lines, north],
        "simulated": True, **view,
    }, collection=GRD)  # fmt: skip
    item.stac_extensions = [
        f"https://stac-extensions.github.io/{name}/v1.0.0/schema.json" for name in ("sar", "sat", "view")
    ]
    folder = out / GRD / name
    for band, polarisation in enumerate(BANDS):
        _write_measurement(folder / "measurement" / f"iw-{polarisation}.tiff", seen, band)
        _write_annotations(folder / "annotation", seen, band)
        for asset, path in {
            polarisation: f"measurement/iw-{polarisation}.tiff",
            f"schema-product-{polarisation}": f"annotation/rfi/rfi-iw-{polarisation}.xml",
            f"schema-calibration-{polarisation}": f"annotation/calibration/calibration-iw-{polarisation}.xml",
            f"schema-noise-{polarisation}": f"annotation/calibration/noise-iw-{polarisation}.xml",
        }.items():
            data = asset == polarisation
            kind = COG_TYPE if data else "application/xml"
            item.add_asset(
                asset, pystac.Asset(f"./{path}", None, None, kind, ["data" if data else "metadata"])
            )
    truth = out / "truth" / f"reflectors_{name}.json"
    truth.parent.mkdir(exist_ok=True)
    truth.write_text(json.dumps({"easting_northing": seen.reflectors}))
    return item


def _write_measurement(path: Path, seen: GroundRange, band: int) -> None:
    """Write digital numbers with tie points, without coordinate system and transform."""
    path.parent.mkdir(parents=True, exist_ok=True)
    points = [
        GroundControlPoint(row=line, col=pixel, x=lon, y=lat, z=height)
        for line, pixel, lon, lat, height in seen.tie_points.tolist()
    ]
    numbers = seen.numbers[band]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="COG", height=numbers.shape[0], width=numbers.shape[1], count=1, dtype="uint16",
            gcps=points, crs="EPSG:4326", compress="DEFLATE", level=1, blocksize=128, overviews="NONE",
        ) as target:  # fmt: skip
            target.write(numbers, 1)


def _write_annotations(folder: Path, seen: GroundRange, band: int) -> None:
    files = {
        f"iw-{BANDS[band]}.xml": _product(seen, band),
        f"rfi/rfi-iw-{BANDS[band]}.xml": _tree("rfi", {"adsHeader": _header(seen, band)}),
        f"calibration/calibration-iw-{BANDS[band]}.xml": _calibration(seen, band),
        f"calibration/noise-iw-{BANDS[band]}.xml": _noise(seen, band),
    }
    for name, tree in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        indent(tree)
        path.write_bytes(tostring(tree, encoding="UTF-8", xml_declaration=True))


def _product(seen: GroundRange, band: int) -> Element:
    """Product annotation with orbit, image, looks, range conversion and tie points."""
    swath, track = seen.swath, seen.track
    moments = np.arange(-80.0, 81.0, 10.0)
    orbit = [
        {
            "time": _stamp(seen, second),
            "frame": "Earth Fixed",
            "position": dict(zip("xyz", map(_exact, place), strict=True)),
            "velocity": dict(zip("xyz", map(_exact, speed), strict=True)),
        }
        for second, place, speed in zip(
            moments, track.position(moments).T, track.velocity(moments).T, strict=True
        )
    ]
    conversions = [
        {
            "azimuthTime": _stamp(seen, second),
            "slantRangeTime": _exact(swath.near / LIGHT_SPEED * 2),
            "sr0": _exact(swath.near),
            "srgrCoefficients": _values(to_ground),
            "gr0": 0,
            "grsrCoefficients": _values(to_slant),
        }
        for second, to_ground, to_slant in zip(swath.records, swath.to_ground, swath.to_slant, strict=True)
    ]
    looks = {"rangeProcessing": {"numberOfLooks": 5}, "azimuthProcessing": {"numberOfLooks": 1}}
    last = swath.first_second + (swath.shape[0] - 1) * swath.line_seconds
    ties = [
        dict(zip(("line", "pixel", "latitude", "longitude", "height"), map(_exact, place), strict=True))
        for place in seen.tie_points[:, [0, 1, 3, 2, 4]]
    ]
    return _tree("product", {
        "adsHeader": _header(seen, band),
        "generalAnnotation": {
            "productInformation": {"pass": seen.sight.direction.title(), "projection": "Ground Range"},
            "orbitList": {"orbit": orbit},
        },
        "imageAnnotation": {
            "imageInformation": {
                "productFirstLineUtcTime": _stamp(seen, swath.first_second),
                "productLastLineUtcTime": _stamp(seen, last),
                "rangePixelSpacing": 10, "azimuthPixelSpacing": 10,
                "azimuthTimeInterval": _exact(swath.line_seconds),
                "numberOfSamples": swath.shape[1], "numberOfLines": swath.shape[0],
                "incidenceAngleMidSwath": _exact(seen.sight.incidence),
            },
            "processingInformation": {
                "thermalNoiseCorrectionPerformed": "false",
                "swathProcParamsList": {"swathProcParams": [{"swath": "IW2", **looks}]},
            },
        },
        "geolocationGrid": {"geolocationGridPointList": {"geolocationGridPoint": ties}},
        "coordinateConversion": {"coordinateConversionList": {"coordinateConversion": conversions}},
    })  # fmt: skip


def _calibration(seen: GroundRange, band: int) -> Element:
    pixels = _steps(seen.swath.shape[1])
    amplitude = amplitude_of_one(pixels)
    vectors = [
        {
            "azimuthTime": _stamp(seen, seen.swath.first_second + line * seen.swath.line_seconds),
            "line": int(line),
            "pixel": _values(pixels),
            "sigmaNought": _values(amplitude),
            **{name: _values(np.full(pixels.size, 474.0)) for name in ("betaNought", "gamma", "dn")},
        }
        for line in _steps(seen.swath.shape[0])
    ]
    return _tree("calibration", {
        "adsHeader": _header(seen, band),
        "calibrationInformation": {"absoluteCalibrationConstant": 1.0},
        "calibrationVectorList": {"calibrationVector": vectors},
    })  # fmt: skip


def _noise(seen: GroundRange, band: int) -> Element:
    """Noise in the layout since IPF 2.90: range vectors, and one block of azimuth factors."""
    lines, pixels = _steps(seen.swath.shape[0]), _steps(seen.swath.shape[1])
    along = [
        {"line": int(line), "pixel": _values(pixels), "noiseRangeLut": _values(range_noise(pixels, band))}
        for line in (0, seen.swath.shape[0] - 1)
    ]
    block = {
        "swath": "IW2", "firstAzimuthLine": 0, "firstRangeSample": 0,
        "lastAzimuthLine": seen.swath.shape[0] - 1, "lastRangeSample": seen.swath.shape[1] - 1,
        "line": _values(lines), "noiseAzimuthLut": _values(azimuth_noise(lines)),
    }  # fmt: skip
    return _tree("noise", {
        "adsHeader": _header(seen, band),
        "noiseRangeVectorList": {"noiseRangeVector": along},
        "noiseAzimuthVectorList": {"noiseAzimuthVector": [block]},
    })  # fmt: skip


def _header(seen: GroundRange, band: int) -> dict[str, Any]:
    return {
        "missionId": f"S1{seen.sight.platform[-1]}", "productType": "GRD", "mode": "IW", "swath": "IW",
        "polarisation": BANDS[band].upper(),
    }  # fmt: skip


def _steps(size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Positions of a table's values: every `_STEP`-th and the last."""
    return np.append(np.arange(0, size - 1, _STEP), size - 1)


def _tree(tag: str, content: dict[str, Any]) -> Element:
    """XML of nested dicts. A list repeats its tag; `count` is set on its parent, and on vectors."""
    element = Element(tag)
    _grow(element, content)
    return element


def _grow(element: Element, content: dict[str, Any]) -> None:
    for tag, value in content.items():
        if isinstance(value, list):
            element.set("count", str(len(value)))
        for one in value if isinstance(value, list) else [value]:
            child = SubElement(element, tag)
            if isinstance(one, dict):
                _grow(child, one)
            else:
                child.text = str(one)
                if isinstance(one, _Vector):
                    child.set("count", str(len(one.split())))


def _exact(value: float) -> str:
    return f"{value:.15e}"


class _Vector(str):
    """Numbers of one element, separated by spaces."""


def _values(numbers: np.ndarray[Any, np.dtype[Any]]) -> _Vector:
    whole = numbers.dtype.kind == "i"
    return _Vector(" ".join(str(int(v)) if whole else f"{v:.12e}" for v in numbers))


def _utc(sight: RadarPass, second: float) -> datetime:
    return sight.time + timedelta(seconds=second)


def _stamp(seen: GroundRange, second: float) -> str:
    return f"{_utc(seen.sight, float(second)):%Y-%m-%dT%H:%M:%S.%f}"
