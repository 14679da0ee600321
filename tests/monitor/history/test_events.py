"""Events across gaps, against inventories, and at splits: each reaches the review queue once."""

from __future__ import annotations

from collections.abc import Mapping as Seasons
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import text

from monitor.history.inventories.mapping import Mapping
from monitor.history.season import draft_season
from monitor.settings import Region, RegionSettings
from monitor.vectors.files import Columns, Layer
from monitor.vectors.polygons import polygons_of
from storage.codes import Reason, SurveyKind
from storage.database import Database
from tests.support.scenery import History, cut, region, season_of
from tests.support.sensor_sets import FULL
from tests.support.workspaces import import_inventory

PLACE = shapely.box(79.9, 29.9, 80.3, 30.1)


def lake(number: int, size: float = 0.004) -> BaseGeometry:
    return shapely.box(80 + 0.01 * number, 30, 80 + 0.01 * number + size, 30 + size)


#: lakes whose water is several times that of the others
STEADY = [lake(number, 0.006) for number in range(10, 20)]


def record(
    database: Database,
    season: int,
    lakes: list[BaseGeometry],
    *,
    complete: bool = False,
    source: str = "drawn",
) -> str | None:
    """Import an inventory; returns why it is suspect."""
    layer = Layer(np.array(lakes), 4326, Columns((), None))
    result = import_inventory(
        database,
        Path("drawn"),
        region=Region("r", RegionSettings(bounds=PLACE.bounds), PLACE, PLACE),
        season=season,
        mapping=Mapping(source=source, complete=complete, pixel_m=1),
        polygons=polygons_of(Path("drawn"), "inventory", layer),
    )
    return result.suspect


def queue(database: Database) -> list[tuple[int, str]]:
    with database.connect() as conn:
        query = "SELECT season, kind FROM review_queue ORDER BY season, kind"
        return [tuple(row) for row in conn.execute(text(query))]


def drainages(database: Database) -> list[tuple[int, int, str]]:
    with database.connect() as conn:
        query = "SELECT season_from, season_to, verdict FROM lake_drainage ORDER BY 2, 1"
        return [tuple(row) for row in conn.execute(text(query))]


def test_a_lake_that_drains_while_a_season_does_not_show_it(database: Database) -> None:
    """A and B in 2015, only B in 2016; complete without A in 2017 and 2018."""
    record(database, 2015, [lake(0), lake(1), *STEADY])
    record(database, 2016, [lake(1), *STEADY])
    record(database, 2017, [lake(1), *STEADY], complete=True)
    record(database, 2018, [lake(1), *STEADY], complete=True)
    assert drainages(database) == [(2015, 2017, "drained")]
    assert queue(database) == [(2017, "drained")]


def test_every_event_of_complete_inventories_reaches_the_queue_once(database: Database) -> None:
    record(database, 2010, [lake(0), lake(1), lake(2), *STEADY], complete=True)
    record(database, 2020, [lake(1, 0.002), lake(3), *STEADY], complete=True)
    record(database, 2021, [lake(1, 0.002), lake(2), lake(3), *STEADY], complete=True)
    assert queue(database) == [
        (2020, "drained"), (2020, "drained"), (2020, "lost water"), (2020, "new"), (2021, "reappeared"),
    ]  # fmt: skip
    with database.connect() as conn:
        detail = conn.execute(text("SELECT detail FROM review_queue WHERE kind = 'lost water'")).scalar_one()
        events = conn.execute(text("SELECT season, event FROM lake_events ORDER BY 1, 2")).all()
    assert detail["since"] == 2010 and detail["area_after_ha"] < detail["area_before_ha"]
    assert [tuple(event) for event in events] == [
        (2020, "drained"), (2020, "drained"), (2020, "new"), (2021, "reappeared"),
    ]  # fmt: skip


def test_an_event_that_two_inventories_of_a_season_show_is_raised_once(database: Database) -> None:
    record(database, 2015, [lake(0), lake(1), *STEADY], complete=True)
    for source in ("one", "other"):
        rows = [lake(1, 0.002), lake(2), *STEADY]
        record(database, 2016, rows, complete=True, source=source)
    assert queue(database) == [(2016, "drained"), (2016, "lost water"), (2016, "new")]


