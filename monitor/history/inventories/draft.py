"""The draft of an inventory's survey: its lakes matched, the lakes that it leaves out explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import geopandas
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from monitor.grid import WGS84
from monitor.history.alarms import Comparison
from monitor.history.draft import SurveyDraft, flag_frame
from monitor.lakes.match import lineage_frame, match, minted_frame, references, state_changes
from monitor.lakes.suspect import doubted, suspicion
from monitor.review.triage import season_flag
from storage.codes import Outcome
from storage.prior import PriorSurveys

#: the reason recorded for a lake that is dry because a complete inventory leaves it out
LEFT_OUT = "left out by an inventory that is complete"


@dataclass(frozen=True)
class EarlierInventory:
    """An inventory of an earlier season."""

    season: int
    #: the part of the region that it covers
    covered: BaseGeometry
    #: it is declared complete, and its survey is not suspect
    complete: bool


def draft_inventory(
    prior: PriorSurveys,
    lakes: geopandas.GeoDataFrame,
    region: str,
    outline: BaseGeometry | None,
    season: int,
    *,
    complete: bool,
    earlier: Sequence[EarlierInventory] = (),
) -> SurveyDraft:
    """Draft the survey of one season of an inventory. A pure function.

    Args:
        lakes: the outlines, with area_m2 and the columns of observations other than lake_id (EPSG:4326).
        outline: the part of the region that the inventory covers; None if unknown.
        complete: the inventory contains every lake of that part.
        earlier: the earlier inventories of the region. A first observed lake is new in the area that a
            complete one of them covers. A lake that one of them left out was lost then, not in this season.
    """
    reference = references(prior.observations, prior.lineage, season)
    matching = match(
        reference, lakes.geometry, region, season, older=prior.older, superseded=prior.superseded
    )
    water = lakes.assign(lake_id=list(matching.lake_ids))
    # of a lake that only radar has seen, nothing follows
    known = [lake for lake in matching.missing if reference.confirmed[lake]]
    missing = [lake for lake in known if _inside(reference.geometry[lake], outline)]
    absent = pd.DataFrame(
        {
            "lake_id": missing,
            "outcome": Outcome.DRY.value,
            "reason": LEFT_OUT,
            "geometry": None,
            "seen_share": 1.0,
        }
    )
    compared = Comparison.of(prior, season, matching, _all(water, absent))
    lost = [lake for lake in missing if _left_out_before(lake, reference, compared.before, earlier)]
    suspect = suspicion(compared.changes.drop(index=lost), compared.before, images=False)
    if suspect:
        absent = doubted(absent, suspect)
    absent = absent if complete else absent.iloc[:0]
    observations = _all(water, absent)
    outlines = observations.geometry.to_dict()
    new = [
        lake
        for lake in sorted(matching.first_observed)
        if complete and any(_inside(outlines[lake], past.covered) for past in earlier if past.complete)
    ]
    dry = absent.lake_id[absent.outcome == Outcome.DRY].tolist()
    lineage = lineage_frame((*matching.lineage, *state_changes(reference, matching, dry, new)))
    compared = replace(compared, after=observations)
    flags = compared.flags(lineage, reference, suspect=suspect is not None)
    whole = outline if outline is not None else shapely.box(*lakes.total_bounds)
    if suspect:
        flags.append(season_flag(whole, suspect))
    return SurveyDraft(
        observations=observations.drop(columns="area_m2").reset_index(),
        lakes=minted_frame(matching, lakes.geometry),
        lineage=lineage,
        flags=flag_frame(flags),
        suspect=suspect.why if suspect else None,
    )


def _inside(lake: BaseGeometry, outline: BaseGeometry | None) -> bool:
    return outline is None or bool(outline.covers(lake.representative_point()))


def _all(water: geopandas.GeoDataFrame, absent: pd.DataFrame) -> geopandas.GeoDataFrame:
    """All observations, indexed by lake_id."""
    rows = pd.concat([water, absent], ignore_index=True) if len(absent) else pd.DataFrame(water)
    return geopandas.GeoDataFrame(rows, geometry="geometry", crs=WGS84).set_index("lake_id")


def _left_out_before(
    lake: UUID,
    reference: geopandas.GeoDataFrame,
    before: pd.DataFrame,
    earlier: Sequence[EarlierInventory],
) -> bool:
    """Whether an inventory left out the lake after its last observation: its loss is not of this season."""
    last = before.season.get(lake)
    later = [past for past in earlier if last is not None and past.season > last]
    return any(_inside(reference.geometry[lake], past.covered) for past in later)
