"""What a segmenter is given: which arrays fit one another, and which of their pixels are known. No torch."""

import numpy as np
from numpy.typing import NDArray

from segmenter.errors import InputError
from segmenter.manifest import OPTICAL_BANDS, RADAR_BANDS
from segmenter.protocol import Pixels


def check(
    optical: Pixels, radar: Pixels, dem: Pixels, halo: int, needed: int, wanted: NDArray[np.bool_] | None
) -> None:
    """Refuse arguments of `segmenter.protocol.Predicts.predict` that do not fit one another.

    `needed` is the halo that the model cannot do without. Raises `InputError` naming the argument.
    """
    shape = dem.shape
    if len(shape) != 2:
        raise InputError(f"dem: must be (H, W), got shape {shape}")
    for name, array, bands in (("optical", optical, OPTICAL_BANDS), ("radar", radar, RADAR_BANDS)):
        if array.shape != (len(bands), *shape):
            raise InputError(
                f"{name}: must be {(len(bands), *shape)} ({' '.join(bands)}; rows and columns of dem), "
                f"got shape {array.shape}"
            )
    if halo < needed:
        raise InputError(f"halo: is {halo} px, the model needs {needed}; read a wider margin")
    core = (shape[0] - 2 * halo, shape[1] - 2 * halo)
    if min(core) <= 0:
        raise InputError(f"halo: {halo} px on every side leave no core in {shape}; pad the scene with NaN")
    if wanted is not None and wanted.shape != core:
        raise InputError(f"wanted: must be {core}, the core's rows and columns, got shape {wanted.shape}")


def valid(optical: Pixels, radar: Pixels, dem: Pixels) -> NDArray[np.bool_]:
    """(H, W): where (12, H, W) reflectance, (2, H, W) backscatter and (H, W) elevation are all finite."""
    known = np.isfinite(dem)
    for band in (*optical, *radar):  # band by band, so that no plane is held for each of them
        known &= np.isfinite(band)
    return known
