"""The command line, real relief, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from simulator.__main__ import main
from simulator.errors import SimulatorError
from simulator.settings import Settings
from simulator.terrain import build_terrain
from tests.simulator.conftest import load, read

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
DEMS = REPOSITORY.parent / "shared" / "samples" / "stac" / "dem"


def test_json_summary(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulator", str(tmp_path / "o"), "--size", "256", "--seasons", "2023"]
    ran = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    summary = json.loads(ran.stdout)
    assert summary["seasons"] == [2023]
    assert Path(summary["catalog"]).is_file()
    assert summary["lakes"] >= 5
    assert "seed 7, 256 x 256" in (tmp_path / "o" / "truth" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seasons", "2023-2017"], "2023-2017"),
        (["--seasons", "summer"], "summer"),
        (["--size", "128"], "256"),
        (["--size", "510"], "multiple of 4"),
        (["--epsg", "4326"], "UTM"),
        (["--origin", "5,5"], "multiples of 10"),
        (["--origin", "here"], "easting,northing"),
        (["--origin", "0,4716160"], "outside the UTM zone"),
        (["--dem", "absent.tif"], "absent.tif"),
    ],
)
def test_refusals_name_the_argument(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_content_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("dear to someone")
    assert main([str(tmp_path), "--size", "256"]) == 2
    assert "not empty" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()


def test_a_dem_outside_the_square_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dem.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=50, width=50, count=1, dtype="float32", crs="EPSG:32643",
        transform=Affine(30, 0, 300_000, 0, -30, 4_000_000),
    ) as target:  # fmt: skip
        target.write(np.full((50, 50), 3000, np.float32), 1)
    with pytest.raises(SimulatorError, match="covers 0%"):
        build_terrain(Settings(size=256, dem=path))


def test_real_relief(tmp_path: Path) -> None:
    dem = DEMS / "oggm_baltoro_srtm_clip.tif"
    if not dem.exists():
        pytest.skip(f"no sample DEM at {dem}")
    assert (
        main([str(tmp_path / "o"), "--size", "512", "--seasons", "2021-2022", "--dem", str(dem), "--json"])
        == 0
    )
    real = load(tmp_path / "o", Settings(size=512))
    with rasterio.open(dem) as source:
        heights = source.read(1)
    made = read(real.of("cop-dem-glo-30")[0], "data")
    assert heights.min() - 100 < made.min() < made.max() < heights.max() + 100
    assert made.max() - made.min() > 800
    assert real.lakes.crs.to_epsg() == 32643
    assert len(real.lakes["lake"].unique()) >= 8
