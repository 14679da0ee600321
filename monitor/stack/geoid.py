"""Height of the geoid above the ellipsoid, the difference between heights of a DEM and of a satellite."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from monitor.settings import CONFIG

#: EGM96 on 15 arc minutes (Lemoine et al. 1998), published by the US NGA in the public domain, in decimetres
TABLE = CONFIG / "geoid" / "egm96_15.tif"
STEP = 0.25


def undulation(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height of the geoid above WGS 84 in metres, bilinear, at places in degrees; shapes are kept.

    In High Mountain Asia it is -60 to -20 m. The table is EGM96, while Copernicus heights refer to EGM2008.
    The models differ by a few metres at most, and a metre of height shifts a radar pixel by 0.9 to 1.7 m on
    the ground (1 / tan of an incidence of 30 to 48 degrees), which is less than a pixel.
    """
    from scipy.ndimage import map_coordinates

    rows = (90.0 - np.asarray(latitude, np.float64)) / STEP
    cols = (np.asarray(longitude, np.float64) + 180.0) % 360.0 / STEP
    return np.asarray(map_coordinates(_table(), np.stack([rows, cols]), order=1, mode="nearest"))


@lru_cache(maxsize=1)
def _table() -> NDArray[np.float64]:
    """(721, 1441) metres from 90 N 180 W; the last column repeats the first meridian."""
    import rasterio

    with rasterio.open(TABLE) as table:
        decimetres = table.read(1)
    return np.concatenate([decimetres, decimetres[:, :1]], axis=1) / 10.0
