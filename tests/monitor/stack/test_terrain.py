"""Shadow, layover and radar shadow: geometry solved by hand, and relief compared with ray tracing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pyproj
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter, map_coordinates

from monitor.archive.resampling import bilinear, places
from monitor.grid import NORTHING_ORIGIN, geobox_at, pixel_at
from monitor.stack.sight import Sight, convergence
from monitor.stack.terrain import REACH, radar_hidden, relief_geobox, terrain_shadow
from simulator.calendar import optical_passes, radar_passes
from simulator.light import gradient, light
from simulator.settings import PAD, Settings
from simulator.world import build_world
from tests.support.samples import sample

EPSG = 32643
#: near the central meridian, where grid north is true north; the corner of a block of one sun direction
ROW, COL = 147 * 4096, 12 * 4096
Field = NDArray[np.float64]
Relief = Callable[[Field, Field], Field]


def centres(box: GeoBox) -> tuple[Field, Field]:
    """Easting and northing of every pixel's centre."""
    rows, cols = np.indices(box.shape) + 0.5
    return box.affine.c + cols * box.affine.a, box.affine.f + rows * box.affine.e


def place(box: GeoBox) -> tuple[float, float]:
    """Longitude and latitude of the centre of a box."""
    to_degrees = pyproj.Transformer.from_crs(EPSG, 4326, always_xy=True)
    middle = box.boundingbox
    x, y = (middle.left + middle.right) / 2, (middle.bottom + middle.top) / 2
    return to_degrees.transform(x, y)


def heights_of(box: GeoBox, shape: Relief) -> tuple[Field, GeoBox]:
    """A relief given as a function of metres east and north of the centre of `box`."""
    relief, middle = relief_geobox(box), box.boundingbox
    east, north = centres(relief)
    x, y = (middle.left + middle.right) / 2, (middle.bottom + middle.top) / 2
    return shape(east - x, north - y), relief


def shadow_of(box: GeoBox, shape: Relief, azimuth: float, elevation: float) -> NDArray[np.bool_]:
    """Shadow for a sun whose azimuth is given on the grid."""
    heights, relief = heights_of(box, shape)
    return terrain_shadow(heights, relief, box, azimuth + convergence(EPSG, *place(box)), elevation)


def sight_at(box: GeoBox, azimuth: float, incidence: float) -> Sight:
    """A beam of known angles at the centre of a box, its azimuth given on the grid."""
    longitude, latitude = place(box)
    return Sight(longitude, latitude, azimuth + convergence(EPSG, longitude, latitude), incidence)


# --- the lattice


@given(st.integers(400_000, 800_000), st.integers(20_000, 80_000), st.integers(1, 700), st.integers(1, 700))
def test_relief_box_lies_on_the_global_lattice_and_reaches_far_enough(
    row: int, col: int, high: int, wide: int
) -> None:
    box = geobox_at(EPSG, row, col, (high, wide))
    relief = relief_geobox(box)
    top, left = pixel_at(relief.affine.c, relief.affine.f)
    assert (top % 3, left % 3) == (0, 0)
    assert (relief.affine.a, relief.affine.e) == (30, -30)
    inner, outer = box.boundingbox, relief.boundingbox
    assert inner.left - outer.left >= REACH
    assert outer.right - inner.right >= REACH
    assert outer.top - inner.top >= REACH
    assert inner.bottom - outer.bottom >= REACH


def test_less_relief_than_needed_is_an_error() -> None:
    box = geobox_at(EPSG, ROW, COL, (60, 60))
    relief = relief_geobox(box)
    with pytest.raises(ValueError, match="does not cover"):
        terrain_shadow(np.zeros((100, 100)), relief[:100, :100], box, 150, 45)
    with pytest.raises(ValueError, match="do not fit"):
        radar_hidden(np.zeros((100, 100)), relief, box, sight_at(box, 280, 38))


# --- independence of the box


