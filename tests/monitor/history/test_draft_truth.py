"""Surveys from the simulator's truth, without a model, so that every event must be recorded as simulated."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import geopandas
import numpy as np
import pandas as pd
import pytest
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from monitor.compute.layers import TileLayers
from monitor.grid import NORTHING_ORIGIN, geobox_at
from monitor.history.draft import SurveyDraft
from monitor.history.season import draft_season
from simulator.archive import plan_passes
from simulator.settings import Settings
from simulator.truth import write_truth
from simulator.world import build_world
from storage.codes import LineageKind, Outcome, Reason
from tests.support.scenery import History, cut, region, season_of
from tests.support.sensor_sets import FULL

pytestmark = pytest.mark.slow


SIZE = 1024
SEASONS = (2021, 2022, 2023)
SMALLEST = 2000.0


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Truth of three simulated seasons, without the images."""
    folder = tmp_path_factory.mktemp("archive")
    world = build_world(Settings(size=SIZE, seasons=SEASONS))
    write_truth(world, plan_passes(world), folder)
    return folder / "truth"


@pytest.fixture(scope="module")
def lakes(truth: Path) -> geopandas.GeoDataFrame:
    """Without the river and its reservoir, which touch each other."""
    lakes = geopandas.read_parquet(truth / "lakes.parquet")
    return lakes[lakes.kind == "lake"]


