"""Real scenes as chips: labels by evidence, the split by place, and the samples as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segmenter.indices import GREEN, NEAR_INFRARED, SHORT_WAVE, mndwi, ndwi
from segmenter.manifest import OPTICAL_BANDS
from tests.support.places import SAMPLES
from tests.support.samples import sample
from tests.support.spectra import (
    ALGAE,
    CLEAR_SEA,
    CLOUD,
    GRASS,
    ICE,
    LAKE,
    ROCK,
    ROOF,
    SHADE,
    SHADED_SNOW,
    SNOW,
    THIN_CLOUD_OVER_SEA,
    flat,
)
from training.chip_files import Chip, ChipFiles
from training.errors import TrainingError
from training.labels import FULL, IGNORED
from training.real import bigearthnet, dsen2, eotdl, glacier_points, sen1floods11, terramesh
from training.real.atmosphere import surface
from training.real.evidence import by_indices
from training.real.making import ADAPTERS, make_real_chips, places
from training.real.native import stretch
from training.real.places import cluster
from training.real.split import split_places


@pytest.mark.parametrize(
    ("spectrum", "label"),
    [(LAKE, FULL), (CLEAR_SEA, FULL), (ROCK, 0), (GRASS, 0), (ROOF, 0)]
    + [(s, IGNORED) for s in (SNOW, SHADED_SNOW, ICE, SHADE, CLOUD, THIN_CLOUD_OVER_SEA, ALGAE)],
)
def test_only_spectra_beyond_doubt_are_labelled(spectrum: tuple[int, ...], label: int) -> None:
    assert (by_indices(flat(spectrum), cloudy=True) == (IGNORED if spectrum is ROOF else label)).all()
    if spectrum not in (CLOUD, THIN_CLOUD_OVER_SEA):
        assert (by_indices(flat(spectrum)) == label).all()


def test_shores_ships_and_missing_pixels_are_unknown() -> None:
    scene = flat(CLEAR_SEA, 40)
    scene[:, :, 20:] = flat(GRASS, 40)[:, :, 20:]
    scene[:, 10, 10] = ROOF  # a ship
    scene[:, 30, 30] = np.nan
    labels = by_indices(scene)
    assert (labels[:, 19:21] == IGNORED).all()
    assert (labels[0:5, :19] == FULL).all() and (labels[0:5, 21:] == 0).all()
    assert (labels[9:12, 9:12] == IGNORED).all() and labels[8, 10] == FULL
    assert (labels[29:32, 29:32] == IGNORED).all() and labels[28, 30] == 0


def test_ground_near_a_cloud_is_unknown_and_a_white_roof_is_not_a_cloud() -> None:
    scene = flat(GRASS, 60)
    scene[:, :15, :15] = flat(CLOUD, 15)
    scene[:, 40, 40] = CLOUD
    labels = by_indices(scene, cloudy=True)
    assert (labels[:18, :18] == IGNORED).all() and (labels[:24, :12] == IGNORED).all()
    assert labels[0, 30] == 0 and labels[40, 43] == 0 and labels[40, 40] == IGNORED


def test_rayleigh_scattering_is_removed_and_vapour_is_missing() -> None:
    """Over a lake at 45 degrees, the corrected blue is nearer to the surface than that of L1C."""
    above = flat((1644, 1620, 1666, 1155, 929, 650, 615, 503, 434, 228, 151, 120), 2)  # medians of L1C
    below = surface(above)
    assert np.isnan(below[OPTICAL_BANDS.index("B09")]).all()
    others = [band for band in range(12) if band != OPTICAL_BANDS.index("B09")]
    errors = [np.abs(image[others, 0, 0] - np.array(LAKE)[others]) for image in (above, below)]
    assert errors[1].mean() < 0.5 * errors[0].mean()
    assert (np.diff((above - below)[others[:10], 0, 0][:4]) < 0).all(), "less in longer waves"


def test_coarse_bands_are_stretched_as_the_product_does() -> None:
    ramp = np.arange(6, dtype=np.float32)[None].repeat(4, axis=0)
    fine = stretch(ramp, (8, 12), 2)
    assert fine[0, :4] == pytest.approx([0, 0.25, 0.75, 1.25]), "between the centres of coarse pixels"
    assert stretch(ramp, (24, 36), 6).mean() == pytest.approx(ramp.mean())
    moved = stretch(ramp, (8, 12), 2, (0, -1))
    assert moved[0, :3] == pytest.approx([0.25, 0.75, 1.25])
    assert np.isnan(moved[:, 11]).all() and np.isfinite(moved[:, :11]).all()


def test_a_third_of_each_class_is_test_for_good() -> None:
    grounds = {f"coast {n}": "coast" for n in range(7)} | {f"river {n}": "river" for n in range(2)}
    splits = split_places(grounds | {"the only desert": "desert"})
    assert sum(splits[place] == "test" for place in grounds if grounds[place] == "coast") == 3
    assert sum(splits[place] == "test" for place in grounds if grounds[place] == "river") == 1
    assert splits["the only desert"] == "test"
    shuffled = dict(sorted(grounds.items(), reverse=True)) | {"the only desert": "desert"}
    assert split_places(shuffled) == splits


def test_chips_of_one_ground_are_one_place() -> None:
    middles = [
        (10.90, 56.40),
        (10.93, 56.41),
        (10.97, 56.41),
        (11.30, 56.41),
    ]  # the third by way of the second
    found = cluster(middles, "baltic")
    assert found[0] == found[1] == found[2] == "baltic 10.93E 56.41N"
    assert found[3] == "baltic 11.30E 56.41N"
    assert cluster([(-72.5, -38.8)], "chile") == ["chile 72.50W 38.80S"]


def test_a_folder_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has none of terramesh"):
        make_real_chips(tmp_path, tmp_path / "chips")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ChipFiles:
    for name in ADAPTERS:
        sample(name)
    return make_real_chips(SAMPLES, tmp_path_factory.mktemp("real") / "chips")


def test_the_samples_become_chips_of_which_a_third_of_the_places_is_test(made: ChipFiles) -> None:
    table = made.table
    table = table[~table["ground"].str.startswith(glacier_points.POINTS)]
    by_place = table.groupby("place").agg(split=("split", "first"), ground=("ground", "first"))
    assert len(table) >= 91 and len(by_place) >= 50
    assert (by_place["split"] == "test").mean() >= 1 / 3
    assert set(by_place["ground"]) == set(by_place.loc[by_place["split"] == "test", "ground"])
    assert set(eotdl.BALTIC) <= set(by_place.index), "every place that is named by hand exists"
    assert by_place.loc[sen1floods11.PLACE, "split"] == "test"
    trained = set(table["licence"][table["split"] == "train"])
    assert trained == {module.LICENCE for module in (bigearthnet, dsen2, eotdl, terramesh)} - {
        bigearthnet.LICENCE
    }
    assert (table["known_pixels"] > 0.5 * table["height"] * table["width"]).mean() > 0.95


def test_the_places_are_those_of_the_documentation(made: ChipFiles) -> None:
    page = Path(__file__).parents[2] / "docs" / "real-scenes.md"
    assert places(made) in page.read_text()


def test_no_ground_of_a_test_place_is_trained_on(made: ChipFiles) -> None:
    """No two georeferenced chips of different splits overlap."""
    table = made.table[made.table["epsg"] == 4326].reset_index()
    chips = [made[index] for index in table["index"]]
    boxes = [(c.left, c.top, c.labels.shape[1] * 2e-4, c.labels.shape[0] * 1e-4, c.split) for c in chips]
    for left, top, width, height, split in boxes:
        for other_left, other_top, _, _, other in boxes:
            if split != other:
                assert abs(left - other_left) > width or abs(top - other_top) > height


def test_real_spectra_of_labelled_water_and_land_are_as_physics_says(made: ChipFiles) -> None:
    for index in range(len(made)):
        chip: Chip = made[index]
        assert chip.optical is not None
        if chip.source.startswith(("Sen1Floods11", "ukis", "USGS")):
            continue  # labelled by hand
        optical = chip.optical.astype(np.float32)
        near = optical[NEAR_INFRARED]
        water, dry = chip.labels == FULL, chip.labels == 0
        assert (near[water] <= 1100).all()
        if dry.any():
            both = (ndwi(optical[GREEN], near) > 0.1) & (mndwi(optical[GREEN], optical[SHORT_WAVE]) > 0.2)
            assert (both & dry).sum() < 0.002 * dry.sum(), chip.name
