"""Addresses in items: files are read from the catalogue's own places only."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import shapely
import yaml
from hypothesis import given
from hypothesis import strategies as st

from monitor.archive.addresses import forbidden, source_of
from monitor.archive.catalog import FolderCatalog
from monitor.archive.decoding import opened
from monitor.archive.explanations import Refusal
from monitor.archive.freeze import freeze
from monitor.archive.profiles import PROFILES, read_profile
from monitor.archive.retries import fetch
from monitor.errors import AssetError, RefusedError
from monitor.settings import SeasonWindow
from monitor.workspace import Workspace
from tests.support.httpserver import Answer, HttpServer, Request, part_of, serving
from tests.support.listings import optical, radar
from tests.support.rasters import BOX, GRIDS, PROFILE, bands, numbers, read, scene, write
from tests.support.samples import save

AREA = shapely.box(77.0, 42.5, 77.1, 42.55)
HOSTS = ("https://files.example", "http://127.0.0.1:8080", "s3://bucket")


@pytest.mark.parametrize(
    "href",
    [
        "https://files.example/a.tif",
        "https://files.example:443/a.tif?sig=1",
        "https://FILES.example./a.tif",
        "http://127.0.0.1:8080/a.tif",
        "https://127.0.0.1:8080/a.tif",
        "s3://bucket/a.tif",
    ],
)
def test_addresses_of_the_catalogue(href: str) -> None:
    assert forbidden(href, HOSTS) is None


@pytest.mark.parametrize(
    "href",
    [
        "http://files.example/a.tif",
        "https://files.example:8443/a.tif",
        "https://files.example.evil.test/a.tif",
        "https://evil.test/files.example/a.tif",
        "https://files.example@evil.test/a.tif",
        "https://someone:secret@files.example/a.tif",
        "https://evil.test\\@files.example/a.tif",
        "https://files.example\t.evil.test/a.tif",
        "https://[::1]/a.tif",
        "http://127.0.0.1:9090/a.tif",
        "http://127.1:8080/a.tif",
        "http://169.254.169.254/latest/meta-data",
        "s3://other/a.tif",
        "gs://bucket/a.tif",
        "ftp://files.example/a.tif",
        "zip+https://files.example/a.zip!a.tif",
        "https:files.example/a.tif",
        "https:///a.tif",
        "HTTPS://files.example/a.tif",
        "https://files.example:x/a.tif",
        "/vsicurl/https://files.example/a.tif",
        "/vsizip/vsicurl/https://files.example/a.zip/a.tif",
        "/vsis3/bucket/a.tif",
        "/vsimem/a.tif",
        "vrt:///etc/passwd",
        "vrt://https://files.example/a.tif",
        "GTIFF_DIR:1:/etc/a.tif",
        'HDF5:"/etc/a.h5"://b',
        "/etc/passwd",
        "file:///etc/passwd",
        "file://files.example/a.tif",
        "a.tif",
        "../../a.tif",
        "",
        "data:image/tiff;base64,SUkqAA==",
        "<VRTDataset></VRTDataset>",
    ],
)
def test_other_addresses(href: str) -> None:
    assert forbidden(href, HOSTS)


@pytest.mark.parametrize("href", ["/vsicurl/https://a.test/b.tif", "vrt://a.tif", "ftp://a.test/b", "a\0b"])
def test_addresses_that_no_caller_can_mean(href: str) -> None:
    assert forbidden(href, None)


@given(
    st.text(max_size=30), st.sampled_from(["", "https://", "s3://", "/", "file://", "https://files.example"])
)
def test_any_text_is_decided(text: str, start: str) -> None:
    """An address is allowed only if the client reads it from one of the hosts."""
    from urllib3.util import parse_url

    href = start + text
    if forbidden(href, HOSTS[:1]) is None:
        read_from = parse_url(href)
        assert (read_from.scheme, read_from.auth) == ("https", None)
        assert str(read_from.host).rstrip(".") == "files.example" and read_from.port in (None, 443)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A catalogue's folder with a file, a secret beside it, and links."""
    folder = tmp_path / "archive"
    for place in (folder / "scene", tmp_path / "elsewhere" / "scene"):
        place.mkdir(parents=True)
        (place / "a.tif").write_bytes(b"II*\0")
    (tmp_path / "secret.tif").write_bytes(b"II*\0")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "scene" / "inside.tif").symlink_to("a.tif")
    (folder / "scene" / "outside.tif").symlink_to(tmp_path / "secret.tif")
    (folder / "scene" / "loop.tif").symlink_to("loop.tif")
    return folder


