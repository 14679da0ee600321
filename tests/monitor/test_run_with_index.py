"""The whole path with the index instead of a model, and beside one; its results are marked as such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sqlalchemy import text

from monitor.cli.lakes import show_changes
from monitor.cli.status import show_status
from monitor.doctor.checks import WorkspaceChecks
from monitor.doctor.examination import State
from monitor.errors import RefusedError
from monitor.workspace import Workspace, open_database, open_system
from storage.codes import Reason, SurveyKind
from storage.history import lakes, observations_of
from storage.status import status
from tests.support.places import MODEL
from tests.support.workspaces import layers, make_workspace, run_here, tables


@pytest.fixture(scope="module")
def indexed(small_archive: Path, module_workspace: Path) -> Path:
    """Two seasons processed with the index."""
    folder = make_workspace(module_workspace / "indexed", small_archive, model="index-baseline")
    reports = run_here(folder, 2021, 2022)
    assert [report.tiles for report in reports] == [{"done": 1}, {"done": 1}]
    return folder


@pytest.fixture(scope="module")
def both(indexed: Path) -> Path:
    """The second season processed with the model as well."""
    if not MODEL.exists():
        pytest.skip("the committed model is missing: models/")
    choose(indexed, str(MODEL))
    (report,) = run_here(indexed, 2022)
    assert report.tiles == {"done": 1}
    return indexed


def choose(folder: Path, model: str) -> None:
    path = folder / "monitor.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"model": model}))


def rows(folder: Path, query: str) -> list[dict[str, Any]]:
    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        return [dict(row) for row in conn.execute(text(query)).mappings()]


def test_the_doctor_warns_that_it_is_not_a_model(indexed: Path) -> None:
    finding = WorkspaceChecks(Workspace.open(indexed), []).model()
    assert finding.state == State.WARNING
    assert "index-baseline 1.1: an index of bands, no weights, Sentinel-1 as rtc" in finding.found


def test_lakes_of_the_index_are_marked_as_such(indexed: Path) -> None:
    surveys = rows(indexed, "SELECT season, kind, source FROM survey WHERE kind = 'index' ORDER BY season")
    assert surveys == [
        {"season": season, "kind": "index", "source": "index-baseline 1.1"} for season in (2021, 2022)
    ]
    seen = rows(
        indexed,
        "SELECT o.season, count(*) AS lakes FROM lake_observation o JOIN survey s ON s.id = o.survey_id "
        "WHERE s.kind = 'index' AND outcome = 'water' GROUP BY o.season",
    )
    assert len(seen) == 2 and all(row["lakes"] >= 5 for row in seen)


def test_its_disagreement_with_itself_is_not_flagged(indexed: Path) -> None:
    kinds = rows(
        indexed,
        "SELECT f.kind FROM review_flag f JOIN survey s ON s.id = f.survey_id WHERE s.kind = 'index'",
    )
    assert {row["kind"] for row in kinds} <= {"drained", "lost water", "new", "reappeared"}


def test_seasons_of_the_index_are_compared_with_each_other(indexed: Path) -> None:
    with open_database(Workspace.open(indexed)) as database, database.connect() as conn:
        before, after = (observations_of(conn, "demo", year, SurveyKind.INDEX) for year in (2021, 2022))
    common = set(before.lake_id[before.outcome == "water"]) & set(after.lake_id[after.outcome == "water"])
    assert len(common) >= 4


def test_a_model_survey_does_not_depend_on_it(both: Path) -> None:
    surveys = rows(both, "SELECT season, kind, superseded_by IS NULL AS current FROM survey ORDER BY 2, 1, 3")
    assert [(row["season"], row["kind"]) for row in surveys if row["current"]] == [
        (2021, "index"), (2022, "index"), (2022, "model"),
    ]  # fmt: skip
    # The index survey takes identities from the model's survey, so it was replayed when that was recorded.
    assert [(row["season"], row["kind"]) for row in surveys if not row["current"]] == [(2022, "index")]
    tasks = rows(both, "SELECT season, kind, state FROM task ORDER BY kind, season")
    assert [(row["season"], row["kind"], row["state"]) for row in tasks] == [
        (2021, "index", "done"), (2022, "index", "done"), (2022, "model", "done"),
    ]  # fmt: skip
    model_rows = rows(
        both,
        "SELECT outcome, NULL AS kind FROM lake_observation o JOIN survey s ON s.id = o.survey_id "
        "WHERE s.kind = 'model' UNION ALL SELECT NULL, e.kind FROM lake_lineage e "
        "JOIN survey s ON s.id = e.survey_id WHERE s.kind = 'model'",
    )
    # if the model were compared with the index's season, some lakes would be missing, new, drained or split
    assert {(row["outcome"], row["kind"]) for row in model_rows} == {("water", None)}
    lost = rows(
        both,
        "SELECT f.kind FROM review_flag f JOIN survey s ON s.id = f.survey_id "
        "WHERE s.kind = 'model' AND f.lake_id IS NOT NULL",
    )
    assert lost == []


def test_its_layers_are_stored_separately(both: Path) -> None:
    model = layers(both, 2022)
    choose(both, "index-baseline")
    with open_system(Workspace.open(both)) as system:
        cube = system.cube("demo")
        assert cube.seasons(32643) == [2021, 2022]
        (tile,) = set(cube.written(32643, 2022))
        window = slice(tile[0] * 512, (tile[0] + 1) * 512), slice(tile[1] * 512, (tile[1] + 1) * 512)
        index = {name: cube.read(32643, 2022, *window, name) for name in ("probability", "reason")}
    choose(both, str(MODEL))
    assert not np.allclose(index["probability"], model["probability"], equal_nan=True)
    wet = [layer["reason"] == Reason.WATER for layer in (index, model)]
    assert (wet[0] & wet[1]).sum() > 0.5 * (wet[0] | wet[1]).sum(), "both map the same lakes"


def test_views_and_reports_name_the_kind(both: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = rows(both, "SELECT DISTINCT season, kind FROM lake_area_history ORDER BY season")
    assert shown == [{"season": 2021, "kind": "index"}, {"season": 2022, "kind": "model"}]
    with open_database(Workspace.open(both)) as database, database.connect() as conn:
        assert [(row.season, row.kind, row.tasks) for row in status(conn)] == [
            (2021, "index", {"done": 1}), (2022, "model", {"done": 1}), (2022, "index", {"done": 1}),
        ]  # fmt: skip
        kinds = lakes(conn).kind.value_counts()
    assert kinds["model"] >= 5
    capsys.readouterr()
    show_status(both)
    printed = capsys.readouterr().out
    assert printed.count("2021 (index)") == printed.count("2022 (index)") == 1


def test_seasons_of_model_and_index_are_not_compared(both: Path) -> None:
    with pytest.raises(RefusedError, match="2021 was surveyed by an index only, 2022 by a model"):
        show_changes(both, None, 2021, 2022, everything=True, json=True)


def test_neither_is_computed_again(both: Path) -> None:
    before = tables(both)
    for model in ("index-baseline", str(MODEL)):
        choose(both, model)
        (report,) = run_here(both, 2022)
        assert report.nothing_new
    assert tables(both) == before
