"""Public samples beside the repository, and STAC items for plain files."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pystac
import pytest
import rasterio
import shapely
from rasterio.warp import transform_bounds

from monitor.archive.profiles import S2_BANDS
from tests.support.places import SAMPLES

EXTENSIONS = [
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
]

#: profile of the TerraMesh tiles: one file of 12 bands, radar in decibels, no scene classes, offset in
#: raster:bands
TERRAMESH_PROFILE = {
    "optical": {
        "collection": "s2",
        "offset": "declared",
        "scene_classes": None,
        "bands": {band: f"data.{number}" for number, band in enumerate(S2_BANDS, start=1)},
        "dtype": "int16",
        "nodata": 0,
    },
    "radars": {
        "rtc": {
            "collection": "s1",
            "unit": "decibel",
            "bands": {"VV": "data.1", "VH": "data.2"},
            "nodata": -9999,
        }
    },
    "dem": {"collection": "dem", "band": "data"},
}


def sample(name: str) -> Path:
    """Path of a sample. Skip the test if it is absent."""
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"the real sample {name} is not here")
    return path


def recorded(name: str) -> list[pystac.Item]:
    """Items of a recorded response: one item, a list or a FeatureCollection."""
    content = json.loads(sample(f"stac/items/{name}").read_text())
    if isinstance(content, dict):
        content = content.get("features", [content])
    return [pystac.Item.from_dict(feature, migrate=False) for feature in content]


def wrap(
    path: Path, item_id: str, collection: str, when: datetime, bands: list[dict[str, Any]]
) -> pystac.Item:
    """An item for one multi-band raster; raster:bands describe its bands."""
    with rasterio.open(path) as raster:
        bounds = transform_bounds(raster.crs, 4326, *raster.bounds)
        # The samples do not state the pass direction of their radar. The item needs one; it does not affect
        # the pixels.
        properties = {"proj:epsg": raster.crs.to_epsg(), "sat:orbit_state": "descending"}
    geometry = shapely.geometry.mapping(shapely.box(*bounds))
    item = pystac.Item(item_id, geometry, list(bounds), when, properties, stac_extensions=EXTENSIONS)
    item.collection_id = collection
    names = [{"name": f"b{number}"} for number in range(1, len(bands) + 1)]
    asset = pystac.Asset(str(path), roles=["data"], extra_fields={"raster:bands": bands, "eo:bands": names})
    item.add_asset("data", asset)
    return item


def save(item: pystac.Item, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{item.id}.json"
    path.write_text(json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False)))
    return path
