"""The speckle filter: cases by hand and statistics."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.stack.filters import lee


def test_lee_keeps_the_mean_and_reduces_speckle() -> None:
    rng = np.random.default_rng(0)
    power = (0.05 * rng.gamma(4.4, 1 / 4.4, (200, 200))).astype(np.float32)
    smooth = lee(power)
    assert smooth.mean() == pytest.approx(power.mean(), rel=0.01)
    assert smooth.std() < 0.4 * power.std()
    assert lee(np.full((9, 9), 0.2, np.float32)) == pytest.approx(np.full((9, 9), 0.2))


def test_lee_keeps_edges_and_holes() -> None:
    power = np.full((20, 20), 0.001, np.float32)
    power[:, 10:] = 0.5
    power[3, 3] = np.nan
    smooth = lee(power)
    assert np.isnan(smooth[3, 3]) and np.isfinite(smooth).sum() == 399
    assert smooth[2, 2] == pytest.approx(0.001) and smooth[10, 15] == pytest.approx(0.5)
    assert smooth[10, 9] < 0.1 and smooth[10, 10] > 0.4
    assert np.isnan(lee(np.full((6, 6), np.nan, np.float32))).all()
