"""Ground range products: geolocation by orbit and DEM, calibration, noise removal, invalid metadata."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pystac
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.features import rasterize
from rasterio.transform import GCPTransformer
from scipy.ndimage import gaussian_filter, shift

from monitor.archive import retries
from monitor.archive.catalog import FolderCatalog
from monitor.archive.freeze import freeze
from monitor.archive.profiles import CatalogProfile, read_profile
from monitor.archive.retries import fetch, tried
from monitor.archive.scenes import Scene
from monitor.errors import AssetError
from monitor.grid import geobox_at, pixel_at, tiles_of
from monitor.settings import SeasonWindow
from monitor.stack.acquire import acquire
from monitor.stack.annotation import ImageGeometry, read_calibration, read_geometry, read_noise
from monitor.stack.filters import lee
from monitor.stack.geoid import undulation
from monitor.stack.grd import check_measurement, image_positions, missing_assets, product_href, read_grd
from simulator.ground_range import amplitude_of_one, azimuth_noise, range_noise
from tests.support.httpserver import Answer, HttpServer, Request, serving
from tests.support.rasters import read
from tests.support.samples import recorded, sample
from tests.support.stacks import optical, radar

pytestmark = pytest.mark.slow

REAL_ANNOTATION = Path(__file__).parent / "data" / "s1b_iw_grdh_20210401_vv.xml"
PASSES = ("ascending", "descending")


@dataclass(frozen=True)
class Ground:
    """The simulated square with its radar scenes in ground range, and its ground truth."""

    folder: Path
    profile: CatalogProfile
    geobox: GeoBox
    dem: NDArray[np.float32]
    grd: dict[str, Scene]
    rtc: dict[str, Scene]

    def reflectors(self, direction: str) -> list[tuple[float, float]]:
        """Row and column of the pixel centres of the corner reflectors."""
        truth = json.loads((self.folder / "truth" / f"reflectors_{self.grd[direction].id}.json").read_text())
        places = [~self.geobox.affine @ (east, north) for east, north in truth["easting_northing"]]
        return [(row - 0.5, col - 0.5) for col, row in places]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("ground_range") / "archive"
    command = [sys.executable, "-m", "simulator", folder, "--size", "512", "--seasons", "2022", "--grd"]
    subprocess.run([*map(str, command), "--json"], check=True, capture_output=True, timeout=100)
    profile = read_profile("planetary-computer", Path()).model_copy(update={"signing": "none"})
    rtc = scenes(folder / "sentinel-1-rtc")
    square = rasterio.open(next((folder / "sentinel-2-l2a").rglob("*_B02_10m.tif")))
    row, col = pixel_at(square.transform.c, square.transform.f)
    geobox = geobox_at(square.crs.to_epsg(), row, col, square.shape)
    (height,) = scenes(folder / "cop-dem-glo-30").values()
    dem = read(height, {"keys": {"dem": "data"}, "nodata": None}, profile, geobox)["dem"]
    grd = scenes(folder / "sentinel-1-grd")
    assert set(grd) == set(rtc) == set(PASSES)
    return Ground(folder, profile.serving("grd"), geobox, dem, grd, rtc)


def scenes(folder: Path) -> dict[str, Scene]:
    found = {}
    for path in sorted(folder.rglob("*.json")):
        if path.name != "collection.json":
            item = pystac.Item.from_file(path)
            item.make_asset_hrefs_absolute()
            scene = scene_of(item)
            found[str(item.properties.get("sat:orbit_state"))] = scene
    return found


def scene_of(item: pystac.Item) -> Scene:
    content = item.to_dict(include_self_link=False, transform_hrefs=False)
    return Scene(item.id, item.collection_id or "", item.datetime, content)  # type: ignore[arg-type]


def geometry_of(scene: Scene) -> ImageGeometry:
    return read_geometry(Path(product_href(scene.item["assets"]["schema-product-vv"]["href"])).read_bytes())


def redirected(scene: Scene, asset: str, href: str | Path) -> Scene:
    """The scene with another address for one asset."""
    item = json.loads(json.dumps(scene.item))
    item["assets"][asset]["href"] = str(href)
    return replace(scene, item=item)


def brightest(image: NDArray[np.floating[Any]], row: float, col: float, reach: int) -> tuple[float, float]:
    """Offset (rows, columns) of the bright point near a place, by its centre of mass."""
    top, left = round(row), round(col)
    around = np.nan_to_num(image[top - reach : top + reach + 1, left - reach : left + reach + 1])
    y, x = np.unravel_index(around.argmax(), around.shape)
    near = around[y - 2 : y + 3, x - 2 : x + 3]
    assert near.shape == (5, 5), "the point lies at the edge of the window"
    mass = np.clip(near - np.median(around), 0, None)
    ys, xs = np.mgrid[-2:3, -2:3]
    at = top + y - reach + (mass * ys).sum() / mass.sum(), left + x - reach + (mass * xs).sum() / mass.sum()
    return at[0] - row, at[1] - col


def by_tie_points(points: list[Any], lon: Any, lat: Any) -> NDArray[np.float64]:
    """Lines and pixels (2, N) of places by a file's tie points alone: a thin-plate spline without relief."""
    with GCPTransformer(points, tps=True) as placed:
        lines, pixels = placed.rowcol(np.ravel(lon), np.ravel(lat), op=lambda v: v)
    return np.array([lines, pixels], np.float64)


