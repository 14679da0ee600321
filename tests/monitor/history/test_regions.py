"""Regions that overlap, and regions with other names: every lake once, whatever is run first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest

from monitor import open_cube
from monitor.errors import RefusedError
from monitor.operations.runs import run_seasons, seasons_of
from monitor.progress import SILENT
from monitor.run import Report, plan_season
from monitor.workspace import Workspace, open_system
from storage import history
from storage.database import Database
from tests.support.history_content import current_rows
from tests.support.workspaces import make_workspace, monitor

pytestmark = pytest.mark.slow

#: side of a tile in pixels: the whole archive
SIZE = 512
Regions = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def regions(small_archive: Path) -> Regions:
    """The whole archive, and a third of it, within the outline of the whole, which is no box in degrees."""
    west, south, east, north = geopandas.read_file(small_archive / "region.geojson").total_bounds.tolist()
    whole = {"outline": str(small_archive / "region.geojson")}
    inner = [west + 0.001, south + 0.001, (2 * west + east) / 3, north - 0.001]
    return {"whole": whole, "part": {"bounds": inner}}


def make(folder: Path, archive: Path, database: Database, **named: dict[str, Any]) -> Path:
    settings = {"model": "index-baseline", "regions": named, "database": {"url": database.url}}
    return make_workspace(folder, archive, tile_size=SIZE, **settings)


def run(folder: Path, *names: str) -> list[Report]:
    with open_system(Workspace.open(folder)) as system:
        return list(run_seasons(system, seasons_of(names, [2021]), "test", lambda _: SILENT).reports)


def known_lakes(database: Database) -> int:
    with database.connect() as conn:
        return len(history.lakes(conn))


def test_regions_that_overlap_keep_their_own_layers_in_any_order(
    tmp_path: Path,
    small_archive: Path,
    regions: Regions,
    new_database: Callable[[], AbstractContextManager[Database]],
) -> None:
    with new_database() as database, new_database() as another:
        one = make(tmp_path / "one", small_archive, database, **regions)
        other = make(tmp_path / "other", small_archive, another, **regions)
        assert all(report.tiles["done"] >= 1 for report in run(one, "whole", "part"))
        run(other, "part", "whole")
        assert current_rows(database) == current_rows(another)
        with open_system(Workspace.open(one)) as system:
            keys = []
            for name in regions:
                planned = plan_season(system, system.workspace.region(name), 2021)
                assert planned and not any(entry.to_predict for entry in planned)
                keys.append(system.cube(name).written(32643, 2021))
            shared = keys[0].keys() & keys[1].keys()
            row, col = min(shared)
            window = slice(row * SIZE, (row + 1) * SIZE), slice(col * SIZE, (col + 1) * SIZE)
            reasons = [system.cube(name).read(32643, 2021, *window, "reason") for name in regions]
        assert all(keys[0][tile] != keys[1][tile] for tile in shared)
        assert not np.array_equal(*reasons), "other pixels are outside of each"
        with pytest.raises(RefusedError, match="has the layers of part, whole: name the region"):
            open_cube(one, index=True)
        assert open_cube(one, "part", index=True)["32643"].sizes["season"] == 1


def test_no_lake_is_recorded_twice_under_other_names(
    tmp_path: Path, small_archive: Path, regions: Regions, database: Database
) -> None:
    folder = make(tmp_path, small_archive, database, whole=regions["whole"])
    run(folder, "whole")
    lakes = known_lakes(database)
    make(tmp_path, small_archive, database, ala_too=regions["whole"])
    with pytest.raises(RefusedError, match=r"regions\.ala_too: .* as the region 'whole'.* Name the region"):
        run(folder, "ala_too")
    answer = monitor("plan", "--season", "2021", "-w", folder)
    assert answer.returncode == 2 and "as the region 'whole'" in answer.stderr
    west, south, east, north = regions["part"]["bounds"]
    elsewhere = {"bounds": [west + 10, south, east + 10, north]}
    make(tmp_path, small_archive, database, whole=elsewhere)
    with pytest.raises(RefusedError, match=r"regions\.whole: .* another place under this name, in \[7"):
        run(folder, "whole")
    # a part of a region that is no longer named finds its lakes, and that region's surveys are replayed
    make(tmp_path, small_archive, database, a_part=regions["part"])
    run(folder, "a_part")
    assert known_lakes(database) == lakes
    # beside the former name it is another region, with the same lakes
    make(tmp_path, small_archive, database, ala_too=regions["whole"], whole=regions["whole"])
    run(folder, "ala_too")
    assert known_lakes(database) == lakes


def test_a_name_that_is_not_known_is_refused_by_every_command(
    tmp_path: Path, small_archive: Path, regions: Regions, database: Database
) -> None:
    folder = make(tmp_path, small_archive, database, **regions)
    for command in ("status", "review list", "lakes list", "inventory list", "lakes changes --from 1 --to 2"):
        answer = monitor(*command.split(), "-r", "pat", "-w", folder)
        assert answer.returncode == 2 and "no region 'pat'" in answer.stderr
        assert "Did you mean part?" in answer.stderr
    for command in ("run --season", "scenes --season", "plan --season", "export masks x --season"):
        for season in ("0", "1066", "-5", "99999"):
            answer = monitor(*command.split(), season, "-r", "part", "-w", folder)
            assert answer.returncode == 2 and "error: " in answer.stderr, (command, season)
    for command in ("review list", "review export x"):
        answer = monitor(*command.split(), "-s", "1066", "-w", folder)
        assert answer.returncode == 2 and "no survey in that season" in answer.stderr
    answer = monitor("inventory", "import", "x.gpkg", "--year", "18", "-r", "part", "-w", folder)
    assert answer.returncode == 2 and "a year from 1900 to" in answer.stderr
