"""Overlaps of known and found outlines."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

#: share of the smaller outline that two outlines must have in common to be related
OVERLAP = 0.2


def overlaps(known: geopandas.GeoSeries, found: geopandas.GeoSeries) -> pd.DataFrame:
    """Pairs of a known and a found outline that share at least `OVERLAP` of the smaller, most similar first.

    Args:
        known: outlines by lake_id.
        found: outlines by position.

    Returns:
        lake, found (position), common (shared area in square degrees, comparable at one place only), iou
        (intersection over union).
    """
    if known.empty or found.empty:
        return pd.DataFrame({"lake": [], "found": np.array([], int), "common": [], "iou": []})
    old, new = _valid(known), _valid(found)
    a, b = shapely.STRtree(new).query(old)
    with ThreadPoolExecutor() as threads:
        pieces = (np.array_split(side, os.cpu_count() or 1) for side in (old[a], new[b]))
        common = np.concatenate([*threads.map(_common, *pieces)])
    first, second = shapely.area(old)[a], shapely.area(new)[b]
    keep = common >= OVERLAP * np.minimum(first, second)
    pairs = pd.DataFrame(
        {
            "lake": known.index.to_numpy(object)[a[keep]],
            "found": b[keep],
            "common": common[keep],
            "iou": (common / (first + second - common))[keep],
        }
    )
    return most_similar_first(pairs)


def most_similar_first(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs, as from `overlaps`, sorted by their similarity, then by position."""
    return pairs.sort_values(["iou", "found"], ascending=[False, True], kind="stable", ignore_index=True)


def _common(first: NDArray[np.object_], second: NDArray[np.object_]) -> NDArray[np.float64]:
    """Shared area of each pair of outlines; GEOS releases the GIL."""
    shared: NDArray[np.float64] = shapely.area(shapely.intersection(first, second))
    return shared


def _valid(outlines: geopandas.GeoSeries) -> NDArray[np.object_]:
    """Outlines as an array, invalid ones repaired. They stay in degrees: overlaps need only area ratios."""
    shapes = outlines.to_numpy()
    invalid = ~shapely.is_valid(shapes)
    if invalid.any():
        shapes = shapes.copy()
        shapes[invalid] = shapely.make_valid(shapes[invalid])
    return np.asarray(shapes, object)