@pytest.mark.parametrize("direction", PASSES)
def test_reflectors_are_at_their_positions(ground: Ground, direction: str) -> None:
    scene = ground.grd[direction]
    sigma = read_grd(scene, ground.profile, ground.geobox, ground.dem)[0]
    deviation = [np.hypot(*brightest(sigma, *place, reach=8)) for place in ground.reflectors(direction)]
    assert len(deviation) == 8 and max(deviation) < 1.0, f"pixels of 10 m: {np.round(deviation, 2)}"

    # the same places by the file's tie points, which assume flat ground
    cols, rows = np.meshgrid(np.arange(512) + 0.5, np.arange(512) + 0.5)
    degrees = Transformer.from_crs(str(ground.geobox.crs), 4326, always_xy=True)
    lon, lat = degrees.transform(*(ground.geobox.affine @ (cols, rows)))
    with rasterio.open(scene.item["assets"]["vv"]["href"]) as image:
        flat = by_tie_points(image.gcps[0], lon[::8, ::8], lat[::8, ::8]).reshape(2, 64, 64)
    true = np.stack(image_positions(geometry_of(scene), ground.geobox, ground.dem))[:, ::8, ::8]
    off = np.abs(flat - true + 0.5)[1]
    far = np.abs(ground.dem - ground.dem.mean())[::8, ::8]
    assert off[far > 300].min() > 20 and np.median(off[far < 20]) < 5


@pytest.mark.parametrize("direction", PASSES)
def test_shores_are_at_their_positions(ground: Ground, direction: str) -> None:
    power = read_grd(ground.grd[direction], ground.profile, ground.geobox, ground.dem, native=lee, reach=2)[0]
    lakes = gpd.read_parquet(ground.folder / "truth" / "lakes.parquet").to_crs(str(ground.geobox.crs))
    lakes = lakes[lakes.geometry.notna() & ~lakes.geometry.is_empty]
    water = rasterize(lakes.geometry, ground.geobox.shape, transform=ground.geobox.affine).astype(float)
    soft, dark = gaussian_filter(water, 1), -10 * np.log10(power)
    near = gaussian_filter(water, 4) > 0.02
    steps = range(-3, 4)

    def alike(rows: int, cols: int) -> float:
        return float(np.corrcoef(shift(soft, (rows, cols), order=1)[near], dark[near])[0, 1])

    fit = np.array([[alike(rows, cols) for cols in steps] for rows in steps])
    row, col = np.unravel_index(fit.argmax(), fit.shape)
    assert fit.max() > 0.5
    assert max(abs(row - 3), abs(col - 3)) <= 1, fit.round(2)


def test_a_stack_of_ground_range(ground: Ground) -> None:
    """From the catalogue to decibels, like the terrain-corrected scene of the same date."""
    area = gpd.read_file(ground.folder / "region.geojson").geometry.iloc[0]
    (tile,) = tiles_of(area, 512)
    stacks = {}
    for kind in ("grd", "rtc"):
        profile = read_profile("planetary-computer", Path()).serving(kind)
        listed = freeze(FolderCatalog(ground.folder), profile, area, SeasonWindow(), 2022).chosen
        assert {scene.collection for scene in listed.radar} == {f"sentinel-1-{kind}"}
        stacks[kind] = acquire(listed, profile, tile, 0)
    grd, rtc = stacks["grd"], stacks["rtc"]
    from_grd, from_rtc = radar(grd), radar(rtc)
    both = np.isfinite(from_grd).all(axis=0) & np.isfinite(from_rtc).all(axis=0) & ~rtc["layover"].to_numpy()
    assert both.mean() > 0.5
    # cos(incidence) makes one to two decibel between sigma and gamma nought
    assert np.median(from_grd[:, both] - from_rtc[:, both], axis=1) == pytest.approx([-1.5] * 2, abs=1.2)
    assert np.array_equal(optical(grd), optical(rtc), equal_nan=True)


