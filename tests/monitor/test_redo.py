"""Work that is done again: wrong, empty and damaged tiles, on a simulated archive with the index."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from monitor.doctor import deep
from monitor.doctor.examination import State
from monitor.grid import tile_named
from monitor.operations.runs import run_seasons, seasons_of
from monitor.plan import Redo
from monitor.progress import SILENT
from monitor.run import Report
from monitor.workspace import Workspace, open_database, open_system
from segmenter.baseline import IndexBaseline
from segmenter.protocol import Answer, TileArrays
from storage.cube_damage import DamagedError
from tests.support.history_content import current_rows
from tests.support.workspaces import make_workspace, monitor, run_here, tables

#: changes an answer before the segmenter returns it
Fault = Callable[[Answer], Answer]


@pytest.fixture(scope="module")
def folder(small_archive: Path, module_workspace: Path) -> Path:
    """Two seasons of four tiles. A test that changes it redoes the season before it ends."""
    made = make_workspace(module_workspace / "redo", small_archive, tile_size=256, model="index-baseline")
    assert [report.tiles for report in run_here(made, 2021, 2022)] == [{"done": 4}] * 2
    return made


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fault], None]:
    """Make the segmenter answer wrongly until the test ends, or `undo` is called."""
    answered = IndexBaseline._answer

    def set_fault(change: Fault) -> None:
        def changed(self: IndexBaseline, scene: TileArrays) -> Answer:
            return change(answered(self, scene))

        monkeypatch.setattr(IndexBaseline, "_answer", changed)

    return set_fault


def redo(folder: Path, season: int, tile: str | None = None, reason: str | None = None) -> Report:
    with open_system(Workspace.open(folder)) as system:
        outcome = run_seasons(
            system, seasons_of(["demo"], [season]), "test", lambda _: SILENT, Redo(tile=tile, reason=reason)
        )
    return outcome.reports[0]


def history_of(folder: Path) -> Any:
    with open_database(Workspace.open(folder)) as database:
        return current_rows(database)


def attempts(folder: Path) -> dict[str, Any]:
    """When the task of each tile and season last changed."""
    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        return {
            f"{row.tile} {row.season}": row.updated_at for row in conn.execute(text("SELECT * FROM task"))
        }


def everywhere(value: float) -> Fault:
    def change(answer: Answer) -> Answer:
        return replace(
            answer,
            probability=np.full_like(answer.probability, value),
            uncertainty=np.full_like(answer.uncertainty, value),
        )

    return change


def test_a_redo_of_sound_tiles_changes_nothing(folder: Path) -> None:
    before, content, tried = tables(folder), history_of(folder), attempts(folder)
    tile = before["tile"][0][0]
    report = redo(folder, 2021, tile=tile)
    assert report.tiles == {"done": 4} and not report.nothing_new
    assert tables(folder) == before and history_of(folder) == content
    changed = {name for name, at in attempts(folder).items() if at != tried[name]}
    assert changed == {f"{tile} 2021"}, "one tile was done again"
    assert all(report.nothing_new for report in run_here(folder, 2021, 2022)), "and nothing is left to do"


def test_a_model_that_fails_is_no_weather_and_its_tiles_are_tried_again(
    folder: Path, fault: Callable[[Fault], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layers of before stay, and so does the history."""
    before, content = tables(folder), history_of(folder)
    fault(everywhere(np.nan))
    report = redo(folder, 2021)
    assert report.failed and report.tiles == {"failed": 4}
    words = "model index-baseline: its answer is not finite on "
    assert sum(report.reasons.values()) == 4 and all(reason.startswith(words) for reason in report.reasons)
    assert history_of(folder) == content
    monkeypatch.undo()
    (again,) = run_here(folder, 2021)
    assert again.tiles == {"done": 4}
    assert tables(folder) == before and history_of(folder) == content


