"""Reference statistics of the simulated sensors, with limits wide enough for natural variation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.calendar import optical_passes, radar_passes
from simulator.coverage import cover
from simulator.light import horizon_excess, light, sun_position
from simulator.radar import LOOKS, speckle
from simulator.settings import Settings
from simulator.spectra import BACKSCATTER, BANDS, REFLECTANCE, palette
from tests.simulator.conftest import Archive, read, reflectance

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Samples:
    """Cloud-free pixels well inside each kind of ground."""

    water: dict[str, NDArray[np.float32]]
    ice: dict[str, NDArray[np.float32]]
    land: dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def samples(archive: Archive) -> Samples:
    """Reflectance of open water, frozen lakes and other ground, all seasons together."""
    found: dict[str, dict[str, list[NDArray[np.float32]]]] = {k: {} for k in ("water", "ice", "land")}
    for season in archive.settings.seasons:
        n = archive.settings.size
        masks = {"water": np.zeros((n, n), bool), "ice": np.zeros((n, n), bool)}
        anywhere = np.zeros((n, n), bool)
        for lake in archive.lakes[(archive.lakes["season"] == season)].itertuples():
            patch = cover(lake.geometry, archive.settings) if lake.area_m2 > 0 else None
            if patch is not None:
                anywhere[patch.rows, patch.cols] |= patch.share > 0
                inside = patch.share > 0.999
                masks["ice" if lake.state == "frozen" else "water"][patch.rows, patch.cols] |= inside
        masks["land"] = ~anywhere
        for item in archive.optical(season):
            cloudy = np.isin(read(item, "SCL"), (3, 8, 9, 10)).repeat(2, 0).repeat(2, 1)
            for band in ("B02", "B03", "B04", "B08", "B11"):
                values = reflectance(item, band)
                for kind, mask in masks.items():
                    found[kind].setdefault(band, []).append(values[mask & ~cloudy])
    return Samples(**{k: {b: np.concatenate(v) for b, v in bands.items()} for k, bands in found.items()})


def test_water_is_dark_in_the_infrared_and_varied_in_colour(samples: Samples) -> None:
    water = samples.water
    assert 250 < np.median(water["B03"]) < 1300
    assert np.quantile(water["B11"], 0.8) < 450
    assert np.median(water["B08"]) < 700
    assert np.quantile(water["B03"], 0.95) > 1.8 * np.quantile(water["B03"], 0.2)


def test_frozen_lakes_are_bright_and_dark_only_in_the_shortwave(samples: Samples) -> None:
    ice = samples.ice
    assert ice["B03"].size > 20
    assert np.median(ice["B03"]) > 1800
    assert np.median(ice["B11"]) < 0.4 * np.median(ice["B03"])


def test_an_index_alone_is_not_enough(samples: Samples) -> None:
    def ndwi(part: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.asarray((part["B03"] - part["B08"]) / np.maximum(part["B03"] + part["B08"], 1))

    lake, land = ndwi(samples.water), ndwi(samples.land)
    for threshold in (0.0, 0.1, 0.2):
        hits, false = (lake > threshold).sum(), (land > threshold).sum()
        assert hits / lake.size > 0.75
        assert hits / (hits + false) < 0.8


def test_backscatter_of_land_and_water(archive: Archive) -> None:
    n = archive.settings.size
    water, anywhere = np.zeros((n, n), bool), np.zeros((n, n), bool)
    season = archive.settings.seasons[0]
    for lake in archive.lakes[(archive.lakes["season"] == season)].itertuples():
        patch = cover(lake.geometry, archive.settings) if lake.area_m2 > 0 else None
        if patch is not None:
            anywhere[patch.rows, patch.cols] |= patch.share > 0
            if lake.state == "water":
                water[patch.rows, patch.cols] |= patch.share > 0.999
    for item in archive.of("sentinel-1-rtc")[:2]:
        vv, vh = (read(item, name) for name in ("vv", "vh"))
        ok = vv > 0
        land = 10 * np.log10([band[ok & ~anywhere].mean() for band in (vv, vh)])
        lake = 10 * np.log10([np.median(band[ok & water]) for band in (vv, vh)])
        assert -12 < land[0] < -5
        assert -19.5 < land[1] < -11
        assert -24 < lake[0] < -12
        assert land[0] - lake[0] > 3
        assert 4 < land[0] - land[1] < 10


def test_speckle_has_the_products_number_of_looks() -> None:
    drawn = speckle(np.random.default_rng(0), 600)
    assert drawn.mean() == pytest.approx(1.0, abs=0.01)
    assert 1 / drawn.var() == pytest.approx(LOOKS, rel=0.05)
    neighbours = np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]
    assert 0.1 < neighbours < 0.6


def test_lakes_fall_into_several_scene_classes(archive: Archive) -> None:
    seen: set[int] = set()
    for season in archive.settings.seasons:
        for lake in archive.lakes[
            (archive.lakes["season"] == season) & (archive.lakes["state"] == "water")
        ].itertuples():
            patch = cover(lake.geometry, archive.settings)
            assert patch is not None
            for item in archive.optical(season):
                classes = read(item, "SCL").repeat(2, 0).repeat(2, 1)[patch.rows, patch.cols]
                seen |= set(np.unique(classes[patch.share > 0.9]).astype(int))
    assert {2, 6} <= seen
    assert seen & {3, 11}


def test_every_surface_has_spectra() -> None:
    assert all(len(values) == len(BANDS) == 12 for values in REFLECTANCE.values())
    assert {name for name in REFLECTANCE if not name.startswith("water")} <= set(BACKSCATTER)
    one, other = palette(Settings(seed=1)), palette(Settings(seed=2))
    assert not np.allclose(one.optical["moraine"], other.optical["moraine"])
    for name, values in one.optical.items():
        np.testing.assert_allclose(values, REFLECTANCE[name], rtol=0.61)


def test_sun_positions_agree_with_almanacs() -> None:
    azimuth, elevation = sun_position(42.5, 172, 12.0)
    assert azimuth == pytest.approx(180, abs=0.5)
    assert elevation == pytest.approx(90 - 42.5 + 23.45, abs=0.1)
    azimuth, elevation = sun_position(42.5, 265, 10.5)
    assert 140 < azimuth < 160
    assert 40 < elevation < 46


def test_a_wall_casts_a_shadow_of_the_right_length() -> None:
    ground = np.zeros((80, 80), np.float32)
    ground[:, 60] = 200.0
    hidden = horizon_excess(ground, 90.0, 45.0) > 0  # sun in the east
    assert hidden[40, 60 - np.arange(1, 20)].all()
    assert not hidden[40, :39].any()
    assert not hidden[40, 61:].any()
    assert light(ground, 90.0, 45.0).direct[40, 20] == pytest.approx(1.0, abs=0.02)


def test_calendar_covers_baselines_and_sun() -> None:
    settings = Settings(seed=21)
    dates = optical_passes(settings)
    assert sum(d.offset == 0 for d in dates) == 1
    assert dates[0].offset == 0
    assert len({round(d.sun[1], 2) for d in dates}) == len(dates)
    assert {d.season for d in radar_passes(settings, dates)} == set(settings.seasons)
