"""`monitor serve` as a separate process on a real PostGIS, queried over HTTP as by maps and scripts."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyogrio
import pytest
import requests
import shapely
import yaml
from sqlalchemy import create_engine, make_url, text

from monitor.export.api import CQL2, operations
from storage.database import Database
from tests.support.places import ROOT
from tests.support.sites import DRAINED, FAR, GROWN, fill
from tests.support.workspaces import COMMAND, monitor

SERVED = [
    "lake_latest", "lake_area_history", "lake_change_yearly", "lake_drainage", "lake_trend", "review_queue",
]  # fmt: skip


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command as a separate process; its address, once it responds."""
    command = [*COMMAND, "serve", "--port", "0", "-w", str(folder), *options]
    environment = {**os.environ, "COLUMNS": "200"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=environment)
    assert process.stdout is not None and process.stderr is not None
    late = threading.Timer(120, process.kill)
    late.start()
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+:\d+", line)
        assert found, line + process.stderr.read()
        yield found[0], process
    finally:
        process.kill()
        process.wait()
        late.cancel()
        process.stdout.close()
        process.stderr.close()


def settings(folder: Path, **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    content = {"catalog": {"profile": "planetary-computer"}, "model": "terramind-tiny", **more}
    (folder / "monitor.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module")
def site(postgis_url: str, migrated_template: str, module_workspace: Path) -> Iterator[str]:
    """The address of a server over a database of three lakes."""
    name = f"served_{uuid4().hex}"
    admin = create_engine(make_url(postgis_url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    url = make_url(postgis_url).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name} TEMPLATE {migrated_template}"))
    database = Database(url)
    fill(database)
    database.dispose()
    with serving(settings(module_workspace, database={"url": url})) as (address, _):
        yield address
    with admin.connect() as conn:
        conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def ask(site: str) -> Any:
    def get(path: str, status: int = 200, **parameters: Any) -> Any:
        answer = requests.get(f"{site}{path}", params=parameters, timeout=30)
        assert answer.status_code == status, answer.text
        return answer.json()

    return get


def found(answer: dict[str, Any]) -> set[str]:
    return {str(feature["id"]) for feature in answer["features"]}


def test_exactly_the_served_resources_are_listed(ask: Any) -> None:
    answer = ask("/collections")
    assert [collection["id"] for collection in answer["collections"]] == SERVED
    for collection in answer["collections"]:
        west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
        assert 76.9 < west < east < 79.1 and 41.9 < south < north < 44
        assert collection["description"]
        assert ask(f"/collections/{collection['id']}/items")["numberMatched"] > 0
    days = answer["collections"][0]["extent"]["temporal"]["interval"]
    assert days == [["2020-07-20T00:00:00Z", "2022-08-30T00:00:00Z"]]
    for other in ("lake", "public.lake", "lake_observation", "served.lake_change", "lake_events"):
        refused = ask(f"/collections/{other}/items", status=404)
        assert "lake_latest" in refused["detail"], "the alternatives"


@pytest.mark.parametrize("collection", SERVED)
def test_features_have_a_stable_identity_and_a_geometry(ask: Any, collection: str) -> None:
    first = ask(f"/collections/{collection}/items", limit=100)["features"]
    assert len({feature["id"] for feature in first}) == len(first)
    for feature in first:
        assert ask(f"/collections/{collection}/items/{feature['id']}")["properties"] == feature["properties"]
    kind = "Polygon" if collection == "review_queue" else "MultiPolygon"
    assert {feature["geometry"]["type"] for feature in first if feature["geometry"]} == {kind}
    queryable = ask(f"/collections/{collection}/queryables")["properties"]["geom"]["$ref"]
    assert queryable == f"https://geojson.org/schema/{kind}.json"
    drawn = {True} if collection not in ("lake_latest", "lake_area_history") else {True, False}
    assert {feature["geometry"] is not None for feature in first} == drawn, "only dry lakes have none"


def test_a_box_a_day_and_a_page(ask: Any) -> None:
    items = "/collections/lake_latest/items"
    assert found(ask(items, bbox="76.99,41.99,77.02,42.02")) == {str(GROWN)}
    assert found(ask(items, bbox="76.9,41.9,79,44", limit=1)) < {str(GROWN), str(FAR)}
    assert ask(items, limit=1)["numberMatched"] == 3
    history = "/collections/lake_area_history/items"
    of_2021 = ask(history, datetime="2021-01-01T00:00:00Z/2021-12-31T00:00:00Z")
    assert {feature["properties"]["season"] for feature in of_2021["features"]} == {2021}
    assert len(of_2021["features"]) == 3
    assert ask(history, lake_id=str(FAR))["numberMatched"] == 3


def test_filters_in_cql2(ask: Any) -> None:
    changes = "/collections/lake_change_yearly/items"
    drained = ask(changes, filter="season_to = 2022 AND verdict = 'drained'")["features"]
    assert [feature["properties"]["lake_id"] for feature in drained] == [str(DRAINED)]
    assert drained[0]["geometry"]["type"] == "MultiPolygon", "its last outline"
    grown = ask(changes, filter="verdict IN ('grown') AND S_INTERSECTS(geom, POINT(77.001 42.001))")
    assert {feature["properties"]["season_to"] for feature in grown["features"]} == {2021, 2022}
    (loss,) = ask("/collections/lake_drainage/items")["features"]
    assert loss["properties"]["lost_percent"] == pytest.approx(100)
    json = '{"op": ">", "args": [{"property": "area_m2"}, 1e5]}'
    large = ask("/collections/lake_latest/items", filter=json, **{"filter-lang": "cql2-json"})
    assert found(large) == {str(GROWN)}


@pytest.mark.parametrize(
    ("filter_", "message"),
    [
        ("set_config('role', 'lake', false) = 'lake'", "set_config, which CQL2 does not define"),
        ("season = 2022 AND NOT (pg_sleep(9) = 1)", "pg_sleep"),
        ('{"op": "=", "args": [{"op": "pg_read_file", "args": ["PG_VERSION"]}, "x"]}', "pg_read_file"),
        ("season = = 2", "not CQL2"),
        ("depth_m > 3", "depth_m"),
        ("season = 'soon'", "soon"),
    ],
)
def test_filters_that_are_refused(ask: Any, filter_: str, message: str) -> None:
    assert message in ask("/collections/lake_latest/items", status=400, filter=filter_)["detail"]


def test_only_cql2_operations_are_allowed() -> None:
    tree = {"op": "and", "args": [{"op": "in", "args": [1, [{"op": "deep", "args": []}]]}, True]}
    assert set(operations(tree)) == {"and", "in", "deep"}
    assert "deep" not in CQL2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/collections/lake_latest/items/not-a-uuid", 400),
        ("/collections/lake_latest/items/00000000-0000-4000-8000-000000000000", 404),
        ("/collections/lake_latest/items?datetime=soon", 400),
        ("/collections/lake_trend/items?datetime=2021-01-01T00:00:00Z", 400),
        ("/collections/lake_latest/items?bbox=1,2,3", 422),
        ("/collections/lake_latest/items?limit=10001", 422),
        ("/collections/lake_latest/items?sortby=nothing", 404),
    ],
)
def test_invalid_requests_are_client_errors(ask: Any, path: str, status: int) -> None:
    assert ask(path, status=status)["detail"]