@pytest.mark.parametrize("before", [(), (2014,)], ids=["", "with a lake that was seen once"])
@pytest.mark.parametrize("complete", [False, True])
def test_an_inventory_without_its_largest_lake_is_suspect(
    database: Database, before: tuple[int, ...], complete: bool
) -> None:
    """Yearly inventories; the one of 2017 leaves out 90 % of the water, in one lake."""
    for season in before:
        record(database, season, [lake(0, 0.009), lake(1, 0.003), lake(2, 0.002)])
    for season in (2015, 2016):
        assert record(database, season, [lake(0, 0.009), lake(1, 0.003)], complete=complete) is None
    why = record(database, 2017, [lake(1, 0.003)], complete=complete)
    assert why is not None and why.startswith("90% of the water is gone")
    assert record(database, 2018, [lake(0, 0.009), lake(1, 0.003)], complete=complete) is None
    lost = [(2015, "drained")] if before and complete else []
    assert queue(database) == [*lost, (2017, "suspect season")]
    assert [row for row in drainages(database) if row[1] > 2015] == []


def test_a_lake_that_an_inventory_has_left_out_is_not_lost_anew(database: Database) -> None:
    """A fifth of the water is lost in each of two seasons, less than a quarter in either."""
    lakes = [lake(number) for number in range(10)]
    assert record(database, 2015, lakes) is None
    assert record(database, 2016, lakes[2:]) is None
    assert record(database, 2017, lakes[3:]) is None
    assert queue(database) == []


def test_a_split_keeps_the_water_of_its_parts(database: Database) -> None:
    """A lake falls into three, of which one is dry a season later; two others merge into one."""
    whole = shapely.box(80, 30, 80.009, 30.003)
    parts = [shapely.box(80 + west, 30, 80 + west + 0.0028, 30.003) for west in (0, 0.003, 0.006)]
    pair = [shapely.box(80.05, 30, 80.053, 30.003), shapely.box(80.0532, 30, 80.056, 30.003)]
    joined = shapely.box(80.05, 30, 80.056, 30.003)
    record(database, 2015, [whole, *pair, *STEADY], complete=True)
    record(database, 2016, [*parts, joined, *STEADY], complete=True)
    assert queue(database) == [] and drainages(database) == []
    with database.connect() as conn:
        query = "SELECT verdict, count(*), sum(area_before_m2), sum(area_after_m2) FROM lake_change_yearly "
        rows = {row[0]: row[1:] for row in conn.execute(text(query + "WHERE change_m2 <> 0 GROUP BY 1"))}
        assert set(rows) == {"shrunk", "grown"}
        assert rows["shrunk"][2] / rows["shrunk"][1] == pytest.approx(0.933, abs=0.01)
        assert rows["grown"][2] / rows["grown"][1] == pytest.approx(1.034, abs=0.01)
    record(database, 2017, [*parts[:2], joined, *STEADY], complete=True)
    assert queue(database) == [(2017, "drained")]


def test_a_split_that_lost_water_is_flagged(database: Database) -> None:
    whole = shapely.box(80, 30, 80.009, 30.003)
    parts = [shapely.box(80, 30, 80.002, 30.003), shapely.box(80.007, 30, 80.009, 30.003)]
    record(database, 2015, [whole, *STEADY])
    record(database, 2016, [*parts, *STEADY])
    assert queue(database) == [(2016, "lost water")]
    with database.connect() as conn:
        row = conn.execute(text("SELECT lost_percent, split FROM lake_drainage")).one()
    assert row.split and row.lost_percent == pytest.approx(100 * 5 / 9, abs=0.1)


# ---- seasons of a model, on 36 pixels ----

SIDE = 36


