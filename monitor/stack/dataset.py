"""A tile's inputs as an `xarray.Dataset`: bands by name on `y` and `x`, with units and a CRS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.xr import xr_coords

from monitor.archive.profiles import S1_BANDS, S2_BANDS

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

#: names and attributes of a stack's variables
ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    **{band: {"long_name": f"surface reflectance of {band}", "units": "1e-4"} for band in S2_BANDS},
    **{band: {"long_name": f"backscatter {band}", "units": "dB"} for band in S1_BANDS},
    "dem": {"long_name": "elevation above EGM2008", "units": "m"},
    "day_of_year": {"long_name": "day of year of the optical date, 0 where none"},
    "cloud": {"long_name": "cloud in every date that shows the pixel"},
    "snow": {"long_name": "snow, ice or frozen water in the optical date, by the scene classes"},
    "shadow": {"long_name": "terrain shadow in the optical date, by sun and DEM"},
    "layover": {"long_name": "layover or radar shadow in the radar scene, by its geometry and the DEM"},
}


def on_geobox(geobox: GeoBox, variables: Mapping[str, NDArray[Any]]) -> xr.Dataset:
    """Arrays (H, W) as variables of a dataset on `geobox`, with their attributes."""
    return xr.Dataset(
        {name: (("y", "x"), values, dict(ATTRIBUTES[name])) for name, values in variables.items()},
        coords=xr_coords(geobox),
    )


def planes(stack: xr.Dataset, names: Sequence[str]) -> NDArray[np.float32]:
    """The variables `names` as one array (N, H, W)."""
    return np.stack([stack[name].to_numpy() for name in names])
