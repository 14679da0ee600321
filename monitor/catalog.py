"""Catalogues: how the items of one are found, in a STAC API or in a folder."""

from __future__ import annotations

import json
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from monitor.errors import MonitorError, RefusedError
from monitor.profiles import CatalogProfile

if TYPE_CHECKING:
    import pystac

BBox = tuple[float, float, float, float]
State = tuple[tuple[Path, int, int], ...]


class Catalog(Protocol):
    """Where items are found."""

    def search(self, collection: str, bbox: BBox, start: date, end: date) -> list[pystac.Item]:
        """Items of `collection` that touch `bbox` (W, S, E, N) and were taken on `start` to `end`."""
        ...

    def always(self, collection: str, bbox: BBox) -> list[pystac.Item]:
        """Items of a collection without seasons (a DEM)."""
        ...


class FolderCatalog:
    """STAC items lying as JSON files below a folder."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise RefusedError(f"catalog.location: there is no folder {folder}")
        self.folder = folder

    def search(self, collection: str, bbox: BBox, start: date, end: date) -> list[pystac.Item]:
        return [
            item
            for item in self.always(collection, bbox)
            if item.datetime is not None and start <= item.datetime.date() <= end
        ]

    def always(self, collection: str, bbox: BBox) -> list[pystac.Item]:
        west, south, east, north = bbox
        return [
            item
            for item in _items_below(self.folder, self._state())
            if item.collection_id == collection
            and item.bbox is not None
            and item.bbox[0] < east
            and item.bbox[2] > west
            and item.bbox[1] < north
            and item.bbox[3] > south
        ]

    def _state(self) -> State:
        """Its files and when they were written, so that a scene that comes late is seen."""
        stats = ((path, path.stat()) for path in sorted(self.folder.rglob("*.json")))
        return tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats)


@lru_cache(maxsize=8)
def _items_below(folder: Path, state: State) -> tuple[pystac.Item, ...]:
    items = (_item(path) for path, _, _ in state)
    return tuple(item for item in items if item is not None)


def _item(path: Path) -> pystac.Item | None:
    """The STAC item of a JSON file, its addresses made absolute; None where it is something else."""
    import pystac

    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise MonitorError(f"{path} is not JSON: {error}; mend or remove the file") from error
    if not isinstance(content, dict) or content.get("type") != "Feature" or "stac_version" not in content:
        return None
    try:
        item = pystac.Item.from_dict(content)
    except (KeyError, TypeError, ValueError, AttributeError, pystac.STACError) as error:
        raise MonitorError(f"{path} is not a STAC item: {error!r}; mend or remove the file") from error
    item.set_self_href(str(path))
    item.make_asset_hrefs_absolute()
    return item


class ApiCatalog:
    """A STAC API; 429 and 5xx answers are retried with back-off."""

    def __init__(self, url: str) -> None:
        from pystac_client import Client
        from pystac_client.stac_api_io import StacApiIO
        from urllib3 import Retry

        retry = Retry(
            total=6, backoff_factor=1.0, status_forcelist=[429, 500, 502, 503, 504], allowed_methods=None
        )
        try:
            self._client = Client.open(url, stac_io=StacApiIO(max_retries=retry))
        except Exception as error:  # the client's errors have no common base
            raise MonitorError(f"the catalogue {url} does not answer: {error}; try again later") from error
        self.url = url

    def search(self, collection: str, bbox: BBox, start: date, end: date) -> list[pystac.Item]:
        return self._items(collections=[collection], bbox=bbox, datetime=f"{start}/{end}")

    def always(self, collection: str, bbox: BBox) -> list[pystac.Item]:
        return self._items(collections=[collection], bbox=bbox)

    def _items(self, **query: Any) -> list[pystac.Item]:
        from pystac_client.exceptions import APIError

        try:
            return sorted(self._client.search(**query).items(), key=lambda item: item.id)
        except APIError as error:
            raise MonitorError(f"{self.url}: the search {query} failed: {error}; try again later") from error


def open_catalog(profile: CatalogProfile, location: Path | None) -> Catalog:
    """The items at `location` (a folder laid out like the profile's catalogue), else the profile's API."""
    if location is not None:
        return FolderCatalog(location)
    if not profile.url:
        raise RefusedError("catalog.location: this profile has no url, so a folder of STAC items is needed")
    return ApiCatalog(profile.url)


def taken(item: pystac.Item) -> datetime:
    """When the item was taken (UTC); items without a datetime use the start of their range."""
    moment = item.datetime or item.common_metadata.start_datetime
    if moment is None:
        raise MonitorError(f"{item.id} has neither datetime nor start_datetime; the catalogue is at fault")
    return moment
