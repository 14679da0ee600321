"""Landscapes, states of lakes and weather that only some seeds have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulator.archive import plan_passes
from simulator.calendar import OpticalPass
from simulator.clouds import season_skies
from simulator.coverage import cover
from simulator.lakes import cut_off, random_shape
from simulator.landscape import Landscape, landscape
from simulator.optical import render
from simulator.parcels import SURFACES, lay_out
from simulator.plan import plan_lakes
from simulator.radar import mean_power
from simulator.settings import Settings
from simulator.simulate import simulate
from simulator.spectra import BACKSCATTER, REFLECTANCE
from simulator.terrain import build_terrain
from simulator.valley import valley_water
from simulator.world import World, build_world
from tests.simulator.conftest import load, reflectance

pytestmark = pytest.mark.slow


def first_seed(size: int, **least: float) -> Settings:
    """Settings of the first seed from 800 on of which the landscape exceeds all of `least`."""
    for seed in range(800, 900):
        settings = Settings(seed=seed, size=size, seasons=(2022,))
        scenery = landscape(settings)
        if all(getattr(scenery, name) > value for name, value in least.items()):
            return settings
    raise AssertionError(f"no seed from 800 to 899 has {least}")


@pytest.fixture(scope="module")
def world() -> World:
    """Seed 21, 512 px, one season."""
    return build_world(Settings(seed=21, size=512, seasons=(2022,)))


def test_the_demo_has_no_lake_states_of_rare_landscapes() -> None:
    demo = landscape(Settings())
    assert demo.kind == "alpine"
    assert demo.basin == demo.half_frozen == demo.icebergs == 0


def test_landscapes_differ_between_seeds() -> None:
    many = [landscape(Settings(seed=seed)) for seed in range(200, 320)]
    kinds = [scenery.kind for scenery in many]
    assert 0.45 < kinds.count("alpine") / len(many) < 0.75
    assert {"gentle", "lowland"} <= set(kinds)
    for name in ("basin", "farmland", "town", "burnt", "half_frozen", "icebergs"):
        share = np.mean([getattr(scenery, name) > 0 for scenery in many])
        assert 0.1 < share < 0.75, name
    assert all(scenery.relief < 0.8 for scenery in many if scenery.kind != "alpine")


def test_real_relief_keeps_its_heights_and_gets_no_basin() -> None:
    for seed in range(200, 260):
        scenery = landscape(Settings(seed=seed, dem=Path("relief.tif")))
        assert (scenery.relief, scenery.lowered, scenery.basin) == (1.0, 0.0, 0.0)


def test_a_large_reservoir_fills_a_good_part_of_the_square() -> None:
    settings = first_seed(1024, basin=0.38)
    (basin,) = valley_water(settings, build_terrain(settings))
    outline = basin.outlines[0]
    assert basin.kind == "reservoir"
    assert outline is not None
    assert outline.is_valid
    assert outline.within(settings.square.buffer(1))
    assert outline.area > 0.25 * settings.square.area
    patch = cover(outline, settings)
    assert patch is not None
    inside = patch.share > 0.999
    whole = inside[: inside.shape[0] // 224 * 224, : inside.shape[1] // 224 * 224]
    assert whole.reshape(whole.shape[0] // 224, 224, -1, 224).all(axis=(1, 3)).any(), (
        "no view without a shore"
    )


def test_a_half_frozen_lake_has_the_outline_of_its_ice(tmp_path: Path) -> None:
    for seed in range(800, 900):
        settings = Settings(seed=seed, size=512, seasons=(2022,))
        if landscape(settings).half_frozen > 0.2:
            lakes, _ = plan_lakes(settings, build_terrain(settings))
            if any(lake.ice and lake.ice[0].area > 4e3 for lake in lakes if lake.ice):
                break
    simulate(settings, tmp_path)
    archive = load(tmp_path, settings)
    half = archive.lakes[archive.lakes["ice"].notna()]
    assert len(half)
    assert half["cases"].str.contains("half-frozen").all()
    assert (half["state"] == "water").all()
    for lake in half.itertuples():
        assert lake.ice.within(lake.geometry.buffer(0.01))
        assert lake.seen_share <= 1 - lake.ice.area / lake.area_m2 + 1e-6
    row = half.loc[half["ice"].area.idxmax()]
    frozen, open_water = (
        cover(part, settings)
        for part in (row["ice"].buffer(-10), row.geometry.difference(row["ice"].buffer(15)))
    )
    assert frozen is not None
    assert open_water is not None
    for item in archive.optical(2022):
        band, cloud = reflectance(item, "B03"), reflectance(item, "B11") > 1500
        bright, dark = (
            band[part.rows, part.cols][(part.share > 0.99) & ~cloud[part.rows, part.cols]]
            for part in (frozen, open_water)
        )
        if min(bright.size, dark.size) > 10:
            assert np.median(bright) > 1.3 * np.median(dark)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.75])
def test_a_part_that_is_cut_off_has_the_requested_share(share: float) -> None:
    rng = np.random.default_rng(3)
    lake = random_shape(rng, (0.0, 0.0), 0.4, 1.6).outline(5e4, 5e4)
    part = cut_off(lake, share, 1.1, rng)
    assert part is not None
    assert part.area == pytest.approx(share * lake.area, rel=0.03)
    assert part.centroid.x * np.cos(1.1) + part.centroid.y * np.sin(1.1) > 0


def test_icebergs_are_bright_spots_of_a_lake() -> None:
    settings = first_seed(512, icebergs=0.3)
    world = build_world(settings)
    number = next(k for k, lake in enumerate(world.lakes) if "icebergs" in lake.cases)
    plan = plan_passes(world)
    water = world.water[2022]
    own = water.pixels[(water.lake == number) & (water.share > 0.99)]
    scene = render(world, plan.optical[0], replace(plan.skies[0], opacity=0 * plan.skies[0].opacity))
    blue = scene.bands["B02"].ravel()[own].astype(float) - plan.optical[0].offset
    assert 0.005 < (blue > np.median(blue) + 800).mean() < 0.3


def test_a_storm_brightens_all_open_water(world: World) -> None:
    sight = plan_passes(world).radar[0]
    power = {
        storm: mean_power(world, replace(sight, wind=0.0, storm=storm), np.random.default_rng(1))
        for storm in (0.0, 1.0)
    }
    water = world.water[2022]
    open_water = water.pixels[(water.share > 0.99) & (water.ice == 0)]
    calm, rough = (10 * np.log10(np.median(power[s][0].ravel()[open_water])) for s in (0.0, 1.0))
    assert calm < -17
    assert -13 < rough < -6


def _median(world: World, date: OpticalPass) -> dict[str, float]:
    """Median reflectance x 10000 of every band over clear ground."""
    (sky,) = season_skies(world, [date], 2022)
    bands = render(world, date, replace(sky, shadow=0 * sky.shadow)).bands
    return {name: float(np.median(values)) for name, values in bands.items()}


def test_haze_is_blue_and_cirrus_is_white(world: World) -> None:
    date = replace(plan_passes(world).optical[0], haze=0.0, veil=0.0, cloud=0.0, number=0, haze_slope=2.0)
    clear = _median(world, date)
    hazy, veiled = (_median(world, replace(date, **change)) for change in ({"haze": 0.04}, {"veil": 0.09}))
    haze, veil = ({band: other[band] - clear[band] for band in clear} for other in (hazy, veiled))
    assert haze["B02"] > 1.3 * haze["B04"] > 4 * abs(haze["B12"])
    assert veil["B02"] > 50
    assert 0.5 < veil["B12"] / veil["B02"] < 1.5


def test_fields_and_towns_lie_on_gentle_ground_only() -> None:
    settings = Settings(seed=4, size=256)
    gentle = np.zeros((256, 256), bool)
    gentle[:, :128] = True
    scenery = Landscape("lowland", 0.3, 0.0, 0.8, 0.0, 0.9, 0.4, 0.0, 0.5, 0.0, 0.0)
    parcels = lay_out(settings, scenery, gentle, ~gentle)
    assert gentle.ravel()[parcels.pixels].all()
    assert parcels.pixels.size > 0.7 * gentle.sum()
    assert len(np.unique(parcels.kind)) > 5
    assert set(SURFACES) <= set(REFLECTANCE) & set(BACKSCATTER)
    burnt = lay_out(settings, replace(scenery, farmland=0.0, town=0.0, burnt=0.3), gentle, ~gentle)
    assert {SURFACES[k] for k in np.unique(burnt.kind)} == {"burnt"}
    assert not gentle.ravel()[burnt.pixels].any()
