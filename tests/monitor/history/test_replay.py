"""The history does not depend on the order in which surveys arrive: real inventories, and random seasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import UUID

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, text

from monitor.history.inventories.importing import Imported
from monitor.history.inventories.mapping import Mapping, read_mapping
from monitor.history.inventories.outlines import read_inventory, years_of
from monitor.lakes.change import Verdict, compare, last_observations
from monitor.settings import Region, RegionSettings
from monitor.vectors.files import Columns, Layer
from monitor.vectors.polygons import Polygons, polygons_of
from storage import history
from storage.codes import LineageKind
from storage.database import Database
from storage.trends import renamed
from tests.support.history_content import current_rows
from tests.support.places import SAMPLES
from tests.support.workspaces import import_inventory

HKH = SAMPLES / "hkh_lakes_2000_2010_2020.parquet"
ICELAND = SAMPLES / "iceland_lakes_1985_2019.parquet"
needs_samples = pytest.mark.skipif(
    not (HKH.exists() and ICELAND.exists()), reason="the sample inventories are not beside the checkout"
)
NewDatabase = Callable[[], AbstractContextManager[Database]]


def box_region(name: str, west: float, south: float, east: float, north: float) -> Region:
    box = shapely.box(west, south, east, north)
    return Region(name, RegionSettings(bounds=(west, south, east, north)), box, box)


HIMALAYA = box_region("hkh", 67, 26, 104, 39)


@pytest.fixture(scope="module")
def hkh() -> Polygons:
    return read_inventory(HKH, read_mapping("hkh-icimod"))


def import_epochs(database: Database, polygons: Polygons, years: Any, region: Region) -> list[Imported]:
    mapping = read_mapping("hkh-icimod" if region is HIMALAYA else "iceland-yearly")
    return [
        import_inventory(database, HKH, region=region, season=year, mapping=mapping, polygons=polygons)
        for year in years
    ]


@needs_samples
@pytest.mark.prove
def test_hkh_in_every_order(new_database: NewDatabase, hkh: Polygons) -> None:
    """The same lakes, lineage and changes in every order; every identity ever assigned leads to a lake."""
    expected: dict[str, Any] = {}
    for order in permutations((2000, 2010, 2020)):
        with new_database() as database:
            import_epochs(database, hkh, order, HIMALAYA)
            found = current_rows(database)
            expected = expected or found
            assert found == expected, order
            with database.connect() as conn:
                minted = set(conn.execute(text("SELECT id FROM lake")).scalars())
                borne = set(conn.execute(text("SELECT DISTINCT lake_id FROM lake_area_history")).scalars())
                led = dict(map(tuple, conn.execute(text("SELECT lake_id, now_lake_id FROM lake_renamed"))))
            assert minted - borne == set(led) and set(led.values()) <= borne
    kinds = [event for _, _, event, *_ in expected["lineage"]]
    assert kinds.count("split") and kinds.count("merged") and "drained" not in kinds


@needs_samples
@pytest.mark.parametrize(
    ("label", "position", "areas"),
    [
        ("GL086446E27945N", "larger", (0.66, 1.32, 1.80)),
        ("GL085840E28318N", "only", (3.18, 4.95, 5.41)),
        # one label, two lakes: followed by the label they would show a false drainage of 0.94 km2
        ("GL087501E28236N", "larger", (1.18, 1.19, 1.21)),
        ("GL087501E28236N", "smaller", (0.25, 0.25, 0.24)),
    ],
)
def test_hkh_lakes_are_followed(
    three_epochs: Database, label: str, position: str, areas: tuple[float, ...]
) -> None:
    query = text(
        "SELECT lake_id, season, area_m2 / 1e6 AS km2, verdict FROM lake_area_history h "
        "LEFT JOIN LATERAL (SELECT verdict FROM lake_change_yearly c WHERE c.region = h.region "
        "AND c.season_to = h.season AND c.lake_id = h.lake_id) AS c ON true "
        "WHERE lake_id IN (SELECT lake_id FROM lake_area_history WHERE label = :label AND season = 2020) "
        "ORDER BY season"
    )
    with three_epochs.connect() as conn:
        rows = pd.DataFrame(
            map(tuple, conn.execute(query, {"label": label})), columns=["lake", "season", "km2", "verdict"]
        )
    lakes = rows[rows.season == 2020].sort_values("km2").lake.tolist()
    assert len(lakes) == (1 if position == "only" else 2)
    lake = rows[rows.lake == (lakes[0] if position == "smaller" else lakes[-1])]
    assert lake.season.tolist() == [2000, 2010, 2020]
    assert lake.km2.to_numpy() == pytest.approx(areas, abs=0.01)
    assert not lake.verdict.isin(["drained", "shrunk"]).any()


@needs_samples
def test_a_duplicated_polygon_is_one_lake(three_epochs: Database) -> None:
    with three_epochs.connect() as conn:
        seen = conn.execute(
            text("SELECT season, count(*) FROM lake_area_history WHERE label = 'GL087501E28236N' GROUP BY 1")
        )
        assert dict(map(tuple, seen)) == {2000: 2, 2010: 2, 2020: 2}
        duplicates = conn.execute(text("SELECT duplicates FROM inventory ORDER BY season")).scalars().all()
    assert duplicates == [0, 2, 0]


@pytest.fixture(scope="module")
def three_epochs(new_database: NewDatabase, hkh: Polygons) -> Iterator[Database]:
    with new_database() as database:
        import_epochs(database, hkh, (2010, 2020, 2000), HIMALAYA)
        yield database


@needs_samples
def test_iceland_raises_no_alarm_for_badly_mapped_years(database: Database) -> None:
    polygons = read_inventory(ICELAND, read_mapping("iceland-yearly"))
    region = box_region("iceland", *polygons.geometry.union_all().buffer(0.05).bounds)
    years = years_of(polygons, read_mapping("iceland-yearly"))
    assert len(years) == 32
    imported = {i.season: i for i in import_epochs(database, polygons, years, region)}
    totals = polygons.geometry.to_crs(32627).area.groupby(polygons.values("year")).sum()
    fell = totals.pct_change()
    suspect = {season for season, i in imported.items() if i.suspect}
    collapsed = set(fell.index[fell < -0.25])
    assert collapsed == {1991, 2000, 2007, 2011} and collapsed <= suspect and len(suspect) <= 8
    with database.connect() as conn:
        alarms = pd.read_sql(text("SELECT * FROM lake_drainage"), conn)
        flags = conn.execute(text("SELECT season, kind FROM review_queue ORDER BY season")).all()
        lake = conn.execute(
            text("SELECT count(*) FROM lake_area_history WHERE area_m2 > 0 GROUP BY lake_id ORDER BY 1 DESC")
        ).scalars()
        seasons = list(lake)
    assert not (alarms.verdict == "drained").any(), "a lake absent from an inventory is not dry"
    assert alarms[alarms.season_to.isin(suspect)].suspect.all()
    reliable = alarms[~alarms.suspect]
    assert len(reliable) <= 8 and (reliable.area_before_m2 > 3e6).sum() <= 2, "one lake per year"
    assert reliable.season_to.is_unique
    raised = {kind: {season for season, other in flags if other == kind} for _, kind in flags}
    assert raised == {"suspect season": suspect, "lost water": set(reliable.season_to)}
    assert seasons[0] == 32 and seasons[1] >= 31, "each large lake keeps one identity, through the bad years"


@needs_samples
def test_iceland_in_reverse_order_gives_the_same_history(new_database: NewDatabase) -> None:
    polygons = read_inventory(ICELAND, read_mapping("iceland-yearly"))
    region = box_region("iceland", *polygons.geometry.union_all().buffer(0.05).bounds)
    years = [1999, 2000, 2001, 2002, 2004]
    histories = []
    for order in (years, years[::-1], [2001, 1999, 2004, 2000, 2002]):
        with new_database() as database:
            import_epochs(database, polygons, order, region)
            histories.append(current_rows(database))
    assert histories[0] == histories[1] == histories[2]


def lakes_file(folder: Path, name: str, outlines: list[BaseGeometry]) -> Path:
    path = folder / f"{name}.gpkg"
    geopandas.GeoDataFrame(geometry=outlines, crs=4326).to_file(path)
    return path


def test_a_lake_across_regions_and_utm_zones_is_one(new_database: NewDatabase, tmp_path: Path) -> None:
    """78 E is the border of two UTM zones and of two regions here; their surveys arrive in any order."""
    west, east = box_region("west", 77, 42, 78, 43), box_region("east", 78, 42, 79, 43)
    lake = shapely.box(77.99, 42.5, 78.02, 42.51)
    files = {
        ("west", 2020): lakes_file(tmp_path, "west2020", [lake, shapely.box(77.5, 42.5, 77.51, 42.51)]),
        ("east", 2020): lakes_file(tmp_path, "east2020", [shapely.box(77.99, 42.5, 78.021, 42.51)]),
        ("east", 2021): lakes_file(tmp_path, "east2021", [lake, shapely.box(78.5, 42.5, 78.51, 42.51)]),
    }
    places = {"west": west, "east": east}
    histories = []
    for order in permutations(files):
        with new_database() as database:
            for name, season in order:
                mapping = Mapping(source="drawn")
                import_inventory(
                    database, files[name, season], region=places[name], season=season, mapping=mapping
                )
            histories.append(current_rows(database))
    assert all(other == histories[0] for other in histories)
    assert len(histories[0]["lakes"]) == 3, "one across the border, one on either side"


# ---- random seasons ----

GRID = 0.01


@st.composite
def lake_shapes(draw: st.DrawFn) -> BaseGeometry:
    """A lake in one cell or over two: whole, with a hole, with a ring that touches itself, or a bow-tie."""
    row, col = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    west, south = 80 + col * GRID, 30 + row * GRID
    wide = draw(st.sampled_from([0.3, 0.5, 0.8, 1.0, 1.6]))
    high = draw(st.sampled_from([0.3, 0.6, 0.9]))
    east, north = west + wide * GRID, south + high * GRID
    box = shapely.box(west, south, east, north)
    kind = draw(st.sampled_from(["box", "box", "hole", "touching", "bow-tie", "sliver", "island"]))
    if kind == "hole":
        return box.difference(shapely.box(*_middle(box, 0.4)))
    if kind == "touching":  # an inner ring that touches the outer one in a point
        x, y = (west + east) / 2, (south + north) / 2
        return shapely.Polygon(box.exterior, [[(west, y), (x, y + GRID / 20), (x, y - GRID / 20), (west, y)]])
    if kind == "bow-tie":
        return shapely.Polygon([(west, south), (east, north), (east, south), (west, north)])
    if kind == "sliver":
        return shapely.box(west, south, east, south + 1e-6)
    if kind == "island":
        return shapely.union(box, shapely.box(east + GRID / 50, south, east + GRID / 10, north))
    return box


def _middle(box: BaseGeometry, share: float) -> tuple[float, float, float, float]:
    west, south, east, north = box.bounds
    x, y, w, h = (west + east) / 2, (south + north) / 2, (east - west) / 2, (north - south) / 2
    return x - share * w, y - share * h, x + share * w, y + share * h


def apart(shapes: list[BaseGeometry]) -> list[BaseGeometry]:
    """Lakes that overlap no earlier one in the list: the lakes of an inventory do not overlap."""
    kept: list[BaseGeometry] = []
    for shape in shapes:
        sound = shapely.make_valid(shape)
        if all(shapely.intersection(sound, shapely.make_valid(other)).area == 0 for other in kept):
            kept.append(shape)
    return kept


a_season = st.lists(lake_shapes(), min_size=1, max_size=7).map(apart)
histories = st.tuples(
    st.dictionaries(st.integers(2015, 2023), a_season, min_size=2, max_size=4), st.randoms(), st.booleans()
)


def import_all(
    database: Database, drawn: dict[int, list[BaseGeometry]], order: list[int], complete: bool
) -> list[Imported]:
    region = box_region("r", 79.9, 29.9, 80.1, 30.1)
    mapping = Mapping(source="drawn", complete=complete, pixel_m=1)
    results = []
    for season in order:
        layer = Layer(np.array(drawn[season]), 4326, Columns((), None))
        frame = polygons_of(Path("drawn"), "inventory", layer)
        results.append(
            import_inventory(
                database, Path("drawn"), region=region, season=season, mapping=mapping, polygons=frame
            )
        )
    return results


def check_history(
    new_database: NewDatabase, seasons: tuple[dict[int, list[BaseGeometry]], Any, bool]
) -> None:
    drawn, random, complete = seasons
    forwards = sorted(drawn)
    shuffled = list(forwards)
    random.shuffle(shuffled)
    with new_database() as database, new_database() as other:
        import_all(database, drawn, forwards, complete)
        before = current_rows(database)
        import_all(other, drawn, shuffled, complete)
        assert current_rows(other) == before, f"{shuffled} gives a different history from {forwards}"
        again = import_all(database, drawn, shuffled, complete)
        assert not any(result.changed or result.replayed for result in again), (
            "a repeated import has no effect"
        )
        assert current_rows(database) == before
        _invariants(database, drawn, complete)
        _invariants(other, drawn, complete)


def _invariants(database: Database, drawn: dict[int, list[BaseGeometry]], complete: bool) -> None:
    with database.connect() as conn:
        rows = pd.DataFrame(
            map(tuple, conn.execute(text("SELECT lake_id, season, outcome, area_m2 FROM lake_area_history"))),
            columns=["lake", "season", "outcome", "area"],
        )
        ever = set(conn.execute(text("SELECT id FROM lake")).scalars())
        led = dict(map(tuple, conn.execute(text("SELECT lake_id, now_lake_id FROM lake_renamed"))))
        everything = conn.execute(
            text("SELECT count(*), count(DISTINCT (lake_id, survey_id)) FROM lake_observation")
        )
        assert len(set(everything.one())) == 1, "no lake twice in a survey"
        seasons = sorted(drawn)
        for season in seasons:
            water = rows[(rows.season == season) & (rows.outcome == "water")]
            sound = shapely.make_valid(drawn[season], method="structure", keep_collapsed=False)
            geod = geopandas.GeoSeries(sound, crs=4326).to_crs(32644)
            assert water.area.sum() == pytest.approx(geod.area.sum(), rel=2e-3), "areas add up"
            assert water.lake.is_unique and len(water) == len(drawn[season]), "an outline is one lake's"
        borne = set(rows.lake)
        assert ever - borne == set(led) and set(led.values()) <= borne, "no identity is lost"
        lineage = pd.DataFrame(
            map(tuple, conn.execute(text("SELECT season, event, lake_id, other_lake_id FROM lake_events"))),
            columns=["season", "event", "lake", "other"],
        )
        first = rows[rows.outcome == "water"].groupby("lake").season.min()
        for event in lineage.itertuples():
            if event.event == "split":
                assert first[event.other] < event.season, "a parent exists before its child"
            if event.event == "merged":
                assert first[event.lake] < event.season
                here = rows[(rows.season == event.season) & (rows.outcome == "water")]
                assert event.lake not in set(here.lake) and event.other in set(here.lake)
        if not complete:
            assert not set(lineage.event) & {"drained", "new"}
        _sql_agrees_with_python(database, seasons)


FIGURES = (
    "area_before_m2", "area_after_m2", "change_m2", "sigma_m2", "detection_limit_m2", "change_percent",
)  # fmt: skip


def _sql_agrees_with_python(database: Database, seasons: list[int]) -> None:
    """The views' verdicts equal those of `monitor.lakes.change`, between any seasons and since the last."""
    with database.connect() as conn:
        lineage = history.lineage(conn, "r")
        suspect = set(conn.execute(text("SELECT id FROM survey WHERE suspect IS NOT NULL")).scalars())
        seen = {s: history.observations_of(conn, "r", s).set_index("lake_id") for s in seasons}
        for end in seasons:
            for start in (s for s in seasons if s < end):
                between = lineage[(lineage.season > start) & (lineage.season <= end)]
                _same_changes(conn, start, end, compare(seen[start], seen[end], between))
            earlier = [seen[s].reset_index() for s in seasons if s < end]
            if not earlier:
                continue
            rows = pd.concat(earlier, ignore_index=True)
            rows["suspect"] = rows.survey_id.isin(suspect)
            before = last_observations(rows, lineage[lineage.season < end])
            _same_changes(conn, None, end, compare(before, seen[end], lineage[lineage.season <= end]))


