"""Searches in folders of items, and in recorded STAC APIs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely

from monitor.archive import catalog
from monitor.archive.catalog import ApiCatalog, FolderCatalog, open_catalog, taken
from monitor.archive.items import TIMELESS
from monitor.archive.profiles import read_profile
from monitor.archive.scenes import usable_optical
from monitor.errors import MonitorError, RefusedError
from monitor.settings import CatalogSettings, Settings
from monitor.workspace import Workspace
from tests.support.cassettes import Exchange, Replay, exchanges, replay
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
