"""Input arrays of a segmenter: checks of their shapes, and the sensors that each pixel has. No torch."""

import numpy as np
from numpy.typing import NDArray

from segmenter.errors import InputError, OutputError
from segmenter.manifest import OPTICAL_BANDS, RADAR_BANDS, Manifest
from segmenter.protocol import Answer, Pixels, TileArrays
from segmenter.sensors import ALL
from segmenter.sets import choices


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


def present(optical: Pixels, radar: Pixels, dem: Pixels) -> NDArray[np.uint8]:
    """Code (H, W) of the sensors that each pixel has: those of which all bands are finite.

    Args:
        optical: (12, H, W) reflectance.
        radar: (2, H, W) backscatter.
        dem: (H, W) elevation.
    """
    code = np.zeros(dem.shape, np.uint8)
    for bit, bands in enumerate((optical, radar, dem[None])):
        finite = np.ones(dem.shape, bool)
        for band in bands:  # one at a time: no mask (12, H, W) in memory, and each in a core's cache
            np.logical_and(finite, np.isfinite(band), out=finite)
        code |= finite.view(np.uint8) << bit
    return code


def valid(optical: Pixels, radar: Pixels, dem: Pixels) -> NDArray[np.bool_]:
    """Mask (H, W) of the pixels that have all sensors; the arguments are those of `present`."""
    known: NDArray[np.bool_] = present(optical, radar, dem) == ALL
    return known


def refuse_unanswered(scene: TileArrays, answer: Answer, manifest: Manifest) -> None:
    """Check that a scene's answer is finite on every wanted pixel that has the sensors of a validated set.

    A pixel without an answer counts as a pixel without a view, so a failure of the model must not leave one.

    Raises:
        OutputError: it is not; the message has the number of pixels.
    """
    rows, cols = (slice(scene.halo, size - scene.halo) for size in scene.dem.shape)
    has = present(scene.optical[:, rows, cols], scene.radar[:, rows, cols], scene.dem[rows, cols])
    known = choices([manifest])[has] > 0
    if scene.wanted is not None:
        known &= scene.wanted
    missing = known & ~(np.isfinite(answer.probability) & np.isfinite(answer.uncertainty))
    if missing.any():
        raise OutputError(
            f"model {manifest.name}: its answer is not finite on {missing.sum()} of {known.sum()} pixels "
            "with valid input; check its weights, and on a GPU that it is not too large for half precision"
        )
