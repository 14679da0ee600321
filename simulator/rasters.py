"""Cloud-optimised GeoTIFFs and their projection properties for the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"


def write_cog(
    path: Path,
    data: NDArray[Any],
    epsg: int,
    transform: Affine,
    nodata: float | None,
    *,
    classes: bool = False,
) -> dict[str, Any]:
    """Write one band (H, W) as a COG; return the proj: fields of the asset."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="COG", height=data.shape[0], width=data.shape[1], count=1, dtype=data.dtype,
        crs=f"EPSG:{epsg}", transform=transform, nodata=nodata, compress="DEFLATE", level=1, blocksize=512,
        predictor="NO" if classes else "YES", overviews="AUTO",
        resampling="NEAREST" if classes else "AVERAGE",
    ) as target:  # fmt: skip
        target.write(data, 1)
    rows, cols = data.shape
    west, north = transform @ (0, 0)
    east, south = transform @ (cols, rows)
    return {
        "proj:shape": [rows, cols],
        "proj:transform": [float(v) for v in tuple(transform)[:6]],
        "proj:bbox": [float(np.round(v, 9)) for v in (west, south, east, north)],
    }
