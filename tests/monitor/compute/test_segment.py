"""From a stack to layers: a reason for every pixel, with a simple, deterministic segmenter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely

from monitor.compute.layers import TileLayers
from monitor.compute.segment import inside, segment
from monitor.compute.tile import _why_empty
from monitor.grid import Tile
from segmenter.errors import OutputError
from segmenter.manifest import read_manifest
from segmenter.protocol import Answer, Predicts, TileArrays
from storage.codes import NO_ANSWER, Index, Reason
from storage.cube_layout import LAYERS
from tests.support.scenery import COL, EPSG, ROW, pixels
from tests.support.sensor_sets import sensor_set
from tests.support.stacks import stack_of

INDEX = Path(__file__).parents[3] / "models/index-baseline"
SIDE, HALO = 36, 4
TILE = Tile(EPSG, SIDE, ROW, COL)
AROUND = pixels(-10, -10, 60, 60)


class DarkIsWater(Predicts):
    """Segmenter that maps water where the near infrared is dark."""

    manifest = read_manifest(INDEX).model_copy(update={"name": "dark", "fewer": ()})

    def predict_all(self, scenes):
        return map(self.answered, scenes)

    def answered(self, scene: TileArrays) -> Answer:
        optical, radar, dem, halo, wanted = scene.optical, scene.radar, scene.dem, scene.halo, scene.wanted
        self.position = (scene.row, scene.col, halo)
        inner = np.s_[halo : optical.shape[1] - halo, halo : optical.shape[2] - halo]
        seen = (np.isfinite(optical).all(axis=0) & np.isfinite(radar).all(axis=0) & np.isfinite(dem))[inner]
        seen &= True if wanted is None else wanted
        likely = np.where(seen, np.where(optical[7][inner] < 1000, 0.8, 0.2), np.nan).astype(np.float32)
        return Answer(likely, likely / 10, np.where(seen, 7, 0).astype(np.uint8))


def predicted(
    zone: shapely.Geometry = AROUND,
    halo: int = HALO,
    reach: shapely.Geometry | None = None,
    segmenter: Any = None,
    **flags: Any,
) -> TileLayers:
    """Predict with water in the left half. Flags are (top, left, height, width) in pixels of the tile."""
    side = SIDE + 2 * halo
    layers = {name: np.zeros((side, side), bool) for name in ("cloud", "snow", "shadow", "layover", "void")}
    for name, (top, left, height, width) in flags.items():
        layers[name][halo + top : halo + top + height, halo + left : halo + left + width] = True
    optical = np.full((12, side, side), 2000, np.float32)
    optical[:, :, : halo + SIDE // 2] = 500
    optical[10] = 100
    optical[:, layers["cloud"] | layers["void"]] = np.nan
    day = np.where(layers["cloud"] | layers["void"], 0, 230).astype(np.int16)
    radar, dem = np.full((2, side, side), -18, np.float32), np.full((side, side), 3500, np.float32)
    flags_of = {name: layers[name] for name in ("cloud", "snow", "shadow", "layover")}
    stack = stack_of(TILE.geobox(halo), optical, radar, dem=dem, day_of_year=day, **flags_of)
    return segment(stack, segmenter or DarkIsWater(), TILE, halo, zone, reach)


def test_layers_are_of_the_core() -> None:
    result = predicted()
    for name in LAYERS:
        assert result[name].shape == (SIDE, SIDE)
    assert np.array_equal(result["uncertainty"], result["probability"] / 10)
    assert (result["mask"][:, :18] == 1).all() and (result["mask"][:, 18:] == 0).all()
    assert (result["reason"][:, :18] == Reason.WATER).all() and (result["reason"][:, 18:] == Reason.DRY).all()
    # bright in all bands but one beyond 1.6 um, as snow is
    assert (result["index"][:, :18] == Index.WATER).all() and (result["index"][:, 18:] == Index.SNOW).all()
    assert result.observed


@pytest.mark.parametrize("halo", [0, 4, 9])
def test_halo_changes_nothing(halo: int) -> None:
    larger, other = predicted(halo=halo), predicted()
    assert np.array_equal(larger["mask"], other["mask"]) and np.array_equal(larger["index"], other["index"])


class SeenByHalves(DarkIsWater):
    """The upper half is predicted from radar and DEM, with a threshold of its own; 0.6 and 0.2 likely."""

    manifest = DarkIsWater.manifest.model_copy(update={"fewer": (sensor_set("S1+DEM", threshold=0.7),)})

    def answered(self, scene: TileArrays) -> Answer:
        answer = super().answered(scene)
        answer.probability[answer.probability > 0.5] = 0.6
        answer.sources[: SIDE // 2][answer.sources[: SIDE // 2] > 0] = 6
        return answer


def test_each_pixel_has_the_threshold_of_its_set_of_sensors() -> None:
    result = predicted(segmenter=SeenByHalves(), reach=pixels(0, 0, 36, 20))
    assert (result["reason"][18:, :18] == Reason.WATER).all() and (result["mask"][:18, :20] == 0).all()
    assert (result["reason"][:18, :20] == Reason.DRY).all(), "0.6 is below the threshold of radar and DEM"
    sources = result["sources"]
    assert (sources[:18, :20] == 6).all() and (sources[18:, :20] == 7).all()
    assert np.array_equal(sources == 0, result["mask"] == NO_ANSWER) and not sources[:, 20:].any()
    assert not result["day_of_year"][:18, :20].any(), "no day of an optical view that was not used"
    assert (result["day_of_year"][18:] == 230).all() and (result["day_of_year"][:, 20:] == 230).all()


def test_absent_is_never_zero() -> None:
    result = predicted(cloud=(0, 0, 10, 10), void=(20, 20, 5, 5))
    hidden = np.zeros((SIDE, SIDE), bool)
    hidden[:10, :10] = hidden[20:25, 20:25] = True
    assert np.array_equal(np.isnan(result["probability"]), hidden)
    assert np.array_equal(result["mask"] == NO_ANSWER, hidden)
    assert np.array_equal(result["day_of_year"] == 0, hidden)
    assert (result["reason"][:10, :10] == Reason.CLOUD).all()
    assert (result["reason"][20:25, 20:25] == Reason.NODATA).all()


def test_under_snow_or_shadow_water_is_mapped_and_dry_ground_is_not() -> None:
    result = predicted(snow=(0, 10, 5, 16), shadow=(10, 10, 5, 16))
    assert (result["reason"][:5, 10:18] == Reason.WATER).all() and (
        result["reason"][:5, 18:26] == Reason.SNOW
    ).all()
    assert (result["reason"][10:15, 18:26] == Reason.SHADOW).all()
    assert (result["mask"][:5, 18:26] == 0).all()


def test_outside_the_zone() -> None:
    result = predicted(zone=pixels(0, 0, 36, 9), cloud=(0, 20, 5, 5))
    assert (result["reason"][:, :9] == Reason.WATER).all() and (
        result["reason"][:, 9:] == Reason.OUTSIDE
    ).all()
    assert (result["mask"][:, 9:18] == 1).all(), "the mask is unchanged"


def test_nothing_observed() -> None:
    assert not predicted(cloud=(0, 0, 36, 36)).observed


@dataclass
class Failing(DarkIsWater):
    """Its answer has `value` in a layer, on these pixels (rows, columns)."""

    layer: str
    value: float
    where: tuple[slice, slice]

    def answered(self, scene: TileArrays) -> Answer:
        answer = super().answered(scene)
        getattr(answer, self.layer)[self.where] = self.value
        return answer


@pytest.mark.parametrize("layer", ["probability", "uncertainty"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [np.s_[:, :], np.s_[30:31, 7:8]], ids=["everywhere", "one pixel"])
def test_no_answer_on_valid_pixels_is_an_error_and_not_weather(
    layer: str, value: float, where: tuple[slice, slice]
) -> None:
    count = 1 if where[0].start else 36 * 36 - 100
    with pytest.raises(OutputError, match=rf"model dark: .* not finite on {count} of 1196 pixels with valid"):
        predicted(segmenter=Failing(layer, value, where), cloud=(0, 0, 10, 10))


def test_no_answer_where_none_is_due_is_no_error() -> None:
    hidden = Failing("probability", np.nan, np.s_[:10, :10])
    assert predicted(segmenter=hidden, cloud=(0, 0, 10, 10)).observed
    beyond = Failing("probability", np.inf, np.s_[:, 20:])
    assert predicted(segmenter=beyond, reach=pixels(0, 0, 36, 20)).observed


@pytest.mark.parametrize(
    ("cloud", "sets", "why"),
    [
        (True, (7,), "all cloud: no clear view on any date"),
        (True, (7, 1), "all cloud: no clear view on any date"),
        (True, (7, 6), "all cloud: no clear view on any date, and no radar with a DEM"),
        (False, (7, 6), "no data: scenes do not cover the tile"),
    ],
)
def test_why_a_tile_is_empty(cloud: bool, sets: tuple[int, ...], why: str) -> None:
    stack = stack_of(TILE.geobox(0), np.nan, np.nan, cloud=cloud)
    task: Any = SimpleNamespace(sets=sets)
    assert _why_empty(stack, task) == why


def test_segmenter_gets_the_global_pixel_of_the_halo() -> None:
    segmenter = DarkIsWater()
    segment(stack_of(TILE.geobox(HALO), 0.0, 0.0), segmenter, TILE, HALO, AROUND)
    assert segmenter.position == (ROW - HALO, COL - HALO, HALO)


def test_a_pixel_is_inside_if_its_centre_is() -> None:
    assert inside(pixels(0, 0, 3, 5), TILE).sum() == 15
    assert not inside(shapely.Polygon(), TILE).any()
    assert inside(AROUND, TILE).all() and inside(TILE.footprint(), TILE).all()


def test_nothing_is_predicted_beyond_the_reach() -> None:
    """The zone's pixels keep their reason; lakes are mapped within the reach around it, and not further."""
    result = predicted(zone=pixels(0, 0, 36, 12), reach=pixels(0, 0, 36, 20))
    assert (result["mask"][:, :20] != NO_ANSWER).all() and (result["mask"][:, 20:] == NO_ANSWER).all()
    assert np.isnan(result["probability"][:, 20:]).all()
    assert (result["reason"][:, :12] == Reason.WATER).all() and (
        result["reason"][:, 12:] == Reason.OUTSIDE
    ).all()
