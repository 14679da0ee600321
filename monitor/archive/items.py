"""STAC items of JSON content as it comes: what cannot be read is left out, or the item is refused by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from monitor.archive import properties
from monitor.archive.addresses import SCHEME
from storage.redaction import redacted

if TYPE_CHECKING:
    import pystac

#: field of an item that cannot be used: why
FAULT = "lake_monitor:fault"
#: time of an item that has none (a DEM)
TIMELESS = datetime(1970, 1, 1, tzinfo=UTC)
#: most characters of an id in messages
LONGEST_NAME = 200


def contents(content: Any) -> Iterator[Any]:
    """The items in the JSON content of a file: one item, or those of an ItemCollection or a list.

    GeoJSON without `stac_version` and `assets` is no item, and neither are catalogues and collections.
    """
    if isinstance(content, list):
        for one in content:
            yield from contents(one)
    elif isinstance(content, Mapping) and content.get("type") == "FeatureCollection":
        yield from contents(content.get("features") if isinstance(content.get("features"), list) else [])
    elif (
        isinstance(content, Mapping)
        and content.get("type") == "Feature"
        and ("stac_version" in content or "assets" in content)
    ):
        yield content


def read_item(content: Any, source: str) -> pystac.Item:
    """The item of JSON content; optional fields of a wrong type are left out.

    Content that is not an item gives an item without assets, with the reason in `FAULT`, so that it is
    refused by name and the search continues.

    Args:
        source: where the content was found, the name of an item without an id.
    """
    import pystac

    if not isinstance(content, Mapping):
        return broken(source, f"it is {type(content).__name__}, not a STAC item")
    name = content.get("id")
    if not isinstance(name, str) or not name.strip():
        return broken(source, "the item has no id")
    facts = dict(properties.facts_of(content))
    if properties.time({"datetime": facts.get("datetime")}) is None:
        facts["datetime"] = (properties.time(facts) or TIMELESS).isoformat()
    links = content.get("links")
    plain = {
        **content,
        "type": "Feature",
        "stac_version": properties.text(content, "stac_version") or "1.0.0",
        "stac_extensions": [each for each in _list(content, "stac_extensions") if isinstance(each, str)],
        "geometry": content.get("geometry") if isinstance(content.get("geometry"), Mapping) else None,
        "bbox": content.get("bbox") if isinstance(content.get("bbox"), list) else None,
        "properties": facts,
        "links": [each for each in links if _is_link(each)] if isinstance(links, list) else [],
        "assets": {
            key: asset
            for key, asset in (content["assets"] if _is_mapping(content, "assets") else {}).items()
            if isinstance(asset, Mapping) and isinstance(asset.get("href"), str) and asset["href"].strip()
        },
        "collection": properties.text(content, "collection") or None,
    }
    try:
        # not migrated to the newest STAC, which takes 5 ms per item and changes no field that is read here
        return pystac.Item.from_dict(plain, migrate=False)
    except Exception as error:  # malformed items raise many kinds of errors
        return broken(name, f"it is not a STAC item: {error!r}")


def broken(name: str, fault: str) -> pystac.Item:
    """An item without assets that carries the reason why it cannot be used."""
    import pystac

    return pystac.Item(name[:LONGEST_NAME], None, None, TIMELESS, {}, extra_fields={FAULT: redacted(fault)})


def local_href(href: str, beside: Path) -> str:
    """The address of an asset of an item in a folder: absolute, `file:` addresses and %20 as paths.

    A relative address is a URI reference, and so a character in it may be percent-encoded; catalogues write
    plain paths too. The plain path is used where there is such a file.

    Args:
        beside: file of the item.
    """
    if href.lower().startswith("file:"):
        return unquote(urlsplit(href.replace("#", "%23").replace("?", "%3F")).path)
    if SCHEME.match(href) or href.startswith("/vsi"):
        return href
    # not `resolve`, which follows links
    path = Path(_normal(beside.parent / href))
    if "%" in href and not path.exists():
        decoded = Path(_normal(beside.parent / unquote(href)))
        return str(decoded) if decoded.exists() else str(path)
    return str(path)


def _normal(path: Path) -> str:
    import os.path

    return os.path.normpath(path.absolute())


def _list(content: Mapping[str, Any], key: str) -> list[Any]:
    found = content.get(key)
    return found if isinstance(found, list) else []


def _is_mapping(content: Mapping[str, Any], key: str) -> bool:
    return isinstance(content.get(key), Mapping)


def _is_link(link: Any) -> bool:
    return (
        isinstance(link, Mapping) and isinstance(link.get("rel"), str) and isinstance(link.get("href"), str)
    )
