"""Input arrays of a segmenter: checks of their shapes, and the mask of valid pixels. No torch."""

import numpy as np
from numpy.typing import NDArray

from segmenter.errors import InputError, OutputError
from segmenter.manifest import OPTICAL_BANDS, RADAR_BANDS
from segmenter.protocol import Answer, Pixels, TileArrays


def check(
    optical: Pixels, radar: Pixels, dem: Pixels, halo: int, needed: int, wanted: NDArray[np.bool_] | None
) -> None:
    """Check that the arguments of `segmenter.protocol.Predicts.predict` fit one another.

    `needed` is the halo that the model needs, in px. Raises `InputError` naming the argument.
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
    """Mask (H, W) of finite reflectance (12, H, W), backscatter (2, H, W) and elevation (H, W)."""
    known = np.isfinite(dem)
    for band in (*optical, *radar):  # band by band, to avoid a mask (12, H, W) in memory
        known &= np.isfinite(band)
    return known


def refuse_unanswered(scene: TileArrays, answer: Answer, model: str) -> None:
    """Check that a scene's answer is finite on every wanted pixel with valid input.

    A pixel without an answer counts as a pixel without a view, so a failure of the model must not leave one.

    Raises:
        OutputError: it is not; the message has the number of pixels.
    """
    rows, cols = (slice(scene.halo, size - scene.halo) for size in scene.dem.shape)
    known = valid(scene.optical[:, rows, cols], scene.radar[:, rows, cols], scene.dem[rows, cols])
    if scene.wanted is not None:
        known &= scene.wanted
    missing = known & ~(np.isfinite(answer.probability) & np.isfinite(answer.uncertainty))
    if missing.any():
        raise OutputError(
            f"model {model}: its answer is not finite on {missing.sum()} of {known.sum()} pixels with valid "
            "input; check its weights, and on a GPU that it is not too large for half precision"
        )
