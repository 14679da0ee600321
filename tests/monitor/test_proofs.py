"""Long tests (`make prove`): the demo's region as 1, 4 and 16 tiles, and runs killed at many moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.places import MODEL, ROOT
from tests.support.workspaces import COMMAND, assert_same_layers, layers, make_workspace, run_here, tables

pytestmark = [
    pytest.mark.prove,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not MODEL.exists(), reason="the committed model is missing: models/"),
]
#: seconds from the start to the kill; together they cover every step of a run
MOMENTS = (1, 4, 8, 12, 16, 20, 25, 30, 40)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 x 20 km as in the demo, one season."""
    folder = tmp_path_factory.mktemp("prove") / "archive"
    command = [sys.executable, "-m", "simulator", str(folder), "--seasons", "2021"]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return folder


def test_one_four_or_sixteen_tiles(archive: Path, module_workspace: Path) -> None:
    seen = {}
    for size in (2048, 1024, 512):
        folder = make_workspace(module_workspace / str(size), archive, tile_size=size)
        (report,) = run_here(folder, 2021)
        assert report.tiles == {"done": (2048 // size) ** 2}
        kept = layers(folder, 2021)
        lakes = sorted(bytes(row[6]) for row in tables(folder)["lake_observation"] if row[6])
        seen[size] = kept, lakes
    whole, lakes = seen[2048]
    for size in (1024, 512):
        kept, others = seen[size]
        np.testing.assert_allclose(kept["probability"], whole["probability"], atol=1e-3, equal_nan=True)
        difference = np.nanmax(np.abs(kept["probability"] - whole["probability"]))
        print(f"1 tile against {(2048 // size) ** 2}: largest difference of probability {difference:.1e}")
        for name in ("reason", "day_of_year", "index", "mask"):
            assert np.array_equal(kept[name], whole[name]), name
        assert others == lakes


def test_killed_again_and_again(small_archive: Path, module_workspace: Path) -> None:
    """One workspace, killed at each moment in turn, then finished; compared with an uninterrupted one."""
    never = make_workspace(module_workspace / "never", small_archive, tile_size=256)
    run_here(never, 2021, 2022)
    often = make_workspace(module_workspace / "often", small_archive, tile_size=256)
    command = [*COMMAND, "backfill", "--years", "2021-2022", "-w", str(often)]
    killed = 0
    for moment in MOMENTS:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(moment)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
    print(f"killed {killed} times")
    assert killed >= 3
    run_here(often, 2021, 2022)
    assert tables(often) == tables(never)
    assert_same_layers(often, never, 2021, 2022)
