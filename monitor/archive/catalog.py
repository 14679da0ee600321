"""Catalogues: the search for items in a STAC API or in a folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from monitor.archive.limits import ITEM, content_of
from monitor.archive.profiles import CatalogProfile
from monitor.archive.retries import TIMEOUT, TRANSIENT
from monitor.errors import MonitorError, RefusedError

if TYPE_CHECKING:
    import pystac

BBox = tuple[float, float, float, float]
State = tuple[tuple[Path, int, int], ...]
Answer = TypeVar("Answer")

#: items per page; Earth Search refuses responses of more than a few megabytes
PAGE = 250
#: seconds before the first retry of a request; each further pause is twice as long
BACKOFF = 1.0
#: tries of a whole search when a response is incomplete
TRIES = 3


class Catalog(Protocol):
    """A searchable collection of STAC items."""

    def search(self, collection: str, bbox: BBox, start: date, end: date) -> list[pystac.Item]:
        """Items of `collection` that intersect `bbox` (W, S, E, N), acquired from `start` to `end`."""
        ...

    def always(self, collection: str, bbox: BBox) -> list[pystac.Item]:
        """Items of a collection without dates (a DEM) that intersect `bbox`."""
        ...


class FolderCatalog:
    """The STAC items in the JSON files below a folder.

    Raises:
        RefusedError: there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise RefusedError(f"catalog.location: there is no folder {folder}")
        self.folder = folder

    def search(self, collection: str, bbox: BBox, start: date, end: date) -> list[pystac.Item]:
        return [item for item in self.always(collection, bbox) if start <= taken(item).date() <= end]

    def always(self, collection: str, bbox: BBox) -> list[pystac.Item]:
        return [
            item
            for item in _items_below(self.folder, self._state())
            if item.collection_id in (collection, None) and item.bbox is not None and _touch(item.bbox, bbox)
        ]

    def _state(self) -> State:
        """The files with time and size, so that a scene that is added later is found."""
        stats = ((path, path.stat()) for path in sorted(self.folder.rglob("*.json")))
        return tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats)


def _touch(box: list[float], other: BBox) -> bool:
    """Whether an item's box (2 or 3 dimensions, perhaps across the antimeridian) intersects `other`."""
    half = len(box) // 2
    (west, south), (east, north) = box[:2], box[half : half + 2]
    # RFC 7946, 5.2: in a box across the antimeridian west is greater than east
    along = west < other[2] and east > other[0] if west <= east else west < other[2] or east > other[0]
    return along and south < other[3] and north > other[1]


@lru_cache(maxsize=8)
def _items_below(folder: Path, state: State) -> tuple[pystac.Item, ...]:
    items = (_item(path) for path, _, _ in state)
    return tuple(item for item in items if item is not None)


def _item(path: Path) -> pystac.Item | None:
    """The STAC item of a JSON file, with absolute addresses; None for other JSON."""
    import pystac

    try:
        content = json.loads(content_of(path, ITEM))
    except (OSError, ValueError, RecursionError) as error:
        raise MonitorError(f"{path} is not JSON: {error}; correct or remove the file") from error
    if not isinstance(content, dict) or content.get("type") != "Feature" or "stac_version" not in content:
        return None
    try:
        item = pystac.Item.from_dict(content, migrate=False, preserve_dict=False)
    except (KeyError, TypeError, ValueError, AttributeError, pystac.STACError) as error:
        raise MonitorError(f"{path} is not a STAC item: {error!r}; correct or remove the file") from error
    item.set_self_href(str(path))
    item.make_asset_hrefs_absolute()
    return item


