"""A model that is not fit for the ground: the run, the status and the doctor say so, and no lake drains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from monitor.doctor.examination import State
from monitor.doctor.ground import model_and_index
from monitor.lakes.fitness import NOT_FIT
from monitor.workspace import Workspace, open_database
from segmenter.manifest import MANIFEST_FILE, WEIGHTS_FILE
from tests.support.places import MODEL
from tests.support.workspaces import make_workspace, monitor, run_here

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(small_archive: Path, module_workspace: Path) -> Path:
    """2021 with the delivered model; a model beside it that answers zero everywhere."""
    if not MODEL.exists():
        pytest.skip("the committed model is missing: models/")
    made = make_workspace(module_workspace / "unfit", small_archive)
    (report,) = run_here(made, 2021)
    assert report.tiles == {"done": 1} and report.suspect is None
    return made


@pytest.fixture(scope="module")
def blind(module_workspace: Path) -> Path:
    """The delivered network with a threshold that no probability reaches."""
    copy = module_workspace / "blind"
    copy.mkdir()
    (copy / WEIGHTS_FILE).symlink_to(MODEL / WEIGHTS_FILE)
    content = json.loads((MODEL / MANIFEST_FILE).read_text())
    written = content | {"version": "blind", "threshold": 1 - 1e-12, "fewer": []}
    (copy / MANIFEST_FILE).write_text(json.dumps(written))
    return copy


def choose(folder: Path, model: Path) -> Workspace:
    path = folder / "monitor.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"model": str(model)}))
    return Workspace.open(folder)


def rows(folder: Path, query: str) -> list[Any]:
    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        return list(conn.execute(text(query)))


def test_the_delivered_model_fits(folder: Path) -> None:
    finding = model_and_index(choose(folder, MODEL), ["demo"])
    assert finding is not None and finding.state == State.OK
    assert "demo 2021: they agree on" in finding.found


def test_a_model_that_sees_no_water(folder: Path, blind: Path) -> None:
    workspace = choose(folder, blind)
    assert model_and_index(workspace, ["demo"]) is None, "it has no season yet"
    lakes = len(rows(folder, "SELECT FROM lake_observation WHERE outcome = 'water'"))
    answer = monitor("run", "--season", "2022", "-w", folder)
    assert answer.returncode == 0, answer.stderr
    assert f"demo 2022 is suspect: {NOT_FIT}: of " in answer.stderr
    assert "do not use this season" in answer.stderr
    observed = rows(
        folder, "SELECT outcome, count(*) FROM lake_observation WHERE season = 2022 GROUP BY outcome"
    )
    assert observed == [("not observed", lakes)]
    assert rows(folder, "SELECT kind FROM lake_lineage WHERE season = 2022") == []
    flags = rows(folder, "SELECT kind FROM review_flag WHERE kind NOT LIKE '%index%'")
    assert flags == [("suspect season",)]
    again = json.loads(monitor("run", "--season", "2022", "-w", folder, "--json").stdout)
    assert again[0]["nothing_new"] and again[0]["suspect"].startswith(NOT_FIT)
    assert f"demo 2022 is suspect: {NOT_FIT}" in " ".join(monitor("status", "-w", folder).stdout.split())
    finding = model_and_index(workspace, ["demo"])
    assert finding is not None and finding.state == State.PROBLEM
    assert f"demo 2022: {NOT_FIT}, they agree on 0% of the water" in finding.found
    checks = json.loads(monitor("doctor", "-w", folder, "--json").stdout)
    assert {check["check"]: check["state"] for check in checks}["model and index"] == "problem"


def test_another_model_ends_the_suspicion(folder: Path, blind: Path) -> None:
    choose(folder, MODEL)
    (report,) = run_here(folder, 2022)
    assert report.suspect is None and report.tiles == {"done": 1}
    kinds = rows(
        folder,
        "SELECT DISTINCT f.kind FROM review_flag f JOIN survey s ON s.id = f.survey_id "
        "WHERE s.superseded_by IS NULL AND f.kind = 'suspect season'",
    )
    assert kinds == []
