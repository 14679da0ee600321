"""Rasters of the samples with their place on the ground."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import rasterio
from numpy.typing import NDArray

from training.errors import TrainingError


class Where(TypedDict):
    """Georeference of a chip; see `training.chip_files`."""

    epsg: int | None
    left: float | None
    top: float | None
    pixel: float | None


@dataclass(frozen=True, eq=False)
class Raster:
    """Bands (B, H, W) as float32, NaN where the file has no data."""

    values: NDArray[np.float32]
    where: Where
    #: longitude and latitude or easting and northing of the middle
    middle: tuple[float, float]


def read(path: Path) -> Raster:
    """Read all bands of a file.

    Raises:
        TrainingError: the file is missing or no raster.
    """
    log = logging.getLogger("rasterio._env")
    before = log.level
    log.setLevel(logging.ERROR)  # a harmless warning about the tag Photometric in many samples
    try:
        with rasterio.open(path) as file:
            values = file.read(out_dtype="float32")
            across, down = file.res
            if file.nodata is not None:
                values[values == np.float32(file.nodata)] = np.nan
            where = Where(
                epsg=file.crs.to_epsg() if file.crs else None,
                left=file.bounds.left,
                top=file.bounds.top,
                pixel=across if abs(across - down) < 1e-6 * across else None,
            )
            middle = file.xy(file.height / 2 - 0.5, file.width / 2 - 0.5)
    except rasterio.errors.RasterioIOError as error:
        raise TrainingError(f"{path}: cannot be read; check the folder of samples ({error})") from error
    finally:
        log.setLevel(before)
    return Raster(values, where, (float(middle[0]), float(middle[1])))
