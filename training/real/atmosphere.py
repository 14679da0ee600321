"""Top-of-atmosphere reflectance (L1C) without the light that air molecules scatter.

The product reads surface reflectance (L2A). L1C differs from it most in the blue, where the air itself
reflects more than water does; its NDWI and MNDWI are shifted. Scattering by molecules is known without a
measurement, so it is removed here; aerosol remains and looks like haze.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmenter.manifest import OPTICAL_BANDS

Floats = NDArray[np.float32]
#: central wavelengths of the bands in `OPTICAL_BANDS`, micrometres (Sentinel-2A, ESA)
WAVELENGTHS = (0.443, 0.492, 0.560, 0.665, 0.704, 0.741, 0.783, 0.833, 0.865, 0.945, 1.614, 2.202)
#: cosine of the sun's zenith angle, 45 degrees: the samples do not state it
SUN = 0.5**0.5
#: band in which water vapour absorbs most of the light; no correction without a measurement of the vapour
VAPOUR = OPTICAL_BANDS.index("B09")


def surface(optical: Floats) -> Floats:
    """Reflectance x 10000 (12, H, W) of L1C, corrected for Rayleigh scattering; B09 becomes NaN.

    Optical depth by Hansen and Travis (1974), single scattering at nadir, and the transmittance of a layer
    that scatters half of the light forward:

        depth = 0.008569 w^-4 (1 + 0.0113 w^-2 + 0.00013 w^-4)
        path  = depth x 3/4 (1 + sun^2) / (4 sun)
        rho   = (rho_toa - path) / exp(-depth / 2 x (1 / sun + 1))
    """
    wave = np.array(WAVELENGTHS)
    depth = 0.008569 * wave**-4 * (1 + 0.0113 * wave**-2 + 0.00013 * wave**-4)
    path = depth * 0.75 * (1 + SUN**2) / (4 * SUN) * 10000
    passed = np.exp(-depth / 2 * (1 / SUN + 1))
    corrected: Floats = ((optical - path[:, None, None]) / passed[:, None, None]).astype(np.float32)
    corrected[VAPOUR] = np.nan
    return corrected