def maps_of(lakes: geopandas.GeoDataFrame, season: int, size: int) -> list[TileLayers]:
    """The season as mapped by a perfect model: frozen lakes as snow, clouded ones unobserved."""
    corner = lakes.total_bounds
    col, row = int(corner[0] // 10) // SIZE * SIZE, int((NORTHING_ORIGIN - corner[3]) // 10) // SIZE * SIZE
    affine = geobox_at(lakes.crs.to_epsg(), row, col, (SIZE, SIZE)).affine
    now = lakes[(lakes.season == season) & lakes.geometry.notna() & ~lakes.geometry.is_empty]

    def burn(rows: geopandas.GeoDataFrame) -> np.ndarray:
        if rows.empty:
            return np.zeros((SIZE, SIZE), bool)
        return rasterize(rows.geometry, (SIZE, SIZE), transform=affine).astype(bool)

    water = burn(now[(now.state == "water") & (now.seen_share > 0.5)])
    reason = np.where(water, Reason.WATER, Reason.DRY).astype(np.uint8)
    reason[burn(now[(now.state == "water") & (now.seen_share <= 0.5)])] = Reason.CLOUD
    reason[burn(now[now.state == "frozen"])] = Reason.SNOW
    doubt = np.random.default_rng(season).uniform(0, 0.2, (SIZE, SIZE)).astype(np.float32)
    return cut(water, size, epsg=lakes.crs.to_epsg(), row=row, col=col, reason=reason, uncertainty=doubt)


def survey(lakes: geopandas.GeoDataFrame, history: History, season: int, size: int = 256) -> SurveyDraft:
    before = sorted((s for s in SEASONS if s < season), reverse=True)
    previous = [season_of(maps_of(lakes, past, size)) for past in before]
    maps = maps_of(lakes, season, size)
    return draft_season(
        season_of(maps), region(), season, history.prior(season), previous, smallest_m2=SMALLEST, sets=FULL
    )


@pytest.fixture(scope="module")
def drawn(lakes: geopandas.GeoDataFrame) -> tuple[History, dict[int, SurveyDraft]]:
    history, rows = History(), {}
    for season in SEASONS:
        rows[season] = survey(lakes, history, season)
        history.record(rows[season], season)
    return history, rows


def identity(rows: SurveyDraft, outline: BaseGeometry, epsg: int) -> UUID:
    """Identity of the survey's lake that covers a true outline best."""
    water = rows.observations[rows.observations.outcome == Outcome.WATER]
    common = water.geometry.to_crs(epsg).intersection(outline).area
    assert common.max() > 0
    return water.lake_id[common.idxmax()]


def test_every_visible_lake_is_found_once(lakes, drawn) -> None:
    for season, rows in drawn[1].items():
        now = lakes[(lakes.season == season) & (lakes.state == "water") & (lakes.seen_share > 0.5)]
        water = rows.observations[rows.observations.outcome == Outcome.WATER]
        assert len(water) == len(now)
        ids = [identity(rows, outline, lakes.crs.to_epsg()) for outline in now.geometry]
        assert len(set(ids)) == len(now)
        assert water.lake_id.is_unique


def test_lakes_without_events_keep_their_identity(lakes, drawn) -> None:
    calm = lakes[~lakes.cases.str.contains("drained|new|split|merged")]
    for _, rows in calm[(calm.state == "water") & (calm.seen_share > 0.5)].groupby("lake"):
        ids = {
            identity(drawn[1][season], outline, lakes.crs.to_epsg())
            for season, outline in zip(rows.season, rows.geometry, strict=True)
        }
        assert len(ids) == 1


def test_events_are_recorded_as_lineage(truth, lakes, drawn) -> None:
    expected = set()
    outlines = lakes.set_index(["lake", "season"]).geometry

    def identity_of(lake: str, season: int) -> UUID:
        return identity(drawn[1][season], outlines[lake, season], lakes.crs.to_epsg())

    for event in pd.read_parquet(truth / "events.parquet").itertuples():
        parents = [identity_of(lake, event.from_season) for lake in event.parents.split(",") if lake]
        children = [identity_of(lake, event.to_season) for lake in event.children.split(",") if lake]
        if event.kind == "drained":
            expected.add((event.to_season, LineageKind.DRAINED, parents[0], None))
        elif event.kind == "new":
            expected.add((event.to_season, LineageKind.NEW, children[0], None))
        elif event.kind == "split":
            assert parents[0] in children, "one of the parts keeps the parent's identity"
            for child in set(children) - set(parents):
                expected.add((event.to_season, LineageKind.SPLIT, child, parents[0]))
        else:
            assert children[0] in parents, "the merged lake keeps the identity of one parent"
            for parent in set(parents) - set(children):
                expected.add((event.to_season, LineageKind.MERGED, parent, children[0]))
    found = {
        (event.season, event.kind, event.lake_id, event.other_lake_id)
        for event in drawn[0].lineage.itertuples()
    }
    assert {kind for _, kind, *_ in expected} == set(LineageKind) - {LineageKind.REAPPEARED}
    assert found == expected


def test_hidden_and_frozen_lakes_are_not_observed_with_the_reason(lakes, drawn) -> None:
    hidden = 0
    for lake, rows in lakes[~lakes.cases.str.contains("drained|new|split|merged")].groupby("lake"):
        seen = rows[(rows.state == "water") & (rows.seen_share > 0.5)].iloc[0]
        lake_id = identity(drawn[1][seen.season], seen.geometry, lakes.crs.to_epsg())
        unseen = rows[(rows.season > seen.season) & ((rows.seen_share <= 0.5) | (rows.state == "frozen"))]
        for row in unseen.itertuples():
            observations = drawn[1][row.season].observations.set_index("lake_id")
            assert observations.outcome[lake_id] == Outcome.NOT_OBSERVED, lake
            assert observations.reason[lake_id] == (
                "snow, ice or frozen" if row.state == "frozen" else "cloud"
            )
            hidden += 1
    assert hidden >= 2


def test_areas_equal_the_truth(lakes, drawn) -> None:
    for season, rows in drawn[1].items():
        now = lakes[(lakes.season == season) & (lakes.state == "water") & (lakes.seen_share > 0.5)]
        areas = pd.DataFrame(drawn[0].observations).query("season == @season").set_index("lake_id").area_m2
        for outline in now.geometry:
            measured = areas[identity(rows, outline, lakes.crs.to_epsg())]
            assert measured == pytest.approx(outline.area, rel=0.001, abs=4 * 0.6872 * outline.length * 5)


@pytest.mark.parametrize("size", [512, 1024])
def test_tiling_changes_nothing(lakes, drawn, size: int) -> None:
    """The same lakes and identities from 1, 4 and 16 tiles."""
    history = History()
    for season in SEASONS:
        rows = survey(lakes, history, season, size)
        history.record(rows, season)
        expected = drawn[1][season]
        assert list(rows.observations.lake_id) == list(expected.observations.lake_id)
        assert list(rows.observations.geometry) == list(expected.observations.geometry)
        assert rows.observations.sigma_model_m2.equals(expected.observations.sigma_model_m2)
        assert (rows.observations.sigma_model_m2.dropna() > 0).all()
        assert rows.lineage.equals(expected.lineage)


def test_a_rerun_gives_the_same_result(lakes, drawn) -> None:
    """A late scene without changes: the same identities, and the same events."""
    history = History()
    for season in SEASONS:
        for _ in range(2):
            rows = survey(lakes, history, season)
            history.record(rows, season)
        assert list(rows.observations.lake_id) == list(drawn[1][season].observations.lake_id)
        assert list(rows.observations.outcome) == list(drawn[1][season].observations.outcome)
        events = {tuple(event) for event in rows.lineage.itertuples(index=False)}
        assert events == {tuple(event) for event in drawn[1][season].lineage.itertuples(index=False)}
        assert rows.lakes.empty
