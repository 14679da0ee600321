"""Reports of a lake's area and its error, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid5

import geopandas
import numpy as np
import pandas as pd
import pytest

from monitor.cli.lakes import show_history, show_lakes
from monitor.cli.seasons import print_report
from monitor.run import Report
from monitor.settings import NAMESPACE
from storage import history, registry
from storage.codes import SurveyKind
from storage.database import Database
from storage.recording import record_survey
from storage.status import seen_by
from tests.support.scenery import area_of, pixels
from tests.support.workspaces import make_workspace

LAKE = uuid5(NAMESPACE, "a lake")


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Path:
    """A lake observed in two seasons, first with an error larger than its area, and hidden in the third."""
    rows = {2021: (3000.0, 4000.0), 2022: (300.0, 400.0), 2023: None}
    with database.begin() as conn:
        registry.upsert_region(conn, "demo", None)
        for season, parts in rows.items():
            shore, model = parts or (np.nan, np.nan)
            survey = history.Survey(
                uuid5(NAMESPACE, str(season)), "demo", season, SurveyKind.MODEL, "tiny 1", "sha256:abc"
            )
            frame = geopandas.GeoDataFrame(
                {
                    "lake_id": [LAKE],
                    "outcome": "water" if parts else "not observed",
                    "reason": None if parts else "cloud",
                    "sigma_m2": np.hypot(shore, model),
                    "sigma_shore_m2": shore,
                    "sigma_model_m2": model,
                },
                geometry=[pixels(0, 0, 7, 10) if parts else None],
                crs=4326,
            )
            lakes = pd.DataFrame({"id": [LAKE], "code": ["GL075000E42400N"]} if season == 2021 else {})
            lineage = pd.DataFrame(columns=["kind", "lake_id", "other_lake_id"])
            record_survey(conn, survey, frame, lakes=lakes, lineage=lineage)
    return make_workspace(tmp_path, tmp_path / "archive", database={"url": database.url})


def test_lakes_are_listed_with_the_error_of_the_latest_area(place: Path, capsys) -> None:
    show_lakes(place, None, 5, json=False)
    row = next(line for line in capsys.readouterr().out.splitlines() if "GL075" in line)
    assert [cell.strip() for cell in row.strip("│┃ ").split("│")][-3:] == ["0.70", "0.10", "2022"]
    show_lakes(place, None, 5, json=True)
    (lake,) = json.loads(capsys.readouterr().out)
    area = area_of(pixels(0, 0, 7, 10))
    assert (lake["area_m2"], lake["area_low_m2"], lake["area_high_m2"]) == pytest.approx(
        (area, area - 980, area + 980)
    )


def test_the_history_reports_interval_and_parts(place: Path, capsys) -> None:
    show_history(place, "GL075", json=True)
    wide, narrow, unseen = json.loads(capsys.readouterr().out)["observations"]
    assert wide["area_low_m2"] == 0 and wide["area_high_m2"] == pytest.approx(wide["area_m2"] + 9800)
    assert (narrow["sigma_m2"], narrow["sigma_shore_m2"], narrow["sigma_model_m2"]) == (500, 300, 400)
    assert unseen["area_low_m2"] is None is unseen["area_high_m2"]
    show_history(place, "GL075", json=False)
    shown = capsys.readouterr().out
    assert "0.98" in shown and "0.10" in shown


@pytest.fixture
def seen_by_radar(place: Path, database: Database) -> Path:
    """In the fourth season the lake was seen by radar without optics."""
    survey = history.Survey(uuid5(NAMESPACE, "2024"), "demo", 2024, SurveyKind.MODEL, "tiny 1", "sha256:abc")
    frame = geopandas.GeoDataFrame(
        {"lake_id": [LAKE], "outcome": "water", "sigma_m2": 2000.0, "sensors": "S1+DEM"},
        geometry=[pixels(0, 0, 7, 10)],
        crs=4326,
    )
    with database.begin() as conn:
        lineage = pd.DataFrame(columns=["kind", "lake_id", "other_lake_id"])
        record_survey(conn, survey, frame, lakes=pd.DataFrame({"id": [], "code": []}), lineage=lineage)
        assert seen_by(conn, "demo", 2024, SurveyKind.MODEL) == {"S1+DEM": 1}
        assert seen_by(conn, "demo", 2022, SurveyKind.MODEL) == {}
    return place


def test_the_sensors_of_a_lake_are_shown_where_they_differ(seen_by_radar: Path, capsys) -> None:
    show_lakes(seen_by_radar, None, 5, json=False)
    rows = [line.split("│")[-2] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert " ".join(rows).split() == ["2024", "by", "S1", "+", "DEM"]
    show_lakes(seen_by_radar, None, 5, json=True)
    assert json.loads(capsys.readouterr().out)[0]["sensors"] == "S1+DEM"
    show_history(seen_by_radar, "GL075", json=False)
    shown = capsys.readouterr().out
    assert shown.count("by S1") == 1 and "Seen by radar without optics: 2024" in shown
    show_history(seen_by_radar, "GL075", json=True)
    observations = json.loads(capsys.readouterr().out)["observations"]
    assert [row["sensors"] for row in observations] == [None, None, None, "S1+DEM"]


@pytest.mark.parametrize(
    ("lakes", "words"),
    [
        ({}, None),
        ({"S2L2A+S1+DEM": 7}, None),
        ({"S2L2A+DEM": 7}, "lakes seen: 7 by S2L2A+DEM"),
        (
            {"S2L2A+S1+DEM": 7, "S1+DEM": 2},
            "lakes seen: 7 by S2L2A+S1+DEM, 2 by S1+DEM; 2 by radar without optics",
        ),
    ],
)
def test_the_report_of_a_season_tells_lakes_of_radar_alone_apart(
    lakes: dict[str, int], words: str | None, capsys
) -> None:
    report = Report("demo", 2022, {"done": 3}, seen_by=lakes)
    assert report.sensors == words
    print_report(report)
    assert ("lakes seen" in capsys.readouterr().out) == (words is not None)
