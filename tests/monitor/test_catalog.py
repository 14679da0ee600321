"""Profiles that are refused, and folders of items."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pystac
import pytest
import shapely
import yaml
from samples import save

from monitor.catalog import FolderCatalog, open_catalog, taken
from monitor.errors import MonitorError, RefusedError
from monitor.profiles import PROFILES, S2_BANDS, CatalogProfile, read_profile
from monitor.signing import sign

HERE = (76.0, 42.0, 77.0, 43.0)


def content() -> dict:
    return yaml.safe_load((PROFILES / "planetary-computer.yaml").read_text())


def item(name: str, when: datetime | None, west: float = 76.2, collection: str = "s2") -> pystac.Item:
    bbox = [west, 42.2, west + 0.1, 42.3]
    extra = {} if when else {"start_datetime": "2022-08-01T00:00:00Z", "end_datetime": "2022-08-02T00:00:00Z"}
    made = pystac.Item(name, shapely.geometry.mapping(shapely.box(*bbox)), bbox, when, extra)
    made.collection_id = collection
    made.add_asset("B02", pystac.Asset("./B02.tif"))
    return made


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_profiles_are_valid(path: Path) -> None:
    profile = read_profile(path.stem, Path())
    assert set(S2_BANDS) <= set(profile.optical.bands)


def test_profile_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content() | {"url": None}))
    assert read_profile("mine.yaml", tmp_path).url is None


def test_unknown_profile_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"no profile 'nowhere'; known: .*planetary-computer"):
        read_profile("nowhere", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optical": {"bands": {"B01": "B01"}}}, "bands lacks B02, B03"),
        ({"optical": {"offset": "by date"}}, "offset"),
        ({"optical": {"harmonised": True}}, "harmonised"),
        ({"radar": {"kind": "slc"}}, "kind"),
        ({"radar": {"bands": {"HH": "hh"}}}, "HH"),
        ({"singing": "none"}, "singing"),
    ],
)
def test_wrong_profile_names_the_key(tmp_path: Path, change: dict, message: str) -> None:
    wrong = content()
    for key, value in change.items():
        wrong[key] = {**wrong[key], **value} if isinstance(value, dict) else value
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(RefusedError, match=message) as caught:
        read_profile("wrong.yaml", tmp_path)
    assert "wrong.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2", "just words", ""])
def test_profile_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(RefusedError, match=r"odd\.yaml"):
        read_profile("odd.yaml", tmp_path)


def test_folder_search_by_date_place_and_collection(tmp_path: Path) -> None:
    for made in (
        item("july", datetime(2022, 7, 1, tzinfo=UTC)),
        item("september", datetime(2022, 9, 30, 23, 59, tzinfo=UTC)),
        item("october", datetime(2022, 10, 1, tzinfo=UTC)),
        item("elsewhere", datetime(2022, 8, 1, tzinfo=UTC), west=80.0),
        item("radar", datetime(2022, 8, 1, tzinfo=UTC), collection="s1"),
    ):
        save(made, tmp_path / made.collection_id / made.id)
    catalog = FolderCatalog(tmp_path)
    found = catalog.search("s2", HERE, date(2022, 7, 1), date(2022, 9, 30))
    assert [made.id for made in found] == ["july", "september"]
    assert found[0].assets["B02"].href == str(tmp_path / "s2" / "july" / "B02.tif")
    assert {made.id for made in catalog.always("s2", HERE)} == {"july", "september", "october"}
    assert catalog.always("s3", HERE) == []


def test_folder_with_other_json(tmp_path: Path) -> None:
    save(item("one", datetime(2022, 8, 1, tzinfo=UTC)), tmp_path)
    (tmp_path / "collection.json").write_text(json.dumps({"type": "Collection", "stac_version": "1.0.0"}))
    (tmp_path / "region.json").write_text(json.dumps({"type": "Feature", "geometry": None}))
    (tmp_path / "list.json").write_text("[1, 2]")
    assert [made.id for made in FolderCatalog(tmp_path).always("s2", HERE)] == ["one"]


def test_a_late_scene_is_seen(tmp_path: Path) -> None:
    """A scheduler asks the same folder every night."""
    catalog = FolderCatalog(tmp_path)
    assert catalog.always("s2", HERE) == []
    path = save(item("late", datetime(2022, 8, 1, tzinfo=UTC)), tmp_path)
    assert len(catalog.always("s2", HERE)) == 1
    path.unlink()
    assert catalog.always("s2", HERE) == []


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "Feature",',
        '{"type": "Feature", "stac_version": "1.0.0"}',
        '{"type": "Feature", "stac_version": 1}',
    ],
    ids=["cut off", "without id", "odd version"],
)
def test_broken_item_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(MonitorError, match=r"broken\.json is not .*mend or remove"):
        FolderCatalog(tmp_path).always("s2", HERE)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"catalog\.location: there is no folder"):
        FolderCatalog(tmp_path / "none")


def test_no_url_and_no_folder(tmp_path: Path) -> None:
    profile = CatalogProfile.model_validate(content() | {"url": None})
    with pytest.raises(RefusedError, match="a folder of STAC items is needed"):
        open_catalog(profile, None)
    assert isinstance(open_catalog(profile, tmp_path), FolderCatalog)


def test_unsigned_stays_as_it_is() -> None:
    profile = CatalogProfile.model_validate(content() | {"signing": "none"})
    assert sign("https://example.org/B02.tif", profile) == "https://example.org/B02.tif"


def test_when_taken() -> None:
    assert taken(item("one", datetime(2022, 8, 3, tzinfo=UTC))) == datetime(2022, 8, 3, tzinfo=UTC)
    assert taken(item("range", None)).date() == date(2022, 8, 1)


@pytest.fixture(autouse=True)
def _tidy(tmp_path: Path):
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)
