"""Glacier outlines of RGI 7.0, from a server on this machine that holds two small first-order regions."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import geopandas
import pytest
import shapely
import yaml

from monitor.errors import MonitorError, RefusedError
from monitor.operations.glaciers import fetch_glaciers
from monitor.workspace import Workspace
from tests.support.httpserver import Answer, FileServer, HttpServer, Request, serving
from tests.support.workspaces import monitor

pytestmark = [pytest.mark.filterwarnings("ignore:Normalized/laundered field name:RuntimeWarning")]

CENTRAL, WEST, NORTH = shapely.box(70, 36, 90, 46), shapely.box(66, 28, 78, 36), shapely.box(60, 46, 90, 60)
#: by first-order region: inside the region, in its zone, farther away
GLACIERS = {
    "13_central_asia": [(76.6, 42.8), (77.0, 42.66), (79.0, 42.8)],
    "14_south_asia_west": [(77.0, 35.9), (77.0, 34.0)],
}
BOUNDS = [76.5, 42.7, 78.2, 43.55]


def zipped(frame: geopandas.GeoDataFrame, target: Path, name: str, inside: str = "") -> None:
    """A shapefile in a zip file, as NSIDC serves it."""
    folder = target.parent / "plain"
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_file(folder / f"{name}.shp")
    with zipfile.ZipFile(target, "w") as content:
        for part in sorted(folder.glob(f"{name}.*")):
            content.write(part, inside + part.name)


def outline(x: float, y: float) -> shapely.Geometry:
    """A square of about 1 km; RGI's outlines have a Z coordinate."""
    return shapely.force_3d(shapely.box(x, y, x + 0.01, y + 0.01), 0.0)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rgi")
    codes = ["10", "13", "14", "20"]
    names = ["10_north_asia", "13_central_asia", "14_south_asia_west", "20_antarctic_mainland"]
    frame = geopandas.GeoDataFrame(
        {"o1region": codes, "long_code": names},
        geometry=[NORTH, CENTRAL, WEST, shapely.box(-180, -90, 180, 90)],
        crs=4326,
    )
    zipped(frame, folder / "RGI2000-v7.0-regions.zip", "RGI2000-v7.0-o1regions")
    for code, places in GLACIERS.items():
        name = f"RGI2000-v7.0-G-{code}"
        ids = [f"RGI2000-v7.0-G-{code[:2]}-{number:05d}" for number in range(len(places))]
        outlines = geopandas.GeoDataFrame(
            {"rgi_id": ids, "area_km2": 1.0}, geometry=[outline(*place) for place in places], crs=4326
        )
        zipped(outlines, folder / f"{name}.zip", name, inside=f"{name}/")
    return folder


@pytest.fixture
def server(archive: Path) -> Iterator[FileServer]:
    with serving(FileServer(archive)) as running:
        yield running


