"""The draft of a season's survey: lakes of the region outlined, matched, compared; doubtful ones flagged.

Pure: the layers of the season's tiles and the prior surveys go in, the draft comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from monitor.grid import PIXEL, WGS84
from monitor.history.draft import SurveyDraft, flag_frame
from monitor.lakes.absence import explain_absence, seen_shares
from monitor.lakes.change import compare
from monitor.lakes.match import Matching, lineage_frame, match, minted_frame, references, turning_points
from monitor.lakes.parts import join_parts
from monitor.lakes.suspect import suspicion
from monitor.lakes.uncertainty import area_errors, combine
from monitor.lakes.vectorise import TileMap, sights_within, vectorise
from monitor.review.triage import disagreements, losses, season_flag
from monitor.settings import Region
from storage.codes import Outcome, Reason, SurveyKind
from storage.prior import PriorSurveys

Maps = Callable[[], Iterable[TileMap]]
#: share of a new lake's footprint that the previous season must have seen dry for it to be called new
DRY_BEFORE = 0.5
#: degrees; a footprint grown by about a pixel, so that cloud touching the shore counts
RIM = PIXEL / 111_320


@dataclass(frozen=True)
class PreviousSeason:
    """The region's latest survey of an earlier season and the same kind."""

    season: int
    maps: Maps


def draft_season(
    maps: Maps,
    region: Region,
    season: int,
    prior: PriorSurveys,
    previous: PreviousSeason | None,
    *,
    smallest_m2: float,
    area_factor: float = 1.0,
    kind: SurveyKind = SurveyKind.MODEL,
) -> SurveyDraft:
    """Draft the survey of `region` in `season`.

    Args:
        maps: gives the season's tiles, anew at each call.
        prior: the surveys prior to this one.
        previous: the season to compare with.
        smallest_m2: smaller lakes are not mapped.
        area_factor: of the model's manifest, by which standard deviations of areas are multiplied.
        kind: model or index; only surveys of the same kind are compared.
    """
    reference = references(prior.observations, prior.lineage, season)
    found = join_parts(vectorise(maps(), region.zone, smallest_m2), reference, maps)
    matching = match(
        reference, found.geometry, region.name, season, older=prior.older, superseded=prior.superseded
    )
    water = _water_rows(found, matching, reference, maps, season, area_factor)
    absent = _absence_rows(matching.missing, reference, maps)
    suspect = suspicion(reference, matching, water, found.area_m2.to_numpy(float), absent)
    if suspect:
        absent = absent.assign(
            reason=absent.reason.where(absent.outcome != Outcome.DRY, f"suspect season: {suspect.why}"),
            outcome=Outcome.NOT_OBSERVED.value,
        )
    dry = absent.lake_id[absent.outcome == Outcome.DRY].tolist()
    turns = turning_points(reference, matching, dry, _dry_before(found, matching, previous))
    observations = geopandas.GeoDataFrame(
        pd.concat([water, absent], ignore_index=True), geometry="geometry", crs=WGS84
    )
    events = lineage_frame((*matching.lineage, *turns))
    # the index has nothing to be compared with but itself
    flags = [] if kind == SurveyKind.INDEX else disagreements(maps())
    if suspect:
        flags.append(season_flag(region.outline, suspect))
    elif previous is not None:
        changes = compare(
            _past(prior.observations, previous.season, kind), _with_area(observations, found), events
        )
        flags += losses(changes, reference.geometry, previous.season)
    return SurveyDraft(
        observations=observations,
        lakes=minted_frame(matching, found.geometry),
        lineage=events,
        flags=flag_frame(flags),
        suspect=suspect.why if suspect else None,
    )


