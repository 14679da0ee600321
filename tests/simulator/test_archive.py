"""Files of an archive: STAC, grids, offsets, resolutions, and reproducible bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import odc.stac
import pyproj
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from shapely.geometry import shape

from simulator.settings import Settings, mgrs_tile
from simulator.simulate import simulate
from tests.simulator.conftest import Archive, load, read, reflectance

pytestmark = pytest.mark.slow

RESOLUTIONS = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20, "B08": 10, "B8A": 20,
    "B09": 60, "B11": 20, "B12": 20, "SCL": 20,
}  # fmt: skip


def digest(folder: Path) -> str:
    """One digest of the names and contents of a folder."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def test_equal_settings_give_equal_bytes_and_another_seed_other_ground(tmp_path: Path) -> None:
    for name, seed in (("a", 11), ("b", 11), ("c", 12)):
        simulate(Settings(seed=seed, size=256, seasons=(2022,)), tmp_path / name)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    one, other = (load(tmp_path / n, Settings(size=256)) for n in "ac")
    heights = [read(a.of("cop-dem-glo-30")[0], "data") for a in (one, other)]
    assert np.abs(heights[0] - heights[1]).mean() > 50
    a, b = (
        set(zip(p.x.round(), p.y.round(), strict=True))
        for p in (x.lakes.geometry.dropna().centroid for x in (one, other))
    )
    assert not a & b


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    simulate(Settings(seed=3, size=256, seasons=(2021, 2022)), tmp_path)
    simulate(Settings(seed=4, size=256, seasons=(2023,)), tmp_path)
    seasons = {item.datetime.year for item in load(tmp_path, Settings(size=256)).items if item.datetime}
    assert seasons == {2023, 2021}  # 2021 is the DEM's date
    assert len(list((tmp_path / "sentinel-2-l2a").glob("S2*"))) == 3