def _same_changes(conn: Connection, start: int | None, end: int, expected: pd.DataFrame) -> None:
    query = text("SELECT * FROM lake_change('r', :a, :b)")
    rows = conn.execute(query, {"a": start, "b": end}).mappings().all()
    found = pd.DataFrame(rows, columns=["lake_id", "verdict", *FIGURES]).set_index("lake_id")
    assert set(found.index) <= set(expected.index) and found.index.is_unique
    left_out = expected.drop(index=found.index)
    assert (left_out.verdict == Verdict.NOT_OBSERVED).all(), "neither in this season nor in the one before"
    expected = expected.loc[found.index]
    assert found.verdict.tolist() == expected.verdict.tolist()
    for name in FIGURES:
        np.testing.assert_allclose(
            found[name].astype(float), expected[name].astype(float), rtol=1e-9, atol=1e-6, err_msg=name
        )


quick = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@quick
@given(histories)
def test_any_seasons_in_any_order(new_database: NewDatabase, seasons: Any) -> None:
    check_history(new_database, seasons)


@pytest.mark.prove
@pytest.mark.timeout(3000)
@settings(quick, max_examples=400)
@given(histories)
def test_many_seasons_in_any_order(new_database: NewDatabase, seasons: Any) -> None:
    check_history(new_database, seasons)


