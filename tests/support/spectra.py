"""Spectra of Sentinel-2 for made-up scenes."""

from __future__ import annotations

import numpy as np

#: reflectance x 10000 of the 12 bands, from the classes of the USGS glacier points and common soils
LAKE = (885, 1118, 1656, 1052, 813, 397, 362, 287, 206, 567, 114, 109)
CLEAR_SEA = (300, 280, 260, 120, 90, 60, 60, 50, 40, 40, 20, 15)
ROCK = (918, 1024, 1504, 1560, 1689, 1615, 1813, 1668, 1710, 2293, 2189, 2222)
GRASS = (300, 400, 700, 500, 1100, 2600, 3100, 3300, 3400, 3500, 1900, 900)
SNOW = (7200, 8094, 8324, 8288, 8517, 7926, 7294, 6941, 6612, 6466, 186, 165)
SHADED_SNOW = (5604, 4656, 4052, 3286, 3172, 2966, 2649, 2320, 2260, 3012, 99, 95)
ICE = (3245, 3458, 3552, 3375, 3435, 3049, 2673, 2412, 2272, 2420, 139, 133)
SHADE = (500, 400, 300, 250, 260, 300, 320, 320, 320, 320, 250, 150)
ROOF = (1500, 1600, 1700, 1800, 1850, 1900, 1950, 1900, 1950, 2000, 2200, 2100)
CLOUD = (5000, 5100, 5000, 5100, 5200, 5200, 5300, 5300, 5300, 5400, 3500, 2500)
THIN_CLOUD_OVER_SEA = (1500, 1450, 1400, 1350, 1300, 1250, 1200, 1200, 1200, 1200, 1050, 800)
ALGAE = (300, 350, 700, 500, 900, 1800, 2000, 2100, 2100, 2100, 200, 100)


def flat(spectrum: tuple[int, ...], size: int = 20) -> np.ndarray:
    """A scene (12, size, size) of one spectrum, float32."""
    return np.repeat(np.array(spectrum, np.float32), size * size).reshape(12, size, size)
