"""The draft of a season's survey: lakes outlined, matched, compared, and flagged for review.

`draft_season` is a pure function of the layers of the season's tiles and the prior surveys. It reads the
tiles in two passes. The first pass reads all tiles for their water, the agreement of model and index, and the
sights of known lakes. The second pass reads the tiles with lakes for the sights of these lakes and the
errors of their areas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from monitor.compute.layers import TileLayers
from monitor.compute.season_layers import Outlines, SeasonLayers
from monitor.grid import PIXEL, WGS84, Tile
from monitor.history.alarms import Comparison
from monitor.history.draft import SurveyDraft, flag_frame
from monitor.history.dry_ground import absence_rows, against_optics, dry_before
from monitor.lakes.absence import SIGHTS, seen_shares
from monitor.lakes.fitness import Agreement, agreement, misfit
from monitor.lakes.match import Matching, lineage_frame, match, minted_frame, references, state_changes
from monitor.lakes.parts import join_parts
from monitor.lakes.sensors import CODES, area_factors, mapped_without_optical, names_of, shares_of
from monitor.lakes.sights import count_sights, days_seen, merge_days, sensors_seen
from monitor.lakes.suspect import doubted, suspicion
from monitor.lakes.uncertainty import combine, sum_errors, uncertainty_within
from monitor.lakes.vectorise import NO_DAY, Piece, join_pieces, pieces_of
from monitor.progress import SILENT, Progress
from monitor.review.triage import Flag, disagreements, season_flag, water_to_radar_alone
from monitor.settings import Region
from segmenter.manifest import SensorSet
from storage.codes import Outcome, SurveyKind
from storage.prior import PriorSurveys

#: degrees, about a pixel: footprints are grown by it, so that cloud on the shore counts
RIM = PIXEL / 111_320

Counts = NDArray[np.int64]


def draft_season(
    layers: SeasonLayers,
    region: Region,
    season: int,
    prior: PriorSurveys,
    previous: Sequence[SeasonLayers],
    *,
    smallest_m2: float,
    sets: Sequence[SensorSet],
    kind: SurveyKind = SurveyKind.MODEL,
    progress: Progress = SILENT,
) -> SurveyDraft:
    """Draft the survey of `region` in `season`.

    Args:
        layers: of the season's tiles.
        prior: the surveys prior to this one.
        previous: the layers of the earlier seasons with a survey of the same kind that is not suspect, the
            latest first.
        smallest_m2: area of the smallest mapped lake.
        sets: of the model's manifest; standard deviations of areas are multiplied by their factors.
        kind: model or index; only surveys of the same kind are compared.
    """
    reference = references(prior.observations, prior.lineage, season)
    first = _first_pass(layers, reference, kind, progress)
    outlined = join_pieces(first.pieces, region.zone, smallest_m2)
    found = join_parts(outlined, reference, pd.Series(seen_shares(first.before), reference.index))
    matching = match(
        reference, found.geometry, region.name, season, older=prior.older, superseded=prior.superseded
    )
    new = dry_before(found, matching, previous)
    against = against_optics(found, matching, reference, new)
    lakes = [lake for lake, out in zip(matching.lake_ids, against, strict=True) if out]
    left_out, found = found[against].assign(lake_id=lakes), found[~against].reset_index(drop=True)
    if lakes:
        matching = match(
            reference, found.geometry, region.name, season, older=prior.older, superseded=prior.superseded
        )
        new = dry_before(found, matching, previous)
    absent = absence_rows(matching, reference, first.latest, lakes)
    gone = reference.geometry[absent.lake_id[absent.outcome == Outcome.DRY].tolist()]
    second = _second_pass(layers, found, matching, reference, gone.to_numpy(), progress)
    water = _water_rows(found, matching, second, season, sets)
    dried = absent.outcome == Outcome.DRY
    absent.loc[dried, "first_day"] = [_day(season, doy) for doy in second.days[:, 0]]
    absent.loc[dried, "last_day"] = [_day(season, doy) for doy in second.days[:, 1]]
    absent.loc[dried, "sensors"] = names_of(shares_of(second.gone_by), sets)
    compared = Comparison.of(prior, season, matching, _observations(water, absent, found))
    suspect = misfit(first.agreement) or suspicion(compared.changes, compared.before, images=True)
    if suspect:
        absent = doubted(absent, suspect)
    dry = absent.lake_id[absent.outcome == Outcome.DRY].tolist()
    lineage = lineage_frame((*matching.lineage, *state_changes(reference, matching, dry, new)))
    flags = [*first.flags, *compared.flags(lineage, reference, suspect=suspect is not None)]
    flags += water_to_radar_alone(left_out, reference.index)
    if suspect:
        flags.append(season_flag(region.outline, suspect))
    observations = geopandas.GeoDataFrame(
        pd.concat([water, absent], ignore_index=True), geometry="geometry", crs=WGS84
    )
    return SurveyDraft(
        observations=observations,
        lakes=minted_frame(matching, found.geometry),
        lineage=lineage,
        flags=flag_frame(flags),
        suspect=suspect.why if suspect else None,
    )


@dataclass(frozen=True)
class FirstPass:
    """Results of the first pass over the tiles."""

    pieces: list[Piece]
    flags: list[Flag]
    #: (N, 9) sights within the N known lakes, by their latest outline and by that of earlier seasons
    latest: Counts
    before: Counts
    #: of model and index; empty for a survey of the index
    agreement: Agreement


def _first_pass(
    layers: SeasonLayers, reference: geopandas.GeoDataFrame, kind: SurveyKind, progress: Progress
) -> FirstPass:
    """Read all tiles for their water, their disagreements, and the sights of known lakes."""
    latest, before = (
        reference[column].where(~reference.ended, None).to_numpy(object) for column in ("geometry", "before")
    )
    # most lakes have the same outline in both, which is counted once
    same = np.array([one is other for one, other in zip(latest, before, strict=True)], bool)
    counts = np.zeros((2, len(reference), SIGHTS), np.int64)
    pieces: list[Piece] = []
    flags: list[Flag] = []
    agreed = Agreement()
    others = before.copy()
    others[same] = None
    results = layers.map(
        _first_pass_of, latest, others, everywhere=True, progress=progress, title="outlining lakes"
    )
    for _, near, (found, disputed, of_tile, *seen) in results:
        pieces += found
        flags += disputed
        agreed += of_tile
        for group, positions, tally in zip(counts, near, seen, strict=True):
            group[positions] += tally
    counts[1][same] = counts[0][same]
    if kind == SurveyKind.INDEX:  # it would be compared with itself
        flags, agreed = [], Agreement()
    return FirstPass(pieces, flags, counts[0], counts[1], agreed)


def _first_pass_of(
    layers: TileLayers, latest: Outlines, before: Outlines
) -> tuple[list[Piece], list[Flag], Agreement, Counts, Counts]:
    return (
        pieces_of(layers),
        disagreements(layers),
        agreement(layers),
        count_sights(layers, latest),
        count_sights(layers, before),
    )


@dataclass(frozen=True)
class SecondPass:
    """Results of the second pass, over the tiles with lakes; N lakes in the order of `found`."""

    #: (N, 9) sights within each lake's footprint, and within the footprint grown by a pixel
    cores: Counts
    rims: Counts
    #: shoreline_m2 and model_m2
    errors: pd.DataFrame
    #: (M, 2) first and last day of the year on which the places of M lakes that are gone were seen
    days: NDArray[np.int16]
    #: (M, 8) their pixels that were seen, by set of sensors
    gone_by: Counts


def _second_pass(
    layers: SeasonLayers,
    found: geopandas.GeoDataFrame,
    matching: Matching,
    reference: geopandas.GeoDataFrame,
    gone: Outlines,
    progress: Progress,
) -> SecondPass:
    """Read the tiles with lakes for the sights of these lakes and the uncertainty of their pixels.

    Args:
        gone: outlines of lakes that are dry, whose days are looked up.
    """
    footprints = np.array(
        [
            outline.union(reference.geometry[lake]) if lake in reference.index else outline
            for lake, outline in zip(matching.lake_ids, found.geometry, strict=True)
        ],
        object,
    )
    groups = footprints, shapely.buffer(footprints, RIM), found.geometry.to_numpy(), gone
    counts = np.zeros((2, len(found), SIGHTS), np.int64)
    days, gone_by = np.full((len(gone), 2), NO_DAY, np.int16), np.zeros((len(gone), CODES), np.int64)
    sums: list[tuple[Tile, NDArray[np.intp], NDArray[np.float64]]] = []
    results = layers.map(_second_pass_of, *groups, progress=progress, title="measuring lakes")
    for tile, near, (*seen, uncertainty, of_tile, by) in results:
        days[near[3]] = merge_days(days[near[3]], of_tile)
        gone_by[near[3]] += by
        for group, positions, tally in zip(counts, near, seen, strict=False):
            group[positions] += tally
        sums.append((tile, near[2], uncertainty))
    return SecondPass(counts[0], counts[1], sum_errors(sums, found), days, gone_by)


def _second_pass_of(
    layers: TileLayers, footprints: Outlines, rims: Outlines, lakes: Outlines, gone: Outlines
) -> tuple[Counts, Counts, NDArray[np.float64], NDArray[np.int16], Counts]:
    return (
        count_sights(layers, footprints),
        count_sights(layers, rims),
        uncertainty_within(layers, lakes),
        days_seen(layers, gone),
        sensors_seen(layers, gone),
    )


def _water_rows(
    found: geopandas.GeoDataFrame,
    matching: Matching,
    second: SecondPass,
    season: int,
    sets: Sequence[SensorSet],
) -> pd.DataFrame:
    """Observations of the lakes with an outline."""
    shoreline, model = second.errors.shoreline_m2, second.errors.model_m2
    shares = shares_of(found.seen_by.to_list())
    return pd.DataFrame(
        {
            "lake_id": list(matching.lake_ids),
            "outcome": Outcome.WATER.value,
            "reason": None,
            "geometry": list(found.geometry),
            "sigma_m2": combine(shoreline, model, area_factors(shares, sets, found.area_m2)),
            "sigma_shore_m2": shoreline.to_numpy(),
            "sigma_model_m2": model.to_numpy(),
            "perimeter_m": found.perimeter_m.to_numpy(),
            "seen_share": seen_shares(second.cores, second.rims, mapped_without_optical(shares)),
            "first_day": [_day(season, doy) for doy in found.first_doy],
            "last_day": [_day(season, doy) for doy in found.last_doy],
            "probability": found.probability.astype(float).clip(0, 1).to_numpy(),
            "elevation_m": found.elevation_m.astype(float).to_numpy(),
            "sensors": names_of(shares, sets),
        }
    )


def _observations(
    water: pd.DataFrame, absent: pd.DataFrame, found: geopandas.GeoDataFrame
) -> geopandas.GeoDataFrame:
    """All observations indexed by lake_id, with area_m2 of those with an outline."""
    rows = pd.concat([water.assign(area_m2=found.area_m2.to_numpy()), absent], ignore_index=True)
    return geopandas.GeoDataFrame(rows, geometry="geometry", crs=WGS84).set_index("lake_id")


def _day(season: int, day_of_year: int) -> date | None:
    return date(season, 1, 1) + timedelta(days=int(day_of_year) - 1) if day_of_year > 0 else None