def test_level_equals_that_of_the_terrain_corrected_scene(ground: Ground) -> None:
    """Sigma nought of level dry ground is gamma nought times the cosine of the incidence."""
    for direction in PASSES:
        sigma = read_grd(ground.grd[direction], ground.profile, ground.geobox, ground.dem)
        bands = {"keys": {"VV": "vv", "VH": "vh"}, "nodata": -32768}
        from_rtc = read(ground.rtc[direction], bands, ground.profile, ground.geobox)
        product = product_href(ground.grd[direction].item["assets"]["schema-product-vv"]["href"])
        angle = ElementTree.parse(product).findtext(".//incidenceAngleMidSwath", "")
        rise = np.hypot(*np.gradient(gaussian_filter(ground.dem, 2), 10.0))
        level = (rise < 0.08) & (gaussian_filter(from_rtc["VV"], 2) > 0.02)
        for row, col in ground.reflectors(direction):
            level[round(row) - 6 : round(row) + 7, round(col) - 6 : round(col) + 7] = False
        assert level.sum() > 5000
        for number, band in enumerate(("VV", "VH")):
            ratio = sigma[number][level].mean() / from_rtc[band][level].mean()
            assert ratio == pytest.approx(np.cos(np.radians(float(angle))), rel=0.1), (direction, band)


def test_noise_is_removed_as_annotated(ground: Ground, tmp_path: Path) -> None:
    """The same scene with all noise vectors at zero is brighter by noise / A^2 at each place."""
    scene = ground.grd["ascending"]
    noise = ElementTree.parse(scene.item["assets"]["schema-noise-vh"]["href"])
    for vector in noise.iterfind(".//noiseRangeLut"):
        vector.text = " ".join("0" for _ in (vector.text or "").split())
    noise.write(silent := tmp_path / "noise.xml")
    box = ground.geobox[200:264, 200:300]
    dem = ground.dem[200:264, 200:300]
    with_noise = read_grd(redirected(scene, "schema-noise-vh", silent), ground.profile, box, dem)[1]
    without = read_grd(scene, ground.profile, box, dem)[1]
    lines, pixels = (at - 0.5 for at in image_positions(geometry_of(scene), box, dem))
    expected = azimuth_noise(lines) * range_noise(pixels, 1) / amplitude_of_one(pixels) ** 2
    above = without > 0.01
    assert above.mean() > 0.5
    np.testing.assert_allclose((with_noise - without)[above], expected[above], rtol=0.01)
    assert (without >= np.float32(1e-4)).all(), "nothing is left at or below zero"


def test_noise_is_not_removed_twice(ground: Ground, tmp_path: Path) -> None:
    scene = ground.grd["ascending"]
    product = Path(product_href(scene.item["assets"]["schema-product-vv"]["href"]))
    done = tmp_path / "iw-vv.xml"
    flag = "<thermalNoiseCorrectionPerformed>{}</thermalNoiseCorrectionPerformed>"
    assert flag.format("false") in product.read_text()
    done.write_text(product.read_text().replace(flag.format("false"), flag.format("true")))
    box, dem = ground.geobox[300:340, 300:340], ground.dem[300:340, 300:340]
    kept = read_grd(redirected(scene, "schema-product-vv", done), ground.profile, box, dem)
    removed = read_grd(scene, ground.profile, box, dem)
    assert (kept > removed).mean() > 0.99


def test_a_pixel_does_not_depend_on_the_box(ground: Ground) -> None:
    scene, profile = ground.grd["descending"], ground.profile
    whole = read_grd(scene, profile, ground.geobox, ground.dem, native=lee, reach=2)
    for rows, cols in ((slice(97, 300), slice(33, 160)), (slice(0, 7), slice(500, 512))):
        part = read_grd(scene, profile, ground.geobox[rows, cols], ground.dem[rows, cols], lee, 2)
        np.testing.assert_array_equal(part, whole[:, rows, cols])


