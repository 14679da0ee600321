"""The index baseline as a segmenter: its classification of water, its gates, and its uncertainty."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmenter.baseline import IndexBaseline
from segmenter.errors import InputError, ManifestError
from segmenter.indices import GREEN, NEAR_INFRARED, REACH, SHORT_WAVE
from segmenter.manifest import MANIFEST_FILE, Manifest, read_manifest
from segmenter.opening import open_segmenter
from segmenter.protocol import Answer
from segmenter.windows import halo

FOLDER = Path(__file__).parents[2] / "models" / "index-baseline"
WATER = {GREEN: 800.0, NEAR_INFRARED: 300.0, SHORT_WAVE: 100.0}
MILK = {GREEN: 2000.0, NEAR_INFRARED: 1200.0, SHORT_WAVE: 2100.0}
ROCK = {GREEN: 1500.0, NEAR_INFRARED: 2200.0, SHORT_WAVE: 2600.0}
SNOW = {GREEN: 8000.0, NEAR_INFRARED: 7000.0, SHORT_WAVE: 500.0}


@pytest.fixture(scope="module")
def baseline() -> IndexBaseline:
    return IndexBaseline(read_manifest(FOLDER))


def uniform(
    spectrum: dict[int, float], vv: float = -18.0, rise: float = 0.0, side: int = 12
) -> tuple[Any, ...]:
    """A stack of one kind of ground, rising by `rise` metres per pixel."""
    optical = np.full((12, side, side), 500, np.float32)
    for band, value in spectrum.items():
        optical[band] = value
    dem = np.tile(3500 + rise * np.arange(side, dtype=np.float32), (side, 1))
    return optical, np.full((2, side, side), vv, np.float32), dem


def random_stack(seed: int, height: int, width: int) -> tuple[Any, ...]:
    """Water, rock, milky water and snow on rolling ground, with holes in every input."""
    rng = np.random.default_rng(seed)
    spectra = np.full((4, 12), 500.0)
    for number, spectrum in enumerate((WATER, MILK, ROCK, SNOW)):
        spectra[number, list(spectrum)] = list(spectrum.values())
    optical = np.moveaxis(spectra[rng.integers(0, 4, (height, width))], -1, 0) * rng.uniform(
        0.5, 1.5, (12, height, width)
    )
    radar = rng.normal(-13, 4, (2, height, width))
    dem = 4000 + np.cumsum(rng.normal(0, 1.2, (height, width)), axis=1)
    for layer in (*optical[::4], *radar, dem):
        layer[rng.random(layer.shape) < 0.05] = np.nan
    return tuple(layer.astype(np.float32) for layer in (optical, radar, dem))


def answer(baseline: IndexBaseline, stack: tuple[Any, ...], **options: Any) -> Answer:
    return baseline.predict(*stack, row=0, col=0, halo=REACH, **options)


@pytest.mark.parametrize(
    ("stack", "wet"),
    [
        (uniform(WATER), True),
        (uniform(MILK), True),
        (uniform(ROCK), False),
        (uniform(SNOW), False),
        (uniform(WATER, vv=-6), False),
        (uniform(WATER, rise=3), False),
        (uniform(WATER, rise=0.5), True),
    ],
)
def test_every_gate_closes_and_opens(baseline: IndexBaseline, stack: tuple[Any, ...], wet: bool) -> None:
    predicted = answer(baseline, stack)
    assert predicted.probability.shape == predicted.uncertainty.shape == (4, 4)
    assert predicted.probability.dtype == predicted.uncertainty.dtype == np.float32
    assert ((predicted.probability > 0.5) == wet).all()


def test_at_a_threshold_the_probability_is_half_and_the_uncertainty_largest(baseline: IndexBaseline) -> None:
    spectra = [WATER | {SHORT_WAVE: 800.0 * (1 - at) / (1 + at)} for at in (0.4, 0.2, 0.0, -0.2, -0.4)]
    predicted = [answer(baseline, uniform(spectrum | {NEAR_INFRARED: 1500.0})) for spectrum in spectra]
    likely = [float(one.probability[0, 0]) for one in predicted]
    doubt = [float(one.uncertainty[0, 0]) for one in predicted]
    assert likely[2] == pytest.approx(0.5, abs=1e-3) and likely == sorted(likely, reverse=True)
    assert max(doubt) == doubt[2] and doubt[2] > 4 * max(doubt[0], doubt[4])


def test_the_uncertainty_is_that_of_thresholds_drawn_at_random(baseline: IndexBaseline) -> None:
    """One cue near its threshold: half a difference of the logistic over it, by hand."""
    cue = baseline.index.radar
    for above in (-0.5, 0.0, 2.0):
        predicted = answer(baseline, uniform(WATER, vv=cue.at + above))
        margins = np.array([-above + cue.sigma, -above - cue.sigma]) / cue.width
        high, low = 1 / (1 + np.exp(-margins / baseline.manifest.temperature))
        assert predicted.uncertainty[0, 0] == pytest.approx((high - low) / 2, abs=0.01)
        drawn = np.random.default_rng(0).normal(cue.at, cue.sigma, 4000)
        spread = np.std(1 / (1 + np.exp((cue.at + above - drawn) / cue.width)))
        assert predicted.uncertainty[0, 0] == pytest.approx(spread, rel=0.35)


def test_exact_thresholds_have_no_uncertainty() -> None:
    content = json.loads((FOLDER / MANIFEST_FILE).read_text())
    for cue in content["index"].values():
        cue["sigma"] = 0
    certain = IndexBaseline(Manifest.model_validate(content))
    assert np.nanmax(answer(certain, random_stack(1, 30, 30)).uncertainty) == 0


HOLES = ((0, (5, 9, 9)), (1, (1, 10, 8)), (2, (8, 10)))
"""A missing value of each sensor, whose absence leaves the code beside it."""


def test_holes_remain_holes_in_a_model_of_all_sensors(baseline: IndexBaseline) -> None:
    strict = IndexBaseline(baseline.manifest.model_copy(update={"fewer": ()}))
    whole = answer(strict, uniform(WATER, side=20))
    for layer, where in HOLES:
        stack = uniform(WATER, side=20)
        stack[layer][where] = np.nan
        predicted = answer(strict, stack)
        hole = np.zeros((12, 12), bool)
        hole[where[-2] - REACH, where[-1] - REACH] = True
        for plane in (predicted.probability, predicted.uncertainty):
            assert np.array_equal(np.isnan(plane), hole)
        assert np.array_equal(predicted.probability[~hole], whole.probability[~hole])
        assert np.array_equal(predicted.sources, np.where(hole, 0, 7))


@pytest.mark.parametrize(
    ("absent", "code"), [((1,), 5), ((2,), 3), ((1, 2), 1), ((0,), 0), ((0, 1), 0), ((0, 2), 0)]
)
def test_without_optics_there_is_no_answer_and_without_the_others_there_is(
    baseline: IndexBaseline, absent: tuple[int, ...], code: int
) -> None:
    stack = uniform(WATER)
    for layer in absent:
        stack[layer][:] = np.nan
    predicted = answer(baseline, stack)
    assert (predicted.sources == code).all() and predicted.sources.dtype == np.uint8
    assert (np.isfinite(predicted.probability) == (code > 0)).all()
    assert np.array_equal(np.isnan(predicted.probability), np.isnan(predicted.uncertainty))


@pytest.mark.parametrize(
    ("layer", "cue", "gated"),
    [(1, "radar", uniform(WATER, vv=-6, side=20)), (2, "slope", uniform(WATER, rise=3, side=20))],
)
def test_the_cue_of_an_absent_sensor_does_not_limit(
    baseline: IndexBaseline, layer: int, cue: str, gated: tuple[Any, ...]
) -> None:
    """Rough ground and slopes are excluded. Without the sensor, the water that the others see is not, and its
    probability and uncertainty are those of an index that allows any value of the cue."""
    content = json.loads(baseline.manifest.model_dump_json())
    content["index"][cue]["at"] = 1e6
    allowed = answer(IndexBaseline(Manifest.model_validate(content)), gated)
    assert (answer(baseline, gated).probability < 0.1).all() and (allowed.probability > 0.9).all()
    gated[layer][..., : 6 + REACH] = np.nan
    predicted = answer(baseline, gated)
    assert (predicted.sources[:, :6] == 7 - (1 << layer)).all() and (predicted.sources[:, 6:] == 7).all()
    assert (predicted.probability[:, 9:] < 0.1).all()  # beside a void, the ground is taken as level
    assert np.array_equal(predicted.probability[:, :6], allowed.probability[:, :6])
    assert np.array_equal(predicted.uncertainty[:, :6], allowed.uncertainty[:, :6])


def test_every_set_has_its_calibration(baseline: IndexBaseline) -> None:
    entry = baseline.manifest.set_named(["S2L2A", "DEM"]).model_copy(update={"temperature": 3, "shift": 0.5})
    changed = baseline.manifest.model_copy(update={"fewer": (entry,)})
    stack = random_stack(3, 30, 30)
    plain, other = answer(baseline, stack), answer(IndexBaseline(changed), stack)
    assert {0, 5, 7} <= set(other.sources.ravel().tolist()) <= {0, 5, 7}
    same = other.sources == 7
    assert np.array_equal(other.probability[same], plain.probability[same])
    likely = plain.probability[other.sources == 5].astype(np.float64)
    clear = (likely > 1e-6) & (likely < 1 - 1e-6)
    margin = np.log(likely / (1 - likely))[clear]
    expected = 1 / (1 + np.exp(-(margin + 0.5) / 3))
    np.testing.assert_allclose(other.probability[other.sources == 5][clear], expected, rtol=1e-2)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    top=st.integers(0, 30),
    left=st.integers(0, 30),
    more=st.integers(0, 9),
)
def test_the_result_does_not_depend_on_the_tiling(
    seed: int, height: int, width: int, top: int, left: int, more: int
) -> None:
    baseline = IndexBaseline(read_manifest(FOLDER))
    full = random_stack(seed, 96, 96)
    edge = REACH + more
    whole = baseline.predict(*full, row=0, col=0, halo=REACH)
    rows, cols = slice(top, top + height + 2 * edge), slice(left, left + width + 2 * edge)
    part = baseline.predict(*(layer[..., rows, cols] for layer in full), row=top, col=left, halo=edge)
    there = np.s_[top + more : top + more + height, left + more : left + more + width]
    assert np.array_equal(part.probability, whole.probability[there], equal_nan=True)
    assert np.array_equal(part.uncertainty, whole.uncertainty[there], equal_nan=True)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_only_wanted_pixels_are_predicted_with_equal_values(seed: int, share: float) -> None:
    baseline = IndexBaseline(read_manifest(FOLDER))
    stack = random_stack(seed, 40, 40)
    wanted = np.random.default_rng(seed).random((32, 32)) < share
    whole, some = answer(baseline, stack), answer(baseline, stack, wanted=wanted)
    for of_all, of_some in ((whole.probability, some.probability), (whole.uncertainty, some.uncertainty)):
        assert np.array_equal(np.where(wanted, of_all, np.nan), of_some, equal_nan=True)
    assert np.array_equal(np.isfinite(some.probability), np.isfinite(some.uncertainty))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"halo": REACH - 1}, "halo: is 3 px, the model needs 4"),
        ({"halo": 6}, "leave no core"),
        ({"radar": np.zeros((1, 12, 12), np.float32)}, r"radar: must be \(2, 12, 12\) \(VV VH"),
        ({"dem": np.zeros((1, 12, 12), np.float32)}, r"dem: must be \(H, W\)"),
        ({"wanted": np.ones((12, 12), bool)}, r"wanted: must be \(4, 4\)"),
    ],
)
def test_the_invalid_argument_is_named(baseline: IndexBaseline, change: dict[str, Any], message: str) -> None:
    optical, radar, dem = uniform(WATER)
    arguments = {"optical": optical, "radar": radar, "dem": dem, "row": 0, "col": 0, "halo": REACH} | change
    with pytest.raises(InputError, match=message):
        baseline.predict(**arguments)


def test_accepts_both_kinds_of_radar_and_a_small_halo(baseline: IndexBaseline, manifest_of: Any) -> None:
    assert baseline.manifest.inputs.S1.kind == "any"
    assert (halo(baseline.manifest), halo(manifest_of())) == (REACH, 224)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": None}, "architecture: a network has one, an index has `index`"),
        ({"architecture": {"backbone": "terramind_v1_tiny", "indices": [2, 5, 8, 11]}}, "architecture:"),
        ({"digest": "sha256:" + 64 * "a"}, "digest: an index has no weights"),
        ({"index": {}}, r"index\.mndwi: Field required"),
        ({"fewer": [{"sensors": ["S1", "DEM"], "threshold": 0.5, "temperature": 1, "area_factor": 1}]},
         r"fewer: an index needs S2L2A, S1\+DEM has none"),
    ],
)  # fmt: skip
def test_a_manifest_is_of_a_network_or_of_an_index(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    content = json.loads((FOLDER / MANIFEST_FILE).read_text()) | change
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(content))
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path)


def test_a_network_accepts_one_kind_and_is_not_an_index(manifest_of: Any) -> None:
    inputs = manifest_of().inputs.model_dump()
    inputs["S1"]["kind"] = "any"
    with pytest.raises(ValueError, match=r"inputs\.S1\.kind: a network takes the kind it was trained on"):
        manifest_of(inputs=inputs)
    with pytest.raises(ManifestError, match="index: is missing"):
        IndexBaseline(manifest_of())


def test_opens_like_a_model(baseline: IndexBaseline) -> None:
    assert open_segmenter([FOLDER]) == baseline


def test_thresholds_are_part_of_the_fingerprint(baseline: IndexBaseline) -> None:
    content = json.loads((FOLDER / MANIFEST_FILE).read_text())
    content["index"]["mndwi"]["at"] = 0.05
    assert Manifest.model_validate(content).fingerprint != baseline.manifest.fingerprint


def test_does_not_import_torch() -> None:
    code = (
        "import sys, segmenter.baseline, segmenter.opening;"
        f"segmenter.opening.open_segmenter([{str(FOLDER)!r}]);"
        "sys.exit('torch' in sys.modules or 'terratorch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
