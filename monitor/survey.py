"""From a season's cube to a survey: lakes drawn region-wide, matched, compared, and doubtful ones flagged.

Pure: tiles' layers and what is known go in, rows for the lake history come out.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from uuid import UUID

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from monitor.absence import explain_absence, seen_shares
from monitor.change import compare
from monitor.error import area_errors, combine
from monitor.grid import PIXEL, WGS84
from monitor.match import Matching, lineage_frame, match, minted_frame, references, turning_points
from monitor.parts import join_parts
from monitor.settings import Region
from monitor.suspect import suspicion
from monitor.triage import Flag, disagreements, losses, season_flag
from monitor.vectorise import TileMap, sights_within, vectorise
from storage.codes import Outcome, Reason, SurveyKind
from storage.copying import multi
from storage.told import Told

Maps = Callable[[], Iterable[TileMap]]
#: share of a new lake's footprint that the season before must have seen dry for it to be called new
DRY_BEFORE = 0.5
#: degrees; a footprint grown by about a pixel, so that cloud touching the shore counts
RIM = PIXEL / 111_320


#: columns of `Rows.observations`; what is not known of a lake may be left out
SAID_OF_LAKES = [
    "lake_id",
    "outcome",
    "reason",
    "geometry",
    "sigma_m2",
    "sigma_shore_m2",
    "sigma_model_m2",
    "perimeter_m",
    "seen_share",
    "first_day",
    "last_day",
    "probability",
    "elevation_m",
    "glacier_m",
    "task_key",
    "label",
    "attributes",
]


@dataclass(frozen=True)
class Rows:
    """What `storage.recording.record_survey` writes."""

    observations: geopandas.GeoDataFrame
    lakes: pd.DataFrame
    lineage: pd.DataFrame
    flags: geopandas.GeoDataFrame
    #: why losses of this season are not believed
    suspect: str | None = None

    def with_observations(self, observations: geopandas.GeoDataFrame) -> Rows:
        """The same with more said of each lake."""
        return replace(self, observations=observations)

    @cached_property
    def digest(self) -> str:
        """Of all that is said: the same for the same rows, in any order and wherever they came from."""
        lines = [self.suspect or ""]
        for frame, columns in (
            (self.observations, SAID_OF_LAKES),
            (self.lineage, ["kind", "lake_id", "other_lake_id"]),
            (self.flags, ["kind", "explained", "score", "geometry", "tile", "lake_id", "detail"]),
        ):
            rows = zip(*(_spelt_column(frame, name) for name in columns), strict=True)
            lines += sorted("|".join(row) for row in rows)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Earlier:
    """The region's latest survey of an earlier season, if there is one."""

    season: int
    maps: Maps


def draw(
    maps: Maps,
    region: Region,
    season: int,
    smallest_m2: float,
    told: Told,
    earlier: Earlier | None,
    area_factor: float = 1.0,
    kind: SurveyKind = SurveyKind.MODEL,
) -> Rows:
    """Draw the survey of `region` in `season`.

    Args:
        maps: gives the season's tiles, anew at each call.
        smallest_m2: lakes below it are not mapped.
        told: what was told before this survey (`storage.told`).
        earlier: the season to compare with.
        area_factor: of the model's manifest, by which standard deviations of areas are multiplied.
        kind: model or index; only surveys of the same kind are compared.
    """
    reference = references(told.observations, told.lineage, season)
    found = join_parts(vectorise(maps(), region.zone, smallest_m2), reference, maps)
    matching = match(
        reference, found.geometry, region.name, season, older=told.older, forgotten=told.forgotten
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
    turns = turning_points(reference, matching, dry, _dry_before(found, matching, earlier))
    observations = geopandas.GeoDataFrame(
        pd.concat([water, absent], ignore_index=True), geometry="geometry", crs=WGS84
    )
    events = lineage_frame((*matching.lineage, *turns))
    # an index that disagrees with an index is nobody's business
    flags = [] if kind == SurveyKind.INDEX else disagreements(maps())
    if suspect:
        flags.append(season_flag(region.outline, suspect))
    elif earlier is not None:
        changes = compare(
            _past(told.observations, earlier.season, kind), _with_area(observations, found), events
        )
        flags += losses(changes, reference.geometry, earlier.season)
    return Rows(
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


def _dry_before(found: geopandas.GeoDataFrame, matching: Matching, earlier: Earlier | None) -> list[UUID]:
    """Young lakes whose place was seen dry in the earlier season."""
    if earlier is None or not matching.young:
        return []
    at = [position for position, lake in enumerate(matching.lake_ids) if lake in matching.young]
    counts: NDArray[np.int64] = sights_within(earlier.maps(), found.geometry.iloc[at])
    dry = counts[:, Reason.DRY] >= DRY_BEFORE * np.maximum(counts.sum(axis=1), 1)
    return [matching.lake_ids[position] for position, is_dry in zip(at, dry, strict=True) if is_dry]


def _past(told: geopandas.GeoDataFrame, season: int, kind: SurveyKind) -> pd.DataFrame:
    """What the surveys of `season` say of each lake: an answer before none, the better view first."""
    past = told[(told.season == season) & (told.kind == kind)]
    past = past.assign(blind=past.outcome == Outcome.NOT_OBSERVED, share=past.seen_share.astype(float))
    past = past.sort_values(["blind", "share", "survey_id"], ascending=[True, False, True])
    best: pd.DataFrame = past.drop_duplicates("lake_id").set_index("lake_id")
    return best


def _with_area(observations: geopandas.GeoDataFrame, found: geopandas.GeoDataFrame) -> pd.DataFrame:
    frame = pd.DataFrame(observations.drop(columns="geometry"))
    frame["area_m2"] = found.area_m2.reindex(frame.index)  # water rows come first, in the order of `found`
    return frame.set_index("lake_id")


def flag_frame(flags: Sequence[Flag]) -> geopandas.GeoDataFrame:
    """Flags as the lake history takes them."""
    columns = ["kind", "explained", "score", "geometry", "tile", "lake_id", "detail"]
    rows = [(f.kind, f.explained, f.score, f.footprint, f.tile, f.lake, asdict(f)["detail"]) for f in flags]
    frame = pd.DataFrame(rows, columns=columns)
    return geopandas.GeoDataFrame(frame, geometry="geometry", crs=WGS84)


def _day(season: int, day_of_year: int) -> date | None:
    return date(season, 1, 1) + timedelta(days=int(day_of_year) - 1) if day_of_year > 0 else None


def _spelt_column(frame: pd.DataFrame, name: str) -> list[str]:
    """A column's values in one spelling each, whether they were just made or read back from the database."""
    if name not in frame:
        return [""] * len(frame)
    values = frame[name]
    if values.isna().all() and name != "geometry":
        return [""] * len(frame)
    if name == "geometry":
        # as the database keeps every outline
        shapes = shapely.to_wkb(multi(shapely.force_2d(np.asarray(values, object))))
        return [hashlib.blake2b(shape or b"", digest_size=16).hexdigest() for shape in shapes]
    if values.dtype.kind == "f":
        return ["" if math.isnan(number) else repr(number) for number in values.tolist()]
    return [_spelt(value) for value in values]


def _spelt(value: object) -> str:
    if value is None or value is pd.NaT or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, default=str)
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | float | np.number):
        return repr(float(value))
    return str(value)