def _water_rows(
    found: geopandas.GeoDataFrame,
    matching: Matching,
    reference: geopandas.GeoDataFrame,
    maps: Maps,
    season: int,
    area_factor: float,
) -> pd.DataFrame:
    footprints = [
        outline.union(reference.geometry[lake]) if lake in reference.index else outline
        for lake, outline in zip(matching.lake_ids, found.geometry, strict=True)
    ]
    # footprints and their rims in one pass over the tiles
    places = geopandas.GeoSeries([*footprints, *shapely.buffer(footprints, RIM)], crs=WGS84)
    sights = sights_within(maps(), places)
    cores, rims = sights[: len(found)], sights[len(found) :]
    errors = area_errors(maps(), found)
    return pd.DataFrame(
        {
            "lake_id": list(matching.lake_ids),
            "outcome": Outcome.WATER.value,
            "reason": None,
            "geometry": list(found.geometry),
            "sigma_m2": combine(errors.shoreline_m2, errors.model_m2, area_factor),
            "sigma_shore_m2": errors.shoreline_m2.to_numpy(),
            "sigma_model_m2": errors.model_m2.to_numpy(),
            "perimeter_m": found.perimeter_m.to_numpy(),
            "seen_share": seen_shares(cores, rims),
            "first_day": [_day(season, doy) for doy in found.first_doy],
            "last_day": [_day(season, doy) for doy in found.last_doy],
            "probability": found.probability.astype(float).clip(0, 1).to_numpy(),
            "elevation_m": found.elevation_m.astype(float).to_numpy(),
        }
    )


def _absence_rows(missing: Sequence[UUID], reference: geopandas.GeoDataFrame, maps: Maps) -> pd.DataFrame:
    """Known lakes without an outline: dry where that was seen, else not observed and why."""
    counts = sights_within(maps(), reference.geometry.loc[list(missing)])
    rows = []
    for lake, tally in zip(missing, counts, strict=True):
        elsewhere = tally.sum() == 0 or tally.argmax() == Reason.OUTSIDE
        if elsewhere:  # a neighbour's lake: this survey has nothing to say of it
            continue
        absence = explain_absence(tally)
        rows.append((lake, absence.outcome.value, absence.reason, None, absence.seen_share))
    return pd.DataFrame(rows, columns=["lake_id", "outcome", "reason", "geometry", "seen_share"])


def _dry_before(
    found: geopandas.GeoDataFrame, matching: Matching, previous: PreviousSeason | None
) -> list[UUID]:
    """Young lakes whose place was seen dry in the previous season."""
    if previous is None or not matching.young:
        return []
    at = [position for position, lake in enumerate(matching.lake_ids) if lake in matching.young]
    counts: NDArray[np.int64] = sights_within(previous.maps(), found.geometry.iloc[at])
    dry = counts[:, Reason.DRY] >= DRY_BEFORE * np.maximum(counts.sum(axis=1), 1)
    return [matching.lake_ids[position] for position, is_dry in zip(at, dry, strict=True) if is_dry]


def _past(observations: geopandas.GeoDataFrame, season: int, kind: SurveyKind) -> pd.DataFrame:
    """What the surveys of `season` say of each lake: an answer before none, the better view first."""
    past = observations[(observations.season == season) & (observations.kind == kind)]
    past = past.assign(blind=past.outcome == Outcome.NOT_OBSERVED, share=past.seen_share.astype(float))
    past = past.sort_values(["blind", "share", "survey_id"], ascending=[True, False, True])
    best: pd.DataFrame = past.drop_duplicates("lake_id").set_index("lake_id")
    return best


def _with_area(observations: geopandas.GeoDataFrame, found: geopandas.GeoDataFrame) -> pd.DataFrame:
    frame = pd.DataFrame(observations.drop(columns="geometry"))
    frame["area_m2"] = found.area_m2.reindex(frame.index)  # water rows come first, in the order of `found`
    return frame.set_index("lake_id")


def _day(season: int, day_of_year: int) -> date | None:
    return date(season, 1, 1) + timedelta(days=int(day_of_year) - 1) if day_of_year > 0 else None