def make(folder: Path, url: str, **region) -> Path:
    content = {
        "catalog": {"profile": "planetary-computer"},
        "model": "terramind-tiny",
        "regions": {"mine": {"bounds": BOUNDS, **region}},
        "rgi": {
            "regions": f"{url}/RGI2000-v7.0-regions.zip",
            "outlines": f"{url}/RGI2000-v7.0-G-{{region}}.zip",
        },
    }
    (folder / "monitor.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_outlines_near_a_region_are_written_whole(server: FileServer, tmp_path: Path) -> None:
    workspace = Workspace.open(make(tmp_path, server.url))
    fetched = fetch_glaciers(workspace, "mine")
    assert [request.path for request in server.requests] == [
        "/RGI2000-v7.0-regions.zip",
        "/RGI2000-v7.0-G-13_central_asia.zip",
    ]
    assert fetched.rgi_regions == ("13_central_asia",)
    assert fetched.settings == "regions:\n  mine:\n    glaciers: glaciers/mine.gpkg"
    frame = geopandas.read_file(tmp_path / "glaciers/mine.gpkg")
    assert list(frame.rgi_id) == ["RGI2000-v7.0-G-13-00000", "RGI2000-v7.0-G-13-00001"]
    assert frame.crs.to_epsg() == 4326
    assert not frame.has_z.any()
    assert (
        frame.geometry[1].normalize().equals_exact(shapely.force_2d(outline(77.0, 42.66)).normalize(), 1e-9)
    )


def test_the_settings_that_it_prints_make_the_zone(server: FileServer, tmp_path: Path) -> None:
    make(tmp_path, server.url)
    fetched = fetch_glaciers(Workspace.open(tmp_path), "mine")
    content = yaml.safe_load((tmp_path / "monitor.yaml").read_text())
    content["regions"]["mine"] |= yaml.safe_load(fetched.settings)["regions"]["mine"]
    (tmp_path / "monitor.yaml").write_text(yaml.safe_dump(content))
    region = Workspace.open(tmp_path).region("mine")
    assert region.glaciers is not None
    assert 0 < region.zone.area < region.outline.area / 10


def test_a_region_across_two_of_rgi(server: FileServer, tmp_path: Path) -> None:
    make(tmp_path, server.url, bounds=[76.5, 35.5, 77.5, 36.5], glaciers="ice.parquet")
    fetched = fetch_glaciers(Workspace.open(tmp_path), "mine")
    assert fetched.rgi_regions == ("13_central_asia", "14_south_asia_west")
    assert fetched.settings == ""
    assert list(geopandas.read_parquet(tmp_path / "ice.parquet").rgi_id) == ["RGI2000-v7.0-G-14-00000"]
    assert Workspace.open(tmp_path).region("mine").zone.area > 0


def test_a_file_is_replaced_on_request_only_and_downloads_are_kept(
    server: FileServer, tmp_path: Path
) -> None:
    workspace = Workspace.open(make(tmp_path, server.url))
    file = fetch_glaciers(workspace, "mine").file
    sent, before = len(server.requests), file.stat().st_ino
    with pytest.raises(RefusedError, match=r"mine\.gpkg exists already; --force"):
        fetch_glaciers(workspace, "mine")
    fetch_glaciers(workspace, "mine", force=True)
    assert len(server.requests) == sent
    assert file.stat().st_ino != before
    assert sorted(path.name for path in file.parent.iterdir()) == ["mine.gpkg", "rgi7"]


def test_a_failure_leaves_the_former_file(server: FileServer, tmp_path: Path) -> None:
    workspace = Workspace.open(make(tmp_path, server.url))
    file = fetch_glaciers(workspace, "mine").file
    content = file.read_bytes()
    for download in (tmp_path / "glaciers/rgi7").iterdir():
        download.unlink()
    server.fault = lambda request, number: 404 if "G-13" in request.path else None
    with pytest.raises(MonitorError, match=r"404 .*`rgi` in monitor\.yaml.*glaciers/rgi7/RGI2000-v7\.0-G-13"):
        fetch_glaciers(workspace, "mine", force=True)
    assert file.read_bytes() == content


@pytest.mark.parametrize("fault", [503, "reset", ("cut", 300)])
def test_what_fails_for_a_moment_is_tried_again(
    server: FileServer, tmp_path: Path, fault: int | str | tuple[str, int]
) -> None:
    server.fault = lambda request, number: fault if number == 1 else None
    assert fetch_glaciers(Workspace.open(make(tmp_path, server.url)), "mine").glaciers == 2
    assert len(server.requests) == 3


def test_no_glacier_near_is_said(server: FileServer, tmp_path: Path) -> None:
    workspace = Workspace.open(make(tmp_path, server.url, bounds=[80, 44, 81, 45]))
    with pytest.raises(RefusedError, match="no glacier within 10 km of the region mine"):
        fetch_glaciers(workspace, "mine")


def test_other_formats_are_refused_before_any_request(server: FileServer, tmp_path: Path) -> None:
    workspace = Workspace.open(make(tmp_path, server.url, glaciers="ice.shp"))
    with pytest.raises(RefusedError, match=r"\.gpkg, \.parquet or \.geoparquet"):
        fetch_glaciers(workspace, "mine")
    assert not server.requests


def test_a_login_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with serving(HttpServer(lambda request: Answer(401, b"who?"))) as server:
        answer = monitor("glaciers", "fetch", "mine", "-w", make(tmp_path, server.url))
    assert answer.returncode == 1
    assert "machine urs.earthdata.nasa.gov login NAME password PASSWORD" in answer.stderr
    assert "glaciers/rgi7/RGI2000-v7.0-regions.zip" in answer.stderr
    assert len(server.requests) == 1


def test_a_login_page_is_no_zip_file(tmp_path: Path) -> None:
    page = Answer(200, b"<html>Earthdata Login</html>", {"Content-Type": "text/html; charset=utf-8"})
    with serving(HttpServer(lambda request: page)) as server:
        workspace = Workspace.open(make(tmp_path, server.url))
        with pytest.raises(MonitorError, match="needs an Earthdata login"):
            fetch_glaciers(workspace, "mine")
    assert not (tmp_path / "glaciers/rgi7/RGI2000-v7.0-regions.zip").exists()


def test_the_login_of_netrc_follows_the_redirections(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NSIDC does it: to the host of the login, which knows the user, and back with a cookie."""

    def answer(request: Request) -> Answer:
        host = request.headers["host"]
        if request.path.startswith("/login"):
            if request.headers.get("authorization") != "Basic bWU6c2VjcmV0":  # me:secret
                return Answer(401, b"who?")
            back = f"http://127.0.0.1:{host.partition(':')[2]}{request.path.removeprefix('/login')}?code=1"
            return Answer(302, headers={"Location": back})
        if "code" in request.target:
            headers = {"Location": request.path, "Set-Cookie": "session=known; Path=/"}
            return Answer(302, headers=headers)
        if "session=known" not in request.headers.get("cookie", ""):
            return Answer(
                302, headers={"Location": f"http://localhost:{server.server_port}/login{request.path}"}
            )
        return Answer(200, (archive / request.path.lstrip("/")).read_bytes())

    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(HttpServer(answer)) as server:
        fetched = fetch_glaciers(Workspace.open(make(tmp_path, server.url)), "mine")
    assert fetched.glaciers == 2


def test_the_command(server: FileServer, tmp_path: Path) -> None:
    make(tmp_path, server.url)
    answer = monitor("-w", tmp_path, "glaciers", "fetch", "mine")
    assert answer.returncode == 0, answer.stderr
    assert "2 glaciers of RGI 7.0 (13_central_asia)" in answer.stdout
    assert "    glaciers: glaciers/mine.gpkg" in answer.stdout
    assert "glaciers of mine: writing mine.gpkg: done" in answer.stderr
    again = monitor("glaciers", "fetch", "mine", "-w", tmp_path, "--force", "--json")
    told = json.loads(again.stdout)
    assert (told["region"], told["glaciers"]) == ("mine", 2)
    assert told["file"] == str(tmp_path / "glaciers/mine.gpkg")


def test_a_region_without_settings_gets_its_bounds_too(server: FileServer, tmp_path: Path) -> None:
    make(tmp_path, server.url)
    content = yaml.safe_load((tmp_path / "monitor.yaml").read_text())
    (tmp_path / "monitor.yaml").write_text(yaml.safe_dump({**content, "regions": {}}))
    fetched = fetch_glaciers(Workspace.open(tmp_path), "ile_alatau")
    assert yaml.safe_load(fetched.settings)["regions"]["ile_alatau"] == {
        "bounds": BOUNDS,
        "glaciers": "glaciers/ile_alatau.gpkg",
    }


def test_a_missing_file_of_outlines_names_the_command(tmp_path: Path) -> None:
    workspace = Workspace.open(make(tmp_path, "http://127.0.0.1:1", glaciers="ice.gpkg"))
    with pytest.raises(RefusedError, match=r"there is no file .*ice\.gpkg; `monitor glaciers fetch mine`"):
        workspace.region("mine")
