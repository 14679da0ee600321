"""Curve of one lake from the lake history, in the terminal and as an image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
from matplotlib.text import Text
from shapely import box
from sqlalchemy import Connection, text

from monitor.cli.lakes import show_history
from monitor.errors import RefusedError
from monitor.grid import Tile
from monitor.report.curve.picture import curve_figure
from monitor.report.curve.reading import read_curve
from monitor.report.curve.terminal import draw_curve, place
from monitor.report.curve.values import (
    Curve,
    Event,
    Point,
    area_ticks,
    decimals,
    ticks,
    trend_line,
    trend_words,
)
from monitor.settings import NAMESPACE
from storage import ledger, registry
from storage.codes import ModelState
from storage.database import Database
from storage.trends import Trend
from tests.support.workspaces import make_workspace, monitor

LAKE, CHILD, OLD, GONE = (uuid5(NAMESPACE, name) for name in ("curve", "child", "old", "gone"))
CODE = "GL075000E42400N"
MODEL, INVENTORY = "tiny 1", "lakes of 2000"


@dataclass
class HistoryWriter:
    """Insert surveys as plain rows, including rows that no command writes."""

    conn: Connection

    def lake(self, lake_id: UUID, code: str) -> None:
        self._insert("lake", id=lake_id, region="demo", code=code)

    def survey(self, season: int, kind: str = "model", name: str = "", **columns: Any) -> UUID:
        survey_id = uuid5(NAMESPACE, f"{season} {kind} {name}")
        source = MODEL if kind == "model" else INVENTORY
        self._insert(
            "survey",
            id=survey_id,
            region="demo",
            season=season,
            kind=kind,
            source=source,
            digest="x",
            **columns,
        )
        return survey_id

    def observed(
        self,
        lake_id: UUID,
        survey: UUID,
        season: int,
        km2: float,
        sigma: float,
        seen: float = 1.0,
        task: UUID | None = None,
    ) -> None:
        """Insert an observation with a square of about `km2` at 42.4 N 75 E."""
        side = (km2 / 9165.3) ** 0.5
        shape = f"ST_Multi(ST_GeomFromText('{box(75, 42.4, 75 + side, 42.4 + side).wkt}', 4326))"
        self._insert(
            "lake_observation", {"geom": shape}, id=uuid5(survey, str(lake_id)), lake_id=lake_id,
            survey_id=survey, season=season, outcome="water", sigma_m2=sigma * 1e6, seen_share=seen,
            task_key=task,
        )  # fmt: skip

    def not_observed(self, lake_id: UUID, survey: UUID, season: int, outcome: str, reason: str) -> None:
        self._insert(
            "lake_observation", id=uuid5(survey, str(lake_id)), lake_id=lake_id, survey_id=survey,
            season=season, outcome=outcome, reason=reason,
        )  # fmt: skip

    def event(self, survey: UUID, season: int, kind: str, lake_id: UUID, other: UUID | None = None) -> None:
        self._insert(
            "lake_lineage", survey_id=survey, season=season, kind=kind, lake_id=lake_id, other_lake_id=other
        )

    def task(self, season: int, item: dict[str, Any]) -> UUID:
        """A task with one scene."""
        tile = Tile(32643, 1024, 1024, 1024)
        scene = ledger.FrozenScene("sentinel-2-l2a", "S2A_1", item=item)
        registry.register_model(self.conn, "x", "tiny", "1", {}, state=ModelState.ACTIVE)
        row = registry.TileRow(tile.name, tile.epsg, tile.size, tile.row, tile.col, tile.footprint())
        registry.upsert_tiles(self.conn, [row])
        key = uuid5(NAMESPACE, f"task {season}")
        ledger.plan_tasks(self.conn, [ledger.PlannedTask(key, "demo", tile.name, season, "x", "c", (scene,))])
        return key

    def _insert(self, table: str, expressions: dict[str, str] | None = None, **columns: Any) -> None:
        values = {**{name: f":{name}" for name in columns}, **(expressions or {})}
        statement = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"
        self.conn.execute(text(statement), columns)


@pytest.fixture
def place_of_lake(database: Database, tmp_path: Path) -> Path:
    """Two inventories and eight model seasons: gaps, dry, partly observed, suspect, split; a renamed lake."""
    with database.begin() as conn:
        conn.execute(text("INSERT INTO region (name) VALUES ('demo')"))
        writer = HistoryWriter(conn)
        writer.lake(LAKE, CODE)
        writer.lake(CHILD, "GL075010E42410N")
        writer.lake(OLD, "GL075001E42401N")
        writer.lake(GONE, "GL079000E42000N")
        for season, km2 in ((2000, 0.66), (2010, 1.32)):
            writer.observed(LAKE, writer.survey(season, "inventory"), season, km2, 0.04)
        current = {
            season: writer.survey(season, suspect="37 of 40 lost water at once" if season == 2018 else None)
            for season in range(2016, 2024)
        }
        for season, km2, sigma, seen in (
            (2016, 1.55, 0.07, 1.0), (2018, 0.9, 0.15, 1.0), (2020, 1.8, 0.05, 1.0), (2021, 1.2, 0.1, 0.724)
        ):  # fmt: skip
            writer.observed(LAKE, current[season], season, km2, sigma, seen)
        writer.not_observed(LAKE, current[2017], 2017, "not observed", "cloud")
        writer.not_observed(LAKE, current[2019], 2019, "dry", "its place was seen dry")
        writer.not_observed(LAKE, current[2022], 2022, "not observed", "cloud")
        writer.not_observed(LAKE, current[2023], 2023, "not observed", "snow or frozen")
        writer.event(current[2020], 2020, "split", CHILD, LAKE)
        before = writer.survey(2016, name="before", superseded_by=current[2016])
        writer.observed(OLD, before, 2016, 1.5, 0.07)
        writer.not_observed(GONE, before, 2016, "not observed", "cloud")
    return make_workspace(tmp_path, tmp_path / "archive", database={"url": database.url})


DRAWN = """\
GL075000E42400N: area in km2
2.0 ┤
    │                                                              ┬
    │                                                              ●
    │                                                  ┬
