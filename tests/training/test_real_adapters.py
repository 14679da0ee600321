"""Conventions of the data sets of real scenes, on tiny files made in their form."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from segmenter.indices import SHORT_WAVE
from segmenter.manifest import OPTICAL_BANDS
from tests.support.spectra import GRASS, LAKE, SNOW, flat
from training.labels import FULL, IGNORED
from training.real import bigearthnet, dsen2, eotdl, glacier_points, sen1floods11, terramesh, ukis
from training.real.atmosphere import surface
from training.real.making import real_chips


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
