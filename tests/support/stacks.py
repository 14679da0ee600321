"""Convert plain arrays to stacks, and stacks to plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from monitor.archive.profiles import S1_BANDS, S2_BANDS
from monitor.stack.dataset import on_geobox, planes


def stack_of(
    geobox: GeoBox, optical: NDArray[Any] | float = 1.0, radar: NDArray[Any] | float = 1.0, **others: Any
) -> xr.Dataset:
    """A stack of arrays (12, H, W), (2, H, W) and (H, W), or of constants. Flags are false unless given."""
    shape = geobox.shape
    variables: dict[str, Any] = {
        **dict(zip(S2_BANDS, np.broadcast_to(np.float32(optical), (12, *shape)), strict=True)),
        **dict(zip(S1_BANDS, np.broadcast_to(np.float32(radar), (2, *shape)), strict=True)),
        "dem": np.float32(1),
        "day_of_year": np.int16(220),
        **dict.fromkeys(("cloud", "snow", "shadow", "layover"), False),
    } | others
    return on_geobox(geobox, {name: np.broadcast_to(values, shape) for name, values in variables.items()})


def optical(stack: xr.Dataset) -> NDArray[np.float32]:
    """Reflectance (12, H, W)."""
    return planes(stack, S2_BANDS)


def radar(stack: xr.Dataset) -> NDArray[np.float32]:
    """Backscatter (2, H, W)."""
    return planes(stack, S1_BANDS)
