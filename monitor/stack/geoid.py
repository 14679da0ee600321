"""Height of the geoid above the ellipsoid: what lies between a DEM's heights and a satellite's."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from monitor.settings import CONFIG

#: EGM96 on 15 arc minutes (Lemoine et al. 1998), published by the US NGA in the public domain, in decimetres
TABLE = CONFIG / "geoid" / "egm96_15.tif"
STEP = 0.25


def undulation(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metres of the geoid above WGS 84 at places in degrees, bilinear; the shapes of both are kept.

    In High Mountain Asia it is -60 to -20 m. The table is of EGM96 where Copernicus heights are of EGM2008:
    the models differ by metres at most, and a metre of height moves a radar pixel by 0.9-1.7 m on the ground
    (1 / tan of 30-48 degrees of incidence), so that a tenth of the undulation would not be a pixel.
    """
    from scipy.ndimage import map_coordinates

    rows = (90.0 - np.asarray(latitude, np.float64)) / STEP
    cols = (np.asarray(longitude, np.float64) + 180.0) % 360.0 / STEP
    return np.asarray(map_coordinates(_table(), np.stack([rows, cols]), order=1, mode="nearest"))


@lru_cache(maxsize=1)
def _table() -> NDArray[np.float64]:
    """(721, 1441) metres from 90 N 180 W; the first meridian is repeated as the last."""
    import rasterio

    with rasterio.open(TABLE) as table:
        decimetres = table.read(1)
    return np.concatenate([decimetres, decimetres[:, :1]], axis=1) / 10.0