@cache
def _ground() -> tuple[Field, int, int]:
    """Steep random ground with voids over the corner of four blocks; row and column of its first sample."""
    rng = np.random.default_rng(4)
    rough = gaussian_filter(rng.standard_normal((760, 760)), 9) * 14_000
    rough[rng.random(rough.shape) < 2e-4] = np.nan
    return rough, ROW // 3 - 380, COL // 3 - 380


def _cut(box: GeoBox) -> tuple[Field, GeoBox]:
    """The part of the ground that a box needs."""
    relief = relief_geobox(box)
    rough, top, left = _ground()
    row = round((NORTHING_ORIGIN - relief.affine.f) / 30) - top
    col = round(relief.affine.c / 30) - left
    part = rough[row : row + relief.shape[0], col : col + relief.shape[1]]
    assert part.shape == tuple(relief.shape)
    return part, relief


boxes = st.tuples(*[st.integers(-230, 120)] * 2, *[st.integers(30, 200)] * 2)


@settings(max_examples=25, deadline=None)
@given(boxes, boxes, st.floats(0, 360), st.floats(20, 70), st.floats(0, 360))
def test_a_pixel_does_not_depend_on_the_box(
    one: tuple[int, int, int, int],
    other: tuple[int, int, int, int],
    azimuth: float,
    elevation: float,
    beam: float,
) -> None:
    sight = Sight(75.3, 36.4, beam, 38.0)
    whole = np.full((2, 700, 700), 255, np.uint8)
    for down, right, high, wide in (one, other):
        box = geobox_at(EPSG, ROW + down, COL + right, (high, wide))
        heights, relief = _cut(box)
        answers = (
            terrain_shadow(heights, relief, box, azimuth, elevation),
            radar_hidden(heights, relief, box, sight),
        )
        for field, answer in zip(whole, answers, strict=True):
            seen = field[300 + down : 300 + down + high, 300 + right : 300 + right + wide]
            assert ((seen == 255) | (seen == answer)).all()
            seen[:] = answer


@pytest.mark.parametrize("phase", [0, 1, 2])
def test_relief_beyond_the_reach_changes_nothing(phase: int) -> None:
    """Spikes where REACH ends, so that the last samples of a ray decide."""
    rng = np.random.default_rng(phase)
    box = geobox_at(EPSG, ROW + phase, COL + 1 + phase, (4, 4))
    relief = relief_geobox(box)
    wider = relief.pad(10)
    east, north = centres(wider)
    distance = np.hypot(east - box.boundingbox.left - 20, north - box.boundingbox.bottom - 20)
    spikes = (distance > REACH - 60) & (rng.random(wider.shape) < 0.12)
    wide = np.where(spikes, 20_000.0, 0.0)
    least = wide[10:-10, 10:-10]
    dark, hidden = [], []
    for azimuth in range(0, 360, 3):
        sight = sight_at(box, azimuth, 38)
        dark.append(terrain_shadow(wide, wider, box, azimuth, 40))
        hidden.append(radar_hidden(wide, wider, box, sight))
        np.testing.assert_array_equal(terrain_shadow(least, relief, box, azimuth, 40), dark[-1])
        np.testing.assert_array_equal(radar_hidden(least, relief, box, sight), hidden[-1])
    assert 0.1 < np.mean(dark) < 0.9
    assert 0.1 < np.mean(hidden) < 0.9


def test_tiles_of_two_sizes_agree_on_real_relief() -> None:
    """Baltoro: the whole scene, and tiles of two grids that share no border."""
    rows, cols = slice(604_300, 604_900), slice(61_800, 62_400)
    sight = Sight(76.4, 35.75, 280.0, 36.0)

    def picture(size: int) -> NDArray[np.bool_]:
        out = np.zeros((3, 600, 600), bool)
        for row in range(0, 600, size):
            for col in range(0, 600, size):
                high, wide = min(size, 600 - row), min(size, 600 - col)
                box = geobox_at(EPSG, rows.start + row, cols.start + col, (high, wide))
                heights, relief = _baltoro(box)
                window = (slice(row, row + high), slice(col, col + wide))
                out[0][window] = terrain_shadow(heights, relief, box, 150, 55)
                out[1][window] = terrain_shadow(heights, relief, box, 160, 30)
                out[2][window] = radar_hidden(heights, relief, box, sight)
        return out

    whole = picture(600)
    for size in (256, 193):
        np.testing.assert_array_equal(picture(size), whole)
    high_sun, low_sun, radar = whole.mean((1, 2))
    print(f"Baltoro: {high_sun:.1%} dark at 55 degrees, {low_sun:.1%} at 30; radar hides {radar:.1%}")
    assert 0 < high_sun < 0.02
    assert 0.05 < low_sun < 0.3
    assert 0.05 < radar < 0.3