1.5 ┤                                                  ●       ·····
    │                                 ■                ┴·······       ┬
    │                                 ┴         ········     ┬        ○
    │                                    ·······             │        │
1.0 ┤                             ·······                    │        ┴
    │                      ·······                           ○
    │   ┬           ·······                                  │
    │   ■    ·······                                         ┴
0.5 ┤   ·····
    │
    │
    │
0.0 ┤                                                           ●
    └───┬─────────────────────────────┬────────────────┬──?──┬──┬──┬──┬──?──?───
       2000                          2010                2017  2019  2021  2023
                                                   split, giving GL075010E42410N
● model: tiny 1   ■ inventory: lakes of 2000   │ 95 % interval   ·· trend
? not observed: 2017, 2022 cloud; 2023 snow or frozen
○ not part of the trend: 2018 suspect season; 2021 seen to 72%
Trend: +0.052 km2 per year (95 %: -0.515 to +1.796), 2000-2020, Theil-Sen of 5
  seasons; neither growth nor loss is significant; it runs across the split of
  2020
"""


def test_seasons_of_radar_alone_are_named() -> None:
    def curve(*sensors: str | None) -> Curve:
        points = [
            Point(2000 + n, "model", "tiny 1", "water", None, 5e4, 4e4, 6e4, 1.0, None, True, name)
            for n, name in enumerate(sensors)
        ]
        return Curve(LAKE, CODE, tuple(points))

    mixed = curve("S2L2A+S1+DEM", "S1+DEM", None, "S2L2A", "S1+DEM")
    words = "Seen by radar without optics: 2001, 2004"
    assert words in draw_curve(mixed, 100).plain
    assert any(words in text.get_text() for text in curve_figure(mixed).findobj(Text))
    assert "radar" not in draw_curve(curve("S2L2A+S1+DEM", None), 100).plain


def test_the_drawing_at_80_columns(place_of_lake: Path) -> None:
    done = monitor("lakes", "history", CODE, "-w", place_of_lake, env={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    drawn, _, listed = done.stdout.partition("\n\n")
    assert drawn == DRAWN.rstrip("\n")
    assert "\x1b" not in done.stdout, "no colours in a pipe"
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "not observed:" in listed and "2020: split" in listed


def test_a_terminal_without_unicode(place_of_lake: Path) -> None:
    environment = {"COLUMNS": "70", "PYTHONIOENCODING": "ascii"}
    done = monitor("lakes", "history", CODE, "-w", place_of_lake, env=environment)
    assert done.returncode == 0, done.stderr
    drawn = done.stdout.partition("\n\n")[0]
    assert "* model: tiny 1   # inventory: lakes of 2000" in drawn and "Trend: " in drawn
    assert max(map(len, drawn.splitlines())) <= 70


def test_json_contains_the_trend(place_of_lake: Path, capsys) -> None:
    show_history(place_of_lake, CODE, json=True)
    output = json.loads(capsys.readouterr().out)
    assert len(output["observations"]) == 10 and output["lineage"][0]["kind"] == "split"
    assert output["lake_id"] == str(LAKE) and output["renamed"] is None
    trend = output["trend"]
    # suspect, partly observed and not observed seasons do not count; dry ones do
    assert (trend["seasons"], trend["first_season"], trend["last_season"]) == (5, 2000, 2020)
    assert trend["slope_low_m2_per_year"] < trend["slope_m2_per_year"] < trend["slope_high_m2_per_year"]
    assert trend["middle_season"] == 2016


def test_a_former_identity_leads_to_the_present_one(place_of_lake: Path, capsys) -> None:
    show_history(place_of_lake, str(OLD), json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"GL075001E42401N ({OLD}) is now {CODE} ({LAKE})" in shown
    show_history(place_of_lake, "gl075001", json=True)
    assert json.loads(capsys.readouterr().out)["lake_id"] == str(LAKE)


def test_lakes_that_cannot_be_shown(place_of_lake: Path) -> None:
    with pytest.raises(RefusedError, match="no lake's identity or code begins with 'GL1'"):
        show_history(place_of_lake, "GL1", json=False)
    with pytest.raises(RefusedError, match="no current survey has GL079000E42000N"):
        show_history(place_of_lake, "GL079", json=False)
    done = monitor("lakes", "history", "GL1", "-w", place_of_lake)
    assert done.returncode == 2 and "error: no lake" in done.stderr


def test_pictures(place_of_lake: Path, tmp_path: Path, capsys) -> None:
    for name in ("curve.png", "curve.svg"):
        show_history(place_of_lake, CODE, tmp_path / name, json=False)
        assert f"Picture: {tmp_path / name}" in capsys.readouterr().out
    picture = matplotlib.image.imread(tmp_path / "curve.png")
    assert picture.shape[:2] == (1040, 1800)
    assert len(np.unique(picture[..., 0])) > 50
    words = " ".join(" ".join(ElementTree.parse(tmp_path / "curve.svg").getroot().itertext()).split())
    for part in (CODE, str(LAKE), "2000", "2020", "cloud", "snow or frozen", "dry", "area, km²", "Theil-Sen",
                 "model: tiny 1", "inventory: lakes of 2000", "split, giving GL075010E42410N", "2018 suspect",
                 "2021 seen to 72%"):  # fmt: skip
        assert part in words, part
    first = (tmp_path / "curve.svg").read_bytes()
    show_history(place_of_lake, CODE, tmp_path / "curve.svg", json=True)
    assert (tmp_path / "curve.svg").read_bytes() == first, "the file is reproducible"


@pytest.mark.parametrize("name", ["curve.jpg", "curve", "missing/curve.png"])
def test_unusable_image_paths(place_of_lake: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError, match="--picture"):
        show_history(place_of_lake, CODE, tmp_path / name, json=False)


def curve(*areas_ha: float | None, trend: Trend | None = None, events: tuple[Event, ...] = ()) -> Curve:
    """A curve of model seasons from 2000 with intervals of ±1 ha; None = not observed."""
    points = []
    for season, area in enumerate(areas_ha, 2000):
        outcome, reason = ("not observed", "cloud") if area is None else ("water", None)
        ends = [None if area is None else (area + error) * 1e4 for error in (0, -1, 1)]
        points.append(Point(season, "model", "tiny 1", outcome, reason, *ends, 1.0, None, True))
    return Curve(LAKE, CODE, tuple(points), events, trend)


@pytest.mark.parametrize("width", [20, 30, 80, 200])
@pytest.mark.parametrize("areas", [(5.0,), (None,), (5.0, 5.1), (None, 5.0, None), tuple(range(2, 42))])
def test_no_line_is_wider_than_the_terminal(width: int, areas: tuple[float | None, ...]) -> None:
    events = tuple(Event(2000 + n, "merged with", ("GL1",)) for n in range(len(areas)))
    lines = draw_curve(curve(*areas, events=events), width).plain.splitlines()
    assert max(map(len, lines)) <= width


def test_an_axis_that_begins_above_0_is_labelled() -> None:
    assert draw_curve(curve(50.0, 52.0), 60).plain.splitlines()[-5].lstrip().startswith("49")
    assert "\n 0 ┤" in draw_curve(curve(3.0, 52.0), 60).plain


def test_two_surveys_of_one_season_are_drawn_side_by_side() -> None:
    point = Point(2000, "model", "tiny 1", "water", None, 5e4, 4e4, 6e4, 1.0, None, True)
    other = Point(2000, "inventory", "map", "water", None, 5e4, 4e4, 6e4, 1.0, None, False)
    assert "● ■" in draw_curve(Curve(LAKE, CODE, (point, other)), 80).plain


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1.9, [0, 0.5, 1, 1.5, 2]),
        (0, 2.0, [0, 0.5, 1, 1.5, 2]),
        (0, 0.07, [0, 0.02, 0.04, 0.06, 0.08]),
        (4.98, 5.41, [4.9, 5.0, 5.1, 5.2, 5.3, 5.4, 5.5]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (5, 5, [2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    found = ticks(low, high)
    assert found[0] <= low and found[-1] >= high and len(found) <= 6
    if len(expected) <= 6:
        assert found == pytest.approx(expected)


def test_labels_without_space_are_returned() -> None:
    assert place([(0, "2000"), (2, "2001"), (10, "2010"), (11, "2011")], 12) == (
        "2000    2010",
        [(2, "2001"), (11, "2011")],
    )


def test_the_trend_in_words() -> None:
    trend = Trend(9, 2000, 2008, 310.0, 250.0, 402.0, 2004, 5e4)
    assert trend_words(curve(5.0, trend=trend)) == (
        "Trend: +0.031 ha per year (95 %: +0.025 to +0.040), 2000-2008, Theil-Sen of 9 seasons"
    )
    flat = Trend(9, 2000, 2008, 310.0, -250.0, 402.0, 2004, 5e4)
    assert trend_words(curve(5.0, trend=flat)).endswith("; neither growth nor loss is significant")
    short = Trend(3, 2000, 2020, -5e4, None, None, 2010, 5e4)
    assert trend_words(curve(5.0, trend=short, events=(Event(2010, "split"), Event(2000, "new")))) == (
        "Trend: -5.0 ha per year, 2000-2020, Theil-Sen of 3 seasons, too few for an interval; "
        "it runs across the split of 2010"
    )
    assert [decimals(value) for value in (0.0, 0.031, -1.2, 250.0)] == [0, 3, 1, 0]


@pytest.mark.parametrize(
    ("item", "simulated"),
    [
        ({"properties": {"simulated": True}}, True),
        ({"properties": {"simulated": False}}, False),
        ({"properties": {"platform": "simulated"}}, False),
        ({}, False),
    ],
)
def test_only_curves_of_simulated_scenes_are_labelled(
    place_of_lake: Path, tmp_path: Path, database: Database, item: dict[str, Any], simulated: bool
) -> None:
    """By the property of the frozen items, not by the names of a region, a model or a catalogue."""
    with database.begin() as conn:
        writer = HistoryWriter(conn)
        writer.observed(LAKE, writer.survey(2024), 2024, 1.1, 0.05, task=writer.task(2024, item))
        assert read_curve(conn, LAKE, CODE).simulated == simulated
        assert not read_curve(conn, CHILD, "GL1").simulated, "another lake's scenes do not count"
    show_history(place_of_lake, CODE, tmp_path / "curve.svg", json=False)
    words = " ".join(ElementTree.parse(tmp_path / "curve.svg").getroot().itertext())
    assert ("simulated scenes" in words) == simulated
    drawn = draw_curve(Curve(LAKE, CODE, (), simulated=simulated), 80).plain
    assert ("simulated scenes" in drawn) == simulated


#: the line of the first is above all points at its beginning, that of the second below 0 at its end
STEEP = (
    Trend(3, 2000, 2002, -6e4, None, None, 2001, 21e4),
    Trend(4, 2000, 2003, -7e4, -9e4, 9e4, 2001.5, 8e4),
    Trend(4, 2000, 2003, 7e4, 1e4, 30e4, 2001.5, 8e4),
    Trend(4, 2000, 2003, 0.0, -1e4, 1e4, 2001.5, 0.0),
)


@pytest.mark.parametrize("trend", STEEP)
def test_the_trend_stays_inside_the_axes(trend: Trend) -> None:
    drawn = curve(21.0, 21.0, 9.0, 8.0, trend=trend)
    figure = curve_figure(drawn)
    (axes,) = figure.axes
    (line,) = [line for line in axes.lines if str(line.get_label()).startswith("trend")]
    low, high = axes.get_ylim()
    areas, seasons = line.get_ydata(), line.get_xdata()
    assert min(areas) >= low == 0 and max(areas) <= high == area_ticks(drawn)[-1]
    assert axes.get_xlim()[0] <= min(seasons) < max(seasons) <= axes.get_xlim()[1]
    bands = [drawn for drawn in axes.collections if str(drawn.get_label()).startswith("95 %")]
    assert len(bands) == (trend.slope_low_m2_per_year is not None)
    for clipped in (line, *bands):
        assert clipped.get_clip_on() and clipped.get_clip_box().bounds == axes.bbox.bounds
    for season, area in zip(seasons, areas, strict=True):
        assert area * 1e4 == pytest.approx(trend.area_m2(season), abs=1e-6), "it is still the line"
    dots = [text for text in draw_curve(drawn, 80).plain.splitlines() if "┤" in text or "│" in text]
    columns = {at for text in dots for at, sign in enumerate(text) if sign in "·●┬┴│" and at > 4}
    width = (seasons[-1] - seasons[0]) / (drawn.points[-1].season - 2000) * (80 - 5 - 7)
    assert len(columns) >= width, "a dot or a point in every column of the line"


def test_a_falling_trend_ends_where_the_lake_is_dry() -> None:
    first, last = trend_line(STEEP[1])
    assert first == (2000, pytest.approx(18.5e4))
    assert last == (pytest.approx(2001.5 + 8 / 7), 0.0)