def test_every_kind_of_event_is_recorded(database: Database) -> None:
    """By hand, in complete inventories; and the verdicts of the view."""

    def box(col: float, width: float = 0.8, row: float = 0) -> BaseGeometry:
        return shapely.box(
            80 + col * GRID, 30 + row * GRID, 80 + (col + width) * GRID, 30 + (row + 0.8) * GRID
        )

    steady = [box(col, row=3) for col in range(8)]
    drawn = {
        2018: [*steady, box(0), box(1), box(3, 1.8), box(6)],
        2019: [*steady, box(0, 1.8), box(3), box(4)],
        2020: [*steady, box(0, 1.8), box(3), box(4), box(6), box(7)],
    }
    import_all(database, drawn, [2020, 2018, 2019], complete=True)
    with database.connect() as conn:
        events = conn.execute(text("SELECT season, event FROM lake_events ORDER BY 1, 2")).all()
        query = "SELECT season_to, verdict, count(*) FROM lake_change_yearly GROUP BY 1, 2 ORDER BY 1, 2"
        verdicts = {(season, verdict): count for season, verdict, count in conn.execute(text(query))}
        drained = conn.execute(text("SELECT lost_percent, suspect FROM lake_drainage")).all()
    assert [tuple(event) for event in events] == [
        (2019, "drained"), (2019, "merged"), (2019, "split"), (2020, "new"), (2020, "reappeared"),
    ]  # fmt: skip
    assert verdicts[2019, "drained"] == verdicts[2019, "merged"] == verdicts[2019, "split off"] == 1
    assert verdicts[2019, "grown"] == verdicts[2019, "shrunk"] == 1 and verdicts[2020, "new"] == 2
    assert [tuple(row) for row in drained] == [(100.0, False)], "the split lake has lost no water"
    assert set(LineageKind) == {event for _, event in events}


