"""Which pixels of a file are valid, and their values, decided on the file's own pixels.

Everything that mixes pixels (filters, overviews of classes, interpolation) runs afterwards, so that a missing
or impossible value never becomes part of a plausible one. A pixel is not valid where

- the file's internal mask, mask file or alpha band says so,
- its number is the no-data value of the catalogue's profile or of the file, or not a number,
- its number is a fill value that is common for the quantity, declared or not, or
- its value, after the scale and offset of the file, is impossible for the quantity.

In arrays of this package an invalid pixel is NaN. Where a caller needs the reason (`coded=True` in
`monitor.archive.load`), it is `ABSENT` or `VOID`, and NaN means that the pixel is masked or outside the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.windows import Window

Floats = NDArray[np.float32]

#: code of a pixel whose number is a no-data or fill value
ABSENT = np.float32(-np.inf)
#: code of a pixel whose value is impossible
VOID = np.float32(np.inf)
#: numbers of at least this size are fill values (3.4e38, -1.7e308 and the like)
HUGE = 1e30
#: scale of reflectance x 10000
REFLECTANCE_SCALE = 1e-4
#: metres between neighbouring pixels of a DEM, one of them at or below sea level, that are no ground: on
#: pixels of 30 m, a slope of 73 degrees down to the sea
CLIFF = 100.0
#: pixels from such a cliff within which numbers at or below sea level are a hole filled with zeros
HOLE_REACH = 32


class ContentError(ValueError):
    """The numbers of a file contradict its item, or are impossible; reading it again gives the same."""


@dataclass(frozen=True)
class Quantity:
    """The values that a measured quantity can have.

    Attributes:
        name: for messages.
        lowest, highest: range of possible values, bounds included.
        fills: numbers that mean "no data" in files that declare another value or none.
        scaling: "apply": scale and offset tags of a file give the value from its number. "ignore": they are
            known to be wrong, or have no meaning. "expect": the numbers are values already; tags must be
            absent or equal to `expected`.
        expected: scale and offset that the tags may have with `scaling="expect"`.
    """

    name: str
    lowest: float = -np.inf
    highest: float = np.inf
    fills: tuple[float, ...] = ()
    scaling: Literal["apply", "expect", "ignore"] = "ignore"
    expected: tuple[float, float] = (1.0, 0.0)


#: any numbers
NUMBERS = Quantity("number")
#: Sentinel-2 scene classes, 0 to 11
CLASSES = Quantity("scene class", 0, 11)
#: metres above EGM2008, with a margin around the lowest and the highest ground
HEIGHT = Quantity("height in metres", -500, 9000, (-9999.0, -32768.0, -32767.0, 32767.0, -99999.0), "apply")
#: linear power; the brightest point targets are about 30 dB. The removal of noise leaves values around zero
#: over calm water. Decibels, taken for power, are far below zero.
POWER = Quantity("backscatter in linear power", -0.1, 1e4, (-9999.0, -32768.0), "apply")
#: decibels; the noise of Sentinel-1 is at -22 to -32 dB, and after its removal single pixels are far lower
DECIBEL = Quantity("backscatter in dB", -100, 40, (0.0, -9999.0, -32768.0), "apply")


def reflectance(offset: float, *, tags: bool = True) -> Quantity:
    """Digital numbers of Sentinel-2 that give reflectance x 10000 when `offset` is added.

    The range of reflectance is -0.2 to 3: the atmospheric correction can give values below zero, and sunlit
    snow and cloud on slopes values above 2. Numbers that wrapped below zero in 16 bits are above 6.

    Args:
        offset: of the scene, by `monitor.archive.conventions`. Scale and offset tags of a file must agree.
        tags: whether the tags of the files are checked; those of some catalogues are known to be wrong.
    """
    return Quantity(
        "reflectance x 10000",
        -2000 - offset,
        30_000 - offset,
        scaling="expect" if tags else "ignore",
        expected=(REFLECTANCE_SCALE, offset * REFLECTANCE_SCALE),
    )


def values_of(
    file: DatasetReader,
    bands: NDArray[Any],
    numbers: Sequence[int],
    window: Window,
    nodata: float | None,
    quantity: Quantity,
    dtype: np.dtype[Any],
) -> dict[int, NDArray[Any]]:
    """Values of a window of bands by band number, in the type that is resampled.

    Args:
        file: open, at the resolution of the window.
        bands: numbers in the window (bands, h, w).
        nodata: of the profile; the one that the file declares counts too.
        dtype: floats get `ABSENT`, `VOID` and NaN, integers `nodata` or 0, where a pixel is not valid.

    Raises:
        ContentError: the scale and offset tags contradict the item.
    """
    masks = masks_of(file, numbers, window)
    found: dict[int, NDArray[Any]] = {}
    for position, number in enumerate(numbers):
        missing = [value for value in (nodata, file.nodatavals[number - 1]) if value is not None]
        scaling = _scaling(quantity, (file.scales[number - 1], file.offsets[number - 1]))
        coded = coded_values(bands[position], missing, quantity, scaling, masks.get(number))
        found[number] = coded if dtype.kind == "f" else _classes(bands[position], coded, nodata, dtype)
    return found


def coded_values(
    band: NDArray[Any],
    missing: Sequence[float],
    quantity: Quantity,
    scaling: tuple[float, float] = (1.0, 0.0),
    mask: NDArray[np.bool_] | None = None,
) -> Floats:
    """Values of numbers (h, w): float32, `ABSENT`, `VOID`, or NaN by the mask where they are not valid.

    Args:
        missing: declared no-data values.
        scaling: value = number x scale + offset.
        mask: True where the file has data; None: everywhere.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        values = band.astype(np.float32)
        if scaling != (1.0, 0.0):
            values = (band.astype(np.float64) * scaling[0] + scaling[1]).astype(np.float32)
        impossible = ~((values >= quantity.lowest) & (values <= quantity.highest)) | np.isinf(values)
    absent = np.zeros(band.shape, bool)
    for value in {*missing, *quantity.fills}:
        absent |= band == value
    if band.dtype.kind == "f":
        # the logarithm of zero is minus infinity
        absent |= np.isnan(band) | np.isneginf(band) | (np.isfinite(band) & (np.abs(band) >= HUGE))
    values[impossible] = VOID
    values[absent] = ABSENT
    if mask is not None:
        values[~mask] = np.nan
    return values


