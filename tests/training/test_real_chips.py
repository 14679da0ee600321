"""Real scenes as chips: conventions, labels by evidence, and the split by place."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from segmenter.indices import GREEN, NEAR_INFRARED, SHORT_WAVE, mndwi, ndwi
from segmenter.manifest import OPTICAL_BANDS
from tests.support.places import SAMPLES
from tests.support.samples import sample
from training.chip_files import Chip, ChipFiles
from training.errors import TrainingError
from training.labels import FULL, IGNORED
from training.real import bigearthnet, dsen2, eotdl, glacier_points, sen1floods11, terramesh, ukis
from training.real.atmosphere import surface
from training.real.evidence import by_indices
from training.real.making import ADAPTERS, make_real_chips, places, real_chips
from training.real.native import stretch
from training.real.places import cluster
from training.real.split import split_places

#: reflectance x 10000 of the 12 bands, from the classes of the USGS glacier points and common soils
LAKE = (885, 1118, 1656, 1052, 813, 397, 362, 287, 206, 567, 114, 109)
CLEAR_SEA = (300, 280, 260, 120, 90, 60, 60, 50, 40, 40, 20, 15)
ROCK = (918, 1024, 1504, 1560, 1689, 1615, 1813, 1668, 1710, 2293, 2189, 2222)
GRASS = (300, 400, 700, 500, 1100, 2600, 3100, 3300, 3400, 3500, 1900, 900)
SNOW = (7200, 8094, 8324, 8288, 8517, 7926, 7294, 6941, 6612, 6466, 186, 165)
SHADED_SNOW = (5604, 4656, 4052, 3286, 3172, 2966, 2649, 2320, 2260, 3012, 99, 95)
ICE = (3245, 3458, 3552, 3375, 3435, 3049, 2673, 2412, 2272, 2420, 139, 133)
SHADE = (500, 400, 300, 250, 260, 300, 320, 320, 320, 320, 250, 150)
ROOF = (1500, 1600, 1700, 1800, 1850, 1900, 1950, 1900, 1950, 2000, 2200, 2100)
CLOUD = (5000, 5100, 5000, 5100, 5200, 5200, 5300, 5300, 5300, 5400, 3500, 2500)
THIN_CLOUD_OVER_SEA = (1500, 1450, 1400, 1350, 1300, 1250, 1200, 1200, 1200, 1200, 1050, 800)
ALGAE = (300, 350, 700, 500, 900, 1800, 2000, 2100, 2100, 2100, 200, 100)


def flat(spectrum: tuple[int, ...], size: int = 20) -> np.ndarray:
    return np.repeat(np.array(spectrum, np.float32), size * size).reshape(12, size, size)


@pytest.mark.parametrize(
    ("spectrum", "label"),
    [(LAKE, FULL), (CLEAR_SEA, FULL), (ROCK, 0), (GRASS, 0), (ROOF, 0)]
    + [(s, IGNORED) for s in (SNOW, SHADED_SNOW, ICE, SHADE, CLOUD, THIN_CLOUD_OVER_SEA, ALGAE)],
)
def test_only_spectra_beyond_doubt_are_labelled(spectrum: tuple[int, ...], label: int) -> None:
    assert (by_indices(flat(spectrum), cloudy=True) == (IGNORED if spectrum is ROOF else label)).all()
    if spectrum not in (CLOUD, THIN_CLOUD_OVER_SEA):
        assert (by_indices(flat(spectrum)) == label).all()


def test_shores_ships_and_missing_pixels_are_unknown() -> None:
    scene = flat(CLEAR_SEA, 40)
    scene[:, :, 20:] = flat(GRASS, 40)[:, :, 20:]
    scene[:, 10, 10] = ROOF  # a ship
    scene[:, 30, 30] = np.nan
    labels = by_indices(scene)
    assert (labels[:, 19:21] == IGNORED).all()
    assert (labels[0:5, :19] == FULL).all() and (labels[0:5, 21:] == 0).all()
    assert (labels[9:12, 9:12] == IGNORED).all() and labels[8, 10] == FULL
    assert (labels[29:32, 29:32] == IGNORED).all() and labels[28, 30] == 0


def test_ground_near_a_cloud_is_unknown_and_a_white_roof_is_not_a_cloud() -> None:
    scene = flat(GRASS, 60)
    scene[:, :15, :15] = flat(CLOUD, 15)
    scene[:, 40, 40] = CLOUD
    labels = by_indices(scene, cloudy=True)
    assert (labels[:18, :18] == IGNORED).all() and (labels[:24, :12] == IGNORED).all()
    assert labels[0, 30] == 0 and labels[40, 43] == 0 and labels[40, 40] == IGNORED


def test_rayleigh_scattering_is_removed_and_vapour_is_missing() -> None:
    """Over a lake at 45 degrees, the corrected blue is nearer to the surface than that of L1C."""
    above = flat((1644, 1620, 1666, 1155, 929, 650, 615, 503, 434, 228, 151, 120), 2)  # medians of L1C
    below = surface(above)
    assert np.isnan(below[OPTICAL_BANDS.index("B09")]).all()
    others = [band for band in range(12) if band != OPTICAL_BANDS.index("B09")]
    errors = [np.abs(image[others, 0, 0] - np.array(LAKE)[others]) for image in (above, below)]
    assert errors[1].mean() < 0.5 * errors[0].mean()
    assert (np.diff((above - below)[others[:10], 0, 0][:4]) < 0).all(), "less in longer waves"


def test_coarse_bands_are_stretched_as_the_product_does() -> None:
    ramp = np.arange(6, dtype=np.float32)[None].repeat(4, axis=0)
    fine = stretch(ramp, (8, 12), 2)
    assert fine[0, :4] == pytest.approx([0, 0.25, 0.75, 1.25]), "between the centres of coarse pixels"
    assert stretch(ramp, (24, 36), 6).mean() == pytest.approx(ramp.mean())
    moved = stretch(ramp, (8, 12), 2, (0, -1))
    assert moved[0, :3] == pytest.approx([0.25, 0.75, 1.25])
    assert np.isnan(moved[:, 11]).all() and np.isfinite(moved[:, :11]).all()


def test_a_third_of_each_class_is_test_for_good() -> None:
    grounds = {f"coast {n}": "coast" for n in range(7)} | {f"river {n}": "river" for n in range(2)}
    splits = split_places(grounds | {"the only desert": "desert"})
    assert sum(splits[place] == "test" for place in grounds if grounds[place] == "coast") == 3
    assert sum(splits[place] == "test" for place in grounds if grounds[place] == "river") == 1
    assert splits["the only desert"] == "test"
    shuffled = dict(sorted(grounds.items(), reverse=True)) | {"the only desert": "desert"}
    assert split_places(shuffled) == splits


def test_chips_of_one_ground_are_one_place() -> None:
    middles = [
        (10.90, 56.40),
        (10.93, 56.41),
        (10.97, 56.41),
        (11.30, 56.41),
    ]  # the third by way of the second
    found = cluster(middles, "baltic")
    assert found[0] == found[1] == found[2] == "baltic 10.93E 56.41N"
    assert found[3] == "baltic 11.30E 56.41N"
    assert cluster([(-72.5, -38.8)], "chile") == ["chile 72.50W 38.80S"]


def write(path: Path, values: np.ndarray, crs: int, nodata: float | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    step = 10 if crs > 30000 else 1e-4
    transform = from_origin(600000 if crs > 30000 else 10.0, 6000000 if crs > 30000 else 55.0, step, step)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=values.shape[1],
        width=values.shape[2],
        count=len(values),
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as file:
        file.write(values)


def lake_in_grass() -> np.ndarray:
    scene = flat(GRASS, 24)
    scene[:, 4:16, 4:16] = flat(LAKE, 12)
    return scene.astype(np.int16)


def test_terramesh_loses_its_offset_and_keeps_its_radar(tmp_path: Path) -> None:
    scene = lake_in_grass()
    for name, (_, _, _, offset) in terramesh.TILES.items():
        optical = scene - np.int16(offset)
        optical[:, 23, 23] = 0  # no data
        for kind, values in (
            ("S2L2A", optical),
            ("S1RTC", np.full((2, 24, 24), -17.5, np.float32)),
            ("DEM", np.full((1, 24, 24), 4100, np.int16)),
        ):
            write(tmp_path / "terramesh" / kind / f"{name}.tif", values, 32718)
    for chip in terramesh.chips(tmp_path):
        assert chip.optical is not None and chip.radar is not None and chip.dem is not None
        assert np.isnan(chip.optical[:, 23, 23]).all()
        assert np.array_equal(chip.optical[:, :20, :20], scene[:, :20, :20].astype(np.float16))
        assert (chip.labels[5:15, 5:15] == FULL).all() and (chip.labels[:3] == 0).all()
        assert (chip.epsg, chip.left, chip.top, chip.pixel) == (32718, 600000, 6000000, 10)
        assert chip.radar[0, 0, 0] == -17.5 and chip.dem[0, 0] == 4100


def test_eotdl_has_no_offset_and_eurosat_another_order(tmp_path: Path) -> None:
    folder = tmp_path / "real" / "eotdl"
    scene = lake_in_grass()
    scene[:, 20, 20] = 0
    scene[[6, 7, 8, 10, 11], 10, 10] = 0  # as over water, where values below 0 were cut off
    write(folder / "baltic_coast" / "ship_1_2022-08-12.tif", scene, 4326)
    write(folder / "jaca" / "Jaca_1_2020-01-09.tif", scene, 4326)
    by_name = dict(zip(OPTICAL_BANDS, flat(GRASS, 16), strict=True)) | {"B10": np.full((16, 16), 9)}
    patch = np.stack([by_name[band] for band in eotdl.EUROSAT_ORDER]).astype(np.uint16)
    write(folder / "eurosat13" / "Forest_1.tif", patch, 32632)
    coast, town, forest = eotdl.chips(tmp_path)
    assert coast.optical is not None and forest.optical is not None
    assert (
        coast.place == "baltic 10.00E 55.00N" and coast.ground == "coast" and coast.day == date(2022, 8, 12)
    )
    assert coast.labels[10, 10] == FULL and np.isfinite(coast.optical[:, 10, 10]).all()
    assert coast.labels[20, 20] == IGNORED and np.isnan(coast.optical[:, 20, 20]).all()
    assert coast.epsg == 4326 and coast.pixel == pytest.approx(1e-4)
    assert town.labels[10, 10] == IGNORED, "the class of the ground does not overrule the evidence of a pixel"
    assert town.labels[0, 0] == 0 and town.ground == "winter town"
    assert (forest.labels == 0).all() and "L1C" in forest.source
    assert np.isnan(forest.optical[OPTICAL_BANDS.index("B09")]).all()
    far = [OPTICAL_BANDS.index(band) for band in ("B8A", "B11", "B12")]
    assert forest.optical[far, 0, 0].astype(float) == pytest.approx(np.array(GRASS)[far], rel=0.02)


def test_cloud_is_unknown_and_its_shadow_is_dry(tmp_path: Path) -> None:
    folder = tmp_path / "real" / "ukis_csmask"
    folder.mkdir(parents=True)
    mask = np.full((20, 20, 1), ukis.LAND, np.uint8)
    mask[:5], mask[10:15], mask[18, 18] = 4, ukis.SHADOW, 1
    np.savez(folder / "sentinel2.npz", img=np.full((20, 20, 6), 0.3, np.float32), msk=mask)
    (chip,) = ukis.chips(tmp_path)
    assert chip.optical is not None
    assert (chip.labels[:6] == IGNORED).all() and (chip.labels[6:17] == 0).all()
    assert (chip.labels[17:20, 17:20] == IGNORED).all()
    missing = {band for band, plane in zip(OPTICAL_BANDS, chip.optical, strict=True) if np.isnan(plane).all()}
    assert missing == {"B01", "B05", "B06", "B07", "B8A", "B09"}


def test_the_hand_made_mask_of_a_flood_is_kept_for_tests(tmp_path: Path) -> None:
    folder = tmp_path / "sen1floods11"
    optical = np.insert(lake_in_grass(), sen1floods11.CIRRUS, 5, axis=0)
    optical[:, 0, 0] = 0
    mask = np.zeros((1, 24, 24), np.int16)
    mask[:, 4:16, 4:16], mask[:, 20:] = 1, -1
    write(folder / "Spain_7370579_S2Hand.tif", optical, 4326, nodata=0)
    write(folder / "Spain_7370579_LabelHand.tif", mask, 4326)
    (chip,) = real_chips(tmp_path)
    assert chip.optical is not None
    assert chip.split == "test" and chip.sensors == ("S2L2A",)
    assert (chip.labels[4:16, 4:16] == FULL).all() and (chip.labels[20:] == IGNORED).all()
    assert chip.labels[0, 0] == IGNORED and chip.labels[0, 1] == 0
    short = chip.optical[SHORT_WAVE].astype(float)
    assert short[0, 1] == pytest.approx(GRASS[SHORT_WAVE], rel=0.02), "B10 is left out, B11 kept"


def test_native_bands_of_bigearthnet_come_onto_one_grid(tmp_path: Path) -> None:
    coarse = {"B01": 6, "B09": 6} | dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 2)
    for patch in bigearthnet.PATCHES:
        for band, value in zip(OPTICAL_BANDS, GRASS, strict=True):
            size = 120 // coarse.get(band, 1)
            values = np.full((1, size, size), value, np.uint16)
            write(tmp_path / "bigearthnet" / patch / f"{patch}_{band}.tif", values, 32629)
    summer, winter = bigearthnet.chips(tmp_path)
    assert summer.optical is not None and summer.optical.shape == (12, 120, 120)
    assert np.array_equal(summer.optical[:, 60, 60], np.array(GRASS, np.float16))
    assert (summer.labels == 0).all() and summer.pixel == 10
    assert (summer.day, winter.day) == (date(2017, 6, 17), date(2017, 12, 21))


def test_native_bands_of_dsen2_are_ordered_and_moved_together(tmp_path: Path) -> None:
    folder = tmp_path / "real" / "dsen2"
    folder.mkdir(parents=True)
    value = dict(zip(OPTICAL_BANDS, (2000, 1500, 1400, 1300, *GRASS[4:]), strict=True))
    planes = {
        metres: np.stack([np.full((360 // metres, 480 // metres), value[band]) for band in order])
        for metres, order in dsen2.ORDERS.items()
    }
    for metres, plane in planes.items():
        np.save(folder / f"data_{metres}.npy", np.moveaxis(plane, 0, -1).astype(np.uint16))
    with h5py.File(folder / "S2B_MSIL1C_20171022_T49JGM.mat", "w") as file:
        for metres, plane in planes.items():
            file[f"im{metres}"] = np.swapaxes(plane, 1, 2).astype(np.float32)
    gulf, australia = dsen2.chips(tmp_path)
    assert gulf.labels.shape == (32, 43), (
        "rows and columns that the moved bands of 60 m do not reach are gone"
    )
    assert australia.optical is not None and australia.labels.shape == (36, 48)
    toa = np.array([value[band] for band in OPTICAL_BANDS], np.float32)[:, None, None]
    others = [band for band in range(12) if OPTICAL_BANDS[band] != "B09"]
    assert australia.optical[others, 5, 5] == pytest.approx(surface(toa)[others, 0, 0], rel=1e-3)
    assert np.isnan(australia.optical[OPTICAL_BANDS.index("B09")]).all()


def test_points_of_glaciers_are_for_tests_only(tmp_path: Path) -> None:
    folder = tmp_path / "real" / "glacier_points_usgs"
    folder.mkdir(parents=True)
    rows = [("Alpha", 20210704, 5, LAKE), ("Alpha", 20210704, 5, LAKE), ("Alpha", 20210704, 1, SNOW)]
    lines = [f"{site},{day},{kind},{','.join(str(v / 10000) for v in s)}" for site, day, kind, s in rows]
    lines.append("Alpha,20210704,4," + ",".join([""] * 12))
    head = "site_name,image_date,class," + ",".join(glacier_points.COLUMNS)
    (folder / "Sentinel-2_SR_training_data.csv").write_text("\n".join([head, *lines]))
    snow, lake = real_chips(tmp_path)
    assert (snow.split, lake.split, lake.place, lake.day) == (
        "test",
        "test",
        "glacier Alpha",
        date(2021, 7, 4),
    )
    assert (snow.ground, lake.ground) == ("points: snow", "points: proglacial lake")
    assert set(np.unique(snow.labels)) == {0, IGNORED} and set(np.unique(lake.labels)) == {FULL, IGNORED}
    assert (lake.labels == FULL).sum() == 2 * glacier_points.MIDDLE**2
    assert lake.optical is not None and lake.optical[2, 16, 16] == LAKE[2]


def test_a_folder_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has none of terramesh"):
        make_real_chips(tmp_path, tmp_path / "chips")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ChipFiles:
    for name in ADAPTERS:
        sample(name)
    return make_real_chips(SAMPLES, tmp_path_factory.mktemp("real") / "chips")


def test_the_samples_become_chips_of_which_a_third_of_the_places_is_test(made: ChipFiles) -> None:
    table = made.table
    table = table[~table["ground"].str.startswith(glacier_points.POINTS)]
    by_place = table.groupby("place").agg(split=("split", "first"), ground=("ground", "first"))
    assert len(table) >= 91 and len(by_place) >= 50
    assert (by_place["split"] == "test").mean() >= 1 / 3
    assert set(by_place["ground"]) == set(by_place.loc[by_place["split"] == "test", "ground"])
    assert set(eotdl.BALTIC) <= set(by_place.index), "every place that is named by hand exists"
    assert by_place.loc[sen1floods11.PLACE, "split"] == "test"
    trained = set(table["licence"][table["split"] == "train"])
    assert trained == {module.LICENCE for module in (bigearthnet, dsen2, eotdl, terramesh)} - {
        bigearthnet.LICENCE
    }
    assert (table["known_pixels"] > 0.5 * table["height"] * table["width"]).mean() > 0.95


def test_the_places_are_those_of_the_documentation(made: ChipFiles) -> None:
    page = Path(__file__).parents[2] / "docs" / "real-scenes.md"
    assert places(made) in page.read_text()


def test_no_ground_of_a_test_place_is_trained_on(made: ChipFiles) -> None:
    """No two georeferenced chips of different splits overlap."""
    table = made.table[made.table["epsg"] == 4326].reset_index()
    chips = [made[index] for index in table["index"]]
    boxes = [(c.left, c.top, c.labels.shape[1] * 2e-4, c.labels.shape[0] * 1e-4, c.split) for c in chips]
    for left, top, width, height, split in boxes:
        for other_left, other_top, _, _, other in boxes:
            if split != other:
                assert abs(left - other_left) > width or abs(top - other_top) > height


def test_real_spectra_of_labelled_water_and_land_are_as_physics_says(made: ChipFiles) -> None:
    for index in range(len(made)):
        chip: Chip = made[index]
        assert chip.optical is not None
        if chip.source.startswith(("Sen1Floods11", "ukis", "USGS")):
            continue  # labelled by hand
        optical = chip.optical.astype(np.float32)
        near = optical[NEAR_INFRARED]
        water, dry = chip.labels == FULL, chip.labels == 0
        assert (near[water] <= 1100).all()
        if dry.any():
            both = (ndwi(optical[GREEN], near) > 0.1) & (mndwi(optical[GREEN], optical[SHORT_WAVE]) > 0.2)
            assert (both & dry).sum() < 0.002 * dry.sum(), chip.name