def mask(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    water = np.zeros((SIDE, SIDE), bool)
    for top, left, height, width in boxes:
        water[top : top + height, left : left + width] = True
    return water


A, B, C = (2, 2, 12, 18), (18, 2, 10, 12), (20, 20, 5, 5)
EVERYWHERE = (0, 0, SIDE, SIDE)


def kinds(history: History, past: dict[int, list], season: int, water, hidden=None) -> list[str]:
    """Draft and record a season; returns the kinds of its flags."""
    reason = np.where(water, Reason.WATER, Reason.DRY).astype(np.uint8)
    if hidden is not None:
        reason[hidden], water = Reason.CLOUD, water & ~hidden
    maps = past[season] = cut(water, SIDE, reason=reason)
    previous = [season_of(past[other]) for other in sorted(past, reverse=True) if other < season]
    rows = draft_season(
        season_of(maps), region(), season, history.prior(season), previous, smallest_m2=2000, sets=FULL
    )
    history.record(rows, season)
    return sorted(rows.flags.kind)


def run(drawn: Seasons[int, tuple]) -> dict[int, list[str]]:
    history, past = History(), {}
    return {season: kinds(history, past, season, *maps) for season, maps in drawn.items()}


@pytest.mark.parametrize("unseen", [[], [2016], [2016, 2017]])
def test_events_across_unseen_seasons(unseen: list[int]) -> None:
    """Drained, lost water and new, raised once however many seasons show nothing in between."""
    before, after = mask(A, B, (28, 28, 6, 6)), mask(A, (18, 2, 6, 12), C)
    cloudy = {season: (before, mask(EVERYWHERE)) for season in unseen}
    flags = run({2015: (before,), **cloudy, 2018: (after,), 2019: (after,)})
    assert flags[2018] == ["drained", "lost water", "new"] and flags[2019] == []
    assert all(flags[season] == [] for season in unseen)


def test_a_lake_seen_in_part_that_drains_is_flagged() -> None:
    flags = run({2015: (mask(A, B), mask((2, 12, 12, 8))), 2016: (mask(B),)})
    assert flags[2016] == ["drained"]


@pytest.mark.parametrize("seen_once", [(), (C,)], ids=["", "and a pond that drained unseen"])
def test_one_large_drained_lake_is_an_alarm_whatever_was_seen_before(seen_once: tuple) -> None:
    flags = run(
        {2014: (mask(A, B, *seen_once),), 2015: (mask(A, B), mask((16, 16, 20, 20))), 2016: (mask(B),)}
    )
    assert flags[2016] == ["drained"] * (1 + len(seen_once))


def test_lakes_lost_in_a_suspect_season_are_raised_when_a_good_one_confirms_it() -> None:
    others = (30, 2, 4, 30)
    lakes = mask(A, B, others)
    flags = run({2015: (lakes,), 2016: (mask(),), 2017: (mask(B, others),), 2018: (mask(B, others),)})
    assert flags == {2015: [], 2016: ["suspect season"], 2017: ["drained"], 2018: []}


def test_a_split_in_full_view_is_no_loss() -> None:
    flags = run({2015: (mask(A, B),), 2016: (mask((2, 2, 12, 9), (2, 12, 12, 8), B),)})
    assert flags[2016] == []


def test_a_season_against_an_inventory() -> None:
    """An outline of an inventory of 2018 and a dry tile of 2019."""
    history, past = History(), {}
    kinds(history, past, 2018, mask(A, B))
    for entry in history.observations:
        entry["kind"] = SurveyKind.INVENTORY
    prior = history.prior(2019, SurveyKind.INVENTORY)
    rows = draft_season(season_of(cut(mask(B), SIDE)), region(), 2019, prior, [], smallest_m2=2000, sets=FULL)
    assert list(rows.flags.kind) == ["drained"] and rows.flags.detail[0]["since"] == 2018


@pytest.mark.parametrize("size", [0.004, 0.009])
def test_two_lakes_of_which_one_drains(database: Database, size: float) -> None:
    """A lake that a second inventory leaves out has drained, even if the first without it was suspect."""
    record(database, 2015, [lake(0, size), lake(1)])
    why = record(database, 2016, [lake(1)])
    assert (why is not None) == (size > 0.004), "half of the water may be one lake, most of it is suspect"
    record(database, 2017, [lake(1)], complete=True)
    record(database, 2018, [lake(1)], complete=True)
    assert drainages(database) == [(2015, 2017, "drained")]
    assert queue(database) == ([(2016, "suspect season")] if why else []) + [(2017, "drained")]
