"""Searches in folders of items, and in recorded STAC APIs."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from affine import Affine

from monitor.archive import catalog
from monitor.archive.catalog import ApiCatalog, FolderCatalog, open_catalog, taken
from monitor.archive.decoding import opened
from monitor.archive.items import FAULT, TIMELESS
from monitor.archive.profiles import read_profile
from monitor.archive.scenes import usable_dem, usable_optical
from monitor.errors import MonitorError, RefusedError
from monitor.settings import CatalogSettings, Settings
from monitor.workspace import Workspace
from tests.support.cassettes import Exchange, Replay, exchanges, replay
from tests.support.httpserver import Answer, HttpServer, Request, serving
from tests.support.samples import save

HERE = (76.0, 42.0, 77.0, 43.0)
PLANETARY_COMPUTER = "https://planetarycomputer.microsoft.com/api/stac/v1"
EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
CDSE = "https://stac.dataspace.copernicus.eu/v1"
#: areas of the recorded searches
VERMONT = (-73.21, 43.99, -73.12, 44.05)
BOULDER = {"type": "Point", "coordinates": [-105.1019, 40.1672]}


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    return exchanges()


def item(name: str, when: datetime | None, west: float = 76.2, collection: str = "s2") -> pystac.Item:
    bbox = [west, 42.2, west + 0.1, 42.3]
    extra = {} if when else {"start_datetime": "2022-08-01T00:00:00Z", "end_datetime": "2022-08-02T00:00:00Z"}
    made = pystac.Item(name, shapely.geometry.mapping(shapely.box(*bbox)), bbox, when, extra)
    made.collection_id = collection
    made.add_asset("B02", pystac.Asset("./B02.tif"))
    return made


def test_folder_search_by_date_place_and_collection(tmp_path: Path) -> None:
    for made in (
        item("july", datetime(2022, 7, 1, tzinfo=UTC)),
        item("september", datetime(2022, 9, 30, 23, 59, tzinfo=UTC)),
        item("october", datetime(2022, 10, 1, tzinfo=UTC)),
        item("elsewhere", datetime(2022, 8, 1, tzinfo=UTC), west=80.0),
        item("radar", datetime(2022, 8, 1, tzinfo=UTC), collection="s1"),
    ):
        save(made, tmp_path / made.collection_id / made.id)
    folder = FolderCatalog(tmp_path)
    found = folder.search("s2", HERE, date(2022, 7, 1), date(2022, 9, 30))
    assert [made.id for made in found] == ["july", "september"]
    assert found[0].assets["B02"].href == str(tmp_path / "s2" / "july" / "B02.tif")
    assert {made.id for made in folder.always("s2", HERE)} == {"july", "september", "october"}
    assert folder.always("s3", HERE) == []


def test_folder_with_other_json(tmp_path: Path) -> None:
    save(item("one", datetime(2022, 8, 1, tzinfo=UTC)), tmp_path)
    (tmp_path / "collection.json").write_text(json.dumps({"type": "Collection", "stac_version": "1.0.0"}))
    (tmp_path / "region.json").write_text(json.dumps({"type": "Feature", "geometry": None}))
    (tmp_path / "list.json").write_text("[1, 2]")
    assert [made.id for made in FolderCatalog(tmp_path).always("s2", HERE)] == ["one"]


def test_a_scene_added_later_is_found(tmp_path: Path) -> None:
    """The schedule searches the same folder every night."""
    folder = FolderCatalog(tmp_path)
    assert folder.always("s2", HERE) == []
    path = save(item("late", datetime(2022, 8, 1, tzinfo=UTC)), tmp_path)
    assert len(folder.always("s2", HERE)) == 1
    path.unlink()
    assert folder.always("s2", HERE) == []


BROKEN = {
    "cut off": '{"type": "Feature",',
    "without id": '{"type": "Feature", "stac_version": "1.0.0"}',
    "deep": "[" * 200_000,
    "bytes": "\udcff",
    "in a collection": '{"type": "FeatureCollection", "features": [{"type": "Feature", "assets": {}}]}',
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_by_name_and_does_not_hide_the_others(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.json").write_text(text, errors="surrogateescape")
    save(item("one", datetime(2022, 8, 1, tzinfo=UTC)), tmp_path)
    found = FolderCatalog(tmp_path).always("s2", HERE)
    assert [made.id for made in found if made.assets] == ["one"]
    scenes, refused = usable_optical(found, read_profile("plain", Path()).optical)
    (why,) = [str(why) for name, why in refused if name.startswith("broken.json")]
    assert "broken.json" in why and "correct or remove the file" in why and not scenes


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"catalog\.location: there is no folder"):
        FolderCatalog(tmp_path / "none")


def test_the_profile_and_location_select_the_catalogue(tmp_path: Path, recorded: list[Exchange]) -> None:
    plain = read_profile("plain", Path())
    with pytest.raises(RefusedError, match=r"catalog\.location: this profile has no url"):
        open_catalog(plain, None)
    assert isinstance(open_catalog(plain, tmp_path), FolderCatalog)
    with replay(recorded, EARTH_SEARCH) as served:
        found = open_catalog(read_profile("planetary-computer", Path()), served.url)
        assert isinstance(found, ApiCatalog) and found.url == served.url
        assert isinstance(open_catalog(plain.model_copy(update={"url": served.url}), None), ApiCatalog)


def test_location_is_a_folder_an_address_or_none(tmp_path: Path) -> None:
    def location(**catalog: Any) -> Path | str | None:
        settings = {"catalog": {"profile": "plain", **catalog}, "model": "m"}
        return Workspace(tmp_path, Settings.model_validate(settings)).location

    assert location() is None
    assert location(location="archive") == tmp_path / "archive"
    assert location(location=f"file://{tmp_path}/my%20archive") == tmp_path / "my archive"
    for address in ("http://localhost:8080/stac", "https://stac.example.org/v1"):
        assert location(location=address) == address


def test_excluded_items_need_a_reason() -> None:
    assert CatalogSettings(profile="plain", exclude={"a": "striped"}).exclude == {"a": "striped"}
    with pytest.raises(ValueError, match=r"exclude\.a"):
        CatalogSettings.model_validate({"profile": "plain", "exclude": {"a": None}})


def test_acquisition_time() -> None:
    assert taken(item("one", datetime(2022, 8, 3, tzinfo=UTC))) == datetime(2022, 8, 3, tzinfo=UTC)
    assert taken(item("range", None)).date() == date(2022, 8, 1)
    naive = datetime(2022, 8, 3, 4)
    assert taken(item("without zone", naive)) == datetime(2022, 8, 3, 4, tzinfo=UTC)
    elsewhere = datetime(2022, 8, 3, 4, tzinfo=timezone(timedelta(hours=6)))
    assert taken(item("zone of its own", elsewhere)) == datetime(2022, 8, 2, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("box", "found"),
    [
        ([76.2, 42.2, 0.0, 76.3, 42.3, 8000.0], True),
        ([75.0, 42.2, 76.0, 42.3], False),
        ([179.0, 42.2, -179.0, 42.3], False),
        ([70.0, 42.2, -179.0, 42.3], True),
        ([179.0, 42.2, 76.5, 42.3], True),
        ([-180.0, -90.0, 180.0, 90.0], True),
    ],
    ids=[
        "with heights",
        "outside",
        "antimeridian",
        "across it from the west",
        "across it from the east",
        "all",
    ],
)
def test_boxes_of_all_kinds(tmp_path: Path, box: list[float], found: bool) -> None:
    made = item("one", datetime(2022, 8, 1, tzinfo=UTC))
    made.bbox = box
    save(made, tmp_path)
    assert bool(FolderCatalog(tmp_path).always("s2", HERE)) == found


def test_item_with_a_range_of_time(tmp_path: Path) -> None:
    save(item("range", None), tmp_path)
    assert FolderCatalog(tmp_path).search("s2", HERE, date(2022, 8, 1), date(2022, 8, 1))
    assert not FolderCatalog(tmp_path).search("s2", HERE, date(2022, 8, 2), date(2022, 9, 1))


class TestRecordedApis:
    """The client against recorded responses of the real catalogues."""

    @pytest.fixture(autouse=True)
    def _short_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(catalog, "BACKOFF", 0.01)
        monkeypatch.setattr(catalog, "PAGE", 10)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    @pytest.fixture
    def pc(self, recorded: list[Exchange]) -> Iterator[Replay]:
        with replay(recorded, PLANETARY_COMPUTER) as served:
            yield served

    @pytest.fixture
    def earth_search(self, recorded: list[Exchange], monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
        monkeypatch.setattr(catalog, "PAGE", None)  # recorded without a page size
        with replay(recorded, EARTH_SEARCH) as served:
            yield served

    def test_every_page_of_a_response(self, pc: Replay, recorded: list[Exchange]) -> None:
        found = ApiCatalog(pc.url).always("naip", VERMONT)
        paging = [one for one in recorded if "test_result_paging" in one.source]
        pages = [{feature["id"] for feature in one.features} for one in paging]
        assert [len(page) for page in pages] == [10, 10]
        assert [one.id for one in found] == sorted(pages[0] | pages[1])
        searches = [json.loads(body) for method, _, body in pc.requests if method == "POST"]
        assert [bool(search.get("token")) for search in searches] == [False, True, True]

    def test_a_page_that_repeats_an_item(self, pc: Replay, recorded: list[Exchange]) -> None:
        """An item was inserted between requests: the last item of a page is also the first of the next."""
        first, second = (one for one in recorded if "test_result_paging" in one.source)
        content = json.loads(second.answer)
        content["features"].append(first.features[-1])
        moved = [first, replace(second, answer=json.dumps(content))]
        landing = [one for one in recorded if one.method == "GET"]
        with replay([*landing, *moved], PLANETARY_COMPUTER) as served:
            assert len(ApiCatalog(served.url).always("naip", VERMONT)) == 20

    def test_pages_linked_by_token(self, earth_search: Replay) -> None:
        cloud = {"op": "lte", "args": [{"property": "eo:cloud_cover"}, 40]}
        with pytest.warns(UserWarning, match="FILTER"):
            found = ApiCatalog(earth_search.url).items(filter=cloud, filter_lang="cql2-json")
        assert len(found) == 20 and len({one.collection_id for one in found}) == 4

    def test_a_response_with_several_collections(self, earth_search: Replay) -> None:
        found = ApiCatalog(earth_search.url).items(
            datetime="2023-10-08", collections=["sentinel-2-l2a", "landsat-c2-l2"], intersects=BOULDER
        )
        assert [one.id for one in found] == ["LC08_L2SP_033032_20231008_02_T1", "S2A_13TDE_20231008_0_L2A"]

    def test_items_without_assets_are_refused_by_name(self, earth_search: Replay) -> None:
        found = ApiCatalog(earth_search.url).items(
            collections=["sentinel-2-c1-l2a"], intersects=BOULDER, fields=["-geometry", "-assets", "-links"]
        )
        assert len(found) == 10
        scenes, refused = usable_optical(found, read_profile("earth-search-c1", Path()).optical)
        assert not scenes and {name for name, _ in refused} == {one.id for one in found}

    def test_nothing_found(self, recorded: list[Exchange], monkeypatch: pytest.MonkeyPatch) -> None:
        (search,) = (one.body for one in recorded if "cdse" in one.source and one.method == "POST")
        monkeypatch.setattr(catalog, "PAGE", None)
        with replay(recorded, CDSE) as served:
            assert ApiCatalog(served.url).items(**search) == []
            assert any(json.loads(body) == search for _, _, body in served.requests)

    def test_an_invalid_item_does_not_end_the_search(self, recorded: list[Exchange]) -> None:
        first, second = (one for one in recorded if "test_result_paging" in one.source)
        content = json.loads(first.answer)
        whole = [feature["id"] for feature in content["features"]]
        content["features"][0] = {"type": "Feature", "id": "broken"}
        content["features"][1]["properties"]["datetime"] = "yesterday"
        content["features"][2]["assets"] = None
        content["links"] = []
        landing = [one for one in recorded if one.method == "GET"]
        with replay(
            [*landing, replace(first, answer=json.dumps(content)), second], PLANETARY_COMPUTER
        ) as served:
            found = {one.id: one for one in ApiCatalog(served.url).always("naip", VERMONT)}
        assert set(found) == {"broken", *whole[1:]}
        assert not found["broken"].assets and not found[whole[2]].assets
        assert taken(found[whole[1]]) == TIMELESS, "refused by name where a date is needed"
        assert all(found[name].assets for name in (whole[1], *whole[3:]))

    def test_a_busy_catalogue(self, pc: Replay) -> None:
        """429 with Retry-After, 5xx, a reset connection, a truncated response: all items are found."""
        api = ApiCatalog(pc.url)
        pc.faults = [
            (429, {"Retry-After": "1"}),
            (503, {}),
            "reset",
            "cut",
            (429, {"Retry-After": "0"}),
            (502, {}),
        ]
        began = time.monotonic()
        assert len(api.always("naip", VERMONT)) == 20
        assert time.monotonic() - began >= 1 and not pc.faults

    def test_opening_a_busy_catalogue(self, pc: Replay) -> None:
        pc.faults = [(503, {"Retry-After": "0"}), "cut"]
        assert ApiCatalog(pc.url).url == pc.url

    @pytest.mark.parametrize(("status", "requests"), [(503, 7), (400, 1), (403, 1)])
    def test_failing_requests_are_retried_or_reported(self, pc: Replay, status: int, requests: int) -> None:
        """Temporary errors are retried, permanent ones are reported at once."""
        api = ApiCatalog(pc.url)
        api.always("naip", VERMONT)
        before = len(pc.requests)
        pc.always = status
        with pytest.raises(MonitorError) as caught:
            api.search("sentinel-2-l2a", HERE, date(2022, 7, 1), date(2022, 9, 30))
        message = str(caught.value)
        start = f"{pc.url}: the search {{'collections': ['sentinel-2-l2a']"
        assert message.startswith(start) and "2022-07-01/2022-09-30" in message
        assert f"failed: HTTP {status} at rest; try again later" in message
        assert len(pc.requests) - before == requests

    def test_an_unreachable_catalogue(self, pc: Replay) -> None:
        with pytest.raises(
            MonitorError, match=r"127\.0\.0\.1:9/stac: opening it failed: .*catalog\.location"
        ):
            ApiCatalog("http://127.0.0.1:9/stac")

    def test_an_address_without_catalogue(self, pc: Replay) -> None:
        with pytest.raises(MonitorError, match=r"/nowhere: opening it failed: HTTP 404"):
            ApiCatalog(f"{pc.url}/nowhere")

    def test_relative_addresses(self, recorded: list[Exchange]) -> None:
        first, second = (one for one in recorded if "test_result_paging" in one.source)
        content = json.loads(first.answer)
        content["links"] = []
        for asset in content["features"][0]["assets"].values():
            asset["href"] = "./image.tif"
        landing = [one for one in recorded if one.method == "GET"]
        with replay(
            [*landing, replace(first, answer=json.dumps(content)), second], PLANETARY_COMPUTER
        ) as served:
            found = {one.id: one for one in ApiCatalog(served.url).always("naip", VERMONT)}
            moved = found[content["features"][0]["id"]]
            hrefs = {asset.href for asset in moved.assets.values()}
        assert hrefs == {f"{served.url}/collections/naip/items/image.tif"}


@pytest.fixture(autouse=True)
def _remove_items(tmp_path: Path):
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)


def listed(folder: Path) -> list[str]:
    return sorted(made.id for made in FolderCatalog(folder).always("s2", HERE))


def content(name: str, **fields: Any) -> dict[str, Any]:
    return item(name, datetime(2022, 8, 1, tzinfo=UTC)).to_dict(transform_hrefs=False) | fields


class TestWhatPeopleKeepInFolders:
    """Every file that holds items is read, and none is left out silently."""

    def test_collections_lists_and_geojson(self, tmp_path: Path) -> None:
        (tmp_path / "found.json").write_text(
            json.dumps({"type": "FeatureCollection", "features": [content("a"), content("b")]})
        )
        (tmp_path / "c.geojson").write_text(json.dumps(content("c")))
        (tmp_path / "d.JSON").write_text(json.dumps(content("d")))
        (tmp_path / "list.json").write_text(json.dumps([content("e"), content("f", stac_version=None)]))
        assert listed(tmp_path) == ["a", "b", "c", "d", "e", "f"]
        found = FolderCatalog(tmp_path / "found.json")
        assert [made.id for made in found.always("s2", HERE)] == ["a", "b"]
        assert found.always("s2", HERE)[0].assets["B02"].href == str(tmp_path / "B02.tif")

    def test_an_item_in_two_files_is_one_and_another_of_its_id_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text(json.dumps(content("one")))
        (tmp_path / "all.json").write_text(
            json.dumps({"type": "FeatureCollection", "features": [content("one")]})
        )
        assert listed(tmp_path) == ["one"]
        (tmp_path / "b.json").write_text(json.dumps(content("one", bbox=[76.0, 42.0, 77.0, 43.0])))
        kept, other = FolderCatalog(tmp_path).always("s2", HERE)
        assert kept.assets and other.id == "one" and "b.json holds another item" in other.extra_fields[FAULT]

    def test_linked_folders_and_loops(self, tmp_path: Path) -> None:
        away, folder = tmp_path / "away", tmp_path / "here"
        save(item("linked", datetime(2022, 8, 1, tzinfo=UTC)), away / "deep")
        folder.mkdir()
        (folder / "data").symlink_to(away)
        (away / "deep" / "round").symlink_to(away)
        (folder / "gone.json").symlink_to(tmp_path / "nothing")
        assert listed(folder) == ["linked"]
        os.mkfifo(folder / "pipe.json")
        assert listed(folder) == ["linked"]

    @pytest.mark.parametrize("box", [None, [], [1, 2], [76.2, 42.2, 76.3, None], "76,42,77,43"])
    def test_an_item_without_bbox_lies_where_its_outline_lies(self, box: Any, tmp_path: Path) -> None:
        (tmp_path / "one.json").write_text(json.dumps(content("one", bbox=box)))
        assert listed(tmp_path) == ["one"]
        assert not FolderCatalog(tmp_path).always("s2", (10.0, 42.0, 11.0, 43.0))

    def test_the_whole_globe_holds_an_item_without_bbox(self, tmp_path: Path) -> None:
        (tmp_path / "one.json").write_text(json.dumps(content("one", bbox=None)))
        assert FolderCatalog(tmp_path).always("s2", (-180, -90, 180, 90))

    def test_an_item_without_any_place_is_refused_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "one.json").write_text(json.dumps(content("one", bbox=None, geometry=None)))
        _, refused = usable_dem(
            FolderCatalog(tmp_path).always("s2", HERE), PLAIN.dem.model_copy(update={"band": "B02"})
        )
        assert [(name, why.code.value) for name, why in refused] == [("one", "no_outline")]

    def test_an_item_without_time_is_refused_by_name(self, tmp_path: Path) -> None:
        made = content("one")
        made["properties"] = {"datetime": float("nan"), "start_datetime": 7}
        (tmp_path / "one.json").write_text(json.dumps(made))
        (found,) = FolderCatalog(tmp_path).search("s2", HERE, date(2022, 7, 1), date(2022, 9, 30))
        assert taken(found) == TIMELESS

    @pytest.mark.parametrize("name", ["a b", "a#b", "a?b", "a%20b", "ä", "a&b=c", "x+y"])
    @pytest.mark.parametrize("form", ["plain", "quoted", "file", "file, once"])
    def test_files_in_folders_of_any_name(self, name: str, form: str, tmp_path: Path) -> None:
        folder = tmp_path / name
        folder.mkdir()
        form_of = {"driver": "GTiff", "width": 1, "height": 1, "count": 1, "dtype": "uint8", "crs": 4326}
        with rasterio.open(
            folder / "B 02.tif", "w", transform=Affine(1, 0, 76, 0, -1, 43), **form_of
        ) as file:
            file.write(np.ones((1, 1, 1), np.uint8))
        quoted = quote(str(folder / "B 02.tif"))
        hrefs = {"plain": "B 02.tif", "quoted": "B%2002.tif", "file": f"file://{quoted}"}
        href = hrefs.get(form, f"file:{quoted}")
        made = content("one")
        made["assets"] = {"B02": {"href": href}}
        (folder / "one.json").write_text(json.dumps(made))
        (found,) = FolderCatalog(tmp_path).always("s2", HERE)
        with opened(found.assets["B02"].href, PLAIN) as file:
            assert file.read(1)[0, 0] == 1

    def test_an_item_of_an_api_without_a_link_to_itself(self) -> None:
        found = catalog._answered(content("one") | {"links": []})
        assert "are relative" in found.extra_fields[FAULT] and not found.assets


PLAIN = read_profile("plain", Path())
GEOJSON = "application/geo+json"


class Pages:
    """A STAC API whose pages are made by a function of their number."""

    def __init__(self, page: Callable[[int], tuple[list[Any], Any]]) -> None:
        self.page = page
        self.searches: list[dict[str, Any]] = []
        self.server = HttpServer(self.answer)

    def answer(self, request: Request) -> Answer:
        url = self.server.url
        if request.method == "GET":
            body: dict[str, Any] = {
                "type": "Catalog", "id": "x", "stac_version": "1.0.0", "description": "x",
                "conformsTo": [f"https://api.stacspec.org/v1.0.0/{name}" for name in ("core", "item-search")],
                "links": [
                    {"rel": "root", "href": url},
                    {"rel": "search", "href": f"{url}/search", "method": "POST", "type": GEOJSON},
                ],
            }  # fmt: skip
        else:
            self.searches.append(json.loads(request.body))
            features, token = self.page(len(self.searches) - 1)
            following = {"rel": "next", "method": "POST", "href": f"{url}/search", "body": {"token": token}}
            body = {"type": "FeatureCollection", "features": features, "links": [following] if token else []}
        return Answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


ENDLESS: dict[str, tuple[Callable[[int], tuple[list[Any], Any]], str, int]] = {
    "the same link": (lambda page: ([content("one")], "next:1"), "answered before", 2),
    "links in a circle": (
        lambda page: ([content(f"item {page % 3}")], f"next:{page % 3}"),
        "answered before",
        4,
    ),
    "new links": (lambda page: ([content("one")], f"next:{page}"), "repeat earlier ones", 6),
    "new items": (lambda page: ([content(f"item {page}")], f"next:{page}"), "more than 8 pages", 8),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_pages_that_never_end(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MOST_PAGES", 8)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    page, why, requests = ENDLESS[kind]
    pages = Pages(page)
    with serving(pages.server):
        api = ApiCatalog(pages.server.url)
        with pytest.raises(MonitorError, match=rf"{pages.server.url}: the search .*does not end.*{why}"):
            api.always("s2", HERE)
    assert len(pages.searches) == requests


def test_a_box_across_180_degrees_is_searched_on_each_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    pages = Pages(lambda page: ([content("both"), content(f"side {page}")], None))
    with serving(pages.server):
        found = ApiCatalog(pages.server.url).always("s2", (179.0, 60.0, -178.0, 61.0))
    assert [search["bbox"] for search in pages.searches] == [[179, 60, 180, 61], [-180, 60, -178, 61]]
    assert [made.id for made in found] == ["both", "side 0", "side 1"]
