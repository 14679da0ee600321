"""From physical units to the inputs of the network."""

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from segmenter.manifest import Elevation, Manifest, Steepness
from segmenter.normalise import normalise, relief, valid


def test_clips_then_standardises_each_band_with_its_statistics(manifest_of: Callable[..., Manifest]) -> None:
    inputs = manifest_of().inputs
    optical = torch.full((1, 12, 2, 2), 2800.0)
    optical[0, 3] = 60_000  # clipped at 16000
    optical[0, 4] = -300  # clipped at 0
    radar = torch.tensor([-10.9 + 4.4, -17.3 - 4.5]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    dem = torch.full((1, 1, 2, 2), 4300.0 + 1800.0)
    scaled = normalise(optical, radar, dem, inputs)
    expected = torch.ones(12)
    expected[3], expected[4] = (16000 - 2000) / 800, -2000 / 800
    torch.testing.assert_close(scaled[0][0, :, 1, 1], expected)
    torch.testing.assert_close(scaled[1][0, :, 0, 0], torch.tensor([1.0, -1.0]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scaled[2], torch.full((1, 1, 2, 2), 2.0))
    assert optical.max() == 60_000  # the input is not modified


def test_only_values_that_are_not_finite_become_the_mean(
    manifest_of: Callable[..., Manifest],
) -> None:
    optical, radar, dem = torch.full((1, 12, 3, 3), 2800.0), torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 3, 3)
    optical[0, 5, 0, 0] = float("nan")
    optical[0, 5, 0, 1] = float("inf")
    radar[0, 1, 2, 2] = -float("inf")  # zero power in dB
    scaled = normalise(optical, radar, dem, manifest_of().inputs)
    assert (scaled[0] == 0).nonzero().tolist() == [[0, 5, 0, 0], [0, 5, 0, 1]]
    assert (scaled[1] == 0).nonzero().tolist() == [[0, 1, 2, 2]]
    assert all(bool(part.isfinite().all()) for part in scaled)


def test_a_pixel_is_valid_where_all_three_inputs_are_known() -> None:
    optical, radar, dem = np.zeros((12, 2, 2)), np.zeros((2, 2, 2)), np.zeros((2, 2))
    assert valid(optical, radar, dem).all()
    optical[11, 0, 0] = np.nan
    radar[0, 0, 1] = -np.inf
    dem[1, 0] = np.nan
    assert valid(optical, radar, dem).tolist() == [[False, False], [False, True]]


@given(
    tilt=st.floats(0, 1.5),
    bearing=st.floats(0, 360),
    base=st.floats(-400, 8000),
    mean=st.floats(-500, 5000),
    std=st.floats(50, 2000),
)
def test_steepness_of_a_plane_is_its_slope(
    tilt: float, bearing: float, base: float, mean: float, std: float
) -> None:
    """Whatever the elevation and its statistics; at 45 degrees the steepness is 1."""
    rows, cols = np.mgrid[:20, :20] * 10.0
    way = np.radians(bearing)
    dem = base + tilt * (np.cos(way) * rows + np.sin(way) * cols)
    scaled = torch.from_numpy((dem - mean) / std).float()[None, None]
    elevation = Elevation(bands=("DEM",), mean=(mean,), std=(std,), steepness=Steepness(mean=0.25, std=0.5))
    inner = relief(scaled, elevation)[0, 0, 1:-1, 1:-1].numpy() * 0.5 + 0.25
    np.testing.assert_allclose(inner**2, tilt, atol=2e-3)


def test_a_model_without_steepness_takes_the_elevation() -> None:
    scaled = torch.randn(2, 1, 8, 8)
    elevation = Elevation(bands=("DEM",), mean=(0.0,), std=(1.0,))
    assert relief(scaled, elevation) is scaled