def _classes(band: NDArray[Any], coded: Floats, nodata: float | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.where(np.isfinite(coded), band, nodata or 0).astype(dtype)


def masks_of(file: DatasetReader, numbers: Sequence[int], window: Window) -> dict[int, NDArray[np.bool_]]:
    """Validity by mask or alpha band, of the bands that have one; the others have only a no-data value."""
    from rasterio.enums import MaskFlags

    masked = [n for n in numbers if MaskFlags.per_dataset in file.mask_flag_enums[n - 1]]
    if not masked:
        return {}
    return dict(zip(masked, file.read_masks(masked, window=window) > 0, strict=True))


def _scaling(quantity: Quantity, tags: tuple[float, float]) -> tuple[float, float]:
    """Scale and offset that are applied to a file's numbers."""
    if tags == (1.0, 0.0) or quantity.scaling == "ignore":
        return 1.0, 0.0
    if quantity.scaling == "apply":
        return tags
    scale, offset = quantity.expected
    in_numbers = (1.0, offset / scale)
    if any(np.allclose(tags, known, rtol=1e-6, atol=1e-12) for known in ((scale, offset), in_numbers)):
        return 1.0, 0.0
    raise ContentError(
        f"its scale and offset tags are {tags[0]:g} and {tags[1]:g}, its item says {scale:g} and {offset:g}: "
        "one of them is wrong"
    )


def fill_zero_holes(heights: Floats) -> Floats:
    """Heights (h, w) with NaN in holes that are filled with zeros, and below steep cliffs to sea level.

    A height at or below sea level beside ground higher than `CLIFF` is no ground, nor are the numbers at or
    below sea level that are connected with it within `HOLE_REACH` pixels. The sea below a fjord's wall loses
    its height, too, which changes nothing: no lake is there, and it hides nothing from sun or radar.
    """
    low = heights <= 0
    if not low.any():
        return heights
    beside = np.ones((3, 3), bool)
    cliff = low & ndimage.binary_dilation(heights >= CLIFF, beside)
    if not cliff.any():
        return heights
    hole = ndimage.binary_dilation(cliff, beside, iterations=HOLE_REACH, mask=low)
    return np.where(hole, np.float32(np.nan), heights)
