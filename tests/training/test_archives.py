"""The places of archives on real relief."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import transform_bounds

from training.archives import GRAIN, MARGIN, archive_of, place_of
from training.errors import TrainingError


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Elevations of 0.4 x 0.3 degrees."""
    path = tmp_path_factory.mktemp("relief") / "relief.tif"
    transform = rasterio.transform.from_origin(76.0, 36.0, 0.004, 0.003)
    with rasterio.open(
        path, "w", driver="GTiff", width=100, height=100, count=1, dtype="int16", crs=4326,
        transform=transform,
    ) as file:  # fmt: skip
        file.write(np.full((1, 100, 100), 4000, np.int16))
    return path


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([256, 512, 1024]))
def test_squares_lie_inside_the_relief(raster: Path, seed: int, size: int) -> None:
    east, north = place_of(raster, seed, size)
    assert (east, north) == place_of(raster, seed, size)
    assert east % GRAIN == north % GRAIN == 0
    left, bottom, right, top = transform_bounds(4326, 32643, 76.0, 35.7, 76.4, 36.0)
    margin = MARGIN - GRAIN
    assert left + margin < east and east + size * 10 < right - margin
    assert bottom + margin < north - size * 10 and north < top - margin


def test_a_square_larger_than_the_relief_is_in_its_middle(raster: Path) -> None:
    assert place_of(raster, 1, 4000) == place_of(raster, 2, 4000)


def test_relief_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"no raster")
    with pytest.raises(TrainingError, match=r"broken.tif: cannot be read as a raster of elevations"):
        place_of(broken, 1, 512)


def test_archives_on_relief_have_folders_of_their_own(tmp_path: Path) -> None:
    assert archive_of(tmp_path, 5) != archive_of(tmp_path, 5, Path("relief.tif"))