def test_no_backscatter_without_height_or_beyond_the_image(ground: Ground) -> None:
    scene, profile = ground.grd["descending"], ground.profile
    dem = ground.dem.copy()
    dem[:, :100] = np.nan
    sigma = read_grd(scene, profile, ground.geobox, dem)
    np.testing.assert_array_equal(np.isnan(sigma[0]), np.isnan(dem))
    elsewhere = ground.geobox.pad(0, 0).translate_pix(0, 9000)
    assert np.isnan(read_grd(scene, profile, elsewhere, ground.dem)).all()
    beside = ground.geobox.translate_pix(0, 256)
    sigma = read_grd(scene, profile, beside, ground.dem)
    assert np.isnan(sigma[:, 300:]).all(), "DN 0 beside the swath is not backscatter"


def test_only_the_window_is_read(ground: Ground, tmp_path: Path) -> None:
    """A broken block affects only tiles that need it; their error gives the place."""
    scene = ground.grd["descending"]
    source = Path(scene.item["assets"]["vv"]["href"])
    broken = tmp_path / "iw-vv.tiff"
    shutil.copy(source, broken)
    with rasterio.open(source) as image:
        offset, size = (
            int(image.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")
        )
    content = bytearray(broken.read_bytes())
    content[offset : offset + size] = b"\xff" * size
    broken.write_bytes(content)
    lines, pixels = image_positions(geometry_of(scene), ground.geobox, ground.dem)
    first_block = (lines < 128) & (pixels < 128)
    row, col = np.argwhere(first_block)[first_block.sum() // 2]
    clear = redirected(scene, "vv", broken)
    far = np.argwhere((lines > 300) & (pixels > 300))[1000]

    def around(place: NDArray[np.int64]) -> NDArray[np.float32]:
        rows, cols = (slice(max(at - 8, 0), min(at + 8, 512)) for at in place.tolist())
        return read_grd(clear, ground.profile, ground.geobox[rows, cols], ground.dem[rows, cols])

    assert np.isfinite(around(far)).any()
    with pytest.raises(AssetError, match=str(broken)) as caught:
        around(np.array([row, col]))
    assert (caught.value.item, caught.value.asset) == (scene.id, "vv")


def test_an_item_without_annotations_is_refused(ground: Ground) -> None:
    scene = ground.grd["ascending"]
    item = {**scene.item, "assets": {k: v for k, v in scene.item["assets"].items() if "noise" not in k}}
    with pytest.raises(AssetError, match="schema-noise-vv, schema-noise-vh") as caught:
        read_grd(replace(scene, item=item), ground.profile, ground.geobox, ground.dem)
    assert caught.value.item == scene.id


@pytest.mark.parametrize(
    ("asset", "replacement", "reason"),
    [
        ("schema-product-vv", "gone", "No such file"),
        ("schema-calibration-vh", "not xml", "syntax error"),
        ("schema-noise-vv", "<noise/>", "has no noise vectors"),
        ("schema-product-vv", "<rfi/>", "not a product annotation: its root is <rfi>"),
        ("vh", "another pass", "lines and pixels, its annotation says"),
        ("vv", "terrain corrected", "a transform of its own"),
    ],
)
def test_invalid_metadata_are_named(
    ground: Ground, tmp_path: Path, asset: str, replacement: str, reason: str
) -> None:
    scene = ground.grd["ascending"]
    other = tmp_path / "file"
    if replacement == "another pass":
        other = Path(ground.grd["descending"].item["assets"][asset]["href"])
    elif replacement == "terrain corrected":
        other = Path(ground.rtc["ascending"].item["assets"][asset]["href"])
    elif replacement != "gone":
        other.write_text(replacement)
    with pytest.raises(AssetError, match=reason) as caught:
        read_grd(redirected(scene, asset, other), ground.profile, ground.geobox, ground.dem)
    assert (caught.value.item, caught.value.asset, caught.value.href) == (scene.id, asset, str(other))


def test_tie_points_must_agree_with_the_annotation(ground: Ground, tmp_path: Path) -> None:
    """An annotation whose clock is off by a twentieth of a second would move the scene by 370 m."""
    scene = ground.grd["ascending"]
    geometry = geometry_of(scene)
    with rasterio.open(scene.item["assets"]["vv"]["href"]) as image:
        check_measurement(image, geometry)
        late = replace(geometry, first_line=geometry.first_line + np.timedelta64(50, "ms"))
        with pytest.raises(ValueError, match=r"tie points lie up to 3\d\.\d pixels from where"):
            check_measurement(image, late)


def test_other_products_are_refused() -> None:
    xml = REAL_ANNOTATION.read_text().replace("<numberOfLooks>5<", "<numberOfLooks>6<")
    with pytest.raises(ValueError, match="6 x 1 looks, IW GRDH has 5 x 1"):
        read_geometry(xml.encode())


def test_real_annotation_reproduces_the_processors_tie_points() -> None:
    """Real S1B annotation of the Eastern Alps: ESA's lines and pixels of places up to 2600 m high."""
    xml = REAL_ANNOTATION.read_bytes()
    geometry = read_geometry(xml)
    assert geometry.shape == (16685, 25788) and not geometry.denoised
    names = ("longitude", "latitude", "height", "line", "pixel")
    points = ElementTree.fromstring(xml).findall(".//geolocationGridPoint")
    lon, lat, height, line, pixel = np.array([[float(p.findtext(n, "")) for n in names] for p in points]).T
    assert len(points) == 50 and height.max() > 2000
    space = Transformer.from_crs(4979, 4978, always_xy=True)

    def deviation(metres: NDArray[np.float64]) -> NDArray[np.float64]:
        places = np.stack(space.transform(lon, lat, metres))
        return np.stack(geometry.locate(places[:, :, None]))[:, :, 0] - (line, pixel)

    lines, pixels = deviation(height)
    assert np.abs(lines).max() < 0.25
    # the processor's tie points use the nearest range polynomial, the image is between two of them
    assert np.abs(pixels).max() < 1.6 and abs(pixels.mean()) < 0.1
    # 49 m of geoid, if it were ignored
    _, forgotten = deviation(height + undulation(lon, lat))
    assert -9 < forgotten.mean() < -4


def test_real_calibration_of_both_layouts() -> None:
    """Values read from the files: vectors at lines 0 and 5325, pixels 0 and 1560."""
    new = read_calibration(sample("stac/sar_annex/titiler-openeo_calibration_ipf290.xml").read_bytes())
    assert new.at(np.array([0.0]), np.array([0.0, 1560.0]))[0] == pytest.approx([632.8027, 622.8287])
    assert new.at(np.array([2000.0]), np.array([780.0])).item() == pytest.approx((632.8027 + 622.8287) / 2)
    old = read_calibration(sample("stac/sar_annex/titiler-openeo_calibration_legacy.xml").read_bytes())
    assert old.at(np.array([4694.0]), np.array([1560.0, 23400.0]))[0] == pytest.approx([651.3908, 563.0687])


def test_real_noise_of_both_layouts() -> None:
    new = read_noise(sample("stac/sar_annex/titiler-openeo_noise_ipf290.xml").read_bytes())
    assert len(new.azimuth) == 5
    # range vector 1178.921 at line 0, pixel 0; azimuth factor of IW1 there 1.095119
    assert new.at(np.array([0.0]), np.array([0.0])).item() == pytest.approx(1178.921 * 1.095119)
    # pixel 9552 lies in IW2, whose factor at line 0 is 1.004019
    assert new.at(np.array([0.0]), np.array([9552.0])).item() == pytest.approx(533.4625 * 1.004019)
    # half way between the vectors of lines 0 and 5328; IW1's factor at line 2664 between lines 2530 and 5070
    factor = 1.014538 + (1.019685 - 1.014538) * (2664 - 2530) / (5070 - 2530)
    half = new.at(np.array([2664.0]), np.array([1600.0])).item()
    assert half == pytest.approx((835.1952 + 837.2875) / 2 * factor)
    # the fourth block: IW2 again, beyond line 20309; the range table is constant after its last vector
    assert new.azimuth[3].lines == slice(20309, 20943)

    old = read_noise(sample("stac/sar_annex/titiler-openeo_noise_legacy.xml").read_bytes())
    assert old.azimuth == ()
    assert old.at(np.array([0.0]), np.array([0.0, 9312.0]))[0] == pytest.approx([1606.331, 779.9833])
    # its vectors have different pixels: 9312 in the first, 9313 in the second at line 4697
    assert old.at(np.array([4697.0]), np.array([9313.0])).item() == pytest.approx(769.3961)
    assert old.at(np.array([2348.5]), np.array([0.0])).item() == pytest.approx((1606.331 + 1591.548) / 2)


def test_a_real_file_with_tie_points_is_refused_as_a_raster(ground: Ground) -> None:
    """A real GRD, reduced: refused as a raster and as the image of another annotation."""
    path = sample("stac/rasters/riotiler_cog_gcps.tif")
    item = pystac.Item(
        "S1A_20180716",
        shapely.geometry.mapping(ground.geobox.geographic_extent.geom),
        None,
        ground.grd["ascending"].datetime,
        {},
    )
    item.add_asset("vv", pystac.Asset(str(path)))
    with pytest.raises(AssetError, match="no coordinate reference system, only 210 ground control points"):
        read(scene_of(item), {"keys": {"VV": "vv"}, "nodata": 0}, ground.profile, ground.geobox)
    with rasterio.open(path) as image:
        with pytest.raises(ValueError, match=r"\(837, 1280\) lines and pixels, its annotation says"):
            check_measurement(image, geometry_of(ground.grd["ascending"]))
        points = image.gcps[0]
    # every second tie point predicts the others: the order of rows, columns and degrees is correct
    held = points[1::2]
    found = by_tie_points(points[::2], [p.x for p in held], [p.y for p in held])
    deviation = np.hypot(*(found - np.array([[p.row for p in held], [p.col for p in held]])))
    assert len(held) == 105 and deviation.max() < 1.0


def test_the_interference_report_is_not_the_product_annotation() -> None:
    """The assets that recorded items list as the product annotation, and the asset that is one."""
    listed: dict[str, str] = {}
    names = (
        "pc/pc_sentinel-1-grd.json",
        "earthsearch/es-v1_sentinel-1-grd.json",
        "stactools/sentinel1-grd_S1A_IW_GRDH_1SDV_20210809T173953.json",
    )
    for name in names:
        for item in recorded(name):
            for key, asset in item.assets.items():
                if key.startswith("schema-product-"):
                    listed[asset.href] = product_href(asset.href)
    assert sum("/rfi/" in href for href in listed) == 10 and len(listed) == 13
    for product in listed.values():
        folder, _, name = product.rpartition("/")
        assert folder.endswith("/annotation") and not name.startswith("rfi")
    moved = next(new for old, new in listed.items() if old.endswith("20250312T052236_20250312T052301_058267_073394_B8B7/annotation/rfi/rfi-iw-vv.xml"))  # fmt: skip # noqa: E501
    assert moved.endswith("_B8B7/annotation/iw-vv.xml")


def test_missing_assets_of_recorded_items_are_named() -> None:
    radar = read_profile("planetary-computer", Path()).serving("grd").radar
    wide, dual = recorded("pc/pc_sentinel-1-grd.json")
    assert missing_assets(dual.assets, radar) == ()
    assert missing_assets(wide.assets, radar) == (
        "vv", "schema-product-vv", "schema-calibration-vv", "schema-noise-vv",
        "vh", "schema-product-vh", "schema-calibration-vh", "schema-noise-vh",
    )  # fmt: skip


def test_geoid_is_egm96() -> None:
    """Places and values published by the NGA with its program (F477), metres."""
    published = [
        (38.628155, 269.779155, -31.628), (-14.621217, 305.021114, -2.969), (46.874319, 102.448729, -43.575),
        (-23.617446, 133.874712, 15.871), (38.625473, 359.999500, 50.066), (-0.466744, 0.002300, 17.329),
    ]  # fmt: skip
    lat, lon, metres = np.array(published).T
    assert np.abs(undulation(lon, lat) - metres).max() < 0.2
    assert np.abs(undulation(lon - 360, lat) - metres).max() < 0.2


def test_reading_annotations_is_retried(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy server, a truncated response, then the file; and a missing file."""
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.01)
    answers = [Answer(503), Answer(200, b"<noise/>", fault=("cut", 3)), Answer(200, b"<noise/>")]
    item = ground.grd["ascending"].id

    def answer(request: Request) -> Answer:
        return Answer(404) if request.path == "/gone" else answers.pop(0)

    with serving(HttpServer(answer)) as server:
        assert (
            tried(item, ("schema-noise-vv", f"{server.url}/noise.xml"), ground.profile, fetch) == b"<noise/>"
        )
        assert len(server.requests) == 3
        with pytest.raises(AssetError, match=r"schema-noise-vv at http://[^ ]*/gone cannot be read: HTTP 404") as error:  # fmt: skip # noqa: E501
            tried(item, ("schema-noise-vv", f"{server.url}/gone?sig=secret"), ground.profile, fetch)
        assert "secret" not in str(error.value)
        assert len(server.requests) == 3 + retries.TRIES_ABSENT
