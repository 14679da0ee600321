"""The STAC API returns the content of the folder, page by page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pystac_client import Client
from shapely.geometry import shape

from tests.support.servers.conftest import RemoteFile
from tests.support.servers.online import OnlineArchive, signed_href

from .api import read_archive

pytestmark = pytest.mark.usefixtures("remote")
KEPT = ("id", "collection", "bbox", "properties", "assets", "stac_extensions", "stac_version")


@pytest.fixture
def client(archive_online: OnlineArchive, remote: RemoteFile) -> Client:
    return Client.open(archive_online.catalog_url)


@pytest.fixture(scope="module")
def items(small_archive: Path) -> dict[str, dict[str, Any]]:
    """Items of the folder by id, with their online addresses."""
    return {item["id"]: item for item in read_archive(small_archive, signed_href)[1]}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_paging_gives_every_item_once(
    client: Client, archive_online: OnlineArchive, items: dict[str, Any], method: str
) -> None:
    pages = list(client.search(method=method, limit=4).pages_as_dicts())
    assert [len(page["features"]) for page in pages] == [4, 4, 4, len(items) - 12]
    assert sorted(item["id"] for page in pages for item in page["features"]) == sorted(items)
    for page in pages[:-1]:
        (following,) = [link for link in page["links"] if link["rel"] == "next"]
        assert following["method"] == method
        assert following["href"].startswith(archive_online.catalog_url)
    assert archive_online.traffic().unknown_hosts == {}


def test_items_are_those_of_the_folder(client: Client, items: dict[str, Any]) -> None:
    found = {item["id"]: item for item in client.search().items_as_dicts()}
    for name, item in items.items():
        for key in KEPT:
            assert found[name][key] == item[key], f"{name}: {key}"
        assert shape(found[name]["geometry"]).equals_exact(shape(item["geometry"]), 1e-9), name


def test_collections_are_those_of_the_folder(client: Client, small_archive: Path) -> None:
    expected = {each["id"]: each["extent"] for each in read_archive(small_archive, signed_href)[0]}
    assert {each.id: each.extent.to_dict() for each in client.get_collections()} == expected


def test_a_search_selects(client: Client, items: dict[str, Any]) -> None:
    west, south, east, north = items[min(items)]["bbox"]
    inside = (west, south, (west + east) / 2, (south + north) / 2)
    query: dict[str, Any] = {"collections": ["sentinel-2-l2a"], "datetime": "2022-07-01/2022-09-30"}
    expected = {
        name
        for name, item in items.items()
        if item["collection"] == "sentinel-2-l2a" and item["properties"]["datetime"].startswith("2022-0")
    }
    assert expected and {item.id for item in client.search(bbox=inside, **query).items()} == expected
    beside = (east + 1, south, east + 2, north)
    assert list(client.search(bbox=beside, **query).items()) == []
