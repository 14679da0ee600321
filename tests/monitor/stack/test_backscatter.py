"""Echoes: noise at the border of a scene, and calm water below the noise of one polarisation."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from monitor.archive.validity import ABSENT
from monitor.grid import WGS84, geobox_at, reproject
from monitor.stack.backscatter import BORDER_GROWTH, _despeckled, both, echoes
from monitor.stack.filters import FLOOR, lee

BOX = geobox_at(32643, 529_200, 50_400, (200, 200))
LEFT, BOTTOM, RIGHT, TOP = BOX.boundingbox.bbox
#: a scene whose western edge is that of the box
SCENE = reproject(shapely.box(LEFT, BOTTOM - 50_000, RIGHT + 100_000, TOP + 50_000), 32643, WGS84)
#: a scene whose edges are far away
WIDE = reproject(shapely.box(LEFT - 50_000, BOTTOM - 50_000, RIGHT + 50_000, TOP + 50_000), 32643, WGS84)


def power(vv: float = 0.08, vh: float = 0.01) -> np.ndarray:
    return np.stack([np.full((200, 200), vv, np.float32), np.full((200, 200), vh, np.float32)])


def test_noise_at_the_border_of_a_scene_is_no_echo() -> None:
    """-44 dB in a strip, as before IPF 2.90; and where numbers of one are below the noise that is removed."""
    for level in (10**-4.4, FLOOR):
        strip = power()
        strip[:, :, :60] = level
        strip[:, :, 60] = 0.002  # as the speckle filter mixes them
        seen = echoes(strip, SCENE, BOX)
        assert not seen[:, : 60 + BORDER_GROWTH].any() and seen[:, 60 + BORDER_GROWTH :].all()
        assert echoes(strip, WIDE, BOX).all(), "far from the border it can be a calm lake"


@pytest.mark.parametrize(("vv", "vh"), [(0.003, 5e-5), (0.01, 1e-4), (5e-4, 5e-5)])
def test_calm_water_at_the_border_has_an_echo(vv: float, vh: float) -> None:
    assert echoes(power(vv, vh), SCENE, BOX).all()


def test_water_below_the_noise_in_one_polarisation_has_a_value() -> None:
    calm = power()
    calm[:, 80:120, 80:120] = [[[0.004]], [[ABSENT]]]
    found = both(calm)
    assert (found[1, 80:120, 80:120] == np.float32(FLOOR)).all() and np.array_equal(found[0], calm[0])
    bright = power()
    bright[1, 80:120, 80:120] = ABSENT
    assert np.array_equal(both(bright), bright), "beside a bright echo it is lost data"
    edge = power(vv=0.004)
    edge[:, :, :50] = ABSENT
    edge[1, :, 50:60] = ABSENT
    assert np.array_equal(both(edge), edge), "near the edge of the data it is the edge"


def test_noise_around_zero_is_averaged() -> None:
    """Values that are not positive, among positive ones, lower the mean; alone they are no echo."""
    rng = np.random.default_rng(0)
    values = (0.0006 + 0.0005 * rng.standard_normal((200, 200))).astype(np.float32)
    values[:, :40] = 0
    assert (values[:, 45:] <= 0).mean() > 0.05
    found = _despeckled(values, decibel=False)
    assert np.isnan(found[:, :36]).all() and np.isfinite(found[:, 50:]).all()
    assert found[:, 50:].mean() == pytest.approx(0.0006, rel=0.1)
    positive = np.abs(values) + np.float32(1e-5)
    assert np.array_equal(_despeckled(positive, decibel=False), lee(positive))