def test_identities_replaced_by_an_earlier_season_still_lead_to_the_lake(database: Database) -> None:
    drawn = {year: [shapely.box(80, 30, 80.005, 30.005)] for year in (2021, 2022, 2023)}
    with database.connect() as conn:
        pass
    import_all(database, drawn, [2023], complete=False)
    name: UUID
    with database.connect() as conn:
        name = conn.execute(text("SELECT lake_id FROM lake_area_history")).scalar_one()
    import_all(database, drawn, [2022, 2021], complete=False)
    with database.connect() as conn:
        (old,) = renamed(conn, str(name))
        now = old.now_lake_id
        assert now is not None and now != name and renamed(conn, str(now)) == []
        assert history.history(conn, now).season.tolist() == [2021, 2022, 2023]


def test_a_corrected_file_keeps_the_identities(database: Database) -> None:
    """A slightly different file of the same source supersedes the season; its lakes keep their identities."""
    first = {2021: [shapely.box(80, 30, 80.005, 30.005), shapely.box(80.02, 30, 80.025, 30.005)]}
    import_all(database, first, [2021], complete=False)
    before = current_rows(database)
    second = {2021: [shapely.box(80, 30, 80.0051, 30.005), shapely.box(80.02, 30, 80.025, 30.0051)]}
    (result,) = import_all(database, second, [2021], complete=False)
    after = current_rows(database)
    assert result.changed and result.minted == 0
    assert after["lakes"] == before["lakes"] and after["observations"] != before["observations"]
