"""Differences that enter the review queue, and those that are only shorelines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

import geopandas
import numpy as np
import pandas as pd
import pytest

from monitor.grid import WGS84, Tile
from monitor.lakes.change import compare, is_loss
from monitor.review.triage import CHIP, Flag, disagreements, losses
from storage.codes import Index, Reason
from tests.support.scenery import COL, EPSG, ROW, pixels, tile_layers

SIDE = 36
A, B, C = (UUID(int=number) for number in (1, 2, 3))


def flags_of(model: np.ndarray, index: np.ndarray, reason: np.ndarray | None = None, size: int = SIDE):
    tile = Tile(EPSG, size, ROW, COL)
    return disagreements(tile_layers(tile, model, index=index.astype(np.uint8), reason=reason))


def patch(top: int, left: int, height: int, width: int, size: int = SIDE) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + height, left : left + width] = True
    return mask


NOTHING = patch(0, 0, 0, 0)
LAKE = patch(10, 10, 12, 12)


def test_agreement_is_not_flagged() -> None:
    assert flags_of(LAKE, LAKE) == []
    assert flags_of(NOTHING, NOTHING) == []


def test_a_lake_in_the_index_only() -> None:
    (flag,) = flags_of(NOTHING, LAKE)
    assert flag.kind == "index water, model dry" and not flag.explained
    assert flag.score == pytest.approx(1.44)
    assert flag.detail == {"patches": 1, "largest_ha": pytest.approx(1.44), "index_says": "water"}
    assert flag.footprint.contains(pixels(10, 10, 12, 12))


def test_a_lake_in_the_model_only() -> None:
    (flag,) = flags_of(LAKE, NOTHING)
    assert flag.kind == "model water, index dry" and not flag.explained
    assert flag.detail["index_says"] == "dry"


@pytest.mark.parametrize("gate", [Index.SNOW, Index.SHADOW, Index.RADAR, Index.TURBID])
@pytest.mark.parametrize("model", [LAKE, NOTHING], ids=["model water", "model dry"])
def test_a_gate_explains_the_difference(gate: Index, model: np.ndarray) -> None:
    (flag,) = flags_of(model, np.where(LAKE, gate, Index.DRY))
    assert flag.explained and flag.detail["index_says"] == gate.name.lower()


def test_shorelines_are_thin() -> None:
    """A shore wider by two pixels all round is 96 pixels of disagreement, and no lake."""
    assert flags_of(LAKE, patch(8, 8, 16, 16)) == []
    assert len(flags_of(LAKE, patch(4, 4, 24, 24))) == 1


def test_specks_are_small() -> None:
    assert flags_of(NOTHING, patch(3, 3, 7, 7)) == []
    assert len(flags_of(NOTHING, patch(3, 3, 8, 8))) == 1


@pytest.mark.parametrize("hidden", [Reason.OUTSIDE, Reason.CLOUD, Reason.NODATA])
def test_hidden_pixels_are_not_flagged(hidden: Reason) -> None:
    assert flags_of(NOTHING, LAKE, reason=np.full((SIDE, SIDE), hidden, np.uint8)) == []


def test_one_flag_per_chip_and_cause() -> None:
    size = 2 * CHIP
    index = np.zeros((size, size), np.uint8)
    index[patch(10, 10, 10, 10, size) | patch(100, 100, 12, 12, size) | patch(300, 300, 10, 10, size)] = (
        Index.WATER
    )
    index[patch(200, 10, 10, 10, size)] = Index.SNOW
    flags = flags_of(np.zeros((size, size), bool), index, size=size)
    assert [(flag.explained, flag.detail["patches"]) for flag in flags] == [(False, 2), (True, 1), (False, 1)]
    assert flags[0].score == pytest.approx(2.44)
    assert flags[2].footprint.contains(pixels(300, 300, 10, 10))


def flags_of_losses(
    before: dict[UUID, float], after: dict[UUID, float | None], drained: Sequence[UUID] = ()
) -> list[Flag]:
    def frame(areas: dict[UUID, float | None], season: int) -> pd.DataFrame:
        rows = {
            lake: {
                "season": season,
                "outcome": "dry" if area is None else "water",
                "area_m2": area,
                "sigma_m2": 500.0,
                "seen_share": 1.0,
                "first_day": date(season, 8, 1),
                "last_day": date(season, 9, 1),
            }
            for lake, area in areas.items()
        }
        columns = ["season", "outcome", "area_m2", "sigma_m2", "seen_share", "first_day", "last_day"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    first, second = frame(before, 2015), frame(after, 2021)
    reference = geopandas.GeoDataFrame(
        {"area_m2": 10_000.0}, index=[A, B, C], geometry=[LAKE_A] * 3, crs=WGS84
    )
    changes = compare(first, second, pd.DataFrame(columns=["season", "kind", "lake_id", "other_lake_id"]))
    return losses(changes[is_loss(changes)], drained, first, second, reference)


def test_losses() -> None:
    drained, lost = flags_of_losses({A: 20_000, B: 20_000, C: 20_000}, {A: None, B: 12_000, C: 17_000})
    assert (drained.lake, drained.kind, drained.score) == (A, "drained", 2.0)
    assert (lost.lake, lost.kind, lost.detail["area_after_ha"]) == (B, "lost water", 1.2)
    assert drained.footprint.contains(LAKE_A) and drained.detail["since"] == 2015
    assert (lost.detail["day_before"], lost.detail["day_after"]) == ("2015-09-01", "2021-08-01")


def test_a_loss_within_the_error_is_not_flagged() -> None:
    assert flags_of_losses({A: 1_000}, {A: 600}) == []
    assert flags_of_losses({A: 20_000}, {A: 40_000}) == []


def test_a_drained_lake_is_flagged_with_any_error_and_without_a_comparable_area() -> None:
    assert [flag.kind for flag in flags_of_losses({A: 600}, {A: None})] == ["drained"]
    (flag,) = flags_of_losses({}, {B: None}, drained=[B])
    assert (flag.lake, flag.kind, flag.score, flag.detail["since"]) == (B, "drained", 1.0, None)


LAKE_A = pixels(0, 0, 20, 10)
