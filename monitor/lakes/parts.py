"""Joining the visible parts of a lake that is partly hidden, so that they are not taken for several lakes."""

from __future__ import annotations

import geopandas
import numpy as np
import pandas as pd
import shapely

from monitor.lakes.overlap import overlaps
from monitor.lakes.sensors import mapped_without_optical, shares_of
from monitor.lakes.vectorise import first_day
from storage.policy import SEEN_WHOLE


def join_parts(
    found: geopandas.GeoDataFrame,
    reference: geopandas.GeoDataFrame,
    seen_share: pd.Series,
) -> geopandas.GeoDataFrame:
    """Join the outlines that overlap one known lake, if that lake was not seen whole by optics.

    A lake that was seen whole and has several outlines has split. Of a lake that is partly hidden, or that
    only radar sees, which misses parts of lakes, this cannot be decided.

    Args:
        found: as from `vectorise.vectorise`.
        reference: as from `match.references`.
        seen_share: for each lake of `reference`, the share of its outline `before` that was seen this season.

    Returns:
        `found` with such parts joined into one row, at the position of the first: areas and perimeters are
        added up, the probability is the mean weighted by area.
    """
    active = reference[~reference.ended & reference.before.notna()]
    places = geopandas.GeoSeries(active.before, index=active.index, crs=found.crs)
    pairs = overlaps(places, found.geometry)
    # an outline that overlaps two known lakes is a part of neither
    parts = pairs[~pairs.found.duplicated(keep=False)]
    parts = parts[parts.lake.duplicated(keep=False)]
    lakes = parts.lake.unique()
    if len(lakes) == 0:
        return found
    by_radar = mapped_without_optical(shares_of(found.seen_by.to_list()))
    doubtful = (seen_share[lakes] < SEEN_WHOLE).to_numpy() | np.isin(lakes, parts.lake[by_radar[parts.found]])
    hidden = parts[parts.lake.isin(lakes[doubtful])]
    first = hidden.groupby("lake").found.transform("min")
    group = np.arange(len(found))
    group[hidden.found] = first
    rows = [_joined_row(members) for _, members in found.groupby(group)]
    return geopandas.GeoDataFrame(pd.DataFrame(rows), geometry="geometry", crs=found.crs)


def _joined_row(parts: geopandas.GeoDataFrame) -> dict[str, object]:
    if len(parts) == 1:
        row: dict[str, object] = parts.iloc[0].to_dict()
        return row
    polygons = [polygon for outline in parts.geometry for polygon in outline.geoms]
    return {
        "geometry": shapely.multipolygons(polygons),
        "area_m2": parts.area_m2.sum(),
        "perimeter_m": parts.perimeter_m.sum(),
        "probability": np.average(parts.probability, weights=parts.area_m2),
        "first_doy": first_day(parts.first_doy),
        "last_doy": parts.last_doy.max(),
        # of the largest part: a mean could depend on the order of the parts
        "elevation_m": parts.elevation_m[parts.area_m2.idxmax()],
        "seen_by": np.sum(parts.seen_by.to_list(), axis=0),
    }