@pytest.mark.parametrize("relative", [False, True])
def test_a_folder_name_with_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool) -> None:
    monkeypatch.chdir(tmp_path)
    place = Path("archive.part") if relative else tmp_path / "archive.part"
    simulate(Settings(size=256, seasons=(2021,)), place)
    assert (tmp_path / "archive.part/catalog.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["archive.part"]


def test_sentinel_2_items_look_like_planetary_computer(archive: Archive) -> None:
    items = archive.of("sentinel-2-l2a")
    for season in archive.settings.seasons:
        assert 2 <= len(archive.optical(season)) <= 3
    for item in items:
        raw = json.loads(Path(item.get_self_href()).read_text())
        assert item.id == Path(item.get_self_href()).parent.name
        assert set(raw["assets"]) == set(RESOLUTIONS)
        assert raw["properties"]["simulated"] is True
        assert raw["properties"]["s2:mgrs_tile"] == mgrs_tile(archive.settings) == "43TFH"
        assert raw["properties"]["proj:epsg"] == 32643
        for name, metres in RESOLUTIONS.items():
            asset = raw["assets"][name]
            assert "raster:bands" not in asset
            assert asset["href"].startswith("./")
            with rasterio.open(item.assets[name].get_absolute_href()) as source:
                assert source.res == (metres, metres)
                assert source.dtypes[0] == ("uint8" if name == "SCL" else "uint16")
                assert source.nodata == 0
                assert list(source.shape) == asset["proj:shape"]
                assert list(source.transform)[:6] == asset["proj:transform"]
                assert (source.bounds.left, source.bounds.top) == archive.settings.origin
                assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        cloud = np.isin(read(item, "SCL"), (8, 9, 10)).mean() * 100
        assert item.properties["eo:cloud_cover"] == pytest.approx(cloud, abs=1e-3)


def test_offset_follows_the_baseline(archive: Archive) -> None:
    items = archive.of("sentinel-2-l2a")
    old = [i for i in items if float(i.properties["s2:processing_baseline"]) < 4]
    new = [i for i in items if float(i.properties["s2:processing_baseline"]) >= 5]
    assert old
    assert new
    # the dark end of the shortwave infrared is water and shadow: near 0 without, near 1000 with the offset
    assert all(np.quantile(read(i, "B12"), 0.002) < 300 for i in old)
    assert all(900 < np.quantile(read(i, "B12"), 0.002) < 1300 for i in new)
    clear = [np.median(reflectance(i, "B04")[read(i, "SCL").repeat(2, 0).repeat(2, 1) == 5]) for i in items]
    assert max(clear) < 1.6 * min(clear)


def test_sentinel_1_is_linear_on_its_own_grid_and_near_an_optical_date(archive: Archive) -> None:
    items = archive.of("sentinel-1-rtc")
    assert {i.properties["sat:orbit_state"] for i in items} == {"ascending", "descending"}
    for item in items:
        raw = json.loads(Path(item.get_self_href()).read_text())
        assert len(raw["properties"]["proj:transform"]) == 9
        assert item.datetime is not None
        season = item.datetime.year
        nearest = min(abs((item.datetime - o.datetime).days) for o in archive.optical(season) if o.datetime)
        assert nearest <= 7
        for name in ("vv", "vh"):
            assert raw["assets"][name]["raster:bands"][0]["nodata"] == -32768
            with rasterio.open(item.assets[name].get_absolute_href()) as source:
                assert source.res == (10, 10)
                assert source.dtypes[0] == "float32"
                assert source.nodata == -32768
                assert source.transform.c % 10 != 0
                assert source.transform.f % 10 != 0
            values = read(item, name)
            assert (values[values != -32768] > 0).all()
            assert 0.01 < values[values != -32768].mean() < 1


def test_odc_stac_reads_it_onto_a_geobox(archive: Archive) -> None:
    settings = archive.settings
    box = GeoBox((64, 64), settings.transform, f"EPSG:{settings.epsg}")
    data = {"assets": {"*": {"data_type": "uint16", "nodata": 0}}}
    first = archive.of("sentinel-2-l2a")[0]
    loaded = odc.stac.load([first], bands=["B03", "B11"], geobox=box, stac_cfg={"*": data})
    np.testing.assert_array_equal(loaded.B03[0], read(first, "B03")[:64, :64])
    dem = odc.stac.load(archive.of("cop-dem-glo-30"), geobox=box, resampling="bilinear")
    assert 2500 < float(dem["data"].min()) < float(dem["data"].max()) < 6000


def test_dem_covers_the_square_at_one_arc_second(archive: Archive) -> None:
    (item,) = archive.of("cop-dem-glo-30")
    with rasterio.open(item.assets["data"].get_absolute_href()) as source:
        assert source.crs.to_epsg() == 4326
        assert source.res == pytest.approx((1 / 3600, 1 / 3600))
        ground = gpd.GeoSeries([archive.settings.square], crs=archive.settings.epsg).to_crs(4326).total_bounds
        assert source.bounds.left < ground[0]
        assert source.bounds.right > ground[2]
        assert source.bounds.bottom < ground[1]
        assert source.bounds.top > ground[3]


def test_region_lies_inside_the_square_by_less_than_a_tile(archive: Archive) -> None:
    region = json.loads((archive.folder / "region.geojson").read_text())
    assert region["features"][0]["properties"]["name"] == "demo"
    ground = gpd.GeoSeries([shape(region["features"][0]["geometry"])], crs=4326).to_crs(archive.settings.epsg)
    assert archive.settings.square.contains(ground[0])
    assert ground[0].area > 0.97 * archive.settings.square.area


def test_another_zone_and_another_place(tmp_path: Path) -> None:
    settings = Settings(seed=2, size=256, seasons=(2021,), epsg=32645, origin=(409_600.0, 3_100_000.0))
    simulate(settings, tmp_path)
    other = load(tmp_path, settings)
    lon, lat = pyproj.Transformer.from_crs(32645, 4326, always_xy=True).transform(410_880, 3_098_720)
    for item in other.items:
        west, south, east, north = item.bbox
        assert west < lon < east
        assert south < lat < north
    assert other.lakes.crs.to_epsg() == 32645
    assert other.of("sentinel-2-l2a")[0].properties["s2:mgrs_tile"].startswith("45R")
