"""One lake under a cloud: its visible parts are one lake seen in part, not lakes of their own."""

from __future__ import annotations

import geopandas
import numpy as np
import pandas as pd
import shapely

from monitor.lakes.match import overlaps
from storage.policy import SEEN_WHOLE


def join_parts(
    found: geopandas.GeoDataFrame,
    reference: geopandas.GeoDataFrame,
    seen_share: pd.Series,
) -> geopandas.GeoDataFrame:
    """Join outlines on the place of one known lake where that place was not seen whole.

    A lake that parts in full view has split. One that is partly hidden cannot be said to have.

    Args:
        found: as from `vectorise.vectorise`.
        reference: as from `match.references`.
        seen_share: of each of these lakes, the share of its place (`before`) that was seen this season.

    Returns:
        `found` with such parts in one row, at the place of the first: areas and perimeters added up, the
        probability weighted by area.
    """
    living = reference[~reference.ended & reference.before.notna()]
    places = geopandas.GeoSeries(living.before, index=living.index, crs=found.crs)
    pairs = overlaps(places, found.geometry)
    # an outline that reaches into two known lakes is none's part
    parts = pairs[~pairs.found.duplicated(keep=False)]
    parts = parts[parts.lake.duplicated(keep=False)]
    lakes = parts.lake.unique()
    if len(lakes) == 0:
        return found
    hidden = parts[parts.lake.isin(lakes[(seen_share[lakes] < SEEN_WHOLE).to_numpy()])]
    first = hidden.groupby("lake").found.transform("min")
    group = np.arange(len(found))
    group[hidden.found] = first
    rows = [_one(members) for _, members in found.groupby(group)]
    return geopandas.GeoDataFrame(pd.DataFrame(rows), geometry="geometry", crs=found.crs)


def _one(parts: geopandas.GeoDataFrame) -> dict[str, object]:
    if len(parts) == 1:
        row: dict[str, object] = parts.iloc[0].to_dict()
        return row
    polygons = [polygon for outline in parts.geometry for polygon in outline.geoms]
    return {
        "geometry": shapely.multipolygons(polygons),
        "area_m2": parts.area_m2.sum(),
        "perimeter_m": parts.perimeter_m.sum(),
        "probability": np.average(parts.probability, weights=parts.area_m2),
        "first_doy": parts.first_doy.min(),
        "last_doy": parts.last_doy.max(),
        # of the part that was seen best, as that is no sum that an order could change
        "elevation_m": parts.elevation_m[parts.area_m2.idxmax()],
    }
