"""Fitting the intervals of an existing model again, and the places of archives on real relief."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import transform_bounds

from segmenter.area_factor import factor_at
from segmenter.manifest import WEIGHTS_FILE, Manifest, digest_of, read_manifest
from training.archives import GRAIN, MARGIN, archive_of, place_of
from training.areas import Drawn
from training.calibration import KNOTS_M2, Areas
from training.errors import TrainingError
from training.intervals import Worlds, refitted, refuse_shared, write_intervals

SHIPPED = Path(__file__).parents[2] / "models/terramind-tiny-simulated"


def drawn(seed: int, count: int = 2000) -> Drawn:
    """Lakes whose errors are twice the stated ones at 1.4 ha and as stated above 10 ha."""
    rng = np.random.default_rng(seed)
    true = np.exp(rng.uniform(np.log(1e4), np.log(1e6), count))
    sigma = 5 * np.sqrt(true)
    times = factor_at(((KNOTS_M2[0], 2.0), (KNOTS_M2[-1], 1.0)), true)
    lakes = Areas(true, true + rng.normal(0, 1, count) * times * sigma, sigma, np.zeros(count))
    return Drawn(lakes, lakes, lakes=count, found=count)


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


def shipped() -> Manifest:
    return read_manifest(SHIPPED)


def test_the_shipped_model_has_a_factor_that_falls_with_the_area() -> None:
    factor = shipped().area_factor
    assert not isinstance(factor, float)
    values = [value for _, value in factor]
    assert values == sorted(values, reverse=True) and values[0] > values[-1]


def test_refitting_covers_every_class_and_changes_nothing_else(tmp_path: Path) -> None:
    """From the table of lakes to the manifest and card that are read back."""
    weights = tmp_path / WEIGHTS_FILE
    weights.write_bytes(b"weights")
    before = shipped().model_copy(update={"area_factor": 1.2385, "digest": digest_of(weights)})
    made = refitted(before, drawn(1), drawn(2), drawn(3), {"validation": {"seeds": [1]}})
    after = write_intervals(tmp_path, made)
    assert after.area_factor == made.area_factor
    assert factor_at(after.area_factor, [1.4e4, 1e5]) == pytest.approx([2, 1], rel=0.15)
    kept = {name: value for name, value in before if name not in ("area_factor", "training", "scores")}
    assert kept == {name: value for name, value in after if name in kept}
    assert after.fingerprint != before.fingerprint
    assert after.training["intervals"] == {"lakes": 2000, "validation": {"seeds": [1]}}
    for area in (after.scores["calibration"]["area"], after.scores["area_on_relief"]):
        assert all(0.92 < row["share"] < 0.98 for row in area["held"])
        assert area["held_at_factor_1"][0]["share"] < 0.85
    text = (tmp_path / "README.md").read_text()
    assert "at 1.4 ha" in text and "on unseen real relief" in text


def test_too_few_lakes_are_refused() -> None:
    with pytest.raises(TrainingError, match="too few in a class of size; add seeds"):
        refitted(shipped(), drawn(1, 30), drawn(2), drawn(3), {})


def test_a_seed_and_a_raster_serve_one_purpose() -> None:
    def worlds(seed: int, relief: str | None = None) -> Worlds:
        return Worlds((seed,), (Path(relief),) if relief else (), 1024, "2021")

    refuse_shared([worlds(201), worlds(501, "a/one.tif"), worlds(301), worlds(601, "two.tif")], [101])
    with pytest.raises(TrainingError, match=r"seeds: \['101'\] serve two purposes"):
        refuse_shared([worlds(201), worlds(101)], [101])
    with pytest.raises(TrainingError, match=r"relief: \['one.tif'\] serve two purposes"):
        refuse_shared([worlds(501, "a/one.tif"), worlds(601, "b/one.tif")], [])


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
