"""Catalogues: the search for items in a STAC API or in a folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import shapely

from monitor.archive import properties
from monitor.archive.items import FAULT, TIMELESS, broken, contents, local_href, read_item
from monitor.archive.limits import ITEM, content_of
from monitor.archive.outlines import BBox, bbox_of, boxed, outline
from monitor.archive.profiles import CatalogProfile
from monitor.archive.retries import TIMEOUT, TRANSIENT
from monitor.errors import MonitorError, RefusedError
from monitor.grid import bounds_of

if TYPE_CHECKING:
    import pystac
    from pystac_client import ItemSearch
    from shapely.geometry.base import BaseGeometry

State = tuple[tuple[Path, int, int], ...]
Answer = TypeVar("Answer")

#: suffixes of the files of a folder that are read
SUFFIXES = (".json", ".geojson")
#: items per page; Earth Search refuses responses of more than a few megabytes
PAGE = 250
#: seconds before the first retry of a request; each further pause is twice as long
BACKOFF = 1.0
#: pages without a new item after which a search is given up, and pages of a whole response
IDLE_PAGES, MOST_PAGES = 5, 2000
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
    """The STAC items in the JSON files (`.json`, `.geojson`) below a folder, or in one such file.

    Linked folders are followed. A file may hold one item, an ItemCollection or a list of items. A file that
    cannot be read gives an item without assets, which is refused by name.

    Raises:
        RefusedError: there is no such folder or file.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir() and not (folder.is_file() and folder.suffix.lower() in SUFFIXES):
            raise RefusedError(
                f"catalog.location: there is no folder {folder}, and no {' or '.join(SUFFIXES)} file either"
            )
        self.folder = folder

    def search(self, collection: str, bbox: BBox, start: date, end: date) -> list[pystac.Item]:
        return [
            item
            for item in self.always(collection, bbox)
            if start <= (moment := taken(item)).date() <= end or moment == TIMELESS
        ]

    def always(self, collection: str, bbox: BBox) -> list[pystac.Item]:
        area = boxed(bbox)
        return [
            item
            for item in _items_below(self.folder, self._state())
            if FAULT in item.extra_fields
            or (item.collection_id in (collection, None) and _may_touch(item, bbox, area))
        ]

    def _state(self) -> State:
        """The files with time and size, so that a scene that is added later is found."""
        paths = [self.folder] if self.folder.is_file() else sorted(_files_below(self.folder))
        stats = ((path, path.stat()) for path in paths)
        return tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats)


def _files_below(folder: Path) -> Iterator[Path]:
    """The JSON files below a folder; a folder that is reached again through links is read once."""
    seen: set[tuple[int, int]] = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        at = Path(here).stat()
        if (at.st_dev, at.st_ino) in seen:
            folders.clear()
            continue
        seen.add((at.st_dev, at.st_ino))
        folders.sort()
        for path in (Path(here, name) for name in names):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield path


def _may_touch(item: pystac.Item, bbox: BBox, area: BaseGeometry) -> bool:
    """Whether an item's box intersects `bbox`; one without outline and box does, to be refused by name."""
    content = {"geometry": item.geometry, "bbox": item.bbox}
    box = bbox_of(content)
    if box is None or box[0] > box[2] or bbox[0] > bbox[2] or box[0] < -180 or box[2] > 180:
        try:
            return bool(shapely.intersects(boxed(box or bounds_of(outline(content))), area))
        except ValueError:
            return True
    return box[0] < bbox[2] and box[2] > bbox[0] and box[1] < bbox[3] and box[3] > bbox[1]


@lru_cache(maxsize=8)
def _items_below(folder: Path, state: State) -> tuple[pystac.Item, ...]:
    """The items of all files in the order of the files; of items of one id, the first."""
    found: dict[tuple[str | None, str], tuple[pystac.Item, Path]] = {}
    faults: list[pystac.Item] = []
    for path, _, _ in state:
        for item in _items_of(path):
            key = item.collection_id, item.id
            if FAULT in item.extra_fields:
                faults.append(item)
            elif key not in found:
                found[key] = item, path
            elif item.to_dict(False, False) != found[key][0].to_dict(False, False):
                first = found[key][1]
                faults.append(broken(item.id, f"{path} holds another item of this id than {first}"))
    return (*(item for item, _ in found.values()), *faults)


def _items_of(path: Path) -> Iterator[pystac.Item]:
    """The STAC items of a JSON file, with absolute addresses; none for other JSON."""
    try:
        content = json.loads(content_of(path, ITEM))
    except (OSError, ValueError, RecursionError) as error:
        yield broken(path.name, f"{path} cannot be read as JSON: {error}; correct or remove the file")
        return
    several = not isinstance(content, dict) or content.get("type") == "FeatureCollection"
    for number, each in enumerate(contents(content), start=1):
        item = read_item(each, f"{path.name}, item {number}" if several else path.name)
        if FAULT in item.extra_fields:
            fault = f"{path}: {item.extra_fields[FAULT]}; correct or remove the file"
            item.extra_fields[FAULT] = fault
        item.set_self_href(str(path))
        for asset in item.assets.values():
            asset.href = local_href(asset.href, path)
        yield item