def _baltoro(box: GeoBox) -> tuple[Field, GeoBox]:
    relief = relief_geobox(box)
    with rasterio.open(sample("stac/dem/oggm_baltoro_srtm_clip.tif")) as source:
        rows, cols = places(relief, source.crs.to_wkt(), source.transform, source.width)
        return bilinear(source.read(1).astype(np.float32), rows, cols).astype(np.float64), relief


# --- shadow, by hand


@pytest.mark.parametrize("azimuth", [180, 135, 161.3, 90])
@pytest.mark.parametrize(("height", "elevation"), [(300, 30), (600, 45), (1500, 40)])
def test_the_shadow_of_a_wall_has_its_height_over_the_tangent(
    azimuth: float, height: float, elevation: float
) -> None:
    box = geobox_at(EPSG, ROW, COL, (500, 500))
    towards = np.array([math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))])

    def sunward(east: Field, north: Field) -> Field:
        return np.asarray(east * towards[0] + north * towards[1])

    dark = shadow_of(
        box, lambda e, n: np.where(np.abs(sunward(e, n) - 900) < 60, height, 0.0), azimuth, elevation
    )
    east, north = centres(box)
    middle = box.boundingbox
    before = sunward(east - (middle.left + middle.right) / 2, north - (middle.bottom + middle.top) / 2) - (
        900 - 60
    )
    length = height / math.tan(math.radians(elevation))
    # the wall is sampled at 30 m, so the positions of its foot and top are uncertain by that much
    assert dark[(before < -60) & (before > -length + 90)].all()
    assert not dark[before < -length - 60].any()
    assert not dark[before > 120 + 60].any()


def test_a_pyramid_is_dark_only_where_steeper_than_the_sun() -> None:
    box = geobox_at(EPSG, ROW, COL, (300, 300))
    east, north = centres(box)
    x, y = east - east.mean(), north - north.mean()

    def pyramid(slope: float) -> Relief:
        return lambda e, n: np.maximum(0, 600 - np.tan(np.radians(slope)) * np.maximum(abs(e), abs(n)))

    assert not shadow_of(box, pyramid(38), 180, 40).any()
    dark = shadow_of(box, pyramid(55), 180, 40)
    foot, tip = 600 / math.tan(math.radians(55)), 600 / math.tan(math.radians(40))
    spine = dark & (np.abs(x) < 10)
    assert y[spine].max() == pytest.approx(tip, abs=45)
    assert y[spine].min() == pytest.approx(0, abs=45)
    # the shadow is a triangle beyond the foot and the north face before it
    assert not dark[(y < -30) | (y > tip + 45) | (np.abs(x) > foot + 30)].any()
    assert dark[(y > 45) & (np.abs(x) < y - 45) & (y < foot - 45)].all()


def test_the_azimuth_counts_from_true_north() -> None:
    """At the zone's edge grid north is 2 degrees off; a spire's shadow under a southern sun falls north."""
    box = geobox_at(EPSG, 530_000, 75_000, (401, 401))
    assert convergence(EPSG, *place(box)) > 2
    heights, relief = heights_of(box, lambda e, n: np.where(np.hypot(e, n) < 70, 1000.0, 0.0))
    dark = terrain_shadow(heights, relief, box, 180, 30)
    east, north = centres(box)
    far = dark & (north - north.mean() > 1000)
    to_degrees = pyproj.Transformer.from_crs(EPSG, 4326, always_xy=True).transform
    foot, end = (to_degrees(p[0].mean(), p[1].mean()) for p in ((east, north), (east[far], north[far])))
    azimuth, _, _ = pyproj.Geod(ellps="WGS84").inv(*foot, *end)
    assert azimuth == pytest.approx(0, abs=0.5)


