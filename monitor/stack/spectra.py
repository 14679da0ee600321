"""Validity of pixels over the bands of a scene: missing where all bands say so, and not where one is dark.

The atmospheric correction ends at zero over dark water, the no-data value of the files. A zero is therefore
missing only at the scene's edge, where no band has data, or where neighbouring bands are too bright for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from monitor.archive.validity import ABSENT, VOID
from monitor.errors import ContentRefusedError
from monitor.grid import WGS84, pixel_at, reproject

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

#: pixels from the edge of a scene within which a band that lacks a number has no data. The bands end up to
#: 300 m from one another, because their detectors see a place one after the other.
EDGE = 30
#: pixels that interpolation of the coarsest bands (60 m) mixes
MIXED = 7
#: reflectance x 10000 of the bands beside a zero, above which that zero is lost data and not a dark surface
DARK_BELOW = 1500.0
#: edge in pixels of the squares of the global grid in which faulty numbers are counted; tiles are whole
#: numbers of them, so that the count does not depend on the tiling
SQUARE = 256
#: share of such a square above which an asset is refused: of impossible numbers, beside which the possible
#: ones are doubtful, and of numbers that are missing
IMPOSSIBLE_SHARE, MISSING_SHARE = 0.02, 0.2


@dataclass(frozen=True)
class Spectra:
    """Reflectance of one scene on a box.

    Attributes:
        values: reflectance x 10000 (bands, H, W), not negative; NaN where a band has no valid number.
        impossible: (bands, H, W) numbers that are impossible.
        missing: (bands, H, W) numbers that are missing although other bands, or the scene classes, have data.
    """

    values: Floats
    impossible: Flags
    missing: Flags


def spectra(coded: Floats, offset: float, no_data: Flags | None = None) -> Spectra:
    """Judge the bands of a scene together.

    Args:
        coded: reflectance x 10000 (bands, H, W) with the codes of `monitor.archive.validity`.
        offset: of the scene, which was added to its numbers.
        no_data: pixels (H, W) without data by the scene classes, if there are any.
    """
    valid = np.isfinite(coded)
    # interpolation leaves ones as they are; with a rim of ones some producers mark what zero should
    bare = valid & (coded <= offset + 1)
    void = coded == VOID
    values = np.maximum(coded, 0)
    nothing = (~void & (~valid | bare)).all(axis=0)
    if valid.all() and not nothing.any():
        return Spectra(values, void, np.zeros_like(void))
    edge = nothing if no_data is None else nothing | no_data
    inland = distance_to(edge) > EDGE
    some = valid.any(axis=0)
    zero = (coded == ABSENT) & some
    zero &= _dark_beside(coded, zero) & inland
    values[zero] = 0
    missing = ~valid & ~void & ~zero & some & inland
    if no_data is not None:
        missing |= nothing & ~np.isnan(coded).all(axis=0) & (distance_to(no_data) > EDGE)
    lost = nothing | (distance_to(nothing & bare.any(axis=0)) <= MIXED)
    values[:, lost | ~(valid | zero).all(axis=0)] = np.nan
    return Spectra(values, void & inland, missing)


def _dark_beside(coded: Floats, zero: Flags) -> Flags:
    """Whether the bands beside a zero, the next ones with a value to both sides, are dark: (bands, H, W).

    On a shore these can be brighter, because pixels of another band are smaller or mixed: zeros near a dark
    one are dark, too.
    """
    dark = np.zeros(zero.shape, bool)
    for band in range(len(coded)):
        where = zero[band]
        if not where.any():
            continue
        here = coded[:, where]
        beside = np.fmax(_first_value(here[:band][::-1]), _first_value(here[band + 1 :]))
        dark[band][where] = beside <= DARK_BELOW
        dark[band] |= where & (distance_to(dark[band]) <= MIXED)
    return dark


def _first_value(bands: Floats) -> Floats:
    """The first valid value of each pixel: (n,) of (bands, n), NaN where there is none."""
    found = np.full(bands.shape[1:], np.nan, np.float32)
    for band in bands[::-1]:
        np.copyto(found, band, where=np.isfinite(band))
    return found


def distance_to(flags: Flags) -> NDArray[np.float64]:
    """Distance in pixels to the nearest pixel that is set, (H, W)."""
    if not flags.any():
        return np.full(flags.shape, np.inf)
    found: NDArray[np.float64] = ndimage.distance_transform_edt(~flags)
    return found


def worst_share(faulty: Flags, geobox: GeoBox, core: tuple[slice, slice]) -> float:
    """The largest share of faulty pixels in the squares of the global grid that lie in `core` of a box.

    Args:
        faulty: (H, W) on `geobox`.
        core: rows and columns of the tile, a whole number of squares where the tile's size is one.
    """
    row, col = pixel_at(geobox.affine.c, geobox.affine.f)
    rows, cols = np.nonzero(faulty[core])
    if len(rows) == 0:
        return 0.0
    down, across = (rows + row + core[0].start) // SQUARE, (cols + col + core[1].start) // SQUARE
    _, counts = np.unique(np.stack([down, across]), axis=1, return_counts=True)
    return float(counts.max()) / SQUARE**2


def covers(outline: BaseGeometry, geobox: GeoBox, shrunk: float = 0.0) -> Flags:
    """Pixels (H, W) whose centre lies in an outline (EPSG:4326), made smaller by `shrunk` metres."""
    assert geobox.crs is not None and geobox.crs.epsg is not None
    ground = reproject(outline, WGS84, int(geobox.crs.epsg)).buffer(-shrunk)
    if ground.is_empty:
        return np.zeros(geobox.shape, bool)
    return np.asarray(geometry_mask([ground], geobox.shape, geobox.affine, invert=True))


def refusal(
    item: str, assets: Sequence[tuple[str, str]], shares: Sequence[float], limit: float, fault: str
) -> ContentRefusedError | None:
    """The refusal of the asset with the largest share of faulty numbers; None up to the limit.

    Args:
        assets: key and address of each.
        shares: as from `worst_share`.
        limit: largest share that is accepted.
        fault: of the numbers, for the message.
    """
    worst = int(np.argmax(shares))
    if shares[worst] <= limit:
        return None
    side = SQUARE * 10 / 1000
    return ContentRefusedError(
        item, *assets[worst], f"in {shares[worst]:.0%} of a square of {side:.1f} km {fault}"
    )
