"""The draft of an inventory's survey: its lakes matched, the lakes that it leaves out explained."""

from __future__ import annotations

import geopandas
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from monitor.grid import WGS84
from monitor.history.draft import SurveyDraft, flag_frame
from monitor.lakes.match import lineage_frame, match, minted_frame, references, state_changes
from monitor.lakes.suspect import doubted, suspicion
from monitor.review.triage import season_flag
from storage.codes import Outcome
from storage.prior import PriorSurveys

#: the reason recorded for a lake that is dry because a complete inventory leaves it out
LEFT_OUT = "left out by an inventory that is complete"


def draft_inventory(
    prior: PriorSurveys,
    lakes: geopandas.GeoDataFrame,
    region: str,
    outline: BaseGeometry | None,
    season: int,
    *,
    complete: bool,
    before: BaseGeometry | None,
) -> SurveyDraft:
    """Draft the survey of one season of an inventory. A pure function.

    Args:
        lakes: the outlines, with area_m2 and the columns of observations other than lake_id (EPSG:4326).
        outline: the part of the region that the inventory covers; None if unknown.
        complete: the inventory contains every lake of that part.
        before: the area that complete inventories of earlier seasons cover; a first observed lake there is
            new.
    """
    reference = references(prior.observations, prior.lineage, season)
    matching = match(
        reference, lakes.geometry, region, season, older=prior.older, superseded=prior.superseded
    )
    water = lakes.drop(columns="area_m2").assign(lake_id=list(matching.lake_ids))
    missing = [lake for lake in matching.missing if _inside(reference.geometry[lake], outline)]
    absent = pd.DataFrame(
        {
            "lake_id": missing if complete else [],
            "outcome": Outcome.DRY.value,
            "reason": LEFT_OUT,
            "geometry": None,
            "seen_share": 1.0,
        }
    )
    suspect = suspicion(reference, matching, water, lakes.area_m2.to_numpy(float), absent, missing)
    if suspect:
        absent = doubted(absent, suspect)
    dry = absent.lake_id[absent.outcome == Outcome.DRY].tolist()
    outlines = dict(zip(matching.lake_ids, lakes.geometry.to_numpy(), strict=True))
    new = [
        lake
        for lake in sorted(matching.first_observed)
        if before is not None and _inside(outlines[lake], before)
    ]
    events = state_changes(reference, matching, dry, new if complete else [])
    observations = pd.concat([water, absent], ignore_index=True) if len(absent) else water
    whole = outline if outline is not None else shapely.box(*lakes.total_bounds)
    return SurveyDraft(
        observations=geopandas.GeoDataFrame(observations, geometry="geometry", crs=WGS84),
        lakes=minted_frame(matching, lakes.geometry),
        lineage=lineage_frame((*matching.lineage, *events)),
        flags=flag_frame([season_flag(whole, suspect)] if suspect else []),
        suspect=suspect.why if suspect else None,
    )


def _inside(lake: BaseGeometry, outline: BaseGeometry | None) -> bool:
    return outline is None or bool(outline.covers(lake.representative_point()))