def test_a_void_casts_no_shadow_and_is_not_shadowed() -> None:
    box = geobox_at(EPSG, ROW, COL, (300, 300))

    def wall(east: Field, north: Field) -> Field:
        return np.where(np.abs(north + 300) < 60, 400.0, 0.0)

    def hole(east: Field, north: Field) -> Field:
        return np.where((np.abs(east) < 200) & (north < 600), np.nan, wall(east, north))

    whole, torn = (shadow_of(box, shape, 180, 40) for shape in (wall, hole))
    east, north = centres(box)
    x, y = np.abs(east - east.mean()), north - north.mean()
    assert whole[(y > -200) & (y < 100)].all()
    assert not torn[x < 200].any()
    np.testing.assert_array_equal(torn[x > 290], whole[x > 290])
    heights, relief = heights_of(box, lambda e, n: np.full_like(e, np.nan))
    assert not terrain_shadow(heights, relief, box, 180, 40).any()
    assert not radar_hidden(heights, relief, box, sight_at(box, 280, 38)).any()


# --- radar, by hand


@pytest.mark.parametrize("azimuth", [280.0, 79.0])
@pytest.mark.parametrize("incidence", [31.0, 38.0, 45.5])
def test_inclined_planes(azimuth: float, incidence: float) -> None:
    """Layover is steeper than the beam, facing it; shadow steeper than its complement, facing away."""
    box = geobox_at(EPSG, ROW, COL, (60, 60))
    sight = sight_at(box, azimuth, incidence)
    east, north = math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))

    def hidden(slope: float) -> float:
        rise = math.tan(math.radians(slope))
        # level beyond 2.5 km: a plane of 6 km would reach a height where the beam is less steep
        heights, relief = heights_of(
            box, lambda e, n: rise * np.clip(e * east + n * north, -2500, 2500) + 3000
        )
        return float(radar_hidden(heights, relief, box, sight).mean())

    assert hidden(0) == 0
    assert hidden(incidence - 1) == 0
    assert hidden(incidence + 1) == 1
    assert hidden(-(90 - incidence - 1)) == 0
    assert hidden(-(90 - incidence + 1)) == 1


def test_layover_before_a_wall_and_shadow_behind_it() -> None:
    """A wall of height h hides h cot(incidence) towards the radar and h tan(incidence) away from it."""
    box = geobox_at(EPSG, ROW, COL, (400, 400))
    heights, relief = heights_of(box, lambda e, n: np.where(np.abs(e) < 60, 500.0, 0.0))
    hidden = radar_hidden(heights, relief, box, sight_at(box, 90, 36))  # looks east
    east, _ = centres(box)
    x = (east - east.mean())[0]
    seen = x[hidden[200]]
    before, behind = 500 / math.tan(math.radians(36)), 500 * math.tan(math.radians(36))
    # the layover ends at the wall's far edge if that is nearer in slant range
    assert seen.min() == pytest.approx(-60 - before, abs=45)
    assert seen.max() == pytest.approx(60 + behind, abs=45)
    assert hidden[200][(x > seen.min()) & (x < -60)].all()
    assert (hidden == hidden[200]).all()


# --- relief without a solution by hand: every ray traced separately


@pytest.mark.parametrize(("azimuth", "elevation"), [(155.0, 32.0), (201.7, 25.0)])
def test_shadow_agrees_with_rays_traced_one_by_one(azimuth: float, elevation: float) -> None:
    box, heights, relief, rows, cols = _traced_places()
    turn = convergence(EPSG, *place(box))
    dark = terrain_shadow(heights, relief, box, azimuth + turn, elevation)[rows, cols]
    steps, ground = _along(box, heights, relief, rows, cols, azimuth)
    own = ground[:, steps == 0]
    above = (ground - own - steps * math.tan(math.radians(elevation)))[:, steps > 5].max(1)
    assert 0.05 < dark.mean() < 0.7
    assert (dark == (above > 0)).mean() > 0.985
    # where they differ, the ground is within metres of the ray
    assert np.abs(above[dark != (above > 0)]).max(initial=0) < 5