def test_a_folder_is_read_inside_itself(archive: Path) -> None:
    sources = (str(archive),)
    item = str(archive / "scene" / "item.json")
    for good in ("scene/a.tif", "scene/inside.tif", "scene/../scene/a.tif"):
        assert forbidden(f"{archive}/{good}", sources, item) is None
        assert forbidden(f"file://{archive}/{good}", sources, item) is None
    bad = (
        "../secret.tif",
        "scene/../../secret.tif",
        "scene/outside.tif",
        "scene/loop.tif",
        "linked/scene/a.tif",
    )
    for name in bad:
        assert forbidden(f"{archive}/{name}", sources, item), name
    why = forbidden(f"{archive}/scene/outside.tif", sources, item)
    assert why is not None and "secret.tif" in why and "catalog.hosts" in why


def test_a_linked_folder_belongs_to_the_catalogue_for_its_own_items(archive: Path) -> None:
    sources = (str(archive),)
    item = str(archive / "linked" / "scene" / "item.json")
    assert forbidden(f"{archive}/linked/scene/a.tif", sources, item) is None
    assert forbidden(f"{archive}/linked/../../secret.tif", sources, item)
    assert forbidden(f"{archive}/linked/scene/a.tif", sources) is None, "when it is read"


def test_places_of_the_settings() -> None:
    assert source_of("https://A.test:443/") == source_of("a.test") == "https://a.test"
    assert source_of("s3://bucket") == "s3://bucket"
    assert source_of("file:///mnt/a%20b/") == "/mnt/a b" == source_of("/mnt/a b/")
    for wrong in ("https://a.test/path", "ftp://a.test", "https://", "a b"):
        with pytest.raises(ValueError, match="neither"):
            source_of(wrong)


