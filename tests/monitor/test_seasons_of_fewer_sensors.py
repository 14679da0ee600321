"""Long test (`make prove`): the demo with a season without radar, and one with cloud over half of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely

from monitor.history.changes import changes_between
from monitor.lakes.change import Verdict
from monitor.workspace import Workspace, open_database
from segmenter.manifest import ModalityName, code_of, read_manifest
from storage.codes import Outcome
from storage.history import observations_of
from tests.monitor.test_run_with_fewer_sensors import COLLECTIONS, archive_without
from tests.support.places import MODEL, ROOT
from tests.support.workspaces import make_workspace, run_here

RADAR: tuple[ModalityName, ...] = ("S1", "DEM")
pytestmark = [
    pytest.mark.prove,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not MODEL.exists() or code_of(RADAR) not in {entry.code for entry in read_manifest(MODEL).sets},
        reason="the committed model was not validated for radar and DEM alone",
    ),
]
SEASONS = FULL, NO_RADAR, HALF_CLOUD = 2021, 2022, 2023
#: class of clouds in the scene classification of Sen2Cor
CLOUD = 9
#: truly unchanged: within this share of its area
UNCHANGED = 0.03


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's archive: one season without radar, another with cloud over the west on all dates."""
    folder = tmp_path_factory.mktemp("fewer")
    command = [sys.executable, "-m", "simulator", str(folder / "whole")]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    made = archive_without("Sentinel-1", NO_RADAR, folder / "whole", folder / "archive")
    scenes = sorted((made / COLLECTIONS["Sentinel-2"]).rglob(f"*_{HALF_CLOUD}????T*_SCL_20m.tif"))
    assert scenes
    for path in scenes:
        with rasterio.open(path) as file:
            classes, profile = file.read(1), file.profile
        classes[:, : classes.shape[1] // 2][classes[:, : classes.shape[1] // 2] != 0] = CLOUD
        with rasterio.open(path, "w", **profile) as file:
            file.write(classes, 1)
    return made


def test_no_lake_is_lost_and_no_change_is_made_up(archive: Path, module_workspace: Path) -> None:
    folder = make_workspace(module_workspace / "fewer", archive)
    assert not any(report.failed for report in run_here(folder, *SEASONS))
    truth = geopandas.read_parquet(archive / "truth" / "lakes.parquet")
    with open_database(Workspace.open(folder)) as database, database.connect() as conn:
        seen = {season: observations_of(conn, "demo", season).set_index("lake_id") for season in SEASONS}
        changes = {
            (one, other): changes_between(conn, "demo", one, other)
            for one, other in ((FULL, NO_RADAR), (NO_RADAR, HALF_CLOUD))
        }
    known = seen[FULL][seen[FULL].outcome == Outcome.WATER]
    names = _names_of(known, truth[(truth.season == FULL) & (truth.state == "water")])

    def by_season(column: str) -> pd.DataFrame:
        """A column of the truth, by lake_id and season."""
        return truth.pivot(index="lake", columns="season", values=column).loc[names].set_axis(names.index)

    lakes, states, clear = by_season("area_m2"), by_season("state"), by_season("seen_share")
    wet = lakes[(states == "water").all(axis=1) & (lakes.min(axis=1) >= 2e4)]

    without_radar = seen[NO_RADAR].outcome.reindex(wet.index[clear.loc[wet.index, NO_RADAR] > 0.95])
    assert (without_radar == Outcome.WATER).mean() >= 0.95

    last = seen[HALF_CLOUD].reindex(wet.index)
    by_radar = last[last.sensors.isin(["S1+DEM"]) | (last.reason == "no water to radar alone")]
    assert len(by_radar) >= 10, "half of the region is under cloud"
    found = (by_radar.outcome == Outcome.WATER).mean()
    print(f"lakes of at least 2 ha from radar and DEM: {found:.0%} of {len(by_radar)} seen")
    assert found >= 0.8
    assert not (last.reason == "cloud").any(), "radar saw them"

    false = total = 0
    for (one, other), table in changes.items():
        same = lakes[(lakes[other] / lakes[one] - 1).abs() < UNCHANGED].index.intersection(table.index)
        verdicts = table.verdict[same]
        total += int((verdicts != Verdict.NOT_OBSERVED).sum())
        false += int((~verdicts.isin([Verdict.SAME, Verdict.NOT_OBSERVED])).sum())
    print(f"false changes of lakes that kept their area within {UNCHANGED:.0%}: {false} of {total}")
    assert total >= 30 and false <= max(1, 0.01 * total)
    drained = {lake for table in changes.values() for lake in table.index[table.verdict == Verdict.DRAINED]}
    assert all(states.loc[lake].isin(["drained", "absent"]).any() for lake in drained & set(states.index))


def _names_of(known: geopandas.GeoDataFrame, truth: geopandas.GeoDataFrame) -> pd.Series:
    """Name of the true lake that covers most of each known lake that has one, by lake_id."""
    outlines = known.geometry.to_crs(truth.crs).to_numpy()
    common = shapely.area(shapely.intersection(outlines[:, None], truth.geometry.to_numpy()[None]))
    best, covered = common.argmax(axis=1), common.max(axis=1) > 0
    return pd.Series(truth.lake.to_numpy()[best], known.index)[np.asarray(covered)]