def test_a_wrong_result_is_mended_by_a_redo(
    folder: Path, fault: Callable[[Fault], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both surveys are drafted again: the season's, and the next one, which is compared with it."""
    content = history_of(folder)
    fault(everywhere(0.0))
    report = redo(folder, 2021)
    assert report.tiles == {"done": 4}
    dry = history_of(folder)
    assert dry != content
    monkeypatch.undo()
    redo(folder, 2021, reason="done before")
    assert history_of(folder) == content
    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        kept = conn.execute(text("SELECT count(*) FROM survey WHERE superseded_by IS NOT NULL")).scalar_one()
    assert kept >= 1, "the wrong survey is kept, superseded"


def test_a_tile_that_ended_as_all_cloud_is_selected_by_its_reason(folder: Path) -> None:
    """As damaged programs of earlier versions left them: recorded as empty, and never done again."""
    content = history_of(folder)
    with open_database(Workspace.open(folder)) as database, database.begin() as conn:
        conn.execute(
            text(
                "UPDATE task SET state = 'empty', survey_id = NULL, reason = 'all cloud: no clear view' "
                "WHERE season = 2022 AND tile = (SELECT min(tile) FROM task)"
            )
        )
    assert run_here(folder, 2022)[0].tiles == {"done": 3, "empty": 1}, "not by itself"
    answer = monitor("redo", "-r", "demo", "-s", "2022", "--reason", "all cloud", "-w", folder, "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)[0]["tiles"] == {"done": 4}
    assert history_of(folder) == content


def test_a_redo_is_refused_for_what_is_not_there(folder: Path) -> None:
    before = tables(folder)
    for options, words in (
        (["--tile", "nosuch"], "the region has no tile 'nosuch'"),
        (["--reason", "all cloud"], "there is: done before"),
        (["--season", "1066"], "1066"),
        (["--region", "nosuch"], "nosuch"),
    ):
        answer = monitor("redo", "-r", "demo", "-s", "2021", *options, "-w", folder)
        assert answer.returncode == 2 and words in answer.stderr, answer.stderr
        assert "Traceback" not in answer.stderr
    assert tables(folder) == before


def damage(folder: Path) -> None:
    """Flip a byte of the largest chunk, which is a layer of a tile."""
    path = max((folder / "cube-index" / "chunks").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def test_damage_is_named_by_the_doctor_and_done_again(folder: Path, tmp_path: Path) -> None:
    content, opened = history_of(folder), Workspace.open(folder)
    assert {deep.cubes(opened).state, deep.database_pages(opened).state} == {State.OK}  # type: ignore[union-attr]
    damage(folder)
    answer = monitor("doctor", "--deep", "-w", folder, "--json")
    assert answer.returncode == 1
    (finding,) = (entry for entry in json.loads(answer.stdout) if entry["check"] == "cube")
    found = re.fullmatch(r"1 damaged tiles: tile (\w+), season (\d+): (\w+)", finding["found"])
    assert found is not None, finding
    tile, season, layer = found.groups()
    assert f"`monitor run --season {season}`" in finding["remedy"]
    with open_system(Workspace.open(folder)) as system:
        view, named = system.cube("demo").view(), tile_named(tile)
        rows, cols = (slice(start, start + named.size) for start in (named.row, named.col))
        with pytest.raises(
            DamagedError, match=f"layer {layer} of tile {tile}, season {season} cannot be read"
        ):
            view.read(named.epsg, int(season), rows, cols, layer)
    options = ["--season", season, "--layer", layer, "-w", folder]
    exported = monitor("export", "masks", tmp_path / "masks", *options)
    assert exported.returncode == 1 and f"tile {tile}, season {season}" in exported.stderr, exported.stderr
    assert "Traceback" not in exported.stderr
    plan = json.loads(monitor("plan", "--season", season, "-w", folder, "--json").stdout)
    (entry,) = (entry for entry in plan if entry["tile"] == tile)
    assert (entry["action"], entry["why"][0]["params"]) == (
        "again",
        {"reason": f"damaged in the cube: {layer}"},
    )
    (report,) = run_here(folder, int(season))
    assert report.tiles == {"done": 4}
    assert history_of(folder) == content
    exported = monitor("export", "masks", tmp_path / "masks", *options)
    assert exported.returncode == 0, exported.stderr
    assert deep.cubes(opened).state == State.OK  # type: ignore[union-attr]


def test_damage_that_cannot_be_done_again_is_no_data(
    folder: Path, fault: Callable[[Fault], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The damaged layers are not read; the other tiles of the season are recorded."""
    content = history_of(folder)
    damage(folder)
    finding = deep.cubes(Workspace.open(folder))
    assert finding is not None
    season = int(re.findall(r"season (\d+)", finding.found)[0])
    fault(everywhere(np.nan))
    (report,) = run_here(folder, season)
    assert report.tiles == {"done": 3, "failed": 1}
    assert history_of(folder) != content
    monkeypatch.undo()
    run_here(folder, 2021, 2022)
    assert history_of(folder) == content