def test_wrong_hosts_in_the_settings_are_refused(tmp_path: Path) -> None:
    settings = {
        "catalog": {"profile": "plain", "location": str(tmp_path), "hosts": ["https://a.test/b"]},
        "model": "terramind-tiny",
    }
    (tmp_path / "monitor.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(RefusedError, match=r"catalog\.hosts: 'https://a\.test/b' is neither"):
        _ = Workspace.open(tmp_path).catalog_profile


def test_a_workspace_reads_from_the_profile_the_location_and_the_settings(tmp_path: Path) -> None:
    settings = {
        "catalog": {"profile": "earth-search", "location": str(tmp_path), "hosts": ["s3://mine"]},
        "model": "terramind-tiny",
    }
    (tmp_path / "monitor.yaml").write_text(yaml.safe_dump(settings))
    sources = Workspace.open(tmp_path).catalog_profile.serving("grd").sources
    assert sources is not None and {str(tmp_path), "s3://mine", "s3://sentinel-s1-l1c"} <= set(sources)
    bound = PROFILE.at("https://api.test/v1")
    assert pickle.loads(pickle.dumps(bound)).sources == ("https://api.test",), "on other workers, too"


def test_public_catalogues_name_their_hosts() -> None:
    for path in PROFILES.glob("*.yaml"):
        profile = read_profile(path.stem, Path())
        assert bool(profile.hosts) == (profile.url is not None), path.stem


def frozen(folder: Path, *items: pystac.Item) -> dict[str, Refusal]:
    from tests.support.listings import PC

    profile = PC.model_copy(update={"optical": PC.optical.model_copy(update={"scene_classes": None})})
    for made in items:
        save(made, folder)
    chosen = freeze(FolderCatalog(folder), profile.at(folder, ["/data"]), AREA, SeasonWindow(), 2022).chosen
    assert [scene.id for scene in chosen.optical] == ["good"], "other scenes go on"
    return dict(chosen.refused)


@pytest.mark.parametrize(
    "href",
    [
        "http://127.0.0.1:1/secret",
        "file:///etc/passwd",
        "../../../../../etc/passwd",
        "/vsicurl/http://127.0.0.1:1/a.tif",
        "/vsizip//etc/a.zip/a.tif",
        "vrt:///etc/passwd",
    ],
)
def test_an_item_is_refused_by_name_and_others_go_on(href: str, tmp_path: Path) -> None:
    bad = optical("bad", 1)
    bad.assets["B03"].href = href
    refused = frozen(tmp_path, optical("good"), bad, radar("r", 2))
    assert refused["bad"].code == Refusal.FORBIDDEN_ADDRESS and "asset B03 at" in str(refused["bad"])


def test_ids_with_control_characters_are_refused(tmp_path: Path) -> None:
    escape, long = optical("bad\x1b[2J\nid", 1), optical("x" * 1000, 1)
    for number, made in enumerate((escape, long)):
        made.set_self_href(None)
        (tmp_path / f"{number}.json").write_text(json.dumps(made.to_dict()))
    refused = frozen(tmp_path, optical("good"), radar("r", 2))
    assert [why.code for why in refused.values()] == [Refusal.UNUSABLE_ID] * 2
    assert all(name.isprintable() and len(name) <= 1000 for name in refused)


def test_reading_refuses_too(tmp_path: Path) -> None:
    """As for an item of a frozen list, or for one of which only the address was changed later."""
    path = write(tmp_path / "elsewhere.tif", GRIDS["same pixels"], numbers(GRIDS["same pixels"][2]))
    inside = tmp_path / "archive"
    inside.mkdir()
    with pytest.raises(AssetError, match=r"item: asset a at .*outside the catalogue's folder"):
        read(scene(path), bands(), PROFILE.at(inside), BOX)
    assert np.isfinite(read(scene(path), bands(), PROFILE.at(tmp_path), BOX)["band"]).any()


def vrt(target: str) -> str:
    return (
        f'<VRTDataset rasterXSize="400" rasterYSize="400"><VRTRasterBand dataType="UInt16" band="1">'
        f"<SimpleSource><SourceFilename>{target}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )


def test_a_vrt_named_tif_is_not_opened(tmp_path: Path) -> None:
    def unasked(request: Request) -> Answer:
        raise AssertionError(f"{request.target} was requested")

    with serving(HttpServer(unasked)) as server:
        for target in ("/etc/passwd", f"/vsicurl/{server.url}/a.tif"):
            (tmp_path / "a.tif").write_text(vrt(target))
            with pytest.raises(AssetError, match=r"not a file of the drivers .* GTiff, JP2OpenJPEG"):
                read(scene(tmp_path / "a.tif"), bands(), PROFILE, BOX)
        assert not server.requests
    content = vrt("/etc/passwd").encode()
    with (
        serving(HttpServer(lambda request: part_of(content, request))) as server,
        pytest.raises(AssetError, match="not a file of the drivers"),
    ):
        read(scene(f"{server.url}/a.tif"), bands(), PROFILE, BOX)


def test_metadata_of_a_file_cannot_reach_the_network(tmp_path: Path) -> None:
    """GDAL opens overviews at the address that a file's metadata name."""
    path = tmp_path / "a.tif"
    with serving(HttpServer(lambda request: Answer(404))) as server:
        grid = GRIDS["same pixels"]
        with rasterio.open(
            path, "w", driver="GTiff", height=400, width=400, count=1, dtype="uint16",
            crs=f"EPSG:{grid[0]}", transform=grid[1],
        ) as file:  # fmt: skip
            file.write(numbers(grid[2]), 1)
            file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{server.url}/a.tif")
        with opened(str(path), PROFILE) as file:
            assert file.tags(ns="OVERVIEWS") and file.overviews(1) == []
            file.read(1)
        assert not server.requests


def test_redirects_stay_on_the_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    content = write(tmp_path / "a.tif", GRIDS["same pixels"], numbers(GRIDS["same pixels"][2])).read_bytes()
    here = read(scene(tmp_path / "a.tif"), bands(), PROFILE, BOX)["band"]
    with serving(HttpServer(lambda request: part_of(content, request))) as store:
        target = Answer(302, b"", {"Location": f"{store.url}/a.tif?own=1"})
        with serving(HttpServer(lambda request: target)) as front:
            item = scene(f"{front.url}/a.tif?sig=SECRET")
            with pytest.raises(AssetError, match=r"redirects to another place: http://127\.0") as caught:
                read(item, bands(), PROFILE.at(front.url), BOX)
            with pytest.raises(ValueError, match="redirects to another place"):
                fetch(f"{front.url}/a.xml", (front.url,))
            assert not store.requests and "SECRET" not in str(caught.value)
            assert len(front.requests) == 2, "a redirect is not tried again"
            found = read(item, bands(), PROFILE.at(front.url, [store.url]), BOX)["band"]
            assert np.array_equal(found, here, equal_nan=True)
            assert all("SECRET" not in request.target for request in store.requests)


def test_a_circle_of_redirects_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with (
        serving(HttpServer(lambda request: Answer(302, b"", {"Location": "/a.tif"}))) as server,
        pytest.raises(AssetError, match="redirects more than 5 times"),
    ):
        read(scene(f"{server.url}/a.tif"), bands(), PROFILE, BOX)


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(AssetError, match="it is not a regular file"):
        read(scene(tmp_path / "a.tif"), bands(), PROFILE, BOX)
    with pytest.raises(OSError, match="it is not a regular file"):
        fetch(str(tmp_path / "a.tif"))
