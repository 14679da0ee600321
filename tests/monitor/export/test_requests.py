"""Requests to the API: what each parameter means at its edges, and the refusal of those that mean nothing."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import requests
import shapely
from hypothesis import given
from hypothesis import strategies as st
from tipg.errors import InvalidBBox, InvalidDatetime

from monitor.export.filters import area_of, box_of, comparable
from monitor.export.served import instants, interval_of
from tests.support.sites import fill, own_database, site_of

degrees_east = st.integers(-1800, 1800).map(lambda tenths: tenths / 10)
degrees_north = st.integers(-900, 900).map(lambda tenths: tenths / 10)


@given(degrees_east, degrees_north, degrees_east, degrees_north, degrees_east, degrees_north)
def test_a_box_holds_the_places_between_its_sides(
    west: float, south: float, east: float, north: float, x: float, y: float
) -> None:
    south, north = sorted((south, north))
    area = shapely.geometry.shape(area_of(box_of(f"{west},{south},{east},{north}")))
    across = west > east
    inside = (x >= west or x <= east) if across else west <= x <= east
    assert area.intersects(shapely.Point(x, y)) == (inside and south <= y <= north)
    assert area.bounds[1::2] == (south, north)


def test_heights_of_a_box_are_left_out() -> None:
    assert box_of("70,40,0,80,50,9000") == box_of("70,40,80,50") == [70, 40, 80, 50]


@pytest.mark.parametrize(
    "text",
    [
        *("1,2,3", "1,2,3,4,5", "a,b,c,d", "", "70;40;80;50"),
        *("nan,40,80,50", "70,inf,80,50", "-190,40,80,50", "70,40,80,91", "70,50,80,40"),
    ],
)
def test_boxes_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidBBox, match="bbox="):
        box_of(text)


@given(st.dates(), st.dates())
def test_an_interval_has_its_ends_in_order(first: Any, last: Any) -> None:
    text = f"{first.isoformat()}/{last.isoformat()}"
    if first <= last:
        assert interval_of(text) == [first.isoformat(), last.isoformat()]
    else:
        with pytest.raises(InvalidDatetime, match="later than its last"):
            interval_of(text)


@pytest.mark.parametrize(
    "text",
    [
        *("soon", "2021-02-30", "2021", "2021-08-30T10:00:00", "2021-08-30T25:00:00Z"),
        *("a/b/c", "../..", "/", "..", "2021-01-01/2022-01-01/2023-01-01"),
    ],
)
def test_days_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidDatetime, match="datetime="):
        interval_of(text)


def test_times_are_read_in_their_zone() -> None:
    (first, last) = instants("2021-08-31T01:30:00+05:00")
    assert first == last and first.isoformat() == "2021-08-30T20:30:00+00:00"
    assert instants("2021-08-30")[0].isoformat() == "2021-08-30T00:00:00+00:00"


def test_a_list_becomes_comparisons_and_a_box_a_geometry() -> None:
    listed = {"op": "not", "args": [{"op": "in", "args": [{"property": "lake_id"}, ["a", "b"]]}]}
    (either,) = comparable(listed)["args"]
    assert [one["args"][1] for one in either["args"]] == ["a", "b"]
    boxed = comparable({"op": "s_intersects", "args": [{"property": "geom"}, {"bbox": [170, 30, -170, 60]}]})
    assert boxed["args"][1]["type"] == "MultiPolygon"


@pytest.fixture(scope="module")
def site(postgis_url: str, migrated_template: str) -> Iterator[str]:
    with own_database(postgis_url, migrated_template) as database:
        fill(database)
        with site_of(database) as address:
            yield address


@pytest.fixture
def ask(site: str) -> Any:
    def get(path: str, **parameters: Any) -> Any:
        answer = requests.get(f"{site}{path}", params=parameters, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get


LATEST = "/collections/lake_latest/items"
HISTORY = "/collections/lake_area_history/items"
CHANGES = "/collections/lake_change_yearly/items"
TILES = "/collections/lake_latest/tiles/WebMercatorQuad"


def test_boxes_of_lakes(ask: Any) -> None:
    assert ask(LATEST, bbox="-170,41,78,44")["numberMatched"] == 1
    assert ask(LATEST, bbox="78,41,-170,44")["numberMatched"] == 1, "across 180 degrees"
    assert ask(LATEST, bbox="170,41,-170,44")["numberMatched"] == 0
    assert ask(LATEST, bbox="77.001,42.001,77.001,42.001")["numberMatched"] == 1, "a point"
    assert ask(LATEST, filter="S_INTERSECTS(geom, BBOX(78,41,-170,44))")["numberMatched"] == 1
    assert ask(LATEST, filter="S_INTERSECTS(geom, BBOX(77,41,78,44))")["numberMatched"] == 1


def test_days_of_observations(ask: Any) -> None:
    """Lakes of 2021 were seen until 2021-08-30."""
    midnight = "2021-08-30T00:00:00Z"
    for text in ("2021-08-30", "2021-08-30T12:00:00Z", "2021-08-30/2021-08-30", f"{midnight}/{midnight}"):
        assert ask(HISTORY, datetime=text)["numberMatched"] == 3, text
    assert ask(HISTORY, datetime="2021-08-30T23:00:00-03:00/2021-09-01")["numberMatched"] == 0
    assert ask(HISTORY, datetime="../2021-08-30")["numberMatched"] == 6
    assert ask(HISTORY, datetime="2021-08-30/..")["numberMatched"] == 6
    assert ask("/collections/review_queue/items", datetime="2000-01-01/..")["numberMatched"] == 3


def test_lakes_by_their_identities(ask: Any) -> None:
    lakes = ask(LATEST)["features"]
    ids = [feature["id"] for feature in lakes]
    assert ask(LATEST, ids=",".join(ids[:2]))["numberMatched"] == 2
    assert ask(LATEST, ids=ids[0].upper())["numberMatched"] == 1
    quoted = ", ".join(f"'{one}'" for one in ids[:2])
    assert ask(LATEST, filter=f"lake_id IN ({quoted})")["numberMatched"] == 2
    assert ask(LATEST, filter=f"NOT lake_id IN ({quoted})")["numberMatched"] == 1
    changes = [feature["id"] for feature in ask(CHANGES)["features"]]
    assert ask(CHANGES, ids=",".join(changes[:3]))["numberMatched"] == 3


@pytest.mark.parametrize(
    "text",
    [
        *("(" * 9000 + "season=1" + ")" * 9000, "season=" + "-" * 20_000 + "1", "NOT " * 9000 + "season=1"),
        *("season=1" + "+1" * 9000, "season=1" + "^1" * 9000, "season=" + "(" * 501 + "1" + ")" * 501),
        '{"op":"not","args":[' * 2000 + "1" + "]}" * 2000,
        '{"op":"in","args":[{"property":"code"},"GA"]}',
        """"it's" = """ + "(" * 9000 + "1" + ")" * 9000 + """ AND "it's" = 1""",
    ],
)
def test_a_filter_that_is_too_deep_does_not_end_the_server(site: str, text: str) -> None:
    answer = requests.get(f"{site}{LATEST}", params={"filter": text}, timeout=30)
    assert answer.status_code == 400, answer.text
    assert requests.get(f"{site}{LATEST}", params={"filter": "NOT season = 1"}, timeout=30).status_code == 200


def test_a_long_filter(ask: Any) -> None:
    years = ", ".join(map(str, range(1000, 4000)))
    assert ask(HISTORY, filter=f"season IN ({years})")["numberMatched"] == 9
    assert ask(HISTORY, filter="code = 'GA' AND code <> '" + "(-+" * 1000 + "'")["numberMatched"] == 3
    ids = ",".join("00000000-0000-4000-8000-000000000000" for _ in range(800))
    assert ask(LATEST, ids=ids)["numberMatched"] == 0


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        ("POLYGON((70 40,80 50,80 40,70 50,70 40))", "Self-intersection"),
        ("POLYGON((70 40,80 50))", "cannot be read"),
        ("POINT(42 977)", "beyond the Earth"),
        ("BBOX(70,50,80,40)", "north of its north"),
    ],
)
def test_geometries_of_a_filter_that_are_refused(site: str, geometry: str, words: str) -> None:
    text = f"S_INTERSECTS(geom, {geometry})"
    answer = requests.get(f"{site}{LATEST}", params={"filter": text}, timeout=30)
    assert 400 <= answer.status_code < 500 and words in answer.text


def test_filters_of_geometries_and_days(ask: Any) -> None:
    unclosed = "POLYGON((76 41,78 41,78 43,76 43))"
    assert ask(LATEST, filter=f"S_INTERSECTS(geom, {unclosed})")["numberMatched"] == 1
    for condition in ("T_EQUALS(last_day, DATE('2021-08-30'))", "last_day = DATE('2021-08-30')",
                      "T_INTERSECTS(last_day, DATE('2021-08-30'))"):  # fmt: skip
        assert ask(HISTORY, filter=condition)["numberMatched"] == 3, condition
    assert ask(HISTORY, filter="T_AFTER(last_day, DATE('2021-08-30'))")["numberMatched"] == 3
    assert ask(HISTORY, filter="T_BEFORE(last_day, DATE('2021-08-30'))")["numberMatched"] == 3


@pytest.mark.parametrize("sign", ["", "-"])
def test_rows_without_a_value_come_last(ask: Any, sign: str) -> None:
    areas = [one["properties"]["area_m2"] for one in ask(HISTORY, sortby=f"{sign}area_m2")["features"]]
    known = [area for area in areas if area is not None]
    assert areas == [*sorted(known, reverse=bool(sign)), None]


def test_pages_hold_every_row_once(ask: Any) -> None:
    """Although the rows have equal values in the order that is asked for."""
    pages = [ask(HISTORY, sortby="-kind", limit=2, offset=offset) for offset in range(0, 12, 2)]
    seen = [feature["id"] for page in pages for feature in page["features"]]
    assert len(seen) == len(set(seen)) == pages[0]["numberMatched"] == 9
    assert [page["numberReturned"] for page in pages] == [2, 2, 2, 2, 1, 0]
    past = ask(HISTORY, limit=2, offset=50)
    assert (past["features"], past["numberMatched"]) == ([], 9)
    assert [link["rel"] for link in past["links"]] == ["collection", "self", "prev"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"{LATEST}?limit=0", "at least 1"),
        (f"{LATEST}?limit=-1", "at least 1"),
        (f"{LATEST}?offset=-1", "greater than or equal to 0"),
        (f"{LATEST}?offset=99999999999999999999", "no collection has so many rows"),
        (f"{LATEST}?nosuch=1", "no parameter 'nosuch'"),
        (f"{LATEST}?bbox-crs=EPSG:3857&bbox=70,40,80,50", "no parameter 'bbox-crs'"),
        (f"{LATEST}?Season=2021", "no parameter 'Season'"),
        (f"{LATEST}?geom=POINT(1 2)", "no parameter 'geom'"),
        (f"{LATEST}?season=2021&season=2022", "more than once"),
        (f"{LATEST}?ids=", "ids is empty"),
        (f"{LATEST}?bbox=", "bbox is empty"),
        (f"{LATEST}?datetime=", "datetime is empty"),
        (f"{LATEST}?ids=nope", "not an identity"),
        (f"{LATEST}?season=abc", "abc"),
        (f"{LATEST}?code=%00", "NUL"),
        (f"{LATEST}?filter=code='%00'", "NUL"),
        (f"{LATEST}/%00", "NUL"),
        (f"{LATEST}?simplify=nan", "tolerance"),
        (f"{LATEST}?simplify=-1", "tolerance"),
        (f"{LATEST}?properties=nosuch", "nosuch does not exist"),
        (f"{LATEST}?datetime-column=nosuch", "nosuch"),
        (f"{LATEST}?geom-column=nosuch", "nosuch"),
        (f"{LATEST}?f=xml", "geojson"),
        (f"{LATEST}?limit=0&f=csv", "at least 1"),
        (f"{LATEST}?nosuch=1&f=csv", "no parameter"),
        ("/collections?nosuch=1", "no parameter"),
        ("/collections/no%00such", "NUL"),
        (f"{TILES}/99/0/0", "Zoom 99"),
        (f"{TILES}/-1/0/0", "Zoom -1"),
        (f"{TILES}/3/99/99", "no such tile"),
        (f"{TILES}/3/0/0?nosuch=1", "no parameter"),
        (f"{TILES}/tilejson.json?nosuch=1", "no parameter"),
        ("/collections/lake_latest/tiles/NoSuch/1/1/1", "NoSuch"),
        (f"{LATEST}/00000000-0000-4000-8000-000000000000?f=csv", "does not exist"),
    ],
)
def test_requests_that_are_refused(site: str, path: str, words: str) -> None:
    answer = requests.get(f"{site}{path}", timeout=30)
    assert 400 <= answer.status_code < 500, answer.text
    assert words in answer.text


@pytest.mark.parametrize(
    "path", ["/", "/collections", LATEST, f"{LATEST}?f=csv", "/api", "/api.html", f"{TILES}/9/365/190"]
)
def test_head_is_answered_as_get_without_the_body(site: str, path: str) -> None:
    head, get = (requests.request(method, f"{site}{path}", timeout=30) for method in ("HEAD", "GET"))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert requests.head(f"{site}/nosuch", timeout=30).status_code == 404


def test_a_sheet_has_the_same_columns_for_every_answer(site: str) -> None:
    full, empty, by_header = (
        requests.get(f"{site}{HISTORY}", params=parameters, headers=headers, timeout=30)
        for parameters, headers in (
            ({"f": "csv", "limit": "100"}, {}),
            ({"f": "csv", "ids": "00000000-0000-4000-8000-000000000000"}, {}),
            ({"limit": "1"}, {"Accept": "text/csv"}),
        )
    )
    sheets = [list(csv.DictReader(StringIO(one.text))) for one in (full, empty, by_header)]
    assert [len(sheet) for sheet in sheets] == [9, 0, 1]
    whole = requests.get(f"{site}{HISTORY}", params={"f": "csv", "offset": "0"}, timeout=30)
    assert whole.text == full.text, "all rows, although the other formats have 10 by default"
    assert empty.text.splitlines()[0] == full.text.splitlines()[0]
    assert by_header.headers["Content-Type"].startswith("text/csv")
    dry = [row for row in sheets[0] if row["outcome"] == "dry"]
    assert dry and all(row["geometry"] == row["area_m2"] == "" for row in dry)
    one = requests.get(f"{site}{HISTORY}/{sheets[2][0]['itemId']}?f=csv", timeout=30).text
    assert list(csv.DictReader(StringIO(one))) == sheets[2]
