"""STAC items of exported files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pystac
import shapely
from pystac.extensions.file import FileExtension
from shapely.geometry.base import BaseGeometry

from monitor.export.formats import part_of
from storage.exports import SourceItem

#: prefix of a checksum in STAC's file extension: multihash, SHA-256, 32 bytes
_MULTIHASH = "1220"


@dataclass(frozen=True)
class ItemContent:
    """Content of an item without its assets."""

    id: str
    title: str
    first: date
    last: date
    """First and last day of the content, both included."""
    place: BaseGeometry | None
    """EPSG:4326."""
    properties: Mapping[str, Any]
    sources: Sequence[SourceItem] = ()
    """Source scenes: named, and linked where their address is known."""


def new_item(content: ItemContent) -> pystac.Item:
    """An item without assets: geometry, days, source scenes."""
    start = datetime.combine(content.first, time(), UTC)
    end = datetime.combine(content.last, time(), UTC) + timedelta(days=1, seconds=-1)
    item = pystac.Item(
        id=content.id,
        geometry=None if content.place is None else json.loads(shapely.to_geojson(content.place)),
        bbox=None if content.place is None else list(content.place.bounds),
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        properties={"title": content.title, **content.properties},
    )
    if content.sources:
        item.properties["lake_monitor:scenes"] = [
            f"{source.collection}/{source.id}" for source in content.sources
        ]
    item.common_metadata.created = datetime.now(UTC).replace(microsecond=0)
    for source in content.sources:
        if source.href is not None:
            link = pystac.Link(pystac.RelType.DERIVED_FROM, source.href, "application/geo+json", source.id)
            item.add_link(link)
    return item


def add_file(
    item: pystac.Item,
    key: str,
    path: Path,
    media_type: str,
    title: str,
    roles: list[str],
    content: Path | None = None,
) -> pystac.Asset:
    """Add a file, or the folder of a Zarr store, as an asset with its size; a file also with its SHA-256.

    Args:
        content: where the content is as yet, if it is not at `path`.
    """
    asset = pystac.Asset(f"./{quote(path.name)}", title=title, media_type=media_type, roles=roles)
    item.add_asset(key, asset)
    content = content or path
    file_info = FileExtension.ext(asset, add_if_missing=True)
    file_info.size = size_of(content)
    if content.is_file():
        with content.open("rb") as opened:
            file_info.checksum = _MULTIHASH + hashlib.file_digest(opened, "sha256").hexdigest()
    return asset


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return sum(
        file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()
    )


def write_item(item: pystac.Item, path: Path) -> None:
    """Write the item; its addresses are relative to its own folder."""
    with part_of(path) as part:
        content = json.dumps(item.to_dict(include_self_link=False), indent=2, ensure_ascii=False)
        part.write_text(f"{content}\n", encoding="utf-8")
