"""Simulated spectra compared with hand-classified pixels of real glaciers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.spectra import CLASSES, POINTS, Pixels, compare, read_points, simulate_points
from tests.support.places import SAMPLES
from tests.support.samples import sample

pytestmark = pytest.mark.slow

#: greatest distance of a class, about twice the measured one (docs/simulator.md)
LIMITS = {"snow": 0.10, "shadowed snow": 0.15, "ice": 0.07, "rock, debris": 0.04, "proglacial water": 0.04}


@pytest.fixture(scope="module")
def simulated() -> dict[str, Pixels]:
    return simulate_points(range(700, 706), 512)


def test_simulated_spectra_are_near_real_ones(simulated: dict[str, Pixels]) -> None:
    sample(str(POINTS))
    real = read_points(SAMPLES)
    for name, limit in LIMITS.items():
        assert np.isfinite(real[name].reflectance).all()
        row = compare(name, real[name], simulated[name])
        assert row.distance < limit, row
        assert row.covered > 0.6, row


def test_shadowed_snow_is_blue_and_dark_in_the_infrared(simulated: dict[str, Pixels]) -> None:
    shadowed, sunny = (simulated[name].reflectance for name in ("shadowed snow", "snow"))
    blue, green, near, short = (np.median(shadowed[:, band]) for band in (1, 2, 7, 10))
    assert blue > green > near > short
    assert near < 0.3 < np.median(sunny[:, 7])


def test_equal_pixels_have_no_distance_and_cannot_be_told_apart(simulated: dict[str, Pixels]) -> None:
    pixels = simulated["snow"]
    assert set(simulated) == set(CLASSES.values())
    half = np.arange(len(pixels.group)) % 2 == 0
    row = compare("snow", *(Pixels(pixels.reflectance[part], pixels.group[part]) for part in (half, ~half)))
    assert row.distance < 0.01
    assert row.covered > 0.95
    assert 0.4 < row.probe < 0.6