class ApiCatalog:
    """A STAC API. Requests are retried after status 429 (with its Retry-After) or 5xx, a lost connection or
    an incomplete response.

    Raises:
        MonitorError: the API does not answer; from every method.
    """

    def __init__(self, url: str) -> None:
        from pystac_client import Client
        from pystac_client.stac_api_io import StacApiIO
        from urllib3 import Retry

        retry = Retry(
            total=6,
            connect=2,  # few, so that a wrong address or a server that hangs is reported soon
            read=2,
            status_forcelist=TRANSIENT,
            allowed_methods=None,  # a search is a POST and can be repeated
            backoff_factor=BACKOFF,
            backoff_jitter=BACKOFF / 2,
            retry_after_max=120,
            raise_on_status=False,  # the last response is more informative than "too many retries"
        )
        self.url = url
        self._client = self._ask(
            "opening it", lambda: Client.open(url, stac_io=StacApiIO(max_retries=retry, timeout=TIMEOUT))
        )

    def search(self, collection: str, bbox: BBox, start: date, end: date) -> list[pystac.Item]:
        return self.items(collections=[collection], bbox=bbox, datetime=f"{start}/{end}")

    def always(self, collection: str, bbox: BBox) -> list[pystac.Item]:
        return self.items(collections=[collection], bbox=bbox)

    def items(self, **query: Any) -> list[pystac.Item]:
        """Items that match a query of the STAC API, in the order of their ids."""
        pages = self._ask(
            f"the search {query}",
            lambda: list(self._client.search(limit=PAGE, **query).items_as_dicts()),
        )
        # an item that is added between two pages moves another one to the next page, where it is a duplicate
        found = {(str(content.get("id")), str(content.get("collection"))): content for content in pages}
        return [_answered(found[name]) for name in sorted(found)]

    def _ask(self, what: str, question: Callable[[], Answer]) -> Answer:
        """The answer to `question`. An HTTP error is raised at once; an incomplete response is retried."""
        for left in reversed(range(TRIES)):
            try:
                return question()
            except Exception as error:  # the client's errors have no common base
                status = _status(error)
                if left and status is None:
                    time.sleep(BACKOFF)
                    continue
                said = f"HTTP {status} {error}" if status else str(error)
                raise MonitorError(
                    f"{self.url}: {what} failed: {said[:400]}; "
                    "try again later, or name another catalogue in catalog.location"
                ) from error
        raise AssertionError("unreachable")


def _status(error: BaseException | None) -> int | None:
    """HTTP status behind an error of the client; None if there was no response."""
    while error is not None:
        if status := getattr(error, "status_code", None):
            return int(status)
        error = error.__cause__ or error.__context__
    return None


def _answered(content: Mapping[str, Any]) -> pystac.Item:
    """The item of an API's response, with absolute addresses.

    An item that cannot be parsed is returned without assets, so that it is refused by name and the search
    continues.
    """
    import pystac

    try:
        # not migrated to the newest STAC, which takes 5 ms per item and changes no field that is read here
        item = pystac.Item.from_dict(dict(content), migrate=False)
        if item.get_self_href():
            item.make_asset_hrefs_absolute()
    except Exception:  # malformed items raise many kinds of errors
        return pystac.Item(str(content.get("id")), None, None, datetime(1970, 1, 1, tzinfo=UTC), {})
    return item


def open_catalog(profile: CatalogProfile, location: Path | str | None) -> Catalog:
    """The catalogue at `location` (a folder, or the URL of an API) with the layout of the profile; without a
    location, the profile's own API.

    Raises:
        RefusedError: there is no such folder, or neither a location nor an address in the profile.
        MonitorError: the API does not answer.
    """
    if isinstance(location, Path):
        return FolderCatalog(location)
    if not (location or profile.url):
        raise RefusedError(
            "catalog.location: this profile has no url; name a folder of STAC items or the URL of a STAC API"
        )
    return ApiCatalog(location or str(profile.url))


def taken(item: pystac.Item) -> datetime:
    """Acquisition time of an item (UTC): its datetime, or the start of its range.

    Raises:
        MonitorError: it has neither.
    """
    moment = item.datetime or item.common_metadata.start_datetime
    if moment is None:
        raise MonitorError(
            f"{item.id} has neither datetime nor start_datetime; report it to the catalogue's operator, or "
            "exclude the item with catalog.exclude"
        )
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
