"""Items in the form of Planetary Computer, and frozen scene lists of the small simulated archive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pystac
import shapely

from monitor.archive.catalog import FolderCatalog
from monitor.archive.freeze import freeze
from monitor.archive.profiles import S2_BANDS, read_profile
from monitor.archive.scenes import SceneList
from monitor.grid import Tile, tiles_of
from monitor.settings import SeasonWindow

PC = read_profile("planetary-computer", Path()).serving("rtc")
DAY = datetime(2022, 8, 15, 5, 30, tzinfo=UTC)


def item(item_id: str, when: datetime, assets: tuple[str, ...], **properties: Any) -> pystac.Item:
    box = shapely.box(76.9, 42.4, 77.1, 42.6)
    made = pystac.Item(item_id, shapely.geometry.mapping(box), list(box.bounds), when, properties)
    made.collection_id = PC.dem.collection
    for key in assets:
        made.add_asset(key, pystac.Asset(f"/data/{item_id}/{key}.tif"))
    return made


def optical(
    item_id: str, days: int = 0, *, lacks: str = "", tile: str = "43TFH", **properties: Any
) -> pystac.Item:
    assets = tuple(band for band in (*S2_BANDS, "SCL") if band != lacks)
    filled = {"s2:mgrs_tile": tile, "s2:processing_baseline": "05.09", "eo:cloud_cover": 10.0, **properties}
    made = item(item_id, DAY + timedelta(days=days), assets, **filled)
    made.collection_id = PC.optical.collection
    return made


def radar(item_id: str, days: float, direction: str = "ascending", assets=("vv", "vh")) -> pystac.Item:
    made = item(item_id, DAY + timedelta(days=days), assets, **{"sat:orbit_state": direction})
    made.collection_id = PC.radar.collection
    return made


def season(archive: Path, year: int) -> SceneList:
    area = region(archive)
    return freeze(FolderCatalog(archive), PC, area, SeasonWindow(), year).chosen


def region(archive: Path) -> shapely.Geometry:
    import geopandas

    return geopandas.read_file(archive / "region.geojson").geometry.iloc[0]


def tile_of(archive: Path, size: int = 512) -> Tile:
    return tiles_of(region(archive), size)[0]