def test_a_vector_tile_contains_the_lake(site: str, tmp_path: Path) -> None:
    z, x, y = 12, 2924, 1520  # 77.0 to 77.08 E, 41.97 to 42.03 N
    answer = requests.get(f"{site}/collections/lake_latest/tiles/WebMercatorQuad/{z}/{x}/{y}", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/vnd.mapbox-vector-tile"
    assert "Access-Control-Allow-Origin" not in answer.headers
    tile = tmp_path / "tile.mvt"
    tile.write_bytes(answer.content)
    lakes = pyogrio.read_dataframe(tile, X=x, Y=y, Z=z).to_crs(4326)
    assert lakes["lake_id"].tolist() == [str(GROWN)]
    assert lakes.intersects(shapely.Point(77.001, 42.001)).all()
    nowhere = requests.get(f"{site}/collections/lake_latest/tiles/WebMercatorQuad/12/0/0", timeout=30)
    assert (nowhere.status_code, nowhere.content) == (200, b"")


def test_html_pages(site: str) -> None:
    page = requests.get(f"{site}/", headers={"Accept": "text/html"}, timeout=30)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<title>Lake Monitor</title>" in page.text
    for collection in SERVED:
        assert f'"{site}/collections/{collection}/viewer.html"' in page.text
    assert requests.get(f"{site}/", timeout=30).json()["title"] == "Lake Monitor"
    for path in (
        "/collections",
        "/collections/lake_latest",
        "/collections/lake_latest/items",
        "/conformance",
    ):
        page = requests.get(f"{site}{path}", headers={"Accept": "text/html"}, timeout=30)
        assert page.status_code == 200 and "Development Seed" not in page.text, path
    script = requests.get(
        f"{site}/collections/lake_latest/items?offset=0&x=<script>alert(1)</script>",
        headers={"Accept": "text/html"},
        timeout=30,
    )
    assert "<script>alert(1)" not in script.text


def test_nothing_can_be_written(site: str) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in ("/collections/lake_latest/items", f"/collections/lake_latest/items/{GROWN}"):
            assert requests.request(method, f"{site}{path}", json={}, timeout=30).status_code == 405


def test_the_embedded_database_is_served_until_interrupted(workspace: Path) -> None:
    with serving(settings(workspace)) as (address, process):
        assert address.startswith("http://127.0.0.1:"), "reachable locally only"
        answer = requests.get(f"{address}/collections", timeout=30).json()
        assert [collection["id"] for collection in answer["collections"]] == SERVED
        assert requests.get(f"{address}/collections/lake_latest/items", timeout=30).json()["features"] == []
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr is not None and process.stderr.read() == ""


def test_a_public_address_gives_a_warning(workspace: Path, database: Database) -> None:
    folder = settings(workspace, database={"url": database.url})
    with serving(folder, "--host", "0.0.0.0") as (_, process):
        assert process.stderr is not None
        assert "there is no authentication" in process.stderr.readline()


def test_a_port_in_use_is_refused(workspace: Path) -> None:
    folder = settings(workspace)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        answer = monitor("serve", "--port", port, "-w", folder)
    assert answer.returncode == 2
    assert f"--port {port}" in answer.stderr and "choose another port with --port" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (folder / "postgis").exists(), "refused before the database starts"
    answer = monitor("serve", "--host", "192.0.2.1", "-w", folder)
    assert answer.returncode == 2 and "--host 192.0.2.1" in answer.stderr