class ApiCatalog:
    """A STAC API. Requests are retried after status 429 (with its Retry-After) or 5xx, a lost connection or
    an incomplete response.

    Raises:
        MonitorError: the API does not answer; from every method.
    """

    def __init__(self, url: str) -> None:
        from pystac_client import Client
        from pystac_client.stac_api_io import StacApiIO
        from requests.adapters import HTTPAdapter

        from monitor.archive.sessions import PoliteRetry, Session

        retry = PoliteRetry(
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
        served = StacApiIO(timeout=TIMEOUT)
        served.session = Session()
        for scheme in ("http://", "https://"):
            served.session.mount(scheme, HTTPAdapter(max_retries=retry))
        self._client = self._ask("opening it", lambda: Client.open(url, stac_io=served))

    def search(self, collection: str, bbox: BBox, start: date, end: date) -> list[pystac.Item]:
        return self._over(bbox, collections=[collection], datetime=f"{start}/{end}")

    def always(self, collection: str, bbox: BBox) -> list[pystac.Item]:
        return self._over(bbox, collections=[collection])

    def _over(self, bbox: BBox, **query: Any) -> list[pystac.Item]:
        """Items in a box. Not every API understands one across 180 degrees, so each side is searched."""
        west, south, east, north = bbox
        if west <= east:
            return self.items(**query, bbox=bbox)
        sides = ((west, south, 180.0, north), (-180.0, south, east, north))
        found = {(one.id, one.collection_id): one for side in sides for one in self.items(**query, bbox=side)}
        return [found[key] for key in sorted(found, key=str)]

    def items(self, **query: Any) -> list[pystac.Item]:
        """Items that match a query of the STAC API, in the order of their ids."""
        what = f"the search {query}"
        pages = self._ask(what, lambda: self._pages(what, self._client.search(limit=PAGE, **query)))
        # an item that is added between two pages moves another one to the next page, where it is a duplicate
        found = {_name(content): content for page in pages for content in page}
        return [_answered(found[name]) for name in sorted(found)]

    def _pages(self, what: str, search: ItemSearch) -> list[list[Any]]:
        """The items of all pages.

        Raises:
            EndlessError: the catalogue links to a page that it has answered before, or to page after page
                without new items.
        """
        pages: list[list[Any]] = []
        names: set[tuple[str, str]] = set()
        asked: set[str] = set()
        idle = 0
        for page in search.pages_as_dicts():
            features = page.get("features")
            pages.append(features if isinstance(features, list) else [])
            fresh = {_name(content) for content in pages[-1]} - names
            names |= fresh
            idle = 0 if fresh else idle + 1
            links = [_canonical(link) for link in page.get("links") or [] if _leads_on(link)]
            if asked.intersection(links):
                cause = "it links to a page that it has answered before"
            elif idle >= IDLE_PAGES:
                cause = f"its last {IDLE_PAGES} pages repeat earlier ones"
            elif len(pages) >= MOST_PAGES:
                cause = f"its response has more than {MOST_PAGES} pages"
            else:
                asked.update(links)
                continue
            if links:
                raise EndlessError(
                    f"{self.url}: {what} does not end: {cause} ({len(pages)} pages, {len(names)} items); "
                    "report it to the catalogue's operator, or name another catalogue in catalog.location"
                )
        return pages

    def _ask(self, what: str, question: Callable[[], Answer]) -> Answer:
        """The answer to `question`. An HTTP error is raised at once; an incomplete response is retried."""
        for left in reversed(range(TRIES)):
            try:
                return question()
            except EndlessError:
                raise
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


class EndlessError(MonitorError):
    """A catalogue whose pages do not end."""


def _name(content: Any) -> tuple[str, str]:
    """Id and collection of an item; all of the content where it has no id."""
    if isinstance(content, dict) and content.get("id"):
        return str(content["id"]), str(content.get("collection"))
    return repr(content), ""


def _leads_on(link: Any) -> bool:
    return isinstance(link, dict) and link.get("rel") == "next"


def _canonical(link: dict[str, Any]) -> str:
    return json.dumps([link.get(key) for key in ("method", "href", "body")], sort_keys=True)


def _status(error: BaseException | None) -> int | None:
    """HTTP status behind an error of the client; None if there was no response."""
    while error is not None:
        if status := getattr(error, "status_code", None):
            return int(status)
        error = error.__cause__ or error.__context__
    return None


def _answered(content: Any) -> pystac.Item:
    """The item of an API's response, with absolute addresses."""
    item = read_item(content, "an item without an id")
    if item.get_self_href():
        item.make_asset_hrefs_absolute()
    elif relative := [key for key, asset in item.assets.items() if is_relative(asset.href)]:
        fault = f"the addresses of {', '.join(relative[:3])} are relative, and the item has no link to itself"
        return broken(item.id, fault)
    return item


def is_relative(href: str) -> bool:
    """Whether an address is neither a URL nor an absolute path."""
    return "://" not in href and not href.startswith(("/", "file:"))


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
    """Acquisition time of an item (UTC): its datetime, or the start of its range; `TIMELESS` if unknown."""
    return properties.in_utc(item.datetime or properties.time(item.properties) or TIMELESS)