@pytest.mark.parametrize(("azimuth", "incidence"), [(280.0, 33.0), (80.0, 43.0)])
def test_radar_agrees_with_range_lines_traced_one_by_one(azimuth: float, incidence: float) -> None:
    box, heights, relief, rows, cols = _traced_places()
    hidden = radar_hidden(heights, relief, box, sight_at(box, azimuth, incidence))[rows, cols]
    steps, ground = _along(box, heights, relief, rows, cols, azimuth)
    theta = math.radians(incidence)  # a plane wave: over the box of 6 km incidence changes by 0.4 degrees
    own = ground[:, steps == 0]
    slant = steps * math.sin(theta) - (ground - own) * math.cos(theta)
    across = steps * math.cos(theta) + (ground - own) * math.sin(theta)
    before, after = steps < -5, steps > 5
    excess = np.max([-slant[:, after].min(1), slant[:, before].max(1), across[:, before].max(1)], axis=0)
    assert 0.05 < hidden.mean() < 0.8
    assert (hidden == (excess > 0)).mean() > 0.975
    assert np.abs(excess[hidden != (excess > 0)]).max(initial=0) < 15


def _traced_places() -> tuple[GeoBox, Field, GeoBox, NDArray[np.int64], NDArray[np.int64]]:
    """Baltoro, and 600 places in it."""
    box = geobox_at(EPSG, 604_300, 61_800, (600, 600))
    rng = np.random.default_rng(1)
    return box, *_baltoro(box), rng.integers(0, 600, 600), rng.integers(0, 600, 600)


def _along(
    box: GeoBox,
    heights: Field,
    relief: GeoBox,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    azimuth: float,
) -> tuple[Field, Field]:
    """Metres along a line through each place, 6 km in both directions, and the ground heights there."""
    steps = np.arange(-6000, 6001, 10, dtype=np.float64)
    east, north = centres(box)
    x = east[rows, cols][:, None] + steps * math.sin(math.radians(azimuth))
    y = north[rows, cols][:, None] + steps * math.cos(math.radians(azimuth))
    at = (relief.affine.f - y) / 30 - 0.5, (x - relief.affine.c) / 30 - 0.5
    return steps, map_coordinates(heights, at, order=1)


def test_slopes_facing_away_from_the_sun_are_dark() -> None:
    """Hillshade from slope and aspect, an independent computation of self shadow."""
    box = geobox_at(EPSG, 604_302, 61_800, (600, 600))  # samples of relief are at its pixels' centres
    heights, relief = _baltoro(box)
    azimuth, elevation = math.radians(150), math.radians(35)
    down, east = np.gradient(heights, 30.0)
    slope, aspect = np.arctan(np.hypot(east, down)), np.arctan2(-east, down)  # downhill, from north
    shade = np.sin(elevation) * np.cos(slope) + np.cos(elevation) * np.sin(slope) * np.cos(azimuth - aspect)
    top = round((relief.affine.f - box.affine.f) / 30)
    left = round((box.affine.c - relief.affine.c) / 30)
    shade = shade[top : top + 200, left : left + 200]
    turn = convergence(EPSG, *place(box))
    dark = terrain_shadow(heights, relief, box, 150 + turn, 35)[1::3, 1::3]
    away = shade < -0.05
    assert 0.01 < away.mean() < dark.mean()
    assert dark[away].mean() > 0.97
    # cast shadow lies on sunward slopes too, but only below the slopes that cast it
    assert dark[shade > 0.3].mean() < 0.5 * dark.mean()


# --- the simulator has finer ground, and computes its light and its radar separately


def test_agrees_with_the_simulators_ground_and_light() -> None:
    simulated, box = Settings(size=512), _simulated_box()
    world, turn = build_world(simulated), convergence(simulated.epsg, *simulated.centre)
    heights, relief = _thirty_metres(world.height, box)
    inner, (rows, cols) = slice(PAD, PAD + 512), _scattered()
    for date, elevation in itertools.product(optical_passes(simulated)[:2], (40.0, 55.0)):
        azimuth = date.sun[0]
        dark = terrain_shadow(heights, relief, box, azimuth + turn, elevation)
        drawn = light(world.height, azimuth, elevation).lit[inner, inner] < 0.5
        # its fast rays turn by whole pixels, so they give more shadow than there is, not less
        assert drawn[dark].mean() > 0.98
        # the same ground at 10 m, every ray traced
        seen, truth = dark[rows, cols], _traced_shadow(world.height, azimuth, elevation, rows, cols)
        overlap = (seen & truth).sum() / (seen | truth).sum()
        print(f"sun {elevation}: overlap {overlap:.2f} of {truth.mean():.1%}; {drawn.mean():.1%} drawn")
        assert overlap > 0.75
        assert (seen == truth).mean() > 0.985


def test_layover_and_shadow_of_the_simulators_ground() -> None:
    simulated, box = Settings(size=512), _simulated_box()
    world, turn = build_world(simulated), convergence(simulated.epsg, *simulated.centre)
    heights, relief = _thirty_metres(world.height, box)
    inner, (rows, cols) = slice(PAD, PAD + 512), _scattered()
    east, north = gradient(gaussian_filter(world.height, 1.0))
    for beam in radar_passes(simulated, optical_passes(simulated))[:2]:
        look = math.radians(beam.look)
        hidden = radar_hidden(
            heights, relief, box, Sight(*simulated.centre, beam.look + turn, beam.incidence)
        )
        facing = (math.sin(look) * east + math.cos(look) * north)[inner, inner]
        layover = facing > math.tan(math.radians(beam.incidence))
        shadow = _traced_shadow(world.height, beam.look + 180, 90 - beam.incidence, rows, cols)
        found = float(hidden[layover].mean()), float(hidden[rows, cols][shadow].mean())
        print(
            f"look {beam.look:.0f}: {hidden.mean():.1%} hidden; layover {found[0]:.2f}, shadow {found[1]:.2f}"
        )
        assert layover.sum() > 1000
        assert shadow.sum() > 50
        assert found[0] > 0.95
        assert found[1] > 0.75
        assert hidden.mean() < 0.2


def _scattered() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ten thousand places of the simulated ground."""
    rng = np.random.default_rng(2)
    return rng.integers(0, 512, 10_000), rng.integers(0, 512, 10_000)


def _simulated_box() -> GeoBox:
    simulated = Settings(size=512)
    return geobox_at(simulated.epsg, *pixel_at(*simulated.origin), (512, 512))


def _thirty_metres(height: NDArray[np.float32], box: GeoBox) -> tuple[Field, GeoBox]:
    """The simulated ground as a DEM of 30 m, with voids beyond its edge."""
    relief = relief_geobox(box)
    east, north = centres(relief)
    at = (box.affine.f - north) / 10 + PAD - 0.5, (east - box.affine.c) / 10 + PAD - 0.5
    smooth = gaussian_filter(height.astype(np.float64), 1.0)
    heights = np.full(relief.shape, np.nan)
    map_coordinates(smooth, at, heights, order=1, cval=np.nan)
    return heights, relief


def _traced_shadow(
    height: NDArray[np.float32],
    azimuth: float,
    elevation: float,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Shadow at places of a 10 m ground, step by step as far as its relief can reach."""
    rise = 10 * math.tan(math.radians(elevation))
    own = height[rows + PAD, cols + PAD].astype(float)
    above = np.full(own.shape, -np.inf)
    for step in range(1, 1 + int(np.ptp(height) / rise)):
        down, right = -math.cos(math.radians(azimuth)) * step, math.sin(math.radians(azimuth)) * step
        ahead = map_coordinates(height, (rows + PAD + down, cols + PAD + right), float, order=1, cval=-1e6)
        np.maximum(above, ahead - step * rise - own, out=above)
    return above > 0
